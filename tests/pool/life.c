/* SPDX-License-Identifier: MIT */
/* The life of an entry, in virtual time: made, lent, checked, retired, broken, lost; and the ends.
 *  */
#include "support.h"

static void made_when_wanted(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 2});
    settle();
    assert_int_equal(world.made, 0);
    pnx_lease a = get(), b = get();
    assert_int_equal(world.made, 2);
    assert_int_not_equal(number_of(&a), number_of(&b));
    check_account();
    pnx_counts counts;
    pnx_registry_counts(world.registry, &counts);
    assert_true(counts.live >= 2);
    pnx_lease_return(&a);
    pnx_lease_return(&a); /* twice does nothing */
    pnx_lease c = get();
    assert_int_equal(world.made, 2);
    pnx_lease_return(&b);
    pnx_lease_return(&c);
}

static void initial_and_minimum_are_made_at_once(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.min = 2, .initial = 3, .max = 5, .idle_timeout = PNX_S(60)});
    assert_int_equal(pnx_pool_warm(world.pool, 3, soon(), &world.err), PNX_OK);
    assert_int_equal(world.made, 3);
    pass(PNX_S(61));
    assert_int_equal(stats_of().size, 2);
    assert_int_equal(stats_of().idle_timed_out, 1);
    pass(PNX_S(600));
    assert_int_equal(stats_of().size, 2);
    /* One breaks: it is made again, though nobody asks. */
    pnx_lease a = get();
    pnx_lease_broken(&a);
    pnx_lease_return(&a);
    settle();
    assert_int_equal(stats_of().size, 2);
    assert_int_equal(stats_of().broken, 1);
    assert_int_equal(world.made, 4);
}

static void idle_costs_nothing(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 2,
                                .max_lifetime = PNX_FOREVER,
                                .keepalive = PNX_FOREVER,
                                .idle_timeout = PNX_FOREVER,
                                .held_too_long = PNX_S(60)});
    pnx_lease a = get();
    pnx_lease_return(&a);
    pass(PNX_S(61)); /* the watch over leases looks once more, and finds none */
    assert_true(pnx_registry_next_due(world.registry) == PNX_FOREVER);
}

static void lifo_and_fifo(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 3});
    pnx_lease a = get(), b = get(), c = get();
    const int last = number_of(&b), first = number_of(&a), middle = number_of(&c);
    pnx_lease_return(&a);
    pnx_lease_return(&c);
    pnx_lease_return(&b);
    a = get(), b = get(), c = get();
    assert_int_equal(number_of(&a), last);
    assert_int_equal(number_of(&b), middle);
    assert_int_equal(number_of(&c), first);
    pnx_lease_return(&a);
    pnx_lease_return(&b);
    pnx_lease_return(&c);
}

static void first_in_first_out(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 3, .order = PNX_POOL_FIFO});
    pnx_lease a = get(), b = get(), c = get();
    const int order[] = {number_of(&b), number_of(&a), number_of(&c)};
    pnx_lease_return(&b);
    pnx_lease_return(&a);
    pnx_lease_return(&c);
    for (int i = 0; i < 30; i++) {
        pnx_lease lease = get();
        assert_int_equal(number_of(&lease), order[i % 3]);
        pnx_lease_return(&lease);
    }
}

static void validated_only_after_the_window(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 1, .manager = &full, .validate_window = PNX_MS(500)});
    pnx_lease a = get();
    pnx_lease_return(&a);
    for (int i = 0; i < 10; i++) {
        pass(PNX_MS(499));
        a = get();
        pnx_lease_return(&a);
    }
    assert_int_equal(world.validated, 0);
    pass(PNX_MS(500));
    a = get();
    assert_int_equal(world.validated, 1);
    pnx_lease_return(&a);
    /* It does not pass: another one is made, within the same acquire. */
    world.validate_fails = 1;
    pass(PNX_S(1));
    a = get();
    assert_int_equal(world.made, 2);
    assert_int_equal(stats_of().invalid, 1);
    pnx_lease_return(&a);
}

