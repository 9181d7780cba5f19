/* SPDX-License-Identifier: MIT */
/* The tables of a page: resources by kind, totals, and the rest that there may be. */
#include "report/escape.h"
#include "report/figures.h"
#include "report/html.h"
#include "report/summary.h"

#include <inttypes.h>

#define NAME_COLUMNS 300
#define TEXT_COLUMNS 1000
#define OUTPUT_COLUMNS 8000

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

/* ---- resources ------------------------------------------------------------------------------- */

static void cell_text(FILE *out, const char *label, const char *text)
{
    fprintf(out, "<td data-l=\"%s\">", label);
    pnx__print_markup(out, text, TEXT_COLUMNS);
    fputs("</td>", out);
}

static void cell_name(FILE *out, const pnx_session_resource *row)
{
    const char *name = or_empty(row->name);
    fputs("<th scope=\"row\"><span class=\"m\">", out);
    pnx__print_markup(out, *name ? name : row->id, NAME_COLUMNS);
    fputs("</span>", out);
    const char *before = "<br><small>";
    if (row->origin == PNX_ORIGIN_MADE) {
        fprintf(out, "%smade by the run", before);
        before = ", ";
    }
    const char *const more[] = {row->type, row->detail};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        if (!more[i] || !*more[i])
            continue;
        fputs(before, out);
        pnx__print_markup(out, more[i], TEXT_COLUMNS);
        before = ", ";
    }
    if (*before == ',')
        fputs("</small>", out);
    fputs("</th>", out);
}

static void cell_fate(FILE *out, const pnx_session_resource *row)
{
    bool gone = pnx__verdict_of(row->origin, row->outcome.fate) == PNX__GONE;
    fprintf(out, "<td><span class=\"b %s\">%s</span>%s</td>", pnx__html_colour(row),
            pnx_fate_name(row->outcome.fate),
            row->outcome.verified ? " <small>verified</small>"
            : gone                ? " <small>not verified</small>"
                                  : "");
}

/* When it came and when it went, counted from the start of the command. */
static void cell_life(FILE *out, const pnx_session_report *report, const pnx_session_resource *row)
{
    fputs("<td class=\"time\" data-l=\"Life\">", out);
    if (report->started > 0 && row->created > report->started)
        pnx__print_span(out, row->created - report->started);
    else
        fputs(row->created ? "start" : "?", out);
    fputs(" – ", out);
    if (report->started > 0 && row->removed)
        pnx__print_span(out, row->removed - report->started);
    else
        fputs(row->removed ? "removed" : "still there", out);
    fputs("</td>", out);
}

static void cell_effort(FILE *out, const pnx_session_resource *row)
{
    fputs("<td class=\"time\" data-l=\"Took\">", out);
    if (row->outcome.attempts) {
        pnx__print_span(out, row->outcome.took);
        if (row->outcome.attempts > 1)
            fprintf(out, ", %u attempts", row->outcome.attempts);
    }
    fputs("</td>", out);
}

static void table_row(FILE *out, const pnx_session_report *report, const pnx_session_resource *row)
{
    fputs("<tr>", out);
    cell_name(out, row);
    cell_fate(out, row);
    cell_life(out, report, row);
    cell_effort(out, row);
    fputs("<td class=\"num\" data-l=\"Size\">", out);
    if (row->outcome.bytes)
        pnx__print_bytes(out, row->outcome.bytes);
    fputs("</td><td class=\"num\" data-l=\"User\">", out);
    if (row->owner >= 0)
        fprintf(out, "%" PRId64, row->owner);
    fputs("</td>", out);
    cell_text(out, "Why", row->outcome.reason);
    fputs("</tr>\n", out);
}

/* What has no row of its own, by what became of it. */
static void rest_row(FILE *out, const pnx_session_total *total,
                     const pnx_session_resource *const *rows, size_t shown)
{
    uint64_t left[PNX_FATE_COUNT], all = 0;
    for (int fate = 0; fate < PNX_FATE_COUNT; fate++)
        left[fate] = total->made[fate] + total->found[fate];
    for (size_t i = 0; i < shown; i++)
        left[rows[i]->outcome.fate]--;
    for (int fate = 0; fate < PNX_FATE_COUNT; fate++)
        all += left[fate];
    if (all == 0)
        return;
    fprintf(out, "<tr class=\"more\"><td colspan=\"7\">and %" PRIu64 " more", all);
    const char *between = ": ";
    for (int fate = 0; fate < PNX_FATE_COUNT; fate++) {
        if (left[fate] == 0)
            continue;
        fprintf(out, "%s%" PRIu64 " %s", between, left[fate], pnx_fate_name((pnx_fate)fate));
        between = ", ";
    }
    fputs("</td></tr>\n", out);
}

