/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <cleanroom/reaper.h>

#include <string.h>

/* Where a session puts its end of the socket; see src/cleanroom/session/reaper_link.c. */
#define CONTROL_FD 3

/* Not for people: `cleanroom reaper ID [track]` is what a session starts for itself. */
int cli_reaper(int argc, char **argv)
{
    if (argc < 2) {
        complain("'cleanroom reaper' is started by 'cleanroom run'; see 'cleanroom reap'");
        return EXIT_CLEANROOM;
    }
    return pnx_reaper_main(argv[1], CONTROL_FD, argc > 2 && strcmp(argv[2], "track") == 0);
}
