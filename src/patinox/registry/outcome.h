/* SPDX-License-Identifier: MIT */
/*
 * What run.c, outcome.c and inline.c share about attempts.
 */
#ifndef PATINOX_REGISTRY_OUTCOME_H
#define PATINOX_REGISTRY_OUTCOME_H

#include "registry/resource.h"

/* Shutdown in its second phase, or over: fallbacks instead of retries. */
static inline bool pnx__only_fallbacks(struct pnx_registry *registry)
{
    return atomic_load_explicit(&registry->phase, memory_order_relaxed) >= PNX__FALLBACKS;
}

static inline bool pnx__same_attempt(uint64_t a, uint64_t b)
{
    const uint64_t who = ~(uint64_t)UINT32_MAX | PNX__ATTEMPT | PNX__STATE;
    return (a & who) == (b & who);
}

/* A fallback does not run beside a release, unless its kind says that it may. */
static inline bool pnx__may_fall_back(const pnx__kind *kind, uint64_t word)
{
    return kind->has_fallback &&
           ((word & PNX__LATE_RUNS) == 0 || (kind->flags & PNX_FALLBACK_CONCURRENT) != 0);
}

/* The end of a tick: live again, or released now if somebody asked or the tick said so. */
void pnx__tick_outcome(struct pnx_registry *registry, pnx__thread *thread, const pnx__about *about,
                       pnx__slot *slot, pnx_status status);
/* It goes on elsewhere: from now on a timer, not the worker, stands for its deadline. */
void pnx__go_pending(struct pnx_registry *registry, const pnx__about *about, pnx__slot *slot,
                     pnx_time deadline);

#endif
