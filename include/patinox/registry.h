/* SPDX-License-Identifier: MIT */
/**
 * @file registry.h
 * The registry knows everything that is alive and gives it back: at once or later, by priority, on
 * background workers, with deadlines, retries and fallbacks; it shuts down in an orderly way and
 * tells what is left.
 *
 * Unless a function says otherwise it may be called from any thread and from inside a release.
 * Nothing here is async-signal-safe but pnx_request_shutdown. Fork, exit, signals and threads that
 * end: docs/fork-exit-signals.md.
 */
#ifndef PATINOX_REGISTRY_H
#define PATINOX_REGISTRY_H

#include <patinox/monitor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pnx_registry pnx_registry;

/* ---- configuration --------------------------------------------------------------------------- */

/** Who runs the releases. */
typedef enum pnx_executor {
    PNX_THREADS = 0, /**< workers of the registry's own */
    PNX_MANUAL,      /**< nobody but pnx_registry_step: tests in virtual time, or a host's loop */
} pnx_executor;

/** What a drop does past the backlog's high-water mark. It never fails and never waits for long. */
typedef enum pnx_backlog_policy {
    PNX_BACKLOG_YIELD = 0, /**< pauses for at most a few microseconds every 64 drops */
    PNX_BACKLOG_HELP,      /**< runs some queued releases of PNX_QUICK kinds itself */
} pnx_backlog_policy;

/** How closely latencies are measured. */
typedef enum pnx_timing {
    PNX_TIMING_SAMPLED = 0, /**< every 64th resource of each thread */
    PNX_TIMING_ALL,         /**< every resource: costs some clock reads each */
    PNX_TIMING_NONE,
} pnx_timing;

/** What happens to a registry that is not shut down when the process exits. */
typedef enum pnx_at_exit {
    PNX_EXIT_DRAIN = 0, /**< shut down within exit_grace, then report */
    PNX_EXIT_REPORT,    /**< only report */
    PNX_EXIT_NOTHING,
} pnx_at_exit;

/**
 * How a registry works. Zero in a field means its default (in brackets), so that
 * `&(pnx_config){.workers = 4}` is complete. The environment variable in the comment, if set,
 * overrides the field when `use_environment` is set (it is for the default registry).
 */
typedef struct pnx_config {
    const char *name;            /**< in reports and metrics ["patinox"]; copied */
    pnx_executor executor;       /**< [PNX_THREADS] */
    unsigned workers;            /**< 1 … 256 [CPUs, 2 to 4]            PATINOX_WORKERS */
    unsigned workers_max;        /**< with replacements [workers + 8]   PATINOX_WORKERS_MAX */
    uint64_t resources_max;      /**< 64 … 2^26 - 4096 [2^24]           PATINOX_RESOURCES_MAX */
    uint64_t backlog_high_water; /**< 64 … resources_max [8192]         PATINOX_BACKLOG */
    pnx_backlog_policy backlog_policy; /**< [yield]             PATINOX_BACKLOG_POLICY yield|help */
    unsigned max_concurrency;      /**< of one kind [no limit]            PATINOX_MAX_CONCURRENCY */
    pnx_duration timeout;          /**< of one attempt [30 s]             PATINOX_TIMEOUT */
    pnx_duration retry_delay;      /**< before the first retry [100 ms]   PATINOX_RETRY_DELAY */
    pnx_duration retry_delay_max;  /**< [10 s]                            PATINOX_RETRY_DELAY_MAX */
    pnx_duration starvation_limit; /**< waited longer: rises one priority per limit [1 s]
                                                                           PATINOX_STARVATION */
    pnx_duration stall_limit;      /**< running longer: its queue is served by others [10 ms] */
    pnx_duration shutdown_grace;   /**< [5 s]                             PATINOX_SHUTDOWN_GRACE */
    pnx_duration shutdown_hard;    /**< after the grace, for fallbacks [2 s]
                                                                           PATINOX_SHUTDOWN_HARD */
    pnx_at_exit at_exit;           /**< [drain]             PATINOX_AT_EXIT drain|report|nothing */
    pnx_duration exit_grace; /**< grace + hard of the drain at exit [2 s]  PATINOX_EXIT_GRACE */
    int leak_exit_status;    /**< strict mode: exit with this when something leaked; 1 … 255
                                         [0: off]                        PATINOX_LEAK_EXIT_STATUS */
    const char *leak_report; /**< at exit: "stderr", "json", or a file (".json": as JSON)
                                         [NULL: off]; copied               PATINOX_LEAK_REPORT */
    pnx_timing timing;       /**< [sampled]            PATINOX_TIMING sampled|all|none */
    bool backtraces;         /**< record where each resource was reserved, 16 frames [off]
                                                                           PATINOX_BACKTRACES 0|1 */
    uint64_t failures_kept;  /**< failed resources kept for the report, the oldest are
                                         forgotten first; 1 … 2^20 [1024]  PATINOX_FAILURES_KEPT */
    size_t worker_stack;     /**< bytes, 16 KiB … 1 GiB [the system's]  PATINOX_WORKER_STACK */
    uint64_t seed;           /**< of the jitter [random] */
    const pnx_clock *clock;  /**< needs PNX_MANUAL; borrowed [CLOCK_MONOTONIC] */
    void (*wake)(void *context); /**< PNX_MANUAL: called, from any thread, when a step has
                                         something to do; must not block. With it, only the thread
                                         that steps runs releases; others that wait wait [none] */
    void *wake_context;
    bool use_environment; /**< let PATINOX_* override [off] */
} pnx_config;

