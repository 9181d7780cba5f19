/* SPDX-License-Identifier: MIT */
/* The resource guard: its rules, limits, and what containers of a real engine use. */
#include "support.h"

#include <cleanroom/usage.h>
#include <patinox/test.h>

#include "container/usage.h"

#include <signal.h>

#define MIB ((uint64_t)1 << 20)

/* ---- the rules ------------------------------------------------------------------------------- */

static size_t take_memory(struct pnx__usage *usage, uint64_t memory, pnx_usage_event *events)
{
    struct pnx__sample sample = {.known = true, .running = true, .measured = true};
    sample.limits[PNX_USAGE_MEMORY] = 100;
    sample.stats.memory = memory;
    return pnx__usage_take(usage, 7, &sample, events);
}

static void a_crossing_is_told_once_and_again_only_from_clearly_below(void **state)
{
    (void)state;
    pnx_error err = {0};
    pnx_usage_event events[PNX__USAGE_EVENTS_MAX];
    struct pnx__usage usage;
    const pnx_usage_config config = {.bounds[PNX_USAGE_MEMORY].hard = 90};
    assert_ok(pnx__usage_of(&config, &usage, &err), &err);
    assert_int_equal(take_memory(&usage, 79, events), 0);
    assert_int_equal(take_memory(&usage, 80, events), 1); /* 0.8 of the limit */
    assert_int_equal(events[0].type, PNX_USAGE_SOFT);
    assert_int_equal(events[0].bound, 80);
    assert_int_equal(events[0].time, 7);
    assert_int_equal(take_memory(&usage, 75, events), 0);
    assert_int_equal(take_memory(&usage, 85, events), 0);
    assert_int_equal(take_memory(&usage, 71, events), 1);
    assert_int_equal(events[0].type, PNX_USAGE_BELOW);
    assert_int_equal(take_memory(&usage, 95, events), 2);
    assert_int_equal(events[0].type, PNX_USAGE_SOFT);
    assert_int_equal(events[1].type, PNX_USAGE_HARD);
    assert_int_equal(take_memory(&usage, 95, events), 0);
    assert_int_equal(usage.report.peak[PNX_USAGE_MEMORY], 95);
    assert_int_equal(usage.report.events[PNX_USAGE_SOFT], 2);
}

static void what_the_kernel_has_counted_the_engine_does_not_count_again(void **state)
{
    (void)state;
    pnx_error err = {0};
    pnx_usage_event events[PNX__USAGE_EVENTS_MAX];
    struct pnx__usage usage;
    assert_ok(pnx__usage_of(&(pnx_usage_config){0}, &usage, &err), &err);
    struct pnx__sample sample = {.known = true, .running = true, .kernel = {.visible = true}};
    assert_int_equal(pnx__usage_take(&usage, 0, &sample, events), 0);
    sample.kernel.oom = 2;
    assert_int_equal(pnx__usage_take(&usage, 0, &sample, events), 1);
    assert_int_equal(events[0].type, PNX_USAGE_OOM);
    assert_int_equal(events[0].value, 2);
    sample.oom_killed = true;
    assert_int_equal(pnx__usage_take(&usage, 0, &sample, events), 0);
    sample.kernel.oom = 1; /* another cgroup: it was started again */
    assert_int_equal(pnx__usage_take(&usage, 0, &sample, events), 1);
    assert_int_equal(events[0].value, 3);
    /* Where the kernel cannot be seen, what the engine says counts, once. */
    assert_ok(pnx__usage_of(&(pnx_usage_config){0}, &usage, &err), &err);
    sample = (struct pnx__sample){.known = true, .ended = true, .oom_killed = true};
    assert_int_equal(pnx__usage_take(&usage, 0, &sample, events), 2);
    assert_int_equal(events[0].type, PNX_USAGE_OOM);
    assert_int_equal(events[1].type, PNX_USAGE_ENDED);
    assert_non_null(strstr(events[1].reason, "memory ran out"));
}

