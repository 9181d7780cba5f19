/* SPDX-License-Identifier: MIT */
/*
 * Timers: a hierarchical timing wheel (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels",
 * SOSP 1987), eight levels of 64 buckets, indexed by the highest digit in which the due tick
 * differs from now (as in Ahern's timeout.c). Arming and canceling take constant time; slots are
 * linked by index. Every bucket knows its earliest due time, so that the timekeeper sleeps until
 * something is really due, and never wakes only to move timers from one level to the next.
 *
 * A slot is in the wheel at most once. All functions but pnx__timer_* want the timers lock held.
 */
#include "registry/internal.h"

/* In timer_previous: not a slot but the bucket whose first entry this is; or the list of expired.
 *  */
#define IN_BUCKET 0x80000000u
#define IN_EXPIRED (IN_BUCKET | (PNX__WHEEL_LEVELS * PNX__WHEEL_SLOTS))

void pnx__wheel_init(pnx__wheel *wheel, pnx_time now)
{
    wheel->now = (uint64_t)now >> PNX__TICK_SHIFT;
    wheel->expired = PNX__TIMER_NONE;
    for (unsigned level = 0; level < PNX__WHEEL_LEVELS; level++)
        for (unsigned i = 0; i < PNX__WHEEL_SLOTS; i++)
            wheel->buckets[level][i].head = PNX__TIMER_NONE;
}

bool pnx__wheel_holds(const pnx__slot *slot)
{
    return slot->timer_previous != PNX__TIMER_NONE;
}

/* The first tick that is not before `due`: never early. */
static uint64_t tick_of(pnx_time due)
{
    return ((uint64_t)due + (1u << PNX__TICK_SHIFT) - 1) >> PNX__TICK_SHIFT;
}

static void push(struct pnx_registry *registry, uint32_t *head, uint32_t mark, pnx__slot *slot)
{
    slot->timer_previous = mark;
    slot->timer_next = *head;
    if (*head != PNX__TIMER_NONE)
        pnx__slot_at(registry, *head)->timer_previous = slot->index;
    *head = slot->index;
}

/* Relaxed, as all of it: written under the lock; others only show it. */
static pnx_time due_of(const pnx__slot *slot)
{
    return atomic_load_explicit(&slot->due, memory_order_relaxed);
}

static void insert(struct pnx_registry *registry, pnx__slot *slot)
{
    pnx__wheel *wheel = &registry->wheel;
    const pnx_time due = due_of(slot);
    const uint64_t tick = tick_of(due);
    if (tick <= wheel->now) {
        push(registry, &wheel->expired, IN_EXPIRED, slot);
        return;
    }
    const unsigned highest_bit = 63 - (unsigned)__builtin_clzll(tick ^ wheel->now);
    const unsigned level = highest_bit / PNX__WHEEL_BITS;
    const unsigned at = (unsigned)(tick >> (level * PNX__WHEEL_BITS)) & (PNX__WHEEL_SLOTS - 1);
    const uint64_t bit = 1ull << at;
    if ((wheel->occupied[level] & bit) == 0 || due < wheel->buckets[level][at].earliest)
        wheel->buckets[level][at].earliest = due;
    wheel->occupied[level] |= bit;
    push(registry, &wheel->buckets[level][at].head, IN_BUCKET | (level * PNX__WHEEL_SLOTS + at),
         slot);
}

static void unlink_slot(struct pnx_registry *registry, pnx__slot *slot)
{
    pnx__wheel *wheel = &registry->wheel;
    const uint32_t previous = slot->timer_previous, next = slot->timer_next;
    if (next != PNX__TIMER_NONE)
        pnx__slot_at(registry, next)->timer_previous = previous;
    if ((previous & IN_BUCKET) == 0) {
        pnx__slot_at(registry, previous)->timer_next = next;
    } else if (previous == IN_EXPIRED) {
        wheel->expired = next;
    } else {
        const unsigned level = (previous & ~IN_BUCKET) / PNX__WHEEL_SLOTS;
        const unsigned at = previous % PNX__WHEEL_SLOTS;
        wheel->buckets[level][at].head = next;
        if (next == PNX__TIMER_NONE)
            wheel->occupied[level] &= ~(1ull << at);
    }
    slot->timer_previous = slot->timer_next = PNX__TIMER_NONE;
}

void pnx__wheel_add(struct pnx_registry *registry, pnx__slot *slot, pnx_time due)
{
    /* Far beyond any clock, but within the levels. */
    const pnx_time latest = (pnx_time)1 << (PNX__WHEEL_LEVELS * PNX__WHEEL_BITS + 14);
    due = due < 0 ? 0 : due < latest ? due : latest;
    atomic_store_explicit(&slot->due, due, memory_order_relaxed);
    insert(registry, slot);
    registry->wheel.count++;
}

