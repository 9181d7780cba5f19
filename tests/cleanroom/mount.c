/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/kind/mount.c and of its neighbours, in mount namespaces of their own. */
#include "kind/mount_table.h"
#include "sorts.h"

#include <limits.h>
#include <poll.h>
#include <sys/socket.h>

#define PLACE "/mnt"

static unsigned names;

static const char *new_name(void)
{
    static char name[8][64];
    char *chosen = name[names % 8];
    snprintf(chosen, sizeof name[0], PLACE "/m%u", names++);
    assert_int_equal(mkdir(chosen, 0755), 0);
    return chosen;
}

/* ---- mounts as the kernel tells them, read by other means than ours -------------------------- */

/* How often it is a mount point; octal escapes are not undone. */
static unsigned mounted(const char *point)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char *line = NULL, found[PATH_MAX];
    size_t size = 0;
    unsigned count = 0;
    assert_non_null(file);
    while (getline(&line, &size, file) > 0)
        count +=
            sscanf(line, "%*u %*u %*u:%*u %*s %4095s", found) == 1 && strcmp(found, point) == 0;
    free(line);
    fclose(file);
    return count;
}

static bool is_mounted(const char *name)
{
    return mounted(name) != 0;
}

static bool mount_foreign(const char *name)
{
    return mount("foreign", name, "tmpfs", 0, "size=64k") == 0;
}

static bool unmount_foreign(const char *name)
{
    return umount2(name, MNT_DETACH) == 0;
}

static pnx_status make_mount(const char *name, const pnx_keeper *keeper, pnx_thing **ret,
                             pnx_error *err)
{
    return pnx_mount_create("ours", name, "tmpfs", 0, "size=64k", keeper, ret, err);
}

static const struct sort mounts = {
    .kind = "mount",
    .new_name = new_name,
    .make = make_mount,
    .make_foreign = mount_foreign,
    .unmake_foreign = unmount_foreign,
    .exists = is_mounted,
    .has_window = true,
    .stacks = true,
};

/* ---- a place of their own -------------------------------------------------------------------- */

static int enter_place(void **state)
{
    enter_apart(state);
    if (!apart_refused && mount("place", PLACE, "tmpfs", 0, "mode=755") != 0) {
        leave_worlds();
        apart_refused = true;
    }
    return 0;
}

static bool count_in_place(const pnx_thing_info *info, void *context)
{
    /* Not what the place itself hides. */
    if (strncmp(info->name, PLACE "/", strlen(PLACE "/")) == 0 && exists(info->name)) {
        fprintf(stderr, "# '%s' is left behind\n", info->name);
        ++*(unsigned *)context;
    }
    return true;
}

static int leave_place(void **state)
{
    unsigned left = 0;
    if (!apart_refused)
        (void)pnx_thing_kind_named("mount")->list(count_in_place, &left, NULL);
    return leave_apart(state) || left;
}

/* The same once more as before Linux 6.8. */
static int enter_place_by_mountinfo(void **state)
{
    pnx__mounts_set_unique(0);
    return enter_place(state);
}

static int leave_place_by_mountinfo(void **state)
{
    int failed = leave_place(state);
    pnx__mounts_set_unique(-1);
    return failed;
}

static pnx_thing *adopt(const char *name)
{
    pnx_thing *thing = NULL;
    pnx_error err = {0};
    assert_ok(pnx_thing_adopt(kind_of(&mounts), name, NULL, &thing, &err), &err);
    return thing;
}

