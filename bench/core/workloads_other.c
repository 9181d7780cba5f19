/* SPDX-License-Identifier: MIT */
/*
 * What needs no worker: guards with nothing left to release, and deadlines far away.
 */
#include "workloads.h"

#include "common/clock.h"
#include "common/machine.h"
#include "peer.h"

#include <stdlib.h>

/* ---- so many of one thing -------------------------------------------------------------------- */

#define TIMES 1000000

static double cost_of(void (*operation)(size_t count))
{
    const uint64_t start = now_ns();
    operation(TIMES);
    return (double)(now_ns() - start) / TIMES;
}

static bool can_scope(const void *contender)
{
    return ((const struct core_operations *)contender)->scope != NULL;
}

static void run_scope(const void *contender, double values[])
{
    values[0] = cost_of(((const struct core_operations *)contender)->scope);
}

const struct bench_workload workload_scope = {
    .name = "scope",
    .rows = {{"scope", "ns"}},
    .can = can_scope,
    .run = run_scope,
};

static bool can_live(const void *contender)
{
    return ((const struct core_operations *)contender)->life != NULL;
}

static void run_life(const void *contender, double values[])
{
    values[0] = cost_of(((const struct core_operations *)contender)->life);
}

const struct bench_workload workload_life = {
    .name = "life",
    .rows = {{"life", "ns"}},
    .can = can_live,
    .run = run_life,
};

static bool can_read_clock(const void *contender)
{
    return ((const struct core_operations *)contender)->clock != NULL;
}

static void run_clock(const void *contender, double values[])
{
    values[0] = cost_of(((const struct core_operations *)contender)->clock);
}

const struct bench_workload workload_clock = {
    .name = "clock",
    .rows = {{"clock", "ns"}},
    .can = can_read_clock,
    .run = run_clock,
};

/* ---- timers ---------------------------------------------------------------------------------- */

#define TIMERS 1000000
/** Due between one and three hours from now: in no bench. */
#define DELAY_MIN_MS 3600000u
#define DELAY_SPREAD_MS 7200000u
#define WATCHED_S 2

static uint64_t delays_ms[TIMERS];
static uint32_t cancel_order[TIMERS];

static bool can_arm(const void *contender)
{
    return ((const struct core_operations *)contender)->timer.arm != NULL;
}

static bool can_wake_up(const void *contender)
{
    return can_arm(contender) && ((const struct core_operations *)contender)->timer.has_threads;
}

static void choose_delays(void)
{
    unsigned random = 1;

    for (uint32_t i = 0; i < TIMERS; i++) {
        delays_ms[i] = DELAY_MIN_MS + (unsigned)rand_r(&random) % DELAY_SPREAD_MS;
        cancel_order[i] = i;
    }
    /* Connections end in another order than they began in (Fisher-Yates). */
    for (uint32_t i = TIMERS - 1; i > 0; i--) {
        const uint32_t other = (uint32_t)rand_r(&random) % (i + 1);
        const uint32_t index = cancel_order[i];
        cancel_order[i] = cancel_order[other];
        cancel_order[other] = index;
    }
}

static void run_timers(const void *contender, double values[])
{
    const struct timer_operations *timer = &((const struct core_operations *)contender)->timer;

    choose_delays();
    timer->open(TIMERS);
    const uint64_t start = now_ns();
    timer->arm(delays_ms, TIMERS);
    const uint64_t armed = now_ns();
    timer->cancel(cancel_order, TIMERS);
    const uint64_t canceled = now_ns();
    timer->close();
    values[0] = (double)(armed - start) / TIMERS;
    values[1] = (double)(canceled - armed) / TIMERS;
}

const struct bench_workload workload_timers = {
    .name = "timers",
    .rows = {{"timer-arm", "ns"}, {"timer-cancel", "ns"}},
    .can = can_arm,
    .run = run_timers,
};

static void run_timer_wakeups(const void *contender, double values[])
{
    const struct timer_operations *timer = &((const struct core_operations *)contender)->timer;

    choose_delays();
    timer->open(TIMERS);
    timer->arm(delays_ms, TIMERS);
    machine_wait_others_asleep();
    const uint64_t sleeps = machine_sleeps_of_others();
    machine_sleep_s(WATCHED_S);
    values[0] = (double)(machine_sleeps_of_others() - sleeps) / WATCHED_S;
    timer->cancel(cancel_order, TIMERS);
    timer->close();
}

const struct bench_workload workload_timer_wakeups = {
    .name = "timer-wakeups",
    .rows = {{"timer-wakeups", "1/s"}},
    .once = true,
    .can = can_wake_up,
    .run = run_timer_wakeups,
};
