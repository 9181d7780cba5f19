/* SPDX-License-Identifier: MIT */
/*
 * What the files of this room share: the slot, its state word, kinds at run time, threads, workers
 * and the registry itself. README.md tells the whole story; this is the map of it.
 *
 * The state word
 * --------------
 * One 64-bit word per slot decides everything about its resource. Whoever moves it by compare and
 * swap owns the consequence (exactly once); nobody else does anything.
 *
 *     63            32 31     24 23          9 8    6 5    4 3     0
 *     | generation    | attempt | flags       | reason | rank | state |
 *
 *     state      may go to                      by
 *     FREE       RESERVED                       the thread that takes the slot from its magazine
 *     RESERVED   LIVE, FREE                     the guard's thread: arm, cancel
 *     LIVE       QUEUED                         drop, release later, expiry, shutdown
 *                RUNNING                        release now, inline
 *                FREE                           take
 *     QUEUED     RUNNING                        whoever popped it, and nobody else
 *                ABANDONED                      shutdown past its hard deadline (having popped it)
 *     RUNNING    FREE (generation + 1: done)    the attempt, when it succeeded in time
 *                WAITING, FAILED                the attempt, when it failed in time
 *                WAITING, QUEUED, ABANDONED     the timekeeper, when it is late
 *     WAITING    QUEUED                         the timekeeper, when the retry is due
 *                FREE                           a late attempt that succeeded after all
 *                ABANDONED                      shutdown past its hard deadline
 *     FAILED     FREE                           forgetting, when there are too many or on request
 *     ABANDONED  FREE                           the same, or the late attempt that succeeded
 *
 * A resource that is done leaves its slot at once, so DONE is never stored: a stale generation is
 * it. The ticks of periodic resources go LIVE → QUEUED → RUNNING → LIVE with TICK set; they count
 * as live throughout.
 *
 * Locks, in this order: dispatch, timers. Releases, monitors and callbacks run with none held.
 */
#ifndef PATINOX_REGISTRY_STATE_H
#define PATINOX_REGISTRY_STATE_H

#include "base/fork.h"
#include "base/id.h"
#include "base/list.h"
#include "base/log.h"
#include "base/random.h"
#include "base/sys.h"
#include "monitor/hub.h"
#include "monitor/probes.h"
#include <patinox/registry.h>
#include <pthread.h>
#include <stdatomic.h>

#define PNX__CACHE_LINE 64

/* ---- the state word -------------------------------------------------------------------------- */

enum {
    PNX__STATE = 0xf,
    PNX__RANK_SHIFT = 4,
    PNX__RANK = 3 << PNX__RANK_SHIFT,
    PNX__REASON_SHIFT = 6,
    PNX__REASON = 7 << PNX__REASON_SHIFT,
    PNX__PENDING = 1 << 9,    /* RUNNING: the attempt answered PNX_PENDING */
    PNX__KEPT = 1 << 9,       /* FAILED, ABANDONED: is in the list of those that are kept */
    PNX__PARKED = 1 << 9,     /* QUEUED: a concurrency limit held it back; `since` is its place */
    PNX__WAITED = 1 << 10,    /* somebody waits for the outcome: slot->waiters */
    PNX__TIMER = 1 << 11,     /* its timer is, or was, armed: unlink it before the slot is reused */
    PNX__HOOKED = 1 << 12,    /* slot->hook wants to know when it ends */
    PNX__TICK = 1 << 13,      /* periodic: QUEUED and RUNNING are ticks, not releases */
    PNX__STOP = 1 << 14,      /* asked to be released while it ticks */
    PNX__SAMPLED = 1 << 15,   /* its latencies are measured */
    PNX__META = 1 << 16,      /* slot->meta is set */
    PNX__FALLBACK = 1 << 17,  /* the attempt is the fallback */
    PNX__SETTLED = 1 << 18,   /* an earlier attempt succeeded late: nothing is left to do */
    PNX__TIMED_OUT = 1 << 19, /* the last attempt that is over was declared late */
    PNX__LEAKED = 1 << 20,    /* was still held when its owner ended */
    PNX__IDLE_SPAN = 1 << 21, /* its timer is an idle span: pnx_touch counts */
    PNX__LATE_RUNS = 1 << 21, /* QUEUED … WAITING: an attempt that was declared late still runs */
    PNX__LATE_MANY = 1 << 14, /* the same: more than one, and nobody counts them any more */
    PNX__CAPPED = 1 << 22,    /* counts against a concurrency limit */
    PNX__MOVED = 1 << 23,     /* QUEUED: was taken out of the batch of a worker that stalled */
    PNX__ATTEMPT_SHIFT = 24,
};
#define PNX__ATTEMPT (0xffull << PNX__ATTEMPT_SHIFT)
#define PNX__GENERATION_SHIFT 32

