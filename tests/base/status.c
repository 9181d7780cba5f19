/* SPDX-License-Identifier: MIT */
/* Tests of src/patinox/base/status.c. */
#include "support.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <patinox/base.h>

/* Counting allocations of this process needs the name malloc, which sanitizers take. */
#define COUNTS_ALLOCATIONS (!TEST_ASAN && !TEST_TSAN)
#if COUNTS_ALLOCATIONS
void *__libc_malloc(size_t size); /* NOLINT: glibc's own name */
static _Thread_local unsigned allocations;

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}
#endif

/* ---- status ---------------------------------------------------------------------------------- */

static void every_status_has_its_own_name(void **state)
{
    for (int i = 0; i < PNX_STATUS_COUNT; i++) {
        const char *name = pnx_status_name((pnx_status)i);
        assert_non_null(name);
        assert_true(islower((unsigned char)name[0]));
        assert_string_not_equal(name, "unknown status");
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(name, pnx_status_name((pnx_status)j));
        }
    }
    assert_string_equal(pnx_status_name(PNX_ETIMEOUT), "timeout");
    assert_string_equal(pnx_status_name(PNX_EALREADY), "already cleaned up");
}

static void any_number_has_a_name_and_a_recovery(void **state)
{
    const int others[] = {-1, PNX_STATUS_COUNT, PNX_STATUS_COUNT + 1, INT_MAX, INT_MIN};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_string_equal(pnx_status_name((pnx_status)others[i]), "unknown status");
        assert_int_equal(pnx_recovery_of((pnx_status)others[i]), PNX_RECOVER_FAIL);
    }
}

static void every_status_has_the_documented_recovery(void **state)
{
    static const pnx_recovery expected[PNX_STATUS_COUNT] = {
        [PNX_OK] = PNX_RECOVER_NONE,
        [PNX_PENDING] = PNX_RECOVER_NONE,
        [PNX_ETIMEOUT] = PNX_RECOVER_RETRY,
        [PNX_EALREADY] = PNX_RECOVER_FAIL,
        [PNX_EFAILED] = PNX_RECOVER_FALLBACK,
        [PNX_ESHUTDOWN] = PNX_RECOVER_FAIL,
        [PNX_ENOMEM] = PNX_RECOVER_RETRY,
        [PNX_EINVAL] = PNX_RECOVER_FAIL,
        [PNX_ECANCELED] = PNX_RECOVER_FAIL,
        [PNX_ENOTFOUND] = PNX_RECOVER_FAIL,
        [PNX_EBUSY] = PNX_RECOVER_RETRY,
        [PNX_EDEADLOCK] = PNX_RECOVER_FAIL,
        [PNX_ELIMIT] = PNX_RECOVER_FALLBACK,
        [PNX_EABANDONED] = PNX_RECOVER_FAIL,
        [PNX_EUNSUPPORTED] = PNX_RECOVER_FALLBACK,
        [PNX_EFORKED] = PNX_RECOVER_FAIL,
    };
    for (int i = 0; i < PNX_STATUS_COUNT; i++) {
        assert_int_equal(pnx_recovery_of((pnx_status)i), expected[i]);
    }
}

/* ---- pnx_fail -------------------------------------------------------------------------------- */

static void fail_fills_the_error_and_returns_the_code(void **state)
{
    pnx_error err = {0};
    assert_int_equal(pnx_fail(&err, PNX_EBUSY, "slot %d of %s", 7, "table"), PNX_EBUSY);
    assert_int_equal(err.code, PNX_EBUSY);
    assert_string_equal(err.message, "slot 7 of table");
    assert_int_equal(err.cause.code, PNX_OK);
    assert_string_equal(err.cause.message, "");
}

static void fail_without_an_error_only_returns_the_code(void **state)
{
    errno = EPIPE;
    assert_int_equal(pnx_fail(NULL, PNX_EINVAL, "%s", "nobody reads this"), PNX_EINVAL);
    assert_int_equal(pnx_wrap(NULL, PNX_EINVAL, "%s", "nobody reads this"), PNX_EINVAL);
    assert_int_equal(errno, EPIPE);
}

static void fail_forgets_what_was_there(void **state)
{
    pnx_error err = {0};
    errno = EIO;
    pnx_fail(&err, PNX_EFAILED, "first: %m");
    pnx_wrap(&err, PNX_EFAILED, "second");
    pnx_fail(&err, PNX_EINVAL, "new");
    assert_string_equal(err.message, "new");
    assert_int_equal(err.sys_errno, 0);
    assert_int_equal(err.cause.code, PNX_OK);
    assert_int_equal(err.cause.sys_errno, 0);
}

