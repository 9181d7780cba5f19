/* SPDX-License-Identifier: MIT */
/**
 * @file blend.h
 * One structure that behaves as CLOCK, as S3-FIFO, as W-TinyLFU, or as something between, by a
 * *recipe* that may change at any time without moving a node: a window queue in front of a main
 * queue, both first in, first out with another round for what was used, and a door between them.
 * Hits only mark, so they take no lock.
 *
 * The adaptive policy runs one blend for the cache, and a small one for each recipe to compare.
 */
#ifndef PNX_CACHE_BLEND_H
#define PNX_CACHE_BLEND_H

#include "cache/ghost.h"
#include "cache/policy.h"
#include "cache/sketch.h"

/** How a node gets from the window to the main queue. */
enum pnx__door {
    PNX__DOOR_RARE,  /**< seen more often than the one that would have to go (TinyLFU) */
    PNX__DOOR_GHOST, /**< used in the window, or back soon after it was evicted (S3-FIFO) */
    PNX__DOOR_NONE,  /**< all is window: CLOCK, or FIFO */
};

typedef struct pnx__recipe {
    const char *name;
    uint16_t window; /**< its share of the capacity, in thousandths */
    uint8_t door;
    uint8_t least; /**< GHOST: uses in the window that open the door. RARE: the lead in sightings
                          that the newcomer needs. NONE: 0: not even what was used gets another
                          round */
} pnx__recipe;

/** Uses that a mark counts to. */
#define PNX__BLEND_MARKS 3

typedef struct pnx__blend {
    const pnx__recipe *recipe;
    uint64_t capacity;
    uint64_t main_most; /**< weight of the main queue beyond which it gives way; UINT64_MAX: none */
    pnx__segment window, main;
    pnx__sketch sketch;
    pnx__ghost ghost;
    bool counts, remembers; /**< has a sketch, has a ghost */
} pnx__blend;

/** For a fixed recipe (`changes` false) only what that one needs is kept. False: no memory. */
PNX_MUST_CHECK bool pnx__blend_init(pnx__blend *blend, const pnx__recipe *recipe, bool changes,
                                    uint64_t capacity, uint64_t entries);
void pnx__blend_done(pnx__blend *blend);
void pnx__blend_add(pnx__blend *blend, pnx__node *node);
void pnx__blend_remove(pnx__blend *blend, pnx__node *node);
pnx__node *pnx__blend_evict(pnx__blend *blend);
/** The queue that holds it. */
pnx__segment *pnx__blend_queue(pnx__blend *blend, const pnx__node *node);
size_t pnx__blend_memory(const pnx__blend *blend);

#endif
