/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/session and of the process set, through the public API. */
#include "support.h"

#include <linux/capability.h>
#include <sys/syscall.h>

#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>

static pnx_session *open_session(const pnx_session_config *config)
{
    pnx_session *session = NULL;
    pnx_error err = {0};
    assert_ok(pnx_session_open(config, &session, &err), &err);
    return session;
}

static pnx_status run(pnx_session *session, const char *script)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    return pnx_session_run(session, argv, NULL);
}

static int shell(const char *script)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    pnx_process process;
    int status = -1;
    if (pnx_process_spawn(&(pnx_command){.argv = argv}, &process, NULL) != PNX_OK)
        return -1;
    (void)pnx_process_wait(&process, PNX_FOREVER, &status);
    pnx_process_close(&process);
    return status;
}

static pnx_session_report close_session(pnx_session *session, pnx_status expected)
{
    char dir[4096];
    snprintf(dir, sizeof dir, "%s", pnx_session_tmpdir(session));
    pnx_session_report report;
    assert_int_equal(pnx_session_close(session, &report, NULL), expected);
    pnx_session_free(session);
    if (expected == PNX_OK)
        assert_false(exists(dir));
    return report;
}

/* The report of one whole run. */
static pnx_session_report report_of(const pnx_session_config *config, const char *script)
{
    pnx_session *session = open_session(config);
    (void)run(session, script);
    return close_session(session, PNX_OK);
}

static const pnx_session_resource *find(const pnx_session_report *report, const char *kind,
                                        pnx_origin origin, const char *text)
{
    for (size_t i = 0; i < report->resource_count; i++) {
        const pnx_session_resource *resource = &report->resources[i];
        if (strcmp(resource->kind, kind) == 0 && resource->origin == origin &&
            strstr(resource->name, text))
            return resource;
    }
    return NULL;
}

static void assert_removed(const pnx_session_resource *resource)
{
    assert_non_null(resource);
    assert_int_equal(resource->outcome.fate, PNX_FATE_REMOVED);
    assert_true(resource->outcome.verified);
    assert_true(resource->removed >= resource->created);
}

static bool runs(pid_t pid)
{
    return kill(pid, 0) == 0;
}

/* ---- a clean run ----------------------------------------------------------------------------- */

static void a_clean_run_says_so(void **state)
{
    pnx_session_report report = report_of(NULL, "test -d \"$TMPDIR\" && test $TMP = $TMPDIR && "
                                                "test $TEMP = $TMPDIR && exit 5");
    assert_int_equal(report.exit_code, 5);
    assert_int_equal(report.exit_signal, 0);
    assert_false(report.timed_out);
    assert_int_equal(report.leftovers, 0);
    assert_int_equal(report.unremoved, 0);
    assert_int_equal(report.unlisted, 0);
    assert_string_equal(report.name, "sh");
    assert_string_equal(report.command[0], "sh");
    assert_removed(find(&report, "tempdir", PNX_ORIGIN_MADE, "/cleanroom-"));
    const pnx_session_resource *command = find(&report, "process", PNX_ORIGIN_MADE, "sh -c test");
    assert_non_null(command);
    assert_int_equal(command->outcome.fate, PNX_FATE_ALREADY_GONE);
    if (report.tier > 0)
        assert_removed(find(&report, "cgroup", PNX_ORIGIN_MADE, "/cleanroom-"));
    if (report.tier < 3)
        assert_true(*report.tier_reason);
    pnx_session_report_done(&report);
    pnx_session_report_done(&report);
}

static void a_signal_is_told_as_one(void **state)
{
    pnx_session_report report = report_of(NULL, "kill -ABRT $$");
    assert_int_equal(report.exit_code, -1);
    assert_int_equal(report.exit_signal, SIGABRT);
    pnx_session_report_done(&report);
}

