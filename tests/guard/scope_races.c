/* SPDX-License-Identifier: MIT */
/* Tests of scopes that many threads end at the same time, and of whole trees of them at random. */
#include "support.h"

#include <stdatomic.h>

/* ---- races ----------------------------------------------------------------------------------- */

static void *drop_it(void *scope)
{
    pnx_scope_drop(scope);
    return NULL;
}

struct force {
    pnx_registry *registry;
    _Atomic unsigned go;
};

static void *force_all(void *argument)
{
    struct force *force = argument;
    while (atomic_load(&force->go) == 0) {
    }
    (void)pnx_release_all(force->registry, NULL, 0, NULL);
    return NULL;
}

/* Somebody else releases everything while the scope closes: each ends once, the scope too. */
static void a_scope_survives_that_all_is_forced_meanwhile(void **state)
{
    struct room *room = *state;
    for (size_t round = 0; round < test_effort(200); round++) {
        struct act a = {room, "a", PNX_OK};
        pnx_scope scope = open_scope(room, "forced");
        pnx_scope inner = pnx_scope_open_in(&scope, "inner", NULL);
        for (unsigned i = 0; i < 10; i++) {
            defer_act(i % 2 ? &scope : &inner, &a);
        }
        struct force force = {.registry = room->registry};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, force_all, &force), 0);
        atomic_store(&force.go, 1);
        pnx_scope_result result;
        assert_int_equal(pnx_scope_close(&scope, patience(room), &result, NULL), PNX_OK);
        assert_true(result.released <= 10);
        pthread_join(thread, NULL);
        wait_idle(room);
        assert_int_equal(pnx_test_log_lines(room->log), 10);
        pnx_test_log_clear(room->log);
        pnx_scope_drop(&inner);
    }
}

static void *close_late(void *scope)
{
    (void)pnx_scope_close(scope, pnx_monotonic_now() + PNX_US(50), NULL, NULL);
    return NULL;
}

/* A close that gives up just when the chain ends: the block is freed once, by the last of them. */
static void a_close_may_time_out_at_any_moment(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK};
    for (size_t round = 0; round < test_effort(500); round++) {
        pnx_scope scope = open_scope(room, "race");
        defer_act(&scope, &a);
        (void)close_late(&scope);
    }
    wait_idle(room);
    assert_int_equal(pnx_test_log_lines(room->log), test_effort(500));
}

/* An unwinding goes on by itself when the scope is dropped: the chain hears of it, wherever it is.
 *  */
static void a_scope_may_be_dropped_at_any_moment_of_its_unwinding(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK}, b = {room, "b", PNX_OK}, c = {room, "c", PNX_OK};
    for (size_t round = 0; round < test_effort(2000); round++) {
        pnx_scope scope = open_scope(room, "race");
        defer_act(&scope, &a);
        defer_act(&scope, &b);
        defer_act(&scope, &c);
        (void)pnx_scope_unwind(&scope, 2, 0, NULL, NULL);
        for (size_t i = 0; i < round % 500; i++) {
            atomic_signal_fence(memory_order_seq_cst); /* some more time each round */
        }
        pnx_scope_drop(&scope);
        wait_idle(room);
        assert_logged(room, "c\nb\na\n");
    }
}

/* The inner scope is dropped by one thread while the outer one is by another. */
static void inner_and_outer_scopes_may_be_dropped_at_the_same_time(void **state)
{
    struct room *room = *state;
    struct act a = {room, "a", PNX_OK};
    for (size_t round = 0; round < test_effort(500); round++) {
        pnx_scope outer = open_scope(room, "outer");
        pnx_scope inner = pnx_scope_open_in(&outer, "inner", NULL);
        defer_act(&outer, &a);
        defer_act(&inner, &a);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, drop_it, &inner), 0);
        pnx_scope_drop(&outer);
        pthread_join(thread, NULL);
    }
    assert_int_equal(pnx_test_log_wait(room->log, 2 * test_effort(500), PNX_TEST_PATIENCE), PNX_OK);
    wait_idle(room);
    assert_int_equal(pnx_test_log_lines(room->log), 2 * test_effort(500));
}

/* ---- at random ------------------------------------------------------------------------------- */

/*
 * A shadow of what should happen: each action knows its number in the order in which everything of
 * one tree was added; they must run from the last to the first, each once, none while another runs.
 */
