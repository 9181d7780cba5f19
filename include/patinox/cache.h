/* SPDX-License-Identifier: MIT */
/**
 * @file cache.h
 * A *cache* keeps things that are costly to get, within a bound, and gives back what it evicts: a
 * value is a resource of a kind, released by the registry's workers with priority, timeout and
 * retry. It cannot leak by construction: whatever leaves the cache, for whatever cause, is released
 * exactly once, and not before the last reader has let go of it.
 *
 *     pnx_cache *pages;
 *     pnx_cache_create(&(pnx_cache_config){.name = "pages", .kind = page_kind, .capacity = 10000,
 *                                          .load = read_page}, &pages, err);
 *     pnx_auto_ref page = pnx_cache_load(pages, &number, PNX_FOREVER, err);
 *     if (page.value) use(pnx_ref_get(&page, struct page *));
 *
 * Unless a function says otherwise it may be called from any thread. Callbacks run with no lock
 * held, but for `equal`. In a fork child a cache is of no use and does nothing: PNX_EFORKED, no
 * hits. What it promises, and how it works: docs/cache.md, src/patinox/cache/README.md.
 */
#ifndef PATINOX_CACHE_H
#define PATINOX_CACHE_H

#include <patinox/registry.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pnx_cache pnx_cache;

/* ---- configuration --------------------------------------------------------------------------- */

/** Which entry goes when there is no room. What each is good for: docs/cache-policies.md. */
typedef enum pnx_cache_policy {
    PNX_CACHE_ADAPTIVE = 0, /**< finds out while it runs which of several ways hits most */
    PNX_CACHE_LRU,
    PNX_CACHE_SLRU,
    PNX_CACHE_CLOCK,
    PNX_CACHE_SIEVE,
    PNX_CACHE_S3FIFO,
    PNX_CACHE_WTINYLFU,
    PNX_CACHE_FIFO,
    PNX_CACHE_POLICY_COUNT
} pnx_cache_policy;

/** "adaptive", "lru", "slru", "clock", "sieve", "s3-fifo", "w-tinylfu", "fifo". Never NULL. */
PNX_API const char *pnx_cache_policy_name(pnx_cache_policy policy);

/** Why an entry left the cache. */
typedef enum pnx_cache_cause {
    PNX_CACHE_EVICTED = 0, /**< there was no room */
    PNX_CACHE_EXPIRED,     /**< its time was over */
    PNX_CACHE_REPLACED,    /**< another value was put under its key */
    PNX_CACHE_REMOVED,     /**< it was asked for: remove, clear, compute */
    PNX_CACHE_SHRUNK,      /**< pnx_cache_shrink or a smaller capacity */
    PNX_CACHE_CLOSED,      /**< the cache was destroyed */
    PNX_CACHE_CAUSE_COUNT
} pnx_cache_cause;

/** "evicted", "expired", … Never NULL. */
PNX_API const char *pnx_cache_cause_name(pnx_cache_cause cause);

/** What an entry goes through, for pnx_cache_config.expire. */
typedef enum pnx_cache_moment { PNX_CACHE_WRITTEN = 0, PNX_CACHE_READ } pnx_cache_moment;

/**
 * What a load answers, besides its status. It writes `value`; on success that belongs to the cache.
 * `lifetime` (0: as configured) and `weight` (0: as `weigh` says) are for this entry.
 */
typedef struct pnx_cache_loaded {
    void *value; /**< value_size bytes to fill in */
    pnx_duration lifetime;
    uint32_t weight;
} pnx_cache_loaded;

/**
 * How a cache works. Zero in a field means its default (in brackets). Keys and values are bytes of
 * a fixed size that are copied: numbers, small structs, pointers. All callbacks get `context`.
 */
