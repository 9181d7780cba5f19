/* SPDX-License-Identifier: MIT */
/**
 * @file state.h
 * Where ledgers and reports live, per user:
 *
 *   $CLEANROOM_STATE_DIR, else for root /var/lib/cleanroom, else $XDG_STATE_HOME/cleanroom, else
 *   ~/.local/state/cleanroom; without a HOME that can be written /var/tmp/cleanroom-<uid>
 *     sessions/<id>/ledger    and what other rooms put there, regular files only
 *     reports/<id>.json
 *
 * Everything below is reached through descriptors. Any thread.
 */
#ifndef CLEANROOM_LEDGER_STATE_H
#define CLEANROOM_LEDGER_STATE_H

#include <patinox/base.h>

/** The name of the ledger in the directory of its session. */
#define PNX__STATE_LEDGER "ledger"

/**
 * Opens the state directory, and makes it (0700) and what it needs if it is not there. Its path
 * goes to `ret_path`, cut to `size` (NULL, 0: not wanted). PNX_EFAILED: a symbolic link, somebody
 * else's, writable by others, cannot be made; PNX_EINVAL: the environment names no absolute path.
 */
PNX_MUST_CHECK pnx_status pnx__state_open(int *ret_fd, char *ret_path, size_t size, pnx_error *err);

/**
 * Makes the directory of a session and opens it. While that descriptor (or a copy of it, in a fork
 * child too) is open, pnx__state_session_remove by somebody else does not take the session for one
 * that died before it had begun. PNX_EFAILED: it exists, or cannot be made.
 */
PNX_MUST_CHECK pnx_status pnx__state_session_create(int state_fd, pnx_id id, int *ret_dir_fd,
                                                    pnx_error *err);
/** Opens the directory of a session that exists. PNX_ENOTFOUND; PNX_EFAILED: not ours, a link. */
PNX_MUST_CHECK pnx_status pnx__state_session_open(int state_fd, pnx_id id, int *ret_dir_fd,
                                                  pnx_error *err);

/**
 * Receives a session; `dir_fd` is closed when the call returns. It is -1 and `problem` says why if
 * the directory cannot be used: somebody else's, a link; `problem` is NULL else. False: enough.
 */
typedef bool (*pnx__state_visit_fn)(pnx_id id, int dir_fd, const pnx_error *problem, void *context);
/** Every session there is, in no order. What has no session id for its name is passed over. */
PNX_MUST_CHECK pnx_status pnx__state_each_session(int state_fd, pnx__state_visit_fn visit,
                                                  void *context, pnx_error *err);
/**
 * Removes the regular files of a session, its ledger last, then its directory. PNX_EALREADY: there
 * is none. PNX_EBUSY: it is just being made, which means that its ledger has not begun and that its
 * maker lives, or removed by somebody else. PNX_EFAILED: something else is in it, then nothing was
 * removed; or it is not ours.
 *
 * It is asked by a lock on the directory whether the maker lives. So the maker itself closes its
 * descriptor before (and its ledger), and cleaners elect each other by a lock of another name than
 * ".".
 */
PNX_MUST_CHECK pnx_status pnx__state_session_remove(int state_fd, pnx_id id, pnx_error *err);

/** Opens (makes) the directory of the reports; pnx__state_report_name names the files in it. */
PNX_MUST_CHECK pnx_status pnx__state_reports_open(int state_fd, int *ret_fd, pnx_error *err);

#define PNX__STATE_REPORT_NAME_SIZE 48
/** "<id>.json"; returns `buffer`. */
char *pnx__state_report_name(pnx_id id, char buffer[PNX__STATE_REPORT_NAME_SIZE]);

#endif
