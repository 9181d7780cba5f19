/* SPDX-License-Identifier: MIT */
/**
 * @file log.h
 * How the library says its few words; see the log hook in base.h.
 */
#ifndef PNX_BASE_LOG_H
#define PNX_BASE_LOG_H

#include <patinox/base.h>

/** Room for the message of an error, its cause, and some context. */
#define PNX__LOG_LINE_MAX 512

/**
 * Hands one line to the hook, if there is one and it wants this level. Control characters become
 * spaces; too long lines are cut and end in "...". Keeps errno, allocates nothing, and is no
 * cancellation point whatever the hook does.
 */
void pnx__log(pnx_log_level level, const char *format, ...) PNX_PRINTF(2, 3);

#endif