static void sessions_that_run_nothing_leave_nothing(void **state)
{
    pnx_session *session = open_session(NULL);
    pnx_session_report report = close_session(session, PNX_OK);
    assert_int_equal(report.leftovers, 0);
    assert_null(report.command);
    pnx_session_report_done(&report);

    session = open_session(NULL);
    const char *argv[] = {"no-such-command-here", NULL};
    assert_int_equal(pnx_session_run(session, argv, NULL), PNX_ENOTFOUND);
    report = close_session(session, PNX_OK);
    assert_int_equal(report.exit_code, -1);
    pnx_session_report_done(&report);
    pnx_session_free(NULL);
}

static void a_session_runs_and_closes_once(void **state)
{
    pnx_session *session = open_session(NULL);
    assert_int_equal(run(session, "exit 0"), PNX_OK);
    assert_int_equal(run(session, "exit 0"), PNX_EALREADY);
    assert_int_equal(pnx_session_close(session, NULL, NULL), PNX_OK);
    pnx_session_report report;
    assert_int_equal(pnx_session_close(session, &report, NULL), PNX_EALREADY);
    assert_int_equal(report.resource_count, 0);
    pnx_session_free(session);
}

static void a_fork_child_closes_nothing(void **state)
{
    pnx_session *session = open_session(NULL);
    pid_t child = fork();
    if (child == 0) {
        bool refused = pnx_session_close(session, NULL, NULL) == PNX_EFORKED;
        pnx_session_free(session);
        _exit(refused ? 0 : 1);
    }
    assert_int_equal(status_of_child(child), 0);
    assert_true(exists(pnx_session_tmpdir(session)));
    assert_int_equal(run(session, "exit 3"), PNX_OK);
    pnx_session_report report = close_session(session, PNX_OK);
    assert_int_equal(report.exit_code, 3);
    pnx_session_report_done(&report);
}

static void bad_configurations_are_refused(void **state)
{
    pnx_session *session = NULL;
    pnx_error err = {0};
    assert_int_equal(pnx_session_open(&(pnx_session_config){.timeout = -1}, &session, &err),
                     PNX_EINVAL);
    assert_non_null(strstr(err.message, "timeout"));
    assert_int_equal(
        pnx_session_open(&(pnx_session_config){.parent = "/no/such/dir"}, &session, &err),
        PNX_EFAILED);
    assert_non_null(strstr(err.message, "/no/such/dir"));
    assert_null(session);
}

static void being_subreaper_ends_with_the_session(void **state)
{
    int is = -1;
    pnx_session *session = open_session(NULL);
    assert_int_equal(prctl(PR_GET_CHILD_SUBREAPER, &is), 0);
    assert_int_equal(is, 1);
    pnx_session_free(session);
    assert_int_equal(prctl(PR_GET_CHILD_SUBREAPER, &is), 0);
    assert_int_equal(is, 0);
}

/* ---- what is left behind, at both tiers ------------------------------------------------------ */

static const pnx_session_config tiers[] = {
    {.owns_children = true},
    {.owns_children = true, .tier = PNX_TIER(0)},
};

