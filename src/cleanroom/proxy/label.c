/* SPDX-License-Identifier: MIT */
#include "proxy/label.h"

#include "proxy/query.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static pnx_status no_memory(pnx_error *err)
{
    return pnx_fail(err, PNX_ENOMEM, "no memory for a request that is to be labelled");
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* ---- one set of labels ----------------------------------------------------------------------- */

static bool is_anothers(const json_t *theirs, const json_t *labels)
{
    pnx_id id;
    const char *session = text_of(theirs, PNX_LABEL_SESSION);
    return strcmp(session, text_of(labels, PNX_LABEL_SESSION)) != 0 &&
           pnx_id_parse(session, &id, NULL) == PNX_OK &&
           pnx_id_parse(text_of(theirs, PNX_LABEL_ID), &id, NULL) == PNX_OK;
}

static bool put_over(json_t *theirs, const json_t *labels, char ret_mark[PNX_ID_TEXT_SIZE])
{
    const char *key;
    json_t *value;
    bool nested = is_anothers(theirs, labels);
    memset(ret_mark, 0, PNX_ID_TEXT_SIZE);
    memcpy(ret_mark, text_of(nested ? theirs : labels, PNX_LABEL_ID), PNX_ID_TEXT_SIZE - 1);
    /* Not json_object_update: `labels` is const, and its values may be shared. */
    json_object_foreach((json_t *)labels, key, value)
    {
        if (!nested && json_object_set(theirs, key, value) != 0)
            return false;
    }
    return true;
}

/* ---- in a body ------------------------------------------------------------------------------- */

/* All that a reader which does not look at case would take for `field`, as one. Where two of them
 * say something of the same label, the last one counts; so it does in engines. */
static json_t *gather(json_t *body, const char *field, pnx_error *err)
{
    json_t *all = json_object(), *value;
    const char *key;
    void *next;
    bool good = all != NULL;
    json_object_foreach_safe(body, next, key, value)
    {
        if (!good || strcasecmp(key, field) != 0)
            continue;
        if (!json_is_object(value) && !json_is_null(value)) {
            json_decref(all);
            (void)pnx_fail(err, PNX_EINVAL, "%s in the request is no object", field);
            return NULL;
        }
        good = !json_is_object(value) || json_object_update(all, value) == 0;
        (void)json_object_del(body, key);
    }
    if (good)
        return all;
    json_decref(all);
    (void)no_memory(err);
    return NULL;
}

static pnx_status parse_object(const char *text, size_t size, const char *what, json_t **ret,
                               pnx_error *err)
{
    json_error_t wrong;
    bool empty = size == 0 || strspn(text, " \t\r\n") >= size;
    json_t *json = empty ? json_object()
                         : json_loadb(text, size, JSON_ALLOW_NUL | JSON_DISABLE_EOF_CHECK, &wrong);
    if (!json)
        return empty ? no_memory(err)
                     : pnx_fail(err, PNX_EINVAL, "%s is no JSON: %s, at byte %d", what, wrong.text,
                                wrong.position);
    if (json_is_object(json)) {
        *ret = json;
        return PNX_OK;
    }
    json_decref(json);
    return pnx_fail(err, PNX_EINVAL, "%s is no JSON object", what);
}

static pnx_status print(const json_t *json, struct pnx__bytes *ret, pnx_error *err)
{
    char *text = json_dumps(json, JSON_COMPACT);
    bool good = text && pnx__bytes_add_text(ret, text);
    free(text);
    return good ? PNX_OK : no_memory(err);
}

static bool find_name(const json_t *body, struct pnx__bytes *ret)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)body, key, value)
    {
        if (strcasecmp(key, "name") == 0 && json_is_string(value))
            return pnx__bytes_add_text(ret, json_string_value(value));
    }
    return true;
}

pnx_status pnx__label_body(const char *body, size_t size, const char *field, const json_t *labels,
                           struct pnx__bytes *ret, char ret_mark[PNX_ID_TEXT_SIZE],
                           struct pnx__bytes *ret_name, pnx_error *err)
{
    json_t *json = NULL;
    pnx_status status = parse_object(body, size, "the body of the request", &json, err);
    if (status != PNX_OK)
        return status;
    json_t *theirs = gather(json, field, err);
    if (!theirs) {
        json_decref(json);
        return err ? err->code : PNX_EINVAL;
    }
    bool good = put_over(theirs, labels, ret_mark) && json_object_set(json, field, theirs) == 0 &&
                find_name(json, ret_name);
    status = good ? print(json, ret, err) : no_memory(err);
    json_decref(theirs);
    json_decref(json);
    return status;
}

