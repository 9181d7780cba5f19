/* SPDX-License-Identifier: MIT */
/* Making and freeing an environment, and what is known of it. */
#include "environment/internal.h"

#include "docker/labels.h"

#include <stdlib.h>
#include <string.h>

/* ---- the rules, copied ----------------------------------------------------------------------- */

static void take_policy(pnx_environment *environment, const pnx_policy *from)
{
    pnx_policy *to = &environment->policy;
    *to = *from;
    to->images = pnx__arena_texts(&environment->memory, from->images);
    to->cap_add = pnx__arena_texts(&environment->memory, from->cap_add);
    to->cap_drop = pnx__arena_texts(&environment->memory, from->cap_drop);
}

static pnx_status check_policy(const pnx_policy *policy, pnx_error *err)
{
    if (!(policy->cpus_max >= 0 && policy->cpus_max <= 1e6) || policy->pids_max < 0 ||
        policy->memory_max > INT64_MAX)
        return pnx_fail(err, PNX_EINVAL, "policy: a limit is out of range");
    return PNX_OK;
}

/* ---- network and volumes --------------------------------------------------------------------- */

static pnx_status make_network(pnx_environment *environment, pnx_keep keep, pnx_error *err)
{
    const char *label =
        pnx__arena_format(&environment->memory, "%s=%s", PNX_LABEL_ENVIRONMENT, environment->id);
    if (environment->reach == PNX_REACH_NONE) {
        environment->network_name = "none";
        return PNX_OK;
    }
    pnx_status status =
        pnx_network_new(environment->engine,
                        &(pnx_network_config){.labels = (const char *const[]){label, NULL},
                                              .internal = environment->reach == PNX_REACH_INTERNAL,
                                              .keep = keep},
                        &environment->network, err);
    if (status != PNX_OK)
        return status;
    pnx_object_watch_by(environment->network, &environment->network_outcome);
    environment->network_name = pnx_object_name(environment->network);
    return PNX_OK;
}

/* Its own, or that of the environment that it is in. */
static pnx_status take_network(pnx_environment *environment, const pnx_environment_config *config,
                               pnx_error *err)
{
    const pnx_environment *outer = config->within;
    pnx_status status =
        pnx__policy_reach(&environment->policy, config->reach, &environment->reach, err);
    if (status != PNX_OK)
        return status;
    if (!outer || config->reach)
        return make_network(environment, config->keep, err);
    environment->reach = outer->reach;
    environment->network_name = pnx__arena_text(&environment->memory, outer->network_name);
    return environment->network_name ? PNX_OK : pnx__docker_no_memory(err);
}

static pnx_status make_volumes(pnx_environment *environment, const char *const *names,
                               pnx_keep keep, pnx_error *err)
{
    size_t count = 0;
    while (names && names[count])
        count++;
    const char *label =
        pnx__arena_format(&environment->memory, "%s=%s", PNX_LABEL_ENVIRONMENT, environment->id);
    environment->volumes =
        count ? pnx__arena_take(&environment->memory, count * sizeof *environment->volumes) : NULL;
    if (environment->memory.failed)
        return pnx__docker_no_memory(err);
    for (size_t i = 0; i < count; i++) {
        struct pnx__named_volume *volume = &environment->volumes[i];
        pnx_status status = pnx_volume_new(
            environment->engine,
            &(pnx_volume_config){.labels = (const char *const[]){label, NULL}, .keep = keep},
            &volume->object, err);
        if (status != PNX_OK)
            return status;
        volume->name = pnx__arena_text(&environment->memory, names[i]);
        pnx_object_watch_by(volume->object, &volume->outcome);
        environment->volume_count++;
    }
    return PNX_OK;
}

