/* SPDX-License-Identifier: MIT */
/**
 * @file lifecycle.h
 * The lifecycle guard: the whole life of a container. It is created, started, looked at, started
 * again when it ends, and in the end stopped, removed and seen to be gone. Of libcleanroom-docker;
 * docs/guards/lifecycle.md tells the whole story.
 *
 *     pnx_auto(lifecycle) guard = pnx_reserve(lifecycle, registry, err);
 *     if (guard.status) return guard.status;
 *     pnx_lifecycle *life;
 *     const pnx_lifecycle_config config = {.container = {.image = "postgres:15"},
 *                                          .restart = PNX_RESTART_ON_FAILURE};
 *     if (pnx_lifecycle_new(engine, registry, &config, &life, err)) return err->code;
 *     pnx_arm(&guard, life);                       // from here on it will be removed
 *     if (pnx_lifecycle_begin(life, NULL, err)) return err->code;
 *     if (pnx_lifecycle_wait(life, PNX_LIFE_HEALTHY, deadline, err)) return err->code;
 *
 * Promises:
 *   - It is started again by us, not by the engine: each restart, its reason and the pause before
 *     it are told, in order, exactly once, and nothing comes back that was given up.
 *   - A guard that is dropped is canceled first: nothing is called any more, and no look, start or
 *     restart goes on, when its container is stopped and removed. Removed is seen to be gone, as by
 *     the container guard; what cannot be removed is retried, and told by the registry.
 *   - No thread of its own: looks, pauses and restarts are timer tasks on the registry's workers,
 *     at most half of them at a time.
 *   - What the engine does not say is unknown, and no reason to start anything again.
 */
#ifndef CLEANROOM_LIFECYCLE_H
#define CLEANROOM_LIFECYCLE_H

#include <cleanroom/docker.h>
#include <cleanroom/health.h>

