/* SPDX-License-Identifier: MIT */
/**
 * @file evidence.h
 * What a tracker saw, read back from its file: records of one letter and a text, each ended by a
 * zero byte; a record without its end, the last one of a writer that was killed, does not count.
 *
 *     +PID   a process that belongs            -PID   the pid belongs to a stranger now
 *     cPATH  a file that a member made         CPATH  … that a stranger made
 *     wPATH  a device that a member wrote to   WPATH  … that a stranger wrote to
 *     mID    a mount that a member attached    (as in its identity: never given out again)
 *     pPATH  a directory in which files that are made are seen
 *     0      nothing that was seen until here counts
 *     !WHY   something was missed
 */
#ifndef CLEANROOM_TRACK_EVIDENCE_H
#define CLEANROOM_TRACK_EVIDENCE_H

#include "track/members.h"

#include <patinox/base.h>

/** Zeroed: no evidence of anything. */
struct pnx__evidence {
    bool tracked; /* somebody followed the forks */
    struct pnx__members members;
    struct pnx__sighting *sightings; /* by letter and text; the last one of a text counts */
    size_t sighting_count, sighting_room;
    char lost[160]; /* empty: nothing was missed */
};

/** Reads it all. PNX_ENOMEM; PNX_EFAILED: it cannot be read. */
PNX_MUST_CHECK pnx_status pnx__evidence_load(int fd, struct pnx__evidence *ret, pnx_error *err);
void pnx__evidence_done(struct pnx__evidence *evidence);

/** Did a process with this pid belong, the last time that the pid was given out? */
bool pnx__evidence_has(const struct pnx__evidence *evidence, pid_t pid);
/** Was it a member that made, wrote to or attached this last? `what` is 'c', 'w' or 'm'. */
bool pnx__evidence_saw(const struct pnx__evidence *evidence, char what, const char *text);
/** Would it have been seen, had a member made this file? Then no member made it. */
bool pnx__evidence_would_see(const struct pnx__evidence *evidence, const char *path);

#endif
