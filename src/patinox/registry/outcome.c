/* SPDX-License-Identifier: MIT */
/*
 * What becomes of a resource: done, retried, fallen back, late, failed, abandoned.
 *
 * Every step is one compare and swap on the state word (table in state.h). The attempt number in
 * the word settles late against on time: an attempt that finds its number gone, or its state moved
 * on, was declared late, and only reports.
 */
#include "registry/outcome.h"

/* ---- ends ------------------------------------------------------------------------------------ */

/* Counts the end of what has just been moved to `final`, and announces what finish still does. */
static void count_end(struct pnx_registry *registry, pnx__thread *thread, pnx__kind *kind,
                      pnx__count count, uint64_t final)
{
    pnx__epilogue_begin(registry, final);
    pnx__account(thread, kind, count);
}

void pnx__finish(struct pnx_registry *registry, pnx__thread *thread, pnx__slot *slot,
                 const pnx__about *about, uint64_t final, pnx_status status)
{
    const pnx_state state = pnx__state_of(final);
    bool more = false;
    if ((final & PNX__TIMER) != 0)
        pnx__timer_cancel(registry, slot);
    if (state != PNX_DONE)
        (void)pnx__fails(PNX__FAULT_LIST); /* for tests: counted, and not listed yet */
    pthread_mutex_lock(&registry->dispatch);
    /* Under the lock, under which the flag was set together with the hook. */
    pnx__hook *hook = (final & PNX__HOOKED) != 0 ? slot->hook : NULL;
    if ((final & PNX__CAPPED) != 0)
        more = pnx__uncap(registry, about->kind);
    if ((final & PNX__WAITED) != 0)
        pnx__waiters_end(slot, status, state == PNX_ABANDONED);
    /* An abandoned one whose late attempt has succeeded by now is as good as done. */
    const bool gone = state == PNX_DONE ||
                      (atomic_load_explicit(&slot->word, memory_order_acquire) & PNX__SETTLED) != 0;
    if (gone) {
        if ((final & PNX__META) != 0) {
            pnx__meta_free(slot->meta);
            slot->meta = NULL;
        }
        slot->hook = NULL;
        /* Release: the slot's fields may be used by others from here on. */
        atomic_store_explicit(&slot->word, pnx__freed(final), memory_order_release);
    } else {
        pnx__kept_add(registry, slot);
    }
    pthread_mutex_unlock(&registry->dispatch);
    if (!gone)
        (void)pnx__kept_trim(registry, thread, registry->config.failures_kept);
    else if (pnx__generation_of(pnx__freed(final)) != 0)
        pnx__slot_give(registry, thread, slot);
    if (hook != NULL)
        hook->ended(hook, about->id, about->kind->kind, about->site, status);
    if (PNX_UNLIKELY(pnx__has_epilogue(final))) {
        /* seq_cst: pairs with pnx__outstanding. */
        atomic_fetch_add_explicit(&registry->epilogues_over, 1, memory_order_seq_cst);
        pnx__quiet_check(registry);
    }
    if (more)
        pnx__notify(registry);
}

/* ---- onwards: retry, fallback ---------------------------------------------------------------- */

static pnx_duration backoff(struct pnx_registry *registry, const pnx__kind *kind, unsigned attempt)
{
    pnx_duration delay = kind->retry_delay;
    for (unsigned i = 1; i < attempt && delay < kind->retry_delay_max; i++)
        delay = delay > PNX_FOREVER / 2 ? PNX_FOREVER : delay * 2;
    if (delay > kind->retry_delay_max)
        delay = kind->retry_delay_max;
    /* Jitter over the upper half ("equal jitter", Brooker, "Exponential Backoff and Jitter", AWS
     * 2015), so that what failed together does not come back together, yet not at once either. */
    pnx__thread *thread = pnx__thread_get(registry);
    if (thread != NULL && delay > 1)
        delay = delay / 2 +
                (pnx_duration)(pnx__random_next(&thread->random) % (uint64_t)(delay / 2 + 1));
    return delay;
}

/* Before an end is counted: whether it is to be told. Until it is, nobody is idle. */
static bool begin_telling(struct pnx_registry *registry)
{
    const bool told = pnx__hub_active(registry->hub);
    /* seq_cst: pairs with pnx__outstanding. */
    if (PNX_UNLIKELY(told))
        atomic_fetch_add_explicit(&registry->epilogues_begun, 1, memory_order_seq_cst);
    return told;
}

