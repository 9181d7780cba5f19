/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/ledger/identity.c, with real processes. */
#include "support.h"

#include "kind/procfs.h"
#include "kind/sys.h"
#include "ledger/identity.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <time.h>

/* A process that ends when it is told to, or when we do. */
struct subject {
    pid_t pid;
    int hold;
};

static struct subject start_subject(void)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct subject subject = {.pid = fork(), .hold = ends[1]};
    if (subject.pid == 0) {
        char byte;
        close(ends[1]);
        _exit(read(ends[0], &byte, 1) == 0 ? 0 : 1);
    }
    assert_true(subject.pid > 0);
    close(ends[0]);
    return subject;
}

/* Dead, but not waited for. */
static void end_subject(const struct subject *subject)
{
    siginfo_t info;
    close(subject->hold);
    assert_int_equal(waitid(P_PID, (id_t)subject->pid, &info, WEXITED | WNOWAIT), 0);
}

static void reap_subject(const struct subject *subject)
{
    assert_int_equal(status_of_child(subject->pid), 0);
}

static struct pnx__identity identity_of(pid_t pid)
{
    pnx_error err = {0};
    struct pnx__identity identity;
    assert_ok(pnx__identity_of_pid(pid, &identity, &err), &err);
    return identity;
}

/* As a kernel without handles would have written it down. */
static struct pnx__identity without_handle(struct pnx__identity identity)
{
    identity.handle = 0;
    return identity;
}

static pnx_status probe(struct pnx__identity identity)
{
    int pidfd = -1;
    pnx_status status = pnx__identity_pidfd(&identity, &pidfd, NULL);
    assert_int_equal(status == PNX_OK, pidfd >= 0);
    pnx__close(pidfd);
    return status;
}

/* ---- who lives ------------------------------------------------------------------------------- */

static void we_live(void **state)
{
    pnx_error err = {0};
    struct pnx__identity self;
    assert_ok(pnx__identity_self(&self, &err), &err);
    assert_int_equal(self.pid, getpid());
    assert_true(self.start > 0);
    struct pnx__identity again = identity_of(getpid());
    assert_true(pnx__identity_equal(&self, &again));
    assert_int_equal(probe(self), PNX_OK);
    assert_int_equal(probe(without_handle(self)), PNX_OK);
}

static void its_pidfd_is_of_that_process(void **state)
{
    pnx_error err = {0};
    struct subject subject = start_subject();
    for (unsigned by_start = 0; by_start < 2; by_start++) {
        struct pnx__identity identity = identity_of(subject.pid), again;
        if (by_start)
            identity.handle = 0;
        int pidfd;
        assert_ok(pnx__identity_pidfd(&identity, &pidfd, &err), &err);
        assert_true(fcntl(pidfd, F_GETFD) & FD_CLOEXEC);
        assert_ok(pnx__identity_of_pidfd(pidfd, &again, &err), &err);
        assert_int_equal(again.pid, subject.pid);
        assert_int_equal(again.start, identity.start);
        assert_int_equal(pnx__pidfd_signal(pidfd, 0), 0);
        close(pidfd);
    }
    end_subject(&subject);
    reap_subject(&subject);
}

static void the_dead_are_dead(void **state)
{
    struct subject subject = start_subject();
    struct pnx__identity identity = identity_of(subject.pid), none;
    int pidfd = pnx__pidfd_open(subject.pid);
    assert_true(pidfd >= 0);
    assert_int_equal(probe(identity), PNX_OK);

    end_subject(&subject); /* a zombie */
    assert_int_equal(probe(identity), PNX_EALREADY);
    assert_int_equal(probe(without_handle(identity)), PNX_EALREADY);
    assert_int_equal(pnx__identity_of_pid(subject.pid, &none, NULL), PNX_EALREADY);
    assert_int_equal(pnx__identity_of_pidfd(pidfd, &none, NULL), PNX_EALREADY);

    reap_subject(&subject);
    assert_int_equal(probe(identity), PNX_EALREADY);
    assert_int_equal(probe(without_handle(identity)), PNX_EALREADY);
    assert_int_equal(pnx__identity_of_pid(subject.pid, &none, NULL), PNX_EALREADY);
    assert_int_equal(pnx__identity_of_pidfd(pidfd, &none, NULL), PNX_EALREADY);
    close(pidfd);
}

