/* SPDX-License-Identifier: MIT */
/* Clients and engines that do what they should not; and whose things are whose. */
#include "support.h"

#include <sys/resource.h>
#include <sys/socket.h>

static int up(void **state)
{
    (void)state;
    proxy_up(false);
    return 0;
}

static int up_strict(void **state)
{
    (void)state;
    proxy_up(true);
    return 0;
}

static int down(void **state)
{
    (void)state;
    proxy_down();
    return 0;
}

static void expect_refusal(int client, int status, const char *part)
{
    char *body, *head = receive_message(client, &body);
    char wanted[32];
    snprintf(wanted, sizeof wanted, "HTTP/1.1 %d ", status);
    if (strncmp(head, wanted, strlen(wanted)) != 0)
        fail_msg("%s is not %d", head, status);
    assert_non_null(strstr(head, "Content-Type: application/json\r\n"));
    assert_int_equal(strncmp(body, "{\"message\":\"cleanroom: ", 23), 0);
    if (!strstr(body, part))
        fail_msg("%s does not say %s", body, part);
    free(head);
    free(body);
}

/* The proxy serves others as if nothing had happened. */
static void check_that_it_lives(void)
{
    int client = client_connect();
    send_text(client, GET);
    int engine = engine_accept();
    expect_text(engine, GET);
    send_text(engine, OK);
    expect_text(client, OK);
    close(client);
    close(engine);
}

/* ---- requests -------------------------------------------------------------------------------- */

#define SMUGGLED "POST /containers/create HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"

static void test_what_can_be_read_in_two_ways_is_refused(void **state)
{
    (void)state;
    static const char *const heads[] = {
        "POST /x HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        "POST /x HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
        "POST /x HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n",
        "POST /x HTTP/1.1\r\nContent-Length: +5\r\n\r\n",
        "POST /x HTTP/1.1\r\nContent-Length: 0x5\r\n\r\n",
        "POST /x HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST /x HTTP/1.1\r\nContent-Length : 5\r\n\r\n",
        "POST /x HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n",
        "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        "POST /x HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n",
        "POST /x HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "POST /x HTTP/1.1\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
        "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /x HTTP/1.1\r\nA: b\r\n Content-Length: 5\r\n\r\n",
        "POST /x HTTP/1.1\r\nA b: c\r\n\r\n",
        "POST /x HTTP/1.1\r\n: c\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        int client = client_connect();
        send_text(client, heads[i]);
        send_text(client, SMUGGLED);
        expect_refusal(client, 400, "the request is refused");
        expect_end(client);
        close(client);
    }
    check_that_it_lives();
}

static void test_what_is_no_request_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        int status;
    } cases[] = {
        {"nonsense\r\n\r\n", 400},
        {"\1\2\3\4", 400},
        {"GET /\r\n\r\n", 505},
        {"GET / HTTP/2.0\r\n\r\n", 505},
        {"GET / HTTP/1.2\r\n\r\n", 505},
        {"GET /\x7f HTTP/1.1\r\n\r\n", 400},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
        {"CONNECT d:1 HTTP/1.1\r\n\r\n", 405},
        {"GET /containers/%00/json HTTP/1.1\r\n\r\n", 400},
        {"GET http:/x HTTP/1.1\r\n\r\n", 400},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int client = client_connect();
        send_text(client, cases[i].bytes);
        expect_refusal(client, cases[i].status, "");
        expect_end(client);
        close(client);
    }
    check_that_it_lives();
}

static void test_a_head_that_is_too_long_is_refused(void **state)
{
    (void)state;
    static char part[1 << 16];
    int client = client_connect();
    memset(part, 'a', sizeof part);
    send_text(client, "GET / HTTP/1.1\r\nX: ");
    for (size_t sent = 0; sent <= PNX__HTTP_HEAD_MAX; sent += sizeof part)
        send_bytes(client, part, sizeof part);
    expect_refusal(client, 431, "too long");
    close(client);
    check_that_it_lives();
}

