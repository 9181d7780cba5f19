/* SPDX-License-Identifier: MIT */
/* Orderly shutdown: what is released, falls back, is given up and told; and that it ends. */
#include "support.h"

#include <poll.h>

PNX_KIND(low, pnx_test_resource *, pnx_test_release, .priority = PNX_LOW,
         .describe = pnx_test_describe);
PNX_KIND(normal, pnx_test_resource *, pnx_test_release, .describe = pnx_test_describe);
PNX_KIND(high, pnx_test_resource *, pnx_test_release, .priority = PNX_HIGH,
         .describe = pnx_test_describe);
PNX_KIND(critical, pnx_test_resource *, pnx_test_release, .priority = PNX_CRITICAL,
         .describe = pnx_test_describe);
PNX_KIND(backed, pnx_test_resource *, pnx_test_release, .fallback = pnx_test_fallback,
         .describe = pnx_test_describe, .retries = 5);
PNX_KIND(unblocked, pnx_test_resource *, pnx_test_release, .fallback = pnx_test_fallback,
         .flags = PNX_FALLBACK_CONCURRENT);
PNX_KIND(stubborn, pnx_test_resource *, pnx_test_release, .retries = 5, .retry_delay = PNX_S(30),
         .retry_delay_max = PNX_S(30));

/* Grace and hard deadline of those that will be needed. */
static const pnx_shutdown_options brief = {.grace = PNX_MS(100), .hard = PNX_MS(100)};
/* Of those that must not be needed: a test that hits them fails by its time. */
static const pnx_shutdown_options ample = {.grace = PNX_S(60), .hard = PNX_S(60)};

static pnx_report shut(pnx_registry *registry, const pnx_shutdown_options *options,
                       pnx_status expected)
{
    pnx_report report;
    pnx_error err = {0};
    assert_int_equal(pnx_registry_shutdown(registry, options, &report, &err), expected);
    assert_true(balances(&report.counts));
    if (expected != PNX_OK) {
        assert_contains(err.message, pnx_registry_name(registry));
        assert_int_equal(err.code, expected);
    }
    return report;
}

static void destroyed(pnx_registry *registry)
{
    pnx_error err = {0};
    if (pnx_registry_destroy(registry, &err) != PNX_OK)
        fail_msg("destroy: %s", err.message);
}

/* Those that have not come back, when it is shut down. */
static unsigned threads_left(pnx_registry *registry)
{
    pnx_report report;
    (void)pnx_registry_shutdown(registry, NULL, &report, NULL); /* again: reports */
    const unsigned left = report.threads_left;
    pnx_report_done(&report);
    return left;
}

/* The registry and the options. */
static void *shut_in_background(void *arguments)
{
    void **both = arguments;
    (void)pnx_registry_shutdown(both[0], both[1], NULL, NULL);
    return NULL;
}

/* ---- all goes well --------------------------------------------------------------------------- */

static void nothing_to_do(void **state)
{
    pnx_registry *registry = with_workers(2);
    pnx_report report = shut(registry, NULL, PNX_OK);
    assert_string_equal(report.registry, "patinox");
    assert_int_equal(report.released, 0);
    assert_int_equal(report.leaked, 0);
    assert_false(report.deadline_hit);
    assert_false(report.incomplete);
    assert_int_equal(report.threads_left, 0);
    assert_int_equal(report.survivor_count, 0);
    assert_true(report.took >= 0 && report.took < PNX_S(5));
    pnx_report_done(&report);
    destroyed(registry);
}

