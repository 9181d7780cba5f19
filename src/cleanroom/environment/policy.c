/* SPDX-License-Identifier: MIT */
/*
 * What a container may be. The rules are checked on the request that would make it, not on the
 * configuration that it was made from: so nothing gets around them by another way to say the same.
 */
#include "environment/internal.h"

#include "docker/calls.h"

#include <fnmatch.h>
#include <jansson.h>
#include <string.h>

struct judged {
    const pnx_policy *policy;
    const pnx_environment *environment;
    const char *service;
    json_t *body, *host;
    pnx_error *err;
};

static pnx_status refuse(const struct judged *judged, const char *field, const char *format, ...)
    PNX_PRINTF(3, 4);

static pnx_status refuse(const struct judged *judged, const char *field, const char *format, ...)
{
    char why[PNX_ERROR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    return pnx_fail(judged->err, PNX_EINVAL, "the policy refuses the service %s: %s: %s",
                    judged->service, field, why);
}

static const char *text(const json_t *object, const char *key)
{
    return pnx__docker_json_text(object, key);
}

static bool is_in(const char *const *texts, const char *text)
{
    for (; texts && *texts; texts++)
        if (strcasecmp(*texts, text) == 0)
            return true;
    return false;
}

/* ---- what it is made of ---------------------------------------------------------------------- */

static bool matches(const char *pattern, const char *image)
{
    return fnmatch(pattern, image, 0) == 0;
}

/* "redis" is "redis:latest". A digest or a tag may be there; a port of a registry is none. */
static pnx_status judge_image(const struct judged *judged)
{
    char whole[512];
    const char *image = text(judged->body, "Image"), *slash = strrchr(image, '/');
    bool tagged = strpbrk(slash ? slash : image, ":@") != NULL;
    snprintf(whole, sizeof whole, "%s%s", image, tagged ? "" : ":latest");
    if (!judged->policy->images)
        return PNX_OK;
    for (const char *const *pattern = judged->policy->images; *pattern; pattern++)
        if (matches(*pattern, whole) || matches(*pattern, image))
            return PNX_OK;
    return refuse(judged, "image", "'%s' matches none of the allowed images", image);
}

/* ---- rights ---------------------------------------------------------------------------------- */

static pnx_status judge_capabilities(const struct judged *judged)
{
    size_t i;
    const json_t *one;
    json_array_foreach(json_object_get(judged->host, "CapAdd"), i, one)
    {
        const char *name = json_string_value(one) ? json_string_value(one) : "";
        const char *bare = strncasecmp(name, "CAP_", 4) == 0 ? name + 4 : name;
        char full[64];
        snprintf(full, sizeof full, "CAP_%s", bare);
        if (!is_in(judged->policy->cap_add, bare) && !is_in(judged->policy->cap_add, full))
            return refuse(judged, "cap_add", "%s is not among those that may be added", name);
    }
    if (!judged->policy->cap_drop)
        return PNX_OK;
    json_t *drop = json_object_get(judged->host, "CapDrop");
    if (!json_is_array(drop)) {
        drop = json_array();
        if (json_object_set_new(judged->host, "CapDrop", drop) != 0)
            return pnx__docker_no_memory(judged->err);
    }
    for (const char *const *name = judged->policy->cap_drop; *name; name++)
        if (json_array_append_new(drop, json_string(*name)) != 0)
            return pnx__docker_no_memory(judged->err);
    return PNX_OK;
}

static pnx_status judge_unconfined(const struct judged *judged)
{
    size_t i;
    const json_t *one;
    if (judged->policy->allow_unconfined)
        return PNX_OK;
    json_array_foreach(json_object_get(judged->host, "SecurityOpt"), i, one)
    {
        const char *option = json_string_value(one) ? json_string_value(one) : "";
        if (strstr(option, "unconfined") || strstr(option, "disable") || strstr(option, "unmask"))
            return refuse(judged, "security_opts", "'%s' takes protection away", option);
    }
    const char *const lists[] = {"MaskedPaths", "ReadonlyPaths"};
    for (size_t k = 0; k < sizeof lists / sizeof *lists; k++)
        if (json_is_array(json_object_get(judged->host, lists[k])))
            return refuse(judged, lists[k], "it takes protection away");
    return PNX_OK;
}

static pnx_status judge_privileged(const struct judged *judged)
{
    if (judged->policy->allow_privileged ||
        !json_is_true(json_object_get(judged->host, "Privileged")))
        return PNX_OK;
    return refuse(judged, "privileged", "it leads out of the container; not allowed here");
}

static pnx_status judge_devices(const struct judged *judged)
{
    const char *const lists[] = {"Devices", "DeviceCgroupRules", "DeviceRequests"};
    for (size_t i = 0; i < 3 && !judged->policy->allow_devices; i++)
        if (json_array_size(json_object_get(judged->host, lists[i])) > 0)
            return refuse(judged, lists[i], "devices of this machine are not allowed here");
    return PNX_OK;
}

/* ---- namespaces ------------------------------------------------------------------------------ */

static pnx_status judge_namespaces(const struct judged *judged)
{
    static const struct {
        const char *key, *field;
    } modes[] = {{"PidMode", "pid"},
                 {"IpcMode", "ipc"},
                 {"UTSMode", "uts"},
                 {"UsernsMode", "userns"},
                 {"CgroupnsMode", "cgroup"}};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        const char *mode = text(judged->host, modes[i].key);
        if (strcmp(mode, "host") == 0 && !judged->policy->allow_host)
            return refuse(judged, modes[i].field, "that of the host is not allowed here");
        if (strncmp(mode, "container:", 10) == 0 || strncmp(mode, "ns:", 3) == 0)
            return refuse(judged, modes[i].field, "that of another container is not allowed here");
    }
    return PNX_OK;
}

