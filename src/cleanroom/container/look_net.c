/* SPDX-License-Identifier: MIT */
/* Checks of what answers at a port. They ask no engine, so time that runs out is their verdict. */
#include "container/check.h"

#include "docker/calls.h"

#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Who forwards a published port accepts first, and closes when nobody listens in the container:
 * on loopback that takes less than a millisecond. */
#define FORWARDER_CLOSES PNX_MS(100)
/* Of an answer no more is looked through. */
#define ANSWER_MAX ((size_t)1 << 20)

static pnx_status was_canceled(const struct pnx__look *look, pnx_error *err)
{
    return pnx_fail(err, PNX_ECANCELED, "the look at %s was canceled", look->container);
}

/* ---- TCP ------------------------------------------------------------------------------------- */

/* Waits for the socket. PNX_ETIMEOUT by `until`; PNX_ECANCELED. */
static pnx_status wait_for(const struct pnx__look *look, int fd, short events, pnx_time until)
{
    struct pollfd fds[] = {
        {.fd = fd, .events = events},
        {.fd = look->limit->cancel_fd, .events = POLLIN},
    };
    for (;;) {
        pnx_duration left = until == PNX_FOREVER ? PNX_FOREVER : until - pnx_monotonic_now();
        struct timespec timeout = {left / PNX_S(1), left % PNX_S(1)};
        if (left <= 0)
            return PNX_ETIMEOUT;
        int ready = ppoll(fds, 2, until == PNX_FOREVER ? NULL : &timeout, NULL);
        if (ready > 0)
            return fds[1].revents ? PNX_ECANCELED : PNX_OK;
    }
}

/* Did it stay open, as what is listened at does? */
static pnx_status see_open(const struct pnx__look *look, int fd, const struct pnx__place *place,
                           pnx_error *err)
{
    char byte;
    pnx_time until = pnx_time_after(pnx_monotonic_now(), FORWARDER_CLOSES);
    if (until > look->limit->deadline)
        until = look->limit->deadline;
    pnx_status status = wait_for(look, fd, POLLIN, until);
    if (status == PNX_ECANCELED)
        return was_canceled(look, err);
    if (status == PNX_OK && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0)
        return pnx__look_fails(look, "%s: what the engine accepts is closed at once", place->text);
    return pnx__look_passes(look, "%s: connected", place->text);
}

static pnx_status connected(const struct pnx__look *look, int fd, const struct pnx__place *place,
                            pnx_error *err)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        error = errno;
    if (error) {
        errno = error;
        return pnx__look_fails(look, "%s: %m", place->text);
    }
    return place->published ? see_open(look, fd, place, err)
                            : pnx__look_passes(look, "%s: connected", place->text);
}

static pnx_status look_by(const struct pnx__look *look, int fd, const struct pnx__place *place,
                          pnx_error *err)
{
    if (connect(fd, (const struct sockaddr *)&place->address, place->size) == 0)
        return connected(look, fd, place, err);
    if (errno != EINPROGRESS)
        return pnx__look_fails(look, "%s: %m", place->text);
    pnx_status status = wait_for(look, fd, POLLOUT, look->limit->deadline);
    if (status == PNX_ECANCELED)
        return was_canceled(look, err);
    return status == PNX_OK ? connected(look, fd, place, err)
                            : pnx__look_fails(look, "%s: no answer in time", place->text);
}

