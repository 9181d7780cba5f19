/* SPDX-License-Identifier: MIT */
#include "yaml.h"

#include <stdlib.h>
#include <string.h>

/* ---- mistakes -------------------------------------------------------------------------------- */

/* What a file says may be shown: all that is not printable ASCII becomes "?". */
static void make_harmless(char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~')
            *text = '?';
}

bool wrong(struct reader *reader, struct fy_node *node, const char *format, ...)
{
    char text[SERVICES_MESSAGE_MAX - 160];
    va_list args;
    struct fy_token *token = node ? fy_node_get_scalar_token(node) : NULL;
    if (!token && reader->at)
        token = fy_node_get_scalar_token(reader->at);
    const struct fy_mark *mark = token ? fy_token_start_mark(token) : NULL;
    if (reader->message[0])
        return false;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(reader->message, SERVICES_MESSAGE_MAX, "%d:%d: %s: %s", mark ? mark->line + 1 : 1,
             mark ? mark->column + 1 : 1, reader->where, text);
    make_harmless(reader->message);
    return false;
}

/* The number of letters that have to be changed (Levenshtein), of short names. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[32];
    size_t columns = strlen(b);
    if (columns >= sizeof row / sizeof *row)
        return 99;
    for (unsigned i = 0; i <= columns; i++)
        row[i] = i;
    for (; *a; a++) {
        unsigned diagonal = row[0]++;
        for (size_t i = 1; i <= columns; i++) {
            unsigned change = diagonal + (*a != b[i - 1]);
            unsigned shorter = row[i] < row[i - 1] ? row[i] + 1 : row[i - 1] + 1;
            diagonal = row[i];
            row[i] = change < shorter ? change : shorter;
        }
    }
    return row[columns];
}

static bool unknown(struct reader *reader, struct fy_node *node, const char *name,
                    const struct key *keys, size_t count)
{
    char known[600] = "";
    const char *nearest = NULL;
    unsigned best = 3; /* further than that is another word */
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(known);
        snprintf(known + length, sizeof known - length, "%s%s", i ? ", " : "", keys[i].name);
        if (strlen(name) < 32 && distance(name, keys[i].name) < best) {
            best = distance(name, keys[i].name);
            nearest = keys[i].name;
        }
    }
    return wrong(reader, node, "there is no key '%.40s'%s%s%s; known are %s", name,
                 nearest ? "; do you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "",
                 known);
}

/* ---- values ---------------------------------------------------------------------------------- */

bool is_null(struct fy_node *node)
{
    return !node || fy_node_is_null(node);
}

const char *text_of(struct reader *reader, struct fy_node *node)
{
    size_t length = 0;
    const char *text = NULL;
    if (node && fy_node_is_scalar(node) && !fy_node_is_alias(node))
        text = fy_node_get_scalar0(node);
    if (text)
        (void)fy_node_get_scalar(node, &length);
    if (!text || strlen(text) != length) {
        wrong(reader, node, "it must be a text");
        return NULL;
    }
    text = pnx__arena_text(&reader->services->memory, text);
    if (!text)
        wrong(reader, node, "no memory");
    return text;
}

bool read_bool(struct reader *reader, struct fy_node *node, bool *ret)
{
    const char *text = text_of(reader, node);
    if (!text)
        return false;
    *ret = strcmp(text, "true") == 0;
    return *ret || strcmp(text, "false") == 0 || wrong(reader, node, "it is true or false");
}

bool read_span(struct reader *reader, struct fy_node *node, pnx_duration *ret)
{
    const char *text = text_of(reader, node);
    if (!text)
        return false;
    if (pnx_span_parse(text, ret, NULL) == PNX_OK && *ret > 0 && *ret <= PNX_S(86400))
        return true;
    return wrong(reader, node, "'%.40s' is no span of time, such as 1m30s", text);
}

