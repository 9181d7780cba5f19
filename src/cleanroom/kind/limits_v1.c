/* SPDX-License-Identifier: MIT */
/*
 * Limits by cgroup v1, where the controllers are still there: machines with v1 and v2 side by side.
 * One group for each controller, named by the label, beneath the caller's own group of that
 * controller, so that the limits it is under itself hold for the command too. Whoever knows the
 * label finds them again.
 */
#include "kind/cgroup_place.h"
#include "kind/limiter.h"
#include "kind/poll.h"
#include "kind/procfs.h"
#include "kind/sys.h"

#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PERIOD 100000u /* microseconds: the kernel's own default */
/* How deep a label is looked for beneath the top of a hierarchy. */
#define DEPTH_MAX 32

static int open_dir(int dir, const char *name)
{
    return openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* ---- making ---------------------------------------------------------------------------------- */

static bool set(int dir, int controller, uint64_t limit)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, limit);
    switch (controller) {
    case PNX__MEMORY: /* with swap together, where that is counted; never less than without it */
        return pnx__cgroup_write(dir, "memory.limit_in_bytes", text) &&
               (pnx__cgroup_write(dir, "memory.memsw.limit_in_bytes", text) || errno == ENOENT);
    case PNX__PIDS:
        return pnx__cgroup_write(dir, "pids.max", text);
    default:
        snprintf(text, sizeof text, "%" PRIu64, limit * PERIOD / 1000);
        return pnx__cgroup_write(dir, "cpu.cfs_quota_us", text);
    }
}

static bool fill_in(struct pnx__v1_group *group, const char *dir, const char *name)
{
    struct stat about;
    if (group->fd < 0 || asprintf(&group->path, "%s/%s", dir, name) < 0) {
        group->path = NULL;
        return false;
    }
    /* A single thread may enter by itself without stopping the forks of the whole machine, which
     * takes an RCU grace period: 0.3 ms instead of 8, measured. The child has but one. */
    group->tasks = openat(group->fd, "tasks", O_WRONLY | O_CLOEXEC);
    if (fstat(group->fd, &about) != 0)
        return false;
    group->device = about.st_dev;
    group->inode = about.st_ino;
    return true;
}

static pnx_status make_in(const char *dir, const char *label, struct pnx__v1_group *ret,
                          pnx_error *err)
{
    int parent = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool made = parent >= 0 && mkdirat(parent, label, 0755) == 0;
    if (made)
        ret->fd = open_dir(parent, label);
    bool filled = made && fill_in(ret, dir, label) && ret->tasks >= 0;
    if (!filled)
        pnx_fail(err, PNX_EUNSUPPORTED, "cannot make cgroup %s/%s: %m", dir, label);
    if (made && !filled) {
        pnx__v1_close(ret);
        unlinkat(parent, label, AT_REMOVEDIR);
    }
    pnx__close(parent);
    return filled ? PNX_OK : PNX_EUNSUPPORTED;
}

pnx_status pnx__limit_by_v1(pnx_limiter *limiter, int controller, const char *label, pnx_error *err)
{
    const char *name = pnx__controller_name[controller];
    struct pnx__v1_group *group = &limiter->v1[controller];
    struct pnx__cgroup_place place;
    pnx_status status = pnx__cgroup_find_v1(name, &place, err);
    if (status == PNX_OK && !place.own_dir[0])
        status = pnx_fail(err, PNX_EUNSUPPORTED, "our own %s cgroup is not visible beneath %s",
                          name, place.mount);
    if (status == PNX_OK)
        status = make_in(place.own_dir, label, group, err);
    if (status != PNX_OK)
        return status;
    if (set(group->fd, controller, pnx__limit_of(&limiter->limits, controller)))
        return PNX_OK;
    pnx_fail(err, PNX_EUNSUPPORTED, "cannot set the limit in cgroup %s: %m", group->path);
    (void)rmdir(group->path);
    pnx__v1_close(group);
    return PNX_EUNSUPPORTED;
}

void pnx__v1_close(struct pnx__v1_group *group)
{
    pnx__close(group->tasks);
    pnx__close(group->fd);
    free(group->path);
    *group = (struct pnx__v1_group){.fd = -1, .tasks = -1};
}

/* ---- removing -------------------------------------------------------------------------------- */

