/* SPDX-License-Identifier: MIT */
/**
 * @file report.h
 * What a session had and found, and what became of it: a value, and how it is written out.
 */
#ifndef CLEANROOM_REPORT_H
#define CLEANROOM_REPORT_H

#include <cleanroom/outcome.h>
#include <cleanroom/tempdir.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Where a resource comes from. */
typedef enum pnx_origin {
    PNX_ORIGIN_MADE,  /**< the session made it: its directory, its cgroup, the command's process */
    PNX_ORIGIN_FOUND, /**< the command left it behind */
} pnx_origin;

/** "made", "found". */
PNX_API const char *pnx_origin_name(pnx_origin origin);

/** One resource. The texts belong to the report, and may hold any bytes. */
typedef struct pnx_session_resource {
    const char *kind; /**< "process", "file", "tempdir", "cgroup" */
    const char *type; /**< of a file: "regular", "directory", "symlink", "fifo", "socket", "device";
                            else NULL */
    char *id;         /**< by which it was recognised: "pid:start time", "device:inode", a path */
    char *name;       /**< of a process its arguments, of a file its path in TMPDIR */
    char *detail;     /**< for people; may be empty */
    int64_t owner;    /**< user id; -1: not known */
    pnx_origin origin;
    pnx_priority priority; /**< with which it was removed */
    int64_t created;       /**< nanoseconds since 1970; 0: not known */
    int64_t removed;       /**< likewise, when it was seen to be gone; 0: it was not */
    pnx_outcome outcome;
} pnx_session_resource;

/** The report of a session. A value with memory: end it by pnx_session_report_done. */
typedef struct pnx_session_report {
    pnx_id session;
    char *name;
    unsigned tier;         /**< 1: by cgroup; 0: by subreaper and cookie */
    char tier_reason[224]; /**< why the tier is not higher; may be empty */
    char **command;        /**< NULL-terminated; NULL: nothing was run */
    int64_t started;       /**< nanoseconds since 1970 */
    pnx_duration duration; /**< of the command */
    pnx_duration cleanup;  /**< of the clean-up after it */
    int exit_code;         /**< -1: it did not exit by itself */
    int exit_signal;       /**< that ended it, or 0 */
    bool timed_out;
    size_t resource_count;
    pnx_session_resource *resources; /**< what was made, then the processes, then the files */
    pnx_tree_totals files;           /**< found in TMPDIR, listed above or not */
    uint64_t processes;              /**< found, likewise */
    uint64_t processes_stuck;        /**< of these: still there */
    uint64_t leftovers;              /**< found in all */
    uint64_t unremoved;              /**< made or found, and still there */
    uint64_t unlisted;               /**< found, but not listed: too many, or no memory */
} pnx_session_report;

/** Frees what the report holds; it may be zeroed or done already. */
PNX_API void pnx_session_report_done(pnx_session_report *report);

/**
 * For people: what was run and how it ended, what it left behind, what became of that. One line
 * when there is nothing to tell. No byte of a name reaches the terminal as a control character.
 * PNX_EFAILED: the stream failed.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_session_report_write_text(const pnx_session_report *report,
                                                                FILE *out, pnx_error *err);
/** One JSON object; keys in docs/cleanroom-run.md. Always valid UTF-8. PNX_EFAILED (stream). */
PNX_MUST_CHECK PNX_API pnx_status pnx_session_report_write_json(const pnx_session_report *report,
                                                                FILE *out, pnx_error *err);

#ifdef __cplusplus
}
#endif

#endif
