/* SPDX-License-Identifier: MIT */
/* The health guard: its rules, and looks at containers of a real engine. */
#include "support.h"

#include <cleanroom/health.h>
#include <patinox/test.h>

#include "container/condition.h"

#include <pthread.h>
#include <signal.h>

/* ---- the rules ------------------------------------------------------------------------------- */

/* A letter is a look: + passes, - fails, s starting, ? says nothing, x has ended, c not started. */
static struct pnx__seen seen_as(char look)
{
    struct pnx__seen seen = {.known = look != '?', .result.running = !strchr("xc?", look)};
    seen.result.verdict = look == '+'   ? PNX_VERDICT_PASSES
                          : look == 's' ? PNX_VERDICT_STARTING
                                        : PNX_VERDICT_FAILS;
    seen.result.ended = look == 'x';
    return seen;
}

/* One look a second; `wanted` has the first letter of what it is after each (n: unknown). */
static void assert_course(const pnx_health_config *config, const char *looks, const char *wanted)
{
    static const char letters[] = {
        [PNX_UNKNOWN] = 'n', [PNX_STARTING] = 's', [PNX_HEALTHY] = 'h', [PNX_UNHEALTHY] = 'u'};
    char got[64] = "";
    pnx_error err = {0};
    pnx_health_entry entries[16], entry;
    struct pnx__condition condition = {.entries = entries};
    assert_ok(pnx__rules_of(config, &condition.rules, &err), &err);
    for (size_t i = 0; looks[i]; i++) {
        struct pnx__seen seen = seen_as(looks[i]);
        pnx_condition before = condition.now;
        bool changed = pnx__condition_judge(&condition, PNX_S(100 + i), &seen, &entry);
        assert_int_equal(changed, entry.before != entry.condition);
        assert_int_equal(entry.before, before);
        assert_int_equal(entry.condition, condition.now);
        got[i] = letters[condition.now];
    }
    if (strcmp(got, wanted) != 0)
        fail_msg("%s: %s, not %s", looks, got, wanted);
    assert_int_equal(condition.counts.looks, strlen(looks));
    assert_int_equal(condition.counts.passed + condition.counts.failed + condition.counts.unknown +
                         (strchr(looks, 's') != NULL),
                     strlen(looks));
}

static const pnx_check some = {.type = PNX_CHECK_RUNS};
#define RULES(...)                                                                                 \
    (&(pnx_health_config){.checks = &some, .check_count = 1, .interval = PNX_S(1), __VA_ARGS__})

static void conditions_follow_their_rules(void **state)
{
    (void)state;
    assert_course(RULES(.retries = 0), "+-+--+---+", "hhhhhhhhuh"); /* three by default */
    assert_course(RULES(.retries = 2), "--+", "suh");
    assert_course(RULES(.retries = 1), "-+-", "uhu");
    assert_course(RULES(.retries = 1, .successes = 2), "-+-++-", "uuuuhu");
    /* Failures in the start period do not count; a success ends it. */
    assert_course(RULES(.retries = 1, .start_period = PNX_S(3)), "---+", "sssh");
    assert_course(RULES(.retries = 1, .start_period = PNX_S(3)), "----", "sssu");
    assert_course(RULES(.retries = 1, .start_period = PNX_S(3)), "-+-", "shu");
    assert_course(RULES(.retries = 1), "s-", "su");
    /* What is not known makes nobody ill, and does not make ill ones well. */
    assert_course(RULES(.retries = 2), "?+?-?-", "nhnhnu");
    assert_course(RULES(.retries = 1), "-?-+?+", "unuhnh");
    assert_course(RULES(.unknowns = 2), "+???+??", "hhnnhhn");
    /* What has ended is ill at once, also in its start period; what was not started waits. */
    assert_course(RULES(.retries = 9, .start_period = PNX_S(99)), "c-+x", "sshu");
    assert_course(RULES(.retries = 9, .start_period = PNX_S(99)), "-x+", "suh");
    assert_course(RULES(.retries = 1), "ccc+", "sssh");
}

