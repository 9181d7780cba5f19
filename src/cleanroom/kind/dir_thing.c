/* SPDX-License-Identifier: MIT */
/* Temporary directories as things: for whoever removes what a dead process made. */
#include "kind/dir.h"

#include "kind/sys.h"
#include "kind/thing.h"

#include <cleanroom/tempdir.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int pnx__tempdir_format(const struct pnx__inode *inode, char *buffer, size_t size)
{
    char created[24] = "";
    if (inode->created)
        snprintf(created, sizeof created, ":%lld", (long long)inode->created);
    return snprintf(buffer, size, "%llx:%llu%s", (unsigned long long)inode->device,
                    (unsigned long long)inode->number, created);
}

/* ---- looking for it -------------------------------------------------------------------------- */

static bool is_it(const struct pnx__inode *inode, const char *identity)
{
    char found[PNX__INODE_IDENTITY_MAX];
    if (!S_ISDIR(inode->mode))
        return false;
    /* With no identity to go by: one that we may have made. */
    if (!identity)
        return inode->owner == geteuid();
    pnx__tempdir_format(inode, found, sizeof found);
    return strcmp(found, identity) == 0;
}

struct search {
    int parent;
    const char *identity;
    struct pnx__inode *found;
    char *name; /* of NAME_MAX + 1 bytes */
    bool is_found;
};

static bool try_name(const char *name, void *context)
{
    struct search *search = context;
    if (!pnx__inode_at(search->parent, name, search->found) ||
        !is_it(search->found, search->identity))
        return true;
    search->is_found = true;
    snprintf(search->name, NAME_MAX + 1, "%s", name);
    return false;
}

static pnx_status search_for(struct search *search, const char *name, pnx_error *err)
{
    char garbage[NAME_MAX + sizeof PNX__TEMPDIR_GARBAGE];
    snprintf(garbage, sizeof garbage, PNX__TEMPDIR_GARBAGE "%s", name);
    if (try_name(name, search) && try_name(garbage, search) && search->identity &&
        !pnx__each_entry(search->parent, try_name, search))
        return pnx_fail(err, PNX_EFAILED, "cannot look for '%s' in its directory: %m", name);
    if (!search->is_found)
        return pnx_fail(err, PNX_ENOTFOUND, "the temporary directory '%s' is gone", name);
    return PNX_OK;
}

pnx_status pnx__tempdir_find(const char *path, const char *identity, int *ret_parent,
                             char ret_name[NAME_MAX + 1], struct pnx__inode *ret_inode,
                             pnx_error *err)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : "";
    if (path[0] != '/' || !*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
        strlen(name) > NAME_MAX || slash - path >= PATH_MAX)
        return pnx_fail(err, PNX_EINVAL, "'%s' is not the path of a temporary directory", path);
    char above[PATH_MAX];
    snprintf(above, sizeof above, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    int parent = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0) {
        bool none = errno == ENOENT || errno == ENOTDIR;
        return pnx_fail(err, none ? PNX_ENOTFOUND : PNX_EFAILED, "cannot open '%s': %m", above);
    }
    struct search search = {.parent = parent, .identity = identity, .found = ret_inode};
    search.name = ret_name;
    pnx_status status = search_for(&search, name, err);
    if (status == PNX_OK)
        *ret_parent = parent;
    else
        pnx__close(parent);
    return status;
}

/* ---- the sort -------------------------------------------------------------------------------- */

static pnx_status look_for(const char *path, const char *identity, struct pnx__inode *ret,
                           pnx_error *err)
{
    char name[NAME_MAX + 1];
    int parent = -1;
    pnx_status status = pnx__tempdir_find(path, identity, &parent, name, ret, err);
    if (status == PNX_OK)
        pnx__close(parent);
    return status;
}

static pnx_status find_tempdir(const char *name, char *ret_identity, size_t size, pnx_error *err)
{
    struct pnx__inode inode = {0};
    pnx_status status = look_for(name, NULL, &inode, err);
    if (status == PNX_OK && pnx__tempdir_format(&inode, ret_identity, size) >= (int)size)
        status = pnx_fail(err, PNX_EINVAL, "no room for the identity of '%s'", name);
    return status;
}

static pnx_status still_tempdir(const char *name, const char *identity, pnx_error *err)
{
    struct pnx__inode inode;
    return look_for(name, identity, &inode, err);
}

static pnx_status remove_tempdir(const char *name, const char *identity, pnx_time deadline,
                                 pnx_error *err)
{
    pnx_tempdir *dir = NULL;
    pnx_status status = pnx_tempdir_adopt(name, identity, &dir, err);
    if (status != PNX_OK)
        return status == PNX_ENOTFOUND ? PNX_EALREADY : status;
    status = pnx_tempdir_remove(dir, deadline, err);
    pnx_tempdir_free(dir);
    return status;
}

static pnx_status list_tempdirs(pnx_thing_visit_fn visit, void *context, pnx_error *err)
{
    return pnx_fail(err, PNX_EUNSUPPORTED,
                    "temporary directories can be anywhere: only who made them knows of them");
}

const pnx_thing_kind pnx__thing_tempdir = {
    .name = "tempdir",
    .code = PNX__CODE_TEMPDIR,
    .order = PNX_ORDER_FILE,
    .survives_reboot = true,
    .find = find_tempdir,
    .remove = remove_tempdir,
    .list = list_tempdirs,
    .still = still_tempdir,
};
