/* SPDX-License-Identifier: MIT */
/* Containers that are made while an environment is up, and those that are shared. */
#include "environment/internal.h"

#include <string.h>

/* ---- with the mutex held --------------------------------------------------------------------- */

static pnx_service *find(const pnx_environment *environment, const char *name)
{
    for (pnx_service *one = environment->services; one; one = one->next)
        if (one->state != PNX__SERVICE_GONE && strcmp(one->name, name) == 0)
            return one;
    return NULL;
}

static pnx_status is_up(const pnx_environment *environment, pnx_error *err)
{
    if (environment->removing || environment->over)
        return pnx_fail(err, PNX_ESHUTDOWN, "the environment %s is being taken down",
                        environment->name);
    if (!environment->started)
        return pnx_fail(err, PNX_EINVAL, "the environment %s is not started", environment->name);
    return PNX_OK;
}

static void append(pnx_environment *environment, pnx_service *service)
{
    pnx_service **end = &environment->services;
    service->generation = 1;
    for (; *end; end = &(*end)->next)
        service->generation += strcmp((*end)->name, service->name) == 0;
    *end = service;
}

static pnx_status has_what_it_needs(const pnx_service *service, pnx_error *err)
{
    for (size_t i = 0; i < service->needs_count; i++) {
        const struct pnx__needs *needs = &service->needs[i];
        enum pnx__service_state state = needs->on->state;
        bool good = needs->condition == PNX_COMPLETED ? state == PNX__SERVICE_COMPLETED
                    : needs->condition == PNX_READY
                        ? state == PNX__SERVICE_READY || state == PNX__SERVICE_COMPLETED
                        : state >= PNX__SERVICE_STARTED && state <= PNX__SERVICE_COMPLETED;
        if (!good)
            return pnx_fail(err, PNX_EINVAL,
                            "the service %s: depends_on: %s is not in the state that it needs",
                            service->name, needs->on->name);
    }
    return PNX_OK;
}

/* It is in the list from here on, and busy: nobody else touches it. */
static pnx_status add(pnx_environment *environment, const pnx_service_config *config,
                      pnx_service **ret, pnx_error *err)
{
    pnx_service *service = NULL;
    pnx_status status = pnx__service_check_name(environment, config->name, err);
    if (status == PNX_OK)
        status = pnx__service_make(environment, config, &service, err);
    if (status != PNX_OK) {
        environment->counts.refused += err && strncmp(err->message, "the policy", 10) == 0;
        return status;
    }
    status = pnx__service_link(environment, service, config, err);
    if (status == PNX_OK)
        status = has_what_it_needs(service, err);
    if (status != PNX_OK) {
        pnx__service_free(service);
        return status;
    }
    append(environment, service);
    service->busy = true;
    *ret = service;
    return PNX_OK;
}

/* ---- without it ------------------------------------------------------------------------------ */

static void let_go(pnx_service *service)
{
    pnx_environment *environment = service->environment;
    pthread_mutex_lock(&environment->mutex);
    service->busy = false;
    pthread_cond_broadcast(&environment->changed);
    pthread_mutex_unlock(&environment->mutex);
}

/* One that does not get ready is taken down alone, with its logs saved. */
static pnx_status bring_up(pnx_service *service, const pnx_call *call, pnx_error *err)
{
    const pnx_call until = {
        .deadline = call && call->deadline ? call->deadline : PNX_FOREVER,
        .cancel = call ? call->cancel : NULL,
    };
    pnx_status status = pnx__service_start(service, &until, err);
    if (status == PNX_OK)
        return PNX_OK;
    const pnx_call removal = pnx_call_within(PNX__REMOVE_WITHIN);
    (void)!pnx__service_save(service, &removal, NULL);
    pnx_error left = {0};
    if (pnx__service_remove(service, &removal, &left) != PNX_OK)
        return pnx_fail(err, status, "the service %s: %.100s; and it is not removed: %s",
                        service->name, err->message, left.message);
    const pnx_error cause = *err;
    pnx_fail(err, status, "the service %s: %s", service->name, cause.message);
    err->cause = cause.cause;
    return status;
}

pnx_status pnx_environment_run(pnx_environment *environment, const pnx_service_config *config,
                               const pnx_call *call, pnx_service **ret, pnx_error *err)
{
    pnx_error local = {0};
    pnx_service *service = NULL;
    if (!err)
        err = &local;
    pnx_status status = pnx__docker_engine_here(environment->engine, err);
    if (status != PNX_OK)
        return status;
    pthread_mutex_lock(&environment->mutex);
    status = is_up(environment, err);
    if (status == PNX_OK)
        status = add(environment, config, &service, err);
    pthread_mutex_unlock(&environment->mutex);
    if (status != PNX_OK)
        return status;
    status = bring_up(service, call, err);
    let_go(service);
    if (status == PNX_OK && ret)
        *ret = service;
    return status;
}

