/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/kind/shm.c, semaphore.c, shm_dir.c and inode.c. */
#include "sorts.h"

#include "kind/procfs.h"

#include <limits.h>
#include <sys/mman.h>

#define ASIDE "/dev/shm/.cleanroom-"

static const char *new_name(void)
{
    static char name[64];
    static unsigned count;
    snprintf(name, sizeof name, "/pnx-test-%d-%u", (int)getpid(), count++);
    return name;
}

static const char *file_of(const char *prefix, const char *name)
{
    static char path[PATH_MAX];
    snprintf(path, sizeof path, "/dev/shm/%s%s", prefix, name + 1);
    return path;
}

/* What a removal that was interrupted may leave. */
static bool remains(const char *identity)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, ASIDE "%s", identity);
    return exists(path);
}

/* ---- the sorts ------------------------------------------------------------------------------- */

static pnx_status make_shm(const char *name, const pnx_keeper *keeper, pnx_thing **ret,
                           pnx_error *err)
{
    return pnx_shm_create(name, 4096, keeper, ret, NULL, err);
}

static bool make_foreign_shm(const char *name)
{
    int fd = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static bool unmake_foreign_shm(const char *name)
{
    return shm_unlink(name) == 0;
}

static bool exists_shm(const char *name)
{
    return exists(file_of("", name));
}

static const struct sort shm = {
    .kind = "shm",
    .new_name = new_name,
    .make = make_shm,
    .make_foreign = make_foreign_shm,
    .unmake_foreign = unmake_foreign_shm,
    .exists = exists_shm,
    .remains = remains,
};

static pnx_status make_semaphore(const char *name, const pnx_keeper *keeper, pnx_thing **ret,
                                 pnx_error *err)
{
    return pnx_semaphore_create(name, 1, keeper, ret, NULL, err);
}

static bool make_foreign_semaphore(const char *name)
{
    sem_t *semaphore = sem_open(name, O_CREAT | O_EXCL, 0600, 1);
    return semaphore != SEM_FAILED && sem_close(semaphore) == 0;
}

static bool unmake_foreign_semaphore(const char *name)
{
    return sem_unlink(name) == 0;
}

static bool exists_semaphore(const char *name)
{
    return exists(file_of("sem.", name));
}

static const struct sort semaphore = {
    .kind = "semaphore",
    .new_name = new_name,
    .make = make_semaphore,
    .make_foreign = make_foreign_semaphore,
    .unmake_foreign = unmake_foreign_semaphore,
    .exists = exists_semaphore,
    .remains = remains,
};

/* ---- shared memory --------------------------------------------------------------------------- */

static void it_has_its_size_and_is_private(void **state)
{
    (void)state;
    const char *name = new_name();
    pnx_thing *thing;
    pnx_error err = {0};
    int fd = -1;
    mode_t mask = umask(0777);
    assert_ok(pnx_shm_create(name, 10000, NULL, &thing, &fd, &err), &err);
    umask(mask);
    struct stat about;
    assert_int_equal(fstat(fd, &about), 0);
    assert_int_equal(about.st_size, 10000);
    assert_int_equal(about.st_mode & 07777, 0600);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);

    int other = shm_open(name, O_RDWR, 0);
    assert_true(other >= 0);
    assert_int_equal(write(other, "seen", 4), 4);
    char text[5] = "";
    assert_int_equal(pread(fd, text, 4, 0), 4);
    assert_string_equal(text, "seen");
    close(other);
    close(fd);
    assert_true(listed(&shm, name, NULL).info.bytes >= 4096);
    assert_ok(pnx_thing_remove(thing, in_seconds(10), NULL, &err), &err);
    pnx_thing_free(thing);
}

static void what_is_mapped_loses_its_name(void **state)
{
    (void)state;
    const char *name = new_name();
    pnx_thing *thing;
    pnx_error err = {0};
    int fd = -1;
    assert_ok(pnx_shm_create(name, 4096, NULL, &thing, &fd, &err), &err);
    char *mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(mapped, MAP_FAILED);
    close(fd);
    assert_ok(pnx_thing_remove(thing, in_seconds(10), NULL, &err), &err);
    assert_false(exists_shm(name));
    mapped[0] = 'x'; /* whoever has it keeps it */
    assert_int_equal(munmap(mapped, 4096), 0);
    pnx_thing_free(thing);
}

