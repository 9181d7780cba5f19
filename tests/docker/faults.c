/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/docker against what answers like no real engine would. */
#include "support.h"

#include "fake.h"

#include <pthread.h>
#include <semaphore.h>

/* Opens the fake as an engine. */
static pnx_engine *open_fake(fake_serve serve, void *context)
{
    pnx_error err = {0};
    pnx_engine *opened;
    const pnx_engine_config config = {.host = fake_start(serve, context, false),
                                      .answer_max = 100000};
    assert_ok(pnx_engine_open(&config, NULL, &opened, &err), &err);
    return opened;
}

static void close_fake(pnx_engine *opened)
{
    pnx_engine_close(opened);
    fake_stop();
}

#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

/* ---- answers that are none ------------------------------------------------------------------- */

enum fault {
    HANGS,
    HANGS_IN_THE_HEAD,
    HANGS_IN_THE_BODY,
    DRIPS_HEADERS,
    DRIPS_A_BODY,
    CLOSES,
    CLOSES_IN_THE_HEAD,
    CLOSES_IN_THE_BODY,
    CLOSES_IN_A_CHUNK,
    ANSWERS_NOISE,
    ANSWERS_NO_JSON,
    ANSWERS_HALF_A_JSON,
    ANSWERS_A_LIST,
    ANSWERS_DEPTH,
    HEADERS_WITHOUT_END,
    BODY_WITHOUT_END,
    ERROR_WITHOUT_END,
    A_LENGTH_THAT_CANNOT_BE,
    FAULTS
};

static bool send_text(const struct fake_request *request, const char *text)
{
    return fake_send(request, text, strlen(text));
}

static bool send_depth(const struct fake_request *request)
{
    char body[50001];
    memset(body, '[', sizeof body - 1);
    body[sizeof body - 1] = '\0';
    return fake_answer(request, 200, body);
}

static bool serve_fault(const struct fake_request *request, void *context)
{
    static const char noise[] = "\x16\x03\x01 this is no HTTP\r\n\r\n";
    static const char some[] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    switch (*(const enum fault *)context) {
    case HANGS:
        return fake_hang(request);
    case HANGS_IN_THE_HEAD:
        send_text(request, "HTTP/1.1 200 OK\r\nContent-Le");
        return fake_hang(request);
    case HANGS_IN_THE_BODY:
        send_text(request, HEAD "Content-Length: 100\r\n\r\n{\"a\":");
        return fake_hang(request);
    case DRIPS_HEADERS:
        send_text(request, HEAD);
        return fake_forever(request, "X: y\r\n", 6, true);
    case DRIPS_A_BODY:
        send_text(request, HEAD "\r\n");
        return fake_forever(request, " ", 1, true);
    case CLOSES:
        return false;
    case CLOSES_IN_THE_HEAD:
        return send_text(request, "HTTP/1.1 200 OK\r\nContent-Le") && false;
    case CLOSES_IN_THE_BODY:
        return send_text(request, HEAD "Content-Length: 100\r\n\r\n{\"a\":") && false;
    case CLOSES_IN_A_CHUNK:
        return send_text(request, HEAD "Transfer-Encoding: chunked\r\n\r\nff\r\n{}") && false;
    case ANSWERS_NOISE:
        return fake_send(request, noise, sizeof noise - 1) && false;
    case ANSWERS_NO_JSON:
        return fake_answer(request, 200, "<html>not here</html>");
    case ANSWERS_HALF_A_JSON:
        return fake_answer(request, 200, "{\"Id\": \"x\", ");
    case ANSWERS_A_LIST:
        return fake_answer(request, 200, "[1, 2]");
    case ANSWERS_DEPTH:
        return send_depth(request);
    case HEADERS_WITHOUT_END:
        send_text(request, HEAD "X: ");
        return fake_forever(request, some, sizeof some - 1, false);
    case BODY_WITHOUT_END:
        send_text(request, HEAD "\r\n");
        return fake_forever(request, some, sizeof some - 1, false);
    case ERROR_WITHOUT_END:
        send_text(request, "HTTP/1.1 500 No\r\n\r\n");
        return fake_forever(request, some, sizeof some - 1, false);
    default:
        return send_text(request, HEAD "Content-Length: 99999999999999999999\r\n\r\n") && false;
    }
}

