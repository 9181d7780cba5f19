/* SPDX-License-Identifier: MIT */
/**
 * @file monitor.h
 * What happens to resources, for people and machines: events, counters, latency histograms, health,
 * and the sinks that write them out.
 *
 * Promise: observing never holds up clean-up. Events go through a bounded ring to a thread of the
 * monitors' own; when a monitor is too slow the ring overflows, the newest events are dropped and
 * *counted* (pnx_stats.events_lost, and `lost` of the next event). A monitor that ends its thread
 * is detached and the thread replaced. What cannot be survived in the same process is a monitor
 * that corrupts memory or raises a fatal signal. With nobody attached an event costs a load or two.
 */
#ifndef PATINOX_MONITOR_H
#define PATINOX_MONITOR_H

#include <patinox/kind.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- events ---------------------------------------------------------------------------------- */

typedef enum pnx_event_type {
    PNX_EVENT_REGISTERED = 0,  /**< armed: it is live now */
    PNX_EVENT_SCHEDULED,       /**< given up; queued for a worker */
    PNX_EVENT_STARTED,         /**< a release attempt starts */
    PNX_EVENT_COMPLETED,       /**< given back */
    PNX_EVENT_FAILED,          /**< every attempt and the fallback failed: final */
    PNX_EVENT_RETRIED,         /**< an attempt failed or was late; another one is due */
    PNX_EVENT_TIMED_OUT,       /**< an attempt did not finish before its deadline */
    PNX_EVENT_FALLBACK,        /**< the fallback starts */
    PNX_EVENT_ABANDONED,       /**< given up for good: final, and a line in the leak report */
    PNX_EVENT_LATE_COMPLETION, /**< an attempt that had been declared late finished after all */
    PNX_EVENT_SCHEDULE_FAILED, /**< no worker could take it: its fallback ran inline */
    PNX_EVENT_LEAKED,          /**< still held when its owner ended */
    PNX_EVENT_SHUTDOWN_BEGIN,
    PNX_EVENT_SHUTDOWN_END,
    PNX_EVENT_COUNT
} pnx_event_type;

/** "registered", "scheduled", "late completion", … Never NULL. */
PNX_API const char *pnx_event_name(pnx_event_type type);

/** One event. A copy: valid for as long as the callback runs; the pointers are static. */
typedef struct pnx_event {
    pnx_event_type type;
    pnx_priority priority;
    pnx_reason reason;
    pnx_status status;    /**< of the attempt, or of the resource when final */
    pnx_time time;        /**< coarse (a tick) unless the resource is sampled; see pnx_timing */
    pnx_id id;            /**< PNX_ID_NONE for shutdown begin and end */
    const pnx_kind *kind; /**< NULL for shutdown begin and end */
    const pnx_site *site; /**< where it was reserved; may be NULL */
    pnx_duration queued;  /**< STARTED: how long it waited; -1: not known */
    pnx_duration ran;     /**< COMPLETED … LATE_COMPLETION: how long it took; -1: not known */
    unsigned attempt;
    unsigned lost; /**< events dropped before this one because the ring was full */
} pnx_event;

/**
 * A monitor. Runs on the monitors' thread (or inside pnx_registry_step when stepped by hand), with
 * no lock held, one at a time; it sees the events of each thread in their order. It may register,
 * drop, query and attach; it must not detach, shut down or wait for idle (PNX_EDEADLOCK). On the
 * monitors' thread all signals are blocked, so a write to a broken pipe answers EPIPE. It must not
 * longjmp out.
 */
typedef void (*pnx_monitor_fn)(const pnx_event *event, void *context);

/** Handle of an attached monitor. */
typedef struct pnx_monitor pnx_monitor;

/* ---- latency histograms ---------------------------------------------------------------------- */

/**
 * A histogram of durations from 0 to 18 minutes (2^40 ns) with a relative error below 1/16
 * (6.25 %), in fixed memory: log-linear buckets, 16 to an octave, as in HdrHistogram (Tene) with
 * one significant hexadecimal digit; below 32 ns it is exact. Longer values count in the last
 * bucket, `max_ns` stays exact, and `sum_ns` stops at UINT64_MAX (584 years) instead of wrapping.
 */
#define PNX_HISTOGRAM_BUCKETS 592
typedef struct pnx_histogram {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t max_ns;
    uint64_t buckets[PNX_HISTOGRAM_BUCKETS];
} pnx_histogram;

/** Adds one value (negative ones count as 0). One writer a histogram; others may merge from it. */
PNX_API void pnx_histogram_add(pnx_histogram *histogram, pnx_duration value);
/** Adds all of `other`, which may be written meanwhile, to `into`, which may not. */
PNX_API void pnx_histogram_merge(pnx_histogram *into, const pnx_histogram *other);
/** The value below or at which `quantile` (0 … 1) of all values lie: the upper end of its bucket,
 *  but never more than the maximum. 0 for an empty histogram. */
PNX_API pnx_duration pnx_histogram_quantile(const pnx_histogram *histogram, double quantile);
/** The smallest value that falls into `bucket`, for those who draw it; 2^40 behind the last one. */
PNX_API pnx_duration pnx_histogram_bucket_floor(unsigned bucket);

/* ---- counters and statistics ----------------------------------------------------------------- */

/**
 * The account of a set of resources. In every snapshot, under any load:
 *     registered = live + queued + running + waiting + done + failed + abandoned
 * A resource that was taken out of its guard gives its registration back: it counts in `taken`
 * only. (So `registered` can fall; registered + taken only rises.)
 */
