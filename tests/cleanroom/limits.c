/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/kind/limit*.c: every limit is met by a real program. */
#include "support.h"

#include <grp.h>
#include <poll.h>
#include <sys/resource.h>

#define NOBODY 65534

/* ---- as text --------------------------------------------------------------------------------- */

static void limits_are_read_and_written(void **state)
{
    static const struct {
        const char *text, *written;
        pnx_limits limits;
    } cases[] = {
        {"mem=512M", "mem=512M", {.memory = 512u << 20}},
        {"mem=1.5G", "mem=1536M", {.memory = 1536ull << 20}},
        {"mem=1MiB", "mem=1M", {.memory = 1 << 20}},
        {"mem=2MB", "mem=2000000", {.memory = 2000000}},
        {"mem=1048577", "mem=1048577", {.memory = 1048577}},
        {"mem=1048576B", "mem=1M", {.memory = 1048576}},
        {"mem=0.0009765625G", "mem=1M", {.memory = 1048576}},
        {"pids=100", "pids=100", {.pids = 100}},
        {"cpu=1.5", "cpu=1.5", {.cpu = 1500}},
        {"cpu=2", "cpu=2", {.cpu = 2000}},
        {"cpu=0.05", "cpu=0.05", {.cpu = 50}},
        {"cpu=10", "cpu=10", {.cpu = 10000}},
        {"fsize=1k", "fsize=1K", {.file_size = 1024}},
        {"fsize=7", "fsize=7", {.file_size = 7}},
        {"disk=2TiB", "disk=2T", {.disk = 2ull << 40}},
        {"disk=1G,mem=8M,fsize=1kB,cpu=0.5,pids=3",
         "mem=8M,pids=3,cpu=0.5,fsize=1000,disk=1G",
         {8 << 20, 3, 500, 1000, 1 << 30}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pnx_limits limits = {0};
        pnx_error err = {0};
        char text[256];
        assert_ok(pnx_limits_parse(cases[i].text, &limits, &err), &err);
        assert_memory_equal(&limits, &cases[i].limits, sizeof limits);
        assert_true(pnx_limits_any(&limits));
        assert_int_equal(pnx_limits_format(&limits, text, sizeof text), strlen(cases[i].written));
        assert_string_equal(text, cases[i].written);
        pnx_limits again;
        assert_ok(pnx_limits_parse(text, &again, &err), &err);
        assert_memory_equal(&limits, &again, sizeof limits);
    }
    assert_false(pnx_limits_any(&(pnx_limits){0}));
}

static void what_is_no_limit_says_what_would_be(void **state)
{
    static const struct {
        const char *text;
        pnx_status status;
        const char *words;
    } cases[] = {
        {"", PNX_EINVAL, "mem=SIZE"},
        {"mem", PNX_EINVAL, "'mem' is no limit"},
        {"mem=", PNX_EINVAL, "a size from 1M"},
        {"memory=1M", PNX_EINVAL, "'memory=1M' is no limit"},
        {"mem=1M,", PNX_EINVAL, "'' is no limit"},
        {"mem=1M,mem=2M", PNX_EINVAL, "limited twice"},
        {"mem=1X", PNX_EINVAL, "'1X' is not a size"},
        {"mem=-1M", PNX_EINVAL, "is not a size"},
        {"mem= 1M", PNX_EINVAL, "is not a size"},
        {"mem=1.M", PNX_EINVAL, "is not a size"},
        {"mem=.5G", PNX_EINVAL, "is not a size"},
        {"mem=1.5.5G", PNX_EINVAL, "is not a size"},
        {"mem=1K", PNX_ELIMIT, "a size from 1M"},
        {"mem=99999999T", PNX_EINVAL, "is not a size"},
        {"mem=999999999999999999999", PNX_EINVAL, "is not a size"},
        {"pids=0", PNX_ELIMIT, "from 1 to 4194304"},
        {"pids=4194305", PNX_ELIMIT, "from 1 to 4194304"},
        {"pids=1.5", PNX_EINVAL, "a number from 1"},
        {"pids=1K", PNX_EINVAL, "a number from 1"},
        {"cpu=0", PNX_ELIMIT, "0.01 to 1024"},
        {"cpu=1025", PNX_ELIMIT, "0.01 to 1024"},
        {"cpu=50%", PNX_EINVAL, "0.01 to 1024"},
        {"fsize=0", PNX_ELIMIT, "a size from 1"},
        {"disk=1", PNX_ELIMIT, "a size from 64K"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pnx_limits limits = {.pids = 77};
        pnx_error err = {0};
        pnx_status status = pnx_limits_parse(cases[i].text, &limits, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].words))
            fail_msg("'%s': %s, %s", cases[i].text, pnx_status_name(status), err.message);
        assert_int_equal(limits.pids, 77);
    }
}