/* What a successful attempt must look after before its slot can be used again. */
#define PNX__LOOSE_ENDS                                                                            \
    (PNX__PENDING | PNX__WAITED | PNX__TIMER | PNX__HOOKED | PNX__TICK | PNX__META | PNX__CAPPED)

static inline pnx_state pnx__state_of(uint64_t word)
{
    return (pnx_state)(word & PNX__STATE);
}
static inline uint32_t pnx__generation_of(uint64_t word)
{
    return (uint32_t)(word >> PNX__GENERATION_SHIFT);
}
static inline unsigned pnx__attempt_of(uint64_t word)
{
    return (unsigned)((word & PNX__ATTEMPT) >> PNX__ATTEMPT_SHIFT);
}
static inline unsigned pnx__rank_of(uint64_t word)
{
    return (unsigned)((word & PNX__RANK) >> PNX__RANK_SHIFT);
}
/* What pnx_priority_rank made of it. */
static inline pnx_priority pnx__priority_of(uint64_t word)
{
    static const pnx_priority of_rank[PNX_PRIORITY_COUNT] = {PNX_LOW, PNX_NORMAL, PNX_HIGH,
                                                             PNX_CRITICAL};
    return of_rank[pnx__rank_of(word)];
}
static inline pnx_reason pnx__reason_of(uint64_t word)
{
    return (pnx_reason)((word & PNX__REASON) >> PNX__REASON_SHIFT);
}
static inline uint64_t pnx__with_state(uint64_t word, pnx_state state)
{
    return (word & ~(uint64_t)PNX__STATE) | (uint64_t)state;
}
static inline uint64_t pnx__with_rank(uint64_t word, unsigned rank)
{
    return (word & ~(uint64_t)PNX__RANK) | (uint64_t)rank << PNX__RANK_SHIFT;
}
static inline uint64_t pnx__with_reason(uint64_t word, pnx_reason reason)
{
    return (word & ~(uint64_t)PNX__REASON) | (uint64_t)reason << PNX__REASON_SHIFT;
}
static inline uint64_t pnx__with_attempt(uint64_t word, unsigned attempt)
{
    return (word & ~PNX__ATTEMPT) | (uint64_t)attempt << PNX__ATTEMPT_SHIFT;
}

/* ---- slots ----------------------------------------------------------------------------------- */

/* A link of the inbox; the first member of what is queued. */
typedef struct pnx__link {
    _Atomic(struct pnx__link *) next;
} pnx__link;

/* Called once, with no lock held, when the resource it is attached to has ended. */
typedef struct pnx__hook {
    void (*ended)(struct pnx__hook *hook, pnx_id id, const pnx_kind *kind, const pnx_site *site,
                  pnx_status outcome);
} pnx__hook;

struct pnx__kind;
struct pnx__meta;
struct pnx__waiter;

#define PNX__TIMER_NONE UINT32_MAX

/*
 * Two cache lines: the first is what a drop and a release touch, the second what only registering,
 * timers and reports need; it stays in the cache of the thread that registers.
 */