static void *wait_for_ever(void *hold)
{
    char byte;
    int fd = *(int *)hold;
    _exit(read(fd, &byte, 1) == 0 ? 0 : 1);
}

/* /proc says Z of it, and it runs on. */
static void one_whose_first_thread_has_ended_lives(void **state)
{
    int ends[2], ready[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        close(ends[1]);
        if (pthread_create(&thread, NULL, wait_for_ever, &ends[0]) != 0)
            _exit(2);
        close(ready[1]);
        syscall(SYS_exit, 0); /* this thread alone */
    }
    close(ends[0]);
    close(ready[1]);
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 0);
    struct pnx__proc_stat stat = {0};
    const pnx_time deadline = in_seconds(20);
    while (stat.state != 'Z' && pnx_monotonic_now() < deadline)
        assert_true(pnx__proc_stat(pid, &stat));
    assert_int_equal(stat.state, 'Z');
    struct pnx__identity identity = identity_of(pid);
    assert_int_equal(probe(identity), PNX_OK);
    assert_int_equal(probe(without_handle(identity)), PNX_OK);
    close(ends[1]);
    assert_int_equal(status_of_child(pid), 0);
    assert_int_equal(probe(identity), PNX_EALREADY);
    close(ready[0]);
}

/* ---- who it is not --------------------------------------------------------------------------- */

static void another_with_its_pid_is_not_it(void **state)
{
    struct pnx__identity other = identity_of(getpid());
    other.start--;
    other.handle = 0;
    assert_int_equal(probe(other), PNX_EALREADY);
    struct pnx__identity self = identity_of(getpid());
    if (self.handle == 0)
        return;
    self.handle ^= (uint64_t)1 << 40;
    assert_int_equal(probe(self), PNX_EALREADY);
}

static void one_of_another_boot_is_dead(void **state)
{
    pnx_error err = {0};
    int pidfd;
    struct pnx__identity identity = identity_of(getpid());
    identity.boot.low ^= 1;
    assert_int_equal(pnx__identity_pidfd(&identity, &pidfd, &err), PNX_EALREADY);
    assert_non_null(strstr(err.message, "before this machine was started"));
    assert_int_equal(probe(without_handle(identity)), PNX_EALREADY);
}

static void *report_tid(void *hold)
{
    int *ends = hold;
    pid_t tid = gettid();
    if (write(ends[1], &tid, sizeof tid) != sizeof tid)
        return hold;
    char byte;
    return read(ends[2], &byte, 1) == 0 ? NULL : hold;
}

static void a_thread_that_has_its_pid_is_not_it(void **state)
{
    int ends[4];
    pthread_t thread;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(pipe2(ends + 2, O_CLOEXEC), 0);
    assert_int_equal(pthread_create(&thread, NULL, report_tid, ends), 0);
    pid_t tid;
    assert_int_equal(read(ends[0], &tid, sizeof tid), sizeof tid);
    struct pnx__identity identity = without_handle(identity_of(getpid()));
    identity.pid = tid;
    assert_int_equal(probe(identity), PNX_EALREADY);
    close(ends[3]);
    void *failed;
    pthread_join(thread, &failed);
    assert_null(failed);
    for (unsigned i = 0; i < 3; i++)
        close(ends[i]);
}

/* ---- pids that are used again ---------------------------------------------------------------- */

