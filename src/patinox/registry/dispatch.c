/* SPDX-License-Identifier: MIT */
/*
 * Who runs next. All of it under the dispatch lock, whose holder is the one consumer of the
 * inboxes.
 *
 * For each rank there is an inbox, and in front of it a list of slots that are older: taken out
 * before and given back. A slot whose kind is at its concurrency limit is parked with the kind and
 * comes to the front list when another one of the kind has ended. So equal ranks are first in,
 * first out, except for what a limit holds back.
 */
#include "registry/resource.h"

#include <sched.h>

/* ---- lists of slots, through their links ----------------------------------------------------- */

static void list_push_back(pnx__list_of_slots *list, pnx__slot *slot)
{
    atomic_store_explicit(&slot->link.next, NULL, memory_order_relaxed);
    if (list->last != NULL)
        atomic_store_explicit(&list->last->link.next, &slot->link, memory_order_relaxed);
    else
        list->first = slot;
    list->last = slot;
}

static void list_push_front(pnx__list_of_slots *list, pnx__slot *slot)
{
    atomic_store_explicit(&slot->link.next, list->first != NULL ? &list->first->link : NULL,
                          memory_order_relaxed);
    list->first = slot;
    if (list->last == NULL)
        list->last = slot;
}

static pnx__slot *list_pop(pnx__list_of_slots *list)
{
    pnx__slot *slot = list->first;
    if (slot == NULL)
        return NULL;
    pnx__link *next = atomic_load_explicit(&slot->link.next, memory_order_relaxed);
    list->first = next != NULL ? pnx__slot_of_link(next) : NULL;
    if (list->first == NULL)
        list->last = NULL;
    return slot;
}

static void front_push(struct pnx_registry *registry, pnx__slot *slot, unsigned rank)
{
    list_push_front(&registry->front[rank], slot);
    atomic_fetch_add_explicit(&registry->front_count, 1, memory_order_seq_cst);
}

/* ---- the consumer's end of an inbox ---------------------------------------------------------- */

/* The first link that can be reached, without taking it; NULL: none (yet). */
static pnx__link *inbox_peek(pnx__inbox *inbox)
{
    pnx__link *head = atomic_load_explicit(&inbox->head, memory_order_relaxed);
    if (head != &inbox->stub)
        return head;
    /* Acquire: pairs with the release in pnx__inbox_push. */
    return atomic_load_explicit(&head->next, memory_order_acquire);
}

static pnx__link *inbox_pop(pnx__inbox *inbox)
{
    pnx__link *head = atomic_load_explicit(&inbox->head, memory_order_relaxed);
    /* Acquire, here and below: pairs with the release in pnx__inbox_push. */
    pnx__link *next = atomic_load_explicit(&head->next, memory_order_acquire);
    if (head == &inbox->stub) {
        if (next == NULL)
            return NULL;
        atomic_store_explicit(&inbox->head, next, memory_order_relaxed);
        head = next;
        next = atomic_load_explicit(&head->next, memory_order_acquire);
    }
    if (next == NULL) {
        /* The last one, as far as can be seen: put the stub behind it, so that it may leave. */
        if (atomic_load_explicit(&inbox->tail, memory_order_acquire) != head)
            return NULL; /* a push is between its two steps */
        atomic_store_explicit(&inbox->stub.next, NULL, memory_order_relaxed);
        pnx__link *previous =
            atomic_exchange_explicit(&inbox->tail, &inbox->stub, memory_order_acq_rel);
        atomic_store_explicit(&previous->next, &inbox->stub, memory_order_release);
        next = atomic_load_explicit(&head->next, memory_order_acquire);
        if (next == NULL)
            return NULL;
    }
    atomic_store_explicit(&inbox->head, next, memory_order_relaxed);
    return head;
}

/* ---- one rank -------------------------------------------------------------------------------- */

static pnx__slot *rank_peek(struct pnx_registry *registry, unsigned rank)
{
    if (registry->front[rank].first != NULL)
        return registry->front[rank].first;
    pnx__link *link = inbox_peek(&registry->inboxes[rank]);
    return link != NULL ? pnx__slot_of_link(link) : NULL;
}

