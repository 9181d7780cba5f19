/* SPDX-License-Identifier: MIT */
/* From configurations to services that know whom they need; nothing exists in the engine yet. */
#include "environment/internal.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* What has to be written down by a container that is asked to stop. */
#define GRACE_FOR_COVERAGE PNX_S(10)

/* ---- names ----------------------------------------------------------------------------------- */

static bool is_name(const char *name)
{
    size_t length = name ? strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                        "0123456789-_.")
                         : 0;
    return length > 0 && length <= PNX__SERVICE_NAME_MAX && !name[length] && isalnum(*name);
}

void pnx__variable_prefix(const char *service, char prefix[PNX__SERVICE_NAME_MAX + 1])
{
    size_t i = 0;
    for (; service[i] && i < PNX__SERVICE_NAME_MAX; i++)
        prefix[i] = isalnum((unsigned char)service[i]) ? (char)toupper(service[i]) : '_';
    prefix[i] = '\0';
}

/* Two that differ only in what variables cannot show would overwrite each other's. */
pnx_status pnx__service_check_name(const pnx_environment *environment, const char *name,
                                   pnx_error *err)
{
    char prefix[PNX__SERVICE_NAME_MAX + 1], other[PNX__SERVICE_NAME_MAX + 1];
    if (!is_name(name))
        return pnx_fail(err, PNX_EINVAL,
                        "name: '%s' is no name of a service: letters, digits, '-', '_' and '.', "
                        "%d at most",
                        name ? name : "", PNX__SERVICE_NAME_MAX);
    pnx__variable_prefix(name, prefix);
    for (const pnx_service *one = environment->services; one; one = one->next) {
        if (one->state == PNX__SERVICE_GONE)
            continue;
        pnx__variable_prefix(one->name, other);
        if (strcmp(prefix, other) == 0)
            return pnx_fail(err, PNX_EALREADY,
                            "name: there are two services %s and %s, whose "
                            "variables are the same, %s_…",
                            one->name, name, prefix);
    }
    return PNX_OK;
}

/* ---- waits ----------------------------------------------------------------------------------- */

/* So deep, and so many at each level, is nobody's list. */
#define WAIT_DEPTH_MAX 8
#define WAIT_COUNT_MAX 64

static void copy_check(struct pnx__arena *memory, const pnx_check *from, pnx_check *to)
{
    *to = *from;
    to->argv = pnx__arena_texts(memory, from->argv);
    to->shell = pnx__arena_text(memory, from->shell);
    to->user = pnx__arena_text(memory, from->user);
    to->host = pnx__arena_text(memory, from->host);
    to->path = pnx__arena_text(memory, from->path);
    to->text = pnx__arena_text(memory, from->text);
    to->pattern = pnx__arena_text(memory, from->pattern);
}

static pnx_status copy_wait(struct pnx__arena *memory, const pnx_wait *from, unsigned depth,
                            pnx_wait *to, pnx_error *err)
{
    if (from->type == PNX_WAIT_CHECK) {
        copy_check(memory, &from->check, &to->check);
        return pnx_check_validate(&from->check, err);
    }
    if ((unsigned)from->type > PNX_WAIT_ANY || from->count == 0 || from->count > WAIT_COUNT_MAX ||
        depth == WAIT_DEPTH_MAX)
        return pnx_fail(err, PNX_EINVAL, "it has no checks, or too many");
    pnx_wait *of = pnx__arena_take(memory, from->count * sizeof *of);
    if (!of)
        return pnx__docker_no_memory(err);
    *to = (pnx_wait){.type = from->type, .of = of, .count = from->count};
    for (size_t i = 0; i < from->count; i++) {
        pnx_status status = copy_wait(memory, &from->of[i], depth + 1, &of[i], err);
        if (status != PNX_OK)
            return status;
    }
    return PNX_OK;
}

static pnx_status take_wait(pnx_service *service, const pnx_wait *from, pnx_error *err)
{
    if (!from)
        return PNX_OK;
    service->ready = pnx__arena_take(&service->memory, sizeof *service->ready);
    if (!service->ready)
        return pnx__docker_no_memory(err);
    pnx_status status = copy_wait(&service->memory, from, 0, service->ready, err);
    return status == PNX_OK ? PNX_OK : pnx_wrap(err, status, "ready: it is no wait");
}

/* ---- files that it has to save --------------------------------------------------------------- */

