/* SPDX-License-Identifier: MIT */
/* Tests of src/patinox/guard/scope.c and chain.c: order, results, handles; more in scope_*.c. */
#include "support.h"

/* ---- order ----------------------------------------------------------------------------------- */

static void actions_run_last_in_first_out(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK}, b = {room, "b", PNX_OK}, c = {room, "c", PNX_OK};
    pnx_scope scope = open_scope(room, "abc");
    defer_act(&scope, &a);
    defer_act(&scope, &b);
    defer_act(&scope, &c);
    pnx_scope_result result;
    assert_int_equal(pnx_scope_close(&scope, patience(room), &result, NULL), PNX_OK);
    assert_logged(room, "c\nb\na\n");
    assert_int_equal(result.released, 3);
    assert_int_equal(result.failed, 0);
}

/* The worked example of src/patinox/guard/README.md. */
static void the_worked_example_is_true(void **state)
{
    struct room *room = *state;
    struct act stop = {room, "stop listening", PNX_OK}, bye = {room, "say goodbye", PNX_OK};
    struct act unlock = {room, "unlock", PNX_OK};
    pnx_test_resource *log = pnx_test_resource_new("log file", room->log);
    pnx_test_resource *conn = pnx_test_resource_new("connection", room->log);
    pnx_test_fail(conn, 1, PNX_EFAILED);

    pnx_scope server = open_scope(room, "server");
    (void)adopt_thing(&server, room, log);
    defer_act(&server, &stop);
    pnx_scope client = pnx_scope_open_in(&server, "client", NULL);
    (void)adopt_thing(&client, room, conn);
    defer_act(&client, &bye);
    defer_act(&server, &unlock);

    pnx_scope_drop(&server);
    advance(room, 0);
    assert_logged(room, "unlock\nsay goodbye\nrelease connection\n"); /* which failed */
    advance(room, PNX_S(1));
    assert_logged(room, "release connection\nstop listening\nrelease log file\n");
    pnx_test_resource_free(log);
    pnx_test_resource_free(conn);
}

static void drop_runs_nothing_itself(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK};
    pnx_scope scope = open_scope(room, "drop");
    defer_act(&scope, &a);
    pnx_scope_drop(&scope);
    assert_logged(room, "");
    step(room);
    assert_logged(room, "a\n");
    pnx_scope_drop(&scope);
}

static void an_automatic_scope_is_dropped_at_its_end(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK}, b = {room, "b", PNX_OK};
    {
        pnx_auto_scope outer = pnx_scope_open(room->registry, "outer", NULL);
        defer_act(&outer, &a);
        pnx_auto_scope inner = pnx_scope_open_in(&outer, "inner", NULL);
        defer_act(&inner, &b);
    }
    step(room);
    assert_logged(room, "b\na\n");
}

static void the_next_waits_for_a_release_that_is_pending(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK};
    pnx_test_resource *slow = pnx_test_resource_new("slow", room->log);
    pnx_test_always(slow, PNX_TEST_PEND);
    pnx_scope scope = open_scope(room, "pending");
    defer_act(&scope, &a);
    (void)adopt_thing(&scope, room, slow);
    pnx_scope_drop(&scope);
    advance(room, PNX_S(9));
    assert_logged(room, "release slow\n");
    assert_int_equal(pnx_test_complete(slow, PNX_OK), PNX_OK);
    advance(room, 0);
    assert_logged(room, "a\n");
    pnx_test_resource_free(slow);
}

static void the_next_waits_for_all_retries(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK};
    pnx_test_resource *bad = pnx_test_resource_new("bad", room->log);
    pnx_test_fail(bad, UINT_MAX, PNX_EFAILED);
    pnx_scope scope = open_scope(room, "retries");
    defer_act(&scope, &a);
    (void)adopt_thing(&scope, room, bad);
    pnx_scope_drop(&scope);
    advance(room, 0);
    assert_logged(room, "release bad\n");
    advance(room, PNX_S(2));
    assert_logged(room, "release bad\na\n");
    pnx_test_resource_free(bad);
}

static void the_next_goes_on_when_a_release_is_late(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK};
    pnx_test_resource *late = pnx_test_resource_new("late", room->log);
    pnx_test_always(late, PNX_TEST_PEND);
    pnx_scope scope = open_scope(room, "late");
    defer_act(&scope, &a);
    (void)adopt_thing(&scope, room, late);
    pnx_scope_drop(&scope);
    advance(room, PNX_S(11));
    assert_logged(room, "release late\na\n");
    assert_int_equal(counts_of(room).abandoned, 1);
    assert_int_equal(pnx_test_complete(late, PNX_OK), PNX_ETIMEOUT);
    advance(room, 0);
    assert_logged(room, "");
    pnx_test_resource_free(late);
}

