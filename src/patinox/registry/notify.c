/* SPDX-License-Identifier: MIT */
/*
 * The inbox, and waking workers only when needed.
 *
 * An inbox is Vyukov's intrusive multi-producer single-consumer queue (1024cores.net, "Intrusive
 * MPSC node-based queue"): a push is one exchange and one store; the consumer is whoever holds the
 * dispatch lock. Between the exchange and the store the new end is in sight but not yet reachable:
 * the consumer then looks again instead of sleeping.
 *
 * The idle word counts workers: those that sleep; those that scan, that is, will look into the
 * inboxes again before they sleep; and calls that no sleeper has answered yet. The rules that lose
 * no wake-up, checked by tests/model/wake.pml:
 *   - Who queues: push (seq_cst), then read the idle word (seq_cst). If anybody scans or is called,
 *     done. Else, if somebody sleeps, turn one sleeper into a call by compare and swap, and wake
 *     one.
 *   - Who goes to sleep: turn itself from scanning to sleeping, then look once more (seq_cst). It
 *     goes on only by answering a call, whoever's, or, if it saw something, by stepping back from
 *     sleeping. Those between the two are always as many as sleepers and calls together.
 *   - Who stops scanning for another reason looks once more too, and calls somebody if need be.
 * Either the queuing thread sees the sleeper, or the sleeper sees what was queued (Dekker). The
 * look counts a push between its two steps as something: the looker then yields until it is whole,
 * instead of making every push pay for a second full barrier.
 */
#include "registry/resource.h"

/* ---- inbox ----------------------------------------------------------------------------------- */

void pnx__inbox_init(pnx__inbox *inbox)
{
    atomic_store_explicit(&inbox->stub.next, NULL, memory_order_relaxed);
    atomic_store_explicit(&inbox->tail, &inbox->stub, memory_order_relaxed);
    atomic_store_explicit(&inbox->head, &inbox->stub, memory_order_relaxed);
}

static inline bool inbox_visible(const pnx__inbox *inbox)
{
    /* seq_cst: the sleeper's half of the Dekker pair. The tail alone is not enough: the consumer
     * may have put the stub behind the last links. */
    return atomic_load_explicit(&inbox->tail, memory_order_seq_cst) != &inbox->stub ||
           atomic_load_explicit(&inbox->head, memory_order_seq_cst) != &inbox->stub;
}

bool pnx__work_visible(struct pnx_registry *registry)
{
    for (unsigned rank = 0; rank < PNX_PRIORITY_COUNT; rank++)
        if (inbox_visible(&registry->inboxes[rank]))
            return true;
    return atomic_load_explicit(&registry->front_count, memory_order_seq_cst) != 0;
}

bool pnx__higher_visible(struct pnx_registry *registry, unsigned rank)
{
    if (atomic_load_explicit(&registry->front_count, memory_order_relaxed) != 0)
        return true; /* perhaps: the dispatcher will tell */
    for (unsigned higher = rank + 1; higher < PNX_PRIORITY_COUNT; higher++)
        if (atomic_load_explicit(&registry->inboxes[higher].tail, memory_order_relaxed) !=
            &registry->inboxes[higher].stub)
            return true;
    return false;
}

/* ---- waking ---------------------------------------------------------------------------------- */

/* Calls one sleeper, if nobody looks and somebody sleeps. */
static void call_if_needed(struct pnx_registry *registry)
{
    /* seq_cst: after the push, or the step back from scanning, that led here. */
    uint32_t idle = atomic_load_explicit(&registry->idle, memory_order_seq_cst);
    while ((idle & (PNX__IDLE_SCANNING | PNX__IDLE_WOKEN)) == 0 &&
           (idle & PNX__IDLE_SLEEPING) != 0) {
        if (atomic_compare_exchange_weak_explicit(&registry->idle, &idle,
                                                  idle - 1 + PNX__IDLE_ONE_WOKEN,
                                                  memory_order_seq_cst, memory_order_seq_cst)) {
            pnx__futex_wake(&registry->idle, 1);
            return;
        }
    }
}

