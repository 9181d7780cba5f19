/* SPDX-License-Identifier: MIT */
#include "support.h"

static void every_event_has_a_name_of_its_own(void **state)
{
    for (pnx_event_type a = 0; a < PNX_EVENT_COUNT; a++) {
        assert_true(strlen(pnx_event_name(a)) > 0);
        for (pnx_event_type b = 0; b < a; b++) {
            assert_string_not_equal(pnx_event_name(a), pnx_event_name(b));
        }
    }
    assert_string_equal(pnx_event_name(PNX_EVENT_REGISTERED), "registered");
    assert_string_equal(pnx_event_name(PNX_EVENT_LATE_COMPLETION), "late completion");
    assert_string_equal(pnx_event_name(PNX_EVENT_SHUTDOWN_END), "shutdown end");
}

static void what_is_no_event_has_a_name_too(void **state)
{
    assert_string_equal(pnx_event_name(PNX_EVENT_COUNT), "unknown");
    assert_string_equal(pnx_event_name((pnx_event_type)-1), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_has_a_name_of_its_own),
        cmocka_unit_test(what_is_no_event_has_a_name_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
