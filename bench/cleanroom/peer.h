/* SPDX-License-Identifier: MIT */
/**
 * @file peer.h
 * What a contender of the bench of `cleanroom run` can do, and what all of them need for it.
 */
#ifndef BENCH_CLEANROOM_PEER_H
#define BENCH_CLEANROOM_PEER_H

#include <stdint.h>
#include <sys/types.h>

/** Stands for the tool as the first of a contender's words. */
#define RUN_TOOL "cleanroom"

struct run_operations {
    /** The words that come before a command, NULL-terminated. NULL: cannot. */
    const char *const *words;
    /** The same where following every fork is not asked for. */
    const char *const *words_by_cgroup;
    /** The same, where the command ends when whoever runs it is killed. */
    const char *const *words_with_end;
    /** Cleans up after a supervisor that was killed, if nobody else has. NULL: no need to. */
    void (*clean_up)(void);
    /** Has run_leave(count) called in what holds it together; ns until all are seen to be gone. */
    uint64_t (*escape)(unsigned count);
    /** Makes a directory of so many files by run_fill, removes it; ns of the latter. */
    uint64_t (*remove_files)(int files);
    /** All that belongs to a session of THINGS things is killed; ns until all of it is removed. */
    uint64_t (*adopt)(void);
};

enum { FILES = 100000, MANY_FILES = 1000000, FILES_PER_DIRECTORY = 1000, THINGS = 100 };

struct bench_contender;
/** The main of a program of this bench; `contenders` ends with one without name. */
int run_main(int argc, char **argv, const struct bench_contender *contenders);

/** The tool that is measured: $CLEANROOM_TOOL, else the one of the same build. */
const char *run_tool(void);
/** This program; called as `PROGRAM --leave N` it does run_leave(N). */
const char *run_self(void);
/** A directory for all of this process, removed when it ends: state of sessions, TMPDIR. */
const char *run_place(void);
/**
 * Another one, for many files: in memory, because an ext4 without a journal takes half a minute to
 * make 100 000 files soon after as many were removed.
 */
const char *run_files_place(void);
/** Executes words and then more words. The child's pid; `out` becomes its stdout, unless -1. */
pid_t run_start(const char *const *words, const char *const *more, int out);
/** Waits for a child, and gives up if it failed. */
void run_wait(pid_t pid);
/** Leaves `count` processes behind, each a sleep(1) in a session of its own, all executed. */
void run_leave(unsigned count);
/** Makes empty files, FILES_PER_DIRECTORY in each directory. */
void run_fill(const char *directory, int files);

#endif