static pnx_status make_services(pnx_environment *environment, const pnx_environment_config *config,
                                pnx_error *err)
{
    pnx_service **end = &environment->services;
    for (size_t i = 0; i < config->service_count; i++) {
        const pnx_service_config *one = &config->services[i];
        if (pnx__service_check_name(environment, one->name, err) != PNX_OK) {
            if (err)
                err->code = PNX_EINVAL;
            return PNX_EINVAL;
        }
        pnx_status status = pnx__service_make(environment, one, end, err);
        if (status != PNX_OK)
            return status;
        end = &(*end)->next;
    }
    pnx_service *service = environment->services;
    for (size_t i = 0; i < config->service_count; i++, service = service->next) {
        pnx_status status = pnx__service_link(environment, service, &config->services[i], err);
        if (status != PNX_OK)
            return status;
    }
    return pnx__services_check_order(environment, err);
}

/* ---- making and freeing ---------------------------------------------------------------------- */

static pnx_status fill(pnx_environment *environment, const pnx_environment_config *config,
                       pnx_error *err)
{
    struct pnx__arena *memory = &environment->memory;
    environment->name = pnx__arena_text(memory, config->name ? config->name : "environment");
    environment->artifacts = pnx__arena_text(memory, config->artifacts);
    environment->artifacts_always = config->artifacts_always;
    environment->parallel = config->parallel ? config->parallel : PNX__PARALLEL;
    if (environment->parallel > PNX__PARALLEL_MAX)
        environment->parallel = PNX__PARALLEL_MAX;
    environment->visit = config->visit;
    environment->context = config->context;
    const pnx_policy *policy = config->within ? &config->within->policy : &config->policy;
    take_policy(environment, policy);
    pnx_status status = check_policy(policy, err);
    if (status == PNX_OK)
        status = pnx__docker_mark_make(environment->id, err);
    if (status == PNX_OK)
        status = take_network(environment, config, err);
    if (status == PNX_OK)
        status = make_volumes(environment, config->volumes, config->keep, err);
    if (status == PNX_OK)
        status = make_services(environment, config, err);
    return status == PNX_OK && memory->failed ? pnx__docker_no_memory(err) : status;
}

static bool make_condition(pthread_cond_t *condition)
{
    pthread_condattr_t about;
    if (pthread_condattr_init(&about) != 0)
        return false;
    bool good = pthread_condattr_setclock(&about, CLOCK_MONOTONIC) == 0 &&
                pthread_cond_init(condition, &about) == 0;
    pthread_condattr_destroy(&about);
    return good;
}

pnx_status pnx_environment_new(pnx_engine *engine, const pnx_environment_config *config,
                               pnx_environment **ret, pnx_error *err)
{
    pnx_status status = pnx__docker_engine_here(engine, err);
    if (status != PNX_OK)
        return status;
    pnx_environment *environment = calloc(1, sizeof *environment);
    if (!environment || !make_condition(&environment->changed)) {
        free(environment);
        return pnx__docker_no_memory(err);
    }
    environment->engine = engine;
    pthread_mutex_init(&environment->mutex, NULL);
    pthread_mutex_init(&environment->telling, NULL);
    status = fill(environment, config, err);
    if (status != PNX_OK) {
        pnx_environment_free(environment);
        return status;
    }
    *ret = environment;
    return PNX_OK;
}

void pnx_environment_free(pnx_environment *environment)
{
    if (!environment)
        return;
    for (pnx_service *service; (service = environment->services);) {
        environment->services = service->next;
        pnx__service_free(service);
    }
    for (size_t i = 0; i < environment->volume_count; i++)
        pnx_object_free(environment->volumes[i].object);
    pnx_object_free(environment->network);
    pthread_cond_destroy(&environment->changed);
    pthread_mutex_destroy(&environment->mutex);
    pthread_mutex_destroy(&environment->telling);
    pnx__arena_free(&environment->memory);
    free(environment);
}

void pnx_environment_set_failed(pnx_environment *environment)
{
    pthread_mutex_lock(&environment->mutex);
    environment->failed_work = true;
    pthread_mutex_unlock(&environment->mutex);
    pnx_engine_set_failed(environment->engine, true);
}

/* ---- the guard ------------------------------------------------------------------------------- */

