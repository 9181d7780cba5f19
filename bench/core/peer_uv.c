/* SPDX-License-Identifier: MIT */
/*
 * libuv: its work queue, with one pool thread, and its timers. A loop belongs to one thread, so
 * each dropping thread has its own; a request may only be freed in the loop's after-work
 * callback.
 */
#include "common/bench.h"
#include "peer.h"

#include <stdlib.h>
#include <uv.h>

static _Thread_local uv_loop_t loop;

static void loop_begin(void)
{
    setenv("UV_THREADPOOL_SIZE", "1", 1);
    uv_loop_init(&loop);
}

static void loop_end(void)
{
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
}

/* ---- work queue ------------------------------------------------------------------------------ */

static void work(uv_work_t *request)
{
    release_thing(request->data);
}

static void after_work(uv_work_t *request, int status)
{
    free(request);
}

static void work_open(size_t backlog)
{
}

static void work_drop(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uv_work_t *guard = malloc(sizeof *guard);
        guard->data = thing_of(i);
        uv_queue_work(&loop, guard, work, after_work);
    }
}

static void work_settle(void)
{
    uv_run(&loop, UV_RUN_DEFAULT);
}

/* ---- timers ---------------------------------------------------------------------------------- */

static uv_timer_t *timers;

static void on_timer(uv_timer_t *timer)
{
}

static void timer_open(size_t capacity)
{
    loop_begin();
    timers = calloc(capacity, sizeof *timers);
    if (!timers)
        bench_give_up("no memory");
    for (size_t i = 0; i < capacity; i++)
        uv_timer_init(&loop, &timers[i]);
}

static void timer_arm(const uint64_t *delays_ms, size_t count)
{
    for (size_t i = 0; i < count; i++)
        uv_timer_start(&timers[i], on_timer, delays_ms[i], 0);
}

static void timer_cancel(const uint32_t *order, size_t count)
{
    for (size_t i = 0; i < count; i++)
        uv_timer_stop(&timers[order[i]]);
}

static void close_handle(uv_handle_t *handle, void *unused)
{
    uv_close(handle, NULL);
}

static void timer_close(void)
{
    uv_walk(&loop, close_handle, NULL);
    loop_end();
    free(timers);
}

static const struct core_operations work_queue = {
    .guard = {.open = work_open, .drop = work_drop, .settle = work_settle, .close = work_settle},
    .thread_begin = loop_begin,
    .thread_end = loop_end,
};
static const struct core_operations timer_heap = {
    .timer = {.open = timer_open, .arm = timer_arm, .cancel = timer_cancel, .close = timer_close},
};

static const struct bench_contender contenders[] = {
    {"uv_queue_work", PEER_VERSION, &work_queue},
    {"uv_timer", PEER_VERSION, &timer_heap},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return core_main(argc, argv, contenders);
}
