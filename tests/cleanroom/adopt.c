/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/kind/dir_thing.c, cgroup_thing.c, cgroup_adopt.c and process_thing.c: what
 * a dead process made is found, told apart from what came after it, and removed. */
#include "apart.h"
#include "stepped.h"

#include <grp.h>
#include <limits.h>
#include <sys/mman.h>

#define NOBODY 65534

static const pnx_thing_kind *kind(const char *name)
{
    const pnx_thing_kind *found = pnx_thing_kind_named(name);
    assert_non_null(found);
    return found;
}

static void expect_fate(const pnx_thing_kind *of, const char *name, const char *identity,
                        pnx_fate fate)
{
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    assert_ok(pnx_thing_remove_named(of, name, identity, in_seconds(20), &outcome, &err), &err);
    assert_int_equal(outcome.fate, fate);
    assert_true(outcome.verified);
}

/* ---- directories ----------------------------------------------------------------------------- */

static void fill(const char *dir)
{
    char inner[PATH_MAX];
    snprintf(inner, sizeof inner, "%s/inner", dir);
    assert_int_equal(mkdir(inner, 0700), 0);
    write_file(in(inner, "file"), 10);
    write_file(in(dir, "file"), 10);
}

/* Made by a process that is gone. */
static const char *make_dir(const char *place, char ret_identity[PNX_THING_IDENTITY_MAX])
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        pnx_tempdir *dir;
        char identity[PNX_THING_IDENTITY_MAX] = "";
        if (pnx_tempdir_create(place, "dir", &dir, NULL) == PNX_OK)
            pnx_tempdir_identity(dir, identity, sizeof identity);
        (void)!write(ends[1], identity, sizeof identity);
        kill(getpid(), SIGKILL);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], ret_identity, PNX_THING_IDENTITY_MAX), PNX_THING_IDENTITY_MAX);
    close(ends[0]);
    (void)status_of_child(pid);
    const char *path = in(place, "dir");
    assert_true(exists(path));
    fill(path);
    return path;
}

static void a_directory_of_a_dead_process_is_removed(void **state)
{
    char identity[PNX_THING_IDENTITY_MAX], found[PNX_THING_IDENTITY_MAX];
    const char *path = make_dir(*state, identity);
    pnx_error err = {0};
    assert_ok(kind("tempdir")->find(path, found, sizeof found, &err), &err);
    assert_string_equal(found, identity);
    assert_true(kind("tempdir")->survives_reboot);
    expect_fate(kind("tempdir"), path, identity, PNX_FATE_REMOVED);
    assert_false(exists(path));
    expect_fate(kind("tempdir"), path, identity, PNX_FATE_ALREADY_GONE);
    assert_int_equal(kind("tempdir")->find(path, found, sizeof found, &err), PNX_ENOTFOUND);
}

static void one_that_is_garbage_already_is_found_there(void **state)
{
    char identity[PNX_THING_IDENTITY_MAX], found[PNX_THING_IDENTITY_MAX];
    const char *path = make_dir(*state, identity), *garbage = in(*state, ".garbage-dir");
    assert_int_equal(rename(path, garbage), 0); /* and then we were killed */
    pnx_error err = {0};
    assert_ok(kind("tempdir")->find(path, found, sizeof found, &err), &err);
    assert_string_equal(found, identity);
    expect_fate(kind("tempdir"), path, identity, PNX_FATE_REMOVED);
    assert_false(exists(garbage));
}

