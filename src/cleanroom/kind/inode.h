/* SPDX-License-Identifier: MIT */
/**
 * @file inode.h
 * Things that are an entry in a directory: what the entry stands for, and removing it only if it
 * stands for that. No symbolic link is ever followed.
 */
#ifndef CLEANROOM_KIND_INODE_H
#define CLEANROOM_KIND_INODE_H

#include <cleanroom/thing.h>

struct pnx__inode {
    uint32_t mode; /* sort and permissions */
    uint32_t owner;
    uint64_t device, number;
    int64_t created; /* nanoseconds since 1970; 0: the file system does not know */
    uint64_t bytes;  /* disk space */
};

/* "major:minor:inode" or "major:minor:inode:created". */
#define PNX__INODE_IDENTITY_MAX 80

/** What the entry `name` of `dir` is; of `dir` itself with an empty `name`. Else errno says why. */
bool pnx__inode_at(int dir, const char *name, struct pnx__inode *ret);
void pnx__inode_identity(const struct pnx__inode *inode, char ret[PNX__INODE_IDENTITY_MAX]);

/**
 * For `find`: the identity of the entry if it is of this sort (S_IFREG, …). PNX_ENOTFOUND: there is
 * nothing, or something else; PNX_EFAILED. `kind` and `shown` are for the message.
 */
pnx_status pnx__inode_find(int dir, const char *name, uint32_t sort, char *ret_identity,
                           size_t size, const char *kind, const char *shown, pnx_error *err);
/**
 * For `remove`: removes the entry if it has this identity. PNX_OK; PNX_EALREADY: the name stands
 * for something else, or for nothing; PNX_EFAILED.
 */
pnx_status pnx__inode_remove(int dir, const char *name, const char *identity, const char *kind,
                             const char *shown, pnx_error *err);
/** For `still`: a removal was interrupted, and the thing waits under a name aside. */
pnx_status pnx__inode_still(int dir, const char *identity);

/** Visits the names in the directory `dir` (opened for reading); false ends it. False: errno. */
bool pnx__each_entry(int dir, bool (*visit)(const char *name, void *context), void *context);

#endif
