/* SPDX-License-Identifier: MIT */
/*
 * Resources by id: registering without a guard, what is known of them, metadata, expiry.
 *
 * Reading is wait-free: copy the fields, then look whether the word still has the same generation;
 * if not, the resource was given back meanwhile. All fields that are read so are atomic.
 */
#include "registry/resource.h"

#include <execinfo.h>
#include <stdio.h>
#include <string.h>

/* ---- reserving: all but the fast path, which is in resource.h -------------------------------- */

pnx__slot *pnx__reserve_slow(struct pnx_registry *registry, const pnx_kind *kind,
                             const pnx_site *site, pnx_status *ret_status, pnx_error *err)
{
    *ret_status = PNX_OK;
    if (registry == NULL || kind == NULL) {
        *ret_status =
            pnx_fail(err, PNX_EINVAL, "no %s given", registry == NULL ? "registry" : "kind");
        return NULL;
    }
    if (pnx__forked(registry)) {
        *ret_status = pnx_fail(err, PNX_EFORKED,
                               "registry %s belongs to the parent process: make one in the child",
                               registry->name);
        return NULL;
    }
    if (atomic_load_explicit(&registry->intake_closed, memory_order_relaxed) != 0) {
        *ret_status = pnx_fail(err, PNX_ESHUTDOWN, "registry %s is shutting down", registry->name);
        return NULL;
    }
    pnx__thread *thread = pnx__thread_make(registry);
    if (thread == NULL) {
        *ret_status =
            pnx_fail(err, PNX_ENOMEM, "registry %s: no memory for this thread", registry->name);
        return NULL;
    }
    pnx__kind *runtime = pnx__kind_find(registry, kind, ret_status, err);
    if (runtime == NULL)
        return NULL;
    (void)pnx__tally_get(thread, runtime);
    thread->kinds[pnx__kind_hash(kind)].kind = kind;
    thread->kinds[pnx__kind_hash(kind)].runtime = runtime;

    pnx__slot *slot = thread->loaded->count > 0 ? thread->loaded->slots[--thread->loaded->count]
                                                : pnx__slot_take_slow(registry, thread, ret_status);
    if (slot == NULL && *ret_status == PNX_ELIMIT)
        pnx_fail(err, PNX_ELIMIT,
                 "registry %s: all of its %llu resources are in use (resources_max)",
                 registry->name, (unsigned long long)registry->config.resources_max);
    else if (slot == NULL)
        pnx_fail(err, PNX_ENOMEM, "registry %s: no memory for a resource of kind %s",
                 registry->name, kind->name);
    if (slot == NULL)
        return NULL;
    pnx__slot_reserve(registry, thread, slot, runtime, site);
    if (PNX_UNLIKELY(registry->backtraces))
        pnx__meta_backtrace(registry, slot);
    return slot;
}

void pnx__cancel(struct pnx_registry *registry, pnx__slot *slot)
{
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
    if (PNX_UNLIKELY((word & PNX__META) != 0)) {
        /* Without the lock: nobody looks into what is only reserved. */
        pnx__meta_free(slot->meta);
        slot->meta = NULL;
    }
    word = pnx__freed(word);
    atomic_store_explicit(&slot->word, word, memory_order_release);
    if (pnx__generation_of(word) != 0)
        pnx__slot_give_at_once(registry, pnx__thread_get(registry), slot);
}

/* ---- public: registering --------------------------------------------------------------------- */

pnx_status pnx_register(pnx_registry *registry, const pnx_kind *kind, const void *value,
                        const pnx_site *site, pnx_id *ret_id, pnx_error *err)
{
    pnx_status status;
    if (registry == NULL || kind == NULL)
        return pnx_fail(err, PNX_EINVAL, "no %s given", registry == NULL ? "registry" : "kind");
    if (value == NULL && kind->value_size > 0)
        return pnx_fail(err, PNX_EINVAL, "kind %s: no value given", kind->name);
    pnx__slot *slot = pnx__reserve(registry, kind, site, &status, err);
    if (slot == NULL)
        return status;
    uint64_t words[PNX_VALUE_MAX / 8] = {0};
    if (value != NULL)
        memcpy(words, value, kind->value_size);
    const pnx_id id =
        pnx__id_of(registry, slot, atomic_load_explicit(&slot->word, memory_order_relaxed));
    pnx__arm(registry, slot, words[0], words[1], words[2]);
    /* Nobody else will give it back: if a shutdown began meanwhile, either it sees this one, or we
     * see it, and nothing was taken in. Pairs with the fence in shut_down. */
    atomic_thread_fence(memory_order_seq_cst);
    if (PNX_UNLIKELY(atomic_load_explicit(&registry->intake_closed, memory_order_relaxed) != 0) &&
        pnx__take(registry, slot, pnx__id_generation(id)))
        return pnx_fail(err, PNX_ESHUTDOWN, "registry %s is shutting down", registry->name);
    if (ret_id != NULL)
        *ret_id = id;
    return PNX_OK;
}