static void what_is_held_is_told_as_leaked_and_released_by_priority(void **state)
{
    struct fixture *f = *state;
    pnx_test_resource *b = pnx_test_resource_new("b", f->log);
    pnx_test_resource *c = pnx_test_resource_new("c", f->log);
    put(f->registry, low_kind, f->a);
    put(f->registry, critical_kind, b);
    dropped(f->registry, high_kind, c);
    pnx_report report = shut(f->registry, NULL, PNX_OK);
    assert_events(f, "registered low 1\n"
                     "registered critical 1\n"
                     "registered high 1\n"
                     "scheduled high 1: high, explicit\n"
                     "shutdown begin\n"
                     "leaked low 1\n"
                     "scheduled low 1: low, shutdown\n"
                     "leaked critical 1\n"
                     "scheduled critical 1: critical, shutdown\n"
                     "started critical 1: attempt 1\n"
                     "completed critical 1: attempt 1\n"
                     "started high 1: attempt 1\n"
                     "completed high 1: attempt 1\n"
                     "started low 1: attempt 1\n"
                     "completed low 1: attempt 1\n"
                     "shutdown end: ok\n");
    assert_int_equal(report.released, 3);
    assert_int_equal(report.leaked, 2);
    assert_int_equal(report.counts.leaked, 2);
    assert_int_equal(report.survivor_count, 0);
    pnx_report_done(&report);
    assert_int_equal(pnx_test_recorded(b).last.reason, PNX_SHUTDOWN);
    pnx_test_resource_free(b);
    pnx_test_resource_free(c);
}

PNX_KIND(work, pnx_test_resource *, pnx_test_release, .flags = PNX_UNHELD);

static void work_that_is_just_registered_is_done_and_is_no_leak(void **state)
{
    struct fixture *f = *state;
    put(f->registry, work_kind, f->a);
    pnx_report report = shut(f->registry, NULL, PNX_OK);
    assert_events(f, "registered work 1\n"
                     "shutdown begin\n"
                     "scheduled work 1: normal, shutdown\n"
                     "started work 1: attempt 1\n"
                     "completed work 1: attempt 1\n"
                     "shutdown end: ok\n");
    assert_int_equal(report.released, 1);
    assert_int_equal(report.leaked, 0);
    assert_int_equal(report.counts.leaked, 0);
    pnx_report_done(&report);
}

static void the_intake_is_closed(void **state)
{
    struct fixture *f = *state;
    pnx_report report = shut(f->registry, NULL, PNX_OK);
    pnx_report_done(&report);
    pnx_error err = {0};
    pnx_id id;
    assert_int_equal(pnx_register(f->registry, normal_kind, &f->a, NULL, &id, &err), PNX_ESHUTDOWN);
    assert_contains(err.message, "patinox");
    pnx_auto(normal) guard = pnx_reserve(normal, f->registry, &err);
    assert_int_equal(guard.status, PNX_ESHUTDOWN);
    assert_false(pnx_arm(&guard, f->a));
}

static void a_request_closes_the_intake_only(void **state)
{
    struct fixture *f = *state;
    const pnx_id id = put(f->registry, normal_kind, f->a);
    assert_false(pnx_shutdown_requested(f->registry));
    struct pollfd fd = {.fd = pnx_shutdown_fd(f->registry), .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 0), 0);
    assert_int_equal(pnx_wait_shutdown_request(f->registry, pnx_monotonic_now()), PNX_ETIMEOUT);
    pnx_request_shutdown(f->registry);
    pnx_request_shutdown(f->registry); /* again: nothing */
    assert_true(pnx_shutdown_requested(f->registry));
    assert_int_equal(poll(&fd, 1, 0), 1);
    assert_int_equal(poll(&fd, 1, 0), 1); /* and stays readable */
    assert_ok(pnx_wait_shutdown_request(f->registry, PNX_FOREVER));
    assert_int_equal(pnx_register(f->registry, normal_kind, &f->a, NULL, NULL, NULL),
                     PNX_ESHUTDOWN);
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_LIVE);
    pnx_report report = shut(f->registry, NULL, PNX_OK);
    assert_int_equal(report.leaked, 1);
    pnx_report_done(&report);
}

static void *wait_for_request(void *registry)
{
    return pnx_wait_shutdown_request(registry, patience()) == PNX_OK ? registry : NULL;
}

static void a_request_wakes_all_who_wait_for_it(void **state)
{
    pnx_registry *registry = with_workers(1);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_request, registry), 0);
    pnx_request_shutdown(registry);
    for (int i = 0; i < 3; i++) {
        void *answer;
        pthread_join(threads[i], &answer);
        assert_ptr_equal(answer, registry);
    }
    finish(registry);
}

