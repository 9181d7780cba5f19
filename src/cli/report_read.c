/* SPDX-License-Identifier: MIT */
/* From JSON to the value: the counterpart of src/cleanroom/report/json.c. */
#include "report_read.h"

#include "report_json.h"

#include <stdlib.h>
#include <string.h>

#define FORMAT 1

static const char *priority_name(int value)
{
    return pnx_priority_name((pnx_priority)value);
}

static const char *fate_name(int value)
{
    return pnx_fate_name((pnx_fate)value);
}

static const char *origin_name(int value)
{
    return pnx_origin_name((pnx_origin)value);
}

/* ---- lists ----------------------------------------------------------------------------------- */

typedef void (*read_fn)(struct json_reader *reader, const json_t *object, size_t index);

/* Calls `read` for each object of a list. */
static void read_each(struct json_reader *reader, const json_t *object, const char *key,
                      read_fn read)
{
    const json_t *list = reader_need_array(reader, object, key);
    struct json_place at = {.above = reader->place, .key = key};
    for (size_t i = 0; i < json_array_size(list) && reader->status == PNX_OK; i++) {
        struct json_place element = {.above = &at, .index = i};
        const json_t *value = json_array_get(list, i);
        const struct json_place *above = reader->place;
        reader->place = &element;
        if (json_is_object(value))
            read(reader, value, i);
        else
            reader_wrong(reader, NULL, "is no object");
        reader->place = above;
    }
}

static int64_t read_owner(struct json_reader *reader, const json_t *object)
{
    const char *text = reader_text(reader, object, "owner", true);
    char *end;
    if (!*text)
        return -1;
    if (strncmp(text, "uid:", 4) == 0 && text[4] >= '0' && text[4] <= '9') {
        unsigned long long owner = strtoull(text + 4, &end, 10);
        if (*end == '\0' && owner <= UINT32_MAX && (text[4] != '0' || !text[5]))
            return (int64_t)owner;
    }
    reader_wrong(reader, "owner", "cannot be \"%.40s\"", text);
    return -1;
}

static void read_outcome(struct json_reader *reader, const json_t *object, pnx_outcome *outcome)
{
    outcome->fate = (pnx_fate)reader_one_of(reader, object, "status", PNX_FATE_COUNT, fate_name);
    outcome->verified = reader_bool(reader, object, "verified");
    outcome->attempts = (unsigned)reader_count(reader, object, "attempts", UINT32_MAX);
    outcome->took = reader_milliseconds(reader, object, "duration_ms");
    outcome->bytes = reader_count(reader, object, "bytes", INT64_MAX);
    reader_fixed(reader, object, "reason", true, outcome->reason, sizeof outcome->reason);
}

static void read_resource(struct json_reader *reader, const json_t *object, size_t index)
{
    (void)index;
    pnx_session_resource row = {
        .kind = reader_shared(reader, object, "kind", false),
        .type = reader_shared(reader, object, "type", true),
        .id = reader_copy(reader, object, "id", false),
        .name = reader_copy(reader, object, "name", false),
        .detail = reader_copy(reader, object, "description", true),
        .origin = (pnx_origin)reader_one_of(reader, object, "origin", 2, origin_name),
        .owner = read_owner(reader, object),
        .priority = (pnx_priority)reader_one_of(reader, object, "priority", PNX_PRIORITY_COUNT,
                                                priority_name),
        .created = reader_date_or_null(reader, object, "created"),
        .removed = reader_date_or_null(reader, object, "removed"),
    };
    read_outcome(reader, object, &row.outcome);
    if (pnx_session_report_add(reader->report, &row) != PNX_OK)
        reader_no_memory(reader);
}

static void read_exit(struct json_reader *reader, const json_t *object, int *ret_code,
                      int *ret_signal, bool *ret_timed_out)
{
    const json_t *exit = reader_need_object(reader, object, "exit");
    struct json_place at = {.above = reader->place, .key = "exit"};
    reader->place = &at;
    *ret_code = reader_int_or_null(reader, exit, "code", -1);
    *ret_signal = reader_int_or_null(reader, exit, "signal", 0);
    *ret_timed_out = reader_bool(reader, exit, "timed_out");
    reader->place = at.above;
}