static void the_next_waits_for_what_others_have_queued(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK};
    pnx_test_resource *shared = pnx_test_resource_new("shared", room->log);
    pnx_test_always(shared, PNX_TEST_PEND);
    pnx_scope scope = open_scope(room, "queued");
    defer_act(&scope, &a);
    pnx_id id = adopt_thing(&scope, room, shared);
    assert_int_equal(pnx_release_later(room->registry, id, NULL), PNX_OK);
    pnx_scope_drop(&scope);
    advance(room, 0);
    assert_logged(room, "release shared\n");
    assert_int_equal(pnx_test_complete(shared, PNX_OK), PNX_OK);
    advance(room, 0);
    assert_logged(room, "a\n");
    assert_int_equal(pnx_test_recorded(shared).attempts, 1);
    pnx_test_resource_free(shared);
}

static void what_others_have_ended_is_passed_over(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK};
    pnx_test_resource *released = pnx_test_resource_new("released", room->log);
    pnx_test_resource *taken = pnx_test_resource_new("taken", room->log);
    pnx_test_resource *failed = pnx_test_resource_new("failed", room->log);
    pnx_test_fail(failed, UINT_MAX, PNX_EINVAL); /* neither retry nor fallback helps */
    pnx_scope scope = open_scope(room, "behind its back");
    defer_act(&scope, &a);
    pnx_id first = adopt_thing(&scope, room, released);
    pnx_id second = adopt_thing(&scope, room, taken);
    pnx_id third = adopt_thing(&scope, room, failed);
    assert_int_equal(pnx_release_now(room->registry, first, patience(room), NULL), PNX_OK);
    assert_int_equal(pnx_unregister(room->registry, second, NULL, NULL), PNX_OK);
    assert_int_equal(pnx_release_now(room->registry, third, patience(room), NULL), PNX_EINVAL);
    pnx_test_log_clear(room->log);
    pnx_scope_result result;
    assert_int_equal(pnx_scope_close(&scope, patience(room), &result, NULL), PNX_OK);
    assert_logged(room, "a\n");
    assert_int_equal(result.released, 1);
    pnx_test_resource_free(released);
    pnx_test_resource_free(taken);
    pnx_test_resource_free(failed);
}

/* Given up is given up, though its turn has not come: nobody takes it back, and it does not leak.
 *  */
static void what_waits_for_its_turn_is_queued_already(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK};
    pnx_test_resource *first = pnx_test_resource_new("first", room->log);
    pnx_test_resource *pending = pnx_test_resource_new("pending", room->log);
    pnx_test_always(pending, PNX_TEST_PEND);
    pnx_scope scope = open_scope(room, "queued");
    pnx_id id = adopt_thing(&scope, room, first);
    defer_act(&scope, &a);
    (void)adopt_thing(&scope, room, pending);
    assert_int_equal(pnx_expire_after(room->registry, id, PNX_S(1)), PNX_OK);
    pnx_scope_drop(&scope);
    advance(room, PNX_S(2));
    assert_int_equal(pnx_registry_state(room->registry, id), PNX_QUEUED);
    assert_int_equal(pnx_unregister(room->registry, id, NULL, NULL), PNX_EALREADY);
    assert_int_equal(pnx_release_later(room->registry, id, NULL), PNX_EALREADY);
    assert_logged(room, "release pending\n");
    assert_int_equal(pnx_test_complete(pending, PNX_OK), PNX_OK);
    step(room);
    assert_logged(room, "a\nrelease first\n");
    assert_int_equal(counts_of(room).leaked, 0);
    pnx_test_resource_free(first);
    pnx_test_resource_free(pending);
}

/* ---- results --------------------------------------------------------------------------------- */

static void close_goes_on_after_failures_and_lists_them(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK}, b = {room, "b", PNX_EINVAL}, c = {room, "c", PNX_OK};
    struct act d = {room, "d", PNX_ECANCELED};
    pnx_scope scope = open_scope(room, "import");
    defer_act(&scope, &a);
    const int line = __LINE__ + 1;
    defer_act(&scope, &b);
    defer_act(&scope, &c);
    defer_act(&scope, &d);
    pnx_scope_result result;
    pnx_error err = {0};
    assert_int_equal(pnx_scope_close(&scope, patience(room), &result, &err), PNX_ECANCELED);
    assert_logged(room, "d\nc\nb\na\n");
    assert_int_equal(result.released, 2);
    assert_int_equal(result.failed, 2);
    assert_int_equal(result.failure_count, 2);
    assert_int_equal(result.failures[0].status, PNX_ECANCELED);
    assert_int_equal(result.failures[1].status, PNX_EINVAL);
    assert_string_equal(result.failures[1].kind->name, "action");
    assert_int_equal(result.failures[1].site->line, line);
    assert_int_equal(pnx_registry_state(room->registry, result.failures[1].id), PNX_FAILED);
    assert_int_equal(err.code, PNX_ECANCELED);
    assert_contains(err.message, "scope import: 2 of 4 failed; the first: action of ");
    assert_contains(err.message, "tests/guard/scope.c:");
    assert_contains(err.message, ": canceled");
}

