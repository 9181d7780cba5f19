/* SPDX-License-Identifier: MIT */
#include "proxy/address.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

static pnx_status resolve_unix(const char *path, struct pnx__address_list *ret, pnx_error *err)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof at.sun_path || path[0] != '/')
        return pnx_fail(err, PNX_EINVAL, "%s is no path of a socket", path);
    strcpy(at.sun_path, path); /* NOLINT(clang-analyzer-security.insecureAPI.strcpy): it fits */
    memcpy(&ret->all[0].at, &at, sizeof at);
    ret->all[0].size = sizeof at;
    ret->count = 1;
    return PNX_OK;
}

/* "name:port", "[::1]:port" */
static bool split(const char *text, char name[128], char port[8])
{
    const char *colon = strrchr(text, ':');
    size_t size = colon ? (size_t)(colon - text) : 0;
    if (size > 1 && text[0] == '[' && text[size - 1] == ']') {
        text++;
        size -= 2;
    }
    if (size == 0 || size >= 128 || strlen(colon + 1) == 0 || strlen(colon + 1) >= 8)
        return false;
    memcpy(name, text, size);
    name[size] = '\0';
    snprintf(port, 8, "%s", colon + 1);
    port[strcspn(port, "/")] = '\0';
    return true;
}

static pnx_status resolve_tcp(const char *text, struct pnx__address_list *ret, pnx_error *err)
{
    char name[128], port[8];
    if (!split(text, name, port))
        return pnx_fail(err, PNX_EINVAL, "tcp://%s is no address: it should be tcp://name:port",
                        text);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *found;
    int problem = getaddrinfo(name, port, &hints, &found);
    if (problem != 0)
        return pnx_fail(err, PNX_ENOTFOUND, "cannot look up %s: %s", name, gai_strerror(problem));
    for (const struct addrinfo *at = found; at && ret->count < 4; at = at->ai_next) {
        memcpy(&ret->all[ret->count].at, at->ai_addr, at->ai_addrlen);
        ret->all[ret->count++].size = at->ai_addrlen;
    }
    freeaddrinfo(found);
    return PNX_OK;
}

pnx_status pnx__address_resolve(const char *host, struct pnx__address_list *ret, pnx_error *err)
{
    memset(ret, 0, sizeof *ret);
    snprintf(ret->host, sizeof ret->host, "%s", host);
    if (strncmp(host, "unix://", 7) == 0)
        return resolve_unix(host + 7, ret, err);
    if (strncmp(host, "tcp://", 6) == 0)
        return resolve_tcp(host + 6, ret, err);
    return pnx_fail(err, PNX_EUNSUPPORTED, "the proxy speaks to unix:// and tcp://, not to %s",
                    host);
}

int pnx__address_connect(const struct pnx__address_list *list, unsigned which, bool *ret_pending)
{
    const struct pnx__address_one *one = &list->all[which];
    int fd = socket(one->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (one->at.ss_family != AF_UNIX) {
        int on = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    int failed = connect(fd, (const struct sockaddr *)&one->at, one->size);
    *ret_pending = failed && errno == EINPROGRESS;
    if (!failed || *ret_pending)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}
