/* SPDX-License-Identifier: MIT */
/*
 * Many threads at once. What must hold at any moment: nothing is released while somebody holds it,
 * a read answers the key it was asked for, the bound holds, and in the end each value was released,
 * and told to the listener, exactly once.
 */
#include "support.h"

#define THREADS 4
#define KEYS 300
#define CAPACITY 100

struct shared {
    pnx_registry *registry;
    pnx_cache *cache;
    _Atomic uint64_t made, released, told;
    _Atomic bool stop;
    uint64_t seed;
    size_t steps;
};

static struct shared *the;

#define LIVING UINT64_C(0x600d600d)
#define DEAD UINT64_C(0xdeaddead)

struct item {
    uint64_t key;
    _Atomic uint64_t mark;
};

static pnx_status item_release(struct item *item, const pnx_release *why)
{
    assert_true(atomic_exchange(&item->mark, DEAD) == LIVING);
    atomic_fetch_add(&the->released, 1);
    free(item); /* a reader that still holds it is found by the sanitizers */
    return PNX_OK;
}
PNX_KIND(item, struct item *, item_release);

static void listen(const void *key, const void *value, uint32_t weight, pnx_cache_cause cause,
                   void *context)
{
    const struct item *item = *(struct item *const *)value;
    assert_int_equal(item->key, *(const uint64_t *)key);
    assert_true(atomic_load(&item->mark) == LIVING);
    atomic_fetch_add(&the->told, 1);
}

static struct item *item_new(uint64_t key)
{
    struct item *item = malloc(sizeof *item);
    item->key = key;
    atomic_init(&item->mark, LIVING);
    atomic_fetch_add(&the->made, 1);
    return item;
}

static pnx_status load(const void *key, pnx_cache_loaded *ret, void *context, pnx_error *err)
{
    *(struct item **)ret->value = item_new(*(const uint64_t *)key);
    return PNX_OK;
}

static void check_item(const pnx_ref *ref, uint64_t key)
{
    const struct item *item = pnx_ref_get(ref, struct item *);
    assert_int_equal(item->key, key);
    assert_true(atomic_load(&item->mark) == LIVING);
}

static bool visit(const void *key, const void *value, void *context)
{
    const struct item *item = *(struct item *const *)value;
    assert_int_equal(item->key, *(const uint64_t *)key);
    assert_true(atomic_load(&item->mark) == LIVING);
    return true;
}

static pnx_cache_decision decide(const void *key, const void *old, void *value, void *argument)
{
    if (old && *(const uint64_t *)key % 2)
        return PNX_CACHE_REMOVE;
    *(struct item **)value = item_new(*(const uint64_t *)key);
    return PNX_CACHE_STORE;
}

static void step(struct shared *shared, pnx__random *random, pnx_ref *held)
{
    uint64_t key = pnx__random_below(random, KEYS);
    if (pnx__random_below(random, 2))
        key /= 20;
    const unsigned what = (unsigned)pnx__random_below(random, 100);
    if (what < 60) {
        pnx_auto_ref ref = pnx_cache_get(shared->cache, &key);
        if (ref.value)
            check_item(&ref, key);
    } else if (what < 70) {
        /* Some are held for long: more than a thread has places for. */
        pnx_ref *place = &held[pnx__random_below(random, 20)];
        if (place->value)
            check_item(place, pnx_ref_get(place, struct item *)->key);
        pnx_ref_drop(place);
        *place = pnx_cache_load(shared->cache, &key, PNX_FOREVER, NULL);
        check_item(place, key);
    } else if (what < 90) {
        struct item *item = item_new(key);
        assert_int_equal(pnx_cache_put(shared->cache, &key, &item, NULL), PNX_OK);
    } else if (what < 94) {
        (void)pnx_cache_remove(shared->cache, &key);
    } else if (what < 97) {
        assert_int_equal(
            pnx_cache_compute(shared->cache, &key, decide, NULL, PNX_FOREVER, NULL, NULL), PNX_OK);
    } else if (what < 98) {
        (void)pnx_cache_each(shared->cache, visit, NULL);
    } else if (what < 99) {
        (void)pnx_cache_shrink(shared->cache, CAPACITY / 2);
    } else {
        pnx_cache_drain(shared->cache);
    }
}

static void *work(void *argument)
{
    struct shared *shared = the;
    pnx__random random = {shared->seed + (uintptr_t)argument};
    pnx_ref held[20] = {{0}};
    for (size_t i = 0; i < shared->steps; i++)
        step(shared, &random, held);
    for (int i = 0; i < 20; i++)
        pnx_ref_drop(&held[i]);
    return NULL;
}

/* Looks at the bounds all the while. */
static void *watch(void *argument)
{
    struct shared *shared = the;
    while (!atomic_load(&shared->stop)) {
        pnx_cache_stats stats;
        pnx_cache_stats_get(shared->cache, &stats);
        assert_true(stats.entries <= CAPACITY);
        assert_true(stats.weight <= CAPACITY);
        /* A batch, what each thread is about to retire, and what is pinned. */
        assert_true(stats.unreleased <= CAPACITY / 16 + THREADS * (CAPACITY + 20 + 2) + 64);
        sched_yield();
    }
    return NULL;
}

