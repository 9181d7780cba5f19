/* SPDX-License-Identifier: MIT */
/* Figures of a pool, what they say about its health, and their Prometheus text. */
#include "pool/internal.h"

#include "base/text.h"
#include "monitor/out.h"

#include <inttypes.h>
#include <string.h>

void pnx_pool_get_stats(pnx_pool *pool, pnx_pool_stats *ret)
{
    pnx__pool_lock(pool);
    *ret = pool->stats;
    pnx__pool_entry *longest;
    ret->leased = pnx__pool_leased(pool, &longest, &ret->idle);
    ret->min = pool->min;
    ret->max = pool->max;
    ret->creating = pool->count[PNX__POOL_CREATING];
    ret->checking = pool->count[PNX__POOL_CHECKING];
    ret->closing = pool->count[PNX__POOL_CLOSING];
    /* Not pool->size: what is idle and what is leased was counted one after the other. */
    ret->size = ret->idle + ret->leased + ret->creating + ret->checking + ret->closing;
    ret->waiting = pool->waiting;
    ret->circuit = pool->circuit;
    const uint32_t gate = atomic_load_explicit(&pool->gate, memory_order_relaxed);
    ret->suspended = (gate & PNX__GATE_SUSPENDED) != 0;
    ret->closed = (gate & PNX__GATE_CLOSED) != 0;
    const uint32_t span = atomic_load_explicit(&pool->span, memory_order_relaxed);
    for (uint32_t i = 0; i < span; i++)
        ret->acquired += pnx__pool_word(&pool->entries[i]) / PNX__POOL_SERIAL_ONE;
    ret->longest_held = -1;
    if (longest != NULL) {
        ret->longest_held = pnx__tick_time(pool->registry) -
                            atomic_load_explicit(&longest->since, memory_order_relaxed);
        ret->longest_site = atomic_load_explicit(&longest->site, memory_order_relaxed);
    }
    pthread_mutex_unlock(&pool->lock);
}

/* ---- health ---------------------------------------------------------------------------------- */

static void add_reason(pnx_health *health, pnx_health_level level, const char *format, ...)
    PNX_PRINTF(3, 4);
static void add_reason(pnx_health *health, pnx_health_level level, const char *format, ...)
{
    if (level > health->level)
        health->level = level;
    if (health->reason_count == PNX_HEALTH_REASONS_MAX)
        return;
    health->reasons[health->reason_count].level = level;
    va_list args;
    va_start(args, format);
    pnx__text_format_va(health->reasons[health->reason_count].text, sizeof health->reasons[0].text,
                        format, args);
    va_end(args);
    health->reason_count++;
}

pnx_health_level pnx_pool_get_health(pnx_pool *pool, pnx_health *ret)
{
    *ret = (pnx_health){.level = PNX_HEALTH_OK};
    pnx_pool_stats stats;
    pnx_pool_get_stats(pool, &stats);
    pnx__pool_lock(pool);
    const pnx_time now = pnx__precise(pool->registry);
    unsigned held = 0;
    const uint32_t span = atomic_load_explicit(&pool->span, memory_order_relaxed);
    for (uint32_t i = 0; i < span; i++) {
        pnx__pool_entry *entry = &pool->entries[i];
        held += pnx__pool_state(pnx__pool_word(entry)) == PNX__POOL_LEASED &&
                now - atomic_load_explicit(&entry->since, memory_order_relaxed) >=
                    pool->config.held_too_long;
    }
    const pnx_error error = pool->last_error;
    pnx_duration waits = 0;
    if (!pnx__list_empty(&pool->waits))
        waits = now - pnx__container_of(pool->waits.next, pnx__pool_waiter, all)->queued_at;
    pthread_mutex_unlock(&pool->lock);
    if (stats.circuit != PNX_CIRCUIT_CLOSED)
        add_reason(ret, stats.idle + stats.leased == 0 ? PNX_HEALTH_FAILING : PNX_HEALTH_DEGRADED,
                   "pool %s: nothing can be created: %s", pool->name, error.message);
    if (waits > PNX_S(1))
        add_reason(ret, PNX_HEALTH_DEGRADED, "pool %s: %u wait, the first for %lld ms", pool->name,
                   stats.waiting, (long long)(waits / PNX_MS(1)));
    if (held > 0)
        add_reason(ret, PNX_HEALTH_DEGRADED, "pool %s: %u leases are held too long", pool->name,
                   held);
    if (stats.suspended)
        add_reason(ret, PNX_HEALTH_DEGRADED, "pool %s: it is suspended", pool->name);
    return ret->level;
}

/* ---- Prometheus ------------------------------------------------------------------------------ */

