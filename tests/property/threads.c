/* SPDX-License-Identifier: MIT */
/*
 * Promises, with real workers and 1 to 64 threads that do anything they like with their own and
 * each other's resources:
 *   - conservation: every snapshot balances, and no state ever holds less than nothing;
 *   - exactly once: no release runs again after one that succeeded, none is forgotten, and what the
 *     registry counted is what the releases themselves counted;
 *   - order: with one worker no lower priority starts while a higher one was queued before the
 *     worker's previous start, and one thread's drops of one priority start in their order;
 *   - no lost wake-up: what is dropped while the workers fall asleep is released, and when the
 *     threads are gone all that they gave up is released, without anybody touching the registry
 *     again;
 *   - shutdown, asked for at any moment, ends in time and accounts for everything.
 *
 * The seed fixes the programs and the registry's configuration, not the interleaving: with
 * PNX_TEST_SEED the round is repeated until PNX_TEST_EFFORT is spent.
 */
#include "base/sys.h"
#include "support.h"

#include <patinox/guard.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#define OPERATIONS 20000000
#define ROUND_OPERATIONS 100000
#define THREADS_MAX 64
#define HANDLES 16
#define MAILBOXES 32
/* Only for what should take microseconds: the machine may be busy, the sanitizers are slow. */
#define FOR_EVER PNX_S(60)

/* ---- the round ------------------------------------------------------------------------------- */

enum mode { MIXED, ORDERED, SHUTDOWN, PINGED, MODES };

struct record {
    _Atomic uint8_t started, succeeded, ended;
    uint8_t kind, thread;
    _Atomic uint8_t taken;
    uint32_t sequence; /* of its thread's drops of its priority */
};

static struct {
    uint64_t seed;
    enum mode mode;
    unsigned threads, workers, per_thread;
    bool sampled, monitored;
    pnx_shutdown_options options;
    uint64_t shutdown_after;
} plan;

static pnx_registry *registry;
static struct record *records;
static _Atomic uint32_t record_count;
static _Atomic uint32_t remaining; /* armed, and not ended: a futex when nobody arms any more */
static _Atomic uint64_t operations, taken_count, late_count, refused_count;
static _Atomic uint32_t stop_helpers;
static _Atomic uint64_t dropping_by_rank[PNX_PRIORITY_COUNT]; /* begun */
static _Atomic uint64_t dropped_by_rank[PNX_PRIORITY_COUNT];  /* ... and returned */
static _Atomic uint64_t started_by_rank[PNX_PRIORITY_COUNT];

/* This thread is the test's own, not a worker. */
static _Thread_local bool is_ours;

static _Noreturn void broken(const char *format, ...) __attribute__((format(printf, 1, 2)));

static bool show(const pnx_info *info, void *left)
{
    char id[PNX_ID_TEXT_SIZE];
    fprintf(stderr, "  %s: kind %s, %s, priority %s, attempts %u\n", pnx_id_format(info->id, id),
            info->kind->name, pnx_state_name(info->state), pnx_priority_name(info->priority),
            info->attempts);
    return --*(int *)left > 0;
}

static void broken(const char *format, ...)
{
    static _Atomic uint32_t first;
    if (atomic_exchange(&first, 1) != 0)
        for (;;)
            pause(); /* another thread tells already */
    va_list args;
    va_start(args, format);
    fprintf(stderr, "broken: ");
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nround: mode %d, %u threads of %u operations, %u workers\n", plan.mode,
            plan.threads, plan.per_thread, plan.workers);
    pnx_counts counts;
    pnx_registry_counts(registry, &counts);
    fprintf(stderr,
            "registered %llu live %llu queued %llu running %llu waiting %llu done %llu "
            "failed %llu abandoned %llu taken %llu; remaining %u\n",
            (unsigned long long)counts.registered, (unsigned long long)counts.live,
            (unsigned long long)counts.queued, (unsigned long long)counts.running,
            (unsigned long long)counts.waiting, (unsigned long long)counts.done,
            (unsigned long long)counts.failed, (unsigned long long)counts.abandoned,
            (unsigned long long)counts.taken, atomic_load(&remaining));
    int left = 20;
    pnx_registry_each(registry, show, &left);
    fprintf(stderr, "replay: PNX_TEST_SEED=%llu meson test -C BUILD threads\n",
            (unsigned long long)plan.seed);
    abort();
}

/* ---- kinds ----------------------------------------------------------------------------------- */

enum behaviour {
    SUCCEEDS,
    FAILS_ONCE,
    FAILS,
    FALLS_BACK,
    PENDS,           /* completed by another thread */
    COMPLETES_EARLY, /* before its release has answered, and twice */
    YIELDS,
    DROPS_ANOTHER,
    ENDS_THREAD,
    LATE,            /* beyond its timeout; may be abandoned */
    LATE_IDEMPOTENT, /* ... or retried */
};