static void retries_need_not_wait_any_longer(void **state)
{
    pnx_registry *registry = with_workers(2);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    pnx_test_fail(b, 1, PNX_EBUSY);
    dropped(registry, stubborn_kind, b); /* its retry is due in half a minute */
    wait_until(counts(registry).waiting == 1);
    pnx_report report = shut(registry, &ample, PNX_OK);
    assert_true(report.took < PNX_S(10));
    assert_int_equal(report.released, 1);
    pnx_report_done(&report);
    destroyed(registry);
    pnx_test_resource_free(b);
}

static void what_is_held_may_be_kept(void **state)
{
    struct fixture *f = *state;
    const pnx_shutdown_options keep = {.live = PNX_LIVE_KEEP};
    const pnx_id id = put(f->registry, normal_kind, f->a);
    assert_ok(pnx_resource_set_bytes(f->registry, id, 4096));
    assert_ok(pnx_resource_set_metadata(f->registry, id, "who", "me", NULL));
    pnx_test_clock_advance(&f->clock, PNX_S(3));
    pnx_report report = shut(f->registry, &keep, PNX_EFAILED);
    assert_int_equal(report.leaked, 0);
    assert_int_equal(report.counts.live, 1);
    assert_int_equal(report.survivor_count, 1);
    const pnx_survivor *survivor = &report.survivors[0];
    assert_true(pnx_id_equal(survivor->id, id));
    assert_int_equal(survivor->state, PNX_LIVE);
    assert_string_equal(survivor->kind, "normal");
    assert_string_equal(survivor->description, "a");
    assert_int_equal(survivor->age, PNX_S(3));
    assert_int_equal(survivor->bytes, 4096);
    assert_int_equal(survivor->attempts, 0);
    assert_false(survivor->leaked);
    assert_string_equal(survivor->metadata, "who=me");
    assert_contains(survivor->site->file, "support.h");
    pnx_report_done(&report);
    assert_int_equal(pnx_test_recorded(f->a).attempts, 0);
    pnx_error err = {0};
    assert_int_equal(pnx_registry_destroy(f->registry, &err), PNX_EBUSY);
    assert_contains(err.message, "1 ");
    assert_ok(pnx_unregister(f->registry, id, NULL, &err));
}

/* ---- it ends --------------------------------------------------------------------------------- */

static void what_hangs_is_abandoned_and_listed(void **state)
{
    pnx_registry *registry = with_workers(2);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    pnx_test_always(b, PNX_TEST_HANG);
    const pnx_id id = dropped(registry, normal_kind, b);
    assert_ok(pnx_test_wait_begun(b, 1, PNX_TEST_PATIENCE));
    const pnx_time begin = pnx_monotonic_now();
    pnx_report report = shut(registry, &brief, PNX_EFAILED);
    const pnx_duration took = pnx_monotonic_now() - begin;
    assert_true(took >= PNX_MS(200) - PNX_MS(1));
    assert_true(took < PNX_S(20));
    assert_true(report.deadline_hit);
    assert_int_equal(report.threads_left, 1);
    assert_int_equal(report.counts.abandoned, 1);
    assert_int_equal(report.survivor_count, 1);
    assert_true(pnx_id_equal(report.survivors[0].id, id));
    assert_int_equal(report.survivors[0].state, PNX_ABANDONED);
    assert_int_equal(report.survivors[0].status, PNX_ETIMEOUT);
    assert_string_equal(report.survivors[0].description, "b");
    assert_non_null(report.survivors[0].site);
    pnx_report_done(&report);

    pnx_error err = {0};
    assert_int_equal(pnx_registry_destroy(registry, &err), PNX_EBUSY);
    assert_contains(err.message, "hung");
    /* It comes back, and is given back after all. */
    pnx_test_let_go(b);
    wait_until(pnx_registry_state(registry, id) == PNX_DONE);
    wait_until(pnx_registry_destroy(registry, NULL) == PNX_OK);
    pnx_test_resource_free(b);
}

