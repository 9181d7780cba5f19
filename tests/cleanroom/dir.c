/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/kind/dir.c, tree.c and tree_open.c. */
#include "support.h"

#include <linux/fs.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

/* What a removal told. */
struct told {
    pnx_outcome outcome;
    pnx_tree_totals totals;
    unsigned attempts, entries, stuck;
    char first_stuck[256], reason[128];
};

static void on_begin(void *context)
{
    struct told *told = context;
    told->attempts++;
    told->stuck = 0;
}

static void on_entry(const pnx_tree_entry *entry, void *context)
{
    struct told *told = context;
    told->entries++;
    if (entry->removed)
        return;
    if (told->stuck++ == 0) {
        snprintf(told->first_stuck, sizeof told->first_stuck, "%s", entry->path);
        snprintf(told->reason, sizeof told->reason, "%s", entry->reason);
    }
}

static pnx_tempdir *make(const char *place, struct told *told)
{
    pnx_error err = {0};
    pnx_tempdir *dir = NULL;
    assert_ok(pnx_tempdir_create(place, "dir", &dir, &err), &err);
    if (told) {
        memset(told, 0, sizeof *told);
        pnx_tempdir_watch_by(dir, &(pnx_tempdir_watch){.outcome = &told->outcome,
                                                       .totals = &told->totals,
                                                       .begin = on_begin,
                                                       .entry = on_entry,
                                                       .context = told});
    }
    return dir;
}

static void remove_and_free(pnx_tempdir *dir)
{
    pnx_error err = {0};
    char path[4096];
    snprintf(path, sizeof path, "%s", pnx_tempdir_path(dir));
    assert_ok(pnx_tempdir_remove(dir, PNX_FOREVER, &err), &err);
    assert_false(exists(path));
    pnx_tempdir_free(dir);
}

/* ---- making ---------------------------------------------------------------------------------- */

static void it_is_private_and_locked(void **state)
{
    mode_t mask = umask(0);
    pnx_tempdir *dir = make(*state, NULL);
    umask(mask);
    struct stat about;
    assert_string_equal(pnx_tempdir_path(dir), in(*state, "dir"));
    assert_int_equal(stat(pnx_tempdir_path(dir), &about), 0);
    assert_int_equal(about.st_mode & 07777, 0700);

    int other = open(pnx_tempdir_path(dir), O_RDONLY | O_DIRECTORY);
    assert_int_equal(flock(other, LOCK_EX | LOCK_NB), -1); /* as systemd-tmpfiles would try */
    assert_int_equal(errno, EWOULDBLOCK);
    close(other);
    assert_true(fcntl(pnx_tempdir_fd(dir), F_GETFD) & FD_CLOEXEC);
    remove_and_free(dir);
}

static void a_strange_umask_does_not_lock_us_out(void **state)
{
    mode_t mask = umask(0777);
    pnx_tempdir *dir = make(*state, NULL);
    umask(mask);
    struct stat about;
    assert_int_equal(fstat(pnx_tempdir_fd(dir), &about), 0);
    assert_int_equal(about.st_mode & 0777, 0700);
    remove_and_free(dir);
}