static void tell_end(struct pnx_registry *registry, bool told, pnx_event_type type,
                     const pnx__about *about, pnx_status status, pnx_duration ran)
{
    if (PNX_LIKELY(!told))
        return;
    (void)pnx__fails(PNX__FAULT_TELL); /* for tests: counted, and not told yet */
    pnx__tell_slow(registry, type, about, status, 0, -1, ran);
    /* seq_cst: pairs with pnx__outstanding. */
    atomic_fetch_add_explicit(&registry->epilogues_over, 1, memory_order_seq_cst);
}

/* Once the word has moved on, so that it is surely late, and before what follows from it. */
static void tell_late(struct pnx_registry *registry, pnx__thread *thread, const pnx__about *about)
{
    pnx__account(thread, about->kind, PNX__N_TIMED_OUT);
    if (PNX_UNLIKELY(pnx__hub_active(registry->hub)))
        pnx__tell_slow(registry, PNX_EVENT_TIMED_OUT, about, PNX_ETIMEOUT, 0, -1, -1);
}

/* Only whoever has moved the word on may: the field may else be another resource's by now. */
static void note_status(pnx__slot *slot, pnx_status status)
{
    atomic_store_explicit(&slot->span_or_status, (uint32_t)status, memory_order_relaxed);
}

/* RUNNING → WAITING or QUEUED: back upstream, and so counted under the dispatch lock (account.c).
 * False: the word is not `current` any more. `*ret_more`: another one of its kind may run now. */
static bool go_back(struct pnx_registry *registry, pnx__thread *thread, pnx__slot *slot,
                    const pnx__about *about, uint64_t current, uint64_t next, pnx_status status,
                    pnx__count count, bool *ret_more)
{
    pthread_mutex_lock(&registry->dispatch);
    const bool won = atomic_compare_exchange_strong_explicit(
        &slot->word, &current, next, memory_order_acq_rel, memory_order_relaxed);
    if (won) {
        note_status(slot, status);
        pnx__account(thread, about->kind, count);
        *ret_more = (current & PNX__CAPPED) != 0 && pnx__uncap(registry, about->kind);
    }
    pthread_mutex_unlock(&registry->dispatch);
    return won;
}

/* With a timer. False: the word has changed meanwhile. */
static bool go_waiting(struct pnx_registry *registry, pnx__thread *thread, pnx__slot *slot,
                       const pnx__about *about, uint64_t current, pnx_status status, uint64_t flags)
{
    uint64_t next = pnx__with_state(current, PNX_WAITING) | PNX__TIMER;
    next = (next & ~(uint64_t)(PNX__PENDING | PNX__CAPPED | PNX__TIMED_OUT)) | flags;
    bool more = false;
    if ((current & PNX__TIMER) != 0)
        pnx__timer_cancel(registry, slot); /* of an expiry, or of a pending attempt */
    if (!go_back(registry, thread, slot, about, current, next, status, PNX__N_RETRIED, &more))
        return false;
    if ((flags & PNX__TIMED_OUT) != 0)
        tell_late(registry, thread, about);
    pnx__tell(registry, PNX_EVENT_RETRIED, slot, next, status);
    const pnx_duration delay = backoff(registry, about->kind, pnx__attempt_of(next));
    pnx__timer_arm(registry, slot, next, pnx_time_after(pnx__precise(registry), delay));
    /* A shutdown that has just fired all retries may have missed this one. */
    if (pnx__only_fallbacks(registry))
        pnx__retry_due(registry, slot);
    if (more)
        pnx__notify(registry);
    return true;
}

/* For the fallback. False: the word has changed meanwhile. */
static bool go_fallback(struct pnx_registry *registry, pnx__thread *thread, pnx__slot *slot,
                        const pnx__about *about, uint64_t current, pnx_status status,
                        uint64_t flags)
{
    uint64_t next = pnx__with_state(current, PNX_QUEUED) | PNX__FALLBACK;
    next = (next & ~(uint64_t)(PNX__PENDING | PNX__CAPPED | PNX__TIMED_OUT)) | flags;
    bool more = false;
    if (!go_back(registry, thread, slot, about, current, next, status, PNX__N_FELL_BACK, &more))
        return false;
    if ((flags & PNX__TIMED_OUT) != 0)
        tell_late(registry, thread, about);
    if ((next & PNX__TIMER) != 0)
        pnx__timer_cancel(registry, slot);
    atomic_store_explicit(&slot->since, pnx__tick_time(registry), memory_order_relaxed);
    pnx__requeue(registry, slot, pnx__rank_of(next));
    if (more)
        pnx__notify(registry);
    return true;
}

