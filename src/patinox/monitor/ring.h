/* SPDX-License-Identifier: MIT */
/*
 * The bounded ring of events between those who emit (any number of threads) and the one who
 * delivers. It never waits and never allocates; when it is full, events are lost and counted.
 *
 * Positions count events from 0 for ever: 64 bits do not wrap.
 */
#ifndef PNX_MONITOR_RING_H
#define PNX_MONITOR_RING_H

#include <patinox/monitor.h>

/*
 * How many events fit. The delivery thread may nap for 200 µs (hub.c), in which two cores at their
 * fastest emit about 4000 events; the ring is 352 KiB of pages that cost nothing until touched.
 */
#define PNX__RING_EVENTS 4096u

struct pnx__ring;

/** NULL: no memory. */
PNX_MUST_CHECK struct pnx__ring *pnx__ring_create(void);
/** NULL is fine. */
void pnx__ring_destroy(struct pnx__ring *ring);

/**
 * Puts a copy of `event` in; its `lost` says how many were lost since the last one that told.
 * False: the ring is full, and one more is lost. Any thread. The publication of an event is
 * seq_cst: the caller may look at a sleeper's flag afterwards (see hub.c).
 */
bool pnx__ring_push(struct pnx__ring *ring, const pnx_event *event);

/** The position of the next event. What was pushed before the call, as the caller knows it, is
 *  below it. */
uint64_t pnx__ring_tail(const struct pnx__ring *ring);

/** How many events were lost, ever. */
uint64_t pnx__ring_lost(const struct pnx__ring *ring);

/**
 * The event at `position`, which is the oldest that was not freed; NULL: it is not there yet. Valid
 * until freed. One thread at a time. Seq_cst, see pnx__ring_push.
 */
const pnx_event *pnx__ring_peek(struct pnx__ring *ring, uint64_t position);
/** Makes room: the event at `position`, which was peeked, has been seen. */
void pnx__ring_free(struct pnx__ring *ring, uint64_t position);

#endif
