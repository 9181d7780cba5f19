/* SPDX-License-Identifier: MIT */
/**
 * @file process_set.h
 * Everything that one command started, however it got away: finds it, ends it, sees it gone.
 *
 * A process belongs to the set when one of these holds:
 *   - it is in the command's cgroup, or beneath it;
 *   - it descends from the command, or from an orphan that came to us as the nearest subreaper,
 *     while `owns_children` says that all our children but the strangers are the command's;
 *   - it descends from the init of the command's pid namespace: none but its own are in there;
 *   - its initial environment holds the cookie;
 *   - somebody who followed every fork remembers it.
 * Nothing else is ever signalled, and whether it belongs is asked after a pidfd was opened: what is
 * signalled through it cannot be a later process of the same pid.
 */
#ifndef CLEANROOM_KIND_PROCESS_SET_H
#define CLEANROOM_KIND_PROCESS_SET_H

#include <cleanroom/cgroup.h>
#include <cleanroom/process.h>

#include "kind/procfs.h"

/** What a reaper calls itself. One of a session within ours goes by itself when it is done. */
#define PNX__REAPER_NAME "cleanroom-reap"

/** One process that was left behind. */
struct pnx__found_process {
    pid_t pid, parent;
    uint64_t start_time;
    int64_t user, created; /* created: nanoseconds since 1970 */
    bool orphan;           /* whoever started it has ended */
    bool own_session;      /* it called setsid(2), as daemons do */
    bool stopped;
    bool reaper;        /* of a session within ours */
    bool outside;       /* of the cgroup: it left, or somebody else started it for the command */
    bool asked, killed; /* was sent SIGTERM, SIGKILL */
    char command[128];
    pnx_outcome outcome;
};

struct pnx__child {
    pid_t pid;
    uint64_t start_time;
};

/** The pids that one look met in the cgroup; those that find no room in it are looked up again. */
#define PNX__SEEN_SLOTS 4096
struct pnx__seen {
    pid_t slots[PNX__SEEN_SLOTS]; /* open addressing; 0: free */
    size_t count;
};

struct pnx__process_set {
    /* Set by the owner before the command runs. */
    const char *cookie;           /* "CLEANROOM_SESSION=…" */
    pnx_cgroup *cgroup;           /* NULL: none (tier T0) */
    bool owns_children;           /* nobody in this process but us makes children meanwhile */
    struct pnx__child *strangers; /* children that this process had before */
    size_t stranger_count;
    pnx_duration grace;
    int alarm_fd;                 /* when it polls readable … */
    bool (*alarm)(void *context); /* … this is called; true: no more waiting out of politeness */
    bool (*remembers)(void *context, pid_t pid); /* NULL: nobody followed the forks */
    /* Visits all that are remembered; false: there may be more, or they are too many. */
    bool (*each_remembered)(void *context, void (*visit)(pid_t pid, void *visit_context),
                            void *visit_context);
    void *context;
    struct pnx__found_process *found; /* room for found_max */
    size_t found_max;

    /* Set by the owner when it runs, and when it has ended. */
    pnx_process command;
    pid_t init; /* of its pid namespace, which is ours and no member; 0: none */
    pnx_time started;
    bool command_ended; /* it was waited for */
    bool interrupted;   /* it is to be ended with everything else, e.g. because its time is over */

    /* Filled in by the release. */
    size_t found_count, hint;
    uint64_t unlisted; /* found, but there was no room to write it down */
    struct pnx__seen seen;
    bool elsewhere;  /* some are known by their cookie alone */
    bool everywhere; /* the last look was: at every process there is */
    /* Who is visited is signalled, and may be gone at once: its children come before it, since they
     * would be ours when it is their turn, in a list that we have read already. */
    bool signals;
    bool hurried; /* the alarm said so */
    pnx_outcome outcome;
};

typedef void (*pnx__member_fn)(struct pnx__process_set *set, pid_t pid, bool outside,
                               void *context);

/** How far a look goes. */
enum pnx__look {
    PNX__LOOK_NEAR,     /* the cgroup, and who descends from the command */
    PNX__LOOK_KNOWN,    /* and whom somebody followed; who followed nobody looks everywhere */
    PNX__LOOK_REST,     /* whom that does not meet: every process there is, for the cookie alone */
    PNX__LOOK_THOROUGH, /* all of these */
};

/**
 * Visits every process of the set but the command itself; zombies are no processes, and ours are
 * reaped on the way.
 */
void pnx__set_each(struct pnx__process_set *set, enum pnx__look look, pnx__member_fn visit,
                   void *context);
bool pnx__set_has(const struct pnx__process_set *set, pid_t pid);
/** Signals a member through a pidfd. False: it may not be signalled; true: it was, or has ended. */
bool pnx__set_signal(const struct pnx__process_set *set, pid_t pid, const int *signals,
                     size_t count);
/** Reaps zombies of the set that are our children, but not the command. */
void pnx__set_reap(struct pnx__process_set *set);
/**
 * The same, when all of the set were killed: waits for those that are still on their way out. A
 * process leaves its cgroup before it becomes a zombie. False: `deadline` came first.
 */
bool pnx__set_reap_all(struct pnx__process_set *set, pnx_time deadline);
/** Notes the children that this process has now as strangers. False: no memory. */
bool pnx__set_note_strangers(struct pnx__process_set *set);

/** Writes the process down, unless it is already, by its pid; NULL: there is no room. */
struct pnx__found_process *pnx__set_note(struct pnx__process_set *set, pid_t pid, bool outside);
/** Forgets those that have gone and describes the others anew: they may have been executed. */
void pnx__set_look_again(struct pnx__process_set *set);
/** Is this very process gone? Zombies are. */
bool pnx__found_is_gone(const struct pnx__found_process *found);

/** A set that holds a running command; its release ends all of it. */
extern const pnx_kind pnx_kind_processes;

PNX__OFFER_KIND(processes, struct pnx__process_set *);

#endif
