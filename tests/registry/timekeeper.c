/* SPDX-License-Identifier: MIT */
/* Time-based release: at, after, idle; renewed, touched and canceled; in masses. */
#include "support.h"

#include <unistd.h>

PNX_KIND(plain, pnx_test_resource *, pnx_test_release);
static const pnx_kind empty_kind = {.name = "empty", .release = no_release};

#define TICK PNX_US(1049) /* of the timers: how late they may be */

static pnx_info info_of(struct fixture *f, pnx_id id)
{
    pnx_info info = {0};
    assert_ok(pnx_registry_info(f->registry, id, &info));
    return info;
}

/* ---- at, after ------------------------------------------------------------------------------- */

static void it_is_released_when_its_time_is_over(void **state)
{
    struct fixture *f = *state;
    const pnx_id id = put(f->registry, plain_kind, f->a);
    assert_int_equal(info_of(f, id).expires, PNX_FOREVER);
    assert_ok(pnx_expire_at(f->registry, id, PNX_S(5)));
    assert_int_equal(info_of(f, id).expires, PNX_S(5));
    run_for(f, PNX_S(5) - 1);
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_LIVE);
    run_for(f, TICK);
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_DONE);
    assert_int_equal(pnx_test_recorded(f->a).last.reason, PNX_EXPIRY);
    assert_events(f, "registered plain 1\n"
                     "scheduled plain 1: normal, expiry\n"
                     "started plain 1: attempt 1\n"
                     "completed plain 1: attempt 1\n");
    assert_int_equal(pnx_expire_at(f->registry, id, PNX_S(9)), PNX_EALREADY);
    assert_int_equal(pnx_touch(f->registry, id), PNX_EALREADY);
}

static void never_early_and_a_tick_late_at_most(void **state)
{
    struct fixture *f = *state;
    pnx__random random = seeded();
    for (size_t i = effort(3000); i > 0; i--) {
        const pnx_duration span =
            (pnx_duration)(pnx__random_next(&random) >> (24 + pnx__random_below(&random, 40)));
        const pnx_time due = pnx_test_clock_now(&f->clock) + span;
        const pnx_id id = put(f->registry, plain_kind, f->a);
        assert_ok(pnx_expire_after(f->registry, id, span));
        pnx_test_monitor_clear(f->monitor);
        pnx_test_run_until(f->registry, &f->clock, due + TICK);
        pnx_event event;
        assert_true(pnx_test_monitor_at(f->monitor, 0, &event));
        while (event.type == PNX_EVENT_REGISTERED)
            assert_true(pnx_test_monitor_at(f->monitor, 1, &event));
        assert_int_equal(event.type, PNX_EVENT_SCHEDULED);
        assert_true(event.time >= due);
        assert_true(event.time <= due + TICK);
        assert_int_equal(pnx_registry_state(f->registry, id), PNX_DONE);
    }
}

static void a_time_that_is_past_is_now(void **state)
{
    struct fixture *f = *state;
    run_for(f, PNX_S(10));
    static const pnx_time past[] = {PNX_S(3), 0, -1, INT64_MIN};
    for (int i = 0; i < 4; i++) {
        const pnx_id id = put(f->registry, plain_kind, f->a);
        assert_ok(pnx_expire_at(f->registry, id, past[i]));
        run_for(f, 0);
        assert_int_equal(pnx_registry_state(f->registry, id), PNX_DONE);
    }
    const pnx_id id = put(f->registry, plain_kind, f->a);
    assert_ok(pnx_expire_after(f->registry, id, -PNX_S(1)));
    run_for(f, 0);
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_DONE);
}

static void a_time_beyond_all_clocks_is_kept(void **state)
{
    struct fixture *f = *state;
    const pnx_id id = put(f->registry, plain_kind, f->a);
    assert_ok(pnx_expire_at(f->registry, id, PNX_FOREVER - 1));
    run_for(f, PNX_S(3600) * 24 * 365 * 50);
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_LIVE);
    assert_ok(pnx_expire_after(f->registry, id, PNX_FOREVER)); /* cancels */
    assert_int_equal(info_of(f, id).expires, PNX_FOREVER);
}

static void renewing_and_canceling(void **state)
{
    struct fixture *f = *state;
    const pnx_id id = put(f->registry, plain_kind, f->a);
    for (int i = 1; i <= 10; i++) {
        assert_ok(pnx_expire_after(f->registry, id, PNX_S(2)));
        run_for(f, PNX_S(1));
    }
    assert_ok(pnx_expire_after(f->registry, id, PNX_MS(1))); /* sooner than before, too */
    assert_ok(pnx_expire_at(f->registry, id, PNX_FOREVER));
    assert_ok(pnx_expire_at(f->registry, id, PNX_FOREVER));
    run_for(f, PNX_S(100));
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_LIVE);
    pnx_stats stats;
    assert_ok(pnx_registry_stats(f->registry, &stats, NULL));
    assert_int_equal(stats.timers, 0);
    pnx_stats_done(&stats);
    assert_ok(pnx_expire_after(f->registry, id, PNX_MS(1)));
    run_for(f, PNX_MS(3));
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_DONE);
}