pnx_status pnx__register_periodic(struct pnx_registry *registry, const pnx_kind *kind,
                                  const void *value, const pnx_site *site, pnx_duration period,
                                  pnx_id *ret_id, pnx_error *err)
{
    if (period < PNX_MS(1) || period > (pnx_duration)UINT32_MAX << PNX__TICK_SHIFT)
        return pnx_fail(err, PNX_EINVAL, "a period must be from 1 ms to 52 days");
    const int64_t ticks = (period + (1 << PNX__TICK_SHIFT) - 1) >> PNX__TICK_SHIFT;
    pnx_status status = PNX_OK;
    if (pnx__kind_find_ticking(registry, kind, &status, err) == NULL)
        return status;
    pnx_id id = PNX_ID_NONE;
    status = pnx_register(registry, kind, value, site, &id, err);
    if (status != PNX_OK)
        return status;
    pnx__slot *slot = pnx__slot_of(registry, id);
    atomic_store_explicit(&slot->span_or_status, (uint32_t)ticks, memory_order_relaxed);
    status = pnx_expire_at(registry, id, pnx__period_next(registry, slot));
    if (status != PNX_OK) /* somebody released everything, just now */
        return pnx_fail(err, status, "registry %s: a periodic task was released before it began",
                        registry->name);
    if (ret_id != NULL)
        *ret_id = id;
    return PNX_OK;
}

/* ---- public: looking up ---------------------------------------------------------------------- */

/* The slot of a resource that is there, and its word; else why not. */
static pnx_status find(pnx_registry *registry, pnx_id id, pnx__slot **ret_slot, uint64_t *ret_word)
{
    pnx__slot *slot = pnx__slot_of(registry, id);
    if (slot == NULL)
        return PNX_ENOTFOUND;
    /* Acquire: pairs with the release of reserve and arm. */
    const uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    const uint32_t wanted = pnx__id_generation(id), current = pnx__generation_of(word);
    const pnx_state state = pnx__state_of(word);
    /* Generations only grow; those ahead were never given out. Once they have wrapped, the slot is
     * retired and free for ever. */
    if (wanted > current && state != PNX_FREE)
        return PNX_ENOTFOUND;
    if (wanted != current || state == PNX_FREE || state == PNX_DONE)
        return PNX_EALREADY;
    if (state == PNX_RESERVED)
        return PNX_ENOTFOUND;
    *ret_slot = slot;
    *ret_word = word;
    return PNX_OK;
}

pnx_status pnx__find(pnx_registry *registry, pnx_id id, pnx__slot **ret_slot, uint64_t *ret_word)
{
    return find(registry, id, ret_slot, ret_word);
}

pnx_status pnx_unregister(pnx_registry *registry, pnx_id id, void *ret_value, pnx_error *err)
{
    if (pnx__forked(registry))
        return pnx_fail(err, PNX_EFORKED, "registry %s belongs to the parent process",
                        registry->name);
    pnx__slot *slot;
    uint64_t word;
    const pnx_status status = find(registry, id, &slot, &word);
    if (status == PNX_ENOTFOUND)
        return pnx_fail(err, status, "registry %s never had that resource", registry->name);
    if (status != PNX_OK)
        return pnx_fail(err, status, "registry %s has given that resource back", registry->name);
    /* Before it is taken: then it is still this resource's. */
    uint64_t value[PNX_VALUE_MAX / 8];
    for (unsigned i = 0; i < PNX_VALUE_MAX / 8; i++)
        value[i] = atomic_load_explicit(&slot->value[i], memory_order_relaxed);
    const size_t size = pnx__kind_of(slot)->kind->value_size;
    if (!pnx__take(registry, slot, pnx__generation_of(word)))
        return pnx_fail(err, PNX_EALREADY, "registry %s is giving that resource back",
                        registry->name);
    if (ret_value != NULL)
        memcpy(ret_value, value, size);
    return PNX_OK;
}

pnx_state pnx_registry_state(pnx_registry *registry, pnx_id id)
{
    pnx__slot *slot = pnx__slot_of(registry, id);
    if (PNX_UNLIKELY(slot == NULL))
        return PNX_FREE;
    const uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    if (pnx__generation_of(word) != pnx__id_generation(id) || pnx__state_of(word) == PNX_FREE)
        return PNX_DONE;
    /* A tick is not a release: a periodic resource is live until it is asked to end. */
    return (word & PNX__TICK) != 0 ? PNX_LIVE : pnx__state_of(word);
}

