/* SPDX-License-Identifier: MIT */
/* Who runs next: priorities, first in first out, starvation, limits of concurrency. */
#include "support.h"

PNX_KIND(low, pnx_test_resource *, pnx_test_release, .priority = PNX_LOW);
PNX_KIND(normal, pnx_test_resource *, pnx_test_release);
PNX_KIND(high, pnx_test_resource *, pnx_test_release, .priority = PNX_HIGH);
PNX_KIND(critical, pnx_test_resource *, pnx_test_release, .priority = PNX_CRITICAL);
PNX_KIND(two, pnx_test_resource *, pnx_test_release, .max_concurrency = 2, .timeout = PNX_FOREVER);
PNX_KIND(other, pnx_test_resource *, pnx_test_release, .max_concurrency = 1,
         .timeout = PNX_FOREVER);
PNX_KIND(blocking, pnx_test_resource *, pnx_test_release, .flags = PNX_BLOCKING,
         .timeout = PNX_FOREVER);
PNX_KIND(blocking_too, pnx_test_resource *, pnx_test_release, .flags = PNX_BLOCKING,
         .timeout = PNX_FOREVER);
PNX_KIND(quick_one, pnx_test_resource *, pnx_test_release, .flags = PNX_QUICK, .max_concurrency = 1,
         .timeout = PNX_FOREVER);

PNX_KIND(one, pnx_test_resource *, pnx_test_release, .max_concurrency = 1, .timeout = PNX_S(1),
         .retries = 1, .fallback = pnx_test_fallback);
PNX_KIND(stubborn, pnx_test_resource *, pnx_test_release, .retries = 200, .retry_delay = PNX_MS(1),
         .retry_delay_max = PNX_MS(1), .fallback = pnx_test_fallback);

/* Resources a, b, c, … that log, and end with the test. */
#define LETTERS 26
struct letters {
    pnx_test_resource *at[LETTERS];
};

static void letters_new(struct letters *letters, pnx_test_log *log)
{
    for (int i = 0; i < LETTERS; i++) {
        const char name[2] = {(char)('a' + i), '\0'};
        letters->at[i] = pnx_test_resource_new(name, log);
    }
}

static void letters_free(struct letters *letters)
{
    for (int i = 0; i < LETTERS; i++)
        pnx_test_resource_free(letters->at[i]);
}

static void drop_at(struct fixture *f, const pnx_kind *kind, pnx_test_resource *resource)
{
    dropped(f->registry, kind, resource);
}

#define assert_log(f, expected) assert_string_equal(pnx_test_log_text((f)->log), (expected))

/* ---- order ----------------------------------------------------------------------------------- */

static void the_highest_priority_is_first(void **state)
{
    struct fixture *f = *state;
    struct letters l;
    letters_new(&l, f->log);
    drop_at(f, low_kind, l.at[0]);
    drop_at(f, high_kind, l.at[1]);
    drop_at(f, normal_kind, l.at[2]);
    drop_at(f, critical_kind, l.at[3]);
    drop_at(f, low_kind, l.at[4]);
    drop_at(f, critical_kind, l.at[5]);
    drop_at(f, high_kind, l.at[6]);
    drop_at(f, normal_kind, l.at[7]);
    run_for(f, 0);
    assert_log(f, "release d\nrelease f\nrelease b\nrelease g\nrelease c\nrelease h\n"
                  "release a\nrelease e\n");
    letters_free(&l);
}

static void equal_priorities_are_first_in_first_out(void **state)
{
    struct fixture *f = *state;
    pnx_test_resource *many[500];
    char expected[500 * 14] = "", name[8];
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "%d", i);
        many[i] = pnx_test_resource_new(name, f->log);
        drop_at(f, normal_kind, many[i]);
        snprintf(expected + strlen(expected), 14, "release %d\n", i);
        if (i % 7 == 3)
            pnx_registry_step(f->registry, 3);
    }
    run_for(f, 0);
    assert_log(f, expected);
    for (int i = 0; i < 500; i++)
        pnx_test_resource_free(many[i]);
}

