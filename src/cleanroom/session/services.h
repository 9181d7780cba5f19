/* SPDX-License-Identifier: MIT */
/**
 * @file services.h
 * Services that run beside the command: the companion cleanroom-services starts them before the
 * command is started, says by which variables they are found, and takes them down in the end.
 */
#ifndef CLEANROOM_SESSION_SERVICES_H
#define CLEANROOM_SESSION_SERVICES_H

#include "session/companion.h"
#include "session/lines.h"

/** All that the variables may take. */
#define PNX__SERVICES_SAID_MAX ((size_t)1 << 18)

struct pnx__services {
    pnx_session *of;
    struct pnx__companion companion;
    char *file;      /* an absolute path */
    char *artifacts; /* NULL: none */
    char session[PNX_ID_TEXT_SIZE];
    const char *argv[10];
    char *said; /* "NAME=value", each ended by NUL */
    size_t said_size;
    bool ready, too_much;
    struct pnx__lines_in heard; /* what was removed, a line each */
};

/** Takes the file from the configuration. PNX_EFAILED: it is not there. */
PNX_MUST_CHECK pnx_status pnx__services_take(pnx_session *session, pnx_error *err);
/** Starts them, if there are any, and waits until all are ready. */
PNX_MUST_CHECK pnx_status pnx__services_start(pnx_session *session, pnx_error *err);
/** `set`, and their variables after it; NULL: no memory. The caller frees the list alone. */
char **pnx__services_add_variables(const pnx_session *session, char *const *set);
/** Before they are taken down: the command has failed, and what is to be kept then is kept. */
void pnx__services_tell_failure(pnx_session *session);
/** After they were taken down: what they have made is gone, and seen to be, if they say so. */
void pnx__services_settle(pnx_session *session);
void pnx__services_forget(pnx_session *session);

#endif
