/* SPDX-License-Identifier: MIT */
/*
 * HTTP by libcurl. A *line* is an easy handle in a multi handle of its own, so that its connection
 * outlives a transfer, and so that poll(2) is what waits: for the socket, the deadline, and whoever
 * cancels. Idle lines are kept in the engine, taken and given back under its mutex; while it is
 * used a line belongs to one thread.
 */
#include "docker/engine.h"
#include "docker/receive.h"

#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* As many as threads that use one engine at a time without connecting anew each time. */
#define IDLE_MAX 8

struct pnx__line {
    CURLM *multi;
    CURL *easy;
    struct pnx__line *next;
    int fd; /* of a raw connection */
    char curl_error[CURL_ERROR_SIZE];
};

/* ---- lines ----------------------------------------------------------------------------------- */

void pnx__docker_line_free(struct pnx__line *line)
{
    if (!line)
        return;
    if (line->easy && line->multi)
        curl_multi_remove_handle(line->multi, line->easy);
    curl_easy_cleanup(line->easy);
    curl_multi_cleanup(line->multi);
    free(line);
}

static struct pnx__line *line_make(void)
{
    struct pnx__line *line = calloc(1, sizeof *line);
    if (!line)
        return NULL;
    line->fd = -1;
    line->multi = curl_multi_init();
    line->easy = curl_easy_init();
    if (!line->multi || !line->easy) {
        pnx__docker_line_free(line);
        return NULL;
    }
    return line;
}

static struct pnx__line *line_take(pnx_engine *engine)
{
    pthread_mutex_lock(&engine->mutex);
    struct pnx__line *line = engine->idle;
    if (line) {
        engine->idle = line->next;
        engine->idle_count--;
    }
    pthread_mutex_unlock(&engine->mutex);
    return line ? line : line_make();
}

static void line_give(pnx_engine *engine, struct pnx__line *line)
{
    curl_easy_reset(line->easy);
    pthread_mutex_lock(&engine->mutex);
    bool keep = engine->idle_count < IDLE_MAX;
    if (keep) {
        line->next = engine->idle;
        engine->idle = line;
        engine->idle_count++;
    }
    pthread_mutex_unlock(&engine->mutex);
    if (!keep)
        pnx__docker_line_free(line);
}

void pnx__docker_lines_close(pnx_engine *engine)
{
    while (engine->idle) {
        struct pnx__line *line = engine->idle;
        engine->idle = line->next;
        pnx__docker_line_free(line);
    }
    engine->idle_count = 0;
}

/* ---- options --------------------------------------------------------------------------------- */

/* All options are of types that cannot fail but for memory; the first failure is kept. */
#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (code == CURLE_OK)                                                                      \
            code = curl_easy_setopt(line->easy, option, value);                                    \
    } while (0)

static CURLcode set_common(struct pnx__line *line, const pnx_engine *engine, const char *url)
{
    CURLcode code = CURLE_OK;
    line->curl_error[0] = '\0';
    SET(CURLOPT_ERRORBUFFER, line->curl_error);
    SET(CURLOPT_URL, url);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_NOPROXY, "*");
    /* Time is ours to keep: curl's own limit on connecting is put out of reach. */
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)INT_MAX);
    if (engine->at.socket[0])
        SET(CURLOPT_UNIX_SOCKET_PATH, engine->at.socket);
    else
        SET(CURLOPT_TCP_KEEPALIVE, 1L);
    if (!engine->at.tls)
        return code;
    SET(CURLOPT_SSL_VERIFYPEER, (long)engine->at.verify);
    SET(CURLOPT_SSL_VERIFYHOST, engine->at.verify ? 2L : 0L);
    if (engine->at.ca[0])
        SET(CURLOPT_CAINFO, engine->at.ca);
    if (engine->at.certificate[0])
        SET(CURLOPT_SSLCERT, engine->at.certificate);
    if (engine->at.key[0])
        SET(CURLOPT_SSLKEY, engine->at.key);
    return code;
}

