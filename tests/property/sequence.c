/* SPDX-License-Identifier: MIT */
/*
 * Promises: one thread that does anything that the API lets it do, in any order, under a manual
 * executor in virtual time, sees exactly what the shadow model says: answers, states, counts, the
 * order of starts, the outcome of everything; at the end a shutdown that accounts for all of it.
 *
 * A failure is shrunk, printed as a program, and replayed by PNX_TEST_SEED.
 */
#include "model.h"
#include "support.h"

#include <patinox/guard.h>
#include <signal.h>
#include <unistd.h>

#define PROGRAMS 16000 /* of 310 operations in the mean */

/* ---- the kinds ------------------------------------------------------------------------------- */

static pnx_status run(void *value, const pnx_release *why);

#define KIND(NAME, ...)                                                                            \
    .kind = {.name = NAME,                                                                         \
             .value_size = 2 * sizeof(uint64_t),                                                   \
             .retry_delay = TICK / 2,                                                              \
             .retry_delay_max = TICK,                                                              \
             .timeout = 1000 * TICK,                                                               \
             .release = run,                                                                       \
             __VA_ARGS__}
#define HAS_FALLBACK .fallback = (void (*)(void))run, .run_fallback = run

/* Wherever a field is given twice, the last one counts, as C says. */
#pragma GCC diagnostic ignored "-Woverride-init"
struct kind_about kinds[] = {
    {KIND("plain")},
    {KIND("low", .priority = PNX_LOW)},
    {KIND("high", .priority = PNX_HIGH)},
    {KIND("critical", .priority = PNX_CRITICAL)},
    {KIND("fails once", .retries = 2), .fails_first = 1, .fails_with = PNX_EFAILED},
    {KIND("always fails", .retries = 1, .priority = PNX_LOW), .fails_first = 99,
     .fails_with = PNX_EBUSY},
    {KIND("falls back", .priority = PNX_HIGH, HAS_FALLBACK), .fails_first = 99,
     .fails_with = PNX_EFAILED, .fallback = FALLBACK_WORKS},
    {KIND("falls back in vain", .retries = 1, HAS_FALLBACK), .fails_first = 99,
     .fails_with = PNX_EFAILED, .fallback = FALLBACK_FAILS},
    {KIND("falls back and pends", .timeout = 4 * TICK, HAS_FALLBACK), .fails_first = 99,
     .fails_with = PNX_EFAILED, .fallback = FALLBACK_PENDS},
    {KIND("pending", .timeout = 5 * TICK), .then = PNX_PENDING},
    {KIND("pending idempotent", .timeout = 3 * TICK, .retries = 2, .flags = PNX_IDEMPOTENT,
          .priority = PNX_HIGH),
     .then = PNX_PENDING},
    {KIND("pending unblocked", .timeout = 2 * TICK, .priority = PNX_LOW,
          .flags = PNX_FALLBACK_CONCURRENT, HAS_FALLBACK),
     .then = PNX_PENDING, .fallback = FALLBACK_WORKS},
    {KIND("pending both", .timeout = 2 * TICK, .retries = 1,
          .flags = PNX_FALLBACK_CONCURRENT | PNX_IDEMPOTENT, HAS_FALLBACK),
     .then = PNX_PENDING, .fallback = FALLBACK_PENDS},
    {KIND("pending idempotent, rescued", .timeout = 3 * TICK, .retries = 1, .flags = PNX_IDEMPOTENT,
          .priority = PNX_LOW, HAS_FALLBACK),
     .then = PNX_PENDING, .fallback = FALLBACK_WORKS},
    {KIND("pending for ever", .timeout = PNX_FOREVER), .then = PNX_PENDING},
    {KIND("pending after a failure", .retries = 1, .timeout = 4 * TICK), .fails_first = 1,
     .fails_with = PNX_EFAILED, .then = PNX_PENDING},
    {KIND("quick", .flags = PNX_QUICK)},
    {KIND("quick fails once", .flags = PNX_QUICK, .retries = 1, .priority = PNX_HIGH),
     .fails_first = 1, .fails_with = PNX_EFAILED},
    {KIND("quick pending", .flags = PNX_QUICK, .timeout = 3 * TICK), .then = PNX_PENDING},
    {KIND("one at a time", .max_concurrency = 1, .timeout = 10 * TICK), .then = PNX_PENDING},
    {KIND("two at a time", .max_concurrency = 2, .priority = PNX_HIGH, .timeout = 4 * TICK,
          .retries = 1, .flags = PNX_IDEMPOTENT),
     .then = PNX_PENDING},
    {KIND("one at a time fails", .max_concurrency = 1, .retries = 1), .fails_first = 99,
     .fails_with = PNX_EFAILED},
    {KIND("blocking", .flags = PNX_BLOCKING)},
    {KIND("hopeless", .retries = 3, HAS_FALLBACK), .fails_first = 99, .fails_with = PNX_EINVAL,
     .fallback = FALLBACK_WORKS},
    {KIND("already gone"), .then = PNX_EALREADY},
    {KIND("drops another"), .nesting = NEST_DROP},
    {KIND("releases another", .priority = PNX_HIGH), .nesting = NEST_RELEASE_NOW},
    {KIND("registers another", .priority = PNX_LOW), .nesting = NEST_REGISTER},
    {KIND("completes itself", .timeout = 3 * TICK), .nesting = NEST_COMPLETE, .then = PNX_PENDING},
};
const unsigned kind_count = sizeof kinds / sizeof *kinds;
_Static_assert(sizeof kinds / sizeof *kinds <= 64, "as many as the model has room for");

