/* SPDX-License-Identifier: MIT */
#include <cleanroom/block.h>

#include "kind/block.h"
#include "kind/poll.h"
#include "kind/sys.h"
#include "kind/thing.h"

#include <limits.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#ifndef BLKGETDISKSEQ
#define BLKGETDISKSEQ _IOR(0x12, 128, __u64)
#endif

#define DEV "/dev/"
#define CONTROL "/dev/loop-control"
/* As many others may be faster than we are, each taking the device that was free a moment ago. */
#define TRIES 64
/* Somebody looks into every new device (udev, blkid) and holds it open for that long. */
#define PATIENCE PNX_MS(200)

#define IDENTITY_MAX 64

/* ---- which one it is ------------------------------------------------------------------------- */

/* "loop3" of "/dev/loop3"; NULL: it is not the name of one. */
static const char *device_of(const char *name)
{
    const char *number = name + strlen(DEV "loop");
    if (strncmp(name, DEV "loop", strlen(DEV "loop")) != 0)
        return NULL;
    size_t digits = strspn(number, "0123456789");
    bool plain = digits > 0 && digits < 8 && !number[digits] && (number[0] != '0' || digits == 1);
    return plain ? name + strlen(DEV) : NULL;
}

static void identity_of_sequence(uint64_t sequence, char ret[IDENTITY_MAX])
{
    snprintf(ret, IDENTITY_MAX, "s%llu", (unsigned long long)sequence);
}

/* Of an open device; before Linux 5.15 by what is in it. False: it is free, or cannot be told. */
static bool identity_of_fd(int fd, char ret[IDENTITY_MAX])
{
    uint64_t sequence;
    struct loop_info64 info;
    if (ioctl(fd, LOOP_GET_STATUS64, &info) != 0)
        return false;
    if (ioctl(fd, BLKGETDISKSEQ, &sequence) == 0)
        identity_of_sequence(sequence, ret);
    else
        snprintf(ret, IDENTITY_MAX, "b%llx:%llu", (unsigned long long)info.lo_device,
                 (unsigned long long)info.lo_inode);
    return true;
}

