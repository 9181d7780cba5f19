/* SPDX-License-Identifier: MIT */
/*
 * A manual registry that a libuv loop steps.
 *
 * One uv_async_t brings `wake` from any thread to the loop's; one uv_timer_t stands for the next
 * due timer of the registry. A turn steps the registry for about a millisecond and then says what
 * the next one depends on: work that is left sends the async again, so that the loop's other
 * handles get their turn in between; else the timer is set, or stopped.
 *
 * Life: OPEN → DRAINING (pnx_uv_close was called, the loop turns on) → CLOSING (the registry is
 * shut down; the two handles and the pool's requests are to come back) → freed.
 *
 * Threads: all of it is the loop thread's, but `wake` and the pool's side of work.c. What `wake`
 * touches is told from what is closed by `gate`.
 */
#include "loop.h"

#include <sched.h>
#include <stdlib.h>

/* A turn: long enough that stepping (0.13 us a release) and waking itself (1.3 us) do not matter,
 * no longer than the millisecond that loop timers are rounded to anyway. */
#define TURN PNX_MS(1)
/* Releases between two looks at the clock: 16 empty ones take 2 us, measured on a 2-CPU EPYC VM. */
#define BATCH 16

#define GATE_CLOSED (1u << 31)

_Thread_local pnx_uv *pnx__uv_turning;
/* Its address names the thread. */
static _Thread_local char this_thread;

static void turn(pnx_uv *uv);

/* ---- waking ---------------------------------------------------------------------------------- */

static void wake(void *context)
{
    pnx_uv *uv = context;
    if (pnx__uv_turning == uv)
        return; /* the turn looks for itself before it ends */
    /* Acquire: pairs with the release of gate_close, so that a wake either comes before it and is
     * waited for, or sees it closed. */
    if ((atomic_fetch_add_explicit(&uv->gate, 1, memory_order_acq_rel) & GATE_CLOSED) == 0) {
        (void)uv_async_send(&uv->async);
        /* Relaxed: it is this thread's own store, or another's address, which is never ours. */
        if (atomic_load_explicit(&uv->thread, memory_order_relaxed) == &this_thread)
            uv_ref((uv_handle_t *)&uv->async);
    }
    atomic_fetch_sub_explicit(&uv->gate, 1, memory_order_release);
}

/* From here on no wake touches the handles. Those inside take a moment: a write(2) at most. In a
 * fork child those who were inside are not there to leave, and none comes in. */
