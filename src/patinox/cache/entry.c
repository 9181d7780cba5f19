/* SPDX-License-Identifier: MIT */
/*
 * Memory of entries: slabs of 64 KiB that begin at a multiple of their size and are given back with
 * the cache. What was an entry once stays one: a reader that looks at one that has left reads an
 * entry still, and finds out by its slot in the table.
 */
#include "cache/internal.h"

/* The first chunk is one slab, so that a small cache stays small; then 2 MiB at a time. */
#define SLABS_PER_CHUNK 32

static bool chunk_new(struct pnx_cache *cache)
{
    const size_t slabs = cache->chunks ? SLABS_PER_CHUNK : 1;
    const size_t bytes = (slabs + 1) * PNX__SLAB_BYTES;
    pnx__slabs *chunk = pnx__alloc(sizeof *chunk);
    if (!chunk)
        return false;
    chunk->memory = pnx__map(bytes);
    if (!chunk->memory) {
        pnx__free(chunk);
        return false;
    }
    chunk->bytes = bytes;
    chunk->next = cache->chunks;
    cache->chunks = chunk;
    cache->chunk_next = (char *)(((uintptr_t)chunk->memory + PNX__SLAB_BYTES - 1) &
                                 ~(uintptr_t)(PNX__SLAB_BYTES - 1));
    cache->chunk_end = cache->chunk_next + slabs * PNX__SLAB_BYTES;
    return true;
}

static bool slab_new(struct pnx_cache *cache)
{
    if (cache->chunk_next == cache->chunk_end && !chunk_new(cache))
        return false;
    ((pnx__slab *)(void *)cache->chunk_next)->cache = cache;
    cache->carve = cache->chunk_next + PNX__SLAB_HEADER;
    cache->carve_end = cache->chunk_next + PNX__SLAB_BYTES;
    cache->chunk_next += PNX__SLAB_BYTES;
    cache->slab_count++;
    return true;
}

pnx__entry *pnx__entry_new(struct pnx_cache *cache)
{
    pnx__list *link = pnx__list_pop_front(&cache->free);
    if (link)
        return pnx__entry_of(pnx__node_of(link));
    if (cache->carve == NULL || cache->carve + cache->entry_bytes > cache->carve_end)
        if (!slab_new(cache))
            return NULL;
    pnx__entry *entry = (void *)cache->carve;
    cache->carve += cache->entry_bytes;
    return entry;
}

void pnx__entry_free(struct pnx_cache *cache, pnx__entry *entry)
{
    atomic_store_explicit(&entry->node.state, PNX__ENTRY_FREE, memory_order_relaxed);
    pnx__list_push_front(&cache->free, &entry->node.link);
}

void pnx__slabs_done(struct pnx_cache *cache)
{
    while (cache->chunks) {
        pnx__slabs *chunk = cache->chunks;
        cache->chunks = chunk->next;
        pnx__unmap(chunk->memory, chunk->bytes);
        pnx__free(chunk);
    }
}
