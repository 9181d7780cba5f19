/* SPDX-License-Identifier: MIT */
/* The timing wheel against an obviously right model: a table of due times. */
#include "support.h"

static const pnx_kind empty_kind = {.name = "empty", .release = no_release};

enum { SLOTS = 300 };

struct model {
    pnx_registry *registry; /* only its wheel and its slots are used */
    pnx_test_clock clock;
    pnx__slot *slots[SLOTS];
    pnx_time due[SLOTS]; /* PNX_FOREVER: not armed */
    pnx_time looked;     /* the last time */
};

/* The first tick of the wheel that is not before `due`. */
static pnx_time fires_at(pnx_time due)
{
    const pnx_time tick = (pnx_time)1 << PNX__TICK_SHIFT;
    return due <= 0 ? 0 : (due + tick - 1) / tick * tick;
}

static void model_begin(struct model *model, pnx_time start)
{
    pnx_test_clock_init(&model->clock, start);
    model->looked = start;
    model->registry = made(&(pnx_config){.executor = PNX_MANUAL, .clock = &model->clock.clock});
    for (int i = 0; i < SLOTS; i++) {
        pnx_id id;
        assert_ok(pnx_register(model->registry, &empty_kind, NULL, NULL, &id, NULL));
        model->slots[i] = pnx__slot_of(model->registry, id);
        model->due[i] = PNX_FOREVER;
    }
}

static void model_end(struct model *model)
{
    for (int i = 0; i < SLOTS; i++)
        pnx__wheel_remove(model->registry, model->slots[i]);
    finish(model->registry);
}

static void arm(struct model *model, int i, pnx_time due)
{
    pnx__wheel_remove(model->registry, model->slots[i]);
    pnx__wheel_add(model->registry, model->slots[i], due);
    model->due[i] = due;
    assert_true(pnx__wheel_holds(model->slots[i]));
}

static void disarm(struct model *model, int i)
{
    pnx__wheel_remove(model->registry, model->slots[i]);
    assert_false(pnx__wheel_holds(model->slots[i]));
    model->due[i] = PNX_FOREVER;
}

static pnx_time model_next(const struct model *model)
{
    pnx_time next = PNX_FOREVER;
    for (int i = 0; i < SLOTS; i++)
        if (model->due[i] != PNX_FOREVER && fires_at(model->due[i]) < next)
            next = fires_at(model->due[i]);
    return next;
}

/* Pops all that is due, and checks that it is exactly what is due. */
static void look(struct model *model, pnx_time now)
{
    size_t expected = 0;
    bool is_due[SLOTS];
    for (int i = 0; i < SLOTS; i++)
        expected += is_due[i] = model->due[i] != PNX_FOREVER && fires_at(model->due[i]) <= now;
    pnx__slot *slot;
    pnx_time before = INT64_MIN;
    while ((slot = pnx__wheel_pop(model->registry, now)) != NULL) {
        int i = 0;
        while (model->slots[i] != slot)
            i++;
        assert_true(is_due[i]);
        is_due[i] = false;
        assert_false(pnx__wheel_holds(slot));
        /* What is due earlier comes first, to a tick; but for what was overdue when armed. */
        assert_true(fires_at(model->due[i]) >= before || model->due[i] <= model->looked);
        if (model->due[i] > model->looked)
            before = fires_at(model->due[i]);
        model->due[i] = PNX_FOREVER;
        expected--;
    }
    assert_int_equal(expected, 0);
    size_t armed = 0;
    for (int i = 0; i < SLOTS; i++) {
        armed += model->due[i] != PNX_FOREVER;
        assert_int_equal(pnx__wheel_holds(model->slots[i]), model->due[i] != PNX_FOREVER);
    }
    assert_int_equal(model->registry->wheel.count, armed);
    model->looked = now;
}

static void random_operations(pnx_time start, uint64_t rounds, pnx__random *random)
{
    struct model model;
    pnx_time now = start;
    model_begin(&model, start);
    for (uint64_t round = 0; round < rounds; round++) {
        const int i = (int)pnx__random_below(random, SLOTS);
        const pnx_duration span =
            (pnx_duration)(pnx__random_next(random) >> (2 + pnx__random_below(random, 62)));
        switch (pnx__random_below(random, 8)) {
        case 0:
            disarm(&model, i);
            break;
        case 1: /* to when the first one is due, as who sleeps until then does */
            if (pnx__wheel_next(model.registry) <= (pnx_time)1 << 61) {
                const pnx_time next = pnx__wheel_next(model.registry);
                if (next > now)
                    now = next;
            }
            look(&model, now);
            break;
        case 2: /* somewhat on */
            now = pnx_time_after(now, span >> pnx__random_below(random, 40));
            if (now > (pnx_time)1 << 61)
                now = (pnx_time)1 << 61;
            look(&model, now);
            break;
        case 3: /* in the past, or now */
            arm(&model, i, now - (pnx_duration)pnx__random_below(random, (uint64_t)PNX_S(1)));
            break;
        default:
            arm(&model, i, pnx_time_after(now, span) >> (pnx__random_below(random, 8) == 0));
            break;
        }
        /* Never later than the first that is due; earlier only for what was canceled. */
        assert_true(pnx__wheel_next(model.registry) <= model_next(&model) ||
                    model_next(&model) > (pnx_time)1 << 61);
    }
    model_end(&model);
}

static void it_fires_what_is_due_and_nothing_else(void **state)
{
    pnx__random random = seeded();
    static const pnx_time starts[] = {0, 1, (1 << 20) - 1, 1ll << 26, (1ll << 38) - 1, 1ll << 50};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        random_operations(starts[i], effort(30000), &random);
}

/* Without cancels the time to sleep until is exact: no wake-up just to move timers. */
static void the_next_time_is_exact(void **state)
{
    pnx__random random = seeded();
    struct model model;
    pnx_time now = 0;
    model_begin(&model, 0);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < SLOTS; i++)
            if (model.due[i] == PNX_FOREVER)
                arm(&model, i,
                    (pnx_time)(pnx__random_next(&random) >> (3 + pnx__random_below(&random, 40))));
        for (int i = 0; i < SLOTS / 2; i++) {
            const pnx_time next = pnx__wheel_next(model.registry);
            if (model.registry->wheel.expired == PNX__TIMER_NONE)
                assert_int_equal(next, model_next(&model));
            if (next > now)
                now = next;
            look(&model, now);
        }
    }
    model_end(&model);
}

/* Sleeping until the next time finds something due within as many looks as there are levels. */
static void canceled_timers_cost_few_looks(void **state)
{
    pnx__random random = seeded();
    struct model model;
    pnx_time now = 0;
    model_begin(&model, 0);
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < SLOTS; i++)
            arm(&model, i, now + (pnx_time)(pnx__random_next(&random) >> 20));
        for (int i = 1; i < SLOTS; i++)
            disarm(&model, i);
        int looks = 0;
        while (model.due[0] != PNX_FOREVER) {
            const pnx_time next = pnx__wheel_next(model.registry);
            if (next > now)
                now = next;
            look(&model, now);
            looks++;
        }
        assert_true(looks <= PNX__WHEEL_LEVELS + 1);
    }
    model_end(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_fires_what_is_due_and_nothing_else),
        cmocka_unit_test(the_next_time_is_exact),
        cmocka_unit_test(canceled_timers_cost_few_looks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
