/* SPDX-License-Identifier: MIT */
#include "session/reaper_link.h"

#include "session/helper.h"

#include "kind/poll.h"
#include "kind/sys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* Where the reaper finds its end of the control socket. */
#define CONTROL_FD 3

/*
 * The reaper is no child of ours, so that nobody has to wait for it: it forks, and the first of the
 * two ends. Where we are a subreaper already it becomes our child after all, and is waited for.
 */

/* ---- starting -------------------------------------------------------------------------------- */

/* Of our descriptors it has none but one. */
static int spawn(const char *tool, pnx_id session, bool track, int control, pid_t *ret)
{
    char id[PNX_ID_TEXT_SIZE];
    pnx_id_format(session, id);
    char *argv[] = {(char *)"cleanroom", (char *)"reaper", id, track ? (char *)"track" : NULL,
                    NULL};
    const int fds[CONTROL_FD + 1] = {-1, -1, -1, control};
    return pnx__helper_spawn(tool, argv, environ, fds, CONTROL_FD + 1, NULL, ret);
}

pnx_status pnx__reaper_start(struct pnx__reaper_link *link, const char *tool, pnx_id session,
                             bool track, pnx_error *err)
{
    int ends[2];
    pid_t pid = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return pnx_fail(err, PNX_EFAILED, "cannot start the reaper: no sockets: %m");
    int failed = spawn(tool, session, track, ends[1], &pid);
    pnx__close(ends[1]);
    if (failed != 0) {
        pnx__close(ends[0]);
        errno = failed;
        return pnx_fail(err, PNX_EFAILED,
                        "cannot start the reaper '%s': %m; it is the tool 'cleanroom'", tool);
    }
    link->control = ends[0];
    link->running = true;
    link->first = pid;
    link->process.pidfd = -1;
    return PNX_OK;
}

/* ---- talking --------------------------------------------------------------------------------- */

/* The next packet, terminated; its length, or -1: none before the deadline, or it is gone. */
static ssize_t receive(struct pnx__reaper_link *link, char *buffer, size_t size, pnx_time deadline)
{
    struct pollfd fd = {.fd = link->control, .events = POLLIN};
    if (pnx__poll(&fd, 1, deadline) <= 0)
        return -1;
    ssize_t got = recv(link->control, buffer, size - 1, MSG_DONTWAIT);
    if (got <= 0)
        return -1;
    buffer[got] = '\0';
    return got;
}

static void say(struct pnx__reaper_link *link, const char *text)
{
    (void)!send(link->control, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* It ended before the other one spoke, or ends now, in vain. */
static void collect_first(struct pnx__reaper_link *link)
{
    if (link->first > 0)
        (void)waitpid(link->first, NULL, 0);
    link->first = 0;
}

pnx_status pnx__reaper_await(struct pnx__reaper_link *link, pnx_time deadline, pnx_error *err)
{
    char packet[sizeof link->no_tracking + 24], *reason;
    ssize_t got = receive(link, packet, sizeof packet, deadline);
    collect_first(link);
    if (got < 3 || packet[0] != 'R') {
        bool late = pnx_monotonic_now() >= deadline;
        return pnx_fail(err, late ? PNX_ETIMEOUT : PNX_EFAILED,
                        late ? "the reaper does not begin to watch"
                             : "the reaper ended before it began to watch");
    }
    link->tracking = packet[1] == '1';
    pid_t pid = (pid_t)strtol(packet + 2, &reason, 10);
    snprintf(link->no_tracking, sizeof link->no_tracking, "%.*s", (int)sizeof link->no_tracking - 1,
             reason + strspn(reason, " "));
    return pnx_process_open(pid, &link->process, err);
}

static bool ask(struct pnx__reaper_link *link, const char *question, pnx_time deadline)
{
    char packet[256];
    if (!link->running)
        return false;
    say(link, question);
    ssize_t got;
    do
        got = receive(link, packet, sizeof packet, deadline);
    while (got > 0 && packet[0] != question[0]);
    return got > 0;
}

bool pnx__reaper_sync(struct pnx__reaper_link *link, pnx_time deadline)
{
    return ask(link, "S", deadline);
}

bool pnx__reaper_expect(struct pnx__reaper_link *link, pnx_time deadline)
{
    return ask(link, "F", deadline);
}

bool pnx__reaper_expected(struct pnx__reaper_link *link, pid_t command, pid_t init,
                          pnx_time deadline)
{
    char text[40];
    snprintf(text, sizeof text, "G%d %d", (int)command, (int)init);
    return ask(link, text, deadline);
}

void pnx__reaper_expect_nothing(struct pnx__reaper_link *link)
{
    if (link->running)
        say(link, "L");
}

void pnx__reaper_exclude(struct pnx__reaper_link *link, pid_t pid)
{
    char text[16];
    snprintf(text, sizeof text, "X%d", (int)pid);
    if (link->running)
        say(link, text);
}

/* ---- ending ---------------------------------------------------------------------------------- */

void pnx__reaper_forget(struct pnx__reaper_link *link)
{
    if (!link->running)
        return;
    collect_first(link);
    if (link->process.pidfd >= 0) /* it may be our child after all */
        (void)waitpid(link->process.pid, NULL, WNOHANG);
    pnx_process_close(&link->process);
    pnx__close(link->control);
    link->running = false;
}

void pnx__reaper_dismiss(struct pnx__reaper_link *link)
{
    if (!link->running)
        return;
    say(link, "B");
    /* The kernel takes milliseconds to end its watching: nobody has to wait for that. */
    if (link->replaced > 0)
        (void)pnx_process_wait(&link->process, pnx_time_after(pnx_monotonic_now(), PNX_S(1)), NULL);
    pnx__reaper_forget(link);
}
