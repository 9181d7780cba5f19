/* SPDX-License-Identifier: MIT */
/* What the tests of this room share. Include it first: cmocka wants its headers in this order. */
#ifndef TESTS_MONITOR_SUPPORT_H
#define TESTS_MONITOR_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <patinox/monitor.h>
#include <stdlib.h>
#include <string.h>

/* Long enough for the slowest machine, short enough for whoever waits for a broken test. */
#define PATIENCE PNX_S(20)

static inline pnx_time patience(void)
{
    return pnx_time_after(pnx_monotonic_now(), PATIENCE);
}

/* What a writer writes, as a string that the caller frees. */
#define WRITTEN(call)                                                                              \
    __extension__({                                                                                \
        char *text_ = NULL;                                                                        \
        size_t size_;                                                                              \
        FILE *out = open_memstream(&text_, &size_);                                                \
        assert_non_null(out);                                                                      \
        call;                                                                                      \
        fclose(out);                                                                               \
        text_;                                                                                     \
    })

/* Names as nobody would give them: quotes, control characters, every way to be no UTF-8. */
static const char *const hostile_names[] = {
    "",
    "plain",
    "quote\" backslash\\ slash/ {brace} comma, equals=",
    "line\nfeed\rreturn\ttab\x01\x1F\x7F",
    "caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\xA7\xB9",
    "lone continuation \x80\xBF",
    "overlong \xC0\xAF \xE0\x80\xAF \xF0\x80\x80\xAF",
    "surrogate \xED\xA0\x80",
    "beyond \xF4\x90\x80\x80 \xF5\xFF\xFE",
    "cut short \xE2\x82",
    "cut shorter \xF0",
    "# HELP patinox_resources fake\npatinox_resources 1\n",
};
#define HOSTILE_NAMES (sizeof(hostile_names) / sizeof(hostile_names[0]))

#endif