static void all_failures_are_counted_and_sixteen_listed(void **state)
{
    struct room *room = *state;
    struct act bad = {room, "bad", PNX_EINVAL};
    pnx_scope scope = open_scope(room, "many failures");
    for (unsigned i = 0; i < 20; i++) {
        defer_act(&scope, &bad);
    }
    pnx_scope_result result;
    assert_int_equal(pnx_scope_close(&scope, patience(room), &result, NULL), PNX_EINVAL);
    assert_int_equal(result.failed, 20);
    assert_int_equal(result.failure_count, PNX_SCOPE_FAILURES_MAX);
    assert_int_equal(pnx_test_log_lines(room->log), 20);
}

static void failures_of_inner_scopes_are_among_them(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_EBUSY}, b = {room, "b", PNX_EINVAL};
    pnx_scope outer = open_scope(room, "outer");
    pnx_scope inner = pnx_scope_open_in(&outer, "inner", NULL);
    defer_act(&outer, &a);
    defer_act(&inner, &b);
    pnx_scope_result result;
    assert_int_equal(pnx_scope_close(&outer, patience(room), &result, NULL), PNX_EBUSY);
    assert_int_equal(result.failed, 2);
    assert_int_equal(result.failures[1].status, PNX_EINVAL);
}

static void what_is_late_is_told_as_abandoned(void **state)
{
    struct room *room = *state;
    pnx_test_resource *late = pnx_test_resource_new("late", room->log);
    pnx_test_always(late, PNX_TEST_PEND);
    pnx_scope scope = open_scope(room, "late");
    pnx_id id = adopt_thing(&scope, room, late);
    pnx_scope_result result;
    /* Time stands still, so it cannot be late: only its passing would help. */
    assert_int_equal(pnx_scope_close(&scope, PNX_FOREVER, &result, NULL), PNX_EBUSY);
    advance(room, PNX_S(11));
    assert_int_equal(pnx_registry_state(room->registry, id), PNX_ABANDONED);
    pnx_test_resource_free(late);
}

/* ---- deadlines ------------------------------------------------------------------------------- */

static void after_a_timeout_the_rest_goes_on_by_itself(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK}, b = {room, "b", PNX_OK};
    pnx_test_resource *slow = pnx_test_resource_new("slow", room->log);
    pnx_test_always(slow, PNX_TEST_PEND);
    pnx_scope scope = open_scope(room, "slow");
    defer_act(&scope, &a);
    (void)adopt_thing(&scope, room, slow);
    defer_act(&scope, &b);
    pnx_scope_result result;
    pnx_error err = {0};
    assert_int_equal(pnx_scope_close(&scope, pnx_monotonic_now() + PNX_MS(20), &result, &err),
                     PNX_ETIMEOUT);
    assert_contains(err.message, "scope slow: ");
    assert_contains(err.message, "goes on by itself");
    assert_true(result.released <= 1);
    wait_until_pending(slow);
    assert_int_equal(pnx_test_complete(slow, PNX_OK), PNX_OK);
    assert_int_equal(pnx_test_log_wait(room->log, 3, PNX_TEST_PATIENCE), PNX_OK);
    wait_idle(room);
    assert_logged(room, "b\nrelease slow\na\n");
    pnx_test_resource_free(slow);
}

static void a_deadline_that_is_over_only_begins(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK}, b = {room, "b", PNX_OK};
    pnx_scope scope = open_scope(room, "over");
    defer_act(&scope, &a);
    defer_act(&scope, &b);
    assert_int_equal(pnx_scope_close(&scope, 0, NULL, NULL), PNX_ETIMEOUT);
    assert_logged(room, "");
    step(room);
    assert_logged(room, "b\na\n");
}

static void an_empty_scope_closes_at_once(void **state)
{
    struct room *room = *state;
    pnx_scope scope = open_scope(room, "empty");
    assert_int_equal(pnx_scope_close(&scope, 0, NULL, NULL), PNX_OK);
    scope = open_scope(room, NULL);
    pnx_scope_drop(&scope);
}

