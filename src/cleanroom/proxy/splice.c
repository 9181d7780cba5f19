/* SPDX-License-Identifier: MIT */
/*
 * Raw streams that have become long are moved without being copied, by splice(2) through a pipe.
 * Measured in the middle of two sockets, 1 GiB in writes of 32 KiB: 0.03 s of CPU time instead of
 * 0.11 to 0.20 s. Terminals and the like never get there, and so need no pipe.
 */
#include "proxy/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Copied before: a pipe costs two descriptors. */
#define LONG_ENOUGH ((size_t)1 << 20)
/* As much as an unprivileged pipe holds. */
#define AT_ONCE ((size_t)64 << 10)

bool pnx__splice_begin(struct pnx__flow *flow)
{
    if (flow->splicing)
        return true;
    if (flow->moved < LONG_ENOUGH || flow->start < flow->end || pnx__flow_has_output(flow))
        return false;
    flow->splicing = pipe2(flow->pipe, O_CLOEXEC | O_NONBLOCK) == 0;
    flow->moved = 0; /* without a descriptor left it is tried again later */
    return flow->splicing;
}

void pnx__splice_done(struct pnx__flow *flow)
{
    if (!flow->splicing)
        return;
    close(flow->pipe[0]);
    close(flow->pipe[1]);
    flow->splicing = false;
}

/* False: it has to wait, or nothing goes there any more. */
static bool empty_pipe(struct pnx__flow *flow, struct pnx__side *to)
{
    while (flow->piped > 0) {
        ssize_t sent = splice(flow->pipe[0], NULL, to->fd, NULL, flow->piped,
                              SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (sent > 0) {
            flow->piped -= (size_t)sent;
        } else if (sent < 0 && errno == EAGAIN) {
            flow->wants_write = true;
            return false;
        } else if (sent == 0 || errno != EINTR) {
            to->shut = to->gone = true;
            return false;
        }
    }
    return true;
}

void pnx__splice_pump(struct pnx__connection *connection, struct pnx__flow *flow,
                      struct pnx__side *from, struct pnx__side *to)
{
    while (!to->shut && empty_pipe(flow, to) && !from->ended) {
        flow->wants_read = true;
        if (connection->budget == 0)
            return;
        connection->budget--;
        ssize_t got =
            splice(from->fd, NULL, flow->pipe[1], NULL, AT_ONCE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        flow->wants_read = false;
        if (got > 0) {
            flow->piped += (size_t)got;
            continue;
        }
        from->ended = true;
        from->gone = got < 0 || pnx__side_is_gone(from);
    }
}
