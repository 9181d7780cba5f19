/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/kind/thing.c and thing_kinds.c, with a sort that does as it is told. */
#include "keeper.h"
#include "support.h"

#include <patinox/patinox.h>

/* ---- the sort -------------------------------------------------------------------------------- */

/* What is there, and how the sort answers. */
static struct world {
    const char *identity;     /* of who has the name; NULL: nobody */
    pnx_status find_answers;  /* instead of looking; PNX_OK: it looks */
    unsigned fails_from_look; /* from this look on it answers that; 0: from the first */
    pnx_status remove_answers;
    bool removes;          /* the call takes it away */
    unsigned goes_at_look; /* it goes by itself just before this look; 0: never */
    const char *next;      /* who takes the name when it goes */
    pnx_status still;      /* what `still` answers */
    unsigned looks, removals, stills;
    pnx_time deadline; /* that remove was given */
} world;

static void it_goes(void)
{
    world.identity = world.next;
}

static pnx_status find_fake(const char *name, char *ret_identity, size_t size, pnx_error *err)
{
    world.looks++;
    if (world.goes_at_look == world.looks)
        it_goes();
    if (world.find_answers != PNX_OK && world.looks >= world.fails_from_look)
        return pnx_fail(err, world.find_answers, "cannot look at the fake '%s'", name);
    if (!world.identity)
        return pnx_fail(err, PNX_ENOTFOUND, "no fake '%s'", name);
    snprintf(ret_identity, size, "%s", world.identity);
    return PNX_OK;
}

static pnx_status remove_fake(const char *name, const char *identity, pnx_time deadline,
                              pnx_error *err)
{
    world.removals++;
    world.deadline = deadline;
    if (world.removes)
        it_goes();
    if (world.remove_answers != PNX_OK && world.remove_answers != PNX_EALREADY)
        return pnx_fail(err, world.remove_answers, "the fake '%s' does not want to", name);
    return world.remove_answers;
}

static pnx_status still_fake(const char *name, const char *identity, pnx_error *err)
{
    world.stills++;
    return world.still == PNX_OK ? PNX_OK : pnx_fail(err, world.still, "no fake '%s'", name);
}

static pnx_status list_fakes(pnx_thing_visit_fn visit, void *context, pnx_error *err)
{
    return PNX_OK;
}

/* No delay: a retry is at once. */
static const pnx_kind guard_kind = {
    PNX__THING_GUARD("fake"),
    .retries = 2,
    .retry_delay = 1,
};

static const pnx_thing_kind fake = {
    .name = "fake",
    .kind = &guard_kind,
    .code = 4711,
    .find = find_fake,
    .remove = remove_fake,
    .list = list_fakes,
};
static const pnx_thing_kind lasting = {
    .name = "lasting",
    .kind = &guard_kind,
    .code = 4712,
    .find = find_fake,
    .remove = remove_fake,
    .list = list_fakes,
    .still = still_fake,
};
static const pnx_thing_kind held_by_others = {
    .name = "held",
    .code = 4713,
    .find = find_fake,
    .list = list_fakes,
};

static int new_world(void **state)
{
    (void)state;
    world = (struct world){.identity = "ours", .removes = true, .still = PNX_ENOTFOUND};
    return 0;
}

static pnx_thing *adopt(const pnx_thing_kind *kind)
{
    pnx_thing *thing = NULL;
    pnx_error err = {0};
    assert_ok(pnx_thing_adopt(kind, "x", "ours", &thing, &err), &err);
    return thing;
}

/* What a removal answers; the outcome is that of this one call. */
static pnx_status remove_it(const pnx_thing_kind *kind, pnx_outcome *ret_outcome)
{
    *ret_outcome = (pnx_outcome){0};
    return pnx_thing_remove_named(kind, "x", "ours", in_seconds(10), ret_outcome, NULL);
}

/* ---- making ---------------------------------------------------------------------------------- */

static pnx_status make_it(struct told_keeper *told, pnx_thing **ret, pnx_error *err)
{
    pnx_keeper keeper = keeper_that_tells(told);
    pnx_thing *thing;
    pnx_status status = pnx_thing_intend(&fake, "x", &keeper, &thing, err);
    if (status == PNX_OK)
        status = pnx_thing_made(thing, err);
    if (status == PNX_OK)
        *ret = thing;
    return status;
}

