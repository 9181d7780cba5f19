/* SPDX-License-Identifier: MIT */
/*
 * Orderly shutdown. Two absolute deadlines are set at the beginning and shared by everything; no
 * step waits for anything but them. Releases never run in the calling thread, for one that hangs
 * would take the caller with it.
 *
 *     OPEN        the intake closes; what is live (unless kept) is queued as leaked; retries are
 *     due DRAINING    workers release by priority, until nothing is left or the grace is over
 *     FALLBACKS   the same, with fallbacks instead of releases, until the hard deadline
 *     ABANDONING  what is still queued, waiting or running is given up and listed
 *     CLOSED      the workers are gone; whoever drops from now on runs it inline
 *
 * Nothing slips through between the last look and the end of the workers: INLINE is set in the idle
 * word *before* the last drain, so whoever queues after that either finds a worker scanning, which
 * will look again, or drains the queue itself. Checked by tests/model/shutdown.pml.
 */
#include "registry/resource.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

/* What shutdown itself may take beyond its deadlines, for workers to notice and end. Before them
 * they have all the time that is left: on a busy machine a thread may not run for that long. */
#define WORKERS_END PNX_MS(100)

typedef bool (*slot_fn)(struct pnx_registry *registry, pnx__slot *slot, uint64_t word);

/* Calls `visit` for every slot in `state`; answers how many times that said true. */
static uint64_t each_in(struct pnx_registry *registry, pnx_state state, slot_fn visit)
{
    uint64_t count = 0;
    const uint32_t chunks = atomic_load_explicit(&registry->chunk_count, memory_order_acquire);
    for (uint32_t index = 0; index < chunks << PNX__CHUNK_BITS; index++) {
        pnx__slot *slot = pnx__slot_at(registry, index);
        const uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
        if (pnx__state_of(word) == state)
            count += visit(registry, slot, word);
    }
    return count;
}

/* Asks for the release of what is live, or ticks just now: between the two it may change at any
 * moment, but not behind the back of this one compare and swap. True: it has leaked. */
static bool leak(struct pnx_registry *registry, pnx__slot *slot, uint64_t word)
{
    /* What the registry keeps for itself, to tick, leaks nothing when it ends; nor does work that
     * was just about to be asked for. */
    const pnx__kind *kind = pnx__kind_of(slot);
    const uint64_t flags = kind->ticks || (kind->flags & PNX_UNHELD) != 0 ? 0 : PNX__LEAKED;
    return pnx__schedule(registry, pnx__thread_get(registry), slot, &word, PNX_SHUTDOWN, -1,
                         flags) &&
           flags != 0;
}

static bool retry_now(struct pnx_registry *registry, pnx__slot *slot, uint64_t word)
{
    (void)word;
    pnx__retry_due(registry, slot);
    return true;
}

static bool fall_back_now(struct pnx_registry *registry, pnx__slot *slot, uint64_t word)
{
    const pnx__kind *kind = pnx__kind_of(slot);
    if (kind->has_fallback && (kind->flags & PNX_FALLBACK_CONCURRENT) != 0 &&
        (word & (PNX__FALLBACK | PNX__TICK)) == 0)
        return pnx__overdue(registry, slot, word);
    return false;
}

static bool give_up(struct pnx_registry *registry, pnx__slot *slot, uint64_t word)
{
    return pnx__overdue(registry, slot, word);
}

static bool give_up_waiting(struct pnx_registry *registry, pnx__slot *slot, uint64_t word)
{
    (void)word;
    pnx__abandon_waiting(registry, slot);
    return true;
}

/* What the account says nobody has is not looked for: the workers are at the slots meanwhile, and
 * would wait for each line that was looked at. Answers how many leaked. */
static uint64_t begin_releases(struct pnx_registry *registry, pnx_live_policy live)
{
    pnx_counts counts;
    uint64_t leaked = 0;
    pnx_registry_counts(registry, &counts);
    if (counts.live + counts.waiting == 0)
        return 0;
    const uint32_t chunks = atomic_load_explicit(&registry->chunk_count, memory_order_acquire);
    for (uint32_t index = 0; index < chunks << PNX__CHUNK_BITS; index++) {
        pnx__slot *slot = pnx__slot_at(registry, index);
        const uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
        const pnx_state state = pnx__state_of(word);
        const bool ticks = (word & PNX__TICK) != 0 && (state == PNX_QUEUED || state == PNX_RUNNING);
        if (ticks || (state == PNX_LIVE && live == PNX_LIVE_RELEASE))
            leaked += leak(registry, slot, word);
        else if (state == PNX_WAITING)
            pnx__retry_due(registry, slot);
    }
    return leaked;
}

