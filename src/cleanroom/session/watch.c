/* SPDX-License-Identifier: MIT */
#include "session/watch.h"

#include "kind/hash.h"
#include "kind/sys.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A place with more than that is not compared: 1.6 MB of memory, some 50 ms. */
#define ENTRIES_MAX 200000u
#define DEPTH_MAX 64u

struct pnx__watched {
    char *path;
    bool named;    /* by the user: all levels; else the first one */
    bool too_much; /* to be compared */
    uint64_t *hashes;
    size_t count, room;
};

/* ---- what there is --------------------------------------------------------------------------- */

/* One walk: notes what it meets, or compares it with what was noted. */
struct walk {
    struct pnx__watched *place;
    pnx__watch_fn visit; /* NULL: notes */
    void *context;
    size_t met;
    dev_t device;
    char path[4096];
};

static uint64_t hash_of(const char *path, uint64_t inode)
{
    return pnx__hash_text(pnx__hash_number(PNX__HASH_START, inode), path);
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static bool is_known(const struct pnx__watched *place, uint64_t hash)
{
    return place->count > 0 &&
           bsearch(&hash, place->hashes, place->count, sizeof hash, compare) != NULL;
}

static bool note(struct pnx__watched *place, uint64_t hash)
{
    if (place->count == place->room) {
        size_t room = place->room ? 2 * place->room : 256;
        uint64_t *grown = realloc(place->hashes, room * sizeof *grown);
        if (!grown)
            return false;
        place->hashes = grown;
        place->room = room;
    }
    place->hashes[place->count++] = hash;
    return true;
}

/* What other clean rooms have there is theirs. */
static bool is_a_clean_room(const char *name)
{
    return strncmp(name, "cleanroom-", 10) == 0 || strncmp(name, ".garbage-cleanroom-", 19) == 0;
}

static bool walk_dir(struct walk *walk, int dir_fd, size_t length, unsigned depth);

static bool descend(struct walk *walk, int dir_fd, const char *name, size_t length, unsigned depth)
{
    struct stat stat;
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) /* not to be read, or gone: what is in it is not watched */
        return true;
    if (fstat(fd, &stat) != 0 || stat.st_dev != walk->device || depth == DEPTH_MAX) {
        close(fd);
        return true;
    }
    return walk_dir(walk, fd, length, depth + 1);
}

/* False: enough. */
static bool meet(struct walk *walk, int dir_fd, const struct dirent *entry, size_t length,
                 unsigned depth)
{
    struct stat stat;
    int added = snprintf(walk->path + length, sizeof walk->path - length, "/%s", entry->d_name);
    if (added < 0 || length + (size_t)added >= sizeof walk->path)
        return true;
    if (++walk->met > ENTRIES_MAX) {
        walk->place->too_much = true;
        return false;
    }
    if (depth == 0 && !walk->place->named && is_a_clean_room(entry->d_name))
        return true;
    uint64_t hash = hash_of(walk->path, entry->d_ino);
    if (!walk->visit && !note(walk->place, hash)) {
        walk->place->too_much = true;
        return false;
    }
    bool is_new = walk->visit && !is_known(walk->place, hash);
    if (is_new && fstatat(dir_fd, entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) == 0 &&
        !walk->visit(walk->path, &stat, walk->place->named, walk->context))
        return false;
    bool may_descend =
        walk->place->named && (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN);
    return !may_descend || descend(walk, dir_fd, entry->d_name, length + (size_t)added, depth);
}

/* Takes the descriptor. */
static bool walk_dir(struct walk *walk, int dir_fd, size_t length, unsigned depth)
{
    DIR *dir = fdopendir(dir_fd);
    bool more = true;
    if (!dir) {
        close(dir_fd);
        return true;
    }
    struct dirent *entry;
    while (more && (entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            more = meet(walk, dirfd(dir), entry, length, depth);
    closedir(dir);
    return more;
}

static void walk_place(struct pnx__watched *place, pnx__watch_fn visit, void *context)
{
    struct walk walk = {.place = place, .visit = visit, .context = context};
    struct stat stat;
    int fd = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return;
    if (fstat(fd, &stat) != 0) {
        close(fd);
        return;
    }
    walk.device = stat.st_dev;
    int length = snprintf(walk.path, sizeof walk.path, "%s", place->path);
    (void)walk_dir(&walk, fd, (size_t)length, 0);
}

/* ---- before and after ------------------------------------------------------------------------ */

static pnx_status add(struct pnx__watch *watch, const char *path, bool named, pnx_error *err)
{
    struct pnx__watched *place = &watch->places[watch->place_count];
    place->named = named;
    place->path = named ? realpath(path, NULL) : strdup(path);
    if (!place->path)
        return pnx_fail(err, PNX_EINVAL, "cannot watch '%s': %m", path);
    struct stat stat;
    if (named && lstat(place->path, &stat) == 0 && !S_ISDIR(stat.st_mode)) {
        pnx_fail(err, PNX_EINVAL, "cannot watch '%s': it is no directory", path);
        free(place->path);
        return PNX_EINVAL;
    }
    watch->place_count++;
    walk_place(place, NULL, NULL);
    if (place->count > 0)
        qsort(place->hashes, place->count, sizeof *place->hashes, compare);
    return PNX_OK;
}

pnx_status pnx__watch_begin(struct pnx__watch *watch, const char *const *dirs, pnx_error *err)
{
    static const char *const always[] = {"/tmp", "/var/tmp"};
    size_t count = sizeof always / sizeof *always;
    for (size_t i = 0; dirs && dirs[i]; i++)
        count++;
    watch->places = calloc(count, sizeof *watch->places);
    if (!watch->places)
        return pnx_fail(err, PNX_ENOMEM, "no memory to watch directories");
    pnx_status status = PNX_OK;
    for (size_t i = 0; dirs && dirs[i] && status == PNX_OK; i++)
        status = add(watch, dirs[i], true, err);
    for (size_t i = 0; i < sizeof always / sizeof *always && status == PNX_OK; i++)
        if (access(always[i], R_OK) == 0)
            status = add(watch, always[i], false, err);
    return status;
}

bool pnx__watch_end(struct pnx__watch *watch, pnx__watch_fn visit, void *context)
{
    bool complete = true;
    for (size_t i = 0; i < watch->place_count; i++) {
        struct pnx__watched *place = &watch->places[i];
        if (!place->too_much)
            walk_place(place, visit, context);
        complete = complete && !place->too_much;
    }
    return complete;
}

void pnx__watch_done(struct pnx__watch *watch)
{
    for (size_t i = 0; i < watch->place_count; i++) {
        free(watch->places[i].path);
        free(watch->places[i].hashes);
    }
    free(watch->places);
    *watch = (struct pnx__watch){0};
}
