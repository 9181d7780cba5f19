/* SPDX-License-Identifier: MIT */
#include "report/escape.h"
#include "report/internal.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>

/* So many of a kind are named; the rest is counted. */
#define NAMED_MAX 5
#define NAME_COLUMNS 60
#define PATH_COLUMNS 200

/* ---- figures --------------------------------------------------------------------------------- */

static void print_span(FILE *out, pnx_duration span)
{
    if (span < PNX_MS(10))
        fprintf(out, "%.1f ms", (double)span / (double)PNX_MS(1));
    else if (span < PNX_S(1))
        fprintf(out, "%" PRId64 " ms", span / PNX_MS(1));
    else
        fprintf(out, "%.2f s", (double)span / (double)PNX_S(1));
}

static void print_bytes(FILE *out, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit < 6; unit++)
        value /= 1024;
    fprintf(out, value < 10 && unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

static void print_counted(FILE *out, uint64_t count, const char *one, const char *many)
{
    fprintf(out, "%" PRIu64 " %s", count, count == 1 ? one : many);
}

/* ---- what was run ---------------------------------------------------------------------------- */

static void print_exit(FILE *out, const pnx_session_report *report)
{
    if (report->timed_out)
        fputs("timed out", out);
    else if (report->exit_signal && sigabbrev_np(report->exit_signal))
        fprintf(out, "ended by SIG%s", sigabbrev_np(report->exit_signal));
    else if (report->exit_signal)
        fprintf(out, "ended by signal %d", report->exit_signal);
    else
        fprintf(out, "exit %d", report->exit_code);
}

static void print_head(FILE *out, const pnx_session_report *report)
{
    fputs("cleanroom: ", out);
    pnx__print_name(out, report->name ? report->name : "", NAME_COLUMNS);
    fputs("  ", out);
    print_exit(out, report);
    fputs("  ", out);
    print_span(out, report->duration);
    fprintf(out, "  tier T%u (%s)", report->tier, report->tier ? "cgroup" : "subreaper");
}

/* ---- what was found -------------------------------------------------------------------------- */

static bool is_stuck(const pnx_session_resource *resource)
{
    return resource->outcome.fate == PNX_FATE_STUCK || resource->outcome.fate == PNX_FATE_FOREIGN ||
           resource->outcome.fate == PNX_FATE_HELD;
}

/* "sleep 1000 (pid 4711, daemon, ignored SIGTERM)", "a/b: Permission denied" */
static void print_resource(FILE *out, const pnx_session_resource *resource)
{
    const char *detail = resource->detail, *reason = resource->outcome.reason;
    bool stuck = is_stuck(resource);
    bool process = strcmp(resource->kind, "process") == 0;
    pnx__print_name(out, resource->name, process ? NAME_COLUMNS : PATH_COLUMNS);
    if (*detail || (*reason && !stuck))
        fprintf(out, " (%s%s%s)", detail, *detail && *reason && !stuck ? ", " : "",
                stuck ? "" : reason);
    if (*reason && stuck) {
        fputs(": ", out);
        pnx__print_name(out, reason, SIZE_MAX);
    }
}

/* One line each for the first few of a kind; `total` may be more than are listed. */
static void print_kind(FILE *out, const pnx_session_report *report, const char *kind, bool stuck,
                       uint64_t total)
{
    uint64_t named = 0;
    for (size_t i = 0; i < report->resource_count && named < NAMED_MAX; i++) {
        const pnx_session_resource *resource = &report->resources[i];
        bool wanted = strcmp(resource->kind, kind) == 0 && is_stuck(resource) == stuck &&
                      (stuck || resource->origin == PNX_ORIGIN_FOUND);
        if (!wanted)
            continue;
        if (named++ == 0)
            fprintf(out, "    %-8s %5" PRIu64 "  ", kind, total);
        else
            fprintf(out, "    %-8s %5s  ", "", "");
        print_resource(out, resource);
        fputc('\n', out);
    }
    if (named && total > named)
        fprintf(out, "    %-8s %5s  and %" PRIu64 " more\n", "", "", total - named);
}

static void print_files(FILE *out, const pnx_tree_totals *files)
{
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
        return;
    fprintf(out, "    %-8s %5" PRIu64 "  ", "file", removed);
    if (files->bytes) {
        print_bytes(out, files->bytes);
        fputc(' ', out);
    }
    fputs("in TMPDIR", out);
    const char *between = ": ";
    for (size_t i = 0; i < sizeof sorts / sizeof *sorts; i++) {
        if (!sorts[i].count)
            continue;
        fputs(between, out);
        print_counted(out, sorts[i].count, sorts[i].one, sorts[i].many);
        between = ", ";
    }
    fputc('\n', out);
}

static uint64_t count_of(const pnx_session_report *report, const char *kind, pnx__verdict verdict)
{
    const pnx_session_total *total = pnx_session_report_total(report, kind);
    return total ? pnx__count_verdict(total, verdict) : 0;
}

static void print_removed(FILE *out, const pnx_session_report *report)
{
    uint64_t processes = count_of(report, "process", PNX__GONE);
    if (processes == 0 && pnx_tree_entries(&report->files) == report->files.stuck)
        return;
    fputs("  left behind and removed\n", out);
    print_kind(out, report, "process", false, processes);
    print_files(out, &report->files);
}

static void print_stuck(FILE *out, const pnx_session_report *report)
{
    static const char *const kinds[] = {"process", "file", "tempdir", "cgroup"};
    if (report->unremoved == 0)
        return;
    fputs("  could not be removed\n", out);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        print_kind(out, report, kinds[i], true, count_of(report, kinds[i], PNX__UNREMOVED));
}

static void print_sum(FILE *out, const pnx_session_report *report)
{
    fputs("  ", out);
    print_counted(out, report->leftovers, "leftover", "leftovers");
    uint64_t stuck =
        count_of(report, "file", PNX__UNREMOVED) + count_of(report, "process", PNX__UNREMOVED);
    if (stuck)
        fprintf(out, ": %" PRIu64 " removed, %" PRIu64 " not, in ", report->leftovers - stuck,
                stuck);
    else
        fputs(", removed and verified gone in ", out);
    print_span(out, report->cleanup);
    fputc('\n', out);
}

pnx_status pnx_session_report_write_text(const pnx_session_report *report, FILE *out,
                                         pnx_error *err)
{
    print_head(out, report);
    if (report->leftovers == 0 && report->unremoved == 0) {
        fputs("  nothing left behind\n", out);
    } else {
        fputc('\n', out);
        print_removed(out, report);
        print_stuck(out, report);
        print_sum(out, report);
    }
    if (fflush(out) != 0 || ferror(out))
        return pnx_fail(err, PNX_EFAILED, "cannot write the report: %m");
    return PNX_OK;
}
