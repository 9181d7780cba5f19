/* SPDX-License-Identifier: MIT */
/*
 * Removes the session's things: by their order, side by side within one, each with retries, all
 * under one deadline. What is not removed in time is told; its release may still run then.
 */
#include "session/session.h"

#include "kind/outcome.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORKERS 4u
#define RETRIES 4u

/* Copied out of the session: a removal that outstays the deadline still uses it. */
struct job {
    const pnx_thing_kind *kind;
    pnx_outcome outcome;
    bool intended; /* there is no identity: whoever has the name that we chose */
    char name[PNX_THING_NAME_MAX], identity[PNX_THING_IDENTITY_MAX];
};

static pnx_status settle(struct job *job, pnx_error *err)
{
    pnx_status status = job->kind->find(job->name, job->identity, sizeof job->identity, err);
    if (status == PNX_OK)
        job->intended = false;
    return status;
}

static pnx_status release_job(void *value, const pnx_release *why)
{
    struct job *job;
    memcpy(&job, value, sizeof job);
    pnx_error err = {0};
    if (job->intended) {
        pnx_status status = settle(job, &err);
        if (status == PNX_ENOTFOUND) {
            pnx__outcome_gone(&job->outcome, PNX_FATE_ALREADY_GONE); /* it was never made */
            return PNX_OK;
        }
        if (status != PNX_OK)
            return pnx__outcome_stuck(&job->outcome, PNX_FATE_STUCK, &err);
    }
    return pnx_thing_remove_named(job->kind, job->name, job->identity,
                                  pnx__before_deadline(why->deadline), &job->outcome, NULL);
}

static const pnx_kind kind_job = {
    .name = "leftover",
    .timeout = PNX_S(60),
    .retries = RETRIES,
    .retry_delay = PNX_MS(10),
    .retry_delay_max = PNX_MS(500),
    .flags = PNX_IDEMPOTENT,
    .value_size = sizeof(struct job *),
    .release = release_job,
};

static struct job *job_of(const struct pnx__session_thing *thing)
{
    struct job *job = calloc(1, sizeof *job);
    if (!job || snprintf(job->name, sizeof job->name, "%s", thing->name) >= (int)sizeof job->name ||
        snprintf(job->identity, sizeof job->identity, "%s", thing->identity) >=
            (int)sizeof job->identity) {
        free(job);
        return NULL;
    }
    job->kind = thing->kind;
    job->intended = thing->intended;
    return job;
}

static bool is_due(const struct pnx__session_thing *thing, unsigned order)
{
    return thing->ours && thing->order == order && !thing->outcome.verified;
}

/* The things of one order, and what became of them. False: one is still there. */
static bool sweep_order(pnx_session *session, pnx_registry *registry, unsigned order,
                        pnx_time deadline)
{
    size_t count = session->thing_count;
    struct job **jobs = calloc(count, sizeof *jobs);
    pnx_id *ids = calloc(count, sizeof *ids);
    size_t due = 0;
    bool clean = jobs && ids;
    for (size_t i = count; clean && i-- > 0;) { /* the last one first */
        if (!is_due(&session->things[i], order))
            continue;
        jobs[i] = job_of(&session->things[i]);
        clean = jobs[i] &&
                pnx_register(registry, &kind_job, &jobs[i], PNX_HERE, &ids[due], NULL) == PNX_OK;
        due += clean;
    }
    pnx_status status =
        due > 0 ? pnx_release_batch(registry, ids, due, NULL, deadline, NULL) : PNX_OK;
    for (size_t i = 0; jobs && i < count; i++) {
        struct pnx__session_thing *thing = &session->things[i];
        if (!jobs[i])
            continue;
        if (status == PNX_ETIMEOUT) { /* it may still be written to, and is given up with its job */
            thing->outcome.fate = PNX_FATE_STUCK;
            snprintf(thing->outcome.reason, sizeof thing->outcome.reason,
                     "its removal does not come to an end");
            thing->hangs = true;
            clean = false;
            continue;
        }
        thing->outcome = jobs[i]->outcome;
        if (!thing->kind->remove && thing->outcome.fate == PNX_FATE_ALREADY_GONE)
            thing->outcome.fate = PNX_FATE_REMOVED; /* with the process that held it */
        if (thing->outcome.fate == PNX_FATE_REMOVED)
            thing->outcome.bytes = thing->bytes;
        thing->removed = thing->outcome.verified ? pnx__now_since_1970() : 0;
        pnx__session_gone(session, thing->resource, &thing->outcome);
        clean = clean && thing->outcome.verified;
        free(jobs[i]);
    }
    free(jobs);
    free(ids);
    return clean;
}

static unsigned next_order(const pnx_session *session, unsigned after)
{
    unsigned next = 0;
    for (size_t i = 0; i < session->thing_count; i++) {
        const struct pnx__session_thing *thing = &session->things[i];
        if (is_due(thing, thing->order) && thing->order > after &&
            (next == 0 || thing->order < next))
            next = thing->order;
    }
    return next;
}

bool pnx__session_sweep(pnx_session *session, unsigned last, pnx_time deadline)
{
    unsigned order = next_order(session, session->swept);
    bool clean = true;
    if (order == 0 || order > last)
        return true;
    pnx_config config = {
        .name = "cleanroom-sweep",
        .workers = WORKERS,
        .at_exit = PNX_EXIT_NOTHING,
        .timing = PNX_TIMING_NONE,
    };
    pnx_registry *registry;
    if (pnx_registry_create(&config, &registry, NULL) != PNX_OK)
        return false;
    for (; order != 0 && order <= last; order = next_order(session, order)) {
        clean = sweep_order(session, registry, order, deadline) && clean;
        session->swept = order;
    }
    pnx_shutdown_options options = {.grace = PNX_MS(10), .hard = PNX_MS(10)};
    (void)pnx_registry_shutdown(registry, &options, NULL, NULL);
    (void)pnx_registry_destroy(registry, NULL); /* stays for those who hang */
    return clean;
}

/* What was in use a moment ago may have gone since then, or go now. */
bool pnx__session_look_again(pnx_session *session)
{
    bool clean = true;
    for (size_t i = 0; i < session->thing_count; i++) {
        struct pnx__session_thing *thing = &session->things[i];
        pnx_outcome *outcome = &thing->outcome;
        if (!thing->ours || outcome->verified)
            continue;
        if (outcome->fate != PNX_FATE_STUCK || thing->intended || thing->hangs) {
            clean = false;
            continue;
        }
        pnx_time now = pnx_monotonic_now();
        if (pnx_thing_remove_named(thing->kind, thing->name, thing->identity, now, outcome, NULL) !=
            PNX_OK) {
            clean = false;
            continue;
        }
        outcome->fate = PNX_FATE_GONE_LATE;
        thing->removed = pnx__now_since_1970();
        pnx__session_gone(session, thing->resource, outcome);
    }
    return clean;
}
