/* SPDX-License-Identifier: MIT */
#include "docker/engine.h"

#include "docker/labels.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The newest version whose answers this code was written for; an engine that wants a newer one at
 * least gets what it wants. */
#define API_NEWEST 1051u
/* What an engine speaks that does not tell. */
#define API_OLDEST 1024u

/* ---- making ---------------------------------------------------------------------------------- */

static pnx_status set_session(pnx_engine *engine, const char *session, pnx_error *err)
{
    pnx_id id;
    if (session) {
        pnx_status status = pnx_id_parse(session, &id, err);
        if (status != PNX_OK)
            return status;
        pnx_id_format(id, engine->session);
        return PNX_OK;
    }
    return pnx__docker_mark_make(engine->session, err);
}

static void start_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

pnx_status pnx__docker_engine_make(const struct pnx__address *at, const pnx_engine_config *config,
                                   pnx_engine **ret, pnx_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static const pnx_engine_config defaults;
    pthread_once(&once, start_curl);
    if (!config)
        config = &defaults;
    pnx_engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return pnx__docker_no_memory(err);
    engine->at = *at;
    engine->pid = getpid();
    engine->timeout = config->timeout > 0 ? config->timeout : PNX_S(30);
    engine->answer_max = config->answer_max ? config->answer_max : (size_t)64 << 20;
    engine->copy_max = config->copy_max ? config->copy_max : (uint64_t)1 << 30;
    engine->expires = config->expires > 0 ? config->expires : PNX_S(24 * 3600);
    engine->ledger = config->ledger;
    pnx_status status = set_session(engine, config->session, err);
    if (status != PNX_OK) {
        free(engine);
        return status;
    }
    atomic_init(&engine->api, 0);
    atomic_init(&engine->kind, PNX_ENGINE_DOCKER);
    atomic_init(&engine->failed, false);
    pthread_mutex_init(&engine->mutex, NULL);
    *ret = engine;
    return PNX_OK;
}

pnx_status pnx_engine_open(const pnx_engine_config *config, const pnx_call *call, pnx_engine **ret,
                           pnx_error *err)
{
    struct pnx__limit limit = pnx__docker_limit_of(NULL, call);
    if (!call || call->deadline == 0)
        limit.deadline = pnx_time_after(
            pnx_monotonic_now(), config && config->timeout > 0 ? config->timeout : PNX_S(30));
    return pnx__docker_find(config, &limit, ret, err);
}

void pnx_engine_close(pnx_engine *engine)
{
    if (!engine)
        return;
    /* In a fork child the connections are the parent's: what would be said on them to close them
     * in order would be said in its name. */
    if (engine->pid == getpid())
        pnx__docker_lines_close(engine);
    pthread_mutex_destroy(&engine->mutex);
    free(engine);
}

pnx_engine_kind pnx_engine_kind_of(const pnx_engine *engine)
{
    return (pnx_engine_kind)atomic_load_explicit(&engine->kind, memory_order_relaxed);
}

const char *pnx_engine_host(const pnx_engine *engine)
{
    return engine->at.host;
}

const char *pnx_engine_session(const pnx_engine *engine)
{
    return engine->session;
}

unsigned pnx_engine_api(const pnx_engine *engine)
{
    return atomic_load_explicit(&engine->api, memory_order_relaxed);
}

void pnx_engine_set_failed(pnx_engine *engine, bool failed)
{
    atomic_store_explicit(&engine->failed, failed, memory_order_relaxed);
}

/* ---- what every call needs ------------------------------------------------------------------- */

pnx_status pnx__docker_no_memory(pnx_error *err)
{
    return pnx_fail(err, PNX_ENOMEM, "no memory to talk to the engine");
}

struct pnx__limit pnx__docker_limit_of(const pnx_engine *engine, const pnx_call *call)
{
    struct pnx__limit limit = {
        .deadline = call ? call->deadline : 0,
        .cancel_fd = pnx__docker_cancel_fd(call ? call->cancel : NULL),
    };
    if (limit.deadline == 0 && engine)
        limit.deadline = pnx_time_after(pnx_monotonic_now(), engine->timeout);
    return limit;
}

pnx_status pnx__docker_engine_here(const pnx_engine *engine, pnx_error *err)
{
    return engine->pid == getpid()
               ? PNX_OK
               : pnx_fail(err, PNX_EFORKED, "the engine %s was opened by the parent process",
                          engine->at.host);
}

/* ---- versions -------------------------------------------------------------------------------- */

/* "1.41" is 1041; 0: it is no version. */
static unsigned version_of(const char *text)
{
    unsigned major = 0, minor = 0;
    char after = 0;
    /* NOLINTNEXTLINE(cert-err34-c): what is out of range is out of the bounds below */
    if (!text || sscanf(text, "%3u.%3u%c", &major, &minor, &after) != 2 || major < 1 || major > 99)
        return 0;
    return major * 1000 + minor;
}