/* ---- handles --------------------------------------------------------------------------------- */

static void a_scope_that_is_none_is_harmless(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK};
    pnx_scope none = {0};
    pnx_error err = {0};
    pnx_scope_result result = {.released = 7};
    pnx_scope_drop(NULL);
    pnx_scope_drop(&none);
    assert_int_equal(pnx_scope_close(&none, 0, &result, &err), PNX_OK);
    assert_int_equal(result.released, 0);
    assert_int_equal(pnx_scope_close(NULL, 0, NULL, NULL), PNX_OK);
    assert_int_equal(pnx_scope_mark(&none), 0);
    assert_int_equal(pnx_scope_defer(&none, run_act, &a, &err), PNX_EINVAL);
    assert_contains(err.message, "not open");
    assert_int_equal(pnx_scope_reserve(&none, 1, NULL), PNX_EINVAL);
    assert_int_equal(pnx_scope_unwind(&none, 0, 0, NULL, NULL), PNX_EINVAL);
    assert_int_equal(pnx_scope_open_in(&none, "x", NULL).status, PNX_EINVAL);
    assert_int_equal(pnx_scope_open(NULL, "x", NULL).status, PNX_EINVAL);
    pnx_scope scope = open_scope(room, "closed");
    assert_int_equal(pnx_scope_defer(&scope, NULL, NULL, &err), PNX_EINVAL);
    assert_contains(err.message, "scope closed: the action is NULL");
    assert_int_equal(pnx_scope_close(&scope, 0, NULL, NULL), PNX_OK);
    assert_int_equal(pnx_scope_defer(&scope, run_act, &a, NULL), PNX_EINVAL);
    assert_int_equal(pnx_scope_close(&scope, 0, NULL, NULL), PNX_OK);
}

static void a_copy_of_a_handle_is_not_a_second_owner(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK};
    pnx_scope scope = open_scope(room, "copied");
    defer_act(&scope, &a);
    pnx_scope first = scope, second = scope;
    pnx_scope_drop(&scope);
    assert_int_equal(pnx_scope_defer(&first, run_act, &a, NULL), PNX_EINVAL);
    pnx_scope_drop(&first);
    step(room);
    assert_logged(room, "a\n");
    /* The slot is used again, by another scope: the old handle still means the old one. */
    pnx_scope other = open_scope(room, "other");
    while (other.slot != second.slot) {
        pnx_scope_drop(&other);
        step(room);
        other = open_scope(room, "other");
    }
    pnx_scope_drop(&second);
    defer_act(&other, &a);
    pnx_scope_drop(&other);
    step(room);
    assert_logged(room, "a\n");
}

static void an_inner_handle_is_stale_when_the_outer_scope_has_ended(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK};
    pnx_scope outer = open_scope(room, "outer");
    pnx_scope inner = pnx_scope_open_in(&outer, "inner", NULL);
    pnx_scope lost = pnx_scope_open_in(&inner, "lost", NULL);
    defer_act(&lost, &a);
    lost = (pnx_scope){0}; /* as a longjmp would lose it */
    assert_int_equal(pnx_scope_close(&outer, patience(room), NULL, NULL), PNX_OK);
    assert_logged(room, "a\n");
    assert_int_equal(pnx_scope_defer(&inner, run_act, &a, NULL), PNX_EINVAL);
    assert_int_equal(pnx_scope_close(&inner, 0, NULL, NULL), PNX_OK);
    pnx_scope_drop(&inner);
    assert_logged(room, "");
}

static void a_scope_that_could_not_be_opened_says_why(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK};
    assert_int_equal(pnx_registry_shutdown(room->registry, NULL, NULL, NULL), PNX_OK);
    pnx_error err = {0};
    pnx_scope scope = pnx_scope_open(room->registry, "late", &err);
    assert_int_equal(scope.status, PNX_ESHUTDOWN);
    assert_int_equal(pnx_scope_defer(&scope, run_act, &a, &err), PNX_ESHUTDOWN);
    assert_contains(err.message, "could not be opened");
    pnx_scope_drop(&scope);
}

/* ---- adopting -------------------------------------------------------------------------------- */