static void run(pnx_cache_policy policy, uint64_t seed)
{
    pthread_t threads[THREADS], watcher;
    struct shared shared = {.seed = seed, .steps = effort(20000)};
    pnx_report report;
    the = &shared;
    assert_int_equal(pnx_registry_create(NULL, &shared.registry, NULL), PNX_OK);
    shared.cache = cache_make(&(pnx_cache_config){.registry = shared.registry,
                                                  .kind = item_kind,
                                                  .capacity = CAPACITY,
                                                  .policy = policy,
                                                  .load = load,
                                                  .listener = listen});
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)i), 0);
    assert_int_equal(pthread_create(&watcher, NULL, watch, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&shared.stop, true);
    pthread_join(watcher, NULL);
    cache_end(shared.cache);
    assert_int_equal(pnx_registry_shutdown(shared.registry, NULL, &report, NULL), PNX_OK);
    assert_int_equal(report.leaked, 0);
    assert_int_equal(pnx_counts_imbalance(&report.counts), 0);
    pnx_report_done(&report);
    assert_int_equal(pnx_registry_destroy(shared.registry, NULL), PNX_OK);
    assert_int_equal(atomic_load(&shared.made), atomic_load(&shared.released));
    /* Told of all but those that lost against another's and never got in. */
    assert_true(atomic_load(&shared.told) <= atomic_load(&shared.made));
}

static void every_policy(void **state)
{
    pnx__random random = test_random();
    for (int i = 0; i < PNX_CACHE_POLICY_COUNT; i++)
        run((pnx_cache_policy)i, pnx__random_next(&random));
}

/* ---- references that change hands ------------------------------------------------------------ */

static pnx_ref handed[64];

static void *drop_handed(void *argument)
{
    for (int i = 0; i < 64; i++)
        pnx_ref_drop(&handed[i]);
    return NULL;
}

static void *take_and_end(void *argument)
{
    for (uint64_t key = 0; key < 64; key++) {
        handed[key] = pnx_cache_get(argument, &key);
        assert_non_null(handed[key].value);
    }
    return NULL;
}

/* Taken by a thread that ends, dropped by another one, after everything has left. */
static void handed_on(void **state)
{
    struct shared shared = {0};
    pthread_t thread;
    the = &shared;
    assert_int_equal(pnx_registry_create(NULL, &shared.registry, NULL), PNX_OK);
    shared.cache = cache_make(
        &(pnx_cache_config){.registry = shared.registry, .kind = item_kind, .capacity = CAPACITY});
    for (uint64_t key = 0; key < 64; key++) {
        struct item *item = item_new(key);
        assert_int_equal(pnx_cache_put(shared.cache, &key, &item, NULL), PNX_OK);
    }
    pthread_create(&thread, NULL, take_and_end, shared.cache);
    pthread_join(thread, NULL);
    assert_int_equal(pnx_cache_clear(shared.cache), 64);
    pnx_cache_drain(shared.cache);
    assert_int_equal(pnx_registry_wait_idle(shared.registry, PNX_FOREVER), PNX_OK);
    assert_int_equal(atomic_load(&shared.released), 0);
    pthread_create(&thread, NULL, drop_handed, NULL);
    pthread_join(thread, NULL);
    assert_int_equal(pnx_registry_wait_idle(shared.registry, PNX_FOREVER), PNX_OK);
    assert_int_equal(atomic_load(&shared.released), 64);
    cache_end(shared.cache);
    assert_int_equal(pnx_registry_shutdown(shared.registry, NULL, NULL, NULL), PNX_OK);
    assert_int_equal(pnx_registry_destroy(shared.registry, NULL), PNX_OK);
}

/* ---- memory that is used again at once ------------------------------------------------------- */

struct triple {
    uint64_t numbers[3]; /* all the same */
};

static void *read_triples(void *argument)
{
    struct shared *shared = argument;
    while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
        pnx_auto_ref ref = pnx_cache_get(shared->cache, &(uint64_t){1});
        if (!ref.value)
            continue;
        const volatile struct triple *pinned = ref.value;
        const uint64_t first = pinned->numbers[0];
        for (int i = 0; i < 30; i++)
            assert_true(pinned->numbers[i % 3] == first);
    }
    return NULL;
}

/*
 * In so small a cache what was replaced is free at once, and the next put writes to the same place:
 * if a reader's pin and a writer's look at the pins could miss each other, it would be seen here.
 */
static void what_is_pinned_does_not_change(void **state)
{
    struct shared shared = {0};
    pthread_t readers[3];
    shared.cache =
        cache_make(&(pnx_cache_config){.capacity = 2, .value_size = sizeof(struct triple)});
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_triples, &shared), 0);
    for (uint64_t n = 0; n < effort(400000); n++) {
        const struct triple triple = {{n, n, n}};
        assert_int_equal(pnx_cache_put(shared.cache, &(uint64_t){1}, &triple, NULL), PNX_OK);
    }
    atomic_store(&shared.stop, true);
    for (int i = 0; i < 3; i++)
        pthread_join(readers[i], NULL);
    cache_end(shared.cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_policy),
        cmocka_unit_test(handed_on),
        cmocka_unit_test(what_is_pinned_does_not_change),
    };
    return cmocka_run_group_tests_name("cache threads", tests, NULL, NULL);
}