static void a_request_may_change_the_priority(void **state)
{
    struct fixture *f = *state;
    struct letters l;
    letters_new(&l, f->log);
    drop_at(f, high_kind, l.at[0]);
    const pnx_id id = put(f->registry, low_kind, l.at[1]);
    const pnx_request request = {.set_priority = true, .priority = PNX_CRITICAL};
    assert_ok(pnx_release_later(f->registry, id, &request));
    pnx_info info;
    assert_ok(pnx_registry_info(f->registry, id, &info));
    assert_int_equal(info.priority, PNX_CRITICAL);
    run_for(f, 0);
    assert_log(f, "release b\nrelease a\n");
    letters_free(&l);
}

/* A priority that is none is not taken. */
static void a_wrong_priority_is_the_kinds(void **state)
{
    struct fixture *f = *state;
    const pnx_id id = put(f->registry, low_kind, f->a);
    const pnx_request request = {.set_priority = true, .priority = (pnx_priority)17};
    assert_ok(pnx_release_later(f->registry, id, &request));
    pnx_info info;
    assert_ok(pnx_registry_info(f->registry, id, &info));
    assert_int_equal(info.priority, PNX_LOW);
    run_for(f, 0);
}

/* ---- starvation ------------------------------------------------------------------------------ */

/* The limit is 1 s: after each second of waiting it counts one priority more. */
static void who_waits_rises_one_priority_a_second(void **state)
{
    struct fixture *f = *state;
    struct letters l;
    letters_new(&l, f->log);
    drop_at(f, low_kind, l.at[0]); /* waits from the first moment on */
    static const struct {
        const pnx_kind *const *kind;
        pnx_time at;
    } later[] = {
        {&normal_kind, PNX_MS(999)}, {&high_kind, PNX_MS(1999)}, {&critical_kind, PNX_MS(2999)}};
    for (int i = 0; i < 3; i++) {
        pnx_test_clock_advance_to(&f->clock, later[i].at);
        drop_at(f, *later[i].kind, l.at[1 + i]);
        pnx_registry_step(f->registry, 1); /* still the newer, higher one */
    }
    pnx_test_clock_advance_to(&f->clock, PNX_MS(3000));
    drop_at(f, critical_kind, l.at[4]);
    pnx_registry_step(f->registry, 1); /* equal by now, and older */
    pnx_registry_step(f->registry, 1);
    assert_log(f, "release b\nrelease c\nrelease d\nrelease a\nrelease e\n");
    letters_free(&l);
}

/* When all have waited for long, priority counts again. */
static void a_long_stall_does_not_turn_the_order_around(void **state)
{
    struct fixture *f = *state;
    struct letters l;
    letters_new(&l, f->log);
    for (int i = 0; i < 2; i++) {
        drop_at(f, low_kind, l.at[4 * i]);
        drop_at(f, normal_kind, l.at[4 * i + 1]);
        drop_at(f, high_kind, l.at[4 * i + 2]);
        drop_at(f, critical_kind, l.at[4 * i + 3]);
    }
    pnx_test_clock_advance(&f->clock, PNX_S(100));
    run_for(f, 0);
    assert_log(f, "release d\nrelease h\nrelease c\nrelease g\nrelease b\nrelease f\n"
                  "release a\nrelease e\n");
    letters_free(&l);
}

/* However many critical ones keep coming, the low one runs within the limits of three steps. */
static void nothing_starves(void **state)
{
    struct fixture *f = *state;
    pnx_test_resource *flood = pnx_test_resource_new("flood", NULL);
    drop_at(f, low_kind, f->a);
    drop_at(f, critical_kind, flood);
    for (int i = 0; i < 500 && pnx_test_recorded(f->a).attempts == 0; i++) {
        drop_at(f, critical_kind, flood);
        pnx_registry_step(f->registry, 1);
        pnx_test_clock_advance(&f->clock, PNX_MS(10));
    }
    assert_int_equal(pnx_test_recorded(f->a).attempts, 1);
    assert_true(pnx_test_clock_now(&f->clock) <= PNX_MS(3020));
    run_for(f, 0);
    pnx_test_resource_free(flood);
}

