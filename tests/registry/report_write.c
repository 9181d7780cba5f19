/* SPDX-License-Identifier: MIT */
/* Tests of src/patinox/registry/report_write.c, on reports made by hand, and of the table of keys
 * in docs/leak-report.md. */
#include "../monitor/support.h"

#include "../monitor/json_check.h"
#include "base/sys.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <patinox/registry.h>

static const pnx_site open_conn = {"src/db.c", "open_conn", 41};
static const pnx_site open_log = {"src/log.c", "open_log", 12};

static char *text_of(const pnx_report *report)
{
    return WRITTEN(assert_int_equal(pnx_report_write_text(report, out, NULL), PNX_OK));
}

static char *json_of(const pnx_report *report)
{
    return WRITTEN(assert_int_equal(pnx_report_write_json(report, out, NULL), PNX_OK));
}

static void assert_text(const pnx_report *report, const char *expected)
{
    char *text = text_of(report);
    assert_string_equal(text, expected);
    free(text);
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part)) {
        fail_msg("no \"%s\" in:\n%s", part, text);
    }
}

/* ---- golden texts ---------------------------------------------------------------------------- */

static void nothing_left_is_one_line(void **state)
{
    assert_text(&(pnx_report){.registry = "billing", .counts = {.registered = 9, .done = 9}},
                "billing: 9 registered, 9 given back, nothing left, 0 leaked\n");
}

static void a_shutdown_says_how_it_went(void **state)
{
    assert_text(&(pnx_report){.registry = "billing",
                              .counts = {.registered = 9, .done = 9, .leaked = 2},
                              .released = 3,
                              .leaked = 2,
                              .took = PNX_US(1234567)},
                "billing: 9 registered, 9 given back, nothing left, 2 leaked\n"
                "  the shutdown took 1.23s and gave 3 back, 2 of them still held when it began\n");
    assert_text(&(pnx_report){.registry = "billing",
                              .took = PNX_MS(7),
                              .deadline_hit = true,
                              .incomplete = true,
                              .threads_left = 2},
                "billing: 0 registered, 0 given back, nothing left, 0 leaked\n"
                "  the shutdown took 7ms and gave 0 back; the grace was not enough\n"
                "  2 hung threads could not be joined\n"
                "  the list is incomplete, for want of memory; the totals are right\n");
}

static void survivors_come_in_groups_the_largest_first(void **state)
{
    pnx_survivor survivors[] = {
        {.id = {1, 1},
         .state = PNX_LIVE,
         .kind = "file",
         .description = "fd 7",
         .age = PNX_S(3600),
         .site = &open_log,
         .leaked = true},
        {.id = {1, 2},
         .state = PNX_FAILED,
         .status = PNX_EFAILED,
         .kind = "conn",
         .description = "conn to db:5433",
         .age = PNX_S(12),
         .site = &open_conn,
         .bytes = 1024,
         .attempts = 1},
        {.id = {1, 3},
         .state = PNX_ABANDONED,
         .status = PNX_ETIMEOUT,
         .kind = "conn",
         .description = "conn to db:5432",
         .age = PNX_S(190),
         .site = &open_conn,
         .bytes = 3072,
         .attempts = 3,
         .metadata = (char[]){"peer=10.0.0.1"}},
        {.id = {1, 4}, .state = PNX_LIVE, .kind = "conn", .age = 7, .site = &open_log},
        {.id = {1, 5}, .state = PNX_LIVE, .kind = "alien", .age = PNX_MS(5)},
    };
    const pnx_report report = {
        .registry = "billing",
        .counts =
            {.registered = 10, .done = 5, .live = 3, .failed = 1, .abandoned = 1, .leaked = 1},
        .survivors = survivors,
        .survivor_count = 5,
    };
    assert_text(&report,
                "billing: 10 registered, 5 given back, 3 held, 1 failed, 1 abandoned, 1 leaked\n"
                "      2 conn from src/db.c:41 (open_conn): 1 failed, 1 abandoned; "
                "12s to 3m10s old; 4.0 KiB\n"
                "        e.g. conn to db:5432, timeout after 3 attempts, "
                "id 00000000-0000-0001-0000-000000000003\n"
                "        peer=10.0.0.1\n"
                "      1 alien: held; 5ms old\n"
                "        id 00000000-0000-0001-0000-000000000005\n"
                "      1 conn from src/log.c:12 (open_log): held; 7ns old\n"
                "        id 00000000-0000-0001-0000-000000000004\n"
                "      1 file from src/log.c:12 (open_log): held (leaked); 1h old\n"
                "        fd 7, id 00000000-0000-0001-0000-000000000001\n");
}

