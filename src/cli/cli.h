/* SPDX-License-Identifier: MIT */
/** @file cli.h  What the sub-commands of the tool share. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <patinox/base.h>
#include <stdio.h>

/* How the tool exits when the command did not decide it; as env(1) and timeout(1) do. */
enum {
    EXIT_LEFTOVERS = 120, /* --fail-on-leftovers: some were found, all were removed */
    EXIT_UNREMOVED = 121, /* --fail-on-leftovers: some could not be removed */
    EXIT_TIMED_OUT = 124,
    EXIT_CLEANROOM = 125,  /* cleanroom itself failed */
    EXIT_CANNOT_RUN = 126, /* the command is there, but cannot be executed */
    EXIT_NOT_FOUND = 127,
    EXIT_SIGNAL = 128, /* plus the number of the signal that ended the command */
};

/** "cleanroom: …" on stderr, one line; `%m` is errno. */
void complain(const char *format, ...) PNX_PRINTF(1, 2);
/** The same for an error value, with its cause. */
void complain_of(const pnx_error *err);
/** About the option that getopt_long(3) has just refused by '?' or ':'. */
void complain_of_option(const char *command, int option, char **argv);

/** As a JSON string, always valid UTF-8. */
void print_json_string(FILE *out, const char *text);
/** For a terminal: no byte of it is a control character. */
void print_name(FILE *out, const char *text);
int64_t nanoseconds_since_1970(void);

struct pnx_process;
/** Starts to clean up after sessions that nobody watches any more, if there are any. */
bool begin_to_adopt(struct pnx_process *ret);
void end_adopting(struct pnx_process *process);

struct pnx_session_info;
/** A line about a session, and one for each thing it has. */
void print_session(const struct pnx_session_info *info);

/**
 * `argv[0]` is the name of a sub-command that is a program of its own, cleanroom-NAME: in
 * $CLEANROOM_LIBEXEC, else beside this program, else in ../libexec/cleanroom from there. Becomes
 * that program, with the arguments. Returns true if it is there, or should be, and cannot be
 * executed: that was told; false: there is no such sub-command.
 */
bool cli_helper(int argc, char **argv);

/** cleanroom doctor; likewise. */
int cli_doctor(int argc, char **argv);
/** cleanroom run; `argv[0]` is "run". Returns the exit status. */
int cli_run(int argc, char **argv);

int cli_ps(int argc, char **argv);
int cli_reap(int argc, char **argv);
/** cleanroom reaper, which a session starts for itself. */
int cli_reaper(int argc, char **argv);

#endif
