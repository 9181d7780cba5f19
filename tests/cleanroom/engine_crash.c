/* SPDX-License-Identifier: MIT */
/*
 * SIGKILL at every step of a run with a container engine: what the engine holds then is removed by
 * whoever cleans up. The engine is a directory, and this program is its `cleanroom-docker`: a real
 * one takes too long for so many runs, and is killed at fewer points in docker.py.
 */
#include "crash.h"

#include "kind/poll.h"

#include <sys/socket.h>
#include <sys/un.h>

#define STRIDE 89u

/* The engine: what it holds, its socket, and cleanroom-docker. */
static char things[] = "/tmp/crash-engine-XXXXXX";
static char self[256];

/* ---- cleanroom-docker ------------------------------------------------------------------------ */

/* Makes a thing for each client, from the first byte that it sends, and says so. */
static int serve(void)
{
    struct pollfd fds[] = {{.fd = 0, .events = POLLIN}, {.fd = 3, .events = POLLIN}};
    (void)fcntl(3, F_SETFL, O_NONBLOCK);
    (void)!write(STDOUT_FILENO, "{\"event\":\"ready\"}\n", 18);
    for (;;) {
        char byte;
        (void)pnx__poll(fds, 2, PNX_FOREVER);
        if (fds[0].revents)
            return 0;
        int client = accept(3, NULL, NULL);
        if (client < 0 || read(client, &byte, 1) != 1)
            continue;
        int thing = open(in(getenv("CRASH_THINGS"), "thing"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        close(thing);
        (void)!write(client, "m", 1);
        close(client);
    }
}

static int sweep(void)
{
    const char *thing = in(getenv("CRASH_THINGS"), "thing");
    if (unlink(thing) == 0)
        printf("{\"kind\":\"container\",\"id\":\"1\",\"name\":\"thing\",\"status\":\"removed\","
               "\"verified\":true}\n");
    return 0;
}

/* ---- the command ----------------------------------------------------------------------------- */

static int be_client(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char byte;
    const char *host = getenv("DOCKER_HOST");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!host)
        return 1;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", host + strlen("unix://"));
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 || write(fd, "m", 1) != 1)
        return 1;
    return read(fd, &byte, 1) != 1;
}

static void supervise(void *context)
{
    become_supervisor();
    execl(tool(), "cleanroom", "run", "--grace=0", "--docker=on", "--", self, "client",
          run_of.token, NULL);
    _exit(99);
}

/* ---- the tests ------------------------------------------------------------------------------- */

/* Our helpers are known by the path of a ledger, which is one of their arguments. */
static bool is_swept(void)
{
    return !exists(in(things, "thing")) &&
           each_process_with(getenv("CLEANROOM_STATE_DIR"), NULL) == 0;
}

static void the_supervisor_is_killed_at_any_step(void **state)
{
    crash(SUPERVISOR);
}

static void both_are_killed_at_any_step(void **state)
{
    crash(BOTH);
}

/* ---- around ---------------------------------------------------------------------------------- */

/* Who looks for the engine connects, and nothing more. */
static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    bool listens = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
                   listen(fd, 128) == 0;
    return listens ? fd : -1;
}

static bool set_up_engine(void)
{
    char host[128];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length <= 0 || !mkdtemp(things))
        return false;
    self[length] = '\0';
    snprintf(host, sizeof host, "unix://%s", in(things, "docker.sock"));
    setenv("DOCKER_HOST", host, 1);
    setenv("CLEANROOM_LIBEXEC", things, 1);
    setenv("CRASH_THINGS", things, 1);
    return symlink(self, in(things, "cleanroom-docker")) == 0 &&
           listen_at(in(things, "docker.sock")) >= 0;
}

static int drop_engine(void)
{
    unlink(in(things, "cleanroom-docker"));
    unlink(in(things, "docker.sock"));
    return rmdir(things);
}

static int be_the_test(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_supervisor_is_killed_at_any_step),
        cmocka_unit_test(both_are_killed_at_any_step),
    };
    if (!set_up_engine() || !begin_crashing(supervise, STRIDE))
        return 1;
    run_of.is_clean = is_swept;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    failed = end_crashing(failed);
    return drop_engine() == 0 ? failed : 1;
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    if (strcmp(word, "client") == 0)
        return be_client();
    if (strcmp(word, "serve") == 0)
        return serve();
    if (strcmp(word, "sweep") == 0)
        return sweep();
    return be_the_test();
}
