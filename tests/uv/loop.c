/* SPDX-License-Identifier: MIT */
/* A registry that a libuv loop steps: who runs what, when the loop wakes, what keeps it alive. */
#include "support.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- dropping -------------------------------------------------------------------------------- */

static void drops_of_the_loop_thread_run_before_the_loop_ends(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        (void)drop_thing();
    assert_int_equal(released, 0);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(released, 1000);
    assert_int_equal(on_loop_thread, 1000);
}

static void *drop_many(void *unused)
{
    for (unsigned i = 0; i < 2000; i++)
        (void)drop_thing();
    return unused;
}

static void drops_of_other_threads_run_on_the_loops(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, drop_many, NULL), 0);
    turn_until(&released, 8000);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(released, 8000);
    assert_int_equal(on_loop_thread, 8000);
}

static pnx_status drop_another(int generations, const pnx_release *why);
PNX_KIND(nested, int, drop_another);
static pnx_status drop_another(int generations, const pnx_release *why)
{
    count_release();
    if (generations > 0) {
        pnx_auto(nested) guard = pnx_reserve(nested, why->registry, NULL);
        (void)pnx_arm(&guard, generations - 1);
    }
    return PNX_OK;
}

static void a_release_may_drop(void **state)
{
    (void)state;
    {
        pnx_auto(nested) guard = pnx_reserve(nested, registry, NULL);
        assert_true(pnx_arm(&guard, 99));
    }
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(released, 100);
}

/* ---- closing and waiting --------------------------------------------------------------------- */

static void close_on_the_loop_thread_runs_it_there(void **state)
{
    (void)state;
    pnx_auto(thing) guard = pnx_reserve(thing, registry, NULL);
    assert_true(pnx_arm(&guard, 1));
    assert_int_equal(pnx_close(&guard, NULL), PNX_OK);
    assert_int_equal(on_loop_thread, 1);
}

static _Atomic unsigned others_done;

static void *close_one(void *ret_status)
{
    pnx_auto(thing) guard = pnx_reserve(thing, registry, NULL);
    assert_true(pnx_arm(&guard, 1));
    *(pnx_status *)ret_status = pnx_close(&guard, NULL);
    if (*(pnx_status *)ret_status == PNX_OK)
        *(pnx_status *)ret_status = pnx_registry_wait_idle(registry, PNX_FOREVER);
    tell(&others_done);
    return NULL;
}

