/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/report. */
#include "support.h"

#include "report/escape.h"

/* ---- names ----------------------------------------------------------------------------------- */

static char *printed(const char *name, size_t most)
{
    static char text[1024];
    FILE *out = fmemopen(text, sizeof text, "w");
    assert_non_null(out);
    pnx__print_name(out, name, most);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void harmless_names_are_printed_as_they_are(void **state)
{
    const char *const names[] = {"", "file", "a b", "ä€𝄞", "-rf", "%s%n", "a\\b", "\"q\""};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_string_equal(printed(names[i], SIZE_MAX), names[i]);
}

static void nothing_reaches_the_terminal_as_a_command(void **state)
{
    static const char *const cases[][2] = {
        {"two\nlines", "two\\nlines"},
        {"tab\there\r", "tab\\there\\r"},
        {"\033[31mred\a", "\\x1b[31mred\\x07"},
        {"\x7f", "\\x7f"},
        {"c1 \xc2\x9b"
         "31m",
         "c1 \\xc2\\x9b31m"}, /* CSI in one character */
        {"\xe2\x80\xae"
         "txt.exe",
         "\\xe2\\x80\\xaetxt.exe"}, /* writes from right to left */
        {"\xe2\x81\xa6x", "\\xe2\\x81\\xa6x"},
        {"zero\xe2\x80\x8bwidth", "zero\\xe2\\x80\\x8bwidth"},
        {"\xef\xbb\xbf"
         "bom",
         "\\xef\\xbb\\xbf"
         "bom"},
        {"\xff\xfe", "\\xff\\xfe"},
        {"\xc3", "\\xc3"},                            /* cut off */
        {"\xc0\xaf", "\\xc0\\xaf"},                   /* overlong */
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"},          /* a surrogate */
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, /* beyond Unicode */
        {"\xe2\x82(", "\\xe2\\x82("},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(printed(cases[i][0], SIZE_MAX), cases[i][1]);
}

static void every_byte_is_printable_ascii_or_well_formed(void **state)
{
    for (int first = 1; first < 256; first++) {
        for (int second = 1; second < 256; second++) {
            char name[] = {(char)first, (char)second, '\0'};
            const unsigned char *text = (const unsigned char *)printed(name, SIZE_MAX);
            for (; *text; text++) {
                assert_true(*text >= 0x20 && *text != 0x7f);
                if (*text >= 0x80) {
                    assert_true(*text >= 0xc2 && text[1] >= 0x80 && text[1] < 0xc0);
                    assert_false(*text == 0xc2 && text[1] < 0xa0);
                    text++;
                }
            }
        }
    }
}

static void long_names_are_cut(void **state)
{
    assert_string_equal(printed("abcdef", 6), "abcdef");
    assert_string_equal(printed("abcdefg", 6), "abcdef…");
    assert_string_equal(printed("ääää", 2), "ää…");
    assert_string_equal(printed("\n\n\n", 4), "\\n\\n…");
}

/* ---- text ------------------------------------------------------------------------------------ */

static char *text_of(const pnx_session_report *report)
{
    static char *text;
    size_t size;
    free(text);
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    pnx_error err = {0};
    assert_ok(pnx_session_report_write_text(report, out, &err), &err);
    assert_int_equal(fclose(out), 0);
    return text;
}

#define ROW(KIND, NAME, DETAIL, ORIGIN, FATE, REASON)                                              \
    {                                                                                              \
        .kind = KIND, .id = (char[]){"1:2"}, .name = (char[]){NAME}, .detail = (char[]){DETAIL},   \
        .origin = ORIGIN, .outcome = {                                                             \
            .fate = FATE,                                                                          \
            .verified = FATE == PNX_FATE_REMOVED,                                                  \
            .reason = REASON                                                                       \
        }                                                                                          \
    }

/* Takes no texts over: they are constants of the test. */
static void fill(pnx_session_report *report, const pnx_session_resource *rows, size_t row_count)
{
    for (size_t i = 0; i < row_count; i++)
        assert_int_equal(pnx_session_report_add(report, &rows[i]), PNX_OK);
}

static void count(pnx_session_report *report, const char *kind, const pnx_outcome *outcome,
                  uint64_t more)
{
    assert_int_equal(pnx_session_report_count(report, kind, PNX_ORIGIN_FOUND, outcome, more),
                     PNX_OK);
}

static void empty(pnx_session_report *report)
{
    free(report->resources);
    free(report->totals);
}

static void one_line_is_enough_when_it_is_clean(void **state)
{
    pnx_session_report report = {.name = (char[]){"make"}, .tier = 1, .duration = PNX_MS(1420)};
    assert_string_equal(text_of(&report), "cleanroom: make  exit 0  1.42 s  tier T1 (cgroup)  "
                                          "nothing left behind\n");
    report.exit_code = -1;
    report.exit_signal = SIGSEGV;
    report.duration = PNX_US(1500);
    report.tier = 0;
    assert_string_equal(text_of(&report), "cleanroom: make  ended by SIGSEGV  1.5 ms  "
                                          "tier T0 (subreaper)  nothing left behind\n");
    report.exit_signal = SIGTERM;
    report.timed_out = true;
    report.name = (char[]){"\033[2J"};
    report.duration = PNX_MS(500);
    assert_string_equal(text_of(&report), "cleanroom: \\x1b[2J  timed out  500 ms  "
                                          "tier T0 (subreaper)  nothing left behind\n");
}

static void leftovers_are_told_by_kind(void **state)
{
    pnx_session_resource rows[] = {
        ROW("process", "make", "", PNX_ORIGIN_MADE, PNX_FATE_ALREADY_GONE, ""),
        ROW("process", "sleep 1", "pid 5, daemon", PNX_ORIGIN_FOUND, PNX_FATE_REMOVED, ""),
        ROW("process", "sleep 2", "pid 6", PNX_ORIGIN_FOUND, PNX_FATE_REMOVED, "ignored SIGTERM"),
        ROW("process", "sleep 3", "pid 7", PNX_ORIGIN_FOUND, PNX_FATE_REMOVED, ""),
        ROW("process", "sleep 4", "pid 8", PNX_ORIGIN_FOUND, PNX_FATE_REMOVED, ""),
        ROW("process", "sleep 5", "pid 9", PNX_ORIGIN_FOUND, PNX_FATE_REMOVED, ""),
        ROW("process", "sleep 6", "pid 10", PNX_ORIGIN_FOUND, PNX_FATE_REMOVED, ""),
    };
    pnx_session_report report = {
        .name = (char[]){"make"},
        .tier = 1,
        .cleanup = PNX_MS(23),
        .files = {.files = 30, .directories = 1, .sockets = 2, .bytes = 1258291},
    };
    fill(&report, rows, 7);
    pnx_outcome gone = {.fate = PNX_FATE_REMOVED, .verified = true};
    count(&report, "process", &gone, 2);
    count(&report, "file", &gone, 33);
    assert_string_equal(text_of(&report),
                        "cleanroom: make  exit 0  0.0 ms  tier T1 (cgroup)\n"
                        "  left behind and removed\n"
                        "    process      8  sleep 1 (pid 5, daemon)\n"
                        "                    sleep 2 (pid 6, ignored SIGTERM)\n"
                        "                    sleep 3 (pid 7)\n"
                        "                    sleep 4 (pid 8)\n"
                        "                    sleep 5 (pid 9)\n"
                        "                    and 3 more\n"
                        "    file        33  1.2 MiB in TMPDIR: 30 files, 1 directory, 2 sockets\n"
                        "  41 leftovers, removed and verified gone in 23 ms\n");
    empty(&report);
}

static void what_stays_is_told_with_its_reason(void **state)
{
    pnx_session_resource rows[] = {
        ROW("tempdir", "/tmp/x", "", PNX_ORIGIN_MADE, PNX_FATE_STUCK, "x is not removed"),
        ROW("process", "sudo", "pid 5", PNX_ORIGIN_FOUND, PNX_FATE_STUCK, "it runs as uid 0"),
        ROW("file", "a\nb", "", PNX_ORIGIN_FOUND, PNX_FATE_STUCK, "Permission denied"),
    };
    pnx_session_report report = {
        .name = (char[]){"make"},
        .cleanup = PNX_S(2),
        .files = {.files = 4, .stuck = 1},
    };
    fill(&report, rows, 3);
    count(&report, "file", &(pnx_outcome){.fate = PNX_FATE_REMOVED, .verified = true}, 4);
    assert_string_equal(text_of(&report),
                        "cleanroom: make  exit 0  0.0 ms  tier T0 (subreaper)\n"
                        "  left behind and removed\n"
                        "    file         4  in TMPDIR: 4 files\n"
                        "  could not be removed\n"
                        "    process      1  sudo (pid 5): it runs as uid 0\n"
                        "    file         1  a\\nb: Permission denied\n"
                        "    tempdir      1  /tmp/x: x is not removed\n"
                        "  6 leftovers: 4 removed and verified gone, 2 not removed; "
                        "1 of the run's own not removed, in 2.00 s\n");
    empty(&report);
}

static void a_stream_that_fails_is_told(void **state)
{
    pnx_session_report report = {.name = (char[]){"make"}};
    pnx_error err = {0};
    FILE *full = fopen("/dev/full", "w");
    assert_non_null(full);
    assert_int_equal(pnx_session_report_write_text(&report, full, &err), PNX_EFAILED);
    assert_int_equal(err.sys_errno, ENOSPC);
    fclose(full);
    full = fopen("/dev/full", "w");
    assert_int_equal(pnx_session_report_write_json(&report, full, &err), PNX_EFAILED);
    fclose(full);
}

static void names_are_never_null(void **state)
{
    for (int fate = -1; fate <= PNX_FATE_COUNT; fate++)
        assert_non_null(pnx_fate_name((pnx_fate)fate));
    assert_string_equal(pnx_origin_name(PNX_ORIGIN_MADE), "made");
    assert_string_equal(pnx_origin_name(PNX_ORIGIN_FOUND), "found");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(harmless_names_are_printed_as_they_are),
        cmocka_unit_test(nothing_reaches_the_terminal_as_a_command),
        cmocka_unit_test(every_byte_is_printable_ascii_or_well_formed),
        cmocka_unit_test(long_names_are_cut),
        cmocka_unit_test(one_line_is_enough_when_it_is_clean),
        cmocka_unit_test(leftovers_are_told_by_kind),
        cmocka_unit_test(what_stays_is_told_with_its_reason),
        cmocka_unit_test(a_stream_that_fails_is_told),
        cmocka_unit_test(names_are_never_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