static void all_states_have_a_word(void **state)
{
    pnx_survivor survivors[] = {
        {.state = PNX_LIVE, .kind = "k"},      {.state = PNX_QUEUED, .kind = "k"},
        {.state = PNX_RUNNING, .kind = "k"},   {.state = PNX_WAITING, .kind = "k"},
        {.state = PNX_FAILED, .kind = "k"},    {.state = PNX_LIVE, .kind = "k", .leaked = true},
        {.state = PNX_ABANDONED, .kind = "k"},
    };
    char *text = text_of(&(pnx_report){
        .registry = "r",
        .counts = {.live = 2, .queued = 1, .running = 1, .waiting = 1, .failed = 1, .abandoned = 1},
        .survivors = survivors,
        .survivor_count = 7});
    assert_has(text, ", 2 held, 1 queued, 1 running, 1 waiting, 1 failed, 1 abandoned, 0 leaked\n");
    assert_has(text, "      7 k: 2 held (1 leaked), 1 queued, 1 running, 1 waiting, 1 failed, "
                     "1 abandoned; 0 old\n");
    free(text);
}

/* ---- many ------------------------------------------------------------------------------------ */

#define MANY 120

/* Half of them of one place, the rest each of its own. */
static pnx_report many(pnx_survivor survivors[MANY], pnx_site sites[MANY])
{
    for (int i = 0; i < MANY; i++) {
        sites[i] = (pnx_site){"many.c", "make", i % 2 ? 1 : 2 + i};
        survivors[i] = (pnx_survivor){
            .id = {2, (uint64_t)i},
            .state = PNX_LIVE,
            .kind = "thing",
            .age = i,
            .site = &sites[i],
            .bytes = 1,
        };
    }
    return (pnx_report){.registry = "r", .survivors = survivors, .survivor_count = MANY};
}

static size_t lines_of(const char *text)
{
    size_t lines = 0;
    for (; *text; text++) {
        lines += *text == '\n';
    }
    return lines;
}

static void at_most_fifty_groups_are_shown(void **state)
{
    pnx_survivor survivors[MANY];
    pnx_site sites[MANY];
    pnx_report report = many(survivors, sites);
    char *text = text_of(&report);
    assert_has(text,
               "leaked\n     60 thing from many.c:1 (make): held; 1ns to 119ns old; 60 bytes\n"
               "        e.g. id 00000000-0000-0002-0000-000000000077\n"
               "      1 thing from many.c:2 (make): held; 0 old; 1 byte\n");
    assert_has(text, "  and 11 more, of 11 other kinds or places\n");
    assert_int_equal(lines_of(text), 1 + 2 * 50 + 1);
    free(text);
}

static void exactly_fifty_groups_are_all(void **state)
{
    pnx_survivor survivors[MANY];
    pnx_site sites[MANY];
    pnx_report report = many(survivors, sites);
    report.survivor_count = 98; /* 49 of one place, and 49 others */
    char *text = text_of(&report);
    assert_null(strstr(text, "more"));
    assert_int_equal(lines_of(text), 1 + 2 * 50);
    free(text);
}

static bool no_memory(enum pnx__fault point)
{
    return point == PNX__FAULT_ALLOC;
}

