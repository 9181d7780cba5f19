/* SPDX-License-Identifier: MIT */
/* Judges a snapshot: each finding is a reason with its figures, and the worst one is the level. */
#include <inttypes.h>
#include <patinox/monitor.h>
#include <stdio.h>

/* Fewer finished releases say nothing about a rate: one failure of two would be an alarm. */
#define RATE_NEEDS_FINISHED 10

static const char *const level_names[] = {
    [PNX_HEALTH_OK] = "ok",
    [PNX_HEALTH_DEGRADED] = "degraded",
    [PNX_HEALTH_FAILING] = "failing",
};

const char *pnx_health_name(pnx_health_level level)
{
    return (unsigned)level <= PNX_HEALTH_FAILING ? level_names[level] : "unknown";
}

static pnx_health_limits complete(const pnx_health_limits *given, const pnx_stats *stats)
{
    pnx_health_limits limits = given ? *given : (pnx_health_limits){0};

    if (!(limits.degraded_success_rate > 0)) { /* so that NaN is no limit */
        limits.degraded_success_rate = 0.99;
    }
    if (!(limits.failing_success_rate > 0)) {
        limits.failing_success_rate = 0.90;
    }
    if (limits.degraded_queue_depth == 0) {
        limits.degraded_queue_depth = stats->backlog_high_water;
    }
    if (limits.failing_queue_depth == 0 &&
        __builtin_mul_overflow(limits.degraded_queue_depth, 10, &limits.failing_queue_depth)) {
        limits.failing_queue_depth = UINT64_MAX;
    }
    if (limits.degraded_queue_wait <= 0) {
        limits.degraded_queue_wait = PNX_S(1);
    }
    if (limits.failing_queue_wait <= 0) {
        limits.failing_queue_wait = PNX_S(10);
    }
    return limits;
}

static void find(pnx_health *health, pnx_health_level level, const char *format, ...)
    PNX_PRINTF(3, 4);

static void find(pnx_health *health, pnx_health_level level, const char *format, ...)
{
    if (level > health->level) {
        health->level = level;
    }
    if (health->reason_count == PNX_HEALTH_REASONS_MAX) {
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(health->reasons[health->reason_count].text, sizeof(health->reasons[0].text), format,
              args);
    va_end(args);
    health->reasons[health->reason_count].level = level;
    health->reason_count++;
}

/* Hundredths of a per cent, rounded down, to be shown as "%u.%02u %%" in every locale. */
static unsigned basis_points(double share)
{
    return share >= 1 ? 10000 : (unsigned)(share * 10000);
}

static void judge_success(pnx_health *health, const pnx_counts *total,
                          const pnx_health_limits *limits)
{
    double rate = pnx_counts_success_rate(total);
    bool failing = rate < limits->failing_success_rate;
    double limit = failing ? limits->failing_success_rate : limits->degraded_success_rate;

    if (total->done + total->failed + total->abandoned < RATE_NEEDS_FINISHED || rate >= limit) {
        return;
    }
    unsigned is = basis_points(rate);
    unsigned least = basis_points(limit);
    find(health, failing ? PNX_HEALTH_FAILING : PNX_HEALTH_DEGRADED,
         "success rate %u.%02u %% is below %u.%02u %%", is / 100, is % 100, least / 100,
         least % 100);
}

static void judge_queue(pnx_health *health, const pnx_stats *stats, const pnx_health_limits *limits)
{
    uint64_t depth = stats->total.queued;
    bool deep = depth > limits->failing_queue_depth;
    uint64_t most = deep ? limits->failing_queue_depth : limits->degraded_queue_depth;
    if (depth > most) {
        find(health, deep ? PNX_HEALTH_FAILING : PNX_HEALTH_DEGRADED,
             "queue depth %" PRIu64 " is above %" PRIu64, depth, most);
    }

    pnx_duration wait = stats->oldest_queued;
    bool old = wait > limits->failing_queue_wait;
    pnx_duration longest = old ? limits->failing_queue_wait : limits->degraded_queue_wait;
    if (wait > longest) {
        find(health, old ? PNX_HEALTH_FAILING : PNX_HEALTH_DEGRADED,
             "the oldest queued resource has waited for %" PRId64 " ms, more than %" PRId64 " ms",
             wait / PNX_MS(1), longest / PNX_MS(1));
    }
}

static void judge_workers(pnx_health *health, const pnx_stats *stats)
{
    if (stats->workers_hung == 0) {
        return;
    }
    if (stats->workers_hung >= stats->workers) {
        find(health, PNX_HEALTH_FAILING, "all %u workers hang", stats->workers_hung);
    } else {
        find(health, PNX_HEALTH_DEGRADED, "%u of %u workers hang", stats->workers_hung,
             stats->workers);
    }
}

void pnx_stats_health(const pnx_stats *stats, const pnx_health_limits *given, pnx_health *ret)
{
    pnx_health_limits limits = complete(given, stats);

    *ret = (pnx_health){.level = PNX_HEALTH_OK};
    judge_success(ret, &stats->total, &limits);
    judge_queue(ret, stats, &limits);
    judge_workers(ret, stats);
    if (stats->total.abandoned > 0) {
        find(ret, PNX_HEALTH_DEGRADED, "resources abandoned: %" PRIu64, stats->total.abandoned);
    }
    if (stats->total.leaked > 0) {
        find(ret, PNX_HEALTH_DEGRADED, "resources leaked: %" PRIu64, stats->total.leaked);
    }
    if (stats->events_lost > 0) {
        find(ret, PNX_HEALTH_DEGRADED, "events lost: %" PRIu64, stats->events_lost);
    }
    if (stats->shutting_down) {
        find(ret, PNX_HEALTH_DEGRADED, "shutting down");
    }
}
