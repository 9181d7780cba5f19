/* SPDX-License-Identifier: MIT */
/* Loads: one at a time for each key, recursion, errors; computes. */
#include "support.h"

struct loader {
    pnx_cache *cache;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned begun[16], running[16], running_max[16];
    bool hold;
    pnx_status answer;
    struct thing *things[64];
    size_t count;
};

static pnx_status load(const void *key, pnx_cache_loaded *ret, void *context, pnx_error *err)
{
    struct loader *loader = context;
    const uint64_t k = *(const uint64_t *)key;
    pthread_mutex_lock(&loader->lock);
    loader->begun[k]++;
    if (++loader->running[k] > loader->running_max[k])
        loader->running_max[k] = loader->running[k];
    pthread_cond_broadcast(&loader->changed);
    while (loader->hold)
        pthread_cond_wait(&loader->changed, &loader->lock);
    loader->running[k]--;
    const pnx_status status = loader->answer;
    struct thing *thing = NULL;
    if (status == PNX_OK) {
        thing = calloc(1, sizeof *thing);
        thing->key = k;
        loader->things[loader->count++] = thing;
    }
    pthread_mutex_unlock(&loader->lock);
    if (status)
        return pnx_fail(err, status, "no thing %d", (int)k);
    *(struct thing **)ret->value = thing;
    return PNX_OK;
}

