/* SPDX-License-Identifier: MIT */
#include <cleanroom/cgroup.h>
#include <cleanroom/process.h>

#include "kind/procfs.h"
#include "kind/spawn.h"
#include "kind/sys.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* ---- environment ----------------------------------------------------------------------------- */

static size_t count(const char *const *list)
{
    size_t n = 0;
    while (list && list[n])
        n++;
    return n;
}

static bool same_name(const char *a, const char *b)
{
    size_t length = strcspn(a, "=");
    return strncmp(a, b, length) == 0 && b[length] == '=';
}

static bool is_set_by(const char *entry, const char *const *set)
{
    for (; set && *set; set++)
        if (same_name(*set, entry))
            return true;
    return false;
}

/* A list of pointers to the entries themselves; the caller frees the list. */
static char **merge(const char *const *base, const char *const *set)
{
    char **merged = calloc(count(base) + count(set) + 1, sizeof *merged);
    size_t n = 0;
    if (!merged)
        return NULL;
    for (; base && *base; base++)
        if (!is_set_by(*base, set))
            merged[n++] = (char *)*base;
    for (; set && *set; set++)
        merged[n++] = (char *)*set;
    return merged;
}

/* ---- the child ------------------------------------------------------------------------------- */

pid_t pnx__spawn_watch(pid_t pid, int *ret_pidfd)
{
    if (pid < 0)
        return -1;
    *ret_pidfd = pnx__pidfd_open(pid);
    if (*ret_pidfd >= 0)
        return pid;
    int number = errno;
    kill(pid, SIGKILL); /* our child, not waited for: the pid is still its own */
    waitpid(pid, NULL, 0);
    errno = number;
    return -1;
}

/* Where clone3(2) is missing or filtered: the child moves by itself, before it is executed. */
static pid_t start_by_fork(struct pnx__plan *plan, int *ret_pidfd)
{
    pid_t pid = _Fork();
    if (pid == 0) {
        pnx__spawn_forget_handlers();
        pnx__spawn_become(plan);
    }
    return pnx__spawn_watch(pid, ret_pidfd);
}

/*
 * Born in its cgroup: there is no moment at which it could fork outside of it, and nothing has to
 * be moved, which would cost the machine an RCU grace period. An usher stays out of it: limits are
 * for the command.
 */
static pid_t start(struct pnx__plan *plan, int *ret_pidfd)
{
    int cgroup_dir = plan->isolation.isolate & PNX_ISOLATE_PID ? -1 : plan->cgroup_dir;
    struct clone_args args = {
        .flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND | (cgroup_dir >= 0 ? CLONE_INTO_CGROUP : 0),
        .pidfd = (uintptr_t)ret_pidfd,
        .exit_signal = SIGCHLD,
        .cgroup = cgroup_dir >= 0 ? (uint64_t)cgroup_dir : 0,
    };
    pid_t pid = pnx__clone3(&args);
    if (pid == 0) {
        if (cgroup_dir >= 0)
            plan->cgroup_dir = -1;
        pnx__spawn_become(plan);
    }
    if (pid < 0 && (errno == ENOSYS || errno == EPERM || errno == E2BIG || errno == EINVAL))
        return start_by_fork(plan, ret_pidfd);
    return pid;
}

/* ---- what it tells --------------------------------------------------------------------------- */

