/* SPDX-License-Identifier: MIT */
/* Guards: reserve, arm, drop, take, close, move; every way out of a scope; what they refuse. */
#include "../registry/support.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

PNX_KIND(thing, pnx_test_resource *, pnx_test_release, .timeout = PNX_S(5));
PNX_KIND(quick, pnx_test_resource *, pnx_test_release, .flags = PNX_QUICK);
PNX_KIND(low, pnx_test_resource *, pnx_test_release, .priority = PNX_LOW);

static int last_fd;

static pnx_status give_fd(int fd, const pnx_release *why)
{
    last_fd = fd;
    return PNX_OK;
}

PNX_KIND(file, int, give_fd);

struct pair {
    double x;
    short y;
};
static struct pair last_pair;

static pnx_status give_pair(struct pair pair, const pnx_release *why)
{
    last_pair = pair;
    return PNX_OK;
}

static int describe_pair(struct pair pair, char *buffer, size_t size)
{
    return snprintf(buffer, size, "%g/%d", pair.x, pair.y);
}

PNX_KIND(pair, struct pair, give_pair, .describe = describe_pair);

/* ---- a guard's life -------------------------------------------------------------------------- */

static void it_is_released_when_it_leaves_its_scope(void **state)
{
    struct fixture *f = *state;
    pnx_id id;
    {
        pnx_auto(thing) guard = pnx_reserve(thing, f->registry, NULL);
        assert_ok(guard.status);
        assert_true(pnx_id_is_none(pnx_id_of(&guard)));
        assert_int_equal(counts(f->registry).registered, 0);
        assert_true(pnx_arm(&guard, f->a));
        id = pnx_id_of(&guard);
        assert_int_equal(pnx_registry_state(f->registry, id), PNX_LIVE);
        assert_ptr_equal(pnx_get(&guard), f->a);
    }
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_QUEUED);
    run_for(f, 0);
    assert_events(f, "registered thing 1\n"
                     "scheduled thing 1: normal, scope end\n"
                     "started thing 1: attempt 1\n"
                     "completed thing 1: attempt 1\n");
    assert_int_equal(pnx_test_recorded(f->a).last.reason, PNX_SCOPE_END);
}

static void what_was_never_armed_is_nothing(void **state)
{
    struct fixture *f = *state;
    {
        pnx_auto(thing) guard = pnx_reserve(thing, f->registry, NULL);
        assert_ok(guard.status);
    }
    {
        pnx_auto(thing) zero = {0};
        pnx_drop(&zero);
        assert_null(pnx_take(&zero));
        assert_ok(pnx_close(&zero, NULL));
        assert_true(pnx_id_is_none(pnx_id_of(&zero)));
        assert_false(pnx_arm(&zero, f->a));
    }
    run_for(f, 0);
    assert_events(f, "");
    assert_int_equal(counts(f->registry).registered, 0);
}

static void an_absent_thing_arms_nothing(void **state)
{
    struct fixture *f = *state;
    pnx_auto(thing) pointer = pnx_reserve(thing, f->registry, NULL);
    pnx_auto(file) descriptor = pnx_reserve(file, f->registry, NULL);
    errno = ENOENT;
    assert_false(pnx_arm(&pointer, (pnx_test_resource *)NULL));
    assert_false(pnx_arm(&descriptor, -1));
    assert_int_equal(errno, ENOENT);
    assert_int_equal(counts(f->registry).registered, 0);
    /* The guards are as good as before; and 0 is a descriptor. */
    assert_true(pnx_arm(&pointer, f->a));
    assert_true(pnx_arm(&descriptor, 0));
    assert_false(pnx_arm(&descriptor, 1)); /* twice */
    assert_int_equal(counts(f->registry).live, 2);
    last_fd = -1;
    pnx_drop(&descriptor);
    run_for(f, 0);
    assert_int_equal(last_fd, 0);
}

static void any_small_value_can_be_held(void **state)
{
    struct fixture *f = *state;
    {
        pnx_auto(pair) guard = pnx_reserve(pair, f->registry, NULL);
        const struct pair pair = {2.5, -3};
        assert_true(pnx_arm(&guard, pair));
        pnx_report report;
        assert_ok(pnx_registry_report(f->registry, &report, NULL));
        assert_string_equal(report.survivors[0].description, "2.5/-3");
        pnx_report_done(&report);
    }
    run_for(f, 0);
    assert_true(last_pair.x == 2.5 && last_pair.y == -3);
}

