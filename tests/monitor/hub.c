/* SPDX-License-Identifier: MIT */
#include "support.h"

#include "monitor/hub.h"

#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- helpers --------------------------------------------------------------------------------- */

static pnx_event numbered(uint64_t source, uint64_t number)
{
    return (pnx_event){.id = {source, number}};
}

static void emit(struct pnx__hub *hub, uint64_t source, uint64_t number)
{
    pnx_event event = numbered(source, number);
    pnx__hub_emit(hub, &event);
}

static pnx_monitor *attach(struct pnx__hub *hub, pnx_monitor_fn function, void *context)
{
    pnx_monitor *monitor = NULL;
    pnx_error err = {0};
    assert_int_equal(pnx__hub_attach(hub, function, context, &monitor, &err), PNX_OK);
    assert_non_null(monitor);
    return monitor;
}

static void wait_for(sem_t *semaphore)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until); /* TSan of gcc 12 does not know sem_clockwait */
    until.tv_sec += PATIENCE / PNX_S(1);
    assert_int_equal(sem_timedwait(semaphore, &until), 0);
}

static void destroy(struct pnx__hub *hub)
{
    assert_int_equal(pnx__hub_destroy(hub, patience()), PNX_OK);
}

enum { SOURCES = 4 };

/* Checks order and counts. If `hold` is set, each event posts `entered` and waits for `go`. */
struct seen {
    uint64_t count;
    uint64_t lost;
    uint64_t last[SOURCES];
    bool disorder;
    bool hold;
    sem_t entered;
    sem_t go;
};

static void watch(const pnx_event *event, void *context)
{
    struct seen *seen = context;
    uint64_t source = event->id.high % SOURCES;

    if (event->id.low <= seen->last[source]) {
        seen->disorder = true;
    }
    seen->last[source] = event->id.low;
    seen->count++;
    seen->lost += event->lost;
    if (seen->hold) {
        sem_post(&seen->entered);
        sem_wait(&seen->go);
    }
}

/* A monitor that is held in its first event until the caller lets it go. */
static void hold(struct pnx__hub *hub, struct seen *seen)
{
    sem_init(&seen->entered, 0, 0);
    sem_init(&seen->go, 0, 0);
    seen->hold = true;
    emit(hub, 0, 1);
    wait_for(&seen->entered);
}

static void let_go(struct seen *seen)
{
    seen->hold = false; /* read after sem_wait: the semaphore orders */
    sem_post(&seen->go);
}

/* The number, or first letter, behind `key` in a file of /proc/…/status. */
static unsigned long read_status(const char *path, const char *key)
{
    char line[128];
    unsigned long value = 0;
    FILE *status = fopen(path, "r");
    assert_non_null(status);
    while (fgets(line, sizeof(line), status)) {
        if (strncmp(line, key, strlen(key)) == 0) {
            const char *text = line + strlen(key) + strspn(line + strlen(key), " \t");
            value = strchr("0123456789", *text) ? strtoul(text, NULL, 10) : (unsigned char)*text;
        }
    }
    fclose(status);
    return value;
}

static unsigned long count_threads(void)
{
    return read_status("/proc/self/status", "Threads:");
}

/* ---- attaching and detaching ----------------------------------------------------------------- */

static void a_hub_without_monitors_costs_nothing(void **state)
{
    unsigned long threads = count_threads();
    struct pnx__hub *hub = pnx__hub_create(false);

    assert_false(pnx__hub_active(hub));
    emit(hub, 0, 1);
    assert_null(hub->ring);
    assert_int_equal(count_threads(), threads);
    assert_int_equal(pnx__hub_lost(hub), 0);
    assert_int_equal(pnx__hub_flush(hub, 0), PNX_OK);
    assert_int_equal(pnx__hub_deliver(hub), 0);
    destroy(hub);
    assert_int_equal(pnx__hub_destroy(NULL, 0), PNX_OK);
    assert_int_equal(pnx__hub_detach(NULL), PNX_OK);
}

static void a_monitor_without_function_is_refused(void **state)
{
    struct pnx__hub *hub = pnx__hub_create(false);
    pnx_monitor *monitor = NULL;
    pnx_error err = {0};

    assert_int_equal(pnx__hub_attach(hub, NULL, NULL, &monitor, &err), PNX_EINVAL);
    assert_null(monitor);
    assert_non_null(strstr(err.message, "function"));
    destroy(hub);
}

