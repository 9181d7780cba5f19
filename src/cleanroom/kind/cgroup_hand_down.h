/* SPDX-License-Identifier: MIT */
/**
 * @file cgroup_hand_down.h
 * Which controllers the cgroups beneath a cgroup v2 get (cgroup.subtree_control).
 *
 * The kernel hands none down from a cgroup in which a process lives, unless that is the root: "no
 * internal processes". So whoever wants to limit what it starts beneath its own cgroup has to leave
 * that first, into another one beneath it.
 *
 * What was handed down stays handed down: others may have begun to rely on it.
 */
#ifndef CLEANROOM_KIND_CGROUP_HAND_DOWN_H
#define CLEANROOM_KIND_CGROUP_HAND_DOWN_H

#include <cleanroom/limits.h>

/** The controllers that the limits need, as bits: 1 << PNX__MEMORY, … */
unsigned pnx__cgroup_controllers(const pnx_limits *limits);
/** Are these controllers available in the cgroup of this directory? */
bool pnx__cgroup_has(const char *dir, unsigned controllers);
/** Hands them down, or finds that they are. False: errno says why (EBUSY: it is lived in). */
bool pnx__cgroup_hand_down(const char *dir, unsigned controllers);

/**
 * Moves this process, its children, and whoever has `name` (or what follows "cleanroom-" in it)
 * among its arguments from the cgroup `dir` into `dir`/`name`.supervisor. False: somebody else
 * lives in there too, or it is not allowed; everything is as before.
 */
bool pnx__cgroup_move_out(const char *dir, const char *name);
/** The way back: nothing is handed down any more, which would bar it; then removes that cgroup. */
bool pnx__cgroup_move_back(const char *dir, const char *name, pnx_error *err);
/**
 * Finds the cgroup that a process which died had moved into, wherever it is, and goes the way back
 * for it: with this process, if that lives there (a reaper), else as far as nobody does.
 */
void pnx__cgroup_forget_supervisor(const char *name);

#endif