static void what_is_no_configuration_is_refused_by_its_field(void **state)
{
    (void)state;
    static const struct {
        pnx_usage_config config;
        const char *says;
    } all[] = {
        {{.soft = 1.5}, "soft"},
        {{.interval = 1}, "interval"},
        {{.timeout = -1}, "timeout"},
        {{.action = PNX_USAGE_KILL + 1}, "action"},
        {{.bounds[PNX_USAGE_PIDS] = {3, 2}}, "pids"},
    };
    struct pnx__usage usage;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        pnx_error err = {0};
        assert_status(PNX_EINVAL, pnx__usage_of(&all[i].config, &usage, &err), &err);
        assert_says(&err, all[i].says);
    }
}

/* ---- limits ---------------------------------------------------------------------------------- */

static pnx_object *run_limited(const pnx_container_limits *limits, const char *script)
{
    pnx_error err = {0};
    pnx_container_config config = {.command = SH(script)};
    assert_ok(pnx_container_limits_set(limits, &config, NULL, &err), &err);
    pnx_object *object = make_container(engine, &config);
    pnx_call call = patience();
    assert_ok(pnx_engine_start(engine, pnx_object_id(object), &call, &err), &err);
    return object;
}

static void limits_are_set_in_the_engine_and_in_the_kernel(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_limit_seen seen[PNX_USAGE_TYPE_COUNT];
    pnx_container_limits limits = {.memory_max = 48 * MIB, .cpus = 0.5, .pids_max = 33};
    pnx_object *object = run_limited(&limits, "exec sleep 1000"),
               *without = run_container(engine, "exec sleep 1000");
    const char *id = pnx_object_id(object);
    assert_ok(pnx_container_limits_verify(engine, id, &limits, NULL, seen, &err), &err);
    static const uint64_t wanted[] = {48 * MIB, 500, 33};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(seen[i].wanted, wanted[i]);
        assert_int_equal(seen[i].engine, wanted[i]);
        assert_true(seen[i].visible); /* the engine runs in our pid namespace */
        assert_int_equal(seen[i].kernel, wanted[i]);
    }
    limits.pids_max = 34;
    assert_status(PNX_EFAILED, pnx_container_limits_verify(engine, id, &limits, NULL, NULL, &err),
                  &err);
    assert_says(&err, "the limit of pids is not set: 34 wanted, the engine has 33");
    limits.memory_max = MIB;
    assert_status(
        PNX_EFAILED,
        pnx_container_limits_verify(engine, pnx_object_id(without), &limits, NULL, seen, &err),
        &err);
    assert_says(&err, "the limit of memory is not set");
    assert_int_equal(seen[PNX_USAGE_MEMORY].engine, 0);
    assert_int_equal(seen[PNX_USAGE_MEMORY].kernel, 0);
    remove_object(object);
    remove_object(without);
}

/* Somebody changes it behind the engine's back. */
static bool raise_pids_max(const char *id)
{
    static const char *const roots[] = {"pids", "", NULL};
    static const char *const parents[] = {"", "/libpod_parent/libpod-", NULL};
    char path[512];
    for (int i = 0; roots[i]; i++) {
        for (int k = 0; parents[k]; k++) {
            if (k == 0)
                snprintf(path, sizeof path, "/sys/fs/cgroup/%s%s/%s/pids.max", roots[i],
                         getenv("PNX_TEST_CGROUP"), id);
            else
                snprintf(path, sizeof path, "/sys/fs/cgroup/%s%s%s/pids.max", roots[i], parents[k],
                         id);
            FILE *file = fopen(path, "we");
            if (file)
                return fprintf(file, "77\n") > 0 && fclose(file) == 0;
        }
    }
    return false;
}

static void a_limit_that_only_the_engine_believes_in_is_not_set(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    const pnx_container_limits limits = {.pids_max = 33};
    pnx_object *object = run_limited(&limits, "exec sleep 1000");
    const char *id = pnx_object_id(object);
    assert_ok(pnx_container_limits_verify(engine, id, &limits, NULL, NULL, &err), &err);
    if (raise_pids_max(id)) {
        assert_status(PNX_EFAILED,
                      pnx_container_limits_verify(engine, id, &limits, NULL, NULL, &err), &err);
        assert_says(&err, "33 wanted, the kernel has 77");
    } else {
        print_message("# not seen: there is no cgroup of the container to change\n");
    }
    remove_object(object);
}

