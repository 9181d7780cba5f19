/* SPDX-License-Identifier: MIT */
#include "report/escape.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Length of the well-formed UTF-8 sequence at `text` (RFC 3629), or 0; its code point in `ret`. */
static unsigned decode(const unsigned char *text, uint32_t *ret)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned length = text[0] < 0x80   ? 1
                      : text[0] < 0xc0 ? 0
                      : text[0] < 0xe0 ? 2
                      : text[0] < 0xf0 ? 3
                      : text[0] < 0xf8 ? 4
                                       : 0;
    if (length <= 1) {
        *ret = text[0];
        return length;
    }
    uint32_t code = text[0] & (0x7fu >> length);
    for (unsigned i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (text[i] & 0x3f);
    }
    bool surrogate = code >= 0xd800 && code <= 0xdfff;
    *ret = code;
    return code < least[length] || code > 0x10ffff || surrogate ? 0 : length;
}

static bool is_harmless(uint32_t code)
{
    bool control = code < 0x20 || (code >= 0x7f && code < 0xa0);
    bool turns = code == 0x61c || code == 0x200e || code == 0x200f ||
                 (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
    bool invisible = code == 0xad || (code >= 0x200b && code <= 0x200d) || code == 0x2028 ||
                     code == 0x2029 || code == 0x2060 || code == 0xfeff ||
                     (code >= 0xe0000 && code <= 0xe007f);
    bool no_character = (code & 0xfffe) == 0xfffe || (code >= 0xfdd0 && code <= 0xfdef);
    return !control && !turns && !invisible && !no_character;
}

static size_t print_escaped(FILE *out, const unsigned char *bytes, unsigned count)
{
    if (*bytes == '\n' || *bytes == '\t' || *bytes == '\r') {
        fprintf(out, "\\%c", *bytes == '\n' ? 'n' : *bytes == '\t' ? 't' : 'r');
        return 2;
    }
    for (unsigned i = 0; i < count; i++)
        fprintf(out, "\\x%02x", bytes[i]);
    return 4 * (size_t)count;
}

static void print_plain(FILE *out, const unsigned char *bytes, unsigned count)
{
    fwrite(bytes, 1, count, out);
}

static void print_entity(FILE *out, const unsigned char *bytes, unsigned count)
{
    switch (*bytes) {
    case '&':
        fputs("&amp;", out);
        break;
    case '<':
        fputs("&lt;", out);
        break;
    case '>':
        fputs("&gt;", out);
        break;
    case '"':
        fputs("&quot;", out);
        break;
    case '\'':
        fputs("&#39;", out);
        break;
    default:
        print_plain(out, bytes, count);
    }
}

/* `as_is` may say of one control character that it goes as it is. */
static size_t print(FILE *out, const char *text, size_t most, char as_is,
                    void (*put)(FILE *out, const unsigned char *bytes, unsigned count))
{
    const unsigned char *at = (const unsigned char *)(text ? text : "");
    size_t columns = 0;
    while (*at) {
        if (columns >= most) {
            fputs("…", out);
            return columns + 1;
        }
        uint32_t code;
        unsigned length = decode(at, &code);
        if (length && (is_harmless(code) || code == (unsigned char)as_is)) {
            put(out, at, length);
            columns++;
        } else {
            columns += print_escaped(out, at, length ? length : 1);
        }
        at += length ? length : 1;
    }
    return columns;
}

size_t pnx__print_name(FILE *out, const char *text, size_t most)
{
    return print(out, text, most, '\0', print_plain);
}

size_t pnx__print_markup(FILE *out, const char *text, size_t most)
{
    return print(out, text, most, '\0', print_entity);
}

size_t pnx__print_markup_lines(FILE *out, const char *text, size_t most)
{
    return print(out, text, most, '\n', print_entity);
}

/* Within single quotes. */
static void print_quoted(FILE *out, const unsigned char *bytes, unsigned count)
{
    if (*bytes == '\'')
        fputs("&#39;\\&#39;&#39;", out);
    else
        print_entity(out, bytes, count);
}

/* A shell would take it as one word as it is. */
static bool is_plain_word(const char *word)
{
    return *word && word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789_@%+=:,./-")] == '\0';
}

void pnx__print_markup_command(FILE *out, char *const *command, size_t most)
{
    size_t columns = 0;
    for (size_t i = 0; command && command[i]; i++) {
        const char *quote = is_plain_word(command[i]) ? "" : "&#39;";
        if (columns >= most) {
            fputs(" …", out);
            return;
        }
        fprintf(out, "%s%s", i ? " " : "", quote);
        columns +=
            1 + print(out, command[i], most - columns, '\0', *quote ? print_quoted : print_entity);
        fputs(quote, out);
    }
}

void pnx__copy_utf8(char *buffer, size_t size, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t used = 0;
    while (*at) {
        uint32_t code;
        unsigned length = decode(at, &code);
        const void *from = length ? (const void *)at : "\xef\xbf\xbd"; /* U+FFFD */
        unsigned count = length ? length : 3;
        if (used + count >= size)
            break;
        memcpy(buffer + used, from, count);
        used += count;
        at += length ? length : 1;
    }
    buffer[used] = '\0';
}
