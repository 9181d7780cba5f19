/* SPDX-License-Identifier: MIT */
/* Tests of src/patinox/guard/task.c; of waiting for tasks, more in task_join.c. */
#include "script.h"

/* ---- a life ---------------------------------------------------------------------------------- */

static void a_scope_cancels_and_joins_its_tasks(void **state)
{
    struct room *room = *state;
    struct script script = {.room = room};
    pnx_scope scope = open_scope(room, "tasks");
    pnx_task *task = start(&scope, NULL, &script);
    wait_for_word(&script.begun);
    assert_false(pnx_task_canceled(task));
    assert_null(pnx_task_cancel_reason(task));
    pnx_scope_result result;
    assert_int_equal(pnx_scope_close(&scope, patience(room), &result, NULL), PNX_OK);
    assert_true(is_gone(&script));
    assert_int_equal(script.ended, 1);
    assert_string_equal(script.reason, "scope end");
    assert_string_equal(script.name, "task");
    assert_int_equal(result.released, 1);
}

static void a_task_has_its_turn_among_the_entries(void **state)
{
    struct room *room = *state;
    struct script script = {.room = room};
    struct act a = {room, "a", PNX_OK}, b = {room, "b", PNX_OK};
    pnx_scope scope = open_scope(room, "turns");
    defer_act(&scope, &a);
    (void)start(&scope, NULL, &script);
    defer_act(&scope, &b);
    pnx_scope_drop(&scope);
    wait_idle(room);
    assert_logged(room, "b\ntask ended\na\n");
    assert_true(is_gone(&script));
}

static void all_signals_are_blocked_in_a_task(void **state)
{
    struct room *room = *state;
    struct script script = {0};
    pnx_scope scope = open_scope(room, "signals");
    (void)start(&scope, &(pnx_task_config){.name = "a name that is long"}, &script);
    assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
    assert_string_equal(script.name, "a name that is ");
    for (int i = 1; i < SIGRTMIN; i++) {
        if (i != SIGKILL && i != SIGSTOP && i < 32) {
            assert_true(script.blocked[i]);
        }
    }
}

static void a_task_has_a_result_and_a_stack(void **state)
{
    struct room *room = *state;
    pnx_scope scope = open_scope(room, "result");
    pnx_task *task;
    size_t stack = 0;
    assert_int_equal(pnx_task_start(&scope, &(pnx_task_config){.stack = 3 << 20}, measure_stack,
                                    &stack, &task, NULL),
                     PNX_OK);
    pnx_status result = PNX_OK;
    assert_int_equal(pnx_task_join(task, PNX_FOREVER, &result, NULL), PNX_OK);
    assert_int_equal(result, PNX_EBUSY);
    assert_true(stack >= 3 << 20);
    assert_int_equal(pnx_task_join(task, 0, NULL, NULL), PNX_OK); /* again */
    /* What the body answers is not what becomes of the thread. */
    assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
}

static pnx_status end_my_thread(pnx_task *self, void *argument)
{
    pthread_exit(NULL);
}

static void a_task_that_ends_its_thread_has_failed(void **state)
{
    struct room *room = *state;
    pnx_scope scope = open_scope(room, "exit");
    pnx_task *task;
    assert_int_equal(pnx_task_start(&scope, NULL, end_my_thread, NULL, &task, NULL), PNX_OK);
    pnx_status result = PNX_OK;
    assert_int_equal(pnx_task_join(task, patience(room), &result, NULL), PNX_OK);
    assert_int_equal(result, PNX_EFAILED);
    assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
}

/* ---- canceling ------------------------------------------------------------------------------- */

static void the_first_reason_counts_and_is_copied(void **state)
{
    struct room *room = *state;
    struct script script = {0};
    pnx_scope scope = open_scope(room, "reason");
    pnx_task *task = start(&scope, NULL, &script);
    char reason[] = "the first";
    pnx_task_cancel(task, reason);
    reason[0] = 'X';
    pnx_task_cancel(task, "the second");
    assert_true(pnx_task_canceled(task));
    assert_string_equal(pnx_task_cancel_reason(task), "the first");
    assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
    assert_string_equal(script.reason, "the first");
}

