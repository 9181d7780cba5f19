/* SPDX-License-Identifier: MIT */
/* References, keys and values of all sorts, bulk, iteration, configuration, forks. */
#include "support.h"

static struct thing *thing_new(uint64_t key)
{
    struct thing *thing = calloc(1, sizeof *thing);
    thing->key = key;
    return thing;
}

static void put(pnx_cache *cache, uint64_t key, struct thing *thing)
{
    assert_int_equal(pnx_cache_put(cache, &key, &thing, NULL), PNX_OK);
}

static unsigned released(struct fixture *fixture, struct thing *thing)
{
    settle(fixture);
    return atomic_load(&thing->released);
}

static void a_pin_keeps_a_value(void **state)
{
    struct fixture *fixture = *state;
    pnx_cache *cache = cache_make(&(pnx_cache_config){
        .registry = fixture->registry, .kind = thing_kind, .capacity = 10, .deterministic = true});
    uint64_t key = 1;
    struct thing *thing = thing_new(key);
    put(cache, key, thing);
    pnx_ref first = pnx_cache_get(cache, &key), second = pnx_cache_get(cache, &key);
    assert_true(pnx_cache_remove(cache, &key));
    pnx_ref none = pnx_cache_get(cache, &key);
    assert_null(none.value);
    assert_int_equal(released(fixture, thing), 0);
    pnx_ref moved = pnx_ref_move(&first);
    pnx_ref_drop(&first);
    assert_int_equal(released(fixture, thing), 0);
    pnx_ref_drop(&second);
    assert_int_equal(released(fixture, thing), 0);
    pnx_cache_stats stats;
    pnx_cache_stats_get(cache, &stats);
    assert_int_equal(stats.unreleased, 1);
    assert_ptr_equal(pnx_ref_get(&moved, struct thing *), thing);
    pnx_ref_drop(&moved); /* the last one: at once, without any other call */
    assert_int_equal(released(fixture, thing), 1);
    pnx_cache_stats_get(cache, &stats);
    assert_int_equal(stats.unreleased, 0);
    cache_end(cache);
    free(thing);
}

/* More references than a thread has places for, of one entry and of many. */
static void many_pins(void **state)
{
    struct fixture *fixture = *state;
    enum { N = 50 };
    struct thing *things[N];
    pnx_ref refs[2 * N];
    pnx_cache *cache = cache_make(&(pnx_cache_config){
        .registry = fixture->registry, .kind = thing_kind, .capacity = N, .deterministic = true});
    for (uint64_t i = 0; i < N; i++)
        put(cache, i, things[i] = thing_new(i));
    for (uint64_t i = 0; i < 2 * N; i++) {
        const uint64_t key = i % N;
        refs[i] = pnx_cache_get(cache, &key);
        assert_ptr_equal(pnx_ref_get(&refs[i], struct thing *), things[key]);
    }
    assert_int_equal(pnx_cache_clear(cache), N);
    assert_int_equal(pnx_cache_destroy(cache, NULL), PNX_EBUSY);
    for (uint64_t i = 0; i < N; i++)
        pnx_ref_drop(&refs[i]);
    for (uint64_t i = 0; i < N; i++)
        assert_int_equal(released(fixture, things[i]), 0);
    for (uint64_t i = N; i < 2 * N; i++) {
        pnx_ref_drop(&refs[i]);
        assert_int_equal(released(fixture, things[i - N]), 1);
        free(things[i - N]);
    }
    cache_end(cache);
}

static void reasons(void **state)
{
    struct fixture *fixture = *state;
    struct thing *things[5];
    pnx_cache *cache = cache_make(&(pnx_cache_config){
        .registry = fixture->registry, .kind = thing_kind, .capacity = 10, .deterministic = true});
    for (uint64_t i = 0; i < 5; i++)
        things[i] = thing_new(i);
    put(cache, 1, things[0]);
    put(cache, 1, things[1]);
    put(cache, 2, things[2]);
    assert_int_equal(pnx_cache_shrink(cache, 0), 2);
    put(cache, 3, things[3]);
    put(cache, 4, things[4]);
    uint64_t key = 3;
    assert_true(pnx_cache_remove(cache, &key));
    assert_false(pnx_cache_remove(cache, &key));
    cache_end(cache);
    settle(fixture);
    assert_int_equal(things[0]->reason, PNX_EXPLICIT);
    assert_int_equal(things[1]->reason, PNX_MEMORY_PRESSURE);
    assert_int_equal(things[2]->reason, PNX_MEMORY_PRESSURE);
    assert_int_equal(things[3]->reason, PNX_EXPLICIT);
    assert_int_equal(things[4]->reason, PNX_SCOPE_END);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(atomic_load(&things[i]->released), 1);
        free(things[i]);
    }
}