struct tree {
    struct room *room;
    pnx__random random;
    _Atomic int running;
    _Atomic unsigned next; /* the number that must run next, plus one */
    _Atomic unsigned wrong;
    unsigned added;
    struct leaf {
        struct tree *tree;
        unsigned number;
        unsigned how; /* 0, 1: at once; 2: fails; 3: pending */
    } leaves[64];
};

static pnx_status release_leaf(struct leaf *leaf, const pnx_release *why)
{
    struct tree *tree = leaf->tree;
    bool right = atomic_fetch_add(&tree->running, 1) == 0;
    right &= atomic_fetch_sub(&tree->next, 1) == leaf->number + 1;
    atomic_fetch_sub(&tree->running, 1);
    atomic_fetch_add(&tree->wrong, !right);
    switch (leaf->how) {
    case 2:
        return PNX_EINVAL;
    case 3:
        (void)pnx_complete(pnx_release_token(why), PNX_OK);
        return PNX_PENDING;
    default:
        return PNX_OK;
    }
}
PNX_KIND(leaf, struct leaf *, release_leaf);

/* Adds leaves and inner scopes; of these only the last one added to is still used, as in a program
 * that opens and closes them like brackets. */
static void grow_tree(struct tree *tree, pnx_scope *scope, unsigned depth)
{
    const unsigned count = (unsigned)pnx__random_below(&tree->random, 8);
    for (unsigned i = 0; i < count && tree->added < 64; i++) {
        if (depth < 4 && pnx__random_below(&tree->random, 4) == 0) {
            pnx_scope inner = pnx_scope_open_in(scope, "inner", NULL);
            grow_tree(tree, &inner, depth + 1);
            continue; /* its handle is lost */
        }
        struct leaf *new = &tree->leaves[tree->added];
        *new = (struct leaf){tree, tree->added++, (unsigned)pnx__random_below(&tree->random, 4)};
        pnx_auto(leaf) guard = pnx_reserve(leaf, tree->room->registry, NULL);
        if (!pnx_arm(&guard, new) || pnx_scope_adopt(scope, &guard, NULL) != PNX_OK) {
            abort();
        }
    }
}

static void end_tree(struct tree *tree, pnx_scope *scope)
{
    switch (pnx__random_below(&tree->random, 3)) {
    case 0:
        pnx_scope_drop(scope);
        break;
    case 1:
        (void)pnx_scope_close(scope, pnx_monotonic_now() + PNX_US(20), NULL, NULL);
        break;
    default:
        (void)pnx_scope_close(scope, patience(tree->room), NULL, NULL);
    }
}

#define TREES 300

static void *grow_forest(void *argument)
{
    struct tree *trees = argument;
    for (size_t i = 0; i < test_effort(TREES); i++) {
        struct tree *tree = &trees[i];
        pnx_scope scope = pnx_scope_open(tree->room->registry, "tree", NULL);
        grow_tree(tree, &scope, 0);
        atomic_store(&tree->next, tree->added);
        end_tree(tree, &scope);
    }
    return NULL;
}

static void trees_of_scopes_end_last_in_first_out(void **state)
{
    struct room *room = *state;
    const size_t count = test_effort(TREES);
    pnx__random random = test_random();
    struct tree *trees = calloc(TEST_THREADS * count, sizeof *trees);
    assert_non_null(trees);
    for (size_t i = 0; i < TEST_THREADS * count; i++) {
        trees[i].room = room;
        trees[i].random.state = pnx__random_next(&random);
    }
    test_in_threads(grow_forest, trees, count * sizeof *trees);
    wait_idle(room);
    for (size_t i = 0; i < TEST_THREADS * count; i++) {
        assert_int_equal(trees[i].wrong, 0);
        assert_int_equal(trees[i].next, 0);
    }
    (void)pnx_registry_shutdown(room->registry, NULL, NULL, NULL);
    free(trees);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_scope_survives_that_all_is_forced_meanwhile, with_workers,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_close_may_time_out_at_any_moment, with_workers,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_scope_may_be_dropped_at_any_moment_of_its_unwinding,
                                        with_workers, tear_down),
        cmocka_unit_test_setup_teardown(inner_and_outer_scopes_may_be_dropped_at_the_same_time,
                                        with_workers, tear_down),
        cmocka_unit_test_setup_teardown(trees_of_scopes_end_last_in_first_out, with_workers,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
