/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/probe. What the machine allows is asked of the kernel by other means. */
#include "probe/probe.h"
#include "support.h"

#include <grp.h>
#include <sched.h>

#define NOBODY 65534

static const pnx_capability *find(const pnx_capability *all, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(all[i].name, name) == 0)
            return &all[i];
    return NULL;
}

static pnx_capability all[PNX_CAPABILITIES_MAX];

static void drop_privileges(void)
{
    if (is_root() && (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
                      setresuid(NOBODY, NOBODY, NOBODY) != 0))
        _exit(99);
}

static void every_answer_has_its_reason(void **state)
{
    size_t count = pnx_capabilities_probe(NULL, NULL, all);
    assert_in_range(count, 20, PNX_CAPABILITIES_MAX - 4);
    for (size_t i = 0; i < count; i++) {
        if (!all[i].group || !all[i].name || !all[i].gives || !all[i].detail[0])
            fail_msg("%s says nothing", all[i].name);
        assert_ptr_equal(find(all, count, all[i].name), &all[i]); /* names are unique */
    }
}

static size_t entries_named(const char *dir, const char *prefix)
{
    char command[256];
    snprintf(command, sizeof command, "find %s -maxdepth 6 -name '%s*' 2>/dev/null | wc -l", dir,
             prefix);
    FILE *pipe = popen(command, "re"); /* NOLINT(cert-env33-c): a command of the test's own */
    char count[24] = "";
    assert_non_null(pipe);
    assert_non_null(fgets(count, sizeof count, pipe));
    (void)pclose(pipe);
    return strtoul(count, NULL, 10);
}

static void nothing_that_was_tried_stays(void **state)
{
    char label[64];
    size_t descriptors = 0, after = 0;
    for (int fd = 0; fd < 1024; fd++)
        descriptors += fcntl(fd, F_GETFD) >= 0;
    (void)pnx_capabilities_probe(NULL, NULL, all);
    for (int fd = 0; fd < 1024; fd++)
        after += fcntl(fd, F_GETFD) >= 0;
    assert_int_equal(after, descriptors);
    snprintf(label, sizeof label, "cleanroom-doctor-%d", (int)getpid());
    assert_int_equal(entries_named("/sys/fs/cgroup", label), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static int namespaces_as_nobody(void)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        drop_privileges();
        _exit(unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0);
    }
    return status_of_child(pid);
}

static void it_says_of_user_namespaces_what_the_kernel_does(void **state)
{
    size_t count = pnx_capabilities_probe(NULL, NULL, all);
    const pnx_capability *userns = find(all, count, "userns");
    assert_non_null(userns);
    assert_int_equal(userns->ok, namespaces_as_nobody() == 0);
}

static void what_it_says_can_be_isolated_can(void **state)
{
    static const struct {
        const char *name;
        unsigned isolate;
    } forms[] = {{"isolate-ipc", PNX_ISOLATE_IPC},
                 {"isolate-pid", PNX_ISOLATE_PID},
                 {"isolate-mount", PNX_ISOLATE_MOUNT},
                 {"isolate-net", PNX_ISOLATE_NET}};
    size_t count = pnx_capabilities_probe(NULL, NULL, all);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const char *argv[] = {"true", NULL};
        pnx_process process;
        pnx_command command = {.argv = argv, .isolate = forms[i].isolate};
        bool can = pnx_process_spawn(&command, &process, NULL) == PNX_OK;
        if (can) {
            (void)pnx_process_wait(&process, in_seconds(20), NULL);
            pnx_process_close(&process);
        }
        assert_int_equal(find(all, count, forms[i].name)->ok, can);
    }
}

static void a_cgroup_is_there_if_one_can_be_made(void **state)
{
    pnx_cgroup *cgroup;
    char name[64];
    snprintf(name, sizeof name, "cleanroom-capability-%d", (int)getpid());
    size_t count = pnx_capabilities_probe(NULL, NULL, all);
    bool can = pnx_cgroup_create(name, &cgroup, NULL) == PNX_OK;
    if (can) {
        assert_int_equal(pnx_cgroup_remove(cgroup, NULL, NULL), PNX_OK);
        pnx_cgroup_free(cgroup);
    }
    assert_int_equal(find(all, count, "cgroup-v2")->ok, can);
}

static void places_are_judged(void **state)
{
    size_t count = pnx_capabilities_probe("/proc/no/such/place", "/proc", all);
    assert_false(find(all, count, "state-dir")->ok || find(all, count, "tmp-dir")->ok);
    assert_non_null(strstr(find(all, count, "tmp-dir")->change, "TMPDIR"));
    count = pnx_capabilities_probe(in(*state, "a/b"), *state, all);
    assert_true(find(all, count, "state-dir")->ok && find(all, count, "tmp-dir")->ok);
    assert_non_null(strstr(find(all, count, "state-dir")->detail, "will be made"));
    assert_null(strstr(find(all, count, "tmp-dir")->detail, "will be made"));
}

/* ---- tiers ----------------------------------------------------------------------------------- */

static void no_more_is_chosen_than_was_asked_for(void **state)
{
    pnx_tier_choice choice;
    pnx_error err = {0};
    for (int tier = 0; tier <= 3; tier++) {
        assert_ok(pnx_tier_choose(tier, 0, 0, &choice, &err), &err);
        assert_in_range(choice.tier, 0, tier);
        if (choice.tier < 3)
            assert_true(choice.reason[0] != '\0');
        else
            assert_string_equal(choice.reason, "");
    }
    assert_ok(pnx_tier_choose(0, 0, PNX_ISOLATE_ALL, &choice, &err), &err);
    assert_int_equal(choice.tier, 0);
}

