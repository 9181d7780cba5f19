/* SPDX-License-Identifier: MIT */
/*
 * Expiry. Entries lie in a hierarchical timing wheel (Varghese and Lauck, 1987) by when they
 * expire; reads only move the time in the entry, and the wheel finds out when it looks. One
 * resource of the registry, the ticker, is armed for the next time that something is due, so that
 * entries expire without anybody using the cache, and nothing wakes up when nothing is due.
 */
#include "cache/internal.h"

#include <patinox/guard.h>

/* ---- an entry's times ------------------------------------------------------------------------ */

static pnx_duration asked(struct pnx_cache *cache, const void *key, const void *value,
                          pnx_cache_moment moment, pnx_duration left)
{
    const pnx_duration lifetime =
        cache->config.expire(key, value, moment, left, cache->config.context);
    return lifetime < 0 ? 0 : lifetime;
}

pnx_duration pnx__timing_of(struct pnx_cache *cache, const void *key, const void *value,
                            pnx_duration lifetime)
{
    const pnx_cache_config *config = &cache->config;
    if (lifetime != 0)
        return lifetime;
    if (config->expire)
        return asked(cache, key, value, PNX_CACHE_WRITTEN, PNX_FOREVER);
    const pnx_duration write =
        config->expire_after_write ? config->expire_after_write : PNX_FOREVER;
    const pnx_duration access =
        config->expire_after_access ? config->expire_after_access : PNX_FOREVER;
    return write < access ? write : access;
}

static void expire_at(struct pnx_cache *cache, pnx__timing *timing, pnx_time when)
{
    /* Relaxed, all: see fresh (access.c). */
    atomic_store_explicit(&timing->expires, when, memory_order_relaxed);
    atomic_store_explicit(&timing->stale_until, pnx_time_after(when, cache->config.stale_for),
                          memory_order_relaxed);
}

void pnx__timing_set(struct pnx_cache *cache, pnx__entry *entry, pnx_duration lifetime)
{
    pnx__timing *timing = pnx__entry_timing(cache, entry);
    const pnx_time now = pnx__cache_now(cache);
    pnx__list_init(&timing->link);
    const pnx_time expires = pnx_time_after(now, lifetime);
    expire_at(cache, timing, expires);
    pnx_time refresh = PNX_FOREVER;
    if (cache->config.refresh_after_write)
        refresh = pnx_time_after(now, cache->config.refresh_after_write);
    if (cache->config.stale_for && expires < refresh)
        refresh = expires;
    atomic_store_explicit(&timing->refresh_at, refresh, memory_order_relaxed);
}

/* Reads move the time by steps of a 64th of the span at least: else every hit would write to the
 * entry, and take its cache line away from the other readers. */
void pnx__timing_touch(struct pnx_cache *cache, pnx__entry *entry, pnx_time now)
{
    pnx__timing *timing = pnx__entry_timing(cache, entry);
    const pnx_time expires = atomic_load_explicit(&timing->expires, memory_order_relaxed);
    if (now >= expires)
        return;
    if (cache->config.expire) {
        if (!cache->config.expire_on_read)
            return;
        const pnx_duration lifetime =
            asked(cache, pnx__entry_key(cache, entry), entry->value, PNX_CACHE_READ,
                  expires == PNX_FOREVER ? PNX_FOREVER : expires - now);
        const pnx_time when = pnx_time_after(now, lifetime);
        if (when == expires)
            return;
        expire_at(cache, timing, when);
        if (when < expires) {
            /* The wheel would look too late. */
            pthread_mutex_lock(&cache->writer);
            if (pnx__entry_state(entry) == PNX__ENTRY_LIVE) {
                pnx__wheel_take(cache, entry);
                pnx__wheel_put(cache, entry);
            }
            const pnx_time due = pnx__wheel_due(cache);
            pthread_mutex_unlock(&cache->writer);
            pnx__ticker_by(cache, due);
        }
        return;
    }
    const pnx_duration span = cache->config.expire_after_access;
    const pnx_time when = pnx_time_after(now, span);
    /* What expires after the write at the latest was given its time then. */
    if (span != 0 && cache->config.expire_after_write == 0 && when - expires > span / 64)
        expire_at(cache, timing, when);
}

/* ---- the wheel ------------------------------------------------------------------------------- */

static uint64_t tick_of(pnx_time time)
{
    return time < 0 ? 0 : (uint64_t)time >> PNX__CACHE_TICK_SHIFT;
}

