/* SPDX-License-Identifier: MIT */
/* cleanroom-docker places: where an engine is looked for, and which one is found. */
#include "proxy/sweep.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* A place is told at once; the one that is taken is asked for more first. */
static void add_engine(json_t *line, const char *host)
{
    const pnx_engine_config config = {.host = host};
    const pnx_call call = pnx_call_within(PNX_S(5));
    pnx_engine *engine;
    json_t *version = NULL;
    char api[24];
    if (pnx_engine_open(&config, &call, &engine, NULL) != PNX_OK)
        return;
    bool podman = pnx_engine_kind_of(engine) == PNX_ENGINE_PODMAN;
    snprintf(api, sizeof api, "%u.%u", pnx_engine_api(engine) / 1000,
             pnx_engine_api(engine) % 1000);
    (void)json_object_set_new(line, "engine", json_string(podman ? "podman" : "docker"));
    (void)json_object_set_new(line, "api", json_string(api));
    if (pnx_engine_version(engine, &call, &version, NULL) == PNX_OK) {
        const char *text = json_string_value(json_object_get(version, "Version"));
        (void)json_object_set_new(line, "version", pnx__sweep_text(text ? text : ""));
        json_decref(version);
    }
    pnx_engine_close(engine);
}

/* For who reads no JSON: fields that end with a tab or the line, without control characters. */
static void put(const json_t *line, const char *key, char end)
{
    const json_t *value = json_object_get(line, key);
    const char *text =
        json_is_boolean(value) ? (json_is_true(value) ? "yes" : "no") : json_string_value(value);
    for (; text && *text; text++)
        putchar((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text);
    putchar(end);
}

static void put_plain(const json_t *line)
{
    static const char *const keys[] = {"source", "host", "taken", "reason", "engine", "api"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        put(line, keys[i], '\t');
    put(line, "version", '\n');
}

static void visit(const pnx_engine_place *place, void *context)
{
    const bool *plain = context;
    json_t *line = json_pack("{s:o, s:o, s:b, s:b, s:o}", "source", pnx__sweep_text(place->source),
                             "host", pnx__sweep_text(place->host), "set", (int)place->set, "taken",
                             (int)place->taken, "reason", pnx__sweep_text(place->reason));
    if (line && place->taken)
        add_engine(line, place->host);
    if (!*plain) {
        pnx__sweep_tell(line);
        return;
    }
    put_plain(line);
    json_decref(line);
}

int pnx__docker_places_main(int argc, char **argv)
{
    bool plain = argc == 2 && strcmp(argv[1], "--plain") == 0;
    if (argc > 1 && !plain) {
        bool help = strcmp(argv[1], "--help") == 0;
        fputs("usage: cleanroom-docker places [--plain]\n", help ? stdout : stderr);
        return help ? 0 : PNX__SWEEP_USAGE;
    }
    return pnx_engine_discover(NULL, visit, &plain, NULL) == PNX_OK ? PNX__SWEEP_CLEAN
                                                                    : PNX__SWEEP_NO_ENGINE;
}
