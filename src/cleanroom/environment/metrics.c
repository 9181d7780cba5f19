/* SPDX-License-Identifier: MIT */
/* The figures of an environment, in the form that the registry's own have (monitor.h). */
#include "environment/internal.h"

#include <inttypes.h>

void pnx_environment_stats_of(const pnx_environment *environment, pnx_environment_stats *ret)
{
    pthread_mutex_t *mutex = &((pnx_environment *)environment)->mutex;
    *ret = (pnx_environment_stats){0};
    pthread_mutex_lock(mutex);
    ret->counts = environment->counts;
    for (const pnx_service *one = environment->services; one; one = one->next)
        ret->counts.services += one->state != PNX__SERVICE_NEW && one->state != PNX__SERVICE_GONE;
    pnx_histogram_merge(&ret->ready_time, &environment->ready_time);
    pnx_histogram_merge(&ret->remove_time, &environment->remove_time);
    pthread_mutex_unlock(mutex);
}

/* ---- Prometheus ------------------------------------------------------------------------------ */

static void write_name(const pnx_environment *environment, FILE *out)
{
    fputs("{environment=\"", out);
    for (const char *at = environment->name; *at; at++) {
        if (*at == '\n') {
            fputs("\\n", out);
            continue;
        }
        if (*at == '"' || *at == '\\')
            fputc('\\', out);
        fputc(*at, out);
    }
    fputc('"', out);
}

static void write_single(const pnx_environment *environment, FILE *out, const char *name,
                         const char *type, const char *help, uint64_t value)
{
    fprintf(out, "# HELP cleanroom_environment_%s %s\n# TYPE cleanroom_environment_%s %s\n", name,
            help, name, type);
    fprintf(out, "cleanroom_environment_%s", name);
    write_name(environment, out);
    fprintf(out, "} %" PRIu64 "\n", value);
}

/* Bounds as those of the registry, at powers of four from a millisecond to a minute. */
static void write_histogram(const pnx_environment *environment, FILE *out, const char *name,
                            const char *help, const pnx_histogram *histogram)
{
    static const unsigned bounds_ms[] = {1, 4, 16, 64, 256, 1024, 4096, 16384, 65536};
    uint64_t below = 0;
    unsigned bucket = 0;
    fprintf(out,
            "# HELP cleanroom_environment_%s_seconds %s\n"
            "# TYPE cleanroom_environment_%s_seconds histogram\n",
            name, help, name);
    for (size_t i = 0; i < sizeof bounds_ms / sizeof *bounds_ms; i++) {
        for (; bucket < PNX_HISTOGRAM_BUCKETS &&
               pnx_histogram_bucket_floor(bucket + 1) <= PNX_MS(bounds_ms[i]);
             bucket++)
            below += histogram->buckets[bucket];
        fprintf(out, "cleanroom_environment_%s_seconds_bucket", name);
        write_name(environment, out);
        fprintf(out, ",le=\"%u.%03u\"} %" PRIu64 "\n", bounds_ms[i] / 1000, bounds_ms[i] % 1000,
                below);
    }
    fprintf(out, "cleanroom_environment_%s_seconds_bucket", name);
    write_name(environment, out);
    fprintf(out, ",le=\"+Inf\"} %" PRIu64 "\ncleanroom_environment_%s_seconds_sum",
            histogram->count, name);
    write_name(environment, out);
    fprintf(out, "} %" PRIu64 ".%09" PRIu64 "\ncleanroom_environment_%s_seconds_count",
            histogram->sum_ns / 1000000000u, histogram->sum_ns % 1000000000u, name);
    write_name(environment, out);
    fprintf(out, "} %" PRIu64 "\n", histogram->count);
}

pnx_status pnx_environment_write_prometheus(const pnx_environment *environment, FILE *out,
                                            pnx_error *err)
{
    pnx_environment_stats stats;
    pnx_environment_stats_of(environment, &stats);
    const pnx_environment_counts *counts = &stats.counts;
    const struct {
        const char *name, *help;
        uint64_t value;
    } counters[] = {
        {"started_total", "Containers that were started.", counts->started},
        {"ready_total", "Services that got ready.", counts->ready},
        {"failed_total", "Services that did not get ready.", counts->failed},
        {"checks_total", "Probes for readiness.", counts->checks},
        {"reused_total", "Services that were shared.", counts->reused},
        {"reset_total", "Services that were reset for that.", counts->reset},
        {"refused_total", "Services that the policy refused.", counts->refused},
        {"removed_total", "Things that are gone and verified.", counts->removed},
        {"swept_total", "Of these, by the second layer.", counts->swept},
        {"kept_total", "Things that were kept on purpose.", counts->kept},
        {"left_total", "Removals that left something behind.", counts->left},
        {"saved_files_total", "Artifacts.", counts->saved_files},
        {"saved_bytes_total", "Bytes of artifacts.", counts->saved_bytes},
        {"unsaved_total", "Artifacts that could not be saved.", counts->unsaved},
    };
    write_single(environment, out, "services", "gauge", "Services that are there now.",
                 counts->services);
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++)
        write_single(environment, out, counters[i].name, "counter", counters[i].help,
                     counters[i].value);
    write_histogram(environment, out, "ready", "From asking for a container until it is ready.",
                    &stats.ready_time);
    write_histogram(environment, out, "remove", "Until one thing is seen to be gone.",
                    &stats.remove_time);
    if (fflush(out) != 0 || ferror(out))
        return pnx_fail(err, PNX_EFAILED, "cannot write the figures of %s: %m", environment->name);
    return PNX_OK;
}
