/* SPDX-License-Identifier: MIT */
/* Text in buffers of fixed size; see text.h. */
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DOTS "..."
#define DOTS_LENGTH (sizeof(DOTS) - 1)

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

size_t pnx__text_cut(const char *text, size_t length, size_t limit)
{
    if (length <= limit) {
        return length;
    }
    /* A character has at most three continuation bytes; more is not UTF-8, and is cut anywhere. */
    for (size_t back = 0; back <= 3 && back <= limit; back++) {
        if (!is_continuation(text[limit - back])) {
            return limit - back;
        }
    }
    return limit;
}

/* Marks that the text is longer than the `size` - 1 bytes of it that are in `buffer`. */
static void mark_cut(char *buffer, size_t size)
{
    if (size == 0) {
        return;
    }
    size_t room = size - 1;
    if (room < DOTS_LENGTH) {
        buffer[0] = '\0';
        return;
    }
    size_t end = pnx__text_cut(buffer, room, room - DOTS_LENGTH);
    memcpy(buffer + end, DOTS, DOTS_LENGTH + 1);
}

size_t pnx__text_copy(char *buffer, size_t size, const char *text)
{
    size_t length = strlen(text);
    if (size == 0) {
        return length;
    }
    size_t copied = length < size ? length : size - 1;
    memcpy(buffer, text, copied);
    buffer[copied] = '\0';
    if (copied < length) {
        mark_cut(buffer, size);
    }
    return length;
}

size_t pnx__text_format_va(char *buffer, size_t size, const char *format, va_list args)
{
    int saved = errno;
    int length = vsnprintf(buffer, size, format, args);
    errno = saved;
    if (length < 0) {
        return pnx__text_copy(buffer, size, format);
    }
    if ((size_t)length >= size) {
        mark_cut(buffer, size);
    }
    return (size_t)length;
}

size_t pnx__text_format(char *buffer, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t length = pnx__text_format_va(buffer, size, format, args);
    va_end(args);
    return length;
}

char *pnx__text_quote(char buffer[PNX__QUOTE_SIZE], const char *text)
{
    static const char digits[] = "0123456789abcdef";
    if (!text) {
        memcpy(buffer, "NULL", sizeof("NULL"));
        return buffer;
    }
    /* What has to follow the last piece at worst: the closing quote, dots, the terminator. */
    const size_t limit = PNX__QUOTE_SIZE - 1 - DOTS_LENGTH - 1;
    size_t end = 0;
    buffer[end++] = '"';
    while (*text) {
        char piece[4];
        size_t length = 0;
        if (is_control(*text)) {
            piece[length++] = '\\';
            piece[length++] = 'x';
            piece[length++] = digits[(unsigned char)*text >> 4];
            piece[length++] = digits[(unsigned char)*text & 15];
        } else {
            if (*text == '"' || *text == '\\') {
                piece[length++] = '\\';
            }
            piece[length++] = *text;
        }
        if (end + length > limit) {
            break;
        }
        memcpy(buffer + end, piece, length);
        end += length;
        text++;
    }
    bool cut = *text != '\0';
    if (cut) {
        /* Everything that could be half a character was copied byte by byte. */
        size_t copied = end - 1;
        size_t back = copied < 3 ? copied : 3;
        const char *from = text - back;
        end = end - back + pnx__text_cut(from, back + 1, back);
    }
    buffer[end++] = '"';
    memcpy(buffer + end, cut ? DOTS : "", cut ? DOTS_LENGTH + 1 : 1);
    return buffer;
}

void pnx__text_one_line(char *text)
{
    for (; *text; text++) {
        if (is_control(*text)) {
            *text = ' ';
        }
    }
}
