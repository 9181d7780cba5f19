/* SPDX-License-Identifier: MIT */
/*
 * Taking an environment down, in two layers: each thing in its turn, then whatever still carries
 * the label. What the first one failed at, the second one tries again without knowing anything but
 * the label; what both leave is told.
 */
#include "environment/internal.h"

#include "docker/calls.h"

#include <jansson.h>
#include <string.h>

/* What a service says at its end must not use up the time for its removal. */
#define SAVE_WITHIN PNX_S(15)

/* ---- telling --------------------------------------------------------------------------------- */

static void tell(pnx_environment *environment, const pnx_sweep_row *row)
{
    const pnx_outcome *outcome = &row->outcome;
    pthread_mutex_lock(&environment->mutex);
    bool gone = outcome->verified || outcome->fate == PNX_FATE_ALREADY_GONE;
    environment->counts.removed += outcome->fate == PNX_FATE_REMOVED && outcome->verified;
    environment->counts.kept += outcome->fate == PNX_FATE_KEPT;
    environment->counts.left += !gone && outcome->fate != PNX_FATE_KEPT;
    if (outcome->fate == PNX_FATE_REMOVED)
        pnx_histogram_add(&environment->remove_time, outcome->took);
    pthread_mutex_unlock(&environment->mutex);
    if (!environment->visit)
        return;
    pthread_mutex_lock(&environment->telling);
    environment->visit(row, environment->context);
    pthread_mutex_unlock(&environment->telling);
}

static void tell_object(pnx_environment *environment, const pnx_object *object, const char *name,
                        const pnx_outcome *outcome)
{
    tell(environment, &(pnx_sweep_row){
                          .type = pnx_object_type_of(object),
                          .id = pnx_object_id(object),
                          .name = name,
                          .detail = pnx_object_type_of(object) == PNX_CONTAINER
                                        ? pnx__docker_json_text(object->body, "Image")
                                        : "",
                          .volumes = (unsigned)json_array_size(object->volumes),
                          .outcome = *outcome,
                      });
}

/* ---- one service ----------------------------------------------------------------------------- */

static bool was_made(const pnx_object *object)
{
    return object && object->state != PNX__OBJECT_NEW && object->state != PNX__OBJECT_NEVER;
}

static pnx_call within(const pnx_call *call, pnx_duration span)
{
    pnx_call shorter = pnx_call_within(span);
    if (call->deadline && call->deadline < shorter.deadline)
        shorter.deadline = call->deadline;
    return shorter;
}

static void stop_and_save(pnx_service *service, const pnx_call *call)
{
    pnx_environment *environment = service->environment;
    if (!service->id[0])
        return;
    if (service->grace > 0) {
        const pnx_call stop = within(call, service->grace + PNX_S(5));
        (void)!pnx_engine_stop(environment->engine, service->id, service->grace, &stop, NULL);
    }
    const pnx_call save = within(call, SAVE_WITHIN);
    pthread_mutex_lock(&environment->mutex);
    bool wanted =
        environment->artifacts_always || environment->failed_work || environment->has_failed;
    pthread_mutex_unlock(&environment->mutex);
    (void)!(wanted ? pnx__service_save(service, &save, NULL)
                   : pnx__service_save_coverage(service, &save, NULL));
}

pnx_status pnx__service_remove(pnx_service *service, const pnx_call *call, pnx_error *err)
{
    pnx_environment *environment = service->environment;
    if (!was_made(service->object)) {
        pnx__service_set_state(service, PNX__SERVICE_GONE);
        return PNX_OK;
    }
    bool running = service->object->state == PNX__OBJECT_MADE;
    if (running)
        stop_and_save(service, call);
    const pnx_call removal = {.deadline = call->deadline};
    pnx_status status = pnx_object_remove(service->object, &removal, err);
    tell_object(environment, service->object, service->name, &service->outcome);
    if (status == PNX_OK)
        pnx__service_set_state(service, PNX__SERVICE_GONE);
    return status;
}

pnx_status pnx_environment_end(pnx_environment *environment, pnx_service *service,
                               const pnx_call *call, pnx_error *err)
{
    pnx_call until = call ? *call : pnx_call_within(PNX__REMOVE_WITHIN);
    pthread_mutex_lock(&environment->mutex);
    while (service->busy)
        pthread_cond_wait(&environment->changed, &environment->mutex);
    bool gone = service->state == PNX__SERVICE_GONE;
    const pnx_service *user = NULL;
    for (const pnx_service *one = environment->services; one; one = one->next)
        for (size_t i = 0; one->state != PNX__SERVICE_GONE && i < one->needs_count; i++)
            user = one->needs[i].on == service ? one : user;
    service->busy = !gone && !user;
    pthread_mutex_unlock(&environment->mutex);
    if (gone)
        return pnx_fail(err, PNX_EALREADY, "the service %s is gone", service->name);
    if (user)
        return pnx_fail(err, PNX_EBUSY, "the service %s is needed by %s", service->name,
                        user->name);
    pnx_status status = pnx__service_remove(service, &until, err);
    pthread_mutex_lock(&environment->mutex);
    service->busy = false;
    pthread_cond_broadcast(&environment->changed);
    pthread_mutex_unlock(&environment->mutex);
    return status;
}

/* ---- the first layer ------------------------------------------------------------------------- */

/* Nothing that needs it is left to be tried; with the mutex held. */
static bool may_remove(const pnx_service *service)
{
    return service->state != PNX__SERVICE_GONE && service->users == 0 && !service->tried;
}

