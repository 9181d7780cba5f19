/* SPDX-License-Identifier: MIT */
/* The end of a registry on a loop: in the background, reported, and with nothing left behind. */
#include "support.h"

static void closes_an_idle_one(void **state)
{
    (void)state;
    close_with(NULL);
    assert_int_equal(last_status, PNX_OK);
    assert_int_equal(last_report.survivor_count, 0);
    assert_int_equal(last_report.leaked, 0);
}

static void releases_what_is_queued_and_what_leaked(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10; i++)
        (void)drop_thing();
    for (unsigned i = 0; i < 3; i++)
        (void)register_thing(thing_kind);
    close_with(NULL);
    assert_int_equal(released, 13);
    assert_int_equal(on_loop_thread, 13);
    assert_int_equal(last_status, PNX_OK);
    assert_int_equal(last_report.released, 13);
    assert_int_equal(last_report.leaked, 3);
    assert_int_equal(last_report.counts.leaked, 3);
}

static void keeps_what_is_live_if_told_so(void **state)
{
    (void)state;
    (void)register_thing(thing_kind);
    (void)drop_thing();
    close_with(&(pnx_shutdown_options){.live = PNX_LIVE_KEEP});
    assert_int_equal(released, 1);
    assert_int_equal(last_status, PNX_EFAILED);
    assert_int_equal(last_report.survivor_count, 1);
    assert_int_equal(last_report.leaked, 0);
}

/* The loop must turn while it is shut down: only its own callbacks complete these. */
struct socket {
    uv_tcp_t tcp;
    pnx_token token;
};

static void socket_closed(uv_handle_t *handle)
{
    struct socket *socket = handle->data;
    assert_int_equal(pnx_complete(socket->token, PNX_OK), PNX_OK);
}

static pnx_status close_socket(struct socket *socket, const pnx_release *why)
{
    socket->token = pnx_release_token(why);
    uv_close((uv_handle_t *)&socket->tcp, socket_closed);
    return PNX_PENDING;
}
PNX_KIND(socket, struct socket *, close_socket);

static void the_loop_turns_while_it_drains(void **state)
{
    (void)state;
    struct socket sockets[5];
    for (unsigned i = 0; i < 5; i++) {
        struct socket *socket = &sockets[i];
        pnx_id id;
        assert_int_equal(uv_tcp_init(&loop, &socket->tcp), 0);
        socket->tcp.data = socket;
        assert_int_equal(pnx_register(registry, socket_kind, &socket, PNX_HERE, &id, NULL), PNX_OK);
    }
    close_with(NULL);
    assert_int_equal(last_status, PNX_OK);
    assert_int_equal(last_report.released, 5);
    assert_int_equal(last_report.leaked, 5);
    assert_false(last_report.deadline_hit);
}

static pnx_status never(int value, const pnx_release *why)
{
    (void)value, (void)why;
    count_release();
    return PNX_PENDING;
}
PNX_KIND(hung, int, never, .timeout = PNX_FOREVER);

static void lists_what_does_not_end(void **state)
{
    (void)state;
    (void)register_thing(hung_kind);
    close_with(&(pnx_shutdown_options){.grace = PNX_MS(20), .hard = PNX_MS(1)});
    assert_int_equal(last_status, PNX_EFAILED);
    assert_true(last_report.deadline_hit);
    assert_int_equal(last_report.survivor_count, 1);
    assert_int_equal(last_report.counts.abandoned, 1);
    assert_true(last_report.took >= PNX_MS(20));
}

static pnx_status give_in(int value, const pnx_release *why)
{
    (void)value;
    assert_true(why->fallback);
    return PNX_OK;
}
PNX_KIND(forced, int, never, .timeout = PNX_FOREVER, .flags = PNX_FALLBACK_CONCURRENT,
         .fallback = give_in);

static void falls_back_when_the_grace_is_over(void **state)
{
    (void)state;
    (void)register_thing(forced_kind);
    close_with(&(pnx_shutdown_options){.grace = PNX_MS(5), .hard = PNX_S(60)});
    assert_int_equal(last_status, PNX_OK);
    assert_true(last_report.deadline_hit);
    assert_int_equal(last_report.counts.fallbacks, 1);
}

static pnx_status close_the_registry(int value, const pnx_release *why)
{
    (void)value, (void)why;
    assert_int_equal(pnx_uv_close(uv, NULL, on_closed, NULL), PNX_OK);
    return PNX_OK;
}
PNX_KIND(last_one, int, close_the_registry);

static void may_be_called_from_a_release(void **state)
{
    (void)state;
    (void)register_thing(thing_kind);
    {
        pnx_auto(last_one) guard = pnx_reserve(last_one, registry, NULL);
        assert_true(pnx_arm(&guard, 1));
    }
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(closed_calls, 1);
    assert_int_equal(released, 1);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void closes_only_once_and_takes_nothing_in(void **state)
{
    (void)state;
    assert_int_equal(pnx_uv_close(uv, NULL, on_closed, NULL), PNX_OK);
    assert_int_equal(pnx_uv_close(uv, NULL, on_closed, NULL), PNX_EALREADY);
    pnx_auto(thing) guard = pnx_reserve(thing, registry, NULL);
    assert_int_equal(guard.status, PNX_ESHUTDOWN);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(closed_calls, 1);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void a_guard_that_stays_longer_releases_inline(void **state)
{
    (void)state;
    pnx_auto(thing) guard = pnx_reserve(thing, registry, NULL);
    assert_true(pnx_arm(&guard, 1));
    close_with(&(pnx_shutdown_options){.live = PNX_LIVE_KEEP});
    assert_int_equal(released, 0);
    pnx_drop(&guard);
    assert_int_equal(released, 1);
}

static _Atomic unsigned stop, droppers;

static void *drop_until_told(void *unused)
{
    pnx_status status = PNX_OK;
    atomic_fetch_add(&droppers, 1);
    while (status == PNX_OK) {
        pnx_auto(thing) guard = pnx_reserve(thing, registry, NULL);
        status = guard.status;
        if (status == PNX_OK)
            (void)pnx_arm(&guard, 1);
    }
    assert_int_equal(status, PNX_ESHUTDOWN);
    atomic_fetch_add(&stop, 1);
    return unused;
}

static void count_down(uv_timer_t *timer)
{
    /* The droppers have heard of the shutdown and left: nobody uses the registry any more. */
    if (atomic_load(&stop) < 3)
        return;
    assert_int_equal(pnx_uv_close(uv, NULL, on_closed, NULL), PNX_OK);
    uv_close((uv_handle_t *)timer, NULL);
}

static void other_threads_may_drop_until_the_end(void **state)
{
    (void)state;
    pthread_t threads[3];
    uv_timer_t timer;
    stop = droppers = 0;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, drop_until_told, NULL), 0);
    turn_until(&released, 1000);
    pnx_request_shutdown(registry);
    (void)uv_timer_init(&loop, &timer);
    (void)uv_timer_start(&timer, count_down, 0, 1);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(closed_calls, 1);
    assert_int_equal(last_status, PNX_OK);
    assert_int_equal(last_report.counts.done, last_report.counts.registered);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(closes_an_idle_one),
        TEST(releases_what_is_queued_and_what_leaked),
        TEST(keeps_what_is_live_if_told_so),
        TEST(the_loop_turns_while_it_drains),
        TEST(lists_what_does_not_end),
        TEST(falls_back_when_the_grace_is_over),
        TEST(may_be_called_from_a_release),
        TEST(closes_only_once_and_takes_nothing_in),
        TEST(a_guard_that_stays_longer_releases_inline),
        TEST(other_threads_may_drop_until_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
