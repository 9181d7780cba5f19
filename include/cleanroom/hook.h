/* SPDX-License-Identifier: MIT */
/**
 * @file hook.h
 * Undo hooks: commands that give back what nothing else knows how to give back (`dropdb import`).
 * `command` among the sorts of thing.h.
 *
 * A hook is registered before what it undoes is done, and run when its session is cleaned up, by
 * whoever does that: after a crash, another process on another day. So its name is the whole of it
 * as one line of printable text: program, arguments, directory, user, environment, time and
 * attempts. It runs with PATH and HOME of whoever registered it and the variables that were given,
 * and with nothing else.
 *
 * **How often it runs.** One pnx_thing runs its hook until it succeeds once, and never again.
 * Across crashes a hook runs at least once: a cleaner that is killed after the command has ended,
 * and before that was written down, leaves a hook that the next one runs again. One that is killed
 * while the command runs leaves that running; where there are cgroups, the next one ends it first.
 * It never runs more than once in a cleaning up unless it fails and has attempts left. Write hooks
 * that may run twice (`dropdb --if-exists`).
 *
 * It has a session, a process group and, where one can be made, a cgroup of its own, no input, and
 * is killed with all that it started when its time is over; what it started and left is killed when
 * it ends. It has succeeded when it exits with 0.
 *
 * **As whom.** As the user who registered it, without supplementary groups. Only root can run what
 * another user registered. A name is as trustworthy as where it was read: who runs hooks from a
 * file of another user must first check that pnx_hook_user is that user.
 *
 * Not promised: without a cgroup, what leaves its process group is not found.
 */
#ifndef CLEANROOM_HOOK_H
#define CLEANROOM_HOOK_H

#include <cleanroom/thing.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PNX_HOOK_OUTPUT_MAX 4096
#define PNX_HOOK_TIMEOUT PNX_S(30) /**< of a hook that gives none */

/** What to run. Zero in a field means what its comment says. */
typedef struct pnx_hook {
    const char *const *argv;        /**< NULL-terminated; argv[0] is looked up in PATH; or … */
    const char *line;               /**< … a line for `sh -c`; exactly one of both */
    const char *directory;          /**< absolute; NULL: the current one */
    const char *const *environment; /**< "NAME=value", besides PATH and HOME; NULL: none */
    pnx_priority priority;          /**< critical ones run first */
    unsigned retries;               /**< further attempts when it fails; up to 9 */
    pnx_duration timeout;           /**< of one attempt; 0: PNX_HOOK_TIMEOUT */
} pnx_hook;

/**
 * Writes a hook as one line of printable ASCII. `session` and `number` tell it from all others.
 * PNX_EINVAL: a field is wrong; PNX_ELIMIT: it is longer than `size`; PNX_EFAILED.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_hook_format(const pnx_hook *hook, pnx_id session,
                                                  uint32_t number, char *ret, size_t size,
                                                  pnx_error *err);

/** Registers it: nothing runs. The caller owns `*ret`; pnx_thing_remove, or a guard, runs it. */
PNX_MUST_CHECK PNX_API pnx_status pnx_hook_create(const pnx_hook *hook, pnx_id session,
                                                  uint32_t number, const pnx_keeper *keeper,
                                                  pnx_thing **ret, pnx_error *err);

/** Its priority; its user; its command as a shell would take it, like snprintf(3). PNX_EINVAL. */
PNX_API pnx_status pnx_hook_priority(const char *name, pnx_priority *ret, pnx_error *err);
PNX_API pnx_status pnx_hook_user(const char *name, uid_t *ret, pnx_error *err);
PNX_API pnx_status pnx_hook_command(const char *name, char *buffer, size_t size, pnx_error *err);

/** How the last attempt ended. */
typedef struct pnx_hook_result {
    int exit_code; /**< -1: it did not exit by itself */
    int signal;    /**< that ended it, or 0 */
    bool timed_out;
    unsigned attempts;
    size_t output_size;                   /**< bytes kept; may hold any bytes */
    bool output_cut;                      /**< there was more before them */
    char output[PNX_HOOK_OUTPUT_MAX + 1]; /**< the end of what it wrote to both outputs */
} pnx_hook_result;

/**
 * Runs the hook of this name, again if it fails and may, until `deadline` (CLOCK_MONOTONIC) at
 * most. `outcome` and `result` may be NULL. PNX_OK: it exited with 0. PNX_ETIMEOUT; PNX_EFAILED: it
 * failed, or may not be run by us; PNX_EINVAL: it is none.
 */
PNX_API pnx_status pnx_hook_run(const char *name, pnx_time deadline, pnx_outcome *outcome,
                                pnx_hook_result *result, pnx_error *err);

/** Its release runs the hook; it tries as often as the hook says. */
extern PNX_API const pnx_kind pnx_kind_command;

#ifdef __cplusplus
}
#endif

PNX__OFFER_KIND(command, pnx_thing *);

#endif
