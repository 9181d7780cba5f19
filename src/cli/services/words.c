/* SPDX-License-Identifier: MIT */
/* The short forms that Compose has for lists of words, sizes, ports and volumes. */
#include "services.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- words ----------------------------------------------------------------------------------- */

/* One word from `*at` on into `to`, which is long enough. False: a quote is not closed. */
static bool take_word(const char **at, char *to)
{
    char quote = '\0';
    for (; **at && (quote || !isspace((unsigned char)**at)); (*at)++) {
        if (**at == quote)
            quote = '\0';
        else if (!quote && (**at == '\'' || **at == '"'))
            quote = **at;
        else if (**at == '\\' && quote != '\'' && (*at)[1])
            *to++ = *++*at;
        else
            *to++ = **at;
    }
    *to = '\0';
    return quote == '\0';
}

const char *const *services_words(struct pnx__arena *memory, const char *line)
{
    size_t length = strlen(line), count = 0;
    const char **words = pnx__arena_take(memory, (length / 2 + 2) * sizeof *words);
    char *word = words ? pnx__arena_take(memory, length + 1) : NULL;
    if (!word)
        return NULL;
    for (;;) {
        line += strspn(line, " \t\n\r");
        if (!*line)
            return words;
        if (!take_word(&line, word) || !(words[count++] = pnx__arena_text(memory, word)))
            return NULL;
    }
}

/* ---- numbers --------------------------------------------------------------------------------- */

bool services_size(const char *text, uint64_t *ret)
{
    static const char units[] = "bkmgt";
    char *end;
    if (!isdigit((unsigned char)*text))
        return false;
    double number = strtod(text, &end);
    const char *unit = *end ? strchr(units, tolower((unsigned char)*end)) : units;
    if (!unit)
        return false;
    end += *end != '\0';
    if (*end && (unit == units || strcasecmp(end, "b") != 0))
        return false;
    for (; unit > units; unit--)
        number *= 1024;
    if (!(number >= 1 && number < 9e18))
        return false;
    *ret = (uint64_t)number;
    return true;
}

static bool take_port(const char *text, size_t length, uint16_t *ret)
{
    unsigned long number = 0;
    if (length == 0 || length > 5)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!isdigit((unsigned char)text[i]))
            return false;
        number = number * 10 + (unsigned long)(text[i] - '0');
    }
    *ret = (uint16_t)number;
    return number > 0 && number <= UINT16_MAX;
}

bool services_port(struct pnx__arena *memory, const char *text, pnx_port *ret)
{
    char ports[128];
    *ret = (pnx_port){0};
    if (strlen(text) >= sizeof ports)
        return false;
    snprintf(ports, sizeof ports, "%s", text);
    char *slash = strchr(ports, '/');
    if (slash) {
        *slash = '\0';
        ret->udp = strcmp(slash + 1, "udp") == 0;
        if (!ret->udp && strcmp(slash + 1, "tcp") != 0)
            return false;
    }
    char *inside = strrchr(ports, ':');
    if (!inside)
        return take_port(ports, strlen(ports), &ret->port);
    *inside++ = '\0';
    char *outside = strrchr(ports, ':');
    if (outside) {
        *outside++ = '\0';
        ret->host_ip = pnx__arena_text(memory, ports);
    } else {
        outside = ports;
    }
    return take_port(inside, strlen(inside), &ret->port) &&
           (!*outside || take_port(outside, strlen(outside), &ret->host_port));
}

/* ---- mounts ---------------------------------------------------------------------------------- */

bool services_volume(struct pnx__arena *memory, const char *text, const char *directory,
                     pnx_mount *ret)
{
    char *source = (char *)pnx__arena_text(memory, text);
    *ret = (pnx_mount){.type = PNX_MOUNT_VOLUME};
    char *target = source ? strchr(source, ':') : NULL;
    if (!target) { /* an anonymous one */
        ret->target = source;
        return source && *source == '/';
    }
    *target++ = '\0';
    char *mode = strchr(target, ':');
    if (mode) {
        *mode++ = '\0';
        ret->read_only = strcmp(mode, "ro") == 0;
        if (!ret->read_only && strcmp(mode, "rw") != 0)
            return false;
    }
    ret->source = source;
    ret->target = target;
    if (*source == '/' || *source == '.')
        ret->type = PNX_MOUNT_BIND;
    if (*source == '.')
        ret->source = pnx__arena_format(memory, "%s/%s", directory, source);
    return *source && *source != '~' && *target == '/';
}

bool services_tmpfs(struct pnx__arena *memory, const char *text, pnx_mount *ret)
{
    char *target = (char *)pnx__arena_text(memory, text);
    *ret = (pnx_mount){.type = PNX_MOUNT_TMPFS, .target = target};
    char *size = target ? strchr(target, ':') : NULL;
    if (size) {
        *size++ = '\0';
        if (strncmp(size, "size=", 5) != 0 || !services_size(size + 5, &ret->size))
            return false;
    }
    return target && *target == '/';
}
