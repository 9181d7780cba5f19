/* SPDX-License-Identifier: MIT */
/*
 * Waiting for a lease: in the queue, until served, canceled, or the deadline is over.
 *
 * A waiter is settled under the lock; then, with the lock gone, its state says so: that is the last
 * touch of its memory. So who gives up at its deadline finds itself settled under the lock, or not.
 */
#include "pool/internal.h"

_Static_assert(sizeof(pnx_pool_wait) >= sizeof(pnx__pool_waiter), "it is one");

static pnx__pool_waiter *waiter_of(pnx_pool_wait *wait)
{
    return (pnx__pool_waiter *)wait;
}

/* ---- waking the head ------------------------------------------------------------------------- */

bool pnx__pool_nudged(pnx_pool *pool)
{
    /* Acquire: pairs with the release in pnx__pool_nudge. The flag is the pool's, not the waiter's,
     * whose memory may be gone. seq_cst: pairs with serve, which clears it and then looks. */
    return atomic_load_explicit(&pool->nudged, memory_order_seq_cst) != 0;
}

/* Lock held. False: nobody sleeps there who could help itself. */
bool pnx__pool_nudge(pnx_pool *pool)
{
    pnx__pool_waiter *head = pnx__pool_head(pool);
    if (head == NULL || head->thread == 0)
        return false;
    atomic_store_explicit(&pool->nudged, 1, memory_order_seq_cst);
    /* Under the lock, so that it is still there. */
    atomic_store_explicit(&head->state, PNX__WAIT_NUDGED, memory_order_release);
    pnx__futex_wake(&head->state, 1);
    return true;
}

/* ---- queueing -------------------------------------------------------------------------------- */

/* How many leases this thread holds. */
static unsigned held_by(pnx_pool *pool, int32_t thread, unsigned *ret_leased)
{
    unsigned held = 0;
    *ret_leased = 0;
    const uint32_t span = atomic_load_explicit(&pool->span, memory_order_relaxed);
    for (uint32_t i = 0; i < span; i++) {
        pnx__pool_entry *entry = &pool->entries[i];
        if (pnx__pool_state(pnx__pool_word(entry)) != PNX__POOL_LEASED)
            continue;
        ++*ret_leased;
        if (atomic_load_explicit(&entry->holder, memory_order_relaxed) == thread)
            held++;
    }
    return held;
}

/* All there can be is leased, and by threads that wait here, this one being the last of them. */
static bool closes_circle(pnx_pool *pool, pnx__pool_waiter *waiter)
{
    unsigned leased;
    const unsigned held = held_by(pool, waiter->thread, &leased);
    waiter->held = held;
    pool->waiting_threads_hold += held;
    return held > 0 && leased >= pool->max && pool->waiting_threads_hold >= leased;
}

static void note_nested(pnx_pool *pool, pnx__pool_after *after, const pnx__pool_waiter *waiter)
{
    const unsigned at = after->event_count;
    pnx__pool_note(pool, after, PNX_POOL_NESTED, NULL, NULL);
    if (after->event_count > at) {
        after->events[at].site = waiter->site;
        after->events[at].thread = waiter->thread;
    }
}

static bool has_passed(const pnx_pool *pool, pnx_time deadline)
{
    return deadline == INT64_MIN ||
           (deadline != PNX_FOREVER && deadline <= pnx__precise(pool->registry));
}

