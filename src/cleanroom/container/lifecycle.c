/* SPDX-License-Identifier: MIT */
/* The lifecycle guard: making one, asking it, and its end. The steps are in life.c. */
#include "container/life.h"

#include "docker/object.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the end --------------------------------------------------------------------------------- */

static void free_life(pnx_lifecycle *life)
{
    pthread_cond_destroy(&life->news);
    pnx__checks_free(&life->checks);
    pnx_object_free(life->object);
    free(life->condition.entries);
    free(life->entries);
    free(life);
}

/* Nothing else of it runs any more. What is in the way of its removal waits outside of the workers,
 * as with every container. */
static pnx_status end(void *owner, pnx_time deadline)
{
    pnx_lifecycle *life = owner;
    pnx_error err = {0};
    const pnx_call call = {.deadline = deadline};
    pnx_status status = pnx__docker_object_release(life->object, &call, &err);
    if (status != PNX_OK)
        return status;
    pnx_life_entry about = {.restarts = 0};
    const pnx_outcome *outcome = life->object->outcome;
    snprintf(about.reason, sizeof about.reason, "%s%s%s%.160s", pnx_fate_name(outcome->fate),
             outcome->verified ? ", seen to be gone" : "", *outcome->reason ? ": " : "",
             outcome->reason);
    pnx__life_step(life, PNX_LIFE_REMOVED, &about);
    pnx__beat_close(&life->beat);
    free_life(life);
    return PNX_OK;
}

static void cannot_go_on(void *owner, const pnx_error *err)
{
    pnx_lifecycle *life = owner;
    pnx_life_entry about = {.restarts = 0};
    pnx_error_format(err, about.reason, sizeof about.reason);
    pthread_mutex_lock(&life->beat.mutex);
    life->blind = true;
    pthread_cond_broadcast(&life->news);
    pthread_mutex_unlock(&life->beat.mutex);
    if (err->code == PNX_ESHUTDOWN) /* it is about to be removed, which is told */
        return;
    pnx__life_step(life, PNX_LIFE_UNKNOWN, &about);
}

/* ---- making one ------------------------------------------------------------------------------ */

static pnx_status fill(pnx_lifecycle *life, const pnx_lifecycle_config *config, pnx_error *err)
{
    pnx_status status = pnx__policy_of(config, &life->policy, err);
    if (status == PNX_OK)
        status = pnx__rules_of(&config->health, &life->condition.rules, err);
    if (status == PNX_OK)
        status =
            pnx__checks_copy(config->health.checks, config->health.check_count, &life->checks, err);
    if (status != PNX_OK)
        return status;
    life->history = config->history ? config->history : 64;
    life->entries = calloc(life->history, sizeof *life->entries);
    life->condition.entries =
        calloc(life->condition.rules.history, sizeof *life->condition.entries);
    if (!life->entries || !life->condition.entries)
        return pnx__docker_no_memory(err);
    return pnx_container_new(life->engine, &config->container, &life->object, err);
}

static void set_up(pnx_lifecycle *life, const pnx_lifecycle_config *config)
{
    life->grace = config->container.grace;
    life->changed = config->changed;
    life->context = config->context;
    life->health_changed = config->health.changed;
    life->health_context = config->health.context;
    if (config->outcome)
        pnx_object_watch_by(life->object, config->outcome);
    life->beat.owner = life;
    life->beat.work = pnx__life_work;
    life->beat.failed = cannot_go_on;
    life->beat.stopped = end;
}

pnx_status pnx_lifecycle_new(pnx_engine *engine, pnx_registry *registry,
                             const pnx_lifecycle_config *config, pnx_lifecycle **ret,
                             pnx_error *err)
{
    pnx_lifecycle *life = calloc(1, sizeof *life);
    if (!life)
        return pnx__docker_no_memory(err);
    pthread_cond_init(&life->news, NULL);
    life->engine = engine;
    life->beat.registry = registry;
    pnx_status status = fill(life, config, err);
    if (status == PNX_OK) {
        set_up(life, config);
        status = pnx__beat_open(&life->beat, "lifecycle", err);
    }
    if (status != PNX_OK)
        free_life(life);
    else
        *ret = life;
    return status;
}

void pnx_lifecycle_free(pnx_lifecycle *life)
{
    if (!life)
        return;
    pnx__beat_close(&life->beat);
    free_life(life);
}

/* ---- beginning ------------------------------------------------------------------------------- */

static pnx_status create_and_start(pnx_lifecycle *life, const pnx_call *call, pnx_error *err)
{
    pnx_status status = pnx_object_create(life->object, call, err);
    if (status == PNX_OK)
        status = pnx_engine_start(life->engine, pnx_object_id(life->object), call, err);
    return status;
}

pnx_status pnx_lifecycle_begin(pnx_lifecycle *life, const pnx_call *call, pnx_error *err)
{
    pnx_call with = call ? *call : (pnx_call){0};
    if (!with.cancel)
        with.cancel = life->beat.cancel;
    pnx_status status = pnx__beat_enter(&life->beat, err);
    if (status != PNX_OK)
        return status;
    if (life->begun) {
        pnx__beat_leave(&life->beat, PNX_FOREVER);
        return pnx_fail(err, PNX_EALREADY, "%s has begun already", pnx_object_name(life->object));
    }
    life->begun = true;
    status = create_and_start(life, &with, err);
    pnx_life_entry about = {.reason = "started"};
    if (status == PNX_OK)
        pnx__life_started(life);
    else
        snprintf(about.reason, sizeof about.reason, "it never began: %.200s",
                 err && err->cause.code ? err->cause.message : pnx_status_name(status));
    pnx__life_step(life, status == PNX_OK ? PNX_LIFE_STARTING : PNX_LIFE_ENDED, &about);
    pnx__beat_leave(&life->beat, status == PNX_OK ? 0 : PNX_FOREVER);
    return status;
}

