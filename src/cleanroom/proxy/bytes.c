/* SPDX-License-Identifier: MIT */
#include "proxy/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Heads fit into this; what is larger is the exception. */
#define KEPT ((size_t)8 << 10)

bool pnx__bytes_add(struct pnx__bytes *bytes, const void *data, size_t size)
{
    if (bytes->room - bytes->size <= size) {
        size_t room = bytes->size + size + 1;
        if (room < 2 * bytes->room)
            room = 2 * bytes->room;
        if (room < 512)
            room = 512;
        char *more = realloc(bytes->data, room);
        if (!more)
            return false;
        bytes->data = more;
        bytes->room = room;
    }
    if (size > 0)
        memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
    bytes->data[bytes->size] = '\0';
    return true;
}

bool pnx__bytes_add_text(struct pnx__bytes *bytes, const char *text)
{
    return pnx__bytes_add(bytes, text, strlen(text));
}

bool pnx__bytes_print(struct pnx__bytes *bytes, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int size = vasprintf(&text, format, args);
    va_end(args);
    if (size < 0)
        return false;
    bool good = pnx__bytes_add(bytes, text, (size_t)size);
    free(text);
    return good;
}

void pnx__bytes_clear(struct pnx__bytes *bytes)
{
    if (bytes->room > KEPT)
        pnx__bytes_done(bytes);
    bytes->size = 0;
}

void pnx__bytes_done(struct pnx__bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct pnx__bytes){0};
}
