/* SPDX-License-Identifier: MIT */
/**
 * @file test.h
 * For tests of code that stands on Patinox (library `patinox-test`, no test framework needed):
 *   - a clock that stands still until it is told, and stepping a registry through time with it;
 *   - a resource whose release does as the test says: fails, hangs, ends its thread, is pending, …;
 *   - a monitor that records all events, can be waited on, and writes them down as text;
 *   - a log of what happened in which order;
 *   - workers that are all occupied, so that what is queued stays queued.
 *
 * With these no test has to sleep: it lets virtual time pass, occupies the workers, or waits for a
 * condition. Whoever waits gives a patience, after which the wait fails: be generous, it is only
 * ever spent by a test that is broken. docs/testing.md shows all of it at work.
 *
 * Every function may be called from any thread. A test has no use for an error code when there is
 * no memory: then these functions say so on stderr and abort.
 */
#ifndef PATINOX_TEST_H
#define PATINOX_TEST_H

#include <patinox/registry.h>

#ifdef __cplusplus
extern "C" {
#endif

/** As a patience: long enough for the slowest machine under a sanitizer. */
#define PNX_TEST_PATIENCE PNX_S(60)

/* ---- virtual time ---------------------------------------------------------------------------- */

/**
 * A clock that only the test moves. Give `&clock.clock` to pnx_config.clock together with
 * PNX_MANUAL. It must outlive the registry.
 */
typedef struct pnx_test_clock {
    pnx_clock clock; /**< first: this is what a registry asks */
    pnx_time time;   /**< use the functions, they are atomic */
} pnx_test_clock;

PNX_API void pnx_test_clock_init(pnx_test_clock *clock, pnx_time start);
PNX_API pnx_time pnx_test_clock_now(const pnx_test_clock *clock);
/** Lets `span` pass. Negative spans do nothing: time does not run backwards. */
PNX_API void pnx_test_clock_advance(pnx_test_clock *clock, pnx_duration span);
/** Lets time pass until `time`, if that is ahead. */
PNX_API void pnx_test_clock_advance_to(pnx_test_clock *clock, pnx_time time);

/**
 * Steps a PNX_MANUAL registry until nothing is left to do before `time`, jumping from one due time
 * to the next, so that all happens exactly when it is due; then it is `time`. Returns how many
 * releases and timers ran. `clock` must be the registry's.
 */
PNX_API size_t pnx_test_run_until(pnx_registry *registry, pnx_test_clock *clock, pnx_time time);

/* ---- a log of what happened in which order --------------------------------------------------- */

typedef struct pnx_test_log pnx_test_log;

PNX_API pnx_test_log *pnx_test_log_new(void);
/** Adds a line, like printf(3), without a line feed. `log` may be NULL. */
PNX_API void pnx_test_log_add(pnx_test_log *log, const char *format, ...) PNX_PRINTF(2, 3);
/** All lines so far, each with a line feed. Valid until the next call for this log. */
PNX_API const char *pnx_test_log_text(pnx_test_log *log);
PNX_API size_t pnx_test_log_lines(pnx_test_log *log);
PNX_API void pnx_test_log_clear(pnx_test_log *log);
/** Waits until there are `lines` lines. PNX_ETIMEOUT. */
PNX_MUST_CHECK PNX_API pnx_status pnx_test_log_wait(pnx_test_log *log, size_t lines,
                                                    pnx_duration patience);
PNX_API void pnx_test_log_free(pnx_test_log *log);

/* ---- a resource that does as it is told ------------------------------------------------------ */

/**
 * A thing that a test acquires. Its kind is the test's own, so that priority, timeout and retries
 * are what the test needs:
 *
 *     PNX_KIND(thing, pnx_test_resource *, pnx_test_release, .fallback = pnx_test_fallback,
 *              .describe = pnx_test_describe, .timeout = PNX_S(1), .retries = 2);
 *
 * Unless told otherwise every attempt succeeds at once. It must outlive its attempts, late ones
 * included.
 */
typedef struct pnx_test_resource pnx_test_resource;

/** What an attempt does. */
typedef enum pnx_test_action {
    PNX_TEST_ANSWER = 0,     /**< answers `status` */
    PNX_TEST_HANG,           /**< waits for pnx_test_let_go, then answers `status` */
    PNX_TEST_EXIT_THREAD,    /**< pthread_exit(3) */
    PNX_TEST_PEND,           /**< answers PNX_PENDING; see pnx_test_complete */
    PNX_TEST_PEND_COMPLETED, /**< completes itself with `status`, then answers PNX_PENDING */
    PNX_TEST_LET_GO,         /**< lets attempts of the same resource that hang go, then answers:
                                  for a fallback that unblocks what is late */
} pnx_test_action;

/** One step of a plan; zeroed: succeeds at once. */
typedef struct pnx_test_step {
    pnx_test_action action;
    pnx_status status;
    pnx_duration takes; /**< of virtual time, before anything else; see pnx_test_resource_clock */
} pnx_test_step;

/** `name` is for the log and is copied; `log` may be NULL and must outlive the resource. */
PNX_API pnx_test_resource *pnx_test_resource_new(const char *name, pnx_test_log *log);
/** The time that steps take passes on this clock. */
PNX_API void pnx_test_resource_clock(pnx_test_resource *resource, pnx_test_clock *clock);
/** Lets go of what hangs, waits until no attempt runs any more, and frees it. NULL is fine. */
PNX_API void pnx_test_resource_free(pnx_test_resource *resource);

/** The n-th release takes the n-th step; the last one repeats. Copied. At least one. */
PNX_API void pnx_test_plan(pnx_test_resource *resource, const pnx_test_step *steps, size_t count);
/** What every fallback does. */
PNX_API void pnx_test_plan_fallback(pnx_test_resource *resource, pnx_test_step step);
/** The first `times` attempts answer `status` (UINT_MAX: all), the others succeed. */
PNX_API void pnx_test_fail(pnx_test_resource *resource, unsigned times, pnx_status status);
/** All attempts do this, and answer PNX_OK. */
PNX_API void pnx_test_always(pnx_test_resource *resource, pnx_test_action action);

/** The release function: what attempts do is in the plan. Logs "release NAME". */
PNX_API pnx_status pnx_test_release(pnx_test_resource *resource, const pnx_release *why);
/** The fallback. Logs "fallback NAME". */
PNX_API pnx_status pnx_test_fallback(pnx_test_resource *resource, const pnx_release *why);
/** Describes it by its name. */
PNX_API int pnx_test_describe(pnx_test_resource *resource, char *buffer, size_t size);

/** Attempts that hang, and those that would from now on, go on. */
PNX_API void pnx_test_let_go(pnx_test_resource *resource);
/**
 * Completes the pending attempt that began last, again if it is completed already; answers what
 * pnx_complete says. PNX_ENOTFOUND: none was ever pending.
 */
PNX_API pnx_status pnx_test_complete(pnx_test_resource *resource, pnx_status status);
/** The token of the `attempt`-th attempt (1: the first, fallbacks included). False: not begun. */
PNX_API bool pnx_test_token(pnx_test_resource *resource, unsigned attempt, pnx_token *ret);

/** What has become of it so far. */
typedef struct pnx_test_record {
    unsigned attempts;    /**< releases that began */
    unsigned fallbacks;   /**< fallbacks that began */
    unsigned successes;   /**< either, that answered (or completed with) PNX_OK: more than one means
                               that it was given back twice */
    unsigned running;     /**< attempts inside the release function now */
    unsigned running_max; /**< the most at a time */
    pnx_release last;     /**< what the last attempt was told */
} pnx_test_record;

PNX_API pnx_test_record pnx_test_recorded(pnx_test_resource *resource);
/** Waits until at least `attempts` attempts, fallbacks included, have begun. PNX_ETIMEOUT. */
PNX_MUST_CHECK PNX_API pnx_status pnx_test_wait_begun(pnx_test_resource *resource,
                                                      unsigned attempts, pnx_duration patience);
/** Waits until at most `running` attempts run. PNX_ETIMEOUT. */
PNX_MUST_CHECK PNX_API pnx_status pnx_test_wait_running(pnx_test_resource *resource,
                                                        unsigned running, pnx_duration patience);

/* ---- a monitor that records ------------------------------------------------------------------ */

/** Records every event in the order in which monitors see them, but for those of pnx_test_occupy.
 *  */
typedef struct pnx_test_monitor pnx_test_monitor;

/** Attaches one. NULL: it could not be attached; `err` says why. */
PNX_API pnx_test_monitor *pnx_test_monitor_new(pnx_registry *registry, pnx_error *err);
/** Detaches it; what it has recorded stays readable. Before its registry is destroyed. */
PNX_API void pnx_test_monitor_detach(pnx_test_monitor *monitor);
/** Detaches it if need be and frees it. NULL is fine. */
PNX_API void pnx_test_monitor_free(pnx_test_monitor *monitor);

PNX_API size_t pnx_test_monitor_size(pnx_test_monitor *monitor);
/** Copies the event with number `index`, from 0 on. False: there is none yet. */
PNX_API bool pnx_test_monitor_at(pnx_test_monitor *monitor, size_t index, pnx_event *ret);
PNX_API size_t pnx_test_monitor_count(pnx_test_monitor *monitor, pnx_event_type type);
/** Events of this type and this resource. */
PNX_API size_t pnx_test_monitor_count_of(pnx_test_monitor *monitor, pnx_event_type type, pnx_id id);
/** Forgets what was recorded. */
PNX_API void pnx_test_monitor_clear(pnx_test_monitor *monitor);

/** Looks at all events so far; must not call functions of this monitor. */
typedef bool (*pnx_test_condition)(const pnx_event *events, size_t count, void *context);
/** Waits until `condition` holds; it is asked after every event. PNX_ETIMEOUT. */
PNX_MUST_CHECK PNX_API pnx_status pnx_test_monitor_wait(pnx_test_monitor *monitor,
                                                        pnx_test_condition condition, void *context,
                                                        pnx_duration patience);
/** Waits until there are at least `count` events of this type. PNX_ETIMEOUT. */
PNX_MUST_CHECK PNX_API pnx_status pnx_test_monitor_wait_count(pnx_test_monitor *monitor,
                                                              pnx_event_type type, size_t count,
                                                              pnx_duration patience);

enum {
    PNX_TEST_TIMES = 1u << 0, /**< each line begins with the time, "1.5s" */
};
/**
 * All events as text, a line each, to compare with what is expected. Resources are numbered in the
 * order in which they are first seen, kind by kind; so the text is the same in every run:
 *
 *     registered conn 1
 *     scheduled conn 1: high, scope end
 *     started conn 1: attempt 1
 *     retried conn 1: attempt 1, failed
 *     completed conn 1: attempt 2
 *
 * Valid until the next call for this monitor.
 */
PNX_API const char *pnx_test_monitor_text(pnx_test_monitor *monitor, unsigned flags);

/* ---- workers that are all occupied ----------------------------------------------------------- */

/** Occupies workers until it is told to stop. */
typedef struct pnx_test_occupation pnx_test_occupation;

/**
 * Occupies `workers` workers (0: all there are) by releases of a kind of its own, and returns once
 * they run; what is queued from then on stays queued, if all are. Call it while the registry is
 * idle. It counts in the account as any other resources do. NULL, within PNX_TEST_PATIENCE: not
 * all could be occupied; `err` says why.
 */
PNX_API pnx_test_occupation *pnx_test_occupy(pnx_registry *registry, unsigned workers,
                                             pnx_error *err);
/** Lets them go, waits until they have gone, and frees it. NULL is fine. */
PNX_API void pnx_test_vacate(pnx_test_occupation *occupation);

#ifdef __cplusplus
}
#endif

#endif
