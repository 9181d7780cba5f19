/* SPDX-License-Identifier: MIT */
/* The test-support library itself; and that docs/testing.md counts right. */
#include "support.h"

PNX_KIND(thing, pnx_test_resource *, pnx_test_release, .timeout = PNX_S(1), .retries = 9,
         .retry_delay = PNX_MS(10), .retry_delay_max = PNX_MS(10), .fallback = pnx_test_fallback,
         .describe = pnx_test_describe);

static void time_passes_when_told(void **state)
{
    pnx_test_clock clock;
    pnx_test_clock_init(&clock, PNX_S(5));
    assert_int_equal(clock.clock.now(&clock.clock), PNX_S(5));
    pnx_test_clock_advance(&clock, PNX_MS(1));
    pnx_test_clock_advance(&clock, -PNX_S(1));
    pnx_test_clock_advance_to(&clock, PNX_S(1));
    assert_int_equal(pnx_test_clock_now(&clock), PNX_S(5) + PNX_MS(1));
    pnx_test_clock_advance_to(&clock, PNX_S(6));
    assert_int_equal(pnx_test_clock_now(&clock), PNX_S(6));
    pnx_test_clock_advance(&clock, PNX_FOREVER);
    assert_int_equal(pnx_test_clock_now(&clock), PNX_FOREVER);
}

static void *advance(void *clock)
{
    for (int i = 0; i < 10000; i++)
        pnx_test_clock_advance(clock, 3);
    return NULL;
}

static void time_may_be_advanced_by_many(void **state)
{
    pnx_test_clock clock;
    pnx_test_clock_init(&clock, 0);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, advance, &clock), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(pnx_test_clock_now(&clock), 90000);
}

static void a_run_jumps_from_due_time_to_due_time(void **state)
{
    struct fixture *f = *state;
    for (int i = 10; i > 0; i--) {
        const pnx_id id = put(f->registry, thing_kind, f->a);
        assert_ok(pnx_expire_at(f->registry, id, PNX_S(i)));
    }
    assert_int_equal(pnx_test_run_until(f->registry, &f->clock, PNX_MS(5500)), 2 * 5);
    assert_int_equal(pnx_test_clock_now(&f->clock), PNX_MS(5500));
    pnx_event event;
    for (size_t i = 10; pnx_test_monitor_at(f->monitor, i, &event); i++) {
        const pnx_duration late = event.time % PNX_S(1);
        assert_true(late < PNX_MS(2));
    }
    assert_int_equal(pnx_test_run_until(f->registry, &f->clock, PNX_S(60)), 2 * 5);
    assert_int_equal(pnx_test_run_until(f->registry, &f->clock, PNX_S(60)), 0);
}

static void a_log_keeps_the_order(void **state)
{
    pnx_test_log *log = pnx_test_log_new();
    assert_string_equal(pnx_test_log_text(log), "");
    pnx_test_log_add(log, "number %d", 1);
    pnx_test_log_add(log, "two");
    assert_string_equal(pnx_test_log_text(log), "number 1\ntwo\n");
    assert_int_equal(pnx_test_log_lines(log), 2);
    assert_ok(pnx_test_log_wait(log, 2, 0));
    assert_int_equal(pnx_test_log_wait(log, 3, PNX_MS(1)), PNX_ETIMEOUT);
    pnx_test_log_clear(log);
    assert_string_equal(pnx_test_log_text(log), "");
    pnx_test_log_free(log);
    pnx_test_log_add(NULL, "nowhere");
    pnx_test_log_free(NULL);
}

