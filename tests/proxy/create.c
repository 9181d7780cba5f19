/* SPDX-License-Identifier: MIT */
/* What is made is labelled, and written down before the engine hears of it. */
#include "support.h"

#include "docker/calls.h"
#include "kind/thing.h"
#include "proxy/query.h"

#include <jansson.h>
#include <sys/socket.h>

static int up(void **state)
{
    (void)state;
    proxy_up(false);
    return 0;
}

static int down(void **state)
{
    (void)state;
    proxy_down();
    return 0;
}

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* ---- helpers --------------------------------------------------------------------------------- */

static void send_post(int client, const char *target, const char *body)
{
    char head[512];
    snprintf(head, sizeof head,
             "POST %s HTTP/1.1\r\nHost: d\r\nX-Kept: yes\r\nContent-Length: %zu\r\n\r\n", target,
             strlen(body));
    send_text(client, head);
    send_text(client, body);
}

static void answer(int engine, int status, const char *json)
{
    char head[256];
    snprintf(head, sizeof head, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n", status,
             strlen(json));
    send_text(engine, head);
    send_text(engine, json);
}

static void expect_answer(int client, int status)
{
    char *body, *head = receive_message(client, &body);
    char wanted[32];
    snprintf(wanted, sizeof wanted, "HTTP/1.1 %d ", status);
    assert_int_equal(strncmp(head, wanted, strlen(wanted)), 0);
    free(head);
    free(body);
}

/* The labels in what the engine gets, and everything else is what was sent. */
static void check_labels(const json_t *labels, const char *mark)
{
    assert_string_equal(pnx__docker_json_text(labels, PNX_LABEL_SESSION), SESSION);
    assert_string_equal(pnx__docker_json_text(labels, PNX_LABEL_KEEP), "never");
    assert_int_equal(strlen(pnx__docker_json_text(labels, PNX_LABEL_ID)), 36);
    if (mark)
        assert_string_equal(pnx__docker_json_text(labels, PNX_LABEL_ID), mark);
}

/* Resource `number` is intended, and nothing else: its mark; static. */
static const char *intended(uint32_t number, uint16_t kind, const char *name)
{
    static char mark[PNX_ID_TEXT_SIZE];
    struct pnx__ledger_view *view = ledger_view();
    assert_int_equal(view->resource_count, number);
    const struct pnx__ledger_resource *resource = &view->resources[number - 1];
    assert_int_equal(resource->state, PNX__LEDGER_INTENDED);
    assert_int_equal(resource->kind, kind);
    assert_string_equal(resource->name + 36 + (*name != '\0'), name);
    memcpy(mark, resource->name, 36);
    pnx__ledger_view_free(view);
    return mark;
}

static void bound_to(uint32_t number, const char *id)
{
    expect_ledger(number, PNX__LEDGER_IS_BOUND);
    struct pnx__ledger_view *view = ledger_view();
    assert_string_equal(view->resources[number - 1].identity, id);
    pnx__ledger_view_free(view);
}

static void gone_as(uint32_t number, const char *fate)
{
    expect_ledger(number, PNX__LEDGER_IS_GONE);
    struct pnx__ledger_view *view = ledger_view();
    assert_string_equal(view->resources[number - 1].fate, fate);
    pnx__ledger_view_free(view);
}

