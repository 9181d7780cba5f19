/* SPDX-License-Identifier: MIT */
/* Each call of the hub to the system fails once, the n-th for each n: what it promises holds. */
#include "support.h"

#include "monitor/hub.h"

#include <limits.h>

/* ---- the seam: one kind of call fails, from the n-th on, `times` times ----------------------- */

static enum pnx__fault failing_point;
static _Atomic long calls_left;
static _Atomic long times_left;
static _Atomic bool has_failed;

static bool fail_the_nth(enum pnx__fault point)
{
    if (point != failing_point || calls_left-- > 0 || times_left-- <= 0) {
        return false;
    }
    has_failed = true;
    return true;
}

static void fail_calls(enum pnx__fault point, long nth, long times)
{
    failing_point = point;
    calls_left = nth;
    times_left = times;
    has_failed = false;
    pnx__fault_hook = fail_the_nth;
}

static void fail_no_more(void)
{
    pnx__fault_hook = NULL;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void count(const pnx_event *event, void *seen)
{
    ++*(unsigned *)seen;
}

static void end_thread(const pnx_event *event, void *seen)
{
    ++*(unsigned *)seen;
    pthread_exit(NULL);
}

/* Either all goes well, or attaching fails and nothing has happened. */
static void live_a_life(bool manual)
{
    pnx_event event = {.id = {1, 1}};
    unsigned seen = 0;
    struct pnx__hub *hub = pnx__hub_create(manual);
    if (!hub) {
        assert_true(has_failed);
        return;
    }
    pnx_monitor *monitor = NULL;
    pnx_error err = {0};
    pnx_status status = pnx__hub_attach(hub, count, &seen, &monitor, &err);
    if (status != PNX_OK) {
        assert_true(has_failed);
        assert_true(status == PNX_ENOMEM || status == PNX_EFAILED);
        assert_int_equal(err.code, status);
        assert_true(strlen(err.message) > 0);
        assert_null(monitor);
        assert_false(pnx__hub_active(hub));
        pnx__hub_emit(hub, &event);
        assert_int_equal(pnx__hub_flush(hub, patience()), PNX_OK);

        fail_no_more(); /* and it can be tried again */
        assert_int_equal(pnx__hub_attach(hub, count, &seen, &monitor, &err), PNX_OK);
    }
    for (int i = 0; i < 10; i++) {
        pnx__hub_emit(hub, &event);
    }
    assert_int_equal(pnx__hub_flush(hub, patience()), PNX_OK);
    assert_int_equal(seen, 10);
    pnx__hub_emit(hub, &event);
    assert_int_equal(pnx__hub_detach(monitor), PNX_OK);
    assert_int_equal(seen, 11);
    assert_int_equal(pnx__hub_destroy(hub, patience()), PNX_OK);
}

static void every_call_fails_once(void **state)
{
    for (int manual = 0; manual <= 1; manual++) {
        for (enum pnx__fault point = 0; point < PNX__FAULT_COUNT; point++) {
            long nth = 0;
            do {
                fail_calls(point, nth++, 1);
                live_a_life(manual);
                fail_no_more();
            } while (has_failed && nth < 100);
        }
    }
}

static void attaching_fails_as_documented(void **state)
{
    static const struct {
        enum pnx__fault point;
        long nth;
        pnx_status status;
    } cases[] = {
        {PNX__FAULT_ALLOC, 0, PNX_ENOMEM},
        {PNX__FAULT_MAP, 0, PNX_ENOMEM},
        {PNX__FAULT_THREAD, 0, PNX_EFAILED},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pnx__hub *hub = pnx__hub_create(false);
        pnx_monitor *monitor = NULL;
        pnx_error err = {0};
        unsigned seen = 0;
        fail_calls(cases[i].point, cases[i].nth, 1);
        assert_int_equal(pnx__hub_attach(hub, count, &seen, &monitor, &err), cases[i].status);
        assert_true(has_failed);
        fail_no_more();
        assert_int_equal(pnx__hub_destroy(hub, patience()), PNX_OK);
    }
}

static void futexes_that_never_sleep_change_nothing(void **state)
{
    fail_calls(PNX__FAULT_FUTEX_WAIT, 0, LONG_MAX);
    live_a_life(false);
    assert_true(has_failed);
    fail_no_more();
}

static _Thread_local unsigned waits;

/* The delivery thread waits in turn to doze and to sleep: it never dozes. */
static bool fail_every_other_wait(enum pnx__fault point)
{
    return point == PNX__FAULT_FUTEX_WAIT && waits++ % 2 == 0;
}

static void add(const pnx_event *event, void *seen)
{
    atomic_fetch_add_explicit((_Atomic unsigned *)seen, 1, memory_order_relaxed);
}

/* Events that come just when the thread has found none and goes to sleep: some of the thousands hit
 * the nanoseconds in between. */
static void no_event_slips_in_between_the_look_and_the_sleep(void **state)
{
    struct pnx__hub *hub = pnx__hub_create(false);
    pnx_event event = {.id = {1, 1}};
    pnx_monitor *monitor = NULL;
    pnx_error err = {0};
    _Atomic unsigned seen = 0;

    assert_int_equal(pnx__hub_attach(hub, add, &seen, &monitor, &err), PNX_OK);
    pnx__fault_hook = fail_every_other_wait;
    pnx_time give_up = patience();
    for (unsigned i = 0; i < 100000; i++) {
        pnx__hub_emit(hub, &event);
        while (atomic_load_explicit(&seen, memory_order_relaxed) == i) {
            if (pnx_monotonic_now() > give_up) {
                fail_msg("event %u was left behind", i);
            }
        }
        /* Relaxed, and whatever it is: it only helps to aim. Its values are in hub.c. */
        while (atomic_load_explicit(&hub->nap, memory_order_relaxed) == 0) {
        }
        for (unsigned pause = i % 127; pause > 0; pause--) {
            __asm__ volatile("");
        }
    }
    fail_no_more();
    assert_int_equal(pnx__hub_destroy(hub, patience()), PNX_OK);
}

/* A monitor ends the thread and there is no other one: whoever waits delivers, until a thread can
 * be made again. */
static void without_a_replacement_those_who_wait_deliver(void **state)
{
    struct pnx__hub *hub = pnx__hub_create(false);
    pnx_event event = {.id = {1, 1}};
    pnx_monitor *monitors[3] = {0};
    unsigned seen[3] = {0};
    pnx_error err = {0};

    assert_int_equal(pnx__hub_attach(hub, end_thread, &seen[0], &monitors[0], &err), PNX_OK);
    assert_int_equal(pnx__hub_attach(hub, count, &seen[1], &monitors[1], &err), PNX_OK);
    fail_calls(PNX__FAULT_THREAD, 0, LONG_MAX);
    pnx__hub_emit(hub, &event);
    pnx__hub_emit(hub, &event);
    assert_int_equal(pnx__hub_flush(hub, patience()), PNX_OK);
    assert_true(has_failed);
    assert_false(hub->threaded);
    assert_int_equal(seen[0], 1);
    assert_int_equal(seen[1], 2);
    assert_int_equal(pnx__hub_attach(hub, count, &seen[2], &monitors[2], &err), PNX_EFAILED);

    fail_no_more();
    assert_int_equal(pnx__hub_attach(hub, count, &seen[2], &monitors[2], &err), PNX_OK);
    assert_true(hub->threaded);
    pnx__hub_emit(hub, &event);
    assert_int_equal(pnx__hub_flush(hub, patience()), PNX_OK);
    assert_int_equal(seen[1], 3);
    assert_int_equal(seen[2], 1);

    /* The same, but the hub is destroyed in that state. */
    assert_int_equal(pnx__hub_attach(hub, end_thread, &seen[0], &monitors[0], &err), PNX_OK);
    fail_calls(PNX__FAULT_THREAD, 0, LONG_MAX);
    pnx__hub_emit(hub, &event);
    pnx__hub_emit(hub, &event);
    assert_int_equal(pnx__hub_destroy(hub, patience()), PNX_OK);
    assert_int_equal(seen[0], 2);
    assert_int_equal(seen[1], 5);
    assert_int_equal(seen[2], 3);
    fail_no_more();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_fails_once),
        cmocka_unit_test(attaching_fails_as_documented),
        cmocka_unit_test(futexes_that_never_sleep_change_nothing),
        cmocka_unit_test(no_event_slips_in_between_the_look_and_the_sleep),
        cmocka_unit_test(without_a_replacement_those_who_wait_deliver),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