static void an_intent_looks_at_nothing(void **state)
{
    (void)state;
    struct told_keeper told = {0};
    pnx_keeper keeper = keeper_that_tells(&told);
    pnx_thing *thing;
    pnx_error err = {0};
    assert_ok(pnx_thing_intend(&fake, "x", &keeper, &thing, &err), &err);
    assert_string_equal(told.events, "i");
    assert_int_equal(world.looks, 0);
    assert_string_equal(pnx_thing_name(thing), "x");
    assert_string_equal(pnx_thing_identity(thing), "");
    pnx_thing_unmade(thing);
    assert_string_equal(told.events, "ig");
    assert_int_equal(told.outcome.fate, PNX_FATE_ALREADY_GONE);
    assert_true(told.outcome.verified);
    assert_int_equal(world.removals, 0);
    pnx_thing_unmade(NULL);
    pnx_thing_free(NULL);
}

static void what_is_made_is_looked_up_and_written_down(void **state)
{
    (void)state;
    struct told_keeper told = {0};
    pnx_thing *thing = NULL;
    pnx_error err = {0};
    assert_ok(make_it(&told, &thing, &err), &err);
    assert_string_equal(told.events, "ib");
    assert_string_equal(told.identity, "ours");
    assert_string_equal(pnx_thing_identity(thing), "ours");
    assert_ptr_equal(pnx_thing_kind_of_thing(thing), &fake);
    assert_ok(pnx_thing_remove(thing, in_seconds(10), NULL, &err), &err);
    assert_string_equal(told.events, "ibg");
    assert_ok(pnx_thing_remove(thing, in_seconds(10), NULL, &err), &err);
    assert_string_equal(told.events, "ibg"); /* once */
    pnx_thing_free(thing);
}

static void names_that_are_too_long_are_refused(void **state)
{
    (void)state;
    static char name[PNX_THING_NAME_MAX + 1];
    memset(name, 'n', sizeof name - 1);
    struct told_keeper told = {0};
    pnx_keeper keeper = keeper_that_tells(&told);
    pnx_thing *thing = NULL;
    pnx_error err = {0};
    assert_int_equal(pnx_thing_intend(&fake, name, &keeper, &thing, &err), PNX_EINVAL);
    assert_int_equal(pnx_thing_adopt(&fake, name, NULL, &thing, &err), PNX_EINVAL);
    assert_string_equal(told.events, "");
    assert_null(thing);
    name[sizeof name - 2] = '\0';
    assert_ok(pnx_thing_intend(&fake, name, NULL, &thing, &err), &err);
    assert_string_equal(pnx_thing_name(thing), name);
    pnx_thing_unmade(thing);
}

static void a_refused_intent_makes_no_thing(void **state)
{
    (void)state;
    struct told_keeper told = {.refuse_intent = true};
    pnx_thing *thing = NULL;
    pnx_error err = {0};
    assert_int_equal(make_it(&told, &thing, &err), PNX_ELIMIT);
    assert_null(thing);
    assert_string_equal(told.events, "i");
    assert_non_null(strstr(err.message, "ledger is full"));
}

static void a_refused_binding_takes_it_away_again(void **state)
{
    (void)state;
    struct told_keeper told = {.refuse_binding = true};
    pnx_thing *thing = NULL;
    pnx_error err = {0};
    assert_int_equal(make_it(&told, &thing, &err), PNX_ELIMIT);
    assert_null(thing);
    assert_string_equal(told.events, "ibg");
    assert_int_equal(world.removals, 1);
    assert_null(world.identity);
    assert_non_null(strstr(err.message, "disk is full")); /* the first failure is told */
}

static void what_cannot_be_taken_away_again_stays_intended(void **state)
{
    (void)state;
    struct told_keeper told = {.refuse_binding = true};
    pnx_thing *thing = NULL;
    pnx_error err = {0};
    world.removes = false;
    world.remove_answers = PNX_EFAILED;
    assert_int_equal(make_it(&told, &thing, &err), PNX_ELIMIT);
    assert_string_equal(told.events, "ib");
}

