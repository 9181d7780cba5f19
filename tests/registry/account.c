/* SPDX-License-Identifier: MIT */
/* The account: it balances in every snapshot, under any load; statistics and health. */
#include "support.h"

PNX_KIND(low, pnx_test_resource *, pnx_test_release, .priority = PNX_LOW);
PNX_KIND(plain, pnx_test_resource *, pnx_test_release);
PNX_KIND(flaky, pnx_test_resource *, pnx_test_release, .priority = PNX_HIGH, .retries = 3,
         .retry_delay = PNX_US(50), .retry_delay_max = PNX_US(50), .fallback = pnx_test_fallback);
PNX_KIND(limited, pnx_test_resource *, pnx_test_release, .max_concurrency = 1,
         .priority = PNX_CRITICAL);
PNX_KIND(quick, pnx_test_resource *, pnx_test_release, .flags = PNX_QUICK);
static const pnx_kind empty_kind = {.name = "empty", .release = no_release};

/* ---- conservation under load ----------------------------------------------------------------- */

struct load {
    pnx_registry *registry;
    _Atomic uint32_t stop;
    _Atomic uint64_t snapshots;
    pnx_test_resource *fine, *failing, *hopeless;
    _Atomic uint64_t seed;
};

static void *observe(void *argument)
{
    struct load *load = argument;
    uint64_t before = 0;
    while (atomic_load(&load->stop) == 0) {
        const pnx_counts now = counts(load->registry);
        /* Both only rise. */
        const uint64_t in = now.registered + now.taken;
        if (!balances(&now) || in < before)
            return load;
        before = in;
        pnx_stats stats;
        if (pnx_registry_stats(load->registry, &stats, NULL) != PNX_OK)
            return load;
        bool fine = balances(&stats.total);
        uint64_t registered = 0;
        for (size_t i = 0; i < stats.kind_count; i++) {
            fine &= balances(&stats.kinds[i].counts);
            registered += stats.kinds[i].counts.registered;
            for (int p = 0; p < PNX_PRIORITY_COUNT; p++)
                fine &= balances(&stats.kinds[i].by_priority[p]);
        }
        fine &= registered == stats.total.registered;
        pnx_stats_done(&stats);
        if (!fine)
            return load;
        atomic_fetch_add(&load->snapshots, 1);
    }
    return NULL;
}

static void *everything(void *argument)
{
    struct load *load = argument;
    pnx__random random = {atomic_fetch_add(&load->seed, 1)};
    pnx_registry *registry = load->registry;
    pnx_id id;
    for (size_t i = effort(60000); i > 0; i--) {
        switch (pnx__random_below(&random, 12)) {
        case 0:
            dropped(registry, low_kind, load->fine);
            break;
        case 1:
            dropped(registry, limited_kind, load->fine);
            break;
        case 2:
            dropped(registry, flaky_kind, load->failing);
            break;
        case 3:
            dropped(registry, plain_kind, load->hopeless);
            break;
        case 4:
            id = put(registry, quick_kind, load->fine);
            (void)pnx_release_now(registry, id, PNX_FOREVER, NULL);
            break;
        case 5:
            id = put(registry, plain_kind, load->fine);
            (void)pnx_unregister(registry, id, NULL, NULL);
            break;
        case 6:
            id = put(registry, plain_kind, load->fine);
            (void)pnx_expire_after(registry, id,
                                   (pnx_duration)pnx__random_below(&random, PNX_MS(3)));
            break;
        case 7:
            (void)pnx_registry_forget_failed(registry);
            break;
        default: {
            pnx_auto(plain) guard = pnx_reserve(plain, registry, NULL);
            if (pnx__random_below(&random, 4) != 0)
                (void)pnx_arm(&guard, load->fine);
            if (pnx__random_below(&random, 8) == 0)
                (void)pnx_take(&guard);
        } break;
        }
    }
    return NULL;
}

