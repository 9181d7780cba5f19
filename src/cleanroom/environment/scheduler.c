/* SPDX-License-Identifier: MIT */
/* Several services at a time, each in its turn. The threads are joined before it returns. */
#include "environment/internal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct running {
    struct pnx__schedule *schedule;
    pnx_cancel *cancel;
    int over;         /* an eventfd: written by the last thread */
    unsigned threads; /* that have not ended */
    unsigned at_work;
    bool stopped;
    pnx_status ended; /* why, when it was stopped from outside */
};

/* ---- threads --------------------------------------------------------------------------------- */

static pnx_service *pick(const struct running *running)
{
    const struct pnx__schedule *schedule = running->schedule;
    for (pnx_service *one = schedule->environment->services; one; one = one->next)
        if (!one->busy && schedule->may(one))
            return one;
    return NULL;
}

/* With the mutex held. */
static void note_failure(struct running *running, pnx_service *service, pnx_status status,
                         const pnx_error *err)
{
    struct pnx__schedule *schedule = running->schedule;
    if (schedule->status == PNX_OK) {
        schedule->status = status;
        schedule->failed = service;
        if (schedule->err)
            *schedule->err = *err;
    }
    if (schedule->stop_at_failure) {
        running->stopped = true;
        pnx_cancel_now(running->cancel);
    }
}

static void do_one(struct running *running, pnx_service *service)
{
    struct pnx__schedule *schedule = running->schedule;
    pnx_environment *environment = schedule->environment;
    pnx_error err = {0};
    const pnx_call call = {.deadline = schedule->call->deadline, .cancel = running->cancel};
    service->busy = true;
    running->at_work++;
    pthread_mutex_unlock(&environment->mutex);
    pnx_status status = schedule->work(service, &call, &err);
    pthread_mutex_lock(&environment->mutex);
    service->busy = false;
    running->at_work--;
    if (status != PNX_OK)
        note_failure(running, service, status, &err);
    pthread_cond_broadcast(&environment->changed);
}

static void *work(void *context)
{
    struct running *running = context;
    pnx_environment *environment = running->schedule->environment;
    pthread_mutex_lock(&environment->mutex);
    while (!running->stopped) {
        pnx_service *service = pick(running);
        if (service)
            do_one(running, service);
        else if (running->at_work > 0)
            pthread_cond_wait(&environment->changed, &environment->mutex);
        else
            break;
    }
    bool last = --running->threads == 0;
    pthread_mutex_unlock(&environment->mutex);
    if (last)
        (void)!write(running->over, &(uint64_t){1}, sizeof(uint64_t));
    return NULL;
}

/* ---- the one who waits ----------------------------------------------------------------------- */

static void stop(struct running *running, pnx_status why)
{
    pnx_environment *environment = running->schedule->environment;
    pthread_mutex_lock(&environment->mutex);
    running->stopped = true;
    running->ended = why;
    pthread_cond_broadcast(&environment->changed);
    pthread_mutex_unlock(&environment->mutex);
    pnx_cancel_now(running->cancel);
}

static int milliseconds_until(pnx_time deadline)
{
    pnx_duration left = deadline - pnx_monotonic_now();
    if (deadline == PNX_FOREVER || left > PNX_S(86400))
        return -1;
    return left <= 0 ? 0 : (int)((left + PNX_MS(1) - 1) / PNX_MS(1));
}

/* Until the threads have ended by themselves, or are told to. */
static void watch(struct running *running)
{
    const pnx_call *call = running->schedule->call;
    struct pollfd fds[] = {
        {.fd = running->over, .events = POLLIN},
        {.fd = pnx__docker_cancel_fd(call->cancel), .events = POLLIN},
    };
    for (;;) {
        int ready = poll(fds, 2, milliseconds_until(call->deadline));
        if (fds[0].revents)
            return;
        if (ready > 0 && fds[1].revents)
            stop(running, PNX_ECANCELED);
        else if (ready == 0 || (ready < 0 && errno != EINTR))
            stop(running, PNX_ETIMEOUT);
        else
            continue;
        return;
    }
}

/* Signals are for the threads of the program. */
static bool start_thread(pthread_t *ret, struct running *running)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool good = pthread_create(ret, NULL, work, running) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return good;
}

static unsigned threads_for(const pnx_environment *environment)
{
    unsigned count = 0;
    for (const pnx_service *one = environment->services; one; one = one->next)
        count += one->state != PNX__SERVICE_GONE;
    return count < environment->parallel ? count : environment->parallel;
}

static pnx_status run(struct running *running)
{
    struct pnx__schedule *schedule = running->schedule;
    pnx_environment *environment = schedule->environment;
    pthread_t threads[PNX__PARALLEL_MAX];
    unsigned count = 0, wanted;
    pthread_mutex_lock(&environment->mutex);
    wanted = threads_for(environment);
    while (count < wanted && start_thread(&threads[count], running))
        count++;
    running->threads = count;
    pthread_mutex_unlock(&environment->mutex);
    if (count > 0)
        watch(running);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    if (count == 0 && wanted > 0)
        return pnx_fail(schedule->err, PNX_EFAILED, "no thread can be had for the services");
    /* What was canceled by us has failed for our reason, not for its own. */
    if (running->ended != PNX_OK)
        return schedule->status = pnx_fail(
                   schedule->err, running->ended,
                   running->ended == PNX_ECANCELED ? "it was canceled" : "it was not done in time");
    return schedule->status;
}

pnx_status pnx__schedule_run(struct pnx__schedule *schedule)
{
    struct running running = {.schedule = schedule};
    schedule->status = PNX_OK;
    schedule->failed = NULL;
    pnx_status status = pnx_cancel_create(&running.cancel, schedule->err);
    if (status != PNX_OK)
        return status;
    running.over = eventfd(0, EFD_CLOEXEC);
    status =
        running.over >= 0 ? run(&running) : pnx_fail(schedule->err, PNX_EFAILED, "no eventfd: %m");
    if (running.over >= 0)
        close(running.over);
    pnx_cancel_free(running.cancel);
    return status;
}