static void what_is_gone_before_it_is_bound_was_never_made(void **state)
{
    (void)state;
    struct told_keeper told = {0};
    pnx_thing *thing = NULL;
    pnx_error err = {0};
    world.identity = NULL;
    assert_int_equal(make_it(&told, &thing, &err), PNX_ENOTFOUND);
    assert_null(thing);
    assert_string_equal(told.events, "ig");
    assert_int_equal(world.removals, 0);
}

static void what_cannot_be_looked_at_stays_intended(void **state)
{
    (void)state;
    struct told_keeper told = {0};
    pnx_thing *thing = NULL;
    pnx_error err = {0};
    world.find_answers = PNX_EFAILED;
    assert_int_equal(make_it(&told, &thing, &err), PNX_EFAILED);
    assert_null(thing);
    assert_string_equal(told.events, "i");
    assert_int_equal(world.removals, 0); /* whose it is is not known */
}

static void what_exists_is_adopted_by_name_or_identity(void **state)
{
    (void)state;
    pnx_thing *thing = NULL;
    pnx_error err = {0};
    assert_ok(pnx_thing_adopt(&fake, "x", NULL, &thing, &err), &err);
    assert_string_equal(pnx_thing_identity(thing), "ours");
    pnx_thing_free(thing);
    assert_ok(pnx_thing_adopt(&fake, "x", "another", &thing, &err), &err);
    assert_string_equal(pnx_thing_identity(thing), "another");
    pnx_thing_free(thing);
    assert_int_equal(world.removals, 0);

    thing = NULL;
    static char identity[PNX_THING_IDENTITY_MAX + 1];
    memset(identity, '1', sizeof identity - 1);
    assert_int_equal(pnx_thing_adopt(&fake, "x", identity, &thing, &err), PNX_EINVAL);
    world.identity = NULL;
    assert_int_equal(pnx_thing_adopt(&fake, "x", NULL, &thing, &err), PNX_ENOTFOUND);
    world.find_answers = PNX_EUNSUPPORTED;
    assert_int_equal(pnx_thing_adopt(&fake, "x", NULL, &thing, &err), PNX_EUNSUPPORTED);
    assert_null(thing);
}

/* ---- removing -------------------------------------------------------------------------------- */

static void it_is_looked_at_before_and_after(void **state)
{
    (void)state;
    pnx_outcome outcome;
    pnx_time deadline = in_seconds(10);
    outcome = (pnx_outcome){0};
    assert_int_equal(pnx_thing_remove_named(&fake, "x", "ours", deadline, &outcome, NULL), PNX_OK);
    assert_int_equal(outcome.fate, PNX_FATE_REMOVED);
    assert_true(outcome.verified);
    assert_int_equal(outcome.attempts, 1);
    assert_int_equal(world.looks, 2);
    assert_int_equal(world.removals, 1);
    assert_true(world.deadline <= deadline);
}

static void what_is_gone_is_not_removed(void **state)
{
    (void)state;
    pnx_outcome outcome;
    world.identity = NULL;
    assert_int_equal(remove_it(&fake, &outcome), PNX_OK);
    assert_int_equal(outcome.fate, PNX_FATE_ALREADY_GONE);
    assert_true(outcome.verified);
    assert_int_equal(world.removals, 0);
}

static void another_of_its_name_is_not_touched(void **state)
{
    (void)state;
    pnx_outcome outcome;
    world.identity = "theirs";
    assert_int_equal(remove_it(&fake, &outcome), PNX_OK);
    assert_int_equal(outcome.fate, PNX_FATE_ALREADY_GONE);
    assert_int_equal(world.removals, 0);
    assert_string_equal(world.identity, "theirs");
    /* Not even when it only begins like ours, or ours like it. */
    world.identity = "ours2";
    assert_int_equal(remove_it(&fake, &outcome), PNX_OK);
    world.identity = "our";
    assert_int_equal(remove_it(&fake, &outcome), PNX_OK);
    assert_int_equal(world.removals, 0);
}

