/* SPDX-License-Identifier: MIT */
/*
 * What a task is.
 *
 * Its life, in `state`, a futex
 *
 *     RUNNING   the body runs
 *     ENDED     it returned, or its thread was ended; the thread may still be on its way out
 *     JOINING   one of those who wait joins the thread
 *     JOINED    the thread is gone
 *
 *     RUNNING → ENDED      the thread itself
 *     ENDED → JOINING      one of those who wait, by compare and swap
 *     JOINING → JOINED     the same one, or back to ENDED, when its deadline is over
 *
 * The memory belongs to the scope, the thread, the resource (until its release is over) and
 * everyone who waits, together. The last one to let go joins the thread if nobody has; if that is
 * the thread itself, which can only be when all others gave up on it, it leaves that to the next
 * thread that leaves so, or to the end of the process (pnx__process_leave).
 */
#ifndef PATINOX_GUARD_TASK_H
#define PATINOX_GUARD_TASK_H

#include <patinox/task.h>
#include <pthread.h>
#include <stdatomic.h>

enum { PNX__TASK_RUNNING, PNX__TASK_ENDED, PNX__TASK_JOINING, PNX__TASK_JOINED };

/* In `canceled`. */
enum { PNX__TASK_NOT_CANCELED, PNX__TASK_BEING_CANCELED, PNX__TASK_CANCELED };

#define PNX__TASK_REASON_SIZE 64

struct pnx_task {
    struct pnx_task *older; /* of the same scope */
    size_t serial;          /* of its entry in there */
    pnx_task_fn body;
    void *argument;
    pnx_duration join_timeout;
    pthread_t thread;
    pnx_status result; /* from ENDED on */
    _Atomic uint32_t state;
    _Atomic uint32_t canceled; /* a futex, too; the reason is there when it is CANCELED */
    _Atomic uint32_t references;
    char reason[PNX__TASK_REASON_SIZE];
};

#endif
