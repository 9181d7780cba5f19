/* SPDX-License-Identifier: MIT */
/*
 * Borrow and return: by 1, 2 and 8 threads over 2 things without holding them, and by 8 threads
 * that hold them for 100 us. Time per operation is elapsed time over the operations of all threads.
 */
#include "common/bench.h"
#include "common/clock.h"
#include "common/machine.h"
#include "peer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 2, THREADS_MAX = 8, BULK = 1000 };

#define RUN_NS ((uint64_t)200 * NS_PER_MS)
#define HOLD_NS ((long)100 * NS_PER_US)
#define HOLD_RUN_NS ((uint64_t)2 * NS_PER_S)
#define WAITS_MAX 65536

struct wait {
    uint64_t asked, served; /* when */
};

struct member {
    pthread_t thread;
    const struct pool_operations *operations;
    pthread_barrier_t *start;
    unsigned index;
    uint64_t done;
    struct wait *waits;
};

static _Atomic int stop;

static void begin(struct member *member)
{
    machine_pin_self(member->index % 2 == 0 ? ROLE_PRODUCER : ROLE_WORKER);
    pthread_barrier_wait(member->start);
}

static void *cycle(void *argument)
{
    struct member *member = argument;
    begin(member);
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        member->operations->cycle(BULK);
        member->done += BULK;
    }
    return NULL;
}

static void *hold(void *argument)
{
    struct member *member = argument;
    begin(member);
    while (!atomic_load_explicit(&stop, memory_order_relaxed) && member->done < WAITS_MAX) {
        struct wait *wait = &member->waits[member->done++];
        wait->asked = now_ns();
        void *handle = member->operations->borrow();
        wait->served = now_ns();
        nanosleep(&(struct timespec){.tv_nsec = HOLD_NS}, NULL);
        member->operations->give_back(handle);
    }
    return NULL;
}

/* Runs the threads for a while; how long they took together. */
static uint64_t run(struct member *members, unsigned count, void *(*body)(void *), uint64_t span,
                    const struct pool_operations *operations)
{
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, count + 1);
    atomic_store(&stop, 0);
    operations->open(SIZE);
    for (unsigned i = 0; i < count; i++) {
        members[i].operations = operations;
        members[i].start = &start;
        members[i].index = i;
        if (pthread_create(&members[i].thread, NULL, body, &members[i]) != 0)
            bench_give_up("cannot create a thread");
    }
    pthread_barrier_wait(&start);
    const uint64_t began = now_ns();
    const struct timespec rest = {.tv_sec = (time_t)(span / NS_PER_S),
                                  .tv_nsec = (long)(span % NS_PER_S)};
    nanosleep(&rest, NULL);
    atomic_store(&stop, 1);
    for (unsigned i = 0; i < count; i++)
        pthread_join(members[i].thread, NULL);
    const uint64_t took = now_ns() - began;
    operations->close();
    pthread_barrier_destroy(&start);
    return took;
}

static double jain(const struct member *members, unsigned count)
{
    double sum = 0, squares = 0;
    for (unsigned i = 0; i < count; i++) {
        sum += (double)members[i].done;
        squares += (double)members[i].done * (double)members[i].done;
    }
    return squares > 0 ? sum * sum / (count * squares) : 0;
}

static void run_cycles(const void *contender, unsigned threads, double values[])
{
    struct member members[THREADS_MAX] = {0};
    const uint64_t took = run(members, threads, cycle, RUN_NS, contender);
    uint64_t done = 0;
    for (unsigned i = 0; i < threads; i++)
        done += members[i].done;
    values[0] = (double)took / (double)done;
}

static void cycles_1(const void *contender, double values[])
{
    run_cycles(contender, 1, values);
}

static void cycles_2(const void *contender, double values[])
{
    run_cycles(contender, 2, values);
}

static void cycles_8(const void *contender, double values[])
{
    run_cycles(contender, 8, values);
}

static int by_span(const void *a, const void *b)
{
    const struct wait *left = a, *right = b;
    const uint64_t l = left->served - left->asked, r = right->served - right->asked;
    return l < r ? -1 : l > r;
}

static int by_asked(const void *a, const void *b)
{
    const struct wait *left = a, *right = b;
    return left->asked < right->asked ? -1 : left->asked > right->asked;
}

/* How many, at most, asked after one that waited and were served before it. Who is taken off its
 * CPU just before it queues up, or just after it was served, counts as overtaken, too. */
static uint64_t overtaken(struct wait *waits, size_t count)
{
    uint64_t most = 0;
    qsort(waits, count, sizeof *waits, by_asked);
    for (size_t i = 0; i < count; i++) {
        uint64_t times = 0;
        for (size_t j = i + 1; j < count && waits[j].asked < waits[i].served; j++)
            times += waits[j].served < waits[i].served;
        most = times > most ? times : most;
    }
    return most;
}

static void holds(const void *contender, double values[])
{
    static struct wait all[THREADS_MAX * WAITS_MAX];
    struct member members[THREADS_MAX] = {0};
    for (unsigned i = 0; i < THREADS_MAX; i++)
        members[i].waits = calloc(WAITS_MAX, sizeof(struct wait));
    const uint64_t took = run(members, THREADS_MAX, hold, HOLD_RUN_NS, contender);
    size_t count = 0;
    for (unsigned i = 0; i < THREADS_MAX; i++) {
        memcpy(all + count, members[i].waits, members[i].done * sizeof(struct wait));
        count += members[i].done;
        free(members[i].waits);
    }
    qsort(all, count, sizeof *all, by_span);
    const struct wait *tail = &all[count - 1 - count / 1000]; /* p99.9 */
    values[0] = (double)(tail->served - tail->asked) / NS_PER_MS;
    values[1] = jain(members, THREADS_MAX);
    values[2] = (double)took / (double)count / NS_PER_US;
    values[3] = (double)overtaken(all, count);
}

static bool anybody(const void *contender)
{
    (void)contender;
    return true;
}

static const struct bench_workload workload_1 = {
    .name = "borrow-1", .rows = {{"borrow-1", "ns"}}, .can = anybody, .run = cycles_1};
static const struct bench_workload workload_2 = {
    .name = "borrow-2", .rows = {{"borrow-2", "ns"}}, .can = anybody, .run = cycles_2};
static const struct bench_workload workload_8 = {
    .name = "borrow-8", .rows = {{"borrow-8", "ns"}}, .can = anybody, .run = cycles_8};
static const struct bench_workload workload_hold = {
    .name = "hold-8",
    .rows = {{"hold-p999", "ms"},
             {"hold-jain", "share"},
             {"hold-cycle", "us"},
             {"hold-overtaken", "times"}},
    .once = true,
    .latency = true,
    .can = anybody,
    .run = holds,
};

static const struct bench_workload *const workloads[] = {
    &workload_1, &workload_2, &workload_8, &workload_hold, NULL,
};

int pool_main(int argc, char **argv, const struct bench_contender *contenders)
{
    return bench_main(argc, argv,
                      &(struct bench_program){
                          .subject = "pool",
                          .workloads = workloads,
                          .contenders = contenders,
                      });
}