/* ---- asking ---------------------------------------------------------------------------------- */

pnx_life pnx_lifecycle_state(pnx_lifecycle *life)
{
    pthread_mutex_lock(&life->beat.mutex);
    pnx_life now = life->now;
    pthread_mutex_unlock(&life->beat.mutex);
    return now;
}

const char *pnx_lifecycle_container(const pnx_lifecycle *life)
{
    return pnx_object_id(life->object);
}

/* With the mutex held. */
static size_t history(const pnx_lifecycle *life, pnx_life_entry *ret, size_t most)
{
    uint64_t kept = life->entry_count < life->history ? life->entry_count : life->history;
    uint64_t count = kept < most ? kept : most;
    for (uint64_t i = 0; i < count; i++)
        ret[i] = life->entries[(life->entry_count - count + i) % life->history];
    return (size_t)count;
}

size_t pnx_lifecycle_history(pnx_lifecycle *life, pnx_life_entry *ret, size_t most)
{
    pthread_mutex_lock(&life->beat.mutex);
    size_t count = history(life, ret, most);
    pthread_mutex_unlock(&life->beat.mutex);
    return count;
}

size_t pnx_lifecycle_looks(pnx_lifecycle *life, pnx_health_entry *ret, size_t most)
{
    pthread_mutex_lock(&life->beat.mutex);
    size_t count = pnx__condition_history(&life->condition, ret, most);
    pthread_mutex_unlock(&life->beat.mutex);
    return count;
}

void pnx_lifecycle_counts_of(pnx_lifecycle *life, pnx_lifecycle_counts *ret)
{
    pthread_mutex_lock(&life->beat.mutex);
    *ret = life->counts;
    ret->health = life->condition.counts;
    pthread_mutex_unlock(&life->beat.mutex);
}

/* With the mutex held. PNX_PENDING: there is more to wait for. */
static pnx_status is_over(pnx_lifecycle *life, pnx_life wanted, pnx_error *err)
{
    const char *name = pnx_object_name(life->object);
    pnx_life_entry last = {0};
    (void)history(life, &last, 1);
    if (life->now == wanted)
        return PNX_OK;
    if (life->beat.stopping || life->blind)
        return pnx_fail(err, PNX_ECANCELED, "nobody looks after %s any more%s%s", name,
                        life->blind ? ": " : "", life->blind ? last.reason : "");
    if (life->now == PNX_LIFE_ENDED)
        return pnx_fail(err, PNX_EFAILED, "%s has ended: %s", name, last.reason);
    if (wanted == PNX_LIFE_HEALTHY && life->now == PNX_LIFE_UNHEALTHY &&
        !life->policy.restart_unhealthy)
        return pnx_fail(err, PNX_EFAILED, "%s is unhealthy: %s", name, last.reason);
    return PNX_PENDING;
}

/* With the mutex held. */
static pnx_status is_late(const pnx_lifecycle *life, pnx_life wanted, pnx_error *err)
{
    pnx_health_entry last = {0};
    (void)pnx__condition_history(&life->condition, &last, 1);
    return pnx_fail(err, PNX_ETIMEOUT, "%s is in its life's state %s, not %s yet: %s",
                    pnx_object_name(life->object), pnx_life_name(life->now), pnx_life_name(wanted),
                    *last.reason ? last.reason : "nobody has looked");
}

pnx_status pnx_lifecycle_wait(pnx_lifecycle *life, pnx_life wanted, pnx_time deadline,
                              pnx_error *err)
{
    const struct timespec until = {deadline / PNX_S(1), deadline % PNX_S(1)};
    pthread_mutex_lock(&life->beat.mutex);
    pnx_status status = is_over(life, wanted, err);
    while (status == PNX_PENDING) {
        int late = deadline == PNX_FOREVER ? pthread_cond_wait(&life->news, &life->beat.mutex)
                                           : pthread_cond_clockwait(&life->news, &life->beat.mutex,
                                                                    CLOCK_MONOTONIC, &until);
        status = is_over(life, wanted, err);
        if (late != 0 && status == PNX_PENDING)
            status = is_late(life, wanted, err);
    }
    pthread_mutex_unlock(&life->beat.mutex);
    return status;
}

/* ---- the kind -------------------------------------------------------------------------------- */

static pnx_status release_life(void *value, const pnx_release *why)
{
    pnx_lifecycle *life;
    memcpy(&life, value, sizeof life);
    pnx_time deadline = pnx__deadline_of(why);
    pnx_status status = pnx__beat_stop(&life->beat, why, deadline, true);
    return status == PNX_OK ? end(life, deadline) : status;
}

static int describe_life(const void *value, char *buffer, size_t size)
{
    pnx_lifecycle *life;
    memcpy(&life, value, sizeof life);
    return snprintf(buffer, size, "life of %s (%.12s): %s", pnx_object_name(life->object),
                    pnx_object_id(life->object), pnx_life_name(pnx_lifecycle_state(life)));
}

/* Its release cancels what goes on, which takes no time, and leaves the rest to a job. The times
 * are those of the kind container, and for the same reasons: see docker/kinds.c. */
const pnx_kind pnx_kind_lifecycle = {
    .name = "lifecycle",
    .priority = PNX_HIGH,
    .timeout = PNX_S(60),
    .retries = 30,
    .retry_delay = PNX_MS(20),
    .retry_delay_max = PNX_S(1),
    .value_size = sizeof(pnx_lifecycle *),
    .describe = (void (*)(void))describe_life,
    .release = release_life,
    .run_describe = describe_life,
};
