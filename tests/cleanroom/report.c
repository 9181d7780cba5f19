/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/report. */
#include "support.h"

#include "report/escape.h"
#include "report/figures.h"
#include "report/internal.h"
#include "report_samples.h"

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

static void every_form_tells_of_a_stream_that_fails(void **state)
{
    pnx_session_report report = {.name = (char[]){"make"}};
    for (int format = PNX_REPORT_TEXT; format <= PNX_REPORT_HTML; format++) {
        for (int several = 0; several < 2; several++) {
            pnx_error err = {0};
            FILE *full = fopen("/dev/full", "w");
            assert_non_null(full);
            pnx_status status =
                several ? pnx_session_reports_write(&report, 1, (pnx_report_format)format, NULL,
                                                    full, &err)
                        : pnx_session_report_write(&report, (pnx_report_format)format, NULL, full,
                                                   &err);
            assert_int_equal(status, PNX_EFAILED);
            assert_int_equal(err.sys_errno, ENOSPC);
            fclose(full);
        }
    }
}

static void every_section_of_a_messy_run_reads_well(void **state)
{
    pnx_session_report report = sample_messy();
    assert_string_equal(
        text_of(&report),
        "cleanroom: import-test.sh  exit 3  1.42 s  tier T3 (cgroup, tracking)\n"
        "  left behind and removed\n"
        "    process       3  sleep 1000 (pid 4711, daemon)\n"
        "                     python3 -m http.server 8080 (pid 4712, orphan, ignored SIGTERM)\n"
        "                     cat /mnt/hung (pid 4714, it was in uninterruptible sleep)\n"
        "    container     1  postgres:15 \"db\" (1 anonymous volume)\n"
        "    port          1  127.0.0.1:8080 (pid 4712)\n"
        "    socket        1  @import\n"
        "    sysv-sem      1  32769 (key 0x51)\n"
        "    shm           1  /import-queue (4.0 MiB)\n"
        "    file         37  1.2 MiB in TMPDIR: 31 files, 5 directories, 1 FIFO\n"
        "    wormhole      1  sector 7 (a kind that nobody knows yet)\n"
        "  could not be removed\n"
        "    process       1  sudo tail -f /var/log/syslog (pid 4713): it runs as uid 0\n"
        "    mount         1  /tmp/cleanroom-0194bd1e/mnt: Device or resource busy\n"
        "    file          1  locked/data (4.0 KiB): Operation not permitted\n"
        "  left behind, not provably ours, not touched\n"
        "    file          1  /home/user/.cache/import.lock (312 B): new since the start, but "
        "others write there too\n"
        "  kept (policy)\n"
        "    volume        1  import-data (70 MiB): --keep on-failure\n"
        "  undo hooks that failed\n"
        "    dropdb test  exit 1: database is in use\n"
        "  limits that were met\n"
        "    mem=512M: killed 1 process, 512M used at most\n"
        "  3 artifacts (68 KiB) saved in /home/user/artifacts, 1 not\n"
        "    core: No space left on device\n"
        "  the supervisor died; the reaper cleaned up\n"
        "  warning: tracking lost 17 events\n"
        "  50 leftovers: 46 removed and verified gone, 1 kept, 3 not removed; 1 foreign, not "
        "touched, in 23 ms\n");
    pnx_session_report_done(&report);
}

static void removed_files_outside_of_tmpdir_are_named(void **state)
{
    pnx_session_resource rows[] = {
        ROW("file", "data/x", "", PNX_ORIGIN_FOUND, PNX_FATE_REMOVED, ""),
        ROW("file", "/srv/cache/y", "", PNX_ORIGIN_FOUND, PNX_FATE_REMOVED, ""),
    };
    pnx_session_report report = {.name = (char[]){"make"}, .files = {.files = 1}};
    fill(&report, rows, 2);
    assert_string_equal(text_of(&report), "cleanroom: make  exit 0  0.0 ms  tier T0 (subreaper)\n"
                                          "  left behind and removed\n"
                                          "    file         1  in TMPDIR: 1 file\n"
                                          "    file         1  /srv/cache/y\n"
                                          "  2 leftovers, removed and verified gone in 0.0 ms\n");
    empty(&report);
}

