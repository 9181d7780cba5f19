/* SPDX-License-Identifier: MIT */
/* The example of docs/testing.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* [example] */
#include <patinox/patinox.h>
#include <patinox/test.h>

/* The thing is the test's, its kind is the program's: what is tested is how it is given back. */
PNX_KIND(conn, pnx_test_resource *, pnx_test_release, .priority = PNX_HIGH, .timeout = PNX_MS(500),
         .retries = 1, .retry_delay = PNX_MS(100), .fallback = pnx_test_fallback);

static void a_connection_that_cannot_be_closed_is_aborted(void **state)
{
    pnx_test_clock clock;
    pnx_test_clock_init(&clock, 0);
    const pnx_config config = {.executor = PNX_MANUAL, .clock = &clock.clock, .seed = 1};
    pnx_registry *registry;
    assert_int_equal(pnx_registry_create(&config, &registry, NULL), PNX_OK);
    pnx_test_monitor *monitor = pnx_test_monitor_new(registry, NULL);
    pnx_test_resource *conn = pnx_test_resource_new("conn", NULL);
    pnx_test_fail(conn, 2, PNX_EBUSY);
    {
        pnx_auto(conn) c = pnx_reserve(conn, registry, NULL);
        assert_true(pnx_arm(&c, conn));
    }
    pnx_test_run_until(registry, &clock, PNX_S(10)); /* ten seconds pass, at once */
    assert_string_equal(pnx_test_monitor_text(monitor, 0), "registered conn 1\n"
                                                           "scheduled conn 1: high, scope end\n"
                                                           "started conn 1: attempt 1\n"
                                                           "retried conn 1: attempt 1, busy\n"
                                                           "started conn 1: attempt 2\n"
                                                           "fallback conn 1: attempt 3\n"
                                                           "completed conn 1: attempt 3\n");
    assert_int_equal(pnx_test_recorded(conn).successes, 1);
    pnx_test_monitor_free(monitor);
    assert_int_equal(pnx_registry_shutdown(registry, NULL, NULL, NULL), PNX_OK);
    assert_int_equal(pnx_registry_destroy(registry, NULL), PNX_OK);
    pnx_test_resource_free(conn);
}
/* [example] */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_that_cannot_be_closed_is_aborted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
