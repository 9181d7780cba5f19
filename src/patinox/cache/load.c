/* SPDX-License-Identifier: MIT */
/*
 * Loads and computes: one *flight* for each key at a time. Whoever comes first flies it, in its own
 * thread and with no lock held; the others wait for that flight alone. A flight knows who flies it,
 * and a thread knows which flight it waits for, so a wait that would be for itself is found before
 * it begins, over any number of threads.
 */
#include "cache/internal.h"

#include <patinox/guard.h>

/* Failed flights that are kept for config.error_lifetime; beyond that the oldest are forgotten. */
#define FAILED_MAX 1024

enum flight_state { RUNNING, LOADED, FAILED };

typedef struct pnx__flight {
    struct pnx__flight *next; /* of the same chain */
    struct pnx__flight *failed_previous, *failed_next;
    uint64_t hash;
    pnx__reader *owner; /* NULL: not flown yet, it waits for a worker */
    enum flight_state state;
    unsigned users; /* whoever flies or waits, and the table while it keeps the error */
    unsigned waiters;
    bool invalidated;  /* the key was removed meanwhile */
    pnx__entry *entry; /* LOADED: counted once for each waiter; NULL: nothing to answer */
    pnx_time expires;  /* FAILED: until when the error is kept */
    pnx_error error;
    pnx_id refresh; /* the resource that flies it in the background */
    unsigned char key[];
} pnx__flight;

static pnx__flight **chain_of(struct pnx_cache *cache, uint64_t hash)
{
    return &cache->flights[hash % (sizeof cache->flights / sizeof *cache->flights)];
}

/* Flights lock held, here and below unless said otherwise. */
static pnx__flight *find(struct pnx_cache *cache, uint64_t hash, const void *key)
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

static void unuse(struct pnx_cache *cache, pnx__flight *flight)
{
    if (--flight->users > 0)
        return;
    if (cache->config.key_free)
        cache->config.key_free(flight->key, cache->config.context);
    pnx__free(flight);
}

static void failed_forget(struct pnx_cache *cache, pnx__flight *flight)
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
    unuse(cache, flight);
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
        failed_forget(cache, cache->failed_first);
}

static pnx__flight *flight_new(struct pnx_cache *cache, uint64_t hash, const void *key)
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
    flight->state = RUNNING;
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
    if (flight->state != FAILED)
        return false;
    if (pnx__cache_now(cache) < flight->expires)
        return true;
    failed_forget(cache, flight);
    return false;
}