/* ---- what the program holds ------------------------------------------------------------------ */

enum holding { NOTHING, RESERVED_GUARD, GUARD, ID };

static struct {
    enum holding holding;
    unsigned resource;
    pnx_guard guard;
} handles[HANDLES];

static pnx_registry *registry;
static bool sweeping; /* nothing new may come while "all" are released */
static unsigned inside;
static uint64_t operations_done;

static pnx_time clock_now(const pnx_clock *clock)
{
    (void)clock;
    return model.now;
}
static const pnx_clock virtual_clock = {.now = clock_now};

static uint64_t events[PNX_EVENT_COUNT], events_lost, kept_events[PNX_EVENT_COUNT];
static pnx_monitor *monitor, *second_monitor;

static void count_event(const pnx_event *event, void *counts)
{
    ((uint64_t *)counts)[event->type]++;
    events_lost += event->lost;
}

static void expect(const char *what, long long found, long long expected)
{
    if (found != expected)
        model_fail("%s: %lld, expected %lld", what, found, expected);
}

/* A status in words. */
static void expect_status(const char *what, pnx_status found, pnx_status expected)
{
    if (found != expected)
        model_fail("%s: %s, expected %s", what, pnx_status_name(found), pnx_status_name(expected));
}

/* ---- operations ------------------------------------------------------------------------------ */

static void reserve(const struct step *step)
{
    if (handles[step->handle].holding == RESERVED_GUARD || handles[step->handle].holding == GUARD ||
        model.count == RESOURCES_MAX)
        return;
    const unsigned kind = step->kind % kind_count;
    pnx_error err = {0};
    pnx_guard guard = {0};
    const pnx_status status =
        pnx__guard_reserve(&guard, registry, &kinds[kind].kind, PNX_HERE, &err);
    const bool full = model.setting.few_slots && model_used() == FEW_SLOTS;
    expect_status("reserve", status, full ? PNX_ELIMIT : PNX_OK);
    if (status != PNX_OK) {
        expect("reserve: the error's code", err.code, status);
        return;
    }
    handles[step->handle].holding = RESERVED_GUARD;
    handles[step->handle].guard = guard;
    handles[step->handle].resource = model_new(kind);
    if (!pnx_id_is_none(pnx__guard_id(&guard)))
        model_fail("reserve: a guard that holds nothing has an id");
}

static void arm(unsigned h)
{
    if (handles[h].holding != RESERVED_GUARD)
        return;
    const unsigned r = handles[h].resource;
    expect("arm", pnx__guard_arm(&handles[h].guard, r, ~(uint64_t)r, 0), true);
    handles[h].holding = GUARD;
    model_arm(r, pnx__guard_id(&handles[h].guard));
    expect("arm: again", pnx__guard_arm(&handles[h].guard, r, 0, 0), false);
}

/* What stands for a release that is waited for: the model's, as far as it has ended. */
static pnx_status outcome_now(unsigned r)
{
    const struct resource *resource = &model.resources[r];
    switch (resource->state) {
    case PNX_DONE:
        return PNX_OK;
    case PNX_FAILED:
        return resource->last;
    case PNX_ABANDONED:
        return PNX_EABANDONED;
    default:
        return PNX_ETIMEOUT;
    }
}

static bool is_quick(unsigned r)
{
    return (kinds[model.resources[r].kind].kind.flags & PNX_QUICK) != 0;
}

/* Begins an operation that may step. */
static void stepping_begins(void)
{
    model.stepping = inside == 0 || model.over;
    model.look_due = inside == 0;
}

static void stepping_ends(bool looked)
{
    if (model.look_due && looked)
        model_look();
    model.look_due = false;
    model.inline_next = -1;
    model.stepping = inside > 0;
    model_catch_up(registry);
}

/* pnx_release_now by id or by closing a guard: the model's half before and after the call. */
static pnx_status release_now_begins(unsigned r, bool in_time)
{
    struct resource *resource = &model.resources[r];
    if (model_stale(r) || model_ended(r))
        return PNX_EALREADY;
    const bool inline_run = inside > 0 || model.over || is_quick(r);
    if (inside > 0 && resource->state != PNX_LIVE)
        return PNX_EDEADLOCK;
    stepping_begins();
    if (inline_run && resource->state == PNX_LIVE) {
        model.inline_next = (int)r;
    } else {
        if (!inline_run)
            model_schedule(r, PNX_EXPLICIT, -1, false);
        if (in_time && inside == 0)
            model_look();
    }
    return PNX_PENDING;
}

static void release_now_ends(unsigned r, const char *what, pnx_status status, bool in_time)
{
    stepping_ends(!model_ended(r) && in_time && inside == 0);
    expect_status(what, status, outcome_now(r));
    if (in_time && inside == 0 && !model_ended(r) && model_startable() && !model_failed())
        model_fail("%s: gave up waiting while something could run", what);
}

