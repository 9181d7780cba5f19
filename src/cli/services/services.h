/* SPDX-License-Identifier: MIT */
/** @file services.h  cleanroom-services: from YAML to an environment, and to variables. */
#ifndef CLI_SERVICES_SERVICES_H
#define CLI_SERVICES_SERVICES_H

#include "environment/arena.h"

#include <cleanroom/environment.h>
#include <stdio.h>

/** What is longer is no configuration. */
#define SERVICES_SIZE_MAX ((size_t)1 << 20)
#define SERVICES_MAX 64

/** What a file says. All of it is in `memory`. */
struct services {
    struct pnx__arena memory;
    pnx_service_config services[SERVICES_MAX];
    size_t count;
    const char *volumes[SERVICES_MAX + 1]; /* those that services name; NULL-terminated */
    size_t volume_count;
};

/** Longer than that of an error: it may name all keys. */
#define SERVICES_MESSAGE_MAX 1024

/**
 * Reads the key `services` of a configuration; `directory` is what relative paths are relative to.
 * False: `message` says where and why, as "LINE:COLUMN: …", in printable ASCII. Ended by
 * services_done in any case.
 */
bool services_read(const char *text, size_t size, const char *directory, struct services *ret,
                   char message[SERVICES_MESSAGE_MAX]);
void services_done(struct services *services);

/* ---- words.c --------------------------------------------------------------------------------- */

/** As a shell takes a line apart, without expanding anything. NULL: a quote is not closed, or there
 *  is no memory. */
const char *const *services_words(struct pnx__arena *memory, const char *line);
/** "512m", "1g", "64kb", "1024". */
bool services_size(const char *text, uint64_t *ret);
/** "80", "8080:80", "127.0.0.1:8080:80", each with "/tcp" or "/udp"; `*ret_host` as in pnx_port. */
bool services_port(struct pnx__arena *memory, const char *text, pnx_port *ret);
/** "VOLUME:/path", "./path:/path", "/path", each with ":ro" or ":rw". */
bool services_volume(struct pnx__arena *memory, const char *text, const char *directory,
                     pnx_mount *ret);
/** "/path", "/path:size=64m". */
bool services_tmpfs(struct pnx__arena *memory, const char *text, pnx_mount *ret);

#endif
