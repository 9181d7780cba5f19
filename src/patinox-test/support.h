/* SPDX-License-Identifier: MIT */
/*
 * What the files of this library share: memory that is there, and waiting on conditions.
 */
#ifndef PATINOX_TEST_SUPPORT_H
#define PATINOX_TEST_SUPPORT_H

#include <patinox/test.h>
#include <pthread.h>

/* Never NULL: without memory the program ends. */
void *pnx__test_alloc(size_t size);
/* Makes room for one more entry in an array; answers the array. */
void *pnx__test_grow(void *array, size_t count, size_t *room, size_t size);

/* A lock with a condition, for whoever waits for what it guards. */
typedef struct pnx__test_lock {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
} pnx__test_lock;

void pnx__test_lock_init(pnx__test_lock *lock);
void pnx__test_lock_done(pnx__test_lock *lock);
void pnx__test_acquire(pnx__test_lock *lock);
void pnx__test_release(pnx__test_lock *lock);
/* With the lock: something changed. */
void pnx__test_tell(pnx__test_lock *lock);
/* With the lock: waits for a change. False: the deadline (monotonic) has passed. */
bool pnx__test_wait(pnx__test_lock *lock, pnx_time deadline);

#endif
