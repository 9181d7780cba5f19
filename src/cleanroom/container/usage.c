/* SPDX-License-Identifier: MIT */
#include "container/usage.h"

#include "container/beat.h"

#include <stdio.h>
#include <string.h>

const char *pnx_usage_event_name(pnx_usage_event_type type)
{
    static const char *const names[PNX_USAGE_EVENT_COUNT] = {
        [PNX_USAGE_SOFT] = "soft limit",      [PNX_USAGE_BELOW] = "below soft limit",
        [PNX_USAGE_HARD] = "hard limit",      [PNX_USAGE_OOM] = "memory ran out",
        [PNX_USAGE_REFUSED] = "pids refused", [PNX_USAGE_ENDED] = "ended",
    };
    return (unsigned)type < PNX_USAGE_EVENT_COUNT ? names[type] : "none";
}

const pnx_kind *pnx__usage_moment(pnx_usage_event_type type)
{
    static const pnx_kind kinds[PNX_USAGE_EVENT_COUNT] = {
        [PNX_USAGE_SOFT] = PNX__MOMENT("container soft limit"),
        [PNX_USAGE_BELOW] = PNX__MOMENT("container below soft limit"),
        [PNX_USAGE_HARD] = PNX__MOMENT("container hard limit"),
        [PNX_USAGE_OOM] = PNX__MOMENT("container memory ran out"),
        [PNX_USAGE_REFUSED] = PNX__MOMENT("container pids refused"),
        [PNX_USAGE_ENDED] = PNX__MOMENT("container ended"),
    };
    return &kinds[type];
}

pnx_status pnx__usage_of(const pnx_usage_config *config, struct pnx__usage *ret, pnx_error *err)
{
    if (!(config->soft >= 0 && config->soft <= 1))
        return pnx_fail(err, PNX_EINVAL, "soft: %g: accepted is 0 to 1", config->soft);
    if (config->interval < 0 || (config->interval && config->interval < PNX_MS(1)))
        return pnx_fail(err, PNX_EINVAL, "interval: accepted is 1ms and more");
    if (config->timeout < 0 || (config->timeout && config->timeout < PNX_MS(1)))
        return pnx_fail(err, PNX_EINVAL, "timeout: accepted is 1ms and more");
    if ((unsigned)config->action > PNX_USAGE_KILL)
        return pnx_fail(err, PNX_EINVAL, "action: %d is none", (int)config->action);
    for (int i = 0; i < PNX_USAGE_TYPE_COUNT; i++) {
        const pnx_usage_bound *bound = &config->bounds[i];
        if (bound->soft && bound->hard && bound->soft > bound->hard)
            return pnx_fail(err, PNX_EINVAL, "bounds: of %s the soft one is above the hard one",
                            pnx_usage_type_name((pnx_usage_type)i));
    }
    *ret = (struct pnx__usage){.soft = config->soft > 0 ? config->soft : 0.8};
    memcpy(ret->bounds, config->bounds, sizeof ret->bounds);
    return PNX_OK;
}

/* ---- events ---------------------------------------------------------------------------------- */

struct taking {
    struct pnx__usage *usage;
    pnx_time time;
    pnx_usage_event *events;
    size_t count;
};

static pnx_usage_event *add(struct taking *to, pnx_usage_event_type type)
{
    pnx_usage_event *event = &to->events[to->count++];
    *event = (pnx_usage_event){.type = type, .time = to->time};
    to->usage->report.events[type]++;
    return event;
}

