/* SPDX-License-Identifier: MIT */
/** @file session.h  What the files of this room share. */
#ifndef CLEANROOM_SESSION_INTERNAL_H
#define CLEANROOM_SESSION_INTERNAL_H

#include <cleanroom/session.h>

#include "kind/process_set.h"
#include "ledger/ledger.h"
#include "session/before.h"
#include "session/companion.h"
#include "session/engine.h"
#include "session/reaper_link.h"
#include "session/services.h"
#include "session/watch.h"
#include "track/evidence.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

/** The file in a session's directory that its reaper writes evidence to. */
#define PNX__SESSION_EVIDENCE "evidence"

/** A note in the ledger: its owner has closed the session, but could not remove all. */
#define PNX__NOTE_GIVEN_UP "given-up"
/** How many have taken it over so far; after the last one nobody tries again. */
#define PNX__NOTE_ADOPTION "adoption"
#define PNX__ADOPTIONS_MAX 3u

/** From here on the variables are those that lead to an engine. */
#define PNX__VARIABLES_OF_ENGINE 4

/** So many things that a user should know are told one by one. */
#define PNX__WARNINGS_MAX 16

/** The mount namespace in which the session was opened. */
#define PNX__NOTE_MOUNTS "mounts"
#define PNX__MOUNTS_ID_SIZE 40

/** Something that is neither a process nor in the session's directory. */
struct pnx__session_thing {
    const pnx_thing_kind *kind;
    char *name, *identity, *type, *detail; /* type and detail may be NULL */
    int64_t owner, created, removed;       /* nanoseconds since 1970 */
    uint64_t bytes;
    uint32_t resource; /* its number in the ledger; 0: it has none */
    unsigned order;    /* when it goes; that of its kind, with few exceptions */
    pnx_origin origin;
    bool ours;     /* that is proved */
    bool hangs;    /* its removal has not come to an end */
    bool intended; /* it may never have been made: the identity is not known */
    pnx_outcome outcome;
};

/** What became of the files that were to be saved (artifacts.c). */
struct pnx__artifacts {
    char *dir; /* NULL: none were to be */
    uint64_t saved, failed, bytes;
    size_t count;
    pnx_session_artifact *rows;
};

struct pnx_session {
    pnx_session_config config; /* complete: no zero means a default any more */
    pnx_id id;
    char label[sizeof "cleanroom-" + PNX_ID_TEXT_SIZE]; /* of the directory and the cgroup */
    pid_t owner; /* the process that opened it: not a fork child of that */
    pnx_registry *registry;
    bool was_subreaper;
    unsigned tier;
    bool adopted;        /* whoever opened it is dead: we clean up in its place */
    bool other_mounts;   /* from another mount namespace: what is mounted here was never its */
    unsigned adoption;   /* which one, from 1; 0: it is our own */
    const char *adopter; /* "reaper", "adopter": who we are then */

    /* What survives us (record.c). */
    int state_fd, record_fd; /* the state directory; the session's directory in it */
    bool recorded;           /* that one exists */
    char state_path[PATH_MAX];
    pnx__ledger *ledger;
    struct pnx__reaper_link reaper;
    struct pnx__before before;
    struct pnx__watch watch;
    uint64_t outside_unlisted; /* files outside that are counted but not listed */
    struct pnx__evidence evidence;
    uint32_t dir_resource, cgroup_resource;
    char warning[224]; /* what the user should know; may be empty */
    char *warnings[PNX__WARNINGS_MAX];
    size_t warning_count, warnings_untold;
    struct pnx__companion *companions;
    struct pnx__engine engine;
    struct pnx__services *services; /* NULL: none */

    /* Things (things.c, sweep.c). Users of the library make some from threads of their own. */
    pthread_mutex_t things_lock;
    struct pnx__session_thing *things;
    size_t thing_count, thing_room;
    uint64_t things_unlisted;
    unsigned swept; /* orders up to this one have been removed */

    /* What it made. The guards hold these; the pointers are for looking at them. */
    pnx_tempdir *dir;
    tempdir_guard dir_guard;
    pnx_outcome dir_outcome;
    char *dir_path;
    bool kept; /* the directory, and all things */
    char dir_identity[64];
    pnx_cgroup *cgroup; /* NULL at tier 0 */
    cgroup_guard cgroup_guard;
    pnx_outcome cgroup_outcome;
    char *cgroup_path;
    pnx_limiter *limiter; /* NULL: no limits */
    limiter_guard limiter_guard;
    pnx_outcome limiter_outcome;
    pnx_limit_told limits_told[PNX_LIMIT_COUNT];
    size_t limits_told_count;
    char tier_reason[224];
    struct pnx__process_set set;
    processes_guard set_guard;
    /* What the command's environment is given; [0] is the cookie. NULL-terminated. */
    char *variables[PNX__VARIABLES_OF_ENGINE + 4];

