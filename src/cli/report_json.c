/* SPDX-License-Identifier: MIT */
#include "report_json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEY_SHOWN 40

/* ---- mistakes -------------------------------------------------------------------------------- */

static void format_place(const struct json_place *place, char *buffer, size_t size)
{
    if (!place || size < 2)
        return;
    format_place(place->above, buffer, size);
    size_t length = strlen(buffer);
    if (place->key)
        snprintf(buffer + length, size - length, "%s%.*s", length ? "." : "", KEY_SHOWN,
                 place->key);
    else
        snprintf(buffer + length, size - length, "[%zu]", place->index);
}

void json_make_harmless(char *text)
{
    for (; *text; text++)
        if (*text < 0x20 || *text >= 0x7f)
            *text = '?';
}

void reader_wrong(struct json_reader *reader, const char *key, const char *format, ...)
{
    if (reader->status != PNX_OK)
        return;
    char where[160] = "", what[160];
    struct json_place here = {.above = reader->place, .key = key};
    format_place(key ? &here : reader->place, where, sizeof where);
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    json_make_harmless(where);
    json_make_harmless(what);
    reader->status = pnx_fail(reader->err, PNX_EINVAL, "%s%s%s", where, *where ? " " : "", what);
}

void reader_no_memory(struct json_reader *reader)
{
    if (reader->status == PNX_OK)
        reader->status = pnx_fail(reader->err, PNX_ENOMEM, "no memory for the report");
}

/* ---- values ---------------------------------------------------------------------------------- */

const json_t *reader_need(struct json_reader *reader, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!value)
        reader_wrong(reader, key, "is missing");
    return value;
}

const json_t *reader_need_object(struct json_reader *reader, const json_t *object, const char *key)
{
    const json_t *value = reader_need(reader, object, key);
    if (value && !json_is_object(value))
        reader_wrong(reader, key, "is no object");
    return value;
}

const json_t *reader_need_array(struct json_reader *reader, const json_t *object, const char *key)
{
    const json_t *value = reader_need(reader, object, key);
    if (value && !json_is_array(value))
        reader_wrong(reader, key, "is no list");
    return value;
}

const json_t *reader_object_or_null(struct json_reader *reader, const json_t *object,
                                    const char *key)
{
    const json_t *value = reader_need(reader, object, key);
    if (!value || json_is_null(value))
        return NULL;
    if (json_is_object(value))
        return value;
    reader_wrong(reader, key, "is neither an object nor null");
    return NULL;
}

bool reader_bool(struct json_reader *reader, const json_t *object, const char *key)
{
    const json_t *value = reader_need(reader, object, key);
    if (value && !json_is_boolean(value))
        reader_wrong(reader, key, "is neither true nor false");
    return json_is_true(value);
}

uint64_t reader_count(struct json_reader *reader, const json_t *object, const char *key,
                      uint64_t most)
{
    const json_t *value = reader_need(reader, object, key);
    if (value && !json_is_integer(value))
        reader_wrong(reader, key, "is no whole number");
    json_int_t number = json_integer_value(value);
    if (number >= 0 && (uint64_t)number <= most)
        return (uint64_t)number;
    reader_wrong(reader, key, "is %lld, and must be from 0 to %" PRIu64, (long long)number, most);
    return 0;
}

int reader_int_or_null(struct json_reader *reader, const json_t *object, const char *key,
                       int otherwise)
{
    const json_t *value = reader_need(reader, object, key);
    if (!value || json_is_null(value))
        return otherwise;
    return (int)reader_count(reader, object, key, INT32_MAX);
}

pnx_duration reader_milliseconds(struct json_reader *reader, const json_t *object, const char *key)
{
    const double most = 9e12; /* in nanoseconds it fits */
    const json_t *value = reader_need(reader, object, key);
    if (value && !json_is_number(value))
        reader_wrong(reader, key, "is no number");
    double number = json_number_value(value);
    if (number >= 0 && number <= most)
        return (pnx_duration)(number * 1000 + 0.5) * PNX_US(1);
    reader_wrong(reader, key, "is no span of time: %g ms", number);
    return 0;
}

