/* SPDX-License-Identifier: MIT */
#include "support.h"

#include "json_check.h"

#include "base/random.h"

static void assert_string_is(const char *text, const char *json)
{
    char *written = WRITTEN(pnx_json_string(out, text));
    assert_string_equal(written, json);
    free(written);
}

static void strings_are_escaped(void **state)
{
    assert_string_is("", "\"\"");
    assert_string_is("plain / text", "\"plain / text\"");
    assert_string_is("a\"b\\c", "\"a\\\"b\\\\c\"");
    assert_string_is("a\nb\tc\x01\x7F", "\"a\\nb\\u0009c\\u0001\\u007f\"");
    assert_string_is("\xC3\xA9 \xF0\x9F\xA7\xB9", "\"\xC3\xA9 \xF0\x9F\xA7\xB9\"");
    assert_string_is("a\xFFz", "\"a\xEF\xBF\xBDz\"");
    assert_string_is("\xE2\x82", "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
    assert_string_is(NULL, "null");
}

static void any_bytes_make_a_valid_string(void **state)
{
    pnx__random random = {.state = 8};
    for (size_t i = 0; i < HOSTILE_NAMES; i++) {
        char *written = WRITTEN(pnx_json_string(out, hostile_names[i]));
        assert_true(is_json(written));
        free(written);
    }
    for (int i = 0; i < 20000; i++) {
        char text[24] = {0};
        size_t length = pnx__random_below(&random, sizeof(text));
        for (size_t j = 0; j < length; j++) {
            text[j] = (char)pnx__random_next(&random);
        }
        char *written = WRITTEN(pnx_json_string(out, text));
        assert_true(is_json(written));
        free(written);
    }
}

static void the_checker_of_this_test_is_strict(void **state)
{
    static const char *const wrong[] = {
        "",           "{",         "{}}", "[1,]",     "{\"a\"}",      "{\"a\":1,}",
        "01",         "1.",        "+1",  "'a'",      "\"a",          "\"\n\"",
        "\"\\x\"",    "\"\\u12\"", "nan", "\"\x80\"", "\"\xC0\xAF\"", "\"\xED\xA0\x80\"",
        "{\"a\" :1}", "1,5",       "1e",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(is_json(wrong[i]));
    }
    assert_true(is_json("{\"a\":[1,-2.5e+3,null,true,\"\\u00e9\"],\"b\":{}}"));
}

static void assert_has(const char *json, const char *part)
{
    if (!strstr(json, part)) {
        fail_msg("%s is not in %s", part, json);
    }
}

static void statistics_are_one_object_with_all_figures(void **state)
{
    pnx_kind_stats kinds[1] = {{
        .name = "conn",
        .counts = {.registered = 2, .done = 2},
        .by_priority[PNX_HIGH] = {.registered = 2, .done = 2},
    }};
    pnx_stats stats = {
        .registry = "main",
        .time = 12,
        .total = {.registered = 1,
                  .live = 2,
                  .queued = 3,
                  .running = 4,
                  .waiting = 5,
                  .done = 6,
                  .failed = 7,
                  .abandoned = 8,
                  .taken = 9,
                  .retried = 10,
                  .timed_out = 11,
                  .fallbacks = 12,
                  .late = 13,
                  .schedule_failed = 14,
                  .leaked = 15},
        .by_priority[PNX_LOW] = {.live = 77},
        .kind_count = 1,
        .kinds = kinds,
        .slots = 22,
        .workers = 5,
        .workers_idle = 1,
        .workers_hung = 2,
        .workers_replaced = 3,
        .workers_max = 9,
        .timers = 23,
        .events_lost = 24,
        .oldest_queued = 25,
        .backlog_high_water = 26,
        .shutting_down = true,
    };
    pnx_histogram_add(&stats.release_time, 100);
    pnx_histogram_add(&stats.release_time, 3);
    char *json = WRITTEN(assert_int_equal(pnx_stats_write_json(&stats, out, NULL), PNX_OK));

    assert_true(is_json_line(json));
    assert_has(json, "{\"registry\":\"main\",\"time_ns\":12,\"total\":{\"registered\":1,\"live\":2,"
                     "\"queued\":3,\"running\":4,\"waiting\":5,\"done\":6,\"failed\":7,"
                     "\"abandoned\":8,\"taken\":9,\"retried\":10,\"timed_out\":11,\"fallbacks\":12,"
                     "\"late\":13,\"schedule_failed\":14,\"leaked\":15}");
    assert_has(json, "\"low\":{\"registered\":0,\"live\":77,");
    assert_has(json, "\"kinds\":[{\"name\":\"conn\",\"counts\":{\"registered\":2,");
    assert_has(json, "\"success_rate\":0.285714285,");
    assert_has(json, "\"slots\":22,");
    assert_has(json, "\"workers\":{\"count\":5,\"idle\":1,\"hung\":2,\"replaced\":3,\"max\":9},");
    assert_has(json, "\"timers\":23,\"events_lost\":24,\"oldest_queued_ns\":25,"
                     "\"backlog_high_water\":26,\"shutting_down\":true,");
    assert_has(json, "\"health\":{\"level\":\"failing\",\"reasons\":[{\"level\":\"failing\","
                     "\"text\":\"success rate 28.57 % is below 90.00 %\"},");
    assert_has(json, "\"queue_wait\":{\"count\":0,\"sum_ns\":0,\"max_ns\":0,\"p50_ns\":0,"
                     "\"p90_ns\":0,\"p99_ns\":0,\"p999_ns\":0,\"buckets\":[]}");
    assert_has(json, "\"release_time\":{\"count\":2,\"sum_ns\":103,\"max_ns\":100,\"p50_ns\":3,"
                     "\"p90_ns\":100,\"p99_ns\":100,\"p999_ns\":100,\"buckets\":[[3,1],[100,1]]}");
    free(json);
}

static void hostile_names_stay_inside_their_strings(void **state)
{
    pnx_kind_stats kinds[HOSTILE_NAMES + 1] = {0}; /* the last name is NULL */
    for (size_t i = 0; i < HOSTILE_NAMES; i++) {
        kinds[i].name = hostile_names[i];
    }
    for (size_t i = 0; i < HOSTILE_NAMES; i++) {
        pnx_stats stats = {
            .registry = hostile_names[i],
            .kinds = kinds,
            .kind_count = HOSTILE_NAMES + 1,
        };
        char *json = WRITTEN(assert_int_equal(pnx_stats_write_json(&stats, out, NULL), PNX_OK));
        assert_true(is_json_line(json));
        free(json);
    }
}

static void a_full_disk_is_told(void **state)
{
    pnx_error err = {0};
    pnx_stats stats = {.registry = "main"};
    FILE *full = fopen("/dev/full", "w");
    assert_int_equal(pnx_stats_write_json(&stats, full, &err), PNX_EFAILED);
    assert_int_equal(err.code, PNX_EFAILED);
    fclose(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(any_bytes_make_a_valid_string),
        cmocka_unit_test(the_checker_of_this_test_is_strict),
        cmocka_unit_test(statistics_are_one_object_with_all_figures),
        cmocka_unit_test(hostile_names_stay_inside_their_strings),
        cmocka_unit_test(a_full_disk_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
