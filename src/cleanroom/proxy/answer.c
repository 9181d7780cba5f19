/* SPDX-License-Identifier: MIT */
/* Answers of the engine: passed as they are, and followed, so that it is known where they end. */
#include "proxy/connection.h"

#include <string.h>

static void is_garbage(struct pnx__connection *connection, const char *problem)
{
    const char *host = connection->proxy->engine_at.host;
    pnx__creation_settle(connection, 0);
    connection->answering = false;
    pnx__refuse_and_close(connection, 502, "the engine at %s answers what is no HTTP: %s", host,
                          problem);
}

/* From here on nobody here knows what the bytes mean. */
static void become_raw(struct pnx__connection *connection)
{
    connection->answering = false;
    connection->up.moved = connection->down.moved = 0;
    connection->phase = PNX__PHASE_RAW;
    connection->again = true;
}

static void is_over(struct pnx__connection *connection)
{
    connection->answering = false;
    pnx__creation_settle(connection, connection->answer.parser.status_code);
    pnx__request_next(connection);
}

static void head_is_complete(struct pnx__connection *connection)
{
    struct pnx__http *answer = &connection->answer;
    unsigned status = answer->parser.status_code;
    if (status == 101 && !connection->request.upgrade) {
        is_garbage(connection, "it upgrades where nobody asked for it");
        return;
    }
    if (!pnx__bytes_add(&connection->down.own, answer->head.data, answer->head.size)) {
        pnx__connection_cut(connection);
        return;
    }
    if (status == 101 || (answer->until_closed && connection->route.hijack)) {
        become_raw(connection);
        return;
    }
    if (status / 100 == 1) { /* the answer proper is still to come */
        bool no_body = answer->no_body;
        pnx__http_begin(answer, HTTP_RESPONSE);
        answer->no_body = no_body;
        return;
    }
    if (connection->creation.active || connection->route.what == PNX__ROUTE_LOAD) {
        answer->on_body = pnx__creation_look;
        answer->context = connection;
    }
    if (answer->state == PNX__HTTP_DONE)
        is_over(connection);
}

static void take_head(struct pnx__connection *connection)
{
    struct pnx__flow *down = &connection->down;
    struct pnx__http *answer = &connection->answer;
    down->start += pnx__http_take_head(answer, down->buffer + down->start, down->end - down->start);
    if (answer->state == PNX__HTTP_FAILED)
        is_garbage(connection, answer->problem);
    else if (answer->state != PNX__HTTP_HEAD)
        head_is_complete(connection);
}

static void take_body(struct pnx__connection *connection)
{
    struct pnx__flow *down = &connection->down;
    struct pnx__http *answer = &connection->answer;
    down->pass = pnx__http_take_body(answer, down->buffer + down->start, down->end - down->start);
    if (answer->state == PNX__HTTP_FAILED)
        pnx__connection_cut(connection); /* the client has a part of it: the rest cannot be told */
    else if (answer->state == PNX__HTTP_DONE)
        is_over(connection);
}

bool pnx__answer_take(struct pnx__connection *connection)
{
    struct pnx__flow *down = &connection->down;
    if (connection->phase == PNX__PHASE_RAW) {
        down->pass = down->end - down->start;
    } else if (!connection->answering) {
        pnx__connection_cut(connection); /* it speaks without being asked */
    } else if (connection->answer.state == PNX__HTTP_HEAD) {
        take_head(connection);
        if (!connection->closed && down->start >= down->end)
            down->start = down->end = 0;
    } else {
        take_body(connection);
    }
    return true;
}

void pnx__answer_ended(struct pnx__connection *connection)
{
    struct pnx__http *answer = &connection->answer;
    pnx__http_end(answer);
    if (answer->state == PNX__HTTP_DONE)
        is_over(connection);
    else
        pnx__creation_settle(connection, 0);
    pnx__connection_cut(connection); /* as the engine does */
}
