/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/kind/socket.c, abstract.c, port.c, sock_diag.c and socket_owner.c. */
#include "sorts.h"

#include <arpa/inet.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

static char place[] = "/tmp/cleanroom-test-XXXXXX";

static int make_the_place(void **state)
{
    (void)state;
    return mkdtemp(place) && chmod(place, 0755) == 0 ? 0 : -1;
}

/* Nothing may be left in it. */
static int drop_the_place(void **state)
{
    (void)state;
    return rmdir(place);
}

static const char *new_name(void)
{
    static char name[96];
    static unsigned count;
    snprintf(name, sizeof name, "%s/%u", place, count++);
    return name;
}

/* ---- the sort -------------------------------------------------------------------------------- */

/* Somebody has to hold it, or it cannot be listed; the first descriptor that is free is closed by
 * the next test. */
static int held = -1;

static pnx_status make(const char *path, const pnx_keeper *keeper, pnx_thing **ret, pnx_error *err)
{
    if (held >= 0)
        close(held);
    held = -1;
    return pnx_socket_bind(path, SOCK_STREAM, keeper, ret, &held, err);
}

static bool bind_to(int fd, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
}

static bool make_foreign(const char *path)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool made = bind_to(fd, path);
    close(fd);
    return made;
}

static bool unmake_foreign(const char *path)
{
    return unlink(path) == 0;
}

static bool remains(const char *identity)
{
    char aside[PATH_MAX];
    snprintf(aside, sizeof aside, "%s/.cleanroom-%s", place, identity);
    return exists(aside);
}

static const struct sort socket_sort = {
    .kind = "socket",
    .new_name = new_name,
    .make = make,
    .make_foreign = make_foreign,
    .unmake_foreign = unmake_foreign,
    .exists = exists,
    .remains = remains,
};

/* ---- paths ----------------------------------------------------------------------------------- */

static void it_accepts_connections_and_is_private(void **state)
{
    (void)state;
    const char *path = new_name();
    pnx_thing *thing;
    pnx_error err = {0};
    int server = -1;
    mode_t mask = umask(0);
    assert_ok(pnx_socket_bind(path, SOCK_STREAM, NULL, &thing, &server, &err), &err);
    umask(mask);
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0600);
    assert_true(fcntl(server, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(listen(server, 1), 0);

    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
    int accepted = accept4(server, NULL, NULL, SOCK_CLOEXEC);
    assert_true(accepted >= 0);

    /* The accepted one has the same name: it is no thing of its own. */
    struct wanted wanted = listed(&socket_sort, path, NULL);
    assert_int_equal(wanted.seen, 1);
    assert_string_equal(wanted.info.type, "stream");
    assert_int_equal(fstat(server, &about), 0);
    assert_int_equal(wanted.info.socket, about.st_ino);

    assert_ok(pnx_thing_remove(thing, in_seconds(10), NULL, &err), &err);
    assert_false(exists(path));
    assert_int_equal(write(client, "x", 1), 1); /* who is connected stays so */
    close(client);
    close(accepted);
    close(server);
    pnx_thing_free(thing);
}

static void all_types_are_bound(void **state)
{
    (void)state;
    const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_DGRAM | SOCK_NONBLOCK};
    const char *const names[] = {"stream", "datagram", "seqpacket", "datagram"};
    for (size_t i = 0; i < 4; i++) {
        const char *path = new_name();
        pnx_thing *thing;
        pnx_error err = {0};
        int fd = -1;
        assert_ok(pnx_socket_bind(path, types[i], NULL, &thing, &fd, &err), &err);
        struct wanted wanted = listed(&socket_sort, path, pnx_thing_identity(thing));
        assert_int_equal(wanted.seen, 1);
        assert_string_equal(wanted.info.type, names[i]);
        close(fd);
        assert_int_equal(listed(&socket_sort, path, NULL).seen, 0); /* nobody holds it */
        assert_ok(pnx_thing_remove(thing, in_seconds(10), NULL, &err), &err);
        pnx_thing_free(thing);
    }
}

