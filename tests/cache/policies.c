/* SPDX-License-Identifier: MIT */
/* The simple policies against models that are obviously right, and what each is known for. */
#include "support.h"

#define KEYS 64
#define CAPACITY 16

/* ---- exact models ---------------------------------------------------------------------------- */

/* A list in order, newest first. */
struct model {
    uint64_t keys[CAPACITY + 2];
    bool used[CAPACITY + 2];
    size_t count, hand;
};

static size_t find(const struct model *model, uint64_t key)
{
    for (size_t i = 0; i < model->count; i++)
        if (model->keys[i] == key)
            return i;
    return SIZE_MAX;
}

static void take(struct model *model, size_t at)
{
    memmove(&model->keys[at], &model->keys[at + 1], (model->count - at - 1) * sizeof *model->keys);
    memmove(&model->used[at], &model->used[at + 1], (model->count - at - 1) * sizeof *model->used);
    model->count--;
}

static void push(struct model *model, uint64_t key)
{
    memmove(&model->keys[1], &model->keys[0], model->count * sizeof *model->keys);
    memmove(&model->used[1], &model->used[0], model->count * sizeof *model->used);
    model->keys[0] = key;
    model->used[0] = false;
    model->count++;
}

static bool access_model(struct model *model, pnx_cache_policy policy, uint64_t key)
{
    const size_t at = find(model, key);
    if (at != SIZE_MAX) {
        if (policy == PNX_CACHE_LRU) {
            take(model, at);
            push(model, key);
        }
        model->used[at == SIZE_MAX ? 0 : policy == PNX_CACHE_LRU ? 0 : at] = true;
        return true;
    }
    if (policy == PNX_CACHE_CLOCK) {
        push(model, key);
        while (model->count > CAPACITY && model->used[model->count - 1]) {
            const uint64_t again = model->keys[model->count - 1];
            take(model, model->count - 1);
            push(model, again);
        }
        if (model->count > CAPACITY)
            take(model, model->count - 1);
        return false;
    }
    if (model->count == CAPACITY) {
        size_t victim = model->count - 1;
        if (policy == PNX_CACHE_SIEVE) {
            /* `hand` counts from the newest; SIZE_MAX: begin at the oldest. */
            size_t hand = model->hand < model->count ? model->hand : model->count - 1;
            while (model->used[hand]) {
                model->used[hand] = false;
                hand = hand == 0 ? model->count - 1 : hand - 1;
            }
            victim = hand;
            /* The next newer one; one further from the front when the new key is pushed. */
            model->hand = hand == 0 ? SIZE_MAX : hand;
        }
        take(model, victim);
    }
    push(model, key);
    return false;
}

static void compare(pnx_cache_policy policy, pnx__random *random)
{
    struct model model = {.hand = SIZE_MAX};
    pnx_cache *cache = cache_make(
        &(pnx_cache_config){.capacity = CAPACITY, .policy = policy, .deterministic = true});
    for (size_t i = 0; i < effort(200000); i++) {
        uint64_t key = pnx__random_below(random, KEYS);
        if (pnx__random_below(random, 2))
            key /= 5;
        pnx_auto_ref ref = pnx_cache_get(cache, &key);
        if ((ref.value != NULL) != access_model(&model, policy, key))
            fail_msg("%s differs at step %zu", pnx_cache_policy_name(policy), i);
        if (!ref.value)
            assert_int_equal(pnx_cache_put(cache, &key, &key, NULL), PNX_OK);
    }
    cache_end(cache);
}

static void exact(void **state)
{
    pnx__random random = test_random();
    compare(PNX_CACHE_FIFO, &random);
    compare(PNX_CACHE_LRU, &random);
    compare(PNX_CACHE_CLOCK, &random);
    compare(PNX_CACHE_SIEVE, &random);
}

/* ---- what each is known for ------------------------------------------------------------------ */

struct ratio {
    size_t hits, requests;
};

static void request(pnx_cache *cache, uint64_t key, struct ratio *ratio)
{
    pnx_auto_ref ref = pnx_cache_get(cache, &key);
    ratio->requests++;
    if (ref.value)
        ratio->hits++;
    else
        assert_int_equal(pnx_cache_put(cache, &key, &key, NULL), PNX_OK);
}

/* A loop over twice the capacity. */
static struct ratio loop_ratio(pnx_cache_policy policy, size_t capacity)
{
    struct ratio ratio = {0};
    pnx_cache *cache = cache_make(
        &(pnx_cache_config){.capacity = capacity, .policy = policy, .deterministic = true});
    for (size_t round = 0; round < 200; round++)
        for (uint64_t key = 0; key < 2 * capacity; key++)
            request(cache, key, &ratio);
    cache_end(cache);
    return ratio;
}

static void a_loop(void **state)
{
    assert_int_equal(loop_ratio(PNX_CACHE_LRU, 100).hits, 0);
    assert_int_equal(loop_ratio(PNX_CACHE_FIFO, 100).hits, 0);
    /* The best possible is 49.75 %. */
    const struct ratio adaptive = loop_ratio(PNX_CACHE_ADAPTIVE, 100);
    assert_true(adaptive.hits * 100 > adaptive.requests * 45);
    /* With a sample of the keys too. */
    const struct ratio large = loop_ratio(PNX_CACHE_ADAPTIVE, 4000);
    assert_true(large.hits * 100 > large.requests * 40);
}

