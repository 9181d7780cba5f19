/* SPDX-License-Identifier: MIT */
/**
 * @file identity.h
 * Who a process is, for ever: a pid is used again, this is not. It can be written down, and read
 * by another process after both the named one and the writer are dead. Any thread; nothing
 * allocates.
 */
#ifndef CLEANROOM_LEDGER_IDENTITY_H
#define CLEANROOM_LEDGER_IDENTITY_H

#include <patinox/base.h>
#include <sys/types.h>

struct pnx__identity {
    pid_t pid;          /**< in the pid namespace of who wrote it down */
    uint64_t start;     /**< when it was started, in clock ticks since boot */
    uint64_t handle;    /**< its number in pidfs, unique within a boot; 0: the kernel has none */
    uint64_t namespace; /**< the inode of that pid namespace */
    pnx_id boot;        /**< of the machine */
};

/** "pid:start:handle:namespace:boot" */
#define PNX__IDENTITY_TEXT_SIZE 128

PNX_MUST_CHECK pnx_status pnx__identity_self(struct pnx__identity *ret, pnx_error *err);
/**
 * Of whoever has this pid now; a child that was not waited for keeps its pid. PNX_EALREADY: dead (a
 * zombie is dead).
 */
PNX_MUST_CHECK pnx_status pnx__identity_of_pid(pid_t pid, struct pnx__identity *ret,
                                               pnx_error *err);
/** Of the process behind a pidfd. PNX_EALREADY: dead. */
PNX_MUST_CHECK pnx_status pnx__identity_of_pidfd(int pidfd, struct pnx__identity *ret,
                                                 pnx_error *err);

/** Writes it as text and returns `buffer`. */
char *pnx__identity_format(const struct pnx__identity *identity,
                           char buffer[PNX__IDENTITY_TEXT_SIZE]);
/** Reads the text back. PNX_EINVAL: it is none. */
PNX_MUST_CHECK pnx_status pnx__identity_parse(const char *text, struct pnx__identity *ret,
                                              pnx_error *err);
bool pnx__identity_equal(const struct pnx__identity *a, const struct pnx__identity *b);

/**
 * A pidfd of exactly that process, close-on-exec. PNX_EALREADY: it is dead, which is final; so is a
 * zombie, and all that lived before the machine was started. PNX_EUNSUPPORTED: it lived in a pid
 * namespace that cannot be seen from here, so nobody here can say. PNX_EFAILED: out of descriptors
 * and the like; nothing is known.
 */
PNX_MUST_CHECK pnx_status pnx__identity_pidfd(const struct pnx__identity *identity, int *ret_pidfd,
                                              pnx_error *err);

/** The boot id of this machine. */
PNX_MUST_CHECK pnx_status pnx__boot_id(pnx_id *ret, pnx_error *err);

#endif