static void a_monitor_sees_what_is_emitted_while_it_is_attached(void **state)
{
    for (int manual = 0; manual <= 1; manual++) {
        struct pnx__hub *hub = pnx__hub_create(manual);
        struct seen early = {0};
        struct seen late = {0};

        pnx_monitor *first = attach(hub, watch, &early);
        assert_true(pnx__hub_active(hub));
        emit(hub, 0, 1);
        emit(hub, 0, 2);
        pnx_monitor *second = attach(hub, watch, &late);
        emit(hub, 0, 3);
        assert_int_equal(pnx__hub_detach(first), PNX_OK);
        assert_int_equal(early.count, 3);
        emit(hub, 0, 4);
        assert_int_equal(pnx__hub_detach(second), PNX_OK);
        assert_false(pnx__hub_active(hub));
        emit(hub, 0, 5);
        assert_int_equal(pnx__hub_flush(hub, patience()), PNX_OK);

        assert_int_equal(early.count, 3);
        assert_int_equal(late.count, 2);
        assert_int_equal(late.last[0], 4);
        assert_int_equal(pnx__hub_lost(hub), 0);
        destroy(hub);
    }
}

static void detaching_waits_for_every_event_so_far(void **state)
{
    struct pnx__hub *hub = pnx__hub_create(false);

    for (int round = 0; round < 200; round++) {
        struct seen seen = {0};
        pnx_monitor *monitor = attach(hub, watch, &seen);
        for (uint64_t i = 1; i <= 500; i++) {
            emit(hub, 1, i);
        }
        assert_int_equal(pnx__hub_detach(monitor), PNX_OK);
        assert_int_equal(seen.count, 500);
        assert_false(seen.disorder);
    }
    destroy(hub);
}

static void destroying_delivers_the_rest_and_frees_the_attached(void **state)
{
    for (int manual = 0; manual <= 1; manual++) {
        struct pnx__hub *hub = pnx__hub_create(manual);
        struct seen seen[2] = {0};
        attach(hub, watch, &seen[0]);
        attach(hub, watch, &seen[1]);
        for (uint64_t i = 1; i <= 1000; i++) {
            emit(hub, 1, i);
        }
        destroy(hub);
        assert_int_equal(seen[0].count, 1000);
        assert_int_equal(seen[1].count, 1000);
    }
}

/* ---- delivering ------------------------------------------------------------------------------ */

struct emitter {
    pthread_t thread;
    struct pnx__hub *hub;
    uint64_t source;
    uint64_t events;
};

static void *emit_many(void *argument)
{
    struct emitter *emitter = argument;
    for (uint64_t i = 1; i <= emitter->events; i++) {
        emit(emitter->hub, emitter->source, i + 1);
    }
    return NULL;
}

static void emit_from_threads(struct pnx__hub *hub, uint64_t events_each)
{
    struct emitter emitters[SOURCES];
    for (uint64_t i = 0; i < SOURCES; i++) {
        emitters[i] = (struct emitter){.hub = hub, .source = i, .events = events_each};
        assert_int_equal(pthread_create(&emitters[i].thread, NULL, emit_many, &emitters[i]), 0);
    }
    for (uint64_t i = 0; i < SOURCES; i++) {
        pthread_join(emitters[i].thread, NULL);
    }
}

static void nothing_is_lost_below_capacity(void **state)
{
    struct pnx__hub *hub = pnx__hub_create(false);
    struct seen seen = {0};
    uint64_t each = (PNX__RING_EVENTS - 1) / SOURCES;

    attach(hub, watch, &seen);
    hold(hub, &seen);
    emit_from_threads(hub, each);
    let_go(&seen);
    assert_int_equal(pnx__hub_flush(hub, patience()), PNX_OK);
    assert_int_equal(pnx__hub_lost(hub), 0);
    assert_int_equal(seen.count, 1 + SOURCES * each);
    assert_false(seen.disorder);
    destroy(hub);
}

