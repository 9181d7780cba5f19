/* SPDX-License-Identifier: MIT */
/*
 * Jobs are tasks of a scope, and joined when they have ended. What a task touches is counted and in
 * the heap: one that is abandoned goes on with it, until the registry has joined it.
 */
#include "environment/command.h"
#include "environment/internal.h"

#include <cleanroom/executor.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define PARALLEL_DEFAULT 4u
#define GRACE_DEFAULT PNX_S(10)

/* What all tasks of one call share. */
struct party {
    pthread_mutex_t mutex; /* of all below, and of the jobs' `over` */
    pthread_cond_t changed;
    size_t holders; /* the caller, and each task */
    unsigned at_work;
};

struct working {
    struct party *party;
    pnx_engine *engine;
    pnx_job job;
    pnx_call call;
    pnx_cancel *cancel;
    pnx_duration grace;
    pnx_job_result result; /* the task's, until `over` */
    bool over;
    /* The caller's. */
    pnx_task *task;
    pnx_time began, gives_up; /* gives_up: when it counts as abandoned; 0: its time is not over */
    bool settled;
    bool for_all; /* it was canceled, not late by itself */
};

bool pnx_call_over(const pnx_call *call)
{
    struct pollfd alarm = {.fd = pnx__docker_cancel_fd(call->cancel), .events = POLLIN};
    return (call->deadline && pnx_monotonic_now() >= call->deadline) ||
           (alarm.fd >= 0 && poll(&alarm, 1, 0) > 0);
}

/* ---- shared memory --------------------------------------------------------------------------- */

static struct party *party_make(void)
{
    pthread_condattr_t about;
    struct party *party = calloc(1, sizeof *party);
    if (!party || pthread_condattr_init(&about) != 0) {
        free(party);
        return NULL;
    }
    (void)pthread_condattr_setclock(&about, CLOCK_MONOTONIC);
    pthread_cond_init(&party->changed, &about);
    pthread_condattr_destroy(&about);
    pthread_mutex_init(&party->mutex, NULL);
    party->holders = 1;
    return party;
}

/* With the mutex held, which is given up. */
static void party_leave(struct party *party)
{
    bool last = --party->holders == 0;
    pthread_mutex_unlock(&party->mutex);
    if (!last)
        return;
    pthread_cond_destroy(&party->changed);
    pthread_mutex_destroy(&party->mutex);
    free(party);
}

static void working_free(struct working *working)
{
    pnx_cancel_free(working->cancel);
    free(working);
}

/* ---- in the task ----------------------------------------------------------------------------- */

static void work(struct working *working)
{
    pnx_job_result *result = &working->result;
    const pnx_job *job = &working->job;
    result->exit_code = -1;
    result->ended = true;
    if (job->run) {
        result->status = job->run(job->argument, &working->call, &result->error);
        return;
    }
    result->status =
        pnx__command_run(working->engine, job->container, &job->exec, &working->call,
                         working->grace, &result->exit_code, &result->ended, &result->error);
    if (result->status == PNX_OK && result->exit_code != 0)
        result->status = pnx_fail(&result->error, PNX_EFAILED, "the command exited with status %d",
                                  result->exit_code);
}

/* Whoever comes second frees it: the task, or the caller who has given it up. */
static pnx_status body(pnx_task *self, void *argument)
{
    struct working *working = argument;
    struct party *party = working->party;
    (void)self;
    work(working);
    pthread_mutex_lock(&party->mutex);
    bool abandoned = working->settled;
    working->over = true;
    party->at_work -= !abandoned;
    pthread_cond_broadcast(&party->changed);
    party_leave(party);
    if (abandoned)
        working_free(working);
    return PNX_OK;
}

/* ---- the caller ------------------------------------------------------------------------------ */

struct executing {
    pnx_scope *scope;
    struct party *party;
    struct working **working; /* NULL: not begun, or settled */
    size_t count, next;
    unsigned parallel;
    pnx_duration grace;
    bool stop_at_failure, stopped;
    pnx_status why; /* it was stopped */
    const pnx_job *jobs;
    pnx_engine *engine;
    pnx_job_result *results;
    pnx_time deadline;
    int cancel_fd;
};

