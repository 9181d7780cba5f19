/* SPDX-License-Identifier: MIT */
/* cleanroom-docker: what `cleanroom` needs of container engines, in a program of its own, so that
 * the tool itself loads no libcurl. */
#include "proxy/serve.h"
#include "proxy/sweep.h"

#include <stdio.h>
#include <string.h>

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"serve", pnx__docker_serve_main},
    {"sweep", pnx__docker_sweep_main},
    {"places", pnx__docker_places_main},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fputs("usage: cleanroom-docker COMMAND …, of which 'cleanroom run' makes use:", stderr);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(stderr, " %s", commands[i].name);
    fputc('\n', stderr);
    return PNX__SERVE_USAGE;
}
