/* SPDX-License-Identifier: MIT */
/*
 * Loads and computes: one *flight* for each key at a time. Whoever comes first flies it, in its own
 * thread and with no lock held; the others wait for that flight alone. A flight knows who flies it,
 * and a thread knows which flight it waits for, so a wait that would be for itself is found before
 * it begins, over any number of threads.
 *
 * A refresh is a flight that waits for a worker. A load that comes first takes it over, so that
 * nobody waits for what is only queued; its job finds that, and does nothing.
 */
#include "cache/flight.h"

/* Failed flights that are kept for config.error_lifetime; beyond that the oldest are forgotten. */
#define FAILED_MAX 1024

static pnx__flight **chain_of(struct pnx_cache *cache, uint64_t hash)
{
    return &cache->flights[hash % (sizeof cache->flights / sizeof *cache->flights)];
}

/* Flights lock held, here and below unless said otherwise. */
pnx__flight *pnx__flight_find(struct pnx_cache *cache, uint64_t hash, const void *key)
{
    for (pnx__flight *flight = *chain_of(cache, hash); flight; flight = flight->next)
        if (flight->hash == hash && pnx__key_equal(cache, flight->key, key))
            return flight;
    return NULL;
}

static void unlink_flight(struct pnx_cache *cache, pnx__flight *flight)
{
    pnx__flight **at = chain_of(cache, flight->hash);
    while (*at != flight)
        at = &(*at)->next;
    *at = flight->next;
    /* Relaxed: see pnx__flights_invalidate. */
    atomic_fetch_sub_explicit(&cache->flight_count, 1, memory_order_relaxed);
}

void pnx__flight_unuse(struct pnx_cache *cache, pnx__flight *flight)
{
    if (--flight->users > 0)
        return;
    if (cache->config.key_free)
        cache->config.key_free(flight->key, cache->config.context);
    pnx__free(flight);
}

void pnx__flight_forget(struct pnx_cache *cache, pnx__flight *flight)
{
    if (flight->failed_previous)
        flight->failed_previous->failed_next = flight->failed_next;
    else
        cache->failed_first = flight->failed_next;
    if (flight->failed_next)
        flight->failed_next->failed_previous = flight->failed_previous;
    else
        cache->failed_last = flight->failed_previous;
    cache->failed_count--;
    unlink_flight(cache, flight);
    pnx__flight_unuse(cache, flight);
}

static void failed_keep(struct pnx_cache *cache, pnx__flight *flight)
{
    flight->expires = pnx_time_after(pnx__cache_now(cache), cache->config.error_lifetime);
    flight->failed_previous = cache->failed_last;
    flight->failed_next = NULL;
    if (cache->failed_last)
        cache->failed_last->failed_next = flight;
    else
        cache->failed_first = flight;
    cache->failed_last = flight;
    if (++cache->failed_count > FAILED_MAX)
        pnx__flight_forget(cache, cache->failed_first);
}

pnx__flight *pnx__flight_new(struct pnx_cache *cache, uint64_t hash, const void *key)
{
    pnx__flight *flight = pnx__alloc(sizeof *flight + cache->config.key_size);
    if (!flight)
        return NULL;
    memcpy(flight->key, key, cache->config.key_size);
    if (cache->config.key_copy && !cache->config.key_copy(flight->key, cache->config.context)) {
        pnx__free(flight);
        return NULL;
    }
    flight->hash = hash;
    flight->users = 1;
    flight->state = PNX__RUNNING;
    flight->next = *chain_of(cache, hash);
    *chain_of(cache, hash) = flight;
    cache->flights_running++;
    atomic_fetch_add_explicit(&cache->flight_count, 1, memory_order_relaxed);
    return flight;
}

/* Would a wait of `reader` for `flight` be for itself? */
static bool circular(const pnx__flight *flight, const pnx__reader *reader)
{
    while (flight && flight->owner) {
        if (flight->owner == reader)
            return true;
        flight = flight->owner->waiting;
    }
    return false;
}