static pnx_status begin(struct executing *executing, size_t at, pnx_error *err)
{
    const pnx_job *job = &executing->jobs[at];
    struct working *working = calloc(1, sizeof *working);
    if (!working)
        return pnx__docker_no_memory(err);
    *working = (struct working){.party = executing->party,
                                .engine = executing->engine,
                                .job = *job,
                                .grace = executing->grace,
                                .began = pnx_monotonic_now()};
    pnx_status status = pnx_cancel_create(&working->cancel, err);
    working->call.cancel = working->cancel;
    working->call.deadline = executing->deadline;
    pnx_time own = job->within ? pnx_time_after(working->began, job->within) : PNX_FOREVER;
    if (own < working->call.deadline)
        working->call.deadline = own;
    executing->party->holders++;
    executing->party->at_work++;
    if (status == PNX_OK)
        status = pnx_task_start(executing->scope, &(pnx_task_config){.name = job->name}, body,
                                working, &working->task, err);
    if (status != PNX_OK) {
        executing->party->holders--;
        executing->party->at_work--;
        working_free(working);
        return status;
    }
    executing->working[at] = working;
    return PNX_OK;
}

static void stop(struct executing *executing, pnx_status why)
{
    if (executing->stopped)
        return;
    executing->stopped = true;
    executing->why = why;
    for (size_t i = 0; i < executing->next; i++)
        if (executing->working[i]) {
            executing->working[i]->for_all = true;
            pnx_cancel_now(executing->working[i]->cancel);
        }
}

/* It has ended: what its end was. One that was given up has failed for that, whatever it says. */
static void settle(struct executing *executing, size_t at)
{
    struct working *working = executing->working[at];
    pnx_job_result *result = &executing->results[at];
    *result = working->result;
    result->began = true;
    result->took = pnx_monotonic_now() - working->began;
    bool late = pnx_monotonic_now() >= working->call.deadline && result->status != PNX_OK;
    if (!result->ended)
        result->status = pnx_fail(&result->error, PNX_EABANDONED,
                                  "the command was given up, and not seen to end");
    else if (working->for_all && result->status != PNX_OK)
        result->status = result->error.code = executing->why;
    else if (late)
        result->status = pnx_fail(&result->error, PNX_ETIMEOUT, "it was not done in time");
    executing->working[at] = NULL;
    /* The thread has nothing left to do but to end; it needs no lock of ours for that. */
    (void)pnx_task_join(working->task, PNX_FOREVER, NULL, NULL);
    working_free(working);
    if (result->status != PNX_OK && executing->stop_at_failure)
        stop(executing, PNX_ECANCELED);
}

static void abandon(struct executing *executing, size_t at)
{
    struct working *working = executing->working[at];
    pnx_job_result *result = &executing->results[at];
    *result = (pnx_job_result){.exit_code = -1, .began = true};
    result->took = pnx_monotonic_now() - working->began;
    result->status =
        pnx_fail(&result->error, PNX_EABANDONED, "it was given up, and did not come back");
    pnx_task_cancel(working->task, "given up");
    working->settled = true; /* the task frees it, and the scope joins the task */
    executing->party->at_work--;
    executing->working[at] = NULL;
    if (executing->stop_at_failure)
        stop(executing, PNX_ECANCELED);
}

/* Looks after what has ended or is late; the next point in time at which that is to be done. */
static pnx_time look_after(struct executing *executing)
{
    pnx_time now = pnx_monotonic_now(),
             next = executing->stopped ? PNX_FOREVER : executing->deadline;
    for (size_t i = 0; i < executing->next; i++) {
        struct working *working = executing->working[i];
        if (!working)
            continue;
        if (working->over) {
            settle(executing, i);
            continue;
        }
        if (working->gives_up == 0 && (now >= working->call.deadline || working->for_all)) {
            /* A command gets the grace itself, to be killed and looked for, and a margin. */
            working->gives_up =
                pnx_time_after(now, executing->grace + (working->job.run ? 0 : PNX_S(10)));
            pnx_cancel_now(working->cancel);
        }
        pnx_time due = working->gives_up ? working->gives_up : working->call.deadline;
        if (working->gives_up && now >= due)
            abandon(executing, i);
        else if (due < next)
            next = due;
    }
    return next;
}

/* So often a cancel of all is looked for: it is a descriptor, and ends are told by a condition. */
#define CANCEL_LOOKED_FOR PNX_MS(20)

static void wait_until(struct executing *executing, pnx_time when)
{
    pnx_time soon = pnx_time_after(pnx_monotonic_now(), CANCEL_LOOKED_FOR);
    if (executing->cancel_fd >= 0 && soon < when && !executing->stopped)
        when = soon;
    if (when > pnx_time_after(pnx_monotonic_now(), PNX_S(3600)))
        when = pnx_time_after(pnx_monotonic_now(), PNX_S(3600));
    const struct timespec until = {(time_t)(when / PNX_S(1)), (long)(when % PNX_S(1))};
    (void)pthread_cond_timedwait(&executing->party->changed, &executing->party->mutex, &until);
}

