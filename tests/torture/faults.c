/* SPDX-License-Identifier: MIT */
/*
 * Promises: whatever allocation, mapping, thread creation, futex wait, descriptor, timer setting,
 * clock or random number fails, at whatever place: there is a clear error or no effect at all,
 * nothing is lost, leaked or released twice, the account balances, and nothing hangs.
 *
 * Each scenario is run again and again, and the n-th call of one sort fails in the n-th run, until
 * the scenario does not come to an n-th call any more.
 */
#include "support.h"

#include <patinox/scope.h>
#include <pthread.h>
#include <stdatomic.h>

#define NUMBER_MAX 400 /* of calls that are as many as time passes */

/* ---- the call that fails --------------------------------------------------------------------- */

static _Atomic int fault_point = -1;
static _Atomic unsigned fault_number, fault_calls;
static _Atomic uint32_t fault_happened;
static const char *scenario_name = "";

static bool fails(enum pnx__fault point)
{
    if ((int)point != atomic_load(&fault_point))
        return false;
    if (atomic_fetch_add(&fault_calls, 1) + 1 != atomic_load(&fault_number))
        return false;
    atomic_store(&fault_happened, 1);
    return true;
}

static const char *const point_names[PNX__FAULT_COUNT] = {
    [PNX__FAULT_ALLOC] = "alloc",
    [PNX__FAULT_MAP] = "map",
    [PNX__FAULT_THREAD] = "thread",
    [PNX__FAULT_FUTEX_WAIT] = "futex wait",
    [PNX__FAULT_EVENTFD] = "eventfd",
    [PNX__FAULT_TIMERFD] = "timerfd",
    [PNX__FAULT_TIMERFD_SET] = "timerfd set",
    [PNX__FAULT_CLOCK] = "clock",
    [PNX__FAULT_RANDOM] = "random",
    [PNX__FAULT_WIPEONFORK] = "wipe on fork",
    [PNX__FAULT_ATFORK] = "atfork",
    [PNX__FAULT_SLEEP] = "sleep",
    [PNX__FAULT_LIST] = "list",
    [PNX__FAULT_TELL] = "tell",
};

static void on_alarm(int number)
{
    (void)number;
    /* NOLINTNEXTLINE(bugprone-signal-handler,cert-sig30-c): all is lost anyway. */
    dprintf(STDERR_FILENO, "hangs: scenario %s, call %u of %s fails\n", scenario_name,
            atomic_load(&fault_number), point_names[atomic_load(&fault_point)]);
    abort();
}

/* ---- kinds and what became of them ----------------------------------------------------------- */

static _Atomic uint64_t armed, taken, succeeded, failed_for_good;

static pnx_status succeed(int value, const pnx_release *why)
{
    (void)value;
    (void)why;
    atomic_fetch_add(&succeeded, 1);
    return PNX_OK;
}
static pnx_status fail_once(int value, const pnx_release *why)
{
    return why->attempt == 1 ? PNX_EFAILED : succeed(value, why);
}
static pnx_status fail_always(int value, const pnx_release *why)
{
    (void)value;
    (void)why;
    return PNX_EFAILED;
}
static pnx_status pend(int value, const pnx_release *why)
{
    const pnx_token token = pnx_release_token(why);
    (void)succeed(value, why);
    assert_int_equal(pnx_complete(token, PNX_OK), PNX_OK);
    return PNX_PENDING;
}
static pnx_status end_thread(int value, const pnx_release *why)
{
    if (why->attempt == 1)
        pthread_exit(NULL);
    return succeed(value, why);
}
static int describe(int value, char *buffer, size_t size)
{
    return snprintf(buffer, size, "number %d", value);
}
/* Comes back long after its timeout. */
static _Atomic uint32_t let_go;
static pnx_status hang(int value, const pnx_release *why)
{
    (void)value;
    (void)why;
    while (atomic_load(&let_go) == 0)
        sched_yield();
    return PNX_OK;
}

PNX_KIND(plain, int, succeed);
PNX_KIND(urgent, int, succeed, .priority = PNX_CRITICAL, .describe = describe);
PNX_KIND(retried, int, fail_once, .retries = 1, .retry_delay = PNX_US(10));
PNX_KIND(rescued, int, fail_always, .fallback = succeed, .priority = PNX_LOW);
PNX_KIND(pending, int, pend, .max_concurrency = 2);
PNX_KIND(deadly, int, end_thread, .retries = 1, .retry_delay = PNX_US(10));
PNX_KIND(hung, int, hang, .timeout = PNX_MS(1));
PNX_KIND(lost, int, fail_always, .describe = describe);

