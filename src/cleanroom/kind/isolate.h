/* SPDX-License-Identifier: MIT */
/**
 * @file isolate.h
 * Namespaces of a command's own: planned by the parent, entered by the child, explained again by
 * the parent if that fails.
 */
#ifndef CLEANROOM_KIND_ISOLATE_H
#define CLEANROOM_KIND_ISOLATE_H

#include <cleanroom/process.h>
#include <limits.h>

/** The steps of the child that can fail, in their order. */
enum pnx__isolate_stage {
    PNX__IN_USER = 1,    /* making the user namespace */
    PNX__IN_USER_MAP,    /* becoming ourselves in it */
    PNX__IN_MOUNT,       /* making the mount namespace */
    PNX__IN_PROPAGATION, /* keeping its mounts from the host */
    PNX__IN_IPC,
    PNX__IN_SHM,
    PNX__IN_MQUEUE,
    PNX__IN_NET,
    PNX__IN_LOOPBACK,
    PNX__IN_DISK, /* the file system in memory */
    PNX__IN_TMP,
    PNX__IN_PID,
    PNX__IN_INIT, /* starting the init of the pid namespace, or the command in there */
    PNX__IN_PROC,
    PNX__ISOLATE_STAGES
};

/** A name beneath the private /tmp or /var/tmp by which the directory is known inside. */
struct pnx__isolate_alias {
    char path[PATH_MAX];   /* relative to tmpdir: "tmp/a/cleanroom-4711"; empty: none */
    char target[PATH_MAX]; /* from there to the private /tmp: ".." */
};

/** All that the child needs: it must not allocate, nor call what a signal handler may not. */
struct pnx__isolation {
    unsigned isolate; /* what was asked for */
    bool mounts;      /* it needs a mount namespace */
    bool user;        /* it needs a user namespace */
    bool has_shm, has_mqueue, has_var_tmp;
    char uid_map[40], gid_map[40];
    const char *tmpdir; /* NULL: none */
    struct pnx__isolate_alias aliases[2];
    char disk[64];  /* mount options of the file system in memory; empty: none */
    int supervisor; /* a pidfd of the parent; -1: no pid namespace */
    char path[PATH_MAX];
};

/**
 * Fills in `ret`. PNX_EINVAL: the tmpdir; PNX_ELIMIT: what can be known beforehand to fail. The
 * plan is ended by pnx__isolation_done.
 */
pnx_status pnx__isolation_plan(const pnx_command *command, uint64_t disk,
                               struct pnx__isolation *ret, pnx_error *err);
void pnx__isolation_done(struct pnx__isolation *isolation);

/**
 * In the child: enters all namespaces but that of pids. 0, or the stage that failed; errno says
 * why. `*ret_disk` is a descriptor of the file system in memory, or -1. Async-signal-safe.
 */
int pnx__isolate_enter(struct pnx__isolation *isolation, int *ret_disk);
/** In the child of a new pid namespace that becomes the command: its own /proc. */
int pnx__isolate_mount_proc(void);
/** In the first child of a new pid namespace: is its init until `supervisor` ends. */
_Noreturn void pnx__isolate_be_init(int supervisor);

/** The error for a failed stage: the form, the cause, the next step. */
pnx_status pnx__isolate_explain(const struct pnx__isolation *isolation, int stage, int number,
                                const char *name, pnx_error *err);
/** Why this user may not make user namespaces, and what to do: a clause; NULL: no known reason. */
const char *pnx__isolate_userns_knob(void);
/** Has the calling thread CAP_SYS_ADMIN? */
bool pnx__has_capability(unsigned capability);
/** Would this path be hidden from a command by PNX_ISOLATE_TMP? */
bool pnx__isolate_hides(const char *path);

#endif