static void bad_names_and_sizes_are_refused(void **state)
{
    (void)state;
    char too_long[NAME_MAX + 3];
    memset(too_long, 'n', sizeof too_long - 1);
    too_long[0] = '/';
    too_long[sizeof too_long - 1] = '\0';
    const char *const names[] = {"",    "/",  "x",   "x/y",   "/x/y",
                                 "//x", "/.", "/..", "/../x", too_long};
    char identity[PNX_THING_IDENTITY_MAX];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct told_keeper told = {0};
        pnx_keeper keeper = keeper_that_tells(&told);
        pnx_error err = {0};
        pnx_thing *thing = NULL;
        assert_int_equal(pnx_shm_create(names[i], 1, &keeper, &thing, NULL, &err), PNX_EINVAL);
        assert_int_equal(kind_of(&shm)->find(names[i], identity, sizeof identity, &err),
                         PNX_EINVAL);
        assert_int_equal(kind_of(&shm)->remove(names[i], "0:0:1", in_seconds(1), &err), PNX_EINVAL);
        assert_string_equal(told.events, "");
        assert_null(thing);
        if (strstr(names[i], ".") && strlen(names[i]) < 4)
            continue; /* "/sem.." is the file of a semaphore like any other */
        assert_int_equal(pnx_semaphore_create(names[i], 1, &keeper, &thing, NULL, &err),
                         PNX_EINVAL);
    }
    pnx_error err = {0};
    pnx_thing *thing = NULL;
    const char *name = new_name();
    assert_int_equal(pnx_shm_create("/sem.x", 1, NULL, &thing, NULL, &err), PNX_EINVAL);
    assert_int_equal(pnx_shm_create(name, SIZE_MAX, NULL, &thing, NULL, &err), PNX_EINVAL);
    assert_int_equal(
        pnx_semaphore_create(name, (unsigned)SEM_VALUE_MAX + 1, NULL, &thing, NULL, &err),
        PNX_EINVAL);
    assert_false(exists_shm(name));
    assert_false(exists_semaphore(name));
}

static void hostile_names_are_no_problem(void **state)
{
    (void)state;
    const char *const ends[] = {"\n", "\033[2J", "\xff\xfe", " * ", "%s%n", "\\", "'\"$(x)", "-rf"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char name[NAME_MAX];
        snprintf(name, sizeof name, "%s%s", new_name(), ends[i]);
        const struct sort *const sorts[] = {&shm, &semaphore};
        for (size_t j = 0; j < 2; j++) {
            pnx_thing *thing = make_one(sorts[j], name);
            assert_int_equal(listed(sorts[j], name, pnx_thing_identity(thing)).seen, 1);
            pnx_error err = {0};
            assert_ok(pnx_thing_remove(thing, in_seconds(10), NULL, &err), &err);
            assert_false(sorts[j]->exists(name));
            pnx_thing_free(thing);
        }
    }
    char longest[NAME_MAX + 2];
    memset(longest, 'n', sizeof longest - 1);
    longest[NAME_MAX + 1] = '\0';
    memcpy(longest, new_name(), strlen(new_name()) - 1);
    pnx_thing *thing = make_one(&shm, longest);
    pnx_error err = {0};
    assert_ok(pnx_thing_remove(thing, in_seconds(10), NULL, &err), &err);
    assert_false(exists_shm(longest));
    pnx_thing_free(thing);
}

static void what_is_no_object_is_not_found_and_not_followed(void **state)
{
    (void)state;
    const char *target = strdup(new_name()), *name = strdup(new_name());
    pnx_thing *thing = make_one(&shm, target);
    pnx_error err = {0};
    char identity[PNX_THING_IDENTITY_MAX];
    assert_int_equal(symlink(target + 1, file_of("", name)), 0);
    assert_int_equal(kind_of(&shm)->find(name, identity, sizeof identity, &err), PNX_ENOTFOUND);
    assert_int_equal(listed(&shm, name, NULL).seen, 0);
    /* Not even with the identity of what it leads to. */
    pnx_status status =
        kind_of(&shm)->remove(name, pnx_thing_identity(thing), in_seconds(10), &err);
    assert_int_equal(status, PNX_EALREADY);
    assert_true(exists_shm(target));
    assert_true(exists_shm(name));
    assert_int_equal(unlink(file_of("", name)), 0);

    assert_int_equal(mkdir(file_of("", name), 0700), 0);
    assert_int_equal(kind_of(&shm)->find(name, identity, sizeof identity, &err), PNX_ENOTFOUND);
    assert_int_equal(listed(&shm, name, NULL).seen, 0);
    assert_int_equal(rmdir(file_of("", name)), 0);
    assert_ok(pnx_thing_remove(thing, in_seconds(10), NULL, &err), &err);
    pnx_thing_free(thing);
    free((void *)target);
    free((void *)name);
}