/* ---- a registry, if it can be had ------------------------------------------------------------ */

static void expect_error(pnx_status status, const pnx_error *err)
{
    assert_int_not_equal(status, PNX_OK);
    assert_int_equal(err->code, status);
    assert_true(strlen(err->message) > 10);
}

static pnx_registry *make(const pnx_config *config)
{
    pnx_registry *registry = (pnx_registry *)1;
    pnx_error err = {0};
    armed = taken = succeeded = failed_for_good = 0;
    let_go = 0;
    const pnx_status status = pnx_registry_create(config, &registry, &err);
    if (status == PNX_OK)
        return registry;
    expect_error(status, &err);
    assert_true(status == PNX_ENOMEM || status == PNX_EFAILED);
    assert_ptr_equal(registry, (pnx_registry *)1);
    return NULL;
}

static const pnx_config small = {.name = "faults", .workers = 2, .at_exit = PNX_EXIT_NOTHING};

/* Everything that was armed has ended, well unless expected otherwise, and the registry goes. */
static void end(pnx_registry *registry)
{
    pnx_error err = {0};
    const pnx_status idle = pnx_registry_wait_idle(registry, soon());
    assert_int_equal(idle, PNX_OK);
    pnx_report report;
    const pnx_status status = pnx_registry_shutdown(registry, NULL, &report, &err);
    assert_true(status == PNX_OK || status == PNX_EFAILED);
    assert_int_equal(pnx_counts_imbalance(&report.counts), 0);
    assert_int_equal(report.counts.registered, armed - taken);
    assert_int_equal(report.counts.done, succeeded);
    assert_int_equal(report.counts.live + report.counts.queued + report.counts.running +
                         report.counts.waiting,
                     0);
    assert_int_equal(report.counts.failed + report.counts.abandoned, failed_for_good);
    assert_true(report.incomplete || report.survivor_count == failed_for_good);
    pnx_report_done(&report);
    if (!wait_for(pnx_registry_destroy(registry, &err) == PNX_OK))
        fail_msg("destroy: %s", err.message);
}

/* ---- scenarios ------------------------------------------------------------------------------- */

#define hold(KIND, registry, value)                                                                \
    do {                                                                                           \
        pnx_error err__ = {0};                                                                     \
        pnx_auto(KIND) guard__ = pnx_reserve(KIND, registry, &err__);                              \
        if (guard__.status != PNX_OK)                                                              \
            expect_error(guard__.status, &err__);                                                  \
        else if (pnx_arm(&guard__, value))                                                         \
            atomic_fetch_add(&armed, 1);                                                           \
    } while (0)

static void create_and_destroy(void)
{
    pnx_registry *registry = make(&small);
    if (registry != NULL)
        end(registry);
}

static void guards(void)
{
    pnx_registry *registry = make(&small);
    if (registry == NULL)
        return;
    for (int i = 0; i < 70; i++) { /* more than a magazine */
        hold(plain, registry, i);
        hold(urgent, registry, i);
    }
    pnx_error err = {0};
    plain_guard guard = pnx_reserve(plain, registry, &err);
    if (guard.status == PNX_OK && pnx_arm(&guard, 7)) {
        armed++;
        taken++;
        assert_int_equal(pnx_take(&guard), 7);
    }
    guard = pnx_reserve(plain, registry, &err);
    if (guard.status == PNX_OK && pnx_arm(&guard, 8)) {
        armed++;
        assert_int_equal(pnx_close(&guard, &err), PNX_OK);
    }
    end(registry);
}

static void many_resources(void)
{
    pnx_registry *registry = make(&small);
    if (registry == NULL)
        return;
    for (int i = 0; i < 4200; i++) { /* more than a chunk */
        pnx_id id;
        pnx_error err = {0};
        const pnx_status status = pnx_register(registry, plain_kind, &i, PNX_HERE, &id, &err);
        if (status == PNX_OK)
            armed++;
        else
            expect_error(status, &err);
    }
    pnx_batch_result result;
    assert_int_equal(pnx_release_all(registry, NULL, soon(), &result), PNX_OK);
    assert_int_equal(result.released, armed);
    end(registry);
}

