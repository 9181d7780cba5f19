/* SPDX-License-Identifier: MIT */
/* Tests of src/patinox/registry/config.c, and of the table in docs/configuration.md. */
#include "registry/config.h"

#include "../base/support.h"

#include <limits.h>
#include <sched.h>

/* ---- helpers --------------------------------------------------------------------------------- */

static void unset_all(void)
{
    for (size_t i = 0; i < pnx__config_field_count(); i++) {
        const char *variable = pnx__config_field_at(i).variable;
        if (variable) {
            unsetenv(variable);
        }
    }
}

static int set_up(void **state)
{
    unset_all();
    return 0;
}

static uint64_t value_of(const pnx_config *config, const pnx__config_field *field)
{
    uint64_t value = 0; /* little endian, and only compared with itself on others */
    memcpy(&value, (const char *)config + field->offset, field->size);
    return value;
}

static void put(pnx_config *config, const pnx__config_field *field, uint64_t value)
{
    memcpy((char *)config + field->offset, &value, field->size);
}

static pnx__config_field field_named(const char *name)
{
    for (size_t i = 0; i < pnx__config_field_count(); i++) {
        pnx__config_field field = pnx__config_field_at(i);
        if (strcmp(field.name, name) == 0) {
            return field;
        }
    }
    fail_msg("no field %s", name);
    abort();
}

