/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the pool share: a registry in virtual time, a manager that does as the test
 * says, and a log of what happened.
 */
#ifndef TESTS_POOL_SUPPORT_H
#define TESTS_POOL_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <patinox/patinox.h>
#include <patinox/pool.h>
#include <patinox/test.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define THINGS_MAX 100000

/* What is pooled: a number from 1 on. */
typedef struct thing {
    int number;
} thing;

struct world {
    pnx_test_clock clock;
    pnx_registry *registry;
    pnx_pool *pool;
    pnx_error err;
    thing things[1024];
    _Atomic int made, alive, alive_max, destroyed, validated, resets;
    _Atomic int create_fails;   /* the next so many fail */
    _Atomic int validate_fails; /* the same */
    _Atomic int reset_fails;
    _Atomic int broken; /* the number of the one that is; 0: none */
    _Atomic int hang;   /* creates wait for `go` */
    sem_t hangs, go;
    char events[16384];
    unsigned told[PNX_POOL_EVENT_COUNT];       /* how often */
    pnx_pool_event last[PNX_POOL_EVENT_COUNT]; /* the last of each; without its error */
    pnx_error last_error[PNX_POOL_EVENT_COUNT];
    char note[64];
    pthread_mutex_t lock;
};

static struct world world;

static inline pnx_status close_thing(thing *value, const pnx_release *why)
{
    (void)value;
    (void)why;
    atomic_fetch_add(&world.destroyed, 1);
    atomic_fetch_sub(&world.alive, 1);
    return PNX_OK;
}
PNX_KIND(thing, thing *, close_thing);

static inline pnx_status create_thing(const pnx_pool_call *call, void *ret_value, pnx_error *err)
{
    (void)call;
    if (atomic_load(&world.hang) != 0) {
        sem_post(&world.hangs);
        while (sem_wait(&world.go) != 0) {
        }
    }
    int fails = atomic_load(&world.create_fails);
    while (fails > 0 && !atomic_compare_exchange_weak(&world.create_fails, &fails, fails - 1)) {
    }
    if (fails > 0)
        return pnx_fail(err, PNX_EFAILED, "server says no (%d)", fails);
    const int number = atomic_fetch_add(&world.made, 1) + 1;
    const int alive = atomic_fetch_add(&world.alive, 1) + 1;
    int most = atomic_load(&world.alive_max);
    while (alive > most && !atomic_compare_exchange_weak(&world.alive_max, &most, alive)) {
    }
    thing *made = &world.things[number % 1024];
    made->number = number;
    memcpy(ret_value, &made, sizeof made);
    return PNX_OK;
}

static inline pnx_status validate_thing(const pnx_pool_call *call, void *value, pnx_error *err)
{
    (void)call;
    (void)value;
    atomic_fetch_add(&world.validated, 1);
    int fails = atomic_load(&world.validate_fails);
    while (fails > 0 && !atomic_compare_exchange_weak(&world.validate_fails, &fails, fails - 1)) {
    }
    return fails > 0 ? pnx_fail(err, PNX_EFAILED, "it is dead") : PNX_OK;
}

static inline pnx_status reset_thing(const pnx_pool_call *call, void *value, pnx_error *err)
{
    (void)call;
    (void)value;
    atomic_fetch_add(&world.resets, 1);
    int fails = atomic_load(&world.reset_fails);
    while (fails > 0 && !atomic_compare_exchange_weak(&world.reset_fails, &fails, fails - 1)) {
    }
    return fails > 0 ? pnx_fail(err, PNX_EFAILED, "cannot be reset") : PNX_OK;
}

static inline bool broken_thing(void *context, const void *value)
{
    thing *it;
    (void)context;
    memcpy(&it, value, sizeof it);
    return it->number == atomic_load(&world.broken);
}

static inline void observe(const pnx_pool_event *event, void *context)
{
    (void)context;
    pthread_mutex_lock(&world.lock);
    const size_t used = strlen(world.events);
    snprintf(world.events + used, sizeof world.events - used, "%s\n",
             pnx_pool_event_name(event->type));
    world.told[event->type]++;
    world.last[event->type] = *event;
    if (event->error != NULL)
        world.last_error[event->type] = *event->error;
    pthread_mutex_unlock(&world.lock);
}

static const pnx_pool_manager plain = {.create = create_thing};
static const pnx_pool_manager full = {
    .create = create_thing, .validate = validate_thing, .broken = broken_thing};
static const pnx_pool_manager resetting = {.create = create_thing, .reset = reset_thing};
static const pnx_pool_manager resetting_inline = {
    .create = create_thing, .reset = reset_thing, .reset_inline = true};

