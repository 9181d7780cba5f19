/* SPDX-License-Identifier: MIT */
/*
 * The end of an object: find it, check that it is ours, remove it, look again. Each attempt goes
 * through all of it from the beginning, for everything may have changed meanwhile: somebody else
 * removes it, the engine is restarted, another thing has its name.
 */
#include "docker/calls.h"
#include "docker/labels.h"
#include "docker/object.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* A creation whose answer got lost may still go on in the engine: so long it is looked for. */
#define SETTLE PNX_S(2)
/* Failures that nobody promises to pass, and pauses between attempts, doubling. */
#define FAILURES_MAX 4
#define PAUSE_MIN PNX_MS(5)
#define PAUSE_MAX PNX_MS(200)

/* ---- the ledger and the outcome -------------------------------------------------------------- */

static void tell_ledger(pnx_object *object)
{
    const pnx_engine_ledger *ledger = object->engine->ledger;
    if (object->in_ledger)
        ledger->gone(ledger->context, object->token, object->outcome);
    object->in_ledger = false;
}

static void is_gone(pnx_object *object, pnx_fate fate)
{
    object->outcome->fate = fate;
    object->outcome->verified = true;
    object->outcome->reason[0] = '\0';
    object->state = PNX__OBJECT_OVER;
    tell_ledger(object);
}

/* Nothing was ever seen of it. The ledger is not told: who reads it later, looks once more. */
static void never_seen(pnx_object *object)
{
    object->outcome->fate = PNX_FATE_ALREADY_GONE;
    object->outcome->verified = false;
    snprintf(object->outcome->reason, sizeof object->outcome->reason,
             "its creation was never answered, and it is not there");
    object->state = PNX__OBJECT_OVER;
}

static bool is_kept(pnx_object *object)
{
    bool failed = atomic_load_explicit(&object->engine->failed, memory_order_relaxed);
    if (object->keep == PNX_KEEP_NEVER || (object->keep == PNX_KEEP_ON_FAILURE && !failed))
        return false;
    object->outcome->fate = PNX_FATE_KEPT;
    object->outcome->verified = false;
    snprintf(object->outcome->reason, sizeof object->outcome->reason, "keep=%s",
             pnx_keep_name(object->keep));
    object->state = PNX__OBJECT_OVER;
    tell_ledger(object);
    return true;
}

/* ---- finding --------------------------------------------------------------------------------- */

/* What carries its mark. `*ret` is the first, or NULL; the caller owns it. */
static pnx_status find_by_mark(pnx_object *object, const struct pnx__limit *limit, json_t **ret,
                               pnx_error *err)
{
    char label[sizeof PNX_LABEL_ID + PNX_ID_TEXT_SIZE];
    json_t *list;
    *ret = NULL;
    if (!object->mark[0])
        return PNX_OK;
    snprintf(label, sizeof label, "%s=%s", PNX_LABEL_ID, object->mark);
    pnx_status status = pnx__docker_list(object->engine, object->type,
                                         (const char *[]){label, NULL}, limit, &list, err);
    if (status != PNX_OK)
        return status;
    *ret = json_incref(json_array_get(list, 0));
    json_decref(list);
    return PNX_OK;
}

static pnx_status take_found(pnx_object *object, const json_t *about, pnx_error *err)
{
    const char *id = pnx__docker_json_text(about, object->type == PNX_VOLUME ? "Name" : "Id");
    char *copy = *id ? strdup(id) : NULL;
    if (!copy)
        return pnx__docker_no_memory(err);
    free(object->id);
    object->id = copy;
    object->state = PNX__OBJECT_MADE;
    return PNX_OK;
}

/* Whose creation was never answered: it is found, or was looked for long enough. */
static pnx_status look_for_unknown(pnx_object *object, const struct pnx__limit *limit,
                                   pnx_error *err)
{
    pnx_time until = pnx_time_after(object->asked, SETTLE);
    pnx_duration pause = PAUSE_MIN;
    for (;;) {
        json_t *about;
        bool last = pnx_monotonic_now() >= until;
        pnx_status status = find_by_mark(object, limit, &about, err);
        if (status != PNX_OK)
            return status;
        if (about) {
            status = take_found(object, about, err);
            json_decref(about);
            return status;
        }
        if (last)
            return PNX_OK;
        status = pnx__docker_pause(pause, limit, err);
        if (status != PNX_OK)
            return status;
        pause = pause < PAUSE_MAX ? pause * 2 : pause;
    }
}

/* ---- identity -------------------------------------------------------------------------------- */

