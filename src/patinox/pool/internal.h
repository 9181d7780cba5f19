/* SPDX-License-Identifier: MIT */
/*
 * What the files of this room share. README.md tells the whole story; this is the map of it.
 *
 * The word of an entry
 * --------------------
 * One 64-bit word per entry decides who has it. Whoever moves it by compare and swap owns the
 * entry.
 *
 *     63                  16 15      9 8     7     0
 *     | serial              | -      |EVICT| state |       serial: how often it was lent
 *
 *     state      may go to          by
 *     EMPTY      CREATING           fill, under the lock
 *     CREATING   IDLE, LEASED       the create job that succeeded
 *                EMPTY              the one that failed
 *     IDLE       LEASED             an acquire, without the lock; a hand-over, under it
 *                CHECKING           keep-alive; a waiter that needs it, after the window
 *                CLOSING            lifetime, idle timeout, evict, resize, close; found released
 *     LEASED     IDLE               its return, without the lock
 *                LEASED|EVICT       lifetime, evict, resize, close: CLOSING once it is returned;
 *                                   the same for CREATING and CHECKING, once their job is done
 *                CHECKING           its return, when it must be reset
 *                CLOSING            its return, broken
 *                LEASED (serial+1)  its return, to the waiter at the head
 *     CHECKING   IDLE, LEASED       the job that succeeded
 *                CLOSING            the one that failed
 *     CLOSING    EMPTY              the hook of its resource: the release has ended
 *
 * IDLE and LEASED are left without the lock; everything else happens under it.
 *
 * Locks: one, the pool's. Under it nothing of the registry and no callback is called: what is to be
 * done is noted in a pnx__pool_after and done once the lock is gone.
 */
#ifndef PATINOX_POOL_INTERNAL_H
#define PATINOX_POOL_INTERNAL_H

#include "registry/internal.h"
#include <patinox/pool.h>

enum {
    PNX__POOL_EMPTY,
    PNX__POOL_CREATING,
    PNX__POOL_IDLE,
    PNX__POOL_LEASED,
    PNX__POOL_CHECKING,
    PNX__POOL_CLOSING,
    PNX__POOL_STATE_COUNT,
    PNX__POOL_STATE = 0xff,
    PNX__POOL_EVICT = 1 << 8,
    PNX__POOL_SERIAL_ONE = 1 << 16,
};

/* The gate: what an acquire must know before it helps itself. 0: come in. */
#define PNX__GATE_SUSPENDED 1u
#define PNX__GATE_CLOSED 2u
/* Nobody watches how long leases are held: the next acquire sees to it. */
#define PNX__GATE_UNWATCHED 4u
#define PNX__GATE_ONE_WAITER 8u
#define PNX__GATE_WAITERS (~(PNX__GATE_ONE_WAITER - 1))

/* What a job does. */
enum pnx__pool_job_type { PNX__JOB_CREATE, PNX__JOB_VALIDATE, PNX__JOB_RESET };

typedef struct pnx__pool_job {
    pnx__hook hook;
    pnx_id id; /* of the resource that stands for it; NONE: over */
    enum pnx__pool_job_type type;
    bool begun, told_late;
    pnx_time deadline, started;
} pnx__pool_job;

/*
 * The first line is what an acquire and a return touch; the rest is written when an entry is made,
 * checked or destroyed.
 */
typedef struct pnx__pool_entry {
    _Alignas(PNX__CACHE_LINE) _Atomic uint64_t word;
    _Atomic int64_t used;  /* IDLE: when it was made or returned */
    _Atomic int64_t since; /* LEASED: since then */
    _Atomic(const pnx_site *) site;
    uint64_t value[PNX_VALUE_MAX / 8];
    _Atomic int32_t holder; /* LEASED: gettid(2) of who acquired it, 0: moved; IDLE: 0 */
    uint32_t index;

    _Alignas(PNX__CACHE_LINE) struct pnx_pool *pool;
    /* Of its resource. Written while CREATING, published by the word; atomic since an acquire reads
     * them before its compare and swap, when the entry may already be made anew. */
    _Atomic(pnx__slot *) slot;
    _Atomic uint32_t generation;
    _Atomic uint64_t stamp; /* IDLE, FIFO: the turn in which it was returned */
    pnx_id id;
    pnx__hook hook;
    /* lock */
    bool gone;       /* its resource has ended */
    bool noted;      /* CLOSING, but its release is still to be asked for */
    bool lost;       /* CLOSING, because it was found released: told when that has ended */
    pnx_guard guard; /* CREATING: what its release will need */
    pnx_time retire_at;
    pnx_time checked;       /* when it passed validation last */
    pnx_duration keepalive; /* with its jitter */
    uint64_t told_word;     /* LEASED like that: was told as held too long */
    pnx__pool_job job;
    struct pnx__pool_entry *next; /* in a pnx__pool_after */
} pnx__pool_entry;

