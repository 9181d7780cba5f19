/* SPDX-License-Identifier: MIT */
/*
 * Many threads on few entries: nobody has what another one has, nothing is lost, the account
 * balances, waiters are overtaken at most as often as is said, and all get their share.
 */
#include "pool/internal.h"
#include "support.h"

#include <limits.h>
#include <sched.h>

enum { THREADS_MAX = 16 };

static unsigned effort(unsigned work)
{
    const char *text = getenv("PNX_TEST_EFFORT");
    const unsigned percent = text != NULL ? (unsigned)strtoul(text, NULL, 10) : 100;
    const unsigned scaled = (unsigned)((unsigned long)work * percent / 100);
    return scaled > 50 ? scaled : 50;
}

static uint64_t seed(void)
{
    const char *text = getenv("PNX_TEST_SEED");
    const uint64_t value = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)pnx_monotonic_now();
    printf("# PNX_TEST_SEED=%llu\n", (unsigned long long)value);
    return value;
}

struct runner {
    pthread_t thread;
    uint64_t random;
    unsigned times, got, timeouts;
    bool breaks, varies;
};

static _Atomic int users[1024];

static uint64_t next(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return *random >> 33;
}

static void use(pnx_lease *lease, struct runner *runner)
{
    const int number = number_of(lease) % 1024;
    assert_int_equal(atomic_fetch_add(&users[number], 1), 0);
    if (runner->varies && next(&runner->random) % 64 == 0)
        sched_yield();
    assert_int_equal(atomic_fetch_sub(&users[number], 1), 1);
    if (runner->breaks && next(&runner->random) % 100 == 0)
        pnx_lease_broken(lease);
}

static void *run(void *argument)
{
    struct runner *runner = argument;
    for (unsigned i = 0; i < runner->times; i++) {
        pnx_lease lease = {0};
        pnx_error err = {0};
        const pnx_time deadline =
            runner->varies && next(&runner->random) % 16 == 0
                ? pnx_monotonic_now() + (pnx_time)(next(&runner->random) % 50000)
                : pnx_monotonic_now() + PNX_TEST_PATIENCE;
        const pnx_status status = pnx_pool_acquire(world.pool, deadline, &lease, &err);
        if (status == PNX_OK) {
            runner->got++;
            use(&lease, runner);
            pnx_lease_return(&lease);
        } else {
            if (status != PNX_ETIMEOUT && status != PNX_EBUSY)
                fail_msg("%s", err.message);
            assert_true(runner->varies);
            runner->timeouts++;
        }
    }
    return NULL;
}

static void start(struct runner *runners, unsigned count, struct runner like, uint64_t from)
{
    for (unsigned i = 0; i < count; i++) {
        runners[i] = like;
        runners[i].random = from + i * 7919;
        assert_int_equal(pthread_create(&runners[i].thread, NULL, run, &runners[i]), 0);
    }
}

static uint64_t join(struct runner *runners, unsigned count)
{
    uint64_t got = 0;
    for (unsigned i = 0; i < count; i++) {
        pthread_join(runners[i].thread, NULL);
        got += runners[i].got;
    }
    return got;
}

static void nobody_shares(pnx_pool_order order, const pnx_pool_manager *manager, bool breaks)
{
    make_pool((pnx_pool_config){
        .max = 3, .order = order, .manager = manager, .validate_window = PNX_MS(1)});
    struct runner runners[8];
    start(runners, 8, (struct runner){.times = effort(20000), .breaks = breaks, .varies = true},
          seed());
    const uint64_t got = join(runners, 8);
    assert_int_equal(stats_of().acquired, got);
    assert_int_equal(stats_of().leased, 0);
    assert_int_equal(stats_of().waiting, 0);
    assert_true(world.alive_max <= 3); /* never more than max, those that are closing included */
    check_account();
}

static void nobody_shares_lifo(void **state)
{
    (void)state;
    nobody_shares(PNX_POOL_LIFO, &plain, false);
}

static void nobody_shares_fifo(void **state)
{
    (void)state;
    nobody_shares(PNX_POOL_FIFO, &plain, false);
}

static void nobody_shares_when_they_break(void **state)
{
    (void)state;
    nobody_shares(PNX_POOL_LIFO, &full, true);
    assert_true(stats_of().broken > 0);
}