pnx_status pnx__look_tcp(const struct pnx__look *look, pnx_error *err)
{
    struct pnx__place place;
    pnx_status status = pnx__look_place(look, &place, err);
    if (status != PNX_OK)
        return status;
    int fd = socket(place.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return pnx_fail(err, PNX_EFAILED, "cannot look at port %u of %s: %m", look->check->port,
                        look->container);
    status = look_by(look, fd, &place, err);
    close(fd);
    return status;
}

/* ---- HTTP ------------------------------------------------------------------------------------ */

/* The body, as far as it is needed: the end of what came stays, for a text that is cut in two. */
struct body {
    const char *text;
    size_t length; /* of the text */
    size_t seen;
    bool found, stopped;
    char *kept; /* one byte short of the text */
    size_t kept_size;
};

static bool find_across(struct body *body, const char *data, size_t size)
{
    char *both = body->kept;
    size_t head = size < body->length - 1 ? size : body->length - 1;
    memcpy(both + body->kept_size, data, head);
    size_t all = body->kept_size + head;
    if (memmem(both, all, body->text, body->length) || memmem(data, size, body->text, body->length))
        return true;
    size_t keep = body->length - 1;
    if (size >= keep) {
        memcpy(both, data + size - keep, keep);
        body->kept_size = keep;
    } else {
        size_t from = all > keep ? all - keep : 0;
        memmove(both, both + from, all - from);
        body->kept_size = all - from;
    }
    return false;
}

static size_t take_body(char *data, size_t one, size_t size, void *context)
{
    struct body *body = context;
    size *= one;
    body->seen += size;
    if (body->text)
        body->found = body->found || find_across(body, data, size);
    body->stopped = !body->text || body->found || body->seen >= ANSWER_MAX;
    return body->stopped ? 0 : size;
}

/* Until curl is done. PNX_ETIMEOUT, PNX_ECANCELED, PNX_ENOMEM. */
static pnx_status run(const struct pnx__look *look, CURLM *multi, CURLcode *ret_code)
{
    for (;;) {
        int running = 0, queued = 0;
        struct curl_waitfd alarm = {.fd = look->limit->cancel_fd, .events = CURL_WAIT_POLLIN};
        unsigned alarms = look->limit->cancel_fd >= 0;
        pnx_duration left = look->limit->deadline - pnx_monotonic_now();
        if (left <= 0)
            return PNX_ETIMEOUT;
        int wait = left / PNX_MS(1) < INT_MAX - 1 ? (int)(left / PNX_MS(1)) + 1 : INT_MAX;
        if (curl_multi_perform(multi, &running) != CURLM_OK)
            return PNX_ENOMEM;
        if (!running) {
            const CURLMsg *message = curl_multi_info_read(multi, &queued);
            *ret_code = message ? message->data.result : CURLE_FAILED_INIT;
            return PNX_OK;
        }
        if (curl_multi_poll(multi, &alarm, alarms, wait, NULL) != CURLM_OK)
            return PNX_ENOMEM;
        if (alarms && alarm.revents)
            return PNX_ECANCELED;
    }
}

static bool set_up(CURL *easy, const char *url, struct body *body, char *error)
{
    struct {
        CURLoption option;
        long value;
    } const numbers[] = {
        {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
        {CURLOPT_PATH_AS_IS, 1},
        {CURLOPT_NOSIGNAL, 1},
        {CURLOPT_CONNECTTIMEOUT_MS, INT_MAX}, /* time is kept by us */
        {CURLOPT_FRESH_CONNECT, 1},
    };
    bool good = curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
                curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http") == CURLE_OK &&
                curl_easy_setopt(easy, CURLOPT_NOPROXY, "*") == CURLE_OK &&
                curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error) == CURLE_OK &&
                curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
                curl_easy_setopt(easy, CURLOPT_WRITEDATA, body) == CURLE_OK;
    for (size_t i = 0; good && i < sizeof numbers / sizeof *numbers; i++)
        good = curl_easy_setopt(easy, numbers[i].option, numbers[i].value) == CURLE_OK;
    return good;
}

static pnx_status judge_answer(const struct pnx__look *look, const struct pnx__place *place,
                               const struct body *body, long status)
{
    const pnx_check *check = look->check;
    int least = check->status_min ? check->status_min : 200;
    int most = check->status_max ? check->status_max : check->status_min ? least : 399;
    look->result->number = (int)status;
    if (status < least || status > most)
        return pnx__look_fails(look, "%s: HTTP %ld", place->text, status);
    if (body->text && !body->found)
        return pnx__look_fails(look, "%s: HTTP %ld, without '%.100s'", place->text, status,
                               body->text);
    return pnx__look_passes(look, "%s: HTTP %ld", place->text, status);
}

static pnx_status ask(const struct pnx__look *look, const struct pnx__place *place, CURLM *multi,
                      CURL *easy, struct body *body, pnx_error *err)
{
    char error[CURL_ERROR_SIZE] = "", *url;
    CURLcode code = CURLE_OK;
    if (asprintf(&url, "http://%s%s", place->text, look->check->path ? look->check->path : "/") < 0)
        return pnx__docker_no_memory(err);
    pnx_status status = PNX_ENOMEM;
    if (set_up(easy, url, body, error) && curl_multi_add_handle(multi, easy) == CURLM_OK) {
        status = run(look, multi, &code);
        curl_multi_remove_handle(multi, easy);
    }
    free(url);
    if (status == PNX_ECANCELED)
        return was_canceled(look, err);
    if (status == PNX_ETIMEOUT)
        return pnx__look_fails(look, "%s: no answer in time", place->text);
    if (status != PNX_OK || code == CURLE_OUT_OF_MEMORY)
        return pnx__docker_no_memory(err);
    if (code != CURLE_OK && !body->stopped)
        return pnx__look_fails(look, "%s: %s", place->text,
                               *error ? error : curl_easy_strerror(code));
    long number = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &number);
    return judge_answer(look, place, body, number);
}

pnx_status pnx__look_http(const struct pnx__look *look, pnx_error *err)
{
    struct pnx__place place;
    struct body body = {.text = look->check->text};
    pnx_status status = pnx__look_place(look, &place, err);
    if (status != PNX_OK)
        return status;
    body.length = body.text ? strlen(body.text) : 0;
    if (body.length == 0)
        body.text = NULL;
    body.kept = malloc(2 * body.length + 1);
    CURLM *multi = curl_multi_init();
    CURL *easy = curl_easy_init();
    status = body.kept && multi && easy ? ask(look, &place, multi, easy, &body, err)
                                        : pnx__docker_no_memory(err);
    curl_easy_cleanup(easy);
    curl_multi_cleanup(multi);
    free(body.kept);
    return status;
}
