/* SPDX-License-Identifier: MIT */
/**
 * @file sorts.h
 * What is true of every sort of thing that can be made and removed. A test program describes its
 * sorts and names EVERY_SORT(sort) among its tests.
 */
#ifndef TESTS_CLEANROOM_SORTS_H
#define TESTS_CLEANROOM_SORTS_H

#include "apart.h"
#include "keeper.h"
#include "stepped.h"

#include <grp.h>
#include <patinox/patinox.h>
#include <time.h>

struct sort {
    const char *kind;
    /** A name that nobody has, another one each time. */
    const char *(*new_name)(void);
    /** By the library. */
    pnx_status (*make)(const char *name, const pnx_keeper *keeper, pnx_thing **ret, pnx_error *err);
    /** By others, with the system's own calls; false: errno. */
    bool (*make_foreign)(const char *name);
    bool (*unmake_foreign)(const char *name);
    bool (*exists)(const char *name);
    /** Something besides the name that is left of it; NULL: there can be nothing. */
    bool (*remains)(const char *identity);
    /** Between the last look and the removal another one may take the name. */
    bool has_window;
    /** One that is made under a name that is taken covers the other one: it is no failure. */
    bool stacks;
};

static inline const pnx_thing_kind *kind_of(const struct sort *sort)
{
    const pnx_thing_kind *kind = pnx_thing_kind_named(sort->kind);
    assert_non_null(kind);
    return kind;
}

static inline pnx_thing *make_one(const struct sort *sort, const char *name)
{
    pnx_error err = {0};
    pnx_thing *thing = NULL;
    assert_ok(sort->make(name, NULL, &thing, &err), &err);
    return thing;
}

static inline void assert_nothing_of(const struct sort *sort, const char *name,
                                     const char *identity)
{
    assert_false(sort->exists(name));
    if (identity && sort->remains)
        assert_false(sort->remains(identity));
}

/* ---- listing --------------------------------------------------------------------------------- */

struct wanted {
    const char *name, *identity;
    unsigned seen;
    pnx_thing_info info;
};

static inline bool look_for(const pnx_thing_info *info, void *context)
{
    struct wanted *wanted = context;
    if (strcmp(info->name, wanted->name) == 0 &&
        (!wanted->identity || strcmp(info->identity, wanted->identity) == 0)) {
        wanted->seen++;
        wanted->info = *info;
    }
    return true;
}

static inline struct wanted listed(const struct sort *sort, const char *name, const char *identity)
{
    struct wanted wanted = {.name = name, .identity = identity};
    pnx_error err = {0};
    assert_ok(kind_of(sort)->list(look_for, &wanted, &err), &err);
    return wanted;
}

static bool stop_at_once(const pnx_thing_info *info, void *context)
{
    (void)info;
    ++*(unsigned *)context;
    return false;
}

/* ---- what is true ---------------------------------------------------------------------------- */