typedef struct pnx__slot {
    _Alignas(PNX__CACHE_LINE) pnx__link link;
    _Atomic uint64_t word;
    _Atomic(struct pnx__kind *) kind;
    _Atomic int64_t since; /* QUEUED: when it was queued; LIVE with an idle span: last touch */
    _Atomic uint64_t value[PNX_VALUE_MAX / 8];
    uint32_t index;
    _Atomic uint32_t span_or_status; /* LIVE: idle span or period, in timer ticks; later: status */

    _Alignas(PNX__CACHE_LINE) _Atomic int64_t created;
    _Atomic(const pnx_site *) site;
    _Atomic uint64_t bytes;
    struct pnx__meta *meta; /* dispatch lock, and the next two */
    struct pnx__waiter *waiters;
    union {
        pnx__hook *hook; /* until it ends */
        struct {
            uint32_t next, previous;
        } kept; /* FAILED, ABANDONED: the list of these */
    };
    _Atomic int64_t due; /* timers lock to write, and the next two; FOREVER: not armed */
    uint32_t timer_previous, timer_next;
} pnx__slot;

_Static_assert(sizeof(pnx__slot) == 2 * PNX__CACHE_LINE, "a slot is two cache lines");

static inline pnx__slot *pnx__slot_of_link(pnx__link *link)
{
    return (pnx__slot *)(void *)link; /* its first member */
}

/* 4096 slots are 512 KiB: few enough system calls, and little is wasted by a small program. */
#define PNX__CHUNK_BITS 12
#define PNX__CHUNK_SLOTS (1u << PNX__CHUNK_BITS)
#define PNX__CHUNKS_MAX (1u << (PNX__SLOT_BITS - PNX__CHUNK_BITS))

/*
 * Free slots travel between threads in magazines (Bonwick and Adams, "Magazines and Vmem", 2001),
 * 62 at a time, which makes one 512-byte block with its header. The depot hands out the one that
 * came back last, so that hot slots are used first.
 */
#define PNX__MAGAZINE_SLOTS 62
typedef struct pnx__magazine {
    struct pnx__magazine *next;
    uint32_t count;
    pnx__slot *slots[PNX__MAGAZINE_SLOTS];
} pnx__magazine;

/* ---- the account ----------------------------------------------------------------------------- */

/*
 * Counters of transitions, not of states: each is written by one thread (or by all, atomically, in
 * the shared tally), only ever grows, and is read once by a snapshot. See account.c for why a
 * snapshot always balances.
 */
typedef enum pnx__count {
    PNX__N_ARMED,     /* reserved → live */
    PNX__N_TAKEN,     /* live → out of the registry */
    PNX__N_SCHEDULED, /* live → queued */
    PNX__N_CLAIMED,   /* live → running, inline */
    PNX__N_STARTED,   /* queued → running */
    PNX__N_RETRIED,   /* running → waiting; dispatch lock */
    PNX__N_REQUEUED,  /* waiting → queued; dispatch lock */
    PNX__N_FELL_BACK, /* running → queued, for the fallback; dispatch lock */
    PNX__N_DONE,      /* running → done */
    PNX__N_FAILED,    /* running → failed */
    PNX__N_ABANDONED, /* running → abandoned */
    PNX__N_ABANDONED_QUEUED,
    PNX__N_ABANDONED_WAITING, /* dispatch lock */
    PNX__N_DONE_WAITING,      /* a late success; dispatch lock */
    PNX__N_TIMED_OUT,
    PNX__N_FALLBACKS,
    PNX__N_LATE,
    PNX__N_SCHEDULE_FAILED,
    PNX__N_LEAKED,
    PNX__N_COUNT
} pnx__count;

typedef struct pnx__tally {
    _Atomic uint64_t n[PNX__N_COUNT];
} pnx__tally;

/* ---- kinds at run time ----------------------------------------------------------------------- */

/* A singly linked list of queued slots through link.next; dispatch lock. */
typedef struct pnx__list_of_slots {
    pnx__slot *first, *last;
} pnx__list_of_slots;