static void kept_alive(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.min = 3, .max = 3, .manager = &full, .keepalive = PNX_S(100)});
    settle();
    pass(PNX_S(89));
    assert_int_equal(world.validated, 0);
    pass(PNX_S(12));
    assert_int_equal(world.validated, 3); /* from 90 to 100 seconds */
    world.validate_fails = 1;
    pass(PNX_S(100));
    assert_int_equal(stats_of().invalid, 1);
    assert_int_equal(stats_of().size, 3);
    assert_int_equal(world.made, 4);
}

/* Looking after what is idle is no use of it. */
static void times_out_although_it_is_kept_alive(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){
        .max = 3, .manager = &full, .keepalive = PNX_S(10), .idle_timeout = PNX_S(60)});
    pnx_lease a = get(), b = get(), c = get();
    const int first = number_of(&c), second = number_of(&b);
    pnx_lease_return(&a);
    pass(PNX_S(1));
    pnx_lease_return(&b);
    pass(PNX_S(5)); /* keep-alive comes for one after the other */
    pnx_lease_return(&c);
    pass(PNX_S(30));
    assert_true(world.validated >= 6);
    const int validated = world.validated;
    c = get();
    b = get();
    assert_int_equal(number_of(&c), first); /* the order is that of use */
    assert_int_equal(number_of(&b), second);
    assert_true(world.validated <= validated + 2);
    pnx_lease_return(&b);
    pnx_lease_return(&c);
    pass(PNX_S(61));
    assert_int_equal(stats_of().size, 0);
    assert_int_equal(stats_of().idle_timed_out, 3);
}

static void what_was_just_checked_is_not_checked_again(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.min = 1, .max = 1, .manager = &full, .keepalive = PNX_S(10)});
    settle();
    while (world.validated == 0)
        pass(PNX_MS(50));
    pnx_lease a = get();
    assert_int_equal(world.validated, 1);
    pnx_lease_return(&a);
}

/* Nobody wants the others; and the server may be in trouble. */
static void one_waiter_has_one_validated(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.min = 6, .max = 6, .manager = &full});
    assert_int_equal(pnx_pool_warm(world.pool, 6, soon(), &world.err), PNX_OK);
    pass(PNX_S(1));
    pnx_lease a = get();
    assert_int_equal(world.validated, 1);
    pnx_pool_wait waits[2] = {0};
    pnx_lease b = {0}, c = {0};
    const pnx_pool_want want = {.deadline = soon()};
    assert_int_equal(pnx_pool_begin(world.pool, &want, &waits[0], &b, &world.err), PNX_PENDING);
    assert_int_equal(pnx_pool_begin(world.pool, &want, &waits[1], &c, &world.err), PNX_PENDING);
    assert_int_equal(stats_of().checking, 2);
    settle();
    assert_int_equal(pnx_pool_poll(&waits[0], &b, &world.err), PNX_OK);
    assert_int_equal(pnx_pool_poll(&waits[1], &c, &world.err), PNX_OK);
    assert_int_equal(world.validated, 3);
    pnx_lease_return(&a);
    pnx_lease_return(&b);
    pnx_lease_return(&c);
}