/**
 * Fills in defaults and, if `use_environment`, the environment; then checks every field. On failure
 * `config` is as before, and the error names the field (or variable), its value and the range.
 * PNX_EINVAL. Not thread-safe against setenv(3).
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_config_complete(pnx_config *config, pnx_error *err);

/* ---- registries ------------------------------------------------------------------------------ */

/**
 * Makes a registry and starts its threads. `config` may be NULL: all defaults. The caller owns it
 * and ends it with pnx_registry_shutdown and pnx_registry_destroy.
 * PNX_EINVAL, PNX_ENOMEM, PNX_EFAILED (no thread).
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_registry_create(const pnx_config *config, pnx_registry **ret,
                                                      pnx_error *err);
/**
 * The process's default registry, made on first use with use_environment; NULL only when that
 * failed (the reason goes to the log hook). A fork child gets one of its own.
 */
PNX_API pnx_registry *pnx_registry_default(void);
/**
 * Frees a registry that was shut down. PNX_EBUSY: guards, tasks or hung workers still refer to it
 * (the error says which); it stays valid, for ever if need be. NULL is fine.
 * Must not be called while another thread uses the registry.
 */
PNX_API pnx_status pnx_registry_destroy(pnx_registry *registry, pnx_error *err);
PNX_API const char *pnx_registry_name(const pnx_registry *registry);
/** The registry's clock. */
PNX_API pnx_time pnx_registry_now(const pnx_registry *registry);

/* ---- registering without a guard ------------------------------------------------------------- */

/**
 * Registers a thing that is already held and whose owner is the registry itself: it lives until it
 * is released by id, expires, or the registry shuts down. `value` (kind->value_size bytes) is
 * copied. On failure the caller still holds the thing. Prefer guards: they reserve *before* the
 * thing is acquired. PNX_ENOMEM, PNX_ELIMIT, PNX_ESHUTDOWN, PNX_EINVAL.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_register(pnx_registry *registry, const pnx_kind *kind,
                                               const void *value, const pnx_site *site,
                                               pnx_id *ret_id, pnx_error *err);
/** Takes a live resource out of the registry without releasing it: the caller holds it again. Its
 *  value goes to `ret_value` (kind->value_size bytes; may be NULL). PNX_EALREADY, PNX_ENOTFOUND. */
PNX_API pnx_status pnx_unregister(pnx_registry *registry, pnx_id id, void *ret_value,
                                  pnx_error *err);

/* ---- what is known of a resource ------------------------------------------------------------- */

/** A copy of what the registry knows; the pointers are static or live as long as the registry. */
typedef struct pnx_info {
    pnx_id id;
    const pnx_kind *kind;
    pnx_state state;
    pnx_priority priority;
    pnx_reason reason; /**< from QUEUED on */
    pnx_time created;  /**< when it was armed */
    pnx_time expires;  /**< PNX_FOREVER: never */
    uint64_t bytes;    /**< what pnx_resource_set_bytes said */
    const pnx_site *site;
    unsigned attempts;
    pnx_status last_status; /**< of the last finished attempt */
    bool leaked;            /**< still held when its owner ended */
    unsigned char value[PNX_VALUE_MAX];
} pnx_info;

/**
 * Constant time, wait-free. PNX_OK and `*ret` is written; PNX_EALREADY: it was given back;
 * PNX_ENOTFOUND: this registry never made that id. No lock is taken, nothing is kept alive.
 */