static void loader_init(struct loader *loader)
{
    *loader =
        (struct loader){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
}

/* A cache that loads by it. */
static pnx_cache *loading(struct fixture *fixture, struct loader *loader,
                          pnx_duration error_lifetime)
{
    loader_init(loader);
    return cache_make(&(pnx_cache_config){.registry = fixture->registry,
                                          .kind = thing_kind,
                                          .capacity = 8,
                                          .load = load,
                                          .error_lifetime = error_lifetime,
                                          .context = loader});
}

static void hold(struct loader *loader, bool on)
{
    pthread_mutex_lock(&loader->lock);
    loader->hold = on;
    pthread_cond_broadcast(&loader->changed);
    pthread_mutex_unlock(&loader->lock);
}

static void wait_begun(struct loader *loader, uint64_t key, unsigned times)
{
    pthread_mutex_lock(&loader->lock);
    while (loader->begun[key] < times)
        pthread_cond_wait(&loader->changed, &loader->lock);
    pthread_mutex_unlock(&loader->lock);
}

/* Until `waits` loads wait for another's: there is nothing to be woken by, so it looks. */
static void wait_waiting(pnx_cache *cache, uint64_t waits)
{
    pnx_cache_stats stats;
    do {
        sched_yield();
        pnx_cache_stats_get(cache, &stats);
    } while (stats.load_waits < waits);
}

struct user {
    pthread_t thread;
    pnx_cache *cache;
    uint64_t key;
    struct thing *got;
    pnx_error err;
};

static void *use(void *argument)
{
    struct user *user = argument;
    pnx_auto_ref ref = pnx_cache_load(user->cache, &user->key, PNX_FOREVER, &user->err);
    user->got = ref.value ? pnx_ref_get(&ref, struct thing *) : NULL;
    if (user->got)
        assert_int_equal(atomic_load(&user->got->released), 0);
    return NULL;
}

static void begin(struct user *user, pnx_cache *cache, uint64_t key)
{
    *user = (struct user){.cache = cache, .key = key};
    assert_int_equal(pthread_create(&user->thread, NULL, use, user), 0);
}

static void end(struct user *user)
{
    pthread_join(user->thread, NULL);
}

static void finish(struct fixture *fixture, struct loader *loader, pnx_cache *cache)
{
    cache_end(cache);
    settle(fixture);
    for (size_t i = 0; i < loader->count; i++) {
        assert_int_equal(atomic_load(&loader->things[i]->released), 1);
        free(loader->things[i]);
    }
}

#define USERS 6

static void single_flight(void **state)
{
    struct fixture *fixture = *state;
    struct loader loader;
    struct user users[USERS];
    uint64_t other = 2;
    pnx_cache *cache = loading(fixture, &loader, 0);
    hold(&loader, true);
    for (unsigned i = 0; i < USERS; i++)
        begin(&users[i], cache, 1);
    wait_begun(&loader, 1, 1);
    wait_waiting(cache, USERS - 1);
    /* Others are not held up: not by a lock on a bucket, nor by any. */
    struct thing *put = calloc(1, sizeof *put);
    for (uint64_t key = 100; key < 108; key++) {
        pnx_ref ref = pnx_cache_get(cache, &key);
        assert_null(ref.value);
    }
    assert_int_equal(pnx_cache_put(cache, &other, &put, NULL), PNX_OK);
    hold(&loader, false);
    for (unsigned i = 0; i < USERS; i++) {
        end(&users[i]);
        assert_ptr_equal(users[i].got, loader.things[0]);
    }
    assert_int_equal(loader.begun[1], 1);
    pnx_cache_stats stats;
    pnx_cache_stats_get(cache, &stats);
    assert_int_equal(stats.loads, 1);
    finish(fixture, &loader, cache);
    free(put);
}

/* Even if the cache does not keep it: those that waited get what was loaded. */
static void errors_are_shared(void **state)
{
    struct fixture *fixture = *state;
    struct loader loader;
    struct user users[USERS];
    loader_init(&loader);
    loader.answer = PNX_EFAILED;
    pnx_cache *cache = cache_make(&(pnx_cache_config){.registry = fixture->registry,
                                                      .kind = thing_kind,
                                                      .capacity = 8,
                                                      .load = load,
                                                      .context = &loader});
    hold(&loader, true);
    for (unsigned i = 0; i < USERS; i++)
        begin(&users[i], cache, 1);
    wait_waiting(cache, USERS - 1);
    hold(&loader, false);
    for (unsigned i = 0; i < USERS; i++) {
        end(&users[i]);
        assert_null(users[i].got);
        assert_int_equal(users[i].err.code, PNX_EFAILED);
        assert_string_equal(users[i].err.message, "no thing 1");
    }
    assert_int_equal(loader.begun[1], 1);
    begin(&users[0], cache, 1); /* it was not kept */
    end(&users[0]);
    assert_int_equal(loader.begun[1], 2);
    finish(fixture, &loader, cache);
}

static void errors_are_kept(void **state)
{
    struct fixture *fixture = *state;
    struct loader loader;
    struct user user;
    uint64_t key = 1;
    loader_init(&loader);
    loader.answer = PNX_EFAILED;
    pnx_cache *cache = cache_make(&(pnx_cache_config){.registry = fixture->registry,
                                                      .kind = thing_kind,
                                                      .capacity = 8,
                                                      .load = load,
                                                      .context = &loader,
                                                      .error_lifetime = PNX_S(5)});
    for (int i = 0; i < 3; i++) {
        begin(&user, cache, 1);
        end(&user);
        assert_int_equal(user.err.code, PNX_EFAILED);
    }
    assert_int_equal(loader.begun[1], 1);
    pnx_test_clock_advance(&fixture->clock, PNX_S(5));
    begin(&user, cache, 1);
    end(&user);
    assert_int_equal(loader.begun[1], 2);
    assert_false(pnx_cache_remove(cache, &key)); /* forgets the error too */
    loader.answer = PNX_OK;
    begin(&user, cache, 1);
    end(&user);
    assert_non_null(user.got);
    finish(fixture, &loader, cache);
}

static void a_deadline(void **state)
{
    struct fixture *fixture = *state;
    struct loader loader;
    struct user user;
    uint64_t key = 1;
    pnx_error err = {0};
    pnx_cache *cache = loading(fixture, &loader, 0);
    hold(&loader, true);
    begin(&user, cache, 1);
    wait_begun(&loader, 1, 1);
    pnx_ref ref = pnx_cache_load(cache, &key, pnx_monotonic_now(), &err);
    assert_null(ref.value);
    assert_int_equal(err.code, PNX_ETIMEOUT);
    ref = pnx_cache_load(cache, &key, INT64_MIN, &err); /* and no later if it is long past */
    assert_null(ref.value);
    assert_int_equal(err.code, PNX_ETIMEOUT);
    hold(&loader, false);
    end(&user);
    assert_non_null(user.got);
    finish(fixture, &loader, cache);
}

static void put_and_remove_meanwhile(void **state)
{
    struct fixture *fixture = *state;
    struct loader loader;
    struct user user;
    uint64_t key = 1;
    pnx_cache *cache = loading(fixture, &loader, 0);
    /* What was put wins, and is what the load answers. */
    hold(&loader, true);
    begin(&user, cache, 1);
    wait_begun(&loader, 1, 1);
    struct thing *mine = calloc(1, sizeof *mine);
    assert_int_equal(pnx_cache_put(cache, &key, &mine, NULL), PNX_OK);
    hold(&loader, false);
    end(&user);
    assert_ptr_equal(user.got, mine);
    settle(fixture);
    assert_int_equal(atomic_load(&loader.things[0]->released), 1);
    assert_true(pnx_cache_remove(cache, &key));
    /* What is loaded across a remove is answered, but not kept. */
    hold(&loader, true);
    begin(&user, cache, 1);
    wait_begun(&loader, 1, 2);
    assert_false(pnx_cache_remove(cache, &key));
    hold(&loader, false);
    end(&user);
    assert_ptr_equal(user.got, loader.things[1]);
    pnx_ref none = pnx_cache_get(cache, &key);
    assert_null(none.value);
    finish(fixture, &loader, cache);
    free(mine);
}

/* The truth that a cache is in front of. */
static _Atomic uint64_t truth;
static _Atomic bool stopped;

static pnx_status load_truth(const void *key, pnx_cache_loaded *ret, void *context, pnx_error *err)
{
    (void)key;
    (void)context;
    (void)err;
    *(uint64_t *)ret->value = atomic_load(&truth);
    sched_yield();
    return PNX_OK;
}

static void *keep_loading(void *cache)
{
    while (!atomic_load(&stopped)) {
        pnx_auto_ref ref = pnx_cache_load(cache, &(uint64_t){1}, PNX_FOREVER, NULL);
        assert_non_null(ref.value);
    }
    return NULL;
}

/* Whoever changes the truth and removes the key never reads the old value afterwards. */
static void a_remove_outdates_the_loads_that_run(void **state)
{
    uint64_t key = 1;
    pthread_t threads[3];
    (void)state;
    atomic_store(&stopped, false);
    pnx_cache *cache = cache_make(&(pnx_cache_config){.capacity = 4, .load = load_truth});
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, keep_loading, cache), 0);
    for (size_t i = 0; i < effort(30000); i++) {
        const uint64_t now = atomic_fetch_add(&truth, 1) + 1;
        (void)pnx_cache_remove(cache, &key);
        pnx_auto_ref ref = i % 16 == 0 ? pnx_cache_load(cache, &key, PNX_FOREVER, NULL)
                                       : pnx_cache_get(cache, &key);
        assert_true(ref.value == NULL || pnx_ref_get(&ref, uint64_t) >= now);
        assert_true(ref.value != NULL || i % 16 != 0);
    }
    atomic_store(&stopped, true);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    cache_end(cache);
}

