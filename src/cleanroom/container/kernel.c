/* SPDX-License-Identifier: MIT */
/*
 * The container's cgroup, by its process: in both hierarchies, for which the files have other
 * names. A number that a file does not have, or that is no limit, is 0.
 */
#include "container/kernel.h"

#include "docker/calls.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOT "/sys/fs/cgroup"
/* v1 says "no limit" by the largest number of whole pages; nobody has an exbibyte. */
#define NO_LIMIT ((uint64_t)1 << 60)

static size_t read_file(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    size_t length = fread(text, 1, size - 1, file);
    fclose(file);
    text[length] = '\0';
    return length;
}

/* The cgroup of `controller` in /proc/PID/cgroup: "4:memory:/path", or "0::/path" for v2. */
static bool path_of(const char *lines, const char *controller, char *ret, size_t size)
{
    for (const char *line = lines; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        const char *names = strchr(line, ':');
        const char *path = names ? strchr(names + 1, ':') : NULL;
        if (!path)
            return false;
        size_t length = (size_t)(path - names - 1), wanted = strlen(controller);
        const char *found = memmem(names + 1, length, controller, wanted);
        bool is_it = wanted == 0 ? length == 0
                                 : found && (found == names + 1 || found[-1] == ',') &&
                                       (found[wanted] == ',' || found[wanted] == ':');
        if (!is_it)
            continue;
        path++;
        int written = snprintf(ret, size, "%s%s%s%.*s", ROOT, wanted ? "/" : "", controller,
                               (int)strcspn(path, "\n"), path);
        return written > 0 && (size_t)written < size;
    }
    return false;
}

/* The number that the file has alone, or after `key` on a line. */
static uint64_t number_in(const char *directory, const char *file, const char *key)
{
    char path[768], text[4096];
    snprintf(path, sizeof path, "%s/%s", directory, file);
    if (read_file(path, text, sizeof text) == 0)
        return 0;
    const char *at = text;
    if (key) {
        size_t length = strlen(key);
        while (at && (strncmp(at, key, length) != 0 || at[length] != ' ')) {
            at = strchr(at, '\n');
            at += at != NULL;
        }
        if (!at)
            return 0;
        at += length;
    }
    uint64_t number = strtoull(at, NULL, 10); /* of "max" and "-1": none */
    return at[0] == '-' || number >= NO_LIMIT ? 0 : number;
}

static uint64_t thousandths(uint64_t quota, uint64_t period)
{
    return period ? quota * 1000 / period : 0;
}

/* As the engine counts it. */
static uint64_t without_cache(const char *directory, const char *usage_file, const char *key)
{
    uint64_t usage = number_in(directory, usage_file, NULL);
    uint64_t cache = number_in(directory, "memory.stat", key);
    return usage > cache ? usage - cache : usage;
}

/* Each controller has a tree of its own. */
static void look_v1(const char *lines, struct pnx__kernel *ret)
{
    char at[512];
    if (path_of(lines, "memory", at, sizeof at)) {
        ret->memory_max = number_in(at, "memory.limit_in_bytes", NULL);
        ret->memory_peak = number_in(at, "memory.max_usage_in_bytes", NULL);
        ret->oom = number_in(at, "memory.oom_control", "oom_kill");
        ret->memory = without_cache(at, "memory.usage_in_bytes", "total_inactive_file");
    }
    if (path_of(lines, "cpuacct", at, sizeof at))
        ret->cpu = number_in(at, "cpuacct.usage", NULL);
    if (path_of(lines, "cpu", at, sizeof at))
        ret->cpu_max = thousandths(number_in(at, "cpu.cfs_quota_us", NULL),
                                   number_in(at, "cpu.cfs_period_us", NULL));
    if (path_of(lines, "pids", at, sizeof at)) {
        ret->pids_max = number_in(at, "pids.max", NULL);
        ret->pids = number_in(at, "pids.current", NULL);
        ret->refused = number_in(at, "pids.events", "max");
    }
}

static uint64_t cpu_max_v2(const char *directory)
{
    char path[768], text[64];
    uint64_t quota, period;
    snprintf(path, sizeof path, "%s/cpu.max", directory);
    return read_file(path, text, sizeof text) &&
                   /* NOLINTNEXTLINE(cert-err34-c): the kernel's own */
                   sscanf(text, "%" SCNu64 " %" SCNu64, &quota, &period) == 2
               ? thousandths(quota, period)
               : 0;
}

static void look_v2(const char *at, struct pnx__kernel *ret)
{
    ret->memory_max = number_in(at, "memory.max", NULL);
    ret->memory_peak = number_in(at, "memory.peak", NULL);
    ret->oom = number_in(at, "memory.events", "oom_kill");
    ret->memory = without_cache(at, "memory.current", "inactive_file");
    ret->cpu_max = cpu_max_v2(at);
    ret->cpu = number_in(at, "cpu.stat", "usage_usec") * 1000;
    ret->pids = number_in(at, "pids.current", NULL);
    ret->pids_max = number_in(at, "pids.max", NULL);
    ret->refused = number_in(at, "pids.events", "max");
}

/* It is the container's, and not one of that name in another place. */
static bool has_processes(const char *directory)
{
    return number_in(directory, "cgroup.procs", NULL) > 0;
}

void pnx__kernel_look(const json_t *about, struct pnx__kernel *ret)
{
    char path[64], lines[8192], at[512];
    json_int_t pid = json_integer_value(json_object_get(json_object_get(about, "State"), "Pid"));
    const char *id = pnx__docker_json_text(about, "Id");
    *ret = (struct pnx__kernel){0};
    if (pid <= 0 || !*id)
        return;
    snprintf(path, sizeof path, "/proc/%lld/cgroup", (long long)pid);
    /* If it does not name the container, that number is another process here. */
    if (read_file(path, lines, sizeof lines) == 0 || !strstr(lines, id))
        return;
    if (path_of(lines, "memory", at, sizeof at)) {
        ret->visible = has_processes(at);
        look_v1(lines, ret);
    } else if (path_of(lines, "", at, sizeof at)) {
        ret->visible = has_processes(at);
        look_v2(at, ret);
    }
}
