/* SPDX-License-Identifier: MIT */
/** @file each.h  cleanroom run --each: every line of a file in a clean room of its own. */
#ifndef CLI_EACH_H
#define CLI_EACH_H

#include "run_options.h"

/** A line that is run. */
struct each_line {
    char *text;
    unsigned number; /* in the file, from 1 */
    unsigned attempts;
    int status; /* of the last attempt, as `cleanroom run` exits; -1: it was never run */
};

struct each_lines {
    struct each_line *lines;
    size_t count;
};

/** Reads those that are neither blank nor a comment. False: that was told. */
bool each_read_lines(const char *path, struct each_lines *ret);
void each_free_lines(struct each_lines *lines);

/** Reports in the order in which the attempts ended. */
struct each_reports {
    pnx_session_report *reports;
    size_t count, room;
};

/**
 * Takes over what the attempt wrote to `fd`. Of one that was killed the session is adopted, and its
 * report taken; where there is no session either, says that in its place.
 */
void each_add_report(struct each_reports *reports, int fd, const struct each_line *line);
/** In the order of lines and attempts. */
void each_sort_reports(struct each_reports *reports);
void each_free_reports(struct each_reports *reports);

struct each {
    const struct run_options *options;
    const char *tool; /* the program `cleanroom` */
    struct each_lines lines;
    struct each_reports reports;
    int stop_signal; /* that ended it early, or 0 */
};

/** Runs them all. PNX_OK, whatever became of them. */
PNX_MUST_CHECK pnx_status each_run(struct each *each, pnx_error *err);

#endif