static void begin_more(struct executing *executing)
{
    while (!executing->stopped && executing->next < executing->count &&
           executing->party->at_work < executing->parallel) {
        size_t at = executing->next++;
        pnx_error err = {0};
        pnx_status status = begin(executing, at, &err);
        if (status == PNX_OK)
            continue;
        executing->results[at] =
            (pnx_job_result){.status = status, .exit_code = -1, .ended = true, .error = err};
        if (executing->stop_at_failure)
            stop(executing, PNX_ECANCELED);
    }
}

static bool is_canceled(const struct executing *executing)
{
    struct pollfd alarm = {.fd = executing->cancel_fd, .events = POLLIN};
    return alarm.fd >= 0 && poll(&alarm, 1, 0) > 0;
}

static void execute(struct executing *executing)
{
    pthread_mutex_lock(&executing->party->mutex);
    for (;;) {
        if (is_canceled(executing))
            stop(executing, PNX_ECANCELED);
        else if (pnx_monotonic_now() >= executing->deadline)
            stop(executing, PNX_ETIMEOUT);
        (void)look_after(executing); /* a failure keeps more from being begun */
        begin_more(executing);
        pnx_time next = look_after(executing); /* of those, too, that have just begun */
        bool left = executing->next < executing->count && !executing->stopped;
        if (executing->party->at_work == 0 && !left)
            break;
        if (!left || executing->party->at_work == executing->parallel)
            wait_until(executing, next);
    }
    for (size_t i = executing->next; i < executing->count; i++) {
        pnx_job_result *result = &executing->results[i];
        *result = (pnx_job_result){.exit_code = -1, .ended = true};
        result->status = pnx_fail(&result->error, executing->why, "it was never begun");
    }
    party_leave(executing->party);
}

static pnx_status check(pnx_engine *engine, const pnx_job *jobs, size_t count, unsigned parallel,
                        pnx_error *err)
{
    if (parallel > PNX__PARALLEL_MAX)
        return pnx_fail(err, PNX_EINVAL, "parallel: at most %u", PNX__PARALLEL_MAX);
    for (size_t i = 0; i < count; i++) {
        const char *name = jobs[i].name ? jobs[i].name : "job";
        if (!jobs[i].run == !jobs[i].container)
            return pnx_fail(err, PNX_EINVAL, "%s: it is a function, or a command in a container",
                            name);
        if (jobs[i].container && (!engine || !jobs[i].exec.argv || !jobs[i].exec.argv[0]))
            return pnx_fail(err, PNX_EINVAL, "%s: a command needs an engine and an argv", name);
    }
    return PNX_OK;
}

static pnx_status first_failure(const struct executing *executing, pnx_error *err)
{
    for (size_t i = 0; i < executing->count; i++) {
        const pnx_job_result *result = &executing->results[i];
        if (result->status == PNX_OK)
            continue;
        const char *name = executing->jobs[i].name ? executing->jobs[i].name : "job";
        pnx_fail(err, result->status, "%s: %s", name, result->error.message);
        if (err)
            err->cause = result->error.cause;
        return result->status;
    }
    return PNX_OK;
}

pnx_status pnx_execute(pnx_registry *registry, pnx_engine *engine, const pnx_job *jobs,
                       size_t count, const pnx_executor_config *config, const pnx_call *call,
                       pnx_job_result *results, pnx_error *err)
{
    static const pnx_executor_config defaults;
    if (!config)
        config = &defaults;
    pnx_status status = check(engine, jobs, count, config->parallel, err);
    if (status != PNX_OK)
        return status;
    pnx_auto_scope scope = pnx_scope_open(registry, "executor", err);
    if (scope.status != PNX_OK)
        return scope.status;
    struct executing executing = {
        .scope = &scope,
        .party = party_make(),
        .working = calloc(count + 1, sizeof *executing.working),
        .count = count,
        .parallel = config->parallel ? config->parallel : PARALLEL_DEFAULT,
        .grace = config->grace ? config->grace : GRACE_DEFAULT,
        .stop_at_failure = config->stop_at_failure,
        .jobs = jobs,
        .engine = engine,
        .results = results,
        .deadline = call && call->deadline ? call->deadline : PNX_FOREVER,
        .cancel_fd = call ? pnx__docker_cancel_fd(call->cancel) : -1,
    };
    if (!executing.party || !executing.working) {
        free(executing.working);
        if (executing.party) {
            pthread_mutex_lock(&executing.party->mutex);
            party_leave(executing.party);
        }
        return pnx__docker_no_memory(err);
    }
    execute(&executing);
    free(executing.working);
    return first_failure(&executing, err);
}
