/* SPDX-License-Identifier: MIT */
#include <cleanroom/cgroup.h>
#include <cleanroom/process.h>

#include "kind/procfs.h"
#include "kind/sys.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* All that the child needs, made before it exists: between fork and exec it must not allocate. */
struct plan {
    const char *const *argv;
    char **environment;
    sigset_t mask;
    int report;     /* where the child says what went wrong; closed by a successful exec */
    int cgroup_dir; /* -1: none, or the child was born there */
};

/* What the child reports. */
struct failure {
    enum { IN_EXEC, IN_CGROUP } stage;
    int number;
};

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

/* ---- in the child ---------------------------------------------------------------------------- */

/* Handlers of ours must not run in the child once its mask is open. What is ignored stays so. */
static void forget_handlers(void)
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

static _Noreturn void give_up(const struct plan *plan, int stage)
{
    struct failure failure = {.stage = stage, .number = errno};
    (void)!write(plan->report, &failure, sizeof failure);
    _exit(127);
}

static _Noreturn void become(const struct plan *plan)
{
    if (plan->cgroup_dir >= 0) {
        int procs = openat(plan->cgroup_dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
        if (procs < 0 || write(procs, "0", 1) != 1)
            give_up(plan, IN_CGROUP);
    }
    sigprocmask(SIG_SETMASK, &plan->mask, NULL);
    execvpe(plan->argv[0], (char *const *)plan->argv, plan->environment);
    give_up(plan, IN_EXEC);
}

/* ---- in the parent --------------------------------------------------------------------------- */

/* Where clone3(2) is missing or filtered: the child moves by itself, before it is executed. */
static pid_t start_by_fork(struct plan *plan, int cgroup_dir, int *ret_pidfd)
{
    plan->cgroup_dir = cgroup_dir;
    pid_t pid = _Fork();
    if (pid == 0) {
        forget_handlers();
        become(plan);
    }
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

/*
 * Born in its cgroup: there is no moment at which it could fork outside of it, and nothing has to
 * be moved, which would cost the machine an RCU grace period.
 */
static pid_t start(struct plan *plan, int cgroup_dir, int *ret_pidfd)
{
    struct clone_args args = {
        .flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND | (cgroup_dir >= 0 ? CLONE_INTO_CGROUP : 0),
        .pidfd = (uintptr_t)ret_pidfd,
        .exit_signal = SIGCHLD,
        .cgroup = cgroup_dir >= 0 ? (uint64_t)cgroup_dir : 0,
    };
    plan->cgroup_dir = -1;
    pid_t pid = pnx__clone3(&args);
    if (pid == 0)
        become(plan);
    if (pid < 0 && (errno == ENOSYS || errno == EPERM || errno == E2BIG || errno == EINVAL))
        return start_by_fork(plan, cgroup_dir, ret_pidfd);
    return pid;
}

static pnx_status explain_exec(const char *name, int number, pnx_error *err)
{
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

/* Waits for the child's exec to close the pipe, or for its report. */
static pnx_status await_exec(int pipe, const char *name, pnx_error *err)
{
    struct failure failure;
    ssize_t got;
    do
        got = read(pipe, &failure, sizeof failure);
    while (got < 0 && errno == EINTR);
    if (got != sizeof failure)
        return PNX_OK;
    if (failure.stage == IN_EXEC)
        return explain_exec(name, failure.number, err);
    errno = failure.number;
    return pnx_fail(err, PNX_EBUSY, "cannot put '%s' into its cgroup: %m", name);
}

static pnx_status start_and_await(struct plan *plan, const pnx_command *command, pnx_process *ret,
                                  pnx_error *err)
{
    const char *name = command->argv[0];
    int cgroup_dir = command->cgroup ? pnx_cgroup_fd(command->cgroup) : -1;
    int ends[2], pidfd = -1;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return pnx_fail(err, PNX_EFAILED, "cannot run '%s': no pipe: %m", name);
    plan->report = ends[1];

    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &plan->mask);
    pid_t pid = start(plan, cgroup_dir, &pidfd);
    int number = errno;
    pthread_sigmask(SIG_SETMASK, &plan->mask, NULL);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        errno = number;
        if (cgroup_dir >= 0 && number != EAGAIN && number != ENOMEM)
            return pnx_fail(err, PNX_EBUSY, "cannot start '%s' in cgroup %s: %m", name,
                            pnx_cgroup_path(command->cgroup));
        return pnx_fail(err, PNX_EFAILED, "cannot run '%s': no process: %m", name);
    }

    pnx_status status = await_exec(ends[0], name, err);
    close(ends[0]);
    *ret = (pnx_process){.pidfd = pidfd, .pid = pid, .grace_ms = PNX_PROCESS_GRACE_MS};
    struct pnx__proc_stat about;
    if (pnx__proc_stat(pid, &about))
        ret->start_time = about.start_time;
    if (status != PNX_OK) {
        pnx_process_wait(ret, PNX_FOREVER, NULL);
        pnx_process_close(ret);
    }
    return status;
}

pnx_status pnx_process_spawn(const pnx_command *command, pnx_process *ret, pnx_error *err)
{
    if (!command->argv || !command->argv[0])
        return pnx_fail(err, PNX_EINVAL, "no command to run");
    const char *const *base = command->environment;
    if (!base)
        base = (const char *const *)environ;
    struct plan plan = {.argv = command->argv, .environment = merge(base, command->set)};
    if (!plan.environment)
        return pnx_fail(err, PNX_ENOMEM, "no memory to run '%s'", command->argv[0]);
    pnx_status status = start_and_await(&plan, command, ret, err);
    free(plan.environment);
    return status;
}
