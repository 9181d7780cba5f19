/* SPDX-License-Identifier: MIT */
/* Looks at containers of a real engine, by tests/docker/with_engine. */
#include "support.h"

#include <cleanroom/check.h>

#include <signal.h>

/* ---- looking --------------------------------------------------------------------------------- */

static pnx_check_result look(const pnx_object *object, const pnx_check *check)
{
    pnx_error err = {0};
    pnx_check_result result = {0};
    pnx_call call = patience();
    assert_ok(pnx_check_once(engine, pnx_object_id(object), check, &call, &result, &err), &err);
    return result;
}

static void assert_verdict(pnx_verdict wanted, const pnx_object *object, const pnx_check *check)
{
    pnx_check_result result = look(object, check);
    if (result.verdict != wanted)
        fail_msg("%s, not %s: %s", pnx_verdict_name(result.verdict), pnx_verdict_name(wanted),
                 result.reason);
}

/* Until it passes; looking is all the waiting there is. */
static pnx_check_result wait_until_it_passes(const pnx_object *object, const pnx_check *check)
{
    pnx_call call = patience();
    for (;;) {
        pnx_check_result result = look(object, check);
        if (result.verdict == PNX_VERDICT_PASSES)
            return result;
        if (pnx_monotonic_now() > call.deadline)
            fail_msg("it never passes: %s", result.reason);
    }
}

static void assert_reason(const pnx_check_result *result, const char *text)
{
    if (!strstr(result->reason, text))
        fail_msg("'%s' does not say '%s'", result->reason, text);
}

/* In the bridge's network, with port 8080 published where the engine likes. */
static pnx_object *serve(const char *script, bool publish)
{
    pnx_error err = {0};
    pnx_port port = {.port = 8080};
    pnx_object *object = make_container(engine, &(pnx_container_config){.command = SH(script),
                                                                        .network = "bridge",
                                                                        .ports = &port,
                                                                        .port_count = publish});
    pnx_call call = patience();
    assert_ok(pnx_engine_start(engine, pnx_object_id(object), &call, &err), &err);
    return object;
}

/* ---- what is seen ---------------------------------------------------------------------------- */

static const pnx_check runs = {.type = PNX_CHECK_RUNS};

static void what_runs_passes_and_what_has_ended_does_not(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_object *object = make_container(engine, &(pnx_container_config){.command = SH("exit 7")});
    pnx_check_result result = look(object, &runs);
    assert_int_equal(result.verdict, PNX_VERDICT_FAILS);
    assert_false(result.running);
    assert_reason(&result, "not started");
    pnx_call call = patience();
    assert_ok(pnx_engine_start(engine, pnx_object_id(object), &call, &err), &err);
    assert_ok(pnx_engine_wait(engine, pnx_object_id(object), &call, NULL, &err), &err);
    result = look(object, &runs);
    assert_int_equal(result.verdict, PNX_VERDICT_FAILS);
    assert_false(result.running);
    assert_int_equal(result.exit_code, 7);
    assert_reason(&result, "exit status 7");
    remove_object(object);
    object = run_container(engine, "sleep 1000");
    result = look(object, &runs);
    assert_int_equal(result.verdict, PNX_VERDICT_PASSES);
    assert_true(result.running);
    remove_object(object);
}

static void a_command_passes_by_its_exit_status_and_says_why_not(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_object *object = run_container(engine, "sleep 1000");
    const pnx_check good = {.type = PNX_CHECK_COMMAND, .argv = TEXTS("true")},
                    bad = {.type = PNX_CHECK_COMMAND, .shell = "echo no table; echo more; exit 3"};
    assert_verdict(PNX_VERDICT_PASSES, object, &good);
    pnx_check_result result = look(object, &bad);
    assert_int_equal(result.verdict, PNX_VERDICT_FAILS);
    assert_int_equal(result.number, 3);
    assert_string_equal(result.reason, "exit status 3: no table");
    remove_object(object);
}

static void a_command_that_hangs_fails_in_time_and_the_engine_is_not_blamed(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_object *object = run_container(engine, "sleep 1000");
    const pnx_check hangs = {.type = PNX_CHECK_COMMAND, .shell = "sleep 1000"};
    pnx_check_result result;
    pnx_call call = pnx_call_within(PNX_S(2));
    assert_ok(pnx_check_once(engine, pnx_object_id(object), &hangs, &call, &result, &err), &err);
    assert_int_equal(result.verdict, PNX_VERDICT_FAILS);
    assert_reason(&result, "did not end in time");
    assert_true(pnx_monotonic_now() < pnx_time_after(call.deadline, PNX_S(5)));
    remove_object(object);
}

