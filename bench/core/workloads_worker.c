/* SPDX-License-Identifier: MIT */
/*
 * Dropping things in one thread, giving them back in another.
 */
#include "workloads.h"

#include "common/clock.h"
#include "common/machine.h"
#include "common/parallel.h"
#include "peer.h"

#include <stdlib.h>

/** Below the default high-water mark of our backlog (8192), so that nobody is throttled. */
#define DROPS_OF_A_ROUND 4096
#define ROUNDS 64

#define FLOOD 1000000
/** A registry that takes 27 us for each is asked for less. */
#define REGISTERED 100000

#define BURST 100
#define BURSTS 200

#define IDLE_DROPS_MAX 1000
#define IDLE_DROPS_MIN 50
#define IDLE_TIME_NS ((uint64_t)NS_PER_S * 3 / 4)
/**
 * The pause before a drop to an idle worker: a CPU that has been idle for less may still be
 * polling, in the guest (cpuidle haltpoll) or in the host (kvm halt_poll_ns, up to 200 us), and
 * then waking it costs half, or not, from one second to the next. A random part, lest the drops
 * keep step with anything.
 */
#define IDLE_PAUSE_NS (400 * NS_PER_US)
#define IDLE_JITTER_NS (200 * NS_PER_US)

#define WATCHED_S 2
#define PENDING 100000

/* ---- which contenders ------------------------------------------------------------------------ */

static bool can_drop(const void *contender)
{
    return ((const struct core_operations *)contender)->guard.drop != NULL;
}

static bool can_register(const void *contender)
{
    return ((const struct core_operations *)contender)->registered.drop != NULL;
}

static bool can_either(const void *contender)
{
    return can_drop(contender) || can_register(contender);
}

static bool can_wake(const void *contender)
{
    return can_either(contender) || ((const struct core_operations *)contender)->wake.drop != NULL;
}

/** The simplest background clean-up that the contender offers. */
static const struct worker_operations *background(const struct core_operations *core)
{
    if (core->guard.drop)
        return &core->guard;
    return core->registered.drop ? &core->registered : &core->wake;
}

/* ---- a running worker ------------------------------------------------------------------------ */

struct run {
    const struct core_operations *core;
    const struct worker_operations *worker;
    size_t expected; /**< of releases_done() once nothing is pending */
};

static void drop(struct run *run, size_t count)
{
    run->worker->drop(count);
    run->expected += count;
}

static void wait_released(struct run *run)
{
    if (run->worker->settle)
        run->worker->settle();
    releases_wait(run->expected);
}

static void begin(struct run *run, const struct core_operations *core,
                  const struct worker_operations *worker, size_t backlog)
{
    *run = (struct run){.core = core, .worker = worker, .expected = releases_done()};
    release_set_mode(RELEASE_TRIVIAL);
    if (core->thread_begin)
        core->thread_begin();
    worker->open(backlog);
    /* Some libraries make their thread on first use. */
    drop(run, 1);
    wait_released(run);
    machine_pin_others();
}

static void end(struct run *run)
{
    run->worker->close();
    if (run->core->thread_end)
        run->core->thread_end();
}

/* ---- cost of a drop -------------------------------------------------------------------------- */

static void run_drop(const void *contender, double values[])
{
    const struct core_operations *core = contender;
    uint64_t spent = 0;
    struct run run;

    begin(&run, core, &core->guard, DROPS_OF_A_ROUND);
    for (int round = 0; round < ROUNDS; round++) {
        machine_wait_others_asleep();
        const uint64_t start = now_ns();
        drop(&run, DROPS_OF_A_ROUND);
        spent += now_ns() - start;
        wait_released(&run);
    }
    end(&run);
    values[0] = (double)spent / (ROUNDS * DROPS_OF_A_ROUND);
}

const struct bench_workload workload_drop = {
    .name = "drop",
    .rows = {{"drop", "ns"}},
    .can = can_drop,
    .run = run_drop,
};

