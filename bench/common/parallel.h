/* SPDX-License-Identifier: MIT */
/**
 * @file parallel.h
 * One or two pinned threads that start at the same moment.
 */
#ifndef BENCH_PARALLEL_H
#define BENCH_PARALLEL_H

#include <stdint.h>

#define PARALLEL_MAX 2

/** What a thread does: `prepare` and `finish` (may be NULL) are not timed. */
struct parallel_job {
    void (*prepare)(void *context, unsigned index);
    void (*work)(void *context, unsigned index);
    void (*finish)(void *context, unsigned index);
    void *context;
};

/** When it happened. */
struct parallel_times {
    uint64_t begin_ns;                /**< the earliest begin of a `work` */
    uint64_t worked_ns[PARALLEL_MAX]; /**< how long each `work` took */
};

/** Runs the job on `threads` threads, the first on the producer's CPU, and waits for their end. */
struct parallel_times run_parallel(unsigned threads, const struct parallel_job *job);

#endif
