/* SPDX-License-Identifier: MIT */
/* Who is told when memory is short, and by whom; the kernel's own triggers on /proc/pressure/cpu,
 * which a test can load without harming anybody's memory. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <patinox/patinox.h>
#include <patinox/test.h>

#define PATIENCE PNX_S(20)

static pnx_error err;
static char told[64]; /* by whom, in order */
static pnx_pressure *pressure;
static char a[] = "a", b[] = "b", c[] = "c"; /* names of subscribers */

static void note(pnx_pressure_level level, void *context)
{
    const size_t used = strlen(told);
    snprintf(told + used, sizeof told - used, "%s%c ", (const char *)context,
             pnx_pressure_level_name(level)[0]);
}

static int set_up(void **state)
{
    (void)state;
    told[0] = '\0';
    const pnx_pressure_config config = {.manual = true};
    return pnx_pressure_create(&config, &pressure, &err) == PNX_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return pnx_pressure_destroy(pressure, &err) == PNX_OK ? 0 : -1;
}

static pnx_pressure_subscription *subscribe(pnx_pressure_fn fn, void *context)
{
    pnx_pressure_subscription *ret;
    if (pnx_pressure_subscribe(pressure, fn, context, &ret, &err) != PNX_OK)
        fail_msg("%s", err.message);
    return ret;
}

/* ---- subscribers ----------------------------------------------------------------------------- */

static void in_the_order_in_which_they_subscribed(void **state)
{
    (void)state;
    subscribe(note, a);
    pnx_pressure_subscription *second = subscribe(note, b);
    subscribe(note, c);
    assert_int_equal(pnx_pressure_tell(pressure, PNX_PRESSURE_SOME), PNX_OK);
    pnx_pressure_unsubscribe(second);
    assert_int_equal(pnx_pressure_tell(pressure, PNX_PRESSURE_FULL), PNX_OK);
    assert_string_equal(told, "as bs cs af cf ");
    assert_int_equal(pnx_pressure_count(pressure, PNX_PRESSURE_SOME), 1);
    assert_int_equal(pnx_pressure_count(pressure, PNX_PRESSURE_FULL), 1);
    assert_false(pnx_pressure_watches(pressure));
    assert_string_equal(pnx_pressure_source(pressure), "");
    assert_int_equal(pnx_pressure_tell(pressure, (pnx_pressure_level)2), PNX_EINVAL);
}

static pnx_pressure_subscription *mine;

static void go(pnx_pressure_level level, void *context)
{
    note(level, context);
    pnx_pressure_unsubscribe(mine);
}

static void one_may_unsubscribe_itself(void **state)
{
    (void)state;
    mine = subscribe(go, a);
    subscribe(note, b);
    assert_int_equal(pnx_pressure_tell(pressure, PNX_PRESSURE_SOME), PNX_OK);
    assert_int_equal(pnx_pressure_tell(pressure, PNX_PRESSURE_SOME), PNX_OK);
    assert_string_equal(told, "as bs bs ");
}

static void one_may_unsubscribe_the_next(void **state)
{
    (void)state;
    subscribe(go, a);
    mine = subscribe(note, b);
    subscribe(note, c);
    assert_int_equal(pnx_pressure_tell(pressure, PNX_PRESSURE_SOME), PNX_OK);
    assert_string_equal(told, "as cs ");
}

static void tell_again(pnx_pressure_level level, void *context)
{
    (void)context;
    assert_int_equal(pnx_pressure_tell(pressure, level), PNX_EDEADLOCK);
    assert_int_equal(pnx_pressure_destroy(pressure, &err), PNX_EDEADLOCK);
    told[0] = '!';
}

static void what_would_wait_for_itself_is_refused(void **state)
{
    (void)state;
    subscribe(tell_again, NULL);
    assert_int_equal(pnx_pressure_tell(pressure, PNX_PRESSURE_SOME), PNX_OK);
    assert_int_equal(told[0], '!');
}

static sem_t entered, leave;
static _Atomic bool inside;

static void stay(pnx_pressure_level level, void *context)
{
    (void)level;
    (void)context;
    inside = true;
    sem_post(&entered);
    while (sem_wait(&leave) != 0) {
    }
    inside = false;
}

static void *tell_from_a_thread(void *unused)
{
    (void)unused;
    (void)pnx_pressure_tell(pressure, PNX_PRESSURE_SOME);
    return NULL;
}

static void *let_it_leave(void *unused)
{
    (void)unused;
    sem_post(&leave);
    return NULL;
}