static void run_drop_flood(const void *contender, double values[])
{
    const struct core_operations *core = contender;
    struct run run;

    begin(&run, core, &core->guard, FLOOD);
    machine_wait_others_asleep();
    const uint64_t start = now_ns();
    drop(&run, FLOOD);
    values[0] = (double)(now_ns() - start) / FLOOD;
    wait_released(&run);
    end(&run);
}

const struct bench_workload workload_drop_flood = {
    .name = "drop-flood",
    .rows = {{"drop-flood", "ns"}},
    .can = can_drop,
    .run = run_drop_flood,
};

static void run_burst(const void *contender, double values[])
{
    const struct core_operations *core = contender;
    uint64_t spent = 0;
    struct run run;

    begin(&run, core, &core->guard, 0);
    for (int burst = 0; burst < BURSTS; burst++) {
        machine_wait_others_asleep();
        machine_spin(IDLE_PAUSE_NS);
        const uint64_t start = now_ns();
        drop(&run, BURST);
        spent += now_ns() - start;
        wait_released(&run);
    }
    end(&run);
    values[0] = (double)spent / (BURSTS * BURST);
}

const struct bench_workload workload_burst = {
    .name = "burst",
    .rows = {{"burst-100", "ns"}},
    .can = can_drop,
    .run = run_burst,
};

/* ---- end to end ------------------------------------------------------------------------------ */

struct share {
    const struct core_operations *core;
    const struct worker_operations *worker;
    size_t count;
};

static void produce_begin(void *context, unsigned index)
{
    const struct share *share = context;
    if (share->core->thread_begin)
        share->core->thread_begin();
}

static void produce(void *context, unsigned index)
{
    const struct share *share = context;
    share->worker->drop(share->count);
    if (share->worker->settle)
        share->worker->settle();
}

static void produce_end(void *context, unsigned index)
{
    const struct share *share = context;
    if (share->core->thread_end)
        share->core->thread_end();
}

/** From the first drop until the last release has ended, per drop. */
static double end_to_end(const struct core_operations *core, const struct worker_operations *worker,
                         unsigned producers, size_t total)
{
    struct share share = {.core = core, .worker = worker, .count = total / producers};
    struct run run;

    begin(&run, core, worker, 0);
    machine_wait_others_asleep();
    const struct parallel_times times = run_parallel(
        producers, &(struct parallel_job){produce_begin, produce, produce_end, &share});
    run.expected += share.count * producers;
    releases_wait(run.expected);
    const uint64_t took = now_ns() - times.begin_ns;
    end(&run);
    return (double)took / (double)total;
}

static void run_end_to_end_1(const void *contender, double values[])
{
    const struct core_operations *core = contender;
    values[0] = end_to_end(core, &core->guard, 1, FLOOD);
}

static void run_end_to_end_2(const void *contender, double values[])
{
    const struct core_operations *core = contender;
    values[0] = end_to_end(core, &core->guard, 2, FLOOD);
}

static void run_registry_path(const void *contender, double values[])
{
    const struct core_operations *core = contender;
    values[0] = end_to_end(core, &core->registered, 1, REGISTERED);
}

const struct bench_workload workload_end_to_end_1 = {
    .name = "end-to-end-1",
    .rows = {{"end-to-end-1", "ns"}},
    .can = can_drop,
    .run = run_end_to_end_1,
};

const struct bench_workload workload_end_to_end_2 = {
    .name = "end-to-end-2",
    .rows = {{"end-to-end-2", "ns"}},
    .can = can_drop,
    .run = run_end_to_end_2,
};

const struct bench_workload workload_registry_path = {
    .name = "registry-path",
    .rows = {{"registry-path", "ns"}},
    .can = can_register,
    .run = run_registry_path,
};

/* ---- idleness -------------------------------------------------------------------------------- */

