/* SPDX-License-Identifier: MIT */
/* For people: one line when there is nothing to tell, else a section for each thing that is. */
#include "report/text.h"

#include "report/escape.h"
#include "report/figures.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* So many of a kind are named; the rest is counted. */
#define NAMED_MAX 5
#define KIND_COLUMNS 16
#define NAME_COLUMNS 60
#define PATH_COLUMNS 200
#define OUTPUT_COLUMNS 120

/* ---- one resource, one kind ------------------------------------------------------------------ */

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

/* In brackets: what it is, how much of it there was, and if it went, what that took. */
static void print_brackets(FILE *out, const pnx_session_resource *resource, bool gone)
{
    const char *detail = or_empty(resource->detail), *reason = resource->outcome.reason;
    bool sized = resource->outcome.bytes > 0 && strcmp(resource->kind, "process") != 0;
    const char *between = " (";
    if (*detail) {
        fputs(between, out);
        pnx__print_name(out, detail, PATH_COLUMNS);
        between = ", ";
    }
    if (sized) {
        fputs(between, out);
        pnx__print_bytes(out, resource->outcome.bytes);
        between = ", ";
    }
    if (gone && *reason) {
        fputs(between, out);
        pnx__print_name(out, reason, SIZE_MAX);
        between = ", ";
    }
    if (*between == ',')
        fputc(')', out);
}

/* "sleep 1000 (pid 4711, daemon, ignored SIGTERM)", "a/b: Permission denied" */
static void print_resource(FILE *out, const pnx_session_resource *resource, bool gone)
{
    bool process = strcmp(resource->kind, "process") == 0;
    const char *name = or_empty(resource->name);
    pnx__print_name(out, *name ? name : or_empty(resource->id),
                    process ? NAME_COLUMNS : PATH_COLUMNS);
    print_brackets(out, resource, gone);
    if (!gone && *resource->outcome.reason) {
        fputs(": ", out);
        pnx__print_name(out, resource->outcome.reason, SIZE_MAX);
    }
}

static void print_kind_name(FILE *out, const char *kind, int width)
{
    fputs("    ", out);
    int columns = (int)pnx__print_name(out, kind, KIND_COLUMNS);
    fprintf(out, "%*s", columns < width ? width - columns : 0, "");
}

/* A section of the report. */
struct section {
    const pnx_session_report *report;
    pnx__verdict verdict;
    int width; /* of the names of kinds */
    FILE *out;
};

static bool is_in(const struct section *section, const pnx_session_resource *resource,
                  const char *kind)
{
    return strcmp(resource->kind, kind) == 0 && pnx__is_told(resource) &&
           pnx__verdict_of(resource->origin, resource->outcome.fate) == section->verdict;
}

/* One line each for the first few of a kind; `total` may be more than are listed. */
static void print_kind(const struct section *section, const char *kind, uint64_t total,
                       bool only_absolute)
{
    FILE *out = section->out;
    uint64_t named = 0;
    for (size_t i = 0; i < section->report->resource_count && named < NAMED_MAX; i++) {
        const pnx_session_resource *resource = &section->report->resources[i];
        if (!is_in(section, resource, kind))
            continue;
        if (only_absolute && *or_empty(resource->name) != '/')
            continue;
        print_kind_name(out, named ? "" : kind, section->width);
        if (named++ == 0)
            fprintf(out, " %5" PRIu64 "  ", total);
        else
            fprintf(out, " %5s  ", "");
        print_resource(out, resource, section->verdict == PNX__GONE);
        fputc('\n', out);
    }
    if (named == 0) {
        print_kind_name(out, kind, section->width);
        fprintf(out, " %5" PRIu64 "\n", total);
    } else if (total > named) {
        print_kind_name(out, "", section->width);
        fprintf(out, " %5s  and %" PRIu64 " more\n", "", total - named);
    }
}

/* Of files in TMPDIR, the sorts say more than a few names; returns how many there were. */
static uint64_t print_files(const struct section *section)
{
    const pnx_tree_totals *files = &section->report->files;
    const struct {
        uint64_t count;
        const char *one, *many;
    } sorts[] = {
        {files->files, "file", "files"},          {files->directories, "directory", "directories"},
        {files->symlinks, "symlink", "symlinks"}, {files->fifos, "FIFO", "FIFOs"},
        {files->sockets, "socket", "sockets"},    {files->devices, "device", "devices"},
    };
    uint64_t removed = pnx_tree_entries(files) - files->stuck;
    if (removed == 0)
        return 0;
    print_kind_name(section->out, "file", section->width);
    fprintf(section->out, " %5" PRIu64 "  ", removed);
    if (files->bytes) {
        pnx__print_bytes(section->out, files->bytes);
        fputc(' ', section->out);
    }
    fputs("in TMPDIR", section->out);
    const char *between = ": ";
    for (size_t i = 0; i < sizeof sorts / sizeof *sorts; i++) {
        if (!sorts[i].count)
            continue;
        fputs(between, section->out);
        pnx__print_counted(section->out, sorts[i].count, sorts[i].one, sorts[i].many);
        between = ", ";
    }
    fputc('\n', section->out);
    return removed;
}

