/* SPDX-License-Identifier: MIT */
/** @file limiter.h  What holds one command to its limits, for those who start it. */
#ifndef CLEANROOM_KIND_LIMITER_H
#define CLEANROOM_KIND_LIMITER_H

#include <cleanroom/limits.h>
#include <limits.h>
#include <sys/types.h>

/** The controllers that limit something here; also the bit and the place of each. */
enum { PNX__MEMORY, PNX__PIDS, PNX__CPU, PNX__CONTROLLERS };

extern const char *const pnx__controller_name[PNX__CONTROLLERS];
/** As it is called in a text of limits: "mem", "pids", "cpu". */
extern const char *const pnx__limit_name[PNX__CONTROLLERS];

/** A group of one cgroup v1 controller, made by us. */
struct pnx__v1_group {
    int fd;    /* of its directory; -1: there is none */
    int tasks; /* its file of that name, to be entered by */
    dev_t device;
    ino_t inode;
    char *path;
};

struct pnx_limiter {
    pnx_limits limits;
    struct pnx_cgroup *cgroup;
    bool by_v2[PNX__CONTROLLERS]; /* in the files of `cgroup` */
    struct pnx__v1_group v1[PNX__CONTROLLERS];
    int disk; /* the file system in memory; -1: none, or not mounted yet */
    pnx_outcome *outcome;
};

/* limiter.c, for spawn */
/** In the child: the last step before exec. Async-signal-safe; false: errno says why. */
bool pnx__limiter_enter(const pnx_limiter *limiter);
uint64_t pnx__limiter_disk(const pnx_limiter *limiter);
/** Takes the descriptor over. */
void pnx__limiter_hold_disk(pnx_limiter *limiter, int disk);

/* limits_v2.c */
/**
 * Sets the limit in the files of the limiter's cgroup, after enabling the controller if that can
 * be. PNX_EUNSUPPORTED: there is no such controller here; the error says why.
 */
pnx_status pnx__limit_by_v2(pnx_limiter *limiter, int controller, pnx_error *err);
/** Takes it away again. */
void pnx__unlimit_by_v2(pnx_limiter *limiter, int controller);

/* limits_v1.c */
/** Makes a group for the limit. PNX_EUNSUPPORTED: no such controller here; the error says why. */
pnx_status pnx__limit_by_v1(pnx_limiter *limiter, int controller, const char *label,
                            pnx_error *err);
/** Ends what lives in the group, removes it, looks again. `*ret_was_there` may be NULL. */
pnx_status pnx__v1_remove(const struct pnx__v1_group *group, pnx_time deadline, pnx_error *err);
/** Finds the groups of this label anew. */
void pnx__v1_each(const char *label,
                  void (*visit)(int controller, const struct pnx__v1_group *group, void *context),
                  void *context);
void pnx__v1_close(struct pnx__v1_group *group);

/* limits.c */
/** "512M": the largest unit that says it exactly. */
void pnx__size_format(uint64_t bytes, char *buffer, size_t size);
/** The same for people: rounded, with one decimal. */
void pnx__size_print(uint64_t bytes, char *buffer, size_t size);

/** Writes a text into a file of a cgroup. False: errno says why. */
bool pnx__cgroup_write(int dir, const char *file, const char *text);
/** The number after `key` in such a file; with an empty key, the first. False: there is none. */
bool pnx__cgroup_read(int dir, const char *file, const char *key, uint64_t *ret);
/** What a limit is written as: "536870912", or for `cpu` quota and period in microseconds. */
uint64_t pnx__limit_of(const pnx_limits *limits, int controller);

#endif
