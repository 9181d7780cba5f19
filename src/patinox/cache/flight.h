/* SPDX-License-Identifier: MIT */
/**
 * @file flight.h
 * Flights: what loads, refreshes and computes of one key have in common. See flight.c.
 */
#ifndef PNX_CACHE_FLIGHT_H
#define PNX_CACHE_FLIGHT_H

#include "cache/internal.h"

enum pnx__flight_state { PNX__RUNNING, PNX__LOADED, PNX__FAILED };

typedef struct pnx__flight {
    struct pnx__flight *next; /* of the same chain */
    struct pnx__flight *failed_previous, *failed_next;
    uint64_t hash;
    pnx__reader *owner; /* NULL: not known, or nobody's yet */
    enum pnx__flight_state state;
    unsigned users; /* whoever flies or waits, and the table while it keeps the error */
    unsigned waiters;
    bool queued; /* a refresh that nobody flies yet */
    bool taken;  /* a refresh that a load flew instead of its job */
    struct pnx__flight *taken_next;
    /* The key was removed meanwhile. Written under the flights lock, read under the writer's. */
    _Atomic bool invalidated;
    pnx__entry *entry; /* PNX__LOADED: counted once for each waiter; NULL: nothing to answer */
    pnx_time expires;  /* PNX__FAILED: until when the error is kept */
    pnx_error error;
    pnx_id refresh; /* the resource that flies it in the background */
    unsigned char key[];
} pnx__flight;

/* ---- flights lock held ----------------------------------------------------------------------- */

/** NULL: none. */
pnx__flight *pnx__flight_find(struct pnx_cache *cache, uint64_t hash, const void *key);
/** There must be none of this key. NULL: no memory. */
pnx__flight *pnx__flight_new(struct pnx_cache *cache, uint64_t hash, const void *key);
/** A use of it less; the last one frees it. */
void pnx__flight_unuse(struct pnx_cache *cache, pnx__flight *flight);
/** Of one that has failed and is kept. */
void pnx__flight_forget(struct pnx_cache *cache, pnx__flight *flight);

/* ---- no lock held ---------------------------------------------------------------------------- */

/** PNX_OK: `*ret_flight` is this thread's to fly; or it is NULL, and `*ret` is what another
 *  brought, which is nothing after a compute, or if the key was removed meanwhile: board again. */
pnx_status pnx__flight_board(struct pnx_cache *cache, pnx__reader *reader, uint64_t hash,
                             const void *key, pnx_time deadline, pnx__flight **ret_flight,
                             pnx_ref *ret, pnx_error *err);
/** Loads and stores, as `how` says, and ends the flight. */
pnx_status pnx__flight_fly(struct pnx_cache *cache, pnx__flight *flight, pnx__put *how,
                           pnx_ref *ret, pnx_error *err);
/** Ends a flight. `ref` is what it brought, still the owner's; empty: `error`, or nothing. */
void pnx__flight_land(struct pnx_cache *cache, pnx__flight *flight, const pnx_ref *ref,
                      const pnx_error *error);

struct pnx__broken {
    struct pnx_cache *cache;
    pnx__flight *flight;
};

/** For pthread_cleanup_push: the callback ended its thread. `argument` is a struct pnx__broken. */
void pnx__flight_broken(void *argument);

#endif