/* ---- sections -------------------------------------------------------------------------------- */

static void print_section(const struct section *section, const pnx_session_total *const *kinds)
{
    static const char *const titles[PNX__VERDICT_COUNT] = {
        [PNX__GONE] = "left behind and removed",
        [PNX__UNREMOVED] = "could not be removed",
        [PNX__FOREIGN] = "left behind, not provably ours, not touched",
        [PNX__KEPT] = "kept (policy)",
    };
    bool titled = false;
    for (size_t i = 0; i < section->report->total_count; i++) {
        const char *kind = kinds[i]->kind;
        uint64_t total = pnx__count_verdict(kinds[i], section->verdict);
        if (total == 0)
            continue;
        if (!titled)
            fprintf(section->out, "  %s\n", titles[section->verdict]);
        titled = true;
        uint64_t summed = 0;
        if (section->verdict == PNX__GONE && strcmp(kind, "file") == 0)
            summed = print_files(section);
        if (total > summed)
            print_kind(section, kind, total - summed, summed > 0);
    }
}

static int width_of(const pnx_session_total *const *kinds, size_t count)
{
    size_t width = 8;
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(kinds[i]->kind);
        bool told = false;
        for (int verdict = 0; verdict < PNX__VERDICT_COUNT; verdict++)
            told = told || pnx__count_verdict(kinds[i], (pnx__verdict)verdict);
        if (told && length > width)
            width = length < KIND_COLUMNS ? length : KIND_COLUMNS;
    }
    return (int)width;
}

static pnx_status print_resources(const pnx_session_report *report, FILE *out, pnx_error *err)
{
    const pnx_session_total **kinds = pnx__totals_in_order(report);
    if (!kinds)
        return report->total_count ? pnx_fail(err, PNX_ENOMEM, "no memory for the report") : PNX_OK;
    struct section section = {.report = report, .out = out};
    section.width = width_of(kinds, report->total_count);
    for (int verdict = 0; verdict < PNX__VERDICT_COUNT; verdict++) {
        section.verdict = (pnx__verdict)verdict;
        print_section(&section, kinds);
    }
    free(kinds);
    return PNX_OK;
}

/* The last line that a hook wrote says most. */
static void print_last_line(FILE *out, const char *output)
{
    size_t end = strlen(output);
    while (end > 0 && output[end - 1] == '\n')
        end--;
    size_t start = end;
    while (start > 0 && output[start - 1] != '\n')
        start--;
    char *line = strndup(output + start, end - start);
    if (line && *line) {
        fputs(": ", out);
        pnx__print_name(out, line, OUTPUT_COLUMNS);
    }
    free(line);
}

static void print_hooks(const pnx_session_report *report, FILE *out)
{
    char end[PNX__EXIT_TEXT_SIZE];
    bool titled = false;
    for (size_t i = 0; i < report->hook_count; i++) {
        const pnx_session_hook *hook = &report->hooks[i];
        if (!pnx__hook_failed(hook))
            continue;
        if (!titled)
            fputs("  undo hooks that failed\n", out);
        titled = true;
        fputs("    ", out);
        pnx__print_name(out, hook->command, NAME_COLUMNS);
        fprintf(out, "  %s",
                pnx__end_text(hook->exit_code, hook->exit_signal, hook->timed_out, end));
        if (*or_empty(hook->reason)) {
            fputs(": ", out);
            pnx__print_name(out, hook->reason, SIZE_MAX);
        }
        print_last_line(out, or_empty(hook->output));
        fputc('\n', out);
    }
}

static void print_limits(const pnx_session_report *report, FILE *out)
{
    bool titled = false;
    for (size_t i = 0; i < report->limit_count; i++) {
        if (!report->limits[i].hit)
            continue;
        if (!titled)
            fputs("  limits that were met\n", out);
        titled = true;
        fputs("    ", out);
        pnx__print_name(out, report->limits[i].text, SIZE_MAX);
        fputc('\n', out);
    }
}