static void read_hook(struct json_reader *reader, const json_t *object, size_t index)
{
    pnx_session_hook *hook = &reader->report->hooks[index];
    hook->command = reader_copy(reader, object, "command", false);
    hook->priority =
        (pnx_priority)reader_one_of(reader, object, "priority", PNX_PRIORITY_COUNT, priority_name);
    read_exit(reader, object, &hook->exit_code, &hook->exit_signal, &hook->timed_out);
    hook->duration = reader_milliseconds(reader, object, "duration_ms");
    hook->output = reader_copy(reader, object, "output", false);
    hook->reason = reader_copy(reader, object, "reason", true);
}

static void read_hooks(struct json_reader *reader, const json_t *object)
{
    pnx_session_report *report = reader->report;
    size_t count = json_array_size(reader_need_array(reader, object, "hooks"));
    report->hooks = count ? calloc(count, sizeof *report->hooks) : NULL;
    report->hook_count = report->hooks ? count : 0;
    if (count && !report->hooks)
        reader_no_memory(reader);
    read_each(reader, object, "hooks", read_hook);
}

static void read_limit(struct json_reader *reader, const json_t *object, size_t index)
{
    pnx_limit_told *limit = &reader->report->limits[index];
    limit->limit = reader_shared(reader, object, "limit", false);
    limit->by = reader_shared(reader, object, "by", false);
    limit->hit = reader_bool(reader, object, "hit");
    limit->times = reader_count(reader, object, "times", INT64_MAX);
    limit->most = reader_count(reader, object, "most", INT64_MAX);
    reader_fixed(reader, object, "text", false, limit->text, sizeof limit->text);
}

static void read_limits(struct json_reader *reader, const json_t *object)
{
    size_t count = json_array_size(reader_need_array(reader, object, "limits"));
    if (count > PNX_LIMIT_COUNT) {
        reader_wrong(reader, "limits", "has more than %d", PNX_LIMIT_COUNT);
        return;
    }
    reader->report->limit_count = count;
    read_each(reader, object, "limits", read_limit);
}

static void read_artifact(struct json_reader *reader, const json_t *object, size_t index)
{
    pnx_session_artifact *artifact = &reader->report->artifacts[index];
    artifact->path = reader_copy(reader, object, "path", false);
    artifact->saved_as = reader_copy(reader, object, "saved_as", true);
    artifact->bytes = reader_count(reader, object, "bytes", INT64_MAX);
    artifact->reason = reader_copy(reader, object, "reason", true);
}

static void read_artifacts(struct json_reader *reader, const json_t *object)
{
    pnx_session_report *report = reader->report;
    const json_t *artifacts = reader_object_or_null(reader, object, "artifacts");
    struct json_place at = {.above = reader->place, .key = "artifacts"};
    if (!artifacts)
        return;
    reader->place = &at;
    report->artifacts_dir = reader_copy(reader, artifacts, "directory", false);
    report->artifacts_saved = reader_count(reader, artifacts, "saved", INT64_MAX);
    report->artifacts_failed = reader_count(reader, artifacts, "failed", INT64_MAX);
    report->artifacts_bytes = reader_count(reader, artifacts, "bytes", INT64_MAX);
    size_t count = json_array_size(reader_need_array(reader, artifacts, "files"));
    report->artifacts = count ? calloc(count, sizeof *report->artifacts) : NULL;
    report->artifact_count = report->artifacts ? count : 0;
    if (count && !report->artifacts)
        reader_no_memory(reader);
    read_each(reader, artifacts, "files", read_artifact);
    reader->place = at.above;
}

/* ---- totals ---------------------------------------------------------------------------------- */

static void read_files(struct json_reader *reader, const json_t *object)
{
    const json_t *files = reader_need_object(reader, object, "files");
    struct json_place at = {.above = reader->place, .key = "files"};
    reader->place = &at;
    reader->report->files = (pnx_tree_totals){
        .files = reader_count(reader, files, "files", INT64_MAX),
        .directories = reader_count(reader, files, "directories", INT64_MAX),
        .symlinks = reader_count(reader, files, "symlinks", INT64_MAX),
        .fifos = reader_count(reader, files, "fifos", INT64_MAX),
        .sockets = reader_count(reader, files, "sockets", INT64_MAX),
        .devices = reader_count(reader, files, "devices", INT64_MAX),
        .bytes = reader_count(reader, files, "bytes", INT64_MAX),
        .stuck = reader_count(reader, files, "stuck", INT64_MAX),
    };
    reader->place = at.above;
}