static void nobody_shares_what_is_reset(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 3, .manager = &resetting});
    struct runner runners[4];
    start(runners, 4, (struct runner){.times = effort(2000), .varies = true}, seed());
    const uint64_t got = join(runners, 4);
    assert_int_equal(stats_of().acquired, got);
    assert_true((uint64_t)world.resets >= got / 2);
}

/* Meanwhile the pool is evicted, resized, suspended and resumed. */
static void nobody_shares_while_it_changes(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 4, .min = 1});
    struct runner runners[6];
    uint64_t random = seed();
    start(runners, 6, (struct runner){.times = effort(10000), .varies = true}, random);
    for (unsigned i = 0; i < effort(300); i++) {
        switch (next(&random) % 4) {
        case 0:
            pnx_pool_evict(world.pool);
            break;
        case 1:
            assert_int_equal(
                pnx_pool_resize(world.pool, 0, 1 + (unsigned)(next(&random) % 6), &world.err),
                PNX_OK);
            break;
        case 2:
            pnx_pool_suspend(world.pool);
            sched_yield();
            pnx_pool_resume(world.pool);
            break;
        default: {
            pnx_lease lease = {0};
            if (pnx_pool_try(world.pool, &lease, &world.err) == PNX_OK) {
                (void)pnx_release_later(world.registry, pnx_lease_id(&lease), NULL);
                pnx_lease_return(&lease);
            }
        }
        }
        check_account();
    }
    (void)join(runners, 6);
    assert_int_equal(stats_of().leased, 0);
    assert_true(world.alive_max <= 6);
}

/* ---- fairness -------------------------------------------------------------------------------- */

static _Atomic bool stop;
static unsigned turns; /* written by who has the lease */

static void *take_turns(void *unused)
{
    (void)unused;
    pnx_error err = {0};
    while (!atomic_load(&stop)) {
        pnx_lease lease = {0};
        if (pnx_pool_acquire(world.pool, pnx_monotonic_now() + PNX_TEST_PATIENCE, &lease, &err) !=
            PNX_OK)
            fail_msg("%s", err.message);
        turns++;
        pnx_lease_return(&lease);
    }
    return NULL;
}

/*
 * One waits at the head while others do nothing but acquire and return: at most `bypass_max` of
 * them overtake it. The pool is full when it queues up, so that it surely waits; there is one
 * entry, so that the turns until it got it are all those that overtook it.
 */
static void the_bound_holds(void **state)
{
    (void)state;
    enum { BOUND = 4, OTHERS = 3 };
    make_pool((pnx_pool_config){.max = 1, .bypass_max = BOUND});
    for (unsigned round = 0; round < effort(200); round++) {
        pnx_lease held = get(), mine = {0};
        atomic_store(&stop, false);
        turns = 0;
        pnx_pool_wait wait = {0};
        const pnx_pool_want want = {.deadline = PNX_FOREVER};
        assert_int_equal(pnx_pool_begin(world.pool, &want, &wait, &mine, &world.err), PNX_PENDING);
        pthread_t others[OTHERS];
        for (unsigned i = 0; i < OTHERS; i++)
            assert_int_equal(pthread_create(&others[i], NULL, take_turns, NULL), 0);
        pnx_lease_return(&held);
        assert_int_equal(pnx_pool_await(&wait, &mine, &world.err), PNX_OK);
        const unsigned overtook = turns;
        pnx_lease_return(&mine);
        atomic_store(&stop, true);
        for (unsigned i = 0; i < OTHERS; i++)
            pthread_join(others[i], NULL);
        assert_true(overtook <= BOUND);
    }
    assert_true(stats_of().bypassed_max <= BOUND);
}

struct blocked {
    pthread_t thread;
    _Atomic bool done;
};

static void *wait_in_vain_or_not(void *argument)
{
    struct blocked *blocked = argument;
    pnx_lease lease = {0};
    pnx_error err = {0};
    if (pnx_pool_acquire(world.pool, pnx_monotonic_now() + PNX_TEST_PATIENCE, &lease, &err) !=
        PNX_OK)
        fail_msg("%s", err.message);
    atomic_store(&blocked->done, true);
    pnx_lease_return(&lease);
    return NULL;
}

