/* SPDX-License-Identifier: MIT */
/* Requests about one container, and its networks. */
#include "docker/calls.h"
#include "docker/path.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* The path is freed. */
static pnx_status send(pnx_engine *engine, const char *method, char *path, const json_t *body,
                       const struct pnx__limit *limit, json_t **ret, pnx_error *err)
{
    pnx_status status = pnx__docker_request(engine, method, path, body, limit, ret, err);
    free(path);
    return status;
}

pnx_status pnx_engine_start(pnx_engine *engine, const char *container, const pnx_call *call,
                            pnx_error *err)
{
    struct pnx__limit limit = pnx__docker_limit_of(engine, call);
    char *path;
    pnx_status status = pnx__docker_path(&path, err, "/containers/%s/start", container);
    if (status != PNX_OK)
        return status;
    status = send(engine, "POST", path, NULL, &limit, NULL, err);
    return status == PNX_OK ? PNX_OK : pnx_wrap(err, status, "cannot start %s", container);
}

pnx_status pnx__docker_stop(pnx_engine *engine, const char *container, pnx_duration grace,
                            const struct pnx__limit *limit, pnx_error *err)
{
    char *path;
    pnx_duration seconds = grace <= 0 ? 0 : grace / PNX_S(1) + (grace % PNX_S(1) != 0);
    if (seconds > 1000000)
        seconds = 1000000;
    pnx_status status =
        pnx__docker_path(&path, err, "/containers/%s/stop?t=%u", container, (unsigned)seconds);
    if (status != PNX_OK)
        return status;
    status = send(engine, "POST", path, NULL, limit, NULL, err);
    return status == PNX_OK ? PNX_OK : pnx_wrap(err, status, "cannot stop %s", container);
}

pnx_status pnx_engine_stop(pnx_engine *engine, const char *container, pnx_duration grace,
                           const pnx_call *call, pnx_error *err)
{
    struct pnx__limit limit = pnx__docker_limit_of(engine, call);
    return pnx__docker_stop(engine, container, grace, &limit, err);
}

pnx_status pnx_engine_kill(pnx_engine *engine, const char *container, int signal_number,
                           const pnx_call *call, pnx_error *err)
{
    struct pnx__limit limit = pnx__docker_limit_of(engine, call);
    char *path;
    pnx_status status = pnx__docker_path(&path, err, "/containers/%s/kill?signal=%u", container,
                                         (unsigned)signal_number);
    if (status != PNX_OK)
        return status;
    status = send(engine, "POST", path, NULL, &limit, NULL, err);
    return status == PNX_OK ? PNX_OK : pnx_wrap(err, status, "cannot kill %s", container);
}

pnx_status pnx_engine_wait(pnx_engine *engine, const char *container, const pnx_call *call,
                           int *ret_exit, pnx_error *err)
{
    struct pnx__limit limit = pnx__docker_limit_of(engine, call);
    char *path;
    json_t *answer = NULL;
    pnx_status status =
        pnx__docker_path(&path, err, "/containers/%s/wait?condition=not-running", container);
    if (status != PNX_OK)
        return status;
    status = send(engine, "POST", path, NULL, &limit, &answer, err);
    if (status != PNX_OK)
        return pnx_wrap(err, status, "cannot wait for %s", container);
    const json_t *code = json_object_get(answer, "StatusCode");
    if (!json_is_integer(code))
        status = pnx_fail(err, PNX_EFAILED, "the engine did not say how %s ended", container);
    else if (ret_exit)
        *ret_exit = (int)json_integer_value(code);
    json_decref(answer);
    return status;
}

static pnx_status ask(pnx_engine *engine, const char *format, const char *container,
                      const pnx_call *call, json_t **ret, pnx_error *err)
{
    struct pnx__limit limit = pnx__docker_limit_of(engine, call);
    char *path;
    pnx_status status = pnx__docker_path(&path, err, format, container);
    return status == PNX_OK ? send(engine, "GET", path, NULL, &limit, ret, err) : status;
}

pnx_status pnx_engine_top(pnx_engine *engine, const char *container, const pnx_call *call,
                          json_t **ret, pnx_error *err)
{
    pnx_status status = ask(engine, "/containers/%s/top", container, call, ret, err);
    return status == PNX_OK ? PNX_OK
                            : pnx_wrap(err, status, "cannot list the processes of %s", container);
}

pnx_status pnx_engine_changes(pnx_engine *engine, const char *container, const pnx_call *call,
                              json_t **ret, pnx_error *err)
{
    json_t *changes = NULL;
    pnx_status status = ask(engine, "/containers/%s/changes", container, call, &changes, err);
    if (status != PNX_OK)
        return pnx_wrap(err, status, "cannot list the changes of %s", container);
    if (!json_is_array(changes)) { /* null: there are none */
        json_decref(changes);
        changes = json_array();
    }
    if (!changes)
        return pnx__docker_no_memory(err);
    *ret = changes;
    return PNX_OK;
}

/* ---- networks -------------------------------------------------------------------------------- */

/* The body is freed; NULL: there was no memory for it. */
static pnx_status change_network(pnx_engine *engine, const char *format, const char *network,
                                 json_t *body, const pnx_call *call, pnx_error *err)
{
    struct pnx__limit limit = pnx__docker_limit_of(engine, call);
    char *path;
    if (!body)
        return pnx__docker_no_memory(err);
    pnx_status status = pnx__docker_path(&path, err, format, network);
    if (status == PNX_OK)
        status = send(engine, "POST", path, body, &limit, NULL, err);
    json_decref(body);
    return status;
}

pnx_status pnx_engine_connect(pnx_engine *engine, const char *network, const char *container,
                              const char *const *aliases, const pnx_call *call, pnx_error *err)
{
    json_t *body = json_pack("{s:s, s:{s:o}}", "Container", container, "EndpointConfig", "Aliases",
                             pnx__docker_json_texts(aliases));
    pnx_status status = change_network(engine, "/networks/%s/connect", network, body, call, err);
    return status == PNX_OK ? PNX_OK
                            : pnx_wrap(err, status, "cannot connect %s to %s", container, network);
}

pnx_status pnx_engine_disconnect(pnx_engine *engine, const char *network, const char *container,
                                 bool force, const pnx_call *call, pnx_error *err)
{
    json_t *body = json_pack("{s:s, s:b}", "Container", container, "Force", (int)force);
    pnx_status status = change_network(engine, "/networks/%s/disconnect", network, body, call, err);
    return status == PNX_OK
               ? PNX_OK
               : pnx_wrap(err, status, "cannot disconnect %s from %s", container, network);
}
