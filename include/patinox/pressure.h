/* SPDX-License-Identifier: MIT */
/**
 * @file pressure.h
 * Memory is short: who can give some back does, before the kernel has to kill. The kernel says
 * when, by how long tasks had to wait for memory (pressure stall information, since Linux 4.20).
 *
 *     pnx_pressure *pressure;
 *     if (pnx_pressure_create(NULL, &pressure, err)) return err->code;
 *     if (pnx_pressure_shrink_cache(pressure, pages, NULL, NULL, err)) return err->code;
 *
 * Promises:
 *   - Nothing runs, and nothing wakes up, while memory is not short.
 *   - Subscribers are called one at a time, in the order in which they subscribed, with no lock
 *     held; at most once in each window and for each level.
 *   - After pnx_pressure_unsubscribe has returned the subscriber is not called, and does not run.
 */
#ifndef PATINOX_PRESSURE_H
#define PATINOX_PRESSURE_H

#include <patinox/cache.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pnx_pressure_level {
    PNX_PRESSURE_SOME = 0, /**< some tasks waited for memory, others got on */
    PNX_PRESSURE_FULL,     /**< all waited: nothing else got done meanwhile */
    PNX_PRESSURE_LEVEL_COUNT
} pnx_pressure_level;

/** "some", "full". Never NULL. */
PNX_API const char *pnx_pressure_level_name(pnx_pressure_level level);

/** Watches for one sort of pressure. For any number of threads. */
typedef struct pnx_pressure pnx_pressure;

/** All may be zero. The text is copied. */
typedef struct pnx_pressure_config {
    const char *source;  /**< a file of pressure stall information; NULL: memory.pressure of this
                                    process's cgroup (version 2), else /proc/pressure/memory */
    pnx_duration window; /**< 0: 1 s, or 2 s where only the privileged may have that; 500 ms to
                                    10 s. Without CAP_SYS_RESOURCE a multiple of 2 s */
    pnx_duration stalled_some; /**< within a window; 0: a tenth of it */
    pnx_duration stalled_full; /**< likewise; 0: a twentieth of it */
    bool manual;               /**< watch nothing: only pnx_pressure_tell tells. For tests, and
                                    programs that know by themselves */
} pnx_pressure_config;

/**
 * Begins to watch, with a thread of its own that sleeps until the kernel wakes it. `config` may be
 * NULL. PNX_EUNSUPPORTED: the kernel has no pressure stall information, or this user may not ask
 * for it; PNX_ENOTFOUND: no such `source`; PNX_EINVAL: the error names the field; PNX_ENOMEM,
 * PNX_EFAILED.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_pressure_create(const pnx_pressure_config *config,
                                                      pnx_pressure **ret, pnx_error *err);
/**
 * Ends it, and all subscriptions. PNX_EDEADLOCK: called by a subscriber. In a fork child, where its
 * thread is not, it only gives up the memory. NULL is fine.
 */
PNX_API pnx_status pnx_pressure_destroy(pnx_pressure *pressure, pnx_error *err);

/** The file that is watched; empty when it is told by hand only. */
PNX_API const char *pnx_pressure_source(const pnx_pressure *pressure);
/** How often `level` was told. */
PNX_API uint64_t pnx_pressure_count(const pnx_pressure *pressure, pnx_pressure_level level);
/** False: it is told by hand only, or the source has gone, as with its cgroup. */
PNX_API bool pnx_pressure_watches(const pnx_pressure *pressure);

/** Runs on the watching thread, where all signals are blocked, or inside pnx_pressure_tell. */
typedef void (*pnx_pressure_fn)(pnx_pressure_level level, void *context);
typedef struct pnx_pressure_subscription pnx_pressure_subscription;

/** From now on `fn` is told. `*ret` (may be NULL) ends with the pressure at the latest. PNX_ENOMEM,
 *  PNX_EFORKED. */
PNX_MUST_CHECK PNX_API pnx_status pnx_pressure_subscribe(pnx_pressure *pressure, pnx_pressure_fn fn,
                                                         void *context,
                                                         pnx_pressure_subscription **ret,
                                                         pnx_error *err);
/** Waits for a call that goes on, unless it is that call itself that unsubscribes. NULL is fine. */
PNX_API void pnx_pressure_unsubscribe(pnx_pressure_subscription *subscription);

/** What a cache keeps, in per cent of the weight that it has just then; 0: the default. */
typedef struct pnx_pressure_keep {
    unsigned some; /**< default 75 */
    unsigned full; /**< default 25; 100 keeps all */
} pnx_pressure_keep;

/**
 * From now on `cache` shrinks when memory is short (pnx_cache_shrink); its capacity stays, so that
 * it grows again. Unsubscribe before the cache is destroyed. `keep` may be NULL. PNX_EINVAL: more
 * than 100; PNX_ENOMEM, PNX_EFORKED.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_pressure_shrink_cache(pnx_pressure *pressure,
                                                            pnx_cache *cache,
                                                            const pnx_pressure_keep *keep,
                                                            pnx_pressure_subscription **ret,
                                                            pnx_error *err);

/** Tells all subscribers now, and returns when they have run. PNX_EDEADLOCK: called by one of them;
 *  PNX_EFORKED; PNX_EINVAL: no such level. */
PNX_API pnx_status pnx_pressure_tell(pnx_pressure *pressure, pnx_pressure_level level);

#ifdef __cplusplus
}
#endif

#endif
