/* SPDX-License-Identifier: MIT */
#include <cleanroom/process.h>

#include "kind/outcome.h"
#include "kind/poll.h"
#include "kind/procfs.h"
#include "kind/sys.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* What was killed needs some 0.1 ms per MiB that it had mapped; this is for machines in trouble. */
#define AFTER_KILL PNX_S(5)

pnx_status pnx_process_open(pid_t pid, pnx_process *ret, pnx_error *err)
{
    /* The descriptor first: what is read after it, while it still runs, is true of this process. */
    int pidfd = pid > 0 ? pnx__pidfd_open(pid) : (errno = ESRCH, -1);
    if (pidfd < 0)
        return pnx_fail(err, errno == ESRCH ? PNX_ENOTFOUND : PNX_EFAILED,
                        "cannot take hold of process %d: %m", (int)pid);
    *ret = (pnx_process){.pidfd = pidfd, .pid = pid, .grace_ms = PNX_PROCESS_GRACE_MS};
    struct pnx__proc_stat stat;
    if (pnx__proc_stat(pid, &stat) && pnx_process_runs(ret)) {
        ret->start_time = stat.start_time;
        return PNX_OK;
    }
    pnx_process_close(ret);
    return pnx_fail(err, PNX_ENOTFOUND, "process %d has ended", (int)pid);
}

/* ---- its pid namespace ----------------------------------------------------------------------- */

/*
 * The init is a child of ours. It has ended only when all in its namespace have, and were reaped:
 * the kernel sees to that, so nothing needs to be looked for. The command, whose parent we are, it
 * cannot reap for us.
 */
pnx_status pnx_process_end_namespace(pnx_process *process, pnx_time deadline, pnx_error *err)
{
    if (process->init_pidfd <= 0)
        return PNX_OK;
    (void)pnx__pidfd_signal(process->init_pidfd, SIGKILL);
    if (process->pidfd >= 0)
        (void)pnx_process_wait(process, deadline, NULL);
    struct pollfd fd = {.fd = process->init_pidfd, .events = POLLIN};
    if (pnx__poll(&fd, 1, deadline) <= 0)
        return pnx_fail(err, PNX_ETIMEOUT,
                        "the pid namespace of process %d is still there after its init was killed",
                        (int)process->pid);
    (void)waitid(PNX__P_PIDFD, (id_t)process->init_pidfd, NULL, WEXITED | WNOHANG);
    pnx__close(process->init_pidfd);
    process->init_pidfd = 0;
    return PNX_OK;
}

void pnx_process_close(pnx_process *process)
{
    pnx_time deadline = pnx_time_after(pnx_monotonic_now(), AFTER_KILL);
    if (pnx_process_end_namespace(process, deadline, NULL) != PNX_OK) {
        pnx__close(process->init_pidfd);
        process->init_pidfd = 0;
    }
    pnx__close(process->pidfd);
    process->pidfd = -1;
}

bool pnx_process_runs(const pnx_process *process)
{
    struct pollfd fd = {.fd = process->pidfd, .events = POLLIN};
    return process->pidfd >= 0 && poll(&fd, 1, 0) == 0;
}

pnx_status pnx_process_signal(const pnx_process *process, int signal_number)
{
    if (pnx__pidfd_signal(process->pidfd, signal_number) == 0)
        return PNX_OK;
    return errno == ESRCH ? PNX_EALREADY : PNX_EFAILED;
}

static int wait_status(const siginfo_t *info)
{
    if (info->si_code == CLD_EXITED)
        return info->si_status << 8;
    return info->si_status | (info->si_code == CLD_DUMPED ? 0x80 : 0);
}

