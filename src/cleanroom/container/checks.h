/* SPDX-License-Identifier: MIT */
/** @file checks.h  Several checks that are one look. */
#ifndef CLEANROOM_CONTAINER_CHECKS_H
#define CLEANROOM_CONTAINER_CHECKS_H

#include <cleanroom/check.h>

#define PNX__CHECKS_MAX 16

/** Copies of somebody's checks. Zeroed: none, and a look is at the engine's own health check. */
struct pnx__checks {
    pnx_check *list;
    size_t count;
};

/** PNX_EINVAL names the check and its field. Ended by pnx__checks_free. */
pnx_status pnx__checks_copy(const pnx_check *checks, size_t count, struct pnx__checks *ret,
                            pnx_error *err);
void pnx__checks_free(struct pnx__checks *checks);

/** What all of them together said. */
struct pnx__seen {
    bool known;  /* false: only `reason` is */
    bool gone;   /* there is no such container */
    bool voided; /* it was canceled: nothing was seen */
    pnx_check_result result;
};

/** One after the other, each within `timeout`, until one does not pass. */
void pnx__checks_look(const struct pnx__checks *checks, pnx_engine *engine, const char *container,
                      pnx_duration timeout, const pnx_cancel *cancel, struct pnx__seen *ret);

#endif
