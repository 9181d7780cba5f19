/* SPDX-License-Identifier: MIT */
/* Attempts and what becomes of them: retries, back-off, fallbacks, lateness, pending ones. */
#include "support.h"

PNX_KIND(plain, pnx_test_resource *, pnx_test_release, .timeout = PNX_S(1),
         .retry_delay = PNX_MS(100), .retry_delay_max = PNX_S(1));
PNX_KIND(tough, pnx_test_resource *, pnx_test_release, .timeout = PNX_S(1), .retries = 2,
         .retry_delay = PNX_MS(100), .retry_delay_max = PNX_S(1));
PNX_KIND(patient, pnx_test_resource *, pnx_test_release, .timeout = PNX_FOREVER, .retries = 9,
         .retry_delay = PNX_MS(100), .retry_delay_max = PNX_S(1));
PNX_KIND(backed, pnx_test_resource *, pnx_test_release, .timeout = PNX_S(1), .retries = 1,
         .retry_delay = PNX_MS(100), .fallback = pnx_test_fallback);
PNX_KIND(same, pnx_test_resource *, pnx_test_release, .flags = PNX_IDEMPOTENT, .timeout = PNX_S(1),
         .retries = 2, .retry_delay = PNX_MS(100), .retry_delay_max = PNX_S(1),
         .fallback = pnx_test_fallback);
PNX_KIND(unblocked, pnx_test_resource *, pnx_test_release, .flags = PNX_FALLBACK_CONCURRENT,
         .timeout = PNX_S(1), .fallback = pnx_test_fallback);

/* ---- success and failure --------------------------------------------------------------------- */

static void a_success_is_the_end(void **state)
{
    struct fixture *f = *state;
    const pnx_id id = dropped(f->registry, plain_kind, f->a);
    run_for(f, PNX_S(10));
    assert_events(f, "registered plain 1\n"
                     "scheduled plain 1: normal, explicit\n"
                     "started plain 1: attempt 1\n"
                     "completed plain 1: attempt 1\n");
    assert_int_equal(pnx_test_recorded(f->a).attempts, 1);
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_DONE);
    assert_int_equal(pnx_release_later(f->registry, id, NULL), PNX_EALREADY);
    assert_int_equal(pnx_release_now(f->registry, id, PNX_FOREVER, NULL), PNX_EALREADY);
    run_for(f, PNX_S(10));
    assert_int_equal(pnx_test_recorded(f->a).attempts, 1);
    assert_int_equal(counts(f->registry).done, 1);
}

static void already_cleaned_up_counts_as_given_back(void **state)
{
    struct fixture *f = *state;
    pnx_test_fail(f->a, UINT_MAX, PNX_EALREADY);
    dropped(f->registry, backed_kind, f->a);
    run_for(f, PNX_S(10));
    assert_int_equal(counts(f->registry).done, 1);
    assert_string_equal(pnx_test_log_text(f->log), "release a\n");
}

static void a_release_is_told_why_and_until_when(void **state)
{
    struct fixture *f = *state;
    pnx_test_clock_advance(&f->clock, PNX_S(7));
    const pnx_id id = dropped(f->registry, plain_kind, f->a);
    run_for(f, 0);
    const pnx_release last = pnx_test_recorded(f->a).last;
    assert_ptr_equal(last.registry, f->registry);
    assert_true(pnx_id_equal(last.id, id));
    assert_int_equal(last.deadline, PNX_S(8));
    assert_int_equal(last.reason, PNX_EXPLICIT);
    assert_int_equal(last.attempt, 1);
    assert_false(last.fallback);

    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    dropped(f->registry, patient_kind, b);
    run_for(f, 0);
    assert_int_equal(pnx_test_recorded(b).last.deadline, PNX_FOREVER);
    pnx_test_resource_free(b);
}

static void without_retries_a_failure_is_final(void **state)
{
    struct fixture *f = *state;
    pnx_test_fail(f->a, UINT_MAX, PNX_EFAILED);
    const pnx_id id = dropped(f->registry, plain_kind, f->a);
    run_for(f, PNX_S(10));
    assert_events(f, "registered plain 1\n"
                     "scheduled plain 1: normal, explicit\n"
                     "started plain 1: attempt 1\n"
                     "failed plain 1: attempt 1, failed\n");
    pnx_info info;
    assert_ok(pnx_registry_info(f->registry, id, &info));
    assert_int_equal(info.state, PNX_FAILED);
    assert_int_equal(info.last_status, PNX_EFAILED);
    assert_int_equal(info.attempts, 1);
    assert_int_equal(pnx_release_now(f->registry, id, PNX_FOREVER, NULL), PNX_EALREADY);
    assert_int_equal(counts(f->registry).failed, 1);
    assert_int_equal(pnx_registry_forget_failed(f->registry), 1);
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_DONE);
    assert_int_equal(counts(f->registry).failed, 1); /* it did fail */
}

