/* SPDX-License-Identifier: MIT */
/* One look at a container: the look itself, and those sorts of it that ask but the engine. */
#include "container/check.h"

#include "docker/calls.h"

#include <jansson.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

const char *pnx_check_type_name(pnx_check_type type)
{
    static const char *const names[PNX_CHECK_TYPE_COUNT] = {
        [PNX_CHECK_RUNS] = "runs", [PNX_CHECK_ENGINE] = "engine", [PNX_CHECK_COMMAND] = "command",
        [PNX_CHECK_TCP] = "tcp",   [PNX_CHECK_HTTP] = "http",     [PNX_CHECK_LOG] = "log",
    };
    return (unsigned)type < PNX_CHECK_TYPE_COUNT ? names[type] : "unknown";
}

const char *pnx_verdict_name(pnx_verdict verdict)
{
    static const char *const names[PNX_VERDICT_COUNT] = {
        [PNX_VERDICT_PASSES] = "passes",
        [PNX_VERDICT_FAILS] = "fails",
        [PNX_VERDICT_STARTING] = "starting",
    };
    return (unsigned)verdict < PNX_VERDICT_COUNT ? names[verdict] : "unknown";
}

/* ---- what a check must have ------------------------------------------------------------------ */

static pnx_status validate_http(const pnx_check *check, pnx_error *err)
{
    if (check->path && check->path[0] != '/')
        return pnx_fail(err, PNX_EINVAL, "path: '%s' does not begin with a slash", check->path);
    if (check->path && check->path[strcspn(check->path, " \t\r\n")])
        return pnx_fail(err, PNX_EINVAL, "path: '%s' has a space in it: escape it", check->path);
    int least = check->status_min ? check->status_min : 200;
    int most = check->status_max ? check->status_max : check->status_min ? least : 399;
    if (least < 100 || most > 599 || least > most)
        return pnx_fail(err, PNX_EINVAL, "status: %d to %d is no range of HTTP's", least, most);
    return PNX_OK;
}

static pnx_status validate_log(const pnx_check *check, pnx_error *err)
{
    regex_t regex;
    if (!check->text == !check->pattern)
        return pnx_fail(err, PNX_EINVAL, "log: set one of text and pattern");
    if (check->text && (!*check->text || strchr(check->text, '\n')))
        return pnx_fail(err, PNX_EINVAL, "text: a line is looked for, with something in it");
    if (!check->pattern)
        return PNX_OK;
    int code = regcomp(&regex, check->pattern, REG_EXTENDED | REG_NOSUB);
    if (code != 0) {
        char why[96];
        regerror(code, &regex, why, sizeof why);
        return code == REG_ESPACE
                   ? pnx__docker_no_memory(err)
                   : pnx_fail(err, PNX_EINVAL, "pattern: '%s': %s", check->pattern, why);
    }
    regfree(&regex);
    return PNX_OK;
}

pnx_status pnx_check_validate(const pnx_check *check, pnx_error *err)
{
    switch (check->type) {
    case PNX_CHECK_RUNS:
    case PNX_CHECK_ENGINE:
        return PNX_OK;
    case PNX_CHECK_COMMAND:
        if (!check->argv == !check->shell || (check->argv && !check->argv[0]))
            return pnx_fail(err, PNX_EINVAL, "command: set one of argv and shell");
        return PNX_OK;
    case PNX_CHECK_TCP:
    case PNX_CHECK_HTTP:
        if (!check->port)
            return pnx_fail(err, PNX_EINVAL, "port: %s needs one",
                            pnx_check_type_name(check->type));
        return check->type == PNX_CHECK_HTTP ? validate_http(check, err) : PNX_OK;
    case PNX_CHECK_LOG:
        return validate_log(check, err);
    default:
        return pnx_fail(err, PNX_EINVAL, "type: %d is no type of a check", (int)check->type);
    }
}

/* ---- verdicts -------------------------------------------------------------------------------- */

static pnx_status judge(const struct pnx__look *look, pnx_verdict verdict, const char *format,
                        va_list args) __attribute__((format(printf, 3, 0)));
static pnx_status judge(const struct pnx__look *look, pnx_verdict verdict, const char *format,
                        va_list args)
{
    pnx_check_result *result = look->result;
    result->verdict = verdict;
    vsnprintf(result->reason, sizeof result->reason, format, args);
    return PNX_OK;
}

pnx_status pnx__look_fails(const struct pnx__look *look, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    pnx_status status = judge(look, PNX_VERDICT_FAILS, format, args);
    va_end(args);
    return status;
}

pnx_status pnx__look_passes(const struct pnx__look *look, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    pnx_status status = judge(look, PNX_VERDICT_PASSES, format, args);
    va_end(args);
    return status;
}

/* ---- the engine's own health check ----------------------------------------------------------- */

/* The first line of the last thing that its check wrote. */
static void last_output(const json_t *health, char *ret, size_t size)
{
    const json_t *log = json_object_get(health, "Log");
    size_t count = json_array_size(log);
    const char *text = count ? pnx__docker_json_text(json_array_get(log, count - 1), "Output") : "";
    snprintf(ret, size, "%s%.*s", *text ? ": " : "", (int)strcspn(text, "\r\n"), text);
}