static void without_memory_they_are_shown_one_by_one(void **state)
{
    pnx_survivor survivors[MANY];
    pnx_site sites[MANY];
    pnx_report report = many(survivors, sites);
    atomic_store_explicit(&pnx__fault_hook, no_memory, memory_order_release);
    char *text = text_of(&report);
    atomic_store_explicit(&pnx__fault_hook, NULL, memory_order_release);
    assert_has(text, "leaked\n      1 thing from many.c:2 (make): held; 0 old; 1 byte\n"
                     "        id 00000000-0000-0002-0000-000000000000\n"
                     "      1 thing from many.c:1 (make): held; 1ns old; 1 byte\n");
    assert_has(text, "  and 70 more\n");
    assert_int_equal(lines_of(text), 1 + 2 * 50 + 1);
    free(text);
}

/* ---- magnitudes ------------------------------------------------------------------------------ */

static void ages_and_sizes_are_rounded_to_what_matters(void **state)
{
    static const struct {
        pnx_duration age;
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {-5, 1, "; 0 old; 1 byte\n"},
        {999, 1023, "; 999ns old; 1023 bytes\n"},
        {PNX_US(999), 1024, "; 999us old; 1.0 KiB\n"},
        {1234567, 1536, "; 1.23ms old; 1.5 KiB\n"},
        {PNX_S(1) + 1, 1048575, "; 1s old; 1023.9 KiB\n"},
        {PNX_MS(9999), 1048576, "; 9.99s old; 1.0 MiB\n"},
        {PNX_MS(10999), UINT64_C(5) << 30, "; 10s old; 5.0 GiB\n"},
        {PNX_S(3599), UINT64_C(1) << 40, "; 59m59s old; 1.0 TiB\n"},
        {PNX_S(3661), UINT64_C(1) << 50, "; 1h1m old; 1.0 PiB\n"},
        {PNX_S(90061), UINT64_C(1) << 60, "; 1d1h1m old; 1.0 EiB\n"},
        {PNX_FOREVER, UINT64_MAX, " old; 15.9 EiB\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pnx_survivor survivor = {
            .state = PNX_LIVE, .kind = "k", .age = cases[i].age, .bytes = cases[i].bytes};
        char *text =
            text_of(&(pnx_report){.registry = "r", .survivors = &survivor, .survivor_count = 1});
        assert_has(text, cases[i].text);
        free(text);
    }
}

static void sums_of_sizes_do_not_wrap(void **state)
{
    pnx_survivor survivors[] = {{.state = PNX_LIVE, .kind = "k", .bytes = UINT64_MAX},
                                {.state = PNX_LIVE, .kind = "k", .bytes = 2}};
    char *text =
        text_of(&(pnx_report){.registry = "r", .survivors = survivors, .survivor_count = 2});
    assert_has(text, "; 15.9 EiB\n");
    free(text);
}

/* ---- any bytes ------------------------------------------------------------------------------- */

/* What would act on a terminal, or make the eye read something else. */
static const char *const acting[] = {
    "\x1b[31mred",  "\r\n",         "\x07",           "\x7f",
    "\302\23331m",  "\xE2\x80\xAE", "\xE2\x81\xA6",   "\xE2\x80\xA8",
    "\xE2\x80\x8B", "\xEF\xBB\xBF", "\xD8\x9C right", "tab\there",
};

static pnx_survivor survivor_named(const char *name, pnx_site *site)
{
    pnx_survivor survivor = {.state = PNX_LIVE, .site = site, .metadata = (char *)name};
    *site = (pnx_site){name, name, 1};
    snprintf(survivor.kind, sizeof survivor.kind, "%s", name);
    snprintf(survivor.description, sizeof survivor.description, "%s", name);
    return survivor;
}

