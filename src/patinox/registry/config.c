/* SPDX-License-Identifier: MIT */
/*
 * The configuration. Promise: it is complete and valid, or as it was and the error says which field
 * or variable has which value, and what would be accepted.
 *
 * One row a field is all there is to know; a new field is a new row here and in
 * docs/configuration.md. Everything happens in a draft: first the environment overrides, then each
 * field in turn gets its default and is checked, so that a row may refer to rows above it.
 */
#include "registry/config.h"

#include "base/sys.h"
#include "base/text.h"

#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum type {
    NUMBER,
    SPAN,    /* pnx_duration; in the environment as pnx_span_parse reads it */
    CHOICE,  /* an enum or a bool; in the environment by name */
    TEXT,    /* a string of `low` to `high` bytes; NULL is its default */
    POINTER, /* what only a program can set; see check_executor */
};

/* All values pass as 64 bits; negative ones are larger than every `high`, and so refused. */
struct field {
    const char *name;
    size_t offset, size;
    const char *variable;
    enum type type;
    bool has_sign;
    uint64_t low, high;
    const char *low_field, *high_field; /* the bound is the value of a field above this one */
    uint64_t standard;
    uint64_t (*compute)(const pnx_config *); /* the default, if it depends */
    const char *standard_text;               /* in words, if the value does not say it */
    const char *choices[4];
};

#define FIELD(NAME) #NAME, offsetof(pnx_config, NAME), sizeof(((pnx_config *)NULL)->NAME)

/* The finest that timers can tell apart. */
#define A_TICK PNX_MS(1)

/* ---- defaults that depend -------------------------------------------------------------------- */

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Fewer than two would let one slow release hold up all others; what more than four are good for
 * depends on what the releases do, which the program knows. */
static uint64_t default_workers(const pnx_config *config)
{
    cpu_set_t cpus;
    /* It fails where there are more CPUs than the set has room for. */
    int count = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : INT_MAX;
    uint64_t workers = count < 2 ? 2 : count > 4 ? 4 : (uint64_t)count;
    return config->workers_max != 0 ? lesser(workers, config->workers_max) : workers;
}

static uint64_t default_workers_max(const pnx_config *config)
{
    return config->workers + 8;
}

static uint64_t default_backlog(const pnx_config *config)
{
    return lesser(8192, config->resources_max);
}

static uint64_t default_retry_delay(const pnx_config *config)
{
    const pnx_duration most = config->retry_delay_max;
    if (most == 0 || most > PNX_MS(100)) {
        return (uint64_t)PNX_MS(100);
    }
    return most > A_TICK ? (uint64_t)most : A_TICK;
}

static uint64_t default_retry_delay_max(const pnx_config *config)
{
    const pnx_duration standard = PNX_S(10), least = config->retry_delay;
    return (uint64_t)(least > standard ? least : standard);
}

static uint64_t default_seed(const pnx_config *config)
{
    (void)config;
    uint64_t seed = pnx__random64();
    return seed != 0 ? seed : 1;
}

/* ---- the fields ------------------------------------------------------------------------------ */

#define FOREVER ((uint64_t)PNX_FOREVER)

