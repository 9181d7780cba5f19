/* SPDX-License-Identifier: MIT */
/*
 * The rules, as Docker has them for its own health checks, and one more: what is not known.
 *
 *     from \ look   passes              fails                          says nothing
 *     starting      healthy             unhealthy after `retries`,     unknown after `unknowns`
 *                                       not counted in the start period
 *     healthy       healthy             unhealthy after `retries`      likewise
 *     unhealthy     healthy after       unhealthy                      likewise
 *                   `successes`
 *     unknown       as from what it was before; before the first look, from starting
 *
 * What has ended, or is gone, is unhealthy at once: there is nothing to be patient about.
 */
#include "container/condition.h"

#include "container/beat.h"

#include <stdio.h>
#include <string.h>

const char *pnx_condition_name(pnx_condition condition)
{
    static const char *const names[PNX_CONDITION_COUNT] = {
        [PNX_UNKNOWN] = "unknown",
        [PNX_STARTING] = "starting",
        [PNX_HEALTHY] = "healthy",
        [PNX_UNHEALTHY] = "unhealthy",
    };
    return (unsigned)condition < PNX_CONDITION_COUNT ? names[condition] : "none";
}

const pnx_kind *pnx__condition_moment(pnx_condition condition)
{
    static const pnx_kind kinds[PNX_CONDITION_COUNT] = {
        [PNX_UNKNOWN] = PNX__MOMENT("container unknown"),
        [PNX_STARTING] = PNX__MOMENT("container starting"),
        [PNX_HEALTHY] = PNX__MOMENT("container healthy"),
        [PNX_UNHEALTHY] = PNX__MOMENT("container unhealthy"),
    };
    return &kinds[condition];
}

/* ---- rules ----------------------------------------------------------------------------------- */

static pnx_status span_of(const char *field, pnx_duration given, pnx_duration otherwise,
                          pnx_duration *ret, pnx_error *err)
{
    if (given < 0 || (given > 0 && given < PNX_MS(1)))
        return pnx_fail(err, PNX_EINVAL, "%s: accepted is 1ms and more", field);
    *ret = given ? given : otherwise;
    return PNX_OK;
}

pnx_status pnx__rules_of(const pnx_health_config *config, struct pnx__rules *ret, pnx_error *err)
{
    struct pnx__rules rules = {
        .retries = config->retries       ? config->retries
                   : config->check_count ? 3
                                         : 1,
        .successes = config->successes ? config->successes : 1,
        .unknowns = config->unknowns ? config->unknowns : 1,
        .history = config->history ? config->history : 16,
    };
    pnx_status status = span_of("interval", config->interval, PNX_S(5), &rules.interval, err);
    if (status == PNX_OK)
        status = span_of("timeout", config->timeout, PNX_S(5), &rules.timeout, err);
    if (status == PNX_OK)
        status = span_of("start_period", config->start_period, 0, &rules.start_period, err);
    if (status == PNX_OK)
        status = span_of("start_interval", config->start_interval, rules.interval,
                         &rules.start_interval, err);
    if (status == PNX_OK && rules.history > 1024)
        status = pnx_fail(err, PNX_EINVAL, "history: %u: accepted is at most 1024", rules.history);
    if (status == PNX_OK)
        *ret = rules;
    return status;
}

/* ---- judging --------------------------------------------------------------------------------- */

static pnx_condition after_silence(struct pnx__condition *is)
{
    is->counts.unknown++;
    return ++is->silent >= is->rules.unknowns ? PNX_UNKNOWN : is->now;
}

static pnx_condition after_success(struct pnx__condition *is)
{
    is->counts.passed++;
    is->failing = 0;
    is->passing++;
    if (is->settled == PNX_UNHEALTHY && is->passing < is->rules.successes)
        return PNX_UNHEALTHY;
    is->was_healthy = true;
    return PNX_HEALTHY;
}

static pnx_condition after_failure(struct pnx__condition *is, pnx_time time,
                                   const struct pnx__seen *seen)
{
    is->counts.failed++;
    is->passing = 0;
    if (seen->gone || seen->result.ended) {
        is->failing++;
        return PNX_UNHEALTHY;
    }
    bool patient = !is->was_healthy && is->settled != PNX_UNHEALTHY &&
                   (time < pnx_time_after(is->since, is->rules.start_period) ||
                    !seen->result.running); /* not started yet */
    if (patient)
        return PNX_STARTING;
    return ++is->failing >= is->rules.retries ? PNX_UNHEALTHY : is->settled;
}

static pnx_condition after(struct pnx__condition *is, pnx_time time, const struct pnx__seen *seen)
{
    if (!seen->known)
        return after_silence(is);
    is->silent = 0;
    switch (seen->result.verdict) {
    case PNX_VERDICT_PASSES:
        return after_success(is);
    case PNX_VERDICT_STARTING:
        is->passing = 0;
        return is->settled == PNX_UNHEALTHY ? PNX_UNHEALTHY : PNX_STARTING;
    default:
        return after_failure(is, time, seen);
    }
}

bool pnx__condition_judge(struct pnx__condition *is, pnx_time time, const struct pnx__seen *seen,
                          pnx_health_entry *ret)
{
    if (!is->looked) {
        is->looked = true;
        is->since = time;
        is->settled = PNX_STARTING;
    }
    *ret = (pnx_health_entry){.before = is->now, .time = time, .took = seen->result.took};
    is->counts.looks++;
    is->now = after(is, time, seen);
    if (is->now != PNX_UNKNOWN)
        is->settled = is->now;
    ret->condition = is->now;
    ret->failing = is->failing;
    ret->running = seen->result.running;
    ret->exit_code = seen->result.exit_code;
    ret->oom_killed = seen->result.oom_killed;
    memcpy(ret->reason, seen->result.reason, sizeof ret->reason);
    is->entries[is->entry_count++ % is->rules.history] = *ret;
    bool changed = ret->condition != ret->before;
    is->counts.transitions[ret->condition] += changed;
    return changed;
}

void pnx__condition_restart(struct pnx__condition *is)
{
    is->looked = is->was_healthy = false;
    is->failing = is->passing = is->silent = 0;
}

pnx_duration pnx__condition_pause(const struct pnx__condition *is)
{
    return is->settled == PNX_STARTING ? is->rules.start_interval : is->rules.interval;
}

size_t pnx__condition_history(const struct pnx__condition *is, pnx_health_entry *ret, size_t most)
{
    uint64_t kept = is->entry_count < is->rules.history ? is->entry_count : is->rules.history;
    uint64_t count = kept < most ? kept : most;
    for (uint64_t i = 0; i < count; i++)
        ret[i] = is->entries[(is->entry_count - count + i) % is->rules.history];
    return (size_t)count;
}