static void assert_harmless(const char *text)
{
    size_t lines = 0;
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        lines += *at == '\n';
        assert_true((*at >= 0x20 || *at == '\n') && *at != 0x7F);
    }
    assert_int_equal(lines, 4); /* totals, group, example, metadata: none of them broken up */
    for (size_t i = 0; i < sizeof acting / sizeof *acting; i++) {
        assert_null(strstr(text, acting[i]));
    }
}

static void text_shows_any_bytes_without_acting_on_the_terminal(void **state)
{
    for (size_t i = 0; i < HOSTILE_NAMES + sizeof acting / sizeof *acting; i++) {
        pnx_site site;
        const char *name = i < HOSTILE_NAMES ? hostile_names[i] : acting[i - HOSTILE_NAMES];
        pnx_survivor survivor = survivor_named(name, &site);
        pnx_report report = {.survivors = &survivor, .survivor_count = 1};
        snprintf(report.registry, sizeof report.registry, "%s", name);
        char *text = text_of(&report);
        assert_harmless(text);
        free(text);
    }
}

static void harmless_characters_stay_as_they_are(void **state)
{
    pnx_site site;
    pnx_survivor survivor = survivor_named("caf\xC3\xA9 \xE2\x82\xAC \xC2\xA0\xD8\x9D", &site);
    char *text = text_of(&(pnx_report){.survivors = &survivor, .survivor_count = 1});
    assert_has(text, " caf\xC3\xA9 \xE2\x82\xAC \xC2\xA0\xD8\x9D from ");
    free(text);
    survivor = survivor_named("\x1b[31m \xC2\x9B \xFF", &site);
    text = text_of(&(pnx_report){.survivors = &survivor, .survivor_count = 1});
    assert_has(text, " \\x1b[31m \\xc2\\x9b \xEF\xBF\xBD from ");
    free(text);
}

static void long_metadata_is_cut(void **state)
{
    char metadata[1000];
    memset(metadata, 'm', sizeof metadata);
    metadata[999] = '\0';
    pnx_survivor survivor = {.state = PNX_LIVE, .kind = "k", .metadata = metadata};
    char *text = text_of(&(pnx_report){.survivors = &survivor, .survivor_count = 1});
    const char *at = strstr(text, "mmm");
    assert_non_null(at);
    assert_int_equal(strspn(at, "m"), 240);
    assert_string_equal(at + 240, "...\n");
    free(text);
}