    /* The run. */
    char **command;
    int64_t started; /* nanoseconds since 1970 */
    pnx_duration duration;
    int status;                     /* as of waitpid(2) */
    bool ran, timed_out, collected; /* collected: `status` is known */

    /* Signals: the handler writes, the thread that waits for something reads. */
    int signals[2];
    _Atomic bool child_told; /* a SIGCHLD is in the pipe: the next ones need no room in it */
    unsigned interrupts;
    bool stop_asked; /* somebody wants us to stop, when the command does */

    bool closed;
    /* Relaxed: whoever looks wants a constant text, and nothing behind it. */
    const char *_Atomic step;
    /* Releases that do not end: what they write to is not looked at any more. */
    bool set_hangs, dir_hangs, cgroup_hangs, limiter_hangs;

    /* Hooks that were run, and files that were saved, on their way to the report. */
    pnx_session_hook *hooks;
    size_t hook_count;
    char *artifacts;  /* an absolute path; NULL: nothing is saved */
    int artifacts_fd; /* of the directory in it that is the session's; 0: there is none so far */
    char **save;      /* NULL: everything */
    struct pnx__artifacts artifacts_told;

    /* What was found in the directory. */
    pnx_tree_totals files;
    pnx_tree_totals isolation; /* of these: what the private /tmp itself consists of */
    pnx_session_resource *rows;
    size_t row_count, row_max;
    uint64_t rows_unlisted;
};

/* run.c */
/**
 * Waits once until `fd` (-1: none) is readable, or until something else happened, and serves that:
 * signals, the reaper, companions. False: `deadline` came first.
 */
bool pnx__session_serve(pnx_session *session, int fd, pnx_time deadline, bool *ret_ready);
/** The caller's, of strdup each; where memory ran out, NULL or shorter. */
char **pnx__session_copy_list(const char *const *list);

/* signals.c */
bool pnx__session_open_signals(pnx_session *session, pnx_error *err);
/** Reads and handles what came. True: enough came that nobody should wait out of politeness. */
bool pnx__session_take_signals(void *session);

/* job_control.c */
/**
 * If the command is stopped, stops too, so that the shell takes notice; returns when we go on.
 * `asked`: we got the signal to.
 */
void pnx__session_stop_with_command(pnx_session *session, bool asked);

/* found_files.c */
/** Lets the directory's removal write down what it finds. */
void pnx__session_watch_dir(pnx_session *session);
void pnx__session_forget_files(pnx_session *session);
/** The directory where the command has its files: in the file system that limits them, or ours. The
 *  caller closes it; -1 and errno. */
int pnx__session_open_files(const pnx_session *session);
/** Removes, and so lists, what is in the file system that limited the command's files. */
void pnx__session_empty_disk(pnx_session *session, pnx_time deadline);
/** "regular", "directory", …: the type of a file in reports. */
const char *pnx__session_type_of(uint32_t mode);

/* record.c */
/** What tells the mount namespace that we are in from all others there are; empty: not known. */
void pnx__session_mounts_id(char ret[PNX__MOUNTS_ID_SIZE]);
/** Opens the state directory and makes the session's ledger. */
PNX_MUST_CHECK pnx_status pnx__session_record(pnx_session *session, pnx_error *err);
/** The session is over: nothing is to be known of it any more. */
void pnx__session_unrecord(pnx_session *session);
PNX_MUST_CHECK pnx_status pnx__session_note_command(pnx_session *session, pnx_error *err);
PNX_MUST_CHECK pnx_status pnx__session_note_number(pnx_session *session, const char *key,
                                                   int64_t value, pnx_error *err);
/** Writes that `path` will be made in `place`; on disk before this returns, if it may outlive us
 *  there. Without a ledger it does nothing. */
PNX_MUST_CHECK pnx_status pnx__session_intend_path(pnx_session *session, uint16_t code,
                                                   const char *place, const char *path,
                                                   uint32_t *ret, pnx_error *err);
PNX_MUST_CHECK pnx_status pnx__session_bind(pnx_session *session, uint32_t resource,
                                            const char *identity, pnx_error *err);
/** Writes that it is gone, if it was seen to be. */
void pnx__session_gone(pnx_session *session, uint32_t resource, const pnx_outcome *outcome);
/** Words as one text, a line each, and back. NULL: no memory. The caller frees. */
char *pnx__words_encode(const char *const *words);
char **pnx__words_decode(const char *text);

/* things.c */
struct pnx__session_thing *pnx__session_add_thing(pnx_session *session, const pnx_thing_kind *kind,
                                                  const char *name, const char *identity);
