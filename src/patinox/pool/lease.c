/* SPDX-License-Identifier: MIT */
/*
 * Acquire and return without the lock: one compare and swap each.
 *
 * Acquire: the gate is open, the entry that this thread returned last (or another one that is idle)
 * is claimed. Return: the entry is made idle, then the gate is looked at for waiters. A waiter is
 * counted in the gate, then looks for what is idle (wait.c). Both halves are seq_cst (Dekker):
 * either the return sees the waiter, or the waiter sees the entry.
 */
#include "pool/internal.h"

#include <string.h>
#include <unistd.h>

_Thread_local pnx__pool_thread pnx__pool_thread_here;

/* Every 64th lease of a thread is timed: two clock reads (40 ns) cost each less than 1 ns then. */
#define SAMPLE_EVERY 64

int32_t pnx__pool_thread_id(void)
{
    if (PNX_UNLIKELY(pnx__pool_thread_here.id == 0))
        pnx__pool_thread_here.id = (int32_t)gettid();
    return pnx__pool_thread_here.id;
}

/* ---- acquire --------------------------------------------------------------------------------- */

static inline bool try_entry(pnx_pool *pool, pnx__pool_entry *entry, pnx_time now, bool validates,
                             uint64_t *ret_word)
{
    /* Acquire: pairs with the release of whoever made it idle; so what is read of it until the
     * compare and swap succeeds was this one's; see pnx__pool_lost for when it does not. */
    uint64_t word = atomic_load_explicit(&entry->word, memory_order_acquire);
    if ((word & (PNX__POOL_STATE | PNX__POOL_EVICT)) != PNX__POOL_IDLE)
        return false;
    if (PNX_UNLIKELY(validates && now - atomic_load_explicit(&entry->used, memory_order_relaxed) >=
                                      pool->config.validate_window))
        return false;
    if (PNX_UNLIKELY(pnx__pool_lost(entry)))
        return false;
    const uint64_t leased = pnx__pool_with(word, PNX__POOL_LEASED) + PNX__POOL_SERIAL_ONE;
    /* seq_cst: before the look at the gate in `watch`; acquire: pairs with its return. */
    if (!atomic_compare_exchange_strong_explicit(&entry->word, &word, leased, memory_order_seq_cst,
                                                 memory_order_relaxed))
        return false;
    *ret_word = leased;
    return true;
}

static pnx__pool_entry *try_hints(pnx_pool *pool, pnx_time now, bool validates, uint64_t *ret_word)
{
    pnx__pool_thread *here = &pnx__pool_thread_here;
    const unsigned at = pool->serial % 4;
    if (here->pools[at].serial != pool->serial)
        return NULL;
    for (unsigned i = 0; i < PNX__POOL_HINTS; i++) {
        pnx__pool_entry *entry = &pool->entries[here->pools[at].entries[i]];
        if (PNX_LIKELY(try_entry(pool, entry, now, validates, ret_word)))
            return entry;
    }
    return NULL;
}

static pnx__pool_entry *try_all(pnx_pool *pool, pnx_time now, bool validates, uint64_t *ret_word)
{
    const bool fifo = pool->config.order == PNX_POOL_FIFO;
    for (unsigned round = 0; round < 4; round++) {
        pnx__pool_entry *best = NULL;
        int64_t best_rank = 0;
        const uint32_t span = atomic_load_explicit(&pool->span, memory_order_acquire);
        for (uint32_t i = 0; i < span; i++) {
            pnx__pool_entry *entry = &pool->entries[i];
            if (pnx__pool_state(pnx__pool_word(entry)) != PNX__POOL_IDLE)
                continue;
            const int64_t rank =
                fifo ? -(int64_t)atomic_load_explicit(&entry->stamp, memory_order_relaxed)
                     : atomic_load_explicit(&entry->used, memory_order_relaxed);
            if (best == NULL || rank > best_rank) {
                best = entry;
                best_rank = rank;
            }
        }
        if (best == NULL)
            return NULL;
        if (try_entry(pool, best, now, validates, ret_word))
            return best;
    }
    return NULL; /* the others were faster: the queue decides */
}

void pnx__lease_set(pnx_pool *pool, pnx_lease *lease, pnx__pool_entry *entry, uint64_t word,
                    pnx_time precise)
{
    *lease = (pnx_lease){
        .pool = pool,
        .entry = entry,
        .word = word,
        .precise = precise,
        .value = entry->value,
        .status = PNX_OK,
    };
}

