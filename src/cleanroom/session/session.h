/* SPDX-License-Identifier: MIT */
/** @file session.h  What the files of this room share. */
#ifndef CLEANROOM_SESSION_INTERNAL_H
#define CLEANROOM_SESSION_INTERNAL_H

#include <cleanroom/session.h>

#include "kind/process_set.h"

#include <stdatomic.h>

struct pnx_session {
    pnx_session_config config; /* complete: no zero means a default any more */
    pnx_id id;
    char label[sizeof "cleanroom-" + PNX_ID_TEXT_SIZE]; /* of the directory and the cgroup */
    pid_t owner; /* the process that opened it: not a fork child of that */
    pnx_registry *registry;
    bool was_subreaper;

    /* What it made. The guards hold these; the pointers are for looking at them. */
    pnx_tempdir *dir;
    tempdir_guard dir_guard;
    pnx_outcome dir_outcome;
    char dir_identity[48];
    pnx_cgroup *cgroup; /* NULL at tier 0 */
    cgroup_guard cgroup_guard;
    pnx_outcome cgroup_outcome;
    char *cgroup_path;
    pnx_limiter *limiter; /* NULL: no limits */
    limiter_guard limiter_guard;
    pnx_outcome limiter_outcome;
    pnx_limit_told limits_told[PNX_LIMIT_COUNT];
    size_t limits_told_count;
    char tier_reason[224];
    struct pnx__process_set set;
    processes_guard set_guard;
    char *variables[5]; /* what the command's environment is given; [0] is the cookie */

    /* The run. */
    char **command;
    int64_t started; /* nanoseconds since 1970 */
    pnx_duration duration;
    int status;                     /* as of waitpid(2) */
    bool ran, timed_out, collected; /* collected: `status` is known */

    /* Signals: the handler writes, the thread that waits for something reads. */
    int signals[2];
    _Atomic bool child_told; /* a SIGCHLD is in the pipe: the next ones need no room in it */
    unsigned interrupts;
    bool stop_asked; /* somebody wants us to stop, when the command does */

    bool closed;
    /* Releases that do not end: what they write to is not looked at any more. */
    bool set_hangs, dir_hangs, cgroup_hangs, limiter_hangs;

    /* What was found in the directory. */
    pnx_tree_totals files;
    pnx_tree_totals isolation; /* of these: what the private /tmp itself consists of */
    pnx_session_resource *rows;
    size_t row_count, row_max;
    uint64_t rows_unlisted;
};

/* signals.c */
bool pnx__session_open_signals(pnx_session *session, pnx_error *err);
/** Reads and handles what came. True: enough came that nobody should wait out of politeness. */
bool pnx__session_take_signals(void *session);

/* job_control.c */
/**
 * If the command is stopped, stops too, so that the shell takes notice; returns when we go on.
 * `asked`: we got the signal to.
 */
void pnx__session_stop_with_command(pnx_session *session, bool asked);

/* found_files.c */
/** Lets the directory's removal write down what it finds. */
void pnx__session_watch_dir(pnx_session *session);
void pnx__session_forget_files(pnx_session *session);

/* account.c */
/** Fills in the report of a session that was cleaned up. PNX_ENOMEM: rows are missing. */
void pnx__session_account(pnx_session *session, pnx_session_report *ret);

int64_t pnx__now_since_1970(void);

#endif