/* ---- enforcing ------------------------------------------------------------------------------- */

static const char *make_label(void)
{
    static char label[64];
    static unsigned count;
    snprintf(label, sizeof label, "limits-test-%d-%u", (int)getpid(), count++);
    return label;
}

/* What a script came to under limits. */
struct under {
    pnx_limiter *limiter;
    pnx_cgroup *cgroup;
    pnx_process process;
    const char *label;
    int status;
    pnx_limit_told told[PNX_LIMIT_COUNT];
    size_t count;
};

/* Skips where the machine does not let us. */
static struct under enforce(const char *text)
{
    struct under under = {.label = make_label(), .process.pidfd = -1};
    pnx_limits limits;
    pnx_error err = {0};
    assert_ok(pnx_limits_parse(text, &limits, &err), &err);
    if (pnx_cgroup_create_for(under.label, &limits, &under.cgroup, NULL) != PNX_OK)
        under.cgroup = NULL;
    pnx_status status =
        pnx_limits_enforce(&limits, under.label, under.cgroup, &under.limiter, &err);
    if (status == PNX_OK)
        return under;
    if (under.cgroup) {
        (void)pnx_cgroup_remove(under.cgroup, NULL, NULL);
        pnx_cgroup_free(under.cgroup);
    }
    assert_int_equal(status, PNX_ELIMIT);
    if (is_root())
        print_message("%s: %s\n", err.message, err.cause.message);
    skip();
    return under;
}

static void start(struct under *under, const char *script, unsigned isolate, const char *tmpdir)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    pnx_command command = {.argv = argv,
                           .cgroup = under->cgroup,
                           .limiter = under->limiter,
                           .isolate = isolate,
                           .tmpdir = tmpdir};
    pnx_error err = {0};
    assert_ok(pnx_process_spawn(&command, &under->process, &err), &err);
}

static void end(struct under *under)
{
    pnx_error err = {0};
    assert_int_equal(pnx_process_wait(&under->process, in_seconds(60), &under->status), PNX_OK);
    under->count = pnx_limits_report(
        under->limiter, WIFSIGNALED(under->status) ? WTERMSIG(under->status) : 0, under->told);
    pnx_process_close(&under->process);
    pnx_outcome outcome = {0};
    if (under->cgroup) {
        (void)pnx_cgroup_kill(under->cgroup);
        assert_int_equal(pnx_cgroup_wait_empty(under->cgroup, in_seconds(20)), PNX_OK);
    }
    assert_ok(pnx_limiter_remove(under->limiter, &outcome, &err), &err);
    assert_true(outcome.verified);
    pnx_limiter_free(under->limiter);
    if (under->cgroup) {
        assert_ok(pnx_cgroup_remove(under->cgroup, NULL, &err), &err);
        pnx_cgroup_free(under->cgroup);
    }
}

static struct under run_under(const char *limits, const char *script)
{
    struct under under = enforce(limits);
    start(&under, script, 0, NULL);
    end(&under);
    return under;
}

