/* SPDX-License-Identifier: MIT */
/*
 * Tests of how scopes end where it is hard: in other threads, after or during the shutdown of their
 * registry, in fork children, at exit, and with thousands of entries on small stacks.
 */
#include "support.h"

/* ---- many entries ---------------------------------------------------------------------------- */

#define MANY 20000

static pnx_status count_down(void *argument)
{
    size_t *left = argument;
    --*left;
    return PNX_OK;
}

static void fill(pnx_scope *scope, size_t *left)
{
    *left = MANY;
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(pnx_scope_defer(scope, count_down, left, NULL), PNX_OK);
    }
}

/* Runs `body` where a chain that nests would overflow at once. */
static void on_a_small_stack(void *(*body)(void *), void *argument)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, TEST_ASAN || TEST_TSAN ? 512 << 10 : 64 << 10);
    assert_int_equal(pthread_create(&thread, &attributes, body, argument), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
}

static void thousands_of_entries_end_one_after_the_other(void **state)
{
    struct room *room = *state;
    size_t left; /* not atomic: no two of them run at a time, and each sees the one before */
    pnx_scope scope = open_scope(room, "many");
    fill(&scope, &left);
    pnx_scope_result result;
    assert_int_equal(pnx_scope_close(&scope, patience(room), &result, NULL), PNX_OK);
    assert_int_equal(left, 0);
    assert_int_equal(result.released, MANY);
}

static void *drop_it(void *scope)
{
    pnx_scope_drop(scope);
    return NULL;
}

static void a_scope_may_be_dropped_by_another_thread(void **state)
{
    struct room *room = *state;
    size_t left;
    pnx_scope scope = open_scope(room, "handed over");
    fill(&scope, &left);
    on_a_small_stack(drop_it, &scope);
    wait_idle(room);
    assert_int_equal(left, 0);
}

/* Without workers everything runs in the thread that drops: every hook is called on its stack. */
static void without_workers_a_drop_does_not_nest(void **state)
{
    struct room *room = *state;
    size_t left;
    pnx_scope scope = open_scope(room, "kept");
    fill(&scope, &left);
    const pnx_shutdown_options keep = {.live = PNX_LIVE_KEEP};
    assert_int_equal(pnx_registry_shutdown(room->registry, &keep, NULL, NULL), PNX_EFAILED);
    assert_int_equal(left, MANY);
    on_a_small_stack(drop_it, &scope);
    assert_int_equal(left, 0);
}

#define DEEP 5000

/* Each waits for the next inner one; the innermost ends first, and then all end in one go. */
static void chains_that_follow_each_other_do_not_nest(void **state)
{
    struct room *room = *state;
    static pnx_scope scopes[DEEP];
    struct act a = {room, "a", PNX_OK};
    scopes[0] = open_scope(room, "outermost");
    for (unsigned i = 1; i < DEEP; i++) {
        scopes[i] = pnx_scope_open_in(&scopes[i - 1], "inner", NULL);
    }
    pnx_test_resource *slow = pnx_test_resource_new("slow", NULL);
    pnx_test_always(slow, PNX_TEST_PEND);
    defer_act(&scopes[0], &a); /* after the inner scopes, so that they are all at it by then */
    for (unsigned i = 1; i < DEEP; i++) {
        defer_act(&scopes[i], &a);
    }
    (void)adopt_thing(&scopes[DEEP - 1], room, slow);
    for (unsigned i = DEEP; i-- > 0;) {
        pnx_scope_drop(&scopes[i]);
    }
    wait_until_pending(slow);
    assert_int_equal(pnx_test_complete(slow, PNX_OK), PNX_OK);
    assert_int_equal(pnx_test_log_wait(room->log, DEEP, PNX_TEST_PATIENCE), PNX_OK);
    wait_idle(room);
    pnx_test_resource_free(slow);
}

/* ---- shutdown -------------------------------------------------------------------------------- */

/* Right after the drop most of it is only waiting for its turn. None of that leaks, the order is
 * kept, and the scope itself is accounted for. */
static void what_was_dropped_does_not_leak_at_a_shutdown(void **state)
{
    struct room *room = *state;
    size_t left;
    pnx_scope scope = open_scope(room, "dropped");
    fill(&scope, &left);
    pnx_scope_drop(&scope);
    pnx_report report;
    assert_int_equal(pnx_registry_shutdown(room->registry, NULL, &report, NULL), PNX_OK);
    assert_int_equal(left, 0);
    assert_int_equal(report.leaked, 0);
    assert_int_equal(report.counts.registered, MANY + 1);
    assert_int_equal(report.counts.done, MANY + 1);
    pnx_report_done(&report);
}