static pnx__slot *rank_pop(struct pnx_registry *registry, unsigned rank)
{
    pnx__slot *slot = list_pop(&registry->front[rank]);
    if (slot != NULL) {
        atomic_fetch_sub_explicit(&registry->front_count, 1, memory_order_relaxed);
        return slot;
    }
    pnx__link *link = inbox_pop(&registry->inboxes[rank]);
    return link != NULL ? pnx__slot_of_link(link) : NULL;
}

static pnx_time waiting_since(const pnx__slot *slot)
{
    return atomic_load_explicit(&slot->since, memory_order_relaxed);
}

/* A slot counts one rank more for each starvation limit that it has waited. */
static int64_t level_of(const struct pnx_registry *registry, const pnx__slot *slot, int rank,
                        pnx_time now)
{
    const pnx_duration waited = now - waiting_since(slot);
    return waited < registry->config.starvation_limit
               ? rank
               : rank + waited / registry->config.starvation_limit;
}

/* The rank to serve: the one with the highest level. All of them rise as they wait, so that after a
 * stall, when everything has waited long, the priorities are what they were; of two that tie, the
 * one that rose further is older, and goes first. */
static int rank_choose(struct pnx_registry *registry, pnx_time now)
{
    int best = -1;
    int64_t best_level = 0;
    pnx__slot *first = NULL;
    for (int rank = PNX_PRIORITY_COUNT - 1; rank >= 0; rank--) {
        pnx__slot *slot = rank_peek(registry, (unsigned)rank);
        if (slot == NULL)
            continue;
        if (best < 0) {
            best = rank;
            first = slot; /* its level only matters if it is not alone */
            continue;
        }
        if (first != NULL)
            best_level = level_of(registry, first, best, now);
        first = NULL;
        const int64_t level = level_of(registry, slot, rank, now);
        if (level >= best_level) {
            best = rank;
            best_level = level;
        }
    }
    return best;
}

/* ---- concurrency limits ---------------------------------------------------------------------- */

static bool is_capped(const struct pnx_registry *registry, const pnx__kind *kind)
{
    return kind->cap != UINT32_MAX ||
           ((kind->flags & PNX_BLOCKING) != 0 && registry->blocking_cap != UINT32_MAX);
}

static bool may_run(const struct pnx_registry *registry, const pnx__kind *kind)
{
    return kind->running < kind->cap && ((kind->flags & PNX_BLOCKING) == 0 ||
                                         registry->blocking_running < registry->blocking_cap);
}

static bool was_parked(const pnx__slot *slot)
{
    return (atomic_load_explicit(&slot->word, memory_order_relaxed) & PNX__PARKED) != 0;
}

/* Before the first one that was parked after it, or never. */
static void list_insert(pnx__list_of_slots *list, pnx__slot *slot)
{
    pnx__slot *before = NULL, *at = list->first;
    while (at != NULL && was_parked(at) && waiting_since(at) < waiting_since(slot)) {
        before = at;
        pnx__link *next = atomic_load_explicit(&at->link.next, memory_order_relaxed);
        at = next != NULL ? pnx__slot_of_link(next) : NULL;
    }
    if (at == NULL) {
        list_push_back(list, slot);
    } else if (before == NULL) {
        list_push_front(list, slot);
    } else {
        atomic_store_explicit(&slot->link.next, &at->link, memory_order_relaxed);
        atomic_store_explicit(&before->link.next, &slot->link, memory_order_relaxed);
    }
}

/* The first time it goes behind the others, a nanosecond younger than the last: so that whoever is
 * let go and yet finds no room (a higher priority took it) comes back to its own place. */
