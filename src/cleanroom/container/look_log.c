/* SPDX-License-Identifier: MIT */
/* The check of what a container has written since it was last started. */
#include "container/check.h"

#include "docker/calls.h"

#include <jansson.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

/* Of a longer line only the beginning is looked at. */
#define LINE_MAX_SIZE ((size_t)16 << 10)

struct line {
    char text[LINE_MAX_SIZE + 1];
    size_t size;
};

struct reading {
    const pnx_check *check;
    int64_t ended; /* its life before this one, in nanoseconds since 1970; 0: there was none */
    regex_t regex; /* of the pattern, if there is one */
    unsigned wanted, found;
    struct line lines[2]; /* of stdout and stderr, which come in pieces of their own */
};

/*
 * "2026-11-27T09:38:29.372568753Z what it wrote", or NULL if that was in an earlier life. Since the
 * end of that one, and not since its start: what it writes first the engine reads before it takes
 * down that it runs. Podman counts whole seconds, cut off.
 */
static const char *of_this_life(const struct reading *reading, const char *line)
{
    const char *space = strchr(line, ' ');
    int64_t time = space ? pnx__docker_time_parse(line) : 0;
    if (time == 0)
        return line;
    bool whole = !memchr(line, '.', (size_t)(space - line));
    int64_t ended = whole ? reading->ended - reading->ended % PNX_S(1) : reading->ended;
    return time >= ended ? space + 1 : NULL;
}

static void take_line(struct reading *reading, struct line *line)
{
    line->text[line->size] = '\0';
    line->size = 0;
    line->text[strcspn(line->text, "\r")] = '\0';
    const char *text = of_this_life(reading, line->text);
    if (!text)
        return;
    bool fits = reading->check->text ? strstr(text, reading->check->text) != NULL
                                     : regexec(&reading->regex, text, 0, NULL, 0) == 0;
    reading->found += fits;
}

static bool take(int stream, const void *data, size_t size, void *context)
{
    struct reading *reading = context;
    struct line *line = &reading->lines[stream == 2];
    for (const char *at = data, *end = at + size; at < end;) {
        const char *feed = memchr(at, '\n', (size_t)(end - at));
        size_t piece = (size_t)((feed ? feed : end) - at);
        size_t room = LINE_MAX_SIZE - line->size;
        memcpy(line->text + line->size, at, piece < room ? piece : room);
        line->size += piece < room ? piece : room;
        if (feed)
            take_line(reading, line);
        if (reading->found >= reading->wanted)
            return false;
        at += piece + (feed != NULL);
    }
    return true;
}

static pnx_status read_all(const struct pnx__look *look, struct reading *reading, pnx_error *err)
{
    const pnx_logs logs = {.timestamps = true, .since = reading->ended / PNX_S(1)};
    pnx_status status =
        pnx_engine_logs(look->engine, look->container, &logs, take, reading, look->call, err);
    if (status != PNX_OK)
        return status;
    /* A prompt has no line feed. */
    for (int i = 0; i < 2; i++) {
        if (reading->lines[i].size && reading->found < reading->wanted)
            take_line(reading, &reading->lines[i]);
    }
    const char *what = look->check->text ? look->check->text : look->check->pattern;
    look->result->number = (int)reading->found;
    return reading->found >= reading->wanted
               ? pnx__look_passes(look, "it has written '%.100s' %u times", what, reading->found)
               : pnx__look_fails(look, "it has written '%.100s' %u times of %u", what,
                                 reading->found, reading->wanted);
}

pnx_status pnx__look_log(const struct pnx__look *look, pnx_error *err)
{
    const pnx_check *check = look->check;
    const json_t *state = json_object_get(look->about, "State");
    struct reading *reading = calloc(1, sizeof *reading);
    if (!reading)
        return pnx__docker_no_memory(err);
    reading->check = check;
    reading->ended = pnx__docker_time_parse(pnx__docker_json_text(state, "FinishedAt"));
    reading->wanted = check->count ? check->count : 1;
    if (check->pattern && regcomp(&reading->regex, check->pattern, REG_EXTENDED | REG_NOSUB) != 0) {
        free(reading); /* it was compiled before, to see that it is one */
        return pnx__docker_no_memory(err);
    }
    pnx_status status = read_all(look, reading, err);
    if (check->pattern)
        regfree(&reading->regex);
    free(reading);
    return status;
}
