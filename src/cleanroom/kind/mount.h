/* SPDX-License-Identifier: MIT */
/** @file mount.h  Looking a mount up, and taking it away; mount.c and mount_remove.c. */
#ifndef CLEANROOM_KIND_MOUNT_H
#define CLEANROOM_KIND_MOUNT_H

#include "kind/mount_table.h"

/** Is it an absolute path as the kernel prints it, without "//", "/./", "/../" and a last "/"? */
bool pnx__is_plain_path(const char *path);

/** Opens what lies at `path`, on top, without looking into it or following a link; -1 and errno. */
int pnx__mount_open(const char *path);
/**
 * The identity of the mount whose root `fd`, opened at `point`, is. PNX_OK; PNX_ENOTFOUND: it is
 * the root of none; PNX_EFAILED, PNX_EUNSUPPORTED.
 */
pnx_status pnx__mount_of_fd(int fd, const char *point, char ret[PNX__MOUNT_IDENTITY_MAX],
                            pnx_error *err);
/** Is it there, wherever? PNX_OK, PNX_ENOTFOUND, PNX_EFAILED. */
pnx_status pnx__mount_still(const char *name, const char *identity, pnx_error *err);

pnx_status pnx__mount_remove(const char *name, const char *identity, pnx_time deadline,
                             pnx_error *err);

/**
 * "sh (4711), cat (4712)": processes that have something open beneath `path`, a few of them. Empty
 * if none is found among those that we may look into.
 */
void pnx__path_users(const char *path, char *buffer, size_t size);

/** Unmounts by fusermount3(1), which may what we may not. True: it ran and says that it did. */
bool pnx__fuse_unmount(const char *point, bool lazily, pnx_time deadline);

#endif