/* The first lease after a time without any: somebody must watch how long it is held. */
static void watch(pnx_pool *pool, pnx_time now)
{
    pnx__pool_after after = {0};
    pnx__pool_lock(pool);
    atomic_fetch_and_explicit(&pool->gate, ~PNX__GATE_UNWATCHED, memory_order_relaxed);
    pnx__pool_tick_by(pool, &after, pnx_time_after(now, pool->config.held_too_long));
    pnx__pool_unlock(pool, &after);
}

/* Waiters are there: may this one overtake the head? Counts, if so. */
static bool may_overtake(pnx_pool *pool)
{
    /* Relaxed: hints, and a counter that only has to be added to. */
    return atomic_load_explicit(&pool->strict, memory_order_relaxed) == 0 &&
           atomic_load_explicit(&pool->bypass, memory_order_relaxed) < pool->config.bypass_max &&
           atomic_fetch_add_explicit(&pool->bypass, 1, memory_order_relaxed) <
               pool->config.bypass_max;
}

/* True: `ret` is a lease. */
static bool acquire_fast(pnx_pool *pool, const pnx_site *site, bool overtake, pnx_lease *ret)
{
    /* Acquire: pairs with the opening of the gate. */
    const uint32_t gate = atomic_load_explicit(&pool->gate, memory_order_acquire);
    if (PNX_UNLIKELY((gate & ~PNX__GATE_UNWATCHED) != 0)) {
        if ((gate & (PNX__GATE_SUSPENDED | PNX__GATE_CLOSED)) != 0 || !overtake ||
            !may_overtake(pool))
            return false;
    }
    const pnx_time now = pnx__tick_time(pool->registry);
    const bool validates = pool->config.manager->validate != NULL;
    uint64_t word;
    pnx__pool_entry *entry = NULL;
    if (PNX_LIKELY(pool->config.order == PNX_POOL_LIFO))
        entry = try_hints(pool, now, validates, &word);
    if (PNX_UNLIKELY(entry == NULL))
        entry = try_all(pool, now, validates, &word);
    if (entry == NULL)
        return false;
    atomic_store_explicit(&entry->since, now, memory_order_relaxed);
    atomic_store_explicit(&entry->site, site, memory_order_relaxed);
    atomic_store_explicit(&entry->holder, pnx__pool_thread_id(), memory_order_relaxed);
    pnx_time precise = 0;
    if (PNX_UNLIKELY(pnx__pool_thread_here.until_sample-- == 0)) {
        pnx__pool_thread_here.until_sample = SAMPLE_EVERY - 1;
        precise = pnx__precise(pool->registry);
    }
    pnx__lease_set(pool, ret, entry, word, precise);
    /* seq_cst: pairs with stop_watching in tick.c. */
    if (PNX_UNLIKELY(
            (atomic_load_explicit(&pool->gate, memory_order_seq_cst) & PNX__GATE_UNWATCHED) != 0))
        watch(pool, now);
    return true;
}

static pnx_status forked(const pnx_pool *pool, pnx_error *err)
{
    return pnx_fail(err, PNX_EFORKED, "pool %s belongs to the parent process", pool->name);
}

static pnx_status acquire_slow(pnx_pool *pool, const pnx_pool_want *want, const pnx_site *site,
                               pnx_lease *ret, pnx_error *err)
{
    pnx_pool_wait wait = {0};
    pnx_status status = pnx__pool_queue(pool, want, site, &wait, ret, true, err);
    if (status == PNX_PENDING)
        status = pnx_pool_await(&wait, ret, err);
    return status;
}

pnx_status pnx__pool_acquire(pnx_pool *pool, pnx_time deadline, const pnx_site *site,
                             pnx_lease *ret, pnx_error *err)
{
    if (PNX_UNLIKELY(pnx__forked(pool->registry)))
        return forked(pool, err);
    if (PNX_LIKELY(acquire_fast(pool, site, deadline != INT64_MIN, ret)))
        return PNX_OK;
    return acquire_slow(pool, &(pnx_pool_want){.deadline = deadline}, site, ret, err);
}

static pnx_status check_want(const pnx_pool *pool, const pnx_pool_want *want, pnx_error *err)
{
    if (want->tenant >= pool->config.tenants)
        return pnx_fail(err, PNX_EINVAL, "pool %s has %u tenants: there is none with number %u",
                        pool->name, pool->config.tenants, want->tenant);
    if ((unsigned)want->priority >= PNX_PRIORITY_COUNT)
        return pnx_fail(err, PNX_EINVAL, "pool %s: no such priority: %d", pool->name,
                        (int)want->priority);
    return PNX_OK;
}