static inline void reset_world(void)
{
    memset(&world, 0, sizeof world);
    pthread_mutex_init(&world.lock, NULL);
    sem_init(&world.hangs, 0, 0);
    sem_init(&world.go, 0, 0);
}

/* In virtual time, stepped by hand. */
static inline int set_up_manual(void **state)
{
    (void)state;
    reset_world();
    pnx_test_clock_init(&world.clock, PNX_S(1000));
    return pnx_registry_create(
        &(pnx_config){
            .executor = PNX_MANUAL, .clock = &world.clock.clock, .name = "test", .seed = 1},
        &world.registry, &world.err);
}

/* On threads, in real time. */
static inline int set_up_workers(unsigned workers)
{
    reset_world();
    return pnx_registry_create(&(pnx_config){.workers = workers, .name = "test"}, &world.registry,
                               &world.err);
}

static inline int set_up_threads(void **state)
{
    (void)state;
    return set_up_workers(2);
}

/* Two of them may block. */
static inline int set_up_four_threads(void **state)
{
    (void)state;
    return set_up_workers(4);
}

static inline void settle(void)
{
    while (pnx_registry_step(world.registry, 1000) > 0) {
    }
}

static inline void pass(pnx_duration span)
{
    (void)pnx_test_run_until(world.registry, &world.clock, pnx_test_clock_now(&world.clock) + span);
}

static inline pnx_pool *make_pool(pnx_pool_config config)
{
    if (config.kind == NULL)
        config.kind = thing_kind;
    if (config.manager == NULL)
        config.manager = &plain;
    if (config.observe == NULL)
        config.observe = observe;
    if (config.seed == 0)
        config.seed = 7;
    if (pnx_pool_create(world.registry, &config, &world.pool, &world.err) != PNX_OK)
        fail_msg("%s", world.err.message);
    return world.pool;
}

static inline void check_account(void)
{
    pnx_counts counts;
    pnx_registry_counts(world.registry, &counts);
    assert_int_equal(pnx_counts_imbalance(&counts), 0);
    pnx_pool_stats stats;
    pnx_pool_get_stats(world.pool, &stats);
    assert_int_equal(stats.size,
                     stats.idle + stats.leased + stats.creating + stats.checking + stats.closing);
}

/* Everything is given back, and nothing twice. */
static inline int tear_down(void **state)
{
    (void)state;
    if (world.pool != NULL) {
        /* A test that failed before it let go of what hangs shall fail, not hang. */
        if (atomic_exchange(&world.hang, 0) != 0)
            sem_post(&world.go);
        pnx_pool_report report;
        if (pnx_pool_close(world.pool, PNX_FOREVER, &report, &world.err) != PNX_OK)
            fail_msg("%s", world.err.message);
        assert_int_equal(report.held, 0);
        if (pnx_pool_destroy(world.pool, &world.err) != PNX_OK)
            fail_msg("%s", world.err.message);
    }
    assert_int_equal(world.alive, 0);
    assert_int_equal(world.made, world.destroyed);
    pnx_report report;
    if (pnx_registry_shutdown(world.registry, NULL, &report, &world.err) != PNX_OK)
        fail_msg("%s", world.err.message);
    assert_int_equal(report.leaked, 0);
    assert_int_equal(pnx_counts_imbalance(&report.counts), 0);
    assert_int_equal(report.counts.live, 0);
    pnx_report_done(&report);
    if (pnx_registry_destroy(world.registry, &world.err) != PNX_OK)
        fail_msg("%s", world.err.message);
    return 0;
}

#define on_manual(test) cmocka_unit_test_setup_teardown(test, set_up_manual, tear_down)
#define on_threads(test) cmocka_unit_test_setup_teardown(test, set_up_threads, tear_down)

static inline int number_of(const pnx_lease *lease)
{
    return pnx_lease_get(lease, thing *)->number;
}

static inline pnx_time soon(void)
{
    return pnx_registry_now(world.registry) + PNX_S(10);
}

/* Acquires within ten seconds, or the test fails. */
static inline pnx_lease get(void)
{
    pnx_lease lease = {0};
    if (pnx_pool_acquire(world.pool, soon(), &lease, &world.err) != PNX_OK)
        fail_msg("%s", world.err.message);
    return lease;
}

static inline pnx_pool_stats stats_of(void)
{
    pnx_pool_stats stats;
    pnx_pool_get_stats(world.pool, &stats);
    return stats;
}

#endif
