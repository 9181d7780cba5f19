/* SPDX-License-Identifier: MIT */
/**
 * @file mqueue.h
 * POSIX message queues, guarded from outside the process: `mqueue` among the sorts of thing.h.
 *
 * The name is that of mq_open(3), "/x"; the identity is device and inode. Queues are listed through
 * their file system: with the privilege to mount, through one that is mounted nowhere; without, as
 * it is mounted at /dev/mqueue, if that is the one of our own IPC namespace; else the listing
 * answers PNX_EUNSUPPORTED.
 *
 * Not promised: queues cannot be renamed, so between the last look and the removal there is a
 * window of two system calls in which another queue may take the name, and is removed instead. (The
 * directory is sticky: only the same user, or root, can make room for it.) The kernel does not keep
 * when a queue was made.
 */
#ifndef CLEANROOM_MQUEUE_H
#define CLEANROOM_MQUEUE_H

#include <cleanroom/thing.h>
#include <mqueue.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Makes the queue `name` ("/x") for its owner alone (mode 0600), with room for `messages` of
 * `message_size` bytes; both 0: as the system likes. `*ret_queue` is open for reading and writing
 * and close-on-exec; it is the caller's, who may pass NULL for none. The caller owns `*ret`:
 * pnx_thing_remove and pnx_thing_free, or a guard.
 * PNX_EINVAL (the name or the size cannot be); PNX_ELIMIT: RLIMIT_MSGQUEUE, or a limit in
 * /proc/sys/fs/mqueue; PNX_EFAILED: errno says why, EEXIST: the name is taken, and the keeper was
 * told nothing; PNX_EUNSUPPORTED; PNX_ENOMEM; what the keeper answers. Nothing exists after a
 * failure.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_mqueue_create(const char *name, long messages,
                                                    long message_size, const pnx_keeper *keeper,
                                                    pnx_thing **ret, mqd_t *ret_queue,
                                                    pnx_error *err);

/** Its release removes what the name stands for if it is still the same, and verifies that. */
extern PNX_API const pnx_kind pnx_kind_mqueue;

#ifdef __cplusplus
}
#endif

PNX__OFFER_KIND(mqueue, pnx_thing *);

#endif
