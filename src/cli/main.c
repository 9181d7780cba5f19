/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "usage: cleanroom COMMAND [OPTION...] [ARGUMENT...]\n"
    "\n"
    "Runs programs so that nothing they leave behind stays.\n"
    "\n"
    "  cleanroom run [OPTION...] [--] CMD [ARG...]\n"
    "                       run CMD; find, remove and report what it leaves behind\n"
    "  cleanroom ps [OPTION...]\n"
    "                       list the sessions that there are, and what they have\n"
    "  cleanroom reap [OPTION...] [ID...|--all]\n"
    "                       clean up after sessions that nobody watches any more\n"
    "  cleanroom report [OPTION...] [ID...]\n"
    "                       show the report of a session again, in any form\n"
    "  cleanroom doctor [OPTION...]\n"
    "                       say what this machine allows, and what to change\n"
    "  cleanroom completion bash|zsh|fish\n"
    "                       write what a shell needs to complete command lines\n"
    "  cleanroom --help     this text; 'cleanroom run --help' for the options of run\n"
    "  cleanroom --version  the version\n";

/* A descriptor below 3 that the caller closed must not become one of ours: CMD would inherit a
 * hole, and our messages would go into a file. It stays closed for CMD. */
static void fill_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)open("/dev/null", O_RDWR | O_CLOEXEC);
}

int main(int argc, char **argv)
{
    fill_standard_descriptors();
    const char *command = argc > 1 ? argv[1] : "";
    if (strcmp(command, "run") == 0)
        return cli_run(argc - 1, argv + 1);
    if (strcmp(command, "doctor") == 0)
        return cli_doctor(argc - 1, argv + 1);
    if (strcmp(command, "ps") == 0)
        return cli_ps(argc - 1, argv + 1);
    if (strcmp(command, "reap") == 0)
        return cli_reap(argc - 1, argv + 1);
    if (strcmp(command, "reaper") == 0)
        return cli_reaper(argc - 1, argv + 1);
    if (strcmp(command, "--version") == 0 || strcmp(command, "version") == 0) {
        printf("cleanroom %s\n", pnx_version());
        return 0;
    }
    if (strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0 ||
        strcmp(command, "help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (cli_helper(argc - 1, argv + 1))
        return EXIT_CLEANROOM;
    if (*command)
        complain("no such command: '%s'; see 'cleanroom --help'", command);
    else
        fputs(usage, stderr);
    return EXIT_CLEANROOM;
}