/* However many things happen at once. */
static void every_event_is_told(void **state)
{
    (void)state;
    enum { MANY = 40 };
    pnx_lease held[3];
    make_pool((pnx_pool_config){.min = MANY,
                                .max = MANY,
                                .create_concurrency = MANY,
                                .max_lifetime = PNX_S(100),
                                .held_too_long = PNX_S(50)});
    assert_int_equal(pnx_pool_warm(world.pool, MANY, soon(), &world.err), PNX_OK);
    assert_int_equal(world.told[PNX_POOL_CREATED], MANY);
    for (int i = 0; i < 3; i++)
        held[i] = get();
    pnx_pool_evict(world.pool);
    settle();
    assert_int_equal(world.told[PNX_POOL_EVICTED], MANY);
    assert_int_equal(stats_of().evicted, MANY);
    pass(PNX_S(60));
    assert_int_equal(world.told[PNX_POOL_HELD_TOO_LONG], 3);
    for (int i = 0; i < 3; i++)
        pnx_lease_return(&held[i]);
    for (int i = 0; i < 3; i++)
        held[i] = get();
    pass(PNX_S(101)); /* those that are lent, too, though they go when they are returned */
    assert_true(world.told[PNX_POOL_RETIRED] >= MANY);
    assert_int_equal(world.told[PNX_POOL_RETIRED], stats_of().retired);
    for (int i = 0; i < 3; i++)
        pnx_lease_return(&held[i]);
    assert_int_equal(pnx_pool_resize(world.pool, 0, 2, &world.err), PNX_OK);
    settle();
    assert_int_equal(stats_of().size, 2);
    assert_int_equal(world.told[PNX_POOL_EVICTED], stats_of().evicted);
}

static void retired_with_jitter(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.min = 8,
                                .max = 8,
                                .create_concurrency = 8,
                                .max_lifetime = PNX_S(400),
                                .idle_timeout = PNX_FOREVER});
    settle();
    pnx_lease a = get();
    const int held = number_of(&a);
    pass(PNX_S(389));
    assert_int_equal(world.made, 8);
    pass(PNX_S(5));
    const int some = stats_of().retired;
    assert_true(some > 0 && some < 8); /* not all at once */
    pass(PNX_S(7));
    assert_int_equal(stats_of().retired, 8);
    assert_int_equal(stats_of().size, 8);
    assert_int_equal(number_of(&a), held); /* whoever has one keeps it */
    assert_int_equal(world.alive, 8);
    pnx_lease_return(&a);
    settle();
    assert_int_equal(world.destroyed, 8);
    assert_int_equal(stats_of().size, 8);
}

static void reset_on_return(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 1, .manager = &resetting});
    pnx_lease a = get();
    pnx_lease_return(&a);
    assert_int_equal(stats_of().checking, 1);
    assert_int_equal(world.resets, 0); /* not in this thread */
    settle();
    assert_int_equal(world.resets, 1);
    world.reset_fails = 1;
    a = get();
    pnx_lease_return(&a);
    a = get();
    assert_int_equal(world.made, 2);
    assert_int_equal(stats_of().reset_failed, 1);
    pnx_lease_return(&a);
}

static void reset_inline(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 1, .manager = &resetting_inline});
    pnx_lease a = get();
    pnx_lease_return(&a);
    assert_int_equal(world.resets, 1);
    world.reset_fails = 1;
    a = get();
    pnx_lease_return(&a);
    assert_int_equal(stats_of().reset_failed, 1);
    settle();
    assert_int_equal(stats_of().size, 0);
}

static void found_broken(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 1, .manager = &full});
    pnx_lease a = get();
    world.broken = number_of(&a);
    pnx_lease_return(&a);
    a = get();
    assert_int_equal(world.made, 2);
    assert_int_equal(stats_of().broken, 1);
    pnx_lease_return(&a);
}

static void released_behind_its_back(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 2});
    pnx_lease a = get(), b = get();
    const pnx_id idle = pnx_lease_id(&a), held = pnx_lease_id(&b);
    pnx_lease_return(&a);
    assert_int_equal(pnx_release_later(world.registry, idle, NULL), PNX_OK);
    assert_int_equal(pnx_release_later(world.registry, held, NULL), PNX_OK);
    a = get(); /* not the one that is about to be released */
    assert_int_equal(number_of(&a), 3);
    settle();
    assert_int_equal(stats_of().lost, 2);
    assert_int_equal(world.told[PNX_POOL_LOST], 2);
    pnx_lease_return(&b);
    pnx_lease_return(&a);
    a = get();
    assert_int_equal(number_of(&a), 3);
    pnx_lease_return(&a);
    assert_int_equal(stats_of().size, 1);
}

