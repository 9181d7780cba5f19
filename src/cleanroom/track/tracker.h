/* SPDX-License-Identifier: MIT */
/**
 * @file tracker.h
 * Watches, as root, who of all processes on the machine descends from one, and what those make in a
 * few places where things outlive their makers. What it sees it appends to a file at once, as
 * evidence (evidence.h): it is still there when whoever watched is not.
 *
 *   processes   the process events connector (cn_proc): every fork on the machine
 *   files       fanotify on /dev/shm, /dev/mqueue, /run/netns, /tmp, /var/tmp: created, removed
 *   devices     fanotify on /dev/loop*: who had one open for writing
 *   mounts      fanotify on the mount namespace (Linux 6.15): who attached which mount
 *
 * One thread. Nothing is installed in the watched processes, and they are not slowed down.
 */
#ifndef CLEANROOM_TRACK_TRACKER_H
#define CLEANROOM_TRACK_TRACKER_H

#include <patinox/base.h>
#include <poll.h>

struct pnx__tracker;

/**
 * Begins to watch what `root` will start; what it starts is a member, and what members start.
 * Appends to `evidence_fd`, which stays the caller's. PNX_EUNSUPPORTED: this kernel, or this user,
 * cannot follow processes; PNX_ENOMEM. That some places cannot be watched is no failure.
 */
PNX_MUST_CHECK pnx_status pnx__tracker_open(pid_t root, int evidence_fd, struct pnx__tracker **ret,
                                            pnx_error *err);
/**
 * For a `root` that starts other things, too. From pnx__tracker_expect on only what it starts until
 * pnx__tracker_expected is taken for a member, and then only `command`, and `init` (0: none), the
 * init of its pid namespace; what was seen before does not count, and nor does what was seen in
 * between if the root has started anything else then.
 */
void pnx__tracker_expect(struct pnx__tracker *tracker);
void pnx__tracker_expected(struct pnx__tracker *tracker, pid_t command, pid_t init);
/** The same, when the command was started before this tracker was. */
void pnx__tracker_expect_nothing(struct pnx__tracker *tracker);
/** This process and what it will start is no member, whoever started it: a helper of ours. */
void pnx__tracker_exclude(struct pnx__tracker *tracker, pid_t pid);

/** This process belongs, as is known from elsewhere; so does what it starts. */
void pnx__tracker_include(struct pnx__tracker *tracker, pid_t pid);

#define PNX__TRACKER_FDS 3
/** Fills in what to poll for; returns how many. */
size_t pnx__tracker_poll_set(const struct pnx__tracker *tracker,
                             struct pollfd fds[PNX__TRACKER_FDS]);
/** Reads all that is there and writes it down. */
void pnx__tracker_take(struct pnx__tracker *tracker);
void pnx__tracker_close(struct pnx__tracker *tracker);

#endif