pnx_status pnx__pool_acquire_as(pnx_pool *pool, const pnx_pool_want *want, pnx_lease *ret,
                                pnx_error *err, const pnx_site *site)
{
    if (PNX_UNLIKELY(pnx__forked(pool->registry)))
        return forked(pool, err);
    const pnx_status status = check_want(pool, want, err);
    if (status != PNX_OK)
        return status;
    if (acquire_fast(pool, site, want->deadline != INT64_MIN, ret))
        return PNX_OK;
    return acquire_slow(pool, want, site, ret, err);
}

pnx_status pnx__pool_begin(pnx_pool *pool, const pnx_pool_want *want, pnx_pool_wait *wait,
                           pnx_lease *ret, pnx_error *err, const pnx_site *site)
{
    if (PNX_UNLIKELY(pnx__forked(pool->registry)))
        return forked(pool, err);
    const pnx_status status = check_want(pool, want, err);
    if (status != PNX_OK)
        return status;
    if (acquire_fast(pool, site, want->deadline != INT64_MIN, ret))
        return PNX_OK;
    return pnx__pool_queue(pool, want, site, wait, ret, false, err);
}

/* ---- return ---------------------------------------------------------------------------------- */

static inline void remember(pnx_pool *pool, uint32_t index)
{
    pnx__pool_thread *here = &pnx__pool_thread_here;
    const unsigned at = pool->serial % 4;
    uint32_t *entries = here->pools[at].entries;
    if (PNX_UNLIKELY(here->pools[at].serial != pool->serial)) {
        here->pools[at].serial = pool->serial;
        for (unsigned i = 0; i < PNX__POOL_HINTS; i++)
            entries[i] = index;
        return;
    }
    if (PNX_LIKELY(entries[0] == index))
        return;
    unsigned found = 1;
    while (found < PNX__POOL_HINTS - 1 && entries[found] != index)
        found++;
    memmove(&entries[1], &entries[0], found * sizeof *entries);
    entries[0] = index;
}

/* There are waiters, or the pool is closed: an entry has just become idle. */
static void returned_slow(pnx_pool *pool, uint32_t gate)
{
    /* Overtaking is allowed: the head is woken, once, and helps itself if it is fast enough.
     * Relaxed: if the head is another by now, the one that was woken looks under the lock. */
    const bool over =
        atomic_load_explicit(&pool->strict, memory_order_relaxed) != 0 ||
        atomic_load_explicit(&pool->bypass, memory_order_relaxed) >= pool->config.bypass_max ||
        (gate & (PNX__GATE_CLOSED | PNX__GATE_SUSPENDED)) != 0;
    if (!over && pnx__pool_nudged(pool))
        return;
    pnx__pool_after after = {0};
    pnx__pool_lock(pool);
    if ((atomic_load_explicit(&pool->gate, memory_order_relaxed) & PNX__GATE_CLOSED) != 0)
        pnx__pool_evict_all(pool, &after, false);
    else if (over || !pnx__pool_nudge(pool))
        pnx__pool_serve(pool, &after);
    pnx__pool_unlock(pool, &after);
}

/* It is leased, and was evicted, is broken, is to be reset, or was returned before. */
static void return_slow(pnx_lease *lease, pnx__pool_entry *entry, bool broken, bool reset)
{
    pnx_pool *pool = lease->pool;
    pnx__pool_after after = {0};
    pnx__pool_lock(pool);
    const uint64_t word = pnx__pool_word(entry);
    if ((word & ~(uint64_t)PNX__POOL_EVICT) == lease->word) { /* else: a copy was returned before */
        if (broken) {
            pool->stats.broken++;
            pnx__pool_note(pool, &after, PNX_POOL_BROKEN, entry, NULL);
            pnx__pool_close_entry(pool, &after, entry);
        } else if ((word & PNX__POOL_EVICT) == 0 && reset) {
            pnx__pool_send(pool, &after, entry, PNX__JOB_RESET);
        } else {
            pnx__pool_touch(pool, entry);
            pnx__pool_give(pool, &after, entry);
        }
        pnx__pool_serve(pool, &after);
    }
    pnx__pool_unlock(pool, &after);
}

