/* SPDX-License-Identifier: MIT */
/* Where an engine is looked for, in order, and what became of each place. */
#include "docker/engine.h"

#include "docker/context.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { IN_ENVIRONMENT, IN_CONTEXT, FIRST_DEFAULT, PLACES = FIRST_DEFAULT + 5 };

struct place {
    char source[96];
    bool set;    /* nothing but this one will do */
    bool absent; /* `reason` says why */
    char host[160];
    char directory[512]; /* of certificates; empty: no TLS */
    bool verify;
    bool taken;
    pnx_status status;
    char reason[PNX_ERROR_MESSAGE_MAX];
};

/* ---- addresses ------------------------------------------------------------------------------- */

static bool copy(char *ret, size_t size, const char *text)
{
    return (size_t)snprintf(ret, size, "%s", text) < size;
}

static void set_certificates(const char *directory, bool verify, struct pnx__address *ret)
{
    ret->tls = true;
    ret->verify = verify;
    const struct {
        char *path;
        size_t size;
        const char *name;
    } files[] = {
        {ret->ca, sizeof ret->ca, "ca.pem"},
        {ret->certificate, sizeof ret->certificate, "cert.pem"},
        {ret->key, sizeof ret->key, "key.pem"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        int length = snprintf(files[i].path, files[i].size, "%s/%s", directory, files[i].name);
        if (length >= (int)files[i].size || access(files[i].path, F_OK) != 0)
            files[i].path[0] = '\0';
    }
}

static pnx_status parse_unix(const char *host, struct pnx__address *ret, pnx_error *err)
{
    const char *path = host + strlen("unix://");
    if (*path != '/')
        return pnx_fail(err, PNX_EINVAL, "'%s' needs an absolute path: unix:///run/docker.sock",
                        host);
    if (!copy(ret->socket, sizeof ret->socket, path))
        return pnx_fail(err, PNX_EINVAL, "the path of '%.120s' is longer than %zu bytes", host,
                        sizeof ret->socket - 1);
    copy(ret->base, sizeof ret->base, "http://engine");
    return PNX_OK;
}

/* "host", "host:port", "[::1]:port", each with or without "/path". */
static pnx_status parse_tcp(const char *host, const char *directory, bool verify,
                            struct pnx__address *ret, pnx_error *err)
{
    const char *authority = strstr(host, "://") + 3;
    bool tls = directory || strncmp(host, "https://", 8) == 0;
    const char *bracket = strchr(authority, ']');
    size_t length = strcspn(authority, "/");
    bool port = strchr(bracket ? bracket : authority, ':') != NULL;
    if (length == 0 || strcspn(authority, "@?# \\") < strlen(authority) || authority[0] == ':')
        return pnx_fail(err, PNX_EINVAL, "'%s' names no host: tcp://host:port", host);
    int printed = snprintf(ret->base, sizeof ret->base, "%s://%.*s%s%s", tls ? "https" : "http",
                           (int)length, authority, port ? "" : (tls ? ":2376" : ":2375"),
                           strcmp(authority + length, "/") == 0 ? "" : authority + length);
    if (printed >= (int)sizeof ret->base)
        return pnx_fail(err, PNX_EINVAL, "'%.120s…' is too long for the host of an engine", host);
    if (tls)
        set_certificates(directory ? directory : "", verify, ret);
    return PNX_OK;
}

pnx_status pnx__docker_address_parse(const char *host, const char *directory, bool verify,
                                     struct pnx__address *ret, pnx_error *err)
{
    struct pnx__address at = {.verify = true};
    pnx_status status;
    if (!copy(at.host, sizeof at.host, host))
        return pnx_fail(err, PNX_EINVAL, "'%.120s…' is too long for the host of an engine", host);
    if (strncmp(host, "unix://", 7) == 0)
        status = parse_unix(host, &at, err);
    else if (strncmp(host, "tcp://", 6) == 0 || strncmp(host, "http://", 7) == 0 ||
             strncmp(host, "https://", 8) == 0)
        status = parse_tcp(host, directory, verify, &at, err);
    else if (strncmp(host, "ssh://", 6) == 0)
        status = pnx_fail(err, PNX_EUNSUPPORTED,
                          "%s: ssh is not spoken here; forward the socket, ssh -L "
                          "/tmp/docker.sock:/var/run/docker.sock HOST, and use unix://",
                          host);
    else if (strncmp(host, "npipe://", 8) == 0)
        status = pnx_fail(err, PNX_EUNSUPPORTED, "%s: named pipes exist on Windows only", host);
    else
        status = pnx_fail(err, PNX_EINVAL,
                          "'%s' is no host of an engine: unix:///path or tcp://host:port", host);
    if (status == PNX_OK)
        *ret = at;
    return status;
}

/* ---- places ---------------------------------------------------------------------------------- */

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static void not_there(struct place *place, const char *reason)
{
    place->absent = true;
    copy(place->reason, sizeof place->reason, reason);
}

/* As Docker's own clients have it: certificates mean TLS, DOCKER_TLS_VERIFY that they are checked;
 * it alone means the certificates of ~/.docker. Empty: no TLS. Answers whether they are checked. */
static bool find_certificates(char *ret_directory, size_t size)
{
    const char *directory = variable("DOCKER_CERT_PATH");
    bool verify = variable("DOCKER_TLS_VERIFY") != NULL;
    if (directory)
        copy(ret_directory, size, directory);
    else if (verify)
        pnx__docker_directory(ret_directory, size);
    return verify;
}

static void look_into_environment(struct place *place)
{
    const char *host = variable("DOCKER_HOST");
    copy(place->source, sizeof place->source, "DOCKER_HOST");
    if (!host) {
        not_there(place, "not set");
        return;
    }
    place->set = true;
    copy(place->host, sizeof place->host, host);
    if (strlen(host) >= sizeof place->host)
        not_there(place, "too long");
    place->verify = find_certificates(place->directory, sizeof place->directory);
}

static void look_into_context(struct place *place)
{
    struct pnx__context context = {0};
    pnx_error err = {0};
    pnx_status status = pnx__docker_context_read(&context, &err);
    snprintf(place->source, sizeof place->source, "context%s%.80s", context.name[0] ? " " : "",
             context.name);
    place->set = context.name[0] != '\0';
    if (status != PNX_OK) {
        place->status = place->set ? status : PNX_OK;
        not_there(place, err.message);
        return;
    }
    copy(place->host, sizeof place->host, context.host);
    copy(place->directory, sizeof place->directory, context.directory);
    place->verify = context.verify;
}

static void look_at_default(struct place *place, const char *source, const char *name,
                            const char *path)
{
    const char *parent = name ? variable(name) : "";
    copy(place->source, sizeof place->source, source);
    if (!parent) {
        snprintf(place->reason, sizeof place->reason, "%s is not set", name);
        place->absent = true;
    } else if (snprintf(place->host, sizeof place->host, "unix://%s%s", parent, path) >=
               (int)sizeof place->host) {
        not_there(place, "its path is too long");
    }
}

static void gather(struct place places[PLACES])
{
    memset(places, 0, PLACES * sizeof *places);
    look_into_environment(&places[IN_ENVIRONMENT]);
    look_into_context(&places[IN_CONTEXT]);
    struct place *at = &places[FIRST_DEFAULT];
    look_at_default(at++, "default", NULL, "/var/run/docker.sock");
    look_at_default(at++, "rootless", "XDG_RUNTIME_DIR", "/docker.sock");
    look_at_default(at++, "desktop", "HOME", "/.docker/run/docker.sock");
    look_at_default(at++, "podman rootless", "XDG_RUNTIME_DIR", "/podman/podman.sock");
    look_at_default(at++, "podman", NULL, "/run/podman/podman.sock");
}

/* ---- trying ---------------------------------------------------------------------------------- */

static pnx_status try_host(const char *host, const char *directory, bool verify,
                           const pnx_engine_config *config, const struct pnx__limit *limit,
                           pnx_engine **ret, pnx_error *err)
{
    struct pnx__address at;
    pnx_engine *engine;
    pnx_status status = pnx__docker_address_parse(host, directory, verify, &at, err);
    if (status == PNX_OK)
        status = pnx__docker_engine_make(&at, config, &engine, err);
    if (status != PNX_OK)
        return status;
    status = pnx__docker_negotiate(engine, limit, err);
    if (status != PNX_OK) {
        pnx_engine_close(engine);
        return status;
    }
    *ret = engine;
    return PNX_OK;
}

static bool is_there(struct place *place)
{
    struct stat about;
    const char *path = place->host + strlen("unix://");
    if (place->set)
        return true;
    if (stat(path, &about) == 0)
        return true;
    snprintf(place->reason, sizeof place->reason, "%m");
    return false;
}

static void try_place(struct place *place, const pnx_engine_config *config,
                      const struct pnx__limit *limit, pnx_engine **ret)
{
    pnx_error err = {0};
    if (place->absent || !is_there(place))
        return;
    place->status = try_host(place->host, place->directory[0] ? place->directory : NULL,
                             place->verify, config, limit, ret, &err);
    place->taken = place->status == PNX_OK;
    if (!place->taken)
        copy(place->reason, sizeof place->reason, err.message);
}

/* Tries one after the other until an engine answers, or the one that was asked for does not. */
static struct place *try_all(struct place places[PLACES], const pnx_engine_config *config,
                             const struct pnx__limit *limit, pnx_engine **ret)
{
    struct place *decided = NULL;
    for (struct place *at = places; at < places + PLACES; at++) {
        if (!decided) {
            try_place(at, config, limit, ret);
            decided = at->set || at->taken ? at : NULL;
        } else if (!at->absent && is_there(at)) {
            snprintf(at->reason, sizeof at->reason, "not needed: %.96s %s", decided->source,
                     decided->taken ? "is taken" : "is asked for");
        }
    }
    return decided;
}

static pnx_status none_found(const struct place *places, const struct place *asked, pnx_error *err)
{
    if (asked)
        return pnx_fail(err, asked->status ? asked->status : PNX_EINVAL, "%s %s: %.160s",
                        asked->source, asked->host, asked->reason);
    /* One that is there and does not answer says more than those that are not. */
    for (const struct place *at = places; at < places + PLACES; at++)
        if (at->status)
            return pnx_fail(err, PNX_ENOTFOUND, "no container engine: %.190s", at->reason);
    return pnx_fail(err, PNX_ENOTFOUND,
                    "no container engine: DOCKER_HOST is not set, and there is no socket of Docker "
                    "or Podman in its usual places");
}

pnx_status pnx__docker_find(const pnx_engine_config *config, const struct pnx__limit *limit,
                            pnx_engine **ret, pnx_error *err)
{
    struct place places[PLACES];
    if (config && config->host) {
        char directory[512] = "";
        bool verify = find_certificates(directory, sizeof directory);
        return try_host(config->host, directory[0] ? directory : NULL, verify, config, limit, ret,
                        err);
    }
    gather(places);
    const struct place *decided = try_all(places, config, limit, ret);
    return decided && decided->taken ? PNX_OK : none_found(places, decided, err);
}

pnx_status pnx_engine_discover(const pnx_call *call,
                               void (*visit)(const pnx_engine_place *place, void *context),
                               void *context, pnx_error *err)
{
    struct pnx__limit limit = pnx__docker_limit_of(NULL, call);
    if (limit.deadline == 0)
        limit.deadline = pnx_time_after(pnx_monotonic_now(), PNX_S(5));
    struct place places[PLACES];
    pnx_engine *engine = NULL;
    gather(places);
    const struct place *decided = try_all(places, NULL, &limit, &engine);
    pnx_engine_close(engine);
    for (const struct place *at = places; at < places + PLACES; at++)
        visit(
            &(pnx_engine_place){
                .source = at->source,
                .host = at->host,
                .set = at->set,
                .taken = at->taken,
                .reason = at->reason,
            },
            context);
    return decided && decided->taken ? PNX_OK : none_found(places, decided, err);
}
