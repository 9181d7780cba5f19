/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/ledger/state.c and state_session.c. */
#include "ledger_support.h"

#include "ledger/state.h"

#include <sys/syscall.h>

/* A file of this name cannot be removed. */
static const char *stuck_name;

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): theirs are reserved */
int unlinkat(int dir, const char *name, int flags)
{
    if (stuck_name && strcmp(name, stuck_name) == 0) {
        errno = EPERM;
        return -1;
    }
    return (int)syscall(SYS_unlinkat, dir, name, flags);
}

/* The environment of each test is its own. */
static int make_home(void **state)
{
    unsetenv("XDG_STATE_HOME");
    unsetenv("CLEANROOM_STATE_DIR");
    setenv("HOME", "/nowhere", 1);
    return make_place(state);
}

static int open_state(void **state)
{
    pnx_error err = {0};
    int fd = -1;
    setenv("CLEANROOM_STATE_DIR", in(*state, "s"), 1);
    assert_ok(pnx__state_open(&fd, NULL, 0, &err), &err);
    return fd;
}

/* Of what a test has made in its state directory; it must be empty but for these. */
static void drop_state(void **state, int fd)
{
    close(fd);
    rmdir(in(*state, "s/sessions"));
    rmdir(in(*state, "s/reports"));
    assert_int_equal(rmdir(in(*state, "s")), 0);
}

static int make_session(int state_fd, pnx_id id)
{
    pnx_error err = {0};
    int dir = -1;
    assert_ok(pnx__state_session_create(state_fd, id, &dir, &err), &err);
    return dir;
}

static const char *path_of(void **state, pnx_id id, const char *file)
{
    char text[PNX_ID_TEXT_SIZE], path[128];
    snprintf(path, sizeof path, "s/sessions/%s%s%s", pnx_id_format(id, text), *file ? "/" : "",
             file);
    return in(*state, path);
}

/* ---- where it is ----------------------------------------------------------------------------- */

static void it_is_where_the_environment_says(void **state)
{
    pnx_error err = {0};
    char path[4096];
    int fd;
    setenv("CLEANROOM_STATE_DIR", in(*state, "a/b//c/"), 1);
    mode_t mask = umask(022);
    assert_ok(pnx__state_open(&fd, path, sizeof path, &err), &err);
    umask(mask);
    assert_string_equal(path, in(*state, "a/b//c"));
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
    struct stat about;
    assert_int_equal(stat(in(*state, "a/b/c"), &about), 0);
    assert_int_equal(about.st_mode & 07777, 0700);
    assert_int_equal(stat(in(*state, "a/b"), &about), 0);
    assert_int_equal(about.st_mode & 07777, 0755);
    assert_ok(pnx__state_open(&fd, path, sizeof path, &err), &err); /* it is there already */
    close(fd);
    assert_int_equal(rmdir(in(*state, "a/b/c")), 0);
    assert_int_equal(rmdir(in(*state, "a/b")), 0);
    assert_int_equal(rmdir(in(*state, "a")), 0);
}

