/* SPDX-License-Identifier: MIT */
/* Commands in a container. Without input the answer to the start is the stream of what they write;
 * with input the connection is taken over: what follows the head of the answer is theirs. */
#include "docker/calls.h"
#include "docker/follow.h"
#include "docker/path.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Of the head of the answer, before the connection is ours. */
#define HEAD_MAX 8192

/* ---- taking over the connection -------------------------------------------------------------- */

struct attached {
    pnx_engine *engine;
    struct pnx__line *line;
    const struct pnx__limit *limit;
    const char *input;
    size_t input_left;
    bool input_ended;
    struct pnx__frames *frames;
};

static pnx_status lost(const struct attached *to, pnx_error *err)
{
    return pnx_fail(err, PNX_EFAILED, "%s closed the connection to the command",
                    to->engine->at.host);
}

static pnx_status send_head(struct attached *to, const char *head, size_t size, pnx_error *err)
{
    while (size) {
        size_t sent = 0;
        pnx_status status = pnx__docker_line_send(to->line, head, size, &sent);
        if (status == PNX_EBUSY) {
            status = pnx__docker_line_wait(to->engine, to->line, true, to->limit, err);
            if (status != PNX_OK)
                return status;
        } else if (status != PNX_OK) {
            return lost(to, err);
        }
        head += sent;
        size -= sent;
    }
    return PNX_OK;
}

/* What the engine says instead of handing the connection over: a short answer with a length. */
static pnx_status refusal(const char *head, size_t size, long status, pnx_error *err)
{
    const char *body = strstr(head, "\r\n\r\n") + 4;
    char text[512];
    snprintf(text, sizeof text, "%.*s", (int)(head + size - body), body);
    /* The body may be chunked; the message is all that is looked for. */
    char *start = strchr(text, '{'), *end = strrchr(text, '}');
    if (start && end && start < end)
        end[1] = '\0';
    struct pnx__docker_exchange exchange = {.status = status,
                                            .answer = start && end ? start : text};
    return pnx__docker_refused(&exchange, err);
}

/* Reads until the head is whole; what came after it is the beginning of the stream. */
static pnx_status read_head(struct attached *to, pnx_error *err)
{
    char head[HEAD_MAX + 1];
    size_t size = 0;
    const char *end = NULL;
    while (!end) {
        size_t got = 0;
        pnx_status status = pnx__docker_line_receive(to->line, head + size, HEAD_MAX - size, &got);
        if (status == PNX_EBUSY) {
            status = pnx__docker_line_wait(to->engine, to->line, false, to->limit, err);
            if (status != PNX_OK)
                return status;
            continue;
        }
        if (status != PNX_OK || got == 0)
            return lost(to, err);
        size += got;
        head[size] = '\0';
        end = strstr(head, "\r\n\r\n");
        if (!end && size == HEAD_MAX)
            return pnx__docker_stream_broken(err);
    }
    int minor = 0, number = 0;
    /* NOLINTNEXTLINE(cert-err34-c): three digits cannot be out of range */
    if (sscanf(head, "HTTP/1.%1d %3d", &minor, &number) != 2)
        return pnx__docker_stream_broken(err);
    if (number != 101 && number != 200)
        return refusal(head, size, number, err);
    end += 4;
    if (!pnx__docker_frames_take(end, (size_t)(head + size - end), to->frames) &&
        !to->frames->enough)
        return pnx__docker_stream_broken(err);
    return PNX_OK;
}

/* PNX_OK: what goes is sent; PNX_EBUSY: no more goes now. */
static pnx_status push_input(struct attached *to)
{
    while (to->input_left) {
        size_t sent = 0;
        pnx_status status = pnx__docker_line_send(to->line, to->input, to->input_left, &sent);
        if (status == PNX_EBUSY)
            return PNX_EBUSY;
        if (status != PNX_OK)
            break; /* it reads no more; what it has written may still come */
        to->input += sent;
        to->input_left -= sent;
    }
    to->input_left = 0;
    if (!to->input_ended)
        pnx__docker_line_end_sending(to->line);
    to->input_ended = true;
    return PNX_OK;
}

