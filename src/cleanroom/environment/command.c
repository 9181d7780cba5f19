/* SPDX-License-Identifier: MIT */
/*
 * An engine does not end the command of an exec that nobody waits for any more. So a shell says
 * first which process it is, as the line that /proc has about it, and becomes the command; by its
 * number and start time it is found again, and killed by another exec, as the same user.
 */
#include "environment/command.h"

#include "docker/calls.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TELL "read -r a </proc/$$/stat; printf '%s\\n' \"$a\"; exec \"$@\""
/* $1 is its number, $2 its start time, which is the 20th word behind the name in parentheses. 0: it
 * is gone (a zombie counts as that: nobody waits for it but the engine); 1: it was there. */
static const char end_script[] =
    "read -r a </proc/$1/stat || exit 0\n"
    "set -- \"$1\" \"$2\" ${a##*) }\n"
    "[ \"${22}\" = \"$2\" ] && [ \"$3\" != Z ] || exit 0\n"
    "kill -9 -\"$1\" 2>/dev/null; kill -9 \"$1\" 2>/dev/null; exit 1\n";
#define LINE_MAX_OF_STAT 1024
#define LOOK_WITHIN PNX_S(5)
#define PAUSE PNX_MS(20)

struct telling {
    const pnx_exec *exec;
    char line[LINE_MAX_OF_STAT];
    size_t size;
    bool told; /* the line is whole: what comes now is the command's own */
};

static bool pass_on(struct telling *telling, int stream, const char *data, size_t size)
{
    return size == 0 || !telling->exec->sink ||
           telling->exec->sink(stream, data, size, telling->exec->context);
}

static bool take(int stream, const void *data, size_t size, void *context)
{
    struct telling *telling = context;
    const char *text = data;
    if (stream != 1 || telling->told)
        return pass_on(telling, stream, text, size);
    const char *end = memchr(text, '\n', size);
    size_t length = end ? (size_t)(end - text) : size;
    size_t room = sizeof telling->line - 1 - telling->size;
    memcpy(telling->line + telling->size, text, length < room ? length : room);
    telling->size += length < room ? length : room;
    telling->told = end != NULL;
    return !end || pass_on(telling, stream, end + 1, size - length - 1);
}

/* "number (name) S …": number and start time. */
static bool identity_of(const struct telling *telling, char number[24], char start[24])
{
    const char *at = strrchr(telling->line, ')');
    if (!telling->told || !at || sscanf(telling->line, "%23[0-9]", number) != 1)
        return false;
    for (unsigned i = 0; i < 20 && at; i++)
        at = strchr(at + 1, ' ');
    return at && sscanf(at, " %23[0-9]", start) == 1;
}

/* PNX_OK: it is gone; PNX_EBUSY: it was there just now. */
static pnx_status kill_once(pnx_engine *engine, const char *container, const pnx_exec *exec,
                            const char *number, const char *start, pnx_time deadline)
{
    int code = -1;
    pnx_call call = pnx_call_within(LOOK_WITHIN);
    if (deadline < call.deadline)
        call.deadline = deadline;
    const char *const argv[] = {"/bin/sh", "-c", end_script, "sh", number, start, NULL};
    const pnx_exec end = {.argv = argv, .user = exec->user};
    pnx_status status = pnx_engine_exec(engine, container, &end, &call, &code, NULL);
    if (status == PNX_ENOTFOUND) /* with its container */
        return PNX_OK;
    if (status != PNX_OK)
        return status;
    return code == 0 ? PNX_OK : PNX_EBUSY;
}

/* An exec in a container that does not run is refused: nothing runs in it. */
static bool container_ended(pnx_engine *engine, const char *container)
{
    json_t *about = NULL;
    const pnx_call call = pnx_call_within(LOOK_WITHIN);
    pnx_status status = pnx_engine_inspect(engine, PNX_CONTAINER, container, &call, &about, NULL);
    bool running = json_is_true(json_object_get(json_object_get(about, "State"), "Running"));
    json_decref(about);
    return status == PNX_ENOTFOUND || (status == PNX_OK && !running);
}

static bool end_it(pnx_engine *engine, const char *container, const struct telling *telling,
                   pnx_duration grace)
{
    char number[24] = "", start[24] = "";
    pnx_time deadline = pnx_time_after(pnx_monotonic_now(), grace);
    const struct pnx__limit limit = {deadline, -1};
    if (!identity_of(telling, number, start))
        return container_ended(engine, container);
    for (;;) {
        pnx_status status = kill_once(engine, container, telling->exec, number, start, deadline);
        if (status == PNX_OK || (status != PNX_EBUSY && container_ended(engine, container)))
            return true;
        if (pnx__docker_pause(PAUSE, &limit, NULL) != PNX_OK)
            return false;
    }
}

static const char **wrap(const char *const *argv)
{
    static const char *const shell[] = {"/bin/sh", "-c", TELL, "sh"};
    size_t count = 0, words = sizeof shell / sizeof *shell;
    while (argv[count])
        count++;
    const char **wrapped = calloc(words + count + 1, sizeof *wrapped);
    if (!wrapped)
        return NULL;
    memcpy(wrapped, shell, sizeof shell);
    memcpy(wrapped + words, argv, count * sizeof *argv);
    return wrapped;
}

pnx_status pnx__command_run(pnx_engine *engine, const char *container, const pnx_exec *exec,
                            const pnx_call *call, pnx_duration grace, int *ret_exit,
                            bool *ret_ended, pnx_error *err)
{
    struct telling telling = {.exec = exec};
    const char **argv = exec->argv ? wrap(exec->argv) : NULL;
    *ret_ended = true;
    if (!argv)
        return exec->argv ? pnx__docker_no_memory(err)
                          : pnx_fail(err, PNX_EINVAL, "exec: it has no argv");
    pnx_exec wrapped = *exec;
    wrapped.argv = argv;
    wrapped.sink = take;
    wrapped.context = &telling;
    pnx_status status = pnx_engine_exec(engine, container, &wrapped, call, ret_exit, err);
    free(argv);
    /* One whose sink had enough runs on unattended, too. */
    if (status != PNX_OK || *ret_exit < 0)
        *ret_ended = end_it(engine, container, &telling, grace);
    return status;
}
