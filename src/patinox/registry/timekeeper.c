/* SPDX-License-Identifier: MIT */
/*
 * The timekeeper: the one thread that waits for time. It sleeps until the first timer is due or the
 * first running release could be late; with neither it sleeps for ever. Whoever needs it earlier
 * moves its timerfd, which costs no wake-up.
 *
 * `wake_at` is when it will look. It is lowered under the timers lock together with the timerfd;
 * the timekeeper itself raises it to "never" before it looks, and lowers it again after: so
 * whatever comes up while it looks is either seen or lowers it.
 */
#include "registry/resource.h"

#include <poll.h>
#include <unistd.h>

/* Sets the timerfd; tries twice, for a failure that passes must not stop the clock. */
static bool set_timer(struct pnx_registry *registry, pnx_time when)
{
    if (PNX_LIKELY(pnx__timerfd_set(registry->timer_fd, when) == 0) ||
        pnx__timerfd_set(registry->timer_fd, when) == 0)
        return true;
    if (atomic_exchange_explicit(&registry->timer_lost, 1, memory_order_relaxed) == 0)
        pnx__log(
            PNX_LOG_ERROR,
            "registry %s: its timer descriptor %d was closed or replaced by the program: "
            "time-outs, retries and expiries may not happen any more; close only what is yours",
            registry->name, registry->timer_fd);
    return false;
}

/* Timers lock held. */
static void lower(struct pnx_registry *registry, pnx_time when)
{
    if (when >= atomic_load_explicit(&registry->wake_at, memory_order_relaxed))
        return;
    if (registry->manual || set_timer(registry, when))
        atomic_store_explicit(&registry->wake_at, when, memory_order_relaxed);
}

void pnx__timekeeper_by(struct pnx_registry *registry, pnx_time when)
{
    /* Relaxed: if it was raised just now, the look that follows sees what we are here for. */
    if (PNX_LIKELY(when >= atomic_load_explicit(&registry->wake_at, memory_order_relaxed)))
        return;
    pthread_mutex_lock(&registry->timers_lock);
    lower(registry, when);
    pthread_mutex_unlock(&registry->timers_lock);
    if (registry->manual && registry->config.wake != NULL)
        registry->config.wake(registry->config.wake_context);
}

/* ---- timers ---------------------------------------------------------------------------------- */

pnx_time pnx__period_next(struct pnx_registry *registry, const pnx__slot *slot)
{
    const pnx_duration period =
        (pnx_duration)atomic_load_explicit(&slot->span_or_status, memory_order_relaxed)
        << PNX__TICK_SHIFT;
    /* From now, not from when it was due: a tick that is late is not made up for. */
    return pnx_time_after(pnx__precise(registry), period);
}

/* What a live resource's timer does; with the timers lock held, so that a renewal comes either
 * before (then this timer is not in the wheel) or finds the resource not live any more. True: the
 * caller must queue it, once the lock is gone. */
static bool fire_live(struct pnx_registry *registry, pnx__slot *slot, uint64_t *word, pnx_time now)
{
    if (pnx__kind_of(slot)->ticks) {
        uint64_t next = pnx__with_state(*word, PNX_QUEUED) | PNX__TICK;
        if (!atomic_compare_exchange_strong_explicit(&slot->word, word, next, memory_order_acq_rel,
                                                     memory_order_relaxed))
            return false;
        *word = next;
        atomic_store_explicit(&slot->since, now, memory_order_relaxed);
        return true;
    }
    if ((*word & PNX__IDLE_SPAN) != 0) {
        const pnx_duration span =
            (pnx_duration)atomic_load_explicit(&slot->span_or_status, memory_order_relaxed)
            << PNX__TICK_SHIFT;
        const pnx_time due =
            pnx_time_after(atomic_load_explicit(&slot->since, memory_order_relaxed), span);
        if (due > now) { /* it was touched */
            pnx__wheel_add(registry, slot, due);
            return false;
        }
    }
    return pnx__schedule_claim(slot, word, PNX_EXPIRY, -1, 0);
}

/* One timer that is due. False: there is none. */
static bool fire_one(struct pnx_registry *registry, pnx_time now)
{
    pthread_mutex_lock(&registry->timers_lock);
    pnx__slot *slot = pnx__wheel_pop(registry, now);
    if (slot == NULL) {
        pthread_mutex_unlock(&registry->timers_lock);
        return false;
    }
    /* Acquire: pairs with whoever armed it. */
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    bool queue = false;
    while (pnx__state_of(word) == PNX_LIVE && !queue && !pnx__wheel_holds(slot)) {
        const uint64_t before = word;
        queue = fire_live(registry, slot, &word, now);
        if (!queue && word == before)
            break;
    }
    pthread_mutex_unlock(&registry->timers_lock);

    if (queue && (word & PNX__TICK) != 0)
        pnx__requeue(registry, slot, pnx__rank_of(word));
    else if (queue)
        pnx__schedule_queue(registry, pnx__thread_get(registry), slot, word);
    else if (pnx__state_of(word) == PNX_RUNNING && (word & PNX__PENDING) != 0)
        pnx__overdue(registry, slot, word);
    else if (pnx__state_of(word) == PNX_WAITING)
        pnx__retry_due(registry, slot);
    return true;
}

/* ---- workers --------------------------------------------------------------------------------- */

typedef struct {
    pnx__worker *worker;
    pnx__watched run;
} late_run;

/* When this worker must be looked at again; fills `*ret_late` (run.slot NULL: not late). Dispatch
 * lock held, so that the worker is somewhere between two visits to the dispatcher. */
