/* SPDX-License-Identifier: MIT */
/* Tests of scopes in scopes, and of unwinding to a mark. */
#include "support.h"

#include "guard/scope.h"

/* ---- nested scopes --------------------------------------------------------------------------- */

static void an_inner_scope_may_end_before_its_outer_one(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK}, b = {room, "b", PNX_OK}, c = {room, "c", PNX_OK};
    pnx_scope outer = open_scope(room, "outer");
    defer_act(&outer, &a);
    pnx_scope inner = pnx_scope_open_in(&outer, "inner", NULL);
    defer_act(&inner, &b);
    defer_act(&outer, &c);
    assert_int_equal(pnx_scope_close(&inner, patience(room), NULL, NULL), PNX_OK);
    assert_logged(room, "b\n");
    assert_int_equal(pnx_scope_close(&outer, patience(room), NULL, NULL), PNX_OK);
    assert_logged(room, "c\na\n");
}

static void the_outer_scope_waits_for_an_inner_one_that_is_on_its_way(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK}, b = {room, "b", PNX_OK}, c = {room, "c", PNX_OK};
    pnx_test_resource *slow = pnx_test_resource_new("slow", room->log);
    pnx_test_always(slow, PNX_TEST_PEND);
    pnx_scope outer = open_scope(room, "outer");
    defer_act(&outer, &a);
    pnx_scope inner = pnx_scope_open_in(&outer, "inner", NULL);
    defer_act(&inner, &b);
    (void)adopt_thing(&inner, room, slow);
    defer_act(&outer, &c);
    pnx_scope_drop(&inner);
    advance(room, 0);
    assert_logged(room, "release slow\n");
    pnx_scope_drop(&outer);
    advance(room, 0);
    assert_logged(room, "c\n");
    assert_int_equal(pnx_test_complete(slow, PNX_OK), PNX_OK);
    advance(room, 0);
    assert_logged(room, "b\na\n");
    pnx_test_resource_free(slow);
}

static void the_outer_scope_waits_for_an_inner_one_that_is_being_unwound(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK}, b = {room, "b", PNX_OK};
    pnx_test_resource *slow = pnx_test_resource_new("slow", room->log);
    pnx_test_always(slow, PNX_TEST_PEND);
    pnx_scope outer = open_scope(room, "outer");
    defer_act(&outer, &a);
    pnx_scope inner = pnx_scope_open_in(&outer, "inner", NULL);
    defer_act(&inner, &b);
    (void)adopt_thing(&inner, room, slow);
    assert_int_equal(pnx_scope_unwind(&inner, 1, PNX_FOREVER, NULL, NULL), PNX_EBUSY);
    assert_logged(room, "release slow\n");
    pnx_scope_drop(&outer);
    advance(room, 0);
    assert_logged(room, "");
    assert_int_equal(pnx_test_complete(slow, PNX_OK), PNX_OK);
    advance(room, 0);
    assert_logged(room, "b\na\n");
    pnx_scope_drop(&inner);
    pnx_test_resource_free(slow);
}

#define DEEP 20000

/* Each scope lies in the one before, and has an action on either side of the inner one. */
static void deep_nesting_does_not_nest_on_the_stack(void **state)
{
    struct room *room = *state;
    pnx_scope outermost = open_scope(room, "outermost");
    pnx_scope scope = outermost;
    struct act act = {room, "x", PNX_OK};
    for (unsigned i = 0; i < DEEP; i++) {
        defer_act(&scope, &act);
        scope = pnx_scope_open_in(&scope, "inner", NULL);
        assert_int_equal(scope.status, PNX_OK);
    }
    assert_int_equal(pnx_scope_close(&outermost, patience(room), NULL, NULL), PNX_OK);
    assert_int_equal(pnx_test_log_lines(room->log), DEEP);
}