/* Takes its place; PNX_PENDING, or why it need not wait. */
static pnx_status take_place(pnx_pool *pool, pnx__pool_after *after, pnx__pool_waiter *waiter)
{
    const uint32_t gate = atomic_load_explicit(&pool->gate, memory_order_relaxed);
    if ((gate & PNX__GATE_CLOSED) != 0)
        return PNX_ESHUTDOWN;
    if (has_passed(pool, waiter->deadline)) {
        if ((gate & (PNX__GATE_SUSPENDED | PNX__GATE_WAITERS)) != 0)
            return PNX_EBUSY;
        waiter->entry = pnx__pool_claim(pool, after, false);
        if (waiter->entry == NULL)
            return PNX_EBUSY;
        waiter->word = pnx__pool_word(waiter->entry) & ~(uint64_t)PNX__POOL_EVICT;
        atomic_store_explicit(&waiter->entry->since, pnx__tick_time(pool->registry),
                              memory_order_relaxed);
        atomic_store_explicit(&waiter->entry->site, waiter->site, memory_order_relaxed);
        atomic_store_explicit(&waiter->entry->holder, pnx__pool_thread_id(), memory_order_relaxed);
        return PNX_OK;
    }
    pnx__pool_enqueue(pool, waiter);
    pnx__pool_serve(pool, after);
    if (waiter->settled)
        return PNX_PENDING; /* told once the lock is gone */
    if (pool->config.fail_fast && pool->circuit == PNX_CIRCUIT_OPEN &&
        pool->size == pool->count[PNX__POOL_CLOSING]) {
        pnx__pool_settle(pool, after, waiter, PNX_EFAILED);
    } else if (waiter->thread != 0 && closes_circle(pool, waiter)) {
        pool->stats.nested++;
        note_nested(pool, after, waiter);
        if (pool->config.nested == PNX_POOL_NESTED_FAIL)
            pnx__pool_settle(pool, after, waiter, PNX_EDEADLOCK);
    }
    if (waiter->settled)
        pnx__pool_serve(pool, after); /* if it was the head, there is another one now */
    if (waiter->timed && !waiter->settled)
        pnx__pool_tick_by(pool, after, waiter->deadline);
    return PNX_PENDING;
}

static pnx_status fail_with_why(pnx_pool *pool, pnx_status status, pnx_error *err)
{
    static const char *const what[PNX_STATUS_COUNT] = {
        [PNX_ETIMEOUT] = "none came free in time",
        [PNX_EBUSY] = "none is free",
        [PNX_EDEADLOCK] = "all are held by threads that wait for one more, this one among them",
        [PNX_ESHUTDOWN] = "it is closed",
        [PNX_EFAILED] = "none can be made",
        [PNX_ECANCELED] = "the wait was canceled",
    };
    if (err == NULL)
        return status;
    pnx__pool_lock(pool);
    (void)pnx__pool_why(pool, status, what[status] != NULL ? what[status] : "no lease", err);
    pthread_mutex_unlock(&pool->lock);
    return status;
}

pnx_status pnx__pool_queue(pnx_pool *pool, const pnx_pool_want *want, const pnx_site *site,
                           pnx_pool_wait *wait, pnx_lease *ret, bool blocks, pnx_error *err)
{
    pnx__pool_waiter *waiter = waiter_of(wait);
    *waiter = (pnx__pool_waiter){
        .ready = wait->ready,
        .context = wait->context,
        .pool = pool,
        .site = site,
        .deadline = want->deadline,
        .tenant = (uint16_t)want->tenant,
        .rank = (uint8_t)pnx_priority_rank(want->priority),
        .thread = blocks ? pnx__pool_thread_id() : 0,
        /* Who blocks looks at the real clock itself; nobody else can under an injected one. */
        .timed = want->deadline != PNX_FOREVER && (!blocks || pool->registry->clock != NULL),
        .status = PNX_PENDING,
    };
    pnx__pool_after after = {0};
    pnx__pool_lock(pool);
    const pnx_status status = take_place(pool, &after, waiter);
    if (status == PNX_PENDING && waiter->settled && after.waits == waiter && waiter->next == NULL &&
        (blocks || waiter->ready == NULL)) {
        /* Served, or refused, right here: nobody else has to be told. */
        after.waits = NULL;
        atomic_store_explicit(&waiter->state, PNX__WAIT_OVER, memory_order_relaxed);
        pnx__pool_unlock(pool, &after);
        return pnx_pool_poll(wait, ret, err);
    }
    pnx__pool_unlock(pool, &after);
    if (status == PNX_OK)
        pnx__lease_set(pool, ret, waiter->entry, waiter->word, 0);
    else if (status != PNX_PENDING)
        return fail_with_why(pool, status, err);
    return status;
}

/* ---- the outcome ----------------------------------------------------------------------------- */

