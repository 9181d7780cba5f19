/* SPDX-License-Identifier: MIT */
/* Coverage files are moved from where programs have left them to where they are wanted. */
#include "environment/files.h"

#include <cleanroom/environment.h>

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* While a file is copied; nobody takes it for a coverage file. */
#define HALF ".cleanroom-half"

struct collecting {
    const char *to;
    size_t cut; /* of each path */
    pnx_collected got;
    pnx_status status;
    pnx_error *err;
};

static bool copy_data(int from, int to)
{
    char block[65536];
    for (;;) {
        ssize_t got = read(from, block, sizeof block);
        if (got == 0)
            return true;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return false;
        for (ssize_t done = 0, written; done < got; done += written) {
            written = write(to, block + done, (size_t)(got - done));
            if (written <= 0 && errno != EINTR)
                return false;
            written = written < 0 ? 0 : written;
        }
    }
}

/* Across file systems: whole, or not at all. */
static bool copy_file(const char *from, const char *to)
{
    char half[PATH_MAX];
    if (snprintf(half, sizeof half, "%s" HALF, to) >= (int)sizeof half) {
        errno = ENAMETOOLONG;
        return false;
    }
    int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int out =
        in >= 0 ? open(half, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666) : -1;
    bool good = out >= 0 && copy_data(in, out);
    if (out >= 0 && close(out) != 0)
        good = false;
    if (in >= 0)
        close(in);
    good = good && rename(half, to) == 0;
    int error = errno;
    if (!good && out >= 0)
        (void)unlink(half);
    errno = error;
    return good;
}

static bool move_file(const char *from, const char *to)
{
    struct stat about;
    if (rename(from, to) == 0)
        return true;
    if (errno != EXDEV || !copy_file(from, to) || unlink(from) != 0)
        return false;
    return lstat(from, &about) != 0 && errno == ENOENT;
}

static void left(struct collecting *collecting, const char *path)
{
    collecting->got.left++;
    if (collecting->status == PNX_OK)
        collecting->status = pnx_fail(collecting->err, PNX_EFAILED, "cannot collect %s: %m", path);
}

static void collect_file(struct collecting *collecting, const FTSENT *file)
{
    char to[PATH_MAX], above[PATH_MAX];
    uint64_t size = (uint64_t)file->fts_statp->st_size;
    errno = ENAMETOOLONG;
    if (snprintf(to, sizeof to, "%s/%s", collecting->to, file->fts_path + collecting->cut) >=
        (int)sizeof to) {
        left(collecting, file->fts_path);
        return;
    }
    snprintf(above, sizeof above, "%.*s", (int)(strrchr(to, '/') - to), to);
    if (pnx__make_directories(above, NULL) != PNX_OK || !move_file(file->fts_accpath, to)) {
        left(collecting, file->fts_path);
        return;
    }
    collecting->got.files++;
    collecting->got.bytes += size;
}

/* The directory that they are collected in may be in the one that they come from. */
static bool is_target(const struct collecting *collecting, const FTSENT *file)
{
    struct stat about;
    return stat(collecting->to, &about) == 0 && about.st_dev == file->fts_statp->st_dev &&
           about.st_ino == file->fts_statp->st_ino;
}

static void collect_all(struct collecting *collecting, FTS *tree)
{
    for (FTSENT *file; (file = fts_read(tree));) {
        if (file->fts_info == FTS_D && is_target(collecting, file))
            (void)fts_set(tree, file, FTS_SKIP);
        else if (file->fts_info == FTS_F && pnx__is_coverage(file->fts_name))
            collect_file(collecting, file);
        else if (file->fts_info == FTS_DNR || file->fts_info == FTS_ERR) {
            errno = file->fts_errno;
            left(collecting, file->fts_path);
        }
    }
}

pnx_status pnx_coverage_collect(const char *from, const char *to, pnx_collected *ret,
                                pnx_error *err)
{
    char path[PATH_MAX];
    struct collecting collecting = {.to = to, .err = err};
    struct stat about;
    if (!from || !to || !*to || snprintf(path, sizeof path, "%s", from) >= (int)sizeof path)
        return pnx_fail(err, PNX_EINVAL, "coverage is collected from a directory into another one");
    if (stat(path, &about) != 0 || !S_ISDIR(about.st_mode))
        return pnx_fail(err, PNX_EFAILED, "cannot collect coverage from %s: it is no directory",
                        path);
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        path[--length] = '\0';
    collecting.cut = length + (length > 1 || path[0] != '/');
    FTS *tree = fts_open((char *[]){path, NULL}, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!tree)
        return pnx_fail(err, PNX_ENOMEM, "no memory to look for coverage in %s", path);
    collect_all(&collecting, tree);
    fts_close(tree);
    if (ret)
        *ret = collecting.got;
    return collecting.status;
}