static void release_now(unsigned h, bool by_guard, bool in_time)
{
    const unsigned r = handles[h].resource;
    pnx_status expected = release_now_begins(r, in_time);
    const pnx_time deadline = in_time ? PNX_FOREVER : model.now;
    const char *what = by_guard ? "close" : "release_now";
    const pnx_status status =
        by_guard ? pnx__guard_close(&handles[h].guard, deadline, NULL)
                 : pnx_release_now(registry, model.resources[r].id, deadline, NULL);
    if (expected == PNX_PENDING)
        release_now_ends(r, what, status, in_time);
    else
        expect_status(what, status, expected);
}

static void close_guard(unsigned h, bool in_time)
{
    if (handles[h].holding == GUARD) {
        handles[h].holding = ID;
        release_now(h, true, in_time);
    } else if (handles[h].holding == RESERVED_GUARD) {
        handles[h].holding = NOTHING;
        model_cancel(handles[h].resource);
        expect_status("close: nothing armed",
                      pnx__guard_close(&handles[h].guard, PNX_FOREVER, NULL), PNX_OK);
    }
}

static void drop(unsigned h)
{
    if (handles[h].holding == RESERVED_GUARD) {
        model_cancel(handles[h].resource);
        handles[h].holding = NOTHING;
        pnx__guard_drop(&handles[h].guard);
    } else if (handles[h].holding == GUARD) {
        handles[h].holding = ID;
        (void)model_schedule(handles[h].resource, PNX_SCOPE_END, -1, false);
        const bool was_stepping = model.stepping;
        model.stepping = was_stepping || model.over;
        pnx__guard_drop(&handles[h].guard);
        model.stepping = was_stepping;
    }
}

static void take(unsigned h)
{
    if (handles[h].holding == RESERVED_GUARD) {
        handles[h].holding = NOTHING;
        model_cancel(handles[h].resource);
        expect("take: nothing armed", pnx__guard_take(&handles[h].guard), false);
    } else if (handles[h].holding == GUARD) {
        handles[h].holding = ID;
        expect("take", pnx__guard_take(&handles[h].guard), model_take(handles[h].resource));
    }
}

static void move(unsigned from, unsigned to)
{
    if (from == to || handles[to].holding == RESERVED_GUARD || handles[to].holding == GUARD)
        return;
    handles[to] = handles[from];
    if (handles[from].holding != ID)
        handles[from].holding = NOTHING;
    handles[from].guard.slot = NULL;
    pnx__guard_drop(&handles[from].guard); /* of one that was moved away: does nothing */
}

static void register_thing(const struct step *step)
{
    if (handles[step->handle].holding == RESERVED_GUARD || handles[step->handle].holding == GUARD ||
        model.count == RESOURCES_MAX)
        return;
    const unsigned kind = step->kind % kind_count;
    const uint64_t value[2] = {model.count, ~(uint64_t)model.count};
    pnx_id id = PNX_ID_NONE;
    const pnx_status status = pnx_register(registry, &kinds[kind].kind, value, PNX_HERE, &id, NULL);
    const bool full = model.setting.few_slots && model_used() == FEW_SLOTS;
    expect_status("register", status, full ? PNX_ELIMIT : PNX_OK);
    if (status != PNX_OK)
        return;
    handles[step->handle].holding = ID;
    handles[step->handle].resource = model_new(kind);
    model_arm(handles[step->handle].resource, id);
}

static void unregister(unsigned h)
{
    const unsigned r = handles[h].resource;
    uint64_t value[3] = {0};
    const bool taken = model_take(r);
    const pnx_status status = pnx_unregister(registry, model.resources[r].id, value, NULL);
    expect_status("unregister", status, taken ? PNX_OK : PNX_EALREADY);
    if (taken)
        expect("unregister: the value", (long long)value[0], r);
}

static pnx_request request_of(const struct step *step)
{
    return (pnx_request){
        .reason = step->choice % 4 == 0 ? PNX_MEMORY_PRESSURE : PNX_SCOPE_END,
        .set_priority = step->choice / 4 % 2 == 0,
        .priority = (pnx_priority)(step->choice / 8 % PNX_PRIORITY_COUNT),
    };
}

static pnx_reason reason_of(const pnx_request *request)
{
    return request->reason == PNX_SCOPE_END ? PNX_EXPLICIT : request->reason;
}

static int rank_of(const pnx_request *request)
{
    return request->set_priority ? (int)pnx_priority_rank(request->priority) : -1;
}

static void release_later(const struct step *step)
{
    const unsigned r = handles[step->handle].resource;
    const pnx_request request = request_of(step);
    const bool scheduled = model_schedule(r, reason_of(&request), rank_of(&request), false);
    expect_status("release_later", pnx_release_later(registry, model.resources[r].id, &request),
                  scheduled ? PNX_OK : PNX_EALREADY);
}

static void count_outcome(unsigned r, pnx_batch_result *result)
{
    const pnx_status outcome = outcome_now(r);
    result->released += outcome == PNX_OK;
    result->abandoned += outcome == PNX_EABANDONED;
    result->pending += outcome == PNX_ETIMEOUT;
    result->failed += outcome != PNX_OK && outcome != PNX_EABANDONED && outcome != PNX_ETIMEOUT;
}