static void the_longest_wait_is_known(void **state)
{
    struct fixture *f = *state;
    struct letters l;
    letters_new(&l, f->log);
    for (int i = 0; i < 3; i++)
        pnx_test_always(l.at[i], PNX_TEST_PEND);
    for (int i = 0; i < 3; i++) {
        drop_at(f, two_kind, l.at[i]);
        pnx_registry_step(f->registry, SIZE_MAX);
        pnx_test_clock_advance(&f->clock, PNX_S(1));
    }
    drop_at(f, low_kind, l.at[3]);
    pnx_test_clock_advance(&f->clock, PNX_S(1));
    pnx_stats stats;
    assert_ok(pnx_registry_stats(f->registry, &stats, NULL));
    assert_int_equal(stats.oldest_queued, PNX_S(2)); /* the third of the limited kind is parked */
    pnx_stats_done(&stats);
    for (int i = 0; i < 3; i++) {
        pnx_registry_step(f->registry, SIZE_MAX);
        assert_ok(pnx_test_complete(l.at[i], PNX_OK));
    }
    assert_ok(pnx_registry_stats(f->registry, &stats, NULL));
    assert_int_equal(stats.oldest_queued, 0);
    pnx_stats_done(&stats);
    letters_free(&l);
}

/* ---- limits of concurrency ------------------------------------------------------------------- */

static void a_kind_runs_as_many_as_it_may(void **state)
{
    struct fixture *f = *state;
    struct letters l;
    letters_new(&l, f->log);
    for (int i = 0; i < 6; i++) {
        pnx_test_always(l.at[i], PNX_TEST_PEND);
        drop_at(f, two_kind, l.at[i]);
    }
    drop_at(f, low_kind, l.at[6]); /* others are not held up */
    run_for(f, PNX_S(1));
    assert_log(f, "release a\nrelease b\nrelease g\n");
    assert_int_equal(counts(f->registry).running, 2);
    assert_int_equal(counts(f->registry).queued, 4);
    assert_ok(pnx_test_complete(l.at[0], PNX_OK));
    run_for(f, PNX_S(1));
    assert_log(f, "release a\nrelease b\nrelease g\nrelease c\n");
    for (int i = 1; i < 6; i++) {
        assert_ok(pnx_test_complete(l.at[i], PNX_OK));
        run_for(f, 0);
        assert_true(counts(f->registry).running <= 2);
    }
    assert_int_equal(counts(f->registry).done, 7);
    letters_free(&l);
}

/* Two end before anybody picks: those that waited keep their order. */
static void what_was_held_back_is_first_in_first_out(void **state)
{
    struct fixture *f = *state;
    struct letters l;
    letters_new(&l, f->log);
    for (int i = 0; i < 8; i++) {
        pnx_test_always(l.at[i], PNX_TEST_PEND);
        drop_at(f, two_kind, l.at[i]);
    }
    run_for(f, 0);
    for (int i = 0; i < 8; i += 2) {
        assert_ok(pnx_test_complete(l.at[i], PNX_OK));
        assert_ok(pnx_test_complete(l.at[i + 1], PNX_OK));
        run_for(f, 0);
    }
    assert_log(f, "release a\nrelease b\nrelease c\nrelease d\nrelease e\nrelease f\n"
                  "release g\nrelease h\n");
    letters_free(&l);
}