static pnx_status exchange_at(pnx_engine *engine, struct pnx__docker_exchange *exchange,
                              unsigned api, const struct pnx__limit *limit, pnx_error *err)
{
    char *url = NULL;
    int length = api == 0 ? asprintf(&url, "%s%s", engine->at.base, exchange->path)
                          : asprintf(&url, "%s/v%u.%u%s", engine->at.base, api / 1000, api % 1000,
                                     exchange->path);
    if (length < 0)
        return pnx__docker_no_memory(err);
    pnx_status status = pnx__docker_transfer(engine, exchange, url, limit, err);
    free(url);
    return status;
}

/* The oldest version that it still takes; 0: it does not tell. */
static unsigned oldest_taken(pnx_engine *engine, const struct pnx__limit *limit)
{
    struct pnx__docker_exchange exchange = {.path = "/version"};
    if (exchange_at(engine, &exchange, 0, limit, NULL) != PNX_OK)
        return 0;
    json_t *json = exchange.status == 200 ? json_loads(exchange.answer, 0, NULL) : NULL;
    unsigned oldest = version_of(json_string_value(json_object_get(json, "MinAPIVersion")));
    json_decref(json);
    free(exchange.answer);
    return oldest;
}

pnx_status pnx__docker_negotiate(pnx_engine *engine, const struct pnx__limit *limit, pnx_error *err)
{
    struct pnx__docker_exchange exchange = {.path = "/_ping"};
    pnx_status status = exchange_at(engine, &exchange, 0, limit, err);
    if (status != PNX_OK)
        return status;
    unsigned newest = version_of(exchange.api_version);
    bool good = exchange.status == 200 && (newest || strcmp(exchange.answer, "OK") == 0);
    if (!good) {
        status = exchange.status >= 300
                     ? pnx__docker_refused(&exchange, err)
                     : pnx_fail(err, PNX_EFAILED, "what answers is not a container engine");
        free(exchange.answer);
        return status;
    }
    free(exchange.answer);
    unsigned api = newest == 0 ? API_OLDEST : newest < API_NEWEST ? newest : API_NEWEST;
    if (api < newest) {
        unsigned oldest = oldest_taken(engine, limit);
        api = oldest > api ? oldest : api;
    }
    atomic_store_explicit(&engine->kind, exchange.podman ? PNX_ENGINE_PODMAN : PNX_ENGINE_DOCKER,
                          memory_order_relaxed);
    atomic_store_explicit(&engine->api, api, memory_order_relaxed);
    return PNX_OK;
}

/* Both engines say it in these words: "client version 1.44 is too new. Maximum supported …". */
static bool wrong_version(const struct pnx__docker_exchange *exchange)
{
    return exchange->status == 400 &&
           (strstr(exchange->answer, "is too new") || strstr(exchange->answer, "is too old"));
}

static void again(struct pnx__docker_exchange *exchange)
{
    free(exchange->answer);
    exchange->answer = NULL;
    exchange->answer_size = 0;
    exchange->stopped = false;
}

pnx_status pnx__docker_exchange(pnx_engine *engine, struct pnx__docker_exchange *exchange,
                                const struct pnx__limit *limit, pnx_error *err)
{
    pnx_status status = pnx__docker_engine_here(engine, err);
    if (status == PNX_OK)
        status = exchange_at(engine, exchange, pnx_engine_api(engine), limit, err);
    if (status != PNX_OK)
        return status;
    if (wrong_version(exchange)) { /* it was replaced by another one: once is enough */
        again(exchange);
        status = pnx__docker_negotiate(engine, limit, err);
        if (status == PNX_OK)
            status = exchange_at(engine, exchange, pnx_engine_api(engine), limit, err);
        if (status != PNX_OK)
            return status;
    }
    if (exchange->status < 300)
        return PNX_OK;
    status = pnx__docker_refused(exchange, err);
    again(exchange);
    return status;
}

/* ---- answers --------------------------------------------------------------------------------- */

static pnx_status status_of(long http, const char *message)
{
    switch (http) {
    case 304:
        return PNX_EALREADY;
    case 400:
        return PNX_EINVAL;
    case 404:
        return PNX_ENOTFOUND;
    case 409:
    case 423:
    case 429:
    case 503:
        return PNX_EBUSY;
    case 501:
        return PNX_EUNSUPPORTED;
    default:
        break;
    }
    /* A network in use is 403, and in Podman much is 500 that has a status of its own in Docker. */
    static const struct {
        const char *text;
        pnx_status status;
    } known[] = {
        /* Another image, which went while Podman looked at all of them. */
        {"reading image", PNX_EBUSY},
        {"locating image with ID", PNX_EBUSY},
        {"has active endpoints", PNX_EBUSY},
        {"being used", PNX_EBUSY},
        {"already exists", PNX_EBUSY},
        {"already in use", PNX_EBUSY},
        {"container state improper", PNX_EBUSY},
        {"device or resource busy", PNX_EBUSY},
        {"no such container", PNX_ENOTFOUND},
        {"no such volume", PNX_ENOTFOUND},
        {"network not found", PNX_ENOTFOUND},
        {"image not known", PNX_ENOTFOUND},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strstr(message, known[i].text))
            return known[i].status;
    return PNX_EFAILED;
}

