/* SPDX-License-Identifier: MIT */
/*
 * Asking for releases by id: later, now, many, of a kind, all; and completing those that are
 * pending.
 */
#include "registry/resource.h"

#include <string.h>

static pnx_reason reason_of(const pnx_request *request)
{
    return request == NULL || request->reason == PNX_SCOPE_END ? PNX_EXPLICIT : request->reason;
}

static int rank_of(const pnx_request *request)
{
    if (request == NULL || !request->set_priority ||
        (unsigned)request->priority >= PNX_PRIORITY_COUNT)
        return -1;
    return (int)pnx_priority_rank(request->priority);
}

/* What the registry keeps for itself, to tick, leaks nothing. */
static uint64_t flags_of(const pnx_request *request, pnx__slot *slot)
{
    return request != NULL && request->leaked && !pnx__kind_of(slot)->ticks ? PNX__LEAKED : 0;
}

pnx_status pnx_release_later(pnx_registry *registry, pnx_id id, const pnx_request *request)
{
    if (pnx__forked(registry))
        return PNX_EFORKED;
    pnx__slot *slot;
    uint64_t word;
    pnx_status status = pnx__find(registry, id, &slot, &word);
    if (status != PNX_OK)
        return status;
    return pnx__schedule(registry, pnx__thread_get(registry), slot, &word, reason_of(request),
                         rank_of(request), flags_of(request, slot))
               ? PNX_OK
               : PNX_EALREADY;
}

/* ---- now ------------------------------------------------------------------------------------- */

/* LIVE → RUNNING in this thread, without the queue. */
static bool claim_inline(pnx_registry *registry, pnx__slot *slot, uint64_t *word, pnx_reason reason)
{
    const uint32_t generation = pnx__generation_of(*word);
    uint64_t next;
    do {
        if (pnx__generation_of(*word) != generation || pnx__state_of(*word) != PNX_LIVE)
            return false;
        next = pnx__with_reason(pnx__with_state(*word, PNX_RUNNING), reason);
        next = pnx__with_attempt(next, 1) & ~(uint64_t)(PNX__LATE_RUNS | PNX__LATE_MANY);
    } while (!atomic_compare_exchange_weak_explicit(&slot->word, word, next, memory_order_acq_rel,
                                                    memory_order_relaxed));
    *word = next;
    pnx__account(pnx__thread_get(registry), pnx__kind_of(slot), PNX__N_CLAIMED);
    return true;
}

/* Steps a manual registry until `waiter` is told, or nothing is left to step. Not where a host's
 * loop on another thread does that: its things may belong to that thread. */
static void step_until(pnx_registry *registry, pnx__waiter *waiter, pnx_time deadline)
{
    if (pnx__stepped_elsewhere(registry))
        return;
    while (atomic_load_explicit(&waiter->ended, memory_order_acquire) == 0 &&
           pnx__precise(registry) < deadline)
        if (pnx__step(registry, 1) == 0) {
            const pnx_time due = pnx_registry_next_due(registry);
            if (registry->clock != NULL)
                return; /* only whoever injected the clock can let time pass */
            pnx__futex_wait(&waiter->ended, 0, due < deadline ? due : deadline);
        }
}

static pnx_status result(pnx_status status, const char *name, pnx_error *err)
{
    switch (status) {
    case PNX_OK:
    case PNX_EALREADY:
        return status;
    case PNX_ETIMEOUT:
        return pnx_fail(err, status, "the release of a %s did not end in time; it goes on", name);
    case PNX_EABANDONED:
        return pnx_fail(err, status, "the release of a %s was given up: it did not end in time",
                        name);
    default:
        return pnx_fail(err, status, "the release of a %s failed: %s", name,
                        pnx_status_name(status));
    }
}

pnx_status pnx__release_now(pnx_registry *registry, pnx__slot *slot, uint64_t word,
                            pnx_time deadline, pnx_reason reason, pnx_error *err)
{
    pnx__kind *kind = pnx__kind_of(slot);
    const char *name = kind->kind->name;
    pnx__waiter waiter = {.status = PNX_OK};
    if (!pnx__waiter_add(registry, slot, pnx__generation_of(word), &waiter))
        return PNX_EALREADY;
    word |= PNX__WAITED;

    const bool inside = pnx__running_in == registry;
    const bool over =
        (atomic_load_explicit(&registry->idle, memory_order_relaxed) & PNX__IDLE_INLINE) != 0 &&
        atomic_load_explicit(&registry->phase, memory_order_relaxed) >= PNX__FALLBACKS;
    const bool periodic = kind->ticks;
    /* What is limited goes through the queue, where it is counted. */
    const bool limited = kind->cap != UINT32_MAX;
    if (inside || over || ((kind->flags & PNX_QUICK) != 0 && !periodic && !limited)) {
        if (claim_inline(registry, slot, &word, reason)) {
            pnx__attempt(registry, pnx__thread_get(registry), NULL, slot, word);
            pnx__quiet_check(registry);
            if (inside && atomic_load_explicit(&waiter.ended, memory_order_acquire) == 0) {
                /* A retry is due, or it is pending: from inside a release nobody waits for it. */
                pnx__waiter_remove(registry, slot, &waiter);
                if (atomic_load_explicit(&waiter.ended, memory_order_acquire) == 0)
                    return result(PNX_ETIMEOUT, name, err);
            }
        } else if (inside) {
            pnx__waiter_remove(registry, slot, &waiter);
            if (atomic_load_explicit(&waiter.ended, memory_order_acquire) == 0)
                return pnx_fail(err, PNX_EDEADLOCK,
                                "the %s is being released already; to wait for that from inside a "
                                "release could be for ever",
                                name);
        }
    } else {
        (void)pnx__schedule(registry, pnx__thread_get(registry), slot, &word, reason, -1, 0);
    }
    if (registry->manual)
        step_until(registry, &waiter, deadline);
    const pnx_time until = registry->clock != NULL ? 0 : deadline; /* stepping was all we can do */
    return result(pnx__waiter_wait(registry, slot, &waiter, until), name, err);
}

