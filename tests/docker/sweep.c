/* SPDX-License-Identifier: MIT */
/* Sweeps of a session against a real engine, by tests/docker/with_engine. */
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- rows ------------------------------------------------------------------------------------ */

struct rows {
    unsigned of[PNX_OBJECT_TYPE_COUNT], unverified, kept, stuck, volumes;
    pnx_object_type last;
    bool out_of_order;
    char reason[PNX_OUTCOME_REASON_MAX];
};

static void take_row(const pnx_sweep_row *row, void *context)
{
    struct rows *rows = context;
    rows->of[row->type]++;
    rows->unverified += !row->outcome.verified;
    rows->kept += row->outcome.fate == PNX_FATE_KEPT;
    rows->volumes += row->volumes;
    rows->out_of_order |= row->type < rows->last;
    rows->last = row->type;
    if (row->outcome.fate == PNX_FATE_STUCK) {
        rows->stuck++;
        snprintf(rows->reason, sizeof rows->reason, "%s", row->outcome.reason);
    }
}

static unsigned total(const struct rows *rows)
{
    unsigned sum = 0;
    for (int type = 0; type < PNX_OBJECT_TYPE_COUNT; type++)
        sum += rows->of[type];
    return sum;
}

/* A session of its own, whose maker forgets everything. */
static pnx_engine *session(void)
{
    pnx_error err = {0};
    pnx_engine *opened;
    assert_ok(pnx_engine_open(NULL, NULL, &opened, &err), &err);
    return opened;
}

static void forget(pnx_object *object)
{
    pnx_object_free(object);
}

static pnx_object *make_volume(pnx_engine *in, pnx_keep keep)
{
    pnx_error err = {0};
    pnx_object *object;
    assert_ok(pnx_volume_new(in, &(pnx_volume_config){.keep = keep}, &object, &err), &err);
    assert_ok(pnx_object_create(object, NULL, &err), &err);
    return object;
}

