/* SPDX-License-Identifier: MIT */
/**
 * @file internal.h
 * The writer of a ledger, as its own files see it: create.c, append.c, room.c and commit.c.
 *
 * `lock` guards everything but what is fixed when it is made. Nothing is waited for while it is
 * held, but for the disk to give room.
 */
#ifndef CLEANROOM_LEDGER_INTERNAL_H
#define CLEANROOM_LEDGER_INTERNAL_H

#include "ledger/file.h"
#include "ledger/format.h"

#include <pthread.h>

/** What the writer must know of a resource. */
struct pnx__ledger_thing {
    uint16_t kind;
    uint8_t state;    /* enum pnx__ledger_state */
    uint8_t promised; /* slots set aside for what will still be said of it */
};

struct pnx__ledger {
    /* Fixed. */
    int fd, dir_fd;
    pid_t owner; /* a fork child is somebody else */
    uint32_t header_crc;
    char path[PNX__PATH_SIZE]; /* for people */

    pthread_mutex_t lock;
    unsigned char *map;
    size_t size;       /* mapped, and allocated on the file system */
    size_t populated;  /* from the start: its pages are there, so that a store cannot fail */
    uint32_t tail;     /* the slot that is written next */
    uint32_t promised; /* slots set aside, by all things and for CLOSED */
    int64_t checked;   /* when the file was last looked at, in ns since 1970 */
    bool closed;
    bool lost; /* cut short or removed by somebody: there is nothing to write to */

    struct pnx__ledger_thing *things;
    uint32_t thing_count, thing_room;

    /* commit.c: one leader calls fdatasync(2), the others wait for it. */
    pthread_cond_t synced_more;
    bool syncing, directories_synced;
    uint32_t synced; /* the slots before this one are on disk */
    int sync_error;  /* errno of a sync that failed: nothing can be said of what came before */
    int guard;       /* its place in the table of sigbus.c, or -1 */
};

/** Allocates and maps. The ledger is locked, or not yet shared, in all that follows. */
pnx_status pnx__ledger_map(pnx__ledger *ledger, size_t size, pnx_error *err);
/** `slots` more, besides all that was promised. Fails before anything was changed. */
pnx_status pnx__ledger_make_room(pnx__ledger *ledger, uint32_t slots, pnx_error *err);
/** The slots from the tail on can be stored to; looks whether the file is still there. */
pnx_status pnx__ledger_ready(pnx__ledger *ledger, uint32_t slots, int64_t now, pnx_error *err);
/** Makes the pages up to `end` present, or says why it cannot be done. */
pnx_status pnx__ledger_populate(pnx__ledger *ledger, size_t end, pnx_error *err);
/** It cannot be used any more; says so. */
pnx_status pnx__ledger_give_up(pnx__ledger *ledger, const char *what, pnx_error *err);
/** All slots before `upto` are on disk when this returns. Lets go of the lock while it waits. */
pnx_status pnx__ledger_commit(pnx__ledger *ledger, uint32_t upto, pnx_error *err);

/** Memory in which a SIGBUS is ours; -1 if too many are. See sigbus.c. */
int pnx__sigbus_guard(void *begin, size_t size);
void pnx__sigbus_moved(int guard, void *begin, size_t size);
void pnx__sigbus_release(int guard);
/** A store into it went nowhere. */
bool pnx__sigbus_struck(int guard);

#endif
