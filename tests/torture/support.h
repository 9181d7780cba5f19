/* SPDX-License-Identifier: MIT */
/*
 * What the torture tests share: effort, deadlines, what the process holds, and children that are
 * this program again, started with the name of what they shall do.
 */
#ifndef TESTS_TORTURE_SUPPORT_H
#define TESTS_TORTURE_SUPPORT_H

#include "base/sys.h"

#include <dirent.h>
#include <fcntl.h>
#include <patinox/guard.h>
#include <patinox/registry.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
/* cmocka wants these before it. */
#include <cmocka.h>

/* Only for what should take microseconds: the machine may be busy, the sanitizers are slow. */
#define SOON PNX_S(30)

static inline unsigned long effort(unsigned long full)
{
    const char *text = getenv("PNX_TEST_EFFORT");
    const unsigned long per_cent = text != NULL && *text != '\0' ? strtoul(text, NULL, 10) : 100;
    const unsigned long some = full * per_cent / 100;
    return some != 0 ? some : 1;
}

static inline pnx_time soon(void)
{
    return pnx_monotonic_now() + SOON;
}

/* Waits for a condition of other threads; false: it did not come true. */
#define wait_for(condition)                                                                        \
    (__extension__({                                                                               \
        const pnx_time until__ = soon();                                                           \
        bool true__;                                                                               \
        while (!(true__ = (condition)) && pnx_monotonic_now() < until__)                           \
            sched_yield();                                                                         \
        true__;                                                                                    \
    }))

static inline unsigned count_entries(const char *directory)
{
    unsigned count = 0;
    DIR *entries = opendir(directory);
    while (entries != NULL && readdir(entries) != NULL)
        count++;
    if (entries != NULL)
        closedir(entries);
    return count;
}

static inline unsigned open_descriptors(void)
{
    return count_entries("/proc/self/fd");
}

static inline unsigned threads_now(void)
{
    return count_entries("/proc/self/task");
}

/* ---- children -------------------------------------------------------------------------------- */

/* In a child: the reason on stderr, and an exit status that no test expects. */
#define CHILD_BROKEN 99
#define child_check(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            dprintf(STDERR_FILENO, "child: %s:%d: %s\n", __FILE__, __LINE__, #condition);          \
            _exit(CHILD_BROKEN);                                                                   \
        }                                                                                          \
    } while (0)

#ifdef __SANITIZE_THREAD__
#define UNDER_TSAN 1
#else
#define UNDER_TSAN 0
#endif
#ifdef __SANITIZE_ADDRESS__
#define UNDER_ASAN 1
#else
#define UNDER_ASAN 0
#endif

struct child_case {
    const char *name;
    int (*run)(void); /* its exit status */
};

struct outcome {
    int exit_status; /* -1: it did not exit */
    int signal;      /* 0: none */
    bool timed_out;
    char output[8192]; /* of stdout */
};

static inline void read_output(int from, pid_t child, struct outcome *outcome)
{
    size_t length = 0;
    const pnx_time until = pnx_monotonic_now() + 2 * SOON;
    for (;;) {
        const pnx_duration left = until - pnx_monotonic_now();
        struct pollfd readable = {.fd = from, .events = POLLIN};
        if (left <= 0 || poll(&readable, 1, (int)(left / PNX_MS(1)) + 1) == 0) {
            outcome->timed_out = true;
            kill(child, SIGKILL);
            break;
        }
        const ssize_t got =
            read(from, outcome->output + length, sizeof outcome->output - 1 - length);
        if (got <= 0)
            break;
        length += (size_t)got;
        if (length == sizeof outcome->output - 1)
            length--; /* the rest overwrites the last byte */
    }
    outcome->output[length] = '\0';
}

/* Runs the case in a fresh process; `variables` are NAME=VALUE, ended by NULL, and may be NULL. */
static inline struct outcome run_child(const char *name, const char *const *variables)
{
    struct outcome outcome = {.exit_status = -1};
    int pipe_ends[2];
    assert_int_equal(pipe2(pipe_ends, O_CLOEXEC), 0);
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        /* They end in the middle of things, and in fork children nobody holds what threads held. */
        const char *options = getenv("ASAN_OPTIONS");
        char no_leaks[512];
        snprintf(no_leaks, sizeof no_leaks, "%s:detect_leaks=0", options != NULL ? options : "");
        setenv("ASAN_OPTIONS", no_leaks, 1);
        for (; variables != NULL && *variables != NULL; variables++)
            if (putenv((char *)*variables) != 0)
                _exit(CHILD_BROKEN);
        dup2(pipe_ends[1], STDOUT_FILENO);
        execl("/proc/self/exe", "torture", "--case", name, (char *)NULL);
        _exit(CHILD_BROKEN);
    }
    close(pipe_ends[1]);
    read_output(pipe_ends[0], child, &outcome);
    close(pipe_ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status))
        outcome.exit_status = WEXITSTATUS(status);
    if (WIFSIGNALED(status))
        outcome.signal = WTERMSIG(status);
    if (outcome.timed_out)
        fail_msg("%s: did not end; it had said: %s", name, outcome.output);
    return outcome;
}

static inline void expect_child(const char *name, const char *const *variables, int exit_status)
{
    const struct outcome outcome = run_child(name, variables);
    if (outcome.exit_status != exit_status)
        fail_msg("%s: exit status %d, signal %d, expected exit status %d; it said: %s", name,
                 outcome.exit_status, outcome.signal, exit_status, outcome.output);
}

/* For main(): answers true, with the status, if this process is a child that ran a case. */
static inline bool child_ran(int argc, char **argv, const struct child_case *cases, size_t count,
                             int *ret_status)
{
    if (argc < 3 || strcmp(argv[1], "--case") != 0)
        return false;
    for (size_t i = 0; i < count; i++)
        if (strcmp(cases[i].name, argv[2]) == 0) {
            *ret_status = cases[i].run();
            return true;
        }
    *ret_status = CHILD_BROKEN;
    return true;
}

#endif