static pnx_object *make_network(pnx_engine *in)
{
    pnx_error err = {0};
    pnx_object *object;
    assert_ok(pnx_network_new(in, &(pnx_network_config){.internal = true}, &object, &err), &err);
    assert_ok(pnx_object_create(object, NULL, &err), &err);
    return object;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void all_of_a_session_goes_and_nothing_else(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_engine *maker = session(), *other = session();
    pnx_object *theirs = make_volume(other, PNX_KEEP_NEVER), *image;
    const pnx_mount mount = {.type = PNX_MOUNT_VOLUME, .target = "/data"};
    pnx_object *container = make_container(
        maker,
        &(pnx_container_config){.command = SH("sleep 1000"), .mounts = &mount, .mount_count = 1});
    assert_ok(pnx_engine_start(maker, pnx_object_id(container), NULL, &err), &err);
    assert_ok(pnx_image_new(maker, &(pnx_image_config){.container = pnx_object_id(container)},
                            &image, &err),
              &err);
    assert_ok(pnx_object_create(image, NULL, &err), &err);
    if (!is_podman())
        forget(make_network(maker));
    forget(make_volume(maker, PNX_KEEP_NEVER));
    forget(container);
    forget(image);
    char of[64];
    snprintf(of, sizeof of, "%s", pnx_engine_session(maker));
    pnx_engine_close(maker);

    /* Somebody else comes later: looks first, then sweeps. */
    struct rows looked = {0}, swept = {0}, nothing = {0};
    unsigned networks = !is_podman();
    assert_ok(
        pnx_engine_sweep(
            engine,
            &(pnx_sweep){
                .session = of, .images = true, .look = true, .visit = take_row, .context = &looked},
            NULL, &err),
        &err);
    assert_int_equal(total(&looked), 3 + networks);
    assert_int_equal(looked.unverified, 3 + networks); /* nothing was done */
    pnx_sweep sweep = {.session = of, .images = true, .visit = take_row, .context = &swept};
    assert_ok(pnx_engine_sweep(engine, &sweep, NULL, &err), &err);
    assert_int_equal(swept.of[PNX_CONTAINER], 1);
    assert_int_equal(swept.of[PNX_NETWORK], networks);
    assert_int_equal(swept.of[PNX_VOLUME], 1);
    assert_int_equal(swept.of[PNX_IMAGE], 1);
    assert_int_equal(swept.volumes, !is_podman());
    assert_int_equal(swept.unverified, 0);
    assert_false(swept.out_of_order);
    sweep.context = &nothing;
    assert_ok(pnx_engine_sweep(engine, &sweep, NULL, &err), &err);
    assert_int_equal(total(&nothing), 0);
    assert_true(there_is(PNX_VOLUME, pnx_object_id(theirs)));
    remove_object(theirs);
    pnx_engine_close(other);
}

enum { MANY = 100, MAKERS = 8 };

struct making {
    pnx_engine *engine;
    _Atomic int left;
};

static void *make_many(void *context)
{
    struct making *making = context;
    while (atomic_fetch_sub(&making->left, 1) > 0) {
        pnx_object *object;
        pnx_call call = patience();
        if (pnx_container_new(making->engine,
                              &(pnx_container_config){.image = IMAGE, .network = "none"}, &object,
                              NULL) != PNX_OK)
            abort();
        (void)!pnx_object_create(object, &call, NULL);
        pnx_object_free(object);
    }
    return NULL;
}

static void a_hundred_containers_at_once(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    struct rows rows = {0};
    struct making making = {.engine = session()};
    pthread_t threads[MAKERS];
    pnx_call call = patience();
    atomic_init(&making.left, MANY);
    pnx_time began = pnx_monotonic_now();
    for (int i = 0; i < MAKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_many, &making), 0);
    for (int i = 0; i < MAKERS; i++)
        pthread_join(threads[i], NULL);
    pnx_time made = pnx_monotonic_now();
    assert_ok(pnx_engine_sweep(making.engine, &(pnx_sweep){.visit = take_row, .context = &rows},
                               &call, &err),
              &err);
    assert_int_equal(rows.of[PNX_CONTAINER], MANY);
    assert_int_equal(rows.unverified, 0);
    print_message("# %d containers: made in %.0f ms, gone in %.0f ms\n", MANY,
                  (double)(made - began) / 1e6, (double)(pnx_monotonic_now() - made) / 1e6);
    assert_int_equal(count_of(making.engine, PNX_CONTAINER), 0);
    pnx_engine_close(making.engine);
}

static void what_is_kept_is_told_and_stays(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    struct rows rows = {0};
    pnx_engine *maker = session();
    pnx_object *kept = make_volume(maker, PNX_KEEP_ALWAYS),
               *failed = make_volume(maker, PNX_KEEP_ON_FAILURE);
    forget(make_volume(maker, PNX_KEEP_NEVER));
    pnx_engine_set_failed(maker, true);
    const pnx_sweep sweep = {.visit = take_row, .context = &rows};
    assert_ok(pnx_engine_sweep(maker, &sweep, NULL, &err), &err);
    assert_int_equal(rows.kept, 2);
    assert_int_equal(total(&rows), 3);
    assert_true(there_is(PNX_VOLUME, pnx_object_id(kept)));
    pnx_engine_set_failed(maker, false);
    memset(&rows, 0, sizeof rows);
    assert_ok(pnx_engine_sweep(maker, &sweep, NULL, &err), &err);
    assert_int_equal(rows.kept, 1);
    assert_false(there_is(PNX_VOLUME, pnx_object_id(failed)));
    assert_ok(pnx_engine_remove(engine, PNX_VOLUME, pnx_object_id(kept), false, NULL, &err), &err);
    forget(kept);
    forget(failed);
    pnx_engine_close(maker);
}

