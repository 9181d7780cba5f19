/* SPDX-License-Identifier: MIT */
/** @file cli.h  What the sub-commands of the tool share. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <patinox/base.h>

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

/** cleanroom reaper, which a session starts for itself. */
int cli_reaper(int argc, char **argv);

#endif