bool pnx__cache_wheel_make(struct pnx_cache *cache)
{
    cache->wheel = pnx__alloc(sizeof *cache->wheel);
    if (!cache->wheel)
        return false;
    cache->wheel->now = tick_of(pnx__cache_now(cache));
    pnx__list_init(&cache->wheel->overdue);
    for (unsigned level = 0; level < PNX__CACHE_WHEEL_LEVELS; level++)
        for (unsigned i = 0; i < PNX__CACHE_WHEEL_SLOTS; i++)
            pnx__list_init(&cache->wheel->slots[level][i]);
    return true;
}

void pnx__wheel_put(struct pnx_cache *cache, pnx__entry *entry)
{
    pnx__timing *timing = pnx__entry_timing(cache, entry);
    pnx__cache_wheel *wheel = cache->wheel;
    const pnx_time until = atomic_load_explicit(&timing->stale_until, memory_order_relaxed);
    if (until == PNX_FOREVER)
        return;
    /* Due at the end of its tick, so never early. */
    uint64_t due = tick_of(until) + 1;
    if (due <= wheel->now)
        due = wheel->now + 1;
    /* The level at which it first differs from now: there its slot comes up before the level does.
     * */
    const unsigned differs = 63 - (unsigned)__builtin_clzll(due ^ wheel->now);
    unsigned level = differs / PNX__CACHE_WHEEL_BITS;
    if (level >= PNX__CACHE_WHEEL_LEVELS)
        level = PNX__CACHE_WHEEL_LEVELS - 1;
    const unsigned slot = (due >> level * PNX__CACHE_WHEEL_BITS) & (PNX__CACHE_WHEEL_SLOTS - 1);
    pnx__list_push_back(&wheel->slots[level][slot], &timing->link);
    wheel->occupied[level] |= UINT64_C(1) << slot;
}

void pnx__wheel_take(struct pnx_cache *cache, pnx__entry *entry)
{
    pnx__list_remove(&pnx__entry_timing(cache, entry)->link);
}

/* The tick at which the first occupied slot of this level comes up; UINT64_MAX: none does. */
static uint64_t level_due(const pnx__cache_wheel *wheel, unsigned level)
{
    const unsigned shift = level * PNX__CACHE_WHEEL_BITS;
    const unsigned here = (wheel->now >> shift) & (PNX__CACHE_WHEEL_SLOTS - 1);
    /* Slots behind the present one are of this round; there are none before it. */
    const uint64_t ahead = here == 63 ? 0 : wheel->occupied[level] >> (here + 1) << (here + 1);
    if (ahead == 0)
        return UINT64_MAX;
    const uint64_t round = wheel->now >> shift >> PNX__CACHE_WHEEL_BITS << PNX__CACHE_WHEEL_BITS;
    return (round + (unsigned)__builtin_ctzll(ahead)) << shift;
}

static uint64_t next_tick(const pnx__cache_wheel *wheel)
{
    if (!pnx__list_empty(&wheel->overdue))
        return wheel->now;
    /* A lower level comes up before a higher one, always. */
    for (unsigned level = 0; level < PNX__CACHE_WHEEL_LEVELS; level++) {
        const uint64_t due = level_due(wheel, level);
        if (due != UINT64_MAX)
            return due;
    }
    return UINT64_MAX;
}

pnx_time pnx__wheel_due(const struct pnx_cache *cache)
{
    const uint64_t tick = next_tick(cache->wheel);
    return tick >= (uint64_t)PNX_FOREVER >> PNX__CACHE_TICK_SHIFT
               ? PNX_FOREVER
               : (pnx_time)(tick << PNX__CACHE_TICK_SHIFT);
}

/* Empties the slot that comes up at `tick` into `overdue`. */
static void turn_to(pnx__cache_wheel *wheel, uint64_t tick)
{
    unsigned level = 0;
    while (level_due(wheel, level) != tick)
        level++;
    const unsigned slot = (tick >> level * PNX__CACHE_WHEEL_BITS) & (PNX__CACHE_WHEEL_SLOTS - 1);
    pnx__list_append(&wheel->overdue, &wheel->slots[level][slot]);
    wheel->occupied[level] &= ~(UINT64_C(1) << slot);
    wheel->now = tick;
}

bool pnx__wheel_advance(struct pnx_cache *cache, pnx_time now, unsigned most, pnx__leaving *leaving)
{
    pnx__cache_wheel *wheel = cache->wheel;
    const uint64_t until = tick_of(now);
    for (;;) {
        for (pnx__list *link; most > 0 && (link = pnx__list_pop_front(&wheel->overdue)); most--) {
            pnx__timing *timing = pnx__container_of(link, pnx__timing, link);
            pnx__entry *entry = (void *)((char *)timing - cache->timing_at);
            if (now >= atomic_load_explicit(&timing->stale_until, memory_order_relaxed))
                pnx__cache_leave(cache, entry, PNX_CACHE_EXPIRED, leaving);
            else
                pnx__wheel_put(cache, entry);
        }
        if (!pnx__list_empty(&wheel->overdue))
            return true;
        const uint64_t tick = next_tick(wheel);
        if (tick > until)
            break;
        turn_to(wheel, tick);
    }
    if (wheel->now < until)
        wheel->now = until;
    return false;
}

