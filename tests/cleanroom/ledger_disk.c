/* SPDX-License-Identifier: MIT */
/*
 * Tests of src/cleanroom/ledger: full disks, limits, files that somebody cuts or removes, and what
 * is on disk when. fdatasync(2) and fsync(2) are taken over by this program, which looks at what
 * they are called for, and lets them fail.
 */
#include "ledger_support.h"

#include "ledger/internal.h"
#include "ledger/scan.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

/* ---- the disk, as we see it ------------------------------------------------------------------ */

static atomic_uint file_syncs, directory_syncs;
static atomic_int sync_fails;    /* with this errno */
static atomic_uint good_on_disk; /* slots of good entries that the last sync had before it */
static atomic_bool hold_syncs;   /* the next one waits until it is false */
static atomic_uint held;

static bool go_through(const struct pnx__ledger_entry *entry, void *context)
{
    return true;
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): theirs are reserved */
int fdatasync(int fd)
{
    struct stat about;
    struct pnx__ledger_scan scan;
    int fails = atomic_load(&sync_fails);
    if (fails) {
        errno = fails;
        return -1;
    }
    bool is_ledger =
        fstat(fd, &about) == 0 && pnx__ledger_scan(fd, (uint64_t)about.st_size, "ledger",
                                                   go_through, NULL, &scan, NULL) == PNX_OK;
    atomic_fetch_add(&held, 1);
    while (atomic_load(&hold_syncs))
        sched_yield();
    int result = (int)syscall(SYS_fdatasync, fd);
    if (result == 0 && is_ledger)
        atomic_store(&good_on_disk, scan.tail);
    atomic_fetch_add(&file_syncs, 1);
    return result;
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): theirs are reserved */
int fsync(int fd)
{
    struct stat about;
    if (fstat(fd, &about) == 0 && S_ISDIR(about.st_mode))
        atomic_fetch_add(&directory_syncs, 1);
    return (int)syscall(SYS_fsync, fd);
}

static int reset_disk(void **state)
{
    atomic_store(&file_syncs, 0);
    atomic_store(&directory_syncs, 0);
    atomic_store(&sync_fails, 0);
    atomic_store(&good_on_disk, 0);
    atomic_store(&hold_syncs, false);
    atomic_store(&held, 0);
    return make_place(state);
}

/* ---- durable --------------------------------------------------------------------------------- */

static void what_is_volatile_is_not_synced(void **state)
{
    pnx_error err = {0};
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    uint32_t resource = intend(ledger, "x");
    bind_to(ledger, resource, "x");
    say_gone(ledger, resource);
    note(ledger, "k", "v");
    assert_ok(pnx__ledger_closed(ledger, &err), &err);
    assert_int_equal(atomic_load(&file_syncs), 0);
    assert_int_equal(atomic_load(&directory_syncs), 0);
    drop_ledger(dir, ledger);
}

static void what_is_durable_is_on_disk_when_it_is_acknowledged(void **state)
{
    pnx_error err = {0};
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    uint32_t resource;
    assert_ok(pnx__ledger_intend(ledger, TREE, "x", true, &resource, &err), &err);
    assert_int_equal(atomic_load(&file_syncs), 1);
    assert_int_equal(atomic_load(&good_on_disk), 2);
    /* Its name, and the name of the directory that it is in. */
    assert_int_equal(atomic_load(&directory_syncs), 2);
    assert_ok(pnx__ledger_bind(ledger, resource, "x", true, &err), &err);
    assert_int_equal(atomic_load(&good_on_disk), 3);
    assert_int_equal(atomic_load(&file_syncs), 2);
    assert_int_equal(atomic_load(&directory_syncs), 2);
    note(ledger, "k", "v");
    assert_ok(pnx__ledger_sync(ledger, &err), &err);
    assert_int_equal(atomic_load(&good_on_disk), 4);
    assert_ok(pnx__ledger_sync(ledger, &err), &err); /* nothing new */
    assert_int_equal(atomic_load(&file_syncs), 3);
    drop_ledger(dir, ledger);
}

static void what_an_adopter_found_is_synced_too(void **state)
{
    pnx_error err = {0};
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    intend(ledger, "x");
    pnx__ledger_close(ledger);
    ledger = reopen_ledger(dir);
    assert_ok(pnx__ledger_sync(ledger, &err), &err);
    assert_int_equal(atomic_load(&good_on_disk), 2);
    assert_int_equal(atomic_load(&directory_syncs), 2);
    drop_ledger(dir, ledger);
}

