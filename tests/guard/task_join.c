/* SPDX-License-Identifier: MIT */
/* Tests of waiting for tasks, and of those that do not end in time. */
#include "script.h"

/* Nothing in patinox is ever detached: whoever would call this, calls it here. */
static _Atomic unsigned detached;

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
int pthread_detach(pthread_t thread)
{
    atomic_fetch_add(&detached, 1);
    return 0;
}

/* ---- joining --------------------------------------------------------------------------------- */

static void a_task_is_joined_once_however_many_wait(void **state)
{
    struct room *room = *state;
    for (size_t round = 0; round < test_effort(200); round++) {
        struct script script = {.answer = PNX_EUNSUPPORTED};
        pnx_scope scope = open_scope(room, "many");
        pnx_task *task = start(&scope, NULL, &script);
        wait_for_word(&script.begun);
        struct joiner joiners[TEST_THREADS];
        pthread_t threads[TEST_THREADS];
        for (unsigned i = 0; i < TEST_THREADS; i++) {
            joiners[i] = (struct joiner){task, PNX_EBUSY, PNX_OK};
            threads[i] = start_joiner(&joiners[i]);
        }
        /* And its scope waits, too. */
        assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
        for (unsigned i = 0; i < TEST_THREADS; i++) {
            pthread_join(threads[i], NULL);
            assert_int_equal(joiners[i].status, PNX_OK);
            assert_int_equal(joiners[i].result, PNX_EUNSUPPORTED);
        }
        assert_true(is_gone(&script));
    }
}

static pnx_status join_myself(pnx_task *self, void *argument)
{
    pnx_error err = {0};
    const pnx_status status = pnx_task_join(self, PNX_FOREVER, NULL, &err);
    return strstr(err.message, "own end") ? status : PNX_EINVAL;
}

static void a_task_does_not_wait_for_itself(void **state)
{
    struct room *room = *state;
    pnx_scope scope = open_scope(room, "self");
    pnx_task *task;
    assert_int_equal(pnx_task_start(&scope, NULL, join_myself, NULL, &task, NULL), PNX_OK);
    pnx_status result;
    assert_int_equal(pnx_task_join(task, PNX_FOREVER, &result, NULL), PNX_OK);
    assert_int_equal(result, PNX_EDEADLOCK);
    pnx_scope_drop(&scope);
}

static void a_join_has_a_deadline(void **state)
{
    struct room *room = *state;
    struct script script = {0};
    pnx_error err = {0};
    pnx_scope scope = open_scope(room, "deadline");
    pnx_task *task = start(&scope, NULL, &script);
    assert_int_equal(pnx_task_join(task, 0, NULL, &err), PNX_ETIMEOUT);
    assert_contains(err.message, "did not end in time");
    assert_int_equal(pnx_task_join(task, pnx_monotonic_now() + PNX_MS(2), NULL, NULL),
                     PNX_ETIMEOUT);
    assert_false(pnx_task_canceled(task)); /* to wait is not to ask */
    assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
}

/* ---- tasks that do not end ------------------------------------------------------------------- */

static void a_task_that_does_not_end_in_time_is_told(void **state)
{
    struct room *room = *state;
    static struct script script = {.stubborn = true}; /* nothing tells that the thread is done */
    struct act a = {room, "a", PNX_OK};
    pnx_scope scope = open_scope(room, "stubborn");
    defer_act(&scope, &a);
    (void)start(&scope, &(pnx_task_config){.name = "mule", .join_timeout = PNX_MS(5)}, &script);
    wait_for_word(&script.begun);
    pnx_scope_result result;
    pnx_error err = {0};
    assert_int_equal(pnx_scope_close(&scope, patience(room), &result, &err), PNX_ETIMEOUT);
    assert_contains(err.message, "1 of 2 failed; the first: task of ");
    assert_logged(room, "a\n"); /* the scope went on */
    assert_int_equal(result.failures[0].status, PNX_ETIMEOUT);
    assert_int_equal(pnx_registry_state(room->registry, result.failures[0].id), PNX_FAILED);

    pnx_report report;
    assert_int_equal(pnx_registry_report(room->registry, &report, NULL), PNX_OK);
    assert_int_equal(report.survivor_count, 1);
    assert_string_equal(report.survivors[0].kind, "task");
    assert_string_equal(report.survivors[0].description, "mule");
    assert_int_equal(report.survivors[0].status, PNX_ETIMEOUT);
    pnx_report_done(&report);

    /* It ends at last, and has nobody left: its memory is its own to free (as ASan would tell). */
    set_word(&script.let_go);
    wait_until_gone(&script);
}

