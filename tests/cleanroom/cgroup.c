/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/kind/cgroup.c and cgroup_place.c. Skipped where no cgroup can be made. */
#include "support.h"

#include "kind/cgroup_place.h"

#include <dirent.h>
#include <sched.h>

static char name[64];

static int make_cgroup(void **state)
{
    pnx_error err = {0};
    pnx_cgroup *cgroup = NULL;
    static unsigned count;
    snprintf(name, sizeof name, "cleanroom-test-%d-%u", (int)getpid(), count++);
    if (pnx_cgroup_create(name, &cgroup, &err) != PNX_OK)
        print_message("# no cgroup: %s\n", err.message);
    *state = cgroup;
    return 0;
}

static int drop_cgroup(void **state)
{
    if (!*state)
        return 0;
    char path[4096];
    snprintf(path, sizeof path, "%s", pnx_cgroup_path(*state));
    (void)pnx_cgroup_kill(*state);
    (void)pnx_cgroup_wait_empty(*state, in_seconds(20));
    (void)pnx_cgroup_remove(*state, NULL, NULL);
    pnx_cgroup_free(*state);
    return exists(path);
}

static pnx_process spawn_in(pnx_cgroup *cgroup, const char *script)
{
    pnx_process process;
    pnx_error err = {0};
    const char *argv[] = {"sh", "-c", script, NULL};
    assert_ok(pnx_process_spawn(&(pnx_command){.argv = argv, .cgroup = cgroup}, &process, &err),
              &err);
    return process;
}

static void reap(pnx_process *process)
{
    assert_int_equal(pnx_process_wait(process, in_seconds(20), NULL), PNX_OK);
    pnx_process_close(process);
}

static void count_pid(pid_t pid, void *context)
{
    assert_true(pid > 0);
    ++*(unsigned *)context;
}

static unsigned count_pids(pnx_cgroup *cgroup)
{
    unsigned count = 0;
    pnx_cgroup_each(cgroup, count_pid, &count);
    return count;
}

static void what_starts_in_it_is_in_it(void **state)
{
    if (!*state)
        skip();
    pnx_cgroup *cgroup = *state;
    assert_false(pnx_cgroup_populated(cgroup));
    assert_int_equal(count_pids(cgroup), 0);
    pnx_process inside = spawn_in(cgroup, "exec sleep 1000"),
                outside = spawn_in(NULL, "exec sleep 1000");
    assert_true(pnx_cgroup_has(cgroup, inside.pid));
    assert_false(pnx_cgroup_has(cgroup, outside.pid));
    assert_false(pnx_cgroup_has(cgroup, getpid()));
    assert_true(pnx_cgroup_populated(cgroup));
    assert_int_equal(count_pids(cgroup), 1);
    assert_int_equal(pnx_cgroup_wait_empty(cgroup, pnx_monotonic_now()), PNX_ETIMEOUT);

    assert_int_equal(pnx_cgroup_kill(cgroup), PNX_OK);
    assert_int_equal(pnx_cgroup_wait_empty(cgroup, in_seconds(20)), PNX_OK);
    assert_true(pnx_cgroup_has(cgroup, inside.pid)); /* the zombie still says where it lived */
    reap(&inside);
    assert_false(pnx_cgroup_has(cgroup, inside.pid));
    assert_true(pnx_process_runs(&outside)); /* the neighbour */
    (void)pnx_process_end(&outside, 0, NULL, NULL);
    pnx_process_close(&outside);
}

static void a_name_that_begins_like_ours_is_not_ours(void **state)
{
    if (!*state)
        skip();
    char longer[80];
    pnx_cgroup *other;
    pnx_error err = {0};
    snprintf(longer, sizeof longer, "%s0", name);
    assert_ok(pnx_cgroup_create(longer, &other, &err), &err);
    pnx_process process = spawn_in(other, "exec sleep 1000");
    assert_false(pnx_cgroup_has(*state, process.pid));
    assert_true(pnx_cgroup_has(other, process.pid));
    (void)pnx_process_end(&process, 0, NULL, NULL);
    pnx_process_close(&process);
    assert_ok(pnx_cgroup_remove(other, NULL, &err), &err);
    pnx_cgroup_free(other);
}

/* Twenty that fork and exit without an end: no list of pids is true for long. */
static void forks_cannot_outrun_the_kill(void **state)
{
    if (!*state)
        skip();
    pnx_process storm =
        spawn_in(*state, "f() { f & }; for i in $(seq 20); do f & done; exec sleep 1000");
    while (count_pids(*state) < 20)
        continue;
    assert_int_equal(pnx_cgroup_kill(*state), PNX_OK);
    assert_int_equal(pnx_cgroup_wait_empty(*state, in_seconds(20)), PNX_OK);
    assert_int_equal(count_pids(*state), 0);
    reap(&storm);
}

static void make_nested(const pnx_cgroup *cgroup, unsigned depth)
{
    int at = openat(pnx_cgroup_fd(cgroup), ".", O_RDONLY | O_DIRECTORY);
    for (unsigned i = 0; i < depth; i++) {
        assert_int_equal(mkdirat(at, "below", 0755), 0);
        assert_int_equal(mkdirat(at, "beside", 0755), 0);
        int next = openat(at, "below", O_RDONLY | O_DIRECTORY);
        assert_true(next >= 0);
        close(at);
        at = next;
    }
    close(at);
}

