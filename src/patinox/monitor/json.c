/* SPDX-License-Identifier: MIT */
/* Statistics and events as JSON (RFC 8259); the keys are explained in docs/monitoring.md. */
#include "monitor/out.h"

#include <inttypes.h>
#include <patinox/monitor.h>

static void write_character(FILE *out, const char *character, size_t length)
{
    unsigned char byte = (unsigned char)*character;
    if (length == 0) {
        fputs(PNX__OUT_REPLACEMENT, out);
    } else if (byte == '"' || byte == '\\') {
        fprintf(out, "\\%c", byte);
    } else if (byte == '\n') {
        fputs("\\n", out);
    } else if (byte < 0x20 || byte == 0x7F) {
        fprintf(out, "\\u%04x", byte);
    } else {
        fwrite(character, 1, length, out);
    }
}

void pnx_json_string(FILE *out, const char *text)
{
    if (!text) {
        fputs("null", out);
        return;
    }
    putc('"', out);
    while (*text) {
        size_t length = pnx__out_character(text);
        write_character(out, text, length);
        text += length ? length : 1;
    }
    putc('"', out);
}

/* ---- statistics ------------------------------------------------------------------------------ */

void pnx__out_json_counts(FILE *out, const pnx_counts *c)
{
    const struct {
        const char *key;
        uint64_t value;
    } fields[] = {
        {"registered", c->registered},
        {"live", c->live},
        {"queued", c->queued},
        {"running", c->running},
        {"waiting", c->waiting},
        {"done", c->done},
        {"failed", c->failed},
        {"abandoned", c->abandoned},
        {"taken", c->taken},
        {"retried", c->retried},
        {"timed_out", c->timed_out},
        {"fallbacks", c->fallbacks},
        {"late", c->late},
        {"schedule_failed", c->schedule_failed},
        {"leaked", c->leaked},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        fprintf(out, "%s\"%s\":%" PRIu64, i ? "," : "{", fields[i].key, fields[i].value);
    }
    putc('}', out);
}

static void write_by_priority(FILE *out, const pnx_counts counts[PNX_PRIORITY_COUNT])
{
    for (pnx_priority p = 0; p < PNX_PRIORITY_COUNT; p++) {
        fprintf(out, "%s\"%s\":", p ? "," : "{", pnx_priority_name(p));
        pnx__out_json_counts(out, &counts[p]);
    }
    putc('}', out);
}

static void write_kinds(FILE *out, const pnx_stats *stats)
{
    fputs(",\"kinds\":[", out);
    for (size_t i = 0; i < stats->kind_count; i++) {
        const pnx_kind_stats *kind = &stats->kinds[i];
        fputs(i ? ",{\"name\":" : "{\"name\":", out);
        pnx_json_string(out, kind->name);
        fputs(",\"counts\":", out);
        pnx__out_json_counts(out, &kind->counts);
        fputs(",\"by_priority\":", out);
        write_by_priority(out, kind->by_priority);
        putc('}', out);
    }
    putc(']', out);
}

/* Quantiles for those who look, and all buckets that are not empty for those who calculate. */
static void write_histogram(FILE *out, const char *key, const pnx_histogram *h)
{
    fprintf(out, ",\"%s\":{\"count\":%" PRIu64 ",\"sum_ns\":%" PRIu64 ",\"max_ns\":%" PRIu64, key,
            h->count, h->sum_ns, h->max_ns);
    fprintf(out, ",\"p50_ns\":%" PRId64 ",\"p90_ns\":%" PRId64, pnx_histogram_quantile(h, 0.5),
            pnx_histogram_quantile(h, 0.9));
    fprintf(out, ",\"p99_ns\":%" PRId64 ",\"p999_ns\":%" PRId64 ",\"buckets\":[",
            pnx_histogram_quantile(h, 0.99), pnx_histogram_quantile(h, 0.999));
    const char *comma = "";
    for (unsigned i = 0; i < PNX_HISTOGRAM_BUCKETS; i++) {
        if (h->buckets[i] != 0) {
            fprintf(out, "%s[%" PRId64 ",%" PRIu64 "]", comma, pnx_histogram_bucket_floor(i),
                    h->buckets[i]);
            comma = ",";
        }
    }
    fputs("]}", out);
}

static void write_health(FILE *out, const pnx_stats *stats)
{
    pnx_health health;
    pnx_stats_health(stats, NULL, &health);
    fprintf(out, ",\"health\":{\"level\":\"%s\",\"reasons\":[", pnx_health_name(health.level));
    for (unsigned i = 0; i < health.reason_count; i++) {
        fprintf(out, "%s{\"level\":\"%s\",\"text\":", i ? "," : "",
                pnx_health_name(health.reasons[i].level));
        pnx_json_string(out, health.reasons[i].text);
        putc('}', out);
    }
    fputs("]}", out);
}

pnx_status pnx_stats_write_json(const pnx_stats *stats, FILE *out, pnx_error *err)
{
    fputs("{\"registry\":", out);
    pnx_json_string(out, stats->registry);
    fprintf(out, ",\"time_ns\":%" PRId64 ",\"total\":", stats->time);
    pnx__out_json_counts(out, &stats->total);
    fputs(",\"by_priority\":", out);
    write_by_priority(out, stats->by_priority);
    write_kinds(out, stats);
    fputs(",\"success_rate\":", out);
    pnx__out_decimal(out, (uint64_t)(pnx_counts_success_rate(&stats->total) * 1e9));
    fprintf(out, ",\"slots\":%" PRIu64, stats->slots);
    fprintf(out, ",\"workers\":{\"count\":%u,\"idle\":%u,\"hung\":%u,\"replaced\":%u,\"max\":%u}",
            stats->workers, stats->workers_idle, stats->workers_hung, stats->workers_replaced,
            stats->workers_max);
    fprintf(out, ",\"timers\":%" PRIu64 ",\"events_lost\":%" PRIu64, stats->timers,
            stats->events_lost);
    fprintf(out, ",\"oldest_queued_ns\":%" PRId64 ",\"backlog_high_water\":%" PRIu64,
            stats->oldest_queued, stats->backlog_high_water);
    fprintf(out, ",\"shutting_down\":%s", stats->shutting_down ? "true" : "false");
    write_health(out, stats);
    write_histogram(out, "queue_wait", &stats->queue_wait);
    write_histogram(out, "release_time", &stats->release_time);
    write_histogram(out, "drop_time", &stats->drop_time);
    fputs("}\n", out);
    return pnx__out_finish(out, "the statistics as JSON", err);
}
