/* SPDX-License-Identifier: MIT */
/*
 * Shutdown on a signal. The handler only asks for it; everything else is the program's business.
 */
#include "registry/internal.h"

#include <errno.h>
#include <signal.h>

static pnx__process_mutex signals_lock = PNX__PROCESS_MUTEX;
static struct {
    _Atomic(pnx_registry *) registry;
    struct sigaction before;
} signals[NSIG];

static void handler(int number)
{
    /* Acquire: pairs with the release in pnx_shutdown_on_signal. */
    pnx_registry *registry = atomic_load_explicit(&signals[number].registry, memory_order_acquire);
    if (registry != NULL && !pnx__forked(registry))
        pnx_request_shutdown(registry);
}

pnx_status pnx_shutdown_on_signal(pnx_registry *registry, int number, pnx_error *err)
{
    if (number <= 0 || number >= NSIG || number == SIGKILL || number == SIGSTOP)
        return pnx_fail(err, PNX_EINVAL, "signal %d cannot be handled", number);
    pnx_status status = PNX_OK;
    (void)pnx__process_mutex_lock(&signals_lock);
    struct sigaction before;
    struct sigaction ours = {.sa_handler = handler, .sa_flags = SA_RESTART};
    (void)sigfillset(&ours.sa_mask);
    if (atomic_load_explicit(&signals[number].registry, memory_order_relaxed) != NULL) {
        status = pnx_fail(err, PNX_EBUSY, "signal %d shuts down another registry already", number);
    } else if (sigaction(number, NULL, &before) != 0) {
        status = pnx_fail(err, PNX_EINVAL, "signal %d cannot be handled: %m", number);
    } else if ((before.sa_flags & SA_SIGINFO) != 0 ||
               (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN)) {
        status = pnx_fail(err, PNX_EBUSY,
                          "the program handles signal %d itself: call pnx_request_shutdown there",
                          number);
    } else {
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
    (void)pnx__process_mutex_lock(&signals_lock);
    for (int number = 1; number < NSIG; number++) {
        if (atomic_load_explicit(&signals[number].registry, memory_order_relaxed) != registry)
            continue;
        struct sigaction now;
        /* Only if the program has not put a handler of its own there meanwhile. */
        if (sigaction(number, NULL, &now) == 0 && now.sa_handler == handler)
            (void)sigaction(number, &signals[number].before, NULL);
        atomic_store_explicit(&signals[number].registry, NULL, memory_order_release);
    }
    pnx__process_mutex_unlock(&signals_lock);
}
