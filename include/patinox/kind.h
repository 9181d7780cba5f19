/* SPDX-License-Identifier: MIT */
/**
 * @file kind.h
 * A *kind* says how one sort of thing is given back. It is a `static const` descriptor, usually
 * made by PNX_KIND (guard.h), which also makes the typed functions around it. A new sort of
 * resource is a new kind, in a file of its own, and nothing else changes.
 */
#ifndef PATINOX_KIND_H
#define PATINOX_KIND_H

#include <patinox/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The most bytes that the value of a resource may have: a pointer, a descriptor, three words. */
#define PNX_VALUE_MAX 24

/** Which release goes first. Zero is NORMAL so that a kind that says nothing is normal. */
typedef enum pnx_priority {
    PNX_NORMAL = 0,
    PNX_LOW = 1,
    PNX_HIGH = 2,
    PNX_CRITICAL = 3,
    PNX_PRIORITY_COUNT
} pnx_priority;

/** "low", "normal", "high", "critical". Never NULL. */
PNX_API const char *pnx_priority_name(pnx_priority priority);
/** 0 for low … 3 for critical: the order in which clean-up ranks them. */
PNX_API unsigned pnx_priority_rank(pnx_priority priority);

/** Why a release runs. */
typedef enum pnx_reason {
    PNX_SCOPE_END = 0,   /**< its guard or scope went away */
    PNX_EXPLICIT,        /**< somebody asked for it: close, release by id, of a batch, of a kind */
    PNX_SHUTDOWN,        /**< its registry shuts down */
    PNX_EXPIRY,          /**< its time was over */
    PNX_MEMORY_PRESSURE, /**< memory is short */
    PNX_CRASH,           /**< whoever held it is dead */
    PNX_REASON_COUNT
} pnx_reason;

/** "scope end", "explicit", … Never NULL. */
PNX_API const char *pnx_reason_name(pnx_reason reason);

/** Where a resource is in its life; see the table in src/patinox/registry/README.md. */
typedef enum pnx_state {
    PNX_FREE = 0,  /**< no resource: the id is stale */
    PNX_RESERVED,  /**< memory for its release is set aside; nothing is acquired yet */
    PNX_LIVE,      /**< held by its owner */
    PNX_QUEUED,    /**< given up, waiting for a worker */
    PNX_RUNNING,   /**< a release or fallback of it runs, or is pending elsewhere */
    PNX_WAITING,   /**< failed or late, waiting for its retry */
    PNX_DONE,      /**< given back */
    PNX_FAILED,    /**< every attempt and the fallback failed */
    PNX_ABANDONED, /**< did not finish in time and could not be retried */
    PNX_STATE_COUNT
} pnx_state;

/** "live", "queued", … Never NULL. */
PNX_API const char *pnx_state_name(pnx_state state);

/** The place in the source that reserved a resource. Static: made by PNX_HERE. */
typedef struct pnx_site {
    const char *file;
    const char *function;
    int line;
} pnx_site;

/** The stable address of a pnx_site for this very line. Use inside a function. */
#define PNX_HERE                                                                                   \
    (__extension__({                                                                               \
        static const pnx_site pnx__here = {__FILE__, __func__, __LINE__};                          \
        &pnx__here;                                                                                \
    }))

struct pnx_registry;

/** What a release is told. Valid during the call only. */
typedef struct pnx_release {
    struct pnx_registry *registry;
    pnx_id id;
    pnx_time deadline; /**< when it will be declared late; PNX_FOREVER: never */
    pnx_reason reason;
    unsigned attempt; /**< 1 for the first */
    bool fallback;    /**< this is the fallback, not the release */
} pnx_release;

