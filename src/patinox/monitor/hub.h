/* SPDX-License-Identifier: MIT */
/*
 * The hub brings events from the threads where they happen to the monitors that want them. A
 * registry owns one. Its promises, and what they rest on, are in README.md of this room.
 *
 * The public pnx_monitor_attach and pnx_monitor_detach are the registry's: they only call
 * pnx__hub_attach and pnx__hub_detach.
 */
#ifndef PNX_MONITOR_HUB_H
#define PNX_MONITOR_HUB_H

#include <patinox/monitor.h>
#include <pthread.h>

/*
 * How many events can wait for the monitors. Tuned: a delivery thread that naps (hub.c) keeps up with
 * 20 million events a second, more than the registry can make; 4096 × 88 bytes are 352 KiB, and
 * only registries with a monitor pay for them.
 */
#define PNX__HUB_EVENTS 4096u

struct pnx__hub_cell;

/* Fields are grouped in cache lines by who writes them. */
struct pnx__hub {
    uint32_t listening; /* monitors that want events; in the first word, see pnx__hub_active */
    bool manual;        /* never changes */
    bool foreign;       /* this is a fork child: the hub is its parent's */
    struct pnx__hub_cell *cells; /* made by the first attach, freed by destroy */

    /* Producers. */
    _Alignas(64) uint64_t tail; /* position of the next event to be emitted */
    _Alignas(64) uint64_t lost; /* events that found no free cell */
    uint64_t lost_told;         /* of these: told in the `lost` of a later event */

    /* Delivery; everything below but `nap` belongs to `lock`. */
    _Alignas(64) uint32_t nap;  /* enum nap in hub.c; a futex */
    pthread_mutex_t lock;       /* held for moments, never while a monitor runs */
    pthread_cond_t progress;    /* signalled after each event if somebody waits */
    uint64_t head;              /* position of the next event to be delivered */
    struct pnx_monitor *monitors;
    struct pnx_monitor *running; /* the one that is in its callback now */
    pthread_t deliverer;         /* who delivers, if `delivering` */
    bool delivering;
    bool threaded;  /* `thread` exists and has to be joined */
    bool stopping;
    unsigned waiters;
    pthread_t thread;
};

/**
 * Makes a hub that nobody listens to: no thread and no ring yet. `manual`: there never is a thread,
 * pnx__hub_deliver delivers. NULL: no memory.
 */
struct pnx__hub *pnx__hub_create(bool manual);

/**
 * Delivers what is left, ends the thread and frees the hub with all monitors that are still attached.
 * Nobody may emit any more. PNX_ETIMEOUT: a monitor did not return before `deadline`; the hub stays
 * valid and deaf, to be destroyed later or never. PNX_EDEADLOCK from inside a monitor. NULL is fine.
 */
pnx_status pnx__hub_destroy(struct pnx__hub *hub, pnx_time deadline);

/**
 * Does anybody want events? One load, so that an event that nobody wants costs nothing else.
 * Relaxed: pairs with nothing; whoever acts on the answer goes through pnx__hub_emit, which
 * acquires. An event that races with an attach may be missed, as if it had come before.
 */
static inline bool pnx__hub_active(const struct pnx__hub *hub)
{
    return PNX_UNLIKELY(__atomic_load_n(&hub->listening, __ATOMIC_RELAXED) != 0);
}

/**
 * Hands a copy of `event` to the monitors; its `lost` is filled in. Any thread, also from inside
 * releases and monitors. Never allocates, never waits; when the ring is full the event is lost and
 * counted. Events of one thread stay in order.
 */
void pnx__hub_emit(struct pnx__hub *hub, const pnx_event *event);

/** Events lost since the hub was made. */
uint64_t pnx__hub_lost(const struct pnx__hub *hub);

/**
 * Waits until every event that was emitted before the call was delivered; delivers them itself when
 * there is no thread to do it. PNX_ETIMEOUT; PNX_EDEADLOCK from inside a monitor; PNX_EFORKED.
 */
pnx_status pnx__hub_flush(struct pnx__hub *hub, pnx_time deadline);

/**
 * Manual hubs: delivers the events that are there now in the calling thread, and returns how many.
 * 0 when another thread, or this one further up its stack, is delivering.
 */
size_t pnx__hub_deliver(struct pnx__hub *hub);

/** Is the calling thread inside a monitor of this hub? */
bool pnx__hub_inside(struct pnx__hub *hub);

/**
 * Attaches a monitor: it sees every event that is emitted after this returns, and none from before
 * the call. From anywhere, also from inside a monitor. PNX_ENOMEM, PNX_EFAILED (no thread),
 * PNX_EINVAL (no function), PNX_EFORKED; then nothing was changed.
 */
PNX_MUST_CHECK pnx_status pnx__hub_attach(struct pnx__hub *hub, pnx_monitor_fn function,
                                          void *context, struct pnx_monitor **ret, pnx_error *err);

/**
 * Detaches and frees it after it has seen every event emitted so far; when this returns PNX_OK the
 * monitor does not run and never will. Waits for as long as the monitors take. PNX_EDEADLOCK from
 * inside a monitor; PNX_EFORKED; then it stays attached. NULL is fine.
 */
pnx_status pnx__hub_detach(struct pnx_monitor *monitor);

/**
 * In the child of a fork: from now on the hub drops events and answers PNX_EFORKED, and destroy only
 * frees memory. Async-signal-safe. To be called while the child has one thread.
 */
void pnx__hub_forked(struct pnx__hub *hub);

#endif
