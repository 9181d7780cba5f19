/* SPDX-License-Identifier: MIT */
/** @file thing.h  The sorts of things that the library knows; thing_kinds.c lists them. */
#ifndef CLEANROOM_KIND_THING_H
#define CLEANROOM_KIND_THING_H

#include <cleanroom/thing.h>

/** Codes in ledgers. Never change or reuse one. */
enum pnx__thing_code {
    PNX__CODE_TEMPDIR = 1,
    PNX__CODE_CGROUP = 2,
    PNX__CODE_PROCESS = 3,
    PNX__CODE_SHM = 4,
    PNX__CODE_SEMAPHORE = 5,
    PNX__CODE_SYSV_SHM = 6,
    PNX__CODE_SYSV_SEM = 7,
    PNX__CODE_SYSV_MSG = 8,
    PNX__CODE_MQUEUE = 9,
    PNX__CODE_SOCKET = 10,   /* a path */
    PNX__CODE_ABSTRACT = 11, /* an abstract socket */
    PNX__CODE_PORT = 12,
    PNX__CODE_MOUNT = 13,
    PNX__CODE_LOOP = 14,
    PNX__CODE_MAPPER = 15, /* device-mapper */
    PNX__CODE_NETNS = 16,
    PNX__CODE_LINK = 17,
    PNX__CODE_COMMAND = 18, /* an undo hook */
    PNX__CODE_CONTAINER = 19,
    PNX__CODE_NETWORK = 20,
    PNX__CODE_VOLUME = 21,
    PNX__CODE_IMAGE = 22,
    PNX__CODE_LIMITS = 23,
    PNX__CODE_FILE = 24,
    PNX__CODE_COMPANION = 25, /* a helper process of the session: session/companion.h */
    PNX__CODE_ENGINE = 26,    /* a container engine in which there may be something of it */
};

extern const pnx_thing_kind pnx__thing_tempdir;
extern const pnx_thing_kind pnx__thing_cgroup;
extern const pnx_thing_kind pnx__thing_process;
extern const pnx_thing_kind pnx__thing_shm;
extern const pnx_thing_kind pnx__thing_semaphore;
extern const pnx_thing_kind pnx__thing_sysv_shm;
extern const pnx_thing_kind pnx__thing_sysv_sem;
extern const pnx_thing_kind pnx__thing_sysv_msg;
extern const pnx_thing_kind pnx__thing_mqueue;
extern const pnx_thing_kind pnx__thing_socket;
extern const pnx_thing_kind pnx__thing_abstract;
extern const pnx_thing_kind pnx__thing_port;
extern const pnx_thing_kind pnx__thing_mount;
extern const pnx_thing_kind pnx__thing_loop;
extern const pnx_thing_kind pnx__thing_mapper;
extern const pnx_thing_kind pnx__thing_netns;
extern const pnx_thing_kind pnx__thing_link;
extern const pnx_thing_kind pnx__thing_command;

/**
 * Like pnx_thing_made, but removes nothing on failure: for what goes by itself when its maker lets
 * go of it. The maker does that, and calls pnx_thing_unmade.
 */
pnx_status pnx__thing_bind(pnx_thing *thing, pnx_error *err);

#endif