/* Every way of getting away. Each comes to its sleep before the command ends: fd 9 says so. */
static void every_escape_ends(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        pnx_session_report report = report_of(
            &(pnx_session_config){
                .owns_children = true, .tier = tiers[i].tier, .grace = PNX_MS(300)},
            "export TMPDIR; mkfifo $TMPDIR/ready; exec 9<>$TMPDIR/ready; "
            "(echo >&9; exec sleep 1001) & "                             /* a plain child */
            "(setsid sh -c 'echo >&9; exec sleep 1002' &) & "            /* a daemon */
            "((trap '' TERM; echo >&9; exec sleep 1003) &) & "           /* deaf */
            "(env -i setsid sh -c '(echo >&9; exec sleep 1004) &' &) & " /* and no cookie */
            "sh -c 'echo >&9; kill -STOP $$; exec sleep 1005' & "        /* stopped */
            "read a <&9; read b <&9; read c <&9; read d <&9; read e <&9; "
            "while ! grep -q '^State:.T' /proc/$!/status; do :; done");
        assert_int_equal(report.exit_code, 0);
        assert_true(i == 0 || report.tier == 0);
        static const char *const names[] = {"sleep 1001", "sleep 1002", "sleep 1003", "sleep 1004"};
        for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
            const pnx_session_resource *found =
                find(&report, "process", PNX_ORIGIN_FOUND, names[n]);
            assert_removed(found);
            assert_false(runs((pid_t)strtol(found->id, NULL, 10)));
            bool deaf = n == 2;
            assert_int_equal(found->outcome.attempts, deaf ? 2 : 1);
            assert_string_equal(found->outcome.reason, deaf ? "ignored SIGTERM" : "");
        }
        assert_non_null(
            strstr(find(&report, "process", PNX_ORIGIN_FOUND, "1002")->detail, "daemon"));
        const pnx_session_resource *stopped =
            find(&report, "process", PNX_ORIGIN_FOUND, "kill -STOP");
        assert_removed(stopped);
        assert_non_null(strstr(stopped->detail, "stopped"));
        assert_int_equal(pnx_session_report_found(&report, "process"), 5);
        assert_int_equal(report.leftovers, 6);            /* and the fifo */
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* all are reaped */
        pnx_session_report_done(&report);
    }
}

/* A neighbour of each sort: our child from before, one that is nobody's, files beside ours. */
static void neighbours_survive(void **state)
{
    write_file(in(*state, "neighbour"), 1);
    pid_t before = fork();
    if (before == 0) {
        execlp("sleep", "sleep", "1000", NULL);
        _exit(127);
    }
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t middle = fork();
    if (middle == 0) { /* its child becomes an orphan before there is a session */
        pid_t orphan = fork();
        if (orphan == 0) {
            setsid();
            execlp("sleep", "sleep", "1000", NULL);
            _exit(127);
        }
        _exit(write(ends[1], &orphan, sizeof orphan) == sizeof orphan ? 0 : 1);
    }
    assert_int_equal(status_of_child(middle), 0);
    pid_t orphan;
    assert_int_equal(read(ends[0], &orphan, sizeof orphan), sizeof orphan);
    close(ends[0]);
    close(ends[1]);

    for (size_t i = 0; i < 2; i++) {
        pnx_session_report report = report_of(
            &(pnx_session_config){.parent = *state, .owns_children = true, .tier = tiers[i].tier},
            "setsid sleep 1000 & ln -s ../neighbour $TMPDIR/link");
        assert_int_equal(report.leftovers, 2);
        pnx_session_report_done(&report);
        assert_true(exists(in(*state, "neighbour")));
        assert_int_equal(waitpid(before, NULL, WNOHANG), 0);
        assert_true(runs(orphan));
    }
    assert_int_equal(kill(orphan, SIGKILL), 0);
    assert_int_equal(kill(before, SIGKILL), 0);
    (void)status_of_child(before);
    assert_int_equal(unlink(in(*state, "neighbour")), 0);
}

static pid_t start_sh(const char *words, const char *path)
{
    char script[128];
    snprintf(script, sizeof script, "%s %s", words, path);
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", script, (char *)NULL);
        _exit(127);
    }
    return pid;
}

/* In a library the program may have children of its own meanwhile: only proof counts. */
static void children_of_the_program_are_not_taken_for_orphans(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        pnx_session *session = open_session(&(pnx_session_config){.tier = tiers[i].tier});
        pid_t ours = fork();
        if (ours == 0) {
            execlp("sleep", "sleep", "1000", NULL);
            _exit(127);
        }
        pid_t dead = fork();
        if (dead == 0)
            _exit(9);
        assert_int_equal(run(session, "setsid sleep 1000 & exit 0"), PNX_OK);
        pnx_session_report report = close_session(session, PNX_OK);
        assert_int_equal(pnx_session_report_found(&report, "process"), 1);
        pnx_session_report_done(&report);
        assert_int_equal(waitpid(ours, NULL, WNOHANG), 0);
        assert_int_equal(status_of_child(dead), 9); /* was not reaped behind our back */
        assert_int_equal(kill(ours, SIGKILL), 0);
        (void)status_of_child(ours);
    }
}

