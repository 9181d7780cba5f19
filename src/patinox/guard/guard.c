/* SPDX-License-Identifier: MIT */
/*
 * What the guard macros call: reserve → arm → drop, take or close. Drop allocates nothing, takes no
 * lock and cannot fail (tests/guard/drop.c); in a fork child it does what the kind says about
 * forks.
 */
#include "registry/resource.h"

#include <patinox/guard.h>

pnx_status pnx__guard_reserve(pnx_guard *guard, pnx_registry *registry, const pnx_kind *kind,
                              const pnx_site *site, pnx_error *err)
{
    pnx_status status;
    guard->registry = registry;
    guard->slot = pnx__reserve(registry, kind, site, &status, err);
    if (PNX_LIKELY(guard->slot != NULL))
        guard->generation =
            pnx__generation_of(atomic_load_explicit(&guard->slot->word, memory_order_relaxed));
    return status;
}

static bool reserved(const pnx_guard *guard)
{
    const uint64_t word = atomic_load_explicit(&guard->slot->word, memory_order_relaxed);
    return pnx__state_of(word) == PNX_RESERVED && pnx__generation_of(word) == guard->generation;
}

bool pnx__guard_arm(pnx_guard *guard, uint64_t a, uint64_t b, uint64_t c)
{
    if (PNX_UNLIKELY(guard->slot == NULL || !reserved(guard)))
        return false;
    pnx__arm(guard->registry, guard->slot, a, b, c);
    return true;
}

/* What the parent holds is the parent's; but a kind may say that the child has a copy to release.
 *  */
static void drop_in_child(const pnx_guard *guard)
{
    pnx__slot *slot = guard->slot;
    const uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
    pnx__kind *kind = pnx__kind_of(slot);
    if (kind->kind->on_fork != PNX_FORK_RELEASE || pnx__state_of(word) != PNX_LIVE ||
        pnx__generation_of(word) != guard->generation)
        return;
    atomic_store_explicit(&slot->word, pnx__freed(word), memory_order_relaxed);
    uint64_t value[PNX_VALUE_MAX / 8];
    for (unsigned i = 0; i < PNX_VALUE_MAX / 8; i++)
        value[i] = atomic_load_explicit(&slot->value[i], memory_order_relaxed);
    const pnx_release why = {
        .registry = guard->registry,
        .id = pnx__id_of(guard->registry, slot, word),
        .deadline = PNX_FOREVER,
        .reason = PNX_SCOPE_END,
        .attempt = 1,
    };
    if (kind->kind->release(value, &why) != PNX_OK && kind->has_fallback)
        (void)kind->kind->run_fallback(value, &why);
}

void pnx__guard_drop(pnx_guard *guard)
{
    pnx_registry *registry = guard->registry;
    pnx__slot *slot = guard->slot;
    if (PNX_UNLIKELY(slot == NULL))
        return;
    guard->slot = NULL;
    if (pnx__forked(registry)) {
        drop_in_child(&(pnx_guard){registry, slot, guard->generation});
        return;
    }
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
    if (PNX_UNLIKELY(pnx__generation_of(word) != guard->generation))
        return; /* released behind the guard's back */
    if (pnx__state_of(word) == PNX_RESERVED) {
        pnx__cancel(registry, slot);
        return;
    }
    pnx__thread *thread = pnx__thread_get(registry);
    if (PNX_LIKELY((word & PNX__SAMPLED) == 0)) {
        (void)pnx__schedule(registry, thread, slot, &word, PNX_SCOPE_END, -1, 0);
        return;
    }
    const pnx_time begin = pnx__precise(registry);
    if (pnx__schedule(registry, thread, slot, &word, PNX_SCOPE_END, -1, 0) && thread != NULL &&
        thread->drop_time != NULL)
        pnx_histogram_add(thread->drop_time, pnx__precise(registry) - begin);
}

bool pnx__guard_take(pnx_guard *guard)
{
    pnx__slot *slot = guard->slot;
    if (PNX_UNLIKELY(slot == NULL))
        return false;
    guard->slot = NULL;
    if (pnx__forked(guard->registry)) {
        /* The child's copy of the thing is the child's to hold. */
        const uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
        return pnx__state_of(word) == PNX_LIVE && pnx__generation_of(word) == guard->generation;
    }
    const uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
    if (PNX_UNLIKELY(pnx__state_of(word) == PNX_RESERVED &&
                     pnx__generation_of(word) == guard->generation)) {
        pnx__cancel(guard->registry, slot);
        return false;
    }
    return pnx__take(guard->registry, slot, guard->generation);
}

pnx_status pnx__guard_close(pnx_guard *guard, pnx_time deadline, pnx_error *err)
{
    pnx__slot *slot = guard->slot;
    if (slot == NULL)
        return PNX_OK;
    if (pnx__forked(guard->registry)) {
        pnx__guard_drop(guard);
        return PNX_OK;
    }
    guard->slot = NULL;
    const uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    if (pnx__generation_of(word) != guard->generation)
        return PNX_EALREADY;
    if (pnx__state_of(word) == PNX_RESERVED) {
        pnx__cancel(guard->registry, slot);
        return PNX_OK;
    }
    if (pnx__state_of(word) > PNX_WAITING)
        return PNX_EALREADY;
    return pnx__release_now(guard->registry, slot, word, deadline, PNX_EXPLICIT, err);
}

pnx_id pnx__guard_id(const pnx_guard *guard)
{
    if (guard->slot == NULL || reserved(guard))
        return PNX_ID_NONE;
    return pnx__id_make(guard->registry->instance, guard->slot->index, guard->generation);
}