/* Whoever has unsubscribed may free what its subscriber uses. */
static void unsubscribing_waits_for_the_call(void **state)
{
    (void)state;
    sem_init(&entered, 0, 0);
    sem_init(&leave, 0, 0);
    pnx_pressure_subscription *it = subscribe(stay, NULL);
    pthread_t teller, other;
    assert_int_equal(pthread_create(&teller, NULL, tell_from_a_thread, NULL), 0);
    while (sem_wait(&entered) != 0) {
    }
    assert_true(inside);
    assert_int_equal(pthread_create(&other, NULL, let_it_leave, NULL), 0);
    pnx_pressure_unsubscribe(it);
    assert_false(inside);
    pthread_join(teller, NULL);
    pthread_join(other, NULL);
    assert_int_equal(pnx_pressure_tell(pressure, PNX_PRESSURE_SOME), PNX_OK);
    assert_int_equal(sem_trywait(&entered), -1);
}

/* ---- caches ---------------------------------------------------------------------------------- */

static _Atomic unsigned short_of_memory;

struct thing {
    uint64_t number;
};

static pnx_status free_thing(struct thing *thing, const pnx_release *why)
{
    short_of_memory += why->reason == PNX_MEMORY_PRESSURE;
    free(thing);
    return PNX_OK;
}
PNX_KIND(thing, struct thing *, free_thing);

static void caches_shrink_and_may_grow_again(void **state)
{
    (void)state;
    pnx_registry *registry;
    pnx_cache *cache;
    pnx_cache_stats stats;
    pnx_pressure_subscription *it;
    short_of_memory = 0;
    assert_int_equal(pnx_registry_create(NULL, &registry, &err), PNX_OK);
    assert_int_equal(pnx_cache_create(&(pnx_cache_config){.registry = registry,
                                                          .kind = thing_kind,
                                                          .capacity = 1000,
                                                          .deterministic = true},
                                      &cache, &err),
                     PNX_OK);
    for (uint64_t key = 0; key < 1000; key++) {
        struct thing *thing = malloc(sizeof *thing);
        assert_int_equal(pnx_cache_put(cache, &key, &thing, &err), PNX_OK);
    }
    const pnx_pressure_keep keep = {.full = 10};
    assert_int_equal(pnx_pressure_shrink_cache(pressure, cache, &keep, &it, &err), PNX_OK);
    assert_int_equal(pnx_pressure_tell(pressure, PNX_PRESSURE_SOME), PNX_OK);
    pnx_cache_stats_get(cache, &stats);
    assert_int_equal(stats.weight, 750);
    assert_int_equal(pnx_pressure_tell(pressure, PNX_PRESSURE_FULL), PNX_OK);
    pnx_cache_stats_get(cache, &stats);
    assert_int_equal(stats.weight, 75);
    assert_int_equal(stats.capacity, 1000);
    pnx_pressure_unsubscribe(it);
    assert_int_equal(pnx_pressure_tell(pressure, PNX_PRESSURE_FULL), PNX_OK);
    pnx_cache_stats_get(cache, &stats);
    assert_int_equal(stats.weight, 75);
    assert_int_equal(pnx_cache_destroy(cache, &err), PNX_OK);
    assert_int_equal(pnx_registry_shutdown(registry, NULL, NULL, &err), PNX_OK);
    assert_int_equal(pnx_registry_destroy(registry, &err), PNX_OK);
    assert_int_equal(short_of_memory, 925);
}

static void a_share_above_the_whole_is_refused(void **state)
{
    (void)state;
    const pnx_pressure_keep keep = {.full = 101};
    assert_int_equal(pnx_pressure_shrink_cache(pressure, NULL, &keep, NULL, &err), PNX_EINVAL);
    assert_non_null(strstr(err.message, "keep.full is 101"));
}

/* ---- fork ------------------------------------------------------------------------------------ */

static int in_child(void)
{
    pnx_error why = {0};
    if (pnx_pressure_tell(pressure, PNX_PRESSURE_SOME) != PNX_EFORKED)
        return 1;
    if (pnx_pressure_subscribe(pressure, note, a, NULL, &why) != PNX_EFORKED)
        return 2;
    pnx_pressure_unsubscribe(mine);
    return pnx_pressure_destroy(pressure, &why) == PNX_OK ? 0 : 3;
}

