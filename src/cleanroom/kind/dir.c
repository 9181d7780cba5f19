/* SPDX-License-Identifier: MIT */
#include <cleanroom/tempdir.h>

#include "kind/dir.h"
#include "kind/outcome.h"
#include "kind/sys.h"
#include "kind/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define GARBAGE PNX__TEMPDIR_GARBAGE

struct pnx_tempdir {
    int parent, fd;
    dev_t device;
    ino_t inode;
    int64_t created;         /* nanoseconds since 1970; 0: not known */
    char name[NAME_MAX + 1]; /* in the parent; with GARBAGE before it from the first removal on */
    pnx_tempdir_watch watch;
    pnx_outcome outcome;
    pnx_tree_totals totals;
    struct pnx__tree tree;
    char path[];
};

/* ---- making ---------------------------------------------------------------------------------- */

static const char *default_parent(void)
{
    const char *parent = getenv("TMPDIR");
    return parent && parent[0] == '/' ? parent : "/tmp";
}

static bool is_component(const char *name)
{
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
           strlen(name) + sizeof GARBAGE <= NAME_MAX;
}

static pnx_tempdir *allocate(const char *parent, const char *name)
{
    size_t size = strlen(parent) + strlen(name) + 2;
    pnx_tempdir *dir = calloc(1, sizeof *dir + size);
    if (!dir)
        return NULL;
    dir->parent = dir->fd = -1;
    snprintf(dir->name, sizeof dir->name, "%s", name);
    bool slash = parent[strlen(parent) - 1] == '/';
    snprintf(dir->path, size, "%s%s%s", parent, slash ? "" : "/", name);
    return dir;
}

static bool remember(pnx_tempdir *dir)
{
    struct pnx__inode inode;
    if (!pnx__inode_at(dir->fd, "", &inode))
        return false;
    dir->device = inode.device;
    dir->inode = inode.number;
    dir->created = inode.created;
    return true;
}

/* Opens what was just made, and makes sure that it is that: ours, and for us alone. */
static bool open_made(pnx_tempdir *dir)
{
    struct stat stat;
    dir->fd = pnx__tree_open(dir->parent, dir->name);
    if (dir->fd < 0 || fstat(dir->fd, &stat) != 0)
        return false;
    if (stat.st_uid != geteuid()) {
        errno = EPERM;
        return false;
    }
    if ((stat.st_mode & 0777) != 0700 && fchmod(dir->fd, 0700) != 0)
        return false;
    return remember(dir);
}

pnx_status pnx_tempdir_create(const char *parent, const char *name, pnx_tempdir **ret,
                              pnx_error *err)
{
    if (!is_component(name))
        return pnx_fail(err, PNX_EINVAL, "'%s' is not a name for a temporary directory", name);
    if (!parent || !*parent)
        parent = default_parent();
    pnx_tempdir *dir = allocate(parent, name);
    if (!dir)
        return pnx_fail(err, PNX_ENOMEM, "no memory for the temporary directory '%s'", name);

    dir->parent = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir->parent < 0 || mkdirat(dir->parent, name, 0700) != 0) {
        pnx_fail(err, PNX_EFAILED,
                 "cannot create the temporary directory %s: %m; set TMPDIR to a directory that can "
                 "be written",
                 dir->path);
        pnx_tempdir_free(dir);
        return PNX_EFAILED;
    }
    if (!open_made(dir)) {
        pnx_fail(err, PNX_EFAILED, "cannot open the temporary directory %s: %m", dir->path);
        unlinkat(dir->parent, name, AT_REMOVEDIR);
        pnx_tempdir_free(dir);
        return PNX_EFAILED;
    }
    (void)flock(dir->fd, LOCK_SH | LOCK_NB); /* some network file systems have no locks */
    *ret = dir;
    return PNX_OK;
}

/* ---- adopting -------------------------------------------------------------------------------- */

/* What was found is opened, and looked at again: it may have been exchanged meanwhile. */
static pnx_status open_found(pnx_tempdir *dir, const struct pnx__inode *found, pnx_error *err)
{
    dir->fd = pnx__tree_open(dir->parent, dir->name);
    if (dir->fd < 0 || !remember(dir))
        return pnx_fail(err, errno == ENOENT ? PNX_ENOTFOUND : PNX_EFAILED,
                        "cannot open the temporary directory %s: %m", dir->path);
    if (dir->device != found->device || dir->inode != found->number)
        return pnx_fail(err, PNX_ENOTFOUND, "the temporary directory %s is gone", dir->path);
    (void)flock(dir->fd, LOCK_SH | LOCK_NB);
    return PNX_OK;
}

