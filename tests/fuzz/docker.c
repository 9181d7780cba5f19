/* SPDX-License-Identifier: MIT */
/*
 * What an engine may send: frames, lines of JSON, refusals, what it says about a thing; and names,
 * which come from anywhere. The first byte of an input chooses which of these the rest is, the
 * second one how it is cut.
 */
#include "fuzz.h"

#include "docker/calls.h"
#include "docker/labels.h"
#include "docker/object.h"
#include "docker/path.h"
#include "docker/stream.h"

#include <jansson.h>
#include <string.h>

#define SESSION "01234567-89ab-4def-8123-456789abcdef"

static pnx_engine *engine;

static void make_engine(void)
{
    static const struct pnx__address nowhere = {.host = "unix:///nowhere"};
    if (!engine)
        promise(pnx__docker_engine_make(&nowhere, &(pnx_engine_config){.session = SESSION}, &engine,
                                        NULL) == PNX_OK);
}

/* ---- streams --------------------------------------------------------------------------------- */

/* What came out, as a sum that depends on every byte and its order. */
struct sum {
    uint64_t value;
    size_t size, count;
};

static bool add(int stream, const void *data, size_t size, void *context)
{
    struct sum *sum = context;
    const unsigned char *at = data;
    promise(stream == 1 || stream == 2);
    for (size_t i = 0; i < size; i++)
        sum->value = sum->value * 1099511628211u + at[i] + ((uint64_t)stream << 8);
    sum->size += size;
    return true;
}

static bool take_cut(bool (*take)(const void *data, size_t size, void *context), void *context,
                     const uint8_t *data, size_t size, size_t cut)
{
    for (size_t at = 0; at < size; at += cut)
        if (!take(data + at, size - at < cut ? size - at : cut, context))
            return false;
    return true;
}

static void try_frames(const uint8_t *data, size_t size, size_t cut)
{
    struct sum whole = {0}, parts = {0};
    struct pnx__frames one = {.sink = add, .context = &whole},
                       more = {.sink = add, .context = &parts};
    bool good = pnx__docker_frames_take(data, size, &one);
    promise(good == !one.broken && !one.enough);
    promise(whole.size <= size);
    promise(take_cut(pnx__docker_frames_take, &more, data, size, cut) == good);
    promise(whole.value == parts.value && whole.size == parts.size);
    promise(pnx__docker_frames_whole(&one) == pnx__docker_frames_whole(&more));
}

static bool count(json_t *json, void *context)
{
    struct sum *sum = context;
    promise(json_is_object(json) || json_is_array(json));
    sum->count++;
    return true;
}

static void try_lines(const uint8_t *data, size_t size, size_t cut)
{
    struct sum whole = {0}, parts = {0};
    struct pnx__lines one = {.visit = count, .context = &whole},
                      more = {.visit = count, .context = &parts};
    bool good = pnx__docker_lines_take(data, size, &one);
    promise(take_cut(pnx__docker_lines_take, &more, data, size, cut) == good);
    pnx__docker_lines_end(&one, true);
    pnx__docker_lines_end(&more, true);
    promise(whole.count == parts.count && one.broken == more.broken);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void is_for_people(const pnx_error *err)
{
    promise(memchr(err->message, '\0', sizeof err->message) != NULL);
    for (const char *at = err->message; *at; at++)
        promise((unsigned char)*at >= ' ' && *at != 0x7f);
}

static void try_refusal(const char *text, size_t size, unsigned cut)
{
    static const long statuses[] = {304, 400, 403, 404, 409, 500, 501, 503, 999};
    pnx_error err = {0};
    const struct pnx__docker_exchange exchange = {
        .status = statuses[cut % (sizeof statuses / sizeof *statuses)],
        .answer = (char *)text,
        .answer_size = size,
    };
    promise(pnx__docker_refused(&exchange, &err) != PNX_OK);
    is_for_people(&err);
    promise(strstr(err.message, "(HTTP ") != NULL);
    json_t *json = NULL;
    if (pnx__docker_json_of(&exchange, &json, &err) == PNX_OK)
        json_decref(json);
}

static void try_object(const json_t *about, pnx_object_type type)
{
    pnx_object *object = NULL;
    if (pnx__docker_object_of(engine, type, SESSION, about, &object, NULL) != PNX_OK)
        return;
    const json_t *labels = pnx__docker_labels_of(type, about);
    promise(strcmp(pnx__docker_json_text(labels, PNX_LABEL_SESSION), SESSION) == 0);
    promise(*pnx_object_id(object) != '\0');
    pnx__docker_object_note(object, about);
    promise(object->pid == 0 || strlen(pnx_object_id(object)) > 0);
    size_t i;
    const json_t *volume;
    json_array_foreach(object->volumes, i, volume) promise(strlen(json_string_value(volume)) == 64);
    pnx_object_free(object);
}

static void try_about(const char *text, unsigned cut)
{
    json_t *about = json_loads(text, JSON_DECODE_ANY, NULL);
    if (!about)
        return;
    try_object(about, (pnx_object_type)(cut % PNX_OBJECT_TYPE_COUNT));
    const pnx_container_config config = {
        .image = "x", .body = about, .memory_max = 1, .network = "n", .health = {.shell = "true"}};
    pnx_object *object = NULL;
    pnx_error err = {0};
    if (pnx_container_new(engine, &config, &object, &err) == PNX_OK) {
        /* Whatever was given: it carries our labels, and no privileges nobody asked for. */
        const json_t *labels = json_object_get(object->body, "Labels");
        const json_t *host = json_object_get(object->body, "HostConfig");
        promise(strcmp(pnx__docker_json_text(labels, PNX_LABEL_ID), object->mark) == 0);
        promise(json_is_false(json_object_get(host, "Privileged")));
        promise(json_is_false(json_object_get(host, "AutoRemove")));
        pnx_object_free(object);
    } else {
        promise(err.code == PNX_EINVAL);
    }
    json_decref(about);
}

/* ---- names ----------------------------------------------------------------------------------- */

static void try_name(const char *name)
{
    char *path = NULL;
    (void)pnx__docker_time_parse(name);
    if (pnx__docker_path(&path, NULL, "/containers/%s/json?name=%s", name, name) != PNX_OK)
        return;
    const char *query = strchr(path, '?');
    promise(query != NULL && strncmp(path, "/containers/", 12) == 0);
    promise(strncmp(query - 5, "/json", 5) == 0);
    promise(!strchr(query + 6, '/') && !strchr(query + 6, '&'));
    for (const char *at = path; *at; at++)
        promise((unsigned char)*at > ' ' && (unsigned char)*at < 0x7f && *at != '#');
    for (const char *at = path; at < query; at++)
        promise(strncmp(at, "/../", 4) != 0 && strncmp(at, "/./", 3) != 0 &&
                strncmp(at, "//", 2) != 0);
    free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const unsigned what = data[0], cut = data[1] ? data[1] : 256;
    data += 2;
    size -= 2;
    char *text = malloc(size + 1);
    promise(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    make_engine();
    switch (what % 5) {
    case 0:
        try_frames(data, size, cut);
        break;
    case 1:
        try_lines(data, size, cut);
        break;
    case 2:
        try_refusal(text, size, cut);
        break;
    case 3:
        try_about(text, cut);
        break;
    default:
        try_name(text);
        break;
    }
    free(text);
    return 0;
}
