/* SPDX-License-Identifier: MIT */
/*
 * The account: how a snapshot balances under any load without stopping anybody.
 *
 * Threads count transitions (registered, scheduled, started, done, …), each in counters that only
 * they write. What is in a state now is what has entered it less what has left it, and every
 * transition is read once; so the sum over all states is what was registered, whatever the moment:
 *     registered = live + queued + running + waiting + done + failed + abandoned
 * What could go wrong is a state that seems to hold less than nothing, because its exits were read
 * later than its entries. So a snapshot reads *downstream first*: what ended, then what started,
 * then what was scheduled, then what was registered. Each of these happened after the one it reads
 * next (drop counts before it pushes, a worker counts after it popped, …) and counters are written
 * with release and read with acquire, so that an exit that was read has its entry read too.
 * The only ways back upstream are the retry, running → waiting → queued, and the fallback, running
 * → queued. They are rare and slow anyway;
 * it is counted under the dispatch lock, which a snapshot holds, and so stands still.
 */
#include "registry/internal.h"

#include <stdlib.h>
#include <string.h>

pnx__tally *pnx__tally_make(pnx__thread *thread, pnx__kind *kind)
{
    pnx__tally *tally = pnx__alloc(sizeof *tally);
    /* Release: pairs with the acquire in read_count: a reader sees zeros, not garbage. */
    atomic_store_explicit(&thread->tallies[kind->index], tally, memory_order_release);
    return tally; /* NULL: the shared one is used */
}

static void tally_add(pnx__tally *into, pnx__tally *from)
{
    for (unsigned i = 0; i < PNX__N_COUNT; i++)
        atomic_fetch_add_explicit(&into->n[i],
                                  atomic_load_explicit(&from->n[i], memory_order_acquire),
                                  memory_order_acq_rel);
}

/* The thread ends: what it counted goes over. Dispatch lock held, so that no snapshot sees it twice
 * or not at all. */
void pnx__account_retire(struct pnx_registry *registry, pnx__thread *thread)
{
    for (unsigned i = 0; i < PNX__KINDS_MAX; i++) {
        pnx__tally *tally = atomic_load_explicit(&thread->tallies[i], memory_order_relaxed);
        if (tally == NULL)
            continue;
        atomic_store_explicit(&thread->tallies[i], NULL, memory_order_relaxed);
        if (registry->retired[i] == NULL) {
            registry->retired[i] = tally;
        } else {
            tally_add(registry->retired[i], tally);
            pnx__free(tally);
        }
    }
    if (thread->queue_wait != NULL)
        for (unsigned i = 0; i < 3; i++)
            pnx_histogram_merge(&registry->retired_histograms[i], &thread->queue_wait[i]);
}

/* One counter of one kind, over all threads. Dispatch lock held. */
static uint64_t read_count(struct pnx_registry *registry, pnx__kind *kind, pnx__count what)
{
    uint64_t sum = atomic_load_explicit(&kind->shared.n[what], memory_order_acquire);
    if (registry->retired[kind->index] != NULL)
        sum += atomic_load_explicit(&registry->retired[kind->index]->n[what], memory_order_acquire);
    pnx__list_foreach(node, &registry->threads)
    {
        pnx__thread *thread = pnx__container_of(node, pnx__thread, node);
        pnx__tally *tally =
            atomic_load_explicit(&thread->tallies[kind->index], memory_order_acquire);
        if (tally != NULL)
            sum += atomic_load_explicit(&tally->n[what], memory_order_acquire);
    }
    return sum;
}

/* Downstream first; the last stage is where resources come in. */
static const pnx__count reading_order[] = {
    PNX__N_DONE,    PNX__N_FAILED,           PNX__N_ABANDONED, PNX__N_DONE_WAITING,
    PNX__N_RETRIED, PNX__N_REQUEUED,         PNX__N_FELL_BACK, PNX__N_ABANDONED_WAITING,
    PNX__N_LATE,    PNX__N_TIMED_OUT,        PNX__N_FALLBACKS, PNX__N_SCHEDULE_FAILED,
    PNX__N_STARTED, PNX__N_ABANDONED_QUEUED, PNX__N_CLAIMED,   PNX__N_SCHEDULED,
    PNX__N_TAKEN,   PNX__N_LEAKED,           PNX__N_ARMED,
};
_Static_assert(sizeof reading_order / sizeof *reading_order == PNX__N_COUNT, "each once");

