/* SPDX-License-Identifier: MIT */
/* Logs, events, statistics: answers that go on. */
#include "docker/follow.h"

#include "docker/calls.h"
#include "docker/path.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

pnx_status pnx__docker_stream_broken(pnx_error *err)
{
    return pnx_fail(err, PNX_EFAILED, "the engine's stream is broken: it is not in its own format");
}

pnx_status pnx__docker_follow_frames(pnx_engine *engine, struct pnx__docker_exchange *exchange,
                                     struct pnx__frames *frames, const struct pnx__limit *limit,
                                     pnx_error *err)
{
    exchange->sink = pnx__docker_frames_take;
    exchange->context = frames;
    pnx_status status = pnx__docker_exchange(engine, exchange, limit, err);
    if (status != PNX_OK)
        return status;
    free(exchange->answer);
    return frames->enough || pnx__docker_frames_whole(frames) ? PNX_OK
                                                              : pnx__docker_stream_broken(err);
}

pnx_status pnx__docker_follow_lines(pnx_engine *engine, struct pnx__docker_exchange *exchange,
                                    bool (*visit)(json_t *json, void *context), void *context,
                                    const struct pnx__limit *limit, pnx_error *err)
{
    struct pnx__lines lines = {.visit = visit, .context = context};
    exchange->sink = pnx__docker_lines_take;
    exchange->context = &lines;
    pnx_status status = pnx__docker_exchange(engine, exchange, limit, err);
    pnx__docker_lines_end(&lines, status == PNX_OK);
    if (status != PNX_OK)
        return status;
    free(exchange->answer);
    if (lines.no_memory)
        return pnx__docker_no_memory(err);
    return lines.broken ? pnx__docker_stream_broken(err) : PNX_OK;
}

/* ---- logs ------------------------------------------------------------------------------------ */

/* Whether stdout and stderr are one raw stream: only from 1.42 on the answer itself tells. */
static pnx_status has_tty(pnx_engine *engine, const char *container, const struct pnx__limit *limit,
                          bool *ret, pnx_error *err)
{
    json_t *about;
    pnx_status status = pnx__docker_inspect(engine, PNX_CONTAINER, container, limit, &about, err);
    if (status != PNX_OK)
        return status;
    *ret = json_is_true(json_object_get(json_object_get(about, "Config"), "Tty"));
    json_decref(about);
    return PNX_OK;
}

pnx_status pnx_engine_logs(pnx_engine *engine, const char *container, const pnx_logs *logs,
                           pnx_sink sink, void *context, const pnx_call *call, pnx_error *err)
{
    static const pnx_logs all;
    struct pnx__limit limit = pnx__docker_limit_of(engine, call);
    struct pnx__frames frames = {.sink = sink, .context = context};
    pnx_status status = has_tty(engine, container, &limit, &frames.raw, err);
    if (status != PNX_OK)
        return status;
    if (!logs)
        logs = &all;
    char *path, tail[16] = "all";
    if (logs->tail)
        snprintf(tail, sizeof tail, "%u", logs->tail);
    status = pnx__docker_path(
        &path, err,
        "/containers/%s/logs?stdout=1&stderr=1&follow=%u&timestamps=%u&tail=%s&since=%lld",
        container, (unsigned)logs->follow, (unsigned)logs->timestamps, tail,
        (long long)logs->since);
    if (status != PNX_OK)
        return status;
    struct pnx__docker_exchange exchange = {.path = path};
    status = pnx__docker_follow_frames(engine, &exchange, &frames, &limit, err);
    free(path);
    return status == PNX_OK ? PNX_OK
                            : pnx_wrap(err, status, "cannot read the logs of %s", container);
}

/* ---- events ---------------------------------------------------------------------------------- */

struct events {
    bool (*visit)(const pnx_engine_event *event, void *context);
    void *context;
};

static bool visit_event(json_t *json, void *context)
{
    const struct events *events = context;
    const json_t *actor = json_object_get(json, "Actor");
    const pnx_engine_event event = {
        .type = pnx__docker_json_text(json, "Type"),
        .action = pnx__docker_json_text(json, "Action"),
        .id = pnx__docker_json_text(actor, "ID"),
        .time = json_integer_value(json_object_get(json, "timeNano")),
        .json = json,
    };
    return events->visit(&event, events->context);
}

static json_t *event_filters(const char *type, const char *const *labels)
{
    json_t *filters = json_object();
    int failed = !filters;
    if (type)
        failed |= json_object_set_new(filters, "type", json_pack("[s]", type));
    if (labels)
        failed |= json_object_set_new(filters, "label", pnx__docker_json_texts(labels));
    if (!failed)
        return filters;
    json_decref(filters);
    return NULL;
}