static void bad_paths_and_types_are_refused(void **state)
{
    (void)state;
    char too_long[120];
    memset(too_long, 'n', sizeof too_long);
    too_long[0] = '/';
    too_long[108] = '\0';
    char here[110], above[110];
    snprintf(here, sizeof here, "%s/.", place);
    snprintf(above, sizeof above, "%s/..", place);
    const char *const paths[] = {"", "/", "x", "./x", "@x", "/tmp/", here, above, too_long};
    pnx_thing *thing = NULL;
    char identity[PNX_THING_IDENTITY_MAX];
    struct told_keeper told = {0};
    pnx_keeper keeper = keeper_that_tells(&told);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        pnx_error err = {0};
        assert_int_equal(pnx_socket_bind(paths[i], SOCK_STREAM, &keeper, &thing, NULL, &err),
                         PNX_EINVAL);
        if (paths[i] != too_long)
            assert_int_equal(kind_of(&socket_sort)->find(paths[i], identity, sizeof identity, &err),
                             PNX_EINVAL);
    }
    pnx_error err = {0};
    assert_int_equal(pnx_socket_bind(new_name(), 77, &keeper, &thing, NULL, &err), PNX_EINVAL);
    assert_int_equal(pnx_socket_bind("/nowhere/at/all", SOCK_STREAM, &keeper, &thing, NULL, &err),
                     PNX_EFAILED);
    assert_int_equal(err.code, PNX_EFAILED);
    assert_int_equal(err.sys_errno, ENOENT);
    assert_string_equal(told.events, "");
    assert_null(thing);
    assert_int_equal(
        kind_of(&socket_sort)->find("/nowhere/at/all", identity, sizeof identity, &err),
        PNX_ENOTFOUND);
}

static void the_longest_path_is_bound(void **state)
{
    (void)state;
    char path[108];
    int length = snprintf(path, sizeof path, "%s/", place);
    memset(path + length, 'n', sizeof path - 1 - (size_t)length);
    path[107] = '\0';
    pnx_thing *thing;
    pnx_error err = {0};
    int fd = -1;
    assert_ok(pnx_socket_bind(path, SOCK_STREAM, NULL, &thing, &fd, &err), &err);
    assert_int_equal(listed(&socket_sort, path, NULL).seen, 1);
    assert_ok(pnx_thing_remove(thing, in_seconds(10), NULL, &err), &err);
    assert_false(exists(path));
    close(fd);
    pnx_thing_free(thing);
}