pnx_status pnx_tempdir_adopt(const char *path, const char *identity, pnx_tempdir **ret,
                             pnx_error *err)
{
    struct pnx__inode inode;
    char name[NAME_MAX + 1];
    int parent = -1;
    pnx_status status = pnx__tempdir_find(path, identity, &parent, name, &inode, err);
    if (status != PNX_OK)
        return status;
    int length = (int)(strrchr(path, '/') - path);
    char above[PATH_MAX];
    snprintf(above, sizeof above, "%.*s", length ? length : 1, path);
    pnx_tempdir *dir = allocate(above, path + length + 1);
    if (!dir) {
        pnx__close(parent);
        return pnx_fail(err, PNX_ENOMEM, "no memory for the temporary directory '%s'", path);
    }
    dir->parent = parent;
    memcpy(dir->name, name, sizeof name);
    status = open_found(dir, &inode, err);
    if (status == PNX_OK)
        *ret = dir;
    else
        pnx_tempdir_free(dir);
    return status;
}

const char *pnx_tempdir_path(const pnx_tempdir *dir)
{
    return dir->path;
}

int pnx_tempdir_fd(const pnx_tempdir *dir)
{
    return dir->fd;
}

int pnx_tempdir_identity(const pnx_tempdir *dir, char *buffer, size_t size)
{
    struct pnx__inode inode = {
        .device = dir->device, .number = dir->inode, .created = dir->created};
    return pnx__tempdir_format(&inode, buffer, size);
}

void pnx_tempdir_watch_by(pnx_tempdir *dir, const pnx_tempdir_watch *watch)
{
    dir->watch = *watch;
}

uint64_t pnx_tree_entries(const pnx_tree_totals *totals)
{
    return totals->files + totals->directories + totals->symlinks + totals->fifos +
           totals->sockets + totals->devices + totals->stuck;
}

void pnx_tempdir_free(pnx_tempdir *dir)
{
    if (!dir)
        return;
    pnx__close(dir->fd);
    pnx__close(dir->parent);
    free(dir);
}

/* ---- where it is now ------------------------------------------------------------------------- */

static bool is_ours(const pnx_tempdir *dir, int parent, const char *name)
{
    struct stat stat;
    return fstatat(parent, name, &stat, AT_SYMLINK_NOFOLLOW) == 0 && stat.st_dev == dir->device &&
           stat.st_ino == dir->inode;
}

static bool is_unlinked(const pnx_tempdir *dir)
{
    struct stat stat;
    return fstat(dir->fd, &stat) == 0 && stat.st_nlink == 0;
}

/* Somebody renamed or moved it: the kernel knows where it is, we check that this is true. */
static bool follow(pnx_tempdir *dir)
{
    char self[40], path[PATH_MAX];
    snprintf(self, sizeof self, "/proc/self/fd/%d", dir->fd);
    ssize_t length = readlink(self, path, sizeof path - 1);
    if (length <= 0)
        return false;
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash || strlen(slash + 1) > NAME_MAX)
        return false;
    *slash = '\0';
    int parent = open(*path ? path : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0 || !is_ours(dir, parent, slash + 1)) {
        pnx__close(parent);
        return false;
    }
    pnx__close(dir->parent);
    dir->parent = parent;
    snprintf(dir->name, sizeof dir->name, "%s", slash + 1);
    return true;
}

/* ---- removing -------------------------------------------------------------------------------- */

/* Out of the way first, so that nobody finds it half empty under the name that they know. */
static void rename_to_garbage(pnx_tempdir *dir)
{
    char garbage[NAME_MAX + 1];
    if (strncmp(dir->name, GARBAGE, sizeof GARBAGE - 1) == 0)
        return;
    int length = snprintf(garbage, sizeof garbage, GARBAGE "%s", dir->name);
    if (length >= (int)sizeof garbage)
        return;
    if (renameat2(dir->parent, dir->name, dir->parent, garbage, RENAME_NOREPLACE) != 0)
        return;
    if (is_ours(dir, dir->parent, garbage))
        memcpy(dir->name, garbage, (size_t)length + 1);
    else /* it was exchanged for another one at this very moment */
        (void)!renameat2(dir->parent, garbage, dir->parent, dir->name, RENAME_NOREPLACE);
}

