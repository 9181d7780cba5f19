/* SPDX-License-Identifier: MIT */
/*
 * Promises about what runs out: a thread that ends gives back the slots that it had set aside; the
 * limit of resources is exact enough to count on; no threads and no memory are clear errors, from
 * which a registry recovers; and a program that closes descriptors that are not its own is told,
 * does not hang, and loses nothing of its own.
 */
#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static _Atomic int released;

static pnx_status release(int value, const pnx_release *why)
{
    (void)value;
    (void)why;
    atomic_fetch_add(&released, 1);
    return PNX_OK;
}
PNX_KIND(thing, int, release);

/* ---- slots ----------------------------------------------------------------------------------- */

#define SLOTS 4096

static void *take_all_and_end(void *registry)
{
    static thing_guard guards[SLOTS];
    for (unsigned i = 0; i < SLOTS; i++) {
        guards[i] = pnx_reserve(thing, (pnx_registry *)registry, NULL);
        assert_int_equal(guards[i].status, PNX_OK);
    }
    thing_guard one_more = pnx_reserve(thing, (pnx_registry *)registry, NULL);
    assert_int_equal(one_more.status, PNX_ELIMIT);
    for (unsigned i = 0; i < SLOTS; i++) {
        if (i % 2 == 0)
            assert_true(pnx_arm(&guards[i], (int)i));
        pnx_drop(&guards[i]); /* canceled, or released by a worker */
    }
    return NULL;
}

static void *step_all(void *registry)
{
    assert_int_equal(pnx_registry_wait_idle(registry, PNX_FOREVER), PNX_OK);
    return NULL;
}

static void slots_come_back_from_threads_that_end(void **state)
{
    (void)state;
    pnx_registry *registry = NULL;
    const pnx_config config = {.workers = 1,
                               .resources_max = SLOTS,
                               .backlog_high_water = 64,
                               .at_exit = PNX_EXIT_NOTHING,
                               .executor = PNX_MANUAL};
    assert_int_equal(pnx_registry_create(&config, &registry, NULL), PNX_OK);
    for (unsigned long i = 0; i < effort(50); i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, take_all_and_end, registry), 0);
        pthread_join(thread, NULL);
        /* Stepped by a thread that ends too: else it is this one that has them set aside. */
        assert_int_equal(pthread_create(&thread, NULL, step_all, registry), 0);
        pthread_join(thread, NULL);
    }
    pnx_stats stats = {0};
    assert_int_equal(pnx_registry_stats(registry, &stats, NULL), PNX_OK);
    assert_int_equal(stats.slots, SLOTS);
    pnx_stats_done(&stats);
    assert_int_equal(pnx_registry_shutdown(registry, NULL, NULL, NULL), PNX_OK);
    assert_int_equal(pnx_registry_destroy(registry, NULL), PNX_OK);
}

/* ---- threads --------------------------------------------------------------------------------- */

