/* SPDX-License-Identifier: MIT */
/** @file cleanroom.h  All of libcleanroom. Each header also stands alone. */
#ifndef CLEANROOM_CLEANROOM_H
#define CLEANROOM_CLEANROOM_H

#include <cleanroom/block.h>
#include <cleanroom/capability.h>
#include <cleanroom/cgroup.h>
#include <cleanroom/hook.h>
#include <cleanroom/limits.h>
#include <cleanroom/mount.h>
#include <cleanroom/mqueue.h>
#include <cleanroom/netns.h>
#include <cleanroom/outcome.h>
#include <cleanroom/process.h>
#include <cleanroom/reaper.h>
#include <cleanroom/report.h>
#include <cleanroom/session.h>
#include <cleanroom/shm.h>
#include <cleanroom/socket.h>
#include <cleanroom/sysv.h>
#include <cleanroom/tempdir.h>
#include <cleanroom/thing.h>

#endif
