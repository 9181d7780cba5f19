/* SPDX-License-Identifier: MIT */
/* Loading what is not there, in the thread that asks for it. */
#include "cache/flight.h"

#include <patinox/guard.h>

static pnx_status call_load(struct pnx_cache *cache, pnx__flight *flight, pnx_cache_loaded *loaded,
                            pnx_error *error)
{
    pnx_status status;
    struct pnx__broken broken = {cache, flight};
    pthread_cleanup_push(pnx__flight_broken, &broken);
    status = cache->config.load(flight->key, loaded, cache->config.context, error);
    pthread_cleanup_pop(0);
    if (status && error->code == PNX_OK)
        pnx_fail(error, status, "cache %s: the load failed: %s", cache->name,
                 pnx_status_name(status));
    return status;
}

/* What was loaded goes in, unless somebody put another value meanwhile and `keep_other`. */
static void store(struct pnx_cache *cache, pnx__flight *flight, const pnx_cache_loaded *loaded,
                  const pnx__put *how, pnx_error *error)
{
    const pnx_status status = pnx__cache_put_how(cache, flight->key, loaded->value, how, error);
    if (status) {
        pnx__cache_discard(cache, loaded->value);
        if (status == PNX_EALREADY)
            pnx_error_clear(error); /* the value that is there is answered */
    }
}

static void count_load(struct pnx_cache *cache, pnx_time began, bool failed)
{
    pthread_mutex_lock(&cache->flights_lock);
    cache->loads++;
    cache->load_failures += failed;
    cache->load_ns += (uint64_t)(pnx__now() - began);
    pthread_mutex_unlock(&cache->flights_lock);
}

pnx_status pnx__flight_fly(struct pnx_cache *cache, pnx__flight *flight, pnx__put *how,
                           pnx_ref *ret, pnx_error *err)
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
        how->invalidated = &flight->invalidated;
        store(cache, flight, &loaded, how, &error);
    }
    const pnx_status status = error.code;
    if (status && err)
        *err = error;
    pnx__flight_land(cache, flight, ret, &error);
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
        if (pnx__flight_board(cache, reader, hash, key, deadline, &flight, &ref, err) != PNX_OK ||
            ref.value)
            return ref;
        ref = pnx_cache_peek(cache, key); /* perhaps it came between our look and our flight */
        if (flight)
            break;
        if (ref.value)
            return ref;
    }
    if (ref.value) {
        pnx__flight_land(cache, flight, &ref, &(pnx_error){0});
        return ref;
    }
    (void)pnx__flight_fly(cache, flight, &(pnx__put){.site = PNX_HERE, .if_absent = true}, &ref,
                          err);
    return ref;
}
