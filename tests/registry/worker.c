/* SPDX-License-Identifier: MIT */
/* Workers: those that hang or end are replaced, within bounds, and nothing else suffers. */
#include "support.h"

#include <signal.h>

PNX_KIND(plain, pnx_test_resource *, pnx_test_release, .timeout = PNX_FOREVER);
PNX_KIND(brief, pnx_test_resource *, pnx_test_release, .timeout = PNX_MS(20));
PNX_KIND(backed, pnx_test_resource *, pnx_test_release, .timeout = PNX_FOREVER, .retries = 1,
         .retry_delay = PNX_MS(1), .fallback = pnx_test_fallback);
PNX_KIND(quick, pnx_test_resource *, pnx_test_release, .flags = PNX_QUICK);

/* Teaches workers to take many at a time. */
static void warm_up(pnx_registry *registry)
{
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    for (int i = 0; i < 2000; i++)
        dropped(registry, plain_kind, b);
    assert_idle(registry);
    pnx_test_resource_free(b);
}

/* ---- hanging --------------------------------------------------------------------------------- */

static void hung_workers_are_replaced_within_bounds(void **state)
{
    enum { WORKERS = 2, MOST = 5 };
    pnx_registry *registry = made(&(pnx_config){.workers = WORKERS, .workers_max = MOST});
    pnx_test_resource *hung[MOST + 1], *b = pnx_test_resource_new("b", NULL);
    unsigned begun = 0;
    for (int i = 0; i <= MOST; i++) {
        hung[i] = pnx_test_resource_new("hung", NULL);
        pnx_test_always(hung[i], PNX_TEST_HANG);
    }
    for (int i = 0; i < MOST; i++) {
        dropped(registry, brief_kind, hung[i]);
        assert_ok(pnx_test_wait_begun(hung[i], 1, PNX_TEST_PATIENCE));
        wait_until(counts(registry).abandoned == (uint64_t)i + 1);
        if (i < MOST - 1) {
            dropped(registry, plain_kind, b);
            assert_ok(pnx_test_wait_begun(b, ++begun, PNX_TEST_PATIENCE));
        }
    }
    wait_until(stats_of(registry).workers_hung == MOST);
    pnx_stats stats = stats_of(registry);
    assert_int_equal(stats.workers, MOST);
    assert_int_equal(stats.workers_max, MOST);
    assert_int_equal(stats.workers_replaced, MOST - WORKERS);
    assert_int_equal(pnx_registry_health(registry, NULL, NULL), PNX_HEALTH_FAILING);
    /* All hang: what is dropped waits. */
    dropped(registry, plain_kind, b);
    assert_int_equal(counts(registry).queued, 1);
    assert_int_equal(pnx_test_recorded(b).attempts, begun);
    /* One comes back: it goes on as a worker. */
    pnx_test_let_go(hung[0]);
    assert_ok(pnx_test_wait_begun(b, ++begun, PNX_TEST_PATIENCE));
    /* All do: those that were replaced end. */
    for (int i = 1; i < MOST; i++)
        pnx_test_let_go(hung[i]);
    wait_until(stats_of(registry).workers == WORKERS && stats_of(registry).workers_hung == 0);
    assert_idle(registry);
    assert_int_equal(counts(registry).late, MOST);
    dropped(registry, plain_kind, b);
    assert_ok(pnx_test_wait_begun(b, ++begun, PNX_TEST_PATIENCE));
    finish(registry);
    for (int i = 0; i <= MOST; i++)
        pnx_test_resource_free(hung[i]);
    pnx_test_resource_free(b);
}