PNX_API pnx_status pnx_registry_info(pnx_registry *registry, pnx_id id, pnx_info *ret);
/** The state alone: the fastest look-up. PNX_DONE for a stale id, PNX_FREE for a foreign one. */
PNX_API pnx_state pnx_registry_state(pnx_registry *registry, pnx_id id);

/**
 * Calls `visit` for every resource (reserved ones excepted) that is there during the whole call,
 * and perhaps for ones that come or go meanwhile; stops when it answers false. No lock is held.
 * Returns how many were visited.
 */
PNX_API size_t pnx_registry_each(pnx_registry *registry, bool (*visit)(const pnx_info *, void *),
                                 void *context);

/** How much memory, disk, … it stands for; shown in reports. PNX_EALREADY, PNX_ENOTFOUND. */
PNX_API pnx_status pnx_resource_set_bytes(pnx_registry *registry, pnx_id id, uint64_t bytes);
/**
 * Sets (or with NULL removes) one entry of free-form metadata; both texts are copied, 4 KiB in all
 * at most. PNX_ENOMEM, PNX_ELIMIT, PNX_EALREADY, PNX_ENOTFOUND, PNX_EINVAL (no key).
 */
PNX_API pnx_status pnx_resource_set_metadata(pnx_registry *registry, pnx_id id, const char *key,
                                             const char *value, pnx_error *err);
/** Copies the value of `key`, terminated and cut to `size`; `*ret_length` is its whole length.
 *  PNX_ENOTFOUND (no such key or id), PNX_EALREADY. `ret_length` may be NULL. */
PNX_API pnx_status pnx_resource_get_metadata(pnx_registry *registry, pnx_id id, const char *key,
                                             char *buffer, size_t size, size_t *ret_length);
/** Visits each key and value under the registry's lock: be quick, call nothing of patinox. */
PNX_API pnx_status pnx_resource_each_metadata(pnx_registry *registry, pnx_id id,
                                              void (*visit)(const char *key, const char *value,
                                                            void *context),
                                              void *context);

/* ---- asking for a release -------------------------------------------------------------------- */

/** How a release is asked for; zero is: explicit, at the kind's priority. */
typedef struct pnx_request {
    pnx_reason reason; /**< [PNX_SCOPE_END means: PNX_EXPLICIT here] */
    bool set_priority; /**< use `priority` instead of the kind's */
    pnx_priority priority;
    bool leaked; /**< its owner has ended without giving it up: told as a leak */
} pnx_request;

/**
 * Schedules the release of one live resource, whoever owns it (its guard finds it gone).
 * PNX_EALREADY: given back or on its way; PNX_ENOTFOUND. Never blocks. `request` may be NULL.
 */
PNX_API pnx_status pnx_release_later(pnx_registry *registry, pnx_id id, const pnx_request *request);
/**
 * Releases it and waits for the outcome, until `deadline` (PNX_FOREVER: as long as the kind's own
 * timeouts and retries take). PNX_OK; PNX_EALREADY; PNX_ETIMEOUT: it goes on in the background; the
 * status of the last attempt when it failed; PNX_EABANDONED; PNX_ENOTFOUND. PNX_QUICK kinds run
 * inline in the calling thread, and so does everything when called from inside a release (waiting
 * could be for itself).
 */
PNX_API pnx_status pnx_release_now(pnx_registry *registry, pnx_id id, pnx_time deadline,
                                   pnx_error *err);

/** What became of many releases. Counts are always right, `failures` names the first ones. */
#define PNX_BATCH_FAILURES_MAX 32
typedef struct pnx_batch_result {
    size_t asked, released, already, failed, abandoned, pending;
    size_t failure_count; /**< entries in `failures`; `failed + abandoned` may be more */
    struct {
        pnx_id id;
        const pnx_kind *kind;
        pnx_status status;
    } failures[PNX_BATCH_FAILURES_MAX];
} pnx_batch_result;

/**
 * Releases many and waits for all until `deadline`; 0: only schedules them (all `pending`). Higher
 * priorities first, in the order given within one. PNX_OK when every one was given back,
 * PNX_ETIMEOUT when some are pending, else PNX_EFAILED. `result` may be NULL.
 */
PNX_API pnx_status pnx_release_batch(pnx_registry *registry, const pnx_id *ids, size_t count,
                                     const pnx_request *request, pnx_time deadline,
                                     pnx_batch_result *result);
