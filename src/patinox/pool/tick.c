/* SPDX-License-Identifier: MIT */
/*
 * What is due with time: one timer of the registry's for the whole pool, armed only when something
 * is due. It is a periodic resource that ends at its first tick (periodic, so that a registry that
 * shuts down does not take it for a leak); whoever needs it earlier moves it.
 *
 * A tick looks at everything and works out anew when the next one is due; so a request that comes
 * while it runs is never lost: it is either seen, or lowers `tick_want`, which is armed at the end.
 */
#include "pool/internal.h"

#include <string.h>

pnx_duration pnx__pool_jitter(pnx_pool *pool, pnx_duration span, unsigned share)
{
    return span <= 0 ? 0
                     : (pnx_duration)pnx__random_below(&pool->random, (uint64_t)span / share + 1);
}

/* ---- what is due ----------------------------------------------------------------------------- */

struct look {
    pnx_pool *pool;
    pnx__pool_after *after;
    pnx_time now, next;
    bool leased;
    pnx_error late; /* what events point to until the lock is given back */
};

static void by(struct look *look, pnx_time when)
{
    if (when < look->next)
        look->next = when;
}

/* What is late goes on, but nobody counts on it any more: another one may begin (fill.c). */
static void look_at_job(struct look *look, pnx__pool_entry *entry)
{
    if (entry->job.told_late)
        return;
    if (entry->job.deadline > look->now) {
        by(look, entry->job.deadline);
        return;
    }
    pnx_pool *pool = look->pool;
    entry->job.told_late = true;
    if (entry->job.type != PNX__JOB_CREATE) {
        pool->late_checks++;
        pnx__pool_note(pool, look->after, PNX_POOL_CHECK_LATE, entry, NULL);
        return;
    }
    pool->late_creates++;
    (void)pnx_fail(&look->late, PNX_ETIMEOUT, "create did not end in time; it goes on");
    pool->last_error = look->late;
    pnx__pool_note(pool, look->after, PNX_POOL_CREATE_LATE, NULL, &look->late);
}

static void look_at_leased(struct look *look, pnx__pool_entry *entry)
{
    pnx_pool *pool = look->pool;
    const pnx_pool_config *config = &pool->config;
    const uint64_t word = pnx__pool_word(entry);
    if (pnx__pool_state(word) != PNX__POOL_LEASED)
        return;
    look->leased = true;
    if (entry->retire_at > look->now)
        by(look, entry->retire_at);
    else if ((word & PNX__POOL_EVICT) == 0 && pnx__pool_evict_entry(pool, look->after, entry)) {
        pool->stats.retired++;
        pnx__pool_note(pool, look->after, PNX_POOL_RETIRED, entry, NULL);
    }
    /* As if it were returned now. */
    by(look, pnx_time_after(look->now, entry->keepalive));
    if (pool->size > pool->min)
        by(look, pnx_time_after(look->now, config->idle_timeout));
    if (config->held_too_long == PNX_FOREVER)
        return;
    const pnx_time since = atomic_load_explicit(&entry->since, memory_order_relaxed);
    const pnx_time told_at = pnx_time_after(since, config->held_too_long);
    /* Whoever acquires after this look is watched by the next one. */
    by(look, pnx_time_after(look->now, config->held_too_long));
    if (told_at > look->now) {
        by(look, told_at);
        return;
    }
    const uint64_t lease = word & ~(uint64_t)PNX__POOL_EVICT;
    if (entry->told_word == lease)
        return;
    entry->told_word = lease;
    pool->stats.held_too_long++;
    pnx__pool_note(pool, look->after, PNX_POOL_HELD_TOO_LONG, entry, NULL);
    if (look->after->event_count > 0) {
        pnx_pool_event *event = &look->after->events[look->after->event_count - 1];
        if (event->type == PNX_POOL_HELD_TOO_LONG) {
            event->site = atomic_load_explicit(&entry->site, memory_order_relaxed);
            event->thread = atomic_load_explicit(&entry->holder, memory_order_relaxed);
            event->took = look->now - since;
        }
    }
}

