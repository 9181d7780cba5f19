/* SPDX-License-Identifier: MIT */
/**
 * @file release.h
 * The release that every contender runs: it counts, and does what the workload asked for. Since any
 * thread may run releases (workers, droppers that help), each counts on a cache line of its own.
 */
#ifndef BENCH_CORE_RELEASE_H
#define BENCH_CORE_RELEASE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum release_mode {
    RELEASE_TRIVIAL, /**< only counts */
    RELEASE_STAMPED, /**< tells when it started: release_stamp() */
    RELEASE_SLOW,    /**< takes 20 us of CPU time */
    RELEASE_GATED,   /**< waits until release_open_gate() */
};

struct release_tally {
    _Alignas(64) atomic_size_t count;
};

extern _Thread_local struct release_tally *release_tally_of_thread;
extern atomic_int release_mode_now;

struct release_tally *release_tally_new(void);
void release_as_asked(int mode);

/** Gives one thing back. */
static inline void release_thing(void *thing)
{
    (void)thing;
    /* Relaxed: the mode changes only while nothing is pending. */
    const int mode = atomic_load_explicit(&release_mode_now, memory_order_relaxed);
    if (__builtin_expect(mode != RELEASE_TRIVIAL, 0))
        release_as_asked(mode);
    struct release_tally *tally = release_tally_of_thread;
    if (__builtin_expect(!tally, 0))
        tally = release_tally_new();
    const size_t count = atomic_load_explicit(&tally->count, memory_order_relaxed);
    /* Release: pairs with the acquire in releases_done(). One writer, so no read-modify-write. */
    atomic_store_explicit(&tally->count, count + 1, memory_order_release);
}

/** The thing of the `index`-th drop: never NULL, never read. */
static inline void *thing_of(size_t index)
{
    return (void *)(uintptr_t)(index + 1);
}

void release_set_mode(enum release_mode mode);
/** How many releases have ended so far. */
size_t releases_done(void);
/** Waits until so many have ended since the program began; gives up after half a minute. */
void releases_wait(size_t count);
/** When the last RELEASE_STAMPED started; waits for it. Clears the stamp. */
uint64_t release_stamp(void);
/** Waits until a release waits at the gate. */
void release_wait_at_gate(void);
void release_open_gate(void);

#endif
