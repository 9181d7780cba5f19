/* SPDX-License-Identifier: MIT */
/* Resources by id: registering, looking up, walking; ids that are stale, foreign, or worn out. */
#include "support.h"

PNX_KIND(plain, pnx_test_resource *, pnx_test_release, .priority = PNX_HIGH);
static const pnx_kind empty_kind = {.name = "empty", .release = no_release};
static const pnx_kind passing_kind = {
    .name = "passing", .priority = PNX_CRITICAL, .release = no_release};

struct words {
    uint64_t a, b, c;
};
static struct words seen;

static pnx_status see(void *value, const pnx_release *why)
{
    memcpy(&seen, value, sizeof seen);
    return PNX_OK;
}

static const pnx_kind words_kind = {
    .name = "words", .value_size = sizeof(struct words), .release = see};

/* ---- registering ----------------------------------------------------------------------------- */

static void a_value_is_copied_and_handed_over(void **state)
{
    struct fixture *f = *state;
    struct words words = {1, 2, 3};
    pnx_id id;
    assert_ok(pnx_register(f->registry, &words_kind, &words, NULL, &id, NULL));
    words = (struct words){0};
    pnx_info info;
    assert_ok(pnx_registry_info(f->registry, id, &info));
    memcpy(&words, info.value, sizeof words);
    assert_int_equal(words.b, 2);
    assert_ok(pnx_release_later(f->registry, id, NULL));
    run_for(f, 0);
    assert_int_equal(seen.a, 1);
    assert_int_equal(seen.c, 3);
}

static void unregistering_hands_it_back(void **state)
{
    struct fixture *f = *state;
    struct words words = {7, 8, 9};
    pnx_id id;
    pnx_error err = {0};
    assert_ok(pnx_register(f->registry, &words_kind, &words, NULL, &id, NULL));
    words = (struct words){0};
    assert_ok(pnx_unregister(f->registry, id, &words, &err));
    assert_int_equal(words.b, 8);
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_DONE);
    assert_int_equal(pnx_unregister(f->registry, id, &words, &err), PNX_EALREADY);
    assert_int_equal(err.code, PNX_EALREADY);
    assert_int_equal(pnx_unregister(f->registry, (pnx_id){1, 1}, NULL, &err), PNX_ENOTFOUND);
    const pnx_counts now = counts(f->registry);
    assert_int_equal(now.registered, 0);
    assert_int_equal(now.taken, 1);
    /* On its way it is not handed back any more. */
    id = dropped(f->registry, plain_kind, f->a);
    assert_int_equal(pnx_unregister(f->registry, id, NULL, &err), PNX_EALREADY);
    run_for(f, 0);
    assert_int_equal(pnx_test_recorded(f->a).successes, 1);
}

static void what_is_wrong_is_named(void **state)
{
    struct fixture *f = *state;
    static const pnx_kind wrong[] = {
        {.release = no_release},
        {.name = "", .release = no_release},
        {.name = "releaseless"},
        {.name = "bulky", .release = no_release, .value_size = PNX_VALUE_MAX + 1},
        {.name = "ranked", .release = no_release, .priority = (pnx_priority)4},
        {.name = "hasty", .release = no_release, .timeout = -1},
        {.name = "backwards", .release = no_release, .retry_delay = -1},
        {.name = "capped", .release = no_release, .retry_delay_max = -1},
        {.name = "half", .release = no_release, .fallback = (void (*)(void))no_release},
        {.name = "dumb", .release = no_release, .describe = (void (*)(void))no_release},
    };
    static const char *const told[] = {"name",     "name",     "releaseless", "24",   "ranked",
                                       "negative", "negative", "negative",    "half", "dumb"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        pnx_error err = {0};
        pnx_id id = {5, 5};
        assert_int_equal(pnx_register(f->registry, &wrong[i], &f->a, NULL, &id, &err), PNX_EINVAL);
        assert_int_equal(err.code, PNX_EINVAL);
        assert_contains(err.message, told[i]);
        assert_int_equal(id.low, 5);
    }
    pnx_error err = {0};
    assert_int_equal(pnx_register(NULL, plain_kind, &f->a, NULL, NULL, &err), PNX_EINVAL);
    assert_contains(err.message, "registry");
    assert_int_equal(pnx_register(f->registry, NULL, &f->a, NULL, NULL, &err), PNX_EINVAL);
    assert_contains(err.message, "kind");
    assert_int_equal(pnx_register(f->registry, plain_kind, NULL, NULL, NULL, &err), PNX_EINVAL);
    assert_contains(err.message, "value");
    assert_ok(pnx_register(f->registry, &empty_kind, NULL, NULL, NULL, NULL)); /* has none */
    assert_int_equal(counts(f->registry).registered, 1);
}

