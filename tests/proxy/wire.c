/* SPDX-License-Identifier: MIT */
/* What passes: every byte, however it is cut, in both directions, with back-pressure. */
#include "support.h"

#include <poll.h>
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

/* ---- exchanges ------------------------------------------------------------------------------- */

static const struct exchange {
    const char *request, *answer;
} exchanges[] = {
    {GET, OK},
    {"GET /containers/x/json?size=1 HTTP/1.1\r\nhOST:docker\r\nAccept:\t*/* \r\n\r\n",
     "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nX-Odd:  a  \r\n\r\n"},
    {"HEAD /_ping HTTP/1.1\r\nHost: d\r\n\r\n",
     "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\n"},
    {"POST /containers/x/wait?condition=removed HTTP/1.1\r\nHost: d\r\nContent-Length: "
     "5\r\n\r\nhello",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
     "chunked\r\n\r\n5\r\nhello\r\n1;ext=1\r\n!\r\n0\r\n\r\n"},
    {"POST /auth HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n"
     "3\r\nabc\r\nA;q=\"1\"\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
     "HTTP/1.1 204 No Content\r\nServer: Docker/20.10.24 (linux)\r\n\r\n"},
    {"PUT /libpod/something?path=/ HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\n"
     "Content-Length: 3\r\n\r\ntar",
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n."},
    {"POST /containers/x/start HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n",
     "HTTP/1.1 304 Not Modified\r\nEtag: x\r\n\r\n"},
    /* Line feeds alone, and an empty line before it, as some clients send after a body. */
    {"\r\nGET /events HTTP/1.1\nHost: d\n\n", "HTTP/1.1 200 OK\nContent-Length: 1\n\ne"},
    {"GET /version HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
     "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnoh"},
};

enum { EXCHANGES = sizeof exchanges / sizeof *exchanges };

static void in_two(int from, int to, const char *bytes, size_t cut)
{
    size_t size = strlen(bytes);
    send_read(from, bytes, cut);
    send_bytes(from, bytes + cut, size - cut);
    expect_bytes(to, bytes, size);
}

/* All exchanges follow each other on one connection: an end that was seen in the wrong place would
 * spoil the next one. */
static void test_every_exchange_passes_however_it_is_cut(void **state)
{
    (void)state;
    int client = client_connect(), engine = -1;
    for (int i = 0; i < EXCHANGES; i++) {
        const struct exchange *one = &exchanges[i];
        if (engine < 0) {
            send_text(client, one->request);
            engine = engine_accept();
            expect_text(engine, one->request);
        } else {
            in_two(client, engine, one->request, 1);
        }
        in_two(engine, client, one->answer, 1);
        for (size_t cut = 1; cut < strlen(one->request); cut++) {
            in_two(client, engine, one->request, cut);
            send_text(engine, one->answer);
            expect_text(client, one->answer);
        }
        for (size_t cut = 1; cut < strlen(one->answer); cut++) {
            send_text(client, one->request);
            expect_text(engine, one->request);
            in_two(engine, client, one->answer, cut);
        }
    }
    close(client);
    expect_end(engine);
    close(engine);
}

static void test_byte_by_byte(void **state)
{
    (void)state;
    int client = client_connect(), engine = -1;
    for (int i = 0; i < EXCHANGES; i++) {
        for (const char *at = exchanges[i].request; *at; at++)
            send_read(client, at, 1);
        if (engine < 0)
            engine = engine_accept();
        expect_text(engine, exchanges[i].request);
        for (const char *at = exchanges[i].answer; *at; at++)
            send_read(engine, at, 1);
        expect_text(client, exchanges[i].answer);
    }
    close(client);
    close(engine);
}

static void test_what_is_sent_ahead_waits_for_its_turn(void **state)
{
    (void)state;
    int client = client_connect();
    for (int i = 0; i < EXCHANGES; i++)
        send_text(client, exchanges[i].request);
    int engine = engine_accept();
    for (int i = 0; i < EXCHANGES; i++) {
        expect_text(engine, exchanges[i].request);
        expect_nothing_yet(engine);
        send_text(engine, exchanges[i].answer);
        expect_text(client, exchanges[i].answer);
    }
    shutdown(client, SHUT_WR);
    expect_end(engine);
    close(engine);
    expect_end(client);
    close(client);
}

static void test_an_answer_that_ends_with_the_connection(void **state)
{
    (void)state;
    int client = client_connect();
    send_text(client, "GET /containers/x/export HTTP/1.0\r\n\r\n");
    int engine = engine_accept();
    expect_text(engine, "GET /containers/x/export HTTP/1.0\r\n\r\n");
    send_text(engine, "HTTP/1.0 200 OK\r\nContent-Type: application/x-tar\r\n\r\nabc");
    expect_text(client, "HTTP/1.0 200 OK\r\nContent-Type: application/x-tar\r\n\r\nabc");
    send_text(engine, "def");
    close(engine);
    expect_text(client, "def");
    expect_end(client);
    close(client);
}

/* ---- upgrades -------------------------------------------------------------------------------- */

#define ATTACH                                                                                     \
    "POST /v1.41/containers/x/attach?stdin=1&stream=1 HTTP/1.1\r\nHost: d\r\n"                     \
    "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: text/plain\r\n\r\n"
#define UPGRADED                                                                                   \
    "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"                 \
    "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"

static void attach(int *ret_client, int *ret_engine, const char *request, const char *answer,
                   const char *first)
{
    *ret_client = client_connect();
    send_text(*ret_client, request);
    *ret_engine = engine_accept();
    expect_text(*ret_engine, request);
    char *both = NULL;
    assert_true(asprintf(&both, "%s%s", answer, first) > 0);
    send_text(*ret_engine, both);
    expect_text(*ret_client, both);
    free(both);
}

static void test_upgraded_it_is_raw_in_both_directions(void **state)
{
    (void)state;
    static const char bytes[] = "POST /containers/create HTTP/1.1\r\n\r\n\0\1\2 GET / 0\r\n\r\n";
    int client, engine;
    attach(&client, &engine, ATTACH, UPGRADED, "first");
    for (int i = 0; i < 3; i++) {
        send_bytes(client, bytes, sizeof bytes);
        expect_bytes(engine, bytes, sizeof bytes);
        send_bytes(engine, bytes, sizeof bytes);
        expect_bytes(client, bytes, sizeof bytes);
    }
    close(client);
    expect_end(engine);
    close(engine);
}

static void test_the_end_of_input_leaves_output_open(void **state)
{
    (void)state;
    int client, engine;
    attach(&client, &engine, ATTACH, UPGRADED, "");
    send_text(client, "input");
    shutdown(client, SHUT_WR);
    expect_text(engine, "input");
    expect_end(engine);
    for (int i = 0; i < 3; i++) {
        send_text(engine, "output");
        expect_text(client, "output");
    }
    close(engine);
    expect_end(client);
    close(client);
}

static void test_the_end_of_output_leaves_input_open(void **state)
{
    (void)state;
    int client, engine;
    attach(&client, &engine, ATTACH, UPGRADED, "output");
    shutdown(engine, SHUT_WR);
    expect_end(client);
    for (int i = 0; i < 3; i++) {
        send_text(client, "input");
        expect_text(engine, "input");
    }
    close(client);
    expect_end(engine);
    close(engine);
}

/* Without this who attached, and was killed, would keep the engine waiting for ever. */
static void test_who_closes_is_gone_for_the_other_side(void **state)
{
    (void)state;
    int client, engine;
    attach(&client, &engine, ATTACH, UPGRADED, "");
    close(client);
    expect_gone(engine);
    close(engine);

    attach(&client, &engine, ATTACH, UPGRADED, "");
    close(engine);
    expect_gone(client);
    close(client);
}

/* As engines answer clients that do not ask for an upgrade: input may come before the answer. */
static void test_a_raw_stream_without_an_upgrade(void **state)
{
    (void)state;
    static const char start[] =
        "POST /exec/e/start HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\n\r\n{}";
    static const char raw[] =
        "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n";
    int client = client_connect();
    send_text(client, start);
    send_text(client, "early input, not HTTP");
    int engine = engine_accept();
    expect_text(engine, start);
    expect_nothing_yet(engine);
    send_text(engine, raw);
    expect_text(engine, "early input, not HTTP");
    expect_text(client, raw);
    shutdown(client, SHUT_WR);
    expect_end(engine);
    send_text(engine, "output");
    close(engine);
    expect_text(client, "output");
    expect_end(client);
    close(client);
}

/* Elsewhere a second request cannot hide behind an answer that has no end. */
static void test_nothing_is_raw_where_nothing_is_attached(void **state)
{
    (void)state;
    int client = client_connect();
    send_text(client, GET);
    int engine = engine_accept();
    expect_text(engine, GET);
    send_read(engine, "HTTP/1.1 200 OK\r\n\r\nx", 20);
    expect_text(client, "HTTP/1.1 200 OK\r\n\r\nx");
    send_read(client, "POST /containers/create HTTP/1.1\r\n\r\n", 36);
    expect_nothing_yet(engine);
    close(engine);
    expect_end(client);
    close(client);
}

/* ---- streams --------------------------------------------------------------------------------- */

static void fill(unsigned char *bytes, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)((i * 131 + seed * 17) >> 3);
}

