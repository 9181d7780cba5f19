/* SPDX-License-Identifier: MIT */
/** @file json.h  Pieces of the JSON report. */
#ifndef CLEANROOM_REPORT_JSON_H
#define CLEANROOM_REPORT_JSON_H

#include "report/internal.h"

/** The number of the format: it changes when a key changes its meaning, not when one is added. */
#define PNX__REPORT_FORMAT 1

/** The report of one session, without a newline at its end; does not flush. PNX_ENOMEM. */
pnx_status pnx__json_of(const pnx_session_report *report, FILE *out, pnx_error *err);
/** That of several, likewise. */
pnx_status pnx__json_of_all(const pnx_session_report *reports, size_t count, FILE *out,
                            pnx_error *err);
/** By kind and status, as one object. PNX_ENOMEM. */
pnx_status pnx__json_totals(FILE *out, const pnx_session_report *report, pnx_error *err);
/** RFC 3339, UTC, milliseconds; or null. */
void pnx__json_date(FILE *out, int64_t since_1970);
void pnx__json_milliseconds(FILE *out, pnx_duration span);

#endif
