/* SPDX-License-Identifier: MIT */
/* What each thread keeps for each registry it uses, and what becomes of it. */
#include "support.h"

static const pnx_kind empty_kind = {.name = "empty", .release = no_release};

static size_t blocks(pnx_registry *registry)
{
    size_t count = 0;
    pthread_mutex_lock(&registry->dispatch);
    pnx__list_foreach(node, &registry->threads) count++;
    pthread_mutex_unlock(&registry->dispatch);
    return count;
}

static void *use(void *registry)
{
    dropped(registry, &empty_kind, NULL);
    return NULL;
}

static void a_thread_that_ends_leaves_nothing(void **state)
{
    pnx_registry *registry = with_workers(1);
    dropped(registry, &empty_kind, NULL);
    wait_until(blocks(registry) == 3); /* ours, the worker's, the timekeeper's */
    const size_t before = blocks(registry);
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, use, registry), 0);
        pthread_join(thread, NULL);
    }
    assert_int_equal(blocks(registry), before);
    assert_int_equal(counts(registry).registered, 51);
    finish(registry);
}

/* A thread uses many registries by turns; each has its own account. */
static void registries_do_not_mix(void **state)
{
    enum { MANY = 10 };
    pnx_test_clock clock;
    pnx_registry *registries[MANY];
    for (int i = 0; i < MANY; i++)
        registries[i] = by_hand(&clock);
    for (int round = 0; round < 20; round++)
        for (int i = 0; i < MANY; i++)
            for (int k = 0; k <= i; k++)
                dropped(registries[i], &empty_kind, NULL);
    for (int i = 0; i < MANY; i += 2)
        finish(registries[i]);
    for (int i = 1; i < MANY; i += 2) {
        assert_int_equal(counts(registries[i]).registered, 20 * (i + 1));
        dropped(registries[i], &empty_kind, NULL);
        finish(registries[i]);
    }
}

/* A registry made where another one was: the thread does not take one for the other. */
static void *use_many(void *unused)
{
    for (int i = 0; i < 200; i++) {
        pnx_test_clock clock;
        pnx_registry *registry = by_hand(&clock);
        dropped(registry, &empty_kind, NULL);
        assert_int_equal(counts(registry).registered, 1);
        finish(registry);
    }
    return NULL;
}

static void registries_may_be_made_where_others_were(void **state)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_many, NULL), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

/* A destructor of the thread's, which runs after ours perhaps, may still use the registry. */
static pthread_key_t key;

static void use_at_the_end(void *registry)
{
    static _Thread_local int rounds;
    use(registry);
    if (++rounds < 2)
        pthread_setspecific(key, registry);
}

static void *end_late(void *registry)
{
    use(registry);
    pthread_setspecific(key, registry);
    return NULL;
}

static void it_may_be_used_to_the_very_end(void **state)
{
    pnx_registry *registry = with_workers(1);
    assert_int_equal(pthread_key_create(&key, use_at_the_end), 0);
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, end_late, registry), 0);
        pthread_join(thread, NULL);
        assert_int_equal(counts(registry).registered, 3 * (i + 1));
    }
    pthread_key_delete(key);
    finish(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_that_ends_leaves_nothing),
        cmocka_unit_test(registries_do_not_mix),
        cmocka_unit_test(registries_may_be_made_where_others_were),
        cmocka_unit_test(it_may_be_used_to_the_very_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
