/* SPDX-License-Identifier: MIT */
/* Tests of what src/cleanroom/session/engine_place.c, flat_json.c and lines.c do without an engine;
 * docker.py has the rest. */
#include "support.h"

#include "session/engine.h"

#include <sys/socket.h>

/* ---- flat JSON ------------------------------------------------------------------------------- */

static bool reads(const char *text, struct pnx__flat *ret)
{
    static char copy[512];
    snprintf(copy, sizeof copy, "%s", text);
    return pnx__flat_read(copy, ret);
}

static void an_object_is_read_as_it_is_written(void **state)
{
    struct pnx__flat flat;
    assert_true(reads("{\"kind\":\"container\", \"n\": -1.5e3 ,\"ok\":true,\"no\":null}", &flat));
    assert_int_equal(flat.count, 4);
    assert_string_equal(pnx__flat_get(&flat, "kind"), "container");
    assert_string_equal(pnx__flat_get(&flat, "n"), "-1.5e3");
    assert_string_equal(pnx__flat_get(&flat, "ok"), "true");
    assert_string_equal(pnx__flat_get(&flat, "no"), "null");
    assert_string_equal(pnx__flat_get(&flat, "other"), "");
    assert_true(reads(" { } ", &flat));
    assert_int_equal(flat.count, 0);
}

static void escapes_become_what_they_stand_for(void **state)
{
    struct pnx__flat flat;
    assert_true(
        reads("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\",\"b\":\"\\u00e4\\u20ac\\ud83d\\ude00\","
              "\"c\":\"\\ud83d!\\u0000\\udc00\"}",
              &flat));
    assert_string_equal(pnx__flat_get(&flat, "a"), "\"\\/\b\f\n\r\t");
    assert_string_equal(pnx__flat_get(&flat, "b"), "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    assert_string_equal(pnx__flat_get(&flat, "c"), "\xef\xbf\xbd!\xef\xbf\xbd\xef\xbf\xbd");
}

static void anything_else_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "{",
        "[]",
        "{}x",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1",
        "{\"a\":1,}",
        "{\"a\":1}x",
        "{\"a\":{}}",
        "{\"a\":[1]}",
        "{\"a\":\"",
        "{\"a\":\"\\",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\ud83d\\u\"}",
        "{\"a\":\"\n\"}",
        "{a:1}",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
    };
    struct pnx__flat flat;
    char many[512] = "{";
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (reads(wrong[i], &flat))
            fail_msg("'%s' was read", wrong[i]);
    for (int i = 0; i <= PNX__FLAT_MAX; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "%s\"%d\":1", i ? "," : "", i);
    snprintf(many + strlen(many), sizeof many - strlen(many), "}");
    assert_false(reads(many, &flat));
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void keep_line(void *context, const char *line)
{
    char *all = context;
    snprintf(all + strlen(all), 256 - strlen(all), "[%.20s]", line);
}

static void lines_do_not_depend_on_how_they_come(void **state)
{
    static const char text[] = "one\n\nthree\nnever ended";
    for (size_t piece = 1; piece < sizeof text; piece++) {
        char all[256] = "";
        struct pnx__lines_in *lines = calloc(1, sizeof *lines);
        for (size_t at = 0; at < sizeof text - 1; at += piece) {
            size_t left = sizeof text - 1 - at;
            pnx__lines_take(lines, text + at, left < piece ? left : piece, keep_line, all);
        }
        assert_string_equal(all, "[one][][three]");
        free(lines);
    }
}

static void one_that_is_too_long_is_left_out_alone(void **state)
{
    char all[256] = "";
    struct pnx__lines_in *lines = calloc(1, sizeof *lines);
    for (int i = 0; i < 2 * PNX__LINE_MAX; i++)
        pnx__lines_take(lines, "x", 1, keep_line, all);
    pnx__lines_take(lines, "\nshort\n", 7, keep_line, all);
    assert_string_equal(all, "[short]");
    free(lines);
}

/* ---- places ---------------------------------------------------------------------------------- */

static const char *const variables[] = {"DOCKER_HOST",       "DOCKER_CONTEXT",  "DOCKER_CONFIG",
                                        "DOCKER_TLS_VERIFY", "XDG_RUNTIME_DIR", "HOME",
                                        "DOCKER_CERT_PATH"};

static int in_empty_place(void **state)
{
    make_place(state);
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
    setenv("HOME", *state, 1);
    return 0;
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static const char *value_of(const struct pnx__engine_place *place, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; place->environment[i]; i++)
        if (strncmp(place->environment[i], name, length) == 0 &&
            place->environment[i][length] == '=')
            return place->environment[i] + length + 1;
    return NULL;
}

