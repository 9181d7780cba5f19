/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void *checked(void *memory)
{
    if (memory == NULL) {
        (void)fprintf(stderr, "patinox-test: no memory\n");
        abort();
    }
    return memory;
}

void *pnx__test_alloc(size_t size)
{
    return checked(calloc(1, size));
}

void *pnx__test_grow(void *array, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return array;
    *room = *room == 0 ? 16 : *room * 2;
    return checked(realloc(array, *room * size));
}

void pnx__test_lock_init(pnx__test_lock *lock)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&lock->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_mutex_init(&lock->mutex, NULL);
}

void pnx__test_lock_done(pnx__test_lock *lock)
{
    (void)pthread_cond_destroy(&lock->changed);
    (void)pthread_mutex_destroy(&lock->mutex);
}

void pnx__test_acquire(pnx__test_lock *lock)
{
    (void)pthread_mutex_lock(&lock->mutex);
}

void pnx__test_release(pnx__test_lock *lock)
{
    (void)pthread_mutex_unlock(&lock->mutex);
}

void pnx__test_tell(pnx__test_lock *lock)
{
    (void)pthread_cond_broadcast(&lock->changed);
}

bool pnx__test_wait(pnx__test_lock *lock, pnx_time deadline)
{
    if (deadline == PNX_FOREVER) {
        (void)pthread_cond_wait(&lock->changed, &lock->mutex);
        return true;
    }
    const struct timespec until = {.tv_sec = deadline / PNX_S(1), .tv_nsec = deadline % PNX_S(1)};
    (void)pthread_cond_timedwait(&lock->changed, &lock->mutex, &until);
    return pnx_monotonic_now() < deadline;
}
