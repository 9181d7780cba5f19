/* SPDX-License-Identifier: MIT */
/* Tests of src/patinox/base/text.c. */
#include "base/text.h"

#include "support.h"

#include <errno.h>
#include <wchar.h>

/* Characters of one to four bytes. */
static const char *const characters[] = {"a", "ß", "€", "😀"};

/* `length` bytes at most of random characters, terminated. Returns the length. */
static size_t random_text(pnx__random *random, char *buffer, size_t length)
{
    size_t end = 0;
    for (;;) {
        const char *character = characters[pnx__random_below(random, 4)];
        if (end + strlen(character) > length) {
            buffer[end] = '\0';
            return end;
        }
        memcpy(buffer + end, character, strlen(character));
        end += strlen(character);
    }
}

static void what_fits_is_copied_whole(void **state)
{
    char buffer[8];
    assert_int_equal(pnx__text_copy(buffer, sizeof(buffer), "1234567"), 7);
    assert_string_equal(buffer, "1234567");
    assert_int_equal(pnx__text_copy(buffer, sizeof(buffer), ""), 0);
    assert_string_equal(buffer, "");
}

static void what_does_not_fit_ends_in_dots(void **state)
{
    char buffer[8];
    assert_int_equal(pnx__text_copy(buffer, sizeof(buffer), "12345678"), 8);
    assert_string_equal(buffer, "1234...");
    assert_int_equal(pnx__text_format(buffer, sizeof(buffer), "%s-%d", "12345", 678), 9);
    assert_string_equal(buffer, "1234...");
    /* The € would be split: it goes altogether. */
    assert_int_equal(pnx__text_copy(buffer, sizeof(buffer), "12€3456"), 9);
    assert_string_equal(buffer, "12...");
}

static void tiny_buffers_are_terminated(void **state)
{
    char buffer[5] = "####";
    assert_int_equal(pnx__text_copy(buffer, 0, "long text"), 9);
    assert_string_equal(buffer, "####");
    assert_int_equal(pnx__text_copy(NULL, 0, "long text"), 9);
    assert_int_equal(pnx__text_format(NULL, 0, "%s", "long text"), 9);
    for (size_t size = 1; size <= 3; size++) {
        pnx__text_copy(buffer, size, "long text");
        assert_string_equal(buffer, "");
    }
    pnx__text_copy(buffer, 4, "long text");
    assert_string_equal(buffer, "...");
}

static void cut_texts_are_a_beginning_and_utf8(void **state)
{
    pnx__random random = test_random();
    for (size_t i = test_effort(20000); i > 0; i--) {
        char text[64];
        char copied[64];
        char formatted[64];
        size_t length = random_text(&random, text, pnx__random_below(&random, sizeof(text)));
        size_t size = pnx__random_below(&random, sizeof(copied)) + 1;
        memset(copied, '#', sizeof(copied));
        assert_int_equal(pnx__text_copy(copied, size, text), length);
        assert_int_equal(pnx__text_format(formatted, size, "%s", text), length);
        assert_string_equal(copied, formatted);
        assert_true(strlen(copied) < size);
        assert_true(test_is_utf8(copied));
        if (size < sizeof(copied)) {
            assert_int_equal(copied[size], '#');
        }
        if (length < size) {
            assert_string_equal(copied, text);
        } else if (size >= 4) {
            size_t kept = strlen(copied) - 3;
            assert_string_equal(copied + kept, "...");
            assert_memory_equal(copied, text, kept);
            /* No more is cut than one character that does not fit. */
            assert_true(kept + 3 >= size - 1 - 3);
        }
    }
}