void pnx__session_drop_thing(pnx_session *session, struct pnx__session_thing *last);
void pnx__session_forget_things(pnx_session *session);
/** Did this process belong to the command, as far as was tracked? For the process set. */
bool pnx__session_remembers(void *session, pid_t pid);
/** Visits all that belonged; false: not all were tracked, or there were too many to be visited. */
bool pnx__session_each_remembered(void *session, void (*visit)(pid_t pid, void *context),
                                  void *context);
void pnx__session_judge_intents(pnx_session *session);
/** Lists what is new, and judges whose it is. */
void pnx__session_find_things(pnx_session *session);

/* sockets.c */
/** Lists the sockets of those processes that are left; before they are ended. */
void pnx__session_find_sockets(pnx_session *session);

/* found_outside.c */
/** Lists what is new where files are watched. */
void pnx__session_find_outside(pnx_session *session);
/** Removes the directory of named network namespaces, if the command made it: after those. */
void pnx__session_remove_netns_dir(pnx_session *session);

/* sweep.c */
/** Removes the session's things of the orders up to `last`. False: one of them is still there. */
bool pnx__session_sweep(pnx_session *session, unsigned last, pnx_time deadline);
/** At the end: what could not be removed before may be gone by now. False: something is not. */
bool pnx__session_look_again(pnx_session *session);

/* hooks.c */
/** Writes the hooks down. */
PNX_MUST_CHECK pnx_status pnx__session_note_hooks(pnx_session *session, pnx_error *err);
void pnx__session_run_hooks(pnx_session *session, pnx_time deadline);
void pnx__session_tell_hooks(pnx_session *session, pnx_session_report *report);

/* artifacts.c */
/** Makes sure that files can be saved, and writes down where. */
PNX_MUST_CHECK pnx_status pnx__session_note_artifacts(pnx_session *session, pnx_error *err);
/** Takes that from the ledger's notes, which may be NULL. */
void pnx__session_recall_artifacts(pnx_session *session, const char *dir, const char *save);
void pnx__session_save_artifacts(pnx_session *session, pnx_time deadline);
void pnx__session_tell_artifacts(pnx_session *session, pnx_session_report *report);
void pnx__session_forget_artifacts(pnx_session *session);
/** The directory that files are saved in, made when it is first asked for; NULL: none are saved. */
const char *pnx__session_artifacts_place(pnx_session *session);
/** A file that somebody else has saved there, or has not for a `reason`. */
void pnx__session_add_artifact(pnx_session *session, const char *name, uint64_t bytes,
                               const char *reason);

/* close.c */
/** Frees all that an open session has; for one whose opening failed, too. */
void pnx__session_free_all(pnx_session *session);

/* open.c */
/** Memory for a session, and defaults for what the configuration leaves open. */
PNX_MUST_CHECK pnx_status pnx__session_new(const pnx_session_config *config, pnx_session **ret,
                                           pnx_error *err);
PNX_MUST_CHECK pnx_status pnx__session_make_registry(pnx_session *session, pnx_error *err);
/** What marks the command's processes, in their environment. */
PNX_MUST_CHECK pnx_status pnx__session_make_cookie(pnx_session *session, pnx_error *err);
void pnx__session_set_label(pnx_session *session);

/* reaping.c */
/** The tool, which is executed as the reaper, and beside which its helpers are. */
const char *pnx__session_tool(const pnx_session *session);
/** Has a reaper watch over the session, again if the one before died. */
PNX_MUST_CHECK pnx_status pnx__session_start_reaper(pnx_session *session, pnx_error *err);
PNX_MUST_CHECK pnx_status pnx__session_await_reaper(pnx_session *session, pnx_error *err);
/** The reaper died: tells, and starts another. */
void pnx__session_replace_reaper(pnx_session *session);
/** Learns what happened until now from the evidence. */
void pnx__session_learn(pnx_session *session);

/* adopt.c */
/**
 * Takes over a session whose owner is dead; the caller holds the lock that elects one cleaner and
 * gives `record_fd` and a copy of `state_fd` away. What comes next is pnx_session_close, which
 * cleans up as for a session of one's own.
 */
PNX_MUST_CHECK pnx_status pnx__session_adopt(int state_fd, int record_fd,
                                             const struct pnx__ledger_view *view, pnx_session **ret,
                                             pnx_error *err);

/* account.c */
/** Fills in the report of a session that was cleaned up. PNX_ENOMEM: rows are missing. */
void pnx__session_account(pnx_session *session, pnx_session_report *ret);
/** Adds a row, and takes its texts over. */
void pnx__session_report_row(pnx_session_report *report, pnx_session_resource row);
/** Something that the user should know; it is in the report. */
void pnx__session_warn(pnx_session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** Keeps the report for `cleanroom report`. */
void pnx__session_keep_report(pnx_session *session, const pnx_session_report *report);

int64_t pnx__now_since_1970(void);

#endif
