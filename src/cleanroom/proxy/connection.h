/* SPDX-License-Identifier: MIT */
/**
 * @file connection.h
 * A client, its own connection to the engine, and the two flows between them.
 *
 *     client ──read──► up: taken by request.c ──► own, pass ──write──► engine
 *            ◄──write── own, pass ◄── down: taken by answer.c ◄──read──
 *
 * What a flow has read is *taken*: either it may pass as it is, or something of ours is sent
 * instead (`own`), or it has to wait. Nothing is read while something is to be sent: that is all of
 * the back-pressure. One request is under way at a time; what a client sends ahead waits in `up`.
 */
#ifndef CLEANROOM_PROXY_CONNECTION_H
#define CLEANROOM_PROXY_CONNECTION_H

#include "docker/stream.h"
#include "proxy/proxy.h"

/** One end. It frees itself when it is closed. */
struct pnx__side {
    struct pnx__connection *connection;
    int fd;
    uv_poll_t poll;
    int watched;  /* UV_READABLE, UV_WRITABLE */
    bool pending; /* it is being connected */
    bool ended;   /* it has sent all it will send */
    bool gone;    /* … and takes nothing any more */
    bool shut;    /* we have sent all we will send */
};

struct pnx__flow {
    char *buffer;
    size_t start, end;     /* what was read and is not gone */
    size_t pass;           /* of that, from start on, what may go as it is */
    struct pnx__bytes own; /* goes before that */
    size_t own_sent;
    bool wants_read, wants_write;
    size_t moved;  /* since it is raw */
    bool splicing; /* it goes through the pipe, and `buffer` is not used any more */
    int pipe[2];
    size_t piped; /* what is in it */
};

enum pnx__phase {
    PNX__PHASE_HEAD,    /* of a request, which may not have begun */
    PNX__PHASE_DECIDE,  /* a thread of the pool finds out about it */
    PNX__PHASE_COLLECT, /* its body is collected, to be labelled */
    PNX__PHASE_PASS,    /* its body passes */
    PNX__PHASE_DRAIN,   /* it is answered by us, its body is thrown away */
    PNX__PHASE_ANSWER,  /* it is complete, its answer is not */
    PNX__PHASE_RAW,     /* no HTTP any more */
    PNX__PHASE_CLOSING, /* our last answer is on its way; what still comes is thrown away */
};

/** Something that is being made. */
struct pnx__creation {
    bool active, sent;
    char mark[PNX_ID_TEXT_SIZE];
    uint32_t token;
    struct pnx__bytes name, target, body;
    struct json_t *volumes; /* that were made for it, by name */
    char id[256];
    bool existed; /* the engine answered with what existed before */
    bool foreign; /* … and is not of this session */
};

enum pnx__whose { PNX__WHOSE_OURS, PNX__WHOSE_FOREIGN, PNX__WHOSE_NOBODYS, PNX__WHOSE_UNKNOWN };

struct pnx__connection {
    struct pnx__proxy *proxy;
    struct pnx__connection *next, *before;
    struct pnx__side *client, *engine; /* engine: NULL until something is to be sent */
    unsigned engine_at;                /* which of its addresses */
    struct pnx__flow up, down;
    enum pnx__phase phase;
    bool answering; /* an answer of the engine is to come */
    bool turning, again, closed;
    unsigned budget; /* reads that this turn may still do */
    bool timer_closed;
    struct pnx__http request, answer;
    struct pnx__route route;
    struct pnx__creation creation;
    struct pnx__lines lines; /* of an answer that is looked into */
    uv_timer_t retry;        /* the engine's queue was full */
    bool retrying;
    unsigned retries;

    /* In the pool; what it finds out is below, and is its own until it is over. */
    uv_work_t work;
    void (*work_now)(struct pnx__connection *connection);
    bool working;
    bool is_made; /* through here: set before, read in the pool */
    bool orphans; /* what is removed leaves volumes; likewise */
    enum pnx__whose whose;
    char whose_id[256];
    pnx_status work_status;
    pnx_error work_error;
};

/* ---- connection.c ---------------------------------------------------------------------------- */

