/* SPDX-License-Identifier: MIT */
/** @file keeper.h  A keeper that writes down what it is told, and refuses when it should. */
#ifndef TESTS_CLEANROOM_KEEPER_H
#define TESTS_CLEANROOM_KEEPER_H

#include "support.h"

struct told_keeper {
    char events[16]; /* "i", "b", "g" in the order in which they came */
    char name[PNX_THING_NAME_MAX], identity[PNX_THING_IDENTITY_MAX];
    const pnx_thing_kind *kind;
    pnx_outcome outcome;
    bool refuse_intent, refuse_binding;
    bool existed_at_intent, existed_at_binding;
    bool (*exists)(const char *name);   /* asked at both; may be NULL */
    bool (*overtake)(const char *name); /* called at the intent; may be NULL */
};

static inline void keeper_event(struct told_keeper *told, char event)
{
    size_t length = strlen(told->events);
    assert_true(length + 1 < sizeof told->events);
    told->events[length] = event;
}

static inline pnx_status keeper_intend(void *context, const pnx_thing_kind *kind, const char *name,
                                       uint32_t *ret_token, pnx_error *err)
{
    struct told_keeper *told = context;
    keeper_event(told, 'i');
    told->kind = kind;
    snprintf(told->name, sizeof told->name, "%s", name);
    told->existed_at_intent = told->exists && told->exists(name);
    if (told->refuse_intent)
        return pnx_fail(err, PNX_ELIMIT, "the ledger is full");
    if (told->overtake)
        assert_true(told->overtake(name));
    *ret_token = 4711;
    return PNX_OK;
}

static inline pnx_status keeper_bind(void *context, uint32_t token, const char *identity,
                                     pnx_error *err)
{
    struct told_keeper *told = context;
    keeper_event(told, 'b');
    assert_int_equal(token, 4711);
    snprintf(told->identity, sizeof told->identity, "%s", identity);
    told->existed_at_binding = told->exists && told->exists(told->name);
    return told->refuse_binding ? pnx_fail(err, PNX_ELIMIT, "the disk is full") : PNX_OK;
}

static inline void keeper_gone(void *context, uint32_t token, const pnx_outcome *outcome)
{
    struct told_keeper *told = context;
    keeper_event(told, 'g');
    assert_int_equal(token, 4711);
    told->outcome = *outcome;
}

static inline pnx_keeper keeper_that_tells(struct told_keeper *told)
{
    return (pnx_keeper){told, keeper_intend, keeper_bind, keeper_gone};
}

#endif