typedef struct pnx__kind {
    const pnx_kind *kind;
    uint32_t index;
    uint32_t flags;
    unsigned rank;
    unsigned attempts_max; /* without the fallback */
    bool has_fallback;
    bool has_describe;
    bool ticks; /* periodic: its release with fallback == false is a tick */
    pnx_duration timeout, retry_delay, retry_delay_max;
    unsigned cap; /* UINT_MAX: none */
    /* dispatch lock */
    unsigned running;
    pnx__list_of_slots parked[PNX_PRIORITY_COUNT];
    unsigned parked_count;
    pnx__tally shared; /* for threads that have no tally of their own */
} pnx__kind;

/* What must be known of a resource after its slot may have been used again. */
typedef struct pnx__about {
    pnx_id id;
    pnx__kind *kind;
    const pnx_site *site;
    uint64_t word;
} pnx__about;

#define PNX__KINDS_MAX 1024
#define PNX__KIND_TABLE (2 * PNX__KINDS_MAX)

/* ---- threads --------------------------------------------------------------------------------- */

#define PNX__KIND_CACHE 8
typedef struct pnx__thread {
    _Atomic(struct pnx_registry *) registry; /* NULL: it was destroyed */
    struct pnx__thread *next_of_thread;      /* this thread's block of another registry */
    pnx__magazine *loaded, *spare;           /* never NULL */
    uint32_t scheduled_unreported;           /* drops since the backlog was last told */
    uint32_t until_sample;
    pnx__random random;
    struct {
        const pnx_kind *kind;
        pnx__kind *runtime;
    } kinds[PNX__KIND_CACHE];
    pnx__list node;                                       /* registry->threads; dispatch lock */
    pnx_histogram *queue_wait, *release_time, *drop_time; /* one allocation; may be NULL */
    pnx__tally *_Atomic tallies[PNX__KINDS_MAX];
} pnx__thread;

/* ---- workers --------------------------------------------------------------------------------- */

/* 32 keeps the dispatch lock below a nanosecond per release, and a batch within a microsecond. */
#define PNX__BATCH 32

/* How the timekeeper may see a worker. It demotes from RUNNING only: a worker that holds the
 * dispatch lock or is about to sleep is SCANNING, and so never loses its count twice. */
enum pnx__role {
    PNX__ROLE_SCANNING,
    PNX__ROLE_RUNNING, /* runs releases, and counts as scanning because they are short */
    PNX__ROLE_DEMOTED, /* they were not: it does not count as scanning any more */
    PNX__ROLE_AWAY,    /* gave up scanning by itself, to run something that may take long */
};

typedef struct pnx__run {
    pnx__slot *slot;
    uint64_t word;
} pnx__run;

/*
 * The release that a worker runs, as others see it: a seqlock. It counts by itself: the word would
 * not do, for that of two slots that were used as often is the same.
 */
typedef struct pnx__watch {
    _Atomic uint64_t number; /* odd: one runs; its number is of no other run of this worker */
    _Atomic uint64_t word;
    _Atomic(pnx__slot *) slot;
    _Atomic int64_t since;
} pnx__watch;

/* What was read of it, at one moment. */
typedef struct pnx__watched {
    uint64_t number, word;
    pnx__slot *slot;
    pnx_time since;
} pnx__watched;

