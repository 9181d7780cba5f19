/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/kind/netns.c, with a /run of their own. */
#include "sorts.h"

#include <limits.h>

static const char *new_name(void)
{
    static char name[8][64];
    static unsigned count;
    char *chosen = name[count % 8];
    snprintf(chosen, sizeof name[0], "pnx-test-%d-%u", (int)getpid(), count++);
    return chosen;
}

static const char *path_of(const char *name)
{
    return in("/run/netns", name);
}

static bool is_there(const char *name)
{
    return exists(path_of(name));
}

/* As ip-netns(8) does it. */
static bool make_foreign(const char *name)
{
    (void)mkdir("/run/netns", 0755);
    int fd = open(path_of(name), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
    if (fd < 0)
        return false;
    close(fd);
    pid_t pid = fork();
    if (pid == 0)
        _exit(unshare(CLONE_NEWNET) == 0 &&
                      mount("/proc/self/ns/net", path_of(name), NULL, MS_BIND, NULL) == 0
                  ? 0
                  : 1);
    return status_of_child(pid) == 0;
}

static bool unmake_foreign(const char *name)
{
    (void)umount2(path_of(name), MNT_DETACH);
    return unlink(path_of(name)) == 0;
}

static pnx_status make_netns(const char *name, const pnx_keeper *keeper, pnx_thing **ret,
                             pnx_error *err)
{
    return pnx_netns_create(name, keeper, ret, err);
}

static const struct sort namespaces = {
    .kind = "netns",
    .new_name = new_name,
    .make = make_netns,
    .make_foreign = make_foreign,
    .unmake_foreign = unmake_foreign,
    .exists = is_there,
    .has_window = true, /* of one system call, in which another one is mounted over ours */
};

static int enter_run(void **state)
{
    enter_apart(state);
    if (!apart_refused && mount("run", "/run", "tmpfs", 0, "mode=755") != 0) {
        leave_worlds();
        apart_refused = true;
    }
    return 0;
}

static int leave_run(void **state)
{
    unsigned left = apart_refused ? 0 : count_of("netns");
    return leave_apart(state) || left;
}

static ino_t namespace_of(const char *path)
{
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    return about.st_ino;
}

static void it_is_a_network_of_its_own(void **state)
{
    (void)state;
    expect_apart();
    const char *name = new_name();
    ino_t before = namespace_of("/proc/thread-self/ns/net");
    pnx_thing *thing = make_one(&namespaces, name);
    assert_int_equal(namespace_of("/proc/thread-self/ns/net"), before); /* we stay where we are */
    assert_int_not_equal(namespace_of(path_of(name)), before);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(path_of(name), O_RDONLY | O_CLOEXEC);
        _exit(fd >= 0 && setns(fd, CLONE_NEWNET) == 0 ? 0 : 1);
    }
    assert_int_equal(status_of_child(pid), 0);
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    assert_ok(pnx_thing_remove(thing, in_seconds(10), &outcome, &err), &err);
    assert_string_equal(outcome.reason, "");
    pnx_thing_free(thing);
}