static void verified_is_only_said_of_what_was_verified(void **state)
{
    pnx_session_resource rows[] = {
        ROW("shm", "/a", "", PNX_ORIGIN_FOUND, PNX_FATE_REMOVED, ""),
        ROW("shm", "/b", "", PNX_ORIGIN_FOUND, PNX_FATE_REMOVED, ""),
    };
    pnx_session_report report = {.name = (char[]){"make"}};
    rows[1].outcome.verified = false;
    fill(&report, rows, 2);
    assert_int_equal(report.unverified, 1);
    assert_non_null(strstr(text_of(&report), "  2 leftovers, removed (1 unverified) in "));
    assert_null(strstr(text_of(&report), "verified gone"));
    empty(&report);
}

static void what_the_run_made_is_told_only_if_something_is_wrong_with_it(void **state)
{
    pnx_session_resource rows[] = {
        ROW("tempdir", "/tmp/a", "", PNX_ORIGIN_MADE, PNX_FATE_REMOVED, ""),
        ROW("cgroup", "/sys/b", "", PNX_ORIGIN_MADE, PNX_FATE_FOREIGN, "another one has its name"),
    };
    pnx_session_report report = {.name = (char[]){"make"}};
    fill(&report, rows, 1);
    assert_non_null(strstr(text_of(&report), "nothing left behind\n"));
    fill(&report, rows + 1, 1);
    assert_string_equal(text_of(&report),
                        "cleanroom: make  exit 0  0.0 ms  tier T0 (subreaper)\n"
                        "  could not be removed\n"
                        "    cgroup       1  /sys/b: another one has its name\n"
                        "  0 leftovers; 1 of the run's own not removed, in 0.0 ms\n");
    empty(&report);
}

/* ---- counting -------------------------------------------------------------------------------- */

