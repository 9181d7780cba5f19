/* SPDX-License-Identifier: MIT */
/*
 * Every loop here is bounded by a constant, so that an eviction takes bounded time whatever readers
 * mark meanwhile and however large the cache is.
 */
#include "cache/blend.h"

enum { WINDOW, MAIN };

/* Rounds given per eviction before the next one goes, used or not. 4 in the RARE door, 128
 * elsewhere: over the development traces 1, 4, 16 and no bound at all were within 0.05 points. */
#define ROUNDS_RARE 4
#define ROUNDS_MAX 128
/* Nodes that a wider main queue takes over from the window in one eviction. */
#define MOVES_MAX 16

bool pnx__blend_init(pnx__blend *blend, const pnx__recipe *recipe, bool changes, uint64_t capacity,
                     uint64_t entries)
{
    *blend = (pnx__blend){.recipe = recipe, .capacity = capacity, .main_most = UINT64_MAX};
    pnx__segment_init(&blend->window);
    pnx__segment_init(&blend->main);
    blend->counts = changes || recipe->door == PNX__DOOR_RARE;
    blend->remembers = changes || recipe->door == PNX__DOOR_GHOST;
    const uint64_t begin = pnx__policy_begin(entries);
    if (blend->counts && !pnx__sketch_init(&blend->sketch, begin))
        return false;
    if (blend->remembers && !pnx__ghost_init(&blend->ghost, begin)) {
        if (blend->counts)
            pnx__sketch_done(&blend->sketch);
        return false;
    }
    return true;
}

void pnx__blend_done(pnx__blend *blend)
{
    if (blend->counts)
        pnx__sketch_done(&blend->sketch);
    if (blend->remembers)
        pnx__ghost_done(&blend->ghost);
}

static void put_in(pnx__blend *blend, pnx__node *node, uint8_t segment)
{
    node->segment = segment;
    pnx__segment_push(segment == MAIN ? &blend->main : &blend->window, node);
}

pnx__segment *pnx__blend_queue(pnx__blend *blend, const pnx__node *node)
{
    return node->segment == MAIN ? &blend->main : &blend->window;
}

static void take_out(pnx__blend *blend, pnx__node *node)
{
    pnx__segment_remove(pnx__blend_queue(blend, node), node);
}

/* Its uses so far go into the sketch, and it starts afresh. */
static void settle(pnx__blend *blend, pnx__node *node)
{
    const uint8_t uses = pnx__uses(node);
    if (uses == 0)
        return;
    if (blend->counts)
        pnx__sketch_add(&blend->sketch, node->hash, uses);
    pnx__uses_set(node, 0);
}

static void promote(pnx__blend *blend, pnx__node *node)
{
    settle(blend, node);
    take_out(blend, node);
    put_in(blend, node, MAIN);
}

void pnx__blend_add(pnx__blend *blend, pnx__node *node)
{
    const uint64_t count = blend->window.count + blend->main.count + 1;
    bool back = false;
    if (blend->counts) {
        pnx__sketch_fit(&blend->sketch, count);
        pnx__sketch_add(&blend->sketch, node->hash, 1);
    }
    if (blend->remembers) {
        pnx__ghost_fit(&blend->ghost, count);
        back = pnx__ghost_take(&blend->ghost, node->hash, count);
    }
    put_in(blend, node, back && blend->recipe->door == PNX__DOOR_GHOST ? MAIN : WINDOW);
}

void pnx__blend_remove(pnx__blend *blend, pnx__node *node)
{
    take_out(blend, node);
}

/* The next to go from the main queue, still in it. What was used gets another round. */
static pnx__node *main_victim(pnx__blend *blend, unsigned rounds)
{
    pnx__node *node = pnx__segment_tail(&blend->main);
    for (; node && pnx__uses(node) != 0 && rounds > 0; rounds--) {
        if (blend->recipe->door == PNX__DOOR_GHOST)
            pnx__uses_set(node, pnx__uses(node) - 1);
        else
            settle(blend, node);
        pnx__segment_renew(&blend->main, node);
        node = pnx__segment_tail(&blend->main);
    }
    return node;
}

static pnx__node *leave(pnx__blend *blend, pnx__node *node)
{
    take_out(blend, node);
    if (blend->remembers && node->segment == WINDOW)
        pnx__ghost_add(&blend->ghost, node->hash);
    return node;
}

/* The RARE door: may `newcomer` take the place of `victim`? */
static bool seen_more(const pnx__blend *blend, const pnx__node *newcomer, const pnx__node *victim)
{
    return pnx__sketch_get(&blend->sketch, newcomer->hash) >
           pnx__sketch_get(&blend->sketch, victim->hash) + pnx__uses(victim) + blend->recipe->least;
}

static pnx__node *evict_rare(pnx__blend *blend, uint64_t room)
{
    unsigned rounds = MOVES_MAX, moves = MOVES_MAX;
    pnx__node *newcomer;
    for (;;) {
        newcomer = pnx__segment_tail(&blend->window);
        if (pnx__uses(newcomer) != 0 && rounds > 0) {
            rounds--;
            settle(blend, newcomer);
            pnx__segment_renew(&blend->window, newcomer);
            continue;
        }
        if (blend->main.weight + newcomer->weight > blend->capacity - room || moves == 0)
            break;
        moves--;
        promote(blend, newcomer); /* the main queue is not full yet */
        if (blend->window.count == 0)
            break;
    }
    pnx__node *victim = main_victim(blend, ROUNDS_RARE);
    if (blend->window.count == 0)
        return leave(blend, victim);
    if (!victim || !seen_more(blend, newcomer, victim))
        return leave(blend, newcomer);
    promote(blend, newcomer);
    return leave(blend, victim);
}

static pnx__node *evict_ghost(pnx__blend *blend)
{
    for (unsigned moves = 0; moves < ROUNDS_MAX; moves++) {
        pnx__node *node = pnx__segment_tail(&blend->window);
        if (!node)
            break;
        if (pnx__uses(node) < blend->recipe->least)
            return leave(blend, node);
        promote(blend, node);
    }
    return leave(blend, main_victim(blend, ROUNDS_MAX));
}

static pnx__node *evict_clock(pnx__blend *blend)
{
    for (unsigned rounds = 0;; rounds++) {
        pnx__node *node = pnx__segment_tail(&blend->window);
        if (pnx__uses(node) == 0 || blend->recipe->least == 0 || rounds == ROUNDS_MAX)
            return leave(blend, node);
        settle(blend, node);
        pnx__segment_renew(&blend->window, node);
    }
}

pnx__node *pnx__blend_evict(pnx__blend *blend)
{
    uint64_t room = (blend->capacity * blend->recipe->window + 500) / 1000;
    room = room ? room : 1;
    if (blend->window.count == 0 && blend->main.count == 0)
        return NULL;
    const bool narrow =
        blend->window.count == 0 || (blend->window.weight <= room && blend->main.count != 0);
    if (narrow || blend->main.weight > blend->main_most)
        return leave(blend, main_victim(blend, ROUNDS_MAX));
    switch (blend->recipe->door) {
    case PNX__DOOR_RARE:
        return evict_rare(blend, room);
    case PNX__DOOR_GHOST:
        return evict_ghost(blend);
    default:
        return evict_clock(blend);
    }
}

size_t pnx__blend_memory(const pnx__blend *blend)
{
    return (blend->counts ? pnx__sketch_memory(&blend->sketch) : 0) +
           (blend->remembers ? pnx__ghost_memory(&blend->ghost) : 0);
}