/* Without a timeout nobody declares it late; but what lies behind it goes on nevertheless. */
static void what_is_behind_a_long_release_goes_on(void **state)
{
    pnx_registry *registry = with_workers(2);
    warm_up(registry);
    for (size_t round = effort(30); round > 0; round--) {
        pnx_test_resource *slow = pnx_test_resource_new("slow", NULL);
        pnx_test_resource *b = pnx_test_resource_new("b", NULL);
        pnx_test_always(slow, PNX_TEST_HANG);
        pnx_test_occupation *occupied = pnx_test_occupy(registry, 0, NULL);
        assert_non_null(occupied);
        for (int i = 0; i < 10; i++)
            dropped(registry, plain_kind, b);
        dropped(registry, plain_kind, slow);
        for (int i = 0; i < 50; i++)
            dropped(registry, plain_kind, b);
        pnx_test_vacate(occupied);
        assert_ok(pnx_test_wait_begun(b, 60, PNX_TEST_PATIENCE));
        assert_ok(pnx_test_wait_begun(slow, 1, PNX_TEST_PATIENCE));
        /* And what comes later. */
        dropped(registry, plain_kind, b);
        assert_ok(pnx_test_wait_begun(b, 61, PNX_TEST_PATIENCE));
        assert_int_equal(pnx_test_recorded(slow).running, 1);
        pnx_test_let_go(slow);
        assert_idle(registry);
        assert_int_equal(pnx_test_recorded(b).attempts, 61);
        assert_int_equal(pnx_test_recorded(slow).attempts, 1);
        pnx_test_resource_free(slow);
        pnx_test_resource_free(b);
    }
    finish(registry);
}

/* As many long ones as there are workers but one: the last one serves all the others. */
static void one_free_worker_is_enough(void **state)
{
    for (unsigned workers = 2; workers <= 5; workers++) {
        pnx_registry *registry = with_workers(workers);
        pnx_test_resource *slow[4], *b = pnx_test_resource_new("b", NULL);
        for (unsigned i = 0; i < workers - 1; i++) {
            slow[i] = pnx_test_resource_new("slow", NULL);
            pnx_test_always(slow[i], PNX_TEST_HANG);
            dropped(registry, plain_kind, slow[i]);
        }
        for (unsigned i = 1; i <= 200; i++) {
            dropped(registry, plain_kind, b);
            if (i % 10 == 0)
                assert_ok(pnx_test_wait_begun(b, i, PNX_TEST_PATIENCE));
        }
        for (unsigned i = 0; i < workers - 1; i++)
            pnx_test_let_go(slow[i]);
        assert_idle(registry);
        finish(registry);
        for (unsigned i = 0; i < workers - 1; i++)
            pnx_test_resource_free(slow[i]);
        pnx_test_resource_free(b);
    }
}

/* ---- ending ---------------------------------------------------------------------------------- */

static void a_release_that_ends_its_thread_has_failed(void **state)
{
    pnx_registry *registry = with_workers(2);
    pnx_test_monitor *monitor = pnx_test_monitor_new(registry, NULL);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    pnx_test_always(b, PNX_TEST_EXIT_THREAD);
    const pnx_id id = dropped(registry, plain_kind, b);
    assert_idle(registry);
    assert_string_equal(pnx_test_monitor_text(monitor, 0), "registered plain 1\n"
                                                           "scheduled plain 1: normal, explicit\n"
                                                           "started plain 1: attempt 1\n"
                                                           "failed plain 1: attempt 1, failed\n");
    assert_int_equal(pnx_registry_state(registry, id), PNX_FAILED);
    wait_until(stats_of(registry).workers == 2);
    wait_until(stats_of(registry).workers_replaced == 1);
    (void)pnx_registry_forget_failed(registry);
    pnx_test_monitor_free(monitor);
    finish(registry);
    pnx_test_resource_free(b);
}

static void it_is_retried_and_falls_back(void **state)
{
    pnx_registry *registry = with_workers(2);
    pnx_test_log *log = pnx_test_log_new();
    pnx_test_resource *b = pnx_test_resource_new("b", log);
    pnx_test_always(b, PNX_TEST_EXIT_THREAD);
    dropped(registry, backed_kind, b);
    assert_idle(registry);
    assert_string_equal(pnx_test_log_text(log), "release b\nrelease b\nfallback b\n");
    assert_int_equal(counts(registry).done, 1);
    finish(registry);
    pnx_test_resource_free(b);
    pnx_test_log_free(log);
}

