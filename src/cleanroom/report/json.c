/* SPDX-License-Identifier: MIT */
/* For machines. docs/report.md explains the keys, report.schema.json holds reports to them. */
#include "report/json.h"

#include "report/escape.h"
#include "report/figures.h"

#include <inttypes.h>
#include <patinox/monitor.h>
#include <stdlib.h>

static void text(FILE *out, const char *value)
{
    pnx_json_string(out, value ? value : "");
}

static void text_or_null(FILE *out, const char *value)
{
    pnx_json_string(out, value && *value ? value : NULL);
}

/* Of a field with a fixed size: whoever reads it back has no more room than that. */
static void fixed_text(FILE *out, const char *value, size_t size, bool nullable)
{
    char copy[512];
    pnx__copy_utf8(copy, size < sizeof copy ? size : sizeof copy, value);
    pnx_json_string(out, *copy || !nullable ? copy : NULL);
}

static const char *boolean(bool value)
{
    return value ? "true" : "false";
}

void pnx__json_date(FILE *out, int64_t since_1970)
{
    char day[PNX__DATE_SIZE];
    if (pnx__date_text(since_1970, day))
        fprintf(out, "\"%s.%03dZ\"", day, (int)(since_1970 % PNX_S(1) / PNX_MS(1)));
    else
        fputs("null", out);
}

void pnx__json_milliseconds(FILE *out, pnx_duration span)
{
    if (span < 0)
        span = 0;
    fprintf(out, "%" PRId64 ".%03d", span / PNX_MS(1), (int)(span % PNX_MS(1) / PNX_US(1)));
}

static void texts(FILE *out, char *const *list)
{
    fputc('[', out);
    for (size_t i = 0; list && list[i]; i++) {
        fputs(i ? ", " : "", out);
        text(out, list[i]);
    }
    fputc(']', out);
}

static void end(FILE *out, int code, int signal_number, bool timed_out)
{
    fputs("{\"code\": ", out);
    if (code >= 0)
        fprintf(out, "%d", code);
    else
        fputs("null", out);
    fputs(", \"signal\": ", out);
    if (signal_number)
        fprintf(out, "%d", signal_number);
    else
        fputs("null", out);
    fprintf(out, ", \"timed_out\": %s}", boolean(timed_out));
}

/* ---- lists ----------------------------------------------------------------------------------- */

/* Between the elements of a list that has a line for each. */
static void begin(FILE *out, size_t index)
{
    fputs(index ? ",\n    {" : "\n    {", out);
}

static void resource(FILE *out, const pnx_session_resource *resource)
{
    const pnx_outcome *outcome = &resource->outcome;
    fputs("\"kind\": ", out);
    text(out, resource->kind);
    fputs(", \"type\": ", out);
    text_or_null(out, resource->type);
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
    pnx__json_date(out, resource->created);
    fputs(", \"removed\": ", out);
    pnx__json_date(out, resource->removed);
    fprintf(out, ", \"status\": \"%s\", \"verified\": %s, \"attempts\": %u, \"duration_ms\": ",
            pnx_fate_name(outcome->fate), boolean(outcome->verified), outcome->attempts);
    pnx__json_milliseconds(out, outcome->took);
    fprintf(out, ", \"bytes\": %" PRIu64 ", \"reason\": ", outcome->bytes);
    fixed_text(out, outcome->reason, sizeof outcome->reason, true);
    fputc('}', out);
}

static void hook(FILE *out, const pnx_session_hook *hook)
{
    fputs("\"command\": ", out);
    text(out, hook->command);
    fprintf(out, ", \"priority\": \"%s\", \"exit\": ", pnx_priority_name(hook->priority));
    end(out, hook->exit_code, hook->exit_signal, hook->timed_out);
    fputs(", \"duration_ms\": ", out);
    pnx__json_milliseconds(out, hook->duration);
    fputs(", \"output\": ", out);
    text(out, hook->output);
    fputs(", \"reason\": ", out);
    text_or_null(out, hook->reason);
    fputc('}', out);
}

static void limit(FILE *out, const pnx_limit_told *limit)
{
    fputs("\"limit\": ", out);
    text(out, limit->limit);
    fputs(", \"by\": ", out);
    text(out, limit->by);
    fprintf(out, ", \"hit\": %s, \"times\": %" PRIu64 ", \"most\": %" PRIu64 ", \"text\": ",
            boolean(limit->hit), limit->times, limit->most);
    fixed_text(out, limit->text, sizeof limit->text, false);
    fputc('}', out);
}

static void artifact(FILE *out, const pnx_session_artifact *artifact)
{
    fputs("\"path\": ", out);
    text(out, artifact->path);
    fputs(", \"saved_as\": ", out);
    text_or_null(out, artifact->saved_as);
    fprintf(out, ", \"bytes\": %" PRIu64 ", \"reason\": ", artifact->bytes);
    text_or_null(out, artifact->reason);
    fputc('}', out);
}

