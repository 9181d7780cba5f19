/* SPDX-License-Identifier: MIT */
/** @file usage.h  From samples to events; not thread-safe. Public face: <cleanroom/usage.h>. */
#ifndef CLEANROOM_CONTAINER_USAGE_H
#define CLEANROOM_CONTAINER_USAGE_H

#include <cleanroom/usage.h>

#include "container/kernel.h"

/** What one look has seen. */
struct pnx__sample {
    bool known; /* false: only `reason` is */
    bool gone, running, ended;
    int exit_code;
    bool oom_killed; /* says the engine */
    uint64_t limits[PNX_USAGE_TYPE_COUNT];
    struct pnx__kernel kernel;
    bool measured; /* `stats` are of a container that runs */
    pnx_container_stats stats;
    uint64_t disk; /* 0: not asked for */
    char reason[PNX_ERROR_MESSAGE_MAX];
};

/** Zeroed but for `bounds` and `soft`: nobody has looked yet. */
struct pnx__usage {
    pnx_usage_bound bounds[PNX_USAGE_TYPE_COUNT];
    double soft;
    bool at_soft[PNX_USAGE_TYPE_COUNT], at_hard[PNX_USAGE_TYPE_COUNT];
    uint64_t kernel_oom, kernel_refused; /* at the last look: they begin anew with each cgroup */
    uint64_t cpu;                        /* likewise */
    int64_t read;
    pnx_usage_report report;
};

/* Both ways through both bounds of all, and the rest. */
#define PNX__USAGE_EVENTS_MAX (2 * PNX_USAGE_TYPE_COUNT + 3)

/** Takes a look in; answers how many events it has written to `ret`. */
size_t pnx__usage_take(struct pnx__usage *usage, pnx_time time, const struct pnx__sample *sample,
                       pnx_usage_event ret[PNX__USAGE_EVENTS_MAX]);
/** PNX_EINVAL names the field. */
pnx_status pnx__usage_of(const pnx_usage_config *config, struct pnx__usage *ret, pnx_error *err);
/** The moment that tells of an event. */
const pnx_kind *pnx__usage_moment(pnx_usage_event_type type);

#endif
