/* SPDX-License-Identifier: MIT */
/** @file follow.h  Requests whose answer is a stream. */
#ifndef CLEANROOM_DOCKER_FOLLOW_H
#define CLEANROOM_DOCKER_FOLLOW_H

#include "docker/engine.h"
#include "docker/stream.h"

/** An answer in frames, until its end, or until the sink has enough. */
pnx_status pnx__docker_follow_frames(pnx_engine *engine, struct pnx__docker_exchange *exchange,
                                     struct pnx__frames *frames, const struct pnx__limit *limit,
                                     pnx_error *err);
/** An answer in lines of JSON, likewise. */
pnx_status pnx__docker_follow_lines(pnx_engine *engine, struct pnx__docker_exchange *exchange,
                                    bool (*visit)(struct json_t *json, void *context),
                                    void *context, const struct pnx__limit *limit, pnx_error *err);
/** The failure of a stream that is broken. */
pnx_status pnx__docker_stream_broken(pnx_error *err);

#endif
