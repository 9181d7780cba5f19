/* SPDX-License-Identifier: MIT */
/* Tests of src/patinox/base/id.c and id.h. */
#include "base/id.h"

#include "support.h"

#include <ctype.h>

#define EXAMPLE "01234567-89ab-8def-8123-456789abcdef"

static pnx_id random_id(pnx__random *random)
{
    return (pnx_id){pnx__random_next(random), pnx__random_next(random)};
}

/* ---- layout ---------------------------------------------------------------------------------- */

/* The fields of RFC 9562, section 5.8, by their position from the left. */
static uint64_t field(pnx_id id, unsigned first, unsigned last)
{
    uint64_t value = 0;
    for (unsigned bit = first; bit <= last; bit++) {
        uint64_t half = bit < 64 ? id.high : id.low;
        value = value << 1 | (half >> (63 - bit % 64) & 1);
    }
    return value;
}

static void ids_are_uuids_of_version_8(void **state)
{
    pnx__random random = test_random();
    for (size_t i = test_effort(1000); i > 0; i--) {
        pnx__instance instance = pnx__instance_make();
        uint32_t slot = (uint32_t)pnx__random_below(&random, PNX__SLOT_COUNT_MAX);
        uint32_t generation = (uint32_t)pnx__random_next(&random);
        pnx_id id = pnx__id_make(instance, slot, generation);
        assert_int_equal(field(id, 48, 51), 8); /* ver */
        assert_int_equal(field(id, 64, 65), 2); /* var */
        assert_int_equal(field(id, 70, 95), slot);
        assert_int_equal(field(id, 96, 127), generation);
        assert_false(pnx_id_is_none(id));

        char text[PNX_ID_TEXT_SIZE];
        pnx_id_format(id, text);
        assert_int_equal(text[14], '8');
        assert_non_null(strchr("89ab", text[19]));
    }
}

static void all_other_bits_of_an_instance_are_random(void **state)
{
    pnx_id ones = {~UINT64_C(0), ~UINT64_C(0)};
    pnx_id any = {0, 0};
    /* The chance that a random bit is the same in all of them is 2^-199. */
    for (int i = 0; i < 200; i++) {
        pnx_id id = pnx__id_make(pnx__instance_make(), 0, 0);
        ones = (pnx_id){ones.high & id.high, ones.low & id.low};
        any = (pnx_id){any.high | id.high, any.low | id.low};
    }
    assert_true(ones.high == UINT64_C(0x8000));
    assert_true(any.high == UINT64_C(0xffffffffffff8fff));
    assert_true(ones.low == UINT64_C(0x8000000000000000));
    assert_true(any.low == UINT64_C(0xbc00000000000000));
}

static void slot_and_generation_come_back(void **state)
{
    static const uint32_t slots[] = {0, 1, 0x155aa55, PNX__SLOT_COUNT_MAX - 1};
    static const uint32_t generations[] = {0, 1, 0x5aa555aa, UINT32_MAX};
    pnx__instance instance = pnx__instance_make();
    for (size_t i = 0; i < 4; i++) {
        for (size_t k = 0; k < 4; k++) {
            pnx_id id = pnx__id_make(instance, slots[i], generations[k]);
            assert_int_equal(pnx__id_slot(id), slots[i]);
            assert_int_equal(pnx__id_generation(id), generations[k]);
            assert_true(pnx__id_is_of(instance, id));
        }
    }
}

static void one_wrong_bit_is_another_instance(void **state)
{
    pnx__random random = test_random();
    for (size_t i = test_effort(100); i > 0; i--) {
        pnx__instance instance = pnx__instance_make();
        uint32_t slot = (uint32_t)pnx__random_below(&random, PNX__SLOT_COUNT_MAX);
        pnx_id id = pnx__id_make(instance, slot, (uint32_t)pnx__random_next(&random));
        for (unsigned bit = 0; bit < 128; bit++) {
            pnx_id changed = id;
            if (bit < 64) {
                changed.high ^= UINT64_C(1) << bit;
            } else {
                changed.low ^= UINT64_C(1) << (bit - 64);
            }
            bool is_slot_or_generation = bit >= 64 && bit < 64 + 32 + PNX__SLOT_BITS;
            assert_int_equal(pnx__id_is_of(instance, changed), is_slot_or_generation);
        }
        assert_false(pnx__id_is_of(instance, PNX_ID_NONE));
    }
}