/* All of them are on their way already, the innermost waits: its end is the end of all. */
static void many_chains_that_wait_for_each_other_end_together(void **state)
{
    struct room *room = *state;
    pnx_test_resource *slow = pnx_test_resource_new("slow", NULL);
    pnx_test_always(slow, PNX_TEST_PEND);
    pnx_scope *scopes = calloc(DEEP, sizeof *scopes);
    scopes[0] = open_scope(room, "0");
    for (unsigned i = 1; i < DEEP; i++) {
        scopes[i] = pnx_scope_open_in(&scopes[i - 1], "inner", NULL);
    }
    (void)adopt_thing(&scopes[DEEP - 1], room, slow);
    for (unsigned i = DEEP; i-- > 0;) {
        pnx_scope_drop(&scopes[i]);
    }
    step(room);
    assert_int_equal(pnx_test_complete(slow, PNX_OK), PNX_OK);
    assert_int_equal(pnx_registry_shutdown(room->registry, NULL, NULL, NULL), PNX_OK);
    pnx_test_resource_free(slow);
    free(scopes);
}

static void a_scope_that_lives_long_does_not_grow(void **state)
{
    struct room *room = *state;
    struct act act = {room, "x", PNX_OK};
    pnx_scope server = open_scope(room, "server");
    defer_act(&server, &act);
    pnx_scope clients[3];
    for (unsigned i = 0; i < 3; i++) {
        clients[i] = pnx_scope_open_in(&server, "client", NULL);
    }
    for (unsigned i = 0; i < 10000; i++) {
        pnx_scope *client = &clients[i % 3];
        pnx_scope_drop(client);
        *client = pnx_scope_open_in(&server, "client", NULL);
        assert_int_equal(client->status, PNX_OK);
        assert_int_equal(pnx_scope_mark(&server), 1 + 3 + i + 1);
    }
    pnx_status status;
    assert_in_range(pnx__scope_usable(&server, &status, NULL)->room, 4, 16);
    /* Marks still mean what they meant, though most entries were cleared away. */
    const size_t mark = pnx_scope_mark(&server);
    defer_act(&server, &act);
    assert_int_equal(pnx_scope_unwind(&server, mark, patience(room), NULL, NULL), PNX_OK);
    assert_logged(room, "x\n");
    pnx_scope_drop(&server);
    step(room);
    assert_logged(room, "x\n");
}

/* The slot of each is used again by the next, so that the old entries lead to something live. */
static void entries_that_others_have_ended_are_cleared_away(void **state)
{
    struct room *room = *state;
    pnx_test_resource *resource = pnx_test_resource_new("r", NULL);
    pnx_scope server = open_scope(room, "server");
    for (unsigned i = 0; i < 1000; i++) {
        pnx_id id = adopt_thing(&server, room, resource);
        assert_int_equal(pnx_release_now(room->registry, id, patience(room), NULL), PNX_OK);
    }
    pnx_status status;
    assert_in_range(pnx__scope_usable(&server, &status, NULL)->room, 1, 16);
    pnx_scope_drop(&server);
    step(room);
    assert_int_equal(pnx_test_recorded(resource).attempts, 1000);
    pnx_test_resource_free(resource);
}

/* ---- mark and unwind ------------------------------------------------------------------------- */

static void unwinding_gives_back_what_came_after_the_mark(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK}, b = {room, "b", PNX_EINVAL}, c = {room, "c", PNX_OK};
    pnx_scope scope = open_scope(room, "marked");
    assert_int_equal(pnx_scope_mark(&scope), 0);
    defer_act(&scope, &a);
    const size_t mark = pnx_scope_mark(&scope);
    assert_int_equal(mark, 1);
    defer_act(&scope, &b);
    pnx_scope inner = pnx_scope_open_in(&scope, "inner", NULL);
    defer_act(&inner, &c);
    pnx_scope_result result;
    assert_int_equal(pnx_scope_unwind(&scope, mark, patience(room), &result, NULL), PNX_EINVAL);
    assert_logged(room, "c\nb\n");
    assert_int_equal(result.released, 1);
    assert_int_equal(pnx_scope_mark(&scope), mark);
    /* The scope goes on. */
    defer_act(&scope, &c);
    assert_int_equal(pnx_scope_unwind(&scope, mark, patience(room), &result, NULL), PNX_OK);
    assert_logged(room, "c\n");
    assert_int_equal(pnx_scope_unwind(&scope, mark, patience(room), &result, NULL), PNX_OK);
    assert_int_equal(pnx_scope_unwind(&scope, 1000, patience(room), &result, NULL), PNX_OK);
    assert_int_equal(pnx_scope_close(&scope, patience(room), &result, NULL), PNX_OK);
    assert_logged(room, "a\n");
    pnx_scope_drop(&inner);
}

