/* SPDX-License-Identifier: MIT */
/*
 * What is made through the proxy: labelled, written down, forwarded, and bound to the id that the
 * engine answers.
 *
 *     begin ─► (collected) ─► intend, in the pool ─► forward ─► look, settle
 */
#include "proxy/connection.h"
#include "proxy/label.h"
#include "proxy/query.h"
#include "proxy/volumes.h"

#include "docker/calls.h"

#include <jansson.h>
#include <string.h>

void pnx__creation_done(struct pnx__creation *creation)
{
    pnx__bytes_done(&creation->name);
    pnx__bytes_done(&creation->target);
    pnx__bytes_done(&creation->body);
    json_decref(creation->volumes);
    *creation = (struct pnx__creation){0};
}

/* ---- before it is sent ----------------------------------------------------------------------- */

static void write_down(struct pnx__connection *connection)
{
    struct pnx__creation *creation = &connection->creation;
    struct pnx__proxy *proxy = connection->proxy;
    if (creation->volumes)
        pnx__volumes_make(proxy->engine, proxy->record, proxy->keep, creation->body.data,
                          creation->body.size, creation->volumes);
    connection->work_status =
        pnx__record_intend(connection->proxy->record, connection->route.type, creation->mark,
                           creation->name.size > 0 ? creation->name.data : "", &creation->token,
                           &connection->work_error);
}

static void intend(struct pnx__connection *connection)
{
    const struct pnx__route *route = &connection->route;
    connection->creation.active = true;
    if (route->what == PNX__ROUTE_CREATE && route->type == PNX_CONTAINER && !route->pod)
        connection->creation.volumes = json_array();
    pnx__connection_work(connection, write_down);
}

/* The classic builder makes a step, an image and a container of each label: only what is needed. */
static void leave_out_most(json_t *labels)
{
    static const char *const left_out[] = {
        PNX_LABEL_MACHINE, PNX_LABEL_BOOT,     PNX_LABEL_UID,     PNX_LABEL_OWNER,
        PNX_LABEL_CREATED, PNX_LABEL_PRIORITY, PNX_LABEL_VERSION,
    };
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        (void)json_object_del(labels, left_out[i]);
}

static json_t *make_labels(struct pnx__connection *connection, pnx_error *err)
{
    const struct pnx__proxy *proxy = connection->proxy;
    json_t *labels = json_object();
    if (pnx_engine_label(proxy->engine, connection->route.type, proxy->keep, NULL, labels, err) ==
        PNX_OK) {
        if (connection->route.what == PNX__ROUTE_BUILD)
            leave_out_most(labels);
        return labels;
    }
    json_decref(labels);
    return NULL;
}

static void cannot_label(struct pnx__connection *connection, const pnx_error *err)
{
    pnx__refuse(connection, err->code == PNX_EINVAL ? 400 : 503, "cannot label it: %s",
                err->message);
}

static pnx_status label_target(struct pnx__connection *connection, const json_t *labels,
                               pnx_error *err)
{
    struct pnx__creation *creation = &connection->creation;
    const char *target = connection->request.target.data;
    if (connection->route.what == PNX__ROUTE_BUILD) {
        (void)pnx__query_get(target, "t", &creation->name);
        return pnx__label_build(target, labels, &creation->target, creation->mark, err);
    }
    (void)(pnx__query_get(target, "repo", &creation->name) ||
           pnx__query_get(target, "reference", &creation->name));
    memcpy(creation->mark, pnx__docker_json_text(labels, PNX_LABEL_ID), PNX_ID_TEXT_SIZE - 1);
    return pnx__label_changes(target, labels, &creation->target, err);
}

static pnx_status label_body(struct pnx__connection *connection, const json_t *labels,
                             pnx_error *err)
{
    struct pnx__creation *creation = &connection->creation;
    struct pnx__bytes labelled = {0}, name = {0};
    pnx_status status =
        pnx__label_body(creation->body.size > 0 ? creation->body.data : "", creation->body.size,
                        connection->route.field, labels, &labelled, creation->mark, &name, err);
    if (name.size == 0)
        (void)pnx__query_get(connection->request.target.data, "name", &name);
    pnx__bytes_done(&creation->body);
    pnx__bytes_done(&creation->name);
    creation->body = labelled;
    creation->name = name;
    return status;
}