static void a_cancel_needs_no_reason(void **state)
{
    struct room *room = *state;
    struct script script = {0};
    pnx_scope scope = open_scope(room, "no reason");
    pnx_task_cancel(start(&scope, NULL, &script), NULL);
    assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
    assert_string_equal(script.reason, "canceled");
}

static void a_long_reason_is_cut(void **state)
{
    struct room *room = *state;
    struct script script = {0};
    char reason[200];
    memset(reason, 'r', sizeof reason);
    reason[199] = '\0';
    pnx_scope scope = open_scope(room, "long");
    pnx_task_cancel(start(&scope, NULL, &script), reason);
    assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
    assert_int_equal(strlen(script.reason), 63);
    assert_contains(script.reason, "rrr...");
}

static void *cancel_it(void *task)
{
    pnx_task_cancel(*(pnx_task **)task, "from a thread");
    return NULL;
}

static void many_may_cancel_at_once(void **state)
{
    struct room *room = *state;
    for (size_t round = 0; round < test_effort(100); round++) {
        struct script script = {0};
        pnx_scope scope = open_scope(room, "many");
        pnx_task *tasks[TEST_THREADS];
        tasks[0] = start(&scope, NULL, &script);
        for (unsigned i = 1; i < TEST_THREADS; i++) {
            tasks[i] = tasks[0];
        }
        test_in_threads(cancel_it, tasks, sizeof *tasks);
        assert_string_equal(pnx_task_cancel_reason(tasks[0]), "from a thread");
        assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
        assert_string_equal(script.reason, "from a thread");
    }
}

static pnx_status wait_a_little(pnx_task *self, void *argument)
{
    pnx_status *answers = argument;
    answers[0] = pnx_task_wait(self, 0);
    answers[1] = pnx_task_wait(self, pnx_monotonic_now() + PNX_MS(1));
    answers[2] = pnx_task_wait(self, PNX_FOREVER);
    answers[3] = pnx_task_wait(self, 0);
    return PNX_OK;
}

static void waiting_ends_at_its_deadline_or_with_a_cancel(void **state)
{
    struct room *room = *state;
    pnx_status answers[4];
    pnx_scope scope = open_scope(room, "wait");
    assert_int_equal(pnx_task_start(&scope, NULL, wait_a_little, answers, NULL, NULL), PNX_OK);
    assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
    assert_int_equal(answers[1], answers[0] == PNX_OK ? PNX_OK : answers[1]);
    assert_true(answers[0] == PNX_ETIMEOUT || answers[0] == PNX_ECANCELED);
    assert_true(answers[1] == PNX_ETIMEOUT || answers[1] == PNX_ECANCELED);
    assert_int_equal(answers[2], PNX_ECANCELED);
    assert_int_equal(answers[3], PNX_ECANCELED);
}

/* ---- released otherwise ---------------------------------------------------------------------- */

static void a_shutdown_cancels_tasks(void **state)
{
    struct room *room = *state;
    struct script script = {0};
    pnx_scope scope = open_scope(room, "open");
    pnx_task *task = start(&scope, NULL, &script);
    assert_int_equal(pnx_registry_shutdown(room->registry, NULL, NULL, NULL), PNX_OK);
    assert_true(is_gone(&script));
    assert_string_equal(script.reason, "shutdown");
    /* The scope has not ended, so the task is still there to be asked. */
    assert_true(pnx_task_canceled(task));
    pnx_task_cancel(task, "again");
    assert_int_equal(pnx_task_join(task, 0, NULL, NULL), PNX_OK);
    pnx_error err = {0};
    assert_int_equal(pnx_task_start(&scope, NULL, follow, &script, &task, &err), PNX_ESHUTDOWN);
    pnx_scope_drop(&scope);
}

