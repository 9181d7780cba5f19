/* SPDX-License-Identifier: MIT */
#include "release.h"

#include "common/bench.h"
#include "common/clock.h"
#include "common/machine.h"

#define TALLIES_MAX 512
#define SLOW_NS (20 * NS_PER_US)
#define PATIENCE_NS ((uint64_t)30 * NS_PER_S)

/** Looking more often than every few microseconds would take the tally's line from the worker. */
#define LOOK_AGAIN_NS (2 * NS_PER_US)

_Thread_local struct release_tally *release_tally_of_thread;
atomic_int release_mode_now = RELEASE_TRIVIAL;

static struct release_tally tallies[TALLIES_MAX];
static atomic_uint tallies_used;
static atomic_uint_fast64_t stamp;
static atomic_bool at_gate;
static atomic_bool gate_open;

struct release_tally *release_tally_new(void)
{
    const unsigned index = atomic_fetch_add(&tallies_used, 1);
    if (index >= TALLIES_MAX)
        bench_give_up("more than %d threads run releases", TALLIES_MAX);
    return release_tally_of_thread = &tallies[index];
}

void release_as_asked(int mode)
{
    if (mode == RELEASE_STAMPED) {
        atomic_store(&stamp, now_ns());
    } else if (mode == RELEASE_SLOW) {
        machine_spin(SLOW_NS);
    } else if (mode == RELEASE_GATED) {
        atomic_store(&at_gate, true);
        while (!atomic_load(&gate_open))
            machine_relax();
    }
}

void release_set_mode(enum release_mode mode)
{
    atomic_store(&release_mode_now, (int)mode);
    if (mode == RELEASE_GATED) {
        atomic_store(&at_gate, false);
        atomic_store(&gate_open, false);
    }
}

size_t releases_done(void)
{
    const unsigned used = atomic_load(&tallies_used);
    size_t sum = 0;
    for (unsigned i = 0; i < used; i++)
        sum += atomic_load_explicit(&tallies[i].count, memory_order_acquire);
    return sum;
}

void releases_wait(size_t count)
{
    const uint64_t begin = now_ns();
    while (releases_done() < count) {
        machine_spin(LOOK_AGAIN_NS);
        if (now_ns() - begin > PATIENCE_NS)
            bench_give_up("%zu releases are missing", count - releases_done());
    }
}

uint64_t release_stamp(void)
{
    const uint64_t begin = now_ns();
    uint64_t stamped;
    while ((stamped = atomic_load(&stamp)) == 0) {
        machine_relax();
        if (now_ns() - begin > PATIENCE_NS)
            bench_give_up("the release never starts");
    }
    atomic_store(&stamp, 0);
    return stamped;
}

void release_wait_at_gate(void)
{
    const uint64_t begin = now_ns();
    while (!atomic_load(&at_gate)) {
        machine_relax();
        if (now_ns() - begin > PATIENCE_NS)
            bench_give_up("no release arrives at the gate");
    }
}

void release_open_gate(void)
{
    atomic_store(&gate_open, true);
}