static json_t *receive_body(int engine, const char *first_line)
{
    char *body, *head = receive_message(engine, &body);
    assert_int_equal(strncmp(head, first_line, strlen(first_line)), 0);
    assert_non_null(strstr(head, "X-Kept: yes\r\n"));
    json_t *json = json_loads(body, 0, NULL);
    assert_non_null(json);
    free(head);
    free(body);
    return json;
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static void test_containers_networks_and_volumes_in_their_bodies(void **state)
{
    (void)state;
    static const struct {
        const char *target, *body, *field, *id_field, *name;
        uint16_t kind;
    } cases[] = {
        {"/v1.41/containers/create?name=c1", "{\"Image\":\"i\",\"Labels\":{\"a\":\"b\"}}", "Labels",
         "Id", "c1", PNX__CODE_CONTAINER},
        {"/containers/create", "{\"Image\":\"i\",\"labels\":null}", "Labels", "Id", "",
         PNX__CODE_CONTAINER},
        {"/v1.41/networks/create", "{\"Name\":\"n\",\"LABELS\":{\"a\":\"b\"}}", "Labels", "Id", "n",
         PNX__CODE_NETWORK},
        {"http://d/v4.0.0/libpod/containers/create", "{\"image\":\"i\",\"name\":\"x\"}", "labels",
         "Id", "x", PNX__CODE_CONTAINER},
        {"/v4.0.0/libpod/pods/create", "{}", "labels", "Id", "", PNX__CODE_CONTAINER},
        {"/v4.0.0/libpod/networks/create", "{\"name\":\"n2\"}", "labels", "id", "n2",
         PNX__CODE_NETWORK},
        {"/v1.41/%63ontainers/create/", "{}", "Labels", "Id", "", PNX__CODE_CONTAINER},
    };
    int client = client_connect(), engine = -1;
    for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[128], made[256];
        send_post(client, cases[i].target, cases[i].body);
        if (engine < 0)
            engine = engine_accept();
        snprintf(line, sizeof line, "POST %s HTTP/1.1\r\n", cases[i].target);
        json_t *body = receive_body(engine, line);
        const json_t *labels = json_object_get(body, cases[i].field);
        check_labels(labels, intended(i + 1, cases[i].kind, cases[i].name));
        if (strstr(cases[i].body, "\"b\""))
            assert_string_equal(pnx__docker_json_text(labels, "a"), "b");
        json_t *sent = json_loads(cases[i].body, 0, NULL);
        const char *key;
        json_t *value;
        json_object_foreach(sent, key, value)
        {
            if (strcasecmp(key, "labels") != 0)
                assert_true(json_equal(value, json_object_get(body, key)));
        }
        json_decref(sent);
        json_decref(body);
        snprintf(made, sizeof made, "{\"%s\":\"%s\",\"Warnings\":[]}\n", cases[i].id_field, ID);
        answer(engine, 201, made);
        expect_answer(client, 201);
        bound_to(i + 1, ID);
    }
    close(client);
    close(engine);
}

static void test_a_body_however_it_is_cut_and_coded(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "POST /containers/create HTTP/1.1\r\nX-Kept: yes\r\nContent-Length: 13\r\n\r\n"
        "{\"Image\":\"i\"}",
        "POST /containers/create HTTP/1.1\r\nX-Kept: yes\r\nTransfer-Encoding: chunked\r\n"
        "Trailer: T\r\n\r\n3\r\n{\"I\r\n8;x=y\r\nmage\":\"i\r\n2\r\n\"}\r\n0\r\nT: t\r\n\r\n",
    };
    int client = client_connect(), engine = -1;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        size_t size = strlen(requests[i]);
        for (size_t cut = 1; cut < size; cut++) {
            send_read(client, requests[i], cut);
            send_bytes(client, requests[i] + cut, size - cut);
            if (engine < 0)
                engine = engine_accept();
            json_t *body = receive_body(engine, "POST /containers/create HTTP/1.1\r\n");
            assert_string_equal(pnx__docker_json_text(body, "Image"), "i");
            check_labels(json_object_get(body, "Labels"), NULL);
            json_decref(body);
            answer(engine, 201, "{\"Id\":\"" ID "\"}");
            expect_answer(client, 201);
        }
    }
    close(client);
    close(engine);
}

static void test_who_waits_to_be_asked_for_the_body_is_asked(void **state)
{
    (void)state;
    int client = client_connect();
    send_text(client, "POST /volumes/create HTTP/1.1\r\nX-Kept: yes\r\nExpect: 100-continue\r\n"
                      "Content-Length: 2\r\n\r\n");
    expect_text(client, "HTTP/1.1 100 Continue\r\n\r\n");
    send_text(client, "{}");
    int engine = engine_accept();
    char *body, *head = receive_message(engine, &body);
    assert_null(strstr(head, "Expect"));
    free(head);
    free(body);
    close(engine);
    expect_end(client);
    close(client);
}

/* ---- targets --------------------------------------------------------------------------------- */

static void test_builds_in_their_parameter(void **state)
{
    (void)state;
    int client = client_connect();
    send_post(client, "/v1.41/build?t=x%3A1&labels=%7B%22a%22%3A%22b%22%7D&rm=1", "TAR");
    int engine = engine_accept();
    char *body, *head = receive_message(engine, &body);
    assert_string_equal(body, "TAR");
    struct pnx__bytes text = {0};
    head[strcspn(head, "\r")] = '\0';
    *strrchr(head, ' ') = '\0';
    assert_int_equal(strncmp(head, "POST /v1.41/build?t=x%3A1&rm=1&labels=", 38), 0);
    assert_true(pnx__query_get(head + 5, "labels", &text));
    json_t *labels = json_loads(text.data, 0, NULL);
    check_labels(labels, intended(1, PNX__CODE_IMAGE, "x:1"));
    assert_string_equal(pnx__docker_json_text(labels, "a"), "b");
    json_decref(labels);
    pnx__bytes_done(&text);
    free(head);
    free(body);
    answer(engine, 200,
           "{\"stream\":\"Step 1\"}\r\n{\"aux\":{\"ID\":\"sha256:" ID
           "\"}}\r\n{\"stream\":\"ok\"}\r\n");
    expect_answer(client, 200);
    bound_to(1, "sha256:" ID);
    close(client);
    close(engine);
}