static void links_and_other_files_are_left_alone(void **state)
{
    (void)state;
    char path[96], other[96];
    snprintf(path, sizeof path, "%s", new_name());
    snprintf(other, sizeof other, "%s", new_name());
    pnx_thing *thing = make_one(&socket_sort, path);
    pnx_error err = {0};
    char identity[PNX_THING_IDENTITY_MAX];
    const pnx_thing_kind *kind = kind_of(&socket_sort);
    assert_int_equal(symlink(path, other), 0);
    assert_int_equal(kind->find(other, identity, sizeof identity, &err), PNX_ENOTFOUND);
    pnx_status status = kind->remove(other, pnx_thing_identity(thing), in_seconds(1), &err);
    assert_int_equal(status, PNX_EALREADY);
    assert_true(exists(other));
    assert_true(exists(path));

    /* The link takes its very name. */
    assert_int_equal(rename(other, path), 0);
    pnx_outcome outcome = {0};
    assert_ok(pnx_thing_remove(thing, in_seconds(10), &outcome, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_ALREADY_GONE);
    assert_true(exists(path));
    assert_int_equal(unlink(path), 0);
    write_file(path, 1);
    assert_int_equal(kind->find(path, identity, sizeof identity, &err), PNX_ENOTFOUND);
    assert_int_equal(unlink(path), 0);
    pnx_thing_free(thing);
}

static void a_directory_that_is_gone_takes_it_along(void **state)
{
    (void)state;
    char dir[96], path[100];
    snprintf(dir, sizeof dir, "%s", new_name());
    snprintf(path, sizeof path, "%s/s", dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    pnx_thing *thing = make_one(&socket_sort, path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    assert_ok(pnx_thing_remove(thing, in_seconds(10), &outcome, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_ALREADY_GONE);
    assert_int_equal(
        kind_of(&socket_sort)->remove(path, pnx_thing_identity(thing), in_seconds(1), &err),
        PNX_EALREADY);
    pnx_thing_free(thing);
}

static void a_socket_whose_path_leads_elsewhere_is_not_listed(void **state)
{
    (void)state;
    const char *path = new_name();
    int first = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(bind_to(first, path));
    assert_int_equal(listed(&socket_sort, path, NULL).seen, 1);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(listed(&socket_sort, path, NULL).seen, 0);
    int second = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(bind_to(second, path));
    struct stat about;
    assert_int_equal(fstat(second, &about), 0);
    struct wanted wanted = listed(&socket_sort, path, NULL);
    assert_int_equal(wanted.seen, 1);
    assert_int_equal(wanted.info.socket, about.st_ino);
    close(first);
    close(second);
    assert_int_equal(unlink(path), 0);
}

/* ---- abstract -------------------------------------------------------------------------------- */

static const struct sort abstract = {.kind = "abstract"};

static int bind_abstract(int type, const void *name, size_t length)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path + 1, name, length);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    return fd;
}

static void abstract_names_are_found_whatever_is_in_them(void **state)
{
    (void)state;
    expect_apart();
    char longest[107], shown[109];
    memset(longest, 'n', sizeof longest);
    snprintf(shown, sizeof shown, "@%.107s", longest);
    const struct {
        const char *bytes;
        size_t length;
        const char *name;
    } cases[] = {
        {"plain", 5, "@plain"},           {"a\0b", 3, "@a\\0b"},
        {"a\\0b", 4, "@a\\\\0b"},         {"\n\033\xff %s", 6, "@\n\033\xff %s"},
        {"/tmp/x", 6, "@/tmp/x"},         {"x\0", 2, "@x\\0"},
        {"\0\0", 2, "@\\0\\0"},           {"@", 1, "@@"},
        {longest, sizeof longest, shown},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int fd = bind_abstract(SOCK_STREAM, cases[i].bytes, cases[i].length);
        struct wanted wanted = listed(&abstract, cases[i].name, NULL);
        assert_int_equal(wanted.seen, 1);
        assert_string_equal(wanted.info.type, "stream");
        assert_int_equal(wanted.info.owner, geteuid());
        struct stat about;
        assert_int_equal(fstat(fd, &about), 0);
        assert_int_equal(wanted.info.socket, about.st_ino);
        pnx_error err = {0};
        char identity[PNX_THING_IDENTITY_MAX];
        assert_ok(kind_of(&abstract)->find(cases[i].name, identity, sizeof identity, &err), &err);
        assert_int_equal(listed(&abstract, cases[i].name, identity).seen, 1);
        close(fd);
        assert_int_equal(kind_of(&abstract)->find(cases[i].name, identity, sizeof identity, &err),
                         PNX_ENOTFOUND);
    }
}

static void an_abstract_name_of_two_types_is_two_things(void **state)
{
    (void)state;
    char name[40], shown[44];
    int length = snprintf(name, sizeof name, "pnx-test-%d", (int)getpid());
    snprintf(shown, sizeof shown, "@%s", name);
    int stream = bind_abstract(SOCK_STREAM, name, (size_t)length);
    int packets = bind_abstract(SOCK_SEQPACKET, name, (size_t)length);
    assert_int_equal(listed(&abstract, shown, NULL).seen, 2);
    const pnx_thing_kind *kind = kind_of(&abstract);
    pnx_error err = {0};
    char found[PNX_THING_IDENTITY_MAX];
    assert_ok(kind->find(shown, found, sizeof found, &err), &err);
    struct stat about;
    assert_int_equal(fstat(stream, &about), 0);
    /* Whichever was found: when it is closed, it is gone, and the other one is not it. */
    bool first = about.st_ino == strtoull(found, NULL, 10);
    close(first ? stream : packets);
    assert_int_equal(kind->still(shown, found, &err), PNX_ENOTFOUND);
    pnx_outcome outcome = {0};
    assert_ok(pnx_thing_remove_named(kind, shown, found, in_seconds(1), &outcome, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_ALREADY_GONE);

    /* Of the other one it is told that it is still there, and that we cannot remove it. */
    assert_ok(kind->find(shown, found, sizeof found, &err), &err);
    pnx_status status = pnx_thing_remove_named(kind, shown, found, in_seconds(1), &outcome, &err);
    assert_int_equal(status, PNX_EUNSUPPORTED);
    assert_int_equal(outcome.fate, PNX_FATE_STUCK);
    close(first ? packets : stream);
}

static void names_that_no_abstract_socket_has_are_refused(void **state)
{
    (void)state;
    char identity[PNX_THING_IDENTITY_MAX];
    pnx_error err = {0};
    const char *const names[] = {"", "@", "x", "/x"};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(kind_of(&abstract)->find(names[i], identity, sizeof identity, &err),
                         PNX_EINVAL);
}

static void many_are_listed(void **state)
{
    (void)state;
    expect_apart();
    struct rlimit before, all;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    all = before;
    all.rlim_cur = all.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
    static int fds[20000];
    unsigned made = 0;
    for (; made < 20000 && made + 50 < all.rlim_cur; made++) {
        char name[16];
        fds[made] =
            bind_abstract(SOCK_DGRAM, name, (size_t)snprintf(name, sizeof name, "%u", made));
    }
    assert_int_equal(count_of("abstract"), made);
    for (unsigned i = 0; i < made; i++)
        close(fds[i]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(count_of("abstract"), 0);
}

/* ---- ports ----------------------------------------------------------------------------------- */

static const struct sort port = {.kind = "port"};

/* Bound to a loopback address, and to any port that is free. */
static int bind_port(int family, int type, char *ret_name, size_t size)
{
    struct sockaddr_storage address = {.ss_family = (sa_family_t)family};
    struct sockaddr_in *v4 = (void *)&address;
    struct sockaddr_in6 *v6 = (void *)&address;
    if (family == AF_INET)
        v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        v6->sin6_addr = in6addr_loopback;
    socklen_t length = family == AF_INET ? sizeof *v4 : sizeof *v6;
    int fd = socket(family, type | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    /* The analyzer does not know what getsockname(2) fills in. */
    // NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage)
    unsigned number = ntohs(family == AF_INET ? v4->sin_port : v6->sin6_port);
    snprintf(ret_name, size, family == AF_INET ? "%s 127.0.0.1:%u" : "%s [::1]:%u",
             (type & 0xf) == SOCK_STREAM ? "tcp" : "udp", number);
    return fd;
}

static void one_that_is_listened_on_is_found(void **state)
{
    (void)state;
    const int families[] = {AF_INET, AF_INET6}, types[] = {SOCK_STREAM, SOCK_DGRAM};
    for (size_t i = 0; i < 4; i++) {
        char name[80], identity[PNX_THING_IDENTITY_MAX];
        int fd = bind_port(families[i / 2], types[i % 2], name, sizeof name);
        if (fd < 0 && families[i / 2] == AF_INET6)
            continue; /* not on this machine */
        assert_true(fd >= 0);
        if (types[i % 2] == SOCK_STREAM) {
            assert_int_equal(listed(&port, name, NULL).seen, 0); /* bound is not listening */
            assert_int_equal(listen(fd, 1), 0);
        }
        struct wanted wanted = listed(&port, name, NULL);
        assert_int_equal(wanted.seen, 1);
        struct stat about;
        assert_int_equal(fstat(fd, &about), 0);
        assert_int_equal(wanted.info.socket, about.st_ino);
        assert_int_equal(wanted.info.owner, geteuid());
        pnx_error err = {0};
        assert_ok(kind_of(&port)->find(name, identity, sizeof identity, &err), &err);
        assert_int_equal(listed(&port, name, identity).seen, 1);
        close(fd);
        assert_int_equal(kind_of(&port)->find(name, identity, sizeof identity, &err),
                         PNX_ENOTFOUND);
    }
}

static void connections_and_what_they_leave_are_not_listed(void **state)
{
    (void)state;
    char name[80];
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int server = bind_port(AF_INET, SOCK_STREAM, name, sizeof name);
    assert_true(server >= 0);
    assert_int_equal(listen(server, 1), 0);
    assert_int_equal(getsockname(server, (struct sockaddr *)&address, &length), 0);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, length), 0);
    int accepted = accept4(server, NULL, NULL, SOCK_CLOEXEC);
    assert_true(accepted >= 0);
    assert_int_equal(listed(&port, name, NULL).seen, 1);
    close(server);
    assert_int_equal(listed(&port, name, NULL).seen, 0); /* the accepted one has the same port */
    close(accepted);
    struct pollfd ended = {.fd = client, .events = POLLIN};
    assert_int_equal(poll(&ended, 1, 10000), 1);
    close(client); /* its other end waits for two minutes now */
    assert_int_equal(listed(&port, name, NULL).seen, 0);

    int udp = bind_port(AF_INET, SOCK_DGRAM, name, sizeof name), other;
    char other_name[80];
    other = bind_port(AF_INET, SOCK_DGRAM, other_name, sizeof other_name);
    assert_int_equal(getsockname(other, (struct sockaddr *)&address, &length), 0);
    assert_int_equal(listed(&port, name, NULL).seen, 1);
    assert_int_equal(connect(udp, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listed(&port, name, NULL).seen, 0);
    close(udp);
    close(other);
}

static void a_shared_port_is_several_things(void **state)
{
    (void)state;
    int yes = 1;
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    int fds[2];
    for (size_t i = 0; i < 2; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes), 0);
        assert_int_equal(bind(fds[i], (struct sockaddr *)&address, length), 0);
        assert_int_equal(getsockname(fds[i], (struct sockaddr *)&address, &length), 0);
        assert_int_equal(listen(fds[i], 1), 0);
    }
    char name[80], identities[2][PNX_THING_IDENTITY_MAX] = {"", ""};
    snprintf(name, sizeof name, "tcp 127.0.0.1:%u", ntohs(address.sin_port));
    assert_int_equal(listed(&port, name, NULL).seen, 2);
    pnx_error err = {0};
    const pnx_thing_kind *kind = kind_of(&port);
    assert_ok(kind->find(name, identities[0], sizeof identities[0], &err), &err);
    struct stat about;
    assert_int_equal(fstat(fds[0], &about), 0);
    size_t other = about.st_ino == strtoull(identities[0], NULL, 10) ? 1 : 0;
    close(fds[1 - other]);
    assert_ok(kind->find(name, identities[1], sizeof identities[1], &err), &err);
    assert_string_not_equal(identities[0], identities[1]);
    assert_int_equal(kind->still(name, identities[0], &err), PNX_ENOTFOUND);
    assert_int_equal(kind->still(name, identities[1], &err), PNX_OK);
    close(fds[other]);
}

static void an_interface_is_part_of_the_name(void **state)
{
    (void)state;
    expect_apart();
    struct ifreq loopback = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &loopback), 0);
    loopback.ifr_flags |= IFF_UP;
    assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &loopback), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3), 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(68)};
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(count_of("port"), 1);
    assert_int_equal(listed(&port, "udp 0.0.0.0%lo:68", NULL).seen, 1);
    char identity[PNX_THING_IDENTITY_MAX];
    pnx_error err = {0};
    assert_ok(kind_of(&port)->find("udp 0.0.0.0%lo:68", identity, sizeof identity, &err), &err);
    close(fd);
    assert_int_equal(count_of("port"), 0);
}

