/* SPDX-License-Identifier: MIT */
#include "kind/cgroup.h"
#include "kind/cgroup_place.h"
#include "kind/inode.h"
#include "kind/sys.h"

#include <stdio.h>
#include <string.h>

/* "/sys/fs/cgroup/a/b" is "b" in "/sys/fs/cgroup/a", which /proc/…/cgroup calls "/a". */
static pnx_status open_known(const struct pnx__cgroup_place *place, const char *path,
                             pnx_cgroup **ret, pnx_error *err)
{
    size_t mount = strlen(place->mount), parent = (size_t)(strrchr(path, '/') - path);
    char above[PATH_MAX], hierarchy[2 * PATH_MAX];
    const char *root = strcmp(place->root, "/") == 0 ? "" : place->root;
    snprintf(above, sizeof above, "%.*s", (int)parent, path);
    snprintf(hierarchy, sizeof hierarchy, "%s%s", root, above + mount);
    pnx_cgroup *cgroup = pnx__cgroup_allocate(above, hierarchy, path + parent + 1);
    if (!cgroup)
        return pnx_fail(err, PNX_ENOMEM, "no memory for the cgroup %s", path);
    cgroup->below_ours = strcmp(above + mount, "/cleanroom") == 0;
    cgroup->parent = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (cgroup->parent < 0 || !pnx__cgroup_open(cgroup)) {
        bool none = errno == ENOENT || errno == ENODEV;
        pnx_status status =
            pnx_fail(err, none ? PNX_ENOTFOUND : PNX_EFAILED, "cannot open cgroup %s: %m", path);
        pnx_cgroup_free(cgroup);
        return status;
    }
    *ret = cgroup;
    return PNX_OK;
}

pnx_status pnx_cgroup_adopt(const char *path, const char *identity, pnx_cgroup **ret,
                            pnx_error *err)
{
    struct pnx__cgroup_place place;
    pnx_status status = pnx__cgroup_find_place(&place, err);
    if (status != PNX_OK)
        return status;
    if (!pnx__cgroup_path_fits(&place, path))
        return pnx_fail(err, PNX_EINVAL, "'%s' is not a cgroup beneath %s", path, place.mount);
    pnx_cgroup *cgroup = NULL;
    status = open_known(&place, path, &cgroup, err);
    if (!cgroup)
        return status;
    char found[PNX__INODE_IDENTITY_MAX];
    pnx_cgroup_identity(cgroup, found, sizeof found);
    if (identity && strcmp(found, identity) != 0)
        status = pnx_fail(err, PNX_ENOTFOUND, "the cgroup %s is another one", path);
    else if (pnx_cgroup_has(cgroup, getpid()))
        status = pnx_fail(err, PNX_EBUSY, "we are in the cgroup %s ourselves", path);
    if (status == PNX_OK)
        *ret = cgroup;
    else
        pnx_cgroup_free(cgroup);
    return status;
}

int pnx_cgroup_identity(const pnx_cgroup *cgroup, char *buffer, size_t size)
{
    struct pnx__inode inode = {0};
    char identity[PNX__INODE_IDENTITY_MAX];
    (void)pnx__inode_at(cgroup->fd, "", &inode);
    pnx__inode_identity(&inode, identity);
    return snprintf(buffer, size, "%s", identity);
}