static void every_fault_ends_in_a_clear_error(void **state)
{
    (void)state;
    static const struct {
        pnx_status status;
        const char *says;
    } expected[FAULTS] = {
        [HANGS] = {PNX_ETIMEOUT, "did not answer in time"},
        [HANGS_IN_THE_HEAD] = {PNX_ETIMEOUT, "did not answer in time"},
        [HANGS_IN_THE_BODY] = {PNX_ETIMEOUT, "did not answer in time"},
        [DRIPS_HEADERS] = {PNX_ETIMEOUT, "did not answer in time"},
        [DRIPS_A_BODY] = {PNX_ETIMEOUT, "did not answer in time"},
        [CLOSES] = {PNX_EFAILED, "closed the connection"},
        [CLOSES_IN_THE_HEAD] = {PNX_EFAILED, "no JSON object"},
        [CLOSES_IN_THE_BODY] = {PNX_EFAILED, "closed the connection"},
        [CLOSES_IN_A_CHUNK] = {PNX_EFAILED, "closed the connection"},
        [ANSWERS_NOISE] = {PNX_EFAILED, "does not speak HTTP"},
        [ANSWERS_NO_JSON] = {PNX_EFAILED, "no JSON"},
        [ANSWERS_HALF_A_JSON] = {PNX_EFAILED, "no JSON"},
        [ANSWERS_A_LIST] = {PNX_EFAILED, "no JSON object"},
        [ANSWERS_DEPTH] = {PNX_EFAILED, "no JSON"},
        [HEADERS_WITHOUT_END] = {PNX_ELIMIT, "header without end"},
        [BODY_WITHOUT_END] = {PNX_ELIMIT, "100000 bytes"},
        [ERROR_WITHOUT_END] = {PNX_EFAILED, "(HTTP 500)"},
        [A_LENGTH_THAT_CANNOT_BE] = {PNX_EFAILED, "no JSON object"},
    };
    for (int fault = 0; fault < FAULTS; fault++) {
        pnx_error err = {0};
        json_t *answer = NULL;
        pnx_engine *opened = open_fake(serve_fault, &fault);
        pnx_call call =
            expected[fault].status == PNX_ETIMEOUT ? pnx_call_within(PNX_MS(100)) : patience();
        pnx_time began = pnx_monotonic_now();
        pnx_status status = pnx_engine_inspect(opened, PNX_CONTAINER, "some", &call, &answer, &err);
        if (status != expected[fault].status)
            print_error("fault %d\n", fault);
        assert_status(expected[fault].status, status, &err);
        assert_says(&err, expected[fault].says);
        assert_true(pnx_monotonic_now() - began < PNX_S(30));
        assert_null(answer);
        close_fake(opened);
    }
}

/* "STATUS BODY" */
static bool serve_text(const struct fake_request *request, void *context)
{
    const char *text = context;
    return fake_answer(request, atoi(text), text + 4); /* NOLINT(cert-err34-c): a test's own */
}