static void it_balances_under_any_load(void **state)
{
    struct load load = {.registry = made(&(pnx_config){.workers = 3, .failures_kept = 100}),
                        .seed = seeded().state};
    load.fine = pnx_test_resource_new("fine", NULL);
    load.failing = pnx_test_resource_new("failing", NULL);
    load.hopeless = pnx_test_resource_new("hopeless", NULL);
    pnx_test_fail(load.failing, UINT_MAX, PNX_EBUSY);
    pnx_test_fail(load.hopeless, UINT_MAX, PNX_EFAILED);
    pthread_t observers[2], workers[4];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&observers[i], NULL, observe, &load), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&workers[i], NULL, everything, &load), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(workers[i], NULL);
    assert_idle(load.registry);
    atomic_store(&load.stop, 1);
    for (int i = 0; i < 2; i++) {
        void *failed;
        pthread_join(observers[i], &failed);
        assert_null(failed);
    }
    assert_true(atomic_load(&load.snapshots) > 0);
    /* What the resources saw is what the account says. */
    wait_until(counts(load.registry).live == 0);
    assert_idle(load.registry);
    const pnx_counts end = counts(load.registry);
    assert_int_equal(pnx_test_recorded(load.fine).successes +
                         pnx_test_recorded(load.failing).successes,
                     end.done);
    assert_int_equal(pnx_test_recorded(load.hopeless).attempts, end.failed);
    assert_int_equal(pnx_test_recorded(load.failing).fallbacks, end.fallbacks);
    assert_int_equal(end.abandoned, 0);
    (void)pnx_registry_forget_failed(load.registry);
    finish(load.registry);
    pnx_test_resource_free(load.fine);
    pnx_test_resource_free(load.failing);
    pnx_test_resource_free(load.hopeless);
}

/* Counters of many threads make a snapshot slow, so that much happens while it is taken. */
enum { BYSTANDERS = 150 };

struct bystander {
    pthread_t thread;
    struct load *load;
};

static void *stand_by(void *argument)
{
    struct bystander *self = argument;
    (void)pnx_release_now(self->load->registry,
                          put(self->load->registry, quick_kind, self->load->fine), PNX_FOREVER,
                          NULL);
    atomic_fetch_add(&self->load->snapshots, 1);
    while (atomic_load(&self->load->stop) == 0)
        pnx__futex_wait(&self->load->stop, 0, PNX_FOREVER);
    return NULL;
}

static void *drop_and_close(void *argument)
{
    struct load *load = argument;
    for (size_t i = 0; atomic_load(&load->stop) == 0; i++) {
        const pnx_id id = put(load->registry, quick_kind, load->fine);
        if (i % 2 == 0)
            (void)pnx_release_later(load->registry, id, NULL);
        else
            (void)pnx_release_now(load->registry, id, PNX_FOREVER, NULL);
    }
    return NULL;
}

static void a_slow_snapshot_balances_too(void **state)
{
    struct load load = {.registry = with_workers(2)};
    struct bystander bystanders[BYSTANDERS];
    pthread_t droppers[2];
    load.fine = pnx_test_resource_new("fine", NULL);
    for (int i = 0; i < BYSTANDERS; i++) {
        bystanders[i].load = &load;
        assert_int_equal(pthread_create(&bystanders[i].thread, NULL, stand_by, &bystanders[i]), 0);
    }
    wait_until(atomic_load(&load.snapshots) == BYSTANDERS);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&droppers[i], NULL, drop_and_close, &load), 0);
    size_t wrong = 0;
    for (size_t i = effort(20000); i > 0; i--) {
        const pnx_counts now = counts(load.registry);
        wrong += !balances(&now);
    }
    atomic_store(&load.stop, 1);
    pnx__futex_wake(&load.stop, UINT_MAX);
    for (int i = 0; i < 2; i++)
        pthread_join(droppers[i], NULL);
    for (int i = 0; i < BYSTANDERS; i++)
        pthread_join(bystanders[i].thread, NULL);
    assert_int_equal(wrong, 0);
    assert_idle(load.registry);
    finish(load.registry);
    pnx_test_resource_free(load.fine);
}

static void *register_one(void *registry)
{
    (void)dropped(registry, &empty_kind, NULL);
    return NULL;
}

/* What a thread has counted stays when it ends. */
static void threads_come_and_go(void **state)
{
    pnx_registry *registry = with_workers(2);
    const size_t many = effort(300);
    for (size_t i = 0; i < many; i++) {
        pthread_t threads[2];
        for (int k = 0; k < 2; k++)
            assert_int_equal(pthread_create(&threads[k], NULL, register_one, registry), 0);
        assert_balanced(registry);
        for (int k = 0; k < 2; k++)
            pthread_join(threads[k], NULL);
        assert_int_equal(counts(registry).registered, 2 * (i + 1));
    }
    assert_idle(registry);
    assert_int_equal(counts(registry).done, 2 * many);
    finish(registry);
}