static void one_that_was_renamed_is_found_and_who_took_its_name_survives(void **state)
{
    char identity[PNX_THING_IDENTITY_MAX];
    const char *path = make_dir(*state, identity), *renamed = in(*state, "else");
    assert_int_equal(rename(path, renamed), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    fill(path);
    expect_fate(kind("tempdir"), path, identity, PNX_FATE_REMOVED);
    assert_false(exists(renamed));
    assert_true(exists(in(path, "file")));
    char other[PNX_THING_IDENTITY_MAX];
    assert_int_equal(kind("tempdir")->find(path, other, sizeof other, NULL), PNX_OK);
    expect_fate(kind("tempdir"), path, other, PNX_FATE_REMOVED);
}

/* The file system gives the number of a directory that is gone to the next one, at once. */
static void one_that_was_made_again_under_its_name_survives(void **state)
{
    char identity[PNX_THING_IDENTITY_MAX], other[PNX_THING_IDENTITY_MAX];
    const char *path = make_dir(*state, identity);
    expect_fate(kind("tempdir"), path, identity, PNX_FATE_REMOVED);
    path = make_dir(*state, other);
    struct statx about;
    assert_int_equal(statx(AT_FDCWD, path, 0, STATX_BTIME, &about), 0);
    if (about.stx_mask & STATX_BTIME) { /* else the number may be all that there is */
        expect_fate(kind("tempdir"), path, identity, PNX_FATE_ALREADY_GONE);
        assert_true(exists(in(path, "file")));
    }
    pnx_tempdir *dir = NULL;
    pnx_error err = {0};
    assert_int_equal(pnx_tempdir_adopt(path, "1:2:3", &dir, &err), PNX_ENOTFOUND);
    assert_ok(pnx_tempdir_adopt(path, other, &dir, &err), &err);
    assert_string_equal(pnx_tempdir_path(dir), path);
    char again[PNX_THING_IDENTITY_MAX];
    pnx_tempdir_identity(dir, again, sizeof again);
    assert_string_equal(again, other);
    assert_ok(pnx_tempdir_remove(dir, in_seconds(10), &err), &err);
    pnx_tempdir_free(dir);
    assert_false(exists(path));
}

static void a_removal_that_ran_out_of_time_is_gone_on_with(void **state)
{
    char identity[PNX_THING_IDENTITY_MAX];
    const char *path = make_dir(*state, identity);
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    assert_int_equal(pnx_thing_remove_named(kind("tempdir"), path, identity, 1, &outcome, &err),
                     PNX_ETIMEOUT);
    assert_int_equal(outcome.fate, PNX_FATE_STUCK);
    assert_false(exists(path)); /* out of the way all the same */
    expect_fate(kind("tempdir"), path, identity, PNX_FATE_REMOVED);
}

struct removal {
    const char *path, *identity;
};

static void remove_in_child(void *context)
{
    const struct removal *removal = context;
    (void)pnx_thing_remove_named(pnx_thing_kind_named("tempdir"), removal->path, removal->identity,
                                 in_seconds(20), NULL, NULL);
}

static void a_remover_that_is_killed_anywhere_is_followed_by_the_next(void **state)
{
    unsigned stop = 0;
    enum stepped stepped = STEPPED_INTO;
    while (stepped == STEPPED_INTO) {
        char identity[PNX_THING_IDENTITY_MAX];
        struct removal removal = {make_dir(*state, identity), identity};
        stepped = run_stepped(remove_in_child, &removal, ++stop, NULL);
        pnx_error err = {0};
        assert_ok(pnx_thing_remove_named(kind("tempdir"), removal.path, identity, in_seconds(20),
                                         NULL, &err),
                  &err);
        assert_false(exists(removal.path));
        assert_false(exists(in(*state, ".garbage-dir")));
        if (stepped == STEPPED_REFUSED)
            skip();
    }
    assert_true(stop > 10);
}

static void what_is_no_directory_of_ours_is_not_taken(void **state)
{
    const char *const bad[] = {"", "x", "/", "/x/", "x/y", "/x/.", "/x/.."};
    char found[PNX_THING_IDENTITY_MAX];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(kind("tempdir")->find(bad[i], found, sizeof found, NULL), PNX_EINVAL);
    assert_int_equal(kind("tempdir")->find("/nowhere/at/all", found, sizeof found, NULL),
                     PNX_ENOTFOUND);
    const char *path = in(*state, "dir");
    write_file(path, 1);
    assert_int_equal(kind("tempdir")->find(path, found, sizeof found, NULL), PNX_ENOTFOUND);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/tmp", path), 0);
    assert_int_equal(kind("tempdir")->find(path, found, sizeof found, NULL), PNX_ENOTFOUND);
    assert_int_equal(unlink(path), 0);
    if (!is_root())
        return;
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chown(path, NOBODY, NOBODY), 0);
    assert_int_equal(kind("tempdir")->find(path, found, sizeof found, NULL), PNX_ENOTFOUND);
    assert_int_equal(rmdir(path), 0);
}

