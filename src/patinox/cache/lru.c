/* SPDX-License-Identifier: MIT */
/* Least recently used: every hit that is recorded moves its node to the front. */
#include "cache/policy.h"

struct lru {
    pnx__policy base;
    pnx__segment queue;
};

static struct pnx__policy *lru_make(uint64_t capacity, uint64_t entries)
{
    struct lru *lru = pnx__alloc(sizeof *lru);
    if (!lru)
        return NULL;
    lru->base = (pnx__policy){
        .ops = &pnx__policy_lru, .capacity = capacity, .record_below = PNX__RECORD_ALL};
    pnx__segment_init(&lru->queue);
    return &lru->base;
}

static void lru_free(struct pnx__policy *policy)
{
    pnx__free(policy);
}

static void lru_add(struct pnx__policy *policy, pnx__node *node)
{
    pnx__segment_push(&((struct lru *)policy)->queue, node);
}

static void lru_hit(struct pnx__policy *policy, pnx__node *node)
{
    pnx__segment_renew(&((struct lru *)policy)->queue, node);
}

static void lru_remove(struct pnx__policy *policy, pnx__node *node)
{
    pnx__segment_remove(&((struct lru *)policy)->queue, node);
}

static pnx__node *lru_evict(struct pnx__policy *policy)
{
    struct lru *lru = (struct lru *)policy;
    pnx__node *node = pnx__segment_tail(&lru->queue);
    if (node)
        pnx__segment_remove(&lru->queue, node);
    return node;
}

static pnx__segment *lru_queue_of(struct pnx__policy *policy, pnx__node *node)
{
    return &((struct lru *)policy)->queue;
}

static size_t lru_memory(const struct pnx__policy *policy)
{
    return sizeof(struct lru);
}

const struct pnx__policy_ops pnx__policy_lru = {
    .name = "lru",
    .make = lru_make,
    .free = lru_free,
    .add = lru_add,
    .hit = lru_hit,
    .remove = lru_remove,
    .evict = lru_evict,
    .queue_of = lru_queue_of,
    .memory = lru_memory,
};
