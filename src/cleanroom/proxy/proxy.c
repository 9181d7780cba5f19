/* SPDX-License-Identifier: MIT */
/* Listening, and stopping. */
#include "proxy/connection.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* As many as are taken before the others have their turn. */
#define ACCEPTS 32
/* Until descriptors are looked for again. */
#define STARVED_MS 50

static void watch_listener(struct pnx__proxy *proxy);

static void accept_some(uv_poll_t *poll, int status, int events)
{
    struct pnx__proxy *proxy = poll->data;
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS && proxy->accepting; i++) {
        int fd = accept4(proxy->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            proxy->starved_told = false;
            (void)pnx__connection_open(proxy, fd);
            continue;
        }
        int problem = errno;
        if (problem == EMFILE || problem == ENFILE || problem == ENOBUFS || problem == ENOMEM) {
            /* They wait in the queue; without this the loop would turn in vain. */
            proxy->starved = true;
            if (!proxy->starved_told)
                pnx__tell_message(proxy->tell, "cannot accept a client: %s; it waits",
                                  strerror(problem));
            proxy->starved_told = true;
            watch_listener(proxy);
        }
        if (problem != ECONNABORTED && problem != EINTR)
            return;
    }
}

static void try_again(uv_timer_t *timer)
{
    struct pnx__proxy *proxy = timer->data;
    proxy->starved = false;
    watch_listener(proxy);
}

static void watch_listener(struct pnx__proxy *proxy)
{
    if (!proxy->accepting)
        return;
    if (!proxy->starved) {
        (void)uv_poll_start(&proxy->listener, UV_READABLE, accept_some);
        return;
    }
    (void)uv_poll_stop(&proxy->listener);
    /* Where no connection is left to end, nobody else would try again. */
    if (proxy->count == 0)
        (void)uv_timer_start(&proxy->timer, try_again, STARVED_MS, 0);
}

pnx_status pnx__proxy_start(struct pnx__proxy *proxy, pnx_error *err)
{
    int problem = uv_poll_init(proxy->loop, &proxy->listener, proxy->listen_fd);
    if (problem != 0)
        return pnx_fail(err, PNX_EFAILED, "cannot listen on descriptor %d: %s", proxy->listen_fd,
                        uv_strerror(problem));
    (void)uv_timer_init(proxy->loop, &proxy->timer);
    proxy->listener.data = proxy->timer.data = proxy;
    proxy->accepting = true;
    watch_listener(proxy);
    return PNX_OK;
}

static void end_if_over(struct pnx__proxy *proxy)
{
    if (!proxy->stopping || proxy->first || uv_is_closing((uv_handle_t *)&proxy->timer))
        return;
    uv_close((uv_handle_t *)&proxy->timer, NULL);
    proxy->ended(proxy);
}

void pnx__proxy_ended_one(struct pnx__proxy *proxy)
{
    proxy->count--;
    if (proxy->starved) {
        proxy->starved = false;
        watch_listener(proxy);
    }
    end_if_over(proxy);
}

static void give_up(uv_timer_t *timer)
{
    struct pnx__proxy *proxy = timer->data;
    for (struct pnx__connection *at = proxy->first; at; at = at->next)
        pnx__connection_cut(at);
}

void pnx__proxy_stop(struct pnx__proxy *proxy, pnx_duration span)
{
    if (proxy->stopping)
        return;
    proxy->stopping = true;
    proxy->accepting = false;
    uv_close((uv_handle_t *)&proxy->listener, NULL);
    for (struct pnx__connection *at = proxy->first; at; at = at->next)
        (void)pnx__connection_finish(at);
    (void)uv_timer_start(&proxy->timer, give_up, (uint64_t)(span / PNX_MS(1)), 0);
    end_if_over(proxy);
}
