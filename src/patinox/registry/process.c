/* SPDX-License-Identifier: MIT */
/*
 * What is one per process: the list of registries, the default registry, and the end of the
 * process.
 *
 * The exit hook is one atexit handler, registered when the first registry is made. It does nothing
 * in a fork child; elsewhere each registry that was not shut down is shut down within its exit
 * grace (or only reported, or left alone), on the thread that called exit, while the others still
 * run. atexit(3) rather than a destructor: what the program registers later is torn down before,
 * and its own static objects are still there when releases run.
 */
#include "registry/internal.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pnx__process_mutex process_lock = PNX__PROCESS_MUTEX;
static pnx__list registries = {&registries, &registries};
static pnx__process_mutex default_lock = PNX__PROCESS_MUTEX;
static _Atomic(pnx_registry *) default_registry;
static struct {
    pthread_t thread;
    bool there;
} leaver; /* the thread that left last, see pnx__process_leave; process lock */

/* While its maker is at it, a mutex has this bit and his epoch: a fork child has another one. */
#define BEING_MADE (1u << 31)

bool pnx__process_mutex_lock(pnx__process_mutex *mutex)
{
    const uint32_t current = pnx__fork_epoch();
    bool child = false;
    /* Acquire, and release below: who sees the epoch sees the mutex made. */
    uint32_t epoch = atomic_load_explicit(&mutex->epoch, memory_order_acquire);
    while (PNX_UNLIKELY(epoch != current)) {
        if (epoch == (current | BEING_MADE)) {
            sched_yield();
            epoch = atomic_load_explicit(&mutex->epoch, memory_order_acquire);
            continue;
        }
        const uint32_t before = epoch;
        if (!atomic_compare_exchange_weak_explicit(&mutex->epoch, &epoch, current | BEING_MADE,
                                                   memory_order_acq_rel, memory_order_acquire))
            continue;
        /* In a fork child the first to come makes it anew: its owner is not in this process. */
        child = before != 0;
        if (child)
            (void)pthread_mutex_init(&mutex->mutex, NULL);
        atomic_store_explicit(&mutex->epoch, current, memory_order_release);
        break;
    }
    pthread_mutex_lock(&mutex->mutex);
    return child;
}

void pnx__process_mutex_unlock(pnx__process_mutex *mutex)
{
    pthread_mutex_unlock(&mutex->mutex);
}

void pnx__process_lock(void)
{
    /* The parent's registries and threads are the parent's, and its list may have been half
     * changed. */
    if (pnx__process_mutex_lock(&process_lock)) {
        pnx__list_init(&registries);
        leaver.there = false;
    }
}

void pnx__process_unlock(void)
{
    pnx__process_mutex_unlock(&process_lock);
}

/* ---- threads that leave --------------------------------------------------------------------- */

/* Takes the one that left, and puts another one in its place. True: `*ret` is to be joined. */
static bool replace_leaver(bool there, pthread_t thread, pthread_t *ret)
{
    pnx__process_lock();
    const bool before = leaver.there;
    *ret = leaver.thread;
    leaver.thread = thread;
    leaver.there = there;
    pnx__process_unlock();
    return before;
}

void pnx__process_leave(void)
{
    pthread_t before;
    if (replace_leaver(true, pthread_self(), &before))
        (void)pthread_join(before, NULL); /* it is on its last lines */
}

static void join_leaver(void)
{
    const pthread_t self = pthread_self();
    pthread_t before;
    if (replace_leaver(false, self, &before) && !pthread_equal(before, self))
        (void)pthread_join(before, NULL);
}

/* ---- at exit --------------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* Where and how the operator wants the leak report; nothing is written when nothing leaked. */
static void write_report(const struct pnx_registry *registry, const pnx_report *report)
{
    const char *where = registry->config.leak_report;
    if (where == NULL || report->survivor_count + report->leaked == 0)
        return;
    const bool to_stderr = strcmp(where, "stderr") == 0 || strcmp(where, "json") == 0;
    const bool json = strcmp(where, "json") == 0 || ends_with(where, ".json");
    FILE *out = to_stderr ? stderr : fopen(where, "ae");
    if (out == NULL) {
        pnx__log(PNX_LOG_ERROR, "registry %s: cannot write the leak report to %s (errno %d)",
                 registry->name, where, errno);
        return;
    }
    pnx_error err = {0};
    if ((json ? pnx_report_write_json : pnx_report_write_text)(report, out, &err) != PNX_OK)
        pnx__log(PNX_LOG_ERROR, "registry %s: %s", registry->name, err.message);
    if (!to_stderr)
        (void)fclose(out);
}

/* Only what is live leaks; what failed before is in the report that follows. */
static void keep_leaks(pnx_report *report)
{
    size_t kept = 0;
    for (size_t i = 0; i < report->survivor_count; i++) {
        pnx_survivor *survivor = &report->survivors[i];
        if (survivor->state != PNX_LIVE) {
            pnx__free(survivor->metadata);
            continue;
        }
        survivor->leaked = true;
        report->survivors[kept++] = *survivor;
    }
    report->survivor_count = kept;
    report->leaked = kept;
}

