/* SPDX-License-Identifier: MIT */
/* An engine that is killed, stopped and started anew, at every step; by tests/docker/with_engine,
 * which starts it again. */
#include "support.h"

#include <pthread.h>
#include <signal.h>

static void kill_engine(void)
{
    pid_t pid = engine_pid();
    assert_true(pid > 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
}

/* Until it answers again. */
static void wait_for_engine(void)
{
    pnx_call call = patience();
    while (pnx_engine_ping(engine, NULL, NULL) != PNX_OK)
        assert_true(pnx_monotonic_now() < call.deadline);
}

static pnx_engine *session(void)
{
    pnx_error err = {0};
    pnx_engine *opened;
    assert_ok(pnx_engine_open(NULL, NULL, &opened, &err), &err);
    return opened;
}

static void an_engine_that_was_killed_between_two_steps_loses_nothing_of_ours(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    pnx_object *object = make_container(
        engine,
        /* An engine that comes back stops what still runs: at once, with this signal. */
        &(pnx_container_config){.command = SH("sleep 1000"),
                                .stop_signal = "KILL",
                                .mounts = &(pnx_mount){.type = PNX_MOUNT_VOLUME, .target = "/data"},
                                .mount_count = 1});
    kill_engine();
    wait_for_engine();
    assert_ok(pnx_engine_start(engine, pnx_object_id(object), NULL, &err), &err);
    kill_engine();
    pnx_object_watch_by(object, &outcome);
    /* It is dead, or comes back just now: either it is removed, or the next attempt does it. */
    pnx_status status = pnx_object_remove(object, NULL, &err);
    if (status != PNX_OK) {
        assert_status(PNX_EFAILED, status, &err);
        assert_int_equal(outcome.fate, PNX_FATE_STUCK);
        assert_false(outcome.verified);
    }
    wait_for_engine();
    pnx_call call = patience();
    assert_ok(pnx_object_remove(object, &call, &err), &err);
    assert_true(outcome.verified);
    pnx_object_free(object);
    assert_int_equal(count_of(engine, PNX_CONTAINER), 0);
}

static void *kill_soon(void *delay)
{
    (void)nanosleep(delay, NULL);
    kill_engine();
    return NULL;
}

static void an_engine_that_was_killed_while_it_makes_something_leaves_nothing(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_object *objects[3][4];
    for (int round = 0; round < 3; round++) {
        struct timespec delay = {.tv_nsec = 4000000L + 9000000L * round};
        pthread_t killer;
        for (int i = 0; i < 4; i++)
            assert_ok(pnx_container_new(engine,
                                        &(pnx_container_config){.image = IMAGE, .network = "none"},
                                        &objects[round][i], &err),
                      &err);
        assert_int_equal(pthread_create(&killer, NULL, kill_soon, &delay), 0);
        for (int i = 0; i < 4; i++)
            (void)!pnx_object_create(objects[round][i], NULL, NULL);
        pthread_join(killer, NULL);
        wait_for_engine();
    }
    for (int i = 0; i < 12; i++) {
        pnx_call call = patience();
        assert_ok(pnx_object_remove(objects[i / 4][i % 4], &call, &err), &err);
        pnx_object_free(objects[i / 4][i % 4]);
    }
    assert_int_equal(count_of(engine, PNX_CONTAINER), 0);
}

static void a_sweep_that_was_cut_off_is_finished_by_the_next(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_engine *maker = session();
    struct timespec delay = {.tv_nsec = 30000000};
    pthread_t killer;
    for (int i = 0; i < 10; i++)
        pnx_object_free(
            make_container(maker, &(pnx_container_config){.command = SH("sleep 1000")}));
    assert_int_equal(pthread_create(&killer, NULL, kill_soon, &delay), 0);
    pnx_status status = pnx_engine_sweep(maker, NULL, NULL, &err);
    pthread_join(killer, NULL);
    assert_int_not_equal(status, PNX_ETIMEOUT);
    wait_for_engine();
    pnx_call call = patience();
    assert_ok(pnx_engine_sweep(maker, NULL, &call, &err), &err);
    assert_int_equal(count_of(maker, PNX_CONTAINER), 0);
    pnx_engine_close(maker);
}

static void an_engine_that_is_stopped_is_late_and_nothing_more(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    pnx_object *object = run_container(engine, "sleep 1000"), *late;
    pnx_status status;
    pnx_call call;
    assert_int_equal(kill(engine_pid(), SIGSTOP), 0);
    do { /* all of its threads have to take notice */
        call = pnx_call_within(PNX_MS(100));
        status = pnx_engine_ping(engine, &call, &err);
    } while (status == PNX_OK);
    assert_status(PNX_ETIMEOUT, status, &err);
    pnx_object_watch_by(object, &outcome);
    call = pnx_call_within(PNX_MS(100));
    assert_status(PNX_ETIMEOUT, pnx_object_remove(object, &call, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_STUCK);
    /* It gets to this request only later, when nobody waits for the answer any more. */
    call = pnx_call_within(PNX_MS(100));
    assert_ok(pnx_container_new(engine, &(pnx_container_config){.image = IMAGE, .network = "none"},
                                &late, &err),
              &err);
    assert_status(PNX_ETIMEOUT, pnx_object_create(late, &call, &err), &err);
    assert_int_equal(kill(engine_pid(), SIGCONT), 0);
    wait_for_engine();
    assert_ok(pnx_object_remove(object, NULL, &err), &err);
    assert_true(outcome.verified);
    pnx_object_free(object);
    pnx_object_watch_by(late, &outcome);
    assert_ok(pnx_object_remove(late, NULL, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_REMOVED);
    pnx_object_free(late);
    assert_int_equal(count_of(engine, PNX_CONTAINER), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_engine_that_was_killed_between_two_steps_loses_nothing_of_ours),
        cmocka_unit_test(an_engine_that_was_killed_while_it_makes_something_leaves_nothing),
        cmocka_unit_test(a_sweep_that_was_cut_off_is_finished_by_the_next),
        cmocka_unit_test(an_engine_that_is_stopped_is_late_and_nothing_more),
    };
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