static void failures_are_retried_as_often_as_the_kind_says(void **state)
{
    struct fixture *f = *state;
    pnx_test_fail(f->a, UINT_MAX, PNX_EFAILED);
    dropped(f->registry, tough_kind, f->a);
    run_for(f, PNX_S(10));
    assert_events(f, "registered tough 1\n"
                     "scheduled tough 1: normal, explicit\n"
                     "started tough 1: attempt 1\n"
                     "retried tough 1: attempt 1, failed\n"
                     "started tough 1: attempt 2\n"
                     "retried tough 1: attempt 2, failed\n"
                     "started tough 1: attempt 3\n"
                     "failed tough 1: attempt 3, failed\n");
    assert_int_equal(counts(f->registry).retried, 2);
}

static void a_retry_that_succeeds_is_the_end(void **state)
{
    struct fixture *f = *state;
    pnx_test_fail(f->a, 1, PNX_EBUSY);
    const pnx_id id = dropped(f->registry, tough_kind, f->a);
    run_for(f, 0);
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_WAITING);
    assert_int_equal(counts(f->registry).waiting, 1);
    run_for(f, PNX_S(10));
    assert_events(f, "registered tough 1\n"
                     "scheduled tough 1: normal, explicit\n"
                     "started tough 1: attempt 1\n"
                     "retried tough 1: attempt 1, busy\n"
                     "started tough 1: attempt 2\n"
                     "completed tough 1: attempt 2\n");
    assert_int_equal(counts(f->registry).done, 1);
}

static void what_neither_retry_nor_fallback_helps_is_final_at_once(void **state)
{
    struct fixture *f = *state;
    for (int status = PNX_OK; status < PNX_STATUS_COUNT; status++) {
        if (status == PNX_EALREADY || pnx_recovery_of((pnx_status)status) != PNX_RECOVER_FAIL)
            continue;
        pnx_test_log_clear(f->log);
        pnx_test_fail(f->a, UINT_MAX, (pnx_status)status);
        const pnx_id id = dropped(f->registry, backed_kind, f->a);
        run_for(f, PNX_S(10));
        assert_string_equal(pnx_test_log_text(f->log), "release a\n");
        assert_int_equal(pnx_registry_state(f->registry, id), PNX_FAILED);
    }
}

/* ---- back-off -------------------------------------------------------------------------------- */

/* The delay before each retry doubles up to its limit; jitter takes at most half of it away. */
static void delays_double_with_jitter_over_the_upper_half(void **state)
{
    struct fixture *f = *state;
    static const int64_t full_ms[] = {100, 200, 400, 800, 1000, 1000, 1000, 1000, 1000};
    bool differ[9] = {false};
    pnx_duration first[9] = {0};
    for (int round = 0; round < 40; round++) {
        pnx_test_monitor_clear(f->monitor);
        pnx_test_resource *b = pnx_test_resource_new("b", NULL);
        pnx_test_fail(b, 9, PNX_EFAILED);
        dropped(f->registry, patient_kind, b);
        run_for(f, PNX_S(20));
        pnx_event event, next;
        unsigned retry = 0;
        for (size_t i = 0; pnx_test_monitor_at(f->monitor, i, &event); i++) {
            if (event.type != PNX_EVENT_RETRIED)
                continue;
            assert_true(pnx_test_monitor_at(f->monitor, i + 1, &next));
            assert_int_equal(next.type, PNX_EVENT_STARTED);
            const pnx_duration delay = next.time - event.time;
            /* Never early; late by what a tick of the timers (1.05 ms) may add. */
            assert_true(delay >= PNX_MS(full_ms[retry]) / 2);
            assert_true(delay <= PNX_MS(full_ms[retry]) + PNX_MS(2));
            if (round == 0)
                first[retry] = delay;
            differ[retry] |= delay != first[retry];
            retry++;
        }
        assert_int_equal(retry, 9);
        pnx_test_resource_free(b);
    }
    for (unsigned i = 0; i < 9; i++)
        assert_true(differ[i]);
}

/* The same seed gives the same delays. */
static void jitter_can_be_replayed_by_its_seed(void **state)
{
    char *texts[3];
    for (int i = 0; i < 3; i++) {
        pnx_test_clock clock;
        pnx_test_clock_init(&clock, 0);
        pnx_registry *registry = made(
            &(pnx_config){.executor = PNX_MANUAL, .clock = &clock.clock, .seed = i < 2 ? 42 : 43});
        pnx_test_monitor *monitor = pnx_test_monitor_new(registry, NULL);
        pnx_test_resource *b = pnx_test_resource_new("b", NULL);
        pnx_test_fail(b, 9, PNX_EFAILED);
        dropped(registry, patient_kind, b);
        pnx_test_run_until(registry, &clock, PNX_S(20));
        texts[i] = strdup(pnx_test_monitor_text(monitor, PNX_TEST_TIMES));
        pnx_test_monitor_free(monitor);
        finish(registry);
        pnx_test_resource_free(b);
    }
    assert_string_equal(texts[0], texts[1]);
    assert_string_not_equal(texts[0], texts[2]);
    for (int i = 0; i < 3; i++)
        free(texts[i]);
}

