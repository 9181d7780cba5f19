/* SPDX-License-Identifier: MIT */
/*
 * Scopes as their owners see them: opening, filling, closing. Promise: whatever went into a scope
 * is given back, last in, first out, also when the handle is lost (to a longjmp, with its outer
 * scope) or the end comes from another thread; and giving back needs no memory. See scope.h,
 * anchor.c and chain.c.
 */
#include "guard/scope.h"

#include "base/text.h"

#include <string.h>

/* ---- handles --------------------------------------------------------------------------------- */

/* Takes the scope out of its handle; NULL: there is none, or an outer scope ends it. */
static struct pnx__scope *take(pnx_scope *handle)
{
    if (handle == NULL) {
        return NULL;
    }
    struct pnx__scope *scope = pnx__anchor_scope(handle);
    const bool ours = scope != NULL && pnx__anchor_claim(handle->slot, handle->generation);
    handle->slot = NULL;
    return ours ? scope : NULL;
}

struct pnx__scope *pnx__scope_usable(const pnx_scope *handle, pnx_status *ret_status,
                                     pnx_error *err)
{
    struct pnx__scope *scope = pnx__anchor_scope(handle);
    if (scope == NULL && handle != NULL && handle->status != PNX_OK) {
        *ret_status = pnx_fail(err, handle->status, "the scope could not be opened: %s",
                               pnx_status_name(handle->status));
        return NULL;
    }
    if (scope == NULL) {
        *ret_status = pnx_fail(err, PNX_EINVAL, "the scope is not open, or closed already");
        return NULL;
    }
    if (pnx__forked(scope->registry)) {
        *ret_status =
            pnx_fail(err, PNX_EFORKED, "scope %s belongs to the parent process", scope->name);
        return NULL;
    }
    /* Acquire: pairs with the release in settle (chain.c): what an unwinding left. */
    if ((atomic_load_explicit(&scope->state, memory_order_acquire) & PNX__SCOPE_RUNNING) != 0) {
        *ret_status = pnx_fail(err, PNX_EBUSY, "scope %s is still being unwound", scope->name);
        return NULL;
    }
    *ret_status = PNX_OK;
    return scope;
}

/* ---- entries --------------------------------------------------------------------------------- */

static pnx__entry *reserved_at(struct pnx__scope *scope, size_t index)
{
    return &scope->entries[scope->room - 1 - index];
}

static void give_reserved_back(struct pnx__scope *scope)
{
    const pnx__entry *entry = reserved_at(scope, --scope->reserved);
    pnx_guard guard = {scope->registry, entry->slot, entry->generation};
    pnx__guard_drop(&guard);
}

static bool is_over(const pnx__entry *entry)
{
    if (entry->is_scope) {
        /* Acquire: pairs with the release in settle; nothing touches the block any more. */
        return (atomic_load_explicit(&entry->inner->state, memory_order_acquire) &
                PNX__SCOPE_ENDED) != 0;
    }
    const uint64_t word = atomic_load_explicit(&entry->slot->word, memory_order_relaxed);
    const pnx_state state = pnx__state_of(word);
    return pnx__generation_of(word) != entry->generation || state < PNX_LIVE || state > PNX_WAITING;
}

/* Clears away what was given back by others: in a scope that lives long, inner scopes come and go.
 *  */
static void clear_over(struct pnx__scope *scope)
{
    size_t kept = 0;
    for (size_t i = 0; i < scope->count; i++) {
        pnx__entry *entry = &scope->entries[i];
        if (!is_over(entry)) {
            scope->entries[kept++] = *entry;
        } else if (entry->is_scope) {
            pnx__scope_unref(entry->inner);
        }
    }
    scope->count = kept;
}

static pnx_status grow(struct pnx__scope *scope, size_t room, pnx_error *err)
{
    size_t size;
    pnx__entry *entries = NULL;
    if (!__builtin_mul_overflow(room, sizeof *entries, &size)) {
        entries = pnx__alloc(size);
    }
    if (entries == NULL) {
        return pnx_fail(err, PNX_ENOMEM, "scope %s: no memory for %zu entries", scope->name, room);
    }
    if (scope->entries != NULL) {
        memcpy(entries, scope->entries, scope->count * sizeof *entries);
        memcpy(entries + room - scope->reserved, scope->entries + scope->room - scope->reserved,
               scope->reserved * sizeof *entries);
    }
    pnx__free(scope->entries);
    scope->entries = entries;
    scope->room = room;
    return PNX_OK;
}

