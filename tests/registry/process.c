/* SPDX-License-Identifier: MIT */
/* The end of the process, forks, the default registry; each in a child process of its own. */
#include "support.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* LeakSanitizer asks this. It takes what a fork child inherits from its parent's threads for
 * leaked. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return 1;
}

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* TSan supports no new threads in the fork child of a process that has some, and ASan's allocator
 * leaves its locks there as they were. */
#define needs_a_whole_child()                                                                      \
    do {                                                                                           \
        if (SANITIZED)                                                                             \
            skip();                                                                                \
    } while (0)

static int output; /* a pipe's end, of the child */

static pnx_status say_it(const char *what, const pnx_release *why)
{
    (void)!write(output, what, strlen(what));
    return PNX_OK;
}

PNX_KIND(text, const char *, say_it, .timeout = PNX_S(5));
PNX_KIND(copied, const char *, say_it, .on_fork = PNX_FORK_RELEASE);

/* Runs `body` in a child that ends by exit(3); what it wrote goes to `said`. Its exit status. */
static int in_child(void (*body)(void), char *said, size_t size)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        output = ends[1];
        dup2(ends[1], 2);
        signal(SIGSEGV, SIG_DFL); /* cmocka would go on with the next test, in here */
        signal(SIGBUS, SIG_DFL);
        body();
        exit(0);
    }
    close(ends[1]);
    size_t length = 0;
    ssize_t got;
    while ((got = read(ends[0], said + length, size - 1 - length)) > 0)
        length += (size_t)got;
    said[length] = '\0';
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static pnx_registry *make(pnx_config config)
{
    pnx_registry *registry = NULL;
    if (pnx_registry_create(&config, &registry, NULL) != PNX_OK)
        _exit(99);
    return registry;
}

static void hold(pnx_registry *registry, const char *what)
{
    if (pnx_register(registry, text_kind, &what, PNX_HERE, NULL, NULL) != PNX_OK)
        _exit(98);
}

static void exit_with_held(void)
{
    hold(make((pnx_config){.workers = 1}), "held ");
}

static void at_exit_all_is_given_back(void **state)
{
    char said[4096];
    assert_int_equal(in_child(exit_with_held, said, sizeof said), 0);
    assert_string_equal(said, "held ");
}

static void exit_with_two(void)
{
    hold(make((pnx_config){.workers = 1}), "one ");
    hold(make((pnx_config){.executor = PNX_MANUAL}), "two ");
}

static void manual_registries_too(void **state)
{
    char said[4096];
    assert_int_equal(in_child(exit_with_two, said, sizeof said), 0);
    assert_string_equal(said, "one two ");
}

static void exit_and_report_only(void)
{
    hold(
        make((pnx_config){
            .workers = 1, .at_exit = PNX_EXIT_REPORT, .leak_report = "stderr", .name = "reporter"}),
        "held");
}

static void a_report_may_be_all(void **state)
{
    char said[4096];
    assert_int_equal(in_child(exit_and_report_only, said, sizeof said), 0);
    assert_contains(said, "reporter");
    assert_contains(said, "text");
    assert_contains(said, "process.c");
}

static void exit_and_do_nothing(void)
{
    hold(make((pnx_config){.workers = 1, .at_exit = PNX_EXIT_NOTHING}), "held");
}

static void it_can_be_turned_off(void **state)
{
    char said[4096];
    assert_int_equal(in_child(exit_and_do_nothing, said, sizeof said), 0);
    assert_string_equal(said, "");
}

/* ---- exit against the end of a registry ------------------------------------------------------ */

static pnx_registry *that_goes;
static _Atomic uint32_t releasing;

static pnx_status take_a_moment(int value, const pnx_release *why)
{
    atomic_store(&releasing, 1);
    pnx__futex_wake(&releasing, 1);
    const pnx_time end = pnx_monotonic_now() + PNX_MS(value);
    while (pnx_monotonic_now() < end)
        sched_yield();
    return PNX_OK;
}

PNX_KIND(moment, int, take_a_moment);

/* It waits for the shutdown that the exit has begun, and destroys the registry right after that,
 * while the exit still looks at what became of it. */
static void *end_it_too(void *argument)
{
    while (atomic_load(&releasing) == 0)
        pnx__futex_wait(&releasing, 0, PNX_FOREVER);
    if (pnx_registry_shutdown(that_goes, NULL, NULL, NULL) != PNX_OK ||
        pnx_registry_destroy(that_goes, NULL) != PNX_OK)
        _exit(97);
    return NULL;
}

static pthread_t ender;

static void wait_for_the_other(void)
{
    pthread_join(ender, NULL);
}

static void exit_while_it_goes(void)
{
    const int milliseconds = 2;
    atexit(wait_for_the_other); /* runs after our hook, which is younger */
    that_goes = make((pnx_config){.workers = 1});
    if (pnx_register(that_goes, moment_kind, &milliseconds, PNX_HERE, NULL, NULL) != PNX_OK)
        _exit(98);
    pthread_create(&ender, NULL, end_it_too, NULL);
}