static void a_scope_that_does_not_end_is_told_of_by_its_name(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK};
    pnx_test_resource *pending = pnx_test_resource_new("pending", room->log);
    pnx_test_always(pending, PNX_TEST_PEND);
    pnx_scope scope = open_scope(room, "a name that is far too long for it");
    defer_act(&scope, &a);
    (void)adopt_thing(&scope, room, pending);
    pnx_scope_drop(&scope);
    wait_until_pending(pending);
    pnx_report report;
    assert_int_equal(pnx_registry_report(room->registry, &report, NULL), PNX_OK);
    assert_int_equal(report.survivor_count, 3);
    bool told = false;
    for (size_t i = 0; i < report.survivor_count; i++) {
        const pnx_survivor *survivor = &report.survivors[i];
        told |= strcmp(survivor->kind, "scope") == 0 && survivor->state == PNX_RUNNING &&
                strcmp(survivor->description, "a name that is far t...") == 0;
    }
    assert_true(told);
    pnx_report_done(&report);
    assert_int_equal(pnx_test_complete(pending, PNX_OK), PNX_OK);
    wait_idle(room);
    assert_logged(room, "release pending\na\n");
    pnx_test_resource_free(pending);
}

static void a_shutdown_releases_what_a_scope_holds(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK}, b = {room, "b", PNX_OK};
    pnx_scope scope = open_scope(room, "open");
    defer_act(&scope, &a);
    pnx_scope inner = pnx_scope_open_in(&scope, "inner", NULL);
    defer_act(&inner, &b);
    pnx_report report;
    assert_int_equal(pnx_registry_shutdown(room->registry, NULL, &report, NULL), PNX_OK);
    assert_int_equal(report.leaked, 2);
    pnx_report_done(&report);
    assert_int_equal(pnx_test_log_lines(room->log), 2);

    pnx_error err = {0};
    assert_int_equal(pnx_registry_destroy(room->registry, &err), PNX_EBUSY); /* the scope is open */
    assert_int_equal(pnx_scope_defer(&scope, run_act, &a, NULL), PNX_ESHUTDOWN);
    pnx_scope_result result;
    assert_int_equal(pnx_scope_close(&scope, patience(room), &result, NULL), PNX_OK);
    assert_int_equal(result.released + result.failed, 0);
    pnx_scope_drop(&inner);
    assert_int_equal(pnx_test_log_lines(room->log), 2);
}

static void a_scope_that_was_reserved_takes_in_what_was_acquired_meanwhile(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK};
    pnx_scope scope = open_scope(room, "reserved");
    assert_int_equal(pnx_scope_reserve(&scope, 1, NULL), PNX_OK);
    assert_int_equal(pnx_registry_shutdown(room->registry, NULL, NULL, NULL), PNX_OK);
    defer_act(&scope, &a);
    assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
    assert_logged(room, "a\n");
}

static void a_chain_survives_the_shutdown_of_its_registry(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK};
    pnx_test_resource *hung = pnx_test_resource_new("hung", room->log);
    pnx_test_always(hung, PNX_TEST_HANG);
    pnx_scope scope = open_scope(room, "on its way");
    defer_act(&scope, &a);
    (void)adopt_thing(&scope, room, hung);
    pnx_scope_drop(&scope);
    assert_int_equal(pnx_test_wait_begun(hung, 1, PNX_TEST_PATIENCE), PNX_OK);
    const pnx_shutdown_options quick = {.grace = PNX_MS(20), .hard = PNX_MS(20)};
    pnx_report report;
    assert_int_equal(pnx_registry_shutdown(room->registry, &quick, &report, NULL), PNX_EFAILED);
    assert_int_equal(report.survivor_count, 1);
    assert_int_equal(report.survivors[0].state, PNX_ABANDONED);
    pnx_report_done(&report);
    assert_logged(room, "release hung\na\n");
    pnx_test_resource_free(hung);
}

/* ---- fork ------------------------------------------------------------------------------------ */

static int child_log[8];
static int child_logged;

static pnx_status release_copy(int number, const pnx_release *why)
{
    child_log[child_logged++] = number;
    return PNX_OK;
}
PNX_KIND(copied, int, release_copy, .on_fork = PNX_FORK_RELEASE);
PNX_KIND(owned, int, release_copy);

static void adopt_numbers(struct room *room, pnx_scope *scope, int first)
{
    pnx_auto(copied) one = pnx_reserve(copied, room->registry, NULL);
    assert_true(pnx_arm(&one, first));
    assert_int_equal(pnx_scope_adopt(scope, &one, NULL), PNX_OK);
    pnx_auto(owned) two = pnx_reserve(owned, room->registry, NULL);
    assert_true(pnx_arm(&two, first + 1));
    assert_int_equal(pnx_scope_adopt(scope, &two, NULL), PNX_OK);
}

struct forked {
    pnx_scope *outer, *inner;
    bool close;
};

static int drop_in_child(void *argument)
{
    struct forked *forked = argument;
    pnx_error err = {0};
    child_expect(pnx_scope_defer(forked->outer, count_down, NULL, &err) == PNX_EFORKED);
    child_expect(pnx_scope_open_in(forked->outer, "x", NULL).status == PNX_EFORKED);
    if (forked->close) {
        child_expect(pnx_scope_close(forked->outer, 0, NULL, NULL) == PNX_OK);
    } else {
        pnx_scope_drop(forked->outer);
    }
    pnx_scope_drop(forked->inner);
    /* Only what the child has a copy of, last in, first out. */
    child_expect(child_logged == 2);
    child_expect(child_log[0] == 20 && child_log[1] == 10);
    return 0;
}

