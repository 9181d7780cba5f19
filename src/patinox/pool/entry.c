/* SPDX-License-Identifier: MIT */
/*
 * What becomes of an entry between two leases. All with the lock held but the hook.
 *
 * An entry is "ours" when this thread has moved its word to a state that nobody else leaves.
 */
#include "pool/internal.h"

#include "base/text.h"

/* Idle and leased come and go without the lock. */
static bool counted(unsigned state)
{
    return state != PNX__POOL_IDLE && state != PNX__POOL_LEASED;
}

static void count(pnx_pool *pool, unsigned from, unsigned to)
{
    if (counted(from))
        pool->count[from]--;
    if (counted(to))
        pool->count[to]++;
}

static void set(pnx_pool *pool, pnx__pool_entry *entry, unsigned state)
{
    const uint64_t word = atomic_load_explicit(&entry->word, memory_order_relaxed);
    count(pool, pnx__pool_state(word), state);
    /* seq_cst: an idle entry must be visible before its giver looks for waiters (see lease.c). */
    atomic_store_explicit(&entry->word, pnx__pool_with(word, state), memory_order_seq_cst);
}

void pnx__pool_emptied(pnx_pool *pool, pnx__pool_entry *entry)
{
    set(pool, entry, PNX__POOL_EMPTY);
    entry->lost = false;
    pool->size--;
    pool->stats.destroyed++;
}

void pnx__pool_touch(pnx_pool *pool, pnx__pool_entry *entry)
{
    /* Relaxed: published by the store of the state that follows. */
    atomic_store_explicit(&entry->used, pnx__tick_time(pool->registry), memory_order_relaxed);
    atomic_store_explicit(&entry->stamp,
                          atomic_fetch_add_explicit(&pool->turn, 1, memory_order_relaxed),
                          memory_order_relaxed);
}

void pnx__pool_leave_entry(pnx_pool *pool, pnx__pool_entry *entry)
{
    if (entry->gone)
        pnx__pool_emptied(pool, entry);
    else
        set(pool, entry, PNX__POOL_CLOSING);
}

void pnx__pool_close_entry(pnx_pool *pool, pnx__pool_after *after, pnx__pool_entry *entry)
{
    if (entry->gone) {
        pnx__pool_emptied(pool, entry);
        return;
    }
    set(pool, entry, PNX__POOL_CLOSING);
    entry->noted = true; /* until its release is asked for it is in this list, and in no other */
    PNX__POOL_APPEND(after->close, after->close_last, entry);
}

void pnx__pool_send(pnx_pool *pool, pnx__pool_after *after, pnx__pool_entry *entry,
                    enum pnx__pool_job_type type)
{
    const pnx_pool_config *config = &pool->config;
    const pnx_duration limit = type == PNX__JOB_CREATE     ? config->create_timeout
                               : type == PNX__JOB_VALIDATE ? config->validate_timeout
                                                           : config->reset_timeout;
    set(pool, entry, type == PNX__JOB_CREATE ? PNX__POOL_CREATING : PNX__POOL_CHECKING);
    entry->job.type = type;
    entry->job.begun = false;
    entry->job.told_late = false;
    entry->job.started = pnx__precise(pool->registry);
    entry->job.deadline = pnx_time_after(entry->job.started, limit);
    PNX__POOL_APPEND(after->jobs, after->jobs_last, entry);
    pnx__pool_tick_by(pool, after, entry->job.deadline);
}

