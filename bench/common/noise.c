/* SPDX-License-Identifier: MIT */
#include "noise.h"

#include "clock.h"
#include "proc.h"

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define FOREIGN_LIMIT 0.05
#define FOREIGN_LIMIT_LATENCY 0.10
/** Ticks are counted when they are over, for whoever runs then. */
#define TICKS_LET_PASS 1

static uint64_t tick_ns(void)
{
    return (uint64_t)NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);
}

static uint64_t busy_all(void)
{
    enum { USER, NICE, SYSTEM, IDLE, IOWAIT, IRQ, SOFTIRQ, STEAL, FIGURES };
    char stat[PROC_TEXT_MAX];
    uint64_t ticks[FIGURES];

    if (!proc_read("/proc/stat", stat) || !proc_numbers(stat, "cpu ", ticks, FIGURES))
        return 0;
    return (ticks[USER] + ticks[NICE] + ticks[SYSTEM] + ticks[IRQ] + ticks[SOFTIRQ] +
            ticks[STEAL]) *
           tick_ns();
}

static uint64_t of(struct timeval time)
{
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_usec * NS_PER_US;
}

/* And of its children that it has waited for. */
static uint64_t busy_self(void)
{
    struct timespec used;
    struct rusage children;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    if (getrusage(RUSAGE_CHILDREN, &children) != 0)
        children = (struct rusage){0};
    return (uint64_t)used.tv_sec * NS_PER_S + (uint64_t)used.tv_nsec + of(children.ru_utime) +
           of(children.ru_stime);
}

struct noise noise_now(void)
{
    return (struct noise){
        .time_ns = now_ns(),
        .busy_ns = busy_all(),
        .own_busy_ns = busy_self(),
    };
}

bool noise_since(const struct noise *before, bool latency)
{
    const struct noise after = noise_now();
    const double took = (double)(after.time_ns - before->time_ns);
    const double busy = (double)(after.busy_ns - before->busy_ns);
    const double foreign = busy - (double)(after.own_busy_ns - before->own_busy_ns);
    const double limit = latency ? FOREIGN_LIMIT_LATENCY : FOREIGN_LIMIT;

    return foreign > limit * took + TICKS_LET_PASS * (double)tick_ns();
}