static void a_fork_child_releases_its_copies_and_disowns_the_rest(void **state)
{
    struct room *room = *state;
    for (int close = 0; close < 2; close++) {
        child_logged = 0;
        pnx_scope outer = open_scope(room, "outer");
        adopt_numbers(room, &outer, 10);
        pnx_scope inner = pnx_scope_open_in(&outer, "inner", NULL);
        assert_int_equal(pnx_scope_reserve(&inner, 3, NULL), PNX_OK);
        adopt_numbers(room, &inner, 20);
        struct forked forked = {&outer, &inner, close != 0};
        assert_int_equal(test_in_child(drop_in_child, &forked), 0);
        assert_int_equal(child_logged, 0);
        assert_int_equal(pnx_scope_close(&outer, patience(room), NULL, NULL), PNX_OK);
        assert_int_equal(child_logged, 4);
        pnx_scope_drop(&inner);
    }
}

/* ---- the end of the process, of threads ------------------------------------------------------ */

#define LEAKED 42

/* What leaks is released by the shutdown, in any order and by several at once. */
static pnx_status do_nothing(void *argument)
{
    return PNX_OK;
}

/* A program that ends with a scope on its stack. */
static int exit_in_the_middle(bool drop)
{
    pnx_registry *registry;
    static size_t left;
    const pnx_config config = {.name = "exit", .workers = 2, .leak_exit_status = LEAKED};
    if (pnx_registry_create(&config, &registry, NULL) != PNX_OK) {
        return 1;
    }
    pnx_scope scope = pnx_scope_open(registry, "main", NULL);
    for (left = 0; left < 1000; left++) {
        if (pnx_scope_defer(&scope, drop ? count_down : do_nothing, &left, NULL) != PNX_OK) {
            return 2;
        }
    }
    if (drop) {
        pnx_scope_drop(&scope);
    }
    exit(0);
}

/* Runs that in a process of its own; answers its exit status. */
static int exit_status_of(const char *how)
{
    const pid_t child = fork();
    if (child == 0) {
        /* What it still has in memory when it exits is no concern of this test. */
        setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
        execl("/proc/self/exe", "exit", how, NULL);
        _exit(3);
    }
    return test_wait_child(child);
}

static void a_scope_that_was_dropped_before_exit_does_not_leak(void **state)
{
    assert_int_equal(exit_status_of("dropped"), 0);
}

static void a_scope_that_exit_skips_leaks(void **state)
{
    assert_int_equal(exit_status_of("skipped"), LEAKED);
}

static void *exit_in_scope(void *argument)
{
    struct act *act = argument;
    pnx_auto_scope scope = pnx_scope_open(act->room->registry, "thread", NULL);
    if (pnx_scope_defer(&scope, run_act, act, NULL) == PNX_OK) {
        pthread_exit(NULL);
    }
    return NULL;
}

/* This file is compiled with -fexceptions: the end of a thread unwinds its stack. */
static void a_scope_is_dropped_when_its_thread_ends(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK};
    assert_int_equal(PNX_GUARDS_SURVIVE_CANCEL, 1);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, exit_in_scope, &a), 0);
    pthread_join(thread, NULL);
    wait_idle(room);
    assert_logged(room, "a\n");
}

int main(int count, char **arguments)
{
    if (count > 1) {
        return exit_in_the_middle(strcmp(arguments[1], "dropped") == 0);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(thousands_of_entries_end_one_after_the_other, with_workers,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_scope_may_be_dropped_by_another_thread, with_workers,
                                        tear_down),
        cmocka_unit_test_setup_teardown(without_workers_a_drop_does_not_nest, with_workers,
                                        tear_down),
        cmocka_unit_test_setup_teardown(chains_that_follow_each_other_do_not_nest, with_workers,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_was_dropped_does_not_leak_at_a_shutdown, with_workers,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_scope_that_does_not_end_is_told_of_by_its_name,
                                        with_workers, tear_down),
        cmocka_unit_test_setup_teardown(a_shutdown_releases_what_a_scope_holds, with_workers,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            a_scope_that_was_reserved_takes_in_what_was_acquired_meanwhile, with_workers,
            tear_down),
        cmocka_unit_test_setup_teardown(a_chain_survives_the_shutdown_of_its_registry, with_workers,
                                        tear_down),
        cmocka_unit_test(a_scope_that_was_dropped_before_exit_does_not_leak),
        cmocka_unit_test(a_scope_that_exit_skips_leaks),
        cmocka_unit_test_setup_teardown(a_scope_is_dropped_when_its_thread_ends, with_workers,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_fork_child_releases_its_copies_and_disowns_the_rest,
                                        with_workers, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