/* Moves an idle entry, and nothing else, to `state`. */
static bool claim(pnx__pool_entry *entry, unsigned state, uint64_t add)
{
    uint64_t word = pnx__pool_word(entry);
    return pnx__pool_state(word) == PNX__POOL_IDLE &&
           /* Acquire and release: pairs with the return that made it idle. */
           atomic_compare_exchange_strong_explicit(&entry->word, &word,
                                                   pnx__pool_with(word, state) + add,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

/* Somebody else has released it. That is told once its release has ended, or was told then. */
static void close_lost(pnx_pool *pool, pnx__pool_after *after, pnx__pool_entry *entry)
{
    entry->lost = !entry->gone;
    pnx__pool_close_entry(pool, after, entry);
}

/* Not used and not checked within the window: it may have died. */
static bool is_stale(const pnx_pool *pool, const pnx__pool_entry *entry, pnx_time now)
{
    const pnx_time used = atomic_load_explicit(&entry->used, memory_order_relaxed);
    const pnx_time good = used > entry->checked ? used : entry->checked;
    return pool->config.manager->validate != NULL && now - good >= pool->config.validate_window;
}

static pnx__pool_entry *best_idle(pnx_pool *pool, pnx_time now, bool with_stale)
{
    pnx__pool_entry *best = NULL;
    int64_t best_rank = 0;
    const uint32_t span = atomic_load_explicit(&pool->span, memory_order_relaxed);
    for (uint32_t i = 0; i < span; i++) {
        pnx__pool_entry *entry = &pool->entries[i];
        /* seq_cst: a waiter's half of the Dekker pair with a return (see lease.c). */
        const uint64_t word = atomic_load_explicit(&entry->word, memory_order_seq_cst);
        if (pnx__pool_state(word) != PNX__POOL_IDLE)
            continue;
        if (!with_stale && is_stale(pool, entry, now))
            continue;
        const int64_t rank =
            pool->config.order == PNX_POOL_FIFO
                ? -(int64_t)atomic_load_explicit(&entry->stamp, memory_order_relaxed)
                : atomic_load_explicit(&entry->used, memory_order_relaxed);
        if (best == NULL || rank > best_rank) {
            best = entry;
            best_rank = rank;
        }
    }
    return best;
}

pnx__pool_entry *pnx__pool_claim(pnx_pool *pool, pnx__pool_after *after, bool check)
{
    const pnx_time now = pnx__tick_time(pool->registry);
    for (;;) {
        /* One for each waiter: more would only make a crowd at a server that is in trouble. Those
         * that are late are not waited for. */
        const bool may_check =
            check && pool->count[PNX__POOL_CHECKING] - pool->late_checks < pool->waiting;
        pnx__pool_entry *entry = best_idle(pool, now, may_check);
        if (entry == NULL)
            return NULL;
        if (pnx__pool_lost(entry)) {
            if (claim(entry, PNX__POOL_LEASED, 0))
                close_lost(pool, after, entry);
        } else if (!is_stale(pool, entry, now)) {
            if (claim(entry, PNX__POOL_LEASED, PNX__POOL_SERIAL_ONE))
                return entry;
        } else if (claim(entry, PNX__POOL_LEASED, 0)) {
            pnx__pool_send(pool, after, entry, PNX__JOB_VALIDATE);
        }
    }
}

static bool too_many(pnx_pool *pool)
{
    return pool->size - pool->count[PNX__POOL_CLOSING] > pool->max;
}

void pnx__pool_give(pnx_pool *pool, pnx__pool_after *after, pnx__pool_entry *entry)
{
    const uint32_t gate = atomic_load_explicit(&pool->gate, memory_order_relaxed);
    const uint64_t word = atomic_load_explicit(&entry->word, memory_order_relaxed);
    if (pnx__pool_lost(entry)) {
        close_lost(pool, after, entry);
        return;
    }
    if ((gate & PNX__GATE_CLOSED) != 0 || (word & PNX__POOL_EVICT) != 0 || too_many(pool)) {
        pnx__pool_close_entry(pool, after, entry);
        return;
    }
    count(pool, pnx__pool_state(word), PNX__POOL_IDLE);
    pnx__pool_waiter *head = (gate & PNX__GATE_SUSPENDED) == 0 ? pnx__pool_head(pool) : NULL;
    if (head != NULL) {
        /* Release: what the job, or who returned it, did with it. */
        atomic_store_explicit(&entry->word,
                              pnx__pool_with(word, PNX__POOL_LEASED) + PNX__POOL_SERIAL_ONE,
                              memory_order_release);
        pnx__pool_hand(pool, after, head, entry);
    } else {
        pnx__pool_nobody_holds(entry);
        /* seq_cst: as in `set`. */
        atomic_store_explicit(&entry->word, pnx__pool_with(word, PNX__POOL_IDLE),
                              memory_order_seq_cst);
    }
}

bool pnx__pool_evict_entry(pnx_pool *pool, pnx__pool_after *after, pnx__pool_entry *entry)
{
    if (claim(entry, PNX__POOL_LEASED, 0)) {
        pnx__pool_close_entry(pool, after, entry);
        return true;
    }
    uint64_t word = pnx__pool_word(entry);
    do {
        if ((pnx__pool_state(word) != PNX__POOL_LEASED &&
             pnx__pool_state(word) != PNX__POOL_CHECKING &&
             pnx__pool_state(word) != PNX__POOL_CREATING) ||
            (word & PNX__POOL_EVICT) != 0)
            return false;
        /* Relaxed: the flag stands for itself; its return fails to become idle, and looks. A job
         * looks under the lock. */
    } while (!atomic_compare_exchange_weak_explicit(&entry->word, &word, word | PNX__POOL_EVICT,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* The release of its resource has ended, however: the place is free. */
void pnx__pool_entry_ended(pnx__hook *hook, pnx_id id, const pnx_kind *kind, const pnx_site *site,
                           pnx_status outcome)
{
    pnx__pool_entry *entry = pnx__container_of(hook, pnx__pool_entry, hook);
    pnx_pool *pool = entry->pool;
    pnx__pool_after after = {0};
    (void)id;
    (void)kind;
    (void)site;
    (void)outcome;
    pnx__pool_enter(pool);
    pnx__pool_lock(pool);
    entry->gone = true;
    const bool idle = claim(entry, PNX__POOL_LEASED, 0);
    const unsigned state = pnx__pool_state(pnx__pool_word(entry));
    if (state != PNX__POOL_CLOSING || entry->lost) {
        pool->stats.lost++;
        pnx__pool_note(pool, &after, PNX_POOL_LOST, entry, NULL);
    }
    if (idle || (state == PNX__POOL_CLOSING && !entry->noted))
        pnx__pool_emptied(pool, entry);
    else
        (void)pnx__pool_evict_entry(pool, &after, entry); /* who has it finds out when it returns */
    pnx__pool_serve(pool, &after);
    pnx__pool_unlock(pool, &after);
    pnx__pool_leave(pool);
}
