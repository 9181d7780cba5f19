/* SPDX-License-Identifier: MIT */
#include "kind/tree.h"

#include "kind/sys.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define MOVED ".cleanroom-moved-"

static bool is_moved(const char *name)
{
    return strncmp(name, MOVED, sizeof MOVED - 1) == 0;
}

/* ---- telling --------------------------------------------------------------------------------- */

/* Appends `name` to the path of its directory; what does not fit is left to the imagination. */
static unsigned spell(struct pnx__tree *tree, unsigned prefix, const char *name, const char *end)
{
    if (is_moved(name) && prefix == 0)
        name = "…";
    if (prefix + strlen(name) + strlen(end) >= sizeof tree->path)
        prefix = (unsigned)snprintf(tree->path, sizeof tree->path, "…/");
    return prefix +
           (unsigned)snprintf(tree->path + prefix, sizeof tree->path - prefix, "%s%s", name, end);
}

static const char *reason_of(int number)
{
    switch (number) {
    case 0:
        return NULL;
    case EXDEV:
        return "it is a mount point";
    case EBUSY:
        return "it is in use, perhaps as a mount point";
    case ENOTEMPTY:
        return "something in it stays";
    default:
        return strerror(number);
    }
}

static void count(pnx_tree_totals *totals, const struct statx *stat, uint64_t bytes)
{
    totals->bytes += bytes;
    if (S_ISREG(stat->stx_mode))
        totals->files++;
    else if (S_ISDIR(stat->stx_mode))
        totals->directories++;
    else if (S_ISLNK(stat->stx_mode))
        totals->symlinks++;
    else if (S_ISFIFO(stat->stx_mode))
        totals->fifos++;
    else if (S_ISSOCK(stat->stx_mode))
        totals->sockets++;
    else
        totals->devices++;
}

static int64_t created_at(const struct statx *stat)
{
    bool born = stat->stx_mask & STATX_BTIME;
    const struct statx_timestamp *time = born ? &stat->stx_btime : &stat->stx_ctime;
    return time->tv_sec * 1000000000 + time->tv_nsec;
}

/* Accounts for one entry of `parent`; `failure` is an errno, or 0 when it is gone. */
static void tell(struct pnx__tree *tree, struct pnx__tree_level *parent, const char *name,
                 const struct statx *stat, int failure)
{
    /* The last link gives the space back. What directories take themselves is not worth telling. */
    bool counts = stat->stx_nlink <= 1 && !S_ISDIR(stat->stx_mode);
    uint64_t bytes = counts ? stat->stx_blocks * 512 : 0;
    if (failure) {
        parent->stuck = true;
        tree->totals->stuck++;
    } else {
        parent->progress = true;
        count(tree->totals, stat, bytes);
    }
    if (!failure && !tree->watch->entry)
        return;

    spell(tree, parent->path_length, name, "");
    if (failure && tree->err->code == PNX_OK)
        pnx_fail(tree->err, PNX_EFAILED, "cannot remove '%s' (owned by uid %u): %s", tree->path,
                 stat->stx_uid, reason_of(failure));
    if (tree->watch->entry) {
        pnx_tree_entry entry = {
            .path = tree->path,
            .mode = stat->stx_mode,
            .owner = stat->stx_uid,
            .device = makedev(stat->stx_dev_major, stat->stx_dev_minor),
            .inode = stat->stx_ino,
            .created = created_at(stat),
            .bytes = bytes,
            .removed = failure == 0,
            .reason = reason_of(failure),
        };
        tree->watch->entry(&entry, tree->watch->context);
    }
}

/* ---- levels ---------------------------------------------------------------------------------- */

static struct pnx__tree_level *top(struct pnx__tree *tree)
{
    return &tree->levels[tree->depth - 1];
}

static void rewind_level(struct pnx__tree_level *level)
{
    level->used = level->next = 0;
    level->progress = level->stuck = false;
    lseek(level->fd, 0, SEEK_SET);
}

static void push(struct pnx__tree *tree, int fd, const char *name)
{
    unsigned prefix = tree->depth ? top(tree)->path_length : 0;
    struct pnx__tree_level *level = &tree->levels[tree->depth++];
    level->fd = fd;
    level->name = name;
    level->opened_up = false;
    level->path_length = name ? spell(tree, prefix, name, "/") : 0;
    rewind_level(level);
}

static void pop(struct pnx__tree *tree)
{
    if (tree->depth > 1) /* the directory at the top is the caller's */
        pnx__close(top(tree)->fd);
    tree->depth--;
}

static bool expired(const struct pnx__tree *tree)
{
    return tree->deadline != PNX_FOREVER && pnx_monotonic_now() >= tree->deadline;
}

/* The next entry of the level; NULL at its end, or when the time is over. */
static const struct pnx__dirent *next_entry(struct pnx__tree *tree, struct pnx__tree_level *level)
{
    for (;;) {
        if (level->next == level->used) {
            if (expired(tree))
                return NULL;
            ssize_t got = pnx__getdents(level->fd, level->buffer, sizeof level->buffer);
            if (got <= 0)
                return NULL;
            level->used = (unsigned)got;
            level->next = 0;
        }
        const struct pnx__dirent *entry = (const void *)(level->buffer + level->next);
        level->next += entry->length;
        bool dots = entry->name[0] == '.' &&
                    (!entry->name[1] || (entry->name[1] == '.' && !entry->name[2]));
        if (!dots)
            return entry;
    }
}

/* ---- removing -------------------------------------------------------------------------------- */

static void clear_immutable(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        pnx__tree_open_up(fd);
    pnx__close(fd);
}