static int open_device(const char *device)
{
    char path[NAME_MAX + 8];
    snprintf(path, sizeof path, DEV "%s", device);
    return open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

/* PNX_ENOTFOUND: nothing is in it. */
static pnx_status look(int root, const char *device, char ret_backing[PATH_MAX],
                       char ret_identity[IDENTITY_MAX], pnx_error *err)
{
    char before[32], after[32], path[NAME_MAX + 8];
    snprintf(path, sizeof path, "%s/loop", device);
    if (faccessat(root, path, F_OK, 0) != 0) /* most are free, and this is all that it takes */
        return pnx_fail(err, errno == ENOENT ? PNX_ENOTFOUND : PNX_EFAILED,
                        "cannot look at the loop device '%s': %m", device);
    bool numbered = pnx__block_read(root, device, "diskseq", before, sizeof before) > 0;
    if (pnx__block_read(root, device, "loop/backing_file", ret_backing, PATH_MAX) < 0) {
        bool none = errno == ENOENT || errno == ENODEV;
        return pnx_fail(err, none ? PNX_ENOTFOUND : PNX_EFAILED,
                        "cannot look at the loop device '%s': %m", device);
    }
    if (numbered) {
        if (pnx__block_read(root, device, "diskseq", after, sizeof after) < 0 ||
            strcmp(before, after) != 0) /* it was emptied, and filled again, while we looked */
            return pnx_fail(err, PNX_ENOTFOUND, "the loop device '%s' changes hands", device);
        identity_of_sequence(strtoull(after, NULL, 10), ret_identity);
        return PNX_OK;
    }
    int fd = open_device(device);
    bool told = fd >= 0 && identity_of_fd(fd, ret_identity);
    pnx_status status =
        told ? PNX_OK
             : pnx_fail(err, PNX_EFAILED, "cannot look at the loop device '%s': %m", device);
    pnx__close(fd);
    return status;
}

static pnx_status find_loop(const char *name, char *ret_identity, size_t size, pnx_error *err)
{
    char backing[PATH_MAX], identity[IDENTITY_MAX];
    const char *device = device_of(name);
    if (!device)
        return pnx_fail(err, PNX_EINVAL,
                        "'%s' is not the name of a loop device: they are called '/dev/loop0'",
                        name);
    int root = pnx__block_open();
    if (root < 0)
        return pnx_fail(err, PNX_EUNSUPPORTED, "cannot open %s: %m", pnx__block_root());
    pnx_status status = look(root, device, backing, identity, err);
    pnx__close(root);
    if (status == PNX_OK && snprintf(ret_identity, size, "%s", identity) >= (int)size)
        return pnx_fail(err, PNX_EINVAL, "no room for the identity of '%s'", name);
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
    char name[NAME_MAX + 8], backing[PATH_MAX], identity[IDENTITY_MAX], size[32];
    snprintf(name, sizeof name, DEV "%s", device);
    if (!device_of(name) || look(root, device, backing, identity, NULL) != PNX_OK)
        return true;
    pnx_thing_info info = {.name = name, .identity = identity, .detail = backing, .owner = -1};
    if (pnx__block_read(root, device, "size", size, sizeof size) > 0)
        info.bytes = strtoull(size, NULL, 10) * 512;
    return listing->visit(&info, listing->context);
}

static pnx_status list_loops(pnx_thing_visit_fn visit, void *context, pnx_error *err)
{
    struct listing listing = {visit, context};
    return pnx__block_each("loop", list_one, &listing, err);
}

/* ---- removing -------------------------------------------------------------------------------- */

static pnx_status still_there(const char *name, const char *identity, pnx_time deadline,
                              pnx_error *err)
{
    char found[IDENTITY_MAX], users[PNX_ERROR_CAUSE_MAX];
    pnx_time until = pnx_time_after(pnx_monotonic_now(), PATIENCE);
    for (pnx_duration pause = PNX_MS(1);; pause *= 2) {
        if (find_loop(name, found, sizeof found, NULL) != PNX_OK || strcmp(found, identity) != 0)
            return PNX_OK;
        pnx_time next = pnx_time_after(pnx_monotonic_now(), pause);
        if (next > until || next > deadline)
            break;
        (void)pnx__poll(NULL, 0, next);
    }
    pnx__block_users(device_of(name), users, sizeof users);
    return pnx_fail(err, PNX_EBUSY, "%s: the kernel clears it when that lets go",
                    users[0] ? users : "somebody has it open");
}

/*
 * While we have the device open nobody else's LOOP_CLR_FD empties it, so that nothing new can get
 * into it between our look and ours; what LOOP_CHANGE_FD exchanges has another sequence number.
 */
static pnx_status clear(int fd, const char *name, const char *identity, pnx_error *err)
{
    char found[IDENTITY_MAX];
    if (!identity_of_fd(fd, found) || strcmp(found, identity) != 0)
        return PNX_EALREADY;
    if (ioctl(fd, LOOP_CLR_FD) == 0)
        return PNX_OK;
    if (errno == ENXIO)
        return PNX_EALREADY;
    return pnx_fail(err, errno == EBUSY ? PNX_EBUSY : PNX_EFAILED, "cannot clear %s: %m", name);
}

static pnx_status remove_loop(const char *name, const char *identity, pnx_time deadline,
                              pnx_error *err)
{
    const char *device = device_of(name);
    if (!device)
        return pnx_fail(err, PNX_EINVAL, "'%s' is not the name of a loop device", name);
    int fd = open_device(device);
    if (fd < 0 && (errno == ENOENT || errno == ENXIO || errno == ENODEV))
        return PNX_EALREADY;
    if (fd < 0)
        return pnx_fail(err, PNX_EFAILED, "cannot open %s: %m", name);
    pnx_status status = clear(fd, name, identity, err);
    pnx__close(fd);
    return status == PNX_OK ? still_there(name, identity, deadline, err) : status;
}

/* ---- making ---------------------------------------------------------------------------------- */

/* Until it is written down the kernel clears it when our descriptor goes, whatever becomes of
 * us. */
static pnx_status configure(int fd, int backing, const char *path, unsigned flags, pnx_error *err)
{
    struct loop_config config = {.fd = (uint32_t)backing};
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    if (flags & PNX_LOOP_READ_ONLY)
        config.info.lo_flags |= LO_FLAGS_READ_ONLY;
    snprintf((char *)config.info.lo_file_name, sizeof config.info.lo_file_name, "%s", path);
    if (ioctl(fd, LOOP_CONFIGURE, &config) == 0)
        return PNX_OK;
    if (errno == EBUSY)
        return PNX_EBUSY;
    bool cannot = errno == EINVAL || errno == ENOTTY;
    return pnx_fail(err, cannot ? PNX_EUNSUPPORTED : PNX_EFAILED,
                    "cannot make a loop device of '%s': %m", path);
}

static bool keep_when_closed(int fd)
{
    struct loop_info64 info;
    if (ioctl(fd, LOOP_GET_STATUS64, &info) != 0)
        return false;
    info.lo_flags &= ~(uint32_t)LO_FLAGS_AUTOCLEAR;
    return ioctl(fd, LOOP_SET_STATUS64, &info) == 0;
}

/* Opens a device that nobody uses, and puts the file into it. */
static pnx_status take_free(int control, int backing, const char *path, unsigned flags,
                            char ret_name[32], int *ret_fd, pnx_error *err)
{
    for (unsigned i = 0; i < TRIES; i++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0)
            return pnx_fail(err, PNX_EFAILED, "there is no loop device for '%s': %m", path);
        snprintf(ret_name, 32, DEV "loop%d", number);
        int fd = open(ret_name, O_RDWR | O_CLOEXEC);
        if (fd < 0 && errno != ENXIO && errno != EBUSY)
            return pnx_fail(err, PNX_EFAILED, "cannot open %s: %m", ret_name);
        if (fd < 0)
            continue;
        pnx_status status = configure(fd, backing, path, flags, err);
        if (status == PNX_OK)
            *ret_fd = fd;
        else
            pnx__close(fd);
        if (status != PNX_EBUSY)
            return status;
    }
    return pnx_fail(err, PNX_EBUSY, "others took every free loop device before it could have '%s'",
                    path);
}