static void check_batch(const char *what, pnx_status status, const pnx_batch_result *found,
                        const pnx_batch_result *expected, bool waits)
{
    expect("batch: asked", (long long)found->asked, (long long)expected->asked);
    expect("batch: released", (long long)found->released, (long long)expected->released);
    expect("batch: already", (long long)found->already, (long long)expected->already);
    expect("batch: failed", (long long)found->failed, (long long)expected->failed);
    expect("batch: abandoned", (long long)found->abandoned, (long long)expected->abandoned);
    expect("batch: pending", (long long)found->pending, (long long)expected->pending);
    const size_t bad = expected->failed + expected->abandoned;
    expect("batch: failures listed", (long long)found->failure_count,
           (long long)(bad < PNX_BATCH_FAILURES_MAX ? bad : PNX_BATCH_FAILURES_MAX));
    expect_status(what, status,
                  expected->pending > 0 && waits ? PNX_ETIMEOUT
                  : bad > 0                      ? PNX_EFAILED
                                                 : PNX_OK);
}

static void release_batch(const struct step *step)
{
    pnx_id ids[HANDLES];
    unsigned asked[HANDLES];
    enum { ALREADY, SCHEDULED, WAITED } fate[HANDLES];
    size_t count = 0;
    const bool waits = step->choice % 2 == 0;
    const pnx_request request = request_of(step);
    /* Handles in a random order, some twice. */
    for (unsigned i = 0, h = step->handle; i < 12; i++, h = (h * 5 + step->number) % HANDLES)
        if (handles[h].holding == GUARD || handles[h].holding == ID) {
            asked[count] = handles[h].resource;
            ids[count++] = model.resources[handles[h].resource].id;
        }
    for (size_t i = 0; i < count; i++)
        fate[i] = model_stale(asked[i]) || model_ended(asked[i]) ? ALREADY
                  : waits                                        ? WAITED
                                                                 : SCHEDULED;
    unsigned ranks[HANDLES];
    for (size_t i = 0; i < count; i++) /* of one priority all are in the order given */
        ranks[i] = request.set_priority ? 0 : model.resources[asked[i]].rank;
    for (int rank = PNX_PRIORITY_COUNT - 1; rank >= 0; rank--)
        for (size_t i = 0; i < count; i++)
            if (fate[i] != ALREADY && (int)ranks[i] == rank &&
                !model_schedule(asked[i], reason_of(&request), rank_of(&request), false) && !waits)
                fate[i] = ALREADY;
    stepping_begins();
    bool looks = false;
    for (size_t i = 0; i < count; i++)
        looks = looks || fate[i] == WAITED;
    pnx_batch_result result;
    const pnx_status status =
        pnx_release_batch(registry, ids, count, &request, waits ? PNX_FOREVER : 0, &result);
    stepping_ends(looks);
    pnx_batch_result expected = {.asked = count};
    for (size_t i = 0; i < count; i++) {
        expected.already += fate[i] == ALREADY;
        expected.pending += fate[i] == SCHEDULED;
        if (fate[i] == WAITED)
            count_outcome(asked[i], &expected);
    }
    check_batch("release_batch", status, &result, &expected, waits);
}

/* Everything that is live, or of one kind. */
static void release_many(const struct step *step, bool of_kind)
{
    static unsigned asked[RESOURCES_MAX];
    size_t count = 0;
    const bool waits = step->choice % 2 == 0;
    const unsigned kind = step->kind % kind_count;
    const pnx_request request = request_of(step);
    model.group++;
    for (unsigned r = 0; r < model.count; r++)
        if (model.resources[r].state == PNX_LIVE && (!of_kind || model.resources[r].kind == kind))
            asked[count++] = r;
    for (size_t i = 0; i < count; i++)
        (void)model_schedule(asked[i], reason_of(&request), rank_of(&request), true);
    stepping_begins();
    sweeping = true;
    pnx_batch_result result;
    const pnx_time deadline = waits ? PNX_FOREVER : 0;
    const pnx_status status =
        of_kind ? pnx_release_kind(registry, kinds[kind].kind.name, &request, deadline, &result)
                : pnx_release_all(registry, &request, deadline, &result);
    sweeping = false;
    stepping_ends(waits && count > 0);
    pnx_batch_result expected = {.asked = count};
    for (size_t i = 0; i < count; i++)
        if (waits)
            count_outcome(asked[i], &expected);
        else
            expected.pending++;
    check_batch(of_kind ? "release_kind" : "release_all", status, &result, &expected, waits);
}

/* ---- time ------------------------------------------------------------------------------------ */

static void expire(const struct step *step)
{
    const unsigned r = handles[step->handle].resource;
    const pnx_id id = model.resources[r].id;
    const pnx_duration span = (pnx_duration)(step->number % (30u * TICK));
    pnx_time when;
    switch (step->operation) {
    case OP_EXPIRE_AT: /* perhaps long ago */
        when = model.now + span - 5 * TICK;
        expect_status("expire_at", pnx_expire_at(registry, id, when), model_expire(r, when, 0));
        break;
    case OP_EXPIRE_AFTER:
        expect_status("expire_after", pnx_expire_after(registry, id, span),
                      model_expire(r, model.now + span, 0));
        break;
    case OP_EXPIRE_IDLE:
        expect_status("expire_idle", pnx_expire_idle(registry, id, span + 1),
                      model_expire(r, model.now + span + 1, span + 1));
        break;
    default:
        if (model_expire(r, PNX_FOREVER, 0) == PNX_OK)
            expect_status("expire_at never", pnx_expire_at(registry, id, PNX_FOREVER), PNX_OK);
        else
            (void)pnx_expire_at(registry, id, PNX_FOREVER); /* there may be nothing to cancel */
    }
}