typedef struct pnx_cache_config {
    const char *name;       /**< in reports ["cache"]; copied */
    pnx_registry *registry; /**< releases, timers, refreshes [the default one, when it is needed] */
    const pnx_kind *kind;   /**< how values are given back [NULL: nothing is] */
    size_t key_size;        /**< 1 … 256 [8] */
    size_t value_size;      /**< 1 … PNX_VALUE_MAX [the kind's; 8] */
    uint64_t capacity;      /**< entries, or weight in all if there is `weigh`; at least 1 */
    pnx_cache_policy policy;
    /** [of the bytes] Needs not be well mixed. */
    uint64_t (*hash)(const void *key, void *context);
    /** [of the bytes] Runs with the cache's lock held, or with none: must call nothing of it. */
    bool (*equal)(const void *a, const void *b, void *context);
    /** For keys that point to something: replaces what is in `key` by a copy of the cache's own.
     *  Both or none. False: no memory. */
    bool (*key_copy)(void *key, void *context);
    void (*key_free)(void *key, void *context);
    /** [1 for each] An entry heavier than the capacity is evicted at once. 0 counts as 1. */
    uint32_t (*weigh)(const void *key, const void *value, void *context);

    pnx_duration expire_after_write;  /**< [never] */
    pnx_duration expire_after_access; /**< since the last read or write [never] */
    /** By function: how long from now, after `moment`; `left` is what it had; PNX_FOREVER: never.
     *  Reads ask it only if `expire_on_read`. [the two above] */
    pnx_duration (*expire)(const void *key, const void *value, pnx_cache_moment moment,
                           pnx_duration left, void *context);
    bool expire_on_read;
    /** A read of a value older than this starts a load of a new one in the background and answers
     *  the old one at once. Needs `load`. [never] */
    pnx_duration refresh_after_write;
    /** After it has expired an entry is still answered for so long, while a new one is loaded in
     * the background. Needs `load`. [0] */
    pnx_duration stale_for;
    /** Makes the value of a key that is not there: see pnx_cache_load. */
    pnx_status (*load)(const void *key, pnx_cache_loaded *ret, void *context, pnx_error *err);
    /** How long a failed load answers for further loads of its key [0: not at all] */
    pnx_duration error_lifetime;

    /** Told once of every entry that leaves, before its value is released, by the thread that made
     *  it leave. May use the cache. */
    void (*listener)(const void *key, const void *value, uint32_t weight, pnx_cache_cause cause,
                     void *context);
    void *context;

    /** Same calls in the same order, same evictions: what readers leave for the policy is applied
     * at once, under the lock, and nothing is random. For tests and simulations; hits are slower.
     * */
    bool deterministic;
} pnx_cache_config;

/** PNX_EINVAL (the message names the field), PNX_ENOMEM, PNX_EFAILED (no default registry). */
PNX_MUST_CHECK PNX_API pnx_status pnx_cache_create(const pnx_cache_config *config, pnx_cache **ret,
                                                   pnx_error *err);
/**
 * Ends a cache: everything in it leaves (cause: closed) and is released in the background; loads
 * that run are waited for. Nobody else may use it any more. PNX_EBUSY: that many references are
 * still held (the message counts them); nothing has happened. Destroy it before its registry is
 * shut down: a shutdown releases what the cache holds as leaked, under its readers. NULL is fine.
 */
PNX_API pnx_status pnx_cache_destroy(pnx_cache *cache, pnx_error *err);

/* ---- references ------------------------------------------------------------------------------ */

/**
 * A pinned value: it is not released before the reference is dropped, whatever becomes of its
 * entry. Zeroed: none. Belongs to one thread at a time; hand it on by value, as with pnx_ref_move.
 */
typedef struct pnx_ref {
    const void *value; /**< value_size bytes; NULL: none */
    void *pin;         /**< of the cache's own */
} pnx_ref;

/** Lets go. Never fails. Of an entry that has left the cache the last one to let go hands the value
 *  to the workers, which takes a lock for a moment. NULL and empty ones are fine. */
PNX_API void pnx_ref_drop(pnx_ref *ref);

