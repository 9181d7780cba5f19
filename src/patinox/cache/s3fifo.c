/* SPDX-License-Identifier: MIT */
/*
 * S3-FIFO: a small queue of 10 % filters what is used once; what was used more, or comes back soon,
 * goes to the main queue, which gives another round for each use, up to three. Yang, Zhang, Qiu,
 * Yue and Rashmi, "FIFO queues are all you need for cache eviction", SOSP 2023.
 */
#include "cache/ghost.h"
#include "cache/policy.h"

enum { SMALL, MAIN };
#define SMALL_SHARE 10 /* one in so many: the paper's */
#define USES_MAX 3     /* the paper's: two bits */
#define MOVE_AT 2      /* uses in the small queue that lead to the main one: the authors' code */

struct s3fifo {
    pnx__policy base;
    pnx__segment small, large;
    pnx__ghost ghost;
};

static struct pnx__policy *s3fifo_make(uint64_t capacity, uint64_t entries)
{
    struct s3fifo *s3 = pnx__alloc(sizeof *s3);
    if (!s3 || !pnx__ghost_init(&s3->ghost, pnx__policy_begin(entries))) {
        pnx__free(s3);
        return NULL;
    }
    s3->base =
        (pnx__policy){.ops = &pnx__policy_s3fifo, .capacity = capacity, .marks_max = USES_MAX};
    pnx__segment_init(&s3->small);
    pnx__segment_init(&s3->large);
    return &s3->base;
}

static void s3fifo_free(struct pnx__policy *policy)
{
    if (!policy)
        return;
    pnx__ghost_done(&((struct s3fifo *)policy)->ghost);
    pnx__free(policy);
}

static void put_in(struct s3fifo *s3, pnx__node *node, uint8_t segment)
{
    node->segment = segment;
    pnx__segment_push(segment == MAIN ? &s3->large : &s3->small, node);
}

static void s3fifo_add(struct pnx__policy *policy, pnx__node *node)
{
    struct s3fifo *s3 = (struct s3fifo *)policy;
    pnx__ghost_fit(&s3->ghost, policy->count);
    /* As many as the main queue has room for: the paper's. */
    const uint64_t length = policy->count - policy->count / SMALL_SHARE;
    put_in(s3, node, pnx__ghost_take(&s3->ghost, node->hash, length) ? MAIN : SMALL);
}

static void s3fifo_remove(struct pnx__policy *policy, pnx__node *node)
{
    struct s3fifo *s3 = (struct s3fifo *)policy;
    pnx__segment_remove(node->segment == MAIN ? &s3->large : &s3->small, node);
}

static pnx__node *evict_small(struct s3fifo *s3)
{
    for (pnx__node *node; (node = pnx__segment_tail(&s3->small)) != NULL;) {
        pnx__segment_remove(&s3->small, node);
        if (pnx__uses(node) < MOVE_AT) {
            pnx__ghost_add(&s3->ghost, node->hash);
            return node;
        }
        pnx__uses_set(node, 0);
        put_in(s3, node, MAIN);
    }
    return NULL;
}

static pnx__node *evict_main(struct s3fifo *s3)
{
    /* As many rounds as there can be uses are enough, however fast readers mark again. */
    for (uint64_t i = 0;; i++) {
        pnx__node *node = pnx__segment_tail(&s3->large);
        if (!node)
            return NULL;
        const uint8_t uses = pnx__uses(node);
        if (uses == 0 || i >= USES_MAX * s3->large.count) {
            pnx__segment_remove(&s3->large, node);
            return node;
        }
        pnx__uses_set(node, uses - 1);
        pnx__segment_renew(&s3->large, node);
    }
}

static pnx__node *s3fifo_evict(struct pnx__policy *policy)
{
    struct s3fifo *s3 = (struct s3fifo *)policy;
    pnx__node *node = NULL;
    if (s3->small.weight > policy->capacity / SMALL_SHARE || s3->large.count == 0)
        node = evict_small(s3);
    if (!node)
        node = evict_main(s3);
    return node ? node : evict_small(s3);
}

static pnx__segment *s3fifo_queue_of(struct pnx__policy *policy, pnx__node *node)
{
    struct s3fifo *s3 = (struct s3fifo *)policy;
    return node->segment == MAIN ? &s3->large : &s3->small;
}

static size_t s3fifo_memory(const struct pnx__policy *policy)
{
    return sizeof(struct s3fifo) + pnx__ghost_memory(&((const struct s3fifo *)policy)->ghost);
}

const struct pnx__policy_ops pnx__policy_s3fifo = {
    .name = "s3-fifo",
    .make = s3fifo_make,
    .free = s3fifo_free,
    .add = s3fifo_add,
    .remove = s3fifo_remove,
    .evict = s3fifo_evict,
    .queue_of = s3fifo_queue_of,
    .memory = s3fifo_memory,
};