static bool is_ours(const pnx_object *object, const json_t *about)
{
    const json_t *labels = pnx__docker_labels_of(object->type, about);
    const char *id = pnx__docker_json_text(about, object->type == PNX_VOLUME ? "Name" : "Id");
    return strcmp(id, object->id) == 0 &&
           strcmp(pnx__docker_json_text(labels, PNX_LABEL_SESSION), object->session) == 0 &&
           (!object->mark[0] ||
            strcmp(pnx__docker_json_text(labels, PNX_LABEL_ID), object->mark) == 0);
}

static pnx_status is_foreign(pnx_object *object, pnx_error *err)
{
    object->outcome->fate = PNX_FATE_FOREIGN;
    return pnx_fail(err, PNX_EFAILED, "the %s %s does not carry our labels: it is not ours",
                    pnx_object_type_name(object->type), object->id);
}

/* ---- removing -------------------------------------------------------------------------------- */

/* Containers of our own session, or that are gone, leave a network before it is removed. */
static void empty_network(pnx_object *object, const json_t *about, const struct pnx__limit *limit)
{
    json_t *containers = json_object_get(about, "Containers");
    const pnx_call call = {.deadline = limit->deadline};
    const char *id;
    json_t *endpoint;
    json_object_foreach(containers, id, endpoint)
    {
        json_t *container = NULL;
        pnx_status status =
            pnx__docker_inspect(object->engine, PNX_CONTAINER, id, limit, &container, NULL);
        const json_t *labels = pnx__docker_labels_of(PNX_CONTAINER, container);
        bool ours = strcmp(pnx__docker_json_text(labels, PNX_LABEL_SESSION), object->session) == 0;
        if (status == PNX_ENOTFOUND || (status == PNX_OK && ours))
            (void)!pnx_engine_disconnect(object->engine, object->id, id, true, &call, NULL);
        json_decref(container);
    }
}

static bool is_running(const json_t *about)
{
    return json_is_true(json_object_get(json_object_get(about, "State"), "Running"));
}

/* In order first, if it is asked for; what does not stop in time is killed by the engine. */
static void stop_container(pnx_object *object, const json_t *about, const struct pnx__limit *limit)
{
    struct pnx__limit for_stop = *limit;
    /* Some of the time is kept for the removal itself. */
    pnx_time latest = pnx_time_after(pnx_monotonic_now(), object->grace + PNX_S(5));
    if (latest < for_stop.deadline)
        for_stop.deadline = latest;
    if (object->grace > 0 && is_running(about))
        (void)!pnx__docker_stop(object->engine, object->id, object->grace, &for_stop, NULL);
}

static pnx_status remove_found(pnx_object *object, const json_t *about,
                               const struct pnx__limit *limit, pnx_error *err)
{
    if (!is_ours(object, about))
        return is_foreign(object, err);
    if (object->type == PNX_CONTAINER) {
        pnx__docker_object_note(object, about);
        stop_container(object, about, limit);
    } else if (object->type == PNX_NETWORK) {
        empty_network(object, about, limit);
    }
    bool force = object->type == PNX_CONTAINER || object->type == PNX_IMAGE;
    pnx_status status =
        pnx__docker_remove(object->engine, object->type, object->id, force, limit, err);
    if (status == PNX_OK)
        object->outcome->fate = PNX_FATE_REMOVED;
    return status == PNX_ENOTFOUND ? PNX_OK : status;
}

/* ---- verifying ------------------------------------------------------------------------------- */

static pnx_status volumes_gone(pnx_object *object, const struct pnx__limit *limit, pnx_error *err)
{
    size_t i;
    const json_t *name;
    json_array_foreach(object->volumes, i, name)
    {
        const char *volume = json_string_value(name);
        pnx_status status =
            pnx__docker_remove(object->engine, PNX_VOLUME, volume, false, limit, err);
        if (status != PNX_OK && status != PNX_ENOTFOUND)
            return pnx_wrap(err, status, "its anonymous volume %s is still there", volume);
    }
    return PNX_OK;
}

static pnx_status see_gone(pnx_object *object, const struct pnx__limit *limit, pnx_error *err)
{
    json_t *about;
    const char *type = pnx_object_type_name(object->type);
    pnx_status status =
        pnx__docker_inspect(object->engine, object->type, object->id, limit, &about, err);
    if (status == PNX_OK) {
        json_decref(about);
        return pnx_fail(err, PNX_EBUSY, "the %s %s is still there", type, object->id);
    }
    if (status != PNX_ENOTFOUND)
        return status;
    status = find_by_mark(object, limit, &about, err);
    if (status != PNX_OK)
        return status;
    if (about) {
        json_decref(about);
        return pnx_fail(err, PNX_EBUSY, "there is still a %s with the label %s=%s", type,
                        PNX_LABEL_ID, object->mark);
    }
    if (pnx__docker_object_lives(object))
        return pnx_fail(err, PNX_EBUSY, "the process %lld of the container %s still runs",
                        (long long)object->pid, object->id);
    return volumes_gone(object, limit, err);
}

