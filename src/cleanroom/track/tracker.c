/* SPDX-License-Identifier: MIT */
#include "track/tracker_internal.h"

#include "kind/procfs.h"
#include "kind/sys.h"
#include "track/evidence.h"

#include <stdlib.h>
#include <string.h>

/* ---- what is written down -------------------------------------------------------------------- */

void pnx__tracker_flush(struct pnx__tracker *tracker)
{
    size_t done = 0;
    while (done < tracker->buffered) {
        ssize_t wrote =
            write(tracker->evidence_fd, tracker->buffer + done, tracker->buffered - done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            break; /* a full disk: what is missing proves nothing, so nothing is harmed by it */
        done += (size_t)wrote;
    }
    tracker->buffered = 0;
}

void pnx__tracker_tell(struct pnx__tracker *tracker, char what, const char *text)
{
    size_t size = strlen(text) + 1;
    if (size + 1 > sizeof tracker->buffer)
        return;
    if (tracker->buffered + size + 1 > sizeof tracker->buffer)
        pnx__tracker_flush(tracker);
    tracker->buffer[tracker->buffered++] = what;
    memcpy(tracker->buffer + tracker->buffered, text, size);
    tracker->buffered += size;
}

void pnx__tracker_lost(struct pnx__tracker *tracker, const char *why)
{
    if (tracker->lost)
        return;
    tracker->lost = true;
    pnx__tracker_tell(tracker, '!', why);
}

/* ---- the whole ------------------------------------------------------------------------------- */

pnx_status pnx__tracker_open(pid_t root, int evidence_fd, struct pnx__tracker **ret, pnx_error *err)
{
    struct pnx__tracker *tracker = calloc(1, sizeof *tracker);
    if (!tracker)
        return pnx_fail(err, PNX_ENOMEM, "no memory to follow processes");
    tracker->root = root;
    tracker->self = getpid();
    tracker->evidence_fd = evidence_fd;
    tracker->files = tracker->mounts = tracker->queues = -1;
    tracker->processes = pnx__tracker_open_processes(err);
    if (tracker->processes < 0) {
        free(tracker);
        return PNX_EUNSUPPORTED;
    }
    pnx__tracker_open_files(tracker);
    pnx__tracker_flush(tracker);
    *ret = tracker;
    return PNX_OK;
}

/* What it has started until now belongs with it, and was taken for the command's, as it was. */
static void exclude(pid_t pid, void *context)
{
    struct pnx__tracker *tracker = context;
    if (pnx__members_has(&tracker->members, pid)) {
        pnx__members_remove(&tracker->members, pid);
        pnx__tracker_tell_pid(tracker, '-', pid); /* whoever reads the evidence would end it */
    }
    if (pnx__members_has(&tracker->excluded, pid))
        return;
    (void)pnx__members_add(&tracker->excluded, pid);
    pnx__proc_each_child(pid, exclude, tracker);
}

void pnx__tracker_exclude(struct pnx__tracker *tracker, pid_t pid)
{
    /* Whom it starts from now on, its events say; so first it, then its children. */
    exclude(pid, tracker);
    pnx__tracker_flush(tracker);
}

void pnx__tracker_expect(struct pnx__tracker *tracker)
{
    pnx__tracker_take(tracker);
    pnx__members_done(&tracker->members);
    pnx__tracker_tell(tracker, '0', "");
    pnx__tracker_flush(tracker);
    tracker->choosy = tracker->expecting = true;
}

void pnx__tracker_expect_nothing(struct pnx__tracker *tracker)
{
    tracker->choosy = true;
    tracker->expecting = false;
}

static void include_family(pid_t pid, void *context)
{
    struct pnx__tracker *tracker = context;
    if (pid == tracker->self || pnx__members_has(&tracker->excluded, pid))
        return;
    pnx__tracker_include(tracker, pid);
    pnx__proc_each_child(pid, include_family, tracker);
}

/*
 * If the program has another thread, and that started something in the same moment, nobody knows
 * what of all that was seen was whose: it does not count, and begins anew with the command.
 */
void pnx__tracker_expected(struct pnx__tracker *tracker, pid_t command, pid_t init)
{
    pnx__tracker_take(tracker);
    tracker->expecting = false;
    pnx__members_remove(&tracker->expected, command);
    pnx__members_remove(&tracker->expected, init);
    if (tracker->expected.count > 0) {
        pnx__members_done(&tracker->members);
        pnx__tracker_tell(tracker, '0', "");
        include_family(command, tracker);
        if (init > 0)
            include_family(init, tracker);
    }
    pnx__members_done(&tracker->expected);
    pnx__tracker_flush(tracker);
}

void pnx__tracker_include(struct pnx__tracker *tracker, pid_t pid)
{
    if (pid == tracker->self || pid == tracker->root || pnx__members_has(&tracker->members, pid))
        return;
    if (!pnx__members_add(&tracker->members, pid))
        pnx__tracker_lost(tracker, "no memory to follow processes");
    pnx__tracker_tell_pid(tracker, '+', pid);
}

size_t pnx__tracker_poll_set(const struct pnx__tracker *tracker,
                             struct pollfd fds[PNX__TRACKER_FDS])
{
    /* poll(2) passes over negative ones */
    fds[0] = (struct pollfd){.fd = tracker->processes, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = tracker->files, .events = POLLIN};
    fds[2] = (struct pollfd){.fd = tracker->mounts, .events = POLLIN};
    return PNX__TRACKER_FDS;
}

void pnx__tracker_take(struct pnx__tracker *tracker)
{
    /* Forks first: whoever made a file was forked before. */
    pnx__tracker_take_processes(tracker);
    pnx__tracker_take_files(tracker);
    pnx__tracker_take_mounts(tracker);
    pnx__tracker_flush(tracker);
}

void pnx__tracker_close(struct pnx__tracker *tracker)
{
    if (!tracker)
        return;
    pnx__close(tracker->processes);
    pnx__close(tracker->files);
    pnx__close(tracker->mounts);
    pnx__close(tracker->queues);
    pnx__members_done(&tracker->members);
    pnx__members_done(&tracker->excluded);
    pnx__members_done(&tracker->expected);
    free(tracker);
}
