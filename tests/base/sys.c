/* SPDX-License-Identifier: MIT */
/* Tests of src/patinox/base/sys.c: the calls themselves, and each of them failing. */
#include "base/sys.h"

#include "support.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>

/* ---- faults ---------------------------------------------------------------------------------- */

/* Which of the calls at which points fail. */
static struct {
    unsigned points; /* a bit each */
    int skip;        /* calls that still succeed */
    int count;       /* calls that fail then */
    int asked[PNX__FAULT_COUNT];
} plan;

static bool follow_plan(enum pnx__fault point)
{
    plan.asked[point]++;
    if (!(plan.points >> point & 1)) {
        return false;
    }
    if (plan.skip > 0) {
        plan.skip--;
        return false;
    }
    return plan.count-- > 0;
}

static void plan_failure(enum pnx__fault point, int skip, int count)
{
    memset(&plan, 0, sizeof(plan));
    plan.points = 1u << point;
    plan.skip = skip;
    plan.count = count;
    pnx__fault_hook = follow_plan;
}

static int no_faults(void **state)
{
    pnx__fault_hook = NULL;
    return 0;
}

static void *return_argument(void *argument)
{
    return argument;
}

/* Makes the call of a point once: 0, or the errno with which it failed. */
static int call(enum pnx__fault point)
{
    static _Atomic uint32_t word;
    pthread_t thread;
    void *memory;
    int fd;
    int error;
    errno = 0;
    switch (point) {
    case PNX__FAULT_ALLOC:
        memory = pnx__alloc(100);
        pnx__free(memory);
        return memory ? 0 : errno;
    case PNX__FAULT_MAP:
        memory = pnx__map(100);
        pnx__unmap(memory, 100);
        return memory ? 0 : errno;
    case PNX__FAULT_THREAD:
        error = pnx__thread_create(&thread, 0, return_argument, NULL, "test");
        if (error == 0) {
            pthread_join(thread, NULL);
        }
        return error;
    case PNX__FAULT_FUTEX_WAIT:
        /* Must time out; a failure looks like a wake. */
        return pnx__futex_wait(&word, 0, 0) == ETIMEDOUT ? 0 : EINTR;
    case PNX__FAULT_EVENTFD:
        fd = pnx__eventfd();
        break;
    case PNX__FAULT_TIMERFD:
        fd = pnx__timerfd();
        break;
    case PNX__FAULT_TIMERFD_SET:
        fd = pnx__timerfd();
        error = pnx__timerfd_set(fd, PNX_FOREVER);
        close(fd);
        return error;
    default:
        return -1;
    }
    error = fd < 0 ? errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    return error;
}

static void each_point_fails_when_told_and_only_then(void **state)
{
    static const struct {
        enum pnx__fault point;
        int error;
    } cases[] = {
        {PNX__FAULT_ALLOC, ENOMEM},      {PNX__FAULT_MAP, ENOMEM},     {PNX__FAULT_THREAD, EAGAIN},
        {PNX__FAULT_FUTEX_WAIT, EINTR},  {PNX__FAULT_EVENTFD, EMFILE}, {PNX__FAULT_TIMERFD, EMFILE},
        {PNX__FAULT_TIMERFD_SET, EBADF},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum pnx__fault point = cases[i].point;
        pnx__fault_hook = NULL;
        assert_int_equal(call(point), 0);
        plan_failure(point, 2, 1);
        assert_int_equal(call(point), 0);
        assert_int_equal(call(point), 0);
        assert_int_equal(call(point), cases[i].error);
        assert_int_equal(call(point), 0);
        assert_int_equal(plan.asked[point], 4);
    }
}

static void a_thread_needs_memory(void **state)
{
    plan_failure(PNX__FAULT_ALLOC, 0, 1);
    assert_int_equal(call(PNX__FAULT_THREAD), EAGAIN);
    assert_int_equal(call(PNX__FAULT_THREAD), 0);
}

