/* SPDX-License-Identifier: MIT */
/*
 * Anchors: how a handle leads to its scope, and how the registry knows of scopes that are on their
 * way. While a scope is open its anchor is a slot that is reserved: not a resource, but enough to
 * keep the registry from being destroyed. While its chain runs, the anchor is a resource of kind
 * "scope" that is being released. So whoever waits for the registry to be idle waits for the whole
 * chain, a shutdown gives it its grace, and one that does not end is told of by its name.
 */
#include "guard/scope.h"

#include "registry/resource.h"

#include <string.h>

/* In the word of an anchor that is reserved: somebody ends the scope. */
#define CLAIMED PNX__STOP

_Static_assert(PNX__SCOPE_NAME_SIZE == PNX_VALUE_MAX, "a name is a value");

/* Never runs: an anchor is never live. */
static pnx_status release_nothing(void *value, const pnx_release *why)
{
    (void)value;
    (void)why;
    return PNX_OK;
}

static int describe_by_name(const void *value, char *buffer, size_t size)
{
    return snprintf(buffer, size, "%s", (const char *)value);
}

/* Only for pnx_kind.describe to say that there is one. */
static void described(void)
{
}

static const pnx_kind scope_kind = {
    .name = "scope",
    .value_size = PNX__SCOPE_NAME_SIZE,
    .describe = described,
    .release = release_nothing,
    .run_describe = describe_by_name,
};

pnx_status pnx__anchor_reserve(pnx_guard *anchor, pnx_registry *registry, pnx_error *err)
{
    return pnx__guard_reserve(anchor, registry, &scope_kind, NULL, err);
}

void pnx__anchor_set(const pnx_guard *anchor, struct pnx__scope *scope)
{
    scope->anchor = *anchor;
    /* Relaxed: a handle goes to other threads by the program's own synchronisation. */
    atomic_store_explicit(&anchor->slot->value[0], (uintptr_t)scope, memory_order_relaxed);
}

/* Is it reserved, of this generation, and not claimed? */
static bool is_open(uint64_t word, uint32_t generation)
{
    return pnx__generation_of(word) == generation && pnx__state_of(word) == PNX_RESERVED &&
           (word & CLAIMED) == 0;
}

struct pnx__scope *pnx__anchor_scope(const pnx_scope *handle)
{
    if (handle == NULL || handle->slot == NULL) {
        return NULL;
    }
    pnx__slot *slot = handle->slot;
    const uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    if (!is_open(word, handle->generation)) {
        return NULL;
    }
    const uint64_t value = atomic_load_explicit(&slot->value[0], memory_order_relaxed);
    struct pnx__scope *scope;
    memcpy(&scope, &value, sizeof scope);
    return scope;
}

bool pnx__anchor_claim(pnx__slot *slot, uint32_t generation)
{
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
    do {
        if (!is_open(word, generation)) {
            return false;
        }
        /* Acquire and release: pairs with itself, of whoever else tries. */
    } while (!atomic_compare_exchange_weak_explicit(&slot->word, &word, word | CLAIMED,
                                                    memory_order_acq_rel, memory_order_relaxed));
    return true;
}

void pnx__anchor_cancel(struct pnx__scope *scope)
{
    pnx__guard_drop(&scope->anchor);
}

/* What a release by id or a drop would do, without the queue: the chain is the release. */
void pnx__anchor_run(struct pnx__scope *scope)
{
    pnx_registry *registry = scope->registry;
    pnx__slot *slot = scope->anchor.slot;
    uint64_t name[PNX_VALUE_MAX / 8];
    memcpy(name, scope->name, sizeof name);
    for (unsigned i = 0; i < PNX_VALUE_MAX / 8; i++) {
        atomic_store_explicit(&slot->value[i], name[i], memory_order_relaxed);
    }
    atomic_store_explicit(&slot->created, pnx__tick_time(registry), memory_order_relaxed);

    uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed) & ~(uint64_t)CLAIMED;
    word = pnx__with_attempt(pnx__with_state(word, PNX_RUNNING), 1) | PNX__PENDING;
    pnx__thread *thread = pnx__thread_get(registry);
    pnx__account(thread, pnx__kind_of(slot), PNX__N_ARMED);
    pnx__account(thread, pnx__kind_of(slot), PNX__N_CLAIMED);
    /* Release: who finds it running sees its fields. */
    atomic_store_explicit(&slot->word, word, memory_order_release);
    pnx__tell(registry, PNX_EVENT_REGISTERED, slot, word, PNX_OK);
    pnx__tell(registry, PNX_EVENT_STARTED, slot, word, PNX_OK);
    scope->running = (pnx_token){registry, pnx__id_of(registry, slot, word), 1, false};
}
