/* SPDX-License-Identifier: MIT */
#include "kind/process_set.h"

#include "kind/cgroup.h"
#include "kind/outcome.h"
#include "kind/process_wait.h"
#include "kind/sys.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/*
 * What shares the command's terminal session may be the end of a pipeline that is about to end by
 * itself, such as the tee of `exec > >(tee log)`: asked to go at once, it would lose output.
 * Daemons have a session of their own, and are not waited for.
 */
#define SETTLE PNX_MS(50)
/* Sessions within ours whose supervisor was killed, or has only just ended. */
#define REAPERS PNX_S(5)
/* What was killed needs some 0.1 ms per MiB that it had mapped; this is for machines in trouble. */
#define AFTER_KILL PNX_S(5)
/* After the first kill we look again so soon, and then ever later, for who got away. */
#define FIRST_LOOK PNX_MS(10)
#define LAST_LOOK PNX_MS(640)
/* At the second attempt, for what was killed and did not go. */
#define AFTER_KILL_AGAIN PNX_S(1)

static pnx_time after(pnx_duration span)
{
    return pnx_time_after(pnx_monotonic_now(), span);
}

static pnx_time earlier(pnx_time a, pnx_time b)
{
    return a < b ? a : b;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void note_member(struct pnx__process_set *set, pid_t pid, bool outside, void *ret_count)
{
    bool room = set->found_count < set->found_max;
    if (!pnx__set_note(set, pid, outside) && !room)
        set->unlisted++;
    ++*(size_t *)ret_count;
}

/* Writes down whoever is known to be there, before a search of the whole machine, which ask and
 * kill_all make. */
static size_t look(struct pnx__process_set *set)
{
    size_t count = 0;
    set->unlisted = 0;
    pnx__set_each(set, PNX__LOOK_KNOWN, note_member, &count);
    if (count == 0 && !set->everywhere)
        pnx__set_each(set, PNX__LOOK_REST, note_member, &count);
    return count;
}

static bool somebody_shares_our_session(const struct pnx__process_set *set)
{
    for (size_t i = 0; i < set->found_count; i++)
        if (!set->found[i].own_session)
            return true;
    return false;
}

static bool somebody_is_a_reaper(const struct pnx__process_set *set)
{
    for (size_t i = 0; i < set->found_count; i++)
        if (set->found[i].reaper)
            return true;
    return false;
}

/* What goes by itself was not left behind. */
static void settle(struct pnx__process_set *set)
{
    if (set->grace > 0 && !set->hurried && somebody_shares_our_session(set)) {
        pnx__set_wait(set, PNX__WAIT_SESSION, after(set->grace < SETTLE ? set->grace : SETTLE));
        pnx__set_look_again(set);
    }
    /* Whoever else cleans up in here is better at it than we are: it knows what it made. */
    if (!set->hurried && somebody_is_a_reaper(set)) {
        pnx__set_wait(set, PNX__WAIT_REAPERS, after(REAPERS));
        pnx__set_look_again(set);
    }
}

static void ask_member(struct pnx__process_set *set, pid_t pid, bool outside, void *context)
{
    /* A stopped process takes notice only when it goes on. */
    pnx__set_signal(set, pid, (const int[]){SIGTERM, SIGCONT}, 2);
}

static void ask_known(struct pnx__process_set *set, pid_t pid, bool outside, void *context)
{
    struct pnx__found_process *found = pnx__set_note(set, pid, outside);
    ask_member(set, pid, outside, NULL);
    if (found)
        found->asked = true;
}

/* Whom the look before did not meet. */
static void ask_unknown(struct pnx__process_set *set, pid_t pid, bool outside, void *ret_count)
{
    note_member(set, pid, outside, ret_count);
    ask_known(set, pid, outside, NULL);
}

/* Asks everybody to go, those first of whom is known, and waits for it. */
static void ask(struct pnx__process_set *set)
{
    if (set->grace <= 0 || set->hurried)
        return;
    if (set->interrupted && !set->command_ended && pnx_process_signal(&set->command, SIGTERM) == 0)
        (void)pnx_process_signal(&set->command, SIGCONT);
    /* Who goes with a command that is interrupted was not left behind. */
    size_t rest = 0;
    bool ends_with_command = set->interrupted && !set->command_ended;
    set->signals = true;
    pnx__set_each(set, PNX__LOOK_KNOWN, ends_with_command ? ask_member : ask_known, NULL);
    if (!set->everywhere)
        pnx__set_each(set, PNX__LOOK_REST, ends_with_command ? ask_member : ask_unknown, &rest);
    set->signals = false;
    pnx__set_wait(set, PNX__WAIT_POLITE, after(set->grace));
}

/* Tells which of those that are written down are gone by now. */
static size_t verify(struct pnx__process_set *set, pnx_time began)
{
    size_t left = 0;
    bool empty = set->cgroup && !pnx_cgroup_populated(set->cgroup); /* one look at all in it */
    for (size_t i = 0; i < set->found_count; i++) {
        struct pnx__found_process *found = &set->found[i];
        if (found->outcome.verified)
            continue;
        if (!(empty && !found->outside) && !pnx__found_is_gone(found)) {
            left++;
            continue;
        }
        found->outcome.ended = pnx_monotonic_now();
        found->outcome.took = found->outcome.ended - began;
        found->outcome.attempts = (unsigned)found->asked + found->killed;
        pnx__outcome_gone(&found->outcome, PNX_FATE_REMOVED);
        if (found->asked && found->killed && !set->hurried)
            snprintf(found->outcome.reason, sizeof found->outcome.reason, "ignored SIGTERM");
    }
    return left;
}

struct kill {
    size_t met, refused, outside;
};

static void kill_member(struct pnx__process_set *set, pid_t pid, bool outside, void *context)
{
    struct kill *kill = context;
    struct pnx__found_process *found = pnx__set_note(set, pid, outside);
    kill->met++;
    kill->outside += outside;
    if (found)
        found->killed = true;
    if ((!set->cgroup || outside) && !pnx__set_signal(set, pid, (const int[]){SIGKILL}, 1))
        kill->refused++;
}

/* Everybody whom the last look met; it was a moment ago. */
static void kill_cgroup_at_once(struct pnx__process_set *set, pnx_time deadline)
{
    if (!set->cgroup || !pnx_cgroup_populated(set->cgroup) || pnx_cgroup_kill(set->cgroup) != 0)
        return;
    for (size_t i = 0; i < set->found_count; i++)
        set->found[i].killed = !set->found[i].outside;
    pnx__set_wait(set, PNX__WAIT_FIRM, deadline);
}

/*
 * Kills until a look around finds nobody. One look is enough in a cgroup, from which nobody gets
 * away by forking; elsewhere a child may be born behind our back, so two in a row have to agree.
 * Who was born after the kill is no better for being waited for, so that each wait is a short one.
 */
static bool kill_all(struct pnx__process_set *set, unsigned empty, pnx_time deadline)
{
    bool forks_unseen = !set->cgroup;
    pnx_duration patience = FIRST_LOOK;
    while (empty < (forks_unseen ? 2 : 1)) {
        struct kill kill = {0};
        if (set->interrupted && !set->command_ended)
            (void)pnx_process_signal(&set->command, SIGKILL);
        set->signals = true;
        pnx__set_each(set, PNX__LOOK_THOROUGH, kill_member, &kill);
        set->signals = false;
        if (set->cgroup && pnx_cgroup_populated(set->cgroup)) {
            (void)pnx_cgroup_kill(set->cgroup);
            kill.met++;
        }
        empty = kill.met == 0 ? empty + 1 : 0;
        forks_unseen = forks_unseen || kill.outside > 0;
        pnx_time soon = earlier(after(patience), deadline);
        if (kill.met > kill.refused && !pnx__set_wait(set, PNX__WAIT_FIRM, soon) &&
            soon == deadline)
            return false;
        patience = 2 * patience < LAST_LOOK ? 2 * patience : LAST_LOOK;
        if (kill.met > 0 && kill.met == kill.refused)
            return false;
    }
    return true;
}

/* ---- telling --------------------------------------------------------------------------------- */

static void explain_stuck(struct pnx__found_process *found, pnx_time began)
{
    struct pnx__proc_stat stat = {.state = '?'};
    pnx__proc_stat(found->pid, &stat);
    found->outcome.fate = PNX_FATE_STUCK;
    found->outcome.verified = false;
    found->outcome.attempts = (unsigned)found->asked + found->killed;
    found->outcome.ended = pnx_monotonic_now();
    found->outcome.took = found->outcome.ended - began;
    bool other_user = geteuid() != 0 && found->user != (int64_t)geteuid();
    if (other_user)
        snprintf(found->outcome.reason, sizeof found->outcome.reason,
                 "it runs as uid %lld, which we may not signal", (long long)found->user);
    else
        snprintf(found->outcome.reason, sizeof found->outcome.reason,
                 "still there after SIGKILL (state %c)", stat.state);
}

static pnx_status fail_stuck(struct pnx__process_set *set, pnx_time began, pnx_error *err)
{
    size_t left = verify(set, began);
    for (size_t i = 0; i < set->found_count; i++)
        if (!set->found[i].outcome.verified)
            explain_stuck(&set->found[i], began);
    if (set->cgroup)
        set->cgroup->has_stuck = true;
    return pnx_fail(err, PNX_EBUSY, "%zu processes are still there after SIGKILL", left);
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* Ends the command, which still runs, with all the rest: who outstays that is left behind. */
static void interrupt(struct pnx__process_set *set)
{
    ask(set);
    (void)look(set);
    for (size_t i = 0; i < set->found_count; i++)
        set->found[i].asked = set->grace > 0;
}

static pnx_status end_all(struct pnx__process_set *set, pnx_duration after_kill, pnx_time deadline,
                          pnx_error *err)
{
    pnx_time began = pnx_monotonic_now(), last = 0;
    unsigned empty = 0;
    if (set->interrupted && !set->command_ended) {
        interrupt(set);
    } else if (look(set) == 0) {
        empty = set->everywhere;
    } else {
        settle(set);
        if (set->grace <= 0)
            kill_cgroup_at_once(set, last = earlier(after(after_kill), deadline));
        else if (set->found_count > 0)
            ask(set);
    }
    (void)verify(set, began);
    if (last == 0)
        last = earlier(after(after_kill), deadline);
    bool gone = kill_all(set, empty, last) && pnx__set_reap_all(set, last);
    if (!gone || verify(set, began) > 0)
        return fail_stuck(set, began, err);
    return PNX_OK;
}

static pnx_status release_processes(void *value, const pnx_release *why)
{
    struct pnx__process_set *set;
    memcpy(&set, value, sizeof set);
    pnx_error err = {0};
    pnx_time began = pnx_monotonic_now();
    bool again = why->attempt > 1; /* they were asked once, and killed */
    set->hurried = set->hurried || again;
    pnx_status status = end_all(set, again ? AFTER_KILL_AGAIN : AFTER_KILL,
                                pnx__before_deadline(why->deadline), &err);
    pnx__outcome_attempt(&set->outcome, began);
    if (status != PNX_OK)
        return pnx__outcome_stuck(&set->outcome, PNX_FATE_STUCK, &err);
    pnx__outcome_gone(&set->outcome, PNX_FATE_REMOVED);
    return PNX_OK;
}

static int describe_processes(const void *value, char *buffer, size_t size)
{
    struct pnx__process_set *set;
    memcpy(&set, value, sizeof set);
    return snprintf(buffer, size, "process %d and all that it started", (int)set->command.pid);
}

const pnx_kind pnx_kind_processes = {
    .name = "processes",
    .priority = PNX_CRITICAL,
    .timeout = PNX_FOREVER, /* the grace is the set's own; every wait in the release ends */
    .retries = 1,
    .retry_delay = PNX_MS(100),
    .value_size = sizeof(struct pnx__process_set *),
    .describe = (void (*)(void))describe_processes,
    .release = release_processes,
    .run_describe = describe_processes,
};