static void label(struct pnx__connection *connection)
{
    pnx_error err = {0};
    json_t *labels = make_labels(connection, &err);
    pnx_status status = !labels ? err.code
                        : connection->route.what == PNX__ROUTE_CREATE
                            ? label_body(connection, labels, &err)
                            : label_target(connection, labels, &err);
    json_decref(labels);
    if (status == PNX_OK)
        intend(connection);
    else
        cannot_label(connection, &err);
}

static bool collect(const char *data, size_t size, void *context)
{
    struct pnx__connection *connection = context;
    struct pnx__bytes *body = &connection->creation.body;
    return body->size + size <= PNX__PROXY_BODY_MAX && pnx__bytes_add(body, data, size);
}

void pnx__creation_begin(struct pnx__connection *connection)
{
    struct pnx__http *request = &connection->request;
    char expect[32];
    if (connection->route.what != PNX__ROUTE_CREATE) {
        label(connection);
        return;
    }
    if (request->state == PNX__HTTP_DONE) {
        label(connection);
        return;
    }
    connection->phase = PNX__PHASE_COLLECT;
    request->on_body = collect;
    request->context = connection;
    if (pnx__http_header(request, "Expect", expect, sizeof expect) &&
        !pnx__bytes_add_text(&connection->down.own, "HTTP/1.1 100 Continue\r\n\r\n"))
        pnx__connection_cut(connection);
    connection->again = true;
}

void pnx__creation_collected(struct pnx__connection *connection)
{
    label(connection);
}

/* ---- sending it ------------------------------------------------------------------------------ */

static void forward_labelled(struct pnx__connection *connection)
{
    static const char *const ours[] = {"Content-Length", "Transfer-Encoding", "Expect", "Trailer",
                                       NULL};
    char length[48];
    struct pnx__bytes *own = &connection->up.own;
    const struct pnx__bytes *body = &connection->creation.body;
    snprintf(length, sizeof length, "Content-Length: %zu\r\n", body->size);
    if (!pnx__http_head_edit(&connection->request, NULL, ours, length, own) ||
        !pnx__bytes_add(own, body->data, body->size)) {
        pnx__refuse_and_close(connection, 503, "no memory for this request");
        return;
    }
    pnx__bytes_done(&connection->creation.body);
    pnx__http_begin(&connection->answer, HTTP_RESPONSE);
    connection->answering = true;
    connection->phase = PNX__PHASE_ANSWER;
}

/* The loop's own: what is known to be ours need not be asked for. */
static void know_volumes(struct pnx__connection *connection)
{
    size_t i;
    const json_t *name;
    json_array_foreach(connection->creation.volumes, i, name)
    {
        (void)json_object_set_new(connection->proxy->made, json_string_value(name), json_true());
    }
}

void pnx__creation_forward(struct pnx__connection *connection)
{
    struct pnx__creation *creation = &connection->creation;
    know_volumes(connection);
    if (connection->work_status != PNX_OK) {
        creation->active = false;
        pnx__refuse(connection, 503, "cannot write down what is to be made: %s",
                    connection->work_error.message);
        return;
    }
    if (connection->route.what == PNX__ROUTE_CREATE)
        forward_labelled(connection);
    else
        pnx__request_forward(connection, creation->target.data);
    creation->sent = connection->answering;
}

/* ---- what became of it ----------------------------------------------------------------------- */

static void take_id(struct pnx__creation *creation, const char *id)
{
    static const char algorithm[] = "sha256:";
    if (strncmp(id, algorithm, strlen(algorithm)) == 0)
        id += strlen(algorithm);
    if (strspn(id, "0123456789abcdef") == 64 && (!id[64] || strcmp(id + 64, "\n") == 0))
        snprintf(creation->id, sizeof creation->id, "%s%.64s", algorithm, id);
}

static bool look_at_image(struct pnx__creation *creation, const json_t *json)
{
    take_id(creation, pnx__docker_json_text(json_object_get(json, "aux"), "ID"));
    take_id(creation, pnx__docker_json_text(json, "status"));
    take_id(creation, pnx__docker_json_text(json, "stream"));
    take_id(creation, pnx__docker_json_text(json, "Id"));
    return true;
}

