/* SPDX-License-Identifier: MIT */
/**
 * @file reaper_link.h
 * How a session starts its reaper, talks to it, and replaces it. What is said, in packets on a pair
 * of sockets:
 *
 *     reaper   R1PID, R0PID REASON   it watches; with (1) or without (0) evidence of who made what
 *     session  S              is answered by S when all that happened so far is evidence
 *     session  XPID           PID and what it starts are the session's own helpers
 *     session  F              is answered by F: of what the supervisor starts only the command
 *                             belongs, and it will be started next
 *     session  GPID INIT      is answered by G: this is the command, and the init of its pid
 *                             namespace, or 0
 *     session  L              like F and G, when the command was started long ago
 *     session  B              the session is closed: there is nothing left to do
 */
#ifndef CLEANROOM_SESSION_REAPER_LINK_H
#define CLEANROOM_SESSION_REAPER_LINK_H

#include <cleanroom/process.h>

/** Zeroed: there is none. */
struct pnx__reaper_link {
    bool running; /* it was started, and has not been let go or lost */
    int control;
    pid_t first; /* what we started, and what started it */
    pnx_process process;
    unsigned replaced;
    bool tracking;         /* it writes evidence down */
    char no_tracking[160]; /* why it does not */
};

/** Executes `tool` as the reaper of a session, which tracks who makes what if `track`; returns at
 *  once. PNX_EFAILED. */
PNX_MUST_CHECK pnx_status pnx__reaper_start(struct pnx__reaper_link *link, const char *tool,
                                            pnx_id session, bool track, pnx_error *err);
/** Waits until it watches. PNX_ETIMEOUT; PNX_EFAILED: it ended. */
PNX_MUST_CHECK pnx_status pnx__reaper_await(struct pnx__reaper_link *link, pnx_time deadline,
                                            pnx_error *err);
/** Has what happened so far written down. False: it did not answer; what is there must do. */
bool pnx__reaper_sync(struct pnx__reaper_link *link, pnx_time deadline);
void pnx__reaper_exclude(struct pnx__reaper_link *link, pid_t pid);
/** For a program that starts more than the command: around its start. They wait until `deadline`,
 *  and are false when there was no answer. */
bool pnx__reaper_expect(struct pnx__reaper_link *link, pnx_time deadline);
bool pnx__reaper_expected(struct pnx__reaper_link *link, pid_t command, pid_t init,
                          pnx_time deadline);
/** The same to a reaper that has taken another's place. */
void pnx__reaper_expect_nothing(struct pnx__reaper_link *link);
/** Lets it go: there is nothing left to do. It is reaped if that takes no time. */
void pnx__reaper_dismiss(struct pnx__reaper_link *link);
/** It ended though nobody asked it to: forgets it. */
void pnx__reaper_forget(struct pnx__reaper_link *link);

#endif
