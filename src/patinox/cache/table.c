/* SPDX-License-Identifier: MIT */
/*
 * The hash table. One writer at a time changes it, readers walk through it at any time without a
 * lock.
 *
 * An entry stays in its slot until it leaves; only a larger table moves it. A reader that finds an
 * entry pins it and looks at the slot again: while the slot still says the same, the entry had not
 * left when it was pinned. Growing keeps that true by clearing the slots of the old table before
 * the lock is let go: who pins by an old slot sees it cleared, or is seen.
 */
#include "cache/internal.h"

/* Buckets are filled to 5 of 7 on average: then 11 % of them are full, and nearly all of their
 * overflow finds room in the next one. */
#define FILL 5

pnx__table *pnx__table_new(uint64_t entries)
{
    uint64_t buckets = 8;
    while (buckets * FILL < entries)
        buckets *= 2;
    const size_t bytes = sizeof(pnx__bucket) + buckets * sizeof(pnx__bucket);
    pnx__table *table = pnx__map(bytes);
    if (!table)
        return NULL;
    _Static_assert(sizeof(pnx__table) <= sizeof(pnx__bucket), "it lies before its buckets");
    table->mask = buckets - 1;
    table->bytes = bytes;
    table->buckets = (pnx__bucket *)table + 1;
    return table;
}

void pnx__cache_table_done(struct pnx_cache *cache)
{
    pnx__table *table = atomic_load_explicit(&cache->table, memory_order_relaxed);
    while (table) {
        pnx__table *older = table->older;
        pnx__unmap(table, table->bytes);
        table = older;
    }
}

/* Relaxed: only writers change it, and this is one. */
static pnx__table *table_of(struct pnx_cache *cache)
{
    return atomic_load_explicit(&cache->table, memory_order_relaxed);
}

static void insert(pnx__table *table, pnx__entry *entry)
{
    for (uint64_t at = entry->node.hash & table->mask;; at = (at + 1) & table->mask) {
        pnx__bucket *bucket = &table->buckets[at];
        for (unsigned i = 0; i < PNX__BUCKET_SLOTS; i++) {
            if (atomic_load_explicit(&bucket->slots[i], memory_order_relaxed) != 0)
                continue;
            /* Release: pairs with the acquire in pnx__cache_find; the entry is complete. */
            atomic_store_explicit(&bucket->slots[i], pnx__table_word(entry), memory_order_release);
            return;
        }
        /* Release: before the slot further on, so that a reader that sees that one goes there. */
        atomic_fetch_add_explicit(&bucket->overflow, 1, memory_order_release);
    }
}

bool pnx__cache_table_reserve(struct pnx_cache *cache)
{
    if (PNX_LIKELY(cache->table_used < cache->table_room))
        return true;
    pnx__table *old = table_of(cache);
    pnx__table *table = pnx__table_new((old->mask + 1) * 2 * FILL);
    if (!table)
        /* More probes, but no failure, while a seventh of the slots is free. */
        return cache->table_used < (old->mask + 1) * (PNX__BUCKET_SLOTS - 1);
    for (uint64_t at = 0; at <= old->mask; at++)
        for (unsigned i = 0; i < PNX__BUCKET_SLOTS; i++) {
            const uint64_t word =
                atomic_load_explicit(&old->buckets[at].slots[i], memory_order_relaxed);
            if (word != 0)
                insert(table, (pnx__entry *)(uintptr_t)(word & PNX__TABLE_ADDRESS));
        }
    table->older = old;
    cache->table_room = (table->mask + 1) * FILL;
    cache->table_bytes += table->bytes;
    /* Release: pairs with the acquire in pnx__cache_find. */
    atomic_store_explicit(&cache->table, table, memory_order_release);
    for (uint64_t at = 0; at <= old->mask; at++)
        for (unsigned i = 0; i < PNX__BUCKET_SLOTS; i++)
            /* Release: who sees it cleared, and looks at cache->table then, sees the new one. */
            atomic_store_explicit(&old->buckets[at].slots[i], 0, memory_order_release);
    return true;
}

void pnx__cache_table_insert(struct pnx_cache *cache, pnx__entry *entry)
{
    insert(table_of(cache), entry);
    cache->table_used++;
}

static _Atomic uint64_t *slot_of(pnx__table *table, const pnx__entry *entry)
{
    const uint64_t word = pnx__table_word(entry);
    for (uint64_t at = entry->node.hash & table->mask;; at = (at + 1) & table->mask)
        for (unsigned i = 0; i < PNX__BUCKET_SLOTS; i++)
            if (atomic_load_explicit(&table->buckets[at].slots[i], memory_order_relaxed) == word)
                return &table->buckets[at].slots[i];
}

void pnx__cache_table_remove(struct pnx_cache *cache, pnx__entry *entry)
{
    pnx__table *table = table_of(cache);
    _Atomic uint64_t *slot = slot_of(table, entry);
    /* Release: pairs with the second look in pnx__cache_find, over the barrier. */
    atomic_store_explicit(slot, 0, memory_order_release);
    cache->table_used--;
    const uint64_t last =
        (uint64_t)((pnx__bucket *)((uintptr_t)slot & ~(uintptr_t)63) - table->buckets);
    for (uint64_t at = entry->node.hash & table->mask; at != last; at = (at + 1) & table->mask)
        /* Relaxed: a reader that still sees it higher only looks further. */
        atomic_fetch_sub_explicit(&table->buckets[at].overflow, 1, memory_order_relaxed);
}

void pnx__cache_table_replace(struct pnx_cache *cache, pnx__entry *old, pnx__entry *entry)
{
    /* Release: as in insert, and as in remove. */
    atomic_store_explicit(slot_of(table_of(cache), old), pnx__table_word(entry),
                          memory_order_release);
}

pnx__entry *pnx__cache_table_find(struct pnx_cache *cache, uint64_t hash, const void *key)
{
    pnx__table *table = table_of(cache);
    uint64_t at = hash & table->mask;
    for (uint64_t probes = 0; probes <= table->mask; probes++, at = (at + 1) & table->mask) {
        pnx__bucket *bucket = &table->buckets[at];
        for (unsigned i = 0; i < PNX__BUCKET_SLOTS; i++) {
            const uint64_t word = atomic_load_explicit(&bucket->slots[i], memory_order_relaxed);
            if (word == 0 || word >> 48 != hash >> 48)
                continue;
            pnx__entry *entry = (pnx__entry *)(uintptr_t)(word & PNX__TABLE_ADDRESS);
            if (entry->node.hash == hash &&
                pnx__key_equal(cache, pnx__entry_key(cache, entry), key))
                return entry;
        }
        if (atomic_load_explicit(&bucket->overflow, memory_order_relaxed) == 0)
            return NULL;
    }
    return NULL;
}
