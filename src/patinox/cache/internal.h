/* SPDX-License-Identifier: MIT */
/*
 * What the files of this room share. README.md tells the whole story.
 *
 * An entry's state, written under the writer's lock:
 *
 *     FREE      on the free list
 *     LIVE      in the table and in the policy
 *     LEAVING   in neither; the listener has not returned yet
 *     RETIRED   waits for the next look at who pins what; then its value goes to the registry, and
 * it is FREE; or, when somebody pinned it,
 *     HELD      waits for whoever lets go last
 *
 * Locks, in this order: reclaim, writer; flights and ticker are taken alone. Callbacks run with
 * none held, but `equal`.
 */
#ifndef PNX_CACHE_INTERNAL_H
#define PNX_CACHE_INTERNAL_H

#include "base/fork.h"
#include "base/random.h"
#include "cache/policy.h"
#include "registry/resource.h"
#include <patinox/cache.h>
#include <string.h>

enum pnx__entry_state {
    PNX__ENTRY_FREE,
    PNX__ENTRY_LIVE,
    PNX__ENTRY_LEAVING,
    PNX__ENTRY_RETIRED,
    PNX__ENTRY_HELD,
};

/*
 * With a key and a value of 8 bytes each an entry is one cache line. Behind the header: the value,
 * the key, and, in caches with expiry or refresh, a pnx__timing.
 */
typedef struct pnx__entry {
    pnx__node node;
    _Atomic uint32_t pins; /* counted ones, besides those in the readers' slots */
    uint32_t generation;   /* of the slot */
    pnx__slot *slot;       /* the value as a resource; NULL: it has no kind */
    uint64_t value[];
} pnx__entry;

typedef struct pnx__timing {
    pnx__list link;              /* of the wheel; writer's lock */
    _Atomic int64_t expires;     /* readers may move it */
    _Atomic int64_t stale_until; /* past this it is not answered at all; >= expires */
    _Atomic int64_t refresh_at;  /* PNX_FOREVER: never, or it is on its way */
} pnx__timing;

/* ---- the table ------------------------------------------------------------------------------- */

/* A slot holds the upper 16 bits of the hash and the address of the entry, of which Linux gives
 * user space 47 bits unless asked for more. Seven slots and how many entries went further because
 * it was full make one line, as in F14 (Bronson and Shi, 2019). */
#define PNX__BUCKET_SLOTS 7
typedef struct pnx__bucket {
    _Atomic uint64_t slots[PNX__BUCKET_SLOTS];
    _Atomic uint32_t overflow;
    uint32_t unused;
} pnx__bucket;

typedef struct pnx__table {
    uint64_t mask;
    size_t bytes;
    struct pnx__table
        *older; /* tables are never unmapped before the cache is: readers may be in them */
    pnx__bucket *buckets;
} pnx__table;

/* ---- readers --------------------------------------------------------------------------------- */

/* References that a thread may hold at a time without an atomic addition. */
#define PNX__PINS 8
/* Hits noted for the policy; more are lost until a writer has looked. 64: half as many cost 0.1
 * points of hit ratio in one thread on oltp and sprite with LRU, twice as many gained nothing. */
#define PNX__NOTES 64
#define PNX__READER_ALIGN 1024

struct pnx__flight;

/* What one thread uses to read one cache: only that thread writes it, but for `tail`, which belongs
 * to the writer's lock, and pins that were handed to another thread. */
typedef struct pnx__reader {
    _Alignas(64) _Atomic(pnx__entry *) pins[PNX__PINS];
    _Alignas(64) _Atomic uint64_t hits;
    _Atomic uint64_t misses;
    _Atomic uint32_t head; /* of the notes: a ring with one producer and one consumer */
    _Atomic uint32_t tail;
    struct pnx_cache *cache;
    _Atomic(const void *) owner; /* names the thread; NULL: it has ended */
    _Atomic(struct pnx__reader *) next;
    struct pnx__flight *waiting; /* flights lock */
    void *memory;
    _Alignas(64) _Atomic(pnx__entry *) notes[PNX__NOTES];
} pnx__reader;
_Static_assert(sizeof(pnx__reader) <= PNX__READER_ALIGN, "a pin leads to its reader");

/* ---- slabs ----------------------------------------------------------------------------------- */

/* An entry leads to its cache by its address: entries lie in slabs that begin with one of these. */
#define PNX__SLAB_BYTES ((size_t)1 << 16)
typedef struct pnx__slab {
    struct pnx_cache *cache;
} pnx__slab;
#define PNX__SLAB_HEADER 64

typedef struct pnx__slabs {
    struct pnx__slabs *next;
    void *memory; /* what was mapped */
    size_t bytes;
} pnx__slabs;

