/* SPDX-License-Identifier: MIT */
#include "container/beat.h"

#include <string.h>

/* ---- one after the other --------------------------------------------------------------------- */

static pnx_status run_job(void *value, const pnx_release *why);

/* How long it takes is limited by the deadlines of what it calls. */
static const pnx_kind job_kind = {
    .name = "container look",
    .flags = PNX_BLOCKING | PNX_UNHELD,
    .timeout = PNX_FOREVER,
    .value_size = sizeof(struct pnx__beat *),
    .release = run_job,
};

/* What is left to do when a beat has stopped; it goes before what looks. */
static const pnx_kind last_kind = {
    .name = "container removal",
    .priority = PNX_HIGH,
    .flags = PNX_BLOCKING | PNX_UNHELD,
    .timeout = PNX_FOREVER,
    .value_size = sizeof(struct pnx__beat *),
    .release = run_job,
};

/* Of the release that waits for it. With the mutex held, which is given back; afterwards nothing
 * of the beat is touched. */
static void let_go(struct pnx__beat *beat)
{
    bool over = beat->pending && !beat->timing && !beat->working;
    pnx_token token = beat->token;
    pnx_time deadline = beat->deadline;
    if (over)
        beat->pending = false;
    pthread_mutex_unlock(&beat->mutex);
    if (over)
        (void)pnx_complete(token, beat->stopped(beat->owner, deadline));
}

static pnx_status tick(void *argument);

/* With the mutex held. */
static pnx_status set_timer(struct pnx__beat *beat, pnx_duration delay, pnx_error *err)
{
    pnx_periodic timer;
    if (delay < PNX_MS(1))
        delay = PNX_MS(1);
    /* Timers reach 52 days; who has to wait for longer looks once in between. */
    if (delay > PNX_S(50 * 86400))
        delay = PNX_S(50 * 86400);
    pnx_status status = pnx_periodic_start(&beat->scope, NULL, delay, tick, beat, &timer, err);
    beat->timing = status == PNX_OK;
    if (status == PNX_OK)
        beat->timer = timer.id;
    return status;
}

static pnx_status submit(struct pnx__beat *beat, const pnx_kind *kind, pnx_error *err)
{
    pnx_id job;
    pnx_status status = pnx_register(beat->registry, kind, &beat, PNX_HERE, &job, err);
    if (status == PNX_OK)
        (void)pnx_release_later(beat->registry, job, NULL);
    return status;
}

/* The one tick of a timer. What it answers ends the timer. */
static pnx_status tick(void *argument)
{
    struct pnx__beat *beat = argument;
    pnx_error err = {0};
    pthread_mutex_lock(&beat->mutex);
    beat->timing = false;
    beat->working = !beat->stopping;
    bool begins = beat->working;
    if (!begins) {
        let_go(beat);
        return PNX_ECANCELED;
    }
    pthread_mutex_unlock(&beat->mutex);
    if (submit(beat, &job_kind, &err) == PNX_OK)
        return PNX_ECANCELED;
    beat->failed(beat->owner, &err);
    pthread_mutex_lock(&beat->mutex);
    beat->working = false;
    let_go(beat);
    return PNX_ECANCELED;
}

void pnx__beat_leave(struct pnx__beat *beat, pnx_duration next)
{
    pnx_error err = {0};
    pnx_status status = PNX_OK;
    pthread_mutex_lock(&beat->mutex);
    if (!beat->stopping && next != PNX_FOREVER)
        status = set_timer(beat, next, &err);
    if (status != PNX_OK) {
        pthread_mutex_unlock(&beat->mutex);
        beat->failed(beat->owner, &err);
        pthread_mutex_lock(&beat->mutex);
    }
    beat->working = false;
    let_go(beat);
}

struct job {
    struct pnx__beat *beat;
    pnx_duration next;
};

/* Also when the work, or somebody's function that it calls, has ended the thread. */
static void end_job(void *context)
{
    const struct job *job = context;
    pnx__beat_leave(job->beat, job->next);
}

static pnx_status run_job(void *value, const pnx_release *why)
{
    struct job job = {.next = PNX_S(1)};
    (void)why;
    memcpy(&job.beat, value, sizeof job.beat);
    pthread_cleanup_push(end_job, &job);
    if (!pnx__beat_is_stopping(job.beat))
        job.next = job.beat->work(job.beat->owner);
    pthread_cleanup_pop(1);
    return PNX_OK;
}

