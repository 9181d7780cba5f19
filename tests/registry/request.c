/* SPDX-License-Identifier: MIT */
/* Asking for releases: later, now, many, of a kind, all. */
#include "support.h"

PNX_KIND(low, pnx_test_resource *, pnx_test_release, .priority = PNX_LOW);
PNX_KIND(plain, pnx_test_resource *, pnx_test_release, .timeout = PNX_S(1));
PNX_KIND(high, pnx_test_resource *, pnx_test_release, .priority = PNX_HIGH);
PNX_KIND(quick, pnx_test_resource *, pnx_test_release, .flags = PNX_QUICK);
PNX_KIND(tough, pnx_test_resource *, pnx_test_release, .retries = 2, .retry_delay = PNX_MS(1));
PNX_KIND(tough_quick, pnx_test_resource *, pnx_test_release, .flags = PNX_QUICK, .retries = 2,
         .retry_delay = PNX_MS(1));
PNX_KIND(brief, pnx_test_resource *, pnx_test_release, .timeout = PNX_MS(20));

/* ---- later ----------------------------------------------------------------------------------- */

static void a_reason_is_handed_on(void **state)
{
    struct fixture *f = *state;
    static const pnx_reason told[] = {PNX_EXPLICIT, PNX_EXPLICIT,        PNX_SHUTDOWN,
                                      PNX_EXPIRY,   PNX_MEMORY_PRESSURE, PNX_CRASH};
    for (int reason = 0; reason < PNX_REASON_COUNT; reason++) {
        const pnx_request request = {.reason = (pnx_reason)reason};
        const pnx_id id = put(f->registry, plain_kind, f->a);
        assert_ok(pnx_release_later(f->registry, id, &request));
        assert_int_equal(pnx_release_later(f->registry, id, &request), PNX_EALREADY);
        run_for(f, 0);
        assert_int_equal(pnx_test_recorded(f->a).last.reason, told[reason]);
    }
}

static void its_guard_finds_it_gone(void **state)
{
    struct fixture *f = *state;
    pnx_auto(plain) guard = pnx_reserve(plain, f->registry, NULL);
    assert_true(pnx_arm(&guard, f->a));
    assert_ok(pnx_release_later(f->registry, pnx_id_of(&guard), NULL));
    run_for(f, 0);
    assert_null(pnx_take(&guard));
    assert_int_equal(pnx_test_recorded(f->a).successes, 1);
}

/* ---- now ------------------------------------------------------------------------------------- */

static void now_waits_for_the_outcome(void **state)
{
    pnx_registry *registry = with_workers(2);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    pnx_error err = {0};
    assert_ok(pnx_release_now(registry, put(registry, plain_kind, b), PNX_FOREVER, &err));
    assert_int_equal(pnx_test_recorded(b).successes, 1);
    assert_ok(pnx_release_now(registry, put(registry, quick_kind, b), PNX_FOREVER, &err));
    pnx_test_fail(b, UINT_MAX, PNX_EBUSY);
    assert_int_equal(pnx_release_now(registry, put(registry, tough_kind, b), PNX_FOREVER, &err),
                     PNX_EBUSY);
    assert_contains(err.message, "tough");
    assert_contains(err.message, "busy");
    assert_int_equal(
        pnx_release_now(registry, put(registry, tough_quick_kind, b), PNX_FOREVER, &err),
        PNX_EBUSY);
    assert_int_equal(pnx_test_recorded(b).attempts, 2 + 3 + 3);
    pnx_test_always(b, PNX_TEST_PEND);
    assert_int_equal(pnx_release_now(registry, put(registry, brief_kind, b), PNX_FOREVER, &err),
                     PNX_EABANDONED);
    assert_contains(err.message, "brief");
    (void)pnx_registry_forget_failed(registry);
    finish(registry);
    pnx_test_resource_free(b);
}

