/* SPDX-License-Identifier: MIT */
#include "session/flat_json.h"

#include <string.h>

struct reader {
    char *at;
    bool bad;
};

static void skip_space(struct reader *reader)
{
    reader->at += strspn(reader->at, " \t\r\n");
}

static bool accept(struct reader *reader, char wanted)
{
    skip_space(reader);
    if (*reader->at != wanted)
        return false;
    reader->at++;
    return true;
}

static unsigned hex(struct reader *reader)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        char c = *reader->at;
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                                : 16;
        if (digit == 16) {
            reader->bad = true;
            return 0;
        }
        value = value << 4 | digit;
        reader->at++;
    }
    return value;
}

/* A code point as UTF-8, which is never longer than its escape. */
static char *put(char *to, unsigned code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    } else {
        *to++ = (char)(0xf0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 0x3f));
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    }
    return to;
}

/* What follows "\u". Half a pair, and the zero that would end the text, become U+FFFD. */
static char *unescape_code(struct reader *reader, char *to)
{
    unsigned code = hex(reader);
    if (reader->bad) /* less was read than U+FFFD would take */
        return to;
    if (code >= 0xd800 && code < 0xdc00 && reader->at[0] == '\\' && reader->at[1] == 'u') {
        reader->at += 2;
        unsigned low = hex(reader);
        if (reader->bad)
            return to;
        bool pair = low >= 0xdc00 && low < 0xe000;
        code = pair ? 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00) : 0xfffd;
    }
    if (code == 0 || (code >= 0xd800 && code < 0xe000))
        code = 0xfffd;
    return put(to, code);
}

static char *unescape(struct reader *reader, char *to)
{
    static const char from[] = "\"\\/bfnrt", is[] = "\"\\/\b\f\n\r\t";
    char what = *reader->at;
    const char *found = what ? strchr(from, what) : NULL;
    if (!found && what != 'u') {
        reader->bad = true;
        return to;
    }
    reader->at++;
    if (!found)
        return unescape_code(reader, to);
    *to++ = is[found - from];
    return to;
}

/* After its opening quote; in place. */
static const char *read_string(struct reader *reader)
{
    char *text = reader->at, *to = text;
    while (!reader->bad && *reader->at != '"') {
        if ((unsigned char)*reader->at < 0x20) {
            reader->bad = true;
        } else if (*reader->at == '\\') {
            reader->at++;
            to = unescape(reader, to);
        } else {
            *to++ = *reader->at++;
        }
    }
    if (!reader->bad)
        reader->at++;
    *to = '\0';
    return text;
}

/* A number, true, false, null: its end is put to where the caller has read what follows. */
static const char *read_word(struct reader *reader, char **ret_end)
{
    char *text = reader->at;
    size_t length = strspn(text, "0123456789+-.eEtrufalsn");
    reader->bad = length == 0;
    reader->at += length;
    *ret_end = reader->at;
    return text;
}

static void read_member(struct reader *reader, struct pnx__flat *ret)
{
    char *end = NULL;
    if (ret->count == PNX__FLAT_MAX || !accept(reader, '"')) {
        reader->bad = true;
        return;
    }
    const char *key = read_string(reader);
    if (reader->bad || !accept(reader, ':')) {
        reader->bad = true;
        return;
    }
    bool quoted = accept(reader, '"');
    const char *value = quoted ? read_string(reader) : read_word(reader, &end);
    if (reader->bad)
        return;
    ret->members[ret->count].key = key;
    ret->members[ret->count].value = value;
    ret->count++;
    skip_space(reader);
    bool more = *reader->at == ',', last = *reader->at == '}';
    reader->bad = !more && !last;
    if (!reader->bad)
        reader->at++;
    if (end)
        *end = '\0';
    if (more)
        skip_space(reader);
    if (last)
        reader->bad = reader->at[strspn(reader->at, " \t\r\n")] != '\0';
    if (last)
        reader->at = NULL;
}

bool pnx__flat_read(char *text, struct pnx__flat *ret)
{
    struct reader reader = {0};
    *ret = (struct pnx__flat){0};
    reader.at = ret->text = text;
    if (!accept(&reader, '{'))
        return false;
    if (accept(&reader, '}'))
        return reader.at[strspn(reader.at, " \t\r\n")] == '\0';
    while (reader.at && !reader.bad)
        read_member(&reader, ret);
    return !reader.bad;
}

const char *pnx__flat_get(const struct pnx__flat *flat, const char *key)
{
    for (size_t i = 0; i < flat->count; i++)
        if (strcmp(flat->members[i].key, key) == 0)
            return flat->members[i].value;
    return "";
}