static void assert_told(const struct under *under, const char *limit, bool hit, const char *words)
{
    assert_int_equal(under->count, 1);
    assert_string_equal(under->told[0].limit, limit);
    if (under->told[0].hit != hit || !strstr(under->told[0].text, words))
        fail_msg("status %#x, told: %s", under->status, under->told[0].text);
}

static void who_takes_too_much_memory_is_killed_and_told(void **state)
{
    /* One process, so that it is the one which the kernel chooses. */
    struct under under =
        run_under("mem=24M", "exec dd if=/dev/zero of=/dev/null bs=200M count=1 2>/dev/null");
    assert_true(WIFSIGNALED(under.status) && WTERMSIG(under.status) == SIGKILL);
    assert_told(&under, "mem", true, "mem=24M was hit: the kernel killed 1 process");
    assert_int_equal(under.told[0].times, 1);
}

static void who_takes_less_memory_is_left_alone(void **state)
{
    struct under under = run_under("mem=64M", "head -c 8M /dev/zero | tail -c 8M > /dev/null");
    assert_int_equal(under.status, 0);
    assert_told(&under, "mem", false, "used at most");
    assert_true(under.told[0].most > 4 << 20 && under.told[0].most <= 64 << 20);
}

static void a_fork_bomb_is_bounded_and_told(void **state)
{
    struct under under =
        run_under("pids=6", "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1000 & done 2>/dev/null");
    assert_true(under.status != 0);
    assert_told(&under, "pids", true, "pids=6 was hit: ");
    assert_true(under.told[0].times >= 1);
    assert_true(under.told[0].most <= 6);
    under = run_under("pids=6", "sleep 0 & sleep 0 & wait");
    assert_int_equal(under.status, 0);
    assert_told(&under, "pids", false, "pids=6");
}

static void an_isolated_command_has_all_its_processes_to_itself(void **state)
{
    struct under under = enforce("pids=1");
    const char *argv[] = {"true", NULL};
    pnx_command command = {
        .argv = argv, .cgroup = under.cgroup, .limiter = under.limiter, .isolate = PNX_ISOLATE_PID};
    pnx_error err = {0};
    assert_ok(pnx_process_spawn(&command, &under.process, &err), &err);
    end(&under); /* the init of its namespace does not count */
    assert_int_equal(under.status, 0);
    assert_told(&under, "pids", false, "pids=1");
}

static uint64_t busy_microseconds(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_CHILDREN, &usage), 0);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void who_is_too_busy_has_to_wait_and_is_told(void **state)
{
    /* 10 ms in each period of 100 ms, so that some 100 ms of work take ten periods. */
    uint64_t before = busy_microseconds();
    struct under under = run_under("cpu=0.1", "i=0; while test $i -lt 120000; do i=$((i+1)); done");
    uint64_t busy = busy_microseconds() - before;
    assert_int_equal(under.status, 0);
    assert_told(&under, "cpu", true, "cpu=0.1 was hit: it had to wait");
    /* A period in which it was stopped let it run for 10 ms, and what the kernel rounds by. */
    uint64_t periods = under.told[0].times + 2;
    if (busy > periods * 20000)
        fail_msg("busy for %lu us, throttled in %lu periods", (unsigned long)busy,
                 (unsigned long)under.told[0].times);
}

static void a_file_that_grows_too_big_ends_the_command(void **state)
{
    char script[256];
    snprintf(script, sizeof script,
             "ulimit -c 0; exec dd if=/dev/zero of=%s/big bs=1k count=64 2>/dev/null",
             (char *)*state);
    struct under under = run_under("fsize=16K", script);
    assert_true(WIFSIGNALED(under.status));
    assert_int_equal(WTERMSIG(under.status), SIGXFSZ);
    assert_told(&under, "fsize", true, "fsize=16K was hit: SIGXFSZ");
    struct stat about;
    assert_int_equal(stat(in(*state, "big"), &about), 0);
    assert_int_equal(about.st_size, 16384);
    assert_int_equal(unlink(in(*state, "big")), 0);
    under = run_under("fsize=16K", "exit 0");
    assert_told(&under, "fsize", false, "did not end");
}

