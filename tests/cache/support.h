/* SPDX-License-Identifier: MIT */
/**
 * @file support.h
 * What the tests of this room share: values that know whether they were given back.
 */
#ifndef TEST_CACHE_SUPPORT_H
#define TEST_CACHE_SUPPORT_H

#include "../base/support.h"
#include <patinox/cache.h>
#include <patinox/guard.h>
#include <patinox/test.h>
#include <stdatomic.h>

/* A value: what it is of, and how often it was given back. */
struct thing {
    uint64_t key, number;
    _Atomic unsigned released;
    pnx_reason reason;
};

static inline pnx_status thing_release(struct thing *thing, const pnx_release *why)
{
    thing->reason = why->reason;
    atomic_fetch_add(&thing->released, 1);
    return PNX_OK;
}
PNX_KIND(thing, struct thing *, thing_release);

/* A registry in virtual time, stepped by hand. */
struct fixture {
    pnx_test_clock clock;
    pnx_registry *registry;
};

static inline int fixture_make(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    pnx_test_clock_init(&fixture->clock, PNX_S(100));
    assert_int_equal(
        pnx_registry_create(&(pnx_config){.executor = PNX_MANUAL, .clock = &fixture->clock.clock},
                            &fixture->registry, NULL),
        PNX_OK);
    *state = fixture;
    return 0;
}

static inline int fixture_end(void **state)
{
    struct fixture *fixture = *state;
    pnx_report report;
    assert_int_equal(pnx_registry_shutdown(fixture->registry, NULL, &report, NULL), PNX_OK);
    assert_int_equal(report.leaked, 0);
    assert_int_equal(report.survivor_count, 0);
    assert_int_equal(report.counts.registered,
                     report.counts.done + report.counts.live + report.counts.queued);
    pnx_report_done(&report);
    assert_int_equal(pnx_registry_destroy(fixture->registry, NULL), PNX_OK);
    free(fixture);
    return 0;
}

static inline void settle(struct fixture *fixture)
{
    while (pnx_registry_step(fixture->registry, 1000) > 0)
        ;
}

static inline pnx_cache *cache_make(const pnx_cache_config *config)
{
    pnx_cache *cache = NULL;
    pnx_error err = {0};
    if (pnx_cache_create(config, &cache, &err) != PNX_OK)
        fail_msg("%s", err.message);
    return cache;
}

static inline void cache_end(pnx_cache *cache)
{
    pnx_error err = {0};
    if (pnx_cache_destroy(cache, &err) != PNX_OK)
        fail_msg("%s", err.message);
}

/* 100, or what PNX_TEST_EFFORT says. */
static inline size_t effort(size_t work)
{
    const char *text = getenv("PNX_TEST_EFFORT");
    const size_t percent = text ? strtoull(text, NULL, 10) : 100;
    return work * percent / 100 + 1;
}

#endif
