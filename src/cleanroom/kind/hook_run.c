/* SPDX-License-Identifier: MIT */
#include "kind/hook.h"

#include "kind/cgroup_place.h"
#include "kind/outcome.h"
#include "kind/poll.h"
#include "kind/spawn.h"
#include "kind/sys.h"
#include "kind/thing.h"

#include <cleanroom/cgroup.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* Between two attempts: what failed because something else was not over yet. */
#define PAUSE PNX_MS(100)
/* What was killed needs as long to go as it takes to free its memory. */
#define AFTER_KILL PNX_S(5)

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#define CLOSE_RANGE_CLOEXEC_ (1U << 2)

struct run {
    struct pnx__hook *hook;
    pnx_hook_result *result;
    pnx_cgroup *cgroup; /* NULL: none could be made */
    int output[2], null, pidfd;
    pid_t pid;
};

/* ---- in the child: nothing but system calls, as in any program with threads ------------------ */

static _Noreturn void give_up(const char *what)
{
    const char *texts[] = {"cannot ", what, ": ", strerrordesc_np(errno), "\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        (void)!write(2, texts[i], strlen(texts[i]));
    _exit(127);
}

static _Noreturn void become(const struct run *run, int cgroup_dir)
{
    const struct pnx__hook *hook = run->hook;
    sigset_t none;
    if (dup2(run->null, 0) < 0 || dup2(run->output[1], 1) < 0 || dup2(run->output[1], 2) < 0)
        _exit(127);
    if (cgroup_dir >= 0) {
        int procs = openat(cgroup_dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
        if (procs < 0 || write(procs, "0", 1) != 1)
            give_up("enter the cgroup of the hook");
    }
    (void)setsid();
    for (int number = 1; number < NSIG; number++)
        (void)signal(number, SIG_DFL);
    (void)syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC_);
    if (hook->user != geteuid() &&
        (setgroups(0, NULL) != 0 || setresgid(hook->group, hook->group, hook->group) != 0 ||
         setresuid(hook->user, hook->user, hook->user) != 0))
        give_up("become the user of the hook");
    if (chdir(hook->directory) != 0)
        give_up("enter the directory of the hook");
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    environ = (char **)hook->environment; /* PATH is looked up there, too */
    execvp(hook->argv[0], hook->argv);
    give_up("run the hook's command");
}

/* ---- starting -------------------------------------------------------------------------------- */

static pid_t start_by_fork(struct run *run, int cgroup_dir)
{
    pid_t pid = _Fork();
    if (pid == 0)
        become(run, cgroup_dir);
    return pnx__spawn_watch(pid, &run->pidfd);
}

static pid_t start_process(struct run *run)
{
    int cgroup_dir = run->cgroup ? pnx_cgroup_fd(run->cgroup) : -1;
    struct clone_args args = {
        .flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND | (cgroup_dir >= 0 ? CLONE_INTO_CGROUP : 0),
        .pidfd = (uintptr_t)&run->pidfd,
        .exit_signal = SIGCHLD,
        .cgroup = cgroup_dir >= 0 ? (uint64_t)cgroup_dir : 0,
    };
    pid_t pid = pnx__clone3(&args);
    if (pid == 0)
        become(run, -1);
    return pid < 0 && errno != EAGAIN && errno != ENOMEM ? start_by_fork(run, cgroup_dir) : pid;
}

/* What a cleaner left that was killed while the hook ran: it runs on, and would run beside ours. */
static void end_former(const char *dir, const char *name)
{
    char path[PATH_MAX], identity[PNX_THING_IDENTITY_MAX];
    const pnx_thing_kind *cgroups = &pnx__thing_cgroup;
    if (snprintf(path, sizeof path, "%s/%s", dir, name) < (int)sizeof path &&
        cgroups->find(path, identity, sizeof identity, NULL) == PNX_OK)
        (void)cgroups->remove(path, identity, pnx_time_after(pnx_monotonic_now(), AFTER_KILL),
                              NULL);
}

static void make_cgroup(struct run *run)
{
    struct pnx__cgroup_place place;
    char id[PNX_ID_TEXT_SIZE], name[80], top[PATH_MAX + sizeof "/cleanroom"];
    snprintf(name, sizeof name, "cleanroom-hook-%s-%u", pnx_id_format(run->hook->session, id),
             run->hook->number);
    if (pnx__cgroup_find_place(&place, NULL) != PNX_OK)
        return;
    snprintf(top, sizeof top, "%s/cleanroom", place.mount);
    if (place.own_dir[0])
        end_former(place.own_dir, name);
    end_former(top, name);
    if (pnx_cgroup_create(name, &run->cgroup, NULL) != PNX_OK)
        run->cgroup = NULL;
}

static pnx_status start(struct run *run, pnx_error *err)
{
    sigset_t all, mask;
    run->output[0] = run->output[1] = run->pidfd = -1;
    run->null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (run->null < 0 || pipe2(run->output, O_CLOEXEC) != 0 ||
        fcntl(run->output[0], F_SETFL, O_NONBLOCK) != 0) /* of our end alone */
        return pnx_fail(err, PNX_EFAILED, "cannot run the hook: %m");
    make_cgroup(run);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &mask);
    run->pid = start_process(run);
    int number = errno;
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    pnx__close(run->output[1]);
    run->output[1] = -1;
    errno = number;
    if (run->pid < 0)
        return pnx_fail(err, PNX_EFAILED, "cannot run the hook: %m");
    return PNX_OK;
}