/* A wait's state, a futex. */
enum { PNX__WAIT_PENDING, PNX__WAIT_NUDGED, PNX__WAIT_OVER };

typedef struct pnx__pool_waiter {
    pnx_pool_ready_fn ready;
    void *context;
    struct pnx_pool *pool;
    pnx__list node;                /* of its tenant's list */
    struct pnx__pool_waiter *next; /* in a pnx__pool_after */
    const pnx_site *site;
    pnx__pool_entry *entry; /* settled with PNX_OK */
    uint64_t word;
    pnx_time deadline, queued_at, served_at;
    _Atomic uint32_t state;
    int32_t thread; /* that blocks in it; 0: none does */
    uint32_t held;  /* leases that this thread holds */
    uint16_t tenant;
    uint8_t rank;
    bool timed;   /* its deadline is the tick's business */
    bool settled; /* lock: its status is decided */
    bool fetched; /* its owner has the lease */
    pnx_status status;
    pnx__list all; /* pool->waits, in order of arrival */
} pnx__pool_waiter;
_Static_assert(sizeof(pnx__pool_waiter) <= sizeof(pnx_pool_wait), "room for it");

typedef struct pnx__pool_tenant {
    pnx__list lists[PNX_PRIORITY_COUNT]; /* by rank */
    unsigned passed[PNX_PRIORITY_COUNT]; /* how often a higher rank went before */
    unsigned waiting, weight, deficit;
} pnx__pool_tenant;

#define PNX__POOL_EVENTS 8
/* Whoever has noted so many gives the lock back before it goes on to the next entry; what comes on
 * top of an entry's own are at most three, of creating and of a circle. */
#define PNX__POOL_EVENTS_CROWD (PNX__POOL_EVENTS - 3)
/* What is to be done once the lock is gone. */
typedef struct pnx__pool_after {
    /* In the order in which they were noted. */
    pnx__pool_entry *jobs, *jobs_last;    /* to be submitted */
    pnx__pool_entry *close, *close_last;  /* to be released */
    pnx__pool_waiter *waits, *waits_last; /* to be told */
    bool arm;                             /* the tick */
    unsigned event_count;
    pnx_pool_event events[PNX__POOL_EVENTS];
} pnx__pool_after;

/* Adds `node` to the list of a pnx__pool_after that `first` and `last` are. */
#define PNX__POOL_APPEND(first, last, node)                                                        \
    do {                                                                                           \
        (node)->next = NULL;                                                                       \
        if ((first) == NULL)                                                                       \
            (first) = (node);                                                                      \
        else                                                                                       \
            (last)->next = (node);                                                                 \
        (last) = (node);                                                                           \
    } while (0)

struct pnx_pool { /* NOLINT(clang-analyzer-optin.performance.Padding): by who touches what */
    /* Read by every acquire and return, hardly ever written. */
    pnx_registry *registry;
    uint64_t serial; /* unique in this process */
    pnx__pool_entry *entries;
    pnx_pool_config config;
    _Atomic uint32_t span; /* entries from here on were never used */
    _Atomic uint32_t gate;
    _Atomic uint32_t strict; /* leases are held for so long that nobody may overtake */
    char name[32];

    _Alignas(PNX__CACHE_LINE) _Atomic uint64_t turn;   /* FIFO: counts returns */
    _Alignas(PNX__CACHE_LINE) _Atomic uint32_t bypass; /* how often the head was overtaken */
    _Atomic uint32_t nudged;                           /* the head was woken to help itself */

    _Alignas(PNX__CACHE_LINE) pthread_mutex_t lock;
    /* lock, from here on */
    unsigned min, max, floor; /* floor: how many are made without anybody asking */
    unsigned size, count[PNX__POOL_STATE_COUNT]; /* IDLE and LEASED are not kept here */
    unsigned late_creates, late_checks;          /* past their deadlines, and still running */
    pnx__pool_waiter *head;
    unsigned waiting, waiting_threads_hold;
    pnx__list waits;
    pnx__pool_tenant tenants[PNX_POOL_TENANTS_MAX];
    unsigned tenant_turn;
    bool tenant_fresh;
    _Atomic int64_t hold; /* moving average of what leases take, clipped; -1: no sample; no lock */
    pnx__random random;
    /* creating */
    pnx_pool_circuit circuit;
    unsigned failures; /* in a row */
    unsigned ramp;     /* creates that may run at a time */
    pnx_time retry_at;
    pnx_error last_error; /* of create; code PNX_OK: none since it worked */
    /* the tick */
    pnx_id tick_id, tick_fired;
    bool tick_arming;
    pnx_time tick_want;
    pnx__hook tick_hook;
    unsigned jobs;           /* resources of jobs and ticks that have not ended */
    _Atomic uint32_t inside; /* workers that are in here */
    _Atomic uint32_t quiet;  /* futex: bumped when something changed that a close waits for */
    unsigned quiet_waiters;
    pnx_guard anchor;     /* keeps the registry */
    pnx_pool_stats stats; /* only what counts since the beginning */
};

