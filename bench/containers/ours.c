/* SPDX-License-Identifier: MIT */
/* Through the proxy, and past it, in turns. */
#include "common/bench.h"
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CALLS = 2000, TURNS = 6 };

static char directory[64], plain[96], through[96];
static int control = -1;
static pid_t engine = -1, proxy = -1;

static void stop(void)
{
    if (control < 0)
        return;
    close(control);
    control = -1;
    waitpid(proxy, NULL, 0);
    unlink(through);
    if (engine > 0) {
        kill(engine, SIGKILL);
        waitpid(engine, NULL, 0);
        unlink(plain);
    }
    rmdir(directory);
}

static void start(void)
{
    char host[128];
    if (control >= 0)
        return;
    use_all_cpus();
    snprintf(directory, sizeof directory, "/tmp/pnx-bench-XXXXXX");
    if (!mkdtemp(directory))
        bench_give_up("no directory: %m");
    const char *docker = getenv("PNX_TEST_ENGINE") ? getenv("DOCKER_HOST") : NULL;
    snprintf(plain, sizeof plain, "%s/engine", directory);
    snprintf(through, sizeof through, "%s/proxy", directory);
    if (docker)
        snprintf(plain, sizeof plain, "%s", docker + strlen("unix://"));
    else
        engine = engine_start(plain);
    snprintf(host, sizeof host, "unix://%s", plain);
    proxy = proxy_start(host, through, &control);
    atexit(stop);
}

static int compare(const void *a, const void *b)
{
    const int64_t *one = a, *other = b;
    return (*one > *other) - (*one < *other);
}

static double median_call(int fd)
{
    static int64_t took[CALLS];
    const size_t middle = CALLS / 2;
    for (int i = 0; i < CALLS; i++)
        took[i] = client_call(fd);
    qsort(took, CALLS, sizeof *took, compare);
    return (double)took[middle] / 1000;
}

static void run_call(const void *contender, double values[])
{
    (void)contender;
    start();
    int past = client_connect(plain), by = client_connect(through);
    (void)client_call(by);
    (void)client_call(past);
    double before = median_call(past), with = median_call(by), after = median_call(past);
    values[0] = with - (before + after) / 2;
    values[1] = with;
    close(past);
    close(by);
}

/* Per cent of the plain socket's speed; of each the fastest, which has been disturbed the least. */
static double share(int64_t (*move)(const char *path))
{
    int64_t past = INT64_MAX, by = INT64_MAX;
    for (int i = 0; i < TURNS; i++) {
        int64_t one = move(plain), other = move(through);
        past = one < past ? one : past;
        by = other < by ? other : by;
    }
    return 100.0 * (double)past / (double)by;
}

static int64_t move_down(const char *path)
{
    return client_down(path, "/down");
}

static int64_t move_up(const char *path)
{
    return client_up(path, BULK);
}

static int64_t move_raw(const char *path)
{
    return client_raw(path, BULK);
}

static void run_down(const void *contender, double values[])
{
    (void)contender;
    start();
    values[0] = share(move_down);
}

static void run_up(const void *contender, double values[])
{
    (void)contender;
    start();
    values[0] = share(move_up);
}

static void run_raw(const void *contender, double values[])
{
    (void)contender;
    start();
    values[0] = share(move_raw);
}

/* ---- a real engine: this program again, run by with_engine ----------------------------------- */

static int64_t move_export(const char *path)
{
    return client_down(path, "/containers/bench/export");
}

/* A container with something in it that cannot be made smaller. */
static const char prepare[] =
    "cd $PNX_TEST_ENGINE && docker create --name bench pnx-test:1 true && "
    "head -c 268435456 /dev/urandom >random && docker cp random bench:/random && rm random";

static int inside(void)
{
    double call[2];
    if (!getenv("PNX_TEST_ENGINE") || system(prepare) != 0) /* NOLINT(cert-env33-c): our own */
        return 1;
    run_call(NULL, call);
    double part = share(move_export);
    printf("figures %f %f\n", call[0], part);
    stop();
    return 0;
}

static bool read_figures(const char *line, double values[])
{
    static const char mark[] = "figures ";
    char *end;
    if (strncmp(line, mark, strlen(mark)) != 0)
        return false;
    values[0] = strtod(line + strlen(mark), &end);
    values[1] = strtod(end, NULL);
    return true;
}

static void run_docker(const void *contender, double values[])
{
    (void)contender;
    static const char command[] = "PNX_BENCH_INSIDE=1 " WITH_ENGINE " " SELF " 2>&1";
    char line[256] = "";
    bool got = false;
    use_all_cpus();
    FILE *out = popen(command, "re"); /* NOLINT(cert-env33-c): our own */
    while (out && fgets(line, sizeof line, out))
        got = read_figures(line, values) || got;
    if (!out || pclose(out) != 0 || !got)
        bench_give_up("the engine does not answer: %s", line);
}

static bool can_docker(const void *contender)
{
    (void)contender;
    return geteuid() == 0 && access("/usr/sbin/dockerd", X_OK) == 0;
}

static bool can_always(const void *contender)
{
    (void)contender;
    return true;
}

static const struct bench_workload call = {.name = "call",
                                           .rows = {{"call-added", "us"}, {"call", "us"}},
                                           .can = can_always,
                                           .run = run_call,
                                           .latency = true};
static const struct bench_workload down = {
    .name = "down", .rows = {{"down-share", "%"}}, .can = can_always, .run = run_down};
static const struct bench_workload up = {
    .name = "up", .rows = {{"up-share", "%"}}, .can = can_always, .run = run_up};
static const struct bench_workload raw = {
    .name = "raw", .rows = {{"raw-share", "%"}}, .can = can_always, .run = run_raw};
static const struct bench_workload docker = {
    .name = "docker",
    .rows = {{"docker-added", "us"}, {"docker-share", "%"}},
    .once = true,
    .can = can_docker,
    .run = run_docker};

int main(int argc, char **argv)
{
    if (getenv("PNX_BENCH_INSIDE"))
        return inside();
    static const struct bench_workload *const workloads[] = {&call, &down,   &up,
                                                             &raw,  &docker, NULL};
    static const struct bench_contender contenders[] = {{"patinox", PEER_VERSION, workloads},
                                                        {NULL, NULL, NULL}};
    return bench_main(argc, argv, &(struct bench_program){"containers", workloads, contenders});
}