static void what_is_pending_is_abandoned(void **state)
{
    struct fixture *f = *state;
    pnx_test_always(f->a, PNX_TEST_PEND);
    dropped(f->registry, normal_kind, f->a);
    run_for(f, 0);
    pnx_report report = shut(f->registry, &brief, PNX_EFAILED);
    assert_int_equal(report.survivor_count, 1);
    assert_int_equal(report.survivors[0].state, PNX_ABANDONED);
    pnx_report_done(&report);
    assert_int_equal(pnx_test_complete(f->a, PNX_OK), PNX_ETIMEOUT);
    report = shut(f->registry, NULL, PNX_OK); /* a second call reports again */
    assert_int_equal(report.survivor_count, 0);
    assert_int_equal(report.counts.abandoned, 1);
    pnx_report_done(&report);
}

static void failures_are_listed(void **state)
{
    struct fixture *f = *state;
    pnx_test_fail(f->a, UINT_MAX, PNX_EFAILED);
    dropped(f->registry, normal_kind, f->a);
    put(f->registry, normal_kind, f->a);
    pnx_report report = shut(f->registry, NULL, PNX_EFAILED);
    assert_int_equal(report.survivor_count, 2);
    assert_int_equal(report.counts.failed, 2);
    assert_int_equal(report.survivors[0].state, PNX_FAILED);
    assert_int_equal(report.survivors[0].status, PNX_EFAILED);
    assert_int_equal(report.survivors[0].attempts, 1);
    assert_int_equal(report.survivors[0].leaked + report.survivors[1].leaked, 1);
    assert_false(report.deadline_hit);
    pnx_report_done(&report);
}

/* The only worker hangs: when the grace is over another one runs the fallbacks of the others. */
static void when_workers_hang_fallbacks_still_run(void **state)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        pnx_registry *registry = with_workers(workers);
        pnx_test_resource *hung[2], *b = pnx_test_resource_new("b", NULL);
        for (unsigned i = 0; i < workers; i++) {
            hung[i] = pnx_test_resource_new("hung", NULL);
            pnx_test_always(hung[i], PNX_TEST_HANG);
            dropped(registry, critical_kind, hung[i]);
            assert_ok(pnx_test_wait_begun(hung[i], 1, PNX_TEST_PATIENCE));
        }
        for (int i = 0; i < 100; i++)
            dropped(registry, backed_kind, b);
        /* What hangs would use up the hard deadline: let go of it once fallbacks are through. */
        pnx_shutdown_options options = {.grace = PNX_MS(50), .hard = PNX_S(30)};
        pnx_test_monitor *monitor = pnx_test_monitor_new(registry, NULL);
        void *arguments[2] = {registry, &options};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, shut_in_background, arguments), 0);
        const pnx_status fell_back =
            pnx_test_monitor_wait_count(monitor, PNX_EVENT_FALLBACK, 100, PNX_S(25));
        for (unsigned i = 0; i < workers; i++)
            pnx_test_let_go(hung[i]);
        pthread_join(thread, NULL);
        assert_int_equal(fell_back, PNX_OK);
        assert_int_equal(pnx_test_recorded(b).fallbacks, 100);
        assert_int_equal(pnx_test_recorded(b).attempts, 0);
        pnx_test_monitor_free(monitor);
        wait_until(threads_left(registry) == 0);
        finish(registry);
        for (unsigned i = 0; i < workers; i++)
            pnx_test_resource_free(hung[i]);
        pnx_test_resource_free(b);
    }
}

/* A concurrent fallback is what unblocks a release that hangs: at the end of the grace it runs. */
static void a_concurrent_fallback_ends_what_hangs(void **state)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        pnx_registry *registry = with_workers(workers);
        pnx_test_resource *hung[2];
        for (unsigned i = 0; i < workers; i++) {
            hung[i] = pnx_test_resource_new("hung", NULL);
            pnx_test_always(hung[i], PNX_TEST_HANG);
            pnx_test_plan_fallback(hung[i], (pnx_test_step){.action = PNX_TEST_LET_GO});
            dropped(registry, unblocked_kind, hung[i]);
            assert_ok(pnx_test_wait_begun(hung[i], 1, PNX_TEST_PATIENCE));
        }
        const pnx_shutdown_options options = {.grace = PNX_MS(50), .hard = PNX_S(30)};
        pnx_report report = shut(registry, &options, PNX_OK);
        assert_true(report.took < PNX_S(25));
        assert_true(report.deadline_hit);
        assert_int_equal(report.counts.done, workers);
        assert_int_equal(report.counts.fallbacks, workers);
        pnx_report_done(&report);
        wait_until(pnx_registry_destroy(registry, NULL) == PNX_OK);
        for (unsigned i = 0; i < workers; i++)
            pnx_test_resource_free(hung[i]);
    }
}

