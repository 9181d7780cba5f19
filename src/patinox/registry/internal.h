/* SPDX-License-Identifier: MIT */
/* What the files of this room offer each other. What they do it to is in state.h. */
#ifndef PATINOX_REGISTRY_INTERNAL_H
#define PATINOX_REGISTRY_INTERNAL_H

#include "registry/state.h"

/* ---- clocks ---------------------------------------------------------------------------------- */

static inline pnx_time pnx__precise(const struct pnx_registry *registry)
{
    return PNX_UNLIKELY(registry->clock != NULL) ? registry->clock->now(registry->clock)
                                                 : pnx__now();
}
static inline pnx_time pnx__tick_time(const struct pnx_registry *registry)
{
    return PNX_UNLIKELY(registry->clock != NULL) ? registry->clock->now(registry->clock)
                                                 : pnx__coarse();
}
static inline bool pnx__forked(const struct pnx_registry *registry)
{
    return PNX_UNLIKELY(pnx__fork_epoch() != registry->fork_epoch);
}

/* ---- slot.c: the table ----------------------------------------------------------------------- */

static inline pnx__slot *pnx__slot_at(const struct pnx_registry *registry, uint32_t index)
{
    return &registry->chunks[index >> PNX__CHUNK_BITS][index & (PNX__CHUNK_SLOTS - 1)];
}
/* The slot that `id` leads to, if this registry ever made it; its word tells whether it is stale.
 *  */
static inline pnx__slot *pnx__slot_of(const struct pnx_registry *registry, pnx_id id)
{
    if (!pnx__id_is_of(registry->instance, id))
        return NULL;
    uint32_t index = pnx__id_slot(id);
    /* Acquire: pairs with the release in pnx__table_grow, so that the chunk's slots are seen. */
    if ((index >> PNX__CHUNK_BITS) >=
        atomic_load_explicit(&registry->chunk_count, memory_order_acquire))
        return NULL;
    return pnx__slot_at(registry, index);
}
static inline pnx_id pnx__id_of(const struct pnx_registry *registry, const pnx__slot *slot,
                                uint64_t word)
{
    return pnx__id_make(registry->instance, slot->index, pnx__generation_of(word));
}

/* A slot for this thread: NULL with the status in `*ret_status`. Slow path of pnx__slot_take. */
pnx__slot *pnx__slot_take_slow(struct pnx_registry *registry, pnx__thread *thread,
                               pnx_status *ret_status);
void pnx__slot_give_slow(struct pnx_registry *registry, pnx__thread *thread, pnx__slot *slot);
/* For threads that have no block of their own. */
void pnx__slot_give_shared(struct pnx_registry *registry, pnx__slot *slot);
/* As pnx__slot_give, but with no lock and no allocation, for drops. */
void pnx__slot_give_at_once(struct pnx_registry *registry, pnx__thread *thread, pnx__slot *slot);
/* True: every slot that was ever used is free, or kept for the report. False: perhaps not. To be
 * asked when nobody uses the registry any more. */
bool pnx__table_idle(struct pnx_registry *registry);
void pnx__table_done(struct pnx_registry *registry);
pnx__magazine *pnx__magazine_exchange(struct pnx_registry *registry, pnx__magazine *empty);
void pnx__magazine_return(struct pnx_registry *registry, pnx__magazine *magazine);

/* Ends the slot's generation. The caller has moved the word to FREE with this generation. */
static inline uint64_t pnx__freed(uint64_t word)
{
    return ((uint64_t)(pnx__generation_of(word) + 1)) << PNX__GENERATION_SHIFT | PNX_FREE;
}
static inline void pnx__slot_give(struct pnx_registry *registry, pnx__thread *thread,
                                  pnx__slot *slot)
{
    if (PNX_UNLIKELY(thread == NULL)) {
        pnx__slot_give_shared(registry, slot);
        return;
    }
    pnx__magazine *magazine = thread->loaded;
    if (PNX_LIKELY(magazine->count < PNX__MAGAZINE_SLOTS))
        magazine->slots[magazine->count++] = slot;
    else
        pnx__slot_give_slow(registry, thread, slot);
}

/* ---- thread.c: what each thread keeps for a registry ----------------------------------------- */

extern _Thread_local pnx__thread *pnx__thread_cached;
pnx__thread *pnx__thread_find(struct pnx_registry *registry);
pnx__thread *pnx__thread_make(struct pnx_registry *registry);
void pnx__threads_done(struct pnx_registry *registry);
/* This thread's block, or NULL when it has none: never allocates. */
static inline pnx__thread *pnx__thread_get(struct pnx_registry *registry)
{
    pnx__thread *thread = pnx__thread_cached;
    /* Relaxed: only the destruction of that registry changes it, and whoever uses a registry keeps
     * it from being destroyed meanwhile. */
    if (PNX_LIKELY(thread != NULL &&
                   atomic_load_explicit(&thread->registry, memory_order_relaxed) == registry))
        return thread;
    return pnx__thread_find(registry);
}

