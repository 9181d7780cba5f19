/* SPDX-License-Identifier: MIT */
/**
 * @file ghost.h
 * Remembers, for a while, the hashes of what was evicted: a table of fingerprints, each with the
 * number of the eviction that left it. The last `length` evictions are remembered, but for the few
 * that a full bucket forgot early. It grows with what the cache holds; without memory for that it
 * stays as it is and forgets more.
 */
#ifndef PNX_CACHE_GHOST_H
#define PNX_CACHE_GHOST_H

#include "base/sys.h"

#define PNX__GHOST_BUCKET 4

typedef struct pnx__ghost_mark {
    uint32_t print; /* the upper half of the hash; 0 means free and is not stored */
    uint32_t number;
} pnx__ghost_mark;

typedef struct pnx__ghost {
    pnx__ghost_mark *marks;
    uint32_t buckets; /* a power of two */
    uint32_t number;  /* of the last eviction; wraps */
} pnx__ghost;

/** Room for about `entries` marks. False: no memory. */
PNX_MUST_CHECK bool pnx__ghost_init(pnx__ghost *ghost, uint64_t entries);
void pnx__ghost_done(pnx__ghost *ghost);
/** More room, if `entries` need it. */
void pnx__ghost_fit(pnx__ghost *ghost, uint64_t entries);
void pnx__ghost_add(pnx__ghost *ghost, uint64_t hash);
/** Was it among the last `length` evictions? If so it is forgotten now. */
bool pnx__ghost_take(pnx__ghost *ghost, uint64_t hash, uint64_t length);
size_t pnx__ghost_memory(const pnx__ghost *ghost);

#endif
