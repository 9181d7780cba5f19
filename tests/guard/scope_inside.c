/* SPDX-License-Identifier: MIT */
/* Tests of entries that others have ended, and of scopes that end inside of a release. */
#include "support.h"

#include "base/id.h"

/* ---- slots that are used again --------------------------------------------------------------- */

/* Registers things until one lies in the slot that `id` had. */
static pnx_id register_in_slot_of(struct room *room, pnx_id id, pnx_test_resource *resource)
{
    for (unsigned i = 0; i < 10000; i++) {
        pnx_id other;
        assert_int_equal(
            pnx_register(room->registry, thing_kind, &resource, PNX_HERE, &other, NULL), PNX_OK);
        if (pnx__id_slot(other) == pnx__id_slot(id)) {
            return other;
        }
    }
    fail_msg("the slot was never used again");
    return id;
}

static pnx_status close_stale(void *scope)
{
    return pnx_scope_close(scope, PNX_FOREVER, NULL, NULL);
}

/* An entry that was given back does not stand for whatever lies in its slot now. */
static void a_stale_entry_harms_nobody(void **state)
{
    struct room *room = *state;
    for (unsigned inside = 0; inside < 2; inside++) {
        pnx_test_resource *old = pnx_test_resource_new("old", NULL);
        pnx_test_resource *new = pnx_test_resource_new("new", NULL);
        pnx_scope scope = open_scope(room, "stale");
        pnx_id id = adopt_thing(&scope, room, old);
        assert_int_equal(pnx_release_now(room->registry, id, patience(room), NULL), PNX_OK);
        pnx_id other = register_in_slot_of(room, id, new);
        if (inside) {
            pnx_scope closer = open_scope(room, "closer");
            assert_int_equal(pnx_scope_defer(&closer, close_stale, &scope, NULL), PNX_OK);
            assert_int_equal(pnx_scope_close(&closer, patience(room), NULL, NULL), PNX_OK);
        } else {
            assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
        }
        assert_int_equal(pnx_registry_state(room->registry, other), PNX_LIVE);
        assert_int_equal(pnx_test_recorded(new).attempts, 0);
        assert_int_equal(pnx_release_all(room->registry, NULL, patience(room), NULL), PNX_OK);
        pnx_test_resource_free(old);
        pnx_test_resource_free(new);
    }
}

/* ---- from inside a release ------------------------------------------------------------------- */

struct closer {
    struct room *room;
    pnx_scope *scope;
    size_t unwind_to; /* SIZE_MAX: close */
    pnx_time deadline;
    pnx_status status;
    pnx_scope_result result;
};

static pnx_status close_inside(void *argument)
{
    struct closer *closer = argument;
    closer->status = closer->unwind_to == SIZE_MAX
                         ? pnx_scope_close(closer->scope, closer->deadline, &closer->result, NULL)
                         : pnx_scope_unwind(closer->scope, closer->unwind_to, closer->deadline,
                                            &closer->result, NULL);
    pnx_test_log_add(closer->room->log, "closed");
    return PNX_OK;
}

static void run_closer(struct closer *closer)
{
    pnx_scope scope = open_scope(closer->room, "of the closer");
    assert_int_equal(pnx_scope_defer(&scope, close_inside, closer, NULL), PNX_OK);
    assert_int_equal(pnx_scope_close(&scope, patience(closer->room), NULL, NULL), PNX_OK);
}

static void a_release_may_close_another_scope(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK}, b = {room, "b", PNX_EINVAL}, c = {room, "c", PNX_OK};
    pnx_scope scope = open_scope(room, "other");
    defer_act(&scope, &a);
    pnx_scope inner = pnx_scope_open_in(&scope, "inner", NULL);
    defer_act(&inner, &b);
    pnx_scope over = pnx_scope_open_in(&inner, "over", NULL);
    assert_int_equal(pnx_scope_close(&over, 0, NULL, NULL), PNX_OK);
    defer_act(&scope, &c);
    struct closer closer = {room, &scope, SIZE_MAX, PNX_FOREVER, PNX_OK, {0}};
    run_closer(&closer);
    assert_logged(room, "c\nb\na\nclosed\n");
    assert_int_equal(closer.status, PNX_EINVAL);
    assert_int_equal(closer.result.released, 2);
    assert_int_equal(closer.result.failed, 1);
    assert_string_equal(closer.result.failures[0].kind->name, "action");
}

