/* SPDX-License-Identifier: MIT */
/* Releases in libuv's thread pool. */
#include "support.h"

#include <signal.h>

static _Atomic unsigned running, most_running;

static pnx_status release_slowly(int value, const pnx_release *why)
{
    sigset_t blocked;
    const unsigned now = atomic_fetch_add(&running, 1) + 1;
    unsigned most = atomic_load(&most_running);
    while (most < now && !atomic_compare_exchange_weak(&most_running, &most, now)) {
    }
    assert_int_equal(value, 1);
    assert_true(why->deadline > pnx_registry_now(why->registry));
    (void)pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    assert_true(sigismember(&blocked, SIGTERM) == 1 || is_loop_thread());
    count_release();
    atomic_fetch_sub(&running, 1);
    return PNX_OK;
}
PNX_UV_POOL(release_in_pool, int, release_slowly)
PNX_KIND(pooled, int, release_in_pool, .max_concurrency = 2);

static void drop_pooled(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        pnx_auto(pooled) guard = pnx_reserve(pooled, registry, NULL);
        assert_true(pnx_arm(&guard, 1));
    }
}

static void runs_in_the_pool_and_keeps_the_loop_alive(void **state)
{
    (void)state;
    most_running = 0;
    drop_pooled(20);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(released, 20);
    assert_int_equal(on_loop_thread, 0);
    assert_in_range(most_running, 1, 2);
    assert_int_equal(counts_now().done, 20);
}

static void runs_here_when_somebody_waits_on_the_loop_thread(void **state)
{
    (void)state;
    pnx_auto(pooled) guard = pnx_reserve(pooled, registry, NULL);
    assert_true(pnx_arm(&guard, 1));
    assert_int_equal(pnx_close(&guard, NULL), PNX_OK);
    assert_int_equal(on_loop_thread, 1);
}

static void runs_on_the_workers_of_another_registry(void **state)
{
    (void)state;
    pnx_registry *threads;
    assert_int_equal(pnx_registry_create(NULL, &threads, NULL), PNX_OK);
    {
        pnx_auto(pooled) guard = pnx_reserve(pooled, threads, NULL);
        assert_true(pnx_arm(&guard, 1));
    }
    assert_int_equal(pnx_registry_wait_idle(threads, PNX_FOREVER), PNX_OK);
    assert_int_equal(released, 1);
    assert_int_equal(on_loop_thread, 0);
    assert_int_equal(pnx_registry_shutdown(threads, NULL, NULL, NULL), PNX_OK);
    assert_int_equal(pnx_registry_destroy(threads, NULL), PNX_OK);
}

static void close_waits_for_the_pool(void **state)
{
    (void)state;
    drop_pooled(5);
    close_with(NULL);
    assert_int_equal(released, 5);
    assert_int_equal(last_status, PNX_OK);
}

/* ---- late ------------------------------------------------------------------------------------ */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static _Atomic unsigned at_gate;

static void wait_at_gate(uv_work_t *request)
{
    (void)request;
    atomic_fetch_add(&at_gate, 1);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

/* As libuv's own tests do: what is queued next cannot begin before the gate opens. */
static void saturate(uv_work_t requests[4])
{
    at_gate = 0;
    pthread_mutex_lock(&gate);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(uv_queue_work(&loop, &requests[i], wait_at_gate, NULL), 0);
    while (atomic_load(&at_gate) < 4)
        (void)uv_run(&loop, UV_RUN_NOWAIT);
}

static pnx_status release_any(int value, const pnx_release *why)
{
    (void)value, (void)why;
    count_release();
    return PNX_OK;
}
PNX_UV_POOL(release_any_in_pool, int, release_any)
static pnx_status give_up(int value, const pnx_release *why)
{
    (void)value, (void)why;
    return PNX_OK;
}
PNX_KIND(taken_over, int, release_any_in_pool, .flags = PNX_FALLBACK_CONCURRENT,
         .timeout = PNX_MS(5), .fallback = give_up);
PNX_KIND(alone, int, release_any_in_pool, .timeout = PNX_MS(5));

static void late_before_it_began_does_not_begin_after_its_fallback(void **state)
{
    (void)state;
    uv_work_t requests[4];
    saturate(requests);
    {
        pnx_auto(taken_over) guard = pnx_reserve(taken_over, registry, NULL);
        assert_true(pnx_arm(&guard, 1));
    }
    while (counts_now().done == 0)
        (void)uv_run(&loop, UV_RUN_ONCE);
    pthread_mutex_unlock(&gate);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(released, 0);
    assert_int_equal(counts_now().fallbacks, 1);
}

static void late_before_it_began_runs_when_nobody_else_will(void **state)
{
    (void)state;
    uv_work_t requests[4];
    saturate(requests);
    {
        pnx_auto(alone) guard = pnx_reserve(alone, registry, NULL);
        assert_true(pnx_arm(&guard, 1));
    }
    while (counts_now().abandoned == 0)
        (void)uv_run(&loop, UV_RUN_ONCE);
    pthread_mutex_unlock(&gate);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(released, 1);
    assert_int_equal(counts_now().late, 1);
    close_with(NULL);
    assert_int_equal(last_report.survivor_count, 0);
}

static void a_value_that_is_too_large_is_refused(void **state)
{
    (void)state;
    const char value[PNX_VALUE_MAX + 1] = {0};
    const pnx_release why = {.registry = registry};
    assert_int_equal(pnx_uv_work(&why, NULL, value, sizeof value), PNX_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(runs_in_the_pool_and_keeps_the_loop_alive),
        TEST(runs_here_when_somebody_waits_on_the_loop_thread),
        TEST(runs_on_the_workers_of_another_registry),
        TEST(close_waits_for_the_pool),
        TEST(late_before_it_began_does_not_begin_after_its_fallback),
        TEST(late_before_it_began_runs_when_nobody_else_will),
        TEST(a_value_that_is_too_large_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
