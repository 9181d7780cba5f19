/* SPDX-License-Identifier: MIT */
#include <cleanroom/block.h>

#include "kind/block.h"
#include "kind/inode.h"
#include "kind/sys.h"
#include "kind/thing.h"

#include <limits.h>
#include <linux/dm-ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define CONTROL "/dev/mapper/control"
#define IDENTITY_MAX 96

struct mapped {
    char name[DM_NAME_LEN], uuid[DM_UUID_LEN], device[NAME_MAX + 1], number[32];
    char identity[IDENTITY_MAX];
};

/* "253:0/INODE": the directory's inode, which is that of this device alone. */
static bool look(int root, const char *device, struct mapped *ret)
{
    struct pnx__inode inode;
    char path[NAME_MAX + 8];
    snprintf(path, sizeof path, "%s/dm", device);
    if (!pnx__inode_at(root, path, &inode) ||
        pnx__block_read(root, device, "dm/name", ret->name, sizeof ret->name) <= 0 ||
        pnx__block_read(root, device, "dev", ret->number, sizeof ret->number) <= 0)
        return false;
    if (pnx__block_read(root, device, "dm/uuid", ret->uuid, sizeof ret->uuid) < 0)
        ret->uuid[0] = '\0';
    snprintf(ret->device, sizeof ret->device, "%s", device);
    snprintf(ret->identity, sizeof ret->identity, "%s/%llu", ret->number,
             (unsigned long long)inode.number);
    return true;
}

struct search {
    const char *name, *identity; /* one of them; the other is NULL */
    struct mapped found;
    bool is_found;
};

static bool search_one(int root, const char *device, void *context)
{
    struct search *search = context;
    struct mapped mapped;
    if (!look(root, device, &mapped) || (search->name && strcmp(mapped.name, search->name) != 0) ||
        (search->identity && strcmp(mapped.identity, search->identity) != 0))
        return true;
    search->found = mapped;
    search->is_found = true;
    return false;
}

static pnx_status find_mapper(const char *name, char *ret_identity, size_t size, pnx_error *err)
{
    if (!name[0] || strchr(name, '/') || strlen(name) >= DM_NAME_LEN)
        return pnx_fail(err, PNX_EINVAL, "'%s' is not the name of a mapper device", name);
    struct search search = {.name = name};
    pnx_status status = pnx__block_each("dm-", search_one, &search, err);
    if (status == PNX_OK && !search.is_found)
        status = pnx_fail(err, PNX_ENOTFOUND, "there is no mapper device '%s'", name);
    if (status == PNX_OK && snprintf(ret_identity, size, "%s", search.found.identity) >= (int)size)
        status = pnx_fail(err, PNX_EINVAL, "no room for the identity of '%s'", name);
    return status;
}

/* It may have been renamed. */
static pnx_status still_mapper(const char *name, const char *identity, pnx_error *err)
{
    struct search search = {.identity = identity};
    pnx_status status = pnx__block_each("dm-", search_one, &search, err);
    if (status == PNX_OK && !search.is_found)
        status = pnx_fail(err, PNX_ENOTFOUND, "the mapper device '%s' is gone", name);
    return status;
}

/* ---- listing --------------------------------------------------------------------------------- */

struct listing {
    pnx_thing_visit_fn visit;
    void *context;
};

static bool list_one(int root, const char *device, void *context)
{
    const struct listing *listing = context;
    struct mapped mapped;
    char size[32];
    if (!look(root, device, &mapped))
        return true;
    pnx_thing_info info = {
        .name = mapped.name,
        .identity = mapped.identity,
        .detail = mapped.uuid[0] ? mapped.uuid : NULL,
        .owner = -1,
    };
    if (pnx__block_read(root, device, "size", size, sizeof size) > 0)
        info.bytes = strtoull(size, NULL, 10) * 512;
    return listing->visit(&info, listing->context);
}

static pnx_status list_mappers(pnx_thing_visit_fn visit, void *context, pnx_error *err)
{
    struct listing listing = {visit, context};
    return pnx__block_each("dm-", list_one, &listing, err);
}

/* ---- removing -------------------------------------------------------------------------------- */

/* As the ioctl wants it, whatever dev_t looks like. */
static uint64_t encode_number(const char *text)
{
    char *end;
    uint64_t major = strtoul(text, &end, 10), minor = *end == ':' ? strtoul(end + 1, NULL, 10) : 0;
    return (minor & 0xff) | (major << 8) | ((minor & ~UINT64_C(0xff)) << 12);
}

static pnx_status remove_mapper(const char *name, const char *identity, pnx_time deadline,
                                pnx_error *err)
{
    struct search search = {.identity = identity};
    pnx_status status = pnx__block_each("dm-", search_one, &search, err);
    if (status != PNX_OK || !search.is_found)
        return status == PNX_OK ? PNX_EALREADY : status;
    int control = open(CONTROL, O_RDWR | O_CLOEXEC);
    if (control < 0)
        return pnx_fail(err, PNX_EFAILED, "cannot open %s for the mapper device '%s': %m", CONTROL,
                        name);
    struct dm_ioctl request = {
        .version = {DM_VERSION_MAJOR, 0, 0},
        .data_size = sizeof request,
        .dev = encode_number(search.found.number),
    };
    if (ioctl(control, DM_DEV_REMOVE, &request) != 0 && errno != ENXIO) {
        char users[PNX_ERROR_CAUSE_MAX] = "";
        bool busy = errno == EBUSY;
        if (busy)
            pnx__block_users(search.found.device, users, sizeof users);
        status = pnx_fail(err, busy ? PNX_EBUSY : PNX_EFAILED,
                          "cannot remove the mapper device '%s': %s%s%m", name, users,
                          users[0] ? ": " : "");
    }
    pnx__close(control);
    return status;
}

const pnx_thing_kind pnx__thing_mapper = {
    .name = "mapper",
    .kind = &pnx_kind_mapper,
    .code = PNX__CODE_MAPPER,
    .order = PNX_ORDER_BLOCK,
    .find = find_mapper,
    .remove = remove_mapper,
    .list = list_mappers,
    .still = still_mapper,
};

const pnx_kind pnx_kind_mapper = {
    PNX__THING_GUARD("mapper"), .timeout = PNX_S(10),           .retries = 3,
    .retry_delay = PNX_MS(20),  .retry_delay_max = PNX_MS(200),
};
