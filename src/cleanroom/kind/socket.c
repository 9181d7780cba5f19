/* SPDX-License-Identifier: MIT */
#include <cleanroom/socket.h>

#include "kind/inode.h"
#include "kind/sock_diag.h"
#include "kind/sys.h"
#include "kind/thing.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#define PATH_SIZE (sizeof((struct sockaddr_un *)0)->sun_path)

/* ---- find, remove ---------------------------------------------------------------------------- */

/* Where a path leads: everything is done beneath the directory, which stays the same one. */
struct place {
    int dir;
    const char *file;
};

static pnx_status open_place(const char *path, struct place *ret, pnx_error *err)
{
    const char *slash = strrchr(path, '/');
    const char *file = slash ? slash + 1 : "";
    if (path[0] != '/' || !*file || strcmp(file, ".") == 0 || strcmp(file, "..") == 0 ||
        strlen(path) >= PATH_MAX)
        return pnx_fail(err, PNX_EINVAL, "'%s' is not the absolute path of a socket", path);
    char dir[PATH_MAX];
    snprintf(dir, sizeof dir, "%.*s", (int)(slash - path + 1), path);
    int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        bool none = errno == ENOENT || errno == ENOTDIR;
        return pnx_fail(err, none ? PNX_ENOTFOUND : PNX_EFAILED,
                        "cannot open the directory of the socket '%s': %m", path);
    }
    *ret = (struct place){fd, file};
    return PNX_OK;
}

static pnx_status find_socket(const char *name, char *ret_identity, size_t size, pnx_error *err)
{
    struct place place = {.dir = -1};
    pnx_status status = open_place(name, &place, err);
    if (status != PNX_OK)
        return status;
    status =
        pnx__inode_find(place.dir, place.file, S_IFSOCK, ret_identity, size, "socket", name, err);
    pnx__close(place.dir);
    return status;
}

static pnx_status remove_socket(const char *name, const char *identity, pnx_time deadline,
                                pnx_error *err)
{
    struct place place = {.dir = -1};
    pnx_status status = open_place(name, &place, err);
    if (status != PNX_OK)
        return status == PNX_ENOTFOUND ? PNX_EALREADY : status;
    status = pnx__inode_remove(place.dir, place.file, identity, "socket", name, err);
    pnx__close(place.dir);
    return status;
}

static pnx_status still_socket(const char *name, const char *identity, pnx_error *err)
{
    struct place place = {.dir = -1};
    pnx_status status = open_place(name, &place, err);
    if (status != PNX_OK)
        return status;
    status = pnx__inode_still(place.dir, identity);
    pnx__close(place.dir);
    return status;
}

/* ---- list ------------------------------------------------------------------------------------ */

struct listing {
    pnx_thing_visit_fn visit;
    void *context;
};

/* What the kernel numbers its devices by within. */
static bool is_device(uint64_t device, uint64_t kernel_device)
{
    return major(device) == kernel_device >> 20 && minor(device) == (kernel_device & 0xfffff);
}

static bool visit_socket(const struct pnx__unix_socket *socket, void *context)
{
    const struct listing *listing = context;
    if (socket->name[0] != '/' || !pnx__unix_is_bound_itself(socket))
        return true;
    char path[PATH_SIZE + 1], identity[PNX__INODE_IDENTITY_MAX];
    struct pnx__inode inode;
    snprintf(path, sizeof path, "%.*s", (int)socket->length, socket->name);
    if (!pnx__inode_at(AT_FDCWD, path, &inode) || !S_ISSOCK(inode.mode) ||
        inode.number != socket->file_inode || !is_device(inode.device, socket->file_device))
        return true;
    pnx__inode_identity(&inode, identity);
    pnx_thing_info info = {
        .name = path,
        .identity = identity,
        .type = pnx__unix_type(socket),
        .owner = inode.owner,
        .created = inode.created,
        .socket = socket->inode,
    };
    return listing->visit(&info, listing->context);
}

static pnx_status list_sockets(pnx_thing_visit_fn visit, void *context, pnx_error *err)
{
    struct listing listing = {visit, context};
    return pnx__unix_each(visit_socket, &listing, err);
}

/* ---- make ------------------------------------------------------------------------------------ */

/* Asked before the intent is written: a path that is taken never gets into a ledger as ours. */
static pnx_status expect_free(const char *path, pnx_error *err)
{
    struct pnx__inode inode;
    struct place place = {.dir = -1};
    pnx_status status = open_place(path, &place, err);
    if (status == PNX_ENOTFOUND)
        return pnx_fail(err, PNX_EFAILED, "cannot bind a socket to '%s': %m", path);
    if (status != PNX_OK)
        return status;
    if (pnx__inode_at(place.dir, place.file, &inode))
        errno = EEXIST;
    if (errno != ENOENT)
        status = pnx_fail(err, PNX_EFAILED, "cannot bind a socket to '%s': %m", path);
    pnx__close(place.dir);
    return status;
}

static pnx_status open_socket(const char *path, int type, int *ret, pnx_error *err)
{
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        bool impossible = errno == EINVAL || errno == EPROTONOSUPPORT || errno == ESOCKTNOSUPPORT;
        return pnx_fail(err, impossible ? PNX_EINVAL : PNX_EFAILED,
                        "cannot make a socket for '%s': %m", path);
    }
    /* On Linux the file gets the mode of the socket: it never has another one. */
    if (fchmod(fd, 0600) != 0) {
        pnx_fail(err, PNX_EFAILED, "cannot make a socket for '%s': %m", path);
        pnx__close(fd);
        return PNX_EFAILED;
    }
    *ret = fd;
    return PNX_OK;
}

static pnx_status bind_intended(int fd, const char *path, const pnx_keeper *keeper, pnx_thing **ret,
                                pnx_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    pnx_thing *thing;
    pnx_status status = pnx_thing_intend(&pnx__thing_socket, path, keeper, &thing, err);
    if (status != PNX_OK)
        return status;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        pnx_fail(err, PNX_EFAILED, "cannot bind a socket to '%s': %m", path);
        pnx_thing_unmade(thing);
        return PNX_EFAILED;
    }
    status = pnx_thing_made(thing, err);
    if (status == PNX_OK)
        *ret = thing;
    return status;
}

pnx_status pnx_socket_bind(const char *path, int type, const pnx_keeper *keeper, pnx_thing **ret,
                           int *ret_fd, pnx_error *err)
{
    if (strlen(path) >= PATH_SIZE)
        return pnx_fail(err, PNX_EINVAL, "the path of a socket has at most %zu bytes: '%s'",
                        PATH_SIZE - 1, path);
    pnx_status status = expect_free(path, err);
    int fd = -1;
    if (status == PNX_OK)
        status = open_socket(path, type, &fd, err);
    if (status == PNX_OK)
        status = bind_intended(fd, path, keeper, ret, err);
    if (status == PNX_OK && ret_fd)
        *ret_fd = fd;
    else
        pnx__close(fd);
    return status;
}

const pnx_thing_kind pnx__thing_socket = {
    .name = "socket",
    .kind = &pnx_kind_socket,
    .code = PNX__CODE_SOCKET,
    .order = PNX_ORDER_FILE,
    .survives_reboot = true,
    .find = find_socket,
    .remove = remove_socket,
    .list = list_sockets,
    .still = still_socket,
};

const pnx_kind pnx_kind_socket = {PNX__THING_GUARD("socket"), .retries = 2,
                                  .retry_delay = PNX_MS(10)};
