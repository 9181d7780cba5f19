/* SPDX-License-Identifier: MIT */
/** @file condition.h  From looks to a condition, and what is remembered of it. Not thread-safe. */
#ifndef CLEANROOM_CONTAINER_CONDITION_H
#define CLEANROOM_CONTAINER_CONDITION_H

#include <cleanroom/health.h>

#include "container/checks.h"

/** The defaults are filled in. */
struct pnx__rules {
    pnx_duration interval, timeout, start_period, start_interval;
    unsigned retries, successes, unknowns, history;
};

/** Zeroed but for `rules` and `entries`: nobody has looked yet. */
struct pnx__condition {
    struct pnx__rules rules;
    pnx_condition now;
    pnx_condition settled; /* the last that was not unknown */
    bool looked, was_healthy;
    pnx_time since;                    /* of the first look */
    unsigned failing, passing, silent; /* looks in a row */
    pnx_health_counts counts;
    pnx_health_entry *entries; /* a ring of rules.history */
    uint64_t entry_count;
};

/** PNX_EINVAL names the field. */
pnx_status pnx__rules_of(const pnx_health_config *config, struct pnx__rules *ret, pnx_error *err);
/** Takes a look in. `*ret` is what will be remembered of it. True: it is a transition. */
bool pnx__condition_judge(struct pnx__condition *is, pnx_time time, const struct pnx__seen *seen,
                          pnx_health_entry *ret);
/** It begins a new life: what was is remembered, but does not count. */
void pnx__condition_restart(struct pnx__condition *is);
pnx_duration pnx__condition_pause(const struct pnx__condition *is);
size_t pnx__condition_history(const struct pnx__condition *is, pnx_health_entry *ret, size_t most);
/** The moment that tells of a transition into it. */
const pnx_kind *pnx__condition_moment(pnx_condition condition);

#endif
