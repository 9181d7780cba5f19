/* SPDX-License-Identifier: MIT */
/* Expiry and refresh, in virtual time. */
#include "support.h"

static unsigned told[PNX_CACHE_CAUSE_COUNT];

static void listen(const void *key, const void *value, uint32_t weight, pnx_cache_cause cause,
                   void *context)
{
    told[cause]++;
}

static void put(pnx_cache *cache, uint64_t key, uint64_t value)
{
    assert_int_equal(pnx_cache_put(cache, &key, &value, NULL), PNX_OK);
}

static int64_t get(pnx_cache *cache, uint64_t key)
{
    pnx_auto_ref ref = pnx_cache_get(cache, &key);
    return ref.value ? (int64_t)pnx_ref_get(&ref, uint64_t) : -1;
}

static uint64_t entries(pnx_cache *cache)
{
    pnx_cache_stats stats;
    pnx_cache_stats_get(cache, &stats);
    return stats.entries;
}

static void pass(struct fixture *fixture, pnx_duration span)
{
    (void)pnx_test_run_until(fixture->registry, &fixture->clock,
                             pnx_time_after(pnx_test_clock_now(&fixture->clock), span));
}

static void after_write(void **state)
{
    struct fixture *fixture = *state;
    memset(told, 0, sizeof told);
    pnx_cache *cache = cache_make(&(pnx_cache_config){.registry = fixture->registry,
                                                      .capacity = 100,
                                                      .expire_after_write = PNX_S(10),
                                                      .listener = listen,
                                                      .deterministic = true});
    put(cache, 1, 1);
    pass(fixture, PNX_S(5));
    put(cache, 2, 2);
    assert_int_equal(get(cache, 1), 1); /* a read does not prolong it */
    pass(fixture, PNX_S(5) - 1);
    assert_int_equal(get(cache, 1), 1);
    pnx_test_clock_advance(&fixture->clock, 1);
    assert_int_equal(get(cache, 1), -1); /* never answered late, though nothing has run yet */
    assert_int_equal(get(cache, 2), 2);
    pass(fixture, PNX_MS(3));
    assert_int_equal(entries(cache), 1); /* and it goes without activity */
    assert_int_equal(told[PNX_CACHE_EXPIRED], 1);
    pass(fixture, PNX_S(60));
    assert_int_equal(entries(cache), 0);
    assert_true(pnx_registry_next_due(fixture->registry) == PNX_FOREVER);
    cache_end(cache);
}

static void after_access(void **state)
{
    struct fixture *fixture = *state;
    pnx_cache *cache = cache_make(&(pnx_cache_config){
        .registry = fixture->registry, .capacity = 100, .expire_after_access = PNX_S(10)});
    put(cache, 1, 1);
    put(cache, 2, 2);
    for (int i = 0; i < 20; i++) {
        pass(fixture, PNX_S(3));
        assert_int_equal(get(cache, 1), 1);
    }
    assert_int_equal(entries(cache), 1);
    pass(fixture, PNX_S(9)); /* within a 64th */
    assert_int_equal(get(cache, 1), 1);
    pass(fixture, PNX_S(11));
    assert_int_equal(entries(cache), 0);
    cache_end(cache);
}

static pnx_duration by_key(const void *key, const void *value, pnx_cache_moment moment,
                           pnx_duration left, void *context)
{
    const uint64_t k = *(const uint64_t *)key;
    if (moment == PNX_CACHE_READ)
        return k == 3 ? PNX_S(1) : left;
    return k == 9 ? PNX_FOREVER : PNX_S((int64_t)k * 10);
}

static void by_function(void **state)
{
    struct fixture *fixture = *state;
    pnx_cache *cache = cache_make(&(pnx_cache_config){
        .registry = fixture->registry, .capacity = 100, .expire = by_key, .expire_on_read = true});
    for (uint64_t key = 1; key <= 9; key++)
        put(cache, key, key);
    pass(fixture, PNX_S(15));
    assert_int_equal(get(cache, 1), -1);
    assert_int_equal(get(cache, 2), 2);
    assert_int_equal(get(cache, 3), 3); /* has a second from now */
    assert_int_equal(entries(cache), 8);
    pass(fixture, PNX_S(2));
    assert_int_equal(entries(cache), 7);
    pass(fixture, PNX_S(3600));
    assert_int_equal(entries(cache), 1);
    assert_int_equal(get(cache, 9), 9);
    cache_end(cache);
}

