/* SPDX-License-Identifier: MIT */
/**
 * @file tree.h
 * Empties a directory tree through descriptors, in fixed memory.
 *
 * A level of the walk is an open directory and a buffer of its entries. There are PNX__TREE_LEVELS;
 * a directory that lies deeper is moved up, to the top of the tree, and met there again. The same
 * is done when descriptors run out. So neither depth nor PATH_MAX nor RLIMIT_NOFILE is a limit, no
 * path is ever resolved, and no ".." is ever trusted.
 */
#ifndef CLEANROOM_KIND_TREE_H
#define CLEANROOM_KIND_TREE_H

#include <cleanroom/tempdir.h>
#include <limits.h>

#define PNX__TREE_LEVELS 32
#define PNX__TREE_BUFFER 16384

struct pnx__tree_level {
    int fd;
    unsigned used, next;  /* bytes filled in and bytes consumed of `buffer` */
    unsigned path_length; /* of the directory's own path, with its slash, in pnx__tree.path */
    const char *name;     /* its own, in the parent's buffer */
    bool opened_up;       /* its mode was widened already */
    bool progress;        /* something went since it was last read from its start */
    bool stuck;           /* something stays */
    _Alignas(8) char buffer[PNX__TREE_BUFFER];
};

/** All that a removal needs. About 0.5 MiB, of which only the levels in use are ever touched. */
struct pnx__tree {
    const pnx_tempdir_watch *watch;
    pnx_tree_totals *totals;
    pnx_error *err; /* the first thing that could not be removed */
    pnx_time deadline;
    uint64_t moved;      /* directories moved up so far; makes their names */
    bool moved_now;      /* some since the top was last read from its start */
    bool only_moved;     /* the rest of the top was met already, and stays */
    unsigned depth;      /* levels in use */
    char path[PATH_MAX]; /* of the entry at hand, for people */
    struct pnx__tree_level levels[PNX__TREE_LEVELS];
};

/**
 * Removes everything in the directory `fd`, which stays the caller's. PNX_OK: it is empty.
 * PNX_ETIMEOUT: `deadline` passed. PNX_EFAILED: something stays. `err` must not be NULL.
 */
pnx_status pnx__tree_empty(struct pnx__tree *tree, int fd, pnx_error *err);

/**
 * Opens the directory `name` in `dir` for reading without following a link or crossing a mount, and
 * widens its mode if need be. -1 and errno; ENOTDIR, ELOOP: it is none; EXDEV: a mount point.
 */
int pnx__tree_open(int dir, const char *name);

/** Lets the owner read, write and search an open directory, and takes its immutable flag away. */
void pnx__tree_open_up(int fd);

#endif