static pnx_config completed(pnx_config config)
{
    pnx_error err = {0};
    if (pnx_config_complete(&config, &err) != PNX_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(err.code, PNX_OK);
    return config;
}

/* It is refused, the config stays as it was, and the error says these words. */
static void assert_refused(pnx_config config, const char *const words[4])
{
    pnx_config before;
    memcpy(&before, &config, sizeof before);
    pnx_error err = {.code = PNX_ENOMEM, .message = "old news"};
    if (pnx_config_complete(&config, &err) != PNX_EINVAL) {
        fail_msg("accepted, instead of: %s", words[0]);
    }
    assert_memory_equal(&config, &before, sizeof before);
    assert_int_equal(err.code, PNX_EINVAL);
    char text[512];
    pnx_error_format(&err, text, sizeof text);
    assert_null(strstr(text, "old news"));
    assert_null(strstr(text, "..."));
    for (unsigned i = 0; i < 4 && words[i]; i++) {
        assert_contains(text, words[i]);
    }
    assert_int_equal(pnx_config_complete(&config, NULL), PNX_EINVAL);
}
#define assert_refused(config, ...) assert_refused((config), (const char *const[4]){__VA_ARGS__})

/* ---- defaults -------------------------------------------------------------------------------- */

static void an_empty_config_gets_the_documented_defaults(void **state)
{
    pnx_config config = completed((pnx_config){0});
    assert_string_equal(config.name, "patinox");
    assert_int_equal(config.executor, PNX_THREADS);
    assert_in_range(config.workers, 2, 4);
    assert_int_equal(config.workers_max, config.workers + 8);
    assert_int_equal(config.resources_max, 1 << 24);
    assert_int_equal(config.backlog_high_water, 8192);
    assert_int_equal(config.backlog_policy, PNX_BACKLOG_YIELD);
    assert_true(config.max_concurrency == UINT_MAX);
    assert_true(config.timeout == PNX_S(30));
    assert_true(config.retry_delay == PNX_MS(100));
    assert_true(config.retry_delay_max == PNX_S(10));
    assert_true(config.starvation_limit == PNX_S(1));
    assert_true(config.stall_limit == PNX_MS(10));
    assert_true(config.shutdown_grace == PNX_S(5));
    assert_true(config.shutdown_hard == PNX_S(2));
    assert_int_equal(config.at_exit, PNX_EXIT_DRAIN);
    assert_true(config.exit_grace == PNX_S(2));
    assert_int_equal(config.leak_exit_status, 0);
    assert_null(config.leak_report);
    assert_int_equal(config.timing, PNX_TIMING_SAMPLED);
    assert_false(config.backtraces);
    assert_int_equal(config.failures_kept, 1024);
    assert_int_equal(config.worker_stack, 0);
    assert_true(config.seed != 0);
    assert_null(config.clock);
    assert_null(config.wake);
    assert_null(config.wake_context);
    assert_false(config.use_environment);
}

static void a_complete_config_stays_as_it_is(void **state)
{
    pnx_config once = completed((pnx_config){0});
    pnx_config twice = completed(once);
    assert_memory_equal(&once, &twice, sizeof once);
}

static void every_seed_is_different(void **state)
{
    assert_true(completed((pnx_config){0}).seed != completed((pnx_config){0}).seed);
    assert_int_equal(completed((pnx_config){.seed = 7}).seed, 7);
}

static void workers_follow_the_cpus_that_the_process_may_use(void **state)
{
    cpu_set_t all, one;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    int first = 0;
    while (!CPU_ISSET(first, &all)) {
        first++;
    }
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    unsigned workers = completed((pnx_config){0}).workers;
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    assert_int_equal(workers, 2);
}

static void a_default_gives_way_to_what_was_set_beside_it(void **state)
{
    assert_int_equal(completed((pnx_config){.workers_max = 1}).workers, 1);
    assert_int_equal(completed((pnx_config){.workers = 256}).workers_max, 264);
    assert_int_equal(completed((pnx_config){.resources_max = 100}).backlog_high_water, 100);
    assert_true(completed((pnx_config){.retry_delay = PNX_S(60)}).retry_delay_max == PNX_S(60));
    assert_true(completed((pnx_config){.retry_delay_max = PNX_MS(5)}).retry_delay == PNX_MS(5));
}

/* ---- ranges ---------------------------------------------------------------------------------- */

/* The bounds of the fields that have them; all others of the field's row stay at their defaults. */
static const struct range {
    const char *field;
    uint64_t low, high;
    const char *low_text, *high_text;
} ranges[] = {
    {"workers", 1, 256, "1", "256"},
    {"resources_max", 64, (1u << 26) - 4096, "64", "67104768"},
    {"backlog_high_water", 64, 1 << 24, "64", "16777216"},
    {"max_concurrency", 1, UINT_MAX, "1", "4294967295"},
    {"timeout", 1000000, INT64_MAX, "1ms", "forever"},
    {"retry_delay", 1000000, INT64_MAX, "1ms", "forever"},
    {"retry_delay_max", 1000000, INT64_MAX, "1ms", "forever"},
    {"starvation_limit", 1000000, INT64_MAX, "1ms", "forever"},
    {"stall_limit", 1000000, INT64_MAX, "1ms", "forever"},
    {"shutdown_grace", 1, INT64_MAX, "1ns", "forever"},
    {"shutdown_hard", 1, INT64_MAX, "1ns", "forever"},
    {"exit_grace", 1, 3600000000000, "1ns", "1h"},
    {"leak_exit_status", 0, 255, "0", "255"},
    {"failures_kept", 1, 1 << 20, "1", "1048576"},
    {"worker_stack", 16384, 1 << 30, "16384", "1073741824"},
    {"executor", 0, 1, "0", "1"},
    {"backlog_policy", 0, 1, "0", "1"},
    {"at_exit", 0, 2, "0", "2"},
    {"timing", 0, 2, "0", "2"},
    {"backtraces", 0, 1, "0", "1"},
    {"use_environment", 0, 1, "0", "1"},
};
#define RANGE_COUNT (sizeof ranges / sizeof *ranges)

static void bounds_are_accepted_and_kept(void **state)
{
    for (size_t i = 0; i < RANGE_COUNT; i++) {
        pnx__config_field field = field_named(ranges[i].field);
        const uint64_t bounds[] = {ranges[i].low, ranges[i].high};
        for (unsigned b = 0; b < 2; b++) {
            pnx_config config = {0};
            put(&config, &field, bounds[b]);
            config = completed(config);
            if (value_of(&config, &field) != bounds[b]) {
                fail_msg("%s", field.name);
            }
        }
    }
}

static void what_is_just_outside_is_refused_with_the_bounds(void **state)
{
    for (size_t i = 0; i < RANGE_COUNT; i++) {
        const struct range *range = &ranges[i];
        pnx__config_field field = field_named(range->field);
        uint64_t limit = field.size == 8 ? UINT64_MAX : (UINT64_C(1) << (8 * field.size)) - 1;
        char name[64];
        snprintf(name, sizeof name, "pnx_config.%s is ", field.name);
        for (unsigned b = 0; b < 2; b++) {
            if (b == 0 ? range->low <= 1 : range->high == limit) {
                continue; /* 0 is the default, and beyond its type there is nothing */
            }
            pnx_config config = {0};
            put(&config, &field, b == 0 ? range->low - 1 : range->high + 1);
            assert_refused(config, name, range->low_text, range->high_text);
        }
    }
}

static void negative_values_are_shown_as_such(void **state)
{
    assert_refused(((pnx_config){.timeout = -PNX_S(1)}), "timeout is -1s", "1ms to forever");
    assert_refused(((pnx_config){.leak_exit_status = -1}), "leak_exit_status is -1", "0 to 255");
    assert_refused(((pnx_config){.workers = (unsigned)-1}), "workers is 4294967295");
    assert_refused(((pnx_config){.failures_kept = (uint64_t)-1}), "failures_kept is");
    assert_refused(((pnx_config){.timing = (pnx_timing)7}), "timing is 7", "0 to 2",
                   "sampled, all or none");
}

static void a_bound_that_is_another_field_is_named_with_its_value(void **state)
{
    assert_refused(((pnx_config){.workers = 4, .workers_max = 3}), "workers_max is 3",
                   "workers (4) to 512");
    assert_refused(((pnx_config){.resources_max = 128, .backlog_high_water = 129}),
                   "backlog_high_water is 129", "64 to resources_max (128)");
    assert_refused(((pnx_config){.retry_delay = PNX_S(3), .retry_delay_max = PNX_S(2)}),
                   "retry_delay_max is 2s", "retry_delay (3s) to forever");
    (void)completed((pnx_config){.workers = 4, .workers_max = 4});
    (void)completed((pnx_config){.resources_max = 128, .backlog_high_water = 128});
    (void)completed((pnx_config){.retry_delay = PNX_S(3), .retry_delay_max = PNX_S(3)});
}

static void texts_have_a_length(void **state)
{
    static const char thirty_one[] = "1234567890123456789012345678901";
    static const char thirty_two[] = "12345678901234567890123456789012";
    char path[257];
    memset(path, 'p', sizeof path);
    path[256] = '\0';

    assert_ptr_equal(completed((pnx_config){.name = thirty_one}).name, thirty_one);
    assert_refused(((pnx_config){.name = thirty_two}), "pnx_config.name is \"1234567890", "32",
                   "1 to 31 bytes");
    assert_refused(((pnx_config){.name = ""}), "pnx_config.name is \"\"", "1 to 31 bytes");
    assert_ptr_equal(completed((pnx_config){.leak_report = path + 1}).leak_report, path + 1);
    pnx_config config = {.leak_report = path};
    pnx_error err = {0};
    assert_int_equal(pnx_config_complete(&config, &err), PNX_EINVAL);
    assert_contains(err.message, "256 bytes: accepted are 1 to 255 bytes");
    assert_refused(((pnx_config){.leak_report = ""}), "leak_report is \"\"", "1 to 255 bytes");
}

/* ---- executors ------------------------------------------------------------------------------- */

static pnx_time stand_still(const pnx_clock *clock)
{
    return 0;
}

static void wake_nobody(void *context)
{
}

static void a_clock_and_a_wake_need_the_manual_executor(void **state)
{
    static const pnx_clock clock = {.now = stand_still};
    static const pnx_clock broken = {.now = NULL};

    assert_refused(((pnx_config){.clock = &clock}), "clock", "PNX_MANUAL", "pnx_registry_step");
    assert_refused(((pnx_config){.wake = wake_nobody}), "wake", "PNX_MANUAL");
    assert_refused(((pnx_config){.executor = PNX_MANUAL, .clock = &broken}), "clock", "`now`");
    pnx_config config =
        completed((pnx_config){.executor = PNX_MANUAL, .clock = &clock, .wake = wake_nobody});
    assert_ptr_equal(config.clock, &clock);
    assert_true(config.wake == wake_nobody);
}

static void no_config_is_refused(void **state)
{
    pnx_error err = {0};
    assert_int_equal(pnx_config_complete(NULL, &err), PNX_EINVAL);
    assert_contains(err.message, "config");
}

/* ---- the environment ------------------------------------------------------------------------- */

static const struct variable {
    const char *name, *text, *field;
    uint64_t value;
} variables[] = {
    {"PATINOX_WORKERS", "3", "workers", 3},
    {"PATINOX_WORKERS_MAX", "19", "workers_max", 19},
    {"PATINOX_RESOURCES_MAX", "65536", "resources_max", 65536},
    {"PATINOX_BACKLOG", "100", "backlog_high_water", 100},
    {"PATINOX_BACKLOG_POLICY", "help", "backlog_policy", PNX_BACKLOG_HELP},
    {"PATINOX_MAX_CONCURRENCY", "4294967295", "max_concurrency", UINT_MAX},
    {"PATINOX_TIMEOUT", "1.5s", "timeout", PNX_MS(1500)},
    {"PATINOX_RETRY_DELAY", "20ms", "retry_delay", PNX_MS(20)},
    {"PATINOX_RETRY_DELAY_MAX", "forever", "retry_delay_max", PNX_FOREVER},
    {"PATINOX_STARVATION", "2", "starvation_limit", PNX_S(2)},
    {"PATINOX_SHUTDOWN_GRACE", "1m30s", "shutdown_grace", PNX_S(90)},
    {"PATINOX_SHUTDOWN_HARD", "1ns", "shutdown_hard", 1},
    {"PATINOX_AT_EXIT", "nothing", "at_exit", PNX_EXIT_NOTHING},
    {"PATINOX_EXIT_GRACE", "1h", "exit_grace", PNX_S(3600)},
    {"PATINOX_LEAK_EXIT_STATUS", "23", "leak_exit_status", 23},
    {"PATINOX_TIMING", "none", "timing", PNX_TIMING_NONE},
    {"PATINOX_BACKTRACES", "1", "backtraces", 1},
    {"PATINOX_FAILURES_KEPT", "1", "failures_kept", 1},
    {"PATINOX_WORKER_STACK", "262144", "worker_stack", 262144},
};
#define VARIABLE_COUNT (sizeof variables / sizeof *variables)

static void a_variable_overrides_its_field_and_no_other(void **state)
{
    for (size_t i = 0; i < VARIABLE_COUNT; i++) {
        const struct variable *variable = &variables[i];
        pnx_config plain = completed((pnx_config){.seed = 1, .use_environment = true});
        setenv(variable->name, variable->text, 1);
        pnx_config config = completed((pnx_config){.seed = 1, .use_environment = true});
        pnx_config ignoring = completed((pnx_config){.seed = 1});
        unset_all();

        pnx__config_field field = field_named(variable->field);
        assert_string_equal(field.variable, variable->name);
        assert_true(value_of(&config, &field) == variable->value);
        ignoring.use_environment = true;
        assert_memory_equal(&ignoring, &plain, sizeof plain);
        if (strcmp(variable->field, "workers") != 0) { /* the default of workers_max follows it */
            put(&config, &field, value_of(&plain, &field));
            assert_memory_equal(&config, &plain, sizeof plain);
        }
    }
}

static void every_variable_is_tested_here(void **state)
{
    size_t count = 1; /* PATINOX_LEAK_REPORT */
    for (size_t i = 0; i < pnx__config_field_count(); i++) {
        count -= pnx__config_field_at(i).variable != NULL;
    }
    assert_int_equal(count + VARIABLE_COUNT, 0);
}

static void a_variable_overrides_what_the_program_set(void **state)
{
    setenv("PATINOX_WORKERS", "3", 1);
    setenv("PATINOX_TIMING", "sampled", 1);
    setenv("PATINOX_LEAK_EXIT_STATUS", "0", 1);
    pnx_config config = completed((pnx_config){
        .workers = 200, .timing = PNX_TIMING_ALL, .leak_exit_status = 9, .use_environment = true});
    assert_int_equal(config.workers, 3);
    assert_int_equal(config.timing, PNX_TIMING_SAMPLED);
    assert_int_equal(config.leak_exit_status, 0);
    /* A wrong value that the environment replaces does no harm. */
    (void)completed((pnx_config){.workers = 1000, .use_environment = true});
}

static void the_leak_report_is_a_text(void **state)
{
    setenv("PATINOX_LEAK_REPORT", "/tmp/leaks.json", 1);
    pnx_config config = completed((pnx_config){.leak_report = "stderr", .use_environment = true});
    assert_string_equal(config.leak_report, "/tmp/leaks.json");
    assert_string_equal(completed((pnx_config){.leak_report = "stderr"}).leak_report, "stderr");

    char path[257];
    memset(path, 'p', sizeof path);
    path[256] = '\0';
    setenv("PATINOX_LEAK_REPORT", path, 1);
    pnx_error err = {0};
    config = (pnx_config){.use_environment = true};
    assert_int_equal(pnx_config_complete(&config, &err), PNX_EINVAL);
    assert_contains(err.message, "PATINOX_LEAK_REPORT is \"ppp");
    assert_contains(err.message, "256 bytes: accepted are 1 to 255 bytes");
}

static void an_empty_variable_counts_as_unset(void **state)
{
    for (size_t i = 0; i < pnx__config_field_count(); i++) {
        const char *variable = pnx__config_field_at(i).variable;
        if (variable) {
            setenv(variable, "", 1);
        }
    }
    pnx_config config = completed((pnx_config){.seed = 1, .use_environment = true});
    unset_all();
    pnx_config plain = completed((pnx_config){.seed = 1, .use_environment = true});
    assert_memory_equal(&config, &plain, sizeof plain);
}

static void garbage_is_refused_with_variable_value_and_range(void **state)
{
    static const struct {
        const char *variable, *text;
        const char *words[3];
    } cases[] = {
        {"PATINOX_WORKERS", "many", {"PATINOX_WORKERS=\"many\"", "a number from 1 to 256"}},
        {"PATINOX_WORKERS", "0", {"PATINOX_WORKERS=\"0\"", "1 to 256", "unset it"}},
        {"PATINOX_WORKERS", "257", {"PATINOX_WORKERS=\"257\"", "1 to 256"}},
        {"PATINOX_WORKERS", "-1", {"PATINOX_WORKERS=\"-1\"", "1 to 256"}},
        {"PATINOX_WORKERS", "4294967298", {"1 to 256"}}, /* 2, if it were cut to 32 bits */
        {"PATINOX_WORKERS", "18446744073709551618", {"1 to 256"}},
        {"PATINOX_WORKERS", " 2", {"1 to 256"}},
        {"PATINOX_WORKERS", "2 ", {"1 to 256"}},
        {"PATINOX_WORKERS", "2k", {"1 to 256"}},
        {"PATINOX_WORKERS", "0x2", {"1 to 256"}},
        {"PATINOX_WORKERS", "\x1b[31m", {"PATINOX_WORKERS=\"\\x1b[31m\""}},
        {"PATINOX_WORKERS_MAX", "513", {"PATINOX_WORKERS_MAX=\"513\"", "workers to 512"}},
        {"PATINOX_BACKLOG", "63", {"PATINOX_BACKLOG=\"63\"", "64 to resources_max (16777216)"}},
        {"PATINOX_BACKLOG", "16777217", {"64 to resources_max (16777216)"}},
        {"PATINOX_RESOURCES_MAX", "18446744073709551615", {"64 to 67104768"}},
        {"PATINOX_MAX_CONCURRENCY", "4294967296", {"1 to 4294967295"}},
        {"PATINOX_TIMEOUT",
         "5 parsecs",
         {"PATINOX_TIMEOUT=\"5 parsecs\"", "a time span (like 1.5s) from 1ms to forever",
          "expected a unit"}},
        {"PATINOX_TIMEOUT", "999us", {"PATINOX_TIMEOUT=\"999us\"", "from 1ms to forever"}},
        {"PATINOX_TIMEOUT", "-1s", {"never negative"}},
        {"PATINOX_SHUTDOWN_GRACE", "0", {"from 1ns to forever", "unset it"}},
        {"PATINOX_EXIT_GRACE", "61m", {"from 1ns to 1h"}},
        {"PATINOX_AT_EXIT", "maybe", {"PATINOX_AT_EXIT=\"maybe\"", "drain, report or nothing"}},
        {"PATINOX_AT_EXIT", "0", {"drain, report or nothing"}},
        {"PATINOX_AT_EXIT", "Drain", {"drain, report or nothing"}},
        {"PATINOX_BACKLOG_POLICY", "yes", {"accepted is yield or help"}},
        {"PATINOX_TIMING", "some", {"sampled, all or none"}},
        {"PATINOX_BACKTRACES", "true", {"accepted is 0 or 1"}},
        {"PATINOX_LEAK_EXIT_STATUS", "256", {"0 to 255"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setenv(cases[i].variable, cases[i].text, 1);
        assert_refused(((pnx_config){.use_environment = true}), cases[i].words[0],
                       cases[i].words[1], cases[i].words[2]);
        (void)completed((pnx_config){0});
        unset_all();
    }
}

/* ---- the tables ------------------------------------------------------------------------------ */

static void the_table_covers_the_whole_structure(void **state)
{
    size_t end = 0;
    for (size_t i = 0; i < pnx__config_field_count(); i++) {
        pnx__config_field field = pnx__config_field_at(i);
        /* Only padding may lie between a field and the next one. */
        assert_true(field.offset >= end && field.offset - end < 8);
        assert_true(field.offset % field.size == 0);
        end = field.offset + field.size;
    }
    assert_true(sizeof(pnx_config) - end < 8);
}

/* A file of the source tree, until the next call. */
static char *source_file(const char *path)
{
    const char *source = getenv("SOURCE");
    char name[4096];
    snprintf(name, sizeof name, "%s/%s", source ? source : ".", path);
    FILE *file = fopen(name, "r");
    assert_non_null(file);
    static char text[1 << 20];
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    assert_true(text[0] != '\0');
    return text;
}

static void the_documentation_has_the_same_table(void **state)
{
    char *doc = source_file("docs/configuration.md");
    const char *from = doc;
    for (size_t i = 0; i < pnx__config_field_count(); i++) {
        pnx__config_field field = pnx__config_field_at(i);
        char row[256];
        snprintf(row, sizeof row, "\n| `%s` | %s%s%s | %s | %s | ", field.name,
                 field.variable ? "`" : "", field.variable ? field.variable : "–",
                 field.variable ? "`" : "", field.standard, field.accepted);
        const char *at = strstr(from, row); /* in the same order */
        if (!at) {
            fail_msg("docs/configuration.md should have: %s", row + 1);
            return;
        }
        from = at + 1;
    }
    assert_null(strstr(from, "\n| `")); /* and no more fields */
}

static void the_header_names_the_same_variables(void **state)
{
    char *header = source_file("include/patinox/registry.h");
    size_t named = 0;
    for (const char *at = header; (at = strstr(at, " PATINOX_")) != NULL; at++) {
        named += strncmp(at, " PATINOX_REGISTRY_H", 19) != 0 && at[9] != '*';
    }
    for (size_t i = 0; i < pnx__config_field_count(); i++) {
        pnx__config_field field = pnx__config_field_at(i);
        if (field.variable) {
            assert_contains(header, field.variable);
            named--;
        }
    }
    assert_int_equal(named, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_config_gets_the_documented_defaults),
        cmocka_unit_test(a_complete_config_stays_as_it_is),
        cmocka_unit_test(every_seed_is_different),
        cmocka_unit_test(workers_follow_the_cpus_that_the_process_may_use),
        cmocka_unit_test(a_default_gives_way_to_what_was_set_beside_it),
        cmocka_unit_test(bounds_are_accepted_and_kept),
        cmocka_unit_test(what_is_just_outside_is_refused_with_the_bounds),
        cmocka_unit_test(negative_values_are_shown_as_such),
        cmocka_unit_test(a_bound_that_is_another_field_is_named_with_its_value),
        cmocka_unit_test(texts_have_a_length),
        cmocka_unit_test(a_clock_and_a_wake_need_the_manual_executor),
        cmocka_unit_test(no_config_is_refused),
        cmocka_unit_test_setup(a_variable_overrides_its_field_and_no_other, set_up),
        cmocka_unit_test(every_variable_is_tested_here),
        cmocka_unit_test_setup(a_variable_overrides_what_the_program_set, set_up),
        cmocka_unit_test_setup(the_leak_report_is_a_text, set_up),
        cmocka_unit_test_setup(an_empty_variable_counts_as_unset, set_up),
        cmocka_unit_test_setup(garbage_is_refused_with_variable_value_and_range, set_up),
        cmocka_unit_test(the_table_covers_the_whole_structure),
        cmocka_unit_test(the_documentation_has_the_same_table),
        cmocka_unit_test(the_header_names_the_same_variables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