/* Strictly what we write: the same text comes out again. */
static bool parse_date(const char *text, int64_t *ret)
{
    struct tm tm = {0};
    char again[40];
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!rest || *rest != '.' || tm.tm_year < 70 || tm.tm_year > 361)
        return false;
    int64_t milliseconds = strtol(rest + 1, NULL, 10);
    int64_t seconds = timegm(&tm); /* also makes a date of what is none: the 30th of February */
    size_t size = strftime(again, sizeof again, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(again + size, sizeof again - size, ".%03dZ", (int)(milliseconds % 1000));
    *ret = seconds * PNX_S(1) + milliseconds * PNX_MS(1);
    return *ret > 0 && strcmp(text, again) == 0;
}

int64_t reader_date_or_null(struct json_reader *reader, const json_t *object, const char *key)
{
    const json_t *value = reader_need(reader, object, key);
    int64_t date = 0;
    if (!value || json_is_null(value))
        return 0;
    if (!json_is_string(value) || !parse_date(json_string_value(value), &date))
        reader_wrong(reader, key, "is no date such as 2026-01-31T12:34:56.789Z");
    return date;
}

/* ---- texts ----------------------------------------------------------------------------------- */

const char *reader_text(struct json_reader *reader, const json_t *object, const char *key,
                        bool nullable)
{
    const json_t *value = reader_need(reader, object, key);
    if (!value || (nullable && json_is_null(value)))
        return "";
    if (json_is_string(value))
        return json_string_value(value);
    reader_wrong(reader, key, nullable ? "is neither text nor null" : "is no text");
    return "";
}

char *reader_copy(struct json_reader *reader, const json_t *object, const char *key, bool nullable)
{
    char *copy = strdup(reader_text(reader, object, key, nullable));
    if (!copy)
        reader_no_memory(reader);
    return copy;
}

const char *reader_shared(struct json_reader *reader, const json_t *object, const char *key,
                          bool nullable)
{
    const size_t most = 1000; /* there are few of these; more would take long to look through */
    const char *text =
        pnx_session_report_text(reader->report, reader_text(reader, object, key, nullable));
    if (!text)
        reader_no_memory(reader);
    else if (reader->report->text_count > most)
        reader_wrong(reader, key, "is one of more than %zu kinds and sorts", most);
    return text ? text : "";
}

void reader_fixed(struct json_reader *reader, const json_t *object, const char *key, bool nullable,
                  char *buffer, size_t size)
{
    const char *text = reader_text(reader, object, key, nullable);
    if (strlen(text) >= size)
        reader_wrong(reader, key, "is longer than %zu bytes", size - 1);
    else
        memcpy(buffer, text, strlen(text) + 1);
}

char **reader_texts(struct json_reader *reader, const json_t *object, const char *key)
{
    const json_t *list = reader_need_array(reader, object, key);
    size_t count = json_array_size(list);
    char **texts = count ? calloc(count + 1, sizeof *texts) : NULL;
    if (count && !texts)
        reader_no_memory(reader);
    for (size_t i = 0; texts && i < count; i++) {
        const json_t *value = json_array_get(list, i);
        if (!json_is_string(value))
            reader_wrong(reader, key, "has something at %zu that is no text", i);
        texts[i] = strdup(json_is_string(value) ? json_string_value(value) : "");
        if (!texts[i]) {
            reader_no_memory(reader);
            break;
        }
    }
    return texts;
}

int reader_one_of(struct json_reader *reader, const json_t *object, const char *key, int count,
                  const char *(*name_of)(int value))
{
    const char *text = reader_text(reader, object, key, false);
    for (int value = 0; value < count; value++)
        if (strcmp(name_of(value), text) == 0)
            return value;
    reader_wrong(reader, key, "cannot be \"%.40s\"", text);
    return 0;
}
