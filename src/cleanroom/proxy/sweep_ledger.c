/* SPDX-License-Identifier: MIT */
/*
 * What only the ledger of the proxy knows to be the session's, for it has no label of it, or is of
 * a sort that is not swept: things that came with labels of a session within this one, anonymous
 * volumes whose container was removed without them, pods. They are known by an id that the engine
 * itself made up, and by their mark. And what it cannot prove, but has to tell.
 */
#include "proxy/record.h"
#include "proxy/sweep.h"

#include "docker/calls.h"
#include "docker/labels.h"
#include "docker/path.h"
#include "kind/thing.h"
#include "ledger/ledger.h"

#include <fcntl.h>
#include <jansson.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct look {
    pnx_engine *engine;
    const char *session;
    const pnx_sweep *how;
    const pnx_call *call;
    pnx_status status;
};

static bool type_of(uint16_t code, pnx_object_type *ret)
{
    static const uint16_t codes[PNX_OBJECT_TYPE_COUNT] = {
        [PNX_CONTAINER] = PNX__CODE_CONTAINER,
        [PNX_NETWORK] = PNX__CODE_NETWORK,
        [PNX_VOLUME] = PNX__CODE_VOLUME,
        [PNX_IMAGE] = PNX__CODE_IMAGE,
    };
    for (int type = 0; type < PNX_OBJECT_TYPE_COUNT; type++) {
        if (codes[type] == code) {
            *ret = (pnx_object_type)type;
            return true;
        }
    }
    return false;
}

static void show(const struct look *look, pnx_object_type type, const char *id, const char *detail,
                 const pnx_outcome *outcome)
{
    const pnx_sweep_row row = {
        .type = type, .id = id, .name = id, .detail = detail, .outcome = *outcome};
    if (look->how->visit)
        look->how->visit(&row, look->how->context);
}

/* The session's, and so to be gone. */
static void tell(struct look *look, pnx_object_type type, const char *id, const char *detail,
                 const pnx_outcome *outcome)
{
    show(look, type, id, detail, outcome);
    if (!outcome->verified && outcome->fate != PNX_FATE_KEPT)
        look->status = PNX_EFAILED;
}

/* ---- of a session within ours ---------------------------------------------------------------- */

static pnx_status remove_nested(struct look *look, pnx_object_type type, const char *id,
                                const char *session, pnx_outcome *outcome)
{
    const pnx_engine_config config = {.host = pnx_engine_host(look->engine), .session = session};
    pnx_engine *engine;
    pnx_object *object;
    pnx_error err = {0};
    pnx_status status = pnx_engine_open(&config, look->call, &engine, &err);
    if (status != PNX_OK)
        return status;
    status = pnx_object_adopt(engine, type, id, look->call, &object, &err);
    if (status == PNX_OK) {
        pnx_object_watch_by(object, outcome);
        status = pnx_object_remove(object, look->call, &err);
        pnx_object_free(object);
    }
    pnx_engine_close(engine);
    return status;
}

static void take_nested(struct look *look, pnx_object_type type, const char *id,
                        const json_t *labels)
{
    pnx_outcome outcome = {.fate = PNX_FATE_STUCK};
    const char *session = pnx__docker_json_text(labels, PNX_LABEL_SESSION);
    if (type == PNX_IMAGE && !look->how->images)
        return;
    if (!look->how->look && remove_nested(look, type, id, session, &outcome) != PNX_OK &&
        !outcome.reason[0])
        snprintf(outcome.reason, sizeof outcome.reason, "it could not be removed");
    tell(look, type, id, "of a session within this one", &outcome);
}

/* ---- anonymous volumes ----------------------------------------------------------------------- */

static bool is_anonymous(const struct pnx__ledger_resource *resource)
{
    return resource->name && strncmp(resource->name, PNX__RECORD_ANONYMOUS " ",
                                     strlen(PNX__RECORD_ANONYMOUS) + 1) == 0;
}

static void take_volume(struct look *look, const char *name, const char *container)
{
    char detail[96];
    pnx_outcome outcome = {.fate = PNX_FATE_STUCK};
    pnx_error err = {0};
    json_t *about = NULL;
    pnx_time begin = pnx_monotonic_now();
    snprintf(detail, sizeof detail, "anonymous, of container %.12s", container);
    if (!look->how->look) {
        pnx_status status =
            pnx_engine_remove(look->engine, PNX_VOLUME, name, false, look->call, &err);
        outcome.attempts = 1;
        outcome.verified = pnx_engine_inspect(look->engine, PNX_VOLUME, name, look->call, &about,
                                              NULL) == PNX_ENOTFOUND;
        json_decref(about);
        outcome.fate = outcome.verified ? PNX_FATE_REMOVED : PNX_FATE_STUCK;
        outcome.took = pnx_monotonic_now() - begin;
        if (status != PNX_OK && !outcome.verified)
            pnx_error_format(&err, outcome.reason, sizeof outcome.reason);
    }
    tell(look, PNX_VOLUME, name, detail, &outcome);
}

/* ---- pods ------------------------------------------------------------------------------------ */

static pnx_status pod_request(struct look *look, const char *method, const char *format,
                              const char *id, json_t **ret, pnx_error *err)
{
    char *path = NULL;
    pnx_status status = pnx__docker_path(&path, err, format, id);
    if (status == PNX_OK)
        status = pnx_engine_request(look->engine, method, path, NULL, look->call, ret, err);
    free(path);
    return status;
}