/* What is at this place of a stream. */
static void fill_at(unsigned char *bytes, size_t size, size_t at)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)((at + i) * 131 >> 5);
}

/* Sends until nothing more is taken, which must come soon; then all of it arrives. A
 * moment without room does not prove that there will be none: then less is sent, and as much is
 * expected. */
static void check_stream(int from, int to)
{
    static unsigned char part[24 << 10];
    size_t sent = 0;
    struct pollfd one = {.fd = from, .events = POLLOUT};
    while (poll(&one, 1, 20) > 0) {
        fill_at(part, sizeof part, sent);
        ssize_t taken = send(from, part, sizeof part, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += taken > 0 ? (size_t)taken : 0;
        assert_true(sent < (size_t)4 << 20);
    }
    for (size_t got = 0; got < sent; got += 1024) {
        size_t size = sent - got < 1024 ? sent - got : 1024;
        fill_at(part, size, got);
        expect_bytes(to, part, size);
    }
}

static void test_who_does_not_read_is_waited_for(void **state)
{
    (void)state;
    int client, engine;
    attach(&client, &engine, ATTACH, UPGRADED, "");
    check_stream(engine, client);
    check_stream(client, engine);
    close(client);
    close(engine);
}

static void stream(int from, int to, size_t size)
{
    enum { PART = 16 << 10 };
    static unsigned char part[PART];
    for (unsigned i = 0; i < size / PART; i++) {
        fill(part, PART, i);
        send_bytes(from, part, PART);
        expect_bytes(to, part, PART);
    }
}

/* What is long is moved in another way. */
static void test_long_streams_are_streams_like_others(void **state)
{
    (void)state;
    int client, engine;
    attach(&client, &engine, ATTACH, UPGRADED, "");
    stream(engine, client, (size_t)3 << 20);
    stream(client, engine, (size_t)3 << 20);
    check_stream(engine, client);
    check_stream(client, engine);
    send_text(client, "last");
    shutdown(client, SHUT_WR);
    expect_text(engine, "last");
    expect_end(engine);
    stream(engine, client, (size_t)1 << 20);
    close(engine);
    expect_end(client);
    close(client);

    attach(&client, &engine, ATTACH, UPGRADED, "");
    stream(engine, client, (size_t)3 << 20);
    close(client); /* in the middle of it */
    expect_gone(engine);
    close(engine);
}

/* Whatever waits to be sent when a stream becomes long; how much that is depends on where it is
 * when nobody reads. */
static void test_a_stream_that_becomes_long_while_it_waits(void **state)
{
    (void)state;
    for (size_t before = 760; before < 920; before += 4) {
        int client, engine;
        attach(&client, &engine, ATTACH, UPGRADED, "");
        stream(engine, client, before << 10);
        check_stream(engine, client);
        close(client);
        close(engine);
    }
}

static void test_a_hundred_connections_at_once(void **state)
{
    (void)state;
    enum { COUNT = 100 };
    int clients[COUNT], engines[COUNT];
    for (int i = 0; i < COUNT; i++) {
        clients[i] = client_connect();
        send_text(clients[i], GET);
    }
    for (int i = 0; i < COUNT; i++) {
        engines[i] = engine_accept();
        expect_text(engines[i], GET);
    }
    for (int i = COUNT - 1; i >= 0; i--)
        send_text(engines[i], OK);
    for (int i = 0; i < COUNT; i++) {
        expect_text(clients[i], OK);
        close(clients[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        expect_end(engines[i]);
        close(engines[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_exchange_passes_however_it_is_cut, up, down),
        cmocka_unit_test_setup_teardown(test_byte_by_byte, up, down),
        cmocka_unit_test_setup_teardown(test_what_is_sent_ahead_waits_for_its_turn, up, down),
        cmocka_unit_test_setup_teardown(test_an_answer_that_ends_with_the_connection, up, down),
        cmocka_unit_test_setup_teardown(test_upgraded_it_is_raw_in_both_directions, up, down),
        cmocka_unit_test_setup_teardown(test_the_end_of_input_leaves_output_open, up, down),
        cmocka_unit_test_setup_teardown(test_the_end_of_output_leaves_input_open, up, down),
        cmocka_unit_test_setup_teardown(test_who_closes_is_gone_for_the_other_side, up, down),
        cmocka_unit_test_setup_teardown(test_a_raw_stream_without_an_upgrade, up, down),
        cmocka_unit_test_setup_teardown(test_nothing_is_raw_where_nothing_is_attached, up, down),
        cmocka_unit_test_setup_teardown(test_who_does_not_read_is_waited_for, up, down),
        cmocka_unit_test_setup_teardown(test_long_streams_are_streams_like_others, up, down),
        cmocka_unit_test_setup_teardown(test_a_stream_that_becomes_long_while_it_waits, up, down),
        cmocka_unit_test_setup_teardown(test_a_hundred_connections_at_once, up, down),
    };
    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
