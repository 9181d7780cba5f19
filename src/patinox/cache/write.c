/* SPDX-License-Identifier: MIT */
/* Writing: one writer at a time. What may take long (copying keys, weighing, reserving the
 * resource, listeners, releases) happens before the lock or after it. */
#include "cache/internal.h"

#define KEY_MAX 256
/* Entries whose time a put looks at: more than it brings, so that they do not pile up. The ticker
 * sees to the others. */
#define EXPIRE_AT_ONCE 64

/* What a put brings along, made before the lock. */
struct fresh {
    uint64_t hash;
    uint32_t weight;
    pnx__slot *slot;
    pnx_duration lifetime;
    unsigned char key[KEY_MAX];
};

static pnx_status register_value(struct pnx_cache *cache, const void *value, const pnx_site *site,
                                 pnx__slot **ret, pnx_error *err)
{
    pnx_status status = PNX_OK;
    uint64_t words[PNX_VALUE_MAX / 8] = {0, 0, 0};
    if (cache->config.kind == NULL) {
        *ret = NULL;
        return PNX_OK;
    }
    pnx__slot *slot = pnx__reserve(cache->config.registry, cache->config.kind, site, &status, err);
    if (slot == NULL)
        return status;
    memcpy(words, value, cache->config.value_size);
    pnx__arm(cache->config.registry, slot, words[0], words[1], words[2]);
    *ret = slot;
    return PNX_OK;
}

static uint32_t generation_of(const pnx__slot *slot)
{
    return pnx__generation_of(atomic_load_explicit(&slot->word, memory_order_relaxed));
}

static pnx_status fresh_make(struct pnx_cache *cache, const void *key, const void *value,
                             const pnx__put *how, struct fresh *fresh, pnx_error *err)
{
    fresh->hash = pnx__key_hash(cache, key);
    fresh->weight = how->weight;
    if (fresh->weight == 0)
        fresh->weight =
            cache->config.weigh ? cache->config.weigh(key, value, cache->config.context) : 1;
    fresh->weight = fresh->weight ? fresh->weight : 1;
    if (cache->timed)
        fresh->lifetime = pnx__timing_of(cache, key, value, how->lifetime);
    memcpy(fresh->key, key, cache->config.key_size);
    if (cache->config.key_copy && !cache->config.key_copy(fresh->key, cache->config.context))
        return pnx_fail(err, PNX_ENOMEM, "cache %s: no memory for a key", cache->name);
    const pnx_status status = register_value(cache, value, how->site, &fresh->slot, err);
    if (status && cache->config.key_free)
        cache->config.key_free(fresh->key, cache->config.context);
    return status;
}

/* The value is the caller's again. */
static void fresh_undo(struct pnx_cache *cache, struct fresh *fresh)
{
    if (cache->config.key_free)
        cache->config.key_free(fresh->key, cache->config.context);
    if (fresh->slot)
        (void)pnx__take(cache->config.registry, fresh->slot, generation_of(fresh->slot));
}

static void fill(struct pnx_cache *cache, pnx__entry *entry, const struct fresh *fresh,
                 const void *value)
{
    entry->node.hash = fresh->hash;
    entry->node.weight = fresh->weight;
    entry->slot = fresh->slot;
    entry->generation = fresh->slot ? generation_of(fresh->slot) : 0;
    memcpy(entry->value, value, cache->config.value_size);
    memcpy(pnx__entry_key(cache, entry), fresh->key, cache->config.key_size);
    if (cache->timed)
        pnx__timing_set(cache, entry, fresh->lifetime);
    atomic_store_explicit(&entry->node.state, PNX__ENTRY_LIVE, memory_order_relaxed);
}

/* What is under the key. What has expired is none, though the wheel has not come by yet. */
static pnx__entry *find_present(struct pnx_cache *cache, const struct fresh *fresh,
                                pnx__leaving *leaving)
{
    pnx__entry *entry = pnx__cache_table_find(cache, fresh->hash, fresh->key);
    if (entry == NULL || !cache->timed ||
        pnx__cache_now(cache) < atomic_load_explicit(&pnx__entry_timing(cache, entry)->stale_until,
                                                     memory_order_relaxed))
        return entry;
    pnx__cache_leave(cache, entry, PNX_CACHE_EXPIRED, leaving);
    return NULL;
}

/* May the put go ahead, given what is there? */
static bool suits(const pnx__put *how, const pnx__entry *present)
{
    if (how->if_absent)
        return present == NULL;
    return !how->expects || present == how->expected || (how->or_none && present == NULL);
}

static void replace(struct pnx_cache *cache, pnx__entry *old, pnx__entry *entry,
                    pnx__leaving *leaving)
{
    pnx__policy_replace(cache->policy, &old->node, &entry->node);
    if (cache->marks_max != 0)
        pnx__mark(&entry->node, cache->marks_max);
    /* Relaxed: this is the only place where it matters that it may change, and that harms nothing.
     * */
    if (cache->policy->ops->hit &&
        pnx__sample(entry->node.hash) <=
            atomic_load_explicit(&cache->policy->record_below, memory_order_relaxed))
        cache->policy->ops->hit(cache->policy, &entry->node);
    if (cache->timed)
        pnx__wheel_take(cache, old);
    pnx__cache_table_replace(cache, old, entry);
    pnx__cache_gone(cache, old, PNX_CACHE_REPLACED, leaving);
}