static pnx_status run(void *value, const pnx_release *why);

#define KIND(BEHAVIOUR, NAME, ...)                                                                 \
    {                                                                                              \
        {.name = NAME,                                                                             \
         .value_size = 8,                                                                          \
         .retry_delay = PNX_US(50),                                                                \
         .timeout = PNX_S(300),                                                                    \
         .release = run,                                                                           \
         __VA_ARGS__},                                                                             \
            BEHAVIOUR                                                                              \
    }
#define HAS_FALLBACK .fallback = (void (*)(void))run, .run_fallback = run

#pragma GCC diagnostic ignored "-Woverride-init"
static const struct {
    pnx_kind kind;
    enum behaviour behaviour;
} kinds[] = {
    KIND(SUCCEEDS, "normal"), /* these four are all that ordered rounds use */
    KIND(SUCCEEDS, "low", .priority = PNX_LOW),
    KIND(SUCCEEDS, "high", .priority = PNX_HIGH),
    KIND(SUCCEEDS, "critical", .priority = PNX_CRITICAL),
    KIND(SUCCEEDS, "quick", .flags = PNX_QUICK),
    KIND(SUCCEEDS, "quick high", .flags = PNX_QUICK, .priority = PNX_HIGH),
    KIND(FAILS_ONCE, "fails once", .retries = 2),
    KIND(FAILS, "fails", .retries = 1, .priority = PNX_LOW),
    KIND(FALLS_BACK, "falls back", .priority = PNX_HIGH, HAS_FALLBACK),
    KIND(PENDS, "pends"),
    KIND(PENDS, "pends, limited", .max_concurrency = 3, .priority = PNX_CRITICAL),
    KIND(COMPLETES_EARLY, "completes early"),
    KIND(YIELDS, "one at a time", .max_concurrency = 1),
    KIND(YIELDS, "blocking", .flags = PNX_BLOCKING),
    KIND(DROPS_ANOTHER, "drops another"),
    KIND(ENDS_THREAD, "ends its thread", .retries = 1),
    KIND(LATE, "late", .timeout = PNX_US(200)),
    KIND(LATE_IDEMPOTENT, "late idempotent", .timeout = PNX_US(200), .retries = 1,
         .flags = PNX_IDEMPOTENT),
};
#define KINDS (sizeof kinds / sizeof *kinds)
#define ORDERED_KINDS 4
#define RARE_KINDS 4 /* the last ones, which cost a thread or a time-out each */

static uint8_t kind_of(pnx__random *random)
{
    if (plan.mode == ORDERED || plan.mode == PINGED)
        return (uint8_t)pnx__random_below(random, ORDERED_KINDS);
    if (pnx__random_below(random, 4) != 0)
        return (uint8_t)pnx__random_below(random, 6);
    if (pnx__random_below(random, 500) == 0)
        return (uint8_t)(KINDS - RARE_KINDS + 1 + pnx__random_below(random, RARE_KINDS - 1));
    return (uint8_t)pnx__random_below(random, KINDS - RARE_KINDS + 1);
}

/* ---- what is handed from thread to thread ---------------------------------------------------- */

static struct mailbox {
    pthread_mutex_t lock;
    pnx_guard guard;
    pnx_id id; /* of a resource that somebody has, or had */
    uint32_t record, id_record;
} mailboxes[MAILBOXES];

static pthread_mutex_t pending_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t pending_some = PTHREAD_COND_INITIALIZER;
static struct {
    pnx_token token;
    uint32_t record;
} * pending;
static uint32_t pending_count, pending_room;

static void end_record(struct record *record)
{
    if (atomic_exchange(&record->ended, 1) != 0)
        return;
    if (atomic_fetch_sub(&remaining, 1) == 1)
        pnx__futex_wake(&remaining, UINT32_MAX);
}

static void succeed(struct record *record, bool may_repeat)
{
    if (atomic_fetch_add(&record->succeeded, 1) != 0 && !may_repeat)
        broken("exactly once: a release of kind %s succeeded twice", kinds[record->kind].kind.name);
    if (atomic_load(&record->taken) != 0)
        broken("exactly once: a %s was released that had been taken",
               kinds[record->kind].kind.name);
    end_record(record);
}