static void kind_summary(FILE *out, const pnx_session_total *total)
{
    static const struct {
        pnx__verdict verdict;
        const char *colour, *text;
    } parts[] = {
        {PNX__UNREMOVED, "bad", "not removed"},
        {PNX__FOREIGN, "far", "foreign"},
        {PNX__KEPT, "keep", "kept"},
        {PNX__GONE, "ok", "gone"},
    };
    fputs("<summary>", out);
    pnx__print_markup(out, total->kind, NAME_COLUMNS);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        uint64_t count = pnx__count_verdict(total, parts[i].verdict);
        if (count)
            fprintf(out, " <span class=\"b %s\">%" PRIu64 " %s</span>", parts[i].colour, count,
                    parts[i].text);
    }
    uint64_t made = 0;
    for (int fate = 0; fate < PNX_FATE_COUNT; fate++)
        if (pnx__verdict_of(PNX_ORIGIN_MADE, (pnx_fate)fate) == PNX__GONE)
            made += total->made[fate];
    if (made)
        fprintf(out, " <span class=\"b\">%" PRIu64 " made by the run</span>", made);
    fputs("</summary>\n", out);
}

/* What was made and went well is there for who wants to see it; many rows are, too. */
static bool is_open(const pnx_session_total *total, size_t rows)
{
    uint64_t problems = pnx__count_verdict(total, PNX__UNREMOVED) +
                        pnx__count_verdict(total, PNX__FOREIGN) +
                        pnx__count_verdict(total, PNX__KEPT);
    return problems || (rows <= 25 && pnx__count_verdict(total, PNX__GONE));
}

static void kind_table(const struct pnx__html *html, const pnx_session_total *total)
{
    FILE *out = html->out;
    size_t count;
    const pnx_session_resource **rows = pnx__html_rows_of(html, total->kind, &count);
    size_t shown = count < html->rows_max ? count : html->rows_max;
    fprintf(out, "<details class=\"kind\"%s>", is_open(total, count) ? " open" : "");
    kind_summary(out, total);
    fputs("<div class=\"scroll\"><table class=\"things\">\n<thead><tr>"
          "<th scope=\"col\" class=\"what\">What</th><th scope=\"col\" class=\"fate\">Fate</th>"
          "<th scope=\"col\" class=\"life\">Life</th><th scope=\"col\" class=\"took\">Took</th>"
          "<th scope=\"col\" class=\"num size\">Size</th>"
          "<th scope=\"col\" class=\"num user\">User</th><th scope=\"col\">Why</th></tr></thead>\n"
          "<tbody>\n",
          out);
    for (size_t i = 0; i < shown; i++)
        table_row(out, html->report, rows[i]);
    rest_row(out, total, rows, shown);
    fputs("</tbody>\n</table></div></details>\n", out);
}

void pnx__html_resources(const struct pnx__html *html)
{
    if (html->report->total_count == 0)
        return;
    fputs("<section class=\"card\">\n", html->out);
    pnx__html_heading(html, "Resources");
    for (size_t i = 0; i < html->report->total_count; i++)
        kind_table(html, html->kinds[i]);
    fputs("</section>\n", html->out);
}

/* ---- totals ---------------------------------------------------------------------------------- */

void pnx__html_totals(const struct pnx__html *html)
{
    FILE *out = html->out;
    uint64_t by_fate[PNX_FATE_COUNT] = {0};
    for (size_t i = 0; i < html->report->total_count; i++)
        for (int fate = 0; fate < PNX_FATE_COUNT; fate++)
            by_fate[fate] += html->kinds[i]->made[fate] + html->kinds[i]->found[fate];
    if (html->report->total_count == 0)
        return;
    fputs("<section class=\"card\">\n", out);
    pnx__html_heading(html, "Totals");
    fputs("<div class=\"scroll\"><table><thead><tr><th scope=\"col\">Kind</th>", out);
    for (int fate = 0; fate < PNX_FATE_COUNT; fate++)
        if (by_fate[fate])
            fprintf(out, "<th scope=\"col\" class=\"num\">%s</th>", pnx_fate_name((pnx_fate)fate));
    fputs("<th scope=\"col\" class=\"num\">in all</th></tr></thead>\n<tbody>\n", out);
    for (size_t i = 0; i < html->report->total_count; i++) {
        uint64_t all = 0;
        fputs("<tr><th scope=\"row\">", out);
        pnx__print_markup(out, html->kinds[i]->kind, NAME_COLUMNS);
        fputs("</th>", out);
        for (int fate = 0; fate < PNX_FATE_COUNT; fate++) {
            uint64_t count = html->kinds[i]->made[fate] + html->kinds[i]->found[fate];
            all += count;
            if (by_fate[fate])
                fprintf(out, "<td class=\"num%s\">%" PRIu64 "</td>", count ? "" : " zero", count);
        }
        fprintf(out, "<td class=\"num\">%" PRIu64 "</td></tr>\n", all);
    }
    fputs("</tbody></table></div>\n", out);
    if (html->report->unlisted)
        fprintf(out,
                "<p class=\"s\">%" PRIu64 " of these are counted, but not listed one by one."
                "</p>\n",
                html->report->unlisted);
    fputs("</section>\n", out);
}

