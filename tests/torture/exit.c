/* SPDX-License-Identifier: MIT */
/*
 * Promises about the end of the process: a registry that nobody shut down is drained within its
 * bound, or only told of, or left alone, as configured; the leak report goes where the operator
 * said; strict mode turns leaks into an exit status; and exit(3) may come from anywhere.
 */
#include "support.h"

#include <pthread.h>
#include <sys/stat.h>

static pnx_status tell(int value, const pnx_release *why)
{
    (void)why;
    dprintf(STDOUT_FILENO, "released %d\n", value);
    return PNX_OK;
}
static pnx_status hang(int value, const pnx_release *why)
{
    (void)value;
    (void)why;
    for (;;)
        pause();
    return PNX_OK;
}
static pnx_status leave(int value, const pnx_release *why)
{
    (void)why;
    exit(value);
}
static pnx_status refuse(int value, const pnx_release *why)
{
    (void)value;
    (void)why;
    return PNX_EINVAL;
}
PNX_KIND(told, int, tell);
PNX_KIND(hanging, int, hang);
PNX_KIND(leaving, int, leave);
PNX_KIND(failing, int, refuse);

static pnx_id keep(const pnx_kind *kind, int value)
{
    pnx_id id;
    pnx_error err = {0};
    pnx_registry *registry = pnx_registry_default();
    child_check(registry != NULL);
    if (pnx_register(registry, kind, &value, PNX_HERE, &id, &err) != PNX_OK) {
        dprintf(STDERR_FILENO, "register: %s\n", err.message);
        _exit(CHILD_BROKEN);
    }
    return id;
}

/* ---- children -------------------------------------------------------------------------------- */

static int leaks_one(void)
{
    (void)keep(told_kind, 7);
    return 0;
}

static int leaks_nothing(void)
{
    const pnx_id id = keep(told_kind, 7);
    child_check(pnx_release_now(pnx_registry_default(), id, PNX_FOREVER, NULL) == PNX_OK);
    return 0;
}

static int leaks_and_hangs(void)
{
    (void)keep(hanging_kind, 1);
    (void)keep(told_kind, 7);
    return 0;
}

static int fails_before(void)
{
    const pnx_id id = keep(failing_kind, 1);
    child_check(pnx_release_now(pnx_registry_default(), id, PNX_FOREVER, NULL) == PNX_EINVAL);
    return 0;
}

static int shut_down_before(void)
{
    (void)keep(told_kind, 7);
    child_check(pnx_registry_shutdown(pnx_registry_default(), NULL, NULL, NULL) == PNX_OK);
    dprintf(STDOUT_FILENO, "shut down\n");
    return 0;
}

static int exits_from_a_release(void)
{
    (void)keep(told_kind, 7);
    (void)pnx_release_later(pnx_registry_default(), keep(leaving_kind, 17), NULL);
    for (;;)
        pause();
    return 1;
}

static int exits_from_a_release_inline(void)
{
    (void)keep(told_kind, 7);
    leaving_guard guard = pnx_reserve(leaving, pnx_registry_default(), NULL);
    child_check(pnx_arm(&guard, 18));
    (void)pnx_close(&guard, NULL);
    return 1;
}

static void *exit_here(void *argument)
{
    (void)argument;
    exit(19);
}

static int exits_from_another_thread(void)
{
    pthread_t thread;
    (void)keep(told_kind, 7);
    child_check(pthread_create(&thread, NULL, exit_here, NULL) == 0);
    pthread_join(thread, NULL);
    return 1;
}

static int ends_quickly(void)
{
    (void)keep(told_kind, 7);
    _exit(20);
}

static _Atomic bool enough;

static void *go_on_dropping(void *argument)
{
    (void)argument;
    while (!atomic_load(&enough)) {
        told_guard guard = pnx_reserve(told, pnx_registry_default(), NULL);
        if (guard.status == PNX_OK && pnx_arm(&guard, 7))
            pnx_drop(&guard);
        sched_yield();
    }
    return NULL;
}

/* Other threads do not stop for exit. */
static int exits_while_others_drop(void)
{
    pthread_t thread;
    for (int i = 0; i < 3; i++)
        child_check(pthread_create(&thread, NULL, go_on_dropping, NULL) == 0);
    pnx_counts counts;
    child_check(
        wait_for((pnx_registry_counts(pnx_registry_default(), &counts), counts.done > 100)));
    return 21;
}

static const struct child_case cases[] = {
#define CASE(function)                                                                             \
    {                                                                                              \
#function, function                                                                        \
    }
    CASE(leaks_one),
    CASE(leaks_nothing),
    CASE(leaks_and_hangs),
    CASE(fails_before),
    CASE(shut_down_before),
    CASE(exits_from_a_release),
    CASE(exits_from_a_release_inline),
    CASE(exits_from_another_thread),
    CASE(ends_quickly),
    CASE(exits_while_others_drop),
};

/* ---- tests ----------------------------------------------------------------------------------- */

#define VARIABLES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void drains_by_default(void **state)
{
    (void)state;
    const struct outcome outcome = run_child("leaks_one", NULL);
    assert_int_equal(outcome.exit_status, 0);
    assert_string_equal(outcome.output, "released 7\n");
}

