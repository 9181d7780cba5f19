/* SPDX-License-Identifier: MIT */
/* Making and freeing a pool, and what happens when its lock is given back. */
#include "pool/internal.h"

#include "base/text.h"

#include <limits.h>
#include <sched.h>
#include <string.h>

/* ---- the lock -------------------------------------------------------------------------------- */

void pnx__pool_enter(pnx_pool *pool)
{
    /* Relaxed: whoever comes in stands for something that destroy waits for. */
    atomic_fetch_add_explicit(&pool->inside, 1, memory_order_relaxed);
}

void pnx__pool_leave(pnx_pool *pool)
{
    /* Release: pairs with the acquire in pnx_pool_destroy; the last touch of the pool. */
    atomic_fetch_sub_explicit(&pool->inside, 1, memory_order_release);
}

void pnx__pool_note(pnx_pool *pool, pnx__pool_after *after, pnx_pool_event_type type,
                    const pnx__pool_entry *entry, const pnx_error *error)
{
    if (pool->config.observe == NULL || after->event_count == PNX__POOL_EVENTS)
        return;
    after->events[after->event_count++] = (pnx_pool_event){
        .type = type,
        .pool = pool,
        .time = pnx__tick_time(pool->registry),
        .id = entry != NULL ? entry->id : PNX_ID_NONE,
        .took = -1,
        .error = error,
    };
}

static void tell_events(pnx_pool *pool, pnx__pool_after *after)
{
    for (unsigned i = 0; i < after->event_count; i++)
        pool->config.observe(&after->events[i], pool->config.context);
    after->event_count = 0;
}

static void tell_timeout(pnx_pool *pool, const pnx__pool_waiter *waiter)
{
    if (pool->config.observe == NULL)
        return;
    const pnx_pool_event event = {
        .type = PNX_POOL_ACQUIRE_TIMEOUT,
        .pool = pool,
        .time = waiter->served_at,
        .site = waiter->site,
        .took = waiter->served_at - waiter->queued_at,
        .thread = waiter->thread,
    };
    pool->config.observe(&event, pool->config.context);
}

static void close_noted(pnx_pool *pool, pnx__pool_entry *entry)
{
    (void)pnx_release_later(pool->registry, entry->id, NULL);
    pnx__pool_after after = {0};
    pnx__pool_lock(pool);
    entry->noted = false;
    if (entry->gone) { /* its release has ended already */
        pnx__pool_emptied(pool, entry);
        pnx__pool_serve(pool, &after);
    }
    pnx__pool_unlock(pool, &after);
}

static void tell(pnx__pool_waiter *waiter)
{
    pnx_pool_ready_fn ready = waiter->ready;
    void *context = waiter->context;
    /* Release: pairs with the acquire of whoever waits. After it the waiter may be gone, unless it
     * is told by `ready`; a wake of what lies there then is harmless. */
    atomic_store_explicit(&waiter->state, PNX__WAIT_OVER, memory_order_release);
    pnx__futex_wake(&waiter->state, UINT32_MAX);
    if (ready != NULL)
        ready((pnx_pool_wait *)waiter, context);
}

void pnx__pool_unlock(pnx_pool *pool, pnx__pool_after *after)
{
    const bool told = pool->quiet_waiters > 0;
    if (told) /* relaxed: the futex compares it, and its waiter read it under the lock */
        atomic_fetch_add_explicit(&pool->quiet, 1, memory_order_relaxed);
    pthread_mutex_unlock(&pool->lock);
    if (told)
        pnx__futex_wake(&pool->quiet, UINT32_MAX);
    if (after->arm)
        pnx__pool_arm(pool);
    while (after->close != NULL) {
        pnx__pool_entry *entry = after->close;
        after->close = entry->next;
        close_noted(pool, entry);
    }
    while (after->jobs != NULL) {
        pnx__pool_entry *entry = after->jobs;
        after->jobs = entry->next;
        pnx__pool_submit(entry);
    }
    tell_events(pool, after);
    while (after->waits != NULL) {
        pnx__pool_waiter *waiter = after->waits;
        after->waits = waiter->next;
        if (waiter->status == PNX_ETIMEOUT)
            tell_timeout(pool, waiter);
        tell(waiter);
    }
}

void pnx__pool_breathe(pnx_pool *pool, pnx__pool_after *after)
{
    if (after->event_count < PNX__POOL_EVENTS_CROWD)
        return;
    pnx__pool_unlock(pool, after);
    *after = (pnx__pool_after){0};
    pnx__pool_lock(pool);
}

/* ---- making ---------------------------------------------------------------------------------- */

static void default_span(pnx_duration *span, pnx_duration otherwise)
{
    if (*span == 0)
        *span = otherwise;
}