bool read_number(struct reader *reader, struct fy_node *node, double least, double most,
                 double *ret)
{
    char *end;
    const char *text = text_of(reader, node);
    if (!text)
        return false;
    *ret = strtod(text, &end);
    if (*text && !*end && *ret >= least && *ret <= most)
        return true;
    return wrong(reader, node, "'%.40s' is no number from %g to %g", text, least, most);
}

const char *const *read_texts(struct reader *reader, struct fy_node *node)
{
    void *position = NULL;
    struct fy_node *item;
    bool list = node && fy_node_is_sequence(node);
    size_t count = list ? (size_t)fy_node_sequence_item_count(node) : 1, at = 0;
    const char **texts = pnx__arena_take(&reader->services->memory, (count + 1) * sizeof *texts);
    if (!texts) {
        wrong(reader, node, "no memory");
        return NULL;
    }
    if (!list)
        return (texts[0] = text_of(reader, node)) ? texts : NULL;
    while (at < count && (item = fy_node_sequence_iterate(node, &position)))
        if (!(texts[at++] = text_of(reader, item)))
            return NULL;
    return texts;
}

/* "NAME=value" of a name alone; NULL: it is not set, and left out. */
static const char *inherited(struct reader *reader, const char *name)
{
    const char *value = getenv(name);
    return value ? pnx__arena_format(&reader->services->memory, "%s=%s", name, value) : NULL;
}

static const char *const *read_pair_mapping(struct reader *reader, struct fy_node *node,
                                            bool inherit)
{
    void *position = NULL;
    struct fy_node_pair *pair;
    size_t at = 0;
    const char **texts = pnx__arena_take(
        &reader->services->memory, ((size_t)fy_node_mapping_item_count(node) + 1) * sizeof *texts);
    while (texts && (pair = fy_node_mapping_iterate(node, &position))) {
        struct fy_node *value = fy_node_pair_value(pair);
        const char *name = text_of(reader, fy_node_pair_key(pair));
        if (!name)
            return NULL;
        if (inherit && is_null(value)) {
            const char *one = inherited(reader, name);
            at += (texts[at] = one) != NULL;
            continue;
        }
        const char *text = text_of(reader, value);
        if (!text)
            return NULL;
        texts[at++] = pnx__arena_format(&reader->services->memory, "%s=%s", name, text);
    }
    return texts;
}

const char *const *read_pairs(struct reader *reader, struct fy_node *node, bool inherit)
{
    size_t at = 0;
    if (node && fy_node_is_mapping(node))
        return read_pair_mapping(reader, node, inherit);
    const char **texts = (const char **)read_texts(reader, node);
    for (const char **from = texts; texts && *from; from++) {
        const char *one = strchr(*from, '=') || !inherit ? *from : inherited(reader, *from);
        if (one)
            texts[at++] = one;
    }
    if (texts)
        texts[at] = NULL;
    return texts;
}

/* ---- mappings -------------------------------------------------------------------------------- */

static bool read_pair(struct reader *reader, struct fy_node_pair *pair, const struct key *keys,
                      size_t count, void *into)
{
    struct fy_node *key = fy_node_pair_key(pair);
    const char *name = text_of(reader, key);
    size_t i = 0;
    if (!name)
        return false;
    while (i < count && strcmp(keys[i].name, name) != 0)
        i++;
    if (i == count)
        return unknown(reader, key, name, keys, count);
    size_t length = strlen(reader->where);
    snprintf(reader->where + length, sizeof reader->where - length, ".%s", name);
    reader->at = key;
    bool good = keys[i].read(reader, fy_node_pair_value(pair), into);
    if (good)
        reader->where[length] = '\0';
    return good;
}

bool read_mapping(struct reader *reader, struct fy_node *node, const char *what,
                  const struct key *keys, size_t count, void *into)
{
    void *position = NULL;
    struct fy_node_pair *pair;
    if (!node || !fy_node_is_mapping(node))
        return wrong(reader, node, "it must be %s", what);
    while ((pair = fy_node_mapping_iterate(node, &position)))
        if (!read_pair(reader, pair, keys, count, into))
            return false;
    return true;
}
