/* SPDX-License-Identifier: MIT */
#include "kind/spawn.h"

#include "kind/sys.h"

#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

void pnx__spawn_forget_handlers(void)
{
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) != 0)
            continue;
        if (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN)
            continue;
        signal(number, SIG_DFL);
    }
}

/* ---- telling the parent ---------------------------------------------------------------------- */

static _Noreturn void give_up(const struct pnx__plan *plan, int what, int stage)
{
    struct pnx__told told = {.what = what, .stage = stage, .number = errno};
    (void)!send(plan->report, &told, sizeof told, MSG_NOSIGNAL);
    _exit(127);
}

/* The parent looks at the file system from outside, when nobody is inside any more. */
static void hand_over(const struct pnx__plan *plan, int disk)
{
    struct pnx__told told = {.what = PNX__TOLD_DISK};
    struct iovec part = {.iov_base = &told, .iov_len = sizeof told};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof disk)] = {0};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof control,
    };
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof disk);
    memcpy(CMSG_DATA(rights), &disk, sizeof disk);
    if (sendmsg(plan->report, &message, MSG_NOSIGNAL) < 0)
        give_up(plan, PNX__TOLD_ISOLATE, PNX__IN_DISK);
    pnx__close(disk);
}

/* ---- the command ----------------------------------------------------------------------------- */

static _Noreturn void execute(const struct pnx__plan *plan)
{
    if (plan->cgroup_dir >= 0) {
        int procs = openat(plan->cgroup_dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
        if (procs < 0 || write(procs, "0", 1) != 1)
            give_up(plan, PNX__TOLD_CGROUP, 0);
    }
    if (plan->limiter && !pnx__limiter_enter(plan->limiter))
        give_up(plan, PNX__TOLD_LIMITS, 0);
    sigprocmask(SIG_SETMASK, &plan->mask, NULL);
    execvpe(plan->argv[0], (char *const *)plan->argv, plan->environment);
    give_up(plan, PNX__TOLD_EXEC, 0);
}

/* ---- the usher of a pid namespace ------------------------------------------------------------ */

/* A sibling. It is told from a child by its pid: out here for us, and in there for itself. */
static pid_t fork_sibling(int cgroup_dir)
{
    struct clone_args args = {
        .flags = CLONE_PARENT | (cgroup_dir >= 0 ? CLONE_INTO_CGROUP : 0),
        .cgroup = cgroup_dir >= 0 ? (uint64_t)cgroup_dir : 0,
    };
    pid_t pid = pnx__clone3(&args);
    if (pid < 0 && cgroup_dir < 0) /* clone3(2) may be filtered where clone(2) is not */
        pid = (pid_t)syscall(SYS_clone, CLONE_PARENT, 0, 0, 0, 0);
    return pid;
}

static pid_t start_init(const struct pnx__plan *plan)
{
    struct sigaction before, ignored = {.sa_handler = SIG_IGN};
    sigaction(SIGCHLD, &ignored, &before);
    pid_t init = fork_sibling(-1);
    if (init == 0)
        pnx__isolate_be_init(plan->isolation.supervisor);
    sigaction(SIGCHLD, &before, NULL);
    return init;
}

static pid_t start_command(struct pnx__plan *plan)
{
    pid_t command = fork_sibling(plan->cgroup_dir);
    bool born_there = command >= 0;
    if (command < 0)
        command = fork_sibling(-1); /* it moves by itself */
    if (command != 0)
        return command;
    if (born_there)
        plan->cgroup_dir = -1;
    int stage = pnx__isolate_mount_proc();
    if (stage)
        give_up(plan, PNX__TOLD_ISOLATE, stage);
    execute(plan);
}

static _Noreturn void usher(struct pnx__plan *plan)
{
    if (unshare(CLONE_NEWPID) != 0)
        give_up(plan, PNX__TOLD_ISOLATE, PNX__IN_PID);
    (void)prctl(PR_SET_NAME,
                "cleanroom-init"); /* so that it never has another; exec sets its own */
    struct pnx__told told = {.what = PNX__TOLD_PIDS};
    told.init = start_init(plan);
    told.command = told.init > 0 ? start_command(plan) : -1;
    int number = errno;
    (void)!send(plan->report, &told, sizeof told, MSG_NOSIGNAL);
    if (told.command > 0)
        _exit(0);
    errno = number;
    give_up(plan, PNX__TOLD_ISOLATE, PNX__IN_INIT);
}

_Noreturn void pnx__spawn_become(struct pnx__plan *plan)
{
    int disk;
    int stage = pnx__isolate_enter(&plan->isolation, &disk);
    if (stage)
        give_up(plan, PNX__TOLD_ISOLATE, stage);
    if (disk >= 0)
        hand_over(plan, disk);
    if (plan->isolation.isolate & PNX_ISOLATE_PID)
        usher(plan);
    execute(plan);
}
