/* SPDX-License-Identifier: MIT */
/*
 * Making and ending a registry, stepping one by hand, waiting for it, and its monitors.
 */
#include "registry/internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void free_parts(struct pnx_registry *registry)
{
    (void)pnx__hub_destroy(registry->hub, 0);
    pnx__threads_done(registry);
    pnx__kinds_done(registry);
    pnx__table_done(registry);
    for (unsigned i = 0; i < registry->worker_count; i++)
        pnx__free(registry->workers[i]);
    pnx__free(registry->workers);
    if (registry->timer_fd >= 0)
        (void)close(registry->timer_fd);
    if (registry->request_fd >= 0)
        (void)close(registry->request_fd);
    (void)pthread_mutex_destroy(&registry->dispatch);
    (void)pthread_mutex_destroy(&registry->timers_lock);
    (void)pthread_mutex_destroy(&registry->depot_lock);
    (void)pthread_mutex_destroy(&registry->shutdown_lock);
    pnx__unmap(registry, sizeof *registry);
}

static void copy_text(char *into, size_t size, const char *text)
{
    (void)snprintf(into, size, "%s", text);
}

static struct pnx_registry *make_parts(const pnx_config *config, pnx_error *err)
{
    /* Mapped: cache-line alignment, and 100 KiB of tables that are mostly never touched. */
    struct pnx_registry *registry = pnx__map(sizeof *registry);
    if (registry == NULL) {
        (void)pnx_fail(err, PNX_ENOMEM, "no memory for registry %s", config->name);
        return NULL;
    }
    registry->fork_epoch = pnx__fork_epoch();
    registry->instance = pnx__instance_make();
    registry->config = *config;
    copy_text(registry->name, sizeof registry->name, config->name);
    registry->config.name = registry->name;
    if (config->leak_report != NULL) {
        copy_text(registry->leak_report, sizeof registry->leak_report, config->leak_report);
        registry->config.leak_report = registry->leak_report;
    }
    registry->clock = config->clock;
    registry->timing = config->timing;
    registry->manual = config->executor == PNX_MANUAL;
    registry->backtraces = config->backtraces;
    registry->backlog_high_water = (int64_t)config->backlog_high_water;
    registry->backlog_policy = config->backlog_policy;
    registry->blocking_cap =
        registry->manual || config->workers < 2 ? UINT32_MAX : config->workers / 2;
    registry->kept_first = registry->kept_last = UINT32_MAX;
    registry->timer_fd = registry->request_fd = -1;
    atomic_store_explicit(&registry->wake_at, PNX_FOREVER, memory_order_relaxed);
    (void)pthread_mutex_init(&registry->dispatch, NULL);
    (void)pthread_mutex_init(&registry->timers_lock, NULL);
    (void)pthread_mutex_init(&registry->depot_lock, NULL);
    (void)pthread_mutex_init(&registry->shutdown_lock, NULL);
    pnx__list_init(&registry->threads);
    pnx__list_init(&registry->node);
    for (unsigned rank = 0; rank < PNX_PRIORITY_COUNT; rank++)
        pnx__inbox_init(&registry->inboxes[rank]);
    pnx__wheel_init(&registry->wheel, pnx__precise(registry));

    registry->workers_room = config->workers_max + 1;
    registry->workers = pnx__alloc(registry->workers_room * sizeof(pnx__worker *));
    registry->chunks = pnx__map(PNX__CHUNKS_MAX * sizeof(pnx__slot *));
    registry->hub = pnx__hub_create(registry->manual);
    registry->request_fd = pnx__eventfd();
    if (!registry->manual)
        registry->timer_fd = pnx__timerfd();
    if (registry->workers != NULL && registry->chunks != NULL && registry->hub != NULL &&
        registry->request_fd >= 0 && (registry->manual || registry->timer_fd >= 0))
        return registry;
    if (registry->request_fd < 0 || (!registry->manual && registry->timer_fd < 0))
        (void)pnx_fail(err, PNX_EFAILED, "registry %s: cannot make its descriptors: %m",
                       config->name);
    else
        (void)pnx_fail(err, PNX_ENOMEM, "no memory for registry %s", config->name);
    free_parts(registry);
    return NULL;
}