/* Without deterministic mode what has left waits for others, but not for long, nor for anybody. */
static void released_without_activity(void **state)
{
    struct fixture *fixture = *state;
    struct thing *thing = thing_new(1);
    pnx_cache *cache = cache_make(
        &(pnx_cache_config){.registry = fixture->registry, .kind = thing_kind, .capacity = 1000});
    struct thing *others[500];
    for (uint64_t i = 0; i < 500; i++)
        put(cache, 100 + i, others[i] = thing_new(100 + i));
    put(cache, 1, thing);
    uint64_t key = 1;
    assert_true(pnx_cache_remove(cache, &key));
    assert_int_equal(released(fixture, thing), 0);
    (void)pnx_test_run_until(fixture->registry, &fixture->clock,
                             pnx_test_clock_now(&fixture->clock) + PNX_MS(15));
    assert_int_equal(atomic_load(&thing->released), 1);
    assert_true(pnx_registry_next_due(fixture->registry) == PNX_FOREVER); /* and no timer is left */
    cache_end(cache);
    settle(fixture);
    free(thing);
    for (int i = 0; i < 500; i++)
        free(others[i]);
}

/* ---- keys and values ------------------------------------------------------------------------- */

struct pair {
    uint32_t a;
    uint16_t b;
    unsigned char c[7];
};

static void keys_of_bytes(void **state)
{
    pnx_cache *cache = cache_make(&(pnx_cache_config){
        .key_size = 13, .value_size = 24, .capacity = 1000, .deterministic = true});
    unsigned char key[13] = {0};
    uint64_t value[3];
    for (unsigned i = 0; i < 300; i++) {
        memcpy(key + 5, &i, sizeof i);
        value[0] = value[1] = value[2] = i;
        assert_int_equal(pnx_cache_put(cache, key, value, NULL), PNX_OK);
    }
    for (unsigned i = 0; i < 300; i++) {
        memcpy(key + 5, &i, sizeof i);
        pnx_auto_ref ref = pnx_cache_get(cache, key);
        assert_int_equal(((const uint64_t *)ref.value)[2], i);
    }
    key[12] = 1;
    pnx_ref none = pnx_cache_get(cache, key);
    assert_null(none.value);
    cache_end(cache);
}

static uint64_t text_hash(const void *key, void *context)
{
    uint64_t hash = 5381;
    for (const char *text = *(char *const *)key; *text; text++)
        hash = hash * 33 + (unsigned char)*text;
    return hash % 7; /* as bad as can be */
}
static bool text_equal(const void *a, const void *b, void *context)
{
    return strcmp(*(char *const *)a, *(char *const *)b) == 0;
}
static int texts;
static bool text_copy(void *key, void *context)
{
    char **text = key;
    *text = strdup(*text);
    texts++;
    return true;
}
static void text_free(void *key, void *context)
{
    free(*(char **)key);
    texts--;
}
static bool visit_text(const void *key, const void *value, void *context)
{
    size_t *sum = context;
    *sum += *(const uint64_t *)value;
    assert_int_equal(strtoull(*(char *const *)key, NULL, 10), *(const uint64_t *)value);
    return true;
}

