/* SPDX-License-Identifier: MIT */
/* What it needs from the system is refused: an error comes back, nothing is lost. */
#include "base/sys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <patinox/pressure.h>

static enum pnx__fault refused;

static bool refuse(enum pnx__fault point)
{
    return point == refused;
}

static pnx_status create(enum pnx__fault point, pnx_error *err)
{
    const pnx_pressure_config config = {.source = "/proc/pressure/cpu"};
    pnx_pressure *none = NULL;
    refused = point;
    pnx__fault_hook = refuse;
    const pnx_status status = pnx_pressure_create(&config, &none, err);
    pnx__fault_hook = NULL;
    assert_null(none);
    assert_true(err->message[0]);
    return status;
}

static void each_refusal_is_told(void **state)
{
    pnx_error err = {0};
    pnx_pressure *whole;
    (void)state;
    const pnx_pressure_config config = {.source = "/proc/pressure/cpu"};
    assert_int_equal(create(PNX__FAULT_ALLOC, &err), PNX_ENOMEM);
    if (pnx_pressure_create(&config, &whole, &err) != PNX_OK) {
        print_message("skipped: %s\n", err.message);
        skip();
    }
    assert_int_equal(pnx_pressure_destroy(whole, &err), PNX_OK);
    assert_int_equal(create(PNX__FAULT_EVENTFD, &err), PNX_EFAILED);
    assert_int_equal(create(PNX__FAULT_THREAD, &err), PNX_EFAILED);
}

static void tell(pnx_pressure_level level, void *context)
{
    (void)level;
    ++*(unsigned *)context;
}

static void no_memory_for_a_subscriber(void **state)
{
    pnx_error err = {0};
    pnx_pressure *pressure;
    unsigned count = 0;
    (void)state;
    const pnx_pressure_config config = {.manual = true};
    assert_int_equal(pnx_pressure_create(&config, &pressure, &err), PNX_OK);
    refused = PNX__FAULT_ALLOC;
    pnx__fault_hook = refuse;
    assert_int_equal(pnx_pressure_subscribe(pressure, tell, &count, NULL, &err), PNX_ENOMEM);
    pnx__fault_hook = NULL;
    assert_int_equal(pnx_pressure_tell(pressure, PNX_PRESSURE_SOME), PNX_OK);
    assert_int_equal(count, 0);
    assert_int_equal(pnx_pressure_destroy(pressure, &err), PNX_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_refusal_is_told),
        cmocka_unit_test(no_memory_for_a_subscriber),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
