/* SPDX-License-Identifier: MIT */
/** @file text.h  Reading matter: for the text report, and for what quotes it. */
#ifndef CLEANROOM_REPORT_TEXT_H
#define CLEANROOM_REPORT_TEXT_H

#include "report/internal.h"
#include "report/summary.h"

/** The text report of one session; does not flush. PNX_ENOMEM. */
pnx_status pnx__text_of(const pnx_session_report *report, FILE *out, pnx_error *err);
/** That of several. */
pnx_status pnx__text_of_all(const pnx_session_report *reports, size_t count, FILE *out,
                            pnx_error *err);
/** "6 leftovers: 3 removed and verified gone, 1 kept, 2 not removed"; plain ASCII. */
void pnx__print_sum(FILE *out, const struct pnx__sum *sum);

#endif
