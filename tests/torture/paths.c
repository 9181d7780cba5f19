/* SPDX-License-Identifier: MIT */
/*
 * Promises: on which ways out of a scope a guard runs, exactly as the table in guard.h says, and
 * that what a guard misses the registry finds, tells as leaked with its place, and releases.
 *
 *     way out                                      guard
 *     return, break, goto, falling off the end     drops
 *     pthread_exit, pthread_cancel                 drops with -fexceptions, else missed
 *     longjmp, exit                                missed
 *     abort, a fatal signal                        missed, and nobody is left to find it
 *
 * Compiled with -fexceptions; paths_plain.c is the same without.
 */
#include "support.h"

#include <pthread.h>

static _Atomic int released;
static int order[8];

static pnx_status release(int value, const pnx_release *why)
{
    (void)why;
    const int at = atomic_fetch_add(&released, 1);
    if (at < 8)
        order[at] = value;
    return PNX_OK;
}
static int describe(int value, char *buffer, size_t size)
{
    return snprintf(buffer, size, "number %d", value);
}
PNX_KIND(thing, int, release, .describe = describe);

static pnx_registry *make(void)
{
    pnx_registry *registry = NULL;
    released = 0;
    assert_int_equal(pnx_registry_create(&(pnx_config){.workers = 1, .at_exit = PNX_EXIT_NOTHING},
                                         &registry, NULL),
                     PNX_OK);
    return registry;
}

#define GUARD(name, registry, number)                                                              \
    pnx_auto(thing) name = pnx_reserve(thing, registry, NULL);                                     \
    assert_true(pnx_arm(&name, number))

/* How many leaked when the registry was shut down, the first of them at `ret_line`. */
static unsigned leaks_at_the_end(pnx_registry *registry, int *ret_line)
{
    pnx_report before, report;
    pnx_error err = {0};
    assert_int_equal(pnx_registry_wait_idle(registry, soon()), PNX_OK);
    assert_int_equal(pnx_registry_report(registry, &before, &err), PNX_OK);
    *ret_line = 0;
    if (before.survivor_count > 0) {
        *ret_line = before.survivors[0].site->line;
        assert_non_null(strstr(before.survivors[0].site->file, "paths"));
        assert_int_equal(before.survivors[0].state, PNX_LIVE);
        assert_string_equal(before.survivors[0].kind, "thing");
        assert_non_null(strstr(before.survivors[0].description, "number"));
    }
    pnx_report_done(&before);
    assert_int_equal(pnx_registry_shutdown(registry, NULL, &report, &err), PNX_OK);
    const unsigned leaked = (unsigned)report.leaked;
    assert_int_equal(report.counts.leaked, leaked);
    assert_int_equal(report.counts.done, report.counts.registered);
    pnx_report_done(&report);
    return leaked;
}

static void expect_dropped(pnx_registry *registry, int count)
{
    int line;
    assert_int_equal(leaks_at_the_end(registry, &line), 0);
    assert_int_equal(released, count);
    assert_int_equal(pnx_registry_destroy(registry, NULL), PNX_OK);
}

/* `frames_are_gone`: whatever guard there was cannot be dropped any more. */
static void expect_found(pnx_registry *registry, int line_from, int line_to)
{
    int line;
    assert_int_equal(leaks_at_the_end(registry, &line), 1);
    assert_in_range(line, line_from, line_to);
    assert_int_equal(released, 1);
    assert_int_equal(pnx_registry_destroy(registry, NULL), PNX_OK);
}

/* ---- where guards run ------------------------------------------------------------------------ */

static int by_return(pnx_registry *registry)
{
    GUARD(guard, registry, 1);
    if (registry != NULL)
        return pnx_get(&guard);
    return 0;
}

static void drops_on_return(void **state)
{
    (void)state;
    pnx_registry *registry = make();
    assert_int_equal(by_return(registry), 1);
    expect_dropped(registry, 1);
}

static void drops_on_break_and_continue(void **state)
{
    (void)state;
    pnx_registry *registry = make();
    for (int i = 0; i < 5; i++) {
        GUARD(guard, registry, i);
        if (i == 1)
            continue;
        if (i == 3)
            break;
    }
    expect_dropped(registry, 4);
}

static void drops_on_goto(void **state)
{
    (void)state;
    pnx_registry *registry = make();
    int round = 0;
again : {
    GUARD(guard, registry, round);
    if (++round < 3)
        goto again; /* backwards, out of the scope */
    goto out;
}
out:
    expect_dropped(registry, 3);
}

static void drops_in_reverse_order_of_declaration(void **state)
{
    (void)state;
    pnx_registry *registry = make();
    {
        GUARD(first, registry, 1);
        {
            GUARD(inner, registry, 2);
            GUARD(later, registry, 3);
        }
        GUARD(last, registry, 4);
    }
    expect_dropped(registry, 4);
    /* One worker, one priority: released in the order in which they were dropped. */
    const int expected[] = {3, 2, 4, 1};
    assert_memory_equal(order, expected, sizeof expected);
}

/* ---- where they do not ----------------------------------------------------------------------- */

static jmp_buf jump;

static void by_longjmp(pnx_registry *registry)
{
    GUARD(guard, registry, 1);
    longjmp(jump, 1);
}