static void a_tier_that_is_required_is_had_or_nothing(void **state)
{
    pnx_tier_choice choice = {.tier = 77};
    pnx_error err = {0};
    assert_int_equal(pnx_tier_choose(1, 3, 0, &choice, &err), PNX_ELIMIT);
    assert_int_equal(choice.tier, 77);
    assert_non_null(strstr(err.message, "tier T3 is required, but only T"));
    assert_int_equal(pnx_tier_choose(4, 0, 0, &choice, &err), PNX_EINVAL);
    assert_int_equal(pnx_tier_choose(-2, 0, 0, &choice, &err), PNX_EINVAL);
    assert_int_equal(pnx_tier_choose(PNX_TIER_AUTO, 4, 0, &choice, &err), PNX_EINVAL);
    assert_ok(pnx_tier_choose(PNX_TIER_AUTO, 0, 0, &choice, &err), &err);
    unsigned best = choice.tier;
    assert_ok(pnx_tier_choose(PNX_TIER_AUTO, best, 0, &choice, &err), &err);
    if (best < 3)
        assert_int_equal(pnx_tier_choose(PNX_TIER_AUTO, 3, 0, &choice, &err), PNX_ELIMIT);
}

static void tiers_follow_from_what_is_allowed(void **state)
{
    size_t count = pnx_capabilities_probe(NULL, NULL, all);
    bool cgroup = find(all, count, "cgroup-v2")->ok;
    bool watching = find(all, count, "process-events")->ok && find(all, count, "fanotify")->ok;
    pnx_tier_choice choice;
    assert_int_equal(pnx_tier_choose(PNX_TIER_AUTO, 0, 0, &choice, NULL), PNX_OK);
    assert_int_equal(choice.tier, is_root() && cgroup && watching ? 3 : cgroup ? 1 : 0);
    assert_int_equal(pnx_tier_choose(1, 0, 0, &choice, NULL), PNX_OK);
    assert_int_equal(choice.tier, cgroup ? 1 : 0);
    assert_int_equal(pnx_tier_choose(2, 0, 0, &choice, NULL), PNX_OK);
    assert_int_equal(choice.tier, find(all, count, "isolate-pid")->ok ? 2 : cgroup ? 1 : 0);
}

static int choose_as_nobody(void)
{
    pnx_tier_choice choice;
    if (pnx_tier_choose(PNX_TIER_AUTO, 0, 0, &choice, NULL) != PNX_OK || choice.tier > 1 ||
        !strstr(choice.reason, "T3 needs root"))
        return 2;
    if (pnx_tier_choose(PNX_TIER_AUTO, 0, PNX_ISOLATE_PID, &choice, NULL) != PNX_OK ||
        choice.tier != 2)
        return 3;
    return 0;
}

static void without_privileges_a_pid_namespace_makes_tier_2(void **state)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        drop_privileges();
        _exit(choose_as_nobody());
    }
    assert_int_equal(status_of_child(pid), 0);
}

/* In a pid namespace the kernel answers nobody, but what it answers others is heard there, too. */
static void what_a_neighbour_is_answered_is_not_ours(void **state)
{
    if (!is_root() || !pnx__can_watch_processes())
        skip();
    pid_t neighbour = fork();
    if (neighbour == 0)
        for (;;) /* until it is killed */
            (void)pnx__can_watch_processes();
    pid_t outer = fork();
    if (outer == 0) {
        if (unshare(CLONE_NEWPID) != 0)
            _exit(77);
        pid_t inner = fork();
        for (int i = 0; inner == 0 && i < 3; i++)
            if (pnx__can_watch_processes())
                _exit(1);
        _exit(inner == 0 ? 0 : status_of_child(inner));
    }
    int status = status_of_child(outer);
    kill(neighbour, SIGKILL);
    (void)waitpid(neighbour, NULL, 0);
    if (status == 77)
        skip();
    assert_int_equal(status, 0);
}

static void tiers_have_names(void **state)
{
    for (unsigned tier = 0; tier <= 3; tier++) {
        char begin[8];
        snprintf(begin, sizeof begin, "T%u (", tier);
        assert_int_equal(strncmp(pnx_tier_name(tier), begin, 4), 0);
    }
    assert_string_equal(pnx_tier_name(4), "no such tier");
}

int main(void)
{
    use_plain_path();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_answer_has_its_reason),
        cmocka_unit_test(nothing_that_was_tried_stays),
        cmocka_unit_test(it_says_of_user_namespaces_what_the_kernel_does),
        cmocka_unit_test(what_it_says_can_be_isolated_can),
        cmocka_unit_test(a_cgroup_is_there_if_one_can_be_made),
        cmocka_unit_test_setup_teardown(places_are_judged, make_place, drop_place),
        cmocka_unit_test(no_more_is_chosen_than_was_asked_for),
        cmocka_unit_test(a_tier_that_is_required_is_had_or_nothing),
        cmocka_unit_test(tiers_follow_from_what_is_allowed),
        cmocka_unit_test(without_privileges_a_pid_namespace_makes_tier_2),
        cmocka_unit_test(what_a_neighbour_is_answered_is_not_ours),
        cmocka_unit_test(tiers_have_names),
    };
    return cmocka_run_group_tests_name("capability", tests, NULL, NULL);
}
