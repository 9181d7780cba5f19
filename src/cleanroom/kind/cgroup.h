/* SPDX-License-Identifier: MIT */
/** @file cgroup.h  What a cgroup is made of; cgroup.c and cgroup_adopt.c. */
#ifndef CLEANROOM_KIND_CGROUP_H
#define CLEANROOM_KIND_CGROUP_H

#include <cleanroom/cgroup.h>

struct pnx_cgroup {
    int parent, fd, events;
    const char *path, *name; /* its directory, and the last component of that */
    const char *hierarchy;   /* its path as /proc/…/cgroup prints it */
    bool below_ours; /* beneath the `cleanroom` at the top, which goes with its last child */
    bool moved_out;  /* we live in `name`.supervisor beside it */
    bool has_stuck;  /* what is in it was killed and waited for in vain: not again */
    pnx_outcome *outcome;
    char text[];
};

/**
 * `name` beneath `parent`, which /proc/…/cgroup calls `parent_hierarchy`; nothing is open.
 * NULL: memory.
 */
pnx_cgroup *pnx__cgroup_allocate(const char *parent, const char *parent_hierarchy,
                                 const char *name);
/** Opens it in its parent, which is open. False: errno. */
bool pnx__cgroup_open(pnx_cgroup *cgroup);
#endif
