/* SPDX-License-Identifier: MIT */
/* Promise: a drop allocates nothing and waits for no other thread, whatever is dropped, and whoever
 * drops it. Here everybody else is as slow as can be: all locks of the registry are taken. */
#include "support.h"

#include "registry/internal.h"

static pnx_status give_back(int value, const pnx_release *why)
{
    (void)value;
    (void)why;
    return PNX_OK;
}
PNX_KIND(quick, int, give_back, .flags = PNX_QUICK);
PNX_KIND(slow, int, give_back, .max_concurrency = 1, .priority = PNX_HIGH);

/* More than a thread's two magazines hold, than is told of at a time, and than the backlog may be.
 */
enum { MANY = 500 };

static pnx_registry *make(pnx_backlog_policy policy, bool backtraces)
{
    pnx_registry *registry = NULL;
    const pnx_config config = {
        .workers = 1,
        .backlog_high_water = 64,
        .backlog_policy = policy,
        .backtraces = backtraces,
        .timing = PNX_TIMING_ALL,
        .at_exit = PNX_EXIT_NOTHING,
    };
    assert_int_equal(pnx_registry_create(&config, &registry, NULL), PNX_OK);
    return registry;
}

/* ---- the thread that drops ------------------------------------------------------------------- */

struct dropper {
    pnx_registry *registry;
    quick_guard quick[MANY], unarmed[MANY];
    slow_guard slow[MANY];
    bool knows_it; /* the registry: it has a block of its own there */
    pthread_barrier_t begin;
    _Atomic uint32_t over; /* futex */
};

static _Atomic unsigned allocations;
static _Thread_local bool dropping;

static bool count_allocations(enum pnx__fault point)
{
    if (dropping && (point == PNX__FAULT_ALLOC || point == PNX__FAULT_MAP)) {
        atomic_fetch_add(&allocations, 1);
    }
    return false;
}

static void *drop_all(void *argument)
{
    struct dropper *self = argument;
    if (self->knows_it) {
        quick_guard own = pnx_reserve(quick, self->registry, NULL);
        pnx_drop(&own);
    }
    pthread_barrier_wait(&self->begin);
    pthread_barrier_wait(&self->begin); /* all is locked */
    dropping = true;
    for (int i = 0; i < MANY; i++) {
        pnx_drop(&self->quick[i]);
        pnx_drop(&self->slow[i]);
        pnx_drop(&self->unarmed[i]);
    }
    dropping = false;
    atomic_store(&self->over, 1);
    pnx__futex_wake(&self->over, 1);
    return NULL;
}

static bool wait_over(struct dropper *dropper)
{
    const pnx_time end = pnx_time_after(pnx_monotonic_now(), PNX_TEST_PATIENCE);
    while (atomic_load(&dropper->over) == 0 && pnx_monotonic_now() < end) {
        pnx__futex_wait(&dropper->over, 0, end);
    }
    return atomic_load(&dropper->over) != 0;
}

static void check(pnx_registry *registry, bool knows_it)
{
    static struct dropper dropper;
    pthread_mutex_t *locks[] = {&registry->shutdown_lock, &registry->dispatch,
                                &registry->timers_lock, &registry->depot_lock};
    pthread_t thread;
    dropper = (struct dropper){.registry = registry, .knows_it = knows_it};
    for (int i = 0; i < MANY; i++) {
        dropper.quick[i] = pnx_reserve(quick, registry, NULL);
        dropper.slow[i] = pnx_reserve(slow, registry, NULL);
        dropper.unarmed[i] = pnx_reserve(quick, registry, NULL);
        assert_true(pnx_arm(&dropper.quick[i], i) && pnx_arm(&dropper.slow[i], i));
        if (i % 3 == 0) { /* a timer, which whoever ends it must take out */
            assert_int_equal(pnx_expire_after(registry, pnx_id_of(&dropper.quick[i]), PNX_S(1000)),
                             PNX_OK);
        }
    }
    pthread_barrier_init(&dropper.begin, NULL, 2);
    atomic_store(&allocations, 0);
    atomic_store(&pnx__fault_hook, count_allocations);
    assert_int_equal(pthread_create(&thread, NULL, drop_all, &dropper), 0);
    pthread_barrier_wait(&dropper.begin);
    for (size_t i = 0; i < sizeof locks / sizeof *locks; i++) {
        pthread_mutex_lock(locks[i]);
    }
    pthread_barrier_wait(&dropper.begin);
    const bool waited_for_nobody = wait_over(&dropper);
    for (size_t i = sizeof locks / sizeof *locks; i-- > 0;) {
        pthread_mutex_unlock(locks[i]);
    }
    pthread_join(thread, NULL);
    atomic_store(&pnx__fault_hook, NULL);
    pthread_barrier_destroy(&dropper.begin);
    assert_true(waited_for_nobody);
    assert_int_equal(atomic_load(&allocations), 0);

    /* All of it was given back, and the slots of what was never armed can be used again. */
    pnx_counts counts;
    assert_int_equal(pnx_registry_shutdown(registry, NULL, NULL, NULL), PNX_OK);
    pnx_registry_counts(registry, &counts);
    assert_int_equal(counts.done, 2 * MANY);
    assert_int_equal(pnx_registry_destroy(registry, NULL), PNX_OK);
}

static void a_drop_waits_for_nobody_and_allocates_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        check(make(i % 2 == 0 ? PNX_BACKLOG_YIELD : PNX_BACKLOG_HELP, false), i / 2 == 0);
    }
}

static void with_backtraces_neither(void **state)
{
    (void)state;
    check(make(PNX_BACKLOG_YIELD, true), true);
}

static void slots_that_were_dropped_so_come_back(void **state)
{
    (void)state;
    pnx_registry *registry = NULL;
    const pnx_config config = {.executor = PNX_MANUAL, .resources_max = 256};
    assert_int_equal(pnx_registry_create(&config, &registry, NULL), PNX_OK);
    for (int round = 0; round < 20; round++) {
        quick_guard guards[256];
        for (int i = 0; i < 256; i++) {
            guards[i] = pnx_reserve(quick, registry, NULL);
            assert_int_equal(guards[i].status, PNX_OK);
        }
        for (int i = 0; i < 256; i++) {
            pnx_drop(&guards[i]);
        }
    }
    assert_int_equal(pnx_registry_shutdown(registry, NULL, NULL, NULL), PNX_OK);
    assert_int_equal(pnx_registry_destroy(registry, NULL), PNX_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_drop_waits_for_nobody_and_allocates_nothing),
        cmocka_unit_test(with_backtraces_neither),
        cmocka_unit_test(slots_that_were_dropped_so_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