static const struct field fields[] = {
    {FIELD(name), NULL, TEXT, .low = 1, .high = 31, .standard_text = "patinox"},
    {FIELD(executor), NULL, CHOICE, .choices = {"threads", "manual"}},
    {FIELD(workers), "PATINOX_WORKERS", NUMBER, .low = 1, .high = 256, .compute = default_workers,
     .standard_text = "CPUs, 2 to 4"},
    {FIELD(workers_max), "PATINOX_WORKERS_MAX", NUMBER, .low_field = "workers", .high = 512,
     .compute = default_workers_max, .standard_text = "workers + 8"},
    {FIELD(resources_max), "PATINOX_RESOURCES_MAX", NUMBER, .low = 64, .high = (1u << 26) - 4096,
     .standard = 1u << 24},
    {FIELD(backlog_high_water), "PATINOX_BACKLOG", NUMBER, .low = 64, .high_field = "resources_max",
     .compute = default_backlog, .standard_text = "8192"},
    {FIELD(backlog_policy), "PATINOX_BACKLOG_POLICY", CHOICE, .choices = {"yield", "help"}},
    {FIELD(max_concurrency), "PATINOX_MAX_CONCURRENCY", NUMBER, .low = 1, .high = UINT_MAX,
     .standard = UINT_MAX, .standard_text = "no limit"},
    {FIELD(timeout), "PATINOX_TIMEOUT", SPAN, .low = A_TICK, .high = FOREVER,
     .standard = PNX_S(30)},
    {FIELD(retry_delay), "PATINOX_RETRY_DELAY", SPAN, .low = A_TICK, .high = FOREVER,
     .compute = default_retry_delay, .standard_text = "100ms"},
    {FIELD(retry_delay_max), "PATINOX_RETRY_DELAY_MAX", SPAN, .low_field = "retry_delay",
     .high = FOREVER, .compute = default_retry_delay_max, .standard_text = "10s"},
    {FIELD(starvation_limit), "PATINOX_STARVATION", SPAN, .low = A_TICK, .high = FOREVER,
     .standard = PNX_S(1)},
    {FIELD(stall_limit), NULL, SPAN, .low = A_TICK, .high = FOREVER, .standard = PNX_MS(10)},
    {FIELD(shutdown_grace), "PATINOX_SHUTDOWN_GRACE", SPAN, .low = 1, .high = FOREVER,
     .standard = PNX_S(5)},
    {FIELD(shutdown_hard), "PATINOX_SHUTDOWN_HARD", SPAN, .low = 1, .high = FOREVER,
     .standard = PNX_S(2)},
    {FIELD(at_exit), "PATINOX_AT_EXIT", CHOICE, .choices = {"drain", "report", "nothing"}},
    {FIELD(exit_grace), "PATINOX_EXIT_GRACE", SPAN, .low = 1, .high = PNX_S(3600),
     .standard = PNX_S(2)},
    {FIELD(leak_exit_status), "PATINOX_LEAK_EXIT_STATUS", NUMBER, .has_sign = true, .low = 0,
     .high = 255, .standard_text = "0: off"},
    {FIELD(leak_report), "PATINOX_LEAK_REPORT", TEXT, .low = 1, .high = 255,
     .standard_text = "off"},
    {FIELD(timing), "PATINOX_TIMING", CHOICE, .choices = {"sampled", "all", "none"}},
    {FIELD(backtraces), "PATINOX_BACKTRACES", CHOICE, .choices = {"0", "1"}},
    {FIELD(failures_kept), "PATINOX_FAILURES_KEPT", NUMBER, .low = 1, .high = 1u << 20,
     .standard = 1024},
    {FIELD(worker_stack), "PATINOX_WORKER_STACK", NUMBER, .low = 16 << 10, .high = 1 << 30,
     .standard_text = "the system's"},
    {FIELD(seed), NULL, NUMBER, .low = 1, .high = UINT64_MAX, .compute = default_seed,
     .standard_text = "random"},
    {FIELD(clock), NULL, POINTER, .standard_text = "CLOCK_MONOTONIC"},
    {FIELD(wake), NULL, POINTER, .standard_text = "none"},
    {FIELD(wake_context), NULL, POINTER, .standard_text = "none"},
    {FIELD(use_environment), NULL, CHOICE, .choices = {"0", "1"}},
};
#define FIELD_COUNT (sizeof fields / sizeof *fields)

static const struct field *field_named(const char *name)
{
    const struct field *field = fields;
    while (strcmp(field->name, name) != 0) {
        field++;
    }
    return field;
}

/* ---- values ---------------------------------------------------------------------------------- */

static uint64_t get(const pnx_config *config, const struct field *field)
{
    const char *at = (const char *)config + field->offset;
    uint8_t byte;
    unsigned word;
    uint64_t value;
    switch (field->size) {
    case sizeof byte:
        memcpy(&byte, at, sizeof byte);
        return byte;
    case sizeof word:
        memcpy(&word, at, sizeof word);
        return field->has_sign ? (uint64_t)(int)word : word;
    default:
        memcpy(&value, at, sizeof value);
        return value;
    }
}

