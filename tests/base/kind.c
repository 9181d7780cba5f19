/* SPDX-License-Identifier: MIT */
/* Tests of src/patinox/base/kind.c. */
#include "support.h"

#include <ctype.h>
#include <limits.h>
#include <patinox/kind.h>

typedef const char *(*name_fn)(int);

static const char *priority_name(int value)
{
    return pnx_priority_name((pnx_priority)value);
}

static const char *reason_name(int value)
{
    return pnx_reason_name((pnx_reason)value);
}

static const char *state_name(int value)
{
    return pnx_state_name((pnx_state)value);
}

/* Each value has a name of its own, in lower case; any other number has one too. */
static void check_names(name_fn name, int count)
{
    for (int i = 0; i < count; i++) {
        assert_non_null(name(i));
        assert_true(islower((unsigned char)name(i)[0]));
        assert_string_not_equal(name(i), "unknown");
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(name(i), name(j));
        }
    }
    const int others[] = {-1, count, count + 1, INT_MAX, INT_MIN};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_string_equal(name(others[i]), "unknown");
    }
}

static void every_value_has_its_own_name(void **state)
{
    check_names(priority_name, PNX_PRIORITY_COUNT);
    check_names(reason_name, PNX_REASON_COUNT);
    check_names(state_name, PNX_STATE_COUNT);
}

static void names_are_those_of_the_documentation(void **state)
{
    assert_string_equal(pnx_priority_name(PNX_NORMAL), "normal");
    assert_string_equal(pnx_priority_name(PNX_LOW), "low");
    assert_string_equal(pnx_priority_name(PNX_HIGH), "high");
    assert_string_equal(pnx_priority_name(PNX_CRITICAL), "critical");
    assert_string_equal(pnx_reason_name(PNX_SCOPE_END), "scope end");
    assert_string_equal(pnx_reason_name(PNX_MEMORY_PRESSURE), "memory pressure");
    assert_string_equal(pnx_state_name(PNX_FREE), "free");
    assert_string_equal(pnx_state_name(PNX_LIVE), "live");
    assert_string_equal(pnx_state_name(PNX_ABANDONED), "abandoned");
}

static void rank_orders_low_to_critical(void **state)
{
    assert_int_equal(pnx_priority_rank(PNX_LOW), 0);
    assert_int_equal(pnx_priority_rank(PNX_NORMAL), 1);
    assert_int_equal(pnx_priority_rank(PNX_HIGH), 2);
    assert_int_equal(pnx_priority_rank(PNX_CRITICAL), 3);
}

static void rank_of_nonsense_is_normal(void **state)
{
    assert_int_equal(pnx_priority_rank((pnx_priority)-1), 1);
    assert_int_equal(pnx_priority_rank(PNX_PRIORITY_COUNT), 1);
    assert_int_equal(pnx_priority_rank((pnx_priority)INT_MAX), 1);
}

static void a_kind_that_says_nothing_is_normal(void **state)
{
    const pnx_kind kind = {.name = "silent"};
    assert_int_equal(kind.priority, PNX_NORMAL);
    assert_int_equal(kind.on_fork, PNX_FORK_DISOWN);
}

static const pnx_site *same_place(void)
{
    return PNX_HERE;
}

static void here_is_one_address_for_one_place(void **state)
{
    assert_ptr_equal(same_place(), same_place());
    assert_string_equal(same_place()->function, "same_place");
    assert_contains(same_place()->file, "kind.c");
    const pnx_site *here = PNX_HERE;
    assert_int_equal(here->line, __LINE__ - 1);
    assert_ptr_not_equal(here, PNX_HERE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_has_its_own_name),
        cmocka_unit_test(names_are_those_of_the_documentation),
        cmocka_unit_test(rank_orders_low_to_critical),
        cmocka_unit_test(rank_of_nonsense_is_normal),
        cmocka_unit_test(a_kind_that_says_nothing_is_normal),
        cmocka_unit_test(here_is_one_address_for_one_place),
    };
    return cmocka_run_group_tests_name("kind", tests, NULL, NULL);
}
