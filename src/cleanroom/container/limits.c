/* SPDX-License-Identifier: MIT */
/* Limits: set at creation, and looked for afterwards. */
#include "container/limits.h"

#include "container/kernel.h"
#include "docker/calls.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *pnx_usage_type_name(pnx_usage_type type)
{
    static const char *const names[PNX_USAGE_TYPE_COUNT] = {
        [PNX_USAGE_MEMORY] = "memory", [PNX_USAGE_CPU] = "cpu",           [PNX_USAGE_PIDS] = "pids",
        [PNX_USAGE_DISK] = "disk",     [PNX_USAGE_CPU_TIME] = "cpu time",
    };
    return (unsigned)type < PNX_USAGE_TYPE_COUNT ? names[type] : "none";
}

/* ---- setting --------------------------------------------------------------------------------- */

static json_t *with_disk_limit(const json_t *body, uint64_t disk_max)
{
    char size[24];
    json_t *copy = body ? json_deep_copy(body) : json_object();
    json_t *host = json_object_get(copy, "HostConfig");
    snprintf(size, sizeof size, "%llu", (unsigned long long)disk_max);
    json_t *options = json_pack("{s:s}", "size", size);
    int failed = !copy || !options;
    if (!failed && !host)
        failed = json_object_set_new(copy, "HostConfig", host = json_object());
    if (!failed && json_object_set_new(host, "StorageOpt", options) == 0)
        return copy;
    json_decref(copy);
    return NULL;
}

pnx_status pnx_container_limits_set(const pnx_container_limits *limits,
                                    pnx_container_config *config, json_t **ret_body, pnx_error *err)
{
    if (!(limits->cpus >= 0 && limits->cpus <= 1e6))
        return pnx_fail(err, PNX_EINVAL, "cpus: %g is no number of processors", limits->cpus);
    if (limits->memory_max > INT64_MAX || limits->disk_max > INT64_MAX)
        return pnx_fail(err, PNX_EINVAL, "%s_max: it is too large",
                        limits->memory_max > INT64_MAX ? "memory" : "disk");
    if (limits->pids_max < 0)
        return pnx_fail(err, PNX_EINVAL, "pids_max: it is negative");
    if (limits->disk_max && !ret_body)
        return pnx_fail(err, PNX_EINVAL, "disk_max: it needs a body: give a place for it");
    json_t *body = NULL;
    if (limits->disk_max) {
        body = with_disk_limit(config->body, limits->disk_max);
        if (!body)
            return pnx__docker_no_memory(err);
        config->body = body;
    }
    config->memory_max = limits->memory_max;
    config->cpus = limits->cpus;
    config->pids_max = limits->pids_max;
    if (ret_body)
        *ret_body = body;
    return PNX_OK;
}

/* ---- looking --------------------------------------------------------------------------------- */

static uint64_t number(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}

/* "10485760", or as people write it: "10m". */
static uint64_t bytes_of(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    static const char units[] = "kmgt";
    const char *unit = *end ? strchr(units, *end | 0x20) : NULL;
    return unit ? value << (10 * (unsigned)(unit - units + 1)) : value;
}

/* Of what is not told in billionths, as Podman has it: a quota of a period. */
static uint64_t cpu_of(const json_t *host)
{
    uint64_t nano = number(host, "NanoCpus"), period = number(host, "CpuPeriod");
    if (nano)
        return nano / 1000000;
    return period ? number(host, "CpuQuota") * 1000 / period : 0;
}

void pnx__limits_of(const json_t *about, uint64_t ret[PNX_USAGE_TYPE_COUNT])
{
    const json_t *host = json_object_get(about, "HostConfig");
    ret[PNX_USAGE_MEMORY] = number(host, "Memory");
    ret[PNX_USAGE_CPU] = cpu_of(host);
    ret[PNX_USAGE_PIDS] = number(host, "PidsLimit");
    ret[PNX_USAGE_DISK] =
        bytes_of(pnx__docker_json_text(json_object_get(host, "StorageOpt"), "size"));
    ret[PNX_USAGE_CPU_TIME] = 0;
}

/* The kernel counts memory in pages, and time in microseconds. */
static bool is_about(uint64_t wanted, uint64_t seen, pnx_usage_type type)
{
    uint64_t slack = type == PNX_USAGE_MEMORY ? 65536 : type == PNX_USAGE_CPU ? 1 : 0;
    return seen && seen + slack >= wanted && seen <= wanted + slack;
}

static pnx_status judge(pnx_usage_type type, const pnx_limit_seen *seen, pnx_error *err)
{
    const char *name = pnx_usage_type_name(type);
    if (seen->wanted == 0)
        return PNX_OK;
    if (!is_about(seen->wanted, seen->engine, type))
        return pnx_fail(err, PNX_EFAILED,
                        "the limit of %s is not set: %llu wanted, the engine has "
                        "%llu",
                        name, (unsigned long long)seen->wanted, (unsigned long long)seen->engine);
    if (seen->visible && type != PNX_USAGE_DISK && !is_about(seen->wanted, seen->kernel, type))
        return pnx_fail(err, PNX_EFAILED,
                        "the limit of %s is not set: %llu wanted, the kernel has "
                        "%llu",
                        name, (unsigned long long)seen->wanted, (unsigned long long)seen->kernel);
    return PNX_OK;
}

pnx_status pnx_container_limits_verify(pnx_engine *engine, const char *container,
                                       const pnx_container_limits *limits, const pnx_call *call,
                                       pnx_limit_seen *ret, pnx_error *err)
{
    json_t *about;
    struct pnx__kernel kernel;
    uint64_t set[PNX_USAGE_TYPE_COUNT];
    pnx_limit_seen seen[PNX_USAGE_TYPE_COUNT] = {0};
    pnx_status status = pnx_engine_inspect(engine, PNX_CONTAINER, container, call, &about, err);
    if (status != PNX_OK)
        return status;
    pnx__limits_of(about, set);
    pnx__kernel_look(about, &kernel);
    json_decref(about);
    const uint64_t wanted[PNX_USAGE_TYPE_COUNT] = {limits->memory_max,
                                                   (uint64_t)(limits->cpus * 1000 + 0.5),
                                                   (uint64_t)limits->pids_max, limits->disk_max, 0};
    const uint64_t has[PNX_USAGE_TYPE_COUNT] = {kernel.memory_max, kernel.cpu_max, kernel.pids_max,
                                                0, 0};
    for (int i = 0; i < PNX_USAGE_TYPE_COUNT; i++) {
        seen[i] =
            (pnx_limit_seen){wanted[i], set[i], has[i], kernel.visible && i <= PNX_USAGE_PIDS};
        if (status == PNX_OK)
            status = judge((pnx_usage_type)i, &seen[i], err);
    }
    if (ret)
        memcpy(ret, seen, sizeof seen);
    return status;
}