static void *complete_pending(void *argument)
{
    (void)argument;
    is_ours = true;
    pnx__random random = {plan.seed ^ 0x70};
    pthread_mutex_lock(&pending_lock);
    for (;;) {
        while (pending_count == 0 && atomic_load(&stop_helpers) == 0)
            pthread_cond_wait(&pending_some, &pending_lock);
        if (pending_count == 0)
            break;
        const uint32_t at = (uint32_t)pnx__random_below(&random, pending_count);
        const pnx_token token = pending[at].token;
        struct record *record = &records[pending[at].record];
        pending[at] = pending[--pending_count];
        pthread_mutex_unlock(&pending_lock);
        /* Counted before, so that nobody finds it ended and not counted. */
        const bool abandoned = plan.mode == SHUTDOWN; /* and perhaps forgotten */
        succeed(record, false);
        const pnx_status status = pnx_complete(token, PNX_OK);
        if (status != PNX_OK && !(abandoned && (status == PNX_ETIMEOUT || status == PNX_EALREADY)))
            broken("a completion in time was answered by %s", pnx_status_name(status));
        if (pnx_complete(token, PNX_OK) == PNX_OK)
            broken("exactly once: an attempt was completed twice");
        pthread_mutex_lock(&pending_lock);
    }
    pthread_mutex_unlock(&pending_lock);
    return NULL;
}

static pnx_status pend(uint32_t index, const pnx_release *why)
{
    pthread_mutex_lock(&pending_lock);
    if (pending_count == pending_room) {
        pending_room = pending_room != 0 ? 2 * pending_room : 1024;
        pending = realloc(pending, pending_room * sizeof *pending);
        if (pending == NULL)
            broken("the test has no memory");
    }
    pending[pending_count].token = pnx_release_token(why);
    pending[pending_count++].record = index;
    pthread_cond_signal(&pending_some);
    pthread_mutex_unlock(&pending_lock);
    return PNX_PENDING;
}

/* ---- releases -------------------------------------------------------------------------------- */

/* One worker: what had been dropped when it started its previous release must have started before
 * anything lower. Unless a drop of that priority is under way: one that is preempted between the
 * two steps of its push hides those behind it for that long. */
static void check_order(const struct record *record)
{
    static _Thread_local uint64_t seen[PNX_PRIORITY_COUNT];
    static _Thread_local uint64_t seen_round;
    static uint32_t last[THREADS_MAX][PNX_PRIORITY_COUNT];
    const unsigned rank = pnx_priority_rank(kinds[record->kind].kind.priority);
    if (seen_round != plan.seed) {
        memset(seen, 0, sizeof seen);
        memset(last, 0, sizeof last);
        seen_round = plan.seed;
    }
    for (unsigned higher = rank + 1; higher < PNX_PRIORITY_COUNT; higher++)
        if (atomic_load(&started_by_rank[higher]) < seen[higher] &&
            atomic_load(&dropped_by_rank[higher]) == atomic_load(&dropping_by_rank[higher]))
            broken("order: rank %u starts, and of rank %u %llu had been dropped and %llu started",
                   rank, higher, (unsigned long long)seen[higher],
                   (unsigned long long)atomic_load(&started_by_rank[higher]));
    atomic_fetch_add(&started_by_rank[rank], 1);
    for (unsigned i = 0; i < PNX_PRIORITY_COUNT; i++)
        seen[i] = atomic_load(&dropped_by_rank[i]);
    if (record->sequence <= last[record->thread][rank])
        broken("order: drop %u of a thread starts after its drop %u of the same priority",
               record->sequence, last[record->thread][rank]);
    last[record->thread][rank] = record->sequence;
}

static void drop_from_mailbox(unsigned at)
{
    struct mailbox *box = &mailboxes[at % MAILBOXES];
    if (pthread_mutex_trylock(&box->lock) != 0)
        return;
    pnx_guard guard = box->guard;
    box->guard = (pnx_guard){0};
    pthread_mutex_unlock(&box->lock);
    pnx__guard_drop(&guard);
}

static void outstay(const pnx_release *why)
{
    atomic_fetch_add(&late_count, 1);
    const pnx_time until = why->deadline + PNX_MS(1);
    while (pnx_monotonic_now() < until)
        sched_yield();
}

