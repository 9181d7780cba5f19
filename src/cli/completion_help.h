/* SPDX-License-Identifier: MIT */
/** @file completion_help.h  The sub-commands and their options, as their own --help tells them. */
#ifndef CLI_COMPLETION_HELP_H
#define CLI_COMPLETION_HELP_H

#include <stdbool.h>
#include <stddef.h>

#define HELP_COMMANDS_MAX 32
#define HELP_OPTIONS_MAX 64

/** The texts are plain ASCII without quotes, brackets, backslashes and colons. */
struct help_option {
    char name[32];  /* without dashes */
    char letter;    /* of a short form, or '\0' */
    char value[16]; /* "FILE", "DIR", "N", …; "" if it takes none */
    char about[96];
};

struct help_command {
    char name[32];
    char about[96];
    size_t option_count;
    struct help_option options[HELP_OPTIONS_MAX];
};

struct help {
    size_t count;
    struct help_command commands[HELP_COMMANDS_MAX];
};

/** Asks the program `tool`. False: it did not answer. */
bool help_read(const char *tool, struct help *ret);

#endif