static void fail_prints_and_keeps_errno(void **state)
{
    pnx_error err = {0};
    errno = ENOENT;
    pnx_fail(&err, PNX_EFAILED, "open %s: %m", "/no/such");
    assert_int_equal(errno, ENOENT);
    assert_int_equal(err.sys_errno, ENOENT);
    assert_string_equal(err.message, "open /no/such: No such file or directory");
}

static void errno_is_recorded_where_it_has_to_do_with_it(void **state)
{
    static const struct {
        pnx_status code;
        int recorded;
        const char *format;
    } cases[] = {
        {PNX_EFAILED, EACCES, "without showing it"},
        {PNX_ENOMEM, EACCES, "with it: %m"},
        {PNX_EUNSUPPORTED, EACCES, "%-20m."},
        {PNX_EUNSUPPORTED, EACCES, "100 %% sure: %m"},
        {PNX_EINVAL, 0, "left over"},
        {PNX_EINVAL, 0, "100 %%m"},
        {PNX_EINVAL, 0, "%%%%m"},
        {PNX_EINVAL, 0, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pnx_error err = {0};
        errno = EACCES;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-security"
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        pnx_fail(&err, cases[i].code, cases[i].format);
#pragma GCC diagnostic pop
        assert_int_equal(err.sys_errno, cases[i].recorded);
        assert_int_equal(errno, EACCES);
    }
}

static void errno_is_not_taken_from_an_argument(void **state)
{
    pnx_error err = {0};
    errno = EACCES;
    pnx_fail(&err, PNX_EINVAL, "%s and %c", "100%m", 'm');
    assert_int_equal(err.sys_errno, 0);
    assert_string_equal(err.message, "100%m and m");
}

static void long_messages_are_cut_with_dots(void **state)
{
    pnx_error err = {0};
    char text[600];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';

    pnx_fail(&err, PNX_EINVAL, "%.*s", PNX_ERROR_MESSAGE_MAX - 1, text);
    assert_int_equal(strlen(err.message), PNX_ERROR_MESSAGE_MAX - 1);
    assert_null(strchr(err.message, '.'));

    pnx_fail(&err, PNX_EINVAL, "%s", text);
    assert_int_equal(strlen(err.message), PNX_ERROR_MESSAGE_MAX - 1);
    assert_string_equal(err.message + PNX_ERROR_MESSAGE_MAX - 5, "x...");
}

static void cut_messages_are_utf8(void **state)
{
    for (int shift = 0; shift < 4; shift++) {
        pnx_error err = {0};
        char text[600] = "";
        for (size_t end = 0; end + 4 < sizeof(text); end += 4) {
            memcpy(text + end, "😀", 5);
        }
        pnx_fail(&err, PNX_EINVAL, "%.*s%s", shift, "abc", text);
        assert_true(test_is_utf8(err.message));
        assert_in_range(strlen(err.message), PNX_ERROR_MESSAGE_MAX - 4, PNX_ERROR_MESSAGE_MAX - 1);
        pnx_wrap(&err, PNX_EINVAL, "outer");
        assert_true(test_is_utf8(err.cause.message));
        assert_in_range(strlen(err.cause.message), PNX_ERROR_CAUSE_MAX - 4,
                        PNX_ERROR_CAUSE_MAX - 1);
    }
}

static void arguments_may_be_of_the_error_itself(void **state)
{
    pnx_error err = {0};
    pnx_fail(&err, PNX_EINVAL, "inner");
    pnx_fail(&err, PNX_EFAILED, "outer (%s)", err.message);
    assert_string_equal(err.message, "outer (inner)");
    pnx_wrap(&err, PNX_EFAILED, "more (%s)", err.message);
    assert_string_equal(err.message, "more (outer (inner))");
    assert_string_equal(err.cause.message, "outer (inner)");
}

static void failing_allocates_nothing(void **state)
{
#if COUNTS_ALLOCATIONS
    pnx_error err = {0};
    char buffer[400];
    char text[600];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    errno = ENOENT;
    unsigned before = allocations;
    pnx_fail(&err, PNX_EFAILED, "%s %d %p: %m", text, 7, (void *)&err);
    pnx_wrap(&err, PNX_EFAILED, "%zu %5.2f %m", sizeof(text), 1.5);
    (void)pnx_error_format(&err, buffer, sizeof(buffer));
    (void)pnx_error_in(&pnx_domain_errno, &err);
    assert_int_equal(allocations, before);
    /* The counter counts. (Compilers know that nobody needs this memory.) */
    void *volatile memory = malloc(1);
    free(memory);
    assert_true(allocations > before);
#else
    skip();
#endif
}

/* ---- pnx_wrap -------------------------------------------------------------------------------- */

static void wrap_keeps_the_first_failure_as_cause(void **state)
{
    pnx_error err = {0};
    errno = ENOSPC;
    pnx_fail(&err, PNX_EFAILED, "write: %m");
    errno = EBADF;
    assert_int_equal(pnx_wrap(&err, PNX_ENOMEM, "save %s", "state"), PNX_ENOMEM);
    assert_int_equal(errno, EBADF);
    assert_int_equal(err.code, PNX_ENOMEM);
    assert_string_equal(err.message, "save state");
    assert_int_equal(err.sys_errno, ENOSPC);
    assert_int_equal(err.cause.code, PNX_EFAILED);
    assert_int_equal(err.cause.sys_errno, ENOSPC);
    assert_string_equal(err.cause.message, "write: No space left on device");

    pnx_wrap(&err, PNX_ETIMEOUT, "checkpoint");
    assert_int_equal(err.code, PNX_ETIMEOUT);
    assert_string_equal(err.message, "checkpoint");
    assert_int_equal(err.cause.code, PNX_EFAILED);
    assert_string_equal(err.cause.message, "write: No space left on device");
}

static void wrap_takes_a_new_errno_when_it_shows_it(void **state)
{
    pnx_error err = {0};
    errno = ENOSPC;
    pnx_fail(&err, PNX_EFAILED, "write: %m");
    errno = EBADF;
    pnx_wrap(&err, PNX_EFAILED, "and close: %m");
    assert_int_equal(err.sys_errno, EBADF);
    assert_int_equal(err.cause.sys_errno, ENOSPC);
}

static void wrap_does_not_take_a_stale_errno(void **state)
{
    pnx_error err = {0};
    pnx_fail(&err, PNX_EINVAL, "negative");
    errno = EBADF;
    pnx_wrap(&err, PNX_EFAILED, "reading the settings");
    assert_int_equal(err.sys_errno, 0);
}

static void wrap_of_nothing_is_fail(void **state)
{
    pnx_error err = {0};
    errno = ENOENT;
    pnx_wrap(&err, PNX_EFAILED, "alone: %m");
    assert_int_equal(err.cause.code, PNX_OK);
    assert_int_equal(err.sys_errno, ENOENT);
    assert_string_equal(err.message, "alone: No such file or directory");
    pnx_error_clear(&err);
    pnx_wrap(&err, PNX_EFAILED, "alone");
    assert_int_equal(err.sys_errno, ENOENT);
}

static void wrap_cuts_a_long_cause(void **state)
{
    pnx_error err = {0};
    pnx_fail(&err, PNX_EINVAL, "%0200d", 1);
    pnx_wrap(&err, PNX_EINVAL, "outer");
    assert_int_equal(strlen(err.cause.message), PNX_ERROR_CAUSE_MAX - 1);
    assert_string_equal(err.cause.message + PNX_ERROR_CAUSE_MAX - 5, "0...");
}

/* ---- pnx_error_format, pnx_error_clear ------------------------------------------------------- */

static void format_joins_message_and_cause(void **state)
{
    pnx_error err = {0};
    char text[64];
    pnx_fail(&err, PNX_EINVAL, "inner");
    assert_int_equal(pnx_error_format(&err, text, sizeof(text)), 5);
    assert_string_equal(text, "inner");
    pnx_wrap(&err, PNX_EINVAL, "outer");
    assert_int_equal(pnx_error_format(&err, text, sizeof(text)), 12);
    assert_string_equal(text, "outer: inner");
}

static void format_works_like_snprintf(void **state)
{
    pnx_error err = {0};
    char text[9];
    pnx_fail(&err, PNX_EINVAL, "inner");
    pnx_wrap(&err, PNX_EINVAL, "outer");
    assert_int_equal(pnx_error_format(&err, NULL, 0), 12);
    assert_int_equal(pnx_error_format(&err, text, sizeof(text)), 12);
    assert_string_equal(text, "outer...");
    assert_int_equal(pnx_error_format(&err, text, 1), 12);
    assert_string_equal(text, "");
}

static void format_names_the_status_where_there_is_no_message(void **state)
{
    char text[64];
    const pnx_error err = {.code = PNX_ETIMEOUT};
    pnx_error_format(&err, text, sizeof(text));
    assert_string_equal(text, "timeout");
    const pnx_error with_cause = {.code = PNX_ETIMEOUT, .cause.code = PNX_EBUSY};
    pnx_error_format(&with_cause, text, sizeof(text));
    assert_string_equal(text, "timeout: busy");
    const pnx_error nothing = {0};
    pnx_error_format(&nothing, text, sizeof(text));
    assert_string_equal(text, "ok");
    pnx_error_format(NULL, text, sizeof(text));
    assert_string_equal(text, "ok");
}

static void clear_forgets_everything(void **state)
{
    pnx_error err = {0};
    const pnx_error zero = {0};
    pnx_fail(&err, PNX_EFAILED, "inner");
    pnx_wrap(&err, PNX_EFAILED, "outer");
    pnx_error_clear(&err);
    assert_memory_equal(&err, &zero, sizeof(err));
    pnx_error_clear(NULL);
}

/* ---- domains --------------------------------------------------------------------------------- */

static bool map_busy_only(const pnx_error *err, int *ret_code)
{
    if (err->code != PNX_EBUSY) {
        return false;
    }
    *ret_code = 1000 + (int)strlen(err->message);
    return true;
}

static void domain_asks_map_then_table_then_otherwise(void **state)
{
    const pnx_error_domain domain = {
        .name = "host",
        .codes = {[PNX_OK] = 5, [PNX_EBUSY] = 1, [PNX_EINVAL] = 2},
        .otherwise = 99,
        .map = map_busy_only,
    };
    pnx_error err = {0};
    assert_int_equal(pnx_error_in(&domain, &err), 0);
    assert_int_equal(pnx_error_in(&domain, NULL), 0);
    pnx_fail(&err, PNX_EBUSY, "four");
    assert_int_equal(pnx_error_in(&domain, &err), 1004);
    pnx_fail(&err, PNX_EINVAL, "table");
    assert_int_equal(pnx_error_in(&domain, &err), 2);
    pnx_fail(&err, PNX_ELIMIT, "not in the table");
    assert_int_equal(pnx_error_in(&domain, &err), 99);
    err.code = (pnx_status)4711;
    assert_int_equal(pnx_error_in(&domain, &err), 99);
    err.code = (pnx_status)-4711;
    assert_int_equal(pnx_error_in(&domain, &err), 99);
    assert_int_equal(pnx_error_in(NULL, &err), -4711);
}

static void errno_domain_is_negative_for_every_failure(void **state)
{
    for (int i = PNX_OK + 1; i < PNX_STATUS_COUNT; i++) {
        const pnx_error err = {.code = (pnx_status)i};
        assert_true(pnx_error_in(&pnx_domain_errno, &err) < 0);
    }
    const pnx_error busy = {.code = PNX_EBUSY};
    assert_int_equal(pnx_error_in(&pnx_domain_errno, &busy), -EBUSY);
    const pnx_error failed = {.code = PNX_EFAILED};
    assert_int_equal(pnx_error_in(&pnx_domain_errno, &failed), -EIO);
    const pnx_error unknown = {.code = (pnx_status)4711};
    assert_int_equal(pnx_error_in(&pnx_domain_errno, &unknown), -EIO);
}

static void errno_domain_prefers_the_recorded_errno(void **state)
{
    pnx_error err = {0};
    errno = ENOSPC;
    pnx_fail(&err, PNX_EFAILED, "write: %m");
    assert_int_equal(pnx_error_in(&pnx_domain_errno, &err), -ENOSPC);
    /* A left-over errno does not speak for an error that has nothing to do with it. */
    pnx_fail(&err, PNX_EINVAL, "negative size");
    assert_int_equal(pnx_error_in(&pnx_domain_errno, &err), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_own_name),
        cmocka_unit_test(any_number_has_a_name_and_a_recovery),
        cmocka_unit_test(every_status_has_the_documented_recovery),
        cmocka_unit_test(fail_fills_the_error_and_returns_the_code),
        cmocka_unit_test(fail_without_an_error_only_returns_the_code),
        cmocka_unit_test(fail_forgets_what_was_there),
        cmocka_unit_test(fail_prints_and_keeps_errno),
        cmocka_unit_test(errno_is_recorded_where_it_has_to_do_with_it),
        cmocka_unit_test(errno_is_not_taken_from_an_argument),
        cmocka_unit_test(long_messages_are_cut_with_dots),
        cmocka_unit_test(cut_messages_are_utf8),
        cmocka_unit_test(arguments_may_be_of_the_error_itself),
        cmocka_unit_test(failing_allocates_nothing),
        cmocka_unit_test(wrap_keeps_the_first_failure_as_cause),
        cmocka_unit_test(wrap_takes_a_new_errno_when_it_shows_it),
        cmocka_unit_test(wrap_does_not_take_a_stale_errno),
        cmocka_unit_test(wrap_of_nothing_is_fail),
        cmocka_unit_test(wrap_cuts_a_long_cause),
        cmocka_unit_test(format_joins_message_and_cause),
        cmocka_unit_test(format_works_like_snprintf),
        cmocka_unit_test(format_names_the_status_where_there_is_no_message),
        cmocka_unit_test(clear_forgets_everything),
        cmocka_unit_test(domain_asks_map_then_table_then_otherwise),
        cmocka_unit_test(errno_domain_is_negative_for_every_failure),
        cmocka_unit_test(errno_domain_prefers_the_recorded_errno),
    };
    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
