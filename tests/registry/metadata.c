/* SPDX-License-Identifier: MIT */
/* Free-form metadata and backtraces of resources. */
#include "support.h"

PNX_KIND(plain, pnx_test_resource *, pnx_test_release);

static void set(struct fixture *f, pnx_id id, const char *key, const char *value)
{
    pnx_error err = {0};
    if (pnx_resource_set_metadata(f->registry, id, key, value, &err) != PNX_OK)
        fail_msg("%s", err.message);
}

static void assert_entry(struct fixture *f, pnx_id id, const char *key, const char *value)
{
    char text[64];
    size_t length;
    assert_ok(pnx_resource_get_metadata(f->registry, id, key, text, sizeof text, &length));
    assert_string_equal(text, value);
    assert_int_equal(length, strlen(value));
}

static void entries_are_set_changed_and_removed(void **state)
{
    struct fixture *f = *state;
    char text[8] = "before";
    const pnx_id id = put(f->registry, plain_kind, f->a);
    assert_int_equal(pnx_resource_get_metadata(f->registry, id, "a", text, 8, NULL), PNX_ENOTFOUND);
    set(f, id, "none", NULL); /* removing what is not there */
    set(f, id, "a", "1");
    set(f, id, "b", "");
    set(f, id, "a.long.key with spaces=", "two\nlines");
    set(f, id, "c", "3");
    assert_entry(f, id, "a", "1");
    assert_entry(f, id, "b", "");
    assert_entry(f, id, "a.long.key with spaces=", "two\nlines");
    set(f, id, "a", "another, longer value");
    set(f, id, "b", NULL);
    set(f, id, "none", NULL);
    assert_entry(f, id, "a", "another, longer value");
    assert_entry(f, id, "c", "3");
    assert_int_equal(pnx_resource_get_metadata(f->registry, id, "b", text, 8, NULL), PNX_ENOTFOUND);
    assert_string_equal(text, "before");
}

static void texts_are_cut_to_fit(void **state)
{
    struct fixture *f = *state;
    const pnx_id id = put(f->registry, plain_kind, f->a);
    set(f, id, "key", "0123456789");
    char text[8];
    size_t length;
    assert_ok(pnx_resource_get_metadata(f->registry, id, "key", text, sizeof text, &length));
    assert_string_equal(text, "0123456");
    assert_int_equal(length, 10);
    assert_ok(pnx_resource_get_metadata(f->registry, id, "key", text, 1, NULL));
    assert_string_equal(text, "");
    assert_ok(pnx_resource_get_metadata(f->registry, id, "key", NULL, 0, &length));
    assert_int_equal(length, 10);
}

static void the_limit_is_4_kib_in_all(void **state)
{
    struct fixture *f = *state;
    const pnx_id id = put(f->registry, plain_kind, f->a);
    char value[5000];
    pnx_error err = {0};
    memset(value, 'x', sizeof value);
    value[4096 - 4] = '\0'; /* with "k" and two terminators exactly 4096 + 1 - ... */
    value[4096 - 3] = '\0';
    set(f, id, "k", value); /* 2 + 4093 */
    assert_int_equal(pnx_resource_set_metadata(f->registry, id, "l", "", &err), PNX_ELIMIT);
    assert_contains(err.message, "4096");
    assert_contains(err.message, "l");
    value[4096 - 4] = 'x'; /* 4096 bytes in all */
    value[4096 - 2] = '\0';
    set(f, id, "k", value);
    value[4096 - 3] = 'x';
    value[4096 - 2] = '\0';
    assert_int_equal(pnx_resource_set_metadata(f->registry, id, "k", value, &err), PNX_ELIMIT);
    value[4096 - 2] = 'x';
    value[4999] = '\0';
    assert_int_equal(pnx_resource_set_metadata(f->registry, id, "k", value, &err), PNX_ELIMIT);
    assert_int_equal(pnx_resource_set_metadata(f->registry, id, value, "", &err), PNX_ELIMIT);
    set(f, id, "k", "short again");
    set(f, id, "l", "and there is room");
    assert_entry(f, id, "k", "short again");
}

static void what_is_wrong_is_refused(void **state)
{
    struct fixture *f = *state;
    pnx_error err = {0};
    char text[4];
    const pnx_id id = put(f->registry, plain_kind, f->a);
    assert_int_equal(pnx_resource_set_metadata(f->registry, id, NULL, "x", &err), PNX_EINVAL);
    assert_int_equal(pnx_resource_set_metadata(f->registry, id, "", "x", &err), PNX_EINVAL);
    assert_int_equal(pnx_resource_get_metadata(f->registry, id, NULL, text, 4, NULL), PNX_EINVAL);
    const pnx_id foreign = {1, 2};
    assert_int_equal(pnx_resource_set_metadata(f->registry, foreign, "k", "x", &err),
                     PNX_ENOTFOUND);
    assert_int_equal(pnx_resource_set_metadata(f->registry, foreign, "k", NULL, &err),
                     PNX_ENOTFOUND);
    assert_int_equal(pnx_resource_get_metadata(f->registry, foreign, "k", text, 4, NULL),
                     PNX_ENOTFOUND);
    set(f, id, "k", "x");
    assert_ok(pnx_unregister(f->registry, id, NULL, NULL));
    assert_null(pnx__slot_of(f->registry, id)->meta);
    assert_int_equal(pnx_resource_set_metadata(f->registry, id, "k", "x", &err), PNX_EALREADY);
    assert_int_equal(pnx_resource_get_metadata(f->registry, id, "k", text, 4, NULL), PNX_EALREADY);
    /* The next resource in its slot has none of it. */
    const pnx_id next = put(f->registry, plain_kind, f->a);
    assert_int_equal(pnx_resource_get_metadata(f->registry, next, "k", text, 4, NULL),
                     PNX_ENOTFOUND);
}