static void complete(const struct step *step)
{
    static const pnx_status statuses[] = {PNX_OK,      PNX_OK,       PNX_OK,
                                          PNX_EFAILED, PNX_EALREADY, PNX_EINVAL};
    if (model.token_count == 0)
        return;
    const unsigned t = step->number % model.token_count;
    const struct token *token = &model.tokens[t];
    /* A second completion of an attempt that has had successors is told from a late one only as
     * long as no other attempt of it was late. */
    if (token->completed && !model_stale(token->resource) &&
        model.resources[token->resource].attempt != token->token.attempt)
        return;
    const pnx_status status = statuses[step->choice % (sizeof statuses / sizeof *statuses)];
    const pnx_token copy = token->token;
    const pnx_status expected = model_complete(t, status);
    expect_status("complete", pnx_complete(copy, status), expected);
    expect_status("complete: pending", pnx_complete(copy, PNX_PENDING), PNX_EINVAL);
}

static void step_registry(const struct step *step)
{
    const size_t most = step->choice % 3 == 0 ? SIZE_MAX : step->choice % 8;
    stepping_begins();
    model_look();
    const uint64_t before = model.popped;
    const size_t ran = pnx_registry_step(registry, most);
    stepping_ends(true);
    const uint64_t started = model.popped - before;
    if (started > most)
        model_fail("step: %llu releases started, %zu were asked for", (unsigned long long)started,
                   most);
    if (ran < most && model_startable() && !model_failed())
        model_fail("step: stopped after %zu of %zu while something could run", ran, most);
    if (most > 0 && (pnx_registry_next_due(registry) <= model.now) < model_startable())
        model_fail("next_due: something could run, but it says later");
}

static void wait_idle(void)
{
    const pnx_counts counts = model_counts();
    stepping_begins();
    if (counts.queued + counts.running + counts.waiting > 0)
        model_look();
    model.look_due = false;
    const pnx_status status = pnx_registry_wait_idle(registry, PNX_FOREVER);
    stepping_ends(false);
    const pnx_counts after = model_counts();
    expect_status("wait_idle", status,
                  after.queued + after.running + after.waiting == 0 ? PNX_OK : PNX_EBUSY);
    if (model_startable())
        model_fail("wait_idle: gave up while something could run");
}

/* ---- looking --------------------------------------------------------------------------------- */

static void info(unsigned h)
{
    const unsigned r = handles[h].resource;
    const struct resource *resource = &model.resources[r];
    pnx_info found;
    const pnx_status status = pnx_registry_info(registry, resource->id, &found);
    expect_status("info", status, model_stale(r) ? PNX_EALREADY : PNX_OK);
    if (status != PNX_OK)
        return;
    expect("info: state", found.state, resource->state);
    expect("info: kind", found.kind == &kinds[resource->kind].kind, true);
    expect("info: rank", pnx_priority_rank(found.priority), resource->rank);
    expect("info: attempts", found.attempts, resource->attempt);
    expect("info: created", found.created, resource->created);
    expect("info: bytes", (long long)found.bytes, (long long)resource->bytes);
    expect("info: leaked", found.leaked, resource->leaked);
    uint64_t value;
    memcpy(&value, found.value, sizeof value);
    expect("info: value", (long long)value, r);
    if (resource->state > PNX_LIVE)
        expect("info: reason", found.reason, resource->reason);
    if (resource->state == PNX_LIVE && resource->idle == 0) {
        const pnx_time due = resource->due < 0 ? 0 : resource->due;
        expect("info: expires", found.expires, due);
    }
    if (resource->state == PNX_FAILED)
        expect_status("info: last status", found.last_status, resource->last);
}

static bool count_one(const pnx_info *found, void *context)
{
    uint64_t value;
    memcpy(&value, found->value, sizeof value);
    if (value >= model.count || !pnx_id_equal(model.resources[value].id, found->id) ||
        model.resources[value].state != found->state || model_stale((unsigned)value))
        model_fail("each: shows resource %llu, which is not there", (unsigned long long)value);
    ++*(unsigned *)context;
    return true;
}

static void each(void)
{
    unsigned expected = 0, found = 0;
    for (unsigned r = 0; r < model.count; r++)
        expected += !model_stale(r) && model.resources[r].state != PNX_RESERVED;
    expect("each: visited", (long long)pnx_registry_each(registry, count_one, &found), expected);
    expect("each: seen", found, expected);
}

static void metadata(const struct step *step)
{
    const unsigned r = handles[step->handle].resource;
    struct resource *resource = &model.resources[r];
    const pnx_status expected = model_stale(r) ? PNX_EALREADY : PNX_OK;
    char text[16], found[16] = "";
    snprintf(text, sizeof text, "%u", step->choice + 1u);
    if (step->choice % 3 == 0) {
        expect_status("set_bytes", pnx_resource_set_bytes(registry, resource->id, step->number),
                      expected);
        if (expected == PNX_OK)
            resource->bytes = step->number;
        return;
    }
    const bool removes = step->choice % 3 == 1;
    expect_status(
        "set_metadata",
        pnx_resource_set_metadata(registry, resource->id, "key", removes ? NULL : text, NULL),
        expected);
    if (expected == PNX_OK)
        resource->metadata = removes ? 0 : step->choice + 1u;
    const pnx_status status =
        pnx_resource_get_metadata(registry, resource->id, "key", found, sizeof found, NULL);
    expect_status("get_metadata", status,
                  expected != PNX_OK        ? expected
                  : resource->metadata == 0 ? PNX_ENOTFOUND
                                            : PNX_OK);
    if (status == PNX_OK)
        expect("get_metadata: value", strtol(found, NULL, 10), resource->metadata);
}