static pnx_status run(void *value, const pnx_release *why)
{
    uint64_t index;
    memcpy(&index, value, sizeof index);
    if (index >= atomic_load(&record_count))
        broken("a release got a value that nobody armed");
    struct record *record = &records[index];
    const enum behaviour behaviour = kinds[record->kind].behaviour;
    const bool repeats = behaviour == LATE_IDEMPOTENT;
    atomic_fetch_add(&record->started, 1);
    if (atomic_load(&record->succeeded) != 0 && !repeats)
        broken("exactly once: a %s starts again after it succeeded", kinds[record->kind].kind.name);
    if (plan.mode == ORDERED)
        check_order(record);
    switch (behaviour) {
    case FAILS_ONCE:
        if (why->attempt == 1 && plan.mode != SHUTDOWN)
            return PNX_EFAILED;
        break;
    case FAILS:
        if (why->attempt == 2 || plan.mode == SHUTDOWN)
            end_record(record);
        return PNX_EBUSY;
    case FALLS_BACK:
        if (!why->fallback)
            return PNX_EFAILED;
        break;
    case PENDS:
        return pend((uint32_t)index, why);
    case COMPLETES_EARLY: {
        const pnx_token token = pnx_release_token(why);
        succeed(record, false);
        const pnx_status status = pnx_complete(token, PNX_OK);
        if (status != PNX_OK && plan.mode != SHUTDOWN)
            broken("a completion from inside was answered by %s", pnx_status_name(status));
        if (pnx_complete(token, PNX_OK) == PNX_OK)
            broken("exactly once: an attempt was completed twice");
        return PNX_PENDING;
    }
    case YIELDS:
        sched_yield();
        break;
    case DROPS_ANOTHER:
        drop_from_mailbox((unsigned)index);
        break;
    case ENDS_THREAD:
        if (why->attempt == 1 && !is_ours && plan.mode != SHUTDOWN)
            pthread_exit(NULL);
        break;
    case LATE:
    case LATE_IDEMPOTENT:
        outstay(why);
        break;
    default:
        break;
    }
    succeed(record, repeats);
    return PNX_OK;
}

/* ---- threads --------------------------------------------------------------------------------- */

struct holder {
    pnx_guard guard;
    uint32_t record;
    pnx_id id;
};

struct user {
    pthread_t thread;
    unsigned number;
    pnx__random random;
    struct holder handles[HANDLES];
    uint32_t sequences[PNX_PRIORITY_COUNT];
};

static uint32_t new_record(const struct user *user, uint8_t kind)
{
    const uint32_t index = atomic_fetch_add(&record_count, 1);
    records[index].kind = kind;
    records[index].thread = (uint8_t)user->number;
    return index;
}

static void count_drop(struct user *user, struct holder *holder)
{
    struct record *record = &records[holder->record];
    if (plan.mode != ORDERED)
        return;
    const unsigned rank = pnx_priority_rank(kinds[record->kind].kind.priority);
    record->thread = (uint8_t)user->number;
    record->sequence = ++user->sequences[rank];
    atomic_fetch_add(&dropping_by_rank[rank], 1);
}

static void dropped(const struct holder *holder)
{
    if (plan.mode == ORDERED)
        atomic_fetch_add(
            &dropped_by_rank[pnx_priority_rank(kinds[records[holder->record].kind].kind.priority)],
            1);
}

static void drop(struct user *user, struct holder *holder)
{
    if (holder->guard.slot == NULL)
        return;
    count_drop(user, holder);
    pnx__guard_drop(&holder->guard);
    dropped(holder);
}

static void was_taken(uint32_t index)
{
    struct record *record = &records[index];
    if (atomic_load(&record->succeeded) != 0 || atomic_exchange(&record->taken, 1) != 0)
        broken("exactly once: a %s was taken that was released, or taken before",
               kinds[record->kind].kind.name);
    atomic_fetch_add(&taken_count, 1);
    end_record(record);
}

static void acquire(struct user *user, struct holder *holder, bool by_guard)
{
    drop(user, holder);
    const uint8_t kind = kind_of(&user->random);
    pnx_status status;
    if (by_guard) {
        pnx_guard guard = {0};
        status = pnx__guard_reserve(&guard, registry, &kinds[kind].kind, PNX_HERE, NULL);
        if (status == PNX_OK) {
            holder->record = new_record(user, kind);
            atomic_fetch_add(&remaining, 1);
            if (!pnx__guard_arm(&guard, holder->record, 0, 0))
                broken("a reserved guard could not be armed");
            holder->guard = guard;
            holder->id = pnx__guard_id(&guard);
        }
    } else {
        holder->record = new_record(user, kind);
        const uint64_t value = holder->record;
        atomic_fetch_add(&remaining, 1);
        status = pnx_register(registry, &kinds[kind].kind, &value, PNX_HERE, &holder->id, NULL);
        if (status != PNX_OK) {
            /* It may have been in for a moment, and counts as taken out then. */
            atomic_fetch_add(&refused_count, 1);
            atomic_store(&records[holder->record].taken, 1);
            end_record(&records[holder->record]);
            holder->id = PNX_ID_NONE;
        }
    }
    if (status != PNX_OK && !(status == PNX_ESHUTDOWN && plan.mode == SHUTDOWN))
        broken("reserve: %s", pnx_status_name(status));
}

static void take(struct holder *holder)
{
    if (holder->guard.slot != NULL && pnx__guard_take(&holder->guard))
        was_taken(holder->record);
}

static void unregister(pnx_id id, uint32_t index)
{
    uint64_t value = UINT64_MAX;
    if (pnx_unregister(registry, id, &value, NULL) != PNX_OK)
        return;
    if (value != index)
        broken("unregister: another value came out");
    was_taken(index);
}

