/* SPDX-License-Identifier: MIT */
/*
 * By http_parser, which Debian builds to be lenient. What it lets through that servers read
 * differently, and by which one request can be hidden in another, is refused in check_head.
 */
#include "proxy/http.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- callbacks ------------------------------------------------------------------------------- */

static int on_url(http_parser *parser, const char *at, size_t size)
{
    struct pnx__http *http = parser->data;
    return !pnx__bytes_add(&http->target, at, size);
}

static int on_headers(http_parser *parser)
{
    const struct pnx__http *http = parser->data;
    http_parser_pause(parser, 1);
    return http->no_body ? 1 : 0;
}

static int on_body(http_parser *parser, const char *at, size_t size)
{
    const struct pnx__http *http = parser->data;
    return http->on_body && !http->on_body(at, size, http->context);
}

static int on_complete(http_parser *parser)
{
    struct pnx__http *http = parser->data;
    http->state = PNX__HTTP_DONE;
    http_parser_pause(parser, 1);
    return 0;
}

static const http_parser_settings settings = {
    .on_url = on_url,
    .on_headers_complete = on_headers,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

/* ---- what is refused ------------------------------------------------------------------------- */

static void fail(struct pnx__http *http, int status, const char *problem)
{
    http->state = PNX__HTTP_FAILED;
    http->problem = problem;
    http->problem_status = status;
}

static bool is_token(const char *at, size_t size)
{
    static const char plain[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (size_t i = 0; i < size; i++)
        if (!at[i] || !strchr(plain, at[i]))
            return false;
    return size > 0;
}

struct line {
    const char *at;    /* its first byte */
    size_t size;       /* without its end */
    size_t name;       /* of a header: bytes before the colon */
    const char *value; /* after the colon and blanks */
    size_t value_size;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The next line from `*at` on; false: the empty one, or the end. */
static bool next_line(const char **at, const char *end, struct line *ret)
{
    const char *feed = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;
    if (!feed)
        return false;
    *ret = (struct line){.at = *at, .size = (size_t)(feed - *at)};
    if (ret->size > 0 && ret->at[ret->size - 1] == '\r')
        ret->size--;
    const char *colon = memchr(ret->at, ':', ret->size);
    ret->name = colon ? (size_t)(colon - ret->at) : 0;
    ret->value = colon ? colon + 1 : ret->at;
    const char *stop = ret->at + ret->size;
    while (ret->value < stop && is_blank(*ret->value))
        ret->value++;
    while (stop > ret->value && is_blank(stop[-1]))
        stop--;
    ret->value_size = (size_t)(stop - ret->value);
    *at = feed + 1;
    return ret->size > 0;
}

static bool is_named(const struct line *line, const char *name)
{
    return strlen(name) == line->name && strncasecmp(line->at, name, line->name) == 0;
}

static const char *skip_empty(const struct pnx__http *http)
{
    const char *at = http->head.data;
    while (*at == '\r' || *at == '\n')
        at++;
    return at;
}

/* Two readers of a head must not disagree on where its message ends. */
static const char *problem_of(const struct pnx__http *http)
{
    const char *at = skip_empty(http), *end = http->head.data + http->head.size;
    struct line line;
    unsigned codings = 0, lengths = 0;
    if (!next_line(&at, end, &line))
        return "it has no first line";
    while (next_line(&at, end, &line)) {
        if (is_blank(line.at[0]))
            return "a header goes on in the next line";
        if (!is_token(line.at, line.name))
            return "a header has no proper name";
        if (memchr(line.at, '\0', line.size) || memchr(line.at, '\r', line.size))
            return "a header has a control character";
        lengths += is_named(&line, "Content-Length");
        if (!is_named(&line, "Transfer-Encoding"))
            continue;
        codings++;
        if (line.value_size != strlen("chunked") ||
            strncasecmp(line.value, "chunked", line.value_size) != 0)
            return "its Transfer-Encoding is not 'chunked'";
    }
    if (codings + lengths > 1)
        return "it has more than one of Content-Length and Transfer-Encoding";
    if (codings > 0 && http->parser.http_minor == 0)
        return "HTTP/1.0 knows no Transfer-Encoding";
    return NULL;
}

static void check_head(struct pnx__http *http)
{
    if (http->parser.http_major != 1 || http->parser.http_minor > 1) {
        fail(http, 505, "its version is neither HTTP/1.0 nor HTTP/1.1");
        return;
    }
    const char *problem = problem_of(http);
    if (problem)
        fail(http, 400, problem);
}

/* ---- taking ---------------------------------------------------------------------------------- */

void pnx__http_begin(struct pnx__http *http, enum http_parser_type type)
{
    http->state = PNX__HTTP_HEAD;
    http->problem = NULL;
    http->no_body = http->until_closed = http->upgrade = false;
    http->on_body = NULL;
    pnx__bytes_clear(&http->head);
    pnx__bytes_clear(&http->target);
    http_parser_set_max_header_size((uint32_t)PNX__HTTP_HEAD_MAX);
    http_parser_init(&http->parser, type);
    http->parser.data = http;
}

static size_t execute(struct pnx__http *http, const char *data, size_t size)
{
    size_t taken = http_parser_execute(&http->parser, &settings, data, size);
    enum http_errno problem = HTTP_PARSER_ERRNO(&http->parser);
    if (problem == HPE_HEADER_OVERFLOW)
        fail(http, 431, "its head is too long");
    else if (problem == HPE_CB_body)
        fail(http, 413, "its body is too long");
    else if (problem != HPE_OK && problem != HPE_PAUSED)
        fail(http, 400, http_errno_description(problem));
    return taken;
}

static bool ends_with_connection(const http_parser *parser)
{
    unsigned status = parser->status_code;
    return parser->type == HTTP_RESPONSE && !(parser->flags & (F_CHUNKED | F_SKIPBODY)) &&
           parser->content_length == UINT64_MAX && status / 100 != 1 && status != 204 &&
           status != 304;
}

/* The parser stopped before the line feed that ends the head. */
static void head_is_complete(struct pnx__http *http)
{
    http->state = PNX__HTTP_BODY;
    check_head(http);
    if (http->state == PNX__HTTP_FAILED)
        return;
    http->upgrade = http->parser.upgrade;
    http->until_closed = ends_with_connection(&http->parser);
    http_parser_pause(&http->parser, 0);
    (void)execute(http, "\n", 1);
}

size_t pnx__http_take_head(struct pnx__http *http, const char *data, size_t size)
{
    size_t taken = execute(http, data, size);
    bool complete = HTTP_PARSER_ERRNO(&http->parser) == HPE_PAUSED;
    if (http->state == PNX__HTTP_FAILED)
        return taken;
    taken += complete; /* the line feed */
    if (http->head.size + taken > PNX__HTTP_HEAD_MAX)
        fail(http, 431, "its head is too long");
    else if (!pnx__bytes_add(&http->head, data, taken))
        fail(http, 503, "there is no memory for it");
    else if (complete)
        head_is_complete(http);
    return taken;
}

size_t pnx__http_take_body(struct pnx__http *http, const char *data, size_t size)
{
    return execute(http, data, size);
}

void pnx__http_end(struct pnx__http *http)
{
    if (http->state != PNX__HTTP_HEAD && http->state != PNX__HTTP_BODY)
        return;
    bool ends = http->state == PNX__HTTP_BODY && http->until_closed;
    (void)execute(http, NULL, 0);
    if (ends)
        http->state = PNX__HTTP_DONE;
    else if (http->state != PNX__HTTP_DONE)
        fail(http, 400, "it ends before it is complete");
}

void pnx__http_done(struct pnx__http *http)
{
    pnx__bytes_done(&http->head);
    pnx__bytes_done(&http->target);
}

/* ---- heads ----------------------------------------------------------------------------------- */

static bool is_one_of(const struct line *line, const char *const *names)
{
    for (; names && *names; names++)
        if (is_named(line, *names))
            return true;
    return false;
}

bool pnx__http_head_edit(const struct pnx__http *http, const char *target,
                         const char *const *without, const char *more, struct pnx__bytes *ret)
{
    const char *at = skip_empty(http), *end = http->head.data + http->head.size;
    struct line line;
    (void)next_line(&at, end, &line);
    bool good = pnx__bytes_print(ret, "%s %s HTTP/1.%d\r\n",
                                 http_method_str((enum http_method)http->parser.method),
                                 target ? target : http->target.data, http->parser.http_minor);
    while (good && next_line(&at, end, &line))
        if (!is_one_of(&line, without))
            good = pnx__bytes_add(ret, line.at, line.size) && pnx__bytes_add(ret, "\r\n", 2);
    return good && pnx__bytes_add_text(ret, more) && pnx__bytes_add(ret, "\r\n", 2);
}

bool pnx__http_header(const struct pnx__http *http, const char *name, char *ret, size_t size)
{
    const char *at = skip_empty(http), *end = http->head.data + http->head.size;
    struct line line;
    (void)next_line(&at, end, &line);
    while (next_line(&at, end, &line)) {
        if (!is_named(&line, name))
            continue;
        snprintf(ret, size, "%.*s", (int)line.value_size, line.value);
        return true;
    }
    return false;
}
