/* SPDX-License-Identifier: MIT */
/* The page of several sessions: a table of them, and each to be opened. */
#include "report/escape.h"
#include "report/figures.h"
#include "report/html.h"
#include "report/text.h"

#include <inttypes.h>
#include <stdlib.h>

#define NAME_COLUMNS 120
/* Bounds of one page: sessions in the overview, sessions in full, and rows of their tables. */
#define LISTED_MAX 2000
#define FULL_MAX 200
#define PAGE_ROWS 4000

/* What has a row in the overview, and of these, what is there in full. */
enum shown { LEFT_OUT, LISTED, FULL };

static bool is_notable(const pnx_session_report *report)
{
    return pnx__has_details(report) || !pnx__succeeded(report);
}

/* Up to the bounds, those of which there is something to tell before the others. */
static unsigned char *choose(const pnx_session_report *reports, size_t count, size_t *ret_full)
{
    unsigned char *shown = calloc(count ? count : 1, 1);
    size_t listed = 0, full = 0;
    for (int round = 0; shown && round < 2; round++) {
        for (size_t i = 0; i < count && listed < LISTED_MAX; i++) {
            if (is_notable(&reports[i]) != (round == 0))
                continue;
            shown[i] = full < FULL_MAX ? FULL : LISTED;
            full += full < FULL_MAX;
            listed++;
        }
    }
    *ret_full = full;
    return shown;
}

static const char *mood_of(const struct pnx__summary *summary)
{
    if (summary->sum.unremoved || summary->sum.own || summary->failed)
        return "bad";
    return summary->sum.leftovers || summary->sum.foreign ? "warn" : "ok";
}

static void headline(FILE *out, const struct pnx__summary *summary)
{
    const char *mood = mood_of(summary);
    fprintf(out, "<header class=\"card top %s\">\n<p class=\"brand\">cleanroom report</p>\n<h1>",
            mood);
    pnx__print_counted(out, summary->sessions, "session", "sessions");
    fprintf(out, "</h1>\n<p class=\"verdict %s\">%" PRIu64 " succeeded, %" PRIu64 " failed", mood,
            summary->succeeded, summary->failed);
    if (summary->timed_out)
        fprintf(out, " (%" PRIu64 " timed out)", summary->timed_out);
    if (summary->retried)
        fprintf(out, ", %" PRIu64 " tried again", summary->retried);
    fputs("; ", out);
    if (summary->clean == summary->sessions)
        fputs("nothing left behind", out);
    else
        pnx__print_sum(out, &summary->sum);
    fputs("</p>\n<p class=\"s\">", out);
    pnx__print_span(out, summary->duration);
    fputs(" from the start of the first to the end of the last</p>\n</header>\n", out);
}

static void count_cell(FILE *out, const char *label, uint64_t count, const char *colour)
{
    fprintf(out, "<td class=\"num\" data-l=\"%s\">", label);
    if (count)
        fprintf(out, "<span class=\"b %s\">%" PRIu64 "</span>", colour, count);
    fputs("</td>", out);
}

static void overview_row(FILE *out, const pnx_session_report *report, size_t number,
                         bool superseded, bool full)
{
    char end[PNX__EXIT_TEXT_SIZE];
    fputs("<tr><th scope=\"row\">", out);
    if (full)
        fprintf(out, "<a href=\"#s%zu\">", number);
    pnx__print_markup(out, report->name && *report->name ? report->name : "session", NAME_COLUMNS);
    fputs(full ? "</a>" : "", out);
    if (pnx__attempt_of(report) > 1 || superseded)
        fprintf(out, " <small>attempt %u%s</small>", pnx__attempt_of(report),
                superseded ? ", tried again" : "");
    fprintf(out, "</th><td><span class=\"b %s\">%s</span></td><td class=\"num\" data-l=\"Time\">",
            pnx__succeeded(report) ? "ok"
            : superseded           ? "warn"
                                   : "bad",
            pnx__exit_text(report, end));
    pnx__print_span(out, report->duration);
    fputs("</td>", out);
    count_cell(out, "Leftovers", report->leftovers, "warn");
    count_cell(out, "Not removed", report->unremoved, "bad");
    count_cell(out, "Foreign", report->foreign, "far");
    count_cell(out, "Kept", report->kept, "keep");
    fputs("<td class=\"num\" data-l=\"Clean-up\">", out);
    pnx__print_span(out, report->cleanup);
    fputs("</td></tr>\n", out);
}

