/* SPDX-License-Identifier: MIT */
/*
 * The workloads: hits on resident keys, Zipf reads of which a sixth miss, three reads to a write,
 * memory. Keys are drawn before the clock runs, by the same generator as in CaffeineBench.java.
 */
#include "common/clock.h"
#include "common/machine.h"
#include "common/parallel.h"
#include "peer.h"

#include <math.h>
#include <stdlib.h>

#define CAPACITY 100000
#define KEYS_READ 1000000
#define KEYS_HIT CAPACITY
#define DRAWN (1u << 20) /* requests, which each thread goes through again and again */
#define SKEW 0.99
#define BULK 1024
#define WORK_NS ((uint64_t)250 * NS_PER_MS)
#define MEMORY_ENTRIES 1000000

static uint64_t mix64(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

/* Ranks by Zipf, as Gray et al., "Quickly generating billion-record synthetic databases", 1994. */
static uint64_t *draw(uint64_t keys)
{
    uint64_t *drawn = malloc(DRAWN * sizeof *drawn);
    uint64_t state = 1;
    double zeta = 0;
    if (!drawn)
        bench_give_up("no memory");
    for (uint64_t i = 1; i <= keys; i++)
        zeta += 1 / pow((double)i, SKEW);
    const double alpha = 1 / (1 - SKEW), zeta2 = 1 + pow(0.5, SKEW);
    const double eta = (1 - pow(2.0 / (double)keys, 1 - SKEW)) / (1 - zeta2 / zeta);
    for (size_t i = 0; i < DRAWN; i++) {
        state += UINT64_C(0x9e3779b97f4a7c15);
        const double u = (double)(mix64(state) >> 11) * 0x1p-53;
        const double uz = u * zeta;
        uint64_t rank;
        if (uz < 1)
            rank = 0;
        else if (uz < zeta2)
            rank = 1;
        else
            rank = (uint64_t)((double)keys * pow(eta * u - eta + 1, alpha));
        drawn[i] = rank >= keys ? keys - 1 : rank;
    }
    return drawn;
}

struct run {
    const struct cache_operations *cache;
    uint64_t *drawn;
    bool mixes;
    size_t done[PARALLEL_MAX];
    size_t hits[PARALLEL_MAX];
};

static void begin(void *context, unsigned index)
{
    const struct run *run = context;
    if (run->cache->thread_begin)
        run->cache->thread_begin();
}

static void end(void *context, unsigned index)
{
    const struct run *run = context;
    if (run->cache->thread_end)
        run->cache->thread_end();
}

static void work(void *context, unsigned index)
{
    struct run *run = context;
    const uint64_t until = now_ns() + WORK_NS;
    size_t at = index * (DRAWN / PARALLEL_MAX), done = 0, hits = 0;
    while (now_ns() < until) {
        if (run->mixes)
            run->cache->mix(run->drawn + at, BULK);
        else
            hits += run->cache->get(run->drawn + at, BULK);
        at = (at + BULK) % DRAWN;
        done += BULK;
    }
    run->done[index] = done;
    run->hits[index] = hits;
}

/* Fills it as use would: a get for each, a put for what missed. */
static void fill(const struct run *run, uint64_t keys)
{
    if (keys <= CAPACITY) {
        for (uint64_t key = 0; key < keys; key++)
            run->cache->put(&key, 1);
        return;
    }
    for (size_t i = 0; i < DRAWN; i++)
        if (run->cache->get(&run->drawn[i], 1) == 0)
            run->cache->put(&run->drawn[i], 1);
}

/* What an operation takes a thread, on the average of the threads. */
static double measure(const void *contender, uint64_t keys, unsigned threads, bool mixes)
{
    struct run run = {.cache = contender, .drawn = draw(keys), .mixes = mixes};
    const struct parallel_job job = {begin, work, end, &run};
    double total = 0;
    begin(&run, 0);
    run.cache->open(CAPACITY);
    fill(&run, keys);
    const struct parallel_times times = run_parallel(threads, &job);
    for (unsigned i = 0; i < threads; i++)
        total += (double)times.worked_ns[i] / (double)run.done[i];
    if (!mixes && keys <= CAPACITY && run.hits[0] < run.done[0] / 100 * 99)
        bench_give_up("only %zu of %zu reads of resident keys hit", run.hits[0], run.done[0]);
    run.cache->close();
    end(&run, 0);
    free(run.drawn);
    return total / threads;
}

static void hit_1(const void *contender, double values[])
{
    values[0] = measure(contender, KEYS_HIT, 1, false);
}
static void hit_2(const void *contender, double values[])
{
    values[0] = measure(contender, KEYS_HIT, 2, false);
}
static void read_1(const void *contender, double values[])
{
    values[0] = measure(contender, KEYS_READ, 1, false);
}
static void read_2(const void *contender, double values[])
{
    values[0] = measure(contender, KEYS_READ, 2, false);
}
static void mix_1(const void *contender, double values[])
{
    values[0] = measure(contender, KEYS_READ, 1, true);
}
static void mix_2(const void *contender, double values[])
{
    values[0] = measure(contender, KEYS_READ, 2, true);
}

static void memory(const void *contender, double values[])
{
    const struct cache_operations *cache = contender;
    if (cache->thread_begin)
        cache->thread_begin();
    const uint64_t before = machine_resident_bytes();
    cache->open(MEMORY_ENTRIES);
    for (uint64_t key = 0; key < MEMORY_ENTRIES; key++)
        cache->put(&key, 1);
    values[0] = (double)(machine_resident_bytes() - before) / MEMORY_ENTRIES;
    cache->close();
    if (cache->thread_end)
        cache->thread_end();
}

static bool always(const void *contender)
{
    return true;
}

#define TIMED(function, key)                                                                       \
    static const struct bench_workload workload_##function = {                                     \
        .name = key, .rows = {{key, "ns"}}, .can = always, .run = function}
TIMED(hit_1, "cache-hit-1");
TIMED(hit_2, "cache-hit-2");
TIMED(read_1, "cache-read-1");
TIMED(read_2, "cache-read-2");
TIMED(mix_1, "cache-mix-1");
TIMED(mix_2, "cache-mix-2");
static const struct bench_workload workload_memory = {.name = "cache-memory",
                                                      .rows = {{"cache-memory", "B"}},
                                                      .once = true,
                                                      .can = always,
                                                      .run = memory};

static const struct bench_workload *const workloads[] = {
    &workload_hit_1, &workload_hit_2, &workload_read_1, &workload_read_2,
    &workload_mix_1, &workload_mix_2, &workload_memory, NULL,
};

int cache_main(int argc, char **argv, const struct bench_contender *contenders)
{
    return bench_main(argc, argv,
                      &(struct bench_program){
                          .subject = "cache",
                          .workloads = workloads,
                          .contenders = contenders,
                      });
}
