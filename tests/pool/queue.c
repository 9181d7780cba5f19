/* SPDX-License-Identifier: MIT */
/* Who is served next, and what becomes of those who are not. */
#include "support.h"

#include "pool/internal.h"

enum { MANY = 64 };

struct place {
    pnx_pool_wait wait;
    pnx_lease lease;
    int name;
};

static struct place places[4096];
static int served[8192], served_count;

static void note_served(pnx_pool_wait *wait, void *context)
{
    struct place *place = context;
    pnx_error err = {0};
    if (pnx_pool_poll(wait, &place->lease, &err) == PNX_OK)
        served[served_count++] = place->name;
}

static pnx_status queue_up(struct place *place, int name, pnx_pool_want want)
{
    *place = (struct place){.wait = {.ready = note_served, .context = place}, .name = name};
    if (want.deadline == 0)
        want.deadline = PNX_FOREVER;
    return pnx_pool_begin(world.pool, &want, &place->wait, &place->lease, &world.err);
}

/* A pool whose only thing is held. */
static pnx_lease occupied(pnx_pool_config config)
{
    served_count = 0;
    config.max = 1;
    make_pool(config);
    return get();
}

static void first_come_first_served(void **state)
{
    (void)state;
    pnx_lease held = occupied((pnx_pool_config){0});
    for (int i = 0; i < MANY; i++)
        assert_int_equal(queue_up(&places[i], i, (pnx_pool_want){0}), PNX_PENDING);
    assert_int_equal(stats_of().waiting, MANY);
    pnx_lease_return(&held);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(served_count, i + 1);
        assert_int_equal(served[i], i);
        pnx_lease_return(&places[i].lease);
    }
    assert_int_equal(stats_of().waiting, 0);
    assert_int_equal(stats_of().handed_over, MANY + 1); /* the first was waited for, too */
}

static void canceled_and_late_ones_leave_no_gap(void **state)
{
    (void)state;
    pnx_lease held = occupied((pnx_pool_config){0});
    for (int i = 0; i < 9; i++)
        assert_int_equal(
            queue_up(&places[i], i,
                     (pnx_pool_want){.deadline = i % 3 == 1
                                                     ? pnx_test_clock_now(&world.clock) + PNX_MS(50)
                                                     : PNX_FOREVER}),
            PNX_PENDING);
    for (int i = 0; i < 9; i += 3)
        assert_int_equal(pnx_pool_cancel(&places[i].wait), PNX_OK);
    pass(PNX_MS(49));
    assert_int_equal(stats_of().waiting, 6);
    pass(PNX_MS(3));
    assert_int_equal(stats_of().waiting, 3);
    pnx_lease lease = {0};
    assert_int_equal(pnx_pool_poll(&places[0].wait, &lease, &world.err), PNX_ECANCELED);
    assert_int_equal(pnx_pool_poll(&places[1].wait, &lease, &world.err), PNX_ETIMEOUT);
    assert_non_null(strstr(world.err.message, "1 of 1 leased"));
    assert_non_null(strstr(world.err.message, "longest held: 52ms"));
    assert_int_equal(stats_of().timed_out, 3);
    assert_int_equal(stats_of().canceled, 3);
    assert_int_equal(world.told[PNX_POOL_ACQUIRE_TIMEOUT], 3);
    assert_true(world.last[PNX_POOL_ACQUIRE_TIMEOUT].took >= PNX_MS(50));
    assert_string_equal(world.last[PNX_POOL_ACQUIRE_TIMEOUT].site->function, "queue_up");
    assert_int_equal(pnx_pool_cancel(&places[0].wait), PNX_EALREADY);
    pnx_lease_return(&held);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(served_count, i + 1);
        assert_int_equal(served[i], 3 * i + 2);
        pnx_lease_return(&places[3 * i + 2].lease);
    }
    assert_int_equal(pnx_pool_cancel(&places[2].wait), PNX_EALREADY);
}

