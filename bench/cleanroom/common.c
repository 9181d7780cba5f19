/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include "common/bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS_MAX = 32 };

/* ---- programs -------------------------------------------------------------------------------- */

const char *run_tool(void)
{
    const char *given = getenv("CLEANROOM_TOOL");
    return given ? given : TOOL;
}

const char *run_self(void)
{
    static char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length < 0)
        bench_give_up("cannot read /proc/self/exe: %m");
    path[length] = '\0';
    return path;
}

static size_t append(const char *ret[WORDS_MAX], size_t count, const char *const *words)
{
    for (; *words && count < WORDS_MAX - 1; words++)
        ret[count++] = *words;
    ret[count] = NULL;
    return count;
}

pid_t run_start(const char *const *words, const char *const *more, int out)
{
    const char *all[WORDS_MAX];
    if (append(all, append(all, 0, words), more) == 0)
        bench_give_up("nothing to start");
    const char *program = strcmp(all[0], RUN_TOOL) == 0 ? run_tool() : all[0];
    pid_t pid = fork();
    if (pid < 0)
        bench_give_up("cannot fork: %m");
    if (pid > 0)
        return pid;
    if (out >= 0)
        dup2(out, STDOUT_FILENO);
    execvp(program, (char *const *)(uintptr_t)all);
    _exit(127);
}

void run_wait(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, 0) != pid || status != 0)
        bench_give_up("process %d failed: status 0x%x", (int)pid, (unsigned)status);
}

/* ---- the place ------------------------------------------------------------------------------- */

static char place[64], files_place[64];
static pid_t place_owner;

static void remove_places(void)
{
    if (getpid() != place_owner)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-rf", "--", place, files_place[0] ? files_place : NULL, (char *)NULL);
        _exit(127);
    }
    (void)waitpid(pid, NULL, 0);
}

static void make(char *ret, size_t size, const char *parent)
{
    snprintf(ret, size, "%s/bench-cleanroom-XXXXXX", parent);
    if (mkdtemp(ret) == NULL)
        bench_give_up("cannot make a directory in %s: %m", parent);
}

static void make_in_place(const char *name, const char *variable)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", place, name);
    if (mkdir(path, 0700) != 0 || setenv(variable, path, 1) != 0)
        bench_give_up("cannot make %s: %m", path);
}

const char *run_place(void)
{
    if (place[0])
        return place;
    make(place, sizeof place, "/var/tmp");
    place_owner = getpid();
    atexit(remove_places);
    make_in_place("state", "CLEANROOM_STATE_DIR");
    make_in_place("tmp", "TMPDIR");
    if (chdir(place) != 0) /* where no .cleanroom.yaml is */
        bench_give_up("cannot go to %s: %m", place);
    return place;
}

const char *run_files_place(void)
{
    run_place();
    if (!files_place[0])
        make(files_place, sizeof files_place, "/dev/shm");
    return files_place;
}

/* ---- things to clean up ---------------------------------------------------------------------- */

/* The pipe ends when the last of them has been executed. */
void run_leave(unsigned count)
{
    int ends[2];
    char byte;
    if (pipe2(ends, O_CLOEXEC) != 0)
        bench_give_up("cannot make a pipe: %m");
    for (unsigned i = 0; i < count; i++) {
        pid_t pid = fork();
        if (pid < 0)
            bench_give_up("cannot fork: %m");
        if (pid > 0)
            continue;
        setsid();
        execlp("sleep", "sleep", "1000", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    while (read(ends[0], &byte, 1) > 0)
        continue;
    close(ends[0]);
}

void run_fill(const char *directory, int files)
{
    char path[4096];
    for (int i = 0; i < files; i++) {
        int part = i / FILES_PER_DIRECTORY;
        snprintf(path, sizeof path, "%s/%d", directory, part);
        if (i % FILES_PER_DIRECTORY == 0 && mkdir(path, 0700) != 0)
            bench_give_up("cannot make %s: %m", path);
        snprintf(path, sizeof path, "%s/%d/%d", directory, part, i);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
            bench_give_up("cannot make %s: %m", path);
        close(fd);
    }
}
