/* SPDX-License-Identifier: MIT */
/* The key `wait`: what makes a service ready. Several keys at once must all be so. */
#include "yaml.h"

#include <string.h>

#define LISTED_MAX 16

/* A mapping that is being read: its checks, and what belongs to the one by HTTP. */
struct waiting {
    pnx_wait of[LISTED_MAX];
    size_t count;
    const char *path;
    double port, status;
    pnx_duration *within; /* NULL: only at the top */
    unsigned depth;
};

static bool read_into(struct reader *reader, struct fy_node *node, unsigned depth,
                      pnx_duration *within, pnx_wait *ret);

static bool add(struct reader *reader, struct waiting *waiting, pnx_wait one)
{
    if (waiting->count == LISTED_MAX)
        return wrong(reader, NULL, "more than %d checks", LISTED_MAX);
    waiting->of[waiting->count++] = one;
    return true;
}

static bool read_port(struct reader *reader, struct fy_node *node, void *into)
{
    return read_number(reader, node, 1, 65535, &((struct waiting *)into)->port);
}

static bool read_http(struct reader *reader, struct fy_node *node, void *into)
{
    struct waiting *waiting = into;
    waiting->path = text_of(reader, node);
    return waiting->path &&
           (*waiting->path == '/' || wrong(reader, node, "it is a path, such as /health"));
}

static bool read_status(struct reader *reader, struct fy_node *node, void *into)
{
    return read_number(reader, node, 100, 599, &((struct waiting *)into)->status);
}

static bool read_log(struct reader *reader, struct fy_node *node, void *into)
{
    const char *text = text_of(reader, node);
    return text && add(reader, into, (pnx_wait){.check = {.type = PNX_CHECK_LOG, .text = text}});
}

static bool read_pattern(struct reader *reader, struct fy_node *node, void *into)
{
    const char *text = text_of(reader, node);
    return text && add(reader, into, (pnx_wait){.check = {.type = PNX_CHECK_LOG, .pattern = text}});
}

static bool read_command(struct reader *reader, struct fy_node *node, void *into)
{
    pnx_wait one = {.check = {.type = PNX_CHECK_COMMAND}};
    if (node && fy_node_is_sequence(node))
        one.check.argv = read_texts(reader, node);
    else
        one.check.shell = text_of(reader, node);
    return (one.check.argv || one.check.shell) && add(reader, into, one);
}

static bool read_health(struct reader *reader, struct fy_node *node, void *into)
{
    bool wanted;
    return read_bool(reader, node, &wanted) &&
           (!wanted || add(reader, into, (pnx_wait){.check = {.type = PNX_CHECK_ENGINE}}));
}

static bool read_list(struct reader *reader, struct fy_node *node, struct waiting *into,
                      pnx_wait_type type)
{
    void *position = NULL;
    struct fy_node *item;
    int count = node && fy_node_is_sequence(node) ? fy_node_sequence_item_count(node) : 0;
    if (count < 1 || count > LISTED_MAX || into->depth > 4)
        return wrong(reader, node, "it is a list of 1 to %d waits", LISTED_MAX);
    pnx_wait *of = pnx__arena_take(&reader->services->memory, (size_t)count * sizeof *of);
    if (!of)
        return wrong(reader, node, "no memory");
    for (size_t i = 0; (item = fy_node_sequence_iterate(node, &position)); i++)
        if (!read_into(reader, item, into->depth + 1, NULL, &of[i]))
            return false;
    return add(reader, into, (pnx_wait){.type = type, .of = of, .count = (size_t)count});
}

static bool read_all(struct reader *reader, struct fy_node *node, void *into)
{
    return read_list(reader, node, into, PNX_WAIT_ALL);
}

static bool read_any(struct reader *reader, struct fy_node *node, void *into)
{
    return read_list(reader, node, into, PNX_WAIT_ANY);
}

static bool read_timeout(struct reader *reader, struct fy_node *node, void *into)
{
    struct waiting *waiting = into;
    if (!waiting->within)
        return wrong(reader, NULL, "it belongs to the whole wait");
    return read_span(reader, node, waiting->within);
}

static const struct key keys[] = {
    {"port", read_port},       {"http", read_http},       {"status", read_status},
    {"log", read_log},         {"pattern", read_pattern}, {"command", read_command},
    {"health", read_health},   {"all", read_all},         {"any", read_any},
    {"timeout", read_timeout},
};

/* The port alone is one that listens; with a path it is that of HTTP. */
static bool add_port(struct reader *reader, struct waiting *waiting)
{
    pnx_wait one = {.check = {.type = waiting->path ? PNX_CHECK_HTTP : PNX_CHECK_TCP,
                              .port = (uint16_t)waiting->port,
                              .path = waiting->path,
                              .status_min = (int)waiting->status}};
    if (waiting->path && waiting->port == 0)
        return wrong(reader, NULL, "http: on which port? Add the key 'port'");
    if (waiting->status != 0 && !waiting->path)
        return wrong(reader, NULL, "status: it belongs to 'http'");
    return waiting->port == 0 || add(reader, waiting, one);
}

/* NOLINTBEGIN(readability-non-const-parameter): `within` is written by read_timeout */
static bool read_into(struct reader *reader, struct fy_node *node, unsigned depth,
                      pnx_duration *within, pnx_wait *ret)
/* NOLINTEND(readability-non-const-parameter) */
{
    struct waiting waiting = {.within = within, .depth = depth};
    bool good = node && fy_node_is_sequence(node)
                    ? read_list(reader, node, &waiting, PNX_WAIT_ALL)
                    : read_mapping(reader, node, "what to wait for, such as 'port: 5432'", keys,
                                   sizeof keys / sizeof *keys, &waiting) &&
                          add_port(reader, &waiting);
    if (!good)
        return false;
    if (waiting.count == 0 && within && *within > 0) {
        *ret = (pnx_wait){.type = PNX_WAIT_ALL}; /* as without a wait, but not for longer */
        return true;
    }
    if (waiting.count == 0)
        return wrong(reader, node, "it says nothing to wait for");
    if (waiting.count == 1) {
        *ret = waiting.of[0];
        return true;
    }
    pnx_wait *of = pnx__arena_take(&reader->services->memory, waiting.count * sizeof *of);
    if (!of)
        return wrong(reader, node, "no memory");
    memcpy(of, waiting.of, waiting.count * sizeof *of);
    *ret = (pnx_wait){.type = PNX_WAIT_ALL, .of = of, .count = waiting.count};
    return true;
}

bool read_wait(struct reader *reader, struct fy_node *node, pnx_wait *ret, pnx_duration *ret_within)
{
    return read_into(reader, node, 0, ret_within, ret);
}