static void one_that_was_put_aside_is_found_there(void **state)
{
    (void)state;
    const char *name = new_name();
    pnx_thing *thing = make_one(&shm, name);
    char aside[PATH_MAX];
    snprintf(aside, sizeof aside, ASIDE "%s", pnx_thing_identity(thing));
    assert_int_equal(rename(file_of("", name), aside), 0); /* and then we were killed */
    assert_true(make_foreign_shm(name));
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    assert_ok(pnx_thing_remove(thing, in_seconds(10), &outcome, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_REMOVED);
    assert_false(exists(aside));
    assert_true(exists_shm(name));
    assert_true(unmake_foreign_shm(name));
    pnx_thing_free(thing);
}

static void a_name_aside_that_is_taken_is_no_obstacle(void **state)
{
    (void)state;
    const char *name = new_name();
    pnx_thing *thing = make_one(&shm, name);
    char aside[PATH_MAX];
    snprintf(aside, sizeof aside, ASIDE "%s", pnx_thing_identity(thing));
    write_file(aside, 1);
    pnx_error err = {0};
    /* Then it cannot be put there: what has the name is looked at all the same. */
    assert_true(unmake_foreign_shm(name));
    assert_true(make_foreign_shm(name));
    pnx_status status =
        kind_of(&shm)->remove(name, pnx_thing_identity(thing), in_seconds(10), &err);
    assert_int_equal(status, PNX_EALREADY);
    assert_true(exists_shm(name));
    assert_int_equal(unlink(aside), 0);
    pnx_thing_free(thing);
    assert_ok(pnx_thing_adopt(kind_of(&shm), name, NULL, &thing, &err), &err);
    snprintf(aside, sizeof aside, ASIDE "%s", pnx_thing_identity(thing));
    write_file(aside, 1);
    assert_ok(pnx_thing_remove(thing, in_seconds(10), NULL, &err), &err);
    assert_false(exists_shm(name));
    assert_int_equal(unlink(aside), 0); /* not ours, still there */
    pnx_thing_free(thing);
}

static void identities_that_are_none_harm_nothing(void **state)
{
    (void)state;
    const char *name = new_name();
    assert_true(make_foreign_shm(name));
    const char *const identities[] = {"", "x", "../x", "1:2:3/../../x", "0:0:1", "%s"};
    for (size_t i = 0; i < sizeof identities / sizeof *identities; i++) {
        pnx_error err = {0};
        pnx_outcome outcome = {0};
        (void)pnx_thing_remove_named(kind_of(&shm), name, identities[i], in_seconds(1), &outcome,
                                     &err);
        (void)kind_of(&shm)->remove(name, identities[i], in_seconds(1), &err);
        assert_true(exists_shm(name));
    }
    assert_true(unmake_foreign_shm(name));
}

/* ---- semaphores ------------------------------------------------------------------------------ */

static bool sleeps(pid_t pid)
{
    struct pnx__proc_stat about;
    return pnx__proc_stat(pid, &about) && about.state == 'S';
}

static void a_semaphore_works_between_processes(void **state)
{
    (void)state;
    const char *name = new_name();
    pnx_thing *thing;
    pnx_error err = {0};
    sem_t *ours = NULL;
    assert_ok(pnx_semaphore_create(name, 3, NULL, &thing, &ours, &err), &err);
    int value = 0;
    assert_int_equal(sem_getvalue(ours, &value), 0);
    assert_int_equal(value, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(sem_trywait(ours), 0);
    assert_int_equal(sem_trywait(ours), -1);
    pid_t waiter = getpid(), pid = fork();
    if (pid == 0) {
        sem_t *theirs = sem_open(name, 0);
        pnx_time deadline = in_seconds(10);
        while (!sleeps(waiter) && pnx_monotonic_now() < deadline)
            sched_yield();
        _exit(theirs != SEM_FAILED && sem_post(theirs) == 0 ? 0 : 1);
    }
    /* It sleeps in the kernel before the other one posts: only a shared one is woken then. */
    struct timespec until;
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &until), 0);
    until.tv_sec += 20;
    int waited;
    while ((waited = sem_timedwait(ours, &until)) != 0 && errno == EINTR)
        continue;
    assert_int_equal(waited, 0);
    assert_int_equal(status_of_child(pid), 0);
    assert_int_equal(sem_close(ours), 0);
    assert_ok(pnx_thing_remove(thing, in_seconds(10), NULL, &err), &err);
    pnx_thing_free(thing);
}

