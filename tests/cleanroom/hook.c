/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/kind/hook.c and hook_run.c. */
#include "keeper.h"
#include "support.h"

#include <grp.h>
#include <patinox/patinox.h>

#define NOBODY 65534

/* Its last digits are our own: hooks of the same session and number are the same hook. */
static pnx_id session = {0x0123456789abcdef, 0x8123456700000000};

static const char *name_of(const pnx_hook *hook)
{
    static char names[4][PNX_THING_NAME_MAX];
    static unsigned next;
    char *name = names[next++ % 4];
    pnx_error err = {0};
    assert_ok(pnx_hook_format(hook, session, 7, name, sizeof names[0], &err), &err);
    return name;
}

static const char *line(const char *text)
{
    return name_of(&(pnx_hook){.line = text});
}

static pnx_status run(const char *name, pnx_hook_result *ret)
{
    pnx_outcome outcome = {0};
    pnx_status status = pnx_hook_run(name, in_seconds(20), &outcome, ret, NULL);
    assert_int_equal(outcome.fate, status == PNX_OK ? PNX_FATE_REMOVED : PNX_FATE_STUCK);
    assert_int_equal(outcome.verified, status == PNX_OK);
    assert_int_equal(outcome.attempts, ret->attempts);
    return status;
}

static unsigned lines_in(const char *path)
{
    unsigned count = 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    for (int byte; (byte = getc(file)) != EOF;)
        count += byte == '\n';
    fclose(file);
    return count;
}

/* ---- as a text ------------------------------------------------------------------------------- */

static void a_hook_is_one_line_that_says_all(void **state)
{
    (void)state;
    const char *const argv[] = {"printf", "%s\n", "a b", "", "\xff\x01'\\", NULL};
    const char *const environment[] = {"A=1 2", "PATH=/usr/bin:/bin", NULL};
    pnx_hook hook = {.argv = argv,
                     .directory = "/",
                     .environment = environment,
                     .priority = PNX_CRITICAL,
                     .retries = 2,
                     .timeout = PNX_MS(1500)};
    const char *name = name_of(&hook);
    for (const char *at = name; *at; at++)
        assert_true(*at >= ' ' && *at < 0x7f);
    assert_non_null(strstr(name, "priority=critical timeout=1500 retries=2 dir=/ "));
    assert_non_null(strstr(name, " env=A=1%202 env=PATH=/usr/bin:/bin -- printf %25s%0a a%20b  "));
    pnx_priority priority;
    uid_t user;
    char command[256];
    pnx_error err = {0};
    assert_ok(pnx_hook_priority(name, &priority, &err), &err);
    assert_int_equal(priority, PNX_CRITICAL);
    assert_ok(pnx_hook_user(name, &user, &err), &err);
    assert_int_equal(user, geteuid());
    assert_ok(pnx_hook_command(name, command, sizeof command, &err), &err);
    assert_string_equal(command, "printf '%s\n' 'a b' '' '\xff\x01'\\''\\'");
    assert_ok(pnx_hook_command(line("echo 'a' | cat"), command, sizeof command, &err), &err);
    assert_string_equal(command, "echo 'a' | cat");
    pnx_hook_result result;
    assert_int_equal(run(name, &result), PNX_OK);
    assert_string_equal(result.output, "a b\n\n\xff\x01'\\\n");
}

