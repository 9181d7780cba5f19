/* SPDX-License-Identifier: MIT */
/*
 * The hub brings events from the threads where they happen to the monitors that want them. A
 * registry owns one. What it promises, and why that holds, is in README.md of this room.
 *
 * The public pnx_monitor_attach and pnx_monitor_detach are the registry's: they only call
 * pnx__hub_attach and pnx__hub_detach.
 */
#ifndef PNX_MONITOR_HUB_H
#define PNX_MONITOR_HUB_H

#include "base/list.h"
#include "base/sys.h"
#include "monitor/probes.h"
#include "monitor/ring.h"

struct pnx__hub {
    _Atomic uint32_t listening; /* monitors that want events; see pnx__hub_active */
    uint32_t epoch;             /* of the process that made it (base/fork.h) */
    bool manual;
    _Atomic(struct pnx__ring *) ring; /* made by the first attach, freed by destroy */
    _Atomic uint32_t nap;             /* enum nap in hub.c; the delivery thread's futex */
    _Atomic uint32_t progress;        /* counts up when waiters shall look; their futex */

    /* Belongs to `lock`, which is held for moments only and never while a monitor runs. */
    pthread_mutex_t lock;
    pnx__list monitors;
    uint64_t head;   /* position of the event that is, or will be, delivered */
    bool delivering; /* somebody does, namely `deliverer` */
    pthread_t deliverer;
    struct pnx_monitor *running; /* the one whose callback runs now */
    unsigned waiters;
    uint64_t awaited; /* the lowest position that a waiter waits for; UINT64_MAX: none */
    bool stopping;
    bool threaded; /* `thread` is there to deliver */
    bool ended;    /* `ended_thread` has left, and is to be joined */
    pthread_t thread, ended_thread;
};

/**
 * Makes a hub that nobody listens to: no thread and no ring yet. `manual`: there never is a thread,
 * pnx__hub_deliver delivers. NULL: no memory.
 */
PNX_MUST_CHECK struct pnx__hub *pnx__hub_create(bool manual);

/**
 * Delivers what is left, ends the thread, and frees the hub and all monitors that are still
 * attached. Nobody may emit any more. PNX_ETIMEOUT: a monitor did not return before `deadline`; the
 * hub stays valid, but takes no monitors any more; destroy it later, or never. PNX_EDEADLOCK from
 * inside a monitor. NULL is fine. In a fork child it only frees memory.
 */
pnx_status pnx__hub_destroy(struct pnx__hub *hub, pnx_time deadline);

/**
 * Does anybody want events, a monitor or a tracer? Two loads, so that an event that nobody wants
 * costs half a nanosecond, and nothing is computed for it.
 * Relaxed: pairs with nothing. Who acts on the answer goes through pnx__hub_emit, which acquires
 * the ring; an event that races with an attach may be missed, as if it had come before it.
 */
static inline bool pnx__hub_active(const struct pnx__hub *hub)
{
    return PNX_UNLIKELY(pnx__traced() ||
                        atomic_load_explicit(&hub->listening, memory_order_relaxed) != 0);
}

/**
 * Hands a copy of `event` to the monitors; its `lost` is filled in. Any thread, also from inside
 * releases and monitors. Never allocates, never waits; when the ring is full the event is lost and
 * counted. Events of one thread stay in order. In a fork child it does nothing.
 */
void pnx__hub_emit(struct pnx__hub *hub, const pnx_event *event);

/** Events lost since the hub was made. Any thread. */
uint64_t pnx__hub_lost(const struct pnx__hub *hub);

/**
 * Waits until every event that was emitted before the call has been delivered. Where there is no
 * thread to do it, the caller delivers, however long that takes. PNX_ETIMEOUT; PNX_EDEADLOCK from
 * inside a monitor; PNX_EFORKED.
 */
pnx_status pnx__hub_flush(struct pnx__hub *hub, pnx_time deadline);

/**
 * Delivers the events that are there now in the calling thread, and returns how many. 0 if the hub
 * has a thread, or somebody delivers already, perhaps this very thread further up its stack.
 */
size_t pnx__hub_deliver(struct pnx__hub *hub);

/** Is the calling thread inside a monitor of this hub? */
bool pnx__hub_inside(struct pnx__hub *hub);

/**
 * Attaches a monitor: it sees every event that is emitted after this returns, and none from before
 * the call. From anywhere, also from inside a monitor. PNX_EINVAL (no function), PNX_ENOMEM,
 * PNX_EFAILED (no thread), PNX_ESHUTDOWN, PNX_EFORKED: then nothing was changed.
 */
PNX_MUST_CHECK pnx_status pnx__hub_attach(struct pnx__hub *hub, pnx_monitor_fn function,
                                          void *context, pnx_monitor **ret, pnx_error *err);

/**
 * Detaches and frees it after it has seen every event so far; when this returns PNX_OK the monitor
 * does not run and never will. Waits for as long as the monitors take. PNX_EDEADLOCK from inside a
 * monitor, PNX_EFORKED: then it stays attached. NULL is fine.
 */
pnx_status pnx__hub_detach(pnx_monitor *monitor);

#endif
