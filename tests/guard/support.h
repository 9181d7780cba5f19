/* SPDX-License-Identifier: MIT */
/* What the tests of this room share: registries in virtual time and with workers, things that log.
 *  */
#ifndef TEST_GUARD_SUPPORT_H
#define TEST_GUARD_SUPPORT_H

#include "../base/support.h"

#include <limits.h>
#include <patinox/patinox.h>
#include <patinox/test.h>
#include <sched.h>

/* A registry that is ended by the fixture, and a log. With a clock it is stepped by hand. */
struct room {
    pnx_test_clock clock;
    pnx_registry *registry;
    pnx_test_log *log;
};

static inline struct room *room_new(pnx_config config)
{
    struct room *room = calloc(1, sizeof *room);
    assert_non_null(room);
    pnx_error err = {0};
    if (config.executor == PNX_MANUAL) {
        pnx_test_clock_init(&room->clock, PNX_S(1000));
        config.clock = &room->clock.clock;
    }
    config.at_exit = PNX_EXIT_NOTHING;
    config.seed = 1;
    if (pnx_registry_create(&config, &room->registry, &err) != PNX_OK) {
        fail_msg("%s", err.message);
    }
    room->log = pnx_test_log_new();
    return room;
}

/* Everything that was registered has ended, and nobody holds anything any more. */
static inline void room_free(struct room *room)
{
    pnx_error err = {0};
    pnx_counts counts;
    (void)pnx_registry_shutdown(room->registry, NULL, NULL, NULL);
    pnx_registry_counts(room->registry, &counts);
    assert_int_equal(pnx_counts_imbalance(&counts), 0);
    /* A worker that had hung may still be on its way out, which nobody but destroy can tell. */
    const pnx_time end = pnx_monotonic_now() + PNX_TEST_PATIENCE;
    pnx_status status;
    while ((status = pnx_registry_destroy(room->registry, &err)) == PNX_EBUSY &&
           strstr(err.message, "hung") && pnx_monotonic_now() < end) {
        sched_yield();
    }
    if (status != PNX_OK) {
        fail_msg("%s", err.message);
    }
    pnx_test_log_free(room->log);
    free(room);
}

static inline int by_hand(void **state)
{
    *state = room_new((pnx_config){.name = "by hand", .executor = PNX_MANUAL});
    return 0;
}

static inline int with_workers(void **state)
{
    *state = room_new((pnx_config){.name = "workers", .workers = 2});
    return 0;
}

static inline int with_one_worker(void **state)
{
    *state = room_new((pnx_config){.name = "one worker", .workers = 1});
    return 0;
}

static inline int tear_down(void **state)
{
    room_free(*state);
    return 0;
}

static inline pnx_time patience(const struct room *room)
{
    return pnx_time_after(pnx_registry_now(room->registry), PNX_TEST_PATIENCE);
}

static inline void step(struct room *room)
{
    while (pnx_registry_step(room->registry, SIZE_MAX) > 0) {
    }
}

static inline void advance(struct room *room, pnx_duration span)
{
    (void)pnx_test_run_until(room->registry, &room->clock,
                             pnx_time_after(pnx_test_clock_now(&room->clock), span));
}

static inline void wait_idle(struct room *room)
{
    assert_int_equal(pnx_registry_wait_idle(room->registry, patience(room)), PNX_OK);
}

static inline void assert_logged(struct room *room, const char *expected)
{
    assert_string_equal(pnx_test_log_text(room->log), expected);
    pnx_test_log_clear(room->log);
}

static inline pnx_counts counts_of(struct room *room)
{
    pnx_counts counts;
    pnx_registry_counts(room->registry, &counts);
    return counts;
}

static inline pnx_scope open_scope(struct room *room, const char *name)
{
    pnx_error err = {0};
    pnx_scope scope = pnx_scope_open(room->registry, name, &err);
    if (scope.status != PNX_OK) {
        fail_msg("%s", err.message);
    }
    return scope;
}

/* ---- actions --------------------------------------------------------------------------------- */

/* An action that says its name and answers what it is told. */
struct act {
    struct room *room;
    const char *name;
    pnx_status status;
};

static inline pnx_status run_act(void *argument)
{
    struct act *act = argument;
    pnx_test_log_add(act->room->log, "%s", act->name);
    return act->status;
}

#define defer_act(scope, act)                                                                      \
    assert_int_equal(pnx_scope_defer((scope), run_act, (act), NULL), PNX_OK)

/* ---- things ---------------------------------------------------------------------------------- */

/* Not described: tests free their resources before the report that looks at what had failed. */
PNX_KIND(thing, pnx_test_resource *, pnx_test_release, .timeout = PNX_S(10), .retries = 1,
         .retry_delay = PNX_S(1));

/* Acquires a thing and leaves it to the scope. */
static inline pnx_id adopt_thing(pnx_scope *scope, struct room *room, pnx_test_resource *resource)
{
    pnx_auto(thing) guard = pnx_reserve(thing, room->registry, NULL);
    assert_int_equal(guard.status, PNX_OK);
    assert_true(pnx_arm(&guard, resource));
    const pnx_id id = pnx_id_of(&guard);
    assert_int_equal(pnx_scope_adopt(scope, &guard, NULL), PNX_OK);
    assert_null(guard.base.slot);
    return id;
}

/* Waits until a release of it is pending, so that it may be completed. */
static inline void wait_until_pending(pnx_test_resource *resource)
{
    assert_int_equal(pnx_test_wait_begun(resource, 1, PNX_TEST_PATIENCE), PNX_OK);
    assert_int_equal(pnx_test_wait_running(resource, 0, PNX_TEST_PATIENCE), PNX_OK);
}

#endif