/** Takes the descriptor. False: no memory; it is closed. */
bool pnx__connection_open(struct pnx__proxy *proxy, int fd);
/** Moves what can be moved, and waits for the rest. It may be gone afterwards. */
void pnx__connection_turn(struct pnx__connection *connection);
/** Cuts both ends, now. It is freed later, by the loop. */
void pnx__connection_cut(struct pnx__connection *connection);
/** The proxy stops: true if it has to be waited for. */
bool pnx__connection_finish(struct pnx__connection *connection);

/* ---- side.c ---------------------------------------------------------------------------------- */

struct pnx__side *pnx__side_open(struct pnx__connection *connection, int fd);
void pnx__side_close(struct pnx__side *side);
void pnx__side_watch(struct pnx__side *side, int events);
void pnx__side_shut(struct pnx__side *side);
/** Has the other one closed it entirely, not only for sending? */
bool pnx__side_is_gone(const struct pnx__side *side);
/** Sees to it that the engine is connected, or is being; false: it is not, which was answered. */
bool pnx__side_to_engine(struct pnx__connection *connection);

/* ---- flow.c ---------------------------------------------------------------------------------- */

bool pnx__flow_has_output(const struct pnx__flow *flow);
/** Moves as much as it can. */
void pnx__flow_pump_up(struct pnx__connection *connection);
void pnx__flow_pump_down(struct pnx__connection *connection);
void pnx__flow_done(struct pnx__flow *flow);

/* ---- splice.c -------------------------------------------------------------------------------- */

/** A raw flow that is worth it goes on by splice(2); false: it does not. */
bool pnx__splice_begin(struct pnx__flow *flow);
void pnx__splice_pump(struct pnx__connection *connection, struct pnx__flow *flow,
                      struct pnx__side *from, struct pnx__side *to);
void pnx__splice_done(struct pnx__flow *flow);

/* ---- request.c, answer.c: taking what was read; false: it has to wait ------------------------ */

bool pnx__request_take(struct pnx__connection *connection);
bool pnx__answer_take(struct pnx__connection *connection);
/** The engine has ended its answer by ending the connection, or broken it off. */
void pnx__answer_ended(struct pnx__connection *connection);
/** The request, as it is or with another target, goes to the engine. */
void pnx__request_forward(struct pnx__connection *connection, const char *target);
/** The exchange is over if both its halves are; then the next request can come. */
void pnx__request_next(struct pnx__connection *connection);
/** What the pool found out is there. */
void pnx__request_decided(struct pnx__connection *connection);

/* ---- creation.c ------------------------------------------------------------------------------ */

/** Labels what is asked for; then it is written down, and then it is forwarded. */
void pnx__creation_begin(struct pnx__connection *connection);
/** It is written down. */
void pnx__creation_forward(struct pnx__connection *connection);
/** Its body is complete. */
void pnx__creation_collected(struct pnx__connection *connection);
/** Looks at the answer's body. */
bool pnx__creation_look(const char *data, size_t size, void *context);
/** It is answered (status 0: never). */
void pnx__creation_settle(struct pnx__connection *connection, unsigned status);
void pnx__creation_done(struct pnx__creation *creation);
/** It failed; nobody knows whether it left something. Looks, in the pool. */
void pnx__creation_doubt(struct pnx__connection *connection);

/* ---- scope.c --------------------------------------------------------------------------------- */

/** Looks whose it is what the request is about, in the pool; false: that need not be known. */
bool pnx__scope_ask(struct pnx__connection *connection);
/** What was found out is acted upon; true: the request goes on. */
bool pnx__scope_allows(struct pnx__connection *connection);
/** Lists and prunes; true: the request goes on, with `target` where that is not empty. */
bool pnx__scope_narrow(struct pnx__connection *connection, struct pnx__bytes *target);

/* ---- refuse.c -------------------------------------------------------------------------------- */

/** Answers in the engine's stead, in the form of its errors, and goes on with the next request. */
void pnx__refuse(struct pnx__connection *connection, int status, const char *format, ...)
    PNX_PRINTF(3, 4);
/** The same, and the connection ends. */
void pnx__refuse_and_close(struct pnx__connection *connection, int status, const char *format, ...)
    PNX_PRINTF(3, 4);
/** Answers with 200 and this JSON. */
void pnx__refuse_kindly(struct pnx__connection *connection, const char *json);

/** Runs `work` in the pool, and then pnx__request_decided in the loop, unless it was cut. */
void pnx__connection_work(struct pnx__connection *connection,
                          void (*work)(struct pnx__connection *connection));

#endif
