/* SPDX-License-Identifier: MIT */
/* Limits as text. */
#include <cleanroom/limits.h>

#include "kind/limiter.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIB (1ull << 10)
#define MIB (1ull << 20)
#define CPU_MIN 10u
#define CPU_MAX 1024000u
#define PIDS_MAX 4194304u

/* ---- sizes ----------------------------------------------------------------------------------- */

static const struct {
    const char *suffix;
    uint64_t factor;
} units[] = {
    {"", 1},          {"B", 1},          {"K", KIB},         {"k", KIB},
    {"Ki", KIB},      {"KiB", KIB},      {"kB", 1000},       {"KB", 1000},
    {"M", MIB},       {"Mi", MIB},       {"MiB", MIB},       {"MB", 1000000},
    {"G", MIB << 10}, {"Gi", MIB << 10}, {"GiB", MIB << 10}, {"GB", 1000000000},
    {"T", MIB << 20}, {"Ti", MIB << 20}, {"TiB", MIB << 20}, {"TB", 1000000000000},
};

static bool factor_of(const char *suffix, size_t length, uint64_t *ret)
{
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strlen(units[i].suffix) == length && strncmp(units[i].suffix, suffix, length) == 0) {
            *ret = units[i].factor;
            return true;
        }
    return false;
}

/*
 * "1.5" times `factor`, without binary fractions; what is finer than one is cut off. False: this is
 * no number, or none that fits: 18 digits are more than anybody has of anything.
 */
static bool read_decimal(const char *text, size_t length, uint64_t factor, uint64_t *ret)
{
    uint64_t digits = 0, scale = 1;
    bool point = false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '.' && !point && i > 0 && i + 1 < length) {
            point = true;
            continue;
        }
        if (!isdigit((unsigned char)text[i]) || digits >= UINT64_C(100000000000000000))
            return false;
        digits = digits * 10 + (uint64_t)(text[i] - '0');
        scale *= point ? 10 : 1;
    }
    unsigned __int128 value = (unsigned __int128)digits * factor / scale;
    if (length == 0 || value > INT64_MAX)
        return false;
    *ret = (uint64_t)value;
    return true;
}

static bool read_size(const char *text, size_t length, uint64_t *ret)
{
    size_t number = strspn(text, "0123456789.");
    uint64_t factor;
    if (number > length)
        number = length;
    return factor_of(text + number, length - number, &factor) &&
           read_decimal(text, number, factor, ret);
}

void pnx__size_format(uint64_t bytes, char *buffer, size_t size)
{
    static const char suffix[] = "\0KMGT";
    unsigned at = 0;
    for (; at < 4 && bytes && bytes % KIB == 0; at++)
        bytes /= KIB;
    snprintf(buffer, size, "%" PRIu64 "%.1s", bytes, &suffix[at]);
}

void pnx__size_print(uint64_t bytes, char *buffer, size_t size)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    unsigned at = 0;
    for (; at < 4 && value >= 1024; at++)
        value /= 1024;
    snprintf(buffer, size, "%.*f %s", at && value < 100, value, names[at]);
}

/* ---- the list -------------------------------------------------------------------------------- */

static bool read_thousandths(const char *text, size_t length, uint64_t *ret)
{
    return read_decimal(text, length, 1000, ret);
}

static bool read_count(const char *text, size_t length, uint64_t *ret)
{
    return !memchr(text, '.', length) && read_decimal(text, length, 1, ret);
}

static const struct key {
    const char *name;
    bool (*read)(const char *text, size_t length, uint64_t *ret);
    uint64_t min, max;
    const char *range;
    size_t offset;
} keys[] = {
    {"mem", read_size, MIB, INT64_MAX, "a size from 1M, such as 512M or 1.5G",
     offsetof(pnx_limits, memory)},
    {"pids", read_count, 1, PIDS_MAX, "a number from 1 to 4194304", offsetof(pnx_limits, pids)},
    {"cpu", read_thousandths, CPU_MIN, CPU_MAX, "a number of processors from 0.01 to 1024",
     offsetof(pnx_limits, cpu)},
    {"fsize", read_size, 1, INT64_MAX, "a size from 1, such as 64K or 1G",
     offsetof(pnx_limits, file_size)},
    {"disk", read_size, 64 * KIB, INT64_MAX, "a size from 64K, such as 100M or 2G",
     offsetof(pnx_limits, disk)},
};

static uint64_t *field_of(pnx_limits *limits, const struct key *key)
{
    return (uint64_t *)(void *)((char *)limits + key->offset);
}

static const struct key *find_key(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strlen(keys[i].name) == length && strncmp(keys[i].name, name, length) == 0)
            return &keys[i];
    return NULL;
}

/* "mem=512M" of `length`. */
static pnx_status parse_one(const char *text, size_t length, pnx_limits *limits, pnx_error *err)
{
    const char *equal = memchr(text, '=', length);
    const struct key *key = equal ? find_key(text, (size_t)(equal - text)) : NULL;
    if (!key)
        return pnx_fail(err, PNX_EINVAL,
                        "'%.*s' is no limit: mem=SIZE, pids=N, cpu=N, fsize=SIZE, disk=SIZE",
                        (int)length, text);
    uint64_t value, *field = field_of(limits, key);
    if (*field != 0)
        return pnx_fail(err, PNX_EINVAL, "%s is limited twice", key->name);
    const char *number = equal + 1;
    size_t digits = length - (size_t)(number - text);
    if (!key->read(number, digits, &value))
        return pnx_fail(err, PNX_EINVAL, "'%.*s' is not %s, for %s", (int)digits, number,
                        key->range, key->name);
    if (value < key->min || value > key->max)
        return pnx_fail(err, PNX_ELIMIT, "%s=%.*s is out of range: it is %s", key->name,
                        (int)digits, number, key->range);
    *field = value;
    return PNX_OK;
}

pnx_status pnx_limits_parse(const char *text, pnx_limits *ret, pnx_error *err)
{
    pnx_limits limits = {0};
    for (;;) {
        size_t length = strcspn(text, ",");
        pnx_status status = parse_one(text, length, &limits, err);
        if (status != PNX_OK)
            return status;
        if (!text[length])
            break;
        text += length + 1;
    }
    *ret = limits;
    return PNX_OK;
}

static void format_value(const struct key *key, uint64_t value, char *buffer, size_t size)
{
    if (key->read == read_size) {
        pnx__size_format(value, buffer, size);
        return;
    }
    if (key->read == read_count) {
        snprintf(buffer, size, "%" PRIu64, value);
        return;
    }
    int length = snprintf(buffer, size, "%" PRIu64 ".%03" PRIu64, value / 1000, value % 1000);
    while (buffer[length - 1] == '0')
        buffer[--length] = '\0';
    if (buffer[length - 1] == '.')
        buffer[length - 1] = '\0';
}

size_t pnx_limits_format(const pnx_limits *limits, char *buffer, size_t size)
{
    char text[192] = "", value[32];
    size_t length = 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        uint64_t number = *field_of((pnx_limits *)limits, &keys[i]);
        if (!number)
            continue;
        format_value(&keys[i], number, value, sizeof value);
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%s=%s",
                                   length ? "," : "", keys[i].name, value);
    }
    return (size_t)snprintf(buffer, size, "%s", text);
}

bool pnx_limits_any(const pnx_limits *limits)
{
    return limits->memory || limits->pids || limits->cpu || limits->file_size || limits->disk;
}