static void a_limit_of_the_disk_is_set_or_refused_and_never_forgotten(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    json_t *body;
    pnx_object *object;
    const pnx_container_limits limits = {.disk_max = 64 * MIB};
    pnx_container_config config = {.image = IMAGE, .network = "none", .command = SH("true")};
    assert_status(PNX_EINVAL, pnx_container_limits_set(&limits, &config, NULL, &err), &err);
    assert_ok(pnx_container_limits_set(&limits, &config, &body, &err), &err);
    assert_ok(pnx_container_new(engine, &config, &object, &err), &err);
    json_decref(body);
    pnx_call call = patience();
    pnx_status status = pnx_object_create(object, &call, &err);
    if (status == PNX_OK) /* a driver that can */
        assert_ok(
            pnx_container_limits_verify(engine, pnx_object_id(object), &limits, NULL, NULL, &err),
            &err);
    else
        assert_says(&err, "pquota"); /* in the engine's own words */
    if (status == PNX_OK)
        assert_ok(pnx_object_remove(object, &call, &err), &err);
    pnx_object_free(object);
    assert_int_equal(count_of(engine, PNX_CONTAINER), 0);
}

/* ---- usage ----------------------------------------------------------------------------------- */

/* One to each test, for good: one that fails leaves its registry behind. */
struct world {
    pnx_test_clock clock;
    pnx_registry *registry;
    pnx_test_log *log;
    usage_guard guard;
};

static void changed(const pnx_usage_event *event, void *context)
{
    struct world *world = context;
    bool bound = event->type <= PNX_USAGE_HARD;
    pnx_test_log_add(world->log, "%s%s%s%s", pnx_usage_event_name(event->type), bound ? " of " : "",
                     bound ? pnx_usage_type_name(event->usage) : "",
                     event->status == PNX_OK ? "" : " failed");
}

static pnx_usage_watch *open_world(struct world *world, const pnx_object *object,
                                   const pnx_usage_config *config)
{
    pnx_error err = {0};
    pnx_usage_watch *watch;
    pnx_usage_config with = *config;
    memset(world, 0, sizeof *world);
    with.interval = PNX_S(1);
    with.timeout = PNX_S(60);
    with.changed = changed;
    with.context = world;
    pnx_test_clock_init(&world->clock, PNX_S(1000));
    world->log = pnx_test_log_new();
    assert_ok(
        pnx_registry_create(&(pnx_config){.executor = PNX_MANUAL, .clock = &world->clock.clock},
                            &world->registry, &err),
        &err);
    world->guard = pnx_reserve(usage, world->registry, &err);
    assert_ok(world->guard.status, &err);
    assert_ok(
        pnx_usage_watch_new(engine, world->registry, pnx_object_id(object), &with, &watch, &err),
        &err);
    assert_true(pnx_arm(&world->guard, watch));
    assert_ok(pnx_usage_watch_begin(watch, &err), &err);
    return watch;
}

/* One look more; what was told since the last one. */
static void assert_told(struct world *world, const char *wanted)
{
    pnx_test_log_clear(world->log);
    pnx_test_run_until(world->registry, &world->clock,
                       pnx_test_clock_now(&world->clock) + PNX_S(1) + PNX_MS(10));
    assert_string_equal(pnx_test_log_text(world->log), wanted);
}

static void close_world(struct world *world)
{
    pnx_error err = {0};
    pnx_report report;
    assert_ok(pnx_close(&world->guard, &err), &err);
    assert_ok(pnx_registry_shutdown(world->registry, NULL, &report, &err), &err);
    assert_int_equal(report.counts.leaked + report.counts.failed + report.counts.abandoned, 0);
    pnx_report_done(&report);
    assert_ok(pnx_registry_destroy(world->registry, &err), &err);
    pnx_test_log_free(world->log);
}

