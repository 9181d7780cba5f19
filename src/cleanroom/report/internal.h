/* SPDX-License-Identifier: MIT */
/** @file internal.h  What the writers share. */
#ifndef CLEANROOM_REPORT_INTERNAL_H
#define CLEANROOM_REPORT_INTERNAL_H

#include <cleanroom/report.h>

/** What became of a thing, for people: each is a section of the text report. */
typedef enum pnx__verdict {
    PNX__GONE,      /* removed, already gone, gone late */
    PNX__UNREMOVED, /* still there, and not on purpose */
    PNX__FOREIGN,   /* found, not provably ours */
    PNX__KEPT,
    PNX__VERDICT_COUNT
} pnx__verdict;

/** What is made and foreign is one of ours that cannot be removed. */
pnx__verdict pnx__verdict_of(pnx_origin origin, pnx_fate fate);
/** How many of a kind, made and found, have come to this; of what went, only those found. */
uint64_t pnx__count_verdict(const pnx_session_total *total, pnx__verdict verdict);
/** Does this resource belong to what people are told: all but what was made and went well? */
bool pnx__is_told(const pnx_session_resource *resource);

/**
 * The totals in the order in which they are told: as things are removed, unknown kinds last by
 * name. An array of `total_count` that the caller frees, or NULL: no memory, or there are none.
 */
const pnx_session_total **pnx__totals_in_order(const pnx_session_report *report);

/** Flushes; PNX_EFAILED if anything could not be written. */
pnx_status pnx__report_finish(FILE *out, pnx_error *err);

#endif
