/* SPDX-License-Identifier: MIT */
/** @file labels.h  The labels by which things are known, and what else they are known by. */
#ifndef CLEANROOM_DOCKER_LABELS_H
#define CLEANROOM_DOCKER_LABELS_H

#include "docker/engine.h"

/** A random UUID, as text. PNX_EFAILED. */
pnx_status pnx__docker_mark_make(char mark[PNX_ID_TEXT_SIZE], pnx_error *err);
/** PNX_KEEP_NEVER for what is no name of any. */
pnx_keep pnx__docker_keep_of(const char *name);
/** The labels in what inspect or list says about a thing; NULL: it has none. */
const struct json_t *pnx__docker_labels_of(pnx_object_type type, const struct json_t *about);
/** When this process was started, in ticks since boot; 0: there is no such process. */
uint64_t pnx__docker_process_start(int64_t pid);

#endif
