/* SPDX-License-Identifier: MIT */
#include "support.h"

#include "base/sys.h"

static void the_account_balances_or_tells_by_how_much_not(void **state)
{
    pnx_counts counts = {
        .registered = 28,
        .live = 1,
        .queued = 2,
        .running = 3,
        .waiting = 4,
        .done = 5,
        .failed = 6,
        .abandoned = 7,
        /* none of these takes part */
        .taken = 100,
        .retried = 100,
        .timed_out = 100,
        .fallbacks = 100,
        .late = 100,
        .schedule_failed = 100,
        .leaked = 100,
    };
    assert_int_equal(pnx_counts_imbalance(&counts), 0);
    counts.registered++;
    assert_int_equal(pnx_counts_imbalance(&counts), -1);
    uint64_t *states[] = {&counts.live, &counts.queued, &counts.running,  &counts.waiting,
                          &counts.done, &counts.failed, &counts.abandoned};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        ++*states[i];
        assert_int_equal(pnx_counts_imbalance(&counts), (int64_t)i);
    }
}

static void the_success_rate_is_of_what_has_finished(void **state)
{
    pnx_counts counts = {.registered = 10, .live = 5, .running = 5};
    assert_true(pnx_counts_success_rate(&counts) == 1.0);
    counts.done = 3;
    assert_true(pnx_counts_success_rate(&counts) == 1.0);
    counts.failed = 2;
    counts.abandoned = 1;
    assert_true(pnx_counts_success_rate(&counts) == 0.5);
    counts.done = 0;
    assert_true(pnx_counts_success_rate(&counts) == 0.0);
}

static void a_snapshot_can_be_ended_twice_or_without_a_beginning(void **state)
{
    pnx_stats stats = {.kind_count = 3};
    stats.kinds = pnx__alloc(3 * sizeof(*stats.kinds));
    pnx_stats_done(&stats);
    assert_null(stats.kinds);
    assert_int_equal(stats.kind_count, 0);
    pnx_stats_done(&stats);
    pnx_stats_done(&(pnx_stats){.kind_count = 0});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_account_balances_or_tells_by_how_much_not),
        cmocka_unit_test(the_success_rate_is_of_what_has_finished),
        cmocka_unit_test(a_snapshot_can_be_ended_twice_or_without_a_beginning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
