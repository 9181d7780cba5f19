/* SPDX-License-Identifier: MIT */
/**
 * @file health.h
 * The health guard: looks at a container every so often, and knows how it is. Of
 * libcleanroom-docker; docs/guards/health.md tells the whole story.
 *
 *     pnx_auto(health) guard = pnx_reserve(health, registry, err);
 *     if (guard.status) return guard.status;
 *     const pnx_check http = {.type = PNX_CHECK_HTTP, .port = 8080, .path = "/health"};
 *     pnx_health_watch *watch;
 *     const pnx_health_config config = {.checks = &http, .check_count = 1};
 *     if (pnx_health_watch_new(engine, registry, container, &config, &watch, err))
 *         return err->code;
 *     pnx_arm(&guard, watch);
 *     if (pnx_health_watch_begin(watch, err)) return err->code;
 *     if (pnx_health_watch_wait(watch, PNX_HEALTHY, deadline, err)) return err->code;
 *
 * Promises:
 *   - No thread of its own: looks are timer tasks on the registry's workers, at most half of them
 *     at a time. They never overlap, and each ends by its timeout.
 *   - What is not known is called unknown: an engine that does not answer makes nobody ill.
 *   - Every transition is told, in order, exactly once: to `changed`, and to the registry's
 *     monitors and counters as a moment of the kind "container healthy", "container unhealthy", …
 *   - A guard that was dropped has ended: the look that goes on is canceled and waited for, and
 *     nothing is called any more.
 * It does not stop, start or remove anything: that is the lifecycle guard's.
 */
#ifndef CLEANROOM_HEALTH_H
#define CLEANROOM_HEALTH_H

#include <cleanroom/check.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How a container is. */
typedef enum pnx_condition {
    PNX_UNKNOWN = 0, /**< the engine did not say, or nobody has looked yet */
    PNX_STARTING,    /**< not well yet, and not expected to be */
    PNX_HEALTHY,
    PNX_UNHEALTHY, /**< enough looks in a row have failed; or it has ended, or is gone */
    PNX_CONDITION_COUNT
} pnx_condition;

/** "unknown", "starting", "healthy", "unhealthy". Never NULL. */
PNX_API const char *pnx_condition_name(pnx_condition condition);

/** A look that said something new, or one of the last. A plain value. */
typedef struct pnx_health_entry {
    pnx_condition before, condition; /**< after it; the same when nothing changed */
    pnx_time time;                   /**< of the registry's clock */
    pnx_duration took;
    unsigned failing; /**< looks in a row that have failed, this one included */
    bool running;     /**< the container was */
    int exit_code;    /**< of the container when it does not run */
    bool oom_killed;
    char reason[PNX_ERROR_MESSAGE_MAX]; /**< "tcp: 172.17.0.2:80: Connection refused" */
} pnx_health_entry;

typedef struct pnx_health_watch pnx_health_watch;

/** Zero means the default, in brackets. What it points to is copied. */
typedef struct pnx_health_config {
    const pnx_check *checks; /**< a look is all of them, and passes when all do [the engine's own
                                  health check if it has one, else that it runs] */
    size_t check_count;      /**< 16 at most */
    pnx_duration interval;   /**< from one look's end to the next [5 s]; 1 ms at least */
    pnx_duration timeout;    /**< of each check [5 s] */
    unsigned retries;   /**< so many failed looks in a row make it unhealthy [3; 1 without checks:
                                  the engine has counted already] */
    unsigned successes; /**< so many good ones make it healthy again [1] */
    unsigned unknowns;  /**< so many that said nothing make it unknown [1] */
    pnx_duration start_period;   /**< until its first success, failures in this time after the first
                                    look do not count [0] */
    pnx_duration start_interval; /**< while it is starting [`interval`] */
    unsigned history;            /**< looks that are remembered [16]; 1024 at most */
    /** Called on each transition, on a worker, one at a time, with no lock held. It may drop the
     *  guard, and call anything but pnx_health_watch_wait. */
    void (*changed)(const pnx_health_entry *entry, void *context);
    void *context;
} pnx_health_config;

/** How often what was seen. */
typedef struct pnx_health_counts {
    uint64_t looks, passed, failed, unknown;
    uint64_t transitions[PNX_CONDITION_COUNT]; /**< into it */
} pnx_health_counts;

/**
 * Makes all that is needed; nobody looks yet. `container` is an id or a name; the engine and the
 * registry must outlive it. The caller owns `*ret`: arm a guard of the kind `health` with it at
 * once, which then ends it. PNX_EINVAL names the field; PNX_ENOMEM, PNX_ESHUTDOWN, PNX_EFAILED (no
 * descriptor).
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_health_watch_new(pnx_engine *engine, pnx_registry *registry,
                                                       const char *container,
                                                       const pnx_health_config *config,
                                                       pnx_health_watch **ret, pnx_error *err);
/** Begins to look, at once. Once: then PNX_EALREADY. PNX_ENOMEM, PNX_ESHUTDOWN. */
PNX_MUST_CHECK PNX_API pnx_status pnx_health_watch_begin(pnx_health_watch *watch, pnx_error *err);
/** Ends one that never began and is in no guard. NULL is fine. */
PNX_API void pnx_health_watch_free(pnx_health_watch *watch);

PNX_API pnx_condition pnx_health_watch_condition(pnx_health_watch *watch);
/**
 * Waits until it is as wanted, until `deadline` on CLOCK_MONOTONIC. PNX_EFAILED: it was wanted
 * healthy, and is unhealthy (the error says why); PNX_ETIMEOUT (the error says what was seen last);
 * PNX_ECANCELED: its guard is dropped, or it cannot look any more. Not on a worker: it could wait
 * for itself. The guard must not have ended before it returns.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_health_watch_wait(pnx_health_watch *watch,
                                                        pnx_condition wanted, pnx_time deadline,
                                                        pnx_error *err);
/** The last looks, oldest first, at most `most`; answers how many. */
PNX_API size_t pnx_health_watch_history(pnx_health_watch *watch, pnx_health_entry *ret,
                                        size_t most);
PNX_API void pnx_health_watch_counts(pnx_health_watch *watch, pnx_health_counts *ret);

/** Its release stops the looking; the container is left alone. */
extern PNX_API const pnx_kind pnx_kind_health;

#ifdef __cplusplus
}
#endif

PNX__OFFER_KIND(health, pnx_health_watch *);

#endif