static void a_refused_clock_is_replaced_by_the_other(void **state)
{
    plan_failure(PNX__FAULT_CLOCK, 0, INT_MAX);
    for (int i = 0; i < 100; i++) {
        struct timespec real;
        clock_gettime(CLOCK_MONOTONIC, &real);
        pnx_time expected = PNX_S(real.tv_sec) + real.tv_nsec;
        assert_in_range(pnx__now(), expected - PNX_S(1), expected + PNX_S(10));
        assert_in_range(pnx__coarse(), expected - PNX_S(1), expected + PNX_S(10));
    }
    assert_int_equal(plan.asked[PNX__FAULT_CLOCK], 200);
    assert_int_equal(pnx__clock_fallback((clockid_t)12345), 0);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void memory_is_zeroed(void **state)
{
    static const unsigned char zeroes[1000];
    unsigned char *dirty = pnx__alloc(sizeof(zeroes));
    assert_non_null(dirty);
    memset(dirty, 0xff, sizeof(zeroes));
    pnx__free(dirty);
    unsigned char *memory = pnx__alloc(sizeof(zeroes));
    assert_non_null(memory);
    assert_memory_equal(memory, zeroes, sizeof(zeroes));
    pnx__free(memory);
}

static void mapped_memory_is_whole_zeroed_pages(void **state)
{
    static const char zeroes[8192];
    char *memory = pnx__map(5000);
    assert_non_null(memory);
    assert_int_equal((uintptr_t)memory % (uintptr_t)sysconf(_SC_PAGESIZE), 0);
    assert_memory_equal(memory, zeroes, 8192);
    memset(memory, 0xff, 8192);
    pnx__unmap(memory, 5000);
}

static void mapping_gigabytes_costs_nothing(void **state)
{
#if TEST_TSAN
    skip(); /* its shadow memory has other limits */
#endif
    size_t size = (size_t)64 << 30;
    char *memory = pnx__map(size);
    assert_non_null(memory);
    memory[size - 1] = 1;
    pnx__unmap(memory, size);
}

static void too_much_memory_is_null(void **state)
{
    volatile size_t size = SIZE_MAX / 2;
    errno = 0;
    assert_null(pnx__map(size));
    assert_int_equal(errno, ENOMEM);
}

static void giving_memory_back_keeps_errno(void **state)
{
    void *allocated = pnx__alloc(1 << 20);
    void *mapped = pnx__map(4096);
    errno = EDOM;
    pnx__free(allocated);
    pnx__free(NULL);
    pnx__unmap(mapped, 4096);
    pnx__unmap(NULL, 4096);
    if (!TEST_ASAN) {                /* which ends the program that gives back what it never had */
        pnx__unmap((void *)1, 4096); /* the kernel refuses it */
    }
    assert_int_equal(errno, EDOM);
}

/* ---- threads --------------------------------------------------------------------------------- */

struct seen {
    sigset_t blocked;
    char name[16];
    void *argument;
};

static void *note_what_is_seen(void *argument)
{
    struct seen *seen = argument;
    pthread_sigmask(SIG_SETMASK, NULL, &seen->blocked);
    prctl(PR_GET_NAME, seen->name);
    seen->argument = argument;
    return &seen->name;
}

static struct seen see(size_t stack, const char *name)
{
    struct seen seen;
    pthread_t thread;
    void *result;
    assert_int_equal(pnx__thread_create(&thread, stack, note_what_is_seen, &seen, name), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(seen.argument, &seen);
    assert_ptr_equal(result, &seen.name);
    return seen;
}

static void a_thread_has_all_signals_blocked(void **state)
{
    sigset_t before;
    sigset_t after;
    sigset_t some;
    sigemptyset(&some);
    sigaddset(&some, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &some, NULL);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    struct seen seen = see(0, "blocked");
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    sigemptyset(&some);
    pthread_sigmask(SIG_SETMASK, &some, NULL);

    for (int number = 1; number <= SIGRTMAX; number++) {
        bool is_of_libc = number > 31 && number < SIGRTMIN;
        if (number != SIGKILL && number != SIGSTOP && !is_of_libc) {
            assert_int_equal(sigismember(&seen.blocked, number), 1);
        }
        assert_int_equal(sigismember(&after, number), sigismember(&before, number));
    }
}

static void a_thread_has_its_name(void **state)
{
    char mine[16];
    prctl(PR_GET_NAME, mine);
    assert_string_equal(see(0, "pnx-worker-1").name, "pnx-worker-1");
    assert_string_equal(see(0, "exactly15bytes!").name, "exactly15bytes!");
    assert_string_equal(see(0, "sixteen bytes!!!").name, "sixteen bytes!!");
    assert_string_equal(see(0, "fourteen bytes€").name, "fourteen bytes");
    assert_string_equal(see(0, NULL).name, mine);
    assert_string_equal(see(0, "").name, mine);
}

static void a_thread_gets_the_stack_it_needs(void **state)
{
    assert_string_equal(see(1, "tiny").name, "tiny");
    assert_string_equal(see(100001, "odd").name, "odd");
    assert_string_equal(see((size_t)1 << 24, "large").name, "large");
}

static void a_thread_that_cannot_be_made_changes_nothing(void **state)
{
    pthread_t thread;
    pthread_t before;
    memset(&thread, 0x5a, sizeof(thread));
    before = thread;
    sigset_t mask_before;
    sigset_t mask_after;
    pthread_sigmask(SIG_SETMASK, NULL, &mask_before);
    errno = EDOM;
    /* More stack than there are addresses. */
    assert_int_not_equal(pnx__thread_create(&thread, SIZE_MAX / 4, return_argument, NULL, "x"), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &mask_after);
    assert_memory_equal(&thread, &before, sizeof(thread));
    assert_int_equal(sigismember(&mask_before, SIGTERM), sigismember(&mask_after, SIGTERM));
}

/* ---- futex ----------------------------------------------------------------------------------- */

static void a_word_that_differs_does_not_wait(void **state)
{
    _Atomic uint32_t word = 1;
    assert_int_equal(pnx__futex_wait(&word, 0, PNX_FOREVER), 0);
    assert_int_equal(pnx__futex_wait(&word, 2, 0), 0);
}

static void a_past_deadline_does_not_wait(void **state)
{
    _Atomic uint32_t word = 1;
    errno = EDOM;
    assert_int_equal(pnx__futex_wait(&word, 1, pnx__now()), ETIMEDOUT);
    assert_int_equal(pnx__futex_wait(&word, 1, 0), ETIMEDOUT);
    assert_int_equal(pnx__futex_wait(&word, 1, -1), ETIMEDOUT);
    assert_int_equal(pnx__futex_wait(&word, 1, INT64_MIN), ETIMEDOUT);
    assert_int_equal(errno, EDOM);
}

static void a_deadline_is_reached_and_never_early(void **state)
{
    _Atomic uint32_t word = 1;
    for (int i = 0; i < 5; i++) {
        pnx_time deadline = pnx__now() + PNX_MS(1);
        int result;
        do {
            result = pnx__futex_wait(&word, 1, deadline);
        } while (result == 0);
        assert_int_equal(result, ETIMEDOUT);
        assert_true(pnx__now() >= deadline);
    }
}

struct sleeper {
    _Atomic uint32_t *word;
    pnx_time deadline;
    int result;
};

static void *sleep_while_zero(void *argument)
{
    struct sleeper *sleeper = argument;
    do {
        sleeper->result = pnx__futex_wait(sleeper->word, 0, sleeper->deadline);
    } while (sleeper->result == 0 && atomic_load(sleeper->word) == 0);
    return NULL;
}

static void sleepers_are_woken(pnx_time deadline)
{
    _Atomic uint32_t word = 0;
    struct sleeper sleepers[TEST_THREADS];
    pthread_t threads[TEST_THREADS];
    for (size_t i = 0; i < TEST_THREADS; i++) {
        sleepers[i] = (struct sleeper){.word = &word, .deadline = deadline, .result = -1};
        assert_int_equal(pnx__thread_create(&threads[i], 0, sleep_while_zero, &sleepers[i], "s"),
                         0);
    }
    errno = EDOM;
    atomic_store(&word, 1);
    pnx__futex_wake(&word, UINT_MAX);
    assert_int_equal(errno, EDOM);
    for (size_t i = 0; i < TEST_THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(sleepers[i].result, 0);
    }
}

static void a_wake_is_never_lost(void **state)
{
    for (size_t i = test_effort(200); i > 0; i--) {
        sleepers_are_woken(PNX_FOREVER);
        sleepers_are_woken(pnx__now() + PNX_S(3600));
        sleepers_are_woken(PNX_FOREVER - 1);
    }
}

static _Atomic uint32_t ping;
static _Atomic uint32_t pong;

static void *answer_pings(void *argument)
{
    for (uint32_t round = 1; round <= *(const uint32_t *)argument; round++) {
        while (atomic_load(&ping) != round) {
            (void)pnx__futex_wait(&ping, round - 1, PNX_FOREVER);
        }
        atomic_store(&pong, round);
        pnx__futex_wake(&pong, 1);
    }
    return NULL;
}

static void threads_can_take_turns(void **state)
{
    uint32_t rounds = (uint32_t)test_effort(2000);
    pthread_t thread;
    atomic_store(&ping, 0);
    atomic_store(&pong, 0);
    assert_int_equal(pnx__thread_create(&thread, 0, answer_pings, &rounds, "pong"), 0);
    for (uint32_t round = 1; round <= rounds; round++) {
        atomic_store(&ping, round);
        pnx__futex_wake(&ping, 1);
        while (atomic_load(&pong) != round) {
            (void)pnx__futex_wait(&pong, round - 1, PNX_FOREVER);
        }
    }
    pthread_join(thread, NULL);
}

static void ignore_signal(int number)
{
    (void)number;
}

static _Atomic bool returned;

static void *wait_for_a_signal(void *argument)
{
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    int result = pnx__futex_wait(argument, 0, PNX_FOREVER);
    atomic_store(&returned, true);
    return result == 0 ? argument : NULL;
}

static void a_signal_ends_the_wait(void **state)
{
    _Atomic uint32_t word = 0;
    pthread_t thread;
    void *result;
    /* Without SA_RESTART, as a program may have it. */
    const struct sigaction action = {.sa_handler = ignore_signal};
    struct sigaction before;
    sigaction(SIGUSR1, &action, &before);
    atomic_store(&returned, false);
    assert_int_equal(pnx__thread_create(&thread, 0, wait_for_a_signal, &word, "signal"), 0);
    while (!atomic_load(&returned)) {
        pthread_kill(thread, SIGUSR1);
        sched_yield();
    }
    pthread_join(thread, &result);
    sigaction(SIGUSR1, &before, NULL);
    assert_ptr_equal(result, &word);
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    return poll(&pollfd, 1, timeout_ms) == 1 && (pollfd.revents & POLLIN);
}

static void check_flags(int fd)
{
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_false(is_readable(fd, 0));
}

static void an_eventfd_becomes_readable(void **state)
{
    int fd = pnx__eventfd();
    check_flags(fd);
    assert_int_equal(write(fd, &(uint64_t){1}, 8), 8);
    assert_true(is_readable(fd, 0));
    close(fd);
}

static void a_timerfd_fires_when_due(void **state)
{
    int fd = pnx__timerfd();
    uint64_t fired;
    check_flags(fd);

    pnx_time when = pnx__now() + PNX_MS(1);
    assert_int_equal(pnx__timerfd_set(fd, when), 0);
    assert_true(is_readable(fd, -1));
    assert_true(pnx__now() >= when);
    assert_int_equal(read(fd, &fired, sizeof(fired)), sizeof(fired));
    assert_int_equal(fired, 1);
    assert_false(is_readable(fd, 0));
    close(fd);
}

static void a_timerfd_fires_at_once_when_late(void **state)
{
    static const pnx_time past[] = {1, 0, -1, INT64_MIN};
    int fd = pnx__timerfd();
    for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++) {
        assert_int_equal(pnx__timerfd_set(fd, past[i]), 0);
        assert_true(is_readable(fd, -1));
        assert_int_equal(pnx__timerfd_set(fd, PNX_FOREVER), 0);
        assert_false(is_readable(fd, 0));
    }
    close(fd);
}

static void a_timerfd_can_be_far_away_and_disarmed(void **state)
{
    struct itimerspec timer;
    int fd = pnx__timerfd();
    assert_int_equal(pnx__timerfd_set(fd, PNX_FOREVER - 1), 0);
    assert_false(is_readable(fd, 0));
    assert_int_equal(pnx__timerfd_set(fd, PNX_FOREVER), 0);
    assert_int_equal(timerfd_gettime(fd, &timer), 0);
    assert_int_equal(timer.it_value.tv_sec, 0);
    assert_int_equal(timer.it_value.tv_nsec, 0);
    close(fd);
}

static void setting_what_is_no_timerfd_is_told(void **state)
{
    errno = EDOM;
    assert_int_equal(pnx__timerfd_set(-1, 0), EBADF);
    assert_int_equal(errno, EDOM);
}

/* ---- randomness ------------------------------------------------------------------------------ */

#define NUMBERS_EACH 1000
#define CHILDREN 6

static int compare_numbers(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    return (*x > *y) - (*x < *y);
}

static void check_all_different(uint64_t *numbers, size_t count)
{
    qsort(numbers, count, sizeof(numbers[0]), compare_numbers);
    for (size_t i = 1; i < count; i++) {
        assert_true(numbers[i - 1] != numbers[i]);
    }
}

static void *draw(void *argument)
{
    uint64_t *numbers = argument;
    for (size_t i = 0; i < NUMBERS_EACH; i++) {
        numbers[i] = pnx__random64();
    }
    return NULL;
}

static int send_numbers(void *argument)
{
    for (int i = 0; i < NUMBERS_EACH; i++) {
        uint64_t number = pnx__random64();
        child_expect(write(*(const int *)argument, &number, sizeof(number)) == sizeof(number));
    }
    return 0;
}

static void numbers_differ_across_threads_and_forks(void)
{
    static uint64_t numbers[(TEST_THREADS + CHILDREN) * NUMBERS_EACH];
    test_in_threads(draw, numbers, NUMBERS_EACH * sizeof(numbers[0]));
    size_t count = (size_t)TEST_THREADS * NUMBERS_EACH;
    for (int i = 0; i < CHILDREN; i++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        assert_int_equal(test_in_child(send_numbers, &fds[1]), 0);
        close(fds[1]);
        while (read(fds[0], &numbers[count], sizeof(numbers[0])) > 0) {
            count++;
        }
        close(fds[0]);
    }
    assert_int_equal(count, sizeof(numbers) / sizeof(numbers[0]));
    check_all_different(numbers, count);
}

static void random_numbers_are_unique(void **state)
{
    numbers_differ_across_threads_and_forks();
}

static bool no_randomness_and_no_clock(enum pnx__fault point)
{
    return point == PNX__FAULT_RANDOM || point == PNX__FAULT_CLOCK;
}

static void random_numbers_are_unique_without_getrandom(void **state)
{
    /* Also when time stands still for milliseconds: the other clock is the coarse one. */
    pnx__fault_hook = no_randomness_and_no_clock;
    numbers_differ_across_threads_and_forks();
}

static void every_bit_of_a_number_is_random(void **state)
{
    for (int without = 0; without < 2; without++) {
        pnx__fault_hook = without ? no_randomness_and_no_clock : NULL;
        uint64_t ones = ~UINT64_C(0);
        uint64_t any = 0;
        for (int i = 0; i < 200; i++) {
            uint64_t number = pnx__random64();
            ones &= number;
            any |= number;
        }
        assert_true(ones == 0 && any == ~UINT64_C(0));
    }
}

static void drawing_keeps_errno(void **state)
{
    errno = EDOM;
    (void)pnx__random64();
    pnx__fault_hook = no_randomness_and_no_clock;
    (void)pnx__random64();
    assert_int_equal(errno, EDOM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(each_point_fails_when_told_and_only_then, no_faults),
        cmocka_unit_test_teardown(a_thread_needs_memory, no_faults),
        cmocka_unit_test_teardown(a_refused_clock_is_replaced_by_the_other, no_faults),
        cmocka_unit_test(memory_is_zeroed),
        cmocka_unit_test(mapped_memory_is_whole_zeroed_pages),
        cmocka_unit_test(mapping_gigabytes_costs_nothing),
        cmocka_unit_test(too_much_memory_is_null),
        cmocka_unit_test(giving_memory_back_keeps_errno),
        cmocka_unit_test(a_thread_has_all_signals_blocked),
        cmocka_unit_test(a_thread_has_its_name),
        cmocka_unit_test(a_thread_gets_the_stack_it_needs),
        cmocka_unit_test(a_thread_that_cannot_be_made_changes_nothing),
        cmocka_unit_test(a_word_that_differs_does_not_wait),
        cmocka_unit_test(a_past_deadline_does_not_wait),
        cmocka_unit_test(a_deadline_is_reached_and_never_early),
        cmocka_unit_test(a_wake_is_never_lost),
        cmocka_unit_test(threads_can_take_turns),
        cmocka_unit_test(a_signal_ends_the_wait),
        cmocka_unit_test(an_eventfd_becomes_readable),
        cmocka_unit_test(a_timerfd_fires_when_due),
        cmocka_unit_test(a_timerfd_fires_at_once_when_late),
        cmocka_unit_test(a_timerfd_can_be_far_away_and_disarmed),
        cmocka_unit_test(setting_what_is_no_timerfd_is_told),
        cmocka_unit_test(random_numbers_are_unique),
        cmocka_unit_test_teardown(random_numbers_are_unique_without_getrandom, no_faults),
        cmocka_unit_test_teardown(every_bit_of_a_number_is_random, no_faults),
        cmocka_unit_test_teardown(drawing_keeps_errno, no_faults),
    };
    return cmocka_run_group_tests_name("sys", tests, NULL, NULL);
}