/* unlinkat(2) that widens the directory's mode when that is what is in the way. */
static int unlink_in(struct pnx__tree_level *level, const char *name, const struct statx *stat,
                     int flags)
{
    if (unlinkat(level->fd, name, flags) == 0 || errno == ENOENT)
        return 0;
    if (errno != EACCES && errno != EPERM)
        return errno;
    if (!level->opened_up) {
        pnx__tree_open_up(level->fd);
        level->opened_up = true;
        if (unlinkat(level->fd, name, flags) == 0)
            return 0;
    }
    /* The kernel says EPERM for what is immutable or append-only: only such a file is opened. */
    if (errno != EPERM || !(stat->stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)))
        return errno;
    clear_immutable(level->fd, name);
    return unlinkat(level->fd, name, flags) == 0 ? 0 : errno;
}

/* Moves a directory that cannot be entered from here to the top, where there is room for it. */
static int move_up(struct pnx__tree *tree, struct pnx__tree_level *level, const char *name, int fd)
{
    char moved[sizeof MOVED + 20];
    snprintf(moved, sizeof moved, MOVED "%llu", (unsigned long long)tree->moved++);
    if (fd >= 0)
        pnx__tree_open_up(fd); /* its "..", which changes, counts as its content */
    if (!level->opened_up)
        pnx__tree_open_up(level->fd);
    level->opened_up = true;
    if (renameat(level->fd, name, tree->levels[0].fd, moved) != 0)
        return errno;
    level->progress = true;
    tree->moved_now = true;
    return 0;
}

static int stat_entry(int dir, const char *name, struct statx *stat)
{
    int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name ? 0 : AT_EMPTY_PATH);
    return statx(dir, name, flags, STATX_BASIC_STATS | STATX_BTIME, stat);
}

/* Enters the directory, or moves it to where it can be entered. False: it is none. */
static bool descend(struct pnx__tree *tree, struct pnx__tree_level *level, const char *name,
                    const struct statx *stat)
{
    int fd = pnx__tree_open(level->fd, name);
    int failure = fd < 0 ? errno : 0;
    if (failure == ENOENT)
        return true;
    if (failure == ENOTDIR || failure == ELOOP)
        return false;
    bool deeper = tree->depth < PNX__TREE_LEVELS;
    if (fd >= 0 && deeper) {
        push(tree, fd, name);
        return true;
    }
    if (tree->depth > 1 && (fd >= 0 || failure == EMFILE || failure == ENFILE))
        failure = move_up(tree, level, name, fd);
    pnx__close(fd);
    if (failure)
        tell(tree, level, name, stat, failure);
    return true;
}

static void remove_entry(struct pnx__tree *tree, struct pnx__tree_level *level, const char *name)
{
    struct statx stat;
    if (stat_entry(level->fd, name, &stat) != 0) {
        if (errno == ENOENT)
            return;
        if (!level->opened_up) { /* may be read but not searched */
            pnx__tree_open_up(level->fd);
            level->opened_up = true;
        }
        if (stat_entry(level->fd, name, &stat) != 0) {
            int failure = errno;
            memset(&stat, 0, sizeof stat);
            tell(tree, level, name, &stat, failure);
            return;
        }
    }
    if (S_ISDIR(stat.stx_mode) && descend(tree, level, name, &stat))
        return;
    tell(tree, level, name, &stat, unlink_in(level, name, &stat, 0));
}

/* The top level has been read to its end. True: once more. */
static bool again_at_top(struct pnx__tree *tree)
{
    struct pnx__tree_level *level = top(tree);
    bool stuck = level->stuck;
    if (!tree->moved_now && (stuck || !level->progress))
        return false;
    /* Some file systems skip entries when others are removed: it is empty when a look says so. */
    tree->only_moved = tree->only_moved || stuck;
    tree->moved_now = false;
    rewind_level(level);
    level->stuck = stuck;
    return true;
}

/* A level has been read to its end: the directory itself goes. */
static void leave(struct pnx__tree *tree)
{
    struct pnx__tree_level *level = top(tree), *parent = level - 1;
    const char *name = level->name;
    struct statx stat;
    if (stat_entry(level->fd, "", &stat) != 0)
        memset(&stat, 0, sizeof stat);
    int failure = unlink_in(parent, name, &stat, AT_REMOVEDIR);
    if (failure == EEXIST)
        failure = ENOTEMPTY;
    if (failure == ENOTEMPTY && level->progress && !level->stuck) {
        rewind_level(level);
        return;
    }
    pop(tree);
    tell(tree, parent, name, &stat, failure);
}

pnx_status pnx__tree_empty(struct pnx__tree *tree, int fd, pnx_error *err)
{
    tree->err = err;
    tree->depth = 0;
    tree->moved_now = tree->only_moved = false;
    tree->totals->stuck = 0;
    pnx_error_clear(err);
    if (tree->watch->begin)
        tree->watch->begin(tree->watch->context);

    pnx__tree_open_up(fd);
    push(tree, fd, NULL);
    for (;;) {
        struct pnx__tree_level *level = top(tree);
        const struct pnx__dirent *entry = next_entry(tree, level);
        if (entry) {
            if (tree->depth > 1 || !tree->only_moved || is_moved(entry->name))
                remove_entry(tree, level, entry->name);
            continue;
        }
        if (expired(tree))
            break;
        if (tree->depth > 1)
            leave(tree);
        else if (!again_at_top(tree))
            return level->stuck ? PNX_EFAILED : PNX_OK;
    }
    while (tree->depth)
        pop(tree);
    return pnx_fail(err, PNX_ETIMEOUT, "it takes too long to empty");
}