static void set_phase(struct pnx_registry *registry, enum pnx__phase phase)
{
    atomic_store_explicit(&registry->phase, phase, memory_order_seq_cst);
}

static bool drained(struct pnx_registry *registry, pnx_time deadline)
{
    return (registry->manual ? pnx__quiet_by_hand(registry, deadline)
                             : pnx__wait_quiet(registry, deadline)) == PNX_OK;
}

/* Does it run on a worker, rather than inline in some other thread? */
static bool on_a_worker(struct pnx_registry *registry, const pnx__slot *slot, uint64_t word)
{
    bool found = false;
    pthread_mutex_lock(&registry->dispatch);
    for (unsigned i = 0; i < registry->worker_count && !found; i++) {
        pnx__worker *worker = registry->workers[i];
        pnx__watched run;
        found = pnx__watch_read(&worker->watch, &run) && run.slot == slot &&
                (run.word ^ word) >> PNX__ATTEMPT_SHIFT == 0;
    }
    pthread_mutex_unlock(&registry->dispatch);
    return found;
}

static bool give_up_on_a_worker(struct pnx_registry *registry, pnx__slot *slot, uint64_t word)
{
    return on_a_worker(registry, slot, word) && pnx__overdue(registry, slot, word);
}

static void abandon(struct pnx_registry *registry, slot_fn give_up_running)
{
    /* First, so that what is left of their batches is found below. */
    pnx__workers_give_up(registry);
    for (;;) {
        pthread_mutex_lock(&registry->dispatch);
        pnx__slot *slot = pnx__pick_any(registry);
        pthread_mutex_unlock(&registry->dispatch);
        if (slot == NULL)
            break;
        pnx__abandon_queued(registry, slot);
    }
    each_in(registry, PNX_WAITING, give_up_waiting);
    each_in(registry, PNX_RUNNING, give_up_running);
}

static void shut_down(struct pnx_registry *registry, const pnx_shutdown_options *options,
                      pnx_report *report)
{
    const pnx_config *config = &registry->config;
    const pnx_time begin = pnx__precise(registry);
    const pnx_time grace_over =
        pnx_time_after(begin, options->grace != 0 ? options->grace : config->shutdown_grace);
    const pnx_time hard =
        pnx_time_after(grace_over, options->hard != 0 ? options->hard : config->shutdown_hard);
    pnx_counts before, after;
    pnx_registry_counts(registry, &before);

    atomic_store_explicit(&registry->intake_closed, 1, memory_order_seq_cst);
    /* Pairs with the fence in pnx_register: it sees this, or we see what it has armed. */
    atomic_thread_fence(memory_order_seq_cst);
    if (PNX_UNLIKELY(pnx__hub_active(registry->hub)))
        pnx__tell_slow(registry, PNX_EVENT_SHUTDOWN_BEGIN, NULL, PNX_OK, begin, -1, -1);
    set_phase(registry, PNX__DRAINING);
    report->leaked = begin_releases(registry, options->live);

    if (!drained(registry, grace_over)) {
        report->deadline_hit = true;
        set_phase(registry, PNX__FALLBACKS);
        /* What runs may hang for ever, and its fallback may be what ends it: others run that. */
        pnx__workers_give_up(registry);
        each_in(registry, PNX_RUNNING, fall_back_now);
        each_in(registry, PNX_WAITING, retry_now);
        (void)drained(registry, hard);
    }
    /* Before INLINE: whoever finds that runs everything by himself, as after the end. */
    set_phase(registry, PNX__ABANDONING);
    atomic_fetch_or_explicit(&registry->idle, PNX__IDLE_INLINE, memory_order_seq_cst);
    if (report->deadline_hit)
        abandon(registry, give_up);
    /* The timekeeper before the workers: what it queues it leaves to them. */
    pnx__timekeeper_end(registry);
    const pnx_time soon = pnx_time_after(pnx__precise(registry), WORKERS_END);
    pnx__workers_stop(registry, soon > hard ? soon : hard);
    /* If all had been given back, but then a guard was dropped so late that a worker took it along
     * which does not come back: only that. What runs inline in other threads meanwhile is theirs.
     *  */
    if (report->deadline_hit)
        abandon(registry, give_up);
    else if (pnx__workers_left(registry) > 0)
        abandon(registry, give_up_on_a_worker);
    pnx__workers_join_ended(registry);
    set_phase(registry, PNX__CLOSED);

    pnx_registry_counts(registry, &after);
    report->released = after.done - before.done;
    report->took = pnx__precise(registry) - begin;
    if (PNX_UNLIKELY(pnx__hub_active(registry->hub)))
        pnx__tell_slow(registry, PNX_EVENT_SHUTDOWN_END, NULL,
                       after.live + after.failed + after.abandoned == 0 ? PNX_OK : PNX_EFAILED, 0,
                       -1, -1);
    /* Relaxed: the lock orders; the exit hook only asks. */
    atomic_store_explicit(&registry->shut_down, true, memory_order_relaxed);
}