/* The last worker there may be, again and again: there is always another one. */
static void there_is_always_another_worker(void **state)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        pnx_registry *registry = made(&(pnx_config){.workers = workers, .workers_max = workers});
        pnx_test_resource *b = pnx_test_resource_new("b", NULL);
        pnx_test_always(b, PNX_TEST_EXIT_THREAD);
        const size_t many = effort(300);
        for (size_t i = 0; i < many; i++)
            dropped(registry, plain_kind, b);
        assert_idle(registry);
        assert_int_equal(counts(registry).failed, many);
        assert_int_equal(pnx_test_recorded(b).attempts, many);
        wait_until(stats_of(registry).workers == workers);
        (void)pnx_registry_forget_failed(registry);
        finish(registry);
        pnx_test_resource_free(b);
    }
}

/* The batch that it was part of goes on, in its order. */
static void the_rest_of_its_batch_goes_on(void **state)
{
    pnx_registry *registry = with_workers(1);
    warm_up(registry);
    pnx_test_log *log = pnx_test_log_new();
    pnx_test_resource *deadly = pnx_test_resource_new("deadly", log);
    pnx_test_always(deadly, PNX_TEST_EXIT_THREAD);
    pnx_test_resource *many[20];
    pnx_test_log *expected = pnx_test_log_new();
    pnx_test_occupation *occupied = pnx_test_occupy(registry, 0, NULL);
    for (int i = 0; i < 20; i++) {
        char name[8];
        if (i == 5 || i == 11) {
            dropped(registry, plain_kind, deadly);
            pnx_test_log_add(expected, "release deadly");
        }
        snprintf(name, sizeof name, "%d", i);
        many[i] = pnx_test_resource_new(name, log);
        dropped(registry, plain_kind, many[i]);
        pnx_test_log_add(expected, "release %d", i);
    }
    pnx_test_vacate(occupied);
    assert_idle(registry);
    assert_string_equal(pnx_test_log_text(log), pnx_test_log_text(expected));
    (void)pnx_registry_forget_failed(registry);
    finish(registry);
    for (int i = 0; i < 20; i++)
        pnx_test_resource_free(many[i]);
    pnx_test_resource_free(deadly);
    pnx_test_log_free(expected);
    pnx_test_log_free(log);
}

struct closer {
    pnx_registry *registry;
    pnx_id id;
};

static void *close_inline(void *argument)
{
    struct closer *closer = argument;
    (void)pnx_release_now(closer->registry, closer->id, PNX_FOREVER, NULL);
    return argument; /* not reached */
}

/* Inline it ends the caller's thread, who asked for it; the account is right all the same. */
static void ending_the_thread_inline_is_a_failure_too(void **state)
{
    pnx_registry *registry = with_workers(1);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    pnx_test_always(b, PNX_TEST_EXIT_THREAD);
    struct closer closer = {registry, put(registry, quick_kind, b)};
    pthread_t thread;
    void *answer;
    assert_int_equal(pthread_create(&thread, NULL, close_inline, &closer), 0);
    pthread_join(thread, &answer);
    assert_null(answer);
    assert_int_equal(pnx_registry_state(registry, closer.id), PNX_FAILED);
    assert_idle(registry);
    assert_int_equal(counts(registry).failed, 1);
    (void)pnx_registry_forget_failed(registry);
    finish(registry);
    pnx_test_resource_free(b);
}

/* ---- what a release finds around it ---------------------------------------------------------- */

static pthread_t canceled_worker;
static int cancel_state = -1;
static bool all_blocked;
static char thread_name[16];

static pnx_status look_around(void *value, const pnx_release *why)
{
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    all_blocked = true;
    static const int signals[] = {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGCHLD, SIGALRM, SIGPIPE};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        all_blocked &= sigismember(&blocked, signals[i]) == 1;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    pthread_getname_np(pthread_self(), thread_name, sizeof thread_name);
    canceled_worker = pthread_self();
    return PNX_OK;
}

static const pnx_kind curious_kind = {.name = "curious", .release = look_around};

static void signals_are_blocked_and_cancellation_is_disabled(void **state)
{
    pnx_registry *registry = with_workers(1);
    dropped(registry, &curious_kind, NULL);
    assert_idle(registry);
    assert_true(all_blocked);
    assert_int_equal(cancel_state, PTHREAD_CANCEL_DISABLE);
    assert_memory_equal(thread_name, "pnx", 3);
    finish(registry);
}