/* One that blocks is served however busy two others are: counted, not timed. */
static void nobody_starves(void **state)
{
    (void)state;
    enum { BOUND = 1000 };
    make_pool((pnx_pool_config){.max = 1, .bypass_max = BOUND});
    for (unsigned round = 0; round < effort(100); round++) {
        pnx_lease held = get();
        struct blocked blocked = {.done = false};
        assert_int_equal(pthread_create(&blocked.thread, NULL, wait_in_vain_or_not, &blocked), 0);
        while (stats_of().waiting == 0)
            sched_yield();
        unsigned times = 0;
        pnx_lease_return(&held);
        while (!atomic_load(&blocked.done)) {
            held = get();
            times += !atomic_load(&blocked.done);
            pnx_lease_return(&held);
        }
        pthread_join(blocked.thread, NULL);
        assert_true(times <= BOUND + 1);
    }
    assert_true(stats_of().bypassed_max <= BOUND);
}

static _Atomic unsigned shares[THREADS_MAX];
static _Atomic unsigned total;
static unsigned total_max;

enum { SHARING = 8 };

static void *hold_a_while(void *argument)
{
    _Atomic unsigned *share = argument;
    pnx_error err = {0};
    for (;;) {
        pnx_lease lease = {0};
        if (pnx_pool_acquire(world.pool, pnx_monotonic_now() + PNX_TEST_PATIENCE, &lease, &err) !=
            PNX_OK)
            fail_msg("%s", err.message);
        const bool goes_on = atomic_load(&total) < total_max;
        if (goes_on) {
            atomic_fetch_add(&total, 1);
            atomic_fetch_add(share, 1);
        }
        /* Until all others wait: whoever does not wants nothing, and is owed nothing. */
        while (stats_of().waiting < SHARING - 1 && atomic_load(&total) < total_max)
            sched_yield();
        pnx_lease_return(&lease);
        if (!goes_on)
            return NULL;
    }
}

/*
 * In strict order all get the same: Jain's index of what 8 threads get. From one entry only, for
 * with two a holder that is kept from its CPU holds for longer, and gets less, as it should.
 */
static void everybody_gets_the_same(void **state)
{
    (void)state;
    enum { THREADS = SHARING };
    make_pool((pnx_pool_config){.max = 1, .bypass_max = UINT_MAX});
    total_max = effort(4000);
    atomic_store(&total, 0);
    pnx_lease held = get();
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        atomic_store(&shares[i], 0);
        assert_int_equal(pthread_create(&threads[i], NULL, hold_a_while, &shares[i]), 0);
    }
    while (stats_of().waiting < THREADS)
        sched_yield();
    pnx_lease_return(&held);
    double sum = 0, squares = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        sum += shares[i];
        squares += (double)shares[i] * shares[i];
    }
    const double jain = sum * sum / (THREADS * squares);
    printf("# Jain's index %.6f\n", jain);
    assert_true(jain >= 0.9999);
    assert_int_equal(stats_of().bypassed, 0);
}

/* ---- what hangs ------------------------------------------------------------------------------ */

/* Who is woken by the tick may be here before the tick has told what it saw. */
static void await_told(pnx_pool_event_type type)
{
    const pnx_time patience = soon();
    for (unsigned told = 0; told == 0; sched_yield()) {
        assert_true(pnx_monotonic_now() < patience);
        pthread_mutex_lock(&world.lock);
        told = world.told[type];
        pthread_mutex_unlock(&world.lock);
    }
}

/* An acquire ends at its deadline although create does not. */
static void a_hanging_create_holds_nobody_up(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 1, .create_timeout = PNX_MS(20)});
    atomic_store(&world.hang, 1);
    pnx_pool_wait wait = {0};
    pnx_lease lease = {0};
    const pnx_pool_want want = {.deadline = PNX_FOREVER};
    assert_int_equal(pnx_pool_begin(world.pool, &want, &wait, &lease, &world.err), PNX_PENDING);
    await_told(PNX_POOL_CREATE_LATE);
    sem_wait(&world.hangs);
    pnx_lease none = {0};
    assert_int_equal(
        pnx_pool_acquire(world.pool, pnx_monotonic_now() + PNX_MS(1), &none, &world.err),
        PNX_ETIMEOUT);
    assert_non_null(strstr(world.err.message, "1 being created"));
    assert_non_null(strstr(world.err.cause.message, "did not end in time"));
    atomic_store(&world.hang, 0);
    sem_post(&world.go);
    /* What came late is used. */
    assert_int_equal(pnx_pool_await(&wait, &lease, &world.err), PNX_OK);
    assert_int_equal(number_of(&lease), 1);
    pnx_lease_return(&lease);
    assert_int_equal(world.made, 1);
}

