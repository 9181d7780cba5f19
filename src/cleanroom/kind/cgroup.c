/* SPDX-License-Identifier: MIT */
#include <cleanroom/cgroup.h>

#include "kind/cgroup.h"
#include "kind/cgroup_hand_down.h"
#include "kind/cgroup_place.h"
#include "kind/outcome.h"
#include "kind/poll.h"
#include "kind/procfs.h"
#include "kind/sys.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* How long a release waits for what it killed. */
#define AFTER_KILL PNX_S(5)
/* How deep beneath it processes are listed. Killing and removing have no such limit. */
#define LISTED_DEPTH 32

/* ---- making ---------------------------------------------------------------------------------- */

pnx_cgroup *pnx__cgroup_allocate(const char *parent, const char *parent_hierarchy, const char *name)
{
    if (strcmp(parent_hierarchy, "/") == 0)
        parent_hierarchy = "";
    size_t path_size = strlen(parent) + strlen(name) + 2;
    size_t hierarchy_size = strlen(parent_hierarchy) + strlen(name) + 2;
    pnx_cgroup *cgroup = calloc(1, sizeof *cgroup + path_size + hierarchy_size);
    if (!cgroup)
        return NULL;
    cgroup->parent = cgroup->fd = cgroup->events = -1;
    char *hierarchy = cgroup->text + path_size;
    snprintf(cgroup->text, path_size, "%s/%s", parent, name);
    snprintf(hierarchy, hierarchy_size, "%s/%s", parent_hierarchy, name);
    cgroup->path = cgroup->text;
    cgroup->name = cgroup->path + strlen(parent) + 1;
    cgroup->hierarchy = hierarchy;
    return cgroup;
}