static void keys_of_text(void **state)
{
    pnx_cache *cache = cache_make(&(pnx_cache_config){.capacity = 40,
                                                      .hash = text_hash,
                                                      .equal = text_equal,
                                                      .key_copy = text_copy,
                                                      .key_free = text_free,
                                                      .deterministic = true});
    char text[32];
    const char *key = text;
    for (uint64_t i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "%d", (int)i);
        assert_int_equal(pnx_cache_put(cache, &key, &i, NULL), PNX_OK);
        assert_int_equal(pnx_cache_put_if_absent(cache, &key, &i, NULL, NULL), PNX_EALREADY);
    }
    pnx_cache_stats stats;
    pnx_cache_stats_get(cache, &stats);
    assert_int_equal(stats.entries, 40);
    assert_int_equal(texts, 40);
    size_t sum = 0;
    assert_int_equal(pnx_cache_each(cache, visit_text, &sum), 40);
    cache_end(cache);
    assert_int_equal(texts, 0);
}

static void bulk(void **state)
{
    pnx_cache *cache = cache_make(&(pnx_cache_config){.capacity = 100});
    uint64_t keys[60], values[60];
    pnx_ref refs[60];
    size_t done = 0;
    for (uint64_t i = 0; i < 60; i++) {
        keys[i] = i;
        values[i] = i * i;
    }
    assert_int_equal(pnx_cache_put_many(cache, keys, values, 50, &done, NULL), PNX_OK);
    assert_int_equal(done, 50);
    assert_int_equal(pnx_cache_get_many(cache, keys, 60, refs), 50);
    for (uint64_t i = 0; i < 50; i++)
        assert_int_equal(pnx_ref_get(&refs[i], uint64_t), i * i);
    for (uint64_t i = 0; i < 60; i++)
        pnx_ref_drop(&refs[i]);
    assert_int_equal(pnx_cache_remove_many(cache, keys + 40, 20), 10);
    pnx_cache_stats stats;
    pnx_cache_stats_get(cache, &stats);
    assert_int_equal(stats.entries, 40);
    assert_int_equal(stats.hits, 50);
    assert_int_equal(stats.misses, 10);
    assert_int_equal(stats.puts, 50);
    assert_int_equal(stats.left[PNX_CACHE_REMOVED], 10);
    assert_true(stats.memory_bytes > 40 * 64);
    cache_end(cache);
}

static uint64_t always_the_same(const void *key, void *context)
{
    (void)key;
    (void)context;
    return 42;
}

/* The worst hash there is, or a flood of keys that collide: slow, but right, and within bounds. */
static void a_bad_hash(void **state)
{
    const uint64_t most = effort(1500);
    (void)state;
    for (int policy = 0; policy < PNX_CACHE_POLICY_COUNT; policy++) {
        pnx_cache *cache = cache_make(&(pnx_cache_config){
            .capacity = most, .hash = always_the_same, .policy = (pnx_cache_policy)policy});
        for (uint64_t key = 0; key < 2 * most; key++)
            assert_int_equal(pnx_cache_put(cache, &key, &key, NULL), PNX_OK);
        pnx_cache_stats stats;
        pnx_cache_stats_get(cache, &stats);
        assert_int_equal(stats.entries, most);
        unsigned found = 0;
        for (uint64_t key = 0; key < 2 * most; key++) {
            pnx_auto_ref ref = pnx_cache_get(cache, &key);
            found += ref.value != NULL;
            assert_true(ref.value == NULL || pnx_ref_get(&ref, uint64_t) == key);
        }
        assert_int_equal(found, most);
        for (uint64_t key = 0; key < 2 * most; key += 2)
            (void)pnx_cache_remove(cache, &key);
        for (uint64_t key = 0; key < 2 * most; key++) {
            pnx_auto_ref ref = pnx_cache_peek(cache, &key);
            assert_true(ref.value == NULL || key % 2 == 1);
        }
        cache_end(cache);
    }
}

static uint32_t weigh(const void *key, const void *value, void *context)
{
    return *(const uint32_t *)value;
}

