/* SPDX-License-Identifier: MIT */
/** @file patinox.h  All of libpatinox. Each header also stands alone. */
#ifndef PATINOX_PATINOX_H
#define PATINOX_PATINOX_H

#include <patinox/base.h>
#include <patinox/cache.h>
#include <patinox/guard.h>
#include <patinox/kind.h>
#include <patinox/monitor.h>
#include <patinox/pool.h>
#include <patinox/pressure.h>
#include <patinox/registry.h>
#include <patinox/scope.h>
#include <patinox/task.h>

#endif
