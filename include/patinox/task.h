/* SPDX-License-Identifier: MIT */
/**
 * @file task.h
 * A *task* is a thread that somebody owns: it lives in a scope, is asked to end with a reason, is
 * joined with a deadline, and cannot outlive its scope unnoticed. A periodic task is a timer of the
 * registry's, not a thread. Nothing in patinox is ever detached.
 */
#ifndef PATINOX_TASK_H
#define PATINOX_TASK_H

#include <patinox/scope.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pnx_task pnx_task;

/** The body of a task. Ask pnx_task_canceled often, or wait by pnx_task_wait. */
typedef pnx_status (*pnx_task_fn)(pnx_task *self, void *argument);

typedef struct pnx_task_config {
    const char *name;          /**< of the thread too, cut to 15 bytes ["task"]; copied */
    pnx_duration join_timeout; /**< how long a cancel may take until it counts as late [5 s] */
    size_t stack;              /**< bytes [the system's] */
    pnx_priority priority;     /**< of its clean-up */
} pnx_task_config;

/**
 * Starts a task in `scope`, which owns it: when the scope ends, the task is canceled and joined in
 * its turn. `*ret` is valid until the scope has ended. All signals are blocked in it.
 * `config` may be NULL. PNX_ENOMEM, PNX_ESHUTDOWN, PNX_EFAILED (no thread).
 */
PNX_MUST_CHECK PNX_API pnx_status pnx__task_start(pnx_scope *scope, const pnx_task_config *config,
                                                  pnx_task_fn body, void *argument,
                                                  const pnx_site *site, pnx_task **ret,
                                                  pnx_error *err);
#define pnx_task_start(scope, config, body, argument, ret, err)                                    \
    pnx__task_start((scope), (config), (body), (argument), PNX_HERE, (ret), (err))

/** Asks it to end; `reason` is copied, the first one counts. Never waits. */
PNX_API void pnx_task_cancel(pnx_task *task, const char *reason);
/** Waits until it has ended. PNX_OK and `*ret_result` (may be NULL); PNX_ETIMEOUT; PNX_EDEADLOCK
 *  from the task itself. It is joined exactly once however many wait. */
PNX_API pnx_status pnx_task_join(pnx_task *task, pnx_time deadline, pnx_status *ret_result,
                                 pnx_error *err);
/** Has somebody asked it to end? */
PNX_API bool pnx_task_canceled(const pnx_task *self);
/** The reason given, or NULL while not canceled. */
PNX_API const char *pnx_task_cancel_reason(const pnx_task *self);
/** Waits until `deadline` (monotonic clock) or a cancel. PNX_ETIMEOUT, PNX_ECANCELED. */
PNX_API pnx_status pnx_task_wait(pnx_task *self, pnx_time deadline);

/** Runs `tick` every `period` on a worker, never two at a time; a late tick is not made up for. It
 *  ends with its scope, or when it answers anything but PNX_OK. PNX_ENOMEM, PNX_ESHUTDOWN,
 *  PNX_EINVAL (a period below a millisecond). */
typedef struct pnx_periodic {
    pnx_id id; /**< release it by pnx_release_now to stop before the scope ends */
} pnx_periodic;
PNX_MUST_CHECK PNX_API pnx_status pnx__periodic_start(pnx_scope *scope, const char *name,
                                                      pnx_duration period, pnx_action_fn tick,
                                                      void *argument, const pnx_site *site,
                                                      pnx_periodic *ret, pnx_error *err);
#define pnx_periodic_start(scope, name, period, tick, argument, ret, err)                          \
    pnx__periodic_start((scope), (name), (period), (tick), (argument), PNX_HERE, (ret), (err))

#ifdef __cplusplus
}
#endif

#endif