static void cgroups_beneath_it_are_removed_first(void **state)
{
    if (!*state)
        skip();
    make_nested(*state, 100);
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    assert_ok(pnx_cgroup_remove(*state, &outcome, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_REMOVED);
    assert_true(outcome.verified);
    assert_false(exists(pnx_cgroup_path(*state)));
    assert_ok(pnx_cgroup_remove(*state, &outcome, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_ALREADY_GONE);
}

static void processes_beneath_it_count(void **state)
{
    if (!*state)
        skip();
    pnx_cgroup *cgroup = *state;
    make_nested(cgroup, 2);
    char script[4400];
    snprintf(script, sizeof script,
             "echo $$ >%s/below/below/cgroup.procs; echo moved; exec sleep 1000",
             pnx_cgroup_path(cgroup));
    int ends[2], saved = dup(1);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fflush(stdout);
    dup2(ends[1], 1);
    pnx_process process = spawn_in(cgroup, script);
    dup2(saved, 1);
    close(saved);
    close(ends[1]);
    char byte;
    assert_int_equal(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    assert_int_equal(count_pids(cgroup), 1);
    assert_true(pnx_cgroup_has(cgroup, process.pid));

    pnx_error err = {0};
    pnx_outcome outcome = {0};
    assert_int_equal(pnx_cgroup_remove(cgroup, &outcome, &err), PNX_EBUSY);
    assert_int_equal(outcome.fate, PNX_FATE_STUCK);
    assert_non_null(strstr(outcome.reason, pnx_cgroup_path(cgroup)));
    assert_true(pnx_process_runs(&process)); /* removing kills nothing */

    assert_int_equal(pnx_cgroup_kill(cgroup), PNX_OK);
    assert_int_equal(pnx_cgroup_wait_empty(cgroup, in_seconds(20)), PNX_OK);
    reap(&process);
    assert_ok(pnx_cgroup_remove(cgroup, &outcome, &err), &err);
}

static void what_took_its_name_is_not_removed(void **state)
{
    if (!*state)
        skip();
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    pnx_cgroup *cgroup = *state;
    assert_int_equal(rmdir(pnx_cgroup_path(cgroup)), 0);
    assert_int_equal(mkdir(pnx_cgroup_path(cgroup), 0755), 0);
    assert_ok(pnx_cgroup_remove(cgroup, &outcome, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_ALREADY_GONE);
    assert_true(exists(pnx_cgroup_path(cgroup)));
    assert_int_equal(rmdir(pnx_cgroup_path(cgroup)), 0);
}

static void a_guard_ends_all_of_it(void **state)
{
    if (!*state)
        skip();
    pnx_registry *registry;
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    assert_ok(pnx_registry_create(&(pnx_config){.workers = 1}, &registry, &err), &err);
    pnx_process process = spawn_in(*state, "trap '' TERM; exec sleep 1000");
    char path[4096];
    snprintf(path, sizeof path, "%s", pnx_cgroup_path(*state));
    pnx_cgroup_watch_by(*state, &outcome);
    {
        pnx_auto(cgroup) guard = pnx_reserve(cgroup, registry, &err);
        assert_true(pnx_arm(&guard, (pnx_cgroup *)*state));
        *state = NULL; /* the release frees it */
    }
    assert_int_equal(pnx_registry_wait_idle(registry, in_seconds(20)), PNX_OK);
    assert_false(exists(path));
    assert_int_equal(outcome.fate, PNX_FATE_REMOVED);
    reap(&process);
    assert_ok(pnx_registry_shutdown(registry, NULL, NULL, &err), &err);
    assert_ok(pnx_registry_destroy(registry, &err), &err);
}

static void bad_names_are_refused(void **state)
{
    pnx_cgroup *cgroup;
    const char *const names[] = {"", ".", "..", "a/b", ".hidden"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(pnx_cgroup_create(names[i], &cgroup, NULL), PNX_EINVAL);
    pnx_cgroup_free(NULL);
}

/* Groups of others may be in it, and come and go. */
static bool is_left_empty(const char *parent)
{
    DIR *dir = opendir(parent);
    bool groups = false;
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        groups = groups || (entry->d_type == DT_DIR && entry->d_name[0] != '.');
    if (dir)
        closedir(dir);
    return dir && !groups;
}

static void one_of_that_name_is_not_taken_over(void **state)
{
    if (!*state || !is_root())
        skip();
    pnx_cgroup *second = NULL;
    pnx_error err = {0};
    /* As root it goes elsewhere, and takes the parent that it made away again. */
    assert_ok(pnx_cgroup_create(name, &second, &err), &err);
    assert_string_not_equal(pnx_cgroup_path(second), pnx_cgroup_path(*state));
    pnx_process process = spawn_in(second, "exec sleep 1000");
    assert_true(pnx_cgroup_has(second, process.pid));
    assert_false(pnx_cgroup_has(*state, process.pid));
    (void)pnx_process_end(&process, 0, NULL, NULL);
    pnx_process_close(&process);
    assert_ok(pnx_cgroup_remove(second, NULL, &err), &err);
    struct pnx__cgroup_place place;
    assert_ok(pnx__cgroup_find_place(&place, &err), &err);
    for (pnx_time end = in_seconds(20); is_left_empty(in(place.mount, "cleanroom"));) {
        assert_true(pnx_monotonic_now() < end);
        sched_yield();
    }
    pnx_cgroup_free(second);
}

#define grouped(test) cmocka_unit_test_setup_teardown(test, make_cgroup, drop_cgroup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        grouped(what_starts_in_it_is_in_it),     grouped(a_name_that_begins_like_ours_is_not_ours),
        grouped(forks_cannot_outrun_the_kill),   grouped(cgroups_beneath_it_are_removed_first),
        grouped(processes_beneath_it_count),     grouped(what_took_its_name_is_not_removed),
        grouped(a_guard_ends_all_of_it),         grouped(one_of_that_name_is_not_taken_over),
        cmocka_unit_test(bad_names_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