static void a_delay_without_limit_does_not_overflow(void **state)
{
    struct fixture *f = *state;
    static const pnx_kind slow = {
        .name = "slow",
        .retries = UINT_MAX,
        .retry_delay = PNX_FOREVER / 2 - 1,
        .retry_delay_max = PNX_FOREVER,
        .value_size = sizeof(void *),
        .release = no_release,
    };
    static pnx_kind failing;
    failing = slow;
    failing.release = ((const pnx_kind *)plain_kind)->release;
    pnx_test_fail(f->a, UINT_MAX, PNX_EFAILED);
    const pnx_id id = dropped(f->registry, &failing, f->a);
    run_for(f, PNX_S(1));
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_WAITING);
    assert_int_equal(pnx_test_recorded(f->a).attempts, 1);
}

/* ---- fallback -------------------------------------------------------------------------------- */

static void the_fallback_comes_after_the_last_retry(void **state)
{
    struct fixture *f = *state;
    pnx_test_fail(f->a, UINT_MAX, PNX_EFAILED);
    dropped(f->registry, backed_kind, f->a);
    run_for(f, PNX_S(10));
    assert_events(f, "registered backed 1\n"
                     "scheduled backed 1: normal, explicit\n"
                     "started backed 1: attempt 1\n"
                     "retried backed 1: attempt 1, failed\n"
                     "started backed 1: attempt 2\n"
                     "fallback backed 1: attempt 3\n"
                     "completed backed 1: attempt 3\n");
    assert_string_equal(pnx_test_log_text(f->log), "release a\nrelease a\nfallback a\n");
    assert_true(pnx_test_recorded(f->a).last.fallback);
    assert_int_equal(counts(f->registry).fallbacks, 1);
    assert_int_equal(counts(f->registry).done, 1);
}

static void a_fallback_that_fails_is_not_tried_again(void **state)
{
    struct fixture *f = *state;
    pnx_test_fail(f->a, UINT_MAX, PNX_EFAILED);
    pnx_test_plan_fallback(f->a, (pnx_test_step){.status = PNX_EBUSY});
    const pnx_id id = dropped(f->registry, backed_kind, f->a);
    run_for(f, PNX_S(10));
    assert_string_equal(pnx_test_log_text(f->log), "release a\nrelease a\nfallback a\n");
    pnx_info info;
    assert_ok(pnx_registry_info(f->registry, id, &info));
    assert_int_equal(info.state, PNX_FAILED);
    assert_int_equal(info.last_status, PNX_EBUSY);
    assert_int_equal(counts(f->registry).failed, 1);
}

static void a_fallback_may_be_pending(void **state)
{
    struct fixture *f = *state;
    pnx_test_fail(f->a, UINT_MAX, PNX_EFAILED);
    pnx_test_plan_fallback(f->a, (pnx_test_step){.action = PNX_TEST_PEND});
    dropped(f->registry, backed_kind, f->a);
    run_for(f, PNX_MS(300));
    assert_int_equal(counts(f->registry).running, 1);
    assert_ok(pnx_test_complete(f->a, PNX_OK));
    run_for(f, 0);
    assert_int_equal(counts(f->registry).done, 1);
    assert_int_equal(pnx_test_complete(f->a, PNX_OK), PNX_EALREADY);
    assert_int_equal(counts(f->registry).late, 0);
}

static void a_fallback_that_is_late_is_abandoned(void **state)
{
    struct fixture *f = *state;
    pnx_test_fail(f->a, UINT_MAX, PNX_EFAILED);
    pnx_test_plan_fallback(f->a, (pnx_test_step){.action = PNX_TEST_PEND});
    const pnx_id id = dropped(f->registry, backed_kind, f->a);
    run_for(f, PNX_S(10));
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_ABANDONED);
    assert_int_equal(counts(f->registry).abandoned, 1);
    assert_int_equal(counts(f->registry).timed_out, 1);
}

/* ---- pending --------------------------------------------------------------------------------- */

