/* SPDX-License-Identifier: MIT */
/** @file figures.h  How figures read; the same in every form. Plain ASCII, nothing to escape. */
#ifndef CLEANROOM_REPORT_FIGURES_H
#define CLEANROOM_REPORT_FIGURES_H

#include <cleanroom/report.h>

/** "0.4 ms", "23 ms", "1.42 s", "2 min 5 s" */
void pnx__print_span(FILE *out, pnx_duration span);
/** "17 B", "1.2 MiB" */
void pnx__print_bytes(FILE *out, uint64_t bytes);
/** "1 file", "2 files" */
void pnx__print_counted(FILE *out, uint64_t count, const char *one, const char *many);

#define PNX__EXIT_TEXT_SIZE 48
/** "exit 0", "ended by SIGSEGV", "timed out", "not run"; returns `buffer`. */
char *pnx__exit_text(const pnx_session_report *report, char buffer[PNX__EXIT_TEXT_SIZE]);
/** The same for what is not a session's command. */
char *pnx__end_text(int code, int signal_number, bool timed_out, char buffer[PNX__EXIT_TEXT_SIZE]);
/** Did the command end well? */
bool pnx__succeeded(const pnx_session_report *report);

/** The tier as people read it: what the session said, or by its number. */
const char *pnx__tier_text(const pnx_session_report *report);
/** Who cleaned up: what the session said, or "supervisor". */
const char *pnx__cleaner(const pnx_session_report *report);
unsigned pnx__attempt_of(const pnx_session_report *report);

#define PNX__DATE_SIZE 40
/** "2026-01-31T12:34:56", UTC. False: not known. */
bool pnx__date_text(int64_t since_1970, char buffer[PNX__DATE_SIZE]);

#endif
