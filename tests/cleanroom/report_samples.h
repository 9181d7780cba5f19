/* SPDX-License-Identifier: MIT */
/** @file report_samples.h  Reports as sessions make them, clean and otherwise, for tests. */
#ifndef TESTS_REPORT_SAMPLES_H
#define TESTS_REPORT_SAMPLES_H

#include <cleanroom/report.h>

/** Whose bytes are nothing that a writer may pass on as they are. */
extern const char sample_hostile_text[];

/** Ends the program when there is no memory. The caller ends them by pnx_session_report_done. */
pnx_session_report sample_clean(void);
pnx_session_report sample_messy(void);     /* every fate, every section */
pnx_session_report sample_many(void);      /* a thousand of a kind listed, more only counted */
pnx_session_report sample_hostile(void);   /* every text in it is hostile */
pnx_session_report sample_bytes(void);     /* every byte from 1 to 255 is in a name */
pnx_session_report sample_failed(void);    /* the command failed and left nothing */
pnx_session_report sample_not_run(void);   /* nothing was run, nothing is known */
pnx_session_report sample_leftovers(void); /* all removed */
/** The first of three attempts at one line, two of which failed. */
pnx_session_report sample_attempt(unsigned attempt);

/** Each by its name; NULL at the end. */
struct sample {
    const char *name;
    pnx_session_report (*make)(void);
};
extern const struct sample samples[];

#endif
