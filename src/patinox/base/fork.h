/* SPDX-License-Identifier: MIT */
/**
 * @file fork.h
 * Tells, for the price of two loads, whether this process is a fork child of the one that made an
 * object: the object keeps the epoch in which it was made, and the epoch changes with every fork.
 *
 * Promises: an epoch is never 0, and stays the same for the life of a process. A child's differs
 * from every epoch that its ancestors had learnt before they forked, so no object that it
 * inherited looks like its own; processes that inherit nothing from each other may have the same
 * one. vfork(2), posix_spawn(3) and clone(CLONE_VM) do not change it, for the memory stays one.
 * Everything here is lock-free, and may be called at any time from any thread, also in the child
 * of a fork that happened at any instruction.
 */
#ifndef PNX_BASE_FORK_H
#define PNX_BASE_FORK_H

#include <patinox/base.h>
#include <stdatomic.h>

/* Said here too, though it is the build's default: only so it is a direct access in other files. */
#define PNX__HIDDEN __attribute__((visibility("hidden")))

/** Holds the epoch, or 0 when it is not known yet: before the first use, and in a fork child. */
extern _Atomic(_Atomic uint32_t *) pnx__fork_word PNX__HIDDEN;

/** Sets detection up, if nobody did: maps a page, never fails. Keeps errno. */
void pnx__fork_init(void);

/** The rest of pnx__fork_epoch, for the word 0. */
uint32_t pnx__fork_epoch_slow(void) PNX__HIDDEN;

/**
 * The epoch of this process. Sets detection up, if nobody did. Signal-safe after pnx__fork_init.
 */
static inline uint32_t pnx__fork_epoch(void)
{
    /* Acquire: pairs with the release in publish_word(); the word was set before it was shown. */
    _Atomic uint32_t *word = atomic_load_explicit(&pnx__fork_word, memory_order_acquire);
    /* Relaxed: the epoch stands for itself, nothing else is read because of it. */
    uint32_t epoch = atomic_load_explicit(word, memory_order_relaxed);
    return PNX_LIKELY(epoch != 0) ? epoch : pnx__fork_epoch_slow();
}

#endif
