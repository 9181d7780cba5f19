/* SPDX-License-Identifier: MIT */
/**
 * @file pool.h
 * A *pool* keeps resources of one kind alive and lends them: connections, sessions, buffers that
 * are expensive to make. What it holds is registered: every entry is a resource of the kind,
 * destroyed through the registry with the kind's priority, timeout, retries and fallback, and part
 * of the one account. A pool cannot leak.
 *
 *     static const pnx_pool_manager manager = {.create = connect_db, .validate = ping_db};
 *     pnx_pool_create(registry, &(pnx_pool_config){.name = "db", .kind = conn_kind,
 *                     .manager = &manager, .max = 10}, &pool, &err);
 *
 *     pnx_auto_lease c = pnx_lease_acquire(pool, deadline, &err);   // waits at most until deadline
 *     if (c.status) return c.status;                                // err says why, and who holds
 *     it query(pnx_lease_get(&c, struct conn *));
 *     // goes back at the end of the scope
 *
 * Promises (src/patinox/pool/README.md has the arguments):
 *   - Nobody who acquires runs the manager's code, and no lock is held while it runs: an acquire
 *     ends at its deadline whatever create and validate do.
 *   - There are never more than `max` things, those that are being created or destroyed included.
 *   - Waiters are served in order. Whoever comes later overtakes the one at the head at most
 *     `bypass_max` times; then what is returned is handed over directly.
 *   - With several tenants, each gets its weight's share of what is handed over while it waits.
 *   - No threads of its own, no polling: jobs run on the registry's workers, time is its timers.
 *
 * Times are points on the registry's clock. A pool belongs to one process: in a fork child acquire
 * answers PNX_EFORKED and returning a lease does nothing.
 */
#ifndef PATINOX_POOL_H
#define PATINOX_POOL_H

#include <patinox/guard.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pnx_pool pnx_pool;

/* ---- the manager ----------------------------------------------------------------------------- */

/** What a manager's function is told. */
typedef struct pnx_pool_call {
    pnx_pool *pool;
    void *context;     /**< pnx_pool_config.context */
    pnx_time deadline; /**< finish by then; who is later is told of, and costs a worker */
} pnx_pool_call;

/**
 * How things are made and looked after; what ends them is the kind. `value` points to the kind's
 * value_size bytes. All run on workers of the registry (but `broken`, `dirty`, and `reset` if
 * `reset_inline`), with no lock held. They may use the registry; they must not wait for a lease of
 * the same pool.
 */
typedef struct pnx_pool_manager {
    /** Makes one and writes it to `ret_value`. Anything but PNX_OK: nothing was made. */
    pnx_status (*create)(const pnx_pool_call *call, void *ret_value, pnx_error *err);
    /** Is it still good? Anything but PNX_OK: it is destroyed. NULL: it always is. */
    pnx_status (*validate)(const pnx_pool_call *call, void *value, pnx_error *err);
    /** Makes a returned one as new. Anything but PNX_OK: it is destroyed. NULL: nothing to do. */
    pnx_status (*reset)(const pnx_pool_call *call, void *value, pnx_error *err);
    /** Looks, in the returning thread and without waiting, whether it broke. NULL: it did not. */
    bool (*broken)(void *context, const void *value);
    /** Looks, as `broken` does, whether it must be reset. NULL: always. */
    bool (*dirty)(void *context, const void *value);
    bool reset_inline; /**< reset takes microseconds: runs in the thread that returns */
} pnx_pool_manager;

/* ---- what happens ---------------------------------------------------------------------------- */

typedef enum pnx_pool_event_type {
    PNX_POOL_CREATED = 0,
    PNX_POOL_CREATE_FAILED,
    PNX_POOL_CREATE_LATE,   /**< past its deadline, and still running: another may begin */
    PNX_POOL_CHECK_LATE,    /**< the same of a validate or a reset */
    PNX_POOL_INVALID,       /**< did not pass validation: destroyed */
    PNX_POOL_RESET_FAILED,  /**< destroyed */
    PNX_POOL_BROKEN,        /**< returned as broken: destroyed */
    PNX_POOL_RETIRED,       /**< its maximum lifetime is over */
    PNX_POOL_IDLE_TIMEOUT,  /**< was not needed for too long */
    PNX_POOL_EVICTED,       /**< by pnx_pool_evict, a resize, a drain */
    PNX_POOL_LOST,          /**< somebody else released the resource behind the pool's back */
    PNX_POOL_HELD_TOO_LONG, /**< a lease; `site` says where it was acquired, `took` how long ago */
    PNX_POOL_NESTED,        /**< all are held by threads that wait for one more */
    PNX_POOL_ACQUIRE_TIMEOUT,
    PNX_POOL_CIRCUIT_OPEN,      /**< creating fails again and again; it waits before the next try */
    PNX_POOL_CIRCUIT_HALF_OPEN, /**< one try */
    PNX_POOL_CIRCUIT_CLOSED,    /**< creating works again */
    PNX_POOL_EVENT_COUNT
} pnx_pool_event_type;

