/* SPDX-License-Identifier: MIT */
/*
 * Random programs against a pool that is obviously right: one array, one queue, no threads, no
 * atomics. After every step both must agree on who has what, who waits, and who was turned away.
 * All waits are begun and polled, so one thread plays many, in virtual time; FIFO order, so that
 * even which thing is lent is known. Again with PNX_TEST_SEED=… when it fails.
 */
#include "support.h"

enum { SLOTS = 8, WAITS = 48 };

/* ---- the model ------------------------------------------------------------------------------- */

enum slot_state { EMPTY, IDLE, LEASED };
enum wait_state { UNUSED, WAITING, SERVED, TIMED_OUT, CANCELED };

static struct {
    struct {
        enum slot_state state;
        int number;     /* of the thing */
        unsigned stamp; /* IDLE: when it was returned */
        bool evicted;
    } slots[SLOTS];
    struct {
        enum wait_state state;
        pnx_time deadline;
        unsigned ticket; /* its place */
        int slot;        /* SERVED */
    } waits[WAITS];
    unsigned max, stamps, tickets;
    int made;
    bool suspended;
} model;

static int model_head(void)
{
    int head = -1;
    for (int i = 0; i < WAITS; i++)
        if (model.waits[i].state == WAITING &&
            (head < 0 || model.waits[i].ticket < model.waits[head].ticket))
            head = i;
    return head;
}

static unsigned model_count(enum slot_state state)
{
    unsigned count = 0;
    for (int i = 0; i < SLOTS; i++)
        count += model.slots[i].state == state;
    return count;
}

static void model_serve(int wait, int slot)
{
    model.slots[slot].state = LEASED;
    model.waits[wait].state = SERVED;
    model.waits[wait].slot = slot;
}

/* Gives what is idle, then what may still be made, to who waits. */
static void model_balance(void)
{
    int head;
    while (!model.suspended && (head = model_head()) >= 0) {
        int first = -1, empty = -1;
        for (int i = SLOTS; i-- > 0;) {
            if (model.slots[i].state == IDLE &&
                (first < 0 || model.slots[i].stamp < model.slots[first].stamp))
                first = i;
            if (model.slots[i].state == EMPTY)
                empty = i;
        }
        if (first >= 0) {
            model_serve(head, first);
        } else if (SLOTS - model_count(EMPTY) < model.max) {
            model.slots[empty].number = ++model.made;
            model.slots[empty].evicted = false;
            model_serve(head, empty);
        } else {
            return;
        }
    }
}

static void model_return(int slot, bool broken)
{
    const bool goes = broken || model.slots[slot].evicted;
    model.slots[slot].state = goes ? EMPTY : IDLE;
    model.slots[slot].evicted = false;
    model.slots[slot].stamp = model.stamps++;
}

static void model_resize(unsigned max)
{
    model.max = max;
    for (int leased = 0; leased < 2; leased++)
        for (int i = SLOTS; i-- > 0;) {
            unsigned stay = 0;
            for (int other = 0; other < SLOTS; other++)
                stay += model.slots[other].state != EMPTY && !model.slots[other].evicted;
            if (stay <= max)
                return;
            if (model.slots[i].state == IDLE)
                model.slots[i].state = EMPTY;
            else if (leased && model.slots[i].state == LEASED)
                model.slots[i].evicted = true;
        }
}

/* ---- the program ----------------------------------------------------------------------------- */

static pnx_pool_wait waits[WAITS];
static pnx_lease leases[WAITS];
static uint64_t random_state;

static unsigned below(unsigned bound)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((random_state >> 33) % bound);
}

/* One of those in that state, by chance; -1: there is none. */
static int some_wait(enum wait_state state)
{
    const int from = (int)below(WAITS);
    for (int i = 0; i < WAITS; i++)
        if (model.waits[(from + i) % WAITS].state == state)
            return (from + i) % WAITS;
    return -1;
}

static void step_begin(void)
{
    const int at = some_wait(UNUSED);
    if (at < 0)
        return;
    /* Between the points in time at which steps are taken, so that there is no doubt. */
    const pnx_time deadline =
        below(3) == 0 ? PNX_FOREVER : pnx_test_clock_now(&world.clock) + PNX_MS(10 * below(20) + 5);
    model.waits[at].state = WAITING;
    model.waits[at].deadline = deadline;
    model.waits[at].ticket = model.tickets++;
    waits[at] = (pnx_pool_wait){0};
    leases[at] = (pnx_lease){0};
    const pnx_status status = pnx_pool_begin(world.pool, &(pnx_pool_want){.deadline = deadline},
                                             &waits[at], &leases[at], &world.err);
    assert_true(status == PNX_OK || status == PNX_PENDING);
    if (status == PNX_OK) {
        model_balance();
        assert_int_equal(model.waits[at].state, SERVED);
        assert_int_equal(number_of(&leases[at]), model.slots[model.waits[at].slot].number);
    }
}

static void step_return(bool broken)
{
    const int at = some_wait(SERVED);
    if (at < 0)
        return;
    if (broken)
        pnx_lease_broken(&leases[at]);
    pnx_lease_return(&leases[at]);
    model_return(model.waits[at].slot, broken);
    model.waits[at].state = UNUSED;
}

static void step_cancel(void)
{
    const int at = some_wait(WAITING);
    if (at < 0)
        return;
    assert_int_equal(pnx_pool_cancel(&waits[at]), PNX_OK);
    model.waits[at].state = CANCELED;
}

