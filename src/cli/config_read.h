/* SPDX-License-Identifier: MIT */
/** @file config_read.h  Configuration files (.cleanroom.yaml) as options of `cleanroom run`. */
#ifndef CLI_CONFIG_READ_H
#define CLI_CONFIG_READ_H

#include <patinox/base.h>
#include <stdio.h>

/** What is longer is no configuration. */
#define CONFIG_SIZE_MAX ((size_t)1 << 20)

/**
 * Writes what the text says: options as --NAME=VALUE, then, if there is a command, "--" and its
 * words; each ended by NUL. `services` is what the key of that name becomes, an option; NULL: there
 * is nobody who could start services. PNX_EINVAL: it is no configuration; the error says where and
 * why, as LINE:COLUMN: …, in printable ASCII. PNX_ENOMEM.
 */
PNX_MUST_CHECK pnx_status config_read(const char *text, size_t size, const char *services,
                                      FILE *out, pnx_error *err);

/** PNX_EINVAL: it is not what may be given to the parser; the error is as that of config_read. */
PNX_MUST_CHECK pnx_status config_check_text(const char *text, size_t size, pnx_error *err);

#endif
