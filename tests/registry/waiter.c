/* SPDX-License-Identifier: MIT */
/* Waiting for one resource, and being called when it has ended. */
#include "support.h"

PNX_KIND(plain, pnx_test_resource *, pnx_test_release, .timeout = PNX_S(1));

struct hook {
    pnx__hook base;
    _Atomic unsigned calls;
    pnx_id id;
    pnx_status outcome;
};

static void ended(pnx__hook *hook, pnx_id id, const pnx_kind *kind, const pnx_site *site,
                  pnx_status outcome)
{
    struct hook *self = (struct hook *)hook;
    assert_ptr_equal(kind, plain_kind);
    assert_non_null(site);
    self->id = id;
    self->outcome = outcome;
    atomic_fetch_add(&self->calls, 1);
}

static void a_hook_is_called_once_whatever_the_end(void **state)
{
    struct fixture *f = *state;
    static const pnx_status outcomes[] = {PNX_OK, PNX_EFAILED, PNX_EABANDONED, PNX_ECANCELED};
    for (int i = 0; i < 4; i++) {
        struct hook hook = {.base = {ended}};
        pnx_test_plan(f->a,
                      &(pnx_test_step){.action = i == 2 ? PNX_TEST_PEND : PNX_TEST_ANSWER,
                                       .status = i == 1 ? PNX_EFAILED : PNX_OK},
                      1);
        const pnx_id id = put(f->registry, plain_kind, f->a);
        assert_ok(pnx__hook_attach(f->registry, id, &hook.base));
        assert_int_equal(pnx__hook_attach(f->registry, id, &hook.base), PNX_EBUSY);
        if (i == 3)
            assert_ok(pnx_unregister(f->registry, id, NULL, NULL));
        else
            assert_ok(pnx_release_later(f->registry, id, NULL));
        run_for(f, PNX_S(5));
        assert_int_equal(atomic_load(&hook.calls), 1);
        assert_true(pnx_id_equal(hook.id, id));
        assert_int_equal(hook.outcome, outcomes[i]);
        assert_int_equal(pnx__hook_attach(f->registry, id, &hook.base), PNX_EALREADY);
        (void)pnx_registry_forget_failed(f->registry);
    }
}

struct attacher {
    pthread_t thread;
    pnx_registry *registry;
    pthread_barrier_t *together;
    pnx_id *id;
    struct hook *hook;
    size_t rounds;
    pnx_status status;
};

static void *attach(void *argument)
{
    struct attacher *self = argument;
    for (size_t i = 0; i < self->rounds; i++) {
        pthread_barrier_wait(self->together);
        self->status = pnx__hook_attach(self->registry, *self->id, &self->hook->base);
        pthread_barrier_wait(self->together);
    }
    return NULL;
}

/* Attached while the resource ends: it is called, or was refused; never neither. */
static void attaching_against_the_end_has_one_winner(void **state)
{
    pnx_registry *registry = with_workers(2);
    pnx_test_resource *b = pnx_test_resource_new("b", NULL);
    pthread_barrier_t together;
    pthread_barrier_init(&together, NULL, 2);
    pnx_id id;
    struct hook hook = {.base = {ended}};
    struct attacher attacher = {.registry = registry,
                                .together = &together,
                                .id = &id,
                                .hook = &hook,
                                .rounds = effort(20000)};
    id = put(registry, plain_kind, b);
    assert_int_equal(pthread_create(&attacher.thread, NULL, attach, &attacher), 0);
    for (size_t i = 0; i < attacher.rounds; i++) {
        atomic_store(&hook.calls, 0);
        pthread_barrier_wait(&together);
        for (size_t spin = i % 64; spin > 0; spin--)
            pnx__pause();
        if (i % 2 == 0)
            assert_ok(pnx_release_later(registry, id, NULL));
        else
            assert_ok(pnx_unregister(registry, id, NULL, NULL));
        pthread_barrier_wait(&together);
        assert_ok(pnx_registry_wait_idle(registry, patience()));
        assert_int_equal(atomic_load(&hook.calls), attacher.status == PNX_OK);
        id = put(registry, plain_kind, b);
    }
    pthread_join(attacher.thread, NULL);
    pthread_barrier_destroy(&together);
    finish(registry);
    pnx_test_resource_free(b);
}

static void who_gave_up_waiting_is_not_told(void **state)
{
    struct fixture *f = *state;
    pnx_test_always(f->a, PNX_TEST_PEND);
    const pnx_id id = put(f->registry, plain_kind, f->a);
    for (int i = 0; i < 5; i++) /* each waiter was on a stack that is gone */
        assert_int_equal(pnx_release_now(f->registry, id, PNX_FOREVER, NULL), PNX_ETIMEOUT);
    assert_ok(pnx_test_complete(f->a, PNX_OK));
    assert_int_equal(pnx_registry_state(f->registry, id), PNX_DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(a_hook_is_called_once_whatever_the_end),
        cmocka_unit_test(attaching_against_the_end_has_one_winner),
        with_fixture(who_gave_up_waiting_is_not_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
