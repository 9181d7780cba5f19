/* SPDX-License-Identifier: MIT */
#include "proxy/query.h"

#include <string.h>
#include <strings.h>

static int digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool pnx__query_decode(const char *text, size_t size, bool plus, struct pnx__bytes *ret)
{
    if (!pnx__bytes_add(ret, "", 0))
        return false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '+' && plus) {
            c = ' ';
        } else if (c == '%' && i + 2 < size && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0) {
            c = (char)(digit(text[i + 1]) * 16 + digit(text[i + 2]));
            i += 2;
        }
        if (c == '\0' || !pnx__bytes_add(ret, &c, 1))
            return false;
    }
    return true;
}

bool pnx__query_encode(struct pnx__bytes *ret, const char *text)
{
    static const char plain[] = "-_.~0123456789abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char digits[] = "0123456789ABCDEF";
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        const char escaped[3] = {'%', digits[c >> 4], digits[c & 15]};
        bool is_plain = strchr(plain, c) != NULL;
        if (!pnx__bytes_add(ret, is_plain ? text : escaped, is_plain ? 1 : 3))
            return false;
    }
    return true;
}

/* ---- parameters ------------------------------------------------------------------------------ */

struct parameter {
    const char *at;
    size_t size; /* with its value */
};

/* Where the parameters begin; its end, if there are none. A fragment is none of ours. */
static const char *parameters_of(const char *target)
{
    const char *mark = strchr(target, '?');
    return mark ? mark + 1 : target + strlen(target);
}

static bool next_parameter(const char **at, struct parameter *ret)
{
    while (**at == '&')
        ++*at;
    *ret = (struct parameter){*at, strcspn(*at, "&")};
    *at += ret->size;
    return ret->size > 0;
}

/* A name may be escaped, too. */
static bool is_named(const struct parameter *parameter, const char *name)
{
    struct pnx__bytes decoded = {0};
    const char *equals = memchr(parameter->at, '=', parameter->size);
    size_t size = equals ? (size_t)(equals - parameter->at) : parameter->size;
    bool same = pnx__query_decode(parameter->at, size, true, &decoded) &&
                strcasecmp(decoded.data, name) == 0; /* so does Podman */
    pnx__bytes_done(&decoded);
    return same;
}

bool pnx__query_get(const char *target, const char *name, struct pnx__bytes *ret)
{
    const char *at = parameters_of(target);
    struct parameter parameter;
    while (next_parameter(&at, &parameter)) {
        const char *equals = memchr(parameter.at, '=', parameter.size);
        if (!is_named(&parameter, name))
            continue;
        const char *value = equals ? equals + 1 : parameter.at + parameter.size;
        return pnx__query_decode(value, (size_t)(parameter.at + parameter.size - value), true, ret);
    }
    return false;
}

static bool add(const char *name, const char *value, char before, struct pnx__bytes *ret)
{
    return pnx__bytes_add(ret, &before, 1) && pnx__query_encode(ret, name) &&
           pnx__bytes_add(ret, "=", 1) && pnx__query_encode(ret, value);
}

bool pnx__query_set(const char *target, const char *name, const char *value, struct pnx__bytes *ret)
{
    const char *at = parameters_of(target);
    bool good = pnx__bytes_add(ret, target, strcspn(target, "?"));
    char before = '?';
    struct parameter parameter;
    while (good && next_parameter(&at, &parameter)) {
        if (is_named(&parameter, name))
            continue;
        good = pnx__bytes_add(ret, &before, 1) && pnx__bytes_add(ret, parameter.at, parameter.size);
        before = '&';
    }
    return good && add(name, value, before, ret);
}

bool pnx__query_add(const char *target, const char *name, const char *value, struct pnx__bytes *ret)
{
    return pnx__bytes_add_text(ret, target) &&
           add(name, value, strchr(target, '?') ? '&' : '?', ret);
}