/* Runs it in the container, whatever its exit status. */
static void run(const pnx_object *object, const char *script)
{
    pnx_error err = {0};
    pnx_call call = patience();
    assert_ok(pnx_engine_exec(engine, pnx_object_id(object), &(pnx_exec){.argv = SH(script)}, &call,
                              NULL, &err),
              &err);
}

static void see_memory(bool by_engine)
{
    static struct world world;
    pnx_usage_report report;
    const pnx_container_limits limits = {.memory_max = 40 * MIB};
    pnx_object *object = run_limited(&limits, "sleep 1000; true");
    pnx_usage_watch *watch =
        open_world(&world, object, &(pnx_usage_config){.by_engine = by_engine});
    assert_told(&world, "");
    /* What is in a tmpfs is memory. */
    run(object, "dd if=/dev/zero of=/dev/shm/x bs=1M count=34 2>/dev/null");
    assert_told(&world, "soft limit of memory\n");
    if (by_engine) { /* it lets everybody wait for a second, each time */
        close_world(&world);
        remove_object(object);
        return;
    }
    assert_told(&world, "");
    run(object, "rm /dev/shm/x");
    assert_told(&world, "below soft limit of memory\n");
    run(object, "tail /dev/zero");
    assert_told(&world, "memory ran out\n");
    pnx_usage_watch_report(watch, &report);
    assert_true(report.oom >= 1);
    assert_false(report.ended); /* it was a child of it */
    assert_int_equal(report.limit[PNX_USAGE_MEMORY], 40 * MIB);
    assert_true(report.peak[PNX_USAGE_MEMORY] >= 34 * MIB);
    assert_true(report.peak[PNX_USAGE_MEMORY] <= 40 * MIB);
    assert_true(report.kernel_peak_memory >= 39 * MIB);
    assert_int_equal(report.unknown, 0);
    close_world(&world);
    remove_object(object);
}

static void memory_is_told_at_its_soft_limit_below_it_and_when_it_runs_out(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    see_memory(false);
}

static void the_engine_counts_the_same(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    see_memory(true);
}

static void processes_are_told_when_they_are_refused(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    static struct world world;
    pnx_usage_report report;
    const pnx_container_limits limits = {.pids_max = 20};
    pnx_object *object = run_limited(&limits, "sleep 1000; true");
    pnx_usage_watch *watch = open_world(&world, object, &(pnx_usage_config){0});
    assert_told(&world, "");
    /* The shell ends with the first that is refused; those before go on. */
    run(object, "for i in $(seq 40); do sleep 1000 >/dev/null 2>&1 & done 2>/dev/null");
    assert_told(&world, "pids refused\nsoft limit of pids\n");
    pnx_usage_watch_report(watch, &report);
    assert_true(report.refused >= 1);
    assert_true(report.peak[PNX_USAGE_PIDS] >= 16);
    assert_true(report.peak[PNX_USAGE_PIDS] <= 20);
    close_world(&world);
    remove_object(object);
}

static void what_comes_to_its_hard_limit_is_killed(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    static struct world world;
    pnx_object *object = run_container(engine, "sleep 1000; true");
    pnx_usage_watch *watch = open_world(
        &world, object,
        &(pnx_usage_config){.bounds[PNX_USAGE_MEMORY].hard = 20 * MIB, .action = PNX_USAGE_KILL});
    assert_told(&world, "");
    run(object, "dd if=/dev/zero of=/dev/shm/x bs=1M count=30 2>/dev/null");
    assert_told(&world, "hard limit of memory\n");
    pnx_call call = patience();
    int code = 0;
    assert_ok(pnx_engine_wait(engine, pnx_object_id(object), &call, &code, &err), &err);
    assert_int_equal(code, 137);
    assert_told(&world, "ended\n");
    assert_told(&world, ""); /* nobody looks further */
    pnx_usage_report report;
    pnx_usage_watch_report(watch, &report);
    assert_true(report.ended);
    assert_int_equal(report.oom, 0); /* it was us */
    close_world(&world);
    remove_object(object);
}

