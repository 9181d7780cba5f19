/* SPDX-License-Identifier: MIT */
#include "docker/object.h"

#include "docker/calls.h"
#include "docker/labels.h"
#include "docker/path.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- making and freeing ---------------------------------------------------------------------- */

pnx_status pnx__docker_object_make(pnx_engine *engine, pnx_object_type type, const char *name,
                                   pnx_keep keep, pnx_object **ret, pnx_error *err)
{
    pnx_object *object = calloc(1, sizeof *object);
    if (!object)
        return pnx__docker_no_memory(err);
    object->engine = engine;
    object->type = type;
    object->keep = keep;
    object->outcome = &object->own;
    memcpy(object->session, engine->session, sizeof object->session);
    pnx_status status = pnx__docker_mark_make(object->mark, err);
    char unique[64];
    snprintf(unique, sizeof unique, "cleanroom-%s", object->mark);
    object->name = strdup(name ? name : unique);
    object->id = strdup("");
    if (status == PNX_OK && (!object->name || !object->id))
        status = pnx__docker_no_memory(err);
    if (status != PNX_OK) {
        pnx_object_free(object);
        return status;
    }
    *ret = object;
    return PNX_OK;
}

void pnx_object_free(pnx_object *object)
{
    if (!object)
        return;
    free(object->image.name);
    free(object->image.from);
    free(object->image.dockerfile);
    json_decref(object->image.arguments);
    json_decref(object->image.labels);
    json_decref(object->image.changes);
    json_decref(object->body);
    json_decref(object->volumes);
    free(object->name);
    free(object->id);
    free(object);
}

pnx_object_type pnx_object_type_of(const pnx_object *object)
{
    return object->type;
}

const char *pnx_object_id(const pnx_object *object)
{
    return object->id;
}

const char *pnx_object_name(const pnx_object *object)
{
    return object->name;
}

const char *pnx_object_mark(const pnx_object *object)
{
    return object->mark;
}

void pnx_object_watch_by(pnx_object *object, pnx_outcome *outcome)
{
    object->outcome = outcome ? outcome : &object->own;
}

/* ---- adopting -------------------------------------------------------------------------------- */

static const char *id_of(pnx_object_type type, const json_t *about)
{
    return pnx__docker_json_text(about, type == PNX_VOLUME ? "Name" : "Id");
}

static const char *name_of(pnx_object_type type, const json_t *about)
{
    const char *list = type == PNX_IMAGE ? "RepoTags" : "Names";
    const char *name = json_string_value(json_array_get(json_object_get(about, list), 0));
    if (!name)
        name = type == PNX_IMAGE ? "" : pnx__docker_json_text(about, "Name");
    return type == PNX_CONTAINER && *name == '/' ? name + 1 : name;
}

pnx_status pnx__docker_object_of(pnx_engine *engine, pnx_object_type type, const char *session,
                                 const json_t *about, pnx_object **ret, pnx_error *err)
{
    pnx_object *object = NULL;
    const json_t *labels = pnx__docker_labels_of(type, about);
    const char *mark = pnx__docker_json_text(labels, PNX_LABEL_ID), *id = id_of(type, about);
    if (!*id || strcmp(pnx__docker_json_text(labels, PNX_LABEL_SESSION), session) != 0)
        return pnx_fail(err, PNX_EINVAL, "the %s %s is not of session %s",
                        pnx_object_type_name(type), id, session);
    pnx_status status = pnx__docker_object_make(
        engine, type, name_of(type, about),
        pnx__docker_keep_of(pnx__docker_json_text(labels, PNX_LABEL_KEEP)), &object, err);
    if (!object)
        return status;
    snprintf(object->mark, sizeof object->mark, "%s", strlen(mark) == 36 ? mark : "");
    snprintf(object->session, sizeof object->session, "%s", session);
    free(object->id);
    object->id = strdup(id);
    object->state = PNX__OBJECT_MADE;
    if (!object->id) {
        pnx_object_free(object);
        return pnx__docker_no_memory(err);
    }
    *ret = object;
    return PNX_OK;
}

pnx_status pnx_object_adopt(pnx_engine *engine, pnx_object_type type, const char *id,
                            const pnx_call *call, pnx_object **ret, pnx_error *err)
{
    json_t *about = NULL;
    pnx_status status = pnx_engine_inspect(engine, type, id, call, &about, err);
    if (status != PNX_OK)
        return status;
    status = pnx__docker_object_of(engine, type, engine->session, about, ret, err);
    json_decref(about);
    return status;
}

/* ---- creating -------------------------------------------------------------------------------- */

static pnx_status set_id(pnx_object *object, const char *id, pnx_error *err)
{
    if (!*id)
        return pnx_fail(err, PNX_EFAILED, "the engine answered no id of what it made");
    char *copy = strdup(id);
    if (!copy)
        return pnx__docker_no_memory(err);
    free(object->id);
    object->id = copy;
    object->state = PNX__OBJECT_MADE;
    return PNX_OK;
}