struct sending {
    int fd;
    off_t at;
};

static size_t send_from_fd(char *buffer, size_t size, size_t count, void *context)
{
    struct sending *sending = context;
    ssize_t got;
    do
        got = pread(sending->fd, buffer, size * count, sending->at);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return CURL_READFUNC_ABORT;
    sending->at += got;
    return (size_t)got;
}

static CURLcode set_request(struct pnx__line *line, const struct pnx__docker_exchange *exchange,
                            struct sending *sending, struct curl_slist **headers)
{
    CURLcode code = CURLE_OK;
    const char *method = exchange->method ? exchange->method : "GET";
    bool plain = strcmp(method, "GET") == 0;
    if (!plain) {
        /* On a used connection that was closed meanwhile curl sends the request again. That is
         * right for what only asks; what makes something is sent once, on a new connection. */
        SET(CURLOPT_FRESH_CONNECT, 1L);
        SET(CURLOPT_CUSTOMREQUEST, method);
    }
    if (exchange->has_body_fd) {
        sending->fd = exchange->body_fd;
        SET(CURLOPT_UPLOAD, 1L);
        SET(CURLOPT_READFUNCTION, send_from_fd);
        SET(CURLOPT_READDATA, sending);
        SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)lseek(exchange->body_fd, 0, SEEK_END));
    } else if (!plain) {
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)exchange->body_size);
        SET(CURLOPT_POSTFIELDS, exchange->body ? exchange->body : "");
    }
    char type[96];
    snprintf(type, sizeof type, "Content-Type: %s",
             exchange->content_type ? exchange->content_type : "application/json");
    const char *lines[] = {"Expect:", plain ? NULL : type, exchange->header};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct curl_slist *longer = lines[i] ? curl_slist_append(*headers, lines[i]) : *headers;
        if (!longer)
            return CURLE_OUT_OF_MEMORY;
        *headers = longer;
    }
    SET(CURLOPT_HTTPHEADER, *headers);
    return code;
}

/* ---- failures -------------------------------------------------------------------------------- */

static pnx_status explain(const struct pnx__line *line, const pnx_engine *engine,
                          const struct pnx__receiving *receiving, CURLcode code, pnx_error *err)
{
    const char *host = engine->at.host;
    if (receiving && receiving->no_memory)
        return pnx__docker_no_memory(err);
    if (receiving && receiving->too_large)
        return pnx_fail(err, PNX_ELIMIT, "%s answers more than %zu bytes", host,
                        receiving->answer_max);
    long number = 0;
    curl_easy_getinfo(line->easy, CURLINFO_OS_ERRNO, &number);
    switch (code) {
    case CURLE_OUT_OF_MEMORY: /* which is what curl also says of a header that is too long for it */
        curl_easy_getinfo(line->easy, CURLINFO_REQUEST_SIZE, &number);
        return number
                   ? pnx_fail(err, PNX_ELIMIT,
                              "%s answers with a header without end, or there is no memory", host)
                   : pnx__docker_no_memory(err);
    case CURLE_COULDNT_CONNECT:
        errno = (int)number;
        return number ? pnx_fail(err, PNX_EFAILED, "cannot connect to %s: %m", host)
                      : pnx_fail(err, PNX_EFAILED, "cannot connect to %s", host);
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        errno = ECONNRESET;
        return pnx_fail(err, PNX_EFAILED, "%s closed the connection before it had answered", host);
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
        errno = EPROTO;
        return pnx_fail(err, PNX_EFAILED, "what answers at %s does not speak HTTP", host);
    default:
        errno = (int)number;
        return pnx_fail(err, PNX_EFAILED, "%s: %s", host,
                        line->curl_error[0] ? line->curl_error : curl_easy_strerror(code));
    }
}

/* ---- waiting --------------------------------------------------------------------------------- */

static pnx_status time_is_over(const pnx_engine *engine, pnx_error *err)
{
    return pnx_fail(err, PNX_ETIMEOUT, "%s did not answer in time", engine->at.host);
}

