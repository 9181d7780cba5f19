/* SPDX-License-Identifier: MIT */
/*
 * A configuration file is read by cleanroom-config, which knows YAML and writes options, each ended
 * by NUL; without such a file, nothing of that is executed. What was given on the command line
 * comes after them, and wins.
 */
#include "cli.h"
#include "run_options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FOUND ".cleanroom.yaml"
/* All that the helper may say. */
#define SAID_MAX ((size_t)1 << 20)

static char *read_all(int fd, size_t *ret_size)
{
    char *text = malloc(SAID_MAX + 1);
    size_t size = 0;
    ssize_t got = 1;
    while (text && size < SAID_MAX && got > 0) {
        got = read(fd, text + size, SAID_MAX - size);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0)
            size += (size_t)got;
    }
    if (text)
        text[size] = '\0';
    *ret_size = size;
    return text;
}

static _Noreturn void become_reader(int to, const char *file, bool found)
{
    const char *argv[] = {"config", found ? "--found" : "--", file, NULL};
    if (dup2(to, 1) >= 0)
        (void)cli_helper(3, (char **)argv);
    _exit(EXIT_CLEANROOM);
}

/* NULL: it could not be read; that was told. */
static char *ask(const char *file, bool found, size_t *ret_size)
{
    int ends[2], status = 0;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        complain("cannot read '%s': %m", file);
        return NULL;
    }
    pid_t pid = fork();
    if (pid == 0)
        become_reader(ends[1], file, found);
    close(ends[1]);
    char *text = pid > 0 ? read_all(ends[0], ret_size) : NULL;
    close(ends[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (text && status == 0)
        return text;
    if (pid < 0 || (!text && status == 0) || WIFSIGNALED(status))
        complain("cannot read '%s'", file);
    free(text);
    return NULL;
}

/* run, what the file says, what was given, and the command of either. `text` lives on in it. */
static bool merge(int *argc, char ***argv, char *text, size_t size,
                  const struct run_outline *outline)
{
    size_t words = (size_t)*argc + 3, count = 0;
    for (size_t i = 0; i < size; i++)
        words += text[i] == '\0';
    char **merged = calloc(words, sizeof *merged);
    if (!merged) {
        complain("no memory for the options");
        return false;
    }
    char *end = text + size, *at = text;
    merged[count++] = (*argv)[0];
    for (; at < end && strcmp(at, "--") != 0; at += strlen(at) + 1)
        if (!outline->limit || strncmp(at, "--limit=", 8) != 0) /* one list of limits counts */
            merged[count++] = at;
    bool commanded = outline->command < *argc || outline->each;
    int given = outline->command;
    for (int i = 1; i < given; i++)
        if (i != given - 1 || strcmp((*argv)[i], "--") != 0)
            merged[count++] = (*argv)[i];
    merged[count++] = (char *)"--";
    for (int i = given; i < *argc; i++)
        merged[count++] = (*argv)[i];
    for (at += strlen(at) + 1; !commanded && at < end; at += strlen(at) + 1)
        merged[count++] = at;
    *argc = (int)count;
    *argv = merged;
    return true;
}

bool add_configuration(int *argc, char ***argv, struct run_options *ret, int *ret_status)
{
    struct run_outline outline;
    size_t size;
    *ret_status = EXIT_CLEANROOM;
    outline_run_options(*argc, *argv, &outline);
    bool found = !outline.config;
    if (outline.no_config || outline.help || (found && access(FOUND, F_OK) != 0))
        return true;
    char *text = ask(found ? FOUND : outline.config, found, &size);
    ret->said = text;
    if (!text || !merge(argc, argv, text, size, &outline))
        return false;
    ret->merged = *argv;
    return true;
}
