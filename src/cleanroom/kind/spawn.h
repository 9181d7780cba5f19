/* SPDX-License-Identifier: MIT */
/**
 * @file spawn.h
 * A command's way from plan to exec: the parent plans (spawn.c), the child follows (spawn_child.c).
 *
 * Without a pid namespace the child becomes the command. With one, it becomes the *usher*: it
 * enters the other namespaces, starts the init and the command as children of our own
 * (CLONE_PARENT), tells their pids, and ends. So the command is the caller's child in either case:
 * its status is the kernel's word, signals go to it and to nobody else, and it stops and continues
 * with its process group.
 */
#ifndef CLEANROOM_KIND_SPAWN_H
#define CLEANROOM_KIND_SPAWN_H

#include "kind/isolate.h"
#include "kind/limiter.h"

#include <signal.h>

/* All that the child needs, made before it exists: between fork and exec it must not allocate. */
struct pnx__plan {
    const char *const *argv;
    char **environment;
    sigset_t mask;
    int report;     /* a socket on which the child tells; the last of it is closed by exec */
    int cgroup_dir; /* -1: none, or the child was born there */
    const struct pnx_limiter *limiter; /* or NULL */
    struct pnx__isolation isolation;
};

/* What the child tells. Exec itself tells by closing the socket. */
struct pnx__told {
    enum {
        PNX__TOLD_EXEC,    /* failures: in exec, */
        PNX__TOLD_CGROUP,  /* in entering the cgroup, */
        PNX__TOLD_LIMITS,  /* the limits, */
        PNX__TOLD_ISOLATE, /* a namespace: `stage` */
        PNX__TOLD_PIDS,    /* by the usher: whom it started */
        PNX__TOLD_DISK,    /* with a descriptor of the file system in memory */
    } what;
    int stage, number; /* pnx__isolate_stage, errno */
    pid_t init, command;
};

/** In the child, all signals blocked. Async-signal-safe. */
_Noreturn void pnx__spawn_become(struct pnx__plan *plan);
/** In the parent: opens the pidfd of a child that was forked, or ends it again. -1: errno. */
pid_t pnx__spawn_watch(pid_t pid, int *ret_pidfd);
/** Handlers of ours must not run in the child once its mask is open. What is ignored stays so. */
void pnx__spawn_forget_handlers(void);

#endif
