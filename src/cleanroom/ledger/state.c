/* SPDX-License-Identifier: MIT */
/* Where the state directory is, and that it is ours. */
#include "ledger/state.h"

#include "kind/sys.h"
#include "ledger/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- its path -------------------------------------------------------------------------------- */

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static pnx_status join(char *path, size_t size, const char *base, const char *rest, pnx_error *err)
{
    if (snprintf(path, size, "%s%s", base, rest) < (int)size)
        return PNX_OK;
    return pnx_fail(err, PNX_EINVAL,
                    "the path of the state directory is too long; set "
                    "CLEANROOM_STATE_DIR to a shorter one");
}

static pnx_status choose_path(char *path, size_t size, pnx_error *err)
{
    const char *own = variable("CLEANROOM_STATE_DIR");
    if (own && own[0] != '/')
        return pnx_fail(err, PNX_EINVAL,
                        "CLEANROOM_STATE_DIR is \"%.200s\": it must be an "
                        "absolute path",
                        own);
    if (own)
        return join(path, size, own, "", err);
    if (geteuid() == 0)
        return join(path, size, "/var/lib/cleanroom", "", err);
    const char *state = variable("XDG_STATE_HOME");
    if (state && state[0] == '/') /* its specification says to ignore a relative one */
        return join(path, size, state, "/cleanroom", err);
    const char *home = variable("HOME");
    if (!home || home[0] != '/' || access(home, W_OK | X_OK) != 0) {
        /* Users of services and in containers often have none. */
        char rest[32];
        snprintf(rest, sizeof rest, "%u", (unsigned)geteuid());
        return join(path, size, "/var/tmp/cleanroom-", rest, err);
    }
    return join(path, size, home, "/.local/state/cleanroom", err);
}

/* ---- making it ------------------------------------------------------------------------------- */

static pnx_status cannot_make(const char *path, pnx_error *err)
{
    return pnx_fail(err, PNX_EFAILED,
                    "cannot make the state directory %s: %m; set CLEANROOM_STATE_DIR to one that "
                    "you may write",
                    path);
}

/* The entry of a directory that was just made: once in a machine's life, so it costs nothing. */
static void sync_parent(int dir_fd)
{
    int parent = openat(dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent >= 0)
        (void)fsync(parent);
    pnx__close(parent);
}

/* Everything above the last component, as `mkdir -p` would. */
static pnx_status make_parents(char *path, pnx_error *err)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool made = mkdir(path, 0777) == 0;
        struct stat about; /* whatever mkdir(2) says of one that is there: EEXIST, EROFS, EACCES */
        pnx_status status = PNX_OK;
        if (!made && stat(path, &about) != 0)
            status = cannot_make(path, err);
        *slash = '/';
        if (status)
            return status;
    }
    return PNX_OK;
}

static void trim_slashes(char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        path[--length] = '\0';
}

pnx_status pnx__state_open(int *ret_fd, char *ret_path, size_t size, pnx_error *err)
{
    char path[4096];
    int fd = -1;
    pnx_status status = choose_path(path, sizeof path, err);
    if (status)
        return status;
    trim_slashes(path);
    status = pnx__directory_open(AT_FDCWD, path, false, &fd, err);
    if (status == PNX_ENOTFOUND) {
        pnx_error_clear(err);
        status = make_parents(path, err);
        if (status == PNX_OK)
            status = pnx__directory_open(AT_FDCWD, path, true, &fd, err);
        if (status == PNX_OK)
            sync_parent(fd);
    }
    if (status)
        return status;
    if (ret_path && size)
        snprintf(ret_path, size, "%s", path);
    *ret_fd = fd;
    return PNX_OK;
}

/* ---- reports --------------------------------------------------------------------------------- */

pnx_status pnx__state_reports_open(int state_fd, int *ret_fd, pnx_error *err)
{
    return pnx__directory_open(state_fd, "reports", true, ret_fd, err);
}

char *pnx__state_report_name(pnx_id id, char buffer[PNX__STATE_REPORT_NAME_SIZE])
{
    char text[PNX_ID_TEXT_SIZE];
    snprintf(buffer, PNX__STATE_REPORT_NAME_SIZE, "%s.json", pnx_id_format(id, text));
    return buffer;
}