/* The scope gives up, while somebody else still waits: he joins it, when it ends. */
static void who_waits_for_a_task_outlasts_its_scope(void **state)
{
    struct room *room = *state;
    struct script script = {.stubborn = true, .answer = PNX_EBUSY};
    pnx_scope scope = open_scope(room, "stubborn");
    pnx_task *task = start(&scope, &(pnx_task_config){.join_timeout = PNX_MS(5)}, &script);
    wait_for_word(&script.begun);
    struct joiner joiner = {.task = task};
    pthread_t thread = start_joiner(&joiner);
    assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_ETIMEOUT);
    set_word(&script.let_go);
    pthread_join(thread, NULL);
    assert_int_equal(joiner.status, PNX_OK);
    assert_int_equal(joiner.result, PNX_EBUSY);
    assert_true(is_gone(&script));
}

/* A mapping or two for every thread whose stack is still there. */
static unsigned count_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    unsigned lines = 0;
    for (int c; (c = getc(maps)) != EOF;) {
        lines += c == '\n';
    }
    fclose(maps);
    return lines;
}

/* Which fails: they are late. */
static void release_all_tasks(struct room *room)
{
    assert_int_not_equal(pnx_release_kind(room->registry, "task", NULL, patience(room), NULL),
                         PNX_OK);
    assert_int_equal(counts_of(room).live, 0);
}

/* Whoever comes last sees the thread off: the thread itself, or the scope. */
static void a_task_that_was_late_leaves_nothing_behind(void **state)
{
    struct room *room = *state;
    static struct script scripts[100];
    const pnx_task_config impatient = {.join_timeout = PNX_MS(1), .stack = 256 << 10};
    unsigned before = 0;
    for (unsigned i = 0; i < 100; i++) {
        struct script *script = &scripts[i];
        script->stubborn = true;
        pnx_scope scope = open_scope(room, "late");
        (void)start(&scope, &impatient, script);
        wait_for_word(&script->begun);
        if (i % 2 == 0) {
            assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_ETIMEOUT);
            set_word(&script->let_go);
            wait_until_gone(script);
        } else {
            release_all_tasks(room);
            set_word(&script->let_go);
            wait_until_gone(script);
            assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
        }
        if (i == 20) { /* by then libc has made its pools */
            before = count_mappings();
        }
    }
    assert_in_range(count_mappings(), 1, before + 30);
    assert_int_equal(atomic_load(&detached), 0);
}

/* ---- threads that take their time to leave --------------------------------------------------- */

static pthread_key_t slow_key;
static _Atomic uint32_t leaving, may_leave; /* futexes */

static void leave_slowly(void *value)
{
    set_word(&leaving);
    wait_for_word(&may_leave);
}

static pnx_status end_slowly(pnx_task *self, void *argument)
{
    return pthread_setspecific(slow_key, &leaving) == 0 ? PNX_EBUSY : PNX_ENOMEM;
}

static int drop_in_child_at_once(void *scope)
{
    alarm(20); /* it would wait for a thread that is not in this process */
    pnx_scope_drop(scope);
    return 0;
}

/* Its body has ended, and its result is known; but joined it is when the thread is gone. */
static void a_thread_is_joined_when_it_has_left(void **state)
{
    struct room *room = *state;
    assert_int_equal(pthread_key_create(&slow_key, leave_slowly), 0);
    pnx_scope scope = open_scope(room, "slow");
    pnx_task *task;
    const pnx_task_config impatient = {.join_timeout = PNX_MS(1)};
    assert_int_equal(pnx_task_start(&scope, &impatient, end_slowly, NULL, &task, NULL), PNX_OK);
    wait_for_word(&leaving);
    assert_int_equal(pnx_task_join(task, pnx_monotonic_now() + PNX_MS(1), NULL, NULL),
                     PNX_ETIMEOUT);
    release_all_tasks(room);
    assert_int_equal(test_in_child(drop_in_child_at_once, &scope), 0);
    struct joiner joiner = {.task = task};
    pthread_t thread = start_joiner(&joiner);
    set_word(&may_leave);
    pthread_join(thread, NULL);
    assert_int_equal(joiner.status, PNX_OK);
    assert_int_equal(joiner.result, PNX_EBUSY);
    assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
    pthread_key_delete(slow_key);
}

int main(void)
{
#define TEST(name, fixture) cmocka_unit_test_setup_teardown(name, fixture, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_task_is_joined_once_however_many_wait, with_workers),
        TEST(a_task_does_not_wait_for_itself, with_workers),
        TEST(a_join_has_a_deadline, with_workers),
        TEST(a_task_that_does_not_end_in_time_is_told, with_workers),
        TEST(a_task_that_was_late_leaves_nothing_behind, with_workers),
        TEST(a_thread_is_joined_when_it_has_left, with_workers),
        TEST(who_waits_for_a_task_outlasts_its_scope, with_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
