/* SPDX-License-Identifier: MIT */
#include "docker/tar.h"

#include "docker/engine.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files without a name -------------------------------------------------------------------- */

pnx_status pnx__docker_scratch(int *ret_fd, pnx_error *err)
{
    const char *directory = getenv("TMPDIR");
    int fd = open(directory && *directory == '/' ? directory : "/tmp",
                  O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (fd < 0) /* a file system that knows no files without a name */
        fd = memfd_create("cleanroom-archive", MFD_CLOEXEC);
    if (fd < 0)
        return pnx_fail(err, PNX_EFAILED, "cannot make a temporary file for an archive: %m");
    *ret_fd = fd;
    return PNX_OK;
}

/* Between two entries: the file system has no deadlines of its own. */
static pnx_status may_go_on(const struct pnx__limit *limit, pnx_error *err)
{
    struct pollfd alarm = {.fd = limit->cancel_fd, .events = POLLIN};
    if (pnx_monotonic_now() >= limit->deadline)
        return pnx_fail(err, PNX_ETIMEOUT, "the copy was not done in time");
    if (limit->cancel_fd >= 0 && poll(&alarm, 1, 0) > 0)
        return pnx_fail(err, PNX_ECANCELED, "the copy was canceled");
    return PNX_OK;
}

static pnx_status archive_failed(struct archive *archive, const char *what, pnx_error *err)
{
    const char *why = archive ? archive_error_string(archive) : NULL;
    errno = archive ? archive_errno(archive) : ENOMEM;
    return pnx_fail(err, errno == ENOMEM ? PNX_ENOMEM : PNX_EFAILED, "%s: %s", what,
                    why ? why : "no memory for an archive");
}

/* ---- writing --------------------------------------------------------------------------------- */

struct writing {
    struct archive *out;
    struct archive_entry *entry;
    size_t cut; /* of each path, so that names begin where they should */
    const struct pnx__limit *limit;
};

static pnx_status write_data(struct writing *writing, const FTSENT *file, pnx_error *err)
{
    char block[65536];
    /* A file that shrinks meanwhile is filled up by the archive, one that grows is cut. */
    int64_t left = file->fts_statp->st_size;
    int fd = open(file->fts_accpath, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return pnx_fail(err, PNX_EFAILED, "cannot read %s: %m", file->fts_path);
    pnx_status status = PNX_OK;
    while (status == PNX_OK && left > 0) {
        ssize_t got = read(fd, block, left < (int64_t)sizeof block ? (size_t)left : sizeof block);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            status = pnx_fail(err, PNX_EFAILED, "cannot read %s: %m", file->fts_path);
        if (got <= 0)
            break;
        left -= got;
        if (archive_write_data(writing->out, block, (size_t)got) < 0)
            status = archive_failed(writing->out, "cannot write an archive", err);
        else
            status = may_go_on(writing->limit, err);
    }
    close(fd);
    return status;
}

static bool set_link(struct archive_entry *entry, const char *path)
{
    char target[PATH_MAX];
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 0)
        return false;
    target[length] = '\0';
    archive_entry_set_symlink(entry, target);
    return true;
}

static pnx_status write_file(struct writing *writing, const FTSENT *file, pnx_error *err)
{
    struct archive_entry *entry = archive_entry_clear(writing->entry);
    const char *name = file->fts_path + writing->cut;
    if (file->fts_pathlen <= writing->cut) /* the directory whose content alone is wanted */
        return PNX_OK;
    archive_entry_copy_stat(entry, file->fts_statp);
    archive_entry_copy_pathname(entry, name);
    if (S_ISLNK(file->fts_statp->st_mode) && !set_link(entry, file->fts_accpath))
        return pnx_fail(err, PNX_EFAILED, "cannot read the link %s: %m", file->fts_path);
    if (!S_ISREG(file->fts_statp->st_mode))
        archive_entry_set_size(entry, 0);
    if (archive_write_header(writing->out, entry) < ARCHIVE_WARN)
        return archive_failed(writing->out, "cannot write an archive", err);
    return S_ISREG(file->fts_statp->st_mode) ? write_data(writing, file, err) : PNX_OK;
}

static pnx_status write_visited(struct writing *writing, const FTSENT *file, pnx_error *err)
{
    pnx_status status = may_go_on(writing->limit, err);
    if (status != PNX_OK)
        return status;
    switch (file->fts_info) {
    case FTS_D:
    case FTS_F:
    case FTS_SL:
    case FTS_SLNONE:
        return write_file(writing, file, err);
    case FTS_DEFAULT: /* no socket has a place in an archive */
        return S_ISSOCK(file->fts_statp->st_mode) ? PNX_OK : write_file(writing, file, err);
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        errno = file->fts_errno;
        return pnx_fail(err, PNX_EFAILED, "cannot read %s: %m", file->fts_path);
    default:
        return PNX_OK;
    }
}

static pnx_status write_tree(struct writing *writing, char *path, pnx_error *err)
{
    FTS *tree = fts_open((char *[]){path, NULL}, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!tree)
        return pnx__docker_no_memory(err);
    pnx_status status = PNX_OK;
    errno = 0;
    for (const FTSENT *file; status == PNX_OK && (file = fts_read(tree)); errno = 0)
        status = write_visited(writing, file, err);
    if (status == PNX_OK && errno != 0)
        status = pnx_fail(err, PNX_EFAILED, "cannot read %s: %m", path);
    fts_close(tree);
    return status;
}

static struct archive *open_for_writing(int fd)
{
    struct archive *out = archive_write_new();
    if (out && (archive_write_set_format_pax_restricted(out) != ARCHIVE_OK ||
                archive_write_open_fd(out, fd) != ARCHIVE_OK)) {
        archive_write_free(out);
        return NULL;
    }
    return out;
}

pnx_status pnx__docker_tar_write(const char *from, bool itself, const struct pnx__limit *limit,
                                 int *ret_fd, pnx_error *err)
{
    char path[PATH_MAX];
    int fd = -1;
    if (!*from || snprintf(path, sizeof path, "%s", from) >= (int)sizeof path)
        return pnx_fail(err, PNX_EINVAL, "'%.120s' is no path", from);
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        path[--length] = '\0';
    const char *slash = strrchr(path, '/');
    pnx_status status = pnx__docker_scratch(&fd, err);
    if (status != PNX_OK)
        return status;
    struct writing writing = {
        .out = open_for_writing(fd),
        .entry = archive_entry_new(),
        .cut = !itself ? length + 1
               : slash ? (size_t)(slash + 1 - path)
                       : 0,
        .limit = limit,
    };
    status =
        writing.out && writing.entry ? write_tree(&writing, path, err) : pnx__docker_no_memory(err);
    if (status == PNX_OK && archive_write_close(writing.out) != ARCHIVE_OK)
        status = archive_failed(writing.out, "cannot write an archive", err);
    archive_entry_free(writing.entry);
    archive_write_free(writing.out);
    if (status == PNX_OK)
        *ret_fd = fd;
    else
        close(fd);
    return status == PNX_OK ? PNX_OK : pnx_wrap(err, status, "cannot pack %s", from);
}

pnx_status pnx__docker_tar_open(const char *from, const struct pnx__limit *limit, int *ret_fd,
                                pnx_error *err)
{
    struct stat about;
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &about) != 0) {
        pnx_fail(err, PNX_EFAILED, "cannot open %s: %m", from);
        if (fd >= 0)
            close(fd);
        return PNX_EFAILED;
    }
    if (S_ISREG(about.st_mode)) {
        *ret_fd = fd;
        return PNX_OK;
    }
    close(fd);
    if (!S_ISDIR(about.st_mode))
        return pnx_fail(err, PNX_EINVAL, "%s is neither a tar file nor a directory", from);
    return pnx__docker_tar_write(from, false, limit, ret_fd, err);
}