static void http_statuses_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        pnx_status status;
        const char *says;
    } cases[] = {
        {"400 {\"message\": \"no good\"}", PNX_EINVAL, "no good (HTTP 400)"},
        {"404 {\"message\": \"not here\"}", PNX_ENOTFOUND, "not here (HTTP 404)"},
        {"409 {\"message\": \"in use\"}", PNX_EBUSY, "in use (HTTP 409)"},
        {"403 {\"message\": \"x has active endpoints\"}", PNX_EBUSY, "(HTTP 403)"},
        {"403 {\"message\": \"you may not\"}", PNX_EFAILED, "you may not (HTTP 403)"},
        {"500 {\"cause\": \"c\", \"message\": \"volume is being used\"}", PNX_EBUSY, "being used"},
        {"500 {\"message\": \"boom\\u0007\\n\\n\"}", PNX_EFAILED, "boom (HTTP 500)"},
        {"500 not JSON", PNX_EFAILED, "not JSON (HTTP 500)"},
        {"500 ", PNX_EFAILED, "no reason given (HTTP 500)"},
        {"501 {\"message\": \"never\"}", PNX_EUNSUPPORTED, "never"},
        {"503 {\"message\": \"later\"}", PNX_EBUSY, "later"},
        {"302 {\"message\": \"elsewhere\"}", PNX_EFAILED, "elsewhere (HTTP 302)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pnx_error err = {0};
        pnx_engine *opened = open_fake(serve_text, (void *)cases[i].answer);
        assert_status(cases[i].status, pnx_engine_start(opened, "some", NULL, &err), &err);
        assert_says(&err, cases[i].says);
        close_fake(opened);
    }
}

static void nobody_who_listens_is_told_by_name(void **state)
{
    (void)state;
    pnx_error err = {0};
    pnx_engine *opened;
    char host[128];
    snprintf(host, sizeof host, "%s", fake_start(serve_text, NULL, false));
    fake_stop();
    assert_status(PNX_EFAILED,
                  pnx_engine_open(&(pnx_engine_config){.host = host}, NULL, &opened, &err), &err);
    assert_says(&err, host);
    assert_says(&err, "No such file or directory");
    assert_status(
        PNX_EFAILED,
        pnx_engine_open(&(pnx_engine_config){.host = "tcp://127.0.0.1:1"}, NULL, &opened, &err),
        &err);
    assert_says(&err, "Connection refused");
}

static bool serve_not_an_engine(const struct fake_request *request, void *context)
{
    (void)context;
    static const char page[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    return fake_send(request, page, sizeof page - 1);
}

static void what_is_no_engine_is_not_taken_for_one(void **state)
{
    (void)state;
    pnx_error err = {0};
    pnx_engine *opened;
    const pnx_engine_config config = {.host = fake_start(serve_not_an_engine, NULL, true)};
    assert_status(PNX_EFAILED, pnx_engine_open(&config, NULL, &opened, &err), &err);
    assert_says(&err, "not a container engine");
    fake_stop();
}

/* ---- canceling ------------------------------------------------------------------------------- */

static bool serve_hang(const struct fake_request *request, void *context)
{
    sem_t *arrived = context;
    sem_post(arrived);
    return fake_hang(request);
}

struct calling {
    pnx_engine *engine;
    pnx_call call;
    pnx_status status;
};

static void *call_info(void *context)
{
    struct calling *calling = context;
    json_t *answer = NULL;
    calling->status = pnx_engine_info(calling->engine, &calling->call, &answer, NULL);
    return NULL;
}

static void calls_are_canceled_from_another_thread(void **state)
{
    (void)state;
    pnx_error err = {0};
    pnx_cancel *cancel;
    sem_t arrived;
    pthread_t threads[3];
    struct calling calling[3];
    assert_int_equal(sem_init(&arrived, 0, 0), 0);
    assert_ok(pnx_cancel_create(&cancel, &err), &err);
    pnx_engine *opened = open_fake(serve_hang, &arrived);
    for (int i = 0; i < 3; i++) {
        calling[i] = (struct calling){opened, {PNX_FOREVER, cancel}, PNX_OK};
        assert_int_equal(pthread_create(&threads[i], NULL, call_info, &calling[i]), 0);
    }
    for (int i = 0; i < 3; i++)
        while (sem_wait(&arrived) != 0)
            continue;
    pnx_cancel_now(cancel);
    pnx_cancel_now(cancel);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(calling[i].status, PNX_ECANCELED);
    }
    /* Those that come later too. */
    assert_status(PNX_ECANCELED,
                  pnx_engine_start(opened, "some", &(pnx_call){PNX_FOREVER, cancel}, &err), &err);
    assert_int_equal(fake_count("POST"), 0); /* it was not even asked */
    close_fake(opened);
    pnx_cancel_free(cancel);
    pnx_cancel_free(NULL);
    sem_destroy(&arrived);
}