static void step_pass(void)
{
    pass(PNX_MS(10 * (1 + below(8))));
    for (int i = 0; i < WAITS; i++)
        if (model.waits[i].state == WAITING &&
            model.waits[i].deadline < pnx_test_clock_now(&world.clock))
            model.waits[i].state = TIMED_OUT;
}

static void step_evict(void)
{
    pnx_pool_evict(world.pool);
    for (int i = 0; i < SLOTS; i++) {
        if (model.slots[i].state == IDLE)
            model.slots[i].state = EMPTY;
        model.slots[i].evicted = model.slots[i].state == LEASED;
    }
}

static void step(void)
{
    switch (below(40)) {
    default:
        step_begin();
        break;
    case 0 ... 15:
        step_return(false);
        break;
    case 16 ... 18:
        step_return(true);
        break;
    case 19 ... 20:
        step_cancel();
        break;
    case 21 ... 22:
        step_pass();
        break;
    case 23:
        step_evict();
        break;
    case 24: {
        const unsigned max = 1 + below(SLOTS);
        assert_int_equal(pnx_pool_resize(world.pool, 0, max, &world.err), PNX_OK);
        model_resize(max);
        break;
    }
    case 25:
        if (model.suspended)
            pnx_pool_resume(world.pool);
        else
            pnx_pool_suspend(world.pool);
        model.suspended = !model.suspended;
        break;
    }
}

static void compare_waits(void)
{
    static const pnx_status expected[] = {
        [WAITING] = PNX_PENDING, [TIMED_OUT] = PNX_ETIMEOUT, [CANCELED] = PNX_ECANCELED};
    for (int i = 0; i < WAITS; i++) {
        if (model.waits[i].state == UNUSED)
            continue;
        if (model.waits[i].state != SERVED) {
            assert_int_equal(pnx_pool_poll(&waits[i], &leases[i], &world.err),
                             expected[model.waits[i].state]);
            if (model.waits[i].state != WAITING)
                model.waits[i].state = UNUSED;
            continue;
        }
        if (leases[i].entry == NULL)
            assert_int_equal(pnx_pool_poll(&waits[i], &leases[i], &world.err), PNX_OK);
        assert_int_equal(number_of(&leases[i]), model.slots[model.waits[i].slot].number);
    }
}

static void compare(void)
{
    settle();
    model_balance();
    compare_waits();
    const pnx_pool_stats stats = stats_of();
    unsigned waiting = 0;
    for (int i = 0; i < WAITS; i++)
        waiting += model.waits[i].state == WAITING;
    assert_int_equal(stats.waiting, waiting);
    assert_int_equal(stats.leased, model_count(LEASED));
    assert_int_equal(stats.idle, model_count(IDLE));
    assert_int_equal(stats.size, SLOTS - model_count(EMPTY));
    assert_int_equal(world.made, model.made);
    assert_int_equal(world.alive, stats.size);
    assert_true(stats.size <= SLOTS);
    check_account();
}

static void run_program(uint64_t seed, unsigned steps)
{
    memset(&model, 0, sizeof model);
    memset(leases, 0, sizeof leases);
    random_state = seed;
    model.max = 1 + below(SLOTS);
    make_pool((pnx_pool_config){.max = model.max,
                                .order = PNX_POOL_FIFO,
                                .create_concurrency = 1 + below(4),
                                .max_lifetime = PNX_FOREVER,
                                .idle_timeout = PNX_FOREVER,
                                .keepalive = PNX_FOREVER});
    for (unsigned i = 0; i < steps; i++) {
        step();
        compare();
    }
    for (int i = 0; i < WAITS; i++)
        if (model.waits[i].state == WAITING)
            assert_int_equal(pnx_pool_cancel(&waits[i]), PNX_OK);
    for (int i = 0; i < WAITS; i++)
        pnx_lease_return(&leases[i]);
    assert_int_equal(pnx_pool_close(world.pool, soon(), NULL, &world.err), PNX_OK);
    assert_int_equal(pnx_pool_destroy(world.pool, &world.err), PNX_OK);
    world.pool = NULL;
    assert_int_equal(world.alive, 0);
    assert_int_equal(world.made, world.destroyed);
    world.made = world.destroyed = 0;
}

static void programs(void **state)
{
    (void)state;
    const char *text = getenv("PNX_TEST_SEED");
    const char *effort = getenv("PNX_TEST_EFFORT");
    const unsigned percent = effort != NULL ? (unsigned)strtoul(effort, NULL, 10) : 100;
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)pnx_monotonic_now();
    const unsigned count = text != NULL ? 1 : 2 + 2 * percent;
    for (unsigned i = 0; i < count; i++, seed += 1000003) {
        if (i == 0 || text != NULL)
            printf("# the first of %u programs: PNX_TEST_SEED=%llu\n", count,
                   (unsigned long long)seed);
        world.events[0] = '\0';
        snprintf(world.note, sizeof world.note, "PNX_TEST_SEED=%llu", (unsigned long long)seed);
        run_program(seed, 400);
    }
    world.note[0] = '\0';
}

/* Says with which seed it failed. */
static int tear_down_program(void **state)
{
    if (world.note[0] != '\0') {
        printf("# again with %s\n", world.note);
        return -1;
    }
    return tear_down(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(programs, set_up_manual, tear_down_program),
    };
    return cmocka_run_group_tests_name("pool model", tests, NULL, NULL);
}
