/* SPDX-License-Identifier: MIT */
/*
 * Segmented LRU: what is hit once in probation is protected, up to 80 % of the capacity; what falls
 * out of there has a second life in probation. Karedla, Love and Wherry, "Caching strategies to
 * improve disk system performance", IEEE Computer 27(3), 1994.
 */
#include "cache/policy.h"

enum { PROBATION, PROTECTED };

struct slru {
    pnx__policy base;
    pnx__segment probation, kept;
};

static struct pnx__policy *slru_make(uint64_t capacity, uint64_t entries)
{
    struct slru *slru = pnx__alloc(sizeof *slru);
    if (!slru)
        return NULL;
    slru->base = (pnx__policy){
        .ops = &pnx__policy_slru, .capacity = capacity, .record_below = PNX__RECORD_ALL};
    pnx__segment_init(&slru->probation);
    pnx__segment_init(&slru->kept);
    return &slru->base;
}

static void slru_free(struct pnx__policy *policy)
{
    pnx__free(policy);
}

static void slru_add(struct pnx__policy *policy, pnx__node *node)
{
    node->segment = PROBATION;
    pnx__segment_push(&((struct slru *)policy)->probation, node);
}

static void slru_hit(struct pnx__policy *policy, pnx__node *node)
{
    struct slru *slru = (struct slru *)policy;
    if (node->segment == PROTECTED) {
        pnx__segment_renew(&slru->kept, node);
        return;
    }
    pnx__segment_remove(&slru->probation, node);
    node->segment = PROTECTED;
    pnx__segment_push(&slru->kept, node);
    while (slru->kept.weight > policy->capacity / 5 * 4 && slru->kept.count > 1) {
        pnx__node *oldest = pnx__segment_tail(&slru->kept);
        pnx__segment_remove(&slru->kept, oldest);
        oldest->segment = PROBATION;
        pnx__segment_push(&slru->probation, oldest);
    }
}

static void slru_remove(struct pnx__policy *policy, pnx__node *node)
{
    struct slru *slru = (struct slru *)policy;
    pnx__segment_remove(node->segment == PROTECTED ? &slru->kept : &slru->probation, node);
}

static pnx__node *slru_evict(struct pnx__policy *policy)
{
    struct slru *slru = (struct slru *)policy;
    pnx__node *node = pnx__segment_tail(&slru->probation);
    if (!node)
        node = pnx__segment_tail(&slru->kept);
    if (node)
        slru_remove(policy, node);
    return node;
}

static pnx__segment *slru_queue_of(struct pnx__policy *policy, pnx__node *node)
{
    struct slru *slru = (struct slru *)policy;
    return node->segment == PROTECTED ? &slru->kept : &slru->probation;
}

static size_t slru_memory(const struct pnx__policy *policy)
{
    return sizeof(struct slru);
}

const struct pnx__policy_ops pnx__policy_slru = {
    .name = "slru",
    .make = slru_make,
    .free = slru_free,
    .add = slru_add,
    .hit = slru_hit,
    .remove = slru_remove,
    .evict = slru_evict,
    .queue_of = slru_queue_of,
    .memory = slru_memory,
};