static pnx_status check_paths(const char *field, const char *const *paths, pnx_error *err)
{
    for (; paths && *paths; paths++) {
        const char *second = **paths == '/' ? strchr(*paths + 1, '/') : NULL;
        bool fixed = **paths == '/' && (*paths)[1] && !strpbrk(*paths, "*?[");
        /* The directory in front of the first pattern is read as a whole: not all there is. */
        if (second && strcspn(*paths, "*?[") > (size_t)(second - *paths))
            fixed = true;
        if (!fixed || strstr(*paths, "/../"))
            return pnx_fail(err, PNX_EINVAL,
                            "%s: '%s' is no absolute path below a directory without patterns",
                            field, *paths);
    }
    return PNX_OK;
}

/* ---- the container --------------------------------------------------------------------------- */

/* The volume of the environment that a mount means. */
static const char *volume_named(const pnx_environment *environment, const char *name)
{
    for (size_t i = 0; name && i < environment->volume_count; i++)
        if (strcmp(environment->volumes[i].name, name) == 0)
            return pnx_object_name(environment->volumes[i].object);
    return name;
}

static void take_mounts(pnx_service *service, pnx_container_config *config)
{
    pnx_mount *mounts = config->mount_count ? pnx__arena_take(&service->memory,
                                                              config->mount_count * sizeof *mounts)
                                            : NULL;
    for (size_t i = 0; mounts && i < config->mount_count; i++) {
        mounts[i] = config->mounts[i];
        if (mounts[i].type == PNX_MOUNT_VOLUME)
            mounts[i].source = volume_named(service->environment, mounts[i].source);
    }
    config->mounts = mounts;
}

/* `texts` and two more; of the latter the second may be NULL. */
static const char *const *with(pnx_service *service, const char *const *texts, const char *first,
                               const char *second)
{
    size_t count = 0;
    while (texts && texts[count])
        count++;
    const char **all = pnx__arena_take(&service->memory, (count + 3) * sizeof *all);
    for (size_t i = 0; all && i < count; i++)
        all[i] = texts[i];
    if (all) {
        all[count] = first;
        all[count + 1] = second;
    }
    return all;
}

static void take_container(pnx_service *service, const pnx_service_config *from,
                           pnx_container_config *to)
{
    pnx_environment *environment = service->environment;
    *to = from->container;
    if (!to->network)
        to->network = environment->network_name;
    if (strcmp(to->network, environment->network_name) == 0 && strcmp(to->network, "none") != 0)
        to->aliases = with(service, to->aliases, service->name, NULL);
    to->labels =
        with(service, to->labels,
             pnx__arena_format(&service->memory, "%s=%s", PNX_LABEL_ENVIRONMENT, environment->id),
             pnx__arena_format(&service->memory, "%s=%s", PNX_LABEL_SERVICE, service->name));
    if (to->grace == 0 && from->coverage && from->coverage[0])
        to->grace = GRACE_FOR_COVERAGE;
    take_mounts(service, to);
}

/* What makes two configurations the same: the request, without what is new in each. */
static pnx_status make_key(pnx_service *service, pnx_error *err)
{
    json_t *body = json_copy(service->object->body);
    if (body)
        json_object_del(body, "Labels");
    service->key = body ? json_dumps(body, JSON_SORT_KEYS | JSON_COMPACT) : NULL;
    json_decref(body);
    return service->key ? PNX_OK : pnx__docker_no_memory(err);
}

/* Podman gives the machine no address in an internal network, and forwards no ports into it. */
static pnx_status check_ports(const pnx_service *service, const pnx_container_config *container,
                              pnx_error *err)
{
    const pnx_environment *environment = service->environment;
    if (container->port_count == 0 || environment->reach != PNX_REACH_INTERNAL ||
        pnx_engine_kind_of(environment->engine) != PNX_ENGINE_PODMAN)
        return PNX_OK;
    return pnx_fail(err, PNX_EUNSUPPORTED,
                    "the service %s: ports: with Podman an internal network is not reached from "
                    "this machine; use the reach 'out', or no ports",
                    service->name);
}

static pnx_status make_object(pnx_service *service, const pnx_service_config *config,
                              pnx_error *err)
{
    pnx_container_config container;
    take_container(service, config, &container);
    if (service->memory.failed)
        return pnx__docker_no_memory(err);
    service->grace = container.grace;
    pnx_status status = check_ports(service, &container, err);
    if (status != PNX_OK)
        return status;
    status = pnx_container_new(service->environment->engine, &container, &service->object, err);
    if (status != PNX_OK)
        return status;
    pnx_object_watch_by(service->object, &service->outcome);
    status = pnx__policy_apply(service->environment, service->name, service->object->body, err);
    return status == PNX_OK ? make_key(service, err) : status;
}

/* ---- the service ----------------------------------------------------------------------------- */

void pnx__service_free(pnx_service *service)
{
    if (!service)
        return;
    pnx_object_free(service->object);
    free(service->key);
    pnx__arena_free(&service->memory);
    free(service);
}

