/* SPDX-License-Identifier: MIT */
/* Who holds what, and what the pool was like when somebody got nothing. */
#include "pool/internal.h"

#include "base/text.h"

#include <string.h>

unsigned pnx__pool_leased(pnx_pool *pool, pnx__pool_entry **ret_longest, unsigned *ret_idle)
{
    unsigned leased = 0, idle = 0;
    pnx__pool_entry *longest = NULL;
    pnx_time first = PNX_FOREVER;
    const uint32_t span = atomic_load_explicit(&pool->span, memory_order_acquire);
    for (uint32_t i = 0; i < span; i++) {
        pnx__pool_entry *entry = &pool->entries[i];
        /* seq_cst: stop_watching in tick.c needs its place in the order. */
        const uint64_t word = atomic_load_explicit(&entry->word, memory_order_seq_cst);
        if (pnx__pool_state(word) == PNX__POOL_IDLE)
            idle++;
        if (pnx__pool_state(word) != PNX__POOL_LEASED)
            continue;
        leased++;
        const pnx_time since = atomic_load_explicit(&entry->since, memory_order_relaxed);
        if (longest == NULL || since < first) {
            longest = entry;
            first = since;
        }
    }
    if (ret_longest != NULL)
        *ret_longest = longest;
    if (ret_idle != NULL)
        *ret_idle = idle;
    return leased;
}

unsigned pnx__pool_evicted(pnx_pool *pool)
{
    unsigned evicted = 0;
    const uint32_t span = atomic_load_explicit(&pool->span, memory_order_acquire);
    for (uint32_t i = 0; i < span; i++)
        evicted += (pnx__pool_word(&pool->entries[i]) & PNX__POOL_EVICT) != 0;
    return evicted;
}

/* The last part of a path. */
static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static void describe_longest(const pnx__pool_entry *longest, pnx_time now, char *text, size_t size)
{
    const pnx_site *site = atomic_load_explicit(&longest->site, memory_order_relaxed);
    const int32_t thread = atomic_load_explicit(&longest->holder, memory_order_relaxed);
    pnx_duration held = now - atomic_load_explicit(&longest->since, memory_order_relaxed);
    char span[32], who[32] = "";
    /* To the millisecond, that is all anybody wants to know. */
    held = held > 0 ? held - held % PNX_MS(1) : 0;
    (void)pnx_span_format(held, span, sizeof span);
    if (thread != 0)
        pnx__text_format(who, sizeof who, " by thread %d", (int)thread);
    if (site != NULL)
        pnx__text_format(text, size, "; longest held: %s%s, from %s:%d (%s)", span, who,
                         base_name(site->file), site->line, site->function);
    else
        pnx__text_format(text, size, "; longest held: %s%s", span, who);
}

pnx_status pnx__pool_why(pnx_pool *pool, pnx_status status, const char *what, pnx_error *err)
{
    static const char *const circuit[] = {"", ", circuit open", ", circuit half open"};
    if (err == NULL)
        return status;
    pnx__pool_entry *longest;
    unsigned idle;
    const unsigned leased = pnx__pool_leased(pool, &longest, &idle);
    char holder[120] = "";
    if (longest != NULL)
        describe_longest(longest, pnx__precise(pool->registry), holder, sizeof holder);
    const uint32_t gate = atomic_load_explicit(&pool->gate, memory_order_relaxed);
    const pnx_error cause = pool->last_error;
    pnx_error_clear(err);
    (void)pnx_fail(
        err, status,
        "pool %s: %s: %u of %u leased, %u idle, %u being created, %u checked, %u closed, "
        "%u waiting%s%s%s",
        pool->name, what, leased, pool->max, idle, pool->count[PNX__POOL_CREATING],
        pool->count[PNX__POOL_CHECKING], pool->count[PNX__POOL_CLOSING], pool->waiting,
        (gate & PNX__GATE_SUSPENDED) != 0 ? ", suspended" : "", circuit[pool->circuit], holder);
    if (cause.code != PNX_OK) {
        err->cause.code = cause.code;
        err->cause.sys_errno = cause.sys_errno;
        pnx__text_format(err->cause.message, sizeof err->cause.message, "create: %s",
                         cause.message);
    }
    return status;
}

size_t pnx_pool_holders(pnx_pool *pool, pnx_pool_holder *holders, size_t most)
{
    size_t count = 0;
    pnx__pool_lock(pool);
    const pnx_time now = pnx__precise(pool->registry);
    const uint32_t span = atomic_load_explicit(&pool->span, memory_order_relaxed);
    for (uint32_t i = 0; i < span; i++) {
        pnx__pool_entry *entry = &pool->entries[i];
        if (pnx__pool_state(pnx__pool_word(entry)) != PNX__POOL_LEASED)
            continue;
        const pnx_pool_holder holder = {
            .id = entry->id,
            .site = atomic_load_explicit(&entry->site, memory_order_relaxed),
            .thread = atomic_load_explicit(&entry->holder, memory_order_relaxed),
            .held = now - atomic_load_explicit(&entry->since, memory_order_relaxed),
        };
        /* Into its place among the longest. */
        size_t at = count < most ? count : most;
        while (at > 0 && holders[at - 1].held < holder.held) {
            if (at < most)
                holders[at] = holders[at - 1];
            at--;
        }
        if (at < most)
            holders[at] = holder;
        count++;
    }
    pthread_mutex_unlock(&pool->lock);
    return count;
}