static void park(struct pnx_registry *registry, pnx__kind *kind, pnx__slot *slot, unsigned rank)
{
    pnx__list_of_slots *list = &kind->parked[rank];
    if (was_parked(slot)) {
        list_insert(list, slot);
    } else {
        if (waiting_since(slot) <= registry->parked_last)
            atomic_store_explicit(&slot->since, registry->parked_last + 1, memory_order_relaxed);
        registry->parked_last = waiting_since(slot);
        atomic_fetch_or_explicit(&slot->word, PNX__PARKED, memory_order_relaxed);
        list_push_back(list, slot);
    }
    kind->parked_count++;
    registry->parked_total++;
}

static pnx__slot *unpark(struct pnx_registry *registry, pnx__kind *kind, unsigned *ret_rank)
{
    for (int rank = PNX_PRIORITY_COUNT - 1; rank >= 0; rank--) {
        pnx__slot *slot = list_pop(&kind->parked[rank]);
        if (slot == NULL)
            continue;
        kind->parked_count--;
        registry->parked_total--;
        *ret_rank = (unsigned)rank;
        return slot;
    }
    return NULL;
}

/* Counts it in, or parks it. */
static bool admit(struct pnx_registry *registry, pnx__kind *kind, pnx__slot *slot, unsigned rank)
{
    if (!may_run(registry, kind)) {
        park(registry, kind, slot, rank);
        return false;
    }
    kind->running++;
    if ((kind->flags & PNX_BLOCKING) != 0)
        registry->blocking_running++;
    /* Relaxed: whoever runs it has it from us, by the dispatch lock or the worker's own batch. */
    atomic_fetch_or_explicit(&slot->word, PNX__CAPPED, memory_order_relaxed);
    return true;
}

bool pnx__uncap(struct pnx_registry *registry, pnx__kind *kind)
{
    kind->running--;
    if ((kind->flags & PNX_BLOCKING) != 0)
        registry->blocking_running--;
    if (registry->parked_total == 0)
        return false;
    bool some = false;
    uint32_t count = atomic_load_explicit(&registry->kind_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        pnx__kind *other = atomic_load_explicit(&registry->kinds[i], memory_order_acquire);
        /* One each: whoever picks it counts it in, and the next end lets the next one go. */
        if (other->parked_count == 0 || !may_run(registry, other))
            continue;
        unsigned rank = 0;
        pnx__slot *slot = unpark(registry, other, &rank);
        list_insert(&registry->front[rank], slot);
        atomic_fetch_add_explicit(&registry->front_count, 1, memory_order_seq_cst);
        some = true;
    }
    return some;
}

/* ---- picking --------------------------------------------------------------------------------- */

unsigned pnx__pick(struct pnx_registry *registry, pnx__run *runs, unsigned most, pnx_time now)
{
    for (;;) {
        int rank = rank_choose(registry, now);
        if (rank < 0)
            return 0;
        unsigned count = 0;
        while (count < most) {
            pnx__slot *slot = rank_pop(registry, (unsigned)rank);
            if (slot == NULL)
                break;
            pnx__kind *kind = pnx__kind_of(slot);
            if (PNX_UNLIKELY(is_capped(registry, kind)) &&
                !admit(registry, kind, slot, (unsigned)rank))
                continue;
            /* What comes next is on its way into the cache while this one runs. */
            __builtin_prefetch(rank_peek(registry, (unsigned)rank), 1);
            runs[count].slot = slot;
            runs[count].word = atomic_load_explicit(&slot->word, memory_order_relaxed);
            count++;
            /* What was moved once runs alone, so that it is never moved twice: a stalled worker
             * could else take its old entry for the new one. */
            if (PNX_UNLIKELY((runs[count - 1].word & PNX__MOVED) != 0)) {
                if (count == 1)
                    return 1;
                pnx__unpick(registry, &runs[--count], 1);
                return count;
            }
        }
        if (count > 0)
            return count;
        /* All that was popped is parked now, or a push is between its two steps: again, unless
         * there is nothing that can be reached. */
        if (rank_peek(registry, (unsigned)rank) != NULL)
            sched_yield();
    }
}

