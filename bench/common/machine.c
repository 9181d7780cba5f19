/* SPDX-License-Identifier: MIT */
#include "machine.h"

#include "bench.h"
#include "clock.h"
#include "proc.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/** As in the research; below it, other work of the machine shows in the figures. */
#define NICENESS (-10)

/** Longer than any pause by which a worker gathers work before it sleeps for good. */
#define ASLEEP_NS (100 * NS_PER_US)
#define ASLEEP_PATIENCE_NS ((uint64_t)5 * NS_PER_S)

static int cpu_of_role[2] = {-1, -1};
static unsigned cpus = 1;

/* ---- CPUs ------------------------------------------------------------------------------------ */

static void choose_cpus(void)
{
    cpu_set_t allowed;
    unsigned found = 0;

    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++) {
        if (CPU_ISSET(cpu, &allowed))
            cpu_of_role[found++] = cpu;
    }
    cpus = found < 2 ? 1 : 2;
}

static void pin(pid_t thread, enum machine_role role)
{
    cpu_set_t set;

    if (cpus < 2)
        return;
    CPU_ZERO(&set);
    CPU_SET(cpu_of_role[role], &set);
    /* Fails only for a thread that has just ended. */
    (void)sched_setaffinity(thread, sizeof set, &set);
}

void machine_prepare(void)
{
    /* Without the right to it we measure at normal priority; the noise check tells. */
    (void)setpriority(PRIO_PROCESS, 0, NICENESS);
    choose_cpus();
    machine_pin_self(ROLE_PRODUCER);
}

unsigned machine_cpus(void)
{
    return cpus;
}

void machine_pin_self(enum machine_role role)
{
    pin(0, role);
}

/* ---- the other threads of the process -------------------------------------------------------- */

static void pin_other(int thread, void *unused)
{
    if (thread != gettid())
        pin(thread, ROLE_WORKER);
}

void machine_pin_others(void)
{
    proc_each_thread(pin_other, NULL);
}

struct sleepers {
    bool all_asleep;
    uint64_t sleeps;
};

static void look_at_other(int thread, void *context)
{
    struct sleepers *sleepers = context;
    char path[64];
    char status[PROC_TEXT_MAX];
    uint64_t sleeps;

    snprintf(path, sizeof path, "/proc/self/task/%d/status", thread);
    if (thread == gettid() || !proc_read(path, status))
        return; /* the second: it has just ended */
    proc_numbers(status, "\nvoluntary_ctxt_switches:", &sleeps, 1);
    sleepers->sleeps += sleeps;
    sleepers->all_asleep &= strstr(status, "\nState:\tS") != NULL;
}

static struct sleepers look_at_others(void)
{
    struct sleepers sleepers = {.all_asleep = true};
    proc_each_thread(look_at_other, &sleepers);
    return sleepers;
}

uint64_t machine_sleeps_of_others(void)
{
    return look_at_others().sleeps;
}

void machine_wait_others_asleep(void)
{
    const uint64_t begin = now_ns();
    uint64_t asleep_since = begin;
    uint64_t sleeps = UINT64_MAX;

    while (now_ns() - asleep_since < ASLEEP_NS || sleeps == UINT64_MAX) {
        const struct sleepers look = look_at_others();
        if (!look.all_asleep || look.sleeps != sleeps) {
            asleep_since = now_ns();
            sleeps = look.all_asleep ? look.sleeps : UINT64_MAX;
        }
        if (now_ns() - begin > ASLEEP_PATIENCE_NS)
            bench_give_up("the workers never go to sleep");
        machine_relax();
    }
}

/* ---- waiting --------------------------------------------------------------------------------- */

void machine_relax(void)
{
    if (cpus < 2) {
        sched_yield();
        return;
    }
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

void machine_spin(uint64_t ns)
{
    const uint64_t end = now_ns() + ns;
    while (now_ns() < end)
        machine_relax();
}

void machine_sleep_s(unsigned seconds)
{
    while (seconds > 0)
        seconds = sleep(seconds);
}

/* ---- memory ---------------------------------------------------------------------------------- */

uint64_t machine_resident_bytes(void)
{
    char statm[PROC_TEXT_MAX];
    uint64_t pages[2]; /* the program's size, what of it is resident */

    if (!proc_read("/proc/self/statm", statm) || !proc_numbers(statm, "", pages, 2))
        bench_give_up("cannot read /proc/self/statm");
    return pages[1] * (uint64_t)sysconf(_SC_PAGESIZE);
}