pnx_status pnx_release_now(pnx_registry *registry, pnx_id id, pnx_time deadline, pnx_error *err)
{
    if (pnx__forked(registry))
        return pnx_fail(err, PNX_EFORKED, "registry %s belongs to the parent", registry->name);
    pnx__slot *slot;
    uint64_t word;
    pnx_status status = pnx__find(registry, id, &slot, &word);
    if (status != PNX_OK)
        return status == PNX_EALREADY
                   ? status
                   : pnx_fail(err, status, "registry %s never had that resource", registry->name);
    if (pnx__state_of(word) > PNX_WAITING)
        return PNX_EALREADY; /* failed or abandoned: it ended before */
    return pnx__release_now(registry, slot, word, deadline, PNX_EXPLICIT, err);
}

/* ---- many ------------------------------------------------------------------------------------ */

struct entry {
    pnx_id id;
    pnx__slot *slot;
    uint64_t word;
    pnx_status status;
    pnx__waiter waiter;
    bool waits;
};

/* Where there is no memory for all entries at once, they are released some at a time. */
#define ENTRIES_ON_STACK 32

static void note_failure(pnx_batch_result *result, const struct entry *entry, pnx_status status)
{
    if (result->failure_count == PNX_BATCH_FAILURES_MAX)
        return;
    result->failures[result->failure_count].id = entry->id;
    result->failures[result->failure_count].kind =
        entry->slot != NULL ? pnx__kind_of(entry->slot)->kind : NULL;
    result->failures[result->failure_count].status = status;
    result->failure_count++;
}

static void note(pnx_batch_result *result, const struct entry *entry, pnx_status status)
{
    switch (status) {
    case PNX_OK:
        result->released++;
        break;
    case PNX_EALREADY:
        result->already++;
        break;
    case PNX_PENDING:
        result->pending++;
        break;
    case PNX_EABANDONED:
        result->abandoned++;
        note_failure(result, entry, status);
        break;
    default:
        result->failed++;
        note_failure(result, entry, status);
    }
}

/* Looks the entry up and, if somebody will wait for it, says so before it can end. */
static void enter(pnx_registry *registry, struct entry *entry, bool wait)
{
    entry->waits = false;
    entry->slot = NULL;
    entry->waiter = (pnx__waiter){.status = PNX_OK};
    entry->status = pnx__find(registry, entry->id, &entry->slot, &entry->word);
    if (entry->status == PNX_OK && pnx__state_of(entry->word) > PNX_WAITING)
        entry->status = PNX_EALREADY;
    if (entry->status != PNX_OK || !wait)
        return;
    entry->waits =
        pnx__waiter_add(registry, entry->slot, pnx__id_generation(entry->id), &entry->waiter);
    if (!entry->waits)
        entry->status = PNX_EALREADY;
    entry->word |= PNX__WAITED;
}

/* Releases all entries: everything is queued, by priority, before the first is waited for. */
static void release_entries(pnx_registry *registry, struct entry *entries, size_t count,
                            const pnx_request *request, pnx_time deadline, pnx_batch_result *result)
{
    for (size_t i = 0; i < count; i++)
        enter(registry, &entries[i], deadline != 0);
    /* With a priority for all of them there is one round, in the order given. */
    const int lowest = rank_of(request) < 0 ? 0 : PNX_PRIORITY_COUNT - 1;
    for (int rank = PNX_PRIORITY_COUNT - 1; rank >= lowest; rank--)
        for (size_t i = 0; i < count; i++) {
            struct entry *entry = &entries[i];
            if (entry->status != PNX_OK || (lowest == 0 && (int)pnx__rank_of(entry->word) != rank))
                continue;
            /* Who is on its way already is waited for, but was not released by us. */
            if (!pnx__schedule(registry, pnx__thread_get(registry), entry->slot, &entry->word,
                               reason_of(request), rank_of(request),
                               flags_of(request, entry->slot)) &&
                !entry->waits)
                entry->status = PNX_EALREADY;
            else if (!entry->waits)
                entry->status = PNX_PENDING;
        }
    for (size_t i = 0; i < count; i++) {
        struct entry *entry = &entries[i];
        result->asked++;
        if (entry->waits) {
            if (registry->manual)
                step_until(registry, &entry->waiter, deadline);
            entry->status = pnx__waiter_wait(registry, entry->slot, &entry->waiter,
                                             registry->clock != NULL ? 0 : deadline);
            /* It may also have failed for good with a status of that name. */
            if (entry->status == PNX_ETIMEOUT &&
                atomic_load_explicit(&entry->waiter.ended, memory_order_acquire) == 0)
                entry->status = PNX_PENDING;
        }
        note(result, entry, entry->status);
    }
}