static void gate_close(pnx_uv *uv)
{
    atomic_fetch_or_explicit(&uv->gate, GATE_CLOSED, memory_order_acq_rel);
    if (uv->forked)
        return;
    /* Acquire: pairs with the release at the end of wake. */
    while (atomic_load_explicit(&uv->gate, memory_order_acquire) != GATE_CLOSED)
        sched_yield();
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void on_async(uv_async_t *async)
{
    turn(async->data);
}

static void on_timer(uv_timer_t *timer)
{
    turn(timer->data);
}

/* Rounded up: a turn that is early finds nothing to do and sets the timer again. */
static uint64_t milliseconds_until(pnx_time due, pnx_time now)
{
    return due <= now ? 0 : (uint64_t)(due - now - 1) / 1000000 + 1;
}

static bool keeps_loop_alive(const pnx_uv *uv)
{
    pnx_counts counts;
    pnx_registry_counts(uv->registry, &counts);
    return counts.queued + counts.waiting > 0;
}

/* What the next turn depends on. */
static void arrange(pnx_uv *uv)
{
    pnx_time due = pnx_registry_next_due(uv->registry);
    const pnx_time now = pnx_registry_now(uv->registry); /* after it: what is due now is due then */
    if (uv->state == PNX__UV_DRAINING && uv->grace_over < due)
        due = uv->grace_over;
    if (due <= now) {
        (void)uv_async_send(&uv->async);
        (void)uv_timer_stop(&uv->timer);
    } else if (due == PNX_FOREVER) {
        (void)uv_timer_stop(&uv->timer);
    } else {
        uv_update_time(uv->loop);
        (void)uv_timer_start(&uv->timer, on_timer, milliseconds_until(due, now), 0);
    }
    if (due <= now || uv->state == PNX__UV_DRAINING || (due != PNX_FOREVER && keeps_loop_alive(uv)))
        uv_ref((uv_handle_t *)&uv->async);
    else
        uv_unref((uv_handle_t *)&uv->async);
}

static void turn(pnx_uv *uv)
{
    if (uv->state == PNX__UV_CLOSING)
        return;
    atomic_store_explicit(&uv->thread, &this_thread, memory_order_relaxed);
    pnx_uv *outer = pnx__uv_turning;
    pnx__uv_turning = uv;
    const pnx_time end = pnx_time_after(pnx_registry_now(uv->registry), TURN);
    while (pnx_registry_step(uv->registry, BATCH) > 0 && pnx_registry_now(uv->registry) < end) {
    }
    pnx__uv_turning = outer;
    if (uv->state == PNX__UV_DRAINING && pnx__uv_drained(uv))
        return;
    arrange(uv);
}

/* ---- the end --------------------------------------------------------------------------------- */

static pnx_duration at_least_one(pnx_duration span)
{
    return span > 0 ? span : 1; /* 0 would mean the default */
}

static void free_if_last(pnx_uv *uv)
{
    if (uv->open_handles > 0 || uv->works > 0)
        return;
    const pnx_status destroyed = pnx_registry_destroy(uv->registry, NULL);
    if (uv->closed != NULL)
        uv->closed(&uv->report, uv->status, uv->closed_context);
    pnx_report_done(&uv->report);
    /* A registry that stays keeps a pointer to us: we stay with it. */
    if (destroyed == PNX_OK)
        free(uv);
}

static void on_closed(uv_handle_t *handle)
{
    pnx_uv *uv = handle->data;
    uv->open_handles--;
    free_if_last(uv);
}

void pnx__uv_work_ended(pnx_uv *uv)
{
    uv->works--;
    if (uv->state == PNX__UV_CLOSING)
        free_if_last(uv);
    else
        turn(uv);
}

static void finish(pnx_uv *uv, pnx_time now)
{
    const bool late = now >= uv->grace_over;
    const pnx_shutdown_options rest = {
        .grace = late ? 1 : at_least_one(uv->grace_over - now),
        .hard = uv->options.hard,
        .live = uv->options.live,
    };
    uv->state = PNX__UV_CLOSING;
    uv->status = pnx_registry_shutdown(uv->registry, &rest, &uv->report, NULL);
    if (!uv->forked) {
        /* The shutdown knows its own part; the whole began with pnx_uv_close. */
        uv->report.leaked += uv->leaked;
        uv->report.released = uv->report.counts.done - uv->done_before;
        uv->report.took = pnx_registry_now(uv->registry) - uv->begin;
    }
    gate_close(uv);
    uv->open_handles = 2;
    uv_close((uv_handle_t *)&uv->async, on_closed);
    uv_close((uv_handle_t *)&uv->timer, on_closed);
}

bool pnx__uv_drained(pnx_uv *uv)
{
    pnx_counts counts;
    const pnx_time now = pnx_registry_now(uv->registry);
    pnx_registry_counts(uv->registry, &counts);
    if (now < uv->grace_over && counts.queued + counts.running + counts.waiting > 0)
        return false;
    finish(uv, now);
    return true;
}

pnx_status pnx_uv_close(pnx_uv *uv, const pnx_shutdown_options *options, pnx_uv_closed_fn closed,
                        void *context)
{
    if (uv->state != PNX__UV_OPEN)
        return PNX_EALREADY;
    uv->state = PNX__UV_DRAINING;
    uv->closed = closed;
    uv->closed_context = context;
    if (options != NULL) {
        uv->options.live = options->live;
        if (options->grace != 0)
            uv->options.grace = options->grace;
        if (options->hard != 0)
            uv->options.hard = options->hard;
    }
    /* An empty batch answers nothing else but this. */
    uv->forked = pnx_release_batch(uv->registry, NULL, 0, NULL, 0, NULL) == PNX_EFORKED;
    uv->begin = pnx_registry_now(uv->registry);
    uv->grace_over = uv->forked ? uv->begin : pnx_time_after(uv->begin, uv->options.grace);
    pnx_counts counts;
    pnx_registry_counts(uv->registry, &counts);
    uv->done_before = counts.done;
    const uint64_t leaked_before = counts.leaked;
    if (!uv->forked)
        pnx_request_shutdown(uv->registry);
    if (uv->options.live == PNX_LIVE_RELEASE) {
        const pnx_request leak = {.reason = PNX_SHUTDOWN, .leaked = true};
        (void)pnx_release_all(uv->registry, &leak, 0, NULL);
        pnx_registry_counts(uv->registry, &counts);
        uv->leaked = counts.leaked - leaked_before;
    }
    uv_ref((uv_handle_t *)&uv->async);
    (void)uv_async_send(&uv->async);
    return PNX_OK;
}

/* ---- the beginning --------------------------------------------------------------------------- */

static pnx_status check(const uv_loop_t *loop, const pnx_config *config, pnx_error *err)
{
    if (loop == NULL)
        return pnx_fail(err, PNX_EINVAL, "pnx_uv_create: `loop` is NULL");
    if (config == NULL)
        return PNX_OK;
    if (config->clock != NULL)
        return pnx_fail(err, PNX_EINVAL,
                        "pnx_config.clock is set, but a libuv loop sleeps by the real one");
    if (config->wake != NULL)
        return pnx_fail(err, PNX_EINVAL, "pnx_config.wake is set, but libpatinox-uv needs it");
    return PNX_OK;
}

pnx_status pnx_uv_create(uv_loop_t *loop, const pnx_config *config, pnx_uv **ret, pnx_error *err)
{
    pnx_status status = check(loop, config, err);
    if (status != PNX_OK)
        return status;
    pnx_uv *uv = calloc(1, sizeof *uv);
    if (uv == NULL)
        return pnx_fail(err, PNX_ENOMEM, "no memory for a registry on a libuv loop");
    pnx_config complete = config != NULL ? *config : (pnx_config){0};
    complete.executor = PNX_MANUAL;
    complete.wake = wake;
    complete.wake_context = uv;
    atomic_store_explicit(&uv->gate, GATE_CLOSED, memory_order_relaxed); /* no handles yet */
    status = pnx_config_complete(&complete, err);
    if (status == PNX_OK)
        status = pnx_registry_create(&complete, &uv->registry, err);
    if (status != PNX_OK) {
        free(uv);
        return status;
    }
    uv->loop = loop;
    uv->options =
        (pnx_shutdown_options){.grace = complete.shutdown_grace, .hard = complete.shutdown_hard};
    /* The async first: it can fail, and leaves no handle behind then. */
    const int error = uv_async_init(loop, &uv->async, on_async);
    if (error != 0) {
        status = pnx_fail(err, PNX_EFAILED, "registry %s: cannot join the libuv loop: %s",
                          pnx_registry_name(uv->registry), uv_strerror(error));
        (void)pnx_registry_shutdown(uv->registry, NULL, NULL, NULL);
        (void)pnx_registry_destroy(uv->registry, NULL);
        free(uv);
        return status;
    }
    (void)uv_timer_init(loop, &uv->timer); /* always 0 */
    uv->async.data = uv->timer.data = uv;
    uv_unref((uv_handle_t *)&uv->timer);
    atomic_store_explicit(&uv->gate, 0, memory_order_release);
    /* The first turn finds out which thread is the loop's; until then the loop stays alive. */
    (void)uv_async_send(&uv->async);
    *ret = uv;
    return PNX_OK;
}

pnx_registry *pnx_uv_registry(const pnx_uv *uv)
{
    return uv->registry;
}

uv_loop_t *pnx_uv_loop(const pnx_uv *uv)
{
    return uv->loop;
}
