/* SPDX-License-Identifier: MIT */
/** @file volumes.h  Volumes that come and go with containers, and that nobody asks for alone. */
#ifndef CLEANROOM_PROXY_VOLUMES_H
#define CLEANROOM_PROXY_VOLUMES_H

#include "proxy/record.h"

/**
 * The engine makes the volumes that a container has by name, if they do not exist, without labels.
 * So they are made before: all that the body of a container's creation names. Those that are new
 * are named in `ret_made`, a JSON array. What cannot be made so the engine will say itself. Waits
 * for the engine; any thread.
 */
void pnx__volumes_make(pnx_engine *engine, struct pnx__record *record, pnx_keep keep,
                       const char *body, size_t size, struct json_t *ret_made);
/**
 * Writes down the anonymous volumes of a container that is removed without them: afterwards nothing
 * leads to them. `about` is what the engine says of it.
 */
void pnx__volumes_record(pnx_engine *engine, struct pnx__record *record,
                         const struct json_t *about);

#endif
