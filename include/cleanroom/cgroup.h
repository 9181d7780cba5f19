/* SPDX-License-Identifier: MIT */
/**
 * @file cgroup.h
 * A control group (v2) of one's own: everything that is started in it stays in it, however often it
 * forks, and all of it can be ended at once. No controller is needed, so this works on machines
 * that have v1 and v2 side by side too.
 *
 * Needs a cgroup v2 mount in which the caller may create groups: as root, or in a delegated subtree
 * (systemd-run --user --scope -p Delegate=yes).
 *
 * Not promised: a process with the privilege to do so can leave its cgroup.
 */
#ifndef CLEANROOM_CGROUP_H
#define CLEANROOM_CGROUP_H

#include <cleanroom/limits.h>
#include <cleanroom/outcome.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pnx_cgroup pnx_cgroup;

/**
 * Makes the cgroup `name` (one component) beneath the caller's own, or, as root and where that
 * cannot be, beneath `cleanroom` at the top of the hierarchy. The caller owns `*ret` and ends it
 * with pnx_cgroup_remove and pnx_cgroup_free, or in a guard.
 * PNX_EUNSUPPORTED: no cgroup v2 here; PNX_EINVAL (name); PNX_ENOMEM; PNX_EFAILED: may not.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_cgroup_create(const char *name, pnx_cgroup **ret,
                                                    pnx_error *err);

/**
 * The same, where the controllers that these limits need (mem, pids, cpu) can work in it: beneath
 * the caller's own cgroup if that hands them down or can be made to; else, as root, at the top;
 * else beneath the caller's own after the caller has moved out of the way, into a cgroup
 * `name`.supervisor beside it, if nobody but its own children lives there. If all of that is in
 * vain, it is made as by pnx_cgroup_create: cgroup v1 may serve. Threads: it moves the whole
 * process.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_cgroup_create_for(const char *name, const pnx_limits *limits,
                                                        pnx_cgroup **ret, pnx_error *err);

/**
 * Takes over a cgroup that another process made, which is dead, by its directory and its identity
 * (NULL: whatever is there now). Refused for the cgroup that the caller is in, or beneath: it would
 * be killed with it.
 * PNX_ENOTFOUND: it is gone, or another one has its name; PNX_EBUSY: we are in it; PNX_EINVAL: it
 * is no cgroup; PNX_EUNSUPPORTED, PNX_ENOMEM, PNX_EFAILED.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_cgroup_adopt(const char *path, const char *identity,
                                                   pnx_cgroup **ret, pnx_error *err);
/** Device and inode of its directory, which are never given again; like snprintf(3). */
PNX_API int pnx_cgroup_identity(const pnx_cgroup *cgroup, char *buffer, size_t size);

/** Its directory in the file system. */
PNX_API const char *pnx_cgroup_path(const pnx_cgroup *cgroup);
/** A descriptor of that directory, for clone3(2); the cgroup's own. */
PNX_API int pnx_cgroup_fd(const pnx_cgroup *cgroup);
/** Is this process in it or beneath it? */
PNX_API bool pnx_cgroup_has(const pnx_cgroup *cgroup, pid_t pid);
/** Does a process live in it or beneath it? True too when that cannot be found out. */
PNX_API bool pnx_cgroup_populated(const pnx_cgroup *cgroup);
/** Visits the pids in it and beneath it. */
PNX_API void pnx_cgroup_each(const pnx_cgroup *cgroup, void (*visit)(pid_t pid, void *context),
                             void *context);
/**
 * Kills every process in it and beneath it at once (cgroup.kill, Linux 5.14; before that one by
 * one, until none is left). Does not wait. PNX_OK; PNX_EFAILED: errno says why.
 */
PNX_API pnx_status pnx_cgroup_kill(const pnx_cgroup *cgroup);
/**
 * A descriptor that polls POLLPRI when `populated` may have changed; pnx_cgroup_populated arms it
 * again. The cgroup's own.
 */
PNX_API int pnx_cgroup_events_fd(const pnx_cgroup *cgroup);
/** Waits until nothing lives in it, until `deadline` (CLOCK_MONOTONIC). PNX_OK, PNX_ETIMEOUT. */
PNX_API pnx_status pnx_cgroup_wait_empty(const pnx_cgroup *cgroup, pnx_time deadline);
/**
 * Removes it with the cgroups beneath it, deepest first, and verifies that it is gone. Kills
 * nothing. `outcome` may be NULL. PNX_OK; PNX_EBUSY: a process lives in it; PNX_EFAILED.
 */
PNX_API pnx_status pnx_cgroup_remove(pnx_cgroup *cgroup, pnx_outcome *outcome, pnx_error *err);
/** Gives up the descriptors and the memory, not the cgroup. NULL is fine. */
PNX_API void pnx_cgroup_free(pnx_cgroup *cgroup);
/** Where a guard's release writes what became of it; must outlive the cgroup. */
PNX_API void pnx_cgroup_watch_by(pnx_cgroup *cgroup, pnx_outcome *outcome);

/** Its release kills what is in it, waits, removes it and frees it; low priority, five attempts. */
extern PNX_API const pnx_kind pnx_kind_cgroup;

#ifdef __cplusplus
}
#endif

PNX__OFFER_KIND(cgroup, pnx_cgroup *);

#endif
