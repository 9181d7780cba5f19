/* SPDX-License-Identifier: MIT */
/** @file block.h  What sysfs tells of block devices. No function here opens a device. */
#ifndef CLEANROOM_KIND_BLOCK_H
#define CLEANROOM_KIND_BLOCK_H

#include <patinox/base.h>

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/** "/sys/block", or what a test put in its place (NULL: that again). */
const char *pnx__block_root(void);
void pnx__block_set_root(const char *path);

/** Opens it; -1 and errno. */
int pnx__block_open(void);
/** Reads DEVICE/FILE beneath it as one line, without the newline; -1 and errno. */
ssize_t pnx__block_read(int root, const char *device, const char *file, char *buffer, size_t size);

/** PNX_EUNSUPPORTED, PNX_EFAILED: the root cannot be listed. False of `visit` ends it. */
pnx_status pnx__block_each(const char *prefix,
                           bool (*visit)(int root, const char *device, void *context),
                           void *context, pnx_error *err);

/** "dm-0, mounted on /srv": what uses it. Empty: nothing that can be seen. */
void pnx__block_users(const char *device, char *buffer, size_t size);

#endif
