/* SPDX-License-Identifier: MIT */
/* Tests of scopes and tasks where memory and threads fail: nothing is lost, nothing is half done,
 * and what was reserved does not fail. */
#include "support.h"

#include "base/sys.h"

/* ---- failures -------------------------------------------------------------------------------- */

static _Atomic int fail_at; /* the call that fails, counted down; 0: none any more */
static _Atomic int points;  /* bits of enum pnx__fault that count */

static bool fails(enum pnx__fault point)
{
    return (atomic_load(&points) & 1 << point) != 0 && atomic_load(&fail_at) > 0 &&
           atomic_fetch_sub(&fail_at, 1) == 1;
}

static bool always_fails(enum pnx__fault point)
{
    return (atomic_load(&points) & 1 << point) != 0;
}

#define MEMORY (1 << PNX__FAULT_ALLOC | 1 << PNX__FAULT_MAP)

static void hook(pnx__fault_fn function, int which)
{
    atomic_store(&points, which);
    atomic_store(&pnx__fault_hook, function);
}

/* Calls `attempt` with the first, the second, … call failing, until it succeeds without any. */
static void each_failure(struct room *room, int which,
                         pnx_status (*attempt)(struct room *room, pnx_error *err),
                         pnx_status expected, pnx_status or_else)
{
    for (int n = 1;; n++) {
        assert_true(n < 1000);
        pnx_error err = {0};
        atomic_store(&fail_at, n);
        hook(fails, which);
        const pnx_status status = attempt(room, &err);
        hook(NULL, 0);
        if (atomic_load(&fail_at) > 0) {
            assert_int_equal(status, PNX_OK);
            return;
        }
        if (status != PNX_OK) {
            assert_true(status == expected || status == or_else);
            assert_int_equal(err.code, status);
            assert_true(err.message[0] != '\0');
        }
    }
}

/* ---- scopes ---------------------------------------------------------------------------------- */

/* Opens, fills and closes; whatever was said to be in must run, and nothing else. */
static pnx_status use_scopes(struct room *room, pnx_error *err)
{
    struct act act = {room, "x", PNX_OK};
    size_t in = 0;
    pnx_scope outer = pnx_scope_open(room->registry, "outer", err);
    pnx_status status = outer.status;
    pnx_scope inner = {0};
    if (status == PNX_OK) {
        inner = pnx_scope_open_in(&outer, "inner", err);
        status = inner.status;
    }
    for (unsigned i = 0; i < 20 && status == PNX_OK; i++) {
        status = pnx_scope_defer(i % 2 ? &outer : &inner, run_act, &act, err);
        in += status == PNX_OK;
    }
    if (status == PNX_OK) {
        status = pnx_scope_reserve(&inner, 100, err);
    }
    if (inner.slot && pnx_scope_mark(&inner) > 0) {
        /* It goes on, whatever failed before. */
        hook(NULL, 0);
        defer_act(&inner, &act);
        in++;
    }
    hook(always_fails, MEMORY); /* giving back needs no memory */
    assert_int_equal(pnx_scope_close(&outer, patience(room), NULL, NULL), PNX_OK);
    hook(NULL, 0);
    assert_int_equal(pnx_test_log_lines(room->log), in);
    pnx_test_log_clear(room->log);
    pnx_scope_drop(&inner);
    return status;
}

static void no_memory_for_scopes_is_told_and_nothing_is_lost(void **state)
{
    struct room *room = *state;
    each_failure(room, MEMORY, use_scopes, PNX_ENOMEM, PNX_ENOMEM);
    assert_int_equal(counts_of(room).live, 0);
}

static void a_guard_that_could_not_be_adopted_still_owns_its_thing(void **state)
{
    struct room *room = *state;
    pnx_test_resource *resource = pnx_test_resource_new("r", room->log);
    pnx_scope scope = open_scope(room, "full");
    {
        pnx_auto(thing) guard = pnx_reserve(thing, room->registry, NULL);
        assert_true(pnx_arm(&guard, resource));
        pnx_error err = {0};
        hook(always_fails, MEMORY);
        const pnx_status status = pnx_scope_adopt(&scope, &guard, &err);
        hook(NULL, 0);
        assert_int_equal(status, PNX_ENOMEM);
        assert_contains(err.message, "scope full: no memory for 8 entries");
        assert_non_null(guard.base.slot);
        assert_int_equal(pnx_scope_mark(&scope), 0);
    }
    step(room);
    assert_logged(room, "release r\n");
    pnx_scope_drop(&scope);
    pnx_test_resource_free(resource);
}