/* Engines answer the creation of a volume that exists as if they had made it; its labels tell. */
static void look_at_volume(struct pnx__connection *connection, const json_t *labels)
{
    struct pnx__creation *creation = &connection->creation;
    creation->existed = strcmp(pnx__docker_json_text(labels, PNX_LABEL_ID), creation->mark) != 0;
    creation->foreign =
        creation->existed &&
        strcmp(pnx__docker_json_text(labels, PNX_LABEL_SESSION), connection->proxy->session) != 0 &&
        !json_object_get(connection->proxy->made, creation->id);
}

static void look_at_thing(struct pnx__connection *connection, const json_t *json)
{
    struct pnx__creation *creation = &connection->creation;
    const char *id = pnx__docker_json_text(json, connection->route.identity);
    if (!*id)
        return;
    snprintf(creation->id, sizeof creation->id, "%s", id);
    if (connection->route.type == PNX_VOLUME)
        look_at_volume(connection, json_object_get(json, "Labels"));
}

static bool visit(json_t *json, void *context)
{
    static const char loaded[] = "Loaded image";
    struct pnx__connection *connection = context;
    const char *stream = pnx__docker_json_text(json, "stream");
    if (connection->route.what == PNX__ROUTE_CREATE)
        look_at_thing(connection, json);
    else if (connection->route.what == PNX__ROUTE_LOAD &&
             strncmp(stream, loaded, strlen(loaded)) == 0)
        pnx__tell_message(connection->proxy->tell,
                          "%.200s: it has no label of this session, and stays", stream);
    else
        look_at_image(&connection->creation, json);
    return true;
}

bool pnx__creation_look(const char *data, size_t size, void *context)
{
    struct pnx__connection *connection = context;
    connection->lines.visit = visit;
    connection->lines.context = connection;
    (void)pnx__docker_lines_take(data, size, &connection->lines);
    return true;
}

static const char *what_of(const struct pnx__connection *connection)
{
    return connection->route.pod ? "pod" : pnx_object_type_name(connection->route.type);
}

static pnx_status was_made(struct pnx__connection *connection, pnx_error *err)
{
    const struct pnx__creation *creation = &connection->creation;
    struct pnx__proxy *proxy = connection->proxy;
    if (!creation->id[0]) { /* a build that failed, say */
        pnx__creation_doubt(connection);
        return PNX_OK;
    }
    if (creation->foreign)
        pnx__tell_message(proxy->tell, "%s %s existed before: it is not of this session, and stays",
                          what_of(connection), creation->id);
    if (creation->existed)
        return pnx__record_gone(proxy->record, creation->token, "existed before", err);
    (void)json_object_set_new(proxy->made, creation->id, json_true());
    return pnx__record_bind(proxy->record, creation->token, creation->id, err);
}

static pnx_status outcome(struct pnx__connection *connection, unsigned status, pnx_error *err)
{
    const struct pnx__creation *creation = &connection->creation;
    struct pnx__proxy *proxy = connection->proxy;
    char fate[64];
    if (!creation->sent)
        return pnx__record_gone(proxy->record, creation->token, "never asked for", err);
    if (status / 100 == 2)
        return was_made(connection, err);
    if (status / 100 == 4) {
        snprintf(fate, sizeof fate, "refused by the engine (HTTP %u)", status);
        return pnx__record_gone(proxy->record, creation->token, fate, err);
    }
    if (status != 0)
        pnx__creation_doubt(connection);
    else
        pnx__tell_message(proxy->tell, "the creation of %s %.100s was not answered",
                          what_of(connection), creation->name.size ? creation->name.data : "");
    return PNX_OK; /* the intent stays; by its mark is found what there is of it */
}

void pnx__creation_settle(struct pnx__connection *connection, unsigned status)
{
    struct pnx__creation *creation = &connection->creation;
    pnx_error err = {0};
    pnx__docker_lines_end(&connection->lines, status != 0);
    connection->lines = (struct pnx__lines){0};
    if (!creation->active)
        return;
    creation->active = false;
    if (outcome(connection, status, &err) != PNX_OK)
        pnx__tell_message(connection->proxy->tell, "cannot write down what became of %s %.64s: %s",
                          what_of(connection), creation->id, err.message);
}