pnx_status pnx_registry_shutdown(pnx_registry *registry, const pnx_shutdown_options *options,
                                 pnx_report *ret, pnx_error *err)
{
    pnx_report local = {0};
    pnx_report *report = ret != NULL ? ret : &local;
    *report = (pnx_report){0};
    if (pnx__forked(registry))
        return pnx_fail(err, PNX_EFORKED, "registry %s belongs to the parent: it shuts it down",
                        registry->name);
    if (pnx__running_in == registry || pnx__hub_inside(registry->hub))
        return pnx_fail(err, PNX_EDEADLOCK,
                        "registry %s: a shutdown from inside its own release or monitor would "
                        "wait for itself; use pnx_request_shutdown",
                        registry->name);
    const pnx_shutdown_options none = {0};
    pthread_mutex_lock(&registry->shutdown_lock);
    if (!atomic_load_explicit(&registry->shut_down, memory_order_relaxed)) /* under the lock */
        shut_down(registry, options != NULL ? options : &none, report);
    pnx_status status = pnx__report_fill(registry, report);
    report->threads_left = pnx__workers_left(registry);
    pthread_mutex_unlock(&registry->shutdown_lock);
    if (registry->manual)
        pnx__hub_deliver(registry->hub);

    const size_t left = report->survivor_count;
    if (status == PNX_OK && left > 0)
        status = pnx_fail(err, PNX_EFAILED, "registry %s: %zu resources were not given back",
                          registry->name, left);
    else if (status != PNX_OK && left == 0)
        status = PNX_OK; /* nothing is missing from an empty list */
    pnx_report_done(&local);
    return status;
}

/* ---- requests -------------------------------------------------------------------------------- */

void pnx_request_shutdown(pnx_registry *registry)
{
    /* The descriptor is shared with the parent, who asked for nothing. */
    if (pnx__forked(registry))
        return;
    /* Only async-signal-safe calls: two stores, a futex and a write. */
    const int saved = errno;
    atomic_store_explicit(&registry->intake_closed, 1, memory_order_seq_cst);
    if (atomic_exchange_explicit(&registry->requested, 1, memory_order_seq_cst) == 0) {
        pnx__futex_wake(&registry->requested, UINT32_MAX);
        const uint64_t one = 1;
        ssize_t written = write(registry->request_fd, &one, sizeof one);
        (void)written; /* an eventfd takes it, or is readable already */
    }
    errno = saved;
}

bool pnx_shutdown_requested(const pnx_registry *registry)
{
    return atomic_load_explicit(&registry->requested, memory_order_acquire) != 0;
}

pnx_status pnx_wait_shutdown_request(pnx_registry *registry, pnx_time deadline)
{
    while (!pnx_shutdown_requested(registry)) {
        if (deadline != PNX_FOREVER && pnx__now() >= deadline)
            return PNX_ETIMEOUT;
        pnx__futex_wait(&registry->requested, 0, deadline);
    }
    return PNX_OK;
}

int pnx_shutdown_fd(pnx_registry *registry)
{
    return registry->request_fd;
}