static void it_is_found_and_listed_and_removed(void **state)
{
    const struct sort *sort = *state;
    expect_apart();
    unsigned visits = 0;
    if (kind_of(sort)->list(stop_at_once, &visits, NULL) == PNX_EUNSUPPORTED)
        skip(); /* unprivileged, and with nothing to see them by */
    const char *name = sort->new_name();
    struct timespec before;
    clock_gettime(CLOCK_REALTIME_COARSE, &before);
    pnx_thing *thing = make_one(sort, name);
    pnx_error err = {0};
    char identity[PNX_THING_IDENTITY_MAX];
    assert_true(sort->exists(name));
    assert_ptr_equal(pnx_thing_kind_of_thing(thing), kind_of(sort));
    assert_string_equal(pnx_thing_name(thing), name);
    assert_ok(kind_of(sort)->find(name, identity, sizeof identity, &err), &err);
    assert_string_equal(pnx_thing_identity(thing), identity);

    struct wanted wanted = listed(sort, name, identity);
    assert_int_equal(wanted.seen, 1);
    if (wanted.info.owner != -1)
        assert_int_equal(wanted.info.owner, geteuid());
    if (wanted.info.created)
        assert_true(wanted.info.created / PNX_S(1) >= before.tv_sec);
    visits = 0;
    assert_ok(kind_of(sort)->list(stop_at_once, &visits, &err), &err);
    assert_int_equal(visits, 1);

    pnx_outcome outcome = {0};
    assert_ok(pnx_thing_remove(thing, in_seconds(10), &outcome, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_REMOVED);
    assert_true(outcome.verified);
    assert_nothing_of(sort, name, identity);
    assert_int_equal(listed(sort, name, NULL).seen, 0);
    assert_int_equal(kind_of(sort)->find(name, identity, sizeof identity, &err), PNX_ENOTFOUND);
    pnx_thing_free(thing);
}

static void what_is_gone_already_is_no_failure(void **state)
{
    const struct sort *sort = *state;
    expect_apart();
    const char *name = sort->new_name();
    pnx_thing *thing = make_one(sort, name);
    assert_true(sort->unmake_foreign(name));
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    assert_ok(pnx_thing_remove(thing, in_seconds(10), &outcome, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_ALREADY_GONE);
    assert_true(outcome.verified);
    char identity[PNX_THING_IDENTITY_MAX];
    snprintf(identity, sizeof identity, "%s", pnx_thing_identity(thing));
    pnx_thing_free(thing);
    pnx_status status = kind_of(sort)->remove(name, identity, in_seconds(10), &err);
    assert_int_equal(status, PNX_EALREADY);
    assert_int_equal(pnx_thing_adopt(kind_of(sort), name, NULL, &thing, &err), PNX_ENOTFOUND);
}

static void another_thing_of_its_name_survives(void **state)
{
    const struct sort *sort = *state;
    expect_apart();
    const char *name = sort->new_name();
    pnx_thing *thing = make_one(sort, name);
    assert_true(sort->unmake_foreign(name));
    assert_true(sort->make_foreign(name));
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    assert_ok(pnx_thing_remove(thing, in_seconds(10), &outcome, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_ALREADY_GONE);
    assert_true(sort->exists(name));
    /* The sort itself does not either, whoever calls it. */
    pnx_status status =
        kind_of(sort)->remove(name, pnx_thing_identity(thing), in_seconds(10), &err);
    assert_int_equal(status, PNX_EALREADY);
    assert_true(sort->exists(name));
    pnx_thing_free(thing);
    assert_true(sort->unmake_foreign(name));
}

static void a_name_that_is_taken_is_refused_and_nobody_is_told(void **state)
{
    const struct sort *sort = *state;
    expect_apart();
    const char *name = sort->new_name();
    assert_true(sort->make_foreign(name));
    struct told_keeper told = {0};
    pnx_keeper keeper = keeper_that_tells(&told);
    pnx_error err = {0};
    pnx_thing *thing = NULL;
    assert_int_equal(sort->make(name, &keeper, &thing, &err), PNX_EFAILED);
    assert_int_equal(err.sys_errno, EEXIST);
    assert_null(thing);
    assert_string_equal(told.events, "");
    assert_true(sort->exists(name));
    assert_true(sort->unmake_foreign(name));
}

static void one_that_takes_the_name_after_the_intent_is_not_ours(void **state)
{
    const struct sort *sort = *state;
    expect_apart();
    if (sort->stacks)
        skip();
    const char *name = sort->new_name();
    struct told_keeper told = {.overtake = sort->make_foreign};
    pnx_keeper keeper = keeper_that_tells(&told);
    pnx_error err = {0};
    pnx_thing *thing = NULL;
    assert_int_equal(sort->make(name, &keeper, &thing, &err), PNX_EFAILED);
    assert_true(err.sys_errno == EEXIST || err.sys_errno == EADDRINUSE);
    assert_null(thing);
    assert_string_equal(told.events, "ig"); /* the intent is taken back */
    assert_true(sort->exists(name));
    assert_true(sort->unmake_foreign(name));
}

static void the_keeper_is_told_in_order(void **state)
{
    const struct sort *sort = *state;
    expect_apart();
    const char *name = sort->new_name();
    struct told_keeper told = {.exists = sort->exists};
    pnx_keeper keeper = keeper_that_tells(&told);
    pnx_error err = {0};
    pnx_thing *thing = NULL;
    assert_ok(sort->make(name, &keeper, &thing, &err), &err);
    assert_string_equal(told.events, "ib");
    assert_ptr_equal(told.kind, kind_of(sort));
    assert_string_equal(told.name, name);
    assert_string_equal(told.identity, pnx_thing_identity(thing));
    assert_false(told.existed_at_intent);
    assert_true(told.existed_at_binding);
    assert_ok(pnx_thing_remove(thing, in_seconds(10), NULL, &err), &err);
    assert_string_equal(told.events, "ibg");
    assert_int_equal(told.outcome.fate, PNX_FATE_REMOVED);
    pnx_thing_free(thing);
}

static void a_keeper_that_refuses_prevents_it(void **state)
{
    const struct sort *sort = *state;
    expect_apart();
    const char *name = sort->new_name();
    struct told_keeper told = {.refuse_intent = true};
    pnx_keeper keeper = keeper_that_tells(&told);
    pnx_error err = {0};
    pnx_thing *thing = NULL;
    assert_int_equal(sort->make(name, &keeper, &thing, &err), PNX_ELIMIT);
    assert_null(thing);
    assert_string_equal(told.events, "i");
    assert_nothing_of(sort, name, NULL);
}

static void a_failed_binding_removes_it_again(void **state)
{
    const struct sort *sort = *state;
    expect_apart();
    const char *name = sort->new_name();
    struct told_keeper told = {.refuse_binding = true};
    pnx_keeper keeper = keeper_that_tells(&told);
    pnx_error err = {0};
    pnx_thing *thing = NULL;
    assert_int_equal(sort->make(name, &keeper, &thing, &err), PNX_ELIMIT);
    assert_null(thing);
    assert_string_equal(told.events, "ibg");
    assert_nothing_of(sort, name, told.identity);
}

static void a_dropped_guard_removes_it(void **state)
{
    const struct sort *sort = *state;
    expect_apart();
    const char *name = sort->new_name();
    pnx_error err = {0};
    pnx_registry *registry = NULL;
    assert_ok(pnx_registry_create(&(pnx_config){.workers = 1}, &registry, &err), &err);
    pnx_outcome outcome = {0};
    {
        pnx_auto(shm) guard = {0}; /* the guards of all sorts are alike but for the descriptor */
        guard.status =
            pnx__guard_reserve(&guard.base, registry, kind_of(sort)->kind, PNX_HERE, &err);
        assert_ok(guard.status, &err);
        pnx_thing *thing = make_one(sort, name);
        pnx_thing_watch_by(thing, &outcome);
        assert_true(pnx_arm(&guard, thing));
        assert_true(sort->exists(name));
    }
    assert_int_equal(pnx_registry_wait_idle(registry, in_seconds(20)), PNX_OK);
    assert_ok(pnx_registry_shutdown(registry, NULL, NULL, &err), &err);
    assert_ok(pnx_registry_destroy(registry, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_REMOVED);
    assert_true(outcome.verified);
    assert_nothing_of(sort, name, NULL);
}

/* ---- killed, or overtaken, at any system call ------------------------------------------------ */

struct attempt {
    const struct sort *sort;
    const char *name, *identity;
    bool done;
};

static inline void make_in_child(void *context)
{
    const struct attempt *attempt = context;
    pnx_thing *thing;
    if (attempt->sort->make(attempt->name, NULL, &thing, NULL) != PNX_OK)
        _exit(1);
}

static inline void remove_in_child(void *context)
{
    const struct attempt *attempt = context;
    const pnx_thing_kind *kind = pnx_thing_kind_named(attempt->sort->kind);
    (void)pnx_thing_remove_named(kind, attempt->name, attempt->identity, in_seconds(10), NULL,
                                 NULL);
}

static void a_maker_that_is_killed_anywhere_is_settled_by_looking(void **state)
{
    const struct sort *sort = *state;
    expect_apart();
    unsigned found = 0, stop = 0;
    enum stepped stepped = STEPPED_INTO;
    while (stepped == STEPPED_INTO) {
        struct attempt attempt = {.sort = sort, .name = sort->new_name()};
        stepped = run_stepped(make_in_child, &attempt, ++stop, NULL);
        if (stepped == STEPPED_REFUSED)
            skip();
        pnx_thing *thing;
        pnx_error err = {0};
        pnx_status status = pnx_thing_adopt(kind_of(sort), attempt.name, NULL, &thing, &err);
        if (status == PNX_OK) {
            found++;
            assert_ok(pnx_thing_remove(thing, in_seconds(10), NULL, &err), &err);
            pnx_thing_free(thing);
        } else {
            assert_int_equal(status, PNX_ENOTFOUND);
        }
        assert_nothing_of(sort, attempt.name, NULL);
    }
    assert_true(found >= 1 && found < stop); /* killed before it was there, and after */
}

static void a_remover_that_is_killed_anywhere_is_followed_by_the_next(void **state)
{
    const struct sort *sort = *state;
    expect_apart();
    unsigned stop = 0;
    enum stepped stepped = STEPPED_INTO;
    while (stepped == STEPPED_INTO) {
        const char *name = sort->new_name();
        pnx_thing *thing = make_one(sort, name);
        const char *identity = pnx_thing_identity(thing);
        struct attempt attempt = {sort, name, identity, false};
        stepped = run_stepped(remove_in_child, &attempt, ++stop, NULL);
        if (stepped == STEPPED_REFUSED)
            skip();
        pnx_error err = {0};
        assert_ok(pnx_thing_remove(thing, in_seconds(10), NULL, &err), &err);
        assert_nothing_of(sort, name, identity);
        pnx_thing_free(thing);
    }
}

static inline void take_over(void *context)
{
    struct attempt *attempt = context;
    (void)attempt->sort->unmake_foreign(attempt->name);
    attempt->done = attempt->sort->make_foreign(attempt->name);
}

static void one_that_takes_the_name_during_the_removal_survives(void **state)
{
    const struct sort *sort = *state;
    expect_apart();
    unsigned stop = 0, taken = 0;
    enum stepped stepped = STEPPED_INTO;
    while (!sort->has_window && stepped == STEPPED_INTO) {
        const char *name = sort->new_name();
        pnx_thing *thing = make_one(sort, name);
        const char *identity = pnx_thing_identity(thing);
        struct attempt attempt = {sort, name, identity, false};
        stepped = run_stepped(remove_in_child, &attempt, ++stop, take_over);
        if (stepped == STEPPED_REFUSED)
            skip();
        taken += attempt.done;
        if (attempt.done) {
            assert_true(sort->exists(name));
            assert_true(sort->unmake_foreign(name));
        }
        pnx_error err = {0};
        assert_ok(pnx_thing_remove(thing, in_seconds(10), NULL, &err), &err);
        assert_nothing_of(sort, name, identity);
        pnx_thing_free(thing);
    }
    if (!sort->has_window)
        assert_true(taken + 1 == stop);
}

/* ---- who may not ----------------------------------------------------------------------------- */

#define NOBODY 65534

static void who_may_not_remove_it_is_told_so(void **state)
{
    const struct sort *sort = *state;
    expect_apart();
    if (!is_root())
        skip();
    const char *name = sort->new_name();
    pnx_thing *thing = make_one(sort, name);
    char identity[PNX_THING_IDENTITY_MAX];
    snprintf(identity, sizeof identity, "%s", pnx_thing_identity(thing));
    pid_t pid = fork();
    if (pid == 0) {
        if (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
            _exit(1);
        pnx_error err = {0};
        pnx_outcome outcome = {0};
        pnx_status status =
            pnx_thing_remove_named(kind_of(sort), name, identity, in_seconds(10), &outcome, &err);
        if (status == PNX_OK || outcome.fate != PNX_FATE_STUCK || outcome.verified)
            _exit(2);
        /* Who may look is told that it may not be removed; who may not, that. */
        bool told = err.sys_errno == EPERM || err.sys_errno == EACCES;
        _exit(told && outcome.reason[0] ? 0 : 3);
    }
    assert_int_equal(status_of_child(pid), 0);
    assert_true(sort->exists(name));
    pnx_error err = {0};
    assert_ok(pnx_thing_remove(thing, in_seconds(10), NULL, &err), &err);
    pnx_thing_free(thing);
}

static void a_fork_child_removes_nothing_of_its_parent(void **state)
{
    const struct sort *sort = *state;
    expect_apart();
    const char *name = sort->new_name();
    pnx_thing *thing = make_one(sort, name);
    pid_t pid = fork();
    if (pid == 0)
        _exit(pnx_thing_remove(thing, in_seconds(10), NULL, NULL) == PNX_EFORKED ? 0 : 1);
    assert_int_equal(status_of_child(pid), 0);
    assert_true(sort->exists(name));
    pnx_error err = {0};
    assert_ok(pnx_thing_remove(thing, in_seconds(10), NULL, &err), &err);
    pnx_thing_free(thing);
}

#define PLAIN(test, sort)                                                                          \
    {                                                                                              \
#test " (" #sort ")", test, NULL, NULL, (void *)&sort                                      \
    }
#define APART(test, sort)                                                                          \
    {                                                                                              \
#test " (" #sort ", apart)", test, enter_apart, leave_apart, (void *)&sort                 \
    }
#define PLAIN_AND_APART(test, sort) PLAIN(test, sort), APART(test, sort)

/** BY(test, sort) makes the entry of one test. */
#define EVERY_SORT_BY(BY, sort)                                                                    \
    BY(it_is_found_and_listed_and_removed, sort), BY(what_is_gone_already_is_no_failure, sort),    \
        BY(another_thing_of_its_name_survives, sort),                                              \
        BY(a_name_that_is_taken_is_refused_and_nobody_is_told, sort),                              \
        BY(one_that_takes_the_name_after_the_intent_is_not_ours, sort),                            \
        BY(the_keeper_is_told_in_order, sort), BY(a_keeper_that_refuses_prevents_it, sort),        \
        BY(a_failed_binding_removes_it_again, sort), BY(a_dropped_guard_removes_it, sort),         \
        BY(a_maker_that_is_killed_anywhere_is_settled_by_looking, sort),                           \
        BY(a_remover_that_is_killed_anywhere_is_followed_by_the_next, sort),                       \
        BY(one_that_takes_the_name_during_the_removal_survives, sort),                             \
        BY(who_may_not_remove_it_is_told_so, sort),                                                \
        BY(a_fork_child_removes_nothing_of_its_parent, sort)

#define EVERY_SORT(sort) EVERY_SORT_BY(PLAIN_AND_APART, sort)

#endif
