/* SPDX-License-Identifier: MIT */
/**
 * @file reaper.h
 * Sessions of others: which there are, and cleaning up after those whose owner is dead.
 *
 * Each session has a ledger in the state directory ($CLEANROOM_STATE_DIR; for root
 * /var/lib/cleanroom; else $XDG_STATE_HOME/cleanroom or ~/.local/state/cleanroom). A session is
 * dead when the very process that opened it is: identity, not pid. One that lives is never touched.
 * Of several that want to clean up after the same one, one is elected by a lock.
 *
 * Threads: any. These calls take no part in sessions that this process has open.
 */
#ifndef CLEANROOM_REAPER_H
#define CLEANROOM_REAPER_H

#include <cleanroom/report.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How a session is. */
typedef enum pnx_session_life {
    PNX_SESSION_LIVE,    /**< its supervisor lives */
    PNX_SESSION_DEAD,    /**< it does not, and nobody cleans up */
    PNX_SESSION_ADOPTED, /**< it does not, and somebody cleans up right now */
    PNX_SESSION_UNKNOWN, /**< that cannot be told: `problem` says why */
} pnx_session_life;

/** "live", "dead", "adopted", "unknown". Never NULL. */
PNX_API const char *pnx_session_life_name(pnx_session_life life);

/** One thing that a session has, as its ledger has it. */
typedef struct pnx_session_held {
    const char *kind; /**< "tempdir", "cgroup", "shm", … */
    const char *name;
    const char *identity; /**< NULL: it is not known to exist */
    int64_t since;        /**< nanoseconds since 1970 */
} pnx_session_held;

/** What is known of a session. Texts are valid during the call only. */
typedef struct pnx_session_info {
    pnx_id id;
    pnx_session_life life;
    const char *problem; /**< NULL: there is none */
    const char *name;    /**< may be NULL */
    const char *command; /**< its words a line each, as in the ledger; NULL: none ran so far */
    unsigned tier;
    pid_t supervisor, reaper; /**< 0: not known, or none */
    int64_t created;          /**< nanoseconds since 1970 */
    size_t held_count;
    const pnx_session_held *held; /**< what is not gone */
} pnx_session_info;

/** Visits every session of this user, in no order; false ends it. PNX_EFAILED, PNX_ENOMEM. */
PNX_MUST_CHECK PNX_API pnx_status pnx_sessions_each(bool (*visit)(const pnx_session_info *info,
                                                                  void *context),
                                                    void *context, pnx_error *err);

/**
 * Cleans up after one session whose owner is dead, as its own close would have. `adopter` is what
 * the report calls us: "adopter". `*ret` (may be NULL) is written only when we were it.
 * PNX_OK: nothing of it is left; PNX_EFAILED: something is, and the report names it, or it cannot
 * be read; PNX_EBUSY: its owner lives, or somebody else cleans up and did not end by `deadline`;
 * PNX_EALREADY: somebody else did; PNX_ENOTFOUND: there is no such session.
 */
PNX_API pnx_status pnx_session_reap(pnx_id id, const char *adopter, pnx_time deadline,
                                    pnx_session_report *ret, pnx_error *err);

/** Called for each session that was reaped, or could not be. */
typedef void (*pnx_reaped_fn)(pnx_id id, pnx_status status, const pnx_session_report *report,
                              const pnx_error *err, void *context);
/** Reaps every dead session that is at least `older_than` old. PNX_OK also when some failed. */
PNX_API pnx_status pnx_sessions_reap(pnx_duration older_than, pnx_reaped_fn done, void *context,
                                     pnx_error *err);

/**
 * The main function of a reaper, which the tool runs for a session (`cleanroom reaper ID`): watches
 * the supervisor until it closes the session or dies, and cleans up in its place then. `control` is
 * the socket on which they talk; `track`: also follow forks and who makes what, as root.
 * Returns an exit status.
 */
PNX_API int pnx_reaper_main(const char *session, int control, bool track);

#ifdef __cplusplus
}
#endif

#endif