static bool kept_error(struct pnx_cache *cache, pnx__flight *flight)
{
    if (flight->state != PNX__FAILED)
        return false;
    if (pnx__cache_now(cache) < flight->expires)
        return true;
    pnx__flight_forget(cache, flight);
    return false;
}

void pnx__flight_land(struct pnx_cache *cache, pnx__flight *flight, const pnx_ref *ref,
                      const pnx_error *error)
{
    pthread_mutex_lock(&cache->flights_lock);
    flight->owner = NULL;
    cache->flights_running--;
    flight->state = error->code ? PNX__FAILED : PNX__LOADED;
    flight->error = *error;
    if (ref->value) {
        flight->entry = pnx__entry_of_value(ref->value);
        /* Relaxed: it is pinned by `ref` meanwhile. */
        atomic_fetch_add_explicit(&flight->entry->pins, flight->waiters, memory_order_relaxed);
    }
    if (flight->state == PNX__FAILED && cache->config.error_lifetime > 0 &&
        !atomic_load_explicit(&flight->invalidated, memory_order_relaxed) &&
        error->code != PNX_EDEADLOCK && error->code != PNX_ECANCELED) {
        failed_keep(cache, flight); /* the table's use of it is the owner's */
    } else {
        unlink_flight(cache, flight);
        pnx__flight_unuse(cache, flight);
    }
    pthread_cond_broadcast(&cache->flights_changed);
    pthread_mutex_unlock(&cache->flights_lock);
}

/* Waits until it has landed. */
static pnx_status await(struct pnx_cache *cache, pnx__flight *flight, pnx__reader *reader,
                        pnx_time deadline, pnx_ref *ret, pnx_error *err)
{
    pnx_status status = PNX_OK;
    flight->users++;
    flight->waiters++;
    cache->load_waits++;
    reader->waiting = flight;
    const pnx_time end = deadline > 0 ? deadline : 0; /* there are no points in time before 0 */
    const struct timespec until = {.tv_sec = (time_t)(end / 1000000000),
                                   .tv_nsec = (long)(end % 1000000000)};
    while (flight->state == PNX__RUNNING && status == PNX_OK) {
        if (deadline == PNX_FOREVER)
            pthread_cond_wait(&cache->flights_changed, &cache->flights_lock);
        else if (pthread_cond_timedwait(&cache->flights_changed, &cache->flights_lock, &until) ==
                     ETIMEDOUT &&
                 flight->state == PNX__RUNNING)
            status = PNX_ETIMEOUT;
    }
    reader->waiting = NULL;
    if (status) {
        flight->waiters--;
        pnx_fail(err, status, "cache %s: another thread is still loading this key", cache->name);
    } else if (flight->state == PNX__FAILED) {
        status = flight->error.code;
        if (err)
            *err = flight->error;
    } else if (flight->entry) {
        *ret = pnx__ref_counted(flight->entry);
    }
    pnx__flight_unuse(cache, flight);
    return status;
}