void pnx__unpick(struct pnx_registry *registry, pnx__run *runs, unsigned count)
{
    while (count > 0) {
        pnx__run *run = &runs[--count];
        uint64_t word = atomic_load_explicit(&run->slot->word, memory_order_relaxed);
        pnx__kind *kind = pnx__kind_of(run->slot);
        if ((word & PNX__CAPPED) != 0) {
            atomic_fetch_and_explicit(&run->slot->word, ~(uint64_t)PNX__CAPPED,
                                      memory_order_relaxed);
            kind->running--;
            if ((kind->flags & PNX_BLOCKING) != 0)
                registry->blocking_running--;
        }
        front_push(registry, run->slot, pnx__rank_of(word));
    }
}

void pnx__rescue(struct pnx_registry *registry, const pnx__run *runs, unsigned count)
{
    while (count > 0) {
        const pnx__run *run = &runs[--count];
        uint64_t word = run->word;
        /* Whoever wins this compare and swap, or the worker's own, has the resource. */
        while ((word ^ run->word) >> PNX__ATTEMPT_SHIFT == 0 && pnx__state_of(word) == PNX_QUEUED &&
               (word & PNX__MOVED) == 0)
            if (atomic_compare_exchange_weak_explicit(&run->slot->word, &word, word | PNX__MOVED,
                                                      memory_order_acq_rel, memory_order_relaxed)) {
                /* Not through the worker's own entry: it compares with what it was given. */
                pnx__run moved = {run->slot, word | PNX__MOVED};
                pnx__unpick(registry, &moved, 1);
                atomic_fetch_add_explicit(&registry->backlog, 1, memory_order_relaxed);
                break;
            }
    }
}

unsigned pnx__pick_quick(struct pnx_registry *registry, pnx__run *runs, unsigned most)
{
    const int rank = rank_choose(registry, pnx__tick_time(registry));
    unsigned count = 0;
    while (rank >= 0 && count < most) {
        pnx__slot *slot = rank_peek(registry, (unsigned)rank);
        if (slot == NULL || (pnx__kind_of(slot)->flags & PNX_QUICK) == 0 ||
            is_capped(registry, pnx__kind_of(slot)))
            break;
        slot = rank_pop(registry, (unsigned)rank);
        if (slot == NULL)
            break;
        runs[count].slot = slot;
        runs[count].word = atomic_load_explicit(&slot->word, memory_order_relaxed);
        count++;
    }
    return count;
}

pnx__slot *pnx__pick_any(struct pnx_registry *registry)
{
    for (int rank = PNX_PRIORITY_COUNT - 1; rank >= 0; rank--) {
        pnx__slot *slot = rank_pop(registry, (unsigned)rank);
        if (slot != NULL)
            return slot;
    }
    uint32_t count = atomic_load_explicit(&registry->kind_count, memory_order_acquire);
    for (uint32_t i = 0; i < count && registry->parked_total > 0; i++) {
        unsigned rank = 0;
        pnx__slot *slot = unpark(
            registry, atomic_load_explicit(&registry->kinds[i], memory_order_acquire), &rank);
        if (slot != NULL)
            return slot;
    }
    return NULL;
}

pnx_time pnx__oldest_queued(struct pnx_registry *registry)
{
    pnx_time oldest = PNX_FOREVER;
    for (unsigned rank = 0; rank < PNX_PRIORITY_COUNT; rank++) {
        pnx__slot *slot = rank_peek(registry, rank);
        if (slot != NULL && waiting_since(slot) < oldest)
            oldest = waiting_since(slot);
    }
    uint32_t count = atomic_load_explicit(&registry->kind_count, memory_order_acquire);
    for (uint32_t i = 0; i < count && registry->parked_total > 0; i++) {
        pnx__kind *kind = atomic_load_explicit(&registry->kinds[i], memory_order_acquire);
        for (unsigned rank = 0; rank < PNX_PRIORITY_COUNT; rank++)
            if (kind->parked[rank].first != NULL &&
                waiting_since(kind->parked[rank].first) < oldest)
                oldest = waiting_since(kind->parked[rank].first);
    }
    return oldest;
}