static void add_crossing(struct taking *to, pnx_usage_event_type type, int usage, uint64_t value,
                         uint64_t bound)
{
    pnx_usage_event *event = add(to, type);
    event->usage = (pnx_usage_type)usage;
    event->value = value;
    event->bound = bound;
    snprintf(event->reason, sizeof event->reason, "%s: %s: %llu, %s %llu",
             pnx_usage_event_name(type), pnx_usage_type_name(event->usage),
             (unsigned long long)value, type == PNX_USAGE_BELOW ? "below" : "of",
             (unsigned long long)bound);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

static uint64_t soft_bound(const struct pnx__usage *usage, int type)
{
    if (usage->bounds[type].soft)
        return usage->bounds[type].soft;
    if (type == PNX_USAGE_CPU || type == PNX_USAGE_CPU_TIME)
        return 0; /* to use what one is given of it is no trouble */
    return (uint64_t)((double)usage->report.limit[type] * usage->soft);
}

/* A tenth below: what moves about the bound is told once. */
static bool is_clearly_below(uint64_t value, uint64_t bound)
{
    return value < bound - bound / 10;
}

static void cross(struct taking *to, int type, uint64_t value)
{
    struct pnx__usage *usage = to->usage;
    uint64_t soft = soft_bound(usage, type), hard = usage->bounds[type].hard;
    usage->report.last[type] = value;
    if (value > usage->report.peak[type])
        usage->report.peak[type] = value;
    if (soft && value >= soft && !usage->at_soft[type]) {
        usage->at_soft[type] = true;
        add_crossing(to, PNX_USAGE_SOFT, type, value, soft);
    } else if (soft && is_clearly_below(value, soft) && usage->at_soft[type]) {
        usage->at_soft[type] = false;
        add_crossing(to, PNX_USAGE_BELOW, type, value, soft);
    }
    if (hard && value >= hard && !usage->at_hard[type]) {
        usage->at_hard[type] = true;
        add_crossing(to, PNX_USAGE_HARD, type, value, hard);
    } else if (hard && is_clearly_below(value, hard)) {
        usage->at_hard[type] = false;
    }
}

static void take_stats(struct taking *to, const struct pnx__sample *sample)
{
    struct pnx__usage *usage = to->usage;
    const pnx_container_stats *stats = &sample->stats;
    cross(to, PNX_USAGE_MEMORY, stats->memory);
    cross(to, PNX_USAGE_PIDS, stats->pids);
    cross(to, PNX_USAGE_CPU_TIME, stats->cpu / 1000000);
    if (sample->disk)
        cross(to, PNX_USAGE_DISK, sample->disk);
    /* Of two looks; a life that is over has nothing to do with the next. */
    if (usage->read && stats->read > usage->read && stats->cpu >= usage->cpu)
        cross(to, PNX_USAGE_CPU,
              (stats->cpu - usage->cpu) * 1000 / (uint64_t)(stats->read - usage->read));
    usage->read = stats->read;
    usage->cpu = stats->cpu;
    usage->report.block_read = stats->block_read;
    usage->report.block_written = stats->block_written;
    usage->report.net_received = stats->net_received;
    usage->report.net_transmitted = stats->net_transmitted;
}

/* ---- what the kernel did --------------------------------------------------------------------- */

/* More than at the last look; a smaller number is another cgroup's. */
static uint64_t more(uint64_t *before, uint64_t now)
{
    uint64_t added = now >= *before ? now - *before : now;
    *before = now;
    return added;
}

static void take_kernel(struct taking *to, const struct pnx__sample *sample)
{
    struct pnx__usage *usage = to->usage;
    pnx_usage_report *report = &usage->report;
    uint64_t oom = 0, refused = 0;
    if (sample->kernel.visible) {
        oom = more(&usage->kernel_oom, sample->kernel.oom);
        refused = more(&usage->kernel_refused, sample->kernel.refused);
        if (sample->kernel.memory_peak > report->kernel_peak_memory)
            report->kernel_peak_memory = sample->kernel.memory_peak;
    }
    /* The engine says so of the whole life, and of what the kernel has counted already. */
    if (sample->oom_killed && report->oom == 0 && oom == 0)
        oom = 1;
    report->oom += oom;
    report->refused += refused;
    if (oom) {
        pnx_usage_event *event = add(to, PNX_USAGE_OOM);
        event->value = report->oom;
        event->bound = report->limit[PNX_USAGE_MEMORY];
        snprintf(event->reason, sizeof event->reason, "memory ran out: %llu of it was the limit",
                 (unsigned long long)event->bound);
    }
    if (refused) {
        pnx_usage_event *event = add(to, PNX_USAGE_REFUSED);
        event->usage = PNX_USAGE_PIDS;
        event->value = report->refused;
        event->bound = report->limit[PNX_USAGE_PIDS];
        snprintf(event->reason, sizeof event->reason, "it was refused more than %llu processes",
                 (unsigned long long)event->bound);
    }
}

static void take_end(struct taking *to, const struct pnx__sample *sample)
{
    pnx_usage_event *event = add(to, PNX_USAGE_ENDED);
    to->usage->report.ended = true;
    event->status = sample->gone ? PNX_ENOTFOUND : PNX_OK;
    event->exit_code = sample->exit_code;
    if (sample->gone)
        snprintf(event->reason, sizeof event->reason, "%s", sample->reason);
    else
        snprintf(event->reason, sizeof event->reason, "it has ended, exit status %d%s",
                 sample->exit_code, sample->oom_killed ? ": memory ran out" : "");
}

size_t pnx__usage_take(struct pnx__usage *usage, pnx_time time, const struct pnx__sample *sample,
                       pnx_usage_event ret[PNX__USAGE_EVENTS_MAX])
{
    struct taking to = {usage, time, ret, 0};
    usage->report.looks++;
    if (!sample->known) {
        usage->report.unknown++;
        memcpy(usage->report.unknown_reason, sample->reason, sizeof sample->reason);
        return 0;
    }
    if (!sample->gone) {
        memcpy(usage->report.limit, sample->limits, sizeof sample->limits);
        take_kernel(&to, sample);
        if (sample->measured)
            take_stats(&to, sample);
    }
    if (sample->gone || sample->ended)
        take_end(&to, sample);
    return to.count;
}
