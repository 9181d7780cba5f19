/* SPDX-License-Identifier: MIT */
/*
 * One attempt to give a resource back. No lock is held while foreign code runs; what becomes of the
 * resource then is decided in outcome.c.
 */
#include "registry/outcome.h"

_Thread_local struct pnx_registry *pnx__running_in;

static void measure(struct pnx_registry *registry, pnx__thread *thread, pnx__slot *slot,
                    pnx_time started, pnx_duration *ret_queued)
{
    (void)registry;
    *ret_queued = started - atomic_load_explicit(&slot->since, memory_order_relaxed);
    if (thread != NULL && thread->queue_wait != NULL)
        pnx_histogram_add(thread->queue_wait, *ret_queued);
}

/* A release that runs inline and ends its thread is a failed one. */
struct inline_attempt {
    struct pnx_registry *registry;
    struct pnx_registry *outer;
    pnx__slot *slot;
    const pnx__about *about;
};

static void broken(struct pnx_registry *registry, pnx__thread *thread, const pnx__about *about,
                   pnx__slot *slot)
{
    pnx__log(PNX_LOG_ERROR, "registry %s: a release of kind %s ended its thread", registry->name,
             about->kind->kind->name);
    if ((about->word & PNX__TICK) != 0)
        pnx__tick_outcome(registry, thread, about, slot, PNX_EFAILED);
    else
        pnx__outcome(registry, thread, about, slot, PNX_EFAILED, -1);
}

static void inline_thread_ended(void *argument)
{
    struct inline_attempt *attempt = argument;
    pnx__running_in = attempt->outer;
    broken(attempt->registry, pnx__thread_get(attempt->registry), attempt->about, attempt->slot);
}

void pnx__attempt_broken(struct pnx_registry *registry, pnx__thread *thread, pnx__worker *worker)
{
    pnx__slot *slot = worker->about_slot;
    worker->about_slot = NULL;
    pnx__running_in = NULL;
    if (slot != NULL) {
        pnx__watch_end(&worker->watch);
        broken(registry, thread, &worker->about, slot);
    }
}

static pnx_status call(pnx__kind *kind, uint64_t value[PNX_VALUE_MAX / 8], const pnx_release *why)
{
    return why->fallback ? kind->kind->run_fallback(value, why) : kind->kind->release(value, why);
}

static pnx_status call_inline(struct inline_attempt *attempt, uint64_t value[PNX_VALUE_MAX / 8],
                              const pnx_release *why)
{
    pnx_status status;
    int cancel_state;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    pthread_cleanup_push(inline_thread_ended, attempt);
    status = call(attempt->about->kind, value, why);
    pthread_cleanup_pop(0);
    (void)pthread_setcancelstate(cancel_state, NULL);
    return status;
}

pnx_status pnx__attempt(struct pnx_registry *registry, pnx__thread *thread, pnx__worker *worker,
                        pnx__slot *slot, uint64_t word)
{
    pnx__about about = pnx__about_slot(registry, slot, word);
    pnx__kind *kind = about.kind;
    /* A copy: a release that is late may outlive its slot's use, and find its value unchanged. */
    uint64_t value[PNX_VALUE_MAX / 8];
    for (unsigned i = 0; i < PNX_VALUE_MAX / 8; i++)
        value[i] = atomic_load_explicit(&slot->value[i], memory_order_relaxed);

    const bool listening = pnx__hub_active(registry->hub);
    const bool measured = (word & PNX__SAMPLED) != 0;
    const pnx_time started = measured ? pnx__precise(registry) : pnx__tick_time(registry);
    const bool tick = (word & PNX__TICK) != 0;
    pnx_release why = {
        .registry = registry,
        .id = about.id,
        .deadline = pnx_time_after(started, kind->timeout),
        .reason = pnx__reason_of(word),
        .attempt = pnx__attempt_of(word),
        .fallback = (word & PNX__FALLBACK) != 0 || tick,
    };
    pnx_duration queued = -1;
    if (PNX_UNLIKELY(measured) && !tick && why.attempt == 1)
        measure(registry, thread, slot, started, &queued);
    if (PNX_UNLIKELY(listening) && !tick)
        pnx__tell_slow(registry, why.fallback ? PNX_EVENT_FALLBACK : PNX_EVENT_STARTED, &about,
                       PNX_OK, started, queued, -1);
    if (PNX_UNLIKELY(why.fallback) && !tick)
        pnx__account(thread, kind, PNX__N_FALLBACKS);

    struct pnx_registry *outer = pnx__running_in;
    pnx__running_in = registry;
    pnx_status status;
    if (PNX_LIKELY(worker != NULL)) {
        worker->about = about;
        worker->about_slot = slot;
        pnx__watch_begin(&worker->watch, slot, word, started);
        status = call(kind, value, &why);
        pnx__watch_end(&worker->watch);
        worker->about_slot = NULL;
    } else {
        struct inline_attempt attempt = {registry, outer, slot, &about};
        status = call_inline(&attempt, value, &why);
    }
    pnx__running_in = outer;

    pnx_duration ran = -1;
    if (PNX_UNLIKELY(measured)) {
        ran = pnx__precise(registry) - started;
        if (thread != NULL && thread->release_time != NULL)
            pnx_histogram_add(thread->release_time, ran);
    }
    if (PNX_UNLIKELY(tick))
        pnx__tick_outcome(registry, thread, &about, slot, status);
    else if (PNX_UNLIKELY(status == PNX_PENDING))
        pnx__go_pending(registry, &about, slot, why.deadline);
    else
        pnx__outcome(registry, thread, &about, slot, status, ran);
    return status;
}

bool pnx__run_one(struct pnx_registry *registry, pnx__thread *thread, pnx__worker *worker,
                  pnx__run run)
{
    pnx__slot *slot = run.slot;
    uint64_t word = run.word;
    uint64_t next;
    do {
        /* MOVED is part of what must be equal: else the timekeeper took it out of our batch. */
        if (PNX_UNLIKELY(!pnx__same_attempt(word, run.word) ||
                         ((word ^ run.word) & PNX__MOVED) != 0))
            return false;
        next = pnx__with_state(word, PNX_RUNNING) & ~(uint64_t)(PNX__MOVED | PNX__PARKED);
        next = pnx__with_attempt(next, (pnx__attempt_of(word) + 1) & 0xff);
        if (PNX_UNLIKELY(pnx__only_fallbacks(registry)) && (word & PNX__TICK) == 0 &&
            pnx__may_fall_back(pnx__kind_of(slot), word))
            next |= PNX__FALLBACK;
        /* Acquire: the slot's fields; release: for the timekeeper and completions. */
    } while (!atomic_compare_exchange_weak_explicit(&slot->word, &word, next, memory_order_acq_rel,
                                                    memory_order_relaxed));
    if (worker != NULL && thread != NULL)
        (void)pnx__tally_get(thread, pnx__kind_of(slot));
    if (PNX_LIKELY((next & PNX__TICK) == 0))
        pnx__account(thread, pnx__kind_of(slot), PNX__N_STARTED);
    if (PNX_UNLIKELY((next & PNX__SETTLED) != 0)) {
        const pnx__about about = pnx__about_slot(registry, slot, next);
        pnx__outcome(registry, thread, &about, slot, PNX_OK, -1);
        return true;
    }
    pnx__attempt(registry, thread, worker, slot, next);
    return true;
}