void pnx__retry_due(struct pnx_registry *registry, pnx__slot *slot)
{
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    uint64_t next;
    pthread_mutex_lock(&registry->dispatch);
    do {
        if (pnx__state_of(word) != PNX_WAITING) {
            pthread_mutex_unlock(&registry->dispatch);
            return;
        }
        next = pnx__with_state(word, PNX_QUEUED);
    } while (!atomic_compare_exchange_weak_explicit(&slot->word, &word, next, memory_order_acq_rel,
                                                    memory_order_relaxed));
    pnx__account(pnx__thread_get(registry), pnx__kind_of(slot), PNX__N_REQUEUED);
    pthread_mutex_unlock(&registry->dispatch);
    pnx__timer_cancel(registry, slot); /* it may not have been the timer that sent us */
    atomic_store_explicit(&slot->since, pnx__tick_time(registry), memory_order_relaxed);
    pnx__requeue(registry, slot, pnx__rank_of(next));
}

/* ---- late ------------------------------------------------------------------------------------ */

/* The flags of a resource one more of whose attempts is late, and still runs. */
static uint64_t late_flags(uint64_t word)
{
    return PNX__TIMED_OUT | PNX__LATE_RUNS |
           ((word & PNX__LATE_RUNS) != 0 ? (uint64_t)PNX__LATE_MANY : 0);
}

/* A late attempt has ended. If it was the only one, its fallback may run again. */
static void late_is_back(pnx__slot *slot, uint32_t generation)
{
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    while (pnx__generation_of(word) == generation && pnx__state_of(word) >= PNX_QUEUED &&
           pnx__state_of(word) <= PNX_WAITING && (word & PNX__LATE_RUNS) != 0 &&
           (word & (PNX__LATE_MANY | PNX__TICK)) == 0)
        if (atomic_compare_exchange_weak_explicit(&slot->word, &word,
                                                  word & ~(uint64_t)PNX__LATE_RUNS,
                                                  memory_order_acq_rel, memory_order_acquire))
            return;
}

/* An attempt that was declared late has finished after all. If it succeeded, the resource is given
 * back, whatever was planned instead. */
static void late(struct pnx_registry *registry, pnx__thread *thread, const pnx__about *about,
                 pnx__slot *slot, pnx_status status, pnx_duration ran)
{
    late_is_back(slot, pnx__generation_of(about->word));
    pnx__account(thread, about->kind, PNX__N_LATE);
    if (PNX_UNLIKELY(pnx__hub_active(registry->hub)))
        pnx__tell_slow(registry, PNX_EVENT_LATE_COMPLETION, about, status, 0, -1, ran);
    if (status != PNX_OK && status != PNX_EALREADY)
        return;
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    for (;;) {
        if (pnx__generation_of(word) != pnx__generation_of(about->word))
            return;
        uint64_t next;
        switch (pnx__state_of(word)) {
        case PNX_QUEUED: /* for its retry or fallback: whoever pops it finds it settled */
        case PNX_RUNNING:
            next = word | PNX__SETTLED;
            if (atomic_compare_exchange_weak_explicit(&slot->word, &word, next,
                                                      memory_order_acq_rel, memory_order_acquire))
                return;
            break;
        case PNX_WAITING:
            next = pnx__with_state(word, PNX_DONE);
            pthread_mutex_lock(&registry->dispatch);
            if (atomic_compare_exchange_strong_explicit(
                    &slot->word, &word, next, memory_order_acq_rel, memory_order_acquire)) {
                const bool told = begin_telling(registry);
                count_end(registry, thread, about->kind, PNX__N_DONE_WAITING, next);
                pthread_mutex_unlock(&registry->dispatch);
                tell_end(registry, told, PNX_EVENT_COMPLETED, about, PNX_OK, ran);
                pnx__finish(registry, thread, slot, about, next, PNX_OK);
                return;
            }
            pthread_mutex_unlock(&registry->dispatch);
            break;
        case PNX_FAILED: /* of its fallback */
        case PNX_ABANDONED:
            /* It stays counted as that; but nothing is left to list. */
            if ((word & PNX__KEPT) != 0) {
                pnx__kept_settle(registry, thread, slot, pnx__generation_of(word));
                return;
            }
            next = word | PNX__SETTLED; /* whoever ended it is about to list it */
            if (atomic_compare_exchange_weak_explicit(&slot->word, &word, next,
                                                      memory_order_acq_rel, memory_order_acquire))
                return;
            break;
        default:
            return;
        }
    }
}