/* Each entry's own lifetime, from milliseconds to months; all go when they are due, in 2 ms. */
static void per_entry(void **state)
{
    struct fixture *fixture = *state;
    pnx__random random = test_random();
    enum { N = 400 };
    static pnx_time due[N];
    pnx_cache *cache = cache_make(&(pnx_cache_config){
        .registry = fixture->registry, .capacity = N, .expire_after_write = PNX_FOREVER});
    for (uint64_t key = 0; key < N; key++) {
        const pnx_duration lifetime =
            1 + (pnx_duration)(pnx__random_next(&random) >> (10 + pnx__random_below(&random, 34)));
        due[key] = pnx_test_clock_now(&fixture->clock) + lifetime;
        assert_int_equal(pnx_cache_put_with(cache, &key, &key,
                                            &(pnx_cache_put_options){.lifetime = lifetime}, NULL),
                         PNX_OK);
        pass(fixture, PNX_MS(1));
    }
    for (size_t left = N; left > 0;) {
        pnx_time next = PNX_FOREVER;
        for (int i = 0; i < N; i++)
            next = due[i] < next ? due[i] : next;
        if (next > pnx_test_clock_now(&fixture->clock))
            pnx_test_clock_advance_to(&fixture->clock, next - 1);
        settle(fixture);
        pass(fixture, PNX_MS(4));
        left = 0;
        for (int i = 0; i < N; i++) {
            if (pnx_time_after(due[i], PNX_MS(3)) <= pnx_test_clock_now(&fixture->clock))
                due[i] = PNX_FOREVER;
            left += due[i] != PNX_FOREVER && due[i] > pnx_test_clock_now(&fixture->clock);
        }
        assert_true(entries(cache) >= left);
        assert_true(entries(cache) <= left + 4);
    }
    pass(fixture, PNX_S(1));
    assert_int_equal(entries(cache), 0);
    cache_end(cache);
}

static unsigned computed;

static pnx_cache_decision expects_none(const void *key, const void *old, void *value,
                                       void *argument)
{
    (void)key;
    (void)argument;
    computed++;
    assert_null(old);
    *(uint64_t *)value = 99;
    return PNX_CACHE_STORE;
}

/* What has expired is not there, though nothing has taken it out yet. */
static void an_expired_one_is_none_to_those_who_write(void **state)
{
    struct fixture *fixture = *state;
    uint64_t key = 1, value = 7;
    computed = 0;
    memset(told, 0, sizeof told);
    pnx_cache *cache = cache_make(&(pnx_cache_config){.registry = fixture->registry,
                                                      .capacity = 100,
                                                      .expire_after_write = PNX_S(10),
                                                      .listener = listen});
    put(cache, 1, 1);
    pnx_test_clock_advance(&fixture->clock, PNX_S(10));
    assert_int_equal(pnx_cache_compute(cache, &key, expects_none, NULL, PNX_FOREVER, NULL, NULL),
                     PNX_OK);
    assert_int_equal(computed, 1);
    assert_int_equal(get(cache, 1), 99);
    pnx_test_clock_advance(&fixture->clock, PNX_S(10));
    assert_int_equal(pnx_cache_put_if_absent(cache, &key, &value, NULL, NULL), PNX_OK);
    assert_int_equal(get(cache, 1), 7);
    pnx_test_clock_advance(&fixture->clock, PNX_S(10));
    put(cache, 1, 8);
    assert_int_equal(told[PNX_CACHE_EXPIRED], 3);
    assert_int_equal(told[PNX_CACHE_REPLACED], 0);
    cache_end(cache);
}

static pnx_cache *asked;

static pnx_duration ask_the_cache(const void *key, const void *value, pnx_cache_moment moment,
                                  pnx_duration left, void *context)
{
    pnx_cache_stats stats;
    (void)value;
    (void)moment;
    (void)left;
    (void)context;
    if (asked) {
        pnx_cache_stats_get(asked, &stats);
        pnx_ref ref = pnx_cache_get(asked, &(uint64_t){*(const uint64_t *)key + 1});
        pnx_ref_drop(&ref);
        (void)pnx_cache_remove(asked, &(uint64_t){1000});
    }
    return PNX_S(5);
}