static pnx_status pump(struct attached *to, pnx_error *err)
{
    char buffer[16384];
    while (!to->frames->enough) {
        size_t got = 0;
        bool to_send = push_input(to) == PNX_EBUSY;
        pnx_status status = pnx__docker_line_receive(to->line, buffer, sizeof buffer, &got);
        if (status == PNX_EBUSY) {
            status = pnx__docker_line_wait(to->engine, to->line, to_send, to->limit, err);
            if (status != PNX_OK)
                return status;
            continue;
        }
        if (status != PNX_OK)
            return lost(to, err);
        if (got == 0)
            return pnx__docker_frames_whole(to->frames) ? PNX_OK : pnx__docker_stream_broken(err);
        if (pnx_monotonic_now() >= to->limit->deadline)
            return pnx_fail(err, PNX_ETIMEOUT, "the command did not end in time");
        if (!pnx__docker_frames_take(buffer, got, to->frames) && !to->frames->enough)
            return pnx__docker_stream_broken(err);
    }
    return PNX_OK;
}

static pnx_status run_attached(struct attached *to, const char *path, pnx_error *err)
{
    static const char body[] = "{\"Detach\":false,\"Tty\":false}";
    char *head = NULL;
    unsigned api = pnx_engine_api(to->engine);
    int length = asprintf(&head,
                          "POST /v%u.%u%s HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\n"
                          "Upgrade: tcp\r\nContent-Type: application/json\r\n"
                          "Content-Length: %zu\r\n\r\n%s",
                          api / 1000, api % 1000, path, sizeof body - 1, body);
    if (length < 0)
        return pnx__docker_no_memory(err);
    pnx_status status = send_head(to, head, (size_t)length, err);
    free(head);
    if (status == PNX_OK)
        status = read_head(to, err);
    return status == PNX_OK ? pump(to, err) : status;
}

static pnx_status start_with_input(pnx_engine *engine, const char *path, const pnx_exec *exec,
                                   struct pnx__frames *frames, const struct pnx__limit *limit,
                                   pnx_error *err)
{
    struct attached to = {
        .engine = engine,
        .limit = limit,
        .input = exec->input,
        .input_left = exec->input_size,
        .frames = frames,
    };
    if (engine->at.tls) /* TLS has no half-close: the command would wait for its end for ever */
        return pnx_fail(err, PNX_EUNSUPPORTED,
                        "input of a command cannot be ended over TLS; copy it into the container");
    pnx_status status = pnx__docker_line_connect(engine, limit, &to.line, err);
    if (status != PNX_OK)
        return status;
    status = run_attached(&to, path, err);
    pnx__docker_line_free(to.line);
    return status;
}

static pnx_status start_without_input(pnx_engine *engine, const char *path,
                                      struct pnx__frames *frames, const struct pnx__limit *limit,
                                      pnx_error *err)
{
    static const char body[] = "{\"Detach\":false,\"Tty\":false}";
    struct pnx__docker_exchange exchange = {
        .method = "POST", .path = path, .body = body, .body_size = sizeof body - 1};
    return pnx__docker_follow_frames(engine, &exchange, frames, limit, err);
}

/* ---- exec ------------------------------------------------------------------------------------ */

static json_t *exec_body(const pnx_exec *exec)
{
    json_t *body =
        json_pack("{s:b, s:b, s:b, s:o, s:o}", "AttachStdin", (int)(exec->input != NULL),
                  "AttachStdout", 1, "AttachStderr", 1, "Cmd", pnx__docker_json_texts(exec->argv),
                  "Env", pnx__docker_json_texts(exec->environment));
    int failed = !body;
    if (exec->user)
        failed |= json_object_set_new(body, "User", json_string(exec->user));
    if (exec->workdir)
        failed |= json_object_set_new(body, "WorkingDir", json_string(exec->workdir));
    if (!failed)
        return body;
    json_decref(body);
    return NULL;
}

