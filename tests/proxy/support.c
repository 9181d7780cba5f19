/* SPDX-License-Identifier: MIT */
#include "support.h"

#include "docker/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static struct {
    char directory[64], engine_path[96], proxy_path[96], ledger_path[96];
    int engine_fd, listen_fd, told[2];
    uv_loop_t loop;
    uv_async_t stop;
    struct pnx__proxy proxy;
    pthread_t thread;
    sem_t ready;
    char heard[65536];
    size_t heard_size;
    bool waited;
} it;

/* ---- sockets --------------------------------------------------------------------------------- */

static int listen_at(const char *path, int backlog)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

int client_prepare(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    return fd;
}

void client_connect_now(int fd)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s", it.proxy_path);
    assert_int_equal(connect(fd, (const struct sockaddr *)&at, sizeof at), 0);
}

int client_connect(void)
{
    int fd = client_prepare();
    client_connect_now(fd);
    return fd;
}

static void wait_for(int fd, short events)
{
    struct pollfd one = {.fd = fd, .events = events};
    int got;
    do
        got = poll(&one, 1, WAIT_MS);
    while (got < 0 && errno == EINTR);
    assert_int_equal(got, 1);
}

int engine_accept(void)
{
    wait_for(it.engine_fd, POLLIN);
    int fd = accept4(it.engine_fd, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

void engine_vanish(void)
{
    close(it.engine_fd);
    it.engine_fd = -1;
    unlink(it.engine_path);
}

void engine_return(int backlog)
{
    it.engine_fd = listen_at(it.engine_path, backlog);
}

void send_bytes(int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        wait_for(fd, POLLOUT);
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        assert_true(sent > 0);
        at += sent;
        size -= (size_t)sent;
    }
}

void send_text(int fd, const char *text)
{
    send_bytes(fd, text, strlen(text));
}

void send_read(int fd, const void *data, size_t size)
{
    send_bytes(fd, data, size);
    pnx_time until = pnx_time_after(pnx_monotonic_now(), PNX_MS(WAIT_MS));
    int unread = 1;
    while (ioctl(fd, SIOCOUTQ, &unread) == 0 && unread > 0) {
        assert_true(pnx_monotonic_now() < until);
        sched_yield();
    }
}

void receive_bytes(int fd, void *data, size_t size)
{
    char *at = data;
    while (size > 0) {
        wait_for(fd, POLLIN);
        ssize_t got = recv(fd, at, size, 0);
        assert_true(got > 0);
        at += got;
        size -= (size_t)got;
    }
}

void expect_bytes(int fd, const void *data, size_t size)
{
    char *got = malloc(size + 1);
    assert_non_null(got);
    receive_bytes(fd, got, size);
    got[size] = '\0';
    assert_memory_equal(got, data, size);
    free(got);
}

void expect_text(int fd, const char *text)
{
    expect_bytes(fd, text, strlen(text));
}

char *receive_until(int fd, const char *end)
{
    size_t size = 0, room = 4096, length = strlen(end);
    char *text = malloc(room);
    assert_non_null(text);
    do {
        if (size + 2 > room)
            text = realloc(text, room *= 2);
        assert_non_null(text);
        receive_bytes(fd, text + size, 1);
        text[++size] = '\0';
    } while (size < length || strcmp(text + size - length, end) != 0);
    return text;
}

char *receive_message(int fd, char **ret_body)
{
    char *head = receive_until(fd, "\r\n\r\n");
    const char *length = strstr(head, "Content-Length: ");
    assert_non_null(length);
    size_t size = strtoul(length + strlen("Content-Length: "), NULL, 10);
    *ret_body = malloc(size + 1);
    assert_non_null(*ret_body);
    receive_bytes(fd, *ret_body, size);
    (*ret_body)[size] = '\0';
    return head;
}

void expect_end(int fd)
{
    char byte;
    wait_for(fd, POLLIN);
    ssize_t got = recv(fd, &byte, 1, 0);
    assert_true(got == 0 || (got < 0 && errno == ECONNRESET));
}

void expect_end_sometime(int fd)
{
    char bytes[4096];
    do
        wait_for(fd, POLLIN);
    while (recv(fd, bytes, sizeof bytes, 0) > 0);
}

void expect_gone(int fd)
{
    pnx_time until = pnx_time_after(pnx_monotonic_now(), PNX_MS(WAIT_MS));
    struct pollfd one = {.fd = fd, .events = POLLIN};
    do {
        assert_int_equal(poll(&one, 1, WAIT_MS), 1);
        assert_true(pnx_monotonic_now() < until);
    } while (!(one.revents & POLLHUP));
}

void expect_nothing_yet(int fd)
{
    char byte;
    assert_int_equal(recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
}

void engine_answer_question(const char *path_part, int status, const char *json)
{
    char head[128];
    int fd = engine_accept();
    char *question = receive_until(fd, "\r\n\r\n");
    assert_non_null(strstr(question, path_part));
    snprintf(head, sizeof head,
             "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nConnection: close\r\n"
             "Content-Length: %zu\r\n\r\n",
             status, strlen(json));
    send_text(fd, head);
    send_text(fd, json);
    free(question);
    close(fd);
}

/* ---- what is told, and written down ---------------------------------------------------------- */

void expect_told(const char *part)
{
    while (!strstr(it.heard, part)) {
        wait_for(it.told[0], POLLIN);
        ssize_t got =
            read(it.told[0], it.heard + it.heard_size, sizeof it.heard - 1 - it.heard_size);
        assert_true(got > 0);
        it.heard_size += (size_t)got;
        it.heard[it.heard_size] = '\0';
    }
}

struct pnx__ledger_view *ledger_view(void)
{
    struct pnx__ledger_view *view = NULL;
    pnx_error err = {0};
    int dir = open(it.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(dir >= 0);
    if (pnx__ledger_load(dir, "ledger", &view, &err) != PNX_OK)
        fail_msg("%s", err.message);
    close(dir);
    return view;
}

void expect_ledger(uint32_t number, enum pnx__ledger_state state)
{
    pnx_time until = pnx_time_after(pnx_monotonic_now(), PNX_MS(WAIT_MS));
    for (bool good = false; !good; sched_yield()) {
        struct pnx__ledger_view *view = ledger_view();
        good = view->resource_count >= number && view->resources[number - 1].state == state;
        pnx__ledger_view_free(view);
        assert_true(good || pnx_monotonic_now() < until);
    }
}

/* ---- the proxy ------------------------------------------------------------------------------- */

static void on_stop(uv_async_t *async)
{
    pnx__proxy_stop(&it.proxy, PNX_S(20));
    uv_close((uv_handle_t *)async, NULL);
}

static void on_ended(struct pnx__proxy *proxy)
{
    pnx__tell_close(proxy->tell);
}

static void *run(void *context)
{
    (void)context;
    pnx_error err = {0};
    if (pnx__tell_open(&it.loop, it.told[1], &it.proxy.tell, &err) != PNX_OK ||
        pnx__proxy_start(&it.proxy, &err) != PNX_OK)
        abort();
    sem_post(&it.ready);
    (void)uv_run(&it.loop, UV_RUN_DEFAULT);
    return NULL;
}

static void make_engine(void)
{
    struct pnx__address at = {0};
    pnx_error err = {0};
    snprintf(at.host, sizeof at.host, "unix://%s", it.engine_path);
    snprintf(at.base, sizeof at.base, "http://localhost");
    snprintf(at.socket, sizeof at.socket, "%s", it.engine_path);
    assert_int_equal(pnx__docker_engine_make(&at, &(pnx_engine_config){.session = SESSION},
                                             &it.proxy.engine, &err),
                     PNX_OK);
    it.proxy.engine->api = 1041;
    assert_int_equal(pnx__address_resolve(at.host, &it.proxy.engine_at, &err), PNX_OK);
    assert_int_equal(pnx__record_open(it.ledger_path, SESSION, &it.proxy.record, &err), PNX_OK);
}

void proxy_up(bool strict)
{
    memset(&it, 0, sizeof it);
    (void)signal(SIGPIPE, SIG_IGN); /* as the process does */
    snprintf(it.directory, sizeof it.directory, "/tmp/pnx-proxy-XXXXXX");
    assert_non_null(mkdtemp(it.directory));
    snprintf(it.engine_path, sizeof it.engine_path, "%s/engine", it.directory);
    snprintf(it.proxy_path, sizeof it.proxy_path, "%s/proxy", it.directory);
    snprintf(it.ledger_path, sizeof it.ledger_path, "%s/ledger", it.directory);
    it.engine_fd = listen_at(it.engine_path, 128);
    it.listen_fd = listen_at(it.proxy_path, 128);
    assert_int_equal(fcntl(it.listen_fd, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(pipe2(it.told, O_CLOEXEC), 0);
    make_engine();
    it.proxy.session = SESSION;
    it.proxy.strict = strict;
    it.proxy.listen_fd = it.listen_fd;
    it.proxy.loop = &it.loop;
    it.proxy.ended = on_ended;
    it.proxy.made = json_object();
    assert_int_equal(uv_loop_init(&it.loop), 0);
    assert_int_equal(uv_async_init(&it.loop, &it.stop, on_stop), 0);
    assert_int_equal(sem_init(&it.ready, 0, 0), 0);
    assert_int_equal(pthread_create(&it.thread, NULL, run, NULL), 0);
    while (sem_wait(&it.ready) != 0)
        continue;
}

void proxy_stop(void)
{
    assert_int_equal(uv_async_send(&it.stop), 0);
}

void proxy_wait(void)
{
    assert_int_equal(pthread_join(it.thread, NULL), 0);
    it.waited = true;
}

void proxy_down(void)
{
    if (!it.waited) {
        proxy_stop();
        proxy_wait();
    }
    /* Nothing of any connection is left in the loop. */
    assert_int_equal(uv_loop_close(&it.loop), 0);
    assert_null(it.proxy.first);
    assert_int_equal(it.proxy.count, 0);
    sem_destroy(&it.ready);
    pnx__tell_done(it.proxy.tell);
    pnx__record_close(it.proxy.record);
    pnx_engine_close(it.proxy.engine);
    json_decref(it.proxy.made);
    close(it.listen_fd);
    close(it.told[0]);
    close(it.told[1]);
    if (it.engine_fd >= 0)
        close(it.engine_fd);
    unlink(it.engine_path);
    unlink(it.proxy_path);
    unlink(it.ledger_path);
    assert_int_equal(rmdir(it.directory), 0);
}
