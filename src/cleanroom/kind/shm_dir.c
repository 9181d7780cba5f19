/* SPDX-License-Identifier: MIT */
#include "kind/shm_dir.h"

#include "kind/inode.h"
#include "kind/sys.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SHM_DIR "/dev/shm"

static int open_dir(int flags, pnx_error *err)
{
    int dir = open(SHM_DIR, flags | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        pnx_fail(err, PNX_EUNSUPPORTED, "cannot open %s: %m", SHM_DIR);
    return dir;
}

/* The file of "/x"; false: there can be none of this name. */
static bool file_of(const struct pnx__shm_sort *sort, const char *name, char ret[NAME_MAX + 1],
                    pnx_error *err)
{
    bool fits = name[0] == '/' && name[1] && !strchr(name + 1, '/') &&
                snprintf(ret, NAME_MAX + 1, "%s%s", sort->prefix, name + 1) <= NAME_MAX &&
                strcmp(ret, ".") != 0 && strcmp(ret, "..") != 0 &&
                !(sort->not_for && strncmp(ret, sort->not_for, strlen(sort->not_for)) == 0);
    if (!fits)
        pnx_fail(err, PNX_EINVAL,
                 "'%s' is not a name for a %s: it has the form '/name', without another slash",
                 name, sort->kind->name);
    return fits;
}

/* ---- find, remove, list ---------------------------------------------------------------------- */

pnx_status pnx__shm_find(const struct pnx__shm_sort *sort, const char *name, char *ret_identity,
                         size_t size, pnx_error *err)
{
    char file[NAME_MAX + 1];
    if (!file_of(sort, name, file, err))
        return PNX_EINVAL;
    int dir = open_dir(O_PATH, err);
    if (dir < 0)
        return PNX_EUNSUPPORTED;
    pnx_status status =
        pnx__inode_find(dir, file, S_IFREG, ret_identity, size, sort->kind->name, name, err);
    pnx__close(dir);
    return status;
}

pnx_status pnx__shm_remove(const struct pnx__shm_sort *sort, const char *name, const char *identity,
                           pnx_error *err)
{
    char file[NAME_MAX + 1];
    if (!file_of(sort, name, file, err))
        return PNX_EINVAL;
    int dir = open_dir(O_PATH, err);
    if (dir < 0)
        return PNX_EUNSUPPORTED;
    pnx_status status = pnx__inode_remove(dir, file, identity, sort->kind->name, name, err);
    pnx__close(dir);
    return status;
}

pnx_status pnx__shm_still(const char *identity)
{
    int dir = open_dir(O_PATH, NULL);
    if (dir < 0)
        return PNX_ENOTFOUND;
    pnx_status status = pnx__inode_still(dir, identity);
    pnx__close(dir);
    return status;
}

struct listing {
    const struct pnx__shm_sort *sort;
    int dir;
    pnx_thing_visit_fn visit;
    void *context;
};

static bool visit_file(const char *file, void *context)
{
    const struct listing *listing = context;
    const struct pnx__shm_sort *sort = listing->sort;
    size_t prefix = strlen(sort->prefix);
    if (strncmp(file, sort->prefix, prefix) != 0 || !file[prefix] ||
        (sort->not_for && strncmp(file, sort->not_for, strlen(sort->not_for)) == 0))
        return true;
    struct pnx__inode inode;
    if (!pnx__inode_at(listing->dir, file, &inode) || !S_ISREG(inode.mode))
        return true; /* gone meanwhile, or nothing that shm_open(3) opens */
    char name[NAME_MAX + 2], identity[PNX__INODE_IDENTITY_MAX];
    snprintf(name, sizeof name, "/%s", file + prefix);
    pnx__inode_identity(&inode, identity);
    pnx_thing_info info = {
        .name = name,
        .identity = identity,
        .owner = inode.owner,
        .created = inode.created,
        .bytes = inode.bytes,
    };
    return listing->visit(&info, listing->context);
}

pnx_status pnx__shm_list(const struct pnx__shm_sort *sort, pnx_thing_visit_fn visit, void *context,
                         pnx_error *err)
{
    struct listing listing = {sort, open_dir(O_RDONLY, err), visit, context};
    if (listing.dir < 0)
        return PNX_EUNSUPPORTED;
    pnx_status status = PNX_OK;
    if (!pnx__each_entry(listing.dir, visit_file, &listing))
        status = pnx_fail(err, PNX_EFAILED, "cannot list %s: %m", SHM_DIR);
    pnx__close(listing.dir);
    return status;
}

/* ---- making ---------------------------------------------------------------------------------- */

/* Asked before the intent is written: a name that is taken never gets into a ledger as ours. */
static pnx_status expect_free(int dir, const char *file, const char *kind, const char *name,
                              pnx_error *err)
{
    struct pnx__inode inode;
    if (pnx__inode_at(dir, file, &inode))
        errno = EEXIST;
    else if (errno == ENOENT)
        return PNX_OK;
    return pnx_fail(err, PNX_EFAILED, "cannot create the %s '%s': %m", kind, name);
}

static pnx_status open_unnamed(int dir, const char *kind, int *ret_fd, pnx_error *err)
{
    int fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
        bool cannot = errno == EOPNOTSUPP || errno == EISDIR;
        return pnx_fail(err, cannot ? PNX_EUNSUPPORTED : PNX_EFAILED,
                        "cannot create a %s in %s: %m", kind, SHM_DIR);
    }
    if (fchmod(fd, 0600) != 0) { /* whatever the umask is */
        pnx_fail(err, PNX_EFAILED, "cannot create a %s in %s: %m", kind, SHM_DIR);
        pnx__close(fd);
        return PNX_EFAILED;
    }
    *ret_fd = fd;
    return PNX_OK;
}

