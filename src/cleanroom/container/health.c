/* SPDX-License-Identifier: MIT */
/* The health guard: looks, judged, told and waited for. */
#include <cleanroom/health.h>

#include "container/beat.h"
#include "container/condition.h"
#include "docker/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pnx_health_watch {
    struct pnx__beat beat;
    pnx_engine *engine;
    char *container;
    char name[32]; /* of it, for people */
    struct pnx__checks checks;
    void (*changed)(const pnx_health_entry *entry, void *context);
    void *context;
    pthread_cond_t news; /* of what is below; under the beat's mutex */
    struct pnx__condition condition;
    bool blind; /* it cannot look any more: `why` */
    char why[PNX_ERROR_MESSAGE_MAX];
};

static void free_watch(pnx_health_watch *watch)
{
    pthread_cond_destroy(&watch->news);
    pnx__checks_free(&watch->checks);
    free(watch->condition.entries);
    free(watch->container);
    free(watch);
}

/* ---- one look -------------------------------------------------------------------------------- */

static void tell(pnx_health_watch *watch, const pnx_health_entry *entry)
{
    pnx__moment(watch->beat.registry, pnx__condition_moment(entry->condition), watch);
    if (watch->changed)
        watch->changed(entry, watch->context);
}

static pnx_duration look(void *owner)
{
    pnx_health_watch *watch = owner;
    struct pnx__seen seen;
    pnx_health_entry entry;
    pnx__checks_look(&watch->checks, watch->engine, watch->container,
                     watch->condition.rules.timeout, watch->beat.cancel, &seen);
    if (seen.voided)
        return PNX_FOREVER;
    pthread_mutex_lock(&watch->beat.mutex);
    bool changed = pnx__condition_judge(&watch->condition, pnx_registry_now(watch->beat.registry),
                                        &seen, &entry);
    bool tells = changed && !watch->beat.stopping;
    pnx_duration pause = pnx__condition_pause(&watch->condition);
    pthread_cond_broadcast(&watch->news);
    pthread_mutex_unlock(&watch->beat.mutex);
    if (tells)
        tell(watch, &entry);
    return pause;
}

static void cannot_look(void *owner, const pnx_error *err)
{
    pnx_health_watch *watch = owner;
    pthread_mutex_lock(&watch->beat.mutex);
    watch->blind = true;
    pnx_error_format(err, watch->why, sizeof watch->why);
    pthread_cond_broadcast(&watch->news);
    pthread_mutex_unlock(&watch->beat.mutex);
}

/* ---- its life -------------------------------------------------------------------------------- */

static pnx_status end(void *owner, pnx_time deadline)
{
    pnx_health_watch *watch = owner;
    (void)deadline;
    pnx__beat_close(&watch->beat);
    free_watch(watch);
    return PNX_OK;
}

/* Without its beat; NULL: why not. */
static pnx_health_watch *make(const char *container, const pnx_health_config *config,
                              pnx_error *err)
{
    struct pnx__rules rules;
    if (pnx__rules_of(config, &rules, err) != PNX_OK)
        return NULL;
    pnx_health_watch *watch = calloc(1, sizeof *watch);
    if (!watch) {
        (void)pnx__docker_no_memory(err);
        return NULL;
    }
    pthread_cond_init(&watch->news, NULL);
    watch->changed = config->changed;
    watch->context = config->context;
    watch->condition.rules = rules;
    watch->condition.entries = calloc(rules.history, sizeof *watch->condition.entries);
    watch->container = strdup(container);
    snprintf(watch->name, sizeof watch->name, "%.*s", strlen(container) == 64 ? 12 : 31, container);
    pnx_status status =
        watch->condition.entries && watch->container
            ? pnx__checks_copy(config->checks, config->check_count, &watch->checks, err)
            : pnx__docker_no_memory(err);
    if (status == PNX_OK)
        return watch;
    free_watch(watch);
    return NULL;
}

pnx_status pnx_health_watch_new(pnx_engine *engine, pnx_registry *registry, const char *container,
                                const pnx_health_config *config, pnx_health_watch **ret,
                                pnx_error *err)
{
    static const pnx_health_config defaults;
    pnx_error local = {0};
    pnx_error *why = err ? err : &local;
    pnx_health_watch *watch = make(container, config ? config : &defaults, why);
    if (!watch)
        return why->code;
    watch->engine = engine;
    watch->beat.registry = registry;
    watch->beat.owner = watch;
    watch->beat.work = look;
    watch->beat.failed = cannot_look;
    watch->beat.stopped = end;
    pnx_status status = pnx__beat_open(&watch->beat, "health", why);
    if (status != PNX_OK)
        free_watch(watch);
    else
        *ret = watch;
    return status;
}