static int open_dir(int dir, const char *name)
{
    return openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

bool pnx__cgroup_open(pnx_cgroup *cgroup)
{
    cgroup->fd = open_dir(cgroup->parent, cgroup->name);
    if (cgroup->fd < 0)
        return false;
    cgroup->events = openat(cgroup->fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
    return cgroup->events >= 0;
}

static pnx_status create_in(const char *parent, const char *parent_hierarchy, const char *name,
                            pnx_cgroup **ret, pnx_error *err)
{
    pnx_cgroup *cgroup = pnx__cgroup_allocate(parent, parent_hierarchy, name);
    if (!cgroup)
        return pnx_fail(err, PNX_ENOMEM, "no memory for the cgroup %s", name);
    cgroup->parent = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (cgroup->parent < 0 || mkdirat(cgroup->parent, name, 0755) != 0) {
        pnx_fail(err, PNX_EFAILED, "cannot create cgroup %s: %m", cgroup->path);
        pnx_cgroup_free(cgroup);
        return PNX_EFAILED;
    }
    if (!pnx__cgroup_open(cgroup)) {
        pnx_fail(err, PNX_EFAILED, "cannot open cgroup %s: %m", cgroup->path);
        unlinkat(cgroup->parent, name, AT_REMOVEDIR);
        pnx_cgroup_free(cgroup);
        return PNX_EFAILED;
    }
    *ret = cgroup;
    return PNX_OK;
}

static pnx_status create_at_top(const struct pnx__cgroup_place *place, const char *name,
                                unsigned controllers, pnx_cgroup **ret, pnx_error *err)
{
    char dir[PATH_MAX], hierarchy[PATH_MAX];
    const char *root = strcmp(place->root, "/") == 0 ? "" : place->root;
    int dir_length = snprintf(dir, sizeof dir, "%s/cleanroom", place->mount);
    int hierarchy_length = snprintf(hierarchy, sizeof hierarchy, "%s/cleanroom", root);
    if (dir_length >= (int)sizeof dir || hierarchy_length >= (int)sizeof hierarchy)
        return pnx_fail(err, PNX_EFAILED, "the path of the cgroup mount is too long");
    if (mkdir(dir, 0755) != 0 && errno != EEXIST)
        return pnx_fail(err, PNX_EFAILED, "cannot create cgroup %s: %m", dir);
    if (controllers && !(pnx__cgroup_hand_down(place->mount, controllers) &&
                         pnx__cgroup_hand_down(dir, controllers))) {
        pnx_fail(err, PNX_EFAILED, "cgroup %s does not get the controllers: %m", dir);
        rmdir(dir);
        return PNX_EFAILED;
    }
    pnx_status status = create_in(dir, hierarchy, name, ret, err);
    if (status == PNX_OK)
        (*ret)->below_ours = true;
    else
        rmdir(dir);
    return status;
}

static pnx_status find_place(const char *name, struct pnx__cgroup_place *ret, pnx_error *err)
{
    ret->own_dir[0] = ret->mount[0] = '\0';
    if (!*name || *name == '.' || strchr(name, '/') || strlen(name) > NAME_MAX)
        return pnx_fail(err, PNX_EINVAL, "'%s' is not a name for a cgroup", name);
    return pnx__cgroup_find_place(ret, err);
}

static pnx_status create_anywhere(const struct pnx__cgroup_place *place, const char *name,
                                  pnx_cgroup **ret, pnx_error *err)
{
    pnx_status status;
    if (place->own_dir[0])
        status = create_in(place->own_dir, place->own, name, ret, err);
    else
        status =
            pnx_fail(err, PNX_EFAILED, "our own cgroup is not visible beneath %s", place->mount);
    if (status == PNX_EFAILED && geteuid() == 0)
        status = create_at_top(place, name, 0, ret, err);
    return status;
}

pnx_status pnx_cgroup_create(const char *name, pnx_cgroup **ret, pnx_error *err)
{
    struct pnx__cgroup_place place;
    pnx_status status = find_place(name, &place, err);
    return status == PNX_OK ? create_anywhere(&place, name, ret, err) : status;
}

/* Beneath our own cgroup, which we leave for that. */
static pnx_status create_beside_us(const struct pnx__cgroup_place *place, const char *name,
                                   unsigned controllers, pnx_cgroup **ret, pnx_error *err)
{
    if (!pnx__cgroup_move_out(place->own_dir, name))
        return pnx_fail(err, PNX_EFAILED, "others live in our cgroup %s", place->own_dir);
    pnx_status status = PNX_EFAILED;
    if (pnx__cgroup_hand_down(place->own_dir, controllers))
        status = create_in(place->own_dir, place->own, name, ret, err);
    if (status == PNX_OK)
        (*ret)->moved_out = true;
    else
        pnx__cgroup_move_back(place->own_dir, name, NULL);
    return status;
}

pnx_status pnx_cgroup_create_for(const char *name, const pnx_limits *limits, pnx_cgroup **ret,
                                 pnx_error *err)
{
    struct pnx__cgroup_place place;
    unsigned controllers = pnx__cgroup_controllers(limits);
    pnx_status status = find_place(name, &place, err);
    if (status != PNX_OK)
        return status;
    if (!controllers || !pnx__cgroup_has(place.mount, controllers) ||
        (place.own_dir[0] && pnx__cgroup_hand_down(place.own_dir, controllers)))
        return create_anywhere(&place, name, ret, err);
    if (geteuid() == 0 && create_at_top(&place, name, controllers, ret, NULL) == PNX_OK)
        return PNX_OK;
    if (place.own_dir[0] && create_beside_us(&place, name, controllers, ret, NULL) == PNX_OK)
        return PNX_OK;
    return create_anywhere(&place, name, ret, err);
}

const char *pnx_cgroup_path(const pnx_cgroup *cgroup)
{
    return cgroup->path;
}

int pnx_cgroup_fd(const pnx_cgroup *cgroup)
{
    return cgroup->fd;
}

int pnx_cgroup_events_fd(const pnx_cgroup *cgroup)
{
    return cgroup->events;
}

void pnx_cgroup_watch_by(pnx_cgroup *cgroup, pnx_outcome *outcome)
{
    cgroup->outcome = outcome;
}

void pnx_cgroup_free(pnx_cgroup *cgroup)
{
    if (!cgroup)
        return;
    pnx__close(cgroup->events);
    pnx__close(cgroup->fd);
    pnx__close(cgroup->parent);
    free(cgroup);
}

bool pnx__cgroup_is_at_top(const pnx_cgroup *cgroup)
{
    return cgroup->below_ours;
}

/* ---- what lives in it ------------------------------------------------------------------------ */

bool pnx_cgroup_has(const pnx_cgroup *cgroup, pid_t pid)
{
    char path[PATH_MAX];
    size_t length = strlen(cgroup->hierarchy);
    if (!pnx__proc_cgroup(pid, path, sizeof path) || strncmp(path, cgroup->hierarchy, length) != 0)
        return false;
    const char *rest = path + length;
    return *rest == '\0' || *rest == '/' || strcmp(rest, " (deleted)") == 0;
}

bool pnx_cgroup_populated(const pnx_cgroup *cgroup)
{
    char text[128];
    ssize_t got = pread(cgroup->events, text, sizeof text - 1, 0);
    if (got < 0 && errno == ENODEV) /* it was removed */
        return false;
    if (got <= 0)
        return true;
    text[got] = '\0';
    return strstr(text, "populated 0") == NULL;
}

/* Calls `visit` for each cgroup directly in `dir`, until that answers false. */
static void each_child(int dir, bool (*visit)(int dir, const char *name, void *context),
                       void *context)
{
    _Alignas(8) char buffer[2048];
    struct stat stat;
    if (fstat(dir, &stat) == 0 && stat.st_nlink == 2) /* kernfs counts: there is none */
        return;
    lseek(dir, 0, SEEK_SET);
    ssize_t got;
    while ((got = pnx__getdents(dir, buffer, sizeof buffer)) > 0) {
        for (ssize_t at = 0; at < got;) {
            const struct pnx__dirent *entry = (const void *)(buffer + at);
            at += entry->length;
            if (entry->type != DT_DIR || entry->name[0] == '.')
                continue;
            if (!visit(dir, entry->name, context))
                return;
        }
    }
}

struct listing {
    void (*visit)(pid_t pid, void *context);
    void *context;
    unsigned depth;
};

static bool list_in(int dir, const char *name, void *context)
{
    struct listing *listing = context;
    int fd = open_dir(dir, name);
    if (fd < 0)
        return true;
    int procs = openat(fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    if (procs >= 0)
        pnx__each_number_in(procs, listing->visit, listing->context);
    pnx__close(procs);
    if (listing->depth < LISTED_DEPTH) {
        listing->depth++;
        each_child(fd, list_in, listing);
        listing->depth--;
    }
    pnx__close(fd);
    return true;
}

void pnx_cgroup_each(const pnx_cgroup *cgroup, void (*visit)(pid_t, void *), void *context)
{
    struct listing listing = {visit, context, 0};
    list_in(cgroup->fd, ".", &listing);
}

/* ---- ending what lives in it ----------------------------------------------------------------- */

static void kill_one(pid_t pid, void *context)
{
    const pnx_cgroup *cgroup = context;
    int pidfd = pnx__pidfd_open(pid);
    if (pidfd >= 0 && pnx_cgroup_has(cgroup, pid))
        (void)pnx__pidfd_signal(pidfd, SIGKILL);
    pnx__close(pidfd);
}

pnx_status pnx_cgroup_kill(const pnx_cgroup *cgroup)
{
    int fd = openat(cgroup->fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        bool killed = write(fd, "1", 1) == 1;
        pnx__close(fd);
        return killed ? PNX_OK : PNX_EFAILED;
    }
    if (errno != ENOENT)
        return PNX_EFAILED;
    pnx_cgroup_each(cgroup, kill_one, (void *)cgroup);
    return PNX_OK;
}

pnx_status pnx_cgroup_wait_empty(const pnx_cgroup *cgroup, pnx_time deadline)
{
    struct pollfd fd = {.fd = cgroup->events, .events = POLLPRI};
    while (pnx_cgroup_populated(cgroup))
        if (pnx__poll(&fd, 1, deadline) == 0)
            return pnx_cgroup_populated(cgroup) ? PNX_ETIMEOUT : PNX_OK;
    return PNX_OK;
}

/* ---- removing -------------------------------------------------------------------------------- */

/* Removes the child, or writes down its name and stops. */
static bool remove_child(int dir, const char *name, void *ret_stays)
{
    if (unlinkat(dir, name, AT_REMOVEDIR) == 0)
        return true;
    snprintf(ret_stays, NAME_MAX + 1, "%s", name);
    return false;
}

static bool has_children(int fd)
{
    struct stat stat;
    return fd >= 0 && fstat(fd, &stat) == 0 && stat.st_nlink > 2;
}

/*
 * Removes the cgroups beneath `fd`, deepest first, with one descriptor at any depth: cgroups of v2
 * cannot be moved, so ".." is where the walk came from. It ends: it goes down only into what has
 * children, comes up only when these are gone, and stops at the first in which a process lives.
 */
static void remove_below(int fd)
{
    unsigned depth = 0;
    int at = open_dir(fd, ".");
    while (at >= 0) {
        char stays[NAME_MAX + 1] = "";
        each_child(at, remove_child, stays);
        if (!stays[0] && depth == 0)
            break;
        int next = open_dir(at, stays[0] ? stays : "..");
        if (stays[0] && !has_children(next)) {
            pnx__close(next);
            break;
        }
        depth += stays[0] ? 1 : -1;
        pnx__close(at);
        at = next;
    }
    pnx__close(at);
}

/* Is the directory of that name still the one that we made? */
static bool is_there(const pnx_cgroup *cgroup)
{
    struct stat made, found;
    return fstat(cgroup->fd, &made) == 0 &&
           fstatat(cgroup->parent, cgroup->name, &found, AT_SYMLINK_NOFOLLOW) == 0 &&
           made.st_dev == found.st_dev && made.st_ino == found.st_ino;
}

static bool unlink_it(const pnx_cgroup *cgroup)
{
    return unlinkat(cgroup->parent, cgroup->name, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

/* Our own cgroup is as we found it again. */
static bool move_back(pnx_cgroup *cgroup, pnx_error *err)
{
    char dir[PATH_MAX];
    snprintf(dir, sizeof dir, "%.*s", (int)(cgroup->name - cgroup->path - 1), cgroup->path);
    if (!pnx__cgroup_move_back(dir, cgroup->name, err))
        return false;
    cgroup->moved_out = false;
    return true;
}

static pnx_status remove_once(pnx_cgroup *cgroup, pnx_outcome *outcome, pnx_error *err)
{
    if (!is_there(cgroup)) {
        if (cgroup->moved_out && !move_back(cgroup, err))
            return pnx__outcome_stuck(outcome, PNX_FATE_STUCK, err);
        pnx__outcome_gone(outcome, PNX_FATE_ALREADY_GONE);
        return PNX_OK;
    }
    if (!unlink_it(cgroup)) {
        remove_below(cgroup->fd);
        if (!unlink_it(cgroup)) {
            pnx_fail(err, errno == EBUSY ? PNX_EBUSY : PNX_EFAILED, "cannot remove cgroup %s: %m",
                     cgroup->path);
            return pnx__outcome_stuck(outcome, PNX_FATE_STUCK, err);
        }
    }
    if (is_there(cgroup)) {
        pnx_fail(err, PNX_EBUSY, "cgroup %s is still there after it was removed", cgroup->path);
        return pnx__outcome_stuck(outcome, PNX_FATE_STUCK, err);
    }
    if (cgroup->moved_out && !move_back(cgroup, err))
        return pnx__outcome_stuck(outcome, PNX_FATE_STUCK, err);
    if (cgroup->below_ours) {
        char dir[PATH_MAX];
        snprintf(dir, sizeof dir, "%.*s", (int)(cgroup->name - cgroup->path - 1), cgroup->path);
        rmdir(dir); /* fails while somebody else's is in it, as it should */
    }
    pnx__outcome_gone(outcome, PNX_FATE_REMOVED);
    return PNX_OK;
}

pnx_status pnx_cgroup_remove(pnx_cgroup *cgroup, pnx_outcome *outcome, pnx_error *err)
{
    pnx_error local_error = {0};
    pnx_outcome local_outcome = {0};
    pnx_outcome *told = outcome ? outcome : &local_outcome;
    pnx_time began = pnx_monotonic_now();
    pnx_status status = remove_once(cgroup, told, err ? err : &local_error);
    pnx__outcome_attempt(told, began);
    return status;
}

/* ---- the kind -------------------------------------------------------------------------------- */

static pnx_status release_cgroup(void *value, const pnx_release *why)
{
    pnx_cgroup *cgroup;
    memcpy(&cgroup, value, sizeof cgroup);
    if (!cgroup->has_stuck && pnx_cgroup_populated(cgroup) && pnx_cgroup_kill(cgroup) == PNX_OK)
        cgroup->has_stuck = pnx_cgroup_wait_empty(
                                cgroup, pnx_time_after(pnx_monotonic_now(), AFTER_KILL)) != PNX_OK;
    pnx_status status = pnx_cgroup_remove(cgroup, cgroup->outcome, NULL);
    if (status == PNX_OK)
        pnx_cgroup_free(cgroup);
    return status;
}

static int describe_cgroup(const void *value, char *buffer, size_t size)
{
    pnx_cgroup *cgroup;
    memcpy(&cgroup, value, sizeof cgroup);
    return snprintf(buffer, size, "%s", cgroup->path);
}

const pnx_kind pnx_kind_cgroup = {
    .name = "cgroup",
    .priority = PNX_LOW, /* its processes, and what they hold open, first */
    .timeout = PNX_S(10),
    .retries = 4,
    .retry_delay = PNX_MS(5), /* the last thread of a dead process may still be on its way out */
    .retry_delay_max = PNX_MS(100),
    .value_size = sizeof(pnx_cgroup *),
    .describe = (void (*)(void))describe_cgroup,
    .release = release_cgroup,
    .run_describe = describe_cgroup,
};