static void a_pending_release_is_running_until_it_is_completed(void **state)
{
    struct fixture *f = *state;
    pnx_test_always(f->a, PNX_TEST_PEND);
    const pnx_id id = dropped(f->registry, plain_kind, f->a);
    run_for(f, PNX_MS(900));
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_RUNNING);
    assert_int_equal(counts(f->registry).running, 1);
    assert_int_equal(pnx_test_complete(f->a, PNX_PENDING), PNX_EINVAL);
    assert_ok(pnx_test_complete(f->a, PNX_OK));
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_DONE);
    run_for(f, PNX_S(10));
    assert_int_equal(counts(f->registry).done, 1);
    assert_int_equal(counts(f->registry).timed_out, 0);
    assert_int_equal(pnx_test_complete(f->a, PNX_OK), PNX_EALREADY);
    assert_int_equal(pnx_test_complete(f->a, PNX_EFAILED), PNX_EALREADY);
}

static void a_release_may_be_completed_before_it_returns(void **state)
{
    struct fixture *f = *state;
    pnx_test_always(f->a, PNX_TEST_PEND_COMPLETED);
    for (int i = 0; i < 100; i++)
        dropped(f->registry, plain_kind, f->a);
    run_for(f, PNX_S(10));
    assert_int_equal(counts(f->registry).done, 100);
    assert_int_equal(counts(f->registry).late, 0);
    assert_int_equal(pnx_test_recorded(f->a).successes, 100);
}

static void a_pending_release_that_fails_is_retried(void **state)
{
    struct fixture *f = *state;
    pnx_test_always(f->a, PNX_TEST_PEND);
    dropped(f->registry, tough_kind, f->a);
    run_for(f, 0);
    assert_ok(pnx_test_complete(f->a, PNX_EFAILED));
    assert_int_equal(pnx_test_complete(f->a, PNX_EFAILED), PNX_EALREADY);
    assert_int_equal(counts(f->registry).waiting, 1);
    run_for(f, PNX_MS(200));
    assert_int_equal(pnx_test_recorded(f->a).attempts, 2);
    assert_ok(pnx_test_complete(f->a, PNX_OK));
    assert_events(f, "registered tough 1\n"
                     "scheduled tough 1: normal, explicit\n"
                     "started tough 1: attempt 1\n"
                     "retried tough 1: attempt 1, failed\n"
                     "started tough 1: attempt 2\n");
    run_for(f, 0);
    assert_int_equal(counts(f->registry).done, 1);
}

/* The promise of pnx_complete is about any second completion, whatever goes on by then. */
static void an_attempt_completed_before_is_completed_once(void **state)
{
    struct fixture *f = *state;
    pnx_test_always(f->a, PNX_TEST_PEND);
    dropped(f->registry, tough_kind, f->a);
    run_for(f, 0);
    pnx_token first;
    assert_true(pnx_test_token(f->a, 1, &first));
    assert_ok(pnx_complete(first, PNX_EFAILED));
    run_for(f, PNX_MS(200)); /* the second attempt is pending now */
    assert_int_equal(pnx_complete(first, PNX_OK), PNX_EALREADY);
    assert_int_equal(counts(f->registry).late, 0);
    assert_ok(pnx_test_complete(f->a, PNX_EFAILED));
    assert_int_equal(counts(f->registry).waiting, 1); /* the false success did not settle it */
}

static void a_pending_release_times_out(void **state)
{
    struct fixture *f = *state;
    pnx_test_always(f->a, PNX_TEST_PEND);
    const pnx_id id = dropped(f->registry, plain_kind, f->a);
    run_for(f, PNX_MS(999));
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_RUNNING);
    run_for(f, PNX_MS(3));
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_ABANDONED);
    assert_events(f, "registered plain 1\n"
                     "scheduled plain 1: normal, explicit\n"
                     "started plain 1: attempt 1\n"
                     "timed out plain 1: attempt 1, timeout\n"
                     "abandoned plain 1: attempt 1, timeout\n");
    assert_int_equal(counts(f->registry).timed_out, 1);
}

/* The timer of an expiry is not the deadline of a release that has none. */
static void an_old_expiry_does_not_end_a_pending_release(void **state)
{
    struct fixture *f = *state;
    pnx_test_always(f->a, PNX_TEST_PEND);
    const pnx_id id = put(f->registry, patient_kind, f->a);
    assert_ok(pnx_expire_after(f->registry, id, PNX_S(10)));
    assert_ok(pnx_release_later(f->registry, id, NULL));
    run_for(f, PNX_S(20));
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_RUNNING);
    assert_ok(pnx_test_complete(f->a, PNX_OK));
}

/* ---- late ------------------------------------------------------------------------------------ */

static void a_late_success_settles_what_was_abandoned(void **state)
{
    struct fixture *f = *state;
    pnx_test_always(f->a, PNX_TEST_PEND);
    const pnx_id id = dropped(f->registry, plain_kind, f->a);
    run_for(f, PNX_S(2));
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_ABANDONED);
    pnx_test_monitor_clear(f->monitor);
    assert_int_equal(pnx_test_complete(f->a, PNX_OK), PNX_ETIMEOUT);
    run_for(f, 0);
    assert_events(f, "late completion plain 1: attempt 1, ok\n");
    /* It stays counted as abandoned, but there is nothing left to list. */
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_DONE);
    assert_int_equal(counts(f->registry).abandoned, 1);
    assert_int_equal(counts(f->registry).late, 1);
    assert_int_equal(pnx_registry_forget_failed(f->registry), 0);
    assert_int_equal(pnx_test_complete(f->a, PNX_OK), PNX_EALREADY);
}