/* What a hung worker had taken along is not lost with it. */
static void the_rest_of_a_hung_batch_is_released(void **state)
{
    pnx_registry *registry = with_workers(1);
    pnx_test_resource *quick = pnx_test_resource_new("quick", NULL);
    for (int i = 0; i < 2000; i++)
        dropped(registry, normal_kind, quick);
    assert_idle(registry);
    pnx_test_resource *hung = pnx_test_resource_new("hung", NULL);
    pnx_test_always(hung, PNX_TEST_HANG);
    pnx_test_occupation *occupied = pnx_test_occupy(registry, 0, NULL);
    assert_non_null(occupied);
    dropped(registry, normal_kind, hung);
    for (int i = 0; i < 20; i++)
        dropped(registry, normal_kind, quick);
    pnx_test_vacate(occupied);
    assert_ok(pnx_test_wait_begun(hung, 1, PNX_TEST_PATIENCE));
    const pnx_shutdown_options options = {.grace = PNX_MS(50), .hard = PNX_MS(2000)};
    pnx_report report = shut(registry, &options, PNX_EFAILED);
    assert_int_equal(report.counts.queued, 0);
    assert_int_equal(report.counts.running, 0);
    assert_int_equal(report.counts.abandoned, 1);
    assert_int_equal(report.counts.done, 2000 + 1 + 20);
    assert_int_equal(report.survivor_count, 1);
    pnx_report_done(&report);
    pnx_test_let_go(hung);
    wait_until(pnx_registry_destroy(registry, NULL) == PNX_OK);
    pnx_test_resource_free(hung);
    pnx_test_resource_free(quick);
}

/* Everything hangs, and there are no workers to be had: all of it is listed, in time. */
static void when_nothing_helps_all_is_listed(void **state)
{
    pnx_registry *registry = made(&(pnx_config){.workers = 2, .workers_max = 2});
    pnx_test_resource *hung[2], *b = pnx_test_resource_new("b", NULL);
    for (int i = 0; i < 2; i++) {
        hung[i] = pnx_test_resource_new("hung", NULL);
        pnx_test_always(hung[i], PNX_TEST_HANG);
        dropped(registry, critical_kind, hung[i]);
        assert_ok(pnx_test_wait_begun(hung[i], 1, PNX_TEST_PATIENCE));
    }
    for (int i = 0; i < 50; i++)
        dropped(registry, normal_kind, b);
    pnx_report report = shut(registry, &brief, PNX_EFAILED);
    assert_true(report.took < PNX_S(20));
    assert_int_equal(report.counts.queued + report.counts.running + report.counts.waiting, 0);
    assert_int_equal(report.counts.done + report.counts.abandoned, 52);
    assert_int_equal(report.survivor_count, report.counts.abandoned);
    for (size_t i = 0; i < report.survivor_count; i++)
        assert_int_equal(report.survivors[i].state, PNX_ABANDONED);
    assert_int_equal(report.threads_left, 2);
    pnx_report_done(&report);
    for (int i = 0; i < 2; i++)
        pnx_test_let_go(hung[i]);
    wait_until(pnx_registry_destroy(registry, NULL) == PNX_OK);
    for (int i = 0; i < 2; i++)
        pnx_test_resource_free(hung[i]);
    pnx_test_resource_free(b);
}

