/* SPDX-License-Identifier: MIT */
/* From configurations to objects: the bodies of the requests that will make them. */
#include "docker/calls.h"
#include "docker/labels.h"
#include "docker/object.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* A body that is being filled. What fails, fails for lack of memory, and is remembered. */
struct filling {
    json_t *body;
    bool failed;
};

static void set(struct filling *to, json_t *object, const char *key, json_t *value)
{
    to->failed |= json_object_set_new(object, key, value) != 0;
}

static void set_text(struct filling *to, json_t *object, const char *key, const char *text)
{
    if (text)
        set(to, object, key, json_string(text));
}

static void set_texts(struct filling *to, json_t *object, const char *key, const char *const *texts)
{
    if (texts)
        set(to, object, key, pnx__docker_json_texts(texts));
}

static void set_true(struct filling *to, json_t *object, const char *key, bool value)
{
    if (value)
        set(to, object, key, json_true());
}

static void set_number(struct filling *to, json_t *object, const char *key, int64_t number)
{
    if (number)
        set(to, object, key, json_integer(number));
}

/* The object at `key`, made if need be. */
static json_t *inner(struct filling *to, json_t *object, const char *key)
{
    json_t *found = json_object_get(object, key);
    if (json_is_object(found))
        return found;
    set(to, object, key, json_object());
    return json_object_get(object, key);
}

pnx_status pnx__docker_pairs(const char *what, const char *const *texts, json_t *ret,
                             pnx_error *err)
{
    for (; texts && *texts; texts++) {
        const char *equals = strchr(*texts, '=');
        if (!equals || equals == *texts)
            return pnx_fail(err, PNX_EINVAL, "%s: '%s' is not key=value", what, *texts);
        char *key = strndup(*texts, (size_t)(equals - *texts));
        if (!key)
            return pnx__docker_no_memory(err);
        int failed = json_object_set_new(ret, key, json_string(equals + 1));
        free(key);
        if (failed)
            return pnx_fail(err, PNX_EINVAL, "%s: '%s' is not UTF-8", what, *texts);
    }
    return PNX_OK;
}

/* ---- all sorts ------------------------------------------------------------------------------- */

static pnx_status put_labels(const pnx_object *object, const char *const *labels, json_t *into,
                             pnx_error *err)
{
    pnx_status status = pnx__docker_pairs("labels", labels, into, err);
    return status == PNX_OK ? pnx_engine_label(object->engine, object->type, object->keep,
                                               object->mark, into, err)
                            : status;
}

/* A body from what the caller gave of it, with name and labels. */
static pnx_status begin(pnx_object *object, const json_t *given, const char *const *labels,
                        struct filling *to, pnx_error *err)
{
    if (given && !json_is_object(given))
        return pnx_fail(err, PNX_EINVAL, "body: it is no JSON object");
    to->body = object->body = given ? json_deep_copy(given) : json_object();
    json_t *all = to->body ? inner(to, to->body, "Labels") : NULL;
    return all ? put_labels(object, labels, all, err) : pnx__docker_no_memory(err);
}

/* The object is given to the caller, or freed. */
static pnx_status finish(pnx_object *object, pnx_status status, const struct filling *to,
                         pnx_object **ret, pnx_error *err)
{
    if (status == PNX_OK && to->failed)
        status = pnx_fail(err, PNX_EINVAL, "a text in the configuration of %s is not UTF-8",
                          object->name);
    if (status != PNX_OK) {
        pnx_object_free(object);
        return status;
    }
    *ret = object;
    return PNX_OK;
}

pnx_status pnx_network_new(pnx_engine *engine, const pnx_network_config *config, pnx_object **ret,
                           pnx_error *err)
{
    pnx_object *object;
    struct filling to = {0};
    pnx_status status =
        pnx__docker_object_make(engine, PNX_NETWORK, config->name, config->keep, &object, err);
    if (status != PNX_OK)
        return status;
    status = begin(object, config->body, config->labels, &to, err);
    if (status == PNX_OK) {
        set_text(&to, to.body, "Name", object->name);
        set_text(&to, to.body, "Driver", config->driver);
        set_true(&to, to.body, "Internal", config->internal);
        set_true(&to, to.body, "CheckDuplicate", true); /* before 1.44 names need not differ */
    }
    return finish(object, status, &to, ret, err);
}

pnx_status pnx_volume_new(pnx_engine *engine, const pnx_volume_config *config, pnx_object **ret,
                          pnx_error *err)
{
    pnx_object *object;
    struct filling to = {0};
    pnx_status status =
        pnx__docker_object_make(engine, PNX_VOLUME, config->name, config->keep, &object, err);
    if (status != PNX_OK)
        return status;
    status = begin(object, config->body, config->labels, &to, err);
    if (status == PNX_OK) {
        set_text(&to, to.body, "Name", object->name);
        set_text(&to, to.body, "Driver", config->driver);
        json_t *options = config->driver_options ? inner(&to, to.body, "DriverOpts") : NULL;
        status = pnx__docker_pairs("driver_options", config->driver_options, options, err);
    }
    return finish(object, status, &to, ret, err);
}

