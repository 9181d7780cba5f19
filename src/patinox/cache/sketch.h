/* SPDX-License-Identifier: MIT */
/**
 * @file sketch.h
 * How often was this seen lately? A count-min sketch of 4-bit counters with ageing: Cormode and
 * Muthukrishnan, "An improved data stream summary", 2005; Einziger, Friedman and Manes, "TinyLFU: a
 * highly efficient cache admission policy", ACM TOS 13(4), 2017. All four counters of a hash lie in
 * one cache line of 128, as in Caffeine 3. It grows with what the cache holds, keeping what it
 * knows.
 */
#ifndef PNX_CACHE_SKETCH_H
#define PNX_CACHE_SKETCH_H

#include "base/sys.h"

/** A counter goes no higher. */
#define PNX__SKETCH_MAX 15
#define PNX__SKETCH_ROWS 4
#define PNX__SKETCH_WORDS 8 /* of 64 bits in a block; two for each row */

typedef struct pnx__sketch {
    uint64_t *words;
    uint64_t *memory;      /* what was allocated; words is aligned to a line in it */
    uint32_t blocks;       /* a power of two */
    uint64_t added, limit; /* at the limit all counters are halved */
} pnx__sketch;

/** Good for about `entries` different hashes at a time. False: no memory. */
PNX_MUST_CHECK bool pnx__sketch_init(pnx__sketch *sketch, uint64_t entries);
void pnx__sketch_done(pnx__sketch *sketch);
/** Grows if `entries` need it and there is memory. */
void pnx__sketch_fit(pnx__sketch *sketch, uint64_t entries);
/** It was seen `times` more often. */
void pnx__sketch_add(pnx__sketch *sketch, uint64_t hash, unsigned times);
/** At most PNX__SKETCH_MAX; never too low but by ageing. */
unsigned pnx__sketch_get(const pnx__sketch *sketch, uint64_t hash);
size_t pnx__sketch_memory(const pnx__sketch *sketch);

#endif
