/* SPDX-License-Identifier: MIT */
/* Computing: reads, decides and writes, once, against all other flights of the key. */
#include "cache/flight.h"

#include <patinox/guard.h>

static void forget_error(struct pnx_cache *cache, uint64_t hash, const void *key)
{
    pthread_mutex_lock(&cache->flights_lock);
    pnx__flight *flight = pnx__flight_find(cache, hash, key);
    if (flight && flight->state == PNX__FAILED)
        pnx__flight_forget(cache, flight);
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
    struct pnx__broken broken = {cache, flight};
    pthread_cleanup_push(pnx__flight_broken, &broken);
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
        const pnx_status status =
            pnx__flight_board(cache, reader, hash, key, deadline, &flight, &ref, &others);
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
    pnx__flight_land(cache, flight, &ref, &(pnx_error){0});
    if (ret && status == PNX_OK)
        *ret = pnx_ref_move(&ref);
    pnx_ref_drop(&ref);
    return status;
}
