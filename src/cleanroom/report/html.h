/* SPDX-License-Identifier: MIT */
/** @file html.h  One file to look at, without scripts and without anything from elsewhere. */
#ifndef CLEANROOM_REPORT_HTML_H
#define CLEANROOM_REPORT_HTML_H

#include "report/internal.h"

/** The page of one session; does not flush. PNX_ENOMEM. */
pnx_status pnx__html_of(const pnx_session_report *report, FILE *out, pnx_error *err);
/** That of several: a table of them, and each to be opened. */
pnx_status pnx__html_of_all(const pnx_session_report *reports, size_t count, FILE *out,
                            pnx_error *err);

/* ---- for the files of the page --------------------------------------------------------------- */

/** One session on its way into a page. */
struct pnx__html {
    FILE *out;
    const pnx_session_report *report;
    const pnx_session_total **kinds;   /* in order */
    const pnx_session_resource **rows; /* by kind in that order, the worst first, then by age */
    size_t lanes_max;                  /* of the timeline, for each kind */
    size_t rows_max;                   /* of the tables, for each kind */
    int level;                         /* of the headings */
};

extern const char pnx__html_style[];

void pnx__html_page_start(FILE *out, const char *title);
void pnx__html_page_end(FILE *out);
/** All that there is to say of one session, but its headline. PNX_ENOMEM. */
pnx_status pnx__html_session(struct pnx__html *html, pnx_error *err);
/** A heading of a section. */
void pnx__html_heading(const struct pnx__html *html, const char *text);
/** The class that gives a session, or a thing, its colour. */
const char *pnx__html_mood(const pnx_session_report *report);
const char *pnx__html_colour(const pnx_session_resource *resource);
/** In one line, what became of what was left behind. */
void pnx__html_verdict(FILE *out, const pnx_session_report *report);
/** The rows of a kind, in `rows`. */
const pnx_session_resource **pnx__html_rows_of(const struct pnx__html *html, const char *kind,
                                               size_t *ret_count);
void pnx__html_timeline(const struct pnx__html *html);
void pnx__html_resources(const struct pnx__html *html);
void pnx__html_totals(const struct pnx__html *html);
/** Limits, undo hooks, artifacts: what there is of these. */
void pnx__html_extras(const struct pnx__html *html);

#endif
