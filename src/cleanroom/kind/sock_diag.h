/* SPDX-License-Identifier: MIT */
/**
 * @file sock_diag.h
 * The sockets of our network namespace, as the kernel dumps them (sock_diag(7)). Needs no
 * privilege. Fixed memory, however many there are.
 */
#ifndef CLEANROOM_KIND_SOCK_DIAG_H
#define CLEANROOM_KIND_SOCK_DIAG_H

#include <cleanroom/thing.h>
#include <netinet/in.h>

/* "inode:cookie": what the identity of a socket is made of. */
#define PNX__SOCKET_IDENTITY_MAX 40
void pnx__socket_identity(uint64_t inode, uint64_t cookie, char ret[PNX__SOCKET_IDENTITY_MAX]);

struct pnx__unix_socket {
    uint64_t inode;   /* of the socket */
    uint64_t cookie;  /* of no other socket since boot */
    int type;         /* SOCK_STREAM, … */
    int state;        /* as of TCP: TCP_LISTEN, TCP_ESTABLISHED, else TCP_CLOSE */
    int64_t owner;    /* user id; -1: the kernel does not tell */
    const char *name; /* not terminated; what begins with a zero byte is abstract; may be NULL */
    size_t length;
    uint64_t file_inode, file_device; /* of what it was bound to; 0: nothing, or abstract */
};

/**
 * Was it bound to its name, rather than accepted by one that was? (The other end of a connection
 * that somebody bound as well looks like an accepted one, and is left out with them.)
 */
bool pnx__unix_is_bound_itself(const struct pnx__unix_socket *socket);
/** "stream", "datagram", "seqpacket". */
const char *pnx__unix_type(const struct pnx__unix_socket *socket);

typedef bool (*pnx__unix_fn)(const struct pnx__unix_socket *socket, void *context);
/** Visits all that have a name; false ends it. PNX_OK, PNX_EUNSUPPORTED, PNX_EFAILED. */
pnx_status pnx__unix_each(pnx__unix_fn visit, void *context, pnx_error *err);

struct pnx__inet_socket {
    uint64_t inode, cookie;
    int family, protocol; /* AF_INET, AF_INET6; IPPROTO_TCP, IPPROTO_UDP */
    uint32_t owner;
    uint16_t port;
    unsigned interface; /* that it is bound to; 0: to none */
    union {
        struct in_addr v4;
        struct in6_addr v6;
    } address;
};

typedef bool (*pnx__inet_fn)(const struct pnx__inet_socket *socket, void *context);
/**
 * Visits those that listen (TCP), or are bound and not connected (UDP); likewise. Family and
 * protocol 0: both.
 */
pnx_status pnx__inet_each(int family, int protocol, pnx__inet_fn visit, void *context,
                          pnx_error *err);

#endif
