/* SPDX-License-Identifier: MIT */
/* What we answer ourselves, in the form in which the engine says such things. */
#include "proxy/connection.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char *phrase_of(int status)
{
    switch (status) {
#define PHRASE(number, name, text)                                                                 \
    case number:                                                                                   \
        return #text;
        HTTP_STATUS_MAP(PHRASE)
#undef PHRASE
    }
    return "Error";
}

static void answer(struct pnx__connection *connection, int status, const char *json, bool closes)
{
    bool head_only = connection->request.parser.method == HTTP_HEAD &&
                     connection->request.state != PNX__HTTP_FAILED;
    bool good = pnx__bytes_print(
        &connection->down.own,
        "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n%s%s",
        status, phrase_of(status), strlen(json) + 1, closes ? "Connection: close\r\n" : "",
        head_only ? "" : json, head_only ? "" : "\n");
    connection->again = true;
    if (!good)
        pnx__connection_cut(connection);
}

static char *json_of(const struct pnx__connection *connection, int status, const char *message)
{
    bool podman = connection->proxy->engine &&
                  pnx_engine_kind_of(connection->proxy->engine) == PNX_ENGINE_PODMAN;
    json_t *json = podman ? json_pack("{s:s, s:s, s:i}", "cause", message, "message", message,
                                      "response", status)
                          : json_pack("{s:s}", "message", message);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

static void refuse(struct pnx__connection *connection, int status, bool closes, const char *format,
                   va_list args) __attribute__((format(printf, 4, 0)));
static void refuse(struct pnx__connection *connection, int status, bool closes, const char *format,
                   va_list args)
{
    pnx_error message = {0};
    char text[PNX_ERROR_MESSAGE_MAX + 16];
    (void)pnx_fail_va(&message, PNX_EFAILED, format, args);
    snprintf(text, sizeof text, "cleanroom: %s", message.message);
    char *json = json_of(connection, status, text);
    answer(connection, status, json ? json : "{\"message\":\"cleanroom: refused\"}", closes);
    free(json);
}

/* What there is of the request is not needed any more. */
static void drain(struct pnx__connection *connection)
{
    bool complete = connection->request.state == PNX__HTTP_DONE;
    connection->request.on_body = NULL;
    connection->phase = complete ? PNX__PHASE_ANSWER : PNX__PHASE_DRAIN;
    if (complete)
        pnx__request_next(connection);
}

void pnx__refuse(struct pnx__connection *connection, int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    refuse(connection, status, false, format, args);
    va_end(args);
    if (!connection->closed)
        drain(connection);
}

void pnx__refuse_kindly(struct pnx__connection *connection, const char *json)
{
    answer(connection, 200, json, false);
    if (!connection->closed)
        drain(connection);
}

void pnx__refuse_and_close(struct pnx__connection *connection, int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    refuse(connection, status, true, format, args);
    va_end(args);
    if (connection->closed)
        return;
    pnx__side_close(connection->engine);
    connection->engine = NULL;
    connection->answering = false;
    struct pnx__flow *up = &connection->up, *down = &connection->down;
    pnx__bytes_clear(&up->own);
    up->own_sent = up->pass = up->start = up->end = 0;
    down->start = down->end = down->pass = 0;
    connection->phase = PNX__PHASE_CLOSING;
}