/* ---- images ---------------------------------------------------------------------------------- */

static pnx_status fill_image(pnx_object *object, const pnx_image_config *config, pnx_error *err)
{
    struct pnx__image *image = &object->image;
    const char *from = config->import    ? config->import
                       : config->context ? config->context
                                         : config->container;
    image->source = config->import    ? PNX__IMAGE_IMPORT
                    : config->context ? PNX__IMAGE_BUILD
                                      : PNX__IMAGE_COMMIT;
    image->name = strdup(config->name ? config->name : "");
    image->from = strdup(from);
    image->dockerfile = strdup(config->dockerfile ? config->dockerfile : "Dockerfile");
    image->arguments = json_object();
    image->labels = json_object();
    image->changes = pnx__docker_json_texts(config->changes);
    image->log = config->log;
    image->log_context = config->log_context;
    if (!image->name || !image->from || !image->dockerfile || !image->arguments || !image->labels ||
        !image->changes)
        return pnx__docker_no_memory(err);
    pnx_status status = pnx__docker_pairs("arguments", config->arguments, image->arguments, err);
    return status == PNX_OK ? put_labels(object, config->labels, image->labels, err) : status;
}

pnx_status pnx_image_new(pnx_engine *engine, const pnx_image_config *config, pnx_object **ret,
                         pnx_error *err)
{
    pnx_object *object;
    int sources = !!config->import + !!config->context + !!config->container;
    if (sources != 1)
        return pnx_fail(err, PNX_EINVAL,
                        "an image is made from one of import, context and container, not of %d",
                        sources);
    pnx_status status = pnx__docker_object_make(engine, PNX_IMAGE, config->name ? config->name : "",
                                                config->keep, &object, err);
    if (status != PNX_OK)
        return status;
    status = fill_image(object, config, err);
    return finish(object, status, &(struct filling){0}, ret, err);
}

/* ---- containers ------------------------------------------------------------------------------ */

static void fill_limits(struct filling *to, const pnx_container_config *config, json_t *host)
{
    if (config->memory_max) {
        set_number(to, host, "Memory", (int64_t)config->memory_max);
        set_number(to, host, "MemorySwap", (int64_t)config->memory_max);
    }
    set_number(to, host, "NanoCpus", (int64_t)(config->cpus * 1e9));
    set_number(to, host, "PidsLimit", config->pids_max);
    set_text(to, host, "CgroupParent", config->cgroup_parent);
}

static void fill_rights(struct filling *to, const pnx_container_config *config, json_t *host)
{
    set_true(to, host, "ReadonlyRootfs", config->read_only);
    set_texts(to, host, "CapAdd", config->cap_add);
    set_texts(to, host, "CapDrop", config->cap_drop);
    set_texts(to, host, "SecurityOpt", config->security_opts);
    /* Also over what a given body may say. */
    set(to, host, "Privileged", json_boolean(config->privileged));
}

static void fill_ports(struct filling *to, const pnx_container_config *config, json_t *host)
{
    json_t *exposed = config->port_count ? inner(to, to->body, "ExposedPorts") : NULL;
    json_t *bindings = config->port_count ? inner(to, host, "PortBindings") : NULL;
    for (size_t i = 0; i < config->port_count; i++) {
        const pnx_port *port = &config->ports[i];
        char key[16], number[8] = "";
        snprintf(key, sizeof key, "%u/%s", port->port, port->udp ? "udp" : "tcp");
        if (port->host_port)
            snprintf(number, sizeof number, "%u", port->host_port);
        set(to, exposed, key, json_object());
        set(to, bindings, key,
            json_pack("[{s:s, s:s}]", "HostIp", port->host_ip ? port->host_ip : "127.0.0.1",
                      "HostPort", number));
    }
}

static json_t *mount_json(const pnx_mount *mount)
{
    static const char *const types[] = {
        [PNX_MOUNT_BIND] = "bind", [PNX_MOUNT_VOLUME] = "volume", [PNX_MOUNT_TMPFS] = "tmpfs"};
    json_t *json = json_pack("{s:s, s:s, s:b}", "Type", types[mount->type], "Target", mount->target,
                             "ReadOnly", (int)mount->read_only);
    int failed = !json;
    if (mount->source)
        failed |= json_object_set_new(json, "Source", json_string(mount->source));
    if (mount->size)
        /* With a size and no mode, Podman takes 0 for the mode. */
        failed |= json_object_set_new(
            json, "TmpfsOptions",
            json_pack("{s:I, s:i}", "SizeBytes", (json_int_t)mount->size, "Mode", 01777));
    if (!failed)
        return json;
    json_decref(json);
    return NULL;
}

