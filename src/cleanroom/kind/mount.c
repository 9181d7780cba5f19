/* SPDX-License-Identifier: MIT */
#include <cleanroom/mount.h>

#include "kind/mount.h"
#include "kind/sys.h"
#include "kind/thing.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

/* What mount(2) takes as something else than a new mount. */
#define NOT_A_NEW_MOUNT                                                                            \
    (MS_REMOUNT | MS_BIND | MS_MOVE | MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE)

bool pnx__is_plain_path(const char *path)
{
    size_t length = strlen(path);
    if (path[0] != '/' || length >= PATH_MAX || (length > 1 && path[length - 1] == '/'))
        return false;
    for (const char *at = path; (at = strchr(at, '/')); at++) {
        size_t component = strcspn(at + 1, "/");
        if ((component == 0 && length > 1) || (component == 1 && at[1] == '.') ||
            (component == 2 && at[1] == '.' && at[2] == '.'))
            return false;
    }
    return true;
}

int pnx__mount_open(const char *path)
{
    uint64_t flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
    int fd = pnx__openat2(AT_FDCWD, path, flags, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
    return fd < 0 && errno == ENOSYS ? open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC) : fd;
}

/* ---- which one it is ------------------------------------------------------------------------- */

struct search {
    bool (*matches)(const struct pnx__mount *mount, const struct search *search);
    const char *point, *identity;
    uint32_t id;
    char found[PNX__MOUNT_IDENTITY_MAX]; /* empty: none */
};

static bool look_at_one(const struct pnx__mount *mount, void *context)
{
    struct search *search = context;
    if (!search->matches(mount, search))
        return true;
    pnx__mount_identity(mount, search->found);
    return false;
}

static bool is_at(const struct pnx__mount *mount, const struct search *search)
{
    return mount->id == search->id && strcmp(mount->point, search->point) == 0;
}

static bool is_it(const struct pnx__mount *mount, const struct search *search)
{
    char identity[PNX__MOUNT_IDENTITY_MAX];
    pnx__mount_identity(mount, identity);
    return strcmp(identity, search->identity) == 0;
}

pnx_status pnx__mount_of_fd(int fd, const char *point, char ret[PNX__MOUNT_IDENTITY_MAX],
                            pnx_error *err)
{
    struct pnx__mount mount = {0};
    struct search search = {.matches = is_at, .point = point};
    if (pnx__mounts_unique() && pnx__mount_unique_of_fd(fd, &mount.unique)) {
        if (!mount.unique)
            return pnx_fail(err, PNX_ENOTFOUND, "'%s' is not a mount point", point);
        pnx__mount_identity(&mount, ret);
        return PNX_OK;
    }
    pnx_status status = pnx__mount_id_of_fd(fd, &search.id, err);
    if (status == PNX_OK)
        status = pnx__mounts_each(look_at_one, &search, err);
    if (status != PNX_OK)
        return status;
    if (!search.found[0])
        return pnx_fail(err, PNX_ENOTFOUND, "'%s' is not a mount point", point);
    memcpy(ret, search.found, sizeof search.found);
    return PNX_OK;
}

static pnx_status find_mount(const char *name, char *ret_identity, size_t size, pnx_error *err)
{
    char identity[PNX__MOUNT_IDENTITY_MAX];
    if (!pnx__is_plain_path(name))
        return pnx_fail(err, PNX_EINVAL,
                        "'%s' is not the name of a mount: that is an absolute path", name);
    int fd = pnx__mount_open(name);
    if (fd < 0) {
        /* What lies beneath a dead file system cannot be reached; `still` tells if it is there. */
        bool none = errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == ENOTCONN ||
                    errno == EIO || errno == ESTALE;
        return pnx_fail(err, none ? PNX_ENOTFOUND : PNX_EFAILED,
                        "cannot look at the mount '%s': %m", name);
    }
    pnx_status status = pnx__mount_of_fd(fd, name, identity, err);
    pnx__close(fd);
    if (status != PNX_OK)
        return status;
    if (snprintf(ret_identity, size, "%s", identity) >= (int)size)
        return pnx_fail(err, PNX_EINVAL, "no room for the identity of the mount '%s'", name);
    return PNX_OK;
}

pnx_status pnx__mount_still(const char *name, const char *identity, pnx_error *err)
{
    if (identity[0] == 'u' && pnx__mounts_unique())
        return pnx__mount_is_there(strtoull(identity + 1, NULL, 16), err);
    struct search search = {.matches = is_it, .identity = identity};
    pnx_status status = pnx__mounts_each(look_at_one, &search, err);
    if (status == PNX_OK && !search.found[0])
        status = pnx_fail(err, PNX_ENOTFOUND, "the mount '%s' is gone", name);
    return status;
}

/* ---- listing --------------------------------------------------------------------------------- */

