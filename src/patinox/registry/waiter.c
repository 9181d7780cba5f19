/* SPDX-License-Identifier: MIT */
/*
 * Waiting for what becomes of one resource. A waiter lives on the stack of who waits and is entered
 * under the dispatch lock, under which the end of the resource is told to all of them; so neither
 * the waiter nor the slot can vanish under the other.
 */
#include "registry/internal.h"

bool pnx__waiter_add(struct pnx_registry *registry, pnx__slot *slot, uint32_t generation,
                     pnx__waiter *waiter)
{
    bool added = false;
    pthread_mutex_lock(&registry->dispatch);
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    while (pnx__generation_of(word) == generation && pnx__state_of(word) >= PNX_LIVE &&
           pnx__state_of(word) <= PNX_WAITING) {
        /* Release: whoever ends it sees the flag by his compare and swap, then takes the lock. */
        if (atomic_compare_exchange_weak_explicit(&slot->word, &word, word | PNX__WAITED,
                                                  memory_order_acq_rel, memory_order_acquire)) {
            waiter->next = slot->waiters;
            slot->waiters = waiter;
            added = true;
            break;
        }
    }
    pthread_mutex_unlock(&registry->dispatch);
    return added;
}

void pnx__waiter_remove(struct pnx_registry *registry, pnx__slot *slot, pnx__waiter *waiter)
{
    pthread_mutex_lock(&registry->dispatch);
    for (pnx__waiter **link = &slot->waiters; *link != NULL; link = &(*link)->next)
        if (*link == waiter) {
            *link = waiter->next;
            break;
        }
    pthread_mutex_unlock(&registry->dispatch);
}

void pnx__waiters_end(pnx__slot *slot, pnx_status status, bool abandoned)
{
    pnx__waiter *waiter = slot->waiters;
    slot->waiters = NULL;
    while (waiter != NULL) {
        pnx__waiter *next = waiter->next; /* the waiter is gone once it sees `ended` */
        waiter->status = abandoned ? PNX_EABANDONED : status;
        /* Release: pairs with the acquire in pnx__waiter_wait. */
        atomic_store_explicit(&waiter->ended, 1, memory_order_release);
        pnx__futex_wake(&waiter->ended, 1);
        waiter = next;
    }
}

pnx_status pnx__waiter_wait(struct pnx_registry *registry, pnx__slot *slot, pnx__waiter *waiter,
                            pnx_time deadline)
{
    /* Acquire: pairs with the release in pnx__waiters_end. */
    while (atomic_load_explicit(&waiter->ended, memory_order_acquire) == 0) {
        if (deadline != PNX_FOREVER && pnx__precise(registry) >= deadline) {
            pnx__waiter_remove(registry, slot, waiter);
            if (atomic_load_explicit(&waiter->ended, memory_order_acquire) != 0)
                break; /* it ended in the last moment */
            return PNX_ETIMEOUT;
        }
        pnx__futex_wait(&waiter->ended, 0, deadline);
    }
    return waiter->status;
}
