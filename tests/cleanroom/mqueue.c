/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/kind/mqueue.c. */
#include "sorts.h"

#include <limits.h>
#include <sys/resource.h>

static const char *new_name(void)
{
    static char name[64];
    static unsigned count;
    snprintf(name, sizeof name, "/pnx-test-%d-%u", (int)getpid(), count++);
    return name;
}

static pnx_status make(const char *name, const pnx_keeper *keeper, pnx_thing **ret, pnx_error *err)
{
    return pnx_mqueue_create(name, 0, 0, keeper, ret, NULL, err);
}

static bool make_foreign(const char *name)
{
    mqd_t queue = mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, NULL);
    return queue >= 0 && mq_close(queue) == 0;
}

static bool unmake_foreign(const char *name)
{
    return mq_unlink(name) == 0;
}

static bool exists_queue(const char *name)
{
    mqd_t queue = mq_open(name, O_RDONLY);
    if (queue < 0)
        return errno != ENOENT;
    mq_close(queue);
    return true;
}

static const struct sort mqueue = {
    .kind = "mqueue",
    .new_name = new_name,
    .make = make,
    .make_foreign = make_foreign,
    .unmake_foreign = unmake_foreign,
    .exists = exists_queue,
    .has_window = true,
};

/* ---- making ---------------------------------------------------------------------------------- */