static void what_was_released_before_leaves_no_timer(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 100; i++) {
        const pnx_id id = put(f->registry, plain_kind, f->a);
        assert_ok(pnx_expire_after(f->registry, id, PNX_S(2)));
        if (i % 2 == 0)
            assert_ok(pnx_release_later(f->registry, id, NULL));
        else
            assert_ok(pnx_unregister(f->registry, id, NULL, NULL));
    }
    run_for(f, 0);
    pnx_stats stats;
    assert_ok(pnx_registry_stats(f->registry, &stats, NULL));
    assert_int_equal(stats.timers, 0);
    pnx_stats_done(&stats);
    const pnx_id fresh = put(f->registry, plain_kind, f->a); /* in a slot that had one */
    run_for(f, PNX_S(10));
    assert_int_equal(pnx_registry_state(f->registry, fresh), PNX_LIVE);
    assert_int_equal(info_of(f, fresh).expires, PNX_FOREVER);
    assert_int_equal(pnx_test_recorded(f->a).attempts, 50);
}

/* What waits for a retry, or is pending, is not shown as expiring then. */
static void only_what_is_live_expires(void **state)
{
    struct fixture *f = *state;
    pnx_test_always(f->a, PNX_TEST_PEND);
    const pnx_id id = dropped(f->registry, plain_kind, f->a);
    run_for(f, 0);
    assert_int_equal(info_of(f, id).state, PNX_RUNNING);
    assert_int_equal(info_of(f, id).expires, PNX_FOREVER);
    assert_int_equal(pnx_expire_after(f->registry, id, PNX_S(1)), PNX_EALREADY);
    assert_ok(pnx_test_complete(f->a, PNX_OK));
}

static void foreign_ids_are_refused(void **state)
{
    struct fixture *f = *state;
    const pnx_id foreign = {1, 2};
    assert_int_equal(pnx_expire_at(f->registry, foreign, 0), PNX_ENOTFOUND);
    assert_int_equal(pnx_expire_after(f->registry, foreign, 0), PNX_ENOTFOUND);
    assert_int_equal(pnx_expire_idle(f->registry, foreign, 1), PNX_ENOTFOUND);
    assert_int_equal(pnx_touch(f->registry, foreign), PNX_ENOTFOUND);
}

/* What is due earlier is released earlier, though all of it was found due at once. */
static void an_overdue_crowd_goes_in_its_order(void **state)
{
    struct fixture *f = *state;
    static const int order[] = {3, 1, 4, 0, 2};
    pnx_test_resource *many[5];
    pnx_id ids[5];
    for (int i = 0; i < 5; i++) {
        char name[4];
        snprintf(name, sizeof name, "%d", i);
        many[i] = pnx_test_resource_new(name, f->log);
        ids[i] = put(f->registry, plain_kind, many[i]);
    }
    for (int i = 0; i < 5; i++)
        assert_ok(pnx_expire_at(f->registry, ids[order[i]], PNX_S(order[i] + 1)));
    pnx_test_clock_advance(&f->clock, PNX_S(60));
    run_for(f, 0);
    assert_string_equal(pnx_test_log_text(f->log),
                        "release 0\nrelease 1\nrelease 2\nrelease 3\nrelease 4\n");
    for (int i = 0; i < 5; i++)
        pnx_test_resource_free(many[i]);
}

/* ---- idle ------------------------------------------------------------------------------------ */

static void an_idle_span_begins_anew_with_each_touch(void **state)
{
    struct fixture *f = *state;
    const pnx_id id = put(f->registry, plain_kind, f->a);
    assert_ok(pnx_expire_idle(f->registry, id, PNX_S(2)));
    for (int i = 0; i < 20; i++) {
        run_for(f, PNX_MS(1900));
        assert_ok(pnx_touch(f->registry, id));
    }
    run_for(f, PNX_S(2) - 1);
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_LIVE);
    run_for(f, 3 * TICK);
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_DONE);
    assert_int_equal(pnx_test_recorded(f->a).last.reason, PNX_EXPIRY);
}