static void test_a_broken_chunk_ends_it(void **state)
{
    (void)state;
    int client = client_connect();
    send_text(client, "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    expect_refusal(client, 400, "the request is refused");
    expect_end(client);
    close(client);
    /* The engine got the head of it, and then its end. */
    int engine = engine_accept();
    expect_end_sometime(engine);
    close(engine);
    check_that_it_lives();
}

static void test_who_leaves_in_the_middle_is_gone_for_the_engine(void **state)
{
    (void)state;
    int client = client_connect();
    send_text(client, "POST /x HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc");
    int engine = engine_accept();
    expect_text(engine, "POST /x HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc");
    close(client);
    expect_end(engine);
    close(engine);
    /* And one of whom the engine has heard nothing. */
    client = client_connect();
    send_text(client, "POST /containers/create HTTP/1.1\r\nContent-Length: 10\r\n\r\n{");
    close(client);
    check_that_it_lives();
}

/* Those who come then wait until there are some. */
static void test_a_proxy_that_has_no_descriptors_left(void **state)
{
    (void)state;
    struct rlimit before, none;
    int probe, client = client_prepare();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    probe = dup(client);
    none = before;
    none.rlim_cur = (rlim_t)probe;
    close(probe);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    client_connect_now(client);
    send_text(client, GET);
    expect_told("cannot accept a client: Too many open files; it waits");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    int engine = engine_accept();
    expect_text(engine, GET);
    send_text(engine, OK);
    expect_text(client, OK);
    close(client);
    close(engine);
}

/* ---- engines --------------------------------------------------------------------------------- */

static void test_an_engine_that_is_not_there(void **state)
{
    (void)state;
    engine_vanish();
    int client = client_connect();
    send_text(client, GET);
    expect_refusal(client, 502, "cannot reach the engine at unix:///");
    expect_end(client);
    close(client);
    client = client_connect();
    send_text(client, SMUGGLED);
    expect_refusal(client, 502, "cannot reach the engine at unix:///");
    close(client);
    expect_ledger(1, PNX__LEDGER_IS_GONE);
    engine_return(128);
    check_that_it_lives();
}

/* An engine that hangs takes connections until its queue is full. */
static void test_an_engine_with_a_full_queue_is_waited_for(void **state)
{
    (void)state;
    enum { COUNT = 8 };
    int clients[COUNT];
    engine_vanish();
    engine_return(1);
    for (int i = 0; i < COUNT; i++) {
        clients[i] = client_connect();
        send_read(clients[i], GET, strlen(GET));
    }
    for (int i = 0; i < COUNT; i++) {
        int engine = engine_accept();
        expect_text(engine, GET);
        send_text(engine, OK);
        close(engine);
    }
    for (int i = 0; i < COUNT; i++) {
        expect_text(clients[i], OK);
        close(clients[i]);
    }
}

static void test_an_engine_that_answers_garbage(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        int client = client_connect();
        send_text(client, GET);
        int engine = engine_accept();
        expect_text(engine, GET);
        send_text(engine, answers[i]);
        expect_refusal(client, 502, "answers what is no HTTP");
        expect_end(client);
        expect_end(engine);
        close(client);
        close(engine);
    }
    check_that_it_lives();
}

static void test_an_engine_that_ends_early(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "",
        "HTTP/1.1 200 OK\r\nConte",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        int client = client_connect();
        send_text(client, GET);
        int engine = engine_accept();
        expect_text(engine, GET);
        send_text(engine, answers[i]);
        close(engine);
        if (i >= 2)
            expect_text(client, answers[i]);
        expect_end(client);
        close(client);
    }
    check_that_it_lives();
}

static void test_an_engine_that_speaks_without_being_asked(void **state)
{
    (void)state;
    int client = client_connect();
    send_text(client, GET);
    int engine = engine_accept();
    expect_text(engine, GET);
    send_text(engine, OK OK);
    expect_text(client, OK);
    expect_end(client);
    expect_end(engine);
    close(client);
    close(engine);
    check_that_it_lives();
}

/* It refuses what is being sent, and takes no more of it. */
static void test_an_answer_that_comes_before_the_request_is_complete(void **state)
{
    (void)state;
    static const char early[] =
        "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
    static char part[1 << 16];
    int client = client_connect();
    send_text(client, "POST /x HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n");
    int engine = engine_accept();
    free(receive_until(engine, "\r\n\r\n"));
    send_text(engine, early);
    expect_text(client, early);
    send_bytes(client, part, sizeof part);
    close(engine);
    expect_end(client);
    close(client);
    check_that_it_lives();
}

/* ---- whose ----------------------------------------------------------------------------------- */

#define FOREIGN "{\"Id\":\"f\",\"Config\":{\"Labels\":{}},\"Labels\":{}}"
#define OURS "{\"Id\":\"o\",\"Config\":{\"Labels\":{\"" PNX_LABEL_SESSION "\":\"" SESSION "\"}}}"

static void test_harm_to_others_is_told_and_done(void **state)
{
    (void)state;
    static const char remove[] = "DELETE /v1.41/containers/f?force=1 HTTP/1.1\r\n\r\n";
    static const char prune[] = "POST /v1.41/volumes/prune HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
    int client = client_connect();
    send_text(client, remove);
    engine_answer_question("/containers/f/json", 200, FOREIGN);
    int engine = engine_accept();
    expect_text(engine, remove);
    expect_told("it is not of this session: DELETE /v1.41/containers/f?force=1");
    send_text(engine, OK);
    expect_text(client, OK);
    send_text(client, prune);
    expect_text(engine, prune);
    expect_told("it is not of this session alone: POST /v1.41/volumes/prune");
    close(client);
    close(engine);
}

