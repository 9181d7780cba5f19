/* SPDX-License-Identifier: MIT */
/** @file serve.h  cleanroom-docker serve: the proxy as a process. */
#ifndef CLEANROOM_PROXY_SERVE_H
#define CLEANROOM_PROXY_SERVE_H

#include <cleanroom/docker.h>

struct pnx__serve_options {
    const char *session;
    const char *ledger; /* NULL: nothing is written down */
    const char *host;   /* NULL: it is looked for */
    pnx_keep keep;
    bool strict;
};

/** How it exits, besides 0. */
enum { PNX__SERVE_USAGE = 64, PNX__SERVE_NO_ENGINE = 69, PNX__SERVE_FAILED = 70 };

/** Reads the command line; -1: go on, else how to exit. */
int pnx__serve_options_read(int argc, char **argv, struct pnx__serve_options *ret);
/** `argv[0]` is "serve". Returns the exit status. */
int pnx__docker_serve_main(int argc, char **argv);
/** "cleanroom-docker: …" on stderr, in one line. */
void pnx__docker_complain(const char *format, ...) PNX_PRINTF(1, 2);

#endif
