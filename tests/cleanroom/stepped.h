/* SPDX-License-Identifier: MIT */
/**
 * @file stepped.h
 * Runs a function in a child that is stopped before and after each of its system calls, so that it
 * can be killed there, or the world be changed under it.
 */
#ifndef TESTS_CLEANROOM_STEPPED_H
#define TESTS_CLEANROOM_STEPPED_H

#include "support.h"

#include <sys/ptrace.h>

enum stepped { STEPPED_TO_THE_END, STEPPED_INTO, STEPPED_REFUSED };

#define STEPPED_UNTRACED 77

static inline pid_t start_stepped(void (*body)(void *context), void *context)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(STEPPED_UNTRACED);
        raise(SIGSTOP);
        body(context);
        _exit(0);
    }
    return pid;
}

/**
 * Stops the child for the `stop`th time, from 1; calls `change` there, and lets it go on to its
 * end, or kills it there if `change` is NULL. STEPPED_TO_THE_END: it ended before that.
 */
static inline enum stepped run_stepped(void (*body)(void *context), void *context, unsigned stop,
                                       void (*change)(void *context))
{
    int status;
    pid_t pid = start_stepped(body, context);
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status))
        return STEPPED_REFUSED;
    assert_true(WIFSTOPPED(status));
    if (ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD) != 0) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        return STEPPED_REFUSED;
    }
    for (unsigned stops = 0; stops < stop;) {
        assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFSTOPPED(status)) {
            assert_true(WIFEXITED(status));
            assert_int_equal(WEXITSTATUS(status), 0);
            return STEPPED_TO_THE_END;
        }
        if (WSTOPSIG(status) == (SIGTRAP | 0x80))
            stops++;
    }
    if (change) {
        change(context);
        assert_int_equal(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
    } else {
        assert_int_equal(kill(pid, SIGKILL), 0);
    }
    do {
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFSTOPPED(status))
            ptrace(PTRACE_CONT, pid, NULL, NULL);
    } while (WIFSTOPPED(status));
    return STEPPED_INTO;
}

#endif