static void test_commits_and_imports_by_changes(void **state)
{
    (void)state;
    static const char *const targets[] = {"/commit?container=c&repo=r", "/images/create?fromSrc=-",
                                          "/v4.0.0/libpod/commit?container=c",
                                          "/v4.0.0/libpod/images/import"};
    static const char *const answers[] = {"{\"Id\":\"sha256:" ID "\"}",
                                          "{\"status\":\"sha256:" ID "\"}\r\n",
                                          "{\"Id\":\"" ID "\"}", "{\"Id\":\"" ID "\"}"};
    int client = client_connect(), engine = -1;
    for (uint32_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        send_post(client, targets[i], "{}");
        if (engine < 0)
            engine = engine_accept();
        char *body, *head = receive_message(engine, &body), wanted[128];
        snprintf(wanted, sizeof wanted, "changes=LABEL%%20dev.cleanroom.session%%3D%s", SESSION);
        assert_non_null(strstr(head, wanted));
        free(head);
        free(body);
        answer(engine, i == 1 ? 200 : 201, answers[i]);
        expect_answer(client, i == 1 ? 200 : 201);
        bound_to(i + 1, "sha256:" ID);
    }
    /* A pull makes nothing that is ours. */
    send_post(client, "/images/create?fromImage=x&tag=1", "");
    char *body, *head = receive_message(engine, &body);
    assert_null(strstr(head, "LABEL"));
    free(head);
    free(body);
    close(client);
    close(engine);
}

/* ---- what is not made ------------------------------------------------------------------------ */

static void post_and_answer(int client, int engine, const char *target, int status,
                            const char *json)
{
    char *body, *head = receive_message(engine, &body);
    free(head);
    free(body);
    answer(engine, status, json);
    (void)target;
    expect_answer(client, status);
}

static void test_what_the_engine_refuses_is_struck_out(void **state)
{
    (void)state;
    int client = client_connect();
    send_post(client, "/containers/create?name=a", "{}");
    int engine = engine_accept();
    post_and_answer(client, engine, NULL, 409, "{\"message\":\"Conflict\"}");
    gone_as(1, "refused by the engine (HTTP 409)");
    /* After this nobody knows: it may be there. */
    send_post(client, "/containers/create?name=a", "{}");
    post_and_answer(client, engine, NULL, 500, "{\"message\":\"oops\"}");
    char list[256];
    snprintf(list, sizeof list, "[{\"Id\":\"" ID "\",\"Labels\":{\"%s\":\"%s\"}}]", PNX_LABEL_ID,
             intended(2, PNX__CODE_CONTAINER, "a"));
    engine_answer_question("/containers/json?", 200, list);
    send_post(client, "/networks/create", "{}");
    post_and_answer(client, engine, NULL, 500, "{\"message\":\"oops\"}");
    engine_answer_question("/networks?", 200, "[]");
    gone_as(3, "failed, and left nothing");
    send_post(client, "/containers/create?name=a", "{}");
    char *body, *head = receive_message(engine, &body);
    free(head);
    free(body);
    close(engine);
    expect_end(client);
    expect_told("the creation of container a was not answered");
    intended(4, PNX__CODE_CONTAINER, "a");
    expect_ledger(2, PNX__LEDGER_INTENDED);
    close(client);
}

static void test_a_volume_that_existed_is_never_ours(void **state)
{
    (void)state;
    int client = client_connect();
    send_post(client, "/volumes/create", "{\"Name\":\"v\"}");
    int engine = engine_accept();
    post_and_answer(client, engine, NULL, 201,
                    "{\"Name\":\"v\",\"Labels\":{\"dev.cleanroom.session\":\"other\"}}");
    gone_as(1, "existed before");
    expect_told("volume v existed before: it is not of this session");
    send_post(client, "/volumes/create", "{\"Name\":\"v\"}");
    post_and_answer(client, engine, NULL, 201, "{\"Name\":\"v\",\"Labels\":null}");
    gone_as(2, "existed before");
    send_post(client, "/volumes/create", "{\"Name\":\"w\"}");
    char *body, *head = receive_message(engine, &body), *made = NULL;
    json_t *sent = json_loads(body, 0, NULL);
    char *labels = json_dumps(json_object_get(sent, "Labels"), 0);
    assert_true(asprintf(&made, "{\"Name\":\"w\",\"Labels\":%s}", labels) > 0);
    answer(engine, 201, made);
    expect_answer(client, 201);
    bound_to(3, "w");
    json_decref(sent);
    free(labels);
    free(made);
    free(head);
    free(body);
    close(client);
    close(engine);
}