static void a_late_failure_changes_nothing(void **state)
{
    struct fixture *f = *state;
    pnx_test_always(f->a, PNX_TEST_PEND);
    const pnx_id id = dropped(f->registry, plain_kind, f->a);
    run_for(f, PNX_S(2));
    assert_int_equal(pnx_test_complete(f->a, PNX_EFAILED), PNX_ETIMEOUT);
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_ABANDONED);
    assert_int_equal(pnx_registry_forget_failed(f->registry), 1);
}

static void an_idempotent_kind_is_retried_when_it_is_late(void **state)
{
    struct fixture *f = *state;
    const pnx_test_step plan[] = {{.action = PNX_TEST_PEND}, {.status = PNX_OK}};
    pnx_test_plan(f->a, plan, 2);
    dropped(f->registry, same_kind, f->a);
    run_for(f, PNX_S(3));
    assert_events(f, "registered same 1\n"
                     "scheduled same 1: normal, explicit\n"
                     "started same 1: attempt 1\n"
                     "timed out same 1: attempt 1, timeout\n"
                     "retried same 1: attempt 1, timeout\n"
                     "started same 1: attempt 2\n"
                     "completed same 1: attempt 2\n");
    assert_int_equal(counts(f->registry).timed_out, 1);
    assert_int_equal(counts(f->registry).retried, 1);
}

/* A second release might do harm while the first still runs: no retry, though some are left. */
static void others_are_abandoned_when_they_are_late(void **state)
{
    struct fixture *f = *state;
    pnx_test_always(f->a, PNX_TEST_PEND);
    const pnx_id first = dropped(f->registry, tough_kind, f->a);
    const pnx_id second = dropped(f->registry, backed_kind, f->a);
    run_for(f, PNX_S(20));
    assert_int_equal(pnx_registry_state(f->registry, first), PNX_ABANDONED);
    assert_int_equal(pnx_registry_state(f->registry, second), PNX_ABANDONED);
    assert_int_equal(pnx_test_recorded(f->a).attempts, 2);
    assert_int_equal(pnx_test_recorded(f->a).fallbacks, 0);
}

/* Late success while the retry waits: given back, and the retry does not run. */
static void a_late_success_while_waiting_is_the_end(void **state)
{
    struct fixture *f = *state;
    pnx_test_always(f->a, PNX_TEST_PEND);
    const pnx_id id = dropped(f->registry, same_kind, f->a);
    run_for(f, PNX_MS(1010));
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_WAITING);
    assert_int_equal(pnx_test_complete(f->a, PNX_OK), PNX_ETIMEOUT);
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_DONE);
    run_for(f, PNX_S(10));
    assert_int_equal(pnx_test_recorded(f->a).attempts, 1);
    assert_int_equal(counts(f->registry).done, 1);
    assert_int_equal(counts(f->registry).late, 1);
}

/* The retry is due and queued, but has not begun. */
static void a_late_success_while_queued_is_the_end(void **state)
{
    struct fixture *f = *state;
    pnx_test_always(f->a, PNX_TEST_PEND);
    const pnx_id id = dropped(f->registry, same_kind, f->a);
    run_for(f, PNX_MS(1010));
    pnx_test_clock_advance(&f->clock, PNX_MS(200));
    pnx_registry_step(f->registry, 0); /* fires the timer, runs nothing */
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_QUEUED);
    assert_int_equal(pnx_test_complete(f->a, PNX_OK), PNX_ETIMEOUT);
    run_for(f, PNX_S(10));
    assert_int_equal(pnx_test_recorded(f->a).attempts, 1);
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_DONE);
    assert_int_equal(counts(f->registry).done, 1);
    assert_int_equal(counts(f->registry).late, 1);
}

/* The retry runs: it may end as it likes, the resource is given back. */
static void a_late_success_while_the_retry_runs_settles_it(void **state)
{
    struct fixture *f = *state;
    pnx_test_always(f->a, PNX_TEST_PEND);
    const pnx_id id = dropped(f->registry, same_kind, f->a);
    run_for(f, PNX_MS(1200));
    assert_int_equal(pnx_test_recorded(f->a).attempts, 2);
    pnx_token first, second;
    assert_true(pnx_test_token(f->a, 1, &first));
    assert_true(pnx_test_token(f->a, 2, &second));
    assert_int_equal(pnx_complete(first, PNX_OK), PNX_ETIMEOUT);
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_RUNNING);
    assert_ok(pnx_complete(second, PNX_EFAILED));
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_DONE);
    run_for(f, PNX_S(10));
    assert_int_equal(pnx_test_recorded(f->a).attempts, 2);
    assert_int_equal(pnx_test_recorded(f->a).fallbacks, 0);
    assert_int_equal(counts(f->registry).done, 1);
}