/* Ends of another kind must not let more go than may run, who then lose their place. */
static void ends_of_other_kinds_do_not_disturb_the_order(void **state)
{
    struct fixture *f = *state;
    struct letters l;
    letters_new(&l, f->log);
    for (int i = 0; i < 12; i++)
        pnx_test_always(l.at[i], PNX_TEST_PEND);
    for (int i = 0; i < 8; i++)
        drop_at(f, two_kind, l.at[i]); /* a b run, c … h wait */
    drop_at(f, other_kind, l.at[8]);
    drop_at(f, other_kind, l.at[9]);
    run_for(f, 0);
    assert_ok(pnx_test_complete(l.at[0], PNX_OK)); /* c may go */
    assert_ok(pnx_test_complete(l.at[8], PNX_OK)); /* and this end must not send d as well */
    run_for(f, 0);
    for (int i = 1; i < 8; i++) {
        assert_ok(pnx_test_complete(l.at[i], PNX_OK));
        run_for(f, 0);
    }
    assert_ok(pnx_test_complete(l.at[9], PNX_OK));
    char order[64] = "";
    for (const char *at = pnx_test_log_text(f->log); *at != '\0'; at += strlen("release x\n"))
        if (at[8] < 'i')
            strncat(order, at + 8, 1);
    assert_string_equal(order, "abcdefgh");
    letters_free(&l);
}

static void a_higher_priority_of_a_limited_kind_is_first(void **state)
{
    struct fixture *f = *state;
    struct letters l;
    letters_new(&l, f->log);
    for (int i = 0; i < 6; i++)
        pnx_test_always(l.at[i], PNX_TEST_PEND);
    for (int i = 0; i < 5; i++)
        drop_at(f, two_kind, l.at[i]);
    run_for(f, 0);
    const pnx_request request = {.set_priority = true, .priority = PNX_HIGH};
    assert_ok(pnx_release_later(f->registry, put(f->registry, two_kind, l.at[5]), &request));
    run_for(f, 0);
    assert_ok(pnx_test_complete(l.at[0], PNX_OK));
    run_for(f, 0);
    assert_log(f, "release a\nrelease b\nrelease f\n");
    assert_ok(pnx_test_complete(l.at[5], PNX_OK));
    run_for(f, 0);
    assert_log(f, "release a\nrelease b\nrelease f\nrelease c\n");
    for (int i = 1; i < 5; i++) {
        assert_ok(pnx_test_complete(l.at[i], PNX_OK));
        run_for(f, 0);
    }
    letters_free(&l);
}

/* An attempt that failed, or was late, gives its place away. */
static void every_end_of_an_attempt_makes_room(void **state)
{
    struct fixture *f = *state;
    static const struct {
        pnx_test_step step;
        pnx_status completion;
    } ends[] = {
        {{.status = PNX_OK}, PNX_OK},
        {{.status = PNX_EFAILED}, PNX_OK},
        {{.action = PNX_TEST_PEND_COMPLETED, .status = PNX_EFAILED}, PNX_OK},
        {{.action = PNX_TEST_PEND}, PNX_EFAILED},
    };
    static pnx_kind late, idempotent, unblocked;
    late = idempotent = unblocked = *one_kind;
    idempotent.flags = PNX_IDEMPOTENT;
    unblocked.flags = PNX_FALLBACK_CONCURRENT;
    const pnx_kind *kinds[] = {one_kind, &late, &idempotent, &unblocked};
    size_t asked = 0;
    for (size_t k = 0; k < 4; k++)
        for (size_t i = 0; i < 4; i++) {
            pnx_test_resource *b = pnx_test_resource_new("b", NULL);
            pnx_test_plan(b, &ends[i].step, 1);
            dropped(f->registry, kinds[k], b);
            dropped(f->registry, kinds[k], f->a);
            asked += 2;
            run_for(f, PNX_S(30));
            const pnx_counts now = counts(f->registry);
            assert_int_equal(now.queued + now.running + now.waiting, 0);
            pnx_test_resource_free(b);
        }
    assert_int_equal(pnx_test_recorded(f->a).attempts, asked / 2);
}

