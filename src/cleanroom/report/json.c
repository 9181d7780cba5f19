/* SPDX-License-Identifier: MIT */
#include "report/internal.h"

#include <inttypes.h>
#include <patinox/monitor.h>
#include <stdlib.h>
#include <time.h>

static void text(FILE *out, const char *value)
{
    if (value)
        pnx_json_string(out, value);
    else
        fputs("null", out);
}

static void text_or_null(FILE *out, const char *value)
{
    text(out, value && *value ? value : NULL);
}

/* RFC 3339, UTC, milliseconds. */
static void date(FILE *out, int64_t since_1970)
{
    char day[32];
    struct tm tm;
    time_t seconds = since_1970 / PNX_S(1);
    if (since_1970 <= 0 || !gmtime_r(&seconds, &tm)) {
        fputs("null", out);
        return;
    }
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    fprintf(out, "\"%s.%03dZ\"", day, (int)(since_1970 % PNX_S(1) / PNX_MS(1)));
}

static void milliseconds(FILE *out, pnx_duration span)
{
    fprintf(out, "%" PRId64 ".%03d", span / PNX_MS(1), (int)(span % PNX_MS(1) / PNX_US(1)));
}

static void exit_of(FILE *out, const pnx_session_report *report)
{
    fputs("{\"code\": ", out);
    if (report->exit_code >= 0)
        fprintf(out, "%d", report->exit_code);
    else
        fputs("null", out);
    fputs(", \"signal\": ", out);
    if (report->exit_signal)
        fprintf(out, "%d", report->exit_signal);
    else
        fputs("null", out);
    fprintf(out, ", \"timed_out\": %s}", report->timed_out ? "true" : "false");
}

static void command_of(FILE *out, const pnx_session_report *report)
{
    fputc('[', out);
    for (size_t i = 0; report->command && report->command[i]; i++) {
        if (i)
            fputs(", ", out);
        text(out, report->command[i]);
    }
    fputc(']', out);
}

static void resource(FILE *out, const pnx_session_resource *resource)
{
    const pnx_outcome *outcome = &resource->outcome;
    fprintf(out, "    {\"kind\": \"%s\", \"type\": ", resource->kind);
    text(out, resource->type);
    fputs(", \"id\": ", out);
    text(out, resource->id);
    fputs(", \"name\": ", out);
    text(out, resource->name);
    fputs(", \"description\": ", out);
    text_or_null(out, resource->detail);
    fprintf(out, ", \"origin\": \"%s\", \"owner\": ", pnx_origin_name(resource->origin));
    if (resource->owner >= 0)
        fprintf(out, "\"uid:%" PRId64 "\"", resource->owner);
    else
        fputs("null", out);
    fprintf(out, ", \"priority\": \"%s\", \"created\": ", pnx_priority_name(resource->priority));
    date(out, resource->created);
    fputs(", \"removed\": ", out);
    date(out, resource->removed);
    fprintf(out, ", \"status\": \"%s\", \"verified\": %s, \"attempts\": %u, \"duration_ms\": ",
            pnx_fate_name(outcome->fate), outcome->verified ? "true" : "false", outcome->attempts);
    milliseconds(out, outcome->took);
    fprintf(out, ", \"bytes\": %" PRIu64 ", \"reason\": ", outcome->bytes);
    text_or_null(out, outcome->reason);
    fputc('}', out);
}

/* ---- totals by kind and status --------------------------------------------------------------- */

static void totals(FILE *out, const pnx_session_report *report)
{
    const pnx_session_total **order = pnx__totals_in_order(report);
    fputc('{', out);
    for (size_t k = 0; order && k < report->total_count; k++) {
        fputs(k ? ", " : "", out);
        text(out, order[k]->kind);
        const char *between = ": {";
        for (int fate = 0; fate < PNX_FATE_COUNT; fate++) {
            uint64_t count = order[k]->made[fate] + order[k]->found[fate];
            if (!count)
                continue;
            fprintf(out, "%s\"%s\": %" PRIu64, between, pnx_fate_name((pnx_fate)fate), count);
            between = ", ";
        }
        fputc('}', out);
    }
    fputc('}', out);
    free(order);
}

/* ---- the whole ------------------------------------------------------------------------------- */

pnx_status pnx_session_report_write_json(const pnx_session_report *report, FILE *out,
                                         pnx_error *err)
{
    char id[PNX_ID_TEXT_SIZE];
    fprintf(out, "{\n  \"session\": \"%s\",\n  \"name\": ", pnx_id_format(report->session, id));
    text(out, report->name);
    fprintf(out, ",\n  \"tier\": %u,\n  \"tier_reason\": ", report->tier);
    text_or_null(out, report->tier_reason);
    fputs(",\n  \"command\": ", out);
    command_of(out, report);
    fputs(",\n  \"started\": ", out);
    date(out, report->started);
    fputs(",\n  \"duration_ms\": ", out);
    milliseconds(out, report->duration);
    fputs(",\n  \"cleanup_ms\": ", out);
    milliseconds(out, report->cleanup);
    fputs(",\n  \"exit\": ", out);
    exit_of(out, report);
    fputs(",\n  \"resources\": [", out);
    for (size_t i = 0; i < report->resource_count; i++) {
        fputs(i ? ",\n" : "\n", out);
        resource(out, &report->resources[i]);
    }
    fputs("\n  ],\n  \"totals\": ", out);
    totals(out, report);
    fprintf(out,
            ",\n  \"leftovers\": %" PRIu64 ",\n  \"unremoved\": %" PRIu64
            ",\n  \"unlisted\": %" PRIu64 "\n}\n",
            report->leftovers, report->unremoved, report->unlisted);
    if (fflush(out) != 0 || ferror(out))
        return pnx_fail(err, PNX_EFAILED, "cannot write the report: %m");
    return PNX_OK;
}