static void the_limit_is_met_and_named(void **state)
{
    pnx_test_clock clock;
    pnx_test_clock_init(&clock, 0);
    pnx_registry *registry = made(&(pnx_config){.executor = PNX_MANUAL,
                                                .clock = &clock.clock,
                                                .resources_max = 100,
                                                .backlog_high_water = 64});
    pnx_id ids[100];
    pnx_error err = {0};
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 100; i++)
            assert_ok(pnx_register(registry, &empty_kind, NULL, NULL, &ids[i], &err));
        assert_int_equal(pnx_register(registry, &empty_kind, NULL, NULL, NULL, &err), PNX_ELIMIT);
        assert_contains(err.message, "100");
        assert_contains(err.message, "resources_max");
        for (int i = 0; i < 100; i++)
            assert_ok(pnx_release_later(registry, ids[i], NULL));
        pnx_registry_step(registry, SIZE_MAX);
    }
    finish(registry);
}

/* ---- looking up ------------------------------------------------------------------------------ */

static void all_that_is_known_is_told(void **state)
{
    struct fixture *f = *state;
    pnx_test_clock_advance(&f->clock, PNX_S(4));
    const pnx_site *site = PNX_HERE;
    pnx_id id;
    assert_ok(pnx_register(f->registry, plain_kind, &f->a, site, &id, NULL));
    assert_ok(pnx_resource_set_bytes(f->registry, id, 12345));
    pnx_info info;
    assert_ok(pnx_registry_info(f->registry, id, &info));
    assert_true(pnx_id_equal(info.id, id));
    assert_ptr_equal(info.kind, plain_kind);
    assert_int_equal(info.state, PNX_LIVE);
    assert_int_equal(info.priority, PNX_HIGH);
    assert_int_equal(info.created, PNX_S(4));
    assert_int_equal(info.expires, PNX_FOREVER);
    assert_int_equal(info.bytes, 12345);
    assert_ptr_equal(info.site, site);
    assert_int_equal(info.attempts, 0);
    assert_int_equal(info.last_status, PNX_OK);
    assert_false(info.leaked);
    assert_memory_equal(info.value, &f->a, sizeof f->a);
    /* The next one in its slot inherits nothing. */
    assert_ok(pnx_unregister(f->registry, id, NULL, NULL));
    pnx_id next;
    assert_ok(pnx_register(f->registry, plain_kind, &f->a, NULL, &next, NULL));
    assert_int_equal(pnx__id_slot(next), pnx__id_slot(id));
    assert_int_equal(pnx__id_generation(next), pnx__id_generation(id) + 1);
    assert_ok(pnx_registry_info(f->registry, next, &info));
    assert_int_equal(info.bytes, 0);
    assert_null(info.site);
    assert_int_equal(pnx_registry_info(f->registry, id, &info), PNX_EALREADY);
    assert_int_equal(pnx_resource_set_bytes(f->registry, id, 1), PNX_EALREADY);
}

