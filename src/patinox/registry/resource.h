/* SPDX-License-Identifier: MIT */
/*
 * The four steps of every resource, inline, because a drop is worth nanoseconds: reserve, arm,
 * take, schedule. Their slow paths are functions elsewhere.
 */
#ifndef PATINOX_REGISTRY_RESOURCE_H
#define PATINOX_REGISTRY_RESOURCE_H

#include "registry/internal.h"

/* ---- queueing: see notify.c for the protocol ------------------------------------------------- */

static inline void pnx__inbox_push(pnx__inbox *inbox, pnx__link *link)
{
    atomic_store_explicit(&link->next, NULL, memory_order_relaxed);
    /* seq_cst: the queuing thread's half of the Dekker pair; releases the slot's fields too. */
    pnx__link *previous = atomic_exchange_explicit(&inbox->tail, link, memory_order_seq_cst);
    /* Release: pairs with the acquire of `next` in inbox_pop (dispatch.c). */
    atomic_store_explicit(&previous->next, link, memory_order_release);
}

/* There may be work: makes sure that a worker looks. */
static inline void pnx__notify(struct pnx_registry *registry)
{
    /* seq_cst: the queuing thread's second half of the Dekker pair. */
    const uint32_t idle = atomic_load_explicit(&registry->idle, memory_order_seq_cst);
    if (PNX_UNLIKELY((idle & (PNX__IDLE_SCANNING | PNX__IDLE_WOKEN)) == 0 ||
                     (idle & PNX__IDLE_INLINE) != 0))
        pnx__notify_slow(registry, idle);
}

/* Puts it in the inbox of its rank and sees to it that somebody comes for it. */
static inline void pnx__queue(struct pnx_registry *registry, pnx__slot *slot, unsigned rank)
{
    pnx__inbox_push(&registry->inboxes[rank], &slot->link);
    pnx__notify(registry);
}

/* The same for what comes back to the queue, and so is not counted by its drop. */
static inline void pnx__requeue(struct pnx_registry *registry, pnx__slot *slot, unsigned rank)
{
    atomic_fetch_add_explicit(&registry->backlog, 1, memory_order_relaxed);
    pnx__queue(registry, slot, rank);
}

/* ---- reserve --------------------------------------------------------------------------------- */

static inline unsigned pnx__kind_hash(const pnx_kind *kind)
{
    return ((uintptr_t)kind >> 6) % PNX__KIND_CACHE;
}

/* Makes a free slot of this thread's a reserved one. */
static inline void pnx__slot_reserve(struct pnx_registry *registry, pnx__thread *thread,
                                     pnx__slot *slot, pnx__kind *kind, const pnx_site *site)
{
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
    word = (word & ~(uint64_t)UINT32_MAX) | (uint64_t)kind->rank << PNX__RANK_SHIFT | PNX_RESERVED;
    if (PNX_UNLIKELY(thread->until_sample-- == 0) && registry->timing != PNX_TIMING_NONE) {
        word |= PNX__SAMPLED;
        thread->until_sample = registry->timing == PNX_TIMING_ALL ? 0 : PNX__SAMPLE_EVERY - 1;
    }
    /* A release fence, here and in pnx__arm: pairs with the acquire fence in read_info. Who reads
     * by an old id one of the fields that follow sees that the generation is over. */
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&slot->kind, kind, memory_order_relaxed);
    atomic_store_explicit(&slot->site, site, memory_order_relaxed);
    atomic_store_explicit(&slot->bytes, 0, memory_order_relaxed);
    /* Release: a reader by id that sees this generation sees its fields. */
    atomic_store_explicit(&slot->word, word, memory_order_release);
}

static inline pnx__slot *pnx__reserve(struct pnx_registry *registry, const pnx_kind *kind,
                                      const pnx_site *site, pnx_status *ret_status, pnx_error *err)
{
    pnx__thread *thread = pnx__thread_cached;
    const unsigned at = pnx__kind_hash(kind);
    /* Relaxed: a reservation that races with the begin of a shutdown is as if it had come before;
     * the thread's registry as in pnx__thread_get. */
    if (PNX_UNLIKELY(thread == NULL || registry == NULL ||
                     atomic_load_explicit(&thread->registry, memory_order_relaxed) != registry ||
                     thread->kinds[at].kind != kind || thread->loaded->count == 0 ||
                     atomic_load_explicit(&registry->intake_closed, memory_order_relaxed) != 0 ||
                     pnx__forked(registry) || registry->backtraces))
        return pnx__reserve_slow(registry, kind, site, ret_status, err);
    pnx__magazine *magazine = thread->loaded;
    pnx__slot *slot = magazine->slots[--magazine->count];
    /* By the time the next but three is taken, its line is here. */
    if (magazine->count >= 4)
        __builtin_prefetch(magazine->slots[magazine->count - 4], 1);
    pnx__slot_reserve(registry, thread, slot, thread->kinds[at].runtime, site);
    *ret_status = PNX_OK;
    return slot;
}

/* ---- arm, take ------------------------------------------------------------------------------- */