static void a_quick_one_runs_in_the_caller(void **state)
{
    pnx_registry *registry = with_workers(1);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    pnx_test_occupation *occupied = pnx_test_occupy(registry, 0, NULL);
    assert_ok(pnx_release_now(registry, put(registry, quick_kind, b), PNX_FOREVER, NULL));
    const pnx_id id = put(registry, plain_kind, b);
    pnx_error err = {0};
    assert_int_equal(pnx_release_now(registry, id, pnx_monotonic_now() + PNX_MS(20), &err),
                     PNX_ETIMEOUT);
    assert_contains(err.message, "goes on");
    assert_int_equal(pnx_registry_state(registry, id), PNX_QUEUED);
    pnx_test_vacate(occupied);
    assert_idle(registry);
    assert_int_equal(pnx_registry_state(registry, id), PNX_DONE);
    assert_int_equal(pnx_release_now(registry, id, PNX_FOREVER, NULL), PNX_EALREADY);
    finish(registry);
    pnx_test_resource_free(b);
}

/* Who is on its way already is waited for. */
struct asker {
    pthread_t thread;
    pnx_registry *registry;
    pnx_id id;
    pnx_status answer;
};

static void *release_it(void *argument)
{
    struct asker *self = argument;
    self->answer = pnx_release_now(self->registry, self->id, patience(), NULL);
    return NULL;
}

static void many_may_wait_for_the_same(void **state)
{
    pnx_registry *registry = with_workers(2);
    for (size_t round = effort(100); round > 0; round--) {
        pnx_test_resource *b = pnx_test_resource_new("b", NULL);
        pnx_test_always(b, PNX_TEST_HANG);
        const pnx_id id = put(registry, plain_kind, b);
        struct asker askers[4];
        for (int i = 0; i < 4; i++) {
            askers[i] = (struct asker){.registry = registry, .id = id};
            assert_int_equal(pthread_create(&askers[i].thread, NULL, release_it, &askers[i]), 0);
        }
        assert_ok(pnx_test_wait_begun(b, 1, PNX_TEST_PATIENCE));
        pnx_test_let_go(b);
        for (int i = 0; i < 4; i++) {
            pthread_join(askers[i].thread, NULL);
            /* Those that came when all was over find it over. */
            assert_true(askers[i].answer == PNX_OK || askers[i].answer == PNX_EALREADY);
        }
        assert_int_equal(pnx_test_recorded(b).attempts, 1);
        pnx_test_resource_free(b);
    }
    finish(registry);
}

static void stepping_is_done_by_who_waits(void **state)
{
    struct fixture *f = *state;
    assert_ok(pnx_release_now(f->registry, put(f->registry, plain_kind, f->a), PNX_FOREVER, NULL));
    /* In virtual time only its owner can let it pass. */
    pnx_test_fail(f->a, 2, PNX_EBUSY); /* the second attempt of all */
    const pnx_id id = put(f->registry, tough_kind, f->a);
    assert_int_equal(pnx_release_now(f->registry, id, PNX_FOREVER, NULL), PNX_ETIMEOUT);
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_WAITING);
    run_for(f, PNX_S(1));
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_DONE);
}

/* ---- from inside a release ------------------------------------------------------------------- */

static pnx_registry *own;
static pnx_id inner_ids[4];
static pnx_status answers[4];
static char last_message[PNX_ERROR_MESSAGE_MAX];

static pnx_status release_others(void *value, const pnx_release *why)
{
    pnx_error err = {0};
    answers[0] = pnx_release_now(own, inner_ids[0], PNX_FOREVER, &err); /* fine */
    answers[1] = pnx_release_now(own, inner_ids[1], PNX_FOREVER, &err); /* pends */
    answers[2] = pnx_release_now(own, inner_ids[2], PNX_FOREVER, &err); /* is queued */
    snprintf(last_message, sizeof last_message, "%s", err.message);
    answers[3] = pnx_release_now(own, why->id, PNX_FOREVER, &err); /* itself */
    return PNX_OK;
}

static const pnx_kind nesting_kind = {.name = "nesting", .release = release_others};