/* The drain gives back what leaked, and so takes away what there is to tell of it: where it came
 * from. So that is told before. */
static void write_leaks(struct pnx_registry *registry)
{
    pnx_report report = {0};
    pnx_error err = {0};
    if (registry->config.leak_report == NULL)
        return;
    if (pnx_registry_report(registry, &report, &err) != PNX_OK)
        pnx__log(PNX_LOG_ERROR, "%s", err.message);
    keep_leaks(&report);
    write_report(registry, &report);
    pnx_report_done(&report);
}

/* Ends one registry; answers its strict exit status, or 0. */
static int end_registry(struct pnx_registry *registry)
{
    const pnx_config *config = &registry->config;
    if (config->at_exit == PNX_EXIT_NOTHING)
        return 0;
    pnx_report report = {0};
    pnx_error err = {0};
    if (config->at_exit == PNX_EXIT_DRAIN && pnx__running_in != registry) {
        /* Two thirds for releases, one for fallbacks. */
        const pnx_shutdown_options options = {.grace = config->exit_grace / 3 * 2,
                                              .hard = config->exit_grace / 3};
        write_leaks(registry);
        (void)pnx_registry_shutdown(registry, &options, &report, &err);
    } else {
        /* Only a report; also when a release of this very registry called exit. */
        if (pnx_registry_report(registry, &report, &err) != PNX_OK)
            pnx__log(PNX_LOG_ERROR, "%s", err.message);
        report.leaked = report.counts.live;
    }
    const bool leaks = report.leaked + report.survivor_count > 0;
    write_report(registry, &report);
    if (leaks)
        pnx__log(PNX_LOG_WARNING, "registry %s: %llu resources leaked, %zu were not given back",
                 registry->name, (unsigned long long)report.leaked, report.survivor_count);
    pnx_report_done(&report);
    return leaks ? config->leak_exit_status : 0;
}

static void at_exit(void)
{
    int strict = 0;
    /* No lock is held while releases run; registries made meanwhile are at the end of the list. */
    pnx__process_lock();
    pnx__list *node = registries.next;
    while (node != &registries) {
        struct pnx_registry *registry = pnx__container_of(node, struct pnx_registry, node);
        /* Relaxed: if it is being shut down just now, our own waits for that. */
        if (!pnx__forked(registry) &&
            !atomic_load_explicit(&registry->shut_down, memory_order_relaxed)) {
            registry->at_exit = true; /* keeps it from being destroyed meanwhile */
            pnx__process_unlock();
            const int status = end_registry(registry);
            if (strict == 0)
                strict = status;
            pnx__process_lock();
            registry->at_exit = false;
        }
        node = registry->node.next;
    }
    pnx__process_unlock();
    join_leaver();
    if (strict != 0) {
        /* exit(3) may not be called again from here: flush, and end with the status asked for. */
        (void)fflush(NULL);
        _exit(strict);
    }
}

static void hook_exit(void)
{
    if (atexit(at_exit) != 0)
        pnx__log(PNX_LOG_ERROR, "no memory for the exit hook: leaks will not be told at exit");
}

/* ---- registries ------------------------------------------------------------------------------ */

void pnx__process_add(struct pnx_registry *registry)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, hook_exit);
    pnx__process_lock();
    pnx__list_push_back(&registries, &registry->node);
    pnx__process_unlock();
}

void pnx__process_settle(struct pnx_registry *registry)
{
    pnx__process_lock();
    while (registry->at_exit) {
        pnx__process_unlock();
        sched_yield(); /* it finds that there is nothing to do, or reports */
        pnx__process_lock();
    }
    pnx__process_unlock();
}

void pnx__process_remove(struct pnx_registry *registry)
{
    pnx__process_lock();
    pnx__list_remove(&registry->node);
    pnx__process_unlock();
    pnx_registry *expected = registry;
    atomic_compare_exchange_strong(&default_registry, &expected, NULL);
}

pnx_registry *pnx_registry_default(void)
{
    /* Acquire: pairs with the release below; who sees the registry sees it made. */
    pnx_registry *registry = atomic_load_explicit(&default_registry, memory_order_acquire);
    if (PNX_LIKELY(registry != NULL) && !pnx__forked(registry))
        return registry;
    (void)pnx__process_mutex_lock(&default_lock);
    registry = atomic_load_explicit(&default_registry, memory_order_relaxed);
    if (registry == NULL || pnx__forked(registry)) {
        pnx_error err = {0};
        const pnx_config config = {.name = "default", .use_environment = true};
        if (pnx_registry_create(&config, &registry, &err) == PNX_OK) {
            atomic_store_explicit(&default_registry, registry, memory_order_release);
        } else {
            registry = NULL;
            pnx__log(PNX_LOG_ERROR, "no default registry: %s", err.message);
        }
    }
    pnx__process_mutex_unlock(&default_lock);
    return registry;
}
