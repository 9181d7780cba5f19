/* SPDX-License-Identifier: MIT */
/*
 * SIEVE: a hand moves from old to new through a queue whose nodes never move; it takes the first
 * that was not used since it last passed. Zhang, Yang, Yue, Vigfusson and Rashmi, "SIEVE is simpler
 * than LRU", NSDI 2024. Not for every load: the hand can stay at a fixed distance behind the front
 * and then evicts what is new before its second use (docs/cache-policies.md, corda).
 */
#include "cache/policy.h"

struct sieve {
    pnx__policy base;
    pnx__segment queue;
    pnx__list *hand;   /* the next to look at; the head of the list: begin at the tail */
    pnx__node *newest; /* joins the queue with the next one: the hand must not meet it before */
};

static struct pnx__policy *sieve_make(uint64_t capacity, uint64_t entries)
{
    struct sieve *sieve = pnx__alloc(sizeof *sieve);
    if (!sieve)
        return NULL;
    sieve->base = (pnx__policy){.ops = &pnx__policy_sieve, .capacity = capacity, .marks_max = 1};
    pnx__segment_init(&sieve->queue);
    sieve->hand = &sieve->queue.list;
    return &sieve->base;
}

static void sieve_free(struct pnx__policy *policy)
{
    pnx__free(policy);
}

static void sieve_add(struct pnx__policy *policy, pnx__node *node)
{
    struct sieve *sieve = (struct sieve *)policy;
    if (sieve->newest)
        pnx__segment_push(&sieve->queue, sieve->newest);
    sieve->newest = node;
    pnx__list_init(&node->link);
}

static void sieve_remove(struct pnx__policy *policy, pnx__node *node)
{
    struct sieve *sieve = (struct sieve *)policy;
    if (node == sieve->newest) {
        sieve->newest = NULL;
        return;
    }
    if (sieve->hand == &node->link)
        sieve->hand = node->link.previous;
    pnx__segment_remove(&sieve->queue, node);
}

static pnx__node *sieve_evict(struct pnx__policy *policy)
{
    struct sieve *sieve = (struct sieve *)policy;
    if (sieve->queue.count == 0) {
        pnx__node *last = sieve->newest;
        sieve->newest = NULL;
        return last;
    }
    /* One round is enough, however fast readers mark again. */
    for (uint64_t i = 0;; i++) {
        if (sieve->hand == &sieve->queue.list)
            sieve->hand = sieve->queue.list.previous;
        pnx__node *node = pnx__node_of(sieve->hand);
        if (pnx__uses(node) == 0 || i == sieve->queue.count) {
            sieve_remove(policy, node);
            return node;
        }
        pnx__uses_set(node, 0);
        sieve->hand = sieve->hand->previous;
    }
}

static pnx__segment *sieve_queue_of(struct pnx__policy *policy, pnx__node *node)
{
    struct sieve *sieve = (struct sieve *)policy;
    return node == sieve->newest ? NULL : &sieve->queue;
}

static void sieve_replaced(struct pnx__policy *policy, pnx__node *old, pnx__node *node)
{
    struct sieve *sieve = (struct sieve *)policy;
    if (sieve->newest == old) {
        sieve->newest = node;
        pnx__list_init(&node->link);
    }
    if (sieve->hand == &old->link)
        sieve->hand = &node->link;
}

static size_t sieve_memory(const struct pnx__policy *policy)
{
    return sizeof(struct sieve);
}

const struct pnx__policy_ops pnx__policy_sieve = {
    .name = "sieve",
    .make = sieve_make,
    .free = sieve_free,
    .add = sieve_add,
    .remove = sieve_remove,
    .evict = sieve_evict,
    .queue_of = sieve_queue_of,
    .replaced = sieve_replaced,
    .memory = sieve_memory,
};