static void higher_priorities_first_but_not_for_ever(void **state)
{
    (void)state;
    pnx_lease held = occupied((pnx_pool_config){.priority_bypass_max = 5});
    /* The head is chosen when it comes, so that it can count on its turn. */
    assert_int_equal(queue_up(&places[0], 0, (pnx_pool_want){.priority = PNX_LOW}), PNX_PENDING);
    assert_int_equal(queue_up(&places[1], 1, (pnx_pool_want){.priority = PNX_LOW}), PNX_PENDING);
    for (int i = 2; i < 20; i++)
        assert_int_equal(queue_up(&places[i], i, (pnx_pool_want){.priority = PNX_HIGH}),
                         PNX_PENDING);
    pnx_lease_return(&held);
    for (int i = 0; i < 20; i++)
        pnx_lease_return(&places[served[i]].lease);
    assert_int_equal(served[0], 0);
    assert_int_equal(served[1], 2);
    assert_int_equal(served[5], 6);
    assert_int_equal(served[6], 1); /* after five of a higher priority */
    assert_int_equal(served[7], 7);
}

static void tenants_share_by_weight(void **state)
{
    (void)state;
    pnx_lease held = occupied((pnx_pool_config){.tenants = 3, .weights = {1, 2, 5}});
    /* One tenant is greedy and first; that gives it nothing. */
    int names = 0;
    for (unsigned tenant = 0; tenant < 3; tenant++)
        for (int i = 0; i < 800; i++, names++)
            assert_int_equal(
                queue_up(&places[names], (int)tenant, (pnx_pool_want){.tenant = tenant}),
                PNX_PENDING);
    pnx_lease_return(&held);
    int got[3] = {0}, next[3] = {0, 800, 1600};
    for (int i = 0; i < 800; i++) {
        const int tenant = served[i];
        got[tenant]++;
        /* In any row of eight each has its share, give or take one round. */
        for (int other = 0; other < 3; other++) {
            const int share = (i + 1) * (int[]){1, 2, 5}[other] / 8;
            assert_true(got[other] >= share - 5 && got[other] <= share + 6);
        }
        pnx_lease_return(&places[next[tenant]++].lease);
    }
    for (int tenant = 0; tenant < 3; tenant++) {
        while (next[tenant] < 800 * (tenant + 1))
            (void)pnx_pool_cancel(&places[next[tenant]++].wait);
    }
    assert_int_equal(pnx_pool_cancel(&places[0].wait), PNX_EALREADY);
    for (int i = 0; i < names; i++)
        pnx_lease_return(&places[i].lease);
}

static void overtaken_at_most_so_often(void **state)
{
    (void)state;
    for (unsigned bound = 1; bound <= 64; bound *= 4) {
        pnx_lease held = occupied((pnx_pool_config){.bypass_max = bound, .max = 1});
        assert_int_equal(pnx_pool_resize(world.pool, 0, 2, &world.err), PNX_OK);
        pnx_lease other = get();
        assert_int_equal(queue_up(&places[0], 0, (pnx_pool_want){0}), PNX_PENDING);
        /* Nobody blocks in this wait, so what is returned goes to it directly. */
        pnx_lease_return(&held);
        assert_int_equal(served_count, 1);
        pnx_lease_return(&places[0].lease);
        pnx_lease_return(&other);
        if (bound < 64) {
            assert_int_equal(pnx_pool_close(world.pool, PNX_FOREVER, NULL, &world.err), PNX_OK);
            assert_int_equal(pnx_pool_destroy(world.pool, &world.err), PNX_OK);
        }
    }
}

/* Whether overtaking is worth it is known from the first lease on. */
static void long_leases_are_handed_over_in_order(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 1});
    assert_int_equal(atomic_load(&world.pool->strict), 0);
    pnx__pool_hold(world.pool, PNX_US(100));
    assert_int_equal(atomic_load(&world.pool->strict), 1);
    for (int i = 0; i < 10; i++)
        pnx__pool_hold(world.pool, 50);
    assert_int_equal(atomic_load(&world.pool->strict), 0);
    pnx__pool_hold(world.pool, PNX_S(1)); /* one that lost its CPU, say */
    assert_int_equal(atomic_load(&world.pool->strict), 0);
}

static void a_try_never_waits_nor_overtakes(void **state)
{
    (void)state;
    pnx_lease held = occupied((pnx_pool_config){0}), lease = {0};
    assert_int_equal(pnx_pool_try(world.pool, &lease, &world.err), PNX_EBUSY);
    assert_non_null(strstr(world.err.message, "1 of 1 leased"));
    pnx_lease_return(&held);
    assert_int_equal(pnx_pool_try(world.pool, &lease, &world.err), PNX_OK);
    pnx_pool_suspend(world.pool);
    assert_int_equal(queue_up(&places[0], 0, (pnx_pool_want){0}), PNX_PENDING);
    pnx_lease_return(&lease);
    assert_int_equal(pnx_pool_try(world.pool, &lease, &world.err), PNX_EBUSY);
    assert_int_equal(served_count, 0);
    pnx_pool_resume(world.pool);
    assert_int_equal(served_count, 1);
    pnx_lease_return(&places[0].lease);
}

