/* SPDX-License-Identifier: MIT */
/*
 * The directories of sessions.
 *
 * One that is only just being made has no ledger yet, and looks like one whose maker died at that
 * point. To tell them apart its maker holds a shared lock on the directory, which goes away when it
 * dies; who removes a session that has not begun needs the exclusive one.
 */
#include "kind/sys.h"
#include "ledger/file.h"
#include "ledger/format.h"
#include "ledger/state.h"

#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* How often somebody may take away what we make before we have locked it. A cleaner that never
 * pauses has been seen to do it 16 times in a row, in step with us. */
#define ATTEMPTS 10000

static pnx_status open_sessions(int state_fd, bool make, int *ret_fd, pnx_error *err)
{
    return pnx__directory_open(state_fd, "sessions", make, ret_fd, err);
}

/* ---- making ---------------------------------------------------------------------------------- */

static int lock_shared(int fd)
{
    int result;
    do
        result = flock(fd, LOCK_SH);
    while (result != 0 && errno == EINTR);
    return result;
}

/* PNX_EALREADY: it was removed before it was locked. */
static pnx_status make_and_lock(int sessions, const char *name, int *ret_fd, pnx_error *err)
{
    char path[PNX__PATH_SIZE];
    struct stat about;
    if (mkdirat(sessions, name, 0700) != 0)
        return pnx_fail(err, PNX_EFAILED,
                        "cannot make the directory %s: %m; set "
                        "CLEANROOM_STATE_DIR to a directory that you may write",
                        pnx__file_path(sessions, name, path));
    int fd = openat(sessions, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == EACCES && fchmodat(sessions, name, 0700, 0) == 0) /* a strange umask */
        fd = openat(sessions, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return PNX_EALREADY;
    if (fd < 0 || lock_shared(fd) != 0 || fstat(fd, &about) != 0 ||
        ((about.st_mode & 07777) != 0700 && fchmod(fd, 0700) != 0)) {
        pnx_status status = pnx_fail(err, PNX_EFAILED, "cannot open the directory %s: %m",
                                     pnx__file_path(sessions, name, path));
        pnx__close(fd);
        unlinkat(sessions, name, AT_REMOVEDIR);
        return status;
    }
    if (about.st_nlink == 0) {
        pnx__close(fd);
        return PNX_EALREADY;
    }
    *ret_fd = fd;
    return PNX_OK;
}

pnx_status pnx__state_session_create(int state_fd, pnx_id id, int *ret_dir_fd, pnx_error *err)
{
    char name[PNX_ID_TEXT_SIZE], path[PNX__PATH_SIZE];
    int sessions = -1;
    pnx_status status = open_sessions(state_fd, true, &sessions, err);
    if (status)
        return status;
    pnx_id_format(id, name);
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        status = make_and_lock(sessions, name, ret_dir_fd, err);
        if (status != PNX_EALREADY)
            break;
    }
    if (status == PNX_EALREADY)
        status = pnx_fail(err, PNX_EBUSY, "somebody removes %s as soon as it is made",
                          pnx__file_path(sessions, name, path));
    pnx__close(sessions);
    return status;
}

pnx_status pnx__state_session_open(int state_fd, pnx_id id, int *ret_dir_fd, pnx_error *err)
{
    char name[PNX_ID_TEXT_SIZE];
    int sessions = -1;
    pnx_status status = open_sessions(state_fd, false, &sessions, err);
    if (status)
        return status;
    status = pnx__directory_open(sessions, pnx_id_format(id, name), false, ret_dir_fd, err);
    pnx__close(sessions);
    return status;
}

/* ---- all of them ----------------------------------------------------------------------------- */

typedef bool (*name_fn)(int dir_fd, const char *name, void *context);

/* Every name in a directory but "." and ".."; false: `visit` said so, or it cannot be read. */
static bool each_name(int fd, name_fn visit, void *context, int *ret_error)
{
    _Alignas(8) char buffer[8192];
    ssize_t got;
    *ret_error = 0;
    while ((got = pnx__getdents(fd, buffer, sizeof buffer)) > 0) {
        for (ssize_t at = 0; at < got;) {
            const struct pnx__dirent *entry = (const void *)(buffer + at);
            at += entry->length;
            if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0)
                continue;
            if (!visit(fd, entry->name, context))
                return false;
        }
    }
    if (got < 0)
        *ret_error = errno;
    return got == 0;
}

struct visitor {
    pnx__state_visit_fn visit;
    void *context;
};

static bool visit_name(int sessions, const char *name, void *context)
{
    const struct visitor *visitor = context;
    pnx_id id;
    char canonical[PNX_ID_TEXT_SIZE];
    if (pnx_id_parse(name, &id, NULL) != PNX_OK || strcmp(pnx_id_format(id, canonical), name) != 0)
        return true;
    int fd = -1;
    pnx_error problem = {0};
    pnx_status status = pnx__directory_open(sessions, name, false, &fd, &problem);
    if (status == PNX_ENOTFOUND) /* over, meanwhile */
        return true;
    if (status)
        return visitor->visit(id, -1, &problem, visitor->context);
    bool more = visitor->visit(id, fd, NULL, visitor->context);
    pnx__close(fd);
    return more;
}

