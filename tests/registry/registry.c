/* SPDX-License-Identifier: MIT */
/* Making and ending registries, stepping by hand, waiting for idle, monitors. */
#include "support.h"

PNX_KIND(plain, pnx_test_resource *, pnx_test_release, .timeout = PNX_S(1));
PNX_KIND(retried, pnx_test_resource *, pnx_test_release, .retries = 2, .retry_delay = PNX_MS(5));
PNX_KIND(backed, pnx_test_resource *, pnx_test_release, .fallback = pnx_test_fallback);
static const pnx_kind empty_kind = {.name = "empty", .release = no_release};

/* ---- making ---------------------------------------------------------------------------------- */

static void defaults_do(void **state)
{
    pnx_registry *registry = made(NULL);
    assert_string_equal(pnx_registry_name(registry), "patinox");
    const pnx_time before = pnx_monotonic_now();
    const pnx_time now = pnx_registry_now(registry);
    assert_true(now >= before && now <= pnx_monotonic_now());
    finish(registry);
}

static void a_name_is_copied(void **state)
{
    char name[] = "mine";
    pnx_registry *registry = made(&(pnx_config){.name = name, .workers = 1});
    name[0] = 'x';
    assert_string_equal(pnx_registry_name(registry), "mine");
    finish(registry);
}

static void a_wrong_configuration_is_refused(void **state)
{
    pnx_registry *registry = (pnx_registry *)(void *)state;
    pnx_error err = {0};
    assert_int_equal(pnx_registry_create(&(pnx_config){.workers = 1000}, &registry, &err),
                     PNX_EINVAL);
    assert_contains(err.message, "workers");
    assert_contains(err.message, "1000");
    assert_ptr_equal(registry, state); /* written on success only */
}

static void many_come_and_go(void **state)
{
    for (size_t i = effort(100); i > 0; i--) {
        pnx_registry *one = with_workers(1), *other = with_workers(2);
        pnx_test_resource *b = pnx_test_resource_new("b", NULL);
        dropped(one, plain_kind, b);
        dropped(other, plain_kind, b);
        finish(one);
        dropped(other, plain_kind, b);
        finish(other);
        assert_int_equal(pnx_test_recorded(b).successes, 3);
        pnx_test_resource_free(b);
    }
}

/* ---- by hand --------------------------------------------------------------------------------- */

static void a_step_runs_at_most_as_many_as_asked(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(pnx_registry_step(f->registry, SIZE_MAX), 0);
    for (int i = 0; i < 10; i++)
        dropped(f->registry, plain_kind, f->a);
    assert_int_equal(pnx_registry_step(f->registry, 0), 0);
    assert_int_equal(pnx_registry_step(f->registry, 3), 3);
    assert_int_equal(pnx_test_recorded(f->a).attempts, 3);
    assert_int_equal(pnx_registry_step(f->registry, SIZE_MAX), 7);
    assert_int_equal(pnx_registry_step(f->registry, SIZE_MAX), 0);
}

static void a_registry_with_workers_is_not_stepped(void **state)
{
    pnx_registry *registry = with_workers(1);
    assert_int_equal(pnx_registry_step(registry, SIZE_MAX), 0);
    finish(registry);
}

static pnx_registry *own;
static size_t stepped_inside;

static pnx_status step_inside(void *value, const pnx_release *why)
{
    stepped_inside = pnx_registry_step(why->registry, SIZE_MAX);
    return PNX_OK;
}

static const pnx_kind stepping_kind = {.name = "stepping", .release = step_inside};

static void a_step_inside_a_step_does_nothing(void **state)
{
    struct fixture *f = *state;
    stepped_inside = 77;
    dropped(f->registry, &stepping_kind, NULL);
    dropped(f->registry, plain_kind, f->a);
    assert_int_equal(pnx_registry_step(f->registry, 1), 1);
    assert_int_equal(stepped_inside, 0);
    run_for(f, 0);
}