static void a_deadline_that_is_over_asks_for_nothing(void **state)
{
    (void)state;
    pnx_error err = {0};
    pnx_engine *opened = open_fake(serve_text, (void *)"204 ");
    assert_status(PNX_ETIMEOUT, pnx_engine_start(opened, "some", &(pnx_call){.deadline = 1}, &err),
                  &err);
    assert_int_equal(fake_count("POST"), 0);
    assert_ok(pnx_engine_start(opened, "some", NULL, &err), &err);
    close_fake(opened);
}

/* ---- versions -------------------------------------------------------------------------------- */

struct versions {
    const char *at_first, *then, *oldest;
    unsigned taken; /* which it takes, of minor versions */
    bool fickle;
};

static bool serve_versions(const struct fake_request *request, void *context)
{
    const struct versions *versions = context;
    char text[256];
    unsigned minor = 0;
    if (strcmp(request->line, "GET /_ping") == 0) {
        int length = snprintf(text, sizeof text,
                              "HTTP/1.1 200 OK\r\nApi-Version: %s\r\nContent-Length: 2\r\n\r\nOK",
                              request->count == 1 ? versions->at_first : versions->then);
        return fake_send(request, text, (size_t)length);
    }
    if (strcmp(request->line, "GET /version") == 0) {
        snprintf(text, sizeof text, "{\"MinAPIVersion\": \"%s\"}", versions->oldest);
        return fake_answer(request, 200, text);
    }
    /* NOLINTNEXTLINE(cert-err34-c): a test's own */
    if (sscanf(request->line, "GET /v1.%u", &minor) != 1 || versions->fickle ||
        minor != versions->taken) {
        snprintf(text, sizeof text,
                 "{\"message\": \"client version 1.%u is too %s. Maximum supported API version\"}",
                 minor, minor > versions->taken ? "new" : "old");
        return fake_answer(request, 400, text);
    }
    return fake_answer(request, 200, "{}");
}

