/* SPDX-License-Identifier: MIT */
/**
 * @file shadow.h
 * A small cache without values that answers: what would the hit ratio be under this recipe? It sees
 * only the sampled keys, at a capacity that is as much smaller. Waldspurger, Saemundsson, Ahmad and
 * Park, "Cache modeling and optimization using miniature simulations", USENIX ATC 2017.
 */
#ifndef PNX_CACHE_SHADOW_H
#define PNX_CACHE_SHADOW_H

#include "cache/blend.h"

typedef struct pnx__shadow {
    pnx__blend blend;
    pnx__node *nodes; /* room for `limit` */
    uint16_t *index;  /* by hash; 0: free, else the number of the node plus 1 */
    uint32_t mask;    /* of the index */
    uint32_t limit, used;
    pnx__list free;
} pnx__shadow;

/** A capacity of at most 2^15 `entries`, and of `weight` in all. False: no memory. */
PNX_MUST_CHECK bool pnx__shadow_init(pnx__shadow *shadow, const pnx__recipe *recipe,
                                     uint32_t entries, uint64_t weight);
void pnx__shadow_done(pnx__shadow *shadow);
/** A request for this key: was it a hit? */
bool pnx__shadow_access(pnx__shadow *shadow, uint64_t hash, uint32_t weight);
size_t pnx__shadow_memory(const pnx__shadow *shadow);

#endif
