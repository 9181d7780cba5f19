/* SPDX-License-Identifier: MIT */
/* A strict reader of JSON (RFC 8259): says whether a text is one value and nothing else. */
#ifndef TESTS_MONITOR_JSON_CHECK_H
#define TESTS_MONITOR_JSON_CHECK_H

#include <stdbool.h>
#include <string.h>

/* Each reads from *p, moves it on, and answers whether it was right. */
static bool json_value(const char **p);

static bool json_literal(const char **p, const char *literal)
{
    size_t length = strlen(literal);
    if (strncmp(*p, literal, length) != 0) {
        return false;
    }
    *p += length;
    return true;
}

static bool json_digits(const char **p)
{
    const char *begin = *p;
    *p += strspn(*p, "0123456789");
    return *p > begin;
}

static bool json_number(const char **p)
{
    json_literal(p, "-");
    if (!json_literal(p, "0") && !json_digits(p)) {
        return false;
    }
    if (json_literal(p, ".") && !json_digits(p)) {
        return false;
    }
    if (**p == 'e' || **p == 'E') {
        *p += 1 + (strchr("+-", (*p)[1]) && (*p)[1]);
        return json_digits(p);
    }
    return true;
}

/* One character of UTF-8, by its code point: not overlong, no surrogate, in range, no control. */
static bool json_plain_character(const char **p)
{
    static const unsigned least[] = {0x20, 0x80, 0x800, 0x10000};
    unsigned char first = (unsigned char)*(*p)++;
    unsigned more = first < 0x80 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
    unsigned code = more == 0 ? first : first & (0x3Fu >> more);
    if (first >= 0xF8 || (first >= 0x80 && first < 0xC0)) {
        return false;
    }
    for (unsigned i = 0; i < more; i++, (*p)++) {
        if (((unsigned char)**p & 0xC0) != 0x80) {
            return false;
        }
        code = code << 6 | ((unsigned char)**p & 0x3F);
    }
    return code >= least[more] && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
}

static bool json_string(const char **p)
{
    if (!json_literal(p, "\"")) {
        return false;
    }
    while (**p != '"') {
        if (json_literal(p, "\\")) {
            if (**p == 'u') {
                if (strspn(*p + 1, "0123456789abcdefABCDEF") < 4) {
                    return false;
                }
                *p += 5;
            } else if (**p && strchr("\"\\/bfnrt", **p)) {
                ++*p;
            } else {
                return false;
            }
        } else if (!json_plain_character(p)) {
            return false;
        }
    }
    ++*p;
    return true;
}

static bool json_members(const char **p, bool named, char end)
{
    ++*p;
    if (**p == end) {
        ++*p;
        return true;
    }
    do {
        if (named && !(json_string(p) && json_literal(p, ":"))) {
            return false;
        }
        if (!json_value(p)) {
            return false;
        }
    } while (json_literal(p, ","));
    return *(*p)++ == end;
}

static bool json_value(const char **p)
{
    switch (**p) {
    case '{':
        return json_members(p, true, '}');
    case '[':
        return json_members(p, false, ']');
    case '"':
        return json_string(p);
    default:
        return json_literal(p, "true") || json_literal(p, "false") || json_literal(p, "null") ||
               json_number(p);
    }
}

/* Our writers put no spaces between tokens, so none are read here. */
static inline bool is_json(const char *text)
{
    return json_value(&text) && *text == '\0';
}

/* One value and a line feed, and no other line feed: a line of JSON lines. */
static inline bool is_json_line(const char *text)
{
    return json_value(&text) && strcmp(text, "\n") == 0;
}

#endif