/**
 * Gives the thing back. `value` points to a copy of what was armed. Runs with no lock held and
 * cancellation disabled, on a worker with all signals blocked, or inline (see the flags). Answers
 *   PNX_OK       given back; PNX_EALREADY counts as that too
 *   PNX_PENDING  it goes on elsewhere; pnx_complete() will tell (see registry.h)
 *   anything else: it failed; retried, and then replaced by the fallback, as the kind says, unless
 *                the recovery of that status is to fail (pnx_recovery_of).
 * One that is late (see `timeout`) may still run: so it is retried only if PNX_IDEMPOTENT, and its
 * fallback runs only if PNX_FALLBACK_CONCURRENT; else it is abandoned and told.
 * It may register, drop, schedule and query; it must not shut its own registry down or wait for
 * idle (PNX_EDEADLOCK). It must not longjmp out. If it ends its thread, the resource is accounted
 * for as failed and the worker replaced.
 */
typedef pnx_status (*pnx_release_fn)(void *value, const pnx_release *why);
/** Writes a short text about the thing for people, like snprintf(3): "fd 7", "conn to db:5432". */
typedef int (*pnx_describe_fn)(const void *value, char *buffer, size_t size);

/** What a fork means for resources that the parent holds. */
typedef enum pnx_on_fork {
    PNX_FORK_DISOWN = 0, /**< the child releases nothing of its parent's: drop does nothing */
    PNX_FORK_RELEASE,    /**< the child has its own copy (memory, descriptor): release inline */
} pnx_on_fork;

enum {
    /** The release may run again, even while an attempt that is late still runs. */
    PNX_IDEMPOTENT = 1u << 0,
    /**
     * The release takes microseconds, never blocks and takes no lock that a dropping thread might
     * hold: it may run inline, in the thread that closes, or that helps when the backlog is full.
     */
    PNX_QUICK = 1u << 1,
    /** The release may block for long: at most half of the workers run such kinds at a time. */
    PNX_BLOCKING = 1u << 2,
    /** The fallback may run while a late release still runs (e.g. shutdown(2) that unblocks it). */
    PNX_FALLBACK_CONCURRENT = 1u << 3,
    /**
     * It is work that somebody has the registry do, and nobody holds it: it is live only from
     * pnx_register to the request for its release. A shutdown that finds it there releases it like
     * all else, and tells of no leak.
     */
    PNX_UNHELD = 1u << 4,
};

/**
 * The fields are in the order in which C++ wants its designated initialisers. Zero always means
 * "the registry's default"; "no limit" is PNX_FOREVER or UINT_MAX.
 */
#ifdef __cplusplus
#define PNX__DEFAULT = {}
#else
#define PNX__DEFAULT
#endif
#define PNX__KIND_FIELDS                                                                           \
    const char *name PNX__DEFAULT; /* shown in reports; PNX_KIND fills it in */                    \
    pnx_priority priority PNX__DEFAULT;                                                            \
    unsigned flags PNX__DEFAULT;           /* PNX_IDEMPOTENT | PNX_QUICK | ... */                  \
    pnx_duration timeout PNX__DEFAULT;     /* for one attempt */                                   \
    unsigned retries PNX__DEFAULT;         /* attempts after the first */                          \
    pnx_duration retry_delay PNX__DEFAULT; /* before the first retry; doubles, with jitter */      \
    pnx_duration retry_delay_max PNX__DEFAULT;                                                     \
    unsigned max_concurrency PNX__DEFAULT; /* releases of this kind that run at a time */          \
    pnx_on_fork on_fork PNX__DEFAULT;                                                              \
    uint16_t value_size PNX__DEFAULT

/** The descriptor. All fields are read-only after the first use; it must outlive its registry. */
typedef struct pnx_kind {
    PNX__KIND_FIELDS;
    /* Filled in by PNX_KIND. To write a descriptor by hand set `release`, and `run_fallback` or
     * `run_describe` together with any non-null `fallback` or `describe`. */
    void (*fallback)(void) PNX__DEFAULT;
    void (*describe)(void) PNX__DEFAULT;
    pnx_release_fn release PNX__DEFAULT;
    pnx_release_fn run_fallback PNX__DEFAULT;
    pnx_describe_fn run_describe PNX__DEFAULT;
} pnx_kind;

#ifdef __cplusplus
}
#endif

#endif