static void taken_out(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 1});
    pnx_lease a = get();
    thing *mine = NULL;
    assert_int_equal(pnx_lease_take(&a, &mine, &world.err), PNX_OK);
    assert_int_equal(mine->number, 1);
    pnx_lease_return(&a);
    assert_int_equal(pnx_lease_take(&a, NULL, &world.err), PNX_EALREADY);
    a = get();
    assert_int_equal(number_of(&a), 2);
    pnx_lease_return(&a);
    assert_int_equal(world.alive, 2);
    atomic_fetch_sub(&world.alive, 1); /* the caller gives it back */
    atomic_fetch_add(&world.destroyed, 1);
}

static void resized_while_it_runs(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 4});
    pnx_lease leases[6];
    for (int i = 0; i < 4; i++)
        leases[i] = get();
    pnx_lease_return(&leases[3]);
    assert_int_equal(pnx_pool_resize(world.pool, 0, 2, &world.err), PNX_OK);
    settle();
    assert_int_equal(stats_of().size, 3); /* the idle one went, a leased one will */
    pnx_lease_return(&leases[0]);
    pnx_lease_return(&leases[1]);
    pnx_lease_return(&leases[2]);
    settle();
    assert_int_equal(stats_of().size, 2);
    assert_int_equal(pnx_pool_resize(world.pool, 0, 6, &world.err), PNX_OK);
    for (int i = 0; i < 6; i++)
        leases[i] = get();
    assert_int_equal(stats_of().size, 6);
    for (int i = 0; i < 6; i++)
        pnx_lease_return(&leases[i]);
    assert_int_equal(pnx_pool_resize(world.pool, 3, 2, &world.err), PNX_EINVAL);
}

static void evicted_softly(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 3, .min = 3});
    settle();
    pnx_lease a = get();
    pnx_pool_evict(world.pool);
    settle();
    assert_int_equal(world.destroyed, 2);
    assert_int_equal(number_of(&a) > 0, 1);
    pnx_lease_return(&a);
    settle();
    assert_int_equal(world.destroyed, 3);
    assert_int_equal(stats_of().size, 3);
    assert_int_equal(world.made, 6);
    assert_int_equal(stats_of().evicted, 3);
}

static void drained_and_resumed(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 2});
    pnx_lease a = get(), b = {0};
    assert_int_equal(pnx_pool_drain(world.pool, soon(), &world.err), PNX_ETIMEOUT);
    assert_non_null(strstr(world.err.message, "1 of 2 leased"));
    assert_non_null(strstr(world.err.message, "suspended"));
    assert_non_null(strstr(world.err.message, "support.h"));
    pnx_lease_return(&a);
    assert_int_equal(pnx_pool_drain(world.pool, soon(), &world.err), PNX_OK);
    assert_int_equal(world.alive, 0);
    assert_int_equal(pnx_pool_try(world.pool, &b, &world.err), PNX_EBUSY);
    pnx_pool_resume(world.pool);
    b = get();
    pnx_lease_return(&b);
}

/* What is still to be created is drained, too; who waits for it is served after the resume. */
static void drained_while_one_is_created(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 2});
    pnx_pool_wait wait = {0};
    pnx_lease a = {0};
    const pnx_pool_want want = {.deadline = PNX_FOREVER};
    assert_int_equal(pnx_pool_begin(world.pool, &want, &wait, &a, &world.err), PNX_PENDING);
    assert_int_equal(stats_of().creating, 1);
    assert_int_equal(pnx_pool_drain(world.pool, soon(), &world.err), PNX_OK);
    assert_int_equal(world.alive, 0);
    assert_int_equal(pnx_pool_poll(&wait, &a, &world.err), PNX_PENDING);
    pnx_pool_resume(world.pool);
    settle();
    assert_int_equal(pnx_pool_poll(&wait, &a, &world.err), PNX_OK);
    assert_int_equal(number_of(&a), 2);
    pnx_lease_return(&a);
}