typedef struct pnx_counts {
    uint64_t registered;
    uint64_t live, queued, running, waiting; /* now */
    uint64_t done, failed, abandoned;        /* since the registry was made */
    uint64_t taken;
    uint64_t retried, timed_out, fallbacks, late, schedule_failed, leaked;
} pnx_counts;

/** Right side minus left side of the equation above; anything but 0 is a bug in patinox. */
PNX_API int64_t pnx_counts_imbalance(const pnx_counts *counts);
/** The share of finished releases that gave the resource back, 0 … 1; 1 when none has finished. */
PNX_API double pnx_counts_success_rate(const pnx_counts *counts);

typedef struct pnx_kind_stats {
    const char *name; /**< kinds of the same name are one entry */
    pnx_counts counts;
    pnx_counts by_priority[PNX_PRIORITY_COUNT];
} pnx_kind_stats;

/** A snapshot. Made by pnx_registry_stats, ended by pnx_stats_done. Holds its own memory. */
typedef struct pnx_stats {
    const char *registry; /**< its name; the registry's memory */
    pnx_time time;
    pnx_counts total;
    pnx_counts by_priority[PNX_PRIORITY_COUNT];
    size_t kind_count;
    pnx_kind_stats *kinds; /**< sorted by name */
    uint64_t slots;        /**< resources the table has memory for */
    unsigned workers;      /**< threads there are now, with these: */
    unsigned workers_idle, workers_hung;
    unsigned workers_replaced, workers_max;
    uint64_t timers; /**< armed now */
    uint64_t events_lost;
    pnx_duration oldest_queued; /**< how long the head of the longest-waiting queue has waited */
    uint64_t backlog_high_water;
    bool shutting_down;
    pnx_histogram queue_wait;   /**< drop → release starts */
    pnx_histogram release_time; /**< one attempt */
    pnx_histogram drop_time;    /**< what the drop cost the dropping thread */
} pnx_stats;

/** Frees what a snapshot holds; `stats` may be zeroed or done already. */
PNX_API void pnx_stats_done(pnx_stats *stats);

/* ---- health ---------------------------------------------------------------------------------- */

typedef enum pnx_health_level {
    PNX_HEALTH_OK = 0,
    PNX_HEALTH_DEGRADED,
    PNX_HEALTH_FAILING,
} pnx_health_level;

/** "ok", "degraded", "failing". Never NULL. */
PNX_API const char *pnx_health_name(pnx_health_level level);

#define PNX_HEALTH_REASONS_MAX 8
typedef struct pnx_health {
    pnx_health_level level;
    unsigned reason_count;
    struct {
        pnx_health_level level;
        char text[120]; /**< "queue depth 12000 is above 8192", … */
    } reasons[PNX_HEALTH_REASONS_MAX];
} pnx_health;

/** From when on a figure counts as degraded or failing; zero fields take the documented default. */
typedef struct pnx_health_limits {
    double degraded_success_rate;     /**< 0.99  */
    double failing_success_rate;      /**< 0.90  */
    uint64_t degraded_queue_depth;    /**< the backlog's high-water mark */
    uint64_t failing_queue_depth;     /**< ten times that */
    pnx_duration degraded_queue_wait; /**< 1 s: the oldest queued resource */
    pnx_duration failing_queue_wait;  /**< 10 s */
} pnx_health_limits;

/**
 * Judges a snapshot: success rate (of at least 10 finished releases), queue depth, age of the
 * oldest queued resource, hung workers (degraded; failing when all hang), abandoned and leaked
 * resources (degraded), lost events (degraded), shutting down (degraded). `limits` may be NULL.
 */
PNX_API void pnx_stats_health(const pnx_stats *stats, const pnx_health_limits *limits,
                              pnx_health *ret);

/* ---- sinks ----------------------------------------------------------------------------------- */

/**
 * Prometheus text exposition format 0.0.4: patinox_resources{registry,kind,priority,state} gauges,
 * patinox_*_total counters, patinox_queue_wait_seconds / release_seconds / drop_seconds histograms,
 * patinox_workers{state}, patinox_health; all names in docs/monitoring.md. Any bytes in names are
 * safe. `out` is flushed; PNX_EFAILED when that, or anything written to it before, failed.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_stats_write_prometheus(const pnx_stats *stats, FILE *out,
                                                             pnx_error *err);
/** The same figures as one JSON object and a line feed; keys in docs/monitoring.md. PNX_EFAILED. */
PNX_MUST_CHECK PNX_API pnx_status pnx_stats_write_json(const pnx_stats *stats, FILE *out,
                                                       pnx_error *err);

/** A monitor that writes one JSON object a line to the FILE that is its context, and flushes each
 *  line. What cannot be written is missing there, and ferror(3) tells. */
PNX_API void pnx_monitor_json_lines(const pnx_event *event, void *file);
/** A monitor that tells the log hook of trouble: failed and abandoned as errors; retried, timed
 *  out, fallback, late completion, schedule failed, leaked and lost events as warnings. */
PNX_API void pnx_monitor_log(const pnx_event *event, void *unused);

/** Writes `text` with JSON escapes and quotes; each byte that is no UTF-8 becomes U+FFFD; NULL is
 *  written as null. */
PNX_API void pnx_json_string(FILE *out, const char *text);

#ifdef __cplusplus
}
#endif

#endif
