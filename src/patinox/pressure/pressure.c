/* SPDX-License-Identifier: MIT */
#include "base/fork.h"
#include "base/sys.h"
#include "pressure/internal.h"

#include <unistd.h>

const char *pnx_pressure_level_name(pnx_pressure_level level)
{
    static const char *const names[] = {"some", "full"};
    return (unsigned)level < PNX_PRESSURE_LEVEL_COUNT ? names[level] : "unknown";
}

static bool forked(const pnx_pressure *pressure)
{
    return pressure->epoch != pnx__fork_epoch();
}

static pnx_status fail_forked(pnx_error *err)
{
    return pnx_fail(err, PNX_EFORKED, "this pressure is watched by the parent process");
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void free_all(pnx_pressure *pressure)
{
    for (pnx__list *node = pressure->subscribers.next; node != &pressure->subscribers;) {
        pnx_pressure_subscription *it = pnx__container_of(node, pnx_pressure_subscription, node);
        node = node->next;
        pnx__free(it);
    }
    pnx__psi_close(pressure->triggers);
    if (pressure->stop >= 0)
        close(pressure->stop);
    pthread_cond_destroy(&pressure->changed);
    pthread_mutex_destroy(&pressure->lock);
    pnx__free(pressure);
}

pnx_status pnx_pressure_create(const pnx_pressure_config *config, pnx_pressure **ret,
                               pnx_error *err)
{
    static const pnx_pressure_config defaults;
    if (!config)
        config = &defaults;
    pnx_pressure *pressure = pnx__alloc(sizeof *pressure);
    if (!pressure)
        return pnx_fail(err, PNX_ENOMEM, "no memory to watch for pressure");
    pressure->epoch = pnx__fork_epoch();
    pressure->stop = -1;
    for (unsigned i = 0; i < PNX_PRESSURE_LEVEL_COUNT; i++)
        pressure->triggers[i] = -1;
    pnx__list_init(&pressure->subscribers);
    pthread_mutex_init(&pressure->lock, NULL);
    pthread_cond_init(&pressure->changed, NULL);
    pnx_status status = PNX_OK;
    if (!config->manual) {
        status = pnx__psi_open(config, pressure->source, pressure->triggers, err);
        if (status == PNX_OK)
            status = pnx__pressure_watch(pressure, err);
    }
    if (status != PNX_OK) {
        free_all(pressure);
        return status;
    }
    *ret = pressure;
    return PNX_OK;
}

static bool tells_here(const pnx_pressure *pressure)
{
    return pressure->telling && pthread_equal(pressure->teller, pthread_self());
}

pnx_status pnx_pressure_destroy(pnx_pressure *pressure, pnx_error *err)
{
    if (!pressure)
        return PNX_OK;
    if (forked(pressure)) { /* its lock may be held by a thread that is not here */
        pnx__psi_close(pressure->triggers);
        if (pressure->stop >= 0)
            close(pressure->stop);
        pnx__free(pressure);
        return PNX_OK;
    }
    pthread_mutex_lock(&pressure->lock);
    const bool here = tells_here(pressure);
    pthread_mutex_unlock(&pressure->lock);
    if (here)
        return pnx_fail(err, PNX_EDEADLOCK, "a subscriber cannot destroy what it is told by");
    pnx__pressure_stop(pressure);
    free_all(pressure);
    return PNX_OK;
}

const char *pnx_pressure_source(const pnx_pressure *pressure)
{
    return pressure->source;
}

uint64_t pnx_pressure_count(const pnx_pressure *pressure, pnx_pressure_level level)
{
    if ((unsigned)level >= PNX_PRESSURE_LEVEL_COUNT)
        return 0;
    /* Relaxed: see there. */
    return atomic_load_explicit(&pressure->told[level], memory_order_relaxed);
}

bool pnx_pressure_watches(const pnx_pressure *pressure)
{
    /* Relaxed: see there. */
    return !forked(pressure) && atomic_load_explicit(&pressure->watches, memory_order_relaxed);
}

/* ---- subscribers ----------------------------------------------------------------------------- */

static pnx_status subscribe(pnx_pressure *pressure, const pnx_pressure_subscription *like,
                            pnx_pressure_subscription **ret, pnx_error *err)
{
    if (forked(pressure))
        return fail_forked(err);
    pnx_pressure_subscription *made = pnx__alloc(sizeof *made);
    if (!made)
        return pnx_fail(err, PNX_ENOMEM, "no memory for another subscriber of pressure");
    *made = *like;
    made->pressure = pressure;
    if (made->cache)
        made->context = made;
    pthread_mutex_lock(&pressure->lock);
    pnx__list_push_back(&pressure->subscribers, &made->node);
    pthread_mutex_unlock(&pressure->lock);
    if (ret)
        *ret = made;
    return PNX_OK;
}

pnx_status pnx_pressure_subscribe(pnx_pressure *pressure, pnx_pressure_fn fn, void *context,
                                  pnx_pressure_subscription **ret, pnx_error *err)
{
    return subscribe(pressure, &(pnx_pressure_subscription){.fn = fn, .context = context}, ret,
                     err);
}

void pnx_pressure_unsubscribe(pnx_pressure_subscription *subscription)
{
    if (!subscription || forked(subscription->pressure))
        return;
    pnx_pressure *pressure = subscription->pressure;
    pthread_mutex_lock(&pressure->lock);
    if (pressure->calling == subscription && tells_here(pressure)) {
        subscription->ended = true;
        pthread_mutex_unlock(&pressure->lock);
        return;
    }
    while (pressure->calling == subscription)
        pthread_cond_wait(&pressure->changed, &pressure->lock);
    pnx__list_remove(&subscription->node);
    pthread_mutex_unlock(&pressure->lock);
    pnx__free(subscription);
}

/* Lock held, before and after. The list may change meanwhile, but this node stays in it. */
static void call(pnx_pressure *pressure, pnx_pressure_subscription *it, pnx_pressure_level level)
{
    pressure->calling = it;
    pthread_mutex_unlock(&pressure->lock);
    it->fn(level, it->context);
    pthread_mutex_lock(&pressure->lock);
    pressure->calling = NULL;
    pthread_cond_broadcast(&pressure->changed);
}

pnx_status pnx_pressure_tell(pnx_pressure *pressure, pnx_pressure_level level)
{
    if ((unsigned)level >= PNX_PRESSURE_LEVEL_COUNT)
        return PNX_EINVAL;
    if (forked(pressure))
        return PNX_EFORKED;
    pthread_mutex_lock(&pressure->lock);
    if (tells_here(pressure)) {
        pthread_mutex_unlock(&pressure->lock);
        return PNX_EDEADLOCK;
    }
    while (pressure->telling)
        pthread_cond_wait(&pressure->changed, &pressure->lock);
    pressure->telling = true;
    pressure->teller = pthread_self();
    for (pnx__list *node = pressure->subscribers.next; node != &pressure->subscribers;) {
        pnx_pressure_subscription *it = pnx__container_of(node, pnx_pressure_subscription, node);
        call(pressure, it, level);
        node = it->node.next;
        if (it->ended) {
            pnx__list_remove(&it->node);
            pnx__free(it);
        }
    }
    pressure->telling = false;
    pthread_cond_broadcast(&pressure->changed);
    pthread_mutex_unlock(&pressure->lock);
    /* Relaxed: see there. */
    atomic_fetch_add_explicit(&pressure->told[level], 1, memory_order_relaxed);
    return PNX_OK;
}

/* ---- caches ---------------------------------------------------------------------------------- */

static void shrink(pnx_pressure_level level, void *context)
{
    const pnx_pressure_subscription *it = context;
    const unsigned keep = level == PNX_PRESSURE_FULL ? it->keep.full : it->keep.some;
    pnx_cache_stats stats;
    pnx_cache_stats_get(it->cache, &stats);
    /* Divided first: a weight may be of any size. */
    (void)pnx_cache_shrink(it->cache, stats.weight / 100 * keep + stats.weight % 100 * keep / 100);
}

pnx_status pnx_pressure_shrink_cache(pnx_pressure *pressure, pnx_cache *cache,
                                     const pnx_pressure_keep *keep, pnx_pressure_subscription **ret,
                                     pnx_error *err)
{
    pnx_pressure_keep own = keep ? *keep : (pnx_pressure_keep){0};
    if (own.some > 100 || own.full > 100)
        return pnx_fail(err, PNX_EINVAL, "keep.%s is %u per cent: at most 100",
                        own.some > 100 ? "some" : "full", own.some > 100 ? own.some : own.full);
    own.some = own.some ? own.some : 75;
    own.full = own.full ? own.full : 25;
    return subscribe(pressure,
                     &(pnx_pressure_subscription){.fn = shrink, .cache = cache, .keep = own}, ret,
                     err);
}
