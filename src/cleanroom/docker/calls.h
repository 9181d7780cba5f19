/* SPDX-License-Identifier: MIT */
/** @file calls.h  What the files of this room need of the calls, by a limit instead of a call. */
#ifndef CLEANROOM_DOCKER_CALLS_H
#define CLEANROOM_DOCKER_CALLS_H

#include "docker/engine.h"

/** pnx_engine_inspect, pnx_engine_list, pnx_engine_remove. */
pnx_status pnx__docker_inspect(pnx_engine *engine, pnx_object_type type, const char *id,
                               const struct pnx__limit *limit, struct json_t **ret, pnx_error *err);
pnx_status pnx__docker_list(pnx_engine *engine, pnx_object_type type, const char *const *labels,
                            const struct pnx__limit *limit, struct json_t **ret, pnx_error *err);
pnx_status pnx__docker_remove(pnx_engine *engine, pnx_object_type type, const char *id, bool force,
                              const struct pnx__limit *limit, pnx_error *err);
pnx_status pnx__docker_stop(pnx_engine *engine, const char *container, pnx_duration grace,
                            const struct pnx__limit *limit, pnx_error *err);

/** A copy of the NULL-terminated list as a JSON array; NULL list: an empty one. NULL: no memory. */
struct json_t *pnx__docker_json_texts(const char *const *texts);
/** The text at `key` of `object`, or "". */
const char *pnx__docker_json_text(const struct json_t *object, const char *key);
/** Nanoseconds since 1970 of "2026-11-27T06:41:22.648001261Z"; 0: it is no time, or before then. */
int64_t pnx__docker_time_parse(const char *text);

/** Waits for `span`, or until the limit's deadline. PNX_ETIMEOUT, PNX_ECANCELED. */
pnx_status pnx__docker_pause(pnx_duration span, const struct pnx__limit *limit, pnx_error *err);

#endif
