/* SPDX-License-Identifier: MIT */
/* Loading anew, in the background, what is still answered: a flight that a worker flies, unless a
 * load needs it before. */
#include "cache/flight.h"

#include <patinox/guard.h>

struct refresh {
    struct pnx_cache *cache;
    pnx__flight *flight;
    pnx__entry *old; /* counted */
};

static pnx_status refresh_release(struct refresh refresh, const pnx_release *why);
PNX_KIND(cache_refresh, struct refresh, refresh_release, .priority = PNX_LOW,
         .timeout = PNX_FOREVER, .flags = PNX_BLOCKING);

/* The job of a refresh is over, to the last reference: the cache may end. Flights lock held. */
static void refresh_over(struct pnx_cache *cache, pnx__flight *flight)
{
    if (flight) { /* it was taken over */
        pnx__flight **at = &cache->taken;
        while (*at != flight)
            at = &(*at)->taken_next;
        *at = flight->taken_next;
        pnx__flight_unuse(cache, flight);
    }
    cache->refreshing--;
    pthread_cond_broadcast(&cache->flights_changed);
}

static void refresh_fly(struct pnx_cache *cache, const struct refresh *refresh)
{
    pnx_ref ref = {NULL, NULL};
    /* A value that was put meanwhile is newer than ours. */
    pnx__put how = {.site = PNX_HERE, .expects = true, .or_none = true, .expected = refresh->old};
    if (pnx__flight_fly(cache, refresh->flight, &how, &ref, NULL) != PNX_OK) {
        const pnx_duration again =
            cache->config.refresh_after_write ? cache->config.refresh_after_write : PNX_S(1);
        /* The old value stays until it expires; a later read tries again. */
        atomic_store_explicit(&pnx__entry_timing(cache, refresh->old)->refresh_at,
                              pnx_time_after(pnx__cache_now(cache), again), memory_order_relaxed);
    }
    pnx_ref_drop(&ref);
}

static pnx_status refresh_release(struct refresh refresh, const pnx_release *why)
{
    struct pnx_cache *cache = refresh.cache;
    pnx__flight *flight = refresh.flight;
    pnx_ref old = pnx__ref_counted(refresh.old);
    const pnx__mine *mine = &pnx__readers_mine[cache->serial % PNX__MINE];
    pthread_mutex_lock(&cache->flights_lock);
    const bool taken = flight->taken;
    const bool flies = !taken && !cache->closing && why->reason != PNX_SHUTDOWN;
    if (!taken) {
        flight->queued = false;
        flight->owner = mine->serial == cache->serial ? mine->reader : NULL;
    }
    cache->refreshes += flies;
    pthread_mutex_unlock(&cache->flights_lock);
    if (flies) {
        refresh_fly(cache, &refresh);
    } else if (!taken) {
        pnx_error error = {0};
        pnx_fail(&error, PNX_ECANCELED, "cache %s is being closed", cache->name);
        pnx__flight_land(cache, flight, &(pnx_ref){NULL, NULL}, &error);
    }
    pnx_ref_drop(&old);
    pthread_mutex_lock(&cache->flights_lock);
    refresh_over(cache, taken ? flight : NULL);
    pthread_mutex_unlock(&cache->flights_lock);
    return PNX_OK;
}

/* It could not be queued. */
static void refresh_fails(struct pnx_cache *cache, pnx__flight *flight, pnx_status status)
{
    pnx_error error = {0};
    pthread_mutex_lock(&cache->flights_lock);
    const bool taken = flight->taken;
    flight->queued = false;
    refresh_over(cache, taken ? flight : NULL);
    pthread_mutex_unlock(&cache->flights_lock);
    if (taken)
        return;
    pnx_fail(&error, status, "cache %s: no refresh", cache->name);
    pnx__flight_land(cache, flight, &(pnx_ref){NULL, NULL}, &error);
}

bool pnx__flight_refresh(struct pnx_cache *cache, uint64_t hash, const void *key)
{
    pnx_registry *registry = cache->config.registry;
    pnx_ref old = pnx_cache_peek(cache, key);
    (void)pnx__reader_get(cache);
    if (!old.value)
        return true;
    struct refresh refresh = {.cache = cache, .old = pnx__entry_of_value(old.value)};
    pthread_mutex_lock(&cache->flights_lock);
    pnx__flight *flight = cache->closing ? NULL : pnx__flight_find(cache, hash, key);
    const bool busy = flight && flight->state == PNX__RUNNING;
    if (flight && !busy)
        pnx__flight_forget(cache, flight);
    refresh.flight = busy || cache->closing ? NULL : pnx__flight_new(cache, hash, key);
    if (refresh.flight) {
        refresh.flight->queued = true;
        cache->refreshing++;
    }
    pthread_mutex_unlock(&cache->flights_lock);
    if (!refresh.flight) {
        pnx_ref_drop(&old);
        return busy;
    }
    /* Relaxed: `old` pins it meanwhile. */
    atomic_fetch_add_explicit(&refresh.old->pins, 1, memory_order_relaxed);
    pnx_id id;
    const pnx_status status =
        pnx_register(registry, cache_refresh_kind, &refresh, PNX_HERE, &id, NULL);
    if (status == PNX_OK) {
        pthread_mutex_lock(&cache->flights_lock);
        refresh.flight->refresh = id;
        pthread_mutex_unlock(&cache->flights_lock);
        (void)pnx_release_later(registry, id, NULL);
    } else {
        refresh_fails(cache, refresh.flight, status);
        pnx_ref counted = pnx__ref_counted(refresh.old);
        pnx_ref_drop(&counted);
    }
    pnx_ref_drop(&old);
    return status == PNX_OK;
}