/* ---- following ------------------------------------------------------------------------------- */

static void keep_output(pnx_hook_result *result, const char *bytes, size_t count)
{
    if (count > PNX_HOOK_OUTPUT_MAX) {
        bytes += count - PNX_HOOK_OUTPUT_MAX;
        count = PNX_HOOK_OUTPUT_MAX;
        result->output_cut = true;
    }
    size_t over = result->output_size + count > PNX_HOOK_OUTPUT_MAX
                      ? result->output_size + count - PNX_HOOK_OUTPUT_MAX
                      : 0;
    if (over) {
        memmove(result->output, result->output + over, result->output_size - over);
        result->output_size -= over;
        result->output_cut = true;
    }
    memcpy(result->output + result->output_size, bytes, count);
    result->output_size += count;
    result->output[result->output_size] = '\0';
}

/* One read at a time, so that who writes without end does not keep us. False: there is no more. */
static bool read_output(struct run *run)
{
    char buffer[4096];
    ssize_t got = read(run->output[0], buffer, sizeof buffer);
    if (got > 0)
        keep_output(run->result, buffer, (size_t)got);
    return got > 0 || (got < 0 && errno == EINTR);
}

/* Until it has ended. False: its time is over. */
static bool follow(struct run *run, pnx_time deadline)
{
    bool open = true;
    for (;;) {
        struct pollfd fds[] = {{.fd = run->pidfd, .events = POLLIN},
                               {.fd = open ? run->output[0] : -1, .events = POLLIN}};
        int ready = pnx__poll(fds, 2, deadline);
        if (ready > 0 && fds[0].revents)
            return true;
        if (ready <= 0 || pnx_monotonic_now() >= deadline)
            return false;
        open = read_output(run);
    }
}

/* All that it started. The pid is its own until it is waited for, and so is the group. */
static void kill_all(const struct run *run)
{
    kill(-run->pid, SIGKILL);
    (void)pnx__pidfd_signal(run->pidfd, SIGKILL); /* before setsid(2) it has no group */
    if (run->cgroup)
        (void)pnx_cgroup_kill(run->cgroup);
}

static void collect(struct run *run)
{
    siginfo_t info = {0};
    pnx_hook_result *result = run->result;
    struct pollfd fd = {.fd = run->pidfd, .events = POLLIN};
    pnx_time until = pnx_time_after(pnx_monotonic_now(), AFTER_KILL);
    kill_all(run);
    (void)pnx__poll(&fd, 1, until);
    bool known =
        waitid(PNX__P_PIDFD, (id_t)run->pidfd, &info, WEXITED | WNOHANG) == 0 && info.si_pid != 0;
    bool exited = known && info.si_code == CLD_EXITED;
    result->exit_code = exited ? info.si_status : -1;
    result->signal = known && !exited ? info.si_status : 0;
    if (run->cgroup)
        (void)pnx_cgroup_wait_empty(run->cgroup, until);
    /* What is in the pipe now was written before they died: it ends. */
    for (int reads = 0; reads < 64 && read_output(run); reads++)
        continue;
}