/* With the lock held: everything but what `leaving` needs. */
static pnx_status put_locked(struct pnx_cache *cache, const struct fresh *fresh, const void *value,
                             const pnx__put *how, pnx__leaving *leaving, pnx_time *ret_due,
                             pnx_error *err)
{
    /* Before anything else: a note may be of an entry that has become another one, and that must
     * not be the half-made one of this put. This thread's always; those of the others are further
     * away. */
    pnx__readers_drain(cache, cache->puts % PNX__NOTES == 0);
    if (cache->timed)
        (void)pnx__wheel_advance(cache, pnx__cache_now(cache), EXPIRE_AT_ONCE, leaving);
    pnx__entry *old = find_present(cache, fresh, leaving);
    if (!suits(how, old)) {
        if (how->ret && how->if_absent)
            *how->ret = pnx__cache_pin(cache, old);
        return PNX_EALREADY;
    }
    pnx__entry *entry = pnx__entry_new(cache);
    if (entry == NULL || (old == NULL && !pnx__cache_table_reserve(cache))) {
        if (entry)
            pnx__entry_free(cache, entry);
        return pnx_fail(err, PNX_ENOMEM, "cache %s: no memory for an entry", cache->name);
    }
    fill(cache, entry, fresh, value);
    if (how->ret)
        *how->ret = pnx__cache_pin(cache, entry);
    cache->puts++;
    /* Acquire: pairs with the release in pnx__flights_invalidate. A remove takes this lock after
     * it: either this sees the flag, or the remove finds the entry. */
    if (how->invalidated && atomic_load_explicit(how->invalidated, memory_order_acquire)) {
        pnx__cache_gone(cache, entry, PNX_CACHE_REMOVED, leaving);
        return PNX_OK;
    }
    if (old) {
        replace(cache, old, entry, leaving);
    } else {
        pnx__cache_table_insert(cache, entry);
        pnx__policy_add(cache->policy, &entry->node);
    }
    if (cache->timed) {
        pnx__wheel_put(cache, entry);
        *ret_due = pnx__wheel_due(cache);
    }
    if (entry->node.weight > cache->policy->capacity)
        pnx__cache_leave(cache, entry, PNX_CACHE_EVICTED, leaving);
    (void)pnx__cache_evict_to(cache, cache->policy->capacity, PNX_CACHE_EVICTED, leaving);
    return PNX_OK;
}

static pnx_status forked(const struct pnx_cache *cache, pnx_error *err)
{
    return pnx_fail(err, PNX_EFORKED, "cache %s belongs to the parent process", cache->name);
}

pnx_status pnx__cache_put_how(struct pnx_cache *cache, const void *key, const void *value,
                              const pnx__put *how, pnx_error *err)
{
    struct fresh fresh = {0};
    pnx__leaving leaving;
    pnx_time due = PNX_FOREVER;
    if (pnx__cache_forked(cache))
        return forked(cache, err);
    pnx_status status = fresh_make(cache, key, value, how, &fresh, err);
    if (status)
        return status;
    if (how->ret)
        (void)pnx__reader_get(cache); /* makes one, which takes the lock, if there is none */
    pnx__list_init(&leaving);
    pthread_mutex_lock(&cache->writer);
    status = put_locked(cache, &fresh, value, how, &leaving, &due, err);
    pnx__cache_unlock(cache, &leaving);
    if (due != PNX_FOREVER)
        pnx__ticker_by(cache, due);
    if (status)
        fresh_undo(cache, &fresh);
    return status;
}

void pnx__cache_discard(struct pnx_cache *cache, const void *value)
{
    pnx__slot *slot = NULL;
    pnx_error err = {0};
    if (cache->config.kind == NULL)
        return;
    if (register_value(cache, value, PNX_HERE, &slot, &err) != PNX_OK || slot == NULL) {
        /* Nobody else can: no memory, or the registry is shut down. It is not lost, but not
         * counted. */
        const pnx_release why = {.registry = cache->config.registry,
                                 .deadline = PNX_FOREVER,
                                 .reason = PNX_EXPLICIT,
                                 .attempt = 1};
        uint64_t words[PNX_VALUE_MAX / 8] = {0, 0, 0};
        memcpy(words, value, cache->config.value_size);
        (void)cache->config.kind->release(words, &why);
        return;
    }
    pnx_registry *registry = cache->config.registry;
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
    (void)pnx__schedule(registry, pnx__thread_get(registry), slot, &word, PNX_EXPLICIT, -1, 0);
}