/* ---- limits, hooks, artifacts ---------------------------------------------------------------- */

static void limits(const struct pnx__html *html)
{
    const pnx_session_report *report = html->report;
    if (report->limit_count == 0)
        return;
    fputs("<section class=\"card\">\n", html->out);
    pnx__html_heading(html, "Limits");
    fputs("<ul>\n", html->out);
    for (size_t i = 0; i < report->limit_count; i++) {
        fprintf(html->out, "<li><span class=\"b %s\">%s</span> ",
                report->limits[i].hit ? "warn" : "ok", report->limits[i].hit ? "met" : "not met");
        pnx__print_markup(html->out, report->limits[i].text, TEXT_COLUMNS);
        fputs("</li>\n", html->out);
    }
    fputs("</ul>\n</section>\n", html->out);
}

static void hooks(const struct pnx__html *html)
{
    const pnx_session_report *report = html->report;
    char end[PNX__EXIT_TEXT_SIZE];
    if (report->hook_count == 0)
        return;
    fputs("<section class=\"card\">\n", html->out);
    pnx__html_heading(html, "Undo hooks");
    for (size_t i = 0; i < report->hook_count; i++) {
        const pnx_session_hook *hook = &report->hooks[i];
        fprintf(html->out, "<p><span class=\"b %s\">%s</span> <code>",
                pnx__hook_failed(hook) ? "bad" : "ok",
                pnx__end_text(hook->exit_code, hook->exit_signal, hook->timed_out, end));
        pnx__print_markup(html->out, hook->command, NAME_COLUMNS);
        fputs("</code> <small>", html->out);
        pnx__print_span(html->out, hook->duration);
        fputs("</small> ", html->out);
        pnx__print_markup(html->out, hook->reason, TEXT_COLUMNS);
        fputs("</p>\n", html->out);
        if (!*or_empty(hook->output))
            continue;
        fputs("<pre>", html->out);
        pnx__print_markup_lines(html->out, hook->output, OUTPUT_COLUMNS);
        fputs("</pre>\n", html->out);
    }
    fputs("</section>\n", html->out);
}

static void artifacts(const struct pnx__html *html)
{
    const pnx_session_report *report = html->report;
    FILE *out = html->out;
    if (!report->artifacts_dir)
        return;
    fputs("<section class=\"card\">\n", out);
    pnx__html_heading(html, "Artifacts");
    fputs("<p>", out);
    pnx__print_counted(out, report->artifacts_saved, "file", "files");
    fputs(" (", out);
    pnx__print_bytes(out, report->artifacts_bytes);
    fputs(") saved in <code>", out);
    pnx__print_markup(out, report->artifacts_dir, NAME_COLUMNS);
    fprintf(out, "</code>, %" PRIu64 " not.</p>\n", report->artifacts_failed);
    size_t shown =
        report->artifact_count < html->rows_max ? report->artifact_count : html->rows_max;
    fputs(shown ? "<ul>\n" : "", out);
    for (size_t i = 0; i < shown; i++) {
        const pnx_session_artifact *artifact = &report->artifacts[i];
        bool failed = *or_empty(artifact->reason) != '\0';
        fprintf(out, "<li><span class=\"b %s\">%s</span> <code>", failed ? "bad" : "ok",
                failed ? "not saved" : "saved");
        pnx__print_markup(out, artifact->path, NAME_COLUMNS);
        fputs("</code> <small>", out);
        if (failed)
            pnx__print_markup(out, artifact->reason, TEXT_COLUMNS);
        else
            pnx__print_bytes(out, artifact->bytes);
        fputs("</small></li>\n", out);
    }
    fputs(shown ? "</ul>\n" : "", out);
    fputs("</section>\n", out);
}

void pnx__html_extras(const struct pnx__html *html)
{
    limits(html);
    hooks(html);
    artifacts(html);
}