static void a_task_may_end_long_before_its_scope(void **state)
{
    struct room *room = *state;
    pnx_scope scope = open_scope(room, "early");
    pnx_task *tasks[20];
    size_t stack;
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(pnx_task_start(&scope, NULL, measure_stack, &stack, &tasks[i], NULL),
                         PNX_OK);
        assert_int_equal(pnx_task_join(tasks[i], PNX_FOREVER, NULL, NULL), PNX_OK);
    }
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(pnx_task_join(tasks[i], 0, NULL, NULL), PNX_OK);
    }
    pnx_scope_result result;
    assert_int_equal(pnx_scope_close(&scope, patience(room), &result, NULL), PNX_OK);
    assert_int_equal(result.released, 20);
}

static void unwinding_ends_only_the_tasks_above_the_mark(void **state)
{
    struct room *room = *state;
    struct script low = {0}, high = {0};
    pnx_scope scope = open_scope(room, "marked");
    pnx_task *task = start(&scope, NULL, &low);
    wait_for_word(&low.begun);
    const size_t mark = pnx_scope_mark(&scope);
    (void)start(&scope, NULL, &high);
    assert_int_equal(pnx_scope_unwind(&scope, mark, patience(room), NULL, NULL), PNX_OK);
    assert_true(is_gone(&high));
    assert_false(is_gone(&low));
    pnx_status status;
    assert_ptr_equal(pnx__scope_usable(&scope, &status, NULL)->tasks, task); /* it alone */
    assert_false(pnx_task_canceled(task));
    assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
    assert_true(is_gone(&low));
}

/* Releases of tasks wait for threads. However many do, some workers are left for others. */
static void tasks_do_not_occupy_all_workers(void **state)
{
    struct room *room = *state;
    struct script scripts[2] = {{.stubborn = true}, {.stubborn = true}};
    struct act a = {room, "a", PNX_OK};
    const pnx_task_config patient = {.join_timeout = PNX_FOREVER};
    pnx_task *tasks[2];
    for (unsigned i = 0; i < 2; i++) {
        pnx_scope scope = open_scope(room, "stubborn");
        tasks[i] = start(&scope, &patient, &scripts[i]);
        pnx_scope_drop(&scope);
    }
    const pnx_time end = patience(room);
    while (!pnx_task_canceled(tasks[0]) && pnx_monotonic_now() < end) {
        sched_yield();
    }
    pnx_scope scope = open_scope(room, "quick");
    defer_act(&scope, &a);
    assert_int_equal(pnx_scope_close(&scope, pnx_monotonic_now() + PNX_S(20), NULL, NULL), PNX_OK);
    set_word(&scripts[0].let_go);
    set_word(&scripts[1].let_go);
    wait_idle(room);
}

/* ---- arguments ------------------------------------------------------------------------------- */

static void wrong_arguments_are_refused(void **state)
{
    struct room *room = *state;
    struct script script = {0};
    pnx_scope scope = open_scope(room, "picky");
    pnx_task *task = NULL;
    pnx_error err = {0};
    assert_int_equal(pnx_task_start(&scope, NULL, NULL, NULL, &task, &err), PNX_EINVAL);
    assert_contains(err.message, "scope picky: the body");
    const pnx_task_config early = {.join_timeout = -1};
    assert_int_equal(pnx_task_start(&scope, &early, follow, &script, &task, &err), PNX_EINVAL);
    assert_contains(err.message, "join_timeout");
    const pnx_task_config odd = {.priority = (pnx_priority)7};
    assert_int_equal(pnx_task_start(&scope, &odd, follow, &script, &task, &err), PNX_EINVAL);
    assert_contains(err.message, "priority is 7");
    assert_null(task);
    assert_int_equal(pnx_scope_mark(&scope), 0);
    pnx_scope_drop(&scope);
    assert_int_equal(pnx_task_start(&scope, NULL, follow, &script, &task, &err), PNX_EINVAL);
}