static void touching_what_does_not_expire_is_harmless(void **state)
{
    struct fixture *f = *state;
    const pnx_id id = put(f->registry, plain_kind, f->a);
    assert_ok(pnx_touch(f->registry, id));
    assert_ok(pnx_expire_at(f->registry, id, PNX_S(1)));
    run_for(f, PNX_MS(900));
    assert_ok(pnx_touch(f->registry, id)); /* of no use against a fixed time */
    run_for(f, PNX_MS(110));
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_DONE);
}

static void the_last_rule_counts(void **state)
{
    struct fixture *f = *state;
    const pnx_id id = put(f->registry, plain_kind, f->a);
    assert_ok(pnx_expire_idle(f->registry, id, PNX_S(1)));
    assert_ok(pnx_expire_at(f->registry, id, PNX_S(10)));
    run_for(f, PNX_S(5));
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_LIVE);
    assert_ok(pnx_expire_idle(f->registry, id, PNX_S(20)));
    run_for(f, PNX_S(15));
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_LIVE);
    assert_ok(pnx_expire_idle(f->registry, id, PNX_FOREVER));
    run_for(f, PNX_S(100));
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_LIVE);
    assert_ok(pnx_expire_idle(f->registry, id, PNX_MS(1)));
    run_for(f, PNX_MS(4));
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_DONE);
}

/* By the real, coarse clock: not released before the span is over since the touch. */
static void an_idle_span_is_never_cut_short(void **state)
{
    pnx_registry *registry = with_workers(1);
    pnx_test_monitor *monitor = pnx_test_monitor_new(registry, NULL);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    for (size_t i = 1, rounds = effort(50); i <= rounds; i++) {
        const pnx_id id = put(registry, plain_kind, b);
        assert_ok(pnx_expire_idle(registry, id, PNX_MS(5)));
        const pnx_time touched = pnx_monotonic_now();
        if (pnx_touch(registry, id) == PNX_OK) {
            assert_ok(pnx_test_wait_begun(b, (unsigned)i, PNX_TEST_PATIENCE));
            assert_true(pnx_monotonic_now() >= touched + PNX_MS(5));
        }
    }
    assert_idle(registry);
    pnx_test_monitor_free(monitor);
    finish(registry);
    pnx_test_resource_free(b);
}

/* ---- with threads ---------------------------------------------------------------------------- */

struct renewer {
    pthread_t thread;
    pnx_registry *registry;
    pnx_id id;
    pnx_status answer;
    _Atomic pnx_time renewed; /* when the last renewal had succeeded */
};

static void *renew_until_it_fails(void *argument)
{
    struct renewer *self = argument;
    for (;;) {
        self->answer = pnx_expire_after(self->registry, self->id, PNX_MS(2));
        if (self->answer != PNX_OK)
            return NULL;
        atomic_store(&self->renewed, pnx_monotonic_now());
        const pnx_time wait = pnx_monotonic_now() + PNX_US(1900);
        while (pnx_monotonic_now() < wait)
            sched_yield();
    }
}

/* Either the renewal counts, or it is told that it came too late: never both. */
static void renewal_against_firing_has_one_winner(void **state)
{
    pnx_registry *registry = with_workers(2);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    for (size_t round = effort(20); round > 0; round--) {
        struct renewer renewers[2];
        for (int i = 0; i < 2; i++) {
            renewers[i] =
                (struct renewer){.registry = registry, .id = put(registry, plain_kind, b)};
            assert_int_equal(
                pthread_create(&renewers[i].thread, NULL, renew_until_it_fails, &renewers[i]), 0);
        }
        for (int i = 0; i < 2; i++) {
            /* On a busy machine a renewal comes too late soon; else it is ended here. */
            const pnx_time until = pnx_monotonic_now() + PNX_MS(50);
            while (pnx_monotonic_now() < until &&
                   pnx_registry_state(registry, renewers[i].id) == PNX_LIVE)
                sched_yield();
            (void)pnx_release_later(registry, renewers[i].id, NULL);
            pthread_join(renewers[i].thread, NULL);
            assert_int_equal(renewers[i].answer, PNX_EALREADY);
        }
        assert_idle(registry);
    }
    const pnx_counts now = counts(registry);
    assert_int_equal(now.done, now.registered);
    assert_int_equal(pnx_test_recorded(b).successes, now.registered);
    finish(registry);
    pnx_test_resource_free(b);
}

struct setter {
    pthread_t thread;
    pnx_registry *registry;
    pnx_id id;
    _Atomic pid_t tid;
};

#define FIXED PNX_S(1000000)

static void *set_idle(void *argument)
{
    struct setter *self = argument;
    atomic_store(&self->tid, gettid());
    assert_ok(pnx_expire_idle(self->registry, self->id, PNX_S(100)));
    return NULL;
}