/* Neither is what they make taken for the command's, whatever is proved of the command. */
static void what_the_program_makes_meanwhile_is_its_own(void **state)
{
    char early[64], late[64], theirs[64], script[128];
    snprintf(early, sizeof early, "/dev/shm/session-early-%d", (int)getpid());
    snprintf(late, sizeof late, "/dev/shm/session-late-%d", (int)getpid());
    snprintf(theirs, sizeof theirs, "/dev/shm/session-theirs-%d", (int)getpid());
    pnx_session *session = open_session(&(pnx_session_config){0});
    assert_int_equal(status_of_child(start_sh("echo >", early)), 0);
    snprintf(script, sizeof script, "echo > %s; (sleep 1000) & exit 0", theirs);
    assert_int_equal(run(session, script), PNX_OK);
    assert_int_equal(status_of_child(start_sh("echo >", late)), 0);
    pnx_session_report report = close_session(session, PNX_OK);
    assert_true(exists(early));
    assert_true(exists(late));
    if (report.tier == 3) /* else nobody saw who made it */
        assert_false(exists(theirs));
    pnx_session_report_done(&report);
    unlink(early);
    unlink(late);
    unlink(theirs);
}

/* Started by somebody else on the command's behalf, as by a tmux server: the cookie tells. */
static void a_process_with_the_cookie_alone_is_found(void **state)
{
    int requests[2], answers[2];
    assert_int_equal(pipe(requests), 0);
    assert_int_equal(pipe(answers), 0);
    pid_t server = fork();
    if (server == 0) {
        char cookie[80];
        if (read(requests[0], cookie, sizeof cookie) != sizeof cookie)
            _exit(1);
        pid_t started = fork();
        if (started == 0) {
            char *argv[] = {(char[]){"sleep"}, (char[]){"1000"}, NULL};
            char *environment[] = {(char[]){"A=b"}, cookie, (char[]){"C=d"}, NULL};
            execvpe("sleep", argv, environment);
            _exit(127);
        }
        char environment[64];
        snprintf(environment, sizeof environment, "/proc/%d/comm", (int)started);
        for (char name[16] = ""; strncmp(name, "sleep", 5) != 0;) {
            int fd = open(environment, O_RDONLY);
            (void)!read(fd, name, sizeof name);
            close(fd);
        }
        if (write(answers[1], &started, sizeof started) != sizeof started)
            _exit(1);
        int status;
        waitpid(started, &status, 0);
        _exit(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM ? 0 : 1);
    }

    pnx_session *session = open_session(&(pnx_session_config){.owns_children = true});
    char cookie[80] = "CLEANROOM_SESSION=";
    pnx_id_format(pnx_session_id(session), cookie + strlen(cookie));
    assert_int_equal(write(requests[1], cookie, sizeof cookie), sizeof cookie);
    pid_t started;
    assert_int_equal(read(answers[0], &started, sizeof started), sizeof started);
    /* Pids are looked at from the command's on, or all of them. Here: before it. */
    assert_int_equal(run(session, "sleep 1.1"), PNX_OK);
    pnx_session_report report = close_session(session, PNX_OK);
    const pnx_session_resource *found = find(&report, "process", PNX_ORIGIN_FOUND, "sleep 1000");
    assert_removed(found);
    assert_int_equal(strtol(found->id, NULL, 10), started);
    pnx_session_report_done(&report);
    assert_int_equal(status_of_child(server), 0);
    close(requests[0]);
    close(requests[1]);
    close(answers[0]);
    close(answers[1]);
}

static void forking_without_an_end_is_ended(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        pnx_session_report report = report_of(
            &(pnx_session_config){
                .owns_children = true, .grace = PNX_NO_GRACE, .tier = tiers[i].tier},
            "f() { f & }; trap '' TERM; for i in 1 2 3; do f & done; exit 0");
        assert_int_equal(report.unremoved, 0);
        pnx_session_report_done(&report);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
    }
}