/* Of a live one with a timer. Relaxed, as all that read_info reads. */
static pnx_time expires(const pnx__slot *slot, uint64_t word)
{
    const pnx_time due = atomic_load_explicit(&slot->due, memory_order_relaxed);
    if (due == PNX_FOREVER || (word & PNX__IDLE_SPAN) == 0)
        return due;
    /* The timer may be due earlier: it is moved on only when it fires. */
    const pnx_duration span =
        (pnx_duration)atomic_load_explicit(&slot->span_or_status, memory_order_relaxed)
        << PNX__TICK_SHIFT;
    return pnx_time_after(atomic_load_explicit(&slot->since, memory_order_relaxed), span);
}

/* False: it was given back meanwhile. */
static bool read_info(pnx_registry *registry, pnx__slot *slot, uint64_t word, pnx_info *ret)
{
    pnx__kind *kind = pnx__kind_of(slot);
    *ret = (pnx_info){
        .id = pnx__id_of(registry, slot, word),
        .kind = kind->kind,
        .state = (word & PNX__TICK) != 0 ? PNX_LIVE : pnx__state_of(word),
        .priority = pnx__priority_of(word),
        .reason = pnx__reason_of(word),
        .created = atomic_load_explicit(&slot->created, memory_order_relaxed),
        .expires = PNX_FOREVER,
        .bytes = atomic_load_explicit(&slot->bytes, memory_order_relaxed),
        .site = atomic_load_explicit(&slot->site, memory_order_relaxed),
        .attempts = pnx__attempt_of(word),
        .last_status =
            (pnx_status)atomic_load_explicit(&slot->span_or_status, memory_order_relaxed),
        .leaked = (word & PNX__LEAKED) != 0,
    };
    if (pnx__attempt_of(word) == 0 || ret->state == PNX_LIVE)
        ret->last_status = PNX_OK; /* the field holds a span, or nothing yet */
    uint64_t value[PNX_VALUE_MAX / 8];
    for (unsigned i = 0; i < PNX_VALUE_MAX / 8; i++)
        value[i] = atomic_load_explicit(&slot->value[i], memory_order_relaxed);
    memcpy(ret->value, value, sizeof value);
    if (ret->state == PNX_LIVE && (word & PNX__TIMER) != 0 && !kind->ticks)
        ret->expires = expires(slot, word);
    /* The fence keeps the reads above before the look that vouches for them (a seqlock's reader).
     *  */
    atomic_thread_fence(memory_order_acquire);
    return pnx__generation_of(atomic_load_explicit(&slot->word, memory_order_relaxed)) ==
           pnx__generation_of(word);
}

pnx_status pnx_registry_info(pnx_registry *registry, pnx_id id, pnx_info *ret)
{
    pnx__slot *slot;
    uint64_t word;
    pnx_status status = find(registry, id, &slot, &word);
    if (status != PNX_OK)
        return status;
    pnx_info info;
    if (!read_info(registry, slot, word, &info))
        return PNX_EALREADY;
    *ret = info;
    return PNX_OK;
}

size_t pnx_registry_each(pnx_registry *registry, bool (*visit)(const pnx_info *, void *),
                         void *context)
{
    size_t visited = 0;
    const uint32_t chunks = atomic_load_explicit(&registry->chunk_count, memory_order_acquire);
    for (uint32_t index = 0; index < chunks << PNX__CHUNK_BITS; index++) {
        pnx__slot *slot = pnx__slot_at(registry, index);
        const uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
        const pnx_state state = pnx__state_of(word);
        pnx_info info;
        if (state == PNX_FREE || state == PNX_RESERVED || state == PNX_DONE ||
            !read_info(registry, slot, word, &info))
            continue;
        visited++;
        if (!visit(&info, context))
            break;
    }
    return visited;
}

pnx_status pnx_resource_set_bytes(pnx_registry *registry, pnx_id id, uint64_t bytes)
{
    pnx__slot *slot;
    uint64_t word;
    pnx_status status = find(registry, id, &slot, &word);
    if (status == PNX_OK)
        atomic_store_explicit(&slot->bytes, bytes, memory_order_relaxed);
    return status;
}

/* ---- hooks ----------------------------------------------------------------------------------- */

