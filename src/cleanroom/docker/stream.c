/* SPDX-License-Identifier: MIT */
#include "docker/stream.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* ---- frames ---------------------------------------------------------------------------------- */

static bool header_ends(struct pnx__frames *frames)
{
    const unsigned char *header = frames->header;
    frames->header_size = 0;
    frames->left = (uint32_t)header[4] << 24 | (uint32_t)header[5] << 16 |
                   (uint32_t)header[6] << 8 | header[7];
    frames->broken = header[0] > 2 || header[1] || header[2] || header[3];
    return !frames->broken;
}

static bool give(struct pnx__frames *frames, int stream, const void *data, size_t size)
{
    if (!frames->sink || size == 0)
        return true;
    frames->enough = !frames->sink(stream, data, size, frames->context);
    return !frames->enough;
}

bool pnx__docker_frames_take(const void *data, size_t size, void *context)
{
    struct pnx__frames *frames = context;
    const unsigned char *at = data;
    if (frames->raw)
        return give(frames, 1, data, size);
    while (size) {
        if (frames->left == 0) {
            frames->header[frames->header_size++] = *at++;
            size--;
            if (frames->header_size == sizeof frames->header && !header_ends(frames))
                return false;
            continue;
        }
        size_t now = size < frames->left ? size : frames->left;
        /* What is echoed of stdin counts as stdout. */
        if (!give(frames, frames->header[0] == 2 ? 2 : 1, at, now))
            return false;
        frames->left -= (uint32_t)now;
        at += now;
        size -= now;
    }
    return true;
}

bool pnx__docker_frames_whole(const struct pnx__frames *frames)
{
    return !frames->broken && frames->left == 0 && frames->header_size == 0;
}

/* ---- lines of JSON --------------------------------------------------------------------------- */

/* Longer ones are no events, no statistics and no progress of anything. */
#define LINE_MAX_SIZE ((size_t)8 << 20)

static bool append(struct pnx__lines *lines, const char *data, size_t size)
{
    if (size > LINE_MAX_SIZE - lines->size) {
        lines->broken = true;
        return false;
    }
    if (lines->size + size > lines->room) {
        size_t room = (lines->size + size) * 2;
        char *grown = realloc(lines->line, room);
        if (!grown) {
            lines->no_memory = true;
            return false;
        }
        lines->line = grown;
        lines->room = room;
    }
    if (size)
        memcpy(lines->line + lines->size, data, size);
    lines->size += size;
    return true;
}

static bool line_ends(struct pnx__lines *lines)
{
    size_t size = lines->size;
    lines->size = 0;
    while (size && strchr(" \t\r", lines->line[size - 1]))
        size--;
    if (size == 0)
        return true;
    json_error_t wrong;
    json_t *json = json_loadb(lines->line, size, JSON_ALLOW_NUL, &wrong);
    if (!json) {
        lines->no_memory = json_error_code(&wrong) == json_error_out_of_memory;
        lines->broken = !lines->no_memory;
        return false;
    }
    bool more = lines->visit(json, lines->context);
    json_decref(json);
    return more;
}

bool pnx__docker_lines_take(const void *data, size_t size, void *context)
{
    struct pnx__lines *lines = context;
    const char *at = data;
    while (size) {
        const char *end = memchr(at, '\n', size);
        size_t length = end ? (size_t)(end - at) : size;
        if (!append(lines, at, length) || (end && !line_ends(lines)))
            return false;
        length += end != NULL;
        at += length;
        size -= length;
    }
    return true;
}

void pnx__docker_lines_end(struct pnx__lines *lines, bool whole)
{
    if (whole && !lines->broken && !lines->no_memory)
        (void)line_ends(lines);
    free(lines->line);
    lines->line = NULL;
    lines->size = lines->room = 0;
}
