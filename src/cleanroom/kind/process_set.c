/* SPDX-License-Identifier: MIT */
#include "kind/process_set.h"

#include "kind/poll.h"
#include "kind/sys.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* How deep descendants are followed. What lies deeper comes to us when those above it are gone. */
#define DEPTH_MAX 64
/* A command that ran for less than this cannot have used up all pids once around … */
#define BRIEF PNX_S(1)
/* … and so many lookups by pid cost less than a look at every process there is. */
#define NARROW 4096

/* ---- who belongs ----------------------------------------------------------------------------- */

static bool is_stranger(const struct pnx__process_set *set, pid_t pid, uint64_t start_time)
{
    for (size_t i = 0; i < set->stranger_count; i++)
        if (set->strangers[i].pid == pid && set->strangers[i].start_time == start_time)
            return true;
    return false;
}

static bool is_command(const struct pnx__process_set *set, pid_t pid)
{
    return !set->command_ended && pid == set->command.pid;
}

static bool is_known(const struct pnx__process_set *set, pid_t pid, uint64_t start_time)
{
    for (size_t i = 0; i < set->found_count; i++)
        if (set->found[i].pid == pid && set->found[i].start_time == start_time)
            return true;
    return false;
}

/* A child of ours that is not the command: an orphan of the set, or somebody else's business? */
static bool is_orphan_of(const struct pnx__process_set *set, pid_t pid,
                         const struct pnx__proc_stat *stat)
{
    if (pid == set->init)
        return false;
    if (set->owns_children)
        return !is_stranger(set, pid, stat->start_time);
    /* A zombie still has its cgroup, but no environment any more. */
    return (set->cgroup && pnx_cgroup_has(set->cgroup, pid)) ||
           is_known(set, pid, stat->start_time) || pnx__proc_has_environment(pid, set->cookie);
}

/* Does it descend from the command, or from an orphan of the set? */
static bool descends(const struct pnx__process_set *set, pid_t pid)
{
    pid_t self = getpid();
    for (unsigned depth = 0; depth < 4 * DEPTH_MAX && pid > 1 && pid != self; depth++) {
        struct pnx__proc_stat stat;
        if (is_command(set, pid))
            return true;
        if (!pnx__proc_stat(pid, &stat))
            return false;
        if (set->init && stat.parent == set->init)
            return true;
        if (stat.parent == self)
            return is_orphan_of(set, pid, &stat);
        pid = stat.parent;
    }
    return false;
}

/* Known without asking where it stands: by its cookie, or by who followed it. */
static bool is_marked(const struct pnx__process_set *set, pid_t pid)
{
    return (set->remembers && set->remembers(set->context, pid)) ||
           pnx__proc_has_environment(pid, set->cookie);
}

bool pnx__set_has(const struct pnx__process_set *set, pid_t pid)
{
    return (set->cgroup && pnx_cgroup_has(set->cgroup, pid)) || descends(set, pid) ||
           is_marked(set, pid);
}

bool pnx__set_signal(const struct pnx__process_set *set, pid_t pid, const int *signals,
                     size_t count)
{
    int pidfd = pnx__pidfd_open(pid);
    bool allowed = true;
    if (pidfd >= 0 && pnx__set_has(set, pid))
        for (size_t i = 0; i < count; i++)
            allowed = (pnx__pidfd_signal(pidfd, signals[i]) == 0 || errno != EPERM) && allowed;
    pnx__close(pidfd);
    return allowed;
}

/* ---- our children ---------------------------------------------------------------------------- */

struct strangers {
    struct pnx__process_set *set;
    bool no_memory;
};

static void note_stranger(pid_t pid, void *context)
{
    struct strangers *strangers = context;
    struct pnx__process_set *set = strangers->set;
    struct pnx__proc_stat stat;
    if (!pnx__proc_stat(pid, &stat))
        return;
    size_t size = (set->stranger_count + 1) * sizeof *set->strangers;
    struct pnx__child *grown = realloc(set->strangers, size);
    if (!grown) {
        strangers->no_memory = true;
        return;
    }
    grown[set->stranger_count++] = (struct pnx__child){pid, stat.start_time};
    set->strangers = grown;
}