struct caller {
    pthread_t thread;
    pnx__ledger *ledger;
    unsigned rounds, late; /* acknowledged, and not on disk */
    pnx_status status;
};

static void *intend_durably(void *argument)
{
    struct caller *caller = argument;
    for (unsigned i = 0; i < caller->rounds; i++) {
        uint32_t resource;
        caller->status = pnx__ledger_intend(caller->ledger, TREE, "", true, &resource, NULL);
        if (caller->status)
            return NULL;
        /* With texts of one slot and nothing else written, resource N is in slot N. */
        caller->late += atomic_load(&good_on_disk) <= resource;
    }
    return NULL;
}

static void callers_at_the_same_time_share_a_sync(void **state)
{
    enum { CALLERS = 16 };
    struct caller callers[CALLERS];
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    atomic_store(&hold_syncs, true);
    for (unsigned i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){.ledger = ledger, .rounds = 1};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, intend_durably, &callers[i]), 0);
    }
    /* One leads and is held; the others have written and wait. */
    const pnx_time deadline = in_seconds(20);
    bool all = false;
    while (!all && pnx_monotonic_now() < deadline) {
        pthread_mutex_lock(&ledger->lock);
        all = ledger->tail == CALLERS + 1 && atomic_load(&held) == 1;
        pthread_mutex_unlock(&ledger->lock);
    }
    assert_true(all);
    atomic_store(&hold_syncs, false);
    for (unsigned i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_int_equal(callers[i].status, PNX_OK);
        assert_int_equal(callers[i].late, 0);
    }
    assert_int_equal(atomic_load(&file_syncs), 2);
    drop_ledger(dir, ledger);
}

static void no_caller_is_answered_too_early(void **state)
{
    enum { CALLERS = 8 };
    struct caller callers[CALLERS];
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    for (unsigned i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){.ledger = ledger, .rounds = by_effort(100)};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, intend_durably, &callers[i]), 0);
    }
    for (unsigned i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_int_equal(callers[i].status, PNX_OK);
        assert_int_equal(callers[i].late, 0);
    }
    assert_true(atomic_load(&file_syncs) < CALLERS * by_effort(100));
    drop_ledger(dir, ledger);
}

static void a_disk_that_fails_is_told_and_never_trusted_again(void **state)
{
    pnx_error err = {0};
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    uint32_t resource = 77;
    atomic_store(&sync_fails, EIO);
    assert_int_equal(pnx__ledger_intend(ledger, TREE, "x", true, &resource, &err), PNX_EFAILED);
    assert_int_equal(err.sys_errno, EIO);
    assert_int_equal(resource, 77);
    atomic_store(&sync_fails, 0);
    assert_int_equal(pnx__ledger_intend(ledger, TREE, "y", true, &resource, &err), PNX_EFAILED);
    assert_int_equal(pnx__ledger_sync(ledger, &err), PNX_EFAILED);
    assert_int_equal(atomic_load(&file_syncs), 0);
    intend(ledger, "what needs no disk goes on");
    struct pnx__ledger_view *view = load_ledger(dir);
    assert_int_equal(view->resource_count, 3);
    assert_int_equal(view->resources[0].state, PNX__LEDGER_IS_GONE); /* never made */
    assert_string_equal(view->resources[0].fate, "never made");
    assert_int_equal(view->resources[1].state, PNX__LEDGER_IS_GONE);
    assert_int_equal(view->resources[2].state, PNX__LEDGER_INTENDED);
    pnx__ledger_view_free(view);
    drop_ledger(dir, ledger);
}

/* ---- no room --------------------------------------------------------------------------------- */

/* Runs `body` in a child, in which the place is a file system in memory of `size`. */
static void on_small_disk(void **state, const char *size, void (*body)(int dir))
{
    if (!is_root())
        skip(); /* mounting needs root */
    pid_t pid = fork();
    if (pid == 0) {
        char options[64];
        snprintf(options, sizeof options, "size=%s", size);
        if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount("tmpfs", *state, "tmpfs", 0, options) != 0)
            _exit(77);
        int dir = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        body(dir);
        _exit(0);
    }
    int status = status_of_child(pid);
    if (status == 77)
        skip(); /* nor may root mount here */
    assert_int_equal(status, 0);
}

#define check(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "# line %d: %s\n", __LINE__, #condition);                              \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void fill_up(int dir)
{
    static char page[4096];
    int fd = openat(dir, "filler", O_WRONLY | O_CREAT | O_APPEND, 0600);
    check(fd >= 0);
    while (write(fd, page, sizeof page) > 0)
        continue;
    check(errno == ENOSPC);
    close(fd);
}

