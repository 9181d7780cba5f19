/* SPDX-License-Identifier: MIT */
/** @file summary.h  What several sessions come to. */
#ifndef CLEANROOM_REPORT_SUMMARY_H
#define CLEANROOM_REPORT_SUMMARY_H

#include "report/internal.h"

/** What became of things, in one line. */
struct pnx__sum {
    uint64_t leftovers; /* = gone + kept + unremoved */
    uint64_t gone, kept, unremoved;
    uint64_t unverified; /* of those gone */
    uint64_t own;        /* made by sessions, and not removed */
    uint64_t foreign;
};

void pnx__sum_add(struct pnx__sum *sum, const pnx_session_report *report);

/** Nothing was found, and what was made went or is kept on purpose. */
bool pnx__left_nothing(const pnx_session_report *report);
bool pnx__hook_failed(const pnx_session_hook *hook);
/** Is there more to tell than how the command ended and that it left nothing? */
bool pnx__has_details(const pnx_session_report *report);

struct pnx__summary {
    uint64_t sessions;
    uint64_t succeeded, failed, timed_out; /* of the commands; timed out is failed, too */
    uint64_t retried;                      /* failed, but tried again: in none of those above */
    uint64_t clean;                        /* sessions that left nothing behind */
    struct pnx__sum sum;
    uint64_t unlisted;
    int64_t started;        /* of the first; 0: not known */
    pnx_duration duration;  /* until the last was cleaned up */
    bool *superseded;       /* of each session: a later attempt takes its place */
    pnx_session_report all; /* the totals of all by kind, and no resources */
};

/** PNX_ENOMEM. On success pnx__summary_done frees. */
pnx_status pnx__summarise(const pnx_session_report *reports, size_t count, struct pnx__summary *ret,
                          pnx_error *err);
void pnx__summary_done(struct pnx__summary *summary);

#endif
