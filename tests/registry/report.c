/* SPDX-License-Identifier: MIT */
/* The leak account: what failed is kept, up to a number; what a report lists. */
#include "support.h"

PNX_KIND(plain, pnx_test_resource *, pnx_test_release, .timeout = PNX_S(1),
         .describe = pnx_test_describe);

static pnx_report report_of(pnx_registry *registry)
{
    pnx_report report;
    assert_ok(pnx_registry_report(registry, &report, NULL));
    assert_true(balances(&report.counts));
    return report;
}

static void nothing_is_listed_of_nothing(void **state)
{
    struct fixture *f = *state;
    pnx_report report = report_of(f->registry);
    assert_int_equal(report.survivor_count, 0);
    assert_null(report.survivors);
    pnx_report_done(&report);
    pnx_report_done(&report);
    pnx_report_done(NULL);
}

static void what_is_held_or_failed_is_listed(void **state)
{
    struct fixture *f = *state;
    pnx_test_resource *failing = pnx_test_resource_new("failing", NULL);
    pnx_test_resource *late = pnx_test_resource_new("late", NULL);
    pnx_test_fail(failing, UINT_MAX, PNX_EFAILED);
    pnx_test_always(late, PNX_TEST_PEND);
    dropped(f->registry, plain_kind, failing);
    dropped(f->registry, plain_kind, late);
    dropped(f->registry, plain_kind, f->a);
    run_for(f, PNX_S(2));
    put(f->registry, plain_kind, f->a);
    pnx_auto(plain) reserved = pnx_reserve(plain, f->registry, NULL);
    assert_ok(reserved.status);
    pnx_test_clock_advance(&f->clock, PNX_S(3));
    pnx_report report = report_of(f->registry);
    assert_int_equal(report.survivor_count, 3);
    bool seen[3] = {false};
    for (size_t i = 0; i < 3; i++) {
        const pnx_survivor *survivor = &report.survivors[i];
        assert_string_equal(survivor->kind, "plain");
        if (survivor->state == PNX_FAILED) {
            seen[0] = true;
            assert_string_equal(survivor->description, "failing");
            assert_int_equal(survivor->status, PNX_EFAILED);
            assert_int_equal(survivor->age, PNX_S(5));
        } else if (survivor->state == PNX_ABANDONED) {
            seen[1] = true;
            assert_string_equal(survivor->description, "late");
            assert_int_equal(survivor->status, PNX_ETIMEOUT);
        } else {
            seen[2] = true;
            assert_int_equal(survivor->state, PNX_LIVE);
            assert_string_equal(survivor->description, "a");
            assert_int_equal(survivor->age, PNX_S(3));
        }
    }
    assert_true(seen[0] && seen[1] && seen[2]);
    pnx_report_done(&report);
    assert_int_equal(pnx_registry_forget_failed(f->registry), 2);
    assert_int_equal(pnx_registry_forget_failed(f->registry), 0);
    report = report_of(f->registry);
    assert_int_equal(report.survivor_count, 1);
    pnx_report_done(&report);
    pnx_test_resource_free(failing);
    pnx_test_resource_free(late);
}

/* The oldest are forgotten first; all are counted. */
static void only_so_many_failures_are_kept(void **state)
{
    pnx_test_clock clock;
    pnx_test_clock_init(&clock, 0);
    pnx_registry *registry =
        made(&(pnx_config){.executor = PNX_MANUAL, .clock = &clock.clock, .failures_kept = 10});
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    pnx_id ids[25];
    pnx_test_fail(b, UINT_MAX, PNX_EFAILED);
    for (int i = 0; i < 25; i++) {
        ids[i] = dropped(registry, plain_kind, b);
        pnx_registry_step(registry, 1);
    }
    for (int i = 0; i < 25; i++)
        assert_int_equal(pnx_registry_state(registry, ids[i]), i < 15 ? PNX_DONE : PNX_FAILED);
    pnx_report report = report_of(registry);
    assert_int_equal(report.survivor_count, 10);
    assert_int_equal(report.counts.failed, 25);
    pnx_report_done(&report);
    assert_int_equal(pnx_registry_forget_failed(registry), 10);
    finish(registry);
    pnx_test_resource_free(b);
}

/* Late successes take abandoned ones out of the list, wherever in it they are. */
static void settled_ones_leave_the_list(void **state)
{
    struct fixture *f = *state;
    static const int orders[][4] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}, {2, 0, 3, 1}};
    for (int o = 0; o < 4; o++) {
        pnx_test_resource *late[4];
        for (int i = 0; i < 4; i++) {
            late[i] = pnx_test_resource_new("late", NULL);
            pnx_test_always(late[i], PNX_TEST_PEND);
            dropped(f->registry, plain_kind, late[i]);
        }
        run_for(f, PNX_S(2));
        for (size_t i = 0; i < 4; i++) {
            pnx_report report = report_of(f->registry);
            assert_int_equal(report.survivor_count, 4 - i);
            pnx_report_done(&report);
            assert_int_equal(pnx_test_complete(late[orders[o][i]], PNX_OK), PNX_ETIMEOUT);
        }
        assert_int_equal(pnx_registry_forget_failed(f->registry), 0);
        for (int i = 0; i < 4; i++)
            pnx_test_resource_free(late[i]);
    }
    assert_int_equal(counts(f->registry).abandoned, 16);
}

struct shared {
    pthread_t thread;
    pnx_registry *registry;
    _Atomic uint32_t *stop;
};

static void *report_on_and_on(void *argument)
{
    struct shared *self = argument;
    while (atomic_load(self->stop) == 0) {
        pnx_report report = report_of(self->registry);
        for (size_t i = 0; i < report.survivor_count; i++)
            assert_string_equal(report.survivors[i].kind, "plain");
        pnx_report_done(&report);
        (void)pnx_registry_forget_failed(self->registry);
    }
    return NULL;
}

static void it_reports_under_load(void **state)
{
    pnx_registry *registry = made(&(pnx_config){.workers = 2, .failures_kept = 50});
    pnx_test_resource *failing = pnx_test_resource_new("failing", NULL);
    pnx_test_fail(failing, UINT_MAX, PNX_EFAILED);
    _Atomic uint32_t stop = 0;
    struct shared reporters[2];
    for (int i = 0; i < 2; i++) {
        reporters[i] = (struct shared){.registry = registry, .stop = &stop};
        assert_int_equal(
            pthread_create(&reporters[i].thread, NULL, report_on_and_on, &reporters[i]), 0);
    }
    const size_t many = effort(30000);
    for (size_t i = 0; i < many; i++) {
        const pnx_id id = put(registry, plain_kind, failing);
        if (i % 16 == 0)
            (void)pnx_resource_set_metadata(registry, id, "k", "v", NULL);
        (void)pnx_release_later(registry, id, NULL);
    }
    assert_idle(registry);
    atomic_store(&stop, 1);
    for (int i = 0; i < 2; i++)
        pthread_join(reporters[i].thread, NULL);
    assert_int_equal(counts(registry).failed, many);
    (void)pnx_registry_forget_failed(registry);
    finish(registry);
    pnx_test_resource_free(failing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(nothing_is_listed_of_nothing),
        with_fixture(what_is_held_or_failed_is_listed),
        cmocka_unit_test(only_so_many_failures_are_kept),
        with_fixture(settled_ones_leave_the_list),
        cmocka_unit_test(it_reports_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
