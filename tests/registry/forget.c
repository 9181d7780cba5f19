/* SPDX-License-Identifier: MIT */
/*
 * A failure is counted first and listed then, and can be forgotten only when it is listed. Who has
 * waited for the registry to be idle must not come in between: here a worker is held right there.
 */
#include "support.h"

#include <sched.h>

static pnx_status give_up(int value, const pnx_release *why)
{
    return PNX_EFAILED;
}
PNX_KIND(hopeless, int, give_up);

static _Atomic bool closed, held;

static bool hold_up(enum pnx__fault point)
{
    if (point != PNX__FAULT_LIST)
        return false;
    atomic_store(&held, true);
    while (atomic_load(&closed))
        sched_yield();
    return false;
}

static void what_has_failed_is_listed_before_it_is_idle(void **state)
{
    atomic_store(&pnx__fault_hook, hold_up);
    pnx_registry *registry = with_workers(1);
    for (unsigned i = 1; i <= 20; i++) {
        atomic_store(&held, false);
        atomic_store(&closed, true);
        {
            pnx_auto(hopeless) guard = pnx_reserve(hopeless, registry, NULL);
            assert_true(pnx_arm(&guard, 1));
        }
        wait_until(atomic_load(&held));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_failed_is_listed_before_it_is_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
