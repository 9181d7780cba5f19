/* SPDX-License-Identifier: MIT */
/** @file tar.h  Tar archives in files without a name, for copies to and from containers. */
#ifndef CLEANROOM_DOCKER_TAR_H
#define CLEANROOM_DOCKER_TAR_H

#include <patinox/base.h>

struct pnx__limit;

/** A file without a name in TMPDIR; the caller closes it. PNX_EFAILED. */
pnx_status pnx__docker_scratch(int *ret_fd, pnx_error *err);
/**
 * An archive of `from`: of a directory all that is in it, and with `itself` as one entry of its own
 * name. A file that is not a directory becomes one entry. Symbolic links stay links.
 */
pnx_status pnx__docker_tar_write(const char *from, bool itself, const struct pnx__limit *limit,
                                 int *ret_fd, pnx_error *err);
/** The file itself when `from` is none, an archive of its content when it is a directory. */
pnx_status pnx__docker_tar_open(const char *from, const struct pnx__limit *limit, int *ret_fd,
                                pnx_error *err);
/** An archive of one file. */
pnx_status pnx__docker_tar_one(const char *name, unsigned mode, const void *data, size_t size,
                               int *ret_fd, pnx_error *err);
/** Chooses among regular files, by their names in the archive. */
struct pnx__wanted {
    bool (*is)(const char *name, uint64_t size, void *context);
    void *context;
};
/**
 * Unpacks into the directory `to`, which is made if need be; `wanted` NULL: everything. Nothing is
 * written outside of it: absolute names and ".." are refused, nothing is written through a symbolic
 * link.
 */
pnx_status pnx__docker_tar_extract(int fd, const char *to, const struct pnx__wanted *wanted,
                                   const struct pnx__limit *limit, pnx_error *err);

#endif