static pnx_status explain_exec(const struct pnx__plan *plan, int number, pnx_error *err)
{
    const char *name = plan->argv[0];
    errno = number;
    if (number == ENOENT && (plan->isolation.isolate & PNX_ISOLATE_TMP) &&
        pnx__isolate_hides(name) && access(name, F_OK) == 0)
        return pnx_fail(err, PNX_ENOTFOUND,
                        "cannot run '%s': it lies in the /tmp that --isolate tmp hides", name);
    errno = number;
    if (number == ENOENT && !strchr(name, '/'))
        return pnx_fail(err, PNX_ENOTFOUND, "cannot run '%s': not found in PATH", name);
    if (number == ENOENT && access(name, F_OK) == 0) {
        errno = number;
        return pnx_fail(err, PNX_ENOTFOUND,
                        "cannot run '%s': the interpreter that it names does not exist", name);
    }
    errno = number;
    if (number == ENOENT)
        return pnx_fail(err, PNX_ENOTFOUND, "cannot run '%s': %m", name);
    if (number == EACCES)
        return pnx_fail(err, PNX_EUNSUPPORTED,
                        "cannot run '%s': %m; is it a program, and executable?", name);
    return pnx_fail(err, PNX_EUNSUPPORTED, "cannot run '%s': %m", name);
}

static pnx_status explain(const struct pnx__plan *plan, const struct pnx__told *told,
                          pnx_error *err)
{
    const char *name = plan->argv[0];
    errno = told->number;
    switch (told->what) {
    case PNX__TOLD_EXEC:
        return explain_exec(plan, told->number, err);
    case PNX__TOLD_CGROUP:
        return pnx_fail(err, PNX_EBUSY, "cannot put '%s' into its cgroup: %m", name);
    case PNX__TOLD_LIMITS:
        return pnx_fail(err, PNX_ELIMIT, "cannot hold '%s' to its limits: %m", name);
    case PNX__TOLD_ISOLATE:
        return pnx__isolate_explain(&plan->isolation, told->stage, told->number, name, err);
    default:
        return pnx_fail(err, PNX_EFAILED, "cannot run '%s': its start was cut short", name);
    }
}

/* What one start came to. */
struct start {
    bool failed;
    struct pnx__told failure; /* the first */
    pid_t init, command;      /* 0: there is none, or no usher told */
    int disk;
};

/* One message, with the descriptor that may come with it. */
static ssize_t receive(int channel, struct pnx__told *ret, int *ret_fd)
{
    struct iovec part = {.iov_base = ret, .iov_len = sizeof *ret};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof control,
    };
    ssize_t got;
    do
        got = recvmsg(channel, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    struct cmsghdr *rights = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (rights && rights->cmsg_type == SCM_RIGHTS)
        memcpy(ret_fd, CMSG_DATA(rights), sizeof *ret_fd);
    return got;
}