/* Runs `body` as process 1 of a pid namespace with a /proc of its own; its result. */
static int in_pid_namespace(int (*body)(const void *), const void *context)
{
    pid_t outer = fork();
    if (outer == 0) {
        if (unshare(CLONE_NEWPID | CLONE_NEWNS) != 0 ||
            mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
            _exit(77);
        pid_t inner = fork();
        if (inner == 0) {
            if (mount("proc", "/proc", "proc", 0, NULL) != 0)
                _exit(77);
            _exit(body(context));
        }
        int status;
        if (inner < 0 || waitpid(inner, &status, 0) != inner || !WIFEXITED(status))
            _exit(78);
        _exit(WEXITSTATUS(status));
    }
    assert_true(outer > 0);
    return status_of_child(outer);
}

static pid_t fork_with_pid(pid_t pid, int hold)
{
    char text[16];
    int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
    int length = snprintf(text, sizeof text, "%d", pid - 1);
    if (fd < 0 || write(fd, text, (size_t)length) != length)
        return -1;
    close(fd);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        _exit(read(hold, &byte, 1) == 0 ? 0 : 1);
    }
    return child;
}

/* The finest that /proc tells of a start: a tick. The next one begins. */
static void pass_a_tick(void)
{
    struct timespec begun, now;
    clock_gettime(CLOCK_BOOTTIME, &begun);
    do
        clock_gettime(CLOCK_BOOTTIME, &now);
    while ((now.tv_sec - begun.tv_sec) * 1000 + (now.tv_nsec - begun.tv_nsec) / 1000000 < 25);
}

static int reuse_a_pid(const void *context)
{
    const pid_t pid = 200;
    int ends[2];
    struct pnx__identity first, second;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return 2;
    if (fork_with_pid(pid, ends[0]) != pid)
        return 77;
    if (pnx__identity_of_pid(pid, &first, NULL) != PNX_OK)
        return 3;
    kill(pid, SIGKILL);
    if (waitpid(pid, NULL, 0) != pid)
        return 4;
    pass_a_tick();
    if (fork_with_pid(pid, ends[0]) != pid)
        return 77;
    if (pnx__identity_of_pid(pid, &second, NULL) != PNX_OK)
        return 5;
    int pidfd;
    bool told_apart = !pnx__identity_equal(&first, &second);
    pnx_status by_handle = pnx__identity_pidfd(&first, &pidfd, NULL);
    first.handle = 0;
    pnx_status by_start = pnx__identity_pidfd(&first, &pidfd, NULL);
    bool lives = pnx__identity_pidfd(&second, &pidfd, NULL) == PNX_OK;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    if (!told_apart || !lives)
        return 6;
    if (by_handle != PNX_EALREADY)
        return 7;
    return by_start == PNX_EALREADY ? 0 : 8;
}

static void a_pid_that_is_used_again_is_somebody_else(void **state)
{
    if (!is_root())
        skip(); /* a pid namespace, in which we choose the pids, needs root */
    int result = in_pid_namespace(reuse_a_pid, NULL);
    if (result == 77)
        skip(); /* not even root may choose pids here */
    assert_int_equal(result, 0);
}

static int look_out(const void *context)
{
    struct pnx__identity outside = *(const struct pnx__identity *)context, self;
    int pidfd;
    if (pnx__identity_pidfd(&outside, &pidfd, NULL) != PNX_EUNSUPPORTED)
        return 2;
    outside.handle = 0;
    if (pnx__identity_pidfd(&outside, &pidfd, NULL) != PNX_EUNSUPPORTED)
        return 3;
    if (pnx__identity_self(&self, NULL) != PNX_OK ||
        pnx__identity_pidfd(&self, &pidfd, NULL) != PNX_OK)
        return 4;
    return self.namespace != outside.namespace ? 0 : 5;
}

/* A clean room in a container that shares our state directory must not take us for dead. */
static void who_cannot_be_seen_is_not_dead(void **state)
{
    if (!is_root())
        skip(); /* a pid namespace needs root */
    struct pnx__identity self = identity_of(getpid());
    int result = in_pid_namespace(look_out, &self);
    if (result == 77)
        skip(); /* nor may root make one here */
    assert_int_equal(result, 0);
}

/* ---- without privileges ---------------------------------------------------------------------- */