/** The same for every live resource of a kind (by its name). */
PNX_API pnx_status pnx_release_kind(pnx_registry *registry, const char *kind_name,
                                    const pnx_request *request, pnx_time deadline,
                                    pnx_batch_result *result);
/** The same for every live resource: "force". */
PNX_API pnx_status pnx_release_all(pnx_registry *registry, const pnx_request *request,
                                   pnx_time deadline, pnx_batch_result *result);

/* ---- releases that complete later ------------------------------------------------------------ */

/** Names one attempt. A value: keep it wherever the completion comes from. */
typedef struct pnx_token {
    pnx_registry *registry;
    pnx_id id;
    unsigned attempt;
    bool fallback;
} pnx_token;

/** The token of the release that is running; take it before anything can complete it. */
PNX_API pnx_token pnx_release_token(const pnx_release *why);
/**
 * Completes a release that answered (or will answer) PNX_PENDING. From any thread, once: PNX_OK;
 * PNX_EALREADY: it was completed before; PNX_ETIMEOUT: too late, it had been declared late (told as
 * an event; nothing is lost); PNX_EINVAL: `status` is PNX_PENDING.
 */
PNX_API pnx_status pnx_complete(pnx_token token, pnx_status status);

/* ---- time-based release ---------------------------------------------------------------------- */

/** Releases it (reason: expiry) at `when`, unless renewed; PNX_FOREVER cancels. Never early, at
 *  most a millisecond late plus what the queue takes. PNX_EALREADY, PNX_ENOTFOUND. */
PNX_API pnx_status pnx_expire_at(pnx_registry *registry, pnx_id id, pnx_time when);
/** The same, `span` from now. */
PNX_API pnx_status pnx_expire_after(pnx_registry *registry, pnx_id id, pnx_duration span);
/** Releases it when it was not touched for `span`, which is at most 52 days (else PNX_EINVAL);
 *  PNX_FOREVER cancels. */
PNX_API pnx_status pnx_expire_idle(pnx_registry *registry, pnx_id id, pnx_duration span);
/** It is in use: restarts its idle span. Cheap: the timer itself is moved when it fires. */
PNX_API pnx_status pnx_touch(pnx_registry *registry, pnx_id id);

/* ---- running by hand, waiting ---------------------------------------------------------------- */

/**
 * PNX_MANUAL: fires the timers that are due, delivers events, and runs at most `most` queued
 * releases in the calling thread. Returns how many releases and timers ran. One thread at a time.
 */
PNX_API size_t pnx_registry_step(pnx_registry *registry, size_t most);
/** When the next step has something to do: now if anything is queued, else the next timer. */
PNX_API pnx_time pnx_registry_next_due(pnx_registry *registry);
/**
 * Waits until everything that was queued, running or waiting has ended and its events are
 * delivered. PNX_ETIMEOUT; PNX_EDEADLOCK from inside a release. A manual registry is stepped here;
 * under an injected clock PNX_EBUSY says that only the passing of time would help.
 */
PNX_API pnx_status pnx_registry_wait_idle(pnx_registry *registry, pnx_time deadline);

/* ---- monitors and statistics ----------------------------------------------------------------- */

/** Attaches a monitor; see monitor.h. PNX_ENOMEM, PNX_EFAILED (no thread for it). */
PNX_MUST_CHECK PNX_API pnx_status pnx_monitor_attach(pnx_registry *registry, pnx_monitor_fn monitor,
                                                     void *context, pnx_monitor **ret,
                                                     pnx_error *err);
/** Detaches it after it has seen every event so far; when this returns its context is free to go.
 *  PNX_EDEADLOCK from inside a monitor. NULL is fine. */
PNX_API pnx_status pnx_monitor_detach(pnx_monitor *monitor);
/** A snapshot; see pnx_stats. Cost does not depend on how many resources there are. PNX_ENOMEM. */
PNX_MUST_CHECK PNX_API pnx_status pnx_registry_stats(pnx_registry *registry, pnx_stats *ret,
                                                     pnx_error *err);
/** Only the totals; allocates nothing. */
PNX_API void pnx_registry_counts(pnx_registry *registry, pnx_counts *ret);
/** Stats and health in one call. `limits` may be NULL. */
PNX_API pnx_health_level pnx_registry_health(pnx_registry *registry,
                                             const pnx_health_limits *limits, pnx_health *ret);

/* ---- shutdown and the leak report ------------------------------------------------------------ */

