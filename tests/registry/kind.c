/* SPDX-License-Identifier: MIT */
/* Kinds at run time: entered once, with the registry's defaults, up to a limit. */
#include "support.h"

static pnx__kind *runtime_of(pnx_registry *registry, const pnx_kind *kind)
{
    pnx_status status = PNX_OK;
    return pnx__kind_find(registry, kind, &status, NULL);
}

static void zero_means_the_registrys_default(void **state)
{
    pnx_registry *registry = made(&(pnx_config){.executor = PNX_MANUAL,
                                                .timeout = PNX_S(7),
                                                .retry_delay = PNX_MS(3),
                                                .retry_delay_max = PNX_MS(30),
                                                .max_concurrency = 5});
    static const pnx_kind plain = {.name = "plain", .release = no_release};
    static const pnx_kind special = {.name = "special",
                                     .timeout = PNX_FOREVER,
                                     .retries = UINT_MAX,
                                     .retry_delay = PNX_S(1),
                                     .retry_delay_max = PNX_S(2),
                                     .max_concurrency = UINT_MAX,
                                     .release = no_release};
    const pnx__kind *kind = runtime_of(registry, &plain);
    assert_int_equal(kind->timeout, PNX_S(7));
    assert_int_equal(kind->retry_delay, PNX_MS(3));
    assert_int_equal(kind->retry_delay_max, PNX_MS(30));
    assert_int_equal(kind->cap, 5);
    assert_int_equal(kind->attempts_max, 1);
    kind = runtime_of(registry, &special);
    assert_int_equal(kind->timeout, PNX_FOREVER);
    assert_int_equal(kind->retry_delay, PNX_S(1));
    assert_int_equal(kind->retry_delay_max, PNX_S(2));
    assert_int_equal(kind->cap, UINT_MAX);
    assert_true(kind->attempts_max >= 200); /* as many as can be counted */
    assert_ptr_equal(runtime_of(registry, &special), kind);
    finish(registry);
}

static void there_is_a_limit(void **state)
{
    pnx_registry *registry = made(&(pnx_config){.executor = PNX_MANUAL});
    static pnx_kind many[PNX__KINDS_MAX + 1];
    for (int i = 0; i <= PNX__KINDS_MAX; i++)
        many[i] = (pnx_kind){.name = "many", .release = no_release};
    pnx_error err = {0};
    for (int i = 0; i < PNX__KINDS_MAX; i++)
        assert_ok(pnx_register(registry, &many[i], NULL, NULL, NULL, &err));
    assert_int_equal(pnx_register(registry, &many[PNX__KINDS_MAX], NULL, NULL, NULL, &err),
                     PNX_ELIMIT);
    assert_contains(err.message, "1024");
    assert_ok(pnx_register(registry, &many[17], NULL, NULL, NULL, &err)); /* known ones do */
    assert_int_equal(counts(registry).live, PNX__KINDS_MAX + 1);
    finish(registry);
}

/* The same descriptor from many threads at once: entered once. */
static pnx_kind contested[64];

static void *enter_all(void *registry)
{
    for (int i = 0; i < 64; i++)
        assert_ok(pnx_register(registry, &contested[i], NULL, NULL, NULL, NULL));
    return NULL;
}

static void many_threads_enter_the_same(void **state)
{
    pnx_registry *registry = with_workers(1);
    pthread_t threads[4];
    for (int i = 0; i < 64; i++)
        contested[i] = (pnx_kind){.name = "contested", .release = no_release};
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, enter_all, registry), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&registry->kind_count), 64);
    assert_int_equal(counts(registry).live, 4 * 64);
    finish(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_means_the_registrys_default),
        cmocka_unit_test(there_is_a_limit),
        cmocka_unit_test(many_threads_enter_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