static void a_registry_may_go_while_the_process_exits(void **state)
{
    char said[4096];
    for (size_t i = effort(50); i > 0; i--) {
        assert_int_equal(in_child(exit_while_it_goes, said, sizeof said), 0);
        assert_string_equal(said, "");
    }
}

static void exit_strictly(void)
{
    hold(make((pnx_config){.workers = 1, .leak_exit_status = 23}), "held ");
}

static void exit_strictly_without_leaks(void)
{
    pnx_registry *registry = make((pnx_config){.workers = 1, .leak_exit_status = 23});
    pnx_auto(text) guard = pnx_reserve(text, registry, NULL);
    if (!pnx_arm(&guard, "dropped "))
        _exit(97);
}

static void a_leak_may_be_an_exit_status(void **state)
{
    char said[4096];
    assert_int_equal(in_child(exit_strictly, said, sizeof said), 23);
    assert_string_equal(said, "held ");
    assert_int_equal(in_child(exit_strictly_without_leaks, said, sizeof said), 0);
    assert_string_equal(said, "dropped ");
}

static pnx_status hang_for_ever(void *value, const pnx_release *why)
{
    for (;;)
        pause();
    return PNX_OK;
}

static const pnx_kind hanging_kind = {.name = "hanging", .release = hang_for_ever};

static void exit_with_hanging(void)
{
    pnx_registry *registry =
        make((pnx_config){.workers = 1, .exit_grace = PNX_MS(150), .leak_exit_status = 7});
    if (pnx_register(registry, &hanging_kind, NULL, NULL, NULL, NULL) != PNX_OK)
        _exit(98);
    hold(registry, "held");
}

static void the_exit_is_bounded(void **state)
{
    char said[4096];
    const pnx_time begin = pnx_monotonic_now();
    assert_int_equal(in_child(exit_with_hanging, said, sizeof said), 7);
    assert_true(pnx_monotonic_now() - begin < PNX_S(30));
}

static pnx_status call_exit(void *value, const pnx_release *why)
{
    exit(5);
}

static const pnx_kind exiting_kind = {.name = "exiting", .release = call_exit};

static void exit_in_release(void)
{
    pnx_registry *registry = make((pnx_config){.workers = 2, .exit_grace = PNX_MS(300)});
    hold(registry, "");
    if (pnx_register(registry, &exiting_kind, NULL, NULL, NULL, NULL) != PNX_OK)
        _exit(98);
    (void)pnx_release_all(registry, NULL, PNX_FOREVER, NULL);
    pause();
}

static void a_release_may_exit(void **state)
{
    char said[4096];
    assert_int_equal(in_child(exit_in_release, said, sizeof said), 5);
}

/* ---- the default registry -------------------------------------------------------------------- */

static void use_the_default(void)
{
    setenv("PATINOX_LEAK_EXIT_STATUS", "9", 1);
    pnx_registry *registry = pnx_registry_default();
    if (registry == NULL || registry != pnx_registry_default())
        _exit(96);
    (void)!write(output, pnx_registry_name(registry), strlen(pnx_registry_name(registry)));
    hold(registry, " held");
}

static void the_default_listens_to_the_environment(void **state)
{
    char said[4096];
    assert_int_equal(in_child(use_the_default, said, sizeof said), 9);
    assert_string_equal(said, "default held");
}

static void a_wrong_environment(void)
{
    setenv("PATINOX_WORKERS", "many", 1);
    pnx_log_set(pnx_log_stderr, NULL, PNX_LOG_DEBUG);
    exit(pnx_registry_default() == NULL ? 3 : 4);
}

static void a_wrong_environment_is_told(void **state)
{
    char said[4096];
    assert_int_equal(in_child(a_wrong_environment, said, sizeof said), 3);
    assert_contains(said, "PATINOX_WORKERS");
    assert_contains(said, "many");
}

static void replace_the_default(void)
{
    pnx_registry *first = pnx_registry_default();
    (void)pnx_registry_shutdown(first, NULL, NULL, NULL);
    if (pnx_registry_destroy(first, NULL) != PNX_OK)
        _exit(95);
    hold(pnx_registry_default(), "again");
}

static void a_new_default_follows(void **state)
{
    char said[4096];
    assert_int_equal(in_child(replace_the_default, said, sizeof said), 0);
    assert_string_equal(said, "again");
}

/* ---- forks ----------------------------------------------------------------------------------- */

