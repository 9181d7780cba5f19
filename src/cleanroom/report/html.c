/* SPDX-License-Identifier: MIT */
/* The page: its frame, the headline and the facts of a session. */
#include "report/html.h"

#include "report/escape.h"
#include "report/figures.h"
#include "report/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NAME_COLUMNS 200
#define TEXT_COLUMNS 2000

/* ---- the frame ------------------------------------------------------------------------------- */

void pnx__html_page_start(FILE *out, const char *title)
{
    /* Should anything ever get past the escaping, the browser still fetches and runs nothing. */
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
          "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
          "<meta name=\"color-scheme\" content=\"light dark\">\n<title>",
          out);
    pnx__print_markup(out, title, NAME_COLUMNS);
    fputs(" - cleanroom report</title>\n<style>\n", out);
    fputs(pnx__html_style, out);
    fputs("</style>\n</head>\n<body>\n<main>\n", out);
}

void pnx__html_page_end(FILE *out)
{
    fprintf(out,
            "<footer><p>Written by cleanroom %s. Names are shown with \\xNN for what is no "
            "printable character. \"Verified\" means that it was looked for again, and was not "
            "there. Dates are in UTC.</p></footer>\n</main>\n</body>\n</html>\n",
            pnx_version());
}

void pnx__html_heading(const struct pnx__html *html, const char *text)
{
    fprintf(html->out, "<h%d>%s</h%d>\n", html->level, text, html->level);
}

/* ---- colours --------------------------------------------------------------------------------- */

const char *pnx__html_mood(const pnx_session_report *report)
{
    if (report->unremoved)
        return "bad";
    return report->leftovers || report->foreign ? "warn" : "ok";
}

const char *pnx__html_colour(const pnx_session_resource *resource)
{
    switch (pnx__verdict_of(resource->origin, resource->outcome.fate)) {
    case PNX__GONE:
        if (resource->outcome.fate == PNX_FATE_GONE_LATE)
            return "warn";
        return resource->origin == PNX_ORIGIN_MADE ? "own" : "ok";
    case PNX__FOREIGN:
        return "far";
    case PNX__KEPT:
        return "keep";
    case PNX__UNREMOVED:
    case PNX__VERDICT_COUNT:
        break;
    }
    return "bad";
}

void pnx__html_verdict(FILE *out, const pnx_session_report *report)
{
    struct pnx__sum sum = {0};
    pnx__sum_add(&sum, report);
    if (pnx__left_nothing(report))
        fputs("Nothing left behind", out);
    else
        pnx__print_sum(out, &sum);
}

/* ---- the facts ------------------------------------------------------------------------------- */

static void figure_start(FILE *out, const char *name)
{
    fprintf(out, "<div><dt>%s</dt><dd", name);
}

static void figure_count(FILE *out, const char *name, uint64_t count, const char *colour)
{
    figure_start(out, name);
    if (count && *colour)
        fprintf(out, " class=\"%s\"", colour);
    fprintf(out, ">%" PRIu64 "</dd></div>\n", count);
}

static void figures(const struct pnx__html *html)
{
    const pnx_session_report *report = html->report;
    FILE *out = html->out;
    char end[PNX__EXIT_TEXT_SIZE];
    fputs("<dl class=\"figures\">\n", out);
    figure_start(out, "Command");
    fprintf(out, " class=\"%s\">%s<small>after ", pnx__succeeded(report) ? "t-ok" : "t-bad",
            pnx__exit_text(report, end));
    pnx__print_span(out, report->duration);
    fputs("</small></dd></div>\n", out);
    figure_start(out, "Clean-up");
    fputc('>', out);
    pnx__print_span(out, report->cleanup);
    fputs("<small>by the ", out);
    pnx__print_markup(out, pnx__cleaner(report), NAME_COLUMNS);
    fputs("</small></dd></div>\n", out);
    struct pnx__sum sum = {0};
    pnx__sum_add(&sum, report);
    figure_start(out, "Leftovers");
    fprintf(out, ">%" PRIu64, report->leftovers);
    if (report->leftovers)
        fprintf(out, "<small>%" PRIu64 " removed</small>", sum.gone);
    fputs("</dd></div>\n", out);
    figure_count(out, "Not removed", report->unremoved, "t-bad");
    figure_count(out, "Foreign", report->foreign, "");
    figure_count(out, "Kept", report->kept, "");
    fputs("</dl>\n", out);
}

static void fact_start(FILE *out, const char *name)
{
    fprintf(out, "<dt>%s</dt><dd>", name);
}

static void fact(FILE *out, const char *name, const char *value)
{
    fact_start(out, name);
    pnx__print_markup(out, value, TEXT_COLUMNS);
    fputs("</dd>\n", out);
}

static void facts(const struct pnx__html *html)
{
    const pnx_session_report *report = html->report;
    FILE *out = html->out;
    char id[PNX_ID_TEXT_SIZE], date[PNX__DATE_SIZE];
    fputs("<section class=\"card\">\n", out);
    pnx__html_heading(html, "About this run");
    fputs("<dl class=\"facts\">\n", out);
    fact(out, "Tier", pnx__tier_text(report));
    if (*report->tier_reason)
        fact(out, "Not higher, because", report->tier_reason);
    if (report->isolate && report->isolate[0]) {
        fact_start(out, "Isolated");
        for (size_t i = 0; report->isolate[i]; i++) {
            fputs(i ? ", " : "", out);
            pnx__print_markup(out, report->isolate[i], NAME_COLUMNS);
        }
        fputs("</dd>\n", out);
    }
    if (pnx__date_text(report->started, date)) {
        date[strcspn(date, "T")] = ' ';
        fact(out, "Started (UTC)", date);
    }
    if (report->job) {
        fact_start(out, "Job");
        fprintf(out, "line %u, attempt %u</dd>\n", report->job, pnx__attempt_of(report));
    }
    fact_start(out, "Session");
    fprintf(out, "<code>%s</code></dd>\n</dl>\n</section>\n", pnx_id_format(report->session, id));
}