static inline void pnx__ref_cleanup(pnx_ref *ref)
{
    if (ref->value)
        pnx_ref_drop(ref);
}

/** `pnx_auto_ref r = pnx_cache_get(cache, &key);` is dropped when it leaves scope. */
#define pnx_auto_ref __attribute__((cleanup(pnx__ref_cleanup))) pnx_ref

/** The value, as the type that was put in. There must be one. */
#define pnx_ref_get(ref, type) (*(type const *)(ref)->value)

/** Moves it on; the source is empty. */
static inline pnx_ref pnx_ref_move(pnx_ref *ref)
{
    pnx_ref moved = *ref;
    ref->value = NULL;
    ref->pin = NULL;
    return moved;
}

/* ---- reading --------------------------------------------------------------------------------- */

/** The value of `key`, or an empty reference. A hit takes no lock. */
PNX_API pnx_ref pnx_cache_get(pnx_cache *cache, const void *key);
/** The same without a trace: no statistics, no influence on eviction, expiry or refresh. */
PNX_API pnx_ref pnx_cache_peek(pnx_cache *cache, const void *key);
/** `count` keys, key_size bytes each, into `refs`. Returns how many hit. */
PNX_API size_t pnx_cache_get_many(pnx_cache *cache, const void *keys, size_t count, pnx_ref *refs);

/**
 * The value of `key`, loaded by config.load if it is not there. However many ask for one key, one
 * thread loads, in the call, with no lock held; the others wait for it and share its outcome,
 * errors too. Other keys are not held up. On failure the reference is empty and `err` says why:
 * what the load answered; PNX_EDEADLOCK: this thread is loading that key, or waits, over other
 * threads, for itself; PNX_ETIMEOUT: at `deadline` another thread was still loading (which goes
 * on). A key that is put while it is loaded keeps what was put. One that is removed meanwhile is
 * answered to those who asked before, but not kept; who asks later gets a load that began later.
 */
PNX_MUST_CHECK PNX_API pnx_ref pnx_cache_load(pnx_cache *cache, const void *key, pnx_time deadline,
                                              pnx_error *err);

/** Visits what is there; entries that come or go meanwhile may or may not be seen, none twice
 * unless it was replaced. Each is pinned while it is visited. Stops at false. Returns how many. */
PNX_API size_t pnx_cache_each(pnx_cache *cache,
                              bool (*visit)(const void *key, const void *value, void *context),
                              void *context);

/* ---- writing --------------------------------------------------------------------------------- */

/** For one put; zeroed: as configured. */
typedef struct pnx_cache_put_options {
    bool if_absent;        /**< PNX_EALREADY if there is a value already */
    pnx_duration lifetime; /**< until it expires [as configured]; PNX_FOREVER: never */
    uint32_t weight;       /**< [as `weigh` says] */
    pnx_ref *ret;          /**< gets the value that is there afterwards, pinned [not wanted] */
} pnx_cache_put_options;

/**
 * Puts `value` under `key`, replacing what is there. On PNX_OK the value belongs to the cache; on
 * any failure to the caller still. Never more than the capacity is in the cache when it returns.
 * PNX_ENOMEM, PNX_ELIMIT (the registry's resources_max), PNX_ESHUTDOWN, PNX_EFORKED.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx__cache_put(pnx_cache *cache, const void *key,
                                                 const void *value,
                                                 const pnx_cache_put_options *options,
                                                 const pnx_site *site, pnx_error *err);
#define pnx_cache_put(cache, key, value, err)                                                      \
    pnx__cache_put((cache), (key), (value), NULL, PNX_HERE, (err))
#define pnx_cache_put_with(cache, key, value, options, err)                                        \
    pnx__cache_put((cache), (key), (value), (options), PNX_HERE, (err))
/** PNX_EALREADY: there is a value already; `*present` (may be NULL) gets it, and `value` stays
 * yours. */