static void directories_cannot_be_listed(void **state)
{
    (void)state;
    unsigned count = 0;
    pnx_error err = {0};
    assert_int_equal(kind("tempdir")->list(count_thing, &count, &err), PNX_EUNSUPPORTED);
    assert_int_equal(count, 0);
}

/* ---- cgroups --------------------------------------------------------------------------------- */

struct made {
    char path[PATH_MAX], identity[PNX_THING_IDENTITY_MAX];
    pid_t member;
};

/* A process in a cgroup that ignores SIGTERM; who made both is gone. False: no cgroup
 * can be made. */
static bool make_cgroup(const char *name, bool with_member, struct made *ret)
{
    static struct made *shared;
    if (!shared)
        shared =
            mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    memset(shared, 0, sizeof *shared);
    pid_t pid = fork();
    if (pid == 0) {
        pnx_cgroup *cgroup;
        if (pnx_cgroup_create(name, &cgroup, NULL) != PNX_OK)
            _exit(77);
        snprintf(shared->path, sizeof shared->path, "%s", pnx_cgroup_path(cgroup));
        pnx_cgroup_identity(cgroup, shared->identity, sizeof shared->identity);
        const char *const argv[] = {"sh", "-c", "trap '' TERM; exec sleep 1000", NULL};
        pnx_process member;
        pnx_command command = {.argv = argv, .cgroup = cgroup};
        if (with_member && pnx_process_spawn(&command, &member, NULL) == PNX_OK)
            shared->member = member.pid;
        kill(getpid(), SIGKILL);
    }
    int status = status_of_child(pid);
    *ret = *shared;
    return status != 77;
}

static const char *cgroup_name(void)
{
    static char name[64];
    static unsigned count;
    snprintf(name, sizeof name, "cleanroom-test-%d-%u", (int)getpid(), count++);
    return name;
}

static void a_cgroup_of_a_dead_process_is_emptied_and_removed(void **state)
{
    (void)state;
    struct made made;
    char found[PNX_THING_IDENTITY_MAX], inner[PATH_MAX + 8];
    if (!make_cgroup(cgroup_name(), true, &made))
        skip();
    assert_true(made.member > 0);
    snprintf(inner, sizeof inner, "%s/inner", made.path);
    assert_int_equal(mkdir(inner, 0755), 0);
    pnx_error err = {0};
    assert_ok(kind("cgroup")->find(made.path, found, sizeof found, &err), &err);
    assert_string_equal(found, made.identity);
    expect_fate(kind("cgroup"), made.path, made.identity, PNX_FATE_REMOVED);
    assert_false(exists(made.path));
    char member[16]; /* perhaps a zombie still, whose new parent has not looked yet */
    snprintf(member, sizeof member, "%d", (int)made.member);
    assert_int_equal(kind("process")->find(member, found, sizeof found, &err), PNX_ENOTFOUND);
    expect_fate(kind("cgroup"), made.path, made.identity, PNX_FATE_ALREADY_GONE);
}

static void a_cgroup_that_was_made_again_survives(void **state)
{
    (void)state;
    struct made first, second;
    const char *name = cgroup_name();
    if (!make_cgroup(name, false, &first))
        skip();
    expect_fate(kind("cgroup"), first.path, first.identity, PNX_FATE_REMOVED);
    assert_true(make_cgroup(name, true, &second));
    assert_string_equal(first.path, second.path);
    expect_fate(kind("cgroup"), first.path, first.identity, PNX_FATE_ALREADY_GONE);
    assert_int_equal(kind("cgroup")->remove(first.path, first.identity, in_seconds(5), NULL),
                     PNX_EALREADY);
    assert_int_equal(kill(second.member, 0), 0);
    expect_fate(kind("cgroup"), second.path, second.identity, PNX_FATE_REMOVED);
}

