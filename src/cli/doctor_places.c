/* SPDX-License-Identifier: MIT */
#include "doctor_places.h"

#include "cli.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Engines that hang are given up by cleanroom-docker itself, after some seconds. */

static _Noreturn void become_helper(int out)
{
    char *argv[] = {(char *)"docker", (char *)"places", (char *)"--plain", NULL};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (dup2(out, STDOUT_FILENO) >= 0 && dup2(null, STDERR_FILENO) >= 0 &&
        dup2(null, STDIN_FILENO) >= 0)
        (void)cli_helper(3, argv);
    _exit(127);
}

/* Source, host, taken, reason, engine, API, version: each ended by a tab, or with the line. */
enum { SOURCE, HOST, TAKEN, REASON, ENGINE, API, VERSION, FIELDS };

static bool split(char *line, char *ret[FIELDS])
{
    line[strcspn(line, "\n")] = '\0';
    for (int i = 0; i < FIELDS; i++)
        if (!(ret[i] = strsep(&line, "\t")))
            return false;
    return true;
}

/* A name of its own for each: "podman" alone is whether there is one at all. */
static void name_place(const char *source, char ret[96])
{
    bool whole =
        strchr(source, ' ') || strcmp(source, "DOCKER_HOST") == 0 || strcmp(source, "context") == 0;
    snprintf(ret, 96, "%.80s%s", source, whole ? "" : " socket");
}

static void add(struct engine_places *places, char *const fields[FIELDS])
{
    pnx_capability *row = &places->rows[places->count];
    char *name = places->names[places->count++];
    bool taken = strcmp(fields[TAKEN], "yes") == 0;
    name_place(fields[SOURCE], name);
    *row = (pnx_capability){.group = "engine places", .name = name, .gives = "", .ok = taken};
    if (taken)
        snprintf(row->detail, sizeof row->detail, "%.120s, %s %s, API %s", fields[HOST],
                 fields[ENGINE], fields[VERSION], fields[API]);
    else
        snprintf(row->detail, sizeof row->detail, "%.100s%s%.100s", fields[HOST],
                 *fields[HOST] && *fields[REASON] ? ": " : "", fields[REASON]);
    if (!row->detail[0])
        snprintf(row->detail, sizeof row->detail, "not looked at");
}

static void take_lines(FILE *in, struct engine_places *places)
{
    char *line = NULL, *fields[FIELDS];
    size_t room = 0;
    while (getline(&line, &room, in) > 0)
        if (places->count < PLACES_MAX && split(line, fields))
            add(places, fields);
    free(line);
}

void look_for_engines(struct engine_places *ret)
{
    int ends[2];
    ret->count = 0;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return;
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        become_helper(ends[1]);
    close(ends[1]);
    FILE *in = pid > 0 ? fdopen(ends[0], "r") : NULL;
    if (in) {
        take_lines(in, ret);
        (void)fclose(in);
    } else {
        close(ends[0]);
    }
    if (pid > 0)
        (void)waitpid(pid, NULL, 0);
}