pnx_status pnx__scope_room(struct pnx__scope *scope, size_t count, pnx_error *err)
{
    /* What is reserved is room for the next entries. */
    const size_t wanted = count > scope->reserved ? count : scope->reserved;
    if (scope->room - scope->count >= wanted) {
        return PNX_OK;
    }
    clear_over(scope);
    /* Growing to the double, and only when clearing away left less than a quarter free, makes both
     * together constant time an entry. */
    size_t needed;
    if (__builtin_add_overflow(scope->count, wanted, &needed)) {
        needed = SIZE_MAX;
    }
    if (needed <= scope->room - scope->room / 4) {
        return PNX_OK;
    }
    const size_t twice = scope->room < 8 ? 8 : scope->room * 2;
    return grow(scope, needed > twice ? needed : twice, err);
}

static pnx__entry *push(struct pnx__scope *scope)
{
    if (scope->reserved > 0 && scope->count + scope->reserved == scope->room) {
        give_reserved_back(scope); /* this entry is one of those that it was reserved for */
    }
    pnx__entry *entry = &scope->entries[scope->count++];
    *entry = (pnx__entry){.serial = scope->serial++};
    return entry;
}

void pnx__scope_push(struct pnx__scope *scope, pnx__slot *slot, uint32_t generation)
{
    pnx__entry *entry = push(scope);
    entry->slot = slot;
    entry->generation = generation;
}

void pnx__scope_empty(struct pnx__scope *scope)
{
    pnx__tasks_forget(scope, 0);
    while (scope->reserved > 0) {
        give_reserved_back(scope);
    }
    pnx__free(scope->entries);
    scope->entries = NULL;
    scope->room = 0;
}

void pnx__scope_unref(struct pnx__scope *scope)
{
    /* Release: this holder's last look; acquire: the last one sees that of all others. */
    if (atomic_fetch_sub_explicit(&scope->references, 1, memory_order_acq_rel) == 1) {
        (void)pthread_mutex_destroy(&scope->result_lock);
        pnx__free(scope);
    }
}

/* ---- opening --------------------------------------------------------------------------------- */

static pnx_scope open_scope(pnx_registry *registry, struct pnx__scope *outer, const char *name,
                            pnx_error *err)
{
    pnx_guard anchor = {0};
    pnx_scope handle = {0};
    handle.status = pnx__anchor_reserve(&anchor, registry, err);
    if (handle.status != PNX_OK) {
        return handle;
    }
    struct pnx__scope *scope = pnx__alloc(sizeof *scope);
    if (scope == NULL) {
        pnx__guard_drop(&anchor);
        handle.status = pnx_fail(err, PNX_ENOMEM, "no memory for scope %s", name ? name : "");
        return handle;
    }
    scope->registry = registry;
    scope->outer = outer;
    atomic_store_explicit(&scope->references, 1, memory_order_relaxed);
    pnx__text_copy(scope->name, sizeof scope->name, name != NULL ? name : "");
    (void)pthread_mutex_init(&scope->result_lock, NULL);
    pnx__chain_init(scope);
    pnx__anchor_set(&anchor, scope);
    handle.slot = anchor.slot;
    handle.generation = anchor.generation;
    return handle;
}

pnx_scope pnx_scope_open(pnx_registry *registry, const char *name, pnx_error *err)
{
    return open_scope(registry, NULL, name, err);
}

pnx_scope pnx_scope_open_in(pnx_scope *parent, const char *name, pnx_error *err)
{
    pnx_scope handle = {0};
    struct pnx__scope *outer = pnx__scope_usable(parent, &handle.status, err);
    if (outer == NULL) {
        return handle;
    }
    handle.status = pnx__scope_room(outer, 1, err);
    if (handle.status != PNX_OK) {
        return handle;
    }
    handle = open_scope(outer->registry, outer, name, err);
    if (handle.status == PNX_OK) {
        pnx__entry *entry = push(outer);
        entry->inner = pnx__anchor_scope(&handle);
        entry->is_scope = true;
    }
    return handle;
}

/* ---- filling --------------------------------------------------------------------------------- */

struct action {
    pnx_action_fn run;
    void *argument;
};
_Static_assert(sizeof(struct action) <= PNX_VALUE_MAX, "an action is a value");

static pnx_status run_action(void *value, const pnx_release *why)
{
    struct action action;
    memcpy(&action, value, sizeof action);
    (void)why;
    return action.run(action.argument);
}
static const pnx_kind action_kind = {
    .name = "action",
    .value_size = sizeof(struct action),
    .release = run_action,
};