/* Settled, and then the retry is late itself: nothing is left to be abandoned. */
static void a_settled_retry_that_is_late_is_given_back(void **state)
{
    struct fixture *f = *state;
    pnx_test_always(f->a, PNX_TEST_PEND);
    const pnx_id id = dropped(f->registry, same_kind, f->a);
    run_for(f, PNX_MS(1200));
    pnx_token first;
    assert_true(pnx_test_token(f->a, 1, &first));
    assert_int_equal(pnx_complete(first, PNX_OK), PNX_ETIMEOUT);
    run_for(f, PNX_S(20));
    assert_int_equal(pnx_test_recorded(f->a).attempts, 2);
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_DONE);
    assert_int_equal(counts(f->registry).done, 1);
    assert_int_equal(counts(f->registry).abandoned, 0);
}

/* The fallback failed, then the late attempt succeeds: it is given back after all. */
static void a_late_success_settles_what_has_failed(void **state)
{
    struct fixture *f = *state;
    pnx_test_always(f->a, PNX_TEST_PEND);
    pnx_test_plan_fallback(f->a, (pnx_test_step){.status = PNX_EFAILED});
    const pnx_id id = dropped(f->registry, unblocked_kind, f->a);
    run_for(f, PNX_S(2));
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_FAILED);
    pnx_token first;
    assert_true(pnx_test_token(f->a, 1, &first));
    assert_int_equal(pnx_complete(first, PNX_OK), PNX_ETIMEOUT);
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_DONE);
    assert_int_equal(pnx_registry_forget_failed(f->registry), 0);
}

static void an_idempotent_kind_that_is_always_late_is_abandoned(void **state)
{
    struct fixture *f = *state;
    pnx_test_always(f->a, PNX_TEST_PEND);
    const pnx_id id = dropped(f->registry, same_kind, f->a);
    run_for(f, PNX_S(20));
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_ABANDONED);
    assert_int_equal(pnx_test_recorded(f->a).attempts, 3);
    /* Its fallback could not run while a release was still under way. */
    assert_int_equal(pnx_test_recorded(f->a).fallbacks, 0);
    assert_int_equal(counts(f->registry).timed_out, 3);
    pnx_info info;
    assert_ok(pnx_registry_info(f->registry, id, &info));
    assert_int_equal(info.last_status, PNX_ETIMEOUT);
}

static void a_concurrent_fallback_runs_when_the_release_is_late(void **state)
{
    struct fixture *f = *state;
    pnx_test_always(f->a, PNX_TEST_PEND);
    dropped(f->registry, unblocked_kind, f->a);
    run_for(f, PNX_S(3));
    assert_events(f, "registered unblocked 1\n"
                     "scheduled unblocked 1: normal, explicit\n"
                     "started unblocked 1: attempt 1\n"
                     "timed out unblocked 1: attempt 1, timeout\n"
                     "fallback unblocked 1: attempt 2\n"
                     "completed unblocked 1: attempt 2\n");
    pnx_token first;
    assert_true(pnx_test_token(f->a, 1, &first));
    assert_int_equal(pnx_complete(first, PNX_OK), PNX_EALREADY);
}

/* After a fallback the mark of lateness is not mistaken for the fallback's own. */
static void a_fallback_is_completed_once(void **state)
{
    struct fixture *f = *state;
    pnx_test_always(f->a, PNX_TEST_PEND);
    pnx_test_plan_fallback(f->a, (pnx_test_step){.action = PNX_TEST_PEND});
    const pnx_id id = dropped(f->registry, unblocked_kind, f->a);
    run_for(f, PNX_MS(1500));
    pnx_token second;
    assert_true(pnx_test_token(f->a, 2, &second));
    assert_true(second.fallback);
    assert_ok(pnx_complete(second, PNX_EFAILED));
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_FAILED);
    assert_int_equal(pnx_complete(second, PNX_EFAILED), PNX_EALREADY);
    assert_int_equal(counts(f->registry).late, 0);
}

static void tokens_of_nobody_are_refused(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(pnx_complete((pnx_token){0}, PNX_OK), PNX_EINVAL);
    pnx_token token = {.registry = f->registry, .id = {1, 2}, .attempt = 1};
    assert_int_equal(pnx_complete(token, PNX_OK), PNX_ENOTFOUND);
    assert_int_equal(pnx_complete(token, (pnx_status)77), PNX_EINVAL);
    /* Of a live resource: no release of it has ever begun. */
    token.id = put(f->registry, plain_kind, f->a);
    assert_int_equal(pnx_complete(token, PNX_OK), PNX_ENOTFOUND);
    assert_int_equal(pnx_registry_state(f->registry, token.id), PNX_LIVE);
    assert_int_equal(counts(f->registry).late, 0);
}

