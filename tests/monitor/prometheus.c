/* SPDX-License-Identifier: MIT */
#include "support.h"

#include "prometheus_check.h"

#include "base/random.h"

static void assert_valid(const char *text)
{
    char *wrong = prometheus_error(text);
    if (wrong) {
        fail_msg("not Prometheus' format: %s", wrong);
    }
}

static void assert_line(const char *text, const char *line)
{
    const char *at = strstr(text, line);
    if (!at || (at > text && at[-1] != '\n') || at[strlen(line)] != '\n') {
        fail_msg("no line %s", line);
    }
}

static char *written(const pnx_stats *stats)
{
    char *text = WRITTEN(assert_int_equal(pnx_stats_write_prometheus(stats, out, NULL), PNX_OK));
    assert_valid(text);
    return text;
}

static void every_figure_has_its_series(void **state)
{
    pnx_kind_stats kinds[2] = {
        {.name = "conn",
         .by_priority[PNX_HIGH] = {.registered = 30,
                                   .live = 1,
                                   .queued = 2,
                                   .running = 3,
                                   .waiting = 4,
                                   .done = 5,
                                   .failed = 6,
                                   .abandoned = 9,
                                   .taken = 10,
                                   .retried = 11,
                                   .timed_out = 12,
                                   .fallbacks = 13,
                                   .late = 14,
                                   .schedule_failed = 15,
                                   .leaked = 16}},
        {.name = "file", .by_priority[PNX_NORMAL] = {.taken = 1}},
    };
    pnx_stats stats = {
        .registry = "main",
        .kind_count = 2,
        .kinds = kinds,
        .slots = 22,
        .workers = 7,
        .workers_idle = 1,
        .workers_hung = 2,
        .workers_replaced = 3,
        .workers_max = 9,
        .timers = 23,
        .events_lost = 24,
        .oldest_queued = PNX_MS(2500),
        .backlog_high_water = 26,
        .shutting_down = true,
    };
    char *text = written(&stats);

    static const char *const lines[] = {
        "# TYPE patinox_resources gauge",
        "patinox_resources{registry=\"main\",kind=\"conn\",priority=\"high\",state=\"live\"} 1",
        "patinox_resources{registry=\"main\",kind=\"conn\",priority=\"high\",state=\"queued\"} 2",
        "patinox_resources{registry=\"main\",kind=\"conn\",priority=\"high\",state=\"running\"} 3",
        "patinox_resources{registry=\"main\",kind=\"conn\",priority=\"high\",state=\"waiting\"} 4",
        "# TYPE patinox_registered_total counter",
        /* What was taken had been registered: a counter never goes down. */
        "patinox_registered_total{registry=\"main\",kind=\"conn\",priority=\"high\"} 40",
        "patinox_registered_total{registry=\"main\",kind=\"file\",priority=\"normal\"} 1",
        "patinox_done_total{registry=\"main\",kind=\"conn\",priority=\"high\"} 5",
        "patinox_failed_total{registry=\"main\",kind=\"conn\",priority=\"high\"} 6",
        "patinox_abandoned_total{registry=\"main\",kind=\"conn\",priority=\"high\"} 9",
        "patinox_taken_total{registry=\"main\",kind=\"conn\",priority=\"high\"} 10",
        "patinox_retried_total{registry=\"main\",kind=\"conn\",priority=\"high\"} 11",
        "patinox_timed_out_total{registry=\"main\",kind=\"conn\",priority=\"high\"} 12",
        "patinox_fallbacks_total{registry=\"main\",kind=\"conn\",priority=\"high\"} 13",
        "patinox_late_total{registry=\"main\",kind=\"conn\",priority=\"high\"} 14",
        "patinox_schedule_failed_total{registry=\"main\",kind=\"conn\",priority=\"high\"} 15",
        "patinox_leaked_total{registry=\"main\",kind=\"conn\",priority=\"high\"} 16",
        "patinox_workers{registry=\"main\",state=\"busy\"} 4",
        "patinox_workers{registry=\"main\",state=\"hung\"} 2",
        "patinox_workers{registry=\"main\",state=\"idle\"} 1",
        "patinox_workers_max{registry=\"main\"} 9",
        "patinox_workers_replaced_total{registry=\"main\"} 3",
        "patinox_slots{registry=\"main\"} 22",
        "patinox_timers{registry=\"main\"} 23",
        "patinox_events_lost_total{registry=\"main\"} 24",
        "patinox_oldest_queued_seconds{registry=\"main\"} 2.500000000",
        "patinox_backlog_high_water{registry=\"main\"} 26",
        "patinox_shutting_down{registry=\"main\"} 1",
        "patinox_health{registry=\"main\"} 1",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_line(text, lines[i]);
    }
    assert_null(strstr(text, "priority=\"low\"")); /* never used: no lines of zeros */
    free(text);
}