/* The table of a cache by weight grows while it is used. */
static void weights(void **state)
{
    pnx_cache *cache = cache_make(&(pnx_cache_config){.capacity = 100000, .weigh = weigh});
    for (uint64_t i = 0; i < 50000; i++) {
        const uint64_t weight = 2;
        assert_int_equal(pnx_cache_put(cache, &i, &weight, NULL), PNX_OK);
    }
    for (uint64_t i = 0; i < 50000; i++) {
        pnx_auto_ref ref = pnx_cache_peek(cache, &i);
        assert_non_null(ref.value);
    }
    const uint64_t heavy = 100001, key = 77;
    assert_int_equal(pnx_cache_put(cache, &key, &heavy, NULL), PNX_OK);
    pnx_cache_stats stats;
    pnx_cache_stats_get(cache, &stats);
    assert_int_equal(stats.entries, 49999); /* it went at once, with the one that it replaced */
    assert_int_equal(stats.weight, 99998);
    assert_int_equal(stats.hits + stats.misses, 0);
    cache_end(cache);
}

static void configuration(void **state)
{
    static const struct {
        pnx_cache_config config;
        const char *says;
    } wrong[] = {
        {{.capacity = 0}, "capacity"},
        {{.capacity = 1, .key_size = 257}, "key_size"},
        {{.capacity = 1, .value_size = 25}, "value_size"},
        {{.capacity = 1, .policy = PNX_CACHE_POLICY_COUNT}, "policy"},
        {{.capacity = 1, .key_copy = text_copy}, "key_copy"},
        {{.capacity = 1, .expire_after_write = -1}, "below 0"},
        {{.capacity = 1, .refresh_after_write = 1}, "load"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        pnx_error err = {0};
        pnx_cache *cache = NULL;
        assert_int_equal(pnx_cache_create(&wrong[i].config, &cache, &err), PNX_EINVAL);
        assert_null(cache);
        assert_non_null(strstr(err.message, wrong[i].says));
    }
    pnx_cache *cache = cache_make(&(pnx_cache_config){.name = "plain", .capacity = 1});
    pnx_error err = {0};
    uint64_t key = 1;
    assert_int_equal(pnx_cache_resize(cache, 0, &err), PNX_EINVAL);
    assert_int_equal(
        pnx_cache_put_with(cache, &key, &key, &(pnx_cache_put_options){.lifetime = PNX_S(1)}, &err),
        PNX_EINVAL);
    pnx_ref none = pnx_cache_load(cache, &key, PNX_FOREVER, &err);
    assert_null(none.value);
    assert_int_equal(err.code, PNX_EINVAL);
    for (int i = 0; i <= PNX_CACHE_POLICY_COUNT; i++)
        assert_non_null(pnx_cache_policy_name((pnx_cache_policy)i));
    for (int i = 0; i <= PNX_CACHE_CAUSE_COUNT; i++)
        assert_non_null(pnx_cache_cause_name((pnx_cache_cause)i));
    cache_end(cache);
    assert_int_equal(pnx_cache_destroy(NULL, NULL), PNX_OK);
}

static void a_fork_child(void **state)
{
    pnx_cache *cache = cache_make(&(pnx_cache_config){.capacity = 10});
    uint64_t key = 1;
    assert_int_equal(pnx_cache_put(cache, &key, &key, NULL), PNX_OK);
    pnx_ref held = pnx_cache_get(cache, &key);
    const pid_t child = fork();
    if (child == 0) {
        pnx_ref ref = pnx_cache_get(cache, &key);
        const bool right = ref.value == NULL &&
                           pnx_cache_put(cache, &key, &key, NULL) == PNX_EFORKED &&
                           !pnx_cache_remove(cache, &key) && pnx_cache_clear(cache) == 0;
        pnx_ref_drop(&held);
        _exit(right && pnx_cache_destroy(cache, NULL) == PNX_OK ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    pnx_ref_drop(&held);
    cache_end(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_pin_keeps_a_value, fixture_make, fixture_end),
        cmocka_unit_test_setup_teardown(many_pins, fixture_make, fixture_end),
        cmocka_unit_test_setup_teardown(reasons, fixture_make, fixture_end),
        cmocka_unit_test_setup_teardown(released_without_activity, fixture_make, fixture_end),
        cmocka_unit_test(keys_of_bytes),
        cmocka_unit_test(keys_of_text),
        cmocka_unit_test(bulk),
        cmocka_unit_test(a_bad_hash),
        cmocka_unit_test(weights),
        cmocka_unit_test(configuration),
        cmocka_unit_test(a_fork_child),
    };
    return cmocka_run_group_tests_name("cache access", tests, NULL, NULL);
}
