/* SPDX-License-Identifier: MIT */
/** @file proxy.h  The proxy: one loop, its connections, and what they share. */
#ifndef CLEANROOM_PROXY_PROXY_H
#define CLEANROOM_PROXY_PROXY_H

#include "proxy/address.h"
#include "proxy/http.h"
#include "proxy/record.h"
#include "proxy/route.h"
#include "proxy/tell.h"

#include <uv.h>

/** What of a request is buffered at most, so that labels can be put into it. */
#define PNX__PROXY_BODY_MAX ((size_t)16 << 20)
/** What is read at a time, in each direction of a connection. */
#define PNX__PROXY_BUFFER ((size_t)64 << 10)

struct pnx__connection;

struct pnx__proxy {
    uv_loop_t *loop;
    uv_poll_t listener;
    uv_timer_t timer; /* until what was forwarded is given up */
    int listen_fd;
    bool accepting, stopping;
    bool starved; /* of descriptors: nothing is accepted until a connection has ended */
    bool starved_told;
    struct pnx__connection *first;
    size_t count;
    struct pnx__address_list engine_at;
    pnx_engine *engine; /* for what is asked besides, in threads of the loop's pool */
    const char *session;
    pnx_keep keep;
    bool strict;
    struct pnx__record *record;
    struct json_t *made; /* a set of the ids of what was made through here */
    struct pnx__tell *tell;
    void (*ended)(struct pnx__proxy *proxy); /* stopped, and no connection is left */
};

/** Listens on a descriptor that stays the caller's. All of `proxy` is set but what is zero. */
PNX_MUST_CHECK pnx_status pnx__proxy_start(struct pnx__proxy *proxy, pnx_error *err);
/** No new connection, no new request; creations that were forwarded are waited for, `span` at most;
 *  the rest is cut. Then `ended` is called, from the loop. */
void pnx__proxy_stop(struct pnx__proxy *proxy, pnx_duration span);

/** For connections: one has ended. */
void pnx__proxy_ended_one(struct pnx__proxy *proxy);

#endif
