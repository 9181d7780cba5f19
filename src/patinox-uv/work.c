/* SPDX-License-Identifier: MIT */
/*
 * Releases in libuv's thread pool. The release proper answers "pending" and the pool's thread
 * completes it by its token; the loop's thread only frees the request.
 *
 * The request is the one allocation of this library at release time. If it fails, the release runs
 * on the loop's thread: late, but not lost.
 */
#include "loop.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct work {
    uv_work_t request;
    pnx_uv *uv;
    pnx_release_fn function;
    uint64_t value[PNX_VALUE_MAX / 8];
    pnx_release why;
    pnx_token token;
    bool
        others_take_over; /* when late: a retry or the fallback, and this one must not begin then */
};

static pnx_status run(struct work *work)
{
    if (work->others_take_over && pnx_registry_now(work->why.registry) >= work->why.deadline)
        return PNX_ETIMEOUT;
    sigset_t all, before;
    int cancel_state;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    const pnx_status status = work->function(work->value, &work->why);
    (void)pthread_setcancelstate(cancel_state, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

static void in_pool(uv_work_t *request)
{
    struct work *work = request->data;
    const pnx_status status = run(work);
    if (status != PNX_PENDING) /* else the function has passed its token on */
        (void)pnx_complete(work->token, status);
}

static void after(uv_work_t *request, int status)
{
    struct work *work = request->data;
    pnx_uv *uv = work->uv;
    (void)status; /* nobody cancels it */
    free(work);
    pnx__uv_work_ended(uv);
}

static bool taken_over_when_late(const pnx_release *why)
{
    pnx_info info;
    return pnx_registry_info(why->registry, why->id, &info) == PNX_OK &&
           (info.kind->flags & (PNX_IDEMPOTENT | PNX_FALLBACK_CONCURRENT)) != 0;
}

static bool send_to_pool(pnx_uv *uv, const pnx_release *why, pnx_release_fn function,
                         const void *value, size_t size)
{
    struct work *work = calloc(1, sizeof *work);
    if (work == NULL)
        return false;
    work->request.data = work;
    work->uv = uv;
    work->function = function;
    memcpy(work->value, value, size);
    work->why = *why;
    work->token = pnx_release_token(why);
    work->others_take_over = taken_over_when_late(why);
    if (uv_queue_work(uv->loop, &work->request, in_pool, after) != 0) {
        free(work);
        return false;
    }
    uv->works++;
    return true;
}

pnx_status pnx_uv_work(const pnx_release *why, pnx_release_fn function, const void *value,
                       size_t size)
{
    pnx_uv *uv = pnx__uv_turning;
    if (size > PNX_VALUE_MAX)
        return PNX_EINVAL;
    if (uv != NULL && uv->registry == why->registry && send_to_pool(uv, why, function, value, size))
        return PNX_PENDING;
    uint64_t copy[PNX_VALUE_MAX / 8] = {0};
    memcpy(copy, value, size);
    return function(copy, why);
}
