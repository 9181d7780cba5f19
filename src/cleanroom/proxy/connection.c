/* SPDX-License-Identifier: MIT */
/* The life of a connection: turns, ends, and the waiting in between. */
#include "proxy/connection.h"

#include <stdlib.h>

/* Reads in one turn: a stream that never pauses lets others have theirs after a megabyte. */
#define BUDGET 16

/* ---- beginning and end ----------------------------------------------------------------------- */

static void free_if_over(struct pnx__connection *connection)
{
    if (!connection->timer_closed || connection->working || connection->turning)
        return;
    pnx__creation_settle(connection, 0);
    struct pnx__proxy *proxy = connection->proxy;
    if (connection->before)
        connection->before->next = connection->next;
    else
        proxy->first = connection->next;
    if (connection->next)
        connection->next->before = connection->before;
    pnx__creation_done(&connection->creation);
    pnx__route_done(&connection->route);
    pnx__flow_done(&connection->up);
    pnx__flow_done(&connection->down);
    pnx__http_done(&connection->request);
    pnx__http_done(&connection->answer);
    free(connection);
    pnx__proxy_ended_one(proxy);
}

static void timer_closed(uv_handle_t *handle)
{
    struct pnx__connection *connection = handle->data;
    connection->timer_closed = true;
    free_if_over(connection);
}

bool pnx__connection_open(struct pnx__proxy *proxy, int fd)
{
    struct pnx__connection *connection = calloc(1, sizeof *connection);
    if (!connection) {
        (void)shutdown(fd, SHUT_RDWR);
        return false;
    }
    connection->proxy = proxy;
    connection->client = pnx__side_open(connection, fd);
    if (!connection->client) {
        free(connection);
        return false;
    }
    (void)uv_timer_init(proxy->loop, &connection->retry);
    connection->retry.data = connection;
    connection->next = proxy->first;
    if (connection->next)
        connection->next->before = connection;
    proxy->first = connection;
    proxy->count++;
    pnx__http_begin(&connection->request, HTTP_REQUEST);
    pnx__connection_turn(connection);
    return true;
}

void pnx__connection_cut(struct pnx__connection *connection)
{
    if (connection->closed)
        return;
    connection->closed = true;
    pnx__side_close(connection->client);
    pnx__side_close(connection->engine);
    connection->client = connection->engine = NULL;
    uv_close((uv_handle_t *)&connection->retry, timer_closed);
}

/* ---- the pool -------------------------------------------------------------------------------- */

static void run_work(uv_work_t *work)
{
    struct pnx__connection *connection = work->data;
    connection->work_now(connection);
}

static void after_work(uv_work_t *work, int status)
{
    struct pnx__connection *connection = work->data;
    (void)status;
    connection->working = false;
    if (connection->closed) {
        free_if_over(connection);
        return;
    }
    pnx__request_decided(connection);
    pnx__connection_turn(connection);
}

void pnx__connection_work(struct pnx__connection *connection,
                          void (*work)(struct pnx__connection *connection))
{
    connection->phase = PNX__PHASE_DECIDE;
    connection->working = true;
    connection->work_now = work;
    connection->work.data = connection;
    pnx_error_clear(&connection->work_error);
    (void)uv_queue_work(connection->proxy->loop, &connection->work, run_work, after_work);
}

/* ---- when a side has ended ------------------------------------------------------------------- */

/* What was sent so that something comes into being is waited for, so that its id is known. */
static bool is_needed(const struct pnx__connection *connection)
{
    return connection->creation.active && connection->creation.sent &&
           connection->route.what == PNX__ROUTE_CREATE && connection->answering;
}

static void look_at_client(struct pnx__connection *connection)
{
    const struct pnx__side *client = connection->client;
    if ((!client->ended && !client->gone) || connection->working || is_needed(connection))
        return;
    if (connection->phase == PNX__PHASE_ANSWER && client->gone) {
        pnx__connection_cut(connection);
        return;
    }
    if (connection->up.start < connection->up.end || pnx__flow_has_output(&connection->up))
        return;
    switch (connection->phase) {
    case PNX__PHASE_RAW:
    case PNX__PHASE_PASS:
    case PNX__PHASE_ANSWER:
        if (client->gone)
            pnx__connection_cut(connection);
        else
            pnx__side_shut(connection->engine);
        return;
    default: /* between requests, or in the middle of one that nobody has seen */
        if (client->gone || !pnx__flow_has_output(&connection->down))
            pnx__connection_cut(connection);
        return;
    }
}

static void engine_has_ended(struct pnx__connection *connection)
{
    const struct pnx__side *engine = connection->engine;
    if (connection->phase == PNX__PHASE_RAW) {
        bool over = engine->gone || engine->shut || connection->client->ended;
        pnx__side_shut(connection->client);
        if (over)
            pnx__connection_cut(connection);
        return;
    }
    if (connection->answering) {
        pnx__answer_ended(connection);
        return;
    }
    bool idle = connection->phase == PNX__PHASE_HEAD && connection->request.head.size == 0 &&
                connection->up.start == connection->up.end;
    if (idle || connection->phase == PNX__PHASE_PASS) {
        pnx__connection_cut(connection);
        return;
    }
    /* It has had nothing of what is under way, which goes to a new connection. */
    pnx__side_close(connection->engine);
    connection->engine = NULL;
}

static void look_at_engine(struct pnx__connection *connection)
{
    if (!connection->engine || !connection->engine->ended ||
        pnx__flow_has_output(&connection->down) || connection->down.start < connection->down.end)
        return;
    engine_has_ended(connection);
}

static void look_at_closing(struct pnx__connection *connection)
{
    if (connection->phase != PNX__PHASE_CLOSING || pnx__flow_has_output(&connection->down))
        return;
    if (connection->proxy->stopping)
        pnx__connection_cut(connection);
    else
        pnx__side_shut(connection->client);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void wait_for_more(struct pnx__connection *connection)
{
    const struct pnx__flow *up = &connection->up, *down = &connection->down;
    pnx__side_watch(connection->client,
                    (up->wants_read ? UV_READABLE : 0) | (down->wants_write ? UV_WRITABLE : 0));
    pnx__side_watch(connection->engine,
                    (down->wants_read ? UV_READABLE : 0) | (up->wants_write ? UV_WRITABLE : 0));
}

void pnx__connection_turn(struct pnx__connection *connection)
{
    if (connection->turning) {
        connection->again = true;
        return;
    }
    connection->turning = true;
    connection->budget = BUDGET;
    connection->again = !connection->closed;
    while (connection->again && !connection->closed) {
        connection->again = false;
        pnx__flow_pump_up(connection);
        if (!connection->closed)
            pnx__flow_pump_down(connection);
        if (!connection->closed)
            look_at_engine(connection);
        if (!connection->closed)
            look_at_client(connection);
        if (!connection->closed)
            look_at_closing(connection);
    }
    connection->turning = false;
    if (!connection->closed)
        wait_for_more(connection);
}

bool pnx__connection_finish(struct pnx__connection *connection)
{
    if (is_needed(connection))
        return true;
    if (connection->phase == PNX__PHASE_CLOSING && pnx__flow_has_output(&connection->down))
        return true;
    pnx__connection_cut(connection);
    return false;
}