static void next_due_says_when(void **state)
{
    struct fixture *f = *state;
    pnx_test_clock_advance(&f->clock, PNX_S(5));
    assert_int_equal(pnx_registry_next_due(f->registry), PNX_FOREVER);
    const pnx_id id = put(f->registry, plain_kind, f->a);
    assert_ok(pnx_expire_at(f->registry, id, PNX_S(9)));
    pnx_time due = pnx_registry_next_due(f->registry);
    assert_true(due >= PNX_S(9) && due < PNX_S(9) + PNX_MS(2));
    dropped(f->registry, plain_kind, f->a);
    assert_true(pnx_registry_next_due(f->registry) <= PNX_S(5));
    pnx_registry_step(f->registry, 1);
    assert_int_equal(pnx_registry_next_due(f->registry), due);
    pnx_test_clock_advance_to(&f->clock, due);
    assert_int_equal(pnx_registry_step(f->registry, SIZE_MAX), 2); /* a timer and its release */
    assert_int_equal(pnx_registry_next_due(f->registry), PNX_FOREVER);
}

static void *host;
static _Atomic unsigned woken;

static void wake(void *context)
{
    assert_ptr_equal(context, &host);
    atomic_fetch_add(&woken, 1);
}

static void *drop_from_elsewhere(void *registry)
{
    dropped(registry, &empty_kind, NULL);
    return NULL;
}

static void a_host_is_woken_when_there_is_something_to_step(void **state)
{
    pnx_test_clock clock;
    pnx_test_clock_init(&clock, 0);
    pnx_registry *registry = made(&(pnx_config){
        .executor = PNX_MANUAL, .clock = &clock.clock, .wake = wake, .wake_context = &host});
    atomic_store(&woken, 0);
    const pnx_id id = put(registry, &empty_kind, NULL);
    assert_ok(pnx_release_later(registry, id, NULL));
    assert_true(atomic_load(&woken) > 0);
    pnx_registry_step(registry, SIZE_MAX);
    atomic_store(&woken, 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, drop_from_elsewhere, registry), 0);
    pthread_join(thread, NULL);
    assert_true(atomic_load(&woken) > 0);
    pnx_registry_step(registry, SIZE_MAX);
    atomic_store(&woken, 0);
    const pnx_id timed = put(registry, &empty_kind, NULL);
    assert_ok(pnx_expire_after(registry, timed, PNX_S(1))); /* the next step is due earlier now */
    assert_true(atomic_load(&woken) > 0);
    finish(registry);
}

/* ---- waiting for idle ------------------------------------------------------------------------ */

static void idle_is_when_all_has_ended_and_is_told(void **state)
{
    pnx_registry *registry = with_workers(2);
    pnx_test_monitor *monitor = pnx_test_monitor_new(registry, NULL);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    assert_ok(pnx_registry_wait_idle(registry, 0));
    for (size_t round = 1; round <= effort(200); round++) {
        pnx_test_fail(b, (unsigned)(2 * round - 1), PNX_EBUSY);
        dropped(registry, retried_kind, b);
        if (round % 20 == 1) {
            assert_int_equal(pnx_registry_wait_idle(registry, pnx_monotonic_now()), PNX_ETIMEOUT);
        }
        assert_ok(pnx_registry_wait_idle(registry, patience()));
        assert_int_equal(pnx_test_monitor_count(monitor, PNX_EVENT_COMPLETED), round);
    }
    put(registry, plain_kind, b); /* what is live keeps nobody waiting */
    assert_ok(pnx_registry_wait_idle(registry, patience()));
    pnx_test_monitor_free(monitor);
    finish(registry);
    pnx_test_resource_free(b);
}

static void in_virtual_time_only_its_owner_can_help(void **state)
{
    struct fixture *f = *state;
    pnx_test_fail(f->a, 1, PNX_EBUSY);
    dropped(f->registry, retried_kind, f->a);
    assert_int_equal(pnx_registry_wait_idle(f->registry, PNX_FOREVER), PNX_EBUSY);
    pnx_test_clock_advance(&f->clock, PNX_S(1));
    assert_ok(pnx_registry_wait_idle(f->registry, PNX_FOREVER));
}

static void *fail_it(void *resource)
{
    return pnx_test_complete(resource, PNX_EFAILED) == PNX_OK ? resource : NULL;
}

