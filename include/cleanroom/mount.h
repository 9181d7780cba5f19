/* SPDX-License-Identifier: MIT */
/**
 * @file mount.h
 * Mounts, guarded: `mount` among the sorts of thing.h. The name of a mount is its mount point, as
 * an absolute path without symbolic links; its identity the number that the kernel gives to one
 * mount only (Linux 6.8), before that its number, device, type and source.
 *
 *     pnx_auto(mount) guard = pnx_reserve(mount, registry, err);
 *     if (guard.status) return guard.status;
 *     pnx_thing *thing;
 *     if (pnx_mount_create("none", "/srv/scratch", "tmpfs", 0, "size=1m", NULL, &thing, err))
 *         return err->code;
 *     pnx_arm(&guard, thing);
 *
 * Removal unmounts. Where a mount is in use it is tried again for a while, then the mount is taken
 * out of the tree all the same (MNT_DETACH), and the outcome says who still uses it: its file
 * system lives on for these until they let go. A mount that has others mounted in it is busy, and
 * the error names one: remove the inner ones first. So is one over which another was mounted at the
 * same place. FUSE mounts of one's own are unmounted by fusermount3(1) where umount2(2) is not
 * allowed; one whose server has died is like any other.
 *
 * Not promised: umount2(2) goes by path. What is mounted over the same mount point in the moment
 * between our last look and the call is unmounted in its place. Mounts in other mount namespaces
 * are not seen; those that the kernel has copied there by propagation go with ours. Without Linux
 * 6.8, a mount of the same type and source that took the place of ours may have got its number too.
 */
#ifndef CLEANROOM_MOUNT_H
#define CLEANROOM_MOUNT_H

#include <cleanroom/thing.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Mounts, as mount(2) does, on `target`, which must exist and must not be a mount point yet.
 * `flags` are those of mount(2) for a new mount (MS_RDONLY, MS_NOSUID, …); `data` may be NULL. The
 * caller owns `*ret`: pnx_thing_remove and pnx_thing_free, or a guard.
 * PNX_EINVAL: `target` is not to be had as a mount point, or `flags` ask for something else than a
 * new mount; PNX_EFAILED: errno says why, EEXIST: something is mounted there, and the keeper was
 * told nothing; PNX_ENOMEM; what the keeper answers. Nothing is mounted after a failure.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_mount_create(const char *source, const char *target,
                                                   const char *type, unsigned long flags,
                                                   const char *data, const pnx_keeper *keeper,
                                                   pnx_thing **ret, pnx_error *err);

/**
 * Makes the file or directory `source` appear at `target` too, alone, without what is mounted in
 * it. `flags`: 0, or MS_RDONLY. Otherwise as above.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_mount_bind(const char *source, const char *target,
                                                 unsigned long flags, const pnx_keeper *keeper,
                                                 pnx_thing **ret, pnx_error *err);

/** Its release unmounts if it is still the same mount, and verifies that; three attempts. */
extern PNX_API const pnx_kind pnx_kind_mount;

#ifdef __cplusplus
}
#endif

PNX__OFFER_KIND(mount, pnx_thing *);

#endif
