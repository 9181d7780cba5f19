/* SPDX-License-Identifier: MIT */
/** @file process_wait.h  Waiting until a set of processes is gone. */
#ifndef CLEANROOM_KIND_PROCESS_WAIT_H
#define CLEANROOM_KIND_PROCESS_WAIT_H

#include "kind/process_set.h"

enum pnx__wait {
    PNX__WAIT_SESSION, /* for those that share our terminal session; the alarm ends it */
    PNX__WAIT_REAPERS, /* for those of sessions within ours; the alarm ends it */
    PNX__WAIT_POLITE,  /* for all, the command too; the alarm ends it */
    PNX__WAIT_FIRM,    /* for all that are met, the command too, whatever the alarm says */
};

/**
 * Waits until nobody of the set runs any more but those whom we may not signal, for whom nobody can
 * wait. False: `deadline` came first, or the alarm.
 */
bool pnx__set_wait(struct pnx__process_set *set, enum pnx__wait how, pnx_time deadline);

#endif