/* ---- kind.c ---------------------------------------------------------------------------------- */

pnx__kind *pnx__kind_find(struct pnx_registry *registry, const pnx_kind *kind,
                          pnx_status *ret_status, pnx_error *err);
/* The same for a kind all of whose resources are periodic. */
pnx__kind *pnx__kind_find_ticking(struct pnx_registry *registry, const pnx_kind *kind,
                                  pnx_status *ret_status, pnx_error *err);
void pnx__kinds_done(struct pnx_registry *registry);
static inline pnx__kind *pnx__kind_of(const pnx__slot *slot)
{
    return atomic_load_explicit(&slot->kind, memory_order_relaxed);
}

/* ---- account.c ------------------------------------------------------------------------------- */

pnx__tally *pnx__tally_make(pnx__thread *thread, pnx__kind *kind);
/* This thread's counters of a kind, made if need be: not on the way of a drop. May be NULL. */
static inline pnx__tally *pnx__tally_get(pnx__thread *thread, pnx__kind *kind)
{
    pnx__tally *tally = atomic_load_explicit(&thread->tallies[kind->index], memory_order_relaxed);
    return PNX_LIKELY(tally != NULL) ? tally : pnx__tally_make(thread, kind);
}
/* Counts one transition. Release: a snapshot that sees it sees all that happened before. */
static inline void pnx__account(pnx__thread *thread, pnx__kind *kind, pnx__count what)
{
    pnx__tally *tally = NULL;
    if (PNX_LIKELY(thread != NULL))
        tally = atomic_load_explicit(&thread->tallies[kind->index], memory_order_relaxed);
    if (PNX_LIKELY(tally != NULL)) {
        _Atomic uint64_t *n = &tally->n[what];
        atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + 1,
                              memory_order_release);
    } else {
        atomic_fetch_add_explicit(&kind->shared.n[what], 1, memory_order_acq_rel);
    }
}
void pnx__account_retire(struct pnx_registry *registry, pnx__thread *thread);
/* Queued, running and waiting, right now: what a drain waits for. */
uint64_t pnx__outstanding(struct pnx_registry *registry);

/* ---- event.c --------------------------------------------------------------------------------- */

static inline pnx__about pnx__about_slot(const struct pnx_registry *registry, pnx__slot *slot,
                                         uint64_t word)
{
    return (pnx__about){pnx__id_of(registry, slot, word), pnx__kind_of(slot),
                        atomic_load_explicit(&slot->site, memory_order_relaxed), word};
}
void pnx__tell_slow(struct pnx_registry *registry, pnx_event_type type, const pnx__about *about,
                    pnx_status status, pnx_time time, pnx_duration queued, pnx_duration ran);
/* An event, if anybody listens. `type` is a constant wherever this is called. */
static inline void pnx__tell(struct pnx_registry *registry, pnx_event_type type, pnx__slot *slot,
                             uint64_t word, pnx_status status)
{
    if (PNX_UNLIKELY(pnx__hub_active(registry->hub))) {
        pnx__about about = pnx__about_slot(registry, slot, word);
        pnx__tell_slow(registry, type, &about, status, 0, -1, -1);
    }
}

/* ---- notify.c: waking workers ---------------------------------------------------------------- */

void pnx__inbox_init(pnx__inbox *inbox);
/* The slow path of pnx__notify: nobody scans. */
void pnx__notify_slow(struct pnx_registry *registry, uint32_t idle);
bool pnx__work_visible(struct pnx_registry *registry);
void pnx__scanning_leave(struct pnx_registry *registry);
void pnx__scanning_enter(struct pnx_registry *registry);
/* Sleeps until there may be work. The caller is counted as scanning before and after. */
void pnx__worker_sleep(struct pnx_registry *registry);
void pnx__wake_all(struct pnx_registry *registry);
/* What may have been the last to end has ended: tells those that wait for the registry to be idle.
 * Called where a thread has nothing more to do for now, not for every resource: each call costs a
 * waiter a look at the whole account. */
