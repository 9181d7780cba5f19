/* SPDX-License-Identifier: MIT */
/* `cleanroom NAME` is the program cleanroom-NAME where NAME needs libraries that would make all
 * the other sub-commands start later. */
#include "cli.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is a helper when all is installed: its absence is told as such. */
static const char *const helpers[] = {"report", "each", "config", "completion"};

static bool is_helper(const char *name)
{
    for (size_t i = 0; i < sizeof helpers / sizeof *helpers; i++)
        if (strcmp(helpers[i], name) == 0)
            return true;
    return false;
}

/* No name can lead out of the directories that are searched. */
static bool is_name(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return length > 0 && length < 64 && name[length] == '\0' && name[0] != '-';
}

/* Returns only if it cannot be executed: false if it is not there, else errno says why. */
static bool execute(const char *dir, const char *below, const char *name, char **argv)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s%s/cleanroom-%s", dir, below, name);
    if (length < 0 || (size_t)length >= sizeof path) {
        errno = ENAMETOOLONG;
        return true;
    }
    argv[0] = path;
    (void)execv(path, argv);
    argv[0] = (char *)name;
    return errno != ENOENT && errno != ENOTDIR;
}

/* The directory of this very program, wherever it was called from. */
static bool own_directory(char *buffer, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", buffer, size - 1);
    if (length <= 0)
        return false;
    buffer[length] = '\0';
    char *slash = strrchr(buffer, '/');
    if (!slash)
        return false;
    *slash = '\0';
    return true;
}

/* A helper that runs us again is told where we are. */
static void tell_who_we_are(void)
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length <= 0)
        return;
    self[length] = '\0';
    (void)setenv("CLEANROOM_SELF", self, 1);
}

bool cli_helper(int argc, char **argv)
{
    const char *name = argc > 0 ? argv[0] : "";
    if (!is_name(name))
        return false;
    char own[PATH_MAX] = "";
    tell_who_we_are();
    const char *chosen = getenv("CLEANROOM_LIBEXEC");
    bool there = chosen && *chosen && execute(chosen, "", name, argv);
    if (!there && own_directory(own, sizeof own))
        there = execute(own, "", name, argv) || execute(own, "/../libexec/cleanroom", name, argv);
    if (there)
        complain("cannot execute cleanroom-%s: %m", name);
    else if (is_helper(name))
        complain("'%s' is not installed: there is no cleanroom-%s beside %s/cleanroom, nor in "
                 "%s/../libexec/cleanroom, nor in $CLEANROOM_LIBEXEC",
                 name, name, own, own);
    return there || is_helper(name);
}
