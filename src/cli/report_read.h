/* SPDX-License-Identifier: MIT */
/** @file report_read.h  JSON reports, read back. */
#ifndef CLI_REPORT_READ_H
#define CLI_REPORT_READ_H

#include <cleanroom/report.h>

/** What a file of JSON holds. */
struct reports {
    pnx_session_report *reports;
    size_t count;
    bool several; /* it has the form of several, whatever the count */
};

/** What is longer is no report. */
#define REPORT_SIZE_MAX ((size_t)256 << 20)

/**
 * Reads a report of one session or of several, as pnx_session_report_write has written it; written
 * again as JSON it is the same, byte for byte. Keys that are not known are passed over.
 * PNX_EINVAL: it is no report; the error says where and why. PNX_EUNSUPPORTED: of a later version.
 * PNX_ENOMEM. On success reports_done frees.
 */
PNX_MUST_CHECK pnx_status reports_read(const char *text, size_t size, struct reports *ret,
                                       pnx_error *err);
void reports_done(struct reports *reports);

#endif