static void foreign_ids_are_told_from_stale_ones(void **state)
{
    struct fixture *f = *state;
    pnx_registry *other = with_workers(1);
    const pnx_id foreign = put(other, &empty_kind, NULL);
    const pnx_id own = put(f->registry, &empty_kind, NULL);
    pnx_id beyond = own;
    beyond.low |= (uint64_t)(PNX__SLOT_COUNT_MAX - 1) << PNX__SLOT_SHIFT; /* no such slot */
    pnx_id future = own;
    future.low += 5; /* no such generation yet */
    const pnx_id strangers[] = {foreign, PNX_ID_NONE, beyond, future};
    pnx_info info = {.bytes = 77};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pnx_registry_info(f->registry, strangers[i], &info), PNX_ENOTFOUND);
        assert_int_equal(pnx_release_later(f->registry, strangers[i], NULL), PNX_ENOTFOUND);
        assert_int_equal(pnx_release_now(f->registry, strangers[i], PNX_FOREVER, NULL),
                         PNX_ENOTFOUND);
        assert_int_equal(pnx_resource_set_bytes(f->registry, strangers[i], 1), PNX_ENOTFOUND);
        if (i < 3)
            assert_int_equal(pnx_registry_state(f->registry, strangers[i]), PNX_FREE);
    }
    assert_int_equal(info.bytes, 77); /* written on success only */
    assert_int_equal(pnx_registry_state(f->registry, own), PNX_LIVE);
    finish(other);
}

/* Every id of a slot's past is stale, however often it was used. */
static void stale_ids_stay_stale(void **state)
{
    struct fixture *f = *state;
    pnx_id ids[200];
    for (int i = 0; i < 200; i++) {
        ids[i] = dropped(f->registry, &empty_kind, NULL);
        run_for(f, 0);
    }
    put(f->registry, &empty_kind, NULL);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(pnx_registry_state(f->registry, ids[i]), PNX_DONE);
        assert_int_equal(pnx_release_later(f->registry, ids[i], NULL), PNX_EALREADY);
        for (int k = 0; k < i; k++)
            assert_false(pnx_id_equal(ids[i], ids[k]));
    }
}

/* A slot whose generations are used up is retired: no id is ever made twice. */
static void a_worn_out_slot_is_retired(void **state)
{
    struct fixture *f = *state;
    static const int ends[] = {0, 1, 2, 3};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const pnx_id first = put(f->registry, plain_kind, f->a);
        assert_ok(pnx_unregister(f->registry, first, NULL, NULL));
        pnx__slot *slot = pnx__slot_of(f->registry, first);
        /* Free, and used 2^32 - 1 times. */
        atomic_store(&slot->word, (uint64_t)UINT32_MAX << PNX__GENERATION_SHIFT);
        pnx_id last;
        if (ends[i] == 0) {
            last = dropped(f->registry, plain_kind, f->a);
            run_for(f, 0);
        } else if (ends[i] == 1) {
            last = put(f->registry, plain_kind, f->a);
            assert_ok(pnx_unregister(f->registry, last, NULL, NULL));
        } else if (ends[i] == 2) { /* with loose ends */
            last = put(f->registry, plain_kind, f->a);
            assert_ok(pnx_resource_set_metadata(f->registry, last, "a", "b", NULL));
            assert_ok(pnx_release_later(f->registry, last, NULL));
            run_for(f, 0);
        } else { /* failed and forgotten */
            pnx_test_fail(f->a, UINT_MAX, PNX_EFAILED);
            last = dropped(f->registry, plain_kind, f->a);
            run_for(f, 0);
            assert_int_equal(pnx_registry_state(f->registry, last), PNX_FAILED);
            assert_int_equal(pnx_registry_forget_failed(f->registry), 1);
        }
        assert_int_equal(pnx__id_slot(last), pnx__id_slot(first));
        assert_int_equal(pnx__id_generation(last), UINT32_MAX);
        assert_int_equal(pnx_registry_state(f->registry, last), PNX_DONE);
        assert_int_equal(pnx_release_later(f->registry, last, NULL), PNX_EALREADY);
        assert_int_equal(pnx_registry_state(f->registry, first), PNX_DONE);
        /* It is not used again. */
        pnx_id others[100];
        for (int k = 0; k < 100; k++) {
            others[k] = put(f->registry, &empty_kind, NULL);
            assert_int_not_equal(pnx__id_slot(others[k]), pnx__id_slot(first));
        }
        for (int k = 99; k >= 0; k--)
            assert_ok(pnx_unregister(f->registry, others[k], NULL, NULL));
    }
    /* The same for a guard that is reserved only. */
    const pnx_id first = put(f->registry, plain_kind, f->a);
    assert_ok(pnx_unregister(f->registry, first, NULL, NULL));
    atomic_store(&pnx__slot_of(f->registry, first)->word,
                 (uint64_t)UINT32_MAX << PNX__GENERATION_SHIFT);
    {
        pnx_auto(plain) guard = pnx_reserve(plain, f->registry, NULL);
        assert_ok(guard.status);
    }
    assert_int_not_equal(pnx__id_slot(put(f->registry, &empty_kind, NULL)), pnx__id_slot(first));
}

