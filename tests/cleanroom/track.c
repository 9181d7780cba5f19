/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/track: pids, evidence, and the tracker itself (as root). */
#include "support.h"

#include "track/evidence.h"
#include "track/members.h"
#include "track/tracker.h"

#include <poll.h>
#include <sched.h>
#include <sys/mman.h>

/* ---- members --------------------------------------------------------------------------------- */

static void pids_come_and_go(void **state)
{
    struct pnx__members members = {0};
    assert_false(pnx__members_has(&members, 1));
    for (pid_t pid = 1; pid <= 100000; pid++)
        assert_true(pnx__members_add(&members, pid));
    for (pid_t pid = 1; pid <= 100000; pid += 2)
        pnx__members_remove(&members, pid);
    for (pid_t pid = 1; pid <= 100000; pid++)
        assert_int_equal(pnx__members_has(&members, pid), pid % 2 == 0);
    assert_int_equal(members.count, 50000);
    assert_false(pnx__members_has(&members, 0));
    assert_false(pnx__members_has(&members, -1));
    pnx__members_done(&members);
}

/* Places that were used once are used again, or a long run would need ever more memory. */
static void churn_needs_no_more_memory(void **state)
{
    struct pnx__members members = {0};
    for (pid_t pid = 1; pid <= 1000000; pid++) {
        assert_true(pnx__members_add(&members, pid));
        pnx__members_remove(&members, pid);
    }
    assert_true(members.size <= 1024);
    assert_int_equal(members.count, 0);
    pnx__members_done(&members);
}

/* ---- evidence -------------------------------------------------------------------------------- */

static struct pnx__evidence evidence_of(const char *bytes, size_t size)
{
    struct pnx__evidence evidence;
    pnx_error err = {0};
    int fd = memfd_create("evidence", MFD_CLOEXEC);
    assert_int_equal(write(fd, bytes, size), size);
    assert_ok(pnx__evidence_load(fd, &evidence, &err), &err);
    close(fd);
    return evidence;
}

#define EVIDENCE(text) evidence_of(text, sizeof(text) - 1)

static void what_was_seen_is_read_back(void **state)
{
    struct pnx__evidence evidence = EVIDENCE("+100\0+101\0c/dev/shm/a\0mu8001\0w/dev/loop7\0");
    assert_true(evidence.tracked);
    assert_true(pnx__evidence_has(&evidence, 100));
    assert_true(pnx__evidence_has(&evidence, 101));
    assert_false(pnx__evidence_has(&evidence, 102));
    assert_true(pnx__evidence_saw(&evidence, 'c', "/dev/shm/a"));
    assert_false(pnx__evidence_saw(&evidence, 'c', "/dev/shm/b"));
    assert_false(pnx__evidence_saw(&evidence, 'w', "/dev/shm/a"));
    assert_true(pnx__evidence_saw(&evidence, 'm', "u8001"));
    assert_true(pnx__evidence_saw(&evidence, 'w', "/dev/loop7"));
    assert_string_equal(evidence.lost, "");
    assert_false(pnx__evidence_would_see(&evidence, "/tmp/file"));
    pnx__evidence_done(&evidence);
}

static void nothing_is_no_evidence(void **state)
{
    struct pnx__evidence evidence = EVIDENCE("");
    assert_false(evidence.tracked);
    assert_false(pnx__evidence_has(&evidence, 1));
    assert_false(pnx__evidence_saw(&evidence, 'c', "/dev/shm/a"));
    pnx__evidence_done(&evidence);
}

/* The last one who made it counts; a pid that is given out again is the stranger's. */
static void later_evidence_takes_back_earlier(void **state)
{
    struct pnx__evidence evidence =
        EVIDENCE("+100\0c/dev/shm/a\0C/dev/shm/a\0-100\0C/dev/shm/b\0c/dev/shm/b\0");
    assert_false(pnx__evidence_has(&evidence, 100));
    assert_false(pnx__evidence_saw(&evidence, 'c', "/dev/shm/a"));
    assert_true(pnx__evidence_saw(&evidence, 'c', "/dev/shm/b"));
    pnx__evidence_done(&evidence);
}

static void a_record_without_its_end_does_not_count(void **state)
{
    struct pnx__evidence evidence = EVIDENCE("+100\0+1012");
    assert_true(pnx__evidence_has(&evidence, 100));
    assert_false(pnx__evidence_has(&evidence, 1012));
    assert_false(pnx__evidence_has(&evidence, 101));
    pnx__evidence_done(&evidence);
}

