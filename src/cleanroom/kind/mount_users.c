/* SPDX-License-Identifier: MIT */
#include "kind/mount.h"

#include "kind/inode.h"
#include "kind/poll.h"
#include "kind/procfs.h"
#include "kind/sys.h"

#include <cleanroom/process.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>

#define USERS_TOLD 3

/* ---- who uses it ----------------------------------------------------------------------------- */

struct users {
    const char *path;
    size_t length, size, used;
    unsigned told;
    char *buffer;
};

/* The links are read, never followed: a dead file system cannot hold us up. */
static bool leads_beneath(int dir, const char *link, const struct users *users)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(dir, link, target, sizeof target - 1);
    if (length < 0)
        return false;
    target[length] = '\0';
    return strncmp(target, users->path, users->length) == 0 &&
           (target[users->length] == '/' || target[users->length] == '\0');
}

struct descriptors {
    const struct users *users;
    int dir;
    bool found;
};

static bool visit_descriptor(const char *name, void *context)
{
    struct descriptors *descriptors = context;
    descriptors->found = leads_beneath(descriptors->dir, name, descriptors->users);
    return !descriptors->found;
}

static bool uses(int process, const struct users *users)
{
    if (leads_beneath(process, "cwd", users) || leads_beneath(process, "root", users) ||
        leads_beneath(process, "exe", users))
        return true;
    struct descriptors descriptors = {
        users, openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC), false};
    if (descriptors.dir < 0)
        return false;
    (void)pnx__each_entry(descriptors.dir, visit_descriptor, &descriptors);
    pnx__close(descriptors.dir);
    return descriptors.found;
}

static void visit_process(pid_t pid, void *context)
{
    struct users *users = context;
    char path[40];
    if (users->told == USERS_TOLD)
        return;
    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    int process = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (process < 0)
        return;
    struct pnx__proc_stat about;
    if (uses(process, users) && pnx__proc_stat(pid, &about)) {
        int length = snprintf(users->buffer + users->used, users->size - users->used,
                              "%s%s (pid %d)", users->told ? ", " : "", about.name, (int)pid);
        users->used += (size_t)length < users->size - users->used ? (size_t)length : 0;
        users->told++;
    }
    pnx__close(process);
}

void pnx__path_users(const char *path, char *buffer, size_t size)
{
    struct users users = {.path = path, .length = strlen(path), .size = size, .buffer = buffer};
    buffer[0] = '\0';
    pnx__proc_each(visit_process, &users);
    buffer[users.used] = '\0';
}

/* ---- who may what we may not ----------------------------------------------------------------- */

static bool run_quietly(const char *const *argv, pnx_time deadline)
{
    posix_spawn_file_actions_t actions;
    pid_t pid;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return false;
    for (int fd = 0; fd <= 2; fd++)
        (void)posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
    int failed = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    pnx_process process;
    if (failed || pnx_process_open(pid, &process, NULL) != PNX_OK)
        return false;
    int status = -1;
    if (pnx_process_wait(&process, deadline, &status) == PNX_ETIMEOUT)
        (void)pnx_process_end(&process, 0, NULL, NULL);
    pnx_process_close(&process);
    return status == 0;
}

bool pnx__fuse_unmount(const char *point, bool lazily, pnx_time deadline)
{
    const char *const programs[] = {"fusermount3", "fusermount"};
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        const char *const argv[] = {programs[i], lazily ? "-uz" : "-u", point, NULL};
        if (run_quietly(argv, deadline))
            return true;
    }
    return false;
}
