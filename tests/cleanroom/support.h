/* SPDX-License-Identifier: MIT */
/** @file support.h  What the tests of libcleanroom share. */
#ifndef TESTS_CLEANROOM_SUPPORT_H
#define TESTS_CLEANROOM_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cleanroom/cleanroom.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/** Fails with the text of the error unless `status` is PNX_OK. */
#define assert_ok(status, err)                                                                     \
    do {                                                                                           \
        pnx_status status_ = (status);                                                             \
        if (status_ != PNX_OK) {                                                                   \
            char text_[512];                                                                       \
            pnx_error_format((err), text_, sizeof text_);                                          \
            fail_msg("%s: %s", pnx_status_name(status_), text_);                                   \
        }                                                                                          \
    } while (0)

/** For waits that only end early when a test fails. */
static inline pnx_time in_seconds(int seconds)
{
    return pnx_time_after(pnx_monotonic_now(), PNX_S(seconds));
}

static inline bool is_root(void)
{
    return geteuid() == 0;
}

static inline bool exists(const char *path)
{
    struct stat about;
    return lstat(path, &about) == 0;
}

/**
 * Sessions have their ledgers in a directory of the test's own, which has to be empty in the end:
 * to be called by main, and again by a child that became another user.
 */
static inline void use_own_state(void)
{
    static char path[] = "/tmp/cleanroom-state-XXXXXX";
    memcpy(path + sizeof path - sizeof "XXXXXX", "XXXXXX", sizeof "XXXXXX");
    if (!mkdtemp(path) || setenv("CLEANROOM_STATE_DIR", path, 1) != 0)
        abort();
}

static inline void remove_files_in(int dir_fd)
{
    DIR *dir = fdopendir(dir_fd);
    struct dirent *entry;
    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            unlinkat(dir_fd, entry->d_name, 0);
    if (dir)
        closedir(dir);
}

/** Nothing of a session may be left, once its reaper is done; reports are. False: something is. */
static inline bool drop_own_state(void)
{
    const char *path = getenv("CLEANROOM_STATE_DIR");
    if (!path)
        abort();
    int state = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    pnx_time deadline = in_seconds(20);
    bool clean = false;
    while (!clean && pnx_monotonic_now() < deadline) { /* nobody tells when a reaper is done */
        clean = unlinkat(state, "sessions", AT_REMOVEDIR) == 0 || errno == ENOENT;
        struct timespec moment = {.tv_nsec = 2000000};
        if (!clean)
            nanosleep(&moment, NULL);
    }
    int reports = openat(state, "reports", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (reports >= 0)
        remove_files_in(reports);
    unlinkat(state, "reports", AT_REMOVEDIR);
    close(state);
    return rmdir(path) == 0 && clean;
}

/** Without directories that this user may not enter: there, no command is found to be missing. */
static inline void use_plain_path(void)
{
    setenv("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", 1);
}

/** "DIR/NAME" in one of a few static buffers. */
static inline const char *in(const char *dir, const char *name)
{
    static char paths[8][8192];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static inline void write_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(putc('x', file), 'x');
    assert_int_equal(fclose(file), 0);
}

/** A directory that the test removes itself when it is empty again: nothing may be left in it. */
static inline int make_place(void **state)
{
    char template[] = "/tmp/cleanroom-test-XXXXXX";
    assert_non_null(mkdtemp(template));
    *state = strdup(template);
    return 0;
}

static inline int drop_place(void **state)
{
    int failed = rmdir(*state);
    if (failed)
        fprintf(stderr, "# %s is not empty\n", (char *)*state);
    free(*state);
    return failed;
}

/** Runs the rest of the test's work in a child; true in the child, which ends by _exit. */
static inline int status_of_child(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#endif