static void the_function_may_use_the_cache(void **state)
{
    struct fixture *fixture = *state;
    asked = NULL;
    pnx_cache *cache = cache_make(&(pnx_cache_config){
        .registry = fixture->registry, .capacity = 10, .expire = ask_the_cache});
    asked = cache;
    for (uint64_t key = 0; key < 20; key++)
        put(cache, key, key);
    assert_int_equal(entries(cache), 10);
    pass(fixture, PNX_S(6));
    assert_int_equal(entries(cache), 0);
    cache_end(cache);
}

/* A put looks at so many that are due, not at all of them; the ticker sees to the others. */
static void a_put_does_not_expire_everything(void **state)
{
    struct fixture *fixture = *state;
    enum { MANY = 5000 };
    pnx_cache_stats stats;
    pnx_cache *cache = cache_make(&(pnx_cache_config){
        .registry = fixture->registry, .capacity = 2 * MANY, .expire_after_write = PNX_S(10)});
    for (uint64_t key = 0; key < MANY; key++)
        put(cache, key, key);
    pnx_test_clock_advance(&fixture->clock, PNX_S(11));
    put(cache, MANY, 0);
    pnx_cache_stats_get(cache, &stats);
    assert_true(stats.left[PNX_CACHE_EXPIRED] > 1 && stats.left[PNX_CACHE_EXPIRED] <= 64);
    for (uint64_t key = 0; key < MANY; key++)
        assert_int_equal(get(cache, key), -1);
    settle(fixture);
    assert_int_equal(entries(cache), 1);
    pnx_cache_stats_get(cache, &stats);
    assert_int_equal(stats.left[PNX_CACHE_EXPIRED], MANY);
    cache_end(cache);
}

/* ---- refresh --------------------------------------------------------------------------------- */

static uint64_t version;
static pnx_status answer;
static struct fixture *slow; /* loads take half a minute of it */

static pnx_status load(const void *key, pnx_cache_loaded *ret, void *context, pnx_error *err)
{
    version++;
    if (slow != NULL)
        pnx_test_clock_advance(&slow->clock, PNX_S(30));
    *(uint64_t *)ret->value = version;
    return answer;
}

static pnx_cache *refreshing(struct fixture *fixture, pnx_cache_config config)
{
    version = 0;
    answer = PNX_OK;
    config.registry = fixture->registry;
    config.capacity = 10;
    config.load = load;
    return cache_make(&config);
}

static void refresh_ahead(void **state)
{
    struct fixture *fixture = *state;
    uint64_t key = 7;
    pnx_cache *cache = refreshing(fixture, (pnx_cache_config){.refresh_after_write = PNX_S(10),
                                                              .expire_after_write = PNX_S(60)});
    pnx_ref ref = pnx_cache_load(cache, &key, PNX_FOREVER, NULL);
    assert_int_equal(pnx_ref_get(&ref, uint64_t), 1);
    pnx_ref_drop(&ref);
    pass(fixture, PNX_S(11));
    assert_int_equal(get(cache, key), 1); /* the old one, at once */
    assert_int_equal(get(cache, key), 1);
    assert_int_equal(version, 1);
    settle(fixture);
    assert_int_equal(version, 2); /* one refresh, however many have asked */
    assert_int_equal(get(cache, key), 2);
    /* One that fails leaves the old one. */
    answer = PNX_EFAILED;
    pass(fixture, PNX_S(11));
    assert_int_equal(get(cache, key), 2);
    settle(fixture);
    assert_int_equal(version, 3);
    assert_int_equal(get(cache, key), 2);
    settle(fixture);
    assert_int_equal(version, 3); /* and is not tried at every read */
    /* A value that is put meanwhile is newer. */
    answer = PNX_OK;
    pass(fixture, PNX_S(11));
    assert_int_equal(get(cache, key), 2);
    put(cache, key, 100);
    settle(fixture);
    assert_int_equal(get(cache, key), 100);
    pnx_cache_stats stats;
    pnx_cache_stats_get(cache, &stats);
    assert_int_equal(stats.refreshes, 3);
    cache_end(cache);
}

static void stale_while_revalidate(void **state)
{
    struct fixture *fixture = *state;
    uint64_t key = 7;
    pnx_cache *cache = refreshing(
        fixture, (pnx_cache_config){.expire_after_write = PNX_S(10), .stale_for = PNX_S(5)});
    pnx_ref ref = pnx_cache_load(cache, &key, PNX_FOREVER, NULL);
    pnx_ref_drop(&ref);
    pass(fixture, PNX_S(12));
    assert_int_equal(get(cache, key), 1);
    settle(fixture);
    assert_int_equal(get(cache, key), 2);
    pass(fixture, PNX_S(20));
    assert_int_equal(get(cache, key), -1); /* too old */
    assert_int_equal(entries(cache), 0);
    cache_end(cache);
}

