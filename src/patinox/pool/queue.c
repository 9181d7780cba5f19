/* SPDX-License-Identifier: MIT */
/*
 * Who is served next. All with the lock held.
 *
 * Tenants take turns by deficit round robin (Shreedhar and Varghese, "Efficient Fair Queueing Using
 * Deficit Round Robin", SIGCOMM 1995), where every lease costs 1: in a round a tenant that waits is
 * served as often as its weight says. Within a tenant the higher priority goes first, in the order
 * of arrival, but at most `priority_bypass_max` times before a lower one that waits.
 *
 * The head is chosen when the one before it is settled, and stays: `bypass` counts for it alone.
 */
#include "pool/internal.h"

#include <limits.h>

/* ---- choosing -------------------------------------------------------------------------------- */

static pnx__pool_waiter *pick_of(pnx_pool *pool, pnx__pool_tenant *tenant)
{
    int rank = PNX_PRIORITY_COUNT - 1;
    while (pnx__list_empty(&tenant->lists[rank]))
        rank--;
    for (int lower = 0; lower < rank; lower++)
        if (!pnx__list_empty(&tenant->lists[lower]) &&
            tenant->passed[lower] >= pool->config.priority_bypass_max) {
            rank = lower;
            break;
        }
    for (int lower = 0; lower < rank; lower++)
        if (!pnx__list_empty(&tenant->lists[lower]))
            tenant->passed[lower]++;
    tenant->passed[rank] = 0;
    pnx__list *node = pnx__list_pop_front(&tenant->lists[rank]);
    tenant->waiting--;
    return pnx__container_of(node, pnx__pool_waiter, node);
}

static pnx__pool_waiter *pick(pnx_pool *pool)
{
    for (;;) {
        pnx__pool_tenant *tenant = &pool->tenants[pool->tenant_turn];
        if (tenant->waiting == 0)
            tenant->deficit = 0; /* who does not wait saves nothing up */
        else if (pool->tenant_fresh)
            tenant->deficit += tenant->weight;
        pool->tenant_fresh = false;
        if (tenant->waiting != 0 && tenant->deficit > 0) {
            tenant->deficit--;
            return pick_of(pool, tenant);
        }
        pool->tenant_turn = (pool->tenant_turn + 1) % pool->config.tenants;
        pool->tenant_fresh = true;
    }
}

pnx__pool_waiter *pnx__pool_head(pnx_pool *pool)
{
    if (pool->head == NULL && pool->waiting > 0) {
        pool->head = pick(pool);
        /* Relaxed: who adds to it later than this overtakes this head, whatever it has seen. */
        atomic_store_explicit(&pool->bypass, 0, memory_order_relaxed);
    }
    return pool->head;
}

/* ---- in and out ------------------------------------------------------------------------------ */

void pnx__pool_enqueue(pnx_pool *pool, pnx__pool_waiter *waiter)
{
    pnx__pool_tenant *tenant = &pool->tenants[waiter->tenant];
    waiter->queued_at = pnx__precise(pool->registry);
    pnx__list_push_back(&tenant->lists[waiter->rank], &waiter->node);
    pnx__list_push_back(&pool->waits, &waiter->all);
    tenant->waiting++;
    pool->waiting++;
    /* seq_cst: a waiter's first half of the Dekker pair: it is counted before it looks for what is
     * idle; a return makes its entry idle before it looks for waiters (lease.c). */
    atomic_fetch_add_explicit(&pool->gate, PNX__GATE_ONE_WAITER, memory_order_seq_cst);
}

/* What the head was overtaken is known when it goes. */
static void count_bypass(pnx_pool *pool)
{
    uint64_t overtaken = atomic_load_explicit(&pool->bypass, memory_order_relaxed);
    if (overtaken > pool->config.bypass_max)
        overtaken = pool->config.bypass_max; /* who was turned away has counted, too */
    pool->stats.bypassed += overtaken;
    if (overtaken > pool->stats.bypassed_max)
        pool->stats.bypassed_max = overtaken;
}