/* ---- with threads ---------------------------------------------------------------------------- */

struct completer {
    pnx_token token;
    pnx_status answer;
    pthread_barrier_t *together;
};

static void *complete(void *argument)
{
    struct completer *completer = argument;
    pthread_barrier_wait(completer->together);
    completer->answer = pnx_complete(completer->token, PNX_OK);
    return NULL;
}

/* Many threads complete the same attempt: one of them does. */
static void of_many_completions_one_counts(void **state)
{
    enum { THREADS = 4 };
    pnx_registry *registry = with_workers(2);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    pnx_test_always(b, PNX_TEST_PEND);
    const size_t rounds = effort(200);
    for (size_t round = 0; round < rounds; round++) {
        pthread_barrier_t together;
        pthread_barrier_init(&together, NULL, THREADS);
        dropped(registry, plain_kind, b);
        assert_ok(pnx_test_wait_begun(b, (unsigned)round + 1, PNX_TEST_PATIENCE));
        struct completer completers[THREADS];
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++) {
            completers[i].together = &together;
            assert_true(pnx_test_token(b, (unsigned)round + 1, &completers[i].token));
            assert_int_equal(pthread_create(&threads[i], NULL, complete, &completers[i]), 0);
        }
        int ok = 0;
        for (int i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
            ok += completers[i].answer == PNX_OK;
            assert_true(completers[i].answer == PNX_OK || completers[i].answer == PNX_EALREADY);
        }
        assert_int_equal(ok, 1);
        pthread_barrier_destroy(&together);
    }
    assert_idle(registry);
    assert_int_equal(counts(registry).done, rounds);
    assert_int_equal(counts(registry).late, 0);
    finish(registry);
    pnx_test_resource_free(b);
}

PNX_KIND(brief, pnx_test_resource *, pnx_test_release, .timeout = PNX_MS(30));
PNX_KIND(brief_same, pnx_test_resource *, pnx_test_release, .flags = PNX_IDEMPOTENT,
         .timeout = PNX_MS(30), .retries = 3, .retry_delay = PNX_MS(1));
PNX_KIND(brief_unblocked, pnx_test_resource *, pnx_test_release, .flags = PNX_FALLBACK_CONCURRENT,
         .timeout = PNX_MS(30), .fallback = pnx_test_fallback);

static void a_worker_that_is_late_is_told_late(void **state)
{
    pnx_registry *registry = with_workers(2);
    pnx_test_monitor *monitor = pnx_test_monitor_new(registry, NULL);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    pnx_test_always(b, PNX_TEST_HANG);
    const pnx_id id = dropped(registry, brief_kind, b);
    assert_ok(pnx_test_monitor_wait_count(monitor, PNX_EVENT_ABANDONED, 1, PNX_TEST_PATIENCE));
    assert_int_equal(pnx_registry_state(registry, id), PNX_ABANDONED);
    pnx_test_let_go(b);
    assert_ok(
        pnx_test_monitor_wait_count(monitor, PNX_EVENT_LATE_COMPLETION, 1, PNX_TEST_PATIENCE));
    wait_until(pnx_registry_state(registry, id) == PNX_DONE);
    assert_string_equal(pnx_test_monitor_text(monitor, 0),
                        "registered brief 1\n"
                        "scheduled brief 1: normal, explicit\n"
                        "started brief 1: attempt 1\n"
                        "timed out brief 1: attempt 1, timeout\n"
                        "abandoned brief 1: attempt 1, timeout\n"
                        "late completion brief 1: attempt 1, ok\n");
    pnx_test_monitor_free(monitor);
    finish(registry);
    pnx_test_resource_free(b);
}

static void an_idempotent_retry_runs_beside_the_late_attempt(void **state)
{
    pnx_registry *registry = with_workers(2);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    const pnx_test_step plan[] = {{.action = PNX_TEST_HANG}, {.status = PNX_OK}};
    pnx_test_plan(b, plan, 2);
    dropped(registry, brief_same_kind, b);
    assert_idle(registry);
    const pnx_test_record record = pnx_test_recorded(b);
    assert_int_equal(record.attempts, 2);
    assert_int_equal(record.running, 1);
    assert_int_equal(record.running_max, 2);
    assert_int_equal(counts(registry).done, 1);
    pnx_test_let_go(b);
    wait_until(counts(registry).late == 1);
    assert_int_equal(counts(registry).done, 1);
    finish(registry);
    pnx_test_resource_free(b);
}

