/* SPDX-License-Identifier: MIT */
#include "model.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct model model;

void model_fail(const char *format, ...)
{
    if (model_failed())
        return; /* the first one counts */
    va_list args;
    va_start(args, format);
    vsnprintf(model.failure, sizeof model.failure, format, args);
    va_end(args);
}

void model_begin(struct setting setting, pnx_time now)
{
    model.setting = setting;
    model.now = now;
    model.count = model.group = model.kept_count = model.token_count = 0;
    memset(model.queued, 0, sizeof model.queued);
    memset(model.running, 0, sizeof model.running);
    model.tally = (struct tally){0};
    model.inline_next = -1;
    model.stepping = model.look_due = model.looking = model.shutting_down = model.over = false;
    model.failure[0] = '\0';
}

static const struct kind_about *about(const struct resource *resource)
{
    return &kinds[resource->kind];
}

static bool is_capped(unsigned kind)
{
    return kinds[kind].kind.max_concurrency != 0;
}

static bool may_run(unsigned kind)
{
    return !is_capped(kind) || model.running[kind] < kinds[kind].kind.max_concurrency;
}

/* ---- the queue ------------------------------------------------------------------------------- */

static void enqueue(unsigned r, bool same_group)
{
    const unsigned rank = model.resources[r].rank;
    if (!same_group)
        model.group++;
    model.queue[rank][model.queued[rank]++] = (struct entry){r, model.group, model.now};
}

static bool dequeue(unsigned r)
{
    for (unsigned rank = 0; rank < PNX_PRIORITY_COUNT; rank++)
        for (unsigned i = 0; i < model.queued[rank]; i++)
            if (model.queue[rank][i].resource == r) {
                memmove(&model.queue[rank][i], &model.queue[rank][i + 1],
                        (model.queued[rank] - i - 1) * sizeof model.queue[rank][i]);
                model.queued[rank]--;
                return true;
            }
    return false;
}

static pnx_duration starvation_limit(void)
{
    return model.setting.short_starvation ? SHORT_STARVATION : PNX_FOREVER;
}

/* Priorities that an entry has risen. */
static int64_t risen(const struct entry *entry)
{
    return (model.now - entry->since) / starvation_limit();
}

/* The first entry of a rank; without those whose kind is limited, if told so. */
static const struct entry *first_of(unsigned rank, bool unlimited_only)
{
    for (unsigned i = 0; i < model.queued[rank]; i++)
        if (!unlimited_only || !is_capped(model.resources[model.queue[rank][i].resource].kind))
            return &model.queue[rank][i];
    return NULL;
}

/* Where the highest level is; the lower rank of two that tie, for it is older. */
static int rank_due(void)
{
    int best = -1;
    int64_t best_level = -1;
    for (int rank = PNX_PRIORITY_COUNT - 1; rank >= 0; rank--) {
        const struct entry *first = first_of((unsigned)rank, false);
        if (first == NULL || rank + risen(first) < best_level)
            continue;
        best = rank;
        best_level = rank + risen(first);
    }
    return best;
}

static bool limited_one_queued(void)
{
    for (unsigned rank = 0; rank < PNX_PRIORITY_COUNT; rank++)
        for (unsigned i = 0; i < model.queued[rank]; i++)
            if (is_capped(model.resources[model.queue[rank][i].resource].kind))
                return true;
    return false;
}

static bool rank_has_risen(unsigned rank)
{
    for (unsigned i = 0; i < model.queued[rank]; i++)
        if (risen(&model.queue[rank][i]) > 0)
            return true;
    return false;
}

static const struct entry *entry_of(unsigned r, unsigned *ret_rank)
{
    for (unsigned rank = 0; rank < PNX_PRIORITY_COUNT; rank++)
        for (unsigned i = 0; i < model.queued[rank]; i++)
            if (model.queue[rank][i].resource == r) {
                *ret_rank = rank;
                return &model.queue[rank][i];
            }
    return NULL;
}

