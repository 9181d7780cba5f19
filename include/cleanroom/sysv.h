/* SPDX-License-Identifier: MIT */
/**
 * @file sysv.h
 * System V shared memory, semaphore sets and message queues, guarded from outside the process:
 * `sysv-shm`, `sysv-sem` and `sysv-msg` among the sorts of thing.h.
 *
 * One with a key has the name "key:0x" and eight hexadecimal digits; one without (IPC_PRIVATE) has
 * the name "id:" and its number. The identity is id, key, creating user and creating process (where
 * the kernel tells it), none of which can be changed later. The time is no part of it: IPC_SET, and
 * with semaphores SETVAL and SETALL too, move it, so that a thing would seem to be another one
 * because it was used. An id comes again only after tens of thousands of others.
 *
 * What nobody can look up by name cannot be settled after a crash. So whoever asks for no key
 * (IPC_PRIVATE, 0) is given a random one that is free: the mode is 0600 in any case, and whoever
 * has the id uses it just the same.
 *
 * Not promised: a segment that processes are attached to is marked for destruction by its removal
 * and stays until the last of them detaches or ends; until then the removal answers PNX_EBUSY, and
 * says how many there are. Identities are read in the same pid and user namespaces in which they
 * were written.
 */
#ifndef CLEANROOM_SYSV_H
#define CLEANROOM_SYSV_H

#include <cleanroom/thing.h>
#include <sys/ipc.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Makes a segment of `size` bytes, for its owner alone (mode 0600). `key` IPC_PRIVATE: a random
 * one. `*ret_id` (may be NULL) is for shmat(2). The caller owns `*ret`: pnx_thing_remove and
 * pnx_thing_free, or a guard.
 * PNX_EINVAL (the size cannot be); PNX_ELIMIT: one of the system's limits, see ipcs -l;
 * PNX_EFAILED: errno says why, EEXIST: the key is taken, and the keeper was told nothing;
 * PNX_EUNSUPPORTED; PNX_ENOMEM; what the keeper answers. Nothing exists after a failure.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_sysv_shm_create(key_t key, size_t size,
                                                      const pnx_keeper *keeper, pnx_thing **ret,
                                                      int *ret_id, pnx_error *err);
/** Likewise a set of `count` semaphores, all zero. */
PNX_MUST_CHECK PNX_API pnx_status pnx_sysv_sem_create(key_t key, unsigned count,
                                                      const pnx_keeper *keeper, pnx_thing **ret,
                                                      int *ret_id, pnx_error *err);
/** Likewise a message queue. */
PNX_MUST_CHECK PNX_API pnx_status pnx_sysv_msg_create(key_t key, const pnx_keeper *keeper,
                                                      pnx_thing **ret, int *ret_id, pnx_error *err);

/** Their release removes it if it is still the same, and verifies that. */
extern PNX_API const pnx_kind pnx_kind_sysv_shm;
extern PNX_API const pnx_kind pnx_kind_sysv_sem;
extern PNX_API const pnx_kind pnx_kind_sysv_msg;

#ifdef __cplusplus
}
#endif

PNX__OFFER_KIND(sysv_shm, pnx_thing *);
PNX__OFFER_KIND(sysv_sem, pnx_thing *);
PNX__OFFER_KIND(sysv_msg, pnx_thing *);

#endif
