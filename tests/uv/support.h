/* SPDX-License-Identifier: MIT */
/* A loop with a registry on it, and kinds whose releases tell who ran them. */
#ifndef TESTS_UV_SUPPORT_H
#define TESTS_UV_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <patinox/patinox.h>
#include <patinox/uv.h>
#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

static uv_loop_t loop;
static pnx_uv *uv;
static pnx_registry *registry;
static pthread_t loop_thread;
static uv_async_t keeper;   /* of the test's own, as programs have whose other threads drop */
static uv_prepare_t looker; /* see turn_until */

static _Atomic unsigned released, on_loop_thread;
static pnx_report last_report; /* without its survivors */
static pnx_status last_status;
static unsigned closed_calls;

static bool is_loop_thread(void)
{
    return pthread_equal(pthread_self(), loop_thread) != 0;
}

static void count_release(void)
{
    atomic_fetch_add(&on_loop_thread, is_loop_thread());
    atomic_fetch_add(&released, 1);
}

static pnx_status release_thing(int value, const pnx_release *why)
{
    (void)value, (void)why;
    count_release();
    return PNX_OK;
}
PNX_KIND(thing, int, release_thing);

static inline pnx_id drop_thing(void)
{
    pnx_auto(thing) guard = pnx_reserve(thing, registry, NULL);
    assert_int_equal(guard.status, PNX_OK);
    assert_true(pnx_arm(&guard, 1));
    return pnx_id_of(&guard);
}

static inline pnx_id register_thing(const pnx_kind *kind)
{
    pnx_id id = PNX_ID_NONE;
    int value = 1;
    assert_int_equal(pnx_register(registry, kind, &value, PNX_HERE, &id, NULL), PNX_OK);
    return id;
}

static void on_closed(const pnx_report *report, pnx_status status, void *context)
{
    (void)context;
    last_report = *report;
    last_report.survivors = NULL;
    last_status = status;
    closed_calls++;
    uv_close((uv_handle_t *)&keeper, NULL);
    uv_close((uv_handle_t *)&looker, NULL);
}

static inline void open_with(const pnx_config *config)
{
    pnx_error err = {0};
    released = on_loop_thread = 0;
    closed_calls = 0;
    loop_thread = pthread_self();
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_async_init(&loop, &keeper, NULL), 0);
    uv_unref((uv_handle_t *)&keeper);
    assert_int_equal(uv_prepare_init(&loop, &looker), 0);
    if (pnx_uv_create(&loop, config, &uv, &err) != PNX_OK)
        fail_msg("%s", err.message);
    registry = pnx_uv_registry(uv);
    /* The first turn. */
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
}

static inline void close_with(const pnx_shutdown_options *options)
{
    assert_int_equal(pnx_uv_close(uv, options, on_closed, NULL), PNX_OK);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(closed_calls, 1);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static inline int set_up(void **state)
{
    (void)state;
    open_with(NULL);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    if (closed_calls == 0)
        close_with(NULL);
    return 0;
}

struct awaited {
    _Atomic unsigned *counter;
    unsigned wanted;
};

static inline bool is_there(const struct awaited *awaited)
{
    return atomic_load(awaited->counter) >= awaited->wanted;
}

/* Timers come before the loop sleeps: with what they have done there may be nothing to wait for. */
static void look(uv_prepare_t *prepare)
{
    if (is_there(prepare->data))
        uv_stop(&loop);
}

/* Turns the loop until `*counter` is `wanted`, however long that takes. */
static inline void turn_until(_Atomic unsigned *counter, unsigned wanted)
{
    struct awaited awaited = {counter, wanted};
    looker.data = &awaited;
    uv_ref((uv_handle_t *)&keeper);
    assert_int_equal(uv_prepare_start(&looker, look), 0);
    while (!is_there(&awaited))
        (void)uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(uv_prepare_stop(&looker), 0);
    uv_unref((uv_handle_t *)&keeper);
}

/* Another thread counts, and makes turn_until look. */
static inline void tell(_Atomic unsigned *counter)
{
    atomic_fetch_add(counter, 1);
    (void)uv_async_send(&keeper);
}

static inline pnx_counts counts_now(void)
{
    pnx_counts counts;
    pnx_registry_counts(registry, &counts);
    assert_int_equal(pnx_counts_imbalance(&counts), 0);
    return counts;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

#endif