/* A manual registry by the real clock: who waits hears of what others bring about. */
static void whoever_waits_by_hand_hears_of_others(void **state)
{
    const pnx_kind *kinds[] = {retried_kind, backed_kind};
    for (int i = 0; i < 2; i++) {
        pnx_registry *registry = made(&(pnx_config){.executor = PNX_MANUAL});
        pnx_test_resource *b = pnx_test_resource_new("b", NULL);
        const pnx_test_step plan[] = {{.action = PNX_TEST_PEND}, {.status = PNX_OK}};
        pnx_test_plan(b, plan, 2);
        dropped(registry, kinds[i], b);
        pnx_registry_step(registry, 1);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, fail_it, b), 0);
        const pnx_status status = pnx_registry_wait_idle(registry, pnx_monotonic_now() + PNX_S(20));
        pthread_join(thread, NULL);
        assert_int_equal(status, PNX_OK);
        assert_int_equal(counts(registry).done, 1);
        finish(registry);
        pnx_test_resource_free(b);
    }
}

/* ---- monitors -------------------------------------------------------------------------------- */

static void note(const pnx_event *event, void *context)
{
    ++*(unsigned *)context;
}

static void monitors_are_attached_and_detached(void **state)
{
    for (int manual = 0; manual < 2; manual++) {
        pnx_registry *registry =
            made(&(pnx_config){.executor = manual ? PNX_MANUAL : PNX_THREADS, .workers = 1});
        pnx_monitor *first, *second;
        unsigned seen[2] = {0};
        assert_ok(pnx_monitor_attach(registry, note, &seen[0], &first, NULL));
        dropped(registry, &empty_kind, NULL);
        assert_idle(registry);
        assert_int_equal(seen[0], 4);
        assert_ok(pnx_monitor_attach(registry, note, &seen[1], &second, NULL));
        dropped(registry, &empty_kind, NULL);
        assert_idle(registry);
        assert_ok(pnx_monitor_detach(first));
        dropped(registry, &empty_kind, NULL);
        assert_idle(registry);
        assert_ok(pnx_monitor_detach(second));
        assert_int_equal(seen[0], 8);
        assert_int_equal(seen[1], 8);
        assert_ok(pnx_monitor_detach(NULL));
        pnx_error err = {0};
        assert_int_equal(pnx_monitor_attach(registry, NULL, NULL, &first, &err), PNX_EINVAL);
        finish(registry);
    }
}

/* ---- other threads and their registries ------------------------------------------------------ */

struct user {
    pthread_t thread;
    pnx_registry *registry;
    _Atomic uint32_t ready, stop;
};

static void *use_two(void *argument)
{
    struct user *self = argument;
    dropped(own, &empty_kind, NULL);
    atomic_store(&self->ready, 1);
    while (atomic_load(&self->stop) == 0)
        dropped(self->registry, &empty_kind, NULL);
    return NULL;
}

/* A registry is destroyed while threads that have used it use another one. */
static void a_registry_goes_others_stay(void **state)
{
    pnx_registry *registry = with_workers(1);
    for (size_t round = effort(20); round > 0; round--) {
        struct user users[2];
        own = with_workers(1);
        for (int i = 0; i < 2; i++) {
            users[i] = (struct user){.registry = registry};
            assert_int_equal(pthread_create(&users[i].thread, NULL, use_two, &users[i]), 0);
        }
        for (int i = 0; i < 2; i++)
            wait_until(atomic_load(&users[i].ready) != 0);
        finish(own);
        for (int i = 0; i < 2; i++) {
            atomic_store(&users[i].stop, 1);
            pthread_join(users[i].thread, NULL);
        }
    }
    assert_idle(registry);
    finish(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_do),
        cmocka_unit_test(a_name_is_copied),
        cmocka_unit_test(a_wrong_configuration_is_refused),
        cmocka_unit_test(many_come_and_go),
        with_fixture(a_step_runs_at_most_as_many_as_asked),
        cmocka_unit_test(a_registry_with_workers_is_not_stepped),
        with_fixture(a_step_inside_a_step_does_nothing),
        with_fixture(next_due_says_when),
        cmocka_unit_test(a_host_is_woken_when_there_is_something_to_step),
        cmocka_unit_test(idle_is_when_all_has_ended_and_is_told),
        with_fixture(in_virtual_time_only_its_owner_can_help),
        cmocka_unit_test(whoever_waits_by_hand_hears_of_others),
        cmocka_unit_test(monitors_are_attached_and_detached),
        cmocka_unit_test(a_registry_goes_others_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
