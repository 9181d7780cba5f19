/* SPDX-License-Identifier: MIT */
#include "proxy/serve.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "usage: cleanroom-docker serve --session UUID [--ledger FILE] [--scope warn|strict]\n"
    "                              [--keep never|on-failure|always] [--host HOST]\n"
    "\n"
    "Labels what clients make in a container engine. Descriptor 3 is the socket on which it\n"
    "listens; it ends when descriptor 0 ends, and tells on descriptor 1.\n";

enum { SESSION = 1, LEDGER, SCOPE, KEEP, HOST };

static const struct option options[] = {
    {"session", required_argument, NULL, SESSION},
    {"ledger", required_argument, NULL, LEDGER},
    {"scope", required_argument, NULL, SCOPE},
    {"keep", required_argument, NULL, KEEP},
    {"host", required_argument, NULL, HOST},
    {"help", no_argument, NULL, 'h'},
    {0},
};

void pnx__docker_complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("cleanroom-docker: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

static bool read_keep(const char *text, pnx_keep *ret)
{
    for (int keep = PNX_KEEP_NEVER; keep <= PNX_KEEP_ALWAYS; keep++) {
        if (strcmp(text, pnx_keep_name((pnx_keep)keep)) == 0) {
            *ret = (pnx_keep)keep;
            return true;
        }
    }
    pnx__docker_complain("--keep is never, on-failure or always, not '%s'", text);
    return false;
}

static bool read_scope(const char *text, bool *ret)
{
    *ret = strcmp(text, "strict") == 0;
    if (*ret || strcmp(text, "warn") == 0)
        return true;
    pnx__docker_complain("--scope is warn or strict, not '%s'", text);
    return false;
}

static bool read_session(const char *text, const char **ret)
{
    pnx_error err = {0};
    pnx_id id;
    *ret = text;
    if (pnx_id_parse(text, &id, &err) == PNX_OK)
        return true;
    pnx__docker_complain("--session is a UUID: %s", err.message);
    return false;
}

static bool read_option(int option, struct pnx__serve_options *ret)
{
    switch (option) {
    case SESSION:
        return read_session(optarg, &ret->session);
    case LEDGER:
        ret->ledger = optarg;
        return true;
    case SCOPE:
        return read_scope(optarg, &ret->strict);
    case KEEP:
        return read_keep(optarg, &ret->keep);
    case HOST:
        ret->host = optarg;
        return true;
    default:
        fputs(usage, stderr);
        return false;
    }
}

int pnx__serve_options_read(int argc, char **argv, struct pnx__serve_options *ret)
{
    *ret = (struct pnx__serve_options){0};
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (option == 'h') {
            fputs(usage, stdout);
            return 0;
        }
        if (!read_option(option, ret))
            return PNX__SERVE_USAGE;
    }
    if (ret->session && optind == argc)
        return -1;
    fputs(usage, stderr);
    return PNX__SERVE_USAGE;
}