static pnx_status write_down(const char *name, int fd, const pnx_keeper *keeper, pnx_thing **ret,
                             pnx_error *err)
{
    pnx_thing *thing;
    pnx_status status = pnx_thing_intend(&pnx__thing_loop, name, keeper, &thing, err);
    if (status != PNX_OK)
        return status;
    status = pnx__thing_bind(thing, err);
    if (status == PNX_OK && !keep_when_closed(fd))
        status = pnx_fail(err, PNX_EFAILED, "cannot keep %s: %m", name);
    if (status == PNX_OK)
        *ret = thing;
    else
        pnx_thing_unmade(thing);
    return status;
}

pnx_status pnx_loop_create(const char *backing, unsigned flags, const pnx_keeper *keeper,
                           pnx_thing **ret, pnx_error *err)
{
    if (flags & ~PNX_LOOP_READ_ONLY)
        return pnx_fail(err, PNX_EINVAL, "the flags 0x%x are none of a loop device", flags);
    int control = open(CONTROL, O_RDWR | O_CLOEXEC);
    if (control < 0)
        return pnx_fail(err, errno == ENOENT ? PNX_EUNSUPPORTED : PNX_EFAILED,
                        "cannot open %s: %m; it takes root", CONTROL);
    char name[32];
    int fd = -1;
    pnx_status status;
    int file = open(backing, (flags & PNX_LOOP_READ_ONLY ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    if (file < 0)
        status = pnx_fail(err, PNX_EFAILED, "cannot open '%s' for a loop device: %m", backing);
    else
        status = take_free(control, file, backing, flags, name, &fd, err);
    if (status == PNX_OK)
        status = write_down(name, fd, keeper, ret, err);
    pnx__close(fd);
    pnx__close(file);
    pnx__close(control);
    return status;
}

const pnx_thing_kind pnx__thing_loop = {
    .name = "loop",
    .kind = &pnx_kind_loop,
    .code = PNX__CODE_LOOP,
    .order = PNX_ORDER_BLOCK,
    .name_is_given = true,
    .find = find_loop,
    .remove = remove_loop,
    .list = list_loops,
};

const pnx_kind pnx_kind_loop = {
    PNX__THING_GUARD("loop"),  .timeout = PNX_S(10),           .retries = 3,
    .retry_delay = PNX_MS(20), .retry_delay_max = PNX_MS(200),
};
