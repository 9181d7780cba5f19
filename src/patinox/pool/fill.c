/* SPDX-License-Identifier: MIT */
/*
 * How many things there should be, and when the next may be created. All with the lock held.
 *
 * A create that failed opens a pause that doubles from one failure to the next, with jitter over
 * its upper half ("equal jitter", Brooker, "Exponential Backoff and Jitter", AWS 2015). When it is
 * over one create is tried, and no more. When that works, 2 may run at a time, then 4, … up to
 * `create_concurrency`: a server that has come back is not stormed.
 */
#include "pool/internal.h"

static pnx__pool_entry *empty_entry(pnx_pool *pool)
{
    /* Places beyond a smaller maximum may still be taken; so any free one will do. */
    for (uint32_t i = 0;; i++) {
        pnx__pool_entry *entry = &pool->entries[i];
        if (i >= atomic_load_explicit(&pool->span, memory_order_relaxed)) {
            entry->pool = pool;
            entry->index = i;
            /* Once and for all: the registry may still be reading that of an earlier job. */
            entry->hook.ended = pnx__pool_entry_ended;
            entry->job.hook.ended = pnx__pool_job_ended;
            /* Release: pairs with the acquire of those that look at all entries. */
            atomic_store_explicit(&pool->span, i + 1, memory_order_release);
            return entry;
        }
        if (pnx__pool_state(pnx__pool_word(entry)) == PNX__POOL_EMPTY)
            return entry;
    }
}

static unsigned wanted(pnx_pool *pool)
{
    /* What is late may never come. */
    const unsigned coming = pool->count[PNX__POOL_CREATING] - pool->late_creates +
                            pool->count[PNX__POOL_CHECKING] - pool->late_checks;
    const unsigned there = pool->size - pool->count[PNX__POOL_CLOSING];
    unsigned want = pool->waiting > coming ? pool->waiting - coming : 0;
    if (there >= pool->floor)
        pool->floor = pool->min; /* the initial ones are there, or on their way */
    else if (pool->floor - there > want)
        want = pool->floor - there;
    const unsigned room = pool->size < pool->max ? pool->max - pool->size : 0;
    return want < room ? want : room;
}

void pnx__pool_fill(pnx_pool *pool, pnx__pool_after *after)
{
    const uint32_t gate = atomic_load_explicit(&pool->gate, memory_order_relaxed);
    if ((gate & (PNX__GATE_SUSPENDED | PNX__GATE_CLOSED)) != 0)
        return;
    unsigned want = wanted(pool);
    if (want == 0)
        return;
    if (pool->failures > 0) {
        if (pnx__precise(pool->registry) < pool->retry_at) {
            pnx__pool_tick_by(pool, after, pool->retry_at);
            return;
        }
        if (pool->circuit == PNX_CIRCUIT_OPEN) {
            pool->circuit = PNX_CIRCUIT_HALF_OPEN;
            pnx__pool_note(pool, after, PNX_POOL_CIRCUIT_HALF_OPEN, NULL, NULL);
        }
    }
    while (want > 0 && pool->count[PNX__POOL_CREATING] < pool->ramp) {
        pnx__pool_entry *entry = empty_entry(pool);
        pool->size++;
        pnx__pool_send(pool, after, entry, PNX__JOB_CREATE);
        want--;
    }
}

void pnx__pool_created(pnx_pool *pool, pnx__pool_after *after)
{
    pool->stats.created++;
    pool->failures = 0;
    pool->last_error.code = PNX_OK;
    if (pool->ramp < pool->config.create_concurrency)
        pool->ramp = 2 * pool->ramp < pool->config.create_concurrency
                         ? 2 * pool->ramp
                         : pool->config.create_concurrency;
    if (pool->circuit != PNX_CIRCUIT_CLOSED) {
        pool->circuit = PNX_CIRCUIT_CLOSED;
        pnx__pool_note(pool, after, PNX_POOL_CIRCUIT_CLOSED, NULL, NULL);
    }
}

static void fail_waiters(pnx_pool *pool, pnx__pool_after *after)
{
    while (!pnx__list_empty(&pool->waits))
        pnx__pool_settle(pool, after, pnx__container_of(pool->waits.next, pnx__pool_waiter, all),
                         PNX_EFAILED);
}

void pnx__pool_create_failed(pnx_pool *pool, pnx__pool_after *after, const pnx_error *error)
{
    const pnx_pool_config *config = &pool->config;
    pool->stats.create_failed++;
    pool->last_error = *error;
    pool->ramp = 1;
    /* Several that ran at the same time failed for the same reason: they count once. */
    const pnx_time now = pnx__precise(pool->registry);
    if (pool->failures == 0 || now >= pool->retry_at) {
        pool->failures++;
        pnx_duration delay = config->backoff;
        for (unsigned i = 1; i < pool->failures && delay < config->backoff_max; i++)
            delay = delay > PNX_FOREVER / 2 ? PNX_FOREVER : 2 * delay;
        if (delay > config->backoff_max)
            delay = config->backoff_max;
        delay = delay / 2 + pnx__pool_jitter(pool, delay - delay / 2, 1);
        pool->retry_at = pnx_time_after(now, delay);
    }
    if (pool->circuit == PNX_CIRCUIT_HALF_OPEN ||
        (pool->circuit == PNX_CIRCUIT_CLOSED && pool->failures >= config->circuit_failures)) {
        pool->circuit = PNX_CIRCUIT_OPEN;
        pnx__pool_note(pool, after, PNX_POOL_CIRCUIT_OPEN, NULL, error);
    }
    if (config->fail_fast && pool->circuit == PNX_CIRCUIT_OPEN &&
        pool->size == pool->count[PNX__POOL_CLOSING])
        fail_waiters(pool, after);
    if (pool->waiting > 0 || pool->size < pool->min)
        pnx__pool_tick_by(pool, after, pool->retry_at);
}