static pnx_status create(pnx_engine *engine, const char *container, const pnx_exec *exec,
                         const struct pnx__limit *limit, json_t **ret, pnx_error *err)
{
    char *path;
    json_t *body = exec_body(exec), *answer = NULL;
    if (!body)
        return pnx__docker_no_memory(err);
    pnx_status status = pnx__docker_path(&path, err, "/containers/%s/exec", container);
    if (status == PNX_OK) {
        status = pnx__docker_request(engine, "POST", path, body, limit, &answer, err);
        free(path);
    }
    json_decref(body);
    if (status == PNX_OK && !*pnx__docker_json_text(answer, "Id")) {
        json_decref(answer);
        return pnx_fail(err, PNX_EFAILED, "the engine answered no id of the command");
    }
    if (status == PNX_OK)
        *ret = answer;
    return status;
}

static pnx_status exit_of(pnx_engine *engine, const char *id, const struct pnx__limit *limit,
                          bool *ret_running, int *ret_exit, pnx_error *err)
{
    char *path;
    json_t *about = NULL;
    pnx_status status = pnx__docker_path(&path, err, "/exec/%s/json", id);
    if (status != PNX_OK)
        return status;
    status = pnx__docker_request(engine, "GET", path, NULL, limit, &about, err);
    free(path);
    if (status != PNX_OK)
        return status;
    const json_t *code = json_object_get(about, "ExitCode");
    *ret_running = json_is_true(json_object_get(about, "Running")) || !json_is_integer(code);
    *ret_exit = *ret_running ? -1 : (int)json_integer_value(code);
    json_decref(about);
    return PNX_OK;
}

/* The stream is at its end a little before the engine knows how the command ended. */
static pnx_status wait_exit(pnx_engine *engine, const char *id, const struct pnx__limit *limit,
                            int *ret_exit, pnx_error *err)
{
    pnx_duration pause = PNX_MS(1);
    for (;;) {
        bool running;
        pnx_status status = exit_of(engine, id, limit, &running, ret_exit, err);
        if (status != PNX_OK || !running)
            return status;
        status = pnx__docker_pause(pause, limit, err);
        if (status != PNX_OK)
            return status;
        pause = pause < PNX_MS(50) ? pause * 2 : pause;
    }
}

static pnx_status run(pnx_engine *engine, const char *id, const pnx_exec *exec,
                      const struct pnx__limit *limit, int *ret_exit, pnx_error *err)
{
    struct pnx__frames frames = {.sink = exec->sink, .context = exec->context};
    char *path;
    pnx_status status = pnx__docker_path(&path, err, "/exec/%s/start", id);
    if (status != PNX_OK)
        return status;
    status = exec->input ? start_with_input(engine, path, exec, &frames, limit, err)
                         : start_without_input(engine, path, &frames, limit, err);
    free(path);
    if (status == PNX_OK && !frames.enough)
        status = wait_exit(engine, id, limit, ret_exit, err);
    return status;
}

pnx_status pnx_engine_exec(pnx_engine *engine, const char *container, const pnx_exec *exec,
                           const pnx_call *call, int *ret_exit, pnx_error *err)
{
    struct pnx__limit limit = pnx__docker_limit_of(engine, call);
    json_t *made = NULL;
    int code = -1;
    if (!exec->argv || !exec->argv[0])
        return pnx_fail(err, PNX_EINVAL, "there is no command to run in %s", container);
    pnx_status status = create(engine, container, exec, &limit, &made, err);
    if (status == PNX_OK) {
        status = run(engine, pnx__docker_json_text(made, "Id"), exec, &limit, &code, err);
        json_decref(made);
    }
    if (status != PNX_OK)
        return pnx_wrap(err, status, "cannot run %s in %s", exec->argv[0], container);
    if (ret_exit)
        *ret_exit = code;
    return PNX_OK;
}