static void versions_are_agreed_upon_and_once_again(void **state)
{
    (void)state;
    const struct {
        struct versions versions;
        unsigned opened, after;
        pnx_status status;
    } cases[] = {
        {{"1.41", "1.41", "1.12", 41, false}, 1041, 1041, PNX_OK},
        /* replaced by an older one, and by a newer one */
        {{"1.44", "1.41", "1.12", 41, false}, 1044, 1041, PNX_OK},
        {{"1.41", "1.44", "1.44", 44, false}, 1041, 1044, PNX_OK},
        /* newer than we know: what it takes at least */
        {{"1.99", "1.99", "1.12", 51, false}, 1051, 1051, PNX_OK},
        {{"1.99", "1.99", "1.60", 60, false}, 1060, 1060, PNX_OK},
        /* takes none at all */
        {{"1.41", "1.41", "1.12", 41, true}, 1041, 1041, PNX_EINVAL},
        /* versions that are none */
        {{"x", "x", "y", 24, false}, 1024, 1024, PNX_OK},
        {{"1.41.5", "1.41.5", "-1.2", 24, false}, 1024, 1024, PNX_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pnx_error err = {0};
        pnx_engine *opened;
        json_t *answer = NULL;
        struct versions versions = cases[i].versions;
        const pnx_engine_config config = {.host = fake_start(serve_versions, &versions, true)};
        assert_ok(pnx_engine_open(&config, NULL, &opened, &err), &err);
        assert_int_equal(pnx_engine_api(opened), cases[i].opened);
        assert_status(cases[i].status, pnx_engine_info(opened, NULL, &answer, &err), &err);
        assert_int_equal(pnx_engine_api(opened), cases[i].after);
        assert_true(fake_count("GET /v1.") <= 2); /* once again is enough */
        json_decref(answer);
        close_fake(opened);
    }
}

/* ---- streams --------------------------------------------------------------------------------- */

static bool serve_logs(const struct fake_request *request, void *context)
{
    const char *frames = context;
    if (fake_is(request, "GET /containers/some/json"))
        return fake_answer(request, 200, "{\"Config\": {\"Tty\": false}}");
    send_text(request, "HTTP/1.1 200 OK\r\n\r\n");
    fake_send(request, frames, 31);
    return false;
}

static void frames_that_are_broken_are_told(void **state)
{
    (void)state;
    /* Each 31 bytes: noise; an end within a head; an end within a frame. */
    static const char *const broken[] = {
        "this is not a stream of frames..",
        "\1\0\0\0\0\0\0\4abcd\1\0\0\0\0\0\0\4abcd\1\0\0\0\0\0\0",
        "\1\0\0\0\0\0\0\4abcd\2\0\0\0\0\0\0\40abcdefghijkl",
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        pnx_error err = {0};
        struct taken taken = {0};
        pnx_engine *opened = open_fake(serve_logs, (void *)broken[i]);
        assert_status(PNX_EFAILED, pnx_engine_logs(opened, "some", NULL, take, &taken, NULL, &err),
                      &err);
        assert_says(&err, "stream is broken");
        close_fake(opened);
    }
}

static bool serve_events(const struct fake_request *request, void *context)
{
    send_text(request, "HTTP/1.1 200 OK\r\n\r\n");
    send_text(request, context);
    return false;
}

static bool count_events(const pnx_engine_event *event, void *context)
{
    assert_non_null(event->type);
    assert_non_null(event->id);
    ++*(unsigned *)context;
    return true;
}

static void events_that_are_broken_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *sent;
        pnx_status status;
        unsigned count;
    } cases[] = {
        {"{\"Type\":\"container\"}\n\r\n{\"Actor\":{\"ID\":\"x\"}}", PNX_OK, 2},
        {"{}\nnoise\n{}\n", PNX_EFAILED, 1},
        {"{\"Type\":7,\"Action\":[],\"Actor\":\"x\",\"timeNano\":\"y\"}\n", PNX_OK, 1},
        {"", PNX_OK, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pnx_error err = {0};
        unsigned count = 0;
        pnx_engine *opened = open_fake(serve_events, (void *)cases[i].sent);
        assert_status(cases[i].status,
                      pnx_engine_events(opened, 1, NULL, NULL, count_events, &count, NULL, &err),
                      &err);
        assert_int_equal(count, cases[i].count);
        close_fake(opened);
    }
}

static bool serve_exec(const struct fake_request *request, void *context)
{
    if (fake_is(request, "POST /containers/some/exec"))
        return fake_answer(request, 201, "{\"Id\": \"e1\"}");
    if (fake_is(request, "POST /exec/e1/start"))
        return send_text(request, context) && false;
    return fake_answer(request, 200, "{\"Running\": false, \"ExitCode\": 0}");
}

static void connections_that_are_not_handed_over_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *sent;
        pnx_status status;
        const char *says;
    } cases[] = {
        {"", PNX_EFAILED, "closed the connection"},
        {"noise\r\n\r\n", PNX_EFAILED, "stream is broken"},
        {"HTTP/1.1 409 Conflict\r\nContent-Length: 26\r\n\r\n{\"message\": \"it is paused\"}",
         PNX_EBUSY, "it is paused (HTTP 409)"},
        {"HTTP/1.1 101 UPGRADED\r\n\r\nnoise, no frame", PNX_EFAILED, "stream is broken"},
        {"HTTP/1.1 101 UPGRADED\r\n\r\n", PNX_OK, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pnx_error err = {0};
        pnx_engine *opened = open_fake(serve_exec, (void *)cases[i].sent);
        const pnx_exec exec = {.argv = TEXTS("true"), .input = "x", .input_size = 1};
        assert_status(cases[i].status, pnx_engine_exec(opened, "some", &exec, NULL, NULL, &err),
                      &err);
        if (cases[i].says)
            assert_says(&err, cases[i].says);
        close_fake(opened);
    }
}

