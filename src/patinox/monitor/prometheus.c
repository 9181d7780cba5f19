/* SPDX-License-Identifier: MIT */
/*
 * Prometheus text exposition format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats):
 * HELP and TYPE once a family, all samples of a family together, histogram buckets cumulative.
 */
#include "monitor/out.h"

#include <inttypes.h>
#include <patinox/monitor.h>

/* Label values are UTF-8 with backslash, quote and line feed escaped. */
static void write_label_value(FILE *out, const char *text)
{
    while (text && *text) {
        size_t length = pnx__out_character(text);
        if (length == 0) {
            fputs(PNX__OUT_REPLACEMENT, out);
        } else if (*text == '\\' || *text == '"') {
            fprintf(out, "\\%c", *text);
        } else if (*text == '\n') {
            fputs("\\n", out);
        } else {
            fwrite(text, 1, length, out);
        }
        text += length ? length : 1;
    }
}

static void write_family(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP patinox_%s %s\n# TYPE patinox_%s %s\n", name, help, name, type);
}

/* `patinox_NAME{registry="…"`: every sample begins so; the caller adds labels and the end. */
static void begin_sample_of(FILE *out, const pnx_stats *stats, const char *name, const char *suffix)
{
    fprintf(out, "patinox_%s%s{registry=\"", name, suffix);
    write_label_value(out, stats->registry);
    putc('"', out);
}

static void begin_sample(FILE *out, const pnx_stats *stats, const char *name)
{
    begin_sample_of(out, stats, name, "");
}

static void end_sample(FILE *out, uint64_t value)
{
    fprintf(out, "} %" PRIu64 "\n", value);
}

static void end_sample_in_seconds(FILE *out, uint64_t nanoseconds)
{
    fputs("} ", out);
    pnx__out_decimal(out, nanoseconds);
    putc('\n', out);
}

static void write_single(FILE *out, const pnx_stats *stats, const char *name, const char *type,
                         const char *help, uint64_t value)
{
    write_family(out, name, type, help);
    begin_sample(out, stats, name);
    end_sample(out, value);
}

/* ---- per kind and priority ------------------------------------------------------------------- */

static void begin_kind_sample(FILE *out, const pnx_stats *stats, const char *name, size_t kind,
                              pnx_priority priority)
{
    begin_sample(out, stats, name);
    fputs(",kind=\"", out);
    write_label_value(out, stats->kinds[kind].name);
    fprintf(out, "\",priority=\"%s\"", pnx_priority_name(priority));
}

/* A kind is mostly used at one priority; the others would be lines of zeros. */
static bool is_used(const pnx_counts *counts)
{
    return counts->registered + counts->taken > 0;
}

struct figure {
    const char *name;
    size_t offset;
    const char *help;
};

static const struct figure states[] = {
    {"live", offsetof(pnx_counts, live), NULL},
    {"queued", offsetof(pnx_counts, queued), NULL},
    {"running", offsetof(pnx_counts, running), NULL},
    {"waiting", offsetof(pnx_counts, waiting), NULL},
};

static const struct figure counters[] = {
    {"registered_total", offsetof(pnx_counts, registered), "Resources armed."},
    {"done_total", offsetof(pnx_counts, done), "Resources given back."},
    {"failed_total", offsetof(pnx_counts, failed), "Resources that could not be given back."},
    {"abandoned_total", offsetof(pnx_counts, abandoned), "Resources given up for good."},
    {"taken_total", offsetof(pnx_counts, taken), "Resources taken out without a release."},
    {"retried_total", offsetof(pnx_counts, retried), "Attempts that led to another one."},
    {"timed_out_total", offsetof(pnx_counts, timed_out), "Attempts that missed their deadline."},
    {"fallbacks_total", offsetof(pnx_counts, fallbacks), "Fallbacks run."},
    {"late_total", offsetof(pnx_counts, late), "Attempts that ended after their deadline."},
    {"schedule_failed_total", offsetof(pnx_counts, schedule_failed),
     "Releases that no worker could take."},
    {"leaked_total", offsetof(pnx_counts, leaked), "Resources held when their owner ended."},
};

static uint64_t value_of(const pnx_counts *counts, const struct figure *figure)
{
    pnx_counts shown = *counts;
    /* A taken resource gives its registration back, but a counter must never go down. */
    shown.registered += shown.taken;
    return *(const uint64_t *)(const void *)((const char *)&shown + figure->offset);
}

static void write_states(FILE *out, const pnx_stats *stats, size_t kind, pnx_priority priority)
{
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        begin_kind_sample(out, stats, "resources", kind, priority);
        fprintf(out, ",state=\"%s\"", states[i].name);
        end_sample(out, value_of(&stats->kinds[kind].by_priority[priority], &states[i]));
    }
}

/* All samples of one family: of `counter`, or of the states if it is NULL. */
static void write_kinds(FILE *out, const pnx_stats *stats, const struct figure *counter)
{
    for (size_t kind = 0; kind < stats->kind_count; kind++) {
        for (pnx_priority p = 0; p < PNX_PRIORITY_COUNT; p++) {
            const pnx_counts *counts = &stats->kinds[kind].by_priority[p];
            if (!is_used(counts)) {
                continue;
            }
            if (!counter) {
                write_states(out, stats, kind, p);
                continue;
            }
            begin_kind_sample(out, stats, counter->name, kind, p);
            end_sample(out, value_of(counts, counter));
        }
    }
}

