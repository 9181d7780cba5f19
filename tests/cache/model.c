/* SPDX-License-Identifier: MIT */
/*
 * Random programs against an obviously right model: for each key the last thing that was put, and
 * whether it has left. A cache may forget, and that is told exactly once with the cause; it may
 * never answer anything else than the last thing that was put. With FIFO and LRU the model also
 * knows exactly what is there.
 */
#include "support.h"

#define KEYS 40

struct model {
    struct thing *present[KEYS]; /* as the listener left it */
    uint64_t weight;
    uint64_t left[PNX_CACHE_CAUSE_COUNT];
    uint32_t weights[KEYS];
    pnx_cache_cause expected;
    bool any_cause;
    uint64_t order[KEYS]; /* FIFO, LRU: when it was put or used last */
    uint64_t time;
    bool lru;
};

static void listen(const void *key, const void *value, uint32_t weight, pnx_cache_cause cause,
                   void *context)
{
    struct model *model = context;
    const uint64_t k = *(const uint64_t *)key;
    struct thing *thing = *(struct thing *const *)value;
    assert_int_equal(thing->key, k);
    assert_int_equal(atomic_load(&thing->released), 0); /* told before it is released */
    model->left[cause]++;
    if (cause == PNX_CACHE_REPLACED) {
        assert_ptr_not_equal(model->present[k], thing); /* the model has the new one already */
        return;
    }
    assert_ptr_equal(model->present[k], thing); /* once: it was there */
    assert_int_equal(model->weights[k], weight);
    model->present[k] = NULL;
    model->weight -= weight;
}

static uint32_t weigh(const void *key, const void *value, void *context)
{
    return 1 + *(const uint64_t *)key % 3;
}

struct run {
    struct fixture *fixture;
    pnx_cache *cache;
    struct model model;
    struct thing **all;
    size_t made;
    uint64_t capacity;
    bool weighs;
    pnx_cache_policy policy;
};

static struct thing *make(struct run *run, uint64_t key)
{
    struct thing *thing = calloc(1, sizeof *thing);
    thing->key = key;
    thing->number = run->made;
    run->all[run->made++] = thing;
    return thing;
}

/* The key that an exact policy evicts next. */
static uint64_t oldest(const struct model *model)
{
    uint64_t best = KEYS;
    for (uint64_t k = 0; k < KEYS; k++)
        if (model->present[k] && (best == KEYS || model->order[k] < model->order[best]))
            best = k;
    return best;
}

static void do_put(struct run *run, uint64_t key)
{
    struct model *model = &run->model;
    struct thing *thing = make(run, key);
    const uint32_t weight = run->weighs ? (uint32_t)(1 + key % 3) : 1;
    const bool exact = run->policy == PNX_CACHE_FIFO || run->policy == PNX_CACHE_LRU;
    bool stays[KEYS];
    /* What an exact policy leaves: computed on the side before the listener changes the model. */
    struct model after = *model;
    if (!after.present[key]) {
        after.weight += weight;
        after.order[key] = ++after.time;
    } else if (model->lru) {
        after.order[key] = ++after.time;
    }
    after.present[key] = thing;
    while (after.weight > run->capacity) {
        const uint64_t k = oldest(&after);
        after.weight -= after.weights[k] ? after.weights[k] : weight;
        after.present[k] = NULL;
    }
    for (uint64_t k = 0; k < KEYS; k++)
        stays[k] = after.present[k] != NULL;
    if (!model->present[key])
        model->weight += weight;
    model->present[key] = thing;
    model->weights[key] = weight;
    model->time = after.time;
    model->order[key] = after.order[key];
    assert_int_equal(pnx_cache_put(run->cache, &key, &thing, NULL), PNX_OK);
    assert_true(model->weight <= run->capacity);
    for (uint64_t k = 0; exact && k < KEYS; k++)
        assert_int_equal(model->present[k] != NULL, stays[k]);
}

static void do_get(struct run *run, uint64_t key)
{
    pnx_auto_ref ref = pnx_cache_get(run->cache, &key);
    struct thing *expected = run->model.present[key];
    assert_ptr_equal(ref.value ? pnx_ref_get(&ref, struct thing *) : NULL, expected);
    if (expected) {
        assert_int_equal(atomic_load(&expected->released), 0);
        if (run->model.lru)
            run->model.order[key] = ++run->model.time;
    }
}

