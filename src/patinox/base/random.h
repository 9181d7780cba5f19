/* SPDX-License-Identifier: MIT */
/**
 * @file random.h
 * Small, fast, seedable random numbers for jitter and tests: the same seed gives the same numbers
 * on every machine. Not for secrets. Each owner has its own generator, so there is nothing to lock.
 *
 * The generator is SplitMix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number
 * Generators", OOPSLA 2014, with the constants of Vigna's https://prng.di.unimi.it/splitmix64.c
 * (public domain).
 */
#ifndef PNX_BASE_RANDOM_H
#define PNX_BASE_RANDOM_H

#include <stdint.h>

typedef struct pnx__random {
    uint64_t state; /**< the seed; every value is a good one, 0 too */
} pnx__random;

/**
 * The finaliser of SplitMix64: a bijection in which each bit of the input moves every output bit.
 */
static inline uint64_t pnx__mix64(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

/** The next 64 random bits. */
static inline uint64_t pnx__random_next(pnx__random *random)
{
    random->state += UINT64_C(0x9e3779b97f4a7c15);
    return pnx__mix64(random->state);
}

/**
 * A number from 0 to `bound` - 1; 0 if `bound` is 0. By multiplication instead of division (Lemire,
 * "Fast Random Integer Generation in an Interval", 2019) without his rejection step: the bias is
 * below `bound` / 2^64, which no jitter and no test will ever see.
 */
static inline uint64_t pnx__random_below(pnx__random *random, uint64_t bound)
{
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)(((wide)pnx__random_next(random) * bound) >> 64);
}

#endif