pnx_status pnx__flight_board(struct pnx_cache *cache, pnx__reader *reader, uint64_t hash,
                             const void *key, pnx_time deadline, pnx__flight **ret_flight,
                             pnx_ref *ret, pnx_error *err)
{
    pnx_status status = PNX_OK;
    bool again = false;
    *ret_flight = NULL;
    pthread_mutex_lock(&cache->flights_lock);
    pnx__flight *flight = pnx__flight_find(cache, hash, key);
    if (flight && kept_error(cache, flight)) {
        status = flight->error.code;
        if (err)
            *err = flight->error;
    } else if ((flight = pnx__flight_find(cache, hash, key)) != NULL && circular(flight, reader)) {
        status = pnx_fail(err, PNX_EDEADLOCK,
                          "cache %s: this load waits for itself; load other keys before, or put",
                          cache->name);
    } else if (flight && flight->queued) {
        flight->queued = false;
        flight->taken = true;
        flight->taken_next = cache->taken;
        cache->taken = flight;
        flight->owner = reader;
        flight->users++; /* besides that of its job */
        *ret_flight = flight;
    } else if (flight) {
        /* What was removed since it began is no answer to who comes now. */
        const bool outdated = atomic_load_explicit(&flight->invalidated, memory_order_relaxed);
        flight->users++;
        status = await(cache, flight, reader, deadline, ret, err);
        again = outdated && flight->state != PNX__RUNNING;
        pnx__flight_unuse(cache, flight);
    } else {
        flight = pnx__flight_new(cache, hash, key);
        if (flight)
            flight->owner = reader;
        else
            status = pnx_fail(err, PNX_ENOMEM, "cache %s: no memory to load", cache->name);
        *ret_flight = flight;
    }
    pthread_mutex_unlock(&cache->flights_lock);
    if (!again)
        return status;
    pnx_ref_drop(ret);
    if (err)
        pnx_error_clear(err);
    return PNX_OK;
}

/* The load ended its thread. */
void pnx__flight_broken(void *argument)
{
    const struct pnx__broken *broken = argument;
    pnx_error error = {0};
    pnx_fail(&error, PNX_ECANCELED, "cache %s: the thread that loaded this key was ended",
             broken->cache->name);
    pnx__flight_land(broken->cache, broken->flight, &(pnx_ref){NULL, NULL}, &error);
}

void pnx__flights_invalidate(struct pnx_cache *cache, uint64_t hash, const void *key)
{
    /* Relaxed: a load that begins at the same time as a remove may come before it or after. */
    if (PNX_LIKELY(atomic_load_explicit(&cache->flight_count, memory_order_relaxed) == 0))
        return;
    pthread_mutex_lock(&cache->flights_lock);
    for (unsigned i = 0; i < sizeof cache->flights / sizeof *cache->flights; i++)
        for (pnx__flight *flight = cache->flights[i], *next; flight; flight = next) {
            next = flight->next;
            if (key && (flight->hash != hash || !pnx__key_equal(cache, flight->key, key)))
                continue;
            /* Release: pairs with the acquire in put_locked (write.c). */
            atomic_store_explicit(&flight->invalidated, true, memory_order_release);
            if (flight->state == PNX__FAILED)
                pnx__flight_forget(cache, flight);
        }
    pthread_mutex_unlock(&cache->flights_lock);
}

/* Flights in the background are canceled, those that run are waited for, errors forgotten. */
void pnx__flights_done(struct pnx_cache *cache)
{
    pthread_mutex_lock(&cache->flights_lock);
    cache->closing = true;
    while (cache->flights_running > 0 || cache->refreshing > 0) {
        pnx_id id = cache->taken ? cache->taken->refresh : PNX_ID_NONE;
        for (unsigned i = 0; i < sizeof cache->flights / sizeof *cache->flights; i++)
            for (pnx__flight *flight = cache->flights[i]; flight; flight = flight->next)
                if (flight->state == PNX__RUNNING && !flight->taken &&
                    !pnx_id_is_none(flight->refresh))
                    id = flight->refresh;
        if (pnx_id_is_none(id)) {
            pthread_cond_wait(&cache->flights_changed, &cache->flights_lock);
            continue;
        }
        pthread_mutex_unlock(&cache->flights_lock);
        (void)pnx_release_now(cache->config.registry, id, PNX_FOREVER, NULL);
        pthread_mutex_lock(&cache->flights_lock);
    }
    while (cache->failed_first)
        pnx__flight_forget(cache, cache->failed_first);
    pthread_mutex_unlock(&cache->flights_lock);
}

size_t pnx__flights_memory(struct pnx_cache *cache)
{
    return atomic_load_explicit(&cache->flight_count, memory_order_relaxed) *
           (sizeof(pnx__flight) + cache->config.key_size);
}
