/* SPDX-License-Identifier: MIT */
/* The thread that waits for the kernel. */
#include "base/sys.h"
#include "pressure/internal.h"

#include <poll.h>
#include <unistd.h>

/* Of those that fired the gravest; -1: none did. */
static int gravest(const struct pollfd fds[PNX_PRESSURE_LEVEL_COUNT])
{
    for (int level = PNX_PRESSURE_LEVEL_COUNT - 1; level >= 0; level--)
        if (fds[level].revents & POLLPRI)
            return level;
    return -1;
}

static void *watch(void *argument)
{
    pnx_pressure *pressure = argument;
    struct pollfd fds[PNX_PRESSURE_LEVEL_COUNT + 1];
    for (;;) {
        for (unsigned i = 0; i < PNX_PRESSURE_LEVEL_COUNT; i++)
            fds[i] = (struct pollfd){.fd = pressure->triggers[i], .events = POLLPRI};
        fds[PNX_PRESSURE_LEVEL_COUNT] = (struct pollfd){.fd = pressure->stop, .events = POLLIN};
        if (poll(fds, PNX_PRESSURE_LEVEL_COUNT + 1, -1) < 0 && errno != EINTR && errno != ENOMEM)
            break;
        if (fds[PNX_PRESSURE_LEVEL_COUNT].revents)
            break;
        /* The cgroup was removed. */
        if ((fds[PNX_PRESSURE_SOME].revents | fds[PNX_PRESSURE_FULL].revents) & POLLERR)
            break;
        const int level = gravest(fds);
        if (level >= 0)
            (void)pnx_pressure_tell(pressure, (pnx_pressure_level)level);
    }
    /* Relaxed: see there. */
    atomic_store_explicit(&pressure->watches, false, memory_order_relaxed);
    return NULL;
}

pnx_status pnx__pressure_watch(pnx_pressure *pressure, pnx_error *err)
{
    pressure->stop = pnx__eventfd();
    if (pressure->stop < 0)
        return pnx_fail(err, PNX_EFAILED, "cannot watch for pressure: no descriptor: %m");
    /* Relaxed: the thread is made after it. */
    atomic_store_explicit(&pressure->watches, true, memory_order_relaxed);
    const int error = pnx__thread_create(&pressure->thread, 0, watch, pressure, "pnx-pressure");
    pressure->started = error == 0;
    if (error == 0)
        return PNX_OK;
    errno = error;
    return pnx_fail(err, PNX_EFAILED, "cannot watch for pressure: no thread: %m");
}

void pnx__pressure_stop(pnx_pressure *pressure)
{
    static const uint64_t one = 1;
    if (!pressure->started)
        return;
    (void)!write(pressure->stop, &one, sizeof one);
    pthread_join(pressure->thread, NULL);
    pressure->started = false;
}
