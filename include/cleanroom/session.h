/* SPDX-License-Identifier: MIT */
/**
 * @file session.h
 * Runs a command in a clean room: in a private TMPDIR and, where that can be, in a cgroup of its
 * own. Whatever it leaves behind is found, ended or removed, verified gone, and reported.
 *
 *     pnx_session *session;
 *     if (pnx_session_open(&(pnx_session_config){.timeout = PNX_S(60)}, &session, err)) …
 *     pnx_status ran = pnx_session_run(session, argv, err);
 *     pnx_session_report report;
 *     pnx_status clean = pnx_session_close(session, &report, err);
 *     pnx_session_free(session);
 *
 * Order of the clean-up: hooks (on_exit), processes (asked by SIGTERM, killed after the grace),
 * then what else the command left (mounts, block devices, network things, IPC objects), the
 * directory, the cgroup; each seen to be gone before the next begins.
 *
 * Tiers: at 3, as root, every fork on the machine is followed, and who makes what where things
 * outlive their makers: what belongs to the command is known whatever it does. At 1 the command's
 * processes are held together by a cgroup. At 0, without the right to make one, they are followed
 * by descent (the process makes itself their subreaper) and by a cookie in their environment,
 * CLEANROOM_SESSION=<id>; one that clears its environment *and* is started by somebody else, such
 * as cron(8), gets away. Tier 2 is 1 or 0 with a pid namespace (isolate).
 *
 * Crashes: whatever the session makes is written down in a ledger before it exists, and a small
 * process, the reaper, watches the one that opened the session. When that dies, however it dies,
 * the reaper cleans up; when both die, whoever calls pnx_sessions_reap (reaper.h) does.
 *
 * Threads: one thread opens, runs and closes. pnx_session_signal may be called from anywhere.
 * Fork: a child of the calling program does not own its sessions.
 * Signals: a session installs no handlers. Reaping: it waits for its own children only, by pid.
 */
#ifndef CLEANROOM_SESSION_H
#define CLEANROOM_SESSION_H

#include <cleanroom/limits.h>
#include <cleanroom/report.h>
#include <cleanroom/thing.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pnx_session pnx_session;

/** No grace at all: kill at once. */
#define PNX_NO_GRACE ((pnx_duration)-1)

/** What of the session's own things is kept, in spite of the clean-up. Processes always end. */
typedef enum pnx_keep {
    PNX_KEEP_NEVER = 0,
    PNX_KEEP_ON_FAILURE, /**< when the command failed, timed out, or was never seen to end */
    PNX_KEEP_ALWAYS,
} pnx_keep;

/** One undo hook runs this long at most, and no longer than the patience of the session. */
#define PNX_SESSION_HOOK_TIME PNX_S(60)

/** A line for `sh -c` that undoes what nothing else knows how to undo; see hook.h. */
typedef struct pnx_on_exit {
    const char *command; /**< NULL ends a list of them */
    pnx_priority priority;
} pnx_on_exit;

/** Has the command a container engine of which nothing stays? */
typedef enum pnx_docker {
    PNX_DOCKER_OFF = 0, /**< it uses engines as it likes, and what it makes there stays */
    PNX_DOCKER_AUTO,    /**< where the socket of an engine accepts connections */
    PNX_DOCKER_ON,      /**< no engine is an error */
} pnx_docker;

/** So much is saved of a session's files, and no more; what is not is told. */
#define PNX_ARTIFACTS_FILES_MAX 10000
#define PNX_ARTIFACTS_BYTES_MAX ((uint64_t)1 << 30)
#define PNX_ARTIFACTS_BYTES_TEXT "1 GiB"

/** Tier N, in a configuration. */
#define PNX_TIER(N) ((N) + 1u)

