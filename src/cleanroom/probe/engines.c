/* SPDX-License-Identifier: MIT */
/* Which container engines answer; what they are able to do is asked of them elsewhere. */
#include "probe/probe.h"

#include "kind/sys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static bool answers(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool can = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    pnx__close(fd);
    return can;
}

/* What is to be told of several sockets: the first that answers, else the first that is there. */
struct search {
    char found[160], there[160];
    int number;
};

static void try(struct search *search, const char *path)
{
    if (search->found[0])
        return;
    if (answers(path)) {
        snprintf(search->found, sizeof search->found, "%s", path);
        return;
    }
    int number = errno;
    if (access(path, F_OK) == 0 && !search->there[0]) {
        search->number = number;
        snprintf(search->there, sizeof search->there, "%s", path);
    }
}

static void try_below(struct search *search, const char *variable, const char *below)
{
    const char *dir = getenv(variable);
    char path[512];
    if (dir && *dir == '/' && snprintf(path, sizeof path, "%s%s", dir, below) < (int)sizeof path)
        try(search, path);
}

static void tell(pnx_capability *capability, const struct search *search, const char *group)
{
    errno = search->number;
    if (search->found[0])
        pnx__probe_yes(capability, "%s", search->found);
    else if (search->there[0])
        pnx__probe_no(capability, "%s: %m", search->there);
    else
        pnx__probe_no(capability, "no socket found");
    if (search->there[0] && !search->found[0] && search->number == EACCES)
        pnx__probe_change(capability, "join the group %s, or set DOCKER_HOST", group);
}

void pnx__probe_engines(struct pnx__probe *probe)
{
    static const char scheme[] = "unix://";
    pnx_capability *capability = pnx__probe_add(probe, "docker", "containers of a command");
    struct search docker = {0}, podman = {0};
    const char *host = getenv("DOCKER_HOST");
    if (host && strncmp(host, scheme, strlen(scheme)) == 0)
        try(&docker, host + strlen(scheme));
    try(&docker, "/var/run/docker.sock");
    try_below(&docker, "XDG_RUNTIME_DIR", "/docker.sock");
    try_below(&docker, "HOME", "/.docker/run/docker.sock");
    tell(capability, &docker, "docker");
    capability = pnx__probe_add(probe, "podman", "containers of a command");
    try_below(&podman, "XDG_RUNTIME_DIR", "/podman/podman.sock");
    try(&podman, "/run/podman/podman.sock");
    tell(capability, &podman, "podman");
}