pnx_status pnx__docker_tar_one(const char *name, unsigned mode, const void *data, size_t size,
                               int *ret_fd, pnx_error *err)
{
    int fd = -1;
    pnx_status status = pnx__docker_scratch(&fd, err);
    if (status != PNX_OK)
        return status;
    struct archive *out = open_for_writing(fd);
    struct archive_entry *entry = archive_entry_new();
    if (entry) {
        archive_entry_set_pathname(entry, name);
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, (mode_t)(mode & 07777));
        archive_entry_set_size(entry, (la_int64_t)size);
    }
    bool good = out && entry && archive_write_header(out, entry) == ARCHIVE_OK &&
                (size == 0 || archive_write_data(out, data, size) == (la_ssize_t)size) &&
                archive_write_close(out) == ARCHIVE_OK;
    if (!good)
        status = archive_failed(out, "cannot write an archive", err);
    archive_entry_free(entry);
    archive_write_free(out);
    if (good)
        *ret_fd = fd;
    else
        close(fd);
    return status;
}

/* ---- reading --------------------------------------------------------------------------------- */

struct reading {
    struct archive *in, *disk;
    char root[PATH_MAX]; /* without symbolic links in it */
    const struct pnx__wanted *wanted;
    const struct pnx__limit *limit;
};

static bool stays_inside(const char *name)
{
    if (*name == '/')
        return false;
    for (const char *at = name; at; at = strchr(at, '/')) {
        at += *at == '/';
        if (at[0] == '.' && at[1] == '.' && (at[2] == '/' || at[2] == '\0'))
            return false;
    }
    return true;
}

/* "root/name"; NULL: it would lead out, is too long, or there is no memory. The caller frees it. */
static char *inside(const struct reading *reading, const char *name)
{
    char *path = NULL;
    if (!name || !stays_inside(name) || strlen(reading->root) + strlen(name) + 2 > PATH_MAX ||
        asprintf(&path, "%s/%s", reading->root, name) < 0)
        return NULL;
    return path;
}