static void it_has_its_sizes_and_is_private(void **state)
{
    (void)state;
    const char *name = new_name();
    pnx_thing *thing;
    pnx_error err = {0};
    mqd_t queue = -1;
    mode_t mask = umask(0777);
    assert_ok(pnx_mqueue_create(name, 3, 100, NULL, &thing, &queue, &err), &err);
    umask(mask);
    struct mq_attr sizes;
    struct stat about;
    assert_int_equal(mq_getattr(queue, &sizes), 0);
    assert_int_equal(sizes.mq_maxmsg, 3);
    assert_int_equal(sizes.mq_msgsize, 100);
    assert_int_equal(fstat(queue, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0600);
    assert_true(fcntl(queue, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(mq_send(queue, "full", 4, 0), 0);

    pnx_outcome outcome = {0};
    assert_ok(pnx_thing_remove(thing, in_seconds(10), &outcome, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_REMOVED); /* in use, and with a message in it */
    assert_false(exists_queue(name));
    assert_int_equal(mq_close(queue), 0);
    pnx_thing_free(thing);
}

static void bad_names_and_sizes_are_refused(void **state)
{
    (void)state;
    char too_long[NAME_MAX + 3];
    memset(too_long, 'n', sizeof too_long - 1);
    too_long[0] = '/';
    too_long[sizeof too_long - 1] = '\0';
    const char *const names[] = {"", "/", "x", "x/y", "/x/y", "//x", "/.", "/..", too_long};
    char identity[PNX_THING_IDENTITY_MAX];
    pnx_thing *thing = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct told_keeper told = {0};
        pnx_keeper keeper = keeper_that_tells(&told);
        pnx_error err = {0};
        assert_int_equal(make(names[i], &keeper, &thing, &err), PNX_EINVAL);
        assert_int_equal(kind_of(&mqueue)->find(names[i], identity, sizeof identity, &err),
                         PNX_EINVAL);
        assert_string_equal(told.events, "");
    }
    struct told_keeper told = {0};
    pnx_keeper keeper = keeper_that_tells(&told);
    pnx_error err = {0};
    const char *name = new_name();
    assert_int_equal(pnx_mqueue_create(name, -1, 100, &keeper, &thing, NULL, &err), PNX_EINVAL);
    assert_string_equal(told.events, "ig");
    assert_int_equal(told.outcome.fate, PNX_FATE_ALREADY_GONE);
    assert_null(thing);
    assert_false(exists_queue(name));
}

static void hostile_names_are_no_problem(void **state)
{
    (void)state;
    const char *const ends[] = {"\n", "\033[2J", "\xff\xfe", " * ", "%s%n", "\\", "'\"$(x)", "-rf"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char name[NAME_MAX];
        snprintf(name, sizeof name, "%s%s", new_name(), ends[i]);
        pnx_thing *thing = make_one(&mqueue, name);
        pnx_error err = {0};
        assert_ok(pnx_thing_remove(thing, in_seconds(10), NULL, &err), &err);
        assert_false(exists_queue(name));
        pnx_thing_free(thing);
    }
}

static void limits_are_named(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        pnx_thing *thing;
        pnx_error err = {0};
        if (setrlimit(RLIMIT_MSGQUEUE, &none) != 0)
            _exit(1);
        pnx_status status = make(new_name(), NULL, &thing, &err);
        _exit(status == PNX_ELIMIT && strstr(err.message, "ulimit -q") ? 0 : 2);
    }
    assert_int_equal(status_of_child(pid), 0);
}

/* ---- removing -------------------------------------------------------------------------------- */

static void whom_we_may_not_open_is_found_in_the_directory(void **state)
{
    (void)state;
    expect_apart();
    const char *name = new_name();
    pnx_thing *thing = make_one(&mqueue, name);
    char expected[PNX_THING_IDENTITY_MAX];
    snprintf(expected, sizeof expected, "%s", pnx_thing_identity(thing));
    if (mount("tmpfs", "/dev", "tmpfs", 0, "mode=755") != 0)
        skip();
    assert_int_equal(mkdir("/dev/mqueue", 0755), 0);
    assert_int_equal(mount("mqueue", "/dev/mqueue", "mqueue", 0, NULL), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char identity[PNX_THING_IDENTITY_MAX];
        pnx_error err = {0};
        if (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
            _exit(1);
        if (kind_of(&mqueue)->find(name, identity, sizeof identity, &err) != PNX_OK)
            _exit(2);
        _exit(strcmp(identity, expected) == 0 ? 0 : 3);
    }
    int status = status_of_child(pid);
    umount2("/dev/mqueue", MNT_DETACH);
    umount2("/dev", MNT_DETACH);
    assert_int_equal(status, 0);
    pnx_error err = {0};
    assert_ok(pnx_thing_remove(thing, in_seconds(10), NULL, &err), &err);
    pnx_thing_free(thing);
}

static void the_window_is_two_system_calls(void **state)
{
    (void)state;
    unsigned stop = 0, survived = 0, harmed = 0;
    enum stepped stepped = STEPPED_INTO;
    while (stepped == STEPPED_INTO) {
        const char *name = new_name();
        pnx_thing *thing = make_one(&mqueue, name);
        struct attempt attempt = {&mqueue, name, pnx_thing_identity(thing), false};
        stepped = run_stepped(remove_in_child, &attempt, ++stop, take_over);
        if (stepped == STEPPED_REFUSED)
            skip();
        if (exists_queue(name)) {
            survived++;
            assert_true(unmake_foreign(name));
        } else if (stepped == STEPPED_INTO) {
            harmed++;
        }
        pnx_thing_free(thing);
    }
    /* Stopped when the queue has been opened, before and after it is looked at, and before
     * mq_unlink(3): never elsewhere. */
    assert_int_equal(harmed, 4);
    assert_int_equal(survived + harmed + 1, stop);
}

/* ---- listing --------------------------------------------------------------------------------- */

static pnx_status list_as_nobody(unsigned *ret_count)
{
    int told[2];
    assert_int_equal(pipe2(told, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        unsigned count = 0;
        if (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
            _exit(100);
        pnx_error err = {0};
        pnx_status status = pnx_thing_kind_named("mqueue")->list(count_thing, &count, &err);
        if (status != PNX_OK && !strstr(err.message, "/dev/mqueue"))
            _exit(101);
        _exit(write(told[1], &count, sizeof count) == sizeof count ? (int)status : 102);
    }
    close(told[1]);
    if (read(told[0], ret_count, sizeof *ret_count) != sizeof *ret_count)
        *ret_count = 0;
    close(told[0]);
    return (pnx_status)status_of_child(pid);
}

static void without_privilege_it_needs_the_mounted_directory(void **state)
{
    (void)state;
    expect_apart();
    unsigned count = 0;
    if (mount("tmpfs", "/dev", "tmpfs", 0, "mode=755") != 0)
        skip();
    const char *name = new_name();
    assert_true(make_foreign(name));
    assert_int_equal(list_as_nobody(&count), PNX_EUNSUPPORTED);
    assert_int_equal(mkdir("/dev/mqueue", 0755), 0);
    assert_int_equal(list_as_nobody(&count), PNX_EUNSUPPORTED); /* any other directory */
    assert_int_equal(mount("mqueue", "/dev/mqueue", "mqueue", 0, NULL), 0);
    assert_int_equal(list_as_nobody(&count), PNX_OK);
    assert_int_equal(count, 1);
    assert_true(unmake_foreign(name));

    /* In another IPC namespace it still shows the queues of the old one. */
    mqd_t readable = mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, NULL);
    assert_true(readable >= 0);
    assert_int_equal(fchmod(readable, 0666), 0);
    mq_close(readable);
    assert_int_equal(list_as_nobody(&count), PNX_OK);
    assert_int_equal(count, 1);
    pid_t pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWIPC) != 0)
            _exit(1);
        if (count_of("mqueue") != 0) /* with privilege we see our own */
            _exit(2);
        if (list_as_nobody(&count) != PNX_EUNSUPPORTED)
            _exit(3);
        /* One of the same name in both: the device tells. */
        mqd_t twin = mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, NULL);
        if (twin < 0 || fchmod(twin, 0666) != 0)
            _exit(4);
        _exit(list_as_nobody(&count) == PNX_OK ? 5 : 0);
    }
    assert_int_equal(status_of_child(pid), 0);
    assert_true(unmake_foreign(name));
    umount2("/dev/mqueue", MNT_DETACH);
    umount2("/dev", MNT_DETACH);
}