/* ---- opening, stopping ----------------------------------------------------------------------- */

pnx_status pnx__beat_open(struct pnx__beat *beat, const char *name, pnx_error *err)
{
    pnx_status status = pnx_cancel_create(&beat->cancel, err);
    if (status != PNX_OK)
        return status;
    beat->scope = pnx_scope_open(beat->registry, name, err);
    if (beat->scope.status != PNX_OK) {
        pnx_cancel_free(beat->cancel);
        return beat->scope.status;
    }
    pthread_mutex_init(&beat->mutex, NULL);
    return PNX_OK;
}

pnx_status pnx__beat_begin(struct pnx__beat *beat, pnx_duration delay, pnx_error *err)
{
    pthread_mutex_lock(&beat->mutex);
    pnx_status status = beat->timing || beat->working || beat->stopping
                            ? pnx_fail(err, PNX_EALREADY, "it has begun already")
                            : set_timer(beat, delay, err);
    pthread_mutex_unlock(&beat->mutex);
    return status;
}

pnx_status pnx__beat_enter(struct pnx__beat *beat, pnx_error *err)
{
    pnx_status status = PNX_OK;
    pthread_mutex_lock(&beat->mutex);
    if (beat->stopping)
        status = pnx_fail(err, PNX_ECANCELED, "its guard was dropped");
    else if (beat->timing || beat->working)
        status = pnx_fail(err, PNX_EALREADY, "it has begun already");
    else
        beat->working = true;
    pthread_mutex_unlock(&beat->mutex);
    return status;
}

pnx_status pnx__beat_stop(struct pnx__beat *beat, const pnx_release *why, pnx_time deadline,
                          bool blocks)
{
    pthread_mutex_lock(&beat->mutex);
    beat->stopping = true;
    pnx_cancel_now(beat->cancel);
    /* A timer that cannot be taken back ticks just now (then the registry calls it live, and the
     * tick waits for the mutex), or somebody has released it, and it will never tick. */
    if (beat->timing && (pnx_unregister(beat->registry, beat->timer, NULL, NULL) == PNX_OK ||
                         pnx_registry_state(beat->registry, beat->timer) != PNX_LIVE))
        beat->timing = false;
    bool over = !beat->timing && !beat->working;
    bool last = over && blocks;
    beat->working = beat->working || last;
    beat->pending = !over || last;
    beat->token = pnx_release_token(why);
    beat->deadline = deadline;
    pthread_mutex_unlock(&beat->mutex);
    if (!last)
        return over ? PNX_OK : PNX_PENDING;
    if (submit(beat, &last_kind, NULL) == PNX_OK)
        return PNX_PENDING;
    /* At a shutdown nothing is taken in any more: then here. */
    pthread_mutex_lock(&beat->mutex);
    beat->working = beat->pending = false;
    pthread_mutex_unlock(&beat->mutex);
    return PNX_OK;
}

void pnx__beat_close(struct pnx__beat *beat)
{
    pnx_scope_drop(&beat->scope);
    pnx_cancel_free(beat->cancel);
    pthread_mutex_destroy(&beat->mutex);
}

bool pnx__beat_is_stopping(struct pnx__beat *beat)
{
    pthread_mutex_lock(&beat->mutex);
    bool stopping = beat->stopping;
    pthread_mutex_unlock(&beat->mutex);
    return stopping;
}

/* ---- time ------------------------------------------------------------------------------------ */

pnx_time pnx__deadline_of(const pnx_release *why)
{
    if (why->deadline == PNX_FOREVER)
        return PNX_FOREVER;
    pnx_duration left = why->deadline - pnx_registry_now(why->registry);
    return pnx_time_after(pnx_monotonic_now(), left - left / 16);
}

/* ---- moments --------------------------------------------------------------------------------- */

pnx_status pnx__moment_over(void *value, const pnx_release *why)
{
    (void)value;
    (void)why;
    return PNX_OK;
}

void pnx__moment(pnx_registry *registry, const pnx_kind *kind, void *owner)
{
    pnx_id id;
    if (pnx_register(registry, kind, &owner, PNX_HERE, &id, NULL) == PNX_OK)
        (void)pnx_release_now(registry, id, PNX_FOREVER, NULL);
}