static void slot_of_any_id_is_in_range(void **state)
{
    pnx__random random = test_random();
    for (size_t i = test_effort(10000); i > 0; i--) {
        assert_true(pnx__id_slot(random_id(&random)) < PNX__SLOT_COUNT_MAX);
    }
    assert_int_equal(pnx__id_slot((pnx_id){~UINT64_C(0), ~UINT64_C(0)}), PNX__SLOT_COUNT_MAX - 1);
}

/* ---- uniqueness ------------------------------------------------------------------------------ */

#define INSTANCES_EACH 1000
#define CHILDREN 6

static int compare_instances(const void *a, const void *b)
{
    const pnx__instance *x = a;
    const pnx__instance *y = b;
    return pnx_id_compare((pnx_id){x->high, x->low}, (pnx_id){y->high, y->low});
}

static void check_all_different(pnx__instance *instances, size_t count)
{
    qsort(instances, count, sizeof(instances[0]), compare_instances);
    for (size_t i = 1; i < count; i++) {
        assert_int_not_equal(compare_instances(&instances[i - 1], &instances[i]), 0);
    }
}

static void *fill_instances(void *argument)
{
    pnx__instance *instances = argument;
    for (size_t i = 0; i < INSTANCES_EACH; i++) {
        instances[i] = pnx__instance_make();
    }
    return NULL;
}

static void threads_make_different_instances(void **state)
{
    static pnx__instance instances[TEST_THREADS][INSTANCES_EACH];
    test_in_threads(fill_instances, instances, sizeof(instances[0]));
    check_all_different(instances[0], (size_t)TEST_THREADS * INSTANCES_EACH);
}

/* Writes instances to the pipe; in pieces, because a pipe promises to take so much as one. */
static int send_instances(void *argument)
{
    const int *pipe_fd = argument;
    for (int i = 0; i < INSTANCES_EACH; i++) {
        pnx__instance instance = pnx__instance_make();
        child_expect(write(*pipe_fd, &instance, sizeof(instance)) == sizeof(instance));
    }
    return 0;
}

static void forks_make_different_instances(void **state)
{
    static pnx__instance instances[(CHILDREN + 1) * INSTANCES_EACH];
    size_t count = INSTANCES_EACH;
    fill_instances(instances);
    for (int i = 0; i < CHILDREN; i++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        assert_int_equal(test_in_child(send_instances, &fds[1]), 0);
        close(fds[1]);
        ssize_t got;
        while ((got = read(fds[0], &instances[count], sizeof(instances[0]))) > 0) {
            assert_int_equal(got, sizeof(instances[0]));
            count++;
        }
        close(fds[0]);
    }
    assert_int_equal(count, (CHILDREN + 1) * INSTANCES_EACH);
    check_all_different(instances, count);
}

/* ---- order and hash -------------------------------------------------------------------------- */

static void order_is_that_of_the_text(void **state)
{
    pnx__random random = test_random();
    for (size_t i = test_effort(20000); i > 0; i--) {
        pnx_id a = random_id(&random);
        pnx_id b = random_id(&random);
        if (pnx__random_below(&random, 2)) {
            b.high = a.high;
        }
        if (pnx__random_below(&random, 4) == 0) {
            b.low = a.low;
        }
        char text_a[PNX_ID_TEXT_SIZE];
        char text_b[PNX_ID_TEXT_SIZE];
        int expected = strcmp(pnx_id_format(a, text_a), pnx_id_format(b, text_b));
        int order = pnx_id_compare(a, b);
        assert_true((expected < 0) == (order < 0) && (expected > 0) == (order > 0));
        assert_int_equal(pnx_id_equal(a, b), order == 0);
        assert_true((pnx_id_compare(b, a) < 0) == (order > 0));
    }
}

