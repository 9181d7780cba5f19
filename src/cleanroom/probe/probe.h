/* SPDX-License-Identifier: MIT */
/** @file probe.h  What the files of this room share: each tries the things of one group. */
#ifndef CLEANROOM_PROBE_H
#define CLEANROOM_PROBE_H

#include <cleanroom/capability.h>

#include <sys/types.h>

/** Where the answers go. */
struct pnx__probe {
    pnx_capability *next, *end;
    const char *group;
    const char *state_dir, *tmp_dir; /* NULL: as a run chooses them */
};

/** Begins an answer, which is "no" until somebody says otherwise. Never NULL. */
pnx_capability *pnx__probe_add(struct pnx__probe *probe, const char *name, const char *gives);
void pnx__probe_yes(pnx_capability *capability, const char *format, ...) PNX_PRINTF(2, 3);
/** `%m` is errno. */
void pnx__probe_no(pnx_capability *capability, const char *format, ...) PNX_PRINTF(2, 3);
void pnx__probe_change(pnx_capability *capability, const char *format, ...) PNX_PRINTF(2, 3);

void pnx__probe_cgroups(struct pnx__probe *probe);
void pnx__probe_processes(struct pnx__probe *probe);
void pnx__probe_namespaces(struct pnx__probe *probe);
void pnx__probe_watching(struct pnx__probe *probe);
void pnx__probe_engines(struct pnx__probe *probe);
void pnx__probe_places(struct pnx__probe *probe);

/* ---- what a tier rests on; cheap ------------------------------------------------------------- */

/** False: errno says why. */
bool pnx__can_watch_processes(void);
/** As far as permissions say: trying it costs milliseconds, to take the mark away again. */
bool pnx__may_watch_files(void);
/** Could a cgroup be made here, as far as permissions say? `reason` says why not. */
bool pnx__can_make_cgroup(char *reason, size_t size);
/** Can this user have a pid namespace? Tries it, in a child. `reason` says why not. */
bool pnx__can_isolate(unsigned isolate, uid_t as, char *reason, size_t size);

#endif
