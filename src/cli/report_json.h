/* SPDX-License-Identifier: MIT */
/**
 * @file report_json.h
 * Typed access to JSON for a reader that goes on after a mistake and tells the first one: each
 * function gives a harmless value when there was one, so that a reader is a list of calls.
 */
#ifndef CLI_REPORT_JSON_H
#define CLI_REPORT_JSON_H

#include <cleanroom/report.h>
#include <jansson.h>

/** Where we are, for messages: "resources[3].exit". */
struct json_place {
    const struct json_place *above; /* NULL at the top */
    const char *key;                /* NULL: an element of the one above */
    size_t index;
};

struct json_reader {
    pnx_status status; /* of the first mistake */
    pnx_error *err;
    pnx_session_report *report; /* whose texts are read */
    const struct json_place *place;
};

/** What a file says may be shown in a message: all that is not printable ASCII becomes "?". */
void json_make_harmless(char *text);

/** Notes a mistake at `key` of the current place (NULL: the place itself). */
void reader_wrong(struct json_reader *reader, const char *key, const char *format, ...)
    PNX_PRINTF(3, 4);
void reader_no_memory(struct json_reader *reader);

/** The value, or NULL: a mistake was noted. */
const json_t *reader_need(struct json_reader *reader, const json_t *object, const char *key);
/** An object or an array; an empty one where there is none. Borrowed. */
const json_t *reader_need_object(struct json_reader *reader, const json_t *object, const char *key);
const json_t *reader_need_array(struct json_reader *reader, const json_t *object, const char *key);
/** NULL, too, where it is null: then no mistake was noted. */
const json_t *reader_object_or_null(struct json_reader *reader, const json_t *object,
                                    const char *key);

bool reader_bool(struct json_reader *reader, const json_t *object, const char *key);
/** From 0 to `most`. */
uint64_t reader_count(struct json_reader *reader, const json_t *object, const char *key,
                      uint64_t most);
/** A count or null, which is `otherwise`. */
int reader_int_or_null(struct json_reader *reader, const json_t *object, const char *key,
                       int otherwise);
pnx_duration reader_milliseconds(struct json_reader *reader, const json_t *object, const char *key);
/** 0 is null. */
int64_t reader_date_or_null(struct json_reader *reader, const json_t *object, const char *key);
/** Borrowed from the JSON; never NULL, "" for null where `nullable`. */
const char *reader_text(struct json_reader *reader, const json_t *object, const char *key,
                        bool nullable);
/** A copy for the caller. NULL after a mistake. */
char *reader_copy(struct json_reader *reader, const json_t *object, const char *key, bool nullable);
/** A copy that the report owns, each once; "" after a mistake. */
const char *reader_shared(struct json_reader *reader, const json_t *object, const char *key,
                          bool nullable);
/** Into a buffer of fixed size; what does not fit is a mistake. */
void reader_fixed(struct json_reader *reader, const json_t *object, const char *key, bool nullable,
                  char *buffer, size_t size);
/** A list of texts, ended by NULL, for the caller; NULL if it is empty. */
char **reader_texts(struct json_reader *reader, const json_t *object, const char *key);
/** Which of `count` names it is; 0 after a mistake. */
int reader_one_of(struct json_reader *reader, const json_t *object, const char *key, int count,
                  const char *(*name_of)(int value));

#endif
