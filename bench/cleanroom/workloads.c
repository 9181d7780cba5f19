/* SPDX-License-Identifier: MIT */
/*
 * A command that does nothing, less a bare fork and exec of it in turns with it; processes that
 * escaped until they are gone; many files; a supervisor that is killed, and its reaper with it.
 * Not pinned: supervisor, reaper and command run side by side, as they do in use.
 */
#include "peer.h"

#include "common/bench.h"
#include "common/clock.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RUNS = 10, PATIENCE_MS = 60000 };

static const char *const nothing[] = {NULL};
static const char *const true_words[] = {"/bin/true", NULL};

static void begin(void)
{
    cpu_set_t all;
    memset(&all, 0xff, sizeof all);
    (void)sched_setaffinity(0, sizeof all, &all);
    run_place();
}

static double ms(uint64_t ns)
{
    return (double)ns / NS_PER_MS;
}

/* ---- a command that does nothing ------------------------------------------------------------- */

static uint64_t run_true(const char *const *words)
{
    const uint64_t began = now_ns();
    run_wait(run_start(words, true_words, -1));
    return now_ns() - began;
}

static void overhead_of(const char *const *words, double values[])
{
    uint64_t whole = 0, bare = 0;
    begin();
    for (int i = 0; i < RUNS; i++) {
        bare += run_true(nothing);
        whole += run_true(words);
    }
    values[0] = (ms(whole) - ms(bare)) / RUNS;
    values[1] = ms(whole) / RUNS;
}

static void overhead(const void *contender, double values[])
{
    overhead_of(((const struct run_operations *)contender)->words, values);
}

static void overhead_by_cgroup(const void *contender, double values[])
{
    overhead_of(((const struct run_operations *)contender)->words_by_cgroup, values);
}

/* ---- clean-up -------------------------------------------------------------------------------- */

#define ESCAPED(count)                                                                             \
    static void escaped_##count(const void *contender, double values[])                            \
    {                                                                                              \
        begin();                                                                                   \
        values[0] = ms(((const struct run_operations *)contender)->escape(count));                 \
    }
ESCAPED(1)
ESCAPED(10)
ESCAPED(100)
ESCAPED(1000)
ESCAPED(5000)

static void files(const void *contender, double values[])
{
    begin();
    values[0] = ms(((const struct run_operations *)contender)->remove_files(FILES));
}

static void many_files(const void *contender, double values[])
{
    begin();
    values[0] = ms(((const struct run_operations *)contender)->remove_files(MANY_FILES));
}

static void adopted(const void *contender, double values[])
{
    begin();
    values[0] = ms(((const struct run_operations *)contender)->adopt());
}

/* ---- the supervisor is killed ---------------------------------------------------------------- */

static uint64_t ended_at(int pidfd)
{
    struct pollfd fd = {.fd = pidfd, .events = POLLIN};
    if (poll(&fd, 1, PATIENCE_MS) != 1)
        bench_give_up("a process that should end does not");
    return now_ns();
}

/* The shell of the command reads its own pid: as we know it, whatever namespace it is in. */
static void killed(const void *contender, double values[])
{
    static const char *const sit[] = {
        "/bin/sh", "-c", "read pid rest </proc/self/stat; echo $pid; exec sleep 1000", NULL};
    const struct run_operations *operations = contender;
    int ends[2];
    char text[32] = "";
    begin();
    if (pipe2(ends, O_CLOEXEC) != 0)
        bench_give_up("cannot make a pipe: %m");
    pid_t supervisor = run_start(operations->words_with_end, sit, ends[1]);
    close(ends[1]);
    if (read(ends[0], text, sizeof text - 1) <= 0)
        bench_give_up("the command did not start");
    close(ends[0]);
    int of_supervisor = pidfd_open(supervisor, 0);
    int of_command = pidfd_open((pid_t)strtol(text, NULL, 10), 0);
    if (of_supervisor < 0 || of_command < 0)
        bench_give_up("cannot open a pidfd: %m");
    const uint64_t began = now_ns();
    kill(supervisor, SIGKILL);
    const uint64_t told = ended_at(of_supervisor);
    const uint64_t gone = ended_at(of_command);
    values[0] = ms(gone - began);
    values[1] = ms(gone - told);
    close(of_supervisor);
    close(of_command);
    (void)waitpid(supervisor, NULL, 0);
    if (operations->clean_up)
        operations->clean_up();
}

/* ---- which of them --------------------------------------------------------------------------- */

#define CAN(name, operation)                                                                       \
    static bool name(const void *contender)                                                        \
    {                                                                                              \
        return ((const struct run_operations *)contender)->operation != NULL;                      \
    }
CAN(can_run, words)
CAN(can_run_by_cgroup, words_by_cgroup)
CAN(can_end, words_with_end)
CAN(can_escape, escape)
CAN(can_remove, remove_files)
CAN(can_adopt, adopt)

static const struct bench_workload overhead_ = {.name = "overhead",
                                                .rows = {{"overhead", "ms"}, {"true", "ms"}},
                                                .latency = true,
                                                .can = can_run,
                                                .run = overhead};
static const struct bench_workload overhead_1 = {.name = "overhead-1",
                                                 .rows = {{"overhead-1", "ms"}, {"true-1", "ms"}},
                                                 .latency = true,
                                                 .can = can_run_by_cgroup,
                                                 .run = overhead_by_cgroup};
#define ESCAPE_WORKLOAD(count, is_once)                                                            \
    static const struct bench_workload escape_##count = {.name = "escape-" #count,                 \
                                                         .rows = {{"escape-" #count, "ms"}},       \
                                                         .once = (is_once),                        \
                                                         .latency = true,                          \
                                                         .can = can_escape,                        \
                                                         .run = escaped_##count};
ESCAPE_WORKLOAD(1, false)
ESCAPE_WORKLOAD(10, false)
ESCAPE_WORKLOAD(100, false)
ESCAPE_WORKLOAD(1000, true)
ESCAPE_WORKLOAD(5000, true)
static const struct bench_workload files_ = {
    .name = "files", .rows = {{"files", "ms"}}, .once = true, .can = can_remove, .run = files};
static const struct bench_workload many_files_ = {.name = "files-million",
                                                  .rows = {{"files-million", "ms"}},
                                                  .once = true,
                                                  .can = can_remove,
                                                  .run = many_files};
static const struct bench_workload killed_ = {.name = "killed",
                                              .rows = {{"killed", "ms"}, {"killed-told", "ms"}},
                                              .latency = true,
                                              .can = can_end,
                                              .run = killed};
static const struct bench_workload adopt_ = {
    .name = "adopt", .rows = {{"adopt", "ms"}}, .latency = true, .can = can_adopt, .run = adopted};

static const struct bench_workload *const workloads[] = {
    &overhead_,   &overhead_1, &escape_1,    &escape_10, &escape_100, &escape_1000,
    &escape_5000, &files_,     &many_files_, &killed_,   &adopt_,     NULL,
};

int run_main(int argc, char **argv, const struct bench_contender *contenders)
{
    if (argc == 3 && strcmp(argv[1], "--leave") == 0) {
        run_leave((unsigned)strtoul(argv[2], NULL, 10));
        return EXIT_SUCCESS;
    }
    return bench_main(argc, argv,
                      &(struct bench_program){
                          .subject = "cleanroom",
                          .workloads = workloads,
                          .contenders = contenders,
                      });
}
