/* SPDX-License-Identifier: MIT */
/** @file address.h  Where the engine is, so that a loop can connect to it without waiting. */
#ifndef CLEANROOM_PROXY_ADDRESS_H
#define CLEANROOM_PROXY_ADDRESS_H

#include <patinox/base.h>
#include <sys/socket.h>

struct pnx__address_one {
    struct sockaddr_storage at;
    socklen_t size;
};

/** The addresses of one host; they are tried in turn. */
struct pnx__address_list {
    char host[160]; /* as people write it */
    struct pnx__address_one all[4];
    unsigned count;
};

/** "unix:///path", "tcp://name:port"; a name is looked up now. PNX_EINVAL, PNX_ENOTFOUND. */
PNX_MUST_CHECK pnx_status pnx__address_resolve(const char *host, struct pnx__address_list *ret,
                                               pnx_error *err);
/** A socket that connects to one of them; `*ret_pending`: it is not there yet, and tells by being
 *  writable. -1 and errno; EAGAIN: its queue is full. */
int pnx__address_connect(const struct pnx__address_list *list, unsigned which, bool *ret_pending);

#endif
