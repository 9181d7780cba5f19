/* SPDX-License-Identifier: MIT */
/**
 * @file bench.h
 * What every bench program is made of: workloads, and contenders that are put through them.
 *
 * A *workload* is one way of making something work, and measures one or more *rows*. A
 * *contender* is ours or a peer. A program holds one or more contenders of one subject; its main
 * is one call of bench_main, which repeats each workload, watches the machine while it runs, and
 * prints one JSON line per row:
 *
 *   {"subject": "core", "metric": "drop", "unit": "ns", "who": "GThreadPool",
 *    "min": 101.2, "median": 114.9, "max": 135.0, "noisy": false}
 *
 * Each process measures little and briefly; `bench/run` interleaves the processes of all contenders
 * in rounds, because figures that were taken minutes apart do not compare.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>

#define BENCH_ROWS_MAX 4

struct bench_row {
    const char *metric; /**< the key of the metric in subject.toml; NULL ends the list */
    const char *unit;
};

struct bench_workload {
    const char *name;
    struct bench_row rows[BENCH_ROWS_MAX + 1];
    /** Needs a fresh process, or takes long: measured once, not repeated and without warm-up. */
    bool once;
    /** Waits more than it works: see noise.h. */
    bool latency;
    /** Can this contender do it? */
    bool (*can)(const void *contender);
    /** One repetition; writes one value for each row. */
    void (*run)(const void *contender, double values[]);
};

struct bench_contender {
    const char *name;    /**< as shown in the tables: "GThreadPool" */
    const char *version; /**< of the library: "GLib 2.74.6" */
    const void *operations;
};

struct bench_program {
    const char *subject;
    const struct bench_workload *const *workloads; /**< ends with NULL */
    const struct bench_contender *contenders;      /**< ends with a contender without name */
};

/**
 * The main of a bench program. Arguments:
 *   --list            one JSON line per contender: its name, version, workloads and their metrics
 *   --repetitions N   of each workload, at least [5]
 *   --who NAME        only this contender [all]
 *   WORKLOAD…         only these [all]
 */
int bench_main(int argc, char **argv, const struct bench_program *program);

/** Ends the program with a message: the measurement makes no sense any more. */
_Noreturn void bench_give_up(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
