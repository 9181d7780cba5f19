/* SPDX-License-Identifier: MIT */
#include "proxy/serve.h"

#include "proxy/proxy.h"

#include "docker/engine.h"
#include "ledger/ledger.h"

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { CONTROL = 0, TELL = 1, LISTENER = 3 };

/* An engine makes things in tens of milliseconds. */
#define LAST_ANSWERS PNX_S(2)

struct serve {
    uv_loop_t loop;
    uv_poll_t control;
    uv_signal_t terminate;
    struct pnx__proxy proxy;
};

/* ---- the end --------------------------------------------------------------------------------- */

static void ended(struct pnx__proxy *proxy)
{
    struct serve *serve = proxy->loop->data;
    if (!uv_is_closing((uv_handle_t *)&serve->terminate))
        uv_close((uv_handle_t *)&serve->terminate, NULL);
    pnx__tell_close(proxy->tell);
}

static void stop(struct serve *serve)
{
    if (serve->control.loop && !uv_is_closing((uv_handle_t *)&serve->control))
        uv_close((uv_handle_t *)&serve->control, NULL);
    pnx__proxy_stop(&serve->proxy, LAST_ANSWERS);
}

static void on_control(uv_poll_t *poll, int status, int events)
{
    char bytes[64];
    (void)events;
    ssize_t got = status == 0 ? read(CONTROL, bytes, sizeof bytes) : 0;
    if (got == 0)
        stop(poll->data);
}

static void on_terminate(uv_signal_t *handle, int number)
{
    (void)number;
    stop(handle->data);
}

/* ---- the beginning --------------------------------------------------------------------------- */

/* Each connection takes two descriptors; what CMD may have is not what we need. */
static void allow_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* What a terminal sends to all is for CMD, whose clients still need the engine then. */
static void ignore_signals(void)
{
    static const int ignored[] = {SIGPIPE, SIGINT, SIGQUIT, SIGHUP};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        (void)signal(ignored[i], SIG_IGN);
}

static int no_engine(const pnx_error *err)
{
    char text[PNX_ERROR_MESSAGE_MAX + PNX_ERROR_CAUSE_MAX + 4];
    pnx_error_format(err, text, sizeof text);
    pnx__docker_complain("%s", text);
    return PNX__SERVE_NO_ENGINE;
}

static int failed(const pnx_error *err)
{
    (void)no_engine(err);
    return PNX__SERVE_FAILED;
}

/* Looked at before anything else is opened, which might get its number. */
static bool is_listening(int fd)
{
    int listens = 0;
    socklen_t size = sizeof listens;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens)
        return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0 &&
               fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
    pnx__docker_complain("descriptor %d is no socket that listens", fd);
    return false;
}

/* 0, or how to exit. */
static int find_engine(struct pnx__proxy *proxy, const struct pnx__serve_options *options)
{
    const pnx_engine_config config = {.host = options->host, .session = options->session};
    const pnx_call call = pnx_call_within(PNX_S(10));
    pnx_error err = {0};
    if (pnx_engine_open(&config, &call, &proxy->engine, &err) != PNX_OK)
        return no_engine(&err);
    if (proxy->engine->at.tls) {
        pnx__docker_complain("the engine at %s is spoken to over TLS, which the proxy does not do",
                             pnx_engine_host(proxy->engine));
        return PNX__SERVE_NO_ENGINE;
    }
    if (pnx__address_resolve(pnx_engine_host(proxy->engine), &proxy->engine_at, &err) != PNX_OK)
        return no_engine(&err);
    return 0;
}

static int open_all(struct serve *serve, const struct pnx__serve_options *options)
{
    struct pnx__proxy *proxy = &serve->proxy;
    pnx_error err = {0};
    proxy->made = json_object();
    if (!proxy->made)
        return PNX__SERVE_FAILED;
    int status = find_engine(proxy, options);
    if (status != 0)
        return status;
    if (options->ledger &&
        (pnx__ledger_catch_sigbus(&err) != PNX_OK ||
         pnx__record_open(options->ledger, options->session, &proxy->record, &err) != PNX_OK))
        return failed(&err);
    return 0;
}

static int start(struct serve *serve)
{
    struct pnx__proxy *proxy = &serve->proxy;
    pnx_error err = {0};
    serve->loop.data = serve;
    if (pnx__tell_open(&serve->loop, TELL, &proxy->tell, &err) != PNX_OK ||
        pnx__proxy_start(proxy, &err) != PNX_OK)
        return failed(&err);
    (void)uv_signal_init(&serve->loop, &serve->terminate);
    serve->terminate.data = serve;
    (void)uv_signal_start(&serve->terminate, on_terminate, SIGTERM);
    pnx__tell_ready(proxy->tell, pnx_engine_host(proxy->engine),
                    pnx_engine_kind_of(proxy->engine) == PNX_ENGINE_PODMAN ? "podman" : "docker",
                    pnx_engine_api(proxy->engine));
    /* What cannot be waited for, a file, /dev/null, has ended. */
    if (uv_poll_init(&serve->loop, &serve->control, CONTROL) != 0) {
        serve->control.loop = NULL;
        stop(serve);
        return 0;
    }
    serve->control.data = serve;
    (void)uv_poll_start(&serve->control, UV_READABLE, on_control);
    return 0;
}

static void close_all(struct serve *serve)
{
    struct pnx__proxy *proxy = &serve->proxy;
    pnx__tell_done(proxy->tell);
    pnx__record_close(proxy->record);
    pnx_engine_close(proxy->engine);
    json_decref(proxy->made);
}

int pnx__docker_serve_main(int argc, char **argv)
{
    struct pnx__serve_options options;
    struct serve serve = {0};
    int status = pnx__serve_options_read(argc, argv, &options);
    if (status >= 0)
        return status;
    if (!is_listening(LISTENER))
        return PNX__SERVE_USAGE;
    allow_descriptors();
    ignore_signals();
    serve.proxy.session = options.session;
    serve.proxy.keep = options.keep;
    serve.proxy.strict = options.strict;
    serve.proxy.listen_fd = LISTENER;
    serve.proxy.ended = ended;
    serve.proxy.loop = &serve.loop;
    status = open_all(&serve, &options);
    if (status == 0 && uv_loop_init(&serve.loop) != 0)
        status = PNX__SERVE_FAILED;
    else if (status == 0) {
        status = start(&serve);
        if (status == 0) {
            (void)uv_run(&serve.loop, UV_RUN_DEFAULT);
            (void)uv_loop_close(&serve.loop);
        }
    }
    close_all(&serve);
    return status;
}
