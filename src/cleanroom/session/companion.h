/* SPDX-License-Identifier: MIT */
/**
 * @file companion.h
 * A companion is a helper process of a session: it runs beside the command, is no part of it, and
 * ends when the session wants no more of it.
 *
 *   - fd 0 of it is the control pipe, of which nobody else has the other end: its end of file says
 *     that it is to end, be it that the session closes it or that the supervisor dies. fd 1 and 2
 *     are read by the session; fd 3 is what the owner gives. It has none of our other descriptors,
 *     a process session of its own, and "/" as its working directory.
 *   - It is in the ledger from before its start until it is seen to be gone: whoever cleans up in
 *     our place waits for it, and ends it by force if it does not go.
 *   - Neither the tracker nor the set of the command's processes takes it for one of the command's.
 *
 * Everything here is called by the thread that opens, runs and closes the session.
 */
#ifndef CLEANROOM_SESSION_COMPANION_H
#define CLEANROOM_SESSION_COMPANION_H

#include <cleanroom/session.h>

#include <cleanroom/process.h>
#include <poll.h>

/** What one companion says on stderr is kept up to this; of more, the end. */
#define PNX__COMPANION_SAID 1024
/** Descriptors of one companion that are waited for. */
#define PNX__COMPANION_FDS 3
/** The helper that has no use for patience: another one does its work again. */
#define PNX__ENGINE_SWEEP "the sweep of the engine"
/** So many may a session have at a time. */
#define PNX__COMPANIONS_MAX 4

struct pnx__companion_config {
    const char *name;               /**< in the ledger and in what is told: "the docker proxy"; a
                                         constant */
    const char *program;            /**< a program that belongs to the tool: "cleanroom-docker" */
    const char *const *argv;        /**< NULL-terminated; argv[0] is its name */
    const char *const *environment; /**< "NAME=value", NULL-terminated; NULL: the caller's */
    int given;                      /**< a descriptor that becomes its fd 3; 0: none */
    pnx_duration patience;          /**< from the end of its control pipe to SIGTERM; 0: 5 s */
    /** Called with what it wrote to fd 1, in pieces; may be NULL. */
    void (*took)(void *context, const char *data, size_t size);
    /** Called when it ended although nobody wanted that, after the last `took`; `status` as of
     *  waitpid(2). It may be started again there. NULL: that becomes a warning in the report. */
    void (*ended)(void *context, int status);
    void *context;
};

/** Zeroed: it was never started. Belongs to its owner, and must outlive the session. */
struct pnx__companion {
    struct pnx__companion_config config;
    struct pnx__companion *next;   /* of those of the session */
    bool running;                  /* it was started and not yet seen to be gone */
    bool started_once, of_another; /* of_another: it was the dead supervisor's */
    int control, output, complaint;
    pnx_process process;
    uint32_t resource;
    int status;       /**< as of waitpid(2), when it has ended; -1: not known */
    bool forced;      /**< it had to be ended by a signal */
    size_t said_size; /* without the terminator */
    char said[PNX__COMPANION_SAID];
};

/**
 * Starts it: INTENT, process, BOUND, excluded from tracking. It may be started again when it has
 * ended. PNX_ENOTFOUND: there is no such program; PNX_EFAILED, PNX_ENOMEM; PNX_EALREADY: it runs;
 * PNX_ELIMIT: the session has so many.
 */
PNX_MUST_CHECK pnx_status pnx__companion_start(pnx_session *session,
                                               struct pnx__companion *companion,
                                               const struct pnx__companion_config *config,
                                               pnx_error *err);
/**
 * Serves the session (signals, reaper, companions) until `ready` answers true.
 * PNX_EFAILED: the companion ended before; PNX_ETIMEOUT; PNX_ECANCELED: somebody interrupted us.
 */
PNX_MUST_CHECK pnx_status pnx__companion_await(pnx_session *session,
                                               struct pnx__companion *companion,
                                               bool (*ready)(void *context), pnx_time deadline,
                                               pnx_error *err);
/** The last line that it wrote to stderr, without its end; may be empty. Valid until it is asked
 *  again, or the companion writes more. */
const char *pnx__companion_last_words(struct pnx__companion *companion);

/* ---- for the session ------------------------------------------------------------------------- */

/** Fills in what is to be waited for; answers how many. */
size_t pnx__companions_poll_set(const pnx_session *session,
                                struct pollfd fds[PNX__COMPANIONS_MAX * PNX__COMPANION_FDS]);
/** Reads what came, and notices who ended; after poll(2) of these descriptors, or any time. */
void pnx__companions_serve(pnx_session *session);
/** Another reaper came: it has to know them. */
void pnx__companions_exclude(pnx_session *session);
/**
 * Ends all of them, side by side: the control pipe, then SIGTERM, then SIGKILL. False: one is still
 * there.
 */
bool pnx__companions_stop(pnx_session *session, pnx_time deadline);
/** One that an adopter found in the ledger; `identity` NULL: it is not known who it was. */
void pnx__companion_adopt(pnx_session *session, uint32_t resource, const char *name,
                          const char *identity);
/** Waits until it has ended by itself, and ends it by force if that is not before `deadline`. */
void pnx__companion_finish(pnx_session *session, struct pnx__companion *companion,
                           pnx_time deadline);
void pnx__companions_tell(pnx_session *session, pnx_session_report *report);
void pnx__companions_forget(pnx_session *session);

#endif