struct listing {
    pnx_thing_visit_fn visit;
    void *context;
};

static bool list_one(const struct pnx__mount *mount, void *context)
{
    const struct listing *listing = context;
    char identity[PNX__MOUNT_IDENTITY_MAX];
    if (!mount->point[0] || strlen(mount->point) >= PNX_THING_NAME_MAX)
        return true;
    pnx__mount_identity(mount, identity);
    pnx_thing_info info = {
        .name = mount->point,
        .identity = identity,
        .type = mount->type,
        .detail = mount->source[0] ? mount->source : NULL,
        .owner = -1,
    };
    return listing->visit(&info, listing->context);
}

static pnx_status list_mounts(pnx_thing_visit_fn visit, void *context, pnx_error *err)
{
    struct listing listing = {visit, context};
    return pnx__mounts_each(list_one, &listing, err);
}

/* ---- making ---------------------------------------------------------------------------------- */

struct plan {
    const char *source, *type, *data;
    unsigned long flags;
    bool bind;
};

static bool mount_it(const struct plan *plan, const char *point)
{
    if (!plan->bind)
        return mount(plan->source, point, plan->type, plan->flags, plan->data) == 0;
    if (mount(plan->source, point, NULL, MS_BIND, NULL) != 0)
        return false;
    if (!(plan->flags & MS_RDONLY) ||
        mount(NULL, point, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) == 0)
        return true;
    int number = errno;
    (void)umount2(point, UMOUNT_NOFOLLOW | MNT_DETACH);
    errno = number;
    return false;
}

/* The path that the kernel will print, and nothing mounted there: or a maker that was killed before
 * it mounted would have somebody else's mount taken for its own. */
static pnx_status choose_point(const char *target, char ret[PATH_MAX], pnx_error *err)
{
    char identity[PNX_THING_IDENTITY_MAX];
    if (!realpath(target, ret))
        return pnx_fail(err, PNX_EINVAL, "cannot mount on '%s': %m", target);
    pnx_error found = {0};
    pnx_status status = find_mount(ret, identity, sizeof identity, &found);
    if (status == PNX_ENOTFOUND)
        return PNX_OK;
    if (status == PNX_OK) {
        errno = EEXIST;
        return pnx_fail(err, PNX_EFAILED, "cannot mount on '%s': it is a mount point: %m", ret);
    }
    if (err)
        *err = found;
    return status;
}

static pnx_status create(const struct plan *plan, const char *target, const pnx_keeper *keeper,
                         pnx_thing **ret, pnx_error *err)
{
    char point[PATH_MAX];
    pnx_thing *thing;
    pnx_status status = choose_point(target, point, err);
    if (status == PNX_OK)
        status = pnx_thing_intend(&pnx__thing_mount, point, keeper, &thing, err);
    if (status != PNX_OK)
        return status;
    if (!mount_it(plan, point)) {
        bool may_not = errno == EPERM;
        pnx_fail(err, PNX_EFAILED, "cannot mount '%s' on '%s': %m%s", plan->source, point,
                 may_not ? "; it takes CAP_SYS_ADMIN, or a user namespace of one's own" : "");
        pnx_thing_unmade(thing);
        return PNX_EFAILED;
    }
    status = pnx_thing_made(thing, err);
    if (status == PNX_OK)
        *ret = thing;
    return status;
}

pnx_status pnx_mount_create(const char *source, const char *target, const char *type,
                            unsigned long flags, const char *data, const pnx_keeper *keeper,
                            pnx_thing **ret, pnx_error *err)
{
    if (flags & NOT_A_NEW_MOUNT)
        return pnx_fail(err, PNX_EINVAL, "the flags 0x%lx do not stand for a new mount", flags);
    struct plan plan = {.source = source, .type = type, .data = data, .flags = flags};
    return create(&plan, target, keeper, ret, err);
}

pnx_status pnx_mount_bind(const char *source, const char *target, unsigned long flags,
                          const pnx_keeper *keeper, pnx_thing **ret, pnx_error *err)
{
    if (flags & ~(unsigned long)MS_RDONLY)
        return pnx_fail(err, PNX_EINVAL, "the flags 0x%lx are none of a bind mount", flags);
    struct plan plan = {.source = source, .flags = flags, .bind = true};
    return create(&plan, target, keeper, ret, err);
}

const pnx_thing_kind pnx__thing_mount = {
    .name = "mount",
    .kind = &pnx_kind_mount,
    .code = PNX__CODE_MOUNT,
    .order = PNX_ORDER_MOUNT,
    .find = find_mount,
    .remove = pnx__mount_remove,
    .list = list_mounts,
    .still = pnx__mount_still,
};

const pnx_kind pnx_kind_mount = {
    PNX__THING_GUARD("mount"),
    .timeout = PNX_S(10),
    .retries = 2,
    .retry_delay = PNX_MS(20),
};
