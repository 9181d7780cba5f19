/* SPDX-License-Identifier: MIT */
/** @file files.h  Directories and coverage files of this machine. */
#ifndef CLEANROOM_ENVIRONMENT_FILES_H
#define CLEANROOM_ENVIRONMENT_FILES_H

#include <patinox/base.h>

/** As mkdir -p. */
pnx_status pnx__make_directories(const char *path, pnx_error *err);
/** Removes `path` and what is above it, as far as it is empty, down from `top`, itself included. */
void pnx__remove_empty_directories(const char *top, const char *path);
/** Is this the name of a coverage file: *.profraw, *.gcda? */
bool pnx__is_coverage(const char *name);

#endif