static bool is_there(const struct pnx__v1_group *group)
{
    struct stat found;
    return lstat(group->path, &found) == 0 && found.st_dev == group->device &&
           found.st_ino == group->inode;
}

struct search {
    pid_t wanted, found; /* wanted: 0: any */
};

static void look_for(pid_t pid, void *context)
{
    struct search *search = context;
    if (!search->found && (!search->wanted || search->wanted == pid))
        search->found = pid;
}

static pid_t member(int dir, pid_t wanted)
{
    struct search search = {wanted, 0};
    int procs = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    if (procs >= 0)
        pnx__each_number_in(procs, look_for, &search);
    pnx__close(procs);
    return search.found;
}

/* Kills whom it finds there, one after the other: v1 has no cgroup.kill. False: the deadline. */
static bool empty(int dir, pnx_time deadline)
{
    pid_t pid;
    while ((pid = member(dir, 0)) != 0) {
        struct pollfd fd = {.fd = pnx__pidfd_open(pid), .events = POLLIN};
        bool still_there = fd.fd >= 0 && member(dir, pid) == pid;
        if (still_there)
            (void)pnx__pidfd_signal(fd.fd, SIGKILL);
        int ready = still_there ? pnx__poll(&fd, 1, deadline) : 1;
        pnx__close(fd.fd);
        if (ready <= 0 || pnx_monotonic_now() > deadline)
            return false;
    }
    return true;
}

/* The group and those that the command made beneath it. */
static bool remove_tree(int parent, const char *name, unsigned depth, pnx_time deadline)
{
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return true;
    int fd = open_dir(parent, name);
    DIR *dir = fd >= 0 && depth < DEPTH_MAX ? fdopendir(fd) : NULL;
    if (!dir) {
        pnx__close(fd);
        return false;
    }
    bool emptied = empty(fd, deadline);
    for (const struct dirent *entry; emptied && (entry = readdir(dir));)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            emptied = remove_tree(fd, entry->d_name, depth + 1, deadline);
    int number = errno;
    closedir(dir);
    errno = emptied ? 0 : number;
    return emptied && (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT);
}

pnx_status pnx__v1_remove(const struct pnx__v1_group *group, pnx_time deadline, pnx_error *err)
{
    if (!is_there(group))
        return PNX_EALREADY;
    int parent = openat(group->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool removed = parent >= 0 && remove_tree(parent, strrchr(group->path, '/') + 1, 0, deadline);
    int number = errno;
    pnx__close(parent);
    errno = number;
    if (!removed)
        return pnx_fail(err, number == EBUSY ? PNX_EBUSY : PNX_EFAILED,
                        "cannot remove cgroup %s: %m", group->path);
    if (is_there(group))
        return pnx_fail(err, PNX_EBUSY, "cgroup %s is still there after it was removed",
                        group->path);
    return PNX_OK;
}

/* ---- finding again --------------------------------------------------------------------------- */

struct hunt {
    const char *label;
    int controller;
    void (*visit)(int controller, const struct pnx__v1_group *group, void *context);
    void *context;
};

static void hunt_in(const struct hunt *hunt, int parent, const char *path, unsigned depth)
{
    int fd = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 && depth < DEPTH_MAX ? fdopendir(fd) : NULL;
    if (!dir) {
        pnx__close(fd);
        return;
    }
    for (const struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        struct pnx__v1_group group = {.fd = open_dir(fd, entry->d_name), .tasks = -1};
        if (fill_in(&group, path, entry->d_name)) {
            if (strcmp(entry->d_name, hunt->label) == 0)
                hunt->visit(hunt->controller, &group, hunt->context);
            else
                hunt_in(hunt, group.fd, group.path, depth + 1);
        }
        pnx__v1_close(&group);
    }
    closedir(dir);
}

void pnx__v1_each(const char *label,
                  void (*visit)(int controller, const struct pnx__v1_group *group, void *context),
                  void *context)
{
    for (int controller = 0; controller < PNX__CONTROLLERS; controller++) {
        struct pnx__cgroup_place place;
        if (pnx__cgroup_find_v1(pnx__controller_name[controller], &place, NULL) != PNX_OK)
            continue;
        struct hunt hunt = {label, controller, visit, context};
        int top = open(place.mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (top >= 0)
            hunt_in(&hunt, top, place.mount, 0);
        pnx__close(top);
    }
}
