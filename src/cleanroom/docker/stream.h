/* SPDX-License-Identifier: MIT */
/** @file stream.h  Taking streams apart, in fixed or bounded memory. */
#ifndef CLEANROOM_DOCKER_STREAM_H
#define CLEANROOM_DOCKER_STREAM_H

#include <cleanroom/docker.h>

/**
 * stdout and stderr in one stream: frames of eight bytes (stream, three zeros, size in network
 * order) and data. Zeroed but for what is set.
 */
struct pnx__frames {
    pnx_sink sink; /* NULL: thrown away */
    void *context;
    bool raw;    /* set: no frames, all is stdout */
    bool broken; /* what came is no frame */
    bool enough; /* the sink had enough */
    unsigned char header[8];
    size_t header_size;
    uint32_t left; /* of the frame that has begun */
};

/** Takes more of it; `context` is the pnx__frames. False: enough, or broken. */
bool pnx__docker_frames_take(const void *data, size_t size, void *context);
/** Was the end reached between two frames? */
bool pnx__docker_frames_whole(const struct pnx__frames *frames);

/** A stream of JSON values, each on a line. Zeroed but for `visit` and `context`. */
struct pnx__lines {
    bool (*visit)(struct json_t *json, void *context); /* false: enough */
    void *context;
    bool broken, no_memory;
    char *line;
    size_t size, room;
};

bool pnx__docker_lines_take(const void *data, size_t size, void *context);
/** Takes what is left of it as the last line, if the stream is whole, and frees what it holds. */
void pnx__docker_lines_end(struct pnx__lines *lines, bool whole);

#endif