static void counts_add(pnx_counts *into, const pnx_counts *from)
{
    into->registered += from->registered;
    into->live += from->live;
    into->queued += from->queued;
    into->running += from->running;
    into->waiting += from->waiting;
    into->done += from->done;
    into->failed += from->failed;
    into->abandoned += from->abandoned;
    into->taken += from->taken;
    into->retried += from->retried;
    into->timed_out += from->timed_out;
    into->fallbacks += from->fallbacks;
    into->late += from->late;
    into->schedule_failed += from->schedule_failed;
    into->leaked += from->leaked;
}

static pnx_counts counts_of(const uint64_t n[PNX__N_COUNT])
{
    pnx_counts counts = {
        .registered = n[PNX__N_ARMED] - n[PNX__N_TAKEN],
        .live = n[PNX__N_ARMED] - n[PNX__N_TAKEN] - n[PNX__N_SCHEDULED] - n[PNX__N_CLAIMED],
        .queued = n[PNX__N_SCHEDULED] + n[PNX__N_REQUEUED] + n[PNX__N_FELL_BACK] -
                  n[PNX__N_STARTED] - n[PNX__N_ABANDONED_QUEUED],
        .running = n[PNX__N_STARTED] + n[PNX__N_CLAIMED] - n[PNX__N_RETRIED] - n[PNX__N_FELL_BACK] -
                   n[PNX__N_DONE] - n[PNX__N_FAILED] - n[PNX__N_ABANDONED],
        .waiting = n[PNX__N_RETRIED] - n[PNX__N_REQUEUED] - n[PNX__N_ABANDONED_WAITING] -
                   n[PNX__N_DONE_WAITING],
        .done = n[PNX__N_DONE] + n[PNX__N_DONE_WAITING],
        .failed = n[PNX__N_FAILED],
        .abandoned = n[PNX__N_ABANDONED] + n[PNX__N_ABANDONED_QUEUED] + n[PNX__N_ABANDONED_WAITING],
        .taken = n[PNX__N_TAKEN],
        .retried = n[PNX__N_RETRIED],
        .timed_out = n[PNX__N_TIMED_OUT],
        .fallbacks = n[PNX__N_FALLBACKS],
        .late = n[PNX__N_LATE],
        .schedule_failed = n[PNX__N_SCHEDULE_FAILED],
        .leaked = n[PNX__N_LEAKED],
    };
    /* A shutdown may give up on what a worker has just claimed and not counted yet: then it counts
     * as queued still, and as running less than nothing. The two cancel out. */
    if ((int64_t)counts.running < 0) {
        counts.queued += counts.running;
        counts.running = 0;
    }
    return counts;
}

/* The counts of one kind, under its own priority. Dispatch lock held. */
static void read_kind(struct pnx_registry *registry, pnx__kind *kind, pnx_kind_stats *ret)
{
    uint64_t n[PNX__N_COUNT];
    for (unsigned i = 0; i < PNX__N_COUNT; i++)
        n[reading_order[i]] = read_count(registry, kind, reading_order[i]);
    *ret = (pnx_kind_stats){.name = kind->kind->name, .counts = counts_of(n)};
    ret->by_priority[kind->kind->priority] = ret->counts;
}

void pnx_registry_counts(pnx_registry *registry, pnx_counts *ret)
{
    *ret = (pnx_counts){0};
    if (pnx__forked(registry))
        return;
    pthread_mutex_lock(&registry->dispatch);
    uint32_t count = atomic_load_explicit(&registry->kind_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        pnx_kind_stats stats;
        read_kind(registry, atomic_load_explicit(&registry->kinds[i], memory_order_acquire),
                  &stats);
        counts_add(ret, &stats.counts);
    }
    pthread_mutex_unlock(&registry->dispatch);
}

uint64_t pnx__outstanding(struct pnx_registry *registry)
{
    /* What follows when an end has been counted: a hook is called, and may queue the next one; a
     * failure is listed, and may be forgotten only then; monitors are told. All that counts, and
     * what began and ended while we read the account counts too: over first, begun last. */
    const uint64_t over = atomic_load_explicit(&registry->epilogues_over, memory_order_seq_cst);
    pnx_counts counts;
    pnx_registry_counts(registry, &counts);
    return counts.queued + counts.running + counts.waiting +
           (atomic_load_explicit(&registry->epilogues_begun, memory_order_seq_cst) - over);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const pnx_kind_stats *)a)->name, ((const pnx_kind_stats *)b)->name);
}

