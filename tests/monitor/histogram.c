/* SPDX-License-Identifier: MIT */
#include "support.h"

#include "base/random.h"

#include <math.h>
#include <pthread.h>

static pnx_duration exact_quantile(const pnx_duration *sorted, size_t count, double quantile)
{
    size_t below = 0; /* how many values have less than `quantile` of all at or below them */
    while (below + 1 < count && (double)(below + 1) < quantile * (double)count) {
        below++;
    }
    return sorted[below];
}

static int compare(const void *a, const void *b)
{
    const pnx_duration *x = a;
    const pnx_duration *y = b;
    return (*x > *y) - (*x < *y);
}

/* From a few nanoseconds to minutes, each order of magnitude as often as the others. */
static pnx_duration random_duration(pnx__random *random)
{
    return (pnx_duration)(pnx__random_next(random) >> (24 + pnx__random_below(random, 40)));
}

static void quantiles_are_those_of_the_sorted_values_within_a_sixteenth(void **state)
{
    static const double quantiles[] = {0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1};
    enum { MOST = 20000 };
    pnx_duration *values = calloc(MOST, sizeof(*values));
    pnx__random random = {.state = 20};

    for (size_t count = 1; count <= MOST; count = count * 3 + 1) {
        pnx_histogram histogram = {0};
        uint64_t sum = 0;
        for (size_t i = 0; i < count; i++) {
            values[i] = random_duration(&random);
            sum += (uint64_t)values[i];
            pnx_histogram_add(&histogram, values[i]);
        }
        qsort(values, count, sizeof(*values), compare);

        assert_int_equal(histogram.count, count);
        assert_int_equal(histogram.sum_ns, sum);
        assert_int_equal(histogram.max_ns, values[count - 1]);
        for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
            pnx_duration exact = exact_quantile(values, count, quantiles[i]);
            pnx_duration got = pnx_histogram_quantile(&histogram, quantiles[i]);
            assert_true(got >= exact);
            assert_true((got - exact) * 16 <= exact);
        }
    }
    free(values);
}

static void buckets_follow_one_another_without_gap(void **state)
{
    for (unsigned i = 0; i < PNX_HISTOGRAM_BUCKETS; i++) {
        pnx_histogram histogram = {0};
        pnx_duration first = pnx_histogram_bucket_floor(i);
        pnx_duration last = pnx_histogram_bucket_floor(i + 1) - 1;
        assert_true(first <= last);
        pnx_histogram_add(&histogram, first);
        pnx_histogram_add(&histogram, last);
        assert_int_equal(histogram.buckets[i], 2);
    }
    assert_int_equal(pnx_histogram_bucket_floor(0), 0);
    assert_int_equal(pnx_histogram_bucket_floor(PNX_HISTOGRAM_BUCKETS), (pnx_duration)1 << 40);
}

static void values_out_of_range_count_at_the_ends(void **state)
{
    pnx_histogram histogram = {0};

    pnx_histogram_add(&histogram, -5);
    pnx_histogram_add(&histogram, INT64_MIN);
    assert_int_equal(histogram.buckets[0], 2);
    assert_int_equal(histogram.sum_ns, 0);

    for (int i = 0; i < 3; i++) {
        pnx_histogram_add(&histogram, PNX_FOREVER);
    }
    assert_int_equal(histogram.buckets[PNX_HISTOGRAM_BUCKETS - 1], 3);
    assert_true(histogram.sum_ns == UINT64_MAX);
    assert_true(pnx_histogram_quantile(&histogram, 1) == PNX_FOREVER);
    assert_int_equal(pnx_histogram_quantile(&histogram, 0.4), 0);
}

static void quantiles_that_make_no_sense_are_the_nearest_that_do(void **state)
{
    pnx_histogram histogram = {0};
    assert_int_equal(pnx_histogram_quantile(&histogram, 0.5), 0);

    pnx_histogram_add(&histogram, 3);
    pnx_histogram_add(&histogram, 9);
    assert_int_equal(pnx_histogram_quantile(&histogram, -1), 3);
    assert_int_equal(pnx_histogram_quantile(&histogram, NAN), 3);
    assert_int_equal(pnx_histogram_quantile(&histogram, 0.5), 3);
    assert_int_equal(pnx_histogram_quantile(&histogram, 0.51), 9);
    assert_int_equal(pnx_histogram_quantile(&histogram, 7), 9);
}

static void merging_is_adding_everything_to_one(void **state)
{
    pnx_histogram parts[3] = {0};
    pnx_histogram whole = {0};
    pnx_histogram merged = {0};
    pnx__random random = {.state = 4};

    for (int i = 0; i < 3000; i++) {
        pnx_duration value = random_duration(&random);
        pnx_histogram_add(&parts[i % 3], value);
        pnx_histogram_add(&whole, value);
    }
    for (int i = 0; i < 3; i++) {
        pnx_histogram_merge(&merged, &parts[i]);
    }
    assert_memory_equal(&merged, &whole, sizeof(whole));
}

enum { WRITES = 200000 };

static void *write_histogram(void *histogram)
{
    for (int i = 0; i < WRITES; i++) {
        pnx_histogram_add(histogram, i);
    }
    return NULL;
}

/* Under TSan this also shows that merging races with nothing. */
static void a_histogram_can_be_merged_while_it_is_written(void **state)
{
    static pnx_histogram written;
    uint64_t before = 0;
    pthread_t writer;

    assert_int_equal(pthread_create(&writer, NULL, write_histogram, &written), 0);
    while (before < WRITES) {
        pnx_histogram snapshot = {0};
        uint64_t in_buckets = 0;
        pnx_histogram_merge(&snapshot, &written);
        for (unsigned i = 0; i < PNX_HISTOGRAM_BUCKETS; i++) {
            in_buckets += snapshot.buckets[i];
        }
        assert_int_equal(snapshot.count, in_buckets);
        assert_true(snapshot.count >= before);
        before = snapshot.count;
    }
    pthread_join(writer, NULL);
    assert_int_equal(written.max_ns, WRITES - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_those_of_the_sorted_values_within_a_sixteenth),
        cmocka_unit_test(buckets_follow_one_another_without_gap),
        cmocka_unit_test(values_out_of_range_count_at_the_ends),
        cmocka_unit_test(quantiles_that_make_no_sense_are_the_nearest_that_do),
        cmocka_unit_test(merging_is_adding_everything_to_one),
        cmocka_unit_test(a_histogram_can_be_merged_while_it_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