static void exchange(struct user *user, struct holder *holder)
{
    struct mailbox *box = &mailboxes[pnx__random_below(&user->random, MAILBOXES)];
    pthread_mutex_lock(&box->lock);
    const pnx_guard guard = box->guard;
    const uint32_t record = box->record;
    box->guard = holder->guard;
    box->record = holder->record;
    if (!pnx_id_is_none(holder->id)) {
        box->id = holder->id;
        box->id_record = holder->record;
    }
    pthread_mutex_unlock(&box->lock);
    holder->guard = guard;
    holder->record = record;
    holder->id = guard.slot != NULL ? pnx__guard_id(&guard) : PNX_ID_NONE;
}

/* Somebody else's, or one's own, or one that is gone. */
static bool any_id(struct user *user, pnx_id *ret_id, uint32_t *ret_record)
{
    struct mailbox *box = &mailboxes[pnx__random_below(&user->random, MAILBOXES)];
    pthread_mutex_lock(&box->lock);
    *ret_id = box->id;
    *ret_record = box->id_record;
    pthread_mutex_unlock(&box->lock);
    return !pnx_id_is_none(*ret_id);
}

static void look(pnx_id id)
{
    pnx_info info;
    if (pnx_registry_info(registry, id, &info) != PNX_OK)
        return;
    uint64_t value;
    memcpy(&value, info.value, sizeof value);
    if (!pnx_id_equal(info.id, id) || value >= atomic_load(&record_count) ||
        info.kind != &kinds[records[value].kind].kind)
        broken("info: shows another resource's value or kind");
}

static bool count_one(const pnx_info *info, void *count)
{
    if (info->kind == NULL || info->state == PNX_FREE || info->state >= PNX_STATE_COUNT)
        broken("each: shows what cannot be");
    return ++*(unsigned *)count < 200;
}

static void by_id(struct user *user, unsigned choice)
{
    static const pnx_request urgent = {.set_priority = true, .priority = PNX_CRITICAL};
    pnx_id id;
    uint32_t index;
    char text[32];
    if (!any_id(user, &id, &index))
        return;
    switch (choice) {
    case 0:
        (void)pnx_release_later(registry, id, NULL);
        break;
    case 1:
        (void)pnx_release_later(registry, id, &urgent);
        break;
    case 2:
        unregister(id, index);
        break;
    case 3:
        (void)pnx_expire_after(registry, id,
                               (pnx_duration)pnx__random_below(&user->random, (uint64_t)PNX_MS(3)));
        break;
    case 4:
        (void)pnx_expire_idle(registry, id, PNX_MS(1));
        break;
    case 5:
        (void)pnx_touch(registry, id);
        break;
    case 6:
        (void)pnx_expire_at(registry, id, PNX_FOREVER);
        break;
    case 7:
        (void)pnx_resource_set_metadata(registry, id, "k", "some value", NULL);
        break;
    case 8:
        (void)pnx_resource_get_metadata(registry, id, "k", text, sizeof text, NULL);
        break;
    case 9:
        (void)pnx_resource_set_bytes(registry, id, index);
        break;
    default:
        look(id);
        (void)pnx_registry_state(registry, id);
    }
}

static void many(struct user *user, unsigned choice)
{
    pnx_id ids[40];
    size_t count = 0;
    uint32_t index;
    pnx_batch_result result;
    unsigned visited = 0;
    switch (choice) {
    case 0:
        while (count < 40 && any_id(user, &ids[count], &index))
            count++;
        (void)pnx_release_batch(registry, ids, count, NULL, pnx_monotonic_now() + PNX_MS(2),
                                &result);
        if (result.released + result.already + result.failed + result.abandoned + result.pending !=
                result.asked ||
            result.asked != count)
            broken("batch: the counts do not add up to what was asked");
        break;
    case 1:
        (void)pnx_release_kind(registry, kinds[pnx__random_below(&user->random, KINDS)].kind.name,
                               NULL, 0, &result);
        break;
    case 2:
        (void)pnx_registry_each(registry, count_one, &visited);
        break;
    default: {
        pnx_stats stats = {0};
        pnx_error err = {0};
        if (pnx_registry_stats(registry, &stats, &err) != PNX_OK)
            broken("stats: %s", err.message);
        for (size_t i = 0; i < stats.kind_count; i++)
            if (pnx_counts_imbalance(&stats.kinds[i].counts) != 0)
                broken("conservation: kind %s is out of balance", stats.kinds[i].name);
        pnx_stats_done(&stats);
    }
    }
}