static void look_at_idle(struct look *look, pnx__pool_entry *entry)
{
    pnx_pool *pool = look->pool;
    const pnx_pool_config *config = &pool->config;
    const pnx_time used = atomic_load_explicit(&entry->used, memory_order_relaxed);
    const pnx_time unused_at = pool->size - pool->count[PNX__POOL_CLOSING] > pool->min
                                   ? pnx_time_after(used, config->idle_timeout)
                                   : PNX_FOREVER;
    const pnx_time good = used > entry->checked ? used : entry->checked;
    const pnx_time check_at =
        config->manager->validate != NULL ? pnx_time_after(good, entry->keepalive) : PNX_FOREVER;
    if (entry->retire_at > look->now && unused_at > look->now && check_at > look->now) {
        by(look, entry->retire_at);
        by(look, unused_at);
        by(look, check_at);
        return;
    }
    uint64_t word = pnx__pool_word(entry);
    if (pnx__pool_state(word) != PNX__POOL_IDLE ||
        /* Acquire: pairs with the return that made it idle. */
        !atomic_compare_exchange_strong_explicit(&entry->word, &word,
                                                 pnx__pool_with(word, PNX__POOL_LEASED),
                                                 memory_order_acq_rel, memory_order_relaxed)) {
        by(look, look->now); /* just acquired: look again */
        return;
    }
    if (entry->retire_at <= look->now) {
        pool->stats.retired++;
        pnx__pool_note(pool, look->after, PNX_POOL_RETIRED, entry, NULL);
        pnx__pool_close_entry(pool, look->after, entry);
    } else if (unused_at <= look->now) {
        pool->stats.idle_timed_out++;
        pnx__pool_note(pool, look->after, PNX_POOL_IDLE_TIMEOUT, entry, NULL);
        pnx__pool_close_entry(pool, look->after, entry);
    } else {
        pnx__pool_send(pool, look->after, entry, PNX__JOB_VALIDATE);
    }
}

static void look_at_entries(struct look *look)
{
    pnx_pool *pool = look->pool;
    const uint32_t span = atomic_load_explicit(&pool->span, memory_order_acquire);
    for (uint32_t i = 0; i < span; i++) {
        pnx__pool_entry *entry = &pool->entries[i];
        switch (pnx__pool_state(pnx__pool_word(entry))) {
        case PNX__POOL_CREATING:
        case PNX__POOL_CHECKING:
            look_at_job(look, entry);
            break;
        case PNX__POOL_IDLE:
            look_at_idle(look, entry);
            break;
        case PNX__POOL_LEASED:
            look_at_leased(look, entry);
            break;
        default:
            break; /* a release, which ends by itself */
        }
        pnx__pool_breathe(pool, look->after);
    }
}

static void look_at_waits(struct look *look)
{
    pnx_pool *pool = look->pool;
    pnx__list_foreach_safe(node, &pool->waits)
    {
        pnx__pool_waiter *waiter = pnx__container_of(node, pnx__pool_waiter, all);
        if (!waiter->timed)
            continue;
        if (waiter->deadline > look->now)
            by(look, waiter->deadline);
        else
            pnx__pool_settle(pool, look->after, waiter, PNX_ETIMEOUT);
    }
}

/* Leases are watched from the first one on until a tick finds none. */
static void stop_watching(struct look *look)
{
    pnx_pool *pool = look->pool;
    if (look->leased || pool->config.held_too_long == PNX_FOREVER)
        return;
    /* seq_cst: pairs with the look at the gate after an acquire: it sees this, or we see its lease.
     *  */
    atomic_fetch_or_explicit(&pool->gate, PNX__GATE_UNWATCHED, memory_order_seq_cst);
    if (pnx__pool_leased(pool, NULL, NULL) > 0) {
        atomic_fetch_and_explicit(&pool->gate, ~PNX__GATE_UNWATCHED, memory_order_relaxed);
        by(look, pnx_time_after(look->now, pool->config.held_too_long));
    }
}

static void look_around(struct look *look)
{
    pnx_pool *pool = look->pool;
    look_at_waits(look);
    const uint32_t gate = atomic_load_explicit(&pool->gate, memory_order_relaxed);
    if ((gate & PNX__GATE_CLOSED) == 0) {
        look_at_entries(look);
        stop_watching(look);
    }
    pnx__pool_serve(pool, look->after);
    if (look->next != PNX_FOREVER)
        pnx__pool_tick_by(pool, look->after, look->next > look->now ? look->next : look->now + 1);
}

/* ---- the timer ------------------------------------------------------------------------------- */

