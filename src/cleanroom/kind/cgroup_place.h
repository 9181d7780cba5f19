/* SPDX-License-Identifier: MIT */
/** @file cgroup_place.h  Where in a hierarchy a cgroup of ours may go. */
#ifndef CLEANROOM_KIND_CGROUP_PLACE_H
#define CLEANROOM_KIND_CGROUP_PLACE_H

#include <limits.h>
#include <patinox/base.h>

struct pnx__cgroup_place {
    char mount[PATH_MAX]; /* where the hierarchy is mounted */
    char root[PATH_MAX];  /* what of the hierarchy is mounted there, as /proc/…/cgroup names it */
    char own[PATH_MAX];   /* the caller's own cgroup, as /proc/self/cgroup names it; … */
    char own_dir[PATH_MAX]; /* … and its directory; empty: not visible here */
};

/** Reads it from /proc. PNX_EUNSUPPORTED: cgroup v2 is not mounted. */
pnx_status pnx__cgroup_find_place(struct pnx__cgroup_place *ret, pnx_error *err);
/** The same for the v1 hierarchy of a controller. PNX_EUNSUPPORTED: that is not mounted. */
pnx_status pnx__cgroup_find_v1(const char *controller, struct pnx__cgroup_place *ret,
                               pnx_error *err);

struct pnx_cgroup;
/** Was it made beneath `cleanroom` at the top of the hierarchy? */
bool pnx__cgroup_is_at_top(const struct pnx_cgroup *cgroup);
/** Is it a plain path to a directory beneath the mount, but not the mount itself? */
bool pnx__cgroup_path_fits(const struct pnx__cgroup_place *place, const char *path);

#endif
