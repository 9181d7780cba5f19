/* SPDX-License-Identifier: MIT */
/*
 * The reaper: outlives the supervisor, for as long as it takes to clean up after it. It has no
 * terminal, none of the supervisor's descriptors, and no part in the command; it does nothing at
 * all until something happens. The packets are those of session/reaper_link.h.
 */
#include "reaper/reaper.h"

#include "kind/poll.h"
#include "kind/sys.h"
#include "kind/thing.h"
#include "ledger/state.h"
#include "session/session.h"
#include "track/tracker.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/* Whoever else is cleaning up has its own patience; this is for when that hangs. */
#define WAIT_FOR_OTHERS PNX_S(600)

struct reaper {
    pnx_id id;
    int control; /* -1: the other end is closed */
    int state_fd, supervisor;
    int evidence_fd;
    struct pnx__tracker *tracker; /* NULL: nothing is tracked */
};

/* ---- beginning ------------------------------------------------------------------------------- */

/* Who runs out of memory must not take the reaper with it; without the privilege, so be it. */
static void ask_to_be_spared(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        (void)!write(fd, "-900", 4);
    pnx__close(fd);
}

static void leave_the_crowd(void)
{
    static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        (void)signal(ignored[i], SIG_IGN);
    (void)!chdir("/");
    (void)prctl(PR_SET_NAME, PNX__REAPER_NAME); /* a session around ours knows us by it */
    ask_to_be_spared();
}