static pnx_status was_canceled(const pnx_engine *engine, pnx_error *err)
{
    return pnx_fail(err, PNX_ECANCELED, "the call to %s was canceled", engine->at.host);
}

/* Milliseconds until then, rounded up, so that it is never woken before. */
static int left_ms(pnx_time deadline)
{
    if (deadline == PNX_FOREVER)
        return INT_MAX;
    pnx_duration left = deadline - pnx_monotonic_now();
    if (left <= 0)
        return 0;
    return left > PNX_MS(INT_MAX - 1) ? INT_MAX : (int)((left + PNX_MS(1) - 1) / PNX_MS(1));
}

static bool is_canceled(const struct pnx__limit *limit)
{
    struct pollfd alarm = {.fd = limit->cancel_fd, .events = POLLIN};
    return limit->cancel_fd >= 0 && poll(&alarm, 1, 0) > 0;
}

/* Until curl is done. `*ret_code` is what it says. */
static pnx_status run(struct pnx__line *line, const pnx_engine *engine,
                      const struct pnx__limit *limit, CURLcode *ret_code, pnx_error *err)
{
    /* Before the first byte: an engine may be so fast that nothing is ever waited for. */
    if (is_canceled(limit))
        return was_canceled(engine, err);
    for (;;) {
        int running = 0, queued = 0;
        struct curl_waitfd alarm = {.fd = limit->cancel_fd, .events = CURL_WAIT_POLLIN};
        unsigned alarms = limit->cancel_fd >= 0;
        int left = left_ms(limit->deadline);
        if (left == 0)
            return time_is_over(engine, err);
        if (curl_multi_perform(line->multi, &running) != CURLM_OK)
            return pnx__docker_no_memory(err);
        if (!running) {
            const CURLMsg *message = curl_multi_info_read(line->multi, &queued);
            *ret_code = message ? message->data.result : CURLE_FAILED_INIT;
            return PNX_OK;
        }
        if (curl_multi_poll(line->multi, &alarm, alarms, left, NULL) != CURLM_OK)
            return pnx__docker_no_memory(err);
        if (alarms && alarm.revents)
            return was_canceled(engine, err);
    }
}

/* TLS libraries write(2): what they raise on a closed connection is ours to swallow. */
static bool hold_sigpipe(const pnx_engine *engine, sigset_t *ret_before)
{
    sigset_t pipe, pending;
    if (!engine->at.tls)
        return false;
    sigpending(&pending);
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    return !sigismember(&pending, SIGPIPE) && pthread_sigmask(SIG_BLOCK, &pipe, ret_before) == 0;
}

