/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <stdio.h>

static struct {
    unsigned count;
    pnx_log_level level;
    char message[1024];
} logged;

static void record(pnx_log_level level, const char *message, void *context)
{
    logged.count++;
    logged.level = level;
    snprintf(logged.message, sizeof(logged.message), "%s", message);
}

static void log_event(const pnx_event *event)
{
    memset(&logged, 0, sizeof(logged));
    pnx_log_set(record, NULL, PNX_LOG_DEBUG);
    pnx_monitor_log(event, NULL);
    pnx_log_set(NULL, NULL, PNX_LOG_ERROR);
}

static void trouble_is_logged_and_normal_life_is_not(void **state)
{
    enum { NOT = -1 };
    static const int levels[PNX_EVENT_COUNT] = {
        [PNX_EVENT_REGISTERED] = NOT,
        [PNX_EVENT_SCHEDULED] = NOT,
        [PNX_EVENT_STARTED] = NOT,
        [PNX_EVENT_COMPLETED] = NOT,
        [PNX_EVENT_FAILED] = PNX_LOG_ERROR,
        [PNX_EVENT_RETRIED] = PNX_LOG_WARNING,
        [PNX_EVENT_TIMED_OUT] = PNX_LOG_WARNING,
        [PNX_EVENT_FALLBACK] = PNX_LOG_WARNING,
        [PNX_EVENT_ABANDONED] = PNX_LOG_ERROR,
        [PNX_EVENT_LATE_COMPLETION] = PNX_LOG_WARNING,
        [PNX_EVENT_SCHEDULE_FAILED] = PNX_LOG_WARNING,
        [PNX_EVENT_LEAKED] = PNX_LOG_WARNING,
        [PNX_EVENT_SHUTDOWN_BEGIN] = NOT,
        [PNX_EVENT_SHUTDOWN_END] = NOT,
    };
    for (pnx_event_type type = 0; type < PNX_EVENT_COUNT; type++) {
        pnx_event event = {.type = type, .id = {1, 2}};
        log_event(&event);
        assert_int_equal(logged.count, levels[type] == NOT ? 0 : 1);
        if (levels[type] != NOT) {
            assert_int_equal(logged.level, levels[type]);
            assert_non_null(strstr(logged.message, pnx_event_name(type)));
        }
    }
}

static void a_line_names_the_thing_the_cause_and_the_place(void **state)
{
    static const pnx_kind kind = {.name = "conn"};
    static const pnx_site site = {.file = "src/db.c", .function = "open_db", .line = 17};
    pnx_event event = {.type = PNX_EVENT_FAILED,
                       .status = PNX_ETIMEOUT,
                       .attempt = 3,
                       .reason = PNX_SHUTDOWN,
                       .id = {1, 2},
                       .kind = &kind,
                       .site = &site};
    log_event(&event);
    assert_string_equal(logged.message, "conn 00000000-0000-0001-0000-000000000002: failed "
                                        "(shutdown, timeout, attempt 3), reserved at src/db.c:17");
}

static void lost_events_are_logged(void **state)
{
    pnx_event event = {.type = PNX_EVENT_COMPLETED, .lost = 12};
    log_event(&event);
    assert_int_equal(logged.count, 1);
    assert_int_equal(logged.level, PNX_LOG_WARNING);
    assert_string_equal(logged.message, "12 events were lost: the monitors are too slow");
}

static void names_of_any_length_and_content_are_survived(void **state)
{
    char name[5000];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    pnx_kind kind = {.name = name};
    pnx_site site = {.file = name, .function = name, .line = 1};
    pnx_event event = {.type = PNX_EVENT_LEAKED, .kind = &kind, .site = &site};
    log_event(&event);
    assert_int_equal(logged.count, 1);

    kind.name = NULL;
    log_event(&event);
    assert_non_null(strstr(logged.message, "resource "));
    for (size_t i = 0; i < HOSTILE_NAMES; i++) {
        kind.name = hostile_names[i];
        site.file = hostile_names[i];
        log_event(&event);
        assert_null(strchr(logged.message, '\n'));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trouble_is_logged_and_normal_life_is_not),
        cmocka_unit_test(a_line_names_the_thing_the_cause_and_the_place),
        cmocka_unit_test(lost_events_are_logged),
        cmocka_unit_test(names_of_any_length_and_content_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