static void the_deadline_covers_create_and_validate(void **state)
{
    (void)state;
    served_count = 0;
    make_pool((pnx_pool_config){
        .max = 1, .manager = &full, .backoff = PNX_S(1), .backoff_max = PNX_S(1)});
    world.create_fails = 1000;
    const pnx_time begin = pnx_test_clock_now(&world.clock);
    assert_int_equal(queue_up(&places[0], 0, (pnx_pool_want){.deadline = begin + PNX_S(5)}),
                     PNX_PENDING);
    pnx_lease lease = {0};
    while (pnx_pool_poll(&places[0].wait, &lease, &world.err) == PNX_PENDING)
        pass(PNX_MS(1));
    const pnx_duration took = pnx_test_clock_now(&world.clock) - begin;
    assert_true(took >= PNX_S(5) && took <= PNX_S(5) + PNX_MS(3));
    assert_int_equal(pnx_pool_poll(&places[0].wait, &lease, &world.err), PNX_ETIMEOUT);
    assert_int_equal(world.err.cause.code, PNX_EFAILED);
    assert_non_null(strstr(world.err.cause.message, "server says no"));
    world.create_fails = 0;
}

static void nested_acquires_are_told(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 2});
    pnx_lease a = get(), b = get(), c = {0};
    assert_int_equal(pnx_pool_acquire(world.pool, soon(), &c, &world.err), PNX_EDEADLOCK);
    assert_non_null(strstr(world.err.message, "this one among them"));
    assert_non_null(strstr(world.events, "nested acquire"));
    assert_int_equal(stats_of().nested, 1);
    assert_string_equal(world.last[PNX_POOL_NESTED].site->function, "nested_acquires_are_told");
    /* Who hands one over does not hold it. */
    pnx_lease moved = pnx_lease_move(&a);
    assert_int_equal(pnx_pool_acquire(world.pool, soon(), &c, &world.err), PNX_EBUSY);
    pnx_lease_return(&moved);
    pnx_lease_return(&b);
    pnx_lease_return(&a);
}

static void closing_turns_waiters_away(void **state)
{
    (void)state;
    pnx_lease held = occupied((pnx_pool_config){0}), lease = {0};
    for (int i = 0; i < 5; i++)
        assert_int_equal(queue_up(&places[i], i, (pnx_pool_want){0}), PNX_PENDING);
    assert_int_equal(pnx_pool_close(world.pool, soon(), NULL, &world.err), PNX_ETIMEOUT);
    for (int i = 0; i < 5; i++)
        assert_int_equal(pnx_pool_poll(&places[i].wait, &lease, &world.err), PNX_ESHUTDOWN);
    pnx_lease_return(&held);
}

static void bad_wants_are_named(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.tenants = 2});
    pnx_lease lease = {0};
    assert_int_equal(pnx_pool_acquire_as(world.pool,
                                         &(pnx_pool_want){.deadline = soon(), .tenant = 2}, &lease,
                                         &world.err),
                     PNX_EINVAL);
    assert_non_null(strstr(world.err.message, "2 tenants"));
    assert_int_equal(
        pnx_pool_acquire_as(world.pool,
                            &(pnx_pool_want){.deadline = soon(), .priority = (pnx_priority)9},
                            &lease, &world.err),
        PNX_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_manual(first_come_first_served),
        on_manual(canceled_and_late_ones_leave_no_gap),
        on_manual(higher_priorities_first_but_not_for_ever),
        on_manual(tenants_share_by_weight),
        on_manual(overtaken_at_most_so_often),
        on_manual(long_leases_are_handed_over_in_order),
        on_manual(a_try_never_waits_nor_overtakes),
        on_manual(the_deadline_covers_create_and_validate),
        on_manual(nested_acquires_are_told),
        on_manual(closing_turns_waiters_away),
        on_manual(bad_wants_are_named),
    };
    return cmocka_run_group_tests_name("pool queue", tests, NULL, NULL);
}
