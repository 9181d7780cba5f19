/* SPDX-License-Identifier: MIT */
#include "report/figures.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <time.h>

void pnx__print_span(FILE *out, pnx_duration span)
{
    if (span < PNX_MS(10))
        fprintf(out, "%.1f ms", span > 0 ? (double)span / (double)PNX_MS(1) : 0.0);
    else if (span < PNX_S(1))
        fprintf(out, "%" PRId64 " ms", span / PNX_MS(1));
    else if (span < PNX_S(60))
        fprintf(out, "%.2f s", (double)span / (double)PNX_S(1));
    else if (span < PNX_S(3600))
        fprintf(out, "%" PRId64 " min %" PRId64 " s", span / PNX_S(60), span / PNX_S(1) % 60);
    else
        fprintf(out, "%" PRId64 " h %" PRId64 " min", span / PNX_S(3600), span / PNX_S(60) % 60);
}

void pnx__print_bytes(FILE *out, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit < 6; unit++)
        value /= 1024;
    fprintf(out, value < 10 && unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

void pnx__print_counted(FILE *out, uint64_t count, const char *one, const char *many)
{
    fprintf(out, "%" PRIu64 " %s", count, count == 1 ? one : many);
}

char *pnx__end_text(int code, int signal_number, bool timed_out, char buffer[PNX__EXIT_TEXT_SIZE])
{
    const char *name = signal_number ? sigabbrev_np(signal_number) : NULL;
    if (timed_out)
        snprintf(buffer, PNX__EXIT_TEXT_SIZE, "timed out");
    else if (name)
        snprintf(buffer, PNX__EXIT_TEXT_SIZE, "ended by SIG%s", name);
    else if (signal_number)
        snprintf(buffer, PNX__EXIT_TEXT_SIZE, "ended by signal %d", signal_number);
    else if (code < 0)
        snprintf(buffer, PNX__EXIT_TEXT_SIZE, "not run");
    else
        snprintf(buffer, PNX__EXIT_TEXT_SIZE, "exit %d", code);
    return buffer;
}

char *pnx__exit_text(const pnx_session_report *report, char buffer[PNX__EXIT_TEXT_SIZE])
{
    return pnx__end_text(report->exit_code, report->exit_signal, report->timed_out, buffer);
}

bool pnx__succeeded(const pnx_session_report *report)
{
    return report->exit_code == 0 && !report->exit_signal && !report->timed_out;
}

const char *pnx__tier_text(const pnx_session_report *report)
{
    static const char *const names[] = {"T0 (subreaper)", "T1 (cgroup)", "T2 (pid namespace)",
                                        "T3 (cgroup, tracking)"};
    if (report->tier_name && *report->tier_name)
        return report->tier_name;
    return report->tier < sizeof names / sizeof *names ? names[report->tier] : "unknown";
}

const char *pnx__cleaner(const pnx_session_report *report)
{
    return report->cleaned_by && *report->cleaned_by ? report->cleaned_by : "supervisor";
}

unsigned pnx__attempt_of(const pnx_session_report *report)
{
    return report->attempt ? report->attempt : 1;
}

bool pnx__date_text(int64_t since_1970, char buffer[PNX__DATE_SIZE])
{
    struct tm tm;
    time_t seconds = since_1970 / PNX_S(1);
    if (since_1970 <= 0 || !gmtime_r(&seconds, &tm))
        return false;
    return strftime(buffer, PNX__DATE_SIZE, "%Y-%m-%dT%H:%M:%S", &tm) > 0;
}
