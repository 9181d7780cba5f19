/* SPDX-License-Identifier: MIT */
/**
 * @file noise.h
 * Was the machine ours while we measured? A turn is noisy when others used more than 5 % of a CPU
 * meanwhile (10 % in latency rows, which take longer than they work). The research that the targets
 * come from also asked whether our threads had waited for a CPU; but that figure is gone with a
 * thread that ends, and workers end. So this says "noisy" sometimes when no harm was done.
 *
 * It sees this machine only: what the host of a virtual machine does to it shows as steal time at
 * best. And it sees ticks of 10 ms, so a turn must take some hundred milliseconds.
 */
#ifndef BENCH_NOISE_H
#define BENCH_NOISE_H

#include <stdbool.h>
#include <stdint.h>

struct noise {
    uint64_t time_ns;
    uint64_t busy_ns;     /**< all CPUs, for anybody, and what the host took from us */
    uint64_t own_busy_ns; /**< all CPUs, for this process and its dead children */
};

struct noise noise_now(void);
bool noise_since(const struct noise *before, bool latency);

#endif