static void the_registry_may_limit_all_kinds(void **state)
{
    pnx_test_clock clock;
    pnx_test_clock_init(&clock, 0);
    pnx_registry *registry =
        made(&(pnx_config){.executor = PNX_MANUAL, .clock = &clock.clock, .max_concurrency = 3});
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    pnx_test_always(b, PNX_TEST_PEND);
    for (int i = 0; i < 10; i++)
        dropped(registry, normal_kind, b);
    for (int i = 0; i < 5; i++)
        dropped(registry, two_kind, b);
    pnx_registry_step(registry, SIZE_MAX);
    assert_int_equal(counts(registry).running, 5);
    finish_anyhow(registry);
    pnx_test_resource_free(b);
}

/* ---- with workers ---------------------------------------------------------------------------- */

/* One worker, occupied while everything is queued: then it all runs in order. */
static void a_worker_keeps_the_order(void **state)
{
    pnx_registry *registry = with_workers(1);
    pnx_test_log *log = pnx_test_log_new();
    struct letters l;
    letters_new(&l, log);
    const pnx_kind *kinds[] = {low_kind, normal_kind, high_kind, critical_kind};
    pnx_error err = {0};
    pnx_test_occupation *occupied = pnx_test_occupy(registry, 0, &err);
    assert_non_null(occupied);
    for (int i = 0; i < 8; i++)
        dropped(registry, kinds[i % 4], l.at[i]);
    assert_int_equal(counts(registry).queued, 8);
    pnx_test_vacate(occupied);
    assert_idle(registry);
    assert_string_equal(pnx_test_log_text(log),
                        "release d\nrelease h\nrelease c\nrelease g\nrelease b\nrelease f\n"
                        "release a\nrelease e\n");
    finish(registry);
    letters_free(&l);
    pnx_test_log_free(log);
}

/* What comes while a batch runs and ranks higher does not wait for the rest of the batch. */
static pnx_registry *interrupted;
static pnx_test_resource *urgent;

static pnx_status drop_urgent(void *value, const pnx_release *why)
{
    pnx_test_log_add(*(pnx_test_log **)value, "begin");
    dropped(interrupted, critical_kind, urgent);
    return PNX_OK;
}

static const pnx_kind interrupting_kind = {
    .name = "interrupting", .value_size = sizeof(void *), .release = drop_urgent};

static void a_batch_yields_to_a_higher_priority(void **state)
{
    pnx_test_log *log = pnx_test_log_new();
    interrupted = with_workers(1);
    urgent = pnx_test_resource_new("urgent", log);
    pnx_test_resource *calm = pnx_test_resource_new("calm", log);
    /* Some thousand quick ones teach the worker to take many at a time. */
    pnx_test_resource *quick = pnx_test_resource_new("quick", NULL);
    for (int i = 0; i < 2000; i++)
        dropped(interrupted, normal_kind, quick);
    assert_idle(interrupted);
    pnx_test_occupation *occupied = pnx_test_occupy(interrupted, 0, NULL);
    dropped(interrupted, &interrupting_kind, log);
    for (int i = 0; i < 20; i++)
        dropped(interrupted, normal_kind, calm);
    pnx_test_vacate(occupied);
    assert_idle(interrupted);
    assert_memory_equal(pnx_test_log_text(log), "begin\nrelease urgent\nrelease calm\n", 34);
    finish(interrupted);
    pnx_test_resource_free(urgent);
    pnx_test_resource_free(calm);
    pnx_test_resource_free(quick);
    pnx_test_log_free(log);
}