static void *drop_some(void *registry)
{
    for (int i = 0; i < 100; i++)
        hold(plain, (pnx_registry *)registry, i);
    return NULL;
}

static void threads(void)
{
    pnx_registry *registry = make(&small);
    if (registry == NULL)
        return;
    pthread_t all[3];
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&all[i], NULL, drop_some, registry), 0);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(all[i], NULL);
    end(registry);
}

static void retries_and_fallbacks(void)
{
    pnx_registry *registry = make(&small);
    if (registry == NULL)
        return;
    for (int i = 0; i < 5; i++) {
        hold(retried, registry, i);
        hold(rescued, registry, i);
        hold(pending, registry, i);
    }
    end(registry);
}

static void ended_workers(void)
{
    pnx_registry *registry = make(&small);
    if (registry == NULL)
        return;
    for (int i = 0; i < 3; i++)
        hold(deadly, registry, i);
    hold(plain, registry, 9);
    end(registry);
}

static void hung_workers(void)
{
    pnx_registry *registry = make(&small);
    if (registry == NULL)
        return;
    for (int i = 0; i < 3; i++) {
        const uint64_t before = armed;
        hold(hung, registry, i);
        failed_for_good += armed - before;
    }
    pnx_counts counts = {0};
    assert_true(
        wait_for((pnx_registry_counts(registry, &counts), counts.abandoned == failed_for_good)));
    hold(plain, registry, 9);
    assert_int_equal(pnx_registry_wait_idle(registry, soon()), PNX_OK);
    let_go = 1;
    /* Late successes: they stay counted as abandoned, and nothing of them is listed. */
    assert_true(wait_for((pnx_registry_counts(registry, &counts), counts.late == failed_for_good)));
    pnx_report report;
    (void)pnx_registry_shutdown(registry, NULL, &report, NULL);
    assert_int_equal(report.counts.abandoned, failed_for_good);
    assert_int_equal(report.counts.done, succeeded);
    assert_int_equal(pnx_counts_imbalance(&report.counts), 0);
    pnx_report_done(&report);
    assert_true(wait_for(pnx_registry_destroy(registry, NULL) == PNX_OK));
}

static void expiries(void)
{
    pnx_registry *registry = make(&small);
    if (registry == NULL)
        return;
    for (int i = 0; i < 20; i++) {
        pnx_id id;
        pnx_error err = {0};
        if (pnx_register(registry, plain_kind, &i, PNX_HERE, &id, &err) != PNX_OK)
            continue;
        armed++;
        if (i % 2 == 0)
            assert_int_equal(pnx_expire_after(registry, id, PNX_US(100) * i), PNX_OK);
        else
            assert_int_equal(pnx_expire_idle(registry, id, PNX_US(100) * i), PNX_OK);
    }
    assert_true(wait_for(atomic_load(&succeeded) == armed));
    end(registry);
}

static void what_is_known(void)
{
    pnx_registry *registry = make(&(pnx_config){
        .name = "faults", .workers = 1, .at_exit = PNX_EXIT_NOTHING, .backtraces = true});
    if (registry == NULL)
        return;
    pnx_error err = {0};
    char text[16];
    urgent_guard guard = pnx_reserve(urgent, registry, &err);
    if (guard.status == PNX_OK && pnx_arm(&guard, 3)) {
        armed++;
        const pnx_id id = pnx_id_of(&guard);
        const pnx_status set = pnx_resource_set_metadata(registry, id, "k", "v", &err);
        assert_true(set == PNX_OK || set == PNX_ENOMEM);
        if (set == PNX_OK) {
            const pnx_status more = pnx_resource_set_metadata(registry, id, "k", "longer", &err);
            assert_int_equal(pnx_resource_get_metadata(registry, id, "k", text, sizeof text, NULL),
                             PNX_OK);
            assert_string_equal(text, more == PNX_OK ? "longer" : "v");
        }
        pnx_stats stats = {0};
        if (pnx_registry_stats(registry, &stats, &err) == PNX_OK) {
            FILE *out = fopen("/dev/null", "we");
            (void)!pnx_stats_write_prometheus(&stats, out, &err);
            (void)!pnx_stats_write_json(&stats, out, &err);
            fclose(out);
            pnx_stats_done(&stats);
        }
        pnx_report report;
        const pnx_status reported = pnx_registry_report(registry, &report, &err);
        assert_true(reported == PNX_OK || reported == PNX_ENOMEM);
        if (reported == PNX_OK) {
            assert_int_equal(report.survivor_count, 1);
            FILE *out = fopen("/dev/null", "we");
            (void)!pnx_report_write_text(&report, out, &err);
            (void)!pnx_report_write_json(&report, out, &err);
            fclose(out);
        }
        pnx_report_done(&report);
        (void)pnx_registry_health(registry, NULL, NULL);
        pnx_drop(&guard);
    }
    end(registry);
}

