/* SPDX-License-Identifier: MIT */
/**
 * @file beat.h
 * Work that is done again and again: a timer of the registry's, then a job on a worker, then the
 * next timer. No thread belongs to it, and between two beats nothing runs.
 *
 * The timer is a periodic task (which a shutdown takes for nothing that leaked) that ends with its
 * first tick. The job is a resource of its own, of a PNX_BLOCKING kind: engines that do not answer
 * hold up at most half of the workers. Timer and job are each told of exactly once, so a beat that
 * is stopped knows when nothing of it can run any more:
 *
 *     timer is set ──► tick: timer is over, job begins ──► work … ──► job is over, timer is set
 *
 * One is over before the other begins, with the mutex held; stopped is over at the next of these.
 */
#ifndef CLEANROOM_CONTAINER_BEAT_H
#define CLEANROOM_CONTAINER_BEAT_H

#include <cleanroom/docker.h>
#include <patinox/patinox.h>
#include <pthread.h>

struct pnx__beat {
    pnx_registry *registry;
    /** What is done, on a worker, with no lock held, never two at a time. Answers how long it is
     *  until the next; PNX_FOREVER: there is none. */
    pnx_duration (*work)(void *owner);
    /** It could not go on: there was no memory for it, or the registry takes nothing in. */
    void (*failed)(void *owner, const pnx_error *err);
    /** It was stopped while it worked, and is over now: what is left to do, which the release that
     *  is pending answers. The owner may be gone afterwards. */
    pnx_status (*stopped)(void *owner, pnx_time deadline);
    void *owner;
    pnx_cancel *cancel; /* of what the work calls: it ends early when the beat is stopped */

    pthread_mutex_t mutex; /* of all below, and of whatever the owner likes */
    pnx_scope scope;
    pnx_id timer;
    bool timing, working, stopping, pending;
    pnx_token token;
    pnx_time deadline; /* of the release that is pending */
};

/** The functions, the owner and the registry are set, all else is zero. */
pnx_status pnx__beat_open(struct pnx__beat *beat, const char *name, pnx_error *err);
/** Begins. Once. */
pnx_status pnx__beat_begin(struct pnx__beat *beat, pnx_duration delay, pnx_error *err);
/**
 * Begins with work of the caller's own, in its thread: a beat that is stopped meanwhile waits for
 * its end, pnx__beat_leave, with the time until the next work, or PNX_FOREVER. PNX_EALREADY;
 * PNX_ECANCELED: it is stopped.
 */
pnx_status pnx__beat_enter(struct pnx__beat *beat, pnx_error *err);
void pnx__beat_leave(struct pnx__beat *beat, pnx_duration next);
/**
 * Nothing new begins, what goes on is canceled. PNX_OK: nothing of it runs any more. PNX_PENDING,
 * for the release `why` to answer: `stopped` will be called, and what it answers completes it.
 * `deadline` is handed on to it.
 * The release must not be PNX_BLOCKING: it could wait for the very work that it is to cancel. With
 * `blocks`, what `stopped` does takes time, and is done in a job of its own.
 */
pnx_status pnx__beat_stop(struct pnx__beat *beat, const pnx_release *why, pnx_time deadline,
                          bool blocks);
/** After it was stopped, or never began. */
void pnx__beat_close(struct pnx__beat *beat);
bool pnx__beat_is_stopping(struct pnx__beat *beat);

/** The end of a release's attempt, on CLOCK_MONOTONIC whatever clock the registry has; a little
 *  early, so that it is not declared late while it is still able to tell. */
pnx_time pnx__deadline_of(const pnx_release *why);

/**
 * Tells monitors and counters that something happened: a resource of that kind, whose life is this
 * one moment. The kinds are made by PNX__MOMENT.
 */
void pnx__moment(pnx_registry *registry, const pnx_kind *kind, void *owner);
pnx_status pnx__moment_over(void *value, const pnx_release *why);
#define PNX__MOMENT(NAME)                                                                          \
    {                                                                                              \
        .name = (NAME), .flags = PNX_QUICK | PNX_UNHELD, .value_size = sizeof(void *),             \
        .release = pnx__moment_over                                                                \
    }

#endif
