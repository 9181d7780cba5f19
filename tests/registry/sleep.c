/* SPDX-License-Identifier: MIT */
/*
 * The narrowest place of waking: between a worker's last look at the inboxes and its word that it
 * sleeps. Whoever queues there still takes it for awake and wakes nobody; the look after the word
 * has to find it. Here every drop comes right there.
 */
#include "support.h"

#include <sched.h>

static pnx_status give_back(int value, const pnx_release *why)
{
    return PNX_OK;
}
PNX_KIND(thing, int, give_back);

static _Atomic unsigned wanted, reached, passed; /* how many times a worker was held there */

static bool hold_up(enum pnx__fault point)
{
    if (point != PNX__FAULT_SLEEP)
        return false;
    const unsigned number = atomic_load(&reached);
    if (number >= atomic_load(&wanted))
        return false;
    atomic_store(&reached, number + 1);
    while (atomic_load(&passed) <= number)
        sched_yield();
    return false;
}

static bool wait_for(_Atomic unsigned *word, unsigned least)
{
    const pnx_time end = patience();
    while (atomic_load(word) < least && pnx_monotonic_now() < end)
        sched_yield();
    return atomic_load(word) >= least;
}

static void drop_one(pnx_registry *registry)
{
    pnx_auto(thing) guard = pnx_reserve(thing, registry, NULL);
    assert_true(pnx_arm(&guard, 1));
}

/* Makes the worker come by, holds it there, and calls `then` meanwhile. */
static void while_it_goes_to_sleep(pnx_registry *registry, void (*then)(pnx_registry *))
{
    const unsigned number = atomic_fetch_add(&wanted, 1) + 1;
    drop_one(registry);
    assert_true(wait_for(&reached, number));
    then(registry);
    atomic_store(&passed, number);
}

static void what_comes_right_before_is_found(void **state)
{
    atomic_store(&pnx__fault_hook, hold_up);
    pnx_registry *registry = with_workers(1);
    for (unsigned i = 1; i <= 20; i++) {
        while_it_goes_to_sleep(registry, drop_one);
        const pnx_time end = patience();
        while (counts(registry).done < 2 * i && pnx_monotonic_now() < end)
            sched_yield(); /* and wakes nobody, as any other call could */
        assert_int_equal(counts(registry).done, 2 * i);
    }
    finish(registry);
    atomic_store(&pnx__fault_hook, NULL);
}

static void let_it_pass(pnx_registry *registry)
{
    atomic_store(&passed, atomic_load(&wanted));
    assert_ok(pnx_registry_shutdown(registry, NULL, NULL, NULL));
}

/* It is told to end there, and not left asleep. */
static void a_shutdown_right_before_ends_it(void **state)
{
    atomic_store(&pnx__fault_hook, hold_up);
    for (unsigned i = 0; i < 20; i++) {
        pnx_registry *registry = with_workers(1);
        while_it_goes_to_sleep(registry, let_it_pass);
        const pnx_time begin = pnx_monotonic_now();
        assert_ok(pnx_registry_destroy(registry, NULL));
        assert_true(pnx_monotonic_now() - begin < PNX_TEST_PATIENCE);
    }
    atomic_store(&pnx__fault_hook, NULL);
}

/* Longer than a shutdown waits for threads that have nothing left to do, were its time over. */
static bool be_slow(enum pnx__fault point)
{
    if (point != PNX__FAULT_SLEEP) /* the clock asks, too */
        return false;
    const pnx_time end = pnx_monotonic_now() + PNX_MS(150);
    while (pnx_monotonic_now() < end)
        sched_yield();
    return false;
}

/* On a busy machine any thread may come late. */
static void a_shutdown_waits_for_a_slow_worker(void **state)
{
    atomic_store(&pnx__fault_hook, be_slow);
    pnx_registry *registry = with_workers(1);
    drop_one(registry);
    pnx_report report = {0};
    assert_ok(pnx_registry_shutdown(registry, NULL, &report, NULL));
    assert_int_equal(report.threads_left, 0);
    pnx_report_done(&report);
    assert_ok(pnx_registry_destroy(registry, NULL));
    atomic_store(&pnx__fault_hook, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_right_before_is_found),
        cmocka_unit_test(a_shutdown_right_before_ends_it),
        cmocka_unit_test(a_shutdown_waits_for_a_slow_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
