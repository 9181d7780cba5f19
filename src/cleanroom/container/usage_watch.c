/* SPDX-License-Identifier: MIT */
/* The resource guard: looks at what a container uses, and acts at its hard bounds. */
#include "container/usage.h"

#include "container/beat.h"
#include "container/limits.h"
#include "docker/calls.h"
#include "docker/path.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct pnx_usage_watch {
    struct pnx__beat beat;
    pnx_engine *engine;
    char *container;
    pnx_duration interval, timeout, grace;
    pnx_usage_action action;
    bool by_engine;
    /* Of the beat's work alone. */
    bool wants_disk;
    unsigned looks;
    pnx_container_stats stats; /* the last that the engine gave */
    void (*changed)(const pnx_usage_event *event, void *context);
    void *context;
    struct pnx__usage usage; /* under the beat's mutex */
};

/* ---- one look -------------------------------------------------------------------------------- */

/* With the size of its own layer, which the engine has to count, only if somebody wants it. */
static pnx_status inspect(const pnx_usage_watch *watch, const struct pnx__limit *limit,
                          json_t **ret, pnx_error *err)
{
    char *path;
    if (!watch->wants_disk)
        return pnx__docker_inspect(watch->engine, PNX_CONTAINER, watch->container, limit, ret, err);
    pnx_status status =
        pnx__docker_path(&path, err, "/containers/%s/json?size=1", watch->container);
    if (status != PNX_OK)
        return status;
    status = pnx__docker_request(watch->engine, "GET", path, NULL, limit, ret, err);
    free(path);
    return status == PNX_OK
               ? PNX_OK
               : pnx_wrap(err, status, "cannot inspect container %s", watch->container);
}

static void read_state(const json_t *about, struct pnx__sample *ret)
{
    const json_t *state = json_object_get(about, "State");
    const char *name = pnx__docker_json_text(state, "Status");
    ret->running = json_is_true(json_object_get(state, "Running"));
    ret->ended = !ret->running && strcmp(name, "created") != 0;
    ret->exit_code = (int)json_integer_value(json_object_get(state, "ExitCode"));
    ret->oom_killed = json_is_true(json_object_get(state, "OOMKilled"));
    ret->disk = (uint64_t)json_integer_value(json_object_get(about, "SizeRw"));
}

/*
 * Engines count once a second, and whoever asks waits for that. Where the kernel can be read it is
 * asked instead, and the engine only now and then, for what it alone adds up: disks and networks.
 */
#define BY_ENGINE_EVERY 10

static void count_here(pnx_usage_watch *watch, struct pnx__sample *ret)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    watch->stats.read = PNX_S(now.tv_sec) + now.tv_nsec;
    watch->stats.memory = ret->kernel.memory;
    watch->stats.pids = ret->kernel.pids;
    watch->stats.cpu = ret->kernel.cpu;
}

static pnx_status count(pnx_usage_watch *watch, const pnx_call *call, struct pnx__sample *ret,
                        pnx_error *err)
{
    pnx_status status = PNX_OK;
    bool here = !watch->by_engine && ret->kernel.visible && ret->kernel.memory && ret->kernel.pids;
    if (!here || watch->looks++ % BY_ENGINE_EVERY == 0)
        status = pnx_engine_stats(watch->engine, watch->container, call, &watch->stats, err);
    if (here && status == PNX_OK)
        count_here(watch, ret);
    ret->stats = watch->stats;
    /* All zero: it has ended in between, which the next look sees. */
    ret->measured = status == PNX_OK && ret->stats.pids + ret->stats.memory > 0;
    return status;
}

static pnx_status measure(pnx_usage_watch *watch, struct pnx__sample *ret, pnx_error *err)
{
    json_t *about = NULL;
    pnx_call call = pnx_call_within(watch->timeout);
    call.cancel = watch->beat.cancel;
    struct pnx__limit limit = pnx__docker_limit_of(watch->engine, &call);
    pnx_status status = inspect(watch, &limit, &about, err);
    if (status != PNX_OK)
        return status;
    read_state(about, ret);
    pnx__limits_of(about, ret->limits);
    watch->wants_disk = watch->wants_disk || ret->limits[PNX_USAGE_DISK];
    pnx__kernel_look(about, &ret->kernel);
    json_decref(about);
    return ret->running ? count(watch, &call, ret, err) : PNX_OK;
}

static pnx_status look(pnx_usage_watch *watch, struct pnx__sample *ret)
{
    pnx_error err = {0};
    *ret = (struct pnx__sample){0};
    pnx_status status = measure(watch, ret, &err);
    ret->known = status == PNX_OK || status == PNX_ENOTFOUND;
    ret->gone = status == PNX_ENOTFOUND;
    if (status != PNX_OK)
        snprintf(ret->reason, sizeof ret->reason, "%s",
                 err.cause.code ? err.cause.message : err.message);
    return status;
}

/* ---- acting and telling ---------------------------------------------------------------------- */

static pnx_status act(pnx_usage_watch *watch, pnx_error *err)
{
    pnx_call call = pnx_call_within(pnx_time_after(watch->grace, PNX_S(10)));
    call.cancel = watch->beat.cancel;
    pnx_status status = PNX_OK;
    if (watch->action == PNX_USAGE_STOP)
        status = pnx_engine_stop(watch->engine, watch->container, watch->grace, &call, err);
    else if (watch->action == PNX_USAGE_KILL)
        status = pnx_engine_kill(watch->engine, watch->container, SIGKILL, &call, err);
    /* That it does not run any more is what was wanted. */
    return status == PNX_EALREADY || status == PNX_EBUSY ? PNX_OK : status;
}

