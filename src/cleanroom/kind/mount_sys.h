/* SPDX-License-Identifier: MIT */
/**
 * @file mount_sys.h
 * statmount(2) and listmount(2), Linux 6.8: newer than the headers of our oldest platform. Names
 * and layout are those of <linux/mount.h>.
 */
#ifndef CLEANROOM_KIND_MOUNT_SYS_H
#define CLEANROOM_KIND_MOUNT_SYS_H

#include "kind/sys.h"

#define PNX__SYS_STATMOUNT 457
#define PNX__SYS_LISTMOUNT 458

#define PNX__STATX_MNT_ID_UNIQUE 0x4000u
#define PNX__LSMT_ROOT UINT64_MAX

#define PNX__STATMOUNT_SB_BASIC 0x1u
#define PNX__STATMOUNT_MNT_BASIC 0x2u
#define PNX__STATMOUNT_MNT_POINT 0x10u
#define PNX__STATMOUNT_FS_TYPE 0x20u
#define PNX__STATMOUNT_SB_SOURCE 0x200u /* Linux 6.13; before that it is left out */

struct pnx__mnt_id_req {
    uint32_t size, spare;
    uint64_t mnt_id, param;
};

struct pnx__statmount {
    uint32_t size, mnt_opts;
    uint64_t mask;
    uint32_t sb_dev_major, sb_dev_minor;
    uint64_t sb_magic;
    uint32_t sb_flags, fs_type;
    uint64_t mnt_id, mnt_parent_id;
    uint32_t mnt_id_old, mnt_parent_id_old;
    uint64_t mnt_attr, mnt_propagation, mnt_peer_group, mnt_master, propagate_from;
    uint32_t mnt_root, mnt_point;
    uint64_t mnt_ns_id;
    uint32_t fs_subtype, sb_source;
    uint64_t spare[48];
    char str[]; /* the offsets above point in here */
};

_Static_assert(sizeof(struct pnx__statmount) == 512, "the layout of the kernel");

static inline int pnx__sys_statmount(uint64_t mount, uint64_t mask, struct pnx__statmount *ret,
                                     size_t size)
{
    struct pnx__mnt_id_req request = {.size = sizeof request, .mnt_id = mount, .param = mask};
    return (int)syscall(PNX__SYS_STATMOUNT, &request, ret, size, 0);
}

/** Up to `count` numbers of mounts, rising, above `after`. */
static inline ssize_t pnx__sys_listmount(uint64_t after, uint64_t *ret, size_t count)
{
    struct pnx__mnt_id_req request = {
        .size = sizeof request, .mnt_id = PNX__LSMT_ROOT, .param = after};
    return syscall(PNX__SYS_LISTMOUNT, &request, ret, count, 0);
}

#endif
