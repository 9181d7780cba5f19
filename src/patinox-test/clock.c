/* SPDX-License-Identifier: MIT */
/* Virtual time. The time is a plain field, so that C++ can have it too: hence the builtins. */
#include <patinox/test.h>

static pnx_time read_time(const pnx_clock *clock)
{
    const pnx_test_clock *self = (const pnx_test_clock *)(const void *)clock; /* its first member */
    /* Sequentially consistent, here and below: who is told that time has passed sees it. */
    return __atomic_load_n(&self->time, __ATOMIC_SEQ_CST);
}

void pnx_test_clock_init(pnx_test_clock *clock, pnx_time start)
{
    *clock = (pnx_test_clock){.clock = {.now = read_time}, .time = start};
}

pnx_time pnx_test_clock_now(const pnx_test_clock *clock)
{
    return read_time(&clock->clock);
}

void pnx_test_clock_advance_to(pnx_test_clock *clock, pnx_time time)
{
    pnx_time now = pnx_test_clock_now(clock);
    while (now < time && !__atomic_compare_exchange_n(&clock->time, &now, time, true,
                                                      __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        continue;
}

void pnx_test_clock_advance(pnx_test_clock *clock, pnx_duration span)
{
    pnx_time now = pnx_test_clock_now(clock);
    while (span > 0 && !__atomic_compare_exchange_n(&clock->time, &now, pnx_time_after(now, span),
                                                    true, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        continue;
}

size_t pnx_test_run_until(pnx_registry *registry, pnx_test_clock *clock, pnx_time time)
{
    size_t total = 0;
    for (;;) {
        size_t ran;
        do {
            ran = pnx_registry_step(registry, SIZE_MAX);
            total += ran;
        } while (ran > 0);
        pnx_time due = pnx_registry_next_due(registry);
        const pnx_time now = pnx_test_clock_now(clock);
        if (due <= now)
            due = pnx_time_after(now, PNX_MS(1)); /* in sight, but nothing that could run yet */
        if (due > time)
            break;
        pnx_test_clock_advance_to(clock, due);
    }
    pnx_test_clock_advance_to(clock, time);
    return total + pnx_registry_step(registry, SIZE_MAX);
}