static void bad_names_and_places_are_refused(void **state)
{
    pnx_error err = {0};
    pnx_tempdir *dir = NULL;
    const char *const names[] = {"", ".", "..", "a/b", "/"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(pnx_tempdir_create(*state, names[i], &dir, &err), PNX_EINVAL);
    char long_name[300];
    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    assert_int_equal(pnx_tempdir_create(*state, long_name, &dir, &err), PNX_EINVAL);

    assert_int_equal(pnx_tempdir_create("/nowhere/at/all", "dir", &dir, &err), PNX_EFAILED);
    assert_int_equal(err.sys_errno, ENOENT);
    assert_non_null(strstr(err.message, "/nowhere/at/all/dir"));
    assert_non_null(strstr(err.message, "TMPDIR"));
    assert_null(dir);
}

static void an_existing_directory_is_not_taken_over(void **state)
{
    pnx_error err = {0};
    pnx_tempdir *dir = NULL;
    assert_int_equal(mkdir(in(*state, "dir"), 0700), 0);
    assert_int_equal(pnx_tempdir_create(*state, "dir", &dir, &err), PNX_EFAILED);
    assert_int_equal(err.sys_errno, EEXIST);
    assert_int_equal(rmdir(in(*state, "dir")), 0);
}

/* ---- removing -------------------------------------------------------------------------------- */

static void every_sort_is_removed_and_counted(void **state)
{
    struct told told;
    pnx_tempdir *dir = make(*state, &told);
    const char *path = pnx_tempdir_path(dir);
    write_file(in(path, "file"), 5000);
    write_file(in(path, "linked"), 5000);
    assert_int_equal(link(in(path, "linked"), in(path, "again")), 0);
    assert_int_equal(mkdir(in(path, "empty"), 0700), 0);
    assert_int_equal(mkdir(in(path, "full"), 0700), 0);
    write_file(in(path, "full/file"), 0);
    assert_int_equal(symlink("/", in(path, "root")), 0);
    assert_int_equal(symlink("nowhere", in(path, "dangling")), 0);
    assert_int_equal(mkfifo(in(path, "fifo"), 0), 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", in(path, "socket"));
    int bound = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(bound, (struct sockaddr *)&address, sizeof address), 0);
    close(bound);
    struct stat about;
    assert_int_equal(stat(in(path, "file"), &about), 0);
    uint64_t bytes = (uint64_t)about.st_blocks * 512;

    remove_and_free(dir);
    assert_int_equal(told.totals.files, 4);
    assert_int_equal(told.totals.directories, 2);
    assert_int_equal(told.totals.symlinks, 2);
    assert_int_equal(told.totals.fifos, 1);
    assert_int_equal(told.totals.sockets, 1);
    assert_int_equal(told.totals.stuck, 0);
    assert_int_equal(told.entries, 10);
    assert_int_equal(pnx_tree_entries(&told.totals), 10);
    assert_int_equal(told.totals.bytes, 2 * bytes); /* the two links share one */
    assert_int_equal(told.outcome.fate, PNX_FATE_REMOVED);
    assert_true(told.outcome.verified);
    assert_int_equal(told.outcome.attempts, 1);
    assert_int_equal(told.outcome.bytes, 2 * bytes);
}

static void links_are_not_followed_out_of_it(void **state)
{
    assert_int_equal(mkdir(in(*state, "neighbour"), 0700), 0);
    write_file(in(*state, "neighbour/file"), 1);
    pnx_tempdir *dir = make(*state, NULL);
    assert_int_equal(symlink("../neighbour", in(pnx_tempdir_path(dir), "link")), 0);
    assert_int_equal(symlink(in(*state, "neighbour"), in(pnx_tempdir_path(dir), "direct")), 0);
    assert_int_equal(symlink("..", in(pnx_tempdir_path(dir), "up")), 0);
    assert_int_equal(link(in(*state, "neighbour/file"), in(pnx_tempdir_path(dir), "hard")), 0);
    remove_and_free(dir);
    assert_true(exists(in(*state, "neighbour/file")));
    assert_int_equal(unlink(in(*state, "neighbour/file")), 0);
    assert_int_equal(rmdir(in(*state, "neighbour")), 0);
}

static void hostile_names_are_no_problem(void **state)
{
    struct told told;
    pnx_tempdir *dir = make(*state, &told);
    const char *const names[] = {"-rf",      " ",    "two\nlines", "\033[31mred",
                                 "\xff\xfe", "*",    "...",        ".hidden",
                                 "a\\b",     "%s%n", ".garbage-x", ".cleanroom-moved-0"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        write_file(in(pnx_tempdir_path(dir), names[i]), 1);
    char longest[NAME_MAX + 1];
    memset(longest, 'l', NAME_MAX);
    longest[NAME_MAX] = '\0';
    write_file(in(pnx_tempdir_path(dir), longest), 1);
    remove_and_free(dir);
    assert_int_equal(told.totals.files, sizeof names / sizeof *names + 1);
}

/* As the user who is least able to: root may read everything. */
static void become_nobody(const char *place)
{
    if (!is_root())
        return;
    assert_int_equal(chown(place, 65534, 65534), 0);
    assert_int_equal(setgid(65534), 0);
    assert_int_equal(setuid(65534), 0);
}

static void fill_with_locked_directories(const char *path)
{
    const mode_t modes[] = {0000, 0100, 0200, 0300, 0400, 0500, 0600};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        char inner[4200];
        snprintf(inner, sizeof inner, "%s/%o", path, modes[i]);
        assert_int_equal(mkdir(inner, 0700), 0);
        write_file(in(inner, "file"), 1);
        assert_int_equal(mkdir(in(inner, "dir"), 0700), 0);
        write_file(in(inner, "dir/file"), 1);
        assert_int_equal(chmod(in(inner, "dir"), modes[i]), 0);
        assert_int_equal(chmod(inner, modes[i]), 0);
    }
    assert_int_equal(chmod(path, 0), 0);
}

static void locked_directories_are_opened(void **state)
{
    pid_t pid = fork();
    if (pid == 0) {
        become_nobody(*state);
        struct told told;
        pnx_tempdir *dir = make(*state, &told);
        fill_with_locked_directories(pnx_tempdir_path(dir));
        pnx_status status = pnx_tempdir_remove(dir, PNX_FOREVER, NULL);
        bool all = told.totals.files == 14 && told.totals.directories == 14;
        pnx_tempdir_free(dir);
        _exit(status == PNX_OK && all ? 0 : 1);
    }
    assert_int_equal(status_of_child(pid), 0);
    assert_false(exists(in(*state, "dir")));
}

static void make_chain(const char *path, unsigned depth)
{
    char name[101];
    memset(name, 'd', 100);
    name[100] = '\0';
    int at = open(path, O_RDONLY | O_DIRECTORY);
    for (unsigned i = 0; i < depth; i++) {
        assert_int_equal(mkdirat(at, name, 0700), 0);
        int file = openat(at, "file", O_CREAT | O_WRONLY, 0600);
        assert_true(file >= 0);
        close(file);
        int next = openat(at, name, O_RDONLY | O_DIRECTORY);
        assert_true(next >= 0);
        close(at);
        at = next;
    }
    close(at);
}

static void depth_is_no_limit(void **state)
{
    struct told told;
    pnx_tempdir *dir = make(*state, &told);
    make_chain(pnx_tempdir_path(dir), 500); /* 50 000 bytes of path: twelve times PATH_MAX */
    remove_and_free(dir);
    assert_int_equal(told.totals.directories, 500);
    assert_int_equal(told.totals.files, 500);
    assert_int_equal(told.entries, 1000);
}

static void few_descriptors_are_enough(void **state)
{
    struct told told;
    pnx_tempdir *dir = make(*state, &told);
    make_chain(pnx_tempdir_path(dir), 100);
    struct rlimit before, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = open("/dev/null", O_RDONLY);
    close(next);
    few = before;
    few.rlim_cur = (rlim_t)next + 4;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    pnx_error err = {0};
    pnx_status status = pnx_tempdir_remove(dir, PNX_FOREVER, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_ok(status, &err);
    assert_int_equal(told.totals.directories, 100);
    pnx_tempdir_free(dir);
}

/* In memory: ext4 takes minutes to make many files where as many were removed a moment ago. */
static int make_place_in_memory(void **state)
{
    char template[] = "/dev/shm/cleanroom-test-XXXXXX";
    if (!mkdtemp(template))
        return make_place(state);
    *state = strdup(template);
    return 0;
}

static void many_entries_are_removed(void **state)
{
    struct told told;
    pnx_tempdir *dir = make(*state, &told);
    char path[4200];
    for (unsigned i = 0; i < 100000; i++) {
        if (i % 10000 == 0) {
            snprintf(path, sizeof path, "%s/%u", pnx_tempdir_path(dir), i);
            assert_int_equal(mkdir(path, 0700), 0);
        }
        snprintf(path, sizeof path, "%s/%u/%u", pnx_tempdir_path(dir), i - i % 10000, i);
        int file = open(path, O_CREAT | O_WRONLY, 0600);
        assert_true(file >= 0);
        close(file);
    }
    remove_and_free(dir);
    assert_int_equal(told.totals.files, 100000);
    assert_int_equal(told.totals.directories, 10);
}

static void a_deadline_stops_it_and_the_next_attempt_goes_on(void **state)
{
    struct told told;
    pnx_tempdir *dir = make(*state, &told);
    make_chain(pnx_tempdir_path(dir), 40);
    pnx_error err = {0};
    assert_int_equal(pnx_tempdir_remove(dir, pnx_monotonic_now(), &err), PNX_ETIMEOUT);
    assert_int_equal(told.outcome.fate, PNX_FATE_STUCK);
    assert_false(told.outcome.verified);
    remove_and_free(dir);
    assert_int_equal(told.totals.directories, 40);
    assert_int_equal(told.outcome.attempts, 2);
    assert_int_equal(told.attempts, 2);
}

/* ---- identity -------------------------------------------------------------------------------- */

static void a_directory_that_was_moved_is_found(void **state)
{
    struct told told;
    pnx_tempdir *dir = make(*state, &told);
    write_file(in(pnx_tempdir_path(dir), "file"), 1);
    assert_int_equal(mkdir(in(*state, "elsewhere"), 0700), 0);
    assert_int_equal(rename(in(*state, "dir"), in(*state, "elsewhere/moved")), 0);
    remove_and_free(dir);
    assert_int_equal(told.totals.files, 1);
    assert_int_equal(rmdir(in(*state, "elsewhere")), 0);
}

static void what_took_its_name_is_not_touched(void **state)
{
    struct told told;
    pnx_tempdir *dir = make(*state, &told);
    assert_int_equal(rename(in(*state, "dir"), in(*state, "moved")), 0);
    assert_int_equal(mkdir(in(*state, "dir"), 0700), 0);
    write_file(in(*state, "dir/neighbour"), 1);
    assert_int_equal(pnx_tempdir_remove(dir, PNX_FOREVER, NULL), PNX_OK);
    pnx_tempdir_free(dir);
    assert_false(exists(in(*state, "moved")));
    assert_true(exists(in(*state, "dir/neighbour")));
    assert_int_equal(unlink(in(*state, "dir/neighbour")), 0);
    assert_int_equal(rmdir(in(*state, "dir")), 0);
}

static void one_that_is_gone_is_gone(void **state)
{
    struct told told;
    pnx_tempdir *dir = make(*state, &told);
    assert_int_equal(rmdir(pnx_tempdir_path(dir)), 0);
    assert_int_equal(mkdir(pnx_tempdir_path(dir), 0700), 0); /* another one of that name */
    assert_int_equal(pnx_tempdir_remove(dir, PNX_FOREVER, NULL), PNX_OK);
    assert_int_equal(told.outcome.fate, PNX_FATE_ALREADY_GONE);
    assert_true(told.outcome.verified);
    assert_int_equal(rmdir(pnx_tempdir_path(dir)), 0);
    pnx_tempdir_free(dir);
}

/* ---- what stays ------------------------------------------------------------------------------ */

static void mounts_are_not_crossed(void **state)
{
    if (!is_root())
        skip();
    assert_int_equal(mkdir(in(*state, "neighbour"), 0700), 0);
    write_file(in(*state, "neighbour/file"), 1);
    pid_t pid = fork();
    if (pid == 0) {
        /* First: through a descriptor from the old namespace the mount would not be seen. */
        if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
            _exit(77);
        struct told told;
        pnx_tempdir *dir = make(*state, &told);
        const char *target = in(pnx_tempdir_path(dir), "mount");
        if (mkdir(target, 0700) != 0 ||
            mount(in(*state, "neighbour"), target, NULL, MS_BIND, NULL) != 0)
            _exit(77);
        write_file(in(pnx_tempdir_path(dir), "file"), 1);
        pnx_error err = {0};
        if (pnx_tempdir_remove(dir, PNX_FOREVER, &err) != PNX_EFAILED)
            _exit(1);
        bool told_so = told.stuck == 1 && strcmp(told.first_stuck, "mount") == 0 &&
                       strstr(told.reason, "mount point") && told.totals.files == 1 &&
                       told.totals.stuck == 1 && strstr(err.cause.message, "'mount'");
        if (!told_so || told.outcome.fate != PNX_FATE_STUCK || told.outcome.verified)
            _exit(2);
        /* By now it goes by another name. */
        if (umount2(in(*state, ".garbage-dir/mount"), MNT_DETACH) != 0)
            _exit(3);
        bool removed = pnx_tempdir_remove(dir, PNX_FOREVER, &err) == PNX_OK;
        _exit(removed && told.stuck == 0 && told.totals.stuck == 0 ? 0 : 4);
    }
    int status = status_of_child(pid);
    assert_true(exists(in(*state, "neighbour/file")));
    assert_int_equal(unlink(in(*state, "neighbour/file")), 0);
    assert_int_equal(rmdir(in(*state, "neighbour")), 0);
    if (status == 77)
        skip();
    assert_int_equal(status, 0);
}

static void what_another_user_owns_is_told(void **state)
{
    if (!is_root())
        skip();
    struct told *told = calloc(1, sizeof *told);
    assert_non_null(told);
    pid_t pid = fork();
    if (pid == 0) {
        become_nobody(*state);
        pnx_tempdir *dir = make(*state, told);
        assert_int_equal(mkdir(in(pnx_tempdir_path(dir), "theirs"), 0700), 0);
        write_file(in(pnx_tempdir_path(dir), "theirs/file"), 1);
        write_file(in(pnx_tempdir_path(dir), "ours"), 1);
        /* The parent takes the directory over while we wait for its signal. */
        raise(SIGSTOP);
        pnx_error err = {0};
        pnx_status status = pnx_tempdir_remove(dir, PNX_FOREVER, &err);
        bool told_so = status == PNX_EFAILED && told->totals.files == 1 && told->stuck == 1 &&
                       strcmp(told->first_stuck, "theirs") == 0 &&
                       strstr(err.cause.message, "uid 0");
        _exit(told_so ? 0 : 1);
    }
    free(told);
    int status;
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_int_equal(chown(in(*state, "dir/theirs"), 0, 0), 0);
    assert_int_equal(kill(pid, SIGCONT), 0);
    int ended = status_of_child(pid);
    (void)!unlink(in(*state, ".garbage-dir/theirs/file"));
    (void)!rmdir(in(*state, ".garbage-dir/theirs"));
    (void)!rmdir(in(*state, ".garbage-dir"));
    assert_int_equal(ended, 0);
}

static void one_that_is_out_of_reach_is_left_alone(void **state)
{
    if (!is_root())
        skip();
    pid_t pid = fork();
    if (pid == 0) {
        become_nobody(*state);
        struct told told;
        pnx_tempdir *dir = make(*state, &told);
        write_file(in(pnx_tempdir_path(dir), "file"), 1);
        raise(SIGSTOP); /* the parent moves it to where we may not look */
        pnx_error err = {0};
        pnx_status status = pnx_tempdir_remove(dir, PNX_FOREVER, &err);
        bool told_so = status == PNX_EFAILED && told.outcome.fate == PNX_FATE_FOREIGN &&
                       told.entries == 0 && strstr(told.outcome.reason, "moved");
        _exit(told_so ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_int_equal(mkdir(in(*state, "closed"), 0700), 0);
    assert_int_equal(rename(in(*state, "dir"), in(*state, "closed/dir")), 0);
    assert_int_equal(kill(pid, SIGCONT), 0);
    int ended = status_of_child(pid);
    bool untouched = exists(in(*state, "closed/dir/file"));
    (void)!unlink(in(*state, "closed/dir/file"));
    (void)!rmdir(in(*state, "closed/dir"));
    (void)!rmdir(in(*state, "closed"));
    assert_int_equal(ended, 0);
    assert_true(untouched);
}

static void immutable_files_are_removed_where_we_may(void **state)
{
    struct told told;
    pnx_tempdir *dir = make(*state, &told);
    write_file(in(pnx_tempdir_path(dir), "file"), 1);
    int fd = open(in(pnx_tempdir_path(dir), "file"), O_RDONLY);
    int flags = FS_IMMUTABLE_FL;
    bool set = ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
    close(fd);
    remove_and_free(dir);
    if (!set)
        skip();
    assert_int_equal(told.totals.files, 1);
}

/* ---- as a guarded resource ------------------------------------------------------------------- */

static void a_guard_removes_it(void **state)
{
    pnx_registry *registry;
    pnx_error err = {0};
    struct told told;
    assert_ok(pnx_registry_create(&(pnx_config){.workers = 1}, &registry, &err), &err);
    {
        pnx_auto(tempdir) guard = pnx_reserve(tempdir, registry, &err);
        assert_int_equal(guard.status, PNX_OK);
        assert_true(pnx_arm(&guard, make(*state, &told)));
        write_file(in(pnx_tempdir_path(pnx_get(&guard)), "file"), 1);
    }
    assert_int_equal(pnx_registry_wait_idle(registry, in_seconds(20)), PNX_OK);
    assert_false(exists(in(*state, "dir")));
    assert_int_equal(told.outcome.fate, PNX_FATE_REMOVED);
    pnx_counts counts;
    pnx_registry_counts(registry, &counts);
    assert_int_equal(counts.done, 1);
    assert_int_equal(counts.failed, 0);
    assert_ok(pnx_registry_shutdown(registry, NULL, NULL, &err), &err);
    assert_ok(pnx_registry_destroy(registry, &err), &err);
}

static void nothing_held_is_nothing_removed(void **state)
{
    pnx_tempdir_free(NULL);
    pnx_auto(tempdir) guard = {0};
    assert_null(pnx_get(&guard));
}

#define placed(test) cmocka_unit_test_setup_teardown(test, make_place, drop_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        placed(it_is_private_and_locked),
        placed(a_strange_umask_does_not_lock_us_out),
        placed(bad_names_and_places_are_refused),
        placed(an_existing_directory_is_not_taken_over),
        placed(every_sort_is_removed_and_counted),
        placed(links_are_not_followed_out_of_it),
        placed(hostile_names_are_no_problem),
        placed(locked_directories_are_opened),
        placed(depth_is_no_limit),
        placed(few_descriptors_are_enough),
        cmocka_unit_test_setup_teardown(many_entries_are_removed, make_place_in_memory, drop_place),
        placed(a_deadline_stops_it_and_the_next_attempt_goes_on),
        placed(a_directory_that_was_moved_is_found),
        placed(what_took_its_name_is_not_touched),
        placed(one_that_is_gone_is_gone),
        placed(mounts_are_not_crossed),
        placed(what_another_user_owns_is_told),
        placed(one_that_is_out_of_reach_is_left_alone),
        placed(immutable_files_are_removed_where_we_may),
        placed(a_guard_removes_it),
        cmocka_unit_test(nothing_held_is_nothing_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