void pnx__notify_slow(struct pnx_registry *registry, uint32_t idle)
{
    if (PNX_UNLIKELY((idle & PNX__IDLE_INLINE) != 0) && !pnx__runs_nothing)
        pnx__drain_inline(registry);
    else if (!registry->manual)
        call_if_needed(registry);
    else if (registry->config.wake != NULL)
        registry->config.wake(registry->config.wake_context);
}

void pnx__scanning_leave(struct pnx_registry *registry)
{
    atomic_fetch_sub_explicit(&registry->idle, PNX__IDLE_ONE_SCANNING, memory_order_seq_cst);
    /* What was queued while we still counted as scanning has called nobody. */
    if (pnx__work_visible(registry))
        call_if_needed(registry);
}

void pnx__scanning_enter(struct pnx_registry *registry)
{
    atomic_fetch_add_explicit(&registry->idle, PNX__IDLE_ONE_SCANNING, memory_order_seq_cst);
}

void pnx__worker_sleep(struct pnx_registry *registry)
{
    /* For tests: what is queued right here calls nobody, and only the look below can find it. */
    (void)pnx__fails(PNX__FAULT_SLEEP);
    atomic_fetch_sub_explicit(&registry->idle, PNX__IDLE_ONE_SCANNING - 1, memory_order_seq_cst);
    const bool work = pnx__work_visible(registry);
    uint32_t idle = atomic_load_explicit(&registry->idle, memory_order_seq_cst);
    for (;;) {
        uint32_t next;
        if ((idle & PNX__IDLE_WOKEN) != 0) {
            next = idle - PNX__IDLE_ONE_WOKEN + PNX__IDLE_ONE_SCANNING;
        } else if (work || (idle & PNX__IDLE_STOP) != 0) {
            /* To stop, everybody must get up: another one may have answered the call that was meant
             * for us. It is told in the very word that we sleep on, so that it cannot be missed. */
            next = idle - 1 + PNX__IDLE_ONE_SCANNING;
        } else {
            pnx__futex_wait(&registry->idle, idle, PNX_FOREVER);
            idle = atomic_load_explicit(&registry->idle, memory_order_seq_cst);
            continue;
        }
        if (atomic_compare_exchange_weak_explicit(&registry->idle, &idle, next,
                                                  memory_order_seq_cst, memory_order_seq_cst))
            return;
    }
}

void pnx__wake_all(struct pnx_registry *registry)
{
    uint32_t idle = atomic_load_explicit(&registry->idle, memory_order_seq_cst);
    uint32_t sleeping;
    do {
        sleeping = idle & PNX__IDLE_SLEEPING;
        if (sleeping == 0)
            return;
    } while (!atomic_compare_exchange_weak_explicit(
        &registry->idle, &idle, idle - sleeping + sleeping * PNX__IDLE_ONE_WOKEN,
        memory_order_seq_cst, memory_order_seq_cst));
    pnx__futex_wake(&registry->idle, sleeping);
}

/* ---- waiting for quiet ----------------------------------------------------------------------- */

pnx_status pnx__wait_quiet(struct pnx_registry *registry, pnx_time deadline)
{
    pnx_status status = PNX_OK;
    /* seq_cst: pairs with the load in pnx__quiet_check. */
    atomic_fetch_add_explicit(&registry->quiet_waiters, 1, memory_order_seq_cst);
    for (;;) {
        uint32_t word = atomic_load_explicit(&registry->quiet_word, memory_order_seq_cst);
        if (pnx__outstanding(registry) == 0)
            break;
        if (pnx__precise(registry) >= deadline) {
            status = PNX_ETIMEOUT;
            break;
        }
        pnx__futex_wait(&registry->quiet_word, word, deadline);
    }
    atomic_fetch_sub_explicit(&registry->quiet_waiters, 1, memory_order_seq_cst);
    return status;
}
