/* SPDX-License-Identifier: MIT */
/*
 * What the system itself offers: fork and exec alone, whose overhead over itself says how exact
 * the others' are; cgroup.kill, as root; rm; the removal of things that somebody knows by name.
 */
#include "common/bench.h"
#include "common/clock.h"
#include "peer.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000 };

static const char *const nothing[] = {NULL};

/* ---- cgroup.kill ----------------------------------------------------------------------------- */

static char group[4200];

static const char *hierarchy(void)
{
    static char root[4096];
    char line[8192];
    FILE *mounts = fopen("/proc/mounts", "re");
    while (mounts && !root[0] && fgets(line, sizeof line, mounts)) {
        char path[4096], type[64];
        if (sscanf(line, "%*s %4095s %63s", path, type) == 2 && strcmp(type, "cgroup2") == 0)
            snprintf(root, sizeof root, "%s", path);
    }
    if (mounts)
        fclose(mounts);
    return root;
}

static int open_in_group(const char *name, int flags)
{
    char path[4300];
    snprintf(path, sizeof path, "%s/%s", group, name);
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        bench_give_up("cannot open %s: %m", path);
    return fd;
}

static void write_in_group(const char *name, const char *text)
{
    int fd = open_in_group(name, O_WRONLY);
    if (write(fd, text, strlen(text)) < 0)
        bench_give_up("cannot write %s: %m", name);
    close(fd);
}

static bool is_populated(int events)
{
    char text[128] = "";
    if (pread(events, text, sizeof text - 1, 0) < 0)
        bench_give_up("cannot read cgroup.events: %m");
    return strstr(text, "populated 0") == NULL;
}

static bool make_group(void)
{
    snprintf(group, sizeof group, "%s/bench-cleanroom-%d", hierarchy(), (int)getpid());
    return geteuid() == 0 && hierarchy()[0] && mkdir(group, 0755) == 0;
}

static bool can_kill_group(void)
{
    char path[4300];
    if (!make_group())
        return false;
    snprintf(path, sizeof path, "%s/cgroup.kill", group);
    bool can = access(path, W_OK) == 0;
    rmdir(group);
    return can;
}

static uint64_t kill_group(unsigned count)
{
    if (!make_group())
        bench_give_up("cannot make the cgroup %s: %m", group);
    pid_t pid = fork();
    if (pid == 0) {
        write_in_group("cgroup.procs", "0");
        run_leave(count);
        _exit(0);
    }
    run_wait(pid);
    int events = open_in_group("cgroup.events", O_RDONLY);
    struct pollfd fd = {.fd = events, .events = POLLPRI};
    const uint64_t began = now_ns();
    write_in_group("cgroup.kill", "1");
    while (is_populated(events))
        if (poll(&fd, 1, PATIENCE_MS) != 1)
            bench_give_up("the cgroup does not become empty");
    const uint64_t took = now_ns() - began;
    close(events);
    rmdir(group);
    return took;
}

/* ---- files and things ------------------------------------------------------------------------ */

static uint64_t remove_by_rm(int files)
{
    char path[128];
    const char *const words[] = {"rm", "-rf", path, NULL};
    snprintf(path, sizeof path, "%s/files", run_files_place());
    if (mkdir(path, 0700) != 0)
        bench_give_up("cannot make %s: %m", path);
    run_fill(path, files);
    const uint64_t began = now_ns();
    run_wait(run_start(words, nothing, -1));
    return now_ns() - began;
}

static uint64_t unlink_things(void)
{
    char name[64];
    for (int i = 0; i < THINGS; i++) {
        snprintf(name, sizeof name, "/bench-cleanroom-%d-%d", (int)getpid(), i);
        int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0 || ftruncate(fd, 4096) != 0)
            bench_give_up("cannot make %s: %m", name);
        close(fd);
    }
    const uint64_t began = now_ns();
    for (int i = 0; i < THINGS; i++) {
        snprintf(name, sizeof name, "/bench-cleanroom-%d-%d", (int)getpid(), i);
        shm_unlink(name);
    }
    return now_ns() - began;
}

static const struct run_operations bare = {.words = nothing, .words_by_cgroup = nothing};
static const struct run_operations by_cgroup = {.escape = kill_group};
static const struct run_operations by_rm = {.remove_files = remove_by_rm};
static const struct run_operations by_name = {.adopt = unlink_things};

int main(int argc, char **argv)
{
    struct bench_contender contenders[5] = {
        {"fork+exec", PEER_VERSION, &bare},
        {"rm -rf", PEER_VERSION, &by_rm},
        {"shm_unlink", PEER_VERSION, &by_name},
    };
    if (can_kill_group())
        contenders[3] = (struct bench_contender){"cgroup.kill", PEER_VERSION, &by_cgroup};
    return run_main(argc, argv, contenders);
}