static void write_resources(FILE *out, const pnx_stats *stats)
{
    write_family(out, "resources", "gauge", "Resources held now.");
    write_kinds(out, stats, NULL);
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
        write_family(out, counters[i].name, "counter", counters[i].help);
        write_kinds(out, stats, &counters[i]);
    }
}

/* ---- of the registry ------------------------------------------------------------------------- */

static void write_workers(FILE *out, const pnx_stats *stats)
{
    unsigned resting = stats->workers_idle + stats->workers_hung;
    const struct {
        const char *state;
        unsigned count;
    } workers[] = {
        {"busy", stats->workers > resting ? stats->workers - resting : 0},
        {"hung", stats->workers_hung},
        {"idle", stats->workers_idle},
    };
    write_family(out, "workers", "gauge", "Worker threads.");
    for (size_t i = 0; i < sizeof(workers) / sizeof(workers[0]); i++) {
        begin_sample(out, stats, "workers");
        fprintf(out, ",state=\"%s\"", workers[i].state);
        end_sample(out, workers[i].count);
    }
    write_single(out, stats, "workers_max", "gauge", "Most workers allowed, with replacements.",
                 stats->workers_max);
    write_single(out, stats, "workers_replaced_total", "counter",
                 "Workers that were replaced because they hung or ended.", stats->workers_replaced);
}

static void write_singles(FILE *out, const pnx_stats *stats)
{
    pnx_health health;
    pnx_stats_health(stats, NULL, &health);

    write_single(out, stats, "slots", "gauge", "Resources there is memory for.", stats->slots);
    write_single(out, stats, "timers", "gauge", "Timers armed.", stats->timers);
    write_single(out, stats, "backlog_high_water", "gauge", "Queue depth that slows droppers down.",
                 stats->backlog_high_water);
    write_single(out, stats, "events_lost_total", "counter",
                 "Events dropped because the monitors were too slow.", stats->events_lost);
    write_single(out, stats, "shutting_down", "gauge", "1 during and after shutdown, else 0.",
                 stats->shutting_down);
    write_single(out, stats, "health", "gauge", "0 ok, 1 degraded, 2 failing.", health.level);

    write_family(out, "oldest_queued_seconds", "gauge", "How long the oldest queued one waits.");
    begin_sample(out, stats, "oldest_queued_seconds");
    end_sample_in_seconds(out, stats->oldest_queued > 0 ? (uint64_t)stats->oldest_queued : 0);
}

/* ---- histograms ------------------------------------------------------------------------------ */

/*
 * Upper bounds are the last nanosecond before a power of two, where buckets end too, so that each
 * cumulative count is exact. From 16 ns, less than any drop takes, to 69 s, more than twice the
 * default timeout; by twos, so that a quantile that Prometheus interpolates errs by half at most.
 */
#define FIRST_BOUND_BITS 4
#define LAST_BOUND_BITS 36

static void write_bucket(FILE *out, const pnx_stats *stats, const char *name, uint64_t bound_ns,
                         uint64_t cumulative)
{
    begin_sample_of(out, stats, name, "_bucket");
    fputs(",le=\"", out);
    if (bound_ns) {
        pnx__out_decimal(out, bound_ns);
    } else {
        fputs("+Inf", out);
    }
    putc('"', out);
    end_sample(out, cumulative);
}

static void write_histogram(FILE *out, const pnx_stats *stats, const char *name, const char *help,
                            const pnx_histogram *histogram)
{
    uint64_t cumulative = 0;
    unsigned bucket = 0;

    write_family(out, name, "histogram", help);
    for (unsigned bits = FIRST_BOUND_BITS; bits <= LAST_BOUND_BITS; bits++) {
        pnx_duration end = (pnx_duration)1 << bits;
        while (pnx_histogram_bucket_floor(bucket) < end) {
            cumulative += histogram->buckets[bucket++];
        }
        write_bucket(out, stats, name, (uint64_t)end - 1, cumulative);
    }
    write_bucket(out, stats, name, 0, histogram->count);
    begin_sample_of(out, stats, name, "_sum");
    end_sample_in_seconds(out, histogram->sum_ns);
    begin_sample_of(out, stats, name, "_count");
    end_sample(out, histogram->count);
}

pnx_status pnx_stats_write_prometheus(const pnx_stats *stats, FILE *out, pnx_error *err)
{
    write_resources(out, stats);
    write_workers(out, stats);
    write_singles(out, stats);
    write_histogram(out, stats, "queue_wait_seconds", "From drop to the start of the release.",
                    &stats->queue_wait);
    write_histogram(out, stats, "release_seconds", "One release attempt.", &stats->release_time);
    write_histogram(out, stats, "drop_seconds", "What a drop cost its thread.", &stats->drop_time);
    return pnx__out_finish(out, "the statistics for Prometheus", err);
}