/* ---- sharing --------------------------------------------------------------------------------- */

static bool still_runs(const pnx_service *service, const pnx_call *call)
{
    static const pnx_check runs = {.type = PNX_CHECK_RUNS};
    pnx_check_result result;
    pnx_status status =
        pnx_check_once(service->environment->engine, service->id, &runs, call, &result, NULL);
    return status == PNX_OK && result.verdict == PNX_VERDICT_PASSES;
}

/* As the next user wants to find it. False: it cannot be had so. */
static bool make_fresh(pnx_service *service, const pnx_service_config *config, const pnx_call *call)
{
    pnx_environment *environment = service->environment;
    if (!still_runs(service, call))
        return false;
    if (config->reset) {
        if (config->reset(service, config->reset_context, call, NULL) != PNX_OK)
            return false;
        PNX__COUNT(environment, reset, 1);
    }
    PNX__COUNT(environment, reused, 1);
    return true;
}

/* Is what is there what is asked for? A request is made from the configuration to find out. */
static pnx_status is_same(pnx_environment *environment, const pnx_service *there,
                          const pnx_service_config *config, pnx_error *err)
{
    pnx_service *other;
    pnx_status status = pnx__service_make(environment, config, &other, err);
    if (status != PNX_OK)
        return status;
    bool same = strcmp(other->key, there->key) == 0;
    pnx__service_free(other);
    return same ? PNX_OK
                : pnx_fail(err, PNX_EBUSY,
                           "there is a service %s with another configuration; give this one "
                           "another name",
                           there->name);
}

/* The one that is there, and busy from here on; NULL: there is none. */
static pnx_status take_hold(pnx_environment *environment, const pnx_service_config *config,
                            const pnx_call *call, pnx_service **ret, pnx_error *err)
{
    struct timespec until = {.tv_sec = 0};
    pnx_time deadline = call && call->deadline && call->deadline != PNX_FOREVER
                            ? call->deadline
                            : pnx_time_after(pnx_monotonic_now(), PNX_S(600));
    until.tv_sec = (time_t)(deadline / PNX_S(1));
    until.tv_nsec = (long)(deadline % PNX_S(1));
    for (;;) {
        pnx_status status = is_up(environment, err);
        *ret = status == PNX_OK && config->name ? find(environment, config->name) : NULL;
        if (status != PNX_OK || !*ret)
            return status;
        if (!(*ret)->busy)
            break;
        if (pthread_cond_timedwait(&environment->changed, &environment->mutex, &until) != 0)
            return pnx_fail(err, PNX_ETIMEOUT, "the service %s was busy until now", config->name);
    }
    pnx_status status = is_same(environment, *ret, config, err);
    (*ret)->busy = status == PNX_OK;
    return status;
}

pnx_status pnx_environment_get(pnx_environment *environment, const pnx_service_config *config,
                               const pnx_call *call, pnx_service **ret, bool *ret_reused,
                               pnx_error *err)
{
    pnx_error local = {0};
    pnx_service *there = NULL, *service = NULL;
    if (!err)
        err = &local;
    pnx_status status = pnx__docker_engine_here(environment->engine, err);
    if (status != PNX_OK)
        return status;
    pthread_mutex_lock(&environment->mutex);
    status = take_hold(environment, config, call, &there, err);
    if (status == PNX_OK && !there)
        status = add(environment, config, &service, err);
    pthread_mutex_unlock(&environment->mutex);
    if (status != PNX_OK)
        return status;
    bool reused = there && make_fresh(there, config, call);
    if (there && !reused)
        status =
            pnx__service_remove(there, &(pnx_call){.deadline = call ? call->deadline : 0}, err);
    if (there && !reused && status == PNX_OK) {
        pthread_mutex_lock(&environment->mutex);
        status = add(environment, config, &service, err);
        pthread_mutex_unlock(&environment->mutex);
    }
    if (there)
        let_go(there);
    if (service) {
        status = bring_up(service, call, err);
        let_go(service);
    }
    if (status == PNX_OK) {
        *ret = service ? service : there;
        if (ret_reused)
            *ret_reused = reused;
    }
    return status;
}
