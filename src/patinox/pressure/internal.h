/* SPDX-License-Identifier: MIT */
/**
 * @file internal.h
 * What the files of this room share. pressure.c has the subscribers, watch.c the thread, psi.c the
 * kernel's side.
 */
#ifndef PNX_PRESSURE_INTERNAL_H
#define PNX_PRESSURE_INTERNAL_H

#include "base/list.h"

#include <patinox/pressure.h>
#include <pthread.h>
#include <stdatomic.h>

#define PNX__PRESSURE_SOURCE_MAX 512

struct pnx_pressure_subscription {
    pnx_pressure *pressure;
    pnx__list node;
    pnx_pressure_fn fn;
    void *context;
    bool ended; /* it unsubscribed itself: freed when its call returns */
    /* of pnx_pressure_shrink_cache */
    pnx_cache *cache;
    pnx_pressure_keep keep;
};

struct pnx_pressure {
    uint32_t epoch; /* of the process that made it */
    char source[PNX__PRESSURE_SOURCE_MAX];
    _Atomic uint64_t told[PNX_PRESSURE_LEVEL_COUNT]; /* relaxed: counters that stand alone */
    _Atomic bool watches;                            /* relaxed: told, nothing hangs on it */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* a call, or a telling, is over */
    /* lock, from here on */
    pnx__list subscribers;
    pnx_pressure_subscription *calling; /* runs just now */
    bool telling;
    pthread_t teller; /* while telling */

    pthread_t thread;
    bool started;
    int triggers[PNX_PRESSURE_LEVEL_COUNT]; /* -1: none */
    int stop;                               /* eventfd */
};

/* ---- psi.c ----------------------------------------------------------------------------------- */

/* Opens the triggers, and says where. All -1 on failure. */
pnx_status pnx__psi_open(const pnx_pressure_config *config, char source[PNX__PRESSURE_SOURCE_MAX],
                         int triggers[PNX_PRESSURE_LEVEL_COUNT], pnx_error *err);
void pnx__psi_close(int triggers[PNX_PRESSURE_LEVEL_COUNT]);

/* ---- watch.c --------------------------------------------------------------------------------- */

pnx_status pnx__pressure_watch(pnx_pressure *pressure, pnx_error *err);
void pnx__pressure_stop(pnx_pressure *pressure);

#endif