/* Was it this one's turn? */
static void check_turn(unsigned r)
{
    unsigned rank = 0;
    const struct entry *entry = entry_of(r, &rank);
    if (entry == NULL) {
        model_fail("order: resource %u starts, which is not queued", r);
        return;
    }
    if (model.shutting_down || model.over)
        return; /* neither priorities nor limits are checked where other rules hold */
    if (!limited_one_queued()) {
        const int due = rank_due();
        if ((int)rank != due)
            model_fail("order: resource %u of rank %u starts before resource %u of rank %d", r,
                       rank, model.queue[due][0].resource, due);
        else if (entry->group != model.queue[rank][0].group)
            model_fail("order: resource %u starts before resource %u of the same rank %u", r,
                       model.queue[rank][0].resource, rank);
        return;
    }
    if (!may_run(model.resources[r].kind))
        model_fail("limit: resource %u starts, more of kind %s than may", r,
                   about(&model.resources[r])->kind.name);
    for (unsigned higher = rank + 1; higher < PNX_PRIORITY_COUNT; higher++)
        if (first_of(higher, true) != NULL && !rank_has_risen(rank))
            model_fail("order: resource %u of rank %u starts before rank %u", r, rank, higher);
    for (unsigned i = 0; model.queue[rank][i].group != entry->group; i++)
        if (model.resources[model.queue[rank][i].resource].kind == model.resources[r].kind)
            model_fail("order: resource %u starts before resource %u of the same kind and rank %u",
                       r, model.queue[rank][i].resource, rank);
    const struct entry *first = first_of(rank, true);
    if (!is_capped(model.resources[r].kind) && first != NULL && entry->group != first->group)
        model_fail("order: resource %u starts before resource %u of the same rank %u", r,
                   first->resource, rank);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void keep(unsigned r)
{
    if (!model.looking)
        model.group++;
    model.kept[model.kept_count++] = (struct entry){r, model.group, model.now};
}

static void forget_at(unsigned i)
{
    model.resources[model.kept[i].resource].ended_by_late = true;
    memmove(model.kept + i, model.kept + i + 1, (--model.kept_count - i) * sizeof *model.kept);
}

/* The oldest are forgotten when there are too many; of those that ended in the same moment, any. */
static void forget_oldest(pnx_registry *registry)
{
    while (model.setting.few_kept && !model.shutting_down && model.kept_count > FEW_KEPT) {
        unsigned oldest = 0;
        for (unsigned i = 0; i < model.kept_count; i++)
            if (model.kept[i].group == model.kept[0].group &&
                pnx_registry_state(registry, model.resources[model.kept[i].resource].id) ==
                    PNX_DONE)
                oldest = i;
        forget_at(oldest);
    }
}

static void unkeep(unsigned r)
{
    for (unsigned i = 0; i < model.kept_count; i++)
        if (model.kept[i].resource == r) {
            forget_at(i);
            return;
        }
}

static void attempt_over(struct resource *resource)
{
    if (resource->counted)
        model.running[resource->kind]--;
    resource->counted = resource->pending = false;
}

static void finish(unsigned r, pnx_state state)
{
    struct resource *resource = &model.resources[r];
    attempt_over(resource);
    resource->state = state;
    resource->due = PNX_FOREVER;
    if (state == PNX_DONE) {
        model.tally.done++;
        return;
    }
    *(state == PNX_FAILED ? &model.tally.failed : &model.tally.abandoned) += 1;
    keep(r);
}

static void wait_for_retry(unsigned r, bool timed_out)
{
    struct resource *resource = &model.resources[r];
    attempt_over(resource);
    resource->state = PNX_WAITING;
    resource->timed_out = timed_out;
    resource->due = model.now + TICK; /* delays are below a tick, and never fire early */
    model.tally.retried++;
}

static void queue_fallback(unsigned r, bool timed_out, bool same_group)
{
    struct resource *resource = &model.resources[r];
    attempt_over(resource);
    resource->state = PNX_QUEUED;
    resource->fallback = true;
    resource->timed_out = timed_out;
    resource->due = PNX_FOREVER;
    enqueue(r, same_group);
}

/* A fallback does not run beside a release that is late, unless its kind says that it may. */
static bool may_fall_back(const struct resource *resource)
{
    const struct kind_about *kind = about(resource);
    return kind->fallback != FALLBACK_NONE &&
           (!resource->late_runs || (kind->kind.flags & PNX_FALLBACK_CONCURRENT) != 0);
}

void model_end(unsigned r, pnx_status status)
{
    struct resource *resource = &model.resources[r];
    if (status == PNX_PENDING) {
        resource->pending = true;
        return;
    }
    if (status == PNX_OK || status == PNX_EALREADY || resource->settled) {
        model.tally.completed++;
        finish(r, PNX_DONE);
        return;
    }
    resource->last = status;
    const bool hopeless = pnx_recovery_of(status) == PNX_RECOVER_FAIL || resource->fallback;
    const struct kind_about *kind = about(resource);
    if (!hopeless && !model.over && resource->attempt < kind->kind.retries + 1) {
        resource->uncertain = model.shutting_down; /* it may be past the grace */
        wait_for_retry(r, false);
    } else if (!hopeless && may_fall_back(resource)) {
        queue_fallback(r, false, false);
    } else {
        finish(r, PNX_FAILED);
    }
}

static void overdue(unsigned r)
{
    struct resource *resource = &model.resources[r];
    const struct kind_about *kind = about(resource);
    resource->last = PNX_ETIMEOUT;
    model.tally.timed_out++;
    resource->late_many = resource->late_runs;
    resource->late_runs = true;
    if (resource->settled) { /* an earlier attempt has given it back meanwhile */
        model.tally.completed++;
        finish(r, PNX_DONE);
    } else if (!resource->fallback && (kind->kind.flags & PNX_IDEMPOTENT) != 0 &&
               resource->attempt < kind->kind.retries + 1) {
        wait_for_retry(r, true);
    } else if (!resource->fallback && kind->fallback != FALLBACK_NONE &&
               (kind->kind.flags & PNX_FALLBACK_CONCURRENT) != 0) {
        queue_fallback(r, true, true);
    } else {
        finish(r, PNX_ABANDONED);
    }
}

/* ---- what operations do ---------------------------------------------------------------------- */

unsigned model_new(unsigned kind)
{
    const unsigned r = model.count++;
    model.resources[r] = (struct resource){
        .state = PNX_RESERVED,
        .kind = kind,
        .rank = pnx_priority_rank(kinds[kind].kind.priority),
        .due = PNX_FOREVER,
    };
    return r;
}

void model_arm(unsigned r, pnx_id id)
{
    model.resources[r].state = PNX_LIVE;
    model.resources[r].id = id;
    model.resources[r].created = model.now;
    model.tally.armed++;
}

void model_cancel(unsigned r)
{
    model.resources[r].state = PNX_FREE;
}

bool model_take(unsigned r)
{
    if (model.resources[r].state != PNX_LIVE)
        return false;
    model.resources[r].state = PNX_FREE;
    model.tally.taken++;
    return true;
}

bool model_schedule(unsigned r, pnx_reason reason, int rank, bool same_group)
{
    struct resource *resource = &model.resources[r];
    if (resource->state != PNX_LIVE)
        return false;
    resource->state = PNX_QUEUED;
    resource->reason = reason;
    resource->due = PNX_FOREVER;
    if (rank >= 0)
        resource->rank = (unsigned)rank;
    model.tally.scheduled++;
    enqueue(r, same_group);
    return true;
}

pnx_status model_expire(unsigned r, pnx_time when, pnx_duration idle)
{
    struct resource *resource = &model.resources[r];
    if (resource->state != PNX_LIVE)
        return PNX_EALREADY;
    resource->due = when;
    resource->idle = idle;
    if (idle != 0)
        resource->touched = model.now;
    return PNX_OK;
}

pnx_status model_touch(unsigned r)
{
    if (model.resources[r].state != PNX_LIVE)
        return PNX_EALREADY;
    model.resources[r].touched = model.now;
    return PNX_OK;
}

static pnx_duration whole_ticks(pnx_duration span)
{
    return (span + TICK - 1) / TICK * TICK;
}

static bool is_due(const struct resource *resource)
{
    if (resource->state == PNX_LIVE && resource->idle != 0)
        return resource->due != PNX_FOREVER &&
               resource->touched + whole_ticks(resource->idle) <= model.now;
    return resource->due != PNX_FOREVER && whole_ticks(resource->due) <= model.now;
}

void model_look(void)
{
    model.look_due = false;
    model.looking = true;
    model.group++;
    for (unsigned r = 0; r < model.count; r++) {
        struct resource *resource = &model.resources[r];
        if (!is_due(resource))
            continue;
        if (resource->state == PNX_LIVE) {
            model_schedule(r, PNX_EXPIRY, -1, true);
        } else if (resource->state == PNX_WAITING) {
            resource->state = PNX_QUEUED;
            resource->due = PNX_FOREVER;
            enqueue(r, true);
        } else if (resource->state == PNX_RUNNING && resource->pending) {
            overdue(r);
        }
    }
    model.looking = false;
}

unsigned model_forget(void)
{
    const unsigned count = model.kept_count;
    while (model.kept_count > 0)
        forget_at(0);
    return count;
}

/* An attempt that was declared late completes after all. */
static pnx_status complete_late(unsigned r, pnx_status status)
{
    struct resource *resource = &model.resources[r];
    model.tally.late++;
    if (status != PNX_OK && status != PNX_EALREADY) {
        resource->late_runs = resource->late_many;
        return PNX_ETIMEOUT;
    }
    switch (resource->state) {
    case PNX_QUEUED:
    case PNX_RUNNING:
        resource->settled = true;
        break;
    case PNX_WAITING:
        model.tally.completed++;
        finish(r, PNX_DONE);
        break;
    case PNX_FAILED: /* it stays counted as that */
    case PNX_ABANDONED:
        unkeep(r);
        break;
    default:
        break;
    }
    return PNX_ETIMEOUT;
}

pnx_status model_complete(unsigned t, pnx_status status)
{
    struct token *token = &model.tokens[t];
    struct resource *resource = &model.resources[token->resource];
    const bool ours = resource->attempt == token->token.attempt;
    token->completed = true;
    if (model_stale(token->resource))
        return PNX_EALREADY;
    if (ours && resource->state == PNX_RUNNING) {
        model_end(token->resource, status);
        return PNX_OK;
    }
    if (ours && resource->state != PNX_ABANDONED && !resource->timed_out)
        return PNX_EALREADY;
    return complete_late(token->resource, status);
}

/* ---- what the library does ------------------------------------------------------------------- */

static void check_why(unsigned r, const pnx_release *why)
{
    const struct resource *resource = &model.resources[r];
    const pnx_duration timeout = about(resource)->kind.timeout;
    const pnx_time deadline = pnx_time_after(model.now, timeout);
    if (why->attempt != resource->attempt)
        model_fail("resource %u: attempt %u, expected %u", r, why->attempt, resource->attempt);
    if (why->fallback != resource->fallback)
        model_fail("resource %u: fallback %d, expected %d", r, why->fallback, resource->fallback);
    if (why->reason != resource->reason)
        model_fail("resource %u: reason %s, expected %s", r, pnx_reason_name(why->reason),
                   pnx_reason_name(resource->reason));
    if (why->deadline != deadline)
        model_fail("resource %u: deadline %lld, expected %lld", r, (long long)why->deadline,
                   (long long)deadline);
    if (!pnx_id_equal(why->id, resource->id))
        model_fail("resource %u: another id", r);
}

static pnx_status outcome_of(const struct resource *resource)
{
    const struct kind_about *kind = about(resource);
    if (resource->fallback)
        return kind->fallback == FALLBACK_WORKS   ? PNX_OK
               : kind->fallback == FALLBACK_PENDS ? PNX_PENDING
                                                  : PNX_EFAILED;
    return resource->attempt <= kind->fails_first ? kind->fails_with : kind->then;
}

/* In a shutdown retries do not wait, and past its grace fallbacks run instead of releases. */
static void shutdown_start(unsigned r, const pnx_release *why)
{
    struct resource *resource = &model.resources[r];
    if (resource->state == PNX_WAITING) {
        resource->state = PNX_QUEUED;
        enqueue(r, false);
    }
    if (resource->state == PNX_RUNNING && why->fallback && resource->pending &&
        (about(resource)->kind.flags & PNX_FALLBACK_CONCURRENT) != 0) {
        model.tally.timed_out++;
        queue_fallback(r, true, false);
    }
    if (why->fallback && about(resource)->fallback != FALLBACK_NONE)
        resource->fallback = true;
}

pnx_status model_start(unsigned r, const pnx_release *why)
{
    struct resource *resource = &model.resources[r];
    if (model.look_due && model.inline_next != (int)r)
        model_look();
    model_catch_up(why->registry);
    if (model.shutting_down)
        shutdown_start(r, why);
    if (model.inline_next == (int)r) {
        model.inline_next = -1;
        if (resource->state != PNX_LIVE)
            model_fail("resource %u starts inline in state %s", r, pnx_state_name(resource->state));
        resource->reason = PNX_EXPLICIT;
        resource->due = PNX_FOREVER;
        resource->inline_run = true;
    } else {
        if (!model.stepping)
            model_fail("resource %u starts while nobody steps", r);
        if (resource->state != PNX_QUEUED)
            model_fail("resource %u starts in state %s", r, pnx_state_name(resource->state));
        check_turn(r);
        dequeue(r);
        resource->inline_run = false;
        model.popped++;
        if (is_capped(resource->kind)) {
            model.running[resource->kind]++;
            resource->counted = true;
        }
        model.tally.schedule_failed += model.over;
        /* Whoever drops in a registry that is shut down runs the fallback, if there is one. */
        if (model.over && may_fall_back(resource))
            resource->fallback = true;
    }
    resource->state = PNX_RUNNING;
    resource->attempt++;
    resource->timed_out = false;
    check_why(r, why);
    if (resource->fallback)
        model.tally.fallbacks++;
    else
        model.tally.started++;
    const pnx_status outcome = outcome_of(resource);
    if (outcome == PNX_PENDING)
        resource->due = why->deadline;
    return outcome;
}

void model_catch_up(pnx_registry *registry)
{
    forget_oldest(registry);
    for (unsigned rank = 0; rank < PNX_PRIORITY_COUNT; rank++)
        for (unsigned i = 0; i < model.queued[rank];) {
            const unsigned r = model.queue[rank][i].resource;
            struct resource *resource = &model.resources[r];
            if (!resource->settled || pnx_registry_state(registry, resource->id) != PNX_DONE) {
                i++;
                continue;
            }
            dequeue(r);
            model.tally.completed++;
            model.tally.schedule_failed += model.over;
            finish(r, PNX_DONE);
        }
}

void model_shutdown_begins(void)
{
    model.shutting_down = model.stepping = true;
    model.group++;
    for (unsigned r = 0; r < model.count && !model.setting.keep_live; r++)
        if (model_schedule(r, PNX_SHUTDOWN, -1, true)) {
            model.resources[r].leaked = true;
            model.tally.leaked++;
        }
}

void model_shutdown_over(pnx_registry *registry)
{
    model_catch_up(registry);
    for (unsigned r = 0; r < model.count; r++) {
        struct resource *resource = &model.resources[r];
        switch (resource->state) {
        case PNX_LIVE:
            if (!model.setting.keep_live)
                model_fail("shutdown: resource %u is still live", r);
            break;
        case PNX_RUNNING:
            model.tally.timed_out++;
            model.tally.completed += resource->settled;
            finish(r, resource->settled ? PNX_DONE : PNX_ABANDONED);
            break;
        case PNX_WAITING:
            finish(r, resource->uncertain ? PNX_FAILED : PNX_ABANDONED);
            break;
        case PNX_QUEUED:
            dequeue(r);
            finish(r, PNX_ABANDONED);
            break;
        default:
            break;
        }
        if ((resource->state != PNX_FAILED && resource->state != PNX_ABANDONED) ||
            resource->ended_by_late)
            continue;
        const pnx_state state = pnx_registry_state(registry, resource->id);
        if (state == PNX_DONE && model.setting.few_kept)
            resource->ended_by_late = true; /* forgotten */
        else if (state != resource->state)
            model_fail("shutdown: resource %u of kind %s is %s, expected %s", r,
                       about(resource)->kind.name, pnx_state_name(state),
                       pnx_state_name(resource->state));
    }
    model.shutting_down = false;
    model.over = true;
    model.kept_count = 0;
    model.group++;
    model.looking = true; /* in which order they ended nobody knows */
    for (unsigned r = 0; r < model.count; r++)
        if (!model_stale(r) && model.resources[r].state >= PNX_FAILED)
            keep(r);
    model.looking = false;
}

/* ---- what must be true between operations ---------------------------------------------------- */

bool model_stale(unsigned r)
{
    const struct resource *resource = &model.resources[r];
    return resource->state == PNX_FREE || resource->state == PNX_DONE || resource->ended_by_late;
}

bool model_ended(unsigned r)
{
    const pnx_state state = model.resources[r].state;
    return state == PNX_FREE || state > PNX_WAITING;
}

bool model_startable(void)
{
    for (unsigned rank = 0; rank < PNX_PRIORITY_COUNT; rank++)
        for (unsigned i = 0; i < model.queued[rank]; i++)
            if (may_run(model.resources[model.queue[rank][i].resource].kind))
                return true;
    return false;
}

unsigned model_used(void)
{
    unsigned used = 0;
    for (unsigned r = 0; r < model.count; r++)
        used += !model_stale(r);
    return used;
}

pnx_counts model_counts(void)
{
    const struct tally *tally = &model.tally;
    pnx_counts counts = {
        .registered = tally->armed - tally->taken,
        .done = tally->done,
        .failed = tally->failed,
        .abandoned = tally->abandoned,
        .taken = tally->taken,
        .retried = tally->retried,
        .timed_out = tally->timed_out,
        .fallbacks = tally->fallbacks,
        .late = tally->late,
        .schedule_failed = tally->schedule_failed,
        .leaked = tally->leaked,
    };
    for (unsigned r = 0; r < model.count; r++) {
        const pnx_state state = model.resources[r].state;
        counts.live += state == PNX_LIVE;
        counts.queued += state == PNX_QUEUED;
        counts.running += state == PNX_RUNNING;
        counts.waiting += state == PNX_WAITING;
    }
    return counts;
}

static void check_counts(pnx_registry *registry)
{
    static const struct {
        const char *name;
        size_t offset;
    } fields[] = {
#define FIELD(name) {#name, offsetof(pnx_counts, name)}
        FIELD(registered), FIELD(live),
        FIELD(queued),     FIELD(running),
        FIELD(waiting),    FIELD(done),
        FIELD(failed),     FIELD(abandoned),
        FIELD(taken),      FIELD(retried),
        FIELD(timed_out),  FIELD(fallbacks),
        FIELD(late),       FIELD(schedule_failed),
        FIELD(leaked),
#undef FIELD
    };
    const pnx_counts expected = model_counts();
    pnx_counts counts;
    pnx_registry_counts(registry, &counts);
    if (pnx_counts_imbalance(&counts) != 0)
        model_fail("conservation: the counts are %lld out of balance",
                   (long long)pnx_counts_imbalance(&counts));
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        uint64_t a, b;
        memcpy(&a, (const char *)&counts + fields[i].offset, sizeof a);
        memcpy(&b, (const char *)&expected + fields[i].offset, sizeof b);
        if (a != b)
            model_fail("counts: %s is %llu, expected %llu", fields[i].name, (unsigned long long)a,
                       (unsigned long long)b);
    }
}

void model_check(pnx_registry *registry)
{
    model_catch_up(registry);
    for (unsigned r = 0; r < model.count && !model_failed(); r++) {
        const struct resource *resource = &model.resources[r];
        if (resource->state == PNX_RESERVED || pnx_id_is_none(resource->id))
            continue;
        const pnx_state state = pnx_registry_state(registry, resource->id);
        const pnx_state expected = model_stale(r) ? PNX_DONE : resource->state;
        if (state != expected)
            model_fail("state: resource %u of kind %s is %s, expected %s", r,
                       about(resource)->kind.name, pnx_state_name(state), pnx_state_name(expected));
    }
    check_counts(registry);
}

void model_dump(void)
{
    for (unsigned r = 0; r < model.count; r++) {
        const struct resource *resource = &model.resources[r];
        if (model_stale(r))
            continue;
        fprintf(stderr, "  resource %u: kind %s, %s, rank %u, attempt %u%s%s%s\n", r,
                about(resource)->kind.name, pnx_state_name(resource->state), resource->rank,
                resource->attempt, resource->fallback ? ", fallback" : "",
                resource->pending ? ", pending" : "", resource->settled ? ", settled" : "");
    }
}