/** "created", "create failed", … Never NULL. */
PNX_API const char *pnx_pool_event_name(pnx_pool_event_type type);

/** One event. Valid during the call only. */
typedef struct pnx_pool_event {
    pnx_pool_event_type type;
    pnx_pool *pool;
    pnx_time time;
    pnx_id id;              /**< of the resource; PNX_ID_NONE where it is about none */
    const pnx_site *site;   /**< HELD_TOO_LONG, ACQUIRE_TIMEOUT, NESTED: where it was asked for */
    pnx_duration took;      /**< HELD_TOO_LONG, ACQUIRE_TIMEOUT; else -1 */
    int thread;             /**< HELD_TOO_LONG, ACQUIRE_TIMEOUT, NESTED: who asked; 0: not known */
    const pnx_error *error; /**< CREATE_FAILED, CREATE_LATE, INVALID, RESET_FAILED, CIRCUIT_OPEN */
} pnx_pool_event;

/** Runs where it happens, with no lock held; must not wait, and not destroy the pool. */
typedef void (*pnx_pool_observe_fn)(const pnx_pool_event *event, void *context);

/* ---- configuration --------------------------------------------------------------------------- */

/** Which idle one is lent next. */
typedef enum pnx_pool_order {
    PNX_POOL_LIFO = 0, /**< the one that this thread returned last, else the one that was returned
                            last (within a clock tick): few stay warm, the others time out */
    PNX_POOL_FIFO, /**< the one that was returned first: all stay warm. Costs a shared counter */
} pnx_pool_order;

/** When a thread waits for a lease, and all are held by threads that do the same. */
typedef enum pnx_pool_nested {
    PNX_POOL_NESTED_FAIL = 0, /**< PNX_EDEADLOCK for the one that closes the circle */
    PNX_POOL_NESTED_TELL,     /**< an event; it waits on */
} pnx_pool_nested;

#define PNX_POOL_TENANTS_MAX 16
#define PNX_POOL_SIZE_MAX 65536

/**
 * How a pool works. Zero in a field means its default (in brackets); PNX_FOREVER in a span means
 * never.
 */
typedef struct pnx_pool_config {
    const char *name;                /**< in reports and metrics ["pool"]; copied */
    const pnx_kind *kind;            /**< what it holds, and how that is given back; required */
    const pnx_pool_manager *manager; /**< required; must outlive the pool */
    void *context;                   /**< the manager's and the observer's */
    unsigned min;                    /**< kept even when idle [0] */
    unsigned max;                    /**< 1 … PNX_POOL_SIZE_MAX [10] */
    unsigned initial;                /**< made at once, in the background [min] */
    pnx_pool_order order;            /**< [LIFO] */
    pnx_pool_nested nested;          /**< [fail] */
    pnx_duration create_timeout;     /**< the deadline of one create [10 s] */
    pnx_duration validate_timeout;   /**< of one validate [2 s] */
    pnx_duration reset_timeout;      /**< of one reset [2 s] */
    pnx_duration validate_window;    /**< lent again within that span of its return, it is not
                                          validated [500 ms]; PNX_NS(1): always validated */
    pnx_duration keepalive;          /**< idle ones are validated this often, up to a tenth earlier
                                          by chance [2 min; at least 1 ms] */
    pnx_duration max_lifetime;    /**< then replaced once idle, up to a fortieth earlier [30 min] */
    pnx_duration idle_timeout;    /**< then destroyed, down to `min` [10 min] */
    pnx_duration held_too_long;   /**< leases held longer are told of [1 min] */
    unsigned create_concurrency;  /**< creates that run at a time [4] */
    pnx_duration backoff;         /**< after a failed create; doubles, with jitter [100 ms] */
    pnx_duration backoff_max;     /**< [10 s] */
    unsigned circuit_failures;    /**< in a row that open the circuit [3] */
    bool fail_fast;               /**< circuit open and nothing there: acquire fails at once */
    unsigned bypass_max;          /**< how often the waiter at the head may be overtaken [256];
                                          UINT_MAX: never, strictly first come, first served */
    unsigned priority_bypass_max; /**< how many higher priorities may go before a lower one that
                                          came first, of the same tenant [64] */
    unsigned tenants;             /**< 1 … PNX_POOL_TENANTS_MAX [1] */
    unsigned weights[PNX_POOL_TENANTS_MAX]; /**< of each tenant, up to 1000 [1] */
    pnx_pool_observe_fn observe;            /**< told of events [none] */
    uint64_t seed;                          /**< of the jitter [random] */
} pnx_pool_config;