static void warnings(const struct pnx__html *html)
{
    const pnx_session_report *report = html->report;
    bool warned = report->warnings && report->warnings[0];
    if (!warned && !report->supervisor_died && !report->unverified)
        return;
    fputs("<section class=\"card note\">\n", html->out);
    pnx__html_heading(html, "You should know");
    fputs("<ul>\n", html->out);
    if (report->supervisor_died) {
        fputs("<li>The supervisor died before the clean-up was done; the ", html->out);
        pnx__print_markup(html->out, pnx__cleaner(report), NAME_COLUMNS);
        fputs(" did the rest.</li>\n", html->out);
    }
    if (report->unverified)
        fprintf(html->out,
                "<li>%" PRIu64 " of the leftovers count as removed, but were not seen "
                "to be gone.</li>\n",
                report->unverified);
    for (size_t i = 0; report->warnings && report->warnings[i]; i++) {
        fputs("<li>", html->out);
        pnx__print_markup(html->out, report->warnings[i], TEXT_COLUMNS);
        fputs("</li>\n", html->out);
    }
    fputs("</ul>\n</section>\n", html->out);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static int severity(const pnx_session_resource *resource)
{
    static const int severities[PNX__VERDICT_COUNT] = {
        [PNX__UNREMOVED] = 0, [PNX__FOREIGN] = 1, [PNX__KEPT] = 2, [PNX__GONE] = 3};
    if (!pnx__is_told(resource))
        return PNX__VERDICT_COUNT; /* made, and went as it should: after all that was found */
    return severities[pnx__verdict_of(resource->origin, resource->outcome.fate)];
}

/* By kind, then as said in html.h; at last as they came, so that the order is always the same. */
static int compare_rows(const void *left, const void *right)
{
    const pnx_session_resource *one = *(const pnx_session_resource *const *)left;
    const pnx_session_resource *other = *(const pnx_session_resource *const *)right;
    int kinds = strcmp(one->kind, other->kind);
    if (kinds != 0)
        return kinds;
    if (severity(one) != severity(other))
        return severity(one) - severity(other);
    if (one->created != other->created)
        return one->created < other->created ? -1 : 1;
    return one < other ? -1 : one > other;
}

const pnx_session_resource **pnx__html_rows_of(const struct pnx__html *html, const char *kind,
                                               size_t *ret_count)
{
    size_t low = 0, high = html->report->resource_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(html->rows[middle]->kind, kind) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    size_t end = low;
    while (end < html->report->resource_count && strcmp(html->rows[end]->kind, kind) == 0)
        end++;
    *ret_count = end - low;
    return html->rows + low;
}

static bool sort(struct pnx__html *html)
{
    const pnx_session_report *report = html->report;
    html->kinds = pnx__totals_in_order(report);
    html->rows = calloc(report->resource_count + 1, sizeof(const pnx_session_resource *));
    if (!html->rows || (!html->kinds && report->total_count))
        return false;
    for (size_t i = 0; i < report->resource_count; i++)
        html->rows[i] = &report->resources[i];
    qsort(html->rows, report->resource_count, sizeof *html->rows, compare_rows);
    return true;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void command_line(const struct pnx__html *html)
{
    fputs("<pre aria-label=\"Command\">$ ", html->out);
    pnx__print_markup_command(html->out, html->report->command, TEXT_COLUMNS);
    fputs("</pre>\n", html->out);
}

pnx_status pnx__html_session(struct pnx__html *html, pnx_error *err)
{
    if (!sort(html)) {
        free(html->rows);
        free(html->kinds);
        return pnx_fail(err, PNX_ENOMEM, "no memory for the report");
    }
    figures(html);
    warnings(html);
    pnx__html_timeline(html);
    pnx__html_resources(html);
    pnx__html_extras(html);
    pnx__html_totals(html);
    facts(html);
    free(html->rows);
    free(html->kinds);
    return PNX_OK;
}

pnx_status pnx__html_of(const pnx_session_report *report, FILE *out, pnx_error *err)
{
    struct pnx__html html = {
        .out = out, .report = report, .lanes_max = 15, .rows_max = 250, .level = 2};
    const char *mood = pnx__html_mood(report);
    pnx__html_page_start(out, report->name);
    fprintf(out, "<header class=\"card top %s\">\n<p class=\"brand\">cleanroom report</p>\n<h1>",
            mood);
    pnx__print_markup(out, report->name, NAME_COLUMNS);
    if (pnx__attempt_of(report) > 1)
        fprintf(out, " <small>attempt %u</small>", pnx__attempt_of(report));
    fprintf(out, "</h1>\n<p class=\"verdict %s\">", mood);
    pnx__html_verdict(out, report);
    fputs("</p>\n", out);
    command_line(&html);
    fputs("</header>\n", out);
    pnx_status status = pnx__html_session(&html, err);
    pnx__html_page_end(out);
    return status;
}
