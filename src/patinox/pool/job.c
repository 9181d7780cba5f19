/* SPDX-License-Identifier: MIT */
/*
 * Jobs: create, validate, reset, on a worker of the registry. A job is a resource of its own, whose
 * release is the work; so what hangs is late, costs a worker that is replaced, is told of, and is
 * in the account. Its kind is PNX_BLOCKING: at most half of the workers do such things.
 *
 * Nobody waits in a job's place: what it makes goes to whoever is the head when it is done.
 */
#include "pool/internal.h"

#include "base/text.h"

#include <string.h>

static pnx_status run(void *value, const pnx_release *why);

static int describe(const void *value, char *buffer, size_t size)
{
    static const char *const names[] = {"create", "validate", "reset"};
    pnx__pool_entry *entry;
    memcpy(&entry, value, sizeof entry);
    return snprintf(buffer, size, "%s of pool %s", names[entry->job.type], entry->pool->name);
}

/* Only for pnx_kind.describe to say that there is one. */
static void described(void)
{
}

static const pnx_kind job_kind = {
    .name = "pool job",
    .flags = PNX_BLOCKING,
    .value_size = sizeof(pnx__pool_entry *),
    .describe = described,
    .release = run,
    .run_describe = describe,
};

/* ---- what becomes of it: with the lock held -------------------------------------------------- */

static void create_failed(pnx_pool *pool, pnx__pool_after *after, pnx__pool_entry *entry,
                          const pnx_error *error)
{
    entry->gone = true;
    pnx__pool_note(pool, after, PNX_POOL_CREATE_FAILED, NULL, error);
    pnx__pool_emptied(pool, entry);
    pool->stats.destroyed--; /* there was nothing */
    pnx__pool_create_failed(pool, after, error);
}

static void failed(pnx_pool *pool, pnx__pool_after *after, pnx__pool_entry *entry,
                   const pnx_error *error)
{
    switch (entry->job.type) {
    case PNX__JOB_CREATE:
        create_failed(pool, after, entry, error);
        return;
    case PNX__JOB_VALIDATE:
        pool->stats.invalid++;
        pnx__pool_note(pool, after, PNX_POOL_INVALID, entry, error);
        break;
    case PNX__JOB_RESET:
        pool->stats.reset_failed++;
        pnx__pool_note(pool, after, PNX_POOL_RESET_FAILED, entry, error);
        break;
    }
    pnx__pool_close_entry(pool, after, entry);
}

static void over(pnx__pool_entry *entry, pnx_status status, const pnx_error *error)
{
    pnx_pool *pool = entry->pool;
    pnx__pool_after after = {0};
    pnx__pool_lock(pool);
    entry->job.id = PNX_ID_NONE;
    if (entry->job.told_late)
        --*(entry->job.type == PNX__JOB_CREATE ? &pool->late_creates : &pool->late_checks);
    if (status != PNX_OK) {
        failed(pool, &after, entry, error);
    } else {
        if (entry->job.type == PNX__JOB_CREATE) {
            pnx__pool_created(pool, &after);
            pnx__pool_note(pool, &after, PNX_POOL_CREATED, entry, NULL);
            pnx_histogram_add(&pool->stats.create_time,
                              pnx__precise(pool->registry) - entry->job.started);
        }
        if (entry->job.type == PNX__JOB_VALIDATE) {
            pool->stats.validated++;
            /* It was not used: its idle time and its place in the order go on. */
            entry->checked = pnx__tick_time(pool->registry);
        } else {
            pnx__pool_touch(pool, entry);
        }
        pnx__pool_give(pool, &after, entry);
        /* Idle ones that nobody asks for must be looked after, too. */
        pnx__pool_tick_by(pool, &after,
                          pnx_time_after(pnx__precise(pool->registry), entry->keepalive));
        pnx__pool_tick_by(pool, &after, entry->retire_at);
        if (pool->size > pool->min)
            pnx__pool_tick_by(
                pool, &after,
                pnx_time_after(pnx__precise(pool->registry), pool->config.idle_timeout));
    }
    pnx__pool_serve(pool, &after);
    pnx__pool_unlock(pool, &after);
}

/* ---- the work: no lock ----------------------------------------------------------------------- */

/* Registers what create has made. */
static void take_in(pnx__pool_entry *entry, pnx_time now)
{
    pnx_pool *pool = entry->pool;
    (void)pnx__guard_arm(&entry->guard, entry->value[0], entry->value[1], entry->value[2]);
    entry->id = pnx__guard_id(&entry->guard);
    /* Relaxed: published by the word; see pnx__pool_lost. */
    atomic_store_explicit(&entry->slot, entry->guard.slot, memory_order_relaxed);
    atomic_store_explicit(&entry->generation, entry->guard.generation, memory_order_relaxed);
    entry->guard.slot = NULL; /* the pool's now, not a guard's */
    pnx__pool_lock(pool);
    entry->retire_at =
        pnx_time_after(now, pool->config.max_lifetime == PNX_FOREVER
                                ? PNX_FOREVER
                                : pool->config.max_lifetime -
                                      pnx__pool_jitter(pool, pool->config.max_lifetime / 40, 1));
    entry->keepalive =
        pool->config.keepalive == PNX_FOREVER
            ? PNX_FOREVER
            : pool->config.keepalive - pnx__pool_jitter(pool, pool->config.keepalive / 10, 1);
    entry->gone = false;
    entry->noted = false;
    entry->told_word = 0;
    pthread_mutex_unlock(&pool->lock);
    /* A shutdown may have released it by now. */
    if (pnx__hook_attach(pool->registry, entry->id, &entry->hook) != PNX_OK)
        entry->gone = true;
}

