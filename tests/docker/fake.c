/* SPDX-License-Identifier: MIT */
#include "fake.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 64, LINES_MAX = 512 };

static struct {
    char directory[64], host[128];
    bool running;
    int listener, stop;
    fake_serve serve;
    void *context;
    bool all;
    pthread_t acceptor, threads[CONNECTIONS_MAX];
    int fds[CONNECTIONS_MAX];
    unsigned count;
    pthread_mutex_t mutex; /* of what is below */
    char lines[LINES_MAX][128];
    unsigned line_count;
} fake;

/* ---- what answers are made of ---------------------------------------------------------------- */

bool fake_send(const struct fake_request *request, const char *bytes, size_t size)
{
    while (size) {
        ssize_t sent = send(request->fd, bytes, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        bytes += sent;
        size -= (size_t)sent;
    }
    return true;
}

bool fake_answer(const struct fake_request *request, int status, const char *body)
{
    char head[256];
    int length = snprintf(head, sizeof head,
                          "HTTP/1.1 %d Status\r\nApi-Version: 1.41\r\nServer: Docker/fake\r\n"
                          "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                          status, strlen(body));
    return fake_send(request, head, (size_t)length) && fake_send(request, body, strlen(body));
}

static bool is_over(const struct fake_request *request, int milliseconds)
{
    struct pollfd fds[] = {{.fd = request->fd, .events = POLLRDHUP},
                           {.fd = fake.stop, .events = POLLIN}};
    return poll(fds, 2, milliseconds) > 0;
}

bool fake_hang(const struct fake_request *request)
{
    (void)is_over(request, -1);
    return false;
}

bool fake_forever(const struct fake_request *request, const char *bytes, size_t size, bool pause)
{
    while (fake_send(request, bytes, size) && !is_over(request, pause ? 1 : 0))
        continue;
    return false;
}

bool fake_is(const struct fake_request *request, const char *method_and_path)
{
    const char *slash = strchr(method_and_path, '/');
    size_t method = (size_t)(slash - method_and_path);
    const char *path = request->line + method;
    if (strncmp(request->line, method_and_path, method) != 0)
        return false;
    if (strncmp(path, "/v1.", 4) == 0)
        path = strchr(path + 1, '/');
    return path && strncmp(path, slash, strlen(slash)) == 0;
}

/* ---- connections ----------------------------------------------------------------------------- */

static unsigned note(const char *line)
{
    unsigned same = 0;
    pthread_mutex_lock(&fake.mutex);
    if (fake.line_count < LINES_MAX)
        snprintf(fake.lines[fake.line_count++], sizeof fake.lines[0], "%.127s", line);
    for (unsigned i = 0; i < fake.line_count; i++)
        same += strncmp(fake.lines[i], line, sizeof fake.lines[0] - 1) == 0;
    pthread_mutex_unlock(&fake.mutex);
    return same;
}

unsigned fake_count(const char *beginning)
{
    unsigned count = 0;
    pthread_mutex_lock(&fake.mutex);
    for (unsigned i = 0; i < fake.line_count; i++)
        count += strncmp(fake.lines[i], beginning, strlen(beginning)) == 0;
    pthread_mutex_unlock(&fake.mutex);
    return count;
}

/* Reads a whole request. */
static bool receive(int fd, char *buffer, size_t size, const char **ret_body)
{
    size_t got = 0, wanted = 0;
    while (!wanted || got < wanted) {
        ssize_t now = got < size - 1 ? recv(fd, buffer + got, size - 1 - got, 0) : 0;
        if (now <= 0)
            return false;
        got += (size_t)now;
        buffer[got] = '\0';
        char *end = strstr(buffer, "\r\n\r\n"), *length = strcasestr(buffer, "content-length:");
        if (!end)
            continue;
        *ret_body = end + 4;
        wanted = (size_t)(end + 4 - buffer);
        if (length && length < end)
            wanted += strtoul(length + 15, NULL, 10);
    }
    return true;
}

static void *serve_connection(void *context)
{
    struct fake_request request = {.fd = *(int *)context};
    char *buffer = malloc(1 << 20);
    bool goes_on = buffer != NULL;
    while (goes_on && receive(request.fd, buffer, 1 << 20, &request.body)) {
        snprintf(request.line, sizeof request.line, "%.*s",
                 (int)(strcspn(strchr(buffer, ' ') + 1, " ") + 1 +
                       (size_t)(strchr(buffer, ' ') - buffer)),
                 buffer);
        request.count = note(request.line);
        goes_on = !fake.all && strcmp(request.line, "GET /_ping") == 0
                      ? fake_answer(&request, 200, "OK")
                      : fake.serve(&request, fake.context);
    }
    free(buffer);
    shutdown(request.fd, SHUT_RDWR);
    return NULL;
}

static void *accept_all(void *unused)
{
    (void)unused;
    for (;;) {
        struct pollfd fds[] = {{.fd = fake.listener, .events = POLLIN},
                               {.fd = fake.stop, .events = POLLIN}};
        (void)poll(fds, 2, -1);
        if (fds[1].revents || fake.count == CONNECTIONS_MAX)
            return NULL;
        int *fd = &fake.fds[fake.count];
        *fd = accept4(fake.listener, NULL, NULL, SOCK_CLOEXEC);
        if (*fd >= 0 && pthread_create(&fake.threads[fake.count], NULL, serve_connection, fd) == 0)
            fake.count++;
    }
}

const char *fake_start(fake_serve serve, void *context, bool all)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memset(&fake, 0, sizeof fake);
    snprintf(fake.directory, sizeof fake.directory, "/tmp/pnx-fake-XXXXXX");
    if (!mkdtemp(fake.directory))
        abort();
    snprintf(address.sun_path, sizeof address.sun_path, "%s/sock", fake.directory);
    snprintf(fake.host, sizeof fake.host, "unix://%s", address.sun_path);
    fake.serve = serve;
    fake.context = context;
    fake.all = all;
    fake.stop = eventfd(0, EFD_CLOEXEC);
    fake.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pthread_mutex_init(&fake.mutex, NULL);
    if (bind(fake.listener, (const struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fake.listener, 16) != 0 ||
        pthread_create(&fake.acceptor, NULL, accept_all, NULL) != 0)
        abort();
    fake.running = true;
    return fake.host;
}

void fake_stop(void)
{
    uint64_t one = 1;
    if (!fake.running)
        return;
    fake.running = false;
    if (write(fake.stop, &one, sizeof one) != sizeof one)
        abort();
    pthread_join(fake.acceptor, NULL);
    for (unsigned i = 0; i < fake.count; i++) {
        shutdown(fake.fds[i], SHUT_RDWR);
        pthread_join(fake.threads[i], NULL);
        close(fake.fds[i]);
    }
    close(fake.listener);
    close(fake.stop);
    pthread_mutex_destroy(&fake.mutex);
    unlink(fake.host + strlen("unix://"));
    rmdir(fake.directory);
}
