/* SPDX-License-Identifier: MIT */
/* SIGKILL at every step of a run; the neighbours are unharmed. */
#include "crash.h"

#define STRIDE 41u

/* A daemon, one without a cookie, a file, a shared memory object. At tier 0 nothing leads from a
 * dead supervisor to the one without a cookie. */
static void supervise(void *context)
{
    char script[512];
    snprintf(script, sizeof script,
             "touch $TMPDIR/file; setsid sleep %s & (%s setsid sleep %s &) & "
             "%s wait $!",
             run_of.token, run_of.tier ? "env" : "env -i", run_of.token,
             is_root() ? "echo x >/dev/shm/$(basename $TMPDIR)-$0; " : "");
    become_supervisor();
    if (run_of.tier)
        execl(tool(), "cleanroom", "run", "--grace=0", "--tier", run_of.tier, "--", "sh", "-c",
              script, run_of.token, NULL);
    else
        execl(tool(), "cleanroom", "run", "--grace=0", "--", "sh", "-c", script, run_of.token,
              NULL);
    _exit(99);
}

static void the_supervisor_is_killed_at_any_step(void **state)
{
    crash(SUPERVISOR);
}

static void the_reaper_is_killed_at_any_step(void **state)
{
    crash(REAPER);
}

static void both_are_killed_at_any_step(void **state)
{
    crash(BOTH);
}

static void both_are_killed_at_any_step_at_tier_0(void **state)
{
    run_of.tier = "0";
    crash(BOTH);
    run_of.tier = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_supervisor_is_killed_at_any_step),
        cmocka_unit_test(the_reaper_is_killed_at_any_step),
        cmocka_unit_test(both_are_killed_at_any_step),
        cmocka_unit_test(both_are_killed_at_any_step_at_tier_0),
    };
    if (!begin_crashing(supervise, STRIDE))
        return 1;
    return end_crashing(cmocka_run_group_tests(tests, NULL, NULL));
}