static void what_was_missed_is_told(void **state)
{
    struct pnx__evidence evidence = EVIDENCE("p/tmp\0+100\0!too much\0zunknown\0+101\0");
    assert_string_equal(evidence.lost, "too much");
    assert_true(pnx__evidence_saw(&evidence, 'p', "/tmp"));
    assert_false(pnx__evidence_would_see(&evidence, "/tmp/file")); /* too much */
    assert_true(pnx__evidence_has(&evidence, 101));
    pnx__evidence_done(&evidence);
}

static void records_lie_across_reads(void **state)
{
    enum { COUNT = 20000 };
    char *bytes = malloc(COUNT * 32), *at = bytes;
    for (int i = 0; i < COUNT; i++)
        at += snprintf(at, 32, "c/dev/shm/name-%d", i) + 1;
    struct pnx__evidence evidence = evidence_of(bytes, (size_t)(at - bytes));
    free(bytes);
    char name[64];
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "/dev/shm/name-%d", i);
        assert_true(pnx__evidence_saw(&evidence, 'c', name));
    }
    pnx__evidence_done(&evidence);
}

static void what_has_no_end_is_damaged(void **state)
{
    struct pnx__evidence evidence;
    pnx_error err = {0};
    char bytes[32768];
    memset(bytes, 'x', sizeof bytes);
    int fd = memfd_create("evidence", MFD_CLOEXEC);
    assert_int_equal(write(fd, bytes, sizeof bytes), sizeof bytes);
    assert_int_equal(pnx__evidence_load(fd, &evidence, &err), PNX_EFAILED);
    assert_non_null(strstr(err.message, "damaged"));
    pnx__evidence_done(&evidence);
    close(fd);
}

/* ---- the tracker ----------------------------------------------------------------------------- */

struct tracking {
    struct pnx__tracker *tracker;
    struct pnx__evidence evidence;
    int fd;
};

/* Follows what `root` starts. False: this machine does not let us. */
static bool track(struct tracking *ret, pid_t root)
{
    pnx_error err = {0};
    ret->evidence = (struct pnx__evidence){0};
    ret->fd = memfd_create("evidence", MFD_CLOEXEC);
    pnx_status status = pnx__tracker_open(root, ret->fd, &ret->tracker, &err);
    if (status == PNX_OK)
        return true;
    assert_int_equal(status, PNX_EUNSUPPORTED);
    assert_true(*err.message);
    close(ret->fd);
    return false;
}

static void learn(struct tracking *tracking)
{
    pnx__tracker_take(tracking->tracker);
    pnx__evidence_done(&tracking->evidence);
    assert_ok(pnx__evidence_load(tracking->fd, &tracking->evidence, NULL), &(pnx_error){0});
}

static void end(struct tracking *tracking)
{
    pnx__tracker_close(tracking->tracker);
    pnx__evidence_done(&tracking->evidence);
    close(tracking->fd);
}

/* A process that starts others when it is told to, and is told from them by its pid. */
struct family {
    pid_t root;
    int orders, answers;
};

static struct family found_family(void)
{
    int orders[2], answers[2];
    assert_int_equal(pipe2(orders, O_CLOEXEC), 0);
    assert_int_equal(pipe2(answers, O_CLOEXEC), 0);
    struct family family = {.root = fork(), .orders = orders[1], .answers = answers[0]};
    if (family.root == 0) {
        char script[256];
        close(orders[1]);
        for (;;) {
            ssize_t got = read(orders[0], script, sizeof script);
            if (got <= 0)
                _exit(0);
            script[got] = '\0';
            pid_t child = fork();
            if (child == 0) {
                execl("/bin/sh", "sh", "-c", script, NULL);
                _exit(127);
            }
            waitpid(child, NULL, 0);
            (void)!write(answers[1], &child, sizeof child);
        }
    }
    close(orders[0]);
    close(answers[1]);
    return family;
}

static pid_t have(struct family *family, const char *script)
{
    pid_t child;
    assert_int_equal(write(family->orders, script, strlen(script)), strlen(script));
    assert_int_equal(read(family->answers, &child, sizeof child), sizeof child);
    return child;
}