/* The worker itself, as the next one. */
static inline void pnx__watch_begin(pnx__watch *watch, pnx__slot *slot, uint64_t word,
                                    pnx_time since)
{
    /* Relaxed: this thread's own. */
    const uint64_t number = atomic_load_explicit(&watch->number, memory_order_relaxed);
    /* Release, each: pairs with the acquire of the same field in pnx__watch_read. Who sees one of
     * these sees that the run before is over; who sees the number sees all of them. */
    atomic_store_explicit(&watch->word, word, memory_order_release);
    atomic_store_explicit(&watch->slot, slot, memory_order_release);
    atomic_store_explicit(&watch->since, since, memory_order_release);
    atomic_store_explicit(&watch->number, number + 1, memory_order_release);
}
static inline void pnx__watch_end(pnx__watch *watch)
{
    const uint64_t number = atomic_load_explicit(&watch->number, memory_order_relaxed);
    /* Release: pairs with the last load in pnx__watch_read, by way of the fields. */
    atomic_store_explicit(&watch->number, number + 1, memory_order_release);
}
/* False: none runs, or it is just changing. */
static inline bool pnx__watch_read(const pnx__watch *watch, pnx__watched *ret)
{
    /* Acquire, each: see pnx__watch_begin. They keep the last look behind the others. */
    ret->number = atomic_load_explicit(&watch->number, memory_order_acquire);
    ret->word = atomic_load_explicit(&watch->word, memory_order_acquire);
    ret->slot = atomic_load_explicit(&watch->slot, memory_order_acquire);
    ret->since = atomic_load_explicit(&watch->since, memory_order_acquire);
    return (ret->number & 1) != 0 &&
           atomic_load_explicit(&watch->number, memory_order_relaxed) == ret->number;
}
/* Does that very run go on? */
static inline bool pnx__watch_is(const pnx__watch *watch, uint64_t number)
{
    return atomic_load_explicit(&watch->number, memory_order_acquire) == number;
}

typedef struct pnx__worker {
    struct pnx_registry *registry;
    pthread_t thread;
    _Atomic uint32_t role;
    pnx__watch watch;
    pnx__about about; /* of the release that runs; this worker only */
    pnx__slot *about_slot;
    /* dispatch lock from here on */
    pnx__run batch[PNX__BATCH];
    unsigned batch_count;
    unsigned batch_next;  /* this worker only */
    unsigned batch_limit; /* this worker only */
    bool busy;            /* between two visits to the dispatcher */
    bool hung;            /* its release was declared late and still runs */
    bool ended;           /* its thread is over, to be joined */
} pnx__worker;

/* ---- inbox ----------------------------------------------------------------------------------- */

typedef struct pnx__inbox {
    _Alignas(PNX__CACHE_LINE) _Atomic(pnx__link *) tail; /* producers */
    _Alignas(PNX__CACHE_LINE) _Atomic(pnx__link *) head; /* written under the dispatch lock */
    pnx__link stub;
} pnx__inbox;

/* ---- timers ---------------------------------------------------------------------------------- */

#define PNX__TICK_SHIFT 20 /* a tick is 2^20 ns, 1.05 ms */
#define PNX__WHEEL_BITS 6
#define PNX__WHEEL_SLOTS (1u << PNX__WHEEL_BITS)
#define PNX__WHEEL_LEVELS 8 /* 48 bits of ticks: more than the clock has */

typedef struct pnx__wheel {
    uint64_t now; /* in ticks: everything before it has fired */
    uint64_t count;
    uint64_t occupied[PNX__WHEEL_LEVELS];
    struct {
        uint32_t head;
        int64_t earliest; /* a lower bound: cancels leave it behind */
    } buckets[PNX__WHEEL_LEVELS][PNX__WHEEL_SLOTS];
    uint32_t expired; /* head of the list of those that are due */
} pnx__wheel;

/* ---- the registry ---------------------------------------------------------------------------- */

/* The idle word: who could take work. See notify.c. */
#define PNX__IDLE_SLEEPING 0x3ffu
#define PNX__IDLE_ONE_SCANNING (1u << 10)
#define PNX__IDLE_SCANNING (0x3ffu << 10)
#define PNX__IDLE_ONE_WOKEN (1u << 20)
#define PNX__IDLE_WOKEN (0x3ffu << 20)
#define PNX__IDLE_STOP (1u << 30)   /* the workers shall end */
#define PNX__IDLE_INLINE (1u << 31) /* no worker will ever come: whoever queues runs it */

enum pnx__phase {
    PNX__OPEN,
    PNX__DRAINING,   /* shutdown: releases run, until the grace is over */
    PNX__FALLBACKS,  /* shutdown: fallbacks run instead where there are any */
    PNX__ABANDONING, /* shutdown: the hard deadline is over */
    PNX__CLOSED,     /* the workers are gone */
};