static pnx_status unlink_verified(pnx_tempdir *dir, pnx_error *err)
{
    if (is_unlinked(dir))
        return PNX_OK;
    if (!is_ours(dir, dir->parent, dir->name) && !follow(dir))
        return pnx_fail(err, PNX_EBUSY, "%s was moved while it was emptied", dir->path);
    if (unlinkat(dir->parent, dir->name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
        bool refilled = errno == ENOTEMPTY || errno == EEXIST;
        return refilled ? pnx_fail(err, PNX_EBUSY, "somebody still writes into %s", dir->path)
                        : pnx_fail(err, PNX_EFAILED, "cannot remove %s: %m", dir->path);
    }
    if (is_ours(dir, dir->parent, dir->name))
        return pnx_fail(err, PNX_EBUSY, "%s is still there after it was removed", dir->path);
    return PNX_OK;
}

static pnx_status remove_once(pnx_tempdir *dir, pnx_time deadline, pnx_fate *ret_fate,
                              pnx_error *err)
{
    *ret_fate = PNX_FATE_ALREADY_GONE;
    if (is_unlinked(dir))
        return PNX_OK;
    *ret_fate = PNX_FATE_FOREIGN;
    if (!is_ours(dir, dir->parent, dir->name) && !follow(dir))
        return pnx_fail(err, PNX_EFAILED, "%s was moved to where it cannot be found", dir->path);

    *ret_fate = PNX_FATE_STUCK;
    rename_to_garbage(dir);
    dir->tree.watch = &dir->watch;
    dir->tree.totals = dir->watch.totals ? dir->watch.totals : &dir->totals;
    dir->tree.deadline = deadline;
    pnx_error first = {0};
    pnx_status status = pnx__tree_empty(&dir->tree, dir->fd, &first);
    if (status != PNX_OK) {
        if (err)
            *err = first;
        return pnx_wrap(err, status, "%s is not removed", dir->path);
    }
    status = unlink_verified(dir, err);
    if (status == PNX_OK)
        *ret_fate = PNX_FATE_REMOVED;
    return status;
}

pnx_status pnx_tempdir_remove(pnx_tempdir *dir, pnx_time deadline, pnx_error *err)
{
    pnx_outcome *outcome = dir->watch.outcome ? dir->watch.outcome : &dir->outcome;
    pnx_time began = pnx_monotonic_now();
    pnx_fate fate;
    pnx_error local = {0};
    pnx_error *why = err ? err : &local;
    pnx_status status = remove_once(dir, deadline, &fate, why);
    pnx__outcome_attempt(outcome, began);
    outcome->bytes = dir->watch.totals ? dir->watch.totals->bytes : dir->totals.bytes;
    if (status != PNX_OK)
        return pnx__outcome_stuck(outcome, fate, why);
    pnx__outcome_gone(outcome, fate);
    return PNX_OK;
}

/* ---- the kind -------------------------------------------------------------------------------- */

static pnx_status release_tempdir(void *value, const pnx_release *why)
{
    pnx_tempdir *dir;
    memcpy(&dir, value, sizeof dir);
    pnx_status status = pnx_tempdir_remove(dir, pnx__before_deadline(why->deadline), NULL);
    if (status == PNX_OK)
        pnx_tempdir_free(dir);
    return status;
}

static int describe_tempdir(const void *value, char *buffer, size_t size)
{
    pnx_tempdir *dir;
    memcpy(&dir, value, sizeof dir);
    return snprintf(buffer, size, "%s", dir->path);
}

const pnx_kind pnx_kind_tempdir = {
    .name = "tempdir",
    .timeout = PNX_S(60), /* an attempt that runs out of time goes on where it stopped */
    .retries = 3,
    .retry_delay = PNX_MS(20),
    .retry_delay_max = PNX_MS(200),
    .value_size = sizeof(pnx_tempdir *),
    .describe = (void (*)(void))describe_tempdir,
    .release = release_tempdir,
    .run_describe = describe_tempdir,
};
