/* SPDX-License-Identifier: MIT */
/*
 * The leak account: failed and abandoned resources stay in their slots, in a list from the oldest
 * on, and a report is a walk over the table.
 */
#include "registry/internal.h"

#include <stdio.h>
#include <string.h>

/* ---- what is kept ---------------------------------------------------------------------------- */

static pnx__slot *kept_at(struct pnx_registry *registry, uint32_t index)
{
    return index == UINT32_MAX ? NULL : pnx__slot_at(registry, index);
}

void pnx__kept_add(struct pnx_registry *registry, pnx__slot *slot)
{
    pnx__slot *last = kept_at(registry, registry->kept_last);
    slot->kept.next = UINT32_MAX;
    slot->kept.previous = registry->kept_last;
    if (last != NULL)
        last->kept.next = slot->index;
    else
        registry->kept_first = slot->index;
    registry->kept_last = slot->index;
    registry->kept_count++;
    atomic_fetch_or_explicit(&slot->word, PNX__KEPT, memory_order_release);
}

/* Takes it out and ends its generation; the caller gives the slot away. Dispatch lock held. */
static void kept_remove(struct pnx_registry *registry, pnx__slot *slot)
{
    pnx__slot *next = kept_at(registry, slot->kept.next);
    pnx__slot *previous = kept_at(registry, slot->kept.previous);
    if (next != NULL)
        next->kept.previous = slot->kept.previous;
    else
        registry->kept_last = slot->kept.previous;
    if (previous != NULL)
        previous->kept.next = slot->kept.next;
    else
        registry->kept_first = slot->kept.next;
    registry->kept_count--;
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
    if ((word & PNX__META) != 0) {
        pnx__meta_free(slot->meta);
        slot->meta = NULL;
    }
    slot->hook = NULL;
    /* Nobody else moves the word of one that is kept. */
    atomic_store_explicit(&slot->word, pnx__freed(word), memory_order_release);
}

static void slot_recycle(struct pnx_registry *registry, pnx__thread *thread, pnx__slot *slot)
{
    const uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
    if (pnx__generation_of(word) != 0)
        pnx__slot_give(registry, thread, slot);
}

size_t pnx__kept_trim(struct pnx_registry *registry, pnx__thread *thread, uint64_t most)
{
    size_t forgotten = 0;
    for (;;) {
        pthread_mutex_lock(&registry->dispatch);
        pnx__slot *slot = NULL;
        if (registry->kept_count > most) {
            slot = kept_at(registry, registry->kept_first);
            kept_remove(registry, slot);
        }
        pthread_mutex_unlock(&registry->dispatch);
        if (slot == NULL)
            return forgotten;
        slot_recycle(registry, thread, slot);
        forgotten++;
    }
}

void pnx__kept_settle(struct pnx_registry *registry, pnx__thread *thread, pnx__slot *slot,
                      uint32_t generation)
{
    pthread_mutex_lock(&registry->dispatch);
    const uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    /* Unless it was forgotten meanwhile. */
    const bool there = pnx__generation_of(word) == generation && (word & PNX__KEPT) != 0 &&
                       (pnx__state_of(word) == PNX_ABANDONED || pnx__state_of(word) == PNX_FAILED);
    if (there)
        kept_remove(registry, slot);
    pthread_mutex_unlock(&registry->dispatch);
    if (there)
        slot_recycle(registry, thread, slot);
}

size_t pnx_registry_forget_failed(pnx_registry *registry)
{
    return pnx__forked(registry) ? 0 : pnx__kept_trim(registry, pnx__thread_get(registry), 0);
}

/* ---- the report ------------------------------------------------------------------------------ */

static bool survives(uint64_t word)
{
    const pnx_state state = pnx__state_of(word);
    return (state >= PNX_LIVE && state <= PNX_WAITING) || state == PNX_FAILED ||
           state == PNX_ABANDONED;
}