pnx_status pnx__hook_attach(struct pnx_registry *registry, pnx_id id, pnx__hook *hook)
{
    pnx__slot *slot;
    uint64_t word;
    pnx_status status = find(registry, id, &slot, &word);
    if (status != PNX_OK)
        return status;
    /* Under the lock, under which the end of the resource reads it. */
    pthread_mutex_lock(&registry->dispatch);
    const uint32_t generation = pnx__generation_of(word);
    for (;;) {
        if (pnx__generation_of(word) != generation || pnx__state_of(word) > PNX_WAITING ||
            pnx__state_of(word) < PNX_LIVE) {
            status = PNX_EALREADY;
            break;
        }
        if ((word & PNX__HOOKED) != 0) {
            status = PNX_EBUSY;
            break;
        }
        if (atomic_compare_exchange_weak_explicit(&slot->word, &word, word | PNX__HOOKED,
                                                  memory_order_acq_rel, memory_order_acquire)) {
            slot->hook = hook;
            break;
        }
    }
    pthread_mutex_unlock(&registry->dispatch);
    return status;
}

/* ---- time-based release ---------------------------------------------------------------------- */

/* Says in the word that there is a timer: whoever ends the resource from here on takes it out, once
 * he has the timers lock, which the caller holds. False: it is not live any more. */
static bool mark_timed(pnx__slot *slot, uint64_t word, bool idle)
{
    const uint32_t generation = pnx__generation_of(word);
    uint64_t next;
    do {
        if (pnx__generation_of(word) != generation || pnx__state_of(word) != PNX_LIVE)
            return false;
        next = (word & ~(uint64_t)PNX__IDLE_SPAN) | PNX__TIMER | (idle ? PNX__IDLE_SPAN : 0);
    } while (!atomic_compare_exchange_weak_explicit(&slot->word, &word, next, memory_order_acq_rel,
                                                    memory_order_relaxed));
    return true;
}

/* Arms or, for PNX_FOREVER, takes out the timer of a live resource. */
static pnx_status expire(pnx_registry *registry, pnx_id id, pnx_time when, uint32_t idle_ticks)
{
    pnx__slot *slot;
    uint64_t word;
    if (pnx__forked(registry))
        return PNX_EFORKED; /* the timer is the parent's, and its lock may be held for ever here */
    pnx_status status = find(registry, id, &slot, &word);
    if (status != PNX_OK)
        return status;
    if (when == PNX_FOREVER && (word & PNX__TIMER) == 0)
        return PNX_OK;
    if (when < 0)
        when = 0;
    /* All of it under the lock, so that of two who set a timer at once one is the last in all. */
    pthread_mutex_lock(&registry->timers_lock);
    const bool live = mark_timed(slot, word, idle_ticks != 0);
    if (live) {
        pnx__wheel_remove(registry, slot);
        if (idle_ticks != 0)
            atomic_store_explicit(&slot->span_or_status, idle_ticks, memory_order_relaxed);
        if (when != PNX_FOREVER)
            pnx__wheel_add(registry, slot, when);
    }
    pthread_mutex_unlock(&registry->timers_lock);
    if (!live)
        return PNX_EALREADY;
    if (when != PNX_FOREVER)
        pnx__timekeeper_by(registry, pnx_time_after(when, 1 << PNX__TICK_SHIFT) >>
                                         PNX__TICK_SHIFT << PNX__TICK_SHIFT);
    return PNX_OK;
}

pnx_status pnx_expire_at(pnx_registry *registry, pnx_id id, pnx_time when)
{
    return expire(registry, id, when, 0);
}

pnx_status pnx_expire_after(pnx_registry *registry, pnx_id id, pnx_duration span)
{
    return expire(registry, id, pnx_time_after(pnx__precise(registry), span), 0);
}

pnx_status pnx_expire_idle(pnx_registry *registry, pnx_id id, pnx_duration span)
{
    if (span == PNX_FOREVER)
        return expire(registry, id, PNX_FOREVER, 0);
    const int64_t ticks = (span + (1 << PNX__TICK_SHIFT) - 1) >> PNX__TICK_SHIFT;
    if (ticks < 1 || ticks > UINT32_MAX)
        return PNX_EINVAL;
    pnx_status status = pnx_touch(registry, id);
    if (status != PNX_OK)
        return status;
    return expire(registry, id, pnx_time_after(pnx__precise(registry), span), (uint32_t)ticks);
}

pnx_status pnx_touch(pnx_registry *registry, pnx_id id)
{
    pnx__slot *slot;
    uint64_t word;
    if (pnx__forked(registry))
        return PNX_EFORKED;
    pnx_status status = find(registry, id, &slot, &word);
    if (status != PNX_OK)
        return status;
    if (pnx__state_of(word) != PNX_LIVE)
        return PNX_EALREADY;
    /* If it is queued in this very moment, its waiting time is off by as little. */
    atomic_store_explicit(&slot->since, pnx__precise(registry), memory_order_relaxed);
    return PNX_OK;
}