/* What comes after an unwinding is given up by a drop like everything else. */
static void what_comes_after_an_unwinding_does_not_leak(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK};
    pnx_test_resource *pending = pnx_test_resource_new("pending", room->log);
    pnx_test_resource *below = pnx_test_resource_new("below", room->log);
    pnx_test_always(pending, PNX_TEST_PEND);
    pnx_scope scope = open_scope(room, "used again");
    defer_act(&scope, &a);
    assert_int_equal(pnx_scope_unwind(&scope, 0, patience(room), NULL, NULL), PNX_OK);
    pnx_id id = adopt_thing(&scope, room, below);
    (void)adopt_thing(&scope, room, pending);
    pnx_scope_drop(&scope);
    step(room);
    assert_int_equal(pnx_registry_state(room->registry, id), PNX_QUEUED);
    assert_int_equal(pnx_test_complete(pending, PNX_OK), PNX_OK);
    step(room);
    assert_logged(room, "a\nrelease pending\nrelease below\n");
    pnx_test_resource_free(pending);
    pnx_test_resource_free(below);
}

static void fail_deep_inside(pnx_scope *scope, struct act acts[2], jmp_buf environment)
{
    pnx_scope inner = pnx_scope_open_in(scope, "lost", NULL);
    defer_act(scope, &acts[0]);
    defer_act(&inner, &acts[1]);
    longjmp(environment, 1);
}

static void unwinding_is_safe_after_a_longjmp(void **state)
{
    struct room *room = *state;
    struct act kept = {room, "kept", PNX_OK};
    struct act acts[] = {{room, "a", PNX_OK}, {room, "b", PNX_OK}};
    pnx_scope scope = open_scope(room, "jumped");
    volatile unsigned times = 0;
    defer_act(&scope, &kept);
    const volatile size_t mark = pnx_scope_mark(&scope);
    jmp_buf environment;
    while (times < 3) {
        if (setjmp(environment) == 0) {
            fail_deep_inside(&scope, acts, environment);
        }
        times++;
        assert_int_equal(pnx_scope_unwind(&scope, mark, patience(room), NULL, NULL), PNX_OK);
        assert_logged(room, "a\nb\n");
    }
    assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
    assert_logged(room, "kept\n");
}

/* A scope of which an unwinding is on its way: four entries, one of them pending, mark 2. */
static pnx_scope being_unwound(struct room *room, struct act acts[3], pnx_test_resource *slow)
{
    pnx_scope scope = open_scope(room, "busy");
    defer_act(&scope, &acts[0]);
    defer_act(&scope, &acts[1]);
    defer_act(&scope, &acts[2]);
    (void)adopt_thing(&scope, room, slow);
    pnx_test_always(slow, PNX_TEST_PEND);
    assert_int_equal(pnx_scope_unwind(&scope, 2, PNX_FOREVER, NULL, NULL), PNX_EBUSY);
    assert_logged(room, "release slow\n");
    return scope;
}

