/* SPDX-License-Identifier: MIT */
/*
 * What the tests of this room share: registries by hand and with threads, how to end them, and what
 * must hold whatever happened. Include it first: cmocka wants its headers in this order.
 */
#ifndef TESTS_REGISTRY_SUPPORT_H
#define TESTS_REGISTRY_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry/internal.h"

#include <limits.h>
#include <patinox/guard.h>
#include <patinox/test.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define assert_ok(call) assert_int_equal((call), PNX_OK)
#define assert_contains(text, part)                                                                \
    do {                                                                                           \
        if (strstr((text), (part)) == NULL)                                                        \
            fail_msg("\"%s\" does not contain \"%s\"", (text), (part));                            \
    } while (0)

/* A point in time until which a correct program certainly has done it. */
static inline pnx_time patience(void)
{
    return pnx_time_after(pnx_monotonic_now(), PNX_TEST_PATIENCE);
}

/* `count` at PNX_TEST_EFFORT per cent, at least 1. */
static inline size_t effort(size_t count)
{
    const char *text = getenv("PNX_TEST_EFFORT");
    const size_t scaled = text != NULL ? count * strtoull(text, NULL, 10) / 100 : count;
    return scaled > 0 ? scaled : 1;
}

/* A generator with a new seed, or with PNX_TEST_SEED to repeat a failure. The seed is printed. */
static inline pnx__random seeded(void)
{
    const char *text = getenv("PNX_TEST_SEED");
    const uint64_t seed =
        text != NULL ? strtoull(text, NULL, 0) : pnx__mix64((uint64_t)pnx_monotonic_now());
    fprintf(stderr, "# PNX_TEST_SEED=%llu\n", (unsigned long long)seed);
    return (pnx__random){seed};
}

/* ---- registries ------------------------------------------------------------------------------ */

static inline pnx_registry *made(const pnx_config *config)
{
    pnx_registry *registry = NULL;
    pnx_error err = {0};
    if (pnx_registry_create(config, &registry, &err) != PNX_OK)
        fail_msg("no registry: %s", err.message);
    return registry;
}

/* Stepped by hand, in virtual time from 0 on. */
static inline pnx_registry *by_hand(pnx_test_clock *clock)
{
    pnx_test_clock_init(clock, 0);
    return made(&(pnx_config){.executor = PNX_MANUAL, .clock = &clock->clock, .seed = 1});
}

static inline pnx_registry *with_workers(unsigned workers)
{
    return made(&(pnx_config){.workers = workers});
}

static inline pnx_counts counts(pnx_registry *registry)
{
    pnx_counts now;
    pnx_registry_counts(registry, &now);
    return now;
}

static inline pnx_stats stats_of(pnx_registry *registry)
{
    pnx_stats stats = {0};
    assert_ok(pnx_registry_stats(registry, &stats, NULL));
    pnx_stats_done(&stats);
    return stats;
}

/* No gauge seems to hold less than nothing, and the equation holds. */
static inline bool balances(const pnx_counts *counts)
{
    const uint64_t huge = UINT64_MAX / 2;
    return pnx_counts_imbalance(counts) == 0 && counts->registered < huge && counts->live < huge &&
           counts->queued < huge && counts->running < huge && counts->waiting < huge &&
           counts->done < huge && counts->failed < huge && counts->abandoned < huge;
}

static inline void assert_balanced(pnx_registry *registry)
{
    const pnx_counts now = counts(registry);
    assert_true(balances(&now));
}

/* Waits until `condition` holds, by looking again whenever something else could run. */
#define wait_until(condition)                                                                      \
    do {                                                                                           \
        const pnx_time until_ = patience();                                                        \
        while (!(condition)) {                                                                     \
            if (pnx_monotonic_now() > until_)                                                      \
                fail_msg("never came true: %s", #condition);                                       \
            sched_yield();                                                                         \
        }                                                                                          \
    } while (0)

static inline void assert_idle(pnx_registry *registry)
{
    assert_int_equal(pnx_registry_wait_idle(registry, patience()), PNX_OK);
    assert_balanced(registry);
}

/* Shuts down and destroys; nothing may be left. A release that hung has been let go by now, but its
 * worker may still be on its way back. */
static inline void finish(pnx_registry *registry)
{
    pnx_error err = {0};
    wait_until(stats_of(registry).workers_hung == 0);
    pnx_report report = {0};
    if (pnx_registry_shutdown(registry, NULL, &report, &err) != PNX_OK)
        fail_msg("shutdown: %s", err.message);
    assert_int_equal(report.survivor_count, 0);
    assert_true(balances(&report.counts));
    pnx_report_done(&report);
    if (pnx_registry_destroy(registry, &err) != PNX_OK)
        fail_msg("destroy: %s", err.message);
}

/* Shuts down at once, whatever is left, and destroys. */
static inline void finish_anyhow(pnx_registry *registry)
{
    pnx_error err = {0};
    const pnx_shutdown_options at_once = {.grace = PNX_MS(1), .hard = PNX_MS(1)};
    (void)pnx_registry_shutdown(registry, &at_once, NULL, &err);
    if (pnx_registry_destroy(registry, &err) != PNX_OK)
        fail_msg("destroy: %s", err.message);
}

/* ---- resources ------------------------------------------------------------------------------- */

/* Registers `value` (a pointer) for a kind whose values are pointers. */
static inline pnx_id put(pnx_registry *registry, const pnx_kind *kind, void *value)
{
    pnx_id id = PNX_ID_NONE;
    pnx_error err = {0};
    if (pnx_register(registry, kind, &value, PNX_HERE, &id, &err) != PNX_OK)
        fail_msg("not registered: %s", err.message);
    return id;
}

/* Registers it and gives it up. */
static inline pnx_id dropped(pnx_registry *registry, const pnx_kind *kind, void *value)
{
    const pnx_id id = put(registry, kind, value);
    assert_ok(pnx_release_later(registry, id, NULL));
    return id;
}

static inline pnx_status no_release(void *value, const pnx_release *why)
{
    return PNX_OK;
}

/* ---- the usual stage: a manual registry in virtual time, watched, and one resource ----------- */

struct fixture {
    pnx_test_clock clock;
    pnx_registry *registry;
    pnx_test_monitor *monitor;
    pnx_test_log *log;
    pnx_test_resource *a;
};

static inline int set_up(void **state)
{
    static struct fixture fixture;
    pnx_error err = {0};
    fixture = (struct fixture){0};
    fixture.registry = by_hand(&fixture.clock);
    fixture.monitor = pnx_test_monitor_new(fixture.registry, &err);
    fixture.log = pnx_test_log_new();
    fixture.a = pnx_test_resource_new("a", fixture.log);
    pnx_test_resource_clock(fixture.a, &fixture.clock);
    *state = &fixture;
    return fixture.monitor == NULL;
}

static inline int tear_down(void **state)
{
    struct fixture *f = *state;
    pnx_test_monitor_free(f->monitor);
    finish_anyhow(f->registry);
    pnx_test_resource_free(f->a);
    pnx_test_log_free(f->log);
    return 0;
}

static inline void run_for(struct fixture *f, pnx_duration span)
{
    pnx_test_run_until(f->registry, &f->clock, pnx_time_after(pnx_test_clock_now(&f->clock), span));
    assert_balanced(f->registry);
}

#define assert_events(f, expected)                                                                 \
    assert_string_equal(pnx_test_monitor_text((f)->monitor, 0), (expected))

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

#endif
