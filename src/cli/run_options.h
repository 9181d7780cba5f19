/* SPDX-License-Identifier: MIT */
/** @file run_options.h  The options of `cleanroom run`. */
#ifndef CLI_RUN_OPTIONS_H
#define CLI_RUN_OPTIONS_H

#include <cleanroom/process.h>
#include <cleanroom/session.h>

#define REPORTS_MAX 16
#define WATCHED_MAX 64

struct run_options {
    pnx_session_config session;
    size_t report_count;
    struct report_file {
        const char *path; /* as the user named it */
        pnx_report_format format;
    } reports[REPORTS_MAX];
    const char *watch[WATCHED_MAX + 1]; /* NULL-terminated, for session.watch */
    size_t watch_count;
    const char *report_paths[REPORTS_MAX + 1]; /* absolute, for session.reports */
    bool fail_on_leftovers, quiet;
    const char *const *command; /* NULL-terminated */
};

/** Reads them. False: there is nothing to run, and `*ret_status` is what to exit with. */
bool parse_run_options(int argc, char **argv, struct run_options *ret, int *ret_status);
/** Frees what they hold. */
void forget_run_options(struct run_options *of);

#endif
