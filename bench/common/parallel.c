/* SPDX-License-Identifier: MIT */
#include "parallel.h"

#include "bench.h"
#include "clock.h"
#include "machine.h"

#include <pthread.h>
#include <string.h>

struct member {
    const struct parallel_job *job;
    pthread_barrier_t *start;
    unsigned index;
    uint64_t begin_ns;
    uint64_t end_ns;
};

static void *run_member(void *argument)
{
    struct member *member = argument;
    const struct parallel_job *job = member->job;

    machine_pin_self(member->index == 0 ? ROLE_PRODUCER : ROLE_WORKER);
    if (job->prepare)
        job->prepare(job->context, member->index);
    pthread_barrier_wait(member->start);
    member->begin_ns = now_ns();
    job->work(job->context, member->index);
    member->end_ns = now_ns();
    if (job->finish)
        job->finish(job->context, member->index);
    return NULL;
}

struct parallel_times run_parallel(unsigned threads, const struct parallel_job *job)
{
    struct parallel_times times = {.begin_ns = UINT64_MAX};
    struct member members[PARALLEL_MAX];
    pthread_t handles[PARALLEL_MAX];
    pthread_barrier_t start;

    pthread_barrier_init(&start, NULL, threads);
    for (unsigned i = 0; i < threads; i++) {
        members[i] = (struct member){.job = job, .start = &start, .index = i};
        const int error = pthread_create(&handles[i], NULL, run_member, &members[i]);
        if (error)
            bench_give_up("cannot create a thread: %s", strerror(error));
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(handles[i], NULL);
        times.worked_ns[i] = members[i].end_ns - members[i].begin_ns;
        if (members[i].begin_ns < times.begin_ns)
            times.begin_ns = members[i].begin_ns;
    }
    pthread_barrier_destroy(&start);
    return times;
}
