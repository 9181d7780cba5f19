/* SPDX-License-Identifier: MIT */
/**
 * @file workloads.h
 * All workloads of the core bench. What each of their rows means, and its target: subject.toml.
 */
#ifndef BENCH_CORE_WORKLOADS_H
#define BENCH_CORE_WORKLOADS_H

#include "common/bench.h"

/* workloads_worker.c */
extern const struct bench_workload workload_drop;
extern const struct bench_workload workload_drop_flood;
extern const struct bench_workload workload_end_to_end_1;
extern const struct bench_workload workload_end_to_end_2;
extern const struct bench_workload workload_registry_path;
extern const struct bench_workload workload_burst;
extern const struct bench_workload workload_idle_drop;
extern const struct bench_workload workload_idle_wakeups;
extern const struct bench_workload workload_shutdown_trivial;
extern const struct bench_workload workload_shutdown_slow;

/* workloads_table.c */
extern const struct bench_workload workload_lookup_1;
extern const struct bench_workload workload_lookup_2;
extern const struct bench_workload workload_lookup_2_writes;
extern const struct bench_workload workload_replace;
extern const struct bench_workload workload_memory;

/* workloads_other.c */
extern const struct bench_workload workload_scope;
extern const struct bench_workload workload_life;
extern const struct bench_workload workload_clock;
extern const struct bench_workload workload_timers;
extern const struct bench_workload workload_timer_wakeups;

#endif
