/* SPDX-License-Identifier: MIT */
#include "support.h"

#include "monitor/out.h"

#include <errno.h>
#include <locale.h>

static void encode(unsigned code, char *out)
{
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xC0 | code >> 6);
        *out++ = (char)(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        *out++ = (char)(0xE0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code & 0x3F));
    } else {
        *out++ = (char)(0xF0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 0x3F));
        *out++ = (char)(0x80 | (code >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code & 0x3F));
    }
    *out = '\0';
}

static void every_character_is_recognised(void **state)
{
    for (unsigned code = 1; code < 0x120000; code++) {
        char text[8];
        bool valid = code < 0x110000 && (code < 0xD800 || code > 0xDFFF);
        encode(code, text);
        assert_int_equal(pnx__out_character(text), valid ? strlen(text) : 0);
    }
}

/* All texts of three bytes, of which each may be anything: where a character is recognised it is
 * the only way to write its code point. */
static void nothing_else_is(void **state)
{
    for (unsigned bytes = 0; bytes < 1u << 24; bytes++) {
        char text[4] = {(char)(bytes >> 16), (char)(bytes >> 8), (char)bytes, 0};
        size_t length = pnx__out_character(text);
        if (length < 2) {
            assert_int_equal(length, bytes >> 16 >= 1 && bytes >> 16 <= 0x7F);
            continue;
        }
        const unsigned char *b = (const unsigned char *)text;
        unsigned code = length == 2 ? (b[0] & 0x1Fu) << 6 | (b[1] & 0x3F)
                                    : (b[0] & 0x0Fu) << 12 | (b[1] & 0x3Fu) << 6 | (b[2] & 0x3F);
        char again[8];
        encode(code, again);
        assert_int_equal(strlen(again), length);
        assert_memory_equal(again, text, length);
    }
    assert_int_equal(pnx__out_character("\xF0\x9F\xA7"), 0);
}

static void decimals_have_a_point_in_every_locale(void **state)
{
    static const struct {
        uint64_t billionths;
        const char *text;
    } cases[] = {
        {0, "0.000000000"},
        {1, "0.000000001"},
        {1500000000, "1.500000000"},
        {UINT64_MAX, "18446744073.709551615"},
    };
    setlocale(LC_ALL, "de_DE.UTF-8"); /* where it is installed */
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = WRITTEN(pnx__out_decimal(out, cases[i].billionths));
        assert_string_equal(text, cases[i].text);
        free(text);
    }
    setlocale(LC_ALL, "C");
}

static void a_stream_that_fails_is_told(void **state)
{
    pnx_error err = {0};
    FILE *full = fopen("/dev/full", "w");
    assert_non_null(full);
    fputs("text", full);
    assert_int_equal(pnx__out_finish(full, "the text", &err), PNX_EFAILED);
    assert_int_equal(err.sys_errno, ENOSPC);
    assert_non_null(strstr(err.message, "the text"));

    /* Whatever failed before counts too, for it is missing in what was written. */
    pnx_error_clear(&err);
    assert_int_equal(pnx__out_finish(full, "the text", &err), PNX_EFAILED);
    fclose(full);

    FILE *null = fopen("/dev/null", "w");
    assert_int_equal(pnx__out_finish(null, "the text", &err), PNX_OK);
    fclose(null);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_is_recognised),
        cmocka_unit_test(nothing_else_is),
        cmocka_unit_test(decimals_have_a_point_in_every_locale),
        cmocka_unit_test(a_stream_that_fails_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
