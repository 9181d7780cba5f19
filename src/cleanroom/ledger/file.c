/* SPDX-License-Identifier: MIT */
#include "ledger/file.h"

#include "kind/procfs.h"
#include "kind/sys.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

const char *pnx__file_path(int dir_fd, const char *name, char buffer[PNX__PATH_SIZE])
{
    int saved = errno;
    if (name[0] == '/' || dir_fd == AT_FDCWD) {
        snprintf(buffer, PNX__PATH_SIZE, "%s", name);
    } else {
        char link[40], dir[4096];
        snprintf(link, sizeof link, "/proc/self/fd/%d", dir_fd);
        ssize_t length = readlink(link, dir, sizeof dir - 1);
        if (length < 0)
            length = snprintf(dir, sizeof dir, "…");
        dir[length] = '\0';
        if (strcmp(name, ".") == 0)
            snprintf(buffer, PNX__PATH_SIZE, "%s", dir);
        else
            snprintf(buffer, PNX__PATH_SIZE, "%s/%s", dir, name);
    }
    errno = saved;
    return buffer;
}

static pnx_status fail_open(int dir_fd, const char *name, pnx_error *err)
{
    char path[PNX__PATH_SIZE];
    pnx__file_path(dir_fd, name, path);
    if (errno == ENOENT)
        return pnx_fail(err, PNX_ENOTFOUND, "there is no %s", path);
    if (errno == ELOOP)
        return pnx_fail(err, PNX_EFAILED, "%s is a symbolic link, which is not followed: remove it",
                        path);
    return pnx_fail(err, PNX_EFAILED, "cannot open %s: %m", path);
}

/* Whoever else may write it could make us destroy anything. */
static pnx_status check(int dir_fd, const char *name, const struct stat *about, pnx_error *err)
{
    char path[PNX__PATH_SIZE];
    pnx__file_path(dir_fd, name, path);
    if (about->st_uid != geteuid())
        return pnx_fail(err, PNX_EFAILED,
                        "%s belongs to user %u, not to us (%u): it is not used; remove it or set "
                        "CLEANROOM_STATE_DIR",
                        path, (unsigned)about->st_uid, (unsigned)geteuid());
    if (about->st_mode & (S_IWGRP | S_IWOTH))
        return pnx_fail(err, PNX_EFAILED, "%s may be written by others: run chmod go-w on it",
                        path);
    return PNX_OK;
}

pnx_status pnx__file_open(int dir_fd, const char *name, int access, int *ret_fd, uint64_t *ret_size,
                          pnx_error *err)
{
    /* Non-blocking: it may be a FIFO. */
    int fd = openat(dir_fd, name, access | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return fail_open(dir_fd, name, err);
    struct stat about;
    char path[PNX__PATH_SIZE];
    pnx_status status = PNX_OK;
    if (fstat(fd, &about) != 0)
        status =
            pnx_fail(err, PNX_EFAILED, "cannot stat %s: %m", pnx__file_path(dir_fd, name, path));
    else if (!S_ISREG(about.st_mode))
        status = pnx_fail(err, PNX_EFAILED, "%s is no regular file: remove it",
                          pnx__file_path(dir_fd, name, path));
    else
        status = check(dir_fd, name, &about, err);
    if (status) {
        pnx__close(fd);
        return status;
    }
    *ret_fd = fd;
    *ret_size = (uint64_t)about.st_size;
    return PNX_OK;
}

static int make_directory(int dir_fd, const char *name)
{
    if (mkdirat(dir_fd, name, 0700) != 0)
        return errno == EEXIST ? 0 : -1;
    return fchmodat(dir_fd, name, 0700, 0); /* whatever the umask */
}

pnx_status pnx__directory_open(int dir_fd, const char *name, bool make, int *ret_fd, pnx_error *err)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    char path[PNX__PATH_SIZE];
    int fd = openat(dir_fd, name, flags);
    if (fd < 0 && errno == ENOENT && make) {
        if (make_directory(dir_fd, name) != 0)
            return pnx_fail(err, PNX_EFAILED,
                            "cannot make the directory %s: %m; set "
                            "CLEANROOM_STATE_DIR to one that you may write",
                            pnx__file_path(dir_fd, name, path));
        fd = openat(dir_fd, name, flags);
    }
    struct stat about;
    if (fd < 0 && errno == ENOTDIR && fstatat(dir_fd, name, &about, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISLNK(about.st_mode))
        errno = ELOOP; /* which of the two the kernel says first depends on the flags */
    if (fd < 0)
        return fail_open(dir_fd, name, err);
    pnx_status status = PNX_OK;
    if (fstat(fd, &about) != 0)
        status =
            pnx_fail(err, PNX_EFAILED, "cannot stat %s: %m", pnx__file_path(dir_fd, name, path));
    else
        status = check(dir_fd, name, &about, err);
    if (status) {
        pnx__close(fd);
        return status;
    }
    *ret_fd = fd;
    return PNX_OK;
}

pnx_id pnx__machine_id(void)
{
    char text[64], dashed[PNX_ID_TEXT_SIZE];
    pnx_id id = PNX_ID_NONE;
    if (pnx__read_file("/etc/machine-id", text, sizeof text) < 32)
        return id;
    snprintf(dashed, sizeof dashed, "%.8s-%.4s-%.4s-%.4s-%.12s", text, text + 8, text + 12,
             text + 16, text + 20);
    return pnx_id_parse(dashed, &id, NULL) == PNX_OK ? id : PNX_ID_NONE;
}
