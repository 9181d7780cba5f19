/* SPDX-License-Identifier: MIT */
/**
 * @file check.h
 * One look at a container: is what runs in it ready, is it well? Of libcleanroom-docker. Who wants
 * to go on looking uses the health guard, <cleanroom/health.h>.
 *
 *     const pnx_check listens = {.type = PNX_CHECK_TCP, .port = 5432};
 *     const pnx_call call = pnx_call_within(PNX_S(2));
 *     pnx_check_result result;
 *     if (pnx_check_once(engine, id, &listens, &call, &result, err)) return err->code;
 *     if (result.verdict != PNX_VERDICT_PASSES) puts(result.reason);
 *
 * Promises:
 *   - A look ends by its call's deadline, or when it is canceled, whatever the engine, the
 *     container and what answers at its ports do. Memory is bounded: nothing is read without end.
 *   - What is not known is not said: when the engine does not answer, the look has failed, and the
 *     container has not.
 *   - Nothing is changed, but that a command runs in the container.
 *
 * Where a port is reached: at `host`, if it is given; else at the container's own address, where
 * the engine's bridge is one of this machine's (an engine of root on a local socket); else where
 * the port is published. Behind a published port the engine itself accepts connections, for a
 * container that does not listen, too: they count only if they are not closed at once. Where
 * neither is (network "none", no published port; an engine elsewhere), there is no way from here,
 * and the answer is PNX_EUNSUPPORTED: use a command.
 *
 * Thread-safe: any number of looks at a time.
 */
#ifndef CLEANROOM_CHECK_H
#define CLEANROOM_CHECK_H

#include <cleanroom/docker.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pnx_check_type {
    PNX_CHECK_RUNS = 0, /**< it runs, and is not paused */
    PNX_CHECK_ENGINE,   /**< the engine's own health check, as its image or its config asks for */
    PNX_CHECK_COMMAND,  /**< a command in it exits with 0 */
    PNX_CHECK_TCP,      /**< a port accepts a connection */
    PNX_CHECK_HTTP,     /**< a request is answered as it should be */
    PNX_CHECK_LOG,      /**< it has written a line since it was last started */
    PNX_CHECK_TYPE_COUNT
} pnx_check_type;

/** "runs", "engine", "command", "tcp", "http", "log". Never NULL. */
PNX_API const char *pnx_check_type_name(pnx_check_type type);

/** What to look at. Zero in a field that the type has means what is said there. */
typedef struct pnx_check {
    pnx_check_type type;
    const char *const *argv; /**< COMMAND: NULL-terminated; NULL: see `shell` */
    const char *shell;       /**< COMMAND: given to the container's /bin/sh -c */
    const char *user;        /**< COMMAND: NULL: the container's */
    const char *host;        /**< TCP, HTTP: a numeric address; NULL: the container's, see above.
                                  With it, `port` is that of the host. */
    uint16_t port;           /**< TCP, HTTP: in the container */
    const char *path;        /**< HTTP: path and query, escaped; NULL: "/" */
    int status_min;          /**< HTTP: 0: 200 */
    int status_max;          /**< HTTP: 0: 399, or `status_min` if that is given */
    const char *text;        /**< LOG: the line has it in it. HTTP: the first MiB of the answer has;
                                  NULL: whatever it has */
    const char *pattern;     /**< LOG: instead of `text`, an extended regular expression (POSIX) */
    unsigned count;          /**< LOG: so many such lines at least; 0: 1 */
} pnx_check;

typedef enum pnx_verdict {
    PNX_VERDICT_PASSES = 0,
    PNX_VERDICT_FAILS,
    PNX_VERDICT_STARTING, /**< ENGINE: its engine does not say either yet */
    PNX_VERDICT_COUNT
} pnx_verdict;

/** "passes", "fails", "starting". Never NULL. */
PNX_API const char *pnx_verdict_name(pnx_verdict verdict);

/** What was seen. A plain value. */
typedef struct pnx_check_result {
    pnx_verdict verdict;
    bool running;    /**< false: it does not run, and so no look can pass before it is started */
    bool ended;      /**< it ran, and has ended */
    bool oom_killed; /**< the engine says that memory ran out in it */
    int exit_code;   /**< of the container when it does not run, else 0 */
    int number;      /**< COMMAND: its exit status; HTTP: the status; LOG: lines that match */
    pnx_duration took;
    char reason[PNX_ERROR_MESSAGE_MAX]; /**< what was seen: "exit status 1: no such table" */
} pnx_check_result;

/**
 * Is it a check at all? PNX_EINVAL names the field. Those below check for themselves.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_check_validate(const pnx_check *check, pnx_error *err);

/**
 * Looks once. PNX_OK: it was seen, and `*ret` says what, also that it fails; a command, connection
 * or request that is not through by the deadline fails. Otherwise nothing is known of it, and
 * `*ret` is untouched: PNX_ENOTFOUND: there is no such container; PNX_EUNSUPPORTED: it has no
 * health check of its own, or there is no way to its port; PNX_ETIMEOUT, PNX_ECANCELED,
 * PNX_EFAILED: the engine did not say; PNX_EINVAL.
 * A command that is given up runs on in the container: see pnx_engine_exec.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_check_once(pnx_engine *engine, const char *container,
                                                 const pnx_check *check, const pnx_call *call,
                                                 pnx_check_result *ret, pnx_error *err);

#ifdef __cplusplus
}
#endif

#endif
