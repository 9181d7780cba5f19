/* SPDX-License-Identifier: MIT */
/** @file copy.h  Files out of containers, some of them. */
#ifndef CLEANROOM_DOCKER_COPY_H
#define CLEANROOM_DOCKER_COPY_H

#include "docker/engine.h"
#include "docker/tar.h"

/** pnx_engine_copy_out, of the regular files that are wanted; NULL: of everything. */
pnx_status pnx__docker_copy_wanted(pnx_engine *engine, const char *container, const char *from,
                                   const char *to, const struct pnx__wanted *wanted,
                                   const struct pnx__limit *limit, pnx_error *err);

#endif