static int no_threads(void)
{
    pnx_error err = {0};
    pnx_registry *registry = NULL;
    const unsigned descriptors = open_descriptors();
    if (geteuid() == 0) /* root is not limited */
        child_check(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
    const struct rlimit none = {.rlim_cur = 1, .rlim_max = 1};
    child_check(setrlimit(RLIMIT_NPROC, &none) == 0);
    child_check(pnx_registry_create(NULL, &registry, &err) == PNX_EFAILED);
    child_check(registry == NULL && err.sys_errno == EAGAIN);
    child_check(strstr(err.message, "thread") != NULL);
    child_check(open_descriptors() == descriptors);
    child_check(pnx_registry_default() == NULL);
    /* By hand it goes. */
    child_check(pnx_registry_create(&(pnx_config){.executor = PNX_MANUAL}, &registry, &err) ==
                PNX_OK);
    thing_guard guard = pnx_reserve(thing, registry, &err);
    child_check(pnx_arm(&guard, 1));
    child_check(pnx_close(&guard, &err) == PNX_OK);
    child_check(released == 1);
    return 0;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static size_t address_space(void)
{
    char line[100] = "";
    FILE *statm = fopen("/proc/self/statm", "re");
    child_check(statm != NULL && fgets(line, sizeof line, statm) != NULL);
    fclose(statm);
    return strtoul(line, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

/* Until then they still map what a thread needs, and unmap what it does not. */
static void wait_until_workers_sleep(pnx_registry *registry, uint64_t count)
{
    pnx_stats stats = {0};
    do {
        sched_yield();
        child_check(pnx_registry_stats(registry, &stats, NULL) == PNX_OK);
        pnx_stats_done(&stats);
    } while (stats.workers_idle < count);
}

static int no_memory(void)
{
    enum { MOST = 400000 };
    pnx_registry *registry = NULL;
    pnx_error err = {0};
    struct rlimit before;
    child_check(pnx_registry_create(&(pnx_config){.workers = 2}, &registry, &err) == PNX_OK);
    static thing_guard guards[MOST];
    child_check(getrlimit(RLIMIT_AS, &before) == 0);
    wait_until_workers_sleep(registry, 2);
    const struct rlimit little = {.rlim_cur = address_space() + (8 << 20),
                                  .rlim_max = before.rlim_max};
    child_check(setrlimit(RLIMIT_AS, &little) == 0);
    for (unsigned round = 0; round < 3; round++) {
        unsigned count = 0;
        while (count < MOST) {
            guards[count] = pnx_reserve(thing, registry, &err);
            if (guards[count].status != PNX_OK)
                break;
            child_check(pnx_arm(&guards[count], 1));
            count++;
        }
        child_check(count > 4096 && count < MOST);
        child_check(guards[count].status == PNX_ENOMEM && err.code == PNX_ENOMEM);
        child_check(strstr(err.message, "memory") != NULL);
        /* All that was promised is kept without memory, and then there is room again. */
        const int had = released;
        while (count > 0)
            pnx_drop(&guards[--count]);
        child_check(pnx_registry_wait_idle(registry, soon()) == PNX_OK);
        child_check(released > had);
        thing_guard again = pnx_reserve(thing, registry, &err);
        child_check(again.status == PNX_OK);
        pnx_drop(&again);
    }
    child_check(setrlimit(RLIMIT_AS, &before) == 0);
    child_check(pnx_registry_shutdown(registry, NULL, NULL, &err) == PNX_OK);
    child_check(pnx_registry_destroy(registry, &err) == PNX_OK);
    return 0;
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static _Atomic int complaints;

static void note_complaint(pnx_log_level level, const char *message, void *context)
{
    (void)context;
    if (level == PNX_LOG_ERROR && strstr(message, "descriptor") != NULL)
        atomic_fetch_add(&complaints, 1);
}

static pnx_registry *make_and_log(void)
{
    pnx_registry *registry = NULL;
    pnx_log_set(note_complaint, NULL, PNX_LOG_WARNING);
    child_check(pnx_registry_create(&(pnx_config){.workers = 2}, &registry, NULL) == PNX_OK);
    return registry;
}

/* A thing with an hour to live, so that the timekeeper sleeps on its descriptor. */
static void add_with_timer(pnx_registry *registry, pnx_duration span)
{
    const int value = 1;
    pnx_id id;
    child_check(pnx_register(registry, thing_kind, &value, PNX_HERE, &id, NULL) == PNX_OK);
    child_check(pnx_expire_after(registry, id, span) == PNX_OK);
}

static void end_in_time(pnx_registry *registry)
{
    const pnx_time began = pnx_monotonic_now();
    pnx_error err = {0};
    child_check(pnx_registry_shutdown(registry, NULL, NULL, &err) == PNX_OK);
    child_check(pnx_registry_destroy(registry, &err) == PNX_OK);
    child_check(pnx_monotonic_now() - began < SOON);
}

static void close_all(void)
{
    for (int fd = 3; fd < 256; fd++)
        close(fd);
}

/* What daemons do, and some programs before they exec. */
static int all_descriptors_closed(void)
{
    pnx_registry *registry = make_and_log();
    add_with_timer(registry, PNX_S(3600));
    close_all();
    add_with_timer(registry, PNX_S(60));
    child_check(complaints > 0);
    thing_guard guard = pnx_reserve(thing, registry, NULL);
    child_check(pnx_arm(&guard, 1));
    child_check(pnx_close(&guard, NULL) == PNX_OK); /* releases need no descriptor */
    end_in_time(registry);
    child_check(released == 3);
    return 0;
}

/* The numbers are other files' by then: nothing is read from them. */
static int numbers_reused(void)
{
    pnx_registry *registry = make_and_log();
    add_with_timer(registry, PNX_MS(20));
    close_all();
    const uint64_t full = 7;
    int others[16];
    for (unsigned i = 0; i < 16; i++) {
        others[i] = eventfd((unsigned)full, EFD_NONBLOCK);
        child_check(others[i] >= 0);
    }
    child_check(wait_for(atomic_load(&released) == 1 || atomic_load(&complaints) > 0));
    child_check(pnx_registry_shutdown(registry, NULL, NULL, NULL) == PNX_OK);
    for (unsigned i = 0; i < 16; i++) {
        uint64_t value = 0;
        child_check(read(others[i], &value, sizeof value) == sizeof value);
        child_check(value == full);
    }
    return 0;
}

/* ---- the tests ------------------------------------------------------------------------------- */

static const struct child_case cases[] = {
#define CASE(function)                                                                             \
    {                                                                                              \
#function, function                                                                        \
    }
    CASE(no_threads),
    CASE(no_memory),
    CASE(all_descriptors_closed),
    CASE(numbers_reused),
};

static void no_thread_is_a_clear_error(void **state)
{
    (void)state;
    expect_child("no_threads", NULL, 0);
}

static void no_memory_is_a_clear_error_and_passes(void **state)
{
    (void)state;
    if (SANITIZED)
        skip(); /* sanitizers map more than any limit */
    expect_child("no_memory", NULL, 0);
}

static void closed_descriptors_are_told_and_hang_nothing(void **state)
{
    (void)state;
    if (UNDER_TSAN) /* it is blind after a cancellation inside poll(2) */
        skip();
    expect_child("all_descriptors_closed", NULL, 0);
}

static void descriptors_of_others_are_left_alone(void **state)
{
    (void)state;
    expect_child("numbers_reused", NULL, 0);
}

int main(int argc, char **argv)
{
    int status;
    if (child_ran(argc, argv, cases, sizeof cases / sizeof *cases, &status))
        return status;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_come_back_from_threads_that_end),
        cmocka_unit_test(no_thread_is_a_clear_error),
        cmocka_unit_test(no_memory_is_a_clear_error_and_passes),
        cmocka_unit_test(closed_descriptors_are_told_and_hang_nothing),
        cmocka_unit_test(descriptors_of_others_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
