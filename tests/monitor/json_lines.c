/* SPDX-License-Identifier: MIT */
#include "support.h"

#include "json_check.h"

static void an_event_is_a_line_with_all_that_is_known(void **state)
{
    static const pnx_kind kind = {.name = "conn"};
    static const pnx_site site = {.file = "src/db.c", .function = "open_db", .line = 17};
    pnx_event event = {
        .type = PNX_EVENT_TIMED_OUT,
        .priority = PNX_CRITICAL,
        .reason = PNX_EXPIRY,
        .status = PNX_ETIMEOUT,
        .time = 5,
        .id = {0x0123456789abcdef, 0x8123456789abcdef},
        .kind = &kind,
        .site = &site,
        .queued = 6,
        .ran = 7,
        .attempt = 8,
        .lost = 9,
    };
    char *line = WRITTEN(pnx_monitor_json_lines(&event, out));
    assert_true(is_json_line(line));
    assert_string_equal(
        line,
        "{\"event\":\"timed out\",\"time_ns\":5,\"id\":\"01234567-89ab-cdef-8123-456789abcdef\","
        "\"kind\":\"conn\",\"priority\":\"critical\",\"reason\":\"expiry\","
        "\"status\":\"timeout\",\"attempt\":8,\"queued_ns\":6,\"ran_ns\":7,"
        "\"file\":\"src/db.c\",\"line\":17,\"function\":\"open_db\",\"lost\":9}\n");
    free(line);
}

static void what_is_not_known_is_left_out(void **state)
{
    pnx_event event = {.id = {1, 2}, .queued = -1, .ran = -1};
    char *line = WRITTEN(pnx_monitor_json_lines(&event, out));
    assert_true(is_json_line(line));
    static const char *const unknown[] = {"kind", "queued_ns", "ran_ns", "file", "line", "lost"};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        assert_null(strstr(line, unknown[i]));
    }
    free(line);

    pnx_event shutdown = {.type = PNX_EVENT_SHUTDOWN_BEGIN, .time = 3};
    line = WRITTEN(pnx_monitor_json_lines(&shutdown, out));
    assert_string_equal(line, "{\"event\":\"shutdown begin\",\"time_ns\":3}\n");
    free(line);
}

static void hostile_names_stay_inside_their_strings(void **state)
{
    for (size_t i = 0; i < HOSTILE_NAMES; i++) {
        pnx_kind kind = {.name = hostile_names[i]};
        pnx_site site = {.file = hostile_names[i], .function = hostile_names[i]};
        pnx_event event = {.id = {1, 2}, .kind = &kind, .site = &site};
        char *line = WRITTEN(pnx_monitor_json_lines(&event, out));
        assert_true(is_json_line(line));
        free(line);
    }
}

static void each_line_is_out_before_the_next_event(void **state)
{
    pnx_event event = {.type = PNX_EVENT_SHUTDOWN_END};
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    for (size_t i = 1; i <= 3; i++) {
        pnx_monitor_json_lines(&event, out);
        assert_int_equal(size, i * strlen("{\"event\":\"shutdown end\",\"time_ns\":0}\n"));
    }
    fclose(out);
    free(text);
}

static void a_full_disk_harms_nobody(void **state)
{
    pnx_event event = {.id = {1, 2}};
    FILE *full = fopen("/dev/full", "w");
    pnx_monitor_json_lines(&event, full);
    pnx_monitor_json_lines(&event, full);
    assert_true(ferror(full)); /* the program can see it */
    fclose(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_a_line_with_all_that_is_known),
        cmocka_unit_test(what_is_not_known_is_left_out),
        cmocka_unit_test(hostile_names_stay_inside_their_strings),
        cmocka_unit_test(each_line_is_out_before_the_next_event),
        cmocka_unit_test(a_full_disk_harms_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
