/* SPDX-License-Identifier: MIT */
/* Bringing an environment up; and, when that fails, telling why before it is taken down. */
#include "environment/internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- one service ----------------------------------------------------------------------------- */

void pnx__service_set_state(pnx_service *service, enum pnx__service_state state)
{
    pnx_environment *environment = service->environment;
    pthread_mutex_lock(&environment->mutex);
    service->state = state;
    environment->counts.started += state == PNX__SERVICE_STARTED;
    environment->counts.ready += state == PNX__SERVICE_READY;
    environment->counts.failed += state == PNX__SERVICE_FAILED;
    pthread_cond_broadcast(&environment->changed);
    pthread_mutex_unlock(&environment->mutex);
}

/* A creation is not canceled: whether it came to pass would have to be found out later. It ends by
 * its deadline. */
static pnx_status create(pnx_service *service, const pnx_call *call, pnx_error *err)
{
    const pnx_call whole = {.deadline = call->deadline};
    pnx_status status = pnx_object_create(service->object, &whole, err);
    if (status != PNX_OK)
        return status;
    service->id = pnx__arena_text(&service->memory, pnx_object_id(service->object));
    if (service->id)
        return PNX_OK;
    service->id = "";
    return pnx__docker_no_memory(err);
}

static pnx_status bring_up(pnx_service *service, const pnx_call *call, pnx_error *err)
{
    pnx_environment *environment = service->environment;
    pnx_time since = pnx_monotonic_now();
    pnx_status status = create(service, call, err);
    if (status == PNX_OK)
        status = pnx_engine_start(environment->engine, service->id, call, err);
    if (status == PNX_OK)
        status = pnx__service_find_address(service, call, err);
    if (status != PNX_OK)
        return status;
    pnx__service_set_state(service, PNX__SERVICE_STARTED);
    status = pnx__service_wait(service, call, err);
    if (status != PNX_OK)
        return status;
    pthread_mutex_lock(&environment->mutex);
    pnx_histogram_add(&environment->ready_time, pnx_monotonic_now() - since);
    pthread_mutex_unlock(&environment->mutex);
    pnx__service_set_state(service, PNX__SERVICE_READY);
    if (!service->completes)
        return PNX_OK;
    status = pnx__service_wait_end(service, call, err);
    if (status == PNX_OK)
        pnx__service_set_state(service, PNX__SERVICE_COMPLETED);
    return status;
}

pnx_status pnx__service_start(pnx_service *service, const pnx_call *call, pnx_error *err)
{
    pnx_status status = bring_up(service, call, err);
    if (status != PNX_OK)
        pnx__service_set_state(service, PNX__SERVICE_FAILED);
    return status;
}

/* ---- all services ---------------------------------------------------------------------------- */

static bool is_satisfied(const struct pnx__needs *needs)
{
    enum pnx__service_state state = needs->on->state;
    switch (needs->condition) {
    case PNX_STARTED:
        return state >= PNX__SERVICE_STARTED && state <= PNX__SERVICE_COMPLETED;
    case PNX_READY:
        return state == PNX__SERVICE_READY || state == PNX__SERVICE_COMPLETED;
    case PNX_COMPLETED:
        return state == PNX__SERVICE_COMPLETED;
    }
    return false;
}

static bool may_start(const pnx_service *service)
{
    bool may = service->state == PNX__SERVICE_NEW && !service->environment->removing;
    for (size_t i = 0; may && i < service->needs_count; i++)
        may = is_satisfied(&service->needs[i]);
    return may;
}

static pnx_status create_network(pnx_environment *environment, const pnx_call *call, pnx_error *err)
{
    const pnx_call whole = {.deadline = call->deadline};
    pnx_status status = PNX_OK;
    if (environment->network)
        status = pnx_object_create(environment->network, &whole, err);
    for (size_t i = 0; status == PNX_OK && i < environment->volume_count; i++)
        status = pnx_object_create(environment->volumes[i].object, &whole, err);
    return status;
}

/* ---- failure --------------------------------------------------------------------------------- */

