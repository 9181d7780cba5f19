/* SPDX-License-Identifier: MIT */
/** @file run_options.h  The options of `cleanroom run`. */
#ifndef CLI_RUN_OPTIONS_H
#define CLI_RUN_OPTIONS_H

#include <cleanroom/process.h>
#include <cleanroom/session.h>

struct run_options {
    pnx_session_config session;
    const char *report; /* file for the JSON report, or NULL */
    bool fail_on_leftovers, quiet;
    const char *const *command; /* NULL-terminated */
};

/** Reads them. False: there is nothing to run, and `*ret_status` is what to exit with. */
bool parse_run_options(int argc, char **argv, struct run_options *ret, int *ret_status);

#endif
