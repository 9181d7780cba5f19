/* SPDX-License-Identifier: MIT */
/*
 * The chain: how a scope is given back, last in, first out, each entry only after the one before it
 * has ended, whoever ends it and wherever. Promise: it allocates nothing, waits for nothing, and
 * does not nest, however many entries there are and however they end.
 *
 * One step hooks the scope to the entry on top, gives that to the registry, and returns. The end of
 * the entry calls the hook, on whatever thread that is, and the next step is taken there; at the
 * bottom the chain ends the scope. It may well be that the entry ends before the step returns: in
 * another thread, or further down on this very stack, where a registry without workers runs it. So
 * steps are counted in `turns`: who makes it 1 takes the step, and all that come meanwhile too.
 *
 * What a scope holds is given up all at once, when the chain begins, though it is released one by
 * one: each entry is moved from LIVE to QUEUED then, as by its guard's drop, and put into the queue
 * in its turn. So from the drop on nobody takes it for held: no shutdown tells that it leaked, or
 * releases it out of order, and no timer fires.
 */
#include "guard/scope.h"

#include "registry/resource.h"

static pnx_id id_of(const struct pnx__scope *scope, const pnx__entry *entry)
{
    return pnx__id_make(scope->registry->instance, entry->slot->index, entry->generation);
}

/* The entry to give back next; NULL: what is left lies below the floor. */
static pnx__entry *top_of(struct pnx__scope *scope, size_t floor)
{
    if (scope->count == 0 || scope->entries[scope->count - 1].serial < floor) {
        return NULL;
    }
    return &scope->entries[scope->count - 1];
}

/* ---- results --------------------------------------------------------------------------------- */

static void record(struct pnx__scope *scope, pnx_id id, const pnx_kind *kind, const pnx_site *site,
                   pnx_status status)
{
    if (status == PNX_ECANCELED && pnx_registry_state(scope->registry, id) != PNX_FAILED) {
        return; /* taken out of the registry: somebody else holds it now */
    }
    pthread_mutex_lock(&scope->result_lock);
    pnx_scope_result *result = scope->result;
    if (result != NULL && (status == PNX_OK || status == PNX_EALREADY)) {
        result->released++;
    } else if (result != NULL) {
        if (result->failed++ < PNX_SCOPE_FAILURES_MAX) {
            const size_t i = result->failure_count++;
            result->failures[i].id = id;
            result->failures[i].kind = kind;
            result->failures[i].site = site;
            result->failures[i].status = status;
        }
    }
    pthread_mutex_unlock(&scope->result_lock);
}

/* ---- inner scopes ---------------------------------------------------------------------------- */

/* True: its handle is stale from now on, and this chain has to end it. */
static bool take_over(struct pnx__scope *inner)
{
    if (!pnx__anchor_claim(inner->anchor.slot, inner->anchor.generation)) {
        return false;
    }
    pnx__anchor_cancel(inner);
    return true;
}

/* An inner scope lies on top. True: it is being ended elsewhere, and this chain is called when that
 * is done. False: go on; it was over, or the chain is inside of it now. */
static bool wait_for_inner(struct pnx__scope *root, struct pnx__scope *inner)
{
    uint32_t state = atomic_load_explicit(&inner->state, memory_order_acquire);
    const bool claimed = (state & PNX__SCOPE_ENDED) == 0 && take_over(inner);
    if (claimed && (state & PNX__SCOPE_RUNNING) == 0) {
        root->at = inner;
        return false;
    }
    inner->follower = root;
    if (claimed) { /* it is being unwound: on to the bottom */
        pnx__chain_begin(inner, 0, PNX__SCOPE_END | PNX__SCOPE_FOLLOWED);
        return true;
    }
    while ((state & PNX__SCOPE_ENDED) == 0) {
        /* Release: pairs with the acquire of the exchange in settle, which then reads `follower`.
         *  */
        if (atomic_compare_exchange_weak_explicit(&inner->state, &state,
                                                  state | PNX__SCOPE_FOLLOWED, memory_order_acq_rel,
                                                  memory_order_acquire)) {
            return true;
        }
    }
    root->at->count--;
    pnx__scope_unref(inner);
    return false;
}

/* The inner scope that the chain is in is empty: back to the one around it, whose top it is. */
static void leave_inner(struct pnx__scope *root)
{
    struct pnx__scope *inner = root->at;
    root->at = inner->outer;
    root->at->count--;
    pnx__scope_empty(inner);
    pnx__scope_unref(inner);
}

/* ---- the bottom ------------------------------------------------------------------------------ */

/* False: there is something new to do. Else the chain is over; the block must not be touched any
 * more, and `*ret_next` is the chain to go on with, if any. */
