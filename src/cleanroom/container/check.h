/* SPDX-License-Identifier: MIT */
/** @file check.h  What the checks share. The public face is <cleanroom/check.h>. */
#ifndef CLEANROOM_CONTAINER_CHECK_H
#define CLEANROOM_CONTAINER_CHECK_H

#include <cleanroom/check.h>

#include "docker/engine.h"

#include <sys/socket.h>

/** One look that goes on. */
struct pnx__look {
    pnx_engine *engine;
    const char *container;
    const pnx_check *check;
    const pnx_call *call;           /* with its deadline */
    const struct pnx__limit *limit; /* the same */
    const struct json_t *about;     /* what inspect says */
    pnx_check_result *result;
};

/** Where a port is. */
struct pnx__place {
    struct sockaddr_storage address;
    socklen_t size;
    char text[64];  /* "172.17.0.2:80", "[::1]:80" */
    bool published; /* the engine listens there, for the container */
};

/** Fails the look, which is a verdict and no failure: PNX_OK. */
pnx_status pnx__look_fails(const struct pnx__look *look, const char *format, ...) PNX_PRINTF(2, 3);
pnx_status pnx__look_passes(const struct pnx__look *look, const char *format, ...) PNX_PRINTF(2, 3);

/** PNX_EUNSUPPORTED: there is no way to it from here. */
pnx_status pnx__look_place(const struct pnx__look *look, struct pnx__place *ret, pnx_error *err);

pnx_status pnx__look_tcp(const struct pnx__look *look, pnx_error *err);
pnx_status pnx__look_http(const struct pnx__look *look, pnx_error *err);
pnx_status pnx__look_log(const struct pnx__look *look, pnx_error *err);

#endif