static void stats(void)
{
    pnx_stats found = {0};
    pnx_error err = {0};
    expect_status("stats", pnx_registry_stats(registry, &found, &err), PNX_OK);
    const pnx_counts expected = model_counts();
    expect("stats: registered", (long long)found.total.registered, (long long)expected.registered);
    pnx_counts sum = {0};
    for (size_t i = 0; i < found.kind_count; i++) {
        expect("stats: balance of a kind", pnx_counts_imbalance(&found.kinds[i].counts), 0);
        sum.done += found.kinds[i].counts.done;
        sum.live += found.kinds[i].counts.live;
    }
    expect("stats: done", (long long)sum.done, (long long)expected.done);
    expect("stats: live", (long long)sum.live, (long long)expected.live);
    pnx_stats_done(&found);
}

static void toggle_monitor(void)
{
    if (inside > 0)
        return;
    if (second_monitor != NULL) {
        expect_status("detach", pnx_monitor_detach(second_monitor), PNX_OK);
        second_monitor = NULL;
        return;
    }
    pnx_error err = {0};
    expect_status("attach",
                  pnx_monitor_attach(registry, count_event, events, &second_monitor, &err), PNX_OK);
}

/* ---- the release of everything --------------------------------------------------------------- */

static void nest(unsigned r, const pnx_release *why)
{
    const struct kind_about *kind = &kinds[model.resources[r].kind];
    const unsigned h = (r * 7 + 3) % HANDLES;
    switch (kind->nesting) {
    case NEST_DROP:
        drop(h);
        break;
    case NEST_RELEASE_NOW:
        if (handles[h].holding == ID)
            release_now(h, false, true);
        break;
    case NEST_REGISTER:
        if (!sweeping && !model.shutting_down && !model.over)
            register_thing(&(struct step){.handle = (uint8_t)h, .kind = (uint8_t)(r / 3)});
        break;
    case NEST_COMPLETE: {
        const unsigned t = model.token_count - 1;
        const pnx_status status = r % 3 == 0 ? PNX_EFAILED : PNX_OK;
        const pnx_status expected = model_complete(t, status);
        expect_status("complete inside", pnx_complete(pnx_release_token(why), status), expected);
        break;
    }
    default:
        break;
    }
    if (r % 16 == 0) {
        if (!model.resources[r].inline_run && !model.over && !model.shutting_down)
            expect("step inside", (long long)pnx_registry_step(registry, SIZE_MAX), 0);
        expect_status("wait_idle inside", pnx_registry_wait_idle(registry, PNX_FOREVER),
                      PNX_EDEADLOCK);
        expect_status("shutdown inside", pnx_registry_shutdown(registry, NULL, NULL, NULL),
                      PNX_EDEADLOCK);
    }
}

static pnx_status run(void *value, const pnx_release *why)
{
    if (model_failed())
        return PNX_OK; /* the rest of this program only has to end */
    const uint64_t *words = value;
    const unsigned r = (unsigned)words[0];
    if (words[0] >= model.count || words[1] != ~words[0]) {
        model_fail("a release got another value");
        return PNX_OK;
    }
    if (why->registry != registry)
        model_fail("resource %u: another registry", r);
    const pnx_status outcome = model_start(r, why);
    if (outcome == PNX_PENDING) {
        if (model.token_count == TOKENS_MAX)
            model.token_count = TOKENS_MAX / 2; /* the later ones are forgotten */
        model.tokens[model.token_count++] = (struct token){pnx_release_token(why), r, false};
    }
    const unsigned attempt = model.resources[r].attempt;
    inside++;
    nest(r, why);
    inside--;
    model.inline_next = -1;
    model.stepping = true;
    if (model.resources[r].state == PNX_RUNNING && model.resources[r].attempt == attempt)
        model_end(r, outcome);
    return outcome;
}

/* ---- programs -------------------------------------------------------------------------------- */