PNX_MUST_CHECK PNX_API pnx_status pnx__cache_put_if_absent(pnx_cache *cache, const void *key,
                                                           const void *value, pnx_ref *present,
                                                           const pnx_site *site, pnx_error *err);
#define pnx_cache_put_if_absent(cache, key, value, present, err)                                   \
    pnx__cache_put_if_absent((cache), (key), (value), (present), PNX_HERE, (err))
/** `count` pairs. Stops at the first failure; `*ret_done` (may be NULL): how many were put. */
PNX_MUST_CHECK PNX_API pnx_status pnx_cache_put_many(pnx_cache *cache, const void *keys,
                                                     const void *values, size_t count,
                                                     size_t *ret_done, pnx_error *err);

/** What becomes of an entry after pnx_cache_compute. */
typedef enum pnx_cache_decision {
    PNX_CACHE_KEEP = 0, /**< as it is */
    PNX_CACHE_STORE,    /**< `value` was filled in and belongs to the cache now */
    PNX_CACHE_REMOVE,
} pnx_cache_decision;
/** `old` is NULL when there is none. */
typedef pnx_cache_decision (*pnx_cache_compute_fn)(const void *key, const void *old, void *value,
                                                   void *argument);
/**
 * Lets `compute` decide on the value of `key`, once, with no lock held; computes and loads of one
 * key run one after the other. A put or remove by another thread in between wins, and then it is
 * asked again. PNX_EDEADLOCK as with pnx_cache_load, PNX_ETIMEOUT, and the failures of a put (the
 * value that was computed is released then). `ret` (may be NULL) gets what is there afterwards.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_cache_compute(pnx_cache *cache, const void *key,
                                                    pnx_cache_compute_fn compute, void *argument,
                                                    pnx_time deadline, pnx_ref *ret,
                                                    pnx_error *err);

/** True: there was one, and it has left. */
PNX_API bool pnx_cache_remove(pnx_cache *cache, const void *key);
/** Returns how many were there. */
PNX_API size_t pnx_cache_remove_many(pnx_cache *cache, const void *keys, size_t count);
/** Removes everything. Returns how many. */
PNX_API size_t pnx_cache_clear(pnx_cache *cache);

/* ---- bounds, time, statistics ---------------------------------------------------------------- */

/** Evicts until at most `weight` is held; the capacity stays. For memory pressure. Returns how many
 *  left; their releases are told the reason PNX_MEMORY_PRESSURE. */
PNX_API size_t pnx_cache_shrink(pnx_cache *cache, uint64_t weight);
/** Another capacity, from now on. PNX_EINVAL (0). */
PNX_MUST_CHECK PNX_API pnx_status pnx_cache_resize(pnx_cache *cache, uint64_t capacity,
                                                   pnx_error *err);
/** Does now what else happens later: expires what is due, applies hits, releases what has left and
 *  is not pinned. */
PNX_API void pnx_cache_drain(pnx_cache *cache);

typedef struct pnx_cache_stats {
    uint64_t entries, weight, capacity;
    uint64_t hits, misses;
    uint64_t puts;
    uint64_t loads, load_failures, load_ns, load_waits; /**< waits: loads that shared another's */
    uint64_t refreshes;
    uint64_t left[PNX_CACHE_CAUSE_COUNT]; /**< entries that left, by cause */
    uint64_t unreleased;    /**< have left, and wait for their readers or for the next reclaim */
    uint64_t memory_bytes;  /**< all that the cache itself takes: entries, table, policy, readers */
    const char *policy;     /**< its name */
    const char *policy_now; /**< adaptive: what it does at present; else the name */
} pnx_cache_stats;

/** A snapshot. entries, weight and causes are of one moment; hits and misses are counted by each
 *  thread for itself and summed here. */
PNX_API void pnx_cache_stats_get(pnx_cache *cache, pnx_cache_stats *ret);

#ifdef __cplusplus
}
#endif

#endif
