/* SPDX-License-Identifier: MIT */
/*
 * Who delivers: the hub's thread; where there is none (manual hubs, or no thread could be made) the
 * callers of flush, detach and pnx__hub_deliver, one at a time, told by `delivering`.
 *
 * Nothing is taken off the ring before every monitor has seen it, and each monitor knows the next
 * position that it wants. So whoever delivers can end at any point, even inside a monitor, and the
 * next one goes on from there: nothing is seen twice, and nothing skipped.
 */
#include "monitor/hub.h"

#include "base/fork.h"
#include "base/log.h"

#include <limits.h>
#include <sched.h>

struct pnx_monitor {
    pnx__list link;
    struct pnx__hub *hub;
    uint32_t epoch; /* the hub's; a fork child may have freed its copy of the hub */
    pnx_monitor_fn function;
    void *context;
    uint64_t wants; /* position of the next event that it shall see */
    bool ended;     /* it ended its thread, or is being detached: it is not called any more */
};

/* Is this a fork child of the process that made the hub? Then nobody may touch the hub's lock. */
static bool is_foreign(const struct pnx__hub *hub)
{
    return hub->epoch != pnx__fork_epoch();
}

static struct pnx__ring *ring_of(const struct pnx__hub *hub)
{
    /* Acquire: pairs with the release in prepare(). */
    return atomic_load_explicit(&hub->ring, memory_order_acquire);
}

/* ---- waiting and waking ---------------------------------------------------------------------- */

/*
 * What the delivery thread does while there is nothing to deliver. After its work it dozes for a
 * moment before it goes to sleep: who emits in that moment does not wake it, so that a busy program
 * pays for at most 5000 wake-ups a second, and not for one an event. Measured on two cores: with an
 * event each 9 µs emitting one costs 0.05 µs with the doze and 2.6 µs without; with one each 81 µs,
 * 0.15 and 32 µs. More than 200 µs would gain little, and fill the ring (ring.h).
 */
enum nap { AWAKE, DOZING, SLEEPING };
#define DOZE PNX_US(200)

/*
 * No event is left behind a sleeping thread: who emits publishes the event and then looks at `nap`;
 * the thread writes SLEEPING and then looks for events. All four are seq_cst, so that not both can
 * miss what the other one wrote (Dekker). Partners: pnx__ring_push with the load here, and in
 * sleep_until_event() the store with pnx__ring_peek.
 */
static void wake_from(struct pnx__hub *hub, enum nap lightest)
{
    if (PNX_LIKELY(atomic_load_explicit(&hub->nap, memory_order_seq_cst) < lightest)) {
        return;
    }
    /* Relaxed: it only chooses one of many to make the call. The ring, or the lock, orders. */
    if (atomic_exchange_explicit(&hub->nap, AWAKE, memory_order_relaxed) != AWAKE) {
        pnx__futex_wake(&hub->nap, 1);
    }
}

void pnx__hub_emit(struct pnx__hub *hub, const pnx_event *event)
{
    /* Relaxed: a hint; ring_of() acquires. */
    if (atomic_load_explicit(&hub->listening, memory_order_relaxed) == 0 || is_foreign(hub)) {
        return; /* nobody, or only a tracer */
    }
    bool kept = pnx__ring_push(ring_of(hub), event);
    wake_from(hub, kept ? SLEEPING : DOZING);
}

uint64_t pnx__hub_lost(const struct pnx__hub *hub)
{
    struct pnx__ring *ring = ring_of(hub);
    return ring ? pnx__ring_lost(ring) : 0;
}

/* With the lock: wakes all who wait; they look again, and say anew what they wait for. Relaxed: the
 * lock orders. */
static void tell_waiters(struct pnx__hub *hub)
{
    if (hub->waiters) {
        hub->awaited = UINT64_MAX;
        atomic_fetch_add_explicit(&hub->progress, 1, memory_order_relaxed);
        pnx__futex_wake(&hub->progress, UINT_MAX);
    }
}

/* The same, after each step of the delivery: costs nothing until it is what somebody waits for. */
static void tell_step(struct pnx__hub *hub)
{
    if (hub->head >= hub->awaited) {
        tell_waiters(hub);
    }
}

/*
 * With the lock, which is released meanwhile: waits until the events before `position` have been
 * delivered (0: for any step of the delivery; UINT64_MAX: for none), until who delivers stops, or
 * for no reason. 0 or ETIMEDOUT. No condition variable: a futex is no cancellation point.
 */