/* ---- objects --------------------------------------------------------------------------------- */

/* An engine with one container, or none. */
struct container {
    pthread_mutex_t mutex;
    bool exists, lose_answer, foreign;
    unsigned busy; /* so often a removal goes on already */
    unsigned late; /* so often it is not listed yet */
    char labels[2048];
};

static void keep_labels(struct container *container, const char *body)
{
    json_t *json = json_loads(body, 0, NULL);
    char *text = json_dumps(json_object_get(json, "Labels"), 0);
    snprintf(container->labels, sizeof container->labels, "%s", text);
    free(text);
    json_decref(json);
}

static bool serve_locked(const struct fake_request *request, struct container *container)
{
    char text[4096];
    if (fake_is(request, "POST /containers/create")) {
        keep_labels(container, request->body);
        container->exists = true;
        return container->lose_answer ? false : fake_answer(request, 201, "{\"Id\": \"c1\"}");
    }
    snprintf(text, sizeof text, "{\"Id\": \"c1\", \"Config\": {\"Labels\": %s}}",
             container->foreign ? "{}" : container->labels);
    if (fake_is(request, "GET /containers/json")) {
        char list[4200];
        snprintf(list, sizeof list, "[{\"Id\": \"c1\", \"Labels\": %s}]", container->labels);
        bool seen = container->exists && container->late == 0;
        container->late -= container->late > 0;
        return fake_answer(request, 200, seen ? list : "[]");
    }
    if (!container->exists)
        return fake_answer(request, 404, "{\"message\": \"No such container: c1\"}");
    if (fake_is(request, "GET /containers/c1/json"))
        return fake_answer(request, 200, text);
    if (fake_is(request, "DELETE /containers/c1") && container->busy) {
        container->exists = --container->busy > 0;
        return fake_answer(request, 409,
                           "{\"message\": \"removal of container c1 is already in progress\"}");
    }
    if (fake_is(request, "DELETE /containers/c1"))
        container->exists = false;
    return fake_answer(request, 204, "");
}

static bool serve_container(const struct fake_request *request, void *context)
{
    struct container *container = context;
    pthread_mutex_lock(&container->mutex);
    bool goes_on = serve_locked(request, container);
    pthread_mutex_unlock(&container->mutex);
    return goes_on;
}

static pnx_object *new_container(pnx_engine *opened)
{
    pnx_error err = {0};
    pnx_object *object;
    assert_ok(pnx_container_new(opened, &(pnx_container_config){.image = "x"}, &object, &err),
              &err);
    return object;
}