/* ---- disk ------------------------------------------------------------------------------------ */

static const char fill[] = "cd $D && E=$(LC_ALL=C dd if=/dev/zero of=big bs=64k count=64 2>&1); "
                           "case $E in *'No space left'*) ;; *) exit 3;; esac; "
                           "test $(stat -c %s big) -le 1048576";

static int fill_disk(const char *dir, unsigned isolate)
{
    struct under under = {.label = "none"};
    pnx_error err = {0};
    char script[512];
    snprintf(script, sizeof script, "D=%s; %s", dir, fill);
    if (pnx_limits_enforce(&(pnx_limits){.disk = 1 << 20}, "none", NULL, &under.limiter, &err))
        return 10;
    const char *argv[] = {"sh", "-c", script, NULL};
    pnx_command command = {
        .argv = argv, .limiter = under.limiter, .isolate = isolate, .tmpdir = dir};
    pnx_status status = pnx_process_spawn(&command, &under.process, &err);
    if (status != PNX_OK) {
        fprintf(stderr, "# %s\n", err.message);
        pnx_limiter_free(under.limiter);
        return status == PNX_ELIMIT && strstr(err.message, "--isolate mount") ? 11 : 12;
    }
    (void)pnx_process_wait(&under.process, in_seconds(20), &under.status);
    pnx_process_close(&under.process);
    under.count = pnx_limits_report(under.limiter, 0, under.told);
    /* From outside it is seen only through the descriptor. */
    bool inside = faccessat(pnx_limiter_disk_fd(under.limiter), "big", F_OK, 0) == 0;
    bool outside = exists(in(dir, "big"));
    pnx_limiter_free(under.limiter);
    if (under.status != 0)
        return 13;
    if (!inside || outside)
        return 14;
    return under.count == 1 && under.told[0].hit &&
                   strcmp(under.told[0].text, "disk=1M was hit: TMPDIR is full") == 0
               ? 0
               : 15;
}

static int fill_as(bool unprivileged, const char *dir, unsigned isolate)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (unprivileged && is_root() &&
            (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
             setresuid(NOBODY, NOBODY, NOBODY) != 0))
            _exit(99);
        _exit(fill_disk(dir, isolate));
    }
    return status_of_child(pid);
}

static void disk_ends_where_its_limit_is(void **state)
{
    if (!is_root()) {
        print_message("a limit of disk without isolation needs root\n");
        skip();
    }
    assert_int_equal(fill_as(false, *state, 0), 0);
    assert_int_equal(fill_as(false, *state, PNX_ISOLATE_PID), 0);
}

static void disk_is_limited_without_privileges_too(void **state)
{
    if (is_root())
        assert_int_equal(chown(*state, NOBODY, NOBODY), 0);
    assert_int_equal(fill_as(true, *state, 0), 11); /* refused, and it says what would help */
    int status = fill_as(true, *state, PNX_ISOLATE_MOUNT);
    if (status == 12) {
        print_message("no user namespaces here\n");
        skip();
    }
    assert_int_equal(status, 0);
}

/* ---- removal --------------------------------------------------------------------------------- */

struct groups {
    unsigned count;
    char first[512];
};

static void note_group(const char *controller, const char *path, void *context)
{
    struct groups *groups = context;
    if (groups->count++ == 0)
        snprintf(groups->first, sizeof groups->first, "%s", path);
}

static struct groups groups_of(const char *label)
{
    struct groups groups = {0};
    pnx_limits_each(label, note_group, &groups);
    return groups;
}

