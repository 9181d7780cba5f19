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

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
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
