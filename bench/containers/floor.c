/* SPDX-License-Identifier: MIT */
/* The plain socket. */
#include "common/bench.h"
#include "engine.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CALLS = 2000 };

static int compare(const void *a, const void *b)
{
    const int64_t *one = a, *other = b;
    return (*one > *other) - (*one < *other);
}

static void run_call(const void *contender, double values[])
{
    (void)contender;
    static int64_t took[CALLS];
    const size_t middle = CALLS / 2;
    char directory[] = "/tmp/pnx-bench-XXXXXX", path[64];
    use_all_cpus();
    if (!mkdtemp(directory))
        bench_give_up("no directory: %m");
    snprintf(path, sizeof path, "%s/engine", directory);
    pid_t engine = engine_start(path);
    int fd = client_connect(path);
    (void)client_call(fd);
    for (int i = 0; i < CALLS; i++)
        took[i] = client_call(fd);
    qsort(took, CALLS, sizeof *took, compare);
    values[0] = (double)took[middle] / 1000;
    close(fd);
    kill(engine, SIGKILL);
    waitpid(engine, NULL, 0);
    unlink(path);
    rmdir(directory);
}

static bool can_always(const void *contender)
{
    (void)contender;
    return true;
}

int main(int argc, char **argv)
{
    static const struct bench_workload call = {.name = "call",
                                               .rows = {{"call", "us"}},
                                               .can = can_always,
                                               .run = run_call,
                                               .latency = true};
    static const struct bench_workload *const workloads[] = {&call, NULL};
    static const struct bench_contender contenders[] = {{"plain socket", PEER_VERSION, workloads},
                                                        {NULL, NULL, NULL}};
    return bench_main(argc, argv, &(struct bench_program){"containers", workloads, contenders});
}