static void closed_with_a_report(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 3});
    pnx_lease a = get();
    pass(PNX_S(5));
    pnx_lease b = get();
    pnx_pool_report report;
    assert_int_equal(pnx_pool_close(world.pool, soon(), &report, &world.err), PNX_ETIMEOUT);
    assert_int_equal(report.held, 2);
    assert_int_equal(report.holder_count, 2);
    assert_true(report.holders[0].held >= PNX_S(5));
    assert_true(report.holders[1].held < PNX_S(5));
    assert_string_equal(report.holders[0].site->function, "get");
    assert_int_equal(pnx_pool_destroy(world.pool, &world.err), PNX_EBUSY);
    pnx_lease c = {0};
    assert_int_equal(pnx_pool_acquire(world.pool, soon(), &c, &world.err), PNX_ESHUTDOWN);
    pnx_lease_return(&a);
    pnx_lease_return(&b);
    settle();
    assert_int_equal(world.alive, 0);
}

static void held_too_long(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 3, .held_too_long = PNX_S(30)});
    pnx_lease a = get();
    pass(PNX_S(29));
    assert_int_equal(stats_of().held_too_long, 0);
    pass(PNX_S(1) + PNX_MS(2));
    assert_int_equal(stats_of().held_too_long, 1);
    assert_non_null(strstr(world.events, "held too long"));
    assert_string_equal(world.last[PNX_POOL_HELD_TOO_LONG].site->function, "get");
    assert_true(world.last[PNX_POOL_HELD_TOO_LONG].took >= PNX_S(30));
    assert_true(world.last[PNX_POOL_HELD_TOO_LONG].thread > 0);
    pnx_health health;
    assert_int_equal(pnx_pool_get_health(world.pool, &health), PNX_HEALTH_DEGRADED);
    pass(PNX_S(300));
    assert_int_equal(stats_of().held_too_long, 1); /* told once */
    pnx_lease_return(&a);
    pass(PNX_S(31));
    assert_int_equal(pnx_pool_get_health(world.pool, &health), PNX_HEALTH_OK);
    a = get();
    pass(PNX_S(31));
    assert_int_equal(stats_of().held_too_long, 2);
    pnx_lease_return(&a);
}

static void backs_off_and_comes_back_slowly(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 8,
                                .min = 8,
                                .create_concurrency = 8,
                                .backoff = PNX_MS(100),
                                .backoff_max = PNX_S(1)});
    world.create_fails = 1000;
    settle();
    int tries = 1000 - world.create_fails;
    assert_int_equal(tries, 8); /* nobody could know */
    pass(PNX_S(20));
    tries = 1000 - world.create_fails - tries;
    assert_true(tries >= 20 && tries <= 50); /* one at a time, up to a second apart */
    assert_int_equal(stats_of().circuit, PNX_CIRCUIT_OPEN);
    assert_non_null(strstr(world.events, "circuit open"));
    assert_non_null(strstr(world.last_error[PNX_POOL_CREATE_FAILED].message, "server says no"));
    assert_non_null(strstr(world.last_error[PNX_POOL_CIRCUIT_OPEN].message, "server says no"));
    pnx_health health;
    assert_int_equal(pnx_pool_get_health(world.pool, &health), PNX_HEALTH_FAILING);
    pnx_lease a = {0};
    assert_int_equal(pnx_pool_acquire(world.pool, soon(), &a, &world.err), PNX_EBUSY);
    assert_non_null(strstr(world.err.cause.message, "server says no"));
    world.create_fails = 0;
    pass(PNX_S(1));
    assert_int_equal(stats_of().size, 8);
    assert_int_equal(stats_of().circuit, PNX_CIRCUIT_CLOSED);
    assert_non_null(strstr(world.events, "circuit half open\ncreated\ncircuit closed\n") != NULL
                        ? world.events
                        : strstr(world.events, "circuit closed"));
}