static int by_time(const void *left, const void *right)
{
    const uint64_t a = *(const uint64_t *)left;
    const uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static double quantile_us(const uint64_t *sorted, size_t count, double quantile)
{
    return (double)sorted[(size_t)(quantile * (double)(count - 1))] / NS_PER_US;
}

static void run_idle_drop(const void *contender, double values[])
{
    static uint64_t latencies[IDLE_DROPS_MAX];
    static uint64_t costs[IDLE_DROPS_MAX];
    const struct core_operations *core = contender;
    const struct worker_operations *worker = background(core);
    const uint64_t jitter_ns = IDLE_JITTER_NS + (uint64_t)worker->poll_ms * NS_PER_MS;
    const uint64_t begun = now_ns();
    unsigned random = 1;
    size_t count = 0;
    struct run run;

    begin(&run, core, worker, 0);
    release_set_mode(RELEASE_STAMPED);
    while (count < IDLE_DROPS_MIN || (count < IDLE_DROPS_MAX && now_ns() - begun < IDLE_TIME_NS)) {
        machine_wait_others_asleep();
        machine_spin(IDLE_PAUSE_NS + (uint64_t)rand_r(&random) % jitter_ns);
        const uint64_t start = now_ns();
        drop(&run, 1);
        costs[count] = now_ns() - start;
        latencies[count] = release_stamp() - start;
        count++;
        wait_released(&run);
    }
    end(&run);

    qsort(latencies, count, sizeof *latencies, by_time);
    qsort(costs, count, sizeof *costs, by_time);
    values[0] = quantile_us(latencies, count, 0.50);
    values[1] = quantile_us(latencies, count, 0.99);
    values[2] = quantile_us(costs, count, 0.50);
}

const struct bench_workload workload_idle_drop = {
    .name = "idle-drop",
    .rows = {{"idle-latency-p50", "us"}, {"idle-latency-p99", "us"}, {"idle-drop-cost", "us"}},
    .latency = true,
    .can = can_wake,
    .run = run_idle_drop,
};

static void run_idle_wakeups(const void *contender, double values[])
{
    const struct core_operations *core = contender;
    struct run run;

    begin(&run, core, background(core), 0);
    machine_spin(NS_PER_S / 10); /* whatever goes on for a while after work is over */
    const uint64_t sleeps = machine_sleeps_of_others();
    machine_sleep_s(WATCHED_S);
    values[0] = (double)(machine_sleeps_of_others() - sleeps) / WATCHED_S;
    end(&run);
}

const struct bench_workload workload_idle_wakeups = {
    .name = "idle-wakeups",
    .rows = {{"idle-wakeups", "1/s"}},
    .once = true,
    .can = can_wake,
    .run = run_idle_wakeups,
};

/* ---- shutdown -------------------------------------------------------------------------------- */

struct shutdown {
    double took_ms;
    double done_percent; /**< of what was pending, when it returned */
};

static struct shutdown shut_down(const struct core_operations *core, enum release_mode mode)
{
    struct run run;

    begin(&run, core, background(core), PENDING + 1);
    /* The worker waits in the first release, so that all are pending when the end begins. */
    release_set_mode(RELEASE_GATED);
    drop(&run, 1);
    release_wait_at_gate();
    release_set_mode(mode);
    drop(&run, PENDING);
    const size_t done_before = releases_done();

    const uint64_t start = now_ns();
    release_open_gate();
    end(&run);
    const uint64_t took = now_ns() - start;
    const size_t done = releases_done() - done_before - 1;
    return (struct shutdown){
        .took_ms = (double)took / NS_PER_MS,
        .done_percent = 100.0 * (double)done / PENDING,
    };
}

static void run_shutdown_trivial(const void *contender, double values[])
{
    values[0] = shut_down(contender, RELEASE_TRIVIAL).took_ms;
}

static void run_shutdown_slow(const void *contender, double values[])
{
    const struct shutdown result = shut_down(contender, RELEASE_SLOW);
    values[0] = result.done_percent;
    values[1] = result.took_ms;
}

const struct bench_workload workload_shutdown_trivial = {
    .name = "shutdown-trivial",
    .rows = {{"shutdown-trivial", "ms"}},
    .once = true,
    .can = can_either,
    .run = run_shutdown_trivial,
};

const struct bench_workload workload_shutdown_slow = {
    .name = "shutdown-slow",
    .rows = {{"shutdown-slow-done", "%"}, {"shutdown-slow", "ms"}},
    .once = true,
    .can = can_either,
    .run = run_shutdown_slow,
};