/* ---- walking --------------------------------------------------------------------------------- */

struct walk {
    size_t visited, most;
    uint64_t ids;
};

static bool note_it(const pnx_info *info, void *context)
{
    struct walk *walk = context;
    assert_true(info->state != PNX_FREE && info->state != PNX_RESERVED);
    walk->visited++;
    walk->ids += pnx__id_slot(info->id);
    return walk->visited < walk->most;
}

static void a_walk_sees_each_once(void **state)
{
    struct fixture *f = *state;
    uint64_t ids = 0;
    for (int i = 0; i < 5000; i++)
        ids += pnx__id_slot(put(f->registry, &empty_kind, NULL));
    pnx_auto(plain) reserved = pnx_reserve(plain, f->registry, NULL);
    assert_ok(reserved.status);
    struct walk walk = {.most = SIZE_MAX};
    assert_int_equal(pnx_registry_each(f->registry, note_it, &walk), 5000);
    assert_int_equal(walk.visited, 5000);
    assert_int_equal(walk.ids, ids);
    walk = (struct walk){.most = 17};
    assert_int_equal(pnx_registry_each(f->registry, note_it, &walk), 17);
}

struct churn {
    pthread_t thread;
    pnx_registry *registry;
    _Atomic uint32_t *stop;
};

static void *churn(void *argument)
{
    struct churn *self = argument;
    while (atomic_load(self->stop) == 0)
        for (int i = 0; i < 100; i++)
            dropped(self->registry, &passing_kind, NULL);
    return NULL;
}

static bool check_it(const pnx_info *info, void *context)
{
    /* Whatever comes and goes: what is told belongs together. */
    if (info->kind == &empty_kind)
        ++*(size_t *)context;
    return pnx_priority_rank(info->priority) == pnx_priority_rank(info->kind->priority) &&
           info->created >= 0 && info->site != NULL;
}

/* Walking and looking up while others register and release. */
static void what_stays_is_seen_while_others_come_and_go(void **state)
{
    pnx_registry *registry = with_workers(2);
    _Atomic uint32_t stop = 0;
    struct churn churns[3];
    pnx_id ids[500];
    for (int i = 0; i < 500; i++)
        ids[i] = put(registry, &empty_kind, NULL);
    for (int i = 0; i < 3; i++) {
        churns[i] = (struct churn){.registry = registry, .stop = &stop};
        assert_int_equal(pthread_create(&churns[i].thread, NULL, churn, &churns[i]), 0);
    }
    for (size_t round = effort(200); round > 0; round--) {
        size_t stayed = 0;
        const size_t visited = pnx_registry_each(registry, check_it, &stayed);
        assert_int_equal(stayed, 500);
        assert_true(visited >= 500);
        pnx_info info;
        for (int i = 0; i < 500; i++) {
            assert_ok(pnx_registry_info(registry, ids[i], &info));
            assert_true(pnx_id_equal(info.id, ids[i]));
        }
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < 3; i++)
        pthread_join(churns[i].thread, NULL);
    assert_ok(pnx_release_kind(registry, "empty", NULL, PNX_FOREVER, NULL));
    finish(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(a_value_is_copied_and_handed_over),
        with_fixture(unregistering_hands_it_back),
        with_fixture(what_is_wrong_is_named),
        cmocka_unit_test(the_limit_is_met_and_named),
        with_fixture(all_that_is_known_is_told),
        with_fixture(foreign_ids_are_told_from_stale_ones),
        with_fixture(stale_ids_stay_stale),
        with_fixture(a_worn_out_slot_is_retired),
        with_fixture(a_walk_sees_each_once),
        cmocka_unit_test(what_stays_is_seen_while_others_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
