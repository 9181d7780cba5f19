/* SPDX-License-Identifier: MIT */
/* How the ports of a service are reached from here, and the variables that say so. */
#include "environment/internal.h"

#include "docker/calls.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* ---- variables ------------------------------------------------------------------------------- */

static void add_variable(pnx_service *service, const char *name, const char *value)
{
    pnx_environment *environment = service->environment;
    struct pnx__variable *variable = pnx__arena_take(&service->memory, sizeof *variable);
    if (!variable || !name || !value)
        return; /* the arena remembers */
    variable->of = service;
    variable->name = name;
    variable->value = value;
    pthread_mutex_lock(&environment->mutex);
    variable->next = environment->variables;
    environment->variables = variable;
    pthread_mutex_unlock(&environment->mutex);
}

static void add_variables(pnx_service *service)
{
    struct pnx__arena *memory = &service->memory;
    char prefix[PNX__SERVICE_NAME_MAX + 1];
    pnx__variable_prefix(service->name, prefix);
    for (size_t i = service->port_count; i-- > 0;) {
        const struct pnx__address_of_port *port = &service->ports[i];
        const char *there = pnx__arena_format(memory, "%u", port->there);
        add_variable(
            service,
            pnx__arena_format(memory, "%s_PORT_%u%s", prefix, port->port, port->udp ? "_UDP" : ""),
            there);
        if (i == 0)
            add_variable(service, pnx__arena_format(memory, "%s_PORT", prefix), there);
    }
    if (service->host[0])
        add_variable(service, pnx__arena_format(memory, "%s_HOST", prefix),
                     pnx__arena_text(memory, service->host));
    add_variable(service, pnx__arena_format(memory, "%s_CONTAINER", prefix), service->id);
}

/* ---- addresses ------------------------------------------------------------------------------- */

/* The machine of an engine that is spoken to by TCP: there its ports are published. */
static void engine_host(const pnx_engine *engine, char host[64])
{
    snprintf(host, 64, "127.0.0.1");
    if (strncmp(engine->at.host, "tcp://", 6) != 0)
        return;
    const char *name = engine->at.host + 6;
    bool bracketed = *name == '[';
    snprintf(host, 64, "%.*s", (int)strcspn(name + bracketed, bracketed ? "]" : ":/"),
             name + bracketed);
}

static uint16_t published(const json_t *ports, const char *key)
{
    const json_t *binding = json_array_get(json_object_get(ports, key), 0);
    long number = strtol(pnx__docker_json_text(binding, "HostPort"), NULL, 10);
    return number > 0 && number <= UINT16_MAX ? (uint16_t)number : 0;
}

static const char *own_address(const json_t *settings)
{
    const char *name;
    json_t *endpoint;
    json_object_foreach(json_object_get(settings, "Networks"), name, endpoint)
    {
        const char *address = pnx__docker_json_text(endpoint, "IPAddress");
        if (*address)
            return address;
    }
    return "";
}

/* Those that it was asked to have. */
static pnx_status take_ports(pnx_service *service, const json_t *settings, bool running,
                             pnx_error *err)
{
    const json_t *asked =
        json_object_get(json_object_get(service->object->body, "HostConfig"), "PortBindings");
    const json_t *ports = json_object_get(settings, "Ports");
    bool direct = service->environment->reach == PNX_REACH_INTERNAL;
    const char *key;
    json_t *binding;
    service->ports =
        pnx__arena_take(&service->memory, (json_object_size(asked) + 1) * sizeof *service->ports);
    if (!service->ports)
        return pnx__docker_no_memory(err);
    json_object_foreach((json_t *)asked, key, binding)
    {
        struct pnx__address_of_port port = {
            .port = (uint16_t)strtol(key, NULL, 10),
            .udp = strstr(key, "/udp") != NULL,
        };
        port.there = direct ? port.port : published(ports, key);
        /* What has ended already has none any more; that it has is told by who waits for it. */
        if (port.there == 0 && running)
            return pnx_fail(err, PNX_EFAILED, "the engine has not published its port %s", key);
        service->ports[service->port_count++] = port;
    }
    return PNX_OK;
}

static pnx_status take_address(pnx_service *service, const json_t *about, pnx_error *err)
{
    const json_t *settings = json_object_get(about, "NetworkSettings");
    const json_t *state = json_object_get(about, "State");
    pnx_status status =
        take_ports(service, settings, json_is_true(json_object_get(state, "Running")), err);
    if (status != PNX_OK)
        return status;
    /* An internal network publishes nothing, but this machine is in it. */
    if (service->port_count > 0 && service->environment->reach != PNX_REACH_INTERNAL)
        engine_host(service->environment->engine, service->host);
    else
        snprintf(service->host, sizeof service->host, "%s", own_address(settings));
    add_variables(service);
    return service->memory.failed ? pnx__docker_no_memory(err) : PNX_OK;
}

pnx_status pnx__service_find_address(pnx_service *service, const pnx_call *call, pnx_error *err)
{
    json_t *about;
    pnx_status status = pnx_engine_inspect(service->environment->engine, PNX_CONTAINER, service->id,
                                           call, &about, err);
    if (status != PNX_OK)
        return status;
    status = take_address(service, about, err);
    json_decref(about);
    return status;
}
