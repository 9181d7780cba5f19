/* SPDX-License-Identifier: MIT */
/*
 * What clients and engines may send through the proxy: messages of HTTP, what is asked for, and
 * what labels are put into. The first byte of an input chooses which of these the rest is, the
 * second one how it is cut.
 */
#include "fuzz.h"

#include "docker/calls.h"
#include "proxy/http.h"
#include "proxy/label.h"
#include "proxy/query.h"

#include <jansson.h>
#include <string.h>
#include <strings.h>

#define SESSION "01234567-89ab-4def-8123-456789abcdef"
#define MARK "89abcdef-0123-4567-8901-23456789abcd"

/* ---- messages -------------------------------------------------------------------------------- */

/* One message, with its body. */
struct message {
    struct pnx__http http;
    struct pnx__bytes body;
    size_t taken;
};

static bool collect(const char *data, size_t size, void *context)
{
    struct message *message = context;
    return pnx__bytes_add(&message->body, data, size);
}

static void take(struct message *message, const char *data, size_t size)
{
    struct pnx__http *http = &message->http;
    while (size > 0 && (http->state == PNX__HTTP_HEAD || http->state == PNX__HTTP_BODY)) {
        size_t taken;
        if (http->state == PNX__HTTP_HEAD) {
            taken = pnx__http_take_head(http, data, size);
            http->on_body = collect;
            http->context = message;
        } else {
            taken = pnx__http_take_body(http, data, size);
        }
        promise(taken <= size);
        promise(taken > 0 || http->state == PNX__HTTP_DONE || http->state == PNX__HTTP_FAILED);
        message->taken += taken;
        data += taken;
        size -= taken;
    }
}

static void take_cut(struct message *message, enum http_parser_type type, const char *data,
                     size_t size, size_t cut)
{
    pnx__http_begin(&message->http, type);
    for (size_t at = 0; at < size; at += cut)
        take(message, data + at, size - at < cut ? size - at : cut);
}

static void is_same(const struct pnx__bytes *one, const struct pnx__bytes *other)
{
    promise(one->size == other->size);
    promise(one->size == 0 || memcmp(one->data, other->data, one->size) == 0);
}

/* Whoever reads what we send instead sees the same message. */
static void try_edit(const struct message *message)
{
    static const char *const without[] = {"Expect", NULL};
    struct pnx__bytes edited = {0};
    struct message again = {0};
    if (message->http.parser.method == HTTP_CONNECT)
        return;
    promise(pnx__http_head_edit(&message->http, NULL, without, "X-More: 1\r\n", &edited));
    pnx__http_begin(&again.http, HTTP_REQUEST);
    promise(pnx__http_take_head(&again.http, edited.data, edited.size) == edited.size);
    promise(again.http.state == PNX__HTTP_BODY || again.http.state == PNX__HTTP_DONE);
    promise(again.http.parser.method == message->http.parser.method);
    is_same(&again.http.target, &message->http.target);
    char value[8];
    promise(!pnx__http_header(&again.http, "Expect", value, sizeof value));
    promise(pnx__http_header(&again.http, "x-more", value, sizeof value));
    pnx__bytes_done(&edited);
    pnx__http_done(&again.http);
}

/* There is no second reading of where it ends. */
static void try_one_reading(const struct pnx__http *http)
{
    unsigned ends = 0;
    for (const char *at = http->head.data; (at = strchr(at, '\n')); at++)
        ends += strncasecmp(at + 1, "content-length:", 15) == 0 ||
                strncasecmp(at + 1, "transfer-encoding:", 18) == 0;
    promise(memchr(http->head.data, '\0', http->head.size) || ends <= 1);
}

static void try_message(enum http_parser_type type, const char *data, size_t size, size_t cut)
{
    struct message whole = {0}, parts = {0};
    take_cut(&whole, type, data, size, size ? size : 1);
    take_cut(&parts, type, data, size, cut);
    promise((whole.http.state == PNX__HTTP_FAILED) == (parts.http.state == PNX__HTTP_FAILED));
    if (whole.http.state == PNX__HTTP_FAILED) {
        promise(whole.http.problem != NULL && whole.http.problem_status >= 400);
    } else {
        promise(whole.http.state == parts.http.state && whole.taken == parts.taken);
        is_same(&whole.http.head, &parts.http.head);
        is_same(&whole.body, &parts.body);
        if (whole.http.state != PNX__HTTP_HEAD)
            try_one_reading(&whole.http);
        if (whole.http.state != PNX__HTTP_HEAD && type == HTTP_REQUEST)
            try_edit(&whole);
        pnx__http_end(&whole.http);
        promise(whole.http.state == PNX__HTTP_DONE || whole.http.state == PNX__HTTP_FAILED);
    }
    pnx__http_done(&whole.http);
    pnx__http_done(&parts.http);
    pnx__bytes_done(&whole.body);
    pnx__bytes_done(&parts.body);
}

