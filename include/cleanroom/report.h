/* SPDX-License-Identifier: MIT */
/**
 * @file report.h
 * What a session had and found, and what became of it: a value, and how it is written out.
 *
 * A session fills it in by pnx_session_report_add and pnx_session_report_count, which keep the
 * counters; then it is written as text, JSON, JUnit XML or HTML, alone or with others.
 *
 * Threads: functions of their arguments; one report belongs to one thread at a time.
 */
#ifndef CLEANROOM_REPORT_H
#define CLEANROOM_REPORT_H

#include <cleanroom/limits.h>
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

/** One resource. The texts belong to the report, and may hold any bytes; NULL counts as "". */
typedef struct pnx_session_resource {
    const char *kind; /**< "process", "file", "tempdir", "cgroup", "shm", "mount", "container", …:
                            a constant, or from pnx_session_report_text */
    const char *type; /**< what sort within the kind, of a file "regular", "directory", "symlink",
                            "fifo", "socket", "device"; or NULL. As `kind` */
    char *id;         /**< by which it was recognised: "pid:start time", "device:inode", a path */
    char *name;       /**< of a process its arguments, of a file its path: relative in TMPDIR */
    char *detail;     /**< for people; may be empty */
    int64_t owner;    /**< user id; -1: not known */
    pnx_origin origin;
    pnx_priority priority; /**< with which it was removed */
    int64_t created;       /**< nanoseconds since 1970; 0: not known */
    int64_t removed;       /**< likewise, when it was seen to be gone; 0: it was not */
    pnx_outcome outcome;
} pnx_session_resource;

/** What there was of one kind, listed or not. */
typedef struct pnx_session_total {
    const char *kind;
    uint64_t made[PNX_FATE_COUNT];
    uint64_t found[PNX_FATE_COUNT];
    uint64_t unlisted[PNX_FATE_COUNT]; /**< of all these: not in `resources` */
} pnx_session_total;

/** One undo hook that was run (--on-exit). */
typedef struct pnx_session_hook {
    char *command; /**< as the user wrote it */
    pnx_priority priority;
    int exit_code;   /**< -1: it did not exit by itself, or was not run */
    int exit_signal; /**< that ended it, or 0 */
    bool timed_out;
    pnx_duration duration;
    char *output; /**< the end of what it wrote, any bytes */
    char *reason; /**< why it could not be run; may be empty */
} pnx_session_hook;

/** One file that was saved before the removal (--artifacts), or could not be. */
typedef struct pnx_session_artifact {
    char *path;     /**< where it was, relative to TMPDIR or absolute */
    char *saved_as; /**< where it is now; empty: nowhere */
    uint64_t bytes;
    char *reason; /**< why it was not saved; empty: it was */
} pnx_session_artifact;

/** The report of a session. A value with memory: end it by pnx_session_report_done. */
typedef struct pnx_session_report {
    pnx_id session;
    char *name;
    unsigned job;          /**< which line of --each it is, from 1; 0: it stands alone */
    unsigned attempt;      /**< from 1 (--retries); 0 counts as 1 */
    unsigned tier;         /**< 3 … 0 */
    const char *tier_name; /**< "T1 (cgroup)", as `kind` of a resource; NULL: one is made up */
    char tier_reason[224]; /**< why the tier is not higher; may be empty */
    char **isolate;        /**< "tmp", "ipc", "pid", "mount", "net"; NULL-terminated, or NULL */
    char **command;        /**< NULL-terminated; NULL: nothing was run */
    int64_t started;       /**< nanoseconds since 1970 */
    pnx_duration duration; /**< of the command */
    pnx_duration cleanup;  /**< of the clean-up after it */
    int exit_code;         /**< -1: it did not exit by itself */
    int exit_signal;       /**< that ended it, or 0 */
    bool timed_out;
    bool supervisor_died;   /**< before the clean-up was done: somebody else did the rest */
    const char *cleaned_by; /**< "supervisor" (also when NULL), "reaper", "adopter" */

    /* What pnx_session_report_add and _count keep. */
    size_t resource_count, resource_max;
    pnx_session_resource *resources;
    size_t total_count, total_max;
    pnx_session_total *totals; /**< by kind, in no order */
    uint64_t leftovers;        /**< found, whatever became of them; foreign ones are not */
    uint64_t unremoved;        /**< leftovers and what was made, still there and not on purpose */
    uint64_t foreign;          /**< found, not provably the session's, not touched */
    uint64_t kept;             /**< kept on purpose, made or found */
    uint64_t unverified;       /**< leftovers that count as removed, but nobody looked again */
    uint64_t unlisted;         /**< counted, but not in `resources`: too many, or no memory */

    pnx_tree_totals files; /**< what was found in TMPDIR, by sort; counted above as kind "file" */
    size_t limit_count;
    pnx_limit_told limits[PNX_LIMIT_COUNT];
    size_t hook_count;
    pnx_session_hook *hooks; /**< in the order in which they ran */
    char *artifacts_dir;     /**< NULL: none were asked for */
    uint64_t artifacts_saved, artifacts_failed, artifacts_bytes; /**< in all */
    size_t artifact_count;
    pnx_session_artifact *artifacts; /**< not always all of them */
    char **warnings;                 /**< what the user should know; NULL-terminated, or NULL */

    size_t text_count;
    char **texts; /**< behind pnx_session_report_text */
} pnx_session_report;