/* ---- threads --------------------------------------------------------------------------------- */

#define PNX__POOL_HINTS 4
/* What a thread remembers of the pools that it used last: the entries that it returned last. */
typedef struct pnx__pool_thread {
    int32_t id;
    uint32_t until_sample;
    struct {
        uint64_t serial;
        uint32_t entries[PNX__POOL_HINTS];
    } pools[4];
} pnx__pool_thread;
extern _Thread_local pnx__pool_thread pnx__pool_thread_here;
int32_t pnx__pool_thread_id(void);

static inline unsigned pnx__pool_state(uint64_t word)
{
    return (unsigned)(word & PNX__POOL_STATE);
}
static inline uint64_t pnx__pool_with(uint64_t word, unsigned state)
{
    return (word & ~(uint64_t)(PNX__POOL_STATE | PNX__POOL_EVICT)) | state;
}
static inline uint64_t pnx__pool_word(pnx__pool_entry *entry)
{
    /* Acquire: pairs with the release of whoever gave the entry its state. */
    return atomic_load_explicit(&entry->word, memory_order_acquire);
}

/* Of one that is about to be idle, or that is moved. Who leases it next says so a moment after it
 * is his: whoever had it before, and queues just then, must not count it as his own (wait.c).
 * Relaxed: comes with the release that makes it idle; a moved one is for reports, and for who waits
 * in this very thread. */
static inline void pnx__pool_nobody_holds(pnx__pool_entry *entry)
{
    atomic_store_explicit(&entry->holder, 0, memory_order_relaxed);
}

/* ---- pool.c ---------------------------------------------------------------------------------- */

void pnx__pool_enter(pnx_pool *pool); /* a worker comes in: the pool stays until it has left */
void pnx__pool_leave(pnx_pool *pool);
/* Gives the lock back and does what was noted. */
void pnx__pool_unlock(pnx_pool *pool, pnx__pool_after *after);
static inline void pnx__pool_lock(pnx_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
}
/* Lock held. `error` must stay until the lock is given back. */
void pnx__pool_note(pnx_pool *pool, pnx__pool_after *after, pnx_pool_event_type type,
                    const pnx__pool_entry *entry, const pnx_error *error);
/* Lock held, before and after: between two entries, when there is much to be told. */
void pnx__pool_breathe(pnx_pool *pool, pnx__pool_after *after);

/* ---- entry.c: all with the lock held --------------------------------------------------------- */

/* Takes the best idle one that needs no validation (LEASED now). NULL: none; with `check` as many
 * that do are sent there as there are waiters. */
pnx__pool_entry *pnx__pool_claim(pnx_pool *pool, pnx__pool_after *after, bool check);
/* An entry that is ours was used until now. */
void pnx__pool_touch(pnx_pool *pool, pnx__pool_entry *entry);
/* An entry that is ours: to the waiter at the head, or idle; or closed, if it shall go. */
void pnx__pool_give(pnx_pool *pool, pnx__pool_after *after, pnx__pool_entry *entry);
/* An entry that is ours is destroyed. */
void pnx__pool_close_entry(pnx_pool *pool, pnx__pool_after *after, pnx__pool_entry *entry);
/* LEASED, and taken out of the pool by who has it: its hook, or this, frees its place. */
void pnx__pool_leave_entry(pnx_pool *pool, pnx__pool_entry *entry);
/* CLOSING or gone: its place is free. */
void pnx__pool_emptied(pnx_pool *pool, pnx__pool_entry *entry);
/* IDLE → CLOSING; LEASED, CREATING, CHECKING: with EVICT. False: none of these. */
bool pnx__pool_evict_entry(pnx_pool *pool, pnx__pool_after *after, pnx__pool_entry *entry);
/* Sends an entry that is ours to a job. */
void pnx__pool_send(pnx_pool *pool, pnx__pool_after *after, pnx__pool_entry *entry,
                    enum pnx__pool_job_type type);
void pnx__pool_entry_ended(pnx__hook *hook, pnx_id id, const pnx_kind *kind, const pnx_site *site,
                           pnx_status outcome);