static void left_out(FILE *out, size_t count)
{
    if (count)
        fprintf(out,
                "<tr class=\"more\"><td colspan=\"8\">and %zu more, which succeeded and left "
                "nothing behind, or are too many to list</td></tr>\n",
                count);
}

static void overview(FILE *out, const pnx_session_report *reports, size_t count,
                     const struct pnx__summary *summary, const unsigned char *shown)
{
    size_t rest = 0;
    fputs("<section class=\"card\">\n<h2>Overview</h2>\n<div class=\"scroll\">"
          "<table class=\"things\">\n<thead><tr><th scope=\"col\" class=\"what\">Session</th>"
          "<th scope=\"col\">Command</th><th scope=\"col\" class=\"num\">Time</th>"
          "<th scope=\"col\" class=\"num\">Leftovers</th>"
          "<th scope=\"col\" class=\"num\">Not removed</th>"
          "<th scope=\"col\" class=\"num\">Foreign</th><th scope=\"col\" class=\"num\">Kept</th>"
          "<th scope=\"col\" class=\"num\">Clean-up</th></tr></thead>\n<tbody>\n",
          out);
    for (size_t i = 0; i < count; i++) {
        if (shown[i] == LEFT_OUT)
            rest++;
        else
            overview_row(out, &reports[i], i + 1, summary->superseded[i], shown[i] == FULL);
    }
    left_out(out, rest);
    fputs("</tbody>\n</table></div>\n</section>\n", out);
}

static pnx_status session(FILE *out, const pnx_session_report *report, size_t number,
                          size_t rows_max, pnx_error *err)
{
    struct pnx__html html = {.out = out,
                             .report = report,
                             .lanes_max = rows_max < 10 ? rows_max : 10,
                             .rows_max = rows_max,
                             .level = 3};
    char end[PNX__EXIT_TEXT_SIZE];
    fputs("<details>\n<summary>", out);
    pnx__print_markup(out, report->name && *report->name ? report->name : "session", NAME_COLUMNS);
    if (pnx__attempt_of(report) > 1)
        fprintf(out, " (attempt %u)", pnx__attempt_of(report));
    fprintf(out, " <span class=\"b %s\">%s</span> <span class=\"b %s\">",
            pnx__succeeded(report) ? "ok" : "bad", pnx__exit_text(report, end),
            pnx__html_mood(report));
    pnx__html_verdict(out, report);
    /* Inside, so that a browser that is led there opens it. */
    fprintf(out, "</span></summary>\n<div id=\"s%zu\">\n", number);
    pnx_status status = pnx__html_session(&html, err);
    fputs("</div>\n</details>\n", out);
    return status;
}

static void totals(FILE *out, const struct pnx__summary *summary)
{
    struct pnx__html html = {.out = out, .report = &summary->all, .level = 2};
    html.kinds = pnx__totals_in_order(&summary->all);
    if (html.kinds)
        pnx__html_totals(&html);
    free(html.kinds);
}

static pnx_status sessions(FILE *out, const pnx_session_report *reports, size_t count,
                           const unsigned char *shown, size_t full, pnx_error *err)
{
    pnx_status status = PNX_OK;
    size_t rows_max = full ? PAGE_ROWS / full : 0;
    rows_max = rows_max > 250 ? 250 : rows_max;
    fputs("<section>\n<h2>Sessions</h2>\n", out);
    for (size_t i = 0; i < count && status == PNX_OK; i++)
        if (shown[i] == FULL)
            status = session(out, &reports[i], i + 1, rows_max, err);
    if (count > full)
        fprintf(out, "<p class=\"s\">%zu more sessions are not shown in full.</p>\n", count - full);
    fputs("</section>\n", out);
    return status;
}

pnx_status pnx__html_of_all(const pnx_session_report *reports, size_t count, FILE *out,
                            pnx_error *err)
{
    struct pnx__summary summary;
    size_t full;
    pnx_status status = pnx__summarise(reports, count, &summary, err);
    if (status != PNX_OK)
        return status;
    unsigned char *shown = choose(reports, count, &full);
    if (shown) {
        pnx__html_page_start(out, "sessions");
        headline(out, &summary);
        overview(out, reports, count, &summary, shown);
        status = sessions(out, reports, count, shown, full, err);
        summary.all.unlisted = summary.unlisted;
        totals(out, &summary);
        pnx__html_page_end(out);
    } else {
        status = pnx_fail(err, PNX_ENOMEM, "no memory for the report of %zu sessions", count);
    }
    free(shown);
    pnx__summary_done(&summary);
    return status;
}