/* ---- recursion ------------------------------------------------------------------------------- */

static pnx_cache *recursive;
static pthread_barrier_t both_load;
static _Atomic unsigned deadlocks;

static pnx_status load_itself(const void *key, pnx_cache_loaded *ret, void *context, pnx_error *err)
{
    const uint64_t k = *(const uint64_t *)key;
    const uint64_t next = k == 0 ? 0 : k - 1; /* 3 loads 2 loads 1 loads 0 loads 0 */
    pnx_auto_ref ref = pnx_cache_load(recursive, &next, PNX_FOREVER, err);
    if (!ref.value)
        return err->code;
    *(uint64_t *)ret->value = pnx_ref_get(&ref, uint64_t) + 1;
    return PNX_OK;
}

static void recursion(void **state)
{
    uint64_t key = 3, value = 10;
    pnx_error err = {0};
    recursive = cache_make(&(pnx_cache_config){.capacity = 10, .load = load_itself});
    pnx_ref ref = pnx_cache_load(recursive, &key, PNX_FOREVER, &err);
    assert_null(ref.value);
    assert_int_equal(err.code, PNX_EDEADLOCK);
    key = 0;
    assert_int_equal(pnx_cache_put(recursive, &key, &value, NULL), PNX_OK);
    key = 3;
    ref = pnx_cache_load(recursive, &key, PNX_FOREVER, &err);
    assert_int_equal(pnx_ref_get(&ref, uint64_t), 13); /* other keys may be loaded inside */
    pnx_ref_drop(&ref);
    cache_end(recursive);
}

/* Two threads that load each other's key. */
static pnx_status load_other(const void *key, pnx_cache_loaded *ret, void *context, pnx_error *err)
{
    const uint64_t other = *(const uint64_t *)key ^ 1;
    pthread_barrier_wait(&both_load);
    pnx_error inner = {0};
    pnx_auto_ref ref = pnx_cache_load(recursive, &other, PNX_FOREVER, &inner);
    (void)ref;
    if (inner.code == PNX_EDEADLOCK)
        atomic_fetch_add(&deadlocks, 1);
    *(uint64_t *)ret->value = other;
    return PNX_OK;
}

