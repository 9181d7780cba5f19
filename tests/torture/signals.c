/* SPDX-License-Identifier: MIT */
/*
 * Promises about signals: all are blocked in the library's own threads; a handler may ask for a
 * shutdown, under any storm of signals; pnx_shutdown_on_signal leaves the program's own handlers
 * alone and puts back what was there.
 */
#include "support.h"

#include <ctype.h>
#include <pthread.h>

static pnx_status release(int value, const pnx_release *why)
{
    (void)value;
    (void)why;
    return PNX_OK;
}
PNX_KIND(thing, int, release);

static pnx_registry *make(void)
{
    pnx_registry *registry = NULL;
    assert_int_equal(pnx_registry_create(&(pnx_config){.workers = 2, .at_exit = PNX_EXIT_NOTHING},
                                         &registry, NULL),
                     PNX_OK);
    return registry;
}

static void end(pnx_registry *registry)
{
    pnx_error err = {0};
    assert_int_equal(pnx_registry_shutdown(registry, NULL, NULL, &err), PNX_OK);
    assert_int_equal(pnx_registry_destroy(registry, &err), PNX_OK);
}

/* The mask in /proc of one thread, if it is one of ours; else 0. */
static uint64_t blocked_in(const char *thread)
{
    char path[300], line[200];
    bool ours = false;
    unsigned long long blocked = 0;
    snprintf(path, sizeof path, "/proc/self/task/%s/status", thread);
    FILE *status = fopen(path, "re");
    if (status == NULL)
        return 0;
    while (fgets(line, sizeof line, status) != NULL) {
        ours = ours || strstr(line, "Name:\tpnx-") != NULL;
        if (strncmp(line, "SigBlk:", 7) == 0)
            blocked = strtoull(line + 7, NULL, 16);
    }
    fclose(status);
    return ours ? blocked : 0;
}

static void ignore_event(const pnx_event *event, void *context)
{
    (void)event;
    (void)context;
}

/* How many threads of ours there are; every signal in `expected` must be blocked in them. */
static unsigned threads_that_block(uint64_t expected)
{
    unsigned seen = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        if (!isdigit((unsigned char)task->d_name[0]))
            continue;
        const uint64_t blocked = blocked_in(task->d_name);
        if (blocked == 0)
            continue;
        seen++;
        assert_int_equal(blocked & expected, expected);
    }
    closedir(tasks);
    return seen;
}

static void all_are_blocked_in_our_threads(void **state)
{
    (void)state;
    pnx_registry *registry = make();
    pnx_monitor *monitor = NULL;
    assert_int_equal(pnx_monitor_attach(registry, ignore_event, NULL, &monitor, NULL), PNX_OK);
    /* But for libc's own two, and those that cannot be blocked. */
    uint64_t expected = UINT64_MAX;
    for (const int *number = (const int[]){SIGKILL, SIGSTOP, 32, 33, 0}; *number != 0; number++)
        expected &= ~(1ull << (*number - 1));
    /* Two workers, the timekeeper, the monitors' thread; each names itself when it begins. */
    assert_true(wait_for(threads_that_block(expected) == 4));
    pnx_monitor_detach(monitor);
    end(registry);
}

/* ---- a storm --------------------------------------------------------------------------------- */

static pnx_registry *asked;
static _Atomic bool enough;
static _Atomic unsigned handled;

static void ask(int number)
{
    (void)number;
    const int before = errno;
    if (atomic_fetch_add(&handled, 1) >= 100)
        pnx_request_shutdown(asked);
    errno = before;
}

static void *use(void *argument)
{
    unsigned long *used = argument;
    while (!atomic_load(&enough)) {
        thing_guard guard = pnx_reserve(thing, asked, NULL);
        if (guard.status != PNX_OK) {
            assert_int_equal(guard.status, PNX_ESHUTDOWN);
            sched_yield();
            continue;
        }
        (void)pnx_arm(&guard, 1);
        pnx_drop(&guard);
        ++*used;
    }
    return NULL;
}