static void a_blocked_monitor_holds_up_nobody_and_losses_are_counted(void **state)
{
    struct pnx__hub *hub = pnx__hub_create(false);
    struct seen seen = {0};

    attach(hub, watch, &seen);
    hold(hub, &seen);
    emit_from_threads(hub, 25000); /* returns although the monitor does not */
    assert_int_equal(seen.count, 1);
    assert_int_equal(pnx__hub_lost(hub), SOURCES * 25000 - (PNX__RING_EVENTS - 1));
    assert_int_equal(pnx__hub_flush(hub, pnx_monotonic_now() + PNX_MS(1)), PNX_ETIMEOUT);

    let_go(&seen);
    assert_int_equal(pnx__hub_flush(hub, patience()), PNX_OK);
    assert_int_equal(seen.count + pnx__hub_lost(hub), 1 + SOURCES * 25000);
    emit(hub, 0, 1000000); /* the next event tells */
    assert_int_equal(pnx__hub_flush(hub, patience()), PNX_OK);
    assert_int_equal(seen.lost, pnx__hub_lost(hub));
    assert_false(seen.disorder);
    destroy(hub);
}

static void *flush(void *hub)
{
    return pnx__hub_flush(hub, patience()) == PNX_OK ? hub : NULL;
}

static void await_waiter(struct pnx__hub *hub)
{
    pnx_time give_up = patience();
    unsigned waiters = 0;
    while (waiters == 0) {
        assert_true(pnx_monotonic_now() < give_up);
        pthread_mutex_lock(&hub->lock);
        waiters = hub->waiters;
        pthread_mutex_unlock(&hub->lock);
    }
}

static void a_flush_does_not_wait_for_later_events(void **state)
{
    struct pnx__hub *hub = pnx__hub_create(false);
    struct seen seen = {0};
    pthread_t flusher;
    void *flushed;

    attach(hub, watch, &seen);
    hold(hub, &seen);
    emit(hub, 0, 2);
    pnx_time begin = pnx_monotonic_now();
    assert_int_equal(pthread_create(&flusher, NULL, flush, hub), 0);
    await_waiter(hub);
    emit(hub, 0, 3);
    sem_post(&seen.go); /* for the first two; the third goes on holding the thread */
    sem_post(&seen.go);
    pthread_join(flusher, &flushed);
    assert_ptr_equal(flushed, hub);
    assert_true(pnx_monotonic_now() - begin < PATIENCE / 2); /* it was told, and not timed out */
    wait_for(&seen.entered);
    wait_for(&seen.entered);
    assert_int_equal(seen.count, 3);
    let_go(&seen);
    destroy(hub);
}

static void the_account_holds_while_all_are_busy(void **state)
{
    struct pnx__hub *hub = pnx__hub_create(false);
    struct seen seen[2] = {0};

    attach(hub, watch, &seen[0]);
    attach(hub, watch, &seen[1]);
    emit_from_threads(hub, 50000);
    assert_int_equal(pnx__hub_flush(hub, patience()), PNX_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(seen[i].count + pnx__hub_lost(hub), SOURCES * 50000);
        assert_false(seen[i].disorder);
    }
    destroy(hub);
}

static void post(const pnx_event *event, void *semaphore)
{
    sem_post(semaphore);
}

/* Each event comes after a pause of another length, so that it meets the thread in all of its naps
 * and in between; a lost wake-up would be waited for until patience ends. */
static void no_event_is_left_behind_a_sleeping_thread(void **state)
{
    struct pnx__hub *hub = pnx__hub_create(false);
    sem_t delivered;
    sem_init(&delivered, 0, 0);
    attach(hub, post, &delivered);

    for (unsigned i = 0; i < 3000; i++) {
        pnx_time until = pnx_monotonic_now() + (pnx_duration)(i * 7919 % 400) * PNX_US(1);
        while (pnx_monotonic_now() < until) {
        }
        emit(hub, 0, 1);
        wait_for(&delivered);
    }
    destroy(hub);
}

static void manual_hubs_deliver_in_the_calling_thread(void **state)
{
    unsigned long threads = count_threads();
    struct pnx__hub *hub = pnx__hub_create(true);
    struct seen seen = {0};

    pnx_monitor *monitor = attach(hub, watch, &seen);
    assert_int_equal(count_threads(), threads);
    for (uint64_t i = 1; i <= PNX__RING_EVENTS + 100; i++) {
        emit(hub, 0, i);
    }
    assert_int_equal(seen.count, 0);
    assert_int_equal(pnx__hub_lost(hub), 100);
    assert_int_equal(pnx__hub_deliver(hub), PNX__RING_EVENTS);
    assert_int_equal(seen.count, PNX__RING_EVENTS);
    assert_int_equal(pnx__hub_deliver(hub), 0);
    emit(hub, 0, 100000);
    assert_int_equal(pnx__hub_flush(hub, 0), PNX_OK);
    assert_int_equal(seen.lost, 100);
    assert_int_equal(pnx__hub_detach(monitor), PNX_OK);
    destroy(hub);
}