static void inside_a_release_nothing_can_wait_for_itself(void **state)
{
    own = with_workers(1);
    pnx_test_resource *fine = pnx_test_resource_new("fine", NULL);
    pnx_test_resource *pending = pnx_test_resource_new("pending", NULL);
    pnx_test_always(pending, PNX_TEST_PEND);
    pnx_test_occupation *occupied = pnx_test_occupy(own, 0, NULL);
    const pnx_id id = dropped(own, &nesting_kind, NULL);
    inner_ids[0] = put(own, plain_kind, fine);
    inner_ids[1] = put(own, low_kind, pending);
    inner_ids[2] = dropped(own, low_kind, fine);
    pnx_test_vacate(occupied);
    wait_until(pnx_registry_state(own, id) == PNX_DONE);
    assert_int_equal(answers[0], PNX_OK);
    assert_int_equal(answers[1], PNX_ETIMEOUT);
    assert_int_equal(answers[2], PNX_EDEADLOCK);
    assert_contains(last_message, "low");
    assert_int_equal(answers[3], PNX_EDEADLOCK);
    assert_ok(pnx_test_complete(pending, PNX_OK));
    assert_idle(own);
    assert_int_equal(pnx_test_recorded(fine).successes, 2);
    finish(own);
    pnx_test_resource_free(fine);
    pnx_test_resource_free(pending);
}

/* A release may register, drop and ask for others. */
static pnx_test_resource *bred;

static pnx_status breed(void *value, const pnx_release *why)
{
    pnx_info info;
    assert_ok(pnx_registry_info(why->registry, why->id, &info));
    assert_int_equal(info.state, PNX_RUNNING);
    pnx_auto(plain) guard = pnx_reserve(plain, why->registry, NULL);
    assert_true(pnx_arm(&guard, bred));
    dropped(why->registry, plain_kind, bred);
    return PNX_OK;
}

static const pnx_kind breeding_kind = {.name = "breeding", .release = breed};

static void a_release_may_use_its_registry(void **state)
{
    own = with_workers(2);
    bred = pnx_test_resource_new("bred", NULL);
    const size_t many = effort(1000);
    for (size_t i = 0; i < many; i++)
        dropped(own, &breeding_kind, NULL);
    assert_idle(own);
    assert_int_equal(pnx_test_recorded(bred).successes, 2 * many);
    finish(own);
    pnx_test_resource_free(bred);
}

/* ---- many ------------------------------------------------------------------------------------ */

static void a_batch_tells_what_became_of_each(void **state)
{
    for (int manual = 0; manual < 2; manual++) {
        pnx_registry *registry =
            made(&(pnx_config){.executor = manual ? PNX_MANUAL : PNX_THREADS, .workers = 2});
        pnx_test_resource *fine = pnx_test_resource_new("fine", NULL);
        pnx_test_resource *failing = pnx_test_resource_new("failing", NULL);
        pnx_test_resource *pending = pnx_test_resource_new("pending", NULL);
        pnx_test_fail(failing, UINT_MAX, PNX_EFAILED);
        pnx_test_always(pending, PNX_TEST_PEND);
        pnx_id ids[60];
        for (int i = 0; i < 50; i++)
            ids[i] = put(registry, plain_kind, i % 5 == 0 ? failing : fine);
        ids[50] = ids[51] = put(registry, brief_kind, pending); /* will be abandoned */
        ids[51] = put(registry, plain_kind, fine);
        assert_ok(pnx_unregister(registry, ids[51], NULL, NULL)); /* is gone already */
        ids[52] = (pnx_id){3, 4};                                 /* never was there */
        pnx_batch_result result;
        assert_int_equal(pnx_release_batch(registry, ids, 53, NULL, PNX_FOREVER, &result),
                         PNX_EFAILED);
        assert_int_equal(result.asked, 53);
        assert_int_equal(result.released, 40);
        assert_int_equal(result.already, 1);
        assert_int_equal(result.failed, 11);
        assert_int_equal(result.abandoned, 1);
        assert_int_equal(result.pending, 0);
        assert_int_equal(result.failure_count, 12);
        assert_true(pnx_id_equal(result.failures[0].id, ids[0]));
        assert_ptr_equal(result.failures[0].kind, plain_kind);
        assert_int_equal(result.failures[0].status, PNX_EFAILED);
        assert_int_equal(result.failures[10].status, PNX_EABANDONED);
        assert_int_equal(result.failures[11].status, PNX_ENOTFOUND);
        assert_null(result.failures[11].kind);
        (void)pnx_registry_forget_failed(registry);
        finish(registry);
        pnx_test_resource_free(fine);
        pnx_test_resource_free(failing);
        pnx_test_resource_free(pending);
    }
}

