/* SPDX-License-Identifier: MIT */
/**
 * @file process.h
 * A process that is ended when its owner ends: asked by SIGTERM, then killed, then seen to be gone.
 *
 *     pnx_auto(process) child = pnx_reserve(process, registry, err);
 *     if (child.status) return child.status;
 *     pnx_process p;
 *     if (pnx_process_spawn(&(pnx_command){.argv = argv}, &p, err)) return err->code;
 *     pnx_arm(&child, p);
 *
 * A process is known by a pidfd and by pid and start time together, never by its pid alone: what is
 * signalled is what was started, or nothing.
 *
 * It can be given namespaces of its own (isolate), also without privileges: then in a user
 * namespace in which it is the user that it is outside. What cannot be had is an error that says
 * what the machine lacks, never less isolation.
 *
 * Not promised: its own children live on; put it into a cgroup (cgroup.h), a session (session.h) or
 * a pid namespace (PNX_ISOLATE_PID) to end them too. A process in uninterruptible sleep cannot be
 * ended by anybody: that is told.
 */
#ifndef CLEANROOM_PROCESS_H
#define CLEANROOM_PROCESS_H

#include <cleanroom/outcome.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pnx_cgroup;
struct pnx_limiter;

/**
 * A process. A plain value: copies stand for the same process, one of them is closed.
 *
 * With PNX_ISOLATE_PID it has a companion: the init of its pid namespace, which adopts and reaps
 * orphans and is a child of the caller too. The namespace lives as long as the value and the
 * calling process do: when the one is closed or the other dies, however it dies, the kernel kills
 * all that is in the namespace.
 */
typedef struct pnx_process {
    int pidfd; /**< close-on-exec; -1: none */
    pid_t pid;
    uint64_t start_time; /**< in clock ticks since boot: tells it from later ones of the same pid */
    uint32_t grace_ms;   /**< how long a guard's release waits between SIGTERM and SIGKILL */
    int init_pidfd;      /**< of the init of its pid namespace; close-on-exec; 0: it has none */
} pnx_process;

/** The grace that spawn and open fill in. */
#define PNX_PROCESS_GRACE_MS 1000u

/** What a command can have of its own. Values may be joined by `|`. */
typedef enum pnx_isolate {
    PNX_ISOLATE_TMP = 1,   /**< /tmp and /var/tmp, beneath its `tmpdir` */
    PNX_ISOLATE_IPC = 2,   /**< System V IPC, POSIX message queues, /dev/shm */
    PNX_ISOLATE_PID = 4,   /**< process ids and /proc: it sees only what it started */
    PNX_ISOLATE_MOUNT = 8, /**< mounts: its own vanish with it; TMP, IPC and PID imply it */
    PNX_ISOLATE_NET = 16,  /**< network: nothing but a loopback interface of its own, which is up */
} pnx_isolate;
#define PNX_ISOLATE_ALL 31u

/**
 * Reads "tmp,ipc,pid,mount,net" (any of them, in any order, or "all") into flags of pnx_isolate.
 * PNX_EINVAL names the word.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_isolate_parse(const char *text, unsigned *ret,
                                                    pnx_error *err);
/** The flags as pnx_isolate_parse reads them; like snprintf(3). */
PNX_API size_t pnx_isolate_format(unsigned isolate, char *buffer, size_t size);

/** What to run. Zero in a field means: as in the calling process. */
typedef struct pnx_command {
    const char *const *argv;        /**< NULL-terminated; argv[0] is looked up in PATH */
    const char *const *environment; /**< "NAME=value", NULL-terminated; NULL: the caller's */
    const char *const *set;         /**< likewise, put over the environment; NULL: nothing */
    struct pnx_cgroup *cgroup;      /**< it starts there; NULL: in the caller's */
    unsigned isolate;               /**< flags of pnx_isolate */
    const char *tmpdir; /**< for PNX_ISOLATE_TMP and a limit of disk: absolute, the caller's
                                         own directory; as it is named, it stays reachable inside */
    struct pnx_limiter *limiter; /**< what limits it (limits.h); NULL: nothing */
} pnx_command;