/* Only regular files are chosen: their directories are made where one is, links lead elsewhere. */
static bool is_wanted(const struct reading *reading, const struct archive_entry *entry)
{
    struct archive_entry *about = (struct archive_entry *)entry;
    const char *name = archive_entry_pathname(about);
    return !reading->wanted ||
           (name && archive_entry_filetype(about) == AE_IFREG && !archive_entry_hardlink(about) &&
            reading->wanted->is(name, (uint64_t)archive_entry_size(about),
                                reading->wanted->context));
}

/* True: it is to be unpacked, and says where. */
static bool place_entry(const struct reading *reading, struct archive_entry *entry)
{
    mode_t type = archive_entry_filetype(entry);
    const char *link = archive_entry_hardlink(entry);
    if (!is_wanted(reading, entry) ||
        (!link && type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK))
        return false;
    char *path = inside(reading, archive_entry_pathname(entry));
    char *target = link && path ? inside(reading, link) : NULL;
    bool good = path && (!link || target);
    if (good) {
        archive_entry_copy_pathname(entry, path);
        if (link)
            archive_entry_copy_hardlink(entry, target);
        archive_entry_set_perm(entry, archive_entry_perm(entry) & 0777);
    }
    free(path);
    free(target);
    return good;
}

static pnx_status extract_data(struct reading *reading, pnx_error *err)
{
    const void *block;
    size_t size;
    la_int64_t offset;
    int got;
    while ((got = archive_read_data_block(reading->in, &block, &size, &offset)) == ARCHIVE_OK) {
        if (archive_write_data_block(reading->disk, block, size, offset) < ARCHIVE_OK)
            return archive_failed(reading->disk, "cannot write a file", err);
        pnx_status status = may_go_on(reading->limit, err);
        if (status != PNX_OK)
            return status;
    }
    return got == ARCHIVE_EOF ? PNX_OK : archive_failed(reading->in, "the archive is broken", err);
}

static pnx_status extract_all(struct reading *reading, pnx_error *err)
{
    for (;;) {
        struct archive_entry *entry;
        int got = archive_read_next_header(reading->in, &entry);
        if (got == ARCHIVE_EOF)
            return PNX_OK;
        if (got < ARCHIVE_WARN)
            return archive_failed(reading->in, "the archive is broken", err);
        pnx_status status = may_go_on(reading->limit, err);
        if (status != PNX_OK)
            return status;
        if (!place_entry(reading, entry))
            continue;
        if (archive_write_header(reading->disk, entry) < ARCHIVE_WARN)
            return archive_failed(reading->disk, "cannot write a file", err);
        status = extract_data(reading, err);
        if (status != PNX_OK)
            return status;
        if (archive_write_finish_entry(reading->disk) < ARCHIVE_WARN)
            return archive_failed(reading->disk, "cannot write a file", err);
    }
}

static pnx_status make_root(struct reading *reading, const char *to, pnx_error *err)
{
    if (mkdir(to, 0777) != 0 && errno != EEXIST)
        return pnx_fail(err, PNX_EFAILED, "cannot make the directory %s: %m", to);
    if (!realpath(to, reading->root))
        return pnx_fail(err, PNX_EFAILED, "cannot find the directory %s: %m", to);
    return PNX_OK;
}

static bool open_for_reading(struct reading *reading, int fd)
{
    reading->in = archive_read_new();
    reading->disk = archive_write_disk_new();
    return reading->in && reading->disk &&
           archive_read_support_format_tar(reading->in) == ARCHIVE_OK &&
           archive_read_support_format_empty(reading->in) == ARCHIVE_OK &&
           archive_write_disk_set_options(
               reading->disk, ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_UNLINK |
                                  ARCHIVE_EXTRACT_SECURE_SYMLINKS |
                                  ARCHIVE_EXTRACT_SECURE_NODOTDOT) == ARCHIVE_OK &&
           lseek(fd, 0, SEEK_SET) == 0 &&
           archive_read_open_fd(reading->in, fd, 65536) == ARCHIVE_OK;
}

pnx_status pnx__docker_tar_extract(int fd, const char *to, const struct pnx__wanted *wanted,
                                   const struct pnx__limit *limit, pnx_error *err)
{
    struct reading reading = {.wanted = wanted, .limit = limit};
    pnx_status status = make_root(&reading, to, err);
    if (status != PNX_OK)
        return status;
    status = open_for_reading(&reading, fd)
                 ? extract_all(&reading, err)
                 : archive_failed(reading.in, "the archive cannot be read", err);
    archive_read_free(reading.in);
    if (archive_write_free(reading.disk) != ARCHIVE_OK && status == PNX_OK)
        status = pnx_fail(err, PNX_EFAILED, "cannot write into %s: %m", to);
    return status;
}