static void a_guard_that_holds_nothing_is_not_adopted(void **state)
{
    struct room *room = *state;
    pnx_test_resource *resource = pnx_test_resource_new("r", room->log);
    pnx_scope scope = open_scope(room, "adopter");
    pnx_error err = {0};
    thing_guard empty = {.status = PNX_OK};
    assert_int_equal(pnx_scope_adopt(&scope, &empty, &err), PNX_EINVAL);
    assert_contains(err.message, "holds nothing");
    {
        pnx_auto(thing) unarmed = pnx_reserve(thing, room->registry, NULL);
        assert_int_equal(pnx_scope_adopt(&scope, &unarmed, NULL), PNX_EINVAL);
        assert_true(pnx_arm(&unarmed, resource));
        assert_int_equal(pnx_release_later(room->registry, pnx_id_of(&unarmed), NULL), PNX_OK);
        assert_int_equal(pnx_scope_adopt(&scope, &unarmed, NULL), PNX_EALREADY);
        step(room);
        assert_int_equal(pnx_scope_adopt(&scope, &unarmed, &err), PNX_EALREADY);
        assert_contains(err.message, "behind its back");
    }
    assert_int_equal(pnx_scope_mark(&scope), 0);
    pnx_scope_drop(&scope);
    pnx_test_resource_free(resource);
}

static void a_guard_of_another_registry_is_not_adopted(void **state)
{
    struct room *room = *state;
    struct room *other = room_new((pnx_config){.name = "other", .executor = PNX_MANUAL});
    pnx_test_resource *resource = pnx_test_resource_new("r", other->log);
    pnx_scope scope = open_scope(room, "adopter");
    pnx_error err = {0};
    {
        pnx_auto(thing) guard = pnx_reserve(thing, other->registry, NULL);
        assert_true(pnx_arm(&guard, resource));
        assert_int_equal(pnx_scope_adopt(&scope, &guard, &err), PNX_EINVAL);
        assert_contains(err.message, "registry by hand, the guard of registry other");
        assert_non_null(guard.base.slot); /* it still owns it */
    }
    pnx_scope_drop(&scope);
    step(other);
    assert_logged(other, "release r\n");
    pnx_test_resource_free(resource);
    room_free(other);
}

static void what_is_adopted_keeps_its_reason(void **state)
{
    struct room *room = *state;
    pnx_test_resource *resource = pnx_test_resource_new("r", room->log);
    pnx_scope scope = open_scope(room, "reason");
    (void)adopt_thing(&scope, room, resource);
    pnx_scope_drop(&scope);
    step(room);
    assert_int_equal(pnx_test_recorded(resource).last.reason, PNX_SCOPE_END);
    pnx_test_resource_free(resource);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(actions_run_last_in_first_out, by_hand, tear_down),
        cmocka_unit_test_setup_teardown(the_worked_example_is_true, by_hand, tear_down),
        cmocka_unit_test_setup_teardown(drop_runs_nothing_itself, by_hand, tear_down),
        cmocka_unit_test_setup_teardown(an_automatic_scope_is_dropped_at_its_end, by_hand,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_next_waits_for_a_release_that_is_pending, by_hand,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_next_waits_for_all_retries, by_hand, tear_down),
        cmocka_unit_test_setup_teardown(the_next_goes_on_when_a_release_is_late, by_hand,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_next_waits_for_what_others_have_queued, by_hand,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_others_have_ended_is_passed_over, by_hand, tear_down),
        cmocka_unit_test_setup_teardown(what_waits_for_its_turn_is_queued_already, by_hand,
                                        tear_down),
        cmocka_unit_test_setup_teardown(close_goes_on_after_failures_and_lists_them, by_hand,
                                        tear_down),
        cmocka_unit_test_setup_teardown(all_failures_are_counted_and_sixteen_listed, by_hand,
                                        tear_down),
        cmocka_unit_test_setup_teardown(failures_of_inner_scopes_are_among_them, by_hand,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_late_is_told_as_abandoned, by_hand, tear_down),
        cmocka_unit_test_setup_teardown(after_a_timeout_the_rest_goes_on_by_itself, with_workers,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_deadline_that_is_over_only_begins, by_hand, tear_down),
        cmocka_unit_test_setup_teardown(an_empty_scope_closes_at_once, by_hand, tear_down),
        cmocka_unit_test_setup_teardown(a_scope_that_is_none_is_harmless, by_hand, tear_down),
        cmocka_unit_test_setup_teardown(a_copy_of_a_handle_is_not_a_second_owner, by_hand,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_inner_handle_is_stale_when_the_outer_scope_has_ended,
                                        by_hand, tear_down),
        cmocka_unit_test_setup_teardown(a_scope_that_could_not_be_opened_says_why, by_hand,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_guard_that_holds_nothing_is_not_adopted, by_hand,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_guard_of_another_registry_is_not_adopted, by_hand,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_adopted_keeps_its_reason, by_hand, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
