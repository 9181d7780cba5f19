/* SPDX-License-Identifier: MIT */
/* The lifecycle guard: its policy, and lives of containers in a real engine. */
#include "support.h"

#include <cleanroom/lifecycle.h>
#include <patinox/test.h>

#include "container/life.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>

/* ---- the policy ------------------------------------------------------------------------------ */

static void pauses_double_and_the_policy_says_what_is_started_again(void **state)
{
    (void)state;
    pnx_error err = {0};
    struct pnx__policy policy;
    pnx_lifecycle_config config = {.pause = PNX_S(1), .pause_max = PNX_S(7)};
    assert_ok(pnx__policy_of(&config, &policy, &err), &err);
    static const int pauses[] = {1, 2, 4, 7, 7};
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(pnx__policy_pause(&policy, i + 1), PNX_S(pauses[i]));
    assert_int_equal(pnx__policy_pause(&policy, UINT_MAX), PNX_S(7));
    policy.pause_max = PNX_FOREVER;
    assert_int_equal(pnx__policy_pause(&policy, UINT_MAX), PNX_FOREVER);
    assert_false(pnx__policy_restarts(&policy, 1, true));
    policy.restart = PNX_RESTART_ON_FAILURE;
    assert_false(pnx__policy_restarts(&policy, 0, false));
    assert_true(pnx__policy_restarts(&policy, 0, true));
    assert_true(pnx__policy_restarts(&policy, 137, false));
    policy.restart = PNX_RESTART_ALWAYS;
    assert_true(pnx__policy_restarts(&policy, 0, false));
    config.settled = -1;
    assert_status(PNX_EINVAL, pnx__policy_of(&config, &policy, &err), &err);
    assert_says(&err, "settled");
    config = (pnx_lifecycle_config){.restart_unhealthy = true};
    assert_status(PNX_EINVAL, pnx__policy_of(&config, &policy, &err), &err);
    assert_says(&err, "restart_unhealthy");
    config = (pnx_lifecycle_config){.restart = PNX_RESTART_COUNT};
    assert_status(PNX_EINVAL, pnx__policy_of(&config, &policy, &err), &err);
}

/* ---- lives ----------------------------------------------------------------------------------- */

/* One to each test, for good: one that fails leaves its threads behind. */
struct world {
    pnx_test_clock clock;
    pnx_registry *registry;
    pnx_test_log *log;
    pnx_outcome outcome;
    void (*also)(const pnx_life_entry *entry, struct world *world);
    lifecycle_guard guard;
};

static void changed(const pnx_life_entry *entry, void *context)
{
    struct world *world = context;
    if (entry->life == PNX_LIFE_PAUSE)
        pnx_test_log_add(world->log, "pause %lld ms after %d%s",
                         (long long)(entry->pause / PNX_MS(1)), entry->exit_code,
                         entry->oom_killed ? ", memory" : "");
    else if (entry->life == PNX_LIFE_ENDED)
        pnx_test_log_add(world->log, "ended with %d", entry->exit_code);
    else
        pnx_test_log_add(world->log, "%s", pnx_life_name(entry->life));
    if (world->also)
        world->also(entry, world);
}

/* One whose time is virtual, or with threads. */
static void open_world(struct world *world, bool virtual)
{
    pnx_error err = {0};
    pnx_config config = {.workers = 2};
    memset(world, 0, sizeof *world);
    world->log = pnx_test_log_new();
    if (virtual) {
        pnx_test_clock_init(&world->clock, PNX_S(1000));
        config = (pnx_config){.executor = PNX_MANUAL, .clock = &world->clock.clock};
    }
    assert_ok(pnx_registry_create(&config, &world->registry, &err), &err);
}

static pnx_lifecycle *begin(struct world *world, const pnx_lifecycle_config *config)
{
    pnx_error err = {0};
    pnx_lifecycle *life;
    pnx_lifecycle_config with = *config;
    with.container.image = IMAGE;
    with.container.network = "none";
    with.changed = changed;
    with.context = world;
    with.outcome = &world->outcome;
    if (!with.health.timeout)
        with.health.timeout = PNX_S(60);
    world->guard = pnx_reserve(lifecycle, world->registry, &err);
    assert_ok(world->guard.status, &err);
    assert_ok(pnx_lifecycle_new(engine, world->registry, &with, &life, &err), &err);
    assert_true(pnx_arm(&world->guard, life));
    pnx_call call = patience();
    assert_ok(pnx_lifecycle_begin(life, &call, &err), &err);
    return life;
}