bool pnx__set_note_strangers(struct pnx__process_set *set)
{
    struct strangers strangers = {set, false};
    pnx__proc_each_child(getpid(), note_stranger, &strangers);
    return !strangers.no_memory;
}

/* A zombie orphan of ours is reaped; nothing but waiting makes its pid free for others. */
static void reap(const struct pnx__process_set *set, pid_t pid, const struct pnx__proc_stat *stat)
{
    if (stat->state == 'Z' && !is_command(set, pid) && is_orphan_of(set, pid, stat))
        (void)waitid(P_PID, (id_t)pid, NULL, WEXITED | WNOHANG);
}

static void reap_child(pid_t pid, void *context)
{
    struct pnx__proc_stat stat;
    if (pnx__proc_stat(pid, &stat))
        reap(context, pid, &stat);
}

/* The child that would be waited for next; 0: none has ended. It stays a zombie. */
static pid_t next_zombie(void)
{
    siginfo_t info = {0};
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 ? info.si_pid : 0;
}

/*
 * The kernel tells which child has ended, so that those that live need no look. The command, or a
 * stranger, that has ended and is not waited for yet hides who comes after it: then all are looked
 * at.
 */
void pnx__set_reap(struct pnx__process_set *set)
{
    pid_t last = 0;
    for (pid_t pid = next_zombie(); pid != 0; pid = next_zombie()) {
        if (pid == last) {
            pnx__proc_each_child(getpid(), reap_child, set);
            return;
        }
        reap_child(pid, set);
        last = pid;
    }
}

struct child {
    const struct pnx__process_set *set;
    pid_t pid;
};

static void find_child(pid_t pid, void *context)
{
    struct child *child = context;
    struct pnx__proc_stat stat;
    if (!child->pid && !is_command(child->set, pid) && pnx__proc_stat(pid, &stat) &&
        is_orphan_of(child->set, pid, &stat))
        child->pid = pid;
}

bool pnx__set_reap_all(struct pnx__process_set *set, pnx_time deadline)
{
    for (;;) {
        struct child child = {set, 0};
        pnx__set_reap(set);
        pnx__proc_each_child(getpid(), find_child, &child);
        if (!child.pid)
            return true;
        struct pollfd fd = {.fd = pnx__pidfd_open(child.pid), .events = POLLIN};
        int ready = fd.fd >= 0 ? pnx__poll(&fd, 1, deadline) : 1;
        pnx__close(fd.fd);
        if (ready <= 0)
            return false;
    }
}

/* ---- all of it ------------------------------------------------------------------------------- */

struct visit {
    struct pnx__process_set *set;
    pnx__member_fn visit;
    void *context;
    unsigned depth;
    bool rest; /* only whom a look at those that are known does not meet */
};

static pid_t *slot_of(struct pnx__seen *seen, pid_t pid)
{
    size_t at = (size_t)pid % PNX__SEEN_SLOTS;
    while (seen->slots[at] != 0 && seen->slots[at] != pid)
        at = (at + 1) % PNX__SEEN_SLOTS;
    return &seen->slots[at];
}

static void visit_in_cgroup(pid_t pid, void *context)
{
    struct visit *visit = context;
    struct pnx__seen *seen = &visit->set->seen;
    if (seen->count < PNX__SEEN_SLOTS / 2) {
        *slot_of(seen, pid) = pid;
        seen->count++;
    }
    if (!is_command(visit->set, pid) && !visit->rest)
        visit->visit(visit->set, pid, false, visit->context);
}

static bool was_seen(struct pnx__process_set *set, pid_t pid)
{
    return *slot_of(&set->seen, pid) == pid;
}

/* What is in the cgroup was visited there; it and its children need no second look. */
static bool was_visited(struct pnx__process_set *set, pid_t pid)
{
    return was_seen(set, pid) || (set->cgroup && pnx_cgroup_has(set->cgroup, pid));
}