static void see_event(const pnx_event *event, void *count)
{
    if (event->type == PNX_EVENT_COMPLETED)
        atomic_fetch_add((_Atomic uint64_t *)count, 1 + event->lost);
}

static void monitors(void)
{
    pnx_registry *registry = make(&small);
    if (registry == NULL)
        return;
    pnx_error err = {0};
    pnx_monitor *monitor = NULL;
    _Atomic uint64_t seen = 0;
    const pnx_status status = pnx_monitor_attach(registry, see_event, &seen, &monitor, &err);
    if (status != PNX_OK)
        expect_error(status, &err);
    for (int i = 0; i < 10; i++)
        hold(plain, registry, i);
    assert_int_equal(pnx_registry_wait_idle(registry, soon()), PNX_OK);
    if (status == PNX_OK)
        assert_int_equal(seen, succeeded);
    assert_int_equal(pnx_monitor_detach(monitor), PNX_OK);
    end(registry);
}

static void shutdown_of_a_mess(void)
{
    pnx_registry *registry = make(&small);
    if (registry == NULL)
        return;
    plain_guard leaked = pnx_reserve(plain, registry, NULL);
    if (leaked.status == PNX_OK && pnx_arm(&leaked, 1))
        armed++;
    const uint64_t before = armed;
    hold(lost, registry, 2);
    hold(hung, registry, 3);
    failed_for_good = armed - before;
    pnx_report report;
    pnx_error err = {0};
    const pnx_shutdown_options options = {.grace = PNX_MS(5), .hard = PNX_MS(5)};
    const pnx_status status = pnx_registry_shutdown(registry, &options, &report, &err);
    assert_true(status == PNX_OK || status == PNX_EFAILED || status == PNX_ENOMEM);
    assert_int_equal(pnx_counts_imbalance(&report.counts), 0);
    assert_int_equal(report.counts.registered, armed);
    assert_true(report.incomplete ||
                report.survivor_count == report.counts.failed + report.counts.abandoned);
    pnx_report_done(&report);
    pnx_drop(&leaked);
    let_go = 1;
    assert_true(wait_for(pnx_registry_destroy(registry, &err) == PNX_OK));
}

static void by_hand(void)
{
    pnx_registry *registry =
        make(&(pnx_config){.name = "faults", .executor = PNX_MANUAL, .at_exit = PNX_EXIT_NOTHING});
    if (registry == NULL)
        return;
    for (int i = 0; i < 5; i++) {
        hold(plain, registry, i);
        hold(retried, registry, i);
        hold(rescued, registry, i);
    }
    end(registry);
}

static void the_default_one(void)
{
    armed = taken = succeeded = failed_for_good = 0;
    pnx_registry *registry = pnx_registry_default();
    if (registry == NULL)
        return;
    hold(plain, registry, 1);
    end(registry);
}

static pnx_status count_action(void *argument)
{
    (void)argument;
    atomic_fetch_add(&succeeded, 1);
    return PNX_OK;
}

