/* SPDX-License-Identifier: MIT */
/* Where a port of a container is reached from here. */
#include "container/check.h"

#include "docker/calls.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool place_of(const char *host, unsigned port, struct pnx__place *ret)
{
    struct sockaddr_in *four = (struct sockaddr_in *)&ret->address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&ret->address;
    memset(ret, 0, sizeof *ret);
    if (inet_pton(AF_INET, host, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)port);
        ret->size = sizeof *four;
        snprintf(ret->text, sizeof ret->text, "%s:%u", host, port);
        return true;
    }
    if (inet_pton(AF_INET6, host, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons((uint16_t)port);
        ret->size = sizeof *six;
        snprintf(ret->text, sizeof ret->text, "[%s]:%u", host, port);
        return true;
    }
    return false;
}

static bool is_local(const pnx_engine *engine)
{
    return engine->at.socket[0] != '\0';
}

/* An engine without root has its bridges in a network namespace of its own, and their addresses
 * may be those of another engine's here: its socket belongs to its user. */
static bool is_root_s(const pnx_engine *engine)
{
    struct stat about;
    return is_local(engine) && stat(engine->at.socket, &about) == 0 && about.st_uid == 0;
}

static bool is_address_of_ours(const char *text)
{
    struct in_addr wanted;
    struct ifaddrs *all = NULL;
    bool found = false;
    if (inet_pton(AF_INET, text, &wanted) != 1 || getifaddrs(&all) != 0)
        return false;
    for (const struct ifaddrs *one = all; one && !found; one = one->ifa_next) {
        struct sockaddr_in address;
        if (!one->ifa_addr || one->ifa_addr->sa_family != AF_INET)
            continue;
        memcpy(&address, one->ifa_addr, sizeof address);
        found = address.sin_addr.s_addr == wanted.s_addr;
    }
    freeifaddrs(all);
    return found;
}

/* Its own address, in a network whose bridge is here. */
static bool place_direct(const struct pnx__look *look, struct pnx__place *ret)
{
    json_t *networks = json_object_get(json_object_get(look->about, "NetworkSettings"), "Networks");
    const char *name;
    const json_t *network;
    if (!is_root_s(look->engine))
        return false;
    json_object_foreach(networks, name, network)
    {
        if (is_address_of_ours(pnx__docker_json_text(network, "Gateway")) &&
            place_of(pnx__docker_json_text(network, "IPAddress"), look->check->port, ret))
            return true;
    }
    return false;
}

/* The engine's machine: this one, or the one in "tcp://host:port", if it is written as a number. */
static void engine_host(const pnx_engine *engine, char *ret, size_t size)
{
    const char *host = strstr(engine->at.host, "://");
    if (is_local(engine) || !host) {
        snprintf(ret, size, "127.0.0.1");
        return;
    }
    host += 3;
    bool bracket = *host == '[';
    host += bracket;
    snprintf(ret, size, "%.*s", (int)strcspn(host, bracket ? "]" : ":/"), host);
    if (strcmp(ret, "localhost") == 0)
        snprintf(ret, size, "127.0.0.1");
}

/* As the engine writes "on all addresses". */
static bool is_any(const char *host)
{
    return !*host || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

static bool place_published(const struct pnx__look *look, struct pnx__place *ret)
{
    char key[16], host[64];
    snprintf(key, sizeof key, "%u/tcp", look->check->port);
    const json_t *bindings = json_object_get(
        json_object_get(json_object_get(look->about, "NetworkSettings"), "Ports"), key);
    const json_t *binding = json_array_get(bindings, 0);
    const char *given = pnx__docker_json_text(binding, "HostIp");
    unsigned long port = strtoul(pnx__docker_json_text(binding, "HostPort"), NULL, 10);
    if (port == 0 || port > UINT16_MAX)
        return false;
    engine_host(look->engine, host, sizeof host);
    if (!place_of(is_any(given) ? host : given, (unsigned)port, ret))
        return false;
    ret->published = true;
    return true;
}

static bool place_of_host_network(const struct pnx__look *look, struct pnx__place *ret)
{
    char host[64];
    const json_t *config = json_object_get(look->about, "HostConfig");
    engine_host(look->engine, host, sizeof host);
    return strcmp(pnx__docker_json_text(config, "NetworkMode"), "host") == 0 &&
           place_of(host, look->check->port, ret);
}

pnx_status pnx__look_place(const struct pnx__look *look, struct pnx__place *ret, pnx_error *err)
{
    const pnx_check *check = look->check;
    if (check->host)
        return place_of(check->host, check->port, ret)
                   ? PNX_OK
                   : pnx_fail(err, PNX_EINVAL, "host: '%s' is no numeric address", check->host);
    if (place_of_host_network(look, ret) || place_direct(look, ret) || place_published(look, ret))
        return PNX_OK;
    return pnx_fail(err, PNX_EUNSUPPORTED,
                    "there is no way from here to port %u of %s: publish it, or use a command",
                    check->port, look->container);
}
