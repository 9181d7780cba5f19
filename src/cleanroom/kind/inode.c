/* SPDX-License-Identifier: MIT */
/*
 * The system has no call that removes a name only if it stands for a given inode: between a look
 * and unlink(2) somebody may put another thing under the name, and lose it to us. So the name is
 * first renamed to one that nobody else uses; what was taken is looked at there; if it is another
 * thing it goes back under its name, if it is ours it is removed. What is destroyed was looked at
 * under a name that only we use.
 *
 * The name aside is made from the identity, so that whoever comes after a kill between the two
 * steps finds it there.
 */
#include "kind/inode.h"

#include "kind/sys.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define ASIDE ".cleanroom-"

static bool look_at(int dir, const char *name, int flags, struct statx *ret)
{
    return statx(dir, name, flags | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
                 STATX_TYPE | STATX_MODE | STATX_UID | STATX_INO | STATX_BLOCKS | STATX_BTIME,
                 ret) == 0;
}

bool pnx__inode_at(int dir, const char *name, struct pnx__inode *ret)
{
    struct statx about;
    if (!look_at(dir, name, *name ? 0 : AT_EMPTY_PATH, &about))
        return false;
    *ret = (struct pnx__inode){
        .mode = about.stx_mode,
        .owner = about.stx_uid,
        .device = makedev(about.stx_dev_major, about.stx_dev_minor),
        .number = about.stx_ino,
        .bytes = about.stx_blocks * 512,
    };
    if (about.stx_mask & STATX_BTIME)
        ret->created = about.stx_btime.tv_sec * PNX_S(1) + about.stx_btime.tv_nsec;
    return true;
}

void pnx__inode_identity(const struct pnx__inode *inode, char ret[PNX__INODE_IDENTITY_MAX])
{
    int length = snprintf(ret, PNX__INODE_IDENTITY_MAX, "%x:%x:%llu", major(inode->device),
                          minor(inode->device), (unsigned long long)inode->number);
    if (inode->created)
        snprintf(ret + length, PNX__INODE_IDENTITY_MAX - (size_t)length, ":%lld",
                 (long long)inode->created);
}

pnx_status pnx__inode_find(int dir, const char *name, uint32_t sort, char *ret_identity,
                           size_t size, const char *kind, const char *shown, pnx_error *err)
{
    struct pnx__inode inode;
    if (!pnx__inode_at(dir, name, &inode)) {
        bool none = errno == ENOENT || errno == ENOTDIR;
        return pnx_fail(err, none ? PNX_ENOTFOUND : PNX_EFAILED, "cannot look at the %s '%s': %m",
                        kind, shown);
    }
    if ((inode.mode & S_IFMT) != sort)
        return pnx_fail(err, PNX_ENOTFOUND, "'%s' is not a %s", shown, kind);
    char identity[PNX__INODE_IDENTITY_MAX];
    pnx__inode_identity(&inode, identity);
    if (snprintf(ret_identity, size, "%s", identity) >= (int)size)
        return pnx_fail(err, PNX_EINVAL, "no room for the identity of the %s '%s'", kind, shown);
    return PNX_OK;
}

/* ---- removing -------------------------------------------------------------------------------- */

/* Its own prefix, and what the identity of an inode is made of: it fits a name. */
static bool aside_of(const char *identity, char ret[NAME_MAX + 1])
{
    return strspn(identity, "0123456789abcdef:") == strlen(identity) &&
           snprintf(ret, NAME_MAX + 1, ASIDE "%s", identity) <= NAME_MAX;
}

static bool stands_for(int dir, const char *name, const char *identity)
{
    struct pnx__inode inode;
    char found[PNX__INODE_IDENTITY_MAX];
    if (!pnx__inode_at(dir, name, &inode))
        return false;
    pnx__inode_identity(&inode, found);
    return strcmp(found, identity) == 0;
}

static pnx_status unlink_entry(int dir, const char *name, const char *kind, const char *shown,
                               pnx_error *err)
{
    if (unlinkat(dir, name, 0) == 0)
        return PNX_OK;
    if (errno == ENOENT)
        return PNX_EALREADY;
    return pnx_fail(err, PNX_EFAILED, "cannot remove the %s '%s': %m", kind, shown);
}

/* Somebody exchanged it between our look and the rename: what we took goes back. */
static pnx_status put_back(int dir, const char *aside, const char *name, const char *kind,
                           const char *shown, pnx_error *err)
{
    if (renameat2(dir, aside, dir, name, RENAME_NOREPLACE) == 0 || errno == ENOENT)
        return PNX_EALREADY;
    return pnx_fail(err, PNX_EFAILED,
                    "another thing took the name of the %s '%s', and a third one took it while "
                    "that was put back: it is in '%s' now: %m",
                    kind, shown, aside);
}

pnx_status pnx__inode_remove(int dir, const char *name, const char *identity, const char *kind,
                             const char *shown, pnx_error *err)
{
    char aside[NAME_MAX + 1];
    if (!aside_of(identity, aside))
        return pnx_fail(err, PNX_EINVAL, "'%s' is not the identity of a %s", identity, kind);
    if (stands_for(dir, aside, identity)) /* left by a removal that was interrupted */
        return unlink_entry(dir, aside, kind, shown, err);

    /* Held open, its number cannot become that of another one meanwhile. */
    int held = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (held < 0 && errno != ENOENT)
        return pnx_fail(err, PNX_EFAILED, "cannot open the %s '%s': %m", kind, shown);
    pnx_status status = PNX_EALREADY;
    if (held < 0 || !stands_for(held, "", identity))
        goto out;
    if (renameat2(dir, name, dir, aside, RENAME_NOREPLACE) == 0)
        status = stands_for(dir, aside, identity) ? unlink_entry(dir, aside, kind, shown, err)
                                                  : put_back(dir, aside, name, kind, shown, err);
    else if (errno != ENOENT)
        /* It may not be renamed, or the file system cannot do it without replacing: unlink(2) says
         * which. Then there is a window, of one system call. */
        status = unlink_entry(dir, name, kind, shown, err);
out:
    pnx__close(held);
    return status;
}

pnx_status pnx__inode_still(int dir, const char *identity)
{
    char aside[NAME_MAX + 1];
    return aside_of(identity, aside) && stands_for(dir, aside, identity) ? PNX_OK : PNX_ENOTFOUND;
}

/* ---- listing --------------------------------------------------------------------------------- */

bool pnx__each_entry(int dir, bool (*visit)(const char *name, void *context), void *context)
{
    _Alignas(8) char buffer[16384];
    ssize_t got;
    while ((got = pnx__getdents(dir, buffer, sizeof buffer)) > 0) {
        for (ssize_t at = 0; at < got;) {
            const struct pnx__dirent *entry = (const void *)(buffer + at);
            at += entry->length;
            if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0)
                continue;
            if (!visit(entry->name, context))
                return true;
        }
    }
    return got == 0;
}
