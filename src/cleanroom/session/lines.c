/* SPDX-License-Identifier: MIT */
#include "session/lines.h"

#include <string.h>

void pnx__lines_take(struct pnx__lines_in *lines, const char *data, size_t size,
                     void (*visit)(void *context, const char *line), void *context)
{
    while (size > 0) {
        const char *end = memchr(data, '\n', size);
        size_t length = end ? (size_t)(end - data) : size;
        if (lines->size + length >= sizeof lines->text)
            lines->skipping = true;
        if (!lines->skipping) {
            memcpy(lines->text + lines->size, data, length);
            lines->size += length;
        }
        if (!end)
            return;
        lines->text[lines->size] = '\0';
        if (!lines->skipping)
            visit(context, lines->text);
        lines->size = 0;
        lines->skipping = false;
        data += length + 1;
        size -= length + 1;
    }
}
