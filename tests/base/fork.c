/* SPDX-License-Identifier: MIT */
/*
 * Tests of src/patinox/base/fork.c. Detection is set up once in a process, so this one never does
 * it: each test runs in a child of its own, once for each way of detection.
 */
#include "base/fork.h"

#include "base/sys.h"
#include "support.h"

#include <sched.h>
#include <sys/syscall.h>

#if TEST_TSAN
/* A child of a process with threads has not leaked them. */
const char *__tsan_default_options(void); /* NOLINT: TSan's name */
const char *__tsan_default_options(void)
{
    return "report_thread_leaks=0";
}
#endif

/* Ways of detection, from the best to the last resort, and what must fail for each to be taken. */
enum way { BY_KERNEL, BY_HANDLER, BY_HANDLER_NO_PAGE, BY_PID, WAYS };

static const unsigned faults_for[WAYS] = {
    [BY_KERNEL] = 0,
    [BY_HANDLER] = 1u << PNX__FAULT_WIPEONFORK,
    [BY_HANDLER_NO_PAGE] = 1u << PNX__FAULT_MAP,
    [BY_PID] = 1u << PNX__FAULT_WIPEONFORK | 1u << PNX__FAULT_ATFORK,
};

static unsigned failing;

static bool fail_some(enum pnx__fault point)
{
    return (failing >> point & 1) != 0;
}

/* Runs `body` in a child for each way; the way is its argument. */
static void check_each_way(int (*body)(void *))
{
    for (enum way way = 0; way < WAYS; way++) {
        failing = faults_for[way];
        pnx__fault_hook = fail_some;
        int result = test_in_child(body, &way);
        pnx__fault_hook = NULL;
        if (result != 0) {
            fail_msg("way %d", (int)way);
        }
    }
}

/* ---- one process ----------------------------------------------------------------------------- */

static int epoch_stays(void *argument)
{
    uint32_t epoch = pnx__fork_epoch();
    child_expect(epoch != 0);
    for (int i = 0; i < 1000; i++) {
        pnx__fork_init();
        child_expect(pnx__fork_epoch() == epoch);
        child_expect(pnx__fork_epoch_slow() == epoch);
    }
    return 0;
}

static void epoch_stays_the_same_in_a_process(void **state)
{
    check_each_way(epoch_stays);
}

static int errno_stays(void *argument)
{
    errno = EDOM;
    pnx__fork_init();
    child_expect(errno == EDOM);
    (void)pnx__fork_epoch();
    child_expect(errno == EDOM);
    return 0;
}

static void errno_is_kept(void **state)
{
    check_each_way(errno_stays);
}

/* ---- descent --------------------------------------------------------------------------------- */

#define GENERATIONS 3

struct line {
    uint32_t epochs[GENERATIONS + 1];
    int generation;
};

static int differs_from_all_ancestors(void *argument)
{
    struct line line = *(struct line *)argument;
    uint32_t epoch = pnx__fork_epoch();
    child_expect(epoch != 0);
    child_expect(pnx__fork_epoch() == epoch);
    for (int i = 0; i < line.generation; i++) {
        child_expect(line.epochs[i] != epoch);
    }
    if (line.generation < GENERATIONS) {
        line.epochs[line.generation++] = epoch;
        /* Two children each: the second must not be disturbed by the first. */
        child_expect(test_in_child(differs_from_all_ancestors, &line) == 0);
        child_expect(test_in_child(differs_from_all_ancestors, &line) == 0);
        child_expect(pnx__fork_epoch() == epoch);
    }
    return 0;
}

static int start_line(void *argument)
{
    struct line line = {.generation = 0};
    return differs_from_all_ancestors(&line);
}

static void epoch_changes_over_generations(void **state)
{
    check_each_way(start_line);
}

static int differs_from(void *argument)
{
    return pnx__fork_epoch() == *(const uint32_t *)argument;
}

/* Does not look itself: its child still must not be taken for its parent. */
static int forks_without_looking(void *argument)
{
    return test_in_child(differs_from, argument);
}

static int grandparent(void *argument)
{
    uint32_t epoch = pnx__fork_epoch();
    child_expect(test_in_child(forks_without_looking, &epoch) == 0);
    child_expect(pnx__fork_epoch() == epoch);
    return 0;
}

static void a_generation_that_never_looked_changes_nothing(void **state)
{
    check_each_way(grandparent);
}

static int sets_up_alone(void *argument)
{
    (void)pnx__fork_epoch();
    return test_in_child(differs_from, &(uint32_t){pnx__fork_epoch()});
}

static int forks_before_setting_up(void *argument)
{
    child_expect(test_in_child(sets_up_alone, NULL) == 0);
    return sets_up_alone(NULL);
}

static void setting_up_after_a_fork_is_not_too_late(void **state)
{
    check_each_way(forks_before_setting_up);
}

/* ---- other ways of making processes ---------------------------------------------------------- */