static void longjmp_is_found_at_shutdown(void **state)
{
    (void)state;
    pnx_registry *volatile registry = make();
    const int line = __LINE__ - 9;
    if (setjmp(jump) == 0)
        by_longjmp(registry);
    expect_found(registry, line, line + 2);
}

static void *end_thread(void *registry)
{
    GUARD(guard, (pnx_registry *)registry, 1);
    pthread_exit(NULL);
}

static void expect_as_compiled(pnx_registry *registry, int line)
{
    if (PNX_GUARDS_SURVIVE_CANCEL)
        expect_dropped(registry, 1);
    else
        expect_found(registry, line, line + 2);
}

static void pthread_exit_as_compiled(void **state)
{
    (void)state;
    pnx_registry *registry = make();
    const int line = __LINE__ - 18;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, end_thread, registry), 0);
    pthread_join(thread, NULL);
    expect_as_compiled(registry, line);
}

static int never[2];

static void *wait_for_cancel(void *registry)
{
    GUARD(guard, (pnx_registry *)registry, 1);
    char byte;
    (void)!read(never[0], &byte, 1);
    return NULL;
}

static void pthread_cancel_as_compiled(void **state)
{
    (void)state;
    pnx_registry *registry = make();
    const int line = __LINE__ - 11;
    pthread_t thread;
    assert_int_equal(pipe2(never, O_CLOEXEC), 0);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_cancel, registry), 0);
    assert_int_equal(pthread_cancel(thread), 0);
    pthread_join(thread, NULL);
    close(never[0]);
    close(never[1]);
    pnx_counts counts;
    pnx_registry_counts(registry, &counts);
    if (counts.registered == 0) /* canceled before it came to its guard: at no point of its own */
        expect_dropped(registry, 0);
    else
        expect_as_compiled(registry, line);
}

/* ---- ends of the process --------------------------------------------------------------------- */

static pnx_status tell(int value, const pnx_release *why)
{
    dprintf(STDOUT_FILENO, "released %d, reason %s\n", value, pnx_reason_name(why->reason));
    return PNX_OK;
}
PNX_KIND(told, int, tell);

static pnx_registry *make_with_report(void)
{
    pnx_registry *registry = NULL;
    child_check(pnx_registry_create(&(pnx_config){.name = "exits", .leak_report = "stderr"},
                                    &registry, NULL) == PNX_OK);
    child_check(dup2(STDOUT_FILENO, STDERR_FILENO) >= 0);
    return registry;
}

static int by_exit(void)
{
    pnx_registry *registry = make_with_report();
    pnx_auto(told) guard = pnx_reserve(told, registry, NULL);
    child_check(pnx_arm(&guard, 1));
    exit(3);
}

static int by_return_from_main(void)
{
    pnx_registry *registry = make_with_report();
    pnx_auto(told) guard = pnx_reserve(told, registry, NULL);
    child_check(pnx_arm(&guard, 1));
    return 4;
}

static int by_quick_end(void)
{
    pnx_registry *registry = make_with_report();
    pnx_auto(told) guard = pnx_reserve(told, registry, NULL);
    child_check(pnx_arm(&guard, 1));
    _exit(5);
}

static int by_abort(void)
{
    pnx_registry *registry = make_with_report();
    pnx_auto(told) guard = pnx_reserve(told, registry, NULL);
    child_check(pnx_arm(&guard, 1));
    signal(SIGABRT, SIG_DFL);
    abort();
}

static const struct child_case cases[] = {
    {"exit", by_exit},
    {"return", by_return_from_main},
    {"_exit", by_quick_end},
    {"abort", by_abort},
};

static void exit_is_found_told_and_released(void **state)
{
    (void)state;
    const struct outcome outcome = run_child("exit", NULL);
    assert_int_equal(outcome.exit_status, 3);
    assert_non_null(strstr(outcome.output, "released 1, reason shutdown"));
    assert_non_null(strstr(outcome.output, "told"));     /* the kind, in the leak report, */
    assert_non_null(strstr(outcome.output, "paths.c:")); /* and its place */
}

static void return_from_main_drops(void **state)
{
    (void)state;
    const struct outcome outcome = run_child("return", NULL);
    assert_int_equal(outcome.exit_status, 4);
    assert_non_null(strstr(outcome.output, "released 1, reason scope end"));
    assert_null(strstr(outcome.output, "paths.c:"));
}

static void quick_end_and_abort_leave_nobody(void **state)
{
    (void)state;
    struct outcome outcome = run_child("_exit", NULL);
    assert_int_equal(outcome.exit_status, 5);
    assert_string_equal(outcome.output, "");
    outcome = run_child("abort", NULL);
    assert_int_equal(outcome.signal, SIGABRT);
    assert_null(strstr(outcome.output, "released"));
}

int main(int argc, char **argv)
{
    int status;
    if (child_ran(argc, argv, cases, sizeof cases / sizeof *cases, &status))
        return status;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drops_on_return),
        cmocka_unit_test(drops_on_break_and_continue),
        cmocka_unit_test(drops_on_goto),
        cmocka_unit_test(drops_in_reverse_order_of_declaration),
        cmocka_unit_test(longjmp_is_found_at_shutdown),
        cmocka_unit_test(pthread_exit_as_compiled),
        cmocka_unit_test(pthread_cancel_as_compiled),
        cmocka_unit_test(exit_is_found_told_and_released),
        cmocka_unit_test(return_from_main_drops),
        cmocka_unit_test(quick_end_and_abort_leave_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