/* Kinds of the same name (one header's kind in several source files) become one entry. */
static size_t merge_same_names(pnx_kind_stats *kinds, size_t count)
{
    if (count == 0)
        return 0;
    qsort(kinds, count, sizeof *kinds, by_name);
    size_t last = 0;
    for (size_t i = 1; i < count; i++) {
        if (strcmp(kinds[last].name, kinds[i].name) != 0) {
            kinds[++last] = kinds[i];
            continue;
        }
        counts_add(&kinds[last].counts, &kinds[i].counts);
        for (unsigned p = 0; p < PNX_PRIORITY_COUNT; p++)
            counts_add(&kinds[last].by_priority[p], &kinds[i].by_priority[p]);
    }
    return last + 1;
}

static void read_histograms(struct pnx_registry *registry, pnx_stats *ret)
{
    pnx_histogram *into[3] = {&ret->queue_wait, &ret->release_time, &ret->drop_time};
    for (unsigned i = 0; i < 3; i++)
        *into[i] = registry->retired_histograms[i];
    pnx__list_foreach(node, &registry->threads)
    {
        pnx__thread *thread = pnx__container_of(node, pnx__thread, node);
        for (unsigned i = 0; i < 3 && thread->queue_wait != NULL; i++)
            pnx_histogram_merge(into[i], &thread->queue_wait[i]);
    }
}

pnx_status pnx_registry_stats(pnx_registry *registry, pnx_stats *ret, pnx_error *err)
{
    if (pnx__forked(registry))
        return pnx_fail(err, PNX_EFORKED, "registry %s belongs to the parent process",
                        registry->name);
    /* Kinds may be added until the lock is taken; room for some more is enough, or tried again. */
    for (;;) {
        uint32_t room = atomic_load_explicit(&registry->kind_count, memory_order_acquire) + 4;
        pnx_kind_stats *kinds = pnx__alloc(room * sizeof *kinds);
        if (kinds == NULL)
            return pnx_fail(err, PNX_ENOMEM, "registry %s: no memory for its statistics",
                            registry->name);
        pthread_mutex_lock(&registry->dispatch);
        uint32_t count = atomic_load_explicit(&registry->kind_count, memory_order_acquire);
        if (count > room) {
            pthread_mutex_unlock(&registry->dispatch);
            pnx__free(kinds);
            continue;
        }
        *ret = (pnx_stats){.registry = registry->name, .kinds = kinds};
        for (uint32_t i = 0; i < count; i++) {
            read_kind(registry, atomic_load_explicit(&registry->kinds[i], memory_order_acquire),
                      &kinds[i]);
            counts_add(&ret->total, &kinds[i].counts);
            for (unsigned p = 0; p < PNX_PRIORITY_COUNT; p++)
                counts_add(&ret->by_priority[p], &kinds[i].by_priority[p]);
        }
        read_histograms(registry, ret);
        uint32_t idle = atomic_load_explicit(&registry->idle, memory_order_relaxed);
        ret->workers = registry->workers_alive;
        ret->workers_idle = idle & PNX__IDLE_SLEEPING;
        ret->workers_hung = registry->workers_hung;
        ret->workers_replaced = registry->workers_replaced;
        ret->workers_max = registry->config.workers_max;
        ret->time = pnx__precise(registry);
        pnx_time oldest = pnx__oldest_queued(registry);
        if (oldest < ret->time)
            ret->oldest_queued = ret->time - oldest;
        pthread_mutex_unlock(&registry->dispatch);
        ret->kind_count = merge_same_names(kinds, count);
        break;
    }
    pthread_mutex_lock(&registry->timers_lock);
    ret->timers = registry->wheel.count;
    pthread_mutex_unlock(&registry->timers_lock);
    ret->slots = (uint64_t)atomic_load_explicit(&registry->chunk_count, memory_order_relaxed)
                 << PNX__CHUNK_BITS;
    ret->backlog_high_water = (uint64_t)registry->backlog_high_water;
    ret->events_lost = pnx__hub_lost(registry->hub);
    ret->shutting_down = atomic_load_explicit(&registry->phase, memory_order_relaxed) != PNX__OPEN;
    return PNX_OK;
}

pnx_health_level pnx_registry_health(pnx_registry *registry, const pnx_health_limits *limits,
                                     pnx_health *ret)
{
    pnx_health local;
    if (ret == NULL)
        ret = &local;
    pnx_stats stats = {0};
    pnx_error err = {0};
    if (pnx_registry_stats(registry, &stats, &err) != PNX_OK) {
        *ret = (pnx_health){.level = PNX_HEALTH_FAILING, .reason_count = 1};
        ret->reasons[0].level = PNX_HEALTH_FAILING;
        (void)pnx_error_format(&err, ret->reasons[0].text, sizeof ret->reasons[0].text);
        return ret->level;
    }
    pnx_stats_health(&stats, limits, ret);
    pnx_stats_done(&stats);
    return ret->level;
}