/* Runs a reset that takes microseconds here. False: it is broken now. */
static bool reset_here(pnx_pool *pool, pnx__pool_entry *entry)
{
    const pnx_pool_call call = {
        pool, pool->config.context,
        pnx_time_after(pnx__precise(pool->registry), pool->config.reset_timeout)};
    pnx_error err = {0};
    if (pool->config.manager->reset(&call, entry->value, &err) == PNX_OK)
        return true;
    pnx__pool_after after = {0};
    pnx__pool_lock(pool);
    pool->stats.reset_failed++;
    pnx__pool_note(pool, &after, PNX_POOL_RESET_FAILED, entry, &err);
    pnx__pool_unlock(pool, &after);
    return false;
}

void pnx_lease_return(pnx_lease *lease)
{
    pnx__pool_entry *entry = lease->entry;
    if (entry == NULL)
        return;
    lease->entry = NULL;
    pnx_pool *pool = lease->pool;
    if (PNX_UNLIKELY(pnx__forked(pool->registry)))
        return;
    const pnx_pool_manager *manager = pool->config.manager;
    if (PNX_UNLIKELY(lease->precise != 0))
        pnx__pool_hold(pool, pnx__precise(pool->registry) - lease->precise);
    const bool resets =
        manager->reset != NULL &&
        (manager->dirty == NULL || manager->dirty(pool->config.context, entry->value));
    if (PNX_UNLIKELY(lease->bad || manager->broken != NULL || resets)) {
        bool broken = lease->bad;
        if (!broken && manager->broken != NULL)
            broken = manager->broken(pool->config.context, entry->value);
        if (!broken && resets && manager->reset_inline)
            broken = !reset_here(pool, entry);
        if (broken || (resets && !manager->reset_inline)) {
            return_slow(lease, entry, broken, resets);
            return;
        }
    }
    atomic_store_explicit(&entry->used, pnx__tick_time(pool->registry), memory_order_relaxed);
    if (PNX_UNLIKELY(pool->config.order == PNX_POOL_FIFO))
        atomic_store_explicit(&entry->stamp,
                              atomic_fetch_add_explicit(&pool->turn, 1, memory_order_relaxed),
                              memory_order_relaxed);
    pnx__pool_nobody_holds(entry);
    uint64_t word = lease->word;
    /* seq_cst: the return's first half of the Dekker pair; releases what the holder did with it. */
    if (PNX_UNLIKELY(!atomic_compare_exchange_strong_explicit(
            &entry->word, &word, pnx__pool_with(word, PNX__POOL_IDLE), memory_order_seq_cst,
            memory_order_relaxed))) {
        return_slow(lease, entry, false, false);
        return;
    }
    remember(pool, entry->index);
    /* seq_cst: the second half. */
    const uint32_t gate = atomic_load_explicit(&pool->gate, memory_order_seq_cst);
    if (PNX_UNLIKELY((gate & ~PNX__GATE_UNWATCHED) != 0) &&
        ((gate & PNX__GATE_CLOSED) != 0 || gate >= PNX__GATE_ONE_WAITER ||
         (gate & PNX__GATE_SUSPENDED) != 0))
        returned_slow(pool, gate);
}

/* ---- what else can be done with one ---------------------------------------------------------- */

pnx_id pnx_lease_id(const pnx_lease *lease)
{
    return lease->entry != NULL ? lease->entry->id : PNX_ID_NONE;
}

pnx_lease pnx_lease_move(pnx_lease *lease)
{
    pnx_lease moved = *lease;
    lease->entry = NULL;
    if (moved.entry != NULL)
        pnx__pool_nobody_holds(moved.entry);
    return moved;
}

pnx_status pnx_lease_take(pnx_lease *lease, void *ret_value, pnx_error *err)
{
    pnx__pool_entry *entry = lease->entry;
    if (entry == NULL)
        return pnx_fail(err, PNX_EALREADY, "nothing is lent, or it was returned before");
    pnx_pool *pool = lease->pool;
    if (pnx__forked(pool->registry))
        return forked(pool, err);
    pnx__pool_after after = {0};
    pnx__pool_lock(pool);
    uint64_t word = pnx__pool_word(entry);
    const bool ours = (word & ~(uint64_t)PNX__POOL_EVICT) == lease->word;
    if (ours)
        pnx__pool_leave_entry(pool, entry);
    pnx__pool_unlock(pool, &after);
    lease->entry = NULL;
    if (!ours)
        return pnx_fail(err, PNX_EALREADY, "pool %s: that lease was returned before", pool->name);
    /* Its hook frees the place. */
    return pnx_unregister(pool->registry, entry->id, ret_value, err);
}