/* The result of `body` in a child that is nobody, if that can be. */
static int as_nobody(void **state, int (*body)(const char *place))
{
    if (is_root())
        assert_int_equal(chown(*state, 65534, 65534), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (is_root() && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(99);
        _exit(body(*state));
    }
    return status_of_child(pid);
}

static int look_at_home(const char *place)
{
    char path[4096];
    int fd;
    setenv("HOME", place, 1);
    if (pnx__state_open(&fd, path, sizeof path, NULL) != PNX_OK ||
        strcmp(path, in(place, ".local/state/cleanroom")) != 0)
        return 1;
    if (rmdir(path) || rmdir(in(place, ".local/state")) || rmdir(in(place, ".local")))
        return 2;
    setenv("XDG_STATE_HOME", "relative", 1);
    if (pnx__state_open(&fd, path, sizeof path, NULL) != PNX_OK ||
        strcmp(path, in(place, ".local/state/cleanroom")) != 0)
        return 3;
    if (rmdir(path) || rmdir(in(place, ".local/state")) || rmdir(in(place, ".local")))
        return 4;
    setenv("XDG_STATE_HOME", in(place, "x"), 1);
    if (pnx__state_open(&fd, path, sizeof path, NULL) != PNX_OK ||
        strcmp(path, in(place, "x/cleanroom")) != 0)
        return 5;
    if (rmdir(path) || rmdir(in(place, "x")))
        return 6;
    return 0;
}

/* Its own by its name; whoever has taken that before us is refused as everywhere. */
static int look_without_home(const char *place)
{
    char path[4096], expected[64];
    int fd;
    const char *const homes[] = {NULL, "", "relative", "/proc", in(place, "missing")};
    snprintf(expected, sizeof expected, "/var/tmp/cleanroom-%u", (unsigned)geteuid());
    const bool was_there = exists(expected);
    for (unsigned i = 0; i < sizeof homes / sizeof *homes; i++) {
        if (homes[i])
            setenv("HOME", homes[i], 1);
        else
            unsetenv("HOME");
        if (pnx__state_open(&fd, path, sizeof path, NULL) != PNX_OK || strcmp(path, expected) != 0)
            return 1;
        close(fd);
        if (!was_there)
            rmdir(expected); /* unless a clean room of that user has begun to use it meanwhile */
    }
    return 0;
}

static void without_a_home_it_is_where_it_survives_a_reboot(void **state)
{
    assert_int_equal(as_nobody(state, look_without_home), 0);
}

static void for_a_user_it_is_at_home(void **state)
{
    assert_int_equal(as_nobody(state, look_at_home), 0);
}

static void a_relative_path_is_refused(void **state)
{
    pnx_error err = {0};
    int fd;
    setenv("CLEANROOM_STATE_DIR", "here", 1);
    assert_int_equal(pnx__state_open(&fd, NULL, 0, &err), PNX_EINVAL);
    assert_non_null(strstr(err.message, "absolute"));
    char *text = long_text(5000, 0);
    text[0] = '/';
    setenv("CLEANROOM_STATE_DIR", text, 1);
    assert_int_equal(pnx__state_open(&fd, NULL, 0, &err), PNX_EINVAL);
    free(text);
}

static void assert_state_refused(const char *says, const char *path)
{
    pnx_error err = {0};
    int fd = -1;
    assert_int_equal(pnx__state_open(&fd, NULL, 0, &err), PNX_EFAILED);
    assert_non_null(strstr(err.message, says));
    assert_non_null(strstr(err.message, path));
    assert_int_equal(fd, -1);
}

static void what_others_had_a_hand_in_is_refused(void **state)
{
    const char *path = in(*state, "s");
    setenv("CLEANROOM_STATE_DIR", path, 1);
    assert_int_equal(symlink("elsewhere", path), 0);
    assert_state_refused("symbolic link", path);
    assert_int_equal(mkdir(in(*state, "elsewhere"), 0700), 0);
    assert_state_refused("symbolic link", path);
    setenv("CLEANROOM_STATE_DIR", in(*state, "s/"), 1); /* which the kernel would follow */
    assert_state_refused("symbolic link", path);
    setenv("CLEANROOM_STATE_DIR", path, 1);
    assert_int_equal(rmdir(in(*state, "elsewhere")), 0);
    assert_int_equal(unlink(path), 0);

    write_file(path, 1);
    assert_state_refused("Not a directory", path);
    assert_int_equal(unlink(path), 0);

    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, 0770), 0);
    assert_state_refused("written by others", path);
    assert_int_equal(chmod(path, 0702), 0);
    assert_state_refused("written by others", path);
    assert_int_equal(chmod(path, 0755), 0); /* others may read it */
    int fd = open_state(state);
    close(fd);
    if (is_root()) {
        assert_int_equal(chown(path, 65534, 65534), 0);
        assert_state_refused("belongs to user 65534", path);
    }
    assert_int_equal(rmdir(path), 0);
}

static int find_it_closed(const char *place)
{
    pnx_error err = {0};
    int fd;
    setenv("CLEANROOM_STATE_DIR", in(place, "shut/s"), 1);
    if (mkdir(in(place, "shut"), 0500) != 0)
        return 1;
    pnx_status status = pnx__state_open(&fd, NULL, 0, &err);
    rmdir(in(place, "shut"));
    if (status != PNX_EFAILED || err.sys_errno != EACCES)
        return 2;
    if (!strstr(err.message, "shut/s") || !strstr(err.message, "CLEANROOM_STATE_DIR"))
        return 3;
    setenv("CLEANROOM_STATE_DIR", "/proc/s", 1);
    status = pnx__state_open(&fd, NULL, 0, &err);
    return status == PNX_EFAILED && strstr(err.message, "/proc/s") ? 0 : 4;
}