static void append(const char *key, const char *value, void *context)
{
    pnx_test_log_add(context, "%s:%s", key, value);
}

static void all_entries_are_visited_and_reported(void **state)
{
    struct fixture *f = *state;
    const pnx_id id = put(f->registry, plain_kind, f->a);
    assert_ok(pnx_resource_each_metadata(f->registry, id, append, f->log));
    assert_string_equal(pnx_test_log_text(f->log), "");
    set(f, id, "who", "me");
    set(f, id, "why", "because");
    assert_ok(pnx_resource_each_metadata(f->registry, id, append, f->log));
    assert_string_equal(pnx_test_log_text(f->log), "who:me\nwhy:because\n");
    pnx_report report;
    assert_ok(pnx_registry_report(f->registry, &report, NULL));
    assert_string_equal(report.survivors[0].metadata, "who=me, why=because");
    assert_null(report.survivors[0].frames[0]);
    pnx_report_done(&report);
}

/* It may be added to what has failed, and is gone when that is forgotten. */
static void failed_ones_may_have_it_too(void **state)
{
    struct fixture *f = *state;
    pnx_test_fail(f->a, UINT_MAX, PNX_EFAILED);
    const pnx_id id = dropped(f->registry, plain_kind, f->a);
    run_for(f, 0);
    set(f, id, "seen", "yes");
    assert_entry(f, id, "seen", "yes");
    assert_int_equal(pnx_registry_forget_failed(f->registry), 1);
}

static void backtraces_are_recorded_if_asked_for(void **state)
{
    pnx_test_clock clock;
    pnx_test_clock_init(&clock, 0);
    pnx_registry *registry =
        made(&(pnx_config){.executor = PNX_MANUAL, .clock = &clock.clock, .backtraces = true});
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    const pnx_id id = put(registry, plain_kind, b);
    assert_ok(pnx_resource_set_metadata(registry, id, "k", "v", NULL));
    pnx_report report;
    assert_ok(pnx_registry_report(registry, &report, NULL));
    assert_int_equal(report.survivor_count, 1);
    assert_non_null(report.survivors[0].frames[0]);
    assert_string_equal(report.survivors[0].metadata, "k=v");
    pnx_report_done(&report);
    {
        pnx_auto(plain) reserved = pnx_reserve(plain, registry, NULL);
        assert_ok(reserved.status);
    }
    finish(registry);
    pnx_test_resource_free(b);
}

struct writer {
    pthread_t thread;
    pnx_registry *registry;
    _Atomic uint64_t *id;
    _Atomic uint32_t *stop;
};

static void *write_and_read(void *argument)
{
    struct writer *self = argument;
    char text[16];
    while (atomic_load(self->stop) == 0) {
        pnx_id id = pnx__id_of(self->registry, pnx__slot_at(self->registry, 0),
                               atomic_load(self->id) << PNX__GENERATION_SHIFT);
        (void)pnx_resource_set_metadata(self->registry, id, "key", "value", NULL);
        if (pnx_resource_get_metadata(self->registry, id, "key", text, sizeof text, NULL) == PNX_OK)
            assert_string_equal(text, "value");
        (void)pnx_resource_set_metadata(self->registry, id, "key", NULL, NULL);
    }
    return NULL;
}

/* While it is set and read its resource ends, again and again. */
static void it_ends_with_its_resource(void **state)
{
    pnx_registry *registry = with_workers(2);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    _Atomic uint32_t stop = 0;
    _Atomic uint64_t generation = 0;
    struct writer writers[2];
    put(registry, plain_kind, b);
    for (int i = 0; i < 2; i++) {
        writers[i] = (struct writer){.registry = registry, .id = &generation, .stop = &stop};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_and_read, &writers[i]), 0);
    }
    for (size_t i = effort(20000); i > 0; i--) {
        const pnx_id id = put(registry, plain_kind, b);
        if (pnx__id_slot(id) == 0)
            atomic_store(&generation, pnx__id_generation(id));
        (void)pnx_resource_set_metadata(registry, id, "other", "value", NULL);
        if (i % 2 == 0)
            assert_ok(pnx_release_later(registry, id, NULL));
        else
            assert_ok(pnx_unregister(registry, id, NULL, NULL));
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < 2; i++)
        pthread_join(writers[i].thread, NULL);
    finish(registry);
    pnx_test_resource_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(entries_are_set_changed_and_removed),
        with_fixture(texts_are_cut_to_fit),
        with_fixture(the_limit_is_4_kib_in_all),
        with_fixture(what_is_wrong_is_refused),
        with_fixture(all_entries_are_visited_and_reported),
        with_fixture(failed_ones_may_have_it_too),
        cmocka_unit_test(backtraces_are_recorded_if_asked_for),
        cmocka_unit_test(it_ends_with_its_resource),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
