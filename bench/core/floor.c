/* SPDX-License-Identifier: MIT */
/*
 * What nobody can be faster than: the compiler's clean-up attribute, a clock, and one futex that
 * wakes one sleeping thread, futex(2), with no queue, no memory and no account.
 */
#include "common/bench.h"
#include "common/clock.h"
#include "peer.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- attribute ------------------------------------------------------------------------------- */

struct guard {
    void (*release)(void *thing);
    void *thing;
};

static void guard_end(struct guard *guard)
{
    guard->release(guard->thing);
}

static void scope(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        __attribute__((cleanup(guard_end))) struct guard guard = {release_thing, thing_of(i)};
        /* Or the compiler would see which function it is, and inline it. */
        __asm__ volatile("" : "+m"(guard));
    }
}

/* ---- clock ----------------------------------------------------------------------------------- */

static void read_clock(clockid_t clock, size_t count)
{
    struct timespec now;
    for (size_t i = 0; i < count; i++)
        clock_gettime(clock, &now);
}

static void read_monotonic(size_t count)
{
    read_clock(CLOCK_MONOTONIC, count);
}

static void read_coarse(size_t count)
{
    read_clock(CLOCK_MONOTONIC_COARSE, count);
}

/* ---- futex ----------------------------------------------------------------------------------- */

static pthread_t sleeper;
static atomic_uint turn;
static atomic_bool ending;

static void futex(atomic_uint *word, int operation, unsigned value)
{
    /* Nothing to do about EINTR and EAGAIN: the caller looks at the word again. */
    (void)syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

static void *sleep_and_release(void *unused)
{
    unsigned seen = 0;
    for (;;) {
        while (atomic_load(&turn) == seen)
            futex(&turn, FUTEX_WAIT_PRIVATE, seen);
        seen++;
        if (atomic_load(&ending))
            return NULL;
        release_thing(NULL);
    }
}

static void wake_open(size_t backlog)
{
    atomic_store(&turn, 0);
    atomic_store(&ending, false);
    if (pthread_create(&sleeper, NULL, sleep_and_release, NULL) != 0)
        bench_give_up("cannot create a thread");
}

static void wake(size_t count)
{
    atomic_fetch_add(&turn, (unsigned)count);
    futex(&turn, FUTEX_WAKE_PRIVATE, 1);
}

static void wake_close(void)
{
    atomic_store(&ending, true);
    wake(1);
    pthread_join(sleeper, NULL);
}

static const struct core_operations attribute = {.scope = scope};
static const struct core_operations monotonic = {.clock = read_monotonic};
static const struct core_operations coarse = {.clock = read_coarse};
static const struct core_operations bare_futex = {
    .wake = {.open = wake_open, .drop = wake, .close = wake_close},
};

static const struct bench_contender contenders[] = {
    {"cleanup attribute", PEER_VERSION, &attribute},
    {"CLOCK_MONOTONIC", PEER_VERSION, &monotonic},
    {"CLOCK_MONOTONIC_COARSE", PEER_VERSION, &coarse},
    {"bare futex", PEER_VERSION, &bare_futex},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return core_main(argc, argv, contenders);
}