static void a_plan_is_followed(void **state)
{
    struct fixture *f = *state;
    const pnx_test_step plan[] = {
        {.status = PNX_EBUSY},
        {.action = PNX_TEST_PEND_COMPLETED, .status = PNX_EFAILED},
        {.action = PNX_TEST_PEND},
        {.status = PNX_ETIMEOUT, .takes = PNX_MS(300)},
    };
    pnx_test_plan(f->a, plan, 4);
    pnx_test_plan_fallback(f->a, (pnx_test_step){.status = PNX_OK});
    dropped(f->registry, thing_kind, f->a);
    run_for(f, PNX_MS(500));
    assert_int_equal(pnx_test_recorded(f->a).attempts, 3);
    assert_ok(pnx_test_complete(f->a, PNX_EBUSY));
    run_for(f, PNX_S(60));
    const pnx_test_record record = pnx_test_recorded(f->a);
    assert_int_equal(record.attempts, 10);
    assert_int_equal(record.fallbacks, 1);
    assert_int_equal(record.successes, 1);
    assert_int_equal(record.running, 0);
    assert_int_equal(record.running_max, 1);
    assert_true(record.last.fallback);
    pnx_token token;
    assert_true(pnx_test_token(f->a, 11, &token));
    assert_true(token.fallback);
    assert_false(pnx_test_token(f->a, 12, &token));
    assert_false(pnx_test_token(f->a, 0, &token));
    assert_int_equal(pnx_test_log_lines(f->log), 11);
    pnx_test_resource *fresh = pnx_test_resource_new("fresh", NULL);
    assert_int_equal(pnx_test_complete(fresh, PNX_OK), PNX_ENOTFOUND);
    pnx_test_resource_free(fresh);
    pnx_test_resource_free(NULL);
}

static void what_hangs_waits_to_be_let_go(void **state)
{
    pnx_registry *registry = with_workers(2);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    pnx_test_always(b, PNX_TEST_HANG);
    dropped(registry, thing_kind, b);
    assert_ok(pnx_test_wait_begun(b, 1, PNX_TEST_PATIENCE));
    assert_int_equal(pnx_test_wait_running(b, 0, PNX_MS(5)), PNX_ETIMEOUT);
    assert_int_equal(pnx_test_wait_begun(b, 2, PNX_MS(5)), PNX_ETIMEOUT);
    pnx_test_let_go(b);
    assert_ok(pnx_test_wait_running(b, 0, PNX_TEST_PATIENCE));
    assert_ok(pnx_release_now(registry, put(registry, thing_kind, b), PNX_FOREVER, NULL));
    finish(registry);
    pnx_test_resource_free(b);
}

static bool has_two(const pnx_event *events, size_t count, void *context)
{
    assert_ptr_equal(context, &has_two);
    size_t completed = 0;
    for (size_t i = 0; i < count; i++)
        completed += events[i].type == PNX_EVENT_COMPLETED;
    return completed == 2;
}

static void a_monitor_records_and_is_waited_on(void **state)
{
    pnx_registry *registry = with_workers(1);
    pnx_test_monitor *monitor = pnx_test_monitor_new(registry, NULL);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    assert_int_equal(pnx_test_monitor_wait_count(monitor, PNX_EVENT_COMPLETED, 1, PNX_MS(5)),
                     PNX_ETIMEOUT);
    const pnx_id first = dropped(registry, thing_kind, b);
    dropped(registry, thing_kind, b);
    assert_ok(pnx_test_monitor_wait(monitor, has_two, (void *)&has_two, PNX_TEST_PATIENCE));
    assert_int_equal(pnx_test_monitor_size(monitor), 8);
    assert_int_equal(pnx_test_monitor_count(monitor, PNX_EVENT_STARTED), 2);
    assert_int_equal(pnx_test_monitor_count_of(monitor, PNX_EVENT_STARTED, first), 1);
    pnx_event event;
    assert_false(pnx_test_monitor_at(monitor, 8, &event));
    pnx_test_monitor_clear(monitor);
    assert_string_equal(pnx_test_monitor_text(monitor, 0), "");
    pnx_test_monitor_detach(monitor);
    dropped(registry, thing_kind, b);
    assert_idle(registry);
    assert_int_equal(pnx_test_monitor_size(monitor), 0);
    pnx_test_monitor_free(monitor);
    pnx_test_monitor_free(NULL);
    finish(registry);
    pnx_test_resource_free(b);
}

