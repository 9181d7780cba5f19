/* SPDX-License-Identifier: MIT */
/* Tests of src/patinox/guard/periodic.c. */
#include "support.h"

#include <stdatomic.h>

/* A tick that writes down when it ran, and answers by its number. */
struct beat {
    struct room *room;
    unsigned ticks;
    unsigned last; /* the tick that ends it; 0: none does */
};

static pnx_status tick(void *argument)
{
    struct beat *beat = argument;
    char time[32];
    pnx_span_format(pnx_test_clock_now(&beat->room->clock) - PNX_S(1000), time, sizeof time);
    pnx_test_log_add(beat->room->log, "%s", time);
    return ++beat->ticks == beat->last ? PNX_ECANCELED : PNX_OK;
}

static pnx_periodic beat_in(pnx_scope *scope, struct beat *beat, pnx_duration period)
{
    pnx_periodic periodic = {PNX_ID_NONE};
    pnx_error err = {0};
    if (pnx_periodic_start(scope, "heart", period, tick, beat, &periodic, &err) != PNX_OK) {
        fail_msg("%s", err.message);
    }
    return periodic;
}

static void it_ticks_every_period_until_its_scope_ends(void **state)
{
    struct room *room = *state;
    struct beat beat = {.room = room};
    pnx_scope scope = open_scope(room, "beat");
    pnx_periodic periodic = beat_in(&scope, &beat, PNX_S(1));
    assert_logged(room, "");
    advance(room, PNX_MS(3500));
    assert_int_equal(beat.ticks, 3);
    assert_int_equal(pnx_registry_state(room->registry, periodic.id), PNX_LIVE);
    assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
    assert_int_equal(pnx_registry_state(room->registry, periodic.id), PNX_DONE);
    advance(room, PNX_S(10));
    assert_int_equal(beat.ticks, 3);
}

static void it_is_on_time_and_never_early(void **state)
{
    struct room *room = *state;
    struct beat beat = {.room = room};
    pnx_scope scope = open_scope(room, "beat");
    (void)beat_in(&scope, &beat, PNX_MS(250));
    advance(room, PNX_MS(249));
    assert_int_equal(beat.ticks, 0);
    advance(room, PNX_MS(3));
    assert_int_equal(beat.ticks, 1);
    advance(room, PNX_MS(750));
    assert_in_range(beat.ticks, 3, 4);
    pnx_scope_drop(&scope);
    step(room);
}

static void a_late_tick_is_not_made_up_for(void **state)
{
    struct room *room = *state;
    struct beat beat = {.room = room};
    pnx_scope scope = open_scope(room, "beat");
    (void)beat_in(&scope, &beat, PNX_S(1));
    pnx_test_clock_advance(&room->clock, PNX_S(10));
    step(room);
    assert_int_equal(beat.ticks, 1);
    advance(room, PNX_MS(1100));
    assert_int_equal(beat.ticks, 2);
    pnx_scope_drop(&scope);
    step(room);
}

static void it_ends_when_it_answers_anything_but_ok(void **state)
{
    struct room *room = *state;
    struct beat beat = {.room = room, .last = 2};
    pnx_scope scope = open_scope(room, "beat");
    pnx_periodic periodic = beat_in(&scope, &beat, PNX_S(1));
    advance(room, PNX_S(10));
    assert_int_equal(beat.ticks, 2);
    assert_int_equal(pnx_registry_state(room->registry, periodic.id), PNX_DONE);
    assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
}

static void it_may_be_stopped_by_its_id(void **state)
{
    struct room *room = *state;
    struct beat beat = {.room = room};
    pnx_scope scope = open_scope(room, "beat");
    pnx_periodic periodic = beat_in(&scope, &beat, PNX_S(1));
    advance(room, PNX_MS(1500));
    assert_int_equal(pnx_release_now(room->registry, periodic.id, patience(room), NULL), PNX_OK);
    advance(room, PNX_S(10));
    assert_int_equal(beat.ticks, 1);
    assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
}

/* What was added later ends first; until its own turn comes it goes on. */
static void it_ticks_until_its_turn(void **state)
{
    struct room *room = *state;
    struct beat beat = {.room = room};
    pnx_test_resource *pending = pnx_test_resource_new("pending", NULL);
    pnx_test_always(pending, PNX_TEST_PEND);
    pnx_scope scope = open_scope(room, "beat");
    (void)beat_in(&scope, &beat, PNX_S(1));
    (void)adopt_thing(&scope, room, pending);
    pnx_scope_drop(&scope);
    advance(room, PNX_MS(2500));
    assert_int_equal(beat.ticks, 2);
    assert_int_equal(pnx_test_complete(pending, PNX_OK), PNX_OK);
    advance(room, PNX_S(5));
    assert_int_equal(beat.ticks, 2);
    assert_int_equal(counts_of(room).live, 0);
    pnx_test_resource_free(pending);
}