static void visit_descendant(pid_t pid, void *context)
{
    struct visit *visit = context;
    struct pnx__process_set *set = visit->set;
    struct pnx__proc_stat stat;
    if (was_seen(set, pid) || !pnx__proc_stat(pid, &stat))
        return;
    bool is_init = set->init && pid == set->init;
    if (visit->depth == 0 && !is_command(set, pid) && !is_init && !is_orphan_of(set, pid, &stat))
        return;
    if (stat.state == 'Z' || stat.state == 'X') {
        if (visit->depth == 0)
            reap(set, pid, &stat);
        return;
    }
    if (was_visited(set, pid))
        return;
    bool wanted = !is_command(set, pid) && !is_init;
    if (wanted && !set->signals)
        visit->visit(set, pid, set->cgroup != NULL, visit->context);
    if (visit->depth < DEPTH_MAX) {
        visit->depth++;
        pnx__proc_each_child(pid, visit_descendant, visit);
        visit->depth--;
    }
    if (wanted && set->signals)
        visit->visit(set, pid, set->cgroup != NULL, visit->context);
}

/* Our own helpers were started by us, as the command was. */
static bool is_helper(const struct pnx__process_set *set, pid_t pid)
{
    struct pnx__proc_stat stat;
    return set->stranger_count > 0 && pnx__proc_stat(pid, &stat) &&
           is_stranger(set, pid, stat.start_time);
}

static void visit_cookie(pid_t pid, void *context)
{
    struct visit *visit = context;
    struct pnx__process_set *set = visit->set;
    struct pnx__proc_stat stat;
    if (pid == getpid() || pid == set->init || is_command(set, pid) || was_seen(set, pid) ||
        !is_marked(set, pid) || is_helper(set, pid))
        return;
    if (was_visited(set, pid) || descends(set, pid))
        return;
    if (visit->rest && set->remembers && set->remembers(set->context, pid))
        return;
    if (!pnx__proc_stat(pid, &stat) || stat.state == 'Z' || stat.state == 'X')
        return;
    set->elsewhere = true;
    visit->visit(set, pid, true, visit->context);
}

/* Whoever has the cookie was started after the command: often these are few, their pids known. */
static void each_with_cookie(struct visit *visit)
{
    struct pnx__process_set *set = visit->set;
    pid_t first = set->command.pid, last = pnx__proc_last_pid();
    set->everywhere = true;
    bool brief = pnx_monotonic_now() - set->started < BRIEF;
    if (!brief || last < first || last - first > NARROW) {
        pnx__proc_each(visit_cookie, visit);
        return;
    }
    for (pid_t pid = first; pid <= last; pid++)
        visit_cookie(pid, visit);
}

/* Most have ended; and the pid may by now be that of another's thread, which has no pidfd. */
static void visit_remembered(pid_t pid, void *context)
{
    int pidfd = pnx__pidfd_open(pid);
    if (pidfd >= 0)
        visit_cookie(pid, context);
    pnx__close(pidfd);
}

/* Whom somebody followed from fork to fork needs no search, however many others there are. */
static void each_known(struct visit *visit)
{
    const struct pnx__process_set *set = visit->set;
    if (!set->each_remembered || !set->each_remembered(set->context, visit_remembered, visit))
        each_with_cookie(visit);
}

void pnx__set_each(struct pnx__process_set *set, enum pnx__look look, pnx__member_fn visit,
                   void *context)
{
    struct visit state = {.set = set, .visit = visit, .context = context};
    state.rest = look == PNX__LOOK_REST;
    set->everywhere = false;
    pnx__set_reap(set);
    if (set->seen.count > 0)
        memset(&set->seen, 0, sizeof set->seen);
    if (set->cgroup)
        pnx_cgroup_each(set->cgroup, visit_in_cgroup, &state);
    if (look != PNX__LOOK_REST)
        pnx__proc_each_child(getpid(), visit_descendant, &state);
    if (look == PNX__LOOK_KNOWN)
        each_known(&state);
    if (look >= PNX__LOOK_REST)
        each_with_cookie(&state);
}