/* A create that hangs for good blocks one place, not the pool. */
static void another_create_follows_one_that_is_late(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 3, .create_timeout = PNX_MS(20)});
    atomic_store(&world.hang, 1);
    pnx_pool_wait wait = {0};
    pnx_lease lease = {0};
    const pnx_pool_want want = {.deadline = soon()};
    assert_int_equal(pnx_pool_begin(world.pool, &want, &wait, &lease, &world.err), PNX_PENDING);
    sem_wait(&world.hangs);
    atomic_store(&world.hang, 0);
    assert_int_equal(pnx_pool_await(&wait, &lease, &world.err), PNX_OK);
    assert_true(stats_of().creating >= 1); /* the first, still */
    sem_post(&world.go);
    pnx_lease_return(&lease);
    await_told(PNX_POOL_CREATE_LATE);
}

/* A create that ends after the close leaves nothing behind, not even a timer. */
static void closed_during_a_create(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 1});
    atomic_store(&world.hang, 1);
    pnx_lease lease = {0};
    pnx_pool_wait wait = {0};
    const pnx_pool_want want = {.deadline = PNX_FOREVER};
    assert_int_equal(pnx_pool_begin(world.pool, &want, &wait, &lease, &world.err), PNX_PENDING);
    sem_wait(&world.hangs);
    pnx_pool_report report;
    assert_int_equal(
        pnx_pool_close(world.pool, pnx_monotonic_now() + PNX_MS(1), &report, &world.err),
        PNX_ETIMEOUT);
    assert_int_equal(report.creating, 1);
    assert_int_equal(pnx_pool_poll(&wait, &lease, &world.err), PNX_ESHUTDOWN);
    assert_int_equal(pnx_pool_destroy(world.pool, &world.err), PNX_EBUSY);
    atomic_store(&world.hang, 0);
    sem_post(&world.go);
    /* Nobody closes it again. */
    const pnx_time patience = soon();
    while (pnx_pool_destroy(world.pool, &world.err) == PNX_EBUSY) {
        assert_true(pnx_monotonic_now() < patience);
        sched_yield();
    }
    world.pool = NULL;
    assert_int_equal(world.destroyed, 1);
}

/* Waits for a create, but a returned one is as good. */
static void a_return_beats_a_hanging_create(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 2});
    pnx_lease held = get();
    atomic_store(&world.hang, 1);
    struct blocked blocked = {.done = false};
    assert_int_equal(pthread_create(&blocked.thread, NULL, wait_in_vain_or_not, &blocked), 0);
    sem_wait(&world.hangs);
    pnx_lease_return(&held);
    pthread_join(blocked.thread, NULL);
    assert_true(atomic_load(&blocked.done));
    atomic_store(&world.hang, 0);
    sem_post(&world.go);
}

static void *cancel(void *wait)
{
    assert_int_equal(pnx_pool_cancel(wait), PNX_OK);
    return NULL;
}

static void canceled_by_another_thread(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 1});
    pnx_lease held = get(), mine = {0};
    for (unsigned i = 0; i < effort(500); i++) {
        pnx_pool_wait wait = {0};
        const pnx_pool_want want = {.deadline = PNX_FOREVER};
        assert_int_equal(pnx_pool_begin(world.pool, &want, &wait, &mine, &world.err), PNX_PENDING);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, cancel, &wait), 0);
        assert_int_equal(pnx_pool_await(&wait, &mine, &world.err), PNX_ECANCELED);
        pthread_join(thread, NULL);
    }
    pnx_lease_return(&held);
}

struct circle {
    pthread_t thread;
    pthread_barrier_t *both;
    pnx_status status;
};

static void *want_two(void *argument)
{
    struct circle *circle = argument;
    pnx_error err = {0};
    pnx_lease a = {0}, b = {0};
    if (pnx_pool_acquire(world.pool, pnx_monotonic_now() + PNX_TEST_PATIENCE, &a, &err) != PNX_OK)
        fail_msg("%s", err.message);
    pthread_barrier_wait(circle->both);
    circle->status =
        pnx_pool_acquire(world.pool, pnx_monotonic_now() + PNX_TEST_PATIENCE, &b, &err);
    pnx_lease_return(&b);
    pnx_lease_return(&a);
    return NULL;
}