static pnx_status give_name(int fd, int dir, const char *file, const char *kind, const char *name,
                            pnx_error *err)
{
    char self[40];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    if (linkat(AT_FDCWD, self, dir, file, AT_SYMLINK_FOLLOW) == 0)
        return PNX_OK;
    return pnx_fail(err, PNX_EFAILED, "cannot create the %s '%s': %m", kind, name);
}

static pnx_status make_in(int dir, const struct pnx__shm_sort *sort, const char *file,
                          const char *name, int fd, const pnx_keeper *keeper, pnx_thing **ret,
                          pnx_error *err)
{
    const char *kind = sort->kind->name;
    pnx_status status = expect_free(dir, file, kind, name, err);
    pnx_thing *thing = NULL;
    if (status == PNX_OK)
        status = pnx_thing_intend(sort->kind, name, keeper, &thing, err);
    if (status != PNX_OK)
        return status;
    status = give_name(fd, dir, file, kind, name, err);
    if (status != PNX_OK) {
        pnx_thing_unmade(thing);
        return status;
    }
    status = pnx_thing_made(thing, err);
    if (status == PNX_OK)
        *ret = thing;
    return status;
}

pnx_status pnx__shm_make(const struct pnx__shm_sort *sort, const char *name,
                         pnx_status (*fill)(int fd, const void *context, pnx_error *err),
                         const void *context, const pnx_keeper *keeper, pnx_thing **ret,
                         int *ret_fd, pnx_error *err)
{
    char file[NAME_MAX + 1];
    if (!file_of(sort, name, file, err))
        return PNX_EINVAL;
    int dir = open_dir(O_PATH, err), fd = -1;
    if (dir < 0)
        return PNX_EUNSUPPORTED;
    pnx_status status = open_unnamed(dir, sort->kind->name, &fd, err);
    if (status == PNX_OK)
        status = fill(fd, context, err);
    if (status == PNX_OK)
        status = make_in(dir, sort, file, name, fd, keeper, ret, err);
    pnx__close(dir);
    if (status == PNX_OK)
        *ret_fd = fd;
    else
        pnx__close(fd);
    return status;
}