static void what_has_had_its_processor_time_is_stopped_in_order(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    static struct world world;
    pnx_object *object = run_container(
        engine, "trap 'exit 9' TERM; while [ ! -e /tmp/go ]; do sleep 0.05; done; "
                "i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done; touch /tmp/done; "
                "while :; do sleep 0.05; done");
    pnx_usage_watch *watch = open_world(
        &world, object,
        &(pnx_usage_config){.bounds = {[PNX_USAGE_CPU_TIME].hard = 100, [PNX_USAGE_CPU].soft = 1},
                            .action = PNX_USAGE_STOP,
                            .grace = PNX_S(30)});
    pnx_test_run_until(world.registry, &world.clock, PNX_S(1000) + PNX_MS(10));
    run(object, "touch /tmp/go; while [ ! -e /tmp/done ]; do sleep 0.02; done");
    pnx_test_log_clear(world.log);
    pnx_test_run_until(world.registry, &world.clock, PNX_S(1002));
    const char *text = pnx_test_log_text(world.log);
    assert_non_null(strstr(text, "hard limit of cpu time\n"));
    assert_non_null(strstr(text, "soft limit of cpu\n"));
    int code = 0;
    pnx_call call = patience();
    assert_ok(pnx_engine_wait(engine, pnx_object_id(object), &call, &code, &err), &err);
    assert_int_equal(code, 9);
    pnx_usage_report report;
    pnx_usage_watch_report(watch, &report);
    assert_true(report.peak[PNX_USAGE_CPU_TIME] >= 100);
    close_world(&world);
    remove_object(object);
}

static void an_engine_that_is_stopped_is_counted_as_unknown(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    if (is_podman())
        skip(); /* what stops it is known of dockerd */
    pnx_error err = {0};
    pnx_registry *registry;
    pnx_usage_watch *watch;
    pnx_usage_report report;
    pnx_object *object = run_container(engine, "exec sleep 1000");
    assert_ok(pnx_registry_create(&(pnx_config){.workers = 2}, &registry, &err), &err);
    {
        pnx_auto(usage) guard = pnx_reserve(usage, registry, &err);
        assert_ok(
            pnx_usage_watch_new(engine, registry, pnx_object_id(object),
                                &(pnx_usage_config){.interval = PNX_MS(10), .timeout = PNX_MS(200)},
                                &watch, &err),
            &err);
        assert_true(pnx_arm(&guard, watch));
        assert_int_equal(kill(engine_pid(), SIGSTOP), 0);
        assert_ok(pnx_usage_watch_begin(watch, &err), &err);
        pnx_time until = patience().deadline;
        do
            pnx_usage_watch_report(watch, &report);
        while (report.unknown == 0 && pnx_monotonic_now() < until);
        pnx_status status = pnx_close_by(&guard, until, &err); /* and it is over without it */
        assert_int_equal(kill(engine_pid(), SIGCONT), 0);
        assert_ok(status, &err);
        assert_non_null(strstr(report.unknown_reason, "did not answer in time"));
        assert_false(report.ended);
    }
    assert_ok(pnx_registry_shutdown(registry, NULL, NULL, &err), &err);
    assert_ok(pnx_registry_destroy(registry, &err), &err);
    remove_object(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crossing_is_told_once_and_again_only_from_clearly_below),
        cmocka_unit_test(what_the_kernel_has_counted_the_engine_does_not_count_again),
        cmocka_unit_test(what_is_no_configuration_is_refused_by_its_field),
        cmocka_unit_test(limits_are_set_in_the_engine_and_in_the_kernel),
        cmocka_unit_test(a_limit_that_only_the_engine_believes_in_is_not_set),
        cmocka_unit_test(a_limit_of_the_disk_is_set_or_refused_and_never_forgotten),
        cmocka_unit_test(memory_is_told_at_its_soft_limit_below_it_and_when_it_runs_out),
        cmocka_unit_test(the_engine_counts_the_same),
        cmocka_unit_test(processes_are_told_when_they_are_refused),
        cmocka_unit_test(what_comes_to_its_hard_limit_is_killed),
        cmocka_unit_test(what_has_had_its_processor_time_is_stopped_in_order),
        cmocka_unit_test(an_engine_that_is_stopped_is_counted_as_unknown),
    };
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
