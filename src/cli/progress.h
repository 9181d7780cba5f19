/* SPDX-License-Identifier: MIT */
/** @file progress.h  One line on a terminal while a clean-up takes long. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <cleanroom/session.h>
#include <pthread.h>

struct progress {
    const pnx_session *session;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool running, over, shown;
};

/** Shows what `session` waits for, if stderr is a terminal and it takes longer than a second. */
void progress_begin(struct progress *progress, const pnx_session *session);
/** Wipes the line away. */
void progress_end(struct progress *progress);

#endif