/* ---- expiry ---------------------------------------------------------------------------------- */

#define PNX__CACHE_TICK_SHIFT 20 /* 1.05 ms */
#define PNX__CACHE_WHEEL_BITS 6
#define PNX__CACHE_WHEEL_SLOTS 64
#define PNX__CACHE_WHEEL_LEVELS 8
typedef struct pnx__cache_wheel {
    uint64_t now; /* in ticks: everything before it was looked at, or is in `overdue` */
    uint64_t occupied[PNX__CACHE_WHEEL_LEVELS];
    pnx__list overdue; /* taken out of their slot, to be looked at next */
    pnx__list slots[PNX__CACHE_WHEEL_LEVELS][PNX__CACHE_WHEEL_SLOTS];
} pnx__cache_wheel;

/* ---- the cache ------------------------------------------------------------------------------- */

struct pnx_cache {
    /* Read by every operation, written never or hardly ever. */
    pnx_cache_config config;
    uint64_t serial; /* of this process; tells caches apart that lie at the same address */
    uint32_t fork_epoch;
    bool asymmetric; /* readers need no fence: writers use membarrier(2) */
    bool timed, word_keys;
    uint8_t marks_max;
    uint64_t seed;
    size_t entry_bytes, key_at, timing_at;
    pnx__policy *policy;
    _Atomic(pnx__table *) table;
    _Atomic(pnx__reader *) readers;
    char name[32];

    _Alignas(64) pthread_mutex_t writer;
    uint64_t table_used, table_room; /* entries; it grows at `room` */
    uint64_t table_bytes;
    pnx__list free;               /* entries */
    char *carve, *carve_end;      /* the slab that is being cut up */
    char *chunk_next, *chunk_end; /* slabs that are mapped and not in use yet */
    pnx__slabs *chunks;
    uint64_t slab_count, reader_count;
    pnx__list retired;
    pnx__list held;
    uint64_t retired_count;
    uint64_t puts, left[PNX_CACHE_CAUSE_COUNT];
    pnx__cache_wheel *wheel;     /* NULL: not timed */
    _Atomic uint64_t unreleased; /* LEAVING and RETIRED entries */

    pthread_mutex_t reclaim;

    pthread_mutex_t flights_lock;
    pthread_cond_t flights_changed;
    struct pnx__flight *flights[64];                /* by hash */
    struct pnx__flight *failed_first, *failed_last; /* kept errors, oldest first */
    struct pnx__flight *taken; /* refreshes that a load was faster than: their jobs are still due */
    unsigned failed_count;
    unsigned flights_running, refreshing; /* refreshing: jobs that are not over */
    _Atomic uint32_t flight_count;
    uint64_t loads, load_failures, load_ns, load_waits, refreshes; /* flights lock */
    bool closing;

    pthread_mutex_t ticker_lock;
    pthread_cond_t ticker_idle;
    pnx_id ticker;
    _Atomic int64_t ticker_at; /* PNX_FOREVER: not armed; ticker lock to write */
    unsigned ticking;
    bool ticker_closed;
    pnx__list node; /* of the process's caches */
};

static inline pnx__entry *pnx__entry_of(pnx__node *node)
{
    return (pnx__entry *)node; /* its first member */
}
static inline pnx__entry *pnx__entry_of_value(const void *value)
{
    return (pnx__entry *)((uintptr_t)value - offsetof(pnx__entry, value));
}
static inline void *pnx__entry_key(const struct pnx_cache *cache, pnx__entry *entry)
{
    return (char *)entry + cache->key_at;
}
static inline pnx__timing *pnx__entry_timing(const struct pnx_cache *cache, pnx__entry *entry)
{
    return (pnx__timing *)(void *)((char *)entry + cache->timing_at);
}
static inline struct pnx_cache *pnx__cache_of(const pnx__entry *entry)
{
    return ((pnx__slab *)((uintptr_t)entry & ~(PNX__SLAB_BYTES - 1)))->cache;
}
/* Relaxed unless said otherwise by the caller: under the writer's lock, or a hint. */
static inline uint8_t pnx__entry_state(const pnx__entry *entry)
{
    return atomic_load_explicit(&entry->node.state, memory_order_relaxed);
}
static inline bool pnx__cache_forked(const struct pnx_cache *cache)
{
    return PNX_UNLIKELY(pnx__fork_epoch() != cache->fork_epoch);
}
static inline pnx_time pnx__cache_now(const struct pnx_cache *cache)
{
    return cache->config.registry ? pnx__tick_time(cache->config.registry) : pnx__coarse();
}

/* ---- key.c ----------------------------------------------------------------------------------- */