static pnx_time look_at(struct pnx_registry *registry, pnx__worker *worker, pnx_time now,
                        late_run *ret_late)
{
    *ret_late = (late_run){.worker = worker};
    const pnx_duration stall = registry->config.stall_limit;
    pnx__watched run;
    if (!pnx__watch_read(&worker->watch, &run))
        return pnx_time_after(now, stall); /* between two releases */
    const pnx_duration timeout = pnx__kind_of(run.slot)->timeout;
    const pnx_time late_at = pnx_time_after(run.since, timeout);
    if (atomic_load_explicit(&worker->role, memory_order_relaxed) == PNX__ROLE_RUNNING) {
        const pnx_time stalled_at = pnx_time_after(run.since, timeout < stall ? timeout : stall);
        if (stalled_at > now)
            return stalled_at;
        pnx__worker_demote(registry, worker);
    }
    if (late_at > now)
        return late_at;
    ret_late->run = run;
    return PNX_FOREVER;
}

/* Looks after the workers; answers when to look again. */
static pnx_time look_at_workers(struct pnx_registry *registry, pnx_time now)
{
    late_run late[16];
    unsigned late_count = 0;
    pnx_time next = PNX_FOREVER;
    pthread_mutex_lock(&registry->dispatch);
    for (unsigned i = 0; i < registry->worker_count; i++) {
        pnx__worker *worker = registry->workers[i];
        if (!worker->busy || worker->hung || worker->ended)
            continue;
        if (late_count == sizeof late / sizeof *late) {
            next = now; /* the others right after these */
            break;
        }
        const pnx_time due = look_at(registry, worker, now, &late[late_count]);
        if (late[late_count].run.slot != NULL)
            late_count++;
        if (due < next)
            next = due;
    }
    if (registry->workers_alive - registry->workers_hung < registry->config.workers)
        pnx__workers_replace(registry);
    pthread_mutex_unlock(&registry->dispatch);

    for (unsigned i = 0; i < late_count; i++) {
        if (!pnx__overdue(registry, late[i].run.slot, late[i].run.word))
            continue;
        pthread_mutex_lock(&registry->dispatch);
        /* Unless it has just come back, its thread is lost for as long as the release runs. */
        if (pnx__watch_is(&late[i].worker->watch, late[i].run.number)) {
            late[i].worker->hung = true;
            registry->workers_hung++;
            pnx__workers_replace(registry);
        }
        pthread_mutex_unlock(&registry->dispatch);
    }
    return next;
}

/* ---- the thread ------------------------------------------------------------------------------ */

size_t pnx__timekeeper_look(struct pnx_registry *registry)
{
    pthread_mutex_lock(&registry->timers_lock);
    atomic_store_explicit(&registry->wake_at, PNX_FOREVER, memory_order_relaxed);
    pthread_mutex_unlock(&registry->timers_lock);

    const pnx_time now = pnx__precise(registry);
    size_t fired = 0;
    while (fire_one(registry, now))
        fired++;
    pnx_time next = PNX_FOREVER;
    if (!registry->manual) {
        pnx__workers_join_ended(registry); /* first: it makes room for those who replace them */
        next = look_at_workers(registry, now);
    }

    pnx__quiet_check(registry); /* what was given up has ended too */
    pthread_mutex_lock(&registry->timers_lock);
    const pnx_time timer = pnx__wheel_next(registry);
    lower(registry, timer < next ? timer : next);
    pthread_mutex_unlock(&registry->timers_lock);
    return fired;
}

/* Sleeps until the timerfd is due. It may be canceled here, and only here; see pnx__timekeeper_end.
 *  */
static void sleep_until_due(struct pnx_registry *registry)
{
    struct pollfd timer = {.fd = registry->timer_fd, .events = POLLIN};
    int state;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
    const int ready = poll(&timer, 1, -1);
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    /* Disarmed, not read: if the number is another file's by now, nothing of it is consumed. Not
     * ours any more, it would be ready at once again and again. */
    if (ready > 0 && !set_timer(registry, PNX_FOREVER))
        (void)poll(NULL, 0, 10);
}

static void *timekeeper_main(void *argument)
{
    struct pnx_registry *registry = argument;
    pnx__runs_nothing = true;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    (void)pnx__thread_make(registry); /* without it counting is slower, nothing else */
    /* Right before it sleeps: the alarm for the end may have been moved by its own last look. */
    while (atomic_load_explicit(&registry->timekeeper_stop, memory_order_acquire) == 0) {
        sleep_until_due(registry);
        pnx__timekeeper_look(registry);
    }
    return NULL;
}

int pnx__timekeeper_start(struct pnx_registry *registry)
{
    int error = pnx__thread_create(&registry->timekeeper, registry->config.worker_stack,
                                   timekeeper_main, registry, "pnx-time");
    registry->timekeeper_started = error == 0;
    return error;
}

void pnx__timekeeper_end(struct pnx_registry *registry)
{
    if (!registry->timekeeper_started)
        return;
    pthread_mutex_lock(&registry->timers_lock);
    /* Release: pairs with the acquire in timekeeper_main. */
    atomic_store_explicit(&registry->timekeeper_stop, 1, memory_order_release);
    /* From here on nobody but the timekeeper itself moves the alarm away. */
    atomic_store_explicit(&registry->wake_at, INT64_MIN, memory_order_relaxed);
    const bool told = set_timer(registry, 0);
    pthread_mutex_unlock(&registry->timers_lock);
    if (!told) /* it may be asleep on a file that nobody can reach any more */
        (void)pthread_cancel(registry->timekeeper);
    (void)pthread_join(registry->timekeeper, NULL);
    registry->timekeeper_started = false;
}
