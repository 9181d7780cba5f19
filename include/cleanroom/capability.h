/* SPDX-License-Identifier: MIT */
/**
 * @file capability.h
 * What this machine allows a clean room to do, found out by trying, and the tier that follows.
 *
 * | tier | what it is |
 * |---|---|
 * | 3 | root: a cgroup, every fork told by the process events connector, every file by fanotify |
 * | 2 | a user namespace with a pid namespace: nothing outlives its init; changes what CMD sees |
 * | 1 | a cgroup of its own |
 * | 0 | child subreaper, and a cookie in the environment |
 *
 * Everything here puts back what it made. Threads: all may be called from any thread.
 */
#ifndef CLEANROOM_CAPABILITY_H
#define CLEANROOM_CAPABILITY_H

#include <patinox/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PNX_TIER_AUTO (-1)

/** One thing that the machine allows, or does not. */
typedef struct pnx_capability {
    const char *group; /**< "cgroups", "processes", "namespaces", "watching", "engines", "places" */
    const char *name;  /**< stable: "cgroup-v2", "userns", … */
    const char *gives; /**< what it is good for */
    bool ok;
    char detail[224]; /**< if ok: which, where, how much; else why not */
    char change[224]; /**< if not: what to do about it; may be empty */
} pnx_capability;

#define PNX_CAPABILITIES_MAX 48
/**
 * Tries everything: some milliseconds. Fills in `ret` (room for PNX_CAPABILITIES_MAX) and returns
 * how many. `state_dir` and `tmp_dir` are judged as places; NULL: as `cleanroom run` chooses them.
 */
PNX_API size_t pnx_capabilities_probe(const char *state_dir, const char *tmp_dir,
                                      pnx_capability *ret);

/** The tier of a run. */
typedef struct pnx_tier_choice {
    unsigned tier;
    char reason[224]; /**< why it is not higher; empty at 3 */
} pnx_tier_choice;

/** "T3 (root: cgroup, process events, fanotify)", … Never NULL. */
PNX_API const char *pnx_tier_name(unsigned tier);

/**
 * The best tier that can be had, cheaply (less than 0.1 ms): at most `requested` (PNX_TIER_AUTO: no
 * bound, and tier 2 only if `isolate`, flags of pnx_isolate, asks for a pid namespace anyway).
 * A tier that is requested but cannot be had is no error: the next one is chosen and `reason` says
 * why. PNX_EINVAL: there is no such tier. PNX_ELIMIT: less than `required` (0: anything will do).
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_tier_choose(int requested, unsigned required,
                                                  unsigned isolate, pnx_tier_choice *ret,
                                                  pnx_error *err);

#ifdef __cplusplus
}
#endif

#endif