static void one_that_is_used_loses_its_name_and_says_by_whom(void **state)
{
    (void)state;
    expect_apart();
    const char *name = new_name();
    pnx_thing *thing = make_one(&namespaces, name);
    int ready[2], end[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(end), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(end[1]);
        int fd = open(path_of(name), O_RDONLY | O_CLOEXEC);
        if (fd < 0 || setns(fd, CLONE_NEWNET) != 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        close(fd);
        (void)!read(end[0], &byte, 1);
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    assert_ok(pnx_thing_remove(thing, in_seconds(10), &outcome, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_REMOVED);
    char told[32];
    snprintf(told, sizeof told, "(pid %d)", (int)pid);
    assert_non_null(strstr(outcome.reason, "lives on"));
    assert_non_null(strstr(outcome.reason, told));
    close(end[1]);
    close(end[0]);
    close(ready[0]);
    close(ready[1]);
    assert_int_equal(status_of_child(pid), 0);
    pnx_thing_free(thing);
}

static void a_file_without_a_namespace_is_one_that_was_left_half_made(void **state)
{
    (void)state;
    expect_apart();
    const char *name = new_name();
    pnx_error err = {0};
    pnx_thing *thing = NULL;
    (void)mkdir("/run/netns", 0755);
    write_file(path_of(name), 0);
    struct wanted wanted = listed(&namespaces, name, NULL);
    assert_int_equal(wanted.seen, 1);
    assert_ok(pnx_thing_adopt(kind_of(&namespaces), name, NULL, &thing, &err), &err);
    assert_ok(pnx_thing_remove(thing, in_seconds(10), NULL, &err), &err);
    assert_false(is_there(name));
    pnx_thing_free(thing);

    /* What has something in it, or is something else, is not. */
    char identity[PNX_THING_IDENTITY_MAX];
    write_file(path_of(name), 1);
    assert_int_equal(kind_of(&namespaces)->find(name, identity, sizeof identity, &err),
                     PNX_ENOTFOUND);
    assert_int_equal(listed(&namespaces, name, NULL).seen, 0);
    assert_int_equal(unlink(path_of(name)), 0);
    assert_int_equal(symlink("/proc/self/ns/net", path_of(name)), 0);
    assert_int_equal(kind_of(&namespaces)->find(name, identity, sizeof identity, &err),
                     PNX_ENOTFOUND);
    assert_int_equal(unlink(path_of(name)), 0);
}

static void one_that_was_mounted_upon_ours_survives(void **state)
{
    (void)state;
    expect_apart();
    const char *name = new_name();
    pnx_thing *thing = make_one(&namespaces, name);
    assert_int_equal(mount("/proc/thread-self/ns/net", path_of(name), NULL, MS_BIND, NULL), 0);
    pnx_outcome outcome = {0};
    pnx_error err = {0};
    (void)pnx_thing_remove(thing, in_seconds(10), &outcome, &err);
    assert_int_equal(namespace_of(path_of(name)), namespace_of("/proc/thread-self/ns/net"));
    assert_int_equal(umount2(path_of(name), MNT_DETACH), 0);
    assert_ok(pnx_thing_remove(thing, in_seconds(10), &outcome, &err), &err);
    pnx_thing_free(thing);
    (void)unmake_foreign(name);
}

static void without_a_directory_there_are_none(void **state)
{
    (void)state;
    expect_apart();
    char identity[PNX_THING_IDENTITY_MAX];
    (void)rmdir("/run/netns");
    assert_int_equal(count_of("netns"), 0);
    assert_int_equal(kind_of(&namespaces)->find("x", identity, sizeof identity, NULL),
                     PNX_ENOTFOUND);
    assert_int_equal(kind_of(&namespaces)->remove("x", "n1.2.3", in_seconds(1), NULL),
                     PNX_EALREADY);
}

static void bad_names_are_refused_and_odd_ones_are_not(void **state)
{
    (void)state;
    expect_apart();
    char longest[NAME_MAX + 2];
    memset(longest, 'n', sizeof longest - 1);
    longest[NAME_MAX + 1] = '\0';
    const char *const bad[] = {"", ".", "..", "a/b", "/a", longest};
    pnx_thing *thing = NULL;
    char identity[PNX_THING_IDENTITY_MAX];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(pnx_netns_create(bad[i], NULL, &thing, NULL), PNX_EINVAL);
        assert_int_equal(kind_of(&namespaces)->find(bad[i], identity, sizeof identity, NULL),
                         PNX_EINVAL);
        assert_int_equal(kind_of(&namespaces)->remove(bad[i], "n1.2.3", in_seconds(1), NULL),
                         PNX_EINVAL);
    }
    longest[NAME_MAX] = '\0';
    const char *const odd[] = {"a b", "\n", "\\040", "%s%n", "\xff", "-rf", "\033[2J", longest};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        pnx_error err = {0};
        thing = make_one(&namespaces, odd[i]);
        assert_int_equal(listed(&namespaces, odd[i], pnx_thing_identity(thing)).seen, 1);
        assert_ok(pnx_thing_remove(thing, in_seconds(10), NULL, &err), &err);
        assert_false(is_there(odd[i]));
        pnx_thing_free(thing);
    }
}

#define IN_RUN(test, sort)                                                                         \
    {                                                                                              \
#test " (" #sort ")", test, enter_run, leave_run, (void *)&sort                            \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        EVERY_SORT_BY(IN_RUN, namespaces),
        IN_RUN(it_is_a_network_of_its_own, namespaces),
        IN_RUN(one_that_is_used_loses_its_name_and_says_by_whom, namespaces),
        IN_RUN(a_file_without_a_namespace_is_one_that_was_left_half_made, namespaces),
        IN_RUN(one_that_was_mounted_upon_ours_survives, namespaces),
        IN_RUN(without_a_directory_there_are_none, namespaces),
        IN_RUN(bad_names_are_refused_and_odd_ones_are_not, namespaces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