/* Ends a flight. `ref` is what it brought, still the owner's; empty: `error`, or nothing. */
static void land(struct pnx_cache *cache, pnx__flight *flight, const pnx_ref *ref,
                 const pnx_error *error)
{
    pthread_mutex_lock(&cache->flights_lock);
    flight->owner = NULL;
    cache->flights_running--;
    flight->state = error->code ? FAILED : LOADED;
    flight->error = *error;
    if (ref->value) {
        flight->entry = pnx__entry_of_value(ref->value);
        /* Relaxed: it is pinned by `ref` meanwhile. */
        atomic_fetch_add_explicit(&flight->entry->pins, flight->waiters, memory_order_relaxed);
    }
    if (flight->state == FAILED && cache->config.error_lifetime > 0 && !flight->invalidated &&
        error->code != PNX_EDEADLOCK && error->code != PNX_ECANCELED) {
        failed_keep(cache, flight); /* the table's use of it is the owner's */
    } else {
        unlink_flight(cache, flight);
        unuse(cache, flight);
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
    const struct timespec until = {.tv_sec = (time_t)(deadline / 1000000000),
                                   .tv_nsec = (long)(deadline % 1000000000)};
    while (flight->state == RUNNING && status == PNX_OK) {
        if (deadline == PNX_FOREVER)
            pthread_cond_wait(&cache->flights_changed, &cache->flights_lock);
        else if (pthread_cond_timedwait(&cache->flights_changed, &cache->flights_lock, &until) ==
                     ETIMEDOUT &&
                 flight->state == RUNNING)
            status = PNX_ETIMEOUT;
    }
    reader->waiting = NULL;
    if (status) {
        flight->waiters--;
        pnx_fail(err, status, "cache %s: another thread is still loading this key", cache->name);
    } else if (flight->state == FAILED) {
        status = flight->error.code;
        if (err)
            *err = flight->error;
    } else if (flight->entry) {
        *ret = pnx__ref_counted(flight->entry);
    }
    unuse(cache, flight);
    return status;
}

/* PNX_OK: `*ret_flight` is this thread's to fly; or it is NULL, and `*ret` is what another brought,
 * which is nothing after a compute. No lock held. */
static pnx_status board(struct pnx_cache *cache, pnx__reader *reader, uint64_t hash,
                        const void *key, pnx_time deadline, pnx__flight **ret_flight, pnx_ref *ret,
                        pnx_error *err)
{
    pnx_status status = PNX_OK;
    *ret_flight = NULL;
    pthread_mutex_lock(&cache->flights_lock);
    pnx__flight *flight = find(cache, hash, key);
    if (flight && kept_error(cache, flight)) {
        status = flight->error.code;
        if (err)
            *err = flight->error;
    } else if ((flight = find(cache, hash, key)) != NULL && circular(flight, reader)) {
        status = pnx_fail(err, PNX_EDEADLOCK,
                          "cache %s: this load waits for itself; load other keys before, or put",
                          cache->name);
    } else if (flight) {
        status = await(cache, flight, reader, deadline, ret, err);
    } else {
        flight = flight_new(cache, hash, key);
        if (flight)
            flight->owner = reader;
        else
            status = pnx_fail(err, PNX_ENOMEM, "cache %s: no memory to load", cache->name);
        *ret_flight = flight;
    }
    pthread_mutex_unlock(&cache->flights_lock);
    return status;
}

/* ---- loading --------------------------------------------------------------------------------- */

struct broken {
    struct pnx_cache *cache;
    pnx__flight *flight;
};

/* The load ended its thread. */
static void flight_broken(void *argument)
{
    const struct broken *broken = argument;
    pnx_error error = {0};
    pnx_fail(&error, PNX_ECANCELED, "cache %s: the thread that loaded this key was ended",
             broken->cache->name);
    land(broken->cache, broken->flight, &(pnx_ref){NULL, NULL}, &error);
}

static pnx_status call_load(struct pnx_cache *cache, pnx__flight *flight, pnx_cache_loaded *loaded,
                            pnx_error *error)
{
    pnx_status status;
    struct broken broken = {cache, flight};
    pthread_cleanup_push(flight_broken, &broken);
    status = cache->config.load(flight->key, loaded, cache->config.context, error);
    pthread_cleanup_pop(0);
    if (status && error->code == PNX_OK)
        pnx_fail(error, status, "cache %s: the load failed: %s", cache->name,
                 pnx_status_name(status));
    return status;
}

/* What was loaded goes in, unless somebody put another value meanwhile and `keep_other`. */
static void store(struct pnx_cache *cache, pnx__flight *flight, const pnx_cache_loaded *loaded,
                  const pnx__put *how, pnx_ref *ret, pnx_error *error)
{
    const pnx_status status = pnx__cache_put_how(cache, flight->key, loaded->value, how, error);
    if (status) {
        pnx__cache_discard(cache, loaded->value);
        if (status == PNX_EALREADY)
            pnx_error_clear(error); /* the value that is there is answered */
        return;
    }
    pthread_mutex_lock(&cache->flights_lock);
    const bool invalidated = flight->invalidated;
    pthread_mutex_unlock(&cache->flights_lock);
    if (invalidated)
        (void)pnx__cache_remove_how(cache, flight->hash, flight->key,
                                    pnx__entry_of_value(ret->value), PNX_CACHE_REMOVED);
}

static void count_load(struct pnx_cache *cache, pnx_time began, bool failed)
{
    pthread_mutex_lock(&cache->flights_lock);
    cache->loads++;
    cache->load_failures += failed;
    cache->load_ns += (uint64_t)(pnx__now() - began);
    pthread_mutex_unlock(&cache->flights_lock);
}

static pnx_status fly(struct pnx_cache *cache, pnx__flight *flight, pnx__put *how, pnx_ref *ret,
                      pnx_error *err)
{
    uint64_t words[PNX_VALUE_MAX / 8] = {0, 0, 0};
    pnx_cache_loaded loaded = {.value = words};
    pnx_error error = {0};
    const pnx_time began = pnx__now();
    const bool failed = call_load(cache, flight, &loaded, &error) != PNX_OK;
    count_load(cache, began, failed);
    if (!failed) {
        how->lifetime = loaded.lifetime;
        how->weight = loaded.weight;
        how->ret = ret;
        store(cache, flight, &loaded, how, ret, &error);
    }
    const pnx_status status = error.code;
    if (status && err)
        *err = error;
    land(cache, flight, ret, &error);
    return status;
}

pnx_ref pnx_cache_load(pnx_cache *cache, const void *key, pnx_time deadline, pnx_error *err)
{
    pnx_ref ref = pnx_cache_get(cache, key);
    if (ref.value)
        return ref;
    pnx__reader *reader = pnx__reader_get(cache);
    if (pnx__cache_forked(cache)) {
        pnx_fail(err, PNX_EFORKED, "cache %s belongs to the parent process", cache->name);
        return ref;
    }
    if (!reader || !cache->config.load) {
        pnx_fail(err, reader ? PNX_EINVAL : PNX_ENOMEM,
                 reader ? "cache %s: it was made without load" : "cache %s: no memory to load",
                 cache->name);
        return ref;
    }
    const uint64_t hash = pnx__key_hash(cache, key);
    pnx__flight *flight = NULL;
    for (;;) {
        if (board(cache, reader, hash, key, deadline, &flight, &ref, err) != PNX_OK || ref.value)
            return ref;
        ref = pnx_cache_peek(cache, key); /* perhaps it came between our look and our flight */
        if (flight)
            break;
        if (ref.value)
            return ref;
    }
    if (ref.value) {
        land(cache, flight, &ref, &(pnx_error){0});
        return ref;
    }
    (void)fly(cache, flight, &(pnx__put){.site = PNX_HERE, .if_absent = true}, &ref, err);
    return ref;
}

/* ---- refreshing ------------------------------------------------------------------------------ */

struct refresh {
    struct pnx_cache *cache;
    pnx__flight *flight;
    pnx__entry *old; /* counted */
};

static pnx_status refresh_release(struct refresh refresh, const pnx_release *why);
PNX_KIND(cache_refresh, struct refresh, refresh_release, .priority = PNX_LOW,
         .timeout = PNX_FOREVER, .flags = PNX_BLOCKING);

static pnx_status refresh_release(struct refresh refresh, const pnx_release *why)
{
    struct pnx_cache *cache = refresh.cache;
    pnx_ref old = pnx__ref_counted(refresh.old), ref = {NULL, NULL};
    pnx_error error = {0};
    pthread_mutex_lock(&cache->flights_lock);
    const bool closing = cache->closing;
    refresh.flight->owner = pnx__readers_mine[cache->serial % PNX__MINE].serial == cache->serial
                                ? pnx__readers_mine[cache->serial % PNX__MINE].reader
                                : NULL;
    cache->refreshes += !closing;
    pthread_mutex_unlock(&cache->flights_lock);
    if (closing || why->reason == PNX_SHUTDOWN) {
        pnx_fail(&error, PNX_ECANCELED, "cache %s is being closed", cache->name);
        land(cache, refresh.flight, &ref, &error);
    } else {
        /* A value that was put meanwhile is newer than ours. */
        pnx__put how = {.site = PNX_HERE, .expects = true, .expected = refresh.old};
        if (fly(cache, refresh.flight, &how, &ref, &error) != PNX_OK) {
            const pnx_duration again =
                cache->config.refresh_after_write ? cache->config.refresh_after_write : PNX_S(1);
            /* The old value stays until it expires; a later read tries again. */
            atomic_store_explicit(&pnx__entry_timing(cache, refresh.old)->refresh_at,
                                  pnx_time_after(pnx__cache_now(cache), again),
                                  memory_order_relaxed);
        }
        pnx_ref_drop(&ref);
    }
    pnx_ref_drop(&old);
    return PNX_OK;
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
    pnx__flight *flight = cache->closing ? NULL : find(cache, hash, key);
    const bool busy = flight && flight->state == RUNNING;
    if (flight && !busy)
        failed_forget(cache, flight);
    refresh.flight = busy || cache->closing ? NULL : flight_new(cache, hash, key);
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
        pnx_error error = {0};
        pnx_fail(&error, status, "cache %s: no refresh", cache->name);
        land(cache, refresh.flight, &(pnx_ref){NULL, NULL}, &error);
        pnx_ref counted = pnx__ref_counted(refresh.old);
        pnx_ref_drop(&counted);
    }
    pnx_ref_drop(&old);
    return status == PNX_OK;
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
            flight->invalidated = true;
            if (flight->state == FAILED)
                failed_forget(cache, flight);
        }
    pthread_mutex_unlock(&cache->flights_lock);
}