static void only_the_first_failures_are_named_but_all_are_counted(void **state)
{
    struct fixture *f = *state;
    pnx_test_fail(f->a, UINT_MAX, PNX_EFAILED);
    pnx_id ids[100];
    for (int i = 0; i < 100; i++)
        ids[i] = put(f->registry, low_kind, f->a);
    pnx_batch_result result;
    assert_int_equal(pnx_release_batch(f->registry, ids, 100, NULL, PNX_FOREVER, &result),
                     PNX_EFAILED);
    assert_int_equal(result.failed, 100);
    assert_int_equal(result.failure_count, PNX_BATCH_FAILURES_MAX);
    for (int i = 0; i < PNX_BATCH_FAILURES_MAX; i++)
        assert_true(pnx_id_equal(result.failures[i].id, ids[i]));
}

static void a_batch_of_nothing_is_fine(void **state)
{
    struct fixture *f = *state;
    assert_ok(pnx_release_batch(f->registry, NULL, 0, NULL, PNX_FOREVER, NULL));
    assert_ok(pnx_release_all(f->registry, NULL, PNX_FOREVER, NULL));
    assert_ok(pnx_release_kind(f->registry, "none", NULL, PNX_FOREVER, NULL));
}

static void without_a_deadline_it_only_schedules(void **state)
{
    struct fixture *f = *state;
    pnx_id ids[40];
    for (int i = 0; i < 40; i++)
        ids[i] = put(f->registry, low_kind, f->a);
    pnx_batch_result result;
    assert_ok(pnx_release_batch(f->registry, ids, 40, NULL, 0, &result));
    assert_int_equal(result.pending, 40);
    assert_int_equal(counts(f->registry).queued, 40);
    assert_ok(pnx_release_batch(f->registry, ids, 40, NULL, 0, &result));
    assert_int_equal(result.already, 40);
    run_for(f, 0);
}

/* Some pend: that is told before the failures, which are listed anyway. */
static void a_deadline_is_kept(void **state)
{
    pnx_registry *registry = with_workers(2);
    pnx_test_resource *hanging = pnx_test_resource_new("hanging", NULL);
    pnx_test_resource *failing = pnx_test_resource_new("failing", NULL);
    pnx_test_fail(failing, UINT_MAX, PNX_EFAILED);
    pnx_test_always(hanging, PNX_TEST_HANG);
    const pnx_id ids[] = {put(registry, plain_kind, failing), put(registry, low_kind, hanging)};
    pnx_batch_result result;
    assert_int_equal(
        pnx_release_batch(registry, ids, 2, NULL, pnx_monotonic_now() + PNX_MS(200), &result),
        PNX_ETIMEOUT);
    assert_int_equal(result.failed, 1);
    assert_int_equal(result.pending, 1);
    assert_int_equal(result.failure_count, 1);
    pnx_test_let_go(hanging);
    assert_idle(registry);
    (void)pnx_registry_forget_failed(registry);
    finish(registry);
    pnx_test_resource_free(hanging);
    pnx_test_resource_free(failing);
}