/** Frees what the report holds; it may be zeroed or done already. */
PNX_API void pnx_session_report_done(pnx_session_report *report);

/**
 * Takes a resource over, texts and all, and counts it. It may be called with texts that are NULL
 * for want of memory. PNX_ENOMEM: it is counted, as well as that can be, but not listed.
 */
PNX_API pnx_status pnx_session_report_add(pnx_session_report *report,
                                          const pnx_session_resource *resource);
/**
 * Counts resources that are not listed; of the outcome, the fate and whether it was verified.
 * PNX_ENOMEM: they are in the counters, but not in the totals of their kind.
 */
PNX_API pnx_status pnx_session_report_count(pnx_session_report *report, const char *kind,
                                            pnx_origin origin, const pnx_outcome *outcome,
                                            uint64_t count);
/** The totals of a kind, or NULL: there was none. Valid until the next is added. */
PNX_API const pnx_session_total *pnx_session_report_total(const pnx_session_report *report,
                                                          const char *kind);
/** How many of a kind are among the leftovers. */
PNX_API uint64_t pnx_session_report_found(const pnx_session_report *report, const char *kind);
/** A copy of a text that lives as long as the report, equal texts once. NULL: no memory. */
PNX_API const char *pnx_session_report_text(pnx_session_report *report, const char *text);
/** Adds a warning. PNX_ENOMEM. */
PNX_API pnx_status pnx_session_report_warn(pnx_session_report *report, const char *format, ...)
    PNX_PRINTF(2, 3);

/** In which form a report is written. */
typedef enum pnx_report_format {
    PNX_REPORT_TEXT, /**< for terminals and logs */
    PNX_REPORT_JSON, /**< all there is to know; keys in docs/report.md, a schema beside it */
    PNX_REPORT_XML,  /**< JUnit XML, for CI systems */
    PNX_REPORT_HTML, /**< one file to look at, without scripts */
} pnx_report_format;

/** "text", "json", "xml", "html". Never NULL. */
PNX_API const char *pnx_report_format_name(pnx_report_format format);
/** By its name: "text" or "txt", "json", "xml" or "junit", "html". PNX_EINVAL names them all. */
PNX_MUST_CHECK PNX_API pnx_status pnx_report_format_named(const char *name, pnx_report_format *ret,
                                                          pnx_error *err);
/** By the end of a file's name: .txt, .json, .xml, .html, .htm. PNX_EINVAL names them all. */
PNX_MUST_CHECK PNX_API pnx_status pnx_report_format_of(const char *file, pnx_report_format *ret,
                                                       pnx_error *err);

/** How it is written. Zeroed, or NULL: the defaults. */
typedef struct pnx_report_options {
    bool fail_on_leftovers; /**< XML: leftovers are failures even if they could all be removed */
} pnx_report_options;

/**
 * Writes the report of one session, and flushes the stream. Whatever bytes are in names: text moves
 * no cursor, JSON and XML are well-formed UTF-8, HTML holds nothing but text. PNX_EFAILED: the
 * stream failed; PNX_EINVAL: there is no such format; PNX_ENOMEM.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_session_report_write(const pnx_session_report *report,
                                                           pnx_report_format format,
                                                           const pnx_report_options *options,
                                                           FILE *out, pnx_error *err);
/** The same for several in one: also for a single one, or none, the form is that of several. */
PNX_MUST_CHECK PNX_API pnx_status pnx_session_reports_write(const pnx_session_report *reports,
                                                            size_t count, pnx_report_format format,
                                                            const pnx_report_options *options,
                                                            FILE *out, pnx_error *err);

/**
 * For people: what was run and how it ended, what it left behind, what became of that. One line
 * when there is nothing to tell.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_session_report_write_text(const pnx_session_report *report,
                                                                FILE *out, pnx_error *err);
/** One JSON object; keys in docs/report.md. */
PNX_MUST_CHECK PNX_API pnx_status pnx_session_report_write_json(const pnx_session_report *report,
                                                                FILE *out, pnx_error *err);

#ifdef __cplusplus
}
#endif

#endif
