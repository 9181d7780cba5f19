/* SPDX-License-Identifier: MIT */
/* Many jobs, so many at a time: functions, and commands in a real container. */
#include "support.h"

#include <cleanroom/executor.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

static pnx_registry *registry;

static int set_up(void **state)
{
    pnx_error err = {0};
    return pnx_registry_create(NULL, &registry, &err) == PNX_OK ? open_engine(state) : -1;
}

static int tear_down(void **state)
{
    pnx_error err = {0};
    pnx_report report = {0};
    pnx_status status = pnx_registry_shutdown(registry, NULL, &report, &err);
    if (status != PNX_OK)
        (void)!pnx_report_write_text(&report, stderr, NULL);
    pnx_report_done(&report);
    if (status != PNX_OK || pnx_registry_destroy(registry, &err) != PNX_OK) {
        print_error("%s\n", err.message);
        return -1;
    }
    return close_engine(state);
}

/* ---- functions ------------------------------------------------------------------------------- */

struct crowd {
    pthread_mutex_t mutex;
    pthread_cond_t met;
    unsigned inside, most, ran, wanted;
};

/* Waits until as many are inside as may be, so that one that is too many would be seen. */
static pnx_status meet(void *argument, const pnx_call *call, pnx_error *err)
{
    struct crowd *crowd = argument;
    (void)call;
    (void)err;
    pthread_mutex_lock(&crowd->mutex);
    crowd->inside++;
    crowd->ran++;
    crowd->most = crowd->inside > crowd->most ? crowd->inside : crowd->most;
    pthread_cond_broadcast(&crowd->met);
    while (crowd->most < crowd->wanted)
        pthread_cond_wait(&crowd->met, &crowd->mutex);
    pthread_mutex_unlock(&crowd->mutex);
    sched_yield();
    pthread_mutex_lock(&crowd->mutex);
    crowd->inside--;
    pthread_mutex_unlock(&crowd->mutex);
    return PNX_OK;
}

static void no_more_run_at_a_time_than_may(void **state)
{
    (void)state;
    pnx_error err = {0};
    struct crowd crowd = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, .wanted = 3};
    pnx_job jobs[40];
    pnx_job_result results[40];
    for (size_t i = 0; i < COUNT(jobs); i++)
        jobs[i] = (pnx_job){.name = "meet", .run = meet, .argument = &crowd};
    assert_ok(pnx_execute(registry, NULL, jobs, COUNT(jobs), &(pnx_executor_config){.parallel = 3},
                          NULL, results, &err),
              &err);
    assert_int_equal(crowd.most, 3);
    assert_int_equal(crowd.ran, 40);
    for (size_t i = 0; i < COUNT(jobs); i++)
        assert_true(results[i].began && results[i].ended && results[i].status == PNX_OK);
}

static pnx_status fails(void *argument, const pnx_call *call, pnx_error *err)
{
    (void)argument;
    (void)call;
    return pnx_fail(err, PNX_ENOTFOUND, "no such table");
}

static pnx_status wait_for_end(void *argument, const pnx_call *call, pnx_error *err)
{
    _Atomic bool *waits = argument;
    if (waits)
        *waits = true;
    while (!pnx_call_over(call))
        (void)usleep(1000);
    return pnx_fail(err, PNX_ECANCELED, "told to end");
}

static void the_first_failure_cancels_the_rest(void **state)
{
    (void)state;
    pnx_error err = {0};
    pnx_job_result results[3];
    const pnx_job jobs[] = {{.name = "waits", .run = wait_for_end},
                            {.name = "fails", .run = fails},
                            {.name = "never", .run = fails}};
    assert_status(PNX_ECANCELED,
                  pnx_execute(registry, NULL, jobs, 3,
                              &(pnx_executor_config){.parallel = 2, .stop_at_failure = true}, NULL,
                              results, &err),
                  &err);
    assert_says(&err, "waits: told to end");
    assert_int_equal(results[1].status, PNX_ENOTFOUND);
    assert_string_equal(results[1].error.message, "no such table");
    assert_true(results[0].began && results[0].ended);
    assert_false(results[2].began);
    assert_int_equal(results[2].status, PNX_ECANCELED);
    assert_true(results[2].ended);
}

struct canceling {
    _Atomic bool waits;
    pnx_cancel *cancel;
};

static void *cancel_soon(void *context)
{
    struct canceling *canceling = context;
    while (!canceling->waits)
        (void)usleep(1000);
    pnx_cancel_now(canceling->cancel);
    return NULL;
}

static void deadlines_of_one_and_of_all_are_kept(void **state)
{
    (void)state;
    pnx_error err = {0};
    pnx_job_result results[2];
    const pnx_job jobs[] = {{.name = "late", .run = wait_for_end, .within = PNX_MS(30)},
                            {.name = "all", .run = wait_for_end}};
    const pnx_call call = pnx_call_within(PNX_MS(200));
    assert_status(PNX_ETIMEOUT, pnx_execute(registry, NULL, jobs, 2, NULL, &call, results, &err),
                  &err);
    assert_int_equal(results[0].status, PNX_ETIMEOUT);
    assert_int_equal(results[1].status, PNX_ETIMEOUT);
    assert_true(results[0].took < results[1].took);
    assert_true(results[0].ended && results[1].ended);

    pthread_t thread;
    struct canceling canceling = {.waits = false};
    const pnx_job forever = {.run = wait_for_end, .argument = &canceling.waits};
    assert_ok(pnx_cancel_create(&canceling.cancel, &err), &err);
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &canceling), 0);
    assert_status(PNX_ECANCELED,
                  pnx_execute(registry, NULL, &forever, 1, NULL,
                              &(pnx_call){.cancel = canceling.cancel}, results, &err),
                  &err);
    pthread_join(thread, NULL);
    pnx_cancel_free(canceling.cancel);
    assert_int_equal(results[0].status, PNX_ECANCELED);
}