static void blocking_kinds_have_half_of_the_workers(void **state)
{
    pnx_registry *registry = with_workers(4);
    pnx_test_resource *slow[8], *b = pnx_test_resource_new("b", NULL);
    for (int i = 0; i < 8; i++) {
        slow[i] = pnx_test_resource_new("slow", NULL);
        pnx_test_always(slow[i], PNX_TEST_HANG);
        dropped(registry, i % 2 == 0 ? blocking_kind : blocking_too_kind, slow[i]);
    }
    assert_ok(pnx_test_wait_begun(slow[0], 1, PNX_TEST_PATIENCE));
    assert_ok(pnx_test_wait_begun(slow[1], 1, PNX_TEST_PATIENCE));
    /* The other half still serves everybody else, one after the other. */
    for (int i = 0; i < 100; i++)
        dropped(registry, low_kind, b);
    assert_ok(pnx_test_wait_begun(b, 100, PNX_TEST_PATIENCE));
    wait_until(counts(registry).running == 2);
    for (int i = 2; i < 8; i++)
        assert_int_equal(pnx_test_recorded(slow[i]).attempts, 0);
    /* In their order, one for each that ends. */
    for (int i = 0; i < 6; i++) {
        pnx_test_let_go(slow[i]);
        assert_ok(pnx_test_wait_begun(slow[i + 2], 1, PNX_TEST_PATIENCE));
        for (int k = i + 3; k < 8; k++)
            assert_int_equal(pnx_test_recorded(slow[k]).attempts, 0);
    }
    pnx_test_let_go(slow[6]);
    pnx_test_let_go(slow[7]);
    assert_idle(registry);
    finish(registry);
    for (int i = 0; i < 8; i++)
        pnx_test_resource_free(slow[i]);
    pnx_test_resource_free(b);
}

/* All workers sleep; the end that makes room comes from a thread that is none of them. */
static void an_end_elsewhere_wakes_a_worker(void **state)
{
    pnx_registry *registry = with_workers(2);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    pnx_test_always(b, PNX_TEST_PEND);
    for (int i = 0; i < 20; i++)
        dropped(registry, other_kind, b);
    for (unsigned i = 1; i <= 20; i++) {
        assert_ok(pnx_test_wait_begun(b, i, PNX_TEST_PATIENCE));
        wait_until(atomic_load(&registry->idle) == 2);
        pnx_token token;
        assert_true(pnx_test_token(b, i, &token));
        assert_ok(pnx_complete(token, PNX_OK));
    }
    assert_idle(registry);
    finish(registry);
    pnx_test_resource_free(b);
}

/* What is given back to the queue does not count against its limit any more. */
static pnx_status interrupt(pnx_test_resource *resource, const pnx_release *why)
{
    dropped(interrupted, critical_kind, urgent);
    return pnx_test_release(resource, why);
}

PNX_KIND(many, pnx_test_resource *, interrupt, .max_concurrency = 40);

static void a_batch_given_back_gives_its_places_back(void **state)
{
    interrupted = with_workers(1);
    urgent = pnx_test_resource_new("urgent", NULL);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    for (int i = 0; i < 2000; i++)
        dropped(interrupted, normal_kind, b);
    for (size_t i = effort(1000); i > 0; i--)
        dropped(interrupted, many_kind, b);
    assert_idle(interrupted);
    for (uint32_t i = 0; i < atomic_load(&interrupted->kind_count); i++)
        assert_int_equal(atomic_load(&interrupted->kinds[i])->running, 0);
    finish(interrupted);
    pnx_test_resource_free(urgent);
    pnx_test_resource_free(b);
}

/* A limit is a limit for releases that run inline in their callers, too. */
static void *close_it(void *id)
{
    (void)pnx_release_now(interrupted, *(pnx_id *)id, patience(), NULL);
    return NULL;
}