static inline void pnx__arm(struct pnx_registry *registry, pnx__slot *slot, uint64_t a, uint64_t b,
                            uint64_t c)
{
    atomic_thread_fence(memory_order_release); /* see pnx__slot_reserve */
    atomic_store_explicit(&slot->value[0], a, memory_order_relaxed);
    atomic_store_explicit(&slot->value[1], b, memory_order_relaxed);
    atomic_store_explicit(&slot->value[2], c, memory_order_relaxed);
    atomic_store_explicit(&slot->created, pnx__tick_time(registry), memory_order_relaxed);
    const uint64_t word =
        pnx__with_state(atomic_load_explicit(&slot->word, memory_order_relaxed), PNX_LIVE);
    pnx__account(pnx__thread_get(registry), pnx__kind_of(slot), PNX__N_ARMED);
    /* Release: from here on others may claim it; they see what was armed. */
    atomic_store_explicit(&slot->word, word, memory_order_release);
    pnx__tell(registry, PNX_EVENT_REGISTERED, slot, word, PNX_OK);
}

static inline bool pnx__take(struct pnx_registry *registry, pnx__slot *slot, uint32_t generation)
{
    pnx__thread *thread = pnx__thread_get(registry);
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
    uint64_t next;
    do {
        if (pnx__generation_of(word) != generation || pnx__state_of(word) != PNX_LIVE)
            return false;
        /* With loose ends it is ours first, and free when they are tied up. */
        next = PNX_LIKELY((word & PNX__LOOSE_ENDS) == 0) ? pnx__freed(word)
                                                         : pnx__with_state(word, PNX_DONE);
    } while (!atomic_compare_exchange_weak_explicit(&slot->word, &word, next, memory_order_acq_rel,
                                                    memory_order_relaxed));
    pnx__epilogue_begin(registry, next);
    pnx__account(thread, pnx__kind_of(slot), PNX__N_TAKEN);
    if (PNX_UNLIKELY((word & PNX__LOOSE_ENDS) != 0)) {
        const pnx__about about = pnx__about_slot(registry, slot, next);
        pnx__finish(registry, thread, slot, &about, next, PNX_ECANCELED);
    } else if (pnx__generation_of(next) != 0) {
        pnx__slot_give(registry, thread, slot);
    }
    return true;
}

/* ---- schedule: LIVE → QUEUED ----------------------------------------------------------------- */

/* False: it was not live any more (`*word` tells what it is). Two halves: the claim, and what the
 * claimer must do next, with no lock held. */
static inline bool pnx__schedule_claim(pnx__slot *slot, uint64_t *word, pnx_reason reason, int rank,
                                       uint64_t flags)
{
    uint64_t next;
    const uint32_t generation = pnx__generation_of(*word);
    do {
        if (pnx__generation_of(*word) != generation)
            return false;
        if ((*word & PNX__TICK) != 0) {
            /* It ticks right now: whoever ends the tick schedules the release. */
            next = pnx__with_reason(*word, reason) | PNX__STOP | flags;
        } else if (pnx__state_of(*word) == PNX_LIVE) {
            next = pnx__with_reason(pnx__with_state(*word, PNX_QUEUED), reason) | flags;
            next = pnx__with_attempt(next, 0) & ~(uint64_t)(PNX__LATE_RUNS | PNX__LATE_MANY);
            if (rank >= 0)
                next = pnx__with_rank(next, (unsigned)rank);
        } else {
            return false;
        }
        /* Acquire: what was armed; release: for whoever runs it. */
    } while (!atomic_compare_exchange_weak_explicit(&slot->word, word, next, memory_order_acq_rel,
                                                    memory_order_relaxed));
    *word = next;
    return true;
}

static inline void pnx__schedule_queue(struct pnx_registry *registry, pnx__thread *thread,
                                       pnx__slot *slot, uint64_t claimed)
{
    if (PNX_UNLIKELY((claimed & PNX__TICK) != 0))
        return;
    pnx__kind *kind = pnx__kind_of(slot);
    pnx__account(thread, kind, PNX__N_SCHEDULED);
    const bool measured = (claimed & PNX__SAMPLED) != 0;
    atomic_store_explicit(&slot->since,
                          measured ? pnx__precise(registry) : pnx__tick_time(registry),
                          memory_order_relaxed);
    if (PNX_UNLIKELY((claimed & PNX__LEAKED) != 0)) {
        pnx__account(thread, kind, PNX__N_LEAKED);
        pnx__tell(registry, PNX_EVENT_LEAKED, slot, claimed, PNX_OK);
    }
    pnx__tell(registry, PNX_EVENT_SCHEDULED, slot, claimed, PNX_OK);
    if (PNX_LIKELY(thread != NULL)) {
        if (PNX_UNLIKELY(++thread->scheduled_unreported >= PNX__BACKLOG_REPORT)) {
            atomic_fetch_add_explicit(&registry->backlog, thread->scheduled_unreported,
                                      memory_order_relaxed);
            thread->scheduled_unreported = 0;
            pnx__queue(registry, slot, pnx__rank_of(claimed));
            pnx__backlog_check(registry, thread);
            return;
        }
    } else {
        atomic_fetch_add_explicit(&registry->backlog, 1, memory_order_relaxed);
    }
    pnx__queue(registry, slot, pnx__rank_of(claimed));
}

static inline bool pnx__schedule(struct pnx_registry *registry, pnx__thread *thread,
                                 pnx__slot *slot, uint64_t *word, pnx_reason reason, int rank,
                                 uint64_t flags)
{
    if (!pnx__schedule_claim(slot, word, reason, rank, flags))
        return false;
    pnx__schedule_queue(registry, thread, slot, *word);
    return true;
}

#endif
