/* SPDX-License-Identifier: MIT */
/*
 * Workers: threads that pick what is next, run it, and sleep when there is nothing.
 *
 * A worker takes several short releases at a time, as many as fit into some ten microseconds, so
 * that the dispatch lock costs next to nothing; while it runs them it still counts as scanning,
 * because it will look again at once. What lets it run something long unnoticed is made up for by
 * the timekeeper, which demotes it after the stall limit and gives the rest of its batch to others.
 * When it has only one to run, it gives up scanning by itself.
 */
#include "registry/internal.h"

#include <sched.h>

/* Batches double while they take less than this, and halve when they take more than five times
 * that: short enough not to matter for anybody's latency, long enough to hide the lock. */
#define BATCH_SHORT PNX_US(20)
/* Looks at empty inboxes before going to sleep; some microseconds. A producer that drops at a
 * steady pace then rarely pays for a wake-up (6 us), and an idle registry sleeps at once by any
 * measure. */
#define LOOKS_BEFORE_SLEEP 100

/* ---- running a batch ------------------------------------------------------------------------- */

static void run_alone(struct pnx_registry *registry, pnx__thread *thread, pnx__worker *worker)
{
    atomic_store_explicit(&worker->role, PNX__ROLE_AWAY, memory_order_relaxed);
    pnx__scanning_leave(registry);
    pnx__run_one(registry, thread, worker, worker->batch[0]);
    atomic_store_explicit(&worker->role, PNX__ROLE_SCANNING, memory_order_relaxed);
    pnx__scanning_enter(registry);
}

static void run_batch(struct pnx_registry *registry, pnx__thread *thread, pnx__worker *worker,
                      unsigned count)
{
    const unsigned rank = pnx__rank_of(worker->batch[0].word);
    const pnx_time started = pnx__now();
    unsigned i = 0;
    /* Release: the timekeeper that demotes us sees the batch. */
    atomic_store_explicit(&worker->role, PNX__ROLE_RUNNING, memory_order_release);
    while (i < count) {
        worker->batch_next = i + 1;
        if (i + 1 < count)
            __builtin_prefetch(worker->batch[i + 1].slot, 1);
        pnx__run_one(registry, thread, worker, worker->batch[i++]);
        if (PNX_UNLIKELY(atomic_load_explicit(&worker->role, memory_order_relaxed) !=
                         PNX__ROLE_RUNNING))
            i = count; /* demoted: the rest is with others now */
        else if (i < count && PNX_UNLIKELY(pnx__higher_visible(registry, rank)))
            break;
    }
    uint32_t role = PNX__ROLE_RUNNING;
    /* acq_rel: pairs with the timekeeper's compare and swap. */
    if (!atomic_compare_exchange_strong_explicit(&worker->role, &role, PNX__ROLE_SCANNING,
                                                 memory_order_acq_rel, memory_order_relaxed)) {
        atomic_store_explicit(&worker->role, PNX__ROLE_SCANNING, memory_order_relaxed);
        pnx__scanning_enter(registry);
    } else if (i < count) {
        pthread_mutex_lock(&registry->dispatch);
        pnx__unpick(registry, &worker->batch[i], count - i);
        pthread_mutex_unlock(&registry->dispatch);
        atomic_fetch_add_explicit(&registry->backlog, count - i, memory_order_relaxed);
    }
    worker->batch_next = count;
    const pnx_duration took = pnx__now() - started;
    if (took < BATCH_SHORT && worker->batch_limit < PNX__BATCH)
        worker->batch_limit *= 2;
    else if (took > 5 * BATCH_SHORT && worker->batch_limit > 1)
        worker->batch_limit /= 2;
}

/* With no worker left that could come, drops do what they may by themselves; see
 * pnx__drain_inline. Dispatch lock held. */