/* ---- statistics ------------------------------------------------------------------------------ */

static void each_state_has_its_gauge(void **state)
{
    struct fixture *f = *state;
    pnx_test_resource *pending = pnx_test_resource_new("pending", NULL);
    pnx_test_resource *failing = pnx_test_resource_new("failing", NULL);
    pnx_test_always(pending, PNX_TEST_PEND);
    pnx_test_fail(failing, UINT_MAX, PNX_EFAILED);
    dropped(f->registry, plain_kind, pending); /* running */
    dropped(f->registry, plain_kind, failing); /* failed */
    dropped(f->registry, low_kind, f->a);      /* done */
    run_for(f, 0);
    dropped(f->registry, flaky_kind, failing); /* waiting */
    pnx_registry_step(f->registry, 1);
    put(f->registry, low_kind, f->a); /* live */
    assert_ok(pnx_unregister(f->registry, put(f->registry, low_kind, f->a), NULL, NULL));
    dropped(f->registry, limited_kind, f->a); /* queued */

    pnx_stats stats;
    assert_ok(pnx_registry_stats(f->registry, &stats, NULL));
    const pnx_counts *total = &stats.total;
    assert_int_equal(total->registered, 6);
    assert_int_equal(total->live, 1);
    assert_int_equal(total->queued, 1);
    assert_int_equal(total->running, 1);
    assert_int_equal(total->waiting, 1);
    assert_int_equal(total->done, 1);
    assert_int_equal(total->failed, 1);
    assert_int_equal(total->abandoned, 0);
    assert_int_equal(total->taken, 1);
    assert_int_equal(total->retried, 1);
    assert_string_equal(stats.registry, "patinox");
    assert_int_equal(stats.kind_count, 4);
    assert_string_equal(stats.kinds[0].name, "flaky"); /* sorted by name */
    assert_string_equal(stats.kinds[1].name, "limited");
    assert_string_equal(stats.kinds[2].name, "low");
    assert_string_equal(stats.kinds[3].name, "plain");
    assert_int_equal(stats.kinds[2].counts.live, 1);
    assert_int_equal(stats.kinds[2].counts.taken, 1);
    assert_int_equal(stats.kinds[2].by_priority[PNX_LOW].done, 1);
    assert_int_equal(stats.by_priority[PNX_CRITICAL].queued, 1);
    assert_int_equal(stats.timers, 2); /* the pending one's deadline and the retry */
    assert_true(stats.slots >= 64);
    assert_int_equal(stats.backlog_high_water, 8192);
    assert_false(stats.shutting_down);
    pnx_stats_done(&stats);
    pnx_stats_done(&stats);
    assert_ok(pnx_test_complete(pending, PNX_OK));
    run_for(f, PNX_S(10));
    pnx_test_resource_free(pending);
    pnx_test_resource_free(failing);
}

/* Fallbacks are no retries, in the account as in the events. */
static void counters_agree_with_the_events(void **state)
{
    struct fixture *f = *state;
    pnx_test_fail(f->a, UINT_MAX, PNX_EBUSY);
    for (int i = 0; i < 10; i++)
        dropped(f->registry, flaky_kind, f->a);
    run_for(f, PNX_S(60));
    const pnx_counts now = counts(f->registry);
    assert_int_equal(now.retried, pnx_test_monitor_count(f->monitor, PNX_EVENT_RETRIED));
    assert_int_equal(now.fallbacks, pnx_test_monitor_count(f->monitor, PNX_EVENT_FALLBACK));
    assert_int_equal(now.done, pnx_test_monitor_count(f->monitor, PNX_EVENT_COMPLETED));
    assert_int_equal(now.retried, 30);
    assert_int_equal(now.fallbacks, 10);
}

/* One header's kind in several source files: descriptors differ, the name is the same. */
static void kinds_of_one_name_are_one(void **state)
{
    struct fixture *f = *state;
    static const pnx_kind twins[] = {
        {.name = "twin", .priority = PNX_LOW, .release = no_release},
        {.name = "twin", .priority = PNX_HIGH, .release = no_release},
    };
    put(f->registry, &twins[0], NULL);
    put(f->registry, &twins[1], NULL);
    put(f->registry, &twins[1], NULL);
    pnx_stats stats;
    assert_ok(pnx_registry_stats(f->registry, &stats, NULL));
    assert_int_equal(stats.kind_count, 1);
    assert_int_equal(stats.kinds[0].counts.live, 3);
    assert_int_equal(stats.kinds[0].by_priority[PNX_LOW].live, 1);
    assert_int_equal(stats.kinds[0].by_priority[PNX_HIGH].live, 2);
    pnx_stats_done(&stats);
}

