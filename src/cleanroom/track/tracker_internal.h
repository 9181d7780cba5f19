/* SPDX-License-Identifier: MIT */
/** @file tracker_internal.h  What the sources of events share. */
#ifndef CLEANROOM_TRACK_TRACKER_INTERNAL_H
#define CLEANROOM_TRACK_TRACKER_INTERNAL_H

#include "track/members.h"
#include "track/tracker.h"

#include <sys/types.h>

#define PNX__TRACKED_PLACES 40

/* A directory or a device that is watched, known by the handle that its events carry. */
struct pnx__place {
    unsigned char handle[128];
    unsigned handle_bytes;
    int handle_type;
    char path[32];
};

struct pnx__tracker {
    pid_t root, self;
    int evidence_fd;
    struct pnx__members members, excluded;
    bool choosy, expecting;       /* not all that the root starts belongs; what it starts now may */
    struct pnx__members expected; /* what it has started while expecting */

    int processes; /* netlink connector */
    int files;     /* fanotify: directories and devices */
    int mounts;    /* fanotify: the mount namespace; -1: this kernel does not tell */
    int queues;    /* the directory of the message queues: closing it takes the kernel a while */
    struct pnx__place places[PNX__TRACKED_PLACES];
    size_t place_count;

    /* Evidence that is not written yet. */
    char buffer[16384];
    size_t buffered;
    bool lost; /* told once */
};

/** One record: a letter, and a text; see evidence.h. */
void pnx__tracker_tell(struct pnx__tracker *tracker, char what, const char *text);
void pnx__tracker_tell_pid(struct pnx__tracker *tracker, char what, pid_t pid);
void pnx__tracker_flush(struct pnx__tracker *tracker);
/** Something was missed: who cannot be proved to belong from now on may belong all the same. */
void pnx__tracker_lost(struct pnx__tracker *tracker, const char *why);

int pnx__tracker_open_processes(pnx_error *err);
void pnx__tracker_take_processes(struct pnx__tracker *tracker);

void pnx__tracker_open_files(struct pnx__tracker *tracker);
void pnx__tracker_take_files(struct pnx__tracker *tracker);
void pnx__tracker_take_mounts(struct pnx__tracker *tracker);

#endif
