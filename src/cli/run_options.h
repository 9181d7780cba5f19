/* SPDX-License-Identifier: MIT */
/** @file run_options.h  The options of `cleanroom run`. */
#ifndef CLI_RUN_OPTIONS_H
#define CLI_RUN_OPTIONS_H

#include <cleanroom/process.h>
#include <cleanroom/session.h>

#define REPORTS_MAX 16
#define WATCHED_MAX 64
#define HOOKS_MAX 64
#define SAVED_MAX 64
#define PASSED_MAX 256
#define JOBS_MAX 1024
#define RETRIES_MAX 100

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
    pnx_on_exit on_exit[HOOKS_MAX + 1];        /* ended by NULL, for session.on_exit */
    size_t hook_count;
    const char *save[SAVED_MAX + 1]; /* NULL-terminated, for session.save */
    size_t save_count;
    int report_fd; /* JSON goes there, too; -1: nowhere */
    bool fail_on_leftovers, quiet;
    const char *each;       /* a file of command lines; NULL: there is one command */
    unsigned jobs, retries; /* jobs 0: not given */
    /* What each of several runs is told, too: "--name=value" in two parts; value may be NULL. */
    struct passed_option {
        const char *name, *value;
    } passed[PASSED_MAX];
    size_t passed_count;
    /* From a configuration file: what it said, and all words that were read; or NULL. */
    char *said, **merged;
    const char *const *command; /* NULL-terminated */
};

/** What --help says. */
extern const char run_usage[];

/**
 * Puts what a configuration file says before the options that were given, and its command where
 * none was given; run_config.c. What `*argv` is then belongs to `ret`. False: `*ret_status` is what
 * to exit with.
 */
bool add_configuration(int *argc, char ***argv, struct run_options *ret, int *ret_status);
/** What can be told of the options without reading them: which of some are there. */
struct run_outline {
    const char *config; /* NULL: it is not given */
    bool no_config, each, limit, help;
    int command; /* its index in argv, or argc */
};
void outline_run_options(int argc, char **argv, struct run_outline *ret);

/** Reads them. False: there is nothing to run, and `*ret_status` is what to exit with. */
bool parse_run_options(int argc, char **argv, struct run_options *ret, int *ret_status);
/** Frees what they hold. */
void forget_run_options(struct run_options *of);

#endif
