/* SPDX-License-Identifier: MIT */
/*
 * The slot table: chunks that are never moved or freed while the registry lives, so that an id or a
 * pointer may be followed at any time; the generation in the word tells whether it is still meant.
 * Free slots are kept in magazines: one loaded and one spare per thread, the rest in the depot.
 */
#include "registry/internal.h"

/* The magazine block is exactly 512 bytes, so 62 slots cost one allocation without waste. */
_Static_assert(sizeof(pnx__magazine) == 512, "a magazine is 512 bytes");

static void magazine_push(pnx__magazine **stack, pnx__magazine *magazine)
{
    magazine->next = *stack;
    *stack = magazine;
}

/* Adds a chunk of slots to the table; they are used from the first on. Depot lock held. */
static pnx_status table_grow(struct pnx_registry *registry)
{
    const uint32_t chunk = atomic_load_explicit(&registry->chunk_count, memory_order_relaxed);
    if ((uint64_t)chunk << PNX__CHUNK_BITS >= registry->config.resources_max)
        return PNX_ELIMIT;
    pnx__slot *slots = pnx__map(PNX__CHUNK_SLOTS * sizeof *slots);
    if (slots == NULL)
        return PNX_ENOMEM;
    registry->chunks[chunk] = slots;
    /* Release: pairs with the acquire in pnx__slot_of; who sees the count sees the chunk. */
    atomic_store_explicit(&registry->chunk_count, chunk + 1, memory_order_release);
    return PNX_OK;
}

/* The next slot that was never used; NULL: there is none. Depot lock held. */
static pnx__slot *slot_fresh(struct pnx_registry *registry)
{
    const uint32_t index = registry->slots_used;
    if (index >= registry->config.resources_max ||
        index >> PNX__CHUNK_BITS >=
            atomic_load_explicit(&registry->chunk_count, memory_order_relaxed))
        return NULL;
    registry->slots_used++;
    pnx__slot *slot = pnx__slot_at(registry, index);
    slot->index = index;
    slot->timer_next = slot->timer_previous = PNX__TIMER_NONE;
    return slot;
}

/* A free slot that is in no magazine; NULL: there is none. Depot lock held. */
static pnx__slot *slot_loose(struct pnx_registry *registry)
{
    pnx__slot *slot = registry->depot_loose;
    if (slot == NULL)
        return NULL;
    pnx__link *next = atomic_load_explicit(&slot->link.next, memory_order_relaxed);
    registry->depot_loose = next != NULL ? pnx__slot_of_link(next) : NULL;
    return slot;
}

static void slot_loosen(struct pnx_registry *registry, pnx__slot *slot)
{
    atomic_store_explicit(&slot->link.next,
                          registry->depot_loose != NULL ? &registry->depot_loose->link : NULL,
                          memory_order_relaxed);
    registry->depot_loose = slot;
}

/* What was spilled is loose from here on. Depot lock held: nobody else takes from that stack, and
 * it is taken as a whole, so that a push cannot mistake an old first link for the same one. */
static void take_spilled(struct pnx_registry *registry)
{
    if (PNX_LIKELY(atomic_load_explicit(&registry->spilled, memory_order_relaxed) == NULL))
        return;
    /* Acquire: pairs with the release in pnx__slot_give_at_once. */
    pnx__link *link = atomic_exchange_explicit(&registry->spilled, NULL, memory_order_acquire);
    while (link != NULL) {
        pnx__link *next = atomic_load_explicit(&link->next, memory_order_relaxed);
        slot_loosen(registry, pnx__slot_of_link(link));
        link = next;
    }
}

