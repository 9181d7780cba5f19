/* SPDX-License-Identifier: MIT */
#include "kind/process_wait.h"

#include "kind/poll.h"
#include "kind/sys.h"

#include <string.h>

/* Processes that are waited for at a time: descriptors are scarce, the order does not matter. */
#define WAITED_MAX 256

enum { ALARM, CGROUP, FIRST_PROCESS };

struct waiting {
    enum pnx__wait how;
    struct pollfd fds[FIRST_PROCESS + WAITED_MAX]; /* those that are over are -1 */
    nfds_t count;
};

static void add(struct waiting *waiting, int pidfd)
{
    if (pidfd >= 0)
        waiting->fds[waiting->count++] = (struct pollfd){.fd = pidfd, .events = POLLIN};
}

static bool is_full(const struct waiting *waiting)
{
    return waiting->count == FIRST_PROCESS + WAITED_MAX;
}

static bool shares_our_session(pid_t pid)
{
    return getsid(pid) == getsid(0);
}

static bool is_reaper(pid_t pid)
{
    struct pnx__proc_stat stat;
    return pnx__proc_stat(pid, &stat) && strcmp(stat.name, PNX__REAPER_NAME) == 0;
}

static bool is_waited_for(enum pnx__wait how, pid_t pid)
{
    return how == PNX__WAIT_SESSION   ? shares_our_session(pid)
           : how == PNX__WAIT_REAPERS ? is_reaper(pid)
                                      : true;
}

static bool is_for_some(enum pnx__wait how)
{
    return how == PNX__WAIT_SESSION || how == PNX__WAIT_REAPERS;
}

static void add_member(struct pnx__process_set *set, pid_t pid, bool outside, void *context)
{
    struct waiting *waiting = context;
    bool one_by_one = !set->cgroup || outside || is_for_some(waiting->how);
    if (!one_by_one || is_full(waiting))
        return;
    int pidfd = pnx__pidfd_open(pid);
    bool ours_to_end = pidfd >= 0 && (pnx__pidfd_signal(pidfd, 0) == 0 || errno != EPERM);
    bool wanted = ours_to_end && pnx__set_has(set, pid) && is_waited_for(waiting->how, pid);
    if (wanted)
        add(waiting, pidfd);
    else
        pnx__close(pidfd);
}

static void gather(struct pnx__process_set *set, struct waiting *waiting)
{
    bool all = !is_for_some(waiting->how);
    bool populated = all && set->cgroup && pnx_cgroup_populated(set->cgroup);
    int events = populated ? pnx_cgroup_events_fd(set->cgroup) : -1;
    int alarm = waiting->how != PNX__WAIT_FIRM ? set->alarm_fd : -1;
    waiting->fds[ALARM] = (struct pollfd){.fd = alarm, .events = POLLIN};
    waiting->fds[CGROUP] = (struct pollfd){.fd = events, .events = POLLPRI};
    waiting->count = FIRST_PROCESS;
    if (all && !set->command_ended && pnx_process_runs(&set->command))
        add(waiting, fcntl(set->command.pidfd, F_DUPFD_CLOEXEC, 0));
    pnx__set_each(set, set->elsewhere ? PNX__LOOK_KNOWN : PNX__LOOK_NEAR, add_member, waiting);
}

static bool is_over(const struct waiting *waiting)
{
    for (nfds_t i = CGROUP; i < waiting->count; i++)
        if (waiting->fds[i].fd >= 0)
            return false;
    return true;
}

static void drop(struct waiting *waiting, nfds_t i)
{
    pnx__close(waiting->fds[i].fd);
    waiting->fds[i].fd = -1;
}

/* Polls until all that was gathered is over. False: the time is, or nobody wants to wait. */
static bool wait_for_gathered(struct pnx__process_set *set, struct waiting *waiting,
                              pnx_time deadline)
{
    while (!is_over(waiting)) {
        if (pnx__poll(waiting->fds, waiting->count, deadline) <= 0)
            return false;
        if (waiting->fds[ALARM].revents && set->alarm(set->context)) {
            set->hurried = true;
            return false;
        }
        if (waiting->fds[CGROUP].revents && !pnx_cgroup_populated(set->cgroup))
            waiting->fds[CGROUP].fd = -1; /* the cgroup's own: not closed */
        for (nfds_t i = FIRST_PROCESS; i < waiting->count; i++)
            if (waiting->fds[i].revents)
                drop(waiting, i);
    }
    return true;
}

bool pnx__set_wait(struct pnx__process_set *set, enum pnx__wait how, pnx_time deadline)
{
    for (;;) {
        struct waiting waiting = {.how = how};
        gather(set, &waiting);
        if (is_over(&waiting))
            return true;
        bool over = wait_for_gathered(set, &waiting, deadline);
        for (nfds_t i = FIRST_PROCESS; i < waiting.count; i++)
            drop(&waiting, i);
        /* What was born since the kill is no better for being waited for. */
        if (!over || how == PNX__WAIT_FIRM)
            return over;
    }
}