/* A fork that no handler of libc sees. */
static int bare_fork(void *argument)
{
    enum way way = *(const enum way *)argument;
    uint32_t epoch = pnx__fork_epoch();
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0) {
        _exit(pnx__fork_epoch() != epoch);
    }
    bool seen = way != BY_HANDLER && way != BY_HANDLER_NO_PAGE;
    child_expect(test_wait_child(child) == seen);
    return 0;
}

static void kernel_and_pid_see_a_bare_clone_too(void **state)
{
    check_each_way(bare_fork);
}

static int look_from_shared_memory(void *argument)
{
    *(uint32_t *)argument = pnx__fork_epoch();
    return 0;
}

static int share_memory(void *argument)
{
    static _Alignas(16) char stack[64 * 1024];
    enum way way = *(const enum way *)argument;
    if (way == BY_PID) {
        return 0; /* documented: takes it for a fork */
    }
    uint32_t epoch = pnx__fork_epoch();
    uint32_t seen = 0;
    /* What vfork(2) does, without its restrictions on what the child may do to its stack. */
    pid_t child = clone(look_from_shared_memory, stack + sizeof(stack),
                        CLONE_VM | CLONE_VFORK | SIGCHLD, &seen);
    child_expect(test_wait_child(child) == 0);
    child_expect(seen == epoch);
    child_expect(pnx__fork_epoch() == epoch);
    return 0;
}

static void sharing_memory_is_no_fork(void **state)
{
#if TEST_TSAN
    skip(); /* TSan does not know threads that libc did not make */
#endif
    check_each_way(share_memory);
}

/* ---- threads --------------------------------------------------------------------------------- */

/* Starts threads within nanoseconds of each other, which pthread_barrier_t does not. */
static _Atomic unsigned missing;

static void start_together(void)
{
    atomic_fetch_sub(&missing, 1);
    for (unsigned turns = 0; atomic_load(&missing) > 0; turns++) {
        if (turns > 1000) {
            sched_yield(); /* the others may need this processor */
        }
    }
}

static void *look(void *argument)
{
    start_together();
    *(uint32_t *)argument = pnx__fork_epoch();
    return NULL;
}

/* Threads that look for the first time at the same time see the same. */
static int threads_agree(uint32_t forbidden)
{
    uint32_t seen[TEST_THREADS] = {0};
    atomic_store(&missing, TEST_THREADS);
    test_in_threads(look, seen, sizeof(seen[0]));
    for (size_t i = 0; i < TEST_THREADS; i++) {
        child_expect(seen[i] != 0 && seen[i] != forbidden);
        child_expect(seen[i] == seen[0]);
    }
    child_expect(pnx__fork_epoch() == seen[0]);
    return 0;
}

static int threads_race(void *argument)
{
    return threads_agree(*(const uint32_t *)argument);
}

static int race_to_set_up_and_after_a_fork(void *argument)
{
    int line = threads_agree(0);
    for (size_t i = test_effort(20); i > 0 && line == 0; i--) {
        line = test_in_child(threads_race, &(uint32_t){pnx__fork_epoch()});
    }
    return line;
}

static void racing_threads_agree(void **state)
{
    for (size_t i = test_effort(10); i > 0; i--) {
        check_each_way(race_to_set_up_and_after_a_fork);
    }
}

/*
 * Forks while other threads learn the epoch for the first time: whatever one of them had learnt
 * before the fork, the child must not have it. `learnt` is copied with the fork, as an object is.
 */
static _Atomic uint32_t learnt;

static void *learn(void *argument)
{
    start_together();
    atomic_store(&learnt, pnx__fork_epoch());
    return NULL;
}

static int is_not_what_was_learnt(void *argument)
{
    return pnx__fork_epoch() == atomic_load(&learnt);
}

static int fork_in_the_middle(void *argument)
{
    pthread_t thread;
    atomic_store(&missing, 2);
    child_expect(pthread_create(&thread, NULL, learn, NULL) == 0);
    start_together();
    child_expect(test_in_child(is_not_what_was_learnt, NULL) == 0);
    pthread_join(thread, NULL);
    child_expect(atomic_load(&learnt) == pnx__fork_epoch());
    return 0;
}

/* Both at the first set-up and in a child, where only the word is empty. */
static int fork_in_the_middle_twice(void *argument)
{
    int line = fork_in_the_middle(argument);
    return line ? line : test_in_child(fork_in_the_middle, argument);
}

static void a_fork_in_the_middle_of_learning_is_seen(void **state)
{
    for (size_t i = test_effort(20); i > 0; i--) {
        check_each_way(fork_in_the_middle_twice);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(epoch_stays_the_same_in_a_process),
        cmocka_unit_test(errno_is_kept),
        cmocka_unit_test(epoch_changes_over_generations),
        cmocka_unit_test(a_generation_that_never_looked_changes_nothing),
        cmocka_unit_test(setting_up_after_a_fork_is_not_too_late),
        cmocka_unit_test(kernel_and_pid_see_a_bare_clone_too),
        cmocka_unit_test(sharing_memory_is_no_fork),
        cmocka_unit_test(racing_threads_agree),
        cmocka_unit_test(a_fork_in_the_middle_of_learning_is_seen),
    };
    return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}