static pnx_status judge_network(const struct judged *judged)
{
    const char *mode = text(judged->host, "NetworkMode");
    const char *own = judged->environment->network_name;
    const json_t *all =
        json_object_get(json_object_get(judged->body, "NetworkingConfig"), "EndpointsConfig");
    const char *name;
    json_t *endpoint;
    if (strcmp(mode, "host") == 0 && judged->policy->allow_host)
        return PNX_OK;
    if (strcmp(mode, "host") == 0)
        return refuse(judged, "network", "that of the host is not allowed here");
    if (strcmp(mode, "none") != 0 && strcmp(mode, own) != 0)
        return refuse(judged, "network", "'%s' is neither that of the environment nor none", mode);
    json_object_foreach((json_t *)all, name, endpoint)
    {
        if (strcmp(name, own) != 0)
            return refuse(judged, "network", "'%s' is not that of the environment", name);
    }
    if (strcmp(mode, "none") == 0 &&
        json_object_size(json_object_get(judged->host, "PortBindings")) > 0)
        return refuse(judged, "ports", "there is no network to publish them from");
    return PNX_OK;
}

/* ---- mounts ---------------------------------------------------------------------------------- */

/* Does this path hold, or lead to, the socket of an engine? */
static bool leads_to_engine(const struct judged *judged, const char *path)
{
    const char *own = strncmp(judged->environment->engine->at.host, "unix://", 7) == 0
                          ? judged->environment->engine->at.host + 7
                          : "";
    const char *const sockets[] = {"/var/run/docker.sock",
                                   "/run/docker.sock",
                                   "/run/podman/podman.sock",
                                   "/var/run/podman/podman.sock",
                                   "/run/containerd/containerd.sock",
                                   own};
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    for (size_t i = 0; i < sizeof sockets / sizeof *sockets; i++) {
        if (!*sockets[i] || strncmp(sockets[i], path, length) != 0)
            continue;
        if (length == 1 || sockets[i][length] == '\0' || sockets[i][length] == '/')
            return true;
    }
    return strstr(path, "docker.sock") || strstr(path, "podman.sock");
}

/* As it is, and as it is on this machine, where the engine may be. */
static pnx_status judge_source(const struct judged *judged, const char *source)
{
    char real[4096];
    if (judged->policy->allow_engine_socket || *source != '/')
        return PNX_OK;
    bool leads = leads_to_engine(judged, source) ||
                 (realpath(source, real) && leads_to_engine(judged, real));
    return leads ? refuse(judged, "volumes", "'%s' leads to the socket of the engine", source)
                 : PNX_OK;
}