static void default_count(unsigned *count, unsigned otherwise)
{
    if (*count == 0)
        *count = otherwise;
}

static void complete(pnx_pool_config *config)
{
    if (config->name == NULL)
        config->name = "pool";
    default_count(&config->max, 10);
    default_count(&config->initial, config->min);
    default_span(&config->create_timeout, PNX_S(10));
    default_span(&config->validate_timeout, PNX_S(2));
    default_span(&config->reset_timeout, PNX_S(2));
    /* 500 ms is what HikariCP trusts (aliveBypassWindowMs). */
    default_span(&config->validate_window, PNX_MS(500));
    if (config->validate_window == PNX_NS(1))
        config->validate_window = 0; /* always, also within a tick of the coarse clock */
    default_span(&config->keepalive, PNX_S(120));
    default_span(&config->max_lifetime, PNX_S(1800));
    default_span(&config->idle_timeout, PNX_S(600));
    default_span(&config->held_too_long, PNX_S(60));
    default_count(&config->create_concurrency, 4);
    default_span(&config->backoff, PNX_MS(100));
    default_span(&config->backoff_max, PNX_S(10));
    default_count(&config->circuit_failures, 3);
    /* Each hand-over to a sleeper costs a context switch, so this many acquires share one. 8
     * threads on 2 entries, not held, 2 CPUs: 42 to 57 ns an acquire and return at 256, 34 to 38 ns
     * at 2048, 220 to 2200 ns when nobody may overtake. At 20 us a lease, above which none may, 256
     * are 5 ms. */
    default_count(&config->bypass_max, 256);
    default_count(&config->priority_bypass_max, 64);
    default_count(&config->tenants, 1);
    for (unsigned i = 0; i < PNX_POOL_TENANTS_MAX; i++)
        default_count(&config->weights[i], 1);
}

static pnx_status check(const pnx_pool_config *config, pnx_error *err)
{
    const struct {
        const char *name;
        pnx_duration span;
    } spans[] = {
        {"create_timeout", config->create_timeout},
        {"validate_timeout", config->validate_timeout},
        {"reset_timeout", config->reset_timeout},
        {"validate_window", config->validate_window},
        {"keepalive", config->keepalive < PNX_MS(1) ? -1 : config->keepalive},
        {"max_lifetime", config->max_lifetime},
        {"idle_timeout", config->idle_timeout},
        {"held_too_long", config->held_too_long},
        {"backoff", config->backoff},
        {"backoff_max", config->backoff_max},
    };
    if (config->kind == NULL || config->manager == NULL || config->manager->create == NULL)
        return pnx_fail(err, PNX_EINVAL, "pool %s: it needs a %s", config->name,
                        config->kind == NULL      ? "kind"
                        : config->manager == NULL ? "manager"
                                                  : "manager with a create function");
    if (config->max > PNX_POOL_SIZE_MAX || config->min > config->max)
        return pnx_fail(err, PNX_EINVAL, "pool %s: min is %u and max %u; 0 <= min <= max <= %d",
                        config->name, config->min, config->max, PNX_POOL_SIZE_MAX);
    if (config->initial > config->max)
        return pnx_fail(err, PNX_EINVAL, "pool %s: initial is %u, more than max, which is %u",
                        config->name, config->initial, config->max);
    if (config->tenants > PNX_POOL_TENANTS_MAX)
        return pnx_fail(err, PNX_EINVAL, "pool %s: tenants is %u, of at most %d", config->name,
                        config->tenants, PNX_POOL_TENANTS_MAX);
    for (unsigned i = 0; i < config->tenants; i++)
        if (config->weights[i] > 1000)
            return pnx_fail(err, PNX_EINVAL, "pool %s: weights[%u] is %u, of at most 1000",
                            config->name, i, config->weights[i]);
    for (unsigned i = 0; i < sizeof spans / sizeof *spans; i++)
        if (spans[i].span < 0)
            return pnx_fail(err, PNX_EINVAL, "pool %s: %s is negative, or below its minimum",
                            config->name, spans[i].name);
    return PNX_OK;
}

/* Never runs: the anchor is reserved only, which keeps the registry from being destroyed. */
static pnx_status release_nothing(void *value, const pnx_release *why)
{
    (void)value;
    (void)why;
    return PNX_OK;
}
static const pnx_kind anchor_kind = {.name = "pool", .release = release_nothing};

/* Names a pool in the memory of threads; 0 is none. */
static _Atomic uint64_t last_serial;

