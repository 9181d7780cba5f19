/* SPDX-License-Identifier: MIT */
#include "kind/process_set.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

/* Looks meet processes in about the same order: the search goes on where the last one ended. */
static struct pnx__found_process *find(struct pnx__process_set *set, pid_t pid)
{
    for (size_t i = 0; i < set->found_count; i++) {
        size_t at = (set->hint + i) % set->found_count;
        if (set->found[at].pid == pid) {
            set->hint = at + 1;
            return &set->found[at];
        }
    }
    return NULL;
}

static int64_t nanoseconds_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * PNX_S(1) + now.tv_nsec;
}

static int64_t date_of(uint64_t start_time)
{
    int64_t since_boot = (int64_t)start_time * (PNX_S(1) / sysconf(_SC_CLK_TCK));
    return nanoseconds_of(CLOCK_REALTIME) - nanoseconds_of(CLOCK_BOOTTIME) + since_boot;
}

static void describe(struct pnx__found_process *found, const struct pnx__proc_stat *stat)
{
    found->parent = stat->parent;
    found->orphan = stat->parent == getpid() || stat->parent == 1;
    found->own_session = stat->session != getsid(0);
    found->stopped = stat->state == 'T';
    found->reaper = strcmp(stat->name, PNX__REAPER_NAME) == 0;
    found->user = stat->user;
    pnx__proc_command(found->pid, found->command, sizeof found->command);
}

struct pnx__found_process *pnx__set_note(struct pnx__process_set *set, pid_t pid, bool outside)
{
    struct pnx__proc_stat stat;
    struct pnx__found_process *found = find(set, pid);
    if (found && !found->outcome.verified)
        return found;
    if (set->found_count == set->found_max || !pnx__proc_stat(pid, &stat))
        return NULL;
    found = &set->found[set->found_count++];
    *found = (struct pnx__found_process){
        .pid = pid,
        .start_time = stat.start_time,
        .created = date_of(stat.start_time),
        .outside = outside,
    };
    describe(found, &stat);
    return found;
}

void pnx__set_look_again(struct pnx__process_set *set)
{
    size_t kept = 0;
    for (size_t i = 0; i < set->found_count; i++) {
        struct pnx__found_process *found = &set->found[i];
        struct pnx__proc_stat stat;
        if (pnx__found_is_gone(found) || !pnx__proc_stat(found->pid, &stat))
            continue;
        describe(found, &stat);
        set->found[kept++] = *found;
    }
    set->found_count = kept;
}

bool pnx__found_is_gone(const struct pnx__found_process *found)
{
    struct pnx__proc_stat stat;
    return !pnx__proc_stat(found->pid, &stat) || stat.start_time != found->start_time ||
           stat.state == 'Z' || stat.state == 'X';
}