static pnx_status judge_mounts(const struct judged *judged)
{
    size_t i;
    const json_t *one;
    pnx_status status = PNX_OK;
    json_array_foreach(json_object_get(judged->host, "Mounts"), i, one)
    {
        const json_t *driver =
            json_object_get(json_object_get(one, "VolumeOptions"), "DriverConfig");
        status = judge_source(judged, text(json_object_get(driver, "Options"), "device"));
        if (status == PNX_OK && strcmp(text(one, "Type"), "bind") == 0)
            status = judge_source(judged, text(one, "Source"));
        if (status != PNX_OK)
            return status;
    }
    json_array_foreach(json_object_get(judged->host, "Binds"), i, one)
    {
        const char *bind = json_string_value(one) ? json_string_value(one) : "";
        char source[4096];
        snprintf(source, sizeof source, "%.*s", (int)strcspn(bind, ":"), bind);
        status = judge_source(judged, source);
        if (status != PNX_OK)
            return status;
    }
    if (json_array_size(json_object_get(judged->host, "VolumesFrom")) > 0)
        return refuse(judged, "VolumesFrom", "those of another container are not allowed here");
    return PNX_OK;
}

/* ---- limits ---------------------------------------------------------------------------------- */

static pnx_status limit(const struct judged *judged, const char *key, const char *field,
                        json_int_t most, const char *shown)
{
    json_int_t asked = json_integer_value(json_object_get(judged->host, key));
    if (most == 0)
        return PNX_OK;
    if (asked < 0 || asked > most)
        return refuse(judged, field, "it is more than the allowed %s", shown);
    if (asked == 0 && json_object_set_new(judged->host, key, json_integer(most)) != 0)
        return pnx__docker_no_memory(judged->err);
    return PNX_OK;
}

static pnx_status judge_limits(const struct judged *judged)
{
    const pnx_policy *policy = judged->policy;
    char shown[64];
    snprintf(shown, sizeof shown, "%llu bytes", (unsigned long long)policy->memory_max);
    json_int_t memory = (json_int_t)policy->memory_max;
    pnx_status status = limit(judged, "Memory", "memory_max", memory, shown);
    if (status == PNX_OK)
        status = limit(judged, "MemorySwap", "memory_max (with swap)", memory, shown);
    snprintf(shown, sizeof shown, "%g", policy->cpus_max);
    if (status == PNX_OK)
        status = limit(judged, "NanoCpus", "cpus", (json_int_t)(policy->cpus_max * 1e9), shown);
    snprintf(shown, sizeof shown, "%lld", (long long)policy->pids_max);
    if (status == PNX_OK)
        status = limit(judged, "PidsLimit", "pids_max", policy->pids_max, shown);
    return status;
}

static pnx_status impose_read_only(const struct judged *judged)
{
    if (judged->policy->read_only &&
        json_object_set_new(judged->host, "ReadonlyRootfs", json_true()) != 0)
        return pnx__docker_no_memory(judged->err);
    return PNX_OK;
}

/* ---- all ------------------------------------------------------------------------------------- */

pnx_status pnx__policy_apply(const pnx_environment *environment, const char *service, json_t *body,
                             pnx_error *err)
{
    static pnx_status (*const rules[])(const struct judged *) = {
        judge_image,   judge_privileged, judge_namespaces,   judge_network,    judge_mounts,
        judge_devices, judge_unconfined, judge_capabilities, impose_read_only, judge_limits,
    };
    const struct judged judged = {
        &environment->policy, environment, service, body, json_object_get(body, "HostConfig"), err};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        pnx_status status = rules[i](&judged);
        if (status != PNX_OK)
            return status;
    }
    return PNX_OK;
}

const char *pnx_reach_name(pnx_reach reach)
{
    static const char *const names[] = {"default", "none", "internal", "out"};
    return (unsigned)reach < sizeof names / sizeof *names ? names[reach] : "unknown";
}

pnx_status pnx__policy_reach(const pnx_policy *policy, pnx_reach asked, pnx_reach *ret,
                             pnx_error *err)
{
    pnx_reach most = policy->reach ? policy->reach : PNX_REACH_OUT;
    if ((unsigned)asked > PNX_REACH_OUT || (unsigned)most > PNX_REACH_OUT)
        return pnx_fail(err, PNX_EINVAL, "reach: there is no such reach of a network");
    if (asked > most)
        return pnx_fail(err, PNX_EINVAL,
                        "the policy refuses the network: reach: '%s' is further "
                        "than the allowed '%s'",
                        pnx_reach_name(asked), pnx_reach_name(most));
    *ret = asked ? asked : most;
    return PNX_OK;
}