static void let_sigpipe_go(const sigset_t *before)
{
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    while (sigtimedwait(&pipe, NULL, &(struct timespec){0}) < 0 && errno == EINTR)
        continue;
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

static pnx_status run_in_multi(struct pnx__line *line, const pnx_engine *engine,
                               const struct pnx__limit *limit, CURLcode *ret_code, pnx_error *err)
{
    sigset_t before;
    bool held = hold_sigpipe(engine, &before);
    pnx_status status = curl_multi_add_handle(line->multi, line->easy) == CURLM_OK
                            ? run(line, engine, limit, ret_code, err)
                            : pnx__docker_no_memory(err);
    if (held)
        let_sigpipe_go(&before);
    return status;
}

pnx_status pnx__docker_transfer(pnx_engine *engine, struct pnx__docker_exchange *exchange,
                                const char *url, const struct pnx__limit *limit, pnx_error *err)
{
    struct pnx__line *line = line_take(engine);
    if (!line)
        return pnx__docker_no_memory(err);
    struct pnx__receiving receiving = {
        .exchange = exchange, .easy = line->easy, .answer_max = engine->answer_max};
    struct sending sending = {0};
    struct curl_slist *headers = NULL;
    CURLcode code = set_common(line, engine, url);
    if (code == CURLE_OK)
        code = set_request(line, exchange, &sending, &headers);
    SET(CURLOPT_HEADERFUNCTION, pnx__docker_take_header);
    SET(CURLOPT_HEADERDATA, &receiving);
    SET(CURLOPT_WRITEFUNCTION, pnx__docker_take_body);
    SET(CURLOPT_WRITEDATA, &receiving);
    bool ready = code == CURLE_OK && pnx__docker_receive_begin(&receiving);
    pnx_status status =
        ready ? run_in_multi(line, engine, limit, &code, err) : pnx__docker_no_memory(err);
    if (status == PNX_OK && code != CURLE_OK && !exchange->stopped)
        status = explain(line, engine, &receiving, code, err);
    curl_easy_getinfo(line->easy, CURLINFO_RESPONSE_CODE, &exchange->status);
    curl_multi_remove_handle(line->multi, line->easy);
    line_give(engine, line);
    curl_slist_free_all(headers);
    if (status != PNX_OK) {
        free(exchange->answer);
        exchange->answer = NULL;
        return status;
    }
    exchange->answer[exchange->answer_size] = '\0';
    return PNX_OK;
}

/* ---- raw connections ------------------------------------------------------------------------- */

pnx_status pnx__docker_line_connect(pnx_engine *engine, const struct pnx__limit *limit,
                                    struct pnx__line **ret, pnx_error *err)
{
    struct pnx__line *line = line_make();
    if (!line)
        return pnx__docker_no_memory(err);
    CURLcode code = set_common(line, engine, engine->at.base);
    SET(CURLOPT_CONNECT_ONLY, 1L);
    pnx_status status = code == CURLE_OK ? run_in_multi(line, engine, limit, &code, err)
                                         : pnx__docker_no_memory(err);
    if (status == PNX_OK && code != CURLE_OK)
        status = explain(line, engine, NULL, code, err);
    curl_socket_t fd = CURL_SOCKET_BAD;
    if (status == PNX_OK &&
        (curl_easy_getinfo(line->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
         fd == CURL_SOCKET_BAD))
        status = explain(line, engine, NULL, CURLE_GOT_NOTHING, err);
    if (status != PNX_OK) {
        pnx__docker_line_free(line);
        return status;
    }
    line->fd = fd;
    *ret = line;
    return PNX_OK;
}

void pnx__docker_line_end_sending(struct pnx__line *line)
{
    shutdown(line->fd, SHUT_WR);
}

pnx_status pnx__docker_line_send(struct pnx__line *line, const void *data, size_t size, size_t *ret)
{
    CURLcode code = curl_easy_send(line->easy, data, size, ret);
    return code == CURLE_OK ? PNX_OK : code == CURLE_AGAIN ? PNX_EBUSY : PNX_EFAILED;
}

pnx_status pnx__docker_line_receive(struct pnx__line *line, void *data, size_t size, size_t *ret)
{
    CURLcode code = curl_easy_recv(line->easy, data, size, ret);
    return code == CURLE_OK ? PNX_OK : code == CURLE_AGAIN ? PNX_EBUSY : PNX_EFAILED;
}

pnx_status pnx__docker_line_wait(pnx_engine *engine, struct pnx__line *line, bool to_send,
                                 const struct pnx__limit *limit, pnx_error *err)
{
    struct pollfd fds[] = {
        {.fd = line->fd, .events = (short)(POLLIN | (to_send ? POLLOUT : 0))},
        {.fd = limit->cancel_fd, .events = POLLIN},
    };
    for (;;) {
        int left = left_ms(limit->deadline);
        if (left == 0)
            return time_is_over(engine, err);
        int ready = poll(fds, 2, left == INT_MAX ? -1 : left);
        if (ready < 0 && errno != EINTR)
            return pnx_fail(err, PNX_EFAILED, "cannot wait for %s: %m", engine->at.host);
        if (ready > 0)
            return fds[1].revents ? was_canceled(engine, err) : PNX_OK;
    }
}
