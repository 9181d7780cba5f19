/* SPDX-License-Identifier: MIT */
/*
 * Threads that are no workers and run releases all the same: those that drop while the backlog is
 * above its high-water mark, and those that drop when no worker will come.
 */
#include "registry/outcome.h"

#include <sched.h>

_Thread_local bool pnx__runs_nothing;
static _Thread_local bool draining_inline;

void pnx__backlog_check(struct pnx_registry *registry, pnx__thread *thread)
{
    if (PNX_LIKELY(atomic_load_explicit(&registry->backlog, memory_order_relaxed) <=
                   registry->backlog_high_water) ||
        pnx__running_in != NULL || registry->manual)
        return;
    if (registry->backlog_policy == PNX_BACKLOG_HELP && pnx__help(registry, thread))
        return;
    /* At most some microseconds for 64 drops: enough for one worker to run as many short releases,
     * so that the backlog stops growing; and not a wait, however long the releases take. */
    for (unsigned i = 0; i < PNX__BACKLOG_PAUSES; i++) {
        if (atomic_load_explicit(&registry->backlog, memory_order_relaxed) <=
            registry->backlog_high_water)
            return;
        pnx__pause();
    }
    sched_yield();
}

bool pnx__help(struct pnx_registry *registry, pnx__thread *thread)
{
    /* As many as were dropped since the last time, and of kinds that said that they are quick. */
    pnx__run runs[PNX__BACKLOG_REPORT];
    if (pthread_mutex_trylock(&registry->dispatch) != 0)
        return false;
    unsigned count = pnx__pick_quick(registry, runs, PNX__BACKLOG_REPORT);
    pthread_mutex_unlock(&registry->dispatch);
    atomic_fetch_sub_explicit(&registry->backlog, count, memory_order_relaxed);
    for (unsigned i = 0; i < count; i++)
        pnx__run_one(registry, thread, NULL, runs[i]);
    if (count > 0)
        pnx__quiet_check(registry);
    return count > 0;
}

/* What a thread that is no worker may run while the registry goes on, when all workers hang: a
 * fallback, or what said that it is quick. Another release could hang like those before it. */
static bool may_run_inline(pnx__slot *slot)
{
    const pnx__kind *kind = pnx__kind_of(slot);
    if (pnx__may_fall_back(kind, atomic_load_explicit(&slot->word, memory_order_relaxed))) {
        atomic_fetch_or_explicit(&slot->word, PNX__FALLBACK, memory_order_relaxed);
        return true;
    }
    return (kind->flags & PNX_QUICK) != 0;
}

void pnx__drain_inline(struct pnx_registry *registry)
{
    /* A release that drops another resource comes here again; the outer loop will run it. */
    if (draining_inline || pnx__runs_nothing)
        return;
    draining_inline = true;
    pnx__thread *thread = pnx__thread_get(registry);
    const bool all = pnx__only_fallbacks(registry);
    pnx__run left[PNX__BATCH];
    unsigned left_count = 0;
    while (left_count < PNX__BATCH) {
        pthread_mutex_lock(&registry->dispatch);
        pnx__slot *slot = pnx__pick_any(registry);
        pthread_mutex_unlock(&registry->dispatch);
        if (slot == NULL)
            break;
        atomic_fetch_sub_explicit(&registry->backlog, 1, memory_order_relaxed);
        pnx__run run = {slot, 0};
        const bool may = all || may_run_inline(slot);
        run.word = atomic_load_explicit(&slot->word, memory_order_acquire);
        if (!may) {
            left[left_count++] = run;
            continue;
        }
        pnx__account(thread, pnx__kind_of(slot), PNX__N_SCHEDULE_FAILED);
        pnx__tell(registry, PNX_EVENT_SCHEDULE_FAILED, slot, run.word, PNX_ESHUTDOWN);
        pnx__run_one(registry, thread, NULL, run);
    }
    if (left_count > 0) {
        pthread_mutex_lock(&registry->dispatch);
        pnx__unpick(registry, left, left_count);
        pthread_mutex_unlock(&registry->dispatch);
        atomic_fetch_add_explicit(&registry->backlog, left_count, memory_order_relaxed);
    }
    draining_inline = false;
    /* The workers may have ended while we had it. */
    if (left_count > 0 && !all && pnx__only_fallbacks(registry))
        pnx__drain_inline(registry);
    pnx__quiet_check(registry);
}
