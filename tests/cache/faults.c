/* SPDX-License-Identifier: MIT */
/* Every allocation fails once, at every place in turn: an error comes back, nothing is lost, and
 * the cache goes on. */
#include "base/sys.h"
#include "support.h"

static long fail_at; /* -1: never; one thread */
static long asked;

static bool hook(enum pnx__fault point)
{
    if (point != PNX__FAULT_ALLOC && point != PNX__FAULT_MAP)
        return false;
    return asked++ == fail_at;
}

static unsigned made, given;

static pnx_status count_release(struct thing *thing, const pnx_release *why)
{
    given++;
    free(thing);
    return PNX_OK;
}
PNX_KIND(counted, struct thing *, count_release);

static pnx_status load(const void *key, pnx_cache_loaded *ret, void *context, pnx_error *err)
{
    *(struct thing **)ret->value = calloc(1, sizeof(struct thing));
    made++;
    return PNX_OK;
}

static bool see(const void *key, const void *value, void *context)
{
    return true;
}

static uint32_t weigh(const void *key, const void *value, void *context)
{
    return 1;
}

static void use(pnx_cache *cache)
{
    for (uint64_t key = 0; key < 3000; key++) {
        struct thing *thing = calloc(1, sizeof *thing);
        pnx_error err = {0};
        const pnx_status status = pnx_cache_put(cache, &key, &thing, &err);
        if (status == PNX_OK) {
            made++;
        } else {
            assert_true(status == PNX_ENOMEM && err.message[0]);
            free(thing);
        }
        pnx_auto_ref ref = pnx_cache_get(cache, &key);
        (void)ref;
    }
    for (uint64_t key = 5000; key < 5010; key++) {
        pnx_auto_ref ref = pnx_cache_load(cache, &key, PNX_FOREVER, NULL);
        (void)ref;
    }
    (void)pnx_cache_each(cache, see, NULL);
    assert_int_equal(pnx_cache_resize(cache, 1000, NULL), PNX_OK);
    pnx_cache_drain(cache);
}

static void once(struct fixture *fixture, long at)
{
    pnx_cache *cache = NULL;
    pnx_error err = {0};
    made = given = 0;
    asked = 0;
    fail_at = at;
    const pnx_status status = pnx_cache_create(&(pnx_cache_config){.registry = fixture->registry,
                                                                   .kind = counted_kind,
                                                                   .capacity = 2500,
                                                                   .weigh = weigh,
                                                                   .load = load,
                                                                   .expire_after_write = PNX_S(5)},
                                               &cache, &err);
    if (status == PNX_OK) {
        use(cache);
        cache_end(cache);
    } else {
        assert_int_equal(status, PNX_ENOMEM);
        assert_true(err.message[0] != '\0');
    }
    fail_at = -1;
    settle(fixture);
    assert_int_equal(made, given);
}

static void every_allocation(void **state)
{
    struct fixture *fixture = *state;
    atomic_store(&pnx__fault_hook, hook);
    once(fixture, -1);
    const long all = asked;
    assert_true(all > 10);
    print_message("# %ld allocations\n", all);
    for (long at = 0; at < all + 3; at++)
        once(fixture, at);
    atomic_store(&pnx__fault_hook, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_allocation, fixture_make, fixture_end),
    };
    return cmocka_run_group_tests_name("cache faults", tests, NULL, NULL);
}