static void dissolve(struct family *family)
{
    close(family->orders);
    close(family->answers);
    status_of_child(family->root);
}

static void members_are_who_descends(void **state)
{
    struct tracking tracking;
    struct family family = found_family();
    if (track(&tracking, family.root)) {
        pid_t child = have(&family, "(true) & (sleep 0) & wait");
        pid_t stranger = fork();
        if (stranger == 0)
            _exit(0);
        status_of_child(stranger);
        learn(&tracking);
        assert_true(pnx__evidence_has(&tracking.evidence, child));
        assert_true(tracking.evidence.members.count >= 3); /* and its two children */
        assert_false(pnx__evidence_has(&tracking.evidence, stranger));
        assert_false(pnx__evidence_has(&tracking.evidence, family.root));
        end(&tracking);
        dissolve(&family);
        return;
    }
    dissolve(&family);
    skip();
}

/* A program that has more to do than to run the command. */
static void of_a_program_only_its_command_is_a_member(void **state)
{
    struct tracking tracking;
    struct family family = found_family();
    if (track(&tracking, family.root)) {
        pid_t before = have(&family, "(true) & wait");
        pnx__tracker_expect(tracking.tracker);
        pid_t command = have(&family, "(true) & wait");
        pnx__tracker_expected(tracking.tracker, command, 0);
        pid_t later = have(&family, "(true) & wait");
        learn(&tracking);
        assert_true(pnx__evidence_has(&tracking.evidence, command));
        assert_int_equal(tracking.evidence.members.count, 2); /* and its child */
        assert_false(pnx__evidence_has(&tracking.evidence, before));
        assert_false(pnx__evidence_has(&tracking.evidence, later));
        assert_true(pnx__evidence_saw(&tracking.evidence, 'p', "/dev/shm"));
        end(&tracking);
        dissolve(&family);
        return;
    }
    dissolve(&family);
    skip();
}

/* What was seen then may be of either. */
static void what_was_started_in_the_same_moment_is_no_member(void **state)
{
    struct tracking tracking;
    struct family family = found_family();
    char path[64], script[96];
    snprintf(path, sizeof path, "/dev/shm/track-meanwhile-%d", (int)getpid());
    snprintf(script, sizeof script, "echo > %s", path);
    if (track(&tracking, family.root)) {
        pnx__tracker_expect(tracking.tracker);
        pid_t command = have(&family, "true");
        pid_t meanwhile = have(&family, script);
        pnx__tracker_expected(tracking.tracker, command, 0);
        learn(&tracking);
        assert_true(pnx__evidence_has(&tracking.evidence, command));
        assert_false(pnx__evidence_has(&tracking.evidence, meanwhile));
        assert_false(pnx__evidence_saw(&tracking.evidence, 'c', path));
        end(&tracking);
        unlink(path);
        dissolve(&family);
        return;
    }
    dissolve(&family);
    skip();
}

static void what_was_seen_too_early_does_not_count(void **state)
{
    struct pnx__evidence evidence = EVIDENCE("p/tmp\0+100\0c/dev/shm/a\0"
                                             "0\0"
                                             "+101\0c/dev/shm/b\0");
    assert_false(pnx__evidence_has(&evidence, 100));
    assert_false(pnx__evidence_saw(&evidence, 'c', "/dev/shm/a"));
    assert_true(pnx__evidence_has(&evidence, 101));
    assert_true(pnx__evidence_saw(&evidence, 'c', "/dev/shm/b"));
    assert_true(pnx__evidence_would_see(&evidence, "/tmp/file"));
    pnx__evidence_done(&evidence);
}

static void names_belong_to_who_made_them(void **state)
{
    struct tracking tracking;
    struct family family = found_family();
    char mine[64], others[64], script[256];
    snprintf(mine, sizeof mine, "/dev/shm/track-mine-%d", (int)getpid());
    snprintf(others, sizeof others, "/dev/shm/track-other-%d", (int)getpid());
    bool tracked = is_root() && track(&tracking, family.root);
    if (tracked) {
        write_file(others, 1);
        snprintf(script, sizeof script, "echo >%s; echo >>%s", mine, others);
        (void)have(&family, script);
        learn(&tracking);
        assert_true(pnx__evidence_saw(&tracking.evidence, 'c', mine));
        assert_false(pnx__evidence_saw(&tracking.evidence, 'c', others));
        /* Taken over by a stranger: it is theirs. */
        unlink(mine);
        write_file(mine, 1);
        learn(&tracking);
        assert_false(pnx__evidence_saw(&tracking.evidence, 'c', mine));
        unlink(mine);
        unlink(others);
        end(&tracking);
    }
    dissolve(&family);
    if (!tracked)
        skip();
}

