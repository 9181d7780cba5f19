/* SPDX-License-Identifier: MIT */
/** @file reaper.h  What the files of this room share. */
#ifndef CLEANROOM_REAPER_INTERNAL_H
#define CLEANROOM_REAPER_INTERNAL_H

#include <cleanroom/reaper.h>

#include "ledger/ledger.h"

/** A pidfd of the session's owner. PNX_EALREADY: it is dead. `*ret_pid` is written always. */
PNX_MUST_CHECK pnx_status pnx__supervisor_pidfd(const struct pnx__ledger_view *view, pid_t *ret_pid,
                                                int *ret_pidfd, pnx_error *err);
/**
 * Whoever makes a session holds a lock on its directory (state_session.c), by which it is known to
 * live until it has written who it is.
 */
bool pnx__is_being_made(int dir_fd);
/** pnx_session_reap in an open state directory; `deadline` 0: does not wait for anybody. */
pnx_status pnx__reap(int state_fd, pnx_id id, const char *adopter, pnx_time deadline,
                     pnx_session_report *ret, pnx_error *err);

#endif