static void what_is_remembered_is_the_last(void **state)
{
    (void)state;
    pnx_error err = {0};
    pnx_health_entry entries[3], entry, got[8];
    struct pnx__condition condition = {.entries = entries};
    assert_ok(pnx__rules_of(RULES(.history = 3), &condition.rules, &err), &err);
    assert_int_equal(pnx__condition_history(&condition, got, 8), 0);
    for (unsigned i = 0; i < 5; i++) {
        struct pnx__seen seen = seen_as('+');
        seen.result.exit_code = (int)i;
        (void)pnx__condition_judge(&condition, i, &seen, &entry);
    }
    assert_int_equal(pnx__condition_history(&condition, got, 8), 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(got[i].exit_code, 2 + i);
    assert_int_equal(pnx__condition_history(&condition, got, 2), 2);
    assert_int_equal(got[0].exit_code, 3);
}

static void what_cannot_be_a_rule_is_refused_by_its_field(void **state)
{
    (void)state;
    struct pnx__rules rules;
    pnx_error err = {0};
    assert_status(PNX_EINVAL, pnx__rules_of(RULES(.timeout = 1), &rules, &err), &err);
    assert_says(&err, "timeout");
    assert_status(PNX_EINVAL, pnx__rules_of(RULES(.start_period = -1), &rules, &err), &err);
    assert_says(&err, "start_period");
    assert_status(PNX_EINVAL, pnx__rules_of(RULES(.history = 1025), &rules, &err), &err);
    assert_says(&err, "history");
}

/* ---- guards of a registry -------------------------------------------------------------------- */

static pnx_registry *make_registry(pnx_test_clock *clock)
{
    pnx_error err = {0};
    pnx_registry *registry;
    pnx_config config = {.workers = 2};
    if (clock) {
        pnx_test_clock_init(clock, PNX_S(1000));
        config = (pnx_config){.executor = PNX_MANUAL, .clock = &clock->clock};
    }
    assert_ok(pnx_registry_create(&config, &registry, &err), &err);
    return registry;
}

/* Nothing is left, and nothing leaked. */
static void end_registry(pnx_registry *registry)
{
    pnx_error err = {0};
    pnx_report report;
    assert_ok(pnx_registry_shutdown(registry, NULL, &report, &err), &err);
    assert_int_equal(report.counts.leaked, 0);
    assert_int_equal(report.counts.failed + report.counts.abandoned, 0);
    pnx_report_done(&report);
    assert_ok(pnx_registry_destroy(registry, &err), &err);
}

struct told {
    pnx_test_log *log;
    void (*also)(void *context);
    void *context;
};

static void changed(const pnx_health_entry *entry, void *context)
{
    struct told *told = context;
    pnx_test_log_add(told->log, "%s>%s%s", pnx_condition_name(entry->before),
                     pnx_condition_name(entry->condition), entry->running ? "" : " (ended)");
    if (told->also)
        told->also(told->context);
}

static health_guard watch(pnx_registry *registry, const pnx_object *object,
                          const pnx_health_config *config)
{
    pnx_error err = {0};
    pnx_health_watch *made;
    health_guard guard = pnx_reserve(health, registry, &err);
    assert_ok(guard.status, &err);
    assert_ok(pnx_health_watch_new(engine, registry, pnx_object_id(object), config, &made, &err),
              &err);
    assert_true(pnx_arm(&guard, made));
    return guard;
}

static void run(const pnx_object *object, const char *script)
{
    pnx_error err = {0};
    pnx_call call = patience();
    int code = -1;
    assert_ok(pnx_engine_exec(engine, pnx_object_id(object), &(pnx_exec){.argv = SH(script)}, &call,
                              &code, &err),
              &err);
    assert_int_equal(code, 0);
}

static const pnx_check is_well = {.type = PNX_CHECK_COMMAND, .shell = "test ! -e /tmp/ill"};

/* Its kind's moments are in the registry's counters. */
static uint64_t moments_of(pnx_registry *registry, const char *kind)
{
    pnx_error err = {0};
    pnx_stats stats;
    uint64_t done = 0;
    assert_ok(pnx_registry_stats(registry, &stats, &err), &err);
    for (size_t i = 0; i < stats.kind_count; i++)
        if (strcmp(stats.kinds[i].name, kind) == 0)
            done = stats.kinds[i].counts.done;
    pnx_stats_done(&stats);
    return done;
}

static void looks_come_in_time_and_transitions_are_told(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_test_clock clock;
    pnx_registry *registry = make_registry(&clock);
    struct told told = {.log = pnx_test_log_new()};
    pnx_health_counts counts;
    pnx_object *object = run_container(engine, "sleep 1000");
    {
        pnx_auto(health) guard = watch(registry, object,
                                       &(pnx_health_config){.checks = &is_well,
                                                            .check_count = 1,
                                                            .interval = PNX_S(10),
                                                            .timeout = PNX_S(60),
                                                            .retries = 2,
                                                            .changed = changed,
                                                            .context = &told});
        pnx_health_watch *health = pnx_get(&guard);
        assert_int_equal(pnx_health_watch_condition(health), PNX_UNKNOWN);
        assert_ok(pnx_health_watch_begin(health, &err), &err);
        assert_status(PNX_EALREADY, pnx_health_watch_begin(health, &err), &err);
        pnx_test_run_until(registry, &clock, PNX_S(1001));
        assert_int_equal(pnx_health_watch_condition(health), PNX_HEALTHY);
        run(object, "touch /tmp/ill");
        pnx_test_run_until(registry, &clock, PNX_S(1009)); /* nobody looks yet */
        pnx_health_watch_counts(health, &counts);
        assert_int_equal(counts.looks, 1);
        pnx_test_run_until(registry, &clock, PNX_S(1011)); /* once is no time */
        assert_int_equal(pnx_health_watch_condition(health), PNX_HEALTHY);
        pnx_test_run_until(registry, &clock, PNX_S(1021));
        assert_int_equal(pnx_health_watch_condition(health), PNX_UNHEALTHY);
        assert_status(PNX_EFAILED, pnx_health_watch_wait(health, PNX_HEALTHY, PNX_FOREVER, &err),
                      &err);
        assert_says(&err, "command: exit status 1");
        run(object, "rm /tmp/ill");
        pnx_test_run_until(registry, &clock, PNX_S(1031));
        assert_ok(pnx_health_watch_wait(health, PNX_HEALTHY, PNX_FOREVER, &err), &err);
        pnx_health_watch_counts(health, &counts);
        assert_int_equal(counts.looks, 4);
        assert_int_equal(counts.transitions[PNX_HEALTHY], 2);
        assert_string_equal(pnx_test_log_text(told.log),
                            "unknown>healthy\nhealthy>unhealthy\nunhealthy>healthy\n");
        assert_int_equal(moments_of(registry, "container healthy"), 2);
        assert_int_equal(moments_of(registry, "container unhealthy"), 1);
        assert_int_equal(moments_of(registry, "container look"), 4);
    }
    pnx_test_run_until(registry, &clock, PNX_S(2000));
    assert_int_equal(moments_of(registry, "container look"), 4); /* it has ended */
    end_registry(registry);
    remove_object(object);
    pnx_test_log_free(told.log);
}

static void what_is_killed_is_unhealthy_at_once_and_what_is_gone_too(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_registry *registry = make_registry(NULL);
    pnx_object *object = run_container(engine, "sleep 1000");
    pnx_health_entry last = {0};
    {
        pnx_auto(health) guard = watch(
            registry, object,
            &(pnx_health_config){.interval = PNX_MS(10), .timeout = PNX_S(60), .retries = 99});
        pnx_health_watch *health = pnx_get(&guard);
        assert_ok(pnx_health_watch_begin(health, &err), &err);
        assert_ok(pnx_health_watch_wait(health, PNX_HEALTHY, patience().deadline, &err), &err);
        assert_ok(pnx_engine_kill(engine, pnx_object_id(object), SIGKILL, NULL, &err), &err);
        assert_ok(pnx_health_watch_wait(health, PNX_UNHEALTHY, patience().deadline, &err), &err);
        assert_int_equal(pnx_health_watch_history(health, &last, 1), 1);
        assert_false(last.running);
        assert_int_equal(last.exit_code, 137);
        remove_object(object);
        do
            assert_int_equal(pnx_health_watch_history(health, &last, 1), 1);
        while (!strstr(last.reason, "o such container"));
        assert_int_equal(last.condition, PNX_UNHEALTHY);
        assert_ok(pnx_close(&guard, &err), &err);
    }
    end_registry(registry);
}

static void an_engine_that_is_stopped_makes_nobody_ill(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    if (is_podman())
        skip(); /* what stops it is known of dockerd */
    pnx_error err = {0};
    pnx_registry *registry = make_registry(NULL);
    pnx_object *object = run_container(engine, "sleep 1000");
    {
        pnx_auto(health) guard = watch(registry, object,
                                       &(pnx_health_config){.checks = &is_well,
                                                            .check_count = 1,
                                                            .interval = PNX_MS(20),
                                                            .timeout = PNX_MS(500),
                                                            .retries = 99});
        pnx_health_watch *health = pnx_get(&guard);
        assert_ok(pnx_health_watch_begin(health, &err), &err);
        assert_ok(pnx_health_watch_wait(health, PNX_HEALTHY, patience().deadline, &err), &err);
        assert_int_equal(kill(engine_pid(), SIGSTOP), 0);
        pnx_status unknown = pnx_health_watch_wait(health, PNX_UNKNOWN, patience().deadline, &err);
        pnx_status wanted = pnx_health_watch_wait(
            health, PNX_HEALTHY, pnx_time_after(pnx_monotonic_now(), PNX_MS(1)), &err);
        assert_int_equal(kill(engine_pid(), SIGCONT), 0);
        assert_int_equal(unknown, PNX_OK);
        assert_status(PNX_ETIMEOUT, wanted, &err);
        assert_says(&err, "did not answer in time");
        assert_ok(pnx_health_watch_wait(health, PNX_HEALTHY, patience().deadline, &err), &err);
        /* And when it is dropped just then, nobody waits for the engine. */
        assert_int_equal(kill(engine_pid(), SIGSTOP), 0);
        pnx_status status = pnx_close_by(&guard, patience().deadline, &err);
        assert_int_equal(kill(engine_pid(), SIGCONT), 0);
        assert_ok(status, &err);
    }
    end_registry(registry);
    remove_object(object);
}

static void a_guard_that_is_dropped_cancels_its_look_and_has_ended(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_registry *registry = make_registry(NULL);
    struct told told = {.log = pnx_test_log_new()};
    const pnx_check hangs = {.type = PNX_CHECK_COMMAND, .shell = "touch /tmp/here; sleep 1000"},
                    here = {.type = PNX_CHECK_COMMAND, .shell = "test -e /tmp/here"};
    pnx_object *object = run_container(engine, "sleep 1000");
    {
        pnx_auto(health) guard = watch(registry, object,
                                       &(pnx_health_config){.checks = &hangs,
                                                            .check_count = 1,
                                                            .timeout = PNX_S(600),
                                                            .changed = changed,
                                                            .context = &told});
        assert_ok(pnx_health_watch_begin(pnx_get(&guard), &err), &err);
        pnx_check_result result;
        do
            assert_ok(pnx_check_once(engine, pnx_object_id(object), &here, NULL, &result, &err),
                      &err);
        while (result.verdict != PNX_VERDICT_PASSES);
        pnx_test_log_clear(told.log);
        assert_ok(pnx_close_by(&guard, patience().deadline, &err), &err);
    }
    pnx_counts counts;
    assert_ok(pnx_registry_wait_idle(registry, patience().deadline), &err);
    pnx_registry_counts(registry, &counts);
    assert_int_equal(counts.live, 0);
    assert_string_equal(pnx_test_log_text(told.log), "");
    end_registry(registry);
    remove_object(object);
    pnx_test_log_free(told.log);
}

static void a_guard_that_is_dropped_when_its_look_is_due_waits_for_it(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_test_clock clock;
    pnx_registry *registry = make_registry(&clock);
    pnx_object *object = run_container(engine, "sleep 1000");
    health_guard guard =
        watch(registry, object, &(pnx_health_config){.interval = PNX_S(10), .timeout = PNX_S(60)});
    pnx_id id = pnx_id_of(&guard);
    assert_ok(pnx_health_watch_begin(pnx_get(&guard), &err), &err);
    pnx_test_run_until(registry, &clock, PNX_S(1001));
    /* Its timer has fired and is in the queue, behind the release, which has the better rank. */
    pnx_test_clock_advance_to(&clock, PNX_S(1020));
    pnx_drop(&guard);
    assert_int_equal(pnx_registry_step(registry, 1), 2);
    assert_int_equal(pnx_registry_state(registry, id), PNX_RUNNING); /* pending */
    while (pnx_registry_step(registry, 1) > 0)
        continue;
    assert_int_equal(pnx_registry_state(registry, id), PNX_DONE);
    assert_int_equal(moments_of(registry, "container look"), 1); /* that one was not begun */
    end_registry(registry);
    remove_object(object);
}

static void drop_it(void *guard)
{
    pnx_drop((health_guard *)guard);
}

static void end_thread(void *nothing)
{
    (void)nothing;
    pthread_exit(NULL);
}

static void who_is_told_may_drop_the_guard_or_end_the_thread(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_registry *registry = make_registry(NULL);
    pnx_object *object = run_container(engine, "sleep 1000");
    struct told told = {.log = pnx_test_log_new(), .also = end_thread};
    const pnx_health_config config = {
        .interval = PNX_MS(10), .timeout = PNX_S(60), .changed = changed, .context = &told};
    health_guard guard = watch(registry, object, &config);
    assert_ok(pnx_health_watch_begin(pnx_get(&guard), &err), &err);
    assert_ok(pnx_test_log_wait(told.log, 1, PNX_TEST_PATIENCE), &err);
    assert_ok(pnx_engine_kill(engine, pnx_object_id(object), SIGKILL, NULL, &err), &err);
    assert_ok(pnx_test_log_wait(told.log, 2, PNX_TEST_PATIENCE), &err); /* it went on */
    assert_ok(pnx_close_by(&guard, patience().deadline, &err), &err);
    assert_string_equal(pnx_test_log_text(told.log),
                        "unknown>healthy\nhealthy>unhealthy (ended)\n");
    told.also = drop_it;
    told.context = &guard;
    guard = watch(registry, object, &config);
    assert_ok(pnx_health_watch_begin(pnx_get(&guard), &err), &err);
    assert_ok(pnx_test_log_wait(told.log, 3, PNX_TEST_PATIENCE), &err);
    assert_ok(pnx_registry_wait_idle(registry, patience().deadline), &err);
    pnx_counts counts;
    pnx_registry_counts(registry, &counts);
    assert_int_equal(counts.live, 0);
    assert_int_equal(pnx_registry_forget_failed(registry), 2); /* whose threads were ended */
    assert_ok(pnx_registry_shutdown(registry, NULL, NULL, &err), &err);
    assert_ok(pnx_registry_destroy(registry, &err), &err);
    remove_object(object);
    pnx_test_log_free(told.log);
}

static void a_shutdown_ends_a_guard_that_leaked_and_tells_of_it_alone(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_object *object = run_container(engine, "sleep 1000");
    for (int i = 0; i < 8; i++) { /* at other moments of its life */
        pnx_registry *registry = make_registry(NULL);
        pnx_report report;
        health_guard guard = watch(
            registry, object, &(pnx_health_config){.interval = PNX_MS(1), .timeout = PNX_S(60)});
        assert_ok(pnx_health_watch_begin(pnx_get(&guard), &err), &err);
        if (i % 2)
            assert_ok(
                pnx_health_watch_wait(pnx_get(&guard), PNX_HEALTHY, patience().deadline, &err),
                &err);
        assert_ok(pnx_registry_shutdown(registry, &(pnx_shutdown_options){.grace = PNX_S(60)},
                                        &report, &err),
                  &err);
        assert_int_equal(report.leaked, 1);
        pnx_report_done(&report);
        pnx_drop(&guard); /* finds it gone */
        assert_ok(pnx_registry_destroy(registry, &err), &err);
    }
    remove_object(object);
}

static void a_guard_dropped_just_before_a_shutdown_is_no_leak(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_object *object = run_container(engine, "sleep 1000");
    for (int i = 0; i < 8; i++) {
        pnx_registry *registry = make_registry(NULL);
        {
            pnx_auto(health) guard =
                watch(registry, object,
                      &(pnx_health_config){.interval = PNX_S(1000), .timeout = PNX_S(60)});
            assert_ok(pnx_health_watch_begin(pnx_get(&guard), &err), &err);
            assert_ok(
                pnx_health_watch_wait(pnx_get(&guard), PNX_HEALTHY, patience().deadline, &err),
                &err);
        }
        end_registry(registry);
    }
    remove_object(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions_follow_their_rules),
        cmocka_unit_test(what_is_remembered_is_the_last),
        cmocka_unit_test(what_cannot_be_a_rule_is_refused_by_its_field),
        cmocka_unit_test(looks_come_in_time_and_transitions_are_told),
        cmocka_unit_test(what_is_killed_is_unhealthy_at_once_and_what_is_gone_too),
        cmocka_unit_test(an_engine_that_is_stopped_makes_nobody_ill),
        cmocka_unit_test(a_guard_that_is_dropped_cancels_its_look_and_has_ended),
        cmocka_unit_test(a_guard_that_is_dropped_when_its_look_is_due_waits_for_it),
        cmocka_unit_test(who_is_told_may_drop_the_guard_or_end_the_thread),
        cmocka_unit_test(a_shutdown_ends_a_guard_that_leaked_and_tells_of_it_alone),
        cmocka_unit_test(a_guard_dropped_just_before_a_shutdown_is_no_leak),
    };
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