static bool look_at_priority(const pnx_info *info, void *seen)
{
    assert_string_equal(info->kind->name, "task");
    ((bool *)seen)[info->priority] = true;
    return true;
}

static void a_task_has_the_priority_that_it_is_given(void **state)
{
    struct room *room = *state;
    struct script scripts[PNX_PRIORITY_COUNT] = {{0}};
    bool seen[PNX_PRIORITY_COUNT] = {false};
    pnx_scope scope = open_scope(room, "priorities");
    for (pnx_priority p = 0; p < PNX_PRIORITY_COUNT; p++) {
        (void)start(&scope, &(pnx_task_config){.priority = p}, &scripts[p]);
    }
    assert_int_equal(pnx_registry_each(room->registry, look_at_priority, seen), PNX_PRIORITY_COUNT);
    for (pnx_priority p = 0; p < PNX_PRIORITY_COUNT; p++) {
        assert_true(seen[p]);
    }
    assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
}

/* ---- fork ------------------------------------------------------------------------------------ */

static int drop_in_child(void *scope)
{
    pnx_task *task;
    child_expect(pnx_task_start((pnx_scope *)scope, NULL, follow, NULL, &task, NULL) ==
                 PNX_EFORKED);
    pnx_scope_drop(scope); /* its threads are not in this process */
    return 0;
}

static void a_fork_child_leaves_tasks_alone(void **state)
{
    struct room *room = *state;
    struct script script = {0};
    size_t stack;
    pnx_scope scope = open_scope(room, "forked");
    pnx_task *task = start(&scope, NULL, &script);
    assert_int_equal(pnx_task_start(&scope, NULL, measure_stack, &stack, NULL, NULL), PNX_OK);
    assert_int_equal(test_in_child(drop_in_child, &scope), 0);
    assert_false(pnx_task_canceled(task));
    assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
}

/* ---- by hand --------------------------------------------------------------------------------- */

/* Threads are real, whatever clock the registry has. */
static void tasks_end_in_real_time_under_a_virtual_clock(void **state)
{
    struct room *room = *state;
    static struct script mule = {.stubborn = true};
    struct script script = {0};
    pnx_scope scope = open_scope(room, "by hand");
    (void)start(&scope, NULL, &script);
    (void)start(&scope, &(pnx_task_config){.join_timeout = PNX_MS(2)}, &mule);
    assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_ETIMEOUT);
    assert_true(is_gone(&script));
    wait_for_word(&mule.begun);
    set_word(&mule.let_go);
    wait_until_gone(&mule);
}

int main(void)
{
#define TEST(name, fixture) cmocka_unit_test_setup_teardown(name, fixture, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_scope_cancels_and_joins_its_tasks, with_workers),
        TEST(a_task_has_its_turn_among_the_entries, with_workers),
        TEST(all_signals_are_blocked_in_a_task, with_workers),
        TEST(a_task_has_a_result_and_a_stack, with_workers),
        TEST(a_task_that_ends_its_thread_has_failed, with_workers),
        TEST(the_first_reason_counts_and_is_copied, with_workers),
        TEST(a_cancel_needs_no_reason, with_workers),
        TEST(a_long_reason_is_cut, with_workers),
        TEST(many_may_cancel_at_once, with_workers),
        TEST(waiting_ends_at_its_deadline_or_with_a_cancel, with_workers),
        TEST(tasks_do_not_occupy_all_workers, with_workers),
        TEST(a_shutdown_cancels_tasks, with_workers),
        TEST(a_task_may_end_long_before_its_scope, with_workers),
        TEST(unwinding_ends_only_the_tasks_above_the_mark, with_workers),
        TEST(wrong_arguments_are_refused, with_workers),
        TEST(a_task_has_the_priority_that_it_is_given, with_workers),
        TEST(a_fork_child_leaves_tasks_alone, with_workers),
        TEST(tasks_end_in_real_time_under_a_virtual_clock, by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
