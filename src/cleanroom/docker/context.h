/* SPDX-License-Identifier: MIT */
/** @file context.h  The contexts of the docker command: ~/.docker/config.json and what it names. */
#ifndef CLEANROOM_DOCKER_CONTEXT_H
#define CLEANROOM_DOCKER_CONTEXT_H

#include <patinox/base.h>

struct pnx__context {
    char name[96]; /* empty: none is set */
    char host[160];
    char directory[512]; /* of certificates; empty: no TLS */
    bool verify;
};

/** DOCKER_CONFIG, or ~/.docker; empty: there is no HOME. */
void pnx__docker_directory(char *ret, size_t size);
/**
 * Reads the context of DOCKER_CONTEXT, or else the current one of config.json. `ret->name` is
 * written in any case. PNX_ENOTFOUND: none is set ("default" is none), or there is no such context.
 */
pnx_status pnx__docker_context_read(struct pnx__context *ret, pnx_error *err);

#endif