static void each_origin_and_fate_counts_where_it_belongs(void **state)
{
    /* leftovers, unremoved, foreign, kept, unverified */
    static const struct {
        pnx_origin origin;
        pnx_fate fate;
        uint64_t counters[5];
    } cases[] = {
        {PNX_ORIGIN_FOUND, PNX_FATE_HELD, {1, 1, 0, 0, 0}},
        {PNX_ORIGIN_FOUND, PNX_FATE_REMOVED, {1, 0, 0, 0, 1}},
        {PNX_ORIGIN_FOUND, PNX_FATE_ALREADY_GONE, {1, 0, 0, 0, 1}},
        {PNX_ORIGIN_FOUND, PNX_FATE_GONE_LATE, {1, 0, 0, 0, 1}},
        {PNX_ORIGIN_FOUND, PNX_FATE_FOREIGN, {0, 0, 1, 0, 0}},
        {PNX_ORIGIN_FOUND, PNX_FATE_STUCK, {1, 1, 0, 0, 0}},
        {PNX_ORIGIN_FOUND, PNX_FATE_KEPT, {1, 0, 0, 1, 0}},
        {PNX_ORIGIN_MADE, PNX_FATE_HELD, {0, 1, 0, 0, 0}},
        {PNX_ORIGIN_MADE, PNX_FATE_REMOVED, {0, 0, 0, 0, 0}},
        {PNX_ORIGIN_MADE, PNX_FATE_ALREADY_GONE, {0, 0, 0, 0, 0}},
        {PNX_ORIGIN_MADE, PNX_FATE_GONE_LATE, {0, 0, 0, 0, 0}},
        {PNX_ORIGIN_MADE, PNX_FATE_FOREIGN, {0, 1, 0, 0, 0}},
        {PNX_ORIGIN_MADE, PNX_FATE_STUCK, {0, 1, 0, 0, 0}},
        {PNX_ORIGIN_MADE, PNX_FATE_KEPT, {0, 0, 0, 1, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pnx_session_report report = {0};
        pnx_session_resource row = {
            .kind = "shm", .origin = cases[i].origin, .outcome = {.fate = cases[i].fate}};
        assert_int_equal(pnx_session_report_add(&report, &row), PNX_OK);
        assert_int_equal(pnx_session_report_count(&report, "shm", cases[i].origin, &row.outcome, 4),
                         PNX_OK);
        const uint64_t *counters = cases[i].counters;
        assert_int_equal(report.leftovers, 5 * counters[0]);
        assert_int_equal(report.unremoved, 5 * counters[1]);
        assert_int_equal(report.foreign, 5 * counters[2]);
        assert_int_equal(report.kept, 5 * counters[3]);
        assert_int_equal(report.unverified, 5 * counters[4]);
        assert_int_equal(report.unlisted, 4);
        assert_int_equal(report.resource_count, 1);
        assert_int_equal(pnx_session_report_found(&report, "shm"), 5 * counters[0]);
        const pnx_session_total *total = pnx_session_report_total(&report, "shm");
        assert_non_null(total);
        assert_int_equal(total->made[cases[i].fate] + total->found[cases[i].fate], 5);
        assert_int_equal(total->unlisted[cases[i].fate], 4);
        pnx_session_report_done(&report);
    }
}

static void what_was_verified_is_not_counted_as_unverified(void **state)
{
    pnx_session_report report = {0};
    pnx_outcome outcome = {.fate = PNX_FATE_REMOVED, .verified = true};
    assert_int_equal(pnx_session_report_count(&report, "shm", PNX_ORIGIN_FOUND, &outcome, 3),
                     PNX_OK);
    assert_int_equal(report.unverified, 0);
    outcome.verified = false;
    assert_int_equal(pnx_session_report_count(&report, "shm", PNX_ORIGIN_FOUND, &outcome, 2),
                     PNX_OK);
    assert_int_equal(report.unverified, 2);
    assert_int_equal(pnx_session_report_found(&report, "mount"), 0);
    assert_null(pnx_session_report_total(&report, "mount"));
    pnx_session_report_done(&report);
}

static void kinds_are_told_in_one_order_and_unknown_ones_last_by_name(void **state)
{
    static const char *const added[] = {"zebra", "cgroup", "file", "apple", "process", "container"};
    static const char *const told[] = {"process", "container", "file", "cgroup", "apple", "zebra"};
    pnx_session_report report = {0};
    pnx_outcome outcome = {.fate = PNX_FATE_STUCK};
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(pnx_session_report_count(&report, added[i], PNX_ORIGIN_FOUND, &outcome, 1),
                         PNX_OK);
    const pnx_session_total **order = pnx__totals_in_order(&report);
    assert_non_null(order);
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(order[i]->kind, told[i]);
    free(order);
    pnx_session_report_done(&report);
}

static void texts_of_a_report_are_kept_once(void **state)
{
    pnx_session_report report = {0};
    const char *one = pnx_session_report_text(&report, "mount");
    assert_string_equal(one, "mount");
    assert_ptr_equal(pnx_session_report_text(&report, "mount"), one);
    assert_ptr_not_equal(pnx_session_report_text(&report, "loop"), one);
    assert_int_equal(report.text_count, 2);
    assert_int_equal(pnx_session_report_warn(&report, "%d events", 3), PNX_OK);
    assert_int_equal(pnx_session_report_warn(&report, "more"), PNX_OK);
    assert_string_equal(report.warnings[0], "3 events");
    assert_string_equal(report.warnings[1], "more");
    assert_null(report.warnings[2]);
    pnx_session_report_done(&report);
    pnx_session_report_done(&report); /* once more does no harm */
}

/* ---- markup ---------------------------------------------------------------------------------- */

static char *marked(const char *text)
{
    static char markup[2048];
    FILE *out = fmemopen(memset(markup, 0, sizeof markup), sizeof markup, "w");
    assert_non_null(out);
    pnx__print_markup(out, text, SIZE_MAX);
    assert_int_equal(fclose(out), 0);
    return markup;
}

static void markup_is_text(void **state)
{
    assert_string_equal(marked("<a href='x'>\"&amp;\"</a>"),
                        "&lt;a href=&#39;x&#39;&gt;&quot;&amp;amp;&quot;&lt;/a&gt;");
    assert_string_equal(marked("]]>"), "]]&gt;");
    assert_string_equal(marked("\033[1m\n"), "\\x1b[1m\\n");
    assert_string_equal(marked("\xef\xbf\xbf\xef\xbf\xbe"), "\\xef\\xbf\\xbf\\xef\\xbf\\xbe");
    assert_string_equal(marked("\xf0\x9f\xbf\xbf"), "\\xf0\\x9f\\xbf\\xbf"); /* U+1FFFF */
    assert_string_equal(marked("\xef\xb7\x90"), "\\xef\\xb7\\x90");          /* U+FDD0 */
    assert_string_equal(marked(NULL), "");
    for (int byte = 1; byte < 256; byte++) {
        const char *text = marked((char[]){(char)byte, '\0'});
        assert_null(strpbrk(text, "<>\"'\r\n\t"));
        assert_true(*text != '&' || strchr(text, ';'));
        for (; *text; text++)
            assert_in_range((unsigned char)*text, 0x20, 0x7e);
    }
}

static void a_command_is_quoted_where_a_shell_would_need_it(void **state)
{
    char text[256];
    char *command[] = {(char[]){"make"},
                       (char[]){"-j8"},
                       (char[]){"two words"},
                       (char[]){""},
                       (char[]){"a=b"},
                       (char[]){"it's"},
                       NULL};
    FILE *out = fmemopen(text, sizeof text, "w");
    assert_non_null(out);
    pnx__print_markup_command(out, command, 100);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, "make -j8 &#39;two words&#39; &#39;&#39; a=b "
                              "&#39;it&#39;\\&#39;&#39;s&#39;");
    out = fmemopen(text, sizeof text, "w");
    assert_non_null(out);
    pnx__print_markup_command(out, command, 9);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, "make -j8 …");
}