/* ---- from inside a monitor ------------------------------------------------------------------- */

struct insider {
    struct pnx__hub *hub;
    pnx_monitor *self;
    struct seen added;
    unsigned calls;
};

static void do_everything(const pnx_event *event, void *context)
{
    struct insider *insider = context;
    struct pnx__hub *hub = insider->hub;
    if (insider->calls++ > 0) {
        return;
    }
    assert_true(pnx__hub_inside(hub));
    assert_int_equal(pnx__hub_detach(insider->self), PNX_EDEADLOCK);
    assert_int_equal(pnx__hub_flush(hub, PNX_FOREVER), PNX_EDEADLOCK);
    assert_int_equal(pnx__hub_destroy(hub, PNX_FOREVER), PNX_EDEADLOCK);
    assert_int_equal(pnx__hub_deliver(hub), 0);
    attach(hub, watch, &insider->added);
    emit(hub, 0, 7);
}

static void a_monitor_may_attach_and_emit_but_not_wait_for_itself(void **state)
{
    for (int manual = 0; manual <= 1; manual++) {
        struct insider insider = {.hub = pnx__hub_create(manual)};
        insider.self = attach(insider.hub, do_everything, &insider);

        assert_false(pnx__hub_inside(insider.hub));
        emit(insider.hub, 0, 6);
        assert_int_equal(pnx__hub_flush(insider.hub, patience()), PNX_OK);
        assert_int_equal(pnx__hub_flush(insider.hub, patience()), PNX_OK);
        assert_int_equal(insider.calls, 2);
        assert_int_equal(insider.added.count, 1);
        assert_int_equal(insider.added.last[0], 7);
        destroy(insider.hub);
    }
}

/* ---- monitors that end their thread ---------------------------------------------------------- */

static _Atomic unsigned log_lines;

static void count_lines(pnx_log_level level, const char *message, void *context)
{
    log_lines++;
}

static void end_thread(const pnx_event *event, void *calls)
{
    ++*(unsigned *)calls;
    pthread_exit(NULL);
}

static void a_monitor_that_ends_its_thread_is_detached_and_the_rest_goes_on(void **state)
{
    struct pnx__hub *hub = pnx__hub_create(false);
    unsigned long threads = count_threads();
    struct seen seen[3] = {0};
    unsigned calls[2] = {0};
    pnx_monitor *ended[2];

    log_lines = 0;
    pnx_log_set(count_lines, NULL, PNX_LOG_ERROR);
    attach(hub, watch, &seen[0]);
    ended[0] = attach(hub, end_thread, &calls[0]);
    attach(hub, watch, &seen[1]);
    ended[1] = attach(hub, end_thread, &calls[1]);
    attach(hub, watch, &seen[2]);

    for (uint64_t i = 1; i <= 1000; i++) {
        emit(hub, 0, i);
    }
    assert_int_equal(pnx__hub_flush(hub, patience()), PNX_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(seen[i].count, 1000); /* each event once, the fatal one too */
        assert_false(seen[i].disorder);
    }
    assert_int_equal(calls[0], 1);
    assert_int_equal(calls[1], 1);
    assert_int_equal(log_lines, 2);
    assert_int_equal(count_threads(), threads + 1);

    assert_int_equal(pnx__hub_detach(ended[0]), PNX_OK);
    emit(hub, 0, 1001);
    destroy(hub); /* frees ended[1] */
    assert_int_equal(seen[2].count, 1001);
    assert_int_equal(count_threads(), threads);
    pnx_log_set(NULL, NULL, PNX_LOG_ERROR);
}

static unsigned count_mappings(void)
{
    char line[512];
    unsigned count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps)) {
        count++;
    }
    fclose(maps);
    return count;
}