static void write_label(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\\' || *text == '"')
            fputc('\\', out);
        if (*text == '\n')
            fputs("\\n", out);
        else
            fputc(*text, out);
    }
}

static void write_family(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP patinox_pool_%s %s\n# TYPE patinox_pool_%s %s\n", name, help, name, type);
}

static void write_sample(FILE *out, const pnx_pool *pool, const char *name, const char *labels,
                         uint64_t value)
{
    fprintf(out, "patinox_pool_%s{pool=\"", name);
    write_label(out, pool->name);
    fprintf(out, "\"%s} %" PRIu64 "\n", labels, value);
}

static void write_histogram(FILE *out, const pnx_pool *pool, const char *name, const char *help,
                            const pnx_histogram *histogram)
{
    static const double quantiles[] = {0.5, 0.99, 0.999};
    static const char *const labels[] = {"0.5", "0.99", "0.999"};
    write_family(out, name, "summary", help);
    for (unsigned i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
        fprintf(out, "patinox_pool_%s{pool=\"", name);
        write_label(out, pool->name);
        fprintf(out, "\",quantile=\"%s\"} ", labels[i]);
        pnx__out_decimal(out, (uint64_t)pnx_histogram_quantile(histogram, quantiles[i]));
        fputc('\n', out);
    }
    fprintf(out, "patinox_pool_%s_sum{pool=\"", name);
    write_label(out, pool->name);
    fputs("\"} ", out);
    pnx__out_decimal(out, histogram->sum_ns);
    fputc('\n', out);
    char count[64];
    (void)snprintf(count, sizeof count, "%s_count", name);
    write_sample(out, pool, count, "", histogram->count);
}

pnx_status pnx_pool_write_prometheus(pnx_pool *pool, FILE *out, pnx_error *err)
{
    pnx_pool_stats stats;
    pnx_pool_get_stats(pool, &stats);
    pnx_health health;
    const pnx_health_level level = pnx_pool_get_health(pool, &health);
    write_family(out, "entries", "gauge", "Things the pool holds, by state.");
    write_sample(out, pool, "entries", ",state=\"idle\"", stats.idle);
    write_sample(out, pool, "entries", ",state=\"leased\"", stats.leased);
    write_sample(out, pool, "entries", ",state=\"creating\"", stats.creating);
    write_sample(out, pool, "entries", ",state=\"checking\"", stats.checking);
    write_sample(out, pool, "entries", ",state=\"closing\"", stats.closing);
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } figures[] = {
        {"max", "gauge", "The most that there may be.", stats.max},
        {"waiting", "gauge", "Who waits for a lease.", stats.waiting},
        {"circuit", "gauge", "0 closed, 1 open, 2 half open.", stats.circuit},
        {"health", "gauge", "0 ok, 1 degraded, 2 failing.", level},
        {"acquired_total", "counter", "Leases.", stats.acquired},
        {"waited_total", "counter", "Leases that were waited for.", stats.waited},
        {"bypassed_total", "counter", "Leases that overtook a waiter.", stats.bypassed},
        {"timeouts_total", "counter", "Acquires that got none in time.", stats.timed_out},
        {"canceled_total", "counter", "Acquires that were canceled.", stats.canceled},
        {"created_total", "counter", "Things created.", stats.created},
        {"create_failures_total", "counter", "Creates that failed.", stats.create_failed},
        {"destroyed_total", "counter", "Things given back.", stats.destroyed},
        {"validated_total", "counter", "Validations passed.", stats.validated},
        {"invalid_total", "counter", "Validations failed.", stats.invalid},
        {"reset_failures_total", "counter", "Resets that failed.", stats.reset_failed},
        {"broken_total", "counter", "Things returned as broken.", stats.broken},
        {"retired_total", "counter", "Things past their lifetime.", stats.retired},
        {"idle_timeouts_total", "counter", "Things idle for too long.", stats.idle_timed_out},
        {"evicted_total", "counter", "Things evicted.", stats.evicted},
        {"lost_total", "counter", "Things released by somebody else.", stats.lost},
        {"held_too_long_total", "counter", "Leases held too long.", stats.held_too_long},
        {"nested_total", "counter", "Acquires that closed a circle.", stats.nested},
    };
    for (unsigned i = 0; i < sizeof figures / sizeof *figures; i++) {
        write_family(out, figures[i].name, figures[i].type, figures[i].help);
        write_sample(out, pool, figures[i].name, "", figures[i].value);
    }
    write_histogram(out, pool, "wait_seconds", "How long leases were waited for.",
                    &stats.wait_time);
    write_histogram(out, pool, "create_seconds", "How long creates took.", &stats.create_time);
    return pnx__out_finish(out, "the metrics of a pool", err);
}
