/* SPDX-License-Identifier: MIT */
#include "pg_server.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[64], binaries[256], conninfo[256], proxy_conninfo[256];
static bool running;
static int lifeline = -1; /* its other end is with whoever cleans up after us */
static pid_t cleaner;

/* ---- the server ------------------------------------------------------------------------------ */

/* Runs a shell command as somebody who may run a server: root may not. Its status. */
static int as_server(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int as_server(const char *format, ...)
{
    char command[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    const struct passwd *user = geteuid() == 0 ? getpwnam("postgres") : NULL;
    const pid_t child = fork();
    if (child == 0) {
        if (user != NULL && (setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0))
            _exit(126);
        if (chdir(directory) != 0)
            _exit(125);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    int status = -1;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

static bool find_binaries(void)
{
    glob_t found;
    if (glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) == 0) {
        snprintf(binaries, sizeof binaries, "%s", found.gl_pathv[found.gl_pathc - 1]);
        *strrchr(binaries, '/') = '\0';
        globfree(&found);
        return true;
    }
    printf("# skipped: there is no initdb in /usr/lib/postgresql/*/bin\n");
    return false;
}

/* Waits in a process of its own until this one ends, however it does, then removes everything. */
static void start_cleaner(void)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        abort();
    cleaner = fork();
    if (cleaner == 0) {
        close(ends[1]);
        (void)setsid(); /* what is meant for the test's group is not meant for this one */
        char byte;
        while (read(ends[0], &byte, 1) < 0 && errno == EINTR) {
        }
        char file[96];
        snprintf(file, sizeof file, "%s/data/postmaster.pid", directory);
        FILE *in = fopen(file, "re");
        long server = 0;
        if (in != NULL && fscanf(in, "%ld", &server) == 1 && server > 1) /* NOLINT: a number */
            (void)kill((pid_t)server, SIGQUIT);
        execl("/bin/rm", "rm", "-rf", directory, (char *)NULL);
        _exit(127);
    }
    close(ends[0]);
    lifeline = ends[1];
}

bool pg_server_begin(unsigned max_connections)
{
    if (!find_binaries())
        return false;
    if (geteuid() == 0 && getpwnam("postgres") == NULL) {
        printf("# skipped: root may not run a server, and there is no user postgres\n");
        return false;
    }
    snprintf(directory, sizeof directory, "/tmp/pnx-pg-XXXXXX");
    if (mkdtemp(directory) == NULL)
        abort();
    if (geteuid() == 0) {
        const struct passwd *user = getpwnam("postgres");
        if (chown(directory, user->pw_uid, user->pw_gid) != 0)
            abort();
    }
    start_cleaner();
    if (as_server("%s/initdb -D data -A trust -U postgres --no-sync >log 2>&1", binaries) != 0) {
        printf("# skipped: initdb failed\n");
        return false;
    }
    if (as_server("printf '%%s\\n' \"listen_addresses=''\" \"unix_socket_directories='%s'\" "
                  "fsync=off max_connections=%u superuser_reserved_connections=0 "
                  "max_wal_senders=0 shared_buffers=1MB >>data/postgresql.conf",
                  directory, max_connections) != 0)
        abort();
    snprintf(conninfo, sizeof conninfo, "host=%s dbname=postgres user=postgres", directory);
    pg_server_start();
    return running;
}

void pg_server_start(void)
{
    running = as_server("%s/pg_ctl -D data -w -t 60 -l log start >>ctl 2>&1", binaries) == 0;
    if (!running)
        (void)as_server("sed 's/^/# /' log ctl");
}

void pg_server_stop(void)
{
    if (running)
        (void)as_server("%s/pg_ctl -D data -w -t 60 -m immediate stop >>ctl 2>&1", binaries);
    running = false;
}

void pg_server_end(void)
{
    pg_server_stop();
    if (lifeline >= 0) {
        close(lifeline);
        while (waitpid(cleaner, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    lifeline = -1;
    directory[0] = '\0';
}

const char *pg_server_conninfo(void)
{
    return conninfo;
}

const char *pg_proxy_conninfo(void)
{
    return proxy_conninfo;
}

/* ---- the proxy ------------------------------------------------------------------------------- */

enum { PAIRS_MAX = 64 };

static struct {
    pthread_t thread;
    int listener, wake;
    _Atomic int mode;
    sem_t seen; /* the mode was changed, and holds */
    _Atomic bool stop;
    char directory[96];
    int pairs[PAIRS_MAX][2];
    unsigned count;
} proxy;

static int unix_socket(const char *in, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(address->sun_path, sizeof address->sun_path, "%.80s/.s.PGSQL.5432", in);
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void end_pair(unsigned at)
{
    close(proxy.pairs[at][0]);
    close(proxy.pairs[at][1]);
    proxy.count--;
    memcpy(proxy.pairs[at], proxy.pairs[proxy.count], sizeof proxy.pairs[at]);
}

static void accept_one(void)
{
    const int client = accept4(proxy.listener, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0)
        return;
    struct sockaddr_un address;
    const int server = unix_socket(directory, &address);
    if (proxy.mode == PG_PROXY_CUT || proxy.count == PAIRS_MAX ||
        connect(server, (struct sockaddr *)&address, sizeof address) != 0) {
        close(client);
        close(server);
        return;
    }
    proxy.pairs[proxy.count][0] = client;
    proxy.pairs[proxy.count][1] = server;
    proxy.count++;
}

/* Moves what there is in one direction. False: it is over. */
static bool move(int from, int to)
{
    char buffer[4096];
    const ssize_t got = recv(from, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got <= 0)
        return got < 0 && errno == EAGAIN;
    return send(to, buffer, (size_t)got, MSG_NOSIGNAL) == got;
}

static void *proxy_main(void *unused)
{
    (void)unused;
    int last = PG_PROXY_PASS;
    while (!atomic_load(&proxy.stop)) {
        struct pollfd fds[2 + 2 * PAIRS_MAX] = {{.fd = proxy.wake, .events = POLLIN},
                                                {.fd = proxy.listener, .events = POLLIN}};
        const int mode = atomic_load(&proxy.mode);
        if (mode == PG_PROXY_CUT)
            while (proxy.count > 0)
                end_pair(0);
        if (mode != last)
            sem_post(&proxy.seen);
        last = mode;
        const unsigned count = proxy.count;
        for (unsigned i = 0; i < 2 * count; i++)
            fds[2 + i] = (struct pollfd){
                .fd = mode == PG_PROXY_PASS ? proxy.pairs[i / 2][i % 2] : -1, .events = POLLIN};
        (void)poll(fds, 2 + 2 * count, -1);
        uint64_t woken;
        if (fds[0].revents != 0 && read(proxy.wake, &woken, sizeof woken) < 0)
            abort();
        for (unsigned i = count; i-- > 0;)
            if ((fds[2 + 2 * i].revents != 0 && !move(proxy.pairs[i][0], proxy.pairs[i][1])) ||
                (fds[3 + 2 * i].revents != 0 && !move(proxy.pairs[i][1], proxy.pairs[i][0])))
                end_pair(i);
        if (fds[1].revents != 0)
            accept_one();
    }
    while (proxy.count > 0)
        end_pair(0);
    return NULL;
}

static void wake(void)
{
    const uint64_t one = 1;
    if (write(proxy.wake, &one, sizeof one) != sizeof one)
        abort();
}

void pg_proxy_begin(void)
{
    struct sockaddr_un address;
    snprintf(proxy.directory, sizeof proxy.directory, "%s/proxy", directory);
    if (mkdir(proxy.directory, 0777) != 0)
        abort();
    proxy.listener = unix_socket(proxy.directory, &address);
    proxy.wake = eventfd(0, EFD_CLOEXEC);
    atomic_store(&proxy.stop, false);
    atomic_store(&proxy.mode, PG_PROXY_PASS);
    sem_init(&proxy.seen, 0, 0);
    if (bind(proxy.listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(proxy.listener, 64) != 0 ||
        pthread_create(&proxy.thread, NULL, proxy_main, NULL) != 0)
        abort();
    snprintf(proxy_conninfo, sizeof proxy_conninfo, "host=%s dbname=postgres user=postgres",
             proxy.directory);
}

void pg_proxy_set(enum pg_proxy_mode mode)
{
    if (atomic_exchange(&proxy.mode, (int)mode) == (int)mode)
        return;
    wake();
    while (sem_wait(&proxy.seen) != 0) {
    }
}

void pg_proxy_end(void)
{
    atomic_store(&proxy.stop, true);
    wake();
    pthread_join(proxy.thread, NULL);
    close(proxy.listener);
    close(proxy.wake);
    sem_destroy(&proxy.seen);
    char path[128];
    snprintf(path, sizeof path, "%s/.s.PGSQL.5432", proxy.directory);
    (void)unlink(path);
    (void)rmdir(proxy.directory);
}