static void expect_removed(pnx_thing *thing)
{
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    assert_ok(pnx_thing_remove(thing, in_seconds(10), &outcome, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_REMOVED);
    assert_true(outcome.verified);
    assert_string_equal(outcome.reason, "");
    pnx_thing_free(thing);
}

static void expect_busy(pnx_thing *thing, const char *told)
{
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    assert_int_equal(pnx_thing_remove(thing, in_seconds(10), &outcome, &err), PNX_EBUSY);
    assert_int_equal(outcome.fate, PNX_FATE_STUCK);
    assert_non_null(strstr(outcome.reason, told));
}

/* ---- mounts upon mounts, in mounts, and copies ----------------------------------------------- */

static void one_beneath_another_at_the_same_place_waits_for_it(void **state)
{
    (void)state;
    expect_apart();
    const char *name = new_name();
    pnx_thing *ours = make_one(&mounts, name);
    assert_true(mount_foreign(name));
    expect_busy(ours, "another mount lies over");
    assert_int_equal(mounted(name), 2);
    /* Not even by a removal of our name with the identity of the other one's. */
    pnx_thing *theirs = adopt(name);
    assert_string_not_equal(pnx_thing_identity(theirs), pnx_thing_identity(ours));
    expect_removed(theirs);
    assert_int_equal(mounted(name), 1);
    expect_removed(ours);
    assert_int_equal(mounted(name), 0);
}

static void one_that_is_hidden_waits_for_what_hides_it(void **state)
{
    (void)state;
    expect_apart();
    const char *outer = new_name();
    char inner[PATH_MAX];
    snprintf(inner, sizeof inner, "%s/inner", outer);
    assert_int_equal(mkdir(inner, 0755), 0);
    pnx_thing *hidden = make_one(&mounts, inner);
    assert_true(mount_foreign(outer));
    assert_int_equal(mkdir(inner, 0755), 0);
    assert_true(mount_foreign(inner)); /* of the same name, in the one that hides */
    expect_busy(hidden, "another mount lies over");
    assert_true(unmount_foreign(inner));
    expect_busy(hidden, "another mount lies over");
    assert_true(unmount_foreign(outer));
    expect_removed(hidden);
}

static void one_with_others_in_it_is_busy_and_says_with_which(void **state)
{
    (void)state;
    expect_apart();
    const char *name = new_name();
    char inner[PATH_MAX], quoted[PATH_MAX + 2];
    snprintf(inner, sizeof inner, "%s/inner", name);
    snprintf(quoted, sizeof quoted, "'%s'", inner);
    pnx_thing *outer = make_one(&mounts, name);
    assert_int_equal(mkdir(inner, 0755), 0);
    assert_true(mount_foreign(inner));
    expect_busy(outer, quoted);
    assert_true(is_mounted(inner)); /* MNT_DETACH would have taken it along */
    assert_true(unmount_foreign(inner));
    expect_removed(outer);
}

static void a_copy_by_propagation_goes_with_it(void **state)
{
    (void)state;
    expect_apart();
    const char *from = new_name(), *to = new_name();
    assert_true(mount_foreign(from));
    assert_int_equal(mount(NULL, from, NULL, MS_SHARED, NULL), 0);
    assert_int_equal(mount(from, to, NULL, MS_BIND, NULL), 0);
    char first[PATH_MAX], second[PATH_MAX];
    snprintf(first, sizeof first, "%s/x", from);
    snprintf(second, sizeof second, "%s/x", to);
    assert_int_equal(mkdir(first, 0755), 0);
    pnx_thing *thing = make_one(&mounts, first);
    assert_true(is_mounted(second));
    pnx_thing *copy = adopt(second);
    expect_removed(thing);
    assert_false(is_mounted(second));
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    assert_ok(pnx_thing_remove(copy, in_seconds(10), &outcome, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_ALREADY_GONE);
    pnx_thing_free(copy);
    assert_true(unmount_foreign(to));
    assert_true(unmount_foreign(from));
}

/* ---- in use ---------------------------------------------------------------------------------- */

static void one_in_use_is_detached_and_says_by_whom(void **state)
{
    (void)state;
    expect_apart();
    const char *name = new_name();
    pnx_thing *thing = make_one(&mounts, name);
    int fd = open(in(name, "file"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    pnx_time began = pnx_monotonic_now();
    assert_ok(pnx_thing_remove(thing, pnx_time_after(began, PNX_MS(200)), &outcome, &err), &err);
    assert_true(pnx_monotonic_now() - began < PNX_S(5));
    assert_int_equal(outcome.fate, PNX_FATE_REMOVED);
    assert_true(outcome.verified);
    char pid[32];
    snprintf(pid, sizeof pid, "(pid %d)", (int)getpid());
    assert_non_null(strstr(outcome.reason, "lives on"));
    assert_non_null(strstr(outcome.reason, pid));
    assert_false(is_mounted(name));
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
    pnx_thing_free(thing);
}

static void use_that_ends_is_waited_for(void **state)
{
    (void)state;
    expect_apart();
    const char *name = new_name();
    pnx_thing *thing = make_one(&mounts, name);
    int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid ==
        0) { /* uses it until it has seen a failed attempt: then the mount point is watched */
        struct pollfd end = {.fd = ends[0]};
        close(ends[1]);
        (void)poll(&end, 1, -1);
        _exit(0);
    }
    close(fd);
    close(ends[0]);
    struct attempt attempt = {&mounts, name, pnx_thing_identity(thing), false};
    pid_t remover = fork();
    if (remover == 0) {
        pnx_outcome outcome = {0};
        pnx_status status = pnx_thing_remove_named(kind_of(&mounts), name, attempt.identity,
                                                   in_seconds(20), &outcome, NULL);
        _exit(status == PNX_OK && outcome.fate == PNX_FATE_REMOVED ? 0 : 1);
    }
    close(ends[1]); /* the remover holds none: the user ends now, before or after its first try */
    assert_int_equal(status_of_child(pid), 0);
    assert_int_equal(status_of_child(remover), 0);
    assert_false(is_mounted(name));
    pnx_thing_free(thing);
}

/* ---- names ----------------------------------------------------------------------------------- */

static void hostile_names_are_no_problem(void **state)
{
    (void)state;
    expect_apart();
    const char *const ends[] = {" ",         "\n",       "\t",        "\\",         "\\040",
                                "a b\\134c", "#",        "\xff",      "%s%n",       "\033[2J",
                                "-rf",       "'\"`$(x)", "(deleted)", "x//deleted", " - tmpfs x rw",
                                "\\0",       "\\9"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char name[PATH_MAX];
        snprintf(name, sizeof name, PLACE "/%s", ends[i]);
        if (strchr(ends[i], '/')) {
            snprintf(name, sizeof name, PLACE "/x");
            (void)mkdir(name, 0755);
            snprintf(name, sizeof name, PLACE "/x/deleted");
        }
        assert_int_equal(mkdir(name, 0755), 0);
        pnx_thing *thing = make_one(&mounts, name);
        assert_string_equal(pnx_thing_name(thing), name);
        assert_int_equal(listed(&mounts, name, pnx_thing_identity(thing)).seen, 1);
        expect_removed(thing);
        assert_int_equal(listed(&mounts, name, NULL).seen, 0);
        assert_int_equal(rmdir(name), 0);
    }
    pnx_thing *thing = NULL;
    pnx_error err = {0};
    const char *odd = " odd \\040 source\n";
    const char *name = new_name();
    assert_ok(pnx_mount_create(odd, name, "tmpfs", 0, NULL, NULL, &thing, &err), &err);
    struct wanted wanted = listed(&mounts, name, pnx_thing_identity(thing));
    assert_int_equal(wanted.seen, 1);
    expect_removed(thing);
    assert_ok(pnx_mount_create("", name, "tmpfs", 0, NULL, NULL, &thing, &err), &err);
    assert_int_equal(listed(&mounts, name, pnx_thing_identity(thing)).seen, 1);
    expect_removed(thing);
}

static void bad_names_are_refused_and_links_not_followed(void **state)
{
    (void)state;
    expect_apart();
    const pnx_thing_kind *kind = kind_of(&mounts);
    const char *const bad[] = {"", "x", "mnt/x", "/mnt/", "//mnt", "/mnt/../mnt", "/mnt/.", "/.."};
    char identity[PNX_THING_IDENTITY_MAX];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(kind->find(bad[i], identity, sizeof identity, NULL), PNX_EINVAL);
        assert_int_equal(kind->remove(bad[i], "u1", in_seconds(1), NULL), PNX_EINVAL);
    }
    pnx_error err = {0};
    const char *name = new_name(), *link = new_name();
    pnx_thing *thing = make_one(&mounts, name);
    assert_int_equal(rmdir(link), 0);
    assert_int_equal(symlink(name, link), 0);
    assert_int_equal(kind->find(link, identity, sizeof identity, &err), PNX_ENOTFOUND);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink("/", link), 0);
    char through[PATH_MAX];
    snprintf(through, sizeof through, "%s/proc", link);
    assert_int_equal(kind->find(through, identity, sizeof identity, &err), PNX_ENOTFOUND);
    /* A maker is given the name that the kernel knows. */
    char inner[PATH_MAX];
    snprintf(inner, sizeof inner, "%s%s/inner", link, name);
    assert_int_equal(mkdir(inner, 0755), 0);
    pnx_thing *other = make_one(&mounts, inner);
    snprintf(inner, sizeof inner, "%s/inner", name);
    assert_string_equal(pnx_thing_name(other), inner);
    expect_removed(other);
    expect_removed(thing);

    assert_int_equal(kind->find("/", identity, sizeof identity, &err), PNX_OK);
    assert_int_equal(kind->remove("/", identity, in_seconds(1), &err), PNX_EINVAL);
    assert_int_equal(kind->find("/mnt/none", identity, sizeof identity, &err), PNX_ENOTFOUND);
    assert_int_equal(pnx_mount_create("x", PLACE "/none", "tmpfs", 0, NULL, NULL, &thing, &err),
                     PNX_EINVAL);
    assert_int_equal(pnx_mount_create("x", name, "tmpfs", MS_BIND, NULL, NULL, &thing, &err),
                     PNX_EINVAL);
    assert_int_equal(pnx_mount_create("x", name, "nosuchfs", 0, NULL, NULL, &thing, &err),
                     PNX_EFAILED);
    assert_false(is_mounted(name));
}

static void identities_that_are_none_harm_nothing(void **state)
{
    (void)state;
    expect_apart();
    const char *name = new_name();
    assert_true(mount_foreign(name));
    const char *const identities[] = {"", "x", "u", "u0", "u-1", "m", "m1.0:1.0", "%s"};
    for (size_t i = 0; i < sizeof identities / sizeof *identities; i++) {
        pnx_outcome outcome = {0};
        (void)pnx_thing_remove_named(kind_of(&mounts), name, identities[i], in_seconds(1), &outcome,
                                     NULL);
        assert_true(is_mounted(name));
    }
    assert_true(unmount_foreign(name));
}

/* ---- bind mounts ----------------------------------------------------------------------------- */

static void files_and_directories_appear_elsewhere(void **state)
{
    (void)state;
    expect_apart();
    const char *from = new_name(), *to = new_name();
    pnx_thing *thing = NULL;
    pnx_error err = {0};
    write_file(in(from, "file"), 3);
    assert_ok(pnx_mount_bind(from, to, 0, NULL, &thing, &err), &err);
    assert_true(exists(in(to, "file")));
    write_file(in(to, "file"), 4);
    expect_removed(thing);
    assert_false(exists(in(to, "file")));

    assert_ok(pnx_mount_bind(from, to, MS_RDONLY, NULL, &thing, &err), &err);
    assert_int_equal(open(in(to, "file"), O_WRONLY | O_CLOEXEC), -1);
    assert_int_equal(errno, EROFS);
    expect_removed(thing);

    write_file(in(to, "onto"), 0);
    assert_ok(pnx_mount_bind(in(from, "file"), in(to, "onto"), 0, NULL, &thing, &err), &err);
    struct stat about;
    assert_int_equal(stat(in(to, "onto"), &about), 0);
    assert_int_equal(about.st_size, 4);
    expect_removed(thing);
    assert_int_equal(pnx_mount_bind(from, to, MS_REC, NULL, &thing, &err), PNX_EINVAL);
}

/* ---- FUSE ------------------------------------------------------------------------------------ */

static int mount_fuse(const char *name)
{
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    char data[80];
    snprintf(data, sizeof data, "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
    if (fd >= 0 && mount("dead", name, "fuse.test", 0, data) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void one_whose_server_died_is_found_and_removed(void **state)
{
    (void)state;
    expect_apart();
    const char *name = new_name();
    int fd = mount_fuse(name);
    if (fd < 0)
        skip();
    close(fd);
    struct stat about;
    assert_int_equal(stat(name, &about), -1);
    assert_int_equal(errno, ENOTCONN);
    pnx_thing *thing = adopt(name);
    struct wanted wanted = listed(&mounts, name, pnx_thing_identity(thing));
    assert_int_equal(wanted.seen, 1);
    expect_removed(thing);
    assert_false(is_mounted(name));
}

static void one_whose_server_hangs_holds_nobody_up(void **state)
{
    (void)state;
    expect_apart();
    const char *name = new_name();
    int fd = mount_fuse(name); /* and answers nothing */
    if (fd < 0)
        skip();
    pnx_thing *thing = adopt(name);
    expect_removed(thing);
    assert_false(is_mounted(name));
    close(fd);
}

/* What libfuse does: fusermount3 mounts, and passes the descriptor through a socket. */
static bool mount_by_fusermount(const char *name)
{
    int ends[2];
    char number[16];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
        return false;
    snprintf(number, sizeof number, "%d", ends[1]);
    pid_t pid = fork();
    if (pid == 0) {
        setenv("_FUSE_COMMFD", number, 1);
        execlp("fusermount3", "fusermount3", "-o", "fsname=ours", "--", name, (char *)NULL);
        _exit(127);
    }
    /* The descriptor stays in the socket: the server is there, and answers nothing. */
    return status_of_child(pid) == 0;
}

static void who_is_not_privileged_unmounts_fuse_mounts_of_his_own(void **state)
{
    (void)state;
    expect_apart();
    const char *name = new_name();
    /* Without the list of mounts that once was a file, fusermount3 mounts, but unmounts nothing. */
    if (access("/usr/bin/fusermount3", X_OK) != 0 || access("/dev/fuse", F_OK) != 0 ||
        access("/etc/mtab", R_OK) != 0)
        skip();
    assert_int_equal(chown(name, NOBODY, NOBODY), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
            _exit(1);
        if (!mount_by_fusermount(name))
            _exit(77);
        pnx_thing *thing = NULL;
        if (pnx_thing_adopt(kind_of(&mounts), name, NULL, &thing, NULL) != PNX_OK)
            _exit(2);
        pnx_error err = {0};
        pnx_outcome outcome = {0};
        if (pnx_thing_remove(thing, in_seconds(20), &outcome, &err) != PNX_OK)
            fprintf(stderr, "# %s\n", outcome.reason);
        _exit(outcome.fate == PNX_FATE_REMOVED && outcome.verified ? 0 : 3);
    }
    int status = status_of_child(pid);
    if (status == 77)
        skip();
    assert_int_equal(status, 0);
    assert_false(is_mounted(name));
}

static void who_is_not_privileged_mounts_in_a_user_namespace(void **state)
{
    (void)state;
    expect_apart();
    const char *name = new_name();
    pid_t pid = fork();
    if (pid == 0) {
        if (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
            _exit(1);
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
            _exit(77);
        pnx_thing *thing = NULL;
        if (make_mount(name, NULL, &thing, NULL) != PNX_OK || !is_mounted(name))
            _exit(2);
        pnx_outcome outcome = {0};
        (void)pnx_thing_remove(thing, in_seconds(10), &outcome, NULL);
        _exit(outcome.fate == PNX_FATE_REMOVED && !is_mounted(name) ? 0 : 3);
    }
    int status = status_of_child(pid);
    if (status == 77)
        skip();
    assert_int_equal(status, 0);
}

/* ---- many, and changes ----------------------------------------------------------------------- */

#define MANY 10000u

static void many_are_listed_and_each_is_found(void **state)
{
    (void)state;
    expect_apart();
    char name[40];
    const char *from = strdup(new_name());
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, PLACE "/many%u", i);
        assert_int_equal(mkdir(name, 0755), 0);
        assert_int_equal(mount(from, name, NULL, MS_BIND, NULL), 0);
    }
    assert_true(count_of("mount") >= MANY);
    for (unsigned i = 0; i < MANY; i += 97) {
        snprintf(name, sizeof name, PLACE "/many%u", i);
        expect_removed(adopt(name));
        assert_int_equal(mount(from, name, NULL, MS_BIND, NULL), 0);
    }
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, PLACE "/many%u", i);
        assert_int_equal(umount2(name, MNT_DETACH), 0);
    }
    free((void *)from);
}

static void changes_are_told_once(void **state)
{
    (void)state;
    expect_apart();
    const char *name = new_name();
    int watch = pnx__mounts_watch();
    assert_true(watch >= 0);
    assert_false(pnx__mounts_changed(watch));
    pnx_thing *thing = make_one(&mounts, name);
    assert_true(pnx__mounts_changed(watch));
    assert_false(pnx__mounts_changed(watch));
    expect_removed(thing);
    assert_true(pnx__mounts_changed(watch));
    assert_false(pnx__mounts_changed(watch));
    close(watch);
    assert_true(pnx__mounts_changed(-1)); /* who cannot watch has to look */
}

static void both_ways_of_listing_tell_the_same(void **state)
{
    (void)state;
    expect_apart();
    if (!pnx__mounts_unique())
        skip();
    const char *name = new_name();
    pnx_thing *thing = make_one(&mounts, name);
    unsigned by_number = count_of("mount");
    struct wanted numbered = listed(&mounts, name, NULL);
    assert_string_equal(numbered.info.type ? "tmpfs" : "", "tmpfs");
    pnx__mounts_set_unique(0);
    unsigned by_text = count_of("mount");
    assert_int_equal(listed(&mounts, name, NULL).seen, 1);
    pnx__mounts_set_unique(-1);
    assert_int_equal(by_number, by_text);
    expect_removed(thing);
}

#define IN_PLACE(test, sort)                                                                       \
    {                                                                                              \
#test " (" #sort ")", test, enter_place, leave_place, (void *)&sort                        \
    }
#define BY_MOUNTINFO(test, sort)                                                                   \
    {                                                                                              \
#test " (" #sort ", by mountinfo)", test, enter_place_by_mountinfo,                        \
            leave_place_by_mountinfo, (void *)&sort                                                \
    }
#define BOTH_WAYS(test, sort) IN_PLACE(test, sort), BY_MOUNTINFO(test, sort)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EVERY_SORT_BY(BOTH_WAYS, mounts),
        BOTH_WAYS(one_beneath_another_at_the_same_place_waits_for_it, mounts),
        BOTH_WAYS(one_that_is_hidden_waits_for_what_hides_it, mounts),
        BOTH_WAYS(one_with_others_in_it_is_busy_and_says_with_which, mounts),
        BOTH_WAYS(a_copy_by_propagation_goes_with_it, mounts),
        IN_PLACE(one_in_use_is_detached_and_says_by_whom, mounts),
        IN_PLACE(use_that_ends_is_waited_for, mounts),
        BOTH_WAYS(hostile_names_are_no_problem, mounts),
        BOTH_WAYS(bad_names_are_refused_and_links_not_followed, mounts),
        BOTH_WAYS(identities_that_are_none_harm_nothing, mounts),
        IN_PLACE(files_and_directories_appear_elsewhere, mounts),
        BOTH_WAYS(one_whose_server_died_is_found_and_removed, mounts),
        BOTH_WAYS(one_whose_server_hangs_holds_nobody_up, mounts),
        IN_PLACE(who_is_not_privileged_unmounts_fuse_mounts_of_his_own, mounts),
        IN_PLACE(who_is_not_privileged_mounts_in_a_user_namespace, mounts),
        BOTH_WAYS(many_are_listed_and_each_is_found, mounts),
        IN_PLACE(changes_are_told_once, mounts),
        IN_PLACE(both_ways_of_listing_tell_the_same, mounts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