struct pnx_registry {
    /* Read by every operation, written never or hardly ever. */
    pnx__instance instance;
    uint32_t fork_epoch;
    _Atomic uint32_t intake_closed;
    const pnx_clock *clock; /* NULL: the real one */
    pnx_timing timing;
    bool manual, backtraces;
    pnx__slot **chunks;
    int64_t backlog_high_water;
    pnx_backlog_policy backlog_policy;
    struct pnx__hub *hub;
    pnx_config config;
    char name[32];
    char leak_report[256];

    _Alignas(PNX__CACHE_LINE) _Atomic uint32_t idle;
    _Alignas(PNX__CACHE_LINE) _Atomic int64_t backlog; /* queued, give or take 64 a thread */
    pnx__inbox inboxes[PNX_PRIORITY_COUNT];            /* by rank */

    /* Free slots: magazines, and the frontier of the table. */
    pthread_mutex_t depot_lock;
    pnx__magazine *depot_full, *depot_empty; /* depot lock, and the next two */
    pnx__slot *depot_loose;                  /* free slots in no magazine, through their links */
    _Atomic(pnx__link *) spilled;            /* more of them, from those who may not wait */
    uint32_t slots_used;                     /* those from here on were never taken */
    _Atomic uint32_t chunk_count;

    _Alignas(PNX__CACHE_LINE) pthread_mutex_t dispatch;
    pnx__list_of_slots front[PNX_PRIORITY_COUNT]; /* older than the inbox of the same rank */
    _Atomic uint32_t front_count;
    unsigned parked_total;
    int64_t parked_last; /* `since` of the one that was parked last */
    unsigned blocking_running, blocking_cap;
    pnx__list threads;
    pnx__tally *retired[PNX__KINDS_MAX]; /* what threads that ended had counted */
    pnx_histogram retired_histograms[3];
    pnx__kind *_Atomic kind_table[PNX__KIND_TABLE]; /* open addressing by descriptor */
    pnx__kind *_Atomic kinds[PNX__KINDS_MAX];
    _Atomic uint32_t kind_count;
    uint32_t kept_first, kept_last; /* failed resources, oldest first */
    uint64_t kept_count;
    pnx__worker **workers;
    unsigned workers_room;  /* entries there are */
    unsigned worker_count;  /* entries in use */
    unsigned workers_alive; /* threads that run, hung ones included */
    unsigned workers_hung;
    unsigned workers_replaced;
    bool stop; /* the workers shall end; also told by PNX__IDLE_STOP */
    _Atomic uint32_t phase;
    _Atomic(const void *) stepper; /* names the thread that called pnx_registry_step last */
    _Atomic uint32_t manual_stepping;

    /* Timers. */
    _Alignas(PNX__CACHE_LINE) pthread_mutex_t timers_lock;
    pnx__wheel wheel;
    _Atomic int64_t wake_at; /* when the timekeeper will look; timers lock to lower it */
    pthread_t timekeeper;
    bool timekeeper_started;
    int timer_fd, request_fd;
    _Atomic uint32_t timekeeper_stop;
    _Atomic uint32_t timer_lost; /* the timerfd was closed behind our back; told once */
    _Atomic int64_t looked;      /* when a manual registry last looked */

    /* Ends that go on once they are counted, and those that are over; see pnx__outstanding. */
    _Atomic uint64_t epilogues_begun, epilogues_over;

    /* Waiting for idle, for a shutdown request. */
    _Atomic uint32_t quiet_waiters; /* how many wait for idle or drain */
    _Atomic uint32_t quiet_word;    /* futex: bumped when something ended and somebody waits */
    _Atomic uint32_t requested;     /* futex: a shutdown was requested */

    pthread_mutex_t shutdown_lock;
    _Atomic bool shut_down; /* shutdown lock to write */
    bool at_exit;           /* the exit hook is at it; process lock */
    uint64_t seed_serial;
    pnx__list node; /* of the process's registries, see process.c */
};

#endif