static void a_line_counts_only_since_the_last_start(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_call call = patience();
    /* Each line only the first time: the second life has none of it to show. */
    pnx_object *object = make_container(
        engine, &(pnx_container_config){
                    .command = SH("[ -e /tmp/x ] || { echo 'ready 1'; echo 'ready 22' >&2; }; "
                                  "touch /tmp/x; echo second; exec sleep 1000")});
    const char *id = pnx_object_id(object);
    const pnx_check text = {.type = PNX_CHECK_LOG, .text = "ready"},
                    twice = {.type = PNX_CHECK_LOG, .text = "ready", .count = 2},
                    thrice = {.type = PNX_CHECK_LOG, .text = "ready", .count = 3},
                    pattern = {.type = PNX_CHECK_LOG, .pattern = "^ready [0-9]{2}$"},
                    second = {.type = PNX_CHECK_LOG, .text = "second"};
    assert_ok(pnx_engine_start(engine, id, &call, &err), &err);
    (void)wait_until_it_passes(object, &second);
    (void)wait_until_it_passes(object, &twice);
    (void)wait_until_it_passes(object, &pattern);
    pnx_check_result result = look(object, &thrice);
    assert_int_equal(result.verdict, PNX_VERDICT_FAILS);
    assert_int_equal(result.number, 2);
    if (is_podman()) { /* its log counts whole seconds: let theirs be over */
        time_t life = time(NULL);
        while (time(NULL) <= life)
            (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    assert_ok(pnx_engine_kill(engine, id, SIGKILL, &call, &err), &err);
    assert_ok(pnx_engine_wait(engine, id, &call, NULL, &err), &err);
    assert_ok(pnx_engine_start(engine, id, &call, &err), &err);
    (void)wait_until_it_passes(object, &second);
    assert_verdict(PNX_VERDICT_FAILS, object, &text);
    remove_object(object);
}

#define HTTPD                                                                                      \
    "mkdir /tmp/w; echo 'all is well' >/tmp/w/index.html; "                                        \
    "exec httpd -f -p 8080 -h /tmp/w"

static void see_http(const pnx_object *object)
{
    const pnx_check http = {.type = PNX_CHECK_HTTP, .port = 8080},
                    says = {.type = PNX_CHECK_HTTP, .port = 8080, .text = "is well"},
                    lies = {.type = PNX_CHECK_HTTP, .port = 8080, .text = "is bad"},
                    none = {.type = PNX_CHECK_HTTP, .port = 8080, .path = "/none?x=1"},
                    wanted = {
                        .type = PNX_CHECK_HTTP, .port = 8080, .path = "/none", .status_min = 404};
    assert_int_equal(wait_until_it_passes(object, &http).number, 200);
    assert_verdict(PNX_VERDICT_PASSES, object, &says);
    pnx_check_result result = look(object, &lies);
    assert_int_equal(result.verdict, PNX_VERDICT_FAILS);
    assert_reason(&result, "without 'is bad'");
    result = look(object, &none);
    assert_int_equal(result.verdict, PNX_VERDICT_FAILS);
    assert_int_equal(result.number, 404);
    assert_verdict(PNX_VERDICT_PASSES, object, &wanted);
}

static void a_port_is_reached_at_the_container_s_address_and_where_it_is_published(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_object *object = serve(HTTPD, false), *published = serve(HTTPD, true);
    const pnx_check tcp = {.type = PNX_CHECK_TCP, .port = 8080},
                    nobody = {.type = PNX_CHECK_TCP, .port = 8081};
    (void)wait_until_it_passes(object, &tcp);
    pnx_check_result result = look(object, &nobody);
    assert_int_equal(result.verdict, PNX_VERDICT_FAILS);
    assert_reason(&result, "refused");
    see_http(object);
    /* From here as from elsewhere: by the number that the engine gave it. */
    json_t *about = NULL;
    pnx_error err = {0};
    assert_ok(
        pnx_engine_inspect(engine, PNX_CONTAINER, pnx_object_id(published), NULL, &about, &err),
        &err);
    const json_t *ports = json_object_get(json_object_get(about, "NetworkSettings"), "Ports");
    const json_t *binding = json_array_get(json_object_get(ports, "8080/tcp"), 0);
    pnx_check there = {.type = PNX_CHECK_TCP, .host = "127.0.0.1"};
    there.port =
        (uint16_t)strtoul(json_string_value(json_object_get(binding, "HostPort")), NULL, 10);
    json_decref(about);
    (void)wait_until_it_passes(published, &there);
    remove_object(object);
    remove_object(published);
}

/* As of an engine without root: its bridges are not here, so its published ports are. */
static void a_published_port_that_nobody_listens_behind_does_not_count(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    char socket[256];
    pnx_object *object = serve(HTTPD, true), *idle = serve("exec sleep 1000", true);
    const pnx_check tcp = {.type = PNX_CHECK_TCP, .port = 8080},
                    http = {.type = PNX_CHECK_HTTP, .port = 8080};
    snprintf(socket, sizeof socket, "%s/docker.sock", getenv("PNX_TEST_ENGINE"));
    (void)wait_until_it_passes(object, &http);
    assert_int_equal(chown(socket, 65534, (gid_t)-1), 0);
    pnx_check_result passes = look(object, &tcp), answers = look(object, &http),
                     fails = look(idle, &tcp), silent = look(idle, &http);
    assert_int_equal(chown(socket, 0, (gid_t)-1), 0);
    assert_reason(&passes, "127.0.0.1:");
    assert_int_equal(passes.verdict, PNX_VERDICT_PASSES);
    assert_int_equal(answers.verdict, PNX_VERDICT_PASSES);
    assert_reason(&fails, "127.0.0.1:");
    assert_int_equal(fails.verdict, PNX_VERDICT_FAILS);
    assert_int_equal(silent.verdict, PNX_VERDICT_FAILS);
    remove_object(object);
    remove_object(idle);
}

static void what_has_no_address_is_not_said_to_fail(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_check_result result;
    pnx_object *object = run_container(engine, "sleep 1000"); /* network none */
    const pnx_check tcp = {.type = PNX_CHECK_TCP, .port = 80}, own = {.type = PNX_CHECK_ENGINE};
    assert_status(PNX_EUNSUPPORTED,
                  pnx_check_once(engine, pnx_object_id(object), &tcp, NULL, &result, &err), &err);
    assert_says(&err, "use a command");
    assert_status(PNX_EUNSUPPORTED,
                  pnx_check_once(engine, pnx_object_id(object), &own, NULL, &result, &err), &err);
    assert_says(&err, "no health check");
    assert_status(PNX_ENOTFOUND, pnx_check_once(engine, "pnx-nobody", &runs, NULL, &result, &err),
                  &err);
    remove_object(object);
}

static void the_engine_s_own_health_check_counts(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    const pnx_check own = {.type = PNX_CHECK_ENGINE};
    pnx_object *object = make_container(
        engine, &(pnx_container_config){.command = SH("sleep 1000"),
                                        .health = {.shell = "echo looked; test ! -e /tmp/ill",
                                                   .interval = PNX_MS(200),
                                                   .timeout = PNX_S(20),
                                                   .retries = 1}});
    pnx_call call = patience();
    assert_ok(pnx_engine_start(engine, pnx_object_id(object), &call, &err), &err);
    if (is_podman()) { /* without systemd it never gets to it */
        assert_verdict(PNX_VERDICT_STARTING, object, &own);
        remove_object(object);
        return;
    }
    pnx_check_result result = wait_until_it_passes(object, &own);
    assert_reason(&result, "healthy: looked");
    assert_ok(pnx_engine_exec(engine, pnx_object_id(object),
                              &(pnx_exec){.argv = TEXTS("touch", "/tmp/ill")}, &call, NULL, &err),
              &err);
    do
        result = look(object, &own);
    while (result.verdict != PNX_VERDICT_FAILS && pnx_monotonic_now() < call.deadline);
    assert_reason(&result, "unhealthy");
    remove_object(object);
}

/* ---- when nobody answers --------------------------------------------------------------------- */

static void an_engine_that_is_stopped_is_no_verdict(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    if (is_podman())
        skip(); /* what stops it is known of dockerd */
    pnx_error err = {0};
    pnx_check_result result = {.number = 42};
    pnx_object *object = run_container(engine, "sleep 1000");
    const pnx_check command = {.type = PNX_CHECK_COMMAND, .argv = TEXTS("true")};
    pnx_status status;
    pnx_time began;
    assert_int_equal(kill(engine_pid(), SIGSTOP), 0);
    do { /* all of its threads have to take notice */
        pnx_call call = pnx_call_within(PNX_MS(200));
        began = pnx_monotonic_now();
        result.number = 42;
        status = pnx_check_once(engine, pnx_object_id(object), &command, &call, &result, &err);
    } while (status == PNX_OK);
    pnx_duration took = pnx_monotonic_now() - began;
    assert_int_equal(kill(engine_pid(), SIGCONT), 0);
    assert_status(PNX_ETIMEOUT, status, &err);
    assert_int_equal(result.number, 42); /* untouched */
    assert_true(took < PNX_S(10));
    assert_verdict(PNX_VERDICT_PASSES, object, &command);
    remove_object(object);
}

static void a_canceled_look_ends_and_says_nothing(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_check_result result;
    pnx_cancel *cancel;
    pnx_object *object = serve("exec sleep 1000", false);
    const pnx_check checks[] = {
        {.type = PNX_CHECK_COMMAND, .argv = TEXTS("true")},
        {.type = PNX_CHECK_TCP, .port = 8080},
        {.type = PNX_CHECK_LOG, .text = "x"},
    };
    assert_ok(pnx_cancel_create(&cancel, &err), &err);
    pnx_cancel_now(cancel);
    for (size_t i = 0; i < 3; i++) {
        pnx_call call = patience();
        call.cancel = cancel;
        assert_status(
            PNX_ECANCELED,
            pnx_check_once(engine, pnx_object_id(object), &checks[i], &call, &result, &err), &err);
    }
    pnx_cancel_free(cancel);
    remove_object(object);
}

/* ---- what is no check ------------------------------------------------------------------------ */

static void what_is_no_check_is_refused_by_the_field(void **state)
{
    (void)state;
    static const struct {
        pnx_check check;
        const char *says;
    } all[] = {
        {{.type = PNX_CHECK_TYPE_COUNT}, "type"},
        {{.type = PNX_CHECK_COMMAND}, "argv and shell"},
        {{.type = PNX_CHECK_TCP}, "port"},
        {{.type = PNX_CHECK_HTTP}, "port"},
        {{.type = PNX_CHECK_HTTP, .port = 1, .path = "x"}, "slash"},
        {{.type = PNX_CHECK_HTTP, .port = 1, .path = "/a b"}, "space"},
        {{.type = PNX_CHECK_HTTP, .port = 1, .status_min = 300, .status_max = 200}, "300 to 200"},
        {{.type = PNX_CHECK_HTTP, .port = 1, .status_min = 99}, "99 to 99"},
        {{.type = PNX_CHECK_LOG}, "text and pattern"},
        {{.type = PNX_CHECK_LOG, .text = ""}, "text"},
        {{.type = PNX_CHECK_LOG, .text = "a\nb"}, "line"},
        {{.type = PNX_CHECK_LOG, .text = "a", .pattern = "b"}, "text and pattern"},
        {{.type = PNX_CHECK_LOG, .pattern = "(a"}, "'(a'"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        pnx_error err = {0};
        assert_status(PNX_EINVAL, pnx_check_validate(&all[i].check, &err), &err);
        assert_says(&err, all[i].says);
    }
    const pnx_check good = {.type = PNX_CHECK_HTTP, .port = 1, .status_max = 204};
    pnx_error err = {0};
    assert_ok(pnx_check_validate(&good, &err), &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_runs_passes_and_what_has_ended_does_not),
        cmocka_unit_test(a_command_passes_by_its_exit_status_and_says_why_not),
        cmocka_unit_test(a_command_that_hangs_fails_in_time_and_the_engine_is_not_blamed),
        cmocka_unit_test(a_line_counts_only_since_the_last_start),
        cmocka_unit_test(a_port_is_reached_at_the_container_s_address_and_where_it_is_published),
        cmocka_unit_test(a_published_port_that_nobody_listens_behind_does_not_count),
        cmocka_unit_test(what_has_no_address_is_not_said_to_fail),
        cmocka_unit_test(the_engine_s_own_health_check_counts),
        cmocka_unit_test(an_engine_that_is_stopped_is_no_verdict),
        cmocka_unit_test(a_canceled_look_ends_and_says_nothing),
        cmocka_unit_test(what_is_no_check_is_refused_by_the_field),
    };
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