static void reports_know_its_name(void **state)
{
    struct room *room = *state;
    struct beat beat = {.room = room};
    char name[] = "heart", copy[16];
    pnx_scope scope = open_scope(room, "beat");
    pnx_periodic periodic;
    assert_int_equal(pnx_periodic_start(&scope, name, PNX_S(1), tick, &beat, &periodic, NULL),
                     PNX_OK);
    name[0] = 'X';
    assert_int_equal(
        pnx_resource_get_metadata(room->registry, periodic.id, "name", copy, sizeof copy, NULL),
        PNX_OK);
    assert_string_equal(copy, "heart");
    assert_int_equal(pnx_periodic_start(&scope, NULL, PNX_S(1), tick, &beat, NULL, NULL), PNX_OK);
    assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
}

static void wrong_arguments_are_refused(void **state)
{
    struct room *room = *state;
    struct beat beat = {.room = room};
    pnx_scope scope = open_scope(room, "picky");
    pnx_periodic periodic = {PNX_ID_NONE};
    pnx_error err = {0};
    assert_int_equal(pnx_periodic_start(&scope, "fast", PNX_US(999), tick, &beat, &periodic, &err),
                     PNX_EINVAL);
    assert_contains(err.message, "scope picky: the period is 999us: accepted is 1ms to 52d");
    assert_int_equal(pnx_periodic_start(&scope, "never", PNX_FOREVER, tick, &beat, &periodic, NULL),
                     PNX_EINVAL);
    assert_int_equal(
        pnx_periodic_start(&scope, "long", PNX_S(52 * 86400) + 1, tick, &beat, &periodic, NULL),
        PNX_EINVAL);
    assert_int_equal(pnx_periodic_start(&scope, "none", PNX_S(1), NULL, &beat, &periodic, &err),
                     PNX_EINVAL);
    assert_contains(err.message, "scope picky: the tick");
    assert_true(pnx_id_is_none(periodic.id));
    assert_int_equal(pnx_scope_mark(&scope), 0);
    assert_int_equal(counts_of(room).live, 0);
    pnx_scope_drop(&scope);
}

/* ---- with workers ---------------------------------------------------------------------------- */

struct race {
    _Atomic unsigned running, overlaps, ticks;
};

static pnx_status count_tick(void *argument)
{
    struct race *race = argument;
    atomic_fetch_add(&race->overlaps, atomic_fetch_add(&race->running, 1) != 0);
    atomic_fetch_add(&race->ticks, 1);
    atomic_fetch_sub(&race->running, 1);
    return PNX_OK;
}

/* However it falls: the last tick is over when the close is, and no two ran at a time. */
static void a_scope_may_close_in_the_middle_of_a_tick(void **state)
{
    struct room *room = *state;
    for (size_t round = 0; round < test_effort(20); round++) {
        struct race race = {0};
        pnx_scope scope = open_scope(room, "race");
        assert_int_equal(
            pnx_periodic_start(&scope, "tick", PNX_MS(1), count_tick, &race, NULL, NULL), PNX_OK);
        const pnx_time end = patience(room);
        while (atomic_load(&race.ticks) < 3 && pnx_monotonic_now() < end) {
            sched_yield();
        }
        assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
        const unsigned ticks = atomic_load(&race.ticks);
        assert_true(ticks >= 3);
        wait_idle(room);
        assert_int_equal(atomic_load(&race.ticks), ticks);
        assert_int_equal(atomic_load(&race.overlaps), 0);
    }
}

static void a_shutdown_ends_it_and_it_does_not_leak(void **state)
{
    struct room *room = *state;
    struct race race = {0};
    pnx_scope scope = open_scope(room, "open");
    assert_int_equal(pnx_periodic_start(&scope, "tick", PNX_MS(1), count_tick, &race, NULL, NULL),
                     PNX_OK);
    pnx_report report;
    assert_int_equal(pnx_registry_shutdown(room->registry, NULL, &report, NULL), PNX_OK);
    assert_int_equal(report.leaked, 0);
    pnx_report_done(&report);
    pnx_scope_drop(&scope);
}

int main(void)
{
#define TEST(name, fixture) cmocka_unit_test_setup_teardown(name, fixture, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(it_ticks_every_period_until_its_scope_ends, by_hand),
        TEST(it_is_on_time_and_never_early, by_hand),
        TEST(a_late_tick_is_not_made_up_for, by_hand),
        TEST(it_ends_when_it_answers_anything_but_ok, by_hand),
        TEST(it_may_be_stopped_by_its_id, by_hand),
        TEST(it_ticks_until_its_turn, by_hand),
        TEST(reports_know_its_name, by_hand),
        TEST(wrong_arguments_are_refused, by_hand),
        TEST(a_scope_may_close_in_the_middle_of_a_tick, with_workers),
        TEST(a_shutdown_ends_it_and_it_does_not_leak, with_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