/* ---- outcome --------------------------------------------------------------------------------- */

void pnx__tick_outcome(struct pnx_registry *registry, pnx__thread *thread, const pnx__about *about,
                       pnx__slot *slot, pnx_status status)
{
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    uint64_t next;
    bool over;
    do {
        if (!pnx__same_attempt(word, about->word))
            return;
        over = status != PNX_OK || (word & PNX__STOP) != 0;
        next = word & ~(uint64_t)(PNX__TICK | PNX__STOP | PNX__CAPPED | PNX__TIMED_OUT);
        next = pnx__with_attempt(next, over ? 0 : pnx__attempt_of(next));
        next = pnx__with_state(next, over ? PNX_QUEUED : PNX_LIVE);
        if (over && (word & PNX__STOP) == 0)
            next = pnx__with_reason(next, PNX_EXPLICIT);
    } while (!atomic_compare_exchange_weak_explicit(&slot->word, &word, next, memory_order_acq_rel,
                                                    memory_order_acquire));
    if ((word & PNX__CAPPED) != 0) {
        pthread_mutex_lock(&registry->dispatch);
        bool more = pnx__uncap(registry, about->kind);
        pthread_mutex_unlock(&registry->dispatch);
        if (more)
            pnx__notify(registry);
    }
    if (!over) {
        pnx__timer_arm(registry, slot, next, pnx__period_next(registry, slot));
        return;
    }
    pnx__account(thread, about->kind, PNX__N_SCHEDULED);
    atomic_store_explicit(&slot->since, pnx__tick_time(registry), memory_order_relaxed);
    pnx__tell(registry, PNX_EVENT_SCHEDULED, slot, next, status);
    pnx__requeue(registry, slot, pnx__rank_of(next));
}

void pnx__go_pending(struct pnx_registry *registry, const pnx__about *about, pnx__slot *slot,
                     pnx_time deadline)
{
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    uint64_t next;
    /* The timer of an expiry may still be armed: it must not be taken for this deadline. */
    if ((word & PNX__TIMER) != 0 && pnx__same_attempt(word, about->word))
        pnx__timer_cancel(registry, slot);
    do {
        if (!pnx__same_attempt(word, about->word))
            return; /* completed already */
        next = word | PNX__PENDING | (deadline != PNX_FOREVER ? PNX__TIMER : 0);
    } while (!atomic_compare_exchange_weak_explicit(&slot->word, &word, next, memory_order_acq_rel,
                                                    memory_order_acquire));
    if (deadline != PNX_FOREVER)
        pnx__timer_arm(registry, slot, next, deadline);
}

static bool succeeded(pnx_status status)
{
    return status == PNX_OK || status == PNX_EALREADY;
}