static pnx_status start_threads(struct pnx_registry *registry, pnx_error *err)
{
    int error = pnx__timekeeper_start(registry);
    pthread_mutex_lock(&registry->dispatch);
    while (error == 0 && registry->workers_alive < registry->config.workers)
        error = pnx__worker_start(registry);
    pthread_mutex_unlock(&registry->dispatch);
    if (error == 0)
        return PNX_OK;
    errno = error;
    pnx_fail(err, PNX_EFAILED, "registry %s: cannot start thread %u of %u: %m", registry->name,
             registry->workers_alive + registry->timekeeper_started + 1,
             registry->config.workers + 1);
    pnx__workers_stop(registry, PNX_FOREVER);
    pnx__timekeeper_end(registry);
    pnx__workers_join_ended(registry);
    return PNX_EFAILED;
}

pnx_status pnx_registry_create(const pnx_config *config, pnx_registry **ret, pnx_error *err)
{
    pnx_config complete = config != NULL ? *config : (pnx_config){0};
    pnx_status status = pnx_config_complete(&complete, err);
    if (status != PNX_OK)
        return status;
    pnx__fork_init();
    pnx_error why = {0};
    struct pnx_registry *registry = make_parts(&complete, &why);
    if (registry == NULL) {
        if (err != NULL)
            *err = why;
        return why.code;
    }
    if (!registry->manual) {
        status = start_threads(registry, err);
        if (status != PNX_OK) {
            free_parts(registry);
            return status;
        }
    }
    pnx__process_add(registry);
    *ret = registry;
    return PNX_OK;
}

/* How many resources have somebody who still refers to them. */
static size_t count_held(struct pnx_registry *registry)
{
    size_t held = 0;
    if (pnx__table_idle(registry))
        return 0; /* no need to look at every slot */
    const uint32_t chunks = atomic_load_explicit(&registry->chunk_count, memory_order_acquire);
    for (uint32_t index = 0; index < chunks << PNX__CHUNK_BITS; index++) {
        const pnx_state state = pnx__state_of(
            atomic_load_explicit(&pnx__slot_at(registry, index)->word, memory_order_acquire));
        held += state != PNX_FREE && state != PNX_FAILED && state != PNX_ABANDONED;
    }
    return held;
}

pnx_status pnx_registry_destroy(pnx_registry *registry, pnx_error *err)
{
    if (registry == NULL)
        return PNX_OK;
    if (pnx__forked(registry))
        return pnx_fail(err, PNX_EFORKED, "registry %s belongs to the parent", registry->name);
    if (atomic_load_explicit(&registry->phase, memory_order_acquire) != PNX__CLOSED)
        return pnx_fail(err, PNX_EBUSY,
                        "registry %s was not shut down: call "
                        "pnx_registry_shutdown first",
                        registry->name);
    pnx__process_settle(registry);
    const unsigned hung = pnx__workers_left(registry);
    if (hung > 0)
        return pnx_fail(err, PNX_EBUSY, "registry %s: %u hung workers may still come back to it",
                        registry->name, hung);
    const size_t held = count_held(registry);
    if (held > 0)
        return pnx_fail(err, PNX_EBUSY,
                        "registry %s: %zu guards or other owners still hold "
                        "resources of it",
                        registry->name, held);
    pnx_status status = pnx__hub_destroy(registry->hub, pnx__now() + PNX_S(1));
    if (status != PNX_OK)
        return pnx_fail(err, PNX_EBUSY, "registry %s: a monitor does not return", registry->name);
    registry->hub = NULL;
    (void)pnx_registry_forget_failed(registry); /* with what is known of them */
    pnx__signals_forget(registry);
    pnx__process_remove(registry);
    free_parts(registry);
    return PNX_OK;
}

const char *pnx_registry_name(const pnx_registry *registry)
{
    return registry->name;
}

pnx_time pnx_registry_now(const pnx_registry *registry)
{
    return pnx__precise(registry);
}

