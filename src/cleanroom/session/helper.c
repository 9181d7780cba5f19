/* SPDX-License-Identifier: MIT */
#include "session/helper.h"

#include "kind/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- starting -------------------------------------------------------------------------------- */

/* Copies above all targets: onto itself dup2(2) would leave one close-on-exec, and onto another
 * source it would overwrite that. */
static int lift(const int *fds, size_t count, int ret[PNX__HELPER_FDS])
{
    for (size_t i = 0; i < count; i++)
        ret[i] = -1;
    for (size_t i = 0; i < count; i++) {
        ret[i] = fds[i] >= 0 ? fcntl(fds[i], F_DUPFD_CLOEXEC, PNX__HELPER_FDS) : -1;
        if (fds[i] >= 0 && ret[i] < 0)
            return errno;
    }
    return 0;
}

static int add_descriptors(posix_spawn_file_actions_t *actions, const int *fds, size_t count)
{
    int failed = 0;
    for (size_t i = 0; i < count && !failed; i++)
        if (fds[i] >= 0)
            failed = posix_spawn_file_actions_adddup2(actions, fds[i], (int)i);
    for (size_t i = 0; i < PNX__HELPER_FDS - 1 && !failed; i++)
        if (i >= count || fds[i] < 0)
            failed = posix_spawn_file_actions_addopen(actions, (int)i, "/dev/null", O_RDWR, 0);
    int first = count < PNX__HELPER_FDS - 1 ? PNX__HELPER_FDS - 1 : (int)count;
    return failed ? failed : posix_spawn_file_actions_addclosefrom_np(actions, first);
}

static int spawn(const char *path, char *const *argv, char *const *environment, const int *fds,
                 size_t count, const char *directory, pid_t *ret)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return ENOMEM;
    posix_spawnattr_init(&attributes);
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    int failed = add_descriptors(&actions, fds, count);
    if (!failed && directory)
        failed = posix_spawn_file_actions_addchdir_np(&actions, directory);
    if (!failed)
        failed = posix_spawn(ret, path, &actions, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

int pnx__helper_spawn(const char *path, char *const *argv, char *const *environment, const int *fds,
                      size_t count, const char *directory, pid_t *ret)
{
    int lifted[PNX__HELPER_FDS];
    if (count > PNX__HELPER_FDS)
        return EINVAL;
    int failed = lift(fds, count, lifted);
    if (!failed)
        failed = spawn(path, argv, environment, lifted, count, directory, ret);
    for (size_t i = 0; i < count; i++)
        pnx__close(lifted[i]);
    return failed;
}

/* ---- finding --------------------------------------------------------------------------------- */

/* The directory of a program; of a link, of what it leads to. */
static bool directory_of(const char *program, char ret[PATH_MAX])
{
    if (!realpath(program, ret))
        return false;
    char *slash = strrchr(ret, '/');
    if (!slash)
        return false;
    *slash = '\0';
    return true;
}

static bool is_there(const char *dir, const char *below, const char *program, char *ret,
                     size_t size)
{
    return snprintf(ret, size, "%s%s/%s", dir, below, program) < (int)size &&
           access(ret, X_OK) == 0;
}

static bool is_beside(const char *tool, const char *program, char *ret, size_t size)
{
    char dir[PATH_MAX] = "";
    return directory_of(tool, dir) && (is_there(dir, "", program, ret, size) ||
                                       is_there(dir, "/../libexec/cleanroom", program, ret, size));
}

pnx_status pnx__helper_find(const char *tool, const char *program, char *ret, size_t size,
                            pnx_error *err)
{
    const char *chosen = getenv("CLEANROOM_LIBEXEC");
    if (chosen && *chosen && is_there(chosen, "", program, ret, size))
        return PNX_OK;
    if (is_beside(tool, program, ret, size) || is_beside("/proc/self/exe", program, ret, size))
        return PNX_OK;
    return pnx_fail(err, PNX_ENOTFOUND,
                    "there is no %s beside %.60s, nor in ../libexec/cleanroom from there, nor in "
                    "$CLEANROOM_LIBEXEC; is all of cleanroom installed?",
                    program, tool);
}