static void finish(struct run *run)
{
    pnx_duration pause = PNX_MS(1);
    while (run->cgroup && pnx_cgroup_remove(run->cgroup, NULL, NULL) == PNX_EBUSY &&
           pause < PNX_MS(100)) { /* the last thread of a dead process is on its way out */
        (void)pnx__poll(NULL, 0, pnx_time_after(pnx_monotonic_now(), pause));
        pause *= 2;
    }
    pnx_cgroup_free(run->cgroup);
    pnx__close(run->pidfd);
    pnx__close(run->null);
    pnx__close(run->output[0]);
    pnx__close(run->output[1]);
}

/* ---- judging --------------------------------------------------------------------------------- */

/* "exit status 3: the last line that it wrote" */
static pnx_status judge(const pnx_hook_result *result, pnx_error *err)
{
    if (!result->timed_out && result->exit_code == 0)
        return PNX_OK;
    size_t end = result->output_size, begin;
    while (end > 0 && strchr("\n\r ", result->output[end - 1]))
        end--;
    for (begin = end; begin > 0 && result->output[begin - 1] != '\n'; begin--)
        continue;
    const char *colon = end > begin ? ": " : "";
    int length = (int)(end - begin);
    const char *line = result->output + begin;
    if (result->timed_out)
        return pnx_fail(err, PNX_ETIMEOUT, "the hook did not end in time%s%.*s", colon, length,
                        line);
    errno = 0; /* nothing of the system failed */
    if (result->signal)
        return pnx_fail(err, PNX_EFAILED, "the hook was ended by signal %d%s%.*s", result->signal,
                        colon, length, line);
    return pnx_fail(err, PNX_EFAILED, "the hook ended with exit status %d%s%.*s", result->exit_code,
                    colon, length, line);
}

static pnx_status attempt(struct pnx__hook *hook, pnx_time deadline, pnx_hook_result *result,
                          pnx_error *err)
{
    struct run run = {.hook = hook, .result = result};
    unsigned attempts = result->attempts;
    *result = (pnx_hook_result){.exit_code = -1, .attempts = attempts + 1};
    pnx_time until = pnx_time_after(pnx_monotonic_now(), hook->timeout);
    pnx_status status = start(&run, err);
    if (status == PNX_OK) {
        result->timed_out = !follow(&run, until < deadline ? until : deadline);
        collect(&run);
        status = judge(result, err);
    }
    finish(&run);
    return status;
}

static pnx_status run_until(struct pnx__hook *hook, pnx_time deadline, pnx_hook_result *result,
                            pnx_error *err)
{
    for (;;) {
        pnx_error_clear(err);
        pnx_status status = attempt(hook, deadline, result, err);
        pnx_time next = pnx_time_after(pnx_monotonic_now(), PAUSE);
        if (status == PNX_OK || result->attempts > hook->retries || next >= deadline)
            return status;
        (void)pnx__poll(NULL, 0, next);
    }
}

pnx_status pnx_hook_run(const char *name, pnx_time deadline, pnx_outcome *outcome,
                        pnx_hook_result *result, pnx_error *err)
{
    struct pnx__hook hook = {0};
    pnx_hook_result ignored;
    pnx_outcome untold = {0};
    pnx_error local = {0}, *why = err ? err : &local;
    result = result ? result : &ignored;
    outcome = outcome ? outcome : &untold;
    *result = (pnx_hook_result){.exit_code = -1};
    pnx_status status = pnx__hook_parse(name, &hook, why);
    if (status != PNX_OK)
        return status;
    pnx_time began = pnx_monotonic_now();
    if (hook.user != geteuid() && geteuid() != 0)
        status = pnx_fail(why, PNX_EFAILED,
                          "the hook is one of user %u, and can be run only by him", hook.user);
    else
        status = run_until(&hook, deadline, result, why);
    pnx__outcome_attempt(outcome, began);
    if (result->attempts > 1)
        outcome->attempts += result->attempts - 1;
    if (status != PNX_OK)
        return pnx__outcome_stuck(outcome, PNX_FATE_STUCK, why);
    pnx__outcome_gone(outcome, PNX_FATE_REMOVED);
    return PNX_OK;
}
