/* SPDX-License-Identifier: MIT */
/* Tests of src/patinox/base/span.c. */
#include "support.h"

#include <inttypes.h>
#include <patinox/base.h>

#define MINUTE PNX_S(60)
#define HOUR PNX_S(3600)
#define DAY PNX_S(86400)

/* ---- reading --------------------------------------------------------------------------------- */

static void good_texts_are_read(void **state)
{
    static const struct {
        const char *text;
        pnx_duration span;
    } cases[] = {
        {"0", 0},
        {"0s", 0},
        {"1", PNX_S(1)},
        {"1.5", PNX_MS(1500)},
        {"1.5s", PNX_MS(1500)},
        {"200ms", PNX_MS(200)},
        {"2m30s", PNX_S(150)},
        {"1h", HOUR},
        {"7d", 7 * DAY},
        {"250us", PNX_US(250)},
        {"100ns", 100},
        {"forever", PNX_FOREVER},
        {" forever\n", PNX_FOREVER},
        {"  1h 2m\t3s ", HOUR + 2 * MINUTE + PNX_S(3)},
        {"5 s", PNX_S(5)},
        {"5 ms 7 us", PNX_MS(5) + PNX_US(7)},
        {"1ms1m", MINUTE + PNX_MS(1)},
        {"1s1s", PNX_S(2)},
        {"0.25h", 15 * MINUTE},
        {"0.5d", 12 * HOUR},
        {"00001.50000000000000000000000000000000000s", PNX_MS(1500)},
        {"0.000000001", 1},
        {"1.000000001", PNX_S(1) + 1},
        /* 2^-16 of a day: nothing finer is a whole number of nanoseconds. */
        {"0.0000152587890625d", INT64_C(1318359375)},
        {"9223372036854775806ns", PNX_FOREVER - 1},
        {"9223372036.854775806", PNX_FOREVER - 1},
        {"106751d23h47m16.854775806s", PNX_FOREVER - 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pnx_duration span = -1;
        pnx_error err = {0};
        if (pnx_span_parse(cases[i].text, &span, &err) != PNX_OK || span != cases[i].span) {
            fail_msg("\"%s\": %" PRId64 " %s", cases[i].text, span, err.message);
        }
        assert_int_equal(err.code, PNX_OK);
    }
}

static void bad_texts_are_refused_where_they_are_wrong(void **state)
{
    static const struct {
        const char *text;
        const char *problem;
    } cases[] = {
        {"", "\"\": expected a number at its end"},
        {"   ", "expected a number at its end"},
        {"s", "expected a number at \"s\""},
        {"ever", "expected a number at \"ever\""},
        {"forever1", "expected a number at \"forever1\""},
        {"forever forever", "expected a number at \"forever forever\""},
        {"Forever", "expected a number at \"Forever\""},
        {"-1s", "never negative, at \"-1s\""},
        {"1h-1s", "never negative, at \"-1s\""},
        {"+1s", "expected a number at \"+1s\""},
        {".5s", "expected a number at \".5s\""},
        {"5.s", "expected a digit after the point at \"s\""},
        {"5.", "expected a digit after the point at its end"},
        {"1..5s", "expected a digit after the point at \".5s\""},
        {"1.5.5s", "expected a unit (ns, us, ms, s, m, h, d) at \".5s\""},
        {"1,5s", "expected a unit (ns, us, ms, s, m, h, d) at \",5s\""},
        {"1x", "expected a unit (ns, us, ms, s, m, h, d) at \"x\""},
        {"1S", "expected a unit (ns, us, ms, s, m, h, d) at \"S\""},
        {"1sec", "expected a unit (ns, us, ms, s, m, h, d) at \"sec\""},
        {"1 min", "expected a unit (ns, us, ms, s, m, h, d) at \"min\""},
        {"1µs", "expected a unit (ns, us, ms, s, m, h, d) at \"µs\""},
        {"1e9", "expected a unit (ns, us, ms, s, m, h, d) at \"e9\""},
        {"0x10", "expected a unit (ns, us, ms, s, m, h, d) at \"x10\""},
        {"1h30", "expected a unit (ns, us, ms, s, m, h, d) at its end"},
        {"1 30", "expected a unit (ns, us, ms, s, m, h, d) at \"30\""},
        {"1forever", "expected a unit (ns, us, ms, s, m, h, d) at \"forever\""},
        {"1s forever", "expected a number at \"forever\""},
        {"1s,2s", "expected a number at \",2s\""},
        {"0.5ns", "finer than a nanosecond at \"0.5ns\""},
        {"1s 1.0000000001s", "finer than a nanosecond at \"1.0000000001s\""},
        {"0.00000000000000000000001d", "finer than a nanosecond at \"0.0000"},
        /* So many digits that 10 to their power is 0 in 64 bits. */
        {"1.0000000000000000000000000000000000000000000000000000000000000000000001s",
         "finer than a nanosecond at \"1.0000"},
        {"1\n\x1b[31m", "at \"\\x1b[31m\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pnx_duration span = 4711;
        pnx_error err = {0};
        assert_int_equal(pnx_span_parse(cases[i].text, &span, &err), PNX_EINVAL);
        assert_int_equal(pnx_span_parse(cases[i].text, &span, NULL), PNX_EINVAL);
        assert_int_equal(err.code, PNX_EINVAL);
        assert_int_equal(err.sys_errno, 0);
        assert_int_equal(span, 4711);
        assert_contains(err.message, "not a time span: \"");
        assert_contains(err.message, cases[i].problem);
        /* What would have been right is said too. */
        assert_contains(err.message, "(like \"2m30.5s\" or \"forever\")");
    }
}

static void too_long_spans_are_a_limit(void **state)
{
    static const char *const texts[] = {
        "9223372036854775807ns", /* PNX_FOREVER means something else */
        "9223372036854775808ns",
        "18446744073709551616ns",
        "18446744073709551617",
        "9223372036.854775807",
        "106752d",
        "106751d23h47m16.854775807s",
        "106751d 1d",
        "9223372036854775806ns 1ns",
        "99999999999999999999999999999999999999999999999999999",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        pnx_duration span = 4711;
        pnx_error err = {0};
        assert_int_equal(pnx_span_parse(texts[i], &span, &err), PNX_ELIMIT);
        assert_int_equal(err.code, PNX_ELIMIT);
        assert_int_equal(span, 4711);
        assert_contains(err.message, texts[i]);
        assert_contains(err.message, "at most 106751d (292 years), or \"forever\"");
    }
}

static void the_longest_message_is_whole(void **state)
{
    char text[1000];
    pnx_duration span;
    pnx_error err = {0};
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    text[0] = '1';
    assert_int_equal(pnx_span_parse(text, &span, &err), PNX_EINVAL);
    assert_contains(err.message, "expected a unit");
    assert_contains(err.message, "(like \"2m30.5s\" or \"forever\")");
}

static void missing_arguments_are_named(void **state)
{
    pnx_duration span;
    pnx_error err = {0};
    assert_int_equal(pnx_span_parse(NULL, &span, &err), PNX_EINVAL);
    assert_contains(err.message, "`text` is NULL");
    assert_int_equal(pnx_span_parse("1s", NULL, &err), PNX_EINVAL);
    assert_contains(err.message, "`ret` is NULL");
}

/* Random parts, and their sum computed another way: digit by digit, in 128 bits. */
static void random_sums_are_exact(void **state)
{
    static const struct {
        const char *name;
        int64_t length;
    } units[] = {
        {"ns", 1},     {"us", 1000}, {"ms", 1000000}, {"s", PNX_S(1)},
        {"m", MINUTE}, {"h", HOUR},  {"d", DAY},
    };
    __extension__ typedef __int128 wide;
    pnx__random random = test_random();
    for (size_t i = test_effort(50000); i > 0; i--) {
        char text[256] = "";
        size_t end = 0;
        wide sum = 0;
        bool exact = true;
        for (uint64_t parts = pnx__random_below(&random, 4) + 1; parts > 0; parts--) {
            size_t unit = pnx__random_below(&random, 7);
            uint64_t whole = test_any_magnitude(&random) / (uint64_t)units[unit].length;
            int digits = (int)pnx__random_below(&random, 12);
            wide scale = 1;
            end += (size_t)snprintf(text + end, sizeof(text) - end, "%" PRIu64, whole);
            sum += (wide)whole * units[unit].length;
            wide fraction = 0;
            for (int k = 0; k < digits; k++) {
                int digit = (int)pnx__random_below(&random, 10);
                end +=
                    (size_t)snprintf(text + end, sizeof(text) - end, "%s%d", k ? "" : ".", digit);
                fraction = fraction * 10 + digit;
                scale *= 10;
            }
            exact = exact && fraction * units[unit].length % scale == 0;
            sum += fraction * units[unit].length / scale;
            end += (size_t)snprintf(text + end, sizeof(text) - end, "%s", units[unit].name);
        }
        pnx_duration span = -1;
        pnx_status status = pnx_span_parse(text, &span, NULL);
        if (exact && sum < PNX_FOREVER) {
            assert_int_equal(status, PNX_OK);
            assert_true(span == sum);
        } else {
            assert_int_equal(span, -1);
            assert_true(status == PNX_ELIMIT || (status == PNX_EINVAL && !exact));
        }
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

static void spans_are_written_for_people(void **state)
{
    static const struct {
        pnx_duration span;
        const char *text;
    } cases[] = {
        {0, "0"},
        {1, "1ns"},
        {999, "999ns"},
        {PNX_US(250), "250us"},
        {PNX_US(1) + 500, "1.5us"},
        {PNX_MS(200), "200ms"},
        {PNX_MS(1500), "1.5s"},
        {PNX_S(1) + 1, "1.000000001s"},
        {PNX_S(10), "10s"},
        {MINUTE, "1m"},
        {PNX_S(150), "2m30s"},
        {HOUR, "1h"},
        {HOUR + 1, "1h1ns"},
        {HOUR + PNX_MS(3500), "1h3.5s"},
        {DAY + 2 * HOUR, "1d2h"},
        {PNX_FOREVER, "forever"},
        {PNX_FOREVER - 1, "106751d23h47m16.854775806s"},
        {-PNX_MS(1500), "-1.5s"},
        {-1, "-1ns"},
        {INT64_MIN, "-106751d23h47m16.854775808s"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[64];
        assert_int_equal(pnx_span_format(cases[i].span, text, sizeof(text)), strlen(cases[i].text));
        assert_string_equal(text, cases[i].text);
    }
}

static void format_works_like_snprintf(void **state)
{
    char text[5] = "####";
    assert_int_equal(pnx_span_format(PNX_S(150), NULL, 0), 5);
    assert_int_equal(pnx_span_format(PNX_S(150), text, sizeof(text)), 5);
    assert_string_equal(text, "2...");
    assert_int_equal(pnx_span_format(PNX_FOREVER, text, 1), 7);
    assert_string_equal(text, "");
}

static void every_span_is_read_back(void **state)
{
    pnx__random random = test_random();
    for (size_t i = test_effort(100000); i > 0; i--) {
        pnx_duration span = (pnx_duration)(test_any_magnitude(&random) >> 1);
        if (pnx__random_below(&random, 2)) {
            static const pnx_duration round[] = {1000, 1000000, PNX_S(1), MINUTE, HOUR, DAY};
            span -= span % round[pnx__random_below(&random, 6)];
        }
        char text[64];
        pnx_duration again = -1;
        assert_true(pnx_span_format(span, text, sizeof(text)) < sizeof(text));
        assert_int_equal(pnx_span_parse(text, &again, NULL), PNX_OK);
        assert_int_equal(again, span);
    }
}

static void garbage_is_refused_or_means_what_it_says(void **state)
{
    static const char alphabet[] = "0123456789...  \tsmhdunsforever-+eE\xc2\xb5\n\x01";
    pnx__random random = test_random();
    for (size_t i = test_effort(200000); i > 0; i--) {
        char text[24];
        size_t length = pnx__random_below(&random, sizeof(text));
        for (size_t k = 0; k < length; k++) {
            text[k] = alphabet[pnx__random_below(&random, sizeof(alphabet) - 1)];
        }
        text[length] = '\0';
        pnx_duration span = -1;
        pnx_error err = {0};
        pnx_status status = pnx_span_parse(text, &span, &err);
        if (status != PNX_OK) {
            assert_true(status == PNX_EINVAL || status == PNX_ELIMIT);
            assert_int_equal(span, -1);
            assert_int_equal(err.code, status);
            continue;
        }
        char again[64];
        pnx_duration parsed = -1;
        assert_true(span >= 0);
        pnx_span_format(span, again, sizeof(again));
        assert_int_equal(pnx_span_parse(again, &parsed, NULL), PNX_OK);
        assert_int_equal(parsed, span);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_texts_are_read),
        cmocka_unit_test(bad_texts_are_refused_where_they_are_wrong),
        cmocka_unit_test(too_long_spans_are_a_limit),
        cmocka_unit_test(the_longest_message_is_whole),
        cmocka_unit_test(missing_arguments_are_named),
        cmocka_unit_test(random_sums_are_exact),
        cmocka_unit_test(spans_are_written_for_people),
        cmocka_unit_test(format_works_like_snprintf),
        cmocka_unit_test(every_span_is_read_back),
        cmocka_unit_test(garbage_is_refused_or_means_what_it_says),
    };
    return cmocka_run_group_tests_name("span", tests, NULL, NULL);
}