/* Flights in the background are canceled, those that run are waited for, errors forgotten. */
void pnx__flights_done(struct pnx_cache *cache)
{
    pthread_mutex_lock(&cache->flights_lock);
    cache->closing = true;
    while (cache->flights_running > 0) {
        pnx_id id = PNX_ID_NONE;
        for (unsigned i = 0; i < sizeof cache->flights / sizeof *cache->flights; i++)
            for (pnx__flight *flight = cache->flights[i]; flight; flight = flight->next)
                if (flight->state == RUNNING && !pnx_id_is_none(flight->refresh))
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
        failed_forget(cache, cache->failed_first);
    pthread_mutex_unlock(&cache->flights_lock);
}

/* ---- computing ------------------------------------------------------------------------------- */

static void forget_error(struct pnx_cache *cache, uint64_t hash, const void *key)
{
    pthread_mutex_lock(&cache->flights_lock);
    pnx__flight *flight = find(cache, hash, key);
    if (flight && flight->state == FAILED)
        failed_forget(cache, flight);
    pthread_mutex_unlock(&cache->flights_lock);
}

/* One try: PNX_EALREADY when somebody put or removed meanwhile. */
static pnx_status compute_once(struct pnx_cache *cache, pnx__flight *flight,
                               pnx_cache_compute_fn compute, void *argument, pnx_ref *ret,
                               pnx_error *error)
{
    uint64_t words[PNX_VALUE_MAX / 8] = {0, 0, 0};
    pnx_ref old = pnx_cache_peek(cache, flight->key);
    pnx__entry *entry = old.value ? pnx__entry_of_value(old.value) : NULL;
    pnx_cache_decision decision;
    struct broken broken = {cache, flight};
    pthread_cleanup_push(flight_broken, &broken);
    decision = compute(flight->key, old.value, words, argument);
    pthread_cleanup_pop(0);
    pnx_status status = PNX_OK;
    if (decision == PNX_CACHE_STORE) {
        const pnx__put how = {.site = PNX_HERE, .expects = true, .expected = entry, .ret = ret};
        status = pnx__cache_put_how(cache, flight->key, words, &how, error);
        if (status)
            pnx__cache_discard(cache, words);
    } else if (decision == PNX_CACHE_REMOVE && entry) {
        if (!pnx__cache_remove_how(cache, flight->hash, flight->key, entry, PNX_CACHE_REMOVED))
            status = PNX_EALREADY;
    } else if (entry) {
        *ret = pnx_ref_move(&old);
    }
    pnx_ref_drop(&old);
    return status;
}

pnx_status pnx_cache_compute(pnx_cache *cache, const void *key, pnx_cache_compute_fn compute,
                             void *argument, pnx_time deadline, pnx_ref *ret, pnx_error *err)
{
    if (ret)
        *ret = (pnx_ref){NULL, NULL};
    pnx__reader *reader = pnx__reader_get(cache);
    if (pnx__cache_forked(cache))
        return pnx_fail(err, PNX_EFORKED, "cache %s belongs to the parent process", cache->name);
    if (!reader)
        return pnx_fail(err, PNX_ENOMEM, "cache %s: no memory to compute", cache->name);
    const uint64_t hash = pnx__key_hash(cache, key);
    pnx__flight *flight = NULL;
    pnx_error error = {0};
    pnx_ref ref = {NULL, NULL};
    while (!flight) {
        /* Another's load, its failure too, comes before ours. */
        pnx_error others = {0};
        forget_error(cache, hash, key);
        const pnx_status status = board(cache, reader, hash, key, deadline, &flight, &ref, &others);
        pnx_ref_drop(&ref);
        if (status == PNX_EDEADLOCK || status == PNX_ENOMEM ||
            (status == PNX_ETIMEOUT && pnx__now() >= deadline)) {
            if (err)
                *err = others;
            return status;
        }
    }
    pnx_status status;
    do {
        pnx_ref_drop(&ref);
        pnx_error_clear(&error);
        status = compute_once(cache, flight, compute, argument, &ref, &error);
    } while (status == PNX_EALREADY);
    if (status && err)
        *err = error;
    land(cache, flight, &ref, &(pnx_error){0});
    if (ret && status == PNX_OK)
        *ret = pnx_ref_move(&ref);
    pnx_ref_drop(&ref);
    return status;
}
