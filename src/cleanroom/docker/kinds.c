/* SPDX-License-Identifier: MIT */
/* What a container has that must go with it, and the kinds. */
#include "docker/calls.h"
#include "docker/labels.h"
#include "docker/object.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- volumes --------------------------------------------------------------------------------- */

/* The engine gives an anonymous volume 64 hexadecimal digits for a name. */
static bool is_anonymous(const char *name)
{
    return strlen(name) == 64 && strspn(name, "0123456789abcdef") == 64;
}

/* A volume that was asked for by name is not the container's own, whatever it is called. What was
 * asked for is in the request, if it was ours; else in what Docker says. Podman says the same of
 * both sorts, so of a container that somebody else made there, no volume is held to be its own. */
static bool is_asked_for(const pnx_object *object, const json_t *about, const char *name)
{
    const json_t *host = json_object_get(object->body ? object->body : about, "HostConfig");
    if (!object->body && pnx_engine_kind_of(object->engine) == PNX_ENGINE_PODMAN)
        return true;
    size_t i;
    const json_t *one;
    json_array_foreach(json_object_get(host, "Mounts"), i, one)
    {
        if (strcmp(pnx__docker_json_text(one, "Source"), name) == 0)
            return true;
    }
    json_array_foreach(json_object_get(host, "Binds"), i, one)
    {
        const char *bind = json_string_value(one);
        if (bind && strncmp(bind, name, strlen(name)) == 0 && bind[strlen(name)] == ':')
            return true;
    }
    /* Then it may be another container's. */
    return json_array_size(json_object_get(host, "VolumesFrom")) > 0;
}

static void note_volumes(pnx_object *object, const json_t *about)
{
    json_t *volumes = json_array();
    size_t i;
    const json_t *mount;
    json_array_foreach(json_object_get(about, "Mounts"), i, mount)
    {
        const char *name = pnx__docker_json_text(mount, "Name");
        if (strcmp(pnx__docker_json_text(mount, "Type"), "volume") == 0 && is_anonymous(name) &&
            !is_asked_for(object, about, name))
            (void)json_array_append_new(volumes, json_string(name));
    }
    if (!volumes)
        return;
    json_decref(object->volumes);
    object->volumes = volumes;
}

/* ---- the process ----------------------------------------------------------------------------- */

/* Does the cgroup of this process name the container? If not, the engine speaks of a process in
 * another pid namespace or on another machine, and who has that number here is nobody we know. */
static bool is_in_container(int64_t pid, const char *id)
{
    char path[48], text[8192];
    snprintf(path, sizeof path, "/proc/%lld/cgroup", (long long)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = '\0';
    return strstr(text, id) != NULL;
}

static void note_process(pnx_object *object, const json_t *about)
{
    int64_t pid = json_integer_value(json_object_get(json_object_get(about, "State"), "Pid"));
    if (pid <= 0)
        return;
    uint64_t start = pnx__docker_process_start(pid);
    if (start == 0 || !is_in_container(pid, object->id))
        return;
    object->pid = pid;
    object->pid_start = start;
}

bool pnx__docker_object_lives(const pnx_object *object)
{
    return object->pid > 0 && pnx__docker_process_start(object->pid) == object->pid_start;
}

void pnx__docker_object_note(pnx_object *object, const json_t *about)
{
    note_volumes(object, about);
    note_process(object, about);
}

/* ---- kinds ----------------------------------------------------------------------------------- */

/* What is in use waits for another release, of the container that uses it; it must not keep the
 * worker from that one for longer. The registry's retries wait outside of the workers. */
#define BUSY_IN_A_WORKER PNX_MS(20)

pnx_status pnx__docker_object_release(pnx_object *object, const pnx_call *call, pnx_error *err)
{
    struct pnx__limit limit = pnx__docker_limit_of(object->engine, call);
    pnx_time busy_until = pnx_time_after(pnx_monotonic_now(), BUSY_IN_A_WORKER);
    return pnx__docker_object_remove(object, &limit, busy_until, err);
}

static pnx_status release_object(void *value, const pnx_release *why)
{
    pnx_object *object;
    memcpy(&object, value, sizeof object);
    /* A little early, so that it is not declared late while it is still able to tell. By how long
     * it is: the registry may have another clock. */
    pnx_time deadline = PNX_FOREVER;
    if (why->deadline != PNX_FOREVER) {
        pnx_duration left = why->deadline - pnx_registry_now(why->registry);
        deadline = pnx_time_after(pnx_monotonic_now(), left - left / 16);
    }
    pnx_status status = pnx__docker_object_release(object, &(pnx_call){.deadline = deadline}, NULL);
    if (status == PNX_OK)
        pnx_object_free(object);
    return status;
}

static int describe_object(const void *value, char *buffer, size_t size)
{
    const pnx_object *object;
    memcpy(&object, value, sizeof object);
    return snprintf(buffer, size, "%s %s (%.12s)", pnx_object_type_name(object->type), object->name,
                    strncmp(object->id, "sha256:", 7) == 0 ? object->id + 7 : object->id);
}

/* An engine removes in tens to hundreds of milliseconds, and slower the more it has to do; a
 * container that is given grace takes that too. With these pauses what is in use is waited for half
 * a minute. */
#define OBJECT_KIND(NAME, PRIORITY)                                                                \
    const pnx_kind pnx_kind_##NAME = {                                                             \
        .name = #NAME,                                                                             \
        .priority = (PRIORITY),                                                                    \
        .flags = PNX_BLOCKING,                                                                     \
        .timeout = PNX_S(60),                                                                      \
        .retries = 30,                                                                             \
        .retry_delay = PNX_MS(20),                                                                 \
        .retry_delay_max = PNX_S(1),                                                               \
        .value_size = sizeof(pnx_object *),                                                        \
        .describe = (void (*)(void))describe_object,                                               \
        .release = release_object,                                                                 \
        .run_describe = describe_object,                                                           \
    }

OBJECT_KIND(container, PNX_HIGH);
OBJECT_KIND(network, PNX_NORMAL);
OBJECT_KIND(volume, PNX_LOW);
OBJECT_KIND(image, PNX_LOW);
