/* SPDX-License-Identifier: MIT */
#include "kind/listed.h"
#include "kind/sock_diag.h"
#include "kind/thing.h"

#include <stdio.h>
#include <string.h>
#include <sys/un.h>

/* "@", and each byte of the name as two at worst. */
#define NAME_SIZE (2 * sizeof((struct sockaddr_un *)0)->sun_path + 2)

/* A name may hold any bytes, also zeros: those are written \0, and so a backslash is written \\. */
static void name_of(const struct pnx__unix_socket *socket, char ret[NAME_SIZE])
{
    char *to = ret;
    *to++ = '@';
    for (size_t i = 1; i < socket->length && to < ret + NAME_SIZE - 2; i++) {
        char byte = socket->name[i];
        if (byte == '\0' || byte == '\\')
            *to++ = '\\';
        *to++ = byte ? byte : '0';
    }
    *to = '\0';
}

struct listing {
    pnx_thing_visit_fn visit;
    void *context;
};

static bool visit_abstract(const struct pnx__unix_socket *socket, void *context)
{
    const struct listing *listing = context;
    char name[NAME_SIZE], identity[PNX__SOCKET_IDENTITY_MAX];
    if (socket->name[0] != '\0' || !pnx__unix_is_bound_itself(socket))
        return true;
    name_of(socket, name);
    pnx__socket_identity(socket->inode, socket->cookie, identity);
    pnx_thing_info info = {
        .name = name,
        .identity = identity,
        .type = pnx__unix_type(socket),
        .owner = socket->owner,
        .socket = socket->inode,
    };
    return listing->visit(&info, listing->context);
}

static pnx_status list_abstract(pnx_thing_visit_fn visit, void *context, pnx_error *err)
{
    struct listing listing = {visit, context};
    return pnx__unix_each(visit_abstract, &listing, err);
}

static pnx_status find_abstract(const char *name, char *ret_identity, size_t size, pnx_error *err)
{
    if (name[0] != '@' || !name[1])
        return pnx_fail(err, PNX_EINVAL, "'%s' is not the name of an abstract socket: '@…'", name);
    return pnx__listed_find(&pnx__thing_abstract, name, ret_identity, size, err);
}

/* A stream and a datagram socket may have the same name. */
static pnx_status still_abstract(const char *name, const char *identity, pnx_error *err)
{
    return pnx__listed_still(&pnx__thing_abstract, name, identity, err);
}

const pnx_thing_kind pnx__thing_abstract = {
    .name = "abstract",
    .code = PNX__CODE_ABSTRACT,
    .order = PNX_ORDER_PROCESS,
    .find = find_abstract,
    .list = list_abstract,
    .still = still_abstract,
};
