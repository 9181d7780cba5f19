/* SPDX-License-Identifier: MIT */
/* Resources and the counters: the only place in which these are made. */
#include "report/internal.h"

#include <stdlib.h>
#include <string.h>

pnx__verdict pnx__verdict_of(pnx_origin origin, pnx_fate fate)
{
    switch (fate) {
    case PNX_FATE_REMOVED:
    case PNX_FATE_ALREADY_GONE:
    case PNX_FATE_GONE_LATE:
        return PNX__GONE;
    case PNX_FATE_KEPT:
        return PNX__KEPT;
    case PNX_FATE_FOREIGN:
        return origin == PNX_ORIGIN_FOUND ? PNX__FOREIGN : PNX__UNREMOVED;
    case PNX_FATE_HELD:
    case PNX_FATE_STUCK:
    case PNX_FATE_COUNT:
        break;
    }
    return PNX__UNREMOVED;
}

/* ---- totals ---------------------------------------------------------------------------------- */

static pnx_session_total *find_total(const pnx_session_report *report, const char *kind)
{
    for (size_t i = 0; i < report->total_count; i++)
        if (strcmp(report->totals[i].kind, kind) == 0)
            return &report->totals[i];
    return NULL;
}

static pnx_session_total *need_total(pnx_session_report *report, const char *kind)
{
    pnx_session_total *total = find_total(report, kind);
    if (total)
        return total;
    if (report->total_count == report->total_max) {
        size_t max = report->total_max ? 2 * report->total_max : 16;
        pnx_session_total *totals = realloc(report->totals, max * sizeof *totals);
        if (!totals)
            return NULL;
        report->totals = totals;
        report->total_max = max;
    }
    total = &report->totals[report->total_count++];
    *total = (pnx_session_total){.kind = kind};
    return total;
}

const pnx_session_total *pnx_session_report_total(const pnx_session_report *report,
                                                  const char *kind)
{
    return find_total(report, kind);
}

uint64_t pnx__count_verdict(const pnx_session_total *total, pnx__verdict verdict)
{
    uint64_t count = 0;
    for (int fate = 0; fate < PNX_FATE_COUNT; fate++) {
        if (pnx__verdict_of(PNX_ORIGIN_FOUND, (pnx_fate)fate) == verdict)
            count += total->found[fate];
        if (verdict != PNX__GONE && pnx__verdict_of(PNX_ORIGIN_MADE, (pnx_fate)fate) == verdict)
            count += total->made[fate];
    }
    return count;
}

uint64_t pnx_session_report_found(const pnx_session_report *report, const char *kind)
{
    const pnx_session_total *total = find_total(report, kind);
    uint64_t count = 0;
    for (int fate = 0; total && fate < PNX_FATE_COUNT; fate++)
        count += fate == PNX_FATE_FOREIGN ? 0 : total->found[fate];
    return count;
}

/* ---- counting -------------------------------------------------------------------------------- */

static void count_counters(pnx_session_report *report, pnx_origin origin,
                           const pnx_outcome *outcome, uint64_t count)
{
    pnx__verdict verdict = pnx__verdict_of(origin, outcome->fate);
    bool found = origin == PNX_ORIGIN_FOUND;
    if (found && verdict != PNX__FOREIGN)
        report->leftovers += count;
    if (found && verdict == PNX__GONE && !outcome->verified)
        report->unverified += count;
    if (verdict == PNX__UNREMOVED)
        report->unremoved += count;
    if (verdict == PNX__FOREIGN)
        report->foreign += count;
    if (verdict == PNX__KEPT)
        report->kept += count;
}

static pnx_session_total *count_all(pnx_session_report *report, const char *kind, pnx_origin origin,
                                    const pnx_outcome *outcome, uint64_t count)
{
    count_counters(report, origin, outcome, count);
    pnx_session_total *total = need_total(report, kind);
    if (total)
        (origin == PNX_ORIGIN_MADE ? total->made : total->found)[outcome->fate] += count;
    return total;
}

pnx_status pnx_session_report_count(pnx_session_report *report, const char *kind, pnx_origin origin,
                                    const pnx_outcome *outcome, uint64_t count)
{
    if (count == 0)
        return PNX_OK;
    pnx_session_total *total = count_all(report, kind, origin, outcome, count);
    report->unlisted += count;
    if (!total)
        return PNX_ENOMEM;
    total->unlisted[outcome->fate] += count;
    return PNX_OK;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static bool make_room(pnx_session_report *report)
{
    if (report->resource_count < report->resource_max)
        return true;
    size_t max = report->resource_max ? 2 * report->resource_max : 16;
    pnx_session_resource *resources = realloc(report->resources, max * sizeof *resources);
    if (!resources)
        return false;
    report->resources = resources;
    report->resource_max = max;
    return true;
}

pnx_status pnx_session_report_add(pnx_session_report *report, const pnx_session_resource *resource)
{
    pnx_session_total *total =
        count_all(report, resource->kind, resource->origin, &resource->outcome, 1);
    if (total && make_room(report)) {
        report->resources[report->resource_count++] = *resource;
        return PNX_OK;
    }
    free(resource->id);
    free(resource->name);
    free(resource->detail);
    report->unlisted++;
    if (total)
        total->unlisted[resource->outcome.fate]++;
    return PNX_ENOMEM;
}

bool pnx__is_told(const pnx_session_resource *resource)
{
    return resource->origin == PNX_ORIGIN_FOUND ||
           pnx__verdict_of(resource->origin, resource->outcome.fate) != PNX__GONE;
}

/* ---- order ----------------------------------------------------------------------------------- */

static size_t rank_of(const char *kind)
{
    static const char *const kinds[] = {
        "command",   "process",  "container", "network",  "volume", "mount",
        "mapper",    "loop",     "link",      "netns",    "port",   "socket",
        "abstract",  "sysv-shm", "sysv-sem",  "sysv-msg", "mqueue", "shm",
        "semaphore", "file",     "tempdir",   "image",    "cgroup",
    };
    size_t rank = 0;
    while (rank < sizeof kinds / sizeof *kinds && strcmp(kinds[rank], kind) != 0)
        rank++;
    return rank;
}

static int compare_totals(const void *left, const void *right)
{
    const char *one = (*(const pnx_session_total *const *)left)->kind;
    const char *other = (*(const pnx_session_total *const *)right)->kind;
    size_t one_rank = rank_of(one), other_rank = rank_of(other);
    if (one_rank != other_rank)
        return one_rank < other_rank ? -1 : 1;
    return strcmp(one, other);
}

const pnx_session_total **pnx__totals_in_order(const pnx_session_report *report)
{
    if (report->total_count == 0)
        return NULL;
    const pnx_session_total **order = calloc(report->total_count, sizeof *order);
    for (size_t i = 0; order && i < report->total_count; i++)
        order[i] = &report->totals[i];
    if (order)
        qsort(order, report->total_count, sizeof *order, compare_totals);
    return order;
}
