/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/session/companion.c and helper.c. The companions are shell scripts. */
#include "support.h"

#include "session/session.h"

#include <limits.h>

/* Where the programs lie that sessions of this test take for their helpers. */
static char libexec[] = "/tmp/cleanroom-libexec-XXXXXX";

static const char *path_of(const char *name)
{
    return in(libexec, name);
}

static void write_program(const char *name, const char *script)
{
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "#!/bin/sh\n%s\n", script) > 0);
    close(fd);
}

static int drop_programs(void **state)
{
    DIR *dir = opendir(libexec);
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            unlink(path_of(entry->d_name));
    closedir(dir);
    return 0;
}

/* What a companion told on its fd 1. */
struct heard {
    pnx_session *session;
    struct pnx__companion companion;
    char text[4096];
    size_t size;
    int ends, status;
};

static void took(void *context, const char *data, size_t size)
{
    struct heard *heard = context;
    assert_true(heard->size + size < sizeof heard->text);
    memcpy(heard->text + heard->size, data, size);
    heard->size += size;
}

static bool is_ready(void *context)
{
    const struct heard *heard = context;
    return strstr(heard->text, "ready\n") != NULL;
}

static const char *const argv_of_helper[] = {"helper", "one", "two words", NULL};

static struct pnx__companion_config config_of(struct heard *heard)
{
    return (struct pnx__companion_config){
        .name = "the helper",
        .program = "helper",
        .argv = argv_of_helper,
        .took = took,
        .context = heard,
    };
}

static void open_with_helper(struct heard *heard, const char *script)
{
    pnx_error err = {0};
    pnx_session_config session = {.owns_children = true, .grace = PNX_MS(200)};
    struct pnx__companion_config config = config_of(heard);
    write_program("helper", script);
    assert_ok(pnx_session_open(&session, &heard->session, &err), &err);
    assert_ok(pnx__companion_start(heard->session, &heard->companion, &config, &err), &err);
    assert_ok(
        pnx__companion_await(heard->session, &heard->companion, is_ready, in_seconds(20), &err),
        &err);
}

static void run(pnx_session *session, const char *script)
{
    pnx_error err = {0};
    assert_ok(pnx_session_run(session, (const char *[]){"sh", "-c", script, NULL}, &err), &err);
}

static pnx_session_report close_session(pnx_session *session)
{
    pnx_session_report report;
    pnx_error err = {0};
    assert_ok(pnx_session_close(session, &report, &err), &err);
    pnx_session_free(session);
    assert_int_equal(report.unremoved, 0);
    return report;
}

static int count_warnings(const pnx_session_report *report)
{
    int count = 0;
    for (; report->warnings && report->warnings[count]; count++)
        print_message("# %s\n", report->warnings[count]);
    return count;
}

static bool lives(pid_t pid)
{
    return kill(pid, 0) == 0;
}

static void wait_until_exists(const char *path)
{
    pnx_time deadline = in_seconds(20);
    struct timespec moment = {.tv_nsec = 2000000};
    while (!exists(path)) {
        assert_true(pnx_monotonic_now() < deadline);
        nanosleep(&moment, NULL);
    }
}

/* ---- it is no part of the command ------------------------------------------------------------ */

/* An orphan of the command's is there to be ended; the companion sees that it is gone already. */
static void a_companion_lives_beside_the_command_and_ends_after_its_processes(void **state)
{
    struct heard heard = {0};
    char script[PATH_MAX + 256], told[PATH_MAX - 128];
    snprintf(told, sizeof told, "%s", path_of("told"));
    open_with_helper(&heard, "echo ready; cat >/dev/null; kill -0 $(cat \"${0%/*}/orphan\") "
                             "2>/dev/null && echo alive; echo over >${0%/*}/told");
    pid_t pid = heard.companion.process.pid;
    snprintf(script, sizeof script,
             "setsid sleep 1000 & echo $! >%s; kill -0 %d && test ! -e %s && exit 7",
             path_of("orphan"), (int)pid, told);
    run(heard.session, script);
    assert_true(lives(pid));
    pnx_session_report report = close_session(heard.session);
    assert_int_equal(report.exit_code, 7);
    assert_int_equal(report.leftovers, 1); /* the orphan */
    assert_int_equal(count_warnings(&report), 0);
    assert_null(strstr(heard.text, "alive"));
    assert_true(exists(told));
    assert_false(lives(pid));
    assert_false(heard.companion.forced);
    assert_int_equal(heard.companion.status, 0);
    pnx_session_report_done(&report);
}

