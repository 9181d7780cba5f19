/* SPDX-License-Identifier: MIT */
/** @file ledger_support.h  What the tests of src/cleanroom/ledger share. */
#ifndef TESTS_CLEANROOM_LEDGER_SUPPORT_H
#define TESTS_CLEANROOM_LEDGER_SUPPORT_H

#include "support.h"

#include "ledger/format.h"
#include "ledger/ledger.h"

#define SESSION ((pnx_id){0x0123456789abcdef, 0x8123456789abcdef})
#define TREE 1 /* some kind */

/** The work of tests that repeat something `full` times, by PNX_TEST_EFFORT. */
static inline unsigned by_effort(unsigned full)
{
    const char *effort = getenv("PNX_TEST_EFFORT");
    unsigned long percent = effort ? strtoul(effort, NULL, 10) : 100;
    unsigned long scaled = full * percent / 100;
    return scaled ? (unsigned)scaled : 1;
}

/** A place, opened: `*state` is its path, see make_place. */
static inline int open_place(void **state)
{
    int fd = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static inline pnx__ledger *make_ledger(int dir)
{
    pnx_error err = {0};
    pnx__ledger *ledger = NULL;
    assert_ok(pnx__ledger_create(dir, "ledger", SESSION, &ledger, &err), &err);
    return ledger;
}

static inline pnx__ledger *reopen_ledger(int dir)
{
    pnx_error err = {0};
    pnx__ledger *ledger = NULL;
    assert_ok(pnx__ledger_open(dir, "ledger", &ledger, &err), &err);
    return ledger;
}

static inline struct pnx__ledger_view *load_ledger(int dir)
{
    pnx_error err = {0};
    struct pnx__ledger_view *view = NULL;
    assert_ok(pnx__ledger_load(dir, "ledger", &view, &err), &err);
    return view;
}

static inline uint32_t intend(pnx__ledger *ledger, const char *name)
{
    pnx_error err = {0};
    uint32_t resource = 0;
    assert_ok(pnx__ledger_intend(ledger, TREE, name, false, &resource, &err), &err);
    return resource;
}

static inline void bind_to(pnx__ledger *ledger, uint32_t resource, const char *identity)
{
    pnx_error err = {0};
    assert_ok(pnx__ledger_bind(ledger, resource, identity, false, &err), &err);
}

static inline void say_gone(pnx__ledger *ledger, uint32_t resource)
{
    pnx_error err = {0};
    assert_ok(pnx__ledger_gone(ledger, resource, "removed", &err), &err);
}

static inline void note(pnx__ledger *ledger, const char *key, const char *value)
{
    pnx_error err = {0};
    assert_ok(pnx__ledger_note(ledger, key, value, &err), &err);
}

/** Closes everything of a test and removes its ledger, so that the place is empty again. */
static inline void drop_ledger(int dir, pnx__ledger *ledger)
{
    pnx__ledger_close(ledger);
    assert_int_equal(unlinkat(dir, "ledger", 0), 0);
    close(dir);
}

/** A text of `length` bytes, none of which is 0, that differs by `salt`. */
static inline char *long_text(size_t length, unsigned salt)
{
    char *text = malloc(length + 1);
    assert_non_null(text);
    for (size_t i = 0; i < length; i++)
        text[i] = (char)('a' + (i * 7 + salt) % 26);
    text[length] = '\0';
    return text;
}

#endif
