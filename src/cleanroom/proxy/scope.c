/* SPDX-License-Identifier: MIT */
/* Whose it is that somebody wants to see or to remove, and what is done about it. */
#include "proxy/connection.h"
#include "proxy/label.h"
#include "proxy/query.h"
#include "proxy/volumes.h"

#include "docker/calls.h"
#include "docker/labels.h"
#include "docker/path.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The engine answers this in a tenth of a millisecond; where it does not, it does not answer what
 * is asked afterwards either. */
#define PATIENCE PNX_S(10)

/* ---- asking ---------------------------------------------------------------------------------- */

static pnx_status inspect_pod(struct pnx__connection *connection, const pnx_call *call,
                              json_t **ret, pnx_error *err)
{
    char *path = NULL;
    pnx_status status =
        pnx__docker_path(&path, err, "/libpod/pods/%s/json", connection->route.subject.data);
    if (status == PNX_OK)
        status = pnx_engine_request(connection->proxy->engine, "GET", path, NULL, call, ret, err);
    free(path);
    return status;
}

/* Networks that every engine has. */
static bool is_common(pnx_object_type type, const json_t *about)
{
    static const char *const names[] = {"bridge", "host", "none", "podman"};
    const char *name = pnx__docker_json_text(about, "Name");
    for (size_t i = 0; type == PNX_NETWORK && i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static enum pnx__whose judge(const struct pnx__connection *connection, const json_t *about)
{
    const json_t *labels = pnx__docker_labels_of(connection->route.type, about);
    bool ours =
        strcmp(pnx__docker_json_text(labels, PNX_LABEL_SESSION), connection->proxy->session) == 0;
    return ours || is_common(connection->route.type, about) ? PNX__WHOSE_OURS : PNX__WHOSE_FOREIGN;
}

/* In the pool. */
static void find_out(struct pnx__connection *connection)
{
    const struct pnx__route *route = &connection->route;
    const pnx_call call = pnx_call_within(PATIENCE);
    pnx_error *err = &connection->work_error;
    json_t *about = NULL;
    pnx_status status = route->pod ? inspect_pod(connection, &call, &about, err)
                                   : pnx_engine_inspect(connection->proxy->engine, route->type,
                                                        route->subject.data, &call, &about, err);
    connection->whose = status == PNX_OK          ? judge(connection, about)
                        : status == PNX_ENOTFOUND ? PNX__WHOSE_NOBODYS
                                                  : PNX__WHOSE_UNKNOWN;
    const char *id = pnx__docker_json_text(about, route->type == PNX_VOLUME ? "Name" : "Id");
    snprintf(connection->whose_id, sizeof connection->whose_id, "%s", id);
    if (connection->orphans && (connection->is_made || connection->whose == PNX__WHOSE_OURS))
        pnx__volumes_record(connection->proxy->engine, connection->proxy->record, about);
    json_decref(about);
}

/* A container that is removed without its anonymous volumes leaves what nobody finds again. */
static bool leaves_volumes(const struct pnx__connection *connection)
{
    const struct pnx__http *request = &connection->request;
    const struct pnx__route *route = &connection->route;
    if (request->parser.method != HTTP_DELETE || route->type != PNX_CONTAINER || route->pod ||
        route->what != PNX__ROUTE_HARM)
        return false;
    struct pnx__bytes with = {0};
    bool given = pnx__query_get(request->target.data, "v", &with) &&
                 (strcmp(with.data, "1") == 0 || strcasecmp(with.data, "true") == 0);
    pnx__bytes_done(&with);
    return !given;
}

bool pnx__scope_ask(struct pnx__connection *connection)
{
    const struct pnx__route *route = &connection->route;
    bool matters = route->what == PNX__ROUTE_HARM ||
                   (route->what == PNX__ROUTE_LOOK && connection->proxy->strict);
    if (!matters || route->subject.size == 0)
        return false;
    connection->is_made = json_object_get(connection->proxy->made, route->subject.data) != NULL;
    connection->orphans = leaves_volumes(connection);
    if (connection->is_made && !connection->orphans)
        return false;
    pnx__connection_work(connection, find_out);
    return true;
}

/* ---- acting ---------------------------------------------------------------------------------- */

static const char *what_of(const struct pnx__route *route)
{
    return route->pod ? "pod" : pnx_object_type_name(route->type);
}

static void tell(struct pnx__connection *connection, const char *what)
{
    const struct pnx__http *request = &connection->request;
    pnx__tell_message(connection->proxy->tell, "%s: %s %.120s", what,
                      http_method_str((enum http_method)request->parser.method),
                      request->target.data);
}

static void refuse_foreign(struct pnx__connection *connection)
{
    const struct pnx__route *route = &connection->route;
    bool image = route->type == PNX_IMAGE; /* these can be seen, so 404 would be a lie */
    tell(connection, "refused, for it is not of this session");
    pnx__refuse(connection, image ? 403 : 404, "No such %s of this session: %.100s", what_of(route),
                route->subject.data);
}

bool pnx__scope_allows(struct pnx__connection *connection)
{
    bool strict = connection->proxy->strict;
    bool foreign = connection->whose == PNX__WHOSE_FOREIGN &&
                   !json_object_get(connection->proxy->made, connection->whose_id);
    if (foreign && strict) {
        refuse_foreign(connection);
        return false;
    }
    if (connection->whose == PNX__WHOSE_UNKNOWN && strict) {
        pnx__refuse(connection, 503, "cannot find out whose %.64s is: %s",
                    connection->route.subject.data, connection->work_error.message);
        return false;
    }
    if (foreign)
        tell(connection, "it is not of this session");
    return true;
}

/* ---- lists and prunes ------------------------------------------------------------------------ */

static bool purge(struct pnx__connection *connection)
{
    if (!connection->proxy->strict) {
        tell(connection, "it is not of this session alone");
        return true;
    }
    tell(connection, "left out, for it is not of this session alone");
    pnx__refuse_kindly(connection, connection->route.answer);
    return false;
}

bool pnx__scope_narrow(struct pnx__connection *connection, struct pnx__bytes *target)
{
    struct pnx__proxy *proxy = connection->proxy;
    pnx_error err = {0};
    switch (connection->route.what) {
    case PNX__ROUTE_PURGE:
        return purge(connection);
    case PNX__ROUTE_UNSEEN:
        pnx__tell_message(proxy->tell, "what is made by %.120s has no label, and stays",
                          connection->route.subject.data);
        return true;
    case PNX__ROUTE_PRUNE:
        if (!proxy->strict)
            tell(connection, "it is not of this session alone");
        break;
    case PNX__ROUTE_LIST:
        break;
    default:
        return true;
    }
    if (!proxy->strict ||
        pnx__label_filter(connection->request.target.data, proxy->session, target, &err) == PNX_OK)
        return true;
    pnx__refuse(connection, 400, "%s", err.message);
    return false;
}
