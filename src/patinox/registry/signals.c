/* SPDX-License-Identifier: MIT */
/*
 * Shutdown on a signal. The handler only asks for it; everything else is the program's business.
 */
#include "registry/internal.h"

#include <sched.h>
#include <signal.h>

static pnx__process_mutex signals_lock = PNX__PROCESS_MUTEX;
static struct {
    _Atomic(pnx_registry *) registry;
    struct sigaction before;
} signals[NSIG];

/* Handlers that run right now, in whatever thread. */
static _Atomic unsigned inside;

static void handler(int number)
{
    /* seq_cst, this and the next: either we find no registry, or pnx__signals_forget finds us. */
    atomic_fetch_add_explicit(&inside, 1, memory_order_seq_cst);
    pnx_registry *registry = atomic_load_explicit(&signals[number].registry, memory_order_seq_cst);
    if (registry != NULL && !pnx__forked(registry))
        pnx_request_shutdown(registry);
    /* Release: pairs with the last look in pnx__signals_forget. */
    atomic_fetch_sub_explicit(&inside, 1, memory_order_release);
}

static void lock(void)
{
    /* A handler that ran in another thread during the fork has not come along. */
    if (pnx__process_mutex_lock(&signals_lock))
        atomic_store_explicit(&inside, 0, memory_order_relaxed);
}

static bool is_ours(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) == 0 && action->sa_handler == handler;
}

static bool is_taken(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) != 0 ||
           (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN);
}

/* In a fork child the parent's registry does not count, and its handler is as good as none. */
static bool serves_another(int number)
{
    const pnx_registry *other =
        atomic_load_explicit(&signals[number].registry, memory_order_relaxed);
    return other != NULL && !pnx__forked(other);
}

pnx_status pnx_shutdown_on_signal(pnx_registry *registry, int number, pnx_error *err)
{
    if (number <= 0 || number >= NSIG || number == SIGKILL || number == SIGSTOP)
        return pnx_fail(err, PNX_EINVAL, "signal %d cannot be handled", number);
    pnx_status status = PNX_OK;
    lock();
    struct sigaction before;
    struct sigaction ours = {.sa_handler = handler, .sa_flags = SA_RESTART};
    (void)sigfillset(&ours.sa_mask);
    if (serves_another(number)) {
        status = pnx_fail(err, PNX_EBUSY, "signal %d shuts down another registry already", number);
    } else if (sigaction(number, NULL, &before) != 0) {
        status = pnx_fail(err, PNX_EINVAL, "signal %d cannot be handled: %m", number);
    } else if (is_taken(&before) && !is_ours(&before)) {
        status = pnx_fail(err, PNX_EBUSY,
                          "the program handles signal %d itself: call pnx_request_shutdown there",
                          number);
    } else {
        if (!is_ours(&before))
            signals[number].before = before;
        atomic_store_explicit(&signals[number].registry, registry, memory_order_release);
        if (sigaction(number, &ours, NULL) != 0) {
            atomic_store_explicit(&signals[number].registry, NULL, memory_order_release);
            status = pnx_fail(err, PNX_EINVAL, "signal %d cannot be handled: %m", number);
        }
    }
    pnx__process_mutex_unlock(&signals_lock);
    return status;
}

void pnx__signals_forget(struct pnx_registry *registry)
{
    lock();
    for (int number = 1; number < NSIG; number++) {
        if (atomic_load_explicit(&signals[number].registry, memory_order_relaxed) != registry)
            continue;
        struct sigaction now;
        /* Only if the program has not put a handler of its own there meanwhile. */
        if (sigaction(number, NULL, &now) == 0 && is_ours(&now))
            (void)sigaction(number, &signals[number].before, NULL);
        atomic_store_explicit(&signals[number].registry, NULL, memory_order_seq_cst);
    }
    /* Whoever found the registry before is through in a moment. */
    while (atomic_load_explicit(&inside, memory_order_seq_cst) != 0)
        sched_yield();
    pnx__process_mutex_unlock(&signals_lock);
}