static _Atomic bool may_come_back;

static pnx_status hang(void *argument, const pnx_call *call, pnx_error *err)
{
    (void)argument;
    (void)call;
    (void)err;
    while (!may_come_back)
        (void)usleep(1000);
    return PNX_OK;
}

/* The registry joins it at its shutdown, which would fail otherwise. */
static void what_does_not_come_back_is_told_and_its_place_given_away(void **state)
{
    (void)state;
    pnx_error err = {0};
    pnx_job_result results[2];
    may_come_back = false;
    const pnx_job jobs[] = {{.name = "hangs", .run = hang, .within = PNX_MS(20)},
                            {.name = "after it", .run = fails}};
    assert_status(PNX_EABANDONED,
                  pnx_execute(registry, NULL, jobs, 2,
                              &(pnx_executor_config){.parallel = 1, .grace = PNX_MS(50)}, NULL,
                              results, &err),
                  &err);
    assert_says(&err, "hangs: it was given up, and did not come back");
    assert_false(results[0].ended);
    assert_int_equal(results[1].status, PNX_ENOTFOUND);
    may_come_back = true;
    assert_ok(pnx_registry_wait_idle(registry, pnx_time_after(pnx_monotonic_now(), PNX_S(60))),
              &err);
}

static void what_is_no_job_is_refused(void **state)
{
    (void)state;
    pnx_error err = {0};
    pnx_job_result result;
    const pnx_job wrong[] = {
        {.name = "none"},
        {.name = "both", .run = fails, .container = "x"},
        {.name = "no engine", .container = "x", .exec = {.argv = TEXTS("true")}},
    };
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_status(PNX_EINVAL,
                      pnx_execute(registry, NULL, &wrong[i], 1, NULL, NULL, &result, &err), &err);
    assert_status(PNX_EINVAL,
                  pnx_execute(registry, NULL, wrong, 1, &(pnx_executor_config){.parallel = 65},
                              NULL, &result, &err),
                  &err);
}

/* ---- commands -------------------------------------------------------------------------------- */

static void commands_answer_and_are_seen_to_end(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    struct taken said = {.calls = 0}, left = {.calls = 0};
    pnx_job_result results[4];
    pnx_object *box = run_container(engine, FOREVER);
    const char *id = pnx_object_id(box);
    const pnx_job jobs[] = {
        {.name = "answers",
         .container = id,
         .exec = {.argv = SH("cat; echo of its own >&2; exit 3"),
                  .input = "a line\n",
                  .input_size = 7,
                  .sink = take,
                  .context = &said}},
        /* It ignores what asks it to end, and has a child. */
        {.name = "hangs",
         .container = id,
         .exec = {.argv = SH("trap '' TERM HUP; sleep 4711 & sleep 4712")},
         .within = PNX_S(1)},
        {.name = "is no command", .container = id, .exec = {.argv = TEXTS("no-such-command")}},
        {.name = "is good", .container = id, .exec = {.argv = TEXTS("true")}},
    };
    assert_status(PNX_EFAILED, pnx_execute(registry, engine, jobs, 4, NULL, NULL, results, &err),
                  &err);
    assert_says(&err, "answers: the command exited with status 3");
    assert_int_equal(results[0].exit_code, 3);
    assert_string_equal(said.out, "a line\n");
    assert_string_equal(said.err, "of its own\n");
    assert_int_equal(results[1].status, PNX_ETIMEOUT);
    assert_true(results[1].began && results[1].ended);
    assert_int_equal(results[1].exit_code, -1);
    assert_int_equal(results[2].exit_code, 127);
    assert_int_equal(results[3].status, PNX_OK);
    int code = -1;
    assert_ok(pnx_engine_exec(
                  engine, id,
                  &(pnx_exec){.argv = SH("ps | grep '[4]71[12]'"), .sink = take, .context = &left},
                  NULL, &code, &err),
              &err);
    assert_string_equal(left.out, "");
    assert_int_equal(code, 1);
    remove_object(box);
}

static void a_command_whose_container_goes_has_ended(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_job_result results[2];
    pnx_object *box = run_container(engine, FOREVER);
    const char *id = pnx_object_id(box);
    const pnx_job jobs[] = {
        {.name = "stays", .container = id, .exec = {.argv = TEXTS("sleep", "1000")}},
        {.name = "kills", .container = id, .exec = {.argv = SH("sleep 0.2; kill -9 -1; kill 1")}},
    };
    const pnx_call call = pnx_call_within(PNX_S(40));
    (void)!pnx_execute(registry, engine, jobs, 2, NULL, &call, results, &err);
    assert_true(results[0].status != PNX_OK);
    assert_true(results[0].ended);
    remove_object(box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_more_run_at_a_time_than_may),
        cmocka_unit_test(the_first_failure_cancels_the_rest),
        cmocka_unit_test(deadlines_of_one_and_of_all_are_kept),
        cmocka_unit_test(what_does_not_come_back_is_told_and_its_place_given_away),
        cmocka_unit_test(what_is_no_job_is_refused),
        cmocka_unit_test(commands_answer_and_are_seen_to_end),
        cmocka_unit_test(a_command_whose_container_goes_has_ended),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