static void do_put_if_absent(struct run *run, uint64_t key)
{
    if (!run->model.present[key]) {
        do_put(run, key);
        return;
    }
    struct thing *thing = make(run, key);
    pnx_ref ref;
    assert_int_equal(pnx_cache_put_if_absent(run->cache, &key, &thing, &ref, NULL), PNX_EALREADY);
    assert_ptr_equal(pnx_ref_get(&ref, struct thing *), run->model.present[key]);
    pnx_ref_drop(&ref);
    settle(run->fixture);
    assert_int_equal(atomic_load(&thing->released), 0); /* still ours */
    atomic_store(&thing->released, 1);
}

static bool count_visits(const void *key, const void *value, void *context)
{
    struct run *run = context;
    const uint64_t k = *(const uint64_t *)key;
    assert_ptr_equal(*(struct thing *const *)value, run->model.present[k]);
    return true;
}

static void check(struct run *run)
{
    uint64_t entries = 0, weight = 0;
    for (uint64_t k = 0; k < KEYS; k++)
        if (run->model.present[k]) {
            entries++;
            weight += run->model.weights[k];
        }
    pnx_cache_stats stats;
    pnx_cache_stats_get(run->cache, &stats);
    assert_int_equal(stats.entries, entries);
    assert_int_equal(stats.weight, weight);
    assert_int_equal(stats.weight, run->model.weight);
    assert_true(stats.weight <= stats.capacity);
    assert_int_equal(pnx_cache_each(run->cache, count_visits, run), entries);
    for (unsigned i = 0; i < PNX_CACHE_CAUSE_COUNT; i++)
        assert_int_equal(stats.left[i], run->model.left[i]);
}

static void program(struct run *run, pnx__random *random, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        uint64_t key = pnx__random_below(random, KEYS);
        if (pnx__random_below(random, 2))
            key = pnx__random_below(random, 5); /* some are popular */
        switch (pnx__random_below(random, 16)) {
        case 0:
        case 1:
        case 2:
        case 3:
        case 4:
            do_put(run, key);
            break;
        case 5:
            do_put_if_absent(run, key);
            break;
        case 6:
            assert_int_equal(pnx_cache_remove(run->cache, &key), run->model.present[key] != NULL);
            assert_null(run->model.present[key]);
            break;
        case 7:
            if (pnx__random_below(random, 20) == 0) {
                (void)pnx_cache_shrink(run->cache, run->capacity / 2);
                assert_true(run->model.weight <= run->capacity / 2);
            } else if (pnx__random_below(random, 20) == 0) {
                (void)pnx_cache_clear(run->cache);
                assert_int_equal(run->model.weight, 0);
            } else if (pnx__random_below(random, 10) == 0) {
                run->capacity = 3 + pnx__random_below(random, 30);
                assert_int_equal(pnx_cache_resize(run->cache, run->capacity, NULL), PNX_OK);
                assert_true(run->model.weight <= run->capacity);
            }
            break;
        case 8:
            settle(run->fixture);
            check(run);
            break;
        default:
            do_get(run, key);
        }
    }
}

static void run_policy(struct fixture *fixture, pnx_cache_policy policy, bool weighs,
                       pnx__random *random)
{
    const size_t steps = effort(20000);
    struct run run = {.fixture = fixture, .capacity = 12, .weighs = weighs, .policy = policy};
    run.all = calloc(steps + 1, sizeof *run.all);
    run.model.lru = policy == PNX_CACHE_LRU;
    run.cache = cache_make(&(pnx_cache_config){.name = pnx_cache_policy_name(policy),
                                               .registry = fixture->registry,
                                               .kind = thing_kind,
                                               .capacity = run.capacity,
                                               .policy = policy,
                                               .weigh = weighs ? weigh : NULL,
                                               .listener = listen,
                                               .context = &run.model,
                                               .deterministic = true});
    program(&run, random, steps);
    check(&run);
    cache_end(run.cache);
    settle(fixture);
    for (uint64_t k = 0; k < KEYS; k++)
        assert_null(run.model.present[k]);
    for (size_t i = 0; i < run.made; i++) {
        assert_int_equal(atomic_load(&run.all[i]->released), 1); /* exactly once */
        free(run.all[i]);
    }
    free(run.all);
}

static void every_policy(void **state)
{
    pnx__random random = test_random();
    for (int i = 0; i < PNX_CACHE_POLICY_COUNT; i++) {
        run_policy(*state, (pnx_cache_policy)i, false, &random);
        run_policy(*state, (pnx_cache_policy)i, true, &random);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_policy, fixture_make, fixture_end),
    };
    return cmocka_run_group_tests_name("cache model", tests, NULL, NULL);
}