static int wait_for_progress(struct pnx__hub *hub, uint64_t position, pnx_time deadline)
{
    /* Relaxed: read and written under the lock. */
    uint32_t progress = atomic_load_explicit(&hub->progress, memory_order_relaxed);
    if (position < hub->awaited) {
        hub->awaited = position;
    }
    hub->waiters++; /* from here on the thread does not begin to doze */
    wake_from(hub, DOZING);
    pthread_mutex_unlock(&hub->lock);
    int result = pnx__futex_wait(&hub->progress, progress, deadline);
    pthread_mutex_lock(&hub->lock);
    hub->waiters--;
    return result;
}

/* ---- delivering ------------------------------------------------------------------------------ */

/* Takes the lock again after a monitor. A monitor that forks comes back in the child too, whose
 * copy of the lock some other thread may have held: it gets a new one, and the deliverer leaves. */
static void relock(struct pnx__hub *hub)
{
    if (is_foreign(hub)) {
        pthread_mutex_init(&hub->lock, NULL);
    }
    pthread_mutex_lock(&hub->lock);
}

/* With the lock, which is released while a monitor runs. */
static void show(struct pnx__hub *hub, const pnx_event *event)
{
    pnx__list_foreach(node, &hub->monitors)
    {
        struct pnx_monitor *monitor = pnx__container_of(node, struct pnx_monitor, link);
        if (monitor->ended || monitor->wants > hub->head || is_foreign(hub)) {
            continue;
        }
        monitor->wants = hub->head + 1;
        hub->running = monitor; /* this keeps it in the list */
        pthread_mutex_unlock(&hub->lock);
        monitor->function(event, monitor->context);
        relock(hub);
        hub->running = NULL;
        tell_step(hub);
    }
}

static void monitor_ended_thread(void *argument);

/* With the lock: delivers the events before `end` that have been published. Returns how many. */
static size_t deliver(struct pnx__hub *hub, uint64_t end)
{
    uint64_t begin = hub->head;
    const pnx_event *event;

    hub->delivering = true;
    hub->deliverer = pthread_self();
    pthread_cleanup_push(monitor_ended_thread, hub);
    while (hub->head < end && !is_foreign(hub) &&
           (event = pnx__ring_peek(ring_of(hub), hub->head)) != NULL) {
        show(hub, event);
        pnx__ring_free(ring_of(hub), hub->head);
        hub->head++;
        tell_step(hub);
    }
    pthread_cleanup_pop(0);
    hub->delivering = false;
    tell_waiters(hub);
    return (size_t)(hub->head - begin);
}

/* With the lock. */
static bool is_inside(const struct pnx__hub *hub)
{
    return hub->running && pthread_equal(hub->deliverer, pthread_self());
}

/* With the lock: waits until all events before `end` have been delivered. */
static pnx_status wait_delivered(struct pnx__hub *hub, uint64_t end, pnx_time deadline)
{
    if (is_inside(hub)) {
        return PNX_EDEADLOCK;
    }
    while (hub->head < end) {
        if (is_foreign(hub)) { /* a monitor that was called from here has forked */
            return PNX_EFORKED;
        }
        if (hub->threaded || hub->delivering) {
            if (wait_for_progress(hub, end, deadline) == ETIMEDOUT && hub->head < end) {
                return PNX_ETIMEOUT;
            }
        } else if (deliver(hub, end) == 0) {
            /* Another thread is just copying its event into the ring. */
            pthread_mutex_unlock(&hub->lock);
            sched_yield();
            pthread_mutex_lock(&hub->lock);
        }
    }
    return PNX_OK;
}

/* ---- the delivery thread --------------------------------------------------------------------- */

/* With the lock, which is released meanwhile. Only the thread delivers, so `head` stays. */
static void doze(struct pnx__hub *hub)
{
    /* Relaxed: written under the lock, as `waiters` is; who emits ignores it. */
    atomic_store_explicit(&hub->nap, DOZING, memory_order_relaxed);
    pthread_mutex_unlock(&hub->lock);
    pnx__futex_wait(&hub->nap, DOZING, pnx_time_after(pnx__now(), DOZE));
    pthread_mutex_lock(&hub->lock);
    /* Relaxed: nobody waits for AWAKE. */
    atomic_store_explicit(&hub->nap, AWAKE, memory_order_relaxed);
}

/* The same. */
static void sleep_until_event(struct pnx__hub *hub)
{
    uint64_t head = hub->head;
    /* Seq_cst: see wake_if_sleeping(). */
    atomic_store_explicit(&hub->nap, SLEEPING, memory_order_seq_cst);
    pthread_mutex_unlock(&hub->lock);
    if (!pnx__ring_peek(ring_of(hub), head)) {
        pnx__futex_wait(&hub->nap, SLEEPING, PNX_FOREVER);
    }
    pthread_mutex_lock(&hub->lock);
    /* Relaxed: nobody waits for AWAKE. */
    atomic_store_explicit(&hub->nap, AWAKE, memory_order_relaxed);
}