static inline void pnx__quiet_check(struct pnx_registry *registry)
{
    /* seq_cst: pairs with the increment in pnx__wait_quiet; either we see the waiter, or it sees
     * the account that we changed before. */
    if (PNX_UNLIKELY(atomic_load_explicit(&registry->quiet_waiters, memory_order_seq_cst) != 0)) {
        atomic_fetch_add_explicit(&registry->quiet_word, 1, memory_order_seq_cst);
        pnx__futex_wake(&registry->quiet_word, UINT32_MAX);
    }
}
/* Waits until nothing is queued, running or waiting. Threads only. */
pnx_status pnx__wait_quiet(struct pnx_registry *registry, pnx_time deadline);

/* ---- dispatch.c: who runs next --------------------------------------------------------------- */

/* All with the dispatch lock held. Fills `runs` with at most `most` to run, of one rank. */
unsigned pnx__pick(struct pnx_registry *registry, pnx__run *runs, unsigned most, pnx_time now);
/* Gives runs that were not started back, in front. */
void pnx__unpick(struct pnx_registry *registry, pnx__run *runs, unsigned count);
/* One of a capped kind ended: another may run. True: there is one now. */
bool pnx__uncap(struct pnx_registry *registry, pnx__kind *kind);
/* As pnx__pick, from the head of the rank that is due, and only while kinds are PNX_QUICK. */
unsigned pnx__pick_quick(struct pnx_registry *registry, pnx__run *runs, unsigned most);
/* The rest of a stalled worker's batch goes back in front, for others. */
void pnx__rescue(struct pnx_registry *registry, const pnx__run *runs, unsigned count);
/* Takes one queued slot out, whatever its kind's cap, for shutdown. */
pnx__slot *pnx__pick_any(struct pnx_registry *registry);
/* The time since which the longest waiting one waits; PNX_FOREVER: none. */
pnx_time pnx__oldest_queued(struct pnx_registry *registry);
/* A queued one of a higher rank is in sight. Without the lock. */
bool pnx__higher_visible(struct pnx_registry *registry, unsigned rank);

/* ---- run.c, outcome.c, inline.c: an attempt, and what becomes of it -------------------------- */

/* Runs one popped slot in this thread. `worker` is NULL when inline. False: it was not ours. */
bool pnx__run_one(struct pnx_registry *registry, pnx__thread *thread, pnx__worker *worker,
                  pnx__run run);
/* Runs a slot whose word this thread has moved to RUNNING. */
pnx_status pnx__attempt(struct pnx_registry *registry, pnx__thread *thread, pnx__worker *worker,
                        pnx__slot *slot, uint64_t word);
/* Whether something is still to come when the end of a resource is counted: the call of its hook,
 * the list of what has failed. */
static inline bool pnx__has_epilogue(uint64_t final)
{
    return (final & PNX__HOOKED) != 0 || pnx__state_of(final) >= PNX_FAILED;
}
/* Before the end is counted. pnx__finish ends the epilogue. */
static inline void pnx__epilogue_begin(struct pnx_registry *registry, uint64_t final)
{
    /* seq_cst: pairs with pnx__outstanding. */
    if (PNX_UNLIKELY(pnx__has_epilogue(final)))
        atomic_fetch_add_explicit(&registry->epilogues_begun, 1, memory_order_seq_cst);
}
/* Whoever has moved the word to `final` (DONE, FAILED, ABANDONED) ties up what depends on it. */
void pnx__finish(struct pnx_registry *registry, pnx__thread *thread, pnx__slot *slot,
                 const pnx__about *about, uint64_t final, pnx_status status);
/* The outcome of the attempt that `about` was claimed for. False: it had been declared late. */
bool pnx__outcome(struct pnx_registry *registry, pnx__thread *thread, const pnx__about *about,
                  pnx__slot *slot, pnx_status status, pnx_duration ran);
/* A completion by token: PNX_OK; PNX_ETIMEOUT: of an attempt that had been declared late;
 * PNX_EALREADY; PNX_ENOTFOUND: of an attempt that never began. */
pnx_status pnx__complete(struct pnx_registry *registry, pnx__slot *slot, pnx_token token,
                         pnx_status status);