static void execute(const struct step *step)
{
    const unsigned h = step->handle;
    const bool has_id = handles[h].holding == GUARD || handles[h].holding == ID;
    switch (step->operation) {
    case OP_RESERVE:
        reserve(step);
        break;
    case OP_ARM:
        arm(h);
        break;
    case OP_ACQUIRE:
        reserve(step);
        arm(h);
        break;
    case OP_DROP:
        drop(h);
        break;
    case OP_TAKE:
        take(h);
        break;
    case OP_CLOSE:
        close_guard(h, true);
        break;
    case OP_CLOSE_BY:
        close_guard(h, false);
        break;
    case OP_MOVE:
        move(h, step->number % HANDLES);
        break;
    case OP_REGISTER:
        register_thing(step);
        break;
    case OP_UNREGISTER:
        if (has_id)
            unregister(h);
        break;
    case OP_RELEASE_LATER:
        if (has_id)
            release_later(step);
        break;
    case OP_RELEASE_NOW:
        if (has_id)
            release_now(h, false, step->choice % 4 != 0);
        break;
    case OP_RELEASE_BATCH:
        release_batch(step);
        break;
    case OP_RELEASE_KIND:
        release_many(step, true);
        break;
    case OP_RELEASE_ALL:
        release_many(step, false);
        break;
    case OP_EXPIRE_AT:
    case OP_EXPIRE_AFTER:
    case OP_EXPIRE_IDLE:
    case OP_EXPIRE_CANCEL:
        if (has_id)
            expire(step);
        break;
    case OP_TOUCH:
        if (has_id)
            expect_status("touch", pnx_touch(registry, model.resources[handles[h].resource].id),
                          model_touch(handles[h].resource));
        break;
    case OP_METADATA:
        if (has_id)
            metadata(step);
        break;
    case OP_INFO:
        if (has_id)
            info(h);
        break;
    case OP_EACH:
        each();
        break;
    case OP_STATS:
        stats();
        break;
    case OP_COMPLETE:
        complete(step);
        break;
    case OP_STEP:
        step_registry(step);
        break;
    case OP_TIME:
        model.now += (step->choice % 16 == 0 ? step->number % 5000 : step->number % 8) * TICK;
        break;
    case OP_WAIT_IDLE:
        wait_idle();
        break;
    case OP_FORGET:
        expect("forget", (long long)pnx_registry_forget_failed(registry), model_forget());
        break;
    case OP_MONITOR:
        toggle_monitor();
        break;
    default:
        break;
    }
}

static bool begin(const struct program *program)
{
    model_begin(program_setting(program), 1000 * TICK);
    memset(handles, 0, sizeof handles);
    memset(kept_events, 0, sizeof kept_events);
    events_lost = 0;
    inside = 0;
    monitor = second_monitor = NULL;
    const pnx_config config = {
        .name = "model",
        .executor = PNX_MANUAL,
        .clock = &virtual_clock,
        .resources_max = model.setting.few_slots ? FEW_SLOTS : 0,
        .backlog_high_water = model.setting.few_slots ? FEW_SLOTS : 0,
        .failures_kept = model.setting.few_kept ? FEW_KEPT : RESOURCES_MAX,
        .starvation_limit = model.setting.short_starvation ? SHORT_STARVATION : PNX_FOREVER,
        .timing = model.setting.all_timed ? PNX_TIMING_ALL : PNX_TIMING_NONE,
        .at_exit = PNX_EXIT_NOTHING,
        .seed = program->seed | 1,
    };
    pnx_error err = {0};
    if (pnx_registry_create(&config, &registry, &err) != PNX_OK) {
        model_fail("create: %s", err.message);
        return false;
    }
    if (model.setting.monitored)
        expect_status("attach",
                      pnx_monitor_attach(registry, count_event, kept_events, &monitor, &err),
                      PNX_OK);
    return true;
}

static void check_events(void)
{
    if (monitor == NULL || events_lost > 0)
        return;
    const struct tally *tally = &model.tally;
    expect("events: registered", (long long)kept_events[PNX_EVENT_REGISTERED],
           (long long)tally->armed);
    expect("events: scheduled", (long long)kept_events[PNX_EVENT_SCHEDULED],
           (long long)tally->scheduled);
    expect("events: started", (long long)kept_events[PNX_EVENT_STARTED], (long long)tally->started);
    expect("events: fallback", (long long)kept_events[PNX_EVENT_FALLBACK],
           (long long)tally->fallbacks);
    expect("events: completed", (long long)kept_events[PNX_EVENT_COMPLETED],
           (long long)tally->completed);
    expect("events: failed", (long long)kept_events[PNX_EVENT_FAILED], (long long)tally->failed);
    expect("events: abandoned", (long long)kept_events[PNX_EVENT_ABANDONED],
           (long long)tally->abandoned);
    expect("events: timed out", (long long)kept_events[PNX_EVENT_TIMED_OUT],
           (long long)tally->timed_out);
    expect("events: late", (long long)kept_events[PNX_EVENT_LATE_COMPLETION],
           (long long)tally->late);
    expect("events: retried", (long long)kept_events[PNX_EVENT_RETRIED], (long long)tally->retried);
    expect("events: leaked", (long long)kept_events[PNX_EVENT_LEAKED], (long long)tally->leaked);
}

