/* SPDX-License-Identifier: MIT */
/**
 * @file mount_table.h
 * The mounts of this mount namespace that can be seen from our root directory.
 *
 * Since Linux 6.8 every mount has a number that is never given again, and listmount(2) and
 * statmount(2) tell of mounts by it; before that, the numbers in /proc/self/mountinfo are given
 * again at once. No function here touches a mounted file system: a dead one cannot hold us up.
 */
#ifndef CLEANROOM_KIND_MOUNT_TABLE_H
#define CLEANROOM_KIND_MOUNT_TABLE_H

#include <cleanroom/thing.h>

struct pnx__mount {
    uint64_t unique, unique_parent; /* 0: not known here */
    uint32_t id, parent;            /* may be given again when it is gone */
    uint32_t major, minor;          /* of the file system's device */
    const char *point;              /* where it is mounted */
    const char *type;               /* of the file system */
    const char *source;             /* "": not known */
};

/** Are mounts told apart by numbers that are never given again? Asked of the system once. */
bool pnx__mounts_unique(void);
/** For tests: what pnx__mounts_unique answers from now on; negative: what is true. */
void pnx__mounts_set_unique(int answer);

#define PNX__MOUNT_IDENTITY_MAX 64
/** "u" and the number that is never given again; else "m", its number and what it is. */
void pnx__mount_identity(const struct pnx__mount *mount, char ret[PNX__MOUNT_IDENTITY_MAX]);

/** The texts of `mount` are valid during the call. False ends it. */
typedef bool (*pnx__mount_visit_fn)(const struct pnx__mount *mount, void *context);
pnx_status pnx__mounts_each(pnx__mount_visit_fn visit, void *context, pnx_error *err);

/** Which mount a file system object lies in. PNX_OK, PNX_EFAILED, PNX_EUNSUPPORTED (no /proc). */
pnx_status pnx__mount_id_of_fd(int fd, uint32_t *ret, pnx_error *err);
/**
 * The number of the mount whose root `fd` is, 0 if it is the root of none. False: the file system
 * did not let us look, or mounts have no such numbers.
 */
bool pnx__mount_unique_of_fd(int fd, uint64_t *ret);
/** Is the mount with this unique number there? PNX_OK, PNX_ENOTFOUND, PNX_EFAILED. */
pnx_status pnx__mount_is_there(uint64_t unique, pnx_error *err);

/** A descriptor for pnx__mounts_changed; -1: there is none. The caller closes it. */
int pnx__mounts_watch(void);
/** Did any mount come, go, or change since it was asked last, or since it was opened? */
bool pnx__mounts_changed(int watch);

#endif
