/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <getopt.h>
#include <stdio.h>

void complain(const char *format, ...)
{
    pnx_error err = {0};
    va_list args;
    va_start(args, format);
    (void)pnx_fail_va(&err, PNX_EFAILED, format, args);
    va_end(args);
    complain_of(&err);
}

void complain_of(const pnx_error *err)
{
    char text[PNX_ERROR_MESSAGE_MAX + PNX_ERROR_CAUSE_MAX + 4];
    pnx_error_format(err, text, sizeof text);
    fprintf(stderr, "cleanroom: %s\n", text);
}

void complain_of_option(const char *command, int option, char **argv)
{
    const char *which = argv[optind - 1];
    if (option == ':')
        complain("option '%s' needs a value; see 'cleanroom %s --help'", which, command);
    else
        complain("no such option: '%s'; see 'cleanroom %s --help'", which, command);
}