static void another_that_follows_at_once_is_no_failure(void **state)
{
    (void)state;
    pnx_outcome outcome;
    world.next = "theirs";
    assert_int_equal(remove_it(&fake, &outcome), PNX_OK);
    assert_int_equal(outcome.fate, PNX_FATE_REMOVED);
    assert_int_equal(world.removals, 1);
    assert_string_equal(world.identity, "theirs");
}

static void what_somebody_else_removes_first_is_gone_already(void **state)
{
    (void)state;
    pnx_outcome outcome;
    world.remove_answers = PNX_EALREADY;
    assert_int_equal(remove_it(&fake, &outcome), PNX_OK);
    assert_int_equal(outcome.fate, PNX_FATE_ALREADY_GONE);
    assert_true(outcome.verified);
}

static void a_return_code_is_no_proof(void **state)
{
    (void)state;
    const pnx_status answers[] = {PNX_OK, PNX_EALREADY};
    for (size_t i = 0; i < 2; i++) {
        pnx_outcome outcome = {0};
        pnx_error err = {0};
        new_world(state);
        world.removes = false;
        world.remove_answers = answers[i];
        pnx_status status =
            pnx_thing_remove_named(&fake, "x", "ours", in_seconds(10), &outcome, &err);
        assert_int_equal(status, PNX_EBUSY);
        assert_int_equal(outcome.fate, PNX_FATE_STUCK);
        assert_false(outcome.verified);
        assert_non_null(strstr(outcome.reason, "still there"));
        assert_true(world.looks > 2); /* it was given the time to go */
    }
}

static void what_goes_a_moment_later_is_waited_for(void **state)
{
    (void)state;
    pnx_outcome outcome;
    world.removes = false;
    world.goes_at_look = 5; /* the first was before */
    assert_int_equal(remove_it(&fake, &outcome), PNX_OK);
    assert_int_equal(outcome.fate, PNX_FATE_REMOVED);
    assert_true(outcome.verified);
    assert_int_equal(world.looks, 5);
    assert_int_equal(world.removals, 1);
}

static void nobody_waits_past_the_deadline(void **state)
{
    (void)state;
    pnx_outcome outcome = {0};
    world.removes = false;
    world.goes_at_look = 5;
    pnx_status status =
        pnx_thing_remove_named(&fake, "x", "ours", pnx_monotonic_now(), &outcome, NULL);
    assert_int_equal(status, PNX_EBUSY);
    assert_int_equal(outcome.fate, PNX_FATE_STUCK);
    assert_int_equal(world.looks, 2);
}

static void what_cannot_be_looked_at_is_not_removed(void **state)
{
    (void)state;
    pnx_outcome outcome;
    world.find_answers = PNX_EFAILED;
    assert_int_equal(remove_it(&fake, &outcome), PNX_EFAILED);
    assert_int_equal(outcome.fate, PNX_FATE_STUCK);
    assert_non_null(strstr(outcome.reason, "cannot look"));
    assert_int_equal(world.removals, 0);
}

static void what_cannot_be_looked_at_again_is_not_called_gone(void **state)
{
    (void)state;
    pnx_outcome outcome;
    world.find_answers = PNX_EFAILED;
    world.fails_from_look = 2;
    assert_int_equal(remove_it(&fake, &outcome), PNX_EFAILED);
    assert_int_equal(world.removals, 1);
    assert_int_equal(outcome.fate, PNX_FATE_STUCK);
    assert_false(outcome.verified);
}

