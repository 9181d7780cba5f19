/* SPDX-License-Identifier: MIT */
/* paths.c as C is compiled by default, without -fexceptions: then pthread_exit misses guards. */
/* NOLINTNEXTLINE(bugprone-suspicious-include): the same tests, compiled otherwise */
#include "paths.c"