static void a_release_may_unwind_another_scope(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK}, b = {room, "b", PNX_OK};
    pnx_scope scope = open_scope(room, "other");
    defer_act(&scope, &a);
    defer_act(&scope, &b);
    struct closer closer = {room, &scope, 1, PNX_FOREVER, PNX_OK, {0}};
    run_closer(&closer);
    assert_logged(room, "b\nclosed\n");
    assert_int_equal(closer.status, PNX_OK);
    assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
    assert_logged(room, "a\n");
}

static void inside_a_release_nobody_waits_for_what_is_pending(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK}, b = {room, "b", PNX_OK};
    pnx_test_resource *slow = pnx_test_resource_new("slow", room->log);
    pnx_test_always(slow, PNX_TEST_PEND);
    pnx_scope scope = open_scope(room, "other");
    defer_act(&scope, &a);
    pnx_scope inner = pnx_scope_open_in(&scope, "inner", NULL);
    (void)adopt_thing(&inner, room, slow);
    defer_act(&inner, &b);
    struct closer closer = {room, &scope, SIZE_MAX, PNX_FOREVER, PNX_OK, {0}};
    run_closer(&closer);
    assert_logged(room, "b\nrelease slow\nclosed\n");
    assert_int_equal(closer.status, PNX_ETIMEOUT);
    assert_int_equal(closer.result.released, 1);
    assert_int_equal(pnx_test_complete(slow, PNX_OK), PNX_OK);
    assert_int_equal(pnx_test_log_wait(room->log, 1, PNX_TEST_PATIENCE), PNX_OK);
    wait_idle(room);
    assert_logged(room, "a\n");
    pnx_test_resource_free(slow);
}

static void inside_a_release_a_deadline_holds_too(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK}, b = {room, "b", PNX_OK};
    pnx_scope scope = open_scope(room, "other");
    defer_act(&scope, &a);
    defer_act(&scope, &b);
    struct closer closer = {room, &scope, SIZE_MAX, 0, PNX_OK, {0}};
    run_closer(&closer);
    assert_int_equal(closer.status, PNX_ETIMEOUT);
    step(room);
    assert_logged(room, "closed\nb\na\n");
}

static void a_scope_takes_nothing_in_from_its_own_release(void **state)
{
    struct room *room = *state;
    pnx_scope scope = open_scope(room, "self");
    struct act a = {room, "a", PNX_OK};
    defer_act(&scope, &a);
    struct closer closer = {room, &scope, 0, PNX_FOREVER, PNX_OK, {0}};
    assert_int_equal(pnx_scope_defer(&scope, close_inside, &closer, NULL), PNX_OK);
    assert_int_equal(pnx_scope_unwind(&scope, 0, patience(room), NULL, NULL), PNX_OK);
    assert_int_equal(closer.status, PNX_ETIMEOUT);
    assert_logged(room, "closed\na\n");
    pnx_scope_drop(&scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_release_may_close_another_scope, with_one_worker,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_release_may_unwind_another_scope, by_hand, tear_down),
        cmocka_unit_test_setup_teardown(inside_a_release_nobody_waits_for_what_is_pending,
                                        with_one_worker, tear_down),
        cmocka_unit_test_setup_teardown(a_stale_entry_harms_nobody, by_hand, tear_down),
        cmocka_unit_test_setup_teardown(inside_a_release_a_deadline_holds_too, by_hand, tear_down),
        cmocka_unit_test_setup_teardown(a_scope_takes_nothing_in_from_its_own_release, by_hand,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
