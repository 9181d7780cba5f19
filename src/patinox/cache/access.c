/* SPDX-License-Identifier: MIT */
/* Reading. A hit takes no lock and writes only what belongs to its thread, and a mark in the entry
 * while that has not been used often. */
#include "cache/internal.h"

/* More references than a thread has places for: the others are counted, under the lock. */
static pnx_ref find_counted(struct pnx_cache *cache, uint64_t hash, const void *key)
{
    pnx_ref ref = {NULL, NULL};
    pthread_mutex_lock(&cache->writer);
    pnx__entry *entry = pnx__cache_table_find(cache, hash, key);
    if (entry)
        ref = pnx__cache_pin(cache, entry);
    pthread_mutex_unlock(&cache->writer);
    return ref;
}

pnx_ref pnx__cache_find(struct pnx_cache *cache, pnx__reader *reader, uint64_t hash,
                        const void *key)
{
    _Atomic(pnx__entry *) *pin = pnx__reader_pin(reader);
    if (PNX_UNLIKELY(pin == NULL))
        return find_counted(cache, hash, key);
    for (;;) {
        /* Acquire: pairs with the release in pnx__cache_table_reserve. */
        pnx__table *table = atomic_load_explicit(&cache->table, memory_order_acquire);
        uint64_t at = hash & table->mask;
        for (uint64_t probes = 0; probes <= table->mask; probes++) {
            pnx__bucket *bucket = &table->buckets[at];
            for (unsigned i = 0; i < PNX__BUCKET_SLOTS; i++) {
                /* Acquire: pairs with the release in insert (table.c). */
                uint64_t word = atomic_load_explicit(&bucket->slots[i], memory_order_acquire);
                while (word >> 48 == hash >> 48 && (word & PNX__TABLE_ADDRESS) != 0) {
                    pnx__entry *entry = (pnx__entry *)(uintptr_t)(word & PNX__TABLE_ADDRESS);
                    /* Release: whoever sees the next pin in this place sees us done with the last.
                     * */
                    atomic_store_explicit(pin, entry, memory_order_release);
                    pnx__reader_fence(cache);
                    /* Acquire: as above. The same: it had not left when it was pinned. */
                    const uint64_t again =
                        atomic_load_explicit(&bucket->slots[i], memory_order_acquire);
                    pnx_ref ref = {entry->value, (void *)pin};
                    if (PNX_LIKELY(again == word &&
                                   pnx__key_equal(cache, pnx__entry_key(cache, entry), key)))
                        return ref;
                    /* It may have left meanwhile, and wait for us. */
                    pnx_ref_drop(&ref);
                    if (again == word)
                        break;
                    word = again;
                }
            }
            /* Acquire: pairs with the release in insert (table.c). */
            if (PNX_LIKELY(atomic_load_explicit(&bucket->overflow, memory_order_acquire) == 0))
                break;
            at = (at + 1) & table->mask;
        }
        if (PNX_LIKELY(atomic_load_explicit(&cache->table, memory_order_acquire) == table))
            break;
    }
    return (pnx_ref){NULL, NULL};
}

/* Leaves a note of a hit for the policy, if there is room. */
static void note(struct pnx_cache *cache, pnx__reader *reader, pnx__entry *entry)
{
    const uint32_t head = atomic_load_explicit(&reader->head, memory_order_relaxed);
    /* Acquire: pairs with the release in drain (reader.c). */
    if (PNX_UNLIKELY(head - atomic_load_explicit(&reader->tail, memory_order_acquire) ==
                     PNX__NOTES)) {
        /* A sample can wait for the next writer; a list of recent uses needs all that it can get.
         * */
        if (cache->marks_max != 0 || pthread_mutex_trylock(&cache->writer) != 0)
            return;
        pnx__readers_drain(cache, false);
        pthread_mutex_unlock(&cache->writer);
        if (head - atomic_load_explicit(&reader->tail, memory_order_acquire) == PNX__NOTES)
            return;
    }
    atomic_store_explicit(&reader->notes[head % PNX__NOTES], entry, memory_order_relaxed);
    /* Release: pairs with the acquire in drain. */
    atomic_store_explicit(&reader->head, head + 1, memory_order_release);
}

/* The policy hears of it at once. */
static void tell(struct pnx_cache *cache, pnx__entry *entry)
{
    pthread_mutex_lock(&cache->writer);
    if (pnx__entry_state(entry) == PNX__ENTRY_LIVE)
        cache->policy->ops->hit(cache->policy, &entry->node);
    pthread_mutex_unlock(&cache->writer);
}