static void a_fork_child_tells_nobody(void **state)
{
    (void)state;
    mine = subscribe(note, a);
    int status;
    const pid_t pid = fork();
    if (pid == 0)
        _exit(in_child());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(pnx_pressure_tell(pressure, PNX_PRESSURE_SOME), PNX_OK);
    assert_string_equal(told, "as ");
}

/* ---- the kernel ------------------------------------------------------------------------------ */

static _Atomic bool spinning;
static _Atomic unsigned heard;

static void *spin(void *unused)
{
    (void)unused;
    while (spinning) {
    }
    return NULL;
}

static void hear(pnx_pressure_level level, void *context)
{
    (void)level;
    (void)context;
    heard++;
}

/* A trigger of any source is the same to the kernel; CPUs are made short by using them. */
static void the_kernel_tells(void **state)
{
    (void)state;
    enum { THREADS = 64 };
    pthread_t threads[THREADS];
    pnx_pressure *watched;
    const pnx_pressure_config config = {
        .source = "/proc/pressure/cpu", .stalled_some = PNX_MS(1), .stalled_full = PNX_MS(1)};
    const pnx_status status = pnx_pressure_create(&config, &watched, &err);
    if (status == PNX_EUNSUPPORTED || status == PNX_ENOTFOUND) {
        print_message("skipped: %s\n", err.message);
        skip();
    }
    assert_int_equal(status, PNX_OK);
    assert_true(pnx_pressure_watches(watched));
    assert_string_equal(pnx_pressure_source(watched), "/proc/pressure/cpu");
    heard = 0;
    assert_int_equal(pnx_pressure_subscribe(watched, hear, NULL, NULL, &err), PNX_OK);
    unsigned count = (unsigned)sysconf(_SC_NPROCESSORS_ONLN) + 2;
    count = count < THREADS ? count : THREADS;
    spinning = true;
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, spin, NULL), 0);
    const pnx_time patience = pnx_monotonic_now() + PATIENCE;
    while (heard == 0 && pnx_monotonic_now() < patience)
        sched_yield();
    spinning = false;
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    assert_true(heard > 0);
    assert_int_equal(pnx_pressure_destroy(watched, &err), PNX_OK);
}

static void memory_is_watched_by_default(void **state)
{
    (void)state;
    pnx_pressure *watched;
    const pnx_status status = pnx_pressure_create(NULL, &watched, &err);
    if (status == PNX_EUNSUPPORTED) {
        print_message("skipped: %s\n", err.message);
        skip();
    }
    assert_int_equal(status, PNX_OK);
    assert_non_null(strstr(pnx_pressure_source(watched), "memory"));
    assert_int_equal(access(pnx_pressure_source(watched), R_OK), 0);
    assert_int_equal(pnx_pressure_destroy(watched, &err), PNX_OK);
}

static void what_cannot_be_watched_is_named(void **state)
{
    (void)state;
    static const struct {
        pnx_pressure_config config;
        pnx_status status;
        const char *says;
    } cases[] = {
        {{.source = "/proc/pressure/nothing"}, PNX_ENOTFOUND, "no /proc/pressure/nothing"},
        {{.source = "/dev/full"}, PNX_EUNSUPPORTED, "cannot watch /dev/full"},
        {{.window = PNX_MS(499)}, PNX_EINVAL, "window is 499000 µs"},
        {{.window = PNX_S(11)}, PNX_EINVAL, "window is 11000000 µs"},
        {{.stalled_some = PNX_S(2)}, PNX_EINVAL, "stalled_some is 2000000 µs"},
        {{.window = PNX_S(2), .stalled_full = 1}, PNX_EINVAL, "stalled_full is 0 µs"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pnx_pressure *none = NULL;
        const pnx_status status = pnx_pressure_create(&cases[i].config, &none, &err);
        assert_int_equal(status, cases[i].status);
        assert_non_null(strstr(err.message, cases[i].says));
        assert_null(none);
    }
}

#define on_manual(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_manual(in_the_order_in_which_they_subscribed),
        on_manual(one_may_unsubscribe_itself),
        on_manual(one_may_unsubscribe_the_next),
        on_manual(what_would_wait_for_itself_is_refused),
        on_manual(unsubscribing_waits_for_the_call),
        on_manual(caches_shrink_and_may_grow_again),
        on_manual(a_share_above_the_whole_is_refused),
        on_manual(a_fork_child_tells_nobody),
        cmocka_unit_test(the_kernel_tells),
        cmocka_unit_test(memory_is_watched_by_default),
        cmocka_unit_test(what_cannot_be_watched_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
