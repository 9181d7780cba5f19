/* SPDX-License-Identifier: MIT */
#include "proxy/tell.h"

#include "proxy/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of what is told and not read; hundreds of lines. */
#define KEPT_MAX ((size_t)64 << 10)

struct pnx__tell {
    int fd;
    bool polled; /* a pipe, a socket: who reads may be slow */
    bool broken; /* nobody reads any more */
    uv_poll_t poll;
    struct pnx__bytes kept;
    unsigned left_out;
};

static void send_kept(struct pnx__tell *tell);

static void can_write(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    send_kept(poll->data);
}

pnx_status pnx__tell_open(uv_loop_t *loop, int fd, struct pnx__tell **ret, pnx_error *err)
{
    struct stat about;
    struct pnx__tell *tell = calloc(1, sizeof *tell);
    if (!tell)
        return pnx_fail(err, PNX_ENOMEM, "no memory for what is told");
    tell->fd = fd;
    tell->broken = fstat(fd, &about) != 0;
    if (!tell->broken && (S_ISFIFO(about.st_mode) || S_ISSOCK(about.st_mode))) {
        int flags = fcntl(fd, F_GETFL);
        (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
        tell->polled = uv_poll_init(loop, &tell->poll, fd) == 0;
        tell->poll.data = tell;
    }
    *ret = tell;
    return PNX_OK;
}

void pnx__tell_close(struct pnx__tell *tell)
{
    if (tell && tell->polled)
        uv_close((uv_handle_t *)&tell->poll, NULL);
    if (tell)
        tell->polled = false;
}

void pnx__tell_done(struct pnx__tell *tell)
{
    if (tell)
        pnx__bytes_done(&tell->kept);
    free(tell);
}

/* ---- sending --------------------------------------------------------------------------------- */

static void send_kept(struct pnx__tell *tell)
{
    while (tell->kept.size > 0 && !tell->broken) {
        ssize_t sent = write(tell->fd, tell->kept.data, tell->kept.size);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN)
            break;
        tell->broken = sent < 0;
        if (sent > 0) {
            tell->kept.size -= (size_t)sent;
            memmove(tell->kept.data, tell->kept.data + sent, tell->kept.size);
        }
    }
    if (!tell->polled)
        return;
    if (tell->kept.size > 0 && !tell->broken)
        (void)uv_poll_start(&tell->poll, UV_WRITABLE, can_write);
    else
        (void)uv_poll_stop(&tell->poll);
}

static void send_line(struct pnx__tell *tell, json_t *json)
{
    char *line = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    bool fits = line && tell->kept.size + strlen(line) < KEPT_MAX;
    size_t before = tell->kept.size;
    if (!fits || !pnx__bytes_print(&tell->kept, "%s\n", line)) {
        tell->kept.size = before;
        tell->left_out++;
    }
    free(line);
    send_kept(tell);
}

static void send_message(struct pnx__tell *tell, char *text)
{
    json_t *message = json_string(text);
    for (char *at = text; !message && *at; at++) /* it is no UTF-8 */
        if ((unsigned char)*at >= 0x80)
            *at = '?';
    send_line(tell, json_pack("{s:s, s:o}", "event", "told", "message",
                              message ? message : json_string(text)));
}

/* As soon as there is room again. */
static void tell_of_left_out(struct pnx__tell *tell)
{
    char text[64];
    unsigned count = tell->left_out;
    if (count == 0 || tell->kept.size > KEPT_MAX / 2)
        return;
    tell->left_out = 0;
    snprintf(text, sizeof text, "%u messages were not read and are left out", count);
    send_message(tell, text);
}

void pnx__tell_ready(struct pnx__tell *tell, const char *host, const char *engine, unsigned api)
{
    char version[24];
    if (!tell)
        return;
    snprintf(version, sizeof version, "%u.%u", api / 1000, api % 1000);
    send_line(tell, json_pack("{s:s, s:s, s:s, s:s}", "event", "ready", "host", host, "engine",
                              engine, "api", version));
}

void pnx__tell_message(struct pnx__tell *tell, const char *format, ...)
{
    /* Names come from anybody: an error value makes them readable, and bounds them. */
    pnx_error text = {0};
    va_list args;
    if (!tell)
        return;
    va_start(args, format);
    (void)pnx_fail_va(&text, PNX_EFAILED, format, args);
    va_end(args);
    tell_of_left_out(tell);
    send_message(tell, text.message);
}