uint64_t pnx__key_hash_slow(const struct pnx_cache *cache, const void *key);
static inline uint64_t pnx__key_hash(const struct pnx_cache *cache, const void *key)
{
    if (PNX_LIKELY(cache->word_keys)) {
        uint64_t word;
        memcpy(&word, key, sizeof word);
        return pnx__mix64(word ^ cache->seed);
    }
    return pnx__key_hash_slow(cache, key);
}
bool pnx__key_equal_slow(const struct pnx_cache *cache, const void *a, const void *b);
static inline bool pnx__key_equal(const struct pnx_cache *cache, const void *a, const void *b)
{
    if (PNX_LIKELY(cache->word_keys)) {
        uint64_t x, y;
        memcpy(&x, a, sizeof x);
        memcpy(&y, b, sizeof y);
        return x == y;
    }
    return pnx__key_equal_slow(cache, a, b);
}

/* ---- table.c: all with the writer's lock held ------------------------------------------------ */

PNX_MUST_CHECK pnx__table *pnx__table_new(uint64_t entries);
void pnx__cache_table_done(struct pnx_cache *cache);
/* Room for one more. False: no memory. */
PNX_MUST_CHECK bool pnx__cache_table_reserve(struct pnx_cache *cache);
/* There must be room. */
void pnx__cache_table_insert(struct pnx_cache *cache, pnx__entry *entry);
void pnx__cache_table_remove(struct pnx_cache *cache, pnx__entry *entry);
void pnx__cache_table_replace(struct pnx_cache *cache, pnx__entry *old, pnx__entry *entry);
pnx__entry *pnx__cache_table_find(struct pnx_cache *cache, uint64_t hash, const void *key);
static inline uint64_t pnx__table_word(const pnx__entry *entry)
{
    return (entry->node.hash >> 48 << 48) | (uint64_t)(uintptr_t)entry;
}
#define PNX__TABLE_ADDRESS ((UINT64_C(1) << 48) - 1)

/* ---- entry.c: memory; writer's lock held ----------------------------------------------------- */

pnx__entry *pnx__entry_new(struct pnx_cache *cache);
void pnx__entry_free(struct pnx_cache *cache, pnx__entry *entry);
void pnx__slabs_done(struct pnx_cache *cache);

/* ---- reader.c -------------------------------------------------------------------------------- */

typedef struct pnx__mine {
    uint64_t serial;
    pnx__reader *reader;
} pnx__mine;
#define PNX__MINE 4
extern _Thread_local pnx__mine pnx__readers_mine[PNX__MINE];

/* NULL: no memory; the read is a miss then. */
pnx__reader *pnx__reader_find(struct pnx_cache *cache);
static inline pnx__reader *pnx__reader_get(struct pnx_cache *cache)
{
    const pnx__mine *mine = &pnx__readers_mine[cache->serial % PNX__MINE];
    return PNX_LIKELY(mine->serial == cache->serial) ? mine->reader : pnx__reader_find(cache);
}
/* A place in which this thread can pin an entry; NULL: all in use. */
static inline _Atomic(pnx__entry *) *pnx__reader_pin(pnx__reader *reader)
{
    for (unsigned i = 0; i < PNX__PINS; i++)
        /* Acquire: pairs with the release of a thread that the reference was handed to. */
        if (atomic_load_explicit(&reader->pins[i], memory_order_acquire) == NULL)
            return &reader->pins[i];
    return NULL;
}
/* Between the store of a pin and the look whether the entry is still there; pairs with
 * pnx__cache_barrier between the entry's leaving and the look at the pins (Michael, "Hazard
 * pointers", 2004; the asymmetry as in Folly and liburcu). */
static inline void pnx__reader_fence(const struct pnx_cache *cache)
{
    if (PNX_LIKELY(cache->asymmetric))
        atomic_signal_fence(memory_order_seq_cst);
    else
        atomic_thread_fence(memory_order_seq_cst);
}
/* Pins an entry that cannot leave meanwhile: writer's lock held, or pinned already. */
pnx_ref pnx__cache_pin(struct pnx_cache *cache, pnx__entry *entry);
/* A counted reference that was already counted. */
static inline pnx_ref pnx__ref_counted(pnx__entry *entry)
{
    return (pnx_ref){entry->value, (void *)((uintptr_t)entry | 1)};
}
void pnx__readers_done(struct pnx_cache *cache);
bool pnx__readers_asymmetric(void);
/* After it, every reader sees what was written before, or its pin is seen here. */
void pnx__cache_barrier(struct pnx_cache *cache);
void pnx__caches_add(struct pnx_cache *cache);
void pnx__caches_remove(struct pnx_cache *cache);
/* Hands the readers' notes to the policy; writer's lock held. */
void pnx__readers_drain(struct pnx_cache *cache, bool all);

/* ---- access.c -------------------------------------------------------------------------------- */