static void one_that_is_in_use_is_told_and_tried_again(void **state)
{
    (void)state;
    struct told_keeper told = {0};
    pnx_thing *thing = NULL;
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    assert_ok(make_it(&told, &thing, &err), &err);
    world.removes = false;
    world.remove_answers = PNX_EBUSY;
    assert_int_equal(pnx_thing_remove(thing, in_seconds(10), &outcome, &err), PNX_EBUSY);
    assert_int_equal(outcome.fate, PNX_FATE_STUCK);
    assert_non_null(strstr(outcome.reason, "does not want to"));
    assert_string_equal(told.events, "ib"); /* it is not gone */
    world.removes = true;
    world.remove_answers = PNX_OK;
    assert_ok(pnx_thing_remove(thing, in_seconds(10), &outcome, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_REMOVED);
    assert_int_equal(outcome.attempts, 2);
    assert_string_equal(outcome.reason, "");
    assert_string_equal(told.events, "ibg");
    pnx_thing_free(thing);
}

static void what_only_goes_with_its_process_is_told(void **state)
{
    (void)state;
    pnx_outcome outcome;
    assert_int_equal(remove_it(&held_by_others, &outcome), PNX_EUNSUPPORTED);
    assert_int_equal(outcome.fate, PNX_FATE_STUCK);
    assert_non_null(strstr(outcome.reason, "goes with the process"));
    world.identity = NULL;
    assert_int_equal(remove_it(&held_by_others, &outcome), PNX_OK);
    assert_int_equal(outcome.fate, PNX_FATE_ALREADY_GONE);
    assert_int_equal(world.removals, 0);
}

/* ---- names that lead elsewhere --------------------------------------------------------------- */

static void what_lost_its_name_is_asked_for_by_identity(void **state)
{
    (void)state;
    pnx_outcome outcome;
    const char *const holders[] = {NULL, "theirs"};
    for (size_t i = 0; i < 2; i++) {
        new_world(state);
        world.identity = holders[i];
        assert_int_equal(remove_it(&lasting, &outcome), PNX_OK);
        assert_int_equal(outcome.fate, PNX_FATE_ALREADY_GONE);
        assert_int_equal(world.stills, 1);
        assert_int_equal(world.removals, 0);

        new_world(state);
        world.identity = holders[i];
        world.next = holders[i];
        world.still = PNX_OK;
        assert_int_equal(remove_it(&lasting, &outcome), PNX_EBUSY); /* it stays, whatever is done */
        assert_int_equal(world.removals, 1);
        assert_int_equal(outcome.fate, PNX_FATE_STUCK);

        new_world(state);
        world.identity = holders[i];
        world.still = PNX_EFAILED;
        assert_int_equal(remove_it(&lasting, &outcome), PNX_EFAILED);
        assert_int_equal(world.removals, 0);
        assert_false(outcome.verified);
    }
}

/* ---- owners ---------------------------------------------------------------------------------- */

static void a_fork_child_looks_at_nothing_of_its_parent(void **state)
{
    (void)state;
    struct told_keeper told = {0};
    pnx_thing *thing = NULL;
    pnx_error err = {0};
    assert_ok(make_it(&told, &thing, &err), &err);
    pid_t pid = fork();
    if (pid == 0) {
        pnx_outcome outcome = {0};
        unsigned looks = world.looks;
        if (pnx_thing_remove(thing, in_seconds(10), &outcome, &err) != PNX_EFORKED)
            _exit(1);
        if (world.looks != looks || world.removals || strcmp(told.events, "ib") != 0)
            _exit(2);
        _exit(outcome.fate == PNX_FATE_HELD && !outcome.attempts ? 0 : 3);
    }
    assert_int_equal(status_of_child(pid), 0);
    assert_ok(pnx_thing_remove(thing, in_seconds(10), NULL, &err), &err);
    pnx_thing_free(thing);
}

typedef pnx_thing *fake_value;
PNX__GUARD_TYPE(fake)
static const pnx_kind *const fake_kind = &guard_kind;

static pnx_registry *start(void)
{
    pnx_registry *registry = NULL;
    pnx_error err = {0};
    assert_ok(pnx_registry_create(&(pnx_config){.workers = 1}, &registry, &err), &err);
    return registry;
}

static void stop(pnx_registry *registry)
{
    pnx_error err = {0};
    assert_int_equal(pnx_registry_wait_idle(registry, in_seconds(20)), PNX_OK);
    assert_ok(pnx_registry_shutdown(registry, NULL, NULL, &err), &err);
    assert_ok(pnx_registry_destroy(registry, &err), &err);
}

static void a_guard_removes_and_frees_it(void **state)
{
    (void)state;
    pnx_error err = {0};
    pnx_registry *registry = start();
    pnx_outcome outcome = {0};
    world.removes = false;
    world.goes_at_look = 3; /* the second attempt finds nothing any more */
    world.remove_answers = PNX_EBUSY;
    {
        pnx_auto(fake) guard = pnx_reserve(fake, registry, &err);
        assert_int_equal(guard.status, PNX_OK);
        pnx_thing *thing = adopt(&fake);
        pnx_thing_watch_by(thing, &outcome);
        assert_true(pnx_arm(&guard, thing));
        char text[64];
        assert_int_equal(pnx__thing_describe(&thing, text, sizeof text), 6);
        assert_string_equal(text, "fake x");
        world.looks = 1;
    }
    stop(registry);
    assert_true(outcome.verified);
    assert_int_equal(outcome.attempts, 2);
}

static void a_guard_gives_up_and_tells(void **state)
{
    (void)state;
    pnx_error err = {0};
    pnx_registry *registry = start();
    pnx_outcome outcome = {0};
    pnx_thing *thing = adopt(&fake);
    world.removes = false;
    world.remove_answers = PNX_EBUSY;
    {
        pnx_auto(fake) guard = pnx_reserve(fake, registry, &err);
        assert_int_equal(guard.status, PNX_OK);
        pnx_thing_watch_by(thing, &outcome);
        assert_true(pnx_arm(&guard, thing));
    }
    assert_int_equal(pnx_registry_wait_idle(registry, in_seconds(20)), PNX_OK);
    assert_int_not_equal(pnx_registry_shutdown(registry, NULL, NULL, &err), PNX_OK);
    assert_ok(pnx_registry_destroy(registry, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_STUCK);
    assert_int_equal(outcome.attempts, 3);
    assert_int_equal(world.removals, 3);
    pnx_thing_free(thing); /* still ours */
}

/* ---- all sorts ------------------------------------------------------------------------------- */

static void every_sort_is_found_by_code_and_name(void **state)
{
    (void)state;
    unsigned count = 0;
    for (const pnx_thing_kind *const *kind = pnx_thing_kinds(); *kind; kind++, count++) {
        assert_ptr_equal(pnx_thing_kind_of((*kind)->code), *kind);
        assert_ptr_equal(pnx_thing_kind_named((*kind)->name), *kind);
        assert_non_null((*kind)->find);
        assert_non_null((*kind)->list);
        assert_true((*kind)->order > 0);
        if ((*kind)->kind) { /* what is guarded can be removed, and is called the same */
            assert_non_null((*kind)->remove);
            assert_string_equal((*kind)->kind->name, (*kind)->name);
        }
    }
    assert_true(count >= 9);
    assert_null(pnx_thing_kind_of(0));
    assert_null(pnx_thing_kind_of(UINT16_MAX));
    assert_null(pnx_thing_kind_named(""));
    assert_null(pnx_thing_kind_named("shm "));
}

#define fresh(test) cmocka_unit_test_setup(test, new_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        fresh(an_intent_looks_at_nothing),
        fresh(what_is_made_is_looked_up_and_written_down),
        fresh(names_that_are_too_long_are_refused),
        fresh(a_refused_intent_makes_no_thing),
        fresh(a_refused_binding_takes_it_away_again),
        fresh(what_cannot_be_taken_away_again_stays_intended),
        fresh(what_is_gone_before_it_is_bound_was_never_made),
        fresh(what_cannot_be_looked_at_stays_intended),
        fresh(what_exists_is_adopted_by_name_or_identity),
        fresh(it_is_looked_at_before_and_after),
        fresh(what_is_gone_is_not_removed),
        fresh(another_of_its_name_is_not_touched),
        fresh(another_that_follows_at_once_is_no_failure),
        fresh(what_somebody_else_removes_first_is_gone_already),
        fresh(a_return_code_is_no_proof),
        fresh(what_goes_a_moment_later_is_waited_for),
        fresh(nobody_waits_past_the_deadline),
        fresh(what_cannot_be_looked_at_is_not_removed),
        fresh(what_cannot_be_looked_at_again_is_not_called_gone),
        fresh(one_that_is_in_use_is_told_and_tried_again),
        fresh(what_only_goes_with_its_process_is_told),
        fresh(what_lost_its_name_is_asked_for_by_identity),
        fresh(a_fork_child_looks_at_nothing_of_its_parent),
        fresh(a_guard_removes_and_frees_it),
        fresh(a_guard_gives_up_and_tells),
        cmocka_unit_test(every_sort_is_found_by_code_and_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