static void scopes(void)
{
    pnx_registry *registry = make(&small);
    if (registry == NULL)
        return;
    pnx_error err = {0};
    uint64_t entered = 0;
    {
        pnx_auto_scope scope = pnx_scope_open(registry, "outer", &err);
        if (scope.status == PNX_OK) {
            for (int i = 0; i < 20; i++)
                entered += pnx_scope_defer(&scope, count_action, NULL, &err) == PNX_OK;
            pnx_scope inner = pnx_scope_open_in(&scope, "inner", &err);
            if (inner.status == PNX_OK) {
                plain_guard guard = pnx_reserve(plain, registry, &err);
                if (guard.status == PNX_OK && pnx_arm(&guard, 3)) {
                    entered++;
                    (void)!pnx_scope_adopt(&inner, &guard, &err);
                    pnx_drop(&guard); /* if it could not be adopted */
                }
            }
            pnx_scope_result result;
            assert_int_equal(pnx_scope_close(&scope, soon(), &result, &err), PNX_OK);
            assert_int_equal(pnx_registry_wait_idle(registry, soon()), PNX_OK);
            assert_int_equal(succeeded, entered);
        }
    }
    pnx_counts counts;
    pnx_registry_counts(registry, &counts);
    armed = counts.registered + counts.taken;
    taken = counts.taken;
    succeeded = counts.done;
    end(registry);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(void);
} scenarios[] = {
#define SCENARIO(function)                                                                         \
    {                                                                                              \
#function, function                                                                        \
    }
    SCENARIO(create_and_destroy),    SCENARIO(guards),
    SCENARIO(many_resources),        SCENARIO(threads),
    SCENARIO(retries_and_fallbacks), SCENARIO(ended_workers),
    SCENARIO(hung_workers),          SCENARIO(expiries),
    SCENARIO(what_is_known),         SCENARIO(monitors),
    SCENARIO(shutdown_of_a_mess),    SCENARIO(by_hand),
    SCENARIO(the_default_one),       SCENARIO(scopes),
};

/* Fails the n-th call for every n; answers how many calls there were to fail. */
static unsigned enumerate(size_t scenario, enum pnx__fault point, unsigned most)
{
    scenario_name = scenarios[scenario].name;
    unsigned n = 1;
    for (; n <= most; n++) {
        alarm(120);
        atomic_store(&fault_calls, 0);
        atomic_store(&fault_happened, 0);
        atomic_store(&fault_number, n);
        atomic_store(&fault_point, (int)point);
        scenarios[scenario].run();
        atomic_store(&fault_point, -1);
        if (atomic_load(&fault_happened) == 0)
            break;
    }
    alarm(0);
    return n - 1;
}

static void every_call_fails_once(enum pnx__fault point, unsigned most)
{
    unsigned calls = 0;
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        const char *only = getenv("PNX_TEST_SCENARIO");
        if (only != NULL && strcmp(only, scenarios[i].name) != 0)
            continue;
        scenarios[i].run(); /* what is made once is made */
        const unsigned descriptors = open_descriptors(), threads = threads_now();
        calls += enumerate(i, point, most);
        if (open_descriptors() != descriptors)
            fail_msg("%s: descriptors leaked", scenarios[i].name);
        if (!wait_for(threads_now() <= threads))
            fail_msg("%s: threads leaked", scenarios[i].name);
    }
    printf("# %s: %u calls failed, each in a run of its own\n", point_names[point], calls);
}

#define FAULT_TEST(NAME, POINT, MOST)                                                              \
    static void NAME(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        every_call_fails_once(POINT, MOST);                                                        \
    }
FAULT_TEST(every_allocation_fails_once, PNX__FAULT_ALLOC, NUMBER_MAX)
FAULT_TEST(every_mapping_fails_once, PNX__FAULT_MAP, NUMBER_MAX)
FAULT_TEST(every_thread_creation_fails_once, PNX__FAULT_THREAD, NUMBER_MAX)
FAULT_TEST(every_descriptor_fails_once, PNX__FAULT_EVENTFD, NUMBER_MAX)
FAULT_TEST(every_timer_descriptor_fails_once, PNX__FAULT_TIMERFD, NUMBER_MAX)
FAULT_TEST(every_timer_setting_fails_once, PNX__FAULT_TIMERFD_SET, 40)
FAULT_TEST(every_random_number_fails_once, PNX__FAULT_RANDOM, NUMBER_MAX)
FAULT_TEST(futex_waits_return_for_no_reason, PNX__FAULT_FUTEX_WAIT, (unsigned)effort(60))
FAULT_TEST(clocks_fail, PNX__FAULT_CLOCK, (unsigned)effort(60))

int main(void)
{
    signal(SIGALRM, on_alarm);
    atomic_store(&pnx__fault_hook, fails);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_fails_once),
        cmocka_unit_test(every_mapping_fails_once),
        cmocka_unit_test(every_thread_creation_fails_once),
        cmocka_unit_test(every_descriptor_fails_once),
        cmocka_unit_test(every_timer_descriptor_fails_once),
        cmocka_unit_test(every_timer_setting_fails_once),
        cmocka_unit_test(every_random_number_fails_once),
        cmocka_unit_test(futex_waits_return_for_no_reason),
        cmocka_unit_test(clocks_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