/* What the totals have beyond what is listed was found, and not listed. */
static void read_total(struct json_reader *reader, const json_t *object, const char *kind, int fate)
{
    const char *status = fate_name(fate);
    const pnx_session_total *total = pnx_session_report_total(reader->report, kind);
    uint64_t listed = total ? total->made[fate] + total->found[fate] : 0, count = 0;
    if (json_object_get(object, status))
        count = reader_count(reader, object, status, INT64_MAX);
    if (count < listed) {
        reader_wrong(reader, status, "is less than the resources that are listed");
        return;
    }
    const char *own = pnx_session_report_text(reader->report, kind);
    pnx_outcome outcome = {.fate = (pnx_fate)fate};
    if (!own || pnx_session_report_count(reader->report, own, PNX_ORIGIN_FOUND, &outcome,
                                         count - listed) != PNX_OK)
        reader_no_memory(reader);
}

static void read_totals(struct json_reader *reader, const json_t *object)
{
    const json_t *totals = reader_need_object(reader, object, "totals");
    struct json_place at = {.above = reader->place, .key = "totals"};
    const char *kind;
    json_t *by;
    size_t known = 0;
    reader->place = &at;
    json_object_foreach((json_t *)totals, kind, by)
    {
        struct json_place below = {.above = &at, .key = kind};
        if (reader->status != PNX_OK)
            break;
        reader->place = &below;
        if (!json_is_object(by))
            reader_wrong(reader, NULL, "is no object");
        for (int fate = 0; fate < PNX_FATE_COUNT && reader->status == PNX_OK; fate++)
            read_total(reader, by, kind, fate);
        if (reader->report->text_count > 1000)
            reader_wrong(reader, NULL, "is one of more than 1000 kinds and sorts");
        known += pnx_session_report_total(reader->report, kind) != NULL;
        reader->place = &at;
    }
    if (reader->status == PNX_OK && known != reader->report->total_count)
        reader_wrong(reader, NULL, "lacks a kind of the resources that are listed");
    reader->place = at.above;
}

static void read_counters(struct json_reader *reader, const json_t *object)
{
    pnx_session_report *report = reader->report;
    report->leftovers = reader_count(reader, object, "leftovers", INT64_MAX);
    report->unremoved = reader_count(reader, object, "unremoved", INT64_MAX);
    report->foreign = reader_count(reader, object, "foreign", INT64_MAX);
    report->kept = reader_count(reader, object, "kept", INT64_MAX);
    report->unverified = reader_count(reader, object, "unverified", INT64_MAX);
    report->unlisted = reader_count(reader, object, "unlisted", INT64_MAX);
}

/* ---- a session ------------------------------------------------------------------------------- */

static void read_format(struct json_reader *reader, const json_t *object)
{
    uint64_t format = reader_count(reader, object, "format", UINT32_MAX);
    if (reader->status == PNX_OK && format != FORMAT)
        reader->status =
            pnx_fail(reader->err, PNX_EUNSUPPORTED,
                     "it has format %u, and this version knows only %d", (unsigned)format, FORMAT);
}

