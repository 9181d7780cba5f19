/* SPDX-License-Identifier: MIT */
/**
 * @file clock.h
 * The only clock of the benches. Reading it costs some 20 ns; every workload reads it twice around
 * thousands of operations, or around one that takes microseconds. The same for all contenders.
 */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_US 1000
#define NS_PER_MS 1000000
#define NS_PER_S 1000000000

static inline uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

#endif
