/* SPDX-License-Identifier: MIT */
/* Requests: one at a time, from its head to where it goes. */
#include "proxy/connection.h"

#include <string.h>

static void took(struct pnx__flow *up, size_t size)
{
    up->start += size;
    if (up->start == up->end)
        up->start = up->end = 0;
}

/* ---- forwarding ------------------------------------------------------------------------------ */

void pnx__request_forward(struct pnx__connection *connection, const char *target)
{
    struct pnx__http *request = &connection->request;
    struct pnx__bytes *own = &connection->up.own;
    bool good = target ? pnx__http_head_edit(request, target, NULL, "", own)
                       : pnx__bytes_add(own, request->head.data, request->head.size);
    if (!good) {
        pnx__refuse_and_close(connection, 503, "no memory for this request");
        return;
    }
    pnx__http_begin(&connection->answer, HTTP_RESPONSE);
    connection->answer.no_body = request->parser.method == HTTP_HEAD;
    connection->answering = true;
    connection->phase = request->state == PNX__HTTP_DONE ? PNX__PHASE_ANSWER : PNX__PHASE_PASS;
    connection->again = true;
}

/* ---- deciding -------------------------------------------------------------------------------- */

static void proceed(struct pnx__connection *connection)
{
    struct pnx__bytes target = {0};
    if (pnx__scope_narrow(connection, &target)) {
        switch (connection->route.what) {
        case PNX__ROUTE_CREATE:
        case PNX__ROUTE_BUILD:
        case PNX__ROUTE_CHANGE:
            pnx__creation_begin(connection);
            break;
        default:
            pnx__request_forward(connection, target.size > 0 ? target.data : NULL);
            break;
        }
    }
    pnx__bytes_done(&target);
}

void pnx__request_decided(struct pnx__connection *connection)
{
    connection->again = true;
    if (connection->client->gone)
        pnx__connection_cut(connection);
    else if (connection->creation.active)
        pnx__creation_forward(connection);
    else if (pnx__scope_allows(connection))
        proceed(connection);
}

static void decide(struct pnx__connection *connection)
{
    const struct pnx__http *request = &connection->request;
    enum http_method method = (enum http_method)request->parser.method;
    if (method == HTTP_CONNECT) {
        pnx__refuse_and_close(connection, 405, "an engine knows no CONNECT");
        return;
    }
    if (!pnx__route_find(method, request->target.data, &connection->route)) {
        pnx__refuse_and_close(connection, 400, "what is asked for is no path");
        return;
    }
    if (!pnx__scope_ask(connection))
        proceed(connection);
}

/* ---- taking ---------------------------------------------------------------------------------- */

static void is_broken(struct pnx__connection *connection)
{
    const struct pnx__http *request = &connection->request;
    pnx__refuse_and_close(connection, request->problem_status, "the request is refused: %s",
                          request->problem);
}

static void take_head(struct pnx__connection *connection)
{
    struct pnx__flow *up = &connection->up;
    struct pnx__http *request = &connection->request;
    took(up, pnx__http_take_head(request, up->buffer + up->start, up->end - up->start));
    if (request->state == PNX__HTTP_FAILED)
        is_broken(connection);
    else if (request->state != PNX__HTTP_HEAD)
        decide(connection);
}

static void take_body(struct pnx__connection *connection)
{
    struct pnx__flow *up = &connection->up;
    struct pnx__http *request = &connection->request;
    size_t size = pnx__http_take_body(request, up->buffer + up->start, up->end - up->start);
    if (request->state == PNX__HTTP_FAILED) {
        is_broken(connection);
        return;
    }
    if (connection->phase == PNX__PHASE_PASS)
        up->pass = size;
    else
        took(up, size);
    if (request->state != PNX__HTTP_DONE)
        return;
    if (connection->phase == PNX__PHASE_COLLECT) {
        pnx__creation_collected(connection);
        return;
    }
    connection->phase = PNX__PHASE_ANSWER;
    pnx__request_next(connection);
}

bool pnx__request_take(struct pnx__connection *connection)
{
    struct pnx__flow *up = &connection->up;
    switch (connection->phase) {
    case PNX__PHASE_HEAD:
        take_head(connection);
        return true;
    case PNX__PHASE_COLLECT:
    case PNX__PHASE_PASS:
    case PNX__PHASE_DRAIN:
        take_body(connection);
        return true;
    case PNX__PHASE_RAW:
        up->pass = up->end - up->start;
        return true;
    case PNX__PHASE_CLOSING:
        took(up, up->end - up->start);
        return true;
    default:
        return false;
    }
}

void pnx__request_next(struct pnx__connection *connection)
{
    if (connection->answering || connection->phase != PNX__PHASE_ANSWER)
        return;
    connection->again = true;
    pnx__route_done(&connection->route);
    pnx__creation_done(&connection->creation);
    pnx__http_begin(&connection->request, HTTP_REQUEST);
    connection->phase = connection->proxy->stopping ? PNX__PHASE_CLOSING : PNX__PHASE_HEAD;
}
