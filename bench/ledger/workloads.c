/* SPDX-License-Identifier: MIT */
/*
 * Entries per second: volatile, durable one at a time, durable from 64 threads at the same time,
 * and durable in batches of 64 by one thread; the life of a short session; a look whether the
 * writer lives. On whatever disk /var/tmp is on.
 */
#include "peer.h"

#include "common/bench.h"
#include "common/clock.h"
#include "common/machine.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CALLERS = 64, BATCH = 64, SESSIONS = 50, PROBES = 2000 };

#define RUN_NS ((uint64_t)500 * NS_PER_MS)
/* Of ours this is far from the largest size of a ledger, and of LMDB from that of its map. */
#define VOLATILE_MAX 400000

/* ---- the place ------------------------------------------------------------------------------- */

static char place[64];

static const char *make_place(void)
{
    snprintf(place, sizeof place, "/var/tmp/bench-ledger-XXXXXX");
    if (mkdtemp(place) == NULL)
        bench_give_up("cannot make a directory in /var/tmp");
    return place;
}

void ledger_remove_directory(const char *directory)
{
    DIR *stream = opendir(directory);
    if (stream == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;)
        if (entry->d_name[0] != '.' && unlinkat(dirfd(stream), entry->d_name, 0) != 0)
            unlinkat(dirfd(stream), entry->d_name, AT_REMOVEDIR);
    closedir(stream);
    rmdir(directory);
}

/* ---- by one thread --------------------------------------------------------------------------- */

static double per_second(uint64_t count, uint64_t took)
{
    return (double)count * NS_PER_S / (double)took;
}

static void volatile_entries(const void *contender, double values[])
{
    const struct ledger_operations *operations = contender;
    operations->open(make_place());
    uint64_t count = 0, took = 0;
    const uint64_t began = now_ns();
    while (took < RUN_NS && count < VOLATILE_MAX) {
        operations->append(1000);
        count += 1000;
        took = now_ns() - began;
    }
    operations->close();
    ledger_remove_directory(place);
    values[0] = per_second(count, took);
}

static void durable_entries(const void *contender, double values[])
{
    const struct ledger_operations *operations = contender;
    operations->open(make_place());
    uint64_t count = 0, took = 0;
    const uint64_t began = now_ns();
    for (; took < RUN_NS; took = now_ns() - began, count++)
        operations->append_durable();
    operations->close();
    ledger_remove_directory(place);
    values[0] = per_second(count, took);
}

static void durable_batches(const void *contender, double values[])
{
    const struct ledger_operations *operations = contender;
    operations->open(make_place());
    uint64_t count = 0, took = 0;
    const uint64_t began = now_ns();
    for (; took < RUN_NS; took = now_ns() - began, count += BATCH)
        operations->append_batch(BATCH);
    operations->close();
    ledger_remove_directory(place);
    values[0] = per_second(count, took);
}

/* ---- by many --------------------------------------------------------------------------------- */

struct caller {
    pthread_t thread;
    const struct ledger_operations *operations;
    pthread_barrier_t *start;
    uint64_t done;
};

static _Atomic int stop;

static void *call(void *argument)
{
    struct caller *caller = argument;
    pthread_barrier_wait(caller->start);
    for (; !atomic_load_explicit(&stop, memory_order_relaxed); caller->done++)
        caller->operations->append_durable();
    return NULL;
}

/* Not pinned: most of them wait for the disk. */
static void durable_callers(const void *contender, double values[])
{
    static struct caller callers[CALLERS];
    const struct ledger_operations *operations = contender;
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, CALLERS + 1);
    atomic_store(&stop, 0);
    operations->open(make_place());
    for (unsigned i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){.operations = operations, .start = &start};
        if (pthread_create(&callers[i].thread, NULL, call, &callers[i]) != 0)
            bench_give_up("cannot create a thread");
    }
    pthread_barrier_wait(&start);
    const uint64_t began = now_ns();
    nanosleep(&(struct timespec){.tv_nsec = (long)RUN_NS}, NULL);
    atomic_store(&stop, 1);
    uint64_t count = 0;
    for (unsigned i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
        count += callers[i].done;
    }
    const uint64_t took = now_ns() - began;
    operations->close();
    pthread_barrier_destroy(&start);
    ledger_remove_directory(place);
    values[0] = per_second(count, took);
}

/* ---- a session, a look ----------------------------------------------------------------------- */

/* The first one is not counted: it makes what all of them need. */
static void sessions(const void *contender, double values[])
{
    const struct ledger_operations *operations = contender;
    operations->session(make_place(), 0);
    const uint64_t began = now_ns();
    for (unsigned i = 1; i <= SESSIONS; i++)
        operations->session(place, i);
    values[0] = (double)(now_ns() - began) / SESSIONS / NS_PER_US;
    ledger_remove_directory(place);
}

static void probes(const void *contender, double values[])
{
    const struct ledger_operations *operations = contender;
    const uint64_t began = now_ns();
    for (unsigned i = 0; i < PROBES; i++)
        operations->probe();
    values[0] = (double)(now_ns() - began) / PROBES / NS_PER_US;
}

/* ---- which of them --------------------------------------------------------------------------- */

#define CAN(name, operation)                                                                       \
    static bool name(const void *contender)                                                        \
    {                                                                                              \
        return ((const struct ledger_operations *)contender)->operation != NULL;                   \
    }
CAN(can_append, append)
CAN(can_append_durable, append_durable)
CAN(can_append_batch, append_batch)
CAN(can_session, session)
CAN(can_probe, probe)

static const struct bench_workload volatile_ = {
    .name = "volatile", .rows = {{"volatile", "1/s"}}, .can = can_append, .run = volatile_entries};
static const struct bench_workload durable_1 = {.name = "durable-1",
                                                .rows = {{"durable-1", "1/s"}},
                                                .latency = true,
                                                .can = can_append_durable,
                                                .run = durable_entries};
static const struct bench_workload durable_64 = {.name = "durable-64",
                                                 .rows = {{"durable-64", "1/s"}},
                                                 .latency = true,
                                                 .can = can_append_durable,
                                                 .run = durable_callers};
static const struct bench_workload batch_64 = {.name = "batch-64",
                                               .rows = {{"batch-64", "1/s"}},
                                               .latency = true,
                                               .can = can_append_batch,
                                               .run = durable_batches};
static const struct bench_workload session = {
    .name = "session", .rows = {{"session", "us"}}, .can = can_session, .run = sessions};
static const struct bench_workload probe = {
    .name = "probe", .rows = {{"probe", "us"}}, .can = can_probe, .run = probes};

static const struct bench_workload *const workloads[] = {
    &volatile_, &durable_1, &durable_64, &batch_64, &session, &probe, NULL,
};

int ledger_main(int argc, char **argv, const struct bench_contender *contenders)
{
    return bench_main(argc, argv,
                      &(struct bench_program){
                          .subject = "ledger",
                          .workloads = workloads,
                          .contenders = contenders,
                      });
}
