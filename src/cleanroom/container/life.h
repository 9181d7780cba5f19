/* SPDX-License-Identifier: MIT */
/** @file life.h  What a lifecycle consists of, and the steps of one. */
#ifndef CLEANROOM_CONTAINER_LIFE_H
#define CLEANROOM_CONTAINER_LIFE_H

#include <cleanroom/lifecycle.h>

#include "container/beat.h"
#include "container/condition.h"

/** When it is started again. The defaults are filled in. */
struct pnx__policy {
    pnx_restart restart;
    unsigned restarts_max; /* UINT_MAX: no limit */
    pnx_duration pause, pause_max, settled;
    bool restart_unhealthy;
};

struct pnx_lifecycle {
    struct pnx__beat beat;
    pnx_engine *engine;
    pnx_object *object;
    struct pnx__checks checks;
    struct pnx__policy policy;
    pnx_duration grace;
    void (*changed)(const pnx_life_entry *entry, void *context);
    void *context;
    void (*health_changed)(const pnx_health_entry *entry, void *context);
    void *health_context;
    pthread_cond_t news; /* of what is below; under the beat's mutex */
    struct pnx__condition condition;
    pnx_life now;
    bool begun, blind;
    unsigned row;     /* restarts in a row */
    pnx_time started; /* of the registry's clock */
    pnx_lifecycle_counts counts;
    unsigned history;
    pnx_life_entry *entries; /* a ring */
    uint64_t entry_count;
};

/** PNX_EINVAL names the field. */
pnx_status pnx__policy_of(const pnx_lifecycle_config *config, struct pnx__policy *ret,
                          pnx_error *err);
/** Before the restart that is number `row` in a row, from 1 on. */
pnx_duration pnx__policy_pause(const struct pnx__policy *policy, unsigned row);
/** Is what has ended so started again, if it is not too often? */
bool pnx__policy_restarts(const struct pnx__policy *policy, int exit_code, bool oom_killed);

/** A step: takes it down, and tells of it. `about` has what is special about it. */
void pnx__life_step(pnx_lifecycle *life, pnx_life now, const pnx_life_entry *about);
/** It was started, just now. */
void pnx__life_started(pnx_lifecycle *life);
/** The beat's work. */
pnx_duration pnx__life_work(void *owner);
/** The moment that tells of a step into it. */
const pnx_kind *pnx__life_moment(pnx_life life);

#endif