static bool has_event(struct pnx__hub *hub)
{
    return pnx__ring_peek(ring_of(hub), hub->head) != NULL;
}

/* With the lock: the calling thread is not the delivery thread any more, and is to be joined. */
static void leave(struct pnx__hub *hub)
{
    hub->threaded = false;
    hub->ended_thread = hub->thread;
    hub->ended = true;
    tell_waiters(hub);
}

static void join_ended(struct pnx__hub *hub)
{
    pthread_t thread = hub->ended_thread;
    bool ended = hub->ended;
    hub->ended = false;
    pthread_mutex_unlock(&hub->lock);
    if (ended) {
        pthread_join(thread, NULL);
    }
    pthread_mutex_lock(&hub->lock);
}

static void *run(void *argument)
{
    struct pnx__hub *hub = argument;
    bool dozed = true; /* since the last delivery */

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_mutex_lock(&hub->lock);
    join_ended(hub);
    while (hub->delivering) { /* a caller, since when there was no thread */
        wait_for_progress(hub, UINT64_MAX, PNX_FOREVER);
    }
    while (!is_foreign(hub)) {
        if (has_event(hub)) {
            deliver(hub, UINT64_MAX);
            dozed = false;
        } else if (hub->stopping) {
            break;
        } else if (!dozed && hub->waiters == 0) {
            doze(hub);
            dozed = true;
        } else {
            sleep_until_event(hub);
        }
    }
    leave(hub);
    pthread_mutex_unlock(&hub->lock);
    return NULL;
}

/* With the lock. 0 or an error number. */
static int start_thread(struct pnx__hub *hub)
{
    int error = pnx__thread_create(&hub->thread, 0, run, hub, "pnx-monitor");
    hub->threaded = error == 0;
    return error;
}

/* Ends a monitor: it will not be called any more. With the lock. */
static void retire(struct pnx_monitor *monitor)
{
    if (!monitor->ended) {
        monitor->ended = true;
        /* Relaxed: who emits a moment longer does no harm. */
        atomic_fetch_sub_explicit(&monitor->hub->listening, 1, memory_order_relaxed);
    }
}

/* Runs when a monitor ends the thread that it was called in, be it ours or a caller's. */
static void monitor_ended_thread(void *argument)
{
    struct pnx__hub *hub = argument;
    int error = 0;

    relock(hub);
    retire(hub->running);
    hub->running = NULL;
    hub->delivering = false;
    if (hub->threaded && pthread_equal(hub->thread, pthread_self()) && !is_foreign(hub)) {
        leave(hub);
        error = start_thread(hub);
    }
    tell_waiters(hub);
    pthread_mutex_unlock(&hub->lock);

    pnx__log(PNX_LOG_ERROR, "a monitor ended the thread that it was called in: it is detached");
    if (error) {
        errno = error;
        pnx__log(PNX_LOG_ERROR,
                 "no thread for the other monitors: %m; until another one is attached, they see "
                 "events only when somebody waits for that");
    }
}

/* ---- from outside ---------------------------------------------------------------------------- */

struct pnx__hub *pnx__hub_create(bool manual)
{
    struct pnx__hub *hub = pnx__alloc(sizeof(*hub));
    if (!hub) {
        return NULL;
    }
    pnx__fork_init();
    hub->epoch = pnx__fork_epoch();
    hub->manual = manual;
    pthread_mutex_init(&hub->lock, NULL);
    pnx__list_init(&hub->monitors);
    hub->awaited = UINT64_MAX;
    return hub;
}

pnx_status pnx__hub_flush(struct pnx__hub *hub, pnx_time deadline)
{
    struct pnx__ring *ring = ring_of(hub);
    if (is_foreign(hub)) {
        return PNX_EFORKED;
    }
    if (!ring) {
        return PNX_OK;
    }
    uint64_t end = pnx__ring_tail(ring);
    pthread_mutex_lock(&hub->lock);
    pnx_status status = wait_delivered(hub, end, deadline);
    pthread_mutex_unlock(&hub->lock);
    return status;
}

size_t pnx__hub_deliver(struct pnx__hub *hub)
{
    struct pnx__ring *ring = ring_of(hub);
    size_t count = 0;
    if (!ring || is_foreign(hub)) {
        return 0;
    }
    pthread_mutex_lock(&hub->lock);
    if (!hub->threaded && !hub->delivering) {
        count = deliver(hub, pnx__ring_tail(ring));
    }
    pthread_mutex_unlock(&hub->lock);
    return count;
}

bool pnx__hub_inside(struct pnx__hub *hub)
{
    if (is_foreign(hub)) {
        return false;
    }
    pthread_mutex_lock(&hub->lock);
    bool inside = is_inside(hub);
    pthread_mutex_unlock(&hub->lock);
    return inside;
}

