/* SPDX-License-Identifier: MIT */
/** @file helper.h  Where the programs are that a session has help of, and how they are started. */
#ifndef CLEANROOM_SESSION_HELPER_H
#define CLEANROOM_SESSION_HELPER_H

#include <patinox/base.h>
#include <stddef.h>
#include <sys/types.h>

/** The most descriptors that a helper is given. */
#define PNX__HELPER_FDS 4

/**
 * Starts the program at `path` as a child: in a session of its own, so that no terminal reaches it,
 * with no signal blocked or ignored. Its descriptors 0 … `count` - 1 are copies of `fds` (-1:
 * /dev/null), 0 to 2 always are something, and of ours it has no others. `directory` is where it
 * works; NULL: where we do. 0, or an errno.
 */
int pnx__helper_spawn(const char *path, char *const *argv, char *const *environment, const int *fds,
                      size_t count, const char *directory, pid_t *ret);

/**
 * The path of a program that belongs to the tool: in $CLEANROOM_LIBEXEC, beside `tool` or this very
 * program, or in ../libexec/cleanroom from there. PNX_ENOTFOUND names the places.
 */
PNX_MUST_CHECK pnx_status pnx__helper_find(const char *tool, const char *program, char *ret,
                                           size_t size, pnx_error *err);

#endif
