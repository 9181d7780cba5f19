/* SPDX-License-Identifier: MIT */
/**
 * @file scope.h
 * A *scope* owns a group of resources, actions and inner scopes, and gives them back last in, first
 * out, each only after the one before it has ended. It may live on the stack, in a struct, or be
 * handed on; its entries are in memory of its own, so that a longjmp over it loses nothing.
 */
#ifndef PATINOX_SCOPE_H
#define PATINOX_SCOPE_H

#include <patinox/guard.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Zeroed: no scope. One thread at a time; an inner scope may be in another thread than its outer
 * one. A handle, as a guard is: when an outer scope has ended it, it is known to be stale, and
 * dropping it does nothing. Do not use a scope otherwise while its outer scope ends.
 */
typedef struct pnx_scope {
    struct pnx__slot *slot;
    uint32_t generation;
    pnx_status status; /**< how pnx_scope_open went */
} pnx_scope;

/** `pnx_auto_scope s = pnx_scope_open(registry, "import", err);` is dropped at its end. */
#define pnx_auto_scope __attribute__((cleanup(pnx_scope_drop))) pnx_scope

/** Opens a scope. `name` is copied, for reports. PNX_ENOMEM, PNX_ESHUTDOWN in `status`. */
PNX_API pnx_scope pnx_scope_open(pnx_registry *registry, const char *name, pnx_error *err);
/** Opens a scope inside another: it is closed with its parent at the latest, in its place. */
PNX_API pnx_scope pnx_scope_open_in(pnx_scope *parent, const char *name, pnx_error *err);

/**
 * Makes sure that the next `count` actions and guards cannot fail for want of memory (tasks and
 * inner scopes need memory of their own). PNX_ENOMEM, PNX_ELIMIT, PNX_ESHUTDOWN; nothing was
 * changed then.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_scope_reserve(pnx_scope *scope, size_t count, pnx_error *err);

/**
 * Registers an action: `action(argument)` runs when the scope ends. It may fail: its status is told
 * like that of a release. PNX_ENOMEM (not within what is reserved), PNX_ESHUTDOWN; on failure it
 * will not run: do by hand what it would have done.
 */
typedef pnx_status (*pnx_action_fn)(void *argument);
PNX_MUST_CHECK PNX_API pnx_status pnx__scope_defer(pnx_scope *scope, pnx_action_fn action,
                                                   void *argument, const pnx_site *site,
                                                   pnx_error *err);
#define pnx_scope_defer(scope, action, argument, err)                                              \
    pnx__scope_defer((scope), (action), (argument), PNX_HERE, (err))

/**
 * Moves an armed guard's resource into the scope. On failure (PNX_ENOMEM, not within what is
 * reserved) the guard still owns it. PNX_EALREADY: it was released behind the guard's back.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx__scope_adopt(pnx_scope *scope, pnx_guard *guard,
                                                   pnx_error *err);
#define pnx_scope_adopt(scope, guard, err) pnx__scope_adopt((scope), &(guard)->base, (err))

/** What went wrong when a scope closed. */
#define PNX_SCOPE_FAILURES_MAX 16
typedef struct pnx_scope_result {
    size_t released;
    size_t failed; /**< all of them; the first PNX_SCOPE_FAILURES_MAX are listed */
    size_t failure_count;
    struct {
        pnx_id id;
        const pnx_kind *kind; /**< "action" for actions */
        const pnx_site *site;
        pnx_status status;
    } failures[PNX_SCOPE_FAILURES_MAX]; /**< in the order in which they happened */
} pnx_scope_result;

/**
 * Gives everything back, last in, first out, and waits. Goes on after failures; answers PNX_OK or
 * the status of the first failure, and lists all in `result` (may be NULL). The scope is gone
 * afterwards, whatever the answer. PNX_ETIMEOUT: `deadline` (on the registry's clock) passed, the
 * rest goes on by itself. PNX_EBUSY: the same under an injected clock, when only the passing of
 * time would help. From inside a release everything runs inline; what cannot is left to go on by
 * itself, with PNX_ETIMEOUT. A scope that is none, or that its outer scope has ended, answers
 * PNX_OK.
 */
PNX_API pnx_status pnx_scope_close(pnx_scope *scope, pnx_time deadline, pnx_scope_result *result,
                                   pnx_error *err);
/** The same in the background: never fails, never waits. NULL, zeroed and closed ones are fine. */
PNX_API void pnx_scope_drop(pnx_scope *scope);

/** How many entries it was given, less those unwound: a mark to unwind to. */
PNX_API size_t pnx_scope_mark(const pnx_scope *scope);
/**
 * Gives back, last in, first out, what was added since `mark`, and waits as pnx_scope_close does;
 * the scope goes on. While the rest of an unwinding that timed out goes on, the scope takes nothing
 * in: PNX_EBUSY. Safe after a longjmp: take the mark before setjmp(3), and keep the scope (and
 * the mark, volatile) outside of the frames that are jumped over.
 */
PNX_API pnx_status pnx_scope_unwind(pnx_scope *scope, size_t mark, pnx_time deadline,
                                    pnx_scope_result *result, pnx_error *err);

#ifdef __cplusplus
}
#endif

#endif