/** One resource that was not given back. */
typedef struct pnx_survivor {
    pnx_id id;
    pnx_state state; /**< LIVE (kept), RUNNING (hung), FAILED, ABANDONED, … */
    pnx_status status;
    char kind[32];
    char description[96]; /**< what the kind's `describe` said */
    pnx_duration age;
    const pnx_site *site;
    uint64_t bytes;
    unsigned attempts;
    bool leaked;
    char *metadata;   /**< "key=value, key=value" or NULL; owned by the report */
    void *frames[16]; /**< where it was reserved, if backtraces are on; else all NULL */
} pnx_survivor;

/**
 * The answer of a shutdown, and the leak report. A value with memory: end it by pnx_report_done.
 * The list is made after the counts were taken: what changed in between is listed as it then was,
 * and what was given back in between (by a hung worker that came back, say) is not listed.
 */
typedef struct pnx_report {
    char registry[32];
    pnx_counts counts;
    uint64_t released; /**< given back during this shutdown */
    uint64_t leaked;   /**< of these: were still held when it began */
    pnx_duration took;
    bool deadline_hit;     /**< the grace was not enough */
    bool incomplete;       /**< no memory for some survivors; the counts are right */
    unsigned threads_left; /**< hung workers that could not be joined */
    size_t survivor_count;
    pnx_survivor *survivors;
} pnx_report;

/** What becomes of resources that are still held by their owners. */
typedef enum pnx_live_policy {
    PNX_LIVE_RELEASE = 0, /**< they leaked: told as such and released too */
    PNX_LIVE_KEEP,        /**< left alone, and listed */
} pnx_live_policy;

typedef struct pnx_shutdown_options {
    pnx_duration grace; /**< [shutdown_grace] */
    pnx_duration hard;  /**< [shutdown_hard] */
    pnx_live_policy live;
} pnx_shutdown_options;

/**
 * Ends a registry: closes the intake (PNX_ESHUTDOWN from then on), releases what is queued and, by
 * default, live, by priority, until the grace is over; then runs fallbacks until the hard deadline;
 * then abandons the rest and returns the list of it. Afterwards drops run their fallback (or
 * release) inline, so that nothing is ever lost. Takes at most grace + hard and a scheduling delay,
 * whatever the releases do. A second call reports again.
 * PNX_OK: nothing left. PNX_EFAILED: survivors are listed. PNX_EDEADLOCK from inside a release.
 * `options`, `ret` may be NULL.
 */
PNX_API pnx_status pnx_registry_shutdown(pnx_registry *registry,
                                         const pnx_shutdown_options *options, pnx_report *ret,
                                         pnx_error *err);
/** Async-signal-safe: asks for a shutdown. Closes the intake, makes pnx_shutdown_fd readable. */
PNX_API void pnx_request_shutdown(pnx_registry *registry);
/** Has a shutdown been asked for? */
PNX_API bool pnx_shutdown_requested(const pnx_registry *registry);
/** Waits for a request. PNX_OK, PNX_ETIMEOUT. */
PNX_API pnx_status pnx_wait_shutdown_request(pnx_registry *registry, pnx_time deadline);
/** A descriptor that polls readable once a shutdown is requested; the registry owns it. */
PNX_API int pnx_shutdown_fd(pnx_registry *registry);
/**
 * Installs a handler that only calls pnx_request_shutdown. PNX_EBUSY: the program has a handler of
 * its own for `signal_number`. One registry per signal. pnx_registry_destroy puts the old one back.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_shutdown_on_signal(pnx_registry *registry, int signal_number,
                                                         pnx_error *err);

/** Everything that has not been given back, in whatever state, without ending anything.
 *  PNX_ENOMEM. */
PNX_MUST_CHECK PNX_API pnx_status pnx_registry_report(pnx_registry *registry, pnx_report *ret,
                                                      pnx_error *err);
PNX_API void pnx_report_done(pnx_report *report);
/** For people: totals, then survivors grouped by kind and site. PNX_EFAILED (stream). */
PNX_MUST_CHECK PNX_API pnx_status pnx_report_write_text(const pnx_report *report, FILE *out,
                                                        pnx_error *err);
/** One JSON object; keys in docs/leak-report.md. */
PNX_MUST_CHECK PNX_API pnx_status pnx_report_write_json(const pnx_report *report, FILE *out,
                                                        pnx_error *err);
/** Forgets failed resources, as seen and dealt with. Returns how many. In an idle registry
 *  (pnx_registry_wait_idle) that is each one that has failed. */
PNX_API size_t pnx_registry_forget_failed(pnx_registry *registry);

#ifdef __cplusplus
}
#endif

#endif
