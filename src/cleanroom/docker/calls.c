/* SPDX-License-Identifier: MIT */
/* Requests that all sorts of things have, and small helpers for JSON. */
#include "docker/calls.h"

#include "docker/labels.h"
#include "docker/path.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *pnx_object_type_name(pnx_object_type type)
{
    static const char *const names[PNX_OBJECT_TYPE_COUNT] = {
        [PNX_CONTAINER] = "container",
        [PNX_NETWORK] = "network",
        [PNX_VOLUME] = "volume",
        [PNX_IMAGE] = "image",
    };
    return (unsigned)type < PNX_OBJECT_TYPE_COUNT ? names[type] : "unknown";
}

/* ---- JSON and time --------------------------------------------------------------------------- */

json_t *pnx__docker_json_texts(const char *const *texts)
{
    json_t *array = json_array();
    for (; array && texts && *texts; texts++) {
        if (json_array_append_new(array, json_string(*texts)) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

const char *pnx__docker_json_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

int64_t pnx__docker_time_parse(const char *text)
{
    struct tm date = {0};
    const char *at = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &date) : NULL;
    int64_t fraction = 0, unit = PNX_S(1), offset = 0;
    if (!at)
        return 0;
    if (*at == '.')
        for (at++; *at >= '0' && *at <= '9'; at++) {
            unit /= 10;
            fraction += unit * (*at - '0');
        }
    if (*at == '+' || *at == '-') {
        struct tm zone = {0};
        const char *end = strptime(at + 1, "%H:%M", &zone);
        if (!end)
            return 0;
        offset = (zone.tm_hour * 3600 + zone.tm_min * 60) * (*at == '-' ? -1 : 1);
    } else if (*at != 'Z') {
        return 0;
    }
    time_t seconds = timegm(&date);
    if (seconds < offset || seconds > INT64_MAX / PNX_S(1) - 1)
        return 0;
    return PNX_S(seconds - offset) + fraction;
}

pnx_status pnx__docker_pause(pnx_duration span, const struct pnx__limit *limit, pnx_error *err)
{
    pnx_time until = pnx_time_after(pnx_monotonic_now(), span);
    bool cut = until > limit->deadline;
    if (cut)
        until = limit->deadline;
    struct pollfd alarm = {.fd = limit->cancel_fd, .events = POLLIN};
    for (;;) {
        pnx_duration left = until - pnx_monotonic_now();
        if (left <= 0)
            return cut ? pnx_fail(err, PNX_ETIMEOUT, "the engine did not get there in time")
                       : PNX_OK;
        struct timespec timeout = {left / PNX_S(1), left % PNX_S(1)};
        if (ppoll(&alarm, 1, &timeout, NULL) > 0)
            return pnx_fail(err, PNX_ECANCELED, "the call was canceled");
    }
}

/* ---- inspect, list, remove ------------------------------------------------------------------- */

pnx_status pnx__docker_inspect(pnx_engine *engine, pnx_object_type type, const char *id,
                               const struct pnx__limit *limit, json_t **ret, pnx_error *err)
{
    static const char *const formats[PNX_OBJECT_TYPE_COUNT] = {
        [PNX_CONTAINER] = "/containers/%s/json",
        [PNX_NETWORK] = "/networks/%s",
        [PNX_VOLUME] = "/volumes/%s",
        [PNX_IMAGE] = "/images/%s/json",
    };
    char *path;
    json_t *json = NULL;
    pnx_status status = pnx__docker_path(&path, err, formats[type], id);
    if (status != PNX_OK)
        return status;
    status = pnx__docker_request(engine, "GET", path, NULL, limit, &json, err);
    free(path);
    if (status != PNX_OK)
        return pnx_wrap(err, status, "cannot inspect %s %s", pnx_object_type_name(type), id);
    if (!json_is_object(json)) {
        json_decref(json);
        return pnx_fail(err, PNX_EFAILED, "the engine's answer about %s %s is no JSON object",
                        pnx_object_type_name(type), id);
    }
    *ret = json;
    return PNX_OK;
}

/* Of volumes the list is a member of the answer, and null when there are none. */
static json_t *unwrap(pnx_object_type type, json_t *answer)
{
    json_t *list = type == PNX_VOLUME ? json_object_get(answer, "Volumes") : answer;
    if (type == PNX_VOLUME && json_is_object(answer) && (!list || json_is_null(list)))
        list = json_array();
    else
        json_incref(list);
    json_decref(answer);
    if (json_is_array(list))
        return list;
    json_decref(list);
    return NULL;
}

static bool has_label(const json_t *labels, const char *wanted)
{
    const char *equals = strchr(wanted, '=');
    if (!equals)
        return json_object_get(labels, wanted) != NULL;
    json_t *value = json_object_getn(labels, wanted, (size_t)(equals - wanted));
    const char *text = json_string_value(value);
    return text && strcmp(text, equals + 1) == 0;
}

/* Of several labels the engine is told only the first: Podman 4.3 lists volumes that have any of
 * them, and no images at all. */
static void keep_labelled(pnx_object_type type, const char *const *labels, json_t *list)
{
    for (size_t i = json_array_size(list); i-- > 0;) {
        const json_t *own = pnx__docker_labels_of(type, json_array_get(list, i));
        bool all = true;
        for (const char *const *label = labels; label && *label && all; label++)
            all = has_label(own, *label);
        if (!all)
            json_array_remove(list, i);
    }
}

pnx_status pnx__docker_list(pnx_engine *engine, pnx_object_type type, const char *const *labels,
                            const struct pnx__limit *limit, json_t **ret, pnx_error *err)
{
    static const char *const formats[PNX_OBJECT_TYPE_COUNT] = {
        [PNX_CONTAINER] = "/containers/json?all=1&filters=%p",
        [PNX_NETWORK] = "/networks?filters=%p",
        [PNX_VOLUME] = "/volumes?filters=%p",
        [PNX_IMAGE] = "/images/json?filters=%p",
    };
    json_t *filters = json_object(), *answer = NULL;
    bool labelled = labels && labels[0];
    if (labelled && json_object_set_new(filters, "label", json_pack("[s]", labels[0])) != 0) {
        json_decref(filters);
        return pnx__docker_no_memory(err);
    }
    char *path;
    pnx_status status = pnx__docker_path(&path, err, formats[type], filters);
    json_decref(filters);
    if (status != PNX_OK)
        return status;
    status = pnx__docker_request(engine, "GET", path, NULL, limit, &answer, err);
    free(path);
    if (status != PNX_OK)
        return pnx_wrap(err, status, "cannot list %ss", pnx_object_type_name(type));
    json_t *list = unwrap(type, answer);
    if (!list)
        return pnx_fail(err, PNX_EFAILED, "the engine's list of %ss is no JSON array",
                        pnx_object_type_name(type));
    keep_labelled(type, labels, list);
    *ret = list;
    return PNX_OK;
}

pnx_status pnx__docker_remove(pnx_engine *engine, pnx_object_type type, const char *id, bool force,
                              const struct pnx__limit *limit, pnx_error *err)
{
    static const char *const formats[PNX_OBJECT_TYPE_COUNT] = {
        [PNX_CONTAINER] = "/containers/%s?v=1&force=%u",
        [PNX_NETWORK] = "/networks/%s",
        [PNX_VOLUME] = "/volumes/%s",
        [PNX_IMAGE] = "/images/%s?force=%u",
    };
    char *path;
    pnx_status status = pnx__docker_path(&path, err, formats[type], id, (unsigned)force);
    if (status != PNX_OK)
        return status;
    status = pnx__docker_request(engine, "DELETE", path, NULL, limit, NULL, err);
    free(path);
    return status == PNX_OK
               ? PNX_OK
               : pnx_wrap(err, status, "cannot remove %s %s", pnx_object_type_name(type), id);
}

static pnx_status check_type(pnx_object_type type, pnx_error *err)
{
    return (unsigned)type < PNX_OBJECT_TYPE_COUNT
               ? PNX_OK
               : pnx_fail(err, PNX_EINVAL, "%d is no type of an engine's things", (int)type);
}

pnx_status pnx_engine_inspect(pnx_engine *engine, pnx_object_type type, const char *id,
                              const pnx_call *call, json_t **ret, pnx_error *err)
{
    struct pnx__limit limit = pnx__docker_limit_of(engine, call);
    pnx_status status = check_type(type, err);
    return status == PNX_OK ? pnx__docker_inspect(engine, type, id, &limit, ret, err) : status;
}

pnx_status pnx_engine_list(pnx_engine *engine, pnx_object_type type, const char *const *labels,
                           const pnx_call *call, json_t **ret, pnx_error *err)
{
    struct pnx__limit limit = pnx__docker_limit_of(engine, call);
    pnx_status status = check_type(type, err);
    return status == PNX_OK ? pnx__docker_list(engine, type, labels, &limit, ret, err) : status;
}

pnx_status pnx_engine_remove(pnx_engine *engine, pnx_object_type type, const char *id, bool force,
                             const pnx_call *call, pnx_error *err)
{
    struct pnx__limit limit = pnx__docker_limit_of(engine, call);
    pnx_status status = check_type(type, err);
    return status == PNX_OK ? pnx__docker_remove(engine, type, id, force, &limit, err) : status;
}