static void keep_promises(int dir)
{
    pnx__ledger *ledger;
    pnx_error err = {0};
    uint32_t last = 0, resource;
    pnx_status status;
    char *name = long_text(50, 0), *identity = long_text(PNX__LEDGER_IDENTITY_RESERVED, 1),
         *fate = long_text(PNX__LEDGER_FATE_RESERVED, 2);
    check(pnx__ledger_create(dir, "ledger", SESSION, &ledger, &err) == PNX_OK);
    fill_up(dir);
    while ((status = pnx__ledger_intend(ledger, TREE, name, false, &resource, &err)) == PNX_OK)
        check(resource == ++last);
    check(status == PNX_EFAILED && err.sys_errno == ENOSPC);
    check(strstr(err.message, "free some space"));
    check(last > 50);
    check(pnx__ledger_note(ledger, "k", fate, NULL) == PNX_EFAILED); /* was not promised */
    for (uint32_t i = 1; i <= last; i++)
        check(pnx__ledger_bind(ledger, i, identity, true, &err) == PNX_OK);
    for (uint32_t i = 1; i <= last; i++)
        check(pnx__ledger_gone(ledger, i, fate, &err) == PNX_OK);
    check(pnx__ledger_closed(ledger, &err) == PNX_OK);
    struct pnx__ledger_view *view;
    check(pnx__ledger_load(dir, "ledger", &view, &err) == PNX_OK);
    check(view->resource_count == last && view->closed && view->damaged == 0);
    check(strcmp(view->resources[last - 1].identity, identity) == 0);
    check(strcmp(view->resources[last - 1].fate, fate) == 0);
}

static void a_full_disk_fails_the_intent_and_nothing_else(void **state)
{
    on_small_disk(state, "256k", keep_promises);
}

static void find_no_room(int dir)
{
    pnx__ledger *ledger = NULL;
    pnx_error err = {0};
    fill_up(dir);
    check(pnx__ledger_create(dir, "ledger", SESSION, &ledger, &err) == PNX_EFAILED);
    check(err.sys_errno == ENOSPC);
    check(faccessat(dir, "ledger", F_OK, 0) != 0); /* not half of one */
}

static void one_for_which_there_is_no_room_is_not_made(void **state)
{
    on_small_disk(state, "64k", find_no_room);
}

/* Once there is room again, it goes on. */
static void recover(int dir)
{
    pnx__ledger *ledger;
    uint32_t resource;
    check(pnx__ledger_create(dir, "ledger", SESSION, &ledger, NULL) == PNX_OK);
    fill_up(dir);
    while (pnx__ledger_intend(ledger, TREE, "x", false, &resource, NULL) == PNX_OK)
        continue;
    check(unlinkat(dir, "filler", 0) == 0);
    for (unsigned i = 0; i < 100; i++)
        check(pnx__ledger_intend(ledger, TREE, "x", false, &resource, NULL) == PNX_OK);
}

static void when_there_is_room_again_it_goes_on(void **state)
{
    on_small_disk(state, "512k", recover);
}

static void the_limit_on_file_sizes_is_an_error_not_a_signal(void **state)
{
    pid_t pid = fork();
    if (pid == 0) {
        int dir = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct rlimit limit = {100000, 100000};
        pnx__ledger *ledger, *second;
        pnx_error err = {0};
        uint32_t resource, made = 0;
        pnx_status status;
        check(setrlimit(RLIMIT_FSIZE, &limit) == 0);
        check(pnx__ledger_create(dir, "ledger", SESSION, &ledger, &err) == PNX_OK);
        while ((status = pnx__ledger_intend(ledger, TREE, "x", false, &resource, &err)) == PNX_OK)
            made++;
        check(status == PNX_EFAILED && err.sys_errno == EFBIG);
        check(strstr(err.message, "ulimit -f"));
        check(pnx__ledger_bind(ledger, made, "identity", false, &err) == PNX_OK);
        limit.rlim_cur = 1000;
        check(setrlimit(RLIMIT_FSIZE, &limit) == 0);
        check(pnx__ledger_create(dir, "second", SESSION, &second, &err) == PNX_EFAILED);
        check(err.sys_errno == EFBIG);
        check(faccessat(dir, "second", F_OK, 0) != 0);
        check(unlinkat(dir, "ledger", 0) == 0);
        _exit(0);
    }
    assert_int_equal(status_of_child(pid), 0);
}

/* ---- where it may not be --------------------------------------------------------------------- */

