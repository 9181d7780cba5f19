/* SPDX-License-Identifier: MIT */
/* Tests of src/patinox/guard/task.c. */
#include "support.h"

#include "base/sys.h"
#include "guard/scope.h"
#include "guard/task.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* ---- bodies ---------------------------------------------------------------------------------- */

/* What a body saw, and what it is told to do. */
struct script {
    struct room *room;
    pnx_status answer;
    pid_t thread;
    _Atomic uint32_t let_go; /* futex */
    _Atomic uint32_t begun;  /* futex */
    _Atomic unsigned ended;
    char name[16];
    char reason[80];
    bool stubborn; /* does not end when it is canceled, but when it is let go */
    bool blocked[NSIG];
};

static void wait_for_word(_Atomic uint32_t *word)
{
    while (atomic_load(word) == 0) {
        pnx__futex_wait(word, 0, PNX_FOREVER);
    }
}

static void set_word(_Atomic uint32_t *word)
{
    atomic_store(word, 1);
    pnx__futex_wake(word, UINT_MAX);
}

static pnx_status follow(pnx_task *self, void *argument)
{
    struct script *script = argument;
    sigset_t blocked;
    prctl(PR_GET_NAME, script->name);
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    for (int i = 1; i < NSIG; i++) {
        script->blocked[i] = sigismember(&blocked, i) == 1;
    }
    script->thread = (pid_t)syscall(SYS_gettid);
    set_word(&script->begun);
    if (script->stubborn) {
        wait_for_word(&script->let_go);
    } else if (pnx_task_wait(self, PNX_FOREVER) == PNX_ECANCELED) {
        snprintf(script->reason, sizeof script->reason, "%s", pnx_task_cancel_reason(self));
    }
    if (script->room) {
        pnx_test_log_add(script->room->log, "task ended");
    }
    atomic_store(&script->ended, 1);
    return script->answer;
}

static pnx_task *start(pnx_scope *scope, const pnx_task_config *config, struct script *script)
{
    pnx_task *task = NULL;
    pnx_error err = {0};
    if (pnx_task_start(scope, config, follow, script, &task, &err) != PNX_OK) {
        fail_msg("%s", err.message);
    }
    return task;
}

/* Is the thread gone? Only when it was joined can that be known at once. */
static bool is_gone(const struct script *script)
{
    return syscall(SYS_tgkill, getpid(), script->thread, 0) != 0;
}

static void wait_until_gone(const struct script *script)
{
    while (!is_gone(script)) {
        sched_yield();
    }
}

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

static pnx_status measure_stack(pnx_task *self, void *argument)
{
    pthread_attr_t attributes;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstacksize(&attributes, argument);
    pthread_attr_destroy(&attributes);
    return PNX_EBUSY;
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

/* ---- joining --------------------------------------------------------------------------------- */

struct joiner {
    pnx_task *task;
    pnx_status status, result;
};

static void *join_it(void *argument)
{
    struct joiner *joiner = argument;
    joiner->status = pnx_task_join(joiner->task, PNX_FOREVER, &joiner->result, NULL);
    return NULL;
}

/* Starts one, and waits until he has taken hold of the task: from then on it may end any time. */
static pthread_t start_joiner(struct joiner *joiner)
{
    pthread_t thread;
    const uint32_t before = atomic_load(&joiner->task->references);
    assert_int_equal(pthread_create(&thread, NULL, join_it, joiner), 0);
    while (atomic_load(&joiner->task->references) == before) {
        sched_yield();
    }
    return thread;
}

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
        TEST(a_task_is_joined_once_however_many_wait, with_workers),
        TEST(a_task_does_not_wait_for_itself, with_workers),
        TEST(a_join_has_a_deadline, with_workers),
        TEST(a_task_that_does_not_end_in_time_is_told, with_workers),
        TEST(a_task_that_was_late_leaves_nothing_behind, with_workers),
        TEST(a_thread_is_joined_when_it_has_left, with_workers),
        TEST(tasks_do_not_occupy_all_workers, with_workers),
        TEST(who_waits_for_a_task_outlasts_its_scope, with_workers),
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