static pnx_status remove_in_turn(pnx_service *service, const pnx_call *call, pnx_error *err)
{
    pnx_environment *environment = service->environment;
    pnx_status status = pnx__service_remove(service, call, err);
    pthread_mutex_lock(&environment->mutex);
    service->tried = true;
    for (size_t i = 0; i < service->needs_count; i++)
        service->needs[i].on->users--;
    pthread_mutex_unlock(&environment->mutex);
    return status;
}

static void count_users(pnx_environment *environment)
{
    pthread_mutex_lock(&environment->mutex);
    for (pnx_service *one = environment->services; one; one = one->next) {
        one->users = 0;
        one->tried = false;
    }
    for (pnx_service *one = environment->services; one; one = one->next)
        for (size_t i = 0; one->state != PNX__SERVICE_GONE && i < one->needs_count; i++)
            one->needs[i].on->users++;
    pthread_mutex_unlock(&environment->mutex);
}

static void remove_object(pnx_environment *environment, pnx_object *object, const char *name,
                          const pnx_outcome *outcome, const pnx_call *call)
{
    if (!was_made(object) || object->state == PNX__OBJECT_OVER)
        return;
    (void)!pnx_object_remove(object, call, NULL);
    tell_object(environment, object, name, outcome);
}

static void remove_orderly(pnx_environment *environment, const pnx_call *call)
{
    struct pnx__schedule schedule = {
        .environment = environment,
        .may = may_remove,
        .work = remove_in_turn,
        .call = call,
    };
    count_users(environment);
    (void)!pnx__schedule_run(&schedule);
    remove_object(environment, environment->network, "network", &environment->network_outcome,
                  call);
    for (size_t i = 0; i < environment->volume_count; i++)
        remove_object(environment, environment->volumes[i].object, environment->volumes[i].name,
                      &environment->volumes[i].outcome, call);
}

/* ---- the second layer ------------------------------------------------------------------------ */

static void note_swept(const pnx_sweep_row *row, void *context)
{
    pnx_environment *environment = context;
    if (row->outcome.fate == PNX_FATE_KEPT)
        return; /* the first layer told it */
    if (row->outcome.fate == PNX_FATE_REMOVED && row->outcome.verified)
        PNX__COUNT(environment, swept, 1);
    tell(environment, row);
}

static pnx_status sweep(pnx_environment *environment, const pnx_call *call, pnx_error *err)
{
    char label[sizeof PNX_LABEL_ENVIRONMENT + PNX_ID_TEXT_SIZE];
    snprintf(label, sizeof label, "%s=%s", PNX_LABEL_ENVIRONMENT, environment->id);
    const pnx_sweep sweep = {.label = label, .visit = note_swept, .context = environment};
    return pnx_engine_sweep(environment->engine, &sweep, call, err);
}

/* Those of the first layer see now that they are gone, and strike it out in the ledger. */
static void settle(pnx_environment *environment, const pnx_call *call)
{
    for (pnx_service *one = environment->services; one; one = one->next) {
        bool left = one->state != PNX__SERVICE_GONE;
        if (left &&
            (!was_made(one->object) || pnx_object_remove(one->object, call, NULL) == PNX_OK))
            pnx__service_set_state(one, PNX__SERVICE_GONE);
    }
    if (was_made(environment->network))
        (void)!pnx_object_remove(environment->network, call, NULL);
    for (size_t i = 0; i < environment->volume_count; i++)
        if (was_made(environment->volumes[i].object))
            (void)!pnx_object_remove(environment->volumes[i].object, call, NULL);
}

/* ---- both ------------------------------------------------------------------------------------ */

/* One at a time; nothing new is made from then on. False: it was done before. */
static bool begin(pnx_environment *environment)
{
    pthread_mutex_lock(&environment->mutex);
    while (environment->removing)
        pthread_cond_wait(&environment->changed, &environment->mutex);
    bool first = !environment->over;
    environment->removing = first;
    environment->started = true; /* it is too late for that */
    for (pnx_service *one = environment->services; first && one; one = one->next)
        while (one->busy)
            pthread_cond_wait(&environment->changed, &environment->mutex);
    pthread_mutex_unlock(&environment->mutex);
    return first;
}

static void end(pnx_environment *environment, bool over)
{
    pthread_mutex_lock(&environment->mutex);
    environment->removing = false;
    environment->over = over;
    pthread_cond_broadcast(&environment->changed);
    pthread_mutex_unlock(&environment->mutex);
}

pnx_status pnx_environment_remove(pnx_environment *environment, const pnx_call *call,
                                  pnx_error *err)
{
    pnx_time now = pnx_monotonic_now();
    pnx_status status = pnx__docker_engine_here(environment->engine, err);
    if (status != PNX_OK)
        return status;
    if (!begin(environment))
        return PNX_OK;
    pnx_time deadline =
        call && call->deadline ? call->deadline : pnx_time_after(now, PNX__REMOVE_WITHIN);
    const pnx_call all = {.deadline = deadline};
    /* What the first layer cannot do in its share of the time is left to the second. */
    const pnx_call orderly = {
        .deadline = deadline == PNX_FOREVER ? deadline : deadline - (deadline - now) / 3};
    remove_orderly(environment, &orderly);
    status = sweep(environment, &all, err);
    if (status == PNX_OK)
        settle(environment, &all);
    end(environment, status == PNX_OK);
    return status == PNX_OK
               ? PNX_OK
               : pnx_wrap(err, status, "the environment %s is not gone", environment->name);
}