static void init(pnx_pool *pool, pnx_registry *registry, const pnx_pool_config *config)
{
    pool->registry = registry;
    /* Relaxed: only to be unique. */
    pool->serial = atomic_fetch_add_explicit(&last_serial, 1, memory_order_relaxed) + 1;
    pool->config = *config;
    pnx__text_copy(pool->name, sizeof pool->name, config->name);
    pool->config.name = pool->name;
    pool->min = config->min;
    pool->max = config->max;
    pool->floor = config->initial > config->min ? config->initial : config->min;
    pool->ramp = config->create_concurrency;
    pool->random.state = config->seed != 0 ? config->seed : pnx__random64();
    atomic_store_explicit(&pool->hold, -1, memory_order_relaxed);
    pool->tick_want = PNX_FOREVER;
    pool->tick_hook.ended = pnx__pool_tick_ended;
    pool->tenant_fresh = true;
    pnx__list_init(&pool->waits);
    for (unsigned i = 0; i < PNX_POOL_TENANTS_MAX; i++) {
        pool->tenants[i].weight = config->weights[i];
        for (unsigned rank = 0; rank < PNX_PRIORITY_COUNT; rank++)
            pnx__list_init(&pool->tenants[i].lists[rank]);
    }
    if (config->held_too_long != PNX_FOREVER)
        atomic_store_explicit(&pool->gate, PNX__GATE_UNWATCHED, memory_order_relaxed);
    if (config->bypass_max == UINT_MAX)
        atomic_store_explicit(&pool->strict, 1, memory_order_relaxed);
}

pnx_status pnx_pool_create(pnx_registry *registry, const pnx_pool_config *given, pnx_pool **ret,
                           pnx_error *err)
{
    if (registry == NULL || given == NULL || ret == NULL)
        return pnx_fail(err, PNX_EINVAL,
                        "a pool needs a registry, a configuration, and a place "
                        "for the answer");
    pnx_pool_config config = *given;
    complete(&config);
    pnx_status status = check(&config, err);
    if (status != PNX_OK)
        return status;
    pnx_pool *pool = pnx__map(sizeof *pool);
    /* Address space only: pages are touched as the pool grows, now or by a resize. */
    pnx__pool_entry *entries =
        pool != NULL ? pnx__map(PNX_POOL_SIZE_MAX * sizeof(pnx__pool_entry)) : NULL;
    if (entries == NULL || pthread_mutex_init(&pool->lock, NULL) != 0) {
        pnx__unmap(entries, PNX_POOL_SIZE_MAX * sizeof(pnx__pool_entry));
        pnx__unmap(pool, sizeof *pool);
        return pnx_fail(err, PNX_ENOMEM, "pool %s: no memory", config.name);
    }
    pool->entries = entries;
    init(pool, registry, &config);
    status = pnx__guard_reserve(&pool->anchor, registry, &anchor_kind, NULL, err);
    if (status != PNX_OK) {
        pthread_mutex_destroy(&pool->lock);
        pnx__unmap(entries, PNX_POOL_SIZE_MAX * sizeof(pnx__pool_entry));
        pnx__unmap(pool, sizeof *pool);
        return status;
    }
    pnx__pool_after after = {0};
    pnx__pool_lock(pool);
    pnx__pool_fill(pool, &after);
    pnx__pool_unlock(pool, &after);
    *ret = pool;
    return PNX_OK;
}

const char *pnx_pool_name(const pnx_pool *pool)
{
    return pool->name;
}

pnx_status pnx_pool_destroy(pnx_pool *pool, pnx_error *err)
{
    if (pool == NULL)
        return PNX_OK;
    if (pnx__forked(pool->registry))
        return PNX_OK; /* the parent's; this copy goes with the child */
    pnx__pool_lock(pool);
    const unsigned size = pool->size, jobs = pool->jobs;
    const bool closed =
        (atomic_load_explicit(&pool->gate, memory_order_relaxed) & PNX__GATE_CLOSED) != 0;
    const bool waits = !pnx__list_empty(&pool->waits);
    pthread_mutex_unlock(&pool->lock);
    if (!closed)
        return pnx_fail(err, PNX_EBUSY, "pool %s: close it first", pool->name);
    if (size != 0 || jobs != 0 || waits)
        return pnx_fail(err, PNX_EBUSY,
                        "pool %s: %u things and %u jobs are not over; pnx_pool_close says which",
                        pool->name, size, jobs);
    /* Acquire: pairs with the release in pnx__pool_leave. They only have to get out of the door. */
    while (atomic_load_explicit(&pool->inside, memory_order_acquire) != 0)
        sched_yield();
    pnx__guard_drop(&pool->anchor);
    pthread_mutex_destroy(&pool->lock);
    pnx__unmap(pool->entries, PNX_POOL_SIZE_MAX * sizeof(pnx__pool_entry));
    pnx__unmap(pool, sizeof *pool);
    return PNX_OK;
}