/* One line of printable text: it may come from anywhere. */
static void make_plain(char *text)
{
    size_t length = strlen(text);
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = ' ';
    while (length && text[length - 1] == ' ')
        text[--length] = '\0';
}

/* So that the message and its HTTP status fit into the cause of an error. */
#define SAID_MAX 140
#define SAID_HEAD 60

static bool is_inside_character(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

/* Ids of 64 digits as people know them, by twelve. */
static void shorten_ids(char *text)
{
    for (char *at = text; *at; at++) {
        size_t digits = strspn(at, "0123456789abcdef");
        if (digits == 64)
            memmove(at + 12, at + 64, strlen(at + 64) + 1);
        at += digits == 64 ? 11 : digits ? digits - 1 : 0;
    }
}

/* Leaves the middle out: what failed stands at the beginning, and why at the end. */
static void shorten(char *text)
{
    shorten_ids(text);
    size_t length = strlen(text);
    if (length <= SAID_MAX)
        return;
    size_t head = SAID_HEAD, tail = length - (SAID_MAX - SAID_HEAD - 5);
    while (head && is_inside_character(text[head]))
        head--;
    while (is_inside_character(text[tail]))
        tail++;
    memmove(text + head + 5, text + tail, length - tail + 1);
    for (size_t i = 0; i < 5; i++)
        text[head + i] = " ... "[i];
}

pnx_status pnx__docker_refused(const struct pnx__docker_exchange *exchange, pnx_error *err)
{
    json_t *json = json_loads(exchange->answer, JSON_REJECT_DUPLICATES, NULL);
    const char *said = json_string_value(json_object_get(json, "message"));
    char message[4096];
    snprintf(message, sizeof message, "%s", said ? said : exchange->answer);
    json_decref(json);
    make_plain(message);
    pnx_status status = status_of(exchange->status, message);
    shorten(message);
    if (!message[0])
        snprintf(message, sizeof message, "%s",
                 exchange->status == 304 ? "it is so already" : "no reason given");
    return pnx_fail(err, status, "%s (HTTP %ld)", message, exchange->status);
}

pnx_status pnx__docker_json_of(const struct pnx__docker_exchange *exchange, json_t **ret,
                               pnx_error *err)
{
    json_error_t wrong;
    if (exchange->answer_size == 0) {
        *ret = NULL;
        return PNX_OK;
    }
    json_t *json = json_loadb(exchange->answer, exchange->answer_size,
                              JSON_ALLOW_NUL | JSON_DECODE_ANY, &wrong);
    if (!json && json_error_code(&wrong) == json_error_out_of_memory)
        return pnx__docker_no_memory(err);
    if (!json)
        return pnx_fail(err, PNX_EFAILED, "the answer of the engine is no JSON: %s, at byte %d",
                        wrong.text, wrong.position);
    *ret = json;
    return PNX_OK;
}

pnx_status pnx__docker_request(pnx_engine *engine, const char *method, const char *path,
                               const json_t *body, const struct pnx__limit *limit, json_t **ret,
                               pnx_error *err)
{
    struct pnx__docker_exchange exchange = {.method = method, .path = path};
    char *text = body ? json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (body && !text)
        return pnx__docker_no_memory(err);
    exchange.body = text;
    exchange.body_size = text ? strlen(text) : 0;
    pnx_status status = pnx__docker_exchange(engine, &exchange, limit, err);
    free(text);
    if (status == PNX_OK && ret)
        status = pnx__docker_json_of(&exchange, ret, err);
    free(exchange.answer);
    return status;
}

/* ---- public ---------------------------------------------------------------------------------- */

pnx_status pnx_engine_request(pnx_engine *engine, const char *method, const char *path,
                              const json_t *body, const pnx_call *call, json_t **ret,
                              pnx_error *err)
{
    struct pnx__limit limit = pnx__docker_limit_of(engine, call);
    return pnx__docker_request(engine, method, path, body, &limit, ret, err);
}

pnx_status pnx_engine_ping(pnx_engine *engine, const pnx_call *call, pnx_error *err)
{
    struct pnx__limit limit = pnx__docker_limit_of(engine, call);
    pnx_status status = pnx__docker_engine_here(engine, err);
    if (status != PNX_OK)
        return status;
    struct pnx__docker_exchange exchange = {.path = "/_ping"};
    status = exchange_at(engine, &exchange, 0, &limit, err);
    if (status == PNX_OK && exchange.status >= 300)
        status = pnx__docker_refused(&exchange, err);
    free(exchange.answer);
    return status;
}

pnx_status pnx_engine_version(pnx_engine *engine, const pnx_call *call, json_t **ret,
                              pnx_error *err)
{
    return pnx_engine_request(engine, "GET", "/version", NULL, call, ret, err);
}

pnx_status pnx_engine_info(pnx_engine *engine, const pnx_call *call, json_t **ret, pnx_error *err)
{
    return pnx_engine_request(engine, "GET", "/info", NULL, call, ret, err);
}