static void tell(pnx_usage_watch *watch, pnx_usage_event *event)
{
    static const char *const actions[] = {"", "; stopped", "; killed"};
    pnx_error err = {0};
    if (pnx__beat_is_stopping(&watch->beat))
        return;
    if (event->type == PNX_USAGE_HARD) {
        size_t length = strlen(event->reason);
        event->status = act(watch, &err);
        snprintf(event->reason + length, sizeof event->reason - length, "%s",
                 event->status == PNX_OK ? actions[watch->action] : "; the action failed");
    }
    pnx__moment(watch->beat.registry, pnx__usage_moment(event->type), watch);
    if (watch->changed)
        watch->changed(event, watch->context);
}

static pnx_duration work(void *owner)
{
    pnx_usage_watch *watch = owner;
    struct pnx__sample sample;
    pnx_usage_event events[PNX__USAGE_EVENTS_MAX];
    if (look(watch, &sample) == PNX_ECANCELED)
        return PNX_FOREVER;
    pthread_mutex_lock(&watch->beat.mutex);
    size_t count =
        pnx__usage_take(&watch->usage, pnx_registry_now(watch->beat.registry), &sample, events);
    bool over = watch->usage.report.ended;
    pthread_mutex_unlock(&watch->beat.mutex);
    for (size_t i = 0; i < count; i++)
        tell(watch, &events[i]);
    return over ? PNX_FOREVER : watch->interval;
}

static void cannot_look(void *owner, const pnx_error *err)
{
    pnx_usage_watch *watch = owner;
    pnx_usage_report *report = &watch->usage.report;
    pthread_mutex_lock(&watch->beat.mutex);
    report->ended = true;
    pnx_error_format(err, report->unknown_reason, sizeof report->unknown_reason);
    pthread_mutex_unlock(&watch->beat.mutex);
}

/* ---- its life -------------------------------------------------------------------------------- */

static void free_watch(pnx_usage_watch *watch)
{
    free(watch->container);
    free(watch);
}

static pnx_status end(void *owner, pnx_time deadline)
{
    pnx_usage_watch *watch = owner;
    (void)deadline;
    pnx__beat_close(&watch->beat);
    free_watch(watch);
    return PNX_OK;
}

static void set_up(pnx_usage_watch *watch, pnx_engine *engine, pnx_registry *registry,
                   const pnx_usage_config *config)
{
    const pnx_usage_bound *disk = &config->bounds[PNX_USAGE_DISK];
    watch->engine = engine;
    watch->interval = config->interval ? config->interval : PNX_S(1);
    watch->timeout = config->timeout ? config->timeout : PNX_S(5);
    watch->grace = config->grace;
    watch->action = config->action;
    watch->by_engine = config->by_engine;
    watch->wants_disk = disk->soft || disk->hard;
    watch->changed = config->changed;
    watch->context = config->context;
    watch->beat.registry = registry;
    watch->beat.owner = watch;
    watch->beat.work = work;
    watch->beat.failed = cannot_look;
    watch->beat.stopped = end;
}

pnx_status pnx_usage_watch_new(pnx_engine *engine, pnx_registry *registry, const char *container,
                               const pnx_usage_config *config, pnx_usage_watch **ret,
                               pnx_error *err)
{
    static const pnx_usage_config defaults;
    struct pnx__usage usage;
    config = config ? config : &defaults;
    pnx_status status = pnx__usage_of(config, &usage, err);
    if (status != PNX_OK)
        return status;
    pnx_usage_watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return pnx__docker_no_memory(err);
    set_up(watch, engine, registry, config);
    watch->usage = usage;
    watch->container = strdup(container);
    status =
        watch->container ? pnx__beat_open(&watch->beat, "usage", err) : pnx__docker_no_memory(err);
    if (status != PNX_OK)
        free_watch(watch);
    else
        *ret = watch;
    return status;
}

pnx_status pnx_usage_watch_begin(pnx_usage_watch *watch, pnx_error *err)
{
    return pnx__beat_begin(&watch->beat, 0, err);
}

void pnx_usage_watch_free(pnx_usage_watch *watch)
{
    if (watch)
        (void)end(watch, PNX_FOREVER);
}

void pnx_usage_watch_report(pnx_usage_watch *watch, pnx_usage_report *ret)
{
    pthread_mutex_lock(&watch->beat.mutex);
    *ret = watch->usage.report;
    pthread_mutex_unlock(&watch->beat.mutex);
}

/* ---- the kind -------------------------------------------------------------------------------- */

static pnx_status release_watch(void *value, const pnx_release *why)
{
    pnx_usage_watch *watch;
    memcpy(&watch, value, sizeof watch);
    pnx_status status = pnx__beat_stop(&watch->beat, why, pnx__deadline_of(why), false);
    return status == PNX_OK ? end(watch, PNX_FOREVER) : status;
}

static int describe_watch(const void *value, char *buffer, size_t size)
{
    const pnx_usage_watch *watch;
    memcpy(&watch, value, sizeof watch);
    return snprintf(buffer, size, "usage of %.12s", watch->container);
}

/* As the kind health. */
const pnx_kind pnx_kind_usage = {
    .name = "usage",
    .priority = PNX_CRITICAL,
    .timeout = PNX_S(60),
    .value_size = sizeof(pnx_usage_watch *),
    .describe = (void (*)(void))describe_watch,
    .release = release_watch,
    .run_describe = describe_watch,
};