/* ---- idle ------------------------------------------------------------------------------------ */

/* Nothing wakes anybody: all workers sleep, and no time is waited for. */
static void idle_costs_nothing(void **state)
{
    pnx_registry *registry = with_workers(3);
    warm_up(registry);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    pnx_test_fail(b, 1, PNX_EBUSY);
    dropped(registry, backed_kind, b); /* a retry, so a timer, too */
    assert_idle(registry);
    wait_until(atomic_load(&registry->idle) == 3);
    wait_until(atomic_load(&registry->wake_at) == PNX_FOREVER);
    pnx_stats stats = stats_of(registry);
    assert_int_equal(stats.workers_idle, 3);
    assert_int_equal(stats.timers, 0);
    finish(registry);
    pnx_test_resource_free(b);
}

/* Dropped one at a time, just when the workers are about to sleep: no wake-up is lost. */
static void no_wake_up_is_lost(void **state)
{
    pnx_registry *registry = with_workers(2);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    pnx__random random = seeded();
    for (size_t i = 1, rounds = effort(60000); i <= rounds; i++) {
        for (uint64_t spin = pnx__random_below(&random, 500); spin > 0; spin--)
            pnx__pause();
        dropped(registry, plain_kind, b);
        if (i % 3 == 0)
            assert_ok(pnx_test_wait_begun(b, (unsigned)i, PNX_TEST_PATIENCE));
        if (i % 7 == 0)
            assert_ok(pnx_registry_wait_idle(registry, patience()));
    }
    assert_idle(registry);
    finish(registry);
    pnx_test_resource_free(b);
}

/* ---- what the timekeeper sees ---------------------------------------------------------------- */

struct watched_worker {
    pnx__watch watch;
    pnx__slot slots[2];
    _Atomic bool over;
};

/* Runs that look alike: of slots used as often, whose words are the same. */
static void *begin_and_end(void *argument)
{
    struct watched_worker *writer = argument;
    for (int64_t run = 0; !atomic_load(&writer->over); run++) {
        pnx__watch_begin(&writer->watch, &writer->slots[run % 2], PNX_RUNNING, run);
        pnx__watch_end(&writer->watch);
    }
    return NULL;
}

/* Else one that has just begun could be declared late, for the one before it was. */
static void a_run_is_seen_whole_or_not_at_all(void **state)
{
    static struct watched_worker writer;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, begin_and_end, &writer), 0);
    const pnx_time end = pnx_monotonic_now() + PNX_S(20);
    size_t seen = 0, mixed = 0, again = 0;
    int64_t last = -1;
    /* Different ones: on a busy machine the two threads rarely run at the same time. */
    for (const size_t enough = effort(200000); seen < enough && pnx_monotonic_now() < end;) {
        pnx__watched run;
        if (!pnx__watch_read(&writer.watch, &run))
            continue;
        seen += run.since != last;
        last = run.since;
        mixed += run.slot != &writer.slots[run.since % 2] || run.word != PNX_RUNNING ||
                 run.number != 2 * (uint64_t)run.since + 1;
        again += pnx__watch_is(&writer.watch, run.number - 2);
    }
    atomic_store(&writer.over, true);
    pthread_join(thread, NULL);
    assert_true(seen > 0);
    assert_int_equal(mixed, 0);
    assert_int_equal(again, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hung_workers_are_replaced_within_bounds),
        cmocka_unit_test(what_is_behind_a_long_release_goes_on),
        cmocka_unit_test(one_free_worker_is_enough),
        cmocka_unit_test(a_release_that_ends_its_thread_has_failed),
        cmocka_unit_test(it_is_retried_and_falls_back),
        cmocka_unit_test(there_is_always_another_worker),
        cmocka_unit_test(the_rest_of_its_batch_goes_on),
        cmocka_unit_test(ending_the_thread_inline_is_a_failure_too),
        cmocka_unit_test(signals_are_blocked_and_cancellation_is_disabled),
        cmocka_unit_test(idle_costs_nothing),
        cmocka_unit_test(no_wake_up_is_lost),
        cmocka_unit_test(a_run_is_seen_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