static void read_session(struct json_reader *reader, const json_t *object)
{
    pnx_session_report *report = reader->report;
    const char *id = reader_text(reader, object, "session", false);
    if (reader->status == PNX_OK && pnx_id_parse(id, &report->session, NULL) != PNX_OK)
        reader_wrong(reader, "session", "is no id");
    report->name = reader_copy(reader, object, "name", false);
    report->job = (unsigned)reader_count(reader, object, "job", UINT32_MAX);
    report->attempt = (unsigned)reader_count(reader, object, "attempt", UINT32_MAX);
    if (report->attempt == 0)
        reader_wrong(reader, "attempt", "is 0, and they are counted from 1");
    report->tier = (unsigned)reader_count(reader, object, "tier", 3);
    report->tier_name = reader_shared(reader, object, "tier_name", false);
    reader_fixed(reader, object, "tier_reason", true, report->tier_reason,
                 sizeof report->tier_reason);
    report->isolate = reader_texts(reader, object, "isolate");
    report->command = reader_texts(reader, object, "command");
    report->started = reader_date_or_null(reader, object, "started");
    report->duration = reader_milliseconds(reader, object, "duration_ms");
    report->cleanup = reader_milliseconds(reader, object, "cleanup_ms");
    read_exit(reader, object, &report->exit_code, &report->exit_signal, &report->timed_out);
    report->cleaned_by = reader_shared(reader, object, "cleaned_by", false);
    report->supervisor_died = reader_bool(reader, object, "supervisor_died");
    report->warnings = reader_texts(reader, object, "warnings");
    if (!*report->tier_name || !*report->cleaned_by)
        reader_wrong(reader, *report->tier_name ? "cleaned_by" : "tier_name", "is empty");
    read_limits(reader, object);
    read_hooks(reader, object);
    read_artifacts(reader, object);
    read_files(reader, object);
    read_each(reader, object, "resources", read_resource);
    read_totals(reader, object);
    read_counters(reader, object);
}

static pnx_status read_one(const json_t *object, const struct json_place *place,
                           pnx_session_report *ret, pnx_error *err)
{
    pnx_session_report report = {0};
    struct json_reader reader = {.err = err, .report = &report, .place = place};
    if (!json_is_object(object))
        reader_wrong(&reader, NULL, "is no object");
    read_format(&reader, object);
    if (reader.status == PNX_OK)
        read_session(&reader, object);
    if (reader.status == PNX_OK)
        *ret = report;
    else
        pnx_session_report_done(&report);
    return reader.status;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static pnx_status read_several(const json_t *list, struct reports *reports, pnx_error *err)
{
    struct json_place at = {.key = "sessions"};
    size_t count = json_array_size(list);
    reports->several = true;
    if (!json_is_array(list))
        return pnx_fail(err, PNX_EINVAL, "sessions is no list");
    if (count && !(reports->reports = calloc(count, sizeof *reports->reports)))
        return pnx_fail(err, PNX_ENOMEM, "no memory for the report");
    for (size_t i = 0; i < count; i++) {
        struct json_place element = {.above = &at, .index = i};
        pnx_status status = read_one(json_array_get(list, i), &element, &reports->reports[i], err);
        if (status != PNX_OK)
            return status;
        reports->count++;
    }
    return PNX_OK;
}

static pnx_status read_root(const json_t *root, struct reports *reports, pnx_error *err)
{
    const json_t *list = json_object_get(root, "sessions");
    if (list)
        return read_several(list, reports, err);
    if (!json_is_object(root) || !json_object_get(root, "session"))
        return pnx_fail(err, PNX_EINVAL, "it is JSON, but no report of a session");
    reports->reports = calloc(1, sizeof *reports->reports);
    if (!reports->reports)
        return pnx_fail(err, PNX_ENOMEM, "no memory for the report");
    pnx_status status = read_one(root, NULL, &reports->reports[0], err);
    reports->count = status == PNX_OK;
    return status;
}

pnx_status reports_read(const char *text, size_t size, struct reports *ret, pnx_error *err)
{
    json_error_t wrong;
    if (size == 0)
        return pnx_fail(err, PNX_EINVAL, "it is empty");
    if (size > REPORT_SIZE_MAX)
        return pnx_fail(err, PNX_EINVAL, "it is larger than %zu MiB", REPORT_SIZE_MAX >> 20);
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &wrong);
    if (!root) {
        json_make_harmless(wrong.text);
        return pnx_fail(err, PNX_EINVAL, "it is no JSON: line %d: %.100s", wrong.line, wrong.text);
    }
    struct reports reports = {0};
    pnx_status status = read_root(root, &reports, err);
    json_decref(root);
    if (status == PNX_OK)
        *ret = reports;
    else
        reports_done(&reports);
    return status;
}

void reports_done(struct reports *reports)
{
    for (size_t i = 0; i < reports->count; i++)
        pnx_session_report_done(&reports->reports[i]);
    free(reports->reports);
    *reports = (struct reports){0};
}
