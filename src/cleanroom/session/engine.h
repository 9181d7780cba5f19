/* SPDX-License-Identifier: MIT */
/**
 * @file engine.h
 * Containers of a session: the command has a socket of the session's own in DOCKER_HOST. At the
 * first connection to it the session writes down that an engine may hold things of it, and starts
 * the proxy (`cleanroom-docker serve`), which labels them. In the end, if that was written down,
 * `cleanroom-docker sweep` removes what carries the session's label. Until the first connection
 * nothing is asked of any engine.
 */
#ifndef CLEANROOM_SESSION_ENGINE_H
#define CLEANROOM_SESSION_ENGINE_H

#include "session/companion.h"
#include "session/flat_json.h"
#include "session/lines.h"

#include <sys/un.h>

struct pnx__ledger_view;

/** In the session's directory: the socket, and the ledger of the proxy. */
#define PNX__ENGINE_SOCKET "docker.sock"
#define PNX__ENGINE_LEDGER "docker"
/** A note: the tool, beside which its helpers are. Whoever adopts the session may lie elsewhere. */
#define PNX__NOTE_TOOL "tool"
/** A note: which of the variables that lead to the engine were set, and to what. */
#define PNX__NOTE_ENGINE "engine"

/** Where an engine is, as far as can be told without asking it. */
struct pnx__engine_place {
    char host[192];     /* "unix:///var/run/docker.sock", "tcp://…" */
    char **environment; /* what has to be in the environment of programs that look for it */
};

/** Zeroed, but for `listener`: the command was offered none. */
struct pnx__engine {
    int listener; /* -1: none */
    char socket[sizeof((struct sockaddr_un *)0)->sun_path];
    char address[sizeof((struct sockaddr_un *)0)->sun_path]; /* its path, as the command has it */
    struct pnx__engine_place place;
    struct pnx__companion proxy, sweeper;
    bool ready;        /* the proxy told that it is */
    bool for_others;   /* not only the proxy was about to make something */
    bool died;         /* a proxy ended in the midst: something may just be being made */
    unsigned starts;   /* of proxies */
    unsigned refused;  /* connections for which there was none */
    uint32_t resource; /* in the ledger; 0: no engine can hold anything of the session */
    struct pnx__lines_in heard;

    /* What the sweep told. */
    pnx_session_resource *rows;
    size_t row_count, row_max;
    bool unknown; /* nobody knows what is left: `reason` says why */
    bool left;
    char reason[PNX_OUTCOME_REASON_MAX];
};

/* ---- engine_place.c -------------------------------------------------------------------------- */

/**
 * Looks for an engine where Docker's own clients would: by connect(2) to sockets, and nothing more.
 * PNX_ENOTFOUND names the places.
 */
PNX_MUST_CHECK pnx_status pnx__engine_look(struct pnx__engine_place *ret, pnx_error *err);
/** The environment of this process, with the variables that lead to an engine as `place` has them.
 *  The entries belong to others, the list to the caller. NULL: no memory. */
char **pnx__engine_environment(const struct pnx__engine_place *place);
/** The same for the command: it is led to our socket alone. */
char **pnx__engine_environment_of_command(void);
void pnx__engine_place_done(struct pnx__engine_place *place);

/* ---- engine.c -------------------------------------------------------------------------------- */

/** Makes the socket, if the configuration asks for it and there is an engine. */
PNX_MUST_CHECK pnx_status pnx__engine_offer(pnx_session *session, pnx_error *err);
/** What is to be waited for, or -1. */
int pnx__engine_poll_fd(const pnx_session *session);
/** A client is there: the proxy is started. */
void pnx__engine_connected(pnx_session *session);
/** Writes down that an engine may hold things of the session, unless that is written. Before the
 *  first thing is made, by whomever. */
PNX_MUST_CHECK pnx_status pnx__engine_intend(pnx_session *session, pnx_error *err);
/** Nobody can connect any more. */
void pnx__engine_withdraw(pnx_session *session);
void pnx__engine_forget(pnx_session *session);

/* ---- engine_sweep.c -------------------------------------------------------------------------- */

/** Removes what the session has in an engine. False: something is still there, or may be. */
bool pnx__engine_sweep(pnx_session *session, bool failed, pnx_time deadline);
/** What a helper tells of one thing in the engine, for the report. */
void pnx__engine_take_row(pnx_session *session, const struct pnx__flat *flat, pnx_origin origin);
/** From the ledger of a dead supervisor. */
void pnx__engine_adopt(pnx_session *session, uint32_t resource, const char *host,
                       const struct pnx__ledger_view *view);
void pnx__engine_tell(pnx_session *session, pnx_session_report *report);

#endif
