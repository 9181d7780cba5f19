/* SPDX-License-Identifier: MIT */
/**
 * @file policy.h
 * The one face of all eviction policies: which entry goes when there is no room.
 *
 * A policy is sequential: the cache calls it under its writer's lock, one call at a time. Hits
 * reach it in two ways, so that a hit needs no lock:
 *   - *marks*: the reader itself raises node->uses, up to marks_max; the policy looks at it when
 * the node comes up for eviction (CLOCK, SIEVE, S3-FIFO, adaptive);
 *   - *records*: the reader leaves a note, of which some may be lost, and the policy hears of it
 *     later by `hit` (LRU, SLRU, W-TinyLFU, and the sampled keys of adaptive).
 *
 * Nodes are the cache's memory; a policy never frees one. Weights are whatever the capacity counts.
 */
#ifndef PNX_CACHE_POLICY_H
#define PNX_CACHE_POLICY_H

#include "base/list.h"
#include "base/sys.h"
#include <patinox/base.h>
#include <stdatomic.h>

/** The policy's part of an entry. 32 bytes. */
typedef struct pnx__node {
    pnx__list link;
    uint64_t hash; /**< well mixed; set by the cache and never changed */
    uint32_t weight;
    _Atomic uint8_t uses;  /**< hits since the policy last looked, at most marks_max */
    uint8_t segment;       /**< of the policy's own */
    _Atomic uint8_t state; /**< of the cache's own, as is the next */
    uint8_t cause;
} pnx__node;

static inline pnx__node *pnx__node_of(pnx__list *link)
{
    return pnx__container_of(link, pnx__node, link);
}

/** A list that knows its weight: front is the newest. */
typedef struct pnx__segment {
    pnx__list list;
    uint64_t weight;
    uint64_t count;
} pnx__segment;

static inline void pnx__segment_init(pnx__segment *queue)
{
    pnx__list_init(&queue->list);
    queue->weight = 0;
    queue->count = 0;
}
static inline void pnx__segment_push(pnx__segment *queue, pnx__node *node)
{
    pnx__list_push_front(&queue->list, &node->link);
    queue->weight += node->weight;
    queue->count++;
}
static inline void pnx__segment_remove(pnx__segment *queue, pnx__node *node)
{
    pnx__list_remove(&node->link);
    queue->weight -= node->weight;
    queue->count--;
}
/** The oldest; NULL: none. */
static inline pnx__node *pnx__segment_tail(const pnx__segment *queue)
{
    return pnx__list_empty(&queue->list) ? NULL : pnx__node_of(queue->list.previous);
}
/** To the front, without a change of weight. */
static inline void pnx__segment_renew(pnx__segment *queue, pnx__node *node)
{
    pnx__list_remove(&node->link);
    pnx__list_push_front(&queue->list, &node->link);
}

struct pnx__policy;

/** What a policy does. All but `make` take what `make` answered. */
struct pnx__policy_ops {
    const char *name;
    /** NULL: no memory. `entries` is how many nodes there can be; 0: not known. */
    struct pnx__policy *(*make)(uint64_t capacity, uint64_t entries);
    void (*free)(struct pnx__policy *policy);
    /** A new node. Its weight may lift the total above the capacity; `evict` is called then. */
    void (*add)(struct pnx__policy *policy, pnx__node *node);
    /** A hit that was recorded. May be NULL. */
    void (*hit)(struct pnx__policy *policy, pnx__node *node);
    /** Takes a node out that goes for another reason. */
    void (*remove)(struct pnx__policy *policy, pnx__node *node);
    /** Takes out the one that goes next and answers it; NULL: there are none. */
    pnx__node *(*evict)(struct pnx__policy *policy);
    /** The queue that holds it; NULL: none does just now. */
    pnx__segment *(*queue_of)(struct pnx__policy *policy, pnx__node *node);
    /** `node` has taken the place of `old` in its queue. May be NULL. */
    void (*replaced)(struct pnx__policy *policy, pnx__node *old, pnx__node *node);
    /** Another capacity. May be NULL. */
    void (*resize)(struct pnx__policy *policy, uint64_t capacity);
    /** Bytes beyond the nodes. */
    size_t (*memory)(const struct pnx__policy *policy);
    /** What it does at present, for people: "adaptive: window 10 %". May be NULL. */
    const char *(*describe)(const struct pnx__policy *policy);
};