/* The directory of the session stays open only as long as it takes: its owner removes it. */
static pnx_status find_supervisor(struct reaper *reaper, pid_t *ret_pid, pnx_error *err)
{
    struct pnx__ledger_view *view;
    int dir_fd;
    pnx_status status = pnx__state_session_open(reaper->state_fd, reaper->id, &dir_fd, err);
    if (status != PNX_OK)
        return status;
    status = pnx__ledger_load(dir_fd, PNX__STATE_LEDGER, &view, err);
    if (status == PNX_OK) {
        status = pnx__supervisor_pidfd(view, ret_pid, &reaper->supervisor, err);
        pnx__ledger_view_free(view);
    }
    if (status == PNX_OK)
        reaper->evidence_fd = openat(dir_fd, PNX__SESSION_EVIDENCE,
                                     O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    pnx__close(dir_fd);
    return status;
}

static void include(pid_t pid, void *context)
{
    pnx__tracker_include(context, pid);
}

/*
 * Another reaper was killed, and we came in its place: who belongs is known from what it wrote
 * down, and from who is in the session's cgroup. What lived and died meanwhile nobody saw.
 */
static void catch_up(struct reaper *reaper)
{
    struct pnx__evidence evidence;
    struct pnx__ledger_view *view;
    pnx_cgroup *cgroup;
    int dir_fd, fd;
    if (pnx__state_session_open(reaper->state_fd, reaper->id, &dir_fd, NULL) != PNX_OK)
        return;
    fd = openat(dir_fd, PNX__SESSION_EVIDENCE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && pnx__evidence_load(fd, &evidence, NULL) == PNX_OK) {
        pnx__members_each(&evidence.members, include, reaper->tracker);
        pnx__evidence_done(&evidence);
    }
    pnx__close(fd);
    if (pnx__ledger_load(dir_fd, PNX__STATE_LEDGER, &view, NULL) == PNX_OK) {
        for (size_t i = 0; i < view->resource_count; i++) {
            const struct pnx__ledger_resource *it = &view->resources[i];
            if (it->kind == PNX__CODE_CGROUP && it->state == PNX__LEDGER_IS_BOUND && it->name &&
                pnx_cgroup_adopt(it->name, it->identity, &cgroup, NULL) == PNX_OK) {
                pnx_cgroup_each(cgroup, include, reaper->tracker);
                pnx_cgroup_free(cgroup);
            }
        }
        pnx__ledger_view_free(view);
    }
    pnx__close(dir_fd);
}

static void say(const struct reaper *reaper, const char *text)
{
    if (reaper->control >= 0)
        (void)!send(reaper->control, text, strlen(text), MSG_NOSIGNAL);
}

static void begin_to_watch(struct reaper *reaper, pid_t supervisor, bool track)
{
    char packet[160];
    const char *reason = "";
    pnx_error why = {0};
    if (!track)
        reason = "nothing is to be tracked";
    else if (reaper->evidence_fd < 0)
        reason = "the file for evidence cannot be written";
    else if (pnx__tracker_open(supervisor, reaper->evidence_fd, &reaper->tracker, &why) != PNX_OK)
        reason = why.message;
    else
        catch_up(reaper);
    snprintf(packet, sizeof packet, "R%d%d %.128s", reaper->tracker != NULL, (int)getpid(), reason);
    say(reaper, packet);
}

/* ---- watching -------------------------------------------------------------------------------- */

static void answer(struct reaper *reaper, const char *packet)
{
    struct pnx__tracker *tracker = reaper->tracker;
    char *end;
    pid_t pid = (pid_t)strtol(packet + 1, &end, 10);
    if (packet[0] == 'X' && tracker)
        pnx__tracker_exclude(tracker, pid);
    if (packet[0] == 'G') {
        if (tracker)
            pnx__tracker_expected(tracker, pid, (pid_t)strtol(end, NULL, 10));
        say(reaper, "G");
    }
    if (packet[0] == 'L' && tracker)
        pnx__tracker_expect_nothing(tracker);
    if (packet[0] == 'F') {
        if (tracker)
            pnx__tracker_expect(tracker);
        say(reaper, "F");
    }
    if (packet[0] == 'S') {
        if (tracker)
            pnx__tracker_take(tracker);
        say(reaper, "S");
    }
}

/* False: the session is closed. */
static bool take_packet(struct reaper *reaper)
{
    char packet[64];
    ssize_t got = recv(reaper->control, packet, sizeof packet - 1, MSG_DONTWAIT);
    if (got < 0)
        return true;
    if (got == 0) { /* closed, or killed: who the supervisor is tells */
        pnx__close(reaper->control);
        reaper->control = -1;
        return true;
    }
    packet[got] = '\0';
    if (packet[0] == 'B')
        return false;
    answer(reaper, packet);
    return true;
}

/* True: the supervisor is dead. False: it closed the session. */
static bool watch(struct reaper *reaper)
{
    struct pollfd fds[2 + PNX__TRACKER_FDS];
    for (;;) {
        nfds_t count = 2;
        fds[0] = (struct pollfd){.fd = reaper->supervisor, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = reaper->control, .events = POLLIN};
        if (reaper->tracker)
            count += pnx__tracker_poll_set(reaper->tracker, fds + 2);
        (void)pnx__poll(fds, count, PNX_FOREVER);
        if (reaper->tracker)
            pnx__tracker_take(reaper->tracker);
        if (fds[1].revents && !take_packet(reaper))
            return false;
        if (fds[0].revents)
            return true;
    }
}

int pnx_reaper_main(const char *session, int control, bool track)
{
    struct reaper reaper = {
        .control = control, .state_fd = -1, .supervisor = -1, .evidence_fd = -1};
    pnx_error err = {0};
    pid_t supervisor;
    leave_the_crowd();
    (void)!pnx_session_catch_sigbus(&err);
    pid_t second = fork(); /* so that nobody has to wait for us */
    if (second != 0)
        _exit(second < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
    if (pnx_id_parse(session, &reaper.id, &err) != PNX_OK ||
        pnx__state_open(&reaper.state_fd, NULL, 0, &err) != PNX_OK)
        return EXIT_FAILURE;
    pnx_status found = find_supervisor(&reaper, &supervisor, &err);
    if (found != PNX_OK && found != PNX_EALREADY)
        return EXIT_FAILURE;
    bool dead = found == PNX_EALREADY;
    if (!dead) {
        begin_to_watch(&reaper, supervisor, track);
        dead = watch(&reaper);
    }
    pnx_status status = PNX_OK;
    if (dead) {
        /* What is seen while we clean up is our own doing. */
        if (reaper.tracker)
            pnx__tracker_take(reaper.tracker);
        status = pnx__reap(reaper.state_fd, reaper.id, "reaper",
                           pnx_time_after(pnx_monotonic_now(), WAIT_FOR_OTHERS), NULL, &err);
    }
    pnx__tracker_close(reaper.tracker);
    return status == PNX_OK || status == PNX_EALREADY ? EXIT_SUCCESS : EXIT_FAILURE;
}