pnx_status pnx__state_each_session(int state_fd, pnx__state_visit_fn visit, void *context,
                                   pnx_error *err)
{
    int sessions = -1, error = 0;
    pnx_error missing = {0};
    pnx_status status = open_sessions(state_fd, false, &sessions, &missing);
    if (status == PNX_ENOTFOUND)
        return PNX_OK;
    if (status) {
        if (err)
            *err = missing;
        return status;
    }
    struct visitor visitor = {visit, context};
    (void)each_name(sessions, visit_name, &visitor, &error);
    if (error) {
        char path[PNX__PATH_SIZE];
        errno = error;
        status =
            pnx_fail(err, PNX_EFAILED, "cannot read %s: %m", pnx__file_path(sessions, ".", path));
    }
    pnx__close(sessions);
    return status;
}

/* ---- removing -------------------------------------------------------------------------------- */

struct removal {
    char stranger[256]; /* a name that is not of a regular file */
    char stuck[256];    /* a file that could not be removed, and why */
    int error;
};

static bool find_stranger(int dir_fd, const char *name, void *context)
{
    struct removal *removal = context;
    struct stat about;
    if (fstatat(dir_fd, name, &about, AT_SYMLINK_NOFOLLOW) != 0 || S_ISREG(about.st_mode))
        return true;
    strncpy(removal->stranger, name, sizeof removal->stranger - 1);
    return false;
}

static bool remove_file(int dir_fd, const char *name, void *context)
{
    struct removal *removal = context;
    if (strcmp(name, PNX__STATE_LEDGER) == 0)
        return true;
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
        return true;
    removal->error = errno;
    strncpy(removal->stuck, name, sizeof removal->stuck - 1);
    return false;
}

static pnx_status go_through(int dir_fd, name_fn visit, struct removal *removal, pnx_error *err)
{
    int error;
    char path[PNX__PATH_SIZE];
    if (lseek(dir_fd, 0, SEEK_SET) < 0)
        return pnx_fail(err, PNX_EFAILED, "cannot read %s: %m", pnx__file_path(dir_fd, ".", path));
    if (!each_name(dir_fd, visit, removal, &error) && error == ENOENT)
        return PNX_EALREADY; /* somebody else was faster */
    errno = error;
    if (error)
        return pnx_fail(err, PNX_EFAILED, "cannot read %s: %m", pnx__file_path(dir_fd, ".", path));
    if (removal->stranger[0])
        return pnx_fail(err, PNX_EFAILED,
                        "%s is no regular file: the session is left as it is; look at it and "
                        "remove it",
                        pnx__file_path(dir_fd, removal->stranger, path));
    if (removal->stuck[0]) {
        errno = removal->error;
        return pnx_fail(err, PNX_EFAILED, "cannot remove %s: %m",
                        pnx__file_path(dir_fd, removal->stuck, path));
    }
    return PNX_OK;
}

/* The magic of a ledger is stored last: see format.h. */
static bool has_begun(int dir_fd)
{
    char magic[sizeof PNX__LEDGER_MAGIC - 1] = {0}, none[sizeof magic] = {0};
    int fd = openat(dir_fd, PNX__STATE_LEDGER, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno != ENOENT;
    ssize_t got = pread(fd, magic, sizeof magic, 0);
    pnx__close(fd);
    return got < 0 || memcmp(magic, none, sizeof magic) != 0;
}

/* Until its ledger has begun only its maker's lock says whether anybody is at it. */
static pnx_status check_begun(int dir_fd, pnx_error *err)
{
    char path[PNX__PATH_SIZE];
    if (has_begun(dir_fd) || flock(dir_fd, LOCK_EX | LOCK_NB) == 0)
        return PNX_OK;
    return pnx_fail(err, PNX_EBUSY, "the session %s is just being made or removed by somebody",
                    pnx__file_path(dir_fd, ".", path));
}

static pnx_status empty(int dir_fd, pnx_error *err)
{
    struct removal removal = {0};
    pnx_status status = check_begun(dir_fd, err);
    if (status == PNX_OK)
        status = go_through(dir_fd, find_stranger, &removal, err);
    if (status == PNX_OK)
        status = go_through(dir_fd, remove_file, &removal, err);
    /* Last: while it is there, somebody can do all this again. */
    if (status == PNX_OK && unlinkat(dir_fd, PNX__STATE_LEDGER, 0) != 0 && errno != ENOENT) {
        char path[PNX__PATH_SIZE];
        status = pnx_fail(err, PNX_EFAILED, "cannot remove %s: %m",
                          pnx__file_path(dir_fd, PNX__STATE_LEDGER, path));
    }
    return status;
}

pnx_status pnx__state_session_remove(int state_fd, pnx_id id, pnx_error *err)
{
    char name[PNX_ID_TEXT_SIZE], path[PNX__PATH_SIZE];
    int sessions = -1, dir = -1;
    pnx_status status = open_sessions(state_fd, false, &sessions, err);
    if (status)
        return status == PNX_ENOTFOUND ? PNX_EALREADY : status;
    status = pnx__directory_open(sessions, pnx_id_format(id, name), false, &dir, err);
    if (status) {
        pnx__close(sessions);
        return status == PNX_ENOTFOUND ? PNX_EALREADY : status;
    }
    status = empty(dir, err);
    if (status == PNX_OK && unlinkat(sessions, name, AT_REMOVEDIR) != 0)
        status = errno == ENOENT ? PNX_EALREADY
                                 : pnx_fail(err, PNX_EFAILED, "cannot remove %s: %m",
                                            pnx__file_path(sessions, name, path));
    pnx__close(dir);
    pnx__close(sessions);
    return status;
}
