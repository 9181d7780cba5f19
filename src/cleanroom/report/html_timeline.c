/* SPDX-License-Identifier: MIT */
/*
 * The life of each resource as a bar, below that of the command. Two scales in one line: a clean-up
 * of milliseconds after minutes of work would not be seen otherwise. Positions are in per cent, so
 * that the drawing fits every width and its text keeps its size.
 */
#include "report/escape.h"
#include "report/figures.h"
#include "report/html.h"

#include <inttypes.h>
#include <string.h>

#define LABEL_COLUMNS 120
#define BINS 120

/* ---- the scale ------------------------------------------------------------------------------- */

struct scale {
    int64_t start, end;     /* of the command, since 1970 */
    pnx_duration run, rest; /* its length, and that of the clean-up; never 0 */
    double edge;            /* where the clean-up begins, in per cent */
};

static struct scale scale_of(const pnx_session_report *report)
{
    struct scale scale = {.start = report->started,
                          .run = report->duration > 0 ? report->duration : 1,
                          .rest = report->cleanup > 0 ? report->cleanup : 1};
    scale.end = scale.start + scale.run;
    double share = 100.0 * (double)scale.run / ((double)scale.run + (double)scale.rest);
    scale.edge = share > 65 ? 65 : share < 35 ? 35 : share;
    return scale;
}

/* In per cent of the width. */
static double place(const struct scale *scale, int64_t time)
{
    if (time <= scale->start)
        return 0;
    if (time < scale->end)
        return scale->edge * (double)(time - scale->start) / (double)scale->run;
    double after = (double)(time - scale->end) / (double)scale->rest;
    return scale->edge + (100 - scale->edge) * (after < 1 ? after : 1);
}