/* Its container is gone, and seen to be gone; nothing leaked. */
static void close_world(struct world *world)
{
    pnx_error err = {0};
    pnx_report report;
    assert_ok(pnx_close_by(&world->guard, PNX_FOREVER, &err), &err);
    assert_true(world->outcome.verified);
    assert_int_equal(count_of(engine, PNX_CONTAINER), 0);
    assert_ok(pnx_registry_shutdown(world->registry, NULL, &report, &err), &err);
    assert_int_equal(report.counts.leaked + report.counts.failed + report.counts.abandoned, 0);
    pnx_report_done(&report);
    assert_ok(pnx_registry_destroy(world->registry, &err), &err);
    pnx_test_log_free(world->log);
}

static void pass(struct world *world, pnx_duration span)
{
    pnx_test_run_until(world->registry, &world->clock, pnx_test_clock_now(&world->clock) + span);
}

static bool runs(const pnx_lifecycle *life)
{
    pnx_error err = {0};
    pnx_check_result result;
    pnx_call call = patience();
    assert_ok(pnx_check_once(engine, pnx_lifecycle_container(life),
                             &(pnx_check){.type = PNX_CHECK_RUNS}, &call, &result, &err),
              &err);
    return result.running;
}

/* kill -9 of its process, from outside; and the engine has noticed. */
static void kill_process(const pnx_lifecycle *life)
{
    pnx_error err = {0};
    json_t *about;
    const char *id = pnx_lifecycle_container(life);
    assert_ok(pnx_engine_inspect(engine, PNX_CONTAINER, id, NULL, &about, &err), &err);
    pid_t pid = (pid_t)json_integer_value(json_object_get(json_object_get(about, "State"), "Pid"));
    json_decref(about);
    assert_true(pid > 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    pnx_call call = patience();
    assert_ok(pnx_engine_wait(engine, id, &call, NULL, &err), &err);
}

static void what_is_killed_comes_back_after_pauses_that_double(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    static struct world world;
    pnx_lifecycle_counts counts;
    open_world(&world, true);
    pnx_lifecycle *life = begin(&world, &(pnx_lifecycle_config){
                                            .container.command = SH("exec sleep 1000"),
                                            .health.interval = PNX_S(1),
                                            .restart = PNX_RESTART_ON_FAILURE,
                                            .restarts_max = 3,
                                            .pause = PNX_S(2),
                                            .settled = PNX_S(100),
                                        });
    pass(&world, PNX_MS(10));
    assert_int_equal(pnx_lifecycle_state(life), PNX_LIFE_HEALTHY);
    for (int i = 0; i < 2; i++) {
        pnx_duration pause = PNX_S(2) << i;
        kill_process(life);
        pass(&world, PNX_S(1)); /* it is seen to have ended */
        assert_int_equal(pnx_lifecycle_state(life), PNX_LIFE_PAUSE);
        pnx_life_entry entry;
        assert_int_equal(pnx_lifecycle_history(life, &entry, 1), 1);
        assert_int_equal(entry.pause, pause);
        pass(&world, entry.time + pause - PNX_MS(5) - pnx_test_clock_now(&world.clock));
        assert_false(runs(life)); /* not before */
        pass(&world, PNX_MS(50));
        assert_true(runs(life));
        assert_int_equal(pnx_lifecycle_state(life), PNX_LIFE_HEALTHY);
    }
    pass(&world, PNX_S(100)); /* it has settled: the row is over */
    kill_process(life);
    pass(&world, PNX_S(4));
    assert_true(runs(life));
    pnx_lifecycle_counts_of(life, &counts);
    assert_int_equal(counts.starts, 4);
    assert_int_equal(counts.restarts, 3);
    assert_int_equal(counts.ended, 3);
    assert_string_equal(pnx_test_log_text(world.log), "starting\nhealthy\n"
                                                      "pause 2000 ms after 137\n"
                                                      "starting\nhealthy\n"
                                                      "pause 4000 ms after 137\n"
                                                      "starting\nhealthy\n"
                                                      "pause 2000 ms after 137\n"
                                                      "starting\nhealthy\n");
    pnx_life_entry last[2];
    assert_int_equal(pnx_lifecycle_history(life, last, 2), 2);
    assert_int_equal(last[0].life, PNX_LIFE_STARTING);
    assert_int_equal(last[0].restarts, 1);
    close_world(&world);
}

static void what_fails_too_often_has_ended_and_what_succeeds_is_left_alone(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    static struct world world;
    open_world(&world, false);
    pnx_lifecycle_config config = {
        .container.command = SH("exit 3"),
        .health.interval = PNX_MS(10),
        .restart = PNX_RESTART_ON_FAILURE,
        .restarts_max = 2,
        .pause = PNX_MS(10),
        .settled = PNX_S(1000),
    };
    pnx_lifecycle *life = begin(&world, &config);
    assert_ok(pnx_lifecycle_wait(life, PNX_LIFE_ENDED, patience().deadline, &err), &err);
    assert_status(PNX_EFAILED, pnx_lifecycle_wait(life, PNX_LIFE_HEALTHY, PNX_FOREVER, &err), &err);
    assert_says(&err, "exit status 3");
    pnx_lifecycle_counts counts;
    pnx_lifecycle_counts_of(life, &counts);
    assert_int_equal(counts.starts, 3);
    assert_int_equal(counts.ended, 3);
    close_world(&world);
    open_world(&world, false);
    config.container.command = SH("exit 0");
    life = begin(&world, &config);
    assert_ok(pnx_lifecycle_wait(life, PNX_LIFE_ENDED, patience().deadline, &err), &err);
    pnx_lifecycle_counts_of(life, &counts);
    assert_int_equal(counts.starts, 1);
    close_world(&world);
}

static void what_is_unhealthy_is_stopped_and_started_again(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    static struct world world;
    const pnx_check well = {.type = PNX_CHECK_COMMAND, .shell = "test ! -e /tmp/ill"};
    open_world(&world, true);
    pnx_lifecycle *life =
        begin(&world,
              &(pnx_lifecycle_config){
                  .container.command = SH("rm -f /tmp/ill; "
                                          "exec sleep 1000"),
                  .health = {.checks = &well, .check_count = 1, .interval = PNX_S(1), .retries = 2},
                  .restart = PNX_RESTART_ALWAYS,
                  .restart_unhealthy = true,
                  .pause = PNX_S(2),
              });
    pass(&world, PNX_MS(10));
    pnx_call call = patience();
    assert_ok(pnx_engine_exec(engine, pnx_lifecycle_container(life),
                              &(pnx_exec){.argv = TEXTS("touch", "/tmp/ill")}, &call, NULL, &err),
              &err);
    pass(&world, PNX_S(2) + PNX_MS(20));
    assert_int_equal(pnx_lifecycle_state(life), PNX_LIFE_PAUSE);
    assert_false(runs(life));
    pass(&world, PNX_S(3));
    assert_int_equal(pnx_lifecycle_state(life), PNX_LIFE_HEALTHY);
    assert_string_equal(pnx_test_log_text(world.log),
                        "starting\nhealthy\nunhealthy\npause 2000 ms after 0\n"
                        "starting\nhealthy\n");
    close_world(&world);
}

static void memory_that_ran_out_is_told(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    static struct world world;
    open_world(&world, false);
    pnx_lifecycle *life = begin(
        &world, &(pnx_lifecycle_config){
                    .container = {.command = SH("exec tail /dev/zero"), .memory_max = 16 << 20},
                    .health.interval = PNX_MS(10),
                });
    assert_ok(pnx_lifecycle_wait(life, PNX_LIFE_ENDED, patience().deadline, &err), &err);
    pnx_life_entry last;
    assert_int_equal(pnx_lifecycle_history(life, &last, 1), 1);
    assert_int_equal(last.exit_code, 137);
    if (is_podman()) { /* on cgroup v1 it does not know */
        close_world(&world);
        return;
    }
    assert_true(last.oom_killed);
    pnx_lifecycle_counts counts;
    pnx_lifecycle_counts_of(life, &counts);
    assert_int_equal(counts.oom, 1);
    close_world(&world);
}

static void what_ignores_its_stop_signal_goes_after_the_grace(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    static struct world world;
    const pnx_check ready = {.type = PNX_CHECK_LOG, .text = "ready"};
    open_world(&world, false);
    pnx_lifecycle *life =
        begin(&world, &(pnx_lifecycle_config){
                          .container = {.command = SH("trap '' TERM; echo ready; "
                                                      "while :; do sleep 1; done"),
                                        .grace = PNX_S(1)},
                          .health = {.checks = &ready, .check_count = 1, .interval = PNX_MS(20)},
                          .restart = PNX_RESTART_ALWAYS,
                      });
    assert_ok(pnx_lifecycle_wait(life, PNX_LIFE_HEALTHY, patience().deadline, &err), &err);
    assert_ok(pnx_close_by(&world.guard, PNX_FOREVER, &err), &err);
    assert_true(world.outcome.took >= PNX_S(1));
    /* It was stopped, and not taken for one that has ended: the last thing told is its end. */
    assert_string_equal(pnx_test_log_text(world.log), "starting\nhealthy\nremoved\n");
    close_world(&world);
}

/* ---- dropped in the middle of things --------------------------------------------------------- */

static void drop_when_it_pauses(const pnx_life_entry *entry, struct world *world)
{
    if (entry->life == PNX_LIFE_PAUSE && entry->restarts == 2)
        pnx_drop(&world->guard);
}

static void a_guard_that_is_dropped_while_it_restarts_leaves_nothing(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    for (int i = 0; i < 3; i++) {
        static struct world world;
        open_world(&world, false);
        if (i == 0)
            world.also = drop_when_it_pauses;
        (void)begin(&world, &(pnx_lifecycle_config){
                                .container.command = SH("exit 1"),
                                .health.interval = PNX_MS(1),
                                .restart = PNX_RESTART_ALWAYS,
                                .pause = PNX_MS(1),
                                .pause_max = PNX_MS(1),
                            });
        /* At some moment of looks, pauses and starts. */
        assert_ok(pnx_test_log_wait(world.log, 4 + (size_t)i, PNX_TEST_PATIENCE), &err);
        if (i > 0)
            pnx_drop(&world.guard);
        for (size_t lines = 1; !strstr(pnx_test_log_text(world.log), "removed\n"); lines++)
            assert_ok(pnx_test_log_wait(world.log, lines, PNX_TEST_PATIENCE), &err);
        const char *text = pnx_test_log_text(world.log);
        assert_string_equal(text + strlen(text) - strlen("removed\n"), "removed\n");
        close_world(&world);
    }
}

/* On a worker, in the middle of a look; until the other one has begun to end it. */
static void drop_and_wait(const pnx_health_entry *entry, void *context)
{
    struct world *world = context;
    pnx_lifecycle *life = pnx_get(&world->guard); /* which this look holds */
    (void)entry;
    pnx_drop(&world->guard);
    while (!pnx__beat_is_stopping(&life->beat))
        continue;
}

static void what_a_look_has_seen_is_not_told_when_the_guard_is_dropped(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    static struct world world;
    open_world(&world, false);
    (void)begin(&world,
                &(pnx_lifecycle_config){
                    .container.command = SH("exec sleep 1000"),
                    .health = {.interval = PNX_MS(10), .changed = drop_and_wait, .context = &world},
                });
    assert_ok(pnx_test_log_wait(world.log, 2, PNX_TEST_PATIENCE), &err);
    assert_ok(pnx_registry_wait_idle(world.registry, patience().deadline), &err);
    assert_string_equal(pnx_test_log_text(world.log), "starting\nremoved\n");
    close_world(&world);
}

static void a_look_that_hangs_is_over_before_the_container_goes(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    static struct world world;
    const pnx_check hangs = {.type = PNX_CHECK_COMMAND, .shell = "touch /tmp/here; sleep 1000"},
                    here = {.type = PNX_CHECK_COMMAND, .shell = "test -e /tmp/here"};
    open_world(&world, false);
    pnx_lifecycle *life =
        begin(&world, &(pnx_lifecycle_config){
                          .container.command = SH("exec sleep 1000"),
                          .health = {.checks = &hangs, .check_count = 1, .timeout = PNX_S(600)},
                      });
    pnx_check_result result;
    do
        assert_ok(pnx_check_once(engine, pnx_lifecycle_container(life), &here, NULL, &result, &err),
                  &err);
    while (result.verdict != PNX_VERDICT_PASSES);
    pnx_time began = pnx_monotonic_now();
    assert_ok(pnx_close_by(&world.guard, PNX_FOREVER, &err), &err);
    assert_true(pnx_monotonic_now() - began < PNX_S(300));
    assert_int_equal(world.outcome.fate, PNX_FATE_REMOVED);
    close_world(&world);
}

static void an_engine_that_is_stopped_starts_nothing_and_loses_nothing(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    if (is_podman())
        skip(); /* what stops it is known of dockerd */
    pnx_error err = {0};
    static struct world world;
    open_world(&world, false);
    pnx_lifecycle *life =
        begin(&world, &(pnx_lifecycle_config){
                          .container.command = SH("exec sleep 1000"),
                          .health = {.interval = PNX_MS(20), .timeout = PNX_MS(300)},
                          .restart = PNX_RESTART_ALWAYS,
                      });
    assert_ok(pnx_lifecycle_wait(life, PNX_LIFE_HEALTHY, patience().deadline, &err), &err);
    assert_int_equal(kill(engine_pid(), SIGSTOP), 0);
    pnx_status status = pnx_lifecycle_wait(life, PNX_LIFE_UNKNOWN, patience().deadline, &err);
    assert_int_equal(kill(engine_pid(), SIGCONT), 0);
    assert_ok(status, &err);
    assert_ok(pnx_lifecycle_wait(life, PNX_LIFE_HEALTHY, patience().deadline, &err), &err);
    pnx_lifecycle_counts counts;
    pnx_lifecycle_counts_of(life, &counts);
    assert_int_equal(counts.starts, 1);
    close_world(&world);
}

static void stop_engine_at_first_pause(const pnx_life_entry *entry, struct world *world)
{
    (void)world;
    if (entry->life == PNX_LIFE_PAUSE && entry->restarts == 1)
        assert_int_equal(kill(engine_pid(), SIGSTOP), 0);
}

static void a_restart_that_finds_no_engine_does_not_count(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    if (is_podman())
        skip(); /* what stops it is known of dockerd */
    pnx_error err = {0};
    static struct world world;
    pnx_engine *before = engine;
    assert_ok(pnx_engine_open(&(pnx_engine_config){.timeout = PNX_MS(200)}, NULL, &engine, &err),
              &err);
    open_world(&world, false);
    world.also = stop_engine_at_first_pause;
    pnx_lifecycle *life = begin(&world, &(pnx_lifecycle_config){
                                            .container.command = SH("exit 1"),
                                            .health.interval = PNX_MS(10),
                                            .restart = PNX_RESTART_ALWAYS,
                                            .restarts_max = 1,
                                            .pause = PNX_MS(10),
                                        });
    pnx_lifecycle_counts counts;
    pnx_time until = patience().deadline;
    do
        pnx_lifecycle_counts_of(life, &counts);
    while (counts.restarts < 3 && pnx_monotonic_now() < until);
    pnx_life now = pnx_lifecycle_state(life);
    assert_int_equal(kill(engine_pid(), SIGCONT), 0);
    assert_true(counts.restarts >= 3);
    assert_int_equal(now, PNX_LIFE_PAUSE);
    assert_ok(pnx_lifecycle_wait(life, PNX_LIFE_ENDED, until, &err), &err);
    assert_ok(pnx_close_by(&world.guard, PNX_FOREVER, &err), &err);
    close_world(&world);
    pnx_engine_close(engine);
    engine = before;
}

static void what_dies_with_its_engine_comes_back_with_it(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    if (is_podman())
        skip(); /* its containers do not depend on it */
    pnx_error err = {0};
    static struct world world;
    open_world(&world, false);
    pnx_lifecycle *life =
        begin(&world, &(pnx_lifecycle_config){
                          /* An engine that comes back ends what still runs, with this signal. */
                          .container = {.command = SH("exec sleep 1000"), .stop_signal = "KILL"},
                          .health.interval = PNX_MS(10),
                          .restart = PNX_RESTART_ON_FAILURE,
                          .restarts_max = 1,
                          .pause = PNX_MS(10),
                      });
    assert_ok(pnx_lifecycle_wait(life, PNX_LIFE_HEALTHY, patience().deadline, &err), &err);
    assert_int_equal(kill(engine_pid(), SIGKILL), 0);
    assert_ok(pnx_lifecycle_wait(life, PNX_LIFE_UNKNOWN, patience().deadline, &err), &err);
    pnx_lifecycle_counts counts;
    pnx_time until = patience().deadline;
    do
        pnx_lifecycle_counts_of(life, &counts);
    while (counts.starts < 2 && pnx_monotonic_now() < until);
    assert_ok(pnx_lifecycle_wait(life, PNX_LIFE_HEALTHY, patience().deadline, &err), &err);
    pnx_lifecycle_counts_of(life, &counts);
    assert_int_equal(counts.starts, 2);
    assert_int_equal(counts.ended, 1);
    close_world(&world);
}

static void a_beginning_that_fails_is_said_and_leaves_nothing(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    static struct world world;
    pnx_lifecycle *life;
    pnx_lifecycle_config config = {
        .container = {.image = IMAGE, .network = "none", .command = TEXTS("/no/such/program")},
        .outcome = NULL,
    };
    open_world(&world, false);
    config.outcome = &world.outcome;
    world.guard = pnx_reserve(lifecycle, world.registry, &err);
    assert_ok(pnx_lifecycle_new(engine, world.registry, &config, &life, &err), &err);
    assert_true(pnx_arm(&world.guard, life));
    pnx_call call = patience();
    assert_int_not_equal(pnx_lifecycle_begin(life, &call, &err), PNX_OK);
    assert_says(&err, is_podman() ? "not found" : "no/such/program");
    assert_int_equal(pnx_lifecycle_state(life), PNX_LIFE_ENDED);
    assert_status(PNX_EALREADY, pnx_lifecycle_begin(life, &call, &err), &err);
    assert_int_equal(count_of(engine, PNX_CONTAINER),
                     1); /* it was made before it failed to start */
    close_world(&world);
    /* One that never began ends without an engine. */
    open_world(&world, false);
    assert_ok(pnx_lifecycle_new(engine, world.registry, &config, &life, &err), &err);
    pnx_lifecycle_free(life);
    world.outcome.verified = true;
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pauses_double_and_the_policy_says_what_is_started_again),
        cmocka_unit_test(what_is_killed_comes_back_after_pauses_that_double),
        cmocka_unit_test(what_fails_too_often_has_ended_and_what_succeeds_is_left_alone),
        cmocka_unit_test(what_is_unhealthy_is_stopped_and_started_again),
        cmocka_unit_test(memory_that_ran_out_is_told),
        cmocka_unit_test(what_ignores_its_stop_signal_goes_after_the_grace),
        cmocka_unit_test(a_guard_that_is_dropped_while_it_restarts_leaves_nothing),
        cmocka_unit_test(what_a_look_has_seen_is_not_told_when_the_guard_is_dropped),
        cmocka_unit_test(a_look_that_hangs_is_over_before_the_container_goes),
        cmocka_unit_test(an_engine_that_is_stopped_starts_nothing_and_loses_nothing),
        cmocka_unit_test(a_restart_that_finds_no_engine_does_not_count),
        cmocka_unit_test(what_dies_with_its_engine_comes_back_with_it),
        cmocka_unit_test(a_beginning_that_fails_is_said_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