static void one_operation(struct user *user)
{
    const uint64_t bits = pnx__random_next(&user->random);
    struct holder *holder = &user->handles[bits % HANDLES];
    const unsigned choice = (unsigned)(bits >> 8) % 100;
    if (plan.mode == ORDERED) {
        if (choice < 60)
            acquire(user, holder, true);
        else
            drop(user, holder);
    } else if (choice < 35) {
        acquire(user, holder, true);
    } else if (choice < 60) {
        drop(user, holder);
    } else if (choice < 68) {
        drop(user, holder);
        acquire(user, holder, false);
    } else if (choice < 76) {
        exchange(user, holder);
    } else if (choice < 78) {
        take(holder);
    } else if (choice < 79) {
        (void)pnx__guard_close(&holder->guard, pnx_monotonic_now() + PNX_US(100), NULL);
    } else if ((bits >> 16) % 4000 == 0) {
        many(user, (unsigned)(bits >> 32) % 4);
    } else {
        by_id(user, (unsigned)(bits >> 32) % 12);
    }
}

/* One drop at a time, in the very moments in which a worker goes to sleep; nothing else comes to
 * its help. */
static void ping(struct user *user)
{
    struct holder *holder = &user->handles[0];
    acquire(user, holder, true);
    const struct record *record = &records[holder->record];
    drop(user, holder);
    const pnx_time until = pnx_monotonic_now() + FOR_EVER;
    for (unsigned i = 1; atomic_load(&record->ended) == 0; i++) {
        sched_yield();
        if (i % 1024 == 0 && pnx_monotonic_now() > until)
            broken("lost wake-up: a %s that was dropped is not released",
                   kinds[record->kind].kind.name);
    }
    for (uint64_t i = pnx__random_below(&user->random, 1000); i > 0; i--)
        atomic_signal_fence(
            memory_order_seq_cst); /* a microsecond or so, now this long, now that */
}

static void *use(void *argument)
{
    is_ours = true;
    struct user *user = argument;
    for (unsigned i = 0; i < plan.per_thread; i++) {
        if (plan.mode == PINGED)
            ping(user);
        else
            one_operation(user);
        if (i % 64 == 0)
            atomic_fetch_add(&operations, 64);
    }
    for (unsigned i = 0; i < HANDLES; i++)
        drop(user, &user->handles[i]);
    return NULL;
}

static void check_states(const pnx_counts *now)
{
    const uint64_t all = now->registered + now->taken;
    if (pnx_counts_imbalance(now) != 0)
        broken("conservation: a snapshot is %lld out of balance",
               (long long)pnx_counts_imbalance(now));
    if (now->live > all || now->queued > all || now->running > all || now->waiting > all)
        broken("conservation: less than nothing in a state");
}

/* In all, and of each kind: what one has too much must not hide what another has too little. */
static void *sample(void *argument)
{
    (void)argument;
    pnx_counts before = {0};
    while (atomic_load(&stop_helpers) == 0) {
        pnx_stats stats = {0};
        if (pnx_registry_stats(registry, &stats, NULL) != PNX_OK)
            broken("stats");
        for (size_t i = 0; i < stats.kind_count; i++)
            check_states(&stats.kinds[i].counts);
        const pnx_counts now = stats.total;
        pnx_stats_done(&stats);
        check_states(&now);
        if (now.done < before.done || now.failed < before.failed ||
            now.abandoned < before.abandoned || now.taken < before.taken ||
            now.registered + now.taken < before.registered + before.taken)
            broken("conservation: a total has fallen");
        before = now;
        sched_yield();
    }
    return NULL;
}

static void ignore_event(const pnx_event *event, void *context)
{
    (void)context;
    if (event->type >= PNX_EVENT_COUNT)
        broken("an event of a type that there is not");
}

/* ---- shutdown at any moment ------------------------------------------------------------------ */