/**
 * Makes a pool and begins to create its first things. The caller owns it, and ends it with
 * pnx_pool_close and pnx_pool_destroy, before the registry. PNX_EINVAL (the error names the field),
 * PNX_ENOMEM, PNX_ESHUTDOWN.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_pool_create(pnx_registry *registry,
                                                  const pnx_pool_config *config, pnx_pool **ret,
                                                  pnx_error *err);
PNX_API const char *pnx_pool_name(const pnx_pool *pool);

/* ---- leases ---------------------------------------------------------------------------------- */

struct pnx__pool_entry;

/**
 * A guard for one lent thing. Zeroed: none, and returning it does nothing. A copy is no second
 * owner: use pnx_lease_move. One thread at a time; another one may return it.
 */
typedef struct pnx_lease {
    pnx_pool *pool;
    struct pnx__pool_entry *entry;
    uint64_t word;
    pnx_time precise;  /**< when it was acquired, if that is measured */
    void *value;       /**< the kind's value_size bytes; see pnx_lease_get */
    pnx_status status; /**< how the acquire went */
    bool bad;
} pnx_lease;

/** How to acquire. */
typedef struct pnx_pool_want {
    pnx_time deadline;     /**< for waiting, creating and validating together; in the past: try */
    unsigned tenant;       /**< 0 … tenants - 1 */
    pnx_priority priority; /**< among the waiters of the same tenant */
} pnx_pool_want;

/**
 * Lends one: an idle one, else one that is returned or created in time.
 * PNX_ETIMEOUT, PNX_EBUSY (deadline in the past and none idle; on a manual registry under an
 * injected clock: only the passing of time would help), PNX_EDEADLOCK (see pnx_pool_nested),
 * PNX_ESHUTDOWN, PNX_EFAILED (fail_fast), PNX_EINVAL, PNX_EFORKED. The error says in what state the
 * pool is, who holds one longest and since when, and, as its cause, what the last create failed
 * with.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx__pool_acquire(pnx_pool *pool, pnx_time deadline,
                                                    const pnx_site *site, pnx_lease *ret,
                                                    pnx_error *err);
PNX_MUST_CHECK PNX_API pnx_status pnx__pool_acquire_as(pnx_pool *pool, const pnx_pool_want *want,
                                                       pnx_lease *ret, pnx_error *err,
                                                       const pnx_site *site);
#define pnx_pool_acquire(pool, deadline, ret, err)                                                 \
    pnx__pool_acquire((pool), (deadline), PNX_HERE, (ret), (err))
/** (pool, want, ret, err); the commas of a compound literal are welcome. */
#define pnx_pool_acquire_as(...) pnx__pool_acquire_as(__VA_ARGS__, PNX_HERE)
/** Only if one is idle and need not be validated: PNX_EBUSY. Never waits, overtakes nobody. */
#define pnx_pool_try(pool, ret, err) pnx__pool_acquire((pool), INT64_MIN, PNX_HERE, (ret), (err))

/** Returns it. NULL, zeroed and returned ones are fine. Never waits, never fails. */
PNX_API void pnx_lease_return(pnx_lease *lease);
/** It is broken: it will be destroyed when it is returned. */
static inline void pnx_lease_broken(pnx_lease *lease)
{
    lease->bad = true;
}
/** Takes it out of the pool for good: the caller holds the thing, and the pool may make another.
 *  `ret_value`: value_size bytes. PNX_EALREADY: it was released or returned before. */
