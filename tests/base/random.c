/* SPDX-License-Identifier: MIT */
/* Tests of src/patinox/base/random.h. */
#include "base/random.h"

#include "support.h"

static void sequence_is_that_of_splitmix64(void **state)
{
    /* The first outputs of the reference implementation for the seed 1234567. */
    static const uint64_t expected[] = {
        UINT64_C(6457827717110365317),  UINT64_C(3203168211198807973),
        UINT64_C(9817491932198370423),  UINT64_C(4593380528125082431),
        UINT64_C(16408922859458223821),
    };
    pnx__random random = {1234567};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        assert_true(pnx__random_next(&random) == expected[i]);
    }
}

static void same_seed_gives_the_same_numbers(void **state)
{
    pnx__random a = {42};
    pnx__random b = {42};
    pnx__random c = {43};
    int different = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t number = pnx__random_next(&a);
        assert_true(number == pnx__random_next(&b));
        different += number != pnx__random_next(&c);
    }
    assert_int_equal(different, 100);
}

static void below_stays_below(void **state)
{
    pnx__random random = test_random();
    for (size_t i = test_effort(100000); i > 0; i--) {
        uint64_t bound = test_any_magnitude(&random);
        uint64_t number = pnx__random_below(&random, bound);
        assert_true(bound == 0 ? number == 0 : number < bound);
    }
    assert_true(pnx__random_below(&random, 1) == 0);
    assert_true(pnx__random_below(&random, 0) == 0);
}

static void below_is_even(void **state)
{
    enum { BOUND = 10, DRAWS = 100000 };
    pnx__random random = {7};
    int counts[BOUND] = {0};
    for (int i = 0; i < DRAWS; i++) {
        counts[pnx__random_below(&random, BOUND)]++;
    }
    for (int i = 0; i < BOUND; i++) {
        assert_in_range(counts[i], DRAWS / BOUND * 95 / 100, DRAWS / BOUND * 105 / 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequence_is_that_of_splitmix64),
        cmocka_unit_test(same_seed_gives_the_same_numbers),
        cmocka_unit_test(below_stays_below),
        cmocka_unit_test(below_is_even),
    };
    return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