static pnx_status fill(pnx_service *service, const pnx_service_config *config, pnx_error *err)
{
    struct pnx__arena *memory = &service->memory;
    snprintf(service->name, sizeof service->name, "%s", config->name);
    service->within = config->within ? config->within : PNX__READY_WITHIN;
    service->save = pnx__arena_texts(memory, config->save);
    service->coverage = pnx__arena_texts(memory, config->coverage);
    service->reset = config->reset;
    service->reset_context = config->reset_context;
    service->id = "";
    pnx_status status = check_paths("save", config->save, err);
    if (status == PNX_OK)
        status = check_paths("coverage", config->coverage, err);
    if (status == PNX_OK)
        status = take_wait(service, config->ready, err);
    return status == PNX_OK ? make_object(service, config, err) : status;
}

pnx_status pnx__service_make(pnx_environment *environment, const pnx_service_config *config,
                             pnx_service **ret, pnx_error *err)
{
    pnx_service *service = calloc(1, sizeof *service);
    if (!service)
        return pnx__docker_no_memory(err);
    service->environment = environment;
    pnx_status status = fill(service, config, err);
    if (status == PNX_OK && service->memory.failed)
        status = pnx__docker_no_memory(err);
    if (status != PNX_OK) {
        pnx__service_free(service);
        bool told = err && strstr(err->message, config->name);
        return told ? status : pnx_wrap(err, status, "the service %s", config->name);
    }
    *ret = service;
    return PNX_OK;
}

/* ---- who needs whom -------------------------------------------------------------------------- */

static pnx_service *find(const pnx_environment *environment, const char *name)
{
    pnx_service *found = NULL;
    for (pnx_service *one = environment->services; one; one = one->next)
        if (one->state != PNX__SERVICE_GONE && name && strcmp(one->name, name) == 0)
            found = one;
    return found;
}

pnx_status pnx__service_link(pnx_environment *environment, pnx_service *service,
                             const pnx_service_config *config, pnx_error *err)
{
    if (config->depends_count == 0)
        return PNX_OK;
    service->needs =
        pnx__arena_take(&service->memory, config->depends_count * sizeof *service->needs);
    if (!service->needs)
        return pnx__docker_no_memory(err);
    for (size_t i = 0; i < config->depends_count; i++) {
        const pnx_dependency *dependency = &config->depends_on[i];
        pnx_service *on = find(environment, dependency->service);
        if (!on)
            return pnx_fail(err, PNX_EINVAL, "the service %s: depends_on: there is no service '%s'",
                            service->name, dependency->service ? dependency->service : "");
        if ((unsigned)dependency->condition > PNX_COMPLETED)
            return pnx_fail(err, PNX_EINVAL, "the service %s: depends_on: no such condition of %s",
                            service->name, on->name);
        service->needs[service->needs_count++] = (struct pnx__needs){on, dependency->condition};
        on->completes |= dependency->condition == PNX_COMPLETED;
    }
    return PNX_OK;
}

/* Each that is left needs one that is left: who follows these comes into a circle. */
static const pnx_service *next_in_circle(const pnx_service *service)
{
    for (size_t i = 0; i < service->needs_count; i++)
        if (service->needs[i].on->busy)
            return service->needs[i].on;
    return service;
}

static pnx_status tell_circle(const pnx_service *service, size_t left, pnx_error *err)
{
    char circle[160];
    for (; left > 0; left--)
        service = next_in_circle(service);
    const pnx_service *first = service;
    int length = snprintf(circle, sizeof circle, "%s", first->name);
    do {
        service = next_in_circle(service);
        if (length < (int)sizeof circle)
            length +=
                snprintf(circle + length, sizeof circle - (size_t)length, " → %s", service->name);
    } while (service != first);
    return pnx_fail(err, PNX_EINVAL, "depends_on: services need each other in a circle: %s",
                    circle);
}

/* By taking away again and again what needs nothing that is left: what stays is in a circle, or
 * needs one. */
pnx_status pnx__services_check_order(const pnx_environment *environment, pnx_error *err)
{
    size_t left = 0, before;
    for (pnx_service *one = environment->services; one; one = one->next, left++)
        one->busy = true;
    do {
        before = left;
        for (pnx_service *one = environment->services; one; one = one->next) {
            bool needs_none = one->busy;
            for (size_t i = 0; i < one->needs_count; i++)
                needs_none &= !one->needs[i].on->busy;
            if (needs_none) {
                one->busy = false;
                left--;
            }
        }
    } while (left < before && left > 0);
    pnx_status status = PNX_OK;
    for (pnx_service *one = environment->services; one && status == PNX_OK; one = one->next)
        if (one->busy)
            status = tell_circle(one, left, err);
    for (pnx_service *one = environment->services; one; one = one->next)
        one->busy = false;
    return status;
}