static void one_that_cannot_be_made_is_told(void **state)
{
    assert_int_equal(as_nobody(state, find_it_closed), 0);
}

/* ---- sessions -------------------------------------------------------------------------------- */

static const pnx_id first = {1, 1}, second = {2, 2};

static void a_session_has_a_directory(void **state)
{
    pnx_error err = {0};
    int fd = open_state(state);
    mode_t mask = umask(0777);
    int dir = make_session(fd, first);
    umask(mask);
    struct stat about;
    assert_int_equal(stat(path_of(state, first, ""), &about), 0);
    assert_int_equal(about.st_mode & 07777, 0700);
    assert_true(fcntl(dir, F_GETFD) & FD_CLOEXEC);
    int again = -1;
    assert_int_equal(pnx__state_session_create(fd, first, &again, &err), PNX_EFAILED);
    assert_int_equal(err.sys_errno, EEXIST);
    assert_ok(pnx__state_session_open(fd, first, &again, &err), &err);
    close(again);
    assert_int_equal(pnx__state_session_open(fd, second, &again, &err), PNX_ENOTFOUND);
    close(dir);
    assert_ok(pnx__state_session_remove(fd, first, &err), &err);
    drop_state(state, fd);
}

struct seen {
    unsigned first, second, problems, others;
    unsigned enough;
};

static bool see(pnx_id id, int dir_fd, const pnx_error *problem, void *context)
{
    struct seen *seen = context;
    assert_int_equal(dir_fd < 0, problem != NULL);
    if (problem)
        seen->problems++;
    else if (pnx_id_equal(id, first))
        seen->first++;
    else if (pnx_id_equal(id, second))
        seen->second++;
    else
        seen->others++;
    return !seen->enough || --seen->enough > 0;
}

