/* SPDX-License-Identifier: MIT */
/* Several sessions for people: a line each, then those of which there is more to tell. */
#include "report/escape.h"
#include "report/figures.h"
#include "report/text.h"

#include <inttypes.h>

#define NAME_COLUMNS 40

static size_t width_of_names(const pnx_session_report *reports, size_t count)
{
    size_t width = 4;
    FILE *nowhere = fopen("/dev/null", "w");
    for (size_t i = 0; nowhere && i < count; i++) {
        size_t columns = pnx__print_name(nowhere, reports[i].name, NAME_COLUMNS);
        width = columns > width ? columns : width;
    }
    if (nowhere)
        (void)fclose(nowhere);
    return width;
}

static void print_line(const pnx_session_report *report, bool superseded, size_t width, FILE *out)
{
    char end[PNX__EXIT_TEXT_SIZE];
    fputs("  ", out);
    size_t columns = pnx__print_name(out, report->name, NAME_COLUMNS);
    fprintf(out, "%*s  %-10s  ", columns < width ? (int)(width - columns) : 0, "",
            pnx__exit_text(report, end));
    pnx__print_span(out, report->duration);
    fputs("  ", out);
    if (superseded)
        fprintf(out, "attempt %u, tried again; ", pnx__attempt_of(report));
    else if (pnx__attempt_of(report) > 1)
        fprintf(out, "attempt %u; ", pnx__attempt_of(report));
    struct pnx__sum sum = {0};
    pnx__sum_add(&sum, report);
    if (pnx__left_nothing(report))
        fputs("nothing left behind", out);
    else
        pnx__print_sum(out, &sum);
    fputc('\n', out);
}

static void print_head(const struct pnx__summary *summary, FILE *out)
{
    fputs("cleanroom: ", out);
    pnx__print_counted(out, summary->sessions, "session", "sessions");
    fprintf(out, "  %" PRIu64 " succeeded, %" PRIu64 " failed", summary->succeeded,
            summary->failed);
    if (summary->timed_out)
        fprintf(out, " (%" PRIu64 " timed out)", summary->timed_out);
    if (summary->retried)
        fprintf(out, ", %" PRIu64 " tried again", summary->retried);
    fputs("  ", out);
    pnx__print_span(out, summary->duration);
    fputc('\n', out);
}

static void print_end(const struct pnx__summary *summary, FILE *out)
{
    fputs("  in all: ", out);
    if (summary->clean == summary->sessions) {
        fputs("nothing left behind\n", out);
        return;
    }
    pnx__print_sum(out, &summary->sum);
    fprintf(out, "; %" PRIu64 " of ", summary->sessions - summary->clean);
    pnx__print_counted(out, summary->sessions, "session", "sessions");
    fputs(" left something behind\n", out);
}

pnx_status pnx__text_of_all(const pnx_session_report *reports, size_t count, FILE *out,
                            pnx_error *err)
{
    struct pnx__summary summary;
    pnx_status status = pnx__summarise(reports, count, &summary, err);
    if (status != PNX_OK)
        return status;
    size_t width = width_of_names(reports, count);
    print_head(&summary, out);
    for (size_t i = 0; i < count; i++)
        print_line(&reports[i], summary.superseded[i], width, out);
    for (size_t i = 0; i < count && status == PNX_OK; i++) {
        if (!pnx__has_details(&reports[i]))
            continue;
        fputc('\n', out);
        status = pnx__text_of(&reports[i], out, err);
    }
    if (status == PNX_OK && summary.sessions > 0) {
        fputs(summary.clean == summary.sessions ? "" : "\n", out);
        print_end(&summary, out);
    }
    pnx__summary_done(&summary);
    return status;
}