static void a_failed_reservation_says_why(void **state)
{
    struct fixture *f = *state;
    pnx_error err = {0};
    pnx_auto(thing) nowhere = pnx_reserve(thing, NULL, &err);
    assert_int_equal(nowhere.status, PNX_EINVAL);
    assert_contains(err.message, "registry");
    assert_false(pnx_arm(&nowhere, f->a));
    pnx_registry *small =
        made(&(pnx_config){.executor = PNX_MANUAL, .resources_max = 64, .backlog_high_water = 64});
    for (int i = 0; i < 64; i++)
        put(small, thing_kind, f->a);
    pnx_auto(thing) full = pnx_reserve(thing, small, &err);
    assert_int_equal(full.status, PNX_ELIMIT);
    assert_contains(err.message, "64");
    finish(small);
    pnx_request_shutdown(f->registry);
    pnx_auto(thing) late = pnx_reserve(thing, f->registry, &err);
    assert_int_equal(late.status, PNX_ESHUTDOWN);
}

/* ---- take, close, move ----------------------------------------------------------------------- */

static void taking_disarms(void **state)
{
    struct fixture *f = *state;
    pnx_auto(thing) guard = pnx_reserve(thing, f->registry, NULL);
    assert_true(pnx_arm(&guard, f->a));
    assert_ptr_equal(pnx_take(&guard), f->a);
    assert_null(pnx_take(&guard));
    pnx_auto(file) file = pnx_reserve(file, f->registry, NULL);
    assert_true(pnx_arm(&file, 7));
    assert_int_equal(pnx_take(&file), 7);
    assert_int_equal(pnx_take(&file), -1);
    pnx_auto(thing) reserved = pnx_reserve(thing, f->registry, NULL);
    assert_null(pnx_take(&reserved));
    run_for(f, 0);
    assert_int_equal(pnx_test_recorded(f->a).attempts, 0);
    assert_int_equal(counts(f->registry).taken, 2);
    assert_int_equal(counts(f->registry).registered, 0);
}

static void closing_waits_for_the_outcome(void **state)
{
    pnx_registry *registry = with_workers(1);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    pnx_error err = {0};
    {
        pnx_auto(thing) guard = pnx_reserve(thing, registry, NULL);
        assert_true(pnx_arm(&guard, b));
        assert_ok(pnx_close(&guard, &err));
        assert_int_equal(pnx_test_recorded(b).successes, 1);
        assert_ok(pnx_close(&guard, &err)); /* it owns nothing any more */
    }
    {
        pnx_auto(thing) guard = pnx_reserve(thing, registry, NULL);
        assert_ok(pnx_close(&guard, &err));
        assert_false(pnx_arm(&guard, b));
    }
    pnx_test_fail(b, UINT_MAX, PNX_EFAILED);
    pnx_auto(thing) failing = pnx_reserve(thing, registry, NULL);
    assert_true(pnx_arm(&failing, b));
    assert_int_equal(pnx_close(&failing, &err), PNX_EFAILED);
    assert_contains(err.message, "thing");
    pnx_test_always(b, PNX_TEST_HANG);
    pnx_auto(thing) hanging = pnx_reserve(thing, registry, NULL);
    assert_true(pnx_arm(&hanging, b));
    assert_int_equal(pnx_close_by(&hanging, pnx_monotonic_now() + PNX_MS(20), &err), PNX_ETIMEOUT);
    pnx_test_let_go(b);
    assert_idle(registry);
    (void)pnx_registry_forget_failed(registry);
    finish(registry);
    pnx_test_resource_free(b);
}

static void what_happened_behind_its_back_is_found(void **state)
{
    struct fixture *f = *state;
    static const char *const ways[] = {"queued", "done", "expired", "failed", "reused"};
    for (size_t i = 0; i < 5; i++) {
        pnx_auto(thing) taken = pnx_reserve(thing, f->registry, NULL);
        pnx_auto(thing) closed = pnx_reserve(thing, f->registry, NULL);
        pnx_auto(thing) dropped_one = pnx_reserve(thing, f->registry, NULL);
        pnx_test_resource *b = pnx_test_resource_new(ways[i], NULL);
        if (i == 3)
            pnx_test_fail(b, UINT_MAX, PNX_EFAILED);
        thing_guard *guards[] = {&taken, &closed, &dropped_one};
        for (int k = 0; k < 3; k++) {
            assert_true(pnx_arm(guards[k], b));
            if (i == 2)
                assert_ok(pnx_expire_after(f->registry, pnx_id_of(guards[k]), 0));
            else
                assert_ok(pnx_release_later(f->registry, pnx_id_of(guards[k]), NULL));
        }
        if (i > 0)
            run_for(f, PNX_MS(2));
        if (i == 4) /* others in their slots: not to be touched */
            for (int k = 0; k < 200; k++)
                put(f->registry, low_kind, f->a);
        assert_null(pnx_take(&taken));
        const pnx_status status = pnx_close(&closed, NULL);
        assert_int_equal(status, i == 0 ? PNX_OK : PNX_EALREADY);
        pnx_drop(&dropped_one);
        run_for(f, 0);
        assert_int_equal(pnx_test_recorded(b).attempts, 3);
        pnx_test_resource_free(b);
    }
    assert_int_equal(counts(f->registry).live, 200);
    (void)pnx_registry_forget_failed(f->registry);
}