#define MANY 600

static void many_are_listed(void **state)
{
    (void)state;
    expect_apart();
    FILE *file = fopen("/proc/sys/fs/mqueue/queues_max", "we");
    if (!file || fprintf(file, "20000\n") < 0 || fclose(file) != 0)
        skip();
    struct mq_attr small = {.mq_maxmsg = 1, .mq_msgsize = 1};
    unsigned made = 0;
    char name[24];
    for (; made < MANY; made++) { /* RLIMIT_MSGQUEUE is for all that the user has anywhere */
        snprintf(name, sizeof name, "/%u", made);
        mqd_t queue = mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &small);
        if (queue < 0)
            break;
        mq_close(queue);
    }
    assert_int_equal(made, MANY);
    assert_int_equal(count_of("mqueue"), made);
    for (unsigned i = 0; i < made; i++) {
        snprintf(name, sizeof name, "/%u", i);
        assert_int_equal(mq_unlink(name), 0);
    }
}

#define apart(test) cmocka_unit_test_setup_teardown(test, enter_apart, leave_apart)

int main(void)
{
    /* What others have counts, too. */
    (void)setrlimit(RLIMIT_MSGQUEUE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
    const struct CMUnitTest tests[] = {
        EVERY_SORT(mqueue),
        cmocka_unit_test(it_has_its_sizes_and_is_private),
        cmocka_unit_test(bad_names_and_sizes_are_refused),
        cmocka_unit_test(hostile_names_are_no_problem),
        cmocka_unit_test(limits_are_named),
        apart(whom_we_may_not_open_is_found_in_the_directory),
        cmocka_unit_test(the_window_is_two_system_calls),
        apart(without_privilege_it_needs_the_mounted_directory),
        apart(many_are_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
