/* SPDX-License-Identifier: MIT */
/** @file limits.h  Limits that an engine has. The public face is <cleanroom/usage.h>. */
#ifndef CLEANROOM_CONTAINER_LIMITS_H
#define CLEANROOM_CONTAINER_LIMITS_H

#include <cleanroom/usage.h>

/** From what inspect says; 0: none. */
void pnx__limits_of(const struct json_t *about, uint64_t ret[PNX_USAGE_TYPE_COUNT]);

#endif