static void test_what_cannot_be_labelled_is_refused(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"Image\":", "[]", "\"x\"", "nonsense", "{\"Labels\":[\"a=b\"]}", "{\"Labels\":\"a\"}"};
    int client = client_connect();
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        send_post(client, "/containers/create", bodies[i]);
        expect_answer(client, 400);
    }
    send_post(client, "/build?labels=nonsense", "TAR");
    expect_answer(client, 400);
    /* Nothing of all that reached the engine, and the connection is as good as new. */
    send_text(client, GET);
    int engine = engine_accept();
    expect_text(engine, GET);
    send_text(engine, OK);
    expect_text(client, OK);
    close(client);
    close(engine);
}

static void test_a_body_that_is_too_long_is_refused(void **state)
{
    (void)state;
    int client = client_connect();
    static char part[1 << 16];
    memset(part, ' ', sizeof part);
    send_text(client, "POST /containers/create HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n");
    for (size_t sent = 0; sent <= PNX__PROXY_BODY_MAX; sent += sizeof part)
        send_bytes(client, part, sizeof part);
    expect_answer(client, 413);
    expect_end(client);
    close(client);
}

static void test_labels_of_another_session_stay(void **state)
{
    (void)state;
    static const char other[] = "aaaaaaaa-0000-4000-8000-000000000000",
                      mark[] = "bbbbbbbb-0000-4000-8000-000000000000";
    char body[512];
    snprintf(body, sizeof body, "{\"Labels\":{\"%s\":\"%s\",\"%s\":\"%s\"}}", PNX_LABEL_SESSION,
             other, PNX_LABEL_ID, mark);
    int client = client_connect();
    send_post(client, "/containers/create", body);
    int engine = engine_accept();
    json_t *got = receive_body(engine, "POST ");
    const json_t *labels = json_object_get(got, "Labels");
    assert_string_equal(pnx__docker_json_text(labels, PNX_LABEL_SESSION), other);
    assert_string_equal(pnx__docker_json_text(labels, PNX_LABEL_ID), mark);
    assert_string_equal(intended(1, PNX__CODE_CONTAINER, ""), mark);
    json_decref(got);
    answer(engine, 201, "{\"Id\":\"" ID "\"}");
    expect_answer(client, 201);
    bound_to(1, ID);
    close(client);
    close(engine);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void test_who_goes_away_does_not_take_the_id_along(void **state)
{
    (void)state;
    int client = client_connect();
    send_post(client, "/containers/create", "{}");
    int engine = engine_accept();
    char *body, *head = receive_message(engine, &body);
    close(client);
    answer(engine, 201, "{\"Id\":\"" ID "\"}");
    bound_to(1, ID);
    expect_end(engine);
    free(head);
    free(body);
    close(engine);
}

static void test_a_stop_waits_for_what_is_being_made(void **state)
{
    (void)state;
    int client = client_connect(), other = client_connect();
    send_text(other, GET);
    int other_engine = engine_accept();
    expect_text(other_engine, GET);
    send_post(client, "/containers/create", "{}");
    int engine = engine_accept();
    char *body, *head = receive_message(engine, &body);
    proxy_stop();
    expect_end(other);
    expect_end(other_engine);
    answer(engine, 201, "{\"Id\":\"" ID "\"}");
    expect_answer(client, 201);
    proxy_wait();
    bound_to(1, ID);
    expect_end(client);
    free(head);
    free(body);
    close(client);
    close(engine);
    close(other);
    close(other_engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_containers_networks_and_volumes_in_their_bodies, up,
                                        down),
        cmocka_unit_test_setup_teardown(test_a_body_however_it_is_cut_and_coded, up, down),
        cmocka_unit_test_setup_teardown(test_who_waits_to_be_asked_for_the_body_is_asked, up, down),
        cmocka_unit_test_setup_teardown(test_builds_in_their_parameter, up, down),
        cmocka_unit_test_setup_teardown(test_commits_and_imports_by_changes, up, down),
        cmocka_unit_test_setup_teardown(test_what_the_engine_refuses_is_struck_out, up, down),
        cmocka_unit_test_setup_teardown(test_a_volume_that_existed_is_never_ours, up, down),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_labelled_is_refused, up, down),
        cmocka_unit_test_setup_teardown(test_a_body_that_is_too_long_is_refused, up, down),
        cmocka_unit_test_setup_teardown(test_labels_of_another_session_stay, up, down),
        cmocka_unit_test_setup_teardown(test_who_goes_away_does_not_take_the_id_along, up, down),
        cmocka_unit_test_setup_teardown(test_a_stop_waits_for_what_is_being_made, up, down),
    };
    return cmocka_run_group_tests_name("create", tests, NULL, NULL);
}