pnx_status pnx_process_wait(const pnx_process *process, pnx_time deadline, int *ret_status)
{
    struct pollfd fd = {.fd = process->pidfd, .events = POLLIN};
    int ready = pnx__poll(&fd, 1, deadline);
    if (ready <= 0)
        return ready == 0 ? PNX_ETIMEOUT : PNX_EFAILED;
    siginfo_t info = {0};
    bool child = waitid(PNX__P_PIDFD, (id_t)process->pidfd, &info, WEXITED) == 0;
    if (ret_status)
        *ret_status = child ? wait_status(&info) : -1;
    return PNX_OK;
}

/* Stopped processes take notice of a signal only when they go on. */
static pnx_status ask(const pnx_process *process)
{
    pnx_status status = pnx_process_signal(process, SIGTERM);
    return status == PNX_OK ? pnx_process_signal(process, SIGCONT) : status;
}

static pnx_status end(const pnx_process *process, pnx_duration grace, pnx_outcome *outcome,
                      pnx_error *err)
{
    if (!pnx_process_runs(process)) {
        pnx_process_wait(process, PNX_FOREVER, NULL);
        pnx__outcome_gone(outcome, PNX_FATE_ALREADY_GONE);
        return PNX_OK;
    }
    if (grace > 0 && ask(process) == PNX_OK &&
        pnx_process_wait(process, pnx_time_after(pnx_monotonic_now(), grace), NULL) == PNX_OK) {
        pnx__outcome_gone(outcome, PNX_FATE_REMOVED);
        return PNX_OK;
    }
    if (pnx_process_signal(process, SIGKILL) == PNX_EFAILED) {
        pnx_fail(err, PNX_EFAILED, "cannot kill process %d: %m", (int)process->pid);
        return pnx__outcome_stuck(outcome, PNX_FATE_STUCK, err);
    }
    if (pnx_process_wait(process, pnx_time_after(pnx_monotonic_now(), AFTER_KILL), NULL)) {
        pnx_fail(err, PNX_EBUSY, "process %d is still there %d s after SIGKILL", (int)process->pid,
                 (int)(AFTER_KILL / PNX_S(1)));
        return pnx__outcome_stuck(outcome, PNX_FATE_STUCK, err);
    }
    pnx__outcome_gone(outcome, PNX_FATE_REMOVED);
    if (grace > 0)
        snprintf(outcome->reason, sizeof outcome->reason, "ignored SIGTERM");
    return PNX_OK;
}

pnx_status pnx_process_end(const pnx_process *process, pnx_duration grace, pnx_outcome *outcome,
                           pnx_error *err)
{
    pnx_error local_error = {0};
    pnx_outcome local_outcome = {0};
    pnx_outcome *told = outcome ? outcome : &local_outcome;
    pnx_time began = pnx_monotonic_now();
    pnx_status status = end(process, grace, told, err ? err : &local_error);
    pnx__outcome_attempt(told, began);
    return status;
}

/* ---- the kind -------------------------------------------------------------------------------- */

static pnx_status release_process(void *value, const pnx_release *why)
{
    pnx_process process;
    memcpy(&process, value, sizeof process);
    pnx_status status = pnx_process_end(&process, PNX_MS(process.grace_ms), NULL, NULL);
    pnx_time deadline = pnx_time_after(pnx_monotonic_now(), AFTER_KILL);
    if (status == PNX_OK)
        status = pnx_process_end_namespace(&process, deadline, NULL);
    if (status == PNX_OK)
        pnx_process_close(&process);
    else
        memcpy(value, &process, sizeof process);
    return status;
}

static int describe_process(const void *value, char *buffer, size_t size)
{
    pnx_process process;
    memcpy(&process, value, sizeof process);
    return snprintf(buffer, size, "process %d", (int)process.pid);
}

const pnx_kind pnx_kind_process = {
    .name = "process",
    .priority = PNX_CRITICAL,
    .timeout = PNX_FOREVER, /* the grace is the resource's own; every wait in the release ends */
    .retries = 1,
    .value_size = sizeof(pnx_process),
    .describe = (void (*)(void))describe_process,
    .release = release_process,
    .run_describe = describe_process,
};