/* Does the thread sleep? */
static bool sleeps(pid_t tid)
{
    char path[64], line[128] = "";
    (void)snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)tid);
    FILE *stat = fopen(path, "r");
    if (stat == NULL)
        return false;
    const bool read = fgets(line, sizeof line, stat) != NULL;
    fclose(stat);
    const char *name_end = strrchr(line, ')');
    return read && name_end != NULL && name_end[1] == ' ' && name_end[2] == 'S';
}

/* Else a timer could be due at a fixed time, and yet be moved by touches, or the other way round:
 * whoever has the lock sees one rule as a whole, also while another one is on its way. */
static void a_rule_is_set_as_a_whole(void **state)
{
    pnx_test_clock clock;
    pnx_registry *registry = by_hand(&clock);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    struct setter setter = {.registry = registry, .id = put(registry, plain_kind, b)};
    const pnx__slot *slot = pnx__slot_of(registry, setter.id);
    assert_ok(pnx_expire_at(registry, setter.id, FIXED));

    pthread_mutex_lock(&registry->timers_lock);
    assert_int_equal(pthread_create(&setter.thread, NULL, set_idle, &setter), 0);
    const pnx_time end = patience();
    while ((atomic_load(&setter.tid) == 0 || !sleeps(atomic_load(&setter.tid))) &&
           pnx_monotonic_now() < end)
        sched_yield();
    const bool idle_then = (atomic_load(&slot->word) & PNX__IDLE_SPAN) != 0;
    const pnx_time due_then = atomic_load(&slot->due);
    pthread_mutex_unlock(&registry->timers_lock);
    pthread_join(setter.thread, NULL);
    assert_false(idle_then);
    assert_true(due_then == FIXED);

    assert_true((atomic_load(&slot->word) & PNX__IDLE_SPAN) != 0);
    assert_true(atomic_load(&slot->due) != FIXED);
    assert_ok(pnx_release_later(registry, setter.id, NULL));
    while (pnx_registry_step(registry, SIZE_MAX) > 0)
        continue;
    finish(registry);
    pnx_test_resource_free(b);
}

/* ---- in masses ------------------------------------------------------------------------------- */

static void a_million_timers(void **state)
{
    pnx_test_clock clock;
    pnx_registry *registry = by_hand(&clock);
    pnx__random random = seeded();
    const size_t many = effort(1000000);
    pnx_id *ids = malloc(many * sizeof *ids);
    assert_non_null(ids);
    for (size_t i = 0; i < many; i++) {
        assert_ok(pnx_register(registry, &empty_kind, NULL, NULL, &ids[i], NULL));
        assert_ok(pnx_expire_after(
            registry, ids[i], (pnx_duration)pnx__random_below(&random, (uint64_t)PNX_S(3600))));
    }
    for (size_t i = 0; i < many; i += 2)
        assert_ok(pnx_expire_at(registry, ids[i], PNX_FOREVER));
    pnx_stats stats;
    assert_ok(pnx_registry_stats(registry, &stats, NULL));
    assert_int_equal(stats.timers, many / 2);
    pnx_stats_done(&stats);
    uint64_t done = 0;
    for (int minute = 1; minute <= 60; minute++) {
        pnx_test_clock_advance(&clock, PNX_S(60));
        while (pnx_registry_step(registry, SIZE_MAX) > 0)
            continue;
        const pnx_counts now = counts(registry);
        assert_true(balances(&now));
        /* About as many a minute; a sixtieth of half of them. */
        if (many >= 1000000)
            assert_true(now.done - done > many / 120 * 9 / 10 &&
                        now.done - done < many / 120 * 11 / 10);
        done = now.done;
    }
    pnx_test_clock_advance(&clock, PNX_S(1));
    while (pnx_registry_step(registry, SIZE_MAX) > 0)
        continue;
    assert_int_equal(counts(registry).done, many - (many + 1) / 2);
    finish(registry);
    free(ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(it_is_released_when_its_time_is_over),
        with_fixture(never_early_and_a_tick_late_at_most),
        with_fixture(a_time_that_is_past_is_now),
        with_fixture(a_time_beyond_all_clocks_is_kept),
        with_fixture(renewing_and_canceling),
        with_fixture(what_was_released_before_leaves_no_timer),
        with_fixture(only_what_is_live_expires),
        with_fixture(foreign_ids_are_refused),
        with_fixture(an_overdue_crowd_goes_in_its_order),
        with_fixture(an_idle_span_begins_anew_with_each_touch),
        with_fixture(touching_what_does_not_expire_is_harmless),
        with_fixture(the_last_rule_counts),
        cmocka_unit_test(an_idle_span_is_never_cut_short),
        cmocka_unit_test(renewal_against_firing_has_one_winner),
        cmocka_unit_test(a_rule_is_set_as_a_whole),
        cmocka_unit_test(a_million_timers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