static pnx_status batch_status(const pnx_batch_result *result, pnx_time deadline)
{
    if (result->pending > 0 && deadline != 0)
        return PNX_ETIMEOUT;
    return result->failed + result->abandoned > 0 ? PNX_EFAILED : PNX_OK;
}

pnx_status pnx_release_batch(pnx_registry *registry, const pnx_id *ids, size_t count,
                             const pnx_request *request, pnx_time deadline,
                             pnx_batch_result *result)
{
    pnx_batch_result local;
    if (result == NULL)
        result = &local;
    *result = (pnx_batch_result){0};
    if (pnx__forked(registry))
        return PNX_EFORKED;
    if (count == 0)
        return PNX_OK;
    if (pnx__running_in == registry)
        deadline = 0; /* waiting could be for the very release that we are in */
    struct entry few[ENTRIES_ON_STACK];
    struct entry *all = count > ENTRIES_ON_STACK ? pnx__alloc(count * sizeof *all) : NULL;
    struct entry *entries = all != NULL ? all : few;
    const size_t room = all != NULL ? count : ENTRIES_ON_STACK;
    for (size_t first = 0; first < count; first += room) {
        const size_t some = count - first < room ? count - first : room;
        for (size_t i = 0; i < some; i++)
            entries[i].id = ids[first + i];
        release_entries(registry, entries, some, request, deadline, result);
    }
    pnx__free(all);
    return batch_status(result, deadline);
}

/* Collects what is live, of one kind or all, from slot `*index` on, as much as there is room for.
 *  */
static size_t collect(pnx_registry *registry, const char *kind_name, struct entry *entries,
                      size_t room, uint32_t *index)
{
    const uint32_t end = atomic_load_explicit(&registry->chunk_count, memory_order_acquire)
                         << PNX__CHUNK_BITS;
    size_t count = 0;
    for (; *index < end && count < room; ++*index) {
        pnx__slot *slot = pnx__slot_at(registry, *index);
        const uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
        if (pnx__state_of(word) != PNX_LIVE && (word & PNX__TICK) == 0)
            continue;
        if (kind_name != NULL && strcmp(pnx__kind_of(slot)->kind->name, kind_name) != 0)
            continue;
        entries[count++].id = pnx__id_of(registry, slot, word);
    }
    return count;
}

pnx_status pnx_release_kind(pnx_registry *registry, const char *kind_name,
                            const pnx_request *request, pnx_time deadline, pnx_batch_result *result)
{
    pnx_batch_result local;
    if (result == NULL)
        result = &local;
    *result = (pnx_batch_result){0};
    if (pnx__forked(registry))
        return PNX_EFORKED;
    if (pnx__running_in == registry)
        deadline = 0;
    pnx_counts counts;
    pnx_registry_counts(registry, &counts);
    struct entry few[ENTRIES_ON_STACK];
    struct entry *all =
        counts.live > ENTRIES_ON_STACK ? pnx__alloc(counts.live * sizeof *all) : NULL;
    struct entry *entries = all != NULL ? all : few;
    const size_t room = all != NULL ? counts.live : ENTRIES_ON_STACK;
    uint32_t index = 0;
    size_t count;
    while ((count = collect(registry, kind_name, entries, room, &index)) > 0)
        release_entries(registry, entries, count, request, deadline, result);
    pnx__free(all);
    return batch_status(result, deadline);
}

pnx_status pnx_release_all(pnx_registry *registry, const pnx_request *request, pnx_time deadline,
                           pnx_batch_result *result)
{
    return pnx_release_kind(registry, NULL, request, deadline, result);
}

/* ---- completing what is pending -------------------------------------------------------------- */

pnx_token pnx_release_token(const pnx_release *why)
{
    return (pnx_token){why->registry, why->id, why->attempt, why->fallback};
}

pnx_status pnx_complete(pnx_token token, pnx_status status)
{
    pnx_registry *registry = token.registry;
    if (registry == NULL || status == PNX_PENDING || (unsigned)status >= PNX_STATUS_COUNT)
        return PNX_EINVAL;
    if (pnx__forked(registry))
        return PNX_EFORKED;
    pnx__slot *slot = pnx__slot_of(registry, token.id);
    if (slot == NULL)
        return PNX_ENOTFOUND;
    const pnx_status answer = pnx__complete(registry, slot, token, status);
    pnx__quiet_check(registry);
    /* A host's loop may wait for this end, which queues nothing. */
    if (registry->config.wake != NULL)
        registry->config.wake(registry->config.wake_context);
    return answer;
}
