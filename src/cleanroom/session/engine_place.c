/* SPDX-License-Identifier: MIT */
/*
 * Where an engine is: the order of `pnx_engine_discover` (docker/places.c), but by connect(2)
 * alone, since this is done in every run. What is found first is what our programs are told to use.
 */
#include "session/engine.h"
#include "session/session.h"

#include "kind/sys.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const char scheme[] = "unix://";

/* What leads clients to an engine, and our programs. */
static const char *const leading[] = {
    "DOCKER_HOST",    "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH",
    "DOCKER_CONTEXT", "DOCKER_CONFIG",     "XDG_RUNTIME_DIR",
    "HOME",
};
/* What would lead the command past our socket, or have it speak TLS there. */
static const char *const misleading[] = {
    "DOCKER_HOST",    "DOCKER_TLS",           "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH",
    "DOCKER_CONTEXT", "CONTAINER_CONNECTION", "CONTAINER_SSHKEY",
};

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* ---- sockets --------------------------------------------------------------------------------- */

/* Its queue may be full just now. */
static bool accepts(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool does = fd >= 0 &&
                (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EAGAIN);
    int number = errno;
    pnx__close(fd);
    errno = number;
    return does;
}

/* The proxy speaks no TLS: then the command has its engine as before. `source`: who named it. */
static pnx_status look_at_host(const char *source, const char *host, bool tls,
                               struct pnx__engine_place *ret, pnx_error *err)
{
    bool is_unix = strncmp(host, scheme, strlen(scheme)) == 0;
    bool is_tcp = strncmp(host, "tcp://", 6) == 0 || strncmp(host, "http://", 7) == 0;
    if (!is_unix && !is_tcp)
        return pnx_fail(err, PNX_ENOTFOUND,
                        "%s is '%.80s', which is not spoken here: unix:// or tcp://", source, host);
    if (is_tcp && tls)
        return pnx_fail(err, PNX_ENOTFOUND, "%s is %.80s over TLS, which is not spoken here",
                        source, host);
    if (is_unix && !accepts(host + strlen(scheme)))
        return pnx_fail(err, PNX_ENOTFOUND, "no container engine at %s=%.120s: %m", source, host);
    if (snprintf(ret->host, sizeof ret->host, "%s", host) >= (int)sizeof ret->host)
        return pnx_fail(err, PNX_ENOTFOUND, "%s is too long: %.120s…", source, host);
    return PNX_OK;
}

/* ---- contexts -------------------------------------------------------------------------------- */

/* Of files that Docker writes itself: a text that follows a key, however deep. */
static bool text_after(const char *json, const char *key, char *ret, size_t size)
{
    const char *at = strstr(json, key);
    if (!at)
        return false;
    at += strlen(key);
    at += strspn(at, " \t\r\n:");
    size_t length = *at == '"' ? strcspn(at + 1, "\"") : 0;
    return length > 0 && snprintf(ret, size, "%.*s", (int)length, at + 1) < (int)size;
}

/* The beginning of a file. False: it cannot be read. */
static bool read_file(int dir, const char *path, char *ret, size_t size)
{
    int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t got = fd >= 0 ? read(fd, ret, size - 1) : -1;
    pnx__close(fd);
    ret[got > 0 ? got : 0] = '\0';
    return got > 0;
}