/* The thread of this worker ends inside a release: the attempt failed. */
void pnx__attempt_broken(struct pnx_registry *registry, pnx__thread *thread, pnx__worker *worker);
/* The timekeeper: attempt `word` is late. True: it was still running. */
bool pnx__overdue(struct pnx_registry *registry, pnx__slot *slot, uint64_t word);
/* WAITING → QUEUED. */
void pnx__retry_due(struct pnx_registry *registry, pnx__slot *slot);
void pnx__abandon_queued(struct pnx_registry *registry, pnx__slot *slot);
void pnx__abandon_waiting(struct pnx_registry *registry, pnx__slot *slot);
/* Runs all that is queued in this thread: when there are no workers any more. */
void pnx__drain_inline(struct pnx_registry *registry);
/* When the next tick of a periodic resource is due. */
pnx_time pnx__period_next(struct pnx_registry *registry, const pnx__slot *slot);
/* A thread tells of its drops this many at a time. */
#define PNX__BACKLOG_REPORT 64
/* 200 pauses are some 4 us (21 ns each on a Zen 5, more on Skylake and later Intel cores). */
#define PNX__BACKLOG_PAUSES 200
static inline void pnx__pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}
/* Runs some queued releases of quick kinds in this thread. False: there were none to be had. */
bool pnx__help(struct pnx_registry *registry, pnx__thread *thread);
/* Past the high-water mark: helps or pauses. Called every so many drops, outside of releases. */
void pnx__backlog_check(struct pnx_registry *registry, pnx__thread *thread);
extern _Thread_local struct pnx_registry *pnx__running_in; /* inside a release of it */
/* The timekeeper: it runs no foreign code, for who would notice if that hung? */
extern _Thread_local bool pnx__runs_nothing;

/* ---- waiter.c -------------------------------------------------------------------------------- */

typedef struct pnx__waiter {
    struct pnx__waiter *next;
    _Atomic uint32_t ended; /* futex */
    pnx_status status;
    bool abandoned;
} pnx__waiter;

/* Adds it to a resource that has not ended; false: it has. */
bool pnx__waiter_add(struct pnx_registry *registry, pnx__slot *slot, uint32_t generation,
                     pnx__waiter *waiter);
void pnx__waiter_remove(struct pnx_registry *registry, pnx__slot *slot, pnx__waiter *waiter);
pnx_status pnx__waiter_wait(struct pnx_registry *registry, pnx__slot *slot, pnx__waiter *waiter,
                            pnx_time deadline);
/* With the dispatch lock held: the resource has ended. */
void pnx__waiters_end(pnx__slot *slot, pnx_status status, bool abandoned);

/* ---- resource.c, metadata.c ------------------------------------------------------------------ */

/* Every 64th resource of a thread is measured: three clock reads (60 ns) cost each 1 ns then. */
#define PNX__SAMPLE_EVERY 64

/* The slow path of pnx__reserve; reserve, arm and take are in resource.h. */
pnx__slot *pnx__reserve_slow(struct pnx_registry *registry, const pnx_kind *kind,
                             const pnx_site *site, pnx_status *ret_status, pnx_error *err);
void pnx__cancel(struct pnx_registry *registry, pnx__slot *slot);
/* The slot of a resource that has not ended, or failed; else PNX_EALREADY, PNX_ENOTFOUND. */
pnx_status pnx__find(struct pnx_registry *registry, pnx_id id, pnx__slot **ret_slot,
                     uint64_t *ret_word);

void pnx__meta_free(struct pnx__meta *meta); /* dispatch lock, slot out of reach */
pnx_status pnx__hook_attach(struct pnx_registry *registry, pnx_id id, pnx__hook *hook);
/*
 * A live resource that ticks: every `period` its kind's run_fallback is called, until that answers
 * anything but PNX_OK or the resource is released (by kind->release). Errors as pnx_register, and
 * PNX_EINVAL for a period below a millisecond or above 52 days.
 */
pnx_status pnx__register_periodic(struct pnx_registry *registry, const pnx_kind *kind,
                                  const void *value, const pnx_site *site, pnx_duration period,
                                  pnx_id *ret_id, pnx_error *err);
void pnx__meta_backtrace(struct pnx_registry *registry, pnx__slot *slot);
/* Texts and frames for the report; dispatch lock. */
char *pnx__meta_text(const pnx__slot *slot);
void pnx__meta_frames(const pnx__slot *slot, void *frames[16]);

/* ---- timer.c, timekeeper.c ------------------------------------------------------------------- */

void pnx__wheel_init(pnx__wheel *wheel, pnx_time now);
/* With the timers lock held. */
void pnx__wheel_add(struct pnx_registry *registry, pnx__slot *slot, pnx_time due);
void pnx__wheel_remove(struct pnx_registry *registry, pnx__slot *slot);
/* Takes one that is due at `now`; NULL: none. */
pnx__slot *pnx__wheel_pop(struct pnx_registry *registry, pnx_time now);
/* When the first is due; exact unless it was canceled meanwhile. PNX_FOREVER: none. */
pnx_time pnx__wheel_next(struct pnx_registry *registry);
bool pnx__wheel_holds(const pnx__slot *slot);

/* Arms (or moves) the slot's timer, unless the slot has moved on from `word`, which has TIMER set.
 *  */