static void a_scope_takes_nothing_in_while_it_is_unwound(void **state)
{
    struct room *room = *state;
    struct act acts[] = {{room, "a", PNX_OK}, {room, "b", PNX_OK}, {room, "c", PNX_OK}};
    pnx_test_resource *slow = pnx_test_resource_new("slow", room->log);
    pnx_scope scope = being_unwound(room, acts, slow);
    pnx_error err = {0};
    assert_int_equal(pnx_scope_defer(&scope, run_act, &acts[0], &err), PNX_EBUSY);
    assert_contains(err.message, "scope busy is still being unwound");
    assert_int_equal(pnx_scope_open_in(&scope, "x", NULL).status, PNX_EBUSY);
    assert_int_equal(pnx_scope_mark(&scope), 2);
    assert_int_equal(pnx_test_complete(slow, PNX_OK), PNX_OK);
    step(room);
    assert_logged(room, "c\n");
    defer_act(&scope, &acts[2]);
    assert_int_equal(pnx_scope_close(&scope, patience(room), NULL, NULL), PNX_OK);
    assert_logged(room, "c\nb\na\n");
    pnx_test_resource_free(slow);
}

static void an_unwinding_may_be_told_to_go_further_down(void **state)
{
    struct room *room = *state;
    struct act acts[] = {{room, "a", PNX_OK}, {room, "b", PNX_OK}, {room, "c", PNX_OK}};
    pnx_test_resource *slow = pnx_test_resource_new("slow", room->log);
    pnx_scope scope = being_unwound(room, acts, slow);
    assert_int_equal(pnx_scope_unwind(&scope, 3, PNX_FOREVER, NULL, NULL), PNX_EBUSY);
    assert_int_equal(pnx_scope_mark(&scope), 2); /* never back up */
    assert_int_equal(pnx_scope_unwind(&scope, 1, PNX_FOREVER, NULL, NULL), PNX_EBUSY);
    assert_int_equal(pnx_test_complete(slow, PNX_OK), PNX_OK);
    pnx_scope_result result;
    assert_int_equal(pnx_scope_unwind(&scope, 1, patience(room), &result, NULL), PNX_OK);
    assert_logged(room, "c\nb\n");
    pnx_scope_drop(&scope);
    step(room);
    assert_logged(room, "a\n");
    pnx_test_resource_free(slow);
}

static void a_scope_may_be_dropped_while_it_is_unwound(void **state)
{
    struct room *room = *state;
    struct act acts[] = {{room, "a", PNX_OK}, {room, "b", PNX_OK}, {room, "c", PNX_OK}};
    pnx_test_resource *slow = pnx_test_resource_new("slow", room->log);
    pnx_scope scope = being_unwound(room, acts, slow);
    pnx_scope_drop(&scope);
    step(room);
    assert_logged(room, "");
    assert_int_equal(pnx_test_complete(slow, PNX_OK), PNX_OK);
    step(room);
    assert_logged(room, "c\nb\na\n");
    pnx_test_resource_free(slow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_inner_scope_may_end_before_its_outer_one, by_hand,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_outer_scope_waits_for_an_inner_one_that_is_on_its_way,
                                        by_hand, tear_down),
        cmocka_unit_test_setup_teardown(
            the_outer_scope_waits_for_an_inner_one_that_is_being_unwound, by_hand, tear_down),
        cmocka_unit_test_setup_teardown(deep_nesting_does_not_nest_on_the_stack, with_one_worker,
                                        tear_down),
        cmocka_unit_test_setup_teardown(many_chains_that_wait_for_each_other_end_together, by_hand,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_scope_that_lives_long_does_not_grow, by_hand, tear_down),
        cmocka_unit_test_setup_teardown(entries_that_others_have_ended_are_cleared_away, by_hand,
                                        tear_down),
        cmocka_unit_test_setup_teardown(unwinding_gives_back_what_came_after_the_mark, by_hand,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_comes_after_an_unwinding_does_not_leak, by_hand,
                                        tear_down),
        cmocka_unit_test_setup_teardown(unwinding_is_safe_after_a_longjmp, by_hand, tear_down),
        cmocka_unit_test_setup_teardown(a_scope_takes_nothing_in_while_it_is_unwound, by_hand,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_unwinding_may_be_told_to_go_further_down, by_hand,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_scope_may_be_dropped_while_it_is_unwound, by_hand,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
