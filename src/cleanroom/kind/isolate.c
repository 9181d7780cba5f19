/* SPDX-License-Identifier: MIT */
/*
 * What the child does to be alone. It has no threads, shares no memory with its parent and calls
 * nothing but system calls: it may have been forked from the midst of a program with threads.
 *
 * With a user namespace the child has all capabilities in there until it executes the command;
 * since its user id is not 0 inside, they are gone after that.
 */
#include "kind/isolate.h"

#include "kind/sys.h"

#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    size_t length = strlen(text);
    bool written = fd >= 0 && write(fd, text, length) == (ssize_t)length;
    pnx__close(fd);
    return written;
}

/*
 * The files below belong to root while a process is not dumpable, as one is that changed its user
 * id. Dumpable it is only until it is mapped, and again after exec.
 */
static int enter_user(const struct pnx__isolation *isolation)
{
    int dumpable = prctl(PR_GET_DUMPABLE);
    if (unshare(CLONE_NEWUSER) != 0)
        return PNX__IN_USER;
    (void)prctl(PR_SET_DUMPABLE, 1);
    /* Groups may be mapped by the unprivileged only if nobody in there can drop one any more. */
    bool mapped = (write_text("/proc/self/setgroups", "deny") || errno == ENOENT) &&
                  write_text("/proc/self/gid_map", isolation->gid_map) &&
                  write_text("/proc/self/uid_map", isolation->uid_map);
    int number = errno;
    (void)prctl(PR_SET_DUMPABLE, dumpable);
    errno = number;
    return mapped ? 0 : PNX__IN_USER_MAP;
}

/* Slaves, not private: what the host unmounts goes from here too, and does not stay busy. */
static int enter_mount(void)
{
    if (unshare(CLONE_NEWNS) != 0)
        return PNX__IN_MOUNT;
    return mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) == 0 ? 0 : PNX__IN_PROPAGATION;
}

static int enter_ipc(const struct pnx__isolation *isolation)
{
    const unsigned long flags = MS_NOSUID | MS_NODEV;
    if (unshare(CLONE_NEWIPC) != 0)
        return PNX__IN_IPC;
    if (isolation->has_shm && mount("tmpfs", "/dev/shm", "tmpfs", flags, "mode=1777") != 0)
        return PNX__IN_SHM;
    if (isolation->has_mqueue &&
        mount("mqueue", "/dev/mqueue", "mqueue", flags | MS_NOEXEC, NULL) != 0)
        return PNX__IN_MQUEUE;
    return 0;
}

static int enter_net(void)
{
    if (unshare(CLONE_NEWNET) != 0)
        return PNX__IN_NET;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    bool up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    pnx__close(fd);
    return up ? 0 : PNX__IN_LOOPBACK;
}

/* ---- its own /tmp ---------------------------------------------------------------------------- */

/* "TMPDIR/relative" in the buffer of the plan; NULL: too long. */
static const char *below(struct pnx__isolation *isolation, const char *relative)
{
    size_t length = strlen(isolation->tmpdir), more = strlen(relative);
    if (length + more + 2 > sizeof isolation->path) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    memcpy(isolation->path, isolation->tmpdir, length);
    isolation->path[length] = '/';
    memcpy(isolation->path + length + 1, relative, more + 1);
    return isolation->path;
}

/* As open to everybody as /tmp is; who may not enter `tmpdir` sees nothing of it from outside. */
static bool make_public(struct pnx__isolation *isolation, const char *name)
{
    const char *path = below(isolation, name);
    if (!path || (mkdir(path, 01777) != 0 && errno != EEXIST))
        return false;
    struct stat found;
    if (lstat(path, &found) != 0)
        return false;
    if (!S_ISDIR(found.st_mode)) {
        errno = ENOTDIR;
        return false;
    }
    return chmod(path, 01777) == 0;
}

/* The link, and the directories on the way to it. */
static bool make_alias(struct pnx__isolation *isolation, const struct pnx__isolate_alias *alias)
{
    if (!alias->path[0])
        return true;
    const char *path = below(isolation, alias->path);
    if (!path)
        return false;
    size_t first = strlen(isolation->tmpdir) + 1 + strcspn(alias->path, "/") + 1;
    for (char *at = isolation->path + first; (at = strchr(at, '/')); at++) {
        *at = '\0';
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            return false;
        *at = '/';
    }
    return symlink(alias->target, path) == 0 || errno == EEXIST;
}

/* The directory as a mount that is nowhere yet. */
static int take(struct pnx__isolation *isolation, const char *name)
{
    const char *path = below(isolation, name);
    return path ? pnx__open_tree(path) : -1;
}

/* Both are taken before the first is put over anything: `tmpdir` may lie beneath that. */
static int enter_tmp(struct pnx__isolation *isolation)
{
    bool done = make_public(isolation, "tmp") && make_public(isolation, "var-tmp") &&
                make_alias(isolation, &isolation->aliases[0]) &&
                make_alias(isolation, &isolation->aliases[1]);
    int tmp = done ? take(isolation, "tmp") : -1;
    int var_tmp = tmp >= 0 ? take(isolation, "var-tmp") : -1;
    done = var_tmp >= 0 && pnx__move_mount(tmp, "/tmp") == 0 &&
           (!isolation->has_var_tmp || pnx__move_mount(var_tmp, "/var/tmp") == 0);
    pnx__close(tmp);
    pnx__close(var_tmp);
    return done ? 0 : PNX__IN_TMP;
}

static int enter_disk(const struct pnx__isolation *isolation, int *ret_disk)
{
    const char *dir = isolation->tmpdir;
    if (mount("tmpfs", dir, "tmpfs", MS_NOSUID | MS_NODEV, isolation->disk) != 0)
        return PNX__IN_DISK;
    *ret_disk = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret_disk >= 0 ? 0 : PNX__IN_DISK;
}

int pnx__isolate_enter(struct pnx__isolation *isolation, int *ret_disk)
{
    int stage = 0;
    *ret_disk = -1;
    if (!stage && isolation->user)
        stage = enter_user(isolation);
    if (!stage && isolation->mounts)
        stage = enter_mount();
    if (!stage && (isolation->isolate & PNX_ISOLATE_IPC))
        stage = enter_ipc(isolation);
    if (!stage && (isolation->isolate & PNX_ISOLATE_NET))
        stage = enter_net();
    if (!stage && isolation->disk[0])
        stage = enter_disk(isolation, ret_disk);
    if (!stage && (isolation->isolate & PNX_ISOLATE_TMP))
        stage = enter_tmp(isolation);
    return stage;
}

/* ---- in a pid namespace ---------------------------------------------------------------------- */

int pnx__isolate_mount_proc(void)
{
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    return mount("proc", "/proc", "proc", flags, NULL) == 0 ? 0 : PNX__IN_PROC;
}

/*
 * Its children are reaped by the kernel: whoever starts it has SIGCHLD ignored, so that not even
 * the first orphan can come too early. Signals from inside do not reach it, since it handles none;
 * those of the terminal do not, since it has a session of its own. It forwards none: the command is
 * the supervisor's own child, which signals it directly, and sees its true status.
 */
_Noreturn void pnx__isolate_be_init(int supervisor)
{
    (void)setsid();
    (void)!chdir("/");
    if (supervisor > 0)
        (void)close_range(0, (unsigned)supervisor - 1, 0);
    (void)close_range((unsigned)supervisor + 1, ~0u, 0);
    struct pollfd fd = {.fd = supervisor, .events = POLLIN};
    while (poll(&fd, 1, -1) < 0 && errno == EINTR)
        ;
    _exit(0); /* and the kernel kills all that is in the namespace */
}
