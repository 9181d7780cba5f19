/* SPDX-License-Identifier: MIT */
/*
 * Kinds at run time: from a descriptor's address to what this registry keeps about it. A table of
 * open addressing that only grows, read without a lock; each thread caches the few it uses.
 */
#include "registry/internal.h"

#include <string.h>

static unsigned hash(const pnx_kind *kind)
{
    /* Descriptors are static objects some hundred bytes apart; Fibonacci hashing spreads them. */
    return (unsigned)(((uintptr_t)kind >> 4) * 0x9e3779b97f4a7c15ull >> 40);
}

static pnx_status check(const pnx_kind *kind, pnx_error *err)
{
    if (kind->name == NULL || kind->name[0] == '\0')
        return pnx_fail(err, PNX_EINVAL, "a kind has no name: set pnx_kind.name, or use PNX_KIND");
    if (kind->release == NULL)
        return pnx_fail(err, PNX_EINVAL, "kind %s has no release function", kind->name);
    if (kind->value_size > PNX_VALUE_MAX)
        return pnx_fail(err, PNX_EINVAL,
                        "kind %s: value_size is %u, at most %d are kept; hold a pointer to it",
                        kind->name, kind->value_size, PNX_VALUE_MAX);
    if ((unsigned)kind->priority >= PNX_PRIORITY_COUNT)
        return pnx_fail(err, PNX_EINVAL,
                        "kind %s: priority %d is not one of PNX_LOW … PNX_CRITICAL", kind->name,
                        (int)kind->priority);
    if (kind->timeout < 0 || kind->retry_delay < 0 || kind->retry_delay_max < 0)
        return pnx_fail(err, PNX_EINVAL, "kind %s: a time span is negative", kind->name);
    if (kind->fallback != NULL && kind->run_fallback == NULL)
        return pnx_fail(err, PNX_EINVAL, "kind %s: fallback without run_fallback; use PNX_KIND",
                        kind->name);
    if (kind->describe != NULL && kind->run_describe == NULL)
        return pnx_fail(err, PNX_EINVAL, "kind %s: describe without run_describe; use PNX_KIND",
                        kind->name);
    return PNX_OK;
}

static pnx__kind *lookup(struct pnx_registry *registry, const pnx_kind *kind, unsigned *ret_free)
{
    for (unsigned i = hash(kind), n = 0; n < PNX__KIND_TABLE; i++, n++) {
        unsigned at = i % PNX__KIND_TABLE;
        /* Acquire: pairs with the release in enter; who sees the entry sees its fields. */
        pnx__kind *found = atomic_load_explicit(&registry->kind_table[at], memory_order_acquire);
        if (found == NULL) {
            *ret_free = at;
            return NULL;
        }
        if (found->kind == kind)
            return found;
    }
    return NULL;
}

static void fill(struct pnx_registry *registry, pnx__kind *runtime, const pnx_kind *kind,
                 bool ticks)
{
    const pnx_config *config = &registry->config;
    runtime->kind = kind;
    runtime->flags = kind->flags;
    runtime->ticks = ticks;
    runtime->rank = pnx_priority_rank(kind->priority);
    /* The attempt number has eight bits, and the fallback is one attempt more. */
    runtime->attempts_max = (kind->retries < 200 ? kind->retries : 200) + 1;
    runtime->has_fallback = kind->fallback != NULL;
    runtime->has_describe = kind->describe != NULL;
    runtime->timeout = kind->timeout != 0 ? kind->timeout : config->timeout;
    runtime->retry_delay = kind->retry_delay != 0 ? kind->retry_delay : config->retry_delay;
    runtime->retry_delay_max =
        kind->retry_delay_max != 0 ? kind->retry_delay_max : config->retry_delay_max;
    runtime->cap = kind->max_concurrency != 0 ? kind->max_concurrency : config->max_concurrency;
    if (runtime->cap == 0)
        runtime->cap = UINT32_MAX;
}

/* Enters a descriptor that is not in the table yet. Dispatch lock held. */
static pnx__kind *enter(struct pnx_registry *registry, const pnx_kind *kind, bool ticks,
                        pnx_status *ret_status, pnx_error *err)
{
    unsigned at = 0;
    pnx__kind *runtime = lookup(registry, kind, &at);
    if (runtime != NULL)
        return runtime; /* another thread was faster */
    const uint32_t index = atomic_load_explicit(&registry->kind_count, memory_order_relaxed);
    if (index == PNX__KINDS_MAX) {
        *ret_status = pnx_fail(err, PNX_ELIMIT, "registry %s: more than %d kinds (at kind %s)",
                               registry->name, PNX__KINDS_MAX, kind->name);
        return NULL;
    }
    runtime = pnx__alloc(sizeof *runtime);
    if (runtime == NULL) {
        *ret_status = pnx_fail(err, PNX_ENOMEM, "registry %s: no memory for kind %s",
                               registry->name, kind->name);
        return NULL;
    }
    fill(registry, runtime, kind, ticks);
    runtime->index = index;
    atomic_store_explicit(&registry->kinds[index], runtime, memory_order_release);
    /* Release: pairs with the acquire of those who walk the kinds by number. */
    atomic_store_explicit(&registry->kind_count, index + 1, memory_order_release);
    /* Release: pairs with the acquire in lookup. */
    atomic_store_explicit(&registry->kind_table[at], runtime, memory_order_release);
    return runtime;
}

static pnx__kind *find(struct pnx_registry *registry, const pnx_kind *kind, bool ticks,
                       pnx_status *ret_status, pnx_error *err)
{
    unsigned at = 0;
    pnx__kind *runtime = lookup(registry, kind, &at);
    if (runtime != NULL)
        return runtime;
    *ret_status = check(kind, err);
    if (*ret_status != PNX_OK)
        return NULL;
    pthread_mutex_lock(&registry->dispatch);
    runtime = enter(registry, kind, ticks, ret_status, err);
    pthread_mutex_unlock(&registry->dispatch);
    return runtime;
}

pnx__kind *pnx__kind_find(struct pnx_registry *registry, const pnx_kind *kind,
                          pnx_status *ret_status, pnx_error *err)
{
    return find(registry, kind, false, ret_status, err);
}

pnx__kind *pnx__kind_find_ticking(struct pnx_registry *registry, const pnx_kind *kind,
                                  pnx_status *ret_status, pnx_error *err)
{
    return find(registry, kind, true, ret_status, err);
}

void pnx__kinds_done(struct pnx_registry *registry)
{
    uint32_t count = atomic_load_explicit(&registry->kind_count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) {
        pnx__free(atomic_load_explicit(&registry->kinds[i], memory_order_relaxed));
        pnx__free(registry->retired[i]);
    }
}