/* A refresh is queued, and a load wants the key now: it does not wait for the worker. */
static void a_load_takes_over_a_queued_refresh(void **state)
{
    struct fixture *fixture = *state;
    uint64_t key = 7;
    pnx_cache *cache = refreshing(
        fixture, (pnx_cache_config){.expire_after_write = PNX_S(10), .stale_for = PNX_S(5)});
    for (unsigned round = 1; round <= 3; round++) {
        pnx_ref ref = pnx_cache_load(cache, &key, PNX_FOREVER, NULL);
        pnx_ref_drop(&ref);
        pnx_test_clock_advance(&fixture->clock, PNX_S(12));
        assert_int_equal(get(cache, key), 2 * round - 1); /* stale; a refresh is queued */
        pnx_test_clock_advance(&fixture->clock, PNX_S(5));
        assert_int_equal(get(cache, key), -1);
        ref = pnx_cache_load(cache, &key, PNX_FOREVER, NULL);
        assert_int_equal(pnx_ref_get(&ref, uint64_t), 2 * round);
        pnx_ref_drop(&ref);
        if (round == 3)
            break; /* it ends with the job still due */
        settle(fixture);
        assert_int_equal(version, 2 * round); /* the job found nothing to do */
        assert_true(pnx_cache_remove(cache, &key));
    }
    cache_end(cache);
    assert_int_equal(version, 6);
}

/* It took so long that the old value has expired: nobody has put a newer one. */
static void a_slow_refresh_is_not_lost(void **state)
{
    struct fixture *fixture = *state;
    uint64_t key = 7;
    pnx_cache *cache = refreshing(fixture, (pnx_cache_config){.refresh_after_write = PNX_S(5),
                                                              .expire_after_write = PNX_S(20)});
    pnx_ref ref = pnx_cache_load(cache, &key, PNX_FOREVER, NULL);
    pnx_ref_drop(&ref);
    pass(fixture, PNX_S(6));
    assert_int_equal(get(cache, key), 1);
    slow = fixture;
    settle(fixture);
    slow = NULL;
    assert_int_equal(version, 2);
    assert_int_equal(get(cache, key), 2);
    cache_end(cache);
}

/* A cache that is destroyed with a refresh on its way. */
static void destroyed_meanwhile(void **state)
{
    struct fixture *fixture = *state;
    uint64_t key = 7;
    pnx_cache *cache = refreshing(fixture, (pnx_cache_config){.refresh_after_write = PNX_S(1)});
    put(cache, key, 1);
    pass(fixture, PNX_S(2));
    assert_int_equal(get(cache, key), 1);
    cache_end(cache);
    assert_int_equal(version, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(after_write, fixture_make, fixture_end),
        cmocka_unit_test_setup_teardown(after_access, fixture_make, fixture_end),
        cmocka_unit_test_setup_teardown(by_function, fixture_make, fixture_end),
        cmocka_unit_test_setup_teardown(per_entry, fixture_make, fixture_end),
        cmocka_unit_test_setup_teardown(an_expired_one_is_none_to_those_who_write, fixture_make,
                                        fixture_end),
        cmocka_unit_test_setup_teardown(the_function_may_use_the_cache, fixture_make, fixture_end),
        cmocka_unit_test_setup_teardown(a_put_does_not_expire_everything, fixture_make,
                                        fixture_end),
        cmocka_unit_test_setup_teardown(a_load_takes_over_a_queued_refresh, fixture_make,
                                        fixture_end),
        cmocka_unit_test_setup_teardown(a_slow_refresh_is_not_lost, fixture_make, fixture_end),
        cmocka_unit_test_setup_teardown(refresh_ahead, fixture_make, fixture_end),
        cmocka_unit_test_setup_teardown(stale_while_revalidate, fixture_make, fixture_end),
        cmocka_unit_test_setup_teardown(destroyed_meanwhile, fixture_make, fixture_end),
    };
    return cmocka_run_group_tests_name("cache expiry", tests, NULL, NULL);
}
