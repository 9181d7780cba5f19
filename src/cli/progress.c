/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define AFTER PNX_S(1)
#define EVERY PNX_MS(250)
/* To the beginning of the line, and wiped from there to its end. */
#define WIPE "\r\033[K"

static void show(struct progress *progress, pnx_duration since)
{
    char line[128];
    int length = snprintf(line, sizeof line, WIPE "cleanroom: %s (%lld s)",
                          pnx_session_step(progress->session), (long long)(since / PNX_S(1)));
    (void)!write(2, line, (size_t)length);
    progress->shown = true;
}

static struct timespec until(pnx_time time)
{
    return (struct timespec){.tv_sec = time / PNX_S(1), .tv_nsec = time % PNX_S(1)};
}

static void *watch(void *context)
{
    struct progress *progress = context;
    pnx_time began = pnx_monotonic_now(), next = pnx_time_after(began, AFTER);
    pthread_mutex_lock(&progress->lock);
    while (!progress->over) {
        struct timespec when = until(next);
        if (pthread_cond_timedwait(&progress->ended, &progress->lock, &when) != ETIMEDOUT ||
            progress->over)
            continue;
        show(progress, pnx_monotonic_now() - began);
        next = pnx_time_after(pnx_monotonic_now(), EVERY);
    }
    pthread_mutex_unlock(&progress->lock);
    return NULL;
}

static bool is_terminal(void)
{
    const char *term = getenv("TERM");
    return isatty(2) && (!term || strcmp(term, "dumb") != 0);
}

void progress_begin(struct progress *progress, const pnx_session *session)
{
    sigset_t all, mask;
    pthread_condattr_t clock;
    *progress = (struct progress){.session = session};
    if (!is_terminal())
        return;
    pthread_mutex_init(&progress->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&progress->ended, &clock);
    pthread_condattr_destroy(&clock);
    sigfillset(&all); /* signals are for the thread that waits for the session */
    pthread_sigmask(SIG_SETMASK, &all, &mask);
    progress->running = pthread_create(&progress->thread, NULL, watch, progress) == 0;
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

void progress_end(struct progress *progress)
{
    if (!progress->running)
        return;
    pthread_mutex_lock(&progress->lock);
    progress->over = true;
    pthread_cond_signal(&progress->ended);
    pthread_mutex_unlock(&progress->lock);
    pthread_join(progress->thread, NULL);
    if (progress->shown)
        (void)!write(2, WIPE, strlen(WIPE));
    pthread_cond_destroy(&progress->ended);
    pthread_mutex_destroy(&progress->lock);
}