static void shut_down(void)
{
    const pnx_counts before = model_counts();
    sweeping = true;
    model_shutdown_begins();
    const pnx_counts left = model_counts();
    if (left.queued + left.running + left.waiting > 0)
        model_look(); /* else there is nothing to wait for */
    pnx_report report;
    const pnx_shutdown_options options = {.live = model.setting.keep_live ? PNX_LIVE_KEEP
                                                                          : PNX_LIVE_RELEASE};
    const pnx_status status = pnx_registry_shutdown(registry, &options, &report, NULL);
    if (model_failed()) {
        pnx_report_done(&report);
        return;
    }
    model.stepping = false;
    model_shutdown_over(registry);
    const pnx_counts after = model_counts();
    const uint64_t lost = report.counts.failed + report.counts.abandoned;
    const uint64_t lost_by_model = after.failed + after.abandoned;
    const uint64_t released = after.done - before.done;
    const uint64_t survivors = model.kept_count + after.live;
    expect("shutdown: done", (long long)report.counts.done, (long long)after.done);
    expect("shutdown: live", (long long)report.counts.live, (long long)after.live);
    expect("shutdown: lost", (long long)lost, (long long)lost_by_model);
    expect("shutdown: queued", (long long)report.counts.queued, 0);
    expect("shutdown: running", (long long)report.counts.running, 0);
    expect("shutdown: waiting", (long long)report.counts.waiting, 0);
    expect("shutdown: balance", pnx_counts_imbalance(&report.counts), 0);
    expect("shutdown: registered", (long long)report.counts.registered,
           (long long)after.registered);
    expect("shutdown: released", (long long)report.released, (long long)released);
    expect("shutdown: leaked", (long long)report.leaked,
           model.setting.keep_live ? 0 : (long long)before.live);
    expect("shutdown: survivors", (long long)report.survivor_count, (long long)survivors);
    expect_status("shutdown", status, report.survivor_count == 0 ? PNX_OK : PNX_EFAILED);
    pnx_guard guard = {0};
    expect_status("reserve after shutdown",
                  pnx__guard_reserve(&guard, registry, &kinds[0].kind, PNX_HERE, NULL),
                  PNX_ESHUTDOWN);
    /* What its failed attempts made of it may be told either way by now. */
    model.tally.failed = report.counts.failed;
    model.tally.abandoned = report.counts.abandoned;
    model.tally.retried = report.counts.retried;
    model.tally.timed_out = report.counts.timed_out;
    pnx_report_done(&report);
    check_events();
}

/* Drops in a registry that is shut down run inline; then nothing is left, and it can go. */
static void end(void)
{
    if (!model_failed())
        model_check(registry);
    for (unsigned h = 0; h < HANDLES; h++)
        drop(h);
    for (unsigned r = 0; r < model.count && !model_failed(); r++)
        if (model.resources[r].state == PNX_LIVE) {
            model_take(r);
            expect_status("unregister after shutdown",
                          pnx_unregister(registry, model.resources[r].id, NULL, NULL), PNX_OK);
        }
    if (!model_failed())
        model_check(registry);
    for (unsigned t = 0; t < model.token_count; t++)
        (void)pnx_complete(model.tokens[t].token, PNX_OK);
    pnx_monitor_detach(monitor);
    pnx_monitor_detach(second_monitor);
    pnx_error err = {0};
    if (pnx_registry_destroy(registry, &err) != PNX_OK)
        model_fail("destroy: %s", err.message);
}

static bool fails(const struct program *program)
{
    if (!begin(program))
        return true;
    for (size_t i = 0; i < program->length && !model_failed(); i++) {
        execute(&program->steps[i]);
        if (!model_failed())
            model_check(registry);
        operations_done++;
        if (model_failed()) {
            const size_t length = strlen(model.failure);
            snprintf(model.failure + length, sizeof model.failure - length, " (at step %zu)", i);
        }
    }
    char failure[sizeof model.failure];
    memcpy(failure, model.failure, sizeof failure);
    sweeping = model_failed();
    shut_down();
    end();
    sweeping = false;
    if (failure[0] != '\0')
        memcpy(model.failure, failure, sizeof failure);
    return model_failed();
}

static struct program program;

static void on_crash(int number)
{
    char text[160];
    /* NOLINTNEXTLINE(bugprone-signal-handler,cert-sig30-c): all is lost anyway. */
    const int length = snprintf(text, sizeof text,
                                "signal %d in program; replay it by "
                                "PNX_TEST_SEED=%llu\n",
                                number, (unsigned long long)program.seed);
    if (write(STDERR_FILENO, text, (size_t)length) < 0)
        _exit(1);
    signal(number, SIG_DFL);
    raise(number);
}

static void tell(const struct program *shrunk)
{
    fprintf(stderr, "%s\n", model.failure);
    program_print(shrunk);
    fprintf(stderr, "what the model says is there:\n");
    model_dump();
    fprintf(stderr, "replay: PNX_TEST_SEED=%llu meson test -C BUILD sequence\n",
            (unsigned long long)shrunk->seed);
}

static void random_programs_do_what_the_model_says(void **state)
{
    (void)state;
    bool given;
    const uint64_t seed = seed_of_run("sequence", &given);
    const uint64_t programs = given ? 1 : effort(PROGRAMS);
    const pnx_time began = pnx_monotonic_now();
    pnx__random random = {seed};
    for (uint64_t i = 0; i < programs; i++) {
        program_make(&program, given ? seed : pnx__random_next(&random));
        if (!fails(&program))
            continue;
        fprintf(stderr, "%s; shrinking...\n", model.failure);
        program_shrink(&program, fails, 3000);
        (void)fails(&program);
        tell(&program);
        fail_msg("a program did what the model does not allow: %s", model.failure);
    }
    const double seconds = (double)(pnx_monotonic_now() - began) / 1e9;
    printf("# %llu operations in %.1f s, %.0f a second\n", (unsigned long long)operations_done,
           seconds, (double)operations_done / seconds);
}

int main(void)
{
    signal(SIGSEGV, on_crash);
    signal(SIGABRT, on_crash);
    signal(SIGBUS, on_crash);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_programs_do_what_the_model_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
