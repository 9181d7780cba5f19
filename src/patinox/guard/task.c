/* SPDX-License-Identifier: MIT */
/*
 * Tasks. Promise: a thread that was started is joined exactly once, or told of: a scope goes on
 * only after its task was asked to end and was joined, or was late, which is a failed release that
 * everybody hears of.
 */
#include "guard/task.h"

#include "base/text.h"
#include "guard/scope.h"

#include <string.h>

#define NAME_SIZE 16 /* as Linux has it for threads */

/* What the registry keeps of a task: its name too, for a task may be gone while a report still
 * tells of it. */
struct task_value {
    struct pnx_task *task;
    char name[NAME_SIZE];
};
_Static_assert(sizeof(struct task_value) <= PNX_VALUE_MAX, "a task is a value");

/* The task that this thread is. */
static _Thread_local struct pnx_task *current;

#ifdef __has_feature
#define HAS_FEATURE(feature) __has_feature(feature)
#else
#define HAS_FEATURE(feature) 0
#endif

static struct timespec timespec_of(pnx_time time)
{
    return (struct timespec){.tv_sec = time / PNX_S(1), .tv_nsec = time % PNX_S(1)};
}

/* pthread_join until `deadline` on CLOCK_MONOTONIC. */
static int join_until(pthread_t thread, pnx_time deadline)
{
#if defined(__SANITIZE_THREAD__) || HAS_FEATURE(thread_sanitizer)
    /* TSan of gcc 12 does not know pthread_clockjoin_np: it thinks that the thread lives on. */
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    const struct timespec until =
        timespec_of(pnx_time_after(pnx__time_of(now), deadline - pnx__now()));
    return pthread_timedjoin_np(thread, NULL, &until);
#else
    const struct timespec until = timespec_of(deadline);
    return pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &until);
#endif
}

/* Joining is a cancellation point, and half done it would be done by nobody else. Answers errno. */
static int join_thread(pthread_t thread, pnx_time deadline)
{
    int cancelable;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancelable);
    const int error =
        deadline == PNX_FOREVER ? pthread_join(thread, NULL) : join_until(thread, deadline);
    (void)pthread_setcancelstate(cancelable, NULL);
    return error;
}

