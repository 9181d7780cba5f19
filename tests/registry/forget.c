/* SPDX-License-Identifier: MIT */
/*
 * An end is counted first, and told and listed then; a failure can be forgotten only when it is
 * listed. Who has waited for the registry to be idle must not come in between: here a worker is
 * held right there.
 */
#include "support.h"

#include <sched.h>

static pnx_status give_up(void *value, const pnx_release *why)
{
    return PNX_EFAILED;
}
PNX_KIND(hopeless, void *, give_up);

static pnx_status give_back(void *value, const pnx_release *why)
{
    return PNX_OK;
}
PNX_KIND(fine, void *, give_back);

static _Atomic bool closed, held;
static _Atomic enum pnx__fault gate;

static bool hold_up(enum pnx__fault point)
{
    if (point != atomic_load(&gate))
        return false;
    atomic_store(&held, true);
    while (atomic_load(&closed))
        sched_yield();
    return false;
}

/* One of that kind comes to the gate. */
static void hold_one(pnx_registry *registry, const pnx_kind *kind)
{
    static int value;
    atomic_store(&held, false);
    atomic_store(&closed, true);
    (void)dropped(registry, kind, &value);
    wait_until(atomic_load(&held));
}

static void what_has_failed_is_listed_before_it_is_idle(void **state)
{
    atomic_store(&gate, PNX__FAULT_LIST);
    atomic_store(&pnx__fault_hook, hold_up);
    pnx_registry *registry = with_workers(1);
    for (unsigned i = 1; i <= 20; i++) {
        hold_one(registry, hopeless_kind);
        const pnx_counts now = counts(registry);
        const pnx_status status = pnx_registry_wait_idle(registry, 0);
        const size_t too_early = pnx_registry_forget_failed(registry);
        atomic_store(&closed, false); /* before anything can fail, lest the worker hangs */
        assert_int_equal(now.failed, i);
        assert_int_equal(now.running, 0);
        assert_int_equal(status, PNX_ETIMEOUT);
        assert_int_equal(too_early, 0);
        assert_idle(registry);
        assert_int_equal(pnx_registry_forget_failed(registry), 1);
    }
    finish(registry);
    atomic_store(&pnx__fault_hook, NULL);
}

static void count_completed(const pnx_event *event, void *context)
{
    atomic_fetch_add((_Atomic unsigned *)context, event->type == PNX_EVENT_COMPLETED);
}

static void what_has_ended_is_told_before_it_is_idle(void **state)
{
    atomic_store(&gate, PNX__FAULT_TELL);
    atomic_store(&pnx__fault_hook, hold_up);
    pnx_registry *registry = with_workers(1);
    pnx_monitor *monitor;
    static _Atomic unsigned told;
    assert_ok(pnx_monitor_attach(registry, count_completed, &told, &monitor, NULL));
    for (unsigned i = 1; i <= 20; i++) {
        hold_one(registry, fine_kind);
        const pnx_counts now = counts(registry);
        const pnx_status status = pnx_registry_wait_idle(registry, 0);
        atomic_store(&closed, false);
        assert_int_equal(now.done, i);
        assert_int_equal(status, PNX_ETIMEOUT);
        assert_idle(registry);
        assert_int_equal(told, i);
    }
    assert_ok(pnx_monitor_detach(monitor));
    finish(registry);
    atomic_store(&pnx__fault_hook, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_failed_is_listed_before_it_is_idle),
        cmocka_unit_test(what_has_ended_is_told_before_it_is_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
