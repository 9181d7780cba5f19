/* SPDX-License-Identifier: MIT */
/**
 * @file http.h
 * One message of HTTP/1 as it goes by: where its head ends, where it ends itself. The bytes are the
 * caller's; only the head is collected. Which bytes are taken does not depend on how they are cut.
 */
#ifndef CLEANROOM_PROXY_HTTP_H
#define CLEANROOM_PROXY_HTTP_H

#include "proxy/bytes.h"

#include <http_parser.h>
#include <stdint.h>

/** The longest head that is taken, of what the engines take themselves. */
#define PNX__HTTP_HEAD_MAX ((size_t)1 << 20)

enum pnx__http_state {
    PNX__HTTP_HEAD,   /* its head is not complete */
    PNX__HTTP_BODY,   /* the head is */
    PNX__HTTP_DONE,   /* the message is */
    PNX__HTTP_FAILED, /* it is no HTTP; `problem` says why */
};

struct pnx__http {
    enum pnx__http_state state;
    const char *problem;
    int problem_status;     /* what a server answers to such a request */
    struct pnx__bytes head; /* with the empty line at its end */
    struct pnx__bytes target;
    bool no_body;      /* set by the caller: an answer to HEAD */
    bool until_closed; /* an answer that ends with the connection */
    bool upgrade;      /* a request for another protocol */
    /* Gets the body, without chunks, if it is set. False: enough memory was taken. */
    bool (*on_body)(const char *data, size_t size, void *context);
    void *context;
    http_parser parser; /* of it: method, status_code, http_minor, flags, content_length */
};

/** Begins with the next message; keeps what memory there is. */
void pnx__http_begin(struct pnx__http *http, enum http_parser_type type);
/** Takes bytes of the head, at most until it is complete; returns how many. */
size_t pnx__http_take_head(struct pnx__http *http, const char *data, size_t size);
/** Takes bytes of the body, at most until it is complete; returns how many. */
size_t pnx__http_take_body(struct pnx__http *http, const char *data, size_t size);
/** The connection has ended; DONE if that ends the message. */
void pnx__http_end(struct pnx__http *http);
void pnx__http_done(struct pnx__http *http);

/**
 * The head again, with another first line's target (NULL: the same), without the header `without`
 * (a NULL-terminated list; may be NULL), with `more` lines. False: no memory.
 */
bool pnx__http_head_edit(const struct pnx__http *http, const char *target,
                         const char *const *without, const char *more, struct pnx__bytes *ret);
/** The value of a header, cut to `size`; false: there is none. */
bool pnx__http_header(const struct pnx__http *http, const char *name, char *ret, size_t size);

#endif
