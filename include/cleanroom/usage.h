/* SPDX-License-Identifier: MIT */
/**
 * @file usage.h
 * The resource guard: limits of a container that are really set, and what it uses of them. Of
 * libcleanroom-docker; docs/guards/resource.md tells the whole story.
 *
 *     pnx_container_limits limits = {.memory_max = 512 << 20, .cpus = 1.5, .pids_max = 100};
 *     if (pnx_container_limits_set(&limits, &config, NULL, err)) return err->code;
 *     … create and start it …
 *     if (pnx_container_limits_verify(engine, id, &limits, NULL, NULL, err)) return err->code;
 *
 *     pnx_auto(usage) guard = pnx_reserve(usage, registry, err);
 *     if (guard.status) return guard.status;
 *     pnx_usage_watch *watch;
 *     if (pnx_usage_watch_new(engine, registry, id, &(pnx_usage_config){.changed = told}, &watch,
 *                             err))
 *         return err->code;
 *     pnx_arm(&guard, watch);
 *     if (pnx_usage_watch_begin(watch, err)) return err->code;
 *
 * Promises:
 *   - A limit that is not set is an error, not a hope: by what the engine says, and by what the
 *     kernel has in the container's cgroup, where that can be seen from here.
 *   - Every crossing of a bound is told once, in order: to `changed`, and to the registry's
 *     monitors and counters as a moment of the kind "container soft limit", "container hard limit",
 *     "container memory ran out", … A value at a bound that moves a little is not told again.
 *   - No thread of its own: looks are timer tasks on the registry's workers, at most half of them
 *     at a time. A guard that was dropped has ended.
 * Between two looks nobody looks: what comes and goes in less than `interval` is seen only by the
 * kernel's own counts and peaks, where they can be read.
 */
#ifndef CLEANROOM_USAGE_H
#define CLEANROOM_USAGE_H

#include <cleanroom/docker.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- limits ---------------------------------------------------------------------------------- */

/** What may be limited, and is measured. */
typedef enum pnx_usage_type {
    PNX_USAGE_MEMORY = 0, /**< bytes, without page cache that can go at once */
    PNX_USAGE_CPU,        /**< thousandths of a processor, since the last look */
    PNX_USAGE_PIDS,       /**< processes and threads */
    PNX_USAGE_DISK,       /**< bytes in its own layer of the file system */
    PNX_USAGE_CPU_TIME,   /**< milliseconds of a processor, since it was started */
    PNX_USAGE_TYPE_COUNT
} pnx_usage_type;

/** "memory", "cpu", "pids", "disk", "cpu time". Never NULL. */
PNX_API const char *pnx_usage_type_name(pnx_usage_type type);

/** Zero: no limit. */
typedef struct pnx_container_limits {
    uint64_t memory_max; /**< bytes, swap included */
    double cpus;
    int64_t pids_max;
    uint64_t disk_max; /**< bytes of its own layer; only some drivers can: overlay2 on xfs with
                            project quotas, btrfs, zfs */
} pnx_container_limits;

/**
 * Puts the limits into a configuration. The limit of the disk needs a body: it is put into a copy
 * of the configuration's, which is `*ret_body` then, and must be given up by json_decref after
 * pnx_container_new; without a limit of the disk it is NULL, and `ret_body` may be NULL. A driver
 * that cannot limit the disk refuses the creation, and says so. PNX_EINVAL, PNX_ENOMEM.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_container_limits_set(const pnx_container_limits *limits,
                                                           pnx_container_config *config,
                                                           struct json_t **ret_body,
                                                           pnx_error *err);

/** What was seen of one limit, in the units of pnx_usage_type. */
typedef struct pnx_limit_seen {
    uint64_t wanted; /**< 0: none was asked for */
    uint64_t engine; /**< what the engine says; 0: none */
    uint64_t kernel; /**< what its cgroup says; 0: none */
    bool visible;    /**< its cgroup could be read: it runs, and here */
} pnx_limit_seen;

/**
 * Looks whether the limits are set, those that are not 0. PNX_OK: all are. PNX_EFAILED: the error
 * names the first that is not, and who has it otherwise. `ret` (may be NULL) is written in both
 * cases: PNX_USAGE_TYPE_COUNT of them; CPU_TIME has none. PNX_ENOTFOUND.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_container_limits_verify(pnx_engine *engine,
                                                              const char *container,
                                                              const pnx_container_limits *limits,
                                                              const pnx_call *call,
                                                              pnx_limit_seen *ret, pnx_error *err);

/* ---- usage ----------------------------------------------------------------------------------- */

typedef enum pnx_usage_event_type {
    PNX_USAGE_SOFT = 0, /**< it has come to its soft bound */
    PNX_USAGE_BELOW,    /**< it was at its soft bound, and is clearly below now */
    PNX_USAGE_HARD,     /**< it has come to its hard bound: `action` was taken */
    PNX_USAGE_OOM,      /**< memory ran out: the kernel has killed in it */
    PNX_USAGE_REFUSED,  /**< the kernel has refused it more processes */
    PNX_USAGE_ENDED,    /**< it does not run any more; nobody looks further */
    PNX_USAGE_EVENT_COUNT
} pnx_usage_event_type;