static void it_has_its_words_and_of_our_descriptors_none(void **state)
{
    struct heard heard = {0};
    int ours = fcntl(STDERR_FILENO, F_DUPFD, 40); /* not close-on-exec */
    assert_true(ours >= 40);
    char script[256];
    snprintf(script, sizeof script,
             "echo \"$# $2\"; pwd; test -e /proc/$$/fd/%d && echo leaked; "
             "read -r pid name state parent group session rest </proc/$$/stat; "
             "test $session = $$ && echo apart; echo ready; cat",
             ours);
    open_with_helper(&heard, script);
    run(heard.session, "true");
    pnx_session_report report = close_session(heard.session);
    assert_string_equal(heard.text, "2 two words\n/\napart\nready\n");
    pnx_session_report_done(&report);
    close(ours);
}

static void it_is_given_a_descriptor(void **state)
{
    struct heard heard = {0};
    pnx_error err = {0};
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(write(ends[1], "ready\n", 6), 6);
    struct pnx__companion_config config = config_of(&heard);
    config.given = ends[0];
    write_program("helper", "head -n 1 <&3; cat");
    assert_ok(pnx_session_open(NULL, &heard.session, &err), &err);
    assert_ok(pnx__companion_start(heard.session, &heard.companion, &config, &err), &err);
    assert_ok(pnx__companion_await(heard.session, &heard.companion, is_ready, in_seconds(20), &err),
              &err);
    assert_int_equal(pnx__companion_start(heard.session, &heard.companion, &config, &err),
                     PNX_EALREADY);
    pnx_session_report report = close_session(heard.session);
    pnx_session_report_done(&report);
    close(ends[0]);
    close(ends[1]);
}

/* ---- when it does not do what it should ------------------------------------------------------ */

static void one_that_cannot_begin_says_why(void **state)
{
    struct heard heard = {0};
    pnx_error err = {0};
    struct pnx__companion_config config = config_of(&heard);
    write_program("helper", "echo nonsense >&2; echo 'no engine answers' >&2; exit 69");
    assert_ok(pnx_session_open(NULL, &heard.session, &err), &err);
    assert_ok(pnx__companion_start(heard.session, &heard.companion, &config, &err), &err);
    assert_int_equal(
        pnx__companion_await(heard.session, &heard.companion, is_ready, in_seconds(20), &err),
        PNX_EFAILED);
    assert_string_equal(err.message, "the helper ended with status 69: no engine answers");
    config.program = "no-such-helper";
    assert_int_equal(pnx__companion_start(heard.session, &heard.companion, &config, &err),
                     PNX_ENOTFOUND);
    char text[512];
    pnx_error_format(&err, text, sizeof text);
    assert_non_null(strstr(text, "no-such-helper"));
    pnx_session_report report = close_session(heard.session);
    pnx_session_report_done(&report);
}

static void its_early_end_is_told(void **state)
{
    struct heard heard = {0};
    char script[128];
    open_with_helper(&heard, "echo ready; cat");
    int pid = (int)heard.companion.process.pid;
    snprintf(script, sizeof script, "kill -9 %d; while kill -0 %d 2>/dev/null; do sleep 0.01; done",
             pid, pid);
    run(heard.session, script);
    pnx_session_report report = close_session(heard.session);
    assert_int_equal(count_warnings(&report), 1);
    assert_string_equal(report.warnings[0],
                        "the helper was ended by signal 9 before the command did");
    pnx_session_report_done(&report);
}

static void restart(void *context, int status)
{
    struct heard *heard = context;
    pnx_error err = {0};
    struct pnx__companion_config config = heard->companion.config;
    heard->ends++;
    heard->status = status;
    assert_ok(pnx__companion_start(heard->session, &heard->companion, &config, &err), &err);
}

