/* SPDX-License-Identifier: MIT */
/**
 * @file peer.h
 * What a contender of the core bench can do. Each fills in the groups that it has an answer to and
 * leaves the others zero; the workloads (workloads_*.c) are the same for all.
 *
 * Operations come in bulk (`count`) so that the loop is the contender's own and inlined, and the
 * indirect call weighs nothing. All of a group are called by the thread that called its `open`,
 * unless they say "any thread".
 */
#ifndef BENCH_CORE_PEER_H
#define BENCH_CORE_PEER_H

#include "release.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Gives things back on one worker thread. A thing is a pointer; giving it back is release_thing()
 * of release.h. The worker sleeps when it has nothing to do.
 */
struct worker_operations {
    /**
     * Starts the worker. `backlog` things may be pending at a time without a drop being slowed
     * down; 0: whatever the library does if nobody says anything.
     */
    void (*open)(size_t backlog);
    /** Any thread: for `count` things in turn, takes hold of one and lets go of it again. */
    void (*drop)(size_t count);
    /** What a dropping thread still has to run until all is given back; may be NULL. Any thread. */
    void (*settle)(void);
    /** The orderly end, as the library's documentation has it: what the shutdown rows measure. */
    void (*close)(void);
    /** Its worker looks every so often: idle drops are then spread over that time. */
    unsigned poll_ms;
};

/** Identifies an entry of a table; what is in it is the contender's business. */
struct table_id {
    uint64_t high;
    uint64_t low;
};

/** Knows what is alive. An entry has what a leak report needs: kind, time, size, value. */
struct table_operations {
    void (*open)(size_t capacity);
    /** Registers `count` entries and writes their ids. */
    void (*add)(struct table_id *ids, size_t count);
    /** Any thread: looks up ids[order[0 … count)], reads a field of each; how many are there? */
    size_t (*find)(const struct table_id *ids, const uint32_t *order, size_t count);
    /** Any thread: removes one entry and registers another one instead. */
    void (*replace)(struct table_id *id);
    /** The process ends after it. */
    void (*close)(void);
};

/** A million deadlines, far away. Delays are in milliseconds. */
struct timer_operations {
    void (*open)(size_t capacity);
    void (*arm)(const uint64_t *delays_ms, size_t count);
    /** Cancels those that were armed with delays_ms[order[0 … count)]. */
    void (*cancel)(const uint32_t *order, size_t count);
    void (*close)(void);
    /** Threads of its own wait for the deadlines: then their wake-ups are counted. */
    bool has_threads;
};

struct core_operations {
    /** Only creating and dropping. */
    struct worker_operations guard;
    /** With everything a registry does about it: register with kind, time, size and metadata,
     *  schedule, release, account. */
    struct worker_operations registered;
    /** Only waking a thread that sleeps: the floor of the idle rows. */
    struct worker_operations wake;
    struct table_operations table;
    struct timer_operations timer;
    /** Creates and ends a guard `count` times without anything to do in the background. */
    void (*scope)(size_t count);
    /** Creates, drops and releases `count` times, all in the calling thread. */
    void (*life)(size_t count);
    /** Reads a clock `count` times: the floor of everything that knows when it happened. */
    void (*clock)(size_t count);
    /** What the thread that uses the above must do first and last; may be NULL. */
    void (*thread_begin)(void);
    void (*thread_end)(void);
};

struct bench_contender;
/** The main of a program of the core bench; `contenders` ends with one without name. */
int core_main(int argc, char **argv, const struct bench_contender *contenders);

#endif