/* ---- in a target ----------------------------------------------------------------------------- */

/* The parameter as a JSON object; an empty one if it is not given. */
static pnx_status parse_parameter(const char *target, const char *name, json_t **ret,
                                  pnx_error *err)
{
    struct pnx__bytes text = {0};
    (void)pnx__query_get(target, name, &text);
    pnx_status status = text.size > 0 && strcmp(text.data, "null") != 0
                            ? parse_object(text.data, text.size, name, ret, err)
                            : PNX_OK;
    if (text.size == 0 || strcmp(text.data, "null") == 0)
        *ret = json_object();
    pnx__bytes_done(&text);
    return status == PNX_OK && !*ret ? no_memory(err) : status;
}

static pnx_status set_parameter(const char *target, const char *name, const json_t *json,
                                struct pnx__bytes *ret, pnx_error *err)
{
    struct pnx__bytes text = {0};
    pnx_status status = print(json, &text, err);
    if (status == PNX_OK && !pnx__query_set(target, name, text.data, ret))
        status = no_memory(err);
    pnx__bytes_done(&text);
    return status;
}

pnx_status pnx__label_build(const char *target, const json_t *labels, struct pnx__bytes *ret,
                            char ret_mark[PNX_ID_TEXT_SIZE], pnx_error *err)
{
    json_t *theirs = NULL;
    pnx_status status = parse_parameter(target, "labels", &theirs, err);
    if (status != PNX_OK)
        return status;
    status = put_over(theirs, labels, ret_mark) ? set_parameter(target, "labels", theirs, ret, err)
                                                : no_memory(err);
    json_decref(theirs);
    return status;
}

/* Quotes only where they are needed, for Podman takes them for part of the value. */
static bool add_change(struct pnx__bytes *line, const char *key, const char *value)
{
    bool plain = !value[strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789._-:/+")];
    return pnx__bytes_print(line, plain ? "LABEL %s=%s" : "LABEL %s=\"%s\"", key, value);
}

pnx_status pnx__label_changes(const char *target, const json_t *labels, struct pnx__bytes *ret,
                              pnx_error *err)
{
    const char *key;
    json_t *value;
    struct pnx__bytes now = {0};
    bool good = pnx__bytes_add_text(&now, target);
    json_object_foreach((json_t *)labels, key, value)
    {
        struct pnx__bytes line = {0}, next = {0};
        const char *text = json_string_value(value);
        if (!good || !text || !*text) /* nothing to say, as of a machine without an id */
            continue;
        good =
            add_change(&line, key, text) && pnx__query_add(now.data, "changes", line.data, &next);
        pnx__bytes_done(&line);
        pnx__bytes_done(&now);
        now = next;
    }
    good = good && pnx__bytes_add(ret, now.data, now.size);
    pnx__bytes_done(&now);
    return good ? PNX_OK : no_memory(err);
}

/* Both forms are in use: {"label":["a=b"]} and {"label":{"a=b":true}}. */
static bool add_filter(json_t *filters, const char *term)
{
    json_t *label = json_object_get(filters, "label");
    if (json_is_array(label))
        return json_array_append_new(label, json_string(term)) == 0;
    if (json_is_object(label))
        return json_object_set_new(label, term, json_true()) == 0;
    const char *key;
    json_t *value;
    bool listed = json_object_size(filters) == 0;
    json_object_foreach(filters, key, value) listed = listed || json_is_array(value);
    label = listed ? json_pack("[s]", term) : json_pack("{s:b}", term, 1);
    return json_object_set_new(filters, "label", label) == 0;
}

pnx_status pnx__label_filter(const char *target, const char *session, struct pnx__bytes *ret,
                             pnx_error *err)
{
    json_t *filters = NULL;
    struct pnx__bytes term = {0};
    pnx_status status = parse_parameter(target, "filters", &filters, err);
    if (status != PNX_OK)
        return status;
    status =
        pnx__bytes_print(&term, PNX_LABEL_SESSION "=%s", session) && add_filter(filters, term.data)
            ? set_parameter(target, "filters", filters, ret, err)
            : no_memory(err);
    pnx__bytes_done(&term);
    json_decref(filters);
    return status;
}