static void a_concurrent_fallback_can_unblock_the_release(void **state)
{
    pnx_registry *registry = with_workers(2);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    pnx_test_always(b, PNX_TEST_HANG);
    pnx_test_plan_fallback(b, (pnx_test_step){.action = PNX_TEST_LET_GO});
    dropped(registry, brief_unblocked_kind, b);
    assert_idle(registry);
    assert_ok(pnx_test_wait_running(b, 0, PNX_TEST_PATIENCE));
    assert_int_equal(pnx_test_recorded(b).fallbacks, 1);
    assert_int_equal(counts(registry).done, 1);
    finish(registry);
    pnx_test_resource_free(b);
}

/* The race of timeout and completion: whoever wins, the account is right and nothing is lost. */
static void *complete_many(void *argument)
{
    struct completer *completer = argument;
    completer->answer = pnx_complete(completer->token, PNX_OK);
    return NULL;
}

PNX_KIND(hasty, pnx_test_resource *, pnx_test_release, .timeout = PNX_MS(2));

static void timeout_against_completion_has_one_winner(void **state)
{
    pnx_registry *registry = with_workers(2);
    const size_t rounds = effort(300);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    pnx_test_always(b, PNX_TEST_PEND);
    pnx__random random = seeded();
    size_t in_time = 0, too_late = 0;
    for (size_t round = 0; round < rounds; round++) {
        const pnx_id id = dropped(registry, hasty_kind, b);
        assert_ok(pnx_test_wait_begun(b, (unsigned)round + 1, PNX_TEST_PATIENCE));
        struct completer completer;
        assert_true(pnx_test_token(b, (unsigned)round + 1, &completer.token));
        const pnx_time at =
            pnx_monotonic_now() + (pnx_duration)pnx__random_below(&random, (uint64_t)PNX_MS(4));
        while (pnx_monotonic_now() < at)
            sched_yield();
        complete_many(&completer);
        in_time += completer.answer == PNX_OK;
        too_late += completer.answer == PNX_ETIMEOUT;
        wait_until(pnx_registry_state(registry, id) == PNX_DONE);
        assert_balanced(registry);
    }
    assert_int_equal(in_time + too_late, rounds);
    assert_idle(registry);
    const pnx_counts now = counts(registry);
    assert_int_equal(now.done, in_time);
    assert_int_equal(now.abandoned, too_late);
    assert_int_equal(now.late, too_late);
    finish(registry);
    pnx_test_resource_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(a_success_is_the_end),
        with_fixture(already_cleaned_up_counts_as_given_back),
        with_fixture(a_release_is_told_why_and_until_when),
        with_fixture(without_retries_a_failure_is_final),
        with_fixture(failures_are_retried_as_often_as_the_kind_says),
        with_fixture(a_retry_that_succeeds_is_the_end),
        with_fixture(what_neither_retry_nor_fallback_helps_is_final_at_once),
        with_fixture(delays_double_with_jitter_over_the_upper_half),
        cmocka_unit_test(jitter_can_be_replayed_by_its_seed),
        with_fixture(a_delay_without_limit_does_not_overflow),
        with_fixture(the_fallback_comes_after_the_last_retry),
        with_fixture(a_fallback_that_fails_is_not_tried_again),
        with_fixture(a_fallback_may_be_pending),
        with_fixture(a_fallback_that_is_late_is_abandoned),
        with_fixture(a_pending_release_is_running_until_it_is_completed),
        with_fixture(a_release_may_be_completed_before_it_returns),
        with_fixture(a_pending_release_that_fails_is_retried),
        with_fixture(an_attempt_completed_before_is_completed_once),
        with_fixture(a_pending_release_times_out),
        with_fixture(an_old_expiry_does_not_end_a_pending_release),
        with_fixture(a_late_success_settles_what_was_abandoned),
        with_fixture(a_late_failure_changes_nothing),
        with_fixture(an_idempotent_kind_is_retried_when_it_is_late),
        with_fixture(others_are_abandoned_when_they_are_late),
        with_fixture(a_late_success_while_waiting_is_the_end),
        with_fixture(a_late_success_while_queued_is_the_end),
        with_fixture(a_late_success_while_the_retry_runs_settles_it),
        with_fixture(a_settled_retry_that_is_late_is_given_back),
        with_fixture(a_late_success_settles_what_has_failed),
        with_fixture(an_idempotent_kind_that_is_always_late_is_abandoned),
        with_fixture(a_concurrent_fallback_runs_when_the_release_is_late),
        with_fixture(a_fallback_is_completed_once),
        with_fixture(tokens_of_nobody_are_refused),
        cmocka_unit_test(of_many_completions_one_counts),
        cmocka_unit_test(a_worker_that_is_late_is_told_late),
        cmocka_unit_test(an_idempotent_retry_runs_beside_the_late_attempt),
        cmocka_unit_test(a_concurrent_fallback_can_unblock_the_release),
        cmocka_unit_test(timeout_against_completion_has_one_winner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