static void every_session_is_met(void **state)
{
    pnx_error err = {0};
    struct seen seen = {0};
    int fd = open_state(state);
    assert_ok(pnx__state_each_session(fd, see, &seen, &err), &err); /* none, not even the place */
    int one = make_session(fd, first), two = make_session(fd, second);
    const char *const strangers[] = {"x", "00000000-0000-0000-0000-00000000000",
                                     "AAAAAAAA-0000-0000-0000-000000000000", ".hidden"};
    char sessions[4096];
    snprintf(sessions, sizeof sessions, "%s", in(*state, "s/sessions"));
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(mkdir(in(sessions, strangers[i]), 0700), 0);
    const char *link = path_of(state, (pnx_id){3, 3}, ""),
               *file = path_of(state, (pnx_id){4, 4}, "");
    assert_int_equal(symlink(path_of(state, first, ""), link), 0);
    write_file(file, 1);
    assert_ok(pnx__state_each_session(fd, see, &seen, &err), &err);
    assert_int_equal(seen.first, 1);
    assert_int_equal(seen.second, 1);
    assert_int_equal(seen.problems, 2);
    assert_int_equal(seen.others, 0);
    if (is_root()) {
        assert_int_equal(chown(path_of(state, second, ""), 65534, 65534), 0);
        assert_ok(pnx__state_each_session(fd, see, &seen, &err), &err);
        assert_int_equal(seen.second, 1);
        assert_int_equal(seen.problems, 5);
        assert_int_equal(pnx__state_session_remove(fd, second, &err), PNX_EFAILED);
        assert_int_equal(chown(path_of(state, second, ""), 0, 0), 0);
    }
    seen = (struct seen){.enough = 1};
    assert_ok(pnx__state_each_session(fd, see, &seen, &err), &err);
    assert_int_equal(seen.first + seen.second + seen.problems, 1);

    close(one);
    close(two);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(unlink(file), 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(rmdir(in(sessions, strangers[i])), 0);
    assert_ok(pnx__state_session_remove(fd, first, &err), &err);
    assert_ok(pnx__state_session_remove(fd, second, &err), &err);
    drop_state(state, fd);
}

/* ---- removing -------------------------------------------------------------------------------- */

static void a_session_is_removed_with_its_files(void **state)
{
    pnx_error err = {0};
    int fd = open_state(state), dir = make_session(fd, first);
    pnx__ledger *ledger = make_ledger(dir);
    write_file(path_of(state, first, "lock"), 0);
    write_file(path_of(state, first, "other"), 100);
    assert_ok(pnx__state_session_remove(fd, first, &err), &err); /* though it is still open */
    assert_false(exists(path_of(state, first, "")));
    assert_int_equal(pnx__state_session_remove(fd, first, &err), PNX_EALREADY);
    pnx__ledger_close(ledger);
    close(dir);
    drop_state(state, fd);
}

static void what_is_no_file_keeps_a_session(void **state)
{
    pnx_error err = {0};
    int fd = open_state(state), dir = make_session(fd, first);
    pnx__ledger_close(make_ledger(dir));
    write_file(path_of(state, first, "file"), 1);
    assert_int_equal(mkdir(path_of(state, first, "dir"), 0700), 0);
    assert_int_equal(pnx__state_session_remove(fd, first, &err), PNX_EFAILED);
    assert_non_null(strstr(err.message, "/dir"));
    assert_true(exists(path_of(state, first, "file")));
    assert_true(exists(path_of(state, first, "ledger")));
    assert_int_equal(rmdir(path_of(state, first, "dir")), 0);
    assert_int_equal(symlink("/etc", path_of(state, first, "link")), 0);
    assert_int_equal(pnx__state_session_remove(fd, first, &err), PNX_EFAILED);
    assert_int_equal(unlink(path_of(state, first, "link")), 0);
    assert_ok(pnx__state_session_remove(fd, first, &err), &err);
    close(dir);
    drop_state(state, fd);
}

/* Or nobody would know any more that there is something to be removed. */
static void the_ledger_is_the_last_to_go(void **state)
{
    const char *const names[] = {"a", "m", "z"}; /* in whatever order they are read */
    pnx_error err = {0};
    int fd = open_state(state), dir = make_session(fd, first);
    pnx__ledger_close(make_ledger(dir));
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned k = 0; k < 3; k++)
            write_file(path_of(state, first, names[k]), 1);
        stuck_name = names[i];
        assert_int_equal(pnx__state_session_remove(fd, first, &err), PNX_EFAILED);
        assert_int_equal(err.sys_errno, EPERM);
        assert_non_null(strstr(err.message, path_of(state, first, names[i])));
        assert_true(exists(path_of(state, first, names[i])));
        assert_true(exists(path_of(state, first, "ledger")));
        stuck_name = NULL;
    }
    assert_ok(pnx__state_session_remove(fd, first, &err), &err);
    close(dir);
    drop_state(state, fd);
}

static void a_link_is_no_session_to_remove(void **state)
{
    pnx_error err = {0};
    int fd = open_state(state), dir = make_session(fd, first);
    close(dir);
    assert_int_equal(mkdir(in(*state, "other"), 0700), 0);
    write_file(in(*state, "other/file"), 1);
    assert_int_equal(symlink(in(*state, "other"), path_of(state, second, "")), 0);
    assert_int_equal(pnx__state_session_remove(fd, second, &err), PNX_EFAILED);
    assert_true(exists(in(*state, "other/file")));
    assert_int_equal(unlink(path_of(state, second, "")), 0);
    assert_int_equal(unlink(in(*state, "other/file")), 0);
    assert_int_equal(rmdir(in(*state, "other")), 0);
    assert_ok(pnx__state_session_remove(fd, first, &err), &err);
    drop_state(state, fd);
}

