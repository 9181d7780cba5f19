/* SPDX-License-Identifier: MIT */
/* A log of what happened in which order. */
#include "support.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pnx_test_log {
    pnx__test_lock lock;
    char *text; /* terminated */
    size_t length, room, lines;
    char *shown;
};

pnx_test_log *pnx_test_log_new(void)
{
    pnx_test_log *log = pnx__test_alloc(sizeof *log);
    pnx__test_lock_init(&log->lock);
    return log;
}

static void append(pnx_test_log *log, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        log->text = pnx__test_grow(log->text, log->length, &log->room, 1);
        log->text[log->length++] = text[i];
    }
}

void pnx_test_log_add(pnx_test_log *log, const char *format, ...)
{
    if (log == NULL)
        return;
    char line[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    pnx__test_acquire(&log->lock);
    append(log, line, strlen(line));
    append(log, "\n", 1);
    log->lines++;
    pnx__test_tell(&log->lock);
    pnx__test_release(&log->lock);
}

const char *pnx_test_log_text(pnx_test_log *log)
{
    pnx__test_acquire(&log->lock);
    free(log->shown);
    log->shown = pnx__test_alloc(log->length + 1);
    if (log->length > 0)
        memcpy(log->shown, log->text, log->length);
    pnx__test_release(&log->lock);
    return log->shown;
}

size_t pnx_test_log_lines(pnx_test_log *log)
{
    pnx__test_acquire(&log->lock);
    const size_t lines = log->lines;
    pnx__test_release(&log->lock);
    return lines;
}

void pnx_test_log_clear(pnx_test_log *log)
{
    pnx__test_acquire(&log->lock);
    log->length = log->lines = 0;
    pnx__test_release(&log->lock);
}

pnx_status pnx_test_log_wait(pnx_test_log *log, size_t lines, pnx_duration patience)
{
    const pnx_time deadline = pnx_time_after(pnx_monotonic_now(), patience);
    pnx__test_acquire(&log->lock);
    while (log->lines < lines && pnx__test_wait(&log->lock, deadline))
        continue;
    const bool there = log->lines >= lines;
    pnx__test_release(&log->lock);
    return there ? PNX_OK : PNX_ETIMEOUT;
}

void pnx_test_log_free(pnx_test_log *log)
{
    if (log == NULL)
        return;
    pnx__test_lock_done(&log->lock);
    free(log->text);
    free(log->shown);
    free(log);
}
