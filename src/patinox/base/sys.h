/* SPDX-License-Identifier: MIT */
/**
 * @file sys.h
 * The seam between the library and the system: memory, threads, futexes, clocks, descriptors and
 * randomness all come through here, and nowhere else, so that tests can make each of them fail.
 *
 * Promises: a failure looks exactly as that of the real call, and is told by the return value.
 * What cannot fail for the caller (free, unmap, futex, randomness) leaves errno as it was, because
 * it runs on paths on which a program is about to report an error of its own.
 */
#ifndef PNX_BASE_SYS_H
#define PNX_BASE_SYS_H

#include <errno.h>
#include <patinox/base.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

/* ---- fault points ---------------------------------------------------------------------------- */

/** 1 in the copy of the library that tests use to make calls fail; see pnx__fails. */
#ifndef PNX_FAULTS
#define PNX_FAULTS 0
#endif

/** What can be made to fail, and how it fails then. */
enum pnx__fault {
    PNX__FAULT_ALLOC,       /**< pnx__alloc: NULL, ENOMEM */
    PNX__FAULT_MAP,         /**< pnx__map: NULL, ENOMEM */
    PNX__FAULT_THREAD,      /**< pnx__thread_create: EAGAIN (it also asks PNX__FAULT_ALLOC) */
    PNX__FAULT_FUTEX_WAIT,  /**< pnx__futex_wait: returns at once as if woken */
    PNX__FAULT_EVENTFD,     /**< pnx__eventfd: -1, EMFILE */
    PNX__FAULT_TIMERFD,     /**< pnx__timerfd: -1, EMFILE */
    PNX__FAULT_TIMERFD_SET, /**< pnx__timerfd_set: EBADF, as if the program closed what is ours */
    PNX__FAULT_CLOCK,       /**< pnx__now, pnx__coarse: the other clock answers */
    PNX__FAULT_RANDOM,      /**< pnx__random64: no getrandom(2) */
    PNX__FAULT_WIPEONFORK,  /**< fork.c: a kernel without MADV_WIPEONFORK */
    PNX__FAULT_ATFORK,      /**< fork.c: pthread_atfork has no memory */
    PNX__FAULT_SLEEP,       /**< no call: a worker is about to say that it sleeps; see notify.c */
    PNX__FAULT_LIST,        /**< no call: a failure is about to be listed; see outcome.c */
    PNX__FAULT_TELL,        /**< no call: an end is counted, and about to be told; see outcome.c */
    PNX__FAULT_COUNT
};

#if PNX_FAULTS
typedef bool (*pnx__fault_fn)(enum pnx__fault point);
/** Answers whether this very call shall fail. NULL, the default: none does. Any thread may ask. */
extern _Atomic(pnx__fault_fn) pnx__fault_hook;

static inline bool pnx__fails(enum pnx__fault point)
{
    /* Acquire: pairs with the assignment in the test; what the hook looks at was set before it. */
    pnx__fault_fn hook = atomic_load_explicit(&pnx__fault_hook, memory_order_acquire);
    return hook && hook(point);
}
#else
static inline bool pnx__fails(enum pnx__fault point)
{
    (void)point;
    return false;
}
#endif

/* ---- memory ---------------------------------------------------------------------------------- */

/** Zeroed memory for any type without extended alignment; NULL and ENOMEM. `size` is not 0. */
PNX_MUST_CHECK void *pnx__alloc(size_t size);
/** `memory` may be NULL. Keeps errno. */
void pnx__free(void *memory);

/** Zeroed pages, at least `size` bytes, that cost nothing until touched; NULL and ENOMEM. */
PNX_MUST_CHECK void *pnx__map(size_t size);
/** Gives back what pnx__map gave for the same `size`. `memory` may be NULL. Keeps errno. */
void pnx__unmap(void *memory, size_t size);
/** The same for what holds no pointers: LeakSanitizer need not know, whose lock is not made for
 *  forks. */
