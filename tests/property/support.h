/* SPDX-License-Identifier: MIT */
/*
 * What the property tests share: how much work, which seed, and how a failure is told so that it
 * can be replayed.
 */
#ifndef TESTS_PROPERTY_SUPPORT_H
#define TESTS_PROPERTY_SUPPORT_H

#include "base/random.h"

#include <patinox/registry.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
/* cmocka wants these before it. */
#include <cmocka.h>

/* `full` at PNX_TEST_EFFORT=100, in proportion else, and never nothing. */
static inline uint64_t effort(uint64_t full)
{
    const char *text = getenv("PNX_TEST_EFFORT");
    const uint64_t per_cent = text != NULL && *text != '\0' ? strtoull(text, NULL, 10) : 100;
    const uint64_t some = full / 100 * per_cent + full % 100 * per_cent / 100;
    return some != 0 ? some : 1;
}

/* PNX_TEST_SEED, or a new one: `*ret_given` tells which. Printed, so that it can be given back. */
static inline uint64_t seed_of_run(const char *test, bool *ret_given)
{
    const char *text = getenv("PNX_TEST_SEED");
    *ret_given = text != NULL && *text != '\0';
    const uint64_t seed =
        *ret_given ? strtoull(text, NULL, 0)
                   : pnx__mix64((uint64_t)pnx_monotonic_now() ^ (uint64_t)(uintptr_t)&seed_of_run);
    printf("# %s: PNX_TEST_SEED=%llu\n", test, (unsigned long long)seed);
    fflush(stdout);
    return seed;
}

#endif