PNX_API pnx_status pnx_lease_take(pnx_lease *lease, void *ret_value, pnx_error *err);
/** The id of the resource; PNX_ID_NONE when nothing is lent. */
PNX_API pnx_id pnx_lease_id(const pnx_lease *lease);
/** Hands it over, to another thread perhaps: it does not count as held by this one any more. */
PNX_API pnx_lease pnx_lease_move(pnx_lease *lease);

/** The thing itself, of the kind's type. */
#define pnx_lease_get(lease, TYPE) (*(TYPE *)(lease)->value)

/** `pnx_auto_lease c = pnx_lease_acquire(pool, deadline, &err);` is returned when it leaves scope.
 *  */
#define pnx_auto_lease __attribute__((cleanup(pnx_lease_return))) pnx_lease
#ifdef __cplusplus
#define PNX__NO_LEASE                                                                              \
    {                                                                                              \
    }
#else
#define PNX__NO_LEASE                                                                              \
    {                                                                                              \
        0                                                                                          \
    }
#endif
#define pnx_lease_acquire(pool, deadline, err)                                                     \
    (__extension__({                                                                               \
        pnx_lease pnx__lease = PNX__NO_LEASE;                                                      \
        pnx__lease.status = pnx__pool_acquire((pool), (deadline), PNX_HERE, &pnx__lease, (err));   \
        pnx__lease;                                                                                \
    }))

/* ---- waiting without blocking, and canceling ------------------------------------------------- */

struct pnx_pool_wait;
/** It is served, canceled, or its deadline is over: called once, with no lock held, by any thread;
 *  only if pnx_pool_begin answered PNX_PENDING. Afterwards the pool does not touch the wait. */
typedef void (*pnx_pool_ready_fn)(struct pnx_pool_wait *wait, void *context);

/** A place in the queue, in the caller's memory: it stays put from begin until it is ready. */
typedef struct pnx_pool_wait {
    pnx_pool_ready_fn ready; /**< set before begin; may be NULL */
    void *context;
    void *pnx__private[24];
} pnx_pool_wait;

/** Acquires at once (PNX_OK, and `ret`) or takes a place in the queue (PNX_PENDING). Errors as
 *  those of pnx_pool_acquire. `wait` is initialised here, but for `ready` and `context`. */
PNX_MUST_CHECK PNX_API pnx_status pnx__pool_begin(pnx_pool *pool, const pnx_pool_want *want,
                                                  pnx_pool_wait *wait, pnx_lease *ret,
                                                  pnx_error *err, const pnx_site *site);
/** (pool, want, wait, ret, err) */
#define pnx_pool_begin(...) pnx__pool_begin(__VA_ARGS__, PNX_HERE)
/** What became of it: PNX_PENDING, PNX_OK and `ret` (once; who never asks keeps the lease out), or
 *  why not. */
PNX_MUST_CHECK PNX_API pnx_status pnx_pool_poll(pnx_pool_wait *wait, pnx_lease *ret,
                                                pnx_error *err);
/** Blocks until it is ready. As pnx_pool_acquire, and PNX_ECANCELED. */
PNX_MUST_CHECK PNX_API pnx_status pnx_pool_await(pnx_pool_wait *wait, pnx_lease *ret,
                                                 pnx_error *err);
/** From any thread, while the wait is valid. PNX_OK: its place is given up; PNX_EALREADY: it was
 *  served, or is over, and poll says how. */
PNX_API pnx_status pnx_pool_cancel(pnx_pool_wait *wait);

/* ---- while it runs --------------------------------------------------------------------------- */

/** New bounds. What is too much is destroyed at once where idle, else when returned. PNX_EINVAL. */
PNX_MUST_CHECK PNX_API pnx_status pnx_pool_resize(pnx_pool *pool, unsigned min, unsigned max,
                                                  pnx_error *err);
/** Lends nothing from now on: who acquires waits. Leases go on. */
PNX_API void pnx_pool_suspend(pnx_pool *pool);
/** Ends a suspension, or a drain. */
PNX_API void pnx_pool_resume(pnx_pool *pool);
/** Replaces everything: idle ones at once, leased ones when they are returned. */
PNX_API void pnx_pool_evict(pnx_pool *pool);
/**
 * Suspends, destroys everything, and waits until nothing is left: for a server that restarts, say.
 * The pool stays suspended. PNX_ETIMEOUT: some leases are still out (the error says whose).
 */
