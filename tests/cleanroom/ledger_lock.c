/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/ledger/lock.c: one cleaner, and nobody who waits in vain. */
#include "ledger_support.h"

#include <poll.h>
#include <stdatomic.h>
#include <sys/mman.h>

/* A process that takes the lock, says so, and holds it until it is told or killed. */
struct holder {
    pid_t pid;
    int tell;
};

static struct holder start_holder(int dir, const char *name)
{
    int ready[2], ends[2];
    char byte;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct holder holder = {.pid = fork(), .tell = ends[1]};
    if (holder.pid == 0) {
        int lock;
        close(ready[0]);
        close(ends[1]);
        if (pnx__ledger_try_lock(dir, name, &lock, NULL) != PNX_OK || write(ready[1], "", 1) != 1)
            _exit(1);
        _exit(read(ends[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(ready[1]);
    close(ends[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return holder;
}

static void end_holder(const struct holder *holder)
{
    close(holder->tell);
    assert_int_equal(status_of_child(holder->pid), 0);
}

static void only_one_has_it(void **state)
{
    const char *const names[] = {"lock", "."};
    int dir = open_place(state), lock = -1;
    for (unsigned i = 0; i < 2; i++) {
        pnx_error err = {0};
        struct holder holder = start_holder(dir, names[i]);
        assert_int_equal(pnx__ledger_try_lock(dir, names[i], &lock, &err), PNX_EBUSY);
        assert_non_null(strstr(err.message, (char *)*state));
        assert_int_equal(lock, -1);
        end_holder(&holder);
        assert_ok(pnx__ledger_try_lock(dir, names[i], &lock, &err), &err);
        assert_true(fcntl(lock, F_GETFD) & FD_CLOEXEC);
        close(lock);
        lock = -1;
    }
    unlinkat(dir, "lock", 0);
    close(dir);
}

static void death_gives_it_back(void **state)
{
    pnx_error err = {0};
    int dir = open_place(state), lock;
    struct holder holder = start_holder(dir, "lock");
    assert_int_equal(kill(holder.pid, SIGKILL), 0);
    assert_int_equal(status_of_child(holder.pid), 128 + SIGKILL);
    assert_ok(pnx__ledger_try_lock(dir, "lock", &lock, &err), &err);
    close(lock);
    close(holder.tell);
    unlinkat(dir, "lock", 0);
    close(dir);
}

/* Many start at the same instant, and each holds on to what it got until all have tried. */
static void of_many_that_race_one_wins(void **state)
{
    enum { RACERS = 8 };
    int dir = open_place(state);
    const unsigned rounds = by_effort(50);
    for (unsigned round = 0; round < rounds; round++) {
        int go[2];
        pid_t pids[RACERS];
        atomic_uint *tried =
            mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_true(tried != MAP_FAILED);
        assert_int_equal(pipe2(go, O_CLOEXEC), 0);
        for (unsigned i = 0; i < RACERS; i++) {
            pids[i] = fork();
            if (pids[i] == 0) {
                char byte;
                int lock;
                close(go[1]);
                if (read(go[0], &byte, 1) != 0)
                    _exit(3);
                pnx_status status = pnx__ledger_try_lock(dir, "lock", &lock, NULL);
                atomic_fetch_add(tried, 1);
                while (atomic_load(tried) < RACERS)
                    poll(NULL, 0, 0);
                _exit(status == PNX_OK ? 0 : status == PNX_EBUSY ? 1 : 2);
            }
        }
        close(go[0]);
        close(go[1]);
        unsigned winners = 0;
        for (unsigned i = 0; i < RACERS; i++) {
            int result = status_of_child(pids[i]);
            assert_true(result == 0 || result == 1);
            winners += result == 0;
        }
        assert_int_equal(winners, 1);
        munmap(tried, 4096);
    }
    unlinkat(dir, "lock", 0);
    close(dir);
}

static void a_wait_ends_at_its_deadline(void **state)
{
    pnx_error err = {0};
    int dir = open_place(state), lock = -1;
    struct holder holder = start_holder(dir, "lock");
    pnx_time begun = pnx_monotonic_now();
    assert_int_equal(pnx__ledger_lock(dir, "lock", pnx_time_after(begun, PNX_MS(30)), &lock, &err),
                     PNX_ETIMEOUT);
    assert_true(pnx_monotonic_now() - begun >= PNX_MS(30));
    assert_int_equal(lock, -1);
    assert_int_equal(pnx__ledger_lock(dir, "lock", begun, &lock, &err), PNX_ETIMEOUT);
    end_holder(&holder);
    assert_ok(pnx__ledger_try_lock(dir, "lock", &lock, &err), &err); /* nobody waits any more */
    close(lock);
    assert_int_equal(waitpid(-1, NULL, __WALL), -1); /* nothing is left of those who did */
    unlinkat(dir, "lock", 0);
    close(dir);
}

static void who_waits_gets_it(void **state)
{
    pnx_error err = {0};
    int dir = open_place(state), lock;
    const unsigned rounds = by_effort(20);
    for (unsigned i = 0; i < rounds; i++) {
        struct holder holder = start_holder(dir, "lock");
        pid_t pid = fork();
        if (pid == 0) {
            close(holder.tell);
            int got;
            if (pnx__ledger_lock(dir, "lock", in_seconds(20), &got, NULL) != PNX_OK)
                _exit(1);
            int again;
            _exit(pnx__ledger_try_lock(dir, "lock", &again, NULL) == PNX_EBUSY ? 0 : 2);
        }
        end_holder(&holder);
        assert_int_equal(status_of_child(pid), 0);
    }
    assert_ok(pnx__ledger_lock(dir, "lock", in_seconds(20), &lock, &err), &err);
    close(lock);
    unlinkat(dir, "lock", 0);
    close(dir);
}

/* The cleaner removes the directory, lock and all; who waited for it must not clean the nothing. */
static void a_lock_that_was_removed_is_none(void **state)
{
    int dir = open_place(state);
    pid_t pid;
    struct holder holder = start_holder(dir, "lock");
    pid = fork();
    if (pid == 0) {
        close(holder.tell);
        int got;
        struct stat ours, named;
        if (pnx__ledger_lock(dir, "lock", in_seconds(20), &got, NULL) != PNX_OK)
            _exit(1);
        if (fstat(got, &ours) != 0 || fstatat(dir, "lock", &named, 0) != 0)
            _exit(2);
        _exit(ours.st_ino == named.st_ino ? 0 : 3);
    }
    assert_int_equal(unlinkat(dir, "lock", 0), 0);
    end_holder(&holder);
    assert_int_equal(status_of_child(pid), 0);
    unlinkat(dir, "lock", 0);

    assert_int_equal(mkdirat(dir, "gone", 0700), 0);
    int gone = openat(dir, "gone", O_RDONLY | O_DIRECTORY | O_CLOEXEC), lock;
    assert_int_equal(unlinkat(dir, "gone", AT_REMOVEDIR), 0);
    assert_int_equal(pnx__ledger_try_lock(gone, "lock", &lock, NULL), PNX_ENOTFOUND);
    assert_int_equal(pnx__ledger_try_lock(gone, ".", &lock, NULL), PNX_ENOTFOUND);
    close(gone);
    close(dir);
}

static void what_is_no_file_of_ours_is_no_lock(void **state)
{
    int dir = open_place(state), lock;
    assert_int_equal(symlinkat("elsewhere", dir, "lock"), 0);
    assert_int_equal(pnx__ledger_try_lock(dir, "lock", &lock, NULL), PNX_EFAILED);
    assert_int_equal(faccessat(dir, "elsewhere", F_OK, 0), -1);
    unlinkat(dir, "lock", 0);
    assert_int_equal(mkfifoat(dir, "lock", 0600), 0);
    assert_int_equal(pnx__ledger_try_lock(dir, "lock", &lock, NULL), PNX_EFAILED);
    unlinkat(dir, "lock", 0);
    close(dir);
}

#define placed(test) cmocka_unit_test_setup_teardown(test, make_place, drop_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        placed(only_one_has_it),
        placed(death_gives_it_back),
        placed(of_many_that_race_one_wins),
        placed(a_wait_ends_at_its_deadline),
        placed(who_waits_gets_it),
        placed(a_lock_that_was_removed_is_none),
        placed(what_is_no_file_of_ours_is_no_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