pnx_status pnx_health_watch_begin(pnx_health_watch *watch, pnx_error *err)
{
    return pnx__beat_begin(&watch->beat, 0, err);
}

void pnx_health_watch_free(pnx_health_watch *watch)
{
    if (watch)
        (void)end(watch, PNX_FOREVER);
}

/* ---- asking ---------------------------------------------------------------------------------- */

pnx_condition pnx_health_watch_condition(pnx_health_watch *watch)
{
    pthread_mutex_lock(&watch->beat.mutex);
    pnx_condition now = watch->condition.now;
    pthread_mutex_unlock(&watch->beat.mutex);
    return now;
}

size_t pnx_health_watch_history(pnx_health_watch *watch, pnx_health_entry *ret, size_t most)
{
    pthread_mutex_lock(&watch->beat.mutex);
    size_t count = pnx__condition_history(&watch->condition, ret, most);
    pthread_mutex_unlock(&watch->beat.mutex);
    return count;
}

void pnx_health_watch_counts(pnx_health_watch *watch, pnx_health_counts *ret)
{
    pthread_mutex_lock(&watch->beat.mutex);
    *ret = watch->condition.counts;
    pthread_mutex_unlock(&watch->beat.mutex);
}

/* With the mutex held. PNX_PENDING: there is more to wait for. */
static pnx_status is_over(pnx_health_watch *watch, pnx_condition wanted, pnx_error *err)
{
    pnx_health_entry last = {0};
    (void)pnx__condition_history(&watch->condition, &last, 1);
    if (watch->condition.entry_count && watch->condition.now == wanted)
        return PNX_OK;
    if (watch->beat.stopping || watch->blind)
        return pnx_fail(err, PNX_ECANCELED, "nobody looks at %s any more%s%s", watch->name,
                        watch->blind ? ": " : "", watch->why);
    if (wanted == PNX_HEALTHY && watch->condition.now == PNX_UNHEALTHY)
        return pnx_fail(err, PNX_EFAILED, "%s is unhealthy: %s", watch->name, last.reason);
    return PNX_PENDING;
}

pnx_status pnx_health_watch_wait(pnx_health_watch *watch, pnx_condition wanted, pnx_time deadline,
                                 pnx_error *err)
{
    const struct timespec until = {deadline / PNX_S(1), deadline % PNX_S(1)};
    pthread_mutex_lock(&watch->beat.mutex);
    pnx_status status = is_over(watch, wanted, err);
    while (status == PNX_PENDING) {
        int late =
            deadline == PNX_FOREVER
                ? pthread_cond_wait(&watch->news, &watch->beat.mutex)
                : pthread_cond_clockwait(&watch->news, &watch->beat.mutex, CLOCK_MONOTONIC, &until);
        status = is_over(watch, wanted, err);
        if (late != 0 && status == PNX_PENDING) {
            pnx_health_entry last = {0};
            (void)pnx__condition_history(&watch->condition, &last, 1);
            status = pnx_fail(err, PNX_ETIMEOUT, "%s is %s, not %s yet: %s", watch->name,
                              pnx_condition_name(watch->condition.now), pnx_condition_name(wanted),
                              *last.reason ? last.reason : "nobody has looked");
        }
    }
    pthread_mutex_unlock(&watch->beat.mutex);
    return status;
}

/* ---- the kind -------------------------------------------------------------------------------- */

static pnx_status release_watch(void *value, const pnx_release *why)
{
    pnx_health_watch *watch;
    memcpy(&watch, value, sizeof watch);
    pnx_status status = pnx__beat_stop(&watch->beat, why, pnx__deadline_of(why), false);
    return status == PNX_OK ? end(watch, PNX_FOREVER) : status;
}

static int describe_watch(const void *value, char *buffer, size_t size)
{
    pnx_health_watch *watch;
    memcpy(&watch, value, sizeof watch);
    return snprintf(buffer, size, "health of %s: %s", watch->name,
                    pnx_condition_name(pnx_health_watch_condition(watch)));
}

/* Before containers: what looks at one is over before it goes. Stopping a look takes no time, but
 * for somebody's function that is called from it. */
const pnx_kind pnx_kind_health = {
    .name = "health",
    .priority = PNX_CRITICAL,
    .timeout = PNX_S(60),
    .value_size = sizeof(pnx_health_watch *),
    .describe = (void (*)(void))describe_watch,
    .release = release_watch,
    .run_describe = describe_watch,
};
