/* SPDX-License-Identifier: MIT */
/*
 * Knowing what is alive: look-ups, alone and while others register and remove, and memory.
 */
#include "workloads.h"

#include "common/clock.h"
#include "common/machine.h"
#include "common/parallel.h"
#include "peer.h"

#include <stdlib.h>

#define LIVE 100000
/** 95 % look-ups: one entry is replaced after so many of them. */
#define LOOKUPS_PER_WRITE 19
/** Contenders differ a thousandfold, so threads work for a time, with a look at the clock. */
#define WORK_NS ((uint64_t)50 * NS_PER_MS)
#define LOOKUPS_PER_LOOK_AT_CLOCK 10000
#define WRITES_PER_LOOK_AT_CLOCK 100
/** The entries that one thread replaces; look-ups are for others, whose ids stay valid. */
#define CHURNING 1000
#define REPLACED 200000
#define MEMORY_LIVE 1000000

static bool can_find(const void *contender)
{
    return ((const struct core_operations *)contender)->table.find != NULL;
}

static bool can_add(const void *contender)
{
    return ((const struct core_operations *)contender)->table.add != NULL;
}

struct lookups {
    const struct core_operations *core;
    struct table_id *ids;      /**< LIVE of them, then CHURNING for each thread */
    uint32_t *order;           /**< LIVE random indexes */
    size_t done[PARALLEL_MAX]; /**< operations of each thread */
};

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        bench_give_up("no memory");
    return memory;
}

static void open_lookups(struct lookups *lookups, const struct core_operations *core)
{
    const size_t entries = LIVE + PARALLEL_MAX * CHURNING;
    unsigned random = 1;

    lookups->core = core;
    lookups->ids = allocate(entries, sizeof *lookups->ids);
    lookups->order = allocate(LIVE, sizeof *lookups->order);
    for (size_t i = 0; i < LIVE; i++)
        lookups->order[i] = (uint32_t)rand_r(&random) % LIVE;
    if (core->thread_begin)
        core->thread_begin();
    core->table.open(entries);
    core->table.add(lookups->ids, entries);
}

static void close_lookups(struct lookups *lookups)
{
    lookups->core->table.close();
    if (lookups->core->thread_end)
        lookups->core->thread_end();
    free(lookups->order);
    free(lookups->ids);
}

static void thread_begin(void *context, unsigned index)
{
    const struct lookups *lookups = context;
    if (lookups->core->thread_begin)
        lookups->core->thread_begin();
}

static void thread_end(void *context, unsigned index)
{
    const struct lookups *lookups = context;
    if (lookups->core->thread_end)
        lookups->core->thread_end();
}

static void expect_found(size_t found, size_t wanted)
{
    if (found != wanted)
        bench_give_up("%zu of %zu live entries were not found", wanted - found, wanted);
}

/** Looks up the next `count` entries of the random order. */
static void look_up_next(const struct lookups *lookups, size_t *position, size_t count)
{
    if (*position + count > LIVE)
        *position = 0;
    expect_found(lookups->core->table.find(lookups->ids, lookups->order + *position, count), count);
    *position += count;
}

static void look_up(void *context, unsigned index)
{
    struct lookups *lookups = context;
    const uint64_t end = now_ns() + WORK_NS;
    size_t position = index * (LIVE / PARALLEL_MAX);
    size_t done = 0;

    while (now_ns() < end) {
        look_up_next(lookups, &position, LOOKUPS_PER_LOOK_AT_CLOCK);
        done += LOOKUPS_PER_LOOK_AT_CLOCK;
    }
    lookups->done[index] = done;
}

static void look_up_and_write(void *context, unsigned index)
{
    struct lookups *lookups = context;
    struct table_id *mine = lookups->ids + LIVE + index * CHURNING;
    const uint64_t end = now_ns() + WORK_NS;
    size_t position = index * (LIVE / PARALLEL_MAX);
    size_t writes = 0;

    while (now_ns() < end) {
        for (int i = 0; i < WRITES_PER_LOOK_AT_CLOCK; i++) {
            look_up_next(lookups, &position, LOOKUPS_PER_WRITE);
            lookups->core->table.replace(&mine[writes++ % CHURNING]);
        }
    }
    lookups->done[index] = writes * (LOOKUPS_PER_WRITE + 1);
}

/** What one operation takes a thread, on the average of the threads. */
static double run_lookups(const void *contender, unsigned threads,
                          void (*work)(void *context, unsigned index))
{
    struct lookups lookups;
    double spent = 0;

    open_lookups(&lookups, contender);
    const struct parallel_times times =
        run_parallel(threads, &(struct parallel_job){thread_begin, work, thread_end, &lookups});
    close_lookups(&lookups);
    for (unsigned i = 0; i < threads; i++)
        spent += (double)times.worked_ns[i] / (double)lookups.done[i];
    return spent / threads;
}

static void run_lookup_1(const void *contender, double values[])
{
    values[0] = run_lookups(contender, 1, look_up);
}

static void run_lookup_2(const void *contender, double values[])
{
    values[0] = run_lookups(contender, 2, look_up);
}

static void run_lookup_2_writes(const void *contender, double values[])
{
    values[0] = run_lookups(contender, 2, look_up_and_write);
}

const struct bench_workload workload_lookup_1 = {
    .name = "lookup-1",
    .rows = {{"lookup-1", "ns"}},
    .can = can_find,
    .run = run_lookup_1,
};

const struct bench_workload workload_lookup_2 = {
    .name = "lookup-2",
    .rows = {{"lookup-2", "ns"}},
    .can = can_find,
    .run = run_lookup_2,
};

const struct bench_workload workload_lookup_2_writes = {
    .name = "lookup-2-writes",
    .rows = {{"lookup-2-writes", "ns"}},
    .can = can_find,
    .run = run_lookup_2_writes,
};

static void run_replace(const void *contender, double values[])
{
    struct lookups lookups;

    open_lookups(&lookups, contender);
    const uint64_t start = now_ns();
    for (size_t i = 0; i < REPLACED; i++)
        lookups.core->table.replace(&lookups.ids[lookups.order[i % LIVE]]);
    values[0] = (double)(now_ns() - start) / REPLACED;
    close_lookups(&lookups);
}

const struct bench_workload workload_replace = {
    .name = "replace",
    .rows = {{"replace", "ns"}},
    .can = can_find,
    .run = run_replace,
};

static void run_memory(const void *contender, double values[])
{
    const struct core_operations *core = contender;
    struct table_id *ids = allocate(MEMORY_LIVE, sizeof *ids);

    for (size_t i = 0; i < MEMORY_LIVE; i++)
        ids[i] = (struct table_id){i, i}; /* now its pages are resident */
    if (core->thread_begin)
        core->thread_begin();
    const uint64_t before = machine_resident_bytes();
    core->table.open(MEMORY_LIVE);
    core->table.add(ids, MEMORY_LIVE);
    values[0] = (double)(machine_resident_bytes() - before) / MEMORY_LIVE;
    core->table.close();
    if (core->thread_end)
        core->thread_end();
    free(ids);
}

const struct bench_workload workload_memory = {
    .name = "memory",
    .rows = {{"memory", "B"}},
    .once = true,
    .can = can_add,
    .run = run_memory,
};