/* What is about to end by itself was not left behind, and loses no output. */
static void the_end_of_a_pipeline_is_waited_for(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        pnx_session_report report = report_of(
            &(pnx_session_config){
                .owns_children = true, .grace = PNX_S(20), .tier = tiers[i].tier, .parent = *state},
            "mkfifo $TMPDIR/pipe; (read x <$TMPDIR/pipe; echo $x >$TMPDIR/../copied) & "
            "echo text >$TMPDIR/pipe");
        assert_int_equal(pnx_session_report_found(&report, "process"), 0);
        assert_int_equal(report.leftovers, 1);
        pnx_session_report_done(&report);
        assert_true(exists(in(*state, "copied")));
        assert_int_equal(unlink(in(*state, "copied")), 0);
    }
}

static void more_than_can_be_listed_is_counted(void **state)
{
    pnx_session_report report =
        report_of(&(pnx_session_config){.owns_children = true, .listed_max = 3},
                  "for i in 1 2 3 4 5; do setsid sleep 1000 & : >$TMPDIR/$i; done");
    assert_int_equal(pnx_session_report_found(&report, "process"), 5);
    assert_int_equal(report.files.files, 5);
    assert_int_equal(report.leftovers, 10);
    assert_int_equal(report.unremoved, 0);
    assert_int_equal(report.unlisted, 4);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    pnx_session_report_done(&report);
}

/* ---- timeouts and signals -------------------------------------------------------------------- */

static void a_timeout_ends_it_with_all_it_started(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        pnx_session *session = open_session(&(pnx_session_config){.owns_children = true,
                                                                  .timeout = PNX_MS(50),
                                                                  .grace = PNX_S(20),
                                                                  .tier = tiers[i].tier});
        assert_int_equal(run(session, "sleep 1000 & sleep 1000"), PNX_ETIMEOUT);
        pnx_session_report report = close_session(session, PNX_OK);
        assert_true(report.timed_out);
        assert_int_equal(report.exit_signal, SIGTERM);
        assert_int_equal(report.leftovers, 0); /* they went when they were asked to */
        assert_true(report.duration >= PNX_MS(50));
        assert_true(report.cleanup < PNX_S(10));
        pnx_session_report_done(&report);
    }
}

static void who_outstays_a_timeout_is_left_behind(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        pnx_session *session = open_session(&(pnx_session_config){.owns_children = true,
                                                                  .timeout = PNX_MS(50),
                                                                  .grace = PNX_MS(50),
                                                                  .tier = tiers[i].tier});
        assert_int_equal(run(session, "trap '' TERM; sleep 1001 & exec sleep 1002"), PNX_ETIMEOUT);
        pnx_session_report report = close_session(session, PNX_OK);
        assert_int_equal(report.exit_signal, SIGKILL);
        assert_int_equal(pnx_session_report_found(&report, "process"), 1);
        const pnx_session_resource *found = find(&report, "process", PNX_ORIGIN_FOUND, "1001");
        assert_removed(found);
        assert_string_equal(found->outcome.reason, "ignored SIGTERM");
        assert_removed(find(&report, "process", PNX_ORIGIN_MADE, "1002"));
        pnx_session_report_done(&report);
    }
}

static pnx_session *handled;

static void on_signal(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    pnx_session_signal(handled, signal_number, info->si_pid);
}