/* 1, 2 or 5 times a power of ten: about `parts` steps in `length`. */
static pnx_duration step_of(pnx_duration length, int parts)
{
    pnx_duration wanted = length / parts, step = 1;
    while (step < wanted / 10)
        step *= 10;
    return step >= wanted       ? step
           : 2 * step >= wanted ? 2 * step
           : 5 * step >= wanted ? 5 * step
                                : 10 * step;
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static void background(FILE *out, const struct scale *scale)
{
    fprintf(out,
            "<rect class=\"phase\" x=\"%.2f%%\" width=\"%.2f%%\" height=\"100%%\"/>"
            "<line class=\"edge\" x1=\"%.2f%%\" x2=\"%.2f%%\" y2=\"100%%\"/>",
            scale->edge, 100 - scale->edge, scale->edge, scale->edge);
}

static void tick(FILE *out, double at, const char *sign, pnx_duration span)
{
    fprintf(out, "<line class=\"tick\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"22\" y2=\"36\"/>", at, at);
    if (at > 90)
        return; /* the text would be cut off */
    fprintf(out, "<text x=\"%.2f%%\" dx=\"3\" y=\"33\">%s", at, sign);
    if (span == 0)
        fputc('0', out);
    else if (span % PNX_S(1) == 0 && span < PNX_S(60))
        fprintf(out, "%" PRId64 " s", span / PNX_S(1));
    else if (span % PNX_MS(1) == 0 && span < PNX_S(1))
        fprintf(out, "%" PRId64 " ms", span / PNX_MS(1));
    else
        pnx__print_span(out, span);
    fputs("</text>", out);
}

static void axis(FILE *out, const struct scale *scale)
{
    fputs("<li class=\"axis\"><b></b><span></span><svg aria-hidden=\"true\">", out);
    background(out, scale);
    fprintf(out,
            "<text x=\"0\" y=\"13\">the command runs</text>"
            "<text x=\"%.2f%%\" dx=\"5\" y=\"13\">clean-up</text>",
            scale->edge);
    pnx_duration step = step_of(scale->run, 4);
    for (pnx_duration at = 0; at + step / 3 < scale->run; at += step)
        tick(out, scale->edge * (double)at / (double)scale->run, "", at);
    step = step_of(scale->rest, 3);
    for (pnx_duration at = 0; at + step / 3 < scale->rest; at += step)
        tick(out, scale->edge + (100 - scale->edge) * (double)at / (double)scale->rest, "+", at);
    fputs("</svg><span class=\"f\"></span></li>\n", out);
}

static void bar(FILE *out, const char *colour, double from, double to)
{
    const double least = 0.6; /* what is shorter would not be seen */
    if (to - from < least) {
        from = from > 100 - least ? 100 - least : from;
        to = from + least;
    }
    fprintf(out,
            "<rect class=\"bar %s\" x=\"%.2f%%\" width=\"%.2f%%\" y=\"5\" height=\"10\" "
            "rx=\"2\"/>",
            colour, from, to - from);
}

/* ---- lanes ----------------------------------------------------------------------------------- */

static void lane_of_command(FILE *out, const struct scale *scale, const pnx_session_report *report)
{
    char end[PNX__EXIT_TEXT_SIZE];
    fputs("<li class=\"k\"><b>CMD</b><span class=\"m\">", out);
    pnx__print_markup(out, report->name, LABEL_COLUMNS);
    fputs("</span><svg role=\"img\"><title>The command: ", out);
    fputs(pnx__exit_text(report, end), out);
    fputs(" after ", out);
    pnx__print_span(out, report->duration);
    fputs("</title>", out);
    background(out, scale);
    bar(out, pnx__succeeded(report) ? "run" : "bad", 0, scale->edge);
    fprintf(out, "</svg><span class=\"f\">%s</span></li>\n", pnx__exit_text(report, end));
    fputs("<li class=\"k\"><b>clean-up</b><span class=\"s\">by the ", out);
    pnx__print_markup(out, pnx__cleaner(report), LABEL_COLUMNS);
    fputs("</span><svg role=\"img\"><title>The clean-up took ", out);
    pnx__print_span(out, report->cleanup);
    fputs("</title>", out);
    background(out, scale);
    bar(out, "own", scale->edge, 100);
    fputs("</svg><span class=\"f\">", out);
    pnx__print_span(out, report->cleanup);
    fputs("</span></li>\n", out);
}

static void since_start(FILE *out, const struct scale *scale, int64_t time)
{
    pnx__print_span(out, time - scale->start);
}

static void lane_title(FILE *out, const struct scale *scale, const pnx_session_resource *row)
{
    fputs("<title>", out);
    pnx__print_markup(out, row->kind, LABEL_COLUMNS);
    fputc(' ', out);
    pnx__print_markup(out, row->name, LABEL_COLUMNS);
    if (row->created && row->created > scale->start) {
        fputs(", from ", out);
        since_start(out, scale, row->created);
    } else if (row->created) {
        fputs(", from the start", out);
    } else {
        fputs(", since an unknown time", out);
    }
    if (row->removed) {
        fputs(" to ", out);
        since_start(out, scale, row->removed);
    }
    fprintf(out, ": %s</title>", pnx_fate_name(row->outcome.fate));
}

/* The first lane of a kind names it. */
static void lane_start(FILE *out, const char *kind, bool first, const char *class)
{
    fprintf(out, "<li%s><b>", first ? " class=\"k\"" : "");
    if (first)
        pnx__print_markup(out, kind, LABEL_COLUMNS);
    fprintf(out, "</b><span class=\"%s\">", class);
}

static void lane(FILE *out, const struct scale *scale, const pnx_session_resource *row, bool first)
{
    const char *colour = pnx__html_colour(row);
    double from = row->created ? place(scale, row->created) : 0;
    double to = row->removed ? place(scale, row->removed) : 100;
    lane_start(out, row->kind, first, "m");
    pnx__print_markup(out, row->name && *row->name ? row->name : row->id, LABEL_COLUMNS);
    fputs("</span><svg role=\"img\">", out);
    lane_title(out, scale, row);
    background(out, scale);
    bar(out, colour, from, to);
    if (!row->removed) /* it goes on: an arrow points out of the picture */
        fprintf(out,
                "<svg x=\"100%%\" width=\"1\" overflow=\"visible\"><path class=\"open %s\" "
                "d=\"M-1 5l6 5-6 5\"/></svg>",
                colour);
    fprintf(out, "</svg><span class=\"f\">%s</span></li>\n", pnx_fate_name(row->outcome.fate));
}

/* It has a lane of its own at the top. */
static bool is_command(const pnx_session_resource *row)
{
    return row->origin == PNX_ORIGIN_MADE && strcmp(row->kind, "process") == 0;
}

/* How many of the rows that have no lane were there at a time, as one area. */
static uint64_t area_of(const struct scale *scale, const pnx_session_resource *const *rows,
                        size_t count, uint64_t there[BINS + 1])
{
    uint64_t most = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_command(rows[i]))
            continue;
        double from = rows[i]->created ? place(scale, rows[i]->created) : 0;
        double to = rows[i]->removed ? place(scale, rows[i]->removed) : 100;
        for (int bin = (int)(from * BINS / 100); bin <= (int)(to * BINS / 100); bin++)
            there[bin]++;
    }
    for (int bin = 0; bin <= BINS; bin++)
        most = there[bin] > most ? there[bin] : most;
    return most;
}