static void a_directory_that_may_not_be_written_is_told(void **state)
{
    assert_int_equal(chmod(*state, 0555), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int dir = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (is_root())
            check(setgid(65534) == 0 && setuid(65534) == 0);
        pnx__ledger *ledger;
        pnx_error err = {0};
        check(pnx__ledger_create(dir, "ledger", SESSION, &ledger, &err) == PNX_EFAILED);
        check(err.sys_errno == EACCES);
        check(strstr(err.message, "CLEANROOM_STATE_DIR"));
        _exit(0);
    }
    assert_int_equal(status_of_child(pid), 0);
    assert_int_equal(chmod(*state, 0700), 0);
}

static void a_strange_umask_does_not_lock_us_out(void **state)
{
    int dir = open_place(state);
    mode_t mask = umask(0777);
    pnx__ledger *ledger = make_ledger(dir);
    umask(mask);
    struct stat about;
    assert_int_equal(fstatat(dir, "ledger", &about, 0), 0);
    assert_int_equal(about.st_mode & 07777, 0600);
    drop_ledger(dir, ledger);
}

static void a_directory_that_is_gone_is_told(void **state)
{
    pnx_error err = {0};
    pnx__ledger *ledger = NULL;
    assert_int_equal(mkdir(in(*state, "inner"), 0700), 0);
    int dir = open(in(*state, "inner"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(rmdir(in(*state, "inner")), 0);
    assert_int_equal(pnx__ledger_create(dir, "ledger", SESSION, &ledger, &err), PNX_EFAILED);
    assert_int_equal(err.sys_errno, ENOENT);
    close(dir);
}

/* ---- cut or removed by somebody -------------------------------------------------------------- */

/* So that the next append looks at the file, as it does anyway once a millisecond is over. */
static void forget_the_last_look(pnx__ledger *ledger)
{
    ledger->checked = 0;
}

static void assert_lost(pnx__ledger *ledger, const char *says)
{
    pnx_error err = {0};
    uint32_t resource;
    assert_int_equal(pnx__ledger_note(ledger, "k", "v", &err), PNX_EFAILED);
    assert_non_null(strstr(err.message, says));
    assert_non_null(strstr(err.message, "/ledger"));
    assert_int_equal(pnx__ledger_intend(ledger, TREE, "x", false, &resource, &err), PNX_EFAILED);
    assert_int_equal(pnx__ledger_bind(ledger, 1, "x", false, &err), PNX_EFAILED);
    assert_int_equal(pnx__ledger_gone(ledger, 1, "x", &err), PNX_EFAILED);
    assert_int_equal(pnx__ledger_closed(ledger, &err), PNX_EFAILED);
}

static void one_that_is_cut_is_an_error(void **state)
{
    const off_t sizes[] = {0, 100, 4096, 65535};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int dir = open_place(state);
        pnx__ledger *ledger = make_ledger(dir);
        intend(ledger, "x");
        assert_int_equal(truncate(in(*state, "ledger"), sizes[i]), 0);
        forget_the_last_look(ledger);
        assert_lost(ledger, "cut short");
        drop_ledger(dir, ledger);
    }
}

static void one_that_is_cut_and_filled_up_again_is_an_error(void **state)
{
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    intend(ledger, "x");
    assert_int_equal(truncate(in(*state, "ledger"), 0), 0);
    assert_int_equal(truncate(in(*state, "ledger"), PNX__LEDGER_SIZE_FIRST), 0);
    forget_the_last_look(ledger);
    assert_lost(ledger, "overwritten");
    drop_ledger(dir, ledger);
}

static void one_that_is_removed_is_an_error(void **state)
{
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    intend(ledger, "x");
    assert_int_equal(unlink(in(*state, "ledger")), 0);
    forget_the_last_look(ledger);
    assert_lost(ledger, "removed");
    pnx__ledger_close(ledger);
    close(dir);
}

/* Within the millisecond in which nobody looks, the handler of SIGBUS makes it an error. */
static void cut_at_any_moment(const char *place)
{
    const off_t sizes[] = {0, 4096, 8192};
    check(pnx__ledger_catch_sigbus(NULL) == PNX_OK);
    check(pnx__ledger_catch_sigbus(NULL) == PNX_OK);
    for (unsigned round = 0; round < 300; round++) {
        int dir = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        pnx__ledger *ledger, *other;
        uint32_t resource;
        pnx_error err = {0};
        check(pnx__ledger_create(dir, "ledger", SESSION, &ledger, NULL) == PNX_OK);
        check(pnx__ledger_create(dir, "other", SESSION, &other, NULL) == PNX_OK);
        for (unsigned i = 0; i < round; i++)
            check(pnx__ledger_intend(ledger, TREE, "x", false, &resource, &err) == PNX_OK);
        check(truncate(in(place, "ledger"), sizes[round % 3]) == 0);
        pnx_status status = PNX_OK;
        while (status == PNX_OK) {
            struct timespec now;
            clock_gettime(CLOCK_REALTIME, &now); /* as if looked at just now, again and again */
            ledger->checked = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
            status = pnx__ledger_intend(ledger, TREE, "x", false, &resource, &err);
        }
        check(status == PNX_EFAILED);
        check(strstr(err.message, "cut short"));
        check(pnx__ledger_note(other, "k", "v", NULL) == PNX_OK);
        pnx__ledger_close(ledger);
        pnx__ledger_close(other);
        check(unlinkat(dir, "ledger", 0) == 0 && unlinkat(dir, "other", 0) == 0);
        close(dir);
    }
}

static void one_that_is_cut_at_the_worst_moment_is_an_error(void **state)
{
    pid_t pid = fork();
    if (pid == 0) {
        cut_at_any_moment(*state);
        _exit(0);
    }
    assert_int_equal(status_of_child(pid), 0);
}

static volatile sig_atomic_t other_bus;

static void count_bus(int number)
{
    other_bus++;
}

/* Touches what lies behind the end of a file that is no ledger. */
static void touch_beyond_the_end(void)
{
    int fd = memfd_create("short", MFD_CLOEXEC);
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    check(map != MAP_FAILED);
    *(volatile char *)map = 1;
}

static void other_causes_of_sigbus_go_where_they_went(void **state)
{
    struct rlimit none = {0, 0};
    for (unsigned way = 0; way < 3; way++) {
        pid_t pid = fork();
        if (pid == 0) {
            setrlimit(RLIMIT_CORE, &none);
            signal(SIGBUS, way == 0 ? count_bus : SIG_DFL);
            check(pnx__ledger_catch_sigbus(NULL) == PNX_OK);
            if (way == 2)
                touch_beyond_the_end();
            raise(SIGBUS);
            check(other_bus == 1);
            _exit(0);
        }
        assert_int_equal(status_of_child(pid), way == 0 ? 0 : 128 + SIGBUS);
    }
}

/* ---- fork ------------------------------------------------------------------------------------ */

static void a_fork_child_cannot_write_but_close(void **state)
{
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    intend(ledger, "x");
    pid_t pid = fork();
    if (pid == 0) {
        uint32_t resource;
        forget_the_last_look(ledger);
        check(pnx__ledger_intend(ledger, TREE, "y", false, &resource, NULL) == PNX_EFORKED);
        check(pnx__ledger_closed(ledger, NULL) == PNX_EFORKED);
        pnx__ledger_close(ledger);
        _exit(0);
    }
    assert_int_equal(status_of_child(pid), 0);
    intend(ledger, "z");
    struct pnx__ledger_view *view = load_ledger(dir);
    assert_int_equal(view->resource_count, 2);
    assert_int_equal(view->damaged, 0);
    pnx__ledger_view_free(view);
    drop_ledger(dir, ledger);
}

static void nothing_of_it_is_inherited_by_a_program(void **state)
{
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    assert_true(fcntl(ledger->fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(ledger->dir_fd, F_GETFD) & FD_CLOEXEC);
    drop_ledger(dir, ledger);
}

#define placed(test) cmocka_unit_test_setup_teardown(test, reset_disk, drop_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        placed(what_is_volatile_is_not_synced),
        placed(what_is_durable_is_on_disk_when_it_is_acknowledged),
        placed(what_an_adopter_found_is_synced_too),
        placed(callers_at_the_same_time_share_a_sync),
        placed(no_caller_is_answered_too_early),
        placed(a_disk_that_fails_is_told_and_never_trusted_again),
        placed(a_full_disk_fails_the_intent_and_nothing_else),
        placed(one_for_which_there_is_no_room_is_not_made),
        placed(when_there_is_room_again_it_goes_on),
        placed(the_limit_on_file_sizes_is_an_error_not_a_signal),
        placed(a_directory_that_may_not_be_written_is_told),
        placed(a_strange_umask_does_not_lock_us_out),
        placed(a_directory_that_is_gone_is_told),
        placed(one_that_is_cut_is_an_error),
        placed(one_that_is_cut_and_filled_up_again_is_an_error),
        placed(one_that_is_removed_is_an_error),
        placed(one_that_is_cut_at_the_worst_moment_is_an_error),
        placed(other_causes_of_sigbus_go_where_they_went),
        placed(a_fork_child_cannot_write_but_close),
        placed(nothing_of_it_is_inherited_by_a_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