/* Was it refused, or never asked for, so that nothing came into being? Anything else leaves that
 * open. */
static bool was_refused(const pnx_error *err)
{
    switch (err->code) {
    case PNX_EINVAL:
    case PNX_ENOTFOUND:
    case PNX_EBUSY:
    case PNX_EUNSUPPORTED:
    case PNX_EFORKED:
        return true;
    default: /* no connection, no file */
        return err->sys_errno == ENOENT || err->sys_errno == ECONNREFUSED ||
               err->sys_errno == EACCES;
    }
}

/* A volume that was there already is answered as if it had been made: with its own labels. */
static pnx_status check_made(pnx_object *object, const json_t *answer, pnx_error *err)
{
    if (object->type != PNX_VOLUME)
        return PNX_OK;
    const char *mark = pnx__docker_json_text(json_object_get(answer, "Labels"), PNX_LABEL_ID);
    return strcmp(mark, object->mark) == 0
               ? PNX_OK
               : pnx_fail(err, PNX_EBUSY,
                          "there is a volume %s already, which is not ours; choose another name",
                          object->name);
}

static pnx_status ask(pnx_object *object, const struct pnx__limit *limit, pnx_error *err)
{
    json_t *answer = NULL;
    char *path = NULL;
    pnx_status status =
        object->type == PNX_CONTAINER
            ? pnx__docker_path(&path, err, "/containers/create?name=%s", object->name)
            : pnx__docker_path(
                  &path, err, object->type == PNX_NETWORK ? "/networks/create" : "/volumes/create");
    if (status == PNX_OK)
        status =
            pnx__docker_request(object->engine, "POST", path, object->body, limit, &answer, err);
    free(path);
    if (status == PNX_OK)
        status = check_made(object, answer, err);
    if (status == PNX_OK)
        status = set_id(object,
                        object->type == PNX_VOLUME ? pnx__docker_json_text(answer, "Name")
                                                   : pnx__docker_json_text(answer, "Id"),
                        err);
    json_decref(answer);
    return status;
}

static pnx_status ask_image(pnx_object *object, const struct pnx__limit *limit, pnx_error *err)
{
    char id[128];
    pnx_status status =
        pnx__docker_image_make(object->engine, &object->image, limit, id, sizeof id, err);
    return status == PNX_OK ? set_id(object, id, err) : status;
}

static pnx_status intend(pnx_object *object, pnx_error *err)
{
    const pnx_engine_ledger *ledger = object->engine->ledger;
    if (!ledger)
        return PNX_OK;
    pnx_status status = ledger->intend(ledger->context, object->type, object->mark, object->name,
                                       &object->token, err);
    object->in_ledger = status == PNX_OK;
    return status;
}

/* Its anonymous volumes exist from now on; not to know them is no reason to fail. */
static void note(pnx_object *object, const struct pnx__limit *limit)
{
    json_t *about;
    if (object->type != PNX_CONTAINER ||
        pnx__docker_inspect(object->engine, PNX_CONTAINER, object->id, limit, &about, NULL) !=
            PNX_OK)
        return;
    pnx__docker_object_note(object, about);
    json_decref(about);
}

static pnx_status create(pnx_object *object, const struct pnx__limit *limit, pnx_error *err)
{
    const pnx_engine_ledger *ledger = object->engine->ledger;
    pnx_status status = intend(object, err);
    if (status != PNX_OK)
        return status;
    /* Until the answer is here: whatever ends this in between, it is looked for by its mark. */
    object->state = PNX__OBJECT_UNKNOWN;
    status = object->type == PNX_IMAGE ? ask_image(object, limit, err) : ask(object, limit, err);
    object->asked = pnx_monotonic_now();
    if (status != PNX_OK) {
        if (was_refused(err))
            object->state = PNX__OBJECT_NEVER;
        return status;
    }
    note(object, limit);
    return object->in_ledger ? ledger->bind(ledger->context, object->token, object->id, err)
                             : PNX_OK;
}

pnx_status pnx_object_create(pnx_object *object, const pnx_call *call, pnx_error *err)
{
    struct pnx__limit limit = pnx__docker_limit_of(object->engine, call);
    const char *type = pnx_object_type_name(object->type);
    pnx_error local = {0};
    if (!err)
        err = &local;
    if (object->state != PNX__OBJECT_NEW)
        return pnx_fail(err, PNX_EALREADY, "the %s %s was created before", type, object->name);
    pnx_status status = pnx__docker_engine_here(object->engine, err);
    if (status == PNX_OK)
        status = create(object, &limit, err);
    return status == PNX_OK ? PNX_OK
                            : pnx_wrap(err, status, "cannot create the %s %s", type, object->name);
}
