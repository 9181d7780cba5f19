/* SPDX-License-Identifier: MIT */
#include "cache/shadow.h"

bool pnx__shadow_init(pnx__shadow *shadow, const pnx__recipe *recipe, uint32_t entries,
                      uint64_t weight)
{
    uint32_t slots = 8;
    while (slots < 2 * (entries + 1))
        slots *= 2;
    *shadow = (pnx__shadow){.mask = slots - 1, .limit = entries + 1};
    pnx__list_init(&shadow->free);
    if (!pnx__blend_init(&shadow->blend, recipe, false, weight, entries))
        return false;
    shadow->nodes = pnx__alloc(shadow->limit * sizeof *shadow->nodes);
    shadow->index = pnx__alloc(slots * sizeof *shadow->index);
    if (!shadow->nodes || !shadow->index) {
        pnx__shadow_done(shadow);
        return false;
    }
    return true;
}

void pnx__shadow_done(pnx__shadow *shadow)
{
    if (shadow->limit == 0)
        return;
    pnx__free(shadow->nodes);
    pnx__free(shadow->index);
    pnx__blend_done(&shadow->blend);
    *shadow = (pnx__shadow){0};
}

/* The slot of this hash, or the free one where it would go. Two keys of one 64-bit hash are one. */
static uint32_t slot_of(const pnx__shadow *shadow, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & shadow->mask;
    while (shadow->index[at] != 0 && shadow->nodes[shadow->index[at] - 1].hash != hash)
        at = (at + 1) & shadow->mask;
    return at;
}

/* Linear probing without tombstones: what follows moves up (Knuth, TAOCP 3, 6.4, algorithm R). */
static void unindex(pnx__shadow *shadow, uint64_t hash)
{
    uint32_t hole = slot_of(shadow, hash);
    for (uint32_t at = hole;;) {
        shadow->index[hole] = 0;
        uint32_t home;
        do {
            at = (at + 1) & shadow->mask;
            if (shadow->index[at] == 0)
                return;
            home = (uint32_t)shadow->nodes[shadow->index[at] - 1].hash & shadow->mask;
        } while (((at - home) & shadow->mask) < ((at - hole) & shadow->mask));
        shadow->index[hole] = shadow->index[at];
        hole = at;
    }
}

static void evict(pnx__shadow *shadow)
{
    pnx__node *node = pnx__blend_evict(&shadow->blend);
    if (!node)
        return;
    unindex(shadow, node->hash);
    pnx__list_push_front(&shadow->free, &node->link);
}

static pnx__node *node_new(pnx__shadow *shadow)
{
    pnx__list *link = pnx__list_pop_front(&shadow->free);
    if (link)
        return pnx__node_of(link);
    if (shadow->used < shadow->limit)
        return &shadow->nodes[shadow->used++];
    evict(shadow); /* lighter entries than expected: their number bounds it */
    return pnx__node_of(pnx__list_pop_front(&shadow->free));
}

bool pnx__shadow_access(pnx__shadow *shadow, uint64_t hash, uint32_t weight)
{
    const uint16_t found = shadow->index[slot_of(shadow, hash)];
    if (found != 0) {
        pnx__mark(&shadow->nodes[found - 1], PNX__BLEND_MARKS);
        return true;
    }
    pnx__node *node = node_new(shadow);
    node->hash = hash;
    node->weight = weight;
    pnx__uses_set(node, 0);
    shadow->index[slot_of(shadow, hash)] = (uint16_t)(node - shadow->nodes + 1);
    pnx__blend_add(&shadow->blend, node);
    while (shadow->blend.window.weight + shadow->blend.main.weight > shadow->blend.capacity)
        evict(shadow);
    return false;
}

size_t pnx__shadow_memory(const pnx__shadow *shadow)
{
    return shadow->limit * sizeof *shadow->nodes + (shadow->mask + 1) * sizeof *shadow->index +
           pnx__blend_memory(&shadow->blend);
}