static void what_is_reserved_does_not_fail(void **state)
{
    struct room *room = *state;
    enum { RESERVED = 5000, THINGS = 50 }; /* more slots than a registry begins with */
    struct act act = {room, "x", PNX_OK};
    pnx_test_resource *resource = pnx_test_resource_new("r", NULL);
    thing_guard guards[THINGS];
    for (unsigned i = 0; i < THINGS; i++) {
        guards[i] = pnx_reserve(thing, room->registry, NULL);
        assert_true(pnx_arm(&guards[i], resource));
    }
    pnx_scope scope = open_scope(room, "reserved");
    defer_act(&scope, &act);
    assert_int_equal(pnx_scope_reserve(&scope, 5, NULL), PNX_OK);
    assert_int_equal(pnx_scope_reserve(&scope, RESERVED, NULL), PNX_OK);
    assert_int_equal(pnx_scope_reserve(&scope, 3, NULL), PNX_OK); /* has more already */
    hook(always_fails, MEMORY);
    for (unsigned i = 0; i < RESERVED; i++) {
        if (i % 100 == 0) {
            assert_int_equal(pnx_scope_adopt(&scope, &guards[i / 100], NULL), PNX_OK);
        } else {
            defer_act(&scope, &act);
        }
    }
    hook(NULL, 0);
    assert_int_equal(pnx_scope_mark(&scope), 1 + RESERVED);
    pnx_stats stats;
    assert_int_equal(pnx_registry_stats(room->registry, &stats, NULL), PNX_OK);
    pnx_stats_done(&stats);
    pnx_scope_result result;
    assert_int_equal(pnx_scope_close(&scope, patience(room), &result, NULL), PNX_OK);
    assert_int_equal(result.released, 1 + RESERVED);
    pnx_test_resource_free(resource);
}

static void a_reserved_action_knows_where_it_was_added(void **state)
{
    struct room *room = *state;
    struct act bad = {room, "bad", PNX_EINVAL};
    pnx_scope scope = open_scope(room, "reserved");
    assert_int_equal(pnx_scope_reserve(&scope, 1, NULL), PNX_OK);
    const int line = __LINE__ + 1;
    defer_act(&scope, &bad);
    pnx_scope_result result;
    assert_int_equal(pnx_scope_close(&scope, patience(room), &result, NULL), PNX_EINVAL);
    assert_int_equal(result.failures[0].site->line, line);
}

/* A reservation that fails half way gives back what it had got. */
static void a_reservation_is_all_or_nothing(void **state)
{
    struct room *room =
        room_new((pnx_config){.name = "small", .executor = PNX_MANUAL, .resources_max = 64});
    pnx_scope scope = open_scope(room, "greedy");
    pnx_error err = {0};
    assert_int_equal(pnx_scope_reserve(&scope, 100, &err), PNX_ELIMIT);
    assert_contains(err.message, "resources_max");
    pnx_test_resource *resource = pnx_test_resource_new("r", NULL);
    for (unsigned i = 0; i < 63; i++) { /* the scope has one, too */
        assert_int_equal(pnx_register(room->registry, thing_kind, &resource, PNX_HERE, NULL, &err),
                         PNX_OK);
    }
    assert_int_equal(pnx_registry_shutdown(room->registry, NULL, NULL, NULL), PNX_OK);
    pnx_scope_drop(&scope);
    pnx_test_resource_free(resource);
    room_free(room);
}