static void hash_of_ids_of_one_registry_spreads(void **state)
{
    enum { IDS = 1 << 16, BUCKETS = 256, EACH = IDS / BUCKETS };
    static unsigned low[BUCKETS];
    static unsigned high[BUCKETS];
    pnx__instance instance = pnx__instance_make();
    for (uint32_t i = 0; i < IDS; i++) {
        uint64_t hash = pnx_id_hash(pnx__id_make(instance, i, i >> 8));
        low[hash % BUCKETS]++;
        high[hash / (UINT64_MAX / BUCKETS + 1)]++;
    }
    /* 256 ± 16 in each; 7 standard deviations are not seen in the life of this test. */
    for (int i = 0; i < BUCKETS; i++) {
        assert_in_range(low[i], EACH - 112, EACH + 112);
        assert_in_range(high[i], EACH - 112, EACH + 112);
    }
}

static void hash_depends_on_every_bit(void **state)
{
    pnx__random random = test_random();
    pnx_id id = random_id(&random);
    uint64_t hash = pnx_id_hash(id);
    assert_true(hash == pnx_id_hash(id));
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t flip = UINT64_C(1) << bit;
        assert_true(pnx_id_hash((pnx_id){id.high ^ flip, id.low}) != hash);
        assert_true(pnx_id_hash((pnx_id){id.high, id.low ^ flip}) != hash);
        assert_true(pnx_id_hash((pnx_id){id.high ^ flip, id.low ^ flip}) != hash);
    }
    assert_true(pnx_id_hash((pnx_id){id.low, id.high}) != hash);
}

/* ---- text ------------------------------------------------------------------------------------ */

static void format_is_as_in_the_rfc(void **state)
{
    char text[PNX_ID_TEXT_SIZE];
    pnx_id id = {UINT64_C(0x0123456789ab8def), UINT64_C(0x8123456789abcdef)};
    assert_ptr_equal(pnx_id_format(id, text), text);
    assert_string_equal(text, EXAMPLE);
    assert_string_equal(pnx_id_format(PNX_ID_NONE, text), "00000000-0000-0000-0000-000000000000");
}

static void parse_reads_what_format_writes(void **state)
{
    pnx__random random = test_random();
    for (size_t i = test_effort(20000); i > 0; i--) {
        char text[PNX_ID_TEXT_SIZE];
        pnx_id id = random_id(&random);
        pnx_id parsed = PNX_ID_NONE;
        pnx_id_format(id, text);
        for (char *at = text; *at; at++) {
            *at = (char)(pnx__random_below(&random, 2) ? toupper((unsigned char)*at) : *at);
        }
        assert_int_equal(pnx_id_parse(text, &parsed, NULL), PNX_OK);
        assert_true(pnx_id_equal(id, parsed));
    }
}

static void parse_accepts_uuids_of_others(void **state)
{
    /* RFC 9562: version 8 (appendix B.1), version 4 (A.3), and the nil and max UUIDs. */
    static const char *const texts[] = {
        "2489E9AD-2EE2-8E00-8EC9-32D5F69181C0",
        "919108f7-52d1-4320-9bac-f847db4148a8",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        pnx_id id;
        char text[PNX_ID_TEXT_SIZE];
        assert_int_equal(pnx_id_parse(texts[i], &id, NULL), PNX_OK);
        assert_int_equal(strcasecmp(pnx_id_format(id, text), texts[i]), 0);
    }
}