static void a_deadline_of_nothing_is_met(void **state)
{
    pnx_registry *registry = with_workers(2);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    for (int i = 0; i < 1000; i++)
        put(registry, backed_kind, b);
    const pnx_shutdown_options now = {.grace = 1, .hard = 1};
    pnx_report report;
    (void)pnx_registry_shutdown(registry, &now, &report, NULL);
    const pnx_counts end = report.counts;
    assert_true(balances(&end));
    assert_int_equal(end.live + end.queued + end.running + end.waiting, 0);
    assert_int_equal(end.done + end.abandoned, 1000);
    const size_t listed = report.survivor_count;
    pnx_report_done(&report);
    /* Who was in the middle of a release comes back, perhaps before the list was made: it stays
     * counted as abandoned, counts as late, and is listed no more. */
    wait_until(threads_left(registry) == 0);
    assert_ok(pnx_registry_report(registry, &report, NULL));
    const pnx_counts later = report.counts;
    assert_int_equal(later.abandoned, end.abandoned);
    assert_int_equal(later.done, end.done);
    assert_int_equal(report.survivor_count, later.abandoned - later.late);
    assert_in_range(listed, report.survivor_count, end.abandoned);
    pnx_report_done(&report);
    destroyed(registry);
    assert_int_equal(pnx_test_recorded(b).successes, later.done + later.late);
    pnx_test_resource_free(b);
}

/* ---- from the wrong place, twice, at once ---------------------------------------------------- */

static pnx_registry *own;
static pnx_status answers[4];

static pnx_status shut_down_from_inside(void *value, const pnx_release *why)
{
    pnx_error err = {0};
    answers[0] = pnx_registry_shutdown(own, NULL, NULL, &err);
    assert_contains(err.message, "pnx_request_shutdown");
    answers[1] = pnx_registry_wait_idle(own, PNX_FOREVER);
    pnx_request_shutdown(own);
    return PNX_OK;
}

static const pnx_kind suicidal_kind = {.name = "suicidal", .release = shut_down_from_inside};

static void from_inside_a_release_it_is_refused(void **state)
{
    for (int manual = 0; manual < 2; manual++) {
        own = made(&(pnx_config){.executor = manual ? PNX_MANUAL : PNX_THREADS, .workers = 1});
        dropped(own, &suicidal_kind, NULL);
        assert_idle(own);
        assert_int_equal(answers[0], PNX_EDEADLOCK);
        assert_int_equal(answers[1], PNX_EDEADLOCK);
        assert_true(pnx_shutdown_requested(own));
        finish(own);
    }
}

static void shut_down_from_monitor(const pnx_event *event, void *context)
{
    if (event->type != PNX_EVENT_COMPLETED)
        return;
    answers[2] = pnx_registry_shutdown(own, NULL, NULL, NULL);
    answers[3] = pnx_registry_wait_idle(own, PNX_FOREVER);
}

static void from_inside_a_monitor_it_is_refused(void **state)
{
    own = with_workers(1);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    pnx_monitor *monitor;
    assert_ok(pnx_monitor_attach(own, shut_down_from_monitor, NULL, &monitor, NULL));
    dropped(own, normal_kind, b);
    assert_idle(own);
    assert_int_equal(answers[2], PNX_EDEADLOCK);
    assert_int_equal(answers[3], PNX_EDEADLOCK);
    assert_ok(pnx_monitor_detach(monitor));
    finish(own);
    pnx_test_resource_free(b);
}

static void many_may_shut_down_at_once(void **state)
{
    pnx_registry *registry = with_workers(2);
    pnx_test_monitor *monitor = pnx_test_monitor_new(registry, NULL);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    for (int i = 0; i < 200; i++)
        put(registry, normal_kind, b);
    pthread_t threads[4];
    void *arguments[2] = {registry, NULL};
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, shut_in_background, arguments), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    pnx_test_monitor_detach(monitor);
    assert_int_equal(pnx_test_monitor_count(monitor, PNX_EVENT_SHUTDOWN_BEGIN), 1);
    assert_int_equal(pnx_test_monitor_count(monitor, PNX_EVENT_SHUTDOWN_END), 1);
    assert_int_equal(pnx_test_monitor_count(monitor, PNX_EVENT_COMPLETED), 200);
    finish(registry);
    pnx_test_monitor_free(monitor);
    pnx_test_resource_free(b);
}

/* ---- afterwards ------------------------------------------------------------------------------ */