static void the_two_sorts_do_not_see_each_other(void **state)
{
    (void)state;
    const char *name = new_name();
    pnx_thing *memory = make_one(&shm, name), *counter = make_one(&semaphore, name);
    char prefixed[80];
    snprintf(prefixed, sizeof prefixed, "/sem.%s", name + 1);
    assert_int_equal(listed(&shm, prefixed, NULL).seen, 0);
    assert_int_equal(listed(&shm, name, NULL).seen, 1);
    assert_int_equal(listed(&semaphore, name, NULL).seen, 1);
    pnx_error err = {0};
    assert_ok(pnx_thing_remove(memory, in_seconds(10), NULL, &err), &err);
    assert_true(exists_semaphore(name));
    assert_ok(pnx_thing_remove(counter, in_seconds(10), NULL, &err), &err);
    pnx_thing_free(memory);
    pnx_thing_free(counter);
}

/* ---- apart ----------------------------------------------------------------------------------- */

static void many_are_listed_in_fixed_memory(void **state)
{
    (void)state;
    expect_apart();
    unsigned many = 100000, made = 0;
    char name[40];
    for (; made < many; made++) {
        snprintf(name, sizeof name, "/dev/shm/%s%u", made % 2 ? "sem." : "", made);
        int fd = open(name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
        if (fd < 0)
            break;
        close(fd);
    }
    assert_int_equal(made, many);
    assert_int_equal(count_of("shm"), many / 2);
    assert_int_equal(count_of("semaphore"), many / 2);
    for (unsigned i = 0; i < made; i++) {
        snprintf(name, sizeof name, "/dev/shm/%s%u", i % 2 ? "sem." : "", i);
        assert_int_equal(unlink(name), 0);
    }
}

static void without_a_place_for_them_they_are_unsupported(void **state)
{
    (void)state;
    expect_apart();
    /* No file system of that kind is mounted there: one that has no files without names. */
    if (mount("proc", "/dev/shm", "proc", 0, NULL) != 0)
        skip();
    pnx_thing *thing = NULL;
    pnx_error err = {0};
    pnx_status status = pnx_shm_create("/x", 1, NULL, &thing, NULL, &err);
    assert_int_equal(umount2("/dev/shm", MNT_DETACH), 0);
    assert_int_equal(status, PNX_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "/dev/shm"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EVERY_SORT(shm),
        EVERY_SORT(semaphore),
        cmocka_unit_test(it_has_its_size_and_is_private),
        cmocka_unit_test(what_is_mapped_loses_its_name),
        cmocka_unit_test(bad_names_and_sizes_are_refused),
        cmocka_unit_test(hostile_names_are_no_problem),
        cmocka_unit_test(what_is_no_object_is_not_found_and_not_followed),
        cmocka_unit_test(one_that_was_put_aside_is_found_there),
        cmocka_unit_test(a_name_aside_that_is_taken_is_no_obstacle),
        cmocka_unit_test(identities_that_are_none_harm_nothing),
        cmocka_unit_test(a_semaphore_works_between_processes),
        cmocka_unit_test(the_two_sorts_do_not_see_each_other),
        cmocka_unit_test_setup_teardown(many_are_listed_in_fixed_memory, enter_apart, leave_apart),
        cmocka_unit_test_setup_teardown(without_a_place_for_them_they_are_unsupported, enter_apart,
                                        leave_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
