/* SPDX-License-Identifier: MIT */
/*
 * Dmitry Vyukov's bounded queue (1024cores.net, "Bounded MPMC queue") with one consumer. Each cell
 * has a turn that says what may be done with it. Position p is served by cell p % EVENTS in lap
 * p - p % EVENTS; then
 *
 *     turn            the cell                          is moved on by
 *     lap             is free for event p               the producer whose CAS took `tail` from p
 *     lap + 1         holds event p                     the consumer, when all have seen it
 *     lap + EVENTS    is free for event p + EVENTS      …
 *
 * (Vyukov counts from p instead of the lap; so all cells begin at zero, as fresh pages do.)
 *
 * A producer between its CAS and its publication holds up the events behind its own, for as long as
 * copying 80 bytes takes: nothing in there waits or fails.
 */
#include "monitor/ring.h"

#include "base/sys.h"

_Static_assert((PNX__RING_EVENTS & (PNX__RING_EVENTS - 1)) == 0, "a power of two");

struct cell {
    _Atomic uint64_t turn;
    pnx_event event;
};

/* Aligned by pages (pnx__map); each group of words that are written together has its cache line. */
struct pnx__ring {
    _Alignas(64) _Atomic uint64_t tail;
    _Alignas(64) _Atomic uint64_t lost;
    _Atomic uint64_t told; /* of these: told in the `lost` of a later event */
    _Alignas(64) struct cell cells[PNX__RING_EVENTS];
};

struct pnx__ring *pnx__ring_create(void)
{
    return pnx__map(sizeof(struct pnx__ring));
}

void pnx__ring_destroy(struct pnx__ring *ring)
{
    pnx__unmap(ring, sizeof(*ring));
}

static struct cell *cell_of(struct pnx__ring *ring, uint64_t position)
{
    return &ring->cells[position % PNX__RING_EVENTS];
}

static uint64_t lap_of(uint64_t position)
{
    return position - position % PNX__RING_EVENTS;
}

/* How many were lost that no event has told of; they are told of by this answer. All relaxed: the
 * counters guard nothing. If the CAS fails, the event of another thread tells. */
static unsigned take_untold(struct pnx__ring *ring)
{
    uint64_t told = atomic_load_explicit(&ring->told, memory_order_relaxed);
    uint64_t lost = atomic_load_explicit(&ring->lost, memory_order_relaxed);
    if (PNX_LIKELY(lost <= told)) {
        return 0;
    }
    if (!atomic_compare_exchange_strong_explicit(&ring->told, &told, lost, memory_order_relaxed,
                                                 memory_order_relaxed)) {
        return 0;
    }
    return lost - told < UINT32_MAX ? (unsigned)(lost - told) : UINT32_MAX;
}

bool pnx__ring_push(struct pnx__ring *ring, const pnx_event *event)
{
    /* Relaxed, here and below: only the turn of the cell counts. */
    uint64_t position = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    struct cell *cell;
    for (;;) {
        cell = cell_of(ring, position);
        /* Acquire: who read the cell last is through. Pairs with pnx__ring_free. */
        uint64_t turn = atomic_load_explicit(&cell->turn, memory_order_acquire);
        int64_t ahead = (int64_t)(turn - lap_of(position));
        if (ahead < 0) {
            /* Relaxed: a counter, nothing more. */
            atomic_fetch_add_explicit(&ring->lost, 1, memory_order_relaxed);
            return false;
        }
        if (ahead > 0) {
            position = atomic_load_explicit(&ring->tail, memory_order_relaxed);
            continue;
        }
        /* Release: pairs with pnx__ring_tail, which answers at least position + 1 to whoever
         * knows that this call has been made. */
        if (atomic_compare_exchange_weak_explicit(&ring->tail, &position, position + 1,
                                                  memory_order_release, memory_order_relaxed)) {
            break;
        }
    }

    cell->event = *event;
    cell->event.lost = take_untold(ring);
    /* Seq_cst: as a release it pairs with pnx__ring_peek; its place in the total order is for the
     * caller's look at the sleeper's flag. */
    atomic_store_explicit(&cell->turn, lap_of(position) + 1, memory_order_seq_cst);
    return true;
}

uint64_t pnx__ring_tail(const struct pnx__ring *ring)
{
    /* Acquire: pairs with the CAS in pnx__ring_push. */
    return atomic_load_explicit(&ring->tail, memory_order_acquire);
}

uint64_t pnx__ring_lost(const struct pnx__ring *ring)
{
    /* Relaxed: a counter, nothing more. */
    return atomic_load_explicit(&ring->lost, memory_order_relaxed);
}

const pnx_event *pnx__ring_peek(struct pnx__ring *ring, uint64_t position)
{
    struct cell *cell = cell_of(ring, position);
    /* Seq_cst: as an acquire it pairs with the publication in pnx__ring_push. */
    uint64_t turn = atomic_load_explicit(&cell->turn, memory_order_seq_cst);
    return turn == lap_of(position) + 1 ? &cell->event : NULL;
}

void pnx__ring_free(struct pnx__ring *ring, uint64_t position)
{
    /* Release: the event has been read. Pairs with the load of the turn in pnx__ring_push. */
    atomic_store_explicit(&cell_of(ring, position)->turn, lap_of(position) + PNX__RING_EVENTS,
                          memory_order_release);
}