/* ---- what is asked for ----------------------------------------------------------------------- */

static void try_route(const char *target, unsigned method)
{
    struct pnx__route route;
    if (pnx__route_find((enum http_method)(method % 34), target, &route)) {
        promise((route.what == PNX__ROUTE_CREATE) == (route.field != NULL));
        promise((route.what == PNX__ROUTE_PURGE) == (route.answer != NULL));
        promise((unsigned)route.type < PNX_OBJECT_TYPE_COUNT);
        if (route.what == PNX__ROUTE_HARM && route.subject.size > 0)
            promise(strlen(route.subject.data) == route.subject.size);
    }
    pnx__route_done(&route);
}

static json_t *labels(void)
{
    return json_pack("{s:s, s:s, s:s}", PNX_LABEL_SESSION, SESSION, PNX_LABEL_ID, MARK,
                     PNX_LABEL_MACHINE, "");
}

/* Labelled as ours, or left as of the session that is within. */
static void is_labelled(const json_t *put, const char *mark)
{
    pnx_id id;
    const char *session = pnx__docker_json_text(put, PNX_LABEL_SESSION);
    promise(pnx_id_parse(session, &id, NULL) == PNX_OK);
    promise(pnx_id_parse(mark, &id, NULL) == PNX_OK);
    promise(strcmp(pnx__docker_json_text(put, PNX_LABEL_ID), mark) == 0);
    promise((strcmp(session, SESSION) == 0) == (strcmp(mark, MARK) == 0) ||
            strcmp(session, SESSION) != 0);
}

static void try_body(const char *text, size_t size)
{
    struct pnx__bytes body = {0}, name = {0};
    char mark[PNX_ID_TEXT_SIZE];
    pnx_error err = {0};
    json_t *ours = labels();
    if (pnx__label_body(text, size, "Labels", ours, &body, mark, &name, &err) == PNX_OK) {
        json_t *json = json_loadb(body.data, body.size, JSON_ALLOW_NUL, NULL), *value;
        unsigned fields = 0;
        const char *key;
        promise(json_is_object(json));
        json_object_foreach(json, key, value) fields += strcasecmp(key, "labels") == 0;
        promise(fields == 1);
        is_labelled(json_object_get(json, "Labels"), mark);
        json_decref(json);
    } else {
        promise(err.code == PNX_EINVAL && err.message[0]);
    }
    pnx__bytes_done(&body);
    pnx__bytes_done(&name);
    json_decref(ours);
}

/* No byte that was not there before could end the line, or the target. */
static void is_target(const struct pnx__bytes *now, const char *before)
{
    size_t path = strcspn(before, "?");
    promise(strncmp(now->data, before, path) == 0 && now->data[path] == '?');
    for (size_t i = path; i < now->size; i++)
        promise(((unsigned char)now->data[i] > ' ' && now->data[i] != 0x7f) ||
                strchr(before, now->data[i]));
}

static void try_target(const char *target)
{
    struct pnx__bytes now = {0}, text = {0};
    char mark[PNX_ID_TEXT_SIZE];
    json_t *ours = labels(), *json;
    if (pnx__label_build(target, ours, &now, mark, NULL) == PNX_OK) {
        is_target(&now, target);
        promise(pnx__query_get(now.data, "labels", &text));
        json = json_loadb(text.data, text.size, 0, NULL);
        is_labelled(json, mark);
        json_decref(json);
    }
    pnx__bytes_done(&now);
    pnx__bytes_done(&text);
    promise(pnx__label_changes(target, ours, &now, NULL) == PNX_OK);
    promise(strstr(now.data, "changes=LABEL%20dev.cleanroom.session%3D" SESSION) != NULL);
    pnx__bytes_done(&now);
    if (pnx__label_filter(target, SESSION, &now, NULL) == PNX_OK) {
        is_target(&now, target);
        promise(pnx__query_get(now.data, "filters", &text));
        promise(strstr(text.data, PNX_LABEL_SESSION "=" SESSION) != NULL);
    }
    pnx__bytes_done(&now);
    pnx__bytes_done(&text);
    json_decref(ours);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const unsigned what = data[0], cut = data[1] ? data[1] : 256;
    data += 2;
    size -= 2;
    char *text = malloc(size + 1);
    promise(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    switch (what % 5) {
    case 0:
        try_message(HTTP_REQUEST, text, size, cut);
        break;
    case 1:
        try_message(HTTP_RESPONSE, text, size, cut);
        break;
    case 2:
        try_route(text, cut);
        break;
    case 3:
        try_body(text, size);
        break;
    default:
        try_target(text);
        break;
    }
    free(text);
    return 0;
}