static pnx_status tick(void *value, const pnx_release *why)
{
    pnx_pool *pool;
    memcpy(&pool, value, sizeof pool);
    pnx__pool_enter(pool);
    pnx__pool_after after = {0};
    pnx__pool_lock(pool);
    pool->tick_fired = why->id;
    pool->tick_id = PNX_ID_NONE;
    pool->tick_want = PNX_FOREVER;
    struct look look = {
        .pool = pool,
        .after = &after,
        .now = pnx__precise(pool->registry),
        .next = PNX_FOREVER,
    };
    look_around(&look);
    pnx__pool_unlock(pool, &after);
    pnx__pool_leave(pool);
    return PNX_ECANCELED; /* it ends; the next one is another */
}

static pnx_status stop(void *value, const pnx_release *why)
{
    (void)value;
    (void)why;
    return PNX_OK;
}

static const pnx_kind tick_kind = {
    .name = "pool tick",
    .value_size = sizeof(pnx_pool *),
    .release = stop,
    .run_fallback = tick,
};

void pnx__pool_tick_ended(pnx__hook *hook, pnx_id id, const pnx_kind *kind, const pnx_site *site,
                          pnx_status outcome)
{
    pnx_pool *pool = pnx__container_of(hook, pnx_pool, tick_hook);
    (void)kind;
    (void)site;
    (void)outcome;
    pnx__pool_enter(pool);
    pnx__pool_lock(pool);
    pool->jobs--;
    if (pnx_id_equal(pool->tick_id, id)) { /* somebody else released it */
        pool->tick_id = PNX_ID_NONE;
        pool->tick_want = PNX_FOREVER;
    }
    pnx__pool_unlock(pool, &(pnx__pool_after){0});
    pnx__pool_leave(pool);
}

static bool is_closed(pnx_pool *pool)
{
    /* Relaxed: it is closed under the lock, which is held. */
    return (atomic_load_explicit(&pool->gate, memory_order_relaxed) & PNX__GATE_CLOSED) != 0;
}

void pnx__pool_tick_by(pnx_pool *pool, pnx__pool_after *after, pnx_time when)
{
    /* Once it is closed nothing is due any more; a timer would only hold its end up. */
    if (when >= pool->tick_want || is_closed(pool))
        return;
    pool->tick_want = when;
    after->arm = true;
}

/* Answers the id of a new timer, which is due at `when`; NONE: the registry takes none any more. */
static pnx_id new_tick(pnx_pool *pool, pnx_time when)
{
    pnx_id id;
    /* Never by its period: 50 days. */
    if (pnx__register_periodic(pool->registry, &tick_kind, &pool, NULL, PNX_S(50 * 86400), &id,
                               NULL) != PNX_OK)
        return PNX_ID_NONE;
    pnx__pool_lock(pool);
    pool->jobs++;
    pthread_mutex_unlock(&pool->lock);
    if (pnx__hook_attach(pool->registry, id, &pool->tick_hook) != PNX_OK) {
        pnx__pool_lock(pool);
        pool->jobs--;
        pthread_mutex_unlock(&pool->lock);
    }
    (void)pnx_expire_at(pool->registry, id, when);
    return id;
}

void pnx__pool_arm(pnx_pool *pool)
{
    pnx__pool_lock(pool);
    while (!pool->tick_arming && pool->tick_want != PNX_FOREVER) {
        pnx_id id = pool->tick_id;
        const pnx_time want = pool->tick_want;
        pool->tick_arming = true;
        pthread_mutex_unlock(&pool->lock);
        bool fired = false;
        if (pnx_id_is_none(id))
            id = new_tick(pool, want);
        else
            fired = pnx_expire_at(pool->registry, id, want) != PNX_OK; /* it comes anyway */
        pnx__pool_lock(pool);
        pool->tick_arming = false;
        if (!fired && !pnx_id_equal(pool->tick_fired, id))
            pool->tick_id = id;
        /* It may have come meanwhile, and left a new request to us, who were arming. */
        const bool gone = pnx_id_is_none(pool->tick_id) && pool->tick_want != PNX_FOREVER;
        if (pnx_id_is_none(id) || (pool->tick_want >= want && !gone))
            break;
    }
    /* It was closed meanwhile, and close did not know of this one. */
    const pnx_id stray = is_closed(pool) ? pool->tick_id : PNX_ID_NONE;
    pthread_mutex_unlock(&pool->lock);
    if (!pnx_id_is_none(stray))
        (void)pnx_release_later(pool->registry, stray, NULL);
}
