/* SPDX-License-Identifier: MIT */
/** @file sys.h  System calls that the C library of our oldest platform has no name for. */
#ifndef CLEANROOM_KIND_SYS_H
#define CLEANROOM_KIND_SYS_H

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* P_PIDFD of waitid(2). */
#define PNX__P_PIDFD ((idtype_t)3)

static inline int pnx__openat2(int dir, const char *path, uint64_t flags, uint64_t resolve)
{
    struct open_how how = {.flags = flags, .resolve = resolve};
    return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}

/** A descriptor that stands for a process, whatever becomes of its pid. Close-on-exec. */
static inline int pnx__pidfd_open(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

static inline int pnx__pidfd_signal(int pidfd, int signal_number)
{
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal_number, NULL, 0);
}

static inline pid_t pnx__clone3(struct clone_args *args)
{
    return (pid_t)syscall(SYS_clone3, args, sizeof *args);
}

/** What is mounted at `path`, as a mount that is nowhere yet (OPEN_TREE_CLONE). Close-on-exec. */
static inline int pnx__open_tree(const char *path)
{
    return (int)syscall(SYS_open_tree, AT_FDCWD, path, 1 | O_CLOEXEC);
}

/** Puts such a mount over `path` (MOVE_MOUNT_F_EMPTY_PATH). */
static inline int pnx__move_mount(int fd, const char *path)
{
    return (int)syscall(SYS_move_mount, fd, "", AT_FDCWD, path, 4);
}

static inline ssize_t pnx__getdents(int fd, void *buffer, size_t size)
{
    return syscall(SYS_getdents64, fd, buffer, size);
}

/** What getdents64(2) fills in; glibc's struct dirent64 has a fixed-size name. */
struct pnx__dirent {
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

/** close(2) that keeps errno and takes "none". */
static inline void pnx__close(int fd)
{
    if (fd < 0)
        return;
    int saved = errno;
    close(fd);
    errno = saved;
}

#endif