static void one_that_died_can_be_started_again(void **state)
{
    struct heard heard = {0};
    char script[512];
    open_with_helper(&heard, "echo $$ >>${0%/*}/pids; echo ready; exec cat");
    heard.companion.config.ended = restart;
    snprintf(script, sizeof script,
             "kill -9 $(cat %s); until [ $(wc -l <%s) = 2 ]; do sleep 0.01; done", path_of("pids"),
             path_of("pids"));
    run(heard.session, script);
    pnx_session_report report = close_session(heard.session);
    assert_int_equal(count_warnings(&report), 0);
    assert_int_equal(report.leftovers, 0);
    assert_int_equal(heard.ends, 1);
    assert_true(WIFSIGNALED(heard.status));
    pnx_session_report_done(&report);
}

static void one_that_does_not_go_is_ended_by_force(void **state)
{
    struct heard heard = {0};
    open_with_helper(&heard, "trap '' TERM; echo ready; while :; do sleep 0.05; done");
    heard.companion.config.patience = PNX_MS(50);
    pid_t pid = heard.companion.process.pid;
    run(heard.session, "true");
    pnx_session_report report = close_session(heard.session);
    assert_false(lives(pid));
    assert_true(heard.companion.forced);
    assert_int_equal(count_warnings(&report), 1);
    assert_non_null(strstr(report.warnings[0], "ended by force"));
    pnx_session_report_done(&report);
}

/* ---- when its supervisor dies ---------------------------------------------------------------- */

/* The supervisor dies while its command runs; what its companion does then is seen from outside. */
static void kill_supervisor_of(const char *script)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct heard heard = {0};
        open_with_helper(&heard, script);
        char line[5 * PATH_MAX];
        snprintf(line, sizeof line, "echo %d >%s; echo $$ >%s; mv %s %s; exec sleep 1000",
                 (int)heard.companion.process.pid, path_of("pid"), path_of("new"), path_of("new"),
                 path_of("command"));
        run(heard.session, line);
        _exit(1);
    }
    wait_until_exists(path_of("command"));
    kill(pid, SIGKILL);
    assert_int_equal(status_of_child(pid), 128 + SIGKILL);
}

static pid_t read_pid(const char *name)
{
    FILE *file = fopen(path_of(name), "re");
    char line[32] = "";
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    fclose(file);
    return (pid_t)strtol(line, NULL, 10);
}

static void wait_until_gone(pid_t pid)
{
    pnx_process process;
    if (pnx_process_open(pid, &process, NULL) != PNX_OK)
        return;
    assert_int_equal(pnx_process_wait(&process, in_seconds(30), NULL), PNX_OK);
    pnx_process_close(&process);
}

static void it_ends_by_itself_when_the_supervisor_dies(void **state)
{
    kill_supervisor_of("echo ready; cat >/dev/null; sleep 0.3; echo over >${0%/*}/told");
    wait_until_exists(path_of("told")); /* the reaper gave it the time */
    wait_until_gone(read_pid("pid"));
    wait_until_gone(read_pid("command"));
}

static void one_that_does_not_is_ended_by_the_reaper(void **state)
{
    kill_supervisor_of("trap '' TERM; echo ready; while :; do sleep 0.05; done");
    wait_until_gone(read_pid("pid"));
    wait_until_gone(read_pid("command"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_companion_lives_beside_the_command_and_ends_after_its_processes,
                                  drop_programs),
        cmocka_unit_test_teardown(it_has_its_words_and_of_our_descriptors_none, drop_programs),
        cmocka_unit_test_teardown(it_is_given_a_descriptor, drop_programs),
        cmocka_unit_test_teardown(one_that_cannot_begin_says_why, drop_programs),
        cmocka_unit_test_teardown(its_early_end_is_told, drop_programs),
        cmocka_unit_test_teardown(one_that_died_can_be_started_again, drop_programs),
        cmocka_unit_test_teardown(one_that_does_not_go_is_ended_by_force, drop_programs),
        cmocka_unit_test_teardown(it_ends_by_itself_when_the_supervisor_dies, drop_programs),
        cmocka_unit_test_teardown(one_that_does_not_is_ended_by_the_reaper, drop_programs),
    };
    if (!mkdtemp(libexec) || setenv("CLEANROOM_LIBEXEC", libexec, 1) != 0)
        abort();
    use_plain_path();
    use_own_state();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    failed += !drop_own_state();
    failed += rmdir(libexec) != 0;
    return failed;
}