static void print_artifacts(const pnx_session_report *report, FILE *out)
{
    if (!report->artifacts_dir)
        return;
    fputs("  ", out);
    pnx__print_counted(out, report->artifacts_saved, "artifact", "artifacts");
    fputs(" (", out);
    pnx__print_bytes(out, report->artifacts_bytes);
    fputs(") saved in ", out);
    pnx__print_name(out, report->artifacts_dir, PATH_COLUMNS);
    if (report->artifacts_failed)
        fprintf(out, ", %" PRIu64 " not", report->artifacts_failed);
    fputc('\n', out);
    size_t named = 0;
    for (size_t i = 0; i < report->artifact_count && named < NAMED_MAX; i++) {
        const pnx_session_artifact *artifact = &report->artifacts[i];
        if (!*or_empty(artifact->reason))
            continue;
        named++;
        fputs("    ", out);
        pnx__print_name(out, artifact->path, PATH_COLUMNS);
        fputs(": ", out);
        pnx__print_name(out, artifact->reason, SIZE_MAX);
        fputc('\n', out);
    }
}

static void print_warnings(const pnx_session_report *report, FILE *out)
{
    if (report->supervisor_died)
        fprintf(out, "  the supervisor died; the %s cleaned up\n", pnx__cleaner(report));
    for (size_t i = 0; report->warnings && report->warnings[i]; i++) {
        fputs("  warning: ", out);
        pnx__print_name(out, report->warnings[i], SIZE_MAX);
        fputc('\n', out);
    }
}

/* ---- the sum --------------------------------------------------------------------------------- */

static void print_gone(FILE *out, const struct pnx__sum *sum)
{
    if (sum->unverified)
        fprintf(out, "removed (%" PRIu64 " unverified)", sum->unverified);
    else
        fputs("removed and verified gone", out);
}

/* "6 leftovers: 3 removed and verified gone, 1 kept, 2 not removed; 1 foreign, not touched" */
void pnx__print_sum(FILE *out, const struct pnx__sum *sum)
{
    pnx__print_counted(out, sum->leftovers, "leftover", "leftovers");
    if (sum->leftovers > 0 && sum->leftovers == sum->gone) {
        fputs(", ", out);
        print_gone(out, sum);
    } else if (sum->leftovers > 0) {
        const char *between = ": ";
        if (sum->gone) {
            fprintf(out, ": %" PRIu64 " ", sum->gone);
            print_gone(out, sum);
            between = ", ";
        }
        if (sum->kept) {
            fprintf(out, "%s%" PRIu64 " kept", between, sum->kept);
            between = ", ";
        }
        if (sum->unremoved)
            fprintf(out, "%s%" PRIu64 " not removed", between, sum->unremoved);
    }
    if (sum->own)
        fprintf(out, "; %" PRIu64 " of the run's own not removed", sum->own);
    if (sum->foreign)
        fprintf(out, "; %" PRIu64 " foreign, not touched", sum->foreign);
}

static void print_sum_of(const pnx_session_report *report, FILE *out)
{
    struct pnx__sum sum = {0};
    pnx__sum_add(&sum, report);
    fputs("  ", out);
    pnx__print_sum(out, &sum);
    fprintf(out, "%s in ", sum.own || sum.foreign || sum.leftovers != sum.gone ? "," : "");
    pnx__print_span(out, report->cleanup);
    fputc('\n', out);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void print_head(FILE *out, const pnx_session_report *report)
{
    char end[PNX__EXIT_TEXT_SIZE];
    fputs("cleanroom: ", out);
    pnx__print_name(out, report->name, NAME_COLUMNS);
    if (pnx__attempt_of(report) > 1)
        fprintf(out, " (attempt %u)", pnx__attempt_of(report));
    fprintf(out, "  %s  ", pnx__exit_text(report, end));
    pnx__print_span(out, report->duration);
    fputs("  tier ", out);
    pnx__print_name(out, pnx__tier_text(report), NAME_COLUMNS);
}

pnx_status pnx__text_of(const pnx_session_report *report, FILE *out, pnx_error *err)
{
    bool empty = pnx__left_nothing(report);
    print_head(out, report);
    fputs(empty ? "  nothing left behind\n" : "\n", out);
    pnx_status status = print_resources(report, out, err);
    if (status != PNX_OK)
        return status;
    print_hooks(report, out);
    print_limits(report, out);
    print_artifacts(report, out);
    print_warnings(report, out);
    if (!empty)
        print_sum_of(report, out);
    return PNX_OK;
}