static void *shut_down(void *argument)
{
    is_ours = true;
    pnx_report *report = argument;
    while (atomic_load(&operations) < plan.shutdown_after)
        sched_yield();
    const pnx_time began = pnx_monotonic_now();
    const pnx_status status = pnx_registry_shutdown(registry, &plan.options, report, NULL);
    const pnx_duration took = pnx_monotonic_now() - began;
    if (took > plan.options.grace + plan.options.hard + FOR_EVER / 4)
        broken("shutdown took %.3f s, with %.3f s of grace and %.3f s after", (double)took / 1e9,
               (double)plan.options.grace / 1e9, (double)plan.options.hard / 1e9);
    if (status != PNX_OK && status != PNX_EFAILED)
        broken("shutdown: %s", pnx_status_name(status));
    if (pnx_counts_imbalance(&report->counts) != 0)
        broken("shutdown: its report is out of balance");
    return NULL;
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static void make_plan(uint64_t seed)
{
    static const unsigned threads[] = {1, 2, 2, 3, 4, 4, 8, 16, 32, 64};
    static const pnx_duration spans[] = {1, PNX_US(100), PNX_MS(3), PNX_MS(50), PNX_S(20)};
    pnx__random random = {seed};
    plan.seed = seed;
    plan.mode = (enum mode)pnx__random_below(&random, MODES);
    plan.threads = threads[pnx__random_below(&random, sizeof threads / sizeof *threads)];
    plan.per_thread = ROUND_OPERATIONS / plan.threads;
    if (plan.mode == PINGED) {
        plan.threads = 1 + (unsigned)pnx__random_below(&random, 3);
        plan.per_thread = ROUND_OPERATIONS / 10 / plan.threads;
    }
    plan.workers = plan.mode == ORDERED ? 1 : 1 + (unsigned)pnx__random_below(&random, 6);
    plan.sampled = pnx__random_below(&random, 2) == 0;
    plan.monitored = pnx__random_below(&random, 4) == 0;
    plan.options.grace = spans[pnx__random_below(&random, 5)];
    plan.options.hard = spans[pnx__random_below(&random, 5)];
    plan.options.live = pnx__random_below(&random, 2) == 0 ? PNX_LIVE_RELEASE : PNX_LIVE_KEEP;
    plan.shutdown_after =
        pnx__random_below(&random, plan.per_thread / 64 * 64 * plan.threads * 9 / 10 + 1);
}

static void begin_round(void)
{
    pnx__random random = {plan.seed ^ 1};
    const pnx_config config = {
        .name = "threads",
        .workers = plan.workers,
        .workers_max = plan.workers + 1 + (unsigned)pnx__random_below(&random, 8),
        .backlog_high_water = pnx__random_below(&random, 2) == 0 ? 64 : 8192,
        .backlog_policy = plan.mode != ORDERED && pnx__random_below(&random, 2) == 0
                              ? PNX_BACKLOG_HELP
                              : PNX_BACKLOG_YIELD,
        .starvation_limit =
            plan.mode == ORDERED || pnx__random_below(&random, 2) == 0 ? PNX_S(3600) : PNX_MS(1),
        .stall_limit = PNX_MS(1),
        .timing = (pnx_timing)pnx__random_below(&random, 3),
        .failures_kept = pnx__random_below(&random, 2) == 0 ? 16 : 0,
        .worker_stack = 256 << 10,
        .at_exit = PNX_EXIT_NOTHING,
        .seed = plan.seed | 1,
    };
    pnx_error err = {0};
    if (pnx_registry_create(&config, &registry, &err) != PNX_OK)
        fail_msg("create: %s", err.message);
    memset(records, 0, (ROUND_OPERATIONS + THREADS_MAX) * sizeof *records);
    memset(mailboxes, 0, sizeof mailboxes);
    for (unsigned i = 0; i < MAILBOXES; i++)
        pthread_mutex_init(&mailboxes[i].lock, NULL);
    for (unsigned i = 0; i < PNX_PRIORITY_COUNT; i++)
        dropping_by_rank[i] = dropped_by_rank[i] = started_by_rank[i] = 0;
    record_count = 0;
    remaining = 0;
    operations = taken_count = late_count = refused_count = 0;
    stop_helpers = 0;
}

static void start(pthread_t *thread, void *(*body)(void *), void *argument)
{
    if (pthread_create(thread, NULL, body, argument) != 0)
        broken("the test cannot start its threads");
}

/* Everything was given up; nobody touches the registry; it must become quiet all the same. */
static void wait_until_all_ended(void)
{
    const pnx_time until = pnx_monotonic_now() + FOR_EVER;
    uint32_t left;
    while ((left = atomic_load(&remaining)) != 0) {
        if (pnx__futex_wait(&remaining, left, until) == ETIMEDOUT)
            broken("lost wake-up: nothing happens any more, and %u have not ended", left);
    }
}

/* After a shutdown: workers that were on their way when its time was over finish what they have. */
static void wait_until_quiet(void)
{
    const pnx_time until = pnx_monotonic_now() + FOR_EVER;
    pnx_counts counts;
    do {
        if (pnx_monotonic_now() > until)
            broken("after a shutdown something stays under way");
        sched_yield();
        pnx_registry_counts(registry, &counts);
    } while (counts.live + counts.queued + counts.running + counts.waiting != 0);
}

static void release_live_ones(void)
{
    pnx_batch_result result;
    const pnx_status status = pnx_release_all(registry, NULL, 0, &result);
    if (status != PNX_OK)
        broken("release_all: %s", pnx_status_name(status));
}

static void check_account(void)
{
    pnx_counts counts, own = {0};
    pnx_registry_counts(registry, &counts);
    for (uint32_t i = 0; i < record_count; i++) {
        const enum behaviour behaviour = kinds[records[i].kind].behaviour;
        if (records[i].taken)
            continue;
        own.registered++;
        if (records[i].succeeded)
            own.done++;
        else if (behaviour == FAILS)
            own.failed++;
    }
    if (counts.queued + counts.running + counts.waiting + counts.live != 0)
        broken("at the end something is still under way");
    if (counts.taken < taken_count || counts.taken > taken_count + refused_count ||
        counts.registered != own.registered)
        broken("account: %llu registered and %llu taken, the threads count %llu and %llu",
               (unsigned long long)counts.registered, (unsigned long long)counts.taken,
               (unsigned long long)own.registered, (unsigned long long)taken_count);
    if (counts.done + counts.failed + counts.abandoned != counts.registered)
        broken("account: not every resource has ended");
    if (plan.mode == SHUTDOWN) /* what was given up may have succeeded late */
        return;
    if (counts.failed != own.failed || counts.done + counts.abandoned != own.done ||
        counts.abandoned > late_count)
        broken("account: %llu done, %llu failed, %llu abandoned; the releases count %llu done and "
               "%llu failed, %llu of them late",
               (unsigned long long)counts.done, (unsigned long long)counts.failed,
               (unsigned long long)counts.abandoned, (unsigned long long)own.done,
               (unsigned long long)own.failed, (unsigned long long)late_count);
}

static void destroy(void)
{
    pnx_error err = {0};
    const pnx_time until = pnx_monotonic_now() + FOR_EVER;
    /* A release that was given up may still be on its way back. */
    while (pnx_registry_destroy(registry, &err) == PNX_EBUSY) {
        if (pnx_monotonic_now() > until)
            broken("destroy: %s", err.message);
        sched_yield();
    }
}

static void run_round(uint64_t seed)
{
    static struct user users[THREADS_MAX];
    make_plan(seed);
    begin_round();
    pnx_monitor *monitor = NULL;
    if (plan.monitored &&
        pnx_monitor_attach(registry, ignore_event, NULL, &monitor, NULL) != PNX_OK)
        broken("attach");
    pthread_t sampler, completer, stopper;
    pnx_report report = {0};
    if (plan.sampled)
        start(&sampler, sample, NULL);
    start(&completer, complete_pending, NULL);
    if (plan.mode == SHUTDOWN)
        start(&stopper, shut_down, &report);
    for (unsigned i = 0; i < plan.threads; i++) {
        users[i] = (struct user){.number = i, .random = {seed + 1 + i}};
        start(&users[i].thread, use, &users[i]);
    }
    for (unsigned i = 0; i < plan.threads; i++)
        pthread_join(users[i].thread, NULL);
    atomic_store(&operations, UINT64_MAX / 2);
    if (plan.mode == SHUTDOWN)
        pthread_join(stopper, NULL);
    for (unsigned i = 0; i < MAILBOXES; i++)
        drop_from_mailbox(i);
    release_live_ones();
    if (plan.mode == SHUTDOWN)
        wait_until_quiet();
    else
        wait_until_all_ended();
    atomic_store(&stop_helpers, 1);
    pthread_mutex_lock(&pending_lock);
    pthread_cond_signal(&pending_some);
    pthread_mutex_unlock(&pending_lock);
    pthread_join(completer, NULL);
    if (plan.sampled)
        pthread_join(sampler, NULL);
    pnx_monitor_detach(monitor);
    pnx_report_done(&report);
    /* Ended by its release, and told to the registry a moment later. */
    if (plan.mode != SHUTDOWN &&
        pnx_registry_wait_idle(registry, pnx_monotonic_now() + FOR_EVER) != PNX_OK)
        broken("the registry does not become idle");
    (void)pnx_registry_shutdown(registry, NULL, NULL, NULL);
    check_account();
    destroy();
}

static void programs_of_many_threads_keep_the_promises(void **state)
{
    (void)state;
    bool given;
    is_ours = true;
    const uint64_t seed = seed_of_run("threads", &given);
    const uint64_t rounds = effort(OPERATIONS / ROUND_OPERATIONS);
    records = calloc(ROUND_OPERATIONS + THREADS_MAX, sizeof *records);
    assert_non_null(records);
    pnx__random random = {seed};
    const pnx_time began = pnx_monotonic_now();
    uint64_t done = 0;
    for (uint64_t i = 0; i < rounds; i++) {
        run_round(given ? seed : pnx__random_next(&random));
        done += (uint64_t)plan.per_thread * plan.threads;
    }
    const double seconds = (double)(pnx_monotonic_now() - began) / 1e9;
    printf("# %llu operations in %.1f s, %.0f a second\n", (unsigned long long)done, seconds,
           (double)done / seconds);
    free(records);
    free(pending);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_of_many_threads_keep_the_promises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
