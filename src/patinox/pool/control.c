/* SPDX-License-Identifier: MIT */
/* What can be done to a pool while it runs, and its orderly end. */
#include "pool/internal.h"

static bool evict(pnx_pool *pool, pnx__pool_after *after, pnx__pool_entry *entry)
{
    /* What is being created is no resource yet. */
    const bool creating = pnx__pool_state(pnx__pool_word(entry)) == PNX__POOL_CREATING;
    if (!pnx__pool_evict_entry(pool, after, entry))
        return false;
    pool->stats.evicted++;
    pnx__pool_note(pool, after, PNX_POOL_EVICTED, creating ? NULL : entry, NULL);
    return true;
}

void pnx__pool_evict_all(pnx_pool *pool, pnx__pool_after *after, bool all)
{
    const uint32_t span = atomic_load_explicit(&pool->span, memory_order_relaxed);
    for (uint32_t i = 0; i < span; i++) {
        pnx__pool_entry *entry = &pool->entries[i];
        /* seq_cst: pairs with a return, as the look of a waiter does. */
        const uint64_t word = atomic_load_explicit(&entry->word, memory_order_seq_cst);
        if (all || pnx__pool_state(word) == PNX__POOL_IDLE)
            (void)evict(pool, after, entry);
        pnx__pool_breathe(pool, after);
    }
}

/* ---- waiting for the pool -------------------------------------------------------------------- */

typedef bool (*condition_fn)(pnx_pool *pool, unsigned argument);

/* What a close and a drain wait for: nothing is held, made or destroyed any more. */
static bool is_empty(pnx_pool *pool, unsigned also_jobs)
{
    return pool->size == 0 && (also_jobs == 0 || pool->jobs == 0);
}

static bool is_warm(pnx_pool *pool, unsigned count)
{
    return pool->size - pool->count[PNX__POOL_CREATING] - pool->count[PNX__POOL_CLOSING] >= count;
}

/* False: nothing but time would help. */
static bool step_or_sleep(pnx_pool *pool, uint32_t seen, pnx_time deadline)
{
    pnx_registry *registry = pool->registry;
    if (!registry->manual || pnx__stepped_elsewhere(registry)) {
        pnx__futex_wait(&pool->quiet, seen, deadline);
        return true;
    }
    if (pnx__running_in == registry)
        return false;
    if (pnx__step(registry, 1) > 0)
        return true;
    if (registry->clock != NULL)
        return false;
    const pnx_time due = pnx_registry_next_due(registry);
    pnx__futex_wait(&pool->quiet, seen, due < deadline ? due : deadline);
    return true;
}

/* Waits, with the lock held before and after, until the condition holds. */
static bool wait_for(pnx_pool *pool, condition_fn condition, unsigned argument, pnx_time deadline)
{
    while (!condition(pool, argument)) {
        if (deadline != PNX_FOREVER && pnx__precise(pool->registry) >= deadline)
            return false;
        pool->quiet_waiters++;
        const uint32_t seen = atomic_load_explicit(&pool->quiet, memory_order_relaxed);
        pthread_mutex_unlock(&pool->lock);
        const bool goes_on = step_or_sleep(pool, seen, deadline);
        pnx__pool_lock(pool);
        pool->quiet_waiters--;
        if (!goes_on)
            return condition(pool, argument);
    }
    return true;
}

/* ---- while it runs --------------------------------------------------------------------------- */

pnx_status pnx_pool_resize(pnx_pool *pool, unsigned min, unsigned max, pnx_error *err)
{
    if (max == 0 || max > PNX_POOL_SIZE_MAX || min > max)
        return pnx_fail(err, PNX_EINVAL,
                        "pool %s: min is %u and max %u; 0 <= min <= max <= %d, "
                        "and max is not 0",
                        pool->name, min, max, PNX_POOL_SIZE_MAX);
    pnx__pool_after after = {0};
    pnx__pool_lock(pool);
    pool->min = min;
    pool->max = max;
    pool->floor = min;
    /* Idle ones first, then the others: those go when they are returned, or when their job is
     * done. Whoever resizes meanwhile, or returns one, is seen to by pnx__pool_give. */
    unsigned stay = pool->size - pool->count[PNX__POOL_CLOSING] - pnx__pool_evicted(pool);
    for (unsigned others = 0; others < 2; others++) {
        const uint32_t span = atomic_load_explicit(&pool->span, memory_order_relaxed);
        for (uint32_t i = span; i-- > 0 && stay > max;) {
            pnx__pool_entry *entry = &pool->entries[i];
            if ((others || pnx__pool_state(pnx__pool_word(entry)) == PNX__POOL_IDLE) &&
                evict(pool, &after, entry))
                stay--;
            pnx__pool_breathe(pool, &after);
        }
    }
    pnx__pool_serve(pool, &after);
    pnx__pool_tick_by(pool, &after, pnx__precise(pool->registry)); /* min and idle timeouts */
    pnx__pool_unlock(pool, &after);
    return PNX_OK;
}