static void a_drop_afterwards_runs_inline(void **state)
{
    struct fixture *f = *state;
    pnx_auto(normal) plain = pnx_reserve(normal, f->registry, NULL);
    pnx_auto(backed) with_fallback = pnx_reserve(backed, f->registry, NULL);
    pnx_test_resource *b = pnx_test_resource_new("b", f->log);
    assert_true(pnx_arm(&plain, f->a));
    assert_true(pnx_arm(&with_fallback, b));
    const pnx_shutdown_options keep = {.live = PNX_LIVE_KEEP};
    pnx_report report = shut(f->registry, &keep, PNX_EFAILED);
    pnx_report_done(&report);
    pnx_test_monitor_clear(f->monitor);
    pnx_drop(&plain);
    pnx_drop(&with_fallback);
    assert_string_equal(pnx_test_log_text(f->log), "release a\nfallback b\n");
    pnx_registry_step(f->registry, 0); /* delivers the events */
    assert_events(f, "scheduled normal 1: normal, scope end\n"
                     "schedule failed normal 1\n"
                     "started normal 1: attempt 1\n"
                     "completed normal 1: attempt 1\n"
                     "scheduled backed 1: normal, scope end\n"
                     "schedule failed backed 1\n"
                     "fallback backed 1: attempt 1\n"
                     "completed backed 1: attempt 1\n");
    assert_int_equal(counts(f->registry).schedule_failed, 2);
    assert_balanced(f->registry);
    pnx_test_resource_free(b);
}

static void a_failing_drop_afterwards_is_listed(void **state)
{
    struct fixture *f = *state;
    pnx_auto(backed) guard = pnx_reserve(backed, f->registry, NULL);
    assert_true(pnx_arm(&guard, f->a));
    pnx_test_plan_fallback(f->a, (pnx_test_step){.status = PNX_EFAILED});
    const pnx_shutdown_options keep = {.live = PNX_LIVE_KEEP};
    pnx_report report = shut(f->registry, &keep, PNX_EFAILED);
    pnx_report_done(&report);
    pnx_drop(&guard);
    assert_int_equal(counts(f->registry).failed, 1);
    report = shut(f->registry, NULL, PNX_EFAILED);
    assert_int_equal(report.survivor_count, 1);
    assert_int_equal(report.survivors[0].state, PNX_FAILED);
    pnx_report_done(&report);
}

static void a_close_afterwards_runs_inline(void **state)
{
    pnx_registry *registry = with_workers(2);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    pnx_auto(normal) guard = pnx_reserve(normal, registry, NULL);
    assert_true(pnx_arm(&guard, b));
    const pnx_shutdown_options keep = {.live = PNX_LIVE_KEEP};
    pnx_report report = shut(registry, &keep, PNX_EFAILED);
    pnx_report_done(&report);
    assert_ok(pnx_close(&guard, NULL));
    assert_int_equal(pnx_test_recorded(b).attempts, 1);
    finish(registry);
    pnx_test_resource_free(b);
}

static void a_reserved_guard_is_refused_nothing_and_holds_the_registry(void **state)
{
    pnx_registry *registry = with_workers(1);
    pnx_auto(normal) guard = pnx_reserve(normal, registry, NULL);
    pnx_report report = shut(registry, NULL, PNX_OK);
    pnx_report_done(&report);
    pnx_error err = {0};
    assert_int_equal(pnx_registry_destroy(registry, &err), PNX_EBUSY);
    assert_contains(err.message, "guard");
    /* What was acquired after all can still be armed, and is given back by its drop. */
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    assert_true(pnx_arm(&guard, b));
    pnx_drop(&guard);
    assert_int_equal(pnx_test_recorded(b).successes, 1);
    destroyed(registry);
    pnx_test_resource_free(b);
}

static void without_a_shutdown_it_is_not_destroyed(void **state)
{
    pnx_registry *registry = with_workers(1);
    pnx_error err = {0};
    assert_int_equal(pnx_registry_destroy(registry, &err), PNX_EBUSY);
    assert_contains(err.message, "pnx_registry_shutdown");
    finish(registry);
    assert_ok(pnx_registry_destroy(NULL, NULL));
}

