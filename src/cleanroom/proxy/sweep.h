/* SPDX-License-Identifier: MIT */
/** @file sweep.h  cleanroom-docker sweep and cleanroom-docker places. */
#ifndef CLEANROOM_PROXY_SWEEP_H
#define CLEANROOM_PROXY_SWEEP_H

#include <cleanroom/docker.h>

/** How they exit: nothing is left (but what is kept), something is, the engine does not answer. */
enum {
    PNX__SWEEP_CLEAN = 0,
    PNX__SWEEP_LEFT = 1,
    PNX__SWEEP_USAGE = 64,
    PNX__SWEEP_NO_ENGINE = 69,
};

/** `argv[0]` is "sweep". Returns the exit status. */
int pnx__docker_sweep_main(int argc, char **argv);
/** `argv[0]` is "places". Returns the exit status. */
int pnx__docker_places_main(int argc, char **argv);

/**
 * Saves what the containers of a session have written, and what the engine knows of them, in the
 * directory `to` (a descriptor): docker-NAME.log, docker-NAME.json. Tells of each file on stdout.
 */
void pnx__sweep_save(pnx_engine *engine, const char *session, int to, pnx_time deadline);
/** Removes what only the ledger of the proxy knows to be the session's; after `how` was swept. */
pnx_status pnx__sweep_ledger(pnx_engine *engine, const char *path, const pnx_sweep *how,
                             const pnx_call *call);
/** One line of JSON on stdout; takes `line` over, which may be NULL. */
void pnx__sweep_tell(struct json_t *line);
/** Text that is JSON whatever bytes `text` has. */
struct json_t *pnx__sweep_text(const char *text);

#endif
