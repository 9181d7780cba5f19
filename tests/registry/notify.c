/* SPDX-License-Identifier: MIT */
/* The inbox under many producers, waking, and what a drop does past the high-water mark. */
#include "support.h"

PNX_KIND(plain, pnx_test_resource *, pnx_test_release);
PNX_KIND(quick, pnx_test_resource *, pnx_test_release, .flags = PNX_QUICK);

struct numbered {
    uint32_t thread, number;
};

enum { PRODUCERS = 4 };

static _Atomic uint32_t last[PRODUCERS];
static _Atomic uint32_t disorder;

static pnx_status check_order(struct numbered value, const pnx_release *why)
{
    if (atomic_exchange(&last[value.thread], value.number) + 1 != value.number)
        atomic_store(&disorder, 1);
    return PNX_OK;
}

PNX_KIND(ordered, struct numbered, check_order);

struct producer {
    pthread_t thread;
    pnx_registry *registry;
    uint32_t index, many;
};

static void *produce(void *argument)
{
    struct producer *self = argument;
    for (uint32_t i = 1; i <= self->many; i++) {
        pnx_auto(ordered) guard = pnx_reserve(ordered, self->registry, NULL);
        const struct numbered value = {self->index, i};
        assert_true(pnx_arm(&guard, value));
    }
    return NULL;
}

/* One worker: what each thread drops is released in its order, and none is lost or doubled. */
static void each_producer_keeps_its_order(void **state)
{
    for (int policy = 0; policy < 2; policy++) {
        pnx_registry *registry = made(&(pnx_config){.workers = 1,
                                                    .backlog_high_water = policy == 0 ? 8192 : 64,
                                                    .backlog_policy = PNX_BACKLOG_YIELD});
        struct producer producers[PRODUCERS];
        const uint32_t many = (uint32_t)effort(100000);
        atomic_store(&disorder, 0);
        for (uint32_t i = 0; i < PRODUCERS; i++) {
            atomic_store(&last[i], 0);
            producers[i] = (struct producer){.registry = registry, .index = i, .many = many};
            assert_int_equal(pthread_create(&producers[i].thread, NULL, produce, &producers[i]), 0);
        }
        for (int i = 0; i < PRODUCERS; i++)
            pthread_join(producers[i].thread, NULL);
        assert_idle(registry);
        assert_int_equal(atomic_load(&disorder), 0);
        for (int i = 0; i < PRODUCERS; i++)
            assert_int_equal(atomic_load(&last[i]), many);
        assert_int_equal(counts(registry).done, (uint64_t)PRODUCERS * many);
        finish(registry);
    }
}

/* ---- the backlog ----------------------------------------------------------------------------- */

/* The worker is occupied: past the mark the dropper itself runs quick releases, and only those. */
static void a_dropper_helps_with_quick_releases(void **state)
{
    pnx_registry *registry = made(
        &(pnx_config){.workers = 1, .backlog_high_water = 64, .backlog_policy = PNX_BACKLOG_HELP});
    pnx_test_resource *quick = pnx_test_resource_new("quick", NULL);
    pnx_test_resource *plain = pnx_test_resource_new("plain", NULL);
    pnx_test_occupation *occupied = pnx_test_occupy(registry, 0, NULL);
    for (int i = 0; i < 10000; i++)
        dropped(registry, quick_kind, quick);
    assert_true(pnx_test_recorded(quick).attempts >= 9000);
    assert_true(counts(registry).queued <= 300);
    for (int i = 0; i < 1000; i++)
        dropped(registry, plain_kind, plain); /* never fails, and does not wait */
    assert_int_equal(pnx_test_recorded(plain).attempts, 0);
    pnx_test_vacate(occupied);
    assert_idle(registry);
    assert_int_equal(pnx_test_recorded(quick).attempts, 10000);
    assert_int_equal(pnx_test_recorded(plain).attempts, 1000);
    const int64_t backlog = atomic_load(&registry->backlog);
    assert_true(backlog >= -200 && backlog <= 200);
    finish(registry);
    pnx_test_resource_free(quick);
    pnx_test_resource_free(plain);
}

static void a_dropper_that_yields_runs_nothing_itself(void **state)
{
    pnx_registry *registry = made(&(pnx_config){.workers = 1, .backlog_high_water = 64});
    pnx_test_resource *quick = pnx_test_resource_new("quick", NULL);
    pnx_test_occupation *occupied = pnx_test_occupy(registry, 0, NULL);
    for (int i = 0; i < 10000; i++)
        dropped(registry, quick_kind, quick);
    assert_int_equal(pnx_test_recorded(quick).attempts, 0);
    assert_int_equal(counts(registry).queued, 10000);
    pnx_test_vacate(occupied);
    assert_idle(registry);
    finish(registry);
    pnx_test_resource_free(quick);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_producer_keeps_its_order),
        cmocka_unit_test(a_dropper_helps_with_quick_releases),
        cmocka_unit_test(a_dropper_that_yields_runs_nothing_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
