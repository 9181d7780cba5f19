/* SPDX-License-Identifier: MIT */
/* One end of a connection: its descriptor, what is waited for on it, and how it ends. */
#include "proxy/connection.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* An engine that takes no connection for so long takes none. A full queue is looked at again, for
 * nothing tells when there is room in it. */
#define RETRY_MS 10
#define RETRIES 1000

static void happened(uv_poll_t *poll, int status, int events)
{
    struct pnx__side *side = poll->data;
    (void)status; /* whatever it is, reading and writing tell */
    (void)events;
    pnx__connection_turn(side->connection);
}

struct pnx__side *pnx__side_open(struct pnx__connection *connection, int fd)
{
    struct pnx__side *side = calloc(1, sizeof *side);
    if (!side || uv_poll_init(connection->proxy->loop, &side->poll, fd) != 0) {
        free(side);
        close(fd);
        return NULL;
    }
    side->connection = connection;
    side->fd = fd;
    side->poll.data = side;
    return side;
}

static void closed(uv_handle_t *handle)
{
    struct pnx__side *side = handle->data;
    close(side->fd);
    free(side);
}

void pnx__side_close(struct pnx__side *side)
{
    if (!side)
        return;
    (void)uv_poll_stop(&side->poll);
    /* The descriptor is closed by `closed`, but nobody has to wait for that. */
    (void)shutdown(side->fd, SHUT_RDWR);
    uv_close((uv_handle_t *)&side->poll, closed);
}

void pnx__side_watch(struct pnx__side *side, int events)
{
    if (!side || side->watched == events)
        return;
    side->watched = events;
    if (events)
        (void)uv_poll_start(&side->poll, events, happened);
    else
        (void)uv_poll_stop(&side->poll);
}

void pnx__side_shut(struct pnx__side *side)
{
    if (!side || side->shut)
        return;
    side->shut = true;
    (void)shutdown(side->fd, SHUT_WR);
}

bool pnx__side_is_gone(const struct pnx__side *side)
{
    struct pollfd fd = {.fd = side->fd};
    /* Where we have ended our half ourselves, its end of the other half says as much. */
    return poll(&fd, 1, 0) > 0 && (fd.revents & (POLLHUP | POLLERR));
}

/* ---- the engine ------------------------------------------------------------------------------ */

static void try_again(uv_timer_t *timer)
{
    struct pnx__connection *connection = timer->data;
    connection->retrying = false;
    pnx__connection_turn(connection);
}

static bool retry_later(struct pnx__connection *connection)
{
    if (connection->retries++ >= RETRIES)
        return false;
    connection->retrying = true;
    (void)uv_timer_start(&connection->retry, try_again, RETRY_MS, 0);
    return true;
}

static void cannot_connect(struct pnx__connection *connection, int problem)
{
    const char *host = connection->proxy->engine_at.host;
    pnx__side_close(connection->engine);
    connection->engine = NULL;
    connection->creation.sent = false;
    pnx__creation_settle(connection, 0);
    connection->answering = false;
    pnx__refuse_and_close(connection, 502, "cannot reach the engine at %s: %s", host,
                          strerror(problem));
}

/* True: it connects, or has. */
static bool connect_to(struct pnx__connection *connection)
{
    const struct pnx__address_list *list = &connection->proxy->engine_at;
    int problem = 0;
    for (; connection->engine_at < list->count; connection->engine_at++) {
        bool pending;
        int fd = pnx__address_connect(list, connection->engine_at, &pending);
        problem = errno;
        if (fd < 0 && problem == EAGAIN && retry_later(connection))
            return true;
        if (fd < 0)
            continue;
        connection->engine = pnx__side_open(connection, fd);
        if (!connection->engine) {
            problem = ENOMEM;
            break;
        }
        connection->engine->pending = pending;
        return true;
    }
    connection->engine_at = 0;
    cannot_connect(connection, problem);
    return false;
}

/* It has become writable: it is connected, or will never be. */
static bool look_whether_connected(struct pnx__connection *connection)
{
    struct pnx__side *side = connection->engine;
    struct pollfd fd = {.fd = side->fd, .events = POLLOUT};
    int problem = 0;
    socklen_t size = sizeof problem;
    if (poll(&fd, 1, 0) <= 0)
        return true;
    (void)getsockopt(side->fd, SOL_SOCKET, SO_ERROR, &problem, &size);
    side->pending = false;
    if (problem == 0)
        return true;
    if (++connection->engine_at < connection->proxy->engine_at.count) {
        pnx__side_close(side);
        connection->engine = NULL;
        return connect_to(connection);
    }
    connection->engine_at = 0;
    cannot_connect(connection, problem);
    return false;
}

bool pnx__side_to_engine(struct pnx__connection *connection)
{
    if (connection->retrying)
        return true;
    if (!connection->engine)
        return connect_to(connection);
    return !connection->engine->pending || look_whether_connected(connection);
}
