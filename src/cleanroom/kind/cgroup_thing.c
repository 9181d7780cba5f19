/* SPDX-License-Identifier: MIT */
/* Cgroups as things: for whoever ends what a dead process left. */
#include "kind/cgroup_place.h"
#include "kind/inode.h"
#include "kind/poll.h"
#include "kind/sys.h"
#include "kind/thing.h"

#include <cleanroom/cgroup.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Sessions name theirs so. */
#define LABEL "cleanroom-"
/* What was killed needs as long to go as it takes to free its memory. */
#define AFTER_KILL PNX_S(5)
/* The last thread of a dead process may be on its way out. */
#define PATIENCE PNX_MS(200)

static pnx_status find_cgroup(const char *name, char *ret_identity, size_t size, pnx_error *err)
{
    struct pnx__cgroup_place place;
    pnx_status status = pnx__cgroup_find_place(&place, err);
    if (status != PNX_OK)
        return status;
    if (!pnx__cgroup_path_fits(&place, name))
        return pnx_fail(err, PNX_EINVAL, "'%s' is not a cgroup beneath %s", name, place.mount);
    return pnx__inode_find(AT_FDCWD, name, S_IFDIR, ret_identity, size, "cgroup", name, err);
}

static pnx_status remove_patiently(pnx_cgroup *cgroup, pnx_time until, pnx_error *err)
{
    for (pnx_duration pause = PNX_MS(1);; pause *= 2) {
        pnx_status status = pnx_cgroup_remove(cgroup, NULL, err);
        pnx_time next = pnx_time_after(pnx_monotonic_now(), pause);
        if (status != PNX_EBUSY || next > until)
            return status;
        pnx_error_clear(err);
        (void)pnx__poll(NULL, 0, next);
    }
}

static pnx_time earlier(pnx_time a, pnx_time b)
{
    return a < b ? a : b;
}

static pnx_status remove_cgroup(const char *name, const char *identity, pnx_time deadline,
                                pnx_error *err)
{
    pnx_cgroup *cgroup = NULL;
    pnx_status status = pnx_cgroup_adopt(name, identity, &cgroup, err);
    if (status != PNX_OK)
        return status == PNX_ENOTFOUND ? PNX_EALREADY : status;
    pnx_time now = pnx_monotonic_now();
    if (pnx_cgroup_populated(cgroup)) {
        if (pnx_cgroup_kill(cgroup) != PNX_OK)
            status = pnx_fail(err, PNX_EFAILED, "cannot kill what is in cgroup %s: %m", name);
        else if (pnx_cgroup_wait_empty(cgroup, earlier(deadline, pnx_time_after(now, AFTER_KILL))))
            status = pnx_fail(err, PNX_EBUSY, "something in cgroup %s does not die", name);
    }
    if (status == PNX_OK)
        status = remove_patiently(
            cgroup, earlier(deadline, pnx_time_after(pnx_monotonic_now(), PATIENCE)), err);
    pnx_cgroup_free(cgroup);
    return status;
}

/* ---- listing --------------------------------------------------------------------------------- */

struct listing {
    const char *dir;
    int fd;
    pnx_thing_visit_fn visit;
    void *context;
    bool ended;
};

static bool list_one(const char *name, void *context)
{
    struct listing *listing = context;
    struct pnx__inode inode;
    char path[PATH_MAX + NAME_MAX + 2], identity[PNX__INODE_IDENTITY_MAX];
    if (strncmp(name, LABEL, strlen(LABEL)) != 0 || !pnx__inode_at(listing->fd, name, &inode) ||
        !S_ISDIR(inode.mode))
        return true;
    snprintf(path, sizeof path, "%s/%s", listing->dir, name);
    pnx__inode_identity(&inode, identity);
    pnx_thing_info info = {.name = path, .identity = identity, .owner = inode.owner};
    listing->ended = !listing->visit(&info, listing->context);
    return !listing->ended;
}

static void list_in(struct listing *listing, const char *dir)
{
    listing->dir = dir;
    listing->fd = listing->ended ? -1 : open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (listing->fd >= 0)
        (void)pnx__each_entry(listing->fd, list_one, listing);
    pnx__close(listing->fd);
}

/* Where pnx_cgroup_create puts them. */
static pnx_status list_cgroups(pnx_thing_visit_fn visit, void *context, pnx_error *err)
{
    struct pnx__cgroup_place place;
    pnx_status status = pnx__cgroup_find_place(&place, err);
    if (status != PNX_OK)
        return status;
    char top[PATH_MAX + sizeof "/cleanroom"];
    struct listing listing = {.visit = visit, .context = context};
    if (place.own_dir[0])
        list_in(&listing, place.own_dir);
    snprintf(top, sizeof top, "%s/cleanroom", place.mount);
    list_in(&listing, top);
    return PNX_OK;
}

const pnx_thing_kind pnx__thing_cgroup = {
    .name = "cgroup",
    .code = PNX__CODE_CGROUP,
    .order = PNX_ORDER_CGROUP,
    .find = find_cgroup,
    .remove = remove_cgroup,
    .list = list_cgroups,
};
