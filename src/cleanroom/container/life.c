/* SPDX-License-Identifier: MIT */
/*
 * The steps of a life, each the work of one beat:
 *
 *     new ─begin─► starting ⇄ healthy ⇄ unhealthy ⇄ unknown      one look a beat
 *                     ▲           │ has ended (or is stopped, for being unhealthy)
 *                     │           ▼
 *                     └─start── pause ──────► ended              the policy says which
 *
 * A restart that fails is a life that has ended. `removed` is the end of all, by the guard.
 */
#include "container/life.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

const char *pnx_life_name(pnx_life life)
{
    static const char *const names[PNX_LIFE_COUNT] = {
        [PNX_LIFE_NEW] = "new",         [PNX_LIFE_STARTING] = "starting",
        [PNX_LIFE_HEALTHY] = "healthy", [PNX_LIFE_UNHEALTHY] = "unhealthy",
        [PNX_LIFE_UNKNOWN] = "unknown", [PNX_LIFE_PAUSE] = "pause",
        [PNX_LIFE_ENDED] = "ended",     [PNX_LIFE_REMOVED] = "removed",
    };
    return (unsigned)life < PNX_LIFE_COUNT ? names[life] : "none";
}

const char *pnx_restart_name(pnx_restart restart)
{
    static const char *const names[PNX_RESTART_COUNT] = {
        [PNX_RESTART_NEVER] = "never",
        [PNX_RESTART_ON_FAILURE] = "on-failure",
        [PNX_RESTART_ALWAYS] = "always",
    };
    return (unsigned)restart < PNX_RESTART_COUNT ? names[restart] : "none";
}

const pnx_kind *pnx__life_moment(pnx_life life)
{
    static const pnx_kind kinds[PNX_LIFE_COUNT] = {
        [PNX_LIFE_NEW] = PNX__MOMENT("lifecycle new"),
        [PNX_LIFE_STARTING] = PNX__MOMENT("lifecycle starting"),
        [PNX_LIFE_HEALTHY] = PNX__MOMENT("lifecycle healthy"),
        [PNX_LIFE_UNHEALTHY] = PNX__MOMENT("lifecycle unhealthy"),
        [PNX_LIFE_UNKNOWN] = PNX__MOMENT("lifecycle unknown"),
        [PNX_LIFE_PAUSE] = PNX__MOMENT("lifecycle pause"),
        [PNX_LIFE_ENDED] = PNX__MOMENT("lifecycle ended"),
        [PNX_LIFE_REMOVED] = PNX__MOMENT("lifecycle removed"),
    };
    return &kinds[life];
}

/* ---- the policy ------------------------------------------------------------------------------ */

pnx_status pnx__policy_of(const pnx_lifecycle_config *config, struct pnx__policy *ret,
                          pnx_error *err)
{
    if ((unsigned)config->restart >= PNX_RESTART_COUNT)
        return pnx_fail(err, PNX_EINVAL, "restart: %d is no policy", (int)config->restart);
    if (config->restart == PNX_RESTART_NEVER && config->restart_unhealthy)
        return pnx_fail(err, PNX_EINVAL, "restart_unhealthy: it is never to be started again");
    if (config->pause < 0 || config->pause_max < 0 || config->settled < 0)
        return pnx_fail(err, PNX_EINVAL, "%s: a span of time is not negative",
                        config->pause < 0       ? "pause"
                        : config->pause_max < 0 ? "pause_max"
                                                : "settled");
    if (config->history > 1024)
        return pnx_fail(err, PNX_EINVAL, "history: %u: accepted is at most 1024", config->history);
    *ret = (struct pnx__policy){
        .restart = config->restart,
        .restarts_max = config->restarts_max ? config->restarts_max : UINT_MAX,
        .pause = config->pause ? config->pause : PNX_MS(100),
        .pause_max = config->pause_max ? config->pause_max : PNX_S(60),
        .settled = config->settled ? config->settled : PNX_S(10),
        .restart_unhealthy = config->restart_unhealthy,
    };
    return PNX_OK;
}

pnx_duration pnx__policy_pause(const struct pnx__policy *policy, unsigned row)
{
    pnx_duration pause = policy->pause;
    for (; row > 1 && pause < policy->pause_max; row--)
        pause = pause > PNX_FOREVER / 2 ? PNX_FOREVER : pause * 2;
    return pause < policy->pause_max ? pause : policy->pause_max;
}

bool pnx__policy_restarts(const struct pnx__policy *policy, int exit_code, bool oom_killed)
{
    bool failed = exit_code != 0 || oom_killed;
    return policy->restart == PNX_RESTART_ALWAYS ||
           (policy->restart == PNX_RESTART_ON_FAILURE && failed);
}

/* ---- steps ----------------------------------------------------------------------------------- */

void pnx__life_step(pnx_lifecycle *life, pnx_life now, const pnx_life_entry *about)
{
    pnx_life_entry entry = *about;
    pthread_mutex_lock(&life->beat.mutex);
    entry.before = life->now;
    entry.life = now;
    entry.time = pnx_registry_now(life->beat.registry);
    entry.restarts = life->row;
    /* From one pause to the next is a step, too. A guard that was dropped is silent, but for the
     * last of all. */
    bool tells = (now != entry.before || now == PNX_LIFE_PAUSE) &&
                 (!life->beat.stopping || now == PNX_LIFE_REMOVED);
    if (tells) {
        life->now = now;
        life->entries[life->entry_count++ % life->history] = entry;
    }
    pthread_cond_broadcast(&life->news);
    pthread_mutex_unlock(&life->beat.mutex);
    if (!tells)
        return;
    pnx__moment(life->beat.registry, pnx__life_moment(now), life);
    if (life->changed)
        life->changed(&entry, life->context);
}