static void a_hub_whose_only_monitor_ends_its_thread_can_be_used_again(void **state)
{
    struct pnx__hub *hub = pnx__hub_create(false);
    unsigned mappings = 0;
    for (int i = 0; i < 100; i++) {
        unsigned calls = 0;
        if (i == 50) {
            mappings = count_mappings();
        }
        pnx_monitor *monitor = attach(hub, end_thread, &calls);
        emit(hub, 0, 1);
        emit(hub, 0, 2);
        assert_int_equal(pnx__hub_flush(hub, patience()), PNX_OK);
        assert_int_equal(calls, 1);
        assert_false(pnx__hub_active(hub));
        assert_int_equal(pnx__hub_detach(monitor), PNX_OK);
    }
    assert_true(count_mappings() < mappings + 25); /* no stack stays behind: all were joined */
    destroy(hub);
}

static void *deliver_by_hand(void *hub)
{
    pnx__hub_deliver(hub);
    return hub; /* not reached */
}

static void a_manual_hub_survives_it_too(void **state)
{
    struct pnx__hub *hub = pnx__hub_create(true);
    struct seen seen = {0};
    unsigned calls = 0;
    pthread_t thread;
    void *result;

    attach(hub, end_thread, &calls);
    attach(hub, watch, &seen);
    emit(hub, 0, 1);
    assert_int_equal(pthread_create(&thread, NULL, deliver_by_hand, hub), 0);
    pthread_join(thread, &result);
    assert_null(result);
    assert_int_equal(seen.count, 0);
    assert_int_equal(pnx__hub_deliver(hub), 1);
    assert_int_equal(seen.count, 1);
    assert_int_equal(calls, 1);
    destroy(hub);
}

static void cancel_itself(const pnx_event *event, void *calls)
{
    ++*(unsigned *)calls;
    pthread_cancel(pthread_self());
    pthread_testcancel();
}

static void a_monitor_cannot_be_canceled(void **state)
{
    struct pnx__hub *hub = pnx__hub_create(false);
    unsigned calls = 0;
    attach(hub, cancel_itself, &calls);
    emit(hub, 0, 1);
    emit(hub, 0, 2);
    assert_int_equal(pnx__hub_flush(hub, patience()), PNX_OK);
    assert_int_equal(calls, 2);
    destroy(hub);
}

/* ---- hung monitors --------------------------------------------------------------------------- */

static void a_hub_with_a_hung_monitor_can_be_left_and_destroyed_later(void **state)
{
    struct pnx__hub *hub = pnx__hub_create(false);
    struct seen seen = {0};
    pnx_monitor *refused = NULL;
    pnx_error err = {0};

    attach(hub, watch, &seen);
    hold(hub, &seen);
    emit(hub, 0, 2);
    assert_int_equal(pnx__hub_destroy(hub, pnx_monotonic_now() + PNX_MS(1)), PNX_ETIMEOUT);
    assert_int_equal(pnx__hub_attach(hub, watch, &seen, &refused, &err), PNX_ESHUTDOWN);
    assert_null(refused);
    let_go(&seen);
    destroy(hub);
    assert_int_equal(seen.count, 2);
}

/* ---- races ----------------------------------------------------------------------------------- */

struct visitor {
    pthread_t thread;
    struct pnx__hub *hub;
    uint64_t source;
};

/* Only this visitor emits from its source; others emit all the time. */
struct own {
    uint64_t source;
    uint64_t count;
    uint64_t last;
};

static void watch_own(const pnx_event *event, void *context)
{
    struct own *own = context;
    if (event->id.high == own->source) {
        own->count++;
        own->last = event->id.low;
    }
}

static void *come_and_go(void *argument)
{
    struct visitor *visitor = argument;
    uint64_t number = 0;
    for (int i = 0; i < 300; i++) {
        struct own own = {.source = visitor->source};
        uint64_t lost = pnx__hub_lost(visitor->hub);
        pnx_monitor *monitor = attach(visitor->hub, watch_own, &own);
        emit(visitor->hub, visitor->source, ++number);
        emit(visitor->hub, visitor->source, ++number);
        assert_int_equal(pnx__hub_detach(monitor), PNX_OK);
        if (pnx__hub_lost(visitor->hub) == lost) {
            assert_int_equal(own.count, 2);
            assert_int_equal(own.last, number);
        }
        assert_true(own.count <= 2);
    }
    return NULL;
}

