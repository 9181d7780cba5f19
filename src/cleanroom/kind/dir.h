/* SPDX-License-Identifier: MIT */
/** @file dir.h  Finding a temporary directory that somebody else made. */
#ifndef CLEANROOM_KIND_DIR_H
#define CLEANROOM_KIND_DIR_H

#include "kind/inode.h"

#include <limits.h>

/** What a removal puts before the name, so that nobody finds it half empty. */
#define PNX__TEMPDIR_GARBAGE ".garbage-"

/** "device:inode:birth"; like snprintf(3). */
int pnx__tempdir_format(const struct pnx__inode *inode, char *buffer, size_t size);
/**
 * Looks for it under its name, as garbage, and, with an identity, anywhere in the same directory.
 * `*ret_parent` is that directory, open, and the caller's; `ret_name` its name there now.
 * PNX_ENOTFOUND, PNX_EINVAL, PNX_EFAILED.
 */
pnx_status pnx__tempdir_find(const char *path, const char *identity, int *ret_parent,
                             char ret_name[NAME_MAX + 1], struct pnx__inode *ret_inode,
                             pnx_error *err);

#endif