static void a_creation_whose_answer_is_lost_is_found_by_its_mark(void **state)
{
    (void)state;
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    /* And the engine still is at it when it is looked for. */
    struct container container = {
        .mutex = PTHREAD_MUTEX_INITIALIZER, .lose_answer = true, .late = 3};
    pnx_engine *opened = open_fake(serve_container, &container);
    pnx_object *object = new_container(opened);
    assert_status(PNX_EFAILED, pnx_object_create(object, NULL, &err), &err);
    assert_int_equal(fake_count("POST"), 1); /* sent once, whatever becomes of it */
    assert_string_equal(pnx_object_id(object), "");
    pnx_object_watch_by(object, &outcome);
    assert_ok(pnx_object_remove(object, NULL, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_REMOVED);
    assert_true(outcome.verified);
    assert_false(container.exists);
    pnx_object_free(object);
    close_fake(opened);
}

static void a_request_that_makes_something_is_never_sent_twice(void **state)
{
    (void)state;
    pnx_error err = {0};
    json_t *answer = NULL;
    struct container container = {.mutex = PTHREAD_MUTEX_INITIALIZER, .lose_answer = true};
    pnx_engine *opened = open_fake(serve_container, &container);
    /* A connection that is kept, and which curl would use again. */
    assert_ok(pnx_engine_list(opened, PNX_CONTAINER, NULL, NULL, &answer, &err), &err);
    json_decref(answer);
    pnx_object *object = new_container(opened);
    assert_status(PNX_EFAILED, pnx_object_create(object, NULL, &err), &err);
    assert_int_equal(fake_count("POST"), 1);
    pnx_object_free(object);
    close_fake(opened);
}

static void a_removal_that_goes_on_already_is_waited_for(void **state)
{
    (void)state;
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    struct container container = {.mutex = PTHREAD_MUTEX_INITIALIZER, .busy = 3};
    pnx_engine *opened = open_fake(serve_container, &container);
    pnx_object *object = new_container(opened);
    assert_ok(pnx_object_create(object, NULL, &err), &err);
    pnx_object_watch_by(object, &outcome);
    assert_ok(pnx_object_remove(object, NULL, &err), &err);
    assert_int_equal(fake_count("DELETE"), 3);
    assert_int_equal(outcome.fate, PNX_FATE_ALREADY_GONE); /* somebody else did it */
    assert_true(outcome.verified);
    pnx_object_free(object);
    close_fake(opened);
}

static void what_has_lost_our_labels_is_not_touched(void **state)
{
    (void)state;
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    struct container container = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    pnx_engine *opened = open_fake(serve_container, &container);
    pnx_object *object = new_container(opened);
    assert_ok(pnx_object_create(object, NULL, &err), &err);
    pthread_mutex_lock(&container.mutex);
    container.foreign = true;
    pthread_mutex_unlock(&container.mutex);
    pnx_object_watch_by(object, &outcome);
    assert_status(PNX_EFAILED, pnx_object_remove(object, NULL, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_FOREIGN);
    assert_int_equal(fake_count("DELETE"), 0);
    pnx_object_free(object);
    close_fake(opened);
}

static bool serve_stubborn(const struct fake_request *request, void *context)
{
    struct container *container = context;
    if (fake_is(request, "DELETE /"))
        return fake_answer(request, 204, ""); /* so it says */
    return serve_container(request, container);
}

static void an_answer_alone_is_no_proof(void **state)
{
    (void)state;
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    struct container container = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    pnx_call call = pnx_call_within(PNX_S(1));
    pnx_engine *opened = open_fake(serve_stubborn, &container);
    pnx_object *object = new_container(opened);
    assert_ok(pnx_object_create(object, NULL, &err), &err);
    pnx_object_watch_by(object, &outcome);
    assert_status(PNX_EBUSY, pnx_object_remove(object, &call, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_STUCK);
    assert_false(outcome.verified);
    assert_non_null(strstr(outcome.reason, "still there"));
    pnx_object_free(object);
    close_fake(opened);
}

/* A test that has failed leaves it running. */
static int stop_fake(void **state)
{
    (void)state;
    fake_stop();
    return 0;
}

#define TEST(function) cmocka_unit_test_teardown(function, stop_fake)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_fault_ends_in_a_clear_error),
        TEST(http_statuses_are_told_apart),
        TEST(nobody_who_listens_is_told_by_name),
        TEST(what_is_no_engine_is_not_taken_for_one),
        TEST(calls_are_canceled_from_another_thread),
        TEST(a_deadline_that_is_over_asks_for_nothing),
        TEST(versions_are_agreed_upon_and_once_again),
        TEST(frames_that_are_broken_are_told),
        TEST(events_that_are_broken_are_told),
        TEST(connections_that_are_not_handed_over_are_told),
        TEST(a_creation_whose_answer_is_lost_is_found_by_its_mark),
        TEST(a_request_that_makes_something_is_never_sent_twice),
        TEST(a_removal_that_goes_on_already_is_waited_for),
        TEST(what_has_lost_our_labels_is_not_touched),
        TEST(an_answer_alone_is_no_proof),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