static void latencies_are_measured(void **state)
{
    pnx_test_clock clock;
    pnx_test_clock_init(&clock, 0);
    pnx_registry *registry = made(
        &(pnx_config){.executor = PNX_MANUAL, .clock = &clock.clock, .timing = PNX_TIMING_ALL});
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    pnx_test_resource_clock(b, &clock);
    pnx_test_plan(b, &(pnx_test_step){.takes = PNX_MS(30)}, 1);
    {
        pnx_auto(plain) guard = pnx_reserve(plain, registry, NULL);
        assert_true(pnx_arm(&guard, b));
    }
    pnx_test_clock_advance(&clock, PNX_S(2));
    pnx_registry_step(registry, 1);
    pnx_stats stats;
    assert_ok(pnx_registry_stats(registry, &stats, NULL));
    assert_int_equal(stats.queue_wait.count, 1);
    assert_int_equal(stats.queue_wait.max_ns, PNX_S(2));
    assert_int_equal(stats.release_time.count, 1);
    assert_int_equal(stats.release_time.max_ns, PNX_MS(30));
    assert_int_equal(stats.drop_time.count, 1);
    pnx_stats_done(&stats);
    finish(registry);
    pnx_test_resource_free(b);
}

static void sampling_measures_every_64th(void **state)
{
    static const struct {
        pnx_timing timing;
        uint64_t measured;
    } cases[] = {{PNX_TIMING_SAMPLED, 10}, {PNX_TIMING_ALL, 640}, {PNX_TIMING_NONE, 0}};
    for (int c = 0; c < 3; c++) {
        pnx_test_clock clock;
        pnx_test_clock_init(&clock, 0);
        pnx_registry *registry = made(&(pnx_config){
            .executor = PNX_MANUAL, .clock = &clock.clock, .timing = cases[c].timing});
        for (int i = 0; i < 640; i++)
            dropped(registry, &empty_kind, NULL);
        pnx_registry_step(registry, SIZE_MAX);
        pnx_stats stats;
        assert_ok(pnx_registry_stats(registry, &stats, NULL));
        assert_int_equal(stats.queue_wait.count, cases[c].measured);
        assert_int_equal(stats.release_time.count, cases[c].measured);
        pnx_stats_done(&stats);
        finish(registry);
    }
}

/* ---- health ---------------------------------------------------------------------------------- */

static void health_of_many(void **state)
{
    pnx_test_clock clock;
    pnx_registry *registry = by_hand(&clock);
    const size_t many = effort(200000);
    for (size_t i = 0; i < many; i++)
        put(registry, &empty_kind, NULL);
    pnx_health health;
    assert_int_equal(pnx_registry_health(registry, NULL, &health), PNX_HEALTH_OK);
    assert_int_equal(health.reason_count, 0);
    pnx_batch_result result;
    assert_ok(pnx_release_all(registry, NULL, 0, &result));
    assert_int_equal(result.pending, many);
    pnx_test_clock_advance(&clock, PNX_S(2));
    const pnx_health_limits limits = {.degraded_queue_depth = 10,
                                      .failing_queue_depth = UINT64_MAX};
    assert_int_equal(pnx_registry_health(registry, &limits, &health), PNX_HEALTH_DEGRADED);
    assert_int_equal(health.reason_count, 2); /* depth and age */
    assert_int_equal(pnx_registry_health(registry, NULL, NULL),
                     many > 81920 ? PNX_HEALTH_FAILING : PNX_HEALTH_DEGRADED);
    while (pnx_registry_step(registry, SIZE_MAX) > 0)
        continue;
    assert_int_equal(pnx_registry_health(registry, NULL, NULL), PNX_HEALTH_OK);
    finish(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_balances_under_any_load),
        cmocka_unit_test(a_slow_snapshot_balances_too),
        cmocka_unit_test(threads_come_and_go),
        with_fixture(each_state_has_its_gauge),
        with_fixture(counters_agree_with_the_events),
        with_fixture(kinds_of_one_name_are_one),
        cmocka_unit_test(latencies_are_measured),
        cmocka_unit_test(sampling_measures_every_64th),
        cmocka_unit_test(health_of_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