static thing_guard make_thing(pnx_registry *registry, pnx_test_resource *resource)
{
    pnx_auto(thing) guard = pnx_reserve(thing, registry, NULL);
    assert_true(pnx_arm(&guard, resource));
    return pnx_move(&guard);
}

static void moving_hands_it_on(void **state)
{
    struct fixture *f = *state;
    {
        pnx_auto(thing) guard = make_thing(f->registry, f->a);
        assert_int_equal(counts(f->registry).live, 1);
        pnx_auto(thing) second = pnx_move(&guard);
        assert_true(pnx_id_is_none(pnx_id_of(&guard)));
        pnx_drop(&guard);
        assert_ok(pnx_close(&guard, NULL));
        assert_int_equal(counts(f->registry).live, 1);
        assert_ptr_equal(pnx_get(&second), f->a);
    }
    run_for(f, 0);
    assert_int_equal(pnx_test_recorded(f->a).successes, 1);
    pnx_auto(thing) reserved = pnx_reserve(thing, f->registry, NULL);
    pnx_auto(thing) moved = pnx_move(&reserved);
    assert_true(pnx_arm(&moved, f->a));
}

static void dropping_twice_is_dropping_once(void **state)
{
    struct fixture *f = *state;
    pnx_auto(thing) guard = pnx_reserve(thing, f->registry, NULL);
    assert_true(pnx_arm(&guard, f->a));
    for (int i = 0; i < 3; i++)
        pnx_drop(&guard);
    run_for(f, 0);
    pnx_drop(&guard);
    run_for(f, 0);
    assert_int_equal(pnx_test_recorded(f->a).attempts, 1);
}

/* ---- ways out of a scope --------------------------------------------------------------------- */

static int leave(struct fixture *f, int way, pnx_test_resource *b)
{
    pnx_auto(thing) outer = pnx_reserve(thing, f->registry, NULL);
    assert_true(pnx_arm(&outer, f->a));
    for (;;) {
        pnx_auto(thing) inner = pnx_reserve(thing, f->registry, NULL);
        assert_true(pnx_arm(&inner, b));
        if (way == 0)
            return 0;
        if (way == 1)
            break;
        if (way == 2)
            goto out;
        way--; /* once more */
    }
out:
    return way;
}

static void every_way_out_drops_inner_before_outer(void **state)
{
    struct fixture *f = *state;
    pnx_test_resource *b = pnx_test_resource_new("b", f->log);
    for (int way = 0; way < 4; way++) {
        pnx_test_log_clear(f->log);
        (void)leave(f, way, b);
        run_for(f, 0);
        assert_string_equal(pnx_test_log_text(f->log), way < 3
                                                           ? "release b\nrelease a\n"
                                                           : "release b\nrelease b\nrelease a\n");
    }
    pnx_test_resource_free(b);
}

static void guards_are_dropped_in_reverse_order(void **state)
{
    struct fixture *f = *state;
    pnx_test_resource *b = pnx_test_resource_new("b", f->log);
    pnx_test_resource *c = pnx_test_resource_new("c", f->log);
    {
        pnx_auto(thing) one = pnx_reserve(thing, f->registry, NULL);
        pnx_auto(thing) two = pnx_reserve(thing, f->registry, NULL);
        pnx_auto(thing) three = pnx_reserve(thing, f->registry, NULL);
        assert_true(pnx_arm(&three, c) && pnx_arm(&one, f->a) && pnx_arm(&two, b));
    }
    run_for(f, 0);
    assert_string_equal(pnx_test_log_text(f->log), "release c\nrelease b\nrelease a\n");
    pnx_test_resource_free(b);
    pnx_test_resource_free(c);
}

/* What a guard misses the registry finds. */
static void over(pnx_registry *registry, pnx_test_resource *resource, jmp_buf back)
{
    thing_guard guard = pnx_reserve(thing, registry, NULL);
    assert_true(pnx_arm(&guard, resource));
    longjmp(back, 1);
}

