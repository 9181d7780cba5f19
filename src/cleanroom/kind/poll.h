/* SPDX-License-Identifier: MIT */
/** @file poll.h  poll(2) until a point in time. */
#ifndef CLEANROOM_KIND_POLL_H
#define CLEANROOM_KIND_POLL_H

#include <patinox/base.h>
#include <poll.h>

/** Like poll(2), until `deadline` on CLOCK_MONOTONIC; interrupted only by what it waits for. */
int pnx__poll(struct pollfd *fds, nfds_t count, pnx_time deadline);

#endif
