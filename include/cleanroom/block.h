/* SPDX-License-Identifier: MIT */
/**
 * @file block.h
 * Block devices that programs make: `loop` (a file as a device) and `mapper` (device-mapper) among
 * the sorts of thing.h.
 *
 * A loop device is named by its device, "/dev/loop3", and known by its disk sequence number (Linux
 * 5.15), which changes whenever a file is put into it or taken out; before that by device and inode
 * of the file. A mapper device is named as dmsetup(8) names it, and known by its device number and
 * by the inode of its directory in sysfs, which is never given again.
 *
 * Listing opens no device, and so disturbs nobody: a loop device that others have just told to go
 * could not go while we hold it open.
 *
 * Not promised: a device that is mounted, open, or beneath another one stays until it is not in use
 * any more; that is told, with what holds it. The kernel then clears a loop device by itself when
 * its last user lets go. A mapper device is removed by its number: one that takes the number of
 * ours between our look and the call is removed in its place if it is not in use.
 */
#ifndef CLEANROOM_BLOCK_H
#define CLEANROOM_BLOCK_H

#include <cleanroom/thing.h>

#ifdef __cplusplus
extern "C" {
#endif

/** For pnx_loop_create. */
#define PNX_LOOP_READ_ONLY 1u

/**
 * Makes a loop device of the file `backing` (a path). The system chooses the device: the name of
 * the thing, which the caller finds by pnx_thing_name. Until it is written down with its identity,
 * the kernel itself takes it back should this process end, so an intent that was never bound stands
 * for nothing (`name_is_given`). The caller owns `*ret`: pnx_thing_remove and pnx_thing_free, or a
 * guard.
 * PNX_EINVAL: other flags; PNX_EUNSUPPORTED: no loop devices here, or Linux before 5.8;
 * PNX_EFAILED: errno says why; PNX_EBUSY: others took every device that was free; PNX_ENOMEM; what
 * the keeper answers. Nothing exists after a failure.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_loop_create(const char *backing, unsigned flags,
                                                  const pnx_keeper *keeper, pnx_thing **ret,
                                                  pnx_error *err);

/** Their release removes the device if it is still the same, and verifies that. */
extern PNX_API const pnx_kind pnx_kind_loop;
extern PNX_API const pnx_kind pnx_kind_mapper;

#ifdef __cplusplus
}
#endif

PNX__OFFER_KIND(loop, pnx_thing *);
PNX__OFFER_KIND(mapper, pnx_thing *);

#endif
