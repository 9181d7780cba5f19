/* SPDX-License-Identifier: MIT */
/*
 * umount2(2) takes a path, and what lies on top there goes. So what lies on top is looked at first,
 * and again before each attempt; between that and the call there is a window. MNT_DETACH can go
 * through the descriptor that was looked at (/proc/self/fd/N): another mount at the same place is
 * then no danger, only one that was put over the root of ours in that moment. A plain unmount
 * cannot, because the descriptor itself keeps the mount in use.
 */
#include "kind/mount.h"

#include "kind/poll.h"
#include "kind/sys.h"

#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

/* What was killed a moment ago still lets go of its files: a busy mount is tried again after 1, 2,
 * 4, … ms, for half of the time that there is, and no longer than this. */
#define FIRST_PAUSE PNX_MS(1)
#define LAST_PAUSE PNX_MS(50)
#define PATIENCE PNX_MS(500)

/* ---- what is around it ----------------------------------------------------------------------- */

struct neighbours {
    const char *identity;
    struct pnx__mount self; /* no texts */
    bool is_fuse;
    char inside[256]; /* the point of one that is mounted in it; empty: none */
};

static bool look_for_self(const struct pnx__mount *mount, void *context)
{
    struct neighbours *around = context;
    char identity[PNX__MOUNT_IDENTITY_MAX];
    pnx__mount_identity(mount, identity);
    if (strcmp(identity, around->identity) != 0)
        return true;
    around->self = *mount;
    around->is_fuse = strncmp(mount->type, "fuse", 4) == 0;
    return false;
}

static bool look_for_inner(const struct pnx__mount *mount, void *context)
{
    struct neighbours *around = context;
    if (mount->parent != around->self.id || mount->id == around->self.id)
        return true;
    snprintf(around->inside, sizeof around->inside, "%s", mount->point);
    return false;
}

static bool look_around(const char *identity, struct neighbours *ret)
{
    *ret = (struct neighbours){.identity = identity};
    return pnx__mounts_each(look_for_self, ret, NULL) == PNX_OK && ret->self.id &&
           pnx__mounts_each(look_for_inner, ret, NULL) == PNX_OK;
}

static pnx_status busy_inside(const char *name, const struct neighbours *around, pnx_error *err)
{
    return pnx_fail(err, PNX_EBUSY, "'%s' is mounted inside of the mount '%s'", around->inside,
                    name);
}

/* ---- attempts -------------------------------------------------------------------------------- */

/* PNX_OK: what lies on top at `name` is it, open as `*ret_fd`. PNX_EALREADY: it is gone. */
static pnx_status check(const char *name, const char *identity, int *ret_fd, pnx_error *err)
{
    char found[PNX__MOUNT_IDENTITY_MAX] = "";
    int fd = pnx__mount_open(name);
    if (fd >= 0 && pnx__mount_of_fd(fd, name, found, NULL) == PNX_OK &&
        strcmp(found, identity) == 0) {
        *ret_fd = fd;
        return PNX_OK;
    }
    pnx__close(fd);
    pnx_status status = pnx__mount_still(name, identity, err);
    if (status == PNX_ENOTFOUND)
        return PNX_EALREADY;
    if (status != PNX_OK)
        return status;
    return pnx_fail(err, PNX_EBUSY, "another mount lies over the mount '%s'", name);
}

enum attempt { DONE, IN_USE, NOT_ALLOWED, OTHERWISE };

static enum attempt unmount(const char *name, int flags)
{
    if (umount2(name, flags) == 0 || errno == EINVAL || errno == ENOENT)
        return DONE; /* whoever did it: the caller looks */
    if (errno == EBUSY)
        return IN_USE;
    return errno == EPERM || errno == EACCES ? NOT_ALLOWED : OTHERWISE;
}

static pnx_status cannot(const char *name, pnx_error *err)
{
    return pnx_fail(err, PNX_EFAILED, "cannot unmount '%s': %m", name);
}

/* Tries until it is not in use any more; IN_USE: patience is over. */
static enum attempt unmount_patiently(const char *name, const char *identity, pnx_time until,
                                      pnx_status *ret, pnx_error *err)
{
    for (pnx_duration pause = FIRST_PAUSE;; pause = pause < LAST_PAUSE ? pause * 2 : pause) {
        int fd = -1;
        *ret = check(name, identity, &fd, err);
        if (*ret != PNX_OK)
            return OTHERWISE;
        pnx__close(fd);
        enum attempt attempt = unmount(name, UMOUNT_NOFOLLOW);
        if (attempt != IN_USE) {
            *ret = attempt == DONE ? PNX_OK : cannot(name, err);
            return attempt;
        }
        struct neighbours around;
        if (look_around(identity, &around) && around.inside[0]) {
            *ret = busy_inside(name, &around, err);
            return OTHERWISE;
        }
        pnx_time next = pnx_time_after(pnx_monotonic_now(), pause);
        if (next > until)
            return IN_USE;
        (void)pnx__poll(NULL, 0, next);
    }
}

/* Takes it out of the tree though it is in use; a note says who uses it. */
static pnx_status detach(const char *name, const char *identity, pnx_error *err)
{
    char users[128], self[40];
    int fd = -1;
    pnx__path_users(name, users, sizeof users);
    pnx_status status = check(name, identity, &fd, err);
    if (status != PNX_OK)
        return status;
    struct neighbours around;
    if (look_around(identity, &around) && around.inside[0]) {
        pnx__close(fd); /* they would go with it, whosever they are */
        return busy_inside(name, &around, err);
    }
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    enum attempt attempt = unmount(self, MNT_DETACH);
    status = attempt == DONE ? PNX_OK : cannot(name, err);
    pnx__close(fd);
    if (status == PNX_OK)
        (void)pnx_fail(err, PNX_EBUSY,
                       "detached, and lives on until it is not used any more, by %s",
                       users[0] ? users : "somebody who is not known");
    return status;
}

/* We may not; of a FUSE mount of our own, fusermount3 may. */
static pnx_status unmount_fuse(const char *name, const char *identity, pnx_time deadline,
                               pnx_error *err)
{
    struct neighbours around;
    if (!look_around(identity, &around) || !around.is_fuse)
        return PNX_EFAILED;
    if (!pnx__fuse_unmount(name, false, deadline) && !pnx__fuse_unmount(name, true, deadline))
        return PNX_EFAILED;
    pnx_error_clear(err);
    return PNX_OK;
}

pnx_status pnx__mount_remove(const char *name, const char *identity, pnx_time deadline,
                             pnx_error *err)
{
    if (!pnx__is_plain_path(name) || !name[1]) /* umount2("/") remounts the root read-only */
        return pnx_fail(err, PNX_EINVAL, "'%s' is not the name of a mount that can be unmounted",
                        name);
    pnx_time now = pnx_monotonic_now(), until = pnx_time_after(now, PATIENCE);
    if (deadline != PNX_FOREVER && now + (deadline - now) / 2 < until)
        until = now + (deadline - now) / 2;
    pnx_status status = PNX_EFAILED;
    switch (unmount_patiently(name, identity, until, &status, err)) {
    case IN_USE:
        return detach(name, identity, err);
    case NOT_ALLOWED:
        return unmount_fuse(name, identity, deadline, err) == PNX_OK ? PNX_OK : status;
    case DONE:
    case OTHERWISE:
        break;
    }
    return status;
}