/* What of a kind has no lane of its own. */
struct rest {
    const pnx_session_resource *const *rows;
    size_t count;      /* of the rows; the command is not meant, if it is among them */
    uint64_t drawable; /* how many of them are meant */
    uint64_t unlisted; /* how many there are besides, of which nothing is known */
};

static void lane_of_rest(FILE *out, const struct scale *scale, const char *kind, bool first,
                         const struct rest *rest)
{
    uint64_t there[BINS + 1] = {0}, most = area_of(scale, rest->rows, rest->count, there);
    uint64_t all = rest->drawable + rest->unlisted;
    lane_start(out, kind, first, "s");
    fprintf(out, "and %" PRIu64 " more</span><svg role=\"img\"><title>%" PRIu64 " more", all, all);
    if (most)
        fprintf(out, ", at most %" PRIu64 " of them at a time", most);
    if (rest->unlisted)
        fprintf(out, "; %" PRIu64 " are not drawn", rest->unlisted);
    fputs("</title>", out);
    background(out, scale);
    if (most) {
        fprintf(out,
                "<svg viewBox=\"0 0 %d 22\" preserveAspectRatio=\"none\">"
                "<path class=\"bar area\" d=\"M0 22",
                BINS);
        for (int bin = 0; bin <= BINS; bin++)
            fprintf(out, "L%d %.1f", bin, 22 - 18.0 * (double)there[bin] / (double)most);
        fprintf(out, "L%d 22Z\"/></svg>", BINS);
    }
    fputs("</svg><span class=\"f\">", out);
    if (most)
        fprintf(out, "up to %" PRIu64, most);
    fputs("</span></li>\n", out);
}

static void kind(const struct pnx__html *html, const struct scale *scale,
                 const pnx_session_total *total)
{
    size_t count, drawn = 0, at = 0;
    const pnx_session_resource **rows = pnx__html_rows_of(html, total->kind, &count);
    struct rest rest = {.drawable = count};
    for (int fate = 0; fate < PNX_FATE_COUNT; fate++)
        rest.unlisted += total->unlisted[fate];
    for (size_t i = 0; i < count; i++)
        rest.drawable -= is_command(rows[i]);
    /* Of what is too many to draw, a few are an example and the rest is the picture. */
    size_t most = rest.drawable <= html->lanes_max ? html->lanes_max : html->lanes_max / 2;
    for (; at < count && drawn < most; at++) {
        if (is_command(rows[at]))
            continue;
        lane(html->out, scale, rows[at], drawn == 0);
        drawn++;
    }
    rest.rows = rows + at;
    rest.count = count - at;
    rest.drawable -= drawn;
    if (rest.drawable || rest.unlisted)
        lane_of_rest(html->out, scale, total->kind, drawn == 0, &rest);
}

void pnx__html_timeline(const struct pnx__html *html)
{
    const pnx_session_report *report = html->report;
    struct scale scale = scale_of(report);
    if (report->started <= 0)
        return; /* nothing was run, or it is not known when */
    fputs("<section class=\"card\">\n", html->out);
    pnx__html_heading(html, "Timeline");
    fputs("<p class=\"s\">From when it was made to when it was seen to be gone. The clean-up has a "
          "scale of its own; an arrow means that it is still there.</p>\n<ol class=\"tl\">\n",
          html->out);
    axis(html->out, &scale);
    lane_of_command(html->out, &scale, report);
    for (size_t i = 0; i < report->total_count; i++)
        kind(html, &scale, html->kinds[i]);
    fputs("</ol>\n</section>\n", html->out);
}
