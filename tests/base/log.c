/* SPDX-License-Identifier: MIT */
/* Tests of src/patinox/base/log.c. */
#include "base/log.h"

#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

struct heard {
    int lines;
    pnx_log_level level;
    char text[1024];
};

static void hear(pnx_log_level level, const char *message, void *context)
{
    struct heard *heard = context;
    heard->lines++;
    heard->level = level;
    snprintf(heard->text, sizeof(heard->text), "%s", message);
}

static int silence(void **state)
{
    pnx_log_set(NULL, NULL, PNX_LOG_DEBUG);
    return 0;
}

/* A text that nobody may look at. */
static const char *untouchable(void)
{
    static const char *page;
    if (!page) {
        page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }
    return page;
}

static void silent_by_default(void **state)
{
    pnx__log(PNX_LOG_ERROR, "%s", untouchable());
}

static void the_hook_gets_level_line_and_context(void **state)
{
    struct heard heard = {0};
    pnx_log_set(hear, &heard, PNX_LOG_DEBUG);
    pnx__log(PNX_LOG_WARNING, "slot %d of %s", 7, "table");
    assert_int_equal(heard.lines, 1);
    assert_int_equal(heard.level, PNX_LOG_WARNING);
    assert_string_equal(heard.text, "slot 7 of table");
}

static void lines_above_most_are_not_even_formatted(void **state)
{
    struct heard heard = {0};
    for (int most = PNX_LOG_ERROR; most <= PNX_LOG_DEBUG; most++) {
        pnx_log_set(hear, &heard, (pnx_log_level)most);
        for (int level = PNX_LOG_ERROR; level <= PNX_LOG_DEBUG; level++) {
            heard.lines = 0;
            pnx__log((pnx_log_level)level, "%s", level <= most ? "seen" : untouchable());
            assert_int_equal(heard.lines, level <= most);
        }
    }
}

static void null_is_silence_again(void **state)
{
    struct heard heard = {0};
    pnx_log_set(hear, &heard, PNX_LOG_DEBUG);
    pnx_log_set(NULL, &heard, PNX_LOG_DEBUG);
    pnx__log(PNX_LOG_ERROR, "%s", untouchable());
    assert_int_equal(heard.lines, 0);
}

static void a_line_is_one_line(void **state)
{
    struct heard heard = {0};
    pnx_log_set(hear, &heard, PNX_LOG_DEBUG);
    pnx__log(PNX_LOG_INFO, "one\ntwo\x1b[31m");
    assert_string_equal(heard.text, "one two [31m");
}

static void long_lines_are_cut_with_dots(void **state)
{
    struct heard heard = {0};
    pnx_log_set(hear, &heard, PNX_LOG_DEBUG);
    pnx__log(PNX_LOG_INFO, "%0*d", PNX__LOG_LINE_MAX - 1, 7);
    assert_int_equal(strlen(heard.text), PNX__LOG_LINE_MAX - 1);
    assert_int_equal(heard.text[PNX__LOG_LINE_MAX - 2], '7');
    pnx__log(PNX_LOG_INFO, "%0*d", PNX__LOG_LINE_MAX, 7);
    assert_int_equal(strlen(heard.text), PNX__LOG_LINE_MAX - 1);
    assert_string_equal(heard.text + PNX__LOG_LINE_MAX - 5, "0...");
}

static void spoil_errno(pnx_log_level level, const char *message, void *context)
{
    *(bool *)context = strcmp(message, "No such file or directory") == 0;
    errno = EDOM;
}

static void errno_is_shown_and_kept(void **state)
{
    bool shown = false;
    pnx_log_set(spoil_errno, &shown, PNX_LOG_DEBUG);
    errno = ENOENT;
    pnx__log(PNX_LOG_INFO, "%m");
    assert_int_equal(errno, ENOENT);
    assert_true(shown);
}

static void note_cancel_state(pnx_log_level level, const char *message, void *context)
{
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, context);
}

static void hooks_run_with_cancellation_disabled(void **state)
{
    int inside = -1;
    int outside = -1;
    pnx_log_set(note_cancel_state, &inside, PNX_LOG_DEBUG);
    pnx__log(PNX_LOG_INFO, "line");
    assert_int_equal(inside, PTHREAD_CANCEL_DISABLE);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &outside);
    assert_int_equal(outside, PTHREAD_CANCEL_ENABLE);
}

/* ---- while the hook changes ------------------------------------------------------------------ */

static char first_context;
static char second_context;
static _Atomic unsigned mismatches;
static _Atomic unsigned interruptions;

static void first_hook(pnx_log_level level, const char *message, void *context)
{
    atomic_fetch_add(&mismatches, context != &first_context || level > PNX_LOG_INFO);
}

static void second_hook(pnx_log_level level, const char *message, void *context)
{
    atomic_fetch_add(&mismatches, context != &second_context);
}

static void log_both_levels(void)
{
    pnx__log(PNX_LOG_INFO, "line");
    pnx__log(PNX_LOG_DEBUG, "line");
}

static void set_the_other_hook(void)
{
    static bool second;
    second = !second;
    if (second) {
        pnx_log_set(second_hook, &second_context, PNX_LOG_DEBUG);
    } else {
        pnx_log_set(first_hook, &first_context, PNX_LOG_INFO);
    }
}

static void (*interruption)(void);

static void interrupt(int number)
{
    interruption();
    atomic_fetch_add(&interruptions, 1);
}