static void names_that_no_port_has_are_refused(void **state)
{
    (void)state;
    char identity[PNX_THING_IDENTITY_MAX];
    pnx_error err = {0};
    assert_int_equal(kind_of(&port)->find("", identity, sizeof identity, &err), PNX_EINVAL);
    assert_int_equal(kind_of(&port)->find("sctp 1.2.3.4:5", identity, sizeof identity, &err),
                     PNX_EINVAL);
    assert_int_equal(kind_of(&port)->find("tcp nonsense", identity, sizeof identity, &err),
                     PNX_ENOTFOUND);
}

/* ---- who holds them -------------------------------------------------------------------------- */

static uint64_t inode_of(int fd)
{
    struct stat about;
    assert_int_equal(fstat(fd, &about), 0);
    return about.st_ino;
}

static void owners_are_found_in_one_pass(void **state)
{
    (void)state;
    int ours = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), theirs[2], ready[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, theirs), 0);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(ours);
        if (write(ready[1], "x", 1) != 1)
            _exit(1);
        pause();
        _exit(0);
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    uint64_t first = inode_of(theirs[0]), second = inode_of(theirs[1]), own = inode_of(ours);
    close(theirs[0]);
    close(theirs[1]);

    pnx_socket_owner owners[] = {{own, 7}, {second, 0}, {UINT64_MAX, 7}, {first, 0}};
    assert_int_equal(pnx_socket_owners(owners, 4, in_seconds(10)), 3);
    for (size_t i = 0; i < 4; i++) {
        pid_t expected = owners[i].inode == own          ? getpid()
                         : owners[i].inode == UINT64_MAX ? 0
                                                         : pid;
        assert_int_equal(owners[i].pid, expected);
    }
    /* In one process, and only those that have none yet. */
    for (size_t i = 0; i < 4; i++)
        owners[i].pid = 0;
    assert_int_equal(pnx_socket_owners_in(pid, owners, 4, in_seconds(10)), 2);
    assert_int_equal(pnx_socket_owners_in(pid, owners, 4, in_seconds(10)), 0);
    assert_int_equal(pnx_socket_owners_in(getpid(), owners, 4, in_seconds(10)), 1);
    /* Nothing is looked for when there is no time, or nothing to look for. */
    assert_int_equal(pnx_socket_owners(owners, 4, pnx_monotonic_now() - 1), 0);
    assert_int_equal(pnx_socket_owners(owners, 0, in_seconds(10)), 0);

    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(status_of_child(pid), 128 + SIGKILL);
    close(ours);
    close(ready[0]);
    close(ready[1]);
}