/* ---- against everybody else ------------------------------------------------------------------ */

struct registrar {
    pthread_t thread;
    pnx_registry *registry;
    pnx_test_resource *resource;
    size_t registered;
    bool guards;
};

static void *register_until_closed(void *argument)
{
    struct registrar *self = argument;
    for (;;) {
        if (self->guards) {
            pnx_auto(normal) guard = pnx_reserve(normal, self->registry, NULL);
            if (guard.status != PNX_OK)
                return NULL;
            assert_true(pnx_arm(&guard, self->resource));
        } else {
            const pnx_status status =
                pnx_register(self->registry, normal_kind, &self->resource, NULL, NULL, NULL);
            if (status != PNX_OK)
                return NULL;
        }
        self->registered++;
    }
}

/* Threads register and drop as fast as they can while it shuts down: everything that was taken in
 * is given back, once. */
static void nothing_slips_through(void **state)
{
    for (size_t round = effort(60); round > 0; round--) {
        pnx_registry *registry = with_workers(2);
        struct registrar registrars[4];
        pnx_test_resource *b = pnx_test_resource_new("b", NULL);
        for (int i = 0; i < 4; i++) {
            registrars[i] =
                (struct registrar){.registry = registry, .resource = b, .guards = i % 2 == 0};
            assert_int_equal(
                pthread_create(&registrars[i].thread, NULL, register_until_closed, &registrars[i]),
                0);
        }
        assert_ok(pnx_test_wait_begun(b, 10, PNX_TEST_PATIENCE));
        pnx_report report;
        pnx_error err = {0};
        /* A guard that was armed in the last moment may still be held when it reports. */
        (void)pnx_registry_shutdown(registry, &ample, &report, &err);
        assert_false(report.deadline_hit);
        pnx_report_done(&report);
        size_t registered = 0;
        for (int i = 0; i < 4; i++) {
            pthread_join(registrars[i].thread, NULL);
            registered += registrars[i].registered;
        }
        const pnx_counts end = counts(registry);
        assert_true(balances(&end));
        if (end.done != registered)
            print_message("# live %d queued %d running %d waiting %d failed %d abandoned %d\n",
                          (int)end.live, (int)end.queued, (int)end.running, (int)end.waiting,
                          (int)end.failed, (int)end.abandoned);
        assert_int_equal(end.registered, registered);
        assert_int_equal(end.done, registered);
        assert_int_equal(pnx_test_recorded(b).successes, registered);
        finish(registry);
        pnx_test_resource_free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_to_do),
        with_fixture(what_is_held_is_told_as_leaked_and_released_by_priority),
        with_fixture(work_that_is_just_registered_is_done_and_is_no_leak),
        with_fixture(the_intake_is_closed),
        with_fixture(a_request_closes_the_intake_only),
        cmocka_unit_test(a_request_wakes_all_who_wait_for_it),
        cmocka_unit_test(retries_need_not_wait_any_longer),
        with_fixture(what_is_held_may_be_kept),
        cmocka_unit_test(what_hangs_is_abandoned_and_listed),
        with_fixture(what_is_pending_is_abandoned),
        with_fixture(failures_are_listed),
        cmocka_unit_test(when_workers_hang_fallbacks_still_run),
        cmocka_unit_test(a_concurrent_fallback_ends_what_hangs),
        cmocka_unit_test(the_rest_of_a_hung_batch_is_released),
        cmocka_unit_test(when_nothing_helps_all_is_listed),
        cmocka_unit_test(a_deadline_of_nothing_is_met),
        cmocka_unit_test(from_inside_a_release_it_is_refused),
        cmocka_unit_test(from_inside_a_monitor_it_is_refused),
        cmocka_unit_test(many_may_shut_down_at_once),
        with_fixture(a_drop_afterwards_runs_inline),
        with_fixture(a_failing_drop_afterwards_is_listed),
        cmocka_unit_test(a_close_afterwards_runs_inline),
        cmocka_unit_test(a_reserved_guard_is_refused_nothing_and_holds_the_registry),
        cmocka_unit_test(without_a_shutdown_it_is_not_destroyed),
        cmocka_unit_test(nothing_slips_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