/* Listens until exec, or the end of all that have the other end of the socket, closes it. */
static struct start listen_to(int channel)
{
    struct start start = {.disk = -1};
    struct pnx__told told;
    while (receive(channel, &told, &start.disk) == sizeof told) {
        if (told.what == PNX__TOLD_PIDS) {
            start.init = told.init > 0 ? told.init : 0;
            start.command = told.command > 0 ? told.command : 0;
        } else if (told.what != PNX__TOLD_DISK && !start.failed) {
            start.failed = true;
            start.failure = told;
        }
    }
    return start;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* 0 says "none": should the descriptor be that, it becomes another. */
static int open_init(pid_t pid)
{
    int pidfd = pnx__pidfd_open(pid);
    if (pidfd != 0)
        return pidfd;
    int moved = fcntl(pidfd, F_DUPFD_CLOEXEC, 1);
    pnx__close(pidfd);
    return moved;
}

static void reap(pid_t pid)
{
    (void)waitid(P_PID, (id_t)pid, NULL, WEXITED);
}

/* The usher is done; what it started takes its place. These are children of ours, not waited for:
 * their pids are still their own. */
static bool take_from_usher(const struct start *start, pnx_process *process)
{
    (void)waitid(PNX__P_PIDFD, (id_t)process->pidfd, NULL, WEXITED);
    pnx_process_close(process);
    process->pid = start->command;
    process->pidfd = start->command ? pnx__pidfd_open(start->command) : -1;
    process->init_pidfd = start->init ? open_init(start->init) : 0;
    if (process->pidfd >= 0 && process->init_pidfd > 0)
        return true;
    if (start->init)
        kill(start->init, SIGKILL);
    if (start->command)
        reap(start->command);
    if (start->init)
        reap(start->init);
    pnx__close(process->pidfd);
    if (process->init_pidfd > 0)
        pnx__close(process->init_pidfd);
    *process = (pnx_process){.pidfd = -1};
    return false;
}

static pnx_status finish(const struct pnx__plan *plan, const struct start *start,
                         pnx_process *process, pnx_error *err)
{
    if ((plan->isolation.isolate & PNX_ISOLATE_PID) && !take_from_usher(start, process)) {
        struct pnx__told cut_short = {.what = PNX__TOLD_PIDS};
        return explain(plan, start->failed ? &start->failure : &cut_short, err);
    }
    if (start->failed) {
        pnx_process_wait(process, PNX_FOREVER, NULL);
        pnx_process_close(process);
        return explain(plan, &start->failure, err);
    }
    struct pnx__proc_stat about;
    if (pnx__proc_stat(process->pid, &about))
        process->start_time = about.start_time;
    return PNX_OK;
}

static pnx_status explain_start(const struct pnx__plan *plan, const pnx_command *command,
                                pnx_error *err)
{
    bool of_cgroup = plan->cgroup_dir >= 0 && errno != EAGAIN && errno != ENOMEM;
    if (of_cgroup && !(plan->isolation.isolate & PNX_ISOLATE_PID))
        return pnx_fail(err, PNX_EBUSY, "cannot start '%s' in cgroup %s: %m", plan->argv[0],
                        pnx_cgroup_path(command->cgroup));
    return pnx_fail(err, PNX_EFAILED, "cannot run '%s': no process: %m", plan->argv[0]);
}

static pnx_status start_and_await(struct pnx__plan *plan, const pnx_command *command,
                                  pnx_process *ret, pnx_error *err)
{
    int ends[2], pidfd = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return pnx_fail(err, PNX_EFAILED, "cannot run '%s': no socket: %m", plan->argv[0]);
    plan->report = ends[1];

    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &plan->mask);
    pid_t pid = start(plan, &pidfd);
    int number = errno;
    pthread_sigmask(SIG_SETMASK, &plan->mask, NULL);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        errno = number;
        return explain_start(plan, command, err);
    }

    struct start start = listen_to(ends[0]);
    close(ends[0]);
    pnx_process process = {.pidfd = pidfd, .pid = pid, .grace_ms = PNX_PROCESS_GRACE_MS};
    pnx_status status = finish(plan, &start, &process, err);
    if (status == PNX_OK)
        *ret = process;
    if (status == PNX_OK && command->limiter && start.disk >= 0)
        pnx__limiter_hold_disk(command->limiter, start.disk);
    else
        pnx__close(start.disk);
    return status;
}

static pnx_status spawn(const pnx_command *command, struct pnx__plan *plan, pnx_process *ret,
                        pnx_error *err)
{
    uint64_t disk = command->limiter ? pnx__limiter_disk(command->limiter) : 0;
    pnx_status status = pnx__isolation_plan(command, disk, &plan->isolation, err);
    if (status == PNX_OK)
        status = start_and_await(plan, command, ret, err);
    pnx__isolation_done(&plan->isolation);
    return status;
}

pnx_status pnx_process_spawn(const pnx_command *command, pnx_process *ret, pnx_error *err)
{
    if (!command->argv || !command->argv[0])
        return pnx_fail(err, PNX_EINVAL, "no command to run");
    const char *const *base = command->environment;
    if (!base)
        base = (const char *const *)environ;
    struct pnx__plan plan;
    plan.argv = command->argv;
    plan.environment = merge(base, command->set);
    plan.cgroup_dir = command->cgroup ? pnx_cgroup_fd(command->cgroup) : -1;
    plan.limiter = command->limiter;
    if (!plan.environment)
        return pnx_fail(err, PNX_ENOMEM, "no memory to run '%s'", command->argv[0]);
    pnx_status status = spawn(command, &plan, ret, err);
    free(plan.environment);
    return status;
}
