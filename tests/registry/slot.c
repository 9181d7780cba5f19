/* SPDX-License-Identifier: MIT */
/* The slot table and its magazines: nothing is handed out twice, nothing is lost. */
#include "support.h"

static const pnx_kind empty_kind = {.name = "empty", .release = no_release};

enum { MOST = 3 * PNX__CHUNK_SLOTS };

static pnx_registry *of_size(pnx_test_clock *clock, uint64_t most)
{
    pnx_test_clock_init(clock, 0);
    return made(&(pnx_config){.executor = PNX_MANUAL,
                              .clock = &clock->clock,
                              .resources_max = most,
                              .backlog_high_water = 64});
}

static void a_table_gives_out_each_slot_once(void **state)
{
    static const uint64_t sizes[] = {
        64, 65, 100, PNX__CHUNK_SLOTS - 1, PNX__CHUNK_SLOTS, PNX__CHUNK_SLOTS + 1, MOST};
    static bool given[MOST];
    static pnx_id ids[MOST];
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        pnx_test_clock clock;
        pnx_registry *registry = of_size(&clock, sizes[s]);
        for (int round = 0; round < 3; round++) {
            memset(given, 0, sizeof given);
            for (uint64_t i = 0; i < sizes[s]; i++) {
                assert_ok(pnx_register(registry, &empty_kind, NULL, NULL, &ids[i], NULL));
                assert_true(pnx__id_slot(ids[i]) < sizes[s]);
                assert_false(given[pnx__id_slot(ids[i])]);
                given[pnx__id_slot(ids[i])] = true;
            }
            assert_int_equal(pnx_register(registry, &empty_kind, NULL, NULL, NULL, NULL),
                             PNX_ELIMIT);
            for (uint64_t i = 0; i < sizes[s]; i++)
                assert_ok(pnx_unregister(registry, ids[i], NULL, NULL));
        }
        finish(registry);
    }
}

/* One thread takes, another one gives back: the slots come round. */
struct giver {
    pnx_registry *registry;
    pnx_id *ids;
    size_t count;
};

static void *give_back(void *argument)
{
    struct giver *self = argument;
    for (size_t i = 0; i < self->count; i++)
        assert_ok(pnx_unregister(self->registry, self->ids[i], NULL, NULL));
    return NULL;
}

static void slots_travel_between_threads(void **state)
{
    static pnx_id ids[1000];
    pnx_test_clock clock;
    pnx_registry *registry = of_size(&clock, 1000);
    for (size_t round = effort(50) + 5; round > 0; round--) {
        for (int i = 0; i < 1000; i++)
            assert_ok(pnx_register(registry, &empty_kind, NULL, NULL, &ids[i], NULL));
        struct giver giver = {registry, ids, 1000};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, give_back, &giver), 0);
        pthread_join(thread, NULL); /* and with the thread its magazines come back */
    }
    finish(registry);
}

/* The workers give back what others take, at full speed; the table does not grow. */
static void it_does_not_grow_without_need(void **state)
{
    pnx_registry *registry = with_workers(2);
    for (size_t round = effort(200) + 2; round > 0; round--) {
        for (int i = 0; i < 500; i++)
            dropped(registry, &empty_kind, NULL);
        assert_ok(pnx_registry_wait_idle(registry, patience()));
    }
    pnx_stats stats;
    assert_ok(pnx_registry_stats(registry, &stats, NULL));
    assert_int_equal(stats.slots, PNX__CHUNK_SLOTS);
    pnx_stats_done(&stats);
    finish(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_gives_out_each_slot_once),
        cmocka_unit_test(slots_travel_between_threads),
        cmocka_unit_test(it_does_not_grow_without_need),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
