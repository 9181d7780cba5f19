/* SPDX-License-Identifier: MIT */
/**
 * @file tempdir.h
 * A private directory for temporary files that is removed with everything in it.
 *
 *     pnx_auto(tempdir) guard = pnx_reserve(tempdir, registry, err);
 *     if (guard.status) return guard.status;
 *     pnx_tempdir *dir;
 *     if (pnx_tempdir_create(NULL, "import-4711", &dir, err)) return err->code;
 *     pnx_arm(&guard, dir);
 *
 * Removal works on descriptors, never on paths: it follows no symbolic link, enters no other mount,
 * and removes nothing but what is beneath the directory that was made, known by device and inode.
 * It copes with any bytes in names, with directories that cannot be read or written, with any
 * depth, and with any number of entries in a fixed amount of memory, which is set aside when the
 * directory is made.
 *
 * Not promised: what another user owns in it, what another mount covers, and what the file system
 * itself refuses stays, and is told. Programs that still write into it while it is removed can keep
 * it from being emptied: end them first.
 */
#ifndef CLEANROOM_TEMPDIR_H
#define CLEANROOM_TEMPDIR_H

#include <cleanroom/outcome.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pnx_tempdir pnx_tempdir;

/**
 * Makes the directory `name` (one component) in `parent` (NULL: $TMPDIR if that is an absolute
 * path, else /tmp), for its owner alone (mode 0700), and holds a shared flock(2) on it, which keeps
 * cleaners such as systemd-tmpfiles away for as long as it lives.
 * The caller owns `*ret`: it ends with pnx_tempdir_remove and pnx_tempdir_free, or in a guard.
 * PNX_EINVAL (name), PNX_ENOMEM, PNX_EFAILED: errno says why; nothing was made.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_tempdir_create(const char *parent, const char *name,
                                                     pnx_tempdir **ret, pnx_error *err);

/**
 * Takes over a directory that another process made, which is dead: goes on where that one stopped.
 * It is found by its identity under its name, under the name that a removal gives it, and, renamed,
 * anywhere in the directory that it was made in. `identity` NULL: whatever has the name now.
 * The caller makes sure that nobody else has a claim to it, and that path and identity come from
 * somebody who may have it removed: as root, everything can be.
 * PNX_ENOTFOUND: it is gone; PNX_EINVAL, PNX_ENOMEM; PNX_EFAILED: errno says why.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_tempdir_adopt(const char *path, const char *identity,
                                                    pnx_tempdir **ret, pnx_error *err);

/** Its absolute path (that of `parent` and `name`). Lives as long as the directory. */
PNX_API const char *pnx_tempdir_path(const pnx_tempdir *dir);
/** A descriptor of it, which stays the directory's own. */
PNX_API int pnx_tempdir_fd(const pnx_tempdir *dir);
/**
 * "device:inode:birth", the identity that is checked before anything is removed; like snprintf(3).
 * Without the last part where the file system does not know when it was made.
 */
PNX_API int pnx_tempdir_identity(const pnx_tempdir *dir, char *buffer, size_t size);

/** What was found in a directory, by sort. */
typedef struct pnx_tree_totals {
    uint64_t files, directories, symlinks, fifos, sockets, devices;
    uint64_t bytes; /**< disk space, as du(1) counts it; files with other links count nothing */
    uint64_t stuck; /**< of all these: could not be removed, in the last attempt */
} pnx_tree_totals;

/** The number of entries of all sorts. */
PNX_API uint64_t pnx_tree_entries(const pnx_tree_totals *totals);

/** One entry that was removed, or could not be. Valid during the call. */
typedef struct pnx_tree_entry {
    const char *path; /**< relative to the directory; any bytes; "…/" stands for what is
                                   longer than 4 KiB or was too deep to keep */
    uint32_t mode;    /**< its sort and permissions, as in stat(2) */
    uint32_t owner;   /**< user id */
    uint64_t device, inode;
    int64_t created; /**< nanoseconds since 1970; when it changed last if not known */
    uint64_t bytes;  /**< disk space that goes with it */
    bool removed;
    const char *reason; /**< why it was not removed, or NULL */
} pnx_tree_entry;

/**
 * Who watches a removal. All members may be zero. Everything is called from the thread that
 * removes; a guard's release runs on a worker.
 */
typedef struct pnx_tempdir_watch {
    pnx_outcome *outcome;         /**< filled in by each attempt; must outlive the directory */
    pnx_tree_totals *totals;      /**< likewise */
    void (*begin)(void *context); /**< an attempt begins: entries that were stuck come again */
    void (*entry)(const pnx_tree_entry *entry, void *context);
    void *context;
} pnx_tempdir_watch;

/** Sets who watches; the members are copied. Not while it is being removed. */
PNX_API void pnx_tempdir_watch_by(pnx_tempdir *dir, const pnx_tempdir_watch *watch);

/**
 * Removes it with everything in it and verifies that it is gone. It is found again if it was
 * renamed or moved within its file system. May be called again after a failure and goes on where
 * it stopped; frees nothing. Stops at `deadline` (CLOCK_MONOTONIC).
 * PNX_OK: gone, also when somebody else removed it. PNX_ETIMEOUT; PNX_EBUSY: something was put into
 * it meanwhile; PNX_EFAILED: entries are left, the error names the first.
 */
PNX_API pnx_status pnx_tempdir_remove(pnx_tempdir *dir, pnx_time deadline, pnx_error *err);

/** Gives up the descriptors and the memory, not the directory. NULL is fine. */
PNX_API void pnx_tempdir_free(pnx_tempdir *dir);

/** Its release removes and, when it is gone, frees it; four attempts. */
extern PNX_API const pnx_kind pnx_kind_tempdir;

#ifdef __cplusplus
}
#endif

PNX__OFFER_KIND(tempdir, pnx_tempdir *);

#endif