struct seen {
    const char *path;
    unsigned count;
};

static bool see(const pnx_thing_info *info, void *context)
{
    struct seen *seen = context;
    seen->count += strcmp(info->name, seen->path) == 0;
    return true;
}

static void cgroups_of_sessions_are_listed_and_others_are_not(void **state)
{
    (void)state;
    struct made ours, other;
    char name[64];
    snprintf(name, sizeof name, "other-test-%d", (int)getpid());
    if (!make_cgroup(cgroup_name(), false, &ours))
        skip();
    assert_true(make_cgroup(name, false, &other));
    struct seen seen_ours = {ours.path, 0}, seen_other = {other.path, 0};
    pnx_error err = {0};
    assert_ok(kind("cgroup")->list(see, &seen_ours, &err), &err);
    assert_ok(kind("cgroup")->list(see, &seen_other, &err), &err);
    expect_fate(kind("cgroup"), ours.path, ours.identity, PNX_FATE_REMOVED);
    expect_fate(kind("cgroup"), other.path, other.identity, PNX_FATE_REMOVED);
    assert_int_equal(seen_ours.count, 1);
    assert_int_equal(seen_other.count, 0);
}

static void who_is_in_the_cgroup_does_not_kill_himself(void **state)
{
    (void)state;
    struct made made;
    if (!make_cgroup(cgroup_name(), false, &made))
        skip();
    pid_t pid = fork();
    if (pid == 0) {
        int procs = open(in(made.path, "cgroup.procs"), O_WRONLY | O_CLOEXEC);
        if (procs < 0 || write(procs, "0", 1) != 1)
            _exit(77);
        pnx_outcome outcome = {0};
        pnx_status status = pnx_thing_remove_named(pnx_thing_kind_named("cgroup"), made.path,
                                                   made.identity, in_seconds(5), &outcome, NULL);
        _exit(status == PNX_EBUSY && strstr(outcome.reason, "we are in") ? 0 : 1);
    }
    int status = status_of_child(pid);
    expect_fate(kind("cgroup"), made.path, made.identity, PNX_FATE_REMOVED);
    assert_true(status == 0 || status == 77);
    if (status == 77)
        skip();
}

static void what_is_no_cgroup_is_refused(void **state)
{
    (void)state;
    struct made made;
    if (!make_cgroup(cgroup_name(), false, &made))
        skip();
    char through[PATH_MAX + 16], found[PNX_THING_IDENTITY_MAX];
    snprintf(through, sizeof through, "%s/../x", made.path);
    const char *const bad[] = {"", "x", "/", "/tmp", "/etc/passwd", through};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(kind("cgroup")->find(bad[i], found, sizeof found, NULL), PNX_EINVAL);
        assert_int_equal(kind("cgroup")->remove(bad[i], "1:2", in_seconds(1), NULL), PNX_EINVAL);
    }
    assert_int_equal(kind("cgroup")->find(in(made.path, "none"), found, sizeof found, NULL),
                     PNX_ENOTFOUND);
    expect_fate(kind("cgroup"), made.path, made.identity, PNX_FATE_REMOVED);
}

/* ---- processes ------------------------------------------------------------------------------- */

static pid_t start(const char *script, char ret_name[16], char ret_identity[PNX_THING_IDENTITY_MAX])
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    pnx_process process;
    pnx_error err = {0};
    assert_ok(pnx_process_spawn(&(pnx_command){.argv = argv}, &process, &err), &err);
    snprintf(ret_name, 16, "%d", (int)process.pid);
    snprintf(ret_identity, PNX_THING_IDENTITY_MAX, "%d:%llu", (int)process.pid,
             (unsigned long long)process.start_time);
    pnx_process_close(&process);
    return process.pid;
}