static void a_batch_goes_by_priority_then_in_the_order_given(void **state)
{
    struct fixture *f = *state;
    pnx_test_resource *many[6];
    const pnx_kind *kinds[] = {low_kind, high_kind, plain_kind};
    pnx_id ids[6];
    for (int i = 5; i >= 0; i--) { /* registered the other way round */
        const char name[2] = {(char)('a' + i), '\0'};
        many[i] = pnx_test_resource_new(name, f->log);
        ids[i] = put(f->registry, kinds[i % 3], many[i]);
    }
    pnx_test_monitor_clear(f->monitor);
    assert_ok(pnx_release_batch(f->registry, ids, 6, NULL, PNX_FOREVER, NULL));
    /* Queued in that order, too: a worker that is free at once begins with the right one. */
    pnx_event event;
    static const pnx_priority queued[] = {PNX_HIGH,   PNX_HIGH, PNX_NORMAL,
                                          PNX_NORMAL, PNX_LOW,  PNX_LOW};
    size_t begin = 0;
    while (pnx_test_monitor_at(f->monitor, begin, &event) && event.type == PNX_EVENT_REGISTERED)
        begin++; /* told only now */
    for (size_t i = 0; i < 6; i++) {
        assert_true(pnx_test_monitor_at(f->monitor, begin + i, &event));
        assert_int_equal(event.type, PNX_EVENT_SCHEDULED);
        assert_int_equal(event.priority, queued[i]);
    }
    assert_string_equal(pnx_test_log_text(f->log), "release b\nrelease e\nrelease c\nrelease f\n"
                                                   "release a\nrelease d\n");
    /* All of one priority: in the order given, whatever their kinds say. */
    pnx_test_log_clear(f->log);
    for (int i = 0; i < 6; i++)
        ids[i] = put(f->registry, kinds[i % 3], many[i]);
    const pnx_request request = {.set_priority = true, .priority = PNX_CRITICAL};
    assert_ok(pnx_release_batch(f->registry, ids, 6, &request, PNX_FOREVER, NULL));
    assert_string_equal(pnx_test_log_text(f->log), "release a\nrelease b\nrelease c\nrelease d\n"
                                                   "release e\nrelease f\n");
    for (int i = 0; i < 6; i++)
        pnx_test_resource_free(many[i]);
}

static void a_kind_is_released_by_its_name(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 100; i++)
        put(f->registry, i % 2 == 0 ? low_kind : plain_kind, f->a);
    pnx_batch_result result;
    assert_ok(pnx_release_kind(f->registry, "low", NULL, PNX_FOREVER, &result));
    assert_int_equal(result.asked, 50);
    assert_int_equal(result.released, 50);
    assert_int_equal(counts(f->registry).live, 50);
    const pnx_request request = {.reason = PNX_MEMORY_PRESSURE};
    assert_ok(pnx_release_all(f->registry, &request, PNX_FOREVER, &result));
    assert_int_equal(result.released, 50);
    assert_int_equal(pnx_test_recorded(f->a).last.reason, PNX_MEMORY_PRESSURE);
    assert_int_equal(counts(f->registry).live, 0);
}

static void *release_everything(void *registry)
{
    (void)pnx_release_all(registry, NULL, PNX_FOREVER, NULL);
    return NULL;
}

/* Several at once, while guards drop what they hold: everything is given back once. */
static void many_may_release_everything(void **state)
{
    pnx_registry *registry = with_workers(2);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    size_t total = 0;
    for (size_t round = effort(20); round > 0; round--) {
        pthread_t threads[3];
        for (int i = 0; i < 500; i++)
            put(registry, plain_kind, b);
        for (int i = 0; i < 3; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, release_everything, registry), 0);
        for (int i = 0; i < 300; i++) {
            pnx_auto(plain) guard = pnx_reserve(plain, registry, NULL);
            assert_true(pnx_arm(&guard, b));
        }
        for (int i = 0; i < 3; i++)
            pthread_join(threads[i], NULL);
        total += 800;
        assert_idle(registry);
        assert_int_equal(counts(registry).done, total);
        assert_int_equal(pnx_test_recorded(b).successes, total);
    }
    finish(registry);
    pnx_test_resource_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(a_reason_is_handed_on),
        with_fixture(its_guard_finds_it_gone),
        cmocka_unit_test(now_waits_for_the_outcome),
        cmocka_unit_test(a_quick_one_runs_in_the_caller),
        cmocka_unit_test(many_may_wait_for_the_same),
        with_fixture(stepping_is_done_by_who_waits),
        cmocka_unit_test(inside_a_release_nothing_can_wait_for_itself),
        cmocka_unit_test(a_release_may_use_its_registry),
        cmocka_unit_test(a_batch_tells_what_became_of_each),
        with_fixture(only_the_first_failures_are_named_but_all_are_counted),
        with_fixture(a_batch_of_nothing_is_fine),
        with_fixture(without_a_deadline_it_only_schedules),
        cmocka_unit_test(a_deadline_is_kept),
        with_fixture(a_batch_goes_by_priority_then_in_the_order_given),
        with_fixture(a_kind_is_released_by_its_name),
        cmocka_unit_test(many_may_release_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