static void inline_releases_keep_to_the_limit(void **state)
{
    interrupted = with_workers(2);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    pnx_test_always(b, PNX_TEST_HANG);
    pnx_id ids[3];
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        ids[i] = put(interrupted, quick_one_kind, b);
        assert_int_equal(pthread_create(&threads[i], NULL, close_it, &ids[i]), 0);
    }
    wait_until(pnx_registry_state(interrupted, ids[0]) != PNX_LIVE &&
               pnx_registry_state(interrupted, ids[1]) != PNX_LIVE &&
               pnx_registry_state(interrupted, ids[2]) != PNX_LIVE);
    assert_ok(pnx_test_wait_begun(b, 1, PNX_TEST_PATIENCE));
    assert_int_equal(pnx_test_recorded(b).running_max, 1);
    pnx_test_let_go(b);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(pnx_test_recorded(b).running_max, 1);
    assert_idle(interrupted);
    assert_int_equal(counts(interrupted).done, 3);
    finish(interrupted);
    pnx_test_resource_free(b);
}

/* ---- the backlog's count --------------------------------------------------------------------- */

/* It says what is queued, give or take 64 a thread, whatever way things take through the queue. */
static void the_backlog_does_not_drift(void **state)
{
    struct fixture *f = *state;
    pnx_test_fail(f->a, UINT_MAX, PNX_EFAILED);
    for (int i = 0; i < 20; i++)
        dropped(f->registry, stubborn_kind, f->a);
    run_for(f, PNX_S(10));
    assert_int_equal(counts(f->registry).done, 20);
    const int64_t backlog = atomic_load(&f->registry->backlog);
    assert_true(backlog >= -64 && backlog <= 64);
}

static void workers_that_stall_do_not_make_it_drift(void **state)
{
    pnx_registry *registry = with_workers(2);
    pnx_test_resource *quick = pnx_test_resource_new("quick", NULL);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 1000; i++)
            dropped(registry, normal_kind, quick);
        assert_idle(registry);
        pnx_test_resource *slow = pnx_test_resource_new("slow", NULL);
        pnx_test_always(slow, PNX_TEST_HANG);
        pnx_test_occupation *occupied = pnx_test_occupy(registry, 0, NULL);
        dropped(registry, high_kind, slow);
        for (int i = 0; i < 100; i++)
            dropped(registry, high_kind, quick);
        pnx_test_vacate(occupied);
        assert_ok(pnx_test_wait_begun(quick, (unsigned)(round + 1) * 1100, PNX_TEST_PATIENCE));
        pnx_test_let_go(slow);
        assert_idle(registry);
        pnx_test_resource_free(slow);
    }
    const int64_t backlog = atomic_load(&registry->backlog);
    assert_true(backlog >= -200 && backlog <= 200);
    finish(registry);
    pnx_test_resource_free(quick);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(the_highest_priority_is_first),
        with_fixture(equal_priorities_are_first_in_first_out),
        with_fixture(a_request_may_change_the_priority),
        with_fixture(a_wrong_priority_is_the_kinds),
        with_fixture(who_waits_rises_one_priority_a_second),
        with_fixture(a_long_stall_does_not_turn_the_order_around),
        with_fixture(nothing_starves),
        with_fixture(the_longest_wait_is_known),
        with_fixture(a_kind_runs_as_many_as_it_may),
        with_fixture(what_was_held_back_is_first_in_first_out),
        with_fixture(ends_of_other_kinds_do_not_disturb_the_order),
        with_fixture(a_higher_priority_of_a_limited_kind_is_first),
        with_fixture(every_end_of_an_attempt_makes_room),
        cmocka_unit_test(the_registry_may_limit_all_kinds),
        cmocka_unit_test(a_worker_keeps_the_order),
        cmocka_unit_test(a_batch_yields_to_a_higher_priority),
        cmocka_unit_test(blocking_kinds_have_half_of_the_workers),
        cmocka_unit_test(an_end_elsewhere_wakes_a_worker),
        cmocka_unit_test(a_batch_given_back_gives_its_places_back),
        cmocka_unit_test(inline_releases_keep_to_the_limit),
        with_fixture(the_backlog_does_not_drift),
        cmocka_unit_test(workers_that_stall_do_not_make_it_drift),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