void pnx_pool_suspend(pnx_pool *pool)
{
    pnx__pool_lock(pool);
    /* Relaxed: an acquire that has passed the gate came before. */
    atomic_fetch_or_explicit(&pool->gate, PNX__GATE_SUSPENDED, memory_order_relaxed);
    pthread_mutex_unlock(&pool->lock);
}

void pnx_pool_resume(pnx_pool *pool)
{
    pnx__pool_after after = {0};
    pnx__pool_lock(pool);
    /* Release: pairs with the acquire of the gate in lease.c. */
    atomic_fetch_and_explicit(&pool->gate, ~PNX__GATE_SUSPENDED, memory_order_release);
    pnx__pool_serve(pool, &after);
    pnx__pool_unlock(pool, &after);
}

void pnx_pool_evict(pnx_pool *pool)
{
    pnx__pool_after after = {0};
    pnx__pool_lock(pool);
    pnx__pool_evict_all(pool, &after, true);
    pnx__pool_serve(pool, &after);
    pnx__pool_unlock(pool, &after);
}

pnx_status pnx_pool_drain(pnx_pool *pool, pnx_time deadline, pnx_error *err)
{
    pnx__pool_after after = {0};
    pnx_pool_suspend(pool);
    pnx__pool_lock(pool);
    pnx__pool_evict_all(pool, &after, true);
    pnx__pool_unlock(pool, &after);
    pnx__pool_lock(pool);
    const pnx_status status =
        wait_for(pool, is_empty, 0, deadline)
            ? PNX_OK
            : pnx__pool_why(pool, PNX_ETIMEOUT, "it could not be drained in time", err);
    pthread_mutex_unlock(&pool->lock);
    return status;
}

pnx_status pnx_pool_warm(pnx_pool *pool, unsigned count, pnx_time deadline, pnx_error *err)
{
    pnx__pool_after after = {0};
    pnx__pool_lock(pool);
    if (count > pool->max)
        count = pool->max;
    if (pool->floor < count)
        pool->floor = count;
    pnx__pool_fill(pool, &after);
    pnx__pool_unlock(pool, &after);
    pnx__pool_lock(pool);
    const pnx_status status =
        wait_for(pool, is_warm, count, deadline)
            ? PNX_OK
            : pnx__pool_why(pool, PNX_ETIMEOUT, "it did not fill in time", err);
    pthread_mutex_unlock(&pool->lock);
    return status;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void report(pnx_pool *pool, pnx_pool_report *ret)
{
    *ret = (pnx_pool_report){0};
    ret->held = pnx_pool_holders(pool, ret->holders, PNX_POOL_HOLDERS_MAX);
    ret->holder_count = ret->held < PNX_POOL_HOLDERS_MAX ? ret->held : PNX_POOL_HOLDERS_MAX;
    pnx__pool_lock(pool);
    ret->creating = pool->count[PNX__POOL_CREATING];
    ret->closing = pool->count[PNX__POOL_CLOSING];
    pthread_mutex_unlock(&pool->lock);
}

pnx_status pnx_pool_close(pnx_pool *pool, pnx_time deadline, pnx_pool_report *ret, pnx_error *err)
{
    if (pnx__forked(pool->registry))
        return pnx_fail(err, PNX_EFORKED, "pool %s belongs to the parent process", pool->name);
    pnx__pool_after after = {0};
    pnx__pool_lock(pool);
    /* seq_cst: pairs with the look of a return at the gate: it sees this, or we see its entry. */
    atomic_fetch_or_explicit(&pool->gate, PNX__GATE_CLOSED, memory_order_seq_cst);
    while (!pnx__list_empty(&pool->waits))
        pnx__pool_settle(pool, &after, pnx__container_of(pool->waits.next, pnx__pool_waiter, all),
                         PNX_ESHUTDOWN);
    pnx__pool_evict_all(pool, &after, true);
    const pnx_id tick = pool->tick_id;
    pnx__pool_unlock(pool, &after);
    if (!pnx_id_is_none(tick))
        (void)pnx_release_later(pool->registry, tick, NULL);

    pnx__pool_lock(pool);
    const bool over = wait_for(pool, is_empty, 1, deadline);
    const pnx_status status =
        over ? PNX_OK : pnx__pool_why(pool, PNX_ETIMEOUT, "it could not be closed in time", err);
    pthread_mutex_unlock(&pool->lock);
    if (ret != NULL)
        report(pool, ret);
    return status;
}