static bool settle(struct pnx__scope *root, uint32_t state, size_t floor,
                   struct pnx__scope **ret_next)
{
    const bool end = (state & PNX__SCOPE_END) != 0;
    struct pnx__scope *outer = root->outer;
    uint32_t next;
    if (end) {
        pnx__scope_empty(root);
        if (root->running.registry != NULL) {
            (void)pnx_complete(root->running, PNX_OK); /* who waited finds no trace of it */
        }
        next = PNX__SCOPE_ENDED;
    } else {
        pnx__tasks_forget(root, floor);
        root->serial = floor < root->serial ? floor : root->serial;
        root->claimed = SIZE_MAX;
        next = state & (uint32_t) ~(PNX__SCOPE_RUNNING | PNX__SCOPE_WAITED);
    }
    /* Release: whoever sees that it is over sees what the chain left. Acquire: the follower. Flags
     * that only others set do not keep a scope from ending; for unwinding the word must be the
     * same, or there is a lower floor to go to. */
    while (!atomic_compare_exchange_strong_explicit(&root->state, &state, next,
                                                    memory_order_acq_rel, memory_order_acquire)) {
        if (!end) {
            return false;
        }
    }
    if ((state & PNX__SCOPE_WAITED) != 0) {
        pnx__futex_wake(&root->state, UINT32_MAX);
    }
    if (end && (state & PNX__SCOPE_FOLLOWED) != 0) {
        *ret_next = root->follower; /* it frees this block, when we call it */
    } else if (end && outer == NULL) {
        pnx__scope_unref(root);
    }
    return true;
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* Moves what is held from LIVE to QUEUED. What others have queued is on its way already; what ticks
 * goes on ticking until its turn. */
static void claim_entries(struct pnx__scope *at, size_t floor)
{
    for (size_t i = at->count; i-- > 0 && at->entries[i].serial >= floor;) {
        pnx__entry *entry = &at->entries[i];
        if (entry->is_scope || entry->claimed || pnx__kind_of(entry->slot)->ticks) {
            continue;
        }
        uint64_t word = atomic_load_explicit(&entry->slot->word, memory_order_relaxed);
        entry->claimed = pnx__generation_of(word) == entry->generation &&
                         pnx__schedule_claim(entry->slot, &word, PNX_SCOPE_END, -1, 0);
    }
    at->claimed = floor;
}

/* Gives the resource on top to the registry. True: it has not ended yet, as far as this thread can
 * tell, and the hook will be called. */
static bool release_top(struct pnx__scope *root, const pnx__entry *top)
{
    pnx_registry *registry = root->registry;
    pnx__slot *slot = top->slot;
    pnx_guard guard = {registry, slot, top->generation};
    const bool claimed = top->claimed;
    const pnx_status status = pnx__hook_attach(registry, id_of(root, top), &root->hook);
    root->at->count--;
    if (claimed) {
        const uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
        pnx__schedule_queue(registry, pnx__thread_get(registry), slot, word);
    } else {
        pnx__guard_drop(&guard); /* in case that nobody has queued it */
    }
    return status == PNX_OK;
}

/* True: the chain waits for something. False: it is over; see settle. */
static bool step(struct pnx__scope *root, struct pnx__scope **ret_next)
{
    for (;;) {
        /* Acquire: pairs with the release in pnx__chain_begin; the floor belongs to the epoch. */
        const uint32_t state = atomic_load_explicit(&root->state, memory_order_acquire);
        const size_t floor = atomic_load_explicit(&root->floor, memory_order_relaxed);
        const size_t lowest = root->at == root ? floor : 0;
        if (lowest < root->at->claimed) {
            claim_entries(root->at, lowest);
        }
        const pnx__entry *top = top_of(root->at, lowest);
        if (top != NULL) {
            if (top->is_scope ? wait_for_inner(root, top->inner) : release_top(root, top)) {
                return true;
            }
        } else if (root->at != root) {
            leave_inner(root);
        } else if (settle(root, state, floor, ret_next)) {
            return false;
        }
    }
}

static struct pnx__scope *take_turns(struct pnx__scope *root)
{
    struct pnx__scope *next = NULL;
    do {
        if (!step(root, &next)) {
            return next;
        }
        /* Release: the chain's fields, for whoever takes the next turn; acquire: those that came
         * meanwhile. Pairs with itself and with the addition in go_on. */
    } while (atomic_fetch_sub_explicit(&root->turns, 1, memory_order_acq_rel) > 1);
    return NULL;
}

static void go_on(struct pnx__scope *root)
{
    while (root != NULL) {
        if (atomic_fetch_add_explicit(&root->turns, 1, memory_order_acq_rel) != 0) {
            return; /* whoever is at it takes this turn too */
        }
        root = take_turns(root);
    }
}

/* The hook: an entry has ended. */
static void ended(pnx__hook *hook, pnx_id id, const pnx_kind *kind, const pnx_site *site,
                  pnx_status outcome)
{
    struct pnx__scope *root = pnx__container_of(hook, struct pnx__scope, hook);
    record(root, id, kind, site, outcome);
    go_on(root);
}

void pnx__chain_init(struct pnx__scope *scope)
{
    scope->hook.ended = ended;
    scope->at = scope;
    scope->claimed = SIZE_MAX;
}

/* Tells the chain what to do. True: there was none, and the caller has to set it going. */
static bool claim_chain(struct pnx__scope *scope, size_t floor, uint32_t flags)
{
    atomic_store_explicit(&scope->floor, floor, memory_order_relaxed);
    uint32_t state = atomic_load_explicit(&scope->state, memory_order_relaxed);
    uint32_t next;
    do {
        next = (state | PNX__SCOPE_RUNNING | flags) + PNX__SCOPE_EPOCH;
        /* Release: the floor, the follower, the entries; acquire: what an earlier chain left. */
    } while (!atomic_compare_exchange_weak_explicit(&scope->state, &state, next,
                                                    memory_order_acq_rel, memory_order_relaxed));
    return (state & PNX__SCOPE_RUNNING) == 0;
}

void pnx__chain_begin(struct pnx__scope *scope, size_t floor, uint32_t flags)
{
    if (claim_chain(scope, floor, flags)) {
        /* A new chain; the one before has left its last turn there. Relaxed: until something is
         * hooked nobody else takes one. */
        atomic_store_explicit(&scope->turns, 0, memory_order_relaxed);
        go_on(scope);
    }
}

/* ---- from inside a release ------------------------------------------------------------------- */

/* Runs the resource on top here and now. False: it could not be waited for. */
static bool release_inline(struct pnx__scope *root, const pnx__entry *top, pnx_time deadline)
{
    const uint64_t word = atomic_load_explicit(&top->slot->word, memory_order_acquire);
    const pnx_state state = pnx__state_of(word);
    if (pnx__generation_of(word) != top->generation || state < PNX_LIVE || state > PNX_WAITING) {
        return true; /* ended before */
    }
    const pnx__about about = pnx__about_slot(root->registry, top->slot, word);
    const pnx_status status =
        pnx__release_now(root->registry, top->slot, word, deadline, PNX_SCOPE_END, NULL);
    if (status == PNX_ETIMEOUT || status == PNX_EDEADLOCK) {
        /* It is pending, waits for a retry, or is run by others: it may also have failed for good,
         * with such a status. */
        const pnx_state now = pnx_registry_state(root->registry, about.id);
        if (now >= PNX_LIVE && now <= PNX_WAITING) {
            return false;
        }
    }
    record(root, about.id, about.kind->kind, about.site, status);
    return true;
}

/* Like step, for the entry on top. False: it could not be waited for. */
static bool step_inline(struct pnx__scope *root, const pnx__entry *top, pnx_time deadline)
{
    if (top->is_scope) {
        struct pnx__scope *inner = top->inner;
        const uint32_t state = atomic_load_explicit(&inner->state, memory_order_acquire);
        if ((state & PNX__SCOPE_ENDED) != 0) {
            root->at->count--;
            pnx__scope_unref(inner);
            return true;
        }
        if ((state & PNX__SCOPE_RUNNING) != 0 || !take_over(inner)) {
            return false;
        }
        root->at = inner;
        return true;
    }
    if (!release_inline(root, top, deadline)) {
        return false;
    }
    root->at->count--;
    return true;
}

pnx_status pnx__chain_inline(struct pnx__scope *root, size_t floor, uint32_t flags,
                             pnx_time deadline)
{
    if (!claim_chain(root, floor, flags)) {
        return PNX_ETIMEOUT; /* one is on its way, and does this too */
    }
    /* This is the first turn of the chain. Relaxed: nobody else takes one before something waits.
     *  */
    atomic_store_explicit(&root->turns, 1, memory_order_relaxed);
    pnx_status status = PNX_OK;
    while (status == PNX_OK) {
        const pnx__entry *top = top_of(root->at, root->at == root ? floor : 0);
        if (top == NULL && root->at == root) {
            break;
        }
        if (top == NULL) {
            leave_inner(root);
        } else if (pnx__precise(root->registry) >= deadline || !step_inline(root, top, deadline)) {
            status = PNX_ETIMEOUT;
        }
    }
    go_on(take_turns(root));
    return status;
}

/* ---- in a fork child ------------------------------------------------------------------------- */

void pnx__chain_in_child(struct pnx__scope *root)
{
    for (;;) {
        const pnx__entry *top = top_of(root->at, 0);
        if (top == NULL && root->at == root) {
            break;
        }
        if (top == NULL) {
            leave_inner(root);
        } else if (!top->is_scope) {
            pnx_guard guard = {root->registry, top->slot, top->generation};
            root->at->count--;
            pnx__guard_drop(&guard);
        } else if ((atomic_load_explicit(&top->inner->state, memory_order_relaxed) &
                    (PNX__SCOPE_RUNNING | PNX__SCOPE_ENDED)) == 0) {
            (void)take_over(top->inner);
            root->at = top->inner;
        } else {
            root->at->count--; /* a chain of the parent's was in it: it may be anyhow */
        }
    }
    pnx__scope_empty(root);
    pnx__scope_unref(root);
}