static void a_second_interrupt_cuts_the_grace_short(void **state)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_RESTART}, before;
    action.sa_sigaction = on_signal;
    handled = open_session(&(pnx_session_config){.owns_children = true, .grace = PNX_S(600)});
    assert_int_equal(sigaction(SIGINT, &action, &before), 0);
    char script[256]; /* the deaf one interrupts us, again and again, when it is asked to go */
    snprintf(script, sizeof script,
             "mkfifo $TMPDIR/f; sh -c 'trap asked=1 TERM; echo >$TMPDIR/f; "
             "while :; do sleep 0.01; test -z $asked || kill -INT %d; done' & read x <$TMPDIR/f",
             (int)getpid());
    assert_int_equal(run(handled, script), PNX_OK);
    pnx_session_report report = close_session(handled, PNX_OK);
    sigaction(SIGINT, &before, NULL);
    assert_true(report.cleanup < PNX_S(60));
    assert_int_equal(report.exit_code, 0);
    const pnx_session_resource *deaf = find(&report, "process", PNX_ORIGIN_FOUND, "trap asked");
    assert_removed(deaf);
    assert_string_equal(deaf->outcome.reason, ""); /* it was not given its time */
    pnx_session_report_done(&report);
}

/* ---- what stays ------------------------------------------------------------------------------ */

/* A setuid program that became somebody else altogether, as sudo(8) does: we may not signal it. */
static int pause_as_root(void)
{
    if (setresuid(0, 0, 0) != 0 || write(STDOUT_FILENO, "", 1) != 1)
        return 1;
    for (;;)
        pause();
}

static void copy_as_setuid_root(const char *path)
{
    char command[4200];
    snprintf(command, sizeof command, "cp /proc/%d/exe '%s' && chmod 4755 '%s'", (int)getpid(),
             path, path);
    /* NOLINTNEXTLINE(cert-env33-c): what any program may do */
    assert_int_equal(shell(command), 0);
}

/* In a child: the session of an unprivileged user, whose command leaves the root process behind. */
static int report_on_root_process(const char *place, const char *program, int report_to)
{
    char script[4400];
    snprintf(script, sizeof script,
             "mkfifo $TMPDIR/f; %s --pause-as-root >$TMPDIR/f & "
             "(trap '' TERM; exec sleep 1001) & "
             "head -c1 <$TMPDIR/f >/dev/null",
             program);
    if (setgid(65534) != 0 || setuid(65534) != 0)
        return 77;
    pnx_session_config config = {.parent = place, .owns_children = true, .grace = PNX_MS(10)};
    pnx_session *session;
    if (pnx_session_open(&config, &session, NULL) != PNX_OK)
        return 78;
    pnx_session_report report;
    if (run(session, script) != PNX_OK)
        return 1;
    if (pnx_session_close(session, &report, NULL) != PNX_EFAILED)
        return 2;
    const pnx_session_resource *root =
        find(&report, "process", PNX_ORIGIN_FOUND, "--pause-as-root");
    const pnx_session_resource *other = find(&report, "process", PNX_ORIGIN_FOUND, "sleep 1001");
    if (!root || !other || other->outcome.fate != PNX_FATE_REMOVED)
        return 3;
    pid_t pid = (pid_t)strtol(root->id, NULL, 10);
    if (write(report_to, &pid, sizeof pid) != sizeof pid)
        return 4;
    if (root->outcome.fate != PNX_FATE_STUCK || !strstr(root->outcome.reason, "uid 0"))
        return 5;
    bool summed = report.unremoved == 1 && pnx_session_report_found(&report, "process") == 2 &&
                  report.cleanup < PNX_S(4);
    pnx_session_report_done(&report);
    pnx_session_free(session);
    return summed ? 0 : 6;
}

static void who_may_not_be_signalled_is_told_without_waiting(void **state)
{
    if (!is_root())
        skip();
    const char *program = in(*state, "program");
    copy_as_setuid_root(program);
    assert_int_equal(chmod(*state, 0777), 0);
    char own_state[64], command[128];
    snprintf(own_state, sizeof own_state, "%s", getenv("CLEANROOM_STATE_DIR"));
    use_own_state(); /* what is still there is remembered */
    const char *state_of_nobody = getenv("CLEANROOM_STATE_DIR");
    if (!state_of_nobody) {
        fail();
        return;
    }
    assert_int_equal(chown(state_of_nobody, 65534, 65534), 0);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(report_on_root_process(*state, program, ends[1]));
    close(ends[1]);
    pid_t root = 0;
    bool known = read(ends[0], &root, sizeof root) == sizeof root;
    close(ends[0]);
    int status = status_of_child(child);
    snprintf(command, sizeof command, "rm -r %s", getenv("CLEANROOM_STATE_DIR"));
    assert_int_equal(shell(command), 0);
    setenv("CLEANROOM_STATE_DIR", own_state, 1);
    assert_int_equal(unlink(program), 0);
    assert_true(known);
    assert_int_equal(kill(root, SIGKILL), 0);
    assert_int_equal(status, 0);
}

