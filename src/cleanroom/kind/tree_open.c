/* SPDX-License-Identifier: MIT */
#include "kind/tree.h"

#include "kind/sys.h"

#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define BENEATH (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV)
/* Non-blocking: what was a directory may be a FIFO by now. */
#define READ (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)

/* Where a filter forbids openat2(2): one component cannot leave `dir` but by a link or a mount. */
static int open_without_openat2(int dir, const char *name, int flags)
{
    int fd = openat(dir, name, flags);
    if (fd < 0)
        return -1;
    struct statx about;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &about) == 0 &&
        (about.stx_attributes & STATX_ATTR_MOUNT_ROOT)) {
        close(fd);
        errno = EXDEV;
        return -1;
    }
    return fd;
}

static int open_beneath(int dir, const char *name, int flags)
{
    int fd = pnx__openat2(dir, name, (uint64_t)flags, BENEATH);
    if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        return open_without_openat2(dir, name, flags);
    return fd;
}

/* A directory that may not be read can still be named by O_PATH, and changed through /proc. */
static bool widen_mode(int dir, const char *name)
{
    int fd = open_beneath(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return false;
    char self[40];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    bool changed = chmod(self, 0700) == 0;
    pnx__close(fd);
    return changed;
}

int pnx__tree_open(int dir, const char *name)
{
    int fd = open_beneath(dir, name, READ);
    if (fd >= 0 || errno != EACCES)
        return fd;
    if (!widen_mode(dir, name)) {
        errno = EACCES;
        return -1;
    }
    return open_beneath(dir, name, READ);
}

void pnx__tree_open_up(int fd)
{
    int saved = errno, flags = 0;
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & (FS_IMMUTABLE_FL | FS_APPEND_FL))) {
        flags &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
        (void)!ioctl(fd, FS_IOC_SETFLAGS, &flags);
    }
    (void)!fchmod(fd, 0700);
    errno = saved;
}