/* As pnx__outcome, but when it is not that attempt any more nothing happens. */
static bool outcome_in_time(struct pnx_registry *registry, pnx__thread *thread,
                            const pnx__about *about, pnx__slot *slot, pnx_status status,
                            pnx_duration ran)
{
    pnx__kind *kind = about->kind;
    /* Acquire: flags set by others come with what they stand for. */
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    for (;;) {
        if (PNX_UNLIKELY(!pnx__same_attempt(word, about->word)))
            return false;
        if (PNX_LIKELY(succeeded(status) || (word & PNX__SETTLED) != 0)) {
            if (PNX_LIKELY((word & PNX__LOOSE_ENDS) == 0)) {
                const uint64_t freed = pnx__freed(word);
                if (!atomic_compare_exchange_weak_explicit(
                        &slot->word, &word, freed, memory_order_acq_rel, memory_order_acquire))
                    continue;
                const bool told = begin_telling(registry);
                pnx__account(thread, kind, PNX__N_DONE);
                tell_end(registry, told, PNX_EVENT_COMPLETED, about, PNX_OK, ran);
                if (PNX_LIKELY(pnx__generation_of(freed) != 0))
                    pnx__slot_give(registry, thread, slot);
                return true;
            }
            const uint64_t final = pnx__with_state(word, PNX_DONE);
            if (!atomic_compare_exchange_weak_explicit(&slot->word, &word, final,
                                                       memory_order_acq_rel, memory_order_acquire))
                continue;
            const bool told = begin_telling(registry);
            count_end(registry, thread, kind, PNX__N_DONE, final);
            tell_end(registry, told, PNX_EVENT_COMPLETED, about, PNX_OK, ran);
            pnx__finish(registry, thread, slot, about, final, PNX_OK);
            return true;
        }

        const bool hopeless =
            pnx_recovery_of(status) == PNX_RECOVER_FAIL || (word & PNX__FALLBACK) != 0;
        const bool again = !hopeless && pnx__attempt_of(word) < kind->attempts_max &&
                           !pnx__only_fallbacks(registry);
        if (again) {
            if (go_waiting(registry, thread, slot, about, word, status, 0))
                return true;
        } else if (!hopeless && pnx__may_fall_back(kind, word)) {
            if (go_fallback(registry, thread, slot, about, word, status, 0))
                return true;
        } else {
            const uint64_t final =
                pnx__with_state(word, PNX_FAILED) & ~(uint64_t)(PNX__PENDING | PNX__TIMED_OUT);
            if (atomic_compare_exchange_weak_explicit(&slot->word, &word, final,
                                                      memory_order_acq_rel, memory_order_acquire)) {
                note_status(slot, status);
                const bool told = begin_telling(registry);
                count_end(registry, thread, kind, PNX__N_FAILED, final);
                tell_end(registry, told, PNX_EVENT_FAILED, about, status, ran);
                pnx__finish(registry, thread, slot, about, final, status);
                return true;
            }
        }
        word = atomic_load_explicit(&slot->word, memory_order_acquire);
    }
}

bool pnx__outcome(struct pnx_registry *registry, pnx__thread *thread, const pnx__about *about,
                  pnx__slot *slot, pnx_status status, pnx_duration ran)
{
    if (PNX_LIKELY(outcome_in_time(registry, thread, about, slot, status, ran)))
        return true;
    late(registry, thread, about, slot, status, ran);
    return false;
}

/* PNX_OK: this attempt runs; else what pnx__complete shall answer. */
static pnx_status judge(const pnx__kind *kind, uint64_t word, pnx_token token)
{
    const unsigned last = pnx__attempt_of(word);
    const pnx_state state = pnx__state_of(word);
    if (pnx__generation_of(word) != pnx__id_generation(token.id))
        return PNX_EALREADY;
    if (token.attempt == 0 || token.attempt > last || state == PNX_LIVE)
        return PNX_ENOTFOUND;
    const bool over = state != PNX_RUNNING;
    if (token.attempt == last && !over)
        return PNX_OK;
    /* TIMED_OUT speaks of the last one that is over; an abandoned one was late. */
    if (token.attempt == (over ? last : last - 1))
        return (word & PNX__TIMED_OUT) != 0 || state == PNX_ABANDONED ? PNX_ETIMEOUT : PNX_EALREADY;
    /* Of those before nothing is known but whether they can have been late: only some kinds go on
     * after that. There a completion that was one too many passes for a late one. */
    const bool went_on = (kind->flags & PNX_IDEMPOTENT) != 0 ||
                         ((kind->flags & PNX_FALLBACK_CONCURRENT) != 0 &&
                          (word & PNX__FALLBACK) != 0 && token.attempt == last - 1);
    return went_on ? PNX_ETIMEOUT : PNX_EALREADY;
}

pnx_status pnx__complete(struct pnx_registry *registry, pnx__slot *slot, pnx_token token,
                         pnx_status status)
{
    pnx__thread *thread = pnx__thread_get(registry);
    for (;;) {
        uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
        pnx__about about = pnx__about_slot(registry, slot, word);
        about.id = token.id;
        about.word = pnx__with_attempt(pnx__with_state(word, PNX_RUNNING), token.attempt);
        const pnx_status verdict = judge(about.kind, word, token);
        if (verdict == PNX_OK && !outcome_in_time(registry, thread, &about, slot, status, -1))
            continue; /* it has just been completed, or declared late */
        if (verdict == PNX_ETIMEOUT)
            late(registry, thread, &about, slot, status, -1);
        return verdict;
    }
}

/* RUNNING, QUEUED or WAITING → ABANDONED, if the word is still `word`; else `word` is what it is.
 *  */