static void times_may_be_shown(void **state)
{
    struct fixture *f = *state;
    pnx_test_clock_advance(&f->clock, PNX_MS(1500));
    dropped(f->registry, thing_kind, f->a);
    run_for(f, 0);
    assert_string_equal(pnx_test_monitor_text(f->monitor, PNX_TEST_TIMES),
                        "1.5s registered thing 1\n"
                        "1.5s scheduled thing 1: normal, explicit\n"
                        "1.5s started thing 1: attempt 1\n"
                        "1.5s completed thing 1: attempt 1\n");
}

static void all_workers_are_occupied(void **state)
{
    for (unsigned workers = 1; workers <= 4; workers++) {
        pnx_registry *registry = with_workers(workers);
        pnx_test_monitor *monitor = pnx_test_monitor_new(registry, NULL);
        pnx_test_resource *b = pnx_test_resource_new("b", NULL);
        for (int round = 0; round < 3; round++) {
            pnx_test_occupation *occupied = pnx_test_occupy(registry, 0, NULL);
            assert_non_null(occupied);
            for (int i = 0; i < 50; i++)
                dropped(registry, thing_kind, b);
            assert_int_equal(counts(registry).queued, 50);
            assert_int_equal(counts(registry).running, workers);
            pnx_test_vacate(occupied);
            assert_idle(registry);
        }
        pnx_test_vacate(NULL);
        pnx_event event;
        for (size_t i = 0; pnx_test_monitor_at(monitor, i, &event); i++)
            assert_ptr_equal(event.kind, thing_kind);
        pnx_test_monitor_free(monitor);
        finish(registry);
        pnx_test_resource_free(b);
    }
}

/* ---- the documentation ----------------------------------------------------------------------- */

static char *contents(const char *name)
{
    char path[512];
    const char *source = getenv("SOURCE");
    if (source == NULL)
        skip();
    snprintf(path, sizeof path, "%s/%s", source, name);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        fail_msg("cannot read %s", path);
    char *text = NULL;
    size_t size = 0;
    (void)!getdelim(&text, &size, EOF, file);
    fclose(file);
    return text;
}

static unsigned count_tests(const char *program)
{
    static const char *const entries[] = {"\n        cmocka_unit_test(", "\n        with_fixture("};
    char name[64];
    unsigned count = 0;
    snprintf(name, sizeof name, "tests/%s.c", program);
    char *code = contents(name);
    for (int i = 0; i < 2; i++)
        for (char *at = code; (at = strstr(at, entries[i])) != NULL; at++)
            count++;
    free(code);
    return count;
}

/* "| `registry/run` | 38 | …" */
static void the_numbers_of_tests_are_true(void **state)
{
    char *page = contents("docs/testing.md"), program[48];
    int end;
    unsigned rows = 0;
    for (char *line = strtok(page, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        end = 0;
        if (sscanf(line, "| `%47[a-z_/]` | %n", program, &end) != 1 || end == 0)
            continue;
        if (strtoul(line + end, NULL, 10) != count_tests(program))
            fail_msg("docs/testing.md: %s has %u tests", program, count_tests(program));
        rows++;
    }
    assert_true(rows >= 20);
    free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_passes_when_told),
        cmocka_unit_test(time_may_be_advanced_by_many),
        with_fixture(a_run_jumps_from_due_time_to_due_time),
        cmocka_unit_test(a_log_keeps_the_order),
        with_fixture(a_plan_is_followed),
        cmocka_unit_test(what_hangs_waits_to_be_let_go),
        cmocka_unit_test(a_monitor_records_and_is_waited_on),
        with_fixture(times_may_be_shown),
        cmocka_unit_test(all_workers_are_occupied),
        cmocka_unit_test(the_numbers_of_tests_are_true),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