/* ---- attempts -------------------------------------------------------------------------------- */

static pnx_status attempt(pnx_object *object, const struct pnx__limit *limit, pnx_error *err)
{
    json_t *about;
    pnx_status status =
        pnx__docker_inspect(object->engine, object->type, object->id, limit, &about, err);
    if (status == PNX_OK) {
        status = remove_found(object, about, limit, err);
        json_decref(about);
    } else if (status == PNX_ENOTFOUND) {
        status = PNX_OK;
    }
    return status == PNX_OK ? see_gone(object, limit, err) : status;
}

/* Busy passes; of other failures nobody knows. What is not ours, or has no time left, stays so. */
static bool tries_again(const pnx_object *object, pnx_status status, unsigned *failures)
{
    if (object->outcome->fate == PNX_FATE_FOREIGN)
        return false;
    return status == PNX_EBUSY || (status == PNX_EFAILED && ++*failures < FAILURES_MAX);
}

static pnx_status remove_known(pnx_object *object, const struct pnx__limit *limit,
                               pnx_time busy_until, pnx_error *err)
{
    unsigned failures = 0;
    pnx_duration pause = PAUSE_MIN;
    pnx_status before = PNX_OK;
    pnx_error said = {0};
    object->outcome->fate = PNX_FATE_HELD;
    for (;;) {
        pnx_error_clear(err);
        pnx_status status = attempt(object, limit, err);
        if (status == PNX_OK) {
            bool by_us = object->outcome->fate == PNX_FATE_REMOVED;
            is_gone(object, by_us ? PNX_FATE_REMOVED : PNX_FATE_ALREADY_GONE);
            return PNX_OK;
        }
        /* When time is over, what was in the way says more than that. */
        if (status == PNX_ETIMEOUT && before != PNX_OK) {
            *err = said;
            return before;
        }
        before = status;
        said = *err;
        bool waited_enough = status == PNX_EBUSY && pnx_monotonic_now() >= busy_until;
        if (waited_enough || !tries_again(object, status, &failures))
            return status;
        pnx_status paused = pnx__docker_pause(pause, limit, NULL);
        if (paused != PNX_OK)
            return paused == PNX_ECANCELED ? pnx_wrap(err, paused, "the removal was canceled")
                                           : status;
        pause = pause < PAUSE_MAX ? pause * 2 : pause;
    }
}

static pnx_status remove_any(pnx_object *object, const struct pnx__limit *limit,
                             pnx_time busy_until, pnx_error *err)
{
    switch (object->state) {
    case PNX__OBJECT_NEW:
    case PNX__OBJECT_NEVER:
        is_gone(object, PNX_FATE_ALREADY_GONE);
        return PNX_OK;
    case PNX__OBJECT_OVER:
        return PNX_OK;
    default:
        break;
    }
    if (is_kept(object))
        return PNX_OK;
    if (object->state == PNX__OBJECT_UNKNOWN) {
        pnx_status status = look_for_unknown(object, limit, err);
        if (status != PNX_OK)
            return status;
        if (object->state == PNX__OBJECT_UNKNOWN) {
            never_seen(object);
            return PNX_OK;
        }
    }
    return remove_known(object, limit, busy_until, err);
}

pnx_status pnx__docker_object_remove(pnx_object *object, const struct pnx__limit *limit,
                                     pnx_time busy_until, pnx_error *err)
{
    pnx_error local = {0};
    pnx_error *why = err ? err : &local;
    pnx_outcome *outcome = object->outcome;
    pnx_time began = pnx_monotonic_now();
    pnx_status status = pnx__docker_engine_here(object->engine, why);
    if (status == PNX_EFORKED)
        return status;
    status = remove_any(object, limit, busy_until, why);
    outcome->ended = pnx_monotonic_now();
    outcome->took += outcome->ended - began;
    outcome->attempts++;
    if (status == PNX_OK)
        return PNX_OK;
    if (outcome->fate != PNX_FATE_FOREIGN)
        outcome->fate = PNX_FATE_STUCK;
    outcome->verified = false;
    snprintf(outcome->reason, sizeof outcome->reason, "%s",
             why->cause.code ? why->cause.message : why->message);
    return status;
}

pnx_status pnx_object_remove(pnx_object *object, const pnx_call *call, pnx_error *err)
{
    struct pnx__limit limit = pnx__docker_limit_of(object->engine, call);
    return pnx__docker_object_remove(object, &limit, limit.deadline, err);
}
