/* SPDX-License-Identifier: MIT */
/*
 * Promise: an idle registry costs nothing. None of its threads wakes up, however many timers there
 * are, as long as none is due. Seen by the kernel's own count of context switches; the one test
 * that has to let time pass.
 */
#include "support.h"

#include <ctype.h>

#define OBSERVED_MS 300
#define TIMERS 1000000
/* What work leaves behind: a monitor that dozes a moment, and one alarm, the stall limit after the
 * last release began, to find that it has ended. */
#define SETTLED PNX_MS(50)

static pnx_status release(int value, const pnx_release *why)
{
    (void)value;
    (void)why;
    return PNX_OK;
}
PNX_KIND(thing, int, release);

static void ignore_event(const pnx_event *event, void *context)
{
    (void)event;
    (void)context;
}

/* Of one thread: how often it was switched to since it began, if it is one of ours. */
static unsigned long switches_of(const char *thread, bool *ret_asleep)
{
    char path[300], line[200];
    bool ours = false;
    unsigned long sum = 0;
    snprintf(path, sizeof path, "/proc/self/task/%s/status", thread);
    FILE *status = fopen(path, "re");
    if (status == NULL)
        return 0;
    while (fgets(line, sizeof line, status) != NULL) {
        ours = ours || strstr(line, "Name:\tpnx-") != NULL;
        if (ours && strncmp(line, "State:", 6) == 0 && strchr(line, 'S') != NULL &&
            strstr(line, "S (sleeping)") == NULL)
            *ret_asleep = false;
        const char *count = strchr(line, ':');
        if (count != NULL && strstr(line, "voluntary_ctxt_switches") != NULL)
            sum += strtoul(count + 1, NULL, 10); /* and the involuntary ones */
    }
    fclose(status);
    return ours ? sum : 0;
}

static unsigned long switches_now(bool *ret_asleep)
{
    unsigned long sum = 0;
    *ret_asleep = true;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (struct dirent *task; (task = readdir(tasks)) != NULL;)
        if (isdigit((unsigned char)task->d_name[0]))
            sum += switches_of(task->d_name, ret_asleep);
    closedir(tasks);
    return sum;
}

/* All asleep, and since when nothing has moved. */
static bool settled(unsigned long *last, pnx_time *since)
{
    bool asleep;
    const unsigned long now = switches_now(&asleep);
    if (!asleep || now != *last)
        *since = pnx_monotonic_now();
    *last = now;
    return pnx_monotonic_now() - *since > SETTLED;
}

static void expect_idle(void)
{
    unsigned long before = 0;
    pnx_time since = pnx_monotonic_now();
    assert_true(wait_for(settled(&before, &since)));
    poll(NULL, 0, OBSERVED_MS);
    bool asleep;
    const unsigned long after = switches_now(&asleep);
    if (after != before)
        fail_msg("an idle registry was woken %lu times in %d ms", after - before, OBSERVED_MS);
}

static pnx_registry *make(void)
{
    pnx_registry *registry = NULL;
    assert_int_equal(pnx_registry_create(&(pnx_config){.workers = 4, .at_exit = PNX_EXIT_NOTHING},
                                         &registry, NULL),
                     PNX_OK);
    return registry;
}

static void drop_some(pnx_registry *registry)
{
    for (int i = 0; i < 10000; i++) {
        pnx_auto(thing) guard = pnx_reserve(thing, registry, NULL);
        assert_true(pnx_arm(&guard, i));
    }
    assert_int_equal(pnx_registry_wait_idle(registry, soon()), PNX_OK);
}

static void end(pnx_registry *registry)
{
    assert_int_equal(pnx_registry_shutdown(registry, NULL, NULL, NULL), PNX_OK);
    assert_int_equal(pnx_registry_destroy(registry, NULL), PNX_OK);
}

static void a_new_one_sleeps(void **state)
{
    (void)state;
    pnx_registry *registry = make();
    expect_idle();
    end(registry);
}

static void one_that_has_worked_sleeps(void **state)
{
    (void)state;
    pnx_registry *registry = make();
    pnx_monitor *monitor = NULL;
    assert_int_equal(pnx_monitor_attach(registry, ignore_event, NULL, &monitor, NULL), PNX_OK);
    drop_some(registry);
    expect_idle();
    pnx_monitor_detach(monitor);
    end(registry);
}

static void one_with_many_timers_sleeps(void **state)
{
    (void)state;
    pnx_registry *registry = make();
    const unsigned long timers = effort(TIMERS) < TIMERS ? effort(TIMERS) : TIMERS;
    for (unsigned long i = 0; i < timers; i++) {
        const int value = 1;
        pnx_id id;
        assert_int_equal(pnx_register(registry, thing_kind, &value, PNX_HERE, &id, NULL), PNX_OK);
        /* From a minute on: none is due in the time of this test. */
        assert_int_equal(pnx_expire_after(registry, id, PNX_S(60) + PNX_US(100) * (int64_t)i),
                         PNX_OK);
    }
    drop_some(registry);
    expect_idle();
    end(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_one_sleeps),
        cmocka_unit_test(one_that_has_worked_sleeps),
        cmocka_unit_test(one_with_many_timers_sleeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