static pnx_status create(pnx__pool_entry *entry, const pnx_pool_call *call, pnx_error *err)
{
    pnx_pool *pool = entry->pool;
    const pnx_kind *kind = pool->config.kind;
    /* All that its release needs, before there is anything to release. */
    pnx_status status = pnx__guard_reserve(&entry->guard, pool->registry, kind, NULL, err);
    if (status != PNX_OK)
        return status;
    uint64_t value[PNX_VALUE_MAX / 8] = {0};
    status = pool->config.manager->create(call, value, err);
    if (status != PNX_OK) {
        pnx__guard_drop(&entry->guard);
        return status;
    }
    memcpy(entry->value, value, sizeof value);
    take_in(entry, pnx__precise(pool->registry));
    return PNX_OK;
}

static pnx_status work(pnx__pool_entry *entry, pnx_error *err)
{
    const pnx_pool_config *config = &entry->pool->config;
    const pnx_pool_call call = {entry->pool, config->context, entry->job.deadline};
    pnx_status status = PNX_OK;
    switch (entry->job.type) {
    case PNX__JOB_CREATE:
        status = create(entry, &call, err);
        break;
    case PNX__JOB_VALIDATE:
        if (config->manager->validate != NULL)
            status = config->manager->validate(&call, entry->value, err);
        break;
    case PNX__JOB_RESET:
        status = config->manager->reset(&call, entry->value, err);
        break;
    }
    if (status != PNX_OK && err->code == PNX_OK)
        (void)pnx_fail(err, status, "%s", pnx_status_name(status));
    return status;
}

static pnx_status run(void *value, const pnx_release *why)
{
    pnx__pool_entry *entry;
    memcpy(&entry, value, sizeof entry);
    pnx_pool *pool = entry->pool;
    (void)why;
    pnx__pool_enter(pool);
    pnx__pool_lock(pool);
    entry->job.begun = true;
    pthread_mutex_unlock(&pool->lock);
    pnx_error err = {0};
    const pnx_status status = work(entry, &err);
    over(entry, status, &err);
    pnx__pool_leave(pool);
    return PNX_OK; /* what became of it is the pool's business */
}

/* The resource of a job has ended. */
void pnx__pool_job_ended(pnx__hook *hook, pnx_id id, const pnx_kind *kind, const pnx_site *site,
                         pnx_status outcome)
{
    pnx__pool_entry *entry = pnx__container_of(hook, pnx__pool_entry, job.hook);
    pnx_pool *pool = entry->pool;
    (void)kind;
    (void)site;
    pnx__pool_enter(pool);
    pnx__pool_lock(pool);
    const bool mine = pnx_id_equal(entry->job.id, id);
    /* It never ran: given up at a shutdown. Or its thread was ended inside. What is late goes on,
     * and says itself what becomes of it. */
    const bool lost = mine && (!entry->job.begun || outcome == PNX_EFAILED);
    pool->jobs--;
    pthread_mutex_unlock(&pool->lock);
    if (lost) {
        pnx_error err = {0};
        (void)pnx_fail(&err, PNX_EFAILED,
                       entry->job.begun ? "the manager's function ended its thread"
                                        : "the registry is shutting down");
        if (entry->job.begun)
            pnx__pool_leave(pool); /* in place of the thread that will not */
        if (entry->job.type == PNX__JOB_CREATE)
            pnx__guard_drop(&entry->guard);
        over(entry, PNX_EFAILED, &err);
    }
    pnx__pool_lock(pool);
    pnx__pool_unlock(pool, &(pnx__pool_after){0});
    pnx__pool_leave(pool);
}

void pnx__pool_submit(pnx__pool_entry *entry)
{
    pnx_pool *pool = entry->pool;
    pnx_error err = {0};
    pnx_id id;
    pnx_status status = pnx_register(pool->registry, &job_kind, &entry, NULL, &id, &err);
    if (status != PNX_OK) {
        over(entry, status, &err);
        return;
    }
    pnx__pool_lock(pool);
    pool->jobs++;
    entry->job.id = id;
    pthread_mutex_unlock(&pool->lock);
    if (pnx__hook_attach(pool->registry, id, &entry->job.hook) != PNX_OK) {
        /* A shutdown was faster: it runs, or has run, without anybody to tell. */
        pnx__pool_lock(pool);
        pool->jobs--;
        pthread_mutex_unlock(&pool->lock);
        return;
    }
    (void)pnx_release_later(pool->registry, id, NULL);
}
