/* SPDX-License-Identifier: MIT */
/**
 * @file listed.h
 * For sorts of things that the system cannot look up by name: all are listed, and the one is sought
 * among them.
 */
#ifndef CLEANROOM_KIND_LISTED_H
#define CLEANROOM_KIND_LISTED_H

#include <cleanroom/thing.h>

/** The `find` of such a sort: the first with this name. PNX_ENOTFOUND, PNX_EINVAL (no room), or
 *  what its `list` answers. */
pnx_status pnx__listed_find(const pnx_thing_kind *kind, const char *name, char *ret_identity,
                            size_t size, pnx_error *err);
/** The `still`, where several may share a name: is the one with this identity among them? */
pnx_status pnx__listed_still(const pnx_thing_kind *kind, const char *name, const char *identity,
                             pnx_error *err);

#endif