static void check_refused(const char *text, const char *where)
{
    const pnx_id before = {1, 2};
    pnx_id id = before;
    pnx_error err = {0};
    assert_int_equal(pnx_id_parse(text, &id, &err), PNX_EINVAL);
    assert_int_equal(pnx_id_parse(text, &id, NULL), PNX_EINVAL);
    assert_true(pnx_id_equal(id, before));
    assert_int_equal(err.code, PNX_EINVAL);
    assert_contains(err.message, where);
}

static void parse_refuses_one_wrong_character_anywhere(void **state)
{
    static const char wrong[] = {'g', 'G', 'x', '-', '0', ' ', '/', ':', '@', '`', '\n', '\xc3'};
    for (size_t at = 0; at < PNX_ID_TEXT_SIZE - 1; at++) {
        for (size_t i = 0; i < sizeof(wrong); i++) {
            bool is_dash = EXAMPLE[at] == '-';
            if (is_dash ? wrong[i] == '-' : wrong[i] == '0') {
                continue;
            }
            char text[] = EXAMPLE;
            char where[64];
            text[at] = wrong[i];
            snprintf(where, sizeof(where), "expected %s as character %zu",
                     is_dash ? "a dash" : "a hexadecimal digit", at + 1);
            check_refused(text, where);
        }
    }
}

static void parse_refuses_other_lengths(void **state)
{
    for (size_t length = 0; length < PNX_ID_TEXT_SIZE - 1; length++) {
        char text[] = EXAMPLE;
        char where[64];
        text[length] = '\0';
        snprintf(where, sizeof(where), "as character %zu", length + 1);
        check_refused(text, where);
    }
    check_refused(EXAMPLE "0", "expected nothing as character 37");
    check_refused(EXAMPLE "\n", "expected nothing as character 37");
    check_refused("{" EXAMPLE "}", "as character 1");
}

static void parse_errors_show_the_text_and_an_example(void **state)
{
    pnx_id id;
    pnx_error err = {0};
    assert_int_equal(pnx_id_parse("not\x1b[31m an id", &id, &err), PNX_EINVAL);
    assert_string_equal(err.message, "not an id: \"not\\x1b[31m an id\": expected a hexadecimal "
                                     "digit as character 1 (an id looks like " EXAMPLE ")");
    char long_text[1000];
    memset(long_text, '\x01', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    assert_int_equal(pnx_id_parse(long_text, &id, &err), PNX_EINVAL);
    /* The longest message there is fits. */
    assert_contains(err.message, EXAMPLE ")");
}

static void parse_says_which_argument_is_missing(void **state)
{
    pnx_id id;
    pnx_error err = {0};
    assert_int_equal(pnx_id_parse(NULL, &id, &err), PNX_EINVAL);
    assert_contains(err.message, "`text` is NULL");
    assert_int_equal(pnx_id_parse(EXAMPLE, NULL, &err), PNX_EINVAL);
    assert_contains(err.message, "`ret` is NULL");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_uuids_of_version_8),
        cmocka_unit_test(all_other_bits_of_an_instance_are_random),
        cmocka_unit_test(slot_and_generation_come_back),
        cmocka_unit_test(one_wrong_bit_is_another_instance),
        cmocka_unit_test(slot_of_any_id_is_in_range),
        cmocka_unit_test(threads_make_different_instances),
        cmocka_unit_test(forks_make_different_instances),
        cmocka_unit_test(order_is_that_of_the_text),
        cmocka_unit_test(hash_of_ids_of_one_registry_spreads),
        cmocka_unit_test(hash_depends_on_every_bit),
        cmocka_unit_test(format_is_as_in_the_rfc),
        cmocka_unit_test(parse_reads_what_format_writes),
        cmocka_unit_test(parse_accepts_uuids_of_others),
        cmocka_unit_test(parse_refuses_one_wrong_character_anywhere),
        cmocka_unit_test(parse_refuses_other_lengths),
        cmocka_unit_test(parse_errors_show_the_text_and_an_example),
        cmocka_unit_test(parse_says_which_argument_is_missing),
    };
    return cmocka_run_group_tests_name("id", tests, NULL, NULL);
}