/* Between its directory and the first record of its ledger nobody else may clear it away. */
static void one_that_is_being_made_is_left_alone(void **state)
{
    pnx_error err = {0};
    int fd = open_state(state), ends[2], ready[2];
    char byte;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int dir;
        close(ends[1]);
        if (pnx__state_session_create(fd, first, &dir, NULL) != PNX_OK ||
            write(ready[1], "", 1) != 1)
            _exit(1);
        _exit(read(ends[0], &byte, 1) == 0 ? 0 : 2);
    }
    close(ends[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(pnx__state_session_remove(fd, first, &err), PNX_EBUSY);
    write_file(path_of(state, first, "ledger"), 0); /* made, and not begun */
    assert_int_equal(pnx__state_session_remove(fd, first, &err), PNX_EBUSY);
    assert_true(exists(path_of(state, first, "ledger")));
    kill(pid, SIGKILL);
    assert_int_equal(status_of_child(pid), 128 + SIGKILL);
    assert_ok(pnx__state_session_remove(fd, first, &err), &err);
    close(ends[1]);
    close(ready[0]);
    close(ready[1]);
    drop_state(state, fd);
}

/* A cleaner that removes everything it sees, all the time, next to who makes sessions. */
static bool remove_it(pnx_id id, int dir_fd, const pnx_error *problem, void *context)
{
    pnx_status status = pnx__state_session_remove(*(int *)context, id, NULL);
    if (status == PNX_EFAILED)
        _exit(1);
    return true;
}

static void a_cleaner_never_takes_a_session_from_its_maker(void **state)
{
    int fd = open_state(state), ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    pid_t cleaner = fork();
    if (cleaner == 0) {
        char byte;
        close(ends[1]);
        while (read(ends[0], &byte, 1) != 0)
            if (pnx__state_each_session(fd, remove_it, &fd, NULL) != PNX_OK)
                _exit(1);
        _exit(0);
    }
    close(ends[0]);
    const unsigned rounds = by_effort(500);
    for (unsigned i = 0; i < rounds; i++) {
        pnx_error err = {0};
        pnx_id id = {9, i + 1};
        int dir = make_session(fd, id);
        pnx__ledger *ledger = NULL;
        assert_ok(pnx__ledger_create(dir, "ledger", id, &ledger, &err), &err);
        pnx__ledger_close(ledger);
        close(dir);
        pnx_status status = pnx__state_session_remove(fd, id, &err);
        assert_true(status == PNX_OK || status == PNX_EALREADY || status == PNX_EBUSY);
    }
    close(ends[1]);
    assert_int_equal(status_of_child(cleaner), 0);
    drop_state(state, fd);
}

static void a_state_directory_that_is_gone_is_told(void **state)
{
    pnx_error err = {0};
    int fd = open_state(state), dir = -1;
    struct seen seen = {0};
    assert_int_equal(rmdir(in(*state, "s")), 0);
    assert_int_equal(pnx__state_session_create(fd, first, &dir, &err), PNX_EFAILED);
    assert_int_equal(err.sys_errno, ENOENT);
    assert_ok(pnx__state_each_session(fd, see, &seen, &err), &err);
    assert_int_equal(pnx__state_session_remove(fd, first, &err), PNX_EALREADY);
    close(fd);
}

static void reports_have_a_directory(void **state)
{
    pnx_error err = {0};
    char name[PNX__STATE_REPORT_NAME_SIZE];
    int fd = open_state(state), reports;
    assert_ok(pnx__state_reports_open(fd, &reports, &err), &err);
    assert_string_equal(pnx__state_report_name(first, name),
                        "00000000-0000-0001-0000-000000000001.json");
    assert_true(exists(in(*state, "s/reports")));
    close(reports);
    drop_state(state, fd);
}

#define placed(test) cmocka_unit_test_setup_teardown(test, make_home, drop_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        placed(it_is_where_the_environment_says),
        placed(for_a_user_it_is_at_home),
        placed(without_a_home_it_is_where_it_survives_a_reboot),
        placed(a_relative_path_is_refused),
        placed(what_others_had_a_hand_in_is_refused),
        placed(one_that_cannot_be_made_is_told),
        placed(a_session_has_a_directory),
        placed(every_session_is_met),
        placed(a_session_is_removed_with_its_files),
        placed(what_is_no_file_keeps_a_session),
        placed(the_ledger_is_the_last_to_go),
        placed(a_link_is_no_session_to_remove),
        placed(one_that_is_being_made_is_left_alone),
        placed(a_cleaner_never_takes_a_session_from_its_maker),
        placed(a_state_directory_that_is_gone_is_told),
        placed(reports_have_a_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
