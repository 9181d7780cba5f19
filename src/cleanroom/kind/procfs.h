/* SPDX-License-Identifier: MIT */
/**
 * @file procfs.h
 * What /proc knows of processes. Nothing here allocates. A process may end at any moment: an answer
 * is true of the process that had the pid while it was read, no more.
 */
#ifndef CLEANROOM_KIND_PROCFS_H
#define CLEANROOM_KIND_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct pnx__proc_stat {
    char name[64]; /* of the program, cut by the kernel */
    char state;    /* R, S, D, T, t, Z, X, … */
    pid_t parent, group, session;
    bool kernel;         /* it is a thread of the kernel's own */
    uint64_t start_time; /* in clock ticks since boot */
    int64_t user;        /* that it runs as; root, if it may not be looked into */
};

/** Reads all of a small file, terminated; -1 and errno. Longer ones are cut. */
ssize_t pnx__read_file(const char *path, char *buffer, size_t size);

bool pnx__proc_stat(pid_t pid, struct pnx__proc_stat *ret);
/** "sleep 1000": its arguments joined by spaces, or its name in brackets; cut to `size`. */
void pnx__proc_command(pid_t pid, char *buffer, size_t size);
/** The path of its cgroup v2 as the kernel prints it, without newline. False: it has none. */
bool pnx__proc_cgroup(pid_t pid, char *buffer, size_t size);
/**
 * Does its initial environment hold the entry "NAME=value"? False too when it may not be read. One
 * that is just being executed has none for a moment, and no arguments: that is waited for.
 */
bool pnx__proc_has_environment(pid_t pid, const char *entry);
/** The pid that a pidfd stands for, here; 0: none any more, or none that can be seen. */
pid_t pnx__proc_pid_of(int pidfd);
/** The pid of the process that was started last, or -1. */
pid_t pnx__proc_last_pid(void);

typedef void (*pnx__pid_fn)(pid_t pid, void *context);
/** Every number in a file of numbers and white space, read from where it stands. */
void pnx__each_number_in(int fd, pnx__pid_fn visit, void *context);
/** Every child of every thread of `pid`. */
void pnx__proc_each_child(pid_t pid, pnx__pid_fn visit, void *context);
/** Every process. */
void pnx__proc_each(pnx__pid_fn visit, void *context);

#endif