PNX_API pnx_status pnx_pool_drain(pnx_pool *pool, pnx_time deadline, pnx_error *err);
/** Waits until at least `count` are idle or lent. PNX_ETIMEOUT; the cause is that of create. */
PNX_API pnx_status pnx_pool_warm(pnx_pool *pool, unsigned count, pnx_time deadline, pnx_error *err);

/* ---- looking at it --------------------------------------------------------------------------- */

typedef enum pnx_pool_circuit {
    PNX_CIRCUIT_CLOSED = 0,
    PNX_CIRCUIT_OPEN,
    PNX_CIRCUIT_HALF_OPEN,
} pnx_pool_circuit;

typedef struct pnx_pool_stats {
    /* now; size = idle + leased + creating + checking + closing */
    unsigned min, max, size, idle, leased, creating, closing;
    unsigned checking; /**< being validated, or reset */
    unsigned waiting;
    pnx_pool_circuit circuit;
    bool suspended, closed;
    /* since it was made */
    uint64_t acquired;
    uint64_t waited;       /**< of these, those that could not be served at once */
    uint64_t handed_over;  /**< of these, those that got theirs directly */
    uint64_t bypassed;     /**< acquired by overtaking waiters */
    uint64_t bypassed_max; /**< the most that one waiter at the head was overtaken */
    uint64_t timed_out, canceled;
    uint64_t created, create_failed, destroyed;
    uint64_t validated, invalid, reset_failed, broken, retired, idle_timed_out, evicted, lost;
    uint64_t held_too_long, nested;
    pnx_duration longest_held; /**< now; -1: none is leased */
    const pnx_site *longest_site;
    pnx_histogram wait_time; /**< of those that waited */
    pnx_histogram create_time;
} pnx_pool_stats;

/** A snapshot; takes the pool's lock for as long as a look at each entry takes. */
PNX_API void pnx_pool_get_stats(pnx_pool *pool, pnx_pool_stats *ret);
/** Failing: circuit open and nothing there. Degraded: circuit not closed, waiters that wait for
 *  more than a second, leases held too long, suspended. */
PNX_API pnx_health_level pnx_pool_get_health(pnx_pool *pool, pnx_health *ret);
/** patinox_pool_*{pool="…"} in the Prometheus text format; names in docs/pool.md. PNX_EFAILED. */
PNX_MUST_CHECK PNX_API pnx_status pnx_pool_write_prometheus(pnx_pool *pool, FILE *out,
                                                            pnx_error *err);

/** One lease that is out. */
typedef struct pnx_pool_holder {
    pnx_id id;
    const pnx_site *site;
    int thread; /**< gettid(2) of who acquired it; 0 when it was moved */
    pnx_duration held;
} pnx_pool_holder;

/** The leases that are out, at most `most` of them, the longest first. Returns how many there are.
 *  */
PNX_API size_t pnx_pool_holders(pnx_pool *pool, pnx_pool_holder *holders, size_t most);

/* ---- the end --------------------------------------------------------------------------------- */

#define PNX_POOL_HOLDERS_MAX 32
typedef struct pnx_pool_report {
    size_t held;         /**< leases that were not returned */
    size_t holder_count; /**< of these, in `holders`, the longest first */
    pnx_pool_holder holders[PNX_POOL_HOLDERS_MAX];
    unsigned creating, closing; /**< creates and releases that have not ended */
} pnx_pool_report;

/**
 * Closes it: waiters fail with PNX_ESHUTDOWN, idle ones are destroyed, leases are waited for until
 * `deadline`, and destroyed as they are returned, later too. PNX_OK: nothing is left. PNX_ETIMEOUT:
 * `ret` (may be NULL) says who holds what. May be called again.
 */
PNX_API pnx_status pnx_pool_close(pnx_pool *pool, pnx_time deadline, pnx_pool_report *ret,
                                  pnx_error *err);
/** Frees a pool that was closed. PNX_EBUSY: leases, creates or releases are still under way; it
 *  stays valid. NULL is fine. Must not be called while another thread uses the pool: one that
 *  returns its last lease does so until that call has come back. */
PNX_API pnx_status pnx_pool_destroy(pnx_pool *pool, pnx_error *err);

#ifdef __cplusplus
}
#endif

#endif