static void a_process_is_ended_by_pid_and_start_time(void **state)
{
    (void)state;
    char name[16], identity[PNX_THING_IDENTITY_MAX], found[PNX_THING_IDENTITY_MAX];
    pid_t pid = start("exec sleep 1000", name, identity);
    pnx_error err = {0};
    assert_ok(kind("process")->find(name, found, sizeof found, &err), &err);
    assert_string_equal(found, identity);
    struct seen seen = {name, 0};
    assert_ok(kind("process")->list(see, &seen, &err), &err);
    assert_int_equal(seen.count, 1);

    /* One that has its pid, but did not start when it did, is not touched. */
    char other[PNX_THING_IDENTITY_MAX];
    snprintf(other, sizeof other, "%d:1", (int)pid);
    expect_fate(kind("process"), name, other, PNX_FATE_ALREADY_GONE);
    assert_int_equal(kind("process")->remove(name, other, in_seconds(5), NULL), PNX_EALREADY);
    assert_int_equal(kill(pid, 0), 0);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);

    expect_fate(kind("process"), name, identity, PNX_FATE_REMOVED);
    expect_fate(kind("process"), name, identity, PNX_FATE_ALREADY_GONE);
}

static void one_that_ignores_sigterm_is_killed_and_told(void **state)
{
    (void)state;
    char name[16], identity[PNX_THING_IDENTITY_MAX];
    char place[PATH_MAX];
    snprintf(place, sizeof place, "trap '' TERM; : >'%s/ready'; exec sleep 1000", (char *)*state);
    (void)start(place, name, identity);
    const char *ready = in(*state, "ready");
    pnx_time deadline = in_seconds(20);
    while (!exists(ready))
        assert_true(pnx_monotonic_now() < deadline);
    pnx_outcome outcome = {0};
    pnx_error err = {0};
    assert_ok(pnx_thing_remove_named(kind("process"), name, identity,
                                     pnx_time_after(pnx_monotonic_now(), PNX_MS(200)), &outcome,
                                     &err),
              &err);
    assert_int_equal(outcome.fate, PNX_FATE_REMOVED);
    assert_string_equal(outcome.reason, "ignored SIGTERM");
    assert_int_equal(unlink(ready), 0);
}

static void neither_the_init_nor_we_ourselves_are_ended(void **state)
{
    (void)state;
    char identity[PNX_THING_IDENTITY_MAX], name[16];
    snprintf(name, sizeof name, "%d", (int)getpid());
    pnx_error err = {0};
    assert_ok(kind("process")->find(name, identity, sizeof identity, &err), &err);
    assert_int_equal(kind("process")->remove(name, identity, in_seconds(1), &err), PNX_EFAILED);
    if (kind("process")->find("1", identity, sizeof identity, &err) == PNX_OK)
        assert_int_equal(kind("process")->remove("1", identity, in_seconds(1), &err), PNX_EFAILED);
    const char *const bad[] = {"", "0", "-1", "01", "1x", " 1", "99999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(kind("process")->find(bad[i], identity, sizeof identity, NULL),
                         PNX_EINVAL);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, drop_place)

int main(void)
{
    use_plain_path();
    const struct CMUnitTest tests[] = {
        IN_PLACE(a_directory_of_a_dead_process_is_removed),
        IN_PLACE(one_that_is_garbage_already_is_found_there),
        IN_PLACE(one_that_was_renamed_is_found_and_who_took_its_name_survives),
        IN_PLACE(one_that_was_made_again_under_its_name_survives),
        IN_PLACE(a_removal_that_ran_out_of_time_is_gone_on_with),
        IN_PLACE(a_remover_that_is_killed_anywhere_is_followed_by_the_next),
        IN_PLACE(what_is_no_directory_of_ours_is_not_taken),
        cmocka_unit_test(directories_cannot_be_listed),
        cmocka_unit_test(a_cgroup_of_a_dead_process_is_emptied_and_removed),
        cmocka_unit_test(a_cgroup_that_was_made_again_survives),
        cmocka_unit_test(cgroups_of_sessions_are_listed_and_others_are_not),
        cmocka_unit_test(who_is_in_the_cgroup_does_not_kill_himself),
        cmocka_unit_test(what_is_no_cgroup_is_refused),
        cmocka_unit_test(a_process_is_ended_by_pid_and_start_time),
        IN_PLACE(one_that_ignores_sigterm_is_killed_and_told),
        cmocka_unit_test(neither_the_init_nor_we_ourselves_are_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