static void unref(struct pnx_task *task)
{
    /* Release: this holder's last look; acquire: the last one sees that of all others. */
    if (atomic_fetch_sub_explicit(&task->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    if (atomic_load_explicit(&task->state, memory_order_relaxed) != PNX__TASK_JOINED) {
        if (task == current) {
            pnx__process_leave();
        } else {
            /* It has let go, too: it is on its way out. */
            (void)join_thread(task->thread, PNX_FOREVER);
        }
    }
    pnx__free(task);
}

static void ref(struct pnx_task *task)
{
    /* Relaxed: who takes a reference has one, or its scope is open. */
    atomic_fetch_add_explicit(&task->references, 1, memory_order_relaxed);
}

static void set_state(struct pnx_task *task, uint32_t state)
{
    /* Release: pairs with the acquire in join; the result is there from PNX__TASK_ENDED on. */
    atomic_store_explicit(&task->state, state, memory_order_release);
    pnx__futex_wake(&task->state, UINT32_MAX);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void end(void *argument)
{
    struct pnx_task *task = argument;
    set_state(task, PNX__TASK_ENDED);
    unref(task);
}

static void *run(void *argument)
{
    struct pnx_task *task = argument;
    current = task;
    task->result = PNX_EFAILED; /* unless the body says otherwise: it may end its thread */
    pthread_cleanup_push(end, task);
    task->result = task->body(task, task->argument);
    pthread_cleanup_pop(1);
    return NULL;
}

/* ---- waiting for it -------------------------------------------------------------------------- */

/* The thread is on its way out: sees it off, until `deadline`. */
static void see_off(struct pnx_task *task, pnx_time deadline)
{
    uint32_t state = PNX__TASK_ENDED;
    /* Acquire: what the thread did; relaxed when another one was faster. */
    if (!atomic_compare_exchange_strong_explicit(&task->state, &state, PNX__TASK_JOINING,
                                                 memory_order_acquire, memory_order_relaxed)) {
        return;
    }
    const int error = join_thread(task->thread, deadline);
    set_state(task, error == ETIMEDOUT ? PNX__TASK_ENDED : PNX__TASK_JOINED);
}

/* Until `deadline` on CLOCK_MONOTONIC. */
static pnx_status join(struct pnx_task *task, pnx_time deadline)
{
    if (task == current) {
        return PNX_EDEADLOCK;
    }
    for (;;) {
        /* Acquire: pairs with the release in set_state. */
        const uint32_t state = atomic_load_explicit(&task->state, memory_order_acquire);
        if (state == PNX__TASK_JOINED) {
            return PNX_OK;
        }
        if (state == PNX__TASK_ENDED) {
            see_off(task, deadline);
        } else {
            pnx__futex_wait(&task->state, state, deadline);
        }
        if (deadline != PNX_FOREVER && pnx__now() >= deadline &&
            atomic_load_explicit(&task->state, memory_order_relaxed) != PNX__TASK_JOINED) {
            return PNX_ETIMEOUT;
        }
    }
}

pnx_status pnx_task_join(pnx_task *task, pnx_time deadline, pnx_status *ret_result, pnx_error *err)
{
    ref(task);
    const pnx_status status = join(task, deadline);
    if (status == PNX_OK && ret_result != NULL) {
        *ret_result = task->result;
    }
    unref(task);
    switch (status) {
    case PNX_OK:
        return status;
    case PNX_EDEADLOCK:
        return pnx_fail(err, status, "a task cannot wait for its own end");
    default:
        return pnx_fail(err, status, "the task did not end in time; it goes on");
    }
}

pnx_status pnx_task_wait(pnx_task *self, pnx_time deadline)
{
    for (;;) {
        /* Acquire: pairs with the release in pnx_task_cancel. */
        const uint32_t canceled = atomic_load_explicit(&self->canceled, memory_order_acquire);
        if (canceled == PNX__TASK_CANCELED) {
            return PNX_ECANCELED;
        }
        if (deadline != PNX_FOREVER && pnx__now() >= deadline) {
            return PNX_ETIMEOUT;
        }
        pnx__futex_wait(&self->canceled, canceled, deadline);
    }
}

/* ---- asking it to end ------------------------------------------------------------------------ */

void pnx_task_cancel(pnx_task *task, const char *reason)
{
    uint32_t expected = PNX__TASK_NOT_CANCELED;
    /* Relaxed: whoever is second has nothing to say; the first one's words are released below. */
    if (!atomic_compare_exchange_strong_explicit(&task->canceled, &expected,
                                                 PNX__TASK_BEING_CANCELED, memory_order_relaxed,
                                                 memory_order_relaxed)) {
        return;
    }
    pnx__text_copy(task->reason, sizeof task->reason, reason != NULL ? reason : "canceled");
    /* Release: pairs with the acquire of those who ask. */
    atomic_store_explicit(&task->canceled, PNX__TASK_CANCELED, memory_order_release);
    pnx__futex_wake(&task->canceled, UINT32_MAX);
}

bool pnx_task_canceled(const pnx_task *self)
{
    /* Acquire: pairs with the release in pnx_task_cancel. */
    return atomic_load_explicit(&self->canceled, memory_order_acquire) == PNX__TASK_CANCELED;
}

const char *pnx_task_cancel_reason(const pnx_task *self)
{
    return pnx_task_canceled(self) ? self->reason : NULL;
}

/* ---- the resource ---------------------------------------------------------------------------- */

static pnx_status release_task(void *bytes, const pnx_release *why)
{
    struct task_value value;
    memcpy(&value, bytes, sizeof value);
    pnx_task_cancel(value.task, pnx_reason_name(why->reason));
    /* Threads end in real time, whatever clock the registry has. */
    const pnx_time deadline = pnx_time_after(pnx__now(), value.task->join_timeout);
    const pnx_status status = join(value.task, deadline);
    unref(value.task);
    return status;
}

static int describe_task(const void *bytes, char *buffer, size_t size)
{
    struct task_value value;
    memcpy(&value, bytes, sizeof value);
    return (int)pnx__text_copy(buffer, size, value.name);
}

/* Only for pnx_kind.describe to say that there is one. */
static void described(void)
{
}

/* The release keeps its own time, so that it is never declared late while it goes on. A kind has
 * one priority, so there are as many of them. */
#define TASK_KIND(PRIORITY)                                                                        \
    [PRIORITY] = {                                                                                 \
        .name = "task",                                                                            \
        .priority = (PRIORITY),                                                                    \
        .flags = PNX_BLOCKING,                                                                     \
        .timeout = PNX_FOREVER,                                                                    \
        .value_size = sizeof(struct task_value),                                                   \
        .describe = described,                                                                     \
        .release = release_task,                                                                   \
        .run_describe = describe_task,                                                             \
    }
static const pnx_kind task_kinds[PNX_PRIORITY_COUNT] = {
    TASK_KIND(PNX_NORMAL),
    TASK_KIND(PNX_LOW),
    TASK_KIND(PNX_HIGH),
    TASK_KIND(PNX_CRITICAL),
};

void pnx__tasks_forget(struct pnx__scope *scope, size_t floor)
{
    if (pnx__forked(scope->registry)) {
        return; /* their threads are in another process */
    }
    while (scope->tasks != NULL && scope->tasks->serial >= floor) {
        struct pnx_task *task = scope->tasks;
        scope->tasks = task->older;
        unref(task);
    }
}

/* ---- starting -------------------------------------------------------------------------------- */

#define JOIN_TIMEOUT PNX_S(5)

static pnx_status check(const struct pnx__scope *scope, const pnx_task_config *config,
                        pnx_task_fn body, pnx_error *err)
{
    if (body == NULL) {
        return pnx_fail(err, PNX_EINVAL, "scope %s: the body of a task is NULL", scope->name);
    }
    if (config->join_timeout < 0) {
        return pnx_fail(err, PNX_EINVAL, "scope %s: pnx_task_config.join_timeout is negative",
                        scope->name);
    }
    if ((unsigned)config->priority >= PNX_PRIORITY_COUNT) {
        return pnx_fail(err, PNX_EINVAL,
                        "scope %s: pnx_task_config.priority is %d: accepted is "
                        "PNX_NORMAL to PNX_CRITICAL",
                        scope->name, (int)config->priority);
    }
    return PNX_OK;
}

static struct pnx_task *make_task(const pnx_task_config *config, pnx_task_fn body, void *argument)
{
    struct pnx_task *task = pnx__alloc(sizeof *task);
    if (task == NULL) {
        return NULL;
    }
    task->body = body;
    task->argument = argument;
    task->join_timeout = config->join_timeout != 0 ? config->join_timeout : JOIN_TIMEOUT;
    /* The scope's, the thread's and the resource's. */
    atomic_store_explicit(&task->references, 3, memory_order_relaxed);
    return task;
}

pnx_status pnx__task_start(pnx_scope *handle, const pnx_task_config *config, pnx_task_fn body,
                           void *argument, const pnx_site *site, pnx_task **ret, pnx_error *err)
{
    static const pnx_task_config standard;
    config = config != NULL ? config : &standard;
    pnx_status status;
    struct pnx__scope *scope = pnx__scope_usable(handle, &status, err);
    if (scope == NULL) {
        return status;
    }
    status = check(scope, config, body, err);
    if (status == PNX_OK) {
        status = pnx__scope_room(scope, 1, err);
    }
    if (status != PNX_OK) {
        return status;
    }
    pnx_guard guard = {0};
    status = pnx__guard_reserve(&guard, scope->registry, &task_kinds[config->priority], site, err);
    if (status != PNX_OK) {
        return status;
    }
    struct task_value value = {.task = make_task(config, body, argument)};
    if (value.task == NULL) {
        pnx__guard_drop(&guard);
        return pnx_fail(err, PNX_ENOMEM, "scope %s: no memory for a task", scope->name);
    }
    const char *name = config->name != NULL ? config->name : "task";
    memcpy(value.name, name, pnx__text_cut(name, strlen(name), NAME_SIZE - 1));
    const int error =
        pnx__thread_create(&value.task->thread, config->stack, run, value.task, value.name);
    if (error != 0) {
        pnx__guard_drop(&guard);
        pnx__free(value.task);
        errno = error;
        return pnx_fail(err, PNX_EFAILED, "scope %s: no thread for task %s: %m", scope->name,
                        value.name);
    }
    uint64_t words[PNX_VALUE_MAX / 8] = {0};
    memcpy(words, &value, sizeof value);
    (void)pnx__guard_arm(&guard, words[0], words[1], words[2]); /* it is reserved */
    value.task->serial = scope->serial;
    value.task->older = scope->tasks;
    scope->tasks = value.task;
    pnx__scope_push(scope, guard.slot, guard.generation);
    if (ret != NULL) {
        *ret = value.task;
    }
    return PNX_OK;
}