static pnx_status release(void *value, const pnx_release *why)
{
    pnx_environment *environment;
    memcpy(&environment, value, sizeof environment);
    /* A little early, so that it can still tell what is left before it is declared late. */
    pnx_time deadline = why->deadline;
    if (deadline != PNX_FOREVER)
        deadline -= (deadline - pnx_monotonic_now()) / 16;
    pnx_status status =
        pnx_environment_remove(environment, &(pnx_call){.deadline = deadline}, NULL);
    if (status == PNX_OK)
        pnx_environment_free(environment);
    return status;
}

static int describe(const void *value, char *buffer, size_t size)
{
    const pnx_environment *environment;
    memcpy(&environment, value, sizeof environment);
    return snprintf(buffer, size, "environment %s (%.8s)", environment->name, environment->id);
}

/* As long as pnx_environment_remove takes by itself. */
const pnx_kind pnx_kind_environment = {
    .name = "environment",
    .priority = PNX_HIGH,
    .flags = PNX_BLOCKING,
    .timeout = PNX__REMOVE_WITHIN,
    .retries = 4,
    .retry_delay = PNX_MS(200),
    .retry_delay_max = PNX_S(2),
    .value_size = sizeof(pnx_environment *),
    .describe = (void (*)(void))describe,
    .release = release,
    .run_describe = describe,
};

/* ---- what is there --------------------------------------------------------------------------- */

const char *pnx_environment_id(const pnx_environment *environment)
{
    return environment->id;
}

const char *pnx_environment_network(const pnx_environment *environment)
{
    return environment->network ? pnx_object_id(environment->network) : "";
}

pnx_engine *pnx_environment_engine(const pnx_environment *environment)
{
    return environment->engine;
}

/* The lock is no part of what a const environment is. */
static pthread_mutex_t *mutex_of(const pnx_environment *environment)
{
    return &((pnx_environment *)environment)->mutex;
}

pnx_service *pnx_environment_find(const pnx_environment *environment, const char *name)
{
    pnx_service *found = NULL;
    pthread_mutex_lock(mutex_of(environment));
    for (pnx_service *one = environment->services; one; one = one->next)
        if (one->state != PNX__SERVICE_GONE && strcmp(one->name, name) == 0)
            found = one;
    pthread_mutex_unlock(mutex_of(environment));
    return found;
}

void pnx_environment_variables(const pnx_environment *environment,
                               void (*visit)(const char *name, const char *value, void *context),
                               void *context)
{
    /* Those that are there are never changed nor freed: only the head of the list is. */
    pthread_mutex_lock(mutex_of(environment));
    const struct pnx__variable *variable = environment->variables;
    pthread_mutex_unlock(mutex_of(environment));
    for (; variable; variable = variable->next) {
        pthread_mutex_lock(mutex_of(environment));
        bool there = variable->of->state != PNX__SERVICE_GONE;
        pthread_mutex_unlock(mutex_of(environment));
        if (there)
            visit(variable->name, variable->value, context);
    }
}

struct wanted {
    const char *name, *value;
};

static void compare(const char *name, const char *value, void *context)
{
    struct wanted *wanted = context;
    if (!wanted->value && strcmp(wanted->name, name) == 0)
        wanted->value = value;
}

const char *pnx_environment_variable(const pnx_environment *environment, const char *name)
{
    struct wanted wanted = {.name = name};
    pnx_environment_variables(environment, compare, &wanted);
    return wanted.value;
}

bool pnx_environment_failed(const pnx_environment *environment, pnx_environment_failure *ret)
{
    pthread_mutex_lock(mutex_of(environment));
    bool failed = environment->has_failed;
    if (failed && ret)
        *ret = environment->failure;
    pthread_mutex_unlock(mutex_of(environment));
    return failed;
}

const char *pnx_service_name(const pnx_service *service)
{
    return service->name;
}

const char *pnx_service_id(const pnx_service *service)
{
    return service->id;
}

const char *pnx_service_host(const pnx_service *service)
{
    return service->host;
}

uint16_t pnx_service_port(const pnx_service *service, uint16_t port)
{
    for (size_t i = 0; i < service->port_count; i++)
        if (service->ports[i].port == port && !service->ports[i].udp)
            return service->ports[i].there;
    return 0;
}