static void a_handler_asks_under_a_storm(void **state)
{
    (void)state;
    asked = make();
    enough = false;
    handled = 0;
    struct sigaction before, action = {.sa_handler = ask, .sa_flags = SA_RESTART};
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    pthread_t threads[3];
    unsigned long used[3] = {0};
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use, &used[i]), 0);
    assert_false(pnx_shutdown_requested(asked));
    assert_int_equal(pnx_wait_shutdown_request(asked, pnx_monotonic_now() + 1), PNX_ETIMEOUT);
    const unsigned long storm = effort(20000);
    for (unsigned long i = 0; i < storm || atomic_load(&handled) < 200; i++)
        pthread_kill(threads[i % 3], SIGUSR1);
    assert_int_equal(pnx_wait_shutdown_request(asked, soon()), PNX_OK);
    assert_true(pnx_shutdown_requested(asked));
    struct pollfd readable = {.fd = pnx_shutdown_fd(asked), .events = POLLIN};
    assert_int_equal(poll(&readable, 1, 0), 1);
    thing_guard refused = pnx_reserve(thing, asked, NULL);
    assert_int_equal(refused.status, PNX_ESHUTDOWN);
    enough = true;
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    pnx_report report;
    assert_int_equal(pnx_registry_shutdown(asked, NULL, &report, NULL), PNX_OK);
    assert_int_equal(report.counts.done, used[0] + used[1] + used[2]);
    assert_int_equal(pnx_registry_destroy(asked, NULL), PNX_OK);
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
}

/* ---- our handler ----------------------------------------------------------------------------- */

static void own_handler(int number)
{
    (void)number;
}

static void a_signal_asks(void **state)
{
    (void)state;
    pnx_error err = {0};
    struct sigaction now, own = {.sa_handler = own_handler};
    pnx_registry *registry = make(), *other = make();

    assert_int_equal(sigaction(SIGUSR2, &own, NULL), 0);
    assert_int_equal(pnx_shutdown_on_signal(registry, SIGUSR2, &err), PNX_EBUSY);
    assert_non_null(strstr(err.message, "pnx_request_shutdown"));
    assert_int_equal(sigaction(SIGUSR2, NULL, &now), 0);
    assert_ptr_equal(now.sa_handler, own_handler);
    assert_int_equal(pnx_shutdown_on_signal(registry, SIGKILL, &err), PNX_EINVAL);
    assert_int_equal(pnx_shutdown_on_signal(registry, -1, &err), PNX_EINVAL);
    assert_int_equal(pnx_shutdown_on_signal(registry, 1000, &err), PNX_EINVAL);

    struct sigaction ignored = {.sa_handler = SIG_IGN};
    assert_int_equal(sigaction(SIGHUP, &ignored, NULL), 0);
    assert_int_equal(pnx_shutdown_on_signal(registry, SIGTERM, &err), PNX_OK);
    assert_int_equal(pnx_shutdown_on_signal(registry, SIGHUP, &err), PNX_OK);
    assert_int_equal(pnx_shutdown_on_signal(other, SIGTERM, &err), PNX_EBUSY);
    for (unsigned long i = 0; i < effort(1000); i++)
        raise(SIGTERM);
    assert_true(pnx_shutdown_requested(registry));
    assert_false(pnx_shutdown_requested(other));

    end(registry);
    assert_int_equal(sigaction(SIGTERM, NULL, &now), 0);
    assert_ptr_equal(now.sa_handler, SIG_DFL);
    assert_int_equal(sigaction(SIGHUP, NULL, &now), 0);
    assert_ptr_equal(now.sa_handler, SIG_IGN);

    /* Free for the next one; and what the program puts there meanwhile stays. */
    assert_int_equal(pnx_shutdown_on_signal(other, SIGTERM, &err), PNX_OK);
    assert_int_equal(sigaction(SIGTERM, &own, NULL), 0);
    end(other);
    assert_int_equal(sigaction(SIGTERM, NULL, &now), 0);
    assert_ptr_equal(now.sa_handler, own_handler);
    signal(SIGTERM, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_are_blocked_in_our_threads),
        cmocka_unit_test(a_handler_asks_under_a_storm),
        cmocka_unit_test(a_signal_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