static void what_is_asked_for_is_taken_or_nothing(void **state)
{
    struct pnx__engine_place place;
    pnx_error err = {0};
    char host[128];
    const char *path = in(*state, "docker.sock");
    snprintf(host, sizeof host, "unix://%s", path);
    setenv("DOCKER_HOST", host, 1);
    setenv("DOCKER_TLS_VERIFY", "1", 1);
    assert_int_equal(pnx__engine_look(&place, &err), PNX_ENOTFOUND);
    assert_non_null(strstr(err.message, path));
    int fd = listen_at(path);
    assert_ok(pnx__engine_look(&place, &err), &err);
    assert_string_equal(place.host, host);
    assert_string_equal(value_of(&place, "DOCKER_HOST"), host);
    assert_null(value_of(&place, "DOCKER_TLS_VERIFY")); /* it would break a socket */
    pnx__engine_place_done(&place);
    setenv("DOCKER_HOST", "ssh://somewhere", 1);
    assert_int_equal(pnx__engine_look(&place, &err), PNX_ENOTFOUND);
    setenv("DOCKER_HOST", "tcp://127.0.0.1:1", 1);
    assert_int_equal(pnx__engine_look(&place, &err), PNX_ENOTFOUND);
    assert_non_null(strstr(err.message, "TLS"));
    unsetenv("DOCKER_TLS_VERIFY");
    assert_ok(pnx__engine_look(&place, &err), &err); /* it is not connected to */
    assert_string_equal(place.host, "tcp://127.0.0.1:1");
    pnx__engine_place_done(&place);
    close(fd);
    unlink(path);
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* As `docker context create` writes it. */
static void write_context(const char *config, const char *name, const char *host)
{
    char text[512];
    mkdir(in(config, "contexts"), 0700);
    mkdir(in(config, "contexts/meta"), 0700);
    mkdir(in(config, "contexts/meta/0123abcd"), 0700);
    snprintf(text, sizeof text,
             "{\"Name\":\"%s\",\"Metadata\":{},\"Endpoints\":{\"docker\":{\"Host\":\"%s\","
             "\"SkipTLSVerify\":false}}}",
             name, host);
    write_text(in(config, "contexts/meta/0123abcd/meta.json"), text);
}

static void drop_context(const char *config)
{
    unlink(in(config, "contexts/meta/0123abcd/meta.json"));
    rmdir(in(config, "contexts/meta/0123abcd"));
    rmdir(in(config, "contexts/meta"));
    rmdir(in(config, "contexts"));
}

static void a_context_is_taken_from_where_docker_keeps_it(void **state)
{
    struct pnx__engine_place place;
    pnx_error err = {0};
    setenv("DOCKER_CONTEXT", "far", 1);
    setenv("DOCKER_CONFIG", *state, 1);
    assert_int_equal(pnx__engine_look(&place, &err), PNX_ENOTFOUND);
    assert_string_equal(err.message, "there is no context far");
    write_context(*state, "far", "tcp://127.0.0.1:1");
    assert_ok(pnx__engine_look(&place, &err), &err);
    assert_string_equal(place.host, "tcp://127.0.0.1:1");
    assert_string_equal(value_of(&place, "DOCKER_HOST"), "tcp://127.0.0.1:1");
    assert_null(value_of(&place, "DOCKER_CONTEXT"));
    pnx__engine_place_done(&place);
    unsetenv("DOCKER_CONTEXT");
    write_text(in(*state, "config.json"), "{ \"auths\": {},\n  \"currentContext\" : \"far\" }");
    assert_ok(pnx__engine_look(&place, &err), &err);
    assert_string_equal(place.host, "tcp://127.0.0.1:1");
    pnx__engine_place_done(&place);
    mkdir(in(*state, "contexts/tls"), 0700);
    mkdir(in(*state, "contexts/tls/0123abcd"), 0700);
    assert_int_equal(pnx__engine_look(&place, &err), PNX_ENOTFOUND);
    assert_non_null(strstr(err.message, "TLS"));
    rmdir(in(*state, "contexts/tls/0123abcd"));
    rmdir(in(*state, "contexts/tls"));
    write_context(*state, "far", "ssh://somewhere");
    assert_int_equal(pnx__engine_look(&place, &err), PNX_ENOTFOUND);
    drop_context(*state);
    unlink(in(*state, "config.json"));
}

/* What is found first is found again, though another one has come that would be first. */
static void the_one_that_was_found_is_the_one_that_helpers_are_led_to(void **state)
{
    struct pnx__engine_place place;
    pnx_error err = {0};
    char host[128];
    if (access("/var/run/docker.sock", F_OK) == 0)
        skip(); /* it comes before */
    setenv("XDG_RUNTIME_DIR", *state, 1);
    int fd = listen_at(in(*state, "docker.sock"));
    snprintf(host, sizeof host, "unix://%s", in(*state, "docker.sock"));
    assert_ok(pnx__engine_look(&place, &err), &err);
    assert_string_equal(place.host, host);
    setenv("DOCKER_HOST", "unix:///elsewhere", 1);
    char **environment = pnx__engine_environment(&place);
    const char *found = NULL;
    for (size_t i = 0; environment[i]; i++)
        if (strncmp(environment[i], "DOCKER_HOST=", 12) == 0) {
            assert_null(found);
            found = environment[i] + 12;
        }
    assert_string_equal(found, host);
    free(environment);
    pnx__engine_place_done(&place);
    close(fd);
    unlink(in(*state, "docker.sock"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_is_read_as_it_is_written),
        cmocka_unit_test(escapes_become_what_they_stand_for),
        cmocka_unit_test(anything_else_is_refused),
        cmocka_unit_test(lines_do_not_depend_on_how_they_come),
        cmocka_unit_test(one_that_is_too_long_is_left_out_alone),
        cmocka_unit_test_setup_teardown(what_is_asked_for_is_taken_or_nothing, in_empty_place,
                                        drop_place),
        cmocka_unit_test_setup_teardown(a_context_is_taken_from_where_docker_keeps_it,
                                        in_empty_place, drop_place),
        cmocka_unit_test_setup_teardown(the_one_that_was_found_is_the_one_that_helpers_are_led_to,
                                        in_empty_place, drop_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