/* What was reserved for three entries is used up by three entries, of whatever sort. */
static void a_reservation_is_used_up(void **state)
{
    struct room *room = *state;
    struct act act = {room, "x", PNX_OK};
    pnx_scope scope = open_scope(room, "three");
    defer_act(&scope, &act);
    for (unsigned i = 0; i < 5; i++) { /* leaves two of the eight that there is room for */
        pnx_scope inner = pnx_scope_open_in(&scope, "inner", NULL);
        assert_int_equal(inner.status, PNX_OK);
    }
    assert_int_equal(pnx_scope_reserve(&scope, 2, NULL), PNX_OK);
    pnx_scope inner = pnx_scope_open_in(&scope, "inner", NULL);
    assert_int_equal(inner.status, PNX_OK);
    hook(always_fails, MEMORY);
    const pnx_status first = pnx_scope_defer(&scope, run_act, &act, NULL);
    const pnx_status second = pnx_scope_defer(&scope, run_act, &act, NULL);
    hook(NULL, 0);
    assert_int_equal(first, PNX_OK);
    assert_int_equal(second, PNX_ENOMEM);
    assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
    assert_logged(room, "x\nx\n");
}

static void too_much_is_refused_and_changes_nothing(void **state)
{
    struct room *room = *state;
    pnx_scope scope = open_scope(room, "greedy");
    struct act act = {room, "x", PNX_OK};
    defer_act(&scope, &act);
    pnx_error err = {0};
    assert_int_equal(pnx_scope_reserve(&scope, SIZE_MAX, &err), PNX_ENOMEM);
    assert_contains(err.message, "scope greedy: no memory");
    assert_int_equal(pnx_scope_reserve(&scope, SIZE_MAX / 24, NULL), PNX_ENOMEM);
    hook(NULL, 0);
    assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
    assert_logged(room, "x\n");
}

/* ---- tasks ----------------------------------------------------------------------------------- */

static _Atomic int bodies;

static pnx_status wait_to_be_canceled(pnx_task *self, void *argument)
{
    atomic_fetch_add(&bodies, 1);
    return pnx_task_wait(self, PNX_FOREVER);
}

static pnx_status tick(void *argument)
{
    return PNX_OK;
}

static pnx_status use_tasks(struct room *room, pnx_error *err)
{
    pnx_task *task = NULL;
    pnx_periodic periodic = {PNX_ID_NONE};
    atomic_store(&bodies, 0);
    pnx_scope scope = pnx_scope_open(room->registry, "tasks", err);
    pnx_status status = scope.status;
    if (status == PNX_OK) {
        status = pnx_task_start(&scope, NULL, wait_to_be_canceled, NULL, &task, err);
        assert_int_equal(status == PNX_OK, task != NULL);
    }
    if (status == PNX_OK) {
        status = pnx_periodic_start(&scope, "beat", PNX_S(1), tick, NULL, &periodic, err);
        assert_int_equal(status == PNX_OK, !pnx_id_is_none(periodic.id));
    }
    hook(NULL, 0);
    assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
    assert_int_equal(atomic_load(&bodies), task != NULL);
    return status;
}

static void a_thread_that_cannot_be_made_is_told_and_nothing_is_lost(void **state)
{
    struct room *room = *state;
    each_failure(room, 1 << PNX__FAULT_THREAD, use_tasks, PNX_EFAILED, PNX_EFAILED);
    wait_idle(room);
    assert_int_equal(counts_of(room).live, 0);
}

/* A thread needs memory too, but says only that there is none of it. */
static void no_memory_for_tasks_is_told_and_nothing_is_lost(void **state)
{
    struct room *room = *state;
    each_failure(room, MEMORY, use_tasks, PNX_ENOMEM, PNX_EFAILED);
    wait_idle(room);
    assert_int_equal(counts_of(room).live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_memory_for_scopes_is_told_and_nothing_is_lost, by_hand,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_guard_that_could_not_be_adopted_still_owns_its_thing,
                                        by_hand, tear_down),
        cmocka_unit_test_setup_teardown(what_is_reserved_does_not_fail, with_workers, tear_down),
        cmocka_unit_test_setup_teardown(a_reserved_action_knows_where_it_was_added, by_hand,
                                        tear_down),
        cmocka_unit_test(a_reservation_is_all_or_nothing),
        cmocka_unit_test_setup_teardown(a_reservation_is_used_up, by_hand, tear_down),
        cmocka_unit_test_setup_teardown(too_much_is_refused_and_changes_nothing, by_hand,
                                        tear_down),
        cmocka_unit_test_setup_teardown(no_memory_for_tasks_is_told_and_nothing_is_lost,
                                        with_workers, tear_down),
        cmocka_unit_test_setup_teardown(a_thread_that_cannot_be_made_is_told_and_nothing_is_lost,
                                        with_workers, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
