/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <math.h>

/* A registry that is well: each test makes one thing worse. */
static pnx_stats healthy(void)
{
    return (pnx_stats){
        .total = {.registered = 1000, .done = 1000},
        .workers = 4,
        .workers_idle = 4,
        .backlog_high_water = 8192,
    };
}

static void assert_well(const pnx_stats *stats, const pnx_health_limits *limits)
{
    pnx_health health;
    pnx_stats_health(stats, limits, &health);
    assert_int_equal(health.level, PNX_HEALTH_OK);
    assert_int_equal(health.reason_count, 0);
}

static void assert_only(const pnx_stats *stats, const pnx_health_limits *limits,
                        pnx_health_level level, const char *text)
{
    pnx_health health;
    pnx_stats_health(stats, limits, &health);
    assert_int_equal(health.level, level);
    assert_int_equal(health.reason_count, 1);
    assert_int_equal(health.reasons[0].level, level);
    assert_string_equal(health.reasons[0].text, text);
}

static void what_is_well_is_ok(void **state)
{
    pnx_stats stats = healthy();
    assert_well(&stats, NULL);
    assert_well(&(pnx_stats){.workers = 0}, NULL); /* fresh, or stepped by hand */
}

static void success_rate(void **state)
{
    pnx_stats stats = healthy();
    stats.total.failed = 10; /* 99.0099 % */
    assert_well(&stats, NULL);
    stats.total.failed = 11;
    assert_only(&stats, NULL, PNX_HEALTH_DEGRADED, "success rate 98.91 % is below 99.00 %");
    stats.total.failed = 112;
    assert_only(&stats, NULL, PNX_HEALTH_FAILING, "success rate 89.92 % is below 90.00 %");

    stats.total.done = 0; /* too few to judge */
    stats.total.failed = 9;
    assert_well(&stats, NULL);
    stats.total.failed = 10;
    assert_only(&stats, NULL, PNX_HEALTH_FAILING, "success rate 0.00 % is below 90.00 %");
}

static void queue_depth(void **state)
{
    pnx_stats stats = healthy();
    stats.total.queued = 8192;
    assert_well(&stats, NULL);
    stats.total.queued = 8193;
    assert_only(&stats, NULL, PNX_HEALTH_DEGRADED, "queue depth 8193 is above 8192");
    stats.total.queued = 81921;
    assert_only(&stats, NULL, PNX_HEALTH_FAILING, "queue depth 81921 is above 81920");
}

static void age_of_the_oldest_queued(void **state)
{
    pnx_stats stats = healthy();
    stats.oldest_queued = PNX_S(1);
    assert_well(&stats, NULL);
    stats.oldest_queued = PNX_MS(1001);
    assert_only(&stats, NULL, PNX_HEALTH_DEGRADED,
                "the oldest queued resource has waited for 1001 ms, more than 1000 ms");
    stats.oldest_queued = PNX_MS(10001);
    assert_only(&stats, NULL, PNX_HEALTH_FAILING,
                "the oldest queued resource has waited for 10001 ms, more than 10000 ms");
}

static void hung_workers(void **state)
{
    pnx_stats stats = healthy();
    stats.workers_hung = 3;
    assert_only(&stats, NULL, PNX_HEALTH_DEGRADED, "3 of 4 workers hang");
    stats.workers_hung = 4;
    assert_only(&stats, NULL, PNX_HEALTH_FAILING, "all 4 workers hang");
}

static void things_that_should_not_happen(void **state)
{
    pnx_stats stats = healthy();
    stats.total.abandoned = 1;
    assert_only(&stats, NULL, PNX_HEALTH_DEGRADED, "resources abandoned: 1");
    stats = healthy();
    stats.total.leaked = 2;
    assert_only(&stats, NULL, PNX_HEALTH_DEGRADED, "resources leaked: 2");
    stats = healthy();
    stats.events_lost = 3;
    assert_only(&stats, NULL, PNX_HEALTH_DEGRADED, "events lost: 3");
    stats = healthy();
    stats.shutting_down = true;
    assert_only(&stats, NULL, PNX_HEALTH_DEGRADED, "shutting down");
}

static void limits_can_be_set_one_by_one(void **state)
{
    pnx_stats stats = healthy();
    stats.total.failed = 5;
    assert_only(&stats, &(pnx_health_limits){.degraded_success_rate = 0.999}, PNX_HEALTH_DEGRADED,
                "success rate 99.50 % is below 99.90 %");
    assert_only(&stats, &(pnx_health_limits){.failing_success_rate = 0.999}, PNX_HEALTH_FAILING,
                "success rate 99.50 % is below 99.90 %");
    assert_well(&stats, &(pnx_health_limits){.degraded_success_rate = NAN});

    stats = healthy();
    stats.total.queued = 60;
    assert_only(&stats, &(pnx_health_limits){.degraded_queue_depth = 50}, PNX_HEALTH_DEGRADED,
                "queue depth 60 is above 50");
    assert_only(&stats, &(pnx_health_limits){.degraded_queue_depth = 5}, PNX_HEALTH_FAILING,
                "queue depth 60 is above 50");
    assert_well(&stats, &(pnx_health_limits){.degraded_queue_depth = UINT64_MAX});

    stats = healthy();
    stats.oldest_queued = PNX_MS(5);
    assert_only(&stats, &(pnx_health_limits){.degraded_queue_wait = PNX_MS(4)}, PNX_HEALTH_DEGRADED,
                "the oldest queued resource has waited for 5 ms, more than 4 ms");
    assert_well(&stats, &(pnx_health_limits){.degraded_queue_wait = -1});
}

static void all_reasons_are_told_and_the_worst_decides(void **state)
{
    pnx_stats stats = {
        .total = {.done = 1,
                  .failed = 99,
                  .abandoned = UINT64_MAX / 2,
                  .leaked = UINT64_MAX,
                  .queued = UINT64_MAX},
        .oldest_queued = PNX_FOREVER,
        .workers = UINT32_MAX,
        .workers_hung = UINT32_MAX - 1,
        .events_lost = UINT64_MAX,
        .backlog_high_water = 1,
        .shutting_down = true,
    };
    pnx_health health;
    pnx_stats_health(&stats, NULL, &health);
    assert_int_equal(health.level, PNX_HEALTH_FAILING);
    assert_int_equal(health.reason_count, PNX_HEALTH_REASONS_MAX);
    for (unsigned i = 0; i < health.reason_count; i++) {
        assert_int_not_equal(health.reasons[i].level, PNX_HEALTH_OK);
        size_t length = strlen(health.reasons[i].text);
        assert_true(length > 0 && length + 1 < sizeof(health.reasons[i].text)); /* none is cut */
    }
}

static void levels_have_names(void **state)
{
    assert_string_equal(pnx_health_name(PNX_HEALTH_OK), "ok");
    assert_string_equal(pnx_health_name(PNX_HEALTH_DEGRADED), "degraded");
    assert_string_equal(pnx_health_name(PNX_HEALTH_FAILING), "failing");
    assert_string_equal(pnx_health_name((pnx_health_level)9), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_well_is_ok),
        cmocka_unit_test(success_rate),
        cmocka_unit_test(queue_depth),
        cmocka_unit_test(age_of_the_oldest_queued),
        cmocka_unit_test(hung_workers),
        cmocka_unit_test(things_that_should_not_happen),
        cmocka_unit_test(limits_can_be_set_one_by_one),
        cmocka_unit_test(all_reasons_are_told_and_the_worst_decides),
        cmocka_unit_test(levels_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
