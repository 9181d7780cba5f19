/* SPDX-License-Identifier: MIT */
/*
 * Fork detection; see fork.h for what it promises.
 *
 * `pnx__fork_word` points to a word that a fork sets to 0 in the child, in one of four states:
 *
 *     word          set to 0 by                        when
 *     &unset_word   is always 0                        before pnx__fork_init
 *     a page        the kernel: MADV_WIPEONFORK        Linux 4.14 and later
 *     &reset_word   reset_in_child, a fork handler     older or emulated kernels
 *     &pid_word     is always 0; getpid(2) is asked    not even a fork handler could be registered
 *
 * The state is chosen once, by one compare-and-swap, and inherited by children. Why the kernel
 * first: a fork handler does not run for clone(2) and _Fork(3), nor for a fork that is under way
 * while it is registered, and slows down every fork(2) of the program.
 *
 * Why no lock and no pthread_once: a fork at any instruction, by another thread, leaves a child
 * that must still work; a lock would then be held for ever.
 *
 * Why epochs never repeat along a line of descent: `last_epoch` is ordinary memory, so a child
 * begins with its parent's value, and it is raised *before* an epoch is installed, so it is never
 * behind any epoch that was ever seen.
 */
#include "base/fork.h"

#include "base/sys.h"

#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

static _Atomic uint32_t unset_word;
static _Atomic uint32_t reset_word;
static _Atomic uint32_t pid_word;
_Atomic(_Atomic uint32_t *) pnx__fork_word = &unset_word;

static _Atomic uint32_t last_epoch;

static uint32_t next_epoch(void)
{
    uint32_t epoch;
    do {
        /* Relaxed: install_epoch() orders it. Adding, not storing: two threads of a child that race
         * here must not lower it. */
        epoch = atomic_fetch_add_explicit(&last_epoch, 1, memory_order_relaxed) + 1;
    } while (epoch == 0);
    return epoch;
}

/* Sets the word to a new epoch unless somebody else just did; returns what it is then. */
static uint32_t install_epoch(_Atomic uint32_t *word)
{
    uint32_t found = 0;
    uint32_t epoch = next_epoch();
    /* Release: pairs with the fork(2) of a thread that read this word: its child's copy of
     * `last_epoch` must be at least what the word said. */
    bool installed = atomic_compare_exchange_strong_explicit(
        word, &found, epoch, memory_order_release, memory_order_relaxed);
    return installed ? epoch : found;
}

/*
 * The last resort. The process id and the epoch that goes with it are one word, to change as one.
 * It takes a vfork child that calls the library, which POSIX forbids, for a fork child.
 */
static uint32_t epoch_by_pid(void)
{
    static _Atomic uint64_t known;
    uint64_t pid = (uint32_t)getpid();
    /* Relaxed: the word stands for itself. */
    uint64_t seen = atomic_load_explicit(&known, memory_order_relaxed);
    if (seen >> 32 == pid) {
        return (uint32_t)seen;
    }
    uint64_t fresh = pid << 32 | next_epoch();
    /* Release: as in install_epoch(). Whoever was faster is of this process too. */
    bool installed = atomic_compare_exchange_strong_explicit(
        &known, &seen, fresh, memory_order_release, memory_order_relaxed);
    return (uint32_t)(installed ? fresh : seen);
}

static bool publish_word(_Atomic uint32_t *word)
{
    _Atomic uint32_t *expected = &unset_word;
    /* Release: pairs with the acquire in pnx__fork_epoch(). */
    return atomic_compare_exchange_strong_explicit(&pnx__fork_word, &expected, word,
                                                   memory_order_release, memory_order_relaxed);
}

static bool wipe_on_fork(void *page, size_t size)
{
    if (pnx__fails(PNX__FAULT_WIPEONFORK)) {
        return false;
    }
    /* QEMU's user mode has answered success to every advice, as BoringSSL found (fork_detect.cc):
     * who accepts nonsense cannot be believed. */
    return madvise(page, size, -1) != 0 && madvise(page, size, MADV_WIPEONFORK) == 0;
}

static bool init_page(void)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    _Atomic uint32_t *word = pnx__map_bare(size);
    if (!word) {
        return false;
    }
    bool wiped = wipe_on_fork(word, size);
    if (wiped) {
        (void)install_epoch(word);
        if (publish_word(word)) {
            return true;
        }
    }
    pnx__unmap_bare(word, size);
    return wiped;
}

/* Runs in the child, in the thread that forked, before fork(2) returns there. */
static void reset_in_child(void)
{
    /* Relaxed: there is no other thread yet. */
    atomic_store_explicit(&reset_word, 0, memory_order_relaxed);
}

static bool init_handler(void)
{
    if (pnx__fails(PNX__FAULT_ATFORK) || pthread_atfork(NULL, NULL, reset_in_child) != 0) {
        return false;
    }
    (void)install_epoch(&reset_word);
    (void)publish_word(&reset_word);
    return true;
}

void pnx__fork_init(void)
{
    /* Acquire: pairs with the release in publish_word(), for the callers' sake. */
    if (atomic_load_explicit(&pnx__fork_word, memory_order_acquire) != &unset_word) {
        return;
    }
    int saved = errno;
    if (!init_page() && !init_handler()) {
        (void)publish_word(&pid_word);
    }
    errno = saved;
}

uint32_t pnx__fork_epoch_slow(void)
{
    pnx__fork_init();
    /* Acquire: pairs with the release in publish_word(). */
    _Atomic uint32_t *word = atomic_load_explicit(&pnx__fork_word, memory_order_acquire);
    return word == &pid_word ? epoch_by_pid() : install_epoch(word);
}
