/* SPDX-License-Identifier: MIT */
/*
 * How entries leave: out of table and policy under the writer's lock; then the listener, without;
 * then retired, until nobody pins them; then the value goes to the registry, and the entry is free.
 *
 * Whether somebody pins an entry is found out for many at a time, because it takes a membarrier(2)
 * when several threads read: a sixteenth of the entries, at most 64. A cache whose values are
 * resources does not wait longer than 10 ms for more to come. Who lets go of an entry that has
 * retired looks again.
 */
#include "cache/internal.h"

#define BATCH_SHARE 16
#define BATCH_MAX 64
/* Long against a membarrier (1 to 10 us), short against what people notice. */
#define RETIRE_WAIT PNX_MS(10)

static const pnx_reason reasons[PNX_CACHE_CAUSE_COUNT] = {
    [PNX_CACHE_EVICTED] = PNX_EXPLICIT,       [PNX_CACHE_EXPIRED] = PNX_EXPIRY,
    [PNX_CACHE_REPLACED] = PNX_EXPLICIT,      [PNX_CACHE_REMOVED] = PNX_EXPLICIT,
    [PNX_CACHE_SHRUNK] = PNX_MEMORY_PRESSURE, [PNX_CACHE_CLOSED] = PNX_SCOPE_END,
};

/* ---- leaving --------------------------------------------------------------------------------- */

void pnx__cache_gone(struct pnx_cache *cache, pnx__entry *entry, pnx_cache_cause cause,
                     pnx__leaving *leaving)
{
    entry->node.cause = (uint8_t)cause;
    cache->left[cause]++;
    atomic_fetch_add_explicit(&cache->unreleased, 1, memory_order_relaxed);
    atomic_store_explicit(&entry->node.state, PNX__ENTRY_LEAVING, memory_order_relaxed);
    pnx__list_push_back(leaving, &entry->node.link);
}

void pnx__cache_left(struct pnx_cache *cache, pnx__entry *entry, pnx_cache_cause cause,
                     pnx__leaving *leaving)
{
    if (cache->timed)
        pnx__wheel_take(cache, entry);
    pnx__cache_table_remove(cache, entry);
    pnx__cache_gone(cache, entry, cause, leaving);
}

void pnx__cache_leave(struct pnx_cache *cache, pnx__entry *entry, pnx_cache_cause cause,
                      pnx__leaving *leaving)
{
    pnx__policy_remove(cache->policy, &entry->node);
    pnx__cache_left(cache, entry, cause, leaving);
}

size_t pnx__cache_evict_to(struct pnx_cache *cache, uint64_t weight, pnx_cache_cause cause,
                           pnx__leaving *leaving)
{
    size_t count = 0;
    while (cache->policy->weight > weight) {
        pnx__node *node = pnx__policy_evict(cache->policy);
        if (!node)
            break;
        pnx__cache_left(cache, pnx__entry_of(node), cause, leaving);
        count++;
    }
    return count;
}

static void retire(struct pnx_cache *cache, pnx__leaving *leaving)
{
    for (pnx__list *link; (link = pnx__list_pop_front(leaving)) != NULL;) {
        pnx__list_push_back(&cache->retired, link);
        cache->retired_count++;
        /* seq_cst: pairs with the look in pnx_ref_drop, over pnx__cache_barrier. */
        atomic_store_explicit(&pnx__node_of(link)->state, PNX__ENTRY_RETIRED, memory_order_seq_cst);
    }
}

static void tell_listener(struct pnx_cache *cache, pnx__leaving *leaving)
{
    pnx__list_foreach(link, leaving)
    {
        pnx__entry *entry = pnx__entry_of(pnx__node_of(link));
        cache->config.listener(pnx__entry_key(cache, entry), entry->value, entry->node.weight,
                               (pnx_cache_cause)entry->node.cause, cache->config.context);
    }
}

static uint64_t batch_of(const struct pnx_cache *cache)
{
    if (cache->config.deterministic)
        return 1;
    const uint64_t batch = cache->policy->count / BATCH_SHARE;
    return batch < 1 ? 1 : batch > BATCH_MAX ? BATCH_MAX : batch;
}

void pnx__cache_unlock(struct pnx_cache *cache, pnx__leaving *leaving)
{
    if (pnx__list_empty(leaving)) {
        pthread_mutex_unlock(&cache->writer);
        return;
    }
    if (cache->config.listener) {
        pthread_mutex_unlock(&cache->writer);
        tell_listener(cache, leaving);
        pthread_mutex_lock(&cache->writer);
    }
    retire(cache, leaving);
    const bool enough = cache->retired_count >= batch_of(cache);
    pthread_mutex_unlock(&cache->writer);
    if (enough)
        pnx__cache_reclaim(cache);
    else if (cache->config.kind)
        pnx__ticker_by(cache, pnx_time_after(pnx__cache_now(cache), RETIRE_WAIT));
}

/* ---- reclaiming ------------------------------------------------------------------------------ */