static void what_does_not_go_leaves_time_for_the_rest(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    struct rows rows = {0};
    if (is_podman())
        skip(); /* Debian 12's has no network back end without further packages */
    pnx_engine *maker = session();
    pnx_object *network = make_network(maker), *volume = make_volume(maker, PNX_KEEP_NEVER);
    json_t *answer,
        *body = json_pack("{s:s, s:[s,s], s:{s:s}}", "Image", IMAGE, "Cmd", "sleep", "1000",
                          "HostConfig", "NetworkMode", pnx_object_name(network));
    assert_ok(pnx_engine_request(engine, "POST", "/containers/create?name=pnx-theirs", body, NULL,
                                 &answer, &err),
              &err);
    json_decref(body);
    json_decref(answer);
    assert_ok(pnx_engine_start(engine, "pnx-theirs", NULL, &err), &err);

    pnx_call call = pnx_call_within(PNX_MS(800));
    const pnx_sweep sweep = {.visit = take_row, .context = &rows};
    assert_status(PNX_EBUSY, pnx_engine_sweep(maker, &sweep, &call, &err), &err);
    assert_int_equal(rows.stuck, 1);
    assert_non_null(strstr(rows.reason, "active endpoints"));
    assert_int_equal(rows.of[PNX_VOLUME], 1);
    assert_false(there_is(PNX_VOLUME, pnx_object_id(volume)));
    assert_true(there_is(PNX_CONTAINER, "pnx-theirs"));
    /* Nobody has to wait for half of a long time, either. */
    pnx_time began = pnx_monotonic_now();
    const pnx_sweep brief = {.busy = PNX_MS(300), .visit = take_row, .context = &rows};
    call = pnx_call_within(PNX_S(100));
    assert_status(PNX_EBUSY, pnx_engine_sweep(maker, &brief, &call, &err), &err);
    assert_true(pnx_monotonic_now() - began < PNX_S(25));
    assert_int_equal(rows.stuck, 2);

    assert_ok(pnx_engine_remove(engine, PNX_CONTAINER, "pnx-theirs", true, NULL, &err), &err);
    assert_ok(pnx_engine_sweep(maker, &sweep, NULL, &err), &err);
    assert_int_equal(rows.stuck, 2);
    forget(network);
    forget(volume);
    pnx_engine_close(maker);
}

static void a_sweep_ends_by_its_deadline_or_when_canceled(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_cancel *cancel;
    assert_status(PNX_ETIMEOUT, pnx_engine_sweep(engine, NULL, &(pnx_call){.deadline = 1}, &err),
                  &err);
    assert_ok(pnx_cancel_create(&cancel, &err), &err);
    pnx_cancel_now(cancel);
    assert_status(PNX_ECANCELED,
                  pnx_engine_sweep(engine, NULL, &(pnx_call){.cancel = cancel}, &err), &err);
    pnx_cancel_free(cancel);
    assert_status(PNX_EINVAL, pnx_engine_sweep(engine, &(pnx_sweep){.session = "none"}, NULL, &err),
                  &err);
}

static void *make_later(void *context)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    return make_many(context);
}

/* As when its maker was killed in the middle of a creation. */
static void what_comes_late_is_found_too(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pthread_t thread;
    struct rows rows = {0};
    struct making making = {.engine = session()};
    const pnx_sweep sweep = {.visit = take_row, .context = &rows, .settle = PNX_S(2)};
    pnx_call call = patience();
    atomic_init(&making.left, 1);
    assert_int_equal(pthread_create(&thread, NULL, make_later, &making), 0);
    assert_ok(pnx_engine_sweep(making.engine, &sweep, &call, &err), &err);
    pthread_join(thread, NULL);
    assert_int_equal(rows.of[PNX_CONTAINER], 1);
    assert_int_equal(count_of(making.engine, PNX_CONTAINER), 0);
    pnx_engine_close(making.engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_a_session_goes_and_nothing_else),
        cmocka_unit_test(a_hundred_containers_at_once),
        cmocka_unit_test(what_is_kept_is_told_and_stays),
        cmocka_unit_test(what_does_not_go_leaves_time_for_the_rest),
        cmocka_unit_test(a_sweep_ends_by_its_deadline_or_when_canceled),
        cmocka_unit_test(what_comes_late_is_found_too),
    };
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