static void fails_fast_if_asked_to(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 2, .fail_fast = true, .circuit_failures = 2});
    world.create_fails = 1000;
    pnx_pool_wait wait = {0};
    pnx_lease a = {0};
    const pnx_pool_want want = {.deadline = soon()};
    assert_int_equal(pnx_pool_begin(world.pool, &want, &wait, &a, &world.err), PNX_PENDING);
    for (int i = 0; i < 100 && pnx_pool_poll(&wait, &a, &world.err) == PNX_PENDING; i++)
        pass(PNX_MS(10));
    assert_int_equal(pnx_pool_poll(&wait, &a, &world.err), PNX_EFAILED);
    assert_int_equal(pnx_pool_begin(world.pool, &want, &wait, &a, &world.err), PNX_EFAILED);
    printf("# %s\n", world.err.message);
    assert_non_null(strstr(world.err.cause.message, "server says no"));
}

static void says_what_is_wrong_with_a_configuration(void **state)
{
    (void)state;
    pnx_pool *pool = NULL;
    pnx_error err = {0};
    const struct {
        pnx_pool_config config;
        const char *word;
    } bad[] = {
        {{.kind = NULL, .manager = &plain}, "kind"},
        {{.kind = thing_kind}, "manager"},
        {{.kind = thing_kind, .manager = &plain, .min = 3, .max = 2}, "min"},
        {{.kind = thing_kind, .manager = &plain, .max = 100000}, "max"},
        {{.kind = thing_kind, .manager = &plain, .initial = 11}, "initial"},
        {{.kind = thing_kind, .manager = &plain, .tenants = 17}, "tenants"},
        {{.kind = thing_kind, .manager = &plain, .backoff = -1}, "backoff"},
        {{.kind = thing_kind, .manager = &plain, .keepalive = PNX_US(1)}, "keepalive"},
        {{.kind = thing_kind, .manager = &plain, .weights = {1001}}, "weights"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(pnx_pool_create(world.registry, &bad[i].config, &pool, &err), PNX_EINVAL);
        assert_non_null(strstr(err.message, bad[i].word));
    }
    assert_int_equal(pnx_pool_create(NULL, &bad[0].config, &pool, &err), PNX_EINVAL);
}

static void figures_as_prometheus_text(void **state)
{
    (void)state;
    make_pool((pnx_pool_config){.max = 2, .name = "a \"b\"\n"});
    pnx_lease a = get();
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_int_equal(pnx_pool_write_prometheus(world.pool, out, &world.err), PNX_OK);
    fclose(out);
    assert_non_null(
        strstr(text, "patinox_pool_entries{pool=\"a \\\"b\\\"\\n\",state=\"leased\"} 1\n"));
    assert_non_null(strstr(text, "patinox_pool_acquired_total{pool=\"a \\\"b\\\"\\n\"} 1\n"));
    free(text);
    pnx_lease_return(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_manual(made_when_wanted),
        on_manual(initial_and_minimum_are_made_at_once),
        on_manual(idle_costs_nothing),
        on_manual(lifo_and_fifo),
        on_manual(first_in_first_out),
        on_manual(validated_only_after_the_window),
        on_manual(kept_alive),
        on_manual(times_out_although_it_is_kept_alive),
        on_manual(what_was_just_checked_is_not_checked_again),
        on_manual(one_waiter_has_one_validated),
        on_manual(every_event_is_told),
        on_manual(retired_with_jitter),
        on_manual(reset_on_return),
        on_manual(reset_inline),
        on_manual(found_broken),
        on_manual(released_behind_its_back),
        on_manual(taken_out),
        on_manual(resized_while_it_runs),
        on_manual(evicted_softly),
        on_manual(drained_and_resumed),
        on_manual(drained_while_one_is_created),
        on_manual(closed_with_a_report),
        on_manual(held_too_long),
        on_manual(backs_off_and_comes_back_slowly),
        on_manual(fails_fast_if_asked_to),
        on_manual(says_what_is_wrong_with_a_configuration),
        on_manual(figures_as_prometheus_text),
    };
    return cmocka_run_group_tests_name("pool life", tests, NULL, NULL);
}