static inline void count(_Atomic uint64_t *counter)
{
    /* Relaxed: one thread writes it; pairs with the sum in pnx_cache_stats_get. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* Is it still to be answered? Starts what follows from its age. */
static bool fresh(struct pnx_cache *cache, pnx__entry *entry, bool looks_only)
{
    const pnx_time now = pnx__cache_now(cache);
    pnx__timing *timing = pnx__entry_timing(cache, entry);
    /* Relaxed: times stand for themselves; they were set before the entry was published, and are
     * moved by readers. */
    if (now >= atomic_load_explicit(&timing->stale_until, memory_order_relaxed))
        return false;
    if (looks_only)
        return true;
    pnx_time refresh_at = atomic_load_explicit(&timing->refresh_at, memory_order_relaxed);
    if (now >= refresh_at) {
        /* Relaxed: whoever swaps it starts the load, and nothing else follows from it. */
        if (atomic_compare_exchange_strong_explicit(&timing->refresh_at, &refresh_at, PNX_FOREVER,
                                                    memory_order_relaxed, memory_order_relaxed) &&
            !pnx__flight_refresh(cache, entry->node.hash, pnx__entry_key(cache, entry)))
            atomic_store_explicit(&timing->refresh_at, refresh_at, memory_order_relaxed);
    } else {
        pnx__timing_touch(cache, entry, now);
    }
    return true;
}

pnx_ref pnx_cache_get(pnx_cache *cache, const void *key)
{
    pnx__reader *reader = pnx__reader_get(cache);
    if (PNX_UNLIKELY(reader == NULL) || pnx__cache_forked(cache))
        return (pnx_ref){NULL, NULL};
    const uint64_t hash = pnx__key_hash(cache, key);
    pnx_ref ref = pnx__cache_find(cache, reader, hash, key);
    if (ref.value == NULL) {
        count(&reader->misses);
        return ref;
    }
    pnx__entry *entry = pnx__entry_of_value(ref.value);
    if (PNX_UNLIKELY(cache->timed) && !fresh(cache, entry, false)) {
        pnx_ref_drop(&ref);
        count(&reader->misses);
        return ref;
    }
    count(&reader->hits);
    pnx__policy *policy = cache->policy;
    if (cache->marks_max != 0)
        pnx__mark(&entry->node, cache->marks_max);
    /* Relaxed: a threshold that changes now and then. */
    if (pnx__sample(hash) <= atomic_load_explicit(&policy->record_below, memory_order_relaxed) &&
        policy->ops->hit) {
        if (PNX_UNLIKELY(cache->config.deterministic))
            tell(cache, entry);
        else
            note(cache, reader, entry);
    }
    return ref;
}

pnx_ref pnx_cache_peek(pnx_cache *cache, const void *key)
{
    pnx__reader *reader = pnx__reader_get(cache);
    if (reader == NULL || pnx__cache_forked(cache))
        return (pnx_ref){NULL, NULL};
    pnx_ref ref = pnx__cache_find(cache, reader, pnx__key_hash(cache, key), key);
    if (ref.value && cache->timed && !fresh(cache, pnx__entry_of_value(ref.value), true))
        pnx_ref_drop(&ref);
    return ref;
}

size_t pnx_cache_get_many(pnx_cache *cache, const void *keys, size_t count_of, pnx_ref *refs)
{
    size_t hits = 0;
    for (size_t i = 0; i < count_of; i++) {
        refs[i] = pnx_cache_get(cache, (const char *)keys + i * cache->config.key_size);
        hits += refs[i].value != NULL;
    }
    return hits;
}

/* ---- visiting everything --------------------------------------------------------------------- */

/* Pinned entries of some buckets: taken under the lock, visited without. */
struct batch {
    pnx__entry **entries;
    size_t count, room;
};

static void batch_add(struct batch *batch, pnx__entry *entry)
{
    if (batch->count == batch->room) {
        const size_t room = batch->room ? 2 * batch->room : 256;
        pnx__entry **entries = pnx__alloc(room * sizeof *entries);
        if (!entries)
            return; /* not seen: as if it had gone */
        if (batch->count)
            memcpy(entries, batch->entries, batch->count * sizeof *entries);
        pnx__free(batch->entries);
        *batch = (struct batch){entries, batch->count, room};
    }
    /* Relaxed: it cannot leave, the lock is held. */
    atomic_fetch_add_explicit(&entry->pins, 1, memory_order_relaxed);
    batch->entries[batch->count++] = entry;
}

/* All entries whose home, in a table with `mask`, is `home`. Writer's lock held. */
static void collect(struct pnx_cache *cache, struct batch *batch, uint64_t home, uint64_t mask)
{
    pnx__table *table = atomic_load_explicit(&cache->table, memory_order_relaxed);
    /* The table may have grown since: the home has become several. */
    for (uint64_t begin = home; begin <= table->mask; begin += mask + 1) {
        uint64_t at = begin;
        for (uint64_t probes = 0; probes <= table->mask; probes++) {
            pnx__bucket *bucket = &table->buckets[at];
            for (unsigned i = 0; i < PNX__BUCKET_SLOTS; i++) {
                const uint64_t word = atomic_load_explicit(&bucket->slots[i], memory_order_relaxed);
                pnx__entry *entry = (pnx__entry *)(uintptr_t)(word & PNX__TABLE_ADDRESS);
                if (word != 0 && (entry->node.hash & table->mask) == begin)
                    batch_add(batch, entry);
            }
            if (atomic_load_explicit(&bucket->overflow, memory_order_relaxed) == 0)
                break;
            at = (at + 1) & table->mask;
        }
    }
}

size_t pnx_cache_each(pnx_cache *cache,
                      bool (*visit)(const void *key, const void *value, void *context),
                      void *context)
{
    if (pnx__cache_forked(cache))
        return 0;
    struct batch batch = {0};
    size_t visited = 0;
    bool more = true;
    const uint64_t mask = atomic_load_explicit(&cache->table, memory_order_acquire)->mask;
    for (uint64_t home = 0; more && home <= mask;) {
        batch.count = 0;
        pthread_mutex_lock(&cache->writer);
        for (unsigned i = 0; i < 64 && home <= mask; i++)
            collect(cache, &batch, home++, mask);
        pthread_mutex_unlock(&cache->writer);
        for (size_t i = 0; i < batch.count; i++) {
            pnx__entry *entry = batch.entries[i];
            if (more && (!cache->timed || fresh(cache, entry, true))) {
                visited++;
                more = visit(pnx__entry_key(cache, entry), entry->value, context);
            }
            pnx_ref ref = pnx__ref_counted(entry);
            pnx_ref_drop(&ref);
        }
    }
    pnx__free(batch.entries);
    return visited;
}
