/* SPDX-License-Identifier: MIT */
/** @file lines.h  Lines that come in pieces. */
#ifndef CLEANROOM_SESSION_LINES_H
#define CLEANROOM_SESSION_LINES_H

#include <stdbool.h>
#include <stddef.h>

/** Longer ones are left out. */
#define PNX__LINE_MAX 8192

/** Zeroed: nothing came so far. */
struct pnx__lines_in {
    size_t size;
    bool skipping; /* the rest of a line that is too long */
    char text[PNX__LINE_MAX];
};

/** Calls `visit` with each line that is complete, without its end. */
void pnx__lines_take(struct pnx__lines_in *lines, const char *data, size_t size,
                     void (*visit)(void *context, const char *line), void *context);

#endif