/* Fills an empty magazine with what there is outside of magazines. Depot lock held. */
static pnx_status magazine_fill(struct pnx_registry *registry, pnx__magazine *magazine)
{
    pnx_status status = PNX_OK;
    take_spilled(registry);
    while (magazine->count < PNX__MAGAZINE_SLOTS && status == PNX_OK) {
        pnx__slot *slot = slot_loose(registry);
        if (slot == NULL)
            slot = slot_fresh(registry);
        if (slot != NULL)
            magazine->slots[magazine->count++] = slot;
        else if (magazine->count > 0)
            break;
        else
            status = table_grow(registry);
    }
    /* They are taken from the end: lowest first, as they lie in memory. */
    for (uint32_t i = 0, j = magazine->count; i + 1 < j; i++) {
        pnx__slot *last = magazine->slots[--j];
        magazine->slots[j] = magazine->slots[i];
        magazine->slots[i] = last;
    }
    return magazine->count > 0 ? PNX_OK : status;
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
        pnx__magazine *full = registry->depot_full;
        if (full != NULL) {
            registry->depot_full = full->next;
            magazine_push(&registry->depot_empty, thread->loaded);
            thread->loaded = full;
        } else {
            *ret_status = magazine_fill(registry, thread->loaded);
        }
        pthread_mutex_unlock(&registry->depot_lock);
    }
    return thread->loaded->count > 0 ? thread->loaded->slots[--thread->loaded->count] : NULL;
}

/* Both magazines are full: the spare one goes to the depot, for an empty one. Where there is no
 * memory for that, its slots go there one by one: nothing is ever lost. */
void pnx__slot_give_slow(struct pnx_registry *registry, pnx__thread *thread, pnx__slot *slot)
{
    if (thread->spare->count > 0) {
        pthread_mutex_lock(&registry->depot_lock);
        pnx__magazine *empty = registry->depot_empty;
        if (empty != NULL)
            registry->depot_empty = empty->next;
        else
            empty = pnx__alloc(sizeof *empty);
        if (empty != NULL) {
            magazine_push(&registry->depot_full, thread->spare);
            thread->spare = empty;
        } else {
            while (thread->spare->count > 0)
                slot_loosen(registry, thread->spare->slots[--thread->spare->count]);
        }
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
    slot_loosen(registry, slot);
    pthread_mutex_unlock(&registry->depot_lock);
}

void pnx__slot_give_at_once(struct pnx_registry *registry, pnx__thread *thread, pnx__slot *slot)
{
    if (thread != NULL && thread->loaded->count == PNX__MAGAZINE_SLOTS &&
        thread->spare->count < PNX__MAGAZINE_SLOTS) {
        pnx__magazine *full = thread->loaded;
        thread->loaded = thread->spare;
        thread->spare = full;
    }
    if (thread != NULL && thread->loaded->count < PNX__MAGAZINE_SLOTS) {
        thread->loaded->slots[thread->loaded->count++] = slot;
        return;
    }
    pnx__link *first = atomic_load_explicit(&registry->spilled, memory_order_relaxed);
    do {
        atomic_store_explicit(&slot->link.next, first, memory_order_relaxed);
        /* Release: pairs with the acquire in take_spilled. */
    } while (!atomic_compare_exchange_weak_explicit(&registry->spilled, &first, &slot->link,
                                                    memory_order_release, memory_order_relaxed));
}

void pnx__magazine_return(struct pnx_registry *registry, pnx__magazine *magazine)
{
    pthread_mutex_lock(&registry->depot_lock);
    magazine_push(magazine->count > 0 ? &registry->depot_full : &registry->depot_empty, magazine);
    pthread_mutex_unlock(&registry->depot_lock);
}

static uint64_t count_magazines(const pnx__magazine *stack)
{
    uint64_t count = 0;
    for (; stack != NULL; stack = stack->next)
        count += stack->count;
    return count;
}

bool pnx__table_idle(struct pnx_registry *registry)
{
    pthread_mutex_lock(&registry->dispatch);
    uint64_t count = registry->kept_count;
    pnx__list_foreach(node, &registry->threads)
    {
        const pnx__thread *thread = pnx__container_of(node, pnx__thread, node);
        count += (uint64_t)thread->loaded->count + thread->spare->count;
    }
    pthread_mutex_unlock(&registry->dispatch);
    pthread_mutex_lock(&registry->depot_lock);
    take_spilled(registry);
    count += count_magazines(registry->depot_full);
    for (const pnx__slot *slot = registry->depot_loose; slot != NULL; count++) {
        pnx__link *next = atomic_load_explicit(&slot->link.next, memory_order_relaxed);
        slot = next != NULL ? pnx__slot_of_link(next) : NULL;
    }
    const bool idle = count == registry->slots_used;
    pthread_mutex_unlock(&registry->depot_lock);
    return idle;
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