void pnx__pool_settle(pnx_pool *pool, pnx__pool_after *after, pnx__pool_waiter *waiter,
                      pnx_status status)
{
    pnx__pool_tenant *tenant = &pool->tenants[waiter->tenant];
    if (waiter == pool->head) {
        count_bypass(pool);
        if (status != PNX_OK)
            tenant->deficit++; /* it did not use its turn */
        pool->head = NULL;
        /* Relaxed: who skipped a nudge because of the old head is made up for by the serve that
         * follows every settling. */
        atomic_store_explicit(&pool->nudged, 0, memory_order_relaxed);
    } else {
        pnx__list_remove(&waiter->node);
        tenant->waiting--;
    }
    pnx__list_remove(&waiter->all);
    pool->waiting--;
    pool->waiting_threads_hold -= waiter->held;
    /* Relaxed: who still sees it counted asks under the lock. */
    atomic_fetch_sub_explicit(&pool->gate, PNX__GATE_ONE_WAITER, memory_order_relaxed);
    waiter->settled = true;
    waiter->status = status;
    waiter->served_at = pnx__precise(pool->registry);
    pool->stats.timed_out += status == PNX_ETIMEOUT;
    pool->stats.canceled += status == PNX_ECANCELED;
    if (status == PNX_OK)
        pnx_histogram_add(&pool->stats.wait_time, waiter->served_at - waiter->queued_at);
    PNX__POOL_APPEND(after->waits, after->waits_last, waiter);
}

void pnx__pool_hand(pnx_pool *pool, pnx__pool_after *after, pnx__pool_waiter *waiter,
                    pnx__pool_entry *entry)
{
    waiter->entry = entry;
    waiter->word =
        atomic_load_explicit(&entry->word, memory_order_relaxed) & ~(uint64_t)PNX__POOL_EVICT;
    atomic_store_explicit(&entry->since, pnx__tick_time(pool->registry), memory_order_relaxed);
    atomic_store_explicit(&entry->site, waiter->site, memory_order_relaxed);
    atomic_store_explicit(&entry->holder, waiter->thread, memory_order_relaxed);
    pool->stats.waited++;
    pool->stats.handed_over++;
    pnx__pool_settle(pool, after, waiter, PNX_OK);
    /* Somebody must watch how long it is held. */
    if ((atomic_load_explicit(&pool->gate, memory_order_relaxed) & PNX__GATE_UNWATCHED) != 0) {
        atomic_fetch_and_explicit(&pool->gate, ~PNX__GATE_UNWATCHED, memory_order_relaxed);
        pnx__pool_tick_by(pool, after,
                          pnx_time_after(waiter->served_at, pool->config.held_too_long));
    }
}

void pnx__pool_serve(pnx_pool *pool, pnx__pool_after *after)
{
    const uint32_t shut = PNX__GATE_SUSPENDED | PNX__GATE_CLOSED;
    if ((atomic_load_explicit(&pool->gate, memory_order_relaxed) & shut) == 0) {
        pnx__pool_waiter *head;
        while ((head = pnx__pool_head(pool)) != NULL) {
            /* seq_cst: from here on a return wakes it; pairs with the look in lease.c. */
            atomic_store_explicit(&pool->nudged, 0, memory_order_seq_cst);
            pnx__pool_entry *entry = pnx__pool_claim(pool, after, true);
            if (entry == NULL)
                break;
            pnx__pool_hand(pool, after, head, entry);
        }
    }
    pnx__pool_fill(pool, after);
}

/* ---- is overtaking worth it? ----------------------------------------------------------------- */

/*
 * Overtaking pays where a lease is held for less than it takes to wake its next holder: some 5 us
 * for a futex wake, up to 50 us under load. With longer holds strict order costs nothing (measured:
 * 93 against 97 us per lease at 100 us hold) and has the shortest tail. The average is of samples
 * clipped to twice the limit, so that one holder that lost its CPU does not turn it; the first one
 * is believed at once, so that a pool of long leases is strict from its first return on.
 */
#define HOLD_LIMIT PNX_US(20)

void pnx__pool_hold(pnx_pool *pool, pnx_duration hold)
{
    if (hold > 2 * HOLD_LIMIT)
        hold = 2 * HOLD_LIMIT;
    if (pool->config.bypass_max == UINT_MAX)
        return;
    /* Relaxed, and a sample may be lost: a hint; the bound holds either way. */
    int64_t average = atomic_load_explicit(&pool->hold, memory_order_relaxed);
    average = average < 0 ? hold : average + (hold - average) / 8;
    atomic_store_explicit(&pool->hold, average, memory_order_relaxed);
    const uint32_t strict = average >= HOLD_LIMIT;
    if (strict != atomic_load_explicit(&pool->strict, memory_order_relaxed))
        atomic_store_explicit(&pool->strict, strict, memory_order_relaxed);
}