static void what_has_a_fixed_size_is_copied_whole_characters_only(void **state)
{
    char once[8], twice[8];
    static const char *const cases[][2] = {
        {"abc", "abc"},
        {"abcdefgh", "abcdefg"},
        {"abcdefä", "abcdef"},
        {"\xff\xff\xff", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"ab\xc3", "ab\xef\xbf\xbd"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pnx__copy_utf8(once, sizeof once, cases[i][0]);
        assert_string_equal(once, cases[i][1]);
        pnx__copy_utf8(twice, sizeof twice, once);
        assert_string_equal(twice, once);
    }
}

/* ---- figures, forms -------------------------------------------------------------------------- */

static char *span_of(pnx_duration span)
{
    static char text[64];
    FILE *out = fmemopen(text, sizeof text, "w");
    assert_non_null(out);
    pnx__print_span(out, span);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void spans_have_the_unit_that_fits(void **state)
{
    assert_string_equal(span_of(-1), "0.0 ms");
    assert_string_equal(span_of(PNX_US(450)), "0.5 ms");
    assert_string_equal(span_of(PNX_MS(23) + PNX_US(900)), "23 ms");
    assert_string_equal(span_of(PNX_MS(1420)), "1.42 s");
    assert_string_equal(span_of(PNX_S(125)), "2 min 5 s");
    assert_string_equal(span_of(PNX_S(3660)), "1 h 1 min");
}

static void the_form_is_told_by_name_or_by_file(void **state)
{
    static const struct {
        const char *file;
        pnx_report_format format;
    } good[] = {
        {"x.txt", PNX_REPORT_TEXT},  {"/a.b/x.json", PNX_REPORT_JSON}, {"x.XML", PNX_REPORT_XML},
        {"x.html", PNX_REPORT_HTML}, {"x.y.htm", PNX_REPORT_HTML},
    };
    static const char *const bad[] = {"", "x", "x.pdf", ".json", "a/.html", "x.json/y", "x.json."};
    pnx_report_format format;
    pnx_error err = {0};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_ok(pnx_report_format_of(good[i].file, &format, &err), &err);
        assert_int_equal(format, good[i].format);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(pnx_report_format_of(bad[i], &format, &err), PNX_EINVAL);
        assert_non_null(strstr(err.message, ".txt, .json, .xml (JUnit) or .html"));
    }
    for (int each = PNX_REPORT_TEXT; each <= PNX_REPORT_HTML; each++) {
        const char *name = pnx_report_format_name((pnx_report_format)each);
        assert_ok(pnx_report_format_named(name, &format, &err), &err);
        assert_int_equal(format, each);
    }
    assert_int_equal(pnx_report_format_named("pdf", &format, &err), PNX_EINVAL);
    assert_non_null(pnx_report_format_name((pnx_report_format)99));
    pnx_session_report report = {0};
    assert_int_equal(pnx_session_report_write(&report, (pnx_report_format)99, NULL, stdout, &err),
                     PNX_EINVAL);
    assert_int_equal(
        pnx_session_reports_write(&report, 1, (pnx_report_format)99, NULL, stdout, &err),
        PNX_EINVAL);
}

static void an_empty_value_can_be_written_in_every_form(void **state)
{
    pnx_session_report nothing = {0};
    pnx_session_resource row = {.kind = "shm", .owner = -1, .origin = PNX_ORIGIN_FOUND};
    for (int round = 0; round < 2; round++) {
        for (int format = PNX_REPORT_TEXT; format <= PNX_REPORT_HTML; format++) {
            char *text;
            size_t size;
            pnx_error err = {0};
            FILE *out = open_memstream(&text, &size);
            assert_non_null(out);
            assert_ok(
                pnx_session_report_write(&nothing, (pnx_report_format)format, NULL, out, &err),
                &err);
            assert_int_equal(fclose(out), 0);
            assert_null(strstr(text, "(null)"));
            free(text);
        }
        assert_int_equal(pnx_session_report_add(&nothing, &row), PNX_OK); /* texts are NULL */
    }
    pnx_session_report_done(&nothing);
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
        cmocka_unit_test(every_form_tells_of_a_stream_that_fails),
        cmocka_unit_test(every_section_of_a_messy_run_reads_well),
        cmocka_unit_test(removed_files_outside_of_tmpdir_are_named),
        cmocka_unit_test(verified_is_only_said_of_what_was_verified),
        cmocka_unit_test(what_the_run_made_is_told_only_if_something_is_wrong_with_it),
        cmocka_unit_test(each_origin_and_fate_counts_where_it_belongs),
        cmocka_unit_test(what_was_verified_is_not_counted_as_unverified),
        cmocka_unit_test(kinds_are_told_in_one_order_and_unknown_ones_last_by_name),
        cmocka_unit_test(texts_of_a_report_are_kept_once),
        cmocka_unit_test(markup_is_text),
        cmocka_unit_test(a_command_is_quoted_where_a_shell_would_need_it),
        cmocka_unit_test(what_has_a_fixed_size_is_copied_whole_characters_only),
        cmocka_unit_test(spans_have_the_unit_that_fits),
        cmocka_unit_test(the_form_is_told_by_name_or_by_file),
        cmocka_unit_test(an_empty_value_can_be_written_in_every_form),
        cmocka_unit_test(names_are_never_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