static int as_nobody(void)
{
    if (is_root() && (setgid(65534) != 0 || setuid(65534) != 0))
        return 2;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return 3;
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        close(ends[1]);
        _exit(read(ends[0], &byte, 1) == 0 ? 0 : 1);
    }
    struct pnx__identity identity;
    int pidfd;
    if (pnx__identity_of_pid(pid, &identity, NULL) || pnx__identity_pidfd(&identity, &pidfd, NULL))
        return 4;
    struct pnx__identity plain = without_handle(identity);
    if (pnx__identity_pidfd(&plain, &pidfd, NULL))
        return 5;
    close(ends[1]);
    if (waitpid(pid, NULL, 0) != pid)
        return 6;
    if (pnx__identity_pidfd(&identity, &pidfd, NULL) != PNX_EALREADY ||
        pnx__identity_pidfd(&plain, &pidfd, NULL) != PNX_EALREADY)
        return 7;
    return 0;
}

static void no_privilege_is_needed(void **state)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(as_nobody());
    assert_int_equal(status_of_child(pid), 0);
}

/* ---- text ------------------------------------------------------------------------------------ */

static void its_text_is_read_back(void **state)
{
    pnx_error err = {0};
    char text[PNX__IDENTITY_TEXT_SIZE];
    struct pnx__identity identity = identity_of(getpid()), read_back;
    assert_ok(pnx__identity_parse(pnx__identity_format(&identity, text), &read_back, &err), &err);
    assert_true(pnx__identity_equal(&identity, &read_back));
    struct pnx__identity largest = {
        INT32_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, {UINT64_MAX, UINT64_MAX}};
    assert_ok(pnx__identity_parse(pnx__identity_format(&largest, text), &read_back, &err), &err);
    assert_true(pnx__identity_equal(&largest, &read_back));
}

static void other_texts_are_refused(void **state)
{
#define BOOT "6584880d-ccf2-4e9b-b162-9620d7ff5ec2"
    const char *const texts[] = {
        "",
        "1",
        "1:2:3:4",
        "1:2:3:4:",
        ":2:3:4:" BOOT,
        "0:2:3:4:" BOOT,
        "-1:2:3:4:" BOOT,
        "+1:2:3:4:" BOOT,
        " 1:2:3:4:" BOOT,
        "1 :2:3:4:" BOOT,
        "1:2:3:4:" BOOT "x",
        "1:2:3:" BOOT,
        "1:2:3:4:5:" BOOT,
        "2147483648:2:3:4:" BOOT,
        "1:18446744073709551616:3:4:" BOOT,
        "1:0x2:3:4:" BOOT,
        "1:2:3:4:6584880d-ccf2-4e9b-b162-9620d7ff5ec",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        pnx_error err = {0};
        struct pnx__identity identity = {.pid = 77};
        assert_int_equal(pnx__identity_parse(texts[i], &identity, &err), PNX_EINVAL);
        assert_int_equal(identity.pid, 77);
    }
}

static void what_is_no_process_is_refused(void **state)
{
    struct pnx__identity identity;
    assert_int_equal(pnx__identity_of_pid(0, &identity, NULL), PNX_EINVAL);
    assert_int_equal(pnx__identity_of_pid(-1, &identity, NULL), PNX_EINVAL);
    assert_int_equal(pnx__identity_of_pidfd(-1, &identity, NULL), PNX_EINVAL);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(pnx__identity_of_pidfd(fd, &identity, NULL), PNX_EINVAL);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(we_live),
        cmocka_unit_test(its_pidfd_is_of_that_process),
        cmocka_unit_test(the_dead_are_dead),
        cmocka_unit_test(one_whose_first_thread_has_ended_lives),
        cmocka_unit_test(another_with_its_pid_is_not_it),
        cmocka_unit_test(one_of_another_boot_is_dead),
        cmocka_unit_test(a_thread_that_has_its_pid_is_not_it),
        cmocka_unit_test(a_pid_that_is_used_again_is_somebody_else),
        cmocka_unit_test(who_cannot_be_seen_is_not_dead),
        cmocka_unit_test(no_privilege_is_needed),
        cmocka_unit_test(its_text_is_read_back),
        cmocka_unit_test(other_texts_are_refused),
        cmocka_unit_test(what_is_no_process_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
