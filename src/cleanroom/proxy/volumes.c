/* SPDX-License-Identifier: MIT */
#include "proxy/volumes.h"

#include "docker/calls.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define PATIENCE PNX_S(20)

/* ---- before a container ---------------------------------------------------------------------- */

/* Engines do not look at the case of keys. */
static const json_t *get(const json_t *object, const char *key)
{
    const char *own;
    json_t *value;
    json_object_foreach((json_t *)object, own, value)
    {
        if (strcasecmp(own, key) == 0)
            return value;
    }
    return NULL;
}

/* Of a volume, not a path. */
static bool is_name(const char *text, size_t size)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    if (size < 2 || size > 255 || !strchr(first, text[0]))
        return false;
    for (size_t i = 0; i < size; i++)
        if (!text[i] || (!strchr(first, text[i]) && !strchr("_.-", text[i])))
            return false;
    return true;
}

static json_t *named(const char *name, size_t size, const json_t *driver, const json_t *options,
                     const json_t *labels)
{
    json_t *request = json_pack("{s:s%}", "Name", name, size);
    if (json_is_string(driver))
        (void)json_object_set(request, "Driver", (json_t *)driver);
    if (json_is_object(options))
        (void)json_object_set(request, "DriverOpts", (json_t *)options);
    (void)json_object_set_new(request, "Labels",
                              json_is_object(labels) ? json_deep_copy(labels) : json_object());
    return request;
}

/* "name:/path", "name:/path:ro" */
static void gather_binds(const json_t *binds, const json_t *driver, json_t *ret)
{
    size_t i;
    const json_t *one;
    json_array_foreach(binds, i, one)
    {
        const char *text = json_string_value(one), *colon = text ? strchr(text, ':') : NULL;
        if (colon && is_name(text, (size_t)(colon - text)))
            (void)json_array_append_new(ret,
                                        named(text, (size_t)(colon - text), driver, NULL, NULL));
    }
}

static void gather_mounts(const json_t *mounts, json_t *ret)
{
    size_t i;
    const json_t *one;
    json_array_foreach(mounts, i, one)
    {
        const char *type = json_string_value(get(one, "Type"));
        const char *source = json_string_value(get(one, "Source"));
        const json_t *options = get(one, "VolumeOptions");
        const json_t *driver = get(options, "DriverConfig");
        if (type && source && strcmp(type, "volume") == 0 && is_name(source, strlen(source)))
            (void)json_array_append_new(ret, named(source, strlen(source), get(driver, "Name"),
                                                   get(driver, "Options"), get(options, "Labels")));
    }
}

/* Podman's own: {"Name": …, "Dest": …} */
static void gather_volumes(const json_t *volumes, json_t *ret)
{
    size_t i;
    const json_t *one;
    json_array_foreach(volumes, i, one)
    {
        const char *name = json_string_value(get(one, "Name"));
        if (name && is_name(name, strlen(name)))
            (void)json_array_append_new(ret, named(name, strlen(name), NULL, NULL, NULL));
    }
}

/* Is it new, and ours? */
static bool make(pnx_engine *engine, struct pnx__record *record, pnx_keep keep, json_t *request)
{
    const pnx_call call = pnx_call_within(PATIENCE);
    json_t *labels = json_object_get(request, "Labels"), *answer = NULL;
    const char *name = pnx__docker_json_text(request, "Name");
    uint32_t token;
    if (pnx_engine_label(engine, PNX_VOLUME, keep, NULL, labels, NULL) != PNX_OK)
        return false;
    const char *mark = pnx__docker_json_text(labels, PNX_LABEL_ID);
    if (pnx__record_intend(record, PNX_VOLUME, mark, name, &token, NULL) != PNX_OK)
        return false;
    pnx_status status =
        pnx_engine_request(engine, "POST", "/volumes/create", request, &call, &answer, NULL);
    bool new =
        status ==
        PNX_OK &&strcmp(pnx__docker_json_text(json_object_get(answer, "Labels"), PNX_LABEL_ID),
                        mark) == 0;
    json_decref(answer);
    /* An intent that stays is looked for by its mark. */
    pnx_status written = new ? pnx__record_bind(record, token, name, NULL)
                         : status == PNX_OK || status == PNX_EBUSY || status == PNX_EINVAL
                             ? pnx__record_gone(record, token, "existed before", NULL)
                             : PNX_OK;
    (void)written;
    return new;
}

/* Most exist: from `docker volume create`, or from a container before. That is asked for first, for
 * it is a read, while a creation is written down. */
static bool exists(pnx_engine *engine, const char *name)
{
    const pnx_call call = pnx_call_within(PATIENCE);
    json_t *about = NULL;
    bool there = pnx_engine_inspect(engine, PNX_VOLUME, name, &call, &about, NULL) == PNX_OK;
    json_decref(about);
    return there;
}

void pnx__volumes_make(pnx_engine *engine, struct pnx__record *record, pnx_keep keep,
                       const char *body, size_t size, json_t *ret_made)
{
    json_t *json = json_loadb(body, size, JSON_ALLOW_NUL, NULL), *wanted = json_array(), *one;
    const json_t *host = get(json, "HostConfig");
    size_t i;
    gather_binds(get(host, "Binds"), get(host, "VolumeDriver"), wanted);
    gather_mounts(get(host, "Mounts"), wanted);
    gather_volumes(get(json, "volumes"), wanted);
    json_array_foreach(wanted, i, one)
    {
        const char *name = pnx__docker_json_text(one, "Name");
        if (!exists(engine, name) && make(engine, record, keep, one))
            (void)json_array_append_new(ret_made, json_string(name));
    }
    json_decref(wanted);
    json_decref(json);
}

/* ---- after a container ----------------------------------------------------------------------- */

static bool is_asked_for(const json_t *host, const char *name)
{
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

static void record_one(struct pnx__record *record, const char *name, const char *container)
{
    uint32_t token;
    if (pnx__record_intend(record, PNX_VOLUME, PNX__RECORD_ANONYMOUS, container, &token, NULL) ==
        PNX_OK)
        (void)!pnx__record_bind(record, token, name, NULL);
}

void pnx__volumes_record(pnx_engine *engine, struct pnx__record *record, const json_t *about)
{
    const json_t *host = json_object_get(about, "HostConfig"), *mount;
    size_t i;
    /* Podman says the same of both sorts. */
    if (pnx_engine_kind_of(engine) == PNX_ENGINE_PODMAN)
        return;
    json_array_foreach(json_object_get(about, "Mounts"), i, mount)
    {
        const char *name = pnx__docker_json_text(mount, "Name");
        bool anonymous = strlen(name) == 64 && strspn(name, "0123456789abcdef") == 64;
        if (strcmp(pnx__docker_json_text(mount, "Type"), "volume") == 0 && anonymous &&
            !is_asked_for(host, name))
            record_one(record, name, pnx__docker_json_text(about, "Id"));
    }
}