static void excluded_ones_and_what_they_start_are_strangers(void **state)
{
    struct tracking tracking;
    struct family family = found_family();
    if (!track(&tracking, getpid())) {
        dissolve(&family);
        skip();
    }
    pnx__tracker_exclude(tracking.tracker, family.root);
    pid_t child = have(&family, "true");
    pid_t own = fork();
    if (own == 0)
        _exit(0);
    status_of_child(own);
    learn(&tracking);
    assert_false(pnx__evidence_has(&tracking.evidence, child));
    end(&tracking);
    dissolve(&family);
}

/* What starts a process is its own doing, not that of who watches. */
static void the_watcher_is_no_member(void **state)
{
    struct tracking tracking;
    if (!track(&tracking, getppid()))
        skip();
    pid_t own = fork();
    if (own == 0)
        _exit(0);
    status_of_child(own);
    learn(&tracking);
    assert_false(pnx__evidence_has(&tracking.evidence, own));
    assert_false(pnx__evidence_has(&tracking.evidence, getpid()));
    end(&tracking);
}

static void those_known_from_elsewhere_are_members(void **state)
{
    struct tracking tracking;
    struct family family = found_family();
    if (!track(&tracking, 1)) {
        dissolve(&family);
        skip();
    }
    pnx__tracker_include(tracking.tracker, family.root);
    pid_t child = have(&family, "true");
    learn(&tracking);
    assert_true(pnx__evidence_has(&tracking.evidence, family.root));
    assert_true(pnx__evidence_has(&tracking.evidence, child));
    end(&tracking);
    dissolve(&family);
}

/* What is heard there is of pids outside, which are other processes inside. */
static void in_a_pid_namespace_nobody_is_followed(void **state)
{
    if (!is_root())
        skip();
    pid_t outer = fork();
    if (outer == 0) {
        struct tracking tracking;
        if (unshare(CLONE_NEWPID) != 0)
            _exit(77);
        pid_t inner = fork();
        if (inner == 0)
            _exit(track(&tracking, getpid()) ? 1 : 0);
        _exit(status_of_child(inner));
    }
    int status = status_of_child(outer);
    if (status == 77)
        skip();
    assert_int_equal(status, 0);
}

static void nothing_happens_without_anything_happening(void **state)
{
    struct tracking tracking;
    struct pollfd fds[PNX__TRACKER_FDS];
    if (!track(&tracking, getpid()))
        skip();
    learn(&tracking);
    size_t count = pnx__tracker_poll_set(tracking.tracker, fds);
    assert_true(count <= PNX__TRACKER_FDS);
    pid_t own = fork();
    if (own == 0)
        _exit(0);
    status_of_child(own);
    assert_true(poll(fds, count, 5000) > 0); /* somebody forked: it wakes us */
    end(&tracking);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pids_come_and_go),
        cmocka_unit_test(churn_needs_no_more_memory),
        cmocka_unit_test(what_was_seen_is_read_back),
        cmocka_unit_test(nothing_is_no_evidence),
        cmocka_unit_test(later_evidence_takes_back_earlier),
        cmocka_unit_test(a_record_without_its_end_does_not_count),
        cmocka_unit_test(what_was_missed_is_told),
        cmocka_unit_test(records_lie_across_reads),
        cmocka_unit_test(what_has_no_end_is_damaged),
        cmocka_unit_test(what_was_seen_too_early_does_not_count),
        cmocka_unit_test(members_are_who_descends),
        cmocka_unit_test(of_a_program_only_its_command_is_a_member),
        cmocka_unit_test(what_was_started_in_the_same_moment_is_no_member),
        cmocka_unit_test(names_belong_to_who_made_them),
        cmocka_unit_test(excluded_ones_and_what_they_start_are_strangers),
        cmocka_unit_test(the_watcher_is_no_member),
        cmocka_unit_test(those_known_from_elsewhere_are_members),
        cmocka_unit_test(in_a_pid_namespace_nobody_is_followed),
        cmocka_unit_test(nothing_happens_without_anything_happening),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