#define apart(test) cmocka_unit_test_setup_teardown(test, enter_apart, leave_apart)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EVERY_SORT(socket_sort),
        cmocka_unit_test(it_accepts_connections_and_is_private),
        cmocka_unit_test(all_types_are_bound),
        cmocka_unit_test(bad_paths_and_types_are_refused),
        cmocka_unit_test(the_longest_path_is_bound),
        cmocka_unit_test(links_and_other_files_are_left_alone),
        cmocka_unit_test(a_directory_that_is_gone_takes_it_along),
        cmocka_unit_test(a_socket_whose_path_leads_elsewhere_is_not_listed),
        apart(abstract_names_are_found_whatever_is_in_them),
        cmocka_unit_test(an_abstract_name_of_two_types_is_two_things),
        cmocka_unit_test(names_that_no_abstract_socket_has_are_refused),
        apart(many_are_listed),
        cmocka_unit_test(one_that_is_listened_on_is_found),
        cmocka_unit_test(connections_and_what_they_leave_are_not_listed),
        cmocka_unit_test(a_shared_port_is_several_things),
        apart(an_interface_is_part_of_the_name),
        cmocka_unit_test(names_that_no_port_has_are_refused),
        cmocka_unit_test(owners_are_found_in_one_pass),
    };
    return cmocka_run_group_tests(tests, make_the_place, drop_the_place);
}
