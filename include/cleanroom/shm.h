/* SPDX-License-Identifier: MIT */
/**
 * @file shm.h
 * POSIX shared memory objects and named semaphores, guarded from outside the process: `shm` and
 * `semaphore` among the sorts of thing.h.
 *
 * Both are files in /dev/shm: "/x" is the object /dev/shm/x, or the semaphore /dev/shm/sem.x. Their
 * identity is device, inode and, where the kernel tells it, the time of birth. What is removed has
 * been looked at under a name that nobody else uses, so that a newer one that takes the name in
 * that very moment is not destroyed.
 *
 * Not promised: removing takes the name away. Processes that have it mapped keep the memory until
 * they unmap it or end.
 */
#ifndef CLEANROOM_SHM_H
#define CLEANROOM_SHM_H

#include <cleanroom/thing.h>
#include <semaphore.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Makes the object `name` ("/x") of `size` bytes, all zero, for its owner alone (mode 0600). It
 * appears under its name when it has its size, never before. `*ret_fd` is open for reading and
 * writing and close-on-exec; it is the caller's, who may pass NULL for none. The caller owns
 * `*ret`: pnx_thing_remove and pnx_thing_free, or a guard.
 * PNX_EINVAL (the name or the size cannot be); PNX_EFAILED: errno says why, EEXIST: the name is
 * taken, and the keeper was told nothing; PNX_EUNSUPPORTED: no /dev/shm that can do it; PNX_ENOMEM;
 * what the keeper answers. Nothing exists after a failure.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_shm_create(const char *name, size_t size,
                                                 const pnx_keeper *keeper, pnx_thing **ret,
                                                 int *ret_fd, pnx_error *err);

/**
 * Makes the semaphore `name` ("/x") with this value, for its owner alone. It appears complete,
 * unlike with sem_open(3) and O_CREAT no other file can stay behind when we are killed meanwhile.
 * `*ret_semaphore` is opened as by sem_open(3); the caller closes it with sem_close(3); NULL: not
 * wanted. Errors as above; PNX_EINVAL also for a value above SEM_VALUE_MAX.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_semaphore_create(const char *name, unsigned value,
                                                       const pnx_keeper *keeper, pnx_thing **ret,
                                                       sem_t **ret_semaphore, pnx_error *err);

/** Their release removes what the name stands for if it is still the same, and verifies that. */
extern PNX_API const pnx_kind pnx_kind_shm;
extern PNX_API const pnx_kind pnx_kind_semaphore;

#ifdef __cplusplus
}
#endif

PNX__OFFER_KIND(shm, pnx_thing *);
PNX__OFFER_KIND(semaphore, pnx_thing *);

#endif
