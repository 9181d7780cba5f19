/* SPDX-License-Identifier: MIT */
/* Electing one of many that would clean up. */
#include "kind/poll.h"
#include "kind/sys.h"
#include "ledger/file.h"
#include "ledger/ledger.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- what is locked -------------------------------------------------------------------------- */

static int open_lock(int dir_fd, const char *name)
{
    if (strcmp(name, ".") == 0)
        return openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return openat(dir_fd, name, O_RDONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                  0600);
}

static pnx_status open_checked(int dir_fd, const char *name, int *ret_fd, pnx_error *err)
{
    char path[PNX__PATH_SIZE];
    struct stat about;
    int fd = open_lock(dir_fd, name);
    if (fd < 0 && errno == ENOENT)
        return pnx_fail(err, PNX_ENOTFOUND, "the directory of %s is gone",
                        pnx__file_path(dir_fd, name, path));
    if (fd < 0)
        return pnx_fail(err, PNX_EFAILED, "cannot open the lock %s: %m",
                        pnx__file_path(dir_fd, name, path));
    if (fstat(fd, &about) != 0 || about.st_uid != geteuid() ||
        !(S_ISREG(about.st_mode) || S_ISDIR(about.st_mode))) {
        pnx__close(fd);
        return pnx_fail(err, PNX_EFAILED, "%s is no file of ours: it is not used as a lock",
                        pnx__file_path(dir_fd, name, path));
    }
    *ret_fd = fd;
    return PNX_OK;
}

/* Who had the lock may have removed what it was on. */
static bool is_still_there(int fd)
{
    struct stat about;
    return fstat(fd, &about) == 0 && about.st_nlink > 0;
}

static pnx_status busy(int dir_fd, const char *name, pnx_status code, pnx_error *err)
{
    char path[PNX__PATH_SIZE];
    return pnx_fail(err, code, "another process holds the lock %s",
                    pnx__file_path(dir_fd, name, path));
}

pnx_status pnx__ledger_try_lock(int dir_fd, const char *name, int *ret_fd, pnx_error *err)
{
    for (;;) {
        int fd = -1;
        pnx_status status = open_checked(dir_fd, name, &fd, err);
        if (status)
            return status;
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            bool held = errno == EWOULDBLOCK;
            char path[PNX__PATH_SIZE];
            pnx__close(fd);
            if (held)
                return busy(dir_fd, name, PNX_EBUSY, err);
            return pnx_fail(err, PNX_EFAILED, "cannot lock %s: %m",
                            pnx__file_path(dir_fd, name, path));
        }
        if (is_still_there(fd)) {
            *ret_fd = fd;
            return PNX_OK;
        }
        pnx__close(fd);
        if (strcmp(name, ".") == 0)
            return pnx_fail(err, PNX_ENOTFOUND, "the directory is gone");
    }
}

/* ---- waiting for it -------------------------------------------------------------------------- */

/*
 * flock(2) can be waited for, but not until a deadline, and not by poll(2). The lock belongs to the
 * open file, though, not to the process: a child that waits for it gets it for us, and a child can
 * be waited for until a deadline, and killed. It shares nothing but that file, tells nobody of its
 * end (no SIGCHLD, unseen by wait(2)), and ends with us.
 */
static pid_t start_waiter(int fd, int *ret_pidfd)
{
    sigset_t all, mask;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &mask); /* no handler may run in the child */
    /* The C library's own fork would run handlers and take locks; nothing here needs them. */
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PIDFD, NULL, ret_pidfd, NULL, 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (fd > 0)
            (void)syscall(SYS_close_range, 0, fd - 1, 0);
        (void)syscall(SYS_close_range, fd + 1, ~0U, 0);
        syscall(SYS_exit_group, flock(fd, LOCK_EX) == 0 ? 0 : 1);
    }
    int saved = errno;
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    errno = saved;
    return pid;
}

/* True: the waiter has got the lock for us. */
static bool await_waiter(int pidfd, pnx_time deadline)
{
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    if (pnx__poll(&ended, 1, deadline) <= 0)
        pnx__pidfd_signal(pidfd, SIGKILL);
    siginfo_t info = {0};
    int result;
    do
        result = waitid(PNX__P_PIDFD, (id_t)pidfd, &info, WEXITED | __WALL);
    while (result != 0 && errno == EINTR);
    return result == 0 && info.si_code == CLD_EXITED && info.si_status == 0;
}

pnx_status pnx__ledger_lock(int dir_fd, const char *name, pnx_time deadline, int *ret_fd,
                            pnx_error *err)
{
    for (;;) {
        pnx_status status = pnx__ledger_try_lock(dir_fd, name, ret_fd, err);
        if (status != PNX_EBUSY)
            return status;
        int fd = -1, pidfd = -1;
        status = open_checked(dir_fd, name, &fd, err);
        if (status)
            return status;
        char path[PNX__PATH_SIZE];
        if (start_waiter(fd, &pidfd) < 0) {
            pnx__close(fd);
            return pnx_fail(err, PNX_EFAILED, "cannot wait for the lock %s: %m",
                            pnx__file_path(dir_fd, name, path));
        }
        bool got = await_waiter(pidfd, deadline);
        pnx__close(pidfd);
        if (got && is_still_there(fd)) {
            pnx_error_clear(err);
            *ret_fd = fd;
            return PNX_OK;
        }
        pnx__close(fd); /* a lock that came too late goes with it */
        if (!got)
            return busy(dir_fd, name, PNX_ETIMEOUT, err);
    }
}