pnx_status pnx_scope_reserve(pnx_scope *handle, size_t count, pnx_error *err)
{
    pnx_status status;
    struct pnx__scope *scope = pnx__scope_usable(handle, &status, err);
    if (scope == NULL) {
        return status;
    }
    status = pnx__scope_room(scope, count, err);
    const size_t before = scope->reserved;
    while (status == PNX_OK && scope->reserved < count) {
        pnx_guard guard = {0};
        status = pnx__guard_reserve(&guard, scope->registry, &action_kind, NULL, err);
        if (status == PNX_OK) {
            *reserved_at(scope, scope->reserved++) =
                (pnx__entry){.slot = guard.slot, .generation = guard.generation};
        }
    }
    while (status != PNX_OK && scope->reserved > before) {
        give_reserved_back(scope);
    }
    return status;
}

/* A slot for an action: a reserved one if there is any, else a new one. */
static pnx_status slot_for_action(struct pnx__scope *scope, const pnx_site *site, pnx_guard *guard,
                                  pnx_error *err)
{
    if (scope->reserved == 0) {
        return pnx__guard_reserve(guard, scope->registry, &action_kind, site, err);
    }
    const pnx__entry *entry = reserved_at(scope, --scope->reserved);
    *guard = (pnx_guard){scope->registry, entry->slot, entry->generation};
    atomic_store_explicit(&guard->slot->site, site, memory_order_relaxed);
    return PNX_OK;
}

pnx_status pnx__scope_defer(pnx_scope *handle, pnx_action_fn action, void *argument,
                            const pnx_site *site, pnx_error *err)
{
    pnx_status status;
    struct pnx__scope *scope = pnx__scope_usable(handle, &status, err);
    if (scope == NULL) {
        return status;
    }
    if (action == NULL) {
        return pnx_fail(err, PNX_EINVAL, "scope %s: the action is NULL", scope->name);
    }
    status = pnx__scope_room(scope, 1, err);
    if (status != PNX_OK) {
        return status;
    }
    pnx_guard guard = {0};
    status = slot_for_action(scope, site, &guard, err);
    if (status != PNX_OK) {
        return status;
    }
    const struct action value = {action, argument};
    uint64_t words[PNX_VALUE_MAX / 8] = {0};
    memcpy(words, &value, sizeof value);
    (void)pnx__guard_arm(&guard, words[0], words[1], words[2]); /* it is reserved */
    pnx__scope_push(scope, guard.slot, guard.generation);
    return PNX_OK;
}

pnx_status pnx__scope_adopt(pnx_scope *handle, pnx_guard *guard, pnx_error *err)
{
    pnx_status status;
    struct pnx__scope *scope = pnx__scope_usable(handle, &status, err);
    if (scope == NULL) {
        return status;
    }
    if (guard == NULL || guard->slot == NULL || pnx_id_is_none(pnx__guard_id(guard))) {
        return pnx_fail(err, PNX_EINVAL, "scope %s: the guard holds nothing", scope->name);
    }
    if (guard->registry != scope->registry) {
        return pnx_fail(err, PNX_EINVAL, "scope %s is of registry %s, the guard of registry %s",
                        scope->name, scope->registry->name, guard->registry->name);
    }
    if (pnx_registry_state(guard->registry, pnx__guard_id(guard)) != PNX_LIVE) {
        return pnx_fail(err, PNX_EALREADY,
                        "scope %s: what the guard held was released behind its back", scope->name);
    }
    status = pnx__scope_room(scope, 1, err);
    if (status != PNX_OK) {
        return status;
    }
    pnx__scope_push(scope, guard->slot, guard->generation);
    guard->slot = NULL;
    return PNX_OK;
}

/* ---- ending ---------------------------------------------------------------------------------- */

/* Waits for the chain. PNX_OK: it is over. PNX_ETIMEOUT; PNX_EBUSY: under an injected clock nothing
 * is left to step, so only the passing of time would help. */
static pnx_status wait_for_chain(struct pnx__scope *scope, pnx_time deadline)
{
    pnx_registry *registry = scope->registry;
    for (;;) {
        /* Acquire: pairs with the release in settle (chain.c). */
        const uint32_t state = atomic_load_explicit(&scope->state, memory_order_acquire);
        if ((state & PNX__SCOPE_RUNNING) == 0 || (state & PNX__SCOPE_ENDED) != 0) {
            return PNX_OK;
        }
        if (deadline != PNX_FOREVER && pnx__precise(registry) >= deadline) {
            return PNX_ETIMEOUT;
        }
        pnx_time until = deadline;
        if (registry->manual && !pnx__stepped_elsewhere(registry)) {
            if (pnx__step(registry, 1) > 0) {
                continue;
            }
            if (registry->clock != NULL) {
                return PNX_EBUSY;
            }
            const pnx_time due = pnx_registry_next_due(registry);
            until = due < deadline ? due : deadline;
        }
        pnx__futex_wait(&scope->state, state, until);
    }
}