pnx_status pnx_engine_events(pnx_engine *engine, int64_t since, const char *type,
                             const char *const *labels,
                             bool (*visit)(const pnx_engine_event *event, void *context),
                             void *context, const pnx_call *call, pnx_error *err)
{
    struct pnx__limit limit = pnx__docker_limit_of(engine, call);
    struct events events = {visit, context};
    json_t *filters = event_filters(type, labels);
    if (!filters)
        return pnx__docker_no_memory(err);
    char *path;
    pnx_status status = pnx__docker_path(&path, err, "/events?since=%lld&filters=%p",
                                         (long long)(since ? since : (int64_t)time(NULL)), filters);
    json_decref(filters);
    if (status != PNX_OK)
        return status;
    struct pnx__docker_exchange exchange = {.path = path};
    status = pnx__docker_follow_lines(engine, &exchange, visit_event, &events, &limit, err);
    free(path);
    return status == PNX_OK ? PNX_OK : pnx_wrap(err, status, "cannot follow the engine's events");
}

/* ---- statistics ------------------------------------------------------------------------------ */

static uint64_t number(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}

static void add_block(const json_t *stats, pnx_container_stats *ret)
{
    const json_t *all =
        json_object_get(json_object_get(stats, "blkio_stats"), "io_service_bytes_recursive");
    size_t i;
    const json_t *one;
    json_array_foreach(all, i, one)
    {
        const char *operation = pnx__docker_json_text(one, "op");
        if (strcasecmp(operation, "read") == 0)
            ret->block_read += number(one, "value");
        else if (strcasecmp(operation, "write") == 0)
            ret->block_written += number(one, "value");
    }
}

static void add_networks(const json_t *stats, pnx_container_stats *ret)
{
    json_t *all = json_object_get(stats, "networks");
    const char *name;
    const json_t *one;
    json_object_foreach(all, name, one)
    {
        ret->net_received += number(one, "rx_bytes");
        ret->net_transmitted += number(one, "tx_bytes");
    }
}

/* The page cache that nobody uses is no memory in use: as `docker stats` has it, for v1 and v2. */
static uint64_t memory_used(const json_t *memory)
{
    uint64_t usage = number(memory, "usage");
    const json_t *stats = json_object_get(memory, "stats");
    uint64_t idle = json_object_get(stats, "total_inactive_file")
                        ? number(stats, "total_inactive_file")
                        : number(stats, "inactive_file");
    return usage > idle ? usage - idle : usage;
}

static pnx_container_stats stats_of(const json_t *json)
{
    const json_t *memory = json_object_get(json, "memory_stats");
    pnx_container_stats stats = {
        .read = pnx__docker_time_parse(pnx__docker_json_text(json, "read")),
        .cpu =
            number(json_object_get(json_object_get(json, "cpu_stats"), "cpu_usage"), "total_usage"),
        .memory = memory_used(memory),
        .memory_max = number(memory, "limit"),
        .pids = number(json_object_get(json, "pids_stats"), "current"),
    };
    add_block(json, &stats);
    add_networks(json, &stats);
    return stats;
}

pnx_status pnx_engine_stats(pnx_engine *engine, const char *container, const pnx_call *call,
                            pnx_container_stats *ret, pnx_error *err)
{
    struct pnx__limit limit = pnx__docker_limit_of(engine, call);
    char *path;
    json_t *json = NULL;
    pnx_status status =
        pnx__docker_path(&path, err, "/containers/%s/stats?stream=0&one-shot=1", container);
    if (status != PNX_OK)
        return status;
    status = pnx__docker_request(engine, "GET", path, NULL, &limit, &json, err);
    free(path);
    if (status != PNX_OK)
        return pnx_wrap(err, status, "cannot read the statistics of %s", container);
    *ret = stats_of(json);
    json_decref(json);
    return PNX_OK;
}

struct stats {
    bool (*visit)(const pnx_container_stats *stats, void *context);
    void *context;
};

static bool visit_stats(json_t *json, void *context)
{
    const struct stats *to = context;
    const pnx_container_stats stats = stats_of(json);
    return to->visit(&stats, to->context);
}

pnx_status pnx_engine_stats_follow(pnx_engine *engine, const char *container,
                                   bool (*visit)(const pnx_container_stats *stats, void *context),
                                   void *context, const pnx_call *call, pnx_error *err)
{
    struct pnx__limit limit = pnx__docker_limit_of(engine, call);
    struct stats to = {visit, context};
    char *path;
    pnx_status status = pnx__docker_path(&path, err, "/containers/%s/stats?stream=1", container);
    if (status != PNX_OK)
        return status;
    struct pnx__docker_exchange exchange = {.path = path};
    status = pnx__docker_follow_lines(engine, &exchange, visit_stats, &to, &limit, err);
    free(path);
    return status == PNX_OK
               ? PNX_OK
               : pnx_wrap(err, status, "cannot follow the statistics of %s", container);
}
