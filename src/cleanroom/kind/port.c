/* SPDX-License-Identifier: MIT */
#include "kind/listed.h"
#include "kind/sock_diag.h"
#include "kind/thing.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

/* "udp [", an address, "%", an interface, "]:65535". */
#define NAME_SIZE (INET6_ADDRSTRLEN + IF_NAMESIZE + 16)

static void interface_of(const struct pnx__inet_socket *socket, char ret[IF_NAMESIZE + 1])
{
    char name[IF_NAMESIZE];
    ret[0] = '\0';
    if (!socket->interface)
        return;
    if (if_indextoname(socket->interface, name))
        snprintf(ret, IF_NAMESIZE + 1, "%%%s", name);
    else
        snprintf(ret, IF_NAMESIZE + 1, "%%%u", socket->interface);
}

static void name_of(const struct pnx__inet_socket *socket, char ret[NAME_SIZE])
{
    char address[INET6_ADDRSTRLEN] = "", interface[IF_NAMESIZE + 1];
    bool v6 = socket->family == AF_INET6;
    (void)inet_ntop(socket->family, &socket->address, address, sizeof address);
    interface_of(socket, interface);
    snprintf(ret, NAME_SIZE, v6 ? "%s [%s%s]:%u" : "%s %s%s:%u",
             socket->protocol == IPPROTO_TCP ? "tcp" : "udp", address, interface, socket->port);
}

struct listing {
    pnx_thing_visit_fn visit;
    void *context;
};

static bool visit_port(const struct pnx__inet_socket *socket, void *context)
{
    const struct listing *listing = context;
    char name[NAME_SIZE], identity[PNX__SOCKET_IDENTITY_MAX];
    name_of(socket, name);
    pnx__socket_identity(socket->inode, socket->cookie, identity);
    pnx_thing_info info = {
        .name = name,
        .identity = identity,
        .type = socket->protocol == IPPROTO_TCP ? "tcp" : "udp",
        .owner = socket->owner,
        .socket = socket->inode,
    };
    return listing->visit(&info, listing->context);
}

static pnx_status list_ports(pnx_thing_visit_fn visit, void *context, pnx_error *err)
{
    struct listing listing = {visit, context};
    return pnx__inet_each(0, 0, visit_port, &listing, err);
}

static pnx_status find_port(const char *name, char *ret_identity, size_t size, pnx_error *err)
{
    if (strncmp(name, "tcp ", 4) != 0 && strncmp(name, "udp ", 4) != 0)
        return pnx_fail(err, PNX_EINVAL,
                        "'%s' is not the name of a port: it has the form 'tcp 127.0.0.1:80' or "
                        "'udp [::1]:53'",
                        name);
    return pnx__listed_find(&pnx__thing_port, name, ret_identity, size, err);
}

/* Several sockets may share a port (SO_REUSEPORT). */
static pnx_status still_port(const char *name, const char *identity, pnx_error *err)
{
    return pnx__listed_still(&pnx__thing_port, name, identity, err);
}

const pnx_thing_kind pnx__thing_port = {
    .name = "port",
    .code = PNX__CODE_PORT,
    .order = PNX_ORDER_PROCESS,
    .find = find_port,
    .list = list_ports,
    .still = still_port,
};
