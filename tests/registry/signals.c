/* SPDX-License-Identifier: MIT */
/* Shutdown on a signal: the handler only asks. */
#include "support.h"

#include <signal.h>

static volatile sig_atomic_t programs_own;

static void own_handler(int number)
{
    programs_own = number;
}

static void a_signal_asks_for_a_shutdown(void **state)
{
    pnx_registry *registry = with_workers(1);
    pnx_error err = {0};
    struct sigaction before, after;
    sigaction(SIGUSR1, NULL, &before);
    assert_ok(pnx_shutdown_on_signal(registry, SIGUSR1, &err));
    assert_false(pnx_shutdown_requested(registry));
    raise(SIGUSR1);
    assert_true(pnx_shutdown_requested(registry));
    assert_ok(pnx_wait_shutdown_request(registry, 0));
    raise(SIGUSR1); /* again does no harm */
    finish(registry);
    sigaction(SIGUSR1, NULL, &after);
    assert_ptr_equal(after.sa_handler, before.sa_handler);
}

static void the_programs_own_handler_is_respected(void **state)
{
    pnx_registry *registry = with_workers(1);
    pnx_error err = {0};
    signal(SIGUSR2, own_handler);
    assert_int_equal(pnx_shutdown_on_signal(registry, SIGUSR2, &err), PNX_EBUSY);
    assert_contains(err.message, "pnx_request_shutdown");
    raise(SIGUSR2);
    assert_int_equal(programs_own, SIGUSR2);
    assert_false(pnx_shutdown_requested(registry));
    /* And one that is installed later stays when the registry goes. */
    signal(SIGUSR2, SIG_DFL);
    assert_ok(pnx_shutdown_on_signal(registry, SIGUSR2, &err));
    signal(SIGUSR2, own_handler);
    finish(registry);
    struct sigaction now;
    sigaction(SIGUSR2, NULL, &now);
    assert_ptr_equal(now.sa_handler, own_handler);
    signal(SIGUSR2, SIG_DFL);
}

static void an_ignored_signal_is_ignored_again_afterwards(void **state)
{
    pnx_registry *registry = with_workers(1);
    signal(SIGUSR1, SIG_IGN);
    assert_ok(pnx_shutdown_on_signal(registry, SIGUSR1, NULL));
    finish(registry);
    struct sigaction now;
    sigaction(SIGUSR1, NULL, &now);
    assert_ptr_equal(now.sa_handler, SIG_IGN);
    signal(SIGUSR1, SIG_DFL);
}

static void one_registry_a_signal(void **state)
{
    pnx_registry *one = with_workers(1), *other = with_workers(1);
    pnx_error err = {0};
    assert_ok(pnx_shutdown_on_signal(one, SIGUSR1, &err));
    assert_int_equal(pnx_shutdown_on_signal(other, SIGUSR1, &err), PNX_EBUSY);
    assert_contains(err.message, "10");
    assert_ok(pnx_shutdown_on_signal(other, SIGUSR2, &err));
    finish(one);
    assert_ok(pnx_shutdown_on_signal(other, SIGUSR1, &err)); /* it is free again */
    raise(SIGUSR1);
    assert_true(pnx_shutdown_requested(other));
    finish(other);
}

static void signals_that_cannot_be_handled_are_refused(void **state)
{
    pnx_registry *registry = with_workers(1);
    static const int numbers[] = {0, -1, SIGKILL, SIGSTOP, 10000};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        pnx_error err = {0};
        assert_int_equal(pnx_shutdown_on_signal(registry, numbers[i], &err), PNX_EINVAL);
        assert_contains(err.message, "signal");
    }
    finish(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signal_asks_for_a_shutdown),
        cmocka_unit_test(the_programs_own_handler_is_respected),
        cmocka_unit_test(an_ignored_signal_is_ignored_again_afterwards),
        cmocka_unit_test(one_registry_a_signal),
        cmocka_unit_test(signals_that_cannot_be_handled_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
