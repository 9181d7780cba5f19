/* SPDX-License-Identifier: MIT */
/** @file members.h  A set of pids that grows. */
#ifndef CLEANROOM_TRACK_MEMBERS_H
#define CLEANROOM_TRACK_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/** Zeroed: empty. */
struct pnx__members {
    pid_t *slots; /* open addressing; 0: never used, -1: used once */
    size_t size, used, count;
};

bool pnx__members_has(const struct pnx__members *members, pid_t pid);
/** False: no memory. Adding who is there already is fine. */
bool pnx__members_add(struct pnx__members *members, pid_t pid);
void pnx__members_remove(struct pnx__members *members, pid_t pid);
void pnx__members_each(const struct pnx__members *members, void (*visit)(pid_t pid, void *context),
                       void *context);
void pnx__members_done(struct pnx__members *members);

#endif
