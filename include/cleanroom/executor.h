/* SPDX-License-Identifier: MIT */
/**
 * @file executor.h
 * Runs many jobs, so many at a time: functions, and commands in containers. Each may have a
 * deadline of its own; one that is given up is known to have ended before its place is given to
 * another, or it is told that it has not. Part of libcleanroom-docker.
 *
 *     const pnx_job jobs[] = {
 *         {.name = "unit", .container = id, .exec = {.argv = unit}, .within = PNX_S(60)},
 *         {.name = "lint", .run = lint, .argument = &paths},
 *     };
 *     pnx_job_result results[2];
 *     pnx_status status = pnx_execute(registry, engine, jobs, 2, NULL, NULL, results, err);
 *
 * Promises:
 *   - At most `parallel` jobs run at a time; they begin in the order in which they are given.
 *   - A command whose time is over is killed in its container, with its process group, and the
 *     result says whether it was seen to be gone. (An engine itself lets it run on.)
 *   - A function is told by its call that its time is over. One that does not come back within
 *     the grace is not waited for any longer: it counts as abandoned, and its thread stays a task
 *     of the registry, which joins it, or tells in its leak report that it never came back. Nothing
 *     is ever detached.
 *
 * Commands are started by a shell, which has to be in the container (/bin/sh), for that tells which
 * process they are.
 */
#ifndef CLEANROOM_EXECUTOR_H
#define CLEANROOM_EXECUTOR_H

#include <cleanroom/docker.h>
#include <patinox/task.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The body of a job. `call` has its deadline and its cancel: it is to be passed on to calls of the
 * engine, or asked about by pnx_call_over. Runs in a thread of its own, all signals blocked.
 */
typedef pnx_status (*pnx_job_fn)(void *argument, const pnx_call *call, pnx_error *err);

/** One job: a function (`run`), or a command in a container. */
typedef struct pnx_job {
    const char *name; /**< in errors */
    pnx_job_fn run;
    void *argument;        /**< valid until the job has ended */
    const char *container; /**< its id: `exec` is run there */
    pnx_exec exec;
    pnx_duration within; /**< 0: as long as all may take */
} pnx_job;

typedef struct pnx_job_result {
    pnx_status status; /**< PNX_OK; of a function what it answered; PNX_EFAILED: a command exited
                            with another status than 0; PNX_ETIMEOUT, PNX_ECANCELED: it was given
                            up, or never begun; PNX_EABANDONED: it was, and has not ended */
    int exit_code;     /**< of a command that has ended by itself; -1 otherwise */
    bool began;
    bool ended; /**< it is known to have ended; with `began` false it is true */
    pnx_duration took;
    pnx_error error;
} pnx_job_result;

/** All may be zero. */
typedef struct pnx_executor_config {
    unsigned parallel;    /**< 1 … 64; 0: 4 */
    pnx_duration grace;   /**< from the end of a job's time until it counts as abandoned; 0: 10 s */
    bool stop_at_failure; /**< the first failure cancels what runs, and nothing more is begun */
} pnx_executor_config;

/**
 * Runs the jobs and waits for all of them. `engine` may be NULL if there are no commands; `config`,
 * `call` may be NULL: no deadline of all. Every one of `results` (`count` of them) is written.
 * PNX_OK: all jobs answered PNX_OK; else the status of the first one, in their order, that did not,
 * and `err` names it. PNX_ENOMEM, PNX_EINVAL: nothing was begun.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_execute(pnx_registry *registry, pnx_engine *engine,
                                              const pnx_job *jobs, size_t count,
                                              const pnx_executor_config *config,
                                              const pnx_call *call, pnx_job_result *results,
                                              pnx_error *err);

/** Is its deadline over, or was it canceled? */
PNX_API bool pnx_call_over(const pnx_call *call);

#ifdef __cplusplus
}
#endif

#endif