static void only_reports(void **state)
{
    (void)state;
    char path[] = "/tmp/patinox-exit-XXXXXX.json", variable[80], text[4096] = "";
    const int file = mkstemps(path, 5);
    assert_true(file >= 0);
    snprintf(variable, sizeof variable, "PATINOX_LEAK_REPORT=%s", path);
    const struct outcome outcome =
        run_child("leaks_one", VARIABLES("PATINOX_AT_EXIT=report", variable));
    assert_int_equal(outcome.exit_status, 0);
    assert_string_equal(outcome.output, "");
    assert_true(read(file, text, sizeof text - 1) > 0);
    assert_int_equal(text[0], '{');
    assert_non_null(strstr(text, "\"told\""));
    assert_non_null(strstr(text, "exit.c"));
    assert_non_null(strchr(text, '}'));
    close(file);
    unlink(path);
}

static void reports_as_text(void **state)
{
    (void)state;
    char path[] = "/tmp/patinox-exit-XXXXXX", variable[80], text[4096] = "";
    const int file = mkstemp(path);
    assert_true(file >= 0);
    snprintf(variable, sizeof variable, "PATINOX_LEAK_REPORT=%s", path);
    const struct outcome outcome = run_child("leaks_one", VARIABLES(variable));
    assert_int_equal(outcome.exit_status, 0);
    assert_string_equal(outcome.output, "released 7\n"); /* and that it leaked is told */
    assert_true(read(file, text, sizeof text - 1) > 0);
    assert_true(text[0] != '{');
    assert_non_null(strstr(text, "leaked"));
    assert_non_null(strstr(text, "exit.c:")); /* and where it came from */
    close(file);
    unlink(path);
}

static void writes_no_report_when_nothing_leaked(void **state)
{
    (void)state;
    char path[] = "/tmp/patinox-exit-XXXXXX", variable[80];
    const int file = mkstemp(path);
    assert_true(file >= 0);
    snprintf(variable, sizeof variable, "PATINOX_LEAK_REPORT=%s", path);
    assert_int_equal(run_child("leaks_nothing", VARIABLES(variable)).exit_status, 0);
    struct stat about;
    assert_int_equal(fstat(file, &about), 0);
    assert_int_equal(about.st_size, 0);
    close(file);
    unlink(path);
}

static void does_nothing(void **state)
{
    (void)state;
    const struct outcome outcome =
        run_child("leaks_one", VARIABLES("PATINOX_AT_EXIT=nothing", "PATINOX_LEAK_REPORT=stderr"));
    assert_int_equal(outcome.exit_status, 0);
    assert_string_equal(outcome.output, "");
}

static void strict_mode_sets_the_exit_status(void **state)
{
    (void)state;
    const char *strict = "PATINOX_LEAK_EXIT_STATUS=23";
    assert_int_equal(run_child("leaks_one", VARIABLES(strict)).exit_status, 23);
    assert_int_equal(
        run_child("leaks_one", VARIABLES(strict, "PATINOX_AT_EXIT=report")).exit_status, 23);
    assert_int_equal(
        run_child("leaks_one", VARIABLES(strict, "PATINOX_AT_EXIT=nothing")).exit_status, 0);
    assert_int_equal(run_child("leaks_nothing", VARIABLES(strict)).exit_status, 0);
    assert_int_equal(run_child("fails_before", VARIABLES(strict)).exit_status, 23);
}

static void the_drain_is_bounded(void **state)
{
    (void)state;
    const struct outcome outcome =
        run_child("leaks_and_hangs", VARIABLES("PATINOX_EXIT_GRACE=300ms", "PATINOX_WORKERS=2",
                                               "PATINOX_LEAK_EXIT_STATUS=24"));
    assert_int_equal(outcome.exit_status, 24);
    assert_string_equal(outcome.output, "released 7\n");
}

static void after_a_shutdown_nothing_is_left_to_do(void **state)
{
    (void)state;
    const struct outcome outcome = run_child("shut_down_before", NULL);
    assert_int_equal(outcome.exit_status, 0);
    assert_string_equal(outcome.output, "released 7\nshut down\n");
}

static void exit_may_come_from_anywhere(void **state)
{
    (void)state;
    /* From a release of its own a registry cannot be drained: it is told of only. */
    struct outcome outcome = run_child("exits_from_a_release", NULL);
    assert_int_equal(outcome.exit_status, 17);
    outcome = run_child("exits_from_a_release_inline", NULL);
    assert_int_equal(outcome.exit_status, 18);
    outcome = run_child("exits_from_another_thread", NULL);
    assert_int_equal(outcome.exit_status, 19);
    assert_string_equal(outcome.output, "released 7\n");
    outcome = run_child("exits_while_others_drop", NULL);
    assert_int_equal(outcome.exit_status, 21);
}

static void a_quick_end_runs_nothing(void **state)
{
    (void)state;
    const struct outcome outcome = run_child("ends_quickly", NULL);
    assert_int_equal(outcome.exit_status, 20);
    assert_string_equal(outcome.output, "");
}

int main(int argc, char **argv)
{
    int status;
    if (child_ran(argc, argv, cases, sizeof cases / sizeof *cases, &status))
        return status;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drains_by_default),
        cmocka_unit_test(only_reports),
        cmocka_unit_test(reports_as_text),
        cmocka_unit_test(writes_no_report_when_nothing_leaked),
        cmocka_unit_test(does_nothing),
        cmocka_unit_test(strict_mode_sets_the_exit_status),
        cmocka_unit_test(the_drain_is_bounded),
        cmocka_unit_test(after_a_shutdown_nothing_is_left_to_do),
        cmocka_unit_test(exit_may_come_from_anywhere),
        cmocka_unit_test(a_quick_end_runs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