/* From here on this thread, and those that it makes, may not unmount. */
static bool give_up_mounting(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) != 0)
        return false;
    data[CAP_SYS_ADMIN / 32].effective &= ~(1u << CAP_SYS_ADMIN % 32);
    return syscall(SYS_capset, &header, data) == 0;
}

/* In a child with mounts of its own: three stay, one is listed. */
static int report_on_mounts(const char *place)
{
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return 77;
    pnx_session_config config = {.parent = place, .owns_children = true, .listed_max = 1};
    pnx_session *session;
    pnx_session_report report;
    if (pnx_session_open(&config, &session, NULL) != PNX_OK)
        return 78;
    if (run(session,
            "cd $TMPDIR; touch x; for d in a b c; do mkdir $d; mount -t tmpfs none $d; done") !=
        PNX_OK)
        return 1;
    if (!give_up_mounting())
        return 79;
    pnx_status status = pnx_session_close(session, &report, NULL);
    bool summed = report.leftovers == 7 && report.files.stuck == 3 && report.unremoved == 7 &&
                  report.unlisted == 3;
    pnx_session_report_done(&report);
    pnx_session_free(session);
    return status == PNX_EFAILED && summed ? 0 : 2;
}

static void what_stays_is_counted_though_not_listed(void **state)
{
    if (!is_root())
        skip();
    char command[256], own_state[64];
    snprintf(own_state, sizeof own_state, "%s", getenv("CLEANROOM_STATE_DIR"));
    use_own_state(); /* what is still there is remembered */
    pid_t child = fork();
    if (child == 0)
        _exit(report_on_mounts(*state));
    int status = status_of_child(child);
    snprintf(command, sizeof command, "rm -r %s", getenv("CLEANROOM_STATE_DIR"));
    assert_int_equal(shell(command), 0);
    setenv("CLEANROOM_STATE_DIR", own_state, 1);
    /* the mounts are gone with their namespace: only empty directories are left */
    snprintf(command, sizeof command, "find %s -mindepth 1 -depth -type d -exec rmdir {} +",
             (char *)*state);
    assert_int_equal(shell(command), 0);
    if (status == 77)
        skip();
    assert_int_equal(status, 0);
}

/* A clean-up that has no time: what is not done is told as such, and nothing is used after it. */
static void a_clean_up_out_of_time_says_so(void **state)
{
    for (unsigned i = 0; i < 20; i++) {
        pnx_session *session = open_session(&(pnx_session_config){.parent = *state,
                                                                  .owns_children = true,
                                                                  .grace = PNX_NO_GRACE,
                                                                  .patience = PNX_US(50 * i)});
        char dir[4096];
        snprintf(dir, sizeof dir, "%s/.garbage-%s", (char *)*state,
                 strrchr(pnx_session_tmpdir(session), '/') + 1);
        assert_int_equal(run(session, "mkdir $TMPDIR/a; touch $TMPDIR/a/b; setsid sleep 1000 &"),
                         PNX_OK);
        pnx_session_report report;
        pnx_status status = pnx_session_close(session, &report, NULL);
        assert_int_equal(status == PNX_OK, report.unremoved == 0);
        pnx_session_report_done(&report);
        pnx_session_free(session); /* what the workers were at, they finish, in order */
        assert_false(exists(dir));
    }
    /* What it had no time for, the next one has. */
    assert_int_equal(pnx_sessions_reap(0, NULL, NULL, NULL), PNX_OK);
}

