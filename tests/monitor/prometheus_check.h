/* SPDX-License-Identifier: MIT */
/*
 * A strict reader of Prometheus' text format 0.0.4. Besides the grammar it demands what the format
 * only recommends: HELP, then TYPE, then all samples of a family together; no series twice;
 * counters named *_total; buckets ascending and cumulative, ending with +Inf that equals _count.
 */
#ifndef TESTS_MONITOR_PROMETHEUS_CHECK_H
#define TESTS_MONITOR_PROMETHEUS_CHECK_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROM_LINES = 8192, PROM_NAME = 128 };

struct prometheus_reader {
    char family[PROM_NAME];
    char type[PROM_NAME];
    bool has_help, has_type;
    char families[PROM_LINES][PROM_NAME]; /* all that were begun */
    unsigned family_count;
    char *series[PROM_LINES]; /* name and labels of each sample */
    unsigned series_count;
    double last_bound, last_bucket; /* of the histogram that is being read */
    bool bucket_open;
};

static size_t prom_name(const char *text)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_:";
    return strspn(text, first) ? strspn(text, "abcdefghijklmnopqrstuvwxyz"
                                              "ABCDEFGHIJKLMNOPQRSTUVWXYZ_:0123456789")
                               : 0;
}

static bool prom_ends_with(const char *text, const char *end)
{
    size_t length = strlen(text);
    return length > strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

/* "# HELP name text" and "# TYPE name type". */
static bool prom_comment(struct prometheus_reader *reader, const char *line)
{
    bool help = strncmp(line, "# HELP ", 7) == 0;
    if (!help && strncmp(line, "# TYPE ", 7) != 0) {
        return false;
    }
    size_t length = prom_name(line + 7);
    const char *rest = line + 7 + length;
    if (length == 0 || length >= PROM_NAME || *rest != ' ' || rest[1] == '\0') {
        return false;
    }
    char name[PROM_NAME] = {0};
    memcpy(name, line + 7, length);
    if (!help) {
        bool known = !strcmp(rest + 1, "counter") || !strcmp(rest + 1, "gauge") ||
                     !strcmp(rest + 1, "histogram");
        bool fits = reader->has_help && !reader->has_type && !strcmp(name, reader->family);
        reader->has_type = true;
        snprintf(reader->type, sizeof(reader->type), "%s", rest + 1);
        return known && fits && prom_ends_with(name, "_total") == !strcmp(reader->type, "counter");
    }
    for (unsigned i = 0; i < reader->family_count; i++) {
        if (strcmp(reader->families[i], name) == 0) {
            return false; /* it was there before */
        }
    }
    memcpy(reader->families[reader->family_count++], name, sizeof(name));
    memcpy(reader->family, name, sizeof(name));
    reader->has_help = true;
    reader->has_type = false;
    return !reader->bucket_open;
}

/* name="value", with nothing but \\ \" \n escaped. Moves *p behind it. */
static bool prom_label(const char **p, char *ret_value, size_t size)
{
    size_t length = prom_name(*p);
    if (length == 0 || strncmp(*p + length, "=\"", 2) != 0) {
        return false;
    }
    *p += length + 2;
    while (**p != '"') {
        char character = **p;
        if (character == '\0' || character == '\n') {
            return false;
        }
        if (character == '\\') {
            ++*p;
            if (!strchr("\\\"n", **p) || **p == '\0') {
                return false;
            }
        }
        if (size > 1) {
            *ret_value++ = **p;
            size--;
        }
        ++*p;
    }
    *ret_value = '\0';
    ++*p;
    return true;
}

static bool prom_value(const char *text, double *ret)
{
    char *end;
    if (strspn(text, "0123456789.") != strlen(text)) {
        return false; /* all that we write */
    }
    *ret = strtod(text, &end);
    return end != text && *end == '\0';
}

static bool prom_histogram_sample(struct prometheus_reader *reader, const char *suffix,
                                  const char *bound, double value)
{
    if (strcmp(suffix, "_bucket") == 0) {
        bool infinite = strcmp(bound, "+Inf") == 0;
        double limit = 0;
        if (!infinite && !prom_value(bound, &limit)) {
            return false;
        }
        bool rises = !reader->bucket_open ||
                     ((infinite || limit > reader->last_bound) && value >= reader->last_bucket);
        reader->bucket_open = !infinite;
        reader->last_bound = limit;
        reader->last_bucket = value;
        return rises;
    }
    if (reader->bucket_open) {
        return false;
    }
    return !strcmp(suffix, "_sum") || (!strcmp(suffix, "_count") && value == reader->last_bucket);
}

/* name{labels} value */
static bool prom_sample(struct prometheus_reader *reader, const char *line)
{
    char name[PROM_NAME] = {0};
    char bound[PROM_NAME] = "";
    double value;
    size_t length = prom_name(line);
    const char *p = line + length;
    if (!reader->has_type || length == 0 || length >= PROM_NAME || *p != '{') {
        return false;
    }
    memcpy(name, line, length);
    do {
        ++p;
        bool is_bound = strncmp(p, "le=", 3) == 0;
        char ignored[PROM_NAME];
        if (!prom_label(&p, is_bound ? bound : ignored, PROM_NAME)) {
            return false;
        }
    } while (*p == ',');
    if (p[0] != '}' || p[1] != ' ' || !prom_value(p + 2, &value)) {
        return false;
    }

    char *series = strndup(line, (size_t)(p + 1 - line));
    for (unsigned i = 0; i < reader->series_count; i++) {
        if (strcmp(reader->series[i], series) == 0) {
            free(series);
            return false; /* twice */
        }
    }
    reader->series[reader->series_count++] = series;

    if (strcmp(reader->type, "histogram") == 0) {
        size_t family = strlen(reader->family);
        return strncmp(name, reader->family, family) == 0 &&
               prom_histogram_sample(reader, name + family, bound, value);
    }
    return strcmp(name, reader->family) == 0 && bound[0] == '\0';
}

/* NULL: the text is valid; else a copy of the first line that is not, which the caller frees. */
static inline char *prometheus_error(const char *text)
{
    struct prometheus_reader *reader = calloc(1, sizeof(*reader));
    char *copy = strdup(text);
    char *wrong = NULL;
    for (char *line = copy; *line && !wrong;) {
        char *end = strchr(line, '\n');
        if (!end) {
            wrong = strdup("the last line does not end");
            break;
        }
        *end = '\0';
        if (!(*line == '#' ? prom_comment(reader, line) : prom_sample(reader, line))) {
            wrong = strdup(line);
        }
        line = end + 1;
    }
    if (!wrong && reader->bucket_open) {
        wrong = strdup("the last histogram does not end");
    }
    for (unsigned i = 0; i < reader->series_count; i++) {
        free(reader->series[i]);
    }
    free(copy);
    free(reader);
    return wrong;
}

#endif