static void test_strictly_others_are_not_there(void **state)
{
    (void)state;
    static const struct {
        const char *request, *question, *answer;
        int status; /* 0: it is forwarded */
    } cases[] = {
        {"DELETE /v1.41/containers/f HTTP/1.1\r\n\r\n", "/containers/f/json", FOREIGN, 404},
        {"GET /v1.41/containers/f/logs HTTP/1.1\r\n\r\n", "/containers/f/json", FOREIGN, 404},
        {"POST /containers/f/exec HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", "/containers/f/json",
         FOREIGN, 404},
        {"POST /containers/f/stop HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "/containers/f/json", FOREIGN, 404},
        {"GET /volumes/f HTTP/1.1\r\n\r\n", "/volumes/f", FOREIGN, 404},
        {"DELETE /images/a/f:1 HTTP/1.1\r\n\r\n", "/images/a/f:1/json", FOREIGN, 403},
        {"DELETE /containers/x HTTP/1.1\r\n\r\n", "/containers/x/json", "nonsense", 503},
        {"DELETE /v1.41/containers/o HTTP/1.1\r\n\r\n", "/containers/o/json", OURS, 0},
        {"GET /networks/bridge HTTP/1.1\r\n\r\n", "/networks/bridge",
         "{\"Id\":\"b\",\"Name\":\"bridge\",\"Labels\":{}}", 0},
        {"GET /images/f/json HTTP/1.1\r\n\r\n", NULL, NULL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int client = client_connect();
        send_text(client, cases[i].request);
        if (cases[i].question)
            engine_answer_question(cases[i].question, 200, cases[i].answer);
        if (cases[i].status) {
            expect_refusal(client, cases[i].status, "");
            /* The connection goes on, whatever there was of a body. */
            send_text(client, GET);
        }
        int engine = engine_accept();
        expect_text(engine, cases[i].status ? GET : cases[i].request);
        close(client);
        close(engine);
    }
    expect_told("refused, for it is not of this session: POST /containers/f/stop");
}

static void test_strictly_lists_and_prunes_are_of_the_session(void **state)
{
    (void)state;
#define TERM "dev.cleanroom.session%3D" SESSION
    static const char *const cases[][2] = {
        {"GET /v1.41/containers/json?all=1", "&filters=%7B%22label%22%3A%5B%22" TERM "%22%5D%7D"},
        {"GET /networks", "?filters=%7B%22label%22%3A%5B%22" TERM "%22%5D%7D"},
        {"POST /volumes/prune?filters=%7B%22all%22%3A%7B%221%22%3Atrue%7D%7D",
         "?filters=%7B%22all%22%3A%7B%221%22%3Atrue%7D%2C%22label%22%3A%7B%22" TERM
         "%22%3Atrue%7D%7D"},
        {"GET /events?filters=%7B%22label%22%3A%5B%22a%22%5D%7D",
         "?filters=%7B%22label%22%3A%5B%22a%22%2C%22" TERM "%22%5D%7D"},
    };
    int client = client_connect(), engine = -1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char request[512];
        snprintf(request, sizeof request, "%s HTTP/1.1\r\n\r\n", cases[i][0]);
        send_text(client, request);
        if (engine < 0)
            engine = engine_accept();
        char *got = receive_until(engine, "\r\n\r\n");
        if (!strstr(got, cases[i][1]))
            fail_msg("%s has no %s", got, cases[i][1]);
        free(got);
        send_text(engine, OK);
        expect_text(client, OK);
    }
    /* What has no labels is not pruned at all. */
    send_text(client, "POST /build/prune HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
    char *body, *head = receive_message(client, &body);
    assert_int_equal(strncmp(head, "HTTP/1.1 200 ", 13), 0);
    assert_string_equal(body, "{\"CachesDeleted\":[],\"SpaceReclaimed\":0}\n");
    free(head);
    free(body);
    close(client);
    close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, up, down)
#define STRICT(name) cmocka_unit_test_setup_teardown(test_##name, up_strict, down)
        TEST(what_can_be_read_in_two_ways_is_refused),
        TEST(what_is_no_request_is_refused),
        TEST(a_head_that_is_too_long_is_refused),
        TEST(a_broken_chunk_ends_it),
        TEST(who_leaves_in_the_middle_is_gone_for_the_engine),
        TEST(a_proxy_that_has_no_descriptors_left),
        TEST(an_engine_that_is_not_there),
        TEST(an_engine_with_a_full_queue_is_waited_for),
        TEST(an_engine_that_answers_garbage),
        TEST(an_engine_that_ends_early),
        TEST(an_engine_that_speaks_without_being_asked),
        TEST(an_answer_that_comes_before_the_request_is_complete),
        TEST(harm_to_others_is_told_and_done),
        STRICT(strictly_others_are_not_there),
        STRICT(strictly_lists_and_prunes_are_of_the_session),
    };
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
