/* SPDX-License-Identifier: MIT */
/*
 * CLOCK: first in, first out, but what was used since it last came up gets another round. Corbató,
 * "A paging experiment with the Multics system", 1968. Every node is looked at once per use at
 * most, so an eviction takes constant time on average, and one round at worst.
 */
#include "cache/policy.h"

struct clock {
    pnx__policy base;
    pnx__segment queue;
};

static struct pnx__policy *clock_make(uint64_t capacity, uint64_t entries)
{
    struct clock *clock = pnx__alloc(sizeof *clock);
    if (!clock)
        return NULL;
    clock->base = (pnx__policy){.ops = &pnx__policy_clock, .capacity = capacity, .marks_max = 1};
    pnx__segment_init(&clock->queue);
    return &clock->base;
}

static void clock_free(struct pnx__policy *policy)
{
    pnx__free(policy);
}

static void clock_add(struct pnx__policy *policy, pnx__node *node)
{
    pnx__segment_push(&((struct clock *)policy)->queue, node);
}

static void clock_remove(struct pnx__policy *policy, pnx__node *node)
{
    pnx__segment_remove(&((struct clock *)policy)->queue, node);
}

static pnx__node *clock_evict(struct pnx__policy *policy)
{
    struct clock *clock = (struct clock *)policy;
    /* One round is enough, however fast readers mark again. */
    for (uint64_t i = 0; i <= clock->queue.count; i++) {
        pnx__node *node = pnx__segment_tail(&clock->queue);
        if (!node)
            return NULL;
        if (pnx__uses(node) == 0 || i == clock->queue.count) {
            pnx__segment_remove(&clock->queue, node);
            return node;
        }
        pnx__uses_set(node, 0);
        pnx__segment_renew(&clock->queue, node);
    }
    return NULL;
}

static pnx__segment *clock_queue_of(struct pnx__policy *policy, pnx__node *node)
{
    return &((struct clock *)policy)->queue;
}

static size_t clock_memory(const struct pnx__policy *policy)
{
    return sizeof(struct clock);
}

const struct pnx__policy_ops pnx__policy_clock = {
    .name = "clock",
    .make = clock_make,
    .free = clock_free,
    .add = clock_add,
    .remove = clock_remove,
    .evict = clock_evict,
    .queue_of = clock_queue_of,
    .memory = clock_memory,
};
