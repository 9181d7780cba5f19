/* SPDX-License-Identifier: MIT */
/*
 * W-TinyLFU: an LRU window of 1 % in front of a segmented LRU; what leaves the window gets in only
 * if it was seen more often than what would have to go. Einziger, Friedman and Manes, "TinyLFU: a
 * highly efficient cache admission policy", ACM TOS 13(4), 2017. The window is fixed here, as in
 * the paper; one that adapts is part of the adaptive policy.
 */
#include "cache/policy.h"
#include "cache/sketch.h"

enum { WINDOW, PROBATION, PROTECTED, SEGMENTS };
#define WINDOW_SHARE 100 /* one in so many: the paper's */

struct wtinylfu {
    pnx__policy base;
    pnx__segment segments[SEGMENTS];
    pnx__sketch sketch;
};

static struct pnx__policy *wtinylfu_make(uint64_t capacity, uint64_t entries)
{
    struct wtinylfu *lfu = pnx__alloc(sizeof *lfu);
    if (!lfu || !pnx__sketch_init(&lfu->sketch, pnx__policy_begin(entries))) {
        pnx__free(lfu);
        return NULL;
    }
    lfu->base = (pnx__policy){
        .ops = &pnx__policy_wtinylfu, .capacity = capacity, .record_below = PNX__RECORD_ALL};
    for (unsigned i = 0; i < SEGMENTS; i++)
        pnx__segment_init(&lfu->segments[i]);
    return &lfu->base;
}

static void wtinylfu_free(struct pnx__policy *policy)
{
    if (!policy)
        return;
    pnx__sketch_done(&((struct wtinylfu *)policy)->sketch);
    pnx__free(policy);
}

static void move_to(struct wtinylfu *lfu, pnx__node *node, uint8_t segment)
{
    pnx__segment_remove(&lfu->segments[node->segment], node);
    node->segment = segment;
    pnx__segment_push(&lfu->segments[segment], node);
}

static void wtinylfu_add(struct pnx__policy *policy, pnx__node *node)
{
    struct wtinylfu *lfu = (struct wtinylfu *)policy;
    pnx__sketch_fit(&lfu->sketch, policy->count);
    pnx__sketch_add(&lfu->sketch, node->hash, 1);
    node->segment = WINDOW;
    pnx__segment_push(&lfu->segments[WINDOW], node);
}

static void wtinylfu_hit(struct pnx__policy *policy, pnx__node *node)
{
    struct wtinylfu *lfu = (struct wtinylfu *)policy;
    pnx__sketch_add(&lfu->sketch, node->hash, 1);
    if (node->segment != PROBATION) {
        pnx__segment_renew(&lfu->segments[node->segment], node);
        return;
    }
    move_to(lfu, node, PROTECTED);
    pnx__segment *kept = &lfu->segments[PROTECTED];
    while (kept->weight > policy->capacity / 5 * 4 && kept->count > 1)
        move_to(lfu, pnx__segment_tail(kept), PROBATION);
}

static void wtinylfu_remove(struct pnx__policy *policy, pnx__node *node)
{
    pnx__segment_remove(&((struct wtinylfu *)policy)->segments[node->segment], node);
}

static pnx__node *wtinylfu_evict(struct pnx__policy *policy)
{
    struct wtinylfu *lfu = (struct wtinylfu *)policy;
    pnx__segment *window = &lfu->segments[WINDOW];
    uint64_t room = policy->capacity / WINDOW_SHARE;
    room = room ? room : 1;
    for (;;) {
        pnx__node *candidate = window->weight > room ? pnx__segment_tail(window) : NULL;
        pnx__node *victim = pnx__segment_tail(&lfu->segments[PROBATION]);
        if (!victim)
            victim = pnx__segment_tail(&lfu->segments[PROTECTED]);
        pnx__node *loser = candidate ? candidate : victim;
        if (candidate &&
            policy->weight - window->weight + candidate->weight <= policy->capacity - room) {
            move_to(lfu, candidate, PROBATION); /* the main part is not full yet */
            continue;
        }
        if (candidate && victim &&
            pnx__sketch_get(&lfu->sketch, candidate->hash) >
                pnx__sketch_get(&lfu->sketch, victim->hash)) {
            move_to(lfu, candidate, PROBATION);
            loser = victim;
        }
        if (!loser)
            loser = pnx__segment_tail(window);
        if (loser)
            wtinylfu_remove(policy, loser);
        return loser;
    }
}

static pnx__segment *wtinylfu_queue_of(struct pnx__policy *policy, pnx__node *node)
{
    return &((struct wtinylfu *)policy)->segments[node->segment];
}

static size_t wtinylfu_memory(const struct pnx__policy *policy)
{
    return sizeof(struct wtinylfu) + pnx__sketch_memory(&((const struct wtinylfu *)policy)->sketch);
}

const struct pnx__policy_ops pnx__policy_wtinylfu = {
    .name = "w-tinylfu",
    .make = wtinylfu_make,
    .free = wtinylfu_free,
    .add = wtinylfu_add,
    .hit = wtinylfu_hit,
    .remove = wtinylfu_remove,
    .evict = wtinylfu_evict,
    .queue_of = wtinylfu_queue_of,
    .memory = wtinylfu_memory,
};
