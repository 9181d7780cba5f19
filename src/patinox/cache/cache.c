/* SPDX-License-Identifier: MIT */
/* Making, ending and counting caches. */
#include "cache/internal.h"

static const struct pnx__policy_ops *const policies[PNX_CACHE_POLICY_COUNT] = {
    [PNX_CACHE_ADAPTIVE] = &pnx__policy_adaptive, [PNX_CACHE_LRU] = &pnx__policy_lru,
    [PNX_CACHE_SLRU] = &pnx__policy_slru,         [PNX_CACHE_CLOCK] = &pnx__policy_clock,
    [PNX_CACHE_SIEVE] = &pnx__policy_sieve,       [PNX_CACHE_S3FIFO] = &pnx__policy_s3fifo,
    [PNX_CACHE_WTINYLFU] = &pnx__policy_wtinylfu, [PNX_CACHE_FIFO] = &pnx__policy_fifo,
};

const char *pnx_cache_policy_name(pnx_cache_policy policy)
{
    return (unsigned)policy < PNX_CACHE_POLICY_COUNT ? policies[policy]->name : "unknown policy";
}

const char *pnx_cache_cause_name(pnx_cache_cause cause)
{
    static const char *const names[PNX_CACHE_CAUSE_COUNT] = {
        [PNX_CACHE_EVICTED] = "evicted",   [PNX_CACHE_EXPIRED] = "expired",
        [PNX_CACHE_REPLACED] = "replaced", [PNX_CACHE_REMOVED] = "removed",
        [PNX_CACHE_SHRUNK] = "shrunk",     [PNX_CACHE_CLOSED] = "closed",
    };
    return (unsigned)cause < PNX_CACHE_CAUSE_COUNT ? names[cause] : "unknown cause";
}

/* ---- configuration --------------------------------------------------------------------------- */

static bool needs_time(const pnx_cache_config *config)
{
    return config->expire_after_write || config->expire_after_access || config->expire ||
           config->refresh_after_write;
}

static pnx_status complete(pnx_cache_config *config, pnx_error *err)
{
    const char *name = config->name = config->name ? config->name : "cache";
    const char *wrong = NULL;
    if (config->key_size == 0)
        config->key_size = 8;
    if (config->value_size == 0)
        config->value_size = config->kind ? config->kind->value_size : 8;
    if (config->capacity == 0)
        wrong = "capacity is 0; say how many entries, or how much weight, it may hold";
    else if (config->key_size > 256)
        wrong = "key_size is above 256; let the key be a pointer, with hash and equal";
    else if (config->value_size > PNX_VALUE_MAX)
        wrong = "value_size is above PNX_VALUE_MAX; let the value be a pointer";
    else if (config->kind && config->kind->value_size != config->value_size)
        wrong = "value_size is not that of the kind";
    else if ((unsigned)config->policy >= PNX_CACHE_POLICY_COUNT)
        wrong = "policy is none of enum pnx_cache_policy";
    else if (!config->key_copy != !config->key_free)
        wrong = "key_copy and key_free go together";
    else if (config->expire_after_write < 0 || config->expire_after_access < 0 ||
             config->refresh_after_write < 0 || config->stale_for < 0 || config->error_lifetime < 0)
        wrong = "a span of time is below 0";
    else if ((config->refresh_after_write || config->stale_for) && !config->load)
        wrong = "refresh_after_write and stale_for need load";
    else if (config->stale_for && !needs_time(config))
        wrong = "stale_for needs an expiry";
    return wrong ? pnx_fail(err, PNX_EINVAL, "cache %s: %s", name, wrong) : PNX_OK;
}

/* ---- making ---------------------------------------------------------------------------------- */

/* Tables up to so many entries are made in full at the start: pages that are not touched cost
 * nothing, and the table never has to grow. */
#define TABLE_AT_ONCE (UINT64_C(1) << 22)
#define TABLE_FIRST 1024

static size_t up_to(size_t size, size_t multiple)
{
    return (size + multiple - 1) / multiple * multiple;
}

static void lay_out(struct pnx_cache *cache)
{
    const pnx_cache_config *config = &cache->config;
    size_t end = offsetof(pnx__entry, value) + up_to(config->value_size, 8);
    cache->key_at = end;
    end = up_to(end + config->key_size, 8);
    cache->timing_at = end;
    if (cache->timed)
        end += sizeof(pnx__timing);
    cache->entry_bytes = end;
}