/* ---- the ticker ------------------------------------------------------------------------------ */

static pnx_status ticker_release(pnx_cache *cache, const pnx_release *why);
PNX_KIND(cache_ticker, pnx_cache *, ticker_release, .timeout = PNX_FOREVER);

/* Ticker lock held. Arms it for `when`. */
static void arm(struct pnx_cache *cache, pnx_time when)
{
    pnx_registry *registry = cache->config.registry;
    pnx_id id;
    /* Relaxed: read again under the lock before anything is done because of it. */
    atomic_store_explicit(&cache->ticker_at, when, memory_order_relaxed);
    if (!pnx_id_is_none(cache->ticker) && pnx_expire_at(registry, cache->ticker, when) == PNX_OK)
        return;
    if (pnx_register(registry, cache_ticker_kind, &cache, PNX_HERE, &id, NULL) == PNX_OK &&
        pnx_expire_at(registry, id, when) == PNX_OK) {
        cache->ticker = id;
        return;
    }
    /* No memory, or shut down: what is due then waits for the next put. */
    cache->ticker = PNX_ID_NONE;
    atomic_store_explicit(&cache->ticker_at, PNX_FOREVER, memory_order_relaxed);
}

void pnx__ticker_by(struct pnx_cache *cache, pnx_time when)
{
    if (when >= atomic_load_explicit(&cache->ticker_at, memory_order_relaxed))
        return;
    pthread_mutex_lock(&cache->ticker_lock);
    if (!cache->ticker_closed &&
        when < atomic_load_explicit(&cache->ticker_at, memory_order_relaxed))
        arm(cache, when);
    pthread_mutex_unlock(&cache->ticker_lock);
}

static pnx_status ticker_release(pnx_cache *cache, const pnx_release *why)
{
    /* A cache that is destroyed releases its ticker, and waits for the one that runs. */
    if (why->reason != PNX_EXPIRY)
        return PNX_OK;
    pthread_mutex_lock(&cache->ticker_lock);
    if (cache->ticker_closed) {
        pthread_mutex_unlock(&cache->ticker_lock);
        return PNX_OK;
    }
    cache->ticking++;
    if (pnx_id_equal(cache->ticker, why->id)) {
        cache->ticker = PNX_ID_NONE;
        atomic_store_explicit(&cache->ticker_at, PNX_FOREVER, memory_order_relaxed);
    }
    pthread_mutex_unlock(&cache->ticker_lock);
    pnx_cache_drain(cache);
    pthread_mutex_lock(&cache->ticker_lock);
    if (--cache->ticking == 0)
        pthread_cond_broadcast(&cache->ticker_idle);
    pthread_mutex_unlock(&cache->ticker_lock);
    return PNX_OK;
}

/* Entries that expire between two times that others may write: some 100 us. */
#define EXPIRE_MANY 1024

void pnx_cache_drain(pnx_cache *cache)
{
    pnx_time due = PNX_FOREVER;
    if (pnx__cache_forked(cache))
        return;
    for (bool more = true; more;) {
        pnx__leaving leaving;
        pnx__list_init(&leaving);
        pthread_mutex_lock(&cache->writer);
        pnx__readers_drain(cache, true);
        more =
            cache->timed && pnx__wheel_advance(cache, pnx__cache_now(cache), EXPIRE_MANY, &leaving);
        if (cache->timed)
            due = pnx__wheel_due(cache);
        pnx__cache_unlock(cache, &leaving);
    }
    pnx__cache_reclaim(cache);
    if (due != PNX_FOREVER)
        pnx__ticker_by(cache, due);
}

void pnx__ticker_done(struct pnx_cache *cache)
{
    pthread_mutex_lock(&cache->ticker_lock);
    cache->ticker_closed = true;
    const pnx_id id = cache->ticker;
    cache->ticker = PNX_ID_NONE;
    while (cache->ticking != 0)
        pthread_cond_wait(&cache->ticker_idle, &cache->ticker_lock);
    pthread_mutex_unlock(&cache->ticker_lock);
    /* Afterwards nothing refers to the cache any more: if it is queued or runs already, it is
     * waited for, and finds the ticker closed. */
    if (!pnx_id_is_none(id) && pnx_unregister(cache->config.registry, id, NULL, NULL) != PNX_OK)
        (void)pnx_release_now(cache->config.registry, id, PNX_FOREVER, NULL);
}
