/* SPDX-License-Identifier: MIT */
/*
 * What all that writes figures to a stream needs. Nothing here depends on the locale: printf's %f
 * would write a decimal comma in some, which neither JSON nor Prometheus can read.
 */
#ifndef PNX_MONITOR_OUT_H
#define PNX_MONITOR_OUT_H

#include <patinox/monitor.h>
#include <stdio.h>

/** U+FFFD REPLACEMENT CHARACTER: stands for a byte that is not UTF-8. */
#define PNX__OUT_REPLACEMENT "\xEF\xBF\xBD"

/**
 * The length, 1 to 4, of the well-formed UTF-8 character that the terminated `text` begins with; 0
 * if it begins with none, or is empty. Names come from callers and may hold any bytes.
 */
size_t pnx__out_character(const char *text);

/** `billionths` / 10^9 as a decimal with nine digits: nanoseconds as seconds, shares as shares. */
void pnx__out_decimal(FILE *out, uint64_t billionths);

/** The account as one JSON object; its keys are the names of the fields. In json.c. */
void pnx__out_json_counts(FILE *out, const pnx_counts *counts);

/** Flushes. PNX_EFAILED, "cannot write `what`", when this or anything written before failed. */
PNX_MUST_CHECK pnx_status pnx__out_finish(FILE *out, const char *what, pnx_error *err);

#endif
