/* SPDX-License-Identifier: MIT */
/*
 * Threads as readers of caches: where they pin what they read, count hits, and leave notes for the
 * policy. A thread gets a block for each cache that it reads and gives it up when it ends; blocks
 * are used again and freed with the cache.
 *
 * A thread is named by the address of a thread-local variable. When a thread ends its blocks lose
 * their owner; where that could not be arranged, a later thread at the same address inherits them,
 * which is as good.
 */
#include "cache/internal.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

_Thread_local pnx__mine pnx__readers_mine[PNX__MINE];
static _Thread_local bool end_arranged;

static pnx__process_mutex caches_lock = PNX__PROCESS_MUTEX;
static pnx__list caches = {&caches, &caches};
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t end_key;
static bool end_key_there;

static void lock_caches(void)
{
    if (pnx__process_mutex_lock(&caches_lock))
        pnx__list_init(&caches); /* a fork child has none of its own yet */
}

void pnx__caches_add(struct pnx_cache *cache)
{
    static _Atomic uint64_t serials;
    lock_caches();
    pnx__list_push_back(&caches, &cache->node);
    pnx__process_mutex_unlock(&caches_lock);
    /* Relaxed: unique is all it has to be. */
    cache->serial = atomic_fetch_add_explicit(&serials, 1, memory_order_relaxed) + 1;
}

void pnx__caches_remove(struct pnx_cache *cache)
{
    lock_caches();
    pnx__list_remove(&cache->node);
    pnx__process_mutex_unlock(&caches_lock);
}

static void thread_ends(void *owner)
{
    lock_caches();
    pnx__list_foreach(node, &caches)
    {
        struct pnx_cache *cache = pnx__container_of(node, struct pnx_cache, node);
        pnx__reader *reader = atomic_load_explicit(&cache->readers, memory_order_acquire);
        for (; reader; reader = atomic_load_explicit(&reader->next, memory_order_acquire))
            if (atomic_load_explicit(&reader->owner, memory_order_relaxed) == owner)
                /* Release: pairs with the acquire of the next owner, in adopt. */
                atomic_store_explicit(&reader->owner, NULL, memory_order_release);
    }
    pnx__process_mutex_unlock(&caches_lock);
    memset(pnx__readers_mine, 0, sizeof pnx__readers_mine);
}

static void make_key(void)
{
    end_key_there = pthread_key_create(&end_key, thread_ends) == 0;
}

static void arrange_end(void)
{
    if (end_arranged)
        return;
    end_arranged = true;
    (void)pthread_once(&key_once, make_key);
    if (end_key_there)
        (void)pthread_setspecific(end_key, pnx__readers_mine);
}

/* The block of this thread, or one without owner. */
static pnx__reader *adopt(struct pnx_cache *cache)
{
    const void *self = pnx__readers_mine;
    pnx__reader *reader = atomic_load_explicit(&cache->readers, memory_order_acquire);
    for (; reader; reader = atomic_load_explicit(&reader->next, memory_order_acquire))
        if (atomic_load_explicit(&reader->owner, memory_order_relaxed) == self)
            return reader;
    reader = atomic_load_explicit(&cache->readers, memory_order_acquire);
    for (; reader; reader = atomic_load_explicit(&reader->next, memory_order_acquire)) {
        const void *nobody = NULL;
        /* Acquire: pairs with the release in thread_ends. */
        if (atomic_compare_exchange_strong_explicit(&reader->owner, &nobody, self,
                                                    memory_order_acquire, memory_order_relaxed))
            return reader;
    }
    return NULL;
}

static pnx__reader *reader_new(struct pnx_cache *cache)
{
    void *memory = pnx__alloc(2 * PNX__READER_ALIGN);
    if (!memory)
        return NULL;
    pnx__reader *reader = (pnx__reader *)(((uintptr_t)memory + PNX__READER_ALIGN - 1) &
                                          ~(uintptr_t)(PNX__READER_ALIGN - 1));
    reader->memory = memory;
    reader->cache = cache;
    atomic_store_explicit(&reader->owner, pnx__readers_mine, memory_order_relaxed);
    pthread_mutex_lock(&cache->writer);
    cache->reader_count++;
    atomic_store_explicit(&reader->next,
                          atomic_load_explicit(&cache->readers, memory_order_relaxed),
                          memory_order_relaxed);
    /* Release: pairs with the acquire of whoever walks the list. */
    atomic_store_explicit(&cache->readers, reader, memory_order_release);
    pthread_mutex_unlock(&cache->writer);
    return reader;
}