void pnx__wheel_remove(struct pnx_registry *registry, pnx__slot *slot)
{
    if (!pnx__wheel_holds(slot))
        return;
    unlink_slot(registry, slot);
    atomic_store_explicit(&slot->due, PNX_FOREVER, memory_order_relaxed);
    registry->wheel.count--;
}

/* The first occupied bucket of a level, in time; false: none. */
static bool first_bucket(const pnx__wheel *wheel, unsigned level, unsigned *ret_at,
                         uint64_t *ret_tick)
{
    if (wheel->occupied[level] == 0)
        return false;
    /* All buckets of a level lie ahead of now within one turn of it (insert sees to that). */
    const unsigned shift = level * PNX__WHEEL_BITS;
    const unsigned at = (unsigned)__builtin_ctzll(wheel->occupied[level]);
    const uint64_t turn = shift + PNX__WHEEL_BITS < 64
                              ? wheel->now >> (shift + PNX__WHEEL_BITS) << (shift + PNX__WHEEL_BITS)
                              : 0;
    *ret_at = at;
    *ret_tick = turn | (uint64_t)at << shift;
    return true;
}

/* Moves what is due next, by `tick` at the latest, to the list of the expired: one bucket of it, so
 * that what is due earlier is popped earlier. */
static void advance(struct pnx_registry *registry, uint64_t tick)
{
    pnx__wheel *wheel = &registry->wheel;
    for (;;) {
        unsigned level, at = 0, best_level = 0, best_at = 0;
        uint64_t start, best = UINT64_MAX;
        for (level = 0; level < PNX__WHEEL_LEVELS; level++)
            if (first_bucket(wheel, level, &at, &start) && start < best) {
                best = start;
                best_level = level;
                best_at = at;
            }
        if (best > tick)
            break;
        wheel->now = best;
        uint32_t index = wheel->buckets[best_level][best_at].head;
        wheel->buckets[best_level][best_at].head = PNX__TIMER_NONE;
        wheel->occupied[best_level] &= ~(1ull << best_at);
        while (index != PNX__TIMER_NONE) {
            pnx__slot *slot = pnx__slot_at(registry, index);
            index = slot->timer_next;
            insert(registry, slot);
        }
        if (wheel->expired != PNX__TIMER_NONE)
            return;
    }
    if (tick > wheel->now)
        wheel->now = tick;
}

pnx__slot *pnx__wheel_pop(struct pnx_registry *registry, pnx_time now)
{
    pnx__wheel *wheel = &registry->wheel;
    if (wheel->expired == PNX__TIMER_NONE)
        advance(registry, (uint64_t)now >> PNX__TICK_SHIFT);
    if (wheel->expired == PNX__TIMER_NONE)
        return NULL;
    pnx__slot *slot = pnx__slot_at(registry, wheel->expired);
    pnx__wheel_remove(registry, slot);
    return slot;
}

pnx_time pnx__wheel_next(struct pnx_registry *registry)
{
    pnx__wheel *wheel = &registry->wheel;
    if (wheel->expired != PNX__TIMER_NONE)
        return 0;
    pnx_time next = PNX_FOREVER;
    for (unsigned level = 0; level < PNX__WHEEL_LEVELS; level++) {
        unsigned at;
        uint64_t start;
        /* A cancel may have left `earliest` behind: then we look once too early, find the bucket
         * within reach, and its entries get buckets of their own with exact times. */
        if (first_bucket(wheel, level, &at, &start) && wheel->buckets[level][at].earliest < next)
            next = wheel->buckets[level][at].earliest;
    }
    if (next == PNX_FOREVER)
        return next;
    return (pnx_time)(tick_of(next) << PNX__TICK_SHIFT);
}

/* ---- the slots' side ------------------------------------------------------------------------- */

void pnx__timer_arm(struct pnx_registry *registry, pnx__slot *slot, uint64_t word, pnx_time due)
{
    const uint64_t who = ~(uint64_t)UINT32_MAX | PNX__ATTEMPT | PNX__STATE;
    pthread_mutex_lock(&registry->timers_lock);
    /* Whoever ends the slot moves the word first and takes the timer out after, under this lock: so
     * either we see that it has moved on, or our timer is taken out again. */
    const uint64_t current = atomic_load_explicit(&slot->word, memory_order_acquire);
    const bool meant = (current & who) == (word & who) && (current & PNX__TIMER) != 0;
    if (meant) {
        pnx__wheel_remove(registry, slot);
        pnx__wheel_add(registry, slot, due);
        due = (pnx_time)(tick_of(due_of(slot)) << PNX__TICK_SHIFT);
    }
    pthread_mutex_unlock(&registry->timers_lock);
    if (meant)
        pnx__timekeeper_by(registry, due);
}

void pnx__timer_cancel(struct pnx_registry *registry, pnx__slot *slot)
{
    pthread_mutex_lock(&registry->timers_lock);
    pnx__wheel_remove(registry, slot);
    pthread_mutex_unlock(&registry->timers_lock);
}
