/* SPDX-License-Identifier: MIT */
/**
 * @file machine.h
 * Where threads run, whether they sleep, and what the process uses: from /proc and the scheduler,
 * so that it is the same for contenders whose threads we did not make.
 */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

/** The CPU that is everybody's on a machine with only one. */
enum machine_role { ROLE_PRODUCER, ROLE_WORKER };

/** Raises the priority where allowed, and pins the caller as producer. Call it first. */
void machine_prepare(void);
/** How many CPUs we tell apart: 1 or 2. */
unsigned machine_cpus(void);
/** Pins the calling thread; does nothing on a machine with one CPU. */
void machine_pin_self(enum machine_role role);
/** Pins every other thread of the process, whoever made it, to the worker's CPU. */
void machine_pin_others(void);

/** Lets some tens of nanoseconds pass; gives way when there is only one CPU. */
void machine_relax(void);
/** Spins for `ns`. */
void machine_spin(uint64_t ns);
/** Sleeps, where idleness itself is what is measured. */
void machine_sleep_s(unsigned seconds);
/** Spins until every other thread of the process has gone to sleep and stays so for 100 us. */
void machine_wait_others_asleep(void);

/** How often the other threads of the process went to sleep of their own accord, so far. */
uint64_t machine_sleeps_of_others(void);
/** Memory of the process that is resident now. */
uint64_t machine_resident_bytes(void);

#endif