static void set(pnx_config *config, const struct field *field, uint64_t value)
{
    char *at = (char *)config + field->offset;
    const uint8_t byte = (uint8_t)value;
    const unsigned word = (unsigned)value;
    switch (field->size) {
    case sizeof byte:
        memcpy(at, &byte, sizeof byte);
        break;
    case sizeof word:
        memcpy(at, &word, sizeof word);
        break;
    default:
        memcpy(at, &value, sizeof value);
    }
}

static const char *get_text(const pnx_config *config, const struct field *field)
{
    return *(const char *const *)(const void *)((const char *)config + field->offset);
}

static void set_text(pnx_config *config, const struct field *field, const char *text)
{
    *(const char **)(void *)((char *)config + field->offset) = text;
}

static uint64_t choice_count(const struct field *field)
{
    uint64_t count = 0;
    while (count < sizeof field->choices / sizeof *field->choices && field->choices[count]) {
        count++;
    }
    return count;
}

/* ---- values as texts ------------------------------------------------------------------------- */

#define VALUE_SIZE 48

static const char *value_text(const struct field *field, uint64_t value, char buffer[VALUE_SIZE])
{
    if (field->type == SPAN) {
        pnx_span_format((pnx_duration)value, buffer, VALUE_SIZE);
    } else if (field->high == UINT64_MAX || value <= INT64_MAX) {
        pnx__text_format(buffer, VALUE_SIZE, "%" PRIu64, value);
    } else {
        pnx__text_format(buffer, VALUE_SIZE, "%" PRId64, (int64_t)value);
    }
    return buffer;
}

static size_t accepted_choices(const struct field *field, char *buffer, size_t size)
{
    const uint64_t count = choice_count(field);
    size_t end = 0;
    for (uint64_t i = 0; i < count; i++) {
        const char *comma = i == 0 ? "" : i + 1 < count ? ", " : " or ";
        end += pnx__text_format(buffer + end, size - end, "%s%s", comma, field->choices[i]);
    }
    return end;
}

/* What a field accepts; with a `config`, also the values behind the names of other fields. */
static void accepted_text(const struct field *field, const pnx_config *config, char *buffer,
                          size_t size)
{
    if (field->type == CHOICE) {
        accepted_choices(field, buffer, size);
        return;
    }
    if (field->type == POINTER) {
        pnx__text_copy(buffer, size, "with executor manual");
        return;
    }
    const char *names[] = {field->low_field, field->high_field};
    const uint64_t bounds[] = {field->low, field->high};
    size_t end = 0;
    for (unsigned i = 0; i < 2; i++) {
        char value[VALUE_SIZE];
        if (names[i] == NULL) {
            value_text(field, bounds[i], value);
        } else if (config != NULL) {
            value_text(field, get(config, field_named(names[i])), value);
        }
        if (names[i] != NULL && config != NULL) {
            end += pnx__text_format(buffer + end, size - end, "%s (%s)", names[i], value);
        } else {
            end += pnx__text_copy(buffer + end, size - end, names[i] ? names[i] : value);
        }
        end += pnx__text_copy(buffer + end, size - end, i == 0 ? " to " : "");
    }
    pnx__text_copy(buffer + end, size - end, field->type == TEXT ? " bytes" : "");
}

size_t pnx__config_field_count(void)
{
    return FIELD_COUNT;
}

pnx__config_field pnx__config_field_at(size_t index)
{
    const struct field *field = &fields[index];
    pnx__config_field about = {
        .name = field->name,
        .variable = field->variable,
        .offset = field->offset,
        .size = field->size,
    };
    if (field->standard_text != NULL) {
        pnx__text_copy(about.standard, sizeof about.standard, field->standard_text);
    } else if (field->type == CHOICE) {
        pnx__text_copy(about.standard, sizeof about.standard, field->choices[0]);
    } else {
        value_text(field, field->standard, about.standard);
    }
    accepted_text(field, NULL, about.accepted, sizeof about.accepted);
    return about;
}

