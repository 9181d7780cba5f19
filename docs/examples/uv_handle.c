/* SPDX-License-Identifier: MIT */
/* A handle of a libuv loop, given back by uv_close, and a loop that ends its registry. */
#include <patinox/patinox.h>
#include <patinox/uv.h>
#include <stdio.h>
#include <uv.h>

struct socket {
    uv_tcp_t tcp;
    pnx_token token;
};

static void on_socket_closed(uv_handle_t *handle)
{
    struct socket *socket = handle->data;
    puts("socket closed");
    (void)pnx_complete(socket->token, PNX_OK);
}

static pnx_status close_socket(struct socket *socket, const pnx_release *why)
{
    socket->token = pnx_release_token(why);
    uv_close((uv_handle_t *)&socket->tcp, on_socket_closed);
    return PNX_PENDING; /* the memory is ours again when libuv says so */
}
PNX_KIND(socket, struct socket *, close_socket, .timeout = PNX_S(5));

static void on_end(const pnx_report *report, pnx_status status, void *unused)
{
    (void)unused;
    printf("%s, %d leaked\n", pnx_status_name(status), (int)report->leaked);
}

int main(void)
{
    uv_loop_t *loop = uv_default_loop();
    struct socket sockets[2];
    pnx_uv *uv;
    pnx_error err = {0};
    if (pnx_uv_create(loop, NULL, &uv, &err) != PNX_OK)
        return 1;
    pnx_registry *registry = pnx_uv_registry(uv);
    socket_guard forgotten = {0};
    for (int i = 0; i < 2; i++) {
        pnx_auto(socket) guard = pnx_reserve(socket, registry, &err);
        if (guard.status || uv_tcp_init(loop, &sockets[i].tcp) != 0)
            return 1;
        sockets[i].tcp.data = &sockets[i];
        if (!pnx_arm(&guard, &sockets[i]))
            return 1;
        if (i == 1)
            forgotten = pnx_move(&guard); /* now nobody drops it */
    }
    (void)uv_run(loop, UV_RUN_DEFAULT);
    (void)pnx_uv_close(uv, NULL, on_end, NULL);
    (void)uv_run(loop, UV_RUN_DEFAULT);
    (void)forgotten;
    return uv_loop_close(loop) == 0 ? 0 : 1;
}

/* Prints:
 *   socket closed
 *   socket closed
 *   ok, 1 leaked
 */