/** How a session works. Zero in a field means its default (in brackets). Texts are copied. */
typedef struct pnx_session_config {
    const char *name;           /**< in the report [the last component of argv[0]] */
    const char *parent;         /**< where the private directory goes [$TMPDIR, else /tmp] */
    pnx_duration timeout;       /**< for the command [none] */
    pnx_duration grace;         /**< between SIGTERM and SIGKILL [1 s] */
    pnx_duration patience;      /**< for the whole clean-up, besides the grace [5 min] */
    size_t listed_max;          /**< processes, and files, that are reported one by one [1000] */
    unsigned tier;              /**< PNX_TIER(0) … PNX_TIER(3): at most this [what can be had] */
    unsigned tier_required;     /**< less than this number is an error [0] */
    pnx_keep keep;              /**< the directory, and what else is the session's [never] */
    const char *const *watch;   /**< directories in which new files are told, at any depth, besides
                                the first level of /tmp and /var/tmp; NULL-terminated; used by
                                pnx_session_open only [none] */
    const char *tool;           /**< the tool 'cleanroom', executed as the reaper
                                [$CLEANROOM_TOOL, else where it was installed] */
    bool no_reaper;             /**< nobody watches: what is left when this process dies stays until
                                somebody calls pnx_sessions_reap */
    const char *const *reports; /**< absolute paths that the reaper writes the report to when we
                                cannot; NULL-terminated [none] */
    /**
     * Run when the session is closed, before anything else is done, by whoever does that: the most
     * important ones first, of those the last one first, one at a time. At least once: a cleaner
     * that is killed just after a hook leaves it to the next one, which runs it again. Not at all
     * if no command was begun. In the directory of the caller, with PATH, HOME, TMPDIR, TMP, TEMP,
     * CLEANROOM_SESSION, and CLEANROOM_STATUS: the status that `cleanroom run` exits with, or
     * "unknown". Used by pnx_session_open only [none]
     */
    const pnx_on_exit *on_exit;
    /**
     * Regular files of the private directory are copied to `artifacts`/NAME-ID before that is
     * removed; links are not followed. `artifacts` is made if need be. Used by pnx_session_open
     * only [none]
     */
    const char *artifacts;
    const char *const *save; /**< patterns of fnmatch(3): of names, or of paths if there is a slash
                                  in one; NULL-terminated; likewise [everything] */
    /**
     * DOCKER_HOST of the command is a socket of the session, behind which everything that is made
     * in the engine gets the session's label: containers, networks, volumes and images that are
     * there when the session is closed are removed, and so when its process dies [off]
     */
    pnx_docker docker;
    bool docker_strict; /**< what is not the session's is neither seen nor touched by the command
                                [it is told] */
    /**
     * A YAML file whose key `services` names containers (docs/services.md): they are started before
     * the command, which finds them by variables, and taken down after its processes. Needs the
     * program cleanroom-services. Used by pnx_session_open only [none]
     */
    const char *services;
    bool owns_children;  /**< nothing else in this process makes children meanwhile: then orphans
                                that have neither cgroup nor cookie are known to be the command's */
    pnx_at_exit at_exit; /**< what becomes of a session that is open when the process exits
                                [closed, within two seconds] */
    unsigned isolate;    /**< flags of pnx_isolate (process.h): what the command has of its own */
    pnx_limits limits;   /**< of what it may use */
    bool job_control;    /**< stop when the command is stopped from the terminal, go on with it */
} pnx_session_config;

/**
 * Makes the directory and the cgroup, and makes the process a child subreaper (prctl(2)) until the
 * session is closed. The caller owns `*ret` and ends it with pnx_session_free, or in a guard.
 * PNX_EINVAL, PNX_ENOMEM, PNX_EFAILED (directory, threads, no /proc), PNX_ELIMIT (it cannot be
 * limited so); nothing was made then.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_session_open(const pnx_session_config *config,
                                                   pnx_session **ret, pnx_error *err);

PNX_API pnx_id pnx_session_id(const pnx_session *session);
/** The private directory: TMPDIR, TMP and TEMP of the command. */
PNX_API const char *pnx_session_tmpdir(const pnx_session *session);

/**
 * Runs the command and waits until it has ended or its time is over; then pnx_session_close ends it
 * with all the rest. Once a session. It inherits what pnx_process_spawn says.
 * PNX_ELIMIT: it cannot be isolated so; the error says what the machine lacks.
 * PNX_OK, however it ended: the report says; PNX_ETIMEOUT; PNX_ENOTFOUND, PNX_EUNSUPPORTED: it
 * could not be executed; PNX_EALREADY: a command was run in this session; PNX_EFAILED.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_session_run(pnx_session *session, const char *const *argv,
                                                  pnx_error *err);

/**
 * For the main of a program that does nothing else: if somebody cuts a ledger off in the very
 * moment in which it is written to, that is an error of the call, not the end of the process.
 * Other causes of SIGBUS go where they went before; if it is ignored, nothing is done. Once is
 * enough; from any thread. PNX_EFAILED.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_session_catch_sigbus(pnx_error *err);

/**
 * Async-signal-safe: tells the session of a signal that this process received. Signals that are
 * sent to it are sent on to the command, but not those that the command has had too: from the
 * terminal (`sender` 0), or from one of its own processes. SIGCHLD reaps orphans meanwhile. The
 * second of SIGINT, SIGTERM, SIGHUP and SIGQUIT (in any mix) cuts the grace of the clean-up short.
 */
PNX_API void pnx_session_signal(pnx_session *session, int signal_number, pid_t sender);

/**
 * Cleans up, verifies, and ends the session, whatever the answer. `*ret` (may be NULL) is written
 * always. PNX_OK: nothing is left; PNX_EFAILED: something is, and the report names it;
 * PNX_EALREADY: it was closed before; PNX_EFORKED: it is the parent's. `*ret` is zeroed then.
 */
PNX_API pnx_status pnx_session_close(pnx_session *session, pnx_session_report *ret, pnx_error *err);
/** What pnx_session_close is at just now: "ending processes"; a constant. From any thread. */
PNX_API const char *pnx_session_step(const pnx_session *session);
/** Closes the session, if it is not, and frees it: no handler may use it any more. NULL is fine,
 *  and in a fork child it does nothing. */
PNX_API void pnx_session_free(pnx_session *session);

/**
 * Writes down what is made in the session with it (thing.h): what is still there when the session
 * is closed, or when its process dies, is removed with the rest. Valid while the session is open;
 * from any thread.
 */
PNX_API pnx_keeper pnx_session_keeper(pnx_session *session);

/** Its release closes and frees the session; what could not be removed makes it fail. */
extern PNX_API const pnx_kind pnx_kind_session;

#ifdef __cplusplus
}
#endif

PNX__OFFER_KIND(session, pnx_session *);

#endif