static void *load_key(void *argument)
{
    pnx_auto_ref ref = pnx_cache_load(recursive, argument, PNX_FOREVER, NULL);
    assert_non_null(ref.value);
    return NULL;
}

static void recursion_of_two(void **state)
{
    uint64_t keys[2] = {0, 1};
    pthread_t threads[2];
    pthread_barrier_init(&both_load, NULL, 2);
    recursive = cache_make(&(pnx_cache_config){.capacity = 10, .load = load_other});
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, load_key, &keys[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&deadlocks), 1); /* one of them; the other gets its value */
    cache_end(recursive);
    pthread_barrier_destroy(&both_load);
}

static pnx_status load_ends(const void *key, pnx_cache_loaded *ret, void *context, pnx_error *err)
{
    pthread_exit(NULL);
}

static void *load_and_end(void *argument)
{
    uint64_t key = 1;
    (void)!pnx_cache_load(argument, &key, PNX_FOREVER, NULL).value;
    return NULL;
}

static void a_load_that_ends_its_thread(void **state)
{
    pthread_t thread;
    uint64_t key = 1;
    pnx_cache *cache = cache_make(&(pnx_cache_config){.capacity = 10, .load = load_ends});
    pthread_create(&thread, NULL, load_and_end, cache);
    pthread_join(thread, NULL);
    assert_int_equal(pnx_cache_put(cache, &key, &key, NULL), PNX_OK);
    cache_end(cache); /* would wait for the flight for ever */
}

/* ---- compute --------------------------------------------------------------------------------- */

static pnx_cache_decision add_one(const void *key, const void *old, void *value, void *argument)
{
    *(uint64_t *)value = old ? *(const uint64_t *)old + 1 : 1;
    return PNX_CACHE_STORE;
}
static pnx_cache_decision below(const void *key, const void *old, void *value, void *argument)
{
    return old && *(const uint64_t *)old >= *(const uint64_t *)argument ? PNX_CACHE_REMOVE
                                                                        : PNX_CACHE_KEEP;
}

static void *count_up(void *argument)
{
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t key = i % 3;
        assert_int_equal(pnx_cache_compute(argument, &key, add_one, NULL, PNX_FOREVER, NULL, NULL),
                         PNX_OK);
    }
    return NULL;
}

static void compute(void **state)
{
    pthread_t threads[4];
    uint64_t key = 0, limit = 5000;
    pnx_ref ref;
    pnx_cache *cache = cache_make(&(pnx_cache_config){.capacity = 10});
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, count_up, cache);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    uint64_t sum = 0;
    for (key = 0; key < 3; key++) {
        ref = pnx_cache_get(cache, &key);
        sum += pnx_ref_get(&ref, uint64_t);
        pnx_ref_drop(&ref);
    }
    assert_int_equal(sum, 4000); /* none was lost */
    key = 0;
    assert_int_equal(pnx_cache_compute(cache, &key, below, &limit, PNX_FOREVER, &ref, NULL),
                     PNX_OK);
    assert_non_null(ref.value);
    pnx_ref_drop(&ref);
    limit = 10;
    assert_int_equal(pnx_cache_compute(cache, &key, below, &limit, PNX_FOREVER, &ref, NULL),
                     PNX_OK);
    assert_null(ref.value);
    ref = pnx_cache_peek(cache, &key);
    assert_null(ref.value);
    cache_end(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(single_flight, fixture_make, fixture_end),
        cmocka_unit_test_setup_teardown(errors_are_shared, fixture_make, fixture_end),
        cmocka_unit_test_setup_teardown(errors_are_kept, fixture_make, fixture_end),
        cmocka_unit_test_setup_teardown(a_deadline, fixture_make, fixture_end),
        cmocka_unit_test_setup_teardown(put_and_remove_meanwhile, fixture_make, fixture_end),
        cmocka_unit_test(a_remove_outdates_the_loads_that_run),
        cmocka_unit_test(recursion),
        cmocka_unit_test(recursion_of_two),
        cmocka_unit_test(a_load_that_ends_its_thread),
        cmocka_unit_test(compute),
    };
    return cmocka_run_group_tests_name("cache load", tests, NULL, NULL);
}