pnx__reader *pnx__reader_find(struct pnx_cache *cache)
{
    arrange_end();
    pnx__reader *reader = adopt(cache);
    if (!reader)
        reader = reader_new(cache);
    if (reader)
        pnx__readers_mine[cache->serial % PNX__MINE] = (pnx__mine){cache->serial, reader};
    return reader;
}

pnx_ref pnx__cache_pin(struct pnx_cache *cache, pnx__entry *entry)
{
    pnx__reader *reader = pnx__reader_get(cache);
    _Atomic(pnx__entry *) *pin = reader ? pnx__reader_pin(reader) : NULL;
    if (pin) {
        /* Release: who sees it cleared again sees that we are done. It needs no second look: the
         * entry cannot leave before the lock, or the other pin, is let go. */
        atomic_store_explicit(pin, entry, memory_order_release);
        return (pnx_ref){entry->value, (void *)pin};
    }
    /* Relaxed: as above; the lock or the other pin orders it. */
    atomic_fetch_add_explicit(&entry->pins, 1, memory_order_relaxed);
    return pnx__ref_counted(entry);
}

void pnx_ref_drop(pnx_ref *ref)
{
    if (!ref || !ref->value)
        return;
    pnx__entry *entry = pnx__entry_of_value(ref->value);
    struct pnx_cache *cache;
    const uintptr_t pin = (uintptr_t)ref->pin;
    *ref = (pnx_ref){NULL, NULL};
    if (PNX_LIKELY((pin & 1) == 0)) {
        const pnx__reader *reader =
            (const pnx__reader *)(pin & ~(uintptr_t)(PNX__READER_ALIGN - 1));
        /* Not by the entry's slab: the heads of all slabs compete for one set of a CPU's cache. */
        cache = reader->cache;
        /* Release: pairs with the acquire in pins_see (reclaim.c). */
        atomic_store_explicit((_Atomic(pnx__entry *) *)pin, NULL, memory_order_release);
        /* Either the reclaimer sees the pin cleared, or we see that it has retired the entry. */
        if (PNX_LIKELY(atomic_load_explicit(&reader->owner, memory_order_relaxed) ==
                       pnx__readers_mine))
            pnx__reader_fence(cache);
        else
            atomic_thread_fence(memory_order_seq_cst);
    } else {
        cache = pnx__cache_of(entry);
        /* seq_cst: before the look at the state, as above. */
        (void)atomic_fetch_sub_explicit(&entry->pins, 1, memory_order_seq_cst);
    }
    /* seq_cst: pairs with the store in retire (reclaim.c). The entry may be another by now, and the
     * state be one that is none of ours: then there is nothing to do, at the cost of a look. */
    if (PNX_UNLIKELY(atomic_load_explicit(&entry->node.state, memory_order_seq_cst) >=
                     PNX__ENTRY_RETIRED))
        pnx__cache_let_go(cache, entry);
}

bool pnx__readers_asymmetric(void)
{
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

void pnx__cache_barrier(struct pnx_cache *cache)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (cache->asymmetric)
        (void)syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

static void drain(struct pnx_cache *cache, pnx__reader *reader)
{
    uint32_t tail = atomic_load_explicit(&reader->tail, memory_order_relaxed);
    /* Acquire: pairs with the release in note (access.c). */
    const uint32_t head = atomic_load_explicit(&reader->head, memory_order_acquire);
    for (; tail != head; tail++) {
        pnx__entry *entry =
            atomic_load_explicit(&reader->notes[tail % PNX__NOTES], memory_order_relaxed);
        /* It may have left, and be another entry by now: that one gets the hit. */
        if (pnx__entry_state(entry) == PNX__ENTRY_LIVE)
            cache->policy->ops->hit(cache->policy, &entry->node);
    }
    /* Release: pairs with the acquire in note: the places are free. */
    atomic_store_explicit(&reader->tail, tail, memory_order_release);
}

void pnx__readers_drain(struct pnx_cache *cache, bool all)
{
    if (!cache->policy->ops->hit)
        return;
    if (!all) {
        const pnx__mine *mine = &pnx__readers_mine[cache->serial % PNX__MINE];
        if (mine->serial == cache->serial)
            drain(cache, mine->reader);
        return;
    }
    pnx__reader *reader = atomic_load_explicit(&cache->readers, memory_order_acquire);
    for (; reader; reader = atomic_load_explicit(&reader->next, memory_order_acquire))
        drain(cache, reader);
}

void pnx__readers_done(struct pnx_cache *cache)
{
    pnx__reader *reader = atomic_load_explicit(&cache->readers, memory_order_relaxed);
    while (reader) {
        pnx__reader *next = atomic_load_explicit(&reader->next, memory_order_relaxed);
        pnx__free(reader->memory);
        reader = next;
    }
}
