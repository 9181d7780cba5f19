/* SPDX-License-Identifier: MIT */
/* Tasks that do as a test says, and threads that wait for them. */
#ifndef TEST_GUARD_SCRIPT_H
#define TEST_GUARD_SCRIPT_H

#include "support.h"

#include "base/sys.h"
#include "guard/scope.h"
#include "guard/task.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* What a body saw, and what it is told to do. */
struct script {
    struct room *room;
    pnx_status answer;
    pid_t thread;
    _Atomic uint32_t let_go; /* futex */
    _Atomic uint32_t begun;  /* futex */
    _Atomic unsigned ended;
    _Atomic bool gone; /* see is_gone */
    char name[16];
    char reason[80];
    bool stubborn; /* does not end when it is canceled, but when it is let go */
    bool blocked[NSIG];
};

static inline void wait_for_word(_Atomic uint32_t *word)
{
    while (atomic_load(word) == 0) {
        pnx__futex_wait(word, 0, PNX_FOREVER);
    }
}

static inline void set_word(_Atomic uint32_t *word)
{
    atomic_store(word, 1);
    pnx__futex_wake(word, UINT_MAX);
}

/* The last that a thread does: it takes its time, so that only who joins it is sure to see it. */
static inline void leave(void *argument)
{
    struct script *script = argument;
    for (unsigned i = 0; i < 100; i++) {
        sched_yield();
    }
    atomic_store(&script->gone, true);
}

static pthread_key_t leaving_key;

static inline void make_leaving(void)
{
    (void)pthread_key_create(&leaving_key, leave);
}

static inline pnx_status follow(pnx_task *self, void *argument)
{
    struct script *script = argument;
    sigset_t blocked;
    prctl(PR_GET_NAME, script->name);
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    for (int i = 1; i < NSIG; i++) {
        script->blocked[i] = sigismember(&blocked, i) == 1;
    }
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, make_leaving);
    (void)pthread_setspecific(leaving_key, script);
    script->thread = (pid_t)syscall(SYS_gettid);
    set_word(&script->begun);
    if (script->stubborn) {
        wait_for_word(&script->let_go);
    } else if (pnx_task_wait(self, PNX_FOREVER) == PNX_ECANCELED) {
        snprintf(script->reason, sizeof script->reason, "%s", pnx_task_cancel_reason(self));
    }
    if (script->room) {
        pnx_test_log_add(script->room->log, "task ended");
    }
    atomic_store(&script->ended, 1);
    return script->answer;
}

static inline pnx_task *start(pnx_scope *scope, const pnx_task_config *config,
                              struct script *script)
{
    pnx_task *task = NULL;
    pnx_error err = {0};
    if (pnx_task_start(scope, config, follow, script, &task, &err) != PNX_OK) {
        fail_msg("%s", err.message);
    }
    return task;
}

/* Has the thread ended? Only when it was joined can that be known at once. */
static inline bool is_gone(const struct script *script)
{
    return atomic_load(&script->gone);
}

/* For the kernel, too: it knows one for a moment longer than who joins it. */
static inline void wait_until_gone(const struct script *script)
{
    while (syscall(SYS_tgkill, getpid(), script->thread, 0) == 0) {
        sched_yield();
    }
}

static inline pnx_status measure_stack(pnx_task *self, void *argument)
{
    pthread_attr_t attributes;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstacksize(&attributes, argument);
    pthread_attr_destroy(&attributes);
    return PNX_EBUSY;
}

struct joiner {
    pnx_task *task;
    pnx_status status, result;
};

static inline void *join_it(void *argument)
{
    struct joiner *joiner = argument;
    joiner->status = pnx_task_join(joiner->task, PNX_FOREVER, &joiner->result, NULL);
    return NULL;
}

/* Starts one, and waits until he has taken hold of the task: from then on it may end any time. */
static inline pthread_t start_joiner(struct joiner *joiner)
{
    pthread_t thread;
    const uint32_t before = atomic_load(&joiner->task->references);
    assert_int_equal(pthread_create(&thread, NULL, join_it, joiner), 0);
    while (atomic_load(&joiner->task->references) == before) {
        sched_yield();
    }
    return thread;
}

#endif