static void free_cache(struct pnx_cache *cache)
{
    pnx__readers_done(cache);
    pnx__cache_table_done(cache);
    pnx__slabs_done(cache);
    if (cache->policy)
        cache->policy->ops->free(cache->policy);
    pnx__free(cache->wheel);
    pthread_mutex_destroy(&cache->writer);
    pthread_mutex_destroy(&cache->reclaim);
    pthread_mutex_destroy(&cache->flights_lock);
    pthread_mutex_destroy(&cache->ticker_lock);
    pthread_cond_destroy(&cache->flights_changed);
    pthread_cond_destroy(&cache->ticker_idle);
    void *memory;
    memcpy(&memory, (char *)cache - sizeof memory, sizeof memory);
    pnx__free(memory);
}

/* Zeroed, on a cache line; what was allocated lies right before it. */
static struct pnx_cache *allocate(void)
{
    char *memory = pnx__alloc(sizeof(struct pnx_cache) + 2 * PNX__CACHE_LINE);
    if (!memory)
        return NULL;
    char *aligned = (char *)up_to((uintptr_t)memory + sizeof memory, PNX__CACHE_LINE);
    memcpy(aligned - sizeof memory, &memory, sizeof memory);
    return (struct pnx_cache *)(void *)aligned;
}

static void locks_make(struct pnx_cache *cache)
{
    pthread_mutexattr_t spins;
    pthread_condattr_t monotonic;
    pthread_mutexattr_init(&spins);
    /* What it guards takes well below a microsecond, mostly. */
    pthread_mutexattr_settype(&spins, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&cache->writer, &spins);
    pthread_mutexattr_destroy(&spins);
    pthread_mutex_init(&cache->reclaim, NULL);
    pthread_mutex_init(&cache->flights_lock, NULL);
    pthread_mutex_init(&cache->ticker_lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&cache->flights_changed, &monotonic);
    pthread_cond_init(&cache->ticker_idle, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static bool parts_make(struct pnx_cache *cache)
{
    const pnx_cache_config *config = &cache->config;
    const uint64_t entries = config->weigh ? 0 : config->capacity;
    pnx__table *table =
        pnx__table_new(entries && entries <= TABLE_AT_ONCE ? entries + 1 : TABLE_FIRST);
    if (!table)
        return false;
    cache->table_room = (table->mask + 1) / 7 * 5 + 1;
    cache->table_room = entries && entries <= TABLE_AT_ONCE ? UINT64_MAX : cache->table_room;
    cache->table_bytes = table->bytes;
    atomic_store_explicit(&cache->table, table, memory_order_release);
    cache->policy = policies[config->policy]->make(config->capacity, entries);
    if (!cache->policy)
        return false;
    cache->marks_max = cache->policy->marks_max;
    return !cache->timed || pnx__cache_wheel_make(cache);
}

pnx_status pnx_cache_create(const pnx_cache_config *config, pnx_cache **ret, pnx_error *err)
{
    pnx_cache_config completed = *config;
    const pnx_status status = complete(&completed, err);
    if (status)
        return status;
    if (!completed.registry && (completed.kind || needs_time(&completed))) {
        completed.registry = pnx_registry_default();
        if (!completed.registry)
            return pnx_fail(err, PNX_EFAILED, "cache %s: no default registry; give one",
                            completed.name);
    }
    struct pnx_cache *cache = allocate();
    if (!cache)
        return pnx_fail(err, PNX_ENOMEM, "cache %s: no memory", completed.name);
    cache->config = completed;
    snprintf(cache->name, sizeof cache->name, "%s", completed.name);
    cache->config.name = cache->name;
    cache->timed = needs_time(&completed);
    cache->word_keys = completed.key_size == 8 && !completed.hash && !completed.equal;
    cache->seed = completed.deterministic ? 0 : pnx__random64();
    cache->asymmetric = pnx__readers_asymmetric();
    pnx__fork_init();
    cache->fork_epoch = pnx__fork_epoch();
    atomic_store_explicit(&cache->ticker_at, PNX_FOREVER, memory_order_relaxed);
    pnx__list_init(&cache->free);
    pnx__list_init(&cache->retired);
    pnx__list_init(&cache->held);
    lay_out(cache);
    locks_make(cache);
    if (!parts_make(cache)) {
        free_cache(cache);
        return pnx_fail(err, PNX_ENOMEM, "cache %s: no memory", completed.name);
    }
    pnx__caches_add(cache);
    *ret = cache;
    return PNX_OK;
}

/* ---- ending ---------------------------------------------------------------------------------- */

static uint64_t references(struct pnx_cache *cache)
{
    uint64_t held = 0;
    pnx__reader *reader = atomic_load_explicit(&cache->readers, memory_order_acquire);
    for (; reader; reader = atomic_load_explicit(&reader->next, memory_order_acquire))
        for (unsigned i = 0; i < PNX__PINS; i++)
            held += atomic_load_explicit(&reader->pins[i], memory_order_acquire) != NULL;
    /* Counted ones of entries that are still in the cache are found when they leave. */
    return held;
}

pnx_status pnx_cache_destroy(pnx_cache *cache, pnx_error *err)
{
    pnx__leaving leaving;
    if (!cache)
        return PNX_OK;
    if (pnx__cache_forked(cache))
        return PNX_OK; /* what it holds is the parent's; its locks may be in any state */
    const uint64_t held = references(cache);
    if (held > 0)
        return pnx_fail(err, PNX_EBUSY, "cache %s: %llu references are still held", cache->name,
                        (unsigned long long)held);
    pnx__flights_done(cache);
    pnx__ticker_done(cache);
    pnx__list_init(&leaving);
    pthread_mutex_lock(&cache->writer);
    (void)pnx__cache_evict_to(cache, 0, PNX_CACHE_CLOSED, &leaving);
    pnx__cache_unlock(cache, &leaving);
    pnx__cache_reclaim(cache);
    pthread_mutex_lock(&cache->writer);
    const uint64_t left = atomic_load_explicit(&cache->unreleased, memory_order_relaxed);
    pthread_mutex_unlock(&cache->writer);
    if (left > 0)
        return pnx_fail(err, PNX_EBUSY,
                        "cache %s is empty, but %llu references are still held; drop them and "
                        "destroy it again",
                        cache->name, (unsigned long long)left);
    pnx__caches_remove(cache);
    free_cache(cache);
    return PNX_OK;
}

/* ---- counting -------------------------------------------------------------------------------- */

void pnx_cache_stats_get(pnx_cache *cache, pnx_cache_stats *ret)
{
    *ret = (pnx_cache_stats){0};
    ret->policy = ret->policy_now = cache->policy->ops->name;
    if (pnx__cache_forked(cache))
        return;
    pthread_mutex_lock(&cache->writer);
    ret->entries = cache->policy->count;
    ret->weight = cache->policy->weight;
    ret->capacity = cache->policy->capacity;
    ret->puts = cache->puts;
    memcpy(ret->left, cache->left, sizeof ret->left);
    ret->unreleased = atomic_load_explicit(&cache->unreleased, memory_order_relaxed);
    ret->memory_bytes = sizeof *cache + cache->table_bytes + cache->slab_count * PNX__SLAB_BYTES +
                        cache->reader_count * 2 * PNX__READER_ALIGN +
                        cache->policy->ops->memory(cache->policy) +
                        (cache->wheel ? sizeof *cache->wheel : 0);
    if (cache->policy->ops->describe)
        ret->policy_now = cache->policy->ops->describe(cache->policy);
    pthread_mutex_unlock(&cache->writer);
    pnx__reader *reader = atomic_load_explicit(&cache->readers, memory_order_acquire);
    for (; reader; reader = atomic_load_explicit(&reader->next, memory_order_acquire)) {
        /* Relaxed: pairs with count (access.c). */
        ret->hits += atomic_load_explicit(&reader->hits, memory_order_relaxed);
        ret->misses += atomic_load_explicit(&reader->misses, memory_order_relaxed);
    }
    pthread_mutex_lock(&cache->flights_lock);
    ret->loads = cache->loads;
    ret->load_failures = cache->load_failures;
    ret->load_ns = cache->load_ns;
    ret->load_waits = cache->load_waits;
    ret->refreshes = cache->refreshes;
    ret->memory_bytes += pnx__flights_memory(cache);
    pthread_mutex_unlock(&cache->flights_lock);
}