static int open_config(void)
{
    char path[512];
    const char *config = variable("DOCKER_CONFIG"), *home = variable("HOME");
    if (!config && !home)
        return -1;
    if (snprintf(path, sizeof path, "%s%s", config ? config : home, config ? "" : "/.docker") >=
        (int)sizeof path)
        return -1;
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* The context of this name; the names of the directories are hashes. */
static bool find_context(int config, const char *name, char *ret_host, size_t size, bool *ret_tls)
{
    char text[16384], path[512], found[128];
    int dir = openat(config, "contexts/meta", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = dir >= 0 ? fdopendir(dir) : NULL;
    bool is_there = false;
    const struct dirent *entry;
    while (stream && !is_there && (entry = readdir(stream))) {
        if (entry->d_name[0] == '.' ||
            snprintf(path, sizeof path, "%s/meta.json", entry->d_name) >= (int)sizeof path ||
            !read_file(dirfd(stream), path, text, sizeof text))
            continue;
        is_there = text_after(text, "\"Name\"", found, sizeof found) && strcmp(found, name) == 0 &&
                   text_after(text, "\"Host\"", ret_host, size);
        if (is_there)
            snprintf(path, sizeof path, "contexts/tls/%s", entry->d_name);
    }
    *ret_tls = is_there && faccessat(config, path, F_OK, 0) == 0;
    if (stream)
        (void)closedir(stream);
    return is_there;
}

/* False: none is chosen. */
static bool look_at_context(struct pnx__engine_place *ret, pnx_status *ret_status, pnx_error *err)
{
    char text[65536], name[128], host[192], source[160];
    bool tls;
    const char *chosen = variable("DOCKER_CONTEXT");
    int config = open_config();
    bool is_set = chosen || (config >= 0 && read_file(config, "config.json", text, sizeof text) &&
                             text_after(text, "\"currentContext\"", name, sizeof name));
    if (chosen)
        snprintf(name, sizeof name, "%s", chosen);
    is_set = is_set && strcmp(name, "default") != 0;
    snprintf(source, sizeof source, "context %.60s", is_set ? name : "");
    if (is_set && find_context(config, name, host, sizeof host, &tls))
        *ret_status = look_at_host(source, host, tls, ret, err);
    else if (is_set)
        *ret_status = pnx_fail(err, PNX_ENOTFOUND, "there is no %s", source);
    pnx__close(config);
    return is_set;
}

/* ---- the usual places ------------------------------------------------------------------------ */

static pnx_status look_at_usual(struct pnx__engine_place *ret, pnx_error *err)
{
    static const struct {
        const char *variable, *path;
    } usual[] = {
        {NULL, "/var/run/docker.sock"},       {"XDG_RUNTIME_DIR", "/docker.sock"},
        {"HOME", "/.docker/run/docker.sock"}, {"XDG_RUNTIME_DIR", "/podman/podman.sock"},
        {NULL, "/run/podman/podman.sock"},
    };
    char refused[96] = "";
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        const char *parent = usual[i].variable ? variable(usual[i].variable) : "";
        if (!parent || snprintf(ret->host, sizeof ret->host, "%s%s%s", scheme, parent,
                                usual[i].path) >= (int)sizeof ret->host)
            continue;
        if (accepts(ret->host + strlen(scheme)))
            return PNX_OK;
        if (errno != ENOENT && errno != ENOTDIR && !*refused)
            snprintf(refused, sizeof refused, "%.60s: %m", ret->host + strlen(scheme));
    }
    if (*refused)
        return pnx_fail(err, PNX_ENOTFOUND, "no container engine answers: %s", refused);
    return pnx_fail(err, PNX_ENOTFOUND,
                    "no container engine: DOCKER_HOST is not set, no context is chosen, and there "
                    "is no docker.sock in /var/run, $XDG_RUNTIME_DIR or ~/.docker/run, and no "
                    "podman.sock");
}

/* ---- environments ---------------------------------------------------------------------------- */

static bool is_named(const char *entry, const char *const *names, size_t count)
{
    size_t length = strcspn(entry, "=");
    for (size_t i = 0; i < count; i++)
        if (strlen(names[i]) == length && strncmp(entry, names[i], length) == 0)
            return true;
    return false;
}

static char **environment_without(const char *const *names, size_t count, size_t more)
{
    size_t size = 0, kept = 0;
    while (environ[size])
        size++;
    char **list = calloc(size + more + 1, sizeof *list);
    for (size_t i = 0; list && i < size; i++)
        if (!is_named(environ[i], names, count))
            list[kept++] = environ[i];
    return list;
}

char **pnx__engine_environment_of_command(void)
{
    return environment_without(misleading, sizeof misleading / sizeof *misleading, 0);
}

char **pnx__engine_environment(const struct pnx__engine_place *place)
{
    size_t more = 0, count = 0;
    while (place->environment && place->environment[more])
        more++;
    char **list = environment_without(leading, sizeof leading / sizeof *leading, more);
    if (!list)
        return NULL;
    while (list[count])
        count++;
    for (size_t i = 0; i < more; i++)
        list[count++] = place->environment[i];
    return list;
}

/* Which engine was found must be found again, whatever has come or gone in the other places. */
static bool note_environment(struct pnx__engine_place *place)
{
    size_t count = 0;
    place->environment = calloc(sizeof leading / sizeof *leading + 1, sizeof *place->environment);
    if (!place->environment)
        return false;
    for (size_t i = 0; i < sizeof leading / sizeof *leading; i++) {
        const char *value = variable(leading[i]);
        if (i == 0)
            value = place->host;
        if (i > 0 && i < 4) /* it says all: no TLS, no context */
            continue;
        if (!value)
            continue;
        if (asprintf(&place->environment[count++], "%s=%s", leading[i], value) < 0) {
            place->environment[--count] = NULL;
            return false;
        }
    }
    return true;
}

/* ---- the whole ------------------------------------------------------------------------------- */

pnx_status pnx__engine_look(struct pnx__engine_place *ret, pnx_error *err)
{
    const char *host = variable("DOCKER_HOST");
    pnx_status status = PNX_OK;
    *ret = (struct pnx__engine_place){0};
    bool tls = variable("DOCKER_TLS_VERIFY") || variable("DOCKER_CERT_PATH");
    if (host)
        status = look_at_host("DOCKER_HOST", host, tls, ret, err);
    else if (!look_at_context(ret, &status, err))
        status = look_at_usual(ret, err);
    if (status == PNX_OK && !note_environment(ret)) {
        pnx__engine_place_done(ret);
        return pnx_fail(err, PNX_ENOMEM, "no memory for a session");
    }
    return status;
}

void pnx__engine_place_done(struct pnx__engine_place *place)
{
    for (size_t i = 0; place->environment && place->environment[i]; i++)
        free(place->environment[i]);
    free(place->environment);
    place->environment = NULL;
}