static void close_on_another_thread_waits_for_the_loop(void **state)
{
    (void)state;
    pthread_t thread;
    pnx_status status = PNX_EINVAL;
    others_done = 0;
    assert_int_equal(pthread_create(&thread, NULL, close_one, &status), 0);
    turn_until(&others_done, 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(status, PNX_OK);
    assert_int_equal(on_loop_thread, 1);
}

/* ---- fairness -------------------------------------------------------------------------------- */

static pnx_status burn(int microseconds, const pnx_release *why)
{
    const pnx_time end = pnx_monotonic_now() + PNX_US(microseconds);
    (void)why;
    while (pnx_monotonic_now() < end) {
    }
    count_release();
    return PNX_OK;
}
PNX_KIND(slow, int, burn);

static unsigned turns;

static void count_turn(uv_check_t *check)
{
    (void)check;
    turns++;
}

static void a_backlog_leaves_the_others_their_turns(void **state)
{
    (void)state;
    uv_check_t check;
    turns = 0;
    (void)uv_check_init(&loop, &check);
    (void)uv_check_start(&check, count_turn);
    uv_unref((uv_handle_t *)&check);
    for (unsigned i = 0; i < 200; i++) { /* 20 ms and more */
        pnx_auto(slow) guard = pnx_reserve(slow, registry, NULL);
        assert_true(pnx_arm(&guard, 100));
    }
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(released, 200);
    /* 16 of them, 1.6 ms, are the most between two looks at the clock: 12 turns of 13 and less. */
    assert_in_range(turns, 12, 250);
    uv_close((uv_handle_t *)&check, NULL);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
}

static void what_is_left_of_a_backlog_comes_in_the_next_turn(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        pnx_auto(slow) guard = pnx_reserve(slow, registry, NULL);
        assert_true(pnx_arm(&guard, 100));
    }
    turns = 0;
    for (; released < 200; turns++) {
        struct pollfd fd = {.fd = uv_backend_fd(&loop), .events = POLLIN};
        assert_int_equal(poll(&fd, 1, 0), 1); /* and not after a timer's millisecond */
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    assert_true(turns > 1);
}

/* ---- timers ---------------------------------------------------------------------------------- */

static void expiry_fires_on_the_loop(void **state)
{
    (void)state;
    const pnx_time before = pnx_registry_now(registry);
    const pnx_id id = register_thing(thing_kind);
    assert_int_equal(pnx_expire_after(registry, id, PNX_MS(20)), PNX_OK);
    turn_until(&released, 1);
    assert_true(pnx_registry_now(registry) - before >= PNX_MS(20));
    assert_int_equal(on_loop_thread, 1);
}

static void a_nearer_timer_moves_the_loops(void **state)
{
    (void)state;
    assert_int_equal(pnx_expire_after(registry, register_thing(thing_kind), PNX_S(1000)), PNX_OK);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(pnx_expire_after(registry, register_thing(thing_kind), PNX_MS(5)), PNX_OK);
    turn_until(&released, 1);
    assert_int_equal(counts_now().live, 1);
}

static unsigned failures_left;

static pnx_status fail_first(int value, const pnx_release *why)
{
    (void)value, (void)why;
    count_release();
    return failures_left-- > 0 ? PNX_EFAILED : PNX_OK;
}
PNX_KIND(stubborn, int, fail_first, .retries = 3, .retry_delay = PNX_MS(2));

static void a_retry_keeps_the_loop_alive(void **state)
{
    (void)state;
    failures_left = 2;
    {
        pnx_auto(stubborn) guard = pnx_reserve(stubborn, registry, NULL);
        assert_true(pnx_arm(&guard, 1));
    }
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(released, 3);
    assert_int_equal(counts_now().done, 1);
    assert_int_equal(counts_now().retried, 2);
}

/* ---- pending --------------------------------------------------------------------------------- */

static pnx_token pending_token;

static pnx_status pend(int value, const pnx_release *why)
{
    (void)value;
    pending_token = pnx_release_token(why);
    count_release();
    return PNX_PENDING;
}
PNX_KIND(pending, int, pend, .timeout = PNX_S(60));

static void *complete_it(void *ret_status)
{
    *(pnx_status *)ret_status = pnx_complete(pending_token, PNX_OK);
    tell(&others_done);
    return NULL;
}

static void another_thread_completes(void **state)
{
    (void)state;
    pthread_t thread;
    pnx_status status = PNX_EINVAL;
    {
        pnx_auto(pending) guard = pnx_reserve(pending, registry, NULL);
        assert_true(pnx_arm(&guard, 1));
    }
    /* It is pending elsewhere, so that the loop has no reason to stay. */
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(counts_now().running, 1);
    others_done = 0;
    assert_int_equal(pthread_create(&thread, NULL, complete_it, &status), 0);
    turn_until(&others_done, 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(status, PNX_OK);
    assert_int_equal(counts_now().done, 1);
}

/* The usual case: a handle of the loop's, given back by uv_close. */
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

static void a_handle_is_given_back_by_uv_close(void **state)
{
    (void)state;
    struct socket socket;
    {
        pnx_auto(socket) guard = pnx_reserve(socket, registry, NULL);
        assert_int_equal(uv_tcp_init(&loop, &socket.tcp), 0);
        socket.tcp.data = &socket;
        assert_true(pnx_arm(&guard, &socket));
    }
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(counts_now().done, 1);
}

static pnx_status pend_briefly(int value, const pnx_release *why)
{
    return pend(value, why);
}
PNX_KIND(overdue, int, pend_briefly, .timeout = PNX_MS(5));

static _Atomic unsigned abandoned;

static void count_abandoned(const pnx_event *event, void *unused)
{
    (void)unused;
    assert_true(is_loop_thread());
    atomic_fetch_add(&abandoned, event->type == PNX_EVENT_ABANDONED);
}

static void a_pending_release_that_is_late_is_given_up(void **state)
{
    (void)state;
    pnx_monitor *monitor;
    abandoned = 0;
    assert_int_equal(pnx_monitor_attach(registry, count_abandoned, NULL, &monitor, NULL), PNX_OK);
    {
        pnx_auto(overdue) guard = pnx_reserve(overdue, registry, NULL);
        assert_true(pnx_arm(&guard, 1));
    }
    turn_until(&abandoned, 1);
    assert_int_equal(counts_now().abandoned, 1);
    assert_int_equal(pnx_complete(pending_token, PNX_OK), PNX_ETIMEOUT);
    assert_int_equal(counts_now().late, 1);
    assert_int_equal(pnx_monitor_detach(monitor), PNX_OK);
}

/* ---- monitors -------------------------------------------------------------------------------- */

static _Atomic unsigned events;

static void count_event(const pnx_event *event, void *unused)
{
    (void)event, (void)unused;
    assert_true(is_loop_thread());
    atomic_fetch_add(&events, 1);
}

static void *register_one(void *unused)
{
    (void)register_thing(thing_kind);
    return unused;
}

static void an_event_wakes_the_loop(void **state)
{
    (void)state;
    pthread_t thread;
    pnx_monitor *monitor;
    events = 0;
    assert_int_equal(pnx_monitor_attach(registry, count_event, NULL, &monitor, NULL), PNX_OK);
    assert_int_equal(pthread_create(&thread, NULL, register_one, NULL), 0);
    turn_until(&events, 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(pnx_monitor_detach(monitor), PNX_OK);
}

/* ---- idle ------------------------------------------------------------------------------------ */

static void end_of_idleness(uv_timer_t *timer)
{
    uv_close((uv_handle_t *)timer, NULL);
}

static void an_idle_registry_never_wakes_the_loop(void **state)
{
    (void)state;
    uv_check_t check;
    uv_timer_t timer;
    (void)register_thing(thing_kind);
    assert_int_equal(pnx_expire_after(registry, register_thing(thing_kind), PNX_S(1000)), PNX_OK);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    (void)uv_check_init(&loop, &check);
    (void)uv_check_start(&check, count_turn);
    uv_unref((uv_handle_t *)&check);
    (void)uv_timer_init(&loop, &timer);
    (void)uv_timer_start(&timer, end_of_idleness, 200, 0);
    turns = 0;
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_in_range(turns, 1, 3); /* the timer, and the close of it */
    uv_close((uv_handle_t *)&check, NULL);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
}

static void what_is_live_does_not_keep_the_loop_alive(void **state)
{
    (void)state;
    assert_int_equal(pnx_expire_after(registry, register_thing(thing_kind), PNX_S(1000)), PNX_OK);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_false(uv_loop_alive(&loop));
    assert_int_equal(counts_now().live, 1);
}

/* ---- several, errors, fork ------------------------------------------------------------------- */

static void two_registries_share_a_loop(void **state)
{
    (void)state;
    pnx_uv *second;
    assert_int_equal(pnx_uv_create(&loop, &(pnx_config){.name = "second"}, &second, NULL), PNX_OK);
    pnx_registry *first = registry;
    for (unsigned i = 0; i < 100; i++) {
        registry = i % 2 == 0 ? first : pnx_uv_registry(second);
        (void)drop_thing();
    }
    registry = first;
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(released, 100);
    assert_ptr_equal(pnx_uv_loop(second), &loop);
    assert_int_equal(pnx_uv_close(second, NULL, NULL, NULL), PNX_OK);
}

static pnx_time standing_still(const pnx_clock *clock)
{
    (void)clock;
    return 0;
}

static void do_nothing(void *context)
{
    (void)context;
}

static void a_wrong_configuration_is_refused(void **state)
{
    (void)state;
    const pnx_clock clock = {.now = standing_still};
    pnx_uv *none = NULL;
    pnx_error err = {0};
    assert_int_equal(pnx_uv_create(NULL, NULL, &none, &err), PNX_EINVAL);
    assert_non_null(strstr(err.message, "loop"));
    assert_int_equal(pnx_uv_create(&loop, &(pnx_config){.clock = &clock}, &none, &err), PNX_EINVAL);
    assert_non_null(strstr(err.message, "clock"));
    assert_int_equal(pnx_uv_create(&loop, &(pnx_config){.wake = do_nothing}, &none, &err),
                     PNX_EINVAL);
    assert_non_null(strstr(err.message, "wake"));
    assert_int_equal(pnx_uv_create(&loop, &(pnx_config){.backlog_high_water = 1}, &none, &err),
                     PNX_EINVAL);
    assert_non_null(strstr(err.message, "backlog_high_water"));
    assert_null(none);
    assert_false(uv_loop_alive(&loop));
}

static void a_fork_child_releases_nothing(void **state)
{
    (void)state;
    thing_guard guard = pnx_reserve(thing, registry, NULL);
    assert_true(pnx_arm(&guard, 1));
    const pid_t child = fork();
    if (child == 0) {
        pnx_drop(&guard);
        pnx_request_shutdown(registry);
        (void)uv_loop_fork(&loop);
        (void)pnx_uv_close(uv, NULL, on_closed, NULL);
        (void)uv_run(&loop, UV_RUN_DEFAULT);
        _exit(released == 0 && last_status == PNX_EFORKED && uv_loop_close(&loop) == 0 ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    struct pollfd requested = {.fd = pnx_shutdown_fd(registry), .events = POLLIN};
    assert_int_equal(poll(&requested, 1, 0), 0);
    pnx_drop(&guard);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(released, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(drops_of_the_loop_thread_run_before_the_loop_ends),
        TEST(drops_of_other_threads_run_on_the_loops),
        TEST(a_release_may_drop),
        TEST(close_on_the_loop_thread_runs_it_there),
        TEST(close_on_another_thread_waits_for_the_loop),
        TEST(a_backlog_leaves_the_others_their_turns),
        TEST(what_is_left_of_a_backlog_comes_in_the_next_turn),
        TEST(expiry_fires_on_the_loop),
        TEST(a_nearer_timer_moves_the_loops),
        TEST(a_retry_keeps_the_loop_alive),
        TEST(another_thread_completes),
        TEST(a_handle_is_given_back_by_uv_close),
        TEST(a_pending_release_that_is_late_is_given_up),
        TEST(an_event_wakes_the_loop),
        TEST(an_idle_registry_never_wakes_the_loop),
        TEST(what_is_live_does_not_keep_the_loop_alive),
        TEST(two_registries_share_a_loop),
        TEST(a_wrong_configuration_is_refused),
        TEST(a_fork_child_releases_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