/* Each key comes again soon, and then never: recency is all there is. */
static struct ratio recent_ratio(pnx_cache_policy policy)
{
    struct ratio ratio = {0};
    pnx_cache *cache =
        cache_make(&(pnx_cache_config){.capacity = 200, .policy = policy, .deterministic = true});
    for (uint64_t key = 0; key < 50000; key++) {
        request(cache, key, &ratio);
        if (key >= 100)
            request(cache, key - 100, &ratio);
    }
    cache_end(cache);
    return ratio;
}

static void recency(void **state)
{
    const struct ratio lru = recent_ratio(PNX_CACHE_LRU);
    const struct ratio adaptive = recent_ratio(PNX_CACHE_ADAPTIVE);
    assert_true(adaptive.hits * 100 > lru.hits * 95);
}

/* First a loop, then recency: the recipe changes, and says so. */
static void adapts(void **state)
{
    struct ratio ratio = {0};
    pnx_cache_stats loops, recent;
    pnx_cache *cache = cache_make(&(pnx_cache_config){.capacity = 200, .deterministic = true});
    for (size_t round = 0; round < 100; round++)
        for (uint64_t key = 0; key < 300; key++)
            request(cache, key, &ratio);
    pnx_cache_stats_get(cache, &loops);
    for (uint64_t key = 1000; key < 40000; key++) {
        request(cache, key, &ratio);
        request(cache, key - 150, &ratio);
    }
    pnx_cache_stats_get(cache, &recent);
    assert_string_not_equal(loops.policy_now, recent.policy_now);
    assert_string_equal(loops.policy, "adaptive");
    cache_end(cache);
}

/*
 * Each key comes twice, 30 keys apart. S3-FIFO may settle in two ways: a window as wide as the
 * cache, where every second use hits, or a narrow one that misses them all, behind a main queue
 * that is kept full by what comes back from the ghost. The shadow is in the first; the cache must
 * follow.
 */
static void the_split_of_the_shadow_is_followed(void **state)
{
    struct ratio ratio = {0};
    pnx_cache *cache = cache_make(&(pnx_cache_config){.capacity = 100, .deterministic = true});
    for (uint64_t key = 1000; key < 61000; key++) {
        request(cache, key, &ratio);
        request(cache, key - 30, &ratio);
    }
    assert_true(ratio.hits * 100 > ratio.requests * 40); /* of 50 */
    cache_end(cache);
}

/* To and fro over more than fits: now recency is ahead, now frequency. */
static struct ratio zigzag_ratio(pnx_cache_policy policy)
{
    struct ratio ratio = {0};
    pnx_cache *cache =
        cache_make(&(pnx_cache_config){.capacity = 500, .policy = policy, .deterministic = true});
    for (int round = 0; round < 40; round++) {
        for (uint64_t key = 0; key < 2000; key++)
            request(cache, key, &ratio);
        for (uint64_t key = 2000; key-- > 0;)
            request(cache, key, &ratio);
    }
    cache_end(cache);
    return ratio;
}

static void to_and_fro_is_not_followed(void **state)
{
    const struct ratio clock = zigzag_ratio(PNX_CACHE_CLOCK);
    const struct ratio adaptive = zigzag_ratio(PNX_CACHE_ADAPTIVE);
    assert_true(adaptive.hits * 100 > clock.hits * 90);
}

/* What is used twice and never again: whatever keeps what was used keeps it in vain. */
static void age_alone(void **state)
{
    struct ratio fifo = {0}, adaptive = {0};
    for (int which = 0; which < 2; which++) {
        pnx__random random = {1};
        pnx_cache *cache =
            cache_make(&(pnx_cache_config){.capacity = 600,
                                           .policy = which ? PNX_CACHE_ADAPTIVE : PNX_CACHE_FIFO,
                                           .deterministic = true});
        for (uint64_t key = 1000; key < 80000; key++) {
            request(cache, key, which ? &adaptive : &fifo);
            request(cache, key - pnx__random_below(&random, 600), which ? &adaptive : &fifo);
        }
        cache_end(cache);
    }
    assert_true(adaptive.hits * 100 > fifo.hits * 95);
}

static void deterministic(void **state)
{
    for (int i = 0; i < PNX_CACHE_POLICY_COUNT; i++) {
        struct ratio ratios[2] = {{0}};
        for (int run = 0; run < 2; run++) {
            pnx__random random = {4711};
            pnx_cache *cache = cache_make(&(pnx_cache_config){
                .capacity = 50, .policy = (pnx_cache_policy)i, .deterministic = true});
            for (int step = 0; step < 30000; step++) {
                const uint64_t a = pnx__random_below(&random, 300);
                const uint64_t b = pnx__random_below(&random, 300);
                request(cache, a * b / 300, &ratios[run]);
            }
            cache_end(cache);
        }
        assert_int_equal(ratios[0].hits, ratios[1].hits);
        assert_true(ratios[0].hits > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact),
        cmocka_unit_test(a_loop),
        cmocka_unit_test(recency),
        cmocka_unit_test(adapts),
        cmocka_unit_test(deterministic),
        cmocka_unit_test(the_split_of_the_shadow_is_followed),
        cmocka_unit_test(to_and_fro_is_not_followed),
        cmocka_unit_test(age_alone),
    };
    return cmocka_run_group_tests_name("cache policies", tests, NULL, NULL);
}
