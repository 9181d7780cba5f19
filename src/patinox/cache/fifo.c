/* SPDX-License-Identifier: MIT */
/* First in, first out. A hit costs and changes nothing. */
#include "cache/policy.h"

struct fifo {
    pnx__policy base;
    pnx__segment queue;
};

static struct pnx__policy *fifo_make(uint64_t capacity, uint64_t entries)
{
    struct fifo *fifo = pnx__alloc(sizeof *fifo);
    if (!fifo)
        return NULL;
    fifo->base = (pnx__policy){.ops = &pnx__policy_fifo, .capacity = capacity};
    pnx__segment_init(&fifo->queue);
    return &fifo->base;
}

static void fifo_free(struct pnx__policy *policy)
{
    pnx__free(policy);
}

static void fifo_add(struct pnx__policy *policy, pnx__node *node)
{
    pnx__segment_push(&((struct fifo *)policy)->queue, node);
}

static void fifo_remove(struct pnx__policy *policy, pnx__node *node)
{
    pnx__segment_remove(&((struct fifo *)policy)->queue, node);
}

static pnx__node *fifo_evict(struct pnx__policy *policy)
{
    struct fifo *fifo = (struct fifo *)policy;
    pnx__node *node = pnx__segment_tail(&fifo->queue);
    if (node)
        pnx__segment_remove(&fifo->queue, node);
    return node;
}

static pnx__segment *fifo_queue_of(struct pnx__policy *policy, pnx__node *node)
{
    return &((struct fifo *)policy)->queue;
}

static size_t fifo_memory(const struct pnx__policy *policy)
{
    return sizeof(struct fifo);
}

const struct pnx__policy_ops pnx__policy_fifo = {
    .name = "fifo",
    .make = fifo_make,
    .free = fifo_free,
    .add = fifo_add,
    .remove = fifo_remove,
    .evict = fifo_evict,
    .queue_of = fifo_queue_of,
    .memory = fifo_memory,
};
