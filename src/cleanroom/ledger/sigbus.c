/* SPDX-License-Identifier: MIT */
/*
 * Between our look at the file and the store, somebody may cut it short; then the store raises
 * SIGBUS. The handler puts fresh memory under the mapping, the store goes there and is lost, and
 * the append sees that it was. The table is global because signal actions are.
 */
#include "ledger/internal.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

/* More ledgers than a process ever writes at a time; the others are without this protection. */
#define GUARDS 64

static struct guard {
    atomic_bool taken;
    /* Written by who holds the lock of the ledger, read by the handler on the same thread, in the
     * middle of that thread's store: relaxed is enough. Others find an address of their own. */
    _Atomic uintptr_t begin, end;
    atomic_bool struck;
} guards[GUARDS];

static struct sigaction before;
static pthread_once_t installed = PTHREAD_ONCE_INIT;
static int install_error;

int pnx__sigbus_guard(void *begin, size_t size)
{
    for (int i = 0; i < GUARDS; i++) {
        bool taken = false;
        /* Acquire: what the last one to have this place did is over. Partner: the release in
         * pnx__sigbus_release. */
        if (!atomic_compare_exchange_strong_explicit(&guards[i].taken, &taken, true,
                                                     memory_order_acquire, memory_order_relaxed))
            continue;
        atomic_store_explicit(&guards[i].struck, false, memory_order_relaxed);
        pnx__sigbus_moved(i, begin, size);
        return i;
    }
    return -1;
}

void pnx__sigbus_moved(int guard, void *begin, size_t size)
{
    if (guard < 0)
        return;
    atomic_store_explicit(&guards[guard].begin, (uintptr_t)begin, memory_order_relaxed);
    atomic_store_explicit(&guards[guard].end, (uintptr_t)begin + size, memory_order_relaxed);
}

void pnx__sigbus_release(int guard)
{
    if (guard < 0)
        return;
    atomic_store_explicit(&guards[guard].end, 0, memory_order_relaxed);
    /* Release: partner of the acquire in pnx__sigbus_guard. */
    atomic_store_explicit(&guards[guard].taken, false, memory_order_release);
}

bool pnx__sigbus_struck(int guard)
{
    /* Relaxed: set by the handler on this very thread, or in an earlier append under the lock. */
    return guard >= 0 && atomic_load_explicit(&guards[guard].struck, memory_order_relaxed);
}

/* True: the store can be tried again. */
static bool put_memory_under(uintptr_t address)
{
    for (int i = 0; i < GUARDS; i++) {
        uintptr_t begin = atomic_load_explicit(&guards[i].begin, memory_order_relaxed);
        uintptr_t end = atomic_load_explicit(&guards[i].end, memory_order_relaxed);
        if (address < begin || address >= end)
            continue;
        if (mmap((void *)begin, end - begin, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
            return false;
        atomic_store_explicit(&guards[i].struck, true, memory_order_relaxed);
        return true;
    }
    return false;
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    /* BUS_ADRERR: by the kernel, because of an address; others can be sent by anybody. */
    bool ours = info->si_code == BUS_ADRERR && put_memory_under((uintptr_t)info->si_addr);
    errno = saved;
    if (ours)
        return;
    if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(number, info, context);
    } else if (before.sa_handler == SIG_DFL ||
               (before.sa_handler == SIG_IGN && info->si_code > 0)) {
        /* As if there had been no handler: the store fails again, or the signal comes again. */
        struct sigaction ends = {.sa_handler = SIG_DFL};
        sigaction(number, &ends, NULL);
        if (info->si_code <= 0)
            raise(number);
    } else if (before.sa_handler != SIG_IGN) {
        before.sa_handler(number);
    }
}

static void install(void)
{
    /* On the alternate stack if there is one; other signals may come meanwhile. */
    struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGBUS, &action, &before) != 0)
        install_error = errno;
}

pnx_status pnx__ledger_catch_sigbus(pnx_error *err)
{
    pthread_once(&installed, install);
    if (install_error == 0)
        return PNX_OK;
    errno = install_error;
    return pnx_fail(err, PNX_EFAILED, "cannot handle SIGBUS: %m");
}