static void *make_noise(void *argument)
{
    struct visitor *visitor = argument;
    /* Until told. Relaxed: nothing depends on it. */
    while (__atomic_load_n(&visitor->source, __ATOMIC_RELAXED)) {
        emit(visitor->hub, 1000, 1);
        sched_yield();
    }
    return NULL;
}

static void monitors_come_and_go_while_all_are_busy(void **state)
{
    struct pnx__hub *hub = pnx__hub_create(false);
    struct visitor noise = {.hub = hub, .source = 1};
    struct visitor visitors[3];

    assert_int_equal(pthread_create(&noise.thread, NULL, make_noise, &noise), 0);
    for (uint64_t i = 0; i < 3; i++) {
        visitors[i] = (struct visitor){.hub = hub, .source = i + 1};
        assert_int_equal(pthread_create(&visitors[i].thread, NULL, come_and_go, &visitors[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(visitors[i].thread, NULL);
    }
    __atomic_store_n(&noise.source, 0, __ATOMIC_RELAXED);
    pthread_join(noise.thread, NULL);
    destroy(hub);
}

/* ---- idle ------------------------------------------------------------------------------------ */

static void note_thread(const pnx_event *event, void *tid)
{
    __atomic_store_n((pid_t *)tid, gettid(), __ATOMIC_RELEASE);
}

static void an_idle_thread_never_wakes_up(void **state)
{
    struct pnx__hub *hub = pnx__hub_create(false);
    pid_t tid = 0;
    char path[64];
    attach(hub, note_thread, &tid);
    emit(hub, 0, 1);
    assert_int_equal(pnx__hub_flush(hub, patience()), PNX_OK);

    snprintf(path, sizeof(path), "/proc/self/task/%d/status", (int)tid);
    pnx_time give_up = patience();
    enum { SLEEPING = 2 }; /* enum nap of hub.c */
    while (hub->nap != SLEEPING || read_status(path, "State:") != 'S') {
        assert_true(pnx_monotonic_now() < give_up);
        sched_yield();
    }
    /* That nothing happens can only be seen by letting time pass: 200 times the doze. */
    unsigned long before = read_status(path, "voluntary_ctxt_switches:");
    nanosleep(&(struct timespec){.tv_nsec = PNX_MS(40)}, NULL);
    assert_int_equal(read_status(path, "voluntary_ctxt_switches:"), before);
    assert_int_equal(read_status(path, "State:"), 'S');
    destroy(hub);
}

/* ---- fork ------------------------------------------------------------------------------------ */

static void assert_child_succeeds(pid_t child)
{
    int status = -1;
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void in_a_fork_child_the_hub_is_dead_but_harmless(void **state)
{
    struct pnx__hub *hub = pnx__hub_create(false);
    struct seen seen = {0};
    pnx_monitor *monitor = attach(hub, watch, &seen);
    hold(hub, &seen); /* so the fork comes while a monitor runs */

    pid_t child = fork();
    if (child == 0) {
        alarm(20); /* a hang ends the child by a signal */
        pnx_monitor *none = NULL;
        pnx_error err = {0};
        emit(hub, 0, 2);
        bool right = pnx__ring_tail(hub->ring) == 1 && pnx__hub_lost(hub) == 0 &&
                     pnx__hub_flush(hub, PNX_FOREVER) == PNX_EFORKED &&
                     pnx__hub_attach(hub, watch, &seen, &none, &err) == PNX_EFORKED &&
                     pnx__hub_detach(monitor) == PNX_EFORKED && pnx__hub_deliver(hub) == 0 &&
                     !pnx__hub_inside(hub) && pnx__hub_destroy(hub, PNX_FOREVER) == PNX_OK &&
                     pnx__hub_detach(monitor) == PNX_EFORKED && seen.count == 1;
        _exit(right ? 0 : 1);
    }
    assert_child_succeeds(child);
    let_go(&seen);
    emit(hub, 0, 3);
    assert_int_equal(pnx__hub_detach(monitor), PNX_OK);
    assert_int_equal(seen.count, 2); /* the child's events went nowhere */
    destroy(hub);
}

/* LeakSanitizer would not see what the parent's main thread, gone here, still refers to. */
static void exit_without_leak_check(void)
{
    _exit(0);
}

static void fork_once(const pnx_event *event, void *context)
{
    pid_t *child = context;
    if (*child == 0) {
        *child = fork();
        if (*child == 0) {
            sigset_t none;
            sigemptyset(&none);
            pthread_sigmask(SIG_SETMASK, &none, NULL);
            alarm(20); /* a hang ends the child by a signal */
            atexit(exit_without_leak_check);
        }
    }
}

static void a_monitor_that_forks_ends_its_child_by_returning(void **state)
{
    for (int manual = 0; manual <= 1; manual++) {
        struct pnx__hub *hub = pnx__hub_create(manual);
        pid_t self = getpid();
        pid_t child = 0;
        struct seen seen = {0};
        attach(hub, fork_once, &child);
        attach(hub, watch, &seen);
        fflush(NULL);
        emit(hub, 0, 1);
        emit(hub, 0, 2);
        pnx_status flushed = pnx__hub_flush(hub, patience());
        if (getpid() != self) { /* a manual hub delivers in this thread */
            _exit(flushed == PNX_EFORKED && seen.count == 0 ? 0 : 1);
        }
        assert_int_equal(flushed, PNX_OK);
        assert_child_succeeds(child);
        assert_int_equal(seen.count, 2);
        destroy(hub);
    }
}

struct fork_under_lock {
    sem_t entered;
    sem_t locked;
    sem_t forked;
    pid_t child;
};

static void fork_when_locked(const pnx_event *event, void *context)
{
    struct fork_under_lock *fork_under_lock = context;
    sem_post(&fork_under_lock->entered);
    wait_for(&fork_under_lock->locked);
    fork_once(event, &fork_under_lock->child);
    sem_post(&fork_under_lock->forked);
}

static void a_lock_that_was_held_in_the_fork_holds_up_no_child(void **state)
{
    struct pnx__hub *hub = pnx__hub_create(false);
    struct fork_under_lock context = {.child = 0};
    sem_init(&context.entered, 0, 0);
    sem_init(&context.locked, 0, 0);
    sem_init(&context.forked, 0, 0);
    attach(hub, fork_when_locked, &context);
    emit(hub, 0, 1);
    wait_for(&context.entered);

    pthread_mutex_lock(&hub->lock);
    fflush(NULL);
    sem_post(&context.locked);
    wait_for(&context.forked);
    pthread_mutex_unlock(&hub->lock);
    assert_child_succeeds(context.child);
    destroy(hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hub_without_monitors_costs_nothing),
        cmocka_unit_test(a_monitor_without_function_is_refused),
        cmocka_unit_test(a_monitor_sees_what_is_emitted_while_it_is_attached),
        cmocka_unit_test(detaching_waits_for_every_event_so_far),
        cmocka_unit_test(destroying_delivers_the_rest_and_frees_the_attached),
        cmocka_unit_test(nothing_is_lost_below_capacity),
        cmocka_unit_test(a_blocked_monitor_holds_up_nobody_and_losses_are_counted),
        cmocka_unit_test(a_flush_does_not_wait_for_later_events),
        cmocka_unit_test(the_account_holds_while_all_are_busy),
        cmocka_unit_test(no_event_is_left_behind_a_sleeping_thread),
        cmocka_unit_test(manual_hubs_deliver_in_the_calling_thread),
        cmocka_unit_test(a_monitor_may_attach_and_emit_but_not_wait_for_itself),
        cmocka_unit_test(a_monitor_that_ends_its_thread_is_detached_and_the_rest_goes_on),
        cmocka_unit_test(a_hub_whose_only_monitor_ends_its_thread_can_be_used_again),
        cmocka_unit_test(a_manual_hub_survives_it_too),
        cmocka_unit_test(a_monitor_cannot_be_canceled),
        cmocka_unit_test(a_hub_with_a_hung_monitor_can_be_left_and_destroyed_later),
        cmocka_unit_test(monitors_come_and_go_while_all_are_busy),
        cmocka_unit_test(an_idle_thread_never_wakes_up),
        cmocka_unit_test(in_a_fork_child_the_hub_is_dead_but_harmless),
        cmocka_unit_test(a_monitor_that_forks_ends_its_child_by_returning),
        cmocka_unit_test(a_lock_that_was_held_in_the_fork_holds_up_no_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