void pnx__life_started(pnx_lifecycle *life)
{
    pthread_mutex_lock(&life->beat.mutex);
    life->started = pnx_registry_now(life->beat.registry);
    life->counts.starts++;
    pnx__condition_restart(&life->condition);
    pthread_mutex_unlock(&life->beat.mutex);
}

/* A life is over; the next one begins after a pause, or never. */
static pnx_duration has_ended(pnx_lifecycle *life, bool again, pnx_life_entry *about)
{
    pthread_mutex_lock(&life->beat.mutex);
    pnx_time now = pnx_registry_now(life->beat.registry);
    life->counts.ended++;
    life->counts.oom += about->oom_killed;
    if (now >= pnx_time_after(life->started, life->policy.settled))
        life->row = 0;
    again = again && (life->row < life->policy.restarts_max);
    if (again)
        life->row++;
    about->pause = again ? pnx__policy_pause(&life->policy, life->row) : 0;
    pthread_mutex_unlock(&life->beat.mutex);
    pnx__life_step(life, again ? PNX_LIFE_PAUSE : PNX_LIFE_ENDED, about);
    return again ? about->pause : PNX_FOREVER;
}

/* ---- looking --------------------------------------------------------------------------------- */

static pnx_life life_of(pnx_condition condition)
{
    static const pnx_life lives[PNX_CONDITION_COUNT] = {
        [PNX_UNKNOWN] = PNX_LIFE_UNKNOWN,
        [PNX_STARTING] = PNX_LIFE_STARTING,
        [PNX_HEALTHY] = PNX_LIFE_HEALTHY,
        [PNX_UNHEALTHY] = PNX_LIFE_UNHEALTHY,
    };
    return lives[condition];
}

/* What is unhealthy is stopped in order, and counts as a life that failed. */
static pnx_duration end_unhealthy(pnx_lifecycle *life, pnx_life_entry *about)
{
    pnx_call call = pnx_call_within(pnx_time_after(life->grace, PNX_S(10)));
    pnx_error err = {0};
    call.cancel = life->beat.cancel;
    pnx_status status =
        pnx_engine_stop(life->engine, pnx_object_id(life->object), life->grace, &call, &err);
    if (status == PNX_OK || status == PNX_EALREADY)
        return has_ended(life, true, about);
    /* It is tried again with the next look. */
    return pnx__condition_pause(&life->condition);
}

static void take_in(pnx_lifecycle *life, const struct pnx__seen *seen, pnx_health_entry *ret)
{
    pthread_mutex_lock(&life->beat.mutex);
    bool changed =
        pnx__condition_judge(&life->condition, pnx_registry_now(life->beat.registry), seen, ret);
    bool tells = changed && !life->beat.stopping;
    pthread_mutex_unlock(&life->beat.mutex);
    if (!tells)
        return;
    pnx__moment(life->beat.registry, pnx__condition_moment(ret->condition), life);
    if (life->health_changed)
        life->health_changed(ret, life->health_context);
}

static pnx_duration look(pnx_lifecycle *life)
{
    struct pnx__seen seen;
    pnx_health_entry entry;
    pnx__checks_look(&life->checks, life->engine, pnx_object_id(life->object),
                     life->condition.rules.timeout, life->beat.cancel, &seen);
    if (seen.voided)
        return PNX_FOREVER;
    take_in(life, &seen, &entry);
    pnx_life_entry about = {.exit_code = entry.exit_code, .oom_killed = entry.oom_killed};
    memcpy(about.reason, entry.reason, sizeof about.reason);
    if (seen.gone)
        return has_ended(life, false, &about);
    if (seen.known && seen.result.ended)
        return has_ended(
            life, pnx__policy_restarts(&life->policy, entry.exit_code, entry.oom_killed), &about);
    pnx__life_step(life, life_of(entry.condition), &about);
    if (entry.condition == PNX_UNHEALTHY && life->policy.restart_unhealthy)
        return end_unhealthy(life, &about);
    return pnx__condition_pause(&life->condition);
}

/* ---- starting again -------------------------------------------------------------------------- */

static pnx_duration start_again(pnx_lifecycle *life)
{
    pnx_error err = {0};
    pnx_call call = {.cancel = life->beat.cancel};
    pthread_mutex_lock(&life->beat.mutex);
    life->counts.restarts++;
    pthread_mutex_unlock(&life->beat.mutex);
    pnx_status status = pnx_engine_start(life->engine, pnx_object_id(life->object), &call, &err);
    if (status == PNX_ECANCELED)
        return PNX_FOREVER;
    if (status == PNX_OK || status == PNX_EALREADY) {
        pnx__life_started(life);
        pnx__life_step(life, PNX_LIFE_STARTING, &(pnx_life_entry){.reason = "started again"});
        return 0;
    }
    /* An engine that is not there has not said that it fails. */
    if (pnx_engine_ping(life->engine, &call, NULL) != PNX_OK)
        return pnx__policy_pause(&life->policy, life->row);
    pnx_life_entry about = {.exit_code = 0};
    snprintf(about.reason, sizeof about.reason, "it cannot be started again: %.190s",
             err.cause.code ? err.cause.message : err.message);
    return has_ended(life, status != PNX_ENOTFOUND, &about);
}

pnx_duration pnx__life_work(void *owner)
{
    pnx_lifecycle *life = owner;
    pthread_mutex_lock(&life->beat.mutex);
    pnx_life now = life->now;
    pthread_mutex_unlock(&life->beat.mutex);
    if (now == PNX_LIFE_ENDED)
        return PNX_FOREVER;
    return now == PNX_LIFE_PAUSE ? start_again(life) : look(life);
}