/* ---- refusing -------------------------------------------------------------------------------- */

#define ACCEPTED_SIZE 128

/* The value came from a variable, as a text: shown as it was written there. `why` may be empty. */
static pnx_status refuse_variable(const struct field *field, const char *text,
                                  const pnx_config *config, const pnx_error *why, pnx_error *err)
{
    if (err != NULL) {
        *err = *why;
    }
    char quoted[PNX__QUOTE_SIZE], accepted[ACCEPTED_SIZE];
    accepted_text(field, config, accepted, sizeof accepted);
    pnx__text_quote(quoted, text);
    const char *what = field->type == SPAN     ? "a time span (like 1.5s) from "
                       : field->type == NUMBER ? "a number from "
                                               : "";
    return pnx_wrap(err, PNX_EINVAL, "%s=%s: accepted is %s%s; unset it for the default",
                    field->variable, quoted, what, accepted);
}

static pnx_status refuse_field(const struct field *field, uint64_t value, const pnx_config *config,
                               pnx_error *err)
{
    char accepted[ACCEPTED_SIZE], text[VALUE_SIZE];
    accepted_text(field, config, accepted, sizeof accepted);
    if (field->type == CHOICE) {
        return pnx_fail(err, PNX_EINVAL, "pnx_config.%s is %s: accepted is 0 to %" PRIu64 " (%s)",
                        field->name, value_text(field, value, text), choice_count(field) - 1,
                        accepted);
    }
    return pnx_fail(err, PNX_EINVAL, "pnx_config.%s is %s: accepted is %s%s", field->name,
                    value_text(field, value, text), accepted,
                    field->low == 0 && !field->low_field ? "" : ", or 0 for the default");
}

static pnx_status refuse_text(const struct field *field, const char *text, const char *variable,
                              pnx_error *err)
{
    char quoted[PNX__QUOTE_SIZE], accepted[ACCEPTED_SIZE];
    accepted_text(field, NULL, accepted, sizeof accepted);
    return pnx_fail(err, PNX_EINVAL, "%s%s is %s, of %zu bytes: accepted are %s",
                    variable ? "" : "pnx_config.", variable ? variable : field->name,
                    pnx__text_quote(quoted, text), strlen(text), accepted);
}

/* ---- the environment ------------------------------------------------------------------------- */

static bool read_number(const char *text, uint64_t *ret)
{
    uint64_t value = 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value)) {
            return false;
        }
    }
    *ret = value;
    return *text == '\0';
}

static bool read_choice(const struct field *field, const char *text, uint64_t *ret)
{
    const uint64_t count = choice_count(field);
    uint64_t i = 0;
    while (i < count && strcmp(field->choices[i], text) != 0) {
        i++;
    }
    *ret = i;
    return i < count;
}

static bool read_value(const struct field *field, const char *text, uint64_t *ret, pnx_error *err)
{
    if (field->type == SPAN) {
        pnx_duration span = 0;
        bool ok = pnx_span_parse(text, &span, err) == PNX_OK;
        *ret = (uint64_t)span;
        return ok;
    }
    if (field->type == CHOICE) {
        return read_choice(field, text, ret);
    }
    /* It has to fit into the field; its range is checked later. */
    return read_number(text, ret) && (field->size == sizeof *ret || *ret <= field->high);
}

/* What the variable of a field says; NULL: nothing. A variable that is empty counts as unset. Not
 * of a program that runs with more rights than whoever started it: a report is a file. */
static const char *variable_of(const struct field *field, const pnx_config *config)
{
    unsigned char use; /* not as a bool: a caller may have left anything in it */
    memcpy(&use, &config->use_environment, sizeof(use));
    if (field->variable == NULL || use == 0) {
        return NULL;
    }
    const char *text = secure_getenv(field->variable);
    return text != NULL && *text != '\0' ? text : NULL;
}

