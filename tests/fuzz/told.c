/* SPDX-License-Identifier: MIT */
/*
 * What our own programs tell on their descriptors, as the session reads it: lines, in pieces of a
 * size that the first byte says, and in each one a flat JSON object. However it is cut, the same
 * lines come out; of what is taken for an object, no text leads out of its line.
 */
#include "fuzz.h"

#include "session/flat_json.h"
#include "session/lines.h"

#include <string.h>

struct heard {
    size_t count, hash;
};

static void look_at(const struct pnx__flat *flat, const char *begin, const char *end)
{
    promise(flat->count <= PNX__FLAT_MAX);
    for (size_t i = 0; i < flat->count; i++) {
        const char *key = flat->members[i].key, *value = flat->members[i].value;
        promise(key >= begin && key + strlen(key) < end);
        promise(value >= begin && value + strlen(value) < end);
        const char *found = pnx__flat_get(flat, key); /* the first of that name */
        promise(found >= begin && found <= value);
    }
    promise(*pnx__flat_get(flat, "no such member \x01") == '\0');
}

static void hear(void *context, const char *line)
{
    struct heard *heard = context;
    struct pnx__flat flat;
    size_t length = strlen(line);
    promise(length < PNX__LINE_MAX && !strchr(line, '\n'));
    heard->count++;
    for (size_t i = 0; i <= length; i++)
        heard->hash = heard->hash * 31 + (unsigned char)line[i];
    char *copy = strdup(line);
    promise(copy != NULL);
    if (pnx__flat_read(copy, &flat))
        look_at(&flat, copy, copy + length + 1);
    free(copy);
}

static struct heard hear_in_pieces(const uint8_t *data, size_t size, size_t piece)
{
    struct heard heard = {0};
    struct pnx__lines_in *lines = calloc(1, sizeof *lines);
    promise(lines != NULL);
    for (size_t at = 0; at < size; at += piece)
        pnx__lines_take(lines, (const char *)data + at, size - at < piece ? size - at : piece, hear,
                        &heard);
    free(lines);
    return heard;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct heard whole = hear_in_pieces(data + 1, size - 1, size);
    struct heard cut = hear_in_pieces(data + 1, size - 1, 1 + data[0] % 64u);
    promise(whole.count == cut.count && whole.hash == cut.hash);
    return 0;
}