static int exit_of(pid_t child)
{
    int status = 0;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define in_grandchild(condition)                                                                   \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)dprintf(output, "line %d: %s\n", __LINE__, #condition);                          \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void fork_and_disown(void)
{
    pnx_registry *registry = make((pnx_config){.workers = 2});
    {
        pnx_auto(text) guard = pnx_reserve(text, registry, NULL);
        pnx_auto(text) reserved = pnx_reserve(text, registry, NULL);
        pnx_auto(copied) copy = pnx_reserve(copied, registry, NULL);
        if (!pnx_arm(&guard, "parent ") || !pnx_arm(&copy, "copy "))
            _exit(97);
        hold(registry, "held ");
        const pnx_id id = pnx_id_of(&guard);
        const pid_t child = fork();
        if (child == 0) {
            pnx_error err = {0};
            const char *what = "child";
            in_grandchild(pnx_register(registry, text_kind, &what, NULL, NULL, &err) ==
                          PNX_EFORKED);
            in_grandchild(pnx_release_later(registry, id, NULL) == PNX_EFORKED);
            in_grandchild(pnx_release_now(registry, id, PNX_FOREVER, &err) == PNX_EFORKED);
            in_grandchild(pnx_release_all(registry, NULL, PNX_FOREVER, NULL) == PNX_EFORKED);
            in_grandchild(pnx_unregister(registry, id, NULL, &err) == PNX_EFORKED);
            in_grandchild(pnx_registry_wait_idle(registry, PNX_FOREVER) == PNX_EFORKED);
            in_grandchild(pnx_registry_shutdown(registry, NULL, NULL, &err) == PNX_EFORKED);
            in_grandchild(pnx_registry_destroy(registry, &err) == PNX_EFORKED);
            in_grandchild(pnx_resource_set_metadata(registry, id, "k", "v", &err) == PNX_EFORKED);
            pnx_stats stats;
            in_grandchild(pnx_registry_stats(registry, &stats, &err) == PNX_EFORKED);
            pnx_report report;
            in_grandchild(pnx_registry_report(registry, &report, &err) == PNX_EFORKED);
            pnx_auto(text) another = pnx_reserve(text, registry, &err);
            in_grandchild(another.status == PNX_EFORKED);
            /* Its copies are dropped: only what a child must release too is released, once. */
            pnx_drop(&guard);
            pnx_drop(&reserved);
            pnx_drop(&copy);
            pnx_drop(&copy);
            exit(0);
        }
        if (exit_of(child) != 0)
            _exit(94);
    }
    (void)pnx_registry_wait_idle(registry, PNX_FOREVER);
}

static void a_child_releases_nothing_of_its_parents(void **state)
{
    char said[4096];
    assert_int_equal(in_child(fork_and_disown, said, sizeof said), 0);
    assert_memory_equal(said, "copy ", 5); /* the child's */
    assert_contains(said + 5, "parent ");
    assert_contains(said + 5, "copy ");
    assert_contains(said + 5, "held ");
    assert_int_equal(strlen(said), strlen("copy copy parent held "));
}

static void fork_and_use_own(void)
{
    pnx_registry *parents = pnx_registry_default();
    hold(parents, "parent ");
    for (int i = 0; i < 20; i++) {
        const pid_t child = fork();
        if (child == 0) {
            pnx_registry *own = pnx_registry_default();
            in_grandchild(own != NULL && own != parents);
            hold(own, "c");
            exit(0); /* gives back its own, and nothing else */
        }
        if (exit_of(child) != 0)
            _exit(94);
    }
}

static void a_child_has_a_default_of_its_own(void **state)
{
    char said[4096];
    needs_a_whole_child();
    assert_int_equal(in_child(fork_and_use_own, said, sizeof said), 0);
    assert_string_equal(said, "ccccccccccccccccccccparent ");
}

static _Atomic uint32_t stop_churning;

static void *churn(void *registry)
{
    while (atomic_load(&stop_churning) == 0) {
        pnx_auto(text) guard = pnx_reserve(text, registry, NULL);
        (void)pnx_arm(&guard, "");
    }
    return NULL;
}

static void fork_in_the_middle(void)
{
    pnx_registry *registry = make((pnx_config){.workers = 2});
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, churn, registry) != 0)
            _exit(93);
    for (size_t i = 0; i < effort(100) + 10; i++) {
        const pid_t child = fork();
        if (child == 0) {
            alarm(60);
            pnx_registry *own = make((pnx_config){.workers = 1});
            hold(own, "c");
            in_grandchild(pnx_registry_shutdown(own, NULL, NULL, NULL) == PNX_OK);
            in_grandchild(pnx_registry_destroy(own, NULL) == PNX_OK);
            exit(0);
        }
        if (exit_of(child) != 0)
            _exit(94);
    }
    atomic_store(&stop_churning, 1);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

/* Whatever locks others held at the fork: the child is free to make a registry and to exit. */
static void a_fork_comes_at_any_time(void **state)
{
    char said[4096];
    needs_a_whole_child();
    assert_int_equal(in_child(fork_in_the_middle, said, sizeof said), 0);
    assert_int_equal(strlen(said), effort(100) + 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_exit_all_is_given_back),
        cmocka_unit_test(manual_registries_too),
        cmocka_unit_test(a_report_may_be_all),
        cmocka_unit_test(it_can_be_turned_off),
        cmocka_unit_test(a_leak_may_be_an_exit_status),
        cmocka_unit_test(the_exit_is_bounded),
        cmocka_unit_test(a_registry_may_go_while_the_process_exits),
        cmocka_unit_test(a_release_may_exit),
        cmocka_unit_test(the_default_listens_to_the_environment),
        cmocka_unit_test(a_wrong_environment_is_told),
        cmocka_unit_test(a_new_default_follows),
        cmocka_unit_test(a_child_releases_nothing_of_its_parents),
        cmocka_unit_test(a_child_has_a_default_of_its_own),
        cmocka_unit_test(a_fork_comes_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