#define PINS_SEEN 256
struct pins {
    unsigned count;
    bool all; /* they fit */
    const pnx__entry *entries[PINS_SEEN];
};

static void pins_see(struct pnx_cache *cache, struct pins *pins)
{
    pins->count = 0;
    pins->all = true;
    /* Acquire: pairs with the release in reader_new. */
    pnx__reader *reader = atomic_load_explicit(&cache->readers, memory_order_acquire);
    for (; reader; reader = atomic_load_explicit(&reader->next, memory_order_acquire))
        for (unsigned i = 0; i < PNX__PINS; i++) {
            /* Acquire: pairs with the release by which a pin is cleared or moved on. */
            const pnx__entry *entry = atomic_load_explicit(&reader->pins[i], memory_order_acquire);
            if (entry == NULL)
                continue;
            if (pins->count == PINS_SEEN)
                pins->all = false;
            else
                pins->entries[pins->count++] = entry;
        }
}

static bool pinned_somewhere(struct pnx_cache *cache, const pnx__entry *entry)
{
    pnx__reader *reader = atomic_load_explicit(&cache->readers, memory_order_acquire);
    for (; reader; reader = atomic_load_explicit(&reader->next, memory_order_acquire))
        for (unsigned i = 0; i < PNX__PINS; i++)
            if (atomic_load_explicit(&reader->pins[i], memory_order_acquire) == entry)
                return true;
    return false;
}

static bool pinned(struct pnx_cache *cache, const struct pins *pins, const pnx__entry *entry)
{
    for (unsigned i = 0; i < pins->count; i++)
        if (pins->entries[i] == entry)
            return true;
    if (!pins->all && pinned_somewhere(cache, entry))
        return true;
    /* Acquire: pairs with the subtraction in pnx_ref_drop. */
    return atomic_load_explicit(&entry->pins, memory_order_acquire) != 0;
}

static void give_back(struct pnx_cache *cache, pnx__entry *entry)
{
    if (entry->slot) {
        /* The registry's own reasons; what was released behind our back is left alone. */
        uint64_t word = atomic_load_explicit(&entry->slot->word, memory_order_relaxed);
        if (pnx__generation_of(word) == entry->generation)
            (void)pnx__schedule(cache->config.registry, pnx__thread_get(cache->config.registry),
                                entry->slot, &word, reasons[entry->node.cause], -1, 0);
        entry->slot = NULL;
    }
    if (cache->config.key_free)
        cache->config.key_free(pnx__entry_key(cache, entry), cache->config.context);
}

void pnx__cache_reclaim(struct pnx_cache *cache)
{
    pnx__list retired, held;
    uint64_t taken, freed = 0;
    pnx__list_init(&retired);
    pnx__list_init(&held);
    pthread_mutex_lock(&cache->reclaim);
    pthread_mutex_lock(&cache->writer);
    pnx__list_append(&retired, &cache->retired);
    taken = cache->retired_count;
    cache->retired_count = 0;
    pthread_mutex_unlock(&cache->writer);
    if (taken > 0) {
        struct pins pins;
        pnx__cache_barrier(cache);
        pins_see(cache, &pins);
        pnx__list_foreach_safe(link, &retired)
        {
            pnx__entry *entry = pnx__entry_of(pnx__node_of(link));
            if (pinned(cache, &pins, entry)) {
                pnx__list_remove(link);
                pnx__list_push_back(&held, link);
                /* seq_cst: as in retire. Who lets go waits for our lock, and finds it held. */
                atomic_store_explicit(&entry->node.state, PNX__ENTRY_HELD, memory_order_seq_cst);
            } else {
                give_back(cache, entry);
                freed++;
            }
        }
        pthread_mutex_lock(&cache->writer);
        for (pnx__list *link; (link = pnx__list_pop_front(&retired)) != NULL;)
            pnx__entry_free(cache, pnx__entry_of(pnx__node_of(link)));
        pnx__list_append(&cache->held, &held);
        atomic_fetch_sub_explicit(&cache->unreleased, freed, memory_order_relaxed);
        pthread_mutex_unlock(&cache->writer);
    }
    pthread_mutex_unlock(&cache->reclaim);
}

void pnx__cache_let_go(struct pnx_cache *cache, pnx__entry *entry)
{
    if (pnx__cache_forked(cache))
        return;
    /* No barrier: of several that let go at once the last to come here sees that all others have.
     * */
    pthread_mutex_lock(&cache->reclaim);
    if (pnx__entry_state(entry) == PNX__ENTRY_HELD && !pinned_somewhere(cache, entry) &&
        atomic_load_explicit(&entry->pins, memory_order_acquire) == 0) {
        give_back(cache, entry);
        pthread_mutex_lock(&cache->writer);
        pnx__list_remove(&entry->node.link);
        pnx__entry_free(cache, entry);
        atomic_fetch_sub_explicit(&cache->unreleased, 1, memory_order_relaxed);
        pthread_mutex_unlock(&cache->writer);
    }
    pthread_mutex_unlock(&cache->reclaim);
}