static void a_session_that_is_open_at_exit_is_closed(void **state)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        pnx_session *session =
            open_session(&(pnx_session_config){.parent = *state, .owns_children = true});
        char script[128]; /* whoever is left behind holds the pipe open */
        snprintf(script, sizeof script,
                 "exec 9>/proc/%d/fd/%d; touch $TMPDIR/file; "
                 "setsid sleep 1000 &",
                 (int)getpid(), ends[1]);
        int status = run(session, script) == PNX_OK && !close(ends[1]) ? 0 : 1;
        exit(status);
    }
    close(ends[1]);
    assert_int_equal(status_of_child(child), 0);
    char byte;
    assert_int_equal(read(ends[0], &byte, 1), 0);
    close(ends[0]);
    /* That the directory is gone too is found out when the test's place is removed. */
}

/* ---- as a guarded resource ------------------------------------------------------------------- */

static void a_guard_closes_it(void **state)
{
    pnx_registry *registry;
    pnx_error err = {0};
    char dir[4096];
    assert_ok(pnx_registry_create(&(pnx_config){.workers = 1}, &registry, &err), &err);
    {
        pnx_auto(session) guard = pnx_reserve(session, registry, &err);
        assert_int_equal(guard.status, PNX_OK);
        pnx_session *session = open_session(NULL);
        snprintf(dir, sizeof dir, "%s", pnx_session_tmpdir(session));
        assert_true(pnx_arm(&guard, session));
        assert_int_equal(run(pnx_get(&guard), "setsid sleep 1000 & : >$TMPDIR/file"), PNX_OK);
    }
    assert_int_equal(pnx_registry_wait_idle(registry, in_seconds(20)), PNX_OK);
    assert_false(exists(dir));
    assert_ok(pnx_registry_shutdown(registry, NULL, NULL, &err), &err);
    assert_ok(pnx_registry_destroy(registry, &err), &err);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--pause-as-root") == 0)
        return pause_as_root();
    use_plain_path();
    use_own_state();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clean_run_says_so),
        cmocka_unit_test(a_signal_is_told_as_one),
        cmocka_unit_test(sessions_that_run_nothing_leave_nothing),
        cmocka_unit_test(a_session_runs_and_closes_once),
        cmocka_unit_test(a_fork_child_closes_nothing),
        cmocka_unit_test(bad_configurations_are_refused),
        cmocka_unit_test(being_subreaper_ends_with_the_session),
        cmocka_unit_test(every_escape_ends),
        cmocka_unit_test_setup_teardown(neighbours_survive, make_place, drop_place),
        cmocka_unit_test(children_of_the_program_are_not_taken_for_orphans),
        cmocka_unit_test(what_the_program_makes_meanwhile_is_its_own),
        cmocka_unit_test(a_process_with_the_cookie_alone_is_found),
        cmocka_unit_test(forking_without_an_end_is_ended),
        cmocka_unit_test_setup_teardown(the_end_of_a_pipeline_is_waited_for, make_place,
                                        drop_place),
        cmocka_unit_test(more_than_can_be_listed_is_counted),
        cmocka_unit_test(a_timeout_ends_it_with_all_it_started),
        cmocka_unit_test(who_outstays_a_timeout_is_left_behind),
        cmocka_unit_test(a_second_interrupt_cuts_the_grace_short),
        cmocka_unit_test_setup_teardown(who_may_not_be_signalled_is_told_without_waiting,
                                        make_place, drop_place),
        cmocka_unit_test_setup_teardown(what_stays_is_counted_though_not_listed, make_place,
                                        drop_place),
        cmocka_unit_test_setup_teardown(a_clean_up_out_of_time_says_so, make_place, drop_place),
        cmocka_unit_test_setup_teardown(a_session_that_is_open_at_exit_is_closed, make_place,
                                        drop_place),
        cmocka_unit_test(a_guard_closes_it),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed ? failed : !drop_own_state();
}
