/* SPDX-License-Identifier: MIT */
#include "engine.h"

#include "common/bench.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* As Go's io.Copy does. */
#define CHUNK ((size_t)32 << 10)
#define READ ((size_t)64 << 10)

void use_all_cpus(void)
{
    cpu_set_t all;
    memset(&all, 0xff, sizeof all);
    (void)sched_setaffinity(0, sizeof all, &all);
}

static int64_t now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static int listen_at(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 64) != 0)
        bench_give_up("cannot listen at %s: %m", path);
    return fd;
}

int client_connect(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&at, sizeof at) != 0)
        bench_give_up("cannot connect to %s: %m", path);
    return fd;
}

static void write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        data += sent;
        size -= (size_t)sent;
    }
}

static void write_text(int fd, const char *text)
{
    write_all(fd, text, strlen(text));
}

/* The head, byte by byte but for what lies in one segment; what follows it is not taken. */
static bool read_head(int fd, char head[4096])
{
    size_t size = 0;
    while (size < 4095) {
        ssize_t got = recv(fd, head + size, 4095 - size, MSG_PEEK);
        if (got <= 0)
            return false;
        head[size + (size_t)got] = '\0';
        const char *end = strstr(head, "\r\n\r\n");
        size_t take = end ? (size_t)(end + 4 - head) - size : (size_t)got;
        if (recv(fd, head + size, take, 0) != (ssize_t)take)
            return false;
        size += take;
        if (end) {
            head[size] = '\0';
            return true;
        }
    }
    return false;
}

static size_t length_in(const char *head)
{
    const char *at = strstr(head, "Content-Length: ");
    return at ? strtoul(at + strlen("Content-Length: "), NULL, 10) : 0;
}

static void discard(int fd, size_t size)
{
    static char bytes[READ];
    while (size > 0) {
        ssize_t got = recv(fd, bytes, size < sizeof bytes ? size : sizeof bytes, 0);
        if (got <= 0)
            return;
        size -= (size_t)got;
    }
}

/* ---- the engine ------------------------------------------------------------------------------ */

static void answer_in_chunks(int fd)
{
    static char chunk[CHUNK + 16];
    int head = snprintf(chunk, 16, "%zx\r\n", CHUNK);
    chunk[(size_t)head + CHUNK] = '\r';
    chunk[(size_t)head + CHUNK + 1] = '\n';
    write_text(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t sent = 0; sent < BULK; sent += CHUNK)
        write_all(fd, chunk, (size_t)head + CHUNK + 2);
    write_text(fd, "0\r\n\r\n");
}

static void answer_raw(int fd)
{
    static char bytes[CHUNK];
    write_text(fd, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
    for (size_t sent = 0; sent < BULK; sent += CHUNK)
        write_all(fd, bytes, CHUNK);
    shutdown(fd, SHUT_WR);
    discard(fd, 1);
}

static void serve(int fd)
{
    char head[4096];
    while (read_head(fd, head)) {
        if (strstr(head, "/down "))
            answer_in_chunks(fd);
        else if (strstr(head, "/attach "))
            answer_raw(fd);
        else {
            discard(fd, length_in(head));
            write_text(fd, "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nServer: Docker/20.10\r\n"
                           "Content-Length: 45\r\n\r\n"
                           "{\"ApiVersion\":\"1.41\",\"MinAPIVersion\":\"1.12\"}\n");
        }
    }
    close(fd);
}

pid_t engine_start(const char *path)
{
    int fd = listen_at(path);
    pid_t pid = fork();
    if (pid != 0) {
        close(fd);
        return pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int one = accept(fd, NULL, NULL);
        if (one < 0)
            _exit(0);
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            serve(one);
            _exit(0);
        }
        close(one);
    }
}

/* ---- the proxy ------------------------------------------------------------------------------- */

pid_t proxy_start(const char *host, const char *path, int *ret_control)
{
    int control[2], told[2], listener = listen_at(path);
    char byte;
    if (pipe2(control, O_CLOEXEC) != 0 || pipe2(told, O_CLOEXEC) != 0)
        bench_give_up("no pipes: %m");
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(control[0], 0);
        dup2(told[1], 1);
        if (listener == 3)
            fcntl(3, F_SETFD, 0);
        else
            dup2(listener, 3);
        execl(PROXY, PROXY, "serve", "--session", "01234567-89ab-4def-8123-456789abcdef", "--host",
              host, (char *)NULL);
        _exit(127);
    }
    close(control[0]);
    close(told[1]);
    close(listener);
    if (read(told[0], &byte, 1) != 1)
        bench_give_up("the proxy does not start");
    *ret_control = control[1];
    return pid;
}

/* ---- the client ------------------------------------------------------------------------------ */

int64_t client_call(int fd)
{
    char head[4096];
    int64_t begin = now();
    write_text(fd,
               "GET /_ping HTTP/1.1\r\nHost: docker\r\nUser-Agent: Docker-Client/20.10\r\n\r\n");
    if (!read_head(fd, head))
        bench_give_up("no answer");
    discard(fd, length_in(head));
    return now() - begin;
}

/* Until the connection ends, or the last chunk. */
static int64_t until_end(int fd, int64_t begin)
{
    static char bytes[READ];
    for (ssize_t got; (got = recv(fd, bytes, sizeof bytes, 0)) > 0;)
        if (got >= 5 && memcmp(bytes + got - 5, "0\r\n\r\n", 5) == 0)
            break;
    begin = now() - begin;
    close(fd);
    return begin;
}

int64_t client_down(const char *path, const char *target)
{
    char request[512];
    int fd = client_connect(path);
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: docker\r\n\r\n", target);
    int64_t begin = now();
    write_text(fd, request);
    return until_end(fd, begin);
}

int64_t client_raw(const char *path, size_t size)
{
    (void)size;
    int fd = client_connect(path);
    int64_t begin = now();
    write_text(fd, "POST /containers/x/attach HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\n"
                   "Upgrade: tcp\r\n\r\n");
    return until_end(fd, begin);
}

int64_t client_up(const char *path, size_t size)
{
    static char bytes[CHUNK];
    char request[256], head[4096];
    int fd = client_connect(path);
    snprintf(request, sizeof request,
             "POST /images/load HTTP/1.1\r\nHost: docker\r\nContent-Length: %zu\r\n\r\n", size);
    int64_t begin = now();
    write_text(fd, request);
    for (size_t sent = 0; sent < size; sent += CHUNK)
        write_all(fd, bytes, CHUNK);
    if (!read_head(fd, head))
        bench_give_up("no answer");
    begin = now() - begin;
    close(fd);
    return begin;
}