static void json_takes_any_bytes(void **state)
{
    for (size_t i = 0; i < HOSTILE_NAMES + sizeof acting / sizeof *acting; i++) {
        pnx_site site;
        const char *name = i < HOSTILE_NAMES ? hostile_names[i] : acting[i - HOSTILE_NAMES];
        pnx_survivor survivors[] = {survivor_named(name, &site), survivor_named(name, &site)};
        pnx_report report = {.survivors = survivors, .survivor_count = 2};
        snprintf(report.registry, sizeof report.registry, "%s", name);
        char *text = json_of(&report);
        if (!is_json_line(text)) {
            fail_msg("%s", text);
        }
        free(text);
    }
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void json_is_stable(void **state)
{
    pnx_survivor survivors[] = {
        {.id = {1, 3},
         .state = PNX_ABANDONED,
         .status = PNX_ETIMEOUT,
         .kind = "conn",
         .description = "conn to db:5432",
         .age = PNX_S(190),
         .site = &open_conn,
         .bytes = 3072,
         .attempts = 3,
         .leaked = true,
         .metadata = (char[]){"peer=10.0.0.1"}},
        {.id = {1, 4}, .state = PNX_LIVE, .kind = "file"},
    };
    const pnx_report report = {
        .registry = "billing",
        .counts = {.registered = 1,
                   .live = 2,
                   .queued = 3,
                   .running = 4,
                   .waiting = 5,
                   .done = 6,
                   .failed = 7,
                   .abandoned = 8,
                   .taken = 9,
                   .retried = 10,
                   .timed_out = 11,
                   .fallbacks = 12,
                   .late = 13,
                   .schedule_failed = 14,
                   .leaked = 15},
        .released = 16,
        .leaked = 17,
        .took = 18,
        .deadline_hit = true,
        .threads_left = 19,
        .survivors = survivors,
        .survivor_count = 2,
    };
    char *text = json_of(&report);
    assert_string_equal(
        text, "{\"registry\":\"billing\",\"counts\":{\"registered\":1,\"live\":2,\"queued\":3,"
              "\"running\":4,\"waiting\":5,\"done\":6,\"failed\":7,\"abandoned\":8,\"taken\":9,"
              "\"retried\":10,\"timed_out\":11,\"fallbacks\":12,\"late\":13,\"schedule_failed\":14,"
              "\"leaked\":15},\"released\":16,\"leaked\":17,\"took_ns\":18,\"deadline_hit\":true,"
              "\"incomplete\":false,\"threads_left\":19,\"survivors\":["
              "{\"id\":\"00000000-0000-0001-0000-000000000003\",\"kind\":\"conn\","
              "\"state\":\"abandoned\",\"status\":\"timeout\",\"leaked\":true,\"attempts\":3,"
              "\"age_ns\":190000000000,\"bytes\":3072,\"description\":\"conn to db:5432\","
              "\"metadata\":\"peer=10.0.0.1\",\"file\":\"src/db.c\",\"line\":41,"
              "\"function\":\"open_conn\",\"frames\":[]},"
              "{\"id\":\"00000000-0000-0001-0000-000000000004\",\"kind\":\"file\","
              "\"state\":\"live\",\"status\":\"ok\",\"leaked\":false,\"attempts\":0,\"age_ns\":0,"
              "\"bytes\":0,\"description\":\"\",\"metadata\":null,\"file\":null,\"line\":0,"
              "\"function\":null,\"frames\":[]}]}\n");
    assert_true(is_json_line(text));
    free(text);
}

static void an_empty_report_is_json(void **state)
{
    char *text = json_of(&(pnx_report){0});
    assert_true(is_json_line(text));
    assert_has(text, "\"survivors\":[]}");
    free(text);
}

/* ---- frames ---------------------------------------------------------------------------------- */

static void frames_have_symbols_objects_or_addresses(void **state)
{
    /* A function that libc exports; what dladdr knows of it is what must be shown. */
    void *known = (char *)dlsym(RTLD_DEFAULT, "qsort") + 5;
    Dl_info info;
    assert_true(dladdr(known, &info) != 0);
    pnx_survivor survivor = {.state = PNX_LIVE, .kind = "k", .frames = {known, (void *)0x10}};
    pnx_report report = {.registry = "r", .survivors = &survivor, .survivor_count = 1};
    char expected[512];

    char *text = text_of(&report);
    snprintf(expected, sizeof expected, "        reserved in %s+0x5 of %s\n%s", info.dli_sname,
             info.dli_fname, "                 by 0x10\n");
    assert_has(text, expected);
    free(text);

    text = json_of(&report);
    assert_true(is_json_line(text));
    snprintf(expected, sizeof expected,
             "\"frames\":[{\"address\":\"0x%" PRIxPTR "\",\"symbol\":\"%s\",\"object\":\"%s\","
             "\"offset\":\"0x5\"},{\"address\":\"0x10\",\"symbol\":null,\"object\":null,"
             "\"offset\":\"0x10\"}]",
             (uintptr_t)known, info.dli_sname, info.dli_fname);
    assert_has(text, expected);
    free(text);
}

/* A call at the very end of a function returns to where the next one begins. */
static void a_frame_belongs_to_the_call_before_it(void **state)
{
    pnx_survivor survivor = {.state = PNX_LIVE, .kind = "k"};
    survivor.frames[0] = dlsym(RTLD_DEFAULT, "qsort");
    char *text = text_of(&(pnx_report){.survivors = &survivor, .survivor_count = 1});
    assert_has(text, "        reserved in ");
    assert_null(strstr(text, "qsort+0x0"));
    free(text);
}

static void all_sixteen_frames_are_shown(void **state)
{
    pnx_survivor survivor = {.state = PNX_LIVE, .kind = "k"};
    static char somewhere[16];
    for (size_t i = 0; i < 16; i++) {
        survivor.frames[i] = &somewhere[i];
    }
    char *text = text_of(&(pnx_report){.survivors = &survivor, .survivor_count = 1});
    assert_int_equal(lines_of(text), 3 + 16);
    free(text);
}

/* ---- streams, and the end -------------------------------------------------------------------- */

static void a_stream_that_fails_is_told(void **state)
{
    pnx_report report = {.registry = "r"};
    FILE *full = fopen("/dev/full", "w");
    pnx_error err = {0};
    assert_non_null(full);
    assert_int_equal(pnx_report_write_text(&report, full, &err), PNX_EFAILED);
    assert_has(err.message, "cannot write the leak report: No space left");
    assert_int_equal(pnx_report_write_json(&report, full, &err), PNX_EFAILED);
    assert_has(err.message, "cannot write the leak report as JSON");
    fclose(full);
}

static void done_frees_all_and_may_be_repeated(void **state)
{
    pnx_report report = {.registry = "r", .survivor_count = 2};
    report.survivors = pnx__alloc(2 * sizeof *report.survivors);
    report.survivors[0].metadata = pnx__alloc(8);
    pnx_report_done(&report);
    assert_int_equal(report.survivor_count, 0);
    assert_null(report.survivors);
    pnx_report_done(&report);
    pnx_report_done(NULL);
}

/* ---- the documentation ----------------------------------------------------------------------- */

static void the_documentation_explains_every_key(void **state)
{
    const char *source = getenv("SOURCE");
    char path[4096];
    snprintf(path, sizeof path, "%s/docs/leak-report.md", source ? source : ".");
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    static char doc[1 << 16];
    doc[fread(doc, 1, sizeof doc - 1, file)] = '\0';
    fclose(file);

    pnx_survivor survivor = {.kind = "k", .frames = {(void *)0x10}};
    char *text = json_of(&(pnx_report){.survivors = &survivor, .survivor_count = 1});
    for (char *at = text; (at = strstr(at, "\":")) != NULL; at++) {
        char *key = at;
        while (key[-1] != '"') {
            key--;
        }
        char row[64];
        snprintf(row, sizeof row, "`%.*s`", (int)(at - key), key);
        if (!strstr(doc, row)) {
            fail_msg("docs/leak-report.md does not explain %s", row);
        }
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_left_is_one_line),
        cmocka_unit_test(a_shutdown_says_how_it_went),
        cmocka_unit_test(survivors_come_in_groups_the_largest_first),
        cmocka_unit_test(all_states_have_a_word),
        cmocka_unit_test(at_most_fifty_groups_are_shown),
        cmocka_unit_test(exactly_fifty_groups_are_all),
        cmocka_unit_test(without_memory_they_are_shown_one_by_one),
        cmocka_unit_test(ages_and_sizes_are_rounded_to_what_matters),
        cmocka_unit_test(sums_of_sizes_do_not_wrap),
        cmocka_unit_test(text_shows_any_bytes_without_acting_on_the_terminal),
        cmocka_unit_test(harmless_characters_stay_as_they_are),
        cmocka_unit_test(long_metadata_is_cut),
        cmocka_unit_test(json_takes_any_bytes),
        cmocka_unit_test(json_is_stable),
        cmocka_unit_test(an_empty_report_is_json),
        cmocka_unit_test(frames_have_symbols_objects_or_addresses),
        cmocka_unit_test(a_frame_belongs_to_the_call_before_it),
        cmocka_unit_test(all_sixteen_frames_are_shown),
        cmocka_unit_test(a_stream_that_fails_is_told),
        cmocka_unit_test(done_frees_all_and_may_be_repeated),
        cmocka_unit_test(the_documentation_explains_every_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