static void histograms_are_cumulative_and_exact_at_their_bounds(void **state)
{
    pnx_stats stats = {.registry = "main"};
    pnx_histogram_add(&stats.drop_time, 15);
    pnx_histogram_add(&stats.drop_time, 16);
    pnx_histogram_add(&stats.drop_time, PNX_MS(1));
    pnx_histogram_add(&stats.drop_time, PNX_S(1000));
    char *text = written(&stats);

    static const char *const lines[] = {
        "# TYPE patinox_drop_seconds histogram",
        "patinox_drop_seconds_bucket{registry=\"main\",le=\"0.000000015\"} 1",
        "patinox_drop_seconds_bucket{registry=\"main\",le=\"0.000000031\"} 2",
        "patinox_drop_seconds_bucket{registry=\"main\",le=\"0.000524287\"} 2",
        "patinox_drop_seconds_bucket{registry=\"main\",le=\"0.001048575\"} 3",
        "patinox_drop_seconds_bucket{registry=\"main\",le=\"68.719476735\"} 3",
        "patinox_drop_seconds_bucket{registry=\"main\",le=\"+Inf\"} 4",
        "patinox_drop_seconds_sum{registry=\"main\"} 1000.001000031",
        "patinox_drop_seconds_count{registry=\"main\"} 4",
        "patinox_queue_wait_seconds_count{registry=\"main\"} 0",
        "patinox_release_seconds_count{registry=\"main\"} 0",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_line(text, lines[i]);
    }
    free(text);
}

static void random_histograms_stay_valid(void **state)
{
    pnx__random random = {.state = 5};
    for (int i = 0; i < 20; i++) {
        pnx_stats stats = {.registry = "main"};
        for (int j = 0; j < 500; j++) {
            uint64_t value = pnx__random_next(&random) >> (1 + pnx__random_below(&random, 60));
            pnx_histogram_add(&stats.queue_wait, (pnx_duration)value);
        }
        free(written(&stats));
    }
}

static void hostile_names_stay_inside_their_labels(void **state)
{
    pnx_kind_stats kinds[HOSTILE_NAMES] = {0};
    for (size_t i = 0; i < HOSTILE_NAMES; i++) {
        kinds[i].name = hostile_names[i];
        kinds[i].by_priority[PNX_NORMAL].registered = 1;
    }
    for (size_t i = 0; i < HOSTILE_NAMES; i++) {
        pnx_stats stats = {
            .registry = hostile_names[i], .kinds = kinds, .kind_count = HOSTILE_NAMES};
        free(written(&stats));
    }

    pnx_stats stats = {.registry = "a\\b\"c\nd\xFF"
                                   "e"};
    char *text = written(&stats);
    assert_line(text, "patinox_slots{registry=\"a\\\\b\\\"c\\nd\xEF\xBF\xBD"
                      "e\"} 0");
    free(text);

    kinds[0].name = NULL;
    stats = (pnx_stats){.kinds = kinds, .kind_count = 1};
    free(written(&stats));
}

static void a_full_disk_is_told(void **state)
{
    pnx_error err = {0};
    pnx_stats stats = {.registry = "main"};
    FILE *full = fopen("/dev/full", "w");
    assert_int_equal(pnx_stats_write_prometheus(&stats, full, &err), PNX_EFAILED);
    assert_int_equal(err.code, PNX_EFAILED);
    fclose(full);
}

#define HEADER "# HELP a b\n# TYPE a gauge\n"
#define HISTOGRAM "# HELP a b\n# TYPE a histogram\n"

static void the_checker_of_this_test_is_strict(void **state)
{
    static const char *const wrong[] = {
        "a{b=\"c\"} 1\n",                      /* no family */
        "# TYPE a gauge\na{b=\"c\"} 1\n",      /* no HELP */
        HEADER "a{b=\"c\"} 1",                 /* no end */
        HEADER "a{b=\"c\"} 1\na{b=\"c\"} 1\n", /* twice */
        HEADER "b{b=\"c\"} 1\n",               /* of another family */
        HEADER "a{b=\"c\"d\"} 1\n",            /* quote */
        HEADER "a{b=\"c\\d\"} 1\n",            /* escape */
        HEADER "a{b=\"c\nd\"} 1\n",            /* line feed */
        HEADER "a{b=\"c\"} 1,5\n",             /* number */
        HEADER "a{b=\"c\"}\n",                 /* none */
        HEADER "a{1b=\"c\"} 1\n",              /* label */
        HEADER HEADER,                         /* family twice */
        "# HELP a b\n# TYPE a counter\n",      /* a counter without _total */
        HISTOGRAM "a_bucket{le=\"1\"} 1\n",    /* no +Inf */
        HISTOGRAM "a_bucket{le=\"2\"} 1\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 2\n",
        HISTOGRAM "a_bucket{le=\"1\"} 2\na_bucket{le=\"2\"} 1\na_bucket{le=\"+Inf\"} 2\n",
        HISTOGRAM "a_bucket{le=\"+Inf\"} 2\na_count{b=\"c\"} 3\n",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char *error = prometheus_error(wrong[i]);
        if (!error) {
            fail_msg("accepted: %s", wrong[i]);
        }
        free(error);
    }
    assert_valid(HEADER "a{b=\"\\\\\\\"\\n\",c=\"\"} 1.5\n");
    assert_valid(HISTOGRAM "a_bucket{le=\"1\"} 1\na_bucket{le=\"+Inf\"} 2\n"
                           "a_sum{b=\"c\"} 1\na_count{b=\"c\"} 2\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_figure_has_its_series),
        cmocka_unit_test(histograms_are_cumulative_and_exact_at_their_bounds),
        cmocka_unit_test(random_histograms_stay_valid),
        cmocka_unit_test(hostile_names_stay_inside_their_labels),
        cmocka_unit_test(a_full_disk_is_told),
        cmocka_unit_test(the_checker_of_this_test_is_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