static pnx_status look_engine(const struct pnx__look *look, pnx_error *err)
{
    char output[160];
    const json_t *health = json_object_get(json_object_get(look->about, "State"), "Health");
    const char *state = pnx__docker_json_text(health, "Status");
    last_output(health, output, sizeof output);
    if (strcmp(state, "healthy") == 0)
        return pnx__look_passes(look, "the engine says healthy%s", output);
    if (strcmp(state, "unhealthy") == 0)
        return pnx__look_fails(look, "the engine says unhealthy%s", output);
    if (strcmp(state, "starting") != 0)
        return pnx_fail(err, PNX_EUNSUPPORTED,
                        "%s has no health check of its own: give it one, or use a command",
                        look->container);
    (void)pnx__look_fails(look, "the engine says starting%s", output);
    look->result->verdict = PNX_VERDICT_STARTING;
    return PNX_OK;
}

/* ---- a command ------------------------------------------------------------------------------- */

/* Of what a look may take this is kept, to ask an engine that says nothing whether it is there. */
static pnx_time without_reserve(pnx_time deadline)
{
    if (deadline == PNX_FOREVER)
        return deadline;
    pnx_duration reserve = (deadline - pnx_monotonic_now()) / 4;
    return deadline - (reserve < PNX_S(1) ? reserve : PNX_S(1));
}

/* The beginning of what a command writes: its first line is the reason. */
struct words {
    char text[160];
    size_t size;
};

static bool take_words(int stream, const void *data, size_t size, void *context)
{
    struct words *words = context;
    size_t room = sizeof words->text - 1 - words->size;
    (void)stream;
    if (size > room)
        size = room;
    memcpy(words->text + words->size, data, size);
    words->size += size;
    return true;
}

static pnx_status run_command(const struct pnx__look *look, struct words *words, int *ret_exit,
                              pnx_error *err)
{
    const pnx_check *check = look->check;
    const char *const shell[] = {"/bin/sh", "-c", check->shell, NULL};
    const pnx_exec exec = {
        .argv = check->argv ? check->argv : shell,
        .user = check->user,
        .sink = take_words,
        .context = words,
    };
    pnx_call call = *look->call;
    call.deadline = without_reserve(call.deadline);
    return pnx_engine_exec(look->engine, look->container, &exec, &call, ret_exit, err);
}

static pnx_status look_command(const struct pnx__look *look, pnx_error *err)
{
    int code = -1;
    struct words words = {.size = 0};
    pnx_status status = run_command(look, &words, &code, err);
    if (status == PNX_ETIMEOUT && pnx_engine_ping(look->engine, look->call, NULL) == PNX_OK) {
        pnx_error_clear(err);
        return pnx__look_fails(look, "the command did not end in time");
    }
    if (status == PNX_EBUSY) {
        pnx_error_clear(err);
        return pnx__look_fails(look, "it ended before the command did");
    }
    if (status != PNX_OK)
        return status;
    int length = (int)strcspn(words.text, "\r\n");
    look->result->number = code;
    return code == 0 ? pnx__look_passes(look, "exit status 0%s%.*s", length ? ": " : "", length,
                                        words.text)
                     : pnx__look_fails(look, "exit status %d%s%.*s", code, length ? ": " : "",
                                       length, words.text);
}

/* ---- a look ---------------------------------------------------------------------------------- */

static pnx_status look_at_running(const struct pnx__look *look, pnx_error *err)
{
    switch (look->check->type) {
    case PNX_CHECK_RUNS:
        return pnx__look_passes(look, "it runs");
    case PNX_CHECK_ENGINE:
        return look_engine(look, err);
    case PNX_CHECK_COMMAND:
        return look_command(look, err);
    case PNX_CHECK_TCP:
        return pnx__look_tcp(look, err);
    case PNX_CHECK_HTTP:
        return pnx__look_http(look, err);
    default:
        return pnx__look_log(look, err);
    }
}

/* What does not run passes no check: whatever it once wrote or answered. */
static pnx_status look_at(const struct pnx__look *look, pnx_error *err)
{
    const json_t *state = json_object_get(look->about, "State");
    pnx_check_result *result = look->result;
    result->running = json_is_true(json_object_get(state, "Running"));
    result->oom_killed = json_is_true(json_object_get(state, "OOMKilled"));
    if (!json_is_object(state))
        return pnx_fail(err, PNX_EFAILED, "the engine does not say in what state %s is",
                        look->container);
    if (result->running)
        return json_is_true(json_object_get(state, "Paused"))
                   ? pnx__look_fails(look, "it is paused")
                   : look_at_running(look, err);
    const char *name = pnx__docker_json_text(state, "Status");
    if (strcmp(name, "created") == 0)
        return pnx__look_fails(look, "it was not started yet");
    result->ended = true;
    result->exit_code = (int)json_integer_value(json_object_get(state, "ExitCode"));
    return pnx__look_fails(look, "it has ended (%s), exit status %d%s", name, result->exit_code,
                           result->oom_killed ? ": memory ran out" : "");
}

pnx_status pnx_check_once(pnx_engine *engine, const char *container, const pnx_check *check,
                          const pnx_call *call, pnx_check_result *ret, pnx_error *err)
{
    json_t *about;
    pnx_check_result result = {.verdict = PNX_VERDICT_FAILS};
    pnx_time began = pnx_monotonic_now();
    struct pnx__limit limit = pnx__docker_limit_of(engine, call);
    const pnx_call whole = {limit.deadline, call ? call->cancel : NULL};
    pnx_status status = pnx_check_validate(check, err);
    if (status == PNX_OK)
        status = pnx__docker_inspect(engine, PNX_CONTAINER, container, &limit, &about, err);
    if (status != PNX_OK)
        return status;
    const struct pnx__look look = {engine, container, check, &whole, &limit, about, &result};
    status = look_at(&look, err);
    json_decref(about);
    if (status != PNX_OK)
        return status;
    result.took = pnx_monotonic_now() - began;
    *ret = result;
    return PNX_OK;
}