static void *send_signals(void *argument)
{
    unsigned enough = (unsigned)test_effort(10000);
    while (atomic_load(&interruptions) < enough) {
        pthread_kill(*(const pthread_t *)argument, SIGUSR1);
    }
    return NULL;
}

/* Does `work` again and again, while `between` comes in at any instruction of it. */
static void interrupt_all_the_time(void (*work)(void), void (*between)(void))
{
    const struct sigaction action = {.sa_handler = interrupt};
    struct sigaction before;
    pthread_t self = pthread_self();
    pthread_t sender;
    set_the_other_hook();
    interruption = between;
    atomic_store(&interruptions, 0);
    sigaction(SIGUSR1, &action, &before);
    assert_int_equal(pthread_create(&sender, NULL, send_signals, &self), 0);
    unsigned enough = (unsigned)test_effort(10000);
    while (atomic_load(&interruptions) < enough) {
        work();
    }
    pthread_join(sender, NULL);
    sigaction(SIGUSR1, &before, NULL);
    assert_int_equal(atomic_load(&mismatches), 0);
}

static void a_line_in_the_middle_of_a_change_gets_no_half_hook(void **state)
{
    interrupt_all_the_time(set_the_other_hook, log_both_levels);
}

static void a_change_in_the_middle_of_a_line_gives_no_half_hook(void **state)
{
    interrupt_all_the_time(log_both_levels, set_the_other_hook);
}

static _Atomic bool stop;

static void *log_until_stop(void *argument)
{
    while (!atomic_load(&stop)) {
        log_both_levels();
    }
    return NULL;
}

static void threads_may_log_while_the_hook_changes(void **state)
{
    pthread_t threads[2];
    atomic_store(&stop, false);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, log_until_stop, NULL), 0);
    }
    for (size_t i = test_effort(100000); i > 0; i--) {
        set_the_other_hook();
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(atomic_load(&mismatches), 0);
}

/* ---- the ready-made hook --------------------------------------------------------------------- */

/* What pnx_log_stderr writes, into `buffer`. */
static void capture(pnx_log_level level, const char *message, char *buffer, size_t size)
{
    int fds[2];
    int saved = dup(STDERR_FILENO);
    assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
    dup2(fds[1], STDERR_FILENO);
    pnx_log_stderr(level, message, NULL);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(fds[1]);
    ssize_t length = read(fds[0], buffer, size - 1);
    close(fds[0]);
    buffer[length > 0 ? length : 0] = '\0';
}

static void stderr_lines_name_library_and_level(void **state)
{
    char text[1024];
    capture(PNX_LOG_ERROR, "broken", text, sizeof(text));
    assert_string_equal(text, "patinox: error: broken\n");
    capture(PNX_LOG_WARNING, "100%s", text, sizeof(text));
    assert_string_equal(text, "patinox: warning: 100%s\n");
    capture(PNX_LOG_INFO, "", text, sizeof(text));
    assert_string_equal(text, "patinox: info: \n");
    capture(PNX_LOG_DEBUG, "x", text, sizeof(text));
    assert_string_equal(text, "patinox: debug: x\n");
    capture((pnx_log_level)99, NULL, text, sizeof(text));
    assert_string_equal(text, "patinox: log: (no message)\n");
}

static void stderr_takes_the_longest_line_whole(void **state)
{
    char line[PNX__LOG_LINE_MAX];
    char text[1024];
    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    capture(PNX_LOG_WARNING, line, text, sizeof(text));
    assert_int_equal(strlen(text), sizeof("patinox: warning: \n") - 1 + sizeof(line) - 1);
    assert_string_equal(text + strlen(text) - 2, "x\n");
}

static void stderr_cuts_longer_ones(void **state)
{
    char line[2000];
    char text[4000];
    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    capture(PNX_LOG_WARNING, line, text, sizeof(text));
    assert_string_equal(text + strlen(text) - 5, "x...\n");
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void stderr_that_is_closed_does_no_harm(void **state)
{
    int saved = dup(STDERR_FILENO);
    close(STDERR_FILENO);
    errno = ENOENT;
    pnx_log_stderr(PNX_LOG_ERROR, "nobody hears", NULL);
    int after = errno;
    dup2(saved, STDERR_FILENO);
    close(saved);
    assert_int_equal(after, ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silent_by_default),
        cmocka_unit_test_teardown(the_hook_gets_level_line_and_context, silence),
        cmocka_unit_test_teardown(lines_above_most_are_not_even_formatted, silence),
        cmocka_unit_test_teardown(null_is_silence_again, silence),
        cmocka_unit_test_teardown(a_line_is_one_line, silence),
        cmocka_unit_test_teardown(long_lines_are_cut_with_dots, silence),
        cmocka_unit_test_teardown(errno_is_shown_and_kept, silence),
        cmocka_unit_test_teardown(hooks_run_with_cancellation_disabled, silence),
        cmocka_unit_test_teardown(a_line_in_the_middle_of_a_change_gets_no_half_hook, silence),
        cmocka_unit_test_teardown(a_change_in_the_middle_of_a_line_gives_no_half_hook, silence),
        cmocka_unit_test_teardown(threads_may_log_while_the_hook_changes, silence),
        cmocka_unit_test(stderr_lines_name_library_and_level),
        cmocka_unit_test(stderr_takes_the_longest_line_whole),
        cmocka_unit_test(stderr_cuts_longer_ones),
        cmocka_unit_test(stderr_that_is_closed_does_no_harm),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