static void artifacts(FILE *out, const pnx_session_report *report)
{
    if (!report->artifacts_dir) {
        fputs("null", out);
        return;
    }
    fputs("{\"directory\": ", out);
    text(out, report->artifacts_dir);
    fprintf(out,
            ", \"saved\": %" PRIu64 ", \"failed\": %" PRIu64 ", \"bytes\": %" PRIu64
            ", \"files\": [",
            report->artifacts_saved, report->artifacts_failed, report->artifacts_bytes);
    for (size_t i = 0; i < report->artifact_count; i++) {
        begin(out, i);
        artifact(out, &report->artifacts[i]);
    }
    fputs("]}", out);
}

/* ---- totals ---------------------------------------------------------------------------------- */

pnx_status pnx__json_totals(FILE *out, const pnx_session_report *report, pnx_error *err)
{
    const pnx_session_total **order = pnx__totals_in_order(report);
    if (!order && report->total_count)
        return pnx_fail(err, PNX_ENOMEM, "no memory for the report");
    fputc('{', out);
    for (size_t k = 0; k < report->total_count; k++) {
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
    return PNX_OK;
}

static void files(FILE *out, const pnx_tree_totals *files)
{
    fprintf(out,
            "{\"files\": %" PRIu64 ", \"directories\": %" PRIu64 ", \"symlinks\": %" PRIu64
            ", \"fifos\": %" PRIu64 ", \"sockets\": %" PRIu64 ", \"devices\": %" PRIu64
            ", \"bytes\": %" PRIu64 ", \"stuck\": %" PRIu64 "}",
            files->files, files->directories, files->symlinks, files->fifos, files->sockets,
            files->devices, files->bytes, files->stuck);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void head(FILE *out, const pnx_session_report *report)
{
    char id[PNX_ID_TEXT_SIZE];
    fprintf(out, "{\n  \"format\": %d,\n  \"session\": \"%s\",\n  \"name\": ", PNX__REPORT_FORMAT,
            pnx_id_format(report->session, id));
    text(out, report->name);
    fprintf(out, ",\n  \"job\": %u,\n  \"attempt\": %u", report->job, pnx__attempt_of(report));
    fprintf(out, ",\n  \"tier\": %u,\n  \"tier_name\": ", report->tier);
    text(out, pnx__tier_text(report));
    fputs(",\n  \"tier_reason\": ", out);
    fixed_text(out, report->tier_reason, sizeof report->tier_reason, true);
    fputs(",\n  \"isolate\": ", out);
    texts(out, report->isolate);
    fputs(",\n  \"command\": ", out);
    texts(out, report->command);
    fputs(",\n  \"started\": ", out);
    pnx__json_date(out, report->started);
    fputs(",\n  \"duration_ms\": ", out);
    pnx__json_milliseconds(out, report->duration);
    fputs(",\n  \"cleanup_ms\": ", out);
    pnx__json_milliseconds(out, report->cleanup);
    fputs(",\n  \"exit\": ", out);
    end(out, report->exit_code, report->exit_signal, report->timed_out);
    fputs(",\n  \"cleaned_by\": ", out);
    text(out, pnx__cleaner(report));
    fprintf(out, ",\n  \"supervisor_died\": %s", boolean(report->supervisor_died));
}

static void lists(FILE *out, const pnx_session_report *report)
{
    fputs(",\n  \"limits\": [", out);
    for (size_t i = 0; i < report->limit_count; i++) {
        begin(out, i);
        limit(out, &report->limits[i]);
    }
    fputs("],\n  \"hooks\": [", out);
    for (size_t i = 0; i < report->hook_count; i++) {
        begin(out, i);
        hook(out, &report->hooks[i]);
    }
    fputs("],\n  \"artifacts\": ", out);
    artifacts(out, report);
    fputs(",\n  \"warnings\": ", out);
    texts(out, report->warnings);
    fputs(",\n  \"resources\": [", out);
    for (size_t i = 0; i < report->resource_count; i++) {
        begin(out, i);
        resource(out, &report->resources[i]);
    }
    fputs("]", out);
}

pnx_status pnx__json_of(const pnx_session_report *report, FILE *out, pnx_error *err)
{
    head(out, report);
    lists(out, report);
    fputs(",\n  \"files\": ", out);
    files(out, &report->files);
    fputs(",\n  \"totals\": ", out);
    pnx_status status = pnx__json_totals(out, report, err);
    if (status != PNX_OK)
        return status;
    fprintf(out,
            ",\n  \"leftovers\": %" PRIu64 ",\n  \"unremoved\": %" PRIu64
            ",\n  \"foreign\": %" PRIu64 ",\n  \"kept\": %" PRIu64 ",\n  \"unverified\": %" PRIu64
            ",\n  \"unlisted\": %" PRIu64 "\n}",
            report->leftovers, report->unremoved, report->foreign, report->kept, report->unverified,
            report->unlisted);
    return PNX_OK;
}