static void a_longjmp_misses_it_and_the_registry_finds_it(void **state)
{
    struct fixture *f = *state;
    jmp_buf back;
    if (setjmp(back) == 0)
        over(f->registry, f->a, back);
    assert_int_equal(counts(f->registry).live, 1);
    pnx_report report;
    assert_ok(pnx_registry_shutdown(f->registry, NULL, &report, NULL));
    assert_int_equal(report.leaked, 1);
    pnx_report_done(&report);
    pnx_event event;
    size_t i = 0;
    while (pnx_test_monitor_at(f->monitor, i, &event) && event.type != PNX_EVENT_LEAKED)
        i++;
    assert_int_equal(event.type, PNX_EVENT_LEAKED);
    assert_string_equal(event.site->function, "over");
    assert_int_equal(pnx_test_recorded(f->a).successes, 1);
}

/* ---- exactly once ---------------------------------------------------------------------------- */

struct racer {
    pthread_t thread;
    pnx_registry *registry;
    pthread_barrier_t *together;
    pnx_id *id;
    size_t rounds, released;
};

static void *release_by_id(void *argument)
{
    struct racer *self = argument;
    for (size_t i = 0; i < self->rounds; i++) {
        pthread_barrier_wait(self->together);
        self->released += pnx_release_later(self->registry, *self->id, NULL) == PNX_OK;
        pthread_barrier_wait(self->together);
    }
    return NULL;
}

/* The guard's drop, take or close against releases by id: one of them has it. */
static void one_of_all_has_it(void **state)
{
    pnx_registry *registry = with_workers(2);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    pthread_barrier_t together;
    pthread_barrier_init(&together, NULL, 3);
    pnx_id id = PNX_ID_NONE;
    struct racer racers[2];
    const size_t rounds = effort(3000) / 3 * 3 + 3;
    for (int i = 0; i < 2; i++) {
        racers[i] = (struct racer){
            .registry = registry, .together = &together, .id = &id, .rounds = rounds};
        assert_int_equal(pthread_create(&racers[i].thread, NULL, release_by_id, &racers[i]), 0);
    }
    size_t taken = 0, closed = 0;
    for (size_t i = 0; i < rounds; i++) {
        pnx_auto(thing) guard = pnx_reserve(thing, registry, NULL);
        assert_true(pnx_arm(&guard, b));
        id = pnx_id_of(&guard);
        pthread_barrier_wait(&together);
        if (i % 3 == 0)
            pnx_drop(&guard);
        else if (i % 3 == 1)
            taken += pnx_take(&guard) != NULL;
        else
            closed += pnx_close(&guard, NULL) == PNX_OK;
        pthread_barrier_wait(&together);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(racers[i].thread, NULL);
    pthread_barrier_destroy(&together);
    assert_idle(registry);
    assert_int_equal(counts(registry).taken, taken);
    assert_true(closed <= rounds / 3);
    assert_int_equal(counts(registry).done, rounds - taken);
    assert_int_equal(pnx_test_recorded(b).attempts, rounds - taken);
    assert_true(racers[0].released + racers[1].released <= rounds - taken);
    finish(registry);
    pnx_test_resource_free(b);
}

/* Made in one thread, dropped in another one, which may never have used the registry. */
static void *drop_it(void *guard)
{
    pnx_drop((thing_guard *)guard);
    return NULL;
}

static void a_guard_may_end_in_another_thread(void **state)
{
    pnx_registry *registry = with_workers(1);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    const size_t many = effort(200);
    for (size_t i = 0; i < many; i++) {
        thing_guard guard = make_thing(registry, b);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, drop_it, &guard), 0);
        pthread_join(thread, NULL);
    }
    assert_idle(registry);
    assert_int_equal(pnx_test_recorded(b).successes, many);
    finish(registry);
    pnx_test_resource_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(it_is_released_when_it_leaves_its_scope),
        with_fixture(what_was_never_armed_is_nothing),
        with_fixture(an_absent_thing_arms_nothing),
        with_fixture(any_small_value_can_be_held),
        with_fixture(a_failed_reservation_says_why),
        with_fixture(taking_disarms),
        cmocka_unit_test(closing_waits_for_the_outcome),
        with_fixture(what_happened_behind_its_back_is_found),
        with_fixture(moving_hands_it_on),
        with_fixture(dropping_twice_is_dropping_once),
        with_fixture(every_way_out_drops_inner_before_outer),
        with_fixture(guards_are_dropped_in_reverse_order),
        with_fixture(a_longjmp_misses_it_and_the_registry_finds_it),
        cmocka_unit_test(one_of_all_has_it),
        cmocka_unit_test(a_guard_may_end_in_another_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