static void describe(pnx_survivor *survivor, const pnx_info *info)
{
    (void)snprintf(survivor->kind, sizeof survivor->kind, "%s", info->kind->name);
    survivor->description[0] = '\0';
    if (info->kind->describe != NULL) {
        (void)info->kind->run_describe(info->value, survivor->description,
                                       sizeof survivor->description);
        survivor->description[sizeof survivor->description - 1] = '\0';
    }
}

/* The metadata of a survivor, if it is still the same one. */
static bool fill_metadata(struct pnx_registry *registry, pnx__slot *slot, uint64_t word,
                          pnx_survivor *survivor)
{
    pthread_mutex_lock(&registry->dispatch);
    const uint64_t current = atomic_load_explicit(&slot->word, memory_order_acquire);
    const bool same =
        pnx__generation_of(current) == pnx__generation_of(word) && (current & PNX__META) != 0;
    if (same) {
        pnx__meta_frames(slot, survivor->frames);
        survivor->metadata = pnx__meta_text(slot);
    }
    pthread_mutex_unlock(&registry->dispatch);
    return same;
}

static size_t count_survivors(struct pnx_registry *registry)
{
    size_t count = 0;
    const uint32_t chunks = atomic_load_explicit(&registry->chunk_count, memory_order_acquire);
    for (uint32_t index = 0; index < chunks << PNX__CHUNK_BITS; index++)
        count += survives(
            atomic_load_explicit(&pnx__slot_at(registry, index)->word, memory_order_relaxed));
    return count;
}

pnx_status pnx__report_fill(struct pnx_registry *registry, pnx_report *report)
{
    (void)snprintf(report->registry, sizeof report->registry, "%s", registry->name);
    pnx_registry_counts(registry, &report->counts);
    report->survivor_count = 0;
    report->survivors = NULL;
    const pnx_counts *c = &report->counts;
    if (c->live + c->queued + c->running + c->waiting + c->failed + c->abandoned == 0)
        return PNX_OK; /* no need to look at every slot */
    const size_t room = count_survivors(registry);
    if (room > 0)
        report->survivors = pnx__alloc(room * sizeof *report->survivors);
    if (room > 0 && report->survivors == NULL) {
        report->incomplete = true;
        return PNX_ENOMEM;
    }
    const pnx_time now = pnx__precise(registry);
    const uint32_t chunks = atomic_load_explicit(&registry->chunk_count, memory_order_acquire);
    for (uint32_t index = 0; index < chunks << PNX__CHUNK_BITS; index++) {
        pnx__slot *slot = pnx__slot_at(registry, index);
        const uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
        pnx_info info;
        if (!survives(word) ||
            pnx_registry_info(registry, pnx__id_of(registry, slot, word), &info) != PNX_OK)
            continue;
        if (report->survivor_count == room) {
            report->incomplete = true; /* more came while we counted */
            break;
        }
        pnx_survivor *survivor = &report->survivors[report->survivor_count++];
        *survivor = (pnx_survivor){
            .id = info.id,
            .state = info.state,
            .status = info.last_status,
            .age = now - info.created,
            .site = info.site,
            .bytes = info.bytes,
            .attempts = info.attempts,
            .leaked = info.leaked,
        };
        describe(survivor, &info);
        if ((word & PNX__META) != 0)
            (void)fill_metadata(registry, slot, word, survivor);
    }
    return PNX_OK;
}

pnx_status pnx_registry_report(pnx_registry *registry, pnx_report *ret, pnx_error *err)
{
    *ret = (pnx_report){0};
    if (pnx__forked(registry))
        return pnx_fail(err, PNX_EFORKED, "registry %s belongs to the parent", registry->name);
    if (pnx__report_fill(registry, ret) != PNX_OK)
        return pnx_fail(err, PNX_ENOMEM, "registry %s: no memory to list what is left",
                        registry->name);
    pthread_mutex_lock(&registry->dispatch);
    ret->threads_left = registry->workers_hung;
    pthread_mutex_unlock(&registry->dispatch);
    return PNX_OK;
}