/* With the lock: makes what the first monitor needs, or what an earlier attempt could not make. */
static pnx_status prepare(struct pnx__hub *hub, pnx_error *err)
{
    if (hub->stopping) {
        return pnx_fail(err, PNX_ESHUTDOWN, "cannot attach a monitor: the registry is going away");
    }
    if (!ring_of(hub)) {
        struct pnx__ring *ring = pnx__ring_create();
        if (!ring) {
            return pnx_fail(err, PNX_ENOMEM, "cannot attach a monitor: no memory for its events");
        }
        /* Release: pairs with ring_of(). */
        atomic_store_explicit(&hub->ring, ring, memory_order_release);
    }
    if (!hub->manual && !hub->threaded) {
        int error = start_thread(hub);
        if (error) {
            errno = error;
            return pnx_fail(err, PNX_EFAILED, "cannot attach a monitor: no thread for it: %m");
        }
    }
    return PNX_OK;
}

pnx_status pnx__hub_attach(struct pnx__hub *hub, pnx_monitor_fn function, void *context,
                           pnx_monitor **ret, pnx_error *err)
{
    if (!function) {
        return pnx_fail(err, PNX_EINVAL, "cannot attach a monitor: its function is NULL");
    }
    if (is_foreign(hub)) {
        return pnx_fail(err, PNX_EFORKED,
                        "cannot attach a monitor: the registry belongs to the parent process");
    }
    struct pnx_monitor *monitor = pnx__alloc(sizeof(*monitor));
    if (!monitor) {
        return pnx_fail(err, PNX_ENOMEM, "cannot attach a monitor: no memory");
    }
    monitor->hub = hub;
    monitor->epoch = hub->epoch;
    monitor->function = function;
    monitor->context = context;

    pthread_mutex_lock(&hub->lock);
    pnx_status status = prepare(hub, err);
    if (status == PNX_OK) {
        monitor->wants = pnx__ring_tail(ring_of(hub));
        pnx__list_push_back(&hub->monitors, &monitor->link);
        /* Relaxed: the caller's own events come later in its program order. */
        atomic_fetch_add_explicit(&hub->listening, 1, memory_order_relaxed);
        *ret = monitor;
    }
    pthread_mutex_unlock(&hub->lock);
    if (status != PNX_OK) {
        pnx__free(monitor);
    }
    return status;
}

pnx_status pnx__hub_detach(pnx_monitor *monitor)
{
    if (!monitor) {
        return PNX_OK;
    }
    if (monitor->epoch != pnx__fork_epoch()) {
        return PNX_EFORKED;
    }
    struct pnx__hub *hub = monitor->hub;
    pthread_mutex_lock(&hub->lock);
    uint64_t end = monitor->ended ? 0 : pnx__ring_tail(ring_of(hub));
    pnx_status status = wait_delivered(hub, end, PNX_FOREVER);
    if (status == PNX_OK) {
        retire(monitor);
        while (hub->running == monitor) {
            wait_for_progress(hub, 0, PNX_FOREVER);
        }
        pnx__list_remove(&monitor->link);
    }
    pthread_mutex_unlock(&hub->lock);
    if (status == PNX_OK) {
        pnx__free(monitor);
    }
    return status;
}

/* With the lock: no more monitors, all events delivered, the thread gone. */
static pnx_status stop(struct pnx__hub *hub, pnx_time deadline)
{
    if (is_inside(hub)) {
        return PNX_EDEADLOCK;
    }
    hub->stopping = true;
    wake_from(hub, DOZING);
    while (hub->threaded || hub->delivering) {
        if (wait_for_progress(hub, UINT64_MAX, deadline) == ETIMEDOUT &&
            (hub->threaded || hub->delivering)) {
            return PNX_ETIMEOUT;
        }
    }
    join_ended(hub);
    /* What no thread has delivered. */
    return ring_of(hub) ? wait_delivered(hub, pnx__ring_tail(ring_of(hub)), deadline) : PNX_OK;
}

pnx_status pnx__hub_destroy(struct pnx__hub *hub, pnx_time deadline)
{
    if (!hub) {
        return PNX_OK;
    }
    if (!is_foreign(hub)) {
        pthread_mutex_lock(&hub->lock);
        pnx_status status = stop(hub, deadline);
        pthread_mutex_unlock(&hub->lock);
        if (status != PNX_OK) {
            return status;
        }
        while (!pnx__list_empty(&hub->monitors)) {
            pnx__list *node = pnx__list_pop_front(&hub->monitors);
            pnx__free(pnx__container_of(node, struct pnx_monitor, link));
        }
        pthread_mutex_destroy(&hub->lock);
    }
    pnx__ring_destroy(ring_of(hub));
    pnx__free(hub);
    return PNX_OK;
}
