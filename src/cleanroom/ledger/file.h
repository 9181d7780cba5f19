/* SPDX-License-Identifier: MIT */
/** @file file.h  Opening files and directories that nobody else may have had a hand in. */
#ifndef CLEANROOM_LEDGER_FILE_H
#define CLEANROOM_LEDGER_FILE_H

#include <fcntl.h>
#include <patinox/base.h>

#define PNX__PATH_SIZE 4352

/** "/path/of/dir/name" for people; "…/name" if the kernel does not tell. Returns `buffer`. */
const char *pnx__file_path(int dir_fd, const char *name, char buffer[PNX__PATH_SIZE]);

/**
 * Opens an existing regular file by O_RDONLY or O_RDWR, and gives its size. PNX_ENOTFOUND: there is
 * none; PNX_EFAILED: a link, no regular file, another user's, writable by others.
 */
PNX_MUST_CHECK pnx_status pnx__file_open(int dir_fd, const char *name, int access, int *ret_fd,
                                         uint64_t *ret_size, pnx_error *err);

/**
 * Opens a directory; where `make`, makes it (0700) if it is not there. PNX_ENOTFOUND, PNX_EFAILED
 * as above.
 */
PNX_MUST_CHECK pnx_status pnx__directory_open(int dir_fd, const char *name, bool make, int *ret_fd,
                                              pnx_error *err);

/** /etc/machine-id; none where there is none. */
pnx_id pnx__machine_id(void);

#endif