pnx_ref pnx__cache_find(struct pnx_cache *cache, pnx__reader *reader, uint64_t hash,
                        const void *key);

/* ---- write.c --------------------------------------------------------------------------------- */

/* How a put differs; zeroed: it replaces. */
typedef struct pnx__put {
    const pnx_site *site;
    bool if_absent;
    bool expects; /* only if the entry under the key is `expected`; NULL: none */
    bool or_none; /* or if there is none any more */
    pnx__entry *expected;
    pnx_duration lifetime;
    uint32_t weight;
    pnx_ref *ret;
    /* True: the key was removed since the value was read: `ret` gets it, the cache does not. */
    const _Atomic bool *invalidated;
} pnx__put;
/* PNX_EALREADY: present, or not what was expected. What has expired is neither. */
pnx_status pnx__cache_put_how(struct pnx_cache *cache, const void *key, const void *value,
                              const pnx__put *how, pnx_error *err);
/* Gives a value back that never got into the cache. */
void pnx__cache_discard(struct pnx_cache *cache, const void *value);
/* True: the entry under the key left. With `expected` not NULL: only that one. */
bool pnx__cache_remove_how(struct pnx_cache *cache, uint64_t hash, const void *key,
                           const pnx__entry *expected, pnx_cache_cause cause);

/* ---- reclaim.c: how entries leave ------------------------------------------------------------ */

/* Entries that have left, on their way: filled under the writer's lock, ended without. */
typedef pnx__list pnx__leaving;
/* Takes a LIVE entry out of table, policy and wheel. */
void pnx__cache_leave(struct pnx_cache *cache, pnx__entry *entry, pnx_cache_cause cause,
                      pnx__leaving *leaving);
/* Of a policy that has taken it out already. */
void pnx__cache_left(struct pnx_cache *cache, pnx__entry *entry, pnx_cache_cause cause,
                     pnx__leaving *leaving);
/* Out of everything already, but in a policy's place: a replaced one. */
void pnx__cache_gone(struct pnx_cache *cache, pnx__entry *entry, pnx_cache_cause cause,
                     pnx__leaving *leaving);
/* Evicts until the weight is at most `weight`. */
size_t pnx__cache_evict_to(struct pnx_cache *cache, uint64_t weight, pnx_cache_cause cause,
                           pnx__leaving *leaving);
/* Unlocks the writer's lock, calls the listener, retires, and reclaims when there is enough. */
void pnx__cache_unlock(struct pnx_cache *cache, pnx__leaving *leaving);
/* Releases all that has retired and is not pinned. */
void pnx__cache_reclaim(struct pnx_cache *cache);
/* Somebody let go of an entry that had left. */
void pnx__cache_let_go(struct pnx_cache *cache, pnx__entry *entry);

/* ---- expire.c -------------------------------------------------------------------------------- */

PNX_MUST_CHECK bool pnx__cache_wheel_make(struct pnx_cache *cache);
/* How long a new entry lives, if the put does not say: asks the caller's function; no lock. */
pnx_duration pnx__timing_of(struct pnx_cache *cache, const void *key, const void *value,
                            pnx_duration lifetime);
/* Sets what a new entry's timing is. */
void pnx__timing_set(struct pnx_cache *cache, pnx__entry *entry, pnx_duration lifetime);
/* A read moved or may move when it expires; it is pinned. */
void pnx__timing_touch(struct pnx_cache *cache, pnx__entry *entry, pnx_time now);
/* Writer's lock held. */
void pnx__wheel_put(struct pnx_cache *cache, pnx__entry *entry);
void pnx__wheel_take(struct pnx_cache *cache, pnx__entry *entry);
/* What is due leaves; looks at `most` entries at most. True: there are more. Writer's lock held. */
bool pnx__wheel_advance(struct pnx_cache *cache, pnx_time now, unsigned most,
                        pnx__leaving *leaving);
/* When the wheel wants to be looked at; writer's lock held. */
pnx_time pnx__wheel_due(const struct pnx_cache *cache);
/* Sees to it that the cache looks after itself at `when`; no lock held. */
void pnx__ticker_by(struct pnx_cache *cache, pnx_time when);
void pnx__ticker_done(struct pnx_cache *cache);

/* ---- load.c ---------------------------------------------------------------------------------- */

/* A load of this key that runs shall not be kept. */
void pnx__flights_invalidate(struct pnx_cache *cache, uint64_t hash, const void *key);
/* Starts a load in the background, unless one runs. False: it could not be started. */
bool pnx__flight_refresh(struct pnx_cache *cache, uint64_t hash, const void *key);
void pnx__flights_done(struct pnx_cache *cache);
/* What they take. */
size_t pnx__flights_memory(struct pnx_cache *cache);

#endif