static void update_inline(struct pnx_registry *registry)
{
    if (registry->stop || registry->manual)
        return;
    /* seq_cst, as everything about the idle word. */
    if (registry->workers_alive == registry->workers_hung)
        atomic_fetch_or_explicit(&registry->idle, PNX__IDLE_INLINE, memory_order_seq_cst);
    else if (atomic_load_explicit(&registry->phase, memory_order_relaxed) < PNX__FALLBACKS)
        atomic_fetch_and_explicit(&registry->idle, ~PNX__IDLE_INLINE, memory_order_seq_cst);
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* The first moment at which something in the batch may need the timekeeper. */
static pnx_time batch_due(struct pnx_registry *registry, const pnx__worker *worker, pnx_time now,
                          unsigned count, bool alone)
{
    /* Alone it has given up scanning, and there is no rest of the batch: it may take its time. */
    pnx_duration span =
        registry->config.workers > 1 && !alone ? registry->config.stall_limit : PNX_FOREVER;
    for (unsigned i = 0; i < count; i++) {
        const pnx_duration timeout = pnx__kind_of(worker->batch[i].slot)->timeout;
        if (timeout < span)
            span = timeout;
    }
    return pnx_time_after(now, span);
}

/* Fills the batch; 0: nothing to do. False: this worker shall end. */
static bool take_batch(struct pnx_registry *registry, pnx__worker *worker, unsigned *ret_count,
                       bool *ret_alone)
{
    const pnx_time now = pnx__tick_time(registry);
    pthread_mutex_lock(&registry->dispatch);
    if (worker->hung) {
        worker->hung = false;
        registry->workers_hung--;
        update_inline(registry);
    }
    worker->busy = false;
    worker->batch_count = 0;
    if (registry->workers_alive - registry->workers_hung > registry->config.workers) {
        pthread_mutex_unlock(&registry->dispatch);
        return false; /* it was replaced while it hung */
    }
    const unsigned count = pnx__pick(registry, worker->batch, worker->batch_limit, now);
    if (count > 0) {
        worker->busy = true;
        worker->batch_count = count;
        *ret_alone = count == 1 && registry->config.workers > 1 && !pnx__work_visible(registry);
        /* Under the lock, like the look of the timekeeper: it sees us, or we lower its alarm. */
        pnx__timekeeper_by(registry, batch_due(registry, worker, now, count, *ret_alone));
    }
    const bool over = count == 0 && registry->stop;
    pthread_mutex_unlock(&registry->dispatch);
    if (count > 0)
        atomic_fetch_sub_explicit(&registry->backlog, count, memory_order_relaxed);
    *ret_count = count;
    return !over;
}

static bool look_again(struct pnx_registry *registry)
{
    for (unsigned i = 0; i < LOOKS_BEFORE_SLEEP; i++) {
        if (pnx__work_visible(registry))
            return true;
        pnx__pause();
    }
    return false;
}

/* Nothing to do: tells those that wait for just that, and sleeps unless something comes up. */
static void rest(struct pnx_registry *registry)
{
    pnx__quiet_check(registry);
    if (!look_again(registry))
        pnx__worker_sleep(registry);
}

static void work(struct pnx_registry *registry, pnx__thread *thread, pnx__worker *worker)
{
    for (;;) {
        unsigned count = 0;
        bool alone = false;
        if (!take_batch(registry, worker, &count, &alone))
            return;
        if (alone)
            run_alone(registry, thread, worker);
        else if (count > 0)
            run_batch(registry, thread, worker, count);
        else if (pnx__work_visible(registry))
            sched_yield(); /* a push is between its two steps, by a thread that was preempted */
        else
            rest(registry);
    }
}

/* The thread ends: because it shall, or because a release ended it. */
static void worker_ends(void *argument)
{
    pnx__worker *worker = argument;
    struct pnx_registry *registry = worker->registry;
    const bool broken = worker->about_slot != NULL;
    if (broken)
        pnx__attempt_broken(registry, pnx__thread_get(registry), worker);

    uint32_t role = PNX__ROLE_RUNNING;
    bool scanning = atomic_load_explicit(&worker->role, memory_order_relaxed) == PNX__ROLE_SCANNING;
    if (atomic_compare_exchange_strong_explicit(&worker->role, &role, PNX__ROLE_AWAY,
                                                memory_order_acq_rel, memory_order_relaxed))
        scanning = true;
    if (broken && role == PNX__ROLE_RUNNING && worker->batch_next < worker->batch_count) {
        pthread_mutex_lock(&registry->dispatch);
        pnx__unpick(registry, &worker->batch[worker->batch_next],
                    worker->batch_count - worker->batch_next);
        pthread_mutex_unlock(&registry->dispatch);
        atomic_fetch_add_explicit(&registry->backlog, worker->batch_count - worker->batch_next,
                                  memory_order_relaxed);
    }
    if (scanning)
        pnx__scanning_leave(registry);
    /* The last one out: who queued while it still counted as scanning has left it to us. */
    if ((atomic_load_explicit(&registry->idle, memory_order_seq_cst) & PNX__IDLE_INLINE) != 0 &&
        pnx__work_visible(registry))
        pnx__drain_inline(registry);
    pthread_mutex_lock(&registry->dispatch);
    if (worker->hung) {
        worker->hung = false;
        registry->workers_hung--;
    }
    worker->busy = false;
    worker->ended = true;
    registry->workers_alive--;
    pnx__workers_replace(registry);
    pthread_mutex_unlock(&registry->dispatch);
    pnx__timekeeper_by(registry, 0); /* to join us */
    pnx__quiet_check(registry);
}

static void *worker_main(void *argument)
{
    pnx__worker *worker = argument;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_cleanup_push(worker_ends, worker);
    /* Without a block of its own it counts and recycles more slowly, but just as well. */
    pnx__thread *thread = pnx__thread_make(worker->registry);
    work(worker->registry, thread, worker);
    pthread_cleanup_pop(1);
    return NULL;
}

/* ---- starting, replacing, joining ------------------------------------------------------------ */

int pnx__worker_start(struct pnx_registry *registry)
{
    pnx__worker *worker = pnx__alloc(sizeof *worker);
    if (worker == NULL)
        return ENOMEM;
    if (registry->worker_count == registry->workers_room) {
        pnx__free(worker);
        return EAGAIN; /* an ended one is still to be joined */
    }
    worker->registry = registry;
    worker->batch_limit = 1;
    atomic_store_explicit(&worker->role, PNX__ROLE_SCANNING, memory_order_relaxed);
    pnx__scanning_enter(registry);
    int error = pnx__thread_create(&worker->thread, registry->config.worker_stack, worker_main,
                                   worker, "pnx-worker");
    if (error != 0) {
        pnx__scanning_leave(registry);
        pnx__free(worker);
        return error;
    }
    registry->workers[registry->worker_count++] = worker;
    registry->workers_alive++;
    return 0;
}

/* When no thread could be had: how long until the next try. */
#define REPLACE_AGAIN PNX_MS(100)

void pnx__workers_replace(struct pnx_registry *registry)
{
    while (!registry->stop && !registry->manual && /* there never are any by hand */
           registry->workers_alive - registry->workers_hung < registry->config.workers &&
           registry->workers_alive < registry->config.workers_max) {
        int error = pnx__worker_start(registry);
        if (error != 0) {
            pnx__log(PNX_LOG_ERROR,
                     "registry %s: cannot replace a worker (errno %d); %u of %u left",
                     registry->name, error, registry->workers_alive - registry->workers_hung,
                     registry->config.workers);
            pnx__timekeeper_by(registry, pnx_time_after(pnx__precise(registry), REPLACE_AGAIN));
            break;
        }
        registry->workers_replaced++;
    }
    update_inline(registry);
}

void pnx__workers_join_ended(struct pnx_registry *registry)
{
    for (;;) {
        pnx__worker *ended = NULL;
        pthread_mutex_lock(&registry->dispatch);
        for (unsigned i = 0; i < registry->worker_count; i++)
            if (registry->workers[i]->ended) {
                ended = registry->workers[i];
                registry->workers[i] = registry->workers[--registry->worker_count];
                break;
            }
        pthread_mutex_unlock(&registry->dispatch);
        if (ended == NULL)
            return;
        /* It is on its last lines; but a worker may end itself from a release that called exit. */
        if (!pthread_equal(ended->thread, pthread_self()))
            (void)pthread_join(ended->thread, NULL);
        pnx__free(ended);
    }
}

void pnx__worker_demote(struct pnx_registry *registry, pnx__worker *worker)
{
    uint32_t role = PNX__ROLE_RUNNING;
    /* acq_rel: pairs with the worker's compare and swap at the end of its batch. */
    if (atomic_compare_exchange_strong_explicit(&worker->role, &role, PNX__ROLE_DEMOTED,
                                                memory_order_acq_rel, memory_order_relaxed)) {
        pnx__rescue(registry, worker->batch, worker->batch_count);
        pnx__scanning_leave(registry);
    }
}

void pnx__workers_give_up(struct pnx_registry *registry)
{
    pthread_mutex_lock(&registry->dispatch);
    for (unsigned i = 0; i < registry->worker_count; i++) {
        pnx__worker *worker = registry->workers[i];
        pnx__watched run;
        if (worker->hung || worker->ended || !pnx__watch_read(&worker->watch, &run))
            continue;
        pnx__worker_demote(registry, worker);
        worker->hung = true;
        registry->workers_hung++;
    }
    pnx__workers_replace(registry);
    pthread_mutex_unlock(&registry->dispatch);
}

unsigned pnx__workers_left(struct pnx_registry *registry)
{
    for (;;) {
        pnx__workers_join_ended(registry);
        pthread_mutex_lock(&registry->dispatch);
        const unsigned left = registry->workers_alive, entries = registry->worker_count;
        pthread_mutex_unlock(&registry->dispatch);
        if (entries == left)
            return left;
        /* One has ended just now: it is on its last lines, and they are about this registry. */
    }
}

void pnx__workers_stop(struct pnx_registry *registry, pnx_time deadline)
{
    pthread_mutex_lock(&registry->dispatch);
    registry->stop = true;
    atomic_fetch_or_explicit(&registry->idle, PNX__IDLE_STOP, memory_order_seq_cst);
    pthread_mutex_unlock(&registry->dispatch);
    pnx__wake_all(registry);
    /* All that do not hang end now; whoever hangs is left, and told in the report. */
    atomic_fetch_add_explicit(&registry->quiet_waiters, 1, memory_order_seq_cst);
    for (;;) {
        const uint32_t word = atomic_load_explicit(&registry->quiet_word, memory_order_seq_cst);
        pthread_mutex_lock(&registry->dispatch);
        const unsigned left = registry->workers_alive - registry->workers_hung;
        pthread_mutex_unlock(&registry->dispatch);
        if (left == 0 || pnx__precise(registry) >= deadline)
            break;
        pnx__futex_wait(&registry->quiet_word, word, deadline);
    }
    atomic_fetch_sub_explicit(&registry->quiet_waiters, 1, memory_order_seq_cst);
}