PNX_MUST_CHECK void *pnx__map_bare(size_t size);
void pnx__unmap_bare(void *memory, size_t size);

/* ---- threads --------------------------------------------------------------------------------- */

/**
 * Starts a joinable thread with all signals blocked. `stack` in bytes, rounded up to what the
 * system wants; 0: the default. `name`, if not NULL, is cut to the 15 bytes that Linux keeps and
 * need not outlive the call. 0, or what pthread_create answers (EAGAIN, ENOMEM); `*thread` is then
 * unchanged.
 */
PNX_MUST_CHECK int pnx__thread_create(pthread_t *thread, size_t stack, void *(*run)(void *),
                                      void *argument, const char *name);

/* ---- clocks ---------------------------------------------------------------------------------- */

/** What `clock` says, by the system call; 0, time stands still, when it is refused too. */
pnx_time pnx__clock_fallback(clockid_t clock);

static inline pnx_time pnx__time_of(struct timespec time)
{
    return PNX_S(time.tv_sec) + time.tv_nsec;
}

/** CLOCK_MONOTONIC; about 20 ns through the vDSO. Signal-safe. */
static inline pnx_time pnx__now(void)
{
    struct timespec time;
    if (PNX_UNLIKELY(pnx__fails(PNX__FAULT_CLOCK) || clock_gettime(CLOCK_MONOTONIC, &time) != 0)) {
        return pnx__clock_fallback(CLOCK_MONOTONIC_COARSE);
    }
    return pnx__time_of(time);
}

/** CLOCK_MONOTONIC_COARSE: a tick behind at most; about 5 ns. Signal-safe. */
static inline pnx_time pnx__coarse(void)
{
    struct timespec time;
    if (PNX_UNLIKELY(pnx__fails(PNX__FAULT_CLOCK) ||
                     clock_gettime(CLOCK_MONOTONIC_COARSE, &time) != 0)) {
        return pnx__clock_fallback(CLOCK_MONOTONIC);
    }
    return pnx__time_of(time);
}

/* ---- futex ----------------------------------------------------------------------------------- */

/**
 * Sleeps while `*word` is `expected`, until a wake or until `deadline` on CLOCK_MONOTONIC
 * (PNX_FOREVER: none). 0: woken, or the word differs, or a signal came, or for no reason: look
 * again. ETIMEDOUT: the deadline has passed. Keeps errno. Not a cancellation point.
 *
 * The kernel compares the word and goes to sleep under a lock that a waker takes too, so a wake
 * between the caller's own look and the sleep is not lost if the waker changed the word before.
 */
int pnx__futex_wait(_Atomic uint32_t *word, uint32_t expected, pnx_time deadline);
/** Wakes at most `count` sleepers (UINT_MAX: all). Keeps errno. Signal-safe. */
void pnx__futex_wake(_Atomic uint32_t *word, unsigned count);

/* ---- descriptors ----------------------------------------------------------------------------- */

/** A non-blocking close-on-exec eventfd(2) of count 0; -1 and errno. */
PNX_MUST_CHECK int pnx__eventfd(void);
/** A non-blocking close-on-exec timerfd on CLOCK_MONOTONIC, disarmed; -1 and errno. */
PNX_MUST_CHECK int pnx__timerfd(void);
/** Arms it for `when` (already past: at once; PNX_FOREVER: disarms it). 0 or errno. Keeps errno. */
PNX_MUST_CHECK int pnx__timerfd_set(int fd, pnx_time when);

/* ---- randomness ------------------------------------------------------------------------------ */

/**
 * 64 bits that differ from all others: of the kernel, or, where it refuses (old, sandboxed, not
 * seeded yet so early at boot), mixed from clocks, process, thread and the random bytes that every
 * exec gets. Unique, not secret. Never fails, never waits. Keeps errno.
 */
uint64_t pnx__random64(void);

#endif
