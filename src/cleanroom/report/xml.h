/* SPDX-License-Identifier: MIT */
/** @file xml.h  JUnit XML. */
#ifndef CLEANROOM_REPORT_XML_H
#define CLEANROOM_REPORT_XML_H

#include "report/internal.h"

/** One testsuite for each session; does not flush. PNX_ENOMEM. */
pnx_status pnx__xml_of_all(const pnx_session_report *reports, size_t count,
                           const pnx_report_options *options, FILE *out, pnx_error *err);

#endif