/* Has its resource been released, or is it about to be, by somebody else? Without the lock too. */
static inline bool pnx__pool_lost(const pnx__pool_entry *entry)
{
    /* Relaxed: published by the word. Of an entry that has been made anew since the word was read
     * they may not belong together; then whoever acquires without the lock is refused by its
     * compare and swap, and with the lock nothing is made anew. */
    pnx__slot *slot = atomic_load_explicit(&entry->slot, memory_order_relaxed);
    const uint32_t generation = atomic_load_explicit(&entry->generation, memory_order_relaxed);
    /* Relaxed: if it is released a moment later, nobody could have known. */
    const uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
    return pnx__generation_of(word) != generation || pnx__state_of(word) != PNX_LIVE;
}

/* ---- queue.c: all with the lock held --------------------------------------------------------- */

void pnx__pool_enqueue(pnx_pool *pool, pnx__pool_waiter *waiter);
/* Decides what becomes of a waiter, and takes it out of the queue. */
void pnx__pool_settle(pnx_pool *pool, pnx__pool_after *after, pnx__pool_waiter *waiter,
                      pnx_status status);
/* The one whose turn it is; NULL: nobody waits. */
pnx__pool_waiter *pnx__pool_head(pnx_pool *pool);
/* Hands an entry that is LEASED over. */
void pnx__pool_hand(pnx_pool *pool, pnx__pool_after *after, pnx__pool_waiter *waiter,
                    pnx__pool_entry *entry);
/* Serves waiters as long as something is idle, then sees to it that more is made. */
void pnx__pool_serve(pnx_pool *pool, pnx__pool_after *after);
/* The head was woken, and has not looked yet. Without the lock. */
bool pnx__pool_nudged(pnx_pool *pool);
/* Wakes the head, that it may help itself. False: it cannot. */
bool pnx__pool_nudge(pnx_pool *pool);
/* A sample of how long leases take. Without the lock too. */
void pnx__pool_hold(pnx_pool *pool, pnx_duration hold);

/* ---- fill.c, job.c --------------------------------------------------------------------------- */

void pnx__pool_fill(pnx_pool *pool, pnx__pool_after *after);    /* lock held */
void pnx__pool_created(pnx_pool *pool, pnx__pool_after *after); /* lock held */
void pnx__pool_create_failed(pnx_pool *pool, pnx__pool_after *after, const pnx_error *error);
void pnx__pool_submit(pnx__pool_entry *entry); /* no lock */
void pnx__pool_job_ended(pnx__hook *hook, pnx_id id, const pnx_kind *kind, const pnx_site *site,
                         pnx_status outcome);

/* ---- tick.c ---------------------------------------------------------------------------------- */

/* The tick shall come at `when` at the latest. Lock held. */
void pnx__pool_tick_by(pnx_pool *pool, pnx__pool_after *after, pnx_time when);
void pnx__pool_arm(pnx_pool *pool); /* no lock */
void pnx__pool_tick_ended(pnx__hook *hook, pnx_id id, const pnx_kind *kind, const pnx_site *site,
                          pnx_status outcome);
pnx_duration pnx__pool_jitter(pnx_pool *pool, pnx_duration span, unsigned share);

/* ---- why.c ----------------------------------------------------------------------------------- */

/* Lock held: what the pool is like, for the error of who did not get a lease. */
pnx_status pnx__pool_why(pnx_pool *pool, pnx_status status, const char *what, pnx_error *err);
/* Lock held. How many are leased; `*ret_longest` (may be NULL): the longest. */
unsigned pnx__pool_leased(pnx_pool *pool, pnx__pool_entry **ret_longest, unsigned *ret_idle);
/* Lock held. How many go when they are returned. */
unsigned pnx__pool_evicted(pnx_pool *pool);

/* ---- wait.c, control.c ----------------------------------------------------------------------- */

/* Acquires under the lock, or takes a place in the queue (PNX_PENDING). `blocks`: this thread will
 * do nothing else until it is served. */
pnx_status pnx__pool_queue(pnx_pool *pool, const pnx_pool_want *want, const pnx_site *site,
                           pnx_pool_wait *wait, pnx_lease *ret, bool blocks, pnx_error *err);
/* Evicts what is idle; and, if `all`, what is not. Lock held; gives it back now and then. */
void pnx__pool_evict_all(pnx_pool *pool, pnx__pool_after *after, bool all);

/* ---- lease.c --------------------------------------------------------------------------------- */

/* Fills a lease with an entry that is LEASED for the caller. */
void pnx__lease_set(pnx_pool *pool, pnx_lease *lease, pnx__pool_entry *entry, uint64_t word,
                    pnx_time precise);

#endif