static void collect_into(struct pnx__scope *scope, pnx_scope_result *result)
{
    pthread_mutex_lock(&scope->result_lock);
    scope->result = result;
    pthread_mutex_unlock(&scope->result_lock);
}

/* The answer, and its words. */
static pnx_status conclude(const struct pnx__scope *scope, const pnx_scope_result *result,
                           pnx_status waited, pnx_error *err)
{
    if (waited != PNX_OK) {
        return pnx_fail(err, waited,
                        "scope %s: %zu given back, %zu failed, the rest did not end in time and "
                        "goes on by itself",
                        scope->name, result->released, result->failed);
    }
    if (result->failed == 0) {
        return PNX_OK;
    }
    const pnx_status first = result->failures[0].status;
    const pnx_site *site = result->failures[0].site;
    return pnx_fail(err, first, "scope %s: %zu of %zu failed; the first: %s of %s:%d: %s",
                    scope->name, result->failed, result->failed + result->released,
                    result->failures[0].kind->name, site != NULL ? site->file : "?",
                    site != NULL ? site->line : 0, pnx_status_name(first));
}

static pnx_status give_back(struct pnx__scope *scope, size_t floor, uint32_t flags,
                            pnx_time deadline, pnx_scope_result *ret, pnx_error *err)
{
    pnx_scope_result result = {0};
    pnx_status status;
    atomic_fetch_add_explicit(&scope->references, 1, memory_order_relaxed);
    collect_into(scope, &result);
    if (pnx__running_in == scope->registry) {
        status = pnx__chain_inline(scope, floor, flags, deadline);
    } else {
        pnx__chain_begin(scope, floor, flags | PNX__SCOPE_WAITED);
        status = wait_for_chain(scope, deadline);
    }
    collect_into(scope, NULL); /* from here on nobody else writes to it */
    status = conclude(scope, &result, status, err);
    pnx__scope_unref(scope);
    if (ret != NULL) {
        *ret = result;
    }
    return status;
}

pnx_status pnx_scope_close(pnx_scope *handle, pnx_time deadline, pnx_scope_result *result,
                           pnx_error *err)
{
    struct pnx__scope *scope = take(handle);
    if (result != NULL) {
        *result = (pnx_scope_result){0};
    }
    if (scope == NULL) {
        return PNX_OK;
    }
    if (pnx__forked(scope->registry)) {
        pnx__chain_in_child(scope);
        return PNX_OK;
    }
    pnx__anchor_run(scope);
    return give_back(scope, 0, PNX__SCOPE_END, deadline, result, err);
}

void pnx_scope_drop(pnx_scope *handle)
{
    struct pnx__scope *scope = take(handle);
    if (scope == NULL) {
        return;
    }
    if (pnx__forked(scope->registry)) {
        pnx__chain_in_child(scope);
        return;
    }
    pnx__anchor_run(scope);
    pnx__chain_begin(scope, 0, PNX__SCOPE_END);
}

size_t pnx_scope_mark(const pnx_scope *handle)
{
    const struct pnx__scope *scope = pnx__anchor_scope(handle);
    if (scope == NULL) {
        return 0;
    }
    /* Acquire: pairs with the release in settle (chain.c): the serial that an unwinding left. */
    const uint32_t state = atomic_load_explicit(&scope->state, memory_order_acquire);
    return (state & PNX__SCOPE_RUNNING) != 0
               ? atomic_load_explicit(&scope->floor, memory_order_relaxed)
               : scope->serial;
}

pnx_status pnx_scope_unwind(pnx_scope *handle, size_t mark, pnx_time deadline,
                            pnx_scope_result *result, pnx_error *err)
{
    if (result != NULL) {
        *result = (pnx_scope_result){0};
    }
    pnx_status status;
    struct pnx__scope *scope = pnx__scope_usable(handle, &status, NULL);
    if (status == PNX_EBUSY) {
        scope = pnx__anchor_scope(
            handle); /* it is being unwound: this goes further down, or waits for it */
        const size_t floor = atomic_load_explicit(&scope->floor, memory_order_relaxed);
        mark = mark < floor ? mark : floor;
    } else if (scope == NULL) {
        (void)pnx__scope_usable(handle, &status, err);
        return status;
    }
    return give_back(scope, mark, 0, deadline, result, err);
}