static pnx_status fill_mounts(struct filling *to, const pnx_container_config *config, json_t *host,
                              pnx_error *err)
{
    if (config->mount_count == 0)
        return PNX_OK;
    if (!json_is_array(json_object_get(host, "Mounts")))
        set(to, host, "Mounts", json_array());
    json_t *mounts = json_object_get(host, "Mounts");
    for (size_t i = 0; i < config->mount_count; i++) {
        const pnx_mount *mount = &config->mounts[i];
        if ((unsigned)mount->type > PNX_MOUNT_TMPFS || !mount->target || mount->target[0] != '/')
            return pnx_fail(err, PNX_EINVAL, "mounts: number %zu has no type or no absolute target",
                            i);
        if (mount->type == PNX_MOUNT_BIND && !mount->source)
            return pnx_fail(err, PNX_EINVAL, "mounts: the bind mount at %s has no source",
                            mount->target);
        to->failed |= json_array_append_new(mounts, mount_json(mount)) != 0;
    }
    return PNX_OK;
}

static void fill_network(struct filling *to, const pnx_container_config *config, json_t *host)
{
    if (!config->network)
        return;
    set_text(to, host, "NetworkMode", config->network);
    if (!config->aliases)
        return;
    json_t *all = inner(to, inner(to, to->body, "NetworkingConfig"), "EndpointsConfig");
    set(to, all, config->network,
        json_pack("{s:o}", "Aliases", pnx__docker_json_texts(config->aliases)));
}

static void fill_health(struct filling *to, const pnx_health_check *health)
{
    if (!health->argv && !health->shell)
        return;
    json_t *test =
        health->argv ? pnx__docker_json_texts(health->argv) : json_pack("[s]", health->shell);
    to->failed |=
        json_array_insert_new(test, 0, json_string(health->argv ? "CMD" : "CMD-SHELL")) != 0;
    json_t *check = inner(to, to->body, "Healthcheck");
    set(to, check, "Test", test);
    set_number(to, check, "Interval", health->interval);
    set_number(to, check, "Timeout", health->timeout);
    set_number(to, check, "StartPeriod", health->start_period);
    set_number(to, check, "Retries", health->retries);
}

static pnx_status fill_container(struct filling *to, const pnx_container_config *config,
                                 pnx_error *err)
{
    json_t *body = to->body, *host = inner(to, body, "HostConfig");
    set_text(to, body, "Image", config->image);
    set_texts(to, body, "Cmd", config->command);
    set_texts(to, body, "Entrypoint", config->entrypoint);
    set_texts(to, body, "Env", config->environment);
    set_text(to, body, "User", config->user);
    set_text(to, body, "WorkingDir", config->workdir);
    set_text(to, body, "Hostname", config->hostname);
    set_text(to, body, "StopSignal", config->stop_signal);
    set_true(to, body, "Tty", config->tty);
    set_true(to, host, "Init", config->init);
    /* It is removed by us, after its logs were read; and what is killed must not come back. */
    set(to, host, "AutoRemove", json_false());
    set(to, host, "RestartPolicy", json_object());
    fill_limits(to, config, host);
    fill_rights(to, config, host);
    fill_ports(to, config, host);
    fill_network(to, config, host);
    fill_health(to, &config->health);
    return fill_mounts(to, config, host, err);
}

static pnx_status check_container(const pnx_container_config *config, pnx_error *err)
{
    if (!config->image && !json_object_get(config->body, "Image"))
        return pnx_fail(err, PNX_EINVAL, "image: a container needs one");
    if (!(config->cpus >= 0 && config->cpus <= 1e6))
        return pnx_fail(err, PNX_EINVAL, "cpus: %g is no number of processors", config->cpus);
    if (config->memory_max > INT64_MAX)
        return pnx_fail(err, PNX_EINVAL, "memory_max: it is too large");
    if (config->aliases && !config->network)
        return pnx_fail(err, PNX_EINVAL, "aliases: they are of a network, and there is none");
    return PNX_OK;
}

pnx_status pnx_container_new(pnx_engine *engine, const pnx_container_config *config,
                             pnx_object **ret, pnx_error *err)
{
    pnx_object *object;
    struct filling to = {0};
    pnx_status status = check_container(config, err);
    if (status == PNX_OK)
        status = pnx__docker_object_make(engine, PNX_CONTAINER, config->name, config->keep, &object,
                                         err);
    if (status != PNX_OK)
        return status;
    object->grace = config->grace;
    status = begin(object, config->body, config->labels, &to, err);
    if (status == PNX_OK)
        status = fill_container(&to, config, err);
    return finish(object, status, &to, ret, err);
}
