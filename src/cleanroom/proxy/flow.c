/* SPDX-License-Identifier: MIT */
/*
 * Moving bytes. Each pump goes on until it would have to wait, or has read its share of this turn;
 * then what it waits for is in wants_read and wants_write.
 */
#include "proxy/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

bool pnx__flow_has_output(const struct pnx__flow *flow)
{
    return flow->own.size > flow->own_sent || flow->pass > 0 || flow->piped > 0;
}

void pnx__flow_done(struct pnx__flow *flow)
{
    pnx__splice_done(flow);
    free(flow->buffer);
    pnx__bytes_done(&flow->own);
    *flow = (struct pnx__flow){0};
}

/* ---- output ---------------------------------------------------------------------------------- */

static void went(struct pnx__flow *flow, size_t size)
{
    size_t own = flow->own.size - flow->own_sent;
    if (own > size)
        own = size;
    flow->own_sent += own;
    if (flow->own_sent == flow->own.size) {
        pnx__bytes_clear(&flow->own);
        flow->own_sent = 0;
    }
    flow->start += size - own;
    flow->pass -= size - own;
    flow->moved += size - own;
    if (flow->start == flow->end)
        flow->start = flow->end = 0;
}

static void drop_output(struct pnx__flow *flow)
{
    went(flow, flow->own.size - flow->own_sent + flow->pass);
}

/* False: nothing more goes there. */
static bool send_output(struct pnx__flow *flow, struct pnx__side *to)
{
    while (pnx__flow_has_output(flow)) {
        struct iovec parts[2];
        struct msghdr message = {.msg_iov = parts};
        if (flow->own.size > flow->own_sent)
            parts[message.msg_iovlen++] =
                (struct iovec){flow->own.data + flow->own_sent, flow->own.size - flow->own_sent};
        if (flow->pass > 0)
            parts[message.msg_iovlen++] = (struct iovec){flow->buffer + flow->start, flow->pass};
        ssize_t sent = sendmsg(to->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            went(flow, (size_t)sent);
        } else if (errno == EAGAIN) {
            flow->wants_write = true;
            return true;
        } else if (errno != EINTR) {
            drop_output(flow);
            return false;
        }
    }
    return true;
}

/* ---- input ----------------------------------------------------------------------------------- */

/* Makes room behind what is there; false: there is none. */
static bool make_room(struct pnx__flow *flow)
{
    if (!flow->buffer)
        flow->buffer = malloc(PNX__PROXY_BUFFER);
    if (!flow->buffer)
        return false;
    if (flow->start > 0) {
        memmove(flow->buffer, flow->buffer + flow->start, flow->end - flow->start);
        flow->end -= flow->start;
        flow->start = 0;
    }
    return flow->end < PNX__PROXY_BUFFER;
}

/* True: there is more than before, or it has ended. */
static bool read_more(struct pnx__connection *connection, struct pnx__flow *flow,
                      struct pnx__side *from)
{
    if (from->ended || !make_room(flow))
        return false;
    flow->wants_read = true;
    if (connection->budget == 0)
        return false;
    connection->budget--;
    ssize_t got =
        recv(from->fd, flow->buffer + flow->end, PNX__PROXY_BUFFER - flow->end, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    flow->wants_read = false;
    if (got > 0) {
        flow->end += (size_t)got;
        return true;
    }
    from->ended = true;
    from->gone = got < 0 || pnx__side_is_gone(from);
    return true;
}

/* ---- the pumps ------------------------------------------------------------------------------- */

void pnx__flow_pump_up(struct pnx__connection *connection)
{
    struct pnx__flow *flow = &connection->up;
    flow->wants_read = flow->wants_write = false;
    if (connection->phase == PNX__PHASE_RAW && connection->engine && pnx__splice_begin(flow)) {
        pnx__splice_pump(connection, flow, connection->client, connection->engine);
        return;
    }
    for (;;) {
        if (pnx__flow_has_output(flow)) {
            if (!pnx__side_to_engine(connection) || !connection->engine)
                return;
            if (connection->engine->pending) {
                flow->wants_write = true;
                return;
            }
            /* An engine that takes no more may still have answered. */
            if (!send_output(flow, connection->engine))
                connection->engine->shut = true;
            if (flow->wants_write)
                return;
        }
        bool waits = flow->start < flow->end && !pnx__request_take(connection);
        if (connection->closed)
            return;
        if (flow->start < flow->end && !waits)
            continue;
        if (pnx__flow_has_output(flow))
            continue;
        if (!read_more(connection, flow, connection->client) || connection->client->ended)
            return;
        if (waits) { /* it is read only to see its end */
            flow->wants_read = flow->end < PNX__PROXY_BUFFER;
            return;
        }
    }
}

void pnx__flow_pump_down(struct pnx__connection *connection)
{
    struct pnx__flow *flow = &connection->down;
    flow->wants_read = flow->wants_write = false;
    if (connection->phase == PNX__PHASE_RAW && connection->engine && pnx__splice_begin(flow)) {
        pnx__splice_pump(connection, flow, connection->engine, connection->client);
        return;
    }
    for (;;) {
        if (pnx__flow_has_output(flow)) {
            /* Nobody is there any more to take it; what is being made is still waited for. */
            if (connection->client->shut)
                drop_output(flow);
            else if (!send_output(flow, connection->client))
                connection->client->shut = connection->client->gone = true;
            if (flow->wants_write)
                return;
        }
        bool waits = flow->start < flow->end && !pnx__answer_take(connection);
        if (connection->closed || waits)
            return;
        if (flow->start < flow->end || pnx__flow_has_output(flow))
            continue;
        if (!connection->engine || connection->engine->pending ||
            !read_more(connection, flow, connection->engine) || connection->engine->ended)
            return;
    }
}
