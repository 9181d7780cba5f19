/* SPDX-License-Identifier: MIT */
/* Shutdown on a signal: the handler only asks. */
#include "support.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* The parent's handler has come along, but serves nobody here. */
static void a_fork_child_may_use_the_signal_again(void **state)
{
    pnx_registry *registry = with_workers(1);
    assert_ok(pnx_shutdown_on_signal(registry, SIGUSR1, NULL));
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        pnx_registry *own = NULL;
        const pnx_config by_hand_only = {.executor = PNX_MANUAL, .at_exit = PNX_EXIT_NOTHING};
        raise(SIGUSR1);
        if (pnx_registry_create(&by_hand_only, &own, NULL) != PNX_OK)
            _exit(1);
        if (pnx_shutdown_on_signal(own, SIGUSR1, NULL) != PNX_OK)
            _exit(2);
        raise(SIGUSR1);
        if (!pnx_shutdown_requested(own))
            _exit(3);
        if (pnx_registry_shutdown(own, NULL, NULL, NULL) != PNX_OK ||
            pnx_registry_destroy(own, NULL) != PNX_OK)
            _exit(4);
        struct sigaction now;
        _exit(sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_handler == SIG_DFL ? 0 : 5);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_false(pnx_shutdown_requested(registry));
    finish(registry);
}

static _Atomic bool storm_over;

static void *raise_again_and_again(void *argument)
{
    while (!atomic_load(&storm_over))
        raise(SIGUSR1);
    return NULL;
}

/* In whatever thread the handler is just at it: it never finds a registry that is gone. */
static void a_registry_may_go_in_a_storm_of_signals(void **state)
{
    signal(SIGUSR1, SIG_IGN); /* what comes between two registries */
    pthread_t storm;
    assert_int_equal(pthread_create(&storm, NULL, raise_again_and_again, NULL), 0);
    for (size_t i = effort(300); i > 0; i--) {
        pnx_registry *registry = made(&(pnx_config){.executor = PNX_MANUAL});
        assert_ok(pnx_shutdown_on_signal(registry, SIGUSR1, NULL));
        assert_ok(pnx_wait_shutdown_request(registry, patience()));
        finish(registry);
    }
    atomic_store(&storm_over, true);
    pthread_join(storm, NULL);
    signal(SIGUSR1, SIG_DFL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signal_asks_for_a_shutdown),
        cmocka_unit_test(the_programs_own_handler_is_respected),
        cmocka_unit_test(an_ignored_signal_is_ignored_again_afterwards),
        cmocka_unit_test(one_registry_a_signal),
        cmocka_unit_test(signals_that_cannot_be_handled_are_refused),
        cmocka_unit_test(a_fork_child_may_use_the_signal_again),
        cmocka_unit_test(a_registry_may_go_in_a_storm_of_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