pnx_status pnx_pool_poll(pnx_pool_wait *wait, pnx_lease *ret, pnx_error *err)
{
    pnx__pool_waiter *waiter = waiter_of(wait);
    pnx_pool *pool = waiter->pool;
    /* Acquire: pairs with the release in `tell`. */
    if (atomic_load_explicit(&waiter->state, memory_order_acquire) != PNX__WAIT_OVER)
        return PNX_PENDING;
    if (waiter->status != PNX_OK)
        return fail_with_why(pool, waiter->status, err);
    if (waiter->fetched)
        return pnx_fail(err, PNX_EALREADY, "pool %s: that lease was fetched before", pool->name);
    waiter->fetched = true;
    pnx__lease_set(pool, ret, waiter->entry, waiter->word, waiter->served_at);
    return PNX_OK;
}

/* Takes a waiter out of the queue with this status. False: it is settled already. */
static bool withdraw(pnx_pool *pool, pnx__pool_waiter *waiter, pnx_status status)
{
    pnx__pool_after after = {0};
    pnx__pool_lock(pool);
    const bool withdrawn = !waiter->settled;
    if (withdrawn) {
        pnx__pool_settle(pool, &after, waiter, status);
        pnx__pool_serve(pool, &after); /* if it was the head, there is another one now */
    }
    pnx__pool_unlock(pool, &after);
    return withdrawn;
}

pnx_status pnx_pool_cancel(pnx_pool_wait *wait)
{
    pnx__pool_waiter *waiter = waiter_of(wait);
    return withdraw(waiter->pool, waiter, PNX_ECANCELED) ? PNX_OK : PNX_EALREADY;
}

/* It was woken to help itself; if it cannot, it sleeps on. */
static void help_itself(pnx_pool *pool, pnx__pool_waiter *waiter)
{
    pnx__pool_after after = {0};
    pnx__pool_lock(pool);
    if (!waiter->settled) {
        atomic_store_explicit(&waiter->state, PNX__WAIT_PENDING, memory_order_relaxed);
        pnx__pool_serve(pool, &after);
    }
    pnx__pool_unlock(pool, &after);
}

/* A manual registry: what makes a lease come free may be to be stepped. False: only time helps. */
static bool step(pnx_pool *pool, pnx__pool_waiter *waiter)
{
    pnx_registry *registry = pool->registry;
    if (pnx__stepped_elsewhere(registry) || pnx__running_in == registry)
        return pnx__running_in != registry;
    if (pnx__step(registry, 1) > 0)
        return true;
    if (registry->clock != NULL)
        return false;
    const pnx_time due = pnx_registry_next_due(registry);
    const uint32_t state = atomic_load_explicit(&waiter->state, memory_order_acquire);
    if (state == PNX__WAIT_PENDING)
        pnx__futex_wait(&waiter->state, state, due < waiter->deadline ? due : waiter->deadline);
    return true;
}

pnx_status pnx_pool_await(pnx_pool_wait *wait, pnx_lease *ret, pnx_error *err)
{
    pnx__pool_waiter *waiter = waiter_of(wait);
    pnx_pool *pool = waiter->pool;
    pnx_registry *registry = pool->registry;
    for (;;) {
        /* Acquire: pairs with the release in `tell`. */
        const uint32_t state = atomic_load_explicit(&waiter->state, memory_order_acquire);
        if (state == PNX__WAIT_OVER)
            return pnx_pool_poll(wait, ret, err);
        if (state == PNX__WAIT_NUDGED) {
            help_itself(pool, waiter);
            continue;
        }
        if (registry->clock == NULL && has_passed(pool, waiter->deadline)) {
            (void)withdraw(pool, waiter, PNX_ETIMEOUT);
            while (atomic_load_explicit(&waiter->state, memory_order_acquire) != PNX__WAIT_OVER)
                pnx__futex_wait(&waiter->state, state, PNX_FOREVER); /* is being told just now */
            continue;
        }
        if (!registry->manual)
            pnx__futex_wait(&waiter->state, state, waiter->deadline);
        else if (!step(pool, waiter) && withdraw(pool, waiter, PNX_EBUSY))
            continue;
    }
}
