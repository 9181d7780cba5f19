/* SPDX-License-Identifier: MIT */
/* Tests of src/patinox/base/version.c. */
#include "support.h"

#include <patinox/base.h>

static void loaded_version_is_that_of_the_header(void **state)
{
    char expected[32];
    snprintf(expected, sizeof(expected), "%d.%d.%d", PNX_VERSION_MAJOR, PNX_VERSION_MINOR,
             PNX_VERSION_PATCH);
    assert_string_equal(pnx_version(), expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loaded_version_is_that_of_the_header),
    };
    return cmocka_run_group_tests_name("version", tests, NULL, NULL);
}