/* The last line that says something, as the cause: the error ends with it. */
static void add_last_words(const char *log, pnx_error *err)
{
    if (!log || !*log || err->cause.code != PNX_OK)
        return;
    const char *end = log + strlen(log);
    while (end > log && (end[-1] == '\n' || end[-1] == '\r' || end[-1] == ' '))
        end--;
    const char *start = end;
    for (unsigned lines = 0; start > log && end - start < PNX_ERROR_CAUSE_MAX - 16; start--)
        if (start[-1] == '\n' && ++lines == 2)
            break;
    /* Half a line says less than none, unless it is all there is. */
    const char *whole =
        start > log && start[-1] != '\n' ? memchr(start, '\n', (size_t)(end - start)) : NULL;
    if (whole)
        start = whole + 1;
    if (start == end)
        return;
    err->cause.code = err->code;
    snprintf(err->cause.message, sizeof err->cause.message, "last words: %.*s", (int)(end - start),
             start);
    for (char *at = err->cause.message; *at; at++)
        if ((unsigned char)*at < ' ')
            *at = *at == '\n' ? '|' : ' ';
}

static void note_failure(pnx_environment *environment, pnx_service *service, const pnx_error *err,
                         char *log)
{
    char text[PNX_ERROR_MESSAGE_MAX + PNX_ERROR_CAUSE_MAX + 4];
    pnx_error_format(err, text, sizeof text);
    pthread_mutex_lock(&environment->mutex);
    const char *reason = pnx__arena_text(&environment->memory, text);
    const char *kept = pnx__arena_text(&environment->memory, log);
    environment->has_failed = true;
    environment->failure = (pnx_environment_failure){
        .service = service ? service->name : "",
        .reason = reason ? reason : "no memory",
        .log = kept ? kept : "",
    };
    pthread_mutex_unlock(&environment->mutex);
    free(log);
}

/* What all of them said, before anything is removed. A deadline that has passed, or somebody who
 * canceled, is no reason not to know why. */
static pnx_status failed(pnx_environment *environment, pnx_service *service, pnx_status status,
                         pnx_error *err)
{
    const pnx_call call = pnx_call_within(PNX_S(20));
    pnx_error told = *err;
    char *log = service ? pnx__service_last_words(service, &call) : NULL;
    if (service)
        pnx_fail(&told, status, "the service %s: %s", service->name, err->message);
    told.sys_errno = err->sys_errno;
    told.cause = err->cause;
    note_failure(environment, service, err, log);
    add_last_words(environment->failure.log, &told);
    (void)!pnx_environment_save(environment, &call, NULL);
    *err = told;
    pnx_error left = {0};
    if (pnx_environment_remove(environment, NULL, &left) != PNX_OK && err->cause.code == PNX_OK)
        pnx_wrap(err, status, "%.150s; and not all is removed: %s", told.message, left.message);
    return status;
}

pnx_status pnx_environment_start(pnx_environment *environment, const pnx_call *call, pnx_error *err)
{
    pnx_error local = {0};
    const pnx_call until = {
        .deadline = call && call->deadline ? call->deadline : PNX_FOREVER,
        .cancel = call ? call->cancel : NULL,
    };
    if (!err)
        err = &local;
    pnx_status status = pnx__docker_engine_here(environment->engine, err);
    if (status != PNX_OK)
        return status;
    pthread_mutex_lock(&environment->mutex);
    bool again = environment->started || environment->over;
    environment->started = true;
    pthread_mutex_unlock(&environment->mutex);
    if (again)
        return pnx_fail(err, PNX_EALREADY, "the environment %s was started before",
                        environment->name);
    struct pnx__schedule schedule = {
        .environment = environment,
        .may = may_start,
        .work = pnx__service_start,
        .call = &until,
        .stop_at_failure = true,
        .err = err,
    };
    status = create_network(environment, &until, err);
    if (status == PNX_OK)
        status = pnx__schedule_run(&schedule);
    return status == PNX_OK ? PNX_OK : failed(environment, schedule.failed, status, err);
}
