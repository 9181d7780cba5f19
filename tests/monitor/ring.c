/* SPDX-License-Identifier: MIT */
#include "support.h"

#include "monitor/ring.h"

#include <pthread.h>
#include <sched.h>

static pnx_event numbered(unsigned producer, unsigned number)
{
    return (pnx_event){.id = {producer, number}, .attempt = number};
}

static void events_come_out_as_they_went_in(void **state)
{
    struct pnx__ring *ring = pnx__ring_create();
    const pnx_kind kind = {.name = "kind"};
    const pnx_event in = {
        .type = PNX_EVENT_RETRIED,
        .priority = PNX_HIGH,
        .reason = PNX_EXPIRY,
        .status = PNX_ETIMEOUT,
        .time = 1,
        .id = {2, 3},
        .kind = &kind,
        .site = PNX_HERE,
        .queued = -1,
        .ran = 4,
        .attempt = 5,
    };

    assert_null(pnx__ring_peek(ring, 0));
    /* Two laps and a bit. */
    for (uint64_t position = 0; position < 2 * PNX__RING_EVENTS + 10; position++) {
        assert_int_equal(pnx__ring_tail(ring), position);
        assert_true(pnx__ring_push(ring, &in));
        const pnx_event *out = pnx__ring_peek(ring, position);
        assert_non_null(out);
        assert_memory_equal(out, &in, sizeof(in));
        assert_null(pnx__ring_peek(ring, position + 1));
        pnx__ring_free(ring, position);
        assert_null(pnx__ring_peek(ring, position));
    }
    pnx__ring_destroy(ring);
}

static void a_full_ring_loses_and_counts_and_tells(void **state)
{
    struct pnx__ring *ring = pnx__ring_create();
    uint64_t head = 0;

    for (unsigned i = 0; i < PNX__RING_EVENTS; i++) {
        pnx_event event = numbered(0, i);
        assert_true(pnx__ring_push(ring, &event));
    }
    for (unsigned i = 0; i < 7; i++) {
        pnx_event event = numbered(0, PNX__RING_EVENTS + i);
        assert_false(pnx__ring_push(ring, &event));
    }
    assert_int_equal(pnx__ring_lost(ring), 7);

    pnx__ring_free(ring, head++);
    pnx_event late = numbered(0, 99999);
    assert_true(pnx__ring_push(ring, &late));
    assert_false(pnx__ring_push(ring, &late));

    /* All that fitted, none of what did not; the first one after the gap tells of the gap. */
    for (; head < PNX__RING_EVENTS; head++) {
        const pnx_event *event = pnx__ring_peek(ring, head);
        assert_int_equal(event->id.low, head);
        assert_int_equal(event->lost, 0);
        pnx__ring_free(ring, head);
    }
    assert_int_equal(pnx__ring_peek(ring, head)->id.low, 99999);
    assert_int_equal(pnx__ring_peek(ring, head)->lost, 7);
    assert_int_equal(pnx__ring_lost(ring), 8);
    pnx__ring_destroy(ring);
}

enum { PRODUCERS = 4, EACH = 50000 };

struct producer {
    pthread_t thread;
    struct pnx__ring *ring;
    unsigned index;
    uint64_t kept;
};

static void *produce(void *argument)
{
    struct producer *producer = argument;
    for (unsigned i = 1; i <= EACH; i++) {
        pnx_event event = numbered(producer->index, i);
        producer->kept += pnx__ring_push(producer->ring, &event);
    }
    return NULL;
}

/* One consumer that is slower than the producers: what arrives is in the order of each producer,
 * and pushed = arrived + lost, for each of them and in all. */
static void many_producers_keep_their_order_and_the_account(void **state)
{
    struct pnx__ring *ring = pnx__ring_create();
    struct producer producers[PRODUCERS] = {0};
    uint64_t last[PRODUCERS] = {0};
    uint64_t arrived[PRODUCERS] = {0};
    uint64_t told = 0;
    uint64_t head = 0;

    for (unsigned i = 0; i < PRODUCERS; i++) {
        producers[i].ring = ring;
        producers[i].index = i;
        assert_int_equal(pthread_create(&producers[i].thread, NULL, produce, &producers[i]), 0);
    }
    for (unsigned running = PRODUCERS; running > 0 || head < pnx__ring_tail(ring);) {
        const pnx_event *event = pnx__ring_peek(ring, head);
        if (!event) {
            if (running > 0 && pthread_tryjoin_np(producers[running - 1].thread, NULL) == 0) {
                running--;
            }
            continue;
        }
        uint64_t producer = event->id.high;
        assert_true(producer < PRODUCERS);
        assert_true(event->id.low > last[producer]);
        assert_int_equal(event->attempt, event->id.low);
        last[producer] = event->id.low;
        arrived[producer]++;
        told += event->lost;
        pnx__ring_free(ring, head++);
    }

    uint64_t all = 0;
    for (unsigned i = 0; i < PRODUCERS; i++) {
        assert_int_equal(arrived[i], producers[i].kept);
        all += arrived[i];
    }
    assert_int_equal(all + pnx__ring_lost(ring), PRODUCERS * EACH);
    assert_true(told <= pnx__ring_lost(ring));

    /* One more tells the rest. */
    pnx_event last_event = numbered(0, 0);
    assert_true(pnx__ring_push(ring, &last_event));
    assert_int_equal(told + pnx__ring_peek(ring, head)->lost, pnx__ring_lost(ring));
    pnx__ring_destroy(ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_out_as_they_went_in),
        cmocka_unit_test(a_full_ring_loses_and_counts_and_tells),
        cmocka_unit_test(many_producers_keep_their_order_and_the_account),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