pnx_status pnx__cache_put(pnx_cache *cache, const void *key, const void *value,
                          const pnx_cache_put_options *options, const pnx_site *site,
                          pnx_error *err)
{
    pnx__put how = {.site = site};
    if (options) {
        how.if_absent = options->if_absent;
        how.lifetime = options->lifetime;
        how.weight = options->weight;
        how.ret = options->ret;
    }
    if (how.ret)
        *how.ret = (pnx_ref){NULL, NULL};
    if (how.lifetime < 0 || (how.lifetime > 0 && !cache->timed && how.lifetime != PNX_FOREVER))
        return pnx_fail(err, PNX_EINVAL,
                        how.lifetime < 0 ? "cache %s: a lifetime below 0"
                                         : "cache %s: a lifetime, but the cache was made without "
                                           "expiry (set expire_after_write, PNX_FOREVER will do)",
                        cache->name);
    const pnx_status status = pnx__cache_put_how(cache, key, value, &how, err);
    return status == PNX_EALREADY
               ? pnx_fail(err, status, "cache %s: there is a value already", cache->name)
               : status;
}

pnx_status pnx__cache_put_if_absent(pnx_cache *cache, const void *key, const void *value,
                                    pnx_ref *present, const pnx_site *site, pnx_error *err)
{
    pnx_ref ref;
    const pnx_cache_put_options options = {.if_absent = true, .ret = present ? &ref : NULL};
    const pnx_status status = pnx__cache_put(cache, key, value, &options, site, err);
    if (present) {
        *present = (pnx_ref){NULL, NULL};
        if (status == PNX_EALREADY)
            *present = pnx_ref_move(&ref);
        else
            pnx_ref_drop(&ref);
    }
    return status;
}

pnx_status pnx_cache_put_many(pnx_cache *cache, const void *keys, const void *values, size_t count,
                              size_t *ret_done, pnx_error *err)
{
    pnx_status status = PNX_OK;
    size_t done = 0;
    for (; done < count; done++) {
        status = pnx_cache_put(cache, (const char *)keys + done * cache->config.key_size,
                               (const char *)values + done * cache->config.value_size, err);
        if (status)
            break;
    }
    if (ret_done)
        *ret_done = done;
    return status;
}

bool pnx__cache_remove_how(struct pnx_cache *cache, uint64_t hash, const void *key,
                           const pnx__entry *expected, pnx_cache_cause cause)
{
    pnx__leaving leaving;
    pnx__list_init(&leaving);
    pthread_mutex_lock(&cache->writer);
    pnx__entry *entry = pnx__cache_table_find(cache, hash, key);
    const bool found = entry != NULL && (expected == NULL || entry == expected);
    if (found)
        pnx__cache_leave(cache, entry, cause, &leaving);
    pnx__cache_unlock(cache, &leaving);
    return found;
}

bool pnx_cache_remove(pnx_cache *cache, const void *key)
{
    if (pnx__cache_forked(cache))
        return false;
    const uint64_t hash = pnx__key_hash(cache, key);
    pnx__flights_invalidate(cache, hash, key);
    return pnx__cache_remove_how(cache, hash, key, NULL, PNX_CACHE_REMOVED);
}

size_t pnx_cache_remove_many(pnx_cache *cache, const void *keys, size_t count)
{
    size_t removed = 0;
    for (size_t i = 0; i < count; i++)
        removed += pnx_cache_remove(cache, (const char *)keys + i * cache->config.key_size);
    return removed;
}

static size_t evict_to(pnx_cache *cache, uint64_t weight, pnx_cache_cause cause)
{
    pnx__leaving leaving;
    pnx__list_init(&leaving);
    pthread_mutex_lock(&cache->writer);
    pnx__readers_drain(cache, true);
    const size_t count = pnx__cache_evict_to(cache, weight, cause, &leaving);
    pnx__cache_unlock(cache, &leaving);
    return count;
}

size_t pnx_cache_clear(pnx_cache *cache)
{
    if (pnx__cache_forked(cache))
        return 0;
    pnx__flights_invalidate(cache, 0, NULL);
    return evict_to(cache, 0, PNX_CACHE_REMOVED);
}

size_t pnx_cache_shrink(pnx_cache *cache, uint64_t weight)
{
    if (pnx__cache_forked(cache))
        return 0;
    const size_t count = evict_to(cache, weight, PNX_CACHE_SHRUNK);
    pnx__cache_reclaim(cache);
    return count;
}

pnx_status pnx_cache_resize(pnx_cache *cache, uint64_t capacity, pnx_error *err)
{
    if (capacity == 0)
        return pnx_fail(err, PNX_EINVAL, "cache %s: a capacity of 0", cache->name);
    if (pnx__cache_forked(cache))
        return forked(cache, err);
    pthread_mutex_lock(&cache->writer);
    if (cache->policy->ops->resize)
        cache->policy->ops->resize(cache->policy, capacity);
    else
        cache->policy->capacity = capacity;
    pthread_mutex_unlock(&cache->writer);
    (void)evict_to(cache, capacity, PNX_CACHE_SHRUNK);
    return PNX_OK;
}
