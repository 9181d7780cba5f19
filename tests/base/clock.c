/* SPDX-License-Identifier: MIT */
/* Tests of src/patinox/base/clock.c, and of the arithmetic of time in base.h. */
#include "support.h"

#include <patinox/base.h>

static void monotonic_never_goes_back(void **state)
{
    pnx_time last = pnx_monotonic_now();
    assert_true(last > 0);
    for (int i = 0; i < 10000; i++) {
        pnx_time now = pnx_monotonic_now();
        assert_true(now >= last);
        last = now;
    }
}

static void monotonic_is_clock_monotonic(void **state)
{
    struct timespec before;
    struct timespec after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    pnx_time now = pnx_monotonic_now();
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true(now >= PNX_S(before.tv_sec) + before.tv_nsec);
    assert_true(now <= PNX_S(after.tv_sec) + after.tv_nsec);
}

static void coarse_is_behind_but_not_far(void **state)
{
    pnx_time before = pnx_monotonic_now();
    pnx_time coarse = pnx_monotonic_coarse();
    pnx_time after = pnx_monotonic_now();
    assert_true(coarse <= after);
    /* A tick is 1 to 10 ms; a machine that steals time may miss some. */
    assert_true(coarse >= before - PNX_S(1));
}

static void time_after_saturates(void **state)
{
    assert_int_equal(pnx_time_after(5, 7), 12);
    assert_int_equal(pnx_time_after(5, -7), -2);
    assert_int_equal(pnx_time_after(5, PNX_FOREVER), PNX_FOREVER);
    assert_int_equal(pnx_time_after(PNX_FOREVER, 1), PNX_FOREVER);
    assert_int_equal(pnx_time_after(PNX_FOREVER, 0), PNX_FOREVER);
    assert_int_equal(pnx_time_after(PNX_FOREVER - 1, 1), PNX_FOREVER);
    assert_int_equal(pnx_time_after(INT64_MIN, -1), INT64_MIN);
    assert_int_equal(pnx_time_after(-2, INT64_MIN), INT64_MIN);
}

static void units_are_nanoseconds(void **state)
{
    assert_int_equal(PNX_NS(3), 3);
    assert_int_equal(PNX_US(3), 3000);
    assert_int_equal(PNX_MS(3), 3000000);
    assert_int_equal(PNX_S(3), 3000000000);
    assert_int_equal(PNX_S(1 + 1), PNX_MS(2000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(monotonic_never_goes_back),
        cmocka_unit_test(monotonic_is_clock_monotonic),
        cmocka_unit_test(coarse_is_behind_but_not_far),
        cmocka_unit_test(time_after_saturates),
        cmocka_unit_test(units_are_nanoseconds),
    };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