/**
 * Starts it and waits until it has been executed. It has the caller's descriptors (but those that
 * are close-on-exec), working directory, process group and signal mask; ignored signals stay
 * ignored, caught ones are default. It is a child: wait for it by pnx_process_wait.
 * The caller owns `*ret` and ends it with pnx_process_close, or in a guard.
 * PNX_ENOTFOUND: there is no such command (a shell would exit with 127); PNX_EUNSUPPORTED: there
 * is, but it cannot be executed (126); PNX_EBUSY: it could not be put into `cgroup`; PNX_EINVAL;
 * PNX_ENOMEM; PNX_EFAILED: no process. PNX_ELIMIT: it could not be isolated or limited as asked;
 * the error names the form, the cause, and what to change. sys_errno says why; no process was left
 * behind.
 *
 * With PNX_ISOLATE_PID it is still the caller's child, is known by its pid out here, and its parent
 * inside is 0. With PNX_ISOLATE_TMP, `tmpdir`/tmp and `tmpdir`/var-tmp are /tmp and /var/tmp; see
 * pnx_isolate_made.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_process_spawn(const pnx_command *command, pnx_process *ret,
                                                    pnx_error *err);
/** Takes hold of a process that runs already. PNX_ENOTFOUND, PNX_EFAILED. */
PNX_MUST_CHECK PNX_API pnx_status pnx_process_open(pid_t pid, pnx_process *ret, pnx_error *err);
/**
 * Lets go of it: closes the descriptors, and does nothing to the process; but with a pid namespace,
 * that ends here with all that is in it.
 */
PNX_API void pnx_process_close(pnx_process *process);
/**
 * Kills all that is in its pid namespace, waits until `deadline` (CLOCK_MONOTONIC) that it is gone,
 * and reaps the init. Wait for the process itself first, or its status is lost. PNX_OK, also when
 * it has none; PNX_ETIMEOUT.
 */
PNX_API pnx_status pnx_process_end_namespace(pnx_process *process, pnx_time deadline,
                                             pnx_error *err);
/**
 * Is this what PNX_ISOLATE_TMP itself puts into a `tmpdir`: `tmp`, `var-tmp`, and in one of them
 * the links that keep the name of `tmpdir` valid? `path` is relative to it.
 */
PNX_API bool pnx_isolate_made(const char *tmpdir, const char *path);

/** Does it run? False for zombies too. */
PNX_API bool pnx_process_runs(const pnx_process *process);
/** Sends a signal. PNX_EALREADY: it has ended; PNX_EFAILED: errno says why. */
PNX_API pnx_status pnx_process_signal(const pnx_process *process, int signal_number);
/**
 * Waits until it has ended, for `deadline` (CLOCK_MONOTONIC) at most. A child is reaped, and
 * `*ret_status` (may be NULL) is its status as of waitpid(2); -1 if it is no child of ours.
 * PNX_OK, PNX_ETIMEOUT, PNX_EFAILED.
 */
PNX_API pnx_status pnx_process_wait(const pnx_process *process, pnx_time deadline, int *ret_status);
/**
 * Ends it: SIGTERM (and SIGCONT, should it be stopped), SIGKILL after `grace`, reaped if it is a
 * child. `outcome` (may be NULL) says what it took. PNX_OK: it is gone. PNX_EBUSY: it is not, five
 * seconds after SIGKILL; PNX_EFAILED: we may not signal it.
 */
PNX_API pnx_status pnx_process_end(const pnx_process *process, pnx_duration grace,
                                   pnx_outcome *outcome, pnx_error *err);

/** Its release ends it and closes the pidfd; a second attempt if the first was in vain. */
extern PNX_API const pnx_kind pnx_kind_process;

#ifdef __cplusplus
}
#endif

PNX__OFFER_KIND(process, pnx_process);

#endif