/* Podman's, which are no containers, though they are written down as such. */
static void take_pod(struct look *look, const struct pnx__ledger_resource *resource)
{
    static const char inspect[] = "/libpod/pods/%s/json";
    pnx_outcome outcome = {.fate = PNX_FATE_STUCK};
    pnx_time begin = pnx_monotonic_now();
    pnx_error err = {0};
    json_t *about = NULL;
    const char *id = resource->identity;
    if (pod_request(look, "GET", inspect, id, &about, &err) != PNX_OK)
        return;
    const char *mark = pnx__docker_json_text(json_object_get(about, "Labels"), PNX_LABEL_ID);
    bool ours = strlen(mark) == 36 && resource->name && strncmp(resource->name, mark, 36) == 0;
    json_decref(about);
    if (!ours)
        return;
    if (!look->how->look) {
        pnx_status status =
            pod_request(look, "DELETE", "/libpod/pods/%s?force=true", id, NULL, &err);
        outcome.attempts = 1;
        about = NULL;
        outcome.verified = pod_request(look, "GET", inspect, id, &about, NULL) == PNX_ENOTFOUND;
        json_decref(about);
        outcome.fate = outcome.verified ? PNX_FATE_REMOVED : PNX_FATE_STUCK;
        outcome.took = pnx_monotonic_now() - begin;
        if (status != PNX_OK && !outcome.verified)
            pnx_error_format(&err, outcome.reason, sizeof outcome.reason);
    }
    tell(look, PNX_CONTAINER, id, "pod", &outcome);
}

/* ---- creations without an answer ------------------------------------------------------------- */

/* An engine that is killed while it makes a volume may have made it, but not its labels: dockerd
 * writes them last. By its name alone it could be anybody's. */
static void look_at_unanswered(struct look *look, const struct pnx__ledger_resource *resource)
{
    static const pnx_outcome outcome = {.fate = PNX_FATE_FOREIGN};
    const size_t mark = PNX_ID_TEXT_SIZE - 1;
    json_t *about = NULL;
    if (look->how->look || !resource->name || strlen(resource->name) <= mark + 1)
        return;
    const char *name = resource->name + mark + 1;
    pnx_status status =
        pnx_engine_inspect(look->engine, PNX_VOLUME, name, look->call, &about, NULL);
    if (status != PNX_OK && status != PNX_ENOTFOUND)
        look->status = status;
    if (status == PNX_OK && json_object_size(pnx__docker_labels_of(PNX_VOLUME, about)) == 0)
        show(look, PNX_VOLUME, name, "its creation was not answered, and it has no label",
             &outcome);
    json_decref(about);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void look_at(struct look *look, const struct pnx__ledger_resource *resource,
                    pnx_object_type type)
{
    json_t *about = NULL;
    pnx_error err = {0};
    pnx_status status =
        pnx_engine_inspect(look->engine, type, resource->identity, look->call, &about, &err);
    if (status != PNX_OK) {
        if (status != PNX_ENOTFOUND)
            look->status = status;
        else if (type == PNX_CONTAINER && pnx_engine_kind_of(look->engine) == PNX_ENGINE_PODMAN)
            take_pod(look, resource);
        return;
    }
    const json_t *labels = pnx__docker_labels_of(type, about);
    const char *session = pnx__docker_json_text(labels, PNX_LABEL_SESSION);
    const char *mark = pnx__docker_json_text(labels, PNX_LABEL_ID);
    if (is_anonymous(resource) && !*session)
        take_volume(look, resource->identity, resource->name + strlen(PNX__RECORD_ANONYMOUS) + 1);
    else if (*session && strcmp(session, look->session) != 0 && strlen(mark) == 36 &&
             resource->name && strncmp(resource->name, mark, 36) == 0)
        take_nested(look, type, resource->identity, labels);
    json_decref(about);
}

static struct pnx__ledger_view *load(const char *path)
{
    struct pnx__ledger_view *view = NULL;
    char *parent = strdup(path), *file = strdup(path);
    int dir = parent ? open(dirname(parent), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (dir >= 0 && file && pnx__ledger_load(dir, basename(file), &view, NULL) != PNX_OK)
        view = NULL;
    if (dir >= 0)
        close(dir);
    free(parent);
    free(file);
    return view;
}

pnx_status pnx__sweep_ledger(pnx_engine *engine, const char *path, const pnx_sweep *how,
                             const pnx_call *call)
{
    struct look look = {
        .engine = engine, .session = how->session, .how = how, .call = call, .status = PNX_OK};
    struct pnx__ledger_view *view = load(path);
    for (int type = 0; view && type < PNX_OBJECT_TYPE_COUNT; type++) {
        for (size_t i = 0; i < view->resource_count; i++) {
            const struct pnx__ledger_resource *resource = &view->resources[i];
            pnx_object_type own;
            if (!type_of(resource->kind, &own) || own != (pnx_object_type)type)
                continue;
            if (resource->state == PNX__LEDGER_IS_BOUND && resource->identity)
                look_at(&look, resource, own);
            else if (resource->state == PNX__LEDGER_INTENDED && own == PNX_VOLUME)
                look_at_unanswered(&look, resource);
        }
    }
    pnx__ledger_view_free(view);
    return look.status;
}
