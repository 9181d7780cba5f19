/* SPDX-License-Identifier: MIT */
/*
 * Log-linear buckets, as in HdrHistogram (Gil Tene, hdrhistogram.org): each octave [2^e, 2^(e+1))
 * is cut into 16 buckets of equal width. With shift = e - 4 a value v ≥ 16 falls into bucket
 * 16·shift + (v >> shift), where v >> shift is 16 … 31; below 16 the shift is 0 and each value has
 * a bucket of its own. The buckets of 2^39 … 2^40 - 1 have shift 35 and end at 16·35 + 31 = 591.
 *
 * A bucket is 2^shift wide and starts at 2^(shift + 4) or above: taking its upper end for any value
 * in it errs by less than one part in 16.
 */
#include <patinox/monitor.h>

#define VALUE_BITS 40
#define LAST_BUCKET (PNX_HISTOGRAM_BUCKETS - 1)
_Static_assert(LAST_BUCKET == 16 * (VALUE_BITS - 5) + 31, "592 buckets reach up to 2^40");

static unsigned bucket_of(uint64_t value)
{
    unsigned shift = 59u - (unsigned)__builtin_clzll(value | 16);
    unsigned bucket = 16 * shift + (unsigned)(value >> shift);
    return bucket < LAST_BUCKET ? bucket : LAST_BUCKET;
}

pnx_duration pnx_histogram_bucket_floor(unsigned bucket)
{
    if (bucket < 32) {
        return bucket;
    }
    if (bucket >= PNX_HISTOGRAM_BUCKETS) {
        return (pnx_duration)1 << VALUE_BITS;
    }
    return (pnx_duration)(16 + bucket % 16) << (bucket / 16 - 1);
}

/*
 * One thread writes a histogram, others may merge it meanwhile. Each word is read and written whole
 * (relaxed: the partner is the load in pnx_histogram_merge, and a snapshot of counters needs no
 * order between them). As there is one writer, no read-modify-write is needed.
 */
static uint64_t get(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static void set(uint64_t *word, uint64_t value) /* NOLINT(readability-non-const-parameter) */
{
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
}

static uint64_t saturating_sum(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return PNX_UNLIKELY(__builtin_add_overflow(a, b, &sum)) ? UINT64_MAX : sum;
}

void pnx_histogram_add(pnx_histogram *histogram, pnx_duration value)
{
    uint64_t v = value > 0 ? (uint64_t)value : 0;
    uint64_t *bucket = &histogram->buckets[bucket_of(v)];

    set(bucket, get(bucket) + 1);
    set(&histogram->count, get(&histogram->count) + 1);
    set(&histogram->sum_ns, saturating_sum(get(&histogram->sum_ns), v));
    if (PNX_UNLIKELY(v > get(&histogram->max_ns))) {
        set(&histogram->max_ns, v);
    }
}

/* Counts what the buckets hold, not what `count` says: the two differ while a value is being added,
 * and a snapshot whose buckets do not add up to its count is invalid to every reader of it. */
void pnx_histogram_merge(pnx_histogram *into, const pnx_histogram *other)
{
    for (unsigned i = 0; i < PNX_HISTOGRAM_BUCKETS; i++) {
        uint64_t n = get(&other->buckets[i]);
        into->buckets[i] += n;
        into->count += n;
    }
    uint64_t max = get(&other->max_ns);
    if (max > into->max_ns) {
        into->max_ns = max;
    }
    into->sum_ns = saturating_sum(into->sum_ns, get(&other->sum_ns));
}

/* The rank that `quantile` has among `count` values: 1 … count. */
static uint64_t rank_of(double quantile, uint64_t count)
{
    if (!(quantile > 0)) { /* NaN too */
        return 1;
    }
    if (quantile >= 1) {
        return count;
    }
    double exact = quantile * (double)count;
    uint64_t rank = (uint64_t)exact;
    if ((double)rank < exact) {
        rank++;
    }
    return rank < 1 ? 1 : rank > count ? count : rank;
}

pnx_duration pnx_histogram_quantile(const pnx_histogram *histogram, double quantile)
{
    if (histogram->count == 0) {
        return 0;
    }

    uint64_t rank = rank_of(quantile, histogram->count);
    uint64_t seen = 0;
    for (unsigned i = 0; i < LAST_BUCKET; i++) {
        seen += histogram->buckets[i];
        if (seen >= rank) {
            uint64_t top = (uint64_t)pnx_histogram_bucket_floor(i + 1) - 1;
            return (pnx_duration)(top < histogram->max_ns ? top : histogram->max_ns);
        }
    }
    return (pnx_duration)histogram->max_ns; /* the last bucket has no upper end */
}