/* Two threads hold one each and want another: the one that comes second is told. */
static void a_circle_of_threads_is_told(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 2});
    pthread_barrier_t both;
    pthread_barrier_init(&both, NULL, 2);
    struct circle circles[2] = {{.both = &both}, {.both = &both}};
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&circles[i].thread, NULL, want_two, &circles[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(circles[i].thread, NULL);
    assert_int_equal((circles[0].status == PNX_EDEADLOCK) + (circles[1].status == PNX_EDEADLOCK),
                     1);
    assert_int_equal((circles[0].status == PNX_OK) + (circles[1].status == PNX_OK), 1);
    pthread_barrier_destroy(&both);
}

static unsigned idle_that_nobody_holds(void)
{
    unsigned idle = 0;
    for (uint32_t i = 0; i < atomic_load(&world.pool->span); i++) {
        pnx__pool_entry *entry = &world.pool->entries[i];
        if (pnx__pool_state(pnx__pool_word(entry)) != PNX__POOL_IDLE)
            continue;
        assert_int_equal(atomic_load(&entry->holder), 0);
        idle++;
    }
    return idle;
}

/* Who leases it next says so only a moment after that: until then it must not seem to be held by
 * who had it before, who may be waiting by now, and would be told of a circle. */
static void what_is_idle_is_held_by_nobody(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 1});
    pnx_lease lease = get();
    pnx__pool_entry *entry = lease.entry;
    assert_int_equal(atomic_load(&entry->holder), pnx__pool_thread_id());
    pnx_lease_return(&lease);
    assert_int_equal(idle_that_nobody_holds(), 1);
    lease = get();
    pnx_lease_broken(&lease);
    pnx_lease_return(&lease);
    /* Another one in the same place. */
    assert_int_equal(pnx_pool_warm(world.pool, 1, soon(), &world.err), PNX_OK);
    assert_int_equal(idle_that_nobody_holds(), 1);
}

/* The registry ends first: what the pool holds is given back all the same. */
static void outlived_by_nothing(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 4, .min = 4});
    assert_int_equal(pnx_pool_warm(world.pool, 4, soon(), &world.err), PNX_OK);
    pnx_lease held = get();
    pnx_report report;
    assert_int_equal(pnx_registry_shutdown(world.registry, NULL, &report, &world.err), PNX_OK);
    assert_int_equal(report.leaked, 4);
    assert_int_equal(pnx_counts_imbalance(&report.counts), 0);
    pnx_report_done(&report);
    assert_int_equal(world.destroyed, 4);
    assert_int_equal(pnx_registry_destroy(world.registry, &world.err), PNX_EBUSY);
    pnx_lease_return(&held);
    pnx_lease lease = {0};
    assert_int_not_equal(
        pnx_pool_acquire(world.pool, pnx_monotonic_now() + PNX_MS(50), &lease, &world.err), PNX_OK);
    assert_int_equal(pnx_pool_close(world.pool, soon(), NULL, &world.err), PNX_OK);
    assert_int_equal(pnx_pool_destroy(world.pool, &world.err), PNX_OK);
    assert_int_equal(pnx_registry_destroy(world.registry, &world.err), PNX_OK);
    assert_int_equal(world.alive, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_threads(nobody_shares_lifo),
        on_threads(nobody_shares_fifo),
        on_threads(nobody_shares_when_they_break),
        on_threads(nobody_shares_what_is_reset),
        on_threads(nobody_shares_while_it_changes),
        on_threads(the_bound_holds),
        on_threads(nobody_starves),
        on_threads(everybody_gets_the_same),
        on_threads(a_hanging_create_holds_nobody_up),
        cmocka_unit_test_setup_teardown(another_create_follows_one_that_is_late,
                                        set_up_four_threads, tear_down),
        on_threads(closed_during_a_create),
        on_threads(a_return_beats_a_hanging_create),
        on_threads(canceled_by_another_thread),
        on_threads(a_circle_of_threads_is_told),
        on_threads(what_is_idle_is_held_by_nobody),
        cmocka_unit_test_setup(outlived_by_nothing, set_up_threads),
    };
    return cmocka_run_group_tests_name("pool threads", tests, NULL, NULL);
}