void pnx__timer_arm(struct pnx_registry *registry, pnx__slot *slot, uint64_t word, pnx_time due);
void pnx__timer_cancel(struct pnx_registry *registry, pnx__slot *slot);
/* The timekeeper shall look at `when` at the latest. */
void pnx__timekeeper_by(struct pnx_registry *registry, pnx_time when);
/* Fires what is due and looks after the workers; returns how many timers fired. */
size_t pnx__timekeeper_look(struct pnx_registry *registry);
int pnx__timekeeper_start(struct pnx_registry *registry);
void pnx__timekeeper_end(struct pnx_registry *registry);

/* ---- worker.c -------------------------------------------------------------------------------- */

/* Dispatch lock held. 0 or errno. */
int pnx__worker_start(struct pnx_registry *registry);
/* Joins the threads that have ended. Takes the dispatch lock. */
void pnx__workers_join_ended(struct pnx_registry *registry);
/* After that: how many threads there still are. */
unsigned pnx__workers_left(struct pnx_registry *registry);
/* Replaces hung or ended workers as far as the limits allow. Dispatch lock held. */
void pnx__workers_replace(struct pnx_registry *registry);
/* Workers that run something count as hung from now on, until they come back: they are replaced,
 * and the rest of what they took goes to others. Takes the dispatch lock. */
void pnx__workers_give_up(struct pnx_registry *registry);
/* The same for what one of them took, and it does not count as scanning any more. Dispatch lock. */
void pnx__worker_demote(struct pnx_registry *registry, pnx__worker *worker);
/* Ends all workers that do not hang, or gives up at `deadline`. They are still to be joined. */
void pnx__workers_stop(struct pnx_registry *registry, pnx_time deadline);

/* ---- request.c, report.c, process.c ---------------------------------------------------------- */

/* Releases and waits, as pnx_release_now; `word` is the slot's, of a resource that has not ended.
 *  */
pnx_status pnx__release_now(struct pnx_registry *registry, pnx__slot *slot, uint64_t word,
                            pnx_time deadline, pnx_reason reason, pnx_error *err);
/* pnx_registry_step by whoever waits, which makes nobody the registry's stepper. */
size_t pnx__step(struct pnx_registry *registry, size_t most);
/* Is `stepper` this thread? */
static inline bool pnx__is_stepper(struct pnx_registry *registry)
{
    /* Relaxed: it is this thread's own store, or another's, which is never ours. */
    return atomic_load_explicit(&registry->stepper, memory_order_relaxed) == &pnx__running_in;
}
/* A host's loop on another thread steps this registry: who waits leaves that to it. */
static inline bool pnx__stepped_elsewhere(struct pnx_registry *registry)
{
    return registry->config.wake != NULL && !pnx__is_stepper(registry) &&
           atomic_load_explicit(&registry->stepper, memory_order_relaxed) != NULL;
}
/* As pnx__wait_quiet, for a manual registry, by stepping it. */
pnx_status pnx__quiet_by_hand(struct pnx_registry *registry, pnx_time deadline);
pnx_status pnx__report_fill(struct pnx_registry *registry, pnx_report *report);
/* Failed and abandoned resources stay in their slots, in a list from the oldest on. */
void pnx__kept_add(struct pnx_registry *registry, pnx__slot *slot); /* dispatch lock held */
size_t pnx__kept_trim(struct pnx_registry *registry, pnx__thread *thread, uint64_t most);
/* An abandoned one was given back after all: it leaves the list. */
void pnx__kept_settle(struct pnx_registry *registry, pnx__thread *thread, pnx__slot *slot,
                      uint32_t generation);
/* A mutex that a fork child finds unlocked, whoever held it in the parent. */
typedef struct pnx__process_mutex {
    pthread_mutex_t mutex;
    _Atomic uint32_t epoch;
} pnx__process_mutex;
#define PNX__PROCESS_MUTEX                                                                         \
    {                                                                                              \
        PTHREAD_MUTEX_INITIALIZER, 0                                                               \
    }
/* True: this is the first time in a fork child. */
bool pnx__process_mutex_lock(pnx__process_mutex *mutex);
void pnx__process_mutex_unlock(pnx__process_mutex *mutex);
void pnx__process_add(struct pnx_registry *registry);
void pnx__process_remove(struct pnx_registry *registry);
void pnx__process_lock(void);
void pnx__process_unlock(void);
/* Waits until the exit hook is not at this registry, which was shut down: it will not come back. */
void pnx__process_settle(struct pnx_registry *registry);
/* The last act of a thread that nobody is left to join: the next one that leaves so, or the end of
 * the process, joins it. */
void pnx__process_leave(void);
void pnx__signals_forget(struct pnx_registry *registry);

#endif