static void what_is_no_hook_is_refused(void **state)
{
    (void)state;
    char longest[PNX_THING_NAME_MAX + 10], name[PNX_THING_NAME_MAX];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    const char *good = line("true");
    const char *const bad[] = {
        "",
        "hook1",
        "true",
        "hook2 x",
        longest,
        "hook1 0123 user=0:0 priority=low timeout=1 retries=0 dir=/ -- true",
        "hook1 01234567-89ab-cdef-8123-456789abcdef/1 user=0:0 priority=low timeout=1 retries=0 "
        "dir=x -- true",
        "hook1 01234567-89ab-cdef-8123-456789abcdef/1 user=0:0 priority=low timeout=1 retries=0 "
        "dir=/ --",
        "hook1 01234567-89ab-cdef-8123-456789abcdef/1 user=0:0 priority=low timeout=1 retries=0 "
        "dir=/ -- a%0",
        "hook1 01234567-89ab-cdef-8123-456789abcdef/1 user=0:0 priority=low timeout=1 retries=0 "
        "dir=/ -- a%00",
        "hook1 01234567-89ab-cdef-8123-456789abcdef/1 user=0:0 priority=low timeout=1 retries=99 "
        "dir=/ -- a",
        "hook1 01234567-89ab-cdef-8123-456789abcdef/1 user=-1:0 priority=low timeout=1 retries=0 "
        "dir=/ -- a",
        "hook1 01234567-89ab-cdef-8123-456789abcdef/1 user=0:0 priority=low timeout=1 retries=0 "
        "dir=/ x -- a",
    };
    char identity[PNX_THING_IDENTITY_MAX];
    const pnx_thing_kind *kind = pnx_thing_kind_named("command");
    assert_int_equal(kind->find(good, identity, sizeof identity, NULL), PNX_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(kind->find(bad[i], identity, sizeof identity, NULL), PNX_EINVAL);
        assert_int_equal(pnx_hook_run(bad[i], in_seconds(1), NULL, NULL, NULL), PNX_EINVAL);
    }
    for (size_t i = 0; i < strlen(good); i++) { /* cut anywhere: no crash, whatever it means */
        snprintf(name, sizeof name, "%.*s", (int)i, good);
        (void)kind->find(name, identity, sizeof identity, NULL);
    }
    pnx_error err = {0};
    const char *const argv[] = {"true", NULL}, *const none[] = {NULL},
                      *const no_name[] = {"x", NULL};
    const pnx_hook wrong[] = {
        {0},
        {.argv = none},
        {.argv = argv, .line = "true"},
        {.argv = argv, .directory = "x"},
        {.argv = argv, .environment = no_name},
        {.argv = argv, .retries = 10},
        {.argv = argv, .timeout = -1},
        {.argv = argv, .priority = PNX_PRIORITY_COUNT},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(pnx_hook_format(&wrong[i], session, 1, name, sizeof name, &err),
                         PNX_EINVAL);
    assert_int_equal(
        pnx_hook_format(&(pnx_hook){.line = longest}, session, 1, name, sizeof name, &err),
        PNX_ELIMIT);
    assert_int_equal(kind->list(NULL, NULL, &err), PNX_EUNSUPPORTED);
    assert_true(kind->survives_reboot);
}

/* ---- running --------------------------------------------------------------------------------- */

static void it_runs_where_and_with_what_it_was_given_and_nothing_else(void **state)
{
    setenv("PNX_TEST_SECRET", "1", 1);
    const char *const environment[] = {"B=two words", NULL};
    pnx_hook hook = {.line = "pwd; echo \"$B\"; echo ${PNX_TEST_SECRET-none}; echo ${HOME-none}; "
                             "cat; readlink /proc/self/fd/0; ls /proc/self/fd | wc -l",
                     .directory = *state,
                     .environment = environment};
    const char *name = name_of(&hook);
    int kept = open("/dev/null", O_RDONLY); /* not close-on-exec: not for hooks either */
    pnx_hook_result result;
    assert_int_equal(run(name, &result), PNX_OK);
    close(kept);
    unsetenv("PNX_TEST_SECRET");
    char expected[256];
    snprintf(expected, sizeof expected, "%s\ntwo words\nnone\n%s\n/dev/null\n4\n", (char *)*state,
             getenv("HOME") ? getenv("HOME") : "none");
    assert_string_equal(result.output, expected);
    assert_int_equal(result.exit_code, 0);
    assert_int_equal(result.attempts, 1);
}

static void a_failure_tells_status_and_last_words(void **state)
{
    (void)state;
    pnx_hook_result result;
    pnx_outcome outcome = {0};
    pnx_error err = {0};
    assert_int_equal(pnx_hook_run(line("echo one; echo two >&2; exit 3"), in_seconds(20), &outcome,
                                  &result, &err),
                     PNX_EFAILED);
    assert_int_equal(result.exit_code, 3);
    assert_string_equal(outcome.reason, "the hook ended with exit status 3: two");
    assert_int_equal(run(line("kill -ABRT $$"), &result), PNX_EFAILED);
    assert_int_equal(result.exit_code, -1);
    assert_int_equal(result.signal, SIGABRT);
    const char *const argv[] = {"no-such-command-at-all", NULL};
    assert_int_equal(run(name_of(&(pnx_hook){.argv = argv}), &result), PNX_EFAILED);
    assert_int_equal(result.exit_code, 127);
    assert_non_null(strstr(result.output, "No such file"));
    assert_int_equal(run(name_of(&(pnx_hook){.line = "true", .directory = "/no/such"}), &result),
                     PNX_EFAILED);
    assert_non_null(strstr(result.output, "directory of the hook"));
}

static void it_is_tried_again_as_often_as_it_says(void **state)
{
    const char *count = in(*state, "count");
    char text[8300];
    snprintf(text, sizeof text, "echo x >>'%s'; [ $(wc -l <'%s') = 3 ]", count, count);
    pnx_hook_result result;
    assert_int_equal(run(name_of(&(pnx_hook){.line = text, .retries = 1}), &result), PNX_EFAILED);
    assert_int_equal(lines_in(count), 2);
    assert_int_equal(result.attempts, 2);
    assert_int_equal(unlink(count), 0);
    assert_int_equal(run(name_of(&(pnx_hook){.line = text, .retries = 5}), &result), PNX_OK);
    assert_int_equal(result.attempts, 3);
    assert_int_equal(unlink(count), 0);
    assert_int_equal(run(line(text), &result), PNX_EFAILED);
    assert_int_equal(lines_in(count), 1);
    assert_int_equal(unlink(count), 0);
}

static bool is_alive(pid_t pid)
{
    char name[16], identity[PNX_THING_IDENTITY_MAX];
    snprintf(name, sizeof name, "%d", (int)pid);
    return pnx_thing_kind_named("process")->find(name, identity, sizeof identity, NULL) == PNX_OK;
}

/* It was killed; without a cgroup nobody has waited until it is gone. */
static void expect_ended(pid_t pid)
{
    pnx_time deadline = in_seconds(10);
    assert_true(pid > 0);
    while (is_alive(pid))
        assert_true(pnx_monotonic_now() < deadline);
}

static void at_its_deadline_it_ends_with_all_it_started(void **state)
{
    (void)state;
    pnx_hook hook = {.line = "trap '' TERM; sleep 1000 & echo $!; wait", .timeout = PNX_MS(300)};
    pnx_hook_result result;
    pnx_time began = pnx_monotonic_now();
    assert_int_equal(run(name_of(&hook), &result), PNX_ETIMEOUT);
    assert_true(pnx_monotonic_now() - began >= PNX_MS(300));
    assert_true(pnx_monotonic_now() - began < PNX_S(15));
    assert_true(result.timed_out);
    pid_t child = (pid_t)strtol(result.output, NULL, 10);
    assert_true(child > 0);
    expect_ended(child);
    /* The cleaner's own deadline counts too. */
    began = pnx_monotonic_now();
    assert_int_equal(
        pnx_hook_run(line("sleep 1000"), pnx_time_after(began, PNX_MS(50)), NULL, &result, NULL),
        PNX_ETIMEOUT);
    assert_true(pnx_monotonic_now() - began < PNX_S(15));
    /* Writing without end is no way to stay. */
    hook.line = "yes";
    assert_int_equal(run(name_of(&hook), &result), PNX_ETIMEOUT);
    assert_int_equal(result.output_size, PNX_HOOK_OUTPUT_MAX);
    assert_true(result.output_cut);
}

static void what_it_left_in_the_background_is_ended(void **state)
{
    (void)state;
    pnx_hook_result result;
    assert_int_equal(run(line("sleep 1000 & echo $!"), &result), PNX_OK);
    pid_t child = (pid_t)strtol(result.output, NULL, 10);
    assert_true(child > 0);
    expect_ended(child);
    pnx_cgroup *cgroup;
    if (pnx_cgroup_create("cleanroom-test-hook", &cgroup, NULL) != PNX_OK)
        return; /* without cgroups, what leaves the group is not found */
    assert_int_equal(pnx_cgroup_remove(cgroup, NULL, NULL), PNX_OK);
    pnx_cgroup_free(cgroup);
    /* It tells its pid through the hook's output, and that it left by ending the read. */
    assert_int_equal(
        run(line("x=$(setsid sh -c 'echo $$; exec sleep 1000 >/dev/null &'); echo $x"), &result),
        PNX_OK);
    child = (pid_t)strtol(result.output, NULL, 10);
    assert_true(child > 0);
    expect_ended(child);
}

static void what_a_killed_cleaner_left_running_is_ended_first(void **state)
{
    const char *pids = in(*state, "pids");
    char text[8400];
    pnx_cgroup *cgroup;
    if (pnx_cgroup_create("cleanroom-test-hook", &cgroup, NULL) != PNX_OK)
        skip();
    assert_int_equal(pnx_cgroup_remove(cgroup, NULL, NULL), PNX_OK);
    pnx_cgroup_free(cgroup);
    snprintf(text, sizeof text, "[ -e '%s' ] && exit; echo $$ >'%s'; exec sleep 1000", pids, pids);
    const char *name = line(text);
    pid_t cleaner = fork();
    if (cleaner == 0)
        _exit(pnx_hook_run(name, in_seconds(20), NULL, NULL, NULL) == PNX_OK ? 0 : 1);
    pnx_time deadline = in_seconds(20);
    while (lines_in(pids) == 0)
        assert_true(pnx_monotonic_now() < deadline);
    assert_int_equal(kill(cleaner, SIGKILL), 0);
    (void)status_of_child(cleaner);
    FILE *file = fopen(pids, "re");
    char number[16] = "";
    assert_non_null(file);
    assert_non_null(fgets(number, sizeof number, file));
    fclose(file);
    int left = (int)strtol(number, NULL, 10);
    assert_true(is_alive(left));
    pnx_hook_result result;
    assert_int_equal(run(name, &result), PNX_OK);
    assert_false(is_alive(left));
    assert_int_equal(unlink(pids), 0);
}

static void the_end_of_its_output_is_kept(void **state)
{
    (void)state;
    pnx_hook_result result;
    assert_int_equal(
        run(line("i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done"), &result),
        PNX_OK);
    assert_true(result.output_cut);
    assert_int_equal(result.output_size, PNX_HOOK_OUTPUT_MAX);
    assert_string_equal(result.output + result.output_size - 10, "line 2999\n");
}

/* ---- as a thing ------------------------------------------------------------------------------ */

static void a_thing_runs_its_hook_once(void **state)
{
    const char *count = in(*state, "count");
    char text[8300];
    snprintf(text, sizeof text, "echo x >>'%s'", count);
    struct told_keeper told = {0};
    pnx_keeper keeper = keeper_that_tells(&told);
    pnx_thing *thing = NULL;
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    assert_ok(pnx_hook_create(&(pnx_hook){.line = text}, session, 1, &keeper, &thing, &err), &err);
    assert_string_equal(told.events, "ib");
    char id[PNX_ID_TEXT_SIZE], identity[PNX_ID_TEXT_SIZE + 2];
    snprintf(identity, sizeof identity, "%s/1", pnx_id_format(session, id));
    assert_string_equal(told.identity, identity);
    assert_int_equal(lines_in(count), 0);
    assert_ok(pnx_thing_remove(thing, in_seconds(20), &outcome, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_REMOVED);
    assert_true(outcome.verified);
    assert_string_equal(told.events, "ibg");
    assert_int_equal(lines_in(count), 1);
    assert_ok(pnx_thing_remove(thing, in_seconds(20), &outcome, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_ALREADY_GONE);
    assert_int_equal(lines_in(count), 1);
    assert_string_equal(told.events, "ibg");
    pnx_thing_free(thing);
    assert_int_equal(unlink(count), 0);
}

static void one_that_could_not_be_registered_never_runs(void **state)
{
    const char *count = in(*state, "count");
    char text[8300];
    snprintf(text, sizeof text, "echo x >>'%s'", count);
    struct told_keeper told = {.refuse_binding = true};
    pnx_keeper keeper = keeper_that_tells(&told);
    pnx_thing *thing = NULL;
    pnx_error err = {0};
    assert_int_equal(pnx_hook_create(&(pnx_hook){.line = text}, session, 1, &keeper, &thing, &err),
                     PNX_ELIMIT);
    assert_string_equal(told.events, "ibg");
    assert_int_equal(lines_in(count), 0);
}

static void one_that_failed_is_run_again_by_the_next_cleaner(void **state)
{
    const char *flag = in(*state, "flag"), *count = in(*state, "count");
    char text[16700];
    snprintf(text, sizeof text, "echo x >>'%s'; test -e '%s'", count, flag);
    pnx_thing *thing = NULL, *adopted = NULL;
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    assert_ok(pnx_hook_create(&(pnx_hook){.line = text}, session, 1, NULL, &thing, &err), &err);
    assert_int_equal(pnx_thing_remove(thing, in_seconds(20), &outcome, &err), PNX_EFAILED);
    assert_int_equal(outcome.fate, PNX_FATE_STUCK);
    write_file(flag, 0);
    assert_ok(pnx_thing_adopt(pnx_thing_kind_named("command"), pnx_thing_name(thing),
                              pnx_thing_identity(thing), &adopted, &err),
              &err);
    assert_ok(pnx_thing_remove(adopted, in_seconds(20), &outcome, &err), &err);
    assert_int_equal(lines_in(count), 2);
    /* Another one's identity is not this hook's. */
    assert_int_equal(
        pnx_thing_kind_named("command")->remove(pnx_thing_name(thing), "x/1", in_seconds(1), &err),
        PNX_EALREADY);
    assert_int_equal(lines_in(count), 2);
    pnx_thing_free(thing);
    pnx_thing_free(adopted);
    assert_int_equal(unlink(flag), 0);
    assert_int_equal(unlink(count), 0);
}

static void a_dropped_guard_runs_it(void **state)
{
    const char *count = in(*state, "count");
    char text[8300];
    snprintf(text, sizeof text, "echo x >>'%s'", count);
    pnx_error err = {0};
    pnx_registry *registry = NULL;
    assert_ok(pnx_registry_create(&(pnx_config){.workers = 1}, &registry, &err), &err);
    {
        pnx_auto(command) guard = pnx_reserve(command, registry, &err);
        assert_ok(guard.status, &err);
        pnx_thing *thing = NULL;
        assert_ok(pnx_hook_create(&(pnx_hook){.line = text}, session, 1, NULL, &thing, &err), &err);
        assert_true(pnx_arm(&guard, thing));
    }
    assert_int_equal(pnx_registry_wait_idle(registry, in_seconds(20)), PNX_OK);
    assert_ok(pnx_registry_shutdown(registry, NULL, NULL, &err), &err);
    assert_ok(pnx_registry_destroy(registry, &err), &err);
    assert_int_equal(lines_in(count), 1);
    assert_int_equal(unlink(count), 0);
}

/* ---- as whom --------------------------------------------------------------------------------- */

static void it_runs_as_who_registered_it(void **state)
{
    (void)state;
    if (!is_root())
        skip();
    const char *ours = name_of(&(pnx_hook){.line = "id -u", .directory = "/"});
    char theirs[PNX_THING_NAME_MAX];
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
            _exit(1);
        pnx_hook hook = {.line = "id -u; id -G", .directory = "/"};
        if (pnx_hook_format(&hook, session, 1, theirs, sizeof theirs, NULL) != PNX_OK)
            _exit(2);
        if (write(ends[1], theirs, sizeof theirs) != sizeof theirs)
            _exit(3);
        /* Nobody runs what root registered. */
        pnx_outcome outcome = {0};
        bool refused = pnx_hook_run(ours, in_seconds(5), &outcome, NULL, NULL) == PNX_EFAILED;
        _exit(refused && strstr(outcome.reason, "only by him") ? 0 : 4);
    }
    close(ends[1]);
    size_t got = 0;
    for (ssize_t some; (some = read(ends[0], theirs + got, sizeof theirs - got)) > 0;)
        got += (size_t)some;
    close(ends[0]);
    assert_int_equal(got, sizeof theirs);
    assert_int_equal(status_of_child(pid), 0);
    pnx_hook_result result;
    assert_int_equal(run(theirs, &result), PNX_OK);
    assert_string_equal(result.output, "65534\n65534\n");
    uid_t user;
    assert_int_equal(pnx_hook_user(theirs, &user, NULL), PNX_OK);
    assert_int_equal(user, NOBODY);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, drop_place)

int main(void)
{
    session.low += (uint64_t)getpid();
    use_plain_path();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hook_is_one_line_that_says_all),
        cmocka_unit_test(what_is_no_hook_is_refused),
        IN_PLACE(it_runs_where_and_with_what_it_was_given_and_nothing_else),
        cmocka_unit_test(a_failure_tells_status_and_last_words),
        IN_PLACE(it_is_tried_again_as_often_as_it_says),
        cmocka_unit_test(at_its_deadline_it_ends_with_all_it_started),
        cmocka_unit_test(what_it_left_in_the_background_is_ended),
        IN_PLACE(what_a_killed_cleaner_left_running_is_ended_first),
        cmocka_unit_test(the_end_of_its_output_is_kept),
        IN_PLACE(a_thing_runs_its_hook_once),
        IN_PLACE(one_that_could_not_be_registered_never_runs),
        IN_PLACE(one_that_failed_is_run_again_by_the_next_cleaner),
        IN_PLACE(a_dropped_guard_runs_it),
        cmocka_unit_test(it_runs_as_who_registered_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