static pnx_status override(pnx_config *draft, const struct field *field, pnx_error *err)
{
    const char *text = variable_of(field, draft);
    uint64_t value;
    if (text == NULL) {
        return PNX_OK;
    }
    if (field->type == TEXT) {
        set_text(draft, field, text);
        return PNX_OK;
    }
    pnx_error why = {0};
    if (!read_value(field, text, &value, &why)) {
        return refuse_variable(field, text, NULL, &why, err);
    }
    set(draft, field, value);
    return PNX_OK;
}

/* ---- defaults and checks --------------------------------------------------------------------- */

static pnx_status complete_text(pnx_config *draft, const struct field *field, pnx_error *err)
{
    const char *text = get_text(draft, field);
    if (text == NULL) {
        if (strcmp(field->name, "name") == 0) {
            set_text(draft, field, field->standard_text);
        }
        return PNX_OK;
    }
    const size_t length = strlen(text);
    return length >= field->low && length <= field->high
               ? PNX_OK
               : refuse_text(field, text, variable_of(field, draft) ? field->variable : NULL, err);
}

static uint64_t bound(const pnx_config *config, const char *name, uint64_t value)
{
    return name != NULL ? get(config, field_named(name)) : value;
}

static pnx_status complete_value(pnx_config *draft, const struct field *field, pnx_error *err)
{
    uint64_t value = get(draft, field);
    const char *variable = variable_of(field, draft);
    if (field->type == CHOICE) {
        return value < choice_count(field) ? PNX_OK : refuse_field(field, value, draft, err);
    }
    if (value == 0 && variable == NULL) {
        set(draft, field, field->compute ? field->compute(draft) : field->standard);
        return PNX_OK;
    }
    if (value >= bound(draft, field->low_field, field->low) &&
        value <= bound(draft, field->high_field, field->high)) {
        return PNX_OK;
    }
    const pnx_error none = {0};
    return variable != NULL ? refuse_variable(field, variable, draft, &none, err)
                            : refuse_field(field, value, draft, err);
}

static pnx_status complete(pnx_config *draft, const struct field *field, pnx_error *err)
{
    switch (field->type) {
    case TEXT:
        return complete_text(draft, field, err);
    case POINTER:
        return PNX_OK;
    default:
        return complete_value(draft, field, err);
    }
}

/* Time that is injected has nobody to wake sleeping threads when it passes. */
static pnx_status check_executor(const pnx_config *draft, pnx_error *err)
{
    if (draft->clock != NULL && draft->clock->now == NULL) {
        return pnx_fail(err, PNX_EINVAL, "pnx_config.clock has no function `now`");
    }
    if (draft->executor == PNX_MANUAL) {
        return PNX_OK;
    }
    if (draft->clock != NULL) {
        return pnx_fail(err, PNX_EINVAL,
                        "pnx_config.clock is set, but threads cannot sleep by an injected clock: "
                        "set executor to PNX_MANUAL and call pnx_registry_step");
    }
    if (draft->wake != NULL) {
        return pnx_fail(err, PNX_EINVAL,
                        "pnx_config.wake is set, but would never be called: it is for executor "
                        "PNX_MANUAL");
    }
    return PNX_OK;
}

pnx_status pnx_config_complete(pnx_config *config, pnx_error *err)
{
    if (config == NULL) {
        return pnx_fail(err, PNX_EINVAL, "pnx_config_complete: `config` is NULL");
    }
    pnx_config draft = *config;
    pnx_status status = PNX_OK;
    for (size_t i = 0; i < FIELD_COUNT && status == PNX_OK; i++) {
        status = override(&draft, &fields[i], err);
    }
    for (size_t i = 0; i < FIELD_COUNT && status == PNX_OK; i++) {
        status = complete(&draft, &fields[i], err);
    }
    if (status == PNX_OK) {
        status = check_executor(&draft, err);
    }
    if (status == PNX_OK) {
        *config = draft;
    }
    return status;
}