/** What every policy begins with. */
typedef struct pnx__policy {
    const struct pnx__policy_ops *ops;
    uint64_t capacity;
    uint64_t weight; /**< of all nodes: kept by pnx__policy_add and _out */
    uint64_t count;
    uint8_t marks_max; /**< 0: no marks */
    /** Hits of nodes whose pnx__sample is below are recorded. Written under the lock, read by
     *  readers at any time. */
    _Atomic uint64_t record_below;
} pnx__policy;

/** What tables begin with: they grow with what is there. `entries` 0: not known. */
static inline uint64_t pnx__policy_begin(uint64_t entries)
{
    return entries != 0 && entries < 4096 ? entries : 4096;
}

/** A second, independent order of all hashes: picks the sample of the adaptive policy. */
static inline uint64_t pnx__sample(uint64_t hash)
{
    /* The multiplier of a 64-bit LCG: Steele and Vigna, "Computationally easy, spectrally good
     * multipliers", 2021. */
    return hash * UINT64_C(0xd1342543de82ef95);
}

/** All hits. */
#define PNX__RECORD_ALL UINT64_MAX

/** A reader's mark. Lost marks do no harm: two readers at once may count as one. */
static inline void pnx__mark(pnx__node *node, uint8_t most)
{
    /* Relaxed, both: a count that nothing else depends on; pairs with pnx__uses_take. */
    const uint8_t uses = atomic_load_explicit(&node->uses, memory_order_relaxed);
    if (uses < most)
        atomic_store_explicit(&node->uses, (uint8_t)(uses + 1), memory_order_relaxed);
}
/** Relaxed, as above. */
static inline uint8_t pnx__uses(const pnx__node *node)
{
    return atomic_load_explicit(&node->uses, memory_order_relaxed);
}
static inline void pnx__uses_set(pnx__node *node, uint8_t uses)
{
    atomic_store_explicit(&node->uses, uses, memory_order_relaxed);
}

extern const struct pnx__policy_ops pnx__policy_fifo, pnx__policy_lru, pnx__policy_slru,
    pnx__policy_clock, pnx__policy_sieve, pnx__policy_s3fifo, pnx__policy_wtinylfu,
    pnx__policy_adaptive;

/* ---- how the cache calls them ---------------------------------------------------------------- */

static inline void pnx__policy_add(pnx__policy *policy, pnx__node *node)
{
    policy->weight += node->weight;
    policy->count++;
    pnx__uses_set(node, 0);
    policy->ops->add(policy, node);
}
static inline void pnx__policy_remove(pnx__policy *policy, pnx__node *node)
{
    policy->ops->remove(policy, node);
    policy->weight -= node->weight;
    policy->count--;
}
/** A new value of the same key, perhaps of another weight: `node` takes the place of `old`. */
static inline void pnx__policy_replace(pnx__policy *policy, pnx__node *old, pnx__node *node)
{
    pnx__segment *queue = policy->ops->queue_of(policy, old);
    node->segment = old->segment;
    pnx__uses_set(node, pnx__uses(old));
    if (queue) {
        pnx__list_link(&node->link, old->link.previous, old->link.next);
        queue->weight = queue->weight - old->weight + node->weight;
    }
    pnx__list_init(&old->link);
    if (policy->ops->replaced)
        policy->ops->replaced(policy, old, node);
    policy->weight = policy->weight - old->weight + node->weight;
}
static inline pnx__node *pnx__policy_evict(pnx__policy *policy)
{
    pnx__node *node = policy->ops->evict(policy);
    if (node) {
        policy->weight -= node->weight;
        policy->count--;
    }
    return node;
}

#endif