static void bytes_that_are_not_utf8_are_cut_anywhere(void **state)
{
    char text[41];
    memset(text, 0x80, sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(pnx__text_cut(text, 40, 20), 20);
    assert_int_equal(pnx__text_cut(text, 40, 2), 2);
    assert_int_equal(pnx__text_cut(text, 40, 0), 0);
    assert_int_equal(pnx__text_cut(text, 40, 40), 40);
    text[0] = 'a';
    assert_int_equal(pnx__text_cut(text, 40, 20), 20);
    assert_int_equal(pnx__text_cut(text, 40, 3), 0);
    char quoted[PNX__QUOTE_SIZE];
    pnx__text_quote(quoted, text);
    assert_int_equal(strlen(quoted), 42);
}

static void format_keeps_errno_and_shows_it(void **state)
{
    char buffer[64];
    errno = ENOENT;
    pnx__text_format(buffer, sizeof(buffer), "open: %m");
    assert_int_equal(errno, ENOENT);
    assert_string_equal(buffer, "open: No such file or directory");
}

static void format_that_libc_refuses_is_shown_as_it_is(void **state)
{
    char buffer[64];
    errno = ENOENT;
    /* The C locale has no such character: vsnprintf answers EILSEQ. */
    size_t length = pnx__text_format(buffer, sizeof(buffer), "[%ls]", L"€");
    assert_string_equal(buffer, "[%ls]");
    assert_int_equal(length, strlen(buffer));
    assert_int_equal(errno, ENOENT);
}

static void quote_shows_what_cannot_be_seen(void **state)
{
    char quoted[PNX__QUOTE_SIZE];
    assert_string_equal(pnx__text_quote(quoted, "plain"), "\"plain\"");
    assert_string_equal(pnx__text_quote(quoted, ""), "\"\"");
    assert_string_equal(pnx__text_quote(quoted, NULL), "NULL");
    assert_string_equal(pnx__text_quote(quoted, "a\nb\x1b[31m\x7f"), "\"a\\x0ab\\x1b[31m\\x7f\"");
    assert_string_equal(pnx__text_quote(quoted, "say \"hi\" \\"), "\"say \\\"hi\\\" \\\\\"");
    assert_string_equal(pnx__text_quote(quoted, "5 µs"), "\"5 µs\"");
}

static void quote_fits_whatever_comes(void **state)
{
    pnx__random random = test_random();
    for (size_t i = test_effort(20000); i > 0; i--) {
        char text[128];
        char quoted[PNX__QUOTE_SIZE + 1];
        size_t length = random_text(&random, text, pnx__random_below(&random, sizeof(text)));
        for (size_t k = pnx__random_below(&random, 8); k > 0 && length > 0; k--) {
            size_t at = pnx__random_below(&random, length);
            if ((unsigned char)text[at] < 0x80) {
                text[at] = "\"\\\n\x7f"[pnx__random_below(&random, 4)];
            }
        }
        quoted[PNX__QUOTE_SIZE] = '#';
        pnx__text_quote(quoted, text);
        assert_int_equal(quoted[PNX__QUOTE_SIZE], '#');
        assert_true(strlen(quoted) < PNX__QUOTE_SIZE);
        assert_true(test_is_utf8(quoted));
        assert_int_equal(quoted[0], '"');
        bool cut = quoted[strlen(quoted) - 1] == '.';
        assert_int_equal(quoted[strlen(quoted) - (cut ? 4 : 1)], '"');
        if (length * 4 + 6 <= PNX__QUOTE_SIZE) {
            assert_false(cut);
        }
        if (length + 3 > PNX__QUOTE_SIZE) {
            assert_true(cut);
        }
        for (const char *at = quoted; *at; at++) {
            assert_true((unsigned char)*at >= 0x20 && *at != 0x7f);
        }
    }
}

static void one_line_has_no_control_characters(void **state)
{
    char text[] = "two\nlines\r\n\tand \x1b[31mred\x7f ß";
    pnx__text_one_line(text);
    assert_string_equal(text, "two lines   and  [31mred  ß");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_is_copied_whole),
        cmocka_unit_test(what_does_not_fit_ends_in_dots),
        cmocka_unit_test(tiny_buffers_are_terminated),
        cmocka_unit_test(cut_texts_are_a_beginning_and_utf8),
        cmocka_unit_test(bytes_that_are_not_utf8_are_cut_anywhere),
        cmocka_unit_test(format_keeps_errno_and_shows_it),
        cmocka_unit_test(format_that_libc_refuses_is_shown_as_it_is),
        cmocka_unit_test(quote_shows_what_cannot_be_seen),
        cmocka_unit_test(quote_fits_whatever_comes),
        cmocka_unit_test(one_line_has_no_control_characters),
    };
    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