/* ---- by hand --------------------------------------------------------------------------------- */

size_t pnx_registry_step(pnx_registry *registry, size_t most)
{
    /* Relaxed: see pnx__is_stepper. */
    atomic_store_explicit(&registry->stepper, &pnx__running_in, memory_order_relaxed);
    return pnx__step(registry, most);
}

size_t pnx__step(struct pnx_registry *registry, size_t most)
{
    if (!registry->manual || pnx__forked(registry))
        return 0;
    /* From inside a release that is stepped, or from a second thread: the first one goes on. */
    if (atomic_exchange_explicit(&registry->manual_stepping, 1, memory_order_acquire) != 0)
        return 0;
    pnx__thread *thread = pnx__thread_make(registry);
    size_t ran = pnx__timekeeper_look(registry);
    for (size_t i = 0; i < most; i++) {
        pnx__run run;
        pthread_mutex_lock(&registry->dispatch);
        const unsigned count = pnx__pick(registry, &run, 1, pnx__precise(registry));
        pthread_mutex_unlock(&registry->dispatch);
        if (count == 0)
            break;
        atomic_fetch_sub_explicit(&registry->backlog, 1, memory_order_relaxed);
        pnx__run_one(registry, thread, NULL, run);
        ran++;
    }
    atomic_store_explicit(&registry->manual_stepping, 0, memory_order_release);
    pnx__hub_deliver(registry->hub);
    return ran;
}

pnx_time pnx_registry_next_due(pnx_registry *registry)
{
    if (pnx__forked(registry))
        return PNX_FOREVER;
    if (pnx__work_visible(registry))
        return pnx__precise(registry);
    pthread_mutex_lock(&registry->timers_lock);
    const pnx_time due = pnx__wheel_next(registry);
    pthread_mutex_unlock(&registry->timers_lock);
    return due;
}

pnx_status pnx__quiet_by_hand(pnx_registry *registry, pnx_time deadline)
{
    if (pnx__stepped_elsewhere(registry))
        return pnx__wait_quiet(registry, deadline);
    pnx_status status = PNX_OK;
    atomic_fetch_add_explicit(&registry->quiet_waiters, 1, memory_order_seq_cst);
    for (;;) {
        const uint32_t word = atomic_load_explicit(&registry->quiet_word, memory_order_seq_cst);
        if (pnx__outstanding(registry) == 0)
            break;
        if (pnx__precise(registry) >= deadline) {
            status = PNX_ETIMEOUT;
            break;
        }
        if (pnx__step(registry, SIZE_MAX) > 0)
            continue;
        if (registry->clock != NULL) {
            status = PNX_EBUSY;
            break;
        }
        const pnx_time due = pnx_registry_next_due(registry);
        pnx__futex_wait(&registry->quiet_word, word, due < deadline ? due : deadline);
    }
    atomic_fetch_sub_explicit(&registry->quiet_waiters, 1, memory_order_seq_cst);
    return status;
}

pnx_status pnx_registry_wait_idle(pnx_registry *registry, pnx_time deadline)
{
    if (pnx__forked(registry))
        return PNX_EFORKED;
    if (pnx__running_in == registry || pnx__hub_inside(registry->hub))
        return PNX_EDEADLOCK;
    pnx_status status = registry->manual ? pnx__quiet_by_hand(registry, deadline)
                                         : pnx__wait_quiet(registry, deadline);
    if (status != PNX_OK)
        return status;
    if (registry->manual) {
        pnx__hub_deliver(registry->hub);
        return PNX_OK;
    }
    return pnx__hub_flush(registry->hub, deadline);
}

/* ---- monitors -------------------------------------------------------------------------------- */

pnx_status pnx_monitor_attach(pnx_registry *registry, pnx_monitor_fn monitor, void *context,
                              pnx_monitor **ret, pnx_error *err)
{
    return pnx__hub_attach(registry->hub, monitor, context, ret, err);
}

pnx_status pnx_monitor_detach(pnx_monitor *monitor)
{
    return pnx__hub_detach(monitor);
}
