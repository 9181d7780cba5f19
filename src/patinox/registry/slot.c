/* SPDX-License-Identifier: MIT */
/*
 * The slot table: chunks that are never moved or freed while the registry lives, so that an id or a
 * pointer may be followed at any time; the generation in the word tells whether it is still meant.
 * Free slots are kept in magazines: one loaded and one spare per thread, the rest in the depot.
 */
#include "registry/internal.h"

#include <errno.h>

/* The magazine block is exactly 512 bytes, so 62 slots cost one allocation without waste. */
_Static_assert(sizeof(pnx__magazine) == 512, "a magazine is 512 bytes");

/* Takes a block for a magazine. Depot lock held. */
static pnx__magazine *magazine_block(struct pnx_registry *registry)
{
    pnx__magazine *magazine = registry->depot_empty;
    if (magazine != NULL) {
        registry->depot_empty = magazine->next;
        return magazine;
    }
    return pnx__alloc(sizeof *magazine);
}

static void magazine_push(pnx__magazine **stack, pnx__magazine *magazine)
{
    magazine->next = *stack;
    *stack = magazine;
}

static void magazines_move(pnx__magazine **from, pnx__magazine **to)
{
    while (*from != NULL) {
        pnx__magazine *magazine = *from;
        *from = magazine->next;
        magazine_push(to, magazine);
    }
}

/* Blocks enough to hold `count` slots; NULL: no memory. Depot lock held. */
static pnx__magazine *magazine_blocks(struct pnx_registry *registry, uint64_t count)
{
    pnx__magazine *blocks = NULL;
    for (uint64_t held = 0; held < count; held += PNX__MAGAZINE_SLOTS) {
        pnx__magazine *block = magazine_block(registry);
        if (block == NULL) {
            magazines_move(&blocks, &registry->depot_empty);
            return NULL;
        }
        magazine_push(&blocks, block);
    }
    return blocks;
}

/* Fills `blocks` from the end of the chunk on, and stacks them up in the depot: the one on top holds
 * the lowest slots, the lowest first. */
static void magazines_fill(struct pnx_registry *registry, pnx__magazine *blocks, pnx__slot *slots,
                           uint32_t first, uint64_t count)
{
    while (count > 0) {
        pnx__magazine *block = blocks;
        blocks = block->next;
        block->count = 0;
        while (block->count < PNX__MAGAZINE_SLOTS && count > 0) {
            pnx__slot *slot = &slots[--count];
            slot->index = first + (uint32_t)count;
            slot->timer_next = slot->timer_previous = PNX__TIMER_NONE;
            block->slots[block->count++] = slot;
        }
        magazine_push(&registry->depot_full, block);
    }
}

/* Adds a chunk of slots to the table, as full magazines. Depot lock held. */
static pnx_status table_grow(struct pnx_registry *registry)
{
    const uint32_t chunk = atomic_load_explicit(&registry->chunk_count, memory_order_relaxed);
    const uint64_t first = (uint64_t)chunk << PNX__CHUNK_BITS;
    if (first >= registry->config.resources_max)
        return PNX_ELIMIT;
    uint64_t count = registry->config.resources_max - first;
    if (count > PNX__CHUNK_SLOTS)
        count = PNX__CHUNK_SLOTS;
    /* The blocks first: a chunk without magazines to hold it would be lost. */
    pnx__magazine *blocks = magazine_blocks(registry, count);
    if (blocks == NULL)
        return PNX_ENOMEM;
    pnx__slot *slots = pnx__map(PNX__CHUNK_SLOTS * sizeof *slots);
    if (slots == NULL) {
        magazines_move(&blocks, &registry->depot_empty);
        return PNX_ENOMEM;
    }
    magazines_fill(registry, blocks, slots, (uint32_t)first, count);
    registry->chunks[chunk] = slots;
    /* Release: pairs with the acquire in pnx__slot_of; who sees the count sees the chunk. */
    atomic_store_explicit(&registry->chunk_count, chunk + 1, memory_order_release);
    return PNX_OK;
}

pnx__slot *pnx__slot_take_slow(struct pnx_registry *registry, pnx__thread *thread,
                               pnx_status *ret_status)
{
    if (thread->spare->count > 0) {
        pnx__magazine *full = thread->spare;
        thread->spare = thread->loaded;
        thread->loaded = full;
    } else {
        pthread_mutex_lock(&registry->depot_lock);
        pnx_status status = PNX_OK;
        if (registry->depot_full == NULL)
            status = table_grow(registry);
        if (registry->depot_full == NULL) {
            pthread_mutex_unlock(&registry->depot_lock);
            *ret_status = status;
            return NULL;
        }
        pnx__magazine *full = registry->depot_full;
        registry->depot_full = full->next;
        magazine_push(&registry->depot_empty, thread->loaded);
        thread->loaded = full;
        pthread_mutex_unlock(&registry->depot_lock);
    }
    return thread->loaded->slots[--thread->loaded->count];
}

void pnx__slot_give_slow(struct pnx_registry *registry, pnx__thread *thread, pnx__slot *slot)
{
    if (thread->spare->count > 0) {
        pthread_mutex_lock(&registry->depot_lock);
        /* There is a block for every 62 slots and two for every thread, so one is always spare
         * here: the depot holds at least as many empty blocks as threads hold full ones too many. */
        pnx__magazine *empty = magazine_block(registry);
        if (empty == NULL) {
            pthread_mutex_unlock(&registry->depot_lock);
            return; /* no memory for 512 bytes: the slot is lost, the resource is not */
        }
        empty->count = 0;
        magazine_push(&registry->depot_full, thread->spare);
        thread->spare = empty;
        pthread_mutex_unlock(&registry->depot_lock);
    }
    pnx__magazine *full = thread->loaded;
    thread->loaded = thread->spare;
    thread->spare = full;
    thread->loaded->slots[thread->loaded->count++] = slot;
}

void pnx__slot_give_shared(struct pnx_registry *registry, pnx__slot *slot)
{
    pthread_mutex_lock(&registry->depot_lock);
    pnx__magazine *magazine = registry->depot_full;
    if (magazine == NULL || magazine->count == PNX__MAGAZINE_SLOTS) {
        magazine = magazine_block(registry);
        if (magazine != NULL) {
            magazine->count = 0;
            magazine_push(&registry->depot_full, magazine);
        }
    }
    if (magazine != NULL)
        magazine->slots[magazine->count++] = slot;
    pthread_mutex_unlock(&registry->depot_lock);
}

void pnx__magazine_return(struct pnx_registry *registry, pnx__magazine *magazine)
{
    pthread_mutex_lock(&registry->depot_lock);
    magazine_push(magazine->count > 0 ? &registry->depot_full : &registry->depot_empty, magazine);
    pthread_mutex_unlock(&registry->depot_lock);
}

static void magazines_free(pnx__magazine *stack)
{
    while (stack != NULL) {
        pnx__magazine *next = stack->next;
        pnx__free(stack);
        stack = next;
    }
}

void pnx__table_done(struct pnx_registry *registry)
{
    uint32_t count = atomic_load_explicit(&registry->chunk_count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++)
        pnx__unmap(registry->chunks[i], PNX__CHUNK_SLOTS * sizeof(pnx__slot));
    pnx__unmap(registry->chunks, PNX__CHUNKS_MAX * sizeof *registry->chunks);
    magazines_free(registry->depot_full);
    magazines_free(registry->depot_empty);
}