/** "soft limit", "below soft limit", "hard limit", "memory ran out", "pids refused", "ended". */
PNX_API const char *pnx_usage_event_name(pnx_usage_event_type type);

/** What is done at a hard bound, besides telling. */
typedef enum pnx_usage_action {
    PNX_USAGE_TELL = 0, /**< nothing: whoever is told does what is to be done */
    PNX_USAGE_STOP,     /**< its stop signal, and SIGKILL after the grace */
    PNX_USAGE_KILL,
} pnx_usage_action;

/** A plain value. */
typedef struct pnx_usage_event {
    pnx_usage_event_type type;
    pnx_usage_type usage; /**< of a bound */
    uint64_t value;       /**< seen; of OOM and REFUSED: how often so far */
    uint64_t bound;
    pnx_time time;     /**< of the registry's clock */
    pnx_status status; /**< HARD: what became of the action; ENDED: PNX_ENOTFOUND if it is gone */
    int exit_code;     /**< ENDED */
    char reason[PNX_ERROR_MESSAGE_MAX]; /**< for people */
} pnx_usage_event;

/** In the units of pnx_usage_type. Zero: see pnx_usage_config. */
typedef struct pnx_usage_bound {
    uint64_t soft, hard;
} pnx_usage_bound;

typedef struct pnx_usage_watch pnx_usage_watch;

/** Zero means the default, in brackets. */
typedef struct pnx_usage_config {
    pnx_duration interval; /**< from one look's end to the next [1 s]; 1 ms at least */
    pnx_duration timeout;  /**< of a look [5 s] */
    /** [soft: of memory, pids and disk `soft` of the limit that the engine has, if it has one; of
     *  all else none. hard: none] */
    pnx_usage_bound bounds[PNX_USAGE_TYPE_COUNT];
    double soft;    /**< [0.8]; 0 to 1 */
    bool by_engine; /**< only what the engine counts, once a second; else memory, pids and CPU time
                         are read from its cgroup, where it can be seen, at no cost */
    pnx_usage_action action;
    pnx_duration grace; /**< of PNX_USAGE_STOP, in whole seconds [0] */
    /** Called on each event, on a worker, one at a time, with no lock held. It may drop the guard.
     */
    void (*changed)(const pnx_usage_event *event, void *context);
    void *context;
} pnx_usage_config;

/** What it has used so far, for reports. A plain value. */
typedef struct pnx_usage_report {
    uint64_t last[PNX_USAGE_TYPE_COUNT];
    uint64_t peak[PNX_USAGE_TYPE_COUNT];  /**< of all looks */
    uint64_t limit[PNX_USAGE_TYPE_COUNT]; /**< what the engine has; 0: none */
    uint64_t kernel_peak_memory; /**< by its cgroup, page cache included; 0: not to be seen */
    uint64_t block_read, block_written, net_received, net_transmitted; /**< bytes so far;
                                           counted by the engine, with every tenth look */
    uint64_t oom;            /**< how often the kernel has killed for want of memory */
    uint64_t refused;        /**< how often it has refused processes; 0 where it cannot be seen */
    uint64_t looks, unknown; /**< of these, those to which the engine said nothing */
    uint64_t events[PNX_USAGE_EVENT_COUNT];
    bool ended;
    char unknown_reason[PNX_ERROR_MESSAGE_MAX]; /**< of the last look that said nothing */
} pnx_usage_report;

/**
 * Makes all that is needed; nobody looks yet. `container` is an id or a name; the engine and the
 * registry must outlive it. The caller owns `*ret`: arm a guard of the kind `usage` with it at
 * once, which then ends it. `config` may be NULL. PNX_EINVAL names the field; PNX_ENOMEM,
 * PNX_ESHUTDOWN, PNX_EFAILED (no descriptor).
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_usage_watch_new(pnx_engine *engine, pnx_registry *registry,
                                                      const char *container,
                                                      const pnx_usage_config *config,
                                                      pnx_usage_watch **ret, pnx_error *err);
/** Begins to look, at once. Once: then PNX_EALREADY. PNX_ENOMEM, PNX_ESHUTDOWN. */
PNX_MUST_CHECK PNX_API pnx_status pnx_usage_watch_begin(pnx_usage_watch *watch, pnx_error *err);
/** Ends one that never began and is in no guard. NULL is fine. */
PNX_API void pnx_usage_watch_free(pnx_usage_watch *watch);
PNX_API void pnx_usage_watch_report(pnx_usage_watch *watch, pnx_usage_report *ret);

/** Its release stops the looking; the container is left alone. */
extern PNX_API const pnx_kind pnx_kind_usage;

#ifdef __cplusplus
}
#endif

PNX__OFFER_KIND(usage, pnx_usage_watch *);

#endif