static void no_group_is_left_behind(void **state)
{
    struct under under = enforce("mem=64M,pids=20,cpu=1,fsize=1G");
    struct groups groups = groups_of(under.label);
    start(&under, "exit 0", 0, NULL);
    end(&under);
    assert_int_equal(under.count, 4);
    assert_int_equal(groups_of(under.label).count, 0);
    if (groups.count > 0)
        assert_false(exists(groups.first));
}

static void skip_without_groups(struct under *under)
{
    if (groups_of(under->label).count > 0)
        return;
    start(under, "exit 0", 0, NULL);
    end(under);
    print_message("cgroup v2 needs no groups of its own\n");
    skip();
}

static void groups_go_with_all_that_lives_in_them(void **state)
{
    struct under under = enforce("pids=20,mem=64M");
    skip_without_groups(&under);
    struct groups groups = groups_of(under.label);
    assert_int_equal(groups.count, 2);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    char script[2048];
    snprintf(script, sizeof script,
             "mkdir %s/a %s/a/b; trap '' TERM; echo 0 > %s/a/b/cgroup.procs; echo > "
             "/proc/self/fd/%d; sleep 1000 "
             "& wait",
             groups.first, groups.first, groups.first, ends[1]);
    start(&under, script, 0, NULL);
    close(ends[1]);
    char byte;
    assert_int_equal(read(ends[0], &byte, 1), 1);
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    assert_ok(pnx_limiter_remove(under.limiter, &outcome, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_REMOVED);
    assert_int_equal(groups_of(under.label).count, 0);
    assert_int_equal(read(ends[0], &byte, 1), 0); /* nobody is there to write any more */
    close(ends[0]);
    end(&under);
    assert_true(WIFSIGNALED(under.status));
}

static void groups_of_the_dead_are_found_by_their_label(void **state)
{
    struct under neighbour = enforce("pids=20");
    char neighbours[64];
    snprintf(neighbours, sizeof neighbours, "%s", neighbour.label);
    neighbour.label = neighbours;
    skip_without_groups(&neighbour);
    const char *label = make_label();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        pnx_limiter *limiter;
        if (pnx_limits_enforce(&(pnx_limits){.pids = 20, .memory = 64 << 20}, label, NULL, &limiter,
                               NULL) != PNX_OK)
            _exit(1);
        (void)raise(SIGKILL);
    }
    assert_int_equal(status_of_child(pid), 128 + SIGKILL);
    assert_int_equal(groups_of(label).count, 2);
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    assert_ok(pnx_limits_remove(label, &outcome, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_REMOVED);
    assert_true(outcome.verified);
    assert_int_equal(groups_of(label).count, 0);
    memset(&outcome, 0, sizeof outcome);
    assert_ok(pnx_limits_remove(label, &outcome, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_ALREADY_GONE);
    assert_int_equal(groups_of(neighbours).count, 1); /* nobody else's is touched */
    start(&neighbour, "exit 0", 0, NULL);
    end(&neighbour);
}

static void what_cannot_be_made_whole_is_not_made_at_all(void **state)
{
    struct under under = enforce("cpu=1");
    skip_without_groups(&under);
    pnx_limiter *limiter;
    pnx_error err = {0};
    /* The label is taken, but for one controller only. */
    pnx_status status = pnx_limits_enforce(&(pnx_limits){.memory = 64 << 20, .cpu = 500},
                                           under.label, NULL, &limiter, &err);
    assert_int_equal(status, PNX_ELIMIT);
    assert_non_null(strstr(err.message, "cannot limit cpu"));
    assert_int_equal(groups_of(under.label).count, 1);
    start(&under, "exit 0", 0, NULL);
    end(&under);
}

static void a_guard_removes_the_groups(void **state)
{
    struct under under = enforce("pids=20");
    pnx_error err = {0};
    pnx_registry *registry;
    pnx_outcome outcome = {0};
    assert_ok(pnx_registry_create(NULL, &registry, &err), &err);
    {
        pnx_auto(limiter) guard = pnx_reserve(limiter, registry, &err);
        assert_ok(guard.status, &err);
        pnx_limiter_watch_by(under.limiter, &outcome);
        pnx_arm(&guard, under.limiter);
    }
    (void)pnx_registry_shutdown(registry, NULL, NULL, NULL);
    assert_true(outcome.verified);
    assert_int_equal(groups_of(under.label).count, 0);
    assert_ok(pnx_registry_destroy(registry, &err), &err);
    if (under.cgroup) {
        assert_ok(pnx_cgroup_remove(under.cgroup, NULL, &err), &err);
        pnx_cgroup_free(under.cgroup);
    }
}

/* ---- what cannot be limited ------------------------------------------------------------------ */

static int refuse(const char *text)
{
    pnx_limits limits;
    pnx_limiter *limiter;
    pnx_error err = {0};
    if (pnx_limits_parse(text, &limits, NULL) != PNX_OK)
        return 2;
    pnx_status status = pnx_limits_enforce(&limits, "limits-test-refused", NULL, &limiter, &err);
    if (status == PNX_OK) {
        (void)pnx_limiter_remove(limiter, NULL, NULL);
        return 3;
    }
    bool said = strstr(err.message, "cannot limit") && strstr(err.message, "Delegate=yes") &&
                err.cause.message[0];
    if (strncmp(text, "pids", 4) == 0)
        said = said && strstr(err.message, "all processes of the user");
    return status == PNX_ELIMIT && said && groups_of("limits-test-refused").count == 0 ? 0 : 4;
}

static void without_privileges_nothing_is_pretended(void **state)
{
    static const char *const texts[] = {"mem=64M", "pids=5", "cpu=1"};
    for (size_t i = 0; i < 3; i++) {
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            if (is_root() && (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
                              setresuid(NOBODY, NOBODY, NOBODY) != 0))
                _exit(99);
            _exit(refuse(texts[i]));
        }
        int status = status_of_child(pid);
        if (status == 3) {
            print_message("cgroups are delegated to this user\n");
            skip();
        }
        assert_int_equal(status, 0);
    }
}

static void labels_are_single_names(void **state)
{
    static const char *const wrong[] = {"", ".", "..", ".x", "a/b"};
    pnx_limiter *limiter;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(
            pnx_limits_enforce(&(pnx_limits){.pids = 1}, wrong[i], NULL, &limiter, NULL),
            PNX_EINVAL);
    assert_int_equal(pnx_limits_enforce(&(pnx_limits){0}, "label", NULL, &limiter, NULL),
                     PNX_EINVAL);
}

int main(void)
{
    use_plain_path();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_are_read_and_written),
        cmocka_unit_test(what_is_no_limit_says_what_would_be),
        cmocka_unit_test(who_takes_too_much_memory_is_killed_and_told),
        cmocka_unit_test(who_takes_less_memory_is_left_alone),
        cmocka_unit_test(a_fork_bomb_is_bounded_and_told),
        cmocka_unit_test(an_isolated_command_has_all_its_processes_to_itself),
        cmocka_unit_test(who_is_too_busy_has_to_wait_and_is_told),
        cmocka_unit_test_setup_teardown(a_file_that_grows_too_big_ends_the_command, make_place,
                                        drop_place),
        cmocka_unit_test_setup_teardown(disk_ends_where_its_limit_is, make_place, drop_place),
        cmocka_unit_test_setup_teardown(disk_is_limited_without_privileges_too, make_place,
                                        drop_place),
        cmocka_unit_test(no_group_is_left_behind),
        cmocka_unit_test(groups_go_with_all_that_lives_in_them),
        cmocka_unit_test(groups_of_the_dead_are_found_by_their_label),
        cmocka_unit_test(what_cannot_be_made_whole_is_not_made_at_all),
        cmocka_unit_test(a_guard_removes_the_groups),
        cmocka_unit_test(without_privileges_nothing_is_pretended),
        cmocka_unit_test(labels_are_single_names),
    };
    return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
