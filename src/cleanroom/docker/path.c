/* SPDX-License-Identifier: MIT */
#include "docker/path.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_escaped(FILE *out, const char *text, const char *also)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        bool plain = (*at >= '0' && *at <= '9') || (*at >= 'A' && *at <= 'Z') ||
                     (*at >= 'a' && *at <= 'z') || strchr(also, *at);
        if (plain)
            putc(*at, out);
        else
            fprintf(out, "%%%02X", *at);
    }
}

/* What a server's clean-up of paths would make another path of. */
static bool leads_astray(const char *text)
{
    if (!*text || *text == '/' || text[strlen(text) - 1] == '/')
        return true;
    for (const char *at = text; at; at = strchr(at, '/')) {
        at += *at == '/';
        size_t length = strcspn(at, "/");
        if (length == 0 || (length <= 2 && strspn(at, ".") >= length))
            return true;
    }
    return false;
}

static bool put_json(FILE *out, const json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text)
        return false;
    put_escaped(out, text, "-_.~");
    free(text);
    return true;
}

static pnx_status put_all(FILE *out, pnx_error *err, const char *format, va_list args)
{
    bool in_query = false;
    for (const char *at = format; *at; at++) {
        in_query = in_query || *at == '?';
        if (*at != '%') {
            putc(*at, out);
            continue;
        }
        switch (*++at) {
        case 's': {
            const char *text = va_arg(args, const char *);
            if (!in_query && (!text || leads_astray(text)))
                return pnx_fail(err, PNX_EINVAL, "'%s' is no id or name", text ? text : "");
            put_escaped(out, text ? text : "", in_query ? "-_.~" : "-_.~/:@");
            break;
        }
        case 'p':
            if (!put_json(out, va_arg(args, const void *)))
                return pnx_fail(err, PNX_ENOMEM, "no memory for a request");
            break;
        case 'u':
            fprintf(out, "%u", va_arg(args, unsigned));
            break;
        case 'l':
            at += 2;
            fprintf(out, "%lld", va_arg(args, long long));
            break;
        default:
            putc(*at, out);
            break;
        }
    }
    return PNX_OK;
}

pnx_status pnx__docker_path(char **ret, pnx_error *err, const char *format, ...)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return pnx_fail(err, PNX_ENOMEM, "no memory for a request");
    va_list args;
    va_start(args, format);
    pnx_status status = put_all(out, err, format, args);
    va_end(args);
    bool complete = !ferror(out);
    if (fclose(out) != 0 || !complete) {
        free(text);
        return pnx_fail(err, PNX_ENOMEM, "no memory for a request");
    }
    if (status != PNX_OK) {
        free(text);
        return status;
    }
    *ret = text;
    return PNX_OK;
}