/* NOLINTNEXTLINE(readability-non-const-parameter): the compare and swap writes it */
static bool abandon(struct pnx_registry *registry, pnx__slot *slot, uint64_t *word,
                    pnx__count count)
{
    const pnx__about about = pnx__about_slot(registry, slot, *word);
    pnx__thread *thread = pnx__thread_get(registry);
    const uint64_t final = pnx__with_state(*word, PNX_ABANDONED) & ~(uint64_t)PNX__PENDING;
    const bool locked = count == PNX__N_ABANDONED_WAITING;
    if (locked)
        pthread_mutex_lock(&registry->dispatch);
    const bool won = atomic_compare_exchange_strong_explicit(
        &slot->word, word, final, memory_order_acq_rel, memory_order_acquire);
    bool told = false;
    if (won) {
        note_status(slot, PNX_ETIMEOUT);
        told = begin_telling(registry);
        count_end(registry, thread, about.kind, count, final);
    }
    if (locked)
        pthread_mutex_unlock(&registry->dispatch);
    if (!won)
        return false;
    if (count == PNX__N_ABANDONED)
        tell_late(registry, thread, &about);
    tell_end(registry, told, PNX_EVENT_ABANDONED, &about, PNX_ETIMEOUT, -1);
    pnx__finish(registry, thread, slot, &about, final, PNX_EABANDONED);
    return true;
}

/* Late, but an earlier attempt that was late has given the resource back: it is done. False: the
 * word has changed meanwhile. */
static bool settle_running(struct pnx_registry *registry, pnx__thread *thread, pnx__slot *slot,
                           const pnx__about *about, uint64_t word)
{
    const uint64_t final = pnx__with_state(word, PNX_DONE) & ~(uint64_t)PNX__PENDING;
    if (!atomic_compare_exchange_strong_explicit(&slot->word, &word, final, memory_order_acq_rel,
                                                 memory_order_acquire))
        return false;
    const bool told = begin_telling(registry);
    count_end(registry, thread, about->kind, PNX__N_DONE, final);
    tell_late(registry, thread, about);
    tell_end(registry, told, PNX_EVENT_COMPLETED, about, PNX_OK, -1);
    pnx__finish(registry, thread, slot, about, final, PNX_OK);
    return true;
}

bool pnx__overdue(struct pnx_registry *registry, pnx__slot *slot, uint64_t claimed)
{
    pnx__thread *thread = pnx__thread_get(registry);
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    for (;;) {
        if (!pnx__same_attempt(word, claimed))
            return false;
        const pnx__about about = pnx__about_slot(registry, slot, word);
        pnx__kind *kind = about.kind;
        if ((word & PNX__TICK) != 0) {
            tell_late(registry, thread, &about);
            return true;
        }
        const bool first_time = (word & PNX__FALLBACK) == 0;
        const bool again = first_time && (kind->flags & PNX_IDEMPOTENT) != 0 &&
                           pnx__attempt_of(word) < kind->attempts_max &&
                           !pnx__only_fallbacks(registry);
        const bool fall_back =
            first_time && kind->has_fallback && (kind->flags & PNX_FALLBACK_CONCURRENT) != 0 &&
            atomic_load_explicit(&registry->phase, memory_order_relaxed) < PNX__ABANDONING;
        bool moved;
        if (PNX_UNLIKELY((word & PNX__SETTLED) != 0))
            moved = settle_running(registry, thread, slot, &about, word);
        else if (again)
            moved =
                go_waiting(registry, thread, slot, &about, word, PNX_ETIMEOUT, late_flags(word));
        else if (fall_back)
            moved =
                go_fallback(registry, thread, slot, &about, word, PNX_ETIMEOUT, late_flags(word));
        else
            moved = abandon(registry, slot, &word, PNX__N_ABANDONED);
        if (moved)
            return true;
        word = atomic_load_explicit(&slot->word, memory_order_acquire);
    }
}

void pnx__abandon_queued(struct pnx_registry *registry, pnx__slot *slot)
{
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    while (pnx__state_of(word) == PNX_QUEUED) {
        if ((word & PNX__SETTLED) != 0) { /* nothing is left to do, so nothing to give up */
            pnx__run_one(registry, pnx__thread_get(registry), NULL, (pnx__run){slot, word});
            return;
        }
        if (abandon(registry, slot, &word, PNX__N_ABANDONED_QUEUED))
            return;
    }
}

void pnx__abandon_waiting(struct pnx_registry *registry, pnx__slot *slot)
{
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    while (pnx__state_of(word) == PNX_WAITING)
        if (abandon(registry, slot, &word, PNX__N_ABANDONED_WAITING))
            return;
}