#ifdef __cplusplus
extern "C" {
#endif

/** When a container that has ended is started again. */
typedef enum pnx_restart {
    PNX_RESTART_NEVER = 0,
    PNX_RESTART_ON_FAILURE, /**< its exit status is not 0, or memory ran out */
    PNX_RESTART_ALWAYS,
    PNX_RESTART_COUNT
} pnx_restart;

/** "never", "on-failure", "always". Never NULL. */
PNX_API const char *pnx_restart_name(pnx_restart restart);

/** Where a container is in its life. */
typedef enum pnx_life {
    PNX_LIFE_NEW = 0,  /**< nothing is begun */
    PNX_LIFE_STARTING, /**< it was started, and is not well yet */
    PNX_LIFE_HEALTHY,
    PNX_LIFE_UNHEALTHY,
    PNX_LIFE_UNKNOWN, /**< the engine does not say */
    PNX_LIFE_PAUSE,   /**< it has ended, and will be started again */
    PNX_LIFE_ENDED,   /**< it has ended, or is gone, and will not be started again */
    PNX_LIFE_REMOVED, /**< it was removed, and seen to be gone */
    PNX_LIFE_COUNT
} pnx_life;

/** "new", "starting", … Never NULL. */
PNX_API const char *pnx_life_name(pnx_life life);

/** A step in its life. A plain value. */
typedef struct pnx_life_entry {
    pnx_life before, life;
    pnx_time time;      /**< of the registry's clock */
    unsigned restarts;  /**< so far, in a row */
    int exit_code;      /**< PAUSE, ENDED: of the life that is over */
    bool oom_killed;    /**< PAUSE, ENDED: memory ran out in it */
    pnx_duration pause; /**< PAUSE: until it is started again */
    char reason[PNX_ERROR_MESSAGE_MAX];
} pnx_life_entry;

typedef struct pnx_lifecycle pnx_lifecycle;

/** Zero means the default, in brackets. What it points to is copied. */
typedef struct pnx_lifecycle_config {
    pnx_container_config container; /**< its `grace` is between its stop signal and SIGKILL */
    pnx_health_config health;       /**< how it is looked at; `changed` is called as well */
    pnx_restart restart;
    unsigned restarts_max;  /**< in a row; [no limit] */
    pnx_duration pause;     /**< before the first restart; doubles with each in a row [100 ms] */
    pnx_duration pause_max; /**< [1 min] */
    pnx_duration settled;   /**< it has run for so long: its restarts are no row any more [10 s] */
    bool restart_unhealthy; /**< also stop and start again what is unhealthy */
    unsigned history;       /**< steps that are remembered [64]; 1024 at most */
    pnx_outcome *outcome;   /**< where each attempt to remove it writes what became of it; must
                                 outlive it [nowhere] */
    /** Called on each step, on a worker (the first one in the thread that begins), one at a time,
     *  with no lock held, until the guard is dropped; PNX_LIFE_REMOVED then is the last. It may
     *  drop the guard. */
    void (*changed)(const pnx_life_entry *entry, void *context);
    void *context;
} pnx_lifecycle_config;

typedef struct pnx_lifecycle_counts {
    uint64_t starts;   /**< the first and all restarts that went well */
    uint64_t restarts; /**< tried */
    uint64_t ended;    /**< lives that are over */
    uint64_t oom;      /**< of these, with memory that ran out */
    pnx_health_counts health;
} pnx_lifecycle_counts;

/**
 * Makes all that is needed; nothing exists in the engine yet. The engine and the registry must
 * outlive it. The caller owns `*ret`: arm a guard of the kind `lifecycle` with it at once, which
 * then ends it. PNX_EINVAL names the field; PNX_ENOMEM, PNX_ESHUTDOWN, PNX_EFAILED (no descriptor).
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_lifecycle_new(pnx_engine *engine, pnx_registry *registry,
                                                    const pnx_lifecycle_config *config,
                                                    pnx_lifecycle **ret, pnx_error *err);
/**
 * Creates and starts it, and begins to look at it. Once: then PNX_EALREADY. On failure there may be
 * a container, which goes with the guard. Errors as of pnx_object_create and pnx_engine_start;
 * PNX_ESHUTDOWN.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_lifecycle_begin(pnx_lifecycle *life, const pnx_call *call,
                                                      pnx_error *err);
/** Ends one that never began and is in no guard. NULL is fine. */
PNX_API void pnx_lifecycle_free(pnx_lifecycle *life);

PNX_API pnx_life pnx_lifecycle_state(pnx_lifecycle *life);
/** Its container's id; empty before it is created. Valid until the guard has ended. */
PNX_API const char *pnx_lifecycle_container(const pnx_lifecycle *life);
/**
 * Waits until its life is as wanted, until `deadline` on CLOCK_MONOTONIC. PNX_EFAILED: it has ended
 * and will not be started again, or it is wanted healthy, and is unhealthy for good (the error says
 * why); PNX_ETIMEOUT; PNX_ECANCELED: its guard is dropped, or it cannot be looked at any more. Not
 * on a worker. The guard must not have ended before it returns.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_lifecycle_wait(pnx_lifecycle *life, pnx_life wanted,
                                                     pnx_time deadline, pnx_error *err);
/** The last steps, oldest first, at most `most`; answers how many. */
PNX_API size_t pnx_lifecycle_history(pnx_lifecycle *life, pnx_life_entry *ret, size_t most);
/** The last looks, likewise. */
PNX_API size_t pnx_lifecycle_looks(pnx_lifecycle *life, pnx_health_entry *ret, size_t most);
PNX_API void pnx_lifecycle_counts_of(pnx_lifecycle *life, pnx_lifecycle_counts *ret);

/** Its release cancels what goes on, and then stops, removes and verifies the container. */
extern PNX_API const pnx_kind pnx_kind_lifecycle;

#ifdef __cplusplus
}
#endif

PNX__OFFER_KIND(lifecycle, pnx_lifecycle *);

#endif
